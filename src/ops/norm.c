/* Norm: LayerNorm (centered) or RMSNorm over the last `columns` elements, y = (gain + offset) z + bias
 * (reference 4). Parameters: 0 gain, 1 bias; each may be absent. SAVED holds mean and r per row.
 *
 * The normalised row z and its tangent come from x, x_t and SAVED. The gain is read only where z_t or an
 * adjoint of z is formed, the bias in forward only; bias_a and bias_at are column sums, and a tangent that
 * consists of bias_t alone is a broadcast: neither touches x. */
#include "ops/frame.h"

enum { GAIN = SS_W, BIAS = SS_W + 1 };

static ss_status infer(ss_context *context, ss_node *node)
{
    ss_status       status = SS_OK;
    const ss_value *x = &node->values[node->input[0]];
    int64_t         columns = 1, wanted = node->attributes.columns;
    char            text[128];
    for (int32_t d = x->rank - 1; d >= 0 && columns < wanted; d--) columns *= x->shape[d];
    if (columns != wanted)
        SS_FAIL_NODE(context, node, "normalises the last %lld elements, which does not fit the shape %s",
                     (long long)wanted, ss_node_shape_text(x->rank, x->shape, text, sizeof text));
    for (int32_t i = 0; i < node->n_parameters; i++) {
        if (!ss_node_has_parameter(node, i)) continue;
        const ss_parameter *p = &node->parameters[node->parameter[i]];
        if (p->count != columns)
            SS_FAIL_NODE(context, node, "'%s' has shape %s, expected %lld elements", p->name,
                         ss_node_shape_text(p->array.rank, p->array.shape, text, sizeof text),
                         (long long)columns);
    }
    ss_node_output_like_input(node);
    node->saved_count = 2 * (x->count / columns);
fail:
    return status;
}

static ss_mask needs(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    const ss_mask x = SS_BIT(SS_PRIMAL, SS_X), z = x | SS_BIT(SS_PRIMAL, SS_SAVED);
    const ss_mask gain = ss_node_has_parameter(node, 0) ? SS_BIT(SS_PRIMAL, GAIN) : 0;
    const ss_mask bias = ss_node_has_parameter(node, 1) ? SS_BIT(SS_PRIMAL, BIAS) : 0;
    const ss_mask x_t = SS_BIT(SS_TANGENT, SS_X), gain_t = SS_BIT(SS_TANGENT, GAIN);
    const ss_mask bias_t = SS_BIT(SS_TANGENT, BIAS);
    const ss_mask y_a = SS_BIT(SS_ADJOINT, SS_Y), y_at = SS_BIT(SS_ADJOINT_TANGENT, SS_Y);
    ss_mask       reads = 0;

    switch (sweep) {
    case SS_FORWARD:
        if (want & SS_BIT(SS_PRIMAL, SS_SAVED)) reads |= x;
        if (want & SS_BIT(SS_PRIMAL, SS_Y)) reads |= x | gain | bias;
        break;
    case SS_BACKWARD:
        if ((have & y_a) == 0) break;
        if (want & SS_BIT(SS_ADJOINT, SS_X)) reads |= y_a | z | gain;
        if (want & SS_BIT(SS_ADJOINT, GAIN)) reads |= y_a | z;
        if (want & SS_BIT(SS_ADJOINT, BIAS)) reads |= y_a;
        break;
    case SS_TANGENT_FORWARD:
        if ((want & SS_BIT(SS_TANGENT, SS_Y)) == 0) break;
        if (have & x_t) reads |= x_t | z | gain;
        if (have & gain_t) reads |= gain_t | z;
        reads |= have & bias_t;
        break;
    case SS_TANGENT_BACKWARD:
        if (want & SS_BIT(SS_ADJOINT_TANGENT, SS_X)) {
            if (have & y_at) reads |= y_at | z | gain;
            if ((have & y_a) && (have & x_t)) reads |= y_a | x_t | z | gain;
            if ((have & y_a) && (have & gain_t)) reads |= y_a | gain_t | z;
        }
        if (want & SS_BIT(SS_ADJOINT_TANGENT, GAIN)) {
            if (have & y_at) reads |= y_at | z;
            if ((have & y_a) && (have & x_t)) reads |= y_a | x_t | z;
        }
        if ((want & SS_BIT(SS_ADJOINT_TANGENT, BIAS)) && (have & y_at)) reads |= y_at;
        break;
    default: break;
    }
    return reads;
}

/* Fills the primitive's operands from the frame. */
static ss_status bind(const ss_frame *f, ss_sweep sweep, ss_norm *p)
{
    ss_status            status = SS_OK;
    const ss_attributes *a = &f->call->node->attributes;
    int64_t              columns = a->columns;
    *p = (ss_norm){ .sweep = sweep,
                    .centered = a->centered,
                    .eps = a->eps,
                    .gain_offset = a->gain_offset,
                    .lanes = ss_frame_lanes(f, sweep) };
    SS_TRY(ss_frame_matrix(f, SS_PRIMAL, SS_X, columns, &p->x));
    SS_TRY(ss_frame_matrix(f, SS_PRIMAL, SS_Y, columns, &p->y));
    SS_TRY(ss_frame_matrix(f, SS_PRIMAL, GAIN, columns, &p->gain));
    SS_TRY(ss_frame_matrix(f, SS_PRIMAL, BIAS, columns, &p->bias));
    SS_TRY(ss_frame_matrix(f, SS_PRIMAL, SS_SAVED, 2, &p->saved));
    SS_TRY(ss_frame_matrix(f, SS_TANGENT, SS_X, columns, &p->x_t));
    SS_TRY(ss_frame_matrix(f, SS_TANGENT, SS_Y, columns, &p->y_t));
    SS_TRY(ss_frame_matrix(f, SS_TANGENT, GAIN, columns, &p->gain_t));
    SS_TRY(ss_frame_matrix(f, SS_TANGENT, BIAS, columns, &p->bias_t));
    SS_TRY(ss_frame_matrix(f, SS_ADJOINT, SS_X, columns, &p->x_a));
    SS_TRY(ss_frame_matrix(f, SS_ADJOINT, SS_Y, columns, &p->y_a));
    SS_TRY(ss_frame_matrix(f, SS_ADJOINT, GAIN, columns, &p->gain_a));
    SS_TRY(ss_frame_matrix(f, SS_ADJOINT, BIAS, columns, &p->bias_a));
    SS_TRY(ss_frame_matrix(f, SS_ADJOINT_TANGENT, SS_X, columns, &p->x_at));
    SS_TRY(ss_frame_matrix(f, SS_ADJOINT_TANGENT, SS_Y, columns, &p->y_at));
    SS_TRY(ss_frame_matrix(f, SS_ADJOINT_TANGENT, GAIN, columns, &p->gain_at));
    SS_TRY(ss_frame_matrix(f, SS_ADJOINT_TANGENT, BIAS, columns, &p->bias_at));
fail:
    return status;
}

static ss_status forward(const ss_call *call)
{
    ss_status status = SS_OK;
    ss_frame  f;
    ss_norm   p;
    SS_TRY(ss_frame_begin(&f, &ss_op_norm, SS_FORWARD, call));
    if (f.writes == 0) return SS_OK;
    SS_TRY(bind(&f, SS_FORWARD, &p));
    p.accumulate_y = ss_frame_accumulates(&f, SS_PRIMAL, SS_Y);
    SS_TRY(call->backend->class->norm(call->backend, call->queue, &p));
fail:
    return status;
}

static ss_status tangent_forward(const ss_call *call)
{
    ss_status status = SS_OK;
    ss_frame  f;
    ss_norm   p;
    SS_TRY(ss_frame_begin(&f, &ss_op_norm, SS_TANGENT_FORWARD, call));
    if (f.writes == 0) return SS_OK;
    SS_TRY(bind(&f, SS_TANGENT_FORWARD, &p));
    p.accumulate_y = ss_frame_accumulates(&f, SS_TANGENT, SS_Y);
    if (p.x_t.data == NULL && p.gain_t.data == NULL) { /* bias_t alone, to every row */
        ss_matrix rows = p.bias_t;
        rows.rows = p.y_t.rows;
        rows.ld = 0;
        SS_TRY(call->backend->class->add(call->backend, call->queue, p.y_t.lane_stride != 0 ? call->lanes : 1,
                                         1.0, &rows, p.accumulate_y ? 1.0 : 0.0, &p.y_t));
    } else {
        SS_TRY(call->backend->class->norm(call->backend, call->queue, &p));
    }
fail:
    return status;
}

/* BACKWARD and TANGENT_BACKWARD. The bias' adjoint needs no normalisation: when nothing else is wanted it is
 * a column sum. */
static ss_status back(const ss_call *call, ss_sweep sweep)
{
    ss_status     status = SS_OK;
    ss_derivative d = sweep == SS_BACKWARD ? SS_ADJOINT : SS_ADJOINT_TANGENT;
    ss_frame      f;
    ss_norm       p;
    SS_TRY(ss_frame_begin(&f, &ss_op_norm, sweep, call));
    if (f.writes == 0) return SS_OK;
    SS_TRY(bind(&f, sweep, &p));
    p.accumulate_x = ss_frame_accumulates(&f, d, SS_X);
    p.accumulate_gain = ss_frame_accumulates(&f, d, GAIN);
    p.accumulate_bias = ss_frame_accumulates(&f, d, BIAS);
    if (f.writes == SS_BIT(d, BIAS)) {
        const ss_matrix *sum = d == SS_ADJOINT ? &p.bias_a : &p.bias_at;
        SS_TRY(call->backend->class->column_sum(call->backend, call->queue,
                                                sum->lane_stride != 0 ? call->lanes : 1,
                                                d == SS_ADJOINT ? &p.y_a : &p.y_at, p.accumulate_bias, sum));
    } else {
        SS_TRY(call->backend->class->norm(call->backend, call->queue, &p));
    }
fail:
    return status;
}

static ss_status sweep(const ss_call *call, ss_sweep which)
{
    switch (which) {
    case SS_FORWARD: return forward(call);
    case SS_TANGENT_FORWARD: return tangent_forward(call);
    default: return back(call, which);
    }
}

const ss_op ss_op_norm = {
    .name = "norm", .kind = SS_OP_GENERAL, .infer = infer, .needs = needs, .sweep = sweep
};
