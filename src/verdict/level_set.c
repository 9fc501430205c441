/* Curvature on the level set: the lowest eigenvalue of P H P, P = I - gg'/g'g, orthogonal to g.
 *
 * Off a critical point the Hessian mixes the bending of the slope with the curvature across it; on the level
 * set the slope is gone, and no polishing is needed. Dense path: the smallest root of the secular equation
 * sum_i c_i^2 / (lambda_i - mu) = 0, c = V'g, between the two lowest eigenvalues. Otherwise a few Lanczos
 * steps with P H P from the lowest Ritz vector: its Rayleigh quotients bound the eigenvalue from above. */
#include "network/graph.h"
#include "spectrum/eigen.h"
#include "verdict/analysis.h"

#include <math.h>

#define PRODUCTS 16 /* at most */
#define SMALLEST 6  /* vectors of a basis below which it is left out */

/* sum_i c_i^2 / (lambda_i - mu) */
static double secular(const ss_dense_result *dense, const double *c, double mu)
{
    double sum = 0.0;
    for (int64_t i = 0; i < dense->n; i++) sum += c[i] * c[i] / (dense->values[i] - mu);
    return sum;
}

static ss_status exact(ss_analysis *a)
{
    ss_status              status = SS_OK;
    const ss_layout       *layout = a->subject->layout;
    const ss_dense_result *d = a->dense;
    ss_verdict_level_set  *l = &a->verdict->level_set;
    double                *g = NULL, *packed = NULL, *c = NULL;
    SS_TRY(SS_NEW_ARRAY(a->context, layout->padded, &g));
    SS_TRY(SS_NEW_ARRAY(a->context, d->n, &packed));
    SS_TRY(SS_NEW_ARRAY(a->context, d->n, &c));
    SS_TRY(ss_vectors_get(&a->direction, g));
    ss_layout_pack(layout, SS_FLOAT64, g, packed);
    for (int64_t i = 0; i < d->n; i++)
        for (int64_t j = 0; j < d->n; j++) c[i] += d->vectors[i * d->n + j] * packed[j];
    /* The sum grows from lambda_1 to lambda_2; where it stays negative, lambda_2 itself is orthogonal to g.
     */
    double low = d->values[0], high = d->values[1];
    for (int k = 0; k < 200 && low < high; k++) {
        double middle = 0.5 * (low + high);
        if (middle <= low || middle >= high) break;
        if (secular(d, c, middle) < 0.0)
            low = middle;
        else
            high = middle;
    }
    l->lambda_min = high;
    l->lambda_min_error = a->verdict->operator_error.error;
    l->measured = true;
fail:
    ss_free(a->context, g);
    ss_free(a->context, packed);
    ss_free(a->context, c);
    return status;
}

static ss_status watch(void *user, ss_eigen_result *state, ss_eigen_action *action)
{
    (void)state;
    if (ss_analysis_out_of_time(user)) *action = SS_EIGEN_STOP;
    return SS_OK;
}

/* The lowest Ritz vector without its part along g; a random vector where nothing is left of it. */
static ss_status start_vector(ss_analysis *a, const ss_vectors *g, ss_vectors *x)
{
    ss_status status = SS_OK;
    double    along = 0.0, length = 0.0;
    SS_TRY(ss_vectors_copy(&a->lowest, 0, x, 0));
    for (int tries = 0; tries < 2 && !(length > 1e-3); tries++) {
        if (tries > 0)
            SS_TRY(ss_vectors_random_unit(x, a->subject->layout, a->options->seed,
                                          SS_STREAM_NOISE_PROBE | (uint64_t)2 << 32));
        SS_TRY(ss_vectors_dot(g, x, &along));
        SS_TRY(ss_vectors_add(-along, g, 1.0, x));
        SS_TRY(ss_vectors_norm(x, &length));
    }
fail:
    return status;
}

static ss_status search(ss_analysis *a, int64_t products)
{
    ss_status             status = SS_OK;
    ss_verdict_level_set *l = &a->verdict->level_set;
    ss_priced            *w = NULL;
    ss_operator           op = { 0 };
    ss_vectors            g = { 0 }, x = { 0 };
    ss_eigen_result      *state = NULL;
    ss_eigen_options      options;
    double                before = ss_analysis_used(a);
    SS_TRY(ss_analysis_working(a, &w));
    SS_TRY(ss_vectors_create(a->subject->backend, a->subject->layout, 1, &g));
    SS_TRY(ss_vectors_create(a->subject->backend, a->subject->layout, 1, &x));
    SS_TRY(ss_vectors_copy(&a->direction, 0, &g, 0));
    SS_TRY(start_vector(a, &g, &x));
    SS_TRY(ss_operator_projected(&w->op, g.data, &op));
    ss_eigen_options_pairs(&options, 1, 0);
    options.rtol_low = 1e-2;
    options.true_residuals = false;
    options.delta = a->verdict->operator_error.delta;
    options.method = SS_EIGEN_BASIS;
    options.memory = ss_analysis_room(a, 0, 0);
    options.basis = ss_min64(ss_min64(PRODUCTS + 1, a->verdict->n), ss_eigen_fit(&op, options.memory));
    if (options.basis < ss_min64(SMALLEST, a->verdict->n)) goto fail;
    ss_analysis_memory_more(a, 0, options.basis + 1 + SS_EIGEN_SCRATCH);
    options.max_products = products;
    options.start = x.data;
    options.seed = a->options->seed;
    options.monitor = watch;
    options.monitor_user = a;
    status = ss_eigen_solve(&op, &options, &state);
    ss_priced_account(a, w);
    SS_TRY(status);
    l->lambda_min = state->ritz[0].value;
    l->lambda_min_error = state->ritz[0].residual + a->verdict->operator_error.error;
    l->products = ss_analysis_used(a) - before;
    l->measured = true;
fail:
    ss_eigen_result_destroy(state);
    ss_operator_destroy(&op);
    ss_vectors_release(&g);
    ss_vectors_release(&x);
    return status;
}

/* At a critical point there is no level set worth the name: g is rounding. */
ss_status ss_verdict_level_set_search(ss_analysis *a)
{
    const ss_verdict_stationarity *s = &a->verdict->stationarity;
    double                         left = ss_analysis_remaining(a);
    if (s->is_critical || !(s->gradient_norm > 0.0) || a->verdict->n < 2) return SS_OK;
    if (a->dense != NULL) return exact(a);
    if (!a->have_lowest || left < 8.0 || ss_analysis_out_of_time(a)) return SS_OK;
    return search(a, (int64_t)fmin(PRODUCTS, floor(0.25 * left)));
}
