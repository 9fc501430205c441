/* Linear: y = x w' + b + r, applied to the last dimension (reference 4); r, input 1, is the residual that the
 * map is added to (hvp/fuse.c makes it one), and passes through all sweeps as it is. Where the weight is
 * stored transposed, as [in, out] (GPT-2's Conv1D), the same products read w for w' and w_a becomes x' y_a.
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

enum { RESIDUAL = SS_X + 1 };

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
    if (node->n_inputs > 1) {
        const ss_value *r = &node->values[node->input[1]];
        bool            same = r->rank == node->output_rank;
        char            sum[128];
        for (int32_t d = 0; same && d < r->rank; d++) same = r->shape[d] == node->output_shape[d];
        if (!same)
            SS_FAIL_NODE(context, node, "is added to shape %s, its own is %s",
                         ss_node_shape_text(r->rank, r->shape, found, sizeof found),
                         ss_node_shape_text(node->output_rank, node->output_shape, sum, sizeof sum));
    }
fail:
    return status;
}

static ss_mask needs(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    const ss_mask x = SS_BIT(SS_PRIMAL, SS_X), w = SS_BIT(SS_PRIMAL, SS_W), b = SS_BIT(SS_PRIMAL, SS_W + 1);
    const ss_mask x_t = SS_BIT(SS_TANGENT, SS_X), w_t = SS_BIT(SS_TANGENT, SS_W);
    const ss_mask b_t = SS_BIT(SS_TANGENT, SS_W + 1);
    const ss_mask y_a = SS_BIT(SS_ADJOINT, SS_Y), y_at = SS_BIT(SS_ADJOINT_TANGENT, SS_Y);
    const ss_mask r = node->n_inputs > 1 ? SS_BIT(SS_PRIMAL, RESIDUAL) : 0;
    ss_mask       reads = 0;

    switch (sweep) {
    case SS_FORWARD:
        if (want & SS_BIT(SS_PRIMAL, SS_Y)) reads = x | w | r | (ss_node_has_parameter(node, 1) ? b : 0);
        break;
    case SS_BACKWARD:
        if ((have & y_a) == 0) break;
        if (want & SS_BIT(SS_ADJOINT, SS_X)) reads |= y_a | w;
        if (want & SS_BIT(SS_ADJOINT, SS_W)) reads |= y_a | x;
        if (want & (SS_BIT(SS_ADJOINT, SS_W + 1) | SS_BIT(SS_ADJOINT, RESIDUAL))) reads |= y_a;
        break;
    case SS_TANGENT_FORWARD:
        if ((want & SS_BIT(SS_TANGENT, SS_Y)) == 0) break;
        if (have & x_t) reads |= x_t | w;
        if (have & w_t) reads |= x | w_t;
        reads |= have & (b_t | SS_BIT(SS_TANGENT, RESIDUAL));
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
        if (want & (SS_BIT(SS_ADJOINT_TANGENT, SS_W + 1) | SS_BIT(SS_ADJOINT_TANGENT, RESIDUAL)))
            reads |= have & y_at;
        break;
    default: break;
    }
    return reads;
}

/* What the products are added to: y := b + r, in one pass, (+ y). Either may be absent; *accumulate becomes
 * true when there is something. */
static ss_status begin_output(const ss_call *call, const ss_matrix *bias, const ss_matrix *residual,
                              bool *accumulate, const ss_matrix *y)
{
    const ss_backend_class *c = call->backend->class;
    int64_t                 lanes = y->lane_stride != 0 ? call->lanes : 1;
    ss_matrix               rows = *bias;
    bool                    added = *accumulate;
    rows.rows = y->rows;
    rows.ld = 0;
    *accumulate = added || bias->data != NULL || residual->data != NULL;
    if (bias->data != NULL && residual->data != NULL)
        return c->sum(call->backend, call->queue, lanes, 1.0, residual, 1.0, &rows, added, y);
    if (bias->data != NULL) return ss_product_bias(call, bias, added, y);
    if (residual->data != NULL)
        return c->add(call->backend, call->queue, lanes, 1.0, residual, added ? 1.0 : 0.0, y);
    return SS_OK;
}

/* The residual's adjoint, where it could not take over y's memory: r (+)= y. */
static ss_status pass_residual(const ss_call *call, const ss_matrix *y, bool accumulate, const ss_matrix *r)
{
    if (r->data == NULL) return SS_OK;
    return call->backend->class->add(call->backend, call->queue, r->lane_stride != 0 ? call->lanes : 1, 1.0,
                                     y, accumulate ? 1.0 : 0.0, r);
}

static ss_status forward(const ss_call *call)
{
    ss_status status = SS_OK;
    ss_frame  f;
    ss_matrix x, w, b, r, y;
    int64_t   in = inputs_of(call->node), out = call->node->attributes.columns;
    SS_TRY(ss_frame_begin(&f, &ss_op_linear, SS_FORWARD, call));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X, in, &x));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_W, weight_columns(call->node), &w));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_W + 1, out, &b));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, RESIDUAL, out, &r));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_Y, out, &y));
    bool accumulate = ss_frame_accumulates(&f, SS_PRIMAL, SS_Y);
    SS_TRY(begin_output(call, &b, &r, &accumulate, &y));
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
    ss_matrix x, w, y_a, x_a, w_a, b_a, r_a;
    int64_t   in = inputs_of(call->node), out = call->node->attributes.columns;
    SS_TRY(ss_frame_begin(&f, &ss_op_linear, SS_BACKWARD, call));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X, in, &x));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_W, weight_columns(call->node), &w));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_Y, out, &y_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_X, in, &x_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_W, weight_columns(call->node), &w_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_W + 1, out, &b_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, RESIDUAL, out, &r_a));
    SS_TRY(pass_residual(call, &y_a, ss_frame_accumulates(&f, SS_ADJOINT, RESIDUAL), &r_a));
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
    ss_matrix x, w, x_t, w_t, b_t, r_t, y_t;
    int64_t   in = inputs_of(call->node), out = call->node->attributes.columns;
    SS_TRY(ss_frame_begin(&f, &ss_op_linear, SS_TANGENT_FORWARD, call));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X, in, &x));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_W, weight_columns(call->node), &w));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_X, in, &x_t));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_W, weight_columns(call->node), &w_t));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_W + 1, out, &b_t));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_Y, out, &y_t));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, RESIDUAL, out, &r_t));
    bool accumulate = ss_frame_accumulates(&f, SS_TANGENT, SS_Y);
    SS_TRY(begin_output(call, &b_t, &r_t, &accumulate, &y_t));
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
    ss_matrix x, w, x_t, w_t, y_a, y_at, x_at, w_at, b_at, r_at;
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
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, RESIDUAL, out, &r_at));
    SS_TRY(pass_residual(call, &y_at, ss_frame_accumulates(&f, SS_ADJOINT_TANGENT, RESIDUAL), &r_at));
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

static bool passes(const ss_node *node, int32_t input)
{
    (void)node;
    return input == 1;
}

const ss_op ss_op_linear = { .name = "linear",
                             .kind = SS_OP_BILINEAR,
                             .infer = infer,
                             .needs = needs,
                             .sweep = sweep,
                             .flops = flops,
                             .passes = passes };
