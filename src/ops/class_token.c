/* Class token: y = [w0; x] + w1, a learned row in front of the tokens and a learned table added to all of
 * them (ViT). X: x [N, D]; W: w0 (D elements) and w1 (as many as y has per sample), each may be absent.
 *
 * Linear: every sweep copies or sums. A sample is a matrix of D columns; the samples of a micro-batch take
 * the place of lanes in the primitives, and lanes are gone through one by one. */
#include "ops/frame.h"

enum { TOKEN = SS_W, TABLE = SS_W + 1 };

static int64_t width(const ss_node *node)
{
    const ss_value *x = &node->values[node->input[0]];
    return x->shape[x->rank - 1];
}

static ss_status infer(ss_context *context, ss_node *node)
{
    ss_status       status = SS_OK;
    const ss_value *x = &node->values[node->input[0]];
    bool            token = ss_node_has_parameter(node, 0);
    char            found[128];
    if (x->rank != 2)
        SS_FAIL_NODE(context, node, "expects tokens of shape [N, D], found %s",
                     ss_node_shape_text(x->rank, x->shape, found, sizeof found));
    for (int32_t i = 0; i < node->n_parameters; i++) {
        int64_t wanted = i == 0 ? x->shape[1] : (x->shape[0] + token) * x->shape[1];
        if (!ss_node_has_parameter(node, i)) continue;
        const ss_parameter *p = &node->parameters[node->parameter[i]];
        if (p->count != wanted)
            SS_FAIL_NODE(context, node, "'%s' has shape %s, expected %lld elements", p->name,
                         ss_node_shape_text(p->array.rank, p->array.shape, found, sizeof found),
                         (long long)wanted);
    }
    ss_node_output_like_input(node);
    node->output_shape[0] += token;
fail:
    return status;
}

static ss_mask needs(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    ss_mask reads = 0;
    if (sweep == SS_FORWARD && (want & SS_BIT(SS_PRIMAL, SS_Y))) {
        reads = SS_BIT(SS_PRIMAL, SS_X);
        for (int i = 0; i < 2; i++)
            if (ss_node_has_parameter(node, i)) reads |= SS_BIT(SS_PRIMAL, SS_W + i);
    }
    if (sweep == SS_TANGENT_FORWARD && (want & SS_BIT(SS_TANGENT, SS_Y)))
        reads = have & (SS_BIT(SS_TANGENT, SS_X) | SS_BIT(SS_TANGENT, TOKEN) | SS_BIT(SS_TANGENT, TABLE));
    if (sweep == SS_BACKWARD || sweep == SS_TANGENT_BACKWARD) {
        ss_derivative d = sweep == SS_BACKWARD ? SS_ADJOINT : SS_ADJOINT_TANGENT;
        ss_mask       outputs = SS_BIT(d, SS_X) | SS_BIT(d, TOKEN) | SS_BIT(d, TABLE);
        if (want & outputs) reads = have & SS_BIT(d, SS_Y);
    }
    return reads;
}

/* Rows first ... first + rows - 1 of every sample of one lane; samples are the matrix's lanes. An operand
 * that is not handed out is absent; a parameter is one sample, shared by all. */
static ss_status rows_of(const ss_frame *f, ss_derivative d, int role, int64_t lane, int64_t first,
                         int64_t rows, ss_matrix *m)
{
    ss_status        status = SS_OK;
    const ss_tensor *t = &f->call->operand[SS_OPERAND(d, role)];
    int64_t          columns = width(f->call->node), size = (int64_t)ss_real_size(f->call->backend->real);
    ss_tensor        sample = *t;
    *m = (ss_matrix){ 0 };
    if (!ss_frame_has(f, d, role)) return SS_OK;
    bool parameter = role >= SS_W && role < SS_Y;
    if (!parameter) { /* drop the sample dimension */
        sample.rank--;
        for (int32_t i = 0; i < sample.rank; i++) {
            sample.shape[i] = t->shape[i + 1];
            sample.stride[i] = t->stride[i + 1];
        }
    }
    SS_TRY(ss_tensor_matrix(f->call->backend->context, &sample, columns, m));
    m->data = (char *)m->data + (lane * t->lane_stride + first * m->ld) * size;
    m->rows = rows;
    m->lane_stride = parameter ? 0 : t->stride[0];
fail:
    return status;
}

static ss_status add_rows(const ss_call *call, int64_t samples, const ss_matrix *x, bool accumulate,
                          const ss_matrix *y)
{
    if (x->data == NULL || y->data == NULL || y->rows == 0) return SS_OK;
    return call->backend->class->add(call->backend, call->queue, samples, 1.0, x, accumulate ? 1.0 : 0.0, y);
}

/* Terms of y that are absent leave zeros: a tangent of x alone has none in the token's row. */
static ss_status onwards(const ss_frame *f, ss_derivative d, int64_t lane)
{
    ss_status      status = SS_OK;
    const ss_call *call = f->call;
    const ss_node *node = call->node;
    int64_t        samples = call->operand[SS_OPERAND(d, SS_Y)].shape[0];
    int64_t        n = node->values[node->input[0]].shape[0], token = ss_node_has_parameter(node, 0);
    ss_matrix      x, y, rest, w, table;
    SS_TRY(rows_of(f, d, SS_Y, lane, 0, n + token, &y));
    SS_TRY(rows_of(f, d, SS_Y, lane, token, n, &rest));
    SS_TRY(rows_of(f, d, SS_X, lane, 0, n, &x));
    SS_TRY(rows_of(f, d, TOKEN, lane, 0, 1, &w));
    SS_TRY(rows_of(f, d, TABLE, lane, 0, n + token, &table));
    if (token) y.rows = 1;
    SS_TRY(add_rows(call, samples, &x, true, &rest));
    if (token) SS_TRY(add_rows(call, samples, &w, true, &y));
    y.rows = n + token;
    SS_TRY(add_rows(call, samples, &table, true, &y));
fail:
    return status;
}

/* x_a: the rows behind the token's; w0_a and w1_a: sums over the samples. */
static ss_status back(const ss_frame *f, ss_derivative d, int64_t lane)
{
    ss_status      status = SS_OK;
    const ss_call *call = f->call;
    const ss_node *node = call->node;
    ss_backend    *b = call->backend;
    int64_t        samples = call->operand[SS_OPERAND(d, SS_Y)].shape[0];
    int64_t        n = node->values[node->input[0]].shape[0], token = ss_node_has_parameter(node, 0);
    ss_matrix      x, rest, w, table, y;
    SS_TRY(rows_of(f, d, SS_Y, lane, 0, n + token, &y));
    SS_TRY(rows_of(f, d, SS_Y, lane, token, n, &rest));
    SS_TRY(rows_of(f, d, SS_X, lane, 0, n, &x));
    SS_TRY(rows_of(f, d, TOKEN, lane, 0, 1, &w));
    SS_TRY(rows_of(f, d, TABLE, lane, 0, n + token, &table));
    SS_TRY(add_rows(call, samples, &rest, ss_frame_accumulates(f, d, SS_X), &x));
    /* Row r of all samples as a matrix: one sample per row. */
    ss_matrix row = { y.data, samples, y.cols, y.lane_stride, 0 };
    int64_t   size = (int64_t)ss_real_size(b->real);
    if (w.data != NULL)
        SS_TRY(b->class->column_sum(b, call->queue, 1, &row, ss_frame_accumulates(f, d, TOKEN), &w));
    if (table.data != NULL && y.ld == y.cols && table.ld == table.cols) { /* all rows as one */
        row.cols = table.cols = (n + token) * y.cols;
        table.rows = 1;
        return b->class->column_sum(b, call->queue, 1, &row, ss_frame_accumulates(f, d, TABLE), &table);
    }
    for (int64_t r = 0; table.data != NULL && r < n + token; r++) {
        ss_matrix to = table;
        to.rows = 1;
        to.data = (char *)table.data + r * table.ld * size;
        row.data = (char *)y.data + r * y.ld * size;
        SS_TRY(b->class->column_sum(b, call->queue, 1, &row, ss_frame_accumulates(f, d, TABLE), &to));
    }
fail:
    return status;
}

static ss_status sweep_all(const ss_call *call, ss_sweep sweep)
{
    ss_status     status = SS_OK;
    bool          forwards = sweep == SS_FORWARD || sweep == SS_TANGENT_FORWARD;
    ss_derivative d = sweep == SS_FORWARD           ? SS_PRIMAL
                      : sweep == SS_TANGENT_FORWARD ? SS_TANGENT
                      : sweep == SS_BACKWARD        ? SS_ADJOINT
                                                    : SS_ADJOINT_TANGENT;
    ss_frame      f;
    SS_TRY(ss_frame_begin(&f, &ss_op_class_token, sweep, call));
    if (f.writes == 0) return SS_OK;
    if (forwards) SS_TRY(ss_call_clear(call, SS_OPERAND(d, SS_Y)));
    for (int64_t lane = 0; lane < ss_frame_lanes(&f, sweep); lane++)
        SS_TRY(forwards ? onwards(&f, d, lane) : back(&f, d, lane));
fail:
    return status;
}

const ss_op ss_op_class_token = {
    .name = "class_token", .kind = SS_OP_LINEAR, .infer = infer, .needs = needs, .sweep = sweep_all
};
