/* Pointwise functions and their sweeps. One thread per element of the primal; it handles all lanes, so that
 * primal operands and derivatives are read and computed once. */
#include "map.cuh"

#define SS_POINT_QUALIFIER static __device__ __forceinline__
#define SS_POINT_BITS      32
#define SS_POINT(name)     name##_32
#include "backend/point_functions.h"
#undef SS_POINT_BITS
#undef SS_POINT
#define SS_POINT_BITS  64
#define SS_POINT(name) name##_64
#include "backend/point_functions.h"

/* relu_point::value(x, p), ::first, ::second for float and double */
#define POINT_STRUCT(name, torch, stem, from_y, kinked)                                                      \
    struct stem##_point {                                                                                    \
        static __device__ float  value(float x, const float *p) { return stem##_value_32(x, p); }            \
        static __device__ float  first(float s, const float *p) { return stem##_first_32(s, p); }            \
        static __device__ float  second(float s, const float *p) { return stem##_second_32(s, p); }          \
        static __device__ double value(double x, const double *p) { return stem##_value_64(x, p); }          \
        static __device__ double first(double s, const double *p) { return stem##_first_64(s, p); }          \
        static __device__ double second(double s, const double *p) { return stem##_second_64(s, p); }        \
    };
SS_FUNCTION_TABLE(POINT_STRUCT)
#undef POINT_STRUCT

/* What is computed: f(s), f'(s) a, f''(s) b a, f''(s) b a + f'(s) c */
enum formula { VALUE, FIRST, SECOND, SECOND_AND_FIRST };

/* out (+)= formula(s, a, b, c) */
template <typename real> struct sweep {
    formula   kind;
    ss_matrix s, a, b, c, out; /* absent operands: data NULL */
    real      parameter[2];    /* of the function */
    int64_t   lanes;
    bool      accumulate;
};

template <typename real, typename point> struct sweep_element {
    sweep<real>     w;
    __device__ void operator()(int64_t, int64_t row, int64_t col) const
    {
        /* s of a value may have lanes; derivatives are taken at the one primal point */
        real s = ss_cuda_row<real>(w.s, 0, row)[col], first = 0, second = 0;
        if (w.kind == FIRST || w.kind == SECOND_AND_FIRST) first = point::first(s, w.parameter);
        if (w.kind == SECOND || w.kind == SECOND_AND_FIRST) second = point::second(s, w.parameter);
        for (int64_t lane = 0; lane < w.lanes; lane++) {
            real value = 0;
            if (w.kind == VALUE)
                value = point::value(ss_cuda_row<real>(w.s, lane, row)[col], w.parameter);
            else
                value = ss_cuda_row<real>(w.a, lane, row)[col];
            if (w.kind == FIRST)
                value *= first;
            else if (w.kind != VALUE)
                value *= second * ss_cuda_row<real>(w.b, lane, row)[col];
            if (w.kind == SECOND_AND_FIRST) value += first * ss_cuda_row<real>(w.c, lane, row)[col];
            real *out = ss_cuda_row<real>(w.out, lane, row) + col;
            *out = w.accumulate ? *out + value : value;
        }
    }
};

static bool from_y(ss_function function)
{
#define FROM_Y_ROW(name, torch, stem, from_y, kinked) from_y,
    static const bool table[] = { SS_FUNCTION_TABLE(FROM_Y_ROW) };
#undef FROM_Y_ROW
    return table[function];
}

/* Formula and operands of a sweep; false if operands are missing. */
template <typename real> static bool choose(const ss_pointwise *p, sweep<real> *w)
{
    w->s = from_y(p->function) ? p->y : p->x;
    w->kind = FIRST;
    switch (p->sweep) {
    case SS_FORWARD:
        w->kind = VALUE;
        w->s = p->x;
        w->out = p->y;
        return true;
    case SS_BACKWARD:
        w->a = p->y_a;
        w->out = p->x_a;
        return p->y_a.data != nullptr;
    case SS_TANGENT_FORWARD:
        w->a = p->x_t;
        w->out = p->y_t;
        return p->x_t.data != nullptr;
    case SS_TANGENT_BACKWARD:
        w->out = p->x_at;
        w->a = p->y_at;
        if (!p->x_t.data || !p->y_a.data) return p->y_at.data != nullptr;
        w->kind = p->y_at.data ? SECOND_AND_FIRST : SECOND;
        w->b = p->x_t;
        w->a = p->y_a;
        w->c = p->y_at;
        return true;
    default: return false;
    }
}

template <typename real, typename point> static ss_status run(ss_queue *q, const sweep<real> &w, bool flat)
{
    const sweep_element<real, point> f = { w };
    const int64_t                    rows = w.out.rows, cols = w.out.cols;
    return flat ? ss_cuda_map(q, 1, 1, rows * cols, f) : ss_cuda_map(q, 1, rows, cols, f);
}

template <typename real> ss_status ss_cuda_pointwise(ss_backend *b, ss_queue *q, const ss_pointwise *p)
{
    sweep<real> w = {};
    if ((int)p->function < 0 || p->function >= SS_FUNCTION_COUNT)
        return ss_fail(b->context, SS_ERROR_INTERNAL, "pointwise: unknown function %d", (int)p->function);
    if (!choose(p, &w) || !w.s.data || !w.out.data)
        return ss_fail(b->context, SS_ERROR_INTERNAL, "pointwise: sweep %d lacks an operand", (int)p->sweep);
    SS_RETURN(ss_cuda_enter(b, &q));
    w.lanes = p->lanes;
    w.accumulate = p->accumulate;
    for (int i = 0; i < 2; i++) w.parameter[i] = (real)p->parameter[i];
    bool       flat = ss_cuda_flat(&w.out);
    ss_matrix *operands[] = { &w.s, &w.a, &w.b, &w.c };
    for (ss_matrix *operand : operands) {
        *operand = ss_cuda_operand(operand, w.out.rows);
        flat = flat && ss_cuda_flat(operand);
    }
    switch (p->function) {
#define RUN_ROW(name, torch, stem, from_y, kinked)                                                           \
    case name: return run<real, stem##_point>(q, w, flat);
        SS_FUNCTION_TABLE(RUN_ROW)
#undef RUN_ROW
    default: return SS_ERROR_INTERNAL;
    }
}
SS_CUDA_INSTANTIATE(pointwise)
