/* The price list (VERDICT 4): a product counts 1, a gradient 1/2, a loss 1/6; on a subset of the samples that
 * share of it. Every pass over the data is made here, or reported here by whoever made it. */
#include "verdict/analysis.h"

#include <math.h>

static const double price_gradient = 1.0 / 2.0, price_loss = 1.0 / 6.0;

double ss_analysis_used(const ss_analysis *a)
{
    return a->verdict->cost.products;
}

double ss_analysis_remaining(const ss_analysis *a)
{
    double left = a->verdict->cost.budget - a->verdict->cost.products;
    return left > 0.0 ? left : 0.0;
}

bool ss_analysis_out_of_time(ss_analysis *a)
{
    double now = ss_seconds() - a->began;
    a->verdict->cost.seconds = now;
    if (a->options->time_limit > 0.0 && now > a->options->time_limit) a->verdict->cost.out_of_time = true;
    return a->verdict->cost.out_of_time;
}

/* The search ends while there is time left to confirm what it found: the operator's error at both ends, the
 * witness in float64 and its losses cost about this many products. It keeps two thirds of the time in any
 * case, because where nothing was found there is nothing to confirm. */
#define PRODUCTS_TO_FINISH 12.0

bool ss_analysis_time_is_short(ss_analysis *a)
{
    ss_verdict_cost *cost = &a->verdict->cost;
    double           limit = a->options->time_limit, finish = 0.0;
    if (cost->products > 0.0) finish = PRODUCTS_TO_FINISH * cost->seconds_products / cost->products;
    if (limit > 0.0 && limit - (ss_seconds() - a->began) < fmin(finish, limit / 3.0))
        cost->out_of_time = true;
    return ss_analysis_out_of_time(a);
}

void ss_analysis_report(ss_analysis *a)
{
    a->verdict->cost.seconds = ss_seconds() - a->began;
    if (a->options->monitor != NULL) a->options->monitor(a->options->monitor_user, a->verdict);
}

static double fraction(const ss_analysis *a, const ss_samples *samples)
{
    return samples == NULL || samples->index == NULL || a->subject->facts.samples < 1
               ? 1.0
               : (double)samples->count / (double)a->subject->facts.samples;
}

ss_status ss_analysis_loss(ss_analysis *a, const ss_point *point, ss_loss_value *value)
{
    double    before = ss_seconds();
    ss_status status = a->subject->class->loss(a->subject->self, NULL, point, value);
    a->verdict->cost.products += price_loss;
    a->verdict->cost.losses++;
    a->verdict->cost.seconds_products += ss_seconds() - before;
    if (status == SS_OK && ss_context_interrupted(a->context)) status = SS_ERROR_INTERRUPTED;
    return status;
}

ss_status ss_analysis_gradient(ss_analysis *a, const ss_samples *samples, const ss_point *point,
                               void *gradient, ss_loss_value *value)
{
    double    before = ss_seconds();
    ss_status status = a->subject->class->gradient(a->subject->self, samples, point, gradient, value);
    a->verdict->cost.products += price_gradient * fraction(a, samples);
    a->verdict->cost.gradients++;
    a->verdict->cost.seconds_products += ss_seconds() - before;
    if (status == SS_OK && ss_context_interrupted(a->context)) status = SS_ERROR_INTERRUPTED;
    return status;
}

/* A forward pass at theta and one at the point. */
ss_status ss_analysis_kinks(ss_analysis *a, const ss_point *point, double *share)
{
    double    before = ss_seconds();
    ss_status status = SS_OK;
    *share = 0.0;
    if (a->subject->class->kinks == NULL || !a->subject->facts.kinked) return SS_OK;
    status = a->subject->class->kinks(a->subject->self, point, share);
    a->verdict->cost.products += 2.0 * price_loss;
    a->verdict->cost.losses += 2;
    a->verdict->cost.seconds_products += ss_seconds() - before;
    return status;
}

ss_status ss_priced_open(ss_analysis *a, ss_operator_role role, const ss_samples *samples, ss_priced *priced)
{
    ss_status status = SS_OK;
    *priced = (ss_priced){ .role = role, .fraction = fraction(a, samples) };
    SS_TRY(a->subject->class->open(a->subject->self, role, a->options->product, samples, &priced->op));
    priced->open = true;
fail:
    return status;
}

void ss_priced_close(ss_priced *priced)
{
    if (priced->open) ss_operator_destroy(&priced->op);
    *priced = (ss_priced){ 0 };
}

void ss_priced_account(ss_analysis *a, ss_priced *priced)
{
    ss_verdict_cost *cost = &a->verdict->cost;
    int64_t          made = priced->op.products - priced->counted;
    if (made <= 0) return;
    /* One by one: the sum has the same digits whether they are reported singly or together. */
    for (int64_t i = 0; i < made; i++) cost->products += priced->fraction;
    cost->seconds_products += priced->op.seconds - priced->timed;
    if (priced->role == SS_CONFIRMING && a->subject->distinct) {
        cost->confirming += made;
    } else {
        cost->hessian += made;
    }
    priced->counted = priced->op.products;
    priced->timed = priced->op.seconds;
    ss_analysis_report(a);
}

ss_status ss_priced_apply(ss_analysis *a, ss_priced *priced, const void *x, void *y)
{
    int64_t   ld = a->subject->layout->padded;
    ss_status status = ss_operator_apply(&priced->op, 1, x, ld, y, ld);
    ss_priced_account(a, priced);
    return status;
}

ss_status ss_analysis_working(ss_analysis *a, ss_priced **priced)
{
    ss_status status = SS_OK;
    *priced = &a->working;
    if (!a->working.open) SS_TRY(ss_priced_open(a, SS_WORKING, NULL, &a->working));
fail:
    return status;
}

ss_status ss_analysis_confirming(ss_analysis *a, ss_priced **priced)
{
    ss_status status = SS_OK;
    if (!a->subject->distinct) return ss_analysis_working(a, priced);
    *priced = &a->confirming;
    if (!a->confirming.open) {
        SS_TRY(
            ss_priced_open(a, SS_CONFIRMING, a->confirm.index != NULL ? &a->confirm : NULL, &a->confirming));
    }
fail:
    return status;
}

ss_status ss_analysis_quotient(ss_analysis *a, const void *x, double *quotient, void *y)
{
    ss_status   status = SS_OK;
    ss_backend *b = a->subject->backend64;
    ss_vectors  product = { 0 };
    ss_priced  *c = NULL;
    SS_TRY(ss_analysis_confirming(a, &c));
    if (y == NULL) {
        SS_TRY(ss_vectors_create(b, a->subject->layout, 1, &product));
        y = product.data;
    }
    SS_TRY(ss_priced_apply(a, c, x, y));
    SS_TRY(b->class->dot(b, NULL, a->subject->layout->padded, x, y, quotient));
    if (!isfinite(*quotient)) SS_FAIL(a->context, SS_ERROR_NUMERIC, "a Rayleigh quotient is not finite");
fail:
    ss_vectors_release(&product);
    return status;
}
