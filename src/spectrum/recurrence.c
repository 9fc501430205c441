/* The three-term recurrence: alpha and beta with three vectors, and its replay for a vector.
 *
 * w = H v_j - beta_{j-1} v_{j-1};  alpha_j = v_j'w;  w -= alpha_j v_j;  beta_j = ||w||  (Paige's order of
 * operations, the stable one). Without reorthogonalisation extreme Ritz values stay right and only repeat
 * themselves; the bounds hold for the nearby larger problem (Greenbaum 1989). */
#include "spectrum/eigen.h"

#include "base/philox.h"

#include <math.h>

ss_status ss_recurrence_start(ss_eigen_state *s, void *x, double *norm)
{
    ss_status status = SS_OK;
    double    square = 0.0;
    if (s->o.start != NULL)
        SS_TRY(s->op->backend->class->copy(s->op->backend, NULL, x, s->o.start, ss_vector_bytes(s->op)));
    else
        SS_TRY(ss_vector_random(s->op, s->o.seed, SS_STREAM_START, s->o.live, s->scratch[2], x));
    SS_TRY(ss_vector_dot(s->op, x, x, &square));
    if (!(square > 0.0) || !isfinite(square))
        SS_FAIL(s->context, SS_ERROR_USAGE, "the start vector's squared length is %g, must be positive",
                square);
    *norm = sqrt(square);
    SS_TRY(ss_vector_axpby(s->op, 0.0, NULL, 1.0 / *norm, x));
fail:
    return status;
}

/* v_{j-1}, v_j, room -> v_j, v_{j+1}, room */
static void rotate(ss_eigen_state *s)
{
    void *room = s->scratch[0];
    s->scratch[0] = s->scratch[1];
    s->scratch[1] = s->scratch[2];
    s->scratch[2] = room;
}

ss_status ss_recurrence_advance(const ss_operator *op, const void *previous, double coupling, const void *v,
                                void *w, double *alpha, double *beta)
{
    ss_status status = SS_OK;
    double    square = 0.0;
    if (previous != NULL) SS_TRY(ss_vector_axpby(op, -coupling, previous, 1.0, w));
    SS_TRY(ss_vector_dot(op, v, w, alpha));
    SS_TRY(ss_vector_axpby(op, -*alpha, v, 1.0, w));
    SS_TRY(ss_vector_dot(op, w, w, &square));
    *beta = sqrt(square);
fail:
    return status;
}

ss_status ss_recurrence_step(ss_eigen_state *s)
{
    ss_status status = SS_OK;
    int64_t   j = s->i.sequence;
    double    alpha = 0.0, beta = 0.0, product_norm = 0.0;
    if (j == 0) SS_TRY(ss_recurrence_start(s, s->scratch[1], &s->r.start_norm));
    void *v = s->scratch[1], *w = s->scratch[2];
    SS_TRY(ss_eigen_apply(s, v, w, &product_norm));

    double      start = ss_seconds();
    const void *previous = j > 0 ? s->scratch[0] : NULL;
    SS_TRY(ss_recurrence_advance(s->op, previous, j > 0 ? s->beta[j - 1] : 0.0, v, w, &alpha, &beta));
    bool broken = beta <= ss_eigen_breakdown_limit(s, product_norm);
    SS_TRY(ss_sequence_push(s, alpha, beta));
    if (broken) {
        s->i.closed = 1;
        if (s->i.invariant == 0) s->i.invariant = j + 1;
        if (j + 1 == s->result->n_live) s->i.complete = 1;
    } else {
        SS_TRY(ss_vector_axpby(s->op, 0.0, NULL, 1.0 / beta, w));
        rotate(s);
    }
    s->r.seconds_orthogonalisation += ss_seconds() - start;
fail:
    return status;
}

ss_status ss_recurrence_replay(ss_eigen_state *s, const double *c, void *x)
{
    ss_status status = SS_OK;
    double    norm = 0.0;
    int64_t   k = s->i.sequence;
    SS_TRY(ss_recurrence_start(s, s->scratch[1], &norm));
    /* All k steps are run, so that the recurrence's vectors are afterwards what they were before. */
    for (int64_t j = 0; j < k; j++) {
        void *v = s->scratch[1], *w = s->scratch[2];
        SS_TRY(ss_vector_axpby(s->op, c[j], v, j == 0 ? 0.0 : 1.0, x));
        if (s->beta[j] == 0.0) break;
        SS_TRY(ss_operator_apply(s->op, 1, v, s->op->layout->padded, w, s->op->layout->padded));
        s->result->replayed++;
        if (j > 0) SS_TRY(ss_vector_axpby(s->op, -s->beta[j - 1], s->scratch[0], 1.0, w));
        SS_TRY(ss_vector_axpby(s->op, -s->alpha[j], v, 1.0, w));
        SS_TRY(ss_vector_axpby(s->op, 0.0, NULL, 1.0 / s->beta[j], w));
        rotate(s);
    }
fail:
    return status;
}
