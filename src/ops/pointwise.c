/* Pointwise: y = f(x) for the functions of SS_FUNCTION_TABLE.
 *
 *   x_a = f' y_a      y_t = f' x_t      x_at = f'' x_t y_a + f' y_at
 *
 * Derivatives are taken from y where the function allows it, so that x need not be kept. A kinked function of
 * the table is piecewise linear: f'' = 0, and the term with y_a does not exist. */
#include "ops/frame.h"

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
    (void)context;
    ss_node_output_like_input(node);
    return SS_OK;
}

static bool kinked(const ss_node *node)
{
    return facts[node->attributes.function].kinked;
}

static ss_mask needs(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    const ss_mask x = SS_BIT(SS_PRIMAL, SS_X), x_t = SS_BIT(SS_TANGENT, SS_X);
    const ss_mask y_a = SS_BIT(SS_ADJOINT, SS_Y), y_at = SS_BIT(SS_ADJOINT_TANGENT, SS_Y);
    const ss_mask point = facts[node->attributes.function].from_y ? SS_BIT(SS_PRIMAL, SS_Y) : x;
    ss_mask       reads = 0;

    switch (sweep) {
    case SS_FORWARD: return want & SS_BIT(SS_PRIMAL, SS_Y) ? x : 0;
    case SS_BACKWARD:
        if ((want & SS_BIT(SS_ADJOINT, SS_X)) && (have & y_a)) reads = point | y_a;
        break;
    case SS_TANGENT_FORWARD:
        if ((want & SS_BIT(SS_TANGENT, SS_Y)) && (have & x_t)) reads = point | x_t;
        break;
    case SS_TANGENT_BACKWARD:
        if ((want & SS_BIT(SS_ADJOINT_TANGENT, SS_X)) == 0) break;
        if (have & y_at) reads |= point | y_at;
        if ((have & y_a) && (have & x_t) && !kinked(node)) reads |= point | y_a | x_t;
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
    int64_t columns = ss_frame_row_width(&f);
    p.lanes = ss_frame_lanes(&f, sweep);
    p.accumulate = ss_frame_accumulates(&f, of_output[sweep], ahead ? SS_Y : SS_X);
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X, columns, &p.x));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_Y, columns, &p.y));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_X, columns, &p.x_t));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_Y, columns, &p.y_t));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_X, columns, &p.x_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_Y, columns, &p.y_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_X, columns, &p.x_at));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_Y, columns, &p.y_at));
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
