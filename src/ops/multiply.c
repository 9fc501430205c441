/* Multiply: y = x0 o x1 elementwise (gating). Shapes are equal.
 *
 *   x0_a = x1 o y_a      y_t = x0_t o x1 + x0 o x1_t      x0_at = x1 o y_at + x1_t o y_a */
#include "ops/frame.h"

static ss_status infer(ss_context *context, ss_node *node)
{
    ss_status       status = SS_OK;
    const ss_value *a = &node->values[node->input[0]], *b = &node->values[node->input[1]];
    bool            same = a->rank == b->rank;
    char            first[128], second[128];
    for (int32_t d = 0; same && d < a->rank; d++) same = a->shape[d] == b->shape[d];
    if (!same)
        SS_FAIL_NODE(context, node, "cannot multiply shapes %s and %s",
                     ss_node_shape_text(a->rank, a->shape, first, sizeof first),
                     ss_node_shape_text(b->rank, b->shape, second, sizeof second));
    ss_node_output_like_input(node);
fail:
    return status;
}

/* out (+)= a o b when both are there; then later terms accumulate. */
static ss_status term(const ss_call *call, const ss_matrix *a, const ss_matrix *b, bool *accumulate,
                      const ss_matrix *out)
{
    if (a->data == NULL || b->data == NULL) return SS_OK;
    double beta = *accumulate ? 1.0 : 0.0;
    *accumulate = true;
    return call->backend->class->multiply(call->backend, call->queue, out->lane_stride != 0 ? call->lanes : 1,
                                          1.0, a, b, beta, out);
}

static ss_status forward(const ss_call *call)
{
    ss_status status = SS_OK;
    ss_frame  f;
    ss_matrix x0, x1, y;
    SS_TRY(ss_frame_begin(&f, &ss_op_multiply, SS_FORWARD, call));
    int64_t columns = ss_frame_row_width(&f);
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X, columns, &x0));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X + 1, columns, &x1));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_Y, columns, &y));
    bool accumulate = ss_frame_accumulates(&f, SS_PRIMAL, SS_Y);
    SS_TRY(term(call, &x0, &x1, &accumulate, &y));
fail:
    return status;
}

static ss_status tangent_forward(const ss_call *call)
{
    ss_status status = SS_OK;
    ss_frame  f;
    ss_matrix x, x_t, y_t;
    SS_TRY(ss_frame_begin(&f, &ss_op_multiply, SS_TANGENT_FORWARD, call));
    int64_t columns = ss_frame_row_width(&f);
    bool    accumulate = ss_frame_accumulates(&f, SS_TANGENT, SS_Y);
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_Y, columns, &y_t));
    for (int i = 0; i < 2; i++) {
        SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_X + i, columns, &x_t));
        SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X + 1 - i, columns, &x));
        SS_TRY(term(call, &x_t, &x, &accumulate, &y_t));
    }
fail:
    return status;
}

static ss_status backward(const ss_call *call)
{
    ss_status status = SS_OK;
    ss_frame  f;
    ss_matrix other, y_a, x_a;
    SS_TRY(ss_frame_begin(&f, &ss_op_multiply, SS_BACKWARD, call));
    int64_t columns = ss_frame_row_width(&f);
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_Y, columns, &y_a));
    for (int i = 0; i < 2; i++) {
        bool accumulate = ss_frame_accumulates(&f, SS_ADJOINT, SS_X + i);
        SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_X + i, columns, &x_a));
        if (x_a.data == NULL) continue;
        SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X + 1 - i, columns, &other));
        SS_TRY(term(call, &other, &y_a, &accumulate, &x_a));
    }
fail:
    return status;
}

static ss_status tangent_backward(const ss_call *call)
{
    ss_status status = SS_OK;
    ss_frame  f;
    ss_matrix other, other_t, y_a, y_at, x_at;
    SS_TRY(ss_frame_begin(&f, &ss_op_multiply, SS_TANGENT_BACKWARD, call));
    int64_t columns = ss_frame_row_width(&f);
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_Y, columns, &y_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_Y, columns, &y_at));
    for (int i = 0; i < 2; i++) {
        bool accumulate = ss_frame_accumulates(&f, SS_ADJOINT_TANGENT, SS_X + i);
        SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_X + i, columns, &x_at));
        if (x_at.data == NULL) continue;
        SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X + 1 - i, columns, &other));
        SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_X + 1 - i, columns, &other_t));
        SS_TRY(term(call, &other, &y_at, &accumulate, &x_at));
        SS_TRY(term(call, &other_t, &y_a, &accumulate, &x_at));
    }
fail:
    return status;
}

static ss_status sweep(const ss_call *call, ss_sweep which)
{
    switch (which) {
    case SS_FORWARD: return forward(call);
    case SS_TANGENT_FORWARD: return tangent_forward(call);
    case SS_BACKWARD: return backward(call);
    default: return tangent_backward(call);
    }
}

const ss_op ss_op_multiply = {
    .name = "multiply", .kind = SS_OP_BILINEAR, .infer = infer, .needs = ss_factor_needs, .sweep = sweep
};
