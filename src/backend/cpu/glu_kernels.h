/* Sweeps of gated products over contiguous segments, at one instruction-set level. Every operand is read
 * once, every result written once. */
#include "backend/cpu/point_math.h"

/* The identity, as a point function. */
static inline real SS_LEVEL(identity_value)(real x, const real *p)
{
    (void)p;
    return x;
}
static inline real SS_LEVEL(identity_first)(real s, const real *p)
{
    (void)s, (void)p;
    return 1;
}
static inline real SS_LEVEL(identity_second)(real s, const real *p)
{
    (void)s, (void)p;
    return 0;
}

/* in: a, b, a_t, b_t, y_a, y_at; what derivatives read is f(a) or a */
#define SS_GLU_KERNELS(name, torch, stem, from_y, kinked)                                                    \
    static void SS_LEVEL(stem##_ahead)(int64_t n, const real *p, const real *const in[], real *const out[])  \
    {                                                                                                        \
        const real q[2] = { p[0], p[1] };                                                                    \
        const real *restrict a = in[0], *restrict b = in[1];                                                 \
        real *restrict y = out[0];                                                                           \
        for (int64_t i = 0; i < n; i++) y[i] = SS_LEVEL(stem##_value)(a[i], q) * b[i];                       \
    }                                                                                                        \
    static void SS_LEVEL(stem##_back)(int64_t n, const real *p, const real *const in[], real *const out[])   \
    {                                                                                                        \
        const real q[2] = { p[0], p[1] };                                                                    \
        const real *restrict a = in[0], *restrict b = in[1], *restrict y_a = in[4];                          \
        real *restrict a_a = out[0], *restrict b_a = out[1];                                                 \
        for (int64_t i = 0; i < n; i++) {                                                                    \
            const real f = SS_LEVEL(stem##_value)(a[i], q), s = from_y ? f : a[i];                           \
            a_a[i] = SS_LEVEL(stem##_first)(s, q) * b[i] * y_a[i];                                           \
            b_a[i] = f * y_a[i];                                                                             \
        }                                                                                                    \
    }                                                                                                        \
    static void SS_LEVEL(stem##_tangent)(int64_t n, const real *p, const real *const in[],                   \
                                         real *const out[])                                                  \
    {                                                                                                        \
        const real q[2] = { p[0], p[1] };                                                                    \
        const real *restrict a = in[0], *restrict b = in[1], *restrict a_t = in[2], *restrict b_t = in[3];   \
        real *restrict y_t = out[0];                                                                         \
        for (int64_t i = 0; i < n; i++) {                                                                    \
            const real f = SS_LEVEL(stem##_value)(a[i], q), s = from_y ? f : a[i];                           \
            y_t[i] = SS_LEVEL(stem##_first)(s, q) * a_t[i] * b[i] + f * b_t[i];                              \
        }                                                                                                    \
    }                                                                                                        \
    static void SS_LEVEL(stem##_bend)(int64_t n, const real *p, const real *const in[], real *const out[])   \
    {                                                                                                        \
        const real q[2] = { p[0], p[1] };                                                                    \
        const real *restrict a = in[0], *restrict b = in[1], *restrict a_t = in[2], *restrict b_t = in[3];   \
        const real *restrict y_a = in[4], *restrict y_at = in[5];                                            \
        real *restrict a_at = out[0], *restrict b_at = out[1];                                               \
        for (int64_t i = 0; i < n; i++) {                                                                    \
            const real f = SS_LEVEL(stem##_value)(a[i], q), s = from_y ? f : a[i];                           \
            const real f1 = SS_LEVEL(stem##_first)(s, q), f2 = SS_LEVEL(stem##_second)(s, q);                \
            a_at[i] = f2 * a_t[i] * b[i] * y_a[i] + f1 * (b_t[i] * y_a[i] + b[i] * y_at[i]);                 \
            b_at[i] = f1 * a_t[i] * y_a[i] + f * y_at[i];                                                    \
        }                                                                                                    \
    }
SS_FUNCTION_TABLE(SS_GLU_KERNELS)
SS_GLU_KERNELS(, , identity, 0, 0)
#undef SS_GLU_KERNELS

static void SS_LEVEL(add_segment)(int64_t n, const real *restrict x, real *restrict y)
{
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

/* by function, the identity last, and sweep */
#define SS_GLU_ROW(name, torch, stem, from_y, kinked)                                                        \
    { [SS_FORWARD] = SS_LEVEL(stem##_ahead),                                                                 \
      [SS_BACKWARD] = SS_LEVEL(stem##_back),                                                                 \
      [SS_TANGENT_FORWARD] = SS_LEVEL(stem##_tangent),                                                       \
      [SS_TANGENT_BACKWARD] = SS_LEVEL(stem##_bend) },
static const glu_kernel SS_LEVEL(glu_table)[SS_FUNCTION_COUNT + 1][SS_CURVATURE] = {
    SS_FUNCTION_TABLE(SS_GLU_ROW) SS_GLU_ROW(, , identity, 0, 0)
};
#undef SS_GLU_ROW
