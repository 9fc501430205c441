/* Linear: y = x w' + b, applied to the last dimension (reference 4).
 *
 *   x_a  = y_a w                    y_t  = x_t w' + x w_t' + b_t
 *   w_a  = y_a' x                   x_at = y_at w + y_a w_t
 *   b_a  = column sums of y_a       w_at = y_at' x + y_a' x_t,  b_at = column sums of y_at
 *
 * Each product is one GEMM: lanes whose other factor is shared are stacked into its rows (x_t w', y_at w);
 * where both factors or the result differ per lane it is one batched GEMM. Sums of two products accumulate in
 * place, nothing is copied. */
#include "ops/frame.h"

static int64_t inputs_of(const ss_node *node)
{
    return node->parameters[node->parameter[0]].array.shape[1];
}

static ss_status infer(ss_context *context, ss_node *node)
{
    ss_status           status = SS_OK;
    const ss_value     *x = &node->values[node->input[0]];
    const ss_parameter *w = &node->parameters[node->parameter[0]];
    int64_t             out = node->attributes.columns;
    char                found[128];

    if (w->array.rank != 2 || w->array.shape[0] != out)
        SS_FAIL_NODE(context, node, "weight '%s' has shape %s, expected [%lld, inputs]", w->name,
                     ss_node_shape_text(w->array.rank, w->array.shape, found, sizeof found), (long long)out);
    if (ss_node_has_parameter(node, 1)) {
        const ss_parameter *b = &node->parameters[node->parameter[1]];
        if (b->array.rank != 1 || b->array.shape[0] != out)
            SS_FAIL_NODE(context, node, "bias '%s' has shape %s, expected [%lld]", b->name,
                         ss_node_shape_text(b->array.rank, b->array.shape, found, sizeof found),
                         (long long)out);
    }
    if (x->rank < 1 || x->shape[x->rank - 1] != w->array.shape[1])
        SS_FAIL_NODE(
            context, node, "expects %lld input features in the last dimension, its input has shape %s",
            (long long)w->array.shape[1], ss_node_shape_text(x->rank, x->shape, found, sizeof found));
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

/* C := op(A) op(B) + beta C, lane by lane. */
typedef struct product {
    const ss_matrix *a, *b, *c;
    bool             transpose_a, transpose_b;
    bool             accumulate;
    bool             tangent; /* a tangent product: reduced precision allowed */
} product;

static ss_status multiply(const ss_call *call, const product *p)
{
    const ss_matrix *a = p->a, *b = p->b, *c = p->c;
    ss_gemm          g = { .transpose_a = p->transpose_a, .transpose_b = p->transpose_b };
    g.m = c->rows;
    g.n = c->cols;
    g.k = p->transpose_a ? a->rows : a->cols;
    g.alpha = 1.0;
    g.beta = p->accumulate ? 1.0 : 0.0;
    g.a = a->data;
    g.b = b->data;
    g.c = c->data;
    g.lda = a->ld;
    g.ldb = b->ld;
    g.ldc = c->ld;
    g.stride_a = a->lane_stride;
    g.stride_b = b->lane_stride;
    g.stride_c = c->lane_stride;
    g.batch = c->lane_stride != 0 ? call->lanes : 1;
    g.low_precision = p->tangent;
    /* The lanes of A and C follow each other evenly and share B: one taller product. */
    if (g.batch > 1 && g.stride_b == 0 && !p->transpose_a && g.stride_a == a->rows * a->ld &&
        g.stride_c == c->rows * c->ld) {
        g.m *= g.batch;
        g.batch = 1;
    }
    return call->backend->class->gemm(call->backend, call->queue, &g);
}

/* y := 1 b (+ y): the bias row written to every row, so that the products accumulate onto it. */
static ss_status write_bias(const ss_call *call, const ss_matrix *bias, bool accumulate, const ss_matrix *y)
{
    ss_matrix rows = *bias;
    rows.rows = y->rows;
    rows.ld = 0;
    return call->backend->class->add(call->backend, call->queue, y->lane_stride != 0 ? call->lanes : 1, 1.0,
                                     &rows, accumulate ? 1.0 : 0.0, y);
}

static ss_status forward(const ss_call *call)
{
    ss_status status = SS_OK;
    ss_frame  f;
    ss_matrix x, w, b, y;
    int64_t   in = inputs_of(call->node), out = call->node->attributes.columns;
    SS_TRY(ss_frame_begin(&f, &ss_op_linear, SS_FORWARD, call));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_X, in, &x));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_W, in, &w));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_W + 1, out, &b));
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_Y, out, &y));
    bool accumulate = ss_frame_accumulates(&f, SS_PRIMAL, SS_Y);
    if (b.data != NULL) {
        SS_TRY(write_bias(call, &b, accumulate, &y));
        accumulate = true;
    }
    SS_TRY(multiply(call,
                    &(product){ .a = &x, .b = &w, .c = &y, .transpose_b = true, .accumulate = accumulate }));
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
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_W, in, &w));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_Y, out, &y_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_X, in, &x_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_W, in, &w_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_W + 1, out, &b_a));
    /* Laned adjoints are those of a Gauss-Newton product: tangents of adjoints in all but name. */
    bool tangent = y_a.lane_stride != 0;
    if (x_a.data != NULL)
        SS_TRY(multiply(call, &(product){ .a = &y_a,
                                          .b = &w,
                                          .c = &x_a,
                                          .accumulate = ss_frame_accumulates(&f, SS_ADJOINT, SS_X),
                                          .tangent = tangent }));
    if (w_a.data != NULL)
        SS_TRY(multiply(call, &(product){ .a = &y_a,
                                          .b = &x,
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
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_W, in, &w));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_X, in, &x_t));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_W, in, &w_t));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_W + 1, out, &b_t));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_Y, out, &y_t));
    bool accumulate = ss_frame_accumulates(&f, SS_TANGENT, SS_Y);
    if (b_t.data != NULL) {
        SS_TRY(write_bias(call, &b_t, accumulate, &y_t));
        accumulate = true;
    }
    if (x_t.data != NULL) {
        SS_TRY(multiply(call, &(product){ .a = &x_t,
                                          .b = &w,
                                          .c = &y_t,
                                          .transpose_b = true,
                                          .accumulate = accumulate,
                                          .tangent = true }));
        accumulate = true;
    }
    if (w_t.data != NULL)
        SS_TRY(multiply(call, &(product){ .a = &x,
                                          .b = &w_t,
                                          .c = &y_t,
                                          .transpose_b = true,
                                          .accumulate = accumulate,
                                          .tangent = true }));
fail:
    return status;
}

/* out (+)= y_at op (second) + y_a op (first), where either term may be absent. */
static ss_status two_products(const ss_call *call, const ss_matrix *y_at, const ss_matrix *primal,
                              const ss_matrix *y_a, const ss_matrix *tangent, bool transpose, bool accumulate,
                              const ss_matrix *out)
{
    ss_status status = SS_OK;
    if (y_at->data != NULL) {
        SS_TRY(multiply(call, &(product){ .a = y_at,
                                          .b = primal,
                                          .c = out,
                                          .transpose_a = transpose,
                                          .accumulate = accumulate,
                                          .tangent = true }));
        accumulate = true;
    }
    if (y_a->data != NULL && tangent->data != NULL)
        SS_TRY(multiply(call, &(product){ .a = y_a,
                                          .b = tangent,
                                          .c = out,
                                          .transpose_a = transpose,
                                          .accumulate = accumulate,
                                          .tangent = true }));
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
    SS_TRY(ss_frame_matrix(&f, SS_PRIMAL, SS_W, in, &w));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_X, in, &x_t));
    SS_TRY(ss_frame_matrix(&f, SS_TANGENT, SS_W, in, &w_t));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT, SS_Y, out, &y_a));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_Y, out, &y_at));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_X, in, &x_at));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_W, in, &w_at));
    SS_TRY(ss_frame_matrix(&f, SS_ADJOINT_TANGENT, SS_W + 1, out, &b_at));
    if (x_at.data != NULL)
        SS_TRY(two_products(call, &y_at, &w, &y_a, &w_t, false,
                            ss_frame_accumulates(&f, SS_ADJOINT_TANGENT, SS_X), &x_at));
    if (w_at.data != NULL)
        SS_TRY(two_products(call, &y_at, &x, &y_a, &x_t, true,
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
