/* Row scale: y[t, :] = c[t] x[t, :], an expert's output times its gate. Inputs: 0 x [..., D], 1 c [..., 1].
 *
 *   x_a = c y_a              y_t = c x_t + c_t x           x_at = c y_at + c_t y_a
 *   c_a = x . y_a (per row)                                c_at = x . y_at + x_t . y_a */
#include "ops/frame.h"

static int64_t width(const ss_node *node)
{
    const ss_value *x = &node->values[node->input[0]];
    return x->shape[x->rank - 1];
}

static ss_status infer(ss_context *context, ss_node *node)
{
    ss_status       status = SS_OK;
    const ss_value *x = &node->values[node->input[0]], *c = &node->values[node->input[1]];
    bool            fits = x->rank >= 1 && c->rank == x->rank && c->shape[c->rank - 1] == 1;
    char            first[128], second[128];
    for (int32_t d = 0; fits && d < x->rank - 1; d++) fits = x->shape[d] == c->shape[d];
    if (!fits)
        SS_FAIL_NODE(context, node, "cannot scale the rows of shape %s by shape %s",
                     ss_node_shape_text(x->rank, x->shape, first, sizeof first),
                     ss_node_shape_text(c->rank, c->shape, second, sizeof second));
    ss_node_output_like_input(node);
fail:
    return status;
}

/* out (+)= c x by rows, when both are there; then later terms accumulate. */
static ss_status scaled(const ss_call *call, const ss_matrix *c, const ss_matrix *x, bool *accumulate,
                        const ss_matrix *out)
{
    if (c->data == NULL || x->data == NULL || out->data == NULL) return SS_OK;
    double beta = *accumulate ? 1.0 : 0.0;
    *accumulate = true;
    return call->backend->class->row_scale(call->backend, call->queue,
                                           out->lane_stride != 0 ? call->lanes : 1, 1.0, c, x, beta, out);
}

/* out (+)= row sums of x o y, likewise. */
static ss_status dotted(const ss_call *call, const ss_matrix *x, const ss_matrix *y, bool *accumulate,
                        const ss_matrix *out)
{
    if (x->data == NULL || y->data == NULL || out->data == NULL) return SS_OK;
    double beta = *accumulate ? 1.0 : 0.0;
    *accumulate = true;
    return call->backend->class->row_dot(call->backend, call->queue, out->lane_stride != 0 ? call->lanes : 1,
                                         1.0, x, y, beta, out);
}

static ss_status onwards(const ss_call *call, ss_sweep sweep)
{
    ss_status     status = SS_OK;
    ss_derivative d = sweep == SS_FORWARD ? SS_PRIMAL : SS_TANGENT;
    int64_t       columns = width(call->node);
    ss_frame      f;
    ss_matrix     x, c, x_t, c_t, y;
    SS_TRY(ss_frame_begin(&f, &ss_op_row_scale, sweep, call));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X, columns, &x));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X + 1, 1, &c));
    SS_TRY(ss_frame_matrix(&f, d, SS_Y, columns, &y));
    bool accumulate = ss_frame_accumulates(&f, d, SS_Y);
    if (sweep == SS_FORWARD) {
        SS_TRY(scaled(call, &c, &x, &accumulate, &y));
    } else {
        SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_X, columns, &x_t));
        SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_X + 1, 1, &c_t));
        SS_TRY(scaled(call, &c, &x_t, &accumulate, &y));
        SS_TRY(scaled(call, &c_t, &x, &accumulate, &y));
    }
fail:
    return status;
}

static ss_status back(const ss_call *call, ss_sweep sweep)
{
    ss_status     status = SS_OK;
    ss_derivative d = sweep == SS_BACKWARD ? SS_ADJOINT : SS_ADJOINT_TANGENT;
    int64_t       columns = width(call->node);
    ss_frame      f;
    ss_matrix     x, c, x_t = { 0 }, c_t = { 0 }, y_a, y_at, x_out, c_out;
    SS_TRY(ss_frame_begin(&f, &ss_op_row_scale, sweep, call));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X, columns, &x));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X + 1, 1, &c));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_Y, columns, &y_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_Y, columns, &y_at));
    SS_TRY(ss_frame_matrix(&f, d, SS_X, columns, &x_out));
    SS_TRY(ss_frame_matrix(&f, d, SS_X + 1, 1, &c_out));
    bool             add_x = ss_frame_accumulates(&f, d, SS_X), add_c = ss_frame_accumulates(&f, d, SS_X + 1);
    const ss_matrix *first = sweep == SS_BACKWARD ? &y_a : &y_at;
    SS_TRY(scaled(call, &c, first, &add_x, &x_out));
    SS_TRY(dotted(call, &x, first, &add_c, &c_out));
    if (sweep == SS_TANGENT_BACKWARD) {
        SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_X, columns, &x_t));
        SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_X + 1, 1, &c_t));
        SS_TRY(scaled(call, &c_t, &y_a, &add_x, &x_out));
        SS_TRY(dotted(call, &x_t, &y_a, &add_c, &c_out));
    }
fail:
    return status;
}

static ss_status sweep_all(const ss_call *call, ss_sweep sweep)
{
    return sweep == SS_FORWARD || sweep == SS_TANGENT_FORWARD ? onwards(call, sweep) : back(call, sweep);
}

const ss_op ss_op_row_scale = {
    .name = "row_scale", .kind = SS_OP_BILINEAR, .infer = infer, .needs = ss_factor_needs, .sweep = sweep_all
};
