/* The loss along a line or over a plane through the weights, beside its second-order model. */
#include "saddlescope/slice.h"

#include "base/philox.h"
#include "verdict/model.h"
#include "verdict/vector.h"

#include <math.h>

#define POINTS_ON_A_LINE 81
#define POINTS_ON_A_SIDE 31
#define RADII_SHOWN      3.0  /* automatic range in valid radii */
#define TOWARDS_MARGIN   0.25 /* shown beyond both ends */
#define PARALLEL         1e-8 /* what is left of a direction counts as nothing */
#define RADIUS_STEPS     20   /* the valid radius is looked for from 2^-20 of the longest step on */

typedef struct slicer {
    ss_context             *context;
    ss_objective           *objective; /* borrowed */
    const ss_slice_options *o;
    ss_slice_result        *r;
    ss_operator             op; /* Hessian in float64 */
    ss_vectors              gradient, direction[2], product, point;
    double                  theta_norm;
    int64_t                 total; /* losses of the grid and the path */
} slicer;

static const char *const kind_names[] = {
#define SS_SLICE_NAME(name, text) text,
    SS_SLICE_TABLE(SS_SLICE_NAME)
#undef SS_SLICE_NAME
};

const char *ss_slice_kind_name(ss_slice_kind kind)
{
    return kind_names[kind];
}

void ss_slice_options_init(ss_slice_options *options)
{
    *options = (ss_slice_options){ .dimensions = 1,
                                   .direction = { { .kind = SS_SLICE_LOW, .number = 1 } },
                                   .max_products = 300 };
}

static ss_status tell(slicer *q, const char *what, int64_t done, int64_t total)
{
    return q->o->monitor != NULL ? q->o->monitor(q->o->monitor_user, what, done, total) : SS_OK;
}

/* ---- Directions -----------------------------------------------------------------------------------------
 */

static ss_status watch_search(void *user, ss_eigen_result *state, ss_eigen_action *action)
{
    slicer *q = user;
    (void)action;
    return tell(q, "products", state->products, q->o->max_products);
}

/* One search serves both axes. */
static ss_status find_eigenvectors(slicer *q)
{
    ss_status        status = SS_OK;
    ss_eigen_options options;
    ss_eigen_result *found = NULL;
    int64_t          low = 0, high = 0, n = q->r->n;
    for (int i = 0; i < q->o->dimensions; i++) {
        const ss_slice_direction *d = &q->o->direction[i];
        if (d->kind != SS_SLICE_LOW && d->kind != SS_SLICE_HIGH) continue;
        if (d->number < 1 || d->number > n)
            SS_FAIL(q->context, SS_ERROR_USAGE, "eigenvector %s:%lld of %lld parameters",
                    ss_slice_kind_name(d->kind), (long long)d->number, (long long)n);
        if (d->kind == SS_SLICE_LOW) low = ss_max64(low, d->number);
        if (d->kind == SS_SLICE_HIGH) high = ss_max64(high, d->number);
    }
    if (low + high == 0) return SS_OK;
    ss_eigen_options_pairs(&options, low, high);
    options.rtol_low = options.rtol_high = 1e-4;
    options.max_products = q->o->max_products;
    options.memory = q->o->memory;
    options.seed = q->o->seed;
    options.method = SS_EIGEN_BASIS;
    options.monitor = watch_search;
    options.monitor_user = q;
    SS_TRY(ss_eigen_solve(&q->op, &options, &found));
    for (int i = 0; i < q->o->dimensions; i++) {
        const ss_slice_direction *d = &q->o->direction[i];
        if (d->kind != SS_SLICE_LOW && d->kind != SS_SLICE_HIGH) continue;
        if (d->number > found->size)
            SS_FAIL(q->context, SS_ERROR_USAGE, "eigenvector %s:%lld needs more than %lld products",
                    ss_slice_kind_name(d->kind), (long long)d->number, (long long)found->products);
        int64_t        index = d->kind == SS_SLICE_LOW ? d->number - 1 : found->size - d->number;
        const ss_ritz *ritz = &found->ritz[index];
        SS_TRY(ss_eigen_vector(found, index, q->direction[i].data));
        q->r->axis[i].eigenvalue = ritz->value;
        q->r->axis[i].residual = ritz->true_residual >= 0 ? ritz->true_residual : ritz->residual;
    }
fail:
    ss_eigen_result_destroy(found);
    return status;
}

/* The other kinds; eigenvectors are there already. */
static ss_status make_direction(slicer *q, int i)
{
    ss_status                 status = SS_OK;
    const ss_slice_direction *d = &q->o->direction[i];
    ss_vectors               *u = &q->direction[i];
    switch (d->kind) {
    case SS_SLICE_GRADIENT: SS_TRY(ss_vectors_copy(&q->gradient, 0, u, 0)); break;
    case SS_SLICE_RANDOM:
        SS_TRY(ss_vectors_random_unit(u, q->op.layout, (uint64_t)d->number, SS_STREAM_SLICE));
        break;
    case SS_SLICE_VECTOR:
    case SS_SLICE_TOWARDS: SS_TRY(ss_operator_unpack(&q->op, d->packed, u->data)); break;
    case SS_SLICE_LOW:
    case SS_SLICE_HIGH:
    case SS_SLICE_KINDS: break;
    }
fail:
    return status;
}

/* Orthogonal to the first, unit length but for TOWARDS, whose unit is the way to its end. */
static ss_status scale_direction(slicer *q, int i)
{
    ss_status      status = SS_OK;
    ss_slice_axis *a = &q->r->axis[i];
    ss_vectors    *u = &q->direction[i];
    double         before = 0.0, norm = 0.0, overlap = 0.0;
    SS_TRY(ss_vectors_norm(u, &before));
    if (!(before > 0.0) || !isfinite(before))
        SS_FAIL(q->context, SS_ERROR_USAGE,
                "direction %d (%s) has length %g: there is nothing to see along it", i + 1,
                ss_slice_kind_name(a->kind), before);
    norm = before;
    for (int pass = 0; pass < 2 && i == 1; pass++) { /* twice is enough */
        double first = q->r->axis[0].length;
        SS_TRY(ss_vectors_dot(&q->direction[0], u, &overlap));
        SS_TRY(ss_vectors_add(-overlap / (first * first), &q->direction[0], 1.0, u));
        SS_TRY(ss_vectors_norm(u, &norm));
    }
    if (norm <= PARALLEL * before)
        SS_FAIL(q->context, SS_ERROR_USAGE, "the two directions (%s, %s) are parallel",
                ss_slice_kind_name(q->r->axis[0].kind), ss_slice_kind_name(a->kind));
    a->length = a->kind == SS_SLICE_TOWARDS ? norm : 1.0;
    SS_TRY(ss_vectors_scale(a->length / norm, u));
fail:
    return status;
}

/* Slopes and curvatures of the model. */
static ss_status measure(slicer *q)
{
    ss_status status = SS_OK;
    int64_t   padded = q->op.layout->padded;
    for (int i = 0; i < q->o->dimensions; i++) {
        ss_slice_axis *a = &q->r->axis[i];
        SS_TRY(ss_vectors_dot(&q->gradient, &q->direction[i], &a->slope));
        SS_TRY(ss_operator_apply(&q->op, 1, q->direction[i].data, padded, q->product.data, padded));
        SS_TRY(ss_vectors_dot(&q->direction[i], &q->product, &a->curvature));
        if (i == 1) SS_TRY(ss_vectors_dot(&q->direction[0], &q->product, &q->r->mixed));
    }
fail:
    return status;
}

/* ---- Losses ---------------------------------------------------------------------------------------------
 */

static double model_at(const ss_slice_result *r, double s, double t)
{
    const ss_slice_axis *u = &r->axis[0], *w = &r->axis[1];
    double               value = r->loss + s * u->slope + 0.5 * s * s * u->curvature;
    if (r->dimensions == 2) value += t * w->slope + s * t * r->mixed + 0.5 * t * t * w->curvature;
    return value;
}

/* L at the weights plus what `point` holds. A loss that overflows is infinite, which is no failure. */
static ss_status loss_of_point(slicer *q, ss_loss_value *value)
{
    ss_point  point = { 1.0, q->point.data };
    ss_status status = ss_objective_loss(q->objective, SS_FLOAT64, NULL, &point, value, NULL);
    q->r->evaluations++;
    if (status == SS_ERROR_NUMERIC) {
        ss_context_clear_message(q->context);
        *value = (ss_loss_value){ .loss = INFINITY };
        status = SS_OK;
    }
    if (status == SS_OK && ss_context_interrupted(q->context))
        status = ss_fail(q->context, SS_ERROR_INTERRUPTED, "stopped by a signal after %lld losses",
                         (long long)q->r->evaluations);
    return status;
}

static ss_status loss_at(slicer *q, double s, double t, ss_loss_value *value)
{
    ss_status status = SS_OK;
    SS_TRY(ss_vectors_add(s, &q->direction[0], 0.0, &q->point));
    if (q->o->dimensions == 2) SS_TRY(ss_vectors_add(t, &q->direction[1], 1.0, &q->point));
    status = loss_of_point(q, value);
fail:
    return status;
}

/* r_valid of VERDICT 4 along axis i, in units of its t: the longest step, doubling, up to which both sides
 * follow the model to a tenth. */
static ss_status find_radius(slicer *q, int i, double longest)
{
    ss_status      status = SS_OK;
    ss_slice_axis *a = &q->r->axis[i];
    a->valid_radius = 0.0;
    for (double t = ldexp(longest, -RADIUS_STEPS); t <= longest; t *= 2.0) {
        bool valid = true;
        for (int sign = -1; sign <= 1 && valid; sign += 2) {
            ss_loss_value value;
            double        s = i == 0 ? sign * t : 0.0, other = i == 1 ? sign * t : 0.0;
            SS_TRY(loss_at(q, s, other, &value));
            valid = ss_model_holds(value.loss - q->r->loss, sign * t * a->slope, 0.5 * t * t * a->curvature,
                                   fmax(q->r->rounding, value.rounding));
        }
        if (!valid) break;
        a->valid_radius = t;
    }
fail:
    return status;
}

/* Range and points of both axes. */
static ss_status make_axes(slicer *q)
{
    ss_status        status = SS_OK;
    ss_slice_result *r = q->r;
    r->size[0] = r->size[1] = 1;
    for (int i = 0; i < r->dimensions; i++) {
        ss_slice_axis *a = &r->axis[i];
        double         longest = fmax(q->theta_norm, 1.0) / a->length;
        int64_t        points = q->o->points > 0     ? q->o->points
                                : r->dimensions == 1 ? POINTS_ON_A_LINE
                                                     : POINTS_ON_A_SIDE;
        SS_TRY(find_radius(q, i, longest));
        if (a->kind == SS_SLICE_TOWARDS) {
            a->low = -TOWARDS_MARGIN;
            a->high = 1.0 + TOWARDS_MARGIN;
        } else {
            /* Agreement within rounding says nothing about how far to look. */
            double t = a->valid_radius, change = fmax(fabs(t * a->slope), 0.5 * t * t * fabs(a->curvature));
            double seen = 0.1 * change > 10.0 * r->rounding ? fmin(RADII_SHOWN * t, 2.0 * longest) : longest;
            a->high = q->o->range > 0.0 ? q->o->range : seen;
            a->low = -a->high;
        }
        /* The weights are a point of the grid, and so is the end of TOWARDS. */
        r->size[i] = a->kind == SS_SLICE_TOWARDS ? 6 * ss_max64(1, points / 6) + 1 : points | 1;
        SS_TRY(SS_NEW_ARRAY(q->context, r->size[i], &r->t[i]));
        for (int64_t k = 0; k < r->size[i]; k++) {
            double share = (double)k / (double)(r->size[i] - 1);
            r->t[i][k] = (1.0 - share) * a->low + share * a->high;
        }
    }
    r->count = r->size[0] * r->size[1];
    q->total = r->count + q->o->n_path;
    SS_TRY(SS_NEW_ARRAY(q->context, r->count, &r->losses));
    SS_TRY(SS_NEW_ARRAY(q->context, r->count, &r->model));
    for (int64_t k = 0; k < r->count; k++) r->losses[k] = r->model[k] = NAN;
fail:
    return status;
}

static ss_status evaluate(slicer *q)
{
    ss_status        status = SS_OK;
    ss_slice_result *r = q->r;
    ss_loss_value    value;
    r->lowest = INFINITY;
    for (int64_t j = 0; j < r->size[1]; j++)
        for (int64_t i = 0; i < r->size[0]; i++) {
            int64_t k = j * r->size[0] + i;
            double  s = r->t[0][i], t = r->dimensions == 2 ? r->t[1][j] : 0.0;
            SS_TRY(loss_at(q, s, t, &value));
            r->losses[k] = value.loss;
            r->model[k] = model_at(r, s, t);
            if (value.loss < r->lowest) {
                r->lowest = value.loss;
                r->lowest_at[0] = s;
                r->lowest_at[1] = t;
            }
            SS_TRY(tell(q, "losses", k + 1, q->total));
        }
fail:
    return status;
}

/* Points of a path: their place in the slice and what separates them from it. */
static ss_status project_path(slicer *q)
{
    ss_status        status = SS_OK;
    ss_slice_result *r = q->r;
    ss_loss_value    value;
    if (q->o->n_path == 0) return SS_OK;
    SS_TRY(SS_NEW_ARRAY(q->context, q->o->n_path, &r->path));
    for (int64_t k = 0; k < q->o->n_path; k++) {
        ss_slice_point *p = &r->path[k];
        SS_TRY(ss_operator_unpack(&q->op, q->o->path + k * r->n, q->point.data));
        SS_TRY(loss_of_point(q, &value));
        p->loss = value.loss;
        for (int i = 0; i < r->dimensions; i++) {
            double length = r->axis[i].length;
            SS_TRY(ss_vectors_dot(&q->direction[i], &q->point, &p->t[i]));
            p->t[i] /= length * length;
            SS_TRY(ss_vectors_add(-p->t[i], &q->direction[i], 1.0, &q->point));
        }
        SS_TRY(ss_vectors_norm(&q->point, &p->distance));
        r->n_path = k + 1;
        SS_TRY(tell(q, "losses", r->count + k + 1, q->total));
    }
fail:
    return status;
}

/* ---- The whole ------------------------------------------------------------------------------------------
 */

static ss_status start(slicer *q)
{
    ss_status          status = SS_OK;
    ss_backend        *backend = ss_objective_backend(q->objective, SS_FLOAT64);
    const ss_layout   *layout = ss_objective_layout(q->objective);
    ss_objective_facts facts;
    ss_loss_value      value;
    SS_TRY(ss_objective_facts_get(q->objective, &facts));
    q->theta_norm = facts.theta_norm;
    q->r->n = facts.n;
    SS_TRY(ss_objective_operator(q->objective, SS_PRODUCT_HESSIAN, SS_FLOAT64, NULL, NULL, &q->op));
    SS_TRY(ss_vectors_create(backend, layout, 1, &q->gradient));
    SS_TRY(ss_vectors_create(backend, layout, 1, &q->product));
    SS_TRY(ss_vectors_create(backend, layout, 1, &q->point));
    for (int i = 0; i < q->o->dimensions; i++)
        SS_TRY(ss_vectors_create(backend, layout, 1, &q->direction[i]));
    SS_TRY(ss_objective_gradient(q->objective, SS_FLOAT64, NULL, NULL, q->gradient.data, &value));
    SS_TRY(ss_vectors_norm(&q->gradient, &q->r->gradient_norm));
    q->r->loss = value.loss;
    q->r->rounding = value.rounding;
fail:
    return status;
}

static void finish(slicer *q)
{
    q->r->products = q->op.products;
    ss_operator_destroy(&q->op);
    ss_vectors_release(&q->gradient);
    ss_vectors_release(&q->product);
    ss_vectors_release(&q->point);
    for (int i = 0; i < 2; i++) ss_vectors_release(&q->direction[i]);
}

ss_status ss_slice(ss_context *context, ss_objective *objective, const ss_slice_options *options,
                   ss_slice_result *result)
{
    ss_status status = SS_OK;
    double    begin = ss_seconds();
    slicer    q = { .context = context, .objective = objective, .o = options, .r = result };
    *result = (ss_slice_result){ .context = context, .dimensions = options->dimensions };
    for (int i = 0; i < 2; i++)
        result->axis[i] = (ss_slice_axis){ .kind = options->direction[i].kind,
                                           .number = options->direction[i].number,
                                           .eigenvalue = NAN,
                                           .residual = NAN };
    if (options->dimensions < 1 || options->dimensions > 2 || options->points < 0 || !(options->range >= 0.0))
        SS_FAIL(context, SS_ERROR_USAGE,
                "a slice has 1 or 2 dimensions, points and a range that are not negative");
    SS_TRY(start(&q));
    SS_TRY(find_eigenvectors(&q));
    for (int i = 0; i < options->dimensions; i++) {
        SS_TRY(make_direction(&q, i));
        SS_TRY(scale_direction(&q, i));
    }
    SS_TRY(measure(&q));
    SS_TRY(make_axes(&q));
    SS_TRY(evaluate(&q));
    SS_TRY(project_path(&q));
    result->complete = true;
fail:
    finish(&q);
    result->seconds = ss_seconds() - begin;
    return status;
}

void ss_slice_result_destroy(ss_slice_result *r)
{
    if (r->context == NULL) return;
    ss_free(r->context, r->t[0]);
    ss_free(r->context, r->t[1]);
    ss_free(r->context, r->losses);
    ss_free(r->context, r->model);
    ss_free(r->context, r->path);
    *r = (ss_slice_result){ 0 };
}
