/* What a result hands out: Ritz vectors, combinations of the basis, true residuals, counts. */
#include "spectrum/eigen.h"

#include <math.h>

/* x := x / ||x|| */
static ss_status normalise(const ss_operator *op, void *x)
{
    double    square = 0.0;
    ss_status status = ss_vector_dot(op, x, x, &square);
    if (status != SS_OK) return status;
    if (!(square > 0.0) || !isfinite(square))
        return ss_fail(op->backend->context, SS_ERROR_NUMERIC, "a Ritz vector has squared length %g", square);
    return ss_vector_axpby(op, 0.0, NULL, 1.0 / sqrt(square), x);
}

ss_status ss_eigen_vector(ss_eigen_result *result, int64_t index, void *x)
{
    ss_eigen_state *s = result->state;
    ss_status       status = SS_OK;
    if (index < 0 || index >= result->size)
        SS_FAIL(s->context, SS_ERROR_USAGE, "there is no Ritz vector %lld, only %lld", (long long)index,
                (long long)result->size);
    const double *c = s->small + index * result->size;
    if (s->basis == NULL && result->method == SS_EIGEN_BASIS)
        SS_FAIL(s->context, SS_ERROR_USAGE, "the basis of the Ritz vectors was given back");
    if (s->basis != NULL)
        SS_TRY(ss_basis_axpy(s->basis, result->size, c, 0.0, x));
    else
        SS_TRY(ss_recurrence_replay(s, c, x));
    SS_TRY(normalise(s->op, x));
fail:
    return status;
}

ss_status ss_eigen_combine(ss_eigen_result *result, const double *c, void *x)
{
    ss_eigen_state *s = result->state;
    if (s->basis == NULL)
        return ss_fail(s->context, SS_ERROR_USAGE, "three-vector mode keeps no basis to combine");
    return ss_basis_axpy(s->basis, result->size, c, 0.0, x);
}

ss_status ss_eigen_verify(ss_eigen_result *result, int64_t index)
{
    ss_eigen_state *s = result->state;
    ss_backend     *b = s->op->backend;
    ss_status       status = SS_OK;
    int64_t         n = s->op->layout->padded;
    void           *x = NULL, *y = NULL;
    double          quotient = 0.0, square = 0.0;
    SS_TRY(b->class->allocate(b, ss_vector_bytes(s->op), &x));
    SS_TRY(b->class->allocate(b, ss_vector_bytes(s->op), &y));

    SS_TRY(ss_eigen_vector(result, index, x));
    SS_TRY(ss_operator_apply(s->op, 1, x, n, y, n));
    result->products++;
    SS_TRY(ss_vector_dot(s->op, x, y, &quotient));
    SS_TRY(ss_vector_axpby(s->op, -quotient, x, 1.0, y));
    SS_TRY(ss_vector_dot(s->op, y, y, &square));
    result->ritz[index].quotient = quotient;
    result->ritz[index].true_residual = sqrt(square);
fail:
    b->class->release(b, x);
    b->class->release(b, y);
    return status;
}

ss_status ss_eigen_counts(ss_eigen_result *result, double tau, double eta, ss_counts *counts)
{
    ss_eigen_state *s = result->state;
    if (s->o.start != NULL) return ss_fail(s->context, SS_ERROR_USAGE, "counts need a random start vector");
    return ss_bounds_counts(s->context, &result->first, result->n_live, tau, s->o.delta, eta, counts);
}
