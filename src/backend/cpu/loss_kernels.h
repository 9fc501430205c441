/* Rows of the losses, at one instruction-set level: float64 inside, whatever the real type. */
#include "backend/cpu/vector_math.h"

static double SS_LEVEL(largest_of)(int64_t n, const real *x)
{
    double largest = -(double)INFINITY;
    for (int64_t j = 0; j < n; j++) largest = (double)x[j] > largest ? (double)x[j] : largest;
    return largest;
}

/* sum_j exp(x_j - shift) */
static double SS_LEVEL(exp_sum)(int64_t n, const real *x, double shift)
{
    double  lane[8] = { 0 };
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) lane[j] += SS_LEVEL(ss_exp)((double)x[i + j] - shift);
    for (int j = 0; i < n; i++, j++) lane[j] += SS_LEVEL(ss_exp)((double)x[i] - shift);
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
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
