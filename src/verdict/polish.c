/* Polish: from a point that is nearly critical to the critical point beside it, of whatever index.
 *
 * Newton-MR (Roosta, Liu, Xu & Mahoney, arXiv:1810.00303): p solves H p = -g in the least-squares sense, then
 * t = 1, 1/2, ... until ||g(x + t p)||^2 <= ||g||^2 + 2 rho t g'H p, where g'H p = -(||g||^2 - ||r||^2) by
 * the minimal residual. A gradient in the kernel of H cannot be reduced: the walk ends gradient-flat and says
 * so (Frye et al., Neural Comp. 33, 2021). Where an eigenvalue passes through zero the step is of no use
 * however far it is shortened: MINRES is then ended at an iterate that is short enough, which is a descent
 * direction too. */
#include "verdict/move.h"

#include "base/base.h"

#include <math.h>
#include <stdio.h>

#define RHO        1e-4
#define BACKTRACKS 30
#define FLAT_RATIO 1e-2 /* ||Hg|| <= this lambda_abs ||g||: the gradient lies in the kernel */
#define INNER      300  /* products per step, at most, unless said otherwise */
#define RETRIES    8    /* with shorter iterates, where no part of a step shortens the gradient */
#define RESERVE    2.0  /* of the budget, for the trials behind them */

void ss_polish_options_init(ss_polish_options *options)
{
    *options = (ss_polish_options){ .steps = 10, .reduce = 1e-8 };
}

/* The largest t = 2^-i with enough reduction; the trial is accepted. */
static ss_status backtrack(ss_move *m, const ss_vectors *p, double slope, double *taken, bool *moved)
{
    ss_status status = SS_OK;
    double    square = m->norm * m->norm, t = 1.0;
    *moved = false;
    for (int i = 0; i < BACKTRACKS && !*moved && !ss_move_spent(m); i++, t *= 0.5) {
        *taken = t;
        SS_TRY(ss_move_try(m, t, p));
        *moved = m->norm_trial * m->norm_trial <= square + 2.0 * RHO * t * slope && m->norm_trial < m->norm;
    }
    if (*moved) SS_TRY(ss_move_accept(m));
fail:
    return status;
}

/* One step of at most about *radius, which is adapted: what a step was good for says how long the next may
 * be. */
static ss_status newton_mr(ss_move *m, int64_t inner, double start, double *radius, ss_vectors *p,
                           ss_minres *solved, bool *moved)
{
    ss_status   status = SS_OK;
    double      taken = 0.0, length = 0.0;
    ss_operator op = { 0 };
    double      tolerance = fmax(1e-10, fmin(1e-2, m->norm / start));
    SS_TRY(ss_move_open(m, &op));
    SS_TRY(ss_minres_solve(m, &op, inner, tolerance, *radius, p, solved));
    double slope = -m->norm * m->norm * (1.0 - solved->residual * solved->residual);
    *moved = false;
    if (slope < 0.0) SS_TRY(backtrack(m, p, slope, &taken, moved));
    SS_TRY(ss_vectors_norm(p, &length));
    if (!*moved)
        *radius = fmin(fmin(length, *radius), fmax(m->theta_norm, 1.0)) / 16.0;
    else if (taken < 0.25)
        *radius = 4.0 * taken * length;
    else if (taken == 1.0 && solved->limited)
        *radius *= 4.0;
fail:
    ss_operator_destroy(&op);
    return status;
}

/* ||g|| is what rounding of theta alone makes of it. */
static bool at_rounding(const ss_move *m, double lambda_abs)
{
    return m->norm <= 64.0 * 0x1p-53 * lambda_abs * fmax(m->theta_norm, 1.0);
}

static ss_status walk(ss_move *m, const ss_polish_options *o, ss_verdict_polish *polish)
{
    ss_status  status = SS_OK;
    ss_vectors p = { 0 };
    ss_minres  solved = { 0 };
    double     start = m->norm, target = o->reduce * start;
    int64_t    inner = o->inner > 0 ? o->inner : ss_min64(INNER, m->layout->n);
    double     radius = (double)INFINITY;
    int        failures = 0;
    bool       moved = true;
    SS_TRY(ss_vectors_create(m->backend, m->layout, 1, &p));
    polish->end = start > 0.0 ? SS_END_UNFINISHED : SS_END_CRITICAL;
    while (start > 0.0 && polish->steps < o->steps && failures < RETRIES && m->norm > target &&
           !ss_move_spent(m)) {
        char    remark[48];
        double  left = m->cost.budget - m->cost.products - RESERVE;
        int64_t products = left < (double)inner ? (int64_t)left : inner;
        if (products < 1) break;
        SS_TRY(newton_mr(m, products, start, &radius, &p, &solved, &moved));
        if (moved) polish->steps++;
        failures = moved ? 0 : failures + 1;
        if (!moved && solved.residual >= 1.0) break; /* the gradient lies in the kernel */
        if (solved.lambda_abs > 0.0) polish->flat_ratio = solved.first / solved.lambda_abs;
        snprintf(remark, sizeof remark, "|g| %.3g", m->norm);
        ss_progress(m->context, "polish", (double)polish->steps, (double)o->steps, remark);
    }
    if (m->norm <= target || at_rounding(m, solved.lambda_abs))
        polish->end = SS_END_CRITICAL;
    else if (polish->flat_ratio <= FLAT_RATIO && (!moved || m->norm > 0.5 * start))
        polish->end = SS_END_GRADIENT_FLAT;
fail:
    ss_vectors_release(&p);
    return status;
}

ss_status ss_polish(ss_context *context, ss_objective *objective, const ss_polish_options *options,
                    ss_verdict_polish *polish)
{
    ss_status status = SS_OK;
    ss_move   m;
    double   *packed = NULL;
    *polish = (ss_verdict_polish){ .ran = true };
    if (options->steps < 1)
        return ss_fail(context, SS_ERROR_USAGE, "polishing needs at least one step, found %lld",
                       (long long)options->steps);
    SS_TRY(ss_move_begin(&m, context, objective, options->max_products, options->time_limit));
    polish->loss_start = m.value.loss;
    polish->gradient_start = m.norm;
    SS_TRY(walk(&m, options, polish));
    polish->loss_change = m.value.loss - polish->loss_start;
    polish->gradient_end = m.norm;
    SS_TRY(ss_vectors_norm(&m.x, &polish->moved));
    polish->moved_relative = m.theta_norm > 0.0 ? polish->moved / m.theta_norm : (double)NAN;
    polish->cost = m.cost.products;
    SS_TRY(SS_NEW_ARRAY(context, m.layout->n, &packed));
    SS_TRY(ss_move_weights(&m, packed));
    SS_TRY(ss_objective_set_weights(objective, packed));
fail:
    ss_free(context, packed);
    ss_move_release(&m);
    return status;
}

ss_status ss_polish_analyze(ss_context *context, ss_objective *objective, const ss_polish_options *polish,
                            const ss_analyze_options *options, ss_verdict *verdict)
{
    ss_status          status = SS_OK;
    ss_verdict         before = { 0 };
    ss_verdict_polish  made;
    ss_analyze_options after = *options;
    *verdict = (ss_verdict){ .context = context };
    SS_TRY(ss_analyze(context, objective, options, &before));
    SS_TRY(ss_polish(context, objective, polish, &made));
    made.label_start = before.label;
    made.lambda_min_start = before.curvature.lambda_min;
    made.negative_start = before.counts.negative;
    made.zero_start = before.counts.zero;
    made.positive_start = before.counts.positive;
    after.expect_loss = (double)NAN; /* it was that of the start */
    SS_TRY(ss_analyze(context, objective, &after, verdict));
    verdict->polish = made;
fail:
    ss_verdict_destroy(&before);
    return status;
}
