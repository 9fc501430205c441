/* VERDICT 5: the label, from numbers alone. Nothing is computed here that costs a pass over the data; the
 * tests walk through this file as a table. */
#include "verdict/analysis.h"

#include <math.h>

static bool something_positive(const ss_verdict *v)
{
    return v->curvature.lambda_max > v->operator_error.tau;
}

static bool no_negative(const ss_verdict *v)
{
    return v->curvature.statement == SS_CURVATURE_NO_NEGATIVE || v->curvature.statement == SS_CURVATURE_FLAT;
}

static void set(ss_verdict *v, ss_label label, ss_reason reason, ss_evidence evidence, int order)
{
    v->label = label;
    v->reason = reason;
    v->evidence = evidence;
    v->order = order;
}

/* A proved witness and a bound with confidence 1 - eta exclude each other: one of them is wrong. */
static bool contradiction(const ss_verdict *v)
{
    bool bounded =
        v->curvature.method == SS_METHOD_LANCZOS && v->witness.proved &&
        v->curvature.lower_bound > v->witness.quotient + v->witness.error + v->operator_error.error;
    bool refuted = v->witness.candidate && !v->witness.proved && v->witness.gauge_share == 0.0 &&
                   v->witness.quotient > v->operator_error.tau;
    return bounded || refuted;
}

/* A witness of negative curvature stands at a critical point. */
static void label_witness(ss_verdict *v)
{
    const ss_verdict_witness *w = &v->witness;
    if (!something_positive(v)) {
        if (v->flat_probe.ascent_found) {
            set(v, SS_LABEL_SADDLE, SS_REASON_NONE, SS_EVIDENCE_HIGHER_ORDER, v->flat_probe.ascent_order);
        } else if (v->curvature.statement == SS_CURVATURE_NO_POSITIVE) {
            set(v, SS_LABEL_MAXIMUM, SS_REASON_NONE, SS_EVIDENCE_SECOND_ORDER, 2);
        } else {
            set(v, SS_LABEL_INCONCLUSIVE, SS_REASON_BUDGET, SS_EVIDENCE_NONE, 0);
        }
    } else if (!w->loss_witness) {
        bool kinks = v->kinks.present && (v->kinks.step_exceeds || v->kinks.share_valid >= SS_KINK_SHARE);
        set(v, SS_LABEL_INCONCLUSIVE, kinks ? SS_REASON_KINKS : SS_REASON_NO_LOSS_WITNESS, SS_EVIDENCE_NONE,
            0);
    } else if (!w->felt_first) {
        set(v, SS_LABEL_NOT_CRITICAL, SS_REASON_NONE, SS_EVIDENCE_NONE, 0);
    } else {
        set(v, SS_LABEL_SADDLE, SS_REASON_NONE, SS_EVIDENCE_SECOND_ORDER, 2);
    }
}

/* The flat-space probe found descent of order p. It is a saddle if something rises too: positive curvature,
 * the other sign of an odd order, or an ascent that the mirrored probe found. */
static void label_probe(ss_verdict *v)
{
    const ss_verdict_flat_probe *p = &v->flat_probe;
    if (something_positive(v) || p->order % 2 == 1 || p->ascent_found) {
        set(v, SS_LABEL_SADDLE, SS_REASON_NONE, SS_EVIDENCE_HIGHER_ORDER, p->order);
    } else if (p->ascent_ran) {
        set(v, SS_LABEL_MAXIMUM, SS_REASON_NONE, SS_EVIDENCE_HIGHER_ORDER, p->order);
    } else {
        set(v, SS_LABEL_INCONCLUSIVE, SS_REASON_BUDGET, SS_EVIDENCE_NONE, 0);
    }
}

/* d has not settled and its lower estimate would pass: nothing says that stationarity fails. */
static bool unsettled(const ss_verdict_stationarity *s)
{
    return !s->by_gradient && !s->decrease_settled && !(s->decrease > s->limit);
}

void ss_verdict_label(ss_verdict *v)
{
    const ss_verdict_stationarity *s = &v->stationarity;
    if (v->operator_error.product != SS_PRODUCT_HESSIAN) {
        if (!s->is_critical && !unsettled(s)) {
            set(v, SS_LABEL_NOT_CRITICAL, SS_REASON_NONE, SS_EVIDENCE_NONE, 0);
        } else {
            set(v, SS_LABEL_INCONCLUSIVE, SS_REASON_OPERATOR, SS_EVIDENCE_NONE, 0);
        }
    } else if (s->at_lower_bound) {
        set(v, SS_LABEL_MINIMUM, SS_REASON_NONE, SS_EVIDENCE_GLOBAL, 0);
    } else if (!s->is_critical) {
        if (unsettled(s)) {
            set(v, SS_LABEL_INCONCLUSIVE, SS_REASON_BUDGET, SS_EVIDENCE_NONE, 0);
        } else {
            set(v, SS_LABEL_NOT_CRITICAL, SS_REASON_NONE, SS_EVIDENCE_NONE, 0);
        }
    } else if (contradiction(v)) {
        set(v, SS_LABEL_INCONCLUSIVE, SS_REASON_CONTRADICTION, SS_EVIDENCE_NONE, 0);
    } else if (v->witness.proved) {
        label_witness(v);
    } else if (v->flat_probe.found) {
        label_probe(v);
    } else if (no_negative(v)) {
        set(v, SS_LABEL_MINIMUM, SS_REASON_NONE, SS_EVIDENCE_SECOND_ORDER, 2);
    } else if (v->curvature.statement == SS_CURVATURE_NO_POSITIVE) {
        set(v, SS_LABEL_MAXIMUM, SS_REASON_NONE, SS_EVIDENCE_SECOND_ORDER, 2);
    } else {
        set(v, SS_LABEL_INCONCLUSIVE, SS_REASON_BUDGET, SS_EVIDENCE_NONE, 0);
    }
}

/* strict: true if everything is beyond tau, false with the number of flat directions, null when nothing is or
 * the number is not known. */
void ss_verdict_strict(ss_verdict *v)
{
    const ss_verdict_counts *c = &v->counts;
    bool                     minimum = v->label == SS_LABEL_MINIMUM;
    double                   tau = v->operator_error.tau;
    v->strict = SS_TRI_UNKNOWN;
    v->flat_directions = -1;
    v->flat_explained = -1;
    if (!minimum && v->label != SS_LABEL_MAXIMUM) return;
    double nearest = minimum ? v->curvature.lower_bound : -v->curvature.upper_bound;
    bool   beyond = minimum ? v->curvature.lambda_max > tau : v->curvature.lambda_min < -tau;
    if (!beyond) return;
    if (c->structural == 0 && (c->exact ? c->zero.high == 0 : nearest > tau)) {
        v->strict = SS_TRI_TRUE;
        v->flat_directions = 0;
        v->flat_explained = 0;
    } else if (c->zero.low >= 0 && c->zero.low == c->zero.high && c->zero.low > 0) {
        v->strict = SS_TRI_FALSE;
        v->flat_directions = c->zero.low;
        v->flat_explained = ss_min64(c->zero.low, c->structural + c->gauge);
    }
}
