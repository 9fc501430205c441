/* Attention on the CPU: checks, and the sweeps forward, stationary in a tile of queries (attention.h; the
 * formulas are in backend/attention_functions.h).
 *
 * FORWARD goes through the keys with an online softmax; TANGENT_FORWARD has the logsumexp already and needs
 * no rescaling. A task is a head, or a part of its tiles of queries: nothing is shared between threads. */
#include "backend/cpu/attention.h"

#define SS_KERNEL_FILE "backend/cpu/attention_kernels.h"
#include "backend/cpu/levels.h"

#include <float.h>
#include <omp.h>

bool SS_REAL(ss_attention_look)(const attention *a, int64_t batch, int64_t query_tile, int64_t key_tile,
                                attention_view *view)
{
    const ss_attention *p = a->p;
    attention_view      v = { .query = query_tile * SS_TILE, .key = key_tile * SS_TILE };
    v.queries = ss_min64(SS_TILE, a->tokens - v.query);
    v.keys = ss_min64(SS_TILE, a->tokens - v.key);
    v.low = attention_low_baseline(p->window, a->tokens) + v.query - v.key;
    v.high = attention_high_baseline(p->causal, a->tokens) + v.query - v.key;
    v.whole = v.keys - 1 <= v.high && -(v.queries - 1) > v.low;
    *view = v;
    if (v.high < -(v.queries - 1) || v.low >= v.keys - 1) return false;
    if (!p->mask) return true;
    const int64_t *mask = p->mask + batch * a->tokens + v.key;
    int64_t        seen = 0;
    for (int64_t c = 0; c < v.keys; c++) seen += mask[c] != 0;
    if (seen < v.keys) view->mask = mask;
    return seen > 0;
}

/* A thread's tiles; of those marked [lanes] every lane has its own, one behind the other. */
typedef struct stage {
    real *score, *slope, *tangent;    /* [SS_TILE, SS_TILE]: P; f'; P S_t */
    real *q, *q_t;                    /* transposed [dim, SS_TILE]; q_t [lanes] */
    real *k, *v, *k_t, *v_t;          /* of a head, [tiles]; k_t and v_t [lanes, tiles] */
    real *out;                        /* [lanes]: o or o_t of the tile */
    real *largest, *sum, *factor, *L; /* [SS_TILE] */
    real *mu;                         /* [lanes, SS_TILE] */
} stage;

static int64_t set_stage(const attention *a, real *base, stage *s)
{
    attention_room room = { .base = base };
    int64_t        square = SS_TILE * SS_TILE, tall = a->dim * SS_TILE, head = a->tiles * a->wide;
    s->score = attention_take(&room, square);
    s->slope = attention_take(&room, square);
    s->tangent = attention_take(&room, square);
    s->q = attention_take(&room, tall);
    s->q_t = attention_take(&room, a->p->q_t.data ? a->lanes * tall : 0);
    s->k = attention_take(&room, head);
    s->v = attention_take(&room, head);
    s->k_t = attention_take(&room, a->p->k_t.data ? a->lanes * head : 0);
    s->v_t = attention_take(&room, a->p->v_t.data ? a->lanes * head : 0);
    s->out = attention_take(&room, a->lanes * a->wide);
    real **rows[] = { &s->largest, &s->sum, &s->factor, &s->L };
    for (int i = 0; i < 4; i++) *rows[i] = attention_take(&room, SS_TILE);
    s->mu = attention_take(&room, a->lanes * SS_TILE);
    return room.used;
}

/* A tile of queries of one head. */
typedef struct place {
    int64_t batch, head, tile;
    int64_t query, queries; /* first, number */
} place;

/* S of the tile in s->score, and f' in s->slope, if wanted and capped. */
static void scores(const attention *a, const stage *s, const attention_view *v, bool slope)
{
    real cap = (real)a->p->cap;
    attention_score(a, v, false, s->k + v->key / SS_TILE * a->wide, s->q, false, s->score);
    if (cap > 0) SS_AT_LEVEL(a->level, cap_scores)(v, cap, s->score, slope ? s->slope : NULL);
}

static void forward_tile(const attention *a, const stage *s, const place *at)
{
    const ss_attention *p = a->p;
    attention_load_transposed(a, &p->q, 0, at->batch, at->head, at->query, at->queries, p->scale, s->q);
    memset(s->out, 0, (size_t)a->wide * sizeof(real));
    for (int64_t r = 0; r < at->queries; r++) {
        s->largest[r] = SS_REAL_BITS == 32 ? (real)-FLT_MAX : (real)-DBL_MAX;
        s->sum[r] = 0;
    }
    for (int64_t key_tile = 0; key_tile < a->tiles; key_tile++) {
        attention_view v;
        if (!SS_REAL(ss_attention_look)(a, at->batch, at->tile, key_tile, &v)) continue;
        scores(a, s, &v, false);
        SS_AT_LEVEL(a->level, softmax_tile)(&v, s->score, s->largest, s->sum, s->factor);
        if (!p->o.data) continue;
        SS_AT_LEVEL(a->level, scale_rows)(at->queries, a->dim, a->ld, s->factor, s->out);
        attention_gather(a, &v, s->score, false, true, s->v + key_tile * a->wide, true, s->out);
    }
    real *L = p->saved ? (real *)p->saved + attention_statistic(a, at->batch, at->head, at->query) : s->L;
    for (int64_t r = 0; r < at->queries; r++) {
        bool sees = s->sum[r] > 0; /* a query without keys: o = 0, and any finite L will do */
        L[r] = sees ? s->largest[r] + (real)log((double)s->sum[r]) : 0;
        s->factor[r] = sees ? 1 / s->sum[r] : 0;
    }
    if (!p->o.data) return;
    SS_AT_LEVEL(a->level, scale_rows)(at->queries, a->dim, a->ld, s->factor, s->out);
    attention_store(a, s->out, at->queries, 1, p->accumulate_o, &p->o, 0, at->batch, at->head, at->query);
}

/* What a tile of keys adds to o_t and mu of one lane. */
static void add_tangents(const attention *a, const stage *s, const attention_view *v, int64_t lane,
                         bool of_scores)
{
    const ss_attention *p = a->p;
    int64_t             tile = v->key / SS_TILE, tile_t = lane * a->tiles + tile;
    real               *out = s->out + lane * a->wide;
    if (of_scores) {
        if (p->q_t.data)
            attention_score(a, v, false, s->k + tile * a->wide, s->q_t + lane * a->dim * SS_TILE, false,
                            s->tangent);
        if (p->k_t.data)
            attention_score(a, v, false, s->k_t + tile_t * a->wide, s->q, p->q_t.data != NULL, s->tangent);
        SS_AT_LEVEL(a->level, tangent_tile)
        (v, s->score, p->cap > 0 ? s->slope : NULL, s->tangent, s->mu + lane * SS_TILE);
        if (p->o_t.data) attention_gather(a, v, s->tangent, false, true, s->v + tile * a->wide, true, out);
    }
    if (p->v_t.data && p->o_t.data)
        attention_gather(a, v, s->score, false, true, s->v_t + tile_t * a->wide, true, out);
}

static void tangent_forward_tile(const attention *a, const stage *s, const place *at)
{
    const ss_attention *p = a->p;
    bool                of_scores = (p->q_t.data || p->k_t.data) && (p->o_t.data || p->saved_t);
    bool                values = p->v_t.data && p->o_t.data;
    attention_load_transposed(a, &p->q, 0, at->batch, at->head, at->query, at->queries, p->scale, s->q);
    for (int64_t lane = 0; lane < a->lanes && p->q_t.data; lane++)
        attention_load_transposed(a, &p->q_t, lane, at->batch, at->head, at->query, at->queries, p->scale,
                                  s->q_t + lane * a->dim * SS_TILE);
    memset(s->out, 0, (size_t)(a->lanes * a->wide) * sizeof(real));
    memset(s->mu, 0, (size_t)(a->lanes * SS_TILE) * sizeof(real));
    const real *L = (const real *)p->saved + attention_statistic(a, at->batch, at->head, at->query);
    for (int64_t key_tile = 0; key_tile < a->tiles && (of_scores || values); key_tile++) {
        attention_view v;
        if (!SS_REAL(ss_attention_look)(a, at->batch, at->tile, key_tile, &v)) continue;
        scores(a, s, &v, of_scores);
        SS_AT_LEVEL(a->level, probability_tile)(&v, L, s->score);
        for (int64_t lane = 0; lane < a->lanes; lane++) add_tangents(a, s, &v, lane, of_scores);
    }
    for (int64_t lane = 0; lane < a->lanes; lane++) {
        real *out = s->out + lane * a->wide, *mu = s->mu + lane * SS_TILE;
        if (p->saved_t)
            memcpy((real *)p->saved_t + lane * p->saved_t_stride +
                       attention_statistic(a, at->batch, at->head, at->query),
                   mu, (size_t)at->queries * sizeof(real));
        if (!p->o_t.data) continue;
        for (int64_t r = 0; r < at->queries && of_scores; r++) SS_AT_LEVEL(a->level, subtract_row)
        (a->dim, mu[r], attention_row(&p->o, 0, at->batch, at->head, at->query + r), out + r * a->ld);
        attention_store(a, out, at->queries, 1, p->accumulate_o, &p->o_t, lane, at->batch, at->head,
                        at->query);
    }
}

/* One part of the query tiles of a head: every `parts`-th one, so that all parts see as many keys. */
static void run_part(const attention *a, const stage *s, place *at, int64_t part, int64_t parts)
{
    const ss_attention *p = a->p;
    int64_t             key_head = at->head / (a->heads / a->key_heads);
    bool                values = p->sweep == SS_FORWARD ? p->o.data != NULL : p->o_t.data != NULL;
    attention_pack(a, &p->k, 0, at->batch, key_head, s->k);
    if (values) attention_pack(a, &p->v, 0, at->batch, key_head, s->v);
    for (int64_t lane = 0; lane < a->lanes && p->sweep == SS_TANGENT_FORWARD; lane++) {
        attention_pack(a, &p->k_t, lane, at->batch, key_head, s->k_t + lane * a->tiles * a->wide);
        attention_pack(a, &p->v_t, lane, at->batch, key_head, s->v_t + lane * a->tiles * a->wide);
    }
    for (at->tile = part; at->tile < a->tiles; at->tile += parts) {
        at->query = at->tile * SS_TILE;
        at->queries = ss_min64(SS_TILE, a->tokens - at->query);
        if (p->sweep == SS_FORWARD)
            forward_tile(a, s, at);
        else
            tangent_forward_tile(a, s, at);
    }
}

static ss_status forward(const attention *a)
{
    ss_status status = SS_OK;
    double   *scratch = NULL;
    stage     s;
    int64_t   heads = a->batch * a->heads, parts = attention_parts(a, heads), tasks = heads * parts;
    int64_t   size = ss_cpu_blocks(set_stage(a, NULL, &s) * (int64_t)sizeof(real), (int64_t)sizeof(double));
    int       threads = (int)ss_min64(ss_cpu_threads(a->b, attention_work(a)), tasks);
    SS_TRY(ss_cpu_scratch(a->b, threads * size, &scratch));
#pragma omp parallel num_threads(threads)
    {
        stage mine;
        set_stage(a, (real *)(void *)(scratch + omp_get_thread_num() * size), &mine);
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < tasks; task++) {
            place at = { .batch = task / parts / a->heads, .head = task / parts % a->heads };
            run_part(a, &mine, &at, task % parts, parts);
        }
    }
fail:
    return status;
}

/* ---- Checks ---- */

static bool fits(const ss_heads *h, const attention *a, int64_t heads)
{
    return !h->data ||
           (h->batch == a->batch && h->tokens == a->tokens && h->heads == heads && h->dim == a->dim);
}

ss_status SS_REAL(ss_cpu_attention)(ss_backend *b, ss_queue *q, const ss_attention *p)
{
    (void)q;
    attention a = { .p = p, .b = b, .level = ss_cpu(b)->level, .batch = p->q.batch, .tokens = p->q.tokens };
    a.heads = p->q.heads;
    a.key_heads = p->k.heads;
    a.dim = p->q.dim;
    a.lanes = p->sweep == SS_FORWARD ? 1 : p->lanes;
    a.tiles = ss_cpu_blocks(a.tokens, SS_TILE);
    a.ld = ss_tile_ld(a.dim);
    a.wide = SS_TILE * a.ld;
    const ss_heads *queries[] = { &p->q, &p->o, &p->q_t, &p->o_t, &p->q_a, &p->o_a, &p->q_at, &p->o_at };
    const ss_heads *keys[] = { &p->k, &p->v, &p->k_t, &p->v_t, &p->k_a, &p->v_a, &p->k_at, &p->v_at };
    bool good = p->q.data && p->k.data && (p->saved || p->sweep == SS_FORWARD) && ss_attention_is_complete(p);
    good = good && a.key_heads > 0 && a.heads % a.key_heads == 0 && a.lanes >= 1;
    for (int i = 0; i < 8; i++)
        good = good && fits(queries[i], &a, a.heads) && fits(keys[i], &a, a.key_heads);
    if (!good)
        return ss_fail(b->context, SS_ERROR_INTERNAL,
                       "attention: sweep %d lacks an operand, or shapes differ", (int)p->sweep);
    if (a.batch == 0 || a.tokens == 0 || a.dim == 0) return SS_OK;
    return p->sweep == SS_FORWARD || p->sweep == SS_TANGENT_FORWARD ? forward(&a)
                                                                    : SS_REAL(ss_attention_back)(&a);
}
