/* Attention: BACKWARD and TANGENT_BACKWARD (attention.cuh). Two passes, one stationary in the queries for
 * q_a, one in the keys for k_a and v_a; a kernel before them computes the row statistics D and D_t.
 *
 * All four kernels are one: KEYS says which side stands still, SECOND which order it is. Square tiles have
 * stationary tokens as rows, so that an output is always the tile times passing tokens. */
#include "attention.cuh"

#include "reduce.cuh"

/* ---- Row statistics ---- */

/* This warp's lane's share of x . y for one row; 0 when one is absent */
template <typename real>
static __device__ double share_of_dot(const ss_strip<real> &x, const ss_strip<real> &y, int64_t token,
                                      int64_t dim)
{
    double sum = 0;
    if (!x.data || !y.data) return 0;
    for (int64_t j = threadIdx.x % SS_WARP; j < dim; j += SS_WARP)
        sum += (double)x.data[token * x.stride + j] * (double)y.data[token * y.stride + j];
    return sum;
}

/* D of all lanes, or D and D_t; a warp per row and lane, in the order of the rows. */
template <typename real>
static __global__ void __launch_bounds__(256) attention_statistics(const ss_attention_work w)
{
    const int64_t warps = (int64_t)gridDim.x * (blockDim.x / SS_WARP);
    real *const D = static_cast<real *>(w.p.workspace), *const D_t = D + w.rows;
    for (int64_t i = (int64_t)blockIdx.x * (blockDim.x / SS_WARP) + threadIdx.x / SS_WARP;
         i < w.rows * w.lanes; i += warps) {
        const int64_t        lane = i / w.rows, row = i % w.rows, token = row % w.tokens;
        const int64_t        head = row / w.tokens % w.heads, batch = row / (w.tokens * w.heads);
        const ss_strip<real> o = ss_strip_of<real>(w.p.o, 0, batch, head);
        const ss_strip<real> o_a = ss_strip_of<real>(w.p.o_a, w.second ? 0 : lane, batch, head);
        double               sum[2] = { 0, 0 };
        if (!w.second || (lane == 0 && w.of_scores)) sum[0] = share_of_dot(o_a, o, token, w.dim);
        if (w.second) {
            sum[1] = share_of_dot(ss_strip_of<real>(w.p.o_at, lane, batch, head), o, token, w.dim);
            if (w.plain)
                sum[1] += share_of_dot(o_a, ss_strip_of<real>(w.p.o_t, lane, batch, head), token, w.dim);
        }
        for (int k = 0; k < (w.second ? 2 : 1); k++)
            for (int offset = SS_WARP / 2; offset > 0; offset /= 2)
                sum[k] += __shfl_down_sync(SS_ALL, sum[k], offset);
        if (threadIdx.x % SS_WARP != 0) continue;
        if (!w.second)
            D[i] = (real)sum[0];
        else {
            if (lane == 0 && w.of_scores) D[row] = (real)sum[0];
            D_t[i] = (real)sum[1];
        }
    }
}

/* ---- The passes ---- */

/* What meets in one query head: all strips, and statistics from the head's first token. */
template <typename real> struct back_strips {
    ss_strip<real> q, k, v, o_a, q_t, k_t, v_t, o_at;
    const real    *L, *mu, *D, *D_t;
};

template <typename real>
static __device__ back_strips<real> find_strips(const ss_attention_work &w, int64_t lane, int64_t batch,
                                                int64_t head)
{
    const int64_t     key_head = head / (w.heads / w.key_heads), row = (batch * w.heads + head) * w.tokens;
    back_strips<real> s;
    s.q = ss_strip_of<real>(w.p.q, 0, batch, head);
    s.k = ss_strip_of<real>(w.p.k, 0, batch, key_head);
    s.v = ss_strip_of<real>(w.p.v, 0, batch, key_head);
    s.o_a = ss_strip_of<real>(w.p.o_a, w.second ? 0 : lane, batch, head);
    s.q_t = ss_strip_of<real>(w.p.q_t, lane, batch, head);
    s.k_t = ss_strip_of<real>(w.p.k_t, lane, batch, key_head);
    s.v_t = ss_strip_of<real>(w.p.v_t, lane, batch, key_head);
    s.o_at = ss_strip_of<real>(w.p.o_at, lane, batch, head);
    s.L = ss_statistics_at<real>(w.p.saved, row);
    s.mu = ss_statistics_at<real>(w.p.saved_t, lane * w.p.saved_t_stride + row);
    s.D = ss_statistics_at<real>(w.p.workspace, row + (w.second ? 0 : lane * w.rows));
    s.D_t = ss_statistics_at<real>(w.p.workspace, w.rows + lane * w.rows + row);
    return s;
}

/* x += the products of queries and keys, as rows and columns stand. */
template <typename S, bool KEYS>
static __device__ __forceinline__ void
meet(const ss_tile_block<S> &b, const ss_attention_view &v, const ss_strip<typename S::real> &of_queries,
     const ss_strip<typename S::real> &of_keys, typename S::real (&x)[SS_TILE_OWN][S::across])
{
    ss_tile_scores<S>(b, KEYS ? of_keys : of_queries, v.row, KEYS ? of_queries : of_keys, v.col, x);
}

/* The outputs of a task, in registers. */
template <typename S, bool KEYS> struct back_sums {
    typename S::real out[SS_TILE_OWN][S::columns];               /* q_a or k_a, without the scale */
    typename S::real values[SS_TILE_OWN][KEYS ? S::columns : 1]; /* v_a */
};

/* BACKWARD: one meeting. */
template <typename S, bool KEYS>
static __device__ __forceinline__ void
first_order(const ss_attention_work &w, const ss_tile_block<S> &b, const ss_attention_view &v,
            const back_strips<typename S::real> &s, int64_t column, back_sums<S, KEYS> *sums)
{
    using real = typename S::real;
    using points = ss_attention_points<real>;
    real p[SS_TILE_OWN][S::across] = {}, t[SS_TILE_OWN][S::across], e[SS_TILE_OWN][S::across] = {};
    real D[SS_TILE_OWN];
    meet<S, KEYS>(b, v, s.q, s.k, p);
    ss_attention_probabilities<S, KEYS>(w, b, v, s.L, p, t);
    if constexpr (KEYS)
        if (w.p.v_a.data) ss_tile_gather<S>(b, p, s.o_a, v.col, column, sums->values);
    if (KEYS ? !w.p.k_a.data : !w.p.q_a.data) return;
    meet<S, KEYS>(b, v, s.o_a, s.v, e);
    ss_attention_statistic<S, KEYS>(b, v, s.D, D);
    SS_ATTENTION_EACH(S, i, j)
    e[i][j] = points::attention_slope(t[i][j]) * p[i][j] * (e[i][j] - D[KEYS ? j : i]);
    ss_tile_gather<S>(b, e, KEYS ? s.q : s.k, v.col, column, sums->out);
}

/* P_t in place of U_t / scale, U_a in place of P_a, U_at in place of P_at. */
template <typename S, bool KEYS>
static __device__ __forceinline__ void second_order_scores(
    const ss_attention_work &w, const ss_tile_block<S> &b, const ss_attention_view &v,
    const back_strips<typename S::real> &s, const typename S::real (&p)[SS_TILE_OWN][S::across],
    const typename S::real (&t)[SS_TILE_OWN][S::across], typename S::real (&u)[SS_TILE_OWN][S::across],
    typename S::real (&e)[SS_TILE_OWN][S::across], typename S::real (&x)[SS_TILE_OWN][S::across])
{
    using real = typename S::real;
    using points = ss_attention_points<real>;
    const real scale = (real)w.p.scale, cap = (real)w.p.cap;
    real       mu[SS_TILE_OWN] = {}, D[SS_TILE_OWN] = {}, D_t[SS_TILE_OWN];
    if (w.of_scores) {
        ss_attention_statistic<S, KEYS>(b, v, s.mu, mu);
        ss_attention_statistic<S, KEYS>(b, v, s.D, D);
    }
    ss_attention_statistic<S, KEYS>(b, v, s.D_t, D_t);
    SS_ATTENTION_EACH(S, i, j)
    {
        const int  at = KEYS ? j : i;
        const real slope = points::attention_slope(t[i][j]), u_t = scale * u[i][j];
        const real a = w.of_scores ? e[i][j] - D[at] : 0;
        const real p_t = w.of_scores ? points::attention_p_t(p[i][j], slope * u_t, mu[at]) : 0;
        const real s_at = points::attention_s_at(p[i][j], p_t, a, x[i][j], D_t[at]);
        if (cap > 0)
            x[i][j] = points::attention_u_at(t[i][j], cap, u_t, p[i][j] * a, s_at);
        else
            x[i][j] = s_at;
        u[i][j] = p_t;
        e[i][j] = slope * p[i][j] * a;
    }
}

/* TANGENT_BACKWARD: one meeting. */
template <typename S, bool KEYS>
static __device__ __forceinline__ void
second_order(const ss_attention_work &w, const ss_tile_block<S> &b, const ss_attention_view &v,
             const back_strips<typename S::real> &s, int64_t column, back_sums<S, KEYS> *sums)
{
    using real = typename S::real;
    using points = ss_attention_points<real>;
    const bool to_scores = KEYS ? w.p.k_at.data != nullptr : w.p.q_at.data != nullptr;
    const bool values = KEYS && w.p.v_at.data;
    real       p[SS_TILE_OWN][S::across] = {}, t[SS_TILE_OWN][S::across], u[SS_TILE_OWN][S::across] = {};
    meet<S, KEYS>(b, v, s.q, s.k, p);
    ss_attention_probabilities<S, KEYS>(w, b, v, s.L, p, t);
    if constexpr (KEYS)
        if (values && s.o_at.data) ss_tile_gather<S>(b, p, s.o_at, v.col, column, sums->values);
    if (w.of_scores && s.q_t.data) meet<S, KEYS>(b, v, s.q_t, s.k, u);
    if (w.of_scores && s.k_t.data) meet<S, KEYS>(b, v, s.q, s.k_t, u);
    if (to_scores) {
        real        e[SS_TILE_OWN][S::across] = {}, x[SS_TILE_OWN][S::across] = {};
        const auto &other = KEYS ? s.q : s.k, &other_t = KEYS ? s.q_t : s.k_t;
        if (w.of_scores) meet<S, KEYS>(b, v, s.o_a, s.v, e);
        if (s.o_at.data) meet<S, KEYS>(b, v, s.o_at, s.v, x);
        if (w.values_t) meet<S, KEYS>(b, v, s.o_a, s.v_t, x);
        second_order_scores<S, KEYS>(w, b, v, s, p, t, u, e, x);
        ss_tile_gather<S>(b, x, other, v.col, column, sums->out);
        if (w.of_scores && other_t.data) ss_tile_gather<S>(b, e, other_t, v.col, column, sums->out);
    } else if (w.of_scores) {
        real mu[SS_TILE_OWN];
        ss_attention_statistic<S, KEYS>(b, v, s.mu, mu);
        SS_ATTENTION_EACH(S, i, j)
        u[i][j] = points::attention_p_t(p[i][j], (real)w.p.scale * points::attention_slope(t[i][j]) * u[i][j],
                                        mu[KEYS ? j : i]);
    }
    if constexpr (KEYS)
        if (values && w.of_scores) ss_tile_gather<S>(b, u, s.o_a, v.col, column, sums->values);
}

template <typename S, bool KEYS, bool SECOND>
static __global__ void __launch_bounds__(S::threads, 1)
    attention_back(const ss_attention_work w, const int64_t tasks)
{
    using real = typename S::real;
    SS_SHARED(real, chunk, S::chunk);
    SS_SHARED(real, square, S::square);
    const ss_tile_block<S> b = ss_tile_begin<S>(chunk, square, w.tokens, w.dim);
    const int64_t          group = w.heads / w.key_heads, heads = KEYS ? w.key_heads : w.heads;
    const ss_heads        &to = KEYS ? (SECOND ? w.p.k_at : w.p.k_a) : (SECOND ? w.p.q_at : w.p.q_a);
    for (int64_t task = blockIdx.x; task < tasks; task += gridDim.x) {
        const ss_attention_place at = ss_attention_find<S>(w, heads, !KEYS, task);
        ss_attention_span        span;
        ss_attention_view        view = ss_attention_look<S, KEYS>(w, at.batch, at.first, &span);
        back_sums<S, KEYS>       sums = {};
        real                     factor[SS_TILE_OWN];
        for (int64_t h = 0; h < (KEYS ? group : 1); h++) {
            const back_strips<real> s =
                find_strips<real>(w, at.lane, at.batch, KEYS ? at.head * group + h : at.head);
            for (int64_t col = span.begin; col < span.end; col += S::side) {
                if (!ss_attention_meet<S, KEYS>(w, col, &view)) continue;
                if constexpr (SECOND)
                    second_order<S, KEYS>(w, b, view, s, at.column, &sums);
                else
                    first_order<S, KEYS>(w, b, view, s, at.column, &sums);
            }
        }
        for (int i = 0; i < SS_TILE_OWN; i++) factor[i] = (real)w.p.scale;
        if (to.data)
            ss_tile_store<S>(b, sums.out, factor, ss_strip_of<real>(to, at.lane, at.batch, at.head), at.first,
                             at.column, KEYS ? w.p.accumulate_k : w.p.accumulate_q);
        if constexpr (KEYS) {
            const ss_heads &values = SECOND ? w.p.v_at : w.p.v_a;
            for (int i = 0; i < SS_TILE_OWN; i++) factor[i] = 1;
            if (values.data)
                ss_tile_store<S>(b, sums.values, factor,
                                 ss_strip_of<real>(values, at.lane, at.batch, at.head), at.first, at.column,
                                 w.p.accumulate_v);
        }
    }
}

/* ---- The call ---- */

template <typename S, bool KEYS> static ss_status launch_pass(ss_queue *q, ss_attention_work *w)
{
    w->slices = ss_cuda_blocks(w->dim, S::width);
    const int64_t  tasks = ss_attention_tasks(w, KEYS ? w->key_heads : w->heads);
    const unsigned grid = ss_attention_grid(tasks);
    ss_context    *context = q->device->context;
    if (w->second)
        SS_CUDA_LAUNCH(context, (attention_back<S, KEYS, true>), grid, S::threads, 0, q->stream, *w, tasks);
    else
        SS_CUDA_LAUNCH(context, (attention_back<S, KEYS, false>), grid, S::threads, 0, q->stream, *w, tasks);
    return SS_OK;
}

/* Tiles for the pass that has two outputs: in float64 narrower ones, or its registers do not suffice. */
template <typename S>
using key_tiles = ss_tiles<typename S::real, S::side, sizeof(typename S::real) == 8 ? 32 : S::width>;

template <typename S> static ss_status launch_back(ss_queue *q, ss_attention_work *w)
{
    const ss_attention *p = &w->p;
    const bool          of_q = w->second ? p->q_at.data != nullptr : p->q_a.data != nullptr;
    const bool          of_k = w->second ? p->k_at.data != nullptr : p->k_a.data != nullptr;
    const bool          of_v = w->second ? p->v_at.data != nullptr : p->v_a.data != nullptr;
    w->tiles = ss_cuda_blocks(w->tokens, S::side);
    if (of_q || of_k) {
        const unsigned blocks = ss_row_blocks(ss_cuda_blocks(w->rows * w->lanes, SS_BLOCK_WARPS));
        SS_CUDA_LAUNCH(q->device->context, (attention_statistics<typename S::real>), blocks,
                       SS_BLOCK_WARPS * SS_WARP, 0, q->stream, *w);
    }
    if (of_q) SS_RETURN((launch_pass<S, false>(q, w)));
    if (of_k || of_v) SS_RETURN((launch_pass<key_tiles<S>, true>(q, w)));
    return SS_OK;
}

template <typename real> ss_status ss_cuda_attention_back(ss_queue *q, ss_attention_work *w)
{
#define BACK(side, width) launch_back<ss_tiles<real, side, width>>(q, w)
    SS_ATTENTION_CHOOSE(real, w->tokens, w->dim, BACK);
#undef BACK
}
template ss_status ss_cuda_attention_back<float>(ss_queue *, ss_attention_work *);
template ss_status ss_cuda_attention_back<double>(ss_queue *, ss_attention_work *);
