/* Matrix products through cuBLAS. Row-major C = A B is column-major C' = B' A': the operands change places.
 *
 * Results repeat bit for bit on one device: every queue has its own handle with its own fixed workspace, one
 * stream, host scalars, the default algorithm choice (a function of shapes), no reduced-precision reductions.
 *
 *     real     low_precision and tf32   compute type
 *     float64  -                        64F
 *     float32  no                       32F (plain float32 arithmetic)
 *     float32  yes                      32F_FAST_TF32 */
#include "map.cuh"

#include "backend/gemm_shape.h"

#define WORKSPACE_BYTES ((int64_t)32 << 20) /* what cuBLAS recommends for the largest devices */

static ss_status open_blas(ss_queue *q)
{
    ss_context *context = q->device->context;
    if (q->blas) return SS_OK;
    if (!q->workspace) SS_RETURN(ss_cuda_device_allocate(context, WORKSPACE_BYTES, &q->workspace));
    if (ss_allocation_fails(context))
        return ss_fail(context, SS_ERROR_MEMORY, "cublasCreate: no memory for a handle");
    cublasHandle_t blas = nullptr;
    SS_CUDA(context, cublasCreate(&blas), "device %d", q->device->index);
    q->blas = blas; /* closed with the queue from here on */
    SS_CUDA(context, cublasSetStream(blas, q->stream), "a queue's stream");
    SS_CUDA(context, cublasSetWorkspace(blas, q->workspace, (size_t)WORKSPACE_BYTES), "%lld bytes",
            (long long)WORKSPACE_BYTES);
    SS_CUDA(context, cublasSetPointerMode(blas, CUBLAS_POINTER_MODE_HOST), "host scalars");
    SS_CUDA(context,
            cublasSetMathMode(
                blas, (cublasMath_t)(CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION)),
            "default mathematics");
    return SS_OK;
}

/* C := beta C, for products without terms. */
template <typename real> struct scale_element {
    ss_matrix       c;
    real            beta;
    __device__ void operator()(int64_t lane, int64_t row, int64_t col) const
    {
        real *out = ss_cuda_row<real>(c, lane, row) + col;
        *out = beta == 0 ? 0 : beta * *out;
    }
};

template <typename real> static ss_status scale(ss_queue *q, const ss_gemm *g)
{
    const scale_element<real> f = { { g->c, g->m, g->n, g->ldc, g->stride_c }, (real)g->beta };
    return ss_cuda_map(q, g->batch, g->m, g->n, f);
}

/* alpha and beta in the compute type's scalars, which are the real type. */
template <typename real> static ss_status product(ss_backend *b, ss_queue *q, const ss_gemm *g)
{
    const bool                single = sizeof(real) == 4;
    const cudaDataType_t      type = single ? CUDA_R_32F : CUDA_R_64F;
    const bool                tf32 = single && g->low_precision && b->tf32;
    const cublasComputeType_t compute = !single ? CUBLAS_COMPUTE_64F
                                        : tf32  ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                : CUBLAS_COMPUTE_32F;
    const cublasOperation_t   op_a = g->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t   op_b = g->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    const real                alpha = (real)g->alpha, beta = (real)g->beta;
    if (g->batch == 1)
        SS_CUDA(b->context,
                cublasGemmEx_64(q->blas, op_b, op_a, g->n, g->m, g->k, &alpha, g->b, type, g->ldb, g->a, type,
                                g->lda, &beta, g->c, type, g->ldc, compute, CUBLAS_GEMM_DEFAULT),
                "product of %lld x %lld x %lld", (long long)g->m, (long long)g->n, (long long)g->k);
    else
        SS_CUDA(b->context,
                cublasGemmStridedBatchedEx_64(q->blas, op_b, op_a, g->n, g->m, g->k, &alpha, g->b, type,
                                              g->ldb, g->stride_b, g->a, type, g->lda, g->stride_a, &beta,
                                              g->c, type, g->ldc, g->stride_c, g->batch, compute,
                                              CUBLAS_GEMM_DEFAULT),
                "%lld products of %lld x %lld x %lld", (long long)g->batch, (long long)g->m, (long long)g->n,
                (long long)g->k);
    return SS_OK;
}

template <typename real> ss_status ss_cuda_gemm(ss_backend *b, ss_queue *q, const ss_gemm *problem)
{
    ss_gemm g = *problem;
    SS_RETURN(ss_gemm_check(b->context, problem));
    SS_RETURN(ss_cuda_enter(b, &q));
    if (g.m == 0 || g.n == 0) return SS_OK;
    if (g.k == 0 || g.alpha == 0) return scale<real>(q, &g);
    ss_gemm_widen(&g);
    ss_gemm_merge(&g);
    SS_RETURN(open_blas(q));
    return product<real>(b, q, &g);
}
SS_CUDA_INSTANTIATE(gemm)
