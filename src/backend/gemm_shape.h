/* Matrix products before a BLAS sees them: the checks, the leading dimensions that a BLAS insists on, and
 * batches merged into one product where the strides permit. The same for every backend; C11 and C++. */
#ifndef SS_BACKEND_GEMM_SHAPE_H
#define SS_BACKEND_GEMM_SHAPE_H

#include "backend/backend.h"

static inline ss_status ss_gemm_check(ss_context *context, const ss_gemm *g)
{
    int64_t a_rows = g->transpose_a ? g->k : g->m, a_cols = g->transpose_a ? g->m : g->k;
    int64_t b_rows = g->transpose_b ? g->n : g->k, b_cols = g->transpose_b ? g->k : g->n;
    if (g->m < 0 || g->n < 0 || g->k < 0 || g->batch < 1 || (a_rows > 1 && g->lda < a_cols) ||
        (b_rows > 1 && g->ldb < b_cols) || (g->m > 1 && g->ldc < g->n))
        return ss_fail(context, SS_ERROR_INTERNAL,
                       "gemm: m %lld, n %lld, k %lld, batch %lld with lda %lld, ldb %lld, ldc %lld",
                       (long long)g->m, (long long)g->n, (long long)g->k, (long long)g->batch,
                       (long long)g->lda, (long long)g->ldb, (long long)g->ldc);
    return SS_OK;
}

/* A single row has no next one: any leading dimension will do, but a BLAS insists. */
static inline void ss_gemm_widen(ss_gemm *g)
{
    int64_t a_rows = g->transpose_a ? g->k : g->m, a_cols = g->transpose_a ? g->m : g->k;
    int64_t b_rows = g->transpose_b ? g->n : g->k, b_cols = g->transpose_b ? g->k : g->n;
    if (a_rows == 1) g->lda = ss_max64(g->lda, a_cols);
    if (b_rows == 1) g->ldb = ss_max64(g->ldb, b_cols);
    if (g->m == 1) g->ldc = ss_max64(g->ldc, g->n);
}

/* Problems that share B and whose A and C follow each other row after row are one tall problem; problems that
 * share A and whose B and C lie side by side are one wide problem. */
static inline void ss_gemm_merge(ss_gemm *g)
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

#endif
