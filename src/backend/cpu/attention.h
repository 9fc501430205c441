/* What the two halves of attention on the CPU share (attention_real.c: the sweeps forward, stationary in a
 * tile of queries; attention_back_real.c: the sweeps back, stationary in a tile of keys).
 *
 * Tokens are cut in tiles of SS_TILE. Scores of a tile of queries and a tile of keys are made by products of
 * tiles (tiles.h), turned into probabilities and adjoints in place (attention_kernels.h) and multiplied on at
 * once. In the sweeps forward a score tile has a row per key, so that a row statistic of attention is a sum
 * down its columns; in the sweeps back it has a row per query. The operand that stands still is the one that
 * must be transposed; those that pass by, again and again, are copied once per head into tiles of the task's
 * own, because their rows lie far apart in memory. Tiles that no query sees are skipped; at the border of the
 * causal triangle or of the window, products leave out what is not seen by groups of SS_TILE_ROWS. */
#ifndef SS_BACKEND_CPU_ATTENTION_H
#define SS_BACKEND_CPU_ATTENTION_H

#include "backend/cpu/tiles.h"

/* A call, with its extents. */
typedef struct attention {
    const ss_attention *p;
    ss_backend         *b;
    ss_cpu_level        level;
    int64_t             batch, tokens, heads, key_heads, dim, lanes;
    int64_t             tiles; /* of tokens */
    int64_t             ld;    /* of a tile with `dim` columns */
    int64_t             wide;  /* elements of such a tile, [SS_TILE, ld] */
} attention;

/* What a tile of queries sees of a tile of keys; r and c count within the tiles. */
typedef struct attention_view {
    int64_t        query, key;    /* first of each tile */
    int64_t        queries, keys; /* extents, up to SS_TILE */
    int64_t        low, high;     /* query r sees key c for low < c - r <= high */
    bool           whole;         /* every c - r is so */
    const int64_t *mask;          /* [keys], 0 = not seen; NULL = all are */
} attention_view;

/* False when no key of the tile is seen. */
bool SS_REAL(ss_attention_look)(const attention *a, int64_t batch, int64_t query_tile, int64_t key_tile,
                                attention_view *view);

/* Makes room for tiles; with base NULL it only counts. */
typedef struct attention_room {
    real   *base;
    int64_t used; /* elements */
} attention_room;

static inline real *attention_take(attention_room *room, int64_t elements)
{
    real *at = room->base ? room->base + room->used : NULL;
    room->used += ss_cpu_blocks(elements, SS_TILE_STEP) * SS_TILE_STEP;
    return at;
}

static inline real *attention_row(const ss_heads *h, int64_t lane, int64_t batch, int64_t head, int64_t token)
{
    return (real *)h->data + lane * h->lane_stride + batch * h->batch_stride + head * h->head_stride +
           token * h->token_stride;
}

/* First element of a statistic [batch, heads, tokens] for one tile of queries. */
static inline int64_t attention_statistic(const attention *a, int64_t batch, int64_t head, int64_t token)
{
    return (batch * a->heads + head) * a->tokens + token;
}

/* ---- Products of tiles, by what their indices are ---- */

/* c [queries or keys, dim] (+)= a' b or a b; `a` a score tile */
static inline void attention_gather(const attention *a, const attention_view *v, const real *score,
                                    bool rows_are_queries, bool to_queries, const real *b, bool accumulate,
                                    real *c)
{
    bool            direct = rows_are_queries == to_queries;
    ss_tile_product product = { .m = to_queries ? v->queries : v->keys,
                                .n = a->dim,
                                .k = to_queries ? v->keys : v->queries,
                                .a = score,
                                .a_row = direct ? SS_TILE : 1,
                                .a_col = direct ? 1 : SS_TILE,
                                .b = b,
                                .ldb = a->ld,
                                .c = c,
                                .ldc = a->ld,
                                .accumulate = accumulate,
                                .band = v->whole ? SS_TILE_WHOLE : SS_TILE_BAND_K };
    product.begin = to_queries ? v->low + 1 : -v->high;
    product.end = to_queries ? v->high + 1 : -v->low;
    SS_REAL(ss_tile_multiply)(a->level, &product);
}

/* score (+)= a b', b given transposed; a row of the score tile is a row of a */
static inline void attention_score(const attention *a, const attention_view *v, bool rows_are_queries,
                                   const real *left, const real *right_transposed, bool accumulate,
                                   real *score)
{
    ss_tile_product product = { .m = rows_are_queries ? v->queries : v->keys,
                                .n = rows_are_queries ? v->keys : v->queries,
                                .k = a->dim,
                                .a = left,
                                .a_row = a->ld,
                                .a_col = 1,
                                .b = right_transposed,
                                .ldb = SS_TILE,
                                .c = score,
                                .ldc = SS_TILE,
                                .accumulate = accumulate,
                                .band = v->whole ? SS_TILE_WHOLE : SS_TILE_BAND_N };
    product.begin = rows_are_queries ? v->low + 1 : -v->high;
    product.end = rows_are_queries ? v->high + 1 : -v->low;
    SS_REAL(ss_tile_multiply)(a->level, &product);
}

/* Tokens of one head into a tile, or its transpose. */
static inline void attention_load(const attention *a, const ss_heads *from, int64_t lane, int64_t batch,
                                  int64_t head, int64_t token, int64_t count, real *to)
{
    SS_REAL(ss_tile_load)
    (a->level, count, a->dim, 1, attention_row(from, lane, batch, head, token), from->token_stride, to);
}

static inline void attention_load_transposed(const attention *a, const ss_heads *from, int64_t lane,
                                             int64_t batch, int64_t head, int64_t token, int64_t count,
                                             double scale, real *to)
{
    SS_REAL(ss_tile_load_transposed)
    (a->level, count, a->dim, (real)scale, attention_row(from, lane, batch, head, token), from->token_stride,
     to);
}

/* A tile to tokens of one head. */
static inline void attention_store(const attention *a, const real *tile, int64_t count, double scale,
                                   bool accumulate, const ss_heads *to, int64_t lane, int64_t batch,
                                   int64_t head, int64_t token)
{
    SS_REAL(ss_tile_store)
    (a->level, count, a->dim, (real)scale, tile, accumulate, attention_row(to, lane, batch, head, token),
     to->token_stride);
}

/* All tokens of one head into tiles, one behind the other, `wide` elements apart; nothing when absent. */
static inline void attention_pack(const attention *a, const ss_heads *from, int64_t lane, int64_t batch,
                                  int64_t head, real *to)
{
    for (int64_t tile = 0; tile < a->tiles && from->data; tile++)
        attention_load(a, from, lane, batch, head, tile * SS_TILE,
                       ss_min64(SS_TILE, a->tokens - tile * SS_TILE), to + tile * a->wide);
}

/* Elementary operations, for ss_cpu_threads. */
static inline int64_t attention_work(const attention *a)
{
    return a->batch * a->heads * a->tokens * ss_min64(a->tokens, 4096) * a->dim;
}

/* Into how many parts the tiles of one head are dealt out when there are `heads` of them in all: enough to
 * keep some threads busy, by the shape alone. */
static inline int64_t attention_parts(const attention *a, int64_t heads)
{
    enum { ENOUGH_TASKS = 8, MOST_PARTS = 4 };
    return ss_min64(ss_min64(MOST_PARTS, a->tiles), ss_cpu_blocks(ENOUGH_TASKS, heads));
}

/* BACKWARD and TANGENT_BACKWARD (attention_back_real.c). */
ss_status SS_REAL(ss_attention_back)(const attention *a);

#endif
