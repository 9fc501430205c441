/* VERDICT 2: is there slope left?
 *
 * The measure is the decrease that a damped Newton step promises, d = g'(|H| + tau_d I)^-1 g / 2, which is in
 * units of the loss and so can be compared with it. Exact on the dense path; otherwise in the Krylov space
 * started at g, of which the explicit Rayleigh matrix V'HV = S Theta S' gives
 *     d_k = ||g||^2 / 2 sum_i s_1i^2 / (|theta_i| + tau_d). */
#include "network/graph.h"
#include "spectrum/eigen.h"
#include "verdict/analysis.h"

#include <math.h>

#define KRYLOV_PRODUCTS 40
#define KRYLOV_SMALLEST 6 /* vectors below which the Krylov space is not worth its products */
#define LATER_PRODUCTS                                                                                       \
    20.0 /* kept back for the witness and what is left here, at most a third of what is there */
#define KRYLOV_WINDOW 5

double ss_analysis_length(const ss_analysis *a)
{
    return fmax(a->subject->facts.theta_norm, 1.0);
}

static ss_status check_expected_loss(const ss_analysis *a, double loss)
{
    double expected = a->options->expect_loss;
    double rounding = 1e-12 * a->subject->facts.zero_output_loss; /* a relative error of 0 means nothing */
    double allowed = fmax(a->options->expect_tolerance * fabs(expected), rounding);
    if (isnan(expected) || fabs(loss - expected) <= allowed) return SS_OK;
    return ss_fail(a->context, SS_ERROR_INPUT,
                   "the loss is %.9g, expected %.9g to a relative %.1g: network, data and objective do not "
                   "belong together as stated",
                   loss, expected, a->options->expect_tolerance);
}

ss_status ss_verdict_begin(ss_analysis *a)
{
    ss_status                 status = SS_OK;
    ss_verdict_stationarity  *s = &a->verdict->stationarity;
    const ss_objective_facts *facts = &a->subject->facts;
    ss_loss_value             value = { 0 };
    SS_TRY(ss_vectors_create(a->subject->backend64, a->subject->layout, 1, &a->direction));
    SS_TRY(ss_analysis_gradient(a, NULL, NULL, a->direction.data, &value));
    SS_TRY(ss_vectors_norm(&a->direction, &s->gradient_norm));
    if (!isfinite(value.loss) || !isfinite(s->gradient_norm)) {
        SS_FAIL(a->context, SS_ERROR_NUMERIC, "the loss (%g) or its gradient (norm %g) is not finite",
                value.loss, s->gradient_norm);
    }
    s->loss = value.loss;
    s->loss_data = value.data;
    s->loss_rounding = value.rounding;
    s->loss_zero_output = facts->zero_output_loss;
    s->loss_lower = facts->lower_bound;
    s->theta_norm = facts->theta_norm;
    s->gradient_rms = s->gradient_norm / sqrt((double)a->verdict->n);
    s->critical = a->options->critical;
    s->by_gradient = a->options->critical_gradient > 0.0;
    SS_TRY(check_expected_loss(a, value.loss));
    if (s->gradient_norm > 0.0) SS_TRY(ss_vectors_scale(1.0 / s->gradient_norm, &a->direction));
    ss_analysis_report(a);
fail:
    return status;
}

/* s, what is critical, and whether the loss has reached its lower bound. Losses are float64 whatever W is, so
 * the bound is judged by float64 rounding of L and by what rounding of theta itself does to it. */
static void set_limits(ss_analysis *a)
{
    ss_verdict_stationarity *s = &a->verdict->stationarity;
    double                   lambda = a->verdict->operator_error.lambda_abs;
    double                   u = ss_real_unit_roundoff(a->verdict->operator_error.working);
    double                   moved = u * s->theta_norm * u * s->theta_norm * lambda;
    double                   above = s->loss - s->loss_lower;
    s->damping = fmax(a->verdict->operator_error.tau, 1e-3 * lambda);
    s->rounding = fmax(64.0 * u * s->loss_zero_output, moved);
    s->limit = s->by_gradient ? a->options->critical_gradient : fmax(s->critical * above, s->rounding);
    double rounding = fmax(64.0 * SS_UNIT_ROUNDOFF64 * s->loss_zero_output, 10.0 * s->loss_rounding);
    s->at_lower_bound = above <= fmax(rounding, moved);
}

static void conclude(ss_verdict_stationarity *s)
{
    s->decrease_relative = s->loss != 0.0 ? s->decrease / fabs(s->loss) : (double)NAN;
    s->is_critical =
        s->by_gradient ? s->gradient_norm <= s->limit : s->decrease_settled && s->decrease <= s->limit;
}

/* ---- Dense path: exact ---- */
static ss_status exact_decrease(ss_analysis *a)
{
    ss_status                status = SS_OK;
    ss_verdict_stationarity *s = &a->verdict->stationarity;
    const ss_dense_result   *dense = a->dense;
    const ss_layout         *layout = a->subject->layout;
    double                  *g = NULL, *packed = NULL, *step = NULL;
    double                   decrease = 0.0, flat = 0.0, bend = 0.0;
    SS_TRY(SS_NEW_ARRAY(a->context, layout->padded, &g));
    SS_TRY(SS_NEW_ARRAY(a->context, dense->n, &packed));
    SS_TRY(SS_NEW_ARRAY(a->context, dense->n, &step));
    SS_TRY(ss_vectors_get(&a->direction, g));
    ss_layout_pack(layout, SS_FLOAT64, g, packed);
    for (int64_t i = 0; i < dense->n; i++) packed[i] *= s->gradient_norm;
    a->newton_predicted = 0.0;
    for (int64_t i = 0; i < dense->n; i++) {
        const double *x = dense->vectors + i * dense->n;
        double        c = 0.0, lambda = dense->values[i];
        for (int64_t j = 0; j < dense->n; j++) c += x[j] * packed[j];
        double p = -c / (fabs(lambda) + s->damping);
        for (int64_t j = 0; j < dense->n; j++) step[j] += p * x[j];
        decrease -= 0.5 * c * p;
        a->newton_predicted -= c * p + 0.5 * lambda * p * p;
        flat += lambda * lambda * c * c;
        bend += lambda * c * c;
    }
    s->decrease = decrease;
    s->decrease_settled = true;
    if (s->gradient_norm > 0.0) {
        s->gradient_flat_ratio = sqrt(flat) / (a->verdict->operator_error.lambda_abs * s->gradient_norm);
        a->gradient_curvature = bend / (s->gradient_norm * s->gradient_norm);
        ss_layout_unpack(layout, SS_FLOAT64, step, g);
        SS_TRY(ss_vectors_create(a->subject->backend64, layout, 1, &a->newton));
        SS_TRY(ss_vectors_set(&a->newton, g));
        a->have_newton = true;
    }
fail:
    ss_free(a->context, g);
    ss_free(a->context, packed);
    ss_free(a->context, step);
    return status;
}

/* ---- Krylov space started at g ---- */
typedef struct krylov {
    ss_analysis *a;
    double       history[KRYLOV_PRODUCTS + 1]; /* d after k products */
    bool         settled;
} krylov;

static double krylov_decrease(const ss_verdict_stationarity *s, const ss_eigen_result *state)
{
    double sum = 0.0;
    for (int64_t i = 0; i < state->size; i++) {
        double first = state->ritz_vectors[i * state->size];
        sum += first * first / (fabs(state->ritz[i].value) + s->damping);
    }
    return 0.5 * s->gradient_norm * s->gradient_norm * sum;
}

static ss_status krylov_monitor(void *user, ss_eigen_result *state, ss_eigen_action *action)
{
    krylov                  *k = user;
    ss_verdict_stationarity *s = &k->a->verdict->stationarity;
    int64_t                  made = state->products < KRYLOV_PRODUCTS ? state->products : KRYLOV_PRODUCTS;
    ss_priced_account(k->a, &k->a->working);
    double d = krylov_decrease(s, state);
    k->history[made] = d;
    s->decrease_products = (int)state->products;
    s->decrease = d;
    if (made > KRYLOV_WINDOW && fabs(d - k->history[made - KRYLOV_WINDOW]) < 0.1 * d) k->settled = true;
    if (state->invariant > 0 || state->complete) k->settled = true;
    if (k->settled || ss_analysis_out_of_time(k->a)) *action = SS_EIGEN_STOP;
    return SS_OK;
}

/* ||H q_1||^2 = sum over the Krylov space of (theta_i s_1i)^2 after two products or more: H q_1 lies in it.
 */
static void krylov_first(ss_analysis *a, const ss_eigen_result *state)
{
    ss_verdict_stationarity *s = &a->verdict->stationarity;
    double                   square = 0.0;
    for (int64_t i = 0; i < state->size; i++) {
        double first = state->ritz_vectors[i * state->size];
        square += state->ritz[i].value * state->ritz[i].value * first * first;
    }
    if (state->size >= 1) a->gradient_curvature = state->rayleigh[0];
    if (state->first.k >= 1 && !state->first.invariant && state->size == 1) {
        square += state->first.beta[0] * state->first.beta[0];
    }
    s->gradient_flat_ratio = sqrt(square) / a->verdict->operator_error.lambda_abs;
}

/* p = -||g|| V S (|Theta| + tau_d)^-1 s_1 */
static ss_status krylov_newton(ss_analysis *a, ss_eigen_result *state)
{
    ss_status                status = SS_OK;
    ss_verdict_stationarity *s = &a->verdict->stationarity;
    double                  *c = NULL;
    ss_vectors               x = { 0 };
    SS_TRY(SS_NEW_ARRAY(a->context, state->size, &c));
    SS_TRY(ss_vectors_create(a->subject->backend, a->subject->layout, 1, &x));
    SS_TRY(ss_vectors_create(a->subject->backend64, a->subject->layout, 1, &a->newton));
    a->newton_predicted = 0.0;
    for (int64_t i = 0; i < state->size; i++) {
        const double *row = state->ritz_vectors + i * state->size;
        double        lambda = state->ritz[i].value;
        double        along = s->gradient_norm * row[0], p = -along / (fabs(lambda) + s->damping);
        for (int64_t j = 0; j < state->size; j++) c[j] += p * row[j];
        a->newton_predicted -= along * p + 0.5 * lambda * p * p;
    }
    SS_TRY(ss_eigen_combine(state, c, x.data));
    SS_TRY(ss_vectors_copy(&x, 0, &a->newton, 0));
    a->have_newton = true;
fail:
    ss_free(a->context, c);
    ss_vectors_release(&x);
    return status;
}

static ss_status krylov_search(ss_analysis *a, int64_t products)
{
    ss_status        status = SS_OK;
    ss_priced       *w = NULL;
    ss_vectors       start = { 0 };
    ss_eigen_result *state = NULL;
    ss_eigen_options options;
    krylov           k = { .a = a };
    SS_TRY(ss_vectors_create(a->subject->backend, a->subject->layout, 1, &start));
    SS_TRY(ss_vectors_copy(&a->direction, 0, &start, 0));
    SS_TRY(ss_analysis_working(a, &w));
    /* As many products as there is room for vectors beside the step and a combination of them: after a
     * restart there would be no step to try. */
    int64_t memory = ss_analysis_room(a, 1, 1);
    if (ss_eigen_fit(&w->op, memory) < ss_min64(a->verdict->n, KRYLOV_SMALLEST) && a->eigen != NULL &&
        a->have_lowest) {
        ss_eigen_forget_vectors(a->eigen);
        a->forgotten = true;
        memory = ss_analysis_room(a, 1, 1);
    }
    int64_t room = ss_min64(KRYLOV_PRODUCTS, ss_min64(a->verdict->n, ss_eigen_fit(&w->op, memory)));
    if (room < ss_min64(a->verdict->n, KRYLOV_SMALLEST)) {
        ss_log(a->context, SS_LOG_WARNING,
               "too little memory for the Krylov space of the gradient: the promise of "
               "a Newton step is not computed");
        a->verdict->stationarity.decrease = 0.0;
        goto fail;
    }
    ss_analysis_memory_more(a, 1, room + 1 + SS_EIGEN_SCRATCH + 1);
    ss_eigen_options_init(&options);
    options.low = options.high = 0;
    options.certify_low = options.certify_high = false;
    options.resolution = 0.0;
    options.delta = a->verdict->operator_error.delta;
    options.noise = a->probe_noise;
    options.max_products = ss_min64(products, room);
    options.method = SS_EIGEN_BASIS;
    options.basis = room;
    options.memory = memory;
    options.seed = a->options->seed;
    options.start = start.data;
    options.monitor = krylov_monitor;
    options.monitor_user = &k;
    status = ss_eigen_solve(&w->op, &options, &state);
    ss_priced_account(a, w);
    SS_TRY(status);
    a->verdict->stationarity.decrease_settled = k.settled;
    krylov_first(a, state);
    if (state->restarts == 0) SS_TRY(krylov_newton(a, state));
fail:
    ss_eigen_result_destroy(state);
    ss_vectors_release(&start);
    return status;
}

/* d settled without a product: only ||H g|| is still wanted, one product. */
static ss_status flat_ratio(ss_analysis *a)
{
    ss_status                status = SS_OK;
    ss_verdict_stationarity *s = &a->verdict->stationarity;
    ss_vectors               hg = { 0 };
    double                   norm = 0.0;
    if (!(s->gradient_norm > 0.0) || ss_analysis_remaining(a) < 1.0) return SS_OK;
    SS_TRY(ss_vectors_create(a->subject->backend64, a->subject->layout, 1, &hg));
    SS_TRY(ss_analysis_quotient(a, a->direction.data, &a->gradient_curvature, hg.data));
    SS_TRY(ss_vectors_norm(&hg, &norm));
    s->gradient_flat_ratio = norm / a->verdict->operator_error.lambda_abs;
fail:
    ss_vectors_release(&hg);
    return status;
}

ss_status ss_verdict_stationarity_finish(ss_analysis *a)
{
    ss_status                status = SS_OK;
    ss_verdict_stationarity *s = &a->verdict->stationarity;
    set_limits(a);
    double  bound = s->gradient_norm == 0.0 ? 0.0 : s->gradient_norm * s->gradient_norm / (2.0 * s->damping);
    double  later = fmin(LATER_PRODUCTS, ss_analysis_remaining(a) / 3.0);
    int64_t products = (int64_t)fmin(floor(ss_analysis_remaining(a) - later), KRYLOV_PRODUCTS);
    if (a->dense != NULL) {
        SS_TRY(exact_decrease(a));
    } else if (bound <= s->limit && !s->by_gradient) {
        s->decrease = bound;
        s->decrease_settled = true;
        s->decrease_from_bound = true;
        SS_TRY(flat_ratio(a));
    } else if (s->gradient_norm > 0.0 && products > 0 && !ss_analysis_out_of_time(a)) {
        SS_TRY(krylov_search(a, products));
    } else {
        s->decrease = 0.0; /* nothing is known from below; bound from above when g = 0 */
        s->decrease_settled = s->gradient_norm == 0.0;
        a->verdict->cost.out_of_products |= products <= 0;
    }
    conclude(s);
    ss_analysis_report(a);
fail:
    return status;
}
