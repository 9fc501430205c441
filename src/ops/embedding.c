/* Embedding: y[t] = alpha w[id[t]], rows of a table chosen by integers (tokens, positions, token types).
 *
 *   y_t[t] = alpha w_t[id[t]]       w_a[id[t]] += alpha y_a[t]       w_at[id[t]] += alpha y_at[t]
 *
 * Linear in the table: no second-order term of its own. Rows that no id reaches keep adjoints of exactly
 * zero, which is how the verdict finds them among the structural zeros of the Hessian. Ids repeat, so the
 * scatter goes through them in a fixed order. */
#include "ops/frame.h"

static int64_t width(const ss_node *node)
{
    return node->parameters[node->parameter[0]].array.shape[1];
}

static ss_status infer(ss_context *context, ss_node *node)
{
    ss_status           status = SS_OK;
    const ss_value     *x = &node->values[node->input[0]];
    const ss_parameter *w = &node->parameters[node->parameter[0]];
    char                found[128];
    if (!x->integer) SS_FAIL_NODE(context, node, "its input is not made of integers");
    if (x->rank + 1 > SS_MAX_RANK - 1)
        SS_FAIL_NODE(context, node, "its input has %d dimensions, one more would be too many", x->rank);
    if (w->array.rank != 2)
        SS_FAIL_NODE(context, node, "table '%s' has shape %s, expected [rows, width]", w->name,
                     ss_node_shape_text(w->array.rank, w->array.shape, found, sizeof found));
    if (node->attributes.alpha == 0.0) SS_FAIL_NODE(context, node, "its scale is 0");
    ss_node_output_like_input(node);
    node->output_shape[node->output_rank++] = w->array.shape[1];
fail:
    return status;
}

static ss_mask needs(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    (void)node;
    const ss_mask ids = SS_BIT(SS_PRIMAL, SS_X);
    ss_mask       from = 0, to = 0; /* the sweep copies from one to the other */
    switch (sweep) {
    case SS_FORWARD:
        from = SS_BIT(SS_PRIMAL, SS_W);
        to = SS_BIT(SS_PRIMAL, SS_Y);
        have |= from;
        break;
    case SS_BACKWARD:
        from = SS_BIT(SS_ADJOINT, SS_Y);
        to = SS_BIT(SS_ADJOINT, SS_W);
        break;
    case SS_TANGENT_FORWARD:
        from = SS_BIT(SS_TANGENT, SS_W);
        to = SS_BIT(SS_TANGENT, SS_Y);
        break;
    case SS_TANGENT_BACKWARD:
        from = SS_BIT(SS_ADJOINT_TANGENT, SS_Y);
        to = SS_BIT(SS_ADJOINT_TANGENT, SS_W);
        break;
    default: break;
    }
    return (want & to) && (have & from) ? ids | from : 0;
}

/* The ids of all samples, one behind the other. */
static ss_status find_ids(const ss_frame *f, const int64_t **ids)
{
    ss_status        status = SS_OK;
    const ss_tensor *t = &f->call->operand[SS_OPERAND(SS_PRIMAL, SS_X)];
    ss_matrix        m;
    SS_TRY(ss_frame_matrix(f, SS_PRIMAL, SS_X, f->call->node->values[f->call->node->input[0]].count, &m));
    if (m.rows > 1 && m.ld != m.cols)
        SS_FAIL_NODE(f->call->backend->context, f->call->node, "its ids do not lie together");
    *ids = t->data;
fail:
    return status;
}

static ss_status sweep_all(const ss_call *call, ss_sweep sweep)
{
    ss_status      status = SS_OK;
    bool           gathers = sweep == SS_FORWARD || sweep == SS_TANGENT_FORWARD;
    ss_derivative  of = sweep == SS_FORWARD           ? SS_PRIMAL
                        : sweep == SS_TANGENT_FORWARD ? SS_TANGENT
                        : sweep == SS_BACKWARD        ? SS_ADJOINT
                                                      : SS_ADJOINT_TANGENT;
    double         alpha = call->node->attributes.alpha;
    int64_t        columns = width(call->node);
    const int64_t *ids = NULL;
    ss_frame       f;
    ss_matrix      w, y;
    SS_TRY(ss_frame_begin(&f, &ss_op_embedding, sweep, call));
    if (f.writes == 0) return SS_OK;
    SS_TRY(find_ids(&f, &ids));
    SS_TRY(ss_frame_matrix(&f, of, SS_W, columns, &w));
    SS_TRY(ss_frame_matrix(&f, of, SS_Y, columns, &y));
    const ss_backend_class *class = call->backend->class;
    if (gathers) {
        double beta = ss_frame_accumulates(&f, of, SS_Y) ? 1.0 : 0.0;
        SS_TRY(class->gather_rows(call->backend, call->queue, ss_frame_lanes(&f, sweep), alpha, &w, ids, beta,
                                  &y));
    } else {
        SS_TRY(ss_call_clear(call, SS_OPERAND(of, SS_W)));
        SS_TRY(
            class->scatter_rows(call->backend, call->queue, ss_frame_lanes(&f, sweep), alpha, &y, ids, &w));
    }
fail:
    return status;
}

const ss_op ss_op_embedding = {
    .name = "embedding", .kind = SS_OP_LINEAR, .infer = infer, .needs = needs, .sweep = sweep_all
};
