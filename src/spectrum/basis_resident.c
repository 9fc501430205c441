/* A basis whose columns all lie side by side in the backend's memory. */
#include "spectrum/basis.h"

typedef struct resident_basis {
    ss_basis base;    /* first member */
    char    *columns; /* device [capacity, padded] */
} resident_basis;

static char *column_at(ss_basis *basis, int64_t j)
{
    return ((resident_basis *)basis)->columns +
           j * basis->op->layout->padded * (int64_t)ss_real_size(basis->op->real);
}

static void resident_destroy(ss_basis *basis)
{
    ss_backend *b = basis->op->backend;
    b->class->release(b, ((resident_basis *)basis)->columns);
    ss_free(b->context, basis);
}

static ss_status resident_read(ss_basis *basis, int64_t j, const void **column)
{
    *column = column_at(basis, j);
    return SS_OK;
}

static ss_status resident_open(ss_basis *basis, int64_t j, void **column)
{
    *column = column_at(basis, j);
    return SS_OK;
}

static ss_status resident_close(ss_basis *basis, int64_t j)
{
    (void)basis;
    (void)j;
    return SS_OK;
}

static ss_status resident_dot(ss_basis *basis, int64_t k, const void *w, double *h)
{
    ss_backend *b = basis->op->backend;
    int64_t     n = basis->op->layout->padded;
    return b->class->block_dot(b, NULL, n, k, column_at(basis, 0), n, w, h);
}

static ss_status resident_axpy(ss_basis *basis, int64_t k, const double *h, double beta, void *w)
{
    ss_backend *b = basis->op->backend;
    int64_t     n = basis->op->layout->padded;
    return b->class->block_axpy(b, NULL, n, k, column_at(basis, 0), n, h, beta, w);
}

static ss_status resident_combine(ss_basis *basis, int64_t k, int64_t l, const double *s)
{
    ss_backend *b = basis->op->backend;
    int64_t     n = basis->op->layout->padded;
    return b->class->block_combine(b, NULL, n, k, l, column_at(basis, 0), n, s);
}

static ss_status resident_copy(ss_basis *basis, int64_t to, int64_t from)
{
    ss_backend *b = basis->op->backend;
    int64_t     bytes = basis->op->layout->padded * (int64_t)ss_real_size(basis->op->real);
    if (to == from) return SS_OK;
    return b->class->copy(b, NULL, column_at(basis, to), column_at(basis, from), bytes);
}

static const ss_basis_class resident_class = {
    .name = "resident",
    .destroy = resident_destroy,
    .read = resident_read,
    .open = resident_open,
    .close = resident_close,
    .block_dot = resident_dot,
    .block_axpy = resident_axpy,
    .combine = resident_combine,
    .copy = resident_copy,
};

ss_status ss_basis_create_resident(const ss_operator *op, int64_t capacity, ss_basis **basis)
{
    ss_backend     *b = op->backend;
    ss_status       status = SS_OK;
    resident_basis *r = NULL;
    int64_t         bytes = 0;
    *basis = NULL;
    if (!ss_mul64(op->layout->padded, capacity, &bytes) ||
        !ss_mul64(bytes, (int64_t)ss_real_size(op->real), &bytes))
        SS_FAIL(b->context, SS_ERROR_MEMORY, "%lld basis vectors of %lld elements exceed the address space",
                (long long)capacity, (long long)op->layout->padded);

    SS_TRY(SS_NEW(b->context, &r));
    r->base = (ss_basis){ .class = &resident_class, .op = op, .capacity = capacity };
    SS_TRY(b->class->allocate(b, bytes, (void **)&r->columns));
    *basis = &r->base;
    return SS_OK;
fail:
    ss_free(b->context, r);
    return status;
}
