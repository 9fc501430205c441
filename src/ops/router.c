/* Router of a mixture of experts: softmax over the top_k largest of each row, 0 elsewhere.
 *
 *   y_t = y o (x_t - y . x_t)          x_a = y o (y_a - y . y_a)
 *   x_at = y o (y_at - y . y_at) + y_t o (y_a - y . y_a) - y (y_t . y_a)
 *
 * all in terms of y, which is zero where an expert is not chosen. The choice is constant in all derivatives;
 * that it changes on the way to another point is what `kinked` reports, by the outputs that are positive. */
#include "ops/frame.h"

static int64_t experts(const ss_node *node)
{
    const ss_value *x = &node->values[node->input[0]];
    return x->shape[x->rank - 1];
}

static ss_status infer(ss_context *context, ss_node *node)
{
    ss_status       status = SS_OK;
    const ss_value *x = &node->values[node->input[0]];
    if (x->rank < 1) SS_FAIL_NODE(context, node, "a router needs a dimension of experts");
    if (node->attributes.top_k < 1 || node->attributes.top_k > experts(node))
        SS_FAIL_NODE(context, node, "%lld experts of %lld cannot be chosen",
                     (long long)node->attributes.top_k, (long long)experts(node));
    ss_node_output_like_input(node);
fail:
    return status;
}

static ss_mask needs(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    (void)node;
    const ss_mask y = SS_BIT(SS_PRIMAL, SS_Y), x_t = SS_BIT(SS_TANGENT, SS_X);
    const ss_mask y_a = SS_BIT(SS_ADJOINT, SS_Y), y_at = SS_BIT(SS_ADJOINT_TANGENT, SS_Y);
    ss_mask       reads = 0;
    switch (sweep) {
    case SS_FORWARD: return want & y ? SS_BIT(SS_PRIMAL, SS_X) : 0;
    case SS_BACKWARD: return (want & SS_BIT(SS_ADJOINT, SS_X)) && (have & y_a) ? y | y_a : 0;
    case SS_TANGENT_FORWARD: return (want & SS_BIT(SS_TANGENT, SS_Y)) && (have & x_t) ? y | x_t : 0;
    case SS_TANGENT_BACKWARD:
        if ((want & SS_BIT(SS_ADJOINT_TANGENT, SS_X)) == 0) break;
        if (have & y_at) reads |= y | y_at;
        if ((have & y_a) && (have & x_t)) reads |= y | y_a | x_t;
        break;
    default: break;
    }
    return reads;
}

static ss_status sweep_all(const ss_call *call, ss_sweep sweep)
{
    static const ss_derivative of_output[SS_SWEEP_COUNT] = { [SS_FORWARD] = SS_PRIMAL,
                                                             [SS_BACKWARD] = SS_ADJOINT,
                                                             [SS_TANGENT_FORWARD] = SS_TANGENT,
                                                             [SS_TANGENT_BACKWARD] = SS_ADJOINT_TANGENT };
    ss_status                  status = SS_OK;
    int64_t                    columns = experts(call->node);
    bool                       onwards = sweep == SS_FORWARD || sweep == SS_TANGENT_FORWARD;
    ss_frame                   f;
    ss_router                  p = { .sweep = sweep, .top_k = call->node->attributes.top_k };
    SS_TRY(ss_frame_begin(&f, &ss_op_router, sweep, call));
    if (f.writes == 0) return SS_OK;
    p.lanes = ss_frame_lanes(&f, sweep);
    p.accumulate = ss_frame_accumulates(&f, of_output[sweep], onwards ? SS_Y : SS_X);
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X, columns, &p.x));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_Y, columns, &p.y));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_X, columns, &p.x_t));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_Y, columns, &p.y_t));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_X, columns, &p.x_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_Y, columns, &p.y_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_X, columns, &p.x_at));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_Y, columns, &p.y_at));
    SS_TRY(call->backend->class->router(call->backend, call->queue, &p));
fail:
    return status;
}

static bool kinked(const ss_node *node)
{
    return node->attributes.top_k < experts(node);
}

const ss_op ss_op_router = { .name = "router",
                             .kind = SS_OP_GENERAL,
                             .infer = infer,
                             .needs = needs,
                             .sweep = sweep_all,
                             .kinked = kinked,
                             .kinks_of_output = true };
