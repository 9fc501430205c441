/* Attention: y = softmax(cap(scale q k')) v, head by head (reference 4.1; the formulas of all sweeps are in
 * backend/attention_functions.h). Inputs: 0 q [T, H, d], 1 k, 2 v [T, Hk, d], 3 mask [T] (integer, may be
 * absent). SAVED is the logsumexp L of every row, its tangent is mu.
 *
 * Who reads what follows from three facts. P comes from q, k, L and the mask. Adjoints of the scores contain
 * D = o_a . o and P_a = o_a v', so that q_a and k_a read v and o; v_a = P' o_a reads neither. P_t exists
 * where q or k has a tangent: it reads mu, and multiplies P_a - D; D_t = o_at . o + o_a . o_t needs o_t
 * wherever o_a meets any tangent. */
#include "backend/attention_blocks.h"
#include "ops/frame.h"

enum { Q = SS_X, K, V, MASK };

static ss_status infer(ss_context *context, ss_node *node)
{
    ss_status            status = SS_OK;
    const ss_attributes *a = &node->attributes;
    const ss_value      *q = &node->values[node->input[0]], *k = &node->values[node->input[1]];
    const ss_value      *v = &node->values[node->input[2]];
    char                 text[3][64];
    if (a->heads < 1 || a->key_heads < 1 || a->heads % a->key_heads != 0)
        SS_FAIL_NODE(context, node, "%d query heads cannot share %d key heads evenly", (int)a->heads,
                     (int)a->key_heads);
    bool good = q->rank == 3 && k->rank == 3 && v->rank == 3 && q->shape[1] == a->heads &&
                k->shape[0] == q->shape[0] && k->shape[1] == a->key_heads && k->shape[2] == q->shape[2];
    for (int d = 0; good && d < 3; d++) good = v->shape[d] == k->shape[d];
    if (!good)
        SS_FAIL_NODE(
            context, node, "expects q [tokens, %d, dim] and k, v [tokens, %d, dim], found q %s, k %s, v %s",
            (int)a->heads, (int)a->key_heads, ss_node_shape_text(q->rank, q->shape, text[0], sizeof text[0]),
            ss_node_shape_text(k->rank, k->shape, text[1], sizeof text[1]),
            ss_node_shape_text(v->rank, v->shape, text[2], sizeof text[2]));
    if (node->n_inputs > 3) {
        const ss_value *mask = &node->values[node->input[3]];
        if (!mask->integer || mask->rank != 1 || mask->shape[0] != q->shape[0])
            SS_FAIL_NODE(context, node, "expects an integer mask [%lld], found %s", (long long)q->shape[0],
                         ss_node_shape_text(mask->rank, mask->shape, text[0], sizeof text[0]));
    }
    ss_node_output_like_input(node);
    node->saved_count = q->shape[0] * q->shape[1];
    node->saved_tangent_count = node->saved_count;
fail:
    return status;
}

static ss_mask needs(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    const ss_mask q = SS_BIT(SS_PRIMAL, Q), k = SS_BIT(SS_PRIMAL, K), v = SS_BIT(SS_PRIMAL, V);
    const ss_mask o = SS_BIT(SS_PRIMAL, SS_Y), mask = node->n_inputs > 3 ? SS_BIT(SS_PRIMAL, MASK) : 0;
    const ss_mask s = q | k | mask, p = s | SS_BIT(SS_PRIMAL, SS_SAVED);
    const ss_mask s_t = have & (SS_BIT(SS_TANGENT, Q) | SS_BIT(SS_TANGENT, K)),
                  v_t = have & SS_BIT(SS_TANGENT, V);
    const ss_mask mu = SS_BIT(SS_TANGENT, SS_SAVED), o_t = SS_BIT(SS_TANGENT, SS_Y);
    const ss_mask o_a = have & SS_BIT(SS_ADJOINT, SS_Y), o_at = have & SS_BIT(SS_ADJOINT_TANGENT, SS_Y);
    ss_mask       reads = 0;

    switch (sweep) {
    case SS_FORWARD:
        if (want & SS_BIT(SS_PRIMAL, SS_SAVED)) reads |= s;
        if (want & SS_BIT(SS_PRIMAL, SS_Y)) reads |= s | v;
        break;
    case SS_BACKWARD:
        if (o_a == 0) break;
        if (want & SS_BIT(SS_ADJOINT, V)) reads |= o_a | p;
        if (want & (SS_BIT(SS_ADJOINT, Q) | SS_BIT(SS_ADJOINT, K))) reads |= o_a | p | v | o;
        break;
    case SS_TANGENT_FORWARD:
        if ((want & SS_BIT(SS_TANGENT, SS_SAVED)) && s_t) reads |= p | s_t;
        if (want & SS_BIT(SS_TANGENT, SS_Y)) {
            if (s_t) reads |= p | s_t | v | o;
            if (v_t) reads |= p | v_t;
        }
        break;
    case SS_TANGENT_BACKWARD:
        if (want & SS_BIT(SS_ADJOINT_TANGENT, V)) {
            if (o_at) reads |= o_at | p;
            if (o_a && s_t) reads |= o_a | p | s_t | mu;
        }
        if (want & (SS_BIT(SS_ADJOINT_TANGENT, Q) | SS_BIT(SS_ADJOINT_TANGENT, K))) {
            if (o_at) reads |= o_at | p | v | o;
            if (o_a && s_t) reads |= o_a | o_t | p | v | o | s_t | mu;
            if (o_a && v_t) reads |= o_a | o_t | p | v_t;
        }
        break;
    default: break;
    }
    return reads;
}

typedef struct binding { /* an operand and the place it goes to */
    ss_derivative derivative;
    int           role;
    size_t        offset; /* of the ss_heads in ss_attention */
} binding;

static const binding bindings[] = {
    { SS_PRIMAL, Q, offsetof(ss_attention, q) },
    { SS_PRIMAL, K, offsetof(ss_attention, k) },
    { SS_PRIMAL, V, offsetof(ss_attention, v) },
    { SS_PRIMAL, SS_Y, offsetof(ss_attention, o) },
    { SS_TANGENT, Q, offsetof(ss_attention, q_t) },
    { SS_TANGENT, K, offsetof(ss_attention, k_t) },
    { SS_TANGENT, V, offsetof(ss_attention, v_t) },
    { SS_TANGENT, SS_Y, offsetof(ss_attention, o_t) },
    { SS_ADJOINT, Q, offsetof(ss_attention, q_a) },
    { SS_ADJOINT, K, offsetof(ss_attention, k_a) },
    { SS_ADJOINT, V, offsetof(ss_attention, v_a) },
    { SS_ADJOINT, SS_Y, offsetof(ss_attention, o_a) },
    { SS_ADJOINT_TANGENT, Q, offsetof(ss_attention, q_at) },
    { SS_ADJOINT_TANGENT, K, offsetof(ss_attention, k_at) },
    { SS_ADJOINT_TANGENT, V, offsetof(ss_attention, v_at) },
    { SS_ADJOINT_TANGENT, SS_Y, offsetof(ss_attention, o_at) },
};

static ss_attention attributes_of(const ss_node *node, ss_sweep which)
{
    const ss_attributes *a = &node->attributes;
    return (ss_attention){
        .sweep = which, .scale = a->scale, .cap = a->cap, .causal = a->causal, .window = a->window
    };
}

static ss_status sweep(const ss_call *call, ss_sweep which)
{
    static const ss_derivative results[SS_SWEEP_COUNT] = { [SS_FORWARD] = SS_PRIMAL,
                                                           [SS_TANGENT_FORWARD] = SS_TANGENT,
                                                           [SS_BACKWARD] = SS_ADJOINT,
                                                           [SS_TANGENT_BACKWARD] = SS_ADJOINT_TANGENT };
    ss_status                  status = SS_OK;
    ss_frame                   f;
    ss_derivative              d = results[which];
    ss_attention               p = attributes_of(call->node, which);
    SS_TRY(ss_frame_begin(&f, &ss_op_attention, which, call));
    if (f.writes == 0) return SS_OK;
    for (size_t i = 0; i < sizeof bindings / sizeof *bindings; i++)
        SS_TRY(ss_frame_heads(&f, bindings[i].derivative, bindings[i].role,
                              (ss_heads *)(void *)((char *)&p + bindings[i].offset)));
    p.lanes = ss_frame_lanes(&f, which);
    p.mask = ss_frame_data(&f, SS_PRIMAL, MASK);
    p.saved = ss_frame_data(&f, SS_PRIMAL, SS_SAVED);
    p.saved_t = ss_frame_data(&f, SS_TANGENT, SS_SAVED);
    p.saved_t_stride = call->operand[SS_OPERAND(SS_TANGENT, SS_SAVED)].lane_stride;
    p.workspace = ss_frame_workspace(&f);
    p.accumulate_o = ss_frame_accumulates(&f, d, SS_Y);
    p.accumulate_q = ss_frame_accumulates(&f, d, Q);
    p.accumulate_k = ss_frame_accumulates(&f, d, K);
    p.accumulate_v = ss_frame_accumulates(&f, d, V);
    SS_TRY(call->backend->class->attention(call->backend, call->queue, &p));
fail:
    return status;
}

/* Scores that are seen, of one head and sample; masks of the data are not known here. */
static double scores(const ss_node *node)
{
    const ss_attributes *a = &node->attributes;
    double tokens = (double)node->output_shape[0], window = (double)a->window, all = tokens * tokens;
    double early = tokens - window; /* queries from `window` on do not see the first ones */
    double left_out = a->window > 0 && early > 0 ? early * (early + 1) / 2 : 0;
    if (a->causal) all = tokens * (tokens + 1) / 2;
    return all - left_out;
}

/* Products with one factor of the scores' extent, of one sweep. In blocks of scores that lie in memory, each
 * makes or reads one, and some add to one; what lies between the products reads and writes them. */
typedef struct work {
    int products, accesses; /* accesses: reads and writes of an element */
} work;

static work count(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    const bool q_t = have & SS_BIT(SS_TANGENT, Q), k_t = have & SS_BIT(SS_TANGENT, K);
    const bool v_t = have & SS_BIT(SS_TANGENT, V), s_t = q_t || k_t;
    const bool o_a = have & SS_BIT(SS_ADJOINT, SS_Y), o_at = have & SS_BIT(SS_ADJOINT_TANGENT, SS_Y);
    work       w = { .products = 1 /* the scores themselves */ };
    int        between = 2, sums = 0; /* P from them */
    if (needs(node, sweep, have, want) == 0) return (work){ 0 };
    if (sweep == SS_FORWARD) {
        w.products += (want & SS_BIT(SS_PRIMAL, SS_Y)) != 0;
    } else if (sweep == SS_TANGENT_FORWARD) {
        const bool y = want & SS_BIT(SS_TANGENT, SS_Y);
        w.products += q_t + k_t + (y && s_t) + (y && v_t);
        between += 2 * s_t;
        sums = q_t && k_t;
    } else {
        ss_derivative d = sweep == SS_BACKWARD ? SS_ADJOINT : SS_ADJOINT_TANGENT;
        const bool    q = want & SS_BIT(d, Q), k = want & SS_BIT(d, K), v = want & SS_BIT(d, V);
        if (sweep == SS_BACKWARD) {
            w.products += (q || k) + q + k + v;
            between += 2 * (q || k);
        } else {
            const bool moves = o_a && s_t;
            if (moves) w.products += q_t + k_t + (q || k) + v + (q && k_t) + (k && q_t);
            if (q || k) w.products += o_at + (o_a && v_t) + q + k;
            if (v) w.products += o_at;
            between += (q || k ? 2 : 0) + (moves ? 2 : 0) + (moves && (q || k) ? 4 : 0);
            sums = (moves && q_t && k_t) + ((q || k) && o_at && o_a && v_t);
        }
    }
    w.accesses = w.products + between + sums;
    return w;
}

/* Two flops per multiply-add, the row statistics left out (reference 4.1): what there is to compute. One that
 * works in blocks also makes scores that nobody sees. */
static double flops(const ss_node *node, ss_sweep sweep, int64_t samples, ss_mask have, ss_mask want)
{
    return 2.0 * count(node, sweep, have, want).products * scores(node) *
           (double)(samples * node->attributes.heads * node->output_shape[2]);
}

/* For backends: everything but the operands' data. */
static ss_attention shape_of(const ss_node *node, ss_sweep sweep, int64_t samples, int64_t lanes)
{
    ss_attention p = attributes_of(node, sweep);
    p.lanes = lanes;
    p.q = (ss_heads){ .batch = samples, .tokens = node->output_shape[0], .dim = node->output_shape[2] };
    p.k = p.v = p.q;
    p.q.heads = node->attributes.heads;
    p.k.heads = p.v.heads = node->attributes.key_heads;
    return p;
}

/* On a device scores lie in memory, of which its second cache may take some; the processor's tiles stay in
 * its caches. */
static double bytes(const ss_node *node, const ss_backend *backend, ss_sweep sweep, int64_t samples,
                    ss_mask have, ss_mask want)
{
    const ss_attention p = shape_of(node, sweep, samples, 1);
    if (backend->class->space == SS_MEMORY_HOST) return 0;
    return count(node, sweep, have, want).accesses * ss_attention_area(&p) *
           (double)ss_real_size(backend->real);
}

static int64_t workspace(const ss_node *node, ss_backend *backend, ss_sweep sweep, int64_t samples,
                         int64_t lanes)
{
    const ss_attention p = shape_of(node, sweep, samples, lanes);
    return backend->class->attention_workspace(backend, &p);
}

const ss_op ss_op_attention = { .name = "attention",
                                .kind = SS_OP_GENERAL,
                                .infer = infer,
                                .needs = needs,
                                .sweep = sweep,
                                .flops = flops,
                                .bytes = bytes,
                                .workspace = workspace };
