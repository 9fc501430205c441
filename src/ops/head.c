/* Head: the loss fused with its linear map, l = cross-entropy of z = cap(u), u = x w' + b (a language model's
 * vocabulary). The logits exist for a chunk of tokens at a time, with all classes in the chunk: rows of a
 * chunk come from a fixed budget, so that results do not depend on memory. SAVED holds the two statistics per
 * row of the loss and, when they are kept, the logits u (keep_logits).
 *
 *   u_t = x_t w' + x w_t' + b_t          z_t = cap'(u) u_t        z_at = H_L z_t
 *   u_a = cap'(u) z_a                    u_at = cap''(u) u_t z_a + cap'(u) z_at
 *   x_a = u_a w,  w_a = u_a' x           x_at = u_at w + u_a w_t,  w_at = u_at' x + u_a' x_t
 *   b_a, b_at: column sums
 *
 * CURVATURE: the Gauss-Newton (or Fisher) operator at the capped logits, without the terms of u_a and cap''.
 * The residual H - G is what is left: TANGENT_BACKWARD with z_at = 0. */
#include "ops/head.h"
#include "ops/frame.h"

#define CHUNK_REALS  (1 << 22) /* of one buffer of logits */
#define MINIMUM_ROWS 128       /* below, the matrix products starve */

int64_t ss_head_chunk(const ss_node *node, int64_t rows)
{
    int64_t chunk = ss_max64(CHUNK_REALS / ss_head_classes(node), MINIMUM_ROWS);
    if (node->attributes.chunk > 0) chunk = node->attributes.chunk;
    return ss_min64(chunk, rows);
}

static ss_status infer(ss_context *context, ss_node *node)
{
    ss_status           status = SS_OK;
    const ss_value     *x = &node->values[node->input[0]];
    const ss_parameter *w = &node->parameters[node->parameter[0]];
    int64_t             classes = ss_head_classes(node);
    char                found[128];
    if (node->attributes.loss != SS_LOSS_CROSS_ENTROPY)
        SS_FAIL_NODE(context, node, "a head over classes has a cross-entropy loss and no other");
    if (classes < 2)
        SS_FAIL_NODE(context, node, "a head needs at least 2 classes, not %lld", (long long)classes);
    if (x->rank < 1 || w->array.rank != 2 || w->array.shape[0] != classes ||
        w->array.shape[1] != ss_head_width(node))
        SS_FAIL_NODE(context, node, "weight '%s' has shape %s, expected [%lld, %lld]", w->name,
                     ss_node_shape_text(w->array.rank, w->array.shape, found, sizeof found),
                     (long long)classes, x->rank < 1 ? 0LL : (long long)ss_head_width(node));
    if (ss_node_has_parameter(node, 1) && node->parameters[node->parameter[1]].count != classes)
        SS_FAIL_NODE(context, node, "bias '%s' has %lld elements, expected %lld",
                     node->parameters[node->parameter[1]].name,
                     (long long)node->parameters[node->parameter[1]].count, (long long)classes);
    node->output_rank = 0;
    node->saved_count = ss_head_rows(node) * (2 + (node->attributes.keep_logits ? classes : 0));
    node->saved_tangent_count = 0;
fail:
    return status;
}

/* ---- What is read ---- */

bool ss_head_bends(const ss_node *node, ss_sweep sweep, ss_mask tangents)
{
    bool residual = sweep == SS_TANGENT_BACKWARD && node->attributes.residual;
    return tangents != 0 && !(residual && !ss_head_capped(node));
}

/* Operands that form the logits, or hold them. */
static ss_mask logit_reads(const ss_node *node)
{
    if (node->attributes.keep_logits) return 0; /* SAVED */
    return SS_BIT(SS_PRIMAL, SS_X) | SS_BIT(SS_PRIMAL, SS_HEAD_WEIGHT) |
           (ss_node_has_parameter(node, 1) ? SS_BIT(SS_PRIMAL, SS_HEAD_BIAS) : 0);
}

/* Operands that form u_t, given the tangents that exist. */
static ss_mask tangent_reads(ss_mask tangents)
{
    ss_mask reads = tangents;
    if (tangents & SS_BIT(SS_TANGENT, SS_X)) reads |= SS_BIT(SS_PRIMAL, SS_HEAD_WEIGHT);
    if (tangents & SS_BIT(SS_TANGENT, SS_HEAD_WEIGHT)) reads |= SS_BIT(SS_PRIMAL, SS_X);
    return reads;
}

static ss_mask needs_second(const ss_node *node, ss_sweep sweep, ss_mask tangents, ss_mask gradient,
                            ss_mask want)
{
    const ss_mask x_t = SS_BIT(SS_TANGENT, SS_X), w_t = SS_BIT(SS_TANGENT, SS_HEAD_WEIGHT);
    bool          product_rule = sweep == SS_TANGENT_BACKWARD, bent = ss_head_bends(node, sweep, tangents);
    ss_mask       through = bent ? gradient | tangent_reads(tangents) : 0, reads = 0;
    if (want & SS_BIT(SS_ADJOINT_TANGENT, SS_X)) {
        if (bent) reads |= through | SS_BIT(SS_PRIMAL, SS_HEAD_WEIGHT);
        if (product_rule && (tangents & w_t)) reads |= gradient | w_t;
    }
    if (want & SS_BIT(SS_ADJOINT_TANGENT, SS_HEAD_WEIGHT)) {
        if (bent) reads |= through | SS_BIT(SS_PRIMAL, SS_X);
        if (product_rule && (tangents & x_t)) reads |= gradient | x_t;
    }
    if (want & SS_BIT(SS_ADJOINT_TANGENT, SS_HEAD_BIAS)) reads |= through;
    return reads;
}

static ss_mask needs(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    const ss_mask logits = SS_BIT(SS_PRIMAL, SS_X) | SS_BIT(SS_PRIMAL, SS_HEAD_WEIGHT) |
                           (ss_node_has_parameter(node, 1) ? SS_BIT(SS_PRIMAL, SS_HEAD_BIAS) : 0);
    const ss_mask targets =
        SS_BIT(SS_PRIMAL, SS_TARGET) | SS_BIT(SS_PRIMAL, SS_ROW_WEIGHT) | SS_BIT(SS_PRIMAL, SS_CLASS_WEIGHT);
    const ss_mask gradient = logit_reads(node) | targets | SS_BIT(SS_PRIMAL, SS_SAVED);
    const ss_mask tangents = have & (SS_BIT(SS_TANGENT, SS_X) | SS_BIT(SS_TANGENT, SS_HEAD_WEIGHT) |
                                     SS_BIT(SS_TANGENT, SS_HEAD_BIAS));
    ss_mask       reads = 0;
    switch (sweep) {
    case SS_FORWARD:
        if (want & SS_BIT(SS_PRIMAL, SS_SAVED)) reads |= logits;
        if (want & SS_BIT(SS_PRIMAL, SS_ROW_LOSS)) reads |= logits | targets;
        break;
    case SS_BACKWARD:
        if (want & SS_BIT(SS_ADJOINT, SS_X)) reads |= gradient | SS_BIT(SS_PRIMAL, SS_HEAD_WEIGHT);
        if (want & SS_BIT(SS_ADJOINT, SS_HEAD_WEIGHT)) reads |= gradient | SS_BIT(SS_PRIMAL, SS_X);
        if (want & SS_BIT(SS_ADJOINT, SS_HEAD_BIAS)) reads |= gradient;
        break;
    case SS_TANGENT_FORWARD:
        if ((want & SS_BIT(SS_TANGENT, SS_ROW_LOSS)) && tangents) reads = gradient | tangent_reads(tangents);
        break;
    case SS_TANGENT_BACKWARD:
    case SS_CURVATURE: reads = needs_second(node, sweep, tangents, gradient, want); break;
    case SS_SWEEP_COUNT: break;
    }
    return reads;
}

/* ---- Workspace and cost ---- */

int64_t ss_head_plain_buffers(const ss_node *node, ss_sweep sweep)
{
    return 1 + ss_head_capped(node) + (sweep == SS_BACKWARD || sweep == SS_TANGENT_BACKWARD);
}

int64_t ss_head_laned_buffers(const ss_node *node, ss_sweep sweep)
{
    if (sweep == SS_FORWARD || sweep == SS_BACKWARD) return 0;
    return (sweep == SS_TANGENT_FORWARD ? 1 : 2) + ss_head_capped(node);
}

static int64_t workspace(const ss_node *node, ss_backend *backend, ss_sweep sweep, int64_t samples,
                         int64_t lanes)
{
    (void)backend;
    return ss_head_chunk(node, samples * ss_head_rows(node)) * ss_head_classes(node) *
           (ss_head_plain_buffers(node, sweep) + lanes * ss_head_laned_buffers(node, sweep));
}

/* Two flops per multiply-add, per lane: products of size rows x width x classes. */
static double flops(const ss_node *node, ss_sweep sweep, int64_t samples, ss_mask have, ss_mask want)
{
    double one =
        2.0 * (double)samples * (double)node->values[node->input[0]].count * (double)ss_head_classes(node);
    ss_mask tangents = have & (SS_BIT(SS_TANGENT, SS_X) | SS_BIT(SS_TANGENT, SS_HEAD_WEIGHT) |
                               SS_BIT(SS_TANGENT, SS_HEAD_BIAS));
    int x_t = (have & SS_BIT(SS_TANGENT, SS_X)) != 0, w_t = (have & SS_BIT(SS_TANGENT, SS_HEAD_WEIGHT)) != 0;
    int products = 0, again = node->attributes.keep_logits ? 0 : 1;
    if (needs(node, sweep, have, want) == 0) return 0;
    if (sweep == SS_FORWARD) return one;
    if (sweep == SS_BACKWARD)
        products =
            ((want & SS_BIT(SS_ADJOINT, SS_X)) != 0) + ((want & SS_BIT(SS_ADJOINT, SS_HEAD_WEIGHT)) != 0);
    if (sweep == SS_TANGENT_FORWARD) products = x_t + w_t;
    if (sweep == SS_TANGENT_BACKWARD || sweep == SS_CURVATURE) {
        bool bent = ss_head_bends(node, sweep, tangents), rule = sweep == SS_TANGENT_BACKWARD;
        bool wants_x = (want & SS_BIT(SS_ADJOINT_TANGENT, SS_X)) != 0;
        bool wants_w = (want & SS_BIT(SS_ADJOINT_TANGENT, SS_HEAD_WEIGHT)) != 0;
        products = (bent ? x_t + w_t + wants_x + wants_w : 0) + (rule && wants_x ? w_t : 0) +
                   (rule && wants_w ? x_t : 0);
    }
    return one * (products + again);
}

const ss_op ss_op_head = { .name = "head",
                           .kind = SS_OP_LOSS,
                           .infer = infer,
                           .needs = needs,
                           .sweep = ss_head_sweep,
                           .flops = flops,
                           .workspace = workspace };
