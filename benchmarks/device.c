/* What a device does at best through our backend: rates of large matrix products, and bandwidth of the
 * operations on a Lanczos basis.
 *
 *     bench_device DEVICE products [M]         TFLOP/s of M x M/2 x M/2: float64, float32, TF32; default 8192
 *     bench_device DEVICE vectors [ELEMENTS]   GB/s; default: what fits, at most 1e9 elements of float32
 *
 * Prints "what,value,unit,note" lines: the median of ROUNDS, after one round that is not timed. Bytes are
 * those that an operation cannot avoid: every operand once, every result once. */
#include "backend/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 9, COLUMNS = 8 };

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct bench {
    ss_context *context;
    ss_backend *b;
    char       *memory; /* device */
    int64_t     n;      /* elements of a vector */
    ss_gemm     product;
} bench;

typedef ss_status (*task)(bench *);

/* Median seconds of a task. */
static ss_status median(bench *w, task run, double *seconds)
{
    ss_status status = SS_OK;
    double    times[ROUNDS];
    for (int round = -1; round < ROUNDS; round++) {
        double start = ss_seconds();
        SS_TRY(run(w));
        SS_TRY(w->b->class->queue_synchronize(w->b, NULL));
        if (round >= 0) times[round] = ss_seconds() - start;
    }
    qsort(times, ROUNDS, sizeof *times, compare);
    *seconds = times[ROUNDS / 2];
fail:
    return status;
}

/* ---- Products ---- */

static ss_status run_product(bench *w)
{
    return w->b->class->gemm(w->b, NULL, &w->product);
}

static ss_status products_of(ss_context *context, const char *device, int64_t m, ss_real real, bool tf32)
{
    ss_status        status = SS_OK;
    bench            w = { .context = context };
    int64_t          n = m / 2, k = m / 2, size = (int64_t)ss_real_size(real), count = m * k + k * n + m * n;
    double           seconds;
    const ss_segment segment = { 0, 0, count };
    const ss_layout  layout = { .n = count, .padded = count, .n_segments = 1, .segments = &segment };
    SS_TRY(ss_backend_open(context, device, real, &w.b));
    w.b->tf32 = tf32;
    SS_TRY(w.b->class->allocate(w.b, count * size, (void **)&w.memory));
    SS_TRY(w.b->class->random_normal(w.b, NULL, &layout, 1, 1, w.memory));
    w.product = (ss_gemm){ .m = m, .n = n, .k = k, .alpha = 1, .batch = 1, .lda = k, .ldb = n, .ldc = n };
    w.product.a = w.memory;
    w.product.b = w.memory + m * k * size;
    w.product.c = w.memory + (m * k + k * n) * size;
    w.product.low_precision = tf32;
    SS_TRY(median(&w, run_product, &seconds));
    printf("product %s,%.4g,TFLOP/s,%lld x %lld x %lld\n", tf32 ? "tf32" : ss_real_name(real),
           2e-12 * (double)m * (double)n * (double)k / seconds, (long long)m, (long long)n, (long long)k);
fail:
    if (w.b) w.b->class->release(w.b, w.memory);
    ss_backend_close(w.b);
    return status;
}

static ss_status products(ss_context *context, const char *device, int64_t m)
{
    ss_status status = SS_OK;
    SS_TRY(products_of(context, device, m, SS_FLOAT64, false));
    SS_TRY(products_of(context, device, m, SS_FLOAT32, false));
    SS_TRY(products_of(context, device, m, SS_FLOAT32, true));
fail:
    return status;
}

/* ---- Vectors ---- */

static void *column(const bench *w, int64_t j)
{
    return w->memory + j * w->n * 4;
}

static ss_status run_copy(bench *w)
{
    return w->b->class->copy(w->b, NULL, column(w, 1), column(w, 0), w->n * 4);
}

static ss_status run_dot(bench *w)
{
    double h;
    return w->b->class->dot(w->b, NULL, w->n, column(w, 0), column(w, 1), &h);
}

static ss_status run_axpby(bench *w)
{
    return w->b->class->axpby(w->b, NULL, w->n, 0.5, column(w, 0), 0.5, column(w, 1));
}

static ss_status run_block_dot(bench *w)
{
    double h[COLUMNS];
    return w->b->class->block_dot(w->b, NULL, w->n, COLUMNS, w->memory, w->n, column(w, COLUMNS), h);
}

static ss_status run_block_axpy(bench *w)
{
    static const double h[COLUMNS] = { 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3 };
    return w->b->class->block_axpy(w->b, NULL, w->n, COLUMNS, w->memory, w->n, h, 1, column(w, COLUMNS));
}

static ss_status run_combine(bench *w)
{
    static const double s[COLUMNS * (COLUMNS / 2)] = { 1 };
    return w->b->class->block_combine(w->b, NULL, w->n, COLUMNS, COLUMNS / 2, w->memory, w->n, s);
}

static ss_status vectors(ss_context *context, const char *device, int64_t n)
{
    static const struct {
        const char *name;
        task        run;
        int         passes; /* vectors read and written */
    } tasks[] = { { "copy", run_copy, 2 },
                  { "dot", run_dot, 2 },
                  { "axpby", run_axpby, 3 },
                  { "block dot", run_block_dot, COLUMNS + 1 },
                  { "block axpy", run_block_axpy, COLUMNS + 2 },
                  { "block combine", run_combine, COLUMNS + COLUMNS / 2 } };
    ss_status status = SS_OK;
    bench     w = { .context = context };
    double    seconds;
    SS_TRY(ss_backend_open(context, device, SS_FLOAT32, &w.b));
    int64_t fits = w.b->class->memory_available(w.b) / 10 * 9 / (4 * (COLUMNS + 1)) / 64 * 64;
    w.n = ss_min64(n > 0 ? n : 1000000000, fits);
    const ss_segment segment = { 0, 0, w.n * (COLUMNS + 1) };
    const ss_layout  layout = { segment.length, segment.length, 1, &segment };
    SS_TRY(w.b->class->allocate(w.b, segment.length * 4, (void **)&w.memory));
    SS_TRY(w.b->class->random_normal(w.b, NULL, &layout, 1, 1, w.memory));
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
        SS_TRY(median(&w, tasks[i].run, &seconds));
        printf("%s,%.4g,GB/s,float32 %lld elements%s\n", tasks[i].name,
               4e-9 * (double)w.n * tasks[i].passes / seconds, (long long)w.n,
               tasks[i].passes > 3 ? " of 8 columns" : "");
    }
fail:
    if (w.b) w.b->class->release(w.b, w.memory);
    ss_backend_close(w.b);
    return status;
}

int main(int argc, char **argv)
{
    ss_context *context = NULL;
    ss_status   status = SS_ERROR_USAGE;
    if (ss_context_create(&context) != SS_OK) return 1;
    const long long size = argc == 4 ? strtoll(argv[3], NULL, 10) : 0;
    if ((argc == 3 || size >= 2) && argc >= 3 && strcmp(argv[2], "products") == 0)
        status = products(context, argv[1], size ? size : 8192);
    else if ((argc == 3 || size >= 1) && argc >= 3 && strcmp(argv[2], "vectors") == 0)
        status = vectors(context, argv[1], size);
    else
        fprintf(stderr, "usage: bench_device DEVICE products [M] | vectors [ELEMENTS]\n");
    if (*ss_context_message(context)) fprintf(stderr, "bench_device: %s\n", ss_context_message(context));
    ss_context_destroy(context);
    return ss_status_exit(status);
}
