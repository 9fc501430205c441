/* Matrix products on the CPU: the cases a BLAS does not define, and one call for each problem that is left
 * after merging (gemm_shape.h). No operand is copied. */
#include "backend/cpu/blas.h"
#include "backend/cpu/cpu.h"
#include "backend/cpu/real.h"
#include "backend/gemm_shape.h"

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

ss_status SS_REAL(ss_cpu_gemm)(ss_backend *b, ss_queue *q, const ss_gemm *problem)
{
    (void)q;
    ss_gemm   g = *problem;
    ss_status status = ss_gemm_check(b->context, problem);
    if (status != SS_OK) return status;
    if (g.m == 0 || g.n == 0) return SS_OK;
    if (g.k == 0 || g.alpha == 0) {
        scale(&g);
        return SS_OK;
    }
    ss_gemm_widen(&g);
    ss_gemm_merge(&g);
    for (int64_t p = 0; p < g.batch; p++) {
        status = BLAS_GEMM(b->context, &g, (const real *)g.a + p * g.stride_a,
                           (const real *)g.b + p * g.stride_b, (real *)g.c + p * g.stride_c);
        if (status != SS_OK) return status;
    }
    return SS_OK;
}
