/* Rotary positions, one row at one instruction-set level. */

/* y (+)= the rotation of x: pairs (i, i + half) by the angles of cosine and sign * sine, the rest copied. */
static void SS_LEVEL(rotate)(int64_t half, int64_t           dim, const real *restrict cosine,
                             const real *restrict sine, real sign, const real *restrict x, bool accumulate,
                             real *restrict y)
{
    if (accumulate) {
        for (int64_t i = 0; i < half; i++) {
            real s = sign * sine[i], a = x[i], b = x[i + half];
            y[i] += a * cosine[i] - b * s;
            y[i + half] += b * cosine[i] + a * s;
        }
        for (int64_t i = 2 * half; i < dim; i++) y[i] += x[i];
    } else {
        for (int64_t i = 0; i < half; i++) {
            real s = sign * sine[i], a = x[i], b = x[i + half];
            y[i] = a * cosine[i] - b * s;
            y[i + half] = b * cosine[i] + a * s;
        }
        for (int64_t i = 2 * half; i < dim; i++) y[i] = x[i];
    }
}
