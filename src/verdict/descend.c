/* Lowering the loss by a second-order method: Newton-CG in a trust region (Steihaug, SIAM J. Numer. Anal. 20,
 * 1983). A direction of negative curvature met on the way is followed to the border of the region, so that
 * saddles are left behind. */
#include "verdict/move.h"

#include "base/base.h"

#include <math.h>

#define CG_LIMIT    200
#define LEAST_TRUST 1e-12 /* of max(||theta||, 1): a region smaller than this gains nothing any more */

typedef struct region {
    ss_move   *m;
    ss_vectors p, hp, r, d, hd; /* step and H p, residual, direction and H d */
    double     radius;
    double     predicted; /* decrease of the model along p */
} region;

static ss_status make(region *t)
{
    ss_status   status = SS_OK;
    ss_vectors *each[] = { &t->p, &t->hp, &t->r, &t->d, &t->hd };
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        SS_TRY(ss_vectors_create(t->m->backend, t->m->layout, 1, each[i]));
    }
fail:
    return status;
}

static void release(region *t)
{
    ss_vectors *each[] = { &t->p, &t->hp, &t->r, &t->d, &t->hd };
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) ss_vectors_release(each[i]);
}

/* p := p + a d, H p likewise. */
static ss_status extend(region *t, double a)
{
    ss_status status = SS_OK;
    SS_TRY(ss_vectors_add(a, &t->d, 1.0, &t->p));
    SS_TRY(ss_vectors_add(a, &t->hd, 1.0, &t->hp));
fail:
    return status;
}

/* a > 0 with ||p + a d|| = radius */
static ss_status to_border(region *t)
{
    ss_status status = SS_OK;
    double    pp = 0.0, pd = 0.0, dd = 0.0;
    SS_TRY(ss_vectors_dot(&t->p, &t->p, &pp));
    SS_TRY(ss_vectors_dot(&t->p, &t->d, &pd));
    SS_TRY(ss_vectors_dot(&t->d, &t->d, &dd));
    double root = sqrt(pd * pd + dd * fmax(t->radius * t->radius - pp, 0.0));
    SS_TRY(extend(t, pd > 0.0 ? fmax(t->radius * t->radius - pp, 0.0) / (pd + root) : (root - pd) / dd));
fail:
    return status;
}

/* The step within the region, and what the model promises along it. */
static ss_status steihaug(region *t, double tolerance)
{
    ss_status   status = SS_OK;
    ss_move    *m = t->m;
    ss_operator op = { 0 };
    double      rr = m->norm * m->norm, next = 0.0, bend = 0.0, dd = 0.0, pp = 0.0, pd = 0.0, slope = 0.0;
    SS_TRY(ss_move_open(m, &op));
    SS_TRY(ss_vectors_zero(&t->p));
    SS_TRY(ss_vectors_zero(&t->hp));
    SS_TRY(ss_vectors_copy(&m->g, 0, &t->r, 0));
    SS_TRY(ss_vectors_add(-1.0, &m->g, 0.0, &t->d));
    for (int k = 0; k < CG_LIMIT && rr > 0.0; k++) {
        SS_TRY(ss_move_product(m, &op, &t->d, &t->hd));
        SS_TRY(ss_vectors_dot(&t->d, &t->hd, &bend));
        SS_TRY(ss_vectors_dot(&t->d, &t->d, &dd));
        SS_TRY(ss_vectors_dot(&t->p, &t->p, &pp));
        SS_TRY(ss_vectors_dot(&t->p, &t->d, &pd));
        double a = bend > 0.0 ? rr / bend : (double)INFINITY;
        if (!(bend > 1e-14 * dd) || sqrt(pp + 2.0 * a * pd + a * a * dd) >= t->radius) {
            SS_TRY(to_border(t));
            break;
        }
        SS_TRY(extend(t, a));
        SS_TRY(ss_vectors_add(a, &t->hd, 1.0, &t->r));
        SS_TRY(ss_vectors_dot(&t->r, &t->r, &next));
        if (sqrt(next) <= tolerance * m->norm || ss_move_spent(m)) break;
        SS_TRY(ss_vectors_add(-1.0, &t->r, next / rr, &t->d));
        rr = next;
    }
    SS_TRY(ss_vectors_dot(&m->g, &t->p, &slope));
    SS_TRY(ss_vectors_dot(&t->p, &t->hp, &bend));
    t->predicted = -slope - 0.5 * bend;
fail:
    ss_operator_destroy(&op);
    return status;
}

/* Tries the step and fits the region to how well the model held. In the last digits the loss says nothing any
 * more: then a smaller gradient is progress too. */
static ss_status judge(region *t, bool *accepted)
{
    ss_status status = SS_OK;
    ss_move  *m = t->m;
    double    length = 0.0;
    SS_TRY(ss_move_try(m, 1.0, &t->p));
    SS_TRY(ss_vectors_norm(&t->p, &length));
    double real = m->value.loss - m->trial.loss, rounding = 10.0 * fmax(m->value.rounding, m->trial.rounding);
    bool   silent = t->predicted <= rounding && fabs(real) <= 2.0 * rounding;
    double ratio = silent ? (m->norm_trial < m->norm ? 1.0 : 0.0) : real / t->predicted;
    *accepted = ratio > 0.1;
    if (!(ratio > 0.25)) t->radius = 0.25 * length;
    if (ratio > 0.75 && length > 0.9 * t->radius) t->radius *= 2.0;
    if (*accepted) SS_TRY(ss_move_accept(m));
fail:
    return status;
}

ss_status ss_move_descend(ss_move *m, int64_t steps, double target, int64_t *made)
{
    ss_status status = SS_OK;
    region    t = { .m = m, .radius = fmax(0.1 * m->theta_norm, 0.1) };
    double    start = m->norm, least = LEAST_TRUST * fmax(m->theta_norm, 1.0);
    bool      accepted = false;
    *made = 0;
    SS_TRY(make(&t));
    while (*made < steps && m->norm > target && t.radius > least && !ss_move_spent(m)) {
        SS_TRY(steihaug(&t, fmin(0.1, sqrt(m->norm / fmax(start, m->norm)))));
        SS_TRY(judge(&t, &accepted));
        (*made)++;
    }
fail:
    release(&t);
    return status;
}
