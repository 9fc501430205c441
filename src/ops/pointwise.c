/* Pointwise: y = f(x + b) for the functions of SS_FUNCTION_TABLE. Parameter 0: the bias b of the linear map
 * in front (hvp/fuse.c hands it over), along the last dimension; absent = 0.
 *
 *   x_a = f' y_a      y_t = f' (x_t + b_t)      x_at = f'' (x_t + b_t) y_a + f' y_at
 *   b_a, b_at: column sums of x_a, x_at
 *
 * Derivatives are taken from y where the function allows it, so that x need not be kept. A kinked function of
 * the table is piecewise linear: f'' = 0, and the term with y_a does not exist. */
#include "ops/frame.h"

enum { BIAS = SS_W };

typedef struct function_facts {
    bool from_y; /* derivatives read y instead of x */
    bool kinked; /* piecewise linear with a kink at x = 0 */
} function_facts;

static const function_facts facts[SS_FUNCTION_COUNT] = {
#define SS_FACTS_ROW(name, torch, stem, from_y, kinked) [name] = { from_y, kinked },
    SS_FUNCTION_TABLE(SS_FACTS_ROW)
#undef SS_FACTS_ROW
};

static ss_status infer(ss_context *context, ss_node *node)
{
    ss_status status = SS_OK;
    ss_node_output_like_input(node);
    if (ss_node_has_parameter(node, 0)) {
        const ss_parameter *bias = &node->parameters[node->parameter[0]];
        int32_t             rank = node->output_rank;
        char                found[128];
        if (bias->array.rank != 1 || rank < 1 || bias->array.shape[0] != node->output_shape[rank - 1])
            SS_FAIL_NODE(context, node, "bias '%s' has shape %s, expected [%lld]", bias->name,
                         ss_node_shape_text(bias->array.rank, bias->array.shape, found, sizeof found),
                         rank < 1 ? 0LL : (long long)node->output_shape[rank - 1]);
    }
fail:
    return status;
}

static bool kinked(const ss_node *node)
{
    return facts[node->attributes.function].kinked;
}

static ss_mask needs(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    const ss_mask shifted =
        SS_BIT(SS_PRIMAL, SS_X) | (ss_node_has_parameter(node, 0) ? SS_BIT(SS_PRIMAL, BIAS) : 0);
    const ss_mask tangent = have & (SS_BIT(SS_TANGENT, SS_X) | SS_BIT(SS_TANGENT, BIAS));
    const ss_mask y_a = SS_BIT(SS_ADJOINT, SS_Y), y_at = SS_BIT(SS_ADJOINT_TANGENT, SS_Y);
    const ss_mask point = facts[node->attributes.function].from_y ? SS_BIT(SS_PRIMAL, SS_Y) : shifted;
    ss_mask       reads = 0;

    switch (sweep) {
    case SS_FORWARD: return want & SS_BIT(SS_PRIMAL, SS_Y) ? shifted : 0;
    case SS_BACKWARD:
        if ((want & ss_sweep_outputs(sweep)) && (have & y_a)) reads = point | y_a;
        break;
    case SS_TANGENT_FORWARD:
        if ((want & SS_BIT(SS_TANGENT, SS_Y)) && tangent) reads = point | tangent;
        break;
    case SS_TANGENT_BACKWARD:
        if ((want & ss_sweep_outputs(sweep)) == 0) break;
        if (have & y_at) reads |= point | y_at;
        if ((have & y_a) && tangent && !kinked(node)) reads |= point | y_a | tangent;
        break;
    default: break;
    }
    return reads;
}

/* All sweeps: what `needs` does not name is absent, and the backend takes absent terms as zero. */
static ss_status sweep_all(const ss_call *call, ss_sweep sweep)
{
    static const ss_derivative of_output[SS_SWEEP_COUNT] = { [SS_FORWARD] = SS_PRIMAL,
                                                             [SS_BACKWARD] = SS_ADJOINT,
                                                             [SS_TANGENT_FORWARD] = SS_TANGENT,
                                                             [SS_TANGENT_BACKWARD] = SS_ADJOINT_TANGENT };
    ss_status                  status = SS_OK;
    const ss_attributes       *attributes = &call->node->attributes;
    bool                       ahead = sweep == SS_FORWARD || sweep == SS_TANGENT_FORWARD;
    ss_frame                   f;
    ss_pointwise               p = { .function = attributes->function,
                                     .sweep = sweep,
                                     .parameter = { attributes->parameter[0], attributes->parameter[1] } };
    SS_TRY(ss_frame_begin(&f, &ss_op_pointwise, sweep, call));
    if (f.writes == 0) return SS_OK;
    bool    biased = ss_node_has_parameter(call->node, 0);
    int64_t columns =
        biased ? call->node->parameters[call->node->parameter[0]].count : ss_frame_row_width(&f);
    p.lanes = ss_frame_lanes(&f, sweep);
    p.accumulate = ss_frame_accumulates(&f, of_output[sweep], ahead ? SS_Y : SS_X);
    p.accumulate_bias = ss_frame_accumulates(&f, of_output[sweep], BIAS);
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X, columns, &p.x));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_Y, columns, &p.y));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_X, columns, &p.x_t));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_Y, columns, &p.y_t));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_X, columns, &p.x_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_Y, columns, &p.y_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_X, columns, &p.x_at));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_Y, columns, &p.y_at));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, BIAS, columns, &p.bias));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, BIAS, columns, &p.bias_t));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, BIAS, columns, &p.bias_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, BIAS, columns, &p.bias_at));
    SS_TRY(call->backend->class->pointwise(call->backend, call->queue, &p));
fail:
    return status;
}

const ss_op ss_op_pointwise = { .name = "pointwise",
                                .kind = SS_OP_POINTWISE,
                                .infer = infer,
                                .needs = needs,
                                .sweep = sweep_all,
                                .kinked = kinked };
