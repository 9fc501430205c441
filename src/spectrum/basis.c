/* What all bases share: dispatch, sums over the ranks, Gram-Schmidt; see basis.h. */
#include "spectrum/basis.h"

#include "comm/comm.h"

#include <math.h>

void ss_basis_destroy(ss_basis *basis)
{
    if (basis != NULL) basis->class->destroy(basis);
}

ss_status ss_basis_read(ss_basis *basis, int64_t j, const void **column)
{
    return basis->class->read(basis, j, column);
}

ss_status ss_basis_open(ss_basis *basis, int64_t j, void **column)
{
    return basis->class->open(basis, j, column);
}

ss_status ss_basis_close(ss_basis *basis, int64_t j)
{
    return basis->class->close(basis, j);
}

ss_status ss_basis_dot(ss_basis *basis, int64_t k, const void *w, double *h)
{
    ss_status status = basis->class->block_dot(basis, k, w, h);
    return status == SS_OK ? ss_comm_sum(basis->op->comm, h, k) : status;
}

ss_status ss_basis_axpy(ss_basis *basis, int64_t k, const double *h, double beta, void *w)
{
    return basis->class->block_axpy(basis, k, h, beta, w);
}

ss_status ss_basis_orthogonalise(ss_basis *basis, int64_t k, void *w, double *h, double *c, double *norm)
{
    ss_status status = SS_OK;
    for (int64_t i = 0; i < k; i++) h[i] = 0.0;
    for (int pass = 0; pass < 2 && k > 0; pass++) {
        SS_TRY(ss_basis_dot(basis, k, w, c));
        for (int64_t i = 0; i < k; i++) {
            h[i] += c[i];
            c[i] = -c[i];
        }
        SS_TRY(ss_basis_axpy(basis, k, c, 1.0, w));
    }
    SS_TRY(ss_vector_dot(basis->op, w, w, norm));
    *norm = sqrt(*norm);
fail:
    return status;
}

ss_status ss_basis_combine(ss_basis *basis, int64_t k, int64_t l, const double *s)
{
    return basis->class->combine(basis, k, l, s);
}

ss_status ss_basis_copy(ss_basis *basis, int64_t to, int64_t from)
{
    return basis->class->copy(basis, to, from);
}

/* ---- Single vectors -------------------------------------------------------------------------------------
 */
int64_t ss_vector_bytes(const ss_operator *op)
{
    return op->layout->padded * (int64_t)ss_real_size(op->real);
}

ss_status ss_vector_dot(const ss_operator *op, const void *x, const void *y, double *result)
{
    ss_status status = op->backend->class->dot(op->backend, NULL, op->layout->padded, x, y, result);
    return status == SS_OK ? ss_comm_sum(op->comm, result, 1) : status;
}

ss_status ss_vector_axpby(const ss_operator *op, double alpha, const void *x, double beta, void *y)
{
    return op->backend->class->axpby(op->backend, NULL, op->layout->padded, alpha, x, beta, y);
}

ss_status ss_vector_multiply(ss_backend *b, int64_t n, const void *x, const void *y, void *z)
{
    /* x and y are inputs; the struct has no const variant. */
    ss_glu product = { .sweep = SS_FORWARD, .lanes = 1, .y = { z, 1, n, n, 0 } };
    product.a = (ss_matrix){ (void *)(uintptr_t)x, 1, n, n, 0 };
    product.b = (ss_matrix){ (void *)(uintptr_t)y, 1, n, n, 0 };
    return b->class->glu(b, NULL, &product);
}

ss_status ss_vector_random(const ss_operator *op, uint64_t seed, uint64_t stream, const void *live,
                           void *scratch, void *x)
{
    ss_backend *b = op->backend;
    int64_t     n = op->layout->padded;
    if (live == NULL) return b->class->random_normal(b, NULL, op->layout, seed, stream, x);

    ss_status status = b->class->random_normal(b, NULL, op->layout, seed, stream, scratch);
    if (status != SS_OK) return status;
    return ss_vector_multiply(b, n, scratch, live, x);
}
