/* Add: y = alpha x0 + beta x1 (residual connections; with one input y = alpha x0). Linear: the tangent sweeps
 * are the plain ones, and no adjoint of the primal is ever read. Shapes are equal; a factor of zero is
 * refused. */
#include "ops/frame.h"

static double factor_of(const ss_node *node, int input)
{
    return input == 0 ? node->attributes.alpha : node->attributes.beta;
}

static ss_status infer(ss_context *context, ss_node *node)
{
    ss_status       status = SS_OK;
    const ss_value *x0 = &node->values[node->input[0]];
    char            first[128], second[128];
    for (int32_t i = 0; i < node->n_inputs; i++) {
        const ss_value *x = &node->values[node->input[i]];
        bool            same = x->rank == x0->rank;
        if (factor_of(node, i) == 0.0) SS_FAIL_NODE(context, node, "the factor of term %d is zero", i);
        for (int32_t d = 0; same && d < x->rank; d++) same = x->shape[d] == x0->shape[d];
        if (!same)
            SS_FAIL_NODE(context, node, "cannot add shapes %s and %s",
                         ss_node_shape_text(x0->rank, x0->shape, first, sizeof first),
                         ss_node_shape_text(x->rank, x->shape, second, sizeof second));
    }
    ss_node_output_like_input(node);
fail:
    return status;
}

/* The derivative of what a sweep reads: x, x_t on the way forward, y_a, y_at on the way back. */
static ss_derivative derivative_of(ss_sweep sweep)
{
    static const ss_derivative of[SS_SWEEP_COUNT] = { [SS_FORWARD] = SS_PRIMAL,
                                                      [SS_BACKWARD] = SS_ADJOINT,
                                                      [SS_TANGENT_FORWARD] = SS_TANGENT,
                                                      [SS_TANGENT_BACKWARD] = SS_ADJOINT_TANGENT };
    return of[sweep];
}

static ss_mask needs(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    ss_derivative d = derivative_of(sweep);
    ss_mask       reads = 0;
    if (sweep == SS_FORWARD || sweep == SS_TANGENT_FORWARD) {
        if ((want & SS_BIT(d, SS_Y)) == 0) return 0;
        for (int32_t i = 0; i < node->n_inputs; i++)
            if (sweep == SS_FORWARD || (have & SS_BIT(d, SS_X + i))) reads |= SS_BIT(d, SS_X + i);
    } else if (sweep == SS_BACKWARD || sweep == SS_TANGENT_BACKWARD) {
        for (int32_t i = 0; i < node->n_inputs; i++)
            if (want & SS_BIT(d, SS_X + i)) reads = have & SS_BIT(d, SS_Y);
    }
    return reads;
}

/* y (+)= alpha x0 + beta x1, absent terms left out. */
static ss_status ahead(const ss_call *call, ss_sweep sweep)
{
    ss_status               status = SS_OK;
    ss_derivative           d = derivative_of(sweep);
    const ss_backend_class *c = call->backend->class;
    ss_frame                f;
    ss_matrix               x[2] = { { 0 } }, y;
    SS_TRY(ss_frame_begin(&f, &ss_op_add, sweep, call));
    int64_t columns = ss_frame_row_width(&f);
    bool    accumulate = ss_frame_accumulates(&f, d, SS_Y);
    SS_TRY(ss_frame_matrix(&f, d, SS_Y, columns, &y));
    if (y.data == NULL) return SS_OK;
    for (int32_t i = 0; i < call->node->n_inputs; i++)
        SS_TRY(ss_frame_matrix(&f, d, SS_X + i, columns, &x[i]));
    int64_t lanes = y.lane_stride != 0 ? call->lanes : 1;
    double  alpha = factor_of(call->node, 0), beta = factor_of(call->node, 1);
    if (x[0].data != NULL && x[1].data != NULL)
        return c->sum(call->backend, call->queue, lanes, alpha, &x[0], beta, &x[1], accumulate, &y);
    int one = x[0].data != NULL ? 0 : 1;
    if (x[one].data != NULL)
        SS_TRY(c->add(call->backend, call->queue, lanes, factor_of(call->node, one), &x[one],
                      accumulate ? 1.0 : 0.0, &y));
fail:
    return status;
}

/* x_i (+)= factor_i y, for adjoints and their tangents alike. */
static ss_status back(const ss_call *call, ss_sweep sweep)
{
    ss_status     status = SS_OK;
    ss_derivative d = derivative_of(sweep);
    ss_frame      f;
    ss_matrix     x, y;
    SS_TRY(ss_frame_begin(&f, &ss_op_add, sweep, call));
    int64_t columns = ss_frame_row_width(&f);
    SS_TRY(ss_frame_matrix(&f, d, SS_Y, columns, &y));
    for (int32_t i = 0; i < call->node->n_inputs; i++) {
        SS_TRY(ss_frame_matrix(&f, d, SS_X + i, columns, &x));
        if (x.data == NULL) continue;
        SS_TRY(call->backend->class->add(call->backend, call->queue, x.lane_stride != 0 ? call->lanes : 1,
                                         factor_of(call->node, i), &y,
                                         ss_frame_accumulates(&f, d, SS_X + i) ? 1.0 : 0.0, &x));
    }
fail:
    return status;
}

/* Where the factor is 1 the adjoint of the sum is that of the term. */
static bool passes(const ss_node *node, int32_t input)
{
    return factor_of(node, input) == 1.0;
}

static ss_status sweep(const ss_call *call, ss_sweep which)
{
    return which == SS_FORWARD || which == SS_TANGENT_FORWARD ? ahead(call, which) : back(call, which);
}

const ss_op ss_op_add = {
    .name = "add", .kind = SS_OP_LINEAR, .infer = infer, .needs = needs, .sweep = sweep, .passes = passes
};
