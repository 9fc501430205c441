/* The operator harness (op_harness.h). Operands live on the host as compact float64 arrays; each call lays
 * them out on the device with the strides and lanes asked for and brings the outputs back. */
#include "support/op_harness.h"

#include "base/philox.h"
#include "support/support.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LANES = 3, MOST_VARIABLES = SS_MAX_INPUTS + SS_MAX_PARAMETERS, SHOWN = 5 };

/* How operands are laid out on the device. */
typedef struct layout {
    int64_t lanes;
    int     gap; /* 0 packed; 1 rows apart, lanes evenly spaced; 2 lanes apart as well */
} layout;

typedef struct harness {
    const ss_op_case *row;
    ss_value          values[SS_MAX_INPUTS];
    ss_parameter      parameters[2];
    ss_node           node;
    ss_backend       *backend;   /* under test */
    ss_backend       *reference; /* cpu, float64 */
    bool              is_loss;
    int64_t           count[SS_ROLE_COUNT];     /* elements of one lane, 0 = the role does not exist */
    double           *host[SS_OPERAND_COUNT];   /* primal [count], others [MOST_LANES * count] */
    double           *result[SS_OPERAND_COUNT]; /* outputs of the last call, [lanes * count] */
    double           *base[SS_OPERAND_COUNT];   /* what accumulated outputs hold before */
    int               variable[MOST_VARIABLES]; /* roles with derivatives: inputs, then parameters */
    int               n_variables;
    int               result_role;              /* SS_Y or SS_ROW_LOSS */
    double           *jacobian[MOST_VARIABLES]; /* [count of variable][count of result] */
    /* second[t][u][lane]: derivative of the adjoint of variable u along the tangent of variable t */
    double *second[MOST_VARIABLES][MOST_VARIABLES];
    int64_t calls;
    int     deviations;
} harness;

static void report(harness *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void report(harness *h, const char *format, ...)
{
    va_list arguments;
    if (h->deviations++ >= SHOWN) return;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", h->row->name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

static int derivative_of(int operand)
{
    return operand / SS_ROLE_COUNT;
}

static int role_of(int operand)
{
    return operand % SS_ROLE_COUNT;
}

/* ---- Shapes and layouts ---- */

static bool is_double(int role)
{
    return role == SS_ROW_WEIGHT || role == SS_ROW_LOSS || role == SS_CLASS_WEIGHT;
}

static bool is_integer(const harness *h, int role)
{
    return role == SS_TARGET && h->row->attributes.class_ids;
}

static int64_t class_count(const harness *h)
{
    return h->row->attributes.loss == SS_LOSS_CROSS_ENTROPY ? h->row->shape[h->row->rank - 1]
                                                            : h->values[0].count;
}

static int64_t row_count(const harness *h)
{
    return h->row->batch * h->values[0].count / class_count(h);
}

static void shape_of(const harness *h, int role, ss_tensor *t)
{
    const ss_op_case *row = h->row;
    const int64_t    *shape = NULL;
    t->rank = 1;
    t->shape[0] = row->batch;
    if (role < SS_W) {
        t->rank = row->rank + 1;
        shape = row->shape;
    } else if (role < SS_Y) {
        t->rank = row->parameter_rank[role - SS_W];
        for (int32_t d = 0; d < t->rank; d++) t->shape[d] = row->parameter_shape[role - SS_W][d];
    } else if (role == SS_Y) {
        t->rank = h->node.output_rank + 1;
        shape = h->node.output_shape;
    } else if (role == SS_SAVED) {
        t->rank = 2;
        shape = &h->node.saved_count;
    } else if (role == SS_TARGET && !is_integer(h, role)) {
        t->rank = row->rank + 1;
        shape = row->shape;
    } else {
        t->shape[0] = role == SS_CLASS_WEIGHT ? class_count(h) : row_count(h);
    }
    for (int32_t d = 1; shape != NULL && d < t->rank; d++) t->shape[d] = shape[d - 1];
}

/* Strides and size of one operand on the device; returns the elements of all lanes. */
static int64_t place(const harness *h, const layout *how, int role, bool laned, ss_tensor *t)
{
    bool    packed = how->gap == 0 || role == SS_SAVED || is_double(role) || is_integer(h, role);
    int32_t contiguous = h->row->contiguous;
    int64_t stride = 1;
    shape_of(h, role, t);
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

typedef struct request {
    ss_sweep sweep;
    ss_mask  have, want;
    layout   how;
    bool     accumulate;
    bool     fisher;
    bool     reference;   /* on the reference backend */
    bool     poison;      /* operands that needs does not name hold NaN */
    bool     laned_plain; /* BACKWARD with laned adjoints, as in a Gauss-Newton program */
} request;

static bool is_laned(const request *r, int operand)
{
    int d = derivative_of(operand);
    return d == SS_TANGENT || d == SS_ADJOINT_TANGENT || (d == SS_ADJOINT && r->laned_plain);
}

static void store(char *bytes, int64_t index, double value, int role, bool integer, ss_real real)
{
    if (integer)
        ((int64_t *)(void *)bytes)[index] = (int64_t)value;
    else if (is_double(role) || real == SS_FLOAT64)
        ((double *)(void *)bytes)[index] = value;
    else
        ((float *)(void *)bytes)[index] = (float)value;
}

static double load(const char *bytes, int64_t index, int role, ss_real real)
{
    if (is_double(role) || real == SS_FLOAT64) return ((const double *)(const void *)bytes)[index];
    return (double)((const float *)(const void *)bytes)[index];
}

static const double gap_value = 4096.5; /* between the rows of everything */

/* What operand `id` holds before the call: input values, NaN, or the base of an accumulated output. */
static double initial(const harness *h, const request *r, ss_mask reads, int id, int64_t lane, int64_t i)
{
    int     role = role_of(id);
    int64_t at = is_laned(r, id) ? lane * h->count[role] + i : i;
    if (r->want >> id & 1)
        return r->accumulate && role != SS_SAVED && role != SS_ROW_LOSS ? h->base[id][at] : NAN;
    if (!(reads >> id & 1) && r->poison) return is_integer(h, role) ? (double)(1 - h->host[id][at]) : NAN;
    return h->host[id][at];
}

static bool is_bound(const harness *h, const request *r, int id)
{
    ss_mask outputs = ss_op_sweep(h->row->op, r->sweep) == NULL ? 0 : r->want;
    int     role = role_of(id);
    if (h->count[role] == 0) return false;
    if (outputs >> id & 1) return true;
    if (derivative_of(id) != SS_PRIMAL) return (r->have >> id & 1) != 0;
    return role != SS_ROW_LOSS && !(r->sweep == SS_FORWARD && (role == SS_Y || role == SS_SAVED));
}

/* Runs one sweep and leaves the wanted outputs in h->result. */
static void run(harness *h, const request *r)
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
        bool    laned = is_laned(r, id), integer = is_integer(h, role);
        int64_t total = place(h, &r->how, role, laned, t), lanes = laned ? r->how.lanes : 1;
        size_t  item = integer || is_double(role) ? 8 : ss_real_size(b->real);
        t->accumulate = (r->want >> id & 1) && r->accumulate && role != SS_SAVED && role != SS_ROW_LOSS;
        size[id] = total * (int64_t)item;
        ss_test_require(ss_allocate(ss_test_context, total, item, (void **)&bytes[id]));
        for (int64_t i = 0; i < total; i++) store(bytes[id], i, gap_value, role, false, b->real);
        for (int64_t lane = 0; lane < lanes; lane++)
            for (int64_t i = 0; i < h->count[role]; i++)
                store(bytes[id], lane * t->lane_stride + element(t, i), initial(h, r, reads, id, lane, i),
                      role, integer, b->real);
        ss_test_require(b->class->allocate(b, size[id], &t->data));
        ss_test_require(b->class->upload(b, NULL, t->data, bytes[id], size[id]));
    }
    ss_test_require(b->class->queue_synchronize(b, NULL));
    ss_test_require(ss_op_sweep(h->row->op, r->sweep)(&call));
    h->calls++;

    for (int id = 0; id < SS_OPERAND_COUNT; id++) {
        ss_tensor *t = &call.operand[id];
        int        role = role_of(id);
        if (bytes[id] == NULL) continue;
        if (r->want >> id & 1) {
            ss_test_require(b->class->download(b, NULL, bytes[id], t->data, size[id]));
            ss_test_require(b->class->queue_synchronize(b, NULL));
            int64_t lanes = is_laned(r, id) ? r->how.lanes : 1;
            for (int64_t lane = 0; lane < lanes; lane++)
                for (int64_t i = 0; i < h->count[role]; i++) {
                    int64_t at = lane * t->lane_stride + element(t, i);
                    h->result[id][lane * h->count[role] + i] = load(bytes[id], at, role, b->real);
                    store(bytes[id], at, gap_value, role, false, b->real);
                }
            int64_t total = size[id] / (int64_t)(is_double(role) ? 8 : ss_real_size(b->real));
            for (int64_t i = 0; i < total; i++)
                if (load(bytes[id], i, role, b->real) != gap_value) {
                    report(h, "sweep %d writes between the rows of operand %d", (int)r->sweep, id);
                    break;
                }
        }
        b->class->release(b, t->data);
        ss_free(ss_test_context, bytes[id]);
    }
}

/* ---- Operands ---- */

static double *new_array(int64_t count)
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

/* Loss heads: ids, distributions or values; weights with one row that does not count. */
static void draw_targets(harness *h)
{
    int64_t rows = row_count(h), classes = class_count(h);
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

static void set_up(harness *h, const ss_op_case *row, const char *backend, ss_real real)
{
    *h = (harness){ .row = row, .is_loss = row->op->kind == SS_OP_LOSS };
    ss_test_require(ss_backend_open(ss_test_context, backend, real, &h->backend));
    ss_test_require(ss_backend_open(ss_test_context, "cpu", SS_FLOAT64, &h->reference));
    for (int32_t i = 0; i < row->n_inputs; i++) {
        ss_value *v = &h->values[i];
        *v = (ss_value){ .rank = row->rank, .count = 1, .producer = -1, .base = -1 };
        for (int32_t d = 0; d < row->rank; d++) v->count *= v->shape[d] = row->shape[d];
        h->node.input[i] = i;
    }
    for (int32_t i = 0; i < row->n_parameters; i++) {
        ss_parameter *p = &h->parameters[i];
        *p = (ss_parameter){ .name = (char *)(i == 0 ? "first" : "second"), .count = 1, .trainable = true };
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

    for (int i = 0; i < row->n_inputs; i++) h->variable[h->n_variables++] = SS_X + i;
    for (int i = 0; i < row->n_parameters; i++)
        if (row->parameter_rank[i] > 0) h->variable[h->n_variables++] = SS_W + i;
    h->result_role = h->is_loss ? SS_ROW_LOSS : SS_Y;
    for (int role = 0; role < SS_ROLE_COUNT; role++) {
        bool exists = role == h->result_role || (role == SS_SAVED && h->node.saved_count > 0) ||
                      (h->is_loss && (role == SS_TARGET || role == SS_ROW_WEIGHT)) ||
                      (role == SS_CLASS_WEIGHT && row->class_weights);
        for (int v = 0; v < h->n_variables; v++) exists = exists || h->variable[v] == role;
        if (!exists) continue;
        ss_tensor t = { 0 };
        h->count[role] = place(h, &(layout){ .lanes = 1 }, role, false, &t);
    }
    for (int id = 0; id < SS_OPERAND_COUNT; id++) {
        int64_t count = h->count[role_of(id)] * (derivative_of(id) == SS_PRIMAL ? 1 : MOST_LANES);
        h->host[id] = new_array(count);
        h->result[id] = new_array(count * MOST_LANES);
        h->base[id] = new_array(count * MOST_LANES);
        draw(h, id, count, derivative_of(id) == SS_PRIMAL);
        for (int64_t i = 0; i < count; i++) h->base[id][i] = 0.5 + 0.125 * (double)(i % 5);
    }
    if (h->is_loss) draw_targets(h);
}

static void tear_down(harness *h)
{
    for (int id = 0; id < SS_OPERAND_COUNT; id++) {
        ss_free(ss_test_context, h->host[id]);
        ss_free(ss_test_context, h->result[id]);
        ss_free(ss_test_context, h->base[id]);
    }
    for (int u = 0; u < h->n_variables; u++) {
        ss_free(ss_test_context, h->jacobian[u]);
        for (int t = 0; t < h->n_variables; t++) ss_free(ss_test_context, h->second[t][u]);
    }
    ss_backend_close(h->backend);
    ss_backend_close(h->reference);
}

/* ---- References by differences ---- */

static const request reference_call = { .how = { .lanes = 1 }, .reference = true };

/* y, or the row losses, and what forward saves, at the present operands. */
static void refresh_forward(harness *h)
{
    request r = reference_call;
    r.sweep = SS_FORWARD;
    r.want = SS_BIT(SS_PRIMAL, h->result_role);
    if (h->count[SS_SAVED] > 0) r.want |= SS_BIT(SS_PRIMAL, SS_SAVED);
    run(h, &r);
    memcpy(h->host[h->result_role], h->result[h->result_role],
           (size_t)h->count[h->result_role] * sizeof(double));
    memcpy(h->host[SS_SAVED], h->result[SS_SAVED], (size_t)h->count[SS_SAVED] * sizeof(double));
}

/* Adjoints of all variables at the present operands and y_a, unlaned, into h->result. */
static void refresh_backward(harness *h)
{
    request r = reference_call;
    refresh_forward(h);
    r.sweep = SS_BACKWARD;
    r.have = h->is_loss ? 0 : SS_BIT(SS_ADJOINT, SS_Y);
    for (int v = 0; v < h->n_variables; v++) r.want |= SS_BIT(SS_ADJOINT, h->variable[v]);
    run(h, &r);
}

static const double difference[4] = { 4.0 / 5.0, -1.0 / 5.0, 4.0 / 105.0, -1.0 / 280.0 };
static const double difference_step = 0.02;

static void find_jacobian(harness *h)
{
    int64_t m = h->count[h->result_role];
    for (int v = 0; v < h->n_variables; v++) {
        int     role = h->variable[v];
        double *x = h->host[role];
        h->jacobian[v] = new_array(h->count[role] * m);
        for (int64_t i = 0; i < h->count[role]; i++) {
            double kept = x[i];
            for (int k = -4; k <= 4; k++) {
                if (k == 0) continue;
                double weight = (k < 0 ? -1.0 : 1.0) * difference[abs(k) - 1] / difference_step;
                x[i] = kept + k * difference_step;
                refresh_forward(h);
                for (int64_t j = 0; j < m; j++)
                    h->jacobian[v][i * m + j] += weight * h->result[h->result_role][j];
            }
            x[i] = kept;
        }
    }
}

static void find_second(harness *h)
{
    for (int t = 0; t < h->n_variables; t++) {
        int     role = h->variable[t];
        int64_t n = h->count[role];
        double *x = h->host[role], *kept = new_array(n);
        memcpy(kept, x, (size_t)n * sizeof *x);
        for (int u = 0; u < h->n_variables; u++)
            h->second[t][u] = new_array(MOST_LANES * h->count[h->variable[u]]);
        for (int64_t lane = 0; lane < MOST_LANES; lane++) {
            const double *tangent = h->host[SS_OPERAND(SS_TANGENT, role)] + lane * n;
            double        step = difference_step / 4.0; /* tangents are a few units long */
            for (int k = -4; k <= 4; k++) {
                if (k == 0) continue;
                double weight = (k < 0 ? -1.0 : 1.0) * difference[abs(k) - 1] / step;
                for (int64_t i = 0; i < n; i++) x[i] = kept[i] + k * step * tangent[i];
                refresh_backward(h);
                for (int u = 0; u < h->n_variables; u++) {
                    int64_t       m = h->count[h->variable[u]];
                    const double *a = h->result[SS_OPERAND(SS_ADJOINT, h->variable[u])];
                    for (int64_t i = 0; i < m; i++) h->second[t][u][lane * m + i] += weight * a[i];
                }
            }
            memcpy(x, kept, (size_t)n * sizeof *x);
        }
        ss_free(ss_test_context, kept);
    }
}

/* ---- What a call should give ---- */

/* out[i] += sum_j J[i][j] y[j] */
static void add_transposed(const harness *h, int v, const double *y, double *out)
{
    int64_t m = h->count[h->result_role], n = h->count[h->variable[v]];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++) out[i] += h->jacobian[v][i * m + j] * (y != NULL ? y[j] : 1.0);
}

static void add_fisher(const harness *h, const double *x_t, double *out)
{
    int64_t       m = h->count[SS_ROW_LOSS], n = h->count[SS_X], classes = class_count(h);
    const double *J = h->jacobian[0], *weight = h->host[SS_ROW_WEIGHT];
    for (int64_t row = 0; row < m; row++) {
        double g_dot = 0.0, c = 0.0;
        if (weight[row] == 0.0) continue;
        for (int64_t i = 0; i < n; i++) g_dot += J[i * m + row] * x_t[i];
        for (int64_t j = 0; j < classes; j++) {
            double q = h->row->attributes.class_ids ? (j == (int64_t)h->host[SS_TARGET][row])
                                                    : h->host[SS_TARGET][row * classes + j];
            q = q * (1.0 - h->row->attributes.smoothing) + h->row->attributes.smoothing / (double)classes;
            c += q * (h->row->class_weights ? h->host[SS_CLASS_WEIGHT][j] : 1.0);
        }
        for (int64_t i = row * classes; i < (row + 1) * classes; i++) {
            double g = J[i * m + row];
            if (h->row->attributes.loss == SS_LOSS_CROSS_ENTROPY)
                out[i] += g * g_dot / (weight[row] * c);
            else
                out[i] += g * g * x_t[i] / weight[row];
        }
    }
}

/* Expected output `id` of a call, all lanes, without the base of an accumulated one. */
static void expect(const harness *h, const request *r, int id, double *out)
{
    int     role = role_of(id), own = 0;
    int64_t n = h->count[role], m = h->count[h->result_role], lanes = is_laned(r, id) ? r->how.lanes : 1;
    memset(out, 0, (size_t)(lanes * n) * sizeof *out);
    for (int v = 0; v < h->n_variables; v++)
        if (h->variable[v] == role) own = v;
    for (int64_t lane = 0; lane < lanes; lane++) {
        double *o = out + lane * n;
        if (r->sweep == SS_FORWARD) {
            memcpy(o, h->host[role], (size_t)n * sizeof *o);
        } else if (r->sweep == SS_BACKWARD) {
            const double *y_a = h->host[SS_OPERAND(SS_ADJOINT, SS_Y)] + lane * m;
            if (h->is_loss)
                add_transposed(h, own, NULL, o);
            else if (r->have & SS_BIT(SS_ADJOINT, SS_Y))
                add_transposed(h, own, y_a, o);
        } else if (r->sweep == SS_TANGENT_FORWARD) {
            for (int v = 0; v < h->n_variables; v++) {
                int           var = h->variable[v];
                const double *x_t = h->host[SS_OPERAND(SS_TANGENT, var)] + lane * h->count[var];
                for (int64_t i = 0; i < h->count[var] && (r->have & SS_BIT(SS_TANGENT, var)); i++)
                    for (int64_t j = 0; j < m; j++) o[j] += h->jacobian[v][i * m + j] * x_t[i];
            }
        } else if (r->fisher) {
            if (r->have & SS_BIT(SS_TANGENT, SS_X))
                add_fisher(h, h->host[SS_OPERAND(SS_TANGENT, SS_X)] + lane * n, o);
        } else {
            if (!h->is_loss && (r->have & SS_BIT(SS_ADJOINT_TANGENT, SS_Y)))
                add_transposed(h, own, h->host[SS_OPERAND(SS_ADJOINT_TANGENT, SS_Y)] + lane * m, o);
            for (int t = 0; t < h->n_variables; t++)
                if ((r->have & SS_BIT(SS_TANGENT, h->variable[t])) &&
                    (h->is_loss || (r->have & SS_BIT(SS_ADJOINT, SS_Y))))
                    for (int64_t i = 0; i < n; i++) o[i] += h->second[t][own][lane * n + i];
        }
    }
}

static void compare(harness *h, const request *r)
{
    ss_real real = r->reference ? SS_FLOAT64 : h->backend->real;
    double  tolerance = real == SS_FLOAT64 ? 1e-9 : 5e-5;
    for (int id = 0; id < SS_OPERAND_COUNT; id++) {
        if (!(r->want >> id & 1)) continue;
        int     role = role_of(id);
        int64_t count = h->count[role] * (is_laned(r, id) ? r->how.lanes : 1);
        bool    based = r->accumulate && role != SS_SAVED && role != SS_ROW_LOSS;
        double *expected = new_array(count), scale = 1.0, worst = 0.0;
        expect(h, r, id, expected);
        for (int64_t i = 0; i < count; i++) {
            double e = expected[i] + (based ? h->base[id][i] : 0.0);
            double d = fabs(h->result[id][i] - e);
            scale = fmax(scale, fabs(e));
            worst = d <= worst ? worst : d; /* a NaN wins */
        }
        if (!(worst <= tolerance * scale))
            report(
                h,
                "%s %s sweep %d operand %d: off by %.3g (scale %.3g); have %llx want %llx lanes %lld gap %d "
                "accumulate %d fisher %d",
                h->backend->name, ss_real_name(real), (int)r->sweep, id, worst, scale,
                (unsigned long long)r->have, (unsigned long long)r->want, (long long)r->how.lanes, r->how.gap,
                r->accumulate, r->fisher);
        ss_free(ss_test_context, expected);
    }
}

/* ---- All combinations ---- */

/* Every operand that needs names must change some output. */
static void check_needs_is_tight(harness *h, const request *asked)
{
    request r = *asked;
    ss_mask reads = h->row->op->needs(&h->node, r.sweep, r.have, r.want);
    double *before[SS_OPERAND_COUNT] = { NULL };
    r.reference = true;
    r.accumulate = false;
    r.how = (layout){ .lanes = 1 };
    run(h, &r);
    for (int id = 0; id < SS_OPERAND_COUNT; id++)
        if (r.want >> id & 1) {
            before[id] = new_array(h->count[role_of(id)]);
            memcpy(before[id], h->result[id], (size_t)h->count[role_of(id)] * sizeof(double));
        }
    for (int id = 0; id < SS_OPERAND_COUNT; id++) {
        int64_t n = h->count[role_of(id)];
        bool    changed = false;
        if (!(reads >> id & 1) || (h->row->weak >> id & 1) || n == 0) continue;
        double *kept = new_array(n);
        memcpy(kept, h->host[id], (size_t)n * sizeof *kept);
        for (int64_t i = 0; i < n; i++)
            h->host[id][i] = is_integer(h, role_of(id)) ? 1.0 - kept[i] : -1.37 * kept[i] + 0.21;
        run(h, &r);
        for (int out = 0; out < SS_OPERAND_COUNT; out++)
            for (int64_t i = 0; before[out] != NULL && i < h->count[role_of(out)]; i++)
                if (!(fabs(h->result[out][i] - before[out][i]) < 1e-9)) changed = true;
        if (!changed)
            report(h,
                   "needs of sweep %d names operand %d (derivative %d role %d), which changes nothing; have "
                   "%llx "
                   "want %llx",
                   (int)r.sweep, id, derivative_of(id), role_of(id), (unsigned long long)r.have,
                   (unsigned long long)r.want);
        memcpy(h->host[id], kept, (size_t)n * sizeof *kept);
        ss_free(ss_test_context, kept);
    }
    for (int id = 0; id < SS_OPERAND_COUNT; id++) ss_free(ss_test_context, before[id]);
}

static void check_combination(harness *h, request r)
{
    static const int64_t lanes[] = { 1, MOST_LANES };
    r.poison = true;
    for (int l = 0; l < 2; l++)
        for (int gap = 0; gap < 3; gap++)
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                if (l == 1 && (r.sweep == SS_FORWARD || (h->is_loss && r.sweep == SS_BACKWARD))) continue;
                r.how = (layout){ .lanes = lanes[l], .gap = gap };
                r.laned_plain = r.sweep == SS_BACKWARD && l == 1;
                r.accumulate = accumulate == 1;
                run(h, &r);
                compare(h, &r);
            }
    r.laned_plain = false;
    /* The curvature's mask covers the Fisher operator as well: it is tight only there. */
    if (r.sweep == SS_CURVATURE && !r.fisher) return;
    if (h->backend->real == SS_FLOAT64 && strcmp(h->backend->name, "cpu") == 0) check_needs_is_tight(h, &r);
}

/* Operands that may be present or absent in a sweep, and outputs that may be wanted. */
static void list_bits(const harness *h, ss_sweep sweep, ss_mask *have, int *n_have, ss_mask *want,
                      int *n_want)
{
    static const ss_derivative out_of[SS_SWEEP_COUNT] = { [SS_BACKWARD] = SS_ADJOINT,
                                                          [SS_TANGENT_BACKWARD] = SS_ADJOINT_TANGENT,
                                                          [SS_CURVATURE] = SS_ADJOINT_TANGENT };
    bool                       ahead = sweep == SS_FORWARD || sweep == SS_TANGENT_FORWARD;
    *n_have = *n_want = 0;
    if (sweep != SS_FORWARD && sweep != SS_BACKWARD)
        for (int v = 0; v < h->n_variables; v++) have[(*n_have)++] = SS_BIT(SS_TANGENT, h->variable[v]);
    if (!ahead && !h->is_loss) have[(*n_have)++] = SS_BIT(SS_ADJOINT, SS_Y);
    if (sweep == SS_TANGENT_BACKWARD && !h->is_loss) have[(*n_have)++] = SS_BIT(SS_ADJOINT_TANGENT, SS_Y);
    if (ahead) want[(*n_want)++] = SS_BIT(sweep == SS_FORWARD ? SS_PRIMAL : SS_TANGENT, h->result_role);
    if (sweep == SS_FORWARD && h->count[SS_SAVED] > 0) want[(*n_want)++] = SS_BIT(SS_PRIMAL, SS_SAVED);
    for (int v = 0; v < h->n_variables && !ahead; v++)
        want[(*n_want)++] = SS_BIT(out_of[sweep], h->variable[v]);
}

static void check_sweep(harness *h, ss_sweep sweep, bool fisher)
{
    ss_mask have[8], want[8];
    int     n_have, n_want;
    list_bits(h, sweep, have, &n_have, want, &n_want);
    for (int present = 0; present < 1 << n_have; present++)
        for (int wanted = 1; wanted < 1 << n_want; wanted++) {
            request r = { .sweep = sweep, .fisher = fisher };
            for (int i = 0; i < n_have; i++) r.have |= present >> i & 1 ? have[i] : 0;
            for (int i = 0; i < n_want; i++) r.want |= wanted >> i & 1 ? want[i] : 0;
            check_combination(h, r);
        }
}

/* <u, J v> = <J' u, v> over all variables together, and <s, R{J'u}(t)> = <t, R{J'u}(s)>: in float64 these
 * hold to rounding, far closer than differences can tell. */
static void check_identities(harness *h)
{
    int64_t m = h->count[h->result_role];
    double  left = 0.0, right = 0.0, size = 1.0;
    request r = { .sweep = SS_TANGENT_FORWARD, .how = { .lanes = 2 }, .reference = true };
    for (int v = 0; v < h->n_variables; v++) r.have |= SS_BIT(SS_TANGENT, h->variable[v]);
    r.want = SS_BIT(SS_TANGENT, h->result_role);
    run(h, &r);
    for (int64_t j = 0; j < m; j++)
        left += h->result[SS_OPERAND(SS_TANGENT, h->result_role)][j] *
                (h->is_loss ? 1.0 : h->host[SS_OPERAND(SS_ADJOINT, SS_Y)][j]);
    refresh_backward(h);
    for (int v = 0; v < h->n_variables; v++)
        for (int64_t i = 0; i < h->count[h->variable[v]]; i++) {
            double term = h->result[SS_OPERAND(SS_ADJOINT, h->variable[v])][i] *
                          h->host[SS_OPERAND(SS_TANGENT, h->variable[v])][i];
            right += term;
            size += fabs(term);
        }
    if (!(fabs(left - right) <= 1e-13 * size))
        report(h, "<u, J v> = %.17g but <J'u, v> = %.17g", left, right);

    r.sweep = SS_TANGENT_BACKWARD;
    r.want = 0;
    if (!h->is_loss) r.have |= SS_BIT(SS_ADJOINT, SS_Y);
    for (int v = 0; v < h->n_variables; v++) r.want |= SS_BIT(SS_ADJOINT_TANGENT, h->variable[v]);
    run(h, &r);
    left = right = 0.0;
    size = 1.0;
    for (int v = 0; v < h->n_variables; v++) {
        int64_t       n = h->count[h->variable[v]];
        const double *k = h->result[SS_OPERAND(SS_ADJOINT_TANGENT, h->variable[v])];
        const double *t = h->host[SS_OPERAND(SS_TANGENT, h->variable[v])];
        for (int64_t i = 0; i < n; i++) {
            left += t[n + i] * k[i];
            right += t[i] * k[n + i];
            size += fabs(t[n + i] * k[i]);
        }
    }
    if (!(fabs(left - right) <= 1e-13 * size))
        report(h, "second derivatives are not symmetric: %.17g, %.17g", left, right);
}

int ss_op_case_check(const ss_op_case *row, const char *backend, ss_real real, int64_t *calls)
{
    harness h;
    set_up(&h, row, backend, real);
    find_jacobian(&h);
    find_second(&h);
    refresh_forward(&h);
    check_sweep(&h, SS_FORWARD, false);
    check_sweep(&h, SS_BACKWARD, false);
    check_sweep(&h, SS_TANGENT_FORWARD, false);
    check_sweep(&h, SS_TANGENT_BACKWARD, false);
    if (row->op->curvature != NULL) {
        check_sweep(&h, SS_CURVATURE, false);
        check_sweep(&h, SS_CURVATURE, true);
    }
    check_identities(&h);
    if (calls != NULL) *calls = h.calls;
    tear_down(&h);
    return h.deviations;
}
