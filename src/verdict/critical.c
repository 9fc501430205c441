/* Reducing ||g|| to nothing, whatever the index: Levenberg-Marquardt on ||g||^2 / 2, whose gradient is H g.
 *
 * With the dense H = V diag(lambda) V' and c = V'g the step is p = -V lambda c / (lambda^2 + mu^2): for mu ->
 * 0 Newton's in the least-squares sense, so that the convergence is quadratic, and no eigenvalue's sign
 * matters. One spectrum serves every mu that is tried. The method may stop where the gradient lies in the
 * kernel of H (Frye et al., Neural Comp. 33, 2021): that is said, never passed off as a critical point. */
#include "verdict/move.h"

#include "base/base.h"
#include "network/graph.h"

#include <math.h>

#define TRIES        24    /* values of mu per spectrum */
#define FLAT_RATIO   1e-2  /* ||Hg|| <= this lambda_abs ||g|| at the end: stalled gradient-flat */
#define RUNAWAY      1e-2  /* a last Newton step longer than this share of ||theta||: it runs away */
#define KERNEL       1e-12 /* eigenvalues within this share of lambda_abs count as the kernel for that */
#define LEAST_CHANGE 1e-3  /* ||g|| reduced by less than this share ... */
#define QUIET_STEPS  8     /* ... over so many steps: stalled */

typedef struct spectrum {
    ss_move         *m;
    ss_dense_result *dense;
    double          *c;          /* [n] V'g */
    double          *packed;     /* [n] */
    double          *padded;     /* [padded] */
    ss_vectors       p;          /* step */
    double           mu;         /* damping, a curvature */
    double           flat_ratio; /* ||Hg|| / (lambda_abs ||g||) */
    double           newton;     /* length of the undamped step outside the kernel */
} spectrum;

static ss_status make(spectrum *s)
{
    ss_status status = SS_OK;
    SS_TRY(SS_NEW_ARRAY(s->m->context, s->m->layout->n, &s->c));
    SS_TRY(SS_NEW_ARRAY(s->m->context, s->m->layout->n, &s->packed));
    SS_TRY(SS_NEW_ARRAY(s->m->context, s->m->layout->padded, &s->padded));
    SS_TRY(ss_vectors_create(s->m->backend, s->m->layout, 1, &s->p));
fail:
    return status;
}

static void release(spectrum *s)
{
    ss_dense_result_destroy(s->dense);
    ss_free(s->m->context, s->c);
    ss_free(s->m->context, s->packed);
    ss_free(s->m->context, s->padded);
    ss_vectors_release(&s->p);
}

/* c := V'g, and what it says about the end. */
static ss_status project(spectrum *s)
{
    ss_status              status = SS_OK;
    const ss_layout       *layout = s->m->layout;
    const ss_dense_result *d = s->dense;
    double                 flat = 0.0, newton = 0.0;
    SS_TRY(ss_vectors_get(&s->m->g, s->padded));
    ss_layout_pack(layout, SS_FLOAT64, s->padded, s->packed);
    for (int64_t i = 0; i < d->n; i++) {
        const double *v = d->vectors + i * d->n;
        double        c = 0.0, lambda = d->values[i];
        for (int64_t j = 0; j < d->n; j++) c += v[j] * s->packed[j];
        s->c[i] = c;
        flat += lambda * lambda * c * c;
        if (fabs(lambda) > KERNEL * d->lambda_abs) newton += c * c / (lambda * lambda);
    }
    s->flat_ratio = s->m->norm > 0.0 && d->lambda_abs > 0.0 ? sqrt(flat) / (d->lambda_abs * s->m->norm) : 0.0;
    s->newton = sqrt(newton);
fail:
    return status;
}

static ss_status look(spectrum *s)
{
    ss_status        status = SS_OK;
    ss_operator      op = { 0 };
    ss_dense_options options = { .vectors = true };
    ss_dense_result_destroy(s->dense);
    s->dense = NULL;
    SS_TRY(ss_move_open(s->m, &op));
    SS_TRY(ss_dense_eigen(&op, &options, &s->dense));
    s->m->cost.products += (double)s->dense->products;
    s->m->cost.hessian += s->dense->products;
    SS_TRY(project(s));
fail:
    ss_operator_destroy(&op);
    return status;
}

/* p for the present mu; *left = ||g + H p|| / ||g|| by the model. */
static ss_status step(spectrum *s, double *left)
{
    const ss_dense_result *d = s->dense;
    double                 rest = 0.0;
    for (int64_t j = 0; j < d->n; j++) s->packed[j] = 0.0;
    for (int64_t i = 0; i < d->n; i++) {
        const double *v = d->vectors + i * d->n;
        double        lambda = d->values[i], size = lambda * lambda + s->mu * s->mu;
        double        a = size > 0.0 ? -lambda * s->c[i] / size : 0.0, r = s->c[i] + lambda * a;
        rest += r * r;
        for (int64_t j = 0; j < d->n; j++) s->packed[j] += a * v[j];
    }
    *left = sqrt(rest) / s->m->norm;
    ss_layout_unpack(s->m->layout, SS_FLOAT64, s->packed, s->padded);
    return ss_vectors_set(&s->p, s->padded);
}

/* Values of mu until ||g||^2 falls by a tenth of what the model says. */
static ss_status reduce(spectrum *s, bool *moved)
{
    ss_status status = SS_OK;
    ss_move  *m = s->m;
    double    left = 0.0, least = 1e-14 * s->dense->lambda_abs;
    *moved = false;
    for (int i = 0; i < TRIES && !*moved && s->dense->lambda_abs > 0.0; i++) {
        SS_TRY(step(s, &left));
        SS_TRY(ss_move_try(m, 1.0, &s->p));
        double share = m->norm_trial / m->norm, ratio = (1.0 - share * share) / (1.0 - left * left);
        *moved = share < 1.0 && ratio > 0.1;
        if (!(ratio > 0.25)) s->mu *= 4.0;
        if (ratio > 0.75) s->mu = fmax(0.1 * s->mu, least);
    }
    if (*moved) SS_TRY(ss_move_accept(m));
fail:
    return status;
}

static ss_end conclude(const spectrum *s, double target, double length)
{
    if (s->newton > RUNAWAY * fmax(length, 1.0) && s->m->norm <= target) return SS_END_ESCAPING;
    if (s->m->norm <= target) return SS_END_CRITICAL;
    return s->flat_ratio <= FLAT_RATIO ? SS_END_GRADIENT_FLAT : SS_END_UNFINISHED;
}

/* ||theta + x|| */
static ss_status length_here(ss_move *m, double *length)
{
    ss_status status = SS_OK;
    double   *packed = NULL, square = 0.0;
    SS_TRY(SS_NEW_ARRAY(m->context, m->layout->n, &packed));
    SS_TRY(ss_move_weights(m, packed));
    for (int64_t i = 0; i < m->layout->n; i++) square += packed[i] * packed[i];
    *length = sqrt(square);
fail:
    ss_free(m->context, packed);
    return status;
}

ss_status ss_move_critical(ss_move *m, int64_t steps, double target, int64_t *made, ss_end *end,
                           double *lambda_abs)
{
    ss_status status = SS_OK;
    spectrum  s = { .m = m };
    bool      moved = true;
    int       quiet = 0;
    double    length = 0.0;
    *made = 0;
    *end = SS_END_UNFINISHED;
    SS_TRY(make(&s));
    SS_TRY(look(&s));
    s.mu = 1e-2 * s.dense->lambda_abs;
    while (*made < steps && m->norm > target && moved && quiet < QUIET_STEPS && !ss_move_spent(m)) {
        double before = m->norm;
        SS_TRY(reduce(&s, &moved));
        quiet = moved && m->norm > (1.0 - LEAST_CHANGE) * before ? quiet + 1 : 0;
        (*made)++;
        if (moved) SS_TRY(look(&s));
    }
    SS_TRY(length_here(m, &length));
    *end = conclude(&s, target, length);
    *lambda_abs = s.dense->lambda_abs;
fail:
    release(&s);
    return status;
}
