/* Attention on the CPU: the sweeps back, stationary in a tile of keys (attention.h; the formulas are in
 * backend/attention_functions.h).
 *
 * One pass gives all adjoints: for a tile of keys it goes through the tiles of queries that see it, gathers
 * k_a and v_a in tiles of its own and adds this tile's share to the rows of q_a in memory. The scores are so
 * made once: 5 and 12 tile products instead of the 7 and 18 of two passes, one of which stands still in the
 * queries. It is deterministic because the rows of q_a of one batch and key head are only touched by one
 * task, tile after tile. Where there are fewer than ENOUGH_TASKS of those, the tiles of keys are dealt out to
 * up to MOST_PARTS tasks; all but the first have a q_a of their own, added in the end in their order. The
 * number of parts depends on the shape alone. */
#include "backend/cpu/attention.h"

#define SS_KERNEL_FILE "backend/cpu/attention_back_kernels.h"
#include "backend/cpu/levels.h"

#include <omp.h>

#define ENOUGH_TASKS 16
#define MOST_PARTS   4

/* What a call computes and from what. */
typedef struct plan {
    const attention *a;
    bool             second;    /* TANGENT_BACKWARD */
    bool             to_scores; /* q or k has an adjoint */
    bool             of_scores; /* second: P has a tangent that is needed */
    bool             plain;     /* o_a is used */
    bool             p_at;      /* second: P_at is not zero */
    const ss_heads  *q, *k, *v; /* outputs */
    const real      *D, *D_t;   /* of lane 0; D_t also the laned D of BACKWARD */
    int64_t          rows;      /* batch heads tokens: elements of one statistic */
    int64_t          parts;     /* of the key tiles */
    real   *share; /* [parts - 1, lanes, batch, heads, tokens, dim]: q_a of the parts behind the first */
    int64_t square, wide, tall; /* elements of a score tile, of a tile [SS_TILE, ld], of a transposed one */
} plan;

/* A thread's tiles. Those of which every lane has one are one behind the other. */
typedef struct stage {
    real *p, *t, *e, *u_a, *u_t, *u_at; /* score tiles: P, tanh, P_a - D, U_a, U_t then P_t, P_at then U_at */
    real *k_transposed, *v_transposed, *k;       /* standing still */
    real *k_t_transposed, *v_t_transposed, *k_t; /* [lanes] */
    real *q, *o_a, *q_t, *o_at;                  /* passing by */
    real *k_out, *v_out;                         /* [lanes] */
    real *q_out;                                 /* this tile's share of the rows of q_a */
} stage;

static int64_t set_stage(const plan *w, real *base, stage *s)
{
    attention_room room = { .base = base };
    int64_t        lanes = w->a->lanes, lanes_t = w->second ? lanes : 0;
    real         **squares[] = { &s->p, &s->t, &s->e, &s->u_a, &s->u_t, &s->u_at };
    for (int i = 0; i < 6; i++) *squares[i] = attention_take(&room, w->square);
    s->k_transposed = attention_take(&room, w->tall);
    s->v_transposed = attention_take(&room, w->tall);
    s->k = attention_take(&room, w->wide);
    s->k_t_transposed = attention_take(&room, lanes_t * w->tall);
    s->v_t_transposed = attention_take(&room, lanes_t * w->tall);
    s->k_t = attention_take(&room, lanes_t * w->wide);
    real **passing[] = { &s->q, &s->o_a, &s->q_t, &s->o_at, &s->q_out };
    for (int i = 0; i < 5; i++) *passing[i] = attention_take(&room, w->wide);
    s->k_out = attention_take(&room, lanes * w->wide);
    s->v_out = attention_take(&room, lanes * w->wide);
    return room.used;
}

/* One task: batch, key head, part. */
typedef struct task {
    int64_t batch, key_head, part;
} task;

/* The rows of q_a for a tile of queries: the output's, or those of this part. */
static void add_to_queries(const plan *w, const stage *s, const task *at, int64_t lane, int64_t head,
                           const attention_view *v)
{
    const attention *a = w->a;
    real            *to = NULL;
    int64_t          stride = w->q->token_stride;
    if (at->part == 0) {
        to = attention_row(w->q, lane, at->batch, head, v->query);
    } else {
        int64_t first = ((at->part - 1) * a->lanes + lane) * w->rows;
        to = w->share + (first + attention_statistic(a, at->batch, head, v->query)) * a->dim;
        stride = a->dim;
    }
    SS_REAL(ss_tile_store)(a->level, v->queries, a->dim, (real)a->p->scale, s->q_out, true, to, stride);
}

/* BACKWARD of one lane: P, o_a in s->o_a. */
static void first_order_lane(const plan *w, const stage *s, const task *at, int64_t lane, int64_t head,
                             const attention_view *v)
{
    const attention *a = w->a;
    attention_load(a, &a->p->o_a, lane, at->batch, head, v->query, v->queries, s->o_a);
    if (w->v->data) attention_gather(a, v, s->p, true, false, s->o_a, true, s->v_out + lane * w->wide);
    if (!w->to_scores) return;
    attention_score(a, v, true, s->o_a, s->v_transposed, false, s->e);
    SS_AT_LEVEL(a->level, first_order)
    (v, w->D + lane * w->rows + attention_statistic(a, at->batch, head, v->query), s->p,
     a->p->cap > 0 ? s->t : NULL, s->e, s->u_a);
    if (w->k->data) attention_gather(a, v, s->u_a, true, false, s->q, true, s->k_out + lane * w->wide);
    if (w->q->data) {
        attention_gather(a, v, s->u_a, true, true, s->k, false, s->q_out);
        add_to_queries(w, s, at, lane, head, v);
    }
}

/* P_t in s->u_t and U_at in s->u_at, as far as they are needed. */
static void second_order_tiles(const plan *w, const stage *s, const task *at, int64_t lane, int64_t head,
                               const attention_view *v)
{
    const attention    *a = w->a;
    const ss_attention *p = a->p;
    int64_t             row = attention_statistic(a, at->batch, head, v->query);
    const real         *mu = p->saved_t ? (const real *)p->saved_t + lane * p->saved_t_stride + row : NULL;
    const real         *t = p->cap > 0 ? s->t : NULL;
    if (w->of_scores) {
        if (p->q_t.data) attention_score(a, v, true, s->q_t, s->k_transposed, false, s->u_t);
        if (p->k_t.data)
            attention_score(a, v, true, s->q, s->k_t_transposed + lane * w->tall, p->q_t.data != NULL,
                            s->u_t);
    }
    if (!w->to_scores) {
        if (w->of_scores) SS_AT_LEVEL(a->level, tangents)(v, mu, s->p, t, s->u_t);
        return;
    }
    if (p->o_at.data) attention_score(a, v, true, s->o_at, s->v_transposed, false, s->u_at);
    if (w->plain && p->v_t.data)
        attention_score(a, v, true, s->o_a, s->v_t_transposed + lane * w->tall, p->o_at.data != NULL,
                        s->u_at);
    if (!w->p_at) memset(s->u_at, 0, (size_t)w->square * sizeof(real));
    SS_AT_LEVEL(a->level, second_order)
    (v, (real)p->cap, mu, w->D_t + lane * w->rows + row, s->p, t, w->of_scores ? s->e : NULL, s->u_t,
     s->u_at);
}

/* TANGENT_BACKWARD of one lane: P, U_a, o_a are there. */
static void second_order_lane(const plan *w, const stage *s, const task *at, int64_t lane, int64_t head,
                              const attention_view *v)
{
    const attention    *a = w->a;
    const ss_attention *p = a->p;
    if (p->q_t.data && w->of_scores)
        attention_load(a, &p->q_t, lane, at->batch, head, v->query, v->queries, s->q_t);
    if (p->o_at.data) attention_load(a, &p->o_at, lane, at->batch, head, v->query, v->queries, s->o_at);
    second_order_tiles(w, s, at, lane, head, v);
    if (w->v->data && w->of_scores)
        attention_gather(a, v, s->u_t, true, false, s->o_a, true, s->v_out + lane * w->wide);
    if (w->v->data && p->o_at.data)
        attention_gather(a, v, s->p, true, false, s->o_at, true, s->v_out + lane * w->wide);
    if (w->k->data) {
        attention_gather(a, v, s->u_at, true, false, s->q, true, s->k_out + lane * w->wide);
        if (p->q_t.data && w->of_scores)
            attention_gather(a, v, s->u_a, true, false, s->q_t, true, s->k_out + lane * w->wide);
    }
    if (w->q->data) {
        attention_gather(a, v, s->u_at, true, true, s->k, false, s->q_out);
        if (p->k_t.data && w->of_scores)
            attention_gather(a, v, s->u_a, true, true, s->k_t + lane * w->wide, true, s->q_out);
        add_to_queries(w, s, at, lane, head, v);
    }
}

/* One tile of queries against the tile of keys that stands still. */
static void meet(const plan *w, const stage *s, const task *at, int64_t head, const attention_view *v)
{
    const attention    *a = w->a;
    const ss_attention *p = a->p;
    int64_t             row = attention_statistic(a, at->batch, head, v->query);
    real               *t = p->cap > 0 ? s->t : NULL;
    attention_load(a, &p->q, 0, at->batch, head, v->query, v->queries, s->q);
    attention_score(a, v, true, s->q, s->k_transposed, false, s->p);
    SS_AT_LEVEL(a->level, probabilities)(v, (real)p->cap, (const real *)p->saved + row, s->p, t);
    if (w->second && w->plain) {
        attention_load(a, &p->o_a, 0, at->batch, head, v->query, v->queries, s->o_a);
        if (w->to_scores && w->of_scores) {
            attention_score(a, v, true, s->o_a, s->v_transposed, false, s->e);
            SS_AT_LEVEL(a->level, first_order)(v, w->D + row, s->p, t, s->e, s->u_a);
        }
    }
    const ss_heads *next[] = { &p->q, &p->o_a, &p->q_t, &p->o_at };
    for (int i = 0; i < 4; i++) attention_foresee(a, next[i], 0, at->batch, head, v->query + SS_TILE);
    for (int64_t lane = 0; lane < a->lanes; lane++)
        if (w->second)
            second_order_lane(w, s, at, lane, head, v);
        else
            first_order_lane(w, s, at, lane, head, v);
}

/* What stands still for a tile of keys. */
static void settle(const plan *w, const stage *s, const task *at, int64_t key, int64_t keys)
{
    const attention    *a = w->a;
    const ss_attention *p = a->p;
    attention_load_transposed(a, &p->k, 0, at->batch, at->key_head, key, keys, p->scale, s->k_transposed);
    if (w->q->data) attention_load(a, &p->k, 0, at->batch, at->key_head, key, keys, s->k);
    if (w->to_scores && p->v.data)
        attention_load_transposed(a, &p->v, 0, at->batch, at->key_head, key, keys, 1, s->v_transposed);
    for (int64_t lane = 0; lane < a->lanes && w->second; lane++) {
        if (p->k_t.data && w->of_scores) {
            attention_load_transposed(a, &p->k_t, lane, at->batch, at->key_head, key, keys, p->scale,
                                      s->k_t_transposed + lane * w->tall);
            attention_load(a, &p->k_t, lane, at->batch, at->key_head, key, keys, s->k_t + lane * w->wide);
        }
        if (p->v_t.data && w->to_scores && w->plain)
            attention_load_transposed(a, &p->v_t, lane, at->batch, at->key_head, key, keys, 1,
                                      s->v_t_transposed + lane * w->tall);
    }
    memset(s->k_out, 0, (size_t)(a->lanes * w->wide) * sizeof(real));
    memset(s->v_out, 0, (size_t)(a->lanes * w->wide) * sizeof(real));
}

static void run_task(const plan *w, const stage *s, const task *at)
{
    const attention    *a = w->a;
    const ss_attention *p = a->p;
    int64_t             group = a->heads / a->key_heads;
    for (int64_t tile = at->part; tile < a->tiles; tile += w->parts) {
        int64_t key = tile * SS_TILE, keys = ss_min64(SS_TILE, a->tokens - key);
        settle(w, s, at, key, keys);
        for (int64_t head = at->key_head * group; head < (at->key_head + 1) * group; head++)
            for (int64_t query_tile = 0; query_tile < a->tiles; query_tile++) {
                attention_view v;
                if (SS_REAL(ss_attention_look)(a, at->batch, query_tile, tile, &v)) meet(w, s, at, head, &v);
            }
        for (int64_t lane = 0; lane < a->lanes; lane++) {
            if (w->k->data) SS_REAL(ss_tile_store)
            (a->level, keys, a->dim, (real)p->scale, s->k_out + lane * w->wide, p->accumulate_k,
             attention_row(w->k, lane, at->batch, at->key_head, key), w->k->token_stride);
            if (w->v->data) SS_REAL(ss_tile_store)
            (a->level, keys, a->dim, 1, s->v_out + lane * w->wide, p->accumulate_v,
             attention_row(w->v, lane, at->batch, at->key_head, key), w->v->token_stride);
        }
    }
}

/* x . y of one row, 0 when one is absent */
static double dot(const attention *a, const ss_heads *x, int64_t x_lane, const ss_heads *y, int64_t y_lane,
                  int64_t batch, int64_t head, int64_t token)
{
    if (!x->data || !y->data) return 0;
    return SS_AT_LEVEL(a->level, row_dot)(a->dim, attention_row(x, x_lane, batch, head, token),
                                          attention_row(y, y_lane, batch, head, token));
}

/* Rows of q_a that nothing is added to yet, and the statistics D (all lanes in BACKWARD) and D_t. */
static void prepare_row(const plan *w, int64_t lane, int64_t row)
{
    const attention    *a = w->a;
    const ss_attention *p = a->p;
    int64_t             token = row % a->tokens, head = row / a->tokens % a->heads;
    int64_t             batch = row / (a->tokens * a->heads);
    if (w->q->data && !p->accumulate_q)
        memset(attention_row(w->q, lane, batch, head, token), 0, (size_t)a->dim * sizeof(real));
    for (int64_t part = 1; part < w->parts && w->q->data; part++)
        memset(w->share + (((part - 1) * a->lanes + lane) * w->rows + row) * a->dim, 0,
               (size_t)a->dim * sizeof(real));
    if (!w->to_scores) return;
    real *D = p->workspace, *D_t = D + w->rows;
    if (!w->second) {
        D[lane * w->rows + row] = (real)dot(a, &p->o_a, lane, &p->o, 0, batch, head, token);
        return;
    }
    if (lane == 0 && w->of_scores) D[row] = (real)dot(a, &p->o_a, 0, &p->o, 0, batch, head, token);
    double sum = dot(a, &p->o_at, lane, &p->o, 0, batch, head, token);
    if (w->plain) sum += dot(a, &p->o_a, 0, &p->o_t, lane, batch, head, token);
    D_t[lane * w->rows + row] = (real)sum;
}

/* q_a += the shares of the parts behind the first, in their order */
static void add_shares(const plan *w, int64_t lane, int64_t row)
{
    const attention *a = w->a;
    int64_t          token = row % a->tokens, head = row / a->tokens % a->heads;
    real            *to = attention_row(w->q, lane, row / (a->tokens * a->heads), head, token);
    for (int64_t part = 1; part < w->parts; part++) {
        const real *from = w->share + (((part - 1) * a->lanes + lane) * w->rows + row) * a->dim;
        for (int64_t j = 0; j < a->dim; j++) to[j] += from[j];
    }
}

static plan make_plan(const attention *a)
{
    const ss_attention *p = a->p;
    bool                second = p->sweep == SS_TANGENT_BACKWARD;
    bool                tangents = p->q_t.data || p->k_t.data || p->v_t.data;
    plan                w = { .a = a, .second = second };
    w.q = second ? &p->q_at : &p->q_a;
    w.k = second ? &p->k_at : &p->k_a;
    w.v = second ? &p->v_at : &p->v_a;
    w.to_scores = w.q->data || w.k->data;
    w.of_scores = second && p->o_a.data && (p->q_t.data || p->k_t.data);
    w.plain = p->o_a.data && (!second || tangents);
    w.p_at = second && (p->o_at.data || (w.plain && p->v_t.data));
    w.rows = a->batch * a->heads * a->tokens;
    w.D = p->workspace;
    w.D_t = p->workspace ? w.D + w.rows : NULL;
    w.square = SS_TILE * SS_TILE;
    w.wide = SS_TILE * a->ld;
    w.tall = SS_TILE * a->dim;
    int64_t tasks = a->batch * a->key_heads;
    w.parts = ss_min64(ss_min64(MOST_PARTS, a->tiles), ss_cpu_blocks(ENOUGH_TASKS, tasks));
    return w;
}

ss_status SS_REAL(ss_attention_back)(const attention *a)
{
    ss_status status = SS_OK;
    plan      w = make_plan(a);
    stage     s;
    double   *scratch = NULL;
    int64_t   tasks = a->batch * a->key_heads * w.parts, rows = a->lanes * w.rows;
    int64_t   shares = w.q->data ? (w.parts - 1) * rows * a->dim * (int64_t)sizeof(real) : 0;
    int64_t   size = ss_cpu_blocks(set_stage(&w, NULL, &s) * (int64_t)sizeof(real), (int64_t)sizeof(double));
    int64_t   work = w.rows * ss_min64(a->tokens, 4096) * a->dim;
    int       threads = (int)ss_min64(ss_cpu_threads(a->b, work), tasks);
    shares = ss_cpu_blocks(shares, (int64_t)sizeof(double));
    SS_TRY(ss_cpu_scratch(a->b, threads * size + shares, &scratch));
    w.share = (real *)(void *)(scratch + threads * size);

#pragma omp parallel num_threads(threads)
    {
        stage mine;
        set_stage(&w, (real *)(void *)(scratch + omp_get_thread_num() * size), &mine);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < rows; i++) prepare_row(&w, i / w.rows, i % w.rows);
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < tasks; i++) {
            task at = { .batch = i / w.parts / a->key_heads, .key_head = i / w.parts % a->key_heads };
            at.part = i % w.parts;
            run_task(&w, &mine, &at);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < (w.parts > 1 && w.q->data ? rows : 0); i++)
            add_shares(&w, i / w.rows, i % w.rows);
    }
fail:
    return status;
}
