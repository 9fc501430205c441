/* A basis whose columns lie in pinned host memory, for vectors of which the device holds only a few.
 *
 * The columns pass through two windows on the device, in turns: while the queue of the computation works on
 * one, a queue of copies fills the other; events order the two queues, the host waits for neither. The column
 * that was made last stays on the device, so that the next product starts from it while it is written home.
 * The windows' width is fixed: sums over columns are rounded where a window ends, whatever the memory. */
#include "spectrum/basis.h"

#include <string.h>

#define WIDTH     2  /* columns of a window */
#define ALIGNMENT 64 /* elements, of a piece of a column */

typedef struct host_basis {
    ss_basis  base;    /* first member */
    char     *columns; /* host, pinned [capacity, padded] */
    void     *made[2]; /* device [padded] each, in turns: columns being made */
    void     *shown;   /* device [padded]: a column that is read */
    void     *window[2];
    int64_t   held;   /* column in made[latest]; -1 = none */
    int       latest; /* of made */
    ss_queue *copies;
    ss_event *filled[2], *used[2]; /* windows: by the copies, by the computation */
    ss_event *ready, *home;        /* of single columns: may be copied, have been copied */
} host_basis;

static host_basis *host_of(ss_basis *basis)
{
    return (host_basis *)basis;
}

static int64_t element_size(const ss_basis *basis)
{
    return (int64_t)ss_real_size(basis->op->real);
}

static char *column_at(ss_basis *basis, int64_t j)
{
    return host_of(basis)->columns + j * ss_vector_bytes(basis->op);
}

static void host_destroy(ss_basis *basis)
{
    host_basis             *h = host_of(basis);
    ss_backend             *b = basis->op->backend;
    const ss_backend_class *c = b->class;
    ss_event *events[] = { h->filled[0], h->filled[1], h->used[0], h->used[1], h->ready, h->home };
    if (h->copies) c->queue_synchronize(b, h->copies); /* nothing may come after its memory is gone */
    c->queue_synchronize(b, NULL);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i]) c->event_destroy(b, events[i]);
    if (h->copies) c->queue_destroy(b, h->copies);
    for (int w = 0; w < 2; w++) {
        c->release(b, h->window[w]);
        c->release(b, h->made[w]);
    }
    c->release(b, h->shown);
    c->release_host(b, h->columns);
    ss_free(b->context, h);
}

/* ---- Single columns ---- */

/* The copies wait for what the computation has been asked for so far. */
static ss_status after_computation(host_basis *h)
{
    ss_status   status = SS_OK;
    ss_backend *b = h->base.op->backend;
    SS_TRY(b->class->event_record(b, h->ready, NULL));
    SS_TRY(b->class->queue_wait(b, h->copies, h->ready));
fail:
    return status;
}

/* The computation waits for the copies so far. */
static ss_status after_copies(host_basis *h)
{
    ss_status   status = SS_OK;
    ss_backend *b = h->base.op->backend;
    SS_TRY(b->class->event_record(b, h->home, h->copies));
    SS_TRY(b->class->queue_wait(b, NULL, h->home));
fail:
    return status;
}

static ss_status host_read(ss_basis *basis, int64_t j, const void **column)
{
    ss_status   status = SS_OK;
    host_basis *h = host_of(basis);
    ss_backend *b = basis->op->backend;
    *column = h->made[h->latest];
    if (j == h->held) return SS_OK;
    *column = h->shown;
    SS_TRY(after_computation(h));
    SS_TRY(b->class->upload(b, h->copies, h->shown, column_at(basis, j), ss_vector_bytes(basis->op)));
    SS_TRY(after_copies(h));
fail:
    return status;
}

/* The column before the last one has been written home when its place is taken. */
static ss_status host_open(ss_basis *basis, int64_t j, void **column)
{
    host_basis *h = host_of(basis);
    (void)j;
    h->latest = 1 - h->latest;
    h->held = -1;
    *column = h->made[h->latest];
    return after_copies(h);
}

static ss_status host_close(ss_basis *basis, int64_t j)
{
    ss_status   status = SS_OK;
    host_basis *h = host_of(basis);
    ss_backend *b = basis->op->backend;
    SS_TRY(after_computation(h));
    SS_TRY(b->class->download(b, h->copies, column_at(basis, j), h->made[h->latest],
                              ss_vector_bytes(basis->op)));
    h->held = j;
fail:
    return status;
}

/* ---- Blocks of columns ---- */

static ss_status fill(ss_basis *basis, int w, int64_t first, int64_t count)
{
    ss_status   status = SS_OK;
    host_basis *h = host_of(basis);
    ss_backend *b = basis->op->backend;
    SS_TRY(b->class->queue_wait(b, h->copies, h->used[w]));
    SS_TRY(b->class->upload(b, h->copies, h->window[w], column_at(basis, first),
                            count * ss_vector_bytes(basis->op)));
    SS_TRY(b->class->event_record(b, h->filled[w], h->copies));
fail:
    return status;
}

/* Work with the columns [first, first + count) in a window. */
typedef ss_status block_work(ss_basis *basis, int64_t first, int64_t count, const void *window,
                             void *context);

static ss_status for_blocks(ss_basis *basis, int64_t k, block_work *work, void *context)
{
    ss_status   status = SS_OK;
    host_basis *h = host_of(basis);
    ss_backend *b = basis->op->backend;
    if (k > 0) SS_TRY(fill(basis, 0, 0, ss_min64(WIDTH, k)));
    for (int64_t first = 0, w = 0; first < k; first += WIDTH, w = 1 - w) {
        int64_t next = first + WIDTH;
        if (next < k) SS_TRY(fill(basis, (int)(1 - w), next, ss_min64(WIDTH, k - next)));
        SS_TRY(b->class->queue_wait(b, NULL, h->filled[w]));
        SS_TRY(work(basis, first, ss_min64(WIDTH, k - first), h->window[w], context));
        SS_TRY(b->class->event_record(b, h->used[w], NULL));
    }
fail:
    return status;
}

typedef struct dot_work {
    const void *w;
    double     *h;
} dot_work;

static ss_status dot_block(ss_basis *basis, int64_t first, int64_t count, const void *window, void *context)
{
    const dot_work *d = context;
    ss_backend     *b = basis->op->backend;
    int64_t         n = basis->op->layout->padded;
    return b->class->block_dot(b, NULL, n, count, window, n, d->w, d->h + first);
}

static ss_status host_dot(ss_basis *basis, int64_t k, const void *w, double *h)
{
    dot_work d = { w, h };
    return for_blocks(basis, k, dot_block, &d);
}

typedef struct axpy_work {
    const double *h;
    double        beta;
    void         *w;
} axpy_work;

static ss_status axpy_block(ss_basis *basis, int64_t first, int64_t count, const void *window, void *context)
{
    const axpy_work *a = context;
    ss_backend      *b = basis->op->backend;
    int64_t          n = basis->op->layout->padded;
    return b->class->block_axpy(b, NULL, n, count, window, n, a->h + first, first == 0 ? a->beta : 1.0, a->w);
}

static ss_status host_axpy(ss_basis *basis, int64_t k, const double *h, double beta, void *w)
{
    axpy_work   a = { h, beta, w };
    ss_backend *b = basis->op->backend;
    if (k == 0) return b->class->axpby(b, NULL, basis->op->layout->padded, 0.0, NULL, beta, w);
    return for_blocks(basis, k, axpy_block, &a);
}

/* ---- V S: pieces of all columns at a time ---- */

/* Columns [0, k), rows [first, first + count): into a window, `piece` elements apart. */
static ss_status fill_pieces(ss_basis *basis, int w, int64_t k, int64_t piece, int64_t first, int64_t count)
{
    ss_status   status = SS_OK;
    host_basis *h = host_of(basis);
    ss_backend *b = basis->op->backend;
    int64_t     size = element_size(basis);
    SS_TRY(b->class->queue_wait(b, h->copies, h->used[w]));
    for (int64_t j = 0; j < k; j++)
        SS_TRY(b->class->upload(b, h->copies, (char *)h->window[w] + j * piece * size,
                                column_at(basis, j) + first * size, count * size));
    SS_TRY(b->class->event_record(b, h->filled[w], h->copies));
fail:
    return status;
}

static ss_status take_pieces(ss_basis *basis, int w, int64_t l, int64_t piece, int64_t first, int64_t count)
{
    ss_status   status = SS_OK;
    host_basis *h = host_of(basis);
    ss_backend *b = basis->op->backend;
    int64_t     size = element_size(basis);
    SS_TRY(b->class->event_record(b, h->used[w], NULL));
    SS_TRY(b->class->queue_wait(b, h->copies, h->used[w]));
    for (int64_t j = 0; j < l; j++)
        SS_TRY(b->class->download(b, h->copies, column_at(basis, j) + first * size,
                                  (char *)h->window[w] + j * piece * size, count * size));
fail:
    return status;
}

static int64_t window_elements(const ss_operator *op, int64_t capacity)
{
    return ss_max64(WIDTH * op->layout->padded, ALIGNMENT * capacity);
}

static ss_status host_combine(ss_basis *basis, int64_t k, int64_t l, const double *s)
{
    ss_status   status = SS_OK;
    host_basis *h = host_of(basis);
    ss_backend *b = basis->op->backend;
    int64_t     n = basis->op->layout->padded;
    if (k == 0) return SS_OK;
    int64_t piece = window_elements(basis->op, basis->capacity) / k / ALIGNMENT * ALIGNMENT;
    h->held = -1;
    SS_TRY(fill_pieces(basis, 0, k, piece, 0, ss_min64(piece, n)));
    for (int64_t first = 0, w = 0; first < n; first += piece, w = 1 - w) {
        int64_t next = first + piece, count = ss_min64(piece, n - first);
        if (next < n) SS_TRY(fill_pieces(basis, (int)(1 - w), k, piece, next, ss_min64(piece, n - next)));
        SS_TRY(b->class->queue_wait(b, NULL, h->filled[w]));
        SS_TRY(b->class->block_combine(b, NULL, count, k, l, h->window[w], piece, s));
        SS_TRY(take_pieces(basis, (int)w, l, piece, first, count));
    }
fail:
    return status;
}

static ss_status host_copy(ss_basis *basis, int64_t to, int64_t from)
{
    ss_status   status = SS_OK;
    host_basis *h = host_of(basis);
    ss_backend *b = basis->op->backend;
    if (to == from) return SS_OK;
    SS_TRY(b->class->queue_synchronize(b, h->copies)); /* the one place where the host touches columns */
    memcpy(column_at(basis, to), column_at(basis, from), (size_t)ss_vector_bytes(basis->op));
    if (h->held == to) h->held = -1;
fail:
    return status;
}

static const ss_basis_class host_class = {
    .name = "host memory",
    .destroy = host_destroy,
    .read = host_read,
    .open = host_open,
    .close = host_close,
    .block_dot = host_dot,
    .block_axpy = host_axpy,
    .combine = host_combine,
    .copy = host_copy,
};

static ss_status make_queue(host_basis *h)
{
    ss_status               status = SS_OK;
    ss_backend             *b = h->base.op->backend;
    const ss_backend_class *c = b->class;
    SS_TRY(c->queue_create(b, &h->copies));
    for (int w = 0; w < 2; w++) {
        SS_TRY(c->event_create(b, &h->filled[w]));
        SS_TRY(c->event_create(b, &h->used[w]));
    }
    SS_TRY(c->event_create(b, &h->ready));
    SS_TRY(c->event_create(b, &h->home));
fail:
    return status;
}

ss_status ss_basis_create_host(const ss_operator *op, int64_t capacity, ss_basis **basis)
{
    ss_backend *b = op->backend;
    ss_status   status = SS_OK;
    host_basis *h = NULL;
    int64_t     vector = ss_vector_bytes(op), bytes = 0;
    *basis = NULL;
    if (!ss_mul64(vector, capacity, &bytes))
        SS_FAIL(b->context, SS_ERROR_MEMORY, "%lld basis vectors of %lld elements exceed the address space",
                (long long)capacity, (long long)op->layout->padded);
    SS_TRY(SS_NEW(b->context, &h));
    h->base = (ss_basis){ .class = &host_class, .op = op, .capacity = capacity };
    h->held = -1;
    SS_TRY(make_queue(h));
    SS_TRY(b->class->allocate_host(b, bytes, (void **)&h->columns));
    for (int w = 0; w < 2; w++) {
        SS_TRY(b->class->allocate(b, window_elements(op, capacity) * (int64_t)ss_real_size(op->real),
                                  &h->window[w]));
        SS_TRY(b->class->allocate(b, vector, &h->made[w]));
    }
    SS_TRY(b->class->allocate(b, vector, &h->shown));
    *basis = &h->base;
    return SS_OK;
fail:
    if (h) host_destroy(&h->base);
    return status;
}
