/* VERDICT 3: negative curvature is proved by a direction, not by an eigenvalue.
 *
 * Candidates are the Ritz vectors below -tau, lowest first. Each loses its gauge part and is judged by its
 * float64 quotient alone; one that stands is then looked at through the loss itself: some step at which the
 * mean of both sides lies below L. */
#include "network/graph.h"
#include "verdict/analysis.h"

#include <math.h>

#define CANDIDATES     8
#define LINE_ALLOWANCE 10.0 /* products for r_valid and the loss witness */

/* v without its gauge part, unit length again. A vector that is all gauge stays zero. */
static ss_status remove_gauge(ss_analysis *a, double *share)
{
    ss_status        status = SS_OK;
    const ss_layout *layout = a->subject->layout;
    double          *padded = NULL, *packed = NULL, norm = 0.0;
    *share = 0.0;
    if (a->subject->gauge.rank <= 0) return SS_OK;
    SS_TRY(SS_NEW_ARRAY(a->context, layout->padded, &padded));
    SS_TRY(SS_NEW_ARRAY(a->context, layout->n, &packed));
    SS_TRY(ss_vectors_get(&a->witness, padded));
    ss_layout_pack(layout, SS_FLOAT64, padded, packed);
    ss_free(a->context, padded); /* the projection takes two more of that size */
    padded = NULL;
    SS_TRY(ss_gauge_project(a, packed, share));
    SS_TRY(SS_NEW_ARRAY(a->context, layout->padded, &padded));
    ss_layout_unpack(layout, SS_FLOAT64, packed, padded);
    SS_TRY(ss_vectors_set(&a->witness, padded));
    SS_TRY(ss_vectors_norm(&a->witness, &norm));
    SS_TRY(ss_vectors_scale(norm > 1e-8 ? 1.0 / norm : 0.0, &a->witness));
fail:
    ss_free(a->context, padded);
    ss_free(a->context, packed);
    return status;
}

/* C runs on a subset only: the quotient is W's, on all samples, and its error is the difference between the
 * two on that subset. */
static ss_status quotient_of_all(ss_analysis *a)
{
    ss_status           status = SS_OK;
    ss_verdict_witness *w = &a->verdict->witness;
    ss_priced          *all = NULL;
    ss_vectors          v = { 0 }, hv = { 0 };
    SS_TRY(ss_analysis_working(a, &all));
    SS_TRY(ss_vectors_create(a->subject->backend, a->subject->layout, 1, &v));
    SS_TRY(ss_vectors_create(a->subject->backend, a->subject->layout, 1, &hv));
    SS_TRY(ss_vectors_copy(&a->witness, 0, &v, 0));
    SS_TRY(ss_priced_apply(a, all, v.data, hv.data));
    SS_TRY(ss_vectors_dot(&v, &hv, &w->quotient));
    w->error = fmax(w->error, w->difference);
fail:
    ss_vectors_release(&v);
    ss_vectors_release(&hv);
    return status;
}

/* Float64 quotient and its error e64. */
static ss_status judge(ss_analysis *a, int64_t index)
{
    ss_status           status = SS_OK;
    ss_verdict_witness *w = &a->verdict->witness;
    ss_vectors          product = { 0 };
    double              tau = a->verdict->operator_error.tau, lambda = a->verdict->operator_error.lambda_abs;
    w->candidate = true;
    w->ritz_value = ss_analysis_ritz_value(a, index);
    if (index == 0 && a->have_lowest) {
        SS_TRY(ss_vectors_copy(&a->lowest, 0, &a->witness, 0));
    } else {
        SS_TRY(ss_analysis_ritz_vector(a, index, a->witness.data));
    }
    SS_TRY(remove_gauge(a, &w->gauge_share));
    SS_TRY(ss_vectors_create(a->subject->backend64, a->subject->layout, 1, &product));
    SS_TRY(ss_analysis_quotient(a, a->witness.data, &w->quotient, product.data));
    SS_TRY(ss_verdict_operator_difference(a, &a->witness, 0, &product, &w->difference));
    w->error = 64.0 * SS_UNIT_ROUNDOFF64 * lambda;
    if (a->subject->backend->real == SS_FLOAT32) w->error = fmax(w->error, 0x1p-29 * w->difference);
    if (a->verdict->operator_error.subset) SS_TRY(quotient_of_all(a));
    SS_TRY(ss_vectors_dot(&a->direction, &a->witness, &w->slope));
    w->slope *= a->verdict->stationarity.gradient_norm;
    w->proved = w->quotient < -tau && w->quotient < -10.0 * w->error;
    w->crossover = w->quotient != 0.0 ? 2.0 * fabs(w->slope) / fabs(w->quotient) : (double)INFINITY;
fail:
    ss_vectors_release(&product);
    return status;
}

/* Of the pairs within r_valid: does the mean of both sides lie below L by more than 10 roundings? */
static bool falls(const ss_line_pair *pair)
{
    return 0.5 * (pair->plus + pair->minus) < -10.0 * pair->rounding;
}

static bool both_fall(const ss_line_pair *pair)
{
    return pair->plus < -10.0 * pair->rounding && pair->minus < -10.0 * pair->rounding;
}

/* The best pair among those within r_valid: both ways before one, then the largest fall of the mean. */
static const ss_line_pair *best_pair(const ss_line_table *table, double below)
{
    const ss_line_pair *best = NULL;
    for (int i = 0; i < table->count; i++) {
        const ss_line_pair *pair = &table->pair[i];
        if (pair->t > table->radius || pair->t > below || !falls(pair)) continue;
        bool better =
            best == NULL || (both_fall(pair) && !both_fall(best)) ||
            (both_fall(pair) == both_fall(best) && pair->plus + pair->minus < best->plus + best->minus);
        if (better) best = pair;
    }
    return best;
}

/* A step at which fewer than 1 % of the units change side is preferred to one that gains more. */
static ss_status choose_step(ss_analysis *a, const ss_line_table *table, const ss_line_pair **chosen)
{
    ss_status           status = SS_OK;
    ss_verdict_kinks   *k = &a->verdict->kinks;
    const ss_line_pair *first = best_pair(table, (double)INFINITY), *pair = first;
    double              share = 0.0, first_share = 0.0;
    *chosen = first;
    if (first == NULL || !a->subject->facts.kinked) return SS_OK;
    for (int tries = 0; pair != NULL && tries < 6; tries++) {
        ss_point point = { pair->t, a->witness.data };
        SS_TRY(ss_analysis_kinks(a, &point, &share));
        if (pair == first) first_share = share;
        *chosen = pair;
        k->share_step = share;
        k->step_exceeds = share >= SS_KINK_SHARE;
        if (!k->step_exceeds) return SS_OK;
        pair = best_pair(table, 0.5 * pair->t);
    }
    *chosen = first;
    k->share_step = first_share;
fail:
    return status;
}

static ss_status look_through_loss(ss_analysis *a)
{
    ss_status                      status = SS_OK;
    ss_verdict_witness            *w = &a->verdict->witness;
    const ss_verdict_stationarity *s = &a->verdict->stationarity;
    const ss_line_pair            *pair = NULL;
    ss_line_table                  table;
    ss_line line = { a->witness.data, w->slope, w->quotient, s->loss, s->loss_rounding };
    SS_TRY(ss_line_valid_radius(a, &line, fmin(LINE_ALLOWANCE, ss_analysis_remaining(a)), &table));
    w->valid_radius = table.radius;
    SS_TRY(choose_step(a, &table, &pair));
    if (pair != NULL) {
        w->loss_witness = true;
        w->both_ways = both_fall(pair);
        w->step = pair->t;
        w->change_plus = pair->plus;
        w->change_minus = pair->minus;
        w->mean_change = 0.5 * (pair->plus + pair->minus);
        w->rounding = pair->rounding;
    }
    w->felt_first = w->crossover <= 0.1 * table.radius &&
                    s->decrease <= 0.1 * fabs(w->quotient) * table.radius * table.radius / 2.0;
fail:
    return status;
}

static ss_status keep_vector(ss_analysis *a)
{
    ss_status           status = SS_OK;
    ss_verdict_witness *w = &a->verdict->witness;
    const ss_layout    *layout = a->subject->layout;
    double             *padded = NULL;
    SS_TRY(SS_NEW_ARRAY(a->context, layout->padded, &padded));
    SS_TRY(SS_NEW_ARRAY(a->context, layout->n, &w->vector));
    SS_TRY(ss_vectors_get(&a->witness, padded));
    ss_layout_pack(layout, SS_FLOAT64, padded, w->vector);
    w->n = layout->n;
fail:
    ss_free(a->context, padded);
    return status;
}

/* Two products judge a candidate. In three-vector mode the lowest alone is tried, at hand or for as many
 * products as the recurrence has steps. */
static bool affordable(const ss_analysis *a, int64_t index)
{
    if (a->forgotten) return index == 0 && a->have_lowest;
    if (!a->verdict->curvature.estimates) return index == 0 || ss_analysis_remaining(a) >= 2.0;
    return index == 0 && (a->have_lowest || ss_analysis_remaining(a) >= (double)a->eigen->first.k + 2.0);
}

/* Tries the candidates in turn. `refuted`: every Ritz value below -tau has been judged, and none stood. */
ss_status ss_verdict_witness_search(ss_analysis *a)
{
    ss_status           status = SS_OK;
    ss_verdict_witness *w = &a->verdict->witness, first;
    double              tau = a->verdict->operator_error.tau;
    int64_t             below = 0, judged = 0;
    bool                open = false;
    while (below < ss_analysis_ritz_count(a) && ss_analysis_ritz_value(a, below) < -tau) below++;
    if (below == 0) return SS_OK;
    SS_TRY(ss_vectors_create(a->subject->backend64, a->subject->layout, 1, &a->witness));
    for (; judged < below && judged < CANDIDATES && !w->proved; judged++) {
        if (!affordable(a, judged)) break;
        SS_TRY(judge(a, judged));
        open = open || (!w->proved && w->quotient < -tau);
        if (judged == 0) first = *w;
    }
    if (judged == 0) {
        a->verdict->cost.out_of_products = true;
        return SS_OK;
    }
    if (!w->proved) {
        a->refuted = judged == below && !open;
        *w = first; /* the lowest is the one to be shown */
        ss_analysis_report(a);
        return SS_OK;
    }
    SS_TRY(look_through_loss(a));
    SS_TRY(keep_vector(a));
    ss_analysis_report(a);
fail:
    return status;
}
