/* Point functions: f, f' and f'' of every row of SS_FUNCTION_TABLE, written once for the CPU and CUDA, float
 * and double. Formulas: reference 4 (elementwise); values at kinks as in torch.
 *
 * The header holds no include guard: every inclusion defines one set for one real type. Before it, define
 *
 *     SS_POINT_BITS              32 or 64: the real type is float or double
 *     SS_POINT(name)             the function's name, for example name##_32
 *     SS_POINT_QUALIFIER         for example `static inline`, or `static __device__ __forceinline__`
 *
 * and, where the defaults (libm, CUDA's device library) are not wanted, all of
 *
 *     SS_POINT_EXP(x)            e^x
 *     SS_POINT_TANH(x)           tanh x
 *     SS_POINT_LOG1P(u)          log(1 + u) for u in [0, 1]
 *     SS_POINT_NORMAL_TAIL(a)    Phi(-a), the lower tail of the standard normal distribution, for a >= 0
 *
 * Per function `stem` it defines, with p = the two parameters of ss_pointwise and s = y where the table says
 * that derivatives read y, else x:
 *
 *     real stem_value(real x, const real *p)       f(x)
 *     real stem_first(real s, const real *p)       f'
 *     real stem_second(real s, const real *p)      f''
 *
 * All are free of branches (selections only), so that loops over them vectorise; a NaN argument gives a NaN
 * value; derivatives at infinity are their limits. */
#include <math.h>

#if SS_POINT_BITS == 32
typedef float SS_POINT(ss_point_real);
#ifndef SS_POINT_EXP
#define SS_POINT_EXP(x)         expf(x)
#define SS_POINT_TANH(x)        tanhf(x)
#define SS_POINT_LOG1P(u)       log1pf(u)
#define SS_POINT_NORMAL_TAIL(a) (0.5f * erfcf((a)*0.70710678f))
#endif
#else
typedef double SS_POINT(ss_point_real);
#ifndef SS_POINT_EXP
#define SS_POINT_EXP(x)         exp(x)
#define SS_POINT_TANH(x)        tanh(x)
#define SS_POINT_LOG1P(u)       log1p(u)
#define SS_POINT_NORMAL_TAIL(a) (0.5 * erfc((a)*0.70710678118654752440))
#endif
#endif

#define SS_POINT_T      SS_POINT(ss_point_real)
#define SS_POINT_C(c)   ((SS_POINT_T)(c))
#define SS_POINT_ABS(x) ((x) < 0 ? -(x) : (x))

/* x limited to [-b, b], where the products of a vanishing exponential with powers of x stay finite. */
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(point_clamp)(SS_POINT_T x, SS_POINT_T b)
{
    SS_POINT_T low = x < -b ? -b : x;
    return low > b ? b : low;
}

/* The logistic function; relative accuracy on both sides. sigmoid(-x) = 1 - sigmoid(x) without cancellation.
 */
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(point_sigmoid)(SS_POINT_T x)
{
    SS_POINT_T e = SS_POINT_EXP(-SS_POINT_ABS(x));
    return (x < 0 ? e : SS_POINT_C(1)) / (SS_POINT_C(1) + e);
}

/* sigmoid'(x) = s (1 - s) = e / (1 + e)^2 with e = exp(-|x|). */
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(point_sigmoid_slope)(SS_POINT_T x)
{
    SS_POINT_T e = SS_POINT_EXP(-SS_POINT_ABS(x)), d = SS_POINT_C(1) + e;
    return e / (d * d);
}

/* Density and distribution function of the standard normal. */
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(point_density)(SS_POINT_T x)
{
    return SS_POINT_C(0.39894228040143267794) * SS_POINT_EXP(SS_POINT_C(-0.5) * x * x);
}

SS_POINT_QUALIFIER SS_POINT_T SS_POINT(point_distribution)(SS_POINT_T x)
{
    SS_POINT_T tail = SS_POINT_NORMAL_TAIL(SS_POINT_ABS(x));
    return x > 0 ? SS_POINT_C(1) - tail : tail;
}

/* ---- ReLU: max(0, x); f'(0) = 0 ---- */
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(relu_value)(SS_POINT_T x, const SS_POINT_T *p)
{
    (void)p;
    return x <= 0 ? SS_POINT_C(0) : x;
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(relu_first)(SS_POINT_T y, const SS_POINT_T *p)
{
    (void)p;
    return y > 0 ? SS_POINT_C(1) : SS_POINT_C(0);
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(relu_second)(SS_POINT_T y, const SS_POINT_T *p)
{
    (void)y, (void)p;
    return SS_POINT_C(0);
}

/* ---- LeakyReLU: x for x > 0, else p0 x; f'(0) = p0 ---- */
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(leaky_relu_value)(SS_POINT_T x, const SS_POINT_T *p)
{
    return x > 0 ? x : p[0] * x;
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(leaky_relu_first)(SS_POINT_T x, const SS_POINT_T *p)
{
    return x > 0 ? SS_POINT_C(1) : p[0];
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(leaky_relu_second)(SS_POINT_T x, const SS_POINT_T *p)
{
    (void)x, (void)p;
    return SS_POINT_C(0);
}

/* ---- Tanh: f' = (1 - y)(1 + y), f'' = -2 y f' ---- */
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(tanh_value)(SS_POINT_T x, const SS_POINT_T *p)
{
    (void)p;
    return SS_POINT_TANH(x);
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(tanh_first)(SS_POINT_T y, const SS_POINT_T *p)
{
    (void)p;
    return (SS_POINT_C(1) - y) * (SS_POINT_C(1) + y);
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(tanh_second)(SS_POINT_T y, const SS_POINT_T *p)
{
    return SS_POINT_C(-2) * y * SS_POINT(tanh_first)(y, p);
}

/* ---- Sigmoid: f' = y (1 - y), f'' = f' (1 - 2 y) ---- */
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(sigmoid_value)(SS_POINT_T x, const SS_POINT_T *p)
{
    (void)p;
    return SS_POINT(point_sigmoid)(x);
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(sigmoid_first)(SS_POINT_T y, const SS_POINT_T *p)
{
    (void)p;
    return y * (SS_POINT_C(1) - y);
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(sigmoid_second)(SS_POINT_T y, const SS_POINT_T *p)
{
    return SS_POINT(sigmoid_first)(y, p) * (SS_POINT_C(1) - SS_POINT_C(2) * y);
}

/* ---- SiLU: x s, s = sigmoid x: f' = s + x s', f'' = s' (2 + x (1 - 2 s)) ---- */
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(silu_value)(SS_POINT_T x, const SS_POINT_T *p)
{
    (void)p;
    return x * SS_POINT(point_sigmoid)(x);
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(silu_first)(SS_POINT_T x, const SS_POINT_T *p)
{
    (void)p;
    SS_POINT_T c = SS_POINT(point_clamp)(x, SS_POINT_C(1000));
    return SS_POINT(point_sigmoid)(x) + c * SS_POINT(point_sigmoid_slope)(x);
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(silu_second)(SS_POINT_T x, const SS_POINT_T *p)
{
    (void)p;
    SS_POINT_T c = SS_POINT(point_clamp)(x, SS_POINT_C(1000)), s = SS_POINT(point_sigmoid)(x);
    return SS_POINT(point_sigmoid_slope)(x) * (SS_POINT_C(2) + c * (SS_POINT_C(1) - SS_POINT_C(2) * s));
}

/* ---- GELU: x Phi(x): f' = Phi + x phi, f'' = phi (2 - x^2) ---- */
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(gelu_erf_value)(SS_POINT_T x, const SS_POINT_T *p)
{
    (void)p;
    return x * SS_POINT(point_distribution)(x);
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(gelu_erf_first)(SS_POINT_T x, const SS_POINT_T *p)
{
    (void)p;
    SS_POINT_T c = SS_POINT(point_clamp)(x, SS_POINT_C(50));
    return SS_POINT(point_distribution)(x) + c * SS_POINT(point_density)(c);
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(gelu_erf_second)(SS_POINT_T x, const SS_POINT_T *p)
{
    (void)p;
    SS_POINT_T c = SS_POINT(point_clamp)(x, SS_POINT_C(50));
    return SS_POINT(point_density)(c) * (SS_POINT_C(2) - c * c);
}

/* ---- GELU(tanh): x (1 + tanh u) / 2 = x s, s = sigmoid(v), v = 2 u = 2 C (x + A x^3); with
 * v' = 2 C (1 + 3 A x^2), v'' = 12 A C x and s' = s (1 - s):
 * f' = s + x s' v', f'' = s' (2 v' + x (v'' + (1 - 2 s) v'^2)). ---- */
#define SS_POINT_2C (SS_POINT_C(1.5957691216057307117))
#define SS_POINT_A  (SS_POINT_C(0.044715))
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(gelu_tanh_value)(SS_POINT_T x, const SS_POINT_T *p)
{
    (void)p;
    SS_POINT_T c = SS_POINT(point_clamp)(x, SS_POINT_C(50));
    return x * SS_POINT(point_sigmoid)(SS_POINT_2C * c * (SS_POINT_C(1) + SS_POINT_A * c * c));
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(gelu_tanh_first)(SS_POINT_T x, const SS_POINT_T *p)
{
    (void)p;
    SS_POINT_T c = SS_POINT(point_clamp)(x, SS_POINT_C(50)), q = SS_POINT_A * c * c;
    SS_POINT_T v = SS_POINT_2C * c * (SS_POINT_C(1) + q);
    SS_POINT_T v1 = SS_POINT_2C * (SS_POINT_C(1) + SS_POINT_C(3) * q);
    return SS_POINT(point_sigmoid)(v) + c * SS_POINT(point_sigmoid_slope)(v) * v1;
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(gelu_tanh_second)(SS_POINT_T x, const SS_POINT_T *p)
{
    (void)p;
    SS_POINT_T c = SS_POINT(point_clamp)(x, SS_POINT_C(50)), q = SS_POINT_A * c * c;
    SS_POINT_T v = SS_POINT_2C * c * (SS_POINT_C(1) + q), s = SS_POINT(point_sigmoid)(v);
    SS_POINT_T v1 = SS_POINT_2C * (SS_POINT_C(1) + SS_POINT_C(3) * q);
    SS_POINT_T v2 = SS_POINT_C(6) * SS_POINT_2C * SS_POINT_A * c;
    SS_POINT_T b = SS_POINT_C(2) * v1 + c * (v2 + (SS_POINT_C(1) - SS_POINT_C(2) * s) * v1 * v1);
    return SS_POINT(point_sigmoid_slope)(v) * b;
}

/* ---- Softplus: log(1 + exp(p0 x)) / p0, x itself where p0 x > p1; f' = sigmoid(p0 x), f'' = p0 s' ---- */
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(softplus_value)(SS_POINT_T x, const SS_POINT_T *p)
{
    SS_POINT_T z = p[0] * x;
    SS_POINT_T l = SS_POINT_LOG1P(SS_POINT_EXP(-SS_POINT_ABS(z))) + (z < 0 ? SS_POINT_C(0) : z);
    return z > p[1] ? x : l / p[0];
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(softplus_first)(SS_POINT_T x, const SS_POINT_T *p)
{
    SS_POINT_T z = p[0] * x, s = SS_POINT(point_sigmoid)(z);
    return z > p[1] ? SS_POINT_C(1) : s;
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(softplus_second)(SS_POINT_T x, const SS_POINT_T *p)
{
    SS_POINT_T z = p[0] * x, s = p[0] * SS_POINT(point_sigmoid_slope)(z);
    return z > p[1] ? SS_POINT_C(0) : s;
}

/* ---- ELU: x for x > 0, else p0 (e^x - 1); f'(0) = p0, f''(0) = 0 as in torch. e^x - 1 = 2 t / (1 - t) with
 * t = tanh(x / 2): no cancellation near 0. ---- */
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(elu_value)(SS_POINT_T x, const SS_POINT_T *p)
{
    SS_POINT_T t = SS_POINT_TANH(SS_POINT_C(0.5) * (x > 0 ? SS_POINT_C(0) : x));
    SS_POINT_T e = p[0] * (SS_POINT_C(2) * t / (SS_POINT_C(1) - t));
    return x > 0 ? x : e;
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(elu_first)(SS_POINT_T x, const SS_POINT_T *p)
{
    SS_POINT_T e = p[0] * SS_POINT_EXP(x > 0 ? SS_POINT_C(0) : x);
    return x > 0 ? SS_POINT_C(1) : e;
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(elu_second)(SS_POINT_T x, const SS_POINT_T *p)
{
    SS_POINT_T e = p[0] * SS_POINT_EXP(x > 0 ? SS_POINT_C(0) : x);
    return x >= 0 ? SS_POINT_C(0) : e;
}

/* ---- Soft cap: c tanh(x / c), c = p0: f' = 1 - t^2, f'' = -2 t (1 - t^2) / c ---- */
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(soft_cap_value)(SS_POINT_T x, const SS_POINT_T *p)
{
    return p[0] * SS_POINT_TANH(x / p[0]);
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(soft_cap_first)(SS_POINT_T x, const SS_POINT_T *p)
{
    SS_POINT_T t = SS_POINT_TANH(x / p[0]);
    return (SS_POINT_C(1) - t) * (SS_POINT_C(1) + t);
}
SS_POINT_QUALIFIER SS_POINT_T SS_POINT(soft_cap_second)(SS_POINT_T x, const SS_POINT_T *p)
{
    SS_POINT_T t = SS_POINT_TANH(x / p[0]);
    return SS_POINT_C(-2) * t * (SS_POINT_C(1) - t) * (SS_POINT_C(1) + t) / p[0];
}

#undef SS_POINT_T
#undef SS_POINT_C
#undef SS_POINT_ABS
#undef SS_POINT_2C
#undef SS_POINT_A
#undef SS_POINT_EXP
#undef SS_POINT_TANH
#undef SS_POINT_LOG1P
#undef SS_POINT_NORMAL_TAIL
