/* Rows of the losses, at one instruction-set level: float64 inside, whatever the real type. */
#include "backend/cpu/vector_math.h"

/* Index of the largest element (the first of several) and its value; n >= 1. Eight candidates at a time, then
 * a search for the winner: faster than carrying the index along. */
static int64_t SS_LEVEL(find_largest)(int64_t n, const real *x, double *largest)
{
    real    lane[8];
    int64_t i = 0, at = 0;
    for (int j = 0; j < 8; j++) lane[j] = x[0];
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    for (int j = 0; i < n; i++, j++) lane[j] = x[i] > lane[j] ? x[i] : lane[j];
    for (int j = 1; j < 8; j++) lane[0] = lane[j] > lane[0] ? lane[j] : lane[0];
    while (at < n - 1 && x[at] != lane[0]) at++;
    *largest = (double)lane[0];
    return at;
}

/* The same for probabilities. */
static int64_t SS_LEVEL(most_probable)(int64_t n, const double *p)
{
    double  lane[8];
    int64_t i = 0, at = 0;
    for (int j = 0; j < 8; j++) lane[j] = p[0];
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) lane[j] = p[i + j] > lane[j] ? p[i + j] : lane[j];
    for (int j = 0; i < n; i++, j++) lane[j] = p[i] > lane[j] ? p[i] : lane[j];
    for (int j = 1; j < 8; j++) lane[0] = lane[j] > lane[0] ? lane[j] : lane[0];
    while (at < n - 1 && p[at] != lane[0]) at++;
    return at;
}

static double SS_LEVEL(sum_of_eight)(const double *lane)
{
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

/* g_j = factor p_j; returns their sum */
static double SS_LEVEL(scale_and_sum)(int64_t n, double factor, const double *restrict p, double *restrict g)
{
    double  lane[8] = { 0 };
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) lane[j] += g[i + j] = factor * p[i + j];
    for (int j = 0; i < n; i++, j++) lane[j] += g[i] = factor * p[i];
    return SS_LEVEL(sum_of_eight)(lane);
}

/* sum_j p_j (x_j - base) */
static double SS_LEVEL(weighted_sum)(int64_t n, const double *restrict p, const real *restrict x, double base)
{
    double  lane[8] = { 0 };
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) lane[j] += p[i + j] * ((double)x[i + j] - base);
    for (int j = 0; i < n; i++, j++) lane[j] += p[i] * ((double)x[i] - base);
    return SS_LEVEL(sum_of_eight)(lane);
}

/* out_j (+)= factor v_j */
static void SS_LEVEL(write_scaled)(int64_t n, double factor, const double *restrict v, bool accumulate,
                                   real *restrict out)
{
    if (accumulate)
        for (int64_t j = 0; j < n; j++) out[j] = (real)((double)out[j] + factor * v[j]);
    else
        for (int64_t j = 0; j < n; j++) out[j] = (real)(factor * v[j]);
}

/* out_j (+)= factor v_j (x_j - base - shift) */
static void SS_LEVEL(write_weighted)(int64_t n, double              factor, const double *restrict v,
                                     const real *restrict x, double base, double shift, bool accumulate,
                                     real *restrict out)
{
    if (accumulate)
        for (int64_t j = 0; j < n; j++)
            out[j] = (real)((double)out[j] + factor * v[j] * (((double)x[j] - base) - shift));
    else
        for (int64_t j = 0; j < n; j++) out[j] = (real)(factor * v[j] * (((double)x[j] - base) - shift));
}

/* sum_j exp(x_j - shift) */
static double SS_LEVEL(exp_sum)(int64_t n, const real *x, double shift)
{
    double  lane[8] = { 0 };
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) lane[j] += SS_LEVEL(ss_exp)((double)x[i + j] - shift);
    for (int j = 0; i < n; i++, j++) lane[j] += SS_LEVEL(ss_exp)((double)x[i] - shift);
    return SS_LEVEL(sum_of_eight)(lane);
}

/* p_j = exp(x_j - shift) */
static void SS_LEVEL(exp_row)(int64_t n, const real *restrict x, double shift, double *restrict p)
{
    for (int64_t j = 0; j < n; j++) p[j] = SS_LEVEL(ss_exp)((double)x[j] - shift);
}

/* bce_with_logits: l = max(x, 0) - x t + log(1 + e^-|x|); g = (1 - t) s(x) - t s(-x); h = s(x) s(-x) */
static double SS_LEVEL(bce_value)(int64_t n, const real *x, const real *t)
{
    double sum = 0;
    for (int64_t j = 0; j < n; j++) {
        double z = (double)x[j], e = SS_LEVEL(ss_exp)(-fabs(z));
        /* for t = 1 and z > 0 (or t = 0 and z < 0) only the logarithm remains: no cancellation */
        double linear = z > 0 ? z * (1 - (double)t[j]) : -z * (double)t[j];
        sum += linear + SS_LEVEL(ss_log1p)(e);
    }
    return sum;
}

static void SS_LEVEL(bce_slope)(int64_t n, const real *restrict x, const real *restrict t, double *restrict g)
{
    for (int64_t j = 0; j < n; j++) {
        double z = (double)x[j], e = SS_LEVEL(ss_exp)(-fabs(z)), d = 1 / (1 + e);
        double s = z < 0 ? e * d : d, c = z < 0 ? d : e * d; /* s(z), s(-z) */
        g[j] = (1 - (double)t[j]) * s - (double)t[j] * c;
    }
}

static void SS_LEVEL(bce_curvature)(int64_t n, const real *restrict x, double *restrict h)
{
    for (int64_t j = 0; j < n; j++) {
        double e = SS_LEVEL(ss_exp)(-fabs((double)x[j])), d = 1 / (1 + e);
        h[j] = e * d * d;
    }
}
