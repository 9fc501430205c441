/* Rotary positions: pairs of elements of every head are rotated by an angle that depends on the token
 * (reference 4). The map is orthogonal and constant: tangents are rotated alike, adjoints rotated back.
 * Parameter 0 is the table of cosines and sines [tokens, r], a constant; r = 0 ... d elements are rotated. */
#include "ops/frame.h"

static ss_status infer(ss_context *context, ss_node *node)
{
    ss_status           status = SS_OK;
    const ss_value     *x = &node->values[node->input[0]];
    const ss_parameter *table = &node->parameters[node->parameter[0]];
    char                text[128];
    if (x->rank != 3)
        SS_FAIL_NODE(context, node, "rotates heads [tokens, heads, dim], its input has shape %s",
                     ss_node_shape_text(x->rank, x->shape, text, sizeof text));
    if (table->array.rank != 2 || table->array.shape[0] < x->shape[0] || table->array.shape[1] % 2 != 0 ||
        table->array.shape[1] > x->shape[2])
        SS_FAIL_NODE(
            context, node, "the table '%s' has shape %s, expected [%lld tokens, an even number up to %lld]",
            table->name, ss_node_shape_text(table->array.rank, table->array.shape, text, sizeof text),
            (long long)x->shape[0], (long long)x->shape[2]);
    ss_node_output_like_input(node);
fail:
    return status;
}

/* The input that each sweep rotates. */
static ss_mask from_of(ss_sweep sweep)
{
    static const ss_mask from[SS_SWEEP_COUNT] = { [SS_FORWARD] = SS_BIT(SS_PRIMAL, SS_X),
                                                  [SS_BACKWARD] = SS_BIT(SS_ADJOINT, SS_Y),
                                                  [SS_TANGENT_FORWARD] = SS_BIT(SS_TANGENT, SS_X),
                                                  [SS_TANGENT_BACKWARD] = SS_BIT(SS_ADJOINT_TANGENT, SS_Y) };
    return from[sweep];
}

static ss_mask needs(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    static const ss_mask to[SS_SWEEP_COUNT] = { [SS_FORWARD] = SS_BIT(SS_PRIMAL, SS_Y),
                                                [SS_BACKWARD] = SS_BIT(SS_ADJOINT, SS_X),
                                                [SS_TANGENT_FORWARD] = SS_BIT(SS_TANGENT, SS_Y),
                                                [SS_TANGENT_BACKWARD] = SS_BIT(SS_ADJOINT_TANGENT, SS_X) };
    ss_mask              from = from_of(sweep);
    (void)node;
    if ((want & to[sweep]) == 0 || (sweep != SS_FORWARD && (have & from) == 0)) return 0;
    return from | SS_BIT(SS_PRIMAL, SS_W);
}

static ss_status sweep(const ss_call *call, ss_sweep which)
{
    static const ss_derivative derivative[SS_SWEEP_COUNT] = { [SS_FORWARD] = SS_PRIMAL,
                                                              [SS_BACKWARD] = SS_ADJOINT,
                                                              [SS_TANGENT_FORWARD] = SS_TANGENT,
                                                              [SS_TANGENT_BACKWARD] = SS_ADJOINT_TANGENT };
    ss_status                  status = SS_OK;
    ss_frame                   f;
    ss_heads                   from, to;
    ss_matrix                  table;
    ss_derivative              d = derivative[which];
    bool                       back = which == SS_BACKWARD || which == SS_TANGENT_BACKWARD;
    const ss_parameter        *angles = &call->node->parameters[call->node->parameter[0]];
    SS_TRY(ss_frame_begin(&f, &ss_op_rope, which, call));
    if (f.writes == 0) return SS_OK;
    SS_TRY(ss_frame_heads(&f, d, back ? SS_Y : SS_X, &from));
    SS_TRY(ss_frame_heads(&f, d, back ? SS_X : SS_Y, &to));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_W, angles->array.shape[1], &table));
    SS_TRY(call->backend->class->rope(call->backend, call->queue, to.lane_stride != 0 ? call->lanes : 1, back,
                                      &table, &from, ss_frame_accumulates(&f, d, back ? SS_X : SS_Y), &to));
fail:
    return status;
}

const ss_op ss_op_rope = {
    .name = "rope", .kind = SS_OP_LINEAR, .infer = infer, .needs = needs, .sweep = sweep
};
