/* Escape: out of a saddle along its negative curvature, with a search on the true loss (escape_search.c).
 *
 * The step is the largest of a doubling search, begun at r_valid / 2, whose real decrease is at least half of
 * what the Taylor model predicts; of several directions the one that gains most. With until_minimum a
 * trust-region Newton method goes on from there; analyze judges where it arrives, and another saddle is left
 * like the first. */
#include "verdict/escape.h"

#include "base/base.h"

#include <math.h>
#include <stdio.h>

void ss_escape_options_init(ss_escape_options *options)
{
    *options = (ss_escape_options){ .vectors = 1, .rounds = 20, .steps = 200 };
}

void ss_escape_result_destroy(ss_escape_result *result)
{
    ss_verdict_destroy(&result->before);
    ss_verdict_destroy(&result->after);
}

/* Moves the objective to theta + x and starts anew there. */
static ss_status rebase(ss_move *m, double *packed)
{
    ss_status      status = SS_OK;
    ss_context    *context = m->context;
    ss_objective  *objective = m->objective;
    ss_follow_cost cost = m->cost;
    double         limit = m->time_limit, began = m->began;
    SS_TRY(ss_move_weights(m, packed));
    ss_move_release(m);
    SS_TRY(ss_objective_set_weights(objective, packed));
    SS_TRY(ss_move_begin(m, context, objective, cost.budget, limit));
    cost.products += m->cost.products;
    cost.gradients += m->cost.gradients;
    m->cost = cost;
    m->began = began;
fail:
    return status;
}

/* A saddle of higher order has no curvature to follow: the step leads to the best point that the flat-space
 * probe found in its largest ball, and the prediction is the power law of the ball before. */
static ss_status take_probe(ss_move *m, const ss_verdict *at, ss_escape_result *r, ss_escape_row *best)
{
    ss_status                    status = SS_OK;
    const ss_verdict_flat_probe *f = &at->flat_probe;
    ss_vectors                   x = { 0 };
    int                          last = f->radii - 1;
    if (f->vector == NULL || last < 1) return SS_OK;
    SS_TRY(ss_escape_unpack(m, f->vector, &x));
    SS_TRY(ss_move_try(m, 1.0, &x));
    ss_escape_row row = { .sign = 1, .real = at->stationarity.loss - m->trial.loss };
    SS_TRY(ss_vectors_norm(&x, &row.step));
    row.predicted = f->decrease[last - 1] * pow(f->radius[last] / f->radius[last - 1], f->order);
    row.enough = row.real >= 0.5 * row.predicted && row.real > 10.0 * m->trial.rounding;
    if (r != NULL) r->row[r->n_rows++] = row;
    if (!row.enough) goto fail;
    SS_TRY(ss_move_accept(m));
    *best = row;
fail:
    ss_vectors_release(&x);
    return status;
}

/* The step out of the saddle that `at` has proved, taken; best->sign == 0: there is none. */
static ss_status take(ss_move *m, const ss_verdict *at, const ss_escape_options *o,
                      const ss_analyze_options *analyze, ss_escape_result *r, ss_escape_row *best)
{
    ss_status  status = SS_OK;
    ss_vectors v = { 0 };
    *best = (ss_escape_row){ .sign = 0 };
    if (!at->witness.proved && at->flat_probe.found) return take_probe(m, at, r, best);
    if (!at->witness.proved || at->witness.vector == NULL) return SS_OK;
    SS_TRY(ss_escape_search(m, at, o, analyze, r, best, &v));
    if (best->sign != 0) {
        SS_TRY(ss_move_try(m, best->sign * best->step, &v));
        SS_TRY(ss_move_accept(m));
    }
fail:
    ss_vectors_release(&v);
    return status;
}

/* Descents and verdicts in turn. *packed receives the weights where it ends; m stands there. */
static ss_status until_minimum(ss_move *m, const ss_escape_options *o, const ss_analyze_options *analyze,
                               double *packed, ss_escape_result *r)
{
    ss_status     status = SS_OK;
    ss_escape_row best;
    double        target = 1e-6 * m->norm;
    while (r->rounds < o->rounds) {
        int64_t made = 0;
        char    remark[64];
        SS_TRY(ss_move_descend(m, o->steps, target, &made));
        r->steps += made;
        r->rounds++;
        SS_TRY(rebase(m, packed));
        snprintf(remark, sizeof remark, "loss %.6g, |g| %.3g", m->value.loss, m->norm);
        ss_progress(m->context, "rounds", (double)r->rounds, (double)o->rounds, remark);
        ss_verdict_destroy(&r->after);
        SS_TRY(ss_analyze(m->context, m->objective, analyze, &r->after));
        if (r->after.label == SS_LABEL_MINIMUM || ss_move_spent(m)) break;
        SS_TRY(take(m, &r->after, o, analyze, NULL, &best));
        if (best.sign == 0 && made == 0) break; /* nothing moves any more */
        target *= 1e-2;
    }
    r->gradient_end = m->norm;
fail:
    return status;
}

static void keep_step(ss_escape_result *r, const ss_escape_row *best)
{
    r->left = true;
    r->vector = best->vector;
    r->sign = best->sign;
    r->step = best->step;
    r->predicted = best->predicted;
    r->real = best->real;
}

static double distance(int64_t n, const double *a, const double *b)
{
    double square = 0.0;
    for (int64_t i = 0; i < n; i++) square += (a[i] - b[i]) * (a[i] - b[i]);
    return sqrt(square);
}

ss_status ss_escape(ss_context *context, ss_objective *objective, const ss_escape_options *options,
                    const ss_analyze_options *analyze, ss_escape_result *r)
{
    ss_status          status = SS_OK;
    ss_analyze_options later = *analyze;
    ss_escape_row      best;
    ss_move            m = { 0 };
    double            *start = NULL, *packed = NULL;
    *r = (ss_escape_result){ .until_minimum = options->until_minimum, .gradient_end = (double)NAN };
    if (options->vectors < 1 || options->vectors > SS_ESCAPE_VECTORS)
        SS_FAIL(context, SS_ERROR_USAGE, "escape follows 1 to %d directions, not %lld", SS_ESCAPE_VECTORS,
                (long long)options->vectors);
    later.expect_loss = (double)NAN; /* it was that of the start */
    SS_TRY(ss_analyze(context, objective, analyze, &r->before));
    r->loss_start = r->loss_end = r->before.stationarity.loss;
    SS_TRY(ss_move_begin(&m, context, objective, options->max_products, options->time_limit));
    SS_TRY(SS_NEW_ARRAY(context, m.layout->n, &start));
    SS_TRY(SS_NEW_ARRAY(context, m.layout->n, &packed));
    ss_objective_get_weights(objective, start);
    SS_TRY(take(&m, &r->before, options, &later, r, &best));
    if (best.sign != 0) {
        keep_step(r, &best);
        if (options->until_minimum) {
            SS_TRY(until_minimum(&m, options, &later, packed, r));
        } else {
            SS_TRY(rebase(&m, packed));
            SS_TRY(ss_analyze(context, objective, &later, &r->after));
        }
        r->loss_end = m.value.loss;
        ss_objective_get_weights(objective, packed);
        r->moved = distance(m.layout->n, start, packed);
    }
    r->cost = m.cost;
fail:
    ss_move_release(&m);
    ss_free(context, start);
    ss_free(context, packed);
    return status;
}
