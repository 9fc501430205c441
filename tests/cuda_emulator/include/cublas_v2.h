/* Stands in for CUDA's cublas_v2.h: the calls Saddlescope makes, with cuBLAS's names, values and signatures.
 */
#ifndef SS_EMULATOR_CUBLAS_V2_H
#define SS_EMULATOR_CUBLAS_V2_H

#include "cuda_runtime_api.h"
#include "library_types.h"

#define CUBLAS_VERSION 130000

/* clang-format off */
#define SS_EMULATOR_CUBLAS_STATUS_TABLE(row) \
    row(CUBLAS_STATUS_SUCCESS, 0, "success") \
    row(CUBLAS_STATUS_NOT_INITIALIZED, 1, "the library was not initialized") \
    row(CUBLAS_STATUS_ALLOC_FAILED, 3, "the resource allocation failed") \
    row(CUBLAS_STATUS_INVALID_VALUE, 7, "an invalid value was passed in as a parameter") \
    row(CUBLAS_STATUS_ARCH_MISMATCH, 8, "the function requires a feature absent from the device architecture") \
    row(CUBLAS_STATUS_MAPPING_ERROR, 11, "an access to GPU memory space failed") \
    row(CUBLAS_STATUS_EXECUTION_FAILED, 13, "the function failed to launch on the GPU") \
    row(CUBLAS_STATUS_INTERNAL_ERROR, 14, "an internal operation failed") \
    row(CUBLAS_STATUS_NOT_SUPPORTED, 15, "the functionality requested is not supported")
/* clang-format on */
typedef enum {
#define SS_EMULATOR_ROW(name, value, text) name = value,
    SS_EMULATOR_CUBLAS_STATUS_TABLE(SS_EMULATOR_ROW)
#undef SS_EMULATOR_ROW
} cublasStatus_t;

typedef enum {
    CUBLAS_FILL_MODE_LOWER = 0,
    CUBLAS_FILL_MODE_UPPER = 1,
    CUBLAS_FILL_MODE_FULL = 2
} cublasFillMode_t;
typedef enum { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1, CUBLAS_OP_C = 2 } cublasOperation_t;
typedef enum { CUBLAS_POINTER_MODE_HOST = 0, CUBLAS_POINTER_MODE_DEVICE = 1 } cublasPointerMode_t;
typedef enum { CUBLAS_ATOMICS_NOT_ALLOWED = 0, CUBLAS_ATOMICS_ALLOWED = 1 } cublasAtomicsMode_t;
typedef enum {
    CUBLAS_GEMM_DFALT = -1,
    CUBLAS_GEMM_DEFAULT = -1,
    CUBLAS_GEMM_ALGO0 = 0,
    CUBLAS_GEMM_DEFAULT_TENSOR_OP = 99,
    CUBLAS_GEMM_DFALT_TENSOR_OP = 99
} cublasGemmAlgo_t;
typedef enum {
    CUBLAS_DEFAULT_MATH = 0,
    CUBLAS_TENSOR_OP_MATH = 1,
    CUBLAS_PEDANTIC_MATH = 2,
    CUBLAS_TF32_TENSOR_OP_MATH = 3,
    CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION = 16
} cublasMath_t;
typedef enum {
    CUBLAS_COMPUTE_16F = 64,
    CUBLAS_COMPUTE_16F_PEDANTIC = 65,
    CUBLAS_COMPUTE_32F = 68,
    CUBLAS_COMPUTE_32F_PEDANTIC = 69,
    CUBLAS_COMPUTE_64F = 70,
    CUBLAS_COMPUTE_64F_PEDANTIC = 71,
    CUBLAS_COMPUTE_32F_FAST_16F = 74,
    CUBLAS_COMPUTE_32F_FAST_16BF = 75,
    CUBLAS_COMPUTE_32F_FAST_TF32 = 77
} cublasComputeType_t;

typedef struct cublasContext *cublasHandle_t;

#define cublasCreate         cublasCreate_v2
#define cublasDestroy        cublasDestroy_v2
#define cublasGetVersion     cublasGetVersion_v2
#define cublasSetStream      cublasSetStream_v2
#define cublasGetStream      cublasGetStream_v2
#define cublasSetWorkspace   cublasSetWorkspace_v2
#define cublasSetPointerMode cublasSetPointerMode_v2
#define cublasGetPointerMode cublasGetPointerMode_v2
#define cublasSgemm          cublasSgemm_v2
#define cublasDgemm          cublasDgemm_v2
#define cublasSgemm_64       cublasSgemm_v2_64
#define cublasDgemm_64       cublasDgemm_v2_64

#ifdef __cplusplus
extern "C" {
#endif

SS_EMULATOR_CHECKED cublasStatus_t cublasCreate(cublasHandle_t *handle);
SS_EMULATOR_CHECKED cublasStatus_t cublasDestroy(cublasHandle_t handle);
SS_EMULATOR_CHECKED cublasStatus_t cublasGetVersion(cublasHandle_t handle, int *version);
SS_EMULATOR_CHECKED cublasStatus_t cublasGetProperty(libraryPropertyType type, int *value);
SS_EMULATOR_CHECKED cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t streamId);
SS_EMULATOR_CHECKED cublasStatus_t cublasGetStream(cublasHandle_t handle, cudaStream_t *streamId);
SS_EMULATOR_CHECKED cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void *workspace,
                                                      size_t workspaceSizeInBytes);
SS_EMULATOR_CHECKED cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode);
SS_EMULATOR_CHECKED cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t *mode);
SS_EMULATOR_CHECKED cublasStatus_t cublasSetPointerMode(cublasHandle_t handle, cublasPointerMode_t mode);
SS_EMULATOR_CHECKED cublasStatus_t cublasGetPointerMode(cublasHandle_t handle, cublasPointerMode_t *mode);
SS_EMULATOR_CHECKED cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode);
SS_EMULATOR_CHECKED cublasStatus_t cublasGetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t *mode);
const char                        *cublasGetStatusName(cublasStatus_t status);
const char                        *cublasGetStatusString(cublasStatus_t status);

/* Column-major C := alpha op(A) op(B) + beta C, as in cuBLAS; `index` is int, or int64_t for names with _64.
 */
#define SS_EMULATOR_GEMM(name, type, index)                                                                  \
    SS_EMULATOR_CHECKED cublasStatus_t name(cublasHandle_t handle, cublasOperation_t transa,                 \
                                            cublasOperation_t transb, index m, index n, index k,             \
                                            const type *alpha, const type *A, index lda, const type *B,      \
                                            index ldb, const type *beta, type *C, index ldc);
SS_EMULATOR_GEMM(cublasSgemm, float, int)
SS_EMULATOR_GEMM(cublasDgemm, double, int)
SS_EMULATOR_GEMM(cublasSgemm_64, float, int64_t)
SS_EMULATOR_GEMM(cublasDgemm_64, double, int64_t)
#undef SS_EMULATOR_GEMM

#define SS_EMULATOR_GEMM_STRIDED(name, type, index)                                                          \
    SS_EMULATOR_CHECKED cublasStatus_t name(                                                                 \
        cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, index m, index n,         \
        index k, const type *alpha, const type *A, index lda, long long int strideA, const type *B,          \
        index ldb, long long int strideB, const type *beta, type *C, index ldc, long long int strideC,       \
        index batchCount);
SS_EMULATOR_GEMM_STRIDED(cublasSgemmStridedBatched, float, int)
SS_EMULATOR_GEMM_STRIDED(cublasDgemmStridedBatched, double, int)
SS_EMULATOR_GEMM_STRIDED(cublasSgemmStridedBatched_64, float, int64_t)
SS_EMULATOR_GEMM_STRIDED(cublasDgemmStridedBatched_64, double, int64_t)
#undef SS_EMULATOR_GEMM_STRIDED

#define SS_EMULATOR_GEMM_EX(name, index)                                                                     \
    SS_EMULATOR_CHECKED cublasStatus_t name(                                                                 \
        cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, index m, index n,         \
        index k, const void *alpha, const void *A, cudaDataType Atype, index lda, const void *B,             \
        cudaDataType Btype, index ldb, const void *beta, void *C, cudaDataType Ctype, index ldc,             \
        cublasComputeType_t computeType, cublasGemmAlgo_t algo);
SS_EMULATOR_GEMM_EX(cublasGemmEx, int)
SS_EMULATOR_GEMM_EX(cublasGemmEx_64, int64_t)
#undef SS_EMULATOR_GEMM_EX

#define SS_EMULATOR_GEMM_STRIDED_EX(name, index)                                                             \
    SS_EMULATOR_CHECKED cublasStatus_t name(                                                                 \
        cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, index m, index n,         \
        index k, const void *alpha, const void *A, cudaDataType Atype, index lda, long long int strideA,     \
        const void *B, cudaDataType Btype, index ldb, long long int strideB, const void *beta, void *C,      \
        cudaDataType Ctype, index ldc, long long int strideC, index batchCount,                              \
        cublasComputeType_t computeType, cublasGemmAlgo_t algo);
SS_EMULATOR_GEMM_STRIDED_EX(cublasGemmStridedBatchedEx, int)
SS_EMULATOR_GEMM_STRIDED_EX(cublasGemmStridedBatchedEx_64, int64_t)
#undef SS_EMULATOR_GEMM_STRIDED_EX

#ifdef __cplusplus
}
#endif
#endif
