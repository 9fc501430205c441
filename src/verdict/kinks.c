/* VERDICT 3: what the Hessian cannot see - kinks of piecewise smooth units - and what the file does not hold
 * - the digits that rounding of the stored weights took away. */
#include "verdict/analysis.h"

#include <math.h>

#define REGION_TRIES 8

/* Largest step tried, forwards and backwards along the lowest Ritz vector, at which no unit changes side. */
static ss_status region_radius(ss_analysis *a, double *radius)
{
    ss_status status = SS_OK;
    double    t = 1e-2 * ss_analysis_length(a), share = 0.0;
    *radius = 0.0;
    for (int i = 0; i < REGION_TRIES; i++, t *= 0.25) {
        bool same = true;
        for (int sign = -1; sign <= 1 && same; sign += 2) {
            ss_point point = { sign * t, a->lowest.data };
            SS_TRY(ss_analysis_kinks(a, &point, &share));
            same = share == 0.0;
        }
        if (same) {
            *radius = t;
            return SS_OK;
        }
    }
fail:
    return status;
}

static ss_status kinks(ss_analysis *a)
{
    ss_status           status = SS_OK;
    ss_verdict_kinks   *k = &a->verdict->kinks;
    ss_verdict_witness *w = &a->verdict->witness;
    k->present = a->subject->facts.kinked;
    if (!k->present) return SS_OK;
    if (w->proved && w->valid_radius > 0.0) {
        ss_point point = { w->valid_radius, a->witness.data };
        SS_TRY(ss_analysis_kinks(a, &point, &k->share_valid));
    } else if (a->have_lowest && a->verdict->stationarity.is_critical) {
        SS_TRY(region_radius(a, &k->region_radius));
    }
fail:
    return status;
}

static void rounding(ss_analysis *a)
{
    ss_verdict_rounded *r = &a->verdict->rounded;
    ss_verdict_witness *w = &a->verdict->witness;
    double              radius = a->subject->facts.rounding_radius;
    r->present = a->subject->facts.rounded_weights;
    r->radius = radius;
    if (!r->present) return;
    r->gradient_change = a->probe_norm * radius;
    r->loss_change = a->verdict->stationarity.gradient_norm * radius / sqrt((double)a->verdict->n) +
                     0.5 * fabs(a->probe_quotient) * radius * radius;
    r->cannot_judge = (w->loss_witness && radius > w->step) || (w->proved && radius > w->valid_radius);
}

ss_status ss_verdict_kinks_and_rounding(ss_analysis *a)
{
    ss_status status = kinks(a);
    rounding(a);
    ss_analysis_report(a);
    return status;
}
