/* Attention: the tiled sweeps against dense attention written down plainly (dense_attention.h), on every
 * backend of the build and at every instruction-set level, in both real types: ragged sizes, odd dimensions,
 * shared keys, windows, padding, caps, lanes, strides, absent operands; memory, determinism, refusals. */
#include "dense_attention.h"
#include "heads.h"

enum { LANES = 2 };

typedef enum padding { NO_PADDING, LEFT, RIGHT, A_WHOLE_SAMPLE } padding;

typedef struct attention_case {
    int64_t batch, tokens, heads, key_heads, dim;
    bool    causal;
    int64_t window;
    double  cap;
    padding padded;
} attention_case;

/* A tile is 96 tokens long in float32, 48 in float64. */
static const attention_case cases[] = {
    { 1, 1, 1, 1, 1, false, 0, 0, NO_PADDING },      { 2, 5, 2, 1, 3, true, 0, 0, NO_PADDING },
    { 1, 97, 2, 2, 32, true, 0, 0, NO_PADDING },     { 2, 150, 4, 2, 64, true, 0, 0, RIGHT },
    { 1, 210, 2, 1, 80, true, 40, 0, NO_PADDING },   { 1, 130, 3, 3, 17, false, 0, 0, LEFT },
    { 1, 100, 2, 2, 128, true, 0, 1.5, NO_PADDING }, { 1, 100, 1, 1, 256, false, 0, 3, NO_PADDING },
    { 2, 110, 2, 1, 96, true, 100, 2, LEFT },        { 2, 60, 2, 2, 33, false, 0, 0, A_WHOLE_SAMPLE },
    { 1, 200, 1, 1, 7, false, 60, 0, NO_PADDING },   { 1, 192, 1, 1, 16, true, 1, 0, NO_PADDING },
    { 3, 49, 2, 2, 40, true, 0, 0, LEFT },
};

/* Fewer and smaller in brief and on other devices, which may be emulated: blocks there are up to 32 queries
 * long, of a few heads at a time; on a real one 256, of all heads here. */
static const attention_case small_cases[] = {
    { 1, 1, 1, 1, 1, false, 0, 0, NO_PADDING },    { 2, 5, 2, 1, 3, true, 0, 0, NO_PADDING },
    { 1, 70, 2, 1, 33, true, 40, 1.5, LEFT },      { 1, 66, 1, 1, 80, true, 0, 0, RIGHT },
    { 1, 40, 1, 1, 256, false, 0, 3, NO_PADDING }, { 2, 35, 2, 2, 17, false, 0, 0, A_WHOLE_SAMPLE },
    { 1, 130, 1, 1, 7, true, 1, 0, NO_PADDING },   { 1, 12, 3, 3, 100, false, 4, 0, NO_PADDING },
    { 3, 40, 4, 2, 12, true, 0, 0, LEFT },         { 1, 70, 6, 3, 5, true, 30, 0, RIGHT },
    { 5, 9, 6, 3, 4, true, 0, 0, NO_PADDING },     { 1, 300, 1, 1, 4, true, 0, 0, NO_PADDING },
};

/* ---- Operands on the host ---- */

enum { Q, K, V, O, KINDS }; /* o is shaped as q, k as v */

typedef struct operands {
    dense_shape s;
    int64_t     count[KINDS], rows; /* elements of a lane; batch heads tokens */
    int64_t    *mask;
    double     *value[KINDS]; /* o unused */
    double     *tangent[KINDS], *adjoint[KINDS],
        *adjoint_t[KINDS]; /* [LANES]; of o: the adjoints; of q, k, v: tangents */
    double *base[KINDS];   /* [LANES]: what accumulated outputs hold before */
} operands;

static operands make_operands(const attention_case *c)
{
    operands o = { .s = { .batch = c->batch, .tokens = c->tokens, .heads = c->heads } };
    uint64_t drawn = 0;
    o.s.key_heads = c->key_heads;
    o.s.dim = c->dim;
    o.s.causal = c->causal;
    o.s.window = c->window;
    o.s.scale = 1.2 / sqrt((double)c->dim);
    o.s.cap = c->cap;
    o.rows = c->batch * c->heads * c->tokens;
    for (int i = 0; i < KINDS; i++) {
        o.count[i] = c->batch * c->tokens * c->dim * (i == K || i == V ? c->key_heads : c->heads);
        o.value[i] = heads_random(&drawn, o.count[i]);
        o.tangent[i] = heads_random(&drawn, LANES * o.count[i]);
        o.adjoint[i] = heads_random(&drawn, LANES * o.count[i]);
        o.adjoint_t[i] = heads_random(&drawn, LANES * o.count[i]);
        o.base[i] = heads_random(&drawn, LANES * o.count[i]);
    }
    ss_test_require(ss_allocate(ss_test_context, c->batch * c->tokens, sizeof *o.mask, (void **)&o.mask));
    for (int64_t i = 0; i < c->batch * c->tokens; i++) {
        int64_t token = i % c->tokens, sample = i / c->tokens, part = c->tokens / 3 + sample;
        o.mask[i] = c->padded == LEFT    ? token >= part
                    : c->padded == RIGHT ? token < c->tokens - part
                                         : sample != 1;
    }
    if (c->padded != NO_PADDING) o.s.mask = o.mask;
    return o;
}

static void free_operands(operands *o)
{
    for (int i = 0; i < KINDS; i++) {
        double *all[] = { o->value[i], o->tangent[i], o->adjoint[i], o->adjoint_t[i], o->base[i] };
        for (int k = 0; k < 5; k++) ss_free(ss_test_context, all[k]);
    }
    ss_free(ss_test_context, o->mask);
}

/* Which of the operands that may be absent are there. */
typedef struct presence {
    bool q_t, k_t, v_t, o_a, o_at;
} presence;

static double *copy_or_zeros(const double *from, int64_t count)
{
    double *to = NULL;
    ss_test_require(ss_allocate(ss_test_context, count, sizeof *to, (void **)&to));
    if (from) memcpy(to, from, (size_t)count * sizeof *to);
    return to;
}

/* What lane `lane` should give; to be freed. */
static dense expect(const operands *o, const presence *there, int64_t lane, bool laned_adjoint,
                    bool without_mu)
{
    int64_t nq = o->count[Q], nk = o->count[K];
    dense   x = { .q = o->value[Q], .k = o->value[K], .v = o->value[V], .without_mu = without_mu };
    x.q_t = copy_or_zeros(there->q_t ? o->tangent[Q] + lane * nq : NULL, nq);
    x.k_t = copy_or_zeros(there->k_t ? o->tangent[K] + lane * nk : NULL, nk);
    x.v_t = copy_or_zeros(there->v_t ? o->tangent[V] + lane * nk : NULL, nk);
    x.o_a = copy_or_zeros(there->o_a ? o->adjoint[O] + (laned_adjoint ? lane * nq : 0) : NULL, nq);
    x.o_at = copy_or_zeros(there->o_at ? o->adjoint_t[O] + lane * nq : NULL, nq);
    double **q_like[] = { &x.o, &x.o_t, &x.q_a, &x.q_at }, **k_like[] = { &x.k_a, &x.v_a, &x.k_at, &x.v_at };
    for (int i = 0; i < 4; i++) {
        *q_like[i] = copy_or_zeros(NULL, nq);
        *k_like[i] = copy_or_zeros(NULL, nk);
    }
    x.L = copy_or_zeros(NULL, o->rows);
    x.mu = copy_or_zeros(NULL, o->rows);
    dense_attention(&o->s, &x);
    return x;
}

static void free_dense(dense *x)
{
    double *all[] = { x->q_t, x->k_t, x->v_t,  x->o_a,  x->o_at, x->o, x->o_t, x->q_a,
                      x->k_a, x->v_a, x->q_at, x->k_at, x->v_at, x->L, x->mu };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) ss_free(ss_test_context, all[i]);
}

/* ---- Operands on the device ---- */

typedef struct bench {
    device      *d;
    operands    *o;
    ss_attention p;
    heads        q, k, v, y, q_t, k_t, v_t, y_t, y_a, y_at; /* inputs, outputs of the sweeps forward */
    heads        laned_y_a, out[3]; /* of a Gauss-Newton product; q_a, k_a, v_a or q_at ... */
    tensor       saved, saved_t;
    void        *mask, *workspace;
    int64_t      workspace_count; /* reals */
} bench;

static heads place(const bench *b, int layout, int kind, int64_t lanes, const double *values)
{
    const dense_shape *s = &b->o->s;
    return heads_make(b->d, (heads_layout)(layout % HEADS_LAYOUTS), lanes, s->batch, s->tokens,
                      kind == K || kind == V ? s->key_heads : s->heads, s->dim, values);
}

static bench set_up(device *d, operands *o, int layout)
{
    bench b = { .d = d, .o = o };
    b.q = place(&b, layout, Q, 0, o->value[Q]);
    b.k = place(&b, layout + 1, K, 0, o->value[K]);
    b.v = place(&b, layout + 2, V, 0, o->value[V]);
    b.y = place(&b, layout, O, 0, NULL);
    b.q_t = place(&b, layout + 2, Q, LANES, o->tangent[Q]);
    b.k_t = place(&b, layout, K, LANES, o->tangent[K]);
    b.v_t = place(&b, layout + 1, V, LANES, o->tangent[V]);
    b.y_t = place(&b, layout + 1, O, LANES, NULL);
    b.y_a = place(&b, layout + 1, O, 0, o->adjoint[O]);
    b.laned_y_a = place(&b, layout, O, LANES, o->adjoint[O]);
    b.y_at = place(&b, layout + 2, O, LANES, o->adjoint_t[O]);
    for (int i = 0; i < 3; i++) b.out[i] = place(&b, layout + i + 1, i, LANES, NULL);
    b.saved = tensor_output(d, 1, 1, o->rows, o->rows, 0);
    b.saved_t = tensor_output(d, LANES, 1, o->rows, o->rows, o->rows + 3);
    if (o->s.mask) b.mask = device_bytes(d, o->mask, o->s.batch * o->s.tokens * 8);
    b.p = (ss_attention){ .lanes = LANES, .scale = o->s.scale, .cap = o->s.cap, .causal = o->s.causal };
    b.p.window = o->s.window;
    b.p.mask = b.mask;
    b.p.q = b.q.h, b.p.k = b.k.h, b.p.v = b.v.h;
    b.p.saved = b.saved.m.data;
    /* Exactly what each sweep asks for, all in one: the largest. Beyond that it is not allocated. */
    for (int sweep = SS_FORWARD; sweep <= SS_TANGENT_BACKWARD; sweep++) {
        b.p.sweep = (ss_sweep)sweep;
        b.workspace_count = ss_max64(b.workspace_count, d->b->class->attention_workspace(d->b, &b.p));
    }
    b.workspace = device_allocate(d, b.workspace_count * (int64_t)ss_real_size(d->real));
    b.p.workspace = b.workspace;
    return b;
}

static void tear_down(bench *b)
{
    heads *all[] = { &b->q,   &b->k,   &b->v,    &b->y,         &b->q_t,    &b->k_t,    &b->v_t,
                     &b->y_t, &b->y_a, &b->y_at, &b->laned_y_a, &b->out[0], &b->out[1], &b->out[2] };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) heads_free(b->d, all[i]);
    tensor_free(b->d, &b->saved);
    tensor_free(b->d, &b->saved_t);
    b->d->b->class->release(b->d->b, b->workspace);
    b->d->b->class->release(b->d->b, b->mask);
}

static void run(bench *b, ss_sweep sweep)
{
    int64_t bytes = b->workspace_count * (int64_t)ss_real_size(b->d->real);
    b->p.sweep = sweep;
    ss_test_require(b->d->b->class->poison(b->d->b, NULL, b->workspace, bytes));
    ss_test_require(b->d->b->class->attention(b->d->b, NULL, &b->p));
}

/* Largest difference, relative to the largest element (at least 1). */
static double deviation(int64_t count, const double *got, const double *want, const double *base)
{
    double worst = 0, scale = 1;
    for (int64_t i = 0; i < count; i++) {
        double difference = fabs(got[i] - want[i] - (base ? base[i] : 0));
        worst = difference <= worst ? worst : difference; /* a NaN wins */
        scale = fmax(scale, fabs(want[i]));
    }
    return worst / scale;
}

static void compare(const bench *b, const char *what, int64_t count, const double *got, const double *want,
                    const double *base)
{
    double worst = deviation(count, got, want, base);
    cr_assert(worst <= 64 * b->d->unit, "%s %s, %lld tokens of %lld: %s is off by %.3g", b->d->b->name,
              ss_real_name(b->d->real), (long long)b->o->s.tokens, (long long)b->o->s.dim, what, worst);
}

/* ---- All sweeps ---- */

static void check_forward(bench *b, const dense *x)
{
    b->p.o = b->y.h;
    b->p.lanes = 1;
    run(b, SS_FORWARD);
    heads_get(b->d, &b->y);
    tensor_get(b->d, &b->saved);
    compare(b, "o", b->o->count[O], b->y.host, x->o, NULL);
    compare(b, "L", b->o->rows, b->saved.host, x->L, NULL);
    b->p.lanes = LANES;
}

static void check_tangent_forward(bench *b, const dense *x)
{
    int64_t n = b->o->count[O];
    b->p.o_t = b->y_t.h;
    b->p.saved_t = b->saved_t.m.data;
    b->p.saved_t_stride = b->saved_t.m.lane_stride;
    run(b, SS_TANGENT_FORWARD);
    heads_get(b->d, &b->y_t);
    tensor_get(b->d, &b->saved_t);
    for (int64_t lane = 0; lane < LANES; lane++) {
        compare(b, "o_t", n, b->y_t.host + lane * n, x[lane].o_t, NULL);
        compare(b, "mu", b->o->rows, tensor_at(&b->saved_t, lane, 0, 0), x[lane].mu, NULL);
    }
}

/* BACKWARD of laned adjoints, or TANGENT_BACKWARD; outputs overwritten or added to; those in `wanted`. */
static void check_back(bench *b, ss_sweep sweep, const dense *x, bool accumulate, int wanted)
{
    ss_heads *to[] = { sweep == SS_BACKWARD ? &b->p.q_a : &b->p.q_at,
                       sweep == SS_BACKWARD ? &b->p.k_a : &b->p.k_at,
                       sweep == SS_BACKWARD ? &b->p.v_a : &b->p.v_at };
    static const char *const names[] = { "adjoint of q", "adjoint of k", "adjoint of v" };
    b->p.accumulate_q = b->p.accumulate_k = b->p.accumulate_v = accumulate;
    for (int i = 0; i < 3; i++) {
        int64_t all = LANES * b->o->count[i];
        for (int64_t j = 0; j < all; j++) b->out[i].host[j] = accumulate ? b->o->base[i][j] : (double)NAN;
        heads_put(b->d, &b->out[i]);
        *to[i] = wanted >> i & 1 ? b->out[i].h : (ss_heads){ 0 };
    }
    run(b, sweep);
    for (int i = 0; i < 3; i++) {
        int64_t n = b->o->count[i];
        heads_get(b->d, &b->out[i]);
        for (int64_t lane = 0; lane < LANES && (wanted >> i & 1); lane++) {
            const dense  *one = &x[lane];
            const double *first[] = { one->q_a, one->k_a, one->v_a },
                         *second[] = { one->q_at, one->k_at, one->v_at };
            compare(b, names[i], n, b->out[i].host + lane * n, sweep == SS_BACKWARD ? first[i] : second[i],
                    accumulate ? b->o->base[i] + lane * n : NULL);
        }
    }
}

static void check_case(device *d, operands *o, int layout, const presence *there, const dense *laned,
                       const dense *second)
{
    static const ss_heads none = { 0 };
    bench                 b = set_up(d, o, layout);
    check_forward(&b, &laned[0]);
    b.p.o_a = b.laned_y_a.h;
    check_back(&b, SS_BACKWARD, laned, layout % 2 == 0, 7);
    b.p.q_t = there->q_t ? b.q_t.h : none;
    b.p.k_t = there->k_t ? b.k_t.h : none;
    b.p.v_t = there->v_t ? b.v_t.h : none;
    b.p.o_a = there->o_a ? b.y_a.h : none;
    b.p.o_at = there->o_at ? b.y_at.h : none;
    check_tangent_forward(&b, second);
    check_back(&b, SS_TANGENT_BACKWARD, second, layout % 2 == 1, 7);
    check_back(&b, SS_TANGENT_BACKWARD, second, layout % 2 == 0, 1 + layout % 7);
    tear_down(&b);
}

static void check_presence(const attention_case *c, int layout, const presence *there, bool processors)
{
    operands o = make_operands(c);
    dense    laned[LANES], second[LANES];
    for (int64_t lane = 0; lane < LANES; lane++) {
        laned[lane] = expect(&o, &(presence){ .o_a = true }, lane, true, false);
        second[lane] = expect(&o, there, lane, false, false);
    }
    DEVICE_EACH(d)
    {
        if (device_is_cpu(d.b->name) == processors) check_case(&d, &o, layout, there, laned, second);
    }
    for (int64_t lane = 0; lane < LANES; lane++) {
        free_dense(&laned[lane]);
        free_dense(&second[lane]);
    }
    free_operands(&o);
}

Test(attention, tiled_is_dense, .init = ss_test_begin, .fini = ss_test_end)
{
    static const presence all = { true, true, true, true, true };
    for (size_t i = 0; i < sizeof cases / sizeof *cases && !ss_test_brief(); i++)
        check_presence(&cases[i], (int)i, &all, true);
    for (size_t i = 0; i < sizeof small_cases / sizeof *small_cases; i++) {
        check_presence(&small_cases[i], (int)i, &all, false);
        if (ss_test_brief()) check_presence(&small_cases[i], (int)i, &all, true);
    }
}

/* Every combination of tangents and adjoints, over several tiles of a processor; capped, causal, shared keys.
 */
Test(attention, absent_operands_count_as_zero, .init = ss_test_begin, .fini = ss_test_end)
{
    static const attention_case c = { 1, 101, 2, 1, 5, true, 0, 1.5, NO_PADDING },
                                brief = { 1, 50, 2, 1, 5, true, 0, 1.5, NO_PADDING },
                                small = { 1, 18, 2, 1, 5, true, 0, 1.5, NO_PADDING };
    for (int bits = 0; bits < 31; bits++) {
        presence there = { bits & 1, bits >> 1 & 1, bits >> 2 & 1, bits >> 3 & 1, bits >> 4 & 1 };
        check_presence(ss_test_brief() ? &brief : &c, bits, &there, true);
        check_presence(&small, bits, &there, false);
    }
}

/* The comparison sees a formula that lacks a term: P_t = P S_t instead of P (S_t - mu). */
Test(attention, injected_error_is_seen, .init = ss_test_begin, .fini = ss_test_end)
{
    static const presence all = { true, true, true, true, true };
    operands              o = make_operands(&cases[2]);
    dense                 wrong = expect(&o, &all, 0, false, true);
    DEVICE_EACH(d)
    {
        bench b = set_up(&d, &o, 0);
        b.p.o = b.y.h;
        run(&b, SS_FORWARD);
        b.p.q_t = b.q_t.h, b.p.k_t = b.k_t.h, b.p.v_t = b.v_t.h, b.p.o_t = b.y_t.h;
        b.p.saved_t = b.saved_t.m.data;
        b.p.saved_t_stride = b.saved_t.m.lane_stride;
        run(&b, SS_TANGENT_FORWARD);
        b.p.o_a = b.y_a.h, b.p.o_at = b.y_at.h;
        b.p.q_at = b.out[0].h, b.p.k_at = b.out[1].h, b.p.v_at = b.out[2].h;
        run(&b, SS_TANGENT_BACKWARD);
        for (int i = 0; i < 3; i++) {
            const double *want[] = { wrong.q_at, wrong.k_at, wrong.v_at };
            heads_get(&d, &b.out[i]);
            cr_assert(deviation(o.count[i], b.out[i].host, want[i], NULL) > 1e-3, "output %d", i);
        }
        heads_get(&d, &b.y_t);
        cr_assert(deviation(o.count[O], b.y_t.host, wrong.o_t, NULL) > 1e-3);
        tear_down(&b);
    }
    free_dense(&wrong);
    free_operands(&o);
}

/* ---- Determinism, memory, refusals ---- */

/* All outputs of all sweeps, one behind the other, as the device has them. */
static double *all_outputs(device *d, operands *o, int64_t *count)
{
    bench   b = set_up(d, o, 0);
    double *all = NULL;
    int64_t used = 0;
    *count =
        2 * o->rows * (1 + LANES) + o->count[O] * (1 + LANES) + 2 * LANES * (o->count[Q] + 2 * o->count[K]);
    ss_test_require(ss_allocate(ss_test_context, *count, sizeof *all, (void **)&all));
    b.p.o = b.y.h;
    run(&b, SS_FORWARD);
    b.p.q_t = b.q_t.h, b.p.k_t = b.k_t.h, b.p.v_t = b.v_t.h, b.p.o_t = b.y_t.h;
    b.p.saved_t = b.saved_t.m.data;
    b.p.saved_t_stride = b.saved_t.m.lane_stride;
    run(&b, SS_TANGENT_FORWARD);
    heads *forward[] = { &b.y, &b.y_t };
    for (int i = 0; i < 2; i++) {
        heads_get(d, forward[i]);
        memcpy(all + used, forward[i]->host, (size_t)(forward[i]->lanes * forward[i]->count) * sizeof *all);
        heads_put(d, forward[i]);
        used += forward[i]->lanes * forward[i]->count;
    }
    b.p.q_a = b.p.q_at = b.out[0].h, b.p.k_a = b.p.k_at = b.out[1].h, b.p.v_a = b.p.v_at = b.out[2].h;
    for (int second = 0; second < 2; second++) {
        b.p.o_a = second ? b.y_a.h : b.laned_y_a.h;
        b.p.o_at = b.y_at.h;
        run(&b, second ? SS_TANGENT_BACKWARD : SS_BACKWARD);
        for (int i = 0; i < 3; i++) {
            heads_get(d, &b.out[i]);
            memcpy(all + used, b.out[i].host, (size_t)(LANES * b.out[i].count) * sizeof *all);
            used += LANES * b.out[i].count;
        }
    }
    tear_down(&b);
    return all;
}

/* The same bits for 1, 2 and 4 threads, and whatever the scratch memory held before. */
Test(attention, same_bits_for_any_thread_count, .init = ss_test_begin, .fini = ss_test_end)
{
    static const attention_case c = { 1, 300, 4, 2, 24, true, 0, 0, NO_PADDING },
                                small = { 1, 70, 2, 1, 24, true, 0, 0, NO_PADDING };
    DEVICE_EACH(d)
    {
        operands o = make_operands(device_is_cpu(d.b->name) && !ss_test_brief() ? &c : &small);
        double  *first = NULL;
        for (int threads = 1; threads <= 4; threads *= 2) {
            int64_t count;
            ss_test_require(ss_context_set_threads(ss_test_context, threads));
            for (int64_t i = 0; d.b->class->space == SS_MEMORY_HOST && i < ss_cpu(d.b)->scratch_count; i++)
                ss_cpu(d.b)->scratch[i] = (double)NAN;
            double *all = all_outputs(&d, &o, &count);
            if (!first) {
                first = all;
                continue;
            }
            cr_assert(memcmp(all, first, (size_t)count * sizeof *all) == 0, "%d threads", threads);
            ss_free(ss_test_context, all);
        }
        ss_free(ss_test_context, first);
        free_operands(&o);
    }
}

/* Adjoints of a plain gradient, all lanes of the outputs one behind the other, of which the first is used. */
static void plain_backward(device *d, operands *o, double *all)
{
    bench b = set_up(d, o, 0);
    b.p.o = b.y.h;
    run(&b, SS_FORWARD);
    b.p.lanes = 1;
    b.p.o_a = b.y_a.h;
    b.p.q_a = b.out[0].h, b.p.k_a = b.out[1].h, b.p.v_a = b.out[2].h;
    run(&b, SS_BACKWARD);
    for (int i = 0; i < 3; i++) {
        heads_get(d, &b.out[i]);
        memcpy(all, b.out[i].host, (size_t)o->count[i] * sizeof *all);
        all += o->count[i];
    }
    tear_down(&b);
}

/* Under tf32 the output, its logsumexp and the gradient keep their bits; tangents are off by TF32's rounding
 * where the device has it. */
Test(attention, low_precision_is_for_tangents_alone, .init = ss_test_begin, .fini = ss_test_end)
{
    enum { FEW = 2048 };
    static const attention_case c = { 2, 20, 2, 1, 8, true, 0, 0, NO_PADDING };
    operands                    o = make_operands(&c);
    double                      plain[2][FEW] = { { 0 } };
    int64_t                     count;
    cr_assert_leq(o.count[Q] + 2 * o.count[K], FEW);
    DEVICE_EACH(d)
    {
        if (d.real != SS_FLOAT32) continue;
        double *exact = all_outputs(&d, &o, &count);
        plain_backward(&d, &o, plain[0]);
        d.b->tf32 = true;
        double *low = all_outputs(&d, &o, &count);
        plain_backward(&d, &o, plain[1]);
        cr_expect(memcmp(low, exact, (size_t)o.count[O] * sizeof *low) == 0, "%s: o", d.b->name);
        cr_expect(memcmp(plain[0], plain[1], sizeof plain[0]) == 0, "%s: a gradient", d.b->name);
        double worst = deviation(count, low, exact, NULL);
        cr_expect(worst < 5e-3, "%s: tangents are off by %.3g", d.b->name, worst);
        cr_expect(device_is_cpu(d.b->name) ? worst == 0 : worst > 1e-5, "%s: tangents are off by %.3g",
                  d.b->name, worst);
        ss_free(ss_test_context, exact);
        ss_free(ss_test_context, low);
    }
    free_operands(&o);
}

/* Scratch that all sweeps leave behind, in doubles, with a backend of its own. */
static int64_t scratch_of(int64_t tokens)
{
    attention_case c = { 1, tokens, 2, 1, 8, true, 0, 0, NO_PADDING };
    operands       o = make_operands(&c);
    int64_t        count;
    device         d = { .real = SS_FLOAT32 };
    unsetenv("SADDLESCOPE_SIMD");
    ss_test_require(ss_backend_open(ss_test_context, "cpu", d.real, &d.b));
    d.unit = ss_real_unit_roundoff(d.real);
    ss_free(ss_test_context, all_outputs(&d, &o, &count));
    count = ss_cpu(d.b)->scratch_count;
    device_close(&d);
    free_operands(&o);
    return count;
}

/* No allocation grows with the square of the tokens: the scratch is tiles of a fixed size and, per token,
 * what every thread keeps of one head (q, o_a, and q_t, o_at of every lane; k, v, k_t, v_t) and at most three
 * rows of q_a of every lane and head. */
Test(attention, memory_is_linear_in_tokens, .init = ss_test_begin, .fini = ss_test_end)
{
    enum { THREADS = 2, ROW = 48 /* floats of a row of a tile */, HEAD_ROWS = 2 * 8 };
    ss_test_require(ss_context_set_threads(ss_test_context, THREADS));
    int64_t fewest = ss_test_brief() ? 384 : 768, before = scratch_of(fewest);
    int64_t per_token = THREADS * (2 + 2 * LANES) * ROW + 3 * LANES * HEAD_ROWS;
    for (int64_t tokens = 2 * fewest; tokens <= 8 * fewest; tokens *= 2) {
        int64_t now = scratch_of(tokens), most = tokens / 2 * per_token / 2;
        cr_expect(now > before && now - before <= most, "%lld tokens: %lld doubles, %lld at half",
                  (long long)tokens, (long long)now, (long long)before);
        before = now;
    }
}

/* ... and neither does the workspace, which is all that a device takes. */
Test(attention, workspace_is_bounded, .init = ss_test_begin, .fini = ss_test_end)
{
    static const attention_case c = { 2, 70, 4, 2, 8, true, 0, 1.5, NO_PADDING },
                                first = { 1, 2, 1, 1, 2, true, 0, 0, NO_PADDING };
    enum { BUFFERS = 5, ROWS = 256 }; /* of a device, whatever the number of tokens */
    operands o = make_operands(&c), opening = make_operands(&first);
    DEVICE_EACH(d)
    {
        const ss_backend_class *class = d.b->class;
        ss_attention p = { .lanes = LANES, .causal = true, .cap = 1.5 };
        for (int64_t tokens = 1; tokens <= 1 << 20; tokens *= 2) {
            p.q = p.k = (ss_heads){ .batch = 2, .tokens = tokens, .heads = 8, .dim = 64 };
            for (int sweep = SS_FORWARD; sweep <= SS_TANGENT_BACKWARD; sweep++) {
                p.sweep = (ss_sweep)sweep;
                int64_t count = class->attention_workspace(d.b, &p);
                cr_expect_leq(count, ss_max64((int64_t)24 << 20, BUFFERS * ROWS * tokens), "%lld tokens",
                              (long long)tokens);
            }
        }
        if (class->space == SS_MEMORY_HOST || device_is_cpu(d.b->name)) continue;
        int64_t count; /* what the queue keeps for all that follows is there afterwards */
        ss_free(ss_test_context, all_outputs(&d, &opening, &count));
        int64_t before = class->memory_available(d.b);
        ss_free(ss_test_context, all_outputs(&d, &o, &count));
        cr_expect_eq(class->memory_available(d.b), before, "a sweep took memory of its own");
    }
    free_operands(&o);
    free_operands(&opening);
}

Test(attention, incomplete_calls_are_refused, .init = ss_test_begin, .fini = ss_test_end)
{
    operands o = make_operands(&cases[1]);
    DEVICE_EACH(d)
    {
        bench b = set_up(&d, &o, 0);
        b.p.o = b.y.h;
        run(&b, SS_FORWARD);
        b.p.sweep = SS_BACKWARD;
        b.p.o_a = b.laned_y_a.h, b.p.q_a = b.out[0].h;
        ss_attention p = b.p;
        p.o.data = NULL;
        ss_test_refuse(d.b->class->attention(d.b, NULL, &p), SS_ERROR_INTERNAL, "lacks an operand");
        p = b.p;
        p.workspace = NULL;
        ss_test_refuse(d.b->class->attention(d.b, NULL, &p), SS_ERROR_INTERNAL, "lacks an operand");
        p = b.p;
        p.k.heads = 2;
        ss_test_refuse(d.b->class->attention(d.b, NULL, &p), SS_ERROR_INTERNAL, NULL);
        p = b.p;
        p.sweep = SS_TANGENT_BACKWARD;
        p.q_t = b.q_t.h, p.q_at = b.out[0].h, p.o_a = b.y_a.h;
        ss_test_refuse(d.b->class->attention(d.b, NULL, &p), SS_ERROR_INTERNAL, "lacks an operand");
        tear_down(&b);
    }
    free_operands(&o);
}
