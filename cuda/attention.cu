/* Attention: checks, and the sweeps forward, stationary in a tile of queries (attention.cuh).
 *
 * FORWARD goes through the keys with an online softmax; TANGENT_FORWARD has the logsumexp already and needs
 * no rescaling. */
#include "attention.cuh"

#include <float.h>
#include <math.h>

static __device__ __forceinline__ float lowest(float)
{
    return -FLT_MAX;
}
static __device__ __forceinline__ double lowest(double)
{
    return -DBL_MAX;
}

struct larger {
    template <typename real> __device__ real operator()(real a, real b) const { return a > b ? a : b; }
};

struct plus {
    template <typename real> __device__ real operator()(real a, real b) const { return a + b; }
};

/* ---- FORWARD ---- */

/* A thread's rows of the online softmax; `sum` is this thread's share. */
template <typename S> struct softmax_rows {
    typename S::real largest[SS_TILE_OWN], sum[SS_TILE_OWN];
};

/* s: U / scale of the meeting, becomes exp(S - largest); what came before is scaled down. */
template <typename S>
static __device__ void softmax_tile(const ss_attention_work &w, const ss_tile_block<S> &b,
                                    const ss_attention_view &v, typename S::real (&s)[SS_TILE_OWN][S::across],
                                    softmax_rows<S> *rows, typename S::real (&out)[SS_TILE_OWN][S::columns])
{
    using real = typename S::real;
    using points = ss_attention_points<real>;
    const real scale = (real)w.p.scale, cap = (real)w.p.cap;
    real       largest[SS_TILE_OWN];
    for (int i = 0; i < SS_TILE_OWN; i++) largest[i] = rows->largest[i];
    SS_ATTENTION_EACH(S, i, j)
    {
        s[i][j] *= scale;
        if (cap > 0) s[i][j] = cap * points::attention_squash(s[i][j], cap);
        if (!ss_attention_sees<false>(w, v, v.row + b.y + i * S::down, v.col + b.x + j * SS_TILE_LANES))
            s[i][j] = -(real)INFINITY;
        largest[i] = s[i][j] > largest[i] ? s[i][j] : largest[i];
    }
    ss_tile_row_reduce(largest, larger());
    for (int i = 0; i < SS_TILE_OWN; i++) {
        const real factor = points::attention_probability(rows->largest[i], largest[i]);
        rows->largest[i] = largest[i];
        rows->sum[i] *= factor;
        for (int j = 0; j < S::columns; j++) out[i][j] *= factor;
    }
    SS_ATTENTION_EACH(S, i, j)
    {
        s[i][j] = points::attention_probability(s[i][j], largest[i]);
        rows->sum[i] += s[i][j];
    }
}

template <typename S>
static __global__ void __launch_bounds__(S::threads, 1)
    attention_forward(const ss_attention_work w, const int64_t tasks)
{
    using real = typename S::real;
    SS_SHARED(real, chunk, S::chunk);
    SS_SHARED(real, square, S::square);
    const ss_tile_block<S> b = ss_tile_begin<S>(chunk, square, w.tokens, w.dim);
    for (int64_t task = blockIdx.x; task < tasks; task += gridDim.x) {
        const ss_attention_place at = ss_attention_find<S>(w, w.heads, true, task);
        const int64_t            key_head = at.head / (w.heads / w.key_heads);
        const ss_strip<real>     q = ss_strip_of<real>(w.p.q, 0, at.batch, at.head),
                             k = ss_strip_of<real>(w.p.k, 0, at.batch, key_head),
                             v = ss_strip_of<real>(w.p.v, 0, at.batch, key_head);
        ss_attention_span span;
        ss_attention_view view = ss_attention_look<S, false>(w, at.batch, at.first, &span);
        softmax_rows<S>   rows;
        real              out[SS_TILE_OWN][S::columns] = {};
        for (int i = 0; i < SS_TILE_OWN; i++) {
            rows.largest[i] = lowest(real());
            rows.sum[i] = 0;
        }
        for (int64_t key = span.begin; key < span.end; key += S::side) {
            if (!ss_attention_meet<S, false>(w, key, &view)) continue;
            real s[SS_TILE_OWN][S::across] = {};
            ss_tile_scores<S>(b, q, at.first, k, key, s);
            softmax_tile<S>(w, b, view, s, &rows, out);
            if (w.p.o.data) ss_tile_gather<S>(b, s, v, key, at.column, out);
        }
        ss_tile_row_reduce(rows.sum, plus());
        real *const L = ss_statistics_at<real>(w.p.saved, (at.batch * w.heads + at.head) * w.tokens);
        for (int i = 0; i < SS_TILE_OWN; i++) {
            const int64_t row = at.first + b.y + i * S::down;
            const bool    sees = rows.sum[i] > 0; /* a query without keys: o = 0, and any finite L will do */
            if (L && at.column == 0 && b.x == 0 && row < w.tokens)
                L[row] = sees ? rows.largest[i] + (real)log((double)rows.sum[i]) : 0;
            rows.sum[i] = sees ? 1 / rows.sum[i] : 0;
        }
        if (w.p.o.data)
            ss_tile_store<S>(b, out, rows.sum, ss_strip_of<real>(w.p.o, 0, at.batch, at.head), at.first,
                             at.column, w.p.accumulate_o);
    }
}

/* ---- TANGENT_FORWARD ---- */

template <typename S>
static __global__ void __launch_bounds__(S::threads, 1)
    attention_tangent_forward(const ss_attention_work w, const int64_t tasks)
{
    using real = typename S::real;
    using points = ss_attention_points<real>;
    SS_SHARED(real, chunk, S::chunk);
    SS_SHARED(real, square, S::square);
    const ss_tile_block<S> b = ss_tile_begin<S>(chunk, square, w.tokens, w.dim);
    const real             scale = (real)w.p.scale;
    for (int64_t task = blockIdx.x; task < tasks; task += gridDim.x) {
        const ss_attention_place at = ss_attention_find<S>(w, w.heads, true, task);
        const int64_t        key_head = at.head / (w.heads / w.key_heads), row = at.batch * w.heads + at.head;
        const ss_strip<real> q = ss_strip_of<real>(w.p.q, 0, at.batch, at.head),
                             k = ss_strip_of<real>(w.p.k, 0, at.batch, key_head),
                             v = ss_strip_of<real>(w.p.v, 0, at.batch, key_head),
                             q_t = ss_strip_of<real>(w.p.q_t, at.lane, at.batch, at.head),
                             k_t = ss_strip_of<real>(w.p.k_t, at.lane, at.batch, key_head),
                             v_t = ss_strip_of<real>(w.p.v_t, at.lane, at.batch, key_head),
                             o = ss_strip_of<real>(w.p.o, 0, at.batch, at.head);
        const real *const L = ss_statistics_at<real>(w.p.saved, row * w.tokens);
        ss_attention_span span;
        ss_attention_view view = ss_attention_look<S, false>(w, at.batch, at.first, &span);
        real              out[SS_TILE_OWN][S::columns] = {}, mu[SS_TILE_OWN] = {}, one[SS_TILE_OWN];
        if (!w.of_scores && !w.values_t) span.end = span.begin;
        for (int64_t key = span.begin; key < span.end; key += S::side) {
            if (!ss_attention_meet<S, false>(w, key, &view)) continue;
            real p[SS_TILE_OWN][S::across] = {}, t[SS_TILE_OWN][S::across], u[SS_TILE_OWN][S::across] = {};
            ss_tile_scores<S>(b, q, at.first, k, key, p);
            ss_attention_probabilities<S, false>(w, b, view, L, p, t);
            if (w.values_t) ss_tile_gather<S>(b, p, v_t, key, at.column, out);
            if (!w.of_scores) continue;
            if (q_t.data) ss_tile_scores<S>(b, q_t, at.first, k, key, u);
            if (k_t.data) ss_tile_scores<S>(b, q, at.first, k_t, key, u);
            SS_ATTENTION_EACH(S, i, j)
            {
                u[i][j] *= scale * points::attention_slope(t[i][j]) * p[i][j];
                mu[i] += u[i][j];
            }
            if (w.p.o_t.data) ss_tile_gather<S>(b, u, v, key, at.column, out);
        }
        ss_tile_row_reduce(mu, plus());
        real *const saved_t =
            ss_statistics_at<real>(w.p.saved_t, at.lane * w.p.saved_t_stride + row * w.tokens);
        for (int i = 0; i < SS_TILE_OWN; i++) {
            const int64_t token = at.first + b.y + i * S::down;
            one[i] = 1;
            if (token >= w.tokens) continue;
            if (saved_t && at.column == 0 && b.x == 0) saved_t[token] = mu[i];
            if (!w.of_scores || !w.p.o_t.data) continue;
            for (int j = 0; j < S::columns; j++) {
                const int64_t col = at.column + b.x + j * SS_TILE_LANES;
                if (col < w.dim) out[i][j] -= mu[i] * o.data[token * o.stride + col];
            }
        }
        if (w.p.o_t.data)
            ss_tile_store<S>(b, out, one, ss_strip_of<real>(w.p.o_t, at.lane, at.batch, at.head), at.first,
                             at.column, w.p.accumulate_o);
    }
}

template <typename S> static ss_status launch_forward(ss_queue *q, ss_attention_work *w)
{
    w->tiles = ss_cuda_blocks(w->tokens, S::side);
    w->slices = ss_cuda_blocks(w->dim, S::width);
    const int64_t  tasks = ss_attention_tasks(w, w->heads);
    const unsigned grid = ss_attention_grid(tasks);
    ss_context    *context = q->device->context;
    if (w->p.sweep == SS_FORWARD)
        SS_CUDA_LAUNCH(context, (attention_forward<S>), grid, S::threads, 0, q->stream, *w, tasks);
    else
        SS_CUDA_LAUNCH(context, (attention_tangent_forward<S>), grid, S::threads, 0, q->stream, *w, tasks);
    return SS_OK;
}

template <typename real> static ss_status forward(ss_queue *q, ss_attention_work *w)
{
#define FORWARD(side, width) launch_forward<ss_tiles<real, side, width>>(q, w)
    SS_ATTENTION_CHOOSE(real, w->tokens, w->dim, FORWARD);
#undef FORWARD
}

/* ---- Checks ---- */

static bool fits(const ss_heads *h, const ss_attention_work *w, int64_t heads)
{
    return !h->data ||
           (h->batch == w->batch && h->tokens == w->tokens && h->heads == heads && h->dim == w->dim);
}

static ss_attention_work describe(const ss_attention *p)
{
    ss_attention_work w = {};
    const bool        scores = p->q_t.data || p->k_t.data, second = p->sweep == SS_TANGENT_BACKWARD;
    w.p = *p;
    w.batch = p->q.batch;
    w.tokens = p->q.tokens;
    w.heads = p->q.heads;
    w.key_heads = p->k.heads;
    w.dim = p->q.dim;
    w.lanes = p->sweep == SS_FORWARD ? 1 : p->lanes;
    w.rows = w.batch * w.heads * w.tokens;
    w.second = second;
    w.plain = p->o_a.data && (!second || scores || p->v_t.data);
    w.of_scores = scores && (second ? w.plain : p->o_t.data || p->saved_t);
    w.values_t = p->v_t.data && (second ? w.plain : p->o_t.data != nullptr);
    return w;
}

template <typename real> ss_status ss_cuda_attention(ss_backend *b, ss_queue *q, const ss_attention *p)
{
    ss_attention_work w = describe(p);
    const ss_heads   *queries[] = { &p->q, &p->o, &p->q_t, &p->o_t, &p->q_a, &p->o_a, &p->q_at, &p->o_at };
    const ss_heads   *keys[] = { &p->k, &p->v, &p->k_t, &p->v_t, &p->k_a, &p->v_a, &p->k_at, &p->v_at };
    bool good = p->q.data && p->k.data && (p->saved || p->sweep == SS_FORWARD) && ss_attention_is_complete(p);
    good = good && w.key_heads > 0 && w.heads % w.key_heads == 0 && w.lanes >= 1;
    for (int i = 0; i < 8; i++)
        good = good && fits(queries[i], &w, w.heads) && fits(keys[i], &w, w.key_heads);
    if (!good)
        return ss_fail(b->context, SS_ERROR_INTERNAL,
                       "attention: sweep %d lacks an operand, or shapes differ", (int)p->sweep);
    SS_RETURN(ss_cuda_enter(b, &q));
    if (w.batch == 0 || w.tokens == 0 || w.dim == 0) return SS_OK;
    return p->sweep == SS_FORWARD || p->sweep == SS_TANGENT_FORWARD ? forward<real>(q, &w)
                                                                    : ss_cuda_attention_back<real>(q, &w);
}
SS_CUDA_INSTANTIATE(attention)
