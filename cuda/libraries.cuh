/* cuBLAS and cuSOLVER, loaded at run time like the host's BLAS: a program that never opens a GPU neither
 * needs them nor pays for loading half a gigabyte, and one that does says which of them is missing. Under the
 * emulator they are its own functions. */
#ifndef SS_CUDA_LIBRARIES_CUH
#define SS_CUDA_LIBRARIES_CUH

#include <cublas_v2.h>
#include <cusolverDn.h>

#include "backend/backend.h"

/* SS_ERROR_REFUSED with the library's name when it cannot be loaded. Before the first call of either. */
ss_status ss_cuda_load_cublas(ss_context *context);
ss_status ss_cuda_load_cusolver(ss_context *context);

#ifndef SS_CUDA_EMULATOR
/* One row per function used. */
/* clang-format off */
#define SS_CUBLAS_TABLE(row) \
    row(cublasCreate_v2) row(cublasDestroy_v2) row(cublasSetStream_v2) row(cublasSetWorkspace_v2) \
    row(cublasSetPointerMode_v2) row(cublasSetMathMode) row(cublasGemmEx_64) row(cublasGemmStridedBatchedEx_64) \
    row(cublasGetStatusString)
#define SS_CUSOLVER_TABLE(row) \
    row(cusolverDnCreate) row(cusolverDnDestroy) row(cusolverDnSetStream) row(cusolverDnCreateParams) \
    row(cusolverDnDestroyParams) row(cusolverDnXsyevd_bufferSize) row(cusolverDnXsyevd)
/* clang-format on */

struct ss_cuda_functions {
#define SS_CUDA_FUNCTION(name) decltype(&::name) name;
    SS_CUBLAS_TABLE(SS_CUDA_FUNCTION)
    SS_CUSOLVER_TABLE(SS_CUDA_FUNCTION)
#undef SS_CUDA_FUNCTION
};
extern ss_cuda_functions ss_cuda_function; /* NULL until loaded */

/* Calls keep their names. The lines of this list and of the tables belong together: a missing one does not
 * link. */
#define cublasCreate_v2               ss_cuda_function.cublasCreate_v2
#define cublasDestroy_v2              ss_cuda_function.cublasDestroy_v2
#define cublasSetStream_v2            ss_cuda_function.cublasSetStream_v2
#define cublasSetWorkspace_v2         ss_cuda_function.cublasSetWorkspace_v2
#define cublasSetPointerMode_v2       ss_cuda_function.cublasSetPointerMode_v2
#define cublasSetMathMode             ss_cuda_function.cublasSetMathMode
#define cublasGemmEx_64               ss_cuda_function.cublasGemmEx_64
#define cublasGemmStridedBatchedEx_64 ss_cuda_function.cublasGemmStridedBatchedEx_64
#define cublasGetStatusString         ss_cuda_function.cublasGetStatusString
#define cusolverDnCreate              ss_cuda_function.cusolverDnCreate
#define cusolverDnDestroy             ss_cuda_function.cusolverDnDestroy
#define cusolverDnSetStream           ss_cuda_function.cusolverDnSetStream
#define cusolverDnCreateParams        ss_cuda_function.cusolverDnCreateParams
#define cusolverDnDestroyParams       ss_cuda_function.cusolverDnDestroyParams
#define cusolverDnXsyevd_bufferSize   ss_cuda_function.cusolverDnXsyevd_bufferSize
#define cusolverDnXsyevd              ss_cuda_function.cusolverDnXsyevd
#endif

#endif
