/* Attention on the CPU: checks, and the sweeps forward, stationary in a tile of queries (attention.h; the
 * formulas are in backend/attention_functions.h).
 *
 * FORWARD goes through the keys with an online softmax; TANGENT_FORWARD has the logsumexp already and needs
 * no rescaling. A tile of queries of one head is a task of its own: nothing is shared between threads. */
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

/* A thread's tiles; those of which every lane has one follow each other `lane_size` elements apart. */
typedef struct stage {
    real   *score, *slope, *tangent;   /* [SS_TILE, SS_TILE]: P; f'; P S_t */
    real   *q, *q_t;                   /* transposed; q_t of all lanes */
    real   *k, *v, *moving;            /* [SS_TILE, ld]: k; v; k_t or v_t of a lane */
    real   *out;                       /* [SS_TILE, ld] of all lanes: o or o_t */
    real   *largest, *sum, *factor;    /* [SS_TILE]; factor: also L */
    real   *mu;                        /* [lanes, SS_TILE] */
    int64_t transposed_size, out_size; /* elements of one lane */
} stage;

static int64_t set_stage(const attention *a, real *base, stage *s)
{
    attention_room room = { .base = base };
    int64_t        rows = SS_TILE * a->ld;
    s->transposed_size = a->dim * SS_TILE;
    s->out_size = rows;
    s->score = attention_take(&room, SS_TILE * SS_TILE);
    s->slope = attention_take(&room, SS_TILE * SS_TILE);
    s->tangent = attention_take(&room, SS_TILE * SS_TILE);
    s->q = attention_take(&room, s->transposed_size);
    s->q_t = attention_take(&room, a->lanes * s->transposed_size);
    s->k = attention_take(&room, rows);
    s->v = attention_take(&room, rows);
    s->moving = attention_take(&room, rows);
    s->out = attention_take(&room, a->lanes * rows);
    s->largest = attention_take(&room, SS_TILE);
    s->sum = attention_take(&room, SS_TILE);
    s->factor = attention_take(&room, SS_TILE);
    s->mu = attention_take(&room, a->lanes * SS_TILE);
    return room.used;
}

/* S of the tile in s->score (and f' in s->slope, if wanted and capped), k in s->k. */
static void scores(const attention *a, const stage *s, const attention_view *v, int64_t batch, int64_t head,
                   bool slope)
{
    const ss_attention *p = a->p;
    attention_load(a, &p->k, 0, batch, head / (a->heads / a->key_heads), v->key, v->keys, s->k);
    attention_score(a, v, false, s->k, s->q, false, s->score);
    if (p->cap > 0) SS_AT_LEVEL(a->level, cap_scores)(v, (real)p->cap, s->score, slope ? s->slope : NULL);
}

static void forward_tile(const attention *a, const stage *s, int64_t batch, int64_t head, int64_t tile)
{
    const ss_attention *p = a->p;
    int64_t             query = tile * SS_TILE, queries = ss_min64(SS_TILE, a->tokens - query);
    int64_t             key_head = head / (a->heads / a->key_heads);
    attention_load_transposed(a, &p->q, 0, batch, head, query, queries, p->scale, s->q);
    memset(s->out, 0, (size_t)s->out_size * sizeof(real));
    for (int64_t r = 0; r < queries; r++) {
        s->largest[r] = SS_REAL_BITS == 32 ? (real)-FLT_MAX : (real)-DBL_MAX;
        s->sum[r] = 0;
    }
    for (int64_t key_tile = 0; key_tile < a->tiles; key_tile++) {
        attention_view v;
        if (!SS_REAL(ss_attention_look)(a, batch, tile, key_tile, &v)) continue;
        scores(a, s, &v, batch, head, false);
        attention_foresee(a, &p->k, 0, batch, key_head, v.key + SS_TILE);
        attention_foresee(a, &p->v, 0, batch, key_head, v.key + SS_TILE);
        SS_AT_LEVEL(a->level, softmax_tile)(&v, s->score, s->largest, s->sum, s->factor);
        if (!p->o.data) continue;
        SS_AT_LEVEL(a->level, scale_rows)(queries, a->dim, a->ld, s->factor, s->out);
        attention_load(a, &p->v, 0, batch, key_head, v.key, v.keys, s->v);
        attention_gather(a, &v, s->score, false, true, s->v, true, s->out);
    }
    real *L = p->saved ? (real *)p->saved + attention_statistic(a, batch, head, query) : NULL;
    for (int64_t r = 0; r < queries; r++) {
        bool sees = s->sum[r] > 0; /* a query without keys: o = 0, and any finite L will do */
        if (L) L[r] = sees ? s->largest[r] + (real)log((double)s->sum[r]) : 0;
        if (p->o.data) SS_REAL(ss_tile_store)
        (a->level, 1, a->dim, sees ? 1 / s->sum[r] : 0, s->out + r * a->ld, p->accumulate_o,
         attention_row(&p->o, 0, batch, head, query + r), 0);
    }
}

static void tangent_tile(const attention *a, const stage *s, int64_t batch, int64_t head, int64_t tile)
{
    const ss_attention *p = a->p;
    bool                values = p->v_t.data && p->o_t.data;
    bool                of_scores = (p->q_t.data || p->k_t.data) && (p->o_t.data || p->saved_t), loaded;
    int64_t             query = tile * SS_TILE, queries = ss_min64(SS_TILE, a->tokens - query);
    int64_t             key_head = head / (a->heads / a->key_heads);
    attention_load_transposed(a, &p->q, 0, batch, head, query, queries, p->scale, s->q);
    for (int64_t lane = 0; lane < a->lanes && p->q_t.data; lane++)
        attention_load_transposed(a, &p->q_t, lane, batch, head, query, queries, p->scale,
                                  s->q_t + lane * s->transposed_size);
    memset(s->out, 0, (size_t)(a->lanes * s->out_size) * sizeof(real));
    memset(s->mu, 0, (size_t)(a->lanes * SS_TILE) * sizeof(real));
    memcpy(s->factor, (const real *)p->saved + attention_statistic(a, batch, head, query),
           (size_t)queries * sizeof(real));

    for (int64_t key_tile = 0; key_tile < a->tiles && (of_scores || values); key_tile++) {
        attention_view v;
        if (!SS_REAL(ss_attention_look)(a, batch, tile, key_tile, &v)) continue;
        scores(a, s, &v, batch, head, of_scores);
        const ss_heads *next[] = { &p->k, &p->v, &p->k_t, &p->v_t };
        for (int i = 0; i < 4; i++) attention_foresee(a, next[i], 0, batch, key_head, v.key + SS_TILE);
        SS_AT_LEVEL(a->level, probability_tile)(&v, s->factor, s->score);
        loaded = false;
        for (int64_t lane = 0; lane < a->lanes; lane++) {
            real *out = s->out + lane * s->out_size;
            if (of_scores) {
                if (p->q_t.data)
                    attention_score(a, &v, false, s->k, s->q_t + lane * s->transposed_size, false,
                                    s->tangent);
                if (p->k_t.data) {
                    attention_load(a, &p->k_t, lane, batch, key_head, v.key, v.keys, s->moving);
                    attention_score(a, &v, false, s->moving, s->q, p->q_t.data != NULL, s->tangent);
                }
                SS_AT_LEVEL(a->level, tangent_tile)
                (&v, s->score, p->cap > 0 ? s->slope : NULL, s->tangent, s->mu + lane * SS_TILE);
                if (p->o_t.data) {
                    if (!loaded) attention_load(a, &p->v, 0, batch, key_head, v.key, v.keys, s->v);
                    loaded = true;
                    attention_gather(a, &v, s->tangent, false, true, s->v, true, out);
                }
            }
            if (values) {
                attention_load(a, &p->v_t, lane, batch, key_head, v.key, v.keys, s->moving);
                attention_gather(a, &v, s->score, false, true, s->moving, true, out);
            }
        }
    }
    for (int64_t lane = 0; lane < a->lanes; lane++) {
        real *out = s->out + lane * s->out_size, *mu = s->mu + lane * SS_TILE;
        for (int64_t r = 0; r < queries && of_scores && p->o_t.data; r++) SS_AT_LEVEL(a->level, subtract_row)
        (a->dim, mu[r], attention_row(&p->o, 0, batch, head, query + r), out + r * a->ld);
        if (p->o_t.data) SS_REAL(ss_tile_store)
        (a->level, queries, a->dim, 1, out, p->accumulate_o, attention_row(&p->o_t, lane, batch, head, query),
         p->o_t.token_stride);
        if (p->saved_t)
            memcpy((real *)p->saved_t + lane * p->saved_t_stride + attention_statistic(a, batch, head, query),
                   mu, (size_t)queries * sizeof(real));
    }
}

static ss_status forward(const attention *a)
{
    ss_status status = SS_OK;
    double   *scratch = NULL;
    stage     s;
    int64_t   tasks = a->batch * a->heads * a->tiles, size = set_stage(a, NULL, &s) * (int64_t)sizeof(real);
    int64_t   work = a->batch * a->heads * a->tokens * ss_min64(a->tokens, 4096) * a->dim;
    int       threads = (int)ss_min64(ss_cpu_threads(a->b, work), tasks);
    size = ss_cpu_blocks(size, (int64_t)sizeof(double));
    SS_TRY(ss_cpu_scratch(a->b, threads * size, &scratch));
#pragma omp parallel num_threads(threads)
    {
        stage mine;
        set_stage(a, (real *)(void *)(scratch + omp_get_thread_num() * size), &mine);
        /* head by head, so that its keys and values stay in the cache; the last tiles see the most keys and
         * go first */
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < tasks; task++) {
            int64_t tile = a->tiles - 1 - task % a->tiles, one = task / a->tiles;
            if (a->p->sweep == SS_FORWARD)
                forward_tile(a, &mine, one / a->heads, one % a->heads, tile);
            else
                tangent_tile(a, &mine, one / a->heads, one % a->heads, tile);
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

/* Operands that a sweep cannot do without, beside q, k and L. */
static bool complete(const ss_attention *p)
{
    bool tangents = p->q_t.data || p->k_t.data || p->v_t.data, of_scores = p->q_t.data || p->k_t.data;
    switch (p->sweep) {
    case SS_FORWARD: return p->v.data || !p->o.data;
    case SS_TANGENT_FORWARD: return !of_scores || !p->o_t.data || (p->v.data && p->o.data);
    case SS_BACKWARD:
        return p->o_a.data && ((!p->q_a.data && !p->k_a.data) || (p->v.data && p->o.data && p->workspace));
    case SS_TANGENT_BACKWARD:
        if (!p->q_at.data && !p->k_at.data) return !p->o_a.data || !of_scores || p->saved_t;
        if (!p->workspace || (p->o_at.data && (!p->v.data || !p->o.data))) return false;
        if (p->o_a.data && of_scores && (!p->v.data || !p->o.data || !p->saved_t)) return false;
        return !p->o_a.data || !tangents || p->o_t.data;
    default: return false;
    }
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
    const ss_heads *queries[] = { &p->q, &p->o, &p->q_t, &p->o_t, &p->q_a, &p->o_a, &p->q_at, &p->o_at };
    const ss_heads *keys[] = { &p->k, &p->v, &p->k_t, &p->v_t, &p->k_a, &p->v_a, &p->k_at, &p->v_at };
    bool            good = p->q.data && p->k.data && (p->saved || p->sweep == SS_FORWARD) && complete(p);
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
