/* Pointwise sweeps over contiguous segments, at one instruction-set level. Every operand is read once. */
#include "backend/cpu/point_math.h"

/* out := f(s);   out := f'(s) a;   out := f''(s) b a;   out := f''(s) b a + f'(s) c */
#define SS_POINTWISE_KERNELS(name, torch, stem, from_y, kinked)                                              \
    static void SS_LEVEL(stem##_f)(int64_t n, const real *p, const real *restrict s, const real *restrict a, \
                                   const real *restrict b, const real *restrict c, real *restrict out)       \
    {                                                                                                        \
        const real q[2] = { p[0], p[1] };                                                                    \
        (void)a, (void)b, (void)c;                                                                           \
        for (int64_t i = 0; i < n; i++) out[i] = SS_LEVEL(stem##_value)(s[i], q);                            \
    }                                                                                                        \
    static void SS_LEVEL(stem##_d)(int64_t n, const real *p, const real *restrict s, const real *restrict a, \
                                   const real *restrict b, const real *restrict c, real *restrict out)       \
    {                                                                                                        \
        const real q[2] = { p[0], p[1] };                                                                    \
        (void)b, (void)c;                                                                                    \
        for (int64_t i = 0; i < n; i++) out[i] = SS_LEVEL(stem##_first)(s[i], q) * a[i];                     \
    }                                                                                                        \
    static void SS_LEVEL(stem##_s)(int64_t n, const real *p, const real *restrict s, const real *restrict a, \
                                   const real *restrict b, const real *restrict c, real *restrict out)       \
    {                                                                                                        \
        const real q[2] = { p[0], p[1] };                                                                    \
        (void)c;                                                                                             \
        for (int64_t i = 0; i < n; i++) out[i] = SS_LEVEL(stem##_second)(s[i], q) * b[i] * a[i];             \
    }                                                                                                        \
    static void SS_LEVEL(stem##_sd)(int64_t n, const real *p, const real *restrict s,                        \
                                    const real *restrict a, const real *restrict b, const real *restrict c,  \
                                    real *restrict out)                                                      \
    {                                                                                                        \
        const real q[2] = { p[0], p[1] };                                                                    \
        for (int64_t i = 0; i < n; i++)                                                                      \
            out[i] =                                                                                         \
                SS_LEVEL(stem##_second)(s[i], q) * b[i] * a[i] + SS_LEVEL(stem##_first)(s[i], q) * c[i];     \
    }
SS_FUNCTION_TABLE(SS_POINTWISE_KERNELS)
#undef SS_POINTWISE_KERNELS

static void SS_LEVEL(add_segment)(int64_t n, const real *restrict x, real *restrict y)
{
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

static void SS_LEVEL(plus_segment)(int64_t n, const real *restrict x, const real *restrict y,
                                   real *restrict z)
{
    for (int64_t i = 0; i < n; i++) z[i] = x[i] + y[i];
}

static void SS_LEVEL(total_segment)(int64_t n, const real *restrict x, double *restrict sum)
{
    for (int64_t i = 0; i < n; i++) sum[i] += (double)x[i];
}

#define SS_POINTWISE_ROW(name, torch, stem, from_y, kinked)                                                  \
    { SS_LEVEL(stem##_f), SS_LEVEL(stem##_d), SS_LEVEL(stem##_s), SS_LEVEL(stem##_sd) },
static const pointwise_kernel
    SS_LEVEL(pointwise_table)[SS_FUNCTION_COUNT][4] = { SS_FUNCTION_TABLE(SS_POINTWISE_ROW) };
#undef SS_POINTWISE_ROW
