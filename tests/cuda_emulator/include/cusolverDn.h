/* Stands in for CUDA's cusolverDn.h: the symmetric eigenproblem. */
#ifndef SS_EMULATOR_CUSOLVERDN_H
#define SS_EMULATOR_CUSOLVERDN_H

#include "cublas_v2.h"

#define CUSOLVER_VER_MAJOR 12
#define CUSOLVER_VER_MINOR 0
#define CUSOLVER_VER_PATCH 4
#define CUSOLVER_VERSION   12004

typedef enum {
    CUSOLVER_STATUS_SUCCESS = 0,
    CUSOLVER_STATUS_NOT_INITIALIZED = 1,
    CUSOLVER_STATUS_ALLOC_FAILED = 2,
    CUSOLVER_STATUS_INVALID_VALUE = 3,
    CUSOLVER_STATUS_ARCH_MISMATCH = 4,
    CUSOLVER_STATUS_MAPPING_ERROR = 5,
    CUSOLVER_STATUS_EXECUTION_FAILED = 6,
    CUSOLVER_STATUS_INTERNAL_ERROR = 7,
    CUSOLVER_STATUS_MATRIX_TYPE_NOT_SUPPORTED = 8,
    CUSOLVER_STATUS_NOT_SUPPORTED = 9
} cusolverStatus_t;
typedef enum { CUSOLVER_EIG_MODE_NOVECTOR = 0, CUSOLVER_EIG_MODE_VECTOR = 1 } cusolverEigMode_t;
typedef enum {
    CUSOLVER_DETERMINISTIC_RESULTS = 1,
    CUSOLVER_ALLOW_NON_DETERMINISTIC_RESULTS = 2
} cusolverDeterministicMode_t;

typedef struct cusolverDnContext *cusolverDnHandle_t;
typedef struct cusolverDnParams  *cusolverDnParams_t;

#ifdef __cplusplus
extern "C" {
#endif

SS_EMULATOR_CHECKED cusolverStatus_t cusolverGetProperty(libraryPropertyType type, int *value);
SS_EMULATOR_CHECKED cusolverStatus_t cusolverGetVersion(int *version);
SS_EMULATOR_CHECKED cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t *handle);
SS_EMULATOR_CHECKED cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle);
SS_EMULATOR_CHECKED cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t streamId);
SS_EMULATOR_CHECKED cusolverStatus_t cusolverDnGetStream(cusolverDnHandle_t handle, cudaStream_t *streamId);
SS_EMULATOR_CHECKED cusolverStatus_t cusolverDnSetDeterministicMode(cusolverDnHandle_t          handle,
                                                                    cusolverDeterministicMode_t mode);
SS_EMULATOR_CHECKED cusolverStatus_t cusolverDnGetDeterministicMode(cusolverDnHandle_t           handle,
                                                                    cusolverDeterministicMode_t *mode);
SS_EMULATOR_CHECKED cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t *params);
SS_EMULATOR_CHECKED cusolverStatus_t cusolverDnDestroyParams(cusolverDnParams_t params);
SS_EMULATOR_CHECKED cusolverStatus_t cusolverDnDsyevd_bufferSize(cusolverDnHandle_t handle,
                                                                 cusolverEigMode_t  jobz,
                                                                 cublasFillMode_t uplo, int n,
                                                                 const double *A, int lda, const double *W,
                                                                 int *lwork);
SS_EMULATOR_CHECKED cusolverStatus_t cusolverDnDsyevd(cusolverDnHandle_t handle, cusolverEigMode_t jobz,
                                                      cublasFillMode_t uplo, int n, double *A, int lda,
                                                      double *W, double *work, int lwork, int *info);
SS_EMULATOR_CHECKED cusolverStatus_t cusolverDnXsyevd_bufferSize(
    cusolverDnHandle_t handle, cusolverDnParams_t params, cusolverEigMode_t jobz, cublasFillMode_t uplo,
    int64_t n, cudaDataType dataTypeA, const void *A, int64_t lda, cudaDataType dataTypeW, const void *W,
    cudaDataType computeType, size_t *workspaceInBytesOnDevice, size_t *workspaceInBytesOnHost);
SS_EMULATOR_CHECKED cusolverStatus_t cusolverDnXsyevd(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                                      cusolverEigMode_t jobz, cublasFillMode_t uplo,
                                                      int64_t n, cudaDataType dataTypeA, void *A, int64_t lda,
                                                      cudaDataType dataTypeW, void *W,
                                                      cudaDataType computeType, void *bufferOnDevice,
                                                      size_t workspaceInBytesOnDevice, void *bufferOnHost,
                                                      size_t workspaceInBytesOnHost, int *info);

#ifdef __cplusplus
}
#endif
#endif
