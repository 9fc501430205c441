/* Linear: y = x w' + b, applied to the last dimension (reference 4). Where the weight is stored transposed,
 * as [in, out] (GPT-2's Conv1D), the same products read w for w' and w_a becomes x' y_a.
 *
 *   x_a  = y_a w                    y_t  = x_t w' + x w_t' + b_t
 *   w_a  = y_a' x                   x_at = y_at w + y_a w_t
 *   b_a  = column sums of y_a       w_at = y_at' x + y_a' x_t,  b_at = column sums of y_at
 *
 * Each product is one GEMM: lanes whose other factor is shared are stacked into its rows (x_t w', y_at w);
 * where both factors or the result differ per lane it is one batched GEMM. Sums of two products accumulate in
 * place, nothing is copied. */
#include "ops/frame.h"
#include "ops/product.h"

static int64_t inputs_of(const ss_node *node)
{
    return node->parameters[node->parameter[0]].array.shape[node->attributes.transposed ? 0 : 1];
}

/* Row length of the weight as stored. */
static int64_t weight_columns(const ss_node *node)
{
    return node->attributes.transposed ? node->attributes.columns : inputs_of(node);
}

static ss_status infer(ss_context *context, ss_node *node)
{
    ss_status           status = SS_OK;
    const ss_value     *x = &node->values[node->input[0]];
    const ss_parameter *w = &node->parameters[node->parameter[0]];
    int64_t             out = node->attributes.columns;
    bool                transposed = node->attributes.transposed;
    char                found[128];

    if (w->array.rank != 2 || w->array.shape[transposed ? 1 : 0] != out)
        SS_FAIL_NODE(context, node,
                     transposed ? "weight '%s' has shape %s, expected [inputs, %lld]"
                                : "weight '%s' has shape %s, expected [%lld, inputs]",
                     w->name, ss_node_shape_text(w->array.rank, w->array.shape, found, sizeof found),
                     (long long)out);
    if (ss_node_has_parameter(node, 1)) {
        const ss_parameter *b = &node->parameters[node->parameter[1]];
        if (b->array.rank != 1 || b->array.shape[0] != out)
            SS_FAIL_NODE(context, node, "bias '%s' has shape %s, expected [%lld]", b->name,
                         ss_node_shape_text(b->array.rank, b->array.shape, found, sizeof found),
                         (long long)out);
    }
    if (x->rank < 1 || x->shape[x->rank - 1] != inputs_of(node))
        SS_FAIL_NODE(context, node,
                     "expects %lld input features in the last dimension, its input has shape %s",
                     (long long)inputs_of(node), ss_node_shape_text(x->rank, x->shape, found, sizeof found));
    ss_node_output_like_input(node);
    node->output_shape[node->output_rank - 1] = out;
fail:
    return status;
}

static ss_mask needs(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    const ss_mask x = SS_BIT(SS_PRIMAL, SS_X), w = SS_BIT(SS_PRIMAL, SS_W), b = SS_BIT(SS_PRIMAL, SS_W + 1);
    const ss_mask x_t = SS_BIT(SS_TANGENT, SS_X), w_t = SS_BIT(SS_TANGENT, SS_W);
    const ss_mask b_t = SS_BIT(SS_TANGENT, SS_W + 1);
    const ss_mask y_a = SS_BIT(SS_ADJOINT, SS_Y), y_at = SS_BIT(SS_ADJOINT_TANGENT, SS_Y);
    ss_mask       reads = 0;

    switch (sweep) {
    case SS_FORWARD:
        if (want & SS_BIT(SS_PRIMAL, SS_Y)) reads = x | w | (ss_node_has_parameter(node, 1) ? b : 0);
        break;
    case SS_BACKWARD:
        if ((have & y_a) == 0) break;
        if (want & SS_BIT(SS_ADJOINT, SS_X)) reads |= y_a | w;
        if (want & SS_BIT(SS_ADJOINT, SS_W)) reads |= y_a | x;
        if (want & SS_BIT(SS_ADJOINT, SS_W + 1)) reads |= y_a;
        break;
    case SS_TANGENT_FORWARD:
        if ((want & SS_BIT(SS_TANGENT, SS_Y)) == 0) break;
        if (have & x_t) reads |= x_t | w;
        if (have & w_t) reads |= x | w_t;
        if (have & b_t) reads |= b_t;
        break;
    case SS_TANGENT_BACKWARD:
        if (want & SS_BIT(SS_ADJOINT_TANGENT, SS_X)) {
            if (have & y_at) reads |= y_at | w;
            if ((have & y_a) && (have & w_t)) reads |= y_a | w_t;
        }
        if (want & SS_BIT(SS_ADJOINT_TANGENT, SS_W)) {
            if (have & y_at) reads |= y_at | x;
            if ((have & y_a) && (have & x_t)) reads |= y_a | x_t;
        }
        if ((want & SS_BIT(SS_ADJOINT_TANGENT, SS_W + 1)) && (have & y_at)) reads |= y_at;
        break;
    default: break;
    }
    return reads;
}

static ss_status forward(const ss_call *call)
{
    ss_status status = SS_OK;
    ss_frame  f;
    ss_matrix x, w, b, y;
    int64_t   in = inputs_of(call->node), out = call->node->attributes.columns;
    SS_TRY(ss_frame_begin(&f, &ss_op_linear, SS_FORWARD, call));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X, in, &x));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_W, weight_columns(call->node), &w));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_W + 1, out, &b));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_Y, out, &y));
    bool accumulate = ss_frame_accumulates(&f, SS_PRIMAL, SS_Y);
    if (b.data != NULL) {
        SS_TRY(ss_product_bias(call, &b, accumulate, &y));
        accumulate = true;
    }
    SS_TRY(ss_product_run(call, &(ss_product_call){ .a = &x,
                                                    .b = &w,
                                                    .c = &y,
                                                    .transpose_b = !call->node->attributes.transposed,
                                                    .accumulate = accumulate }));
fail:
    return status;
}

static ss_status backward(const ss_call *call)
{
    ss_status status = SS_OK;
    ss_frame  f;
    ss_matrix x, w, y_a, x_a, w_a, b_a;
    int64_t   in = inputs_of(call->node), out = call->node->attributes.columns;
    SS_TRY(ss_frame_begin(&f, &ss_op_linear, SS_BACKWARD, call));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X, in, &x));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_W, weight_columns(call->node), &w));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_Y, out, &y_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_X, in, &x_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_W, weight_columns(call->node), &w_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_W + 1, out, &b_a));
    /* Laned adjoints are those of a Gauss-Newton product: tangents of adjoints in all but name. */
    bool tangent = y_a.lane_stride != 0;
    if (x_a.data != NULL)
        SS_TRY(
            ss_product_run(call, &(ss_product_call){ .a = &y_a,
                                                     .b = &w,
                                                     .c = &x_a,
                                                     .transpose_b = call->node->attributes.transposed,
                                                     .accumulate = ss_frame_accumulates(&f, SS_ADJOINT, SS_X),
                                                     .tangent = tangent }));
    if (w_a.data != NULL)
        SS_TRY(
            ss_product_run(call, &(ss_product_call){ .a = call->node->attributes.transposed ? &x : &y_a,
                                                     .b = call->node->attributes.transposed ? &y_a : &x,
                                                     .c = &w_a,
                                                     .transpose_a = true,
                                                     .accumulate = ss_frame_accumulates(&f, SS_ADJOINT, SS_W),
                                                     .tangent = tangent }));
    if (b_a.data != NULL)
        SS_TRY(call->backend->class->column_sum(call->backend, call->queue,
                                                b_a.lane_stride != 0 ? call->lanes : 1, &y_a,
                                                ss_frame_accumulates(&f, SS_ADJOINT, SS_W + 1), &b_a));
fail:
    return status;
}

static ss_status tangent_forward(const ss_call *call)
{
    ss_status status = SS_OK;
    ss_frame  f;
    ss_matrix x, w, x_t, w_t, b_t, y_t;
    int64_t   in = inputs_of(call->node), out = call->node->attributes.columns;
    SS_TRY(ss_frame_begin(&f, &ss_op_linear, SS_TANGENT_FORWARD, call));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X, in, &x));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_W, weight_columns(call->node), &w));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_X, in, &x_t));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_W, weight_columns(call->node), &w_t));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_W + 1, out, &b_t));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_Y, out, &y_t));
    bool accumulate = ss_frame_accumulates(&f, SS_TANGENT, SS_Y);
    if (b_t.data != NULL) {
        SS_TRY(ss_product_bias(call, &b_t, accumulate, &y_t));
        accumulate = true;
    }
    if (x_t.data != NULL) {
        SS_TRY(ss_product_run(call, &(ss_product_call){ .a = &x_t,
                                                        .b = &w,
                                                        .c = &y_t,
                                                        .transpose_b = !call->node->attributes.transposed,
                                                        .accumulate = accumulate,
                                                        .tangent = true }));
        accumulate = true;
    }
    if (w_t.data != NULL)
        SS_TRY(ss_product_run(call, &(ss_product_call){ .a = &x,
                                                        .b = &w_t,
                                                        .c = &y_t,
                                                        .transpose_b = !call->node->attributes.transposed,
                                                        .accumulate = accumulate,
                                                        .tangent = true }));
fail:
    return status;
}

/* One term of a weight's adjoint: w (+)= y' x, or x' y where the weight is stored transposed. */
static ss_status weight_term(const ss_call *call, const ss_matrix *y, const ss_matrix *x, bool accumulate,
                             const ss_matrix *w)
{
    bool transposed = call->node->attributes.transposed;
    return ss_product_run(call, &(ss_product_call){ .a = transposed ? x : y,
                                                    .b = transposed ? y : x,
                                                    .c = w,
                                                    .transpose_a = true,
                                                    .accumulate = accumulate,
                                                    .tangent = true });
}

/* One term of an input's adjoint: x (+)= y w. */
static ss_status input_term(const ss_call *call, const ss_matrix *y, const ss_matrix *w, bool accumulate,
                            const ss_matrix *x)
{
    return ss_product_run(call, &(ss_product_call){ .a = y,
                                                    .b = w,
                                                    .c = x,
                                                    .transpose_b = call->node->attributes.transposed,
                                                    .accumulate = accumulate,
                                                    .tangent = true });
}

/* out (+)= term(y_at, primal) + term(y_a, tangent), where either term may be absent. */
static ss_status two_terms(const ss_call *call,
                           ss_status (*term)(const ss_call *, const ss_matrix *, const ss_matrix *, bool,
                                             const ss_matrix *),
                           const ss_matrix *y_at, const ss_matrix *primal, const ss_matrix *y_a,
                           const ss_matrix *tangent, bool accumulate, const ss_matrix *out)
{
    ss_status status = SS_OK;
    if (y_at->data != NULL) {
        SS_TRY(term(call, y_at, primal, accumulate, out));
        accumulate = true;
    }
    if (y_a->data != NULL && tangent->data != NULL) SS_TRY(term(call, y_a, tangent, accumulate, out));
fail:
    return status;
}

static ss_status tangent_backward(const ss_call *call)
{
    ss_status status = SS_OK;
    ss_frame  f;
    ss_matrix x, w, x_t, w_t, y_a, y_at, x_at, w_at, b_at;
    int64_t   in = inputs_of(call->node), out = call->node->attributes.columns;
    SS_TRY(ss_frame_begin(&f, &ss_op_linear, SS_TANGENT_BACKWARD, call));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X, in, &x));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_W, weight_columns(call->node), &w));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_X, in, &x_t));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_W, weight_columns(call->node), &w_t));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_Y, out, &y_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_Y, out, &y_at));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_X, in, &x_at));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_W, weight_columns(call->node), &w_at));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_W + 1, out, &b_at));
    if (x_at.data != NULL)
        SS_TRY(two_terms(call, input_term, &y_at, &w, &y_a, &w_t,
                         ss_frame_accumulates(&f, SS_ADJOINT_TANGENT, SS_X), &x_at));
    if (w_at.data != NULL)
        SS_TRY(two_terms(call, weight_term, &y_at, &x, &y_a, &x_t,
                         ss_frame_accumulates(&f, SS_ADJOINT_TANGENT, SS_W), &w_at));
    if (b_at.data != NULL)
        SS_TRY(call->backend->class->column_sum(
            call->backend, call->queue, b_at.lane_stride != 0 ? call->lanes : 1, &y_at,
            ss_frame_accumulates(&f, SS_ADJOINT_TANGENT, SS_W + 1), &b_at));
fail:
    return status;
}

/* Two flops per multiply-add, per lane: the number of products that survive times 2 rows in out. */
static double flops(const ss_node *node, ss_sweep sweep, int64_t samples, ss_mask have, ss_mask want)
{
    const ss_value *x = &node->values[node->input[0]];
    double          one = 2.0 * (double)samples * (double)x->count * (double)node->attributes.columns;
    ss_mask         x_reads = 0, w_reads = 0;
    int             products = 0;
    switch (sweep) {
    case SS_FORWARD: products = (want & SS_BIT(SS_PRIMAL, SS_Y)) != 0; break;
    case SS_BACKWARD:
        if (have & SS_BIT(SS_ADJOINT, SS_Y))
            products = ((want & SS_BIT(SS_ADJOINT, SS_X)) != 0) + ((want & SS_BIT(SS_ADJOINT, SS_W)) != 0);
        break;
    case SS_TANGENT_FORWARD:
        x_reads = needs(node, sweep, have, want);
        products = ((x_reads & SS_BIT(SS_PRIMAL, SS_W)) != 0) + ((x_reads & SS_BIT(SS_PRIMAL, SS_X)) != 0);
        break;
    case SS_TANGENT_BACKWARD:
        x_reads = needs(node, sweep, have, want & SS_BIT(SS_ADJOINT_TANGENT, SS_X));
        w_reads = needs(node, sweep, have, want & SS_BIT(SS_ADJOINT_TANGENT, SS_W));
        products = ((x_reads & SS_BIT(SS_PRIMAL, SS_W)) != 0) + ((x_reads & SS_BIT(SS_TANGENT, SS_W)) != 0) +
                   ((w_reads & SS_BIT(SS_PRIMAL, SS_X)) != 0) + ((w_reads & SS_BIT(SS_TANGENT, SS_X)) != 0);
        break;
    default: break;
    }
    return one * products;
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

const ss_op ss_op_linear = {
    .name = "linear", .kind = SS_OP_BILINEAR, .infer = infer, .needs = needs, .sweep = sweep, .flops = flops
};
