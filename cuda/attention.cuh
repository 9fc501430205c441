/* Attention on CUDA: what its kernels share. The formulas are in backend/attention_functions.h.
 *
 * A task is a tile of queries (or of keys and values) of one head, one lane, and one slice of columns of its
 * outputs; a block of threads keeps its output in registers while the other side's tiles pass by, and only
 * those tiles that the causal mask and the window leave. Tiles of scores exist in registers, one by one in
 * shared memory. Nothing is shared between tasks, so every sum has one order; a pass stationary in the
 * queries gives q_a, one stationary in the keys k_a and v_a, through all query heads that share the key head.
 *
 *     attention.cu       checks, FORWARD and TANGENT_FORWARD
 *     attention_back.cu  BACKWARD and TANGENT_BACKWARD */
#ifndef SS_CUDA_ATTENTION_CUH
#define SS_CUDA_ATTENTION_CUH

#include "tiles.cuh"

template <typename real> struct ss_attention_points;
#define SS_ATTENTION_QUALIFIER static __device__ __forceinline__
#define SS_ATTENTION(name)     name
#define SS_ATTENTION_REAL      float
#define SS_ATTENTION_EXP(x)    expf(x)
#define SS_ATTENTION_TANH(x)   tanhf(x)
template <> struct ss_attention_points<float> {
#include "backend/attention_functions.h"
};
#undef SS_ATTENTION_REAL
#undef SS_ATTENTION_EXP
#undef SS_ATTENTION_TANH
#define SS_ATTENTION_REAL    double
#define SS_ATTENTION_EXP(x)  exp(x)
#define SS_ATTENTION_TANH(x) tanh(x)
template <> struct ss_attention_points<double> {
#include "backend/attention_functions.h"
};

/* A call, as the kernels get it. */
struct ss_attention_work {
    ss_attention p;
    int64_t      batch, tokens, heads, key_heads, dim, lanes;
    int64_t      tiles, slices; /* of the tokens, of the output's columns */
    int64_t      rows;          /* batch heads tokens: elements of one statistic */
    bool         second;        /* TANGENT_BACKWARD */
    bool         plain;         /* o_a is used */
    bool         of_scores;     /* the scores have a tangent that is needed */
    bool         values_t;      /* second: o_a v_t' is a part of P_at */
};

/* Where a task works. */
struct ss_attention_place {
    int64_t lane, batch, head, first, column; /* first: token of the tile */
};

/* Slices of one head follow each other, then lanes, heads, tiles; `backwards`: the last tile first, which
 * under a causal mask has the most to do. */
template <typename S>
static __device__ __forceinline__ ss_attention_place ss_attention_find(const ss_attention_work &w,
                                                                       int64_t heads, bool backwards,
                                                                       int64_t task)
{
    ss_attention_place at;
    at.column = task % w.slices * S::width;
    task /= w.slices;
    at.lane = task % w.lanes;
    task /= w.lanes;
    at.head = task % heads;
    task /= heads;
    at.batch = task % w.batch;
    task /= w.batch;
    at.first = (backwards ? w.tiles - 1 - task : task) * S::side;
    return at;
}

static inline int64_t ss_attention_tasks(const ss_attention_work *w, int64_t heads)
{
    return w->slices * w->lanes * heads * w->batch * w->tiles;
}

/* A tile of queries meets a tile of keys: S::side of each, KEYS: rows are keys and columns queries. */
struct ss_attention_view {
    int64_t        row, col;  /* first tokens */
    int64_t        low, high; /* query i sees key j for low < j - i <= high */
    const int64_t *mask;      /* of the batch; NULL = none */
    bool           whole;     /* every query of the tile sees every key */
};

/* Which passing tiles a stationary tile meets: tokens [begin, end), begin a multiple of the side. */
struct ss_attention_span {
    int64_t begin, end;
};

template <typename S, bool KEYS>
static __device__ ss_attention_view ss_attention_look(const ss_attention_work &w, int64_t batch,
                                                      int64_t first, ss_attention_span *span)
{
    using points = ss_attention_points<typename S::real>;
    ss_attention_view v = { first,
                            0,
                            points::attention_low(w.p.window, w.tokens),
                            points::attention_high(w.p.causal, w.tokens),
                            nullptr,
                            false };
    const int64_t     last = ss_least(first + S::side, w.tokens) - 1;
    if (w.p.mask) v.mask = w.p.mask + batch * w.tokens;
    span->begin = KEYS ? first - v.high : first + v.low + 1;
    span->end = KEYS ? last - v.low : last + v.high + 1;
    span->begin = span->begin > 0 ? span->begin / S::side * S::side : 0;
    span->end = ss_least(span->end, w.tokens);
    return v;
}

/* The next passing tile; false: all its keys, or all of the stationary ones, are masked. */
template <typename S, bool KEYS>
static __device__ bool ss_attention_meet(const ss_attention_work &w, int64_t col, ss_attention_view *v)
{
    const int64_t query = KEYS ? col : v->row, key = KEYS ? v->row : col;
    const int64_t queries = ss_least(S::side, w.tokens - query), keys = ss_least(S::side, w.tokens - key);
    v->col = col;
    v->whole = !v->mask && queries == S::side && keys == S::side && key + keys - 1 - query <= v->high &&
               key - (query + queries - 1) > v->low;
    if (!v->mask) return true;
    bool seen = false;
    for (int64_t j = 0; j < keys && !seen; j++) seen = v->mask[key + j] != 0;
    return seen;
}

template <bool KEYS>
static __device__ __forceinline__ bool ss_attention_sees(const ss_attention_work &w,
                                                         const ss_attention_view &v, int64_t row, int64_t col)
{
    const int64_t query = KEYS ? col : row, key = KEYS ? row : col;
    return v.whole || (query < w.tokens && key < w.tokens && key - query > v.low && key - query <= v.high &&
                       (!v.mask || v.mask[key] != 0));
}

/* A statistic of the queries of a thread's rows, or columns. */
template <typename S, bool KEYS>
static __device__ __forceinline__ void
ss_attention_statistic(const ss_tile_block<S> &t, const ss_attention_view &v, const typename S::real *from,
                       typename S::real (&x)[SS_TILE_OWN])
{
    for (int i = 0; i < (KEYS ? S::across : SS_TILE_OWN); i++) {
        const int64_t query = KEYS ? v.col + t.x + i * SS_TILE_LANES : v.row + t.y + i * S::down;
        x[i] = query < t.tokens ? from[query] : 0;
    }
}

/* Element (i, j) of a thread's square tile. */
#define SS_ATTENTION_EACH(S, i, j)                                                                           \
    for (int i = 0; i < SS_TILE_OWN; i++)                                                                    \
        for (int j = 0; j < (S::across); j++)

/* P of the meeting from U / scale in p; t := tanh(U / cap) when there is a cap. */
template <typename S, bool KEYS>
static __device__ void ss_attention_probabilities(const ss_attention_work &w, const ss_tile_block<S> &b,
                                                  const ss_attention_view &v, const typename S::real *L,
                                                  typename S::real (&p)[SS_TILE_OWN][S::across],
                                                  typename S::real (&t)[SS_TILE_OWN][S::across])
{
    using real = typename S::real;
    using points = ss_attention_points<real>;
    const real scale = (real)w.p.scale, cap = (real)w.p.cap;
    real       own[SS_TILE_OWN];
    static_assert(S::across <= SS_TILE_OWN, "a statistic of the columns fits");
    ss_attention_statistic<S, KEYS>(b, v, L, own);
    SS_ATTENTION_EACH(S, i, j)
    {
        real s = scale * p[i][j];
        t[i][j] = 0;
        if (cap > 0) {
            t[i][j] = points::attention_squash(s, cap);
            s = cap * t[i][j];
        }
        const bool sees =
            ss_attention_sees<KEYS>(w, v, v.row + b.y + i * S::down, v.col + b.x + j * SS_TILE_LANES);
        p[i][j] = sees ? points::attention_probability(s, own[KEYS ? j : i]) : 0;
    }
}

template <typename S>
static __device__ __forceinline__ void ss_attention_clear(typename S::real (&x)[SS_TILE_OWN][S::across])
{
    SS_ATTENTION_EACH(S, i, j) x[i][j] = 0;
}

/* Calls CALL(S) with the tiles for the tokens and the dimension: small ones for short sequences. */
template <typename real> struct ss_attention_sides;
template <> struct ss_attention_sides<float> {
    static constexpr int side = 64, widest = 128;
};
template <> struct ss_attention_sides<double> {
    static constexpr int side = 32, widest = 64;
};
#define SS_ATTENTION_SHORT 16 /* tokens of a short sequence */
#define SS_ATTENTION_CHOOSE(real, tokens, dim, CALL)                                                         \
    do {                                                                                                     \
        using sides_ = ss_attention_sides<real>;                                                             \
        if ((tokens) <= SS_ATTENTION_SHORT) return CALL(SS_ATTENTION_SHORT, 32);                             \
        if ((dim) <= 32) return CALL(sides_::side, 32);                                                      \
        if ((dim) <= 64) return CALL(sides_::side, 64);                                                      \
        return CALL(sides_::side, sides_::widest);                                                           \
    } while (0)

static inline unsigned ss_attention_grid(int64_t tasks)
{
    return (unsigned)ss_min64(tasks, INT32_MAX);
}

/* BACKWARD and TANGENT_BACKWARD (attention_back.cu). */
template <typename real> ss_status ss_cuda_attention_back(ss_queue *q, ss_attention_work *w);
extern template ss_status          ss_cuda_attention_back<float>(ss_queue *, ss_attention_work *);
extern template ss_status          ss_cuda_attention_back<double>(ss_queue *, ss_attention_work *);

#endif
