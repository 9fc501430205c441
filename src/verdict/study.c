/* Study: one network taken from its initial weights to a critical point, and judged there.
 *
 * First the loss is lowered, to the end or for a few steps only; then ||g||^2 / 2 is minimised, which does
 * not care about the index. Starts that stop early, and small ones that come close to the saddle at zero and
 * to those behind it, lead to saddles of many indices; the others to minima. Everything is a function of the
 * options and the weights alone. */
#include "verdict/study.h"
#include "verdict/move.h"

#include "base/base.h"
#include "hvp/problem.h"

#include <math.h>

#define DESCENT_STEPS 400 /* on the loss, to the end */
/* The rest of the gradient bends exactly flat directions by about as much: what is smaller than this share of
 * the largest |eigenvalue| has no sign, whatever the operator could resolve. */
#define RESOLVED     1e-9
#define DESCENT_LEFT 1e-4 /* of ||g||: from there the quadratic convergence of the second phase is better */

void ss_study_options_init(ss_study_options *options)
{
    *options =
        (ss_study_options){ .scale = 1.0, .loss_steps = -1, .steps = 60, .reduce = 1e-8, .overshoot = 1e-3 };
}

static ss_status walk(ss_move *m, const ss_study_options *o, ss_study_point *p, double *lambda_abs)
{
    ss_status status = SS_OK;
    double    goal = o->reduce * m->norm, best = 0.0;
    ss_end    end = SS_END_UNFINISHED;
    p->loss_start = m->value.loss;
    p->gradient_start = m->norm;
    SS_TRY(ss_move_descend(m, o->loss_steps < 0 ? DESCENT_STEPS : o->loss_steps, DESCENT_LEFT * m->norm,
                           &p->loss_steps));
    SS_TRY(ss_move_critical(m, o->steps, goal * o->overshoot, &p->steps, &end, lambda_abs));
    best = m->norm;
    /* Beyond the goal the rest is a gift: what float64 did not allow is no failure. */
    if (best <= goal && end != SS_END_ESCAPING) end = SS_END_CRITICAL;
    p->gradient = best;
    p->end = end;
fail:
    return status;
}

static void keep_verdict(const ss_verdict *v, ss_study_point *p)
{
    p->loss = v->stationarity.loss;
    p->theta_norm = v->stationarity.theta_norm;
    p->lambda_min = v->curvature.lambda_min;
    p->lambda_max = v->curvature.lambda_max;
    p->tau = v->operator_error.tau;
    p->negative = v->counts.negative.low;
    p->zero = v->counts.zero.low;
    p->positive = v->counts.positive.low;
    p->positive_share = v->counts.positive_share[0];
    p->positive_among_signed = v->counts.positive_among_signed[0];
    p->negative_share = v->counts.negative_share[0];
    p->label = v->label;
    p->evidence = v->evidence;
    p->order = v->order;
}

/* The n columns, what the other questions cost, and a probe of the flat space where it is nearly free. */
static int64_t verdict_products(const ss_objective *objective)
{
    const ss_problem *problem = ss_objective_problem(objective);
    double            n = (double)ss_objective_layout(objective)->n;
    return (int64_t)(n + 100.0 + fmin(2e9 / (12.0 * n * (double)problem->samples), 2000.0));
}

ss_status ss_study(ss_context *context, ss_objective *objective, const ss_study_options *options,
                   const ss_analyze_options *analyze, ss_study_point *point)
{
    ss_status          status = SS_OK;
    ss_analyze_options exact = *analyze;
    ss_verdict         verdict = { 0 };
    ss_move            m = { 0 };
    double            *packed = NULL, lambda_abs = 0.0;
    int64_t            n = ss_objective_layout(objective)->n;
    point->n = n;
    point->scale = options->scale;
    point->silent = options->silent;
    point->paired = options->paired;
    if (n > analyze->dense_limit)
        SS_FAIL(context, SS_ERROR_REFUSED,
                "a study needs all eigenvalues: %lld parameters exceed --dense-limit %lld", (long long)n,
                (long long)analyze->dense_limit);
    SS_TRY(ss_study_start(context, objective, options));
    SS_TRY(ss_move_begin(&m, context, objective, 0.0, options->time_limit));
    SS_TRY(walk(&m, options, point, &lambda_abs));
    SS_TRY(SS_NEW_ARRAY(context, n, &packed));
    SS_TRY(ss_move_weights(&m, packed));
    ss_move_release(&m);
    SS_TRY(ss_objective_set_weights(objective, packed));
    if (exact.tau == 0.0) exact.tau = RESOLVED * lambda_abs;
    if (exact.max_products == 0) exact.max_products = verdict_products(objective);
    SS_TRY(ss_analyze(context, objective, &exact, &verdict));
    keep_verdict(&verdict, point);
fail:
    ss_verdict_destroy(&verdict);
    ss_move_release(&m);
    ss_free(context, packed);
    return status;
}
