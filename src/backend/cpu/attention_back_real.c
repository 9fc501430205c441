/* Attention on the CPU: the sweeps back, stationary in a tile of keys (attention.h; the formulas are in
 * backend/attention_functions.h).
 *
 * One pass gives all adjoints: for a tile of keys it goes through the tiles of queries that see it, gathers
 * k_a and v_a in tiles of its own and adds this tile's share to the rows of q_a in memory. The scores are so
 * made once: 5 and 12 tile products instead of the 7 and 18 of two passes, one of which stands still in the
 * queries. It is deterministic because a task is one key head with its query heads, one after the other: no
 * row of an output is touched by two tasks. Where there are few such tasks the tiles of keys are dealt out to
 * several; all but the first have a q_a of their own, added in the end in their order. */
#include "backend/cpu/attention.h"

#define SS_KERNEL_FILE "backend/cpu/attention_back_kernels.h"
#include "backend/cpu/levels.h"

#include <omp.h>

/* What a call computes and from what. */
typedef struct plan {
    const attention *a;
    bool             second;     /* TANGENT_BACKWARD */
    bool             to_scores;  /* q or k has an adjoint */
    bool             of_scores;  /* second: P has a tangent that is needed */
    bool             plain;      /* o_a is used */
    bool             values_t;   /* second: o_a v_t' is a part of P_at */
    const ss_heads  *q, *k, *v;  /* outputs */
    const real      *D, *D_t;    /* D: of all lanes in BACKWARD; D_t [lanes] */
    int64_t          rows;       /* batch heads tokens: elements of one statistic */
    int64_t          parts;      /* of the tiles of keys */
    real            *share;      /* [parts - 1, lanes, rows, dim]: q_a of the parts behind the first */
    int64_t          tall, head; /* elements of a transposed tile and of the tiles of a head */
} plan;

/* A thread's tiles; of those marked [lanes] every lane has its own, one behind the other. */
typedef struct stage {
    real *p, *t, *e, *u_a, *u_t, *u_at;    /* scores: P, tanh, P_a - D, U_a, U_t then P_t, P_at then U_at */
    real *k_transposed, *v_transposed, *k; /* standing still */
    real *k_t_transposed, *v_t_transposed, *k_t; /* [lanes] */
    real *q, *o_a, *q_t, *o_at; /* passing by, [tiles] of a head; [lanes] but for q and, if second, o_a */
    real *k_out, *v_out;        /* [lanes] */
    real *q_out;                /* this tile's share of the rows of q_a */
} stage;

static int64_t set_stage(const plan *w, real *base, stage *s)
{
    attention_room   room = { .base = base };
    const attention *a = w->a;
    int64_t          lanes = a->lanes, lanes_t = w->second ? lanes : 0;
    real           **squares[] = { &s->p, &s->t, &s->e, &s->u_a, &s->u_t, &s->u_at };
    for (int i = 0; i < 6; i++) *squares[i] = attention_take(&room, SS_TILE * SS_TILE);
    s->k_transposed = attention_take(&room, w->tall);
    s->v_transposed = attention_take(&room, w->tall);
    s->k = attention_take(&room, a->wide);
    s->k_t_transposed = attention_take(&room, lanes_t * w->tall);
    s->v_t_transposed = attention_take(&room, lanes_t * w->tall);
    s->k_t = attention_take(&room, lanes_t * a->wide);
    s->q = attention_take(&room, w->head);
    s->o_a = attention_take(&room, w->plain ? (w->second ? 1 : lanes) * w->head : 0);
    s->q_t = attention_take(&room, w->of_scores && a->p->q_t.data ? lanes * w->head : 0);
    s->o_at = attention_take(&room, w->second && a->p->o_at.data ? lanes * w->head : 0);
    s->k_out = attention_take(&room, lanes * a->wide);
    s->v_out = attention_take(&room, lanes * a->wide);
    s->q_out = attention_take(&room, a->wide);
    return room.used;
}

/* A tile of queries of one head meets the tile of keys that stands still. */
typedef struct meeting {
    attention_view view;
    int64_t        batch, key_head, head, part;
    int64_t        row;                  /* of the first query, in a statistic */
    const real    *q, *o_a, *q_t, *o_at; /* passing tiles, of the first lane */
} meeting;

/* The rows of q_a for the tile of queries: the output's, or those of this part. */
static void add_to_queries(const plan *w, const stage *s, const meeting *m, int64_t lane)
{
    const attention *a = w->a;
    if (m->part == 0) {
        attention_store(a, s->q_out, m->view.queries, a->p->scale, true, w->q, lane, m->batch, m->head,
                        m->view.query);
        return;
    }
    real *to = w->share + (((m->part - 1) * a->lanes + lane) * w->rows + m->row) * a->dim;
    SS_REAL(ss_tile_store)
    (a->level, m->view.queries, a->dim, (real)a->p->scale, s->q_out, true, to, a->dim);
}

/* BACKWARD of one lane, from P. */
static void first_order_lane(const plan *w, const stage *s, const meeting *m, int64_t lane)
{
    const attention      *a = w->a;
    const attention_view *v = &m->view;
    const real           *o_a = m->o_a + lane * w->head;
    if (w->v->data) attention_gather(a, v, s->p, true, false, o_a, true, s->v_out + lane * a->wide);
    if (!w->to_scores) return;
    attention_score(a, v, true, o_a, s->v_transposed, false, s->e);
    SS_AT_LEVEL(a->level, first_order)
    (v, w->D + lane * w->rows + m->row, s->p, a->p->cap > 0 ? s->t : NULL, s->e, s->u_a);
    if (w->k->data) attention_gather(a, v, s->u_a, true, false, m->q, true, s->k_out + lane * a->wide);
    if (w->q->data) {
        attention_gather(a, v, s->u_a, true, true, s->k, false, s->q_out);
        add_to_queries(w, s, m, lane);
    }
}

/* P_t in s->u_t and U_at in s->u_at, as far as they are needed. */
static void second_order_scores(const plan *w, const stage *s, const meeting *m, int64_t lane)
{
    const attention      *a = w->a;
    const ss_attention   *p = a->p;
    const attention_view *v = &m->view;
    const real *mu = p->saved_t ? (const real *)p->saved_t + lane * p->saved_t_stride + m->row : NULL;
    const real *t = p->cap > 0 ? s->t : NULL;
    if (w->of_scores && p->q_t.data)
        attention_score(a, v, true, m->q_t + lane * w->head, s->k_transposed, false, s->u_t);
    if (w->of_scores && p->k_t.data)
        attention_score(a, v, true, m->q, s->k_t_transposed + lane * w->tall, p->q_t.data != NULL, s->u_t);
    if (!w->to_scores) {
        if (w->of_scores) SS_AT_LEVEL(a->level, tangents)(v, mu, s->p, t, s->u_t);
        return;
    }
    if (p->o_at.data) attention_score(a, v, true, m->o_at + lane * w->head, s->v_transposed, false, s->u_at);
    if (w->values_t)
        attention_score(a, v, true, m->o_a, s->v_t_transposed + lane * w->tall, p->o_at.data != NULL,
                        s->u_at);
    if (!p->o_at.data && !w->values_t) memset(s->u_at, 0, (size_t)(SS_TILE * SS_TILE) * sizeof(real));
    SS_AT_LEVEL(a->level, second_order)
    (v, (real)p->cap, w->of_scores, mu, w->D_t + lane * w->rows + m->row, s->p, s->t, s->e, s->u_t, s->u_at);
}

/* TANGENT_BACKWARD of one lane, from P, U_a and P_a - D. */
static void second_order_lane(const plan *w, const stage *s, const meeting *m, int64_t lane)
{
    const attention      *a = w->a;
    const ss_attention   *p = a->p;
    const attention_view *v = &m->view;
    bool                  q_t = w->of_scores && p->q_t.data, k_t = w->of_scores && p->k_t.data;
    real                 *k_out = s->k_out + lane * a->wide, *v_out = s->v_out + lane * a->wide;
    second_order_scores(w, s, m, lane);
    if (w->v->data && w->of_scores) attention_gather(a, v, s->u_t, true, false, m->o_a, true, v_out);
    if (w->v->data && p->o_at.data)
        attention_gather(a, v, s->p, true, false, m->o_at + lane * w->head, true, v_out);
    if (w->k->data) attention_gather(a, v, s->u_at, true, false, m->q, true, k_out);
    if (w->k->data && q_t) attention_gather(a, v, s->u_a, true, false, m->q_t + lane * w->head, true, k_out);
    if (!w->q->data) return;
    attention_gather(a, v, s->u_at, true, true, s->k, false, s->q_out);
    if (k_t) attention_gather(a, v, s->u_a, true, true, s->k_t + lane * a->wide, true, s->q_out);
    add_to_queries(w, s, m, lane);
}

static void meet(const plan *w, const stage *s, const meeting *m)
{
    const attention    *a = w->a;
    const ss_attention *p = a->p;
    real               *t = p->cap > 0 ? s->t : NULL;
    attention_score(a, &m->view, true, m->q, s->k_transposed, false, s->p);
    SS_AT_LEVEL(a->level, probabilities)
    (&m->view, (real)p->cap, (const real *)p->saved + m->row, s->p, t);
    if (w->of_scores && w->to_scores) {
        attention_score(a, &m->view, true, m->o_a, s->v_transposed, false, s->e);
        SS_AT_LEVEL(a->level, first_order)(&m->view, w->D + m->row, s->p, t, s->e, s->u_a);
    }
    for (int64_t lane = 0; lane < a->lanes; lane++)
        if (w->second)
            second_order_lane(w, s, m, lane);
        else
            first_order_lane(w, s, m, lane);
}

/* What stands still for a tile of keys, and its empty outputs. */
static void settle(const plan *w, const stage *s, const meeting *m, int64_t key, int64_t keys)
{
    const attention    *a = w->a;
    const ss_attention *p = a->p;
    int64_t             head = m->key_head;
    attention_load_transposed(a, &p->k, 0, m->batch, head, key, keys, p->scale, s->k_transposed);
    if (w->q->data) attention_load(a, &p->k, 0, m->batch, head, key, keys, s->k);
    if (w->to_scores && p->v.data)
        attention_load_transposed(a, &p->v, 0, m->batch, head, key, keys, 1, s->v_transposed);
    for (int64_t lane = 0; lane < a->lanes && w->second; lane++) {
        if (p->k_t.data && w->of_scores) {
            attention_load_transposed(a, &p->k_t, lane, m->batch, head, key, keys, p->scale,
                                      s->k_t_transposed + lane * w->tall);
            attention_load(a, &p->k_t, lane, m->batch, head, key, keys, s->k_t + lane * a->wide);
        }
        if (w->values_t && w->to_scores)
            attention_load_transposed(a, &p->v_t, lane, m->batch, head, key, keys, 1,
                                      s->v_t_transposed + lane * w->tall);
    }
    memset(s->k_out, 0, (size_t)(a->lanes * a->wide) * sizeof(real));
    memset(s->v_out, 0, (size_t)(a->lanes * a->wide) * sizeof(real));
}

/* One query head against this part's tiles of keys; `first`: of those that share the key head. */
static void run_head(const plan *w, const stage *s, meeting *m, bool first)
{
    const attention    *a = w->a;
    const ss_attention *p = a->p;
    attention_pack(a, &p->q, 0, m->batch, m->head, s->q);
    for (int64_t lane = 0; lane < a->lanes; lane++) {
        if (w->plain && (lane == 0 || !w->second))
            attention_pack(a, &p->o_a, lane, m->batch, m->head, s->o_a + lane * w->head);
        if (w->of_scores) attention_pack(a, &p->q_t, lane, m->batch, m->head, s->q_t + lane * w->head);
        if (w->second) attention_pack(a, &p->o_at, lane, m->batch, m->head, s->o_at + lane * w->head);
    }
    for (int64_t tile = m->part; tile < a->tiles; tile += w->parts) {
        int64_t key = tile * SS_TILE, keys = ss_min64(SS_TILE, a->tokens - key);
        settle(w, s, m, key, keys);
        for (int64_t query_tile = 0; query_tile < a->tiles; query_tile++) {
            int64_t at = query_tile * a->wide;
            if (!SS_REAL(ss_attention_look)(a, m->batch, query_tile, tile, &m->view)) continue;
            m->row = attention_statistic(a, m->batch, m->head, m->view.query);
            m->q = s->q + at, m->o_a = s->o_a + at, m->q_t = s->q_t + at, m->o_at = s->o_at + at;
            meet(w, s, m);
        }
        for (int64_t lane = 0; lane < a->lanes; lane++) {
            if (w->k->data)
                attention_store(a, s->k_out + lane * a->wide, keys, p->scale, p->accumulate_k || !first, w->k,
                                lane, m->batch, m->key_head, key);
            if (w->v->data)
                attention_store(a, s->v_out + lane * a->wide, keys, 1, p->accumulate_v || !first, w->v, lane,
                                m->batch, m->key_head, key);
        }
    }
}

/* ---- Before and after: row by row, all heads of a token together ---- */

/* Row i of all lanes: lane, batch, token, head; the rest as in a statistic. */
typedef struct row_place {
    int64_t lane, batch, token, head, row;
} row_place;

static row_place find_row(const plan *w, int64_t i)
{
    const attention *a = w->a;
    row_place        at = { .lane = i / w->rows, .head = i % a->heads };
    at.token = i / a->heads % a->tokens;
    at.batch = i % w->rows / (a->heads * a->tokens);
    at.row = attention_statistic(a, at.batch, at.head, at.token);
    return at;
}

/* x . y of one row, 0 when one is absent */
static double dot(const attention *a, const row_place *at, const ss_heads *x, int64_t x_lane,
                  const ss_heads *y, int64_t y_lane)
{
    if (!x->data || !y->data) return 0;
    return SS_AT_LEVEL(a->level, row_dot)(a->dim, attention_row(x, x_lane, at->batch, at->head, at->token),
                                          attention_row(y, y_lane, at->batch, at->head, at->token));
}

static real *share_row(const plan *w, const row_place *at, int64_t part)
{
    return w->share + (((part - 1) * w->a->lanes + at->lane) * w->rows + at->row) * w->a->dim;
}

/* Empty rows of q_a, and the statistics D and D_t. */
static void prepare_row(const plan *w, const row_place *at)
{
    const attention    *a = w->a;
    const ss_attention *p = a->p;
    size_t              bytes = (size_t)a->dim * sizeof(real);
    if (w->q->data && !p->accumulate_q)
        memset(attention_row(w->q, at->lane, at->batch, at->head, at->token), 0, bytes);
    for (int64_t part = 1; part < w->parts && w->q->data; part++) memset(share_row(w, at, part), 0, bytes);
    if (!w->to_scores) return;
    real *D = p->workspace, *D_t = D + w->rows;
    if (!w->second) {
        D[at->lane * w->rows + at->row] = (real)dot(a, at, &p->o_a, at->lane, &p->o, 0);
        return;
    }
    if (at->lane == 0 && w->of_scores) D[at->row] = (real)dot(a, at, &p->o_a, 0, &p->o, 0);
    double sum = dot(a, at, &p->o_at, at->lane, &p->o, 0);
    if (w->plain) sum += dot(a, at, &p->o_a, 0, &p->o_t, at->lane);
    D_t[at->lane * w->rows + at->row] = (real)sum;
}

/* q_a += the shares of the parts behind the first, in their order */
static void add_shares(const plan *w, const row_place *at)
{
    real *to = attention_row(w->q, at->lane, at->batch, at->head, at->token);
    for (int64_t part = 1; part < w->parts; part++) {
        const real *from = share_row(w, at, part);
        for (int64_t j = 0; j < w->a->dim; j++) to[j] += from[j];
    }
}

/* ---- The call ---- */

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
    w.plain = p->o_a.data && (!second || tangents);
    w.of_scores = second && w.plain && (p->q_t.data || p->k_t.data);
    w.values_t = second && w.plain && p->v_t.data;
    w.rows = a->batch * a->heads * a->tokens;
    w.D = p->workspace;
    w.D_t = p->workspace ? w.D + w.rows : NULL;
    w.tall = SS_TILE * a->dim;
    w.head = a->tiles * a->wide;
    w.parts = attention_parts(a, a->batch * a->key_heads);
    return w;
}

ss_status SS_REAL(ss_attention_back)(const attention *a)
{
    ss_status     status = SS_OK;
    plan          w = make_plan(a);
    stage         s;
    double       *scratch = NULL;
    const int64_t group = a->heads / a->key_heads, rows = a->lanes * w.rows;
    int64_t       tasks = a->batch * a->key_heads * w.parts;
    int64_t       shares = w.q->data ? (w.parts - 1) * rows * a->dim * (int64_t)sizeof(real) : 0;
    int64_t size = ss_cpu_blocks(set_stage(&w, NULL, &s) * (int64_t)sizeof(real), (int64_t)sizeof(double));
    int     threads = (int)ss_min64(ss_cpu_threads(a->b, attention_work(a)), tasks);
    shares = ss_cpu_blocks(shares, (int64_t)sizeof(double));
    SS_TRY(ss_cpu_scratch(a->b, threads * size + shares, &scratch));
    w.share = (real *)(void *)(scratch + threads * size);

#pragma omp parallel num_threads(threads)
    {
        stage mine;
        set_stage(&w, (real *)(void *)(scratch + omp_get_thread_num() * size), &mine);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < rows; i++) {
            row_place at = find_row(&w, i);
            prepare_row(&w, &at);
        }
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < tasks; i++) {
            meeting m = { .batch = i / w.parts / a->key_heads, .key_head = i / w.parts % a->key_heads };
            m.part = i % w.parts;
            for (int64_t h = 0; h < group; h++) {
                m.head = m.key_head * group + h;
                run_head(&w, &mine, &m, h == 0);
            }
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < (w.parts > 1 && w.q->data ? rows : 0); i++) {
            row_place at = find_row(&w, i);
            add_shares(&w, &at);
        }
    }
fail:
    return status;
}
