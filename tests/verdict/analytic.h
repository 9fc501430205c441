/* Analytic subjects for the verdict's suites: functions of a few variables with known derivatives behind the
 * verdict's own interface, in the padded layout, optionally with noise injected into the working operator.
 *
 * A function is computed by the host; its vectors lie on the device of SS_TEST_DEVICE, as those of an
 * objective do, so that all that the verdict does with them happens there. */
#ifndef SS_TESTS_VERDICT_ANALYTIC_H
#define SS_TESTS_VERDICT_ANALYTIC_H

#include "support/support.h"
#include "verdict/analysis.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

typedef struct analytic analytic;

/* Packed vectors. gradient and product may be asked for at any x. */
typedef struct analytic_function {
    double (*value)(const analytic *f, const double *x);
    void (*gradient)(const analytic *f, const double *x, double *g);
    void (*product)(const analytic *f, const double *x, const double *v, double *hv);
} analytic_function;

struct analytic {
    const analytic_function *function;
    int64_t                  n;
    double                  *theta;      /* [n] */
    double                   scale;      /* zero_output_loss */
    double                   lower;      /* lower_bound */
    double                   noise;      /* of the working operator, relative to ||Hx||; 0 = W is C */
    uint64_t                 calls;      /* products so far: the noise is fresh in each */
    int64_t                  samples;    /* stated; every sample is the same */
    const double            *parameters; /* of the function */
    const double            *tangents;   /* [n, rank] row-major gauge tangents, or NULL */
    ss_segment               segments[2];
    ss_layout                layout;
    ss_backend              *backend;
    ss_subject               subject;
};

/* From and to the device. */
static ss_status analytic_pack(const analytic *f, const void *padded, double *packed)
{
    ss_status status = SS_OK;
    int64_t   bytes = f->layout.padded * (int64_t)sizeof(double);
    double   *host = calloc((size_t)f->layout.padded, sizeof *host);
    SS_TRY(f->backend->class->download(f->backend, NULL, host, padded, bytes));
    SS_TRY(f->backend->class->queue_synchronize(f->backend, NULL));
    for (int k = 0; k < 2; k++)
        memcpy(packed + f->segments[k].canonical, host + f->segments[k].offset,
               (size_t)f->segments[k].length * sizeof *packed);
fail:
    free(host);
    return status;
}

static ss_status analytic_unpack(const analytic *f, const double *packed, void *padded)
{
    ss_status status = SS_OK;
    int64_t   bytes = f->layout.padded * (int64_t)sizeof(double);
    double   *host = calloc((size_t)f->layout.padded, sizeof *host);
    for (int k = 0; k < 2; k++)
        memcpy(host + f->segments[k].offset, packed + f->segments[k].canonical,
               (size_t)f->segments[k].length * sizeof *packed);
    SS_TRY(f->backend->class->upload(f->backend, NULL, padded, host, bytes));
    SS_TRY(f->backend->class->queue_synchronize(f->backend, NULL));
fail:
    free(host);
    return status;
}

/* x[n] := theta + step d */
static ss_status analytic_point(const analytic *f, const ss_point *point, double *x)
{
    ss_status status = SS_OK;
    double   *d = calloc((size_t)f->n, sizeof *d);
    memcpy(x, f->theta, (size_t)f->n * sizeof *x);
    if (point != NULL && point->direction != NULL) {
        SS_TRY(analytic_pack(f, point->direction, d));
        for (int64_t i = 0; i < f->n; i++) x[i] += point->step * d[i];
    }
fail:
    free(d);
    return status;
}

static void analytic_value(const analytic *f, const double *x, ss_loss_value *value)
{
    value->data = value->loss = f->function->value(f, x);
    value->decay = 0.0;
    value->rounding = 0x1p-53 * fmax(fabs(value->loss), f->scale);
}

static ss_status analytic_loss(void *self, const ss_samples *samples, const ss_point *point,
                               ss_loss_value *value)
{
    const analytic *f = self;
    double         *x = calloc((size_t)f->n, sizeof *x);
    ss_status       status = analytic_point(f, point, x);
    (void)samples;
    if (status == SS_OK) analytic_value(f, x, value);
    free(x);
    return status;
}

static ss_status analytic_gradient(void *self, const ss_samples *samples, const ss_point *point,
                                   void *gradient, ss_loss_value *value)
{
    const analytic *f = self;
    ss_status       status = SS_OK;
    double         *x = calloc((size_t)f->n, sizeof *x), *g = calloc((size_t)f->n, sizeof *g);
    (void)samples;
    SS_TRY(analytic_point(f, point, x));
    f->function->gradient(f, x, g);
    SS_TRY(analytic_unpack(f, g, gradient));
    if (value != NULL) analytic_value(f, x, value);
fail:
    free(x);
    free(g);
    return status;
}

static ss_status analytic_apply(analytic *f, int count, const void *x, int64_t ldx, void *y, int64_t ldy,
                                double noise)
{
    ss_status status = SS_OK;
    double   *v = calloc((size_t)f->n, sizeof *v), *hv = calloc((size_t)f->n, sizeof *hv);
    for (int j = 0; j < count; j++) {
        SS_TRY(analytic_pack(f, (const double *)x + j * ldx, v));
        memset(hv, 0, (size_t)f->n * sizeof *hv);
        f->function->product(f, f->theta, v, hv);
        double norm = 0.0;
        for (int64_t i = 0; i < f->n; i++) norm += hv[i] * hv[i];
        if (noise > 0.0) {
            f->calls++;
            for (int64_t i = 0; i < f->n; i++) {
                hv[i] += noise * sqrt(norm / (double)f->n) *
                         ss_random_normal(99, SS_STREAM_TEST | f->calls << 32, (uint64_t)i);
            }
        }
        SS_TRY(analytic_unpack(f, hv, (double *)y + j * ldy));
    }
fail:
    free(v);
    free(hv);
    return status;
}

static ss_status analytic_apply_working(void *self, int count, const void *x, int64_t ldx, void *y,
                                        int64_t ldy, struct ss_queue *queue)
{
    analytic *f = self;
    (void)queue;
    return analytic_apply(f, count, x, ldx, y, ldy, f->noise);
}

static ss_status analytic_apply_confirming(void *self, int count, const void *x, int64_t ldx, void *y,
                                           int64_t ldy, struct ss_queue *queue)
{
    (void)queue;
    return analytic_apply(self, count, x, ldx, y, ldy, 0.0);
}

static ss_status analytic_open(void *self, ss_operator_role role, ss_product product,
                               const ss_samples *samples, ss_operator *op)
{
    analytic *f = self;
    (void)product;
    (void)samples;
    *op = (ss_operator){ .context = f,
                         .apply = role == SS_WORKING ? analytic_apply_working : analytic_apply_confirming,
                         .layout = &f->layout,
                         .n_global = f->n,
                         .real = SS_FLOAT64,
                         .backend = f->backend,
                         .lanes = 1 };
    return SS_OK;
}

static ss_status analytic_targets(void *self, const ss_samples *samples, int64_t *targets)
{
    *targets = samples != NULL ? samples->count : ((analytic *)self)->samples;
    return SS_OK;
}

static ss_status analytic_groups(void *self, int32_t groups, uint64_t seed, int64_t *index, int64_t *start)
{
    int64_t samples = ((analytic *)self)->samples;
    (void)seed;
    for (int64_t i = 0; i < samples; i++) index[i] = i;
    for (int32_t g = 0; g <= groups; g++) start[g] = samples * g / groups;
    return SS_OK;
}

static ss_status analytic_gauge_multiply(void *self, const double *c, double *v)
{
    const analytic *f = self;
    int64_t         rank = f->subject.gauge.rank;
    for (int64_t i = 0; i < f->n; i++) {
        v[i] = 0.0;
        for (int64_t j = 0; j < rank; j++) v[i] += f->tangents[i * rank + j] * c[j];
    }
    return SS_OK;
}

static ss_status analytic_gauge_transpose(void *self, const double *v, double *c)
{
    const analytic *f = self;
    int64_t         rank = f->subject.gauge.rank;
    for (int64_t j = 0; j < rank; j++) {
        c[j] = 0.0;
        for (int64_t i = 0; i < f->n; i++) c[j] += f->tangents[i * rank + j] * v[i];
    }
    return SS_OK;
}

static const ss_subject_class analytic_class = {
    .loss = analytic_loss,
    .gradient = analytic_gradient,
    .open = analytic_open,
    .targets = analytic_targets,
    .groups = analytic_groups,
    .gauge_multiply = analytic_gauge_multiply,
    .gauge_transpose = analytic_gauge_transpose,
};

/* Two segments with padding between and behind them. */
static void analytic_begin(analytic *f, const analytic_function *function, int64_t n, const double *theta)
{
    double  norm = 0.0;
    int64_t first = n / 2;
    *f = (analytic){ .function = function, .n = n, .scale = 1.0, .samples = 1 };
    f->theta = calloc((size_t)n, sizeof *f->theta);
    if (theta != NULL) memcpy(f->theta, theta, (size_t)n * sizeof *theta);
    for (int64_t i = 0; i < n; i++) norm += f->theta[i] * f->theta[i];
    int64_t offset = ss_round_up(first, SS_LAYOUT_ALIGNMENT);
    f->segments[0] = (ss_segment){ 0, 0, first };
    f->segments[1] = (ss_segment){ offset, first, n - first };
    f->layout = (ss_layout){ n, offset + ss_round_up(n - first, SS_LAYOUT_ALIGNMENT), 2, f->segments };
    ss_test_require(ss_backend_open(ss_test_context, ss_test_device(), SS_FLOAT64, &f->backend));
    f->subject = (ss_subject){ .class = &analytic_class,
                               .self = f,
                               .layout = &f->layout,
                               .backend = f->backend,
                               .backend64 = f->backend };
    f->subject.facts = (ss_objective_facts){ .n = n, .theta_norm = sqrt(norm) };
}

/* Runs; the caller changes members of f and options before. */
static void analytic_run(analytic *f, const ss_analyze_options *options, ss_verdict *verdict)
{
    f->subject.distinct = f->noise > 0.0;
    f->subject.facts.samples = f->subject.facts.targets = f->samples;
    f->subject.facts.zero_output_loss = f->scale;
    f->subject.facts.lower_bound = f->lower;
    ss_test_require(ss_analyze_subject(ss_test_context, &f->subject, options, verdict));
    cr_assert(verdict->complete);
}

static void analytic_end(analytic *f)
{
    ss_backend_close(f->backend);
    free(f->theta);
}

/* ---- The functions ---- */

/* 1 + g'x + x'Ax / 2 with A = Q diag(lambda) Q, Q = I - 2 q q'/q'q, q = (1, ..., 1); parameters: lambda[n],
 * g[n]. The eigenvectors are the columns of Q. */
static void reflect(int64_t n, const double *x, double *y)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    for (int64_t i = 0; i < n; i++) y[i] = x[i] - 2.0 * sum / (double)n;
}

static void quadratic_product(const analytic *f, const double *x, const double *v, double *hv)
{
    double *t = calloc((size_t)f->n, sizeof *t);
    (void)x;
    reflect(f->n, v, t);
    for (int64_t i = 0; i < f->n; i++) t[i] *= f->parameters[i];
    reflect(f->n, t, hv);
    free(t);
}

static void quadratic_gradient(const analytic *f, const double *x, double *g)
{
    quadratic_product(f, x, x, g);
    for (int64_t i = 0; i < f->n; i++) g[i] += f->parameters[f->n + i];
}

static double quadratic_value(const analytic *f, const double *x)
{
    double *h = calloc((size_t)f->n, sizeof *h), value = 1.0;
    quadratic_product(f, x, x, h);
    for (int64_t i = 0; i < f->n; i++) value += (f->parameters[f->n + i] + 0.5 * h[i]) * x[i];
    free(h);
    return value;
}

static const analytic_function quadratic = { quadratic_value, quadratic_gradient, quadratic_product };

/* (1 - prod w)^2 */
static double product_without(const analytic *f, const double *x, int64_t i, int64_t j)
{
    double p = 1.0;
    for (int64_t k = 0; k < f->n; k++) p *= k == i || k == j ? 1.0 : x[k];
    return p;
}

static double chain_value(const analytic *f, const double *x)
{
    double r = 1.0 - product_without(f, x, -1, -1);
    return r * r;
}

static void chain_gradient(const analytic *f, const double *x, double *g)
{
    double r = 1.0 - product_without(f, x, -1, -1);
    for (int64_t i = 0; i < f->n; i++) g[i] = -2.0 * r * product_without(f, x, i, -1);
}

static void chain_product(const analytic *f, const double *x, const double *v, double *hv)
{
    double r = 1.0 - product_without(f, x, -1, -1), along = 0.0;
    for (int64_t i = 0; i < f->n; i++) along += product_without(f, x, i, -1) * v[i];
    for (int64_t i = 0; i < f->n; i++) {
        hv[i] = 2.0 * product_without(f, x, i, -1) * along;
        for (int64_t j = 0; j < f->n; j++) {
            if (i != j) hv[i] -= 2.0 * r * product_without(f, x, i, j) * v[j];
        }
    }
}

static const analytic_function chain = { chain_value, chain_gradient, chain_product };

/* 1 + sum_i c_i (x_i)^(p_i) + parameters for a valley: 1 + sum c_i x_i^p_i + b (x_1 - x_0^2)^2 / 2.
 * parameters: b, then c_i, p_i in turn. */
static double powers_value(const analytic *f, const double *x)
{
    double value = 1.0, valley = f->n > 1 ? x[1] - x[0] * x[0] : 0.0;
    for (int64_t i = 0; i < f->n; i++)
        value += f->parameters[1 + 2 * i] * pow(x[i], f->parameters[2 + 2 * i]);
    return value + 0.5 * f->parameters[0] * valley * valley;
}

static void powers_gradient(const analytic *f, const double *x, double *g)
{
    for (int64_t i = 0; i < f->n; i++) {
        double p = f->parameters[2 + 2 * i];
        g[i] = f->parameters[1 + 2 * i] * p * pow(x[i], p - 1.0);
    }
    if (f->n < 2) return;
    double valley = f->parameters[0] * (x[1] - x[0] * x[0]);
    g[0] -= 2.0 * x[0] * valley;
    g[1] += valley;
}

static void powers_product(const analytic *f, const double *x, const double *v, double *hv)
{
    for (int64_t i = 0; i < f->n; i++) {
        double p = f->parameters[2 + 2 * i];
        hv[i] = f->parameters[1 + 2 * i] * p * (p - 1.0) * pow(x[i], p - 2.0) * v[i];
    }
    if (f->n < 2) return;
    double b = f->parameters[0], valley = b * (x[1] - x[0] * x[0]), along = v[1] - 2.0 * x[0] * v[0];
    hv[0] += -2.0 * valley * v[0] - 2.0 * x[0] * b * along;
    hv[1] += b * along;
}

static const analytic_function powers = { powers_value, powers_gradient, powers_product };

/* The monkey saddle 1 + x^3 - 3 x y^2 */
static double monkey_value(const analytic *f, const double *x)
{
    (void)f;
    return 1.0 + x[0] * x[0] * x[0] - 3.0 * x[0] * x[1] * x[1];
}

static void monkey_gradient(const analytic *f, const double *x, double *g)
{
    (void)f;
    g[0] = 3.0 * x[0] * x[0] - 3.0 * x[1] * x[1];
    g[1] = -6.0 * x[0] * x[1];
}

static void monkey_product(const analytic *f, const double *x, const double *v, double *hv)
{
    (void)f;
    hv[0] = 6.0 * x[0] * v[0] - 6.0 * x[1] * v[1];
    hv[1] = -6.0 * x[1] * v[0] - 6.0 * x[0] * v[1];
}

static const analytic_function monkey = { monkey_value, monkey_gradient, monkey_product };

#endif
