/* The dense path: the matrix by products with unit vectors, its spectrum, its exact inertia. */
#include "saddlescope/spectrum.h"

#include "backend/backend.h"
#include "spectrum/eigen.h"

#include <math.h>

int64_t ss_dense_allowed(const ss_operator *op, int64_t stated)
{
    ss_backend *b = op->backend;
    int64_t     allowed = stated > 0 ? stated : ss_memory_available();
    return b->class->space == SS_MEMORY_DEVICE ? ss_min64(allowed, b->class->memory_available(b)) : allowed;
}

static void release_block(ss_backend *b, void *x, void *y, char *host)
{
    b->class->release(b, x);
    b->class->release(b, y);
    ss_free(b->context, host);
}

/* Writes one unit entry per lane: element of canonical number first + lane. */
static ss_status place_units(const ss_operator *op, void *x, int64_t first, int count)
{
    ss_backend      *b = op->backend;
    const ss_layout *layout = op->layout;
    int64_t          size = (int64_t)ss_real_size(op->real);
    const double     one = 1.0;
    const float      one_f = 1.0f;
    ss_status        status = b->class->zero(b, NULL, x, count * layout->padded * size);
    for (int64_t lane = 0, segment = 0; status == SS_OK && lane < count; lane++) {
        int64_t number = first + lane;
        while (number >= layout->segments[segment].canonical + layout->segments[segment].length) segment++;
        const ss_segment *g = &layout->segments[segment];
        int64_t           place = lane * layout->padded + g->offset + number - g->canonical;
        status = b->class->upload(b, NULL, (char *)x + place * size,
                                  op->real == SS_FLOAT64 ? (const void *)&one : (const void *)&one_f, size);
        if (status == SS_OK) status = b->class->queue_synchronize(b, NULL);
    }
    return status;
}

/* Rows first .. first + count of `a` [n, n] from the padded columns in `host`. */
static ss_status take_rows(const ss_operator *op, const char *host, int64_t first, int count, double *a)
{
    const ss_layout *layout = op->layout;
    int64_t          size = (int64_t)ss_real_size(op->real);
    for (int64_t lane = 0; lane < count; lane++)
        for (int64_t i = 0; i < layout->n_segments; i++) {
            const ss_segment *g = &layout->segments[i];
            ss_array          array = { .name = "", .type = ss_real_type(op->real), .rank = 1 };
            double           *row = a + (first + lane) * layout->n + g->canonical;
            array.shape[0] = g->length;
            array.data = host + (lane * layout->padded + g->offset) * size;
            ss_array_convert(&array, 0, g->length, SS_FLOAT64, row);
            for (int64_t j = 0; j < g->length; j++)
                if (!isfinite(row[j]))
                    return ss_fail(op->backend->context, SS_ERROR_NUMERIC,
                                   "element [%lld, %lld] of the operator's matrix is not finite",
                                   (long long)(first + lane), (long long)(g->canonical + j));
        }
    return SS_OK;
}

static ss_status form(ss_operator *op, const ss_dense_options *options, double *a)
{
    ss_backend *b = op->backend;
    ss_status   status = SS_OK;
    int64_t     n = op->layout->n, ld = op->layout->padded, lanes = ss_min64(n, ss_max64(1, op->lanes));
    int64_t     bytes = 0;
    void       *x = NULL, *y = NULL;
    char       *host = NULL;
    if (!ss_mul64(ld, lanes * (int64_t)ss_real_size(op->real), &bytes))
        SS_FAIL(b->context, SS_ERROR_MEMORY, "%lld lanes of %lld elements exceed the address space",
                (long long)lanes, (long long)ld);
    SS_TRY(b->class->allocate(b, bytes, &x));
    SS_TRY(b->class->allocate(b, bytes, &y));
    SS_TRY(ss_allocate(b->context, bytes, 1, (void **)&host));

    for (int64_t first = 0; first < n; first += lanes) {
        int     count = (int)ss_min64(lanes, n - first);
        int64_t used = count * ld * (int64_t)ss_real_size(op->real);
        SS_TRY(place_units(op, x, first, count));
        SS_TRY(ss_operator_apply(op, count, x, ld, y, ld));
        SS_TRY(b->class->download(b, NULL, host, y, used));
        SS_TRY(b->class->queue_synchronize(b, NULL));
        SS_TRY(take_rows(op, host, first, count, a));
        if (options->monitor != NULL) SS_TRY(options->monitor(options->monitor_user, first + count, n));
    }
fail:
    release_block(b, x, y, host);
    return status;
}

/* A := (A + A')/2; returns max |A - A'| / max |A|. */
static double symmetrise(int64_t n, double *a)
{
    double difference = 0.0, size = 0.0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double p = a[i * n + j], q = a[j * n + i];
            difference = fmax(difference, fabs(p - q));
            size = fmax(size, fmax(fabs(p), fabs(q)));
            a[i * n + j] = a[j * n + i] = 0.5 * p + 0.5 * q;
        }
    return size > 0.0 ? difference / size : 0.0;
}

static ss_status diagonalise(ss_operator *op, bool vectors, ss_dense_result *r, double *a, bool keep)
{
    ss_backend *b = op->backend;
    ss_status   status = SS_OK;
    int64_t     n = r->n, bytes = n * n * (int64_t)sizeof(double);
    double     *device = NULL, start = ss_seconds();
    SS_TRY(b->class->allocate(b, bytes, (void **)&device));
    SS_TRY(b->class->upload(b, NULL, device, a, bytes));
    SS_TRY(b->class->queue_synchronize(b, NULL));
    SS_TRY(b->class->symmetric_eigen(b, NULL, n, device, vectors, r->values));
    if (vectors) {
        if (keep) SS_TRY(SS_NEW_ARRAY(b->context, n * n, &r->vectors));
        double *to = keep ? r->vectors : a;
        SS_TRY(b->class->download(b, NULL, to, device, bytes));
        SS_TRY(b->class->queue_synchronize(b, NULL));
    }
    r->lambda_abs = fmax(fabs(r->values[0]), fabs(r->values[n - 1]));
    r->seconds_eigen = ss_seconds() - start;
fail:
    b->class->release(b, device);
    return status;
}

ss_status ss_dense_eigen(ss_operator *op, const ss_dense_options *options, ss_dense_result **result)
{
    ss_context      *context = op->backend->context;
    ss_status        status = SS_OK;
    ss_dense_result *r = NULL;
    int64_t          n = op->layout->n, square = 0, products = op->products;
    double           seconds = op->seconds, *a = NULL;
    *result = NULL;
    if (n != op->n_global)
        SS_FAIL(context, SS_ERROR_USAGE, "the dense path needs the whole operator on one rank");
    if (!ss_mul64(n, n, &square))
        SS_FAIL(context, SS_ERROR_MEMORY, "a dense matrix of order %lld is too large", (long long)n);

    SS_TRY(SS_NEW(context, &r));
    *r = (ss_dense_result){ .context = context, .n = n };
    SS_TRY(SS_NEW_ARRAY(context, n, &r->values));
    SS_TRY(SS_NEW_ARRAY(context, square, &a));
    SS_TRY(form(op, options, a));
    r->products = op->products - products;
    r->seconds_operator = op->seconds - seconds;
    r->asymmetry = symmetrise(n, a);
    SS_TRY(diagonalise(op, options->vectors, r, a, options->matrix));
    if (options->matrix)
        r->matrix = a;
    else if (options->vectors)
        r->vectors = a;
    else
        ss_free(context, a);
    *result = r;
    return SS_OK;
fail:
    ss_free(context, a);
    ss_dense_result_destroy(r);
    return status;
}

void ss_dense_result_destroy(ss_dense_result *result)
{
    if (result == NULL) return;
    ss_context *context = result->context;
    ss_free(context, result->values);
    ss_free(context, result->vectors);
    ss_free(context, result->matrix);
    ss_free(context, result);
}

int64_t ss_dense_memory(const ss_operator *op, const ss_dense_options *options)
{
    /* Host matrix, device matrix, and the divide-and-conquer eigensolver's 2 n^2 (given back before a second
     * host matrix is taken for the vectors) or 66 n; beside them the blocks of unit vectors and products. */
    int64_t n = op->layout->n, square = 0, bytes = 0, block = 0;
    int64_t copies = options->vectors ? 4 : 2;
    if (!ss_mul64(n, n, &square) || !ss_mul64(square, copies * (int64_t)sizeof(double), &bytes) ||
        !ss_mul64(op->layout->padded, 3 * (int64_t)ss_real_size(op->real) * ss_max64(1, op->lanes), &block) ||
        !ss_add64(bytes, block, &bytes) || !ss_add64(bytes, 80 * n * (int64_t)sizeof(double), &bytes))
        return INT64_MAX;
    return bytes;
}

ss_inertia ss_dense_inertia(const ss_dense_result *result, double tau)
{
    ss_inertia inertia = { .negative = 0 };
    for (int64_t i = 0; i < result->n; i++) {
        if (result->values[i] < -tau)
            inertia.negative++;
        else if (result->values[i] > tau)
            inertia.positive++;
        else
            inertia.zero++;
    }
    return inertia;
}

ss_status ss_dense_vector(const ss_dense_result *result, const ss_operator *op, int64_t index, void *x)
{
    if (result->vectors == NULL || index < 0 || index >= result->n)
        return ss_fail(result->context, SS_ERROR_USAGE, "there is no eigenvector %lld: %s", (long long)index,
                       result->vectors == NULL ? "none were asked for" : "the number is out of range");
    return ss_operator_unpack(op, result->vectors + index * result->n, x);
}
