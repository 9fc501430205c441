/* Operators: applying and releasing them, one around a plain callback, and the way between padded vectors in
 * an operator's memory and packed ones on the host. */
#include "saddlescope/spectrum.h"

#include "backend/backend.h"

ss_status ss_operator_apply(ss_operator *op, int count, const void *x, int64_t ldx, void *y, int64_t ldy)
{
    ss_context *context = op->backend->context;
    double      start = ss_seconds();
    ss_status   status = op->apply(op->context, count, x, ldx, y, ldy, NULL);
    op->seconds += ss_seconds() - start;
    if (status != SS_OK) return status;
    op->products += count;
    if (ss_context_interrupted(context))
        return ss_fail(context, SS_ERROR_INTERRUPTED, "stopped by a signal after %lld products",
                       (long long)op->products);
    return SS_OK;
}

void ss_operator_destroy(ss_operator *op)
{
    if (op->destroy != NULL) op->destroy(op->context);
    *op = (ss_operator){ .context = NULL };
}

/* ---- A plain callback -----------------------------------------------------------------------------------
 */
typedef struct function_operator {
    int (*apply)(void *user, int64_t n, const double *x, double *y);
    void       *user;    /* of the callback */
    ss_backend *backend; /* owned; cpu, float64 */
    ss_layout   layout;  /* one segment */
    ss_segment  segment; /* everything */
} function_operator;

static ss_status function_apply(void *context, int count, const void *x, int64_t ldx, void *y, int64_t ldy,
                                ss_queue *queue)
{
    function_operator *f = context;
    const double      *from = x;
    double            *to = y;
    (void)queue;
    for (int64_t j = 0; j < count; j++) {
        int code = f->apply(f->user, f->layout.n, from + j * ldx, to + j * ldy);
        if (code != 0)
            return ss_fail(f->backend->context, SS_ERROR_RUNTIME,
                           "the operator's callback returned %d instead of 0", code);
    }
    return SS_OK;
}

static void function_destroy(void *context)
{
    function_operator *f = context;
    ss_context        *owner = f->backend->context;
    ss_backend_close(f->backend);
    ss_free(owner, f);
}

ss_status ss_operator_from_function(ss_context *context, int64_t n,
                                    int (*apply)(void *user, int64_t n, const double *x, double *y),
                                    void *user, ss_operator *op)
{
    ss_status          status = SS_OK;
    function_operator *f = NULL;
    *op = (ss_operator){ .context = NULL };
    if (n < 1)
        SS_FAIL(context, SS_ERROR_USAGE, "the dimension of an operator must be positive, found %lld",
                (long long)n);

    SS_TRY(SS_NEW(context, &f));
    f->apply = apply;
    f->user = user;
    f->segment = (ss_segment){ .length = n };
    f->layout = (ss_layout){ .n = n, .padded = n, .n_segments = 1, .segments = &f->segment };
    SS_TRY(ss_backend_open(context, "cpu", SS_FLOAT64, &f->backend));

    *op = (ss_operator){ .context = f,
                         .apply = function_apply,
                         .destroy = function_destroy,
                         .layout = &f->layout,
                         .n_global = n,
                         .real = SS_FLOAT64,
                         .backend = f->backend,
                         .lanes = 1 };
    return SS_OK;
fail:
    ss_free(context, f);
    return status;
}

/* ---- Packed and padded ----------------------------------------------------------------------------------
 */
#define CHUNK 65536 /* elements on the way between host and device */

ss_status ss_operator_pack(const ss_operator *op, const void *x, double *packed)
{
    ss_backend *b = op->backend;
    const ss_backend_class *class = b->class;
    int64_t   size = (int64_t)ss_real_size(op->real);
    ss_status status = SS_OK;
    char     *buffer = NULL;
    SS_TRY(ss_allocate(b->context, ss_min64(CHUNK, op->layout->padded), (size_t)size, (void **)&buffer));

    ss_array array = { .name = "", .type = ss_real_type(op->real), .rank = 1, .data = buffer };
    for (int64_t i = 0; i < op->layout->n_segments; i++) {
        const ss_segment *s = &op->layout->segments[i];
        for (int64_t first = 0; first < s->length; first += CHUNK) {
            int64_t     count = ss_min64(CHUNK, s->length - first);
            const char *from = (const char *)x + (s->offset + first) * size;
            array.shape[0] = count;
            SS_TRY(class->download(b, NULL, buffer, from, count * size));
            SS_TRY(class->queue_synchronize(b, NULL));
            ss_array_convert(&array, 0, count, SS_FLOAT64, packed + s->canonical + first);
        }
    }
fail:
    ss_free(b->context, buffer);
    return status;
}

ss_status ss_operator_unpack(const ss_operator *op, const double *packed, void *x)
{
    ss_backend *b = op->backend;
    const ss_backend_class *class = b->class;
    int64_t   size = (int64_t)ss_real_size(op->real);
    ss_status status = SS_OK;
    char     *buffer = NULL;
    SS_TRY(ss_allocate(b->context, ss_min64(CHUNK, op->layout->padded), (size_t)size, (void **)&buffer));

    SS_TRY(class->zero(b, NULL, x, op->layout->padded * size));
    for (int64_t i = 0; i < op->layout->n_segments; i++) {
        const ss_segment *s = &op->layout->segments[i];
        for (int64_t first = 0; first < s->length; first += CHUNK) {
            int64_t  count = ss_min64(CHUNK, s->length - first);
            ss_array array = { .name = "",
                               .type = SS_F64,
                               .rank = 1,
                               .shape = { count },
                               .data = packed + s->canonical + first };
            ss_array_convert(&array, 0, count, op->real, buffer);
            SS_TRY(class->upload(b, NULL, (char *)x + (s->offset + first) * size, buffer, count * size));
            SS_TRY(class->queue_synchronize(b, NULL));
        }
    }
fail:
    ss_free(b->context, buffer);
    return status;
}
