/* Pointwise functions and their sweeps. One thread per pack of the primal; it handles all lanes, so that
 * primal operands and derivatives are read and computed once. The bias in front is added on the way; where
 * its adjoint is wanted, the threads of a column add up what they write (columns.cuh), lane by lane. */
#include "columns.cuh"
#include "points.cuh"

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

/* x + bias, N elements from column col on; x as it is without a bias */
template <int N, typename real>
static __device__ __forceinline__ ss_pack<real, N> plus(ss_pack<real, N> x, const ss_matrix &bias,
                                                        int64_t lane, int64_t col)
{
    if (bias.data) {
        const ss_pack<real, N> b = ss_load<N, real>(bias, lane, 0, col);
        for (int v = 0; v < N; v++) x[v] += b[v];
    }
    return x;
}

/* What an element needs of the primal: the same for all lanes. */
template <typename real, int N> struct slopes {
    ss_pack<real, N> s, first, second;
};

template <int N, typename point, typename real>
static __device__ __forceinline__ slopes<real, N> slopes_at(const sweep<real> &w, int64_t row, int64_t col)
{
    slopes<real, N> d = { plus<N>(ss_load<N, real>(w.s, 0, row, col), w.bias, 0, col), {}, {} };
    for (int v = 0; v < N; v++) {
        if (w.kind == FIRST || w.kind == SECOND_AND_FIRST) d.first[v] = point::first(d.s[v], w.parameter);
        if (w.kind == SECOND || w.kind == SECOND_AND_FIRST) d.second[v] = point::second(d.s[v], w.parameter);
    }
    return d;
}

/* Writes N elements of one lane; returns what was written or added. */
template <int N, typename point, typename real>
static __device__ __forceinline__ ss_pack<real, N>
put_elements(const sweep<real> &w, const slopes<real, N> &d, int64_t lane, int64_t row, int64_t col)
{
    ss_pack<real, N> value;
    if (w.kind == VALUE) {
        value = plus<N>(ss_load<N, real>(w.s, lane, row, col), w.bias, 0, col);
        for (int v = 0; v < N; v++) value[v] = point::value(value[v], w.parameter);
    } else {
        value = ss_load<N, real>(w.a, lane, row, col);
    }
    if (w.kind == FIRST) {
        value = plus<N>(value, w.bias_t, lane, col);
        for (int v = 0; v < N; v++) value[v] *= d.first[v];
    } else if (w.kind != VALUE) {
        const ss_pack<real, N> b = plus<N>(ss_load<N, real>(w.b, lane, row, col), w.bias_t, lane, col);
        for (int v = 0; v < N; v++) value[v] *= d.second[v] * b[v];
    }
    if (w.kind == SECOND_AND_FIRST) {
        const ss_pack<real, N> c = ss_load<N, real>(w.c, lane, row, col);
        for (int v = 0; v < N; v++) value[v] += d.first[v] * c[v];
    }
    if (w.out.data) {
        real            *to = ss_cuda_row<real>(w.out, lane, row) + col;
        ss_pack<real, N> out = value;
        if (w.accumulate) {
            const ss_pack<real, N> old = ss_load<N>(to);
            for (int v = 0; v < N; v++) out[v] = old[v] + value[v];
        }
        ss_store<N>(to, out);
    }
    return value;
}

template <typename real, typename point> struct sweep_element {
    sweep<real>                      w;
    template <int N> __device__ void at(int64_t, int64_t row, int64_t col) const
    {
        const slopes<real, N> d = slopes_at<N, point>(w, row, col);
        for (int64_t lane = 0; lane < w.lanes; lane++) put_elements<N, point>(w, d, lane, row, col);
    }
};

/* The same with the columns' sums. */
template <typename real, typename point> struct summed_element {
    static const int                 terms = 1;
    sweep<real>                      w;
    template <int N> __device__ void at(int64_t lane, int64_t row, int64_t col, double (&sum)[terms][N]) const
    {
        const ss_pack<real, N> value =
            put_elements<N, point>(w, slopes_at<N, point>(w, row, col), lane, row, col);
        for (int v = 0; v < N; v++) sum[0][v] += (double)value[v];
    }
};

/* Formula and operands of a sweep; false if operands are missing. */
template <typename real> static bool choose(const ss_pointwise *p, sweep<real> *w)
{
    const bool forward = p->sweep == SS_FORWARD, from_x = !ss_point_from_y(p->function);
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
static ss_status run(ss_queue *q, const sweep<real> &w, int64_t rows, int64_t cols, bool flat, bool aligned,
                     bool accumulate_sums)
{
    if (w.sums.data) {
        const summed_element<real, point> f = { w };
        return ss_cuda_column_sums<real>(q, w.lanes, rows, cols, aligned, f,
                                         ss_column_outputs<1>{ { { w.sums, accumulate_sums } } });
    }
    const sweep_element<real, point> f = { w };
    return flat ? ss_cuda_map_packs<real>(q, 1, 1, rows * cols, aligned, f)
                : ss_cuda_map_packs<real>(q, 1, rows, cols, aligned, f);
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
    bool       flat = ss_cuda_flat(&w.out) && !w.bias.data && !w.bias_t.data && !w.sums.data, aligned = true;
    ss_matrix *operands[] = { &w.s, &w.a, &w.b, &w.c };
    for (ss_matrix *operand : operands) {
        *operand = ss_cuda_operand(operand, rows);
        flat = flat && ss_cuda_flat(operand);
    }
    const ss_matrix *all[] = { &w.s, &w.a, &w.b, &w.c, &w.out, &w.bias, &w.bias_t };
    for (const ss_matrix *m : all) aligned = aligned && ss_cuda_aligned<real>(m, w.lanes, flat);
    switch (p->function) {
#define RUN_ROW(name, torch, stem, from_y, kinked)                                                           \
    case name: return run<real, stem##_point>(q, w, rows, cols, flat, aligned, p->accumulate_bias);
        SS_FUNCTION_TABLE(RUN_ROW)
#undef RUN_ROW
    default: return SS_ERROR_INTERNAL;
    }
}
SS_CUDA_INSTANTIATE(pointwise)
