/* VERDICT 3: the curvature at a resolution. n <= --dense-limit: the whole spectrum. Otherwise two-sided
 * Lanczos with the Christoffel bound on what it cannot have missed. */
#include "spectrum/eigen.h"
#include "verdict/analysis.h"

#include <math.h>
#include <stdio.h>

#define EARLY_STOP_PRODUCTS 40   /* a saddle is proved by then (DESIGN 7): the search may stop */
#define EARLY_STOP_MARGIN   10.0 /* times tau: W and C cannot disagree about the sign */
#define CONFIRM_PRODUCTS    4.0  /* of a witness at hand: its quotient, twice, and its error */
#define RESERVE_PRODUCTS    60.0 /* kept back for stationarity, witness and what is left here */

/* ---- Eigenpairs of either path ---- */
int64_t ss_analysis_ritz_count(const ss_analysis *a)
{
    return a->dense != NULL ? a->dense->n : a->eigen != NULL ? a->eigen->size : 0;
}

double ss_analysis_ritz_value(const ss_analysis *a, int64_t index)
{
    return a->dense != NULL ? a->dense->values[index] : a->eigen->ritz[index].value;
}

ss_status ss_analysis_ritz_vector(ss_analysis *a, int64_t index, void *x)
{
    ss_status  status = SS_OK;
    ss_vectors own = { 0 }, wide = {
        .backend = a->subject->backend64, .data = x, .padded = a->subject->layout->padded, .count = 1
    };
    double norm = 0.0;
    SS_TRY(ss_vectors_create(a->subject->backend, a->subject->layout, 1, &own));
    if (a->dense != NULL) {
        SS_TRY(ss_dense_vector(a->dense, &a->working.op, index, own.data));
    } else {
        SS_TRY(ss_eigen_vector(a->eigen, index, own.data));
        ss_priced_account(a, &a->working);
    }
    SS_TRY(ss_vectors_copy(&own, 0, &wide, 0));
    SS_TRY(ss_vectors_norm(&wide, &norm));
    if (!(norm > 0.0)) SS_FAIL(a->context, SS_ERROR_INTERNAL, "Ritz vector %lld vanishes", (long long)index);
    SS_TRY(ss_vectors_scale(1.0 / norm, &wide));
fail:
    ss_vectors_release(&own);
    return status;
}

/* ---- Dense path ---- */
static ss_status dense_monitor(void *user, int64_t done, int64_t total)
{
    ss_analysis *a = user;
    ss_priced_account(a, &a->working);
    ss_progress(a->context, "dense Hessian", (double)done, (double)total, "");
    return SS_OK;
}

/* Dense pays n products: taken when n is within --dense-limit, --max-products (where given) and memory. */
static bool dense_fits(const ss_analysis *a, const ss_operator *op)
{
    ss_dense_options options = { .vectors = true, .matrix = true };
    int64_t          n = a->verdict->n;
    if (n > a->options->dense_limit) return false;
    if (a->options->max_products > 0 && (double)n + 10.0 > ss_analysis_remaining(a)) return false;
    return ss_dense_memory(op, &options) < ss_dense_allowed(op, a->options->memory);
}

/* Rows of the matrix that are exactly zero: no data reach them. */
static void dense_structural(ss_analysis *a)
{
    const ss_dense_result *d = a->dense;
    int64_t                zeros = 0;
    for (int64_t i = 0; i < d->n; i++) {
        int64_t j = 0;
        while (j < d->n && d->matrix[i * d->n + j] == 0.0) j++;
        zeros += j == d->n;
    }
    if (zeros == d->n) zeros = 0; /* H vanishes altogether: flat, and nothing tells why */
    a->verdict->counts.structural = zeros;
    a->verdict->curvature.n_start = d->n - zeros;
}

static ss_status dense_search(ss_analysis *a, ss_priced *w)
{
    ss_status             status = SS_OK;
    ss_verdict_curvature *c = &a->verdict->curvature;
    ss_dense_options      options = {
             .vectors = true, .matrix = true, .monitor = dense_monitor, .monitor_user = a
    };
    c->method = SS_METHOD_DENSE;
    status = ss_dense_eigen(&w->op, &options, &a->dense);
    ss_priced_account(a, w);
    SS_TRY(status);
    dense_structural(a);
    c->products = a->dense->products;
    c->n_ritz = a->dense->n;
    SS_TRY(SS_NEW_ARRAY(a->context, c->n_ritz, &c->ritz_value));
    SS_TRY(SS_NEW_ARRAY(a->context, c->n_ritz, &c->ritz_residual));
    for (int64_t i = 0; i < c->n_ritz; i++) c->ritz_value[i] = a->dense->values[i];
    c->lambda_min = a->dense->values[0];
    c->lambda_max = a->dense->values[a->dense->n - 1];
    c->lambda_min_converged = c->lambda_max_converged = true;
fail:
    return status;
}

/* ---- Lanczos ---- */
static void copy_state(ss_analysis *a, const ss_eigen_result *state)
{
    ss_verdict_curvature *c = &a->verdict->curvature;
    int64_t               last = state->size - 1;
    c->method = state->method == SS_EIGEN_THREE_VECTORS ? SS_METHOD_THREE_VECTORS : SS_METHOD_LANCZOS;
    c->estimates = state->estimates;
    c->lambda_min = state->theta_min;
    c->lambda_max = state->theta_max;
    if (last >= 0) {
        c->lambda_min_error = state->ritz[0].residual;
        c->lambda_max_error = state->ritz[last].residual;
        c->lambda_min_converged = state->ritz[0].converged;
        c->lambda_max_converged = state->ritz[last].converged;
    }
    c->lower_bound = state->lower;
    c->upper_bound = state->upper;
    c->gamma = state->gamma;
    c->n_start = state->n_live;
    c->basis = (int)state->basis;
    c->basis_on_host = state->basis_on_host;
    c->restarts = (int)state->restarts;
    c->first_cycle = (int)state->first.k;
    c->continued = (int)(state->first.k - state->first_cycle);
    c->breakdowns = (int)state->breakdowns;
    c->products = state->products;
    ss_analysis_memory_predict(a, state->basis_on_host ? SS_BASIS_HOST_VECTORS : state->basis);
}

/* What the search has cost: its products, those of a resumed run included and those repeated for it not, so
 * that a resumed run spends what an uninterrupted one does. */
static void account_search(ss_analysis *a, const ss_eigen_result *state)
{
    a->working.counted = a->working.op.products - (state->products - a->searched);
    a->searched = state->products;
    ss_priced_account(a, &a->working);
}

static ss_status lanczos_monitor(void *user, ss_eigen_result *state, ss_eigen_action *action)
{
    ss_analysis          *a = user;
    ss_verdict_curvature *c = &a->verdict->curvature;
    char                  remark[96];
    copy_state(a, state);
    ss_verdict_set_error(a);
    account_search(a, state);
    snprintf(remark, sizeof remark, "lambda %.4g .. %.4g, bound %.3g", state->theta_min, state->theta_max,
             state->lower);
    ss_progress(a->context, "Lanczos", (double)state->products,
                ss_analysis_remaining(a) + (double)state->products, remark);
    if (state->products >= EARLY_STOP_PRODUCTS && !state->estimates &&
        state->theta_min < -EARLY_STOP_MARGIN * a->verdict->operator_error.tau &&
        state->theta_max > a->verdict->operator_error.tau) {
        c->stopped_early = true;
        *action = SS_EIGEN_STOP;
    }
    if (ss_analysis_time_is_short(a)) *action = SS_EIGEN_STOP;
    return SS_OK;
}

static void lanczos_options(ss_analysis *a, ss_eigen_options *options)
{
    double budget = ss_analysis_remaining(a);
    double reserve = fmin(RESERVE_PRODUCTS, 0.3 * budget);
    ss_eigen_options_init(options);
    options->certify_high = true; /* met at once by any Ritz value above tau */
    options->resolution = a->options->resolution > 0.0 ? a->options->resolution : 1e-2;
    options->tau = a->options->tau;
    options->eta = a->eta;
    options->delta = a->verdict->operator_error.delta;
    options->noise = a->probe_noise;
    options->lambda_floor = a->verdict->operator_error.lambda_abs; /* its floor, before any Ritz value */
    options->memory = ss_analysis_search_room(a);
    bool replays =
        a->options->three_vectors ||
        (a->options->basis == 0 && a->subject->backend->class->space == SS_MEMORY_HOST &&
         ss_eigen_fit(&a->working.op, options->memory) < ss_min64(a->verdict->n, SS_EIGEN_SMALLEST_BASIS));
    /* With three vectors the lowest Ritz vector takes all products once more. */
    options->max_products = (int64_t)fmax(floor((budget - reserve) / (replays ? 2.0 : 1.0)), 1.0);
    options->method = a->options->three_vectors ? SS_EIGEN_THREE_VECTORS : SS_EIGEN_AUTO;
    options->basis = a->options->basis;
    options->seed = a->options->seed;
    if (a->masked) {
        options->live = a->live.data;
        options->n_live = a->verdict->curvature.n_start;
    }
    options->monitor = lanczos_monitor;
    options->monitor_user = a;
    options->checkpoint = a->options->checkpoint;
    options->checkpoint_every = a->options->checkpoint_every;
    options->resume = a->options->resume;
    options->configuration = a->options->configuration;
}

static ss_status keep_ritz_values(ss_analysis *a)
{
    ss_status             status = SS_OK;
    ss_verdict_curvature *c = &a->verdict->curvature;
    int64_t               size = a->eigen->size;
    SS_TRY(SS_NEW_ARRAY(a->context, size, &c->ritz_value));
    SS_TRY(SS_NEW_ARRAY(a->context, size, &c->ritz_residual));
    for (int64_t i = 0; i < size; i++) {
        c->ritz_value[i] = a->eigen->ritz[i].value;
        c->ritz_residual[i] = a->eigen->ritz[i].residual;
    }
    c->n_ritz = size;
fail:
    return status;
}

static ss_status lanczos_search(ss_analysis *a, ss_priced *w)
{
    ss_status        status = SS_OK, searched;
    ss_eigen_options options;
    lanczos_options(a, &options);
    searched = ss_eigen_solve(&w->op, &options, &a->eigen);
    if (a->eigen == NULL) return searched;
    account_search(a, a->eigen);
    copy_state(a, a->eigen);
    if (a->eigen->reason == SS_EIGEN_BUDGET) a->verdict->cost.out_of_products = true;
    SS_TRY(keep_ritz_values(a));
fail:
    return status != SS_OK ? status : searched;
}

/* The lowest and the highest unit Ritz vector. In three-vector mode each costs a replay of the recurrence:
 * both when half of what is left remains after that, else the lowest alone, when it is a candidate. */
static ss_status keep_extremes(ss_analysis *a)
{
    ss_status status = SS_OK;
    int64_t   count = ss_analysis_ritz_count(a);
    double    left = ss_analysis_remaining(a), replay = 0.0;
    if (count < 1) return SS_OK;
    if (a->verdict->curvature.method == SS_METHOD_THREE_VECTORS) replay = (double)a->eigen->first.k;
    bool both = 4.0 * replay <= left, lowest = both;
    if (replay + CONFIRM_PRODUCTS <= left)
        lowest = lowest || ss_analysis_ritz_value(a, 0) < -a->verdict->operator_error.tau;
    if (lowest) {
        SS_TRY(ss_vectors_create(a->subject->backend64, a->subject->layout, 1, &a->lowest));
        SS_TRY(ss_analysis_ritz_vector(a, 0, a->lowest.data));
        a->have_lowest = true;
    }
    if (both) {
        SS_TRY(ss_vectors_create(a->subject->backend64, a->subject->layout, 1, &a->highest));
        SS_TRY(ss_analysis_ritz_vector(a, count - 1, a->highest.data));
        a->have_highest = true;
    }
fail:
    return status;
}

ss_status ss_verdict_curvature_search(ss_analysis *a)
{
    ss_status  status = SS_OK;
    ss_priced *w = NULL;
    SS_TRY(ss_analysis_working(a, &w));
    SS_TRY(dense_fits(a, &w->op) ? dense_search(a, w) : lanczos_search(a, w));
    SS_TRY(keep_extremes(a));
fail:
    return status;
}

/* ---- The statement, once E, tau and the witness are known ---- */

/* Error bars and bounds with the final E instead of the one that the search knew. */
static void final_bounds(ss_analysis *a)
{
    ss_verdict_curvature *c = &a->verdict->curvature;
    double                error = a->verdict->operator_error.error;
    if (c->method == SS_METHOD_DENSE) {
        c->lambda_min_error = c->lambda_max_error = error;
        c->lower_bound = c->lambda_min - error;
        c->upper_bound = c->lambda_max + error;
    } else if (a->eigen != NULL && a->eigen->size > 0) {
        c->lambda_min_error = a->eigen->ritz[0].residual + error;
        c->lambda_max_error = a->eigen->ritz[a->eigen->size - 1].residual + error;
        c->lower_bound = a->eigen->lower + a->eigen->error - error;
        c->upper_bound = a->eigen->upper - a->eigen->error + error;
    }
}

/* Products that would bring the bound to eps: the a-priori law of the reference (2.2),
 * eps = spread tanh^2(arccosh(1/gamma) / (2k - 1)). */
static double needed_products(const ss_verdict_curvature *c)
{
    double spread = c->lambda_max - c->lambda_min;
    if (!(c->gamma > 0.0) || !(spread > 0.0) || !(c->resolution > 0.0) || c->resolution >= spread) {
        return (double)NAN;
    }
    double k = 0.5 * (acosh(1.0 / c->gamma) / atanh(sqrt(c->resolution / spread)) + 1.0);
    return fmax(ceil(k) - (double)c->first_cycle, 1.0);
}

void ss_verdict_curvature_state(ss_analysis *a)
{
    ss_verdict           *v = a->verdict;
    ss_verdict_curvature *c = &v->curvature;
    double                tau = v->operator_error.tau;
    bool                  dense = c->method == SS_METHOD_DENSE;
    final_bounds(a);
    bool below = c->lambda_min < -tau && !a->refuted, above = c->lambda_max > tau;
    bool bounded_below = dense || c->lower_bound >= -c->resolution;
    bool bounded_above = dense || c->upper_bound <= c->resolution;
    bool measured = c->method != SS_METHOD_NONE;
    c->statement = SS_CURVATURE_UNDECIDED;
    if (v->witness.proved && above) {
        c->statement = SS_CURVATURE_INDEFINITE;
    } else if (v->witness.proved && bounded_above) {
        c->statement = SS_CURVATURE_NO_POSITIVE;
    } else if (measured && !below && !v->witness.proved && bounded_below) {
        c->statement = !above && bounded_above ? SS_CURVATURE_FLAT : SS_CURVATURE_NO_NEGATIVE;
    }
    if (c->statement == SS_CURVATURE_UNDECIDED && c->method == SS_METHOD_LANCZOS) {
        v->cost.needed_products = needed_products(c);
        double made = (double)(v->cost.hessian > 0 ? v->cost.hessian : 1);
        v->cost.needed_seconds = v->cost.needed_products * v->cost.seconds_products / made;
    }
}
