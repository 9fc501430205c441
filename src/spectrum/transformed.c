/* Operators made of another one: P H P on the complement of a vector, D H D with a diagonal D. */
#include "saddlescope/spectrum.h"

#include "spectrum/basis.h"

#include <math.h>

typedef struct transformed {
    ss_operator *inner;   /* borrowed */
    void        *vector;  /* device [padded]: unit vector or diagonal; owned */
    void        *scratch; /* device [padded]; owned */
    bool         diagonal;
} transformed;

/* x := x - (u'x) u */
static ss_status project(ss_backend *b, int64_t n, const void *u, void *x)
{
    double    along = 0.0;
    ss_status status = b->class->dot(b, NULL, n, u, x, &along);
    return status != SS_OK ? status : b->class->axpby(b, NULL, n, -along, u, 1.0, x);
}

static ss_status apply(void *context, int count, const void *x, int64_t ldx, void *y, int64_t ldy,
                       ss_queue *queue)
{
    transformed *t = context;
    ss_backend  *b = t->inner->backend;
    ss_status    status = SS_OK;
    int64_t      n = t->inner->layout->padded, size = (int64_t)ss_real_size(t->inner->real);
    (void)queue;
    for (int64_t j = 0; j < count; j++) {
        const void *from = (const char *)x + j * ldx * size;
        void       *to = (char *)y + j * ldy * size;
        if (t->diagonal) {
            SS_TRY(ss_vector_multiply(b, n, t->vector, from, t->scratch));
            SS_TRY(ss_operator_apply(t->inner, 1, t->scratch, n, to, n));
            SS_TRY(b->class->copy(b, NULL, t->scratch, to, n * size));
            SS_TRY(ss_vector_multiply(b, n, t->vector, t->scratch, to));
        } else {
            SS_TRY(b->class->copy(b, NULL, t->scratch, from, n * size));
            SS_TRY(project(b, n, t->vector, t->scratch));
            SS_TRY(ss_operator_apply(t->inner, 1, t->scratch, n, to, n));
            SS_TRY(project(b, n, t->vector, to));
        }
    }
fail:
    return status;
}

static void destroy(void *context)
{
    transformed *t = context;
    ss_backend  *b = t->inner->backend;
    b->class->release(b, t->vector);
    b->class->release(b, t->scratch);
    ss_free(b->context, t);
}

static ss_status create(ss_operator *inner, transformed **result)
{
    ss_backend  *b = inner->backend;
    ss_status    status = SS_OK;
    transformed *t = NULL;
    int64_t      bytes = inner->layout->padded * (int64_t)ss_real_size(inner->real);
    *result = NULL;
    SS_TRY(SS_NEW(b->context, &t));
    t->inner = inner;
    SS_TRY(b->class->allocate(b, bytes, &t->vector));
    SS_TRY(b->class->allocate(b, bytes, &t->scratch));
    *result = t;
    return SS_OK;
fail:
    if (t != NULL) destroy(t);
    return status;
}

static void fill(ss_operator *inner, transformed *t, ss_operator *op)
{
    *op = *inner;
    op->context = t;
    op->apply = apply;
    op->destroy = destroy;
    op->lanes = 1;
    op->products = 0;
    op->seconds = 0.0;
}

ss_status ss_operator_projected(ss_operator *inner, const void *u, ss_operator *op)
{
    ss_status    status = SS_OK;
    ss_backend  *b = inner->backend;
    transformed *t = NULL;
    int64_t      n = inner->layout->padded;
    double       square = 0.0;
    *op = (ss_operator){ .context = NULL };
    SS_TRY(create(inner, &t));
    SS_TRY(b->class->dot(b, NULL, n, u, u, &square));
    if (!(square > 0.0) || !isfinite(square))
        SS_FAIL(b->context, SS_ERROR_USAGE, "the vector to be projected out has squared length %g", square);
    SS_TRY(b->class->axpby(b, NULL, n, 1.0 / sqrt(square), u, 0.0, t->vector));
    fill(inner, t, op);
    return SS_OK;
fail:
    if (t != NULL) destroy(t);
    return status;
}

ss_status ss_operator_scaled(ss_operator *inner, const double *d, ss_operator *op)
{
    ss_status    status = SS_OK;
    transformed *t = NULL;
    *op = (ss_operator){ .context = NULL };
    SS_TRY(create(inner, &t));
    t->diagonal = true;
    for (int64_t i = 0; i < inner->layout->n; i++)
        if (!isfinite(d[i]))
            SS_FAIL(inner->backend->context, SS_ERROR_USAGE, "element %lld of the diagonal is not finite",
                    (long long)i);
    SS_TRY(ss_operator_unpack(inner, d, t->vector));
    fill(inner, t, op);
    return SS_OK;
fail:
    if (t != NULL) destroy(t);
    return status;
}
