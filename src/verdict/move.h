/* A point on the move: theta + x, its loss and gradient, the Hessian there, and what all of it has cost.
 *
 * Everything that leaves theta (polish, escape, study) walks with this: float64 throughout, x starts at zero,
 * the price list is that of analyze (a product 1, a gradient 1/2, a loss 1/6). */
#ifndef SS_VERDICT_MOVE_H
#define SS_VERDICT_MOVE_H

#include "saddlescope/follow.h"
#include "verdict/vector.h"

typedef struct ss_move {
    ss_context      *context;          /* borrowed */
    ss_objective    *objective;        /* borrowed */
    const ss_layout *layout;           /* borrowed */
    ss_backend      *backend;          /* float64; borrowed */
    ss_vectors       x;                /* displacement from theta */
    ss_vectors       g;                /* gradient at theta + x */
    ss_vectors       x_trial, g_trial; /* of the last trial */
    ss_loss_value    value, trial;     /* losses there */
    double           norm, norm_trial; /* ||g|| */
    double           theta_norm;       /* of the start */
    double           began;            /* clock */
    double           time_limit;       /* s; 0 = none */
    ss_follow_cost   cost;
} ss_move;

/* Loss and gradient at theta, x = 0. Release in any case. `products` <= 0: no limit. */
ss_status ss_move_begin(ss_move *m, ss_context *context, ss_objective *objective, double products,
                        double time_limit);
void      ss_move_release(ss_move *m);
/* Places x (packed [n]) and evaluates there. */
ss_status ss_move_place(ss_move *m, const double *packed);
/* Loss and gradient at x + t p: x_trial, g_trial, trial, norm_trial. A loss that overflows is an answer. */
ss_status ss_move_try(ss_move *m, double t, const ss_vectors *p);
/* x, g, value, norm := those of the trial. */
ss_status ss_move_accept(ss_move *m);
/* The Hessian at theta + x. */
ss_status ss_move_open(ss_move *m, ss_operator *op);
ss_status ss_move_product(ss_move *m, ss_operator *op, const ss_vectors *p, const ss_vectors *hp);
/* theta + x, packed [n]. */
ss_status ss_move_weights(ss_move *m, double *packed);
/* Is the budget or the time spent? Notes it in the cost. */
bool ss_move_spent(ss_move *m);

/* ---- minres.c ---- */
typedef struct ss_minres {
    int64_t products;   /* made */
    double  residual;   /* ||H p + g|| / ||g|| */
    double  first;      /* ||H g|| / ||g|| */
    double  lambda_abs; /* largest |curvature| seen, an estimate */
    bool    limited;    /* `longest` ended it */
} ss_minres;
/* p: H p = -g in the least-squares sense, by at most `limit` products, to the relative residual `tolerance`
 * or until ||H r|| shows that the residual r cannot be reduced, or to the last iterate that is no longer than
 * `longest` (the first one counts in any case). */
ss_status ss_minres_solve(ss_move *m, ss_operator *op, int64_t limit, double tolerance, double longest,
                          ss_vectors *p, ss_minres *result);

/* ---- descend.c ---- */
/* Lowers the loss by at most `steps` steps of a trust-region Newton-CG method with negative curvature, until
 * ||g|| <= target or nothing more can be gained in float64. *made counts them. */
ss_status ss_move_descend(ss_move *m, int64_t steps, double target, int64_t *made);

/* ---- critical.c ---- */
/* Reduces ||g|| by at most `steps` Levenberg-Marquardt steps on ||g||^2 with the dense Hessian, until
 * ||g|| <= target. *end says how that went, *lambda_abs is the largest |eigenvalue| where it ended. */
ss_status ss_move_critical(ss_move *m, int64_t steps, double target, int64_t *made, ss_end *end,
                           double *lambda_abs);

#endif
