/* Matrix products on the CPU: checks, the cases a BLAS does not define, and batches merged into one call
 * where the strides permit. No operand is copied. */
#include "backend/cpu/blas.h"
#include "backend/cpu/cpu.h"
#include "backend/cpu/real.h"

#include <string.h>

#if SS_REAL_BITS == 32
#define BLAS_GEMM ss_blas_sgemm
#else
#define BLAS_GEMM ss_blas_dgemm
#endif

/* C := beta C, for products without terms. */
static void scale(const ss_gemm *g)
{
    for (int64_t p = 0; p < g->batch; p++)
        for (int64_t i = 0; i < g->m; i++) {
            real *row = (real *)g->c + p * g->stride_c + i * g->ldc;
            for (int64_t j = 0; j < g->n; j++) row[j] = g->beta == 0 ? 0 : (real)g->beta * row[j];
        }
}

/* Problems that share B and whose A and C follow each other row after row are one tall problem; problems that
 * share A and whose B and C lie side by side are one wide problem. */
static void merge(ss_gemm *g)
{
    if (g->batch == 1) return;
    if (g->stride_b == 0 && g->m == 1 && !g->transpose_a && g->stride_a >= g->k && g->stride_c >= g->n) {
        g->lda = g->stride_a; /* rows that are single in their problem */
        g->ldc = g->stride_c;
    }
    if (g->stride_b == 0 && !g->transpose_a && g->stride_a == g->m * g->lda && g->stride_c == g->m * g->ldc) {
        g->m *= g->batch;
        g->batch = 1;
    } else if (g->stride_a == 0 && !g->transpose_b && g->stride_b == g->n && g->stride_c == g->n &&
               g->ldb >= g->n * g->batch && g->ldc >= g->n * g->batch) {
        g->n *= g->batch;
        g->batch = 1;
    }
}

ss_status SS_REAL(ss_cpu_gemm)(ss_backend *b, ss_queue *q, const ss_gemm *problem)
{
    (void)q;
    ss_gemm g = *problem;
    int64_t a_rows = g.transpose_a ? g.k : g.m, a_cols = g.transpose_a ? g.m : g.k;
    int64_t b_rows = g.transpose_b ? g.n : g.k, b_cols = g.transpose_b ? g.k : g.n;
    if (g.m < 0 || g.n < 0 || g.k < 0 || g.batch < 1 || (a_rows > 1 && g.lda < a_cols) ||
        (b_rows > 1 && g.ldb < b_cols) || (g.m > 1 && g.ldc < g.n))
        return ss_fail(b->context, SS_ERROR_INTERNAL,
                       "gemm: m %lld, n %lld, k %lld, batch %lld with lda %lld, ldb %lld, ldc %lld",
                       (long long)g.m, (long long)g.n, (long long)g.k, (long long)g.batch, (long long)g.lda,
                       (long long)g.ldb, (long long)g.ldc);
    if (g.m == 0 || g.n == 0) return SS_OK;
    if (g.k == 0 || g.alpha == 0) {
        scale(&g);
        return SS_OK;
    }
    /* A single row has no next one: any leading dimension will do, but a BLAS insists. */
    if (a_rows == 1) g.lda = ss_max64(g.lda, a_cols);
    if (b_rows == 1) g.ldb = ss_max64(g.ldb, b_cols);
    if (g.m == 1) g.ldc = ss_max64(g.ldc, g.n);
    merge(&g);
    for (int64_t p = 0; p < g.batch; p++) {
        ss_status status = BLAS_GEMM(b->context, &g, (const real *)g.a + p * g.stride_a,
                                     (const real *)g.b + p * g.stride_b, (real *)g.c + p * g.stride_c);
        if (status != SS_OK) return status;
    }
    return SS_OK;
}
