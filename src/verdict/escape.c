/* Escape: out of a saddle along the witness of its negative curvature, with a search on the true loss.
 *
 * The step is the largest of a doubling search, begun at r_valid / 2, whose real decrease is at least half of
 * what the Taylor model predicts. With until_minimum a trust-region Newton method goes on from there; analyze
 * judges where it arrives, and another saddle is left like the first. */
#include "verdict/move.h"

#include "base/base.h"
#include "network/graph.h"

#include <math.h>
#include <stdio.h>

#define SHRINKS 12 /* halvings where not even r_valid / 2 holds its promise */

void ss_escape_options_init(ss_escape_options *options)
{
    *options = (ss_escape_options){ .rounds = 20, .steps = 200 };
}

void ss_escape_result_destroy(ss_escape_result *result)
{
    ss_verdict_destroy(&result->before);
    ss_verdict_destroy(&result->after);
}

/* One row: the loss at theta + sign t v. */
static ss_status try_step(ss_move *m, const ss_verdict *at, const ss_vectors *v, int sign, double t,
                          ss_escape_row *row)
{
    ss_status     status = SS_OK;
    ss_loss_value value = { 0 };
    ss_point      point = { sign * t, v->data };
    double        loss = at->stationarity.loss;
    SS_TRY(ss_objective_loss(m->objective, SS_FLOAT64, NULL, &point, &value, NULL));
    m->cost.losses++;
    m->cost.products += 1.0 / 6.0;
    *row = (ss_escape_row){ .sign = sign, .step = t };
    row->predicted = -(sign * t * at->witness.slope + 0.5 * t * t * at->witness.quotient);
    row->real = isfinite(value.loss) ? loss - value.loss : -(double)INFINITY;
    row->enough = row->predicted > 0.0 && row->real >= 0.5 * row->predicted &&
                  row->real > 10.0 * fmax(value.rounding, at->stationarity.loss_rounding);
    if (ss_context_interrupted(m->context)) status = SS_ERROR_INTERRUPTED;
fail:
    return status;
}

/* Doubling along one sign from `first`; the best row so far is kept in *best. */
static ss_status search(ss_move *m, const ss_verdict *at, const ss_vectors *v, int sign, double first,
                        ss_escape_result *r, ss_escape_row *best)
{
    ss_status     status = SS_OK;
    ss_escape_row row;
    double        t = first;
    for (int64_t tries = 0; tries < SS_ESCAPE_ROWS / 2; tries++, t *= 2.0) {
        SS_TRY(try_step(m, at, v, sign, t, &row));
        if (r != NULL && r->n_rows < SS_ESCAPE_ROWS) r->row[r->n_rows++] = row;
        if (!row.enough) break;
        if (row.real > best->real) *best = row;
    }
fail:
    return status;
}

/* The step out of the saddle that `at` has proved; best->sign == 0: there is none. `r` may be NULL. */
static ss_status leave(ss_move *m, const ss_verdict *at, const ss_vectors *v, ss_escape_result *r,
                       ss_escape_row *best)
{
    ss_status status = SS_OK;
    double    first = 0.5 * at->witness.valid_radius;
    if (!(first > 0.0)) first = at->witness.loss_witness ? at->witness.step : 1e-3;
    *best = (ss_escape_row){ .sign = 0 };
    if (r != NULL) r->least_step = first;
    for (int i = 0; i < SHRINKS && best->sign == 0; i++, first *= 0.25) {
        SS_TRY(search(m, at, v, 1, first, r, best));
        SS_TRY(search(m, at, v, -1, first, r, best));
    }
fail:
    return status;
}

/* A packed vector as a padded one. */
static ss_status unpack(ss_move *m, const double *packed, ss_vectors *v)
{
    ss_status status = SS_OK;
    double   *padded = NULL;
    SS_TRY(SS_NEW_ARRAY(m->context, m->layout->padded, &padded));
    SS_TRY(ss_vectors_create(m->backend, m->layout, 1, v));
    ss_layout_unpack(m->layout, SS_FLOAT64, packed, padded);
    SS_TRY(ss_vectors_set(v, padded));
fail:
    ss_free(m->context, padded);
    return status;
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
    SS_TRY(unpack(m, f->vector, &x));
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

/* The witness step of verdict `at`, taken. */
static ss_status take(ss_move *m, const ss_verdict *at, ss_escape_result *r, ss_escape_row *best)
{
    ss_status  status = SS_OK;
    ss_vectors v = { 0 };
    *best = (ss_escape_row){ .sign = 0 };
    if (!at->witness.proved && at->flat_probe.found) return take_probe(m, at, r, best);
    if (!at->witness.proved || at->witness.vector == NULL) return SS_OK;
    SS_TRY(unpack(m, at->witness.vector, &v));
    SS_TRY(leave(m, at, &v, r, best));
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
        SS_TRY(take(m, &r->after, NULL, &best));
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
    later.expect_loss = (double)NAN; /* it was that of the start */
    SS_TRY(ss_analyze(context, objective, analyze, &r->before));
    r->loss_start = r->loss_end = r->before.stationarity.loss;
    SS_TRY(ss_move_begin(&m, context, objective, options->max_products, options->time_limit));
    SS_TRY(SS_NEW_ARRAY(context, m.layout->n, &start));
    SS_TRY(SS_NEW_ARRAY(context, m.layout->n, &packed));
    ss_objective_get_weights(objective, start);
    SS_TRY(take(&m, &r->before, r, &best));
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
