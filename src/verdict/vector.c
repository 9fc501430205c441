/* Long vectors of the verdict: thin calls to the backend's vector primitives. */
#include "verdict/vector.h"

#include <math.h>

ss_status ss_vectors_create(ss_backend *backend, const ss_layout *layout, int64_t count, ss_vectors *x)
{
    ss_status status = SS_OK;
    int64_t   bytes = 0;
    *x = (ss_vectors){ .backend = backend, .padded = layout->padded, .count = count };
    if (!ss_mul64(layout->padded, count, &bytes) ||
        !ss_mul64(bytes, (int64_t)ss_real_size(backend->real), &bytes)) {
        SS_FAIL(backend->context, SS_ERROR_MEMORY, "%lld vectors of %lld elements exceed the address space",
                (long long)count, (long long)layout->padded);
    }
    SS_TRY(backend->class->allocate(backend, bytes, &x->data));
    SS_TRY(backend->class->zero(backend, NULL, x->data, bytes));
    return SS_OK;
fail:
    ss_vectors_release(x);
    return status;
}

void ss_vectors_release(ss_vectors *x)
{
    if (x->backend != NULL) x->backend->class->release(x->backend, x->data);
    *x = (ss_vectors){ 0 };
}

void *ss_vectors_column(const ss_vectors *x, int64_t j)
{
    return (char *)x->data + j * x->padded * (int64_t)ss_real_size(x->backend->real);
}

ss_status ss_vectors_copy(const ss_vectors *x, int64_t jx, const ss_vectors *y, int64_t jy)
{
    ss_backend *b = y->backend;
    void       *from = ss_vectors_column(x, jx), *to = ss_vectors_column(y, jy);
    if (x->backend->real == b->real) {
        return b->class->copy(b, NULL, to, from, y->padded * (int64_t)ss_real_size(b->real));
    }
    return b->class->convert(b, NULL, to, b->real, from, ss_real_type(x->backend->real), y->padded, 1.0, 0.0);
}

ss_status ss_vectors_add(double alpha, const ss_vectors *x, double beta, const ss_vectors *y)
{
    ss_backend *b = y->backend;
    return b->class->axpby(b, NULL, y->padded, alpha, x->data, beta, y->data);
}

ss_status ss_vectors_scale(double alpha, const ss_vectors *x)
{
    ss_backend *b = x->backend;
    return b->class->axpby(b, NULL, x->padded, 0.0, NULL, alpha, x->data);
}

ss_status ss_vectors_zero(const ss_vectors *x)
{
    ss_backend *b = x->backend;
    return b->class->zero(b, NULL, x->data, x->padded * x->count * (int64_t)ss_real_size(b->real));
}

ss_status ss_vectors_dot(const ss_vectors *x, const ss_vectors *y, double *result)
{
    ss_backend *b = x->backend;
    return b->class->dot(b, NULL, x->padded, x->data, y->data, result);
}

ss_status ss_vectors_norm(const ss_vectors *x, double *norm)
{
    double    square = 0.0;
    ss_status status = ss_vectors_dot(x, x, &square);
    *norm = sqrt(square);
    return status;
}

ss_status ss_vectors_random_unit(const ss_vectors *x, const ss_layout *layout, uint64_t seed, uint64_t stream)
{
    ss_status   status = SS_OK;
    ss_backend *b = x->backend;
    double      norm = 0.0;
    SS_TRY(b->class->random_normal(b, NULL, layout, seed, stream, x->data));
    SS_TRY(ss_vectors_norm(x, &norm));
    SS_TRY(ss_vectors_scale(1.0 / norm, x));
fail:
    return status;
}

/* Host doubles pass through a buffer of the backend's real type. */
ss_status ss_vectors_get(const ss_vectors *x, double *host)
{
    ss_status   status = SS_OK;
    ss_backend *b = x->backend;
    int64_t     bytes = x->padded * (int64_t)ss_real_size(b->real);
    float      *single = NULL;
    if (b->real == SS_FLOAT64) {
        SS_TRY(b->class->download(b, NULL, host, x->data, bytes));
        SS_TRY(b->class->queue_synchronize(b, NULL));
        return SS_OK;
    }
    SS_TRY(SS_NEW_ARRAY(b->context, x->padded, &single));
    SS_TRY(b->class->download(b, NULL, single, x->data, bytes));
    SS_TRY(b->class->queue_synchronize(b, NULL));
    for (int64_t i = 0; i < x->padded; i++) host[i] = (double)single[i];
fail:
    ss_free(b->context, single);
    return status;
}

ss_status ss_vectors_set(const ss_vectors *x, const double *host)
{
    ss_status   status = SS_OK;
    ss_backend *b = x->backend;
    int64_t     bytes = x->padded * (int64_t)ss_real_size(b->real);
    float      *single = NULL;
    if (b->real == SS_FLOAT64) {
        SS_TRY(b->class->upload(b, NULL, x->data, host, bytes));
        SS_TRY(b->class->queue_synchronize(b, NULL));
        return SS_OK;
    }
    SS_TRY(SS_NEW_ARRAY(b->context, x->padded, &single));
    for (int64_t i = 0; i < x->padded; i++) single[i] = (float)host[i];
    SS_TRY(b->class->upload(b, NULL, x->data, single, bytes));
    SS_TRY(b->class->queue_synchronize(b, NULL));
fail:
    ss_free(b->context, single);
    return status;
}
