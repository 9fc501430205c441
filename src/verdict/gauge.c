/* VERDICT 3, gauge: takes the part out of a vector that lies in the span of the symmetries' tangents Z.
 *
 * v - Z argmin_c ||v - Z c|| by LSQR (Paige & Saunders, ACM TOMS 8, 1982) to 1e-10; Z is never formed, only
 * applied. Off a critical point a symmetry has curvature of order ||g||, which would pass for a witness. */
#include "verdict/analysis.h"

#include <math.h>

#define LSQR_TOLERANCE 1e-10
#define LSQR_STEPS     500

static double norm_of(const double *x, int64_t n)
{
    double square = 0.0;
    for (int64_t i = 0; i < n; i++) square += x[i] * x[i];
    return sqrt(square);
}

static void scale(double *x, int64_t n, double by)
{
    for (int64_t i = 0; i < n; i++) x[i] *= by;
}

typedef struct lsqr {
    int64_t n, rank;
    double *u, *product;          /* [n] */
    double *w, *x, *right, *back; /* [rank] */
} lsqr;

static ss_status lsqr_allocate(ss_context *context, lsqr *s)
{
    ss_status status = SS_OK;
    SS_TRY(SS_NEW_ARRAY(context, s->n, &s->u));
    SS_TRY(SS_NEW_ARRAY(context, s->n, &s->product));
    SS_TRY(SS_NEW_ARRAY(context, s->rank, &s->w));
    SS_TRY(SS_NEW_ARRAY(context, s->rank, &s->x));
    SS_TRY(SS_NEW_ARRAY(context, s->rank, &s->right));
    SS_TRY(SS_NEW_ARRAY(context, s->rank, &s->back));
fail:
    return status;
}

static void lsqr_release(ss_context *context, lsqr *s)
{
    ss_free(context, s->u);
    ss_free(context, s->product);
    ss_free(context, s->w);
    ss_free(context, s->x);
    ss_free(context, s->right);
    ss_free(context, s->back);
}

/* One step of the bidiagonalisation: u and right move on; *alpha, *beta their new lengths. */
static ss_status bidiagonalise(const ss_subject *subject, lsqr *s, double *alpha, double *beta)
{
    ss_status status = SS_OK;
    SS_TRY(subject->class->gauge_multiply(subject->self, s->right, s->product));
    for (int64_t i = 0; i < s->n; i++) s->u[i] = s->product[i] - *alpha * s->u[i];
    *beta = norm_of(s->u, s->n);
    if (*beta > 0.0) scale(s->u, s->n, 1.0 / *beta);
    SS_TRY(subject->class->gauge_transpose(subject->self, s->u, s->back));
    for (int64_t i = 0; i < s->rank; i++) s->right[i] = s->back[i] - *beta * s->right[i];
    *alpha = norm_of(s->right, s->rank);
    if (*alpha > 0.0) scale(s->right, s->rank, 1.0 / *alpha);
fail:
    return status;
}

/* x := argmin ||v - Z x|| */
static ss_status solve(const ss_subject *subject, lsqr *s, const double *v)
{
    ss_status status = SS_OK;
    double    beta = norm_of(v, s->n), alpha = 0.0, scale_z = 0.0;
    if (beta == 0.0) return SS_OK;
    for (int64_t i = 0; i < s->n; i++) s->u[i] = v[i] / beta;
    SS_TRY(subject->class->gauge_transpose(subject->self, s->u, s->right));
    alpha = norm_of(s->right, s->rank);
    if (alpha == 0.0) return SS_OK;
    scale(s->right, s->rank, 1.0 / alpha);
    for (int64_t i = 0; i < s->rank; i++) s->w[i] = s->right[i];
    double phi = beta, rho_bar = alpha;
    for (int step = 0; step < LSQR_STEPS; step++) {
        scale_z = hypot(scale_z, alpha);
        SS_TRY(bidiagonalise(subject, s, &alpha, &beta));
        scale_z = hypot(scale_z, beta);
        double rho = hypot(rho_bar, beta), cosine = rho_bar / rho, sine = beta / rho;
        double theta = sine * alpha, along = cosine * phi;
        for (int64_t i = 0; i < s->rank; i++) {
            s->x[i] += along / rho * s->w[i];
            s->w[i] = s->right[i] - theta / rho * s->w[i];
        }
        rho_bar = -cosine * alpha;
        phi *= sine;
        /* ||Z'r|| against ||Z|| ||r||; or nothing is left of v */
        if (fabs(phi) * alpha * fabs(cosine) <= LSQR_TOLERANCE * scale_z * fabs(phi) ||
            fabs(phi) <= LSQR_TOLERANCE) {
            break;
        }
    }
fail:
    return status;
}

ss_status ss_gauge_project(ss_analysis *a, double *v, double *removed)
{
    ss_status         status = SS_OK;
    const ss_subject *subject = a->subject;
    lsqr              s = { .n = a->verdict->n, .rank = subject->gauge.rank };
    *removed = 0.0;
    if (s.rank <= 0 || subject->class->gauge_multiply == NULL) return SS_OK;
    SS_TRY(lsqr_allocate(a->context, &s));
    SS_TRY(solve(subject, &s, v));
    SS_TRY(subject->class->gauge_multiply(subject->self, s.x, s.product));
    *removed = norm_of(s.product, s.n);
    for (int64_t i = 0; i < s.n; i++) v[i] -= s.product[i];
fail:
    lsqr_release(a->context, &s);
    return status;
}
