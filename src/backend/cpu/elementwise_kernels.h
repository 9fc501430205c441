/* Sums of contiguous segments, at one instruction-set level. */

/* y := alpha x (+ beta y) */
static void SS_LEVEL(scale_segment)(int64_t n, real alpha, const real *restrict x, real *restrict y)
{
    for (int64_t i = 0; i < n; i++) y[i] = alpha * x[i];
}

static void SS_LEVEL(add_segment)(int64_t n, real alpha, const real *restrict x, real beta, real *restrict y)
{
    for (int64_t i = 0; i < n; i++) y[i] = alpha * x[i] + beta * y[i];
}

/* z (+)= alpha x + beta y */
static void SS_LEVEL(sum_segment)(int64_t n, real alpha, const real *restrict x, real beta,
                                  const real *restrict y, bool accumulate, real *restrict z)
{
    if (accumulate)
        for (int64_t i = 0; i < n; i++) z[i] += alpha * x[i] + beta * y[i];
    else
        for (int64_t i = 0; i < n; i++) z[i] = alpha * x[i] + beta * y[i];
}

/* sum[j] += x[i, j] for `rows` rows `ld` apart, in row order. */
static void SS_LEVEL(sum_rows)(int64_t rows, int64_t cols, const real *restrict x, int64_t ld,
                               double *restrict sum)
{
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4) {
        const real *a = x + i * ld, *b = a + ld, *c = b + ld, *d = c + ld;
        for (int64_t j = 0; j < cols; j++)
            sum[j] += ((double)a[j] + (double)b[j]) + ((double)c[j] + (double)d[j]);
    }
    for (; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) sum[j] += (double)x[i * ld + j];
}
