/* H p = -g in the least-squares sense for an indefinite, possibly singular H: MINRES (Paige & Saunders, SIAM
 * J. Numer. Anal. 12, 1975), the inner solver of Newton-MR (Roosta, Liu, Xu & Mahoney, arXiv:1810.00303).
 *
 * The Lanczos vectors are kept while they are few, and new ones orthogonalised against them: the Hessians of
 * trained networks are so badly conditioned that the three-term recurrence alone forgets what it has done. */
#include "verdict/move.h"

#include "base/base.h"

#include <math.h>

#define KEEP_BYTES ((int64_t)256 << 20) /* of Lanczos vectors */
#define FLAT       1e-10 /* ||H r|| below this share of ||H|| ||r||: nothing is left to reduce */

typedef struct solver {
    ss_move   *m;
    ss_vectors v, y, r1, r2, w, w1, w2; /* names of the paper's recurrences */
    ss_vectors kept;                    /* Lanczos vectors so far */
    int64_t    room;                    /* columns of `kept` */
    double    *h;                       /* [room] coefficients */
} solver;

static ss_status make(solver *s, int64_t limit)
{
    ss_status   status = SS_OK;
    ss_vectors *each[] = { &s->v, &s->y, &s->r1, &s->r2, &s->w, &s->w1, &s->w2 };
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        SS_TRY(ss_vectors_create(s->m->backend, s->m->layout, 1, each[i]));
    }
    s->room = ss_min64(limit, KEEP_BYTES / (8 * s->m->layout->padded));
    if (s->room < 2) s->room = 0;
    if (s->room > 0) SS_TRY(ss_vectors_create(s->m->backend, s->m->layout, s->room, &s->kept));
    SS_TRY(SS_NEW_ARRAY(s->m->context, s->room, &s->h));
fail:
    return status;
}

static void release(solver *s)
{
    ss_vectors *each[] = { &s->v, &s->y, &s->r1, &s->r2, &s->w, &s->w1, &s->w2, &s->kept };
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) ss_vectors_release(each[i]);
    ss_free(s->m->context, s->h);
}

/* y := y - V V'y for the vectors kept. */
static ss_status orthogonalise(solver *s, int64_t count)
{
    ss_status   status = SS_OK;
    ss_backend *b = s->m->backend;
    int64_t     n = s->m->layout->padded;
    if (count < 1) return SS_OK;
    SS_TRY(b->class->block_dot(b, NULL, n, count, s->kept.data, n, s->y.data, s->h));
    for (int64_t i = 0; i < count; i++) s->h[i] = -s->h[i];
    SS_TRY(b->class->block_axpy(b, NULL, n, count, s->kept.data, n, s->h, 1.0, s->y.data));
fail:
    return status;
}

/* One Lanczos step from r2 of length beta: alpha, the new beta; v is the unit vector, r1 and r2 move on. */
static ss_status lanczos(solver *s, ss_operator *op, int64_t k, double before, double *beta, double *alpha)
{
    ss_status status = SS_OK;
    int64_t   kept = ss_min64(k + 1, s->room);
    SS_TRY(ss_vectors_add(1.0 / *beta, &s->r2, 0.0, &s->v));
    if (k < s->room) SS_TRY(ss_vectors_copy(&s->v, 0, &s->kept, k));
    SS_TRY(ss_move_product(s->m, op, &s->v, &s->y));
    if (k > 0) SS_TRY(ss_vectors_add(-*beta / before, &s->r1, 1.0, &s->y));
    SS_TRY(ss_vectors_dot(&s->v, &s->y, alpha));
    SS_TRY(ss_vectors_add(-*alpha / *beta, &s->r2, 1.0, &s->y));
    SS_TRY(orthogonalise(s, kept));
    SS_TRY(ss_vectors_copy(&s->r2, 0, &s->r1, 0));
    SS_TRY(ss_vectors_copy(&s->y, 0, &s->r2, 0));
    SS_TRY(ss_vectors_norm(&s->r2, beta));
fail:
    return status;
}

ss_status ss_minres_solve(ss_move *m, ss_operator *op, int64_t limit, double tolerance, double longest,
                          ss_vectors *p, ss_minres *result)
{
    ss_status status = SS_OK;
    solver    s = { .m = m };
    double    beta = m->norm, before = 0.0, alpha = 0.0, length = 0.0;
    double    bar = 0.0, epsilon = 0.0, phi = m->norm, c = -1.0, sn = 0.0, squares = 0.0;
    *result = (ss_minres){ .residual = 1.0 };
    SS_TRY(ss_vectors_zero(p));
    if (!(beta > 0.0) || limit < 1) return SS_OK;
    SS_TRY(make(&s, limit));
    SS_TRY(ss_vectors_add(-1.0, &m->g, 0.0, &s.r2));
    SS_TRY(ss_vectors_copy(&s.r2, 0, &s.r1, 0));
    for (int64_t k = 0; k < limit && !ss_move_spent(m); k++) {
        double entry = beta;
        SS_TRY(lanczos(&s, op, k, before, &beta, &alpha));
        before = entry;
        double size = sqrt(alpha * alpha + beta * beta + (k > 0 ? entry * entry : 0.0));
        result->lambda_abs = fmax(result->lambda_abs, size);
        if (k == 0) result->first = sqrt(alpha * alpha + beta * beta);
        double old = epsilon, delta = c * bar + sn * alpha, g = sn * bar - c * alpha;
        epsilon = sn * beta;
        bar = -c * beta;
        squares = fmax(squares, size);
        /* ||H r|| of the residual before this step is phi hypot(g, bar). */
        bool   flat = hypot(g, bar) <= FLAT * squares;
        double gamma = hypot(g, beta);
        if (flat || !(gamma > 0.0)) {
            result->products = k + 1;
            break;
        }
        c = g / gamma;
        sn = beta / gamma;
        double step = c * phi;
        phi = sn * phi;
        SS_TRY(ss_vectors_copy(&s.w2, 0, &s.w1, 0));
        SS_TRY(ss_vectors_copy(&s.w, 0, &s.w2, 0));
        SS_TRY(ss_vectors_add(1.0 / gamma, &s.v, 0.0, &s.w));
        SS_TRY(ss_vectors_add(-old / gamma, &s.w1, 1.0, &s.w));
        SS_TRY(ss_vectors_add(-delta / gamma, &s.w2, 1.0, &s.w));
        SS_TRY(ss_vectors_add(step, &s.w, 1.0, p));
        result->products = k + 1;
        if (k > 0 &&
            isfinite(longest)) { /* the iterates grow: the last one within is as good as a trust region's */
            SS_TRY(ss_vectors_norm(p, &length));
            if (length > longest) {
                SS_TRY(ss_vectors_add(-step, &s.w, 1.0, p));
                result->limited = true;
                break;
            }
        }
        result->residual = phi / m->norm;
        if (result->residual <= tolerance || beta <= 1e-14 * squares) break;
    }
    SS_TRY(ss_vectors_norm(p, &length));
    if (!isfinite(length)) SS_FAIL(m->context, SS_ERROR_NUMERIC, "the Newton-MR step is not finite");
fail:
    release(&s);
    return status;
}
