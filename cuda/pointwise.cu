/* Pointwise functions and their sweeps. One thread per element of the primal; it handles all lanes, so that
 * primal operands and derivatives are read and computed once. The bias in front is added on the way; where
 * its adjoint is wanted, the threads of a column add up what they write (columns.cuh), lane by lane. */
#include "columns.cuh"

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
    ss_matrix bias, bias_t;    /* one row for all: added to s, and to x_t, which is b or else a */
    ss_matrix sums;            /* (+)= column sums of what out gets; absent = not wanted */
    real      parameter[2];    /* of the function */
    int64_t   lanes;
    bool      accumulate;
};

template <typename real>
static __device__ __forceinline__ real plus(real x, const ss_matrix &bias, int64_t lane, int64_t col)
{
    return bias.data ? x + ss_cuda_row<real>(bias, lane, 0)[col] : x;
}

/* What an element needs of the primal: the same for all lanes. */
template <typename real> struct slopes {
    real s, first, second;
};

template <typename real, typename point>
static __device__ __forceinline__ slopes<real> slopes_at(const sweep<real> &w, int64_t row, int64_t col)
{
    slopes<real> d = { plus(ss_cuda_row<real>(w.s, 0, row)[col], w.bias, 0, col), 0, 0 };
    if (w.kind == FIRST || w.kind == SECOND_AND_FIRST) d.first = point::first(d.s, w.parameter);
    if (w.kind == SECOND || w.kind == SECOND_AND_FIRST) d.second = point::second(d.s, w.parameter);
    return d;
}

/* Writes one element of one lane; returns what was written or added. */
template <typename real, typename point>
static __device__ __forceinline__ real put_element(const sweep<real> &w, const slopes<real> &d, int64_t lane,
                                                   int64_t row, int64_t col)
{
    real value = 0;
    if (w.kind == VALUE)
        value = point::value(plus(ss_cuda_row<real>(w.s, lane, row)[col], w.bias, 0, col), w.parameter);
    else
        value = ss_cuda_row<real>(w.a, lane, row)[col];
    if (w.kind == FIRST)
        value = d.first * plus(value, w.bias_t, lane, col);
    else if (w.kind != VALUE)
        value *= d.second * plus(ss_cuda_row<real>(w.b, lane, row)[col], w.bias_t, lane, col);
    if (w.kind == SECOND_AND_FIRST) value += d.first * ss_cuda_row<real>(w.c, lane, row)[col];
    real *out = ss_cuda_row<real>(w.out, lane, row);
    if (out) out[col] = w.accumulate ? out[col] + value : value;
    return value;
}

template <typename real, typename point> struct sweep_element {
    sweep<real>     w;
    __device__ void operator()(int64_t, int64_t row, int64_t col) const
    {
        const slopes<real> d = slopes_at<real, point>(w, row, col);
        for (int64_t lane = 0; lane < w.lanes; lane++) put_element<real, point>(w, d, lane, row, col);
    }
};

/* The same with the column's sum. */
template <typename real, typename point> struct summed_element {
    static const int terms = 1;
    sweep<real>      w;
    __device__ void  operator()(int64_t lane, int64_t row, int64_t col, double *sum) const
    {
        sum[0] += (double)put_element<real, point>(w, slopes_at<real, point>(w, row, col), lane, row, col);
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
    const bool forward = p->sweep == SS_FORWARD, from_x = !from_y(p->function);
    w->s = forward || from_x ? p->x : p->y;
    if (forward || from_x) w->bias = p->bias;
    const ss_matrix x_t = p->x_t.data ? p->x_t : p->bias_t; /* the bias alone: one row for all */
    const ss_matrix bias_t = p->x_t.data ? p->bias_t : ss_matrix{};
    w->kind = FIRST;
    switch (p->sweep) {
    case SS_FORWARD:
        w->kind = VALUE;
        w->out = p->y;
        return true;
    case SS_BACKWARD:
        w->a = p->y_a;
        w->out = p->x_a;
        w->sums = p->bias_a;
        return p->y_a.data != nullptr;
    case SS_TANGENT_FORWARD:
        w->a = x_t;
        w->bias_t = bias_t;
        w->out = p->y_t;
        return x_t.data != nullptr;
    case SS_TANGENT_BACKWARD:
        w->out = p->x_at;
        w->sums = p->bias_at;
        w->a = p->y_at;
        if (!x_t.data || !p->y_a.data) return p->y_at.data != nullptr;
        w->kind = p->y_at.data ? SECOND_AND_FIRST : SECOND;
        w->b = x_t;
        w->bias_t = bias_t;
        w->a = p->y_a;
        w->c = p->y_at;
        return true;
    default: return false;
    }
}

template <typename real, typename point>
static ss_status run(ss_queue *q, const sweep<real> &w, int64_t rows, int64_t cols, bool flat,
                     bool accumulate_sums)
{
    if (w.sums.data) {
        const summed_element<real, point> f = { w };
        const ss_matrix                  *sums = &w.sums;
        void                             *share = nullptr;
        SS_RETURN(ss_cuda_scratch(q, 8 * ss_column_scratch(1, w.lanes, rows, cols), &share));
        return ss_cuda_column_sums<real>(q, w.lanes, rows, cols, f, static_cast<double *>(share), &sums,
                                         &accumulate_sums);
    }
    const sweep_element<real, point> f = { w };
    return flat ? ss_cuda_map(q, 1, 1, rows * cols, f) : ss_cuda_map(q, 1, rows, cols, f);
}

template <typename real> ss_status ss_cuda_pointwise(ss_backend *b, ss_queue *q, const ss_pointwise *p)
{
    sweep<real> w = {};
    if ((int)p->function < 0 || p->function >= SS_FUNCTION_COUNT)
        return ss_fail(b->context, SS_ERROR_INTERNAL, "pointwise: unknown function %d", (int)p->function);
    if (!choose(p, &w) || !w.s.data || (!w.out.data && !w.sums.data))
        return ss_fail(b->context, SS_ERROR_INTERNAL, "pointwise: sweep %d lacks an operand", (int)p->sweep);
    SS_RETURN(ss_cuda_enter(b, &q));
    w.lanes = p->lanes;
    w.accumulate = p->accumulate;
    for (int i = 0; i < 2; i++) w.parameter[i] = (real)p->parameter[i];
    const int64_t rows = w.s.rows, cols = w.s.cols;
    bool          flat = ss_cuda_flat(&w.out) && !w.bias.data && !w.bias_t.data;
    ss_matrix    *operands[] = { &w.s, &w.a, &w.b, &w.c };
    for (ss_matrix *operand : operands) {
        *operand = ss_cuda_operand(operand, rows);
        flat = flat && ss_cuda_flat(operand);
    }
    switch (p->function) {
#define RUN_ROW(name, torch, stem, from_y, kinked)                                                           \
    case name: return run<real, stem##_point>(q, w, rows, cols, flat, p->accumulate_bias);
        SS_FUNCTION_TABLE(RUN_ROW)
#undef RUN_ROW
    default: return SS_ERROR_INTERNAL;
    }
}
SS_CUDA_INSTANTIATE(pointwise)
