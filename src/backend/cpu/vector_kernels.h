/* Long vectors, one block at a time, at one instruction-set level. Sums are float64 in 16 lanes that are
 * added in a fixed order. */

/* Sixteen partial sums: wide enough for any vector unit and to hide the latency of addition. */
static double SS_LEVEL(dot_segment)(int64_t n, const real *x, const real *y)
{
    double  lane[16] = { 0 };
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) lane[j] += (double)x[i + j] * (double)y[i + j];
    for (int j = 0; i < n; i++, j++) lane[j] += (double)x[i] * (double)y[i];
    for (int width = 8; width >= 1; width /= 2)
        for (int j = 0; j < width; j++) lane[j] += lane[j + width];
    return lane[0];
}

/* sum := beta w, or 0 */
static void SS_LEVEL(start_segment)(int64_t n, double beta, const real *restrict w, double *restrict sum)
{
    if (beta == 0)
        memset(sum, 0, (size_t)n * sizeof(double));
    else
        for (int64_t i = 0; i < n; i++) sum[i] = beta * (double)w[i];
}

/* sum += sum_j h_j v_j, four columns at a time */
static void SS_LEVEL(accumulate_segment)(int64_t n, int64_t k, const real *restrict v, int64_t ldv,
                                         const double *restrict h, int64_t ldh, double *restrict sum)
{
    int64_t j = 0;
    for (; j + 4 <= k; j += 4) {
        const real  *a = v + j * ldv, *b = a + ldv, *c = b + ldv, *d = c + ldv;
        const double p = h[j * ldh], q = h[(j + 1) * ldh], r = h[(j + 2) * ldh], s = h[(j + 3) * ldh];
        for (int64_t i = 0; i < n; i++)
            sum[i] += (p * (double)a[i] + q * (double)b[i]) + (r * (double)c[i] + s * (double)d[i]);
    }
    for (; j < k; j++) {
        const real  *a = v + j * ldv;
        const double p = h[j * ldh];
        for (int64_t i = 0; i < n; i++) sum[i] += p * (double)a[i];
    }
}

static void SS_LEVEL(store_segment)(int64_t n, const double *restrict sum, real *restrict w)
{
    for (int64_t i = 0; i < n; i++) w[i] = (real)sum[i];
}

static void SS_LEVEL(axpby_segment)(int64_t n, double alpha, const real *restrict x, double beta,
                                    real *restrict y)
{
    if (!x)
        for (int64_t i = 0; i < n; i++) y[i] = (real)(beta * (double)y[i]);
    else if (beta == 0)
        for (int64_t i = 0; i < n; i++) y[i] = (real)(alpha * (double)x[i]);
    else
        for (int64_t i = 0; i < n; i++) y[i] = (real)(alpha * (double)x[i] + beta * (double)y[i]);
}

/* Are all n elements finite? x - x is 0 for them and NaN otherwise. */
static bool SS_LEVEL(finite_segment)(int64_t n, const real *x)
{
    real lane[16] = { 0 };
    for (int64_t i = 0; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) lane[j] += x[i + j] - x[i + j];
    for (int64_t i = n - n % 16; i < n; i++) lane[0] += x[i] - x[i];
    for (int j = 1; j < 16; j++) lane[0] += lane[j];
    return lane[0] == 0;
}

static int64_t SS_LEVEL(sign_changes)(int64_t n, const real *x, const real *y)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += (x[i] > 0) != (y[i] > 0);
    return count;
}
