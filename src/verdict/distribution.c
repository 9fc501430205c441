/* VERDICT 3: "for the distribution they came from". In-sample extremes are biased outwards, so a direction is
 * refined on half of the groups and judged on the other half, whose v'H_i v are independent of it:
 * mean +- t s / sqrt(N/2), Student at 1 - eta with N/2 - 1 degrees of freedom. */
#include "spectrum/eigen.h"
#include "verdict/analysis.h"

#include <math.h>

#define REFINE_PRODUCTS 10 /* on half of the samples each */
#define REFINE_SMALLEST 6  /* vectors of the basis below which nothing is refined */

/* Samples of groups [first, last), contiguous in the index by construction of ss_groups. */
static ss_samples group_range(const ss_analysis *a, int first, int last)
{
    const ss_groups *g = &a->groups;
    return (ss_samples){ g->index + g->start[first], g->start[last] - g->start[first] };
}

static ss_status refine_monitor(void *user, ss_eigen_result *state, ss_eigen_action *action)
{
    (void)state;
    if (ss_analysis_out_of_time(user)) *action = SS_EIGEN_STOP;
    return SS_OK;
}

/* Lowest Ritz vector of the finding half in the Krylov space started at the full-data witness. */
static ss_status refine(ss_analysis *a, ss_vectors *v, bool *refined)
{
    ss_status                status = SS_OK;
    ss_verdict_distribution *d = &a->verdict->distribution;
    ss_priced                half = { 0 };
    ss_eigen_result         *state = NULL;
    ss_eigen_options         options;
    ss_samples               samples = group_range(a, 0, a->groups.count / 2);
    double                   norm = 0.0;
    SS_TRY(ss_priced_open(a, SS_WORKING, &samples, &half));
    int64_t memory = ss_analysis_room(a, 0, 0);
    int64_t room = ss_min64(ss_min64(REFINE_PRODUCTS + 1, a->verdict->n), ss_eigen_fit(&half.op, memory));
    *refined = room >= ss_min64(a->verdict->n, REFINE_SMALLEST);
    if (!*refined) goto fail;
    ss_analysis_memory_more(a, 0, room + 1 + SS_EIGEN_SCRATCH);
    ss_eigen_options_pairs(&options, 1, 0);
    options.rtol_low = 1e-2;
    options.true_residuals = false;
    options.delta = a->verdict->operator_error.delta;
    options.method = SS_EIGEN_BASIS;
    options.basis = room;
    options.memory = memory;
    options.max_products = REFINE_PRODUCTS;
    options.start = v->data;
    options.seed = a->options->seed;
    options.monitor = refine_monitor;
    options.monitor_user = a;
    status = ss_eigen_solve(&half.op, &options, &state);
    ss_priced_account(a, &half);
    SS_TRY(status);
    d->refine_products = (double)state->products * half.fraction;
    d->found = state->ritz[0].value;
    SS_TRY(ss_eigen_vector(state, 0, v->data));
    SS_TRY(ss_vectors_norm(v, &norm));
    SS_TRY(ss_vectors_scale(1.0 / norm, v));
fail:
    ss_eigen_result_destroy(state);
    ss_priced_close(&half);
    return status;
}

static ss_status group_quotient(ss_analysis *a, int group, const ss_vectors *v, ss_vectors *hv,
                                double *quotient)
{
    ss_status  status = SS_OK;
    ss_priced  one = { 0 };
    ss_samples samples = group_range(a, group, group + 1);
    SS_TRY(ss_priced_open(a, SS_WORKING, &samples, &one));
    SS_TRY(ss_priced_apply(a, &one, v->data, hv->data));
    SS_TRY(ss_vectors_dot(v, hv, quotient));
fail:
    ss_priced_close(&one);
    return status;
}

ss_status ss_verdict_distribution_line(ss_analysis *a)
{
    ss_status                status = SS_OK;
    ss_verdict_distribution *d = &a->verdict->distribution;
    ss_vectors               v = { 0 }, hv = { 0 };
    bool                     refined = false;
    int                      groups = a->groups.count, first = groups / 2, judges = groups - first;
    double                   values[SS_MAX_GROUPS], weights = 0.0, sum = 0.0, squares = 0.0;
    if (!a->verdict->witness.proved || groups < SS_MIN_GROUPS || ss_analysis_out_of_time(a) ||
        ss_analysis_remaining(a) < 1.0 + 0.5 * REFINE_PRODUCTS) {
        return SS_OK;
    }
    SS_TRY(ss_vectors_create(a->subject->backend, a->subject->layout, 1, &v));
    SS_TRY(ss_vectors_create(a->subject->backend, a->subject->layout, 1, &hv));
    SS_TRY(ss_vectors_copy(&a->witness, 0, &v, 0));
    SS_TRY(refine(a, &v, &refined));
    if (!refined) goto fail; /* a witness found on all samples says nothing about others */
    for (int i = 0; i < judges; i++) {
        SS_TRY(group_quotient(a, first + i, &v, &hv, &values[i]));
        sum += a->groups.weight[first + i] * values[i];
        weights += a->groups.weight[first + i];
    }
    d->groups = groups;
    d->mean = sum / weights;
    for (int i = 0; i < judges; i++) squares += (values[i] - d->mean) * (values[i] - d->mean);
    d->deviation = sqrt(squares / (double)(judges - 1));
    d->student = ss_bounds_student(1.0 - a->eta, (double)(judges - 1));
    d->half_width = d->student * d->deviation / sqrt((double)judges);
    d->upper_limit = d->mean + d->half_width;
    d->statement =
        d->upper_limit < -a->verdict->operator_error.tau ? SS_POPULATION_PROVED : SS_POPULATION_NOT_SHOWN;
    ss_analysis_report(a);
fail:
    ss_vectors_release(&v);
    ss_vectors_release(&hv);
    return status;
}
