/* analyze: the order of work. Each question has its own file; here they are asked in turn, the price of the
 * last ones is limited, and whatever is known so far stays in the verdict when the run is stopped. */
#include "verdict/analysis.h"

#include <math.h>

#define SHARE_OF_USED  0.25 /* section 4 and the probe together, of what has been used so far ... */
#define SHARE_AT_LEAST 10.0 /* ... and at least this */
/* A network on which the whole probe costs next to nothing is probed in full: so many flops are always
 * allowed, at 12 n samples to a product. A fixed number, so that equal runs stay equal. */
#define FREE_FLOPS    1e10
#define FREE_PRODUCTS 2000.0

static ss_status check_options(ss_context *context, const ss_analyze_options *o)
{
    if (!(o->confidence > 0.0 && o->confidence < 1.0)) {
        return ss_fail(context, SS_ERROR_USAGE, "--confidence must lie between 0 and 1, found %g",
                       o->confidence);
    }
    if (!(o->resolution >= 0.0 && o->resolution < 1.0)) {
        return ss_fail(context, SS_ERROR_USAGE, "--resolution must lie between 0 and 1, found %g",
                       o->resolution);
    }
    if (!(o->tau >= 0.0) || !isfinite(o->tau)) {
        return ss_fail(context, SS_ERROR_USAGE, "--tau must be a curvature of at least 0, found %g", o->tau);
    }
    if (!(o->critical > 0.0) || !(o->critical_gradient >= 0.0)) {
        return ss_fail(context, SS_ERROR_USAGE, "--critical must be positive, found %g",
                       o->critical > 0.0 ? o->critical_gradient : o->critical);
    }
    if (o->max_products < 0 || o->dense_limit < 0 || !(o->time_limit >= 0.0)) {
        return ss_fail(context, SS_ERROR_USAGE,
                       "--max-products, --dense-limit and --time-limit must not be negative");
    }
    return SS_OK;
}

/* Every number NaN, every count -1, until it is determined. */
static void clear(ss_verdict *v, ss_context *context)
{
    const double nan = (double)NAN;
    *v = (ss_verdict){ .context = context };
    v->operator_error.delta_random = v->operator_error.delta_low = v->operator_error.delta_high = nan;
    v->operator_error.lambda_abs = v->operator_error.tau = nan;
    v->stationarity.decrease_relative = v->stationarity.gradient_flat_ratio = nan;
    v->stationarity.decrease = v->stationarity.limit = nan;
    v->stationarity.coherence = v->stationarity.loss_sampling_error = nan;
    ss_verdict_curvature *c = &v->curvature;
    c->lambda_min = c->lambda_max = c->lambda_min_error = c->lambda_max_error = nan;
    c->lower_bound = c->upper_bound = c->gamma = c->resolution = c->resolution_relative = nan;
    ss_verdict_witness *w = &v->witness;
    w->ritz_value = w->quotient = w->error = w->difference = w->slope = w->step = nan;
    w->mean_change = w->change_plus = w->change_minus = w->rounding = nan;
    w->valid_radius = w->crossover = nan;
    const ss_interval  unknown = { -1, -1 };
    ss_verdict_counts *k = &v->counts;
    k->negative_at_least = k->structural = k->gauge = -1;
    k->negative = k->zero = k->positive = k->flat = unknown;
    k->confidence = k->quadrature_width = nan;
    for (int i = 0; i < 2; i++)
        k->positive_share[i] = k->positive_among_signed[i] = k->negative_share[i] = nan;
    ss_verdict_distribution *d = &v->distribution;
    d->found = d->mean = d->deviation = d->student = d->half_width = d->upper_limit = nan;
    v->kinks.share_step = v->kinks.share_valid = v->kinks.region_radius = nan;
    v->rounded.gradient_change = v->rounded.loss_change = nan;
    for (int i = 0; i < SS_DIRECTION_COUNT; i++) {
        ss_left_row *row = &v->left.row[i];
        row->direction = (ss_direction)i;
        row->step = row->decrease = row->predicted = row->share = row->radius = nan;
    }
    v->left.share = v->left.noise = nan;
    for (int i = 0; i < SS_PROBE_RADII; i++) {
        v->flat_probe.radius[i] = v->flat_probe.decrease[i] = v->flat_probe.threshold[i] = nan;
        if (i + 1 < SS_PROBE_RADII) v->flat_probe.exponent[i] = nan;
    }
    v->level_set.lambda_min = v->level_set.lambda_min_error = nan;
    v->cost.needed_products = v->cost.needed_seconds = nan;
    v->flat_directions = v->flat_explained = -1;
}

static void begin(ss_analysis *a)
{
    ss_verdict               *v = a->verdict;
    const ss_objective_facts *facts = &a->subject->facts;
    const ss_analyze_options *o = a->options;
    clear(v, a->context);
    a->began = ss_seconds();
    a->eta = 1.0 - o->confidence;
    a->gradient_curvature = (double)NAN;
    v->n = a->subject->layout->n;
    v->samples = facts->samples;
    v->targets = facts->targets;
    v->counts.n = v->n;
    v->operator_error.product = o->product;
    v->operator_error.working = a->subject->backend->real;
    v->operator_error.tau_given = o->tau > 0.0;
    v->curvature.eta = a->eta;
    v->curvature.n_start = v->n;
    v->cost.budget = o->max_products > 0 ? (double)o->max_products : SS_DEFAULT_PRODUCTS;
    if (o->max_products == 0 && v->n <= o->dense_limit) v->cost.budget += (double)v->n;
    v->rounded.radius = facts->rounding_radius;
    v->kinks.present = facts->kinked;
}

/* Section 4 and the probe: a quarter of what has been used, at least 10, and whatever is nearly free. */
static double allowance(const ss_analysis *a)
{
    double share = fmax(SHARE_OF_USED * ss_analysis_used(a), SHARE_AT_LEAST);
    double flops = 12.0 * (double)a->verdict->n * (double)(a->verdict->samples > 0 ? a->verdict->samples : 1);
    share = fmax(share, fmin(FREE_FLOPS / flops, FREE_PRODUCTS));
    return a->options->max_products > 0 ? fmin(share, ss_analysis_remaining(a)) : share;
}

static ss_status questions(ss_analysis *a)
{
    ss_status  status = SS_OK;
    ss_priced *operators = NULL;
    SS_TRY(ss_verdict_confirming_samples(a));
    SS_TRY(ss_analysis_working(a, &operators)); /* planned, so that it is known what they take */
    SS_TRY(ss_analysis_confirming(a, &operators));
    SS_TRY(ss_analysis_memory_begin(a));
    SS_TRY(ss_verdict_begin(a));
    SS_TRY(ss_verdict_groups(a));
    SS_TRY(ss_verdict_noise_probe(a));
    SS_TRY(ss_verdict_curvature_search(a));
    SS_TRY(ss_verdict_operator_error_finish(a));
    SS_TRY(ss_verdict_stationarity_finish(a));
    SS_TRY(ss_verdict_witness_search(a));
    ss_verdict_curvature_state(a);
    SS_TRY(ss_verdict_counts_finish(a));
    SS_TRY(ss_verdict_kinks_and_rounding(a));
    SS_TRY(ss_verdict_distribution_line(a));
    SS_TRY(ss_verdict_level_set_search(a));
    double until = ss_analysis_used(a) + allowance(a);
    if (a->options->max_products == 0) a->verdict->cost.budget = fmax(a->verdict->cost.budget, until);
    bool probe = ss_verdict_flat_probe_wanted(a) && !ss_analysis_out_of_time(a);
    if (!ss_analysis_out_of_time(a)) {
        SS_TRY(ss_verdict_left_here(a, (until - ss_analysis_used(a)) * (probe ? 0.3 : 1.0)));
    }
    if (probe) SS_TRY(ss_verdict_flat_probe_run(a, until - ss_analysis_used(a)));
fail:
    return status;
}

/* The label from whatever is known; everything else has been answered or not. */
static void conclude(ss_analysis *a)
{
    ss_verdict *v = a->verdict;
    ss_verdict_label(v);
    ss_verdict_strict(v);
    ss_verdict_answer(v);
    v->cost.seconds = ss_seconds() - a->began;
}

static void release(ss_analysis *a)
{
    ss_vectors *vectors[] = { &a->direction, &a->probe_product, &a->live,   &a->lowest,
                              &a->highest,   &a->newton,        &a->witness };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) ss_vectors_release(vectors[i]);
    ss_eigen_result_destroy(a->eigen);
    ss_dense_result_destroy(a->dense);
    ss_priced_close(&a->working);
    ss_priced_close(&a->confirming);
    ss_free(a->context, a->groups.index);
    ss_free(a->context, a->groups.start);
    ss_free(a->context, a->groups.weight);
    ss_free(a->context, a->confirm_index);
}

ss_status ss_analyze_subject(ss_context *context, const ss_subject *subject,
                             const ss_analyze_options *options, ss_verdict *verdict)
{
    ss_status   status = SS_OK;
    ss_analysis a = { .context = context, .subject = subject, .options = options, .verdict = verdict };
    *verdict = (ss_verdict){ .context = context };
    SS_TRY(check_options(context, options));
    begin(&a);
    status = questions(&a);
    if (status == SS_OK || status == SS_ERROR_INTERRUPTED) conclude(&a);
    verdict->complete = status == SS_OK;
fail:
    release(&a);
    return status;
}

ss_status ss_analyze(ss_context *context, ss_objective *objective, const ss_analyze_options *options,
                     ss_verdict *verdict)
{
    ss_status  status = SS_OK;
    ss_subject subject = { 0 };
    *verdict = (ss_verdict){ .context = context };
    SS_TRY(ss_subject_from_objective(context, objective, &subject));
    SS_TRY(ss_analyze_subject(context, &subject, options, verdict));
fail:
    ss_subject_release(context, &subject);
    return status;
}
