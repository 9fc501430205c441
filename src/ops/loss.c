/* Losses: mse, cross-entropy, bce_with_logits. The last node: input 0 holds the predictions or logits, there
 * is no output value. Cross-entropy takes the last dimension as classes, so that every leading position is a
 * row; for mse and bce the whole sample is one row and each element a target.
 *
 * The adjoint of a row's loss is 1 and has no tangent, so BACKWARD and TANGENT_BACKWARD read no y_a. Second
 * derivatives: mse 2 w, without x and target; bce w s(1 - s), without the target; cross-entropy w (diag p - p
 * p'), whose stable form is taken about the target class, so the target is read. CURVATURE may be asked for
 * the empirical Fisher operator, which needs the gradient and hence all of them. */
#include "ops/frame.h"

static int64_t row_columns(const ss_node *node)
{
    const ss_value *x = &node->values[node->input[0]];
    return node->attributes.loss == SS_LOSS_CROSS_ENTROPY ? x->shape[x->rank - 1] : x->count;
}

static ss_status infer(ss_context *context, ss_node *node)
{
    ss_status       status = SS_OK;
    const ss_value *x = &node->values[node->input[0]];
    bool            classes = node->attributes.loss == SS_LOSS_CROSS_ENTROPY;
    if (classes && x->rank < 1) SS_FAIL_NODE(context, node, "cross-entropy needs a dimension of classes");
    if (classes && x->shape[x->rank - 1] < 2)
        SS_FAIL_NODE(context, node, "cross-entropy needs at least 2 classes, the network has %lld output",
                     (long long)x->shape[x->rank - 1]);
    node->output_rank = 0;
    node->saved_count = classes ? 2 * (x->count / row_columns(node)) : 0;
    node->saved_tangent_count = 0;
fail:
    return status;
}

static ss_mask needs(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    ss_loss_kind  loss = node->attributes.loss;
    bool          classes = loss == SS_LOSS_CROSS_ENTROPY;
    const ss_mask x_t = SS_BIT(SS_TANGENT, SS_X), weights = SS_BIT(SS_PRIMAL, SS_ROW_WEIGHT);
    const ss_mask x = SS_BIT(SS_PRIMAL, SS_X), target = SS_BIT(SS_PRIMAL, SS_TARGET);
    const ss_mask class_weight = classes ? SS_BIT(SS_PRIMAL, SS_CLASS_WEIGHT) : 0;
    const ss_mask gradient =
        x | target | weights | class_weight | (classes ? SS_BIT(SS_PRIMAL, SS_SAVED) : 0);
    const ss_mask second = classes ? gradient : loss == SS_LOSS_MSE ? weights : x | weights;

    switch (sweep) {
    case SS_FORWARD: {
        ss_mask reads = 0;
        if (want & SS_BIT(SS_PRIMAL, SS_ROW_LOSS)) reads |= x | target | weights | class_weight;
        if (classes && (want & SS_BIT(SS_PRIMAL, SS_SAVED))) reads |= x;
        return reads;
    }
    case SS_BACKWARD: return want & SS_BIT(SS_ADJOINT, SS_X) ? gradient : 0;
    case SS_TANGENT_FORWARD:
        return (want & SS_BIT(SS_TANGENT, SS_ROW_LOSS)) && (have & x_t) ? gradient | x_t : 0;
    case SS_TANGENT_BACKWARD:
        return (want & SS_BIT(SS_ADJOINT_TANGENT, SS_X)) && (have & x_t) ? second | x_t : 0;
    case SS_CURVATURE: return (want & SS_BIT(SS_ADJOINT_TANGENT, SS_X)) && (have & x_t) ? gradient | x_t : 0;
    case SS_SWEEP_COUNT: break;
    }
    return 0;
}

static ss_status sweep_all(const ss_call *call, ss_sweep sweep)
{
    ss_status            status = SS_OK;
    const ss_attributes *a = &call->node->attributes;
    int64_t              columns = row_columns(call->node);
    ss_frame             f;
    ss_loss              p = { .kind = a->loss,
                               .sweep = sweep,
                               .fisher = sweep == SS_CURVATURE && call->fisher,
                               .smoothing = a->smoothing };
    SS_TRY(ss_frame_begin(&f, &ss_op_loss, sweep, call));
    if (f.writes == 0) return SS_OK;
    p.lanes = ss_frame_lanes(&f, sweep);
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X, columns, &p.x));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_SAVED, 2, &p.saved));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_X, columns, &p.x_t));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_X, columns, &p.x_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_X, columns, &p.x_at));
    if (p.x.data == NULL) { /* extents are told by x even where its values are not read */
        p.x = p.x_t;
        p.x.data = NULL;
        p.x.lane_stride = 0;
    }
    if (a->class_ids)
        p.class_id = ss_frame_data(&f, SS_PRIMAL, SS_TARGET);
    else
        SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_TARGET, columns, &p.target));
    p.row_weight = ss_frame_data(&f, SS_PRIMAL, SS_ROW_WEIGHT);
    p.class_weight = ss_frame_data(&f, SS_PRIMAL, SS_CLASS_WEIGHT);
    p.row_loss = ss_frame_data(&f, sweep == SS_TANGENT_FORWARD ? SS_TANGENT : SS_PRIMAL, SS_ROW_LOSS);
    p.accumulate = ss_frame_accumulates(&f, sweep == SS_BACKWARD ? SS_ADJOINT : SS_ADJOINT_TANGENT, SS_X);
    SS_TRY(call->backend->class->loss(call->backend, call->queue, &p));
fail:
    return status;
}

const ss_op ss_op_loss = {
    .name = "loss", .kind = SS_OP_LOSS, .infer = infer, .needs = needs, .sweep = sweep_all
};
