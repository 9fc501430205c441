/* The loss along a line: how far the quadratic model holds (r_valid, VERDICT 4), and the best real decrease.
 */
#include "verdict/analysis.h"
#include "verdict/model.h"

#include <math.h>

#define PRICE_PAIR (2.0 / 6.0)
#define PRICE_LOSS (1.0 / 6.0)

/* Evaluates L(theta +- t v) and judges the model there. */
static ss_status evaluate(ss_analysis *a, const ss_line *line, double t, ss_line_table *table)
{
    ss_status     status = SS_OK;
    ss_loss_value plus = { 0 }, minus = { 0 };
    ss_point      forwards = { t, line->direction }, backwards = { -t, line->direction };
    ss_line_pair *pair = &table->pair[table->count];
    SS_TRY(ss_analysis_loss(a, &forwards, &plus));
    SS_TRY(ss_analysis_loss(a, &backwards, &minus));
    pair->t = t;
    pair->plus = plus.loss - line->loss;
    pair->minus = minus.loss - line->loss;
    pair->rounding = fmax(line->rounding, fmax(plus.rounding, minus.rounding));
    double bend = 0.5 * t * t * line->curvature, slope = t * line->slope;
    pair->valid = ss_model_holds(pair->plus, slope, bend, pair->rounding) &&
                  ss_model_holds(pair->minus, -slope, bend, pair->rounding);
    table->count++;
fail:
    return status;
}

static bool valid_at(const ss_line_table *table)
{
    return table->pair[table->count - 1].valid;
}

/* From 2^-7 of the longest step upwards while the model holds, or downwards until it does and half the step
 * confirms it. */
ss_status ss_line_valid_radius(ss_analysis *a, const ss_line *line, double allowance, ss_line_table *table)
{
    ss_status status = SS_OK;
    double    longest = ss_analysis_length(a), t = longest * 0x1p-7;
    double    until = ss_analysis_used(a) + allowance;
    *table = (ss_line_table){ 0 };
    SS_TRY(evaluate(a, line, t, table));
    if (valid_at(table)) {
        table->radius = t;
        while (2.0 * t <= longest && table->count < SS_LINE_PAIRS &&
               ss_analysis_used(a) + PRICE_PAIR <= until) {
            t *= 2.0;
            SS_TRY(evaluate(a, line, t, table));
            if (!valid_at(table)) break;
            table->radius = t;
        }
    } else {
        int confirmed = 0;
        while (confirmed < 2 && table->count < SS_LINE_PAIRS && ss_analysis_used(a) + PRICE_PAIR <= until) {
            t *= 0.5;
            SS_TRY(evaluate(a, line, t, table));
            if (!valid_at(table)) {
                confirmed = 0;
                table->radius = 0.0;
            } else {
                if (confirmed == 0) table->radius = t;
                confirmed++;
            }
        }
    }
fail:
    return status;
}

typedef struct search {
    ss_analysis *a;
    const void  *direction;
    int          sign;
    double       until;     /* account at which to stop */
    double       best_step; /* 0 = none */
    double       best;      /* L there - L, negative */
} search;

static bool affordable(const search *s)
{
    return ss_analysis_used(s->a) + PRICE_LOSS <= s->until;
}

static ss_status try_step(search *s, double t, double *change)
{
    ss_status     status = SS_OK;
    ss_loss_value value = { 0 };
    ss_point      point = { s->sign * t, s->direction };
    SS_TRY(ss_analysis_loss(s->a, &point, &value));
    *change = value.loss - s->a->verdict->stationarity.loss;
    if (!isfinite(*change)) *change = (double)INFINITY;
    double threshold = 10.0 * fmax(value.rounding, s->a->verdict->stationarity.loss_rounding);
    if (*change < s->best && *change < -threshold) {
        s->best = *change;
        s->best_step = t;
    }
fail:
    return status;
}

/* Golden section in [low, high] around a known best point inside. */
static ss_status golden(search *s, double low, double high)
{
    ss_status    status = SS_OK;
    const double ratio = 0.6180339887498949;
    double       x1 = high - ratio * (high - low), x2 = low + ratio * (high - low), f1 = 0.0, f2 = 0.0;
    if (affordable(s)) SS_TRY(try_step(s, x1, &f1));
    if (affordable(s)) SS_TRY(try_step(s, x2, &f2));
    for (int i = 0; i < 8 && affordable(s); i++) {
        if (f1 < f2) {
            high = x2;
            x2 = x1;
            f2 = f1;
            x1 = high - ratio * (high - low);
            SS_TRY(try_step(s, x1, &f1));
        } else {
            low = x1;
            x1 = x2;
            f1 = f2;
            x2 = low + ratio * (high - low);
            SS_TRY(try_step(s, x2, &f2));
        }
    }
fail:
    return status;
}

ss_status ss_line_search(ss_analysis *a, const void *direction, int sign, double first, double limit,
                         double allowance, double *step, double *decrease)
{
    ss_status status = SS_OK;
    search    s = { .a = a, .direction = direction, .sign = sign, .until = ss_analysis_used(a) + allowance };
    double    t = first, change = 0.0, previous = 0.0;
    *step = 0.0;
    *decrease = 0.0;
    if (!(first > 0.0) || !affordable(&s)) return SS_OK;
    if (limit > 0.0 && t > limit) t = limit;
    SS_TRY(try_step(&s, t, &change));
    if (s.best_step > 0.0) {
        previous = change;
        while (affordable(&s) && (limit <= 0.0 || t < limit)) {
            t = limit > 0.0 ? fmin(2.0 * t, limit) : 2.0 * t;
            SS_TRY(try_step(&s, t, &change));
            if (!(change < previous)) break;
            previous = change;
        }
    } else {
        for (int i = 0; i < 24 && s.best_step == 0.0 && affordable(&s); i++) {
            t *= 0.5;
            SS_TRY(try_step(&s, t, &change));
        }
    }
    if (s.best_step > 0.0) {
        double high = 2.0 * s.best_step;
        SS_TRY(golden(&s, 0.5 * s.best_step, limit > 0.0 ? fmin(high, limit) : high));
    }
    *step = s.best_step;
    *decrease = -s.best;
fail:
    return status;
}
