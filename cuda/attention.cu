/* Attention in blocks of queries: the products through cuBLAS, what lies between them by row kernels
 * (attention_rows.cuh; the formulas and their letters are in backend/attention_functions.h).
 *
 * A block (backend/attention_blocks.h) is some queries of a chunk of heads against a range of keys, its
 * scores and what becomes of them rectangles in the workspace, lane after lane:
 *
 *     FORWARD           p                becomes P
 *     TANGENT_FORWARD   p (t) u          P, tanh under a cap, P_t
 *     BACKWARD          p (t) u_a        P, tanh, U_a
 *     TANGENT_BACKWARD  p (t) u_a u x    P, tanh, U_a, P_t, U_at
 *
 * The shape alone says which blocks there are and in which order they add to the adjoints of keys and values:
 * no atomics, the same bits every time.
 *
 * A strided product takes one stride, but heads lie in [batch, tokens, heads, dim]: it runs along the key
 * heads or along the batch, whichever is more, and the other one is a loop, as are the query heads that share
 * a key head. Scores of the primal and P_a are plain float32 also where tangents may be TF32. */
#include "attention_rows.cuh"
#include "map.cuh"

#include "backend/attention_blocks.h"

int64_t ss_cuda_attention_workspace(ss_backend *, const ss_attention *p)
{
    return ss_attention_cut(p).workspace;
}

/* ---- A call, and the block it is at ---- */

template <typename real> struct attention_call {
    ss_backend              *b;
    ss_queue                *q;
    const ss_attention      *p;
    ss_attention_blocks      plan;
    int64_t                  lanes;
    ss_attention_block<real> at;
    bool                     of_scores; /* the scores have a tangent that is needed */
    bool                     values_t;  /* v_t is used */
};

/* Buffers are made and used up by products with a tensor of the queries x and one of the keys y: */
enum product_kind {
    SCORES, /* buffer = alpha x y' + beta buffer */
    GATHER, /* x = alpha buffer y + beta x */
    SPREAD  /* y = alpha buffer' x + beta y */
};

struct operand { /* of one lane */
    const ss_heads *h;
    int64_t         lane;
};

template <typename real> struct place {
    real   *at;
    int64_t stride; /* from problem to problem */
};

/* Of query `row` of the block, or of its key, for the heads (batch, key_head, member) of the chunk. */
template <typename real>
static place<real> place_of(const attention_call<real> *c, const operand *x, bool keys, int64_t batch,
                            int64_t key_head, int64_t member)
{
    const ss_attention_block<real> &w = c->at;
    const int64_t                   shared = keys ? 1 : w.group,
                  head = (w.key_head_0 + key_head) * shared + (keys ? 0 : w.member_0 + member);
    real *data = static_cast<real *>(x->h->data) + x->lane * x->h->lane_stride +
                 (w.batch_0 + batch) * x->h->batch_stride + head * x->h->head_stride +
                 (keys ? w.key_0 : w.row_0) * x->h->token_stride;
    return { data, c->plan.along_heads ? shared * x->h->head_stride : x->h->batch_stride };
}

/* One product for all heads of the chunk. */
template <typename real>
static ss_status product(const attention_call<real> *c, product_kind kind, real *buffer, operand x, operand y,
                         double alpha, bool accumulate, bool tangent)
{
    const ss_attention_block<real> &w = c->at;
    const bool                      along_heads = c->plan.along_heads;
    const int64_t                   plane = w.rows * w.ld, others = along_heads ? w.batch : w.key_heads;
    ss_gemm                         g = {};
    g.transpose_a = kind == SPREAD;
    g.transpose_b = kind == SCORES;
    g.m = kind == SPREAD ? w.keys : w.rows;
    g.n = kind == SCORES ? w.keys : x.h->dim;
    g.k = kind == SCORES ? x.h->dim : kind == GATHER ? w.keys : w.rows;
    g.alpha = alpha;
    g.beta = accumulate ? 1 : 0;
    g.batch = along_heads ? w.key_heads : w.batch;
    g.low_precision = tangent;
    for (int64_t i = 0; i < others * w.members; i++) {
        const int64_t     member = i % w.members, other = i / w.members;
        const int64_t     batch = along_heads ? other : 0, key_head = along_heads ? 0 : other;
        const place<real> of_x = place_of(c, &x, false, batch, key_head, member),
                          of_y = place_of(c, &y, true, batch, key_head, member);
        const place<real> scores = { buffer + ((batch * w.key_heads + key_head) * w.members + member) * plane,
                                     (along_heads ? 1 : w.key_heads) * w.members * plane };
        const place<real> &a = kind == SCORES ? of_x : scores, &b = kind == SPREAD ? of_x : of_y,
                          &to = kind == SCORES   ? scores
                                : kind == GATHER ? of_x
                                                 : of_y;
        g.a = a.at, g.stride_a = a.stride, g.lda = kind == SCORES ? x.h->token_stride : w.ld;
        g.b = b.at, g.stride_b = b.stride, g.ldb = (kind == SPREAD ? x : y).h->token_stride;
        g.c = to.at, g.stride_c = to.stride;
        g.ldc = kind == SCORES ? w.ld : (kind == GATHER ? x : y).h->token_stride;
        SS_RETURN(ss_cuda_gemm<real>(c->b, c->q, &g));
    }
    return SS_OK;
}

template <typename real> static unsigned row_blocks(const ss_attention_block<real> &w)
{
    return ss_row_blocks(w.batch * w.key_heads * w.members * w.rows);
}

/* The row kernel F over the block, with those of its buffers that are to take part. */
template <typename F, typename real>
static ss_status change_scores(attention_call<real> *c, int64_t lane, bool u_a, bool u, bool x)
{
    ss_attention_block<real> w = c->at;
    if (!u_a) w.u_a = nullptr;
    if (!u) w.u = nullptr;
    if (!x) w.x = nullptr;
    if (w.mu) w.mu += lane * c->p->saved_t_stride;
    SS_CUDA_LAUNCH(c->q->device->context, (ss_attention_scores<F, real>), row_blocks(w),
                   ss_row_threads(w.keys), 0, c->q->stream, w);
    c->at.raw = false;
    return SS_OK;
}

template <typename real> struct clear_heads {
    ss_heads        h;
    __device__ void operator()(int64_t lane, int64_t row, int64_t col) const
    {
        const int64_t head = row % h.heads, token = row / h.heads % h.tokens,
                      batch = row / (h.heads * h.tokens);
        static_cast<real *>(h.data)[lane * h.lane_stride + batch * h.batch_stride + token * h.token_stride +
                                    head * h.head_stride + col] = 0;
    }
};

/* An output that blocks add to, or that gets nothing. */
template <typename real>
static ss_status clear(const attention_call<real> *c, const ss_heads *h, bool accumulate)
{
    const clear_heads<real> f = { *h };
    if (!h->data || accumulate) return SS_OK;
    return ss_cuda_map(c->q, c->lanes, h->batch * h->tokens * h->heads, h->dim, f);
}

/* ---- The sweeps, for one block ---- */

template <typename real> static ss_status forward(attention_call<real> *c)
{
    const ss_attention *p = c->p;
    SS_RETURN(product(c, SCORES, c->at.p, { &p->q, 0 }, { &p->k, 0 }, 1, false, false));
    SS_CUDA_LAUNCH(c->q->device->context, (ss_attention_softmax<real>), row_blocks(c->at),
                   ss_row_threads(c->at.keys), 0, c->q->stream, c->at);
    if (!p->o.data) return SS_OK;
    return product(c, GATHER, c->at.p, { &p->o, 0 }, { &p->v, 0 }, 1, p->accumulate_o, false);
}

/* u = q_t k' + q k_t' */
template <typename real> static ss_status tangent_scores(attention_call<real> *c, int64_t lane)
{
    const ss_attention *p = c->p;
    real               *u = c->at.u;
    if (p->q_t.data) SS_RETURN(product(c, SCORES, u, { &p->q_t, lane }, { &p->k, 0 }, 1, false, true));
    if (p->k_t.data)
        SS_RETURN(product(c, SCORES, u, { &p->q, 0 }, { &p->k_t, lane }, 1, p->q_t.data != nullptr, true));
    return SS_OK;
}

template <typename real> static ss_status tangent_forward(attention_call<real> *c)
{
    const ss_attention *p = c->p;
    SS_RETURN(product(c, SCORES, c->at.p, { &p->q, 0 }, { &p->k, 0 }, 1, false, false));
    for (int64_t lane = 0; lane < c->lanes; lane++) {
        if (c->of_scores) SS_RETURN(tangent_scores(c, lane));
        SS_RETURN(change_scores<ss_tangent_scores>(c, lane, false, c->of_scores, false));
        if (!p->o_t.data) continue;
        if (c->of_scores)
            SS_RETURN(product(c, GATHER, c->at.u, { &p->o_t, lane }, { &p->v, 0 }, 1, p->accumulate_o, true));
        if (c->values_t)
            SS_RETURN(product(c, GATHER, c->at.p, { &p->o_t, lane }, { &p->v_t, lane }, 1,
                              p->accumulate_o || c->of_scores, true));
    }
    return SS_OK;
}

template <typename real> static ss_status backward(attention_call<real> *c)
{
    const ss_attention *p = c->p;
    const bool          to_scores = p->q_a.data || p->k_a.data;
    const bool          tangent = p->o_a.lane_stride != 0; /* of a Gauss-Newton product, as in linear maps */
    SS_RETURN(product(c, SCORES, c->at.p, { &p->q, 0 }, { &p->k, 0 }, 1, false, false));
    for (int64_t lane = 0; lane < c->lanes; lane++) {
        const operand o_a = { &p->o_a, lane };
        if (to_scores) SS_RETURN(product(c, SCORES, c->at.u_a, o_a, { &p->v, 0 }, 1, false, tangent));
        SS_RETURN(change_scores<ss_adjoint_scores>(c, lane, to_scores, false, false));
        if (p->q_a.data)
            SS_RETURN(product(c, GATHER, c->at.u_a, { &p->q_a, lane }, { &p->k, 0 }, p->scale,
                              p->accumulate_q, tangent));
        if (p->k_a.data)
            SS_RETURN(
                product(c, SPREAD, c->at.u_a, { &p->q, 0 }, { &p->k_a, lane }, p->scale, true, tangent));
        if (p->v_a.data) SS_RETURN(product(c, SPREAD, c->at.p, o_a, { &p->v_a, lane }, 1, true, tangent));
    }
    return SS_OK;
}

/* P_t and U_at of one lane. */
template <typename real> static ss_status second_scores(attention_call<real> *c, int64_t lane, bool to_scores)
{
    const ss_attention *p = c->p;
    if (c->of_scores) SS_RETURN(tangent_scores(c, lane));
    if (to_scores && p->o_at.data)
        SS_RETURN(product(c, SCORES, c->at.x, { &p->o_at, lane }, { &p->v, 0 }, 1, false, true));
    if (to_scores && c->values_t)
        SS_RETURN(
            product(c, SCORES, c->at.x, { &p->o_a, 0 }, { &p->v_t, lane }, 1, p->o_at.data != nullptr, true));
    return change_scores<ss_second_scores>(c, lane, c->of_scores && to_scores, c->of_scores, to_scores);
}

template <typename real> static ss_status tangent_backward(attention_call<real> *c)
{
    const ss_attention *p = c->p;
    const bool          to_scores = p->q_at.data || p->k_at.data, moves = c->of_scores;
    SS_RETURN(product(c, SCORES, c->at.p, { &p->q, 0 }, { &p->k, 0 }, 1, false, false));
    if (moves && to_scores) {
        SS_RETURN(product(c, SCORES, c->at.u_a, { &p->o_a, 0 }, { &p->v, 0 }, 1, false, false));
        SS_RETURN(change_scores<ss_adjoint_scores>(c, 0, true, false, false));
    }
    for (int64_t lane = 0; lane < c->lanes; lane++) {
        const operand q_at = { &p->q_at, lane }, k_at = { &p->k_at, lane }, v_at = { &p->v_at, lane };
        SS_RETURN(second_scores(c, lane, to_scores));
        if (p->q_at.data)
            SS_RETURN(product(c, GATHER, c->at.x, q_at, { &p->k, 0 }, p->scale, p->accumulate_q, true));
        if (p->q_at.data && moves && p->k_t.data)
            SS_RETURN(product(c, GATHER, c->at.u_a, q_at, { &p->k_t, lane }, p->scale, true, true));
        if (p->k_at.data) SS_RETURN(product(c, SPREAD, c->at.x, { &p->q, 0 }, k_at, p->scale, true, true));
        if (p->k_at.data && moves && p->q_t.data)
            SS_RETURN(product(c, SPREAD, c->at.u_a, { &p->q_t, lane }, k_at, p->scale, true, true));
        if (p->v_at.data && moves)
            SS_RETURN(product(c, SPREAD, c->at.u, { &p->o_a, 0 }, v_at, 1, true, true));
        if (p->v_at.data && p->o_at.data)
            SS_RETURN(product(c, SPREAD, c->at.p, { &p->o_at, lane }, v_at, 1, true, true));
    }
    return SS_OK;
}

/* ---- Through all blocks ---- */

/* Query rows from the last to the first, of one chunk. */
template <typename real> static ss_status run_chunk(attention_call<real> *c)
{
    const ss_attention       *p = c->p;
    ss_attention_block<real> &w = c->at;
    const int64_t             blocks = ss_cuda_blocks(w.tokens, c->plan.rows);
    for (int64_t block = blocks - 1; block >= 0; block--) {
        w.row_0 = block * c->plan.rows;
        w.rows = ss_min64(c->plan.rows, w.tokens - w.row_0);
        w.key_0 = ss_max64(0, w.row_0 + w.low + 1);
        w.keys = ss_min64(w.row_0 + w.rows + w.high, w.tokens) - w.key_0;
        w.ld = ss_attention_multiple(w.keys, 4);
        w.raw = true;
        switch (p->sweep) {
        case SS_FORWARD: SS_RETURN(forward(c)); break;
        case SS_TANGENT_FORWARD: SS_RETURN(tangent_forward(c)); break;
        case SS_BACKWARD: SS_RETURN(backward(c)); break;
        default: SS_RETURN(tangent_backward(c)); break;
        }
    }
    return SS_OK;
}

/* Outputs that are sums over blocks, or that get no term at all, begin as zeros. */
template <typename real> static ss_status clear_outputs(const attention_call<real> *c, bool *nothing)
{
    const ss_attention *p = c->p;
    const bool          moves = c->of_scores || c->values_t || p->o_at.data;
    *nothing = false;
    switch (p->sweep) {
    case SS_TANGENT_FORWARD:
        if (!c->of_scores && !c->values_t) SS_RETURN(clear(c, &p->o_t, p->accumulate_o));
        *nothing = !c->of_scores && !c->values_t && !p->saved_t;
        break;
    case SS_BACKWARD:
        SS_RETURN(clear(c, &p->k_a, p->accumulate_k));
        SS_RETURN(clear(c, &p->v_a, p->accumulate_v));
        break;
    case SS_TANGENT_BACKWARD:
        SS_RETURN(clear(c, &p->k_at, p->accumulate_k));
        SS_RETURN(clear(c, &p->v_at, p->accumulate_v));
        if (!moves) SS_RETURN(clear(c, &p->q_at, p->accumulate_q));
        *nothing = !moves;
        break;
    default: break;
    }
    return SS_OK;
}

template <typename real> static ss_status run(attention_call<real> *c)
{
    ss_attention_block<real>  &w = c->at;
    const ss_attention_blocks &plan = c->plan;
    real                     **to[] = { &w.p, &w.t, &w.u_a, &w.u, &w.x }; /* in the order of the bits */
    real                      *next = static_cast<real *>(c->p->workspace);
    bool                       nothing;
    SS_RETURN(clear_outputs(c, &nothing));
    if (nothing) return SS_OK;
    for (int i = 0; i < SS_SCORES_COUNT; i++) {
        if (!(plan.buffers >> i & 1)) continue;
        *to[i] = next;
        next += plan.buffer;
    }
    for (w.batch_0 = 0; w.batch_0 < c->p->q.batch; w.batch_0 += plan.batch)
        for (w.key_head_0 = 0; w.key_head_0 < c->p->k.heads; w.key_head_0 += plan.key_heads)
            for (w.member_0 = 0; w.member_0 < w.group; w.member_0 += plan.members) {
                w.batch = ss_min64(plan.batch, c->p->q.batch - w.batch_0);
                w.key_heads = ss_min64(plan.key_heads, c->p->k.heads - w.key_head_0);
                w.members = ss_min64(plan.members, w.group - w.member_0);
                SS_RETURN(run_chunk(c));
            }
    return SS_OK;
}

/* ---- Checks ---- */

static bool fits(const ss_heads *h, const ss_heads *like)
{
    return !h->data || (h->batch == like->batch && h->tokens == like->tokens && h->heads == like->heads &&
                        h->dim == like->dim);
}

template <typename real>
static attention_call<real> describe(ss_backend *b, ss_queue *q, const ss_attention *p)
{
    using points = ss_attention_points<real>;
    attention_call<real> c = {};
    const bool           scores = p->q_t.data || p->k_t.data, second = p->sweep == SS_TANGENT_BACKWARD;
    c.b = b;
    c.q = q;
    c.p = p;
    c.plan = ss_attention_cut(p);
    c.lanes = p->sweep == SS_FORWARD ? 1 : p->lanes;
    c.of_scores = scores && (second ? p->o_a.data != nullptr : p->o_t.data || p->saved_t);
    c.values_t = p->v_t.data && (second ? p->o_a.data : p->o_t.data) != nullptr;
    c.at.L = static_cast<real *>(p->saved);
    c.at.mu = static_cast<real *>(p->saved_t);
    c.at.tokens = p->q.tokens;
    c.at.heads = p->q.heads;
    c.at.group = p->q.heads / p->k.heads;
    c.at.low = points::attention_low(p->window, p->q.tokens);
    c.at.high = points::attention_high(p->causal, p->q.tokens);
    c.at.mask = p->mask;
    c.at.p_at = p->o_at.data || c.values_t;
    c.at.scale = (real)p->scale;
    c.at.cap = (real)p->cap;
    return c;
}

template <typename real> ss_status ss_cuda_attention(ss_backend *b, ss_queue *q, const ss_attention *p)
{
    const ss_heads *queries[] = { &p->o, &p->q_t, &p->o_t, &p->q_a, &p->o_a, &p->q_at, &p->o_at };
    const ss_heads *keys[] = { &p->v, &p->k_t, &p->v_t, &p->k_a, &p->v_a, &p->k_at, &p->v_at };
    bool good = p->q.data && p->k.data && (p->saved || p->sweep == SS_FORWARD) && ss_attention_is_complete(p);
    good = good && p->k.heads > 0 && p->q.heads % p->k.heads == 0 && p->lanes >= (p->sweep != SS_FORWARD);
    good = good && p->k.batch == p->q.batch && p->k.tokens == p->q.tokens && p->k.dim == p->q.dim;
    for (int i = 0; i < 7; i++) good = good && fits(queries[i], &p->q) && fits(keys[i], &p->k);
    const bool empty = p->q.batch == 0 || p->q.tokens == 0 || p->q.dim == 0;
    good = good && p->q.tokens <= INT32_MAX / 8; /* row kernels count keys in 32 bits */
    if (!good || (!empty && !p->workspace))
        return ss_fail(b->context, SS_ERROR_INTERNAL,
                       "attention: sweep %d lacks an operand, or shapes differ", (int)p->sweep);
    SS_RETURN(ss_cuda_enter(b, &q));
    if (empty) return SS_OK;
    attention_call<real> c = describe<real>(b, q, p);
    return run(&c);
}
SS_CUDA_INSTANTIATE(attention)
