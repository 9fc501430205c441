/* exp, tanh, log(1 + u) and the normal tail of the kernels against libm in the next wider type, at every
 * instruction-set level of this processor: float32 over all magnitudes (every 997th bit pattern), float64
 * over points spread the same way. Errors are in units of the last place of the exact value. */
#include "backend/cpu/cpu.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>

#define SS_KERNEL_FILE "backend/vector_math_loops.h"
#include "backend/cpu/levels.h"

#define BATCH 1024

static double exact_tail(double a)
{
    return 0.5 * erfc(a * sqrt(0.5));
}

static long double exact_taill(long double a)
{
    return 0.5L * erfcl(a * sqrtl(0.5L));
}

/* One unit in the last place of a float or double near x; subnormals have the smallest one. */
static double unit_float(double x)
{
    return x < (double)FLT_MIN ? 0x1p-149 : ldexp(1, ilogb(x) - 23);
}

static long double unit_double(long double x)
{
    return x < (long double)DBL_MIN ? 0x1p-1074L : ldexpl(1, ilogbl(x) - 52);
}

static float float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static double double_of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Largest error in units over arguments from `first` to `last` (positive floats) and, if `both`, their
 * negatives; an overflow to infinity must be one in the wider type too. */
static double worst_float(void (*loop)(int, const float *, float *), double (*exact)(double), float first,
                          float last, bool both)
{
    uint32_t low, high;
    double   worst = 0;
    memcpy(&low, &first, sizeof low);
    memcpy(&high, &last, sizeof high);
    for (uint64_t start = low; start <= high; start += 997u * BATCH) {
        float x[BATCH], y[BATCH];
        for (int sign = 1; sign >= (both ? -1 : 1); sign -= 2) {
            for (uint64_t i = 0; i < BATCH; i++) {
                uint64_t bits = start + 997 * i;
                x[i] = (float)sign * float_of_bits((uint32_t)(bits > high ? high : bits));
            }
            loop(BATCH, x, y);
            for (int i = 0; i < BATCH; i++) {
                double want = exact((double)x[i]), got = (double)y[i];
                double error = fabs(got - want) / unit_float(fabs(want));
                if (fabs(want) > (double)FLT_MAX * 0.9999999) error = isinf(got) || error < 4 ? 0 : error;
                cr_assert(!isnan(got), "NaN at %a", (double)x[i]);
                worst = error > worst ? error : worst;
            }
        }
    }
    return worst;
}

static double worst_double(void (*loop)(int, const double *, double *), long double (*exact)(long double),
                           double first, double last, bool both)
{
    uint64_t    low, high;
    long double worst = 0;
    memcpy(&low, &first, sizeof low);
    memcpy(&high, &last, sizeof high);
    uint64_t step = (high - low) / 400000 + 1;
    for (uint64_t start = low; start <= high; start += step * BATCH) {
        double x[BATCH], y[BATCH];
        for (int sign = 1; sign >= (both ? -1 : 1); sign -= 2) {
            for (uint64_t i = 0; i < BATCH; i++) {
                uint64_t bits = start + step * i;
                x[i] = sign * double_of_bits(bits > high ? high : bits);
            }
            loop(BATCH, x, y);
            for (int i = 0; i < BATCH; i++) {
                long double want = exact((long double)x[i]);
                long double error = fabsl((long double)y[i] - want) / unit_double(fabsl(want));
                if (want > (long double)DBL_MAX) error = isinf(y[i]) ? 0 : INFINITY;
                cr_assert(!isnan(y[i]), "NaN at %a", x[i]);
                worst = error > worst ? error : worst;
            }
        }
    }
    return (double)worst;
}

/* Limits in units of the last place. */
enum { EXP_LIMIT = 2, TANH_LIMIT = 3, LOG1P_LIMIT = 3, TAIL_LIMIT = 6 };

#define SS_TEST_WORST(what, limit, value)                                                                    \
    do {                                                                                                     \
        double worst_ = (value);                                                                             \
        printf("  %s, level %s: %.3f units\n", what, ss_cpu_level_name(level), worst_);                      \
        cr_assert(worst_ <= (limit), "%s: %g units", what, worst_);                                          \
    } while (0)

Test(vector_math, float32_whole_range)
{
    for (ss_cpu_level level = SS_CPU_BASELINE; level <= ss_cpu_best_level(); level++) {
        SS_TEST_WORST("expf", EXP_LIMIT,
                      worst_float(SS_AT_LEVEL(level, loop_expf), exp, 0x1p-149f, 103.0f, true));
        SS_TEST_WORST("tanhf", TANH_LIMIT,
                      worst_float(SS_AT_LEVEL(level, loop_tanhf), tanh, 0x1p-126f, FLT_MAX, true));
        SS_TEST_WORST("log1pf", LOG1P_LIMIT,
                      worst_float(SS_AT_LEVEL(level, loop_log1pf), log1p, 0x1p-126f, 1.0f, false));
        SS_TEST_WORST(
            "tailf", TAIL_LIMIT,
            worst_float(SS_AT_LEVEL(level, loop_normal_tailf), exact_tail, 0x1p-149f, 14.9f, false));
    }
}

Test(vector_math, float64)
{
    for (ss_cpu_level level = SS_CPU_BASELINE; level <= ss_cpu_best_level(); level++) {
        SS_TEST_WORST("exp", EXP_LIMIT,
                      worst_double(SS_AT_LEVEL(level, loop_exp), expl, 0x1p-60, 745.0, true));
        SS_TEST_WORST("tanh", TANH_LIMIT,
                      worst_double(SS_AT_LEVEL(level, loop_tanh), tanhl, 0x1p-60, 100.0, true));
        SS_TEST_WORST("log1p", LOG1P_LIMIT,
                      worst_double(SS_AT_LEVEL(level, loop_log1p), log1pl, 0x1p-60, 1.0, false));
        SS_TEST_WORST("tail", TAIL_LIMIT,
                      worst_double(SS_AT_LEVEL(level, loop_normal_tail), exact_taill, 0x1p-60, 37.5, false));
    }
}

Test(vector_math, special_arguments)
{
    const float inf = INFINITY;
    for (ss_cpu_level level = SS_CPU_BASELINE; level <= ss_cpu_best_level(); level++) {
        float  x[6] = { inf, -inf, NAN, 0.0f, -0.0f, 1e30f }, y[6];
        double u[6] = { (double)inf, -(double)inf, (double)NAN, 0, -0.0, 1e300 }, v[6];
        SS_AT_LEVEL(level, loop_expf)(6, x, y);
        SS_AT_LEVEL(level, loop_exp)(6, u, v);
        cr_assert(isinf(y[0]) && y[1] == 0 && isnan(y[2]) && y[3] == 1 && y[4] == 1 && isinf(y[5]));
        cr_assert(isinf(v[0]) && v[1] == 0 && isnan(v[2]) && v[3] == 1 && v[4] == 1 && isinf(v[5]));
        SS_AT_LEVEL(level, loop_tanhf)(6, x, y);
        SS_AT_LEVEL(level, loop_tanh)(6, u, v);
        cr_assert(y[0] == 1 && y[1] == -1 && isnan(y[2]) && y[3] == 0 && y[5] == 1);
        cr_assert(v[0] == 1 && v[1] == -1 && isnan(v[2]) && v[3] == 0 && v[5] == 1);
    }
}

/* The measure itself sees an error of a few units: libm's float exp, off by eight. */
static void wrong_exp(int n, const float *x, float *y)
{
    for (int i = 0; i < n; i++) y[i] = expf(x[i]) * (1 + 8 * FLT_EPSILON);
}

Test(vector_math, injected_error_is_seen)
{
    cr_assert(worst_float(wrong_exp, exp, 0x1p-20f, 80.0f, true) > EXP_LIMIT);
}
