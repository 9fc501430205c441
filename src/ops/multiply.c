/* Multiply: y = f(x0) o x1 elementwise (gating): f is the identity, or the pointwise function that stood in
 * front (hvp/fuse.c hands it over: attribute `gated`). Shapes are equal.
 *
 *   x0_a = f' x1 y_a         y_t = f' x0_t x1 + f x1_t     x0_at = f'' x0_t x1 y_a + f' (x1_t y_a + x1 y_at)
 *   x1_a = f y_a                                           x1_at = f' x0_t y_a + f y_at
 *
 * A kinked function is piecewise linear: f'' = 0, and that term does not exist. */
#include "ops/frame.h"

static const bool kinked_functions[SS_FUNCTION_COUNT] = {
#define SS_KINKED_ROW(name, torch, stem, from_y, kinked) [name] = kinked,
    SS_FUNCTION_TABLE(SS_KINKED_ROW)
#undef SS_KINKED_ROW
};

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

static bool kinked(const ss_node *node)
{
    return node->attributes.gated && kinked_functions[node->attributes.function];
}

/* ss_factor_needs, and x0 wherever f, f' or f'' stands. */
static ss_mask needs(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    const ss_mask a = SS_BIT(SS_PRIMAL, SS_X), b = SS_BIT(SS_PRIMAL, SS_X + 1),
                  a_t = SS_BIT(SS_TANGENT, SS_X);
    const ss_mask y_a = SS_BIT(SS_ADJOINT, SS_Y);
    ss_mask       reads = ss_factor_needs(node, sweep, have, want);
    if (!node->attributes.gated) return reads;
    if (sweep == SS_TANGENT_BACKWARD && (want & SS_BIT(SS_ADJOINT_TANGENT, SS_X)) && !kinked(node) &&
        (have & y_a) && (have & a_t))
        reads |= b | y_a | a_t;
    return reads ? reads | a : 0;
}

/* Fills the primitive's operands from the frame. */
static ss_status bind(const ss_frame *f, ss_sweep sweep, ss_glu *p)
{
    ss_status            status = SS_OK;
    const ss_attributes *attributes = &f->call->node->attributes;
    int64_t              columns = ss_frame_row_width(f);
    *p = (ss_glu){ .gated = attributes->gated,
                   .function = attributes->function,
                   .sweep = sweep,
                   .parameter = { attributes->parameter[0], attributes->parameter[1] },
                   .lanes = ss_frame_lanes(f, sweep) };
    SS_TRY(ss_frame_matrix(f, SS_PRIMAL, SS_X, columns, &p->a));
    SS_TRY(ss_frame_matrix(f, SS_PRIMAL, SS_X + 1, columns, &p->b));
    SS_TRY(ss_frame_matrix(f, SS_PRIMAL, SS_Y, columns, &p->y));
    SS_TRY(ss_frame_matrix(f, SS_TANGENT, SS_X, columns, &p->a_t));
    SS_TRY(ss_frame_matrix(f, SS_TANGENT, SS_X + 1, columns, &p->b_t));
    SS_TRY(ss_frame_matrix(f, SS_TANGENT, SS_Y, columns, &p->y_t));
    SS_TRY(ss_frame_matrix(f, SS_ADJOINT, SS_X, columns, &p->a_a));
    SS_TRY(ss_frame_matrix(f, SS_ADJOINT, SS_X + 1, columns, &p->b_a));
    SS_TRY(ss_frame_matrix(f, SS_ADJOINT, SS_Y, columns, &p->y_a));
    SS_TRY(ss_frame_matrix(f, SS_ADJOINT_TANGENT, SS_X, columns, &p->a_at));
    SS_TRY(ss_frame_matrix(f, SS_ADJOINT_TANGENT, SS_X + 1, columns, &p->b_at));
    SS_TRY(ss_frame_matrix(f, SS_ADJOINT_TANGENT, SS_Y, columns, &p->y_at));
fail:
    return status;
}

/* Are both factors taken from one value, so that their adjoints are one tensor or overlap? */
static bool share_value(const ss_node *node)
{
    int32_t root[2];
    for (int i = 0; i < 2; i++)
        for (root[i] = node->input[i]; node->values[root[i]].base >= 0;) root[i] = node->values[root[i]].base;
    return root[0] == root[1];
}

static ss_status sweep_all(const ss_call *call, ss_sweep sweep)
{
    const ss_derivative d = sweep == SS_FORWARD           ? SS_PRIMAL
                            : sweep == SS_TANGENT_FORWARD ? SS_TANGENT
                            : sweep == SS_BACKWARD        ? SS_ADJOINT
                                                          : SS_ADJOINT_TANGENT;
    ss_status           status = SS_OK;
    ss_frame            f;
    ss_glu              p;
    SS_TRY(ss_frame_begin(&f, &ss_op_multiply, sweep, call));
    if (f.writes == 0) return SS_OK;
    SS_TRY(bind(&f, sweep, &p));
    p.accumulate_y = ss_frame_accumulates(&f, d, SS_Y);
    p.accumulate_a = ss_frame_accumulates(&f, d, SS_X);
    p.accumulate_b = ss_frame_accumulates(&f, d, SS_X + 1);
    const ss_mask both = SS_BIT(d, SS_X) | SS_BIT(d, SS_X + 1);
    if ((f.writes & both) == both && share_value(call->node)) { /* one after the other */
        ss_glu first = p;
        first.b_a.data = first.b_at.data = p.a_a.data = p.a_at.data = NULL;
        SS_TRY(call->backend->class->glu(call->backend, call->queue, &first));
    }
    SS_TRY(call->backend->class->glu(call->backend, call->queue, &p));
fail:
    return status;
}

const ss_op ss_op_multiply = { .name = "multiply",
                               .kind = SS_OP_BILINEAR,
                               .infer = infer,
                               .needs = needs,
                               .sweep = sweep_all,
                               .kinked = kinked };
