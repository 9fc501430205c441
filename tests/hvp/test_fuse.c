/* Fused nodes: the same products as node by node, with fewer calls of the backend and fewer bytes through
 * memory. Calls and bytes are counted where they are made, by a class of the backend's own with other
 * entries. */
#include "hvp/fixture.h"

#include <criterion/criterion.h>
#include <string.h>

#define MAXIMUM 512 /* parameters of the largest fixture */

/* ---- Counting ---- */

typedef struct traffic {
    int64_t calls, bytes; /* of primitives over matrices */
} traffic;

static traffic                 counted; /* since the last clear */
static const ss_backend_class *counts_for;
static int64_t                 element;
static bool                    dry; /* count, do not compute */

static int64_t size(const ss_matrix *m, int64_t lanes)
{
    if (m->data == NULL) return 0;
    return (m->ld == 0 ? 1 : m->rows) * m->cols * (m->lane_stride == 0 ? 1 : lanes);
}

static void count(int64_t elements)
{
    counted.calls++;
    counted.bytes += elements * element;
}

static ss_status count_gemm(ss_backend *b, ss_queue *q, const ss_gemm *g)
{
    count(g->batch * g->m * g->n * (g->beta != 0 ? 2 : 1) + (g->stride_a ? g->batch : 1) * g->m * g->k +
          (g->stride_b ? g->batch : 1) * g->k * g->n);
    return dry ? SS_OK : counts_for->gemm(b, q, g);
}

static ss_status count_pointwise(ss_backend *b, ss_queue *q, const ss_pointwise *p)
{
    int64_t n = p->lanes, out = size(&p->x_a, n) + size(&p->x_at, n) + size(&p->y_t, n);
    if (p->sweep == SS_FORWARD) out = size(&p->y, 1);
    int64_t in = size(&p->x, 1) + (p->sweep == SS_FORWARD ? 0 : size(&p->y, 1)) + size(&p->x_t, n) +
                 size(&p->y_a, n) + size(&p->y_at, n);
    count(in + out * (p->accumulate ? 2 : 1));
    return dry ? SS_OK : counts_for->pointwise(b, q, p);
}

static ss_status count_add(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x,
                           double beta, const ss_matrix *y)
{
    count(size(x, lanes) + size(y, lanes) * (beta != 0 ? 2 : 1));
    return dry ? SS_OK : counts_for->add(b, q, lanes, alpha, x, beta, y);
}

static ss_status count_sum(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x,
                           double beta, const ss_matrix *y, bool accumulate, const ss_matrix *z)
{
    count(size(x, lanes) + size(y, lanes) + size(z, lanes) * (accumulate ? 2 : 1));
    return dry ? SS_OK : counts_for->sum(b, q, lanes, alpha, x, beta, y, accumulate, z);
}

static ss_status count_column_sum(ss_backend *b, ss_queue *q, int64_t lanes, const ss_matrix *x,
                                  bool accumulate, const ss_matrix *y)
{
    count(size(x, lanes));
    return dry ? SS_OK : counts_for->column_sum(b, q, lanes, x, accumulate, y);
}

/* Every tensor of a norm once. */
static ss_status count_norm(ss_backend *b, ss_queue *q, const ss_norm *p)
{
    int64_t n = p->lanes, out = size(&p->x_a, n) + size(&p->x_at, n) + size(&p->y_t, n);
    if (p->sweep == SS_FORWARD) out = size(&p->y, 1);
    bool accumulate =
        p->sweep == SS_FORWARD || p->sweep == SS_TANGENT_FORWARD ? p->accumulate_y : p->accumulate_x;
    count(size(&p->x, 1) + size(&p->x_t, n) + size(&p->y_a, n) + size(&p->y_at, n) +
          out * (accumulate ? 2 : 1));
    return dry ? SS_OK : counts_for->norm(b, q, p);
}

/* Attention and losses are the same in both programs: their calls are counted, their bytes left out. */
static ss_status count_attention(ss_backend *b, ss_queue *q, const ss_attention *p)
{
    count(0);
    return dry ? SS_OK : counts_for->attention(b, q, p);
}

static ss_status count_loss(ss_backend *b, ss_queue *q, const ss_loss *p)
{
    count(0);
    return dry ? SS_OK : counts_for->loss(b, q, p);
}

/* What one body takes, its prologue having run. */
static traffic count_product(fixture *f, const ss_program_options *options)
{
    ss_backend_class counting = *f->backend->class;
    ss_program      *p = NULL;
    int64_t          bytes = f->graph->layout.padded * (int64_t)ss_real_size(f->backend->real);
    char            *vectors = NULL;
    counts_for = f->backend->class;
    element = (int64_t)ss_real_size(f->backend->real);
    counting.gemm = count_gemm;
    counting.pointwise = count_pointwise;
    counting.add = count_add;
    counting.sum = count_sum;
    counting.column_sum = count_column_sum;
    counting.norm = count_norm;
    counting.attention = count_attention;
    counting.loss = count_loss;
    ss_test_require(ss_program_compile(ss_test_context, f->backend, f->problem, options, &p));
    ss_test_require(counts_for->allocate(f->backend, 2 * bytes, (void **)&vectors));
    ss_test_require(counts_for->zero(f->backend, NULL, vectors, 2 * bytes));
    f->backend->class = &counting;
    for (int run = 0; run < 2; run++) { /* the first one with the prologue */
        counted = (traffic){ 0 };
        ss_test_require(ss_program_run(p, 1, vectors, 0, vectors + bytes, 0));
    }
    f->backend->class = counts_for;
    ss_program_destroy(p);
    counts_for->release(f->backend, vectors);
    return counted;
}

static ss_program_options product_of(ss_product product, int64_t micro_batch, int64_t cached, ss_cache rest)
{
    return (ss_program_options){ .computation = SS_COMPUTE_PRODUCT,
                                 .product = product,
                                 .micro_batch = micro_batch,
                                 .cached = cached,
                                 .rest = rest,
                                 .lanes = 1 };
}

/* ---- The same products ---- */

static void compare(const char *device, ss_real real, double tolerance)
{
    static const ss_product products[] = { SS_PRODUCT_HESSIAN, SS_PRODUCT_GAUSS_NEWTON, SS_PRODUCT_RESIDUAL };
    for (fixture_kind kind = 0; kind < FIXTURE_KIND_COUNT; kind++)
        for (size_t which = 0; which < sizeof products / sizeof *products; which++) {
            fixture f;
            double  v[2 * MAXIMUM], plain[2 * MAXIMUM], fused[2 * MAXIMUM];
            fixture_create(&f, kind, device, real, 0.01, NULL);
            int64_t n = f.graph->layout.n;
            for (uint64_t l = 0; l < 2; l++) fixture_random(&f, 10 + l, v + (int64_t)l * n);
            for (int rest = SS_CACHE_ALL; rest <= SS_CACHE_CHECKPOINT; rest++) {
                ss_program_options options =
                    product_of(products[which], 4, rest == SS_CACHE_ALL ? 3 : 1,
                               rest == SS_CACHE_ALL ? SS_CACHE_NONE : (ss_cache)rest);
                options.lanes = 2;
                options.layer_major = rest == SS_CACHE_NONE;
                fixture_product(&f, &options, 2, v, fused);
                options.unfused = true;
                fixture_product(&f, &options, 2, v, plain);
                double error = ss_test_relative_error(2 * n, fused, plain, 0);
                cr_assert(error < tolerance, "%s: fixture %d, product %d, cache %d: error %g", device,
                          (int)kind, (int)which, rest, error);
            }
            fixture_destroy(&f);
        }
}

Test(fuse, products_are_those_of_single_nodes, .init = ss_test_begin, .fini = ss_test_end)
{
    for (const char *const *name = ss_test_backends(); *name; name++) {
        compare(*name, SS_FLOAT64, 1e-13);
        if (strcmp(*name, "cpu") == 0) compare(*name, SS_FLOAT32, 1e-5);
    }
}

/* Biases of two functions, or a residual with its copies: fewer calls, fewer bytes; where there is nothing to
 * fuse the counts are the same. */
Test(fuse, less_is_moved, .init = ss_test_begin, .fini = ss_test_end)
{
    static const struct {
        fixture_kind kind;
        int          calls; /* fewer of them in a product, by hand */
    } rows[] = {
        /* 2 functions, each without its bias' tangent in every row and without a sum of its adjoints */
        { FIXTURE_PLAIN, 4 },
        { FIXTURE_KINKED, 2 },
        /* 2 of the function; 1 of the residual's tangent, whose sum begins with the bias; 2 copies of its
           adjoint; 1 of the adjoint of words among words and positions */
        { FIXTURE_TOKENS, 6 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fixture            f;
        ss_program_options options = product_of(SS_PRODUCT_HESSIAN, FIXTURE_SAMPLES, 1, SS_CACHE_NONE);
        fixture_create(&f, rows[i].kind, "cpu", SS_FLOAT64, 0, NULL);
        traffic fused = count_product(&f, &options);
        options.unfused = true;
        traffic plain = count_product(&f, &options);
        cr_expect(plain.calls - fused.calls == rows[i].calls, "fixture %d: %lld calls, %lld unfused",
                  (int)rows[i].kind, (long long)fused.calls, (long long)plain.calls);
        cr_expect(fused.bytes < plain.bytes, "fixture %d: %lld bytes, %lld unfused", (int)rows[i].kind,
                  (long long)fused.bytes, (long long)plain.bytes);
        fixture_destroy(&f);
    }
}
