/* L-BFGS inside a ball around theta, for the flat-space probe (VERDICT 5): all parameters free, float64.
 *
 * The ball is kept by a change of variables: x = r y while ||y|| <= 1, x = r y / ||y|| beyond, so that the
 * search itself is free. Two-loop recursion (Nocedal 1980), backtracking to the Armijo condition. */
#include "verdict/analysis.h"

#include <math.h>

#define SS_LBFGS_MEMORY 8
#define ARMIJO          1e-4
#define BACKTRACKS      20

typedef struct ball {
    ss_analysis *a;
    double       sign, radius, until;
    ss_vectors   y, trial, offset;     /* variables; offset from theta in units of the radius */
    ss_vectors   g, g_trial, p;        /* gradients by y, search direction */
    ss_vectors   s, z;                 /* SS_LBFGS_MEMORY columns: steps and changes of the gradient */
    double       rho[SS_LBFGS_MEMORY]; /* 1 / s'z */
    int          stored, next;
    double       rounding; /* largest met */
} ball;

/* f(y) = sign * L and its gradient by y into g. */
static ss_status evaluate(ball *b, const ss_vectors *y, const ss_vectors *g, double *f)
{
    ss_status     status = SS_OK;
    ss_loss_value value = { 0 };
    double        length = 0.0, along = 0.0;
    SS_TRY(ss_vectors_norm(y, &length));
    double stretch = length > 1.0 ? 1.0 / length : 1.0;
    SS_TRY(ss_vectors_add(stretch, y, 0.0, &b->offset));
    ss_point point = { b->radius, b->offset.data };
    SS_TRY(ss_analysis_gradient(b->a, NULL, &point, g->data, &value));
    *f = b->sign * value.loss;
    b->rounding = fmax(b->rounding, value.rounding);
    SS_TRY(ss_vectors_scale(b->sign * b->radius * stretch, g));
    if (length > 1.0) { /* only what is tangential counts */
        SS_TRY(ss_vectors_dot(&b->offset, g, &along));
        SS_TRY(ss_vectors_add(-along, &b->offset, 1.0, g));
    }
fail:
    return status;
}

static ss_vectors column(const ss_vectors *x, int j)
{
    return (ss_vectors){ x->backend, ss_vectors_column(x, j), x->padded, 1 };
}

/* p := -B g */
static ss_status direction(ball *b)
{
    ss_status status = SS_OK;
    double    alpha[SS_LBFGS_MEMORY], along = 0.0, square = 0.0;
    SS_TRY(ss_vectors_add(-1.0, &b->g, 0.0, &b->p));
    for (int k = 0; k < b->stored; k++) {
        int        j = (b->next - 1 - k + 2 * SS_LBFGS_MEMORY) % SS_LBFGS_MEMORY;
        ss_vectors s = column(&b->s, j), z = column(&b->z, j);
        SS_TRY(ss_vectors_dot(&s, &b->p, &along));
        alpha[j] = b->rho[j] * along;
        SS_TRY(ss_vectors_add(-alpha[j], &z, 1.0, &b->p));
    }
    if (b->stored > 0) {
        int        j = (b->next - 1 + SS_LBFGS_MEMORY) % SS_LBFGS_MEMORY;
        ss_vectors z = column(&b->z, j);
        SS_TRY(ss_vectors_dot(&z, &z, &square));
        SS_TRY(ss_vectors_scale(1.0 / (b->rho[j] * square), &b->p));
    }
    for (int k = b->stored - 1; k >= 0; k--) {
        int        j = (b->next - 1 - k + 2 * SS_LBFGS_MEMORY) % SS_LBFGS_MEMORY;
        ss_vectors s = column(&b->s, j), z = column(&b->z, j);
        SS_TRY(ss_vectors_dot(&z, &b->p, &along));
        SS_TRY(ss_vectors_add(alpha[j] - b->rho[j] * along, &s, 1.0, &b->p));
    }
fail:
    return status;
}

/* Stores s = trial - y and z = g_trial - g when they curve upwards. */
static ss_status remember(ball *b)
{
    ss_status  status = SS_OK;
    ss_vectors s = column(&b->s, b->next), z = column(&b->z, b->next);
    double     curve = 0.0, ss = 0.0, zz = 0.0;
    SS_TRY(ss_vectors_add(1.0, &b->trial, 0.0, &s));
    SS_TRY(ss_vectors_add(-1.0, &b->y, 1.0, &s));
    SS_TRY(ss_vectors_add(1.0, &b->g_trial, 0.0, &z));
    SS_TRY(ss_vectors_add(-1.0, &b->g, 1.0, &z));
    SS_TRY(ss_vectors_dot(&s, &z, &curve));
    SS_TRY(ss_vectors_dot(&s, &s, &ss));
    SS_TRY(ss_vectors_dot(&z, &z, &zz));
    if (!(curve > 1e-10 * sqrt(ss * zz))) return SS_OK;
    b->rho[b->next] = 1.0 / curve;
    b->next = (b->next + 1) % SS_LBFGS_MEMORY;
    if (b->stored < SS_LBFGS_MEMORY) b->stored++;
fail:
    return status;
}

static bool affordable(const ball *b)
{
    return ss_analysis_used(b->a) + 0.5 <= b->until && !ss_analysis_out_of_time(b->a);
}

/* One step from y; *moved says whether the Armijo condition was met. */
static ss_status step(ball *b, double *f, bool *moved)
{
    ss_status status = SS_OK;
    double    slope = 0.0, length = 0.0, f_trial = 0.0;
    *moved = false;
    SS_TRY(direction(b));
    SS_TRY(ss_vectors_dot(&b->p, &b->g, &slope));
    if (!(slope < 0.0)) {
        b->stored = 0;
        SS_TRY(direction(b));
        SS_TRY(ss_vectors_dot(&b->p, &b->g, &slope));
        if (!(slope < 0.0)) return SS_OK;
    }
    SS_TRY(ss_vectors_norm(&b->p, &length));
    double t = b->stored == 0 ? 0.1 / length : fmin(1.0, 2.0 / length);
    for (int i = 0; i < BACKTRACKS && affordable(b) && !*moved; i++, t *= 0.5) {
        SS_TRY(ss_vectors_add(1.0, &b->y, 0.0, &b->trial));
        SS_TRY(ss_vectors_add(t, &b->p, 1.0, &b->trial));
        SS_TRY(evaluate(b, &b->trial, &b->g_trial, &f_trial));
        *moved = isfinite(f_trial) && f_trial <= *f + ARMIJO * t * slope && f_trial < *f;
    }
    if (!*moved) return SS_OK;
    SS_TRY(remember(b));
    SS_TRY(ss_vectors_add(1.0, &b->trial, 0.0, &b->y));
    SS_TRY(ss_vectors_add(1.0, &b->g_trial, 0.0, &b->g));
    *f = f_trial;
fail:
    return status;
}

static ss_status make(ball *b)
{
    ss_status   status = SS_OK;
    ss_vectors *each[] = { &b->y, &b->trial, &b->offset, &b->g, &b->g_trial, &b->p };
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
        SS_TRY(ss_vectors_create(b->a->subject->backend64, b->a->subject->layout, 1, each[i]));
    }
    SS_TRY(ss_vectors_create(b->a->subject->backend64, b->a->subject->layout, SS_LBFGS_MEMORY, &b->s));
    SS_TRY(ss_vectors_create(b->a->subject->backend64, b->a->subject->layout, SS_LBFGS_MEMORY, &b->z));
fail:
    return status;
}

static void release(ball *b)
{
    ss_vectors *each[] = { &b->y, &b->trial, &b->offset, &b->g, &b->g_trial, &b->p, &b->s, &b->z };
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) ss_vectors_release(each[i]);
}

ss_status ss_lbfgs_in_ball(ss_analysis *a, double sign, double radius, int steps, double allowance,
                           ss_vectors *x, double *value, double *rounding)
{
    ss_status status = SS_OK;
    ball      b = { .a = a, .sign = sign, .radius = radius, .until = ss_analysis_used(a) + allowance };
    double    f = 0.0, settled = 0.0, length = 0.0;
    int       quiet = 0;
    bool      moved = true;
    *value = (double)INFINITY;
    *rounding = 0.0;
    if (!affordable(&b)) return SS_OK;
    SS_TRY(make(&b));
    SS_TRY(ss_vectors_add(0.999 / radius, x, 0.0, &b.y));
    SS_TRY(evaluate(&b, &b.y, &b.g, &f));
    settled = f;
    double start = sign * a->verdict->stationarity.loss;
    for (int i = 0; i < steps && moved && quiet < 8 && affordable(&b); i++) {
        SS_TRY(step(&b, &f, &moved));
        /* Eight steps that together change the decrease by less than 1e-3 of itself: the ball is done. */
        if (fabs(settled - f) <= 1e-3 * fabs(start - f) && f < start) {
            quiet++;
        } else {
            quiet = 0;
            settled = f;
        }
    }
    SS_TRY(ss_vectors_norm(&b.y, &length));
    SS_TRY(ss_vectors_add(length > 1.0 ? radius / length : radius, &b.y, 0.0, x));
    *value = f;
    *rounding = b.rounding;
fail:
    release(&b);
    return status;
}
