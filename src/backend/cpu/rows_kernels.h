/* Single rows scaled, added and multiplied, at one instruction-set level. */

/* y := alpha x + beta y; beta == 0: y is not read */
static void SS_LEVEL(row_combine)(int64_t n, real alpha, const real *restrict x, real beta, real *restrict y)
{
    if (beta == 0)
        for (int64_t i = 0; i < n; i++) y[i] = alpha * x[i];
    else
        for (int64_t i = 0; i < n; i++) y[i] = alpha * x[i] + beta * y[i];
}

/* x . y in float64, eight sums at a time */
static double SS_LEVEL(row_product)(int64_t n, const real *restrict x, const real *restrict y)
{
    double  sum[8] = { 0 };
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) sum[j] += (double)x[i + j] * (double)y[i + j];
    for (int j = 0; i < n; i++, j++) sum[j] += (double)x[i] * (double)y[i];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}
