/* Rows of LayerNorm and RMSNorm, at one instruction-set level: float64 inside, four sums at a time. Notation
 * of reference 4: z = (x - mean) r, g = gain y_a, <.> the mean over a row. */

/* sum, sum of squares about `shift` */
static void SS_LEVEL(row_moments)(int64_t n, const real *x, double shift, double *sum, double *squares)
{
    double s[8] = { 0 }, t[8] = { 0 };
    for (int64_t i = 0; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) {
            double d = (double)x[i + j] - shift;
            s[j] += d;
            t[j] += d * d;
        }
    for (int64_t i = n - n % 8; i < n; i++) {
        double d = (double)x[i] - shift;
        s[0] += d;
        t[0] += d * d;
    }
    *sum = ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
    *squares = ((t[0] + t[4]) + (t[1] + t[5])) + ((t[2] + t[6]) + (t[3] + t[7]));
}

/* sum a, sum a b */
static void SS_LEVEL(row_sums)(int64_t n, const double *restrict a, const double *restrict b, double *sum,
                               double *dot)
{
    double s[8] = { 0 }, t[8] = { 0 };
    for (int64_t i = 0; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) {
            s[j] += a[i + j];
            t[j] += a[i + j] * b[i + j];
        }
    for (int64_t i = n - n % 8; i < n; i++) {
        s[0] += a[i];
        t[0] += a[i] * b[i];
    }
    *sum = ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
    *dot = ((t[0] + t[4]) + (t[1] + t[5])) + ((t[2] + t[6]) + (t[3] + t[7]));
}

/* z := (x - mean) r */
static void SS_LEVEL(row_normalise)(int64_t n, const real *restrict x, double mean, double r,
                                    double *restrict z)
{
    for (int64_t i = 0; i < n; i++) z[i] = ((double)x[i] - mean) * r;
}

/* g := (gain + offset) a, or a without a gain */
static void SS_LEVEL(row_scale)(int64_t n, const real *restrict gain, double offset, const real *restrict a,
                                double *restrict g)
{
    if (gain)
        for (int64_t i = 0; i < n; i++) g[i] = ((double)gain[i] + offset) * (double)a[i];
    else
        for (int64_t i = 0; i < n; i++) g[i] = (double)a[i];
}

/* out := r (a - shift - z factor) */
static void SS_LEVEL(row_project)(int64_t n, double r, const double *restrict a, double shift,
                                  const double *restrict z, double factor, double *restrict out)
{
    for (int64_t i = 0; i < n; i++) out[i] = r * (a[i] - shift - z[i] * factor);
}

/* out (+)= value */
static void SS_LEVEL(row_store)(int64_t n, const double *restrict value, bool accumulate, real *restrict out)
{
    if (accumulate)
        for (int64_t i = 0; i < n; i++) out[i] = (real)((double)out[i] + value[i]);
    else
        for (int64_t i = 0; i < n; i++) out[i] = (real)value[i];
}
