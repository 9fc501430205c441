/* Gated products y = f(a) o b and their sweeps. One thread per pack of the primal; it handles all lanes, so
 * that a and b are read, and f and its derivatives computed, once. Bound by memory: the second-order sweep
 * moves 8 tensors in one pass. */
#include "points.cuh"

/* The identity, as a point function. */
struct identity_point {
    static const bool                                               from_y = false;
    template <typename real> static __device__ __forceinline__ real value(real x, const real *) { return x; }
    template <typename real> static __device__ __forceinline__ real first(real, const real *) { return 1; }
    template <typename real> static __device__ __forceinline__ real second(real, const real *) { return 0; }
};

template <typename real> struct glu_sweep {
    ss_sweep  which;
    bool      accumulate[2];
    ss_matrix a, b, a_t, b_t, y_a, y_at; /* absent ones are zero */
    ss_matrix out[2];
    real      parameter[2];
    int64_t   lanes;
};

template <int N, typename real>
static __device__ __forceinline__ void put(const ss_matrix &out, bool accumulate, int64_t lane, int64_t row,
                                           int64_t col, ss_pack<real, N> value)
{
    if (!out.data) return;
    real *to = ss_cuda_row<real>(out, lane, row) + col;
    if (accumulate) {
        const ss_pack<real, N> old = ss_load<N>(to);
        for (int v = 0; v < N; v++) value[v] += old[v];
    }
    ss_store<N>(to, value);
}

template <typename real, typename point> struct glu_element {
    glu_sweep<real> w;

    template <int N> __device__ void at(int64_t, int64_t row, int64_t col) const
    {
        ss_pack<real, N> a, b, f, first, second;
        for (int64_t lane = 0; lane < w.lanes; lane++) {
            if (lane == 0 || w.a.lane_stride != 0) {
                a = ss_load<N, real>(w.a, lane, row, col);
                for (int v = 0; v < N; v++) {
                    f[v] = point::value(a[v], w.parameter);
                    const real s = point::from_y ? f[v] : a[v];
                    first[v] = w.which == SS_FORWARD ? 0 : point::first(s, w.parameter);
                    second[v] = w.which == SS_TANGENT_BACKWARD ? point::second(s, w.parameter) : 0;
                }
            }
            if (lane == 0 || w.b.lane_stride != 0) b = ss_load<N, real>(w.b, lane, row, col);
            sweep_lane<N>(lane, row, col, b, f, first, second);
        }
    }

    template <int N>
    __device__ __forceinline__ void
    sweep_lane(int64_t lane, int64_t row, int64_t col, const ss_pack<real, N> &b, const ss_pack<real, N> &f,
               const ss_pack<real, N> &first, const ss_pack<real, N> &second) const
    {
        ss_pack<real, N>       of_a = {}, of_b = {}; /* of_a: y ahead */
        const ss_pack<real, N> a_t = ss_load<N, real>(w.a_t, lane, row, col),
                               b_t = ss_load<N, real>(w.b_t, lane, row, col),
                               y_a = ss_load<N, real>(w.y_a, lane, row, col),
                               y_at = ss_load<N, real>(w.y_at, lane, row, col);
        for (int v = 0; v < N; v++) switch (w.which) {
            case SS_FORWARD: of_a[v] = f[v] * b[v]; break;
            case SS_BACKWARD:
                of_a[v] = first[v] * b[v] * y_a[v];
                of_b[v] = f[v] * y_a[v];
                break;
            case SS_TANGENT_FORWARD: of_a[v] = first[v] * a_t[v] * b[v] + f[v] * b_t[v]; break;
            default:
                of_a[v] = second[v] * a_t[v] * b[v] * y_a[v] + first[v] * (b_t[v] * y_a[v] + b[v] * y_at[v]);
                of_b[v] = first[v] * a_t[v] * y_a[v] + f[v] * y_at[v];
            }
        put<N, real>(w.out[0], w.accumulate[0], lane, row, col, of_a);
        put<N, real>(w.out[1], w.accumulate[1], lane, row, col, of_b);
    }
};

template <typename real, typename point>
static ss_status run(ss_queue *q, const glu_sweep<real> &w, int64_t rows, int64_t cols, bool flat,
                     bool aligned)
{
    const glu_element<real, point> f = { w };
    return flat ? ss_cuda_map_packs<real>(q, 1, 1, rows * cols, aligned, f)
                : ss_cuda_map_packs<real>(q, 1, rows, cols, aligned, f);
}

template <typename real> ss_status ss_cuda_glu(ss_backend *b, ss_queue *q, const ss_glu *p)
{
    glu_sweep<real> w = {};
    const bool      tangents = p->sweep == SS_TANGENT_FORWARD || p->sweep == SS_TANGENT_BACKWARD;
    if (p->gated && ((int)p->function < 0 || p->function >= SS_FUNCTION_COUNT))
        return ss_fail(b->context, SS_ERROR_INTERNAL, "glu: unknown function %d", (int)p->function);
    w.which = p->sweep;
    w.lanes = p->lanes;
    for (int i = 0; i < 2; i++) w.parameter[i] = (real)p->parameter[i];
    w.a = p->a;
    w.b = p->b;
    if (tangents) w.a_t = p->a_t;
    if (tangents) w.b_t = p->b_t;
    if (p->sweep == SS_BACKWARD || p->sweep == SS_TANGENT_BACKWARD) w.y_a = p->y_a;
    if (p->sweep == SS_TANGENT_BACKWARD) w.y_at = p->y_at;
    ss_glu_outputs(p, w.out, w.accumulate);
    if (p->sweep > SS_TANGENT_BACKWARD || (p->gated && !w.a.data) || (!w.out[0].data && !w.out[1].data))
        return ss_fail(b->context, SS_ERROR_INTERNAL, "glu: sweep %d lacks an operand", (int)p->sweep);
    SS_RETURN(ss_cuda_enter(b, &q));
    const ss_matrix &shape = w.out[0].data ? w.out[0] : w.out[1];
    const int64_t    rows = shape.rows, cols = shape.cols;
    ss_matrix       *inputs[] = { &w.a, &w.b, &w.a_t, &w.b_t, &w.y_a, &w.y_at };
    for (ss_matrix *input : inputs) *input = ss_cuda_operand(input, rows);
    const ss_matrix *all[] = { &w.a, &w.b, &w.a_t, &w.b_t, &w.y_a, &w.y_at, &w.out[0], &w.out[1] };
    bool             flat = true, aligned = true;
    for (const ss_matrix *m : all) flat = flat && ss_cuda_flat(m);
    for (const ss_matrix *m : all) aligned = aligned && ss_cuda_aligned<real>(m, w.lanes, flat);
    if (!p->gated) return run<real, identity_point>(q, w, rows, cols, flat, aligned);
    switch (p->function) {
#define RUN_ROW(name, torch, stem, from_y, kinked)                                                           \
    case name: return run<real, stem##_point>(q, w, rows, cols, flat, aligned);
        SS_FUNCTION_TABLE(RUN_ROW)
#undef RUN_ROW
    default: return SS_ERROR_INTERNAL;
    }
}
SS_CUDA_INSTANTIATE(glu)
