/* The operator harness, about heads: their Gauss-Newton and Fisher operators from dense formulas, which
 * differences of the head's own sweeps cannot tell (op_harness.h). Every row of logits by itself, nothing in
 * chunks. */
#include "support/op_harness_private.h"

#include "support/support.h"

#include <math.h>
#include <string.h>

bool op_is_head(const harness *h)
{
    return h->row->op->kind == SS_OP_LOSS && h->row->n_parameters > 0;
}

/* The extents of a head, and one row at work. */
typedef struct dense {
    const harness *h;
    int64_t        rows, classes, width;
    double        *p, *a, *slope, *u_t, *u_at; /* [classes] probabilities, weighted targets, cap'(u), ... */
} dense;

static const double *host(const dense *d, ss_derivative derivative, int role, int64_t lane)
{
    int id = SS_OPERAND(derivative, role);
    return d->h->host[id] + lane * d->h->count[role];
}

static double dot(const dense *d, const double *x, const double *y)
{
    double sum = 0.0;
    for (int64_t k = 0; k < d->width; k++) sum += x[k] * y[k];
    return sum;
}

/* p, a and cap'(u) of a row. */
static void set_row(dense *d, int64_t row)
{
    const harness *h = d->h;
    const double  *x = host(d, SS_PRIMAL, SS_X, 0) + row * d->width, *w = host(d, SS_PRIMAL, SS_W, 0);
    double         c = h->row->attributes.cap, sum = 0.0, smoothing = h->row->attributes.smoothing;
    for (int64_t j = 0; j < d->classes; j++) {
        double u = dot(d, x, w + j * d->width);
        if (h->count[SS_W + 1] > 0) u += host(d, SS_PRIMAL, SS_W + 1, 0)[j];
        d->slope[j] = c > 0.0 ? 1.0 - tanh(u / c) * tanh(u / c) : 1.0;
        sum += d->p[j] = exp(c > 0.0 ? c * tanh(u / c) : u);
        double q = h->row->attributes.class_ids ? (j == (int64_t)h->host[SS_TARGET][row])
                                                : h->host[SS_TARGET][row * d->classes + j];
        d->a[j] = (q * (1.0 - smoothing) + smoothing / (double)d->classes) *
                  (h->row->class_weights ? h->host[SS_CLASS_WEIGHT][j] : 1.0);
    }
    for (int64_t j = 0; j < d->classes; j++) d->p[j] /= sum;
}

/* u_t of a row, of the tangents present. */
static void set_tangent(dense *d, ss_mask have, int64_t lane, int64_t row)
{
    const double *x = host(d, SS_PRIMAL, SS_X, 0) + row * d->width, *w = host(d, SS_PRIMAL, SS_W, 0);
    const double *x_t = host(d, SS_TANGENT, SS_X, lane) + row * d->width;
    const double *w_t = host(d, SS_TANGENT, SS_W, lane);
    for (int64_t j = 0; j < d->classes; j++) {
        d->u_t[j] = 0.0;
        if (have & SS_BIT(SS_TANGENT, SS_X)) d->u_t[j] += dot(d, x_t, w + j * d->width);
        if (have & SS_BIT(SS_TANGENT, SS_W)) d->u_t[j] += dot(d, x, w_t + j * d->width);
        if (have & SS_BIT(SS_TANGENT, SS_W + 1)) d->u_t[j] += host(d, SS_TANGENT, SS_W + 1, lane)[j];
    }
}

/* u_at = cap' M cap' u_t with M the weighted second derivative of the loss, or its Fisher matrix. */
static void set_curvature(dense *d, bool fisher, int64_t row)
{
    double weight = d->h->host[SS_ROW_WEIGHT][row], total = 0.0, s = 0.0;
    for (int64_t j = 0; j < d->classes; j++) total += d->a[j];
    for (int64_t j = 0; j < d->classes; j++)
        s += (fisher ? total * d->p[j] - d->a[j] : d->p[j]) * d->slope[j] * d->u_t[j];
    for (int64_t j = 0; j < d->classes; j++) {
        double z_t = d->slope[j] * d->u_t[j];
        double z_at = fisher ? (total * d->p[j] - d->a[j]) * s / total : total * d->p[j] * (z_t - s);
        d->u_at[j] = weight * d->slope[j] * z_at;
    }
}

void op_head_curvature(const harness *h, ss_mask have, bool fisher, int64_t lane, int role, double factor,
                       double *out)
{
    dense d = { .h = h, .rows = op_row_count(h), .classes = op_class_count(h) };
    d.width = h->count[SS_X] / d.rows;
    double *memory = op_new_array(5 * d.classes);
    d.p = memory;
    d.a = memory + d.classes;
    d.slope = memory + 2 * d.classes;
    d.u_t = memory + 3 * d.classes;
    d.u_at = memory + 4 * d.classes;
    for (int64_t row = 0; row < d.rows; row++) {
        const double *x = host(&d, SS_PRIMAL, SS_X, 0) + row * d.width, *w = host(&d, SS_PRIMAL, SS_W, 0);
        if (h->host[SS_ROW_WEIGHT][row] == 0.0) continue;
        set_row(&d, row);
        set_tangent(&d, have, lane, row);
        set_curvature(&d, fisher, row);
        for (int64_t j = 0; j < d.classes; j++) {
            double u = factor * d.u_at[j];
            if (role == SS_W + 1) out[j] += u;
            for (int64_t k = 0; k < d.width && role == SS_X; k++)
                out[row * d.width + k] += u * w[j * d.width + k];
            for (int64_t k = 0; k < d.width && role == SS_W; k++) out[j * d.width + k] += u * x[k];
        }
    }
    ss_free(ss_test_context, memory);
}
