/* The operator harness, first half: operands live on the host as compact float64 arrays; each call lays them
 * out on the device with the strides and lanes asked for and brings the outputs back. */
#include "support/op_harness_private.h"

#include "base/philox.h"
#include "support/support.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void op_report(harness *h, const char *format, ...)
{
    va_list arguments;
    if (h->deviations++ >= SHOWN) return;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", h->row->name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

/* ---- Shapes and layouts ---- */

bool op_is_double(int role)
{
    return role == SS_ROW_WEIGHT || role == SS_ROW_LOSS || role == SS_CLASS_WEIGHT;
}

bool op_is_integer(const harness *h, int role)
{
    if (role < SS_W) return h->row->input[role - SS_X].limit > 0;
    return role == SS_TARGET && h->row->attributes.class_ids;
}

double op_other_integer(const harness *h, int role, double value)
{
    return role < SS_W ? (double)(h->row->input[role - SS_X].limit - 1) - value : 1.0 - value;
}

bool op_saved_has_tangent(const harness *h)
{
    return h->node.saved_tangent_count > 0 && h->node.saved_tangent_count == h->node.saved_count;
}

int64_t op_count(const harness *h, int operand)
{
    if (operand == SS_OPERAND(SS_TANGENT, SS_SAVED)) return h->row->batch * h->node.saved_tangent_count;
    return h->count[role_of(operand)];
}

int64_t op_class_count(const harness *h)
{
    if (op_is_head(h)) return h->row->attributes.columns;
    return h->row->attributes.loss == SS_LOSS_CROSS_ENTROPY ? h->row->shape[h->row->rank - 1]
                                                            : h->values[0].count;
}

int64_t op_row_count(const harness *h)
{
    if (op_is_head(h)) return h->row->batch * h->values[0].count / h->row->shape[h->row->rank - 1];
    return h->row->batch * h->values[0].count / op_class_count(h);
}

static void shape_of(const harness *h, int id, ss_tensor *t)
{
    const ss_op_case *row = h->row;
    const int64_t    *shape = NULL;
    int               role = role_of(id);
    t->rank = 1;
    t->shape[0] = row->batch;
    if (role < SS_W) {
        t->rank = h->values[role - SS_X].rank + 1;
        shape = h->values[role - SS_X].shape;
    } else if (role < SS_Y) {
        t->rank = row->parameter_rank[role - SS_W];
        for (int32_t d = 0; d < t->rank; d++) t->shape[d] = row->parameter_shape[role - SS_W][d];
    } else if (role == SS_Y) {
        t->rank = h->node.output_rank + 1;
        shape = h->node.output_shape;
    } else if (role == SS_SAVED) {
        t->rank = 2;
        shape = derivative_of(id) == SS_TANGENT ? &h->node.saved_tangent_count : &h->node.saved_count;
    } else if (role == SS_TARGET && !op_is_integer(h, role) && op_is_head(h)) {
        t->rank = 2;
        t->shape[0] = op_row_count(h);
        t->shape[1] = op_class_count(h);
    } else if (role == SS_TARGET && !op_is_integer(h, role)) {
        t->rank = row->rank + 1;
        shape = row->shape;
    } else {
        t->shape[0] = role == SS_CLASS_WEIGHT ? op_class_count(h) : op_row_count(h);
    }
    for (int32_t d = 1; shape != NULL && d < t->rank; d++) t->shape[d] = shape[d - 1];
}

/* Strides and size of one operand on the device; returns the elements of all lanes. */
static int64_t place(const harness *h, const layout *how, int id, bool laned, ss_tensor *t)
{
    int     role = role_of(id);
    bool    packed = how->gap == 0 || role == SS_SAVED || op_is_double(role) || op_is_integer(h, role);
    int32_t contiguous = h->row->contiguous;
    int64_t stride = 1;
    shape_of(h, id, t);
    if (contiguous == 0) contiguous = 1;
    for (int32_t d = t->rank - 1; d >= 0; d--) {
        if (!packed && d == t->rank - 1 - contiguous) stride += 3;
        t->stride[d] = stride;
        stride *= t->shape[d];
    }
    t->lane_stride = laned ? stride + (!packed && how->gap == 2 ? 5 : 0) : 0;
    return laned ? t->lane_stride * how->lanes : stride;
}

/* Device index of compact element `i`. */
static int64_t element(const ss_tensor *t, int64_t i)
{
    int64_t index = 0;
    for (int32_t d = t->rank - 1; d >= 0; d--) {
        index += i % t->shape[d] * t->stride[d];
        i /= t->shape[d];
    }
    return index;
}

/* ---- One call ---- */

bool op_is_laned(const request *r, int operand)
{
    int d = derivative_of(operand);
    return d == SS_TANGENT || d == SS_ADJOINT_TANGENT || (d == SS_ADJOINT && r->laned_plain);
}

static void store(char *bytes, int64_t index, double value, int role, bool integer, ss_real real)
{
    if (integer)
        ((int64_t *)(void *)bytes)[index] = (int64_t)value;
    else if (op_is_double(role) || real == SS_FLOAT64)
        ((double *)(void *)bytes)[index] = value;
    else
        ((float *)(void *)bytes)[index] = (float)value;
}

static double load(const char *bytes, int64_t index, int role, ss_real real)
{
    if (op_is_double(role) || real == SS_FLOAT64) return ((const double *)(const void *)bytes)[index];
    return (double)((const float *)(const void *)bytes)[index];
}

static const double gap_value = 4096.5; /* between the rows of everything */

/* What operand `id` holds before the call: input values, NaN, or the base of an accumulated output. */
static double initial(const harness *h, const request *r, ss_mask reads, int id, int64_t lane, int64_t i)
{
    int     role = role_of(id);
    int64_t at = op_is_laned(r, id) ? lane * op_count(h, id) + i : i;
    if (r->want >> id & 1)
        return r->accumulate && role != SS_SAVED && role != SS_ROW_LOSS ? h->base[id][at] : NAN;
    if (!(reads >> id & 1) && r->poison)
        return op_is_integer(h, role) ? op_other_integer(h, role, h->host[id][at]) : NAN;
    return h->host[id][at];
}

static bool is_bound(const harness *h, const request *r, int id)
{
    ss_mask outputs = r->sweep == SS_CURVATURE && h->row->op->kind != SS_OP_LOSS ? 0 : r->want;
    int     role = role_of(id);
    if (op_count(h, id) == 0) return false;
    if (outputs >> id & 1) return true;
    if (derivative_of(id) != SS_PRIMAL) return (r->have >> id & 1) != 0;
    return role != SS_ROW_LOSS && !(r->sweep == SS_FORWARD && (role == SS_Y || role == SS_SAVED));
}

/* Reals of NaN for SS_WORKSPACE, if the operator asks for them. */
static void make_workspace(const harness *h, const request *r, ss_backend *b, ss_call *call)
{
    ss_tensor *t = &call->operand[SS_OPERAND(SS_PRIMAL, SS_WORKSPACE)];
    bool       laned = r->laned_plain || (r->sweep != SS_FORWARD && r->sweep != SS_BACKWARD);
    int64_t    lanes = laned ? r->how.lanes : 1, count = 0;
    if (h->row->op->workspace) count = h->row->op->workspace(&h->node, b, r->sweep, h->row->batch, lanes);
    if (count == 0) return;
    *t = (ss_tensor){ .rank = 1, .shape = { count }, .stride = { 1 } };
    int64_t bytes = count * (int64_t)ss_real_size(b->real);
    ss_test_require(b->class->allocate(b, bytes, &t->data));
    ss_test_require(b->class->poison(b, NULL, t->data, bytes));
}

/* Runs one sweep and leaves the wanted outputs in h->result. */
void op_run(harness *h, const request *r)
{
    ss_backend *b = r->reference ? h->reference : h->backend;
    ss_call     call = { .node = &h->node, .backend = b, .lanes = r->how.lanes, .fisher = r->fisher };
    ss_mask     reads = h->row->op->needs(&h->node, r->sweep, r->have, r->want);
    char       *bytes[SS_OPERAND_COUNT] = { NULL };
    int64_t     size[SS_OPERAND_COUNT];

    for (int id = 0; id < SS_OPERAND_COUNT; id++) {
        ss_tensor *t = &call.operand[id];
        int        role = role_of(id);
        if (!is_bound(h, r, id)) continue;
        bool    laned = op_is_laned(r, id), integer = op_is_integer(h, role);
        int64_t total = place(h, &r->how, id, laned, t), lanes = laned ? r->how.lanes : 1;
        size_t  item = integer || op_is_double(role) ? 8 : ss_real_size(b->real);
        t->accumulate = (r->want >> id & 1) && r->accumulate && role != SS_SAVED && role != SS_ROW_LOSS;
        size[id] = total * (int64_t)item;
        ss_test_require(ss_allocate(ss_test_context, total, item, (void **)&bytes[id]));
        for (int64_t i = 0; i < total; i++) store(bytes[id], i, gap_value, role, false, b->real);
        for (int64_t lane = 0; lane < lanes; lane++)
            for (int64_t i = 0; i < op_count(h, id); i++)
                store(bytes[id], lane * t->lane_stride + element(t, i), initial(h, r, reads, id, lane, i),
                      role, integer, b->real);
        ss_test_require(b->class->allocate(b, size[id], &t->data));
        ss_test_require(b->class->upload(b, NULL, t->data, bytes[id], size[id]));
    }
    make_workspace(h, r, b, &call);
    ss_test_require(b->class->queue_synchronize(b, NULL));
    ss_test_require(h->row->op->sweep(&call, r->sweep));
    h->calls++;
    b->class->release(b, call.operand[SS_OPERAND(SS_PRIMAL, SS_WORKSPACE)].data);

    for (int id = 0; id < SS_OPERAND_COUNT; id++) {
        ss_tensor *t = &call.operand[id];
        int        role = role_of(id);
        if (bytes[id] == NULL) continue;
        if (r->want >> id & 1) {
            ss_test_require(b->class->download(b, NULL, bytes[id], t->data, size[id]));
            ss_test_require(b->class->queue_synchronize(b, NULL));
            int64_t lanes = op_is_laned(r, id) ? r->how.lanes : 1, count = op_count(h, id);
            for (int64_t lane = 0; lane < lanes; lane++)
                for (int64_t i = 0; i < count; i++) {
                    int64_t at = lane * t->lane_stride + element(t, i);
                    h->result[id][lane * count + i] = load(bytes[id], at, role, b->real);
                    store(bytes[id], at, gap_value, role, false, b->real);
                }
            int64_t total = size[id] / (int64_t)(op_is_double(role) ? 8 : ss_real_size(b->real));
            for (int64_t i = 0; i < total; i++)
                if (load(bytes[id], i, role, b->real) != gap_value) {
                    op_report(h, "sweep %d writes between the rows of operand %d", (int)r->sweep, id);
                    break;
                }
        }
        b->class->release(b, t->data);
        ss_free(ss_test_context, bytes[id]);
    }
}

/* ---- Operands ---- */

double *op_new_array(int64_t count)
{
    double *array;
    ss_test_require(ss_allocate(ss_test_context, count, sizeof(double), (void **)&array));
    return array;
}

static void draw(harness *h, int id, int64_t count, bool smooth_point)
{
    for (int64_t i = 0; i < count; i++) {
        double z = ss_random_normal(20260101, SS_STREAM_TEST + ((uint64_t)id << 8), (uint64_t)i);
        if (smooth_point && fabs(z) < h->row->margin) z = z < 0.0 ? z - h->row->margin : z + h->row->margin;
        h->host[id][i] = z;
    }
}

/* Integer inputs: the row's values, or drawn below the limit. */
static void draw_integers(harness *h, int i)
{
    const ss_op_input *input = &h->row->input[i];
    for (int64_t k = 0; k < h->count[SS_X + i]; k++) {
        double u = ss_random_uniform(11, SS_STREAM_TEST + (uint64_t)i, (uint64_t)k);
        h->host[SS_X + i][k] = input->integers ? (double)input->integers[k] : floor(u * (double)input->limit);
    }
}

/* Loss heads: ids, distributions or values; weights with one row that does not count. */
static void draw_targets(harness *h)
{
    int64_t rows = op_row_count(h), classes = op_class_count(h);
    for (int64_t i = 0; i < rows; i++) {
        h->host[SS_ROW_WEIGHT][i] = i == 1 ? 0.0 : 0.1 + 0.05 * (double)i;
        if (h->row->attributes.class_ids) {
            h->host[SS_TARGET][i] = (double)(i * 7 % 2);
            continue;
        }
        double sum = 0.0, *t = h->host[SS_TARGET] + i * classes;
        for (int64_t j = 0; j < classes; j++)
            sum += t[j] = ss_random_uniform(7, SS_STREAM_TEST, (uint64_t)(i * classes + j));
        for (int64_t j = 0; j < classes && h->row->attributes.loss == SS_LOSS_CROSS_ENTROPY; j++) t[j] /= sum;
    }
    for (int64_t j = 0; j < h->count[SS_CLASS_WEIGHT]; j++)
        h->host[SS_CLASS_WEIGHT][j] = 0.5 + 0.25 * (double)j;
}

void op_set_up(harness *h, const ss_op_case *row, const char *backend, ss_real real)
{
    *h = (harness){ .row = row, .is_loss = row->op->kind == SS_OP_LOSS };
    ss_test_require(ss_backend_open(ss_test_context, backend, real, &h->backend));
    ss_test_require(ss_backend_open(ss_test_context, "cpu", SS_FLOAT64, &h->reference));
    for (int32_t i = 0; i < row->n_inputs; i++) {
        ss_value          *v = &h->values[i];
        const ss_op_input *own = &row->input[i];
        const int64_t     *shape = own->rank > 0 ? own->shape : row->shape;
        *v = (ss_value){ .rank = own->rank > 0 ? own->rank : row->rank, .count = 1, .producer = -1 };
        v->base = -1;
        v->integer = own->limit > 0;
        for (int32_t d = 0; d < v->rank; d++) v->count *= v->shape[d] = shape[d];
        h->node.input[i] = i;
    }
    for (int32_t i = 0; i < row->n_parameters; i++) {
        ss_parameter *p = &h->parameters[i];
        *p = (ss_parameter){ .name = (char *)(i == 0 ? "first" : "second"), .count = 1 };
        p->trainable = !row->constant[i];
        p->array.rank = row->parameter_rank[i];
        for (int32_t d = 0; d < p->array.rank; d++)
            p->count *= p->array.shape[d] = row->parameter_shape[i][d];
        h->node.parameter[i] = p->array.rank > 0 ? i : -1;
    }
    h->node.op = row->op;
    h->node.name = (char *)row->name;
    h->node.n_inputs = row->n_inputs;
    h->node.n_parameters = row->n_parameters;
    h->node.attributes = row->attributes;
    h->node.values = h->values;
    h->node.parameters = h->parameters;
    ss_test_require(row->op->infer(ss_test_context, &h->node));

    for (int i = 0; i < row->n_inputs; i++)
        if (row->input[i].limit == 0) h->variable[h->n_variables++] = SS_X + i;
    for (int i = 0; i < row->n_parameters; i++)
        if (row->parameter_rank[i] > 0 && !row->constant[i]) h->variable[h->n_variables++] = SS_W + i;
    h->result_role = h->is_loss ? SS_ROW_LOSS : SS_Y;
    for (int role = 0; role < SS_ROLE_COUNT; role++) {
        bool exists = role == h->result_role || (role == SS_SAVED && h->node.saved_count > 0) ||
                      (h->is_loss && (role == SS_TARGET || role == SS_ROW_WEIGHT)) ||
                      (role == SS_CLASS_WEIGHT && row->class_weights);
        if (role < SS_W) exists = role - SS_X < row->n_inputs;
        if (role >= SS_W && role < SS_Y)
            exists = role - SS_W < row->n_parameters && row->parameter_rank[role - SS_W] > 0;
        if (!exists) continue;
        ss_tensor t = { 0 };
        h->count[role] = place(h, &(layout){ .lanes = 1 }, role, false, &t);
    }
    for (int id = 0; id < SS_OPERAND_COUNT; id++) {
        int64_t count = op_count(h, id) * (derivative_of(id) == SS_PRIMAL ? 1 : MOST_LANES);
        h->host[id] = op_new_array(count);
        h->result[id] = op_new_array(count * MOST_LANES);
        h->base[id] = op_new_array(count * MOST_LANES);
        draw(h, id, count, derivative_of(id) == SS_PRIMAL);
        for (int64_t i = 0; i < count; i++) h->base[id][i] = 0.5 + 0.125 * (double)(i % 5);
    }
    if (h->is_loss) draw_targets(h);
    for (int i = 0; i < row->n_inputs; i++)
        if (op_is_integer(h, SS_X + i)) draw_integers(h, i);
}

void op_tear_down(harness *h)
{
    for (int id = 0; id < SS_OPERAND_COUNT; id++) {
        ss_free(ss_test_context, h->host[id]);
        ss_free(ss_test_context, h->result[id]);
        ss_free(ss_test_context, h->base[id]);
    }
    for (int u = 0; u < h->n_variables; u++) {
        ss_free(ss_test_context, h->jacobian[u]);
        ss_free(ss_test_context, h->saved_slope[u]);
        for (int t = 0; t < h->n_variables; t++) ss_free(ss_test_context, h->second[t][u]);
    }
    ss_backend_close(h->backend);
    ss_backend_close(h->reference);
}
