/* VERDICT 4: what is left here. The best real decrease along -g, along the witness (both signs) and along the
 * damped Newton step, each beside what the quadratic model promised; then the one sentence that answers why
 * the loss has stopped falling. */
#include "verdict/analysis.h"

#include <math.h>

/* Fills a row by a line search along the unit vector `direction` in the direction of `sign`; keeps the row
 * that is there when this one gains less. */
static ss_status search_row(ss_analysis *a, ss_direction which, const void *direction, int sign, double slope,
                            double curvature, double first, double limit, double allowance)
{
    ss_status    status = SS_OK;
    ss_left_row *row = &a->verdict->left.row[which];
    double       step = 0.0, decrease = 0.0;
    int64_t      losses = a->verdict->cost.losses;
    SS_TRY(ss_line_search(a, direction, sign, first, limit, allowance, &step, &decrease));
    if (a->verdict->cost.losses == losses) return SS_OK; /* not even one step could be paid for */
    if (row->tried && decrease <= row->decrease) return SS_OK;
    row->tried = true;
    row->step = step;
    row->sign = sign;
    row->decrease = decrease;
    row->predicted = -(sign * slope * step + 0.5 * curvature * step * step);
    row->share =
        a->verdict->stationarity.loss != 0.0 ? decrease / fabs(a->verdict->stationarity.loss) : (double)NAN;
fail:
    return status;
}

static ss_status along_gradient(ss_analysis *a, double allowance)
{
    const ss_verdict_stationarity *s = &a->verdict->stationarity;
    double                         lambda = a->verdict->operator_error.lambda_abs;
    double                         bend = a->gradient_curvature;
    if (!(s->gradient_norm > 0.0)) return SS_OK;
    /* Cauchy's step where the curvature is known and positive. */
    double first = bend > 1e-3 * lambda ? s->gradient_norm / bend : s->gradient_norm / lambda;
    return search_row(a, SS_DIRECTION_GRADIENT, a->direction.data, -1, s->gradient_norm, bend, first, 0.0,
                      allowance);
}

static ss_status along_witness(ss_analysis *a, double allowance)
{
    ss_status                 status = SS_OK;
    const ss_verdict_witness *w = &a->verdict->witness;
    double                    first = w->loss_witness ? w->step : w->valid_radius;
    if (!w->proved || !(first > 0.0)) return SS_OK;
    for (int sign = -1; sign <= 1; sign += 2) {
        SS_TRY(search_row(a, SS_DIRECTION_WITNESS, a->witness.data, sign, w->slope, w->quotient, first, 0.0,
                          0.5 * allowance));
    }
    a->verdict->left.row[SS_DIRECTION_WITNESS].radius = w->valid_radius;
fail:
    return status;
}

/* The model along p = length x: slope and curvature follow from its predicted decrease and from d, for
 * -g'p = 2 d and so p'Hp / 2 = 2 d - predicted. */
static ss_status along_newton(ss_analysis *a, double allowance)
{
    ss_status  status = SS_OK;
    ss_vectors x = { 0 };
    double     length = 0.0;
    if (!a->have_newton) return SS_OK;
    SS_TRY(ss_vectors_norm(&a->newton, &length));
    if (!(length > 0.0)) return SS_OK;
    SS_TRY(ss_vectors_create(a->subject->backend64, a->subject->layout, 1, &x));
    SS_TRY(ss_vectors_add(1.0 / length, &a->newton, 0.0, &x));
    double twice = 2.0 * a->verdict->stationarity.decrease;
    SS_TRY(search_row(a, SS_DIRECTION_NEWTON, x.data, 1, -twice / length,
                      2.0 * (twice - a->newton_predicted) / (length * length), length, 0.0, allowance));
fail:
    ss_vectors_release(&x);
    return status;
}

ss_status ss_verdict_left_here(ss_analysis *a, double allowance)
{
    ss_status        status = SS_OK;
    ss_verdict_left *l = &a->verdict->left;
    double           before = ss_analysis_used(a), until = before + allowance;
    l->noise = a->verdict->stationarity.loss_sampling_error;
    SS_TRY(along_newton(a, allowance / 3.0));
    SS_TRY(along_witness(a, (until - ss_analysis_used(a)) * 0.6));
    SS_TRY(along_gradient(a, until - ss_analysis_used(a)));
fail:
    l->cost = ss_analysis_used(a) - before;
    ss_analysis_report(a);
    return status;
}

/* The gradient lies where H vanishes: ||Hg|| is below the damping that d is measured with. */
static bool gradient_is_flat(const ss_verdict *v)
{
    const ss_verdict_stationarity *s = &v->stationarity;
    return s->gradient_flat_ratio * v->operator_error.lambda_abs <= s->damping;
}

/* What the flat-space probe gained in its largest ball, as a share of L. */
static double probe_share(const ss_verdict *v)
{
    double most = 0.0;
    for (int i = 0; i < v->flat_probe.radii; i++) most = fmax(most, v->flat_probe.decrease[i]);
    return most / fabs(v->stationarity.loss);
}

/* The sentence, by the largest share. */
void ss_verdict_answer(ss_verdict *v)
{
    ss_verdict_left *l = &v->left;
    double           most = 0.0;
    l->answer = SS_ANSWER_NONE;
    l->share = 0.0;
    for (int i = 0; i < SS_DIRECTION_COUNT; i++) {
        if (!l->row[i].tried || !(l->row[i].decrease > most)) continue;
        most = l->row[i].decrease;
        l->best = (ss_direction)i;
        l->share = l->row[i].share;
    }
    bool slope = most > 0.0 && l->best != SS_DIRECTION_WITNESS && !v->stationarity.is_critical;
    bool saddle = most > 0.0 && l->best == SS_DIRECTION_WITNESS;
    if (v->stationarity.at_lower_bound) {
        l->answer = SS_ANSWER_FLOOR;
    } else if (v->label == SS_LABEL_MAXIMUM) {
        l->answer = SS_ANSWER_MAXIMUM;
    } else if (v->label == SS_LABEL_SADDLE && !slope) {
        l->answer = SS_ANSWER_SADDLE;
        if (v->evidence == SS_EVIDENCE_HIGHER_ORDER) l->share = probe_share(v);
    } else if ((slope || saddle) && most < l->noise) {
        l->answer = SS_ANSWER_NOISE;
    } else if (saddle) {
        l->answer = SS_ANSWER_SADDLE;
    } else if (slope) {
        l->answer = gradient_is_flat(v) ? SS_ANSWER_FLAT : SS_ANSWER_SLOPE;
    } else if (v->label == SS_LABEL_MINIMUM) {
        l->answer = SS_ANSWER_MINIMUM;
    }
}
