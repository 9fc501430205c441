/* The sweeps of a head, chunk by chunk (formulas: ops/head.c). */
#include "ops/frame.h"
#include "ops/head.h"
#include "ops/product.h"

/* Plain buffers of a chunk in the workspace, those with lanes behind them. Without a cap ADJOINT moves up. */
enum { LOGITS, CAPPED, ADJOINT };

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

static ss_matrix buffer(const head *h, int64_t number, bool laned, int64_t rows)
{
    int64_t size = h->chunk * h->classes;
    if (laned) number = ss_head_plain_buffers(h->call->node, h->sweep) + number * h->lanes;
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
    if (ss_head_capped(h->call->node)) {
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
    *z_a = buffer(h, ss_head_capped(h->call->node) ? ADJOINT : ADJOINT - 1, false, u->rows);
    SS_TRY(loss_sweep(h, first, z, (ss_loss){ .sweep = SS_BACKWARD, .lanes = 1, .x_a = *z_a }));
    *u_a = *z_a;
    if (ss_head_capped(h->call->node)) {
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
    if (ss_head_capped(h->call->node)) {
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
    bool      through_cap = ss_head_capped(h->call->node);
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
    bool      through_cap = ss_head_capped(h->call->node), add_x = h->add_x;
    bool      product_rule = h->sweep == SS_TANGENT_BACKWARD;
    ss_mask   tangents = (h->x_t.data != NULL ? SS_BIT(SS_TANGENT, SS_X) : 0) |
                       (h->w_t.data != NULL ? SS_BIT(SS_TANGENT, SS_HEAD_WEIGHT) : 0) |
                       (h->b_t.data != NULL ? SS_BIT(SS_TANGENT, SS_HEAD_BIAS) : 0);
    bool      bent = ss_head_bends(h->call->node, h->sweep, tangents);
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
    SS_TRY(ss_frame_matrix(f, d, SS_HEAD_WEIGHT, columns, &h->w_out));
    SS_TRY(ss_frame_matrix(f, d, SS_HEAD_BIAS, h->classes, &h->b_out));
    h->add_x = ss_frame_accumulates(f, d, SS_X);
    h->add_w = ss_frame_accumulates(f, d, SS_HEAD_WEIGHT);
    h->add_b = ss_frame_accumulates(f, d, SS_HEAD_BIAS);
fail:
    return status;
}

static ss_status bind(head *h)
{
    ss_status            status = SS_OK;
    const ss_node       *node = h->call->node;
    const ss_attributes *a = &node->attributes;
    const ss_frame      *f = &h->frame;
    int64_t              columns = ss_head_width(node), classes = ss_head_classes(node);
    h->classes = classes;
    h->rows = h->call->operand[SS_OPERAND(SS_PRIMAL, SS_X)].data != NULL
                  ? h->call->operand[SS_OPERAND(SS_PRIMAL, SS_X)].shape[0] * ss_head_rows(node)
                  : h->call->operand[SS_OPERAND(SS_PRIMAL, SS_SAVED)].shape[0] * ss_head_rows(node);
    h->chunk = ss_head_chunk(node, h->rows);
    h->lanes = ss_frame_lanes(f, h->sweep);
    SS_TRY(ss_frame_matrix(f, SS_PRIMAL, SS_X, columns, &h->x));
    SS_TRY(ss_frame_matrix(f, SS_PRIMAL, SS_HEAD_WEIGHT, columns, &h->w));
    SS_TRY(ss_frame_matrix(f, SS_PRIMAL, SS_HEAD_BIAS, classes, &h->b));
    SS_TRY(ss_frame_matrix(f, SS_TANGENT, SS_X, columns, &h->x_t));
    SS_TRY(ss_frame_matrix(f, SS_TANGENT, SS_HEAD_WEIGHT, columns, &h->w_t));
    SS_TRY(ss_frame_matrix(f, SS_TANGENT, SS_HEAD_BIAS, classes, &h->b_t));
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

ss_status ss_head_sweep(const ss_call *call, ss_sweep sweep)
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
    head             h = { .call = call, .sweep = SS_FORWARD, .lanes = 1, .classes = ss_head_classes(node) };
    ss_matrix        u;
    h.rows = x->shape[0] * ss_head_rows(node);
    h.chunk = ss_head_chunk(node, h.rows);
    SS_TRY(ss_tensor_matrix(context, x, ss_head_width(node), &h.x));
    SS_TRY(ss_tensor_matrix(context, &call->operand[SS_OPERAND(SS_PRIMAL, SS_HEAD_WEIGHT)],
                            ss_head_width(node), &h.w));
    SS_TRY(ss_tensor_matrix(context, &call->operand[SS_OPERAND(SS_PRIMAL, SS_HEAD_BIAS)], h.classes, &h.b));
    SS_TRY(logits(&h, first, rows, &u, z));
fail:
    return status;
}
