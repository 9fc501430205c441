/* Head: the loss fused with its linear map, l = cross-entropy of z = cap(u), u = x w' + b (a language model's
 * vocabulary). The logits exist for a chunk of tokens at a time, with all classes in the chunk: rows of a
 * chunk come from a fixed budget, so that results do not depend on memory. SAVED holds the two statistics per
 * row of the loss and, when they are kept, the logits u (keep_logits).
 *
 *   u_t = x_t w' + x w_t' + b_t          z_t = cap'(u) u_t        z_at = H_L z_t
 *   u_a = cap'(u) z_a                    u_at = cap''(u) u_t z_a + cap'(u) z_at
 *   x_a = u_a w,  w_a = u_a' x           x_at = u_at w + u_a w_t,  w_at = u_at' x + u_a' x_t
 *   b_a, b_at: column sums
 *
 * CURVATURE: the Gauss-Newton (or Fisher) operator at the capped logits, without the terms of u_a and cap''.
 * The residual H - G is what is left: TANGENT_BACKWARD with z_at = 0. */
#include "ops/frame.h"
#include "ops/head.h"
#include "ops/product.h"

enum { WEIGHT = SS_W, BIAS = SS_W + 1 };

#define CHUNK_REALS  (1 << 22) /* of one buffer of logits */
#define MINIMUM_ROWS 128       /* below, the matrix products starve */

static int64_t classes_of(const ss_node *node)
{
    return node->attributes.columns;
}

static int64_t width(const ss_node *node)
{
    const ss_value *x = &node->values[node->input[0]];
    return x->shape[x->rank - 1];
}

/* Rows per sample. */
static int64_t rows_of(const ss_node *node)
{
    return node->values[node->input[0]].count / width(node);
}

int64_t ss_head_chunk(const ss_node *node, int64_t rows)
{
    int64_t chunk = ss_max64(CHUNK_REALS / classes_of(node), MINIMUM_ROWS);
    if (node->attributes.chunk > 0) chunk = node->attributes.chunk;
    return ss_min64(chunk, rows);
}

static ss_status infer(ss_context *context, ss_node *node)
{
    ss_status           status = SS_OK;
    const ss_value     *x = &node->values[node->input[0]];
    const ss_parameter *w = &node->parameters[node->parameter[0]];
    int64_t             classes = classes_of(node);
    char                found[128];
    if (node->attributes.loss != SS_LOSS_CROSS_ENTROPY)
        SS_FAIL_NODE(context, node, "a head over classes has a cross-entropy loss and no other");
    if (classes < 2)
        SS_FAIL_NODE(context, node, "a head needs at least 2 classes, not %lld", (long long)classes);
    if (x->rank < 1 || w->array.rank != 2 || w->array.shape[0] != classes || w->array.shape[1] != width(node))
        SS_FAIL_NODE(context, node, "weight '%s' has shape %s, expected [%lld, %lld]", w->name,
                     ss_node_shape_text(w->array.rank, w->array.shape, found, sizeof found),
                     (long long)classes, x->rank < 1 ? 0LL : (long long)width(node));
    if (ss_node_has_parameter(node, 1) && node->parameters[node->parameter[1]].count != classes)
        SS_FAIL_NODE(context, node, "bias '%s' has %lld elements, expected %lld",
                     node->parameters[node->parameter[1]].name,
                     (long long)node->parameters[node->parameter[1]].count, (long long)classes);
    node->output_rank = 0;
    node->saved_count = rows_of(node) * (2 + (node->attributes.keep_logits ? classes : 0));
    node->saved_tangent_count = 0;
fail:
    return status;
}

/* ---- What is read ---- */

static bool capped(const ss_node *node)
{
    return node->attributes.cap > 0;
}

/* Does u_at exist, given the tangents? Of the residual only the cap's own curvature is left. */
static bool bends(const ss_node *node, ss_sweep sweep, ss_mask tangents)
{
    bool residual = sweep == SS_TANGENT_BACKWARD && node->attributes.residual;
    return tangents != 0 && !(residual && !capped(node));
}

/* Operands that form the logits, or hold them. */
static ss_mask logit_reads(const ss_node *node)
{
    if (node->attributes.keep_logits) return 0; /* SAVED */
    return SS_BIT(SS_PRIMAL, SS_X) | SS_BIT(SS_PRIMAL, WEIGHT) |
           (ss_node_has_parameter(node, 1) ? SS_BIT(SS_PRIMAL, BIAS) : 0);
}

/* Operands that form u_t, given the tangents that exist. */
static ss_mask tangent_reads(ss_mask tangents)
{
    ss_mask reads = tangents;
    if (tangents & SS_BIT(SS_TANGENT, SS_X)) reads |= SS_BIT(SS_PRIMAL, WEIGHT);
    if (tangents & SS_BIT(SS_TANGENT, WEIGHT)) reads |= SS_BIT(SS_PRIMAL, SS_X);
    return reads;
}

static ss_mask needs_second(const ss_node *node, ss_sweep sweep, ss_mask tangents, ss_mask gradient,
                            ss_mask want)
{
    const ss_mask x_t = SS_BIT(SS_TANGENT, SS_X), w_t = SS_BIT(SS_TANGENT, WEIGHT);
    bool          product_rule = sweep == SS_TANGENT_BACKWARD, bent = bends(node, sweep, tangents);
    ss_mask       through = bent ? gradient | tangent_reads(tangents) : 0, reads = 0;
    if (want & SS_BIT(SS_ADJOINT_TANGENT, SS_X)) {
        if (bent) reads |= through | SS_BIT(SS_PRIMAL, WEIGHT);
        if (product_rule && (tangents & w_t)) reads |= gradient | w_t;
    }
    if (want & SS_BIT(SS_ADJOINT_TANGENT, WEIGHT)) {
        if (bent) reads |= through | SS_BIT(SS_PRIMAL, SS_X);
        if (product_rule && (tangents & x_t)) reads |= gradient | x_t;
    }
    if (want & SS_BIT(SS_ADJOINT_TANGENT, BIAS)) reads |= through;
    return reads;
}

static ss_mask needs(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    const ss_mask logits = SS_BIT(SS_PRIMAL, SS_X) | SS_BIT(SS_PRIMAL, WEIGHT) |
                           (ss_node_has_parameter(node, 1) ? SS_BIT(SS_PRIMAL, BIAS) : 0);
    const ss_mask targets =
        SS_BIT(SS_PRIMAL, SS_TARGET) | SS_BIT(SS_PRIMAL, SS_ROW_WEIGHT) | SS_BIT(SS_PRIMAL, SS_CLASS_WEIGHT);
    const ss_mask gradient = logit_reads(node) | targets | SS_BIT(SS_PRIMAL, SS_SAVED);
    const ss_mask tangents =
        have & (SS_BIT(SS_TANGENT, SS_X) | SS_BIT(SS_TANGENT, WEIGHT) | SS_BIT(SS_TANGENT, BIAS));
    ss_mask reads = 0;
    switch (sweep) {
    case SS_FORWARD:
        if (want & SS_BIT(SS_PRIMAL, SS_SAVED)) reads |= logits;
        if (want & SS_BIT(SS_PRIMAL, SS_ROW_LOSS)) reads |= logits | targets;
        break;
    case SS_BACKWARD:
        if (want & SS_BIT(SS_ADJOINT, SS_X)) reads |= gradient | SS_BIT(SS_PRIMAL, WEIGHT);
        if (want & SS_BIT(SS_ADJOINT, WEIGHT)) reads |= gradient | SS_BIT(SS_PRIMAL, SS_X);
        if (want & SS_BIT(SS_ADJOINT, BIAS)) reads |= gradient;
        break;
    case SS_TANGENT_FORWARD:
        if ((want & SS_BIT(SS_TANGENT, SS_ROW_LOSS)) && tangents) reads = gradient | tangent_reads(tangents);
        break;
    case SS_TANGENT_BACKWARD:
    case SS_CURVATURE: reads = needs_second(node, sweep, tangents, gradient, want); break;
    case SS_SWEEP_COUNT: break;
    }
    return reads;
}

/* ---- A sweep at work ---- */

typedef struct head {
    const ss_call *call;
    ss_frame       frame;
    ss_sweep       sweep;
    int64_t        rows, classes, chunk, lanes; /* rows of the micro-batch, tokens of a full chunk */
    ss_matrix      x, w, b, x_t, w_t, b_t;      /* absent: not handed out */
    ss_matrix      x_out, w_out, b_out;         /* the sweep's adjoints; absent: not wanted */
    bool           add_x, add_w, add_b;         /* accumulate */
    ss_matrix      logits, statistics;          /* in SAVED; logits absent unless kept */
    ss_loss        loss;                        /* what its calls have in common, for row 0 */
    double        *row_loss;                    /* [rows], or [lanes, rows] */
} head;

static int64_t real_size(const head *h)
{
    return (int64_t)ss_real_size(h->call->backend->real);
}

/* Rows first ... first + rows - 1 of a matrix; absent stays absent. */
static ss_matrix part(const head *h, const ss_matrix *m, int64_t first, int64_t rows)
{
    ss_matrix p = *m;
    if (p.data == NULL) return p;
    p.data = (char *)p.data + first * m->ld * real_size(h);
    p.rows = rows;
    return p;
}

/* Buffers of one chunk in the workspace: plain ones first, then those with lanes. */
enum { LOGITS, CAPPED, ADJOINT, PLAIN_BUFFERS };

static int64_t plain_buffers(const ss_node *node, ss_sweep sweep)
{
    return 1 + capped(node) + (sweep == SS_BACKWARD || sweep == SS_TANGENT_BACKWARD);
}

static int64_t laned_buffers(const ss_node *node, ss_sweep sweep)
{
    if (sweep == SS_FORWARD || sweep == SS_BACKWARD) return 0;
    return (sweep == SS_TANGENT_FORWARD ? 1 : 2) + capped(node);
}

static int64_t workspace(const ss_node *node, ss_sweep sweep, int64_t samples, int64_t lanes)
{
    return ss_head_chunk(node, samples * rows_of(node)) * classes_of(node) *
           (plain_buffers(node, sweep) + lanes * laned_buffers(node, sweep));
}

static ss_matrix buffer(const head *h, int64_t number, bool laned, int64_t rows)
{
    int64_t size = h->chunk * h->classes;
    if (laned) number = plain_buffers(h->call->node, h->sweep) + number * h->lanes;
    char *base = h->call->operand[SS_OPERAND(SS_PRIMAL, SS_WORKSPACE)].data;
    return (ss_matrix){ .data = base + number * size * real_size(h),
                        .rows = rows,
                        .cols = h->classes,
                        .ld = h->classes,
                        .lane_stride = laned ? rows * h->classes : 0 };
}

static ss_status cap_sweep(const head *h, ss_pointwise p, bool laned)
{
    p.function = SS_SOFT_CAP;
    p.parameter[0] = h->call->node->attributes.cap;
    p.lanes = laned ? h->lanes : 1;
    return h->call->backend->class->pointwise(h->call->backend, h->call->queue, &p);
}

/* u of a chunk, computed into `u`. */
static ss_status form_logits(const head *h, int64_t first, const ss_matrix *u)
{
    ss_status status = SS_OK;
    ss_matrix x = part(h, &h->x, first, u->rows);
    if (h->b.data != NULL) SS_TRY(ss_product_bias(h->call, &h->b, false, u));
    SS_TRY(ss_product_run(
        h->call, &(ss_product_call){
                     .a = &x, .b = &h->w, .c = u, .transpose_b = true, .accumulate = h->b.data != NULL }));
fail:
    return status;
}

/* u, from SAVED where it is kept, and z = cap(u). */
static ss_status logits(const head *h, int64_t first, int64_t rows, ss_matrix *u, ss_matrix *z)
{
    ss_status status = SS_OK;
    bool      kept = h->logits.data != NULL;
    *u = kept ? part(h, &h->logits, first, rows) : buffer(h, LOGITS, false, rows);
    if (!kept || h->sweep == SS_FORWARD) SS_TRY(form_logits(h, first, u));
    *z = *u;
    if (capped(h->call->node)) {
        *z = buffer(h, CAPPED, false, rows);
        SS_TRY(cap_sweep(h, (ss_pointwise){ .sweep = SS_FORWARD, .x = *u, .y = *z }, false));
    }
fail:
    return status;
}

/* u_t of a chunk. */
static ss_status form_tangent(const head *h, int64_t first, const ss_matrix *u_t)
{
    ss_status status = SS_OK;
    ss_matrix x = part(h, &h->x, first, u_t->rows), x_t = part(h, &h->x_t, first, u_t->rows);
    bool      more = h->b_t.data != NULL;
    if (more) SS_TRY(ss_product_bias(h->call, &h->b_t, false, u_t));
    if (x_t.data != NULL) {
        SS_TRY(ss_product_run(
            h->call,
            &(ss_product_call){
                .a = &x_t, .b = &h->w, .c = u_t, .transpose_b = true, .accumulate = more, .tangent = true }));
        more = true;
    }
    if (h->w_t.data != NULL)
        SS_TRY(ss_product_run(
            h->call,
            &(ss_product_call){
                .a = &x, .b = &h->w_t, .c = u_t, .transpose_b = true, .accumulate = more, .tangent = true }));
fail:
    return status;
}

/* The loss's own sweep on a chunk; the caller has set its operands that differ. */
static ss_status loss_sweep(const head *h, int64_t first, const ss_matrix *z, ss_loss p)
{
    p.kind = SS_LOSS_CROSS_ENTROPY;
    p.smoothing = h->call->node->attributes.smoothing;
    p.x = *z;
    p.class_id = h->loss.class_id != NULL ? h->loss.class_id + first : NULL;
    p.target = part(h, &h->loss.target, first, z->rows);
    p.class_weight = h->loss.class_weight;
    p.row_weight = h->loss.row_weight != NULL ? h->loss.row_weight + first : NULL;
    p.saved = part(h, &h->statistics, first, z->rows);
    return h->call->backend->class->loss(h->call->backend, h->call->queue, &p);
}

/* The adjoints that one chunk adds: u is u_a or u_at, m the factor's primal or tangent. */
static ss_status add_terms(head *h, int64_t first, const ss_matrix *u, const ss_matrix *x, const ss_matrix *w,
                           bool *add_x, bool tangent)
{
    ss_status status = SS_OK;
    ss_matrix rows = part(h, x, first, u->rows), out = part(h, &h->x_out, first, u->rows);
    if (out.data != NULL && w->data != NULL) {
        SS_TRY(ss_product_run(
            h->call,
            &(ss_product_call){ .a = u, .b = w, .c = &out, .accumulate = *add_x, .tangent = tangent }));
        *add_x = true;
    }
    if (h->w_out.data != NULL && rows.data != NULL) {
        SS_TRY(ss_product_run(h->call, &(ss_product_call){ .a = u,
                                                           .b = &rows,
                                                           .c = &h->w_out,
                                                           .transpose_a = true,
                                                           .accumulate = h->add_w,
                                                           .tangent = tangent }));
        h->add_w = true;
    }
fail:
    return status;
}

static ss_status add_bias(head *h, const ss_matrix *u)
{
    ss_status   status = SS_OK;
    ss_backend *b = h->call->backend;
    if (h->b_out.data == NULL) return SS_OK;
    SS_TRY(b->class->column_sum(b, h->call->queue, h->b_out.lane_stride != 0 ? h->lanes : 1, u, h->add_b,
                                &h->b_out));
    h->add_b = true;
fail:
    return status;
}

/* ---- The sweeps, chunk by chunk ---- */

static ss_status forward(head *h, int64_t first, int64_t rows)
{
    ss_status status = SS_OK;
    ss_matrix u, z;
    SS_TRY(logits(h, first, rows, &u, &z));
    double *row_loss = h->row_loss != NULL ? h->row_loss + first : NULL;
    SS_TRY(loss_sweep(h, first, &z, (ss_loss){ .sweep = SS_FORWARD, .lanes = 1, .row_loss = row_loss }));
fail:
    return status;
}

/* u_a of a chunk; z may be overwritten. */
static ss_status logit_adjoint(const head *h, int64_t first, const ss_matrix *u, const ss_matrix *z,
                               ss_matrix *z_a, ss_matrix *u_a)
{
    ss_status status = SS_OK;
    *z_a = buffer(h, capped(h->call->node) ? ADJOINT : ADJOINT - 1, false, u->rows);
    SS_TRY(loss_sweep(h, first, z, (ss_loss){ .sweep = SS_BACKWARD, .lanes = 1, .x_a = *z_a }));
    *u_a = *z_a;
    if (capped(h->call->node)) {
        *u_a = *z; /* z has been read for the last time */
        SS_TRY(
            cap_sweep(h, (ss_pointwise){ .sweep = SS_BACKWARD, .x = *u, .y_a = *z_a, .x_a = *u_a }, false));
    }
fail:
    return status;
}

static ss_status backward(head *h, int64_t first, int64_t rows)
{
    ss_status status = SS_OK;
    ss_matrix u, z, z_a, u_a;
    bool      add_x = h->add_x;
    SS_TRY(logits(h, first, rows, &u, &z));
    SS_TRY(logit_adjoint(h, first, &u, &z, &z_a, &u_a));
    SS_TRY(add_terms(h, first, &u_a, &h->x, &h->w, &add_x, false));
    SS_TRY(add_bias(h, &u_a));
fail:
    return status;
}

static ss_status tangent_forward(head *h, int64_t first, int64_t rows)
{
    ss_status status = SS_OK;
    ss_matrix u, z, u_t = buffer(h, 0, true, rows), z_t = u_t;
    SS_TRY(logits(h, first, rows, &u, &z));
    SS_TRY(form_tangent(h, first, &u_t));
    if (capped(h->call->node)) {
        z_t = buffer(h, 1, true, rows);
        SS_TRY(cap_sweep(h, (ss_pointwise){ .sweep = SS_TANGENT_FORWARD, .x = u, .x_t = u_t, .y_t = z_t },
                         true));
    }
    for (int64_t lane = 0; lane < h->lanes; lane++) { /* the rows of a lane lie `rows` of all chunks apart */
        ss_matrix one = z_t;
        one.data = (char *)z_t.data + lane * z_t.lane_stride * real_size(h);
        one.lane_stride = 0;
        SS_TRY(loss_sweep(h, first, &z,
                          (ss_loss){ .sweep = SS_TANGENT_FORWARD,
                                     .lanes = 1,
                                     .x_t = one,
                                     .row_loss = h->row_loss + lane * h->rows + first }));
    }
fail:
    return status;
}

/* u_at of a chunk, from u_t: through the loss (unless it is left out) and the cap. z_a may be absent. */
static ss_status logit_curvature(const head *h, int64_t first, const ss_matrix *u, const ss_matrix *z,
                                 const ss_matrix *u_t, ss_matrix *z_at)
{
    ss_status status = SS_OK;
    bool      through_cap = capped(h->call->node);
    ss_matrix z_t = *u_t;
    *z_at = (ss_matrix){ 0 };
    if (h->sweep == SS_TANGENT_BACKWARD && h->call->node->attributes.residual) return SS_OK;
    if (through_cap) {
        z_t = buffer(h, 2, true, u->rows);
        SS_TRY(cap_sweep(h, (ss_pointwise){ .sweep = SS_TANGENT_FORWARD, .x = *u, .x_t = *u_t, .y_t = z_t },
                         true));
    }
    *z_at = buffer(h, 1, true, u->rows);
    SS_TRY(loss_sweep(h, first, z,
                      (ss_loss){ .sweep = h->sweep,
                                 .lanes = h->lanes,
                                 .fisher = h->sweep == SS_CURVATURE && h->call->fisher,
                                 .x_t = z_t,
                                 .x_at = *z_at }));
fail:
    return status;
}

static ss_status second_order(head *h, int64_t first, int64_t rows)
{
    ss_status status = SS_OK;
    bool      through_cap = capped(h->call->node), add_x = h->add_x;
    bool      product_rule = h->sweep == SS_TANGENT_BACKWARD;
    ss_mask   tangents = (h->x_t.data != NULL ? SS_BIT(SS_TANGENT, SS_X) : 0) |
                       (h->w_t.data != NULL ? SS_BIT(SS_TANGENT, WEIGHT) : 0) |
                       (h->b_t.data != NULL ? SS_BIT(SS_TANGENT, BIAS) : 0);
    bool      bent = bends(h->call->node, h->sweep, tangents);
    ss_matrix u, z, u_t = buffer(h, 0, true, rows), z_a = { 0 }, u_a = { 0 }, z_at = { 0 }, u_at;
    SS_TRY(logits(h, first, rows, &u, &z));
    if (bent) {
        SS_TRY(form_tangent(h, first, &u_t));
        SS_TRY(logit_curvature(h, first, &u, &z, &u_t, &z_at));
    }
    bool wants_adjoint = (through_cap && bent) || (h->x_out.data != NULL && h->w_t.data != NULL) ||
                         (h->w_out.data != NULL && h->x_t.data != NULL);
    product_rule = product_rule && wants_adjoint;
    if (product_rule) SS_TRY(logit_adjoint(h, first, &u, &z, &z_a, &u_a));
    if (bent) {
        u_at = z_at;
        if (through_cap) {
            u_at = buffer(h, 2, true, rows); /* z_t has been read for the last time */
            ss_pointwise p = { .sweep = SS_TANGENT_BACKWARD, .x = u, .y_at = z_at, .x_at = u_at };
            if (product_rule) {
                p.x_t = u_t;
                p.y_a = z_a;
            }
            SS_TRY(cap_sweep(h, p, true));
        }
        SS_TRY(add_terms(h, first, &u_at, &h->x, &h->w, &add_x, true));
        SS_TRY(add_bias(h, &u_at));
    }
    if (product_rule) SS_TRY(add_terms(h, first, &u_a, &h->x_t, &h->w_t, &add_x, true));
fail:
    return status;
}

/* ---- Setting out ---- */

static ss_status bind_outputs(head *h, ss_derivative d, int64_t columns)
{
    ss_status       status = SS_OK;
    const ss_frame *f = &h->frame;
    SS_TRY(ss_frame_matrix(f, d, SS_X, columns, &h->x_out));
    SS_TRY(ss_frame_matrix(f, d, WEIGHT, columns, &h->w_out));
    SS_TRY(ss_frame_matrix(f, d, BIAS, h->classes, &h->b_out));
    h->add_x = ss_frame_accumulates(f, d, SS_X);
    h->add_w = ss_frame_accumulates(f, d, WEIGHT);
    h->add_b = ss_frame_accumulates(f, d, BIAS);
fail:
    return status;
}

static ss_status bind(head *h)
{
    ss_status            status = SS_OK;
    const ss_node       *node = h->call->node;
    const ss_attributes *a = &node->attributes;
    const ss_frame      *f = &h->frame;
    int64_t              columns = width(node), classes = classes_of(node);
    h->classes = classes;
    h->rows = h->call->operand[SS_OPERAND(SS_PRIMAL, SS_X)].data != NULL
                  ? h->call->operand[SS_OPERAND(SS_PRIMAL, SS_X)].shape[0] * rows_of(node)
                  : h->call->operand[SS_OPERAND(SS_PRIMAL, SS_SAVED)].shape[0] * rows_of(node);
    h->chunk = ss_head_chunk(node, h->rows);
    h->lanes = ss_frame_lanes(f, h->sweep);
    SS_TRY(ss_frame_matrix(f, SS_PRIMAL, SS_X, columns, &h->x));
    SS_TRY(ss_frame_matrix(f, SS_PRIMAL, WEIGHT, columns, &h->w));
    SS_TRY(ss_frame_matrix(f, SS_PRIMAL, BIAS, classes, &h->b));
    SS_TRY(ss_frame_matrix(f, SS_TANGENT, SS_X, columns, &h->x_t));
    SS_TRY(ss_frame_matrix(f, SS_TANGENT, WEIGHT, columns, &h->w_t));
    SS_TRY(ss_frame_matrix(f, SS_TANGENT, BIAS, classes, &h->b_t));
    char *saved = ss_frame_data(f, SS_PRIMAL, SS_SAVED);
    if (saved != NULL && a->keep_logits) {
        h->logits = (ss_matrix){ saved, h->rows, classes, classes, 0 };
        saved += h->rows * classes * real_size(h);
    }
    if (saved != NULL) h->statistics = (ss_matrix){ saved, h->rows, 2, 2, 0 };
    if (a->class_ids)
        h->loss.class_id = ss_frame_data(f, SS_PRIMAL, SS_TARGET);
    else
        SS_TRY(ss_frame_matrix(f, SS_PRIMAL, SS_TARGET, classes, &h->loss.target));
    h->loss.row_weight = ss_frame_data(f, SS_PRIMAL, SS_ROW_WEIGHT);
    h->loss.class_weight = ss_frame_data(f, SS_PRIMAL, SS_CLASS_WEIGHT);
    h->row_loss = ss_frame_data(f, h->sweep == SS_TANGENT_FORWARD ? SS_TANGENT : SS_PRIMAL, SS_ROW_LOSS);
    if (h->sweep == SS_BACKWARD) SS_TRY(bind_outputs(h, SS_ADJOINT, columns));
    if (h->sweep == SS_TANGENT_BACKWARD || h->sweep == SS_CURVATURE)
        SS_TRY(bind_outputs(h, SS_ADJOINT_TANGENT, columns));
fail:
    return status;
}

static ss_status sweep_all(const ss_call *call, ss_sweep sweep)
{
    static ss_status (*const of_chunk[SS_SWEEP_COUNT])(head *, int64_t,
                                                       int64_t) = { [SS_FORWARD] = forward,
                                                                    [SS_BACKWARD] = backward,
                                                                    [SS_TANGENT_FORWARD] = tangent_forward,
                                                                    [SS_TANGENT_BACKWARD] = second_order,
                                                                    [SS_CURVATURE] = second_order };
    ss_status status = SS_OK;
    head      h = { .call = call, .sweep = sweep };
    SS_TRY(ss_frame_begin(&h.frame, &ss_op_head, sweep, call));
    if (h.frame.writes == 0) return SS_OK;
    SS_TRY(bind(&h));
    for (int64_t first = 0; first < h.rows; first += h.chunk)
        SS_TRY(of_chunk[sweep](&h, first, ss_min64(h.chunk, h.rows - first)));
fail:
    return status;
}

ss_status ss_head_logits(const ss_call *call, int64_t first, int64_t rows, ss_matrix *z)
{
    ss_status        status = SS_OK;
    const ss_node   *node = call->node;
    const ss_tensor *x = &call->operand[SS_OPERAND(SS_PRIMAL, SS_X)];
    ss_context      *context = call->backend->context;
    head             h = { .call = call, .sweep = SS_FORWARD, .lanes = 1, .classes = classes_of(node) };
    ss_matrix        u;
    h.rows = x->shape[0] * rows_of(node);
    h.chunk = ss_head_chunk(node, h.rows);
    SS_TRY(ss_tensor_matrix(context, x, width(node), &h.x));
    SS_TRY(ss_tensor_matrix(context, &call->operand[SS_OPERAND(SS_PRIMAL, WEIGHT)], width(node), &h.w));
    SS_TRY(ss_tensor_matrix(context, &call->operand[SS_OPERAND(SS_PRIMAL, BIAS)], h.classes, &h.b));
    SS_TRY(logits(&h, first, rows, &u, z));
fail:
    return status;
}

/* Two flops per multiply-add, per lane: products of size rows x width x classes. */
static double flops(const ss_node *node, ss_sweep sweep, int64_t samples, ss_mask have, ss_mask want)
{
    double one =
        2.0 * (double)samples * (double)node->values[node->input[0]].count * (double)classes_of(node);
    ss_mask tangents =
        have & (SS_BIT(SS_TANGENT, SS_X) | SS_BIT(SS_TANGENT, WEIGHT) | SS_BIT(SS_TANGENT, BIAS));
    int x_t = (have & SS_BIT(SS_TANGENT, SS_X)) != 0, w_t = (have & SS_BIT(SS_TANGENT, WEIGHT)) != 0;
    int products = 0, again = node->attributes.keep_logits ? 0 : 1;
    if (needs(node, sweep, have, want) == 0) return 0;
    if (sweep == SS_FORWARD) return one;
    if (sweep == SS_BACKWARD)
        products = ((want & SS_BIT(SS_ADJOINT, SS_X)) != 0) + ((want & SS_BIT(SS_ADJOINT, WEIGHT)) != 0);
    if (sweep == SS_TANGENT_FORWARD) products = x_t + w_t;
    if (sweep == SS_TANGENT_BACKWARD || sweep == SS_CURVATURE) {
        bool bent = bends(node, sweep, tangents), rule = sweep == SS_TANGENT_BACKWARD;
        bool wants_x = (want & SS_BIT(SS_ADJOINT_TANGENT, SS_X)) != 0;
        bool wants_w = (want & SS_BIT(SS_ADJOINT_TANGENT, WEIGHT)) != 0;
        products = (bent ? x_t + w_t + wants_x + wants_w : 0) + (rule && wants_x ? w_t : 0) +
                   (rule && wants_w ? x_t : 0);
    }
    return one * (products + again);
}

const ss_op ss_op_head = { .name = "head",
                           .kind = SS_OP_LOSS,
                           .infer = infer,
                           .needs = needs,
                           .sweep = sweep_all,
                           .flops = flops,
                           .workspace = workspace };
