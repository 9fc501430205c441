/* Long vectors on the CPU: float64 accumulation, fixed blocks, partial results added in block order. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/real.h"
#include "base/philox.h"

#define SS_KERNEL_FILE "backend/cpu/vector_kernels.h"
#include "backend/cpu/levels.h"

/* Elements: a block of w and its float64 sums stay in the cache while the columns pass. */
#define BLOCK 4096

static int64_t block_length(int64_t n, int64_t block)
{
    return ss_min64(BLOCK, n - block * BLOCK);
}

/* h[j] := sum over blocks of partial[block, j] */
static void add_blocks(int64_t blocks, int64_t k, const double *partial, double *h)
{
    for (int64_t j = 0; j < k; j++) h[j] = 0;
    for (int64_t block = 0; block < blocks; block++)
        for (int64_t j = 0; j < k; j++) h[j] += partial[block * k + j];
}

ss_status SS_REAL(ss_cpu_block_dot)(ss_backend *b, ss_queue *q, int64_t n, int64_t k, const void *v,
                                    int64_t ldv, const void *w, double *h)
{
    (void)q;
    ss_status status = SS_OK;
    int64_t   blocks = ss_cpu_blocks(n, BLOCK);
    double   *partial = NULL; /* [blocks, k] */
    SS_TRY(ss_cpu_scratch(b, blocks * k, &partial));
    ss_cpu_level level = ss_cpu(b)->level;
#pragma omp parallel for schedule(static) num_threads(ss_cpu_threads(b, n *k))
    for (int64_t block = 0; block < blocks; block++)
        for (int64_t j = 0; j < k; j++)
            partial[block * k + j] = SS_AT_LEVEL(level, dot_segment)(
                block_length(n, block), (const real *)v + j * ldv + block * BLOCK,
                (const real *)w + block * BLOCK);
    add_blocks(blocks, k, partial, h);
fail:
    return status;
}

ss_status SS_REAL(ss_cpu_dot)(ss_backend *b, ss_queue *q, int64_t n, const void *x, const void *y,
                              double *result)
{
    return SS_REAL(ss_cpu_block_dot)(b, q, n, 1, x, n, y, result);
}

ss_status SS_REAL(ss_cpu_block_axpy)(ss_backend *b, ss_queue *q, int64_t n, int64_t k, const void *v,
                                     int64_t ldv, const double *h, double beta, void *w)
{
    (void)q;
    ss_cpu_level level = ss_cpu(b)->level;
#pragma omp parallel for schedule(static) num_threads(ss_cpu_threads(b, n *(k + 1)))
    for (int64_t block = 0; block < ss_cpu_blocks(n, BLOCK); block++) {
        double  sum[BLOCK];
        int64_t length = block_length(n, block);
        real   *out = (real *)w + block * BLOCK;
        SS_AT_LEVEL(level, start_segment)(length, beta, out, sum);
        SS_AT_LEVEL(level, accumulate_segment)(length, k, (const real *)v + block * BLOCK, ldv, h, 1, sum);
        SS_AT_LEVEL(level, store_segment)(length, sum, out);
    }
    return SS_OK;
}

#define COMBINE_ROWS 256 /* rows of V handled at once; shrinks the scratch to COMBINE_ROWS * l per thread */

/* V := V S in place: the l results of a block of rows are all formed before any column is written. */
ss_status SS_REAL(ss_cpu_block_combine)(ss_backend *b, ss_queue *q, int64_t n, int64_t k, int64_t l, void *v,
                                        int64_t ldv, const double *s)
{
    (void)q;
    ss_status    status = SS_OK;
    ss_cpu_level level = ss_cpu(b)->level;
    int          threads = ss_cpu_threads(b, n * k);
    int64_t      blocks = ss_cpu_blocks(n, COMBINE_ROWS);
    double      *scratch = NULL; /* [threads, l, COMBINE_ROWS] */
    SS_TRY(ss_cpu_scratch(b, threads * l * COMBINE_ROWS, &scratch));
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int part = 0; part < threads; part++) {
        double *sum = scratch + part * l * COMBINE_ROWS;
        for (int64_t block = part * blocks / threads; block < (part + 1) * blocks / threads; block++) {
            real   *rows = (real *)v + block * COMBINE_ROWS;
            int64_t length = ss_min64(COMBINE_ROWS, n - block * COMBINE_ROWS);
            memset(sum, 0, (size_t)(l * COMBINE_ROWS) * sizeof(double));
            for (int64_t j = 0; j < l; j++) {
                SS_AT_LEVEL(level, accumulate_segment)
                (length, k, rows, ldv, s + j, l, sum + j * COMBINE_ROWS);
            }
            for (int64_t j = 0; j < l; j++)
                SS_AT_LEVEL(level, store_segment)(length, sum + j * COMBINE_ROWS, rows + j * ldv);
        }
    }
fail:
    return status;
}

ss_status SS_REAL(ss_cpu_axpby)(ss_backend *b, ss_queue *q, int64_t n, double alpha, const void *x,
                                double beta, void *y)
{
    (void)q;
    ss_cpu_level level = ss_cpu(b)->level;
    if (beta == 0 && !x) {
        memset(y, 0, (size_t)n * sizeof(real));
        return SS_OK;
    }
#pragma omp parallel for schedule(static) num_threads(ss_cpu_threads(b, n))
    for (int64_t block = 0; block < ss_cpu_blocks(n, BLOCK); block++) {
        const real *x_block = x ? (const real *)x + block * BLOCK : NULL;
        SS_AT_LEVEL(level, axpby_segment)
        (block_length(n, block), alpha, x_block, beta, (real *)y + block * BLOCK);
    }
    return SS_OK;
}

ss_status SS_REAL(ss_cpu_random_normal)(ss_backend *b, ss_queue *q, const ss_layout *layout, uint64_t seed,
                                        uint64_t stream, void *x)
{
    (void)q;
    real *out = x;
    memset(out, 0, (size_t)layout->padded * sizeof(real));
    for (int64_t i = 0; i < layout->n_segments; i++) {
        const ss_segment *segment = layout->segments + i;
        int64_t           first = segment->canonical, length = segment->length;
        real             *to = out + segment->offset;
#pragma omp parallel for schedule(static) num_threads(ss_cpu_threads(b, length * 64))
        for (int64_t j = 0; j < length; j++)
            to[j] = (real)ss_random_normal(seed, stream, (uint64_t)(first + j));
    }
    return SS_OK;
}

ss_status SS_REAL(ss_cpu_find_nonfinite)(ss_backend *b, ss_queue *q, int64_t n, const void *x, int64_t *index)
{
    (void)q;
    const real  *in = x;
    ss_cpu_level level = ss_cpu(b)->level;
    int64_t      first = INT64_MAX; /* first block that holds one */
#pragma omp parallel for schedule(static) num_threads(ss_cpu_threads(b, n)) reduction(min : first)
    for (int64_t block = 0; block < ss_cpu_blocks(n, BLOCK); block++)
        if (block < first && !SS_AT_LEVEL(level, finite_segment)(block_length(n, block), in + block * BLOCK))
            first = block;
    *index = -1;
    if (first == INT64_MAX) return SS_OK;
    int64_t i = first * BLOCK;
    while (i < n && isfinite(in[i])) i++;
    *index = i < n ? i : -1;
    return SS_OK;
}

ss_status SS_REAL(ss_cpu_count_sign_changes)(ss_backend *b, ss_queue *q, int64_t n, const void *x,
                                             const void *y, int64_t *count)
{
    (void)q;
    ss_cpu_level level = ss_cpu(b)->level;
    int64_t      total = 0;
#pragma omp parallel for schedule(static) num_threads(ss_cpu_threads(b, n)) reduction(+ : total)
    for (int64_t block = 0; block < ss_cpu_blocks(n, BLOCK); block++)
        total += SS_AT_LEVEL(level, sign_changes)(block_length(n, block), (const real *)x + block * BLOCK,
                                                  (const real *)y + block * BLOCK);
    *count = total;
    return SS_OK;
}
