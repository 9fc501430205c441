/* cuSOLVER on the host: the symmetric eigenproblem by LAPACK's dsyevd, float32 through float64. */
#include "private.h"
#include "cusolverDn.h"

#include <stdlib.h>
#include <string.h>

#define CUSOLVER_MAGIC UINT64_C(0x6375736f6c766572)

struct cusolverDnContext {
    uint64_t                    magic;
    cudaStream_t                stream;
    cusolverDeterministicMode_t determinism;
};
struct cusolverDnParams {
    uint64_t magic;
};

typedef struct eigen {
    bool    vectors, upper, f64;
    int64_t n, lda;
    void   *a, *w, *work;
    size_t  work_bytes;
    int    *info;
} eigen;

static int64_t n_handles;
int64_t        emu_cusolver_count(void)
{
    return n_handles;
}

static cusolverStatus_t leave(cusolverStatus_t status)
{
    if (status == CUSOLVER_STATUS_SUCCESS && emu_sticky()) status = CUSOLVER_STATUS_EXECUTION_FAILED;
    emu_unlock();
    return status;
}

static bool valid(cusolverDnHandle_t handle)
{
    return handle && handle->magic == CUSOLVER_MAGIC;
}

#define ENTER(handle, failure)                                                                               \
    do {                                                                                                     \
        if (emu_enter_library(__func__)) return leave(failure);                                              \
        if (!valid(handle)) return leave(CUSOLVER_STATUS_NOT_INITIALIZED);                                   \
    } while (0)

/* ---- Handles ---- */
cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t *handle)
{
    if (emu_enter_library(__func__)) return leave(CUSOLVER_STATUS_ALLOC_FAILED);
    if (!handle) return leave(CUSOLVER_STATUS_INVALID_VALUE);
    if (emu_set()->devices < 1) return leave(CUSOLVER_STATUS_NOT_INITIALIZED);
    cusolverDnHandle_t h = emu_allocate(sizeof *h);
    h->magic = CUSOLVER_MAGIC;
    h->determinism = CUSOLVER_DETERMINISTIC_RESULTS;
    n_handles++;
    *handle = h;
    return leave(CUSOLVER_STATUS_SUCCESS);
}

cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle)
{
    bool fails = emu_enter_library(__func__);
    if (!valid(handle)) return leave(CUSOLVER_STATUS_NOT_INITIALIZED);
    if (!emu_capture_forbids()) emu_drain_all();
    handle->magic = 0;
    free(handle);
    n_handles--;
    return leave(fails ? CUSOLVER_STATUS_INTERNAL_ERROR : CUSOLVER_STATUS_SUCCESS);
}

cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t streamId)
{
    ENTER(handle, CUSOLVER_STATUS_INTERNAL_ERROR);
    if (!emu_stream_valid(streamId)) return leave(CUSOLVER_STATUS_INVALID_VALUE);
    handle->stream = streamId;
    return leave(CUSOLVER_STATUS_SUCCESS);
}

cusolverStatus_t cusolverDnGetStream(cusolverDnHandle_t handle, cudaStream_t *streamId)
{
    ENTER(handle, CUSOLVER_STATUS_INTERNAL_ERROR);
    if (!streamId) return leave(CUSOLVER_STATUS_INVALID_VALUE);
    *streamId = handle->stream;
    return leave(CUSOLVER_STATUS_SUCCESS);
}

cusolverStatus_t cusolverDnSetDeterministicMode(cusolverDnHandle_t handle, cusolverDeterministicMode_t mode)
{
    ENTER(handle, CUSOLVER_STATUS_INTERNAL_ERROR);
    if (mode != CUSOLVER_DETERMINISTIC_RESULTS && mode != CUSOLVER_ALLOW_NON_DETERMINISTIC_RESULTS)
        return leave(CUSOLVER_STATUS_INVALID_VALUE);
    handle->determinism = mode;
    return leave(CUSOLVER_STATUS_SUCCESS);
}

cusolverStatus_t cusolverDnGetDeterministicMode(cusolverDnHandle_t handle, cusolverDeterministicMode_t *mode)
{
    ENTER(handle, CUSOLVER_STATUS_INTERNAL_ERROR);
    if (!mode) return leave(CUSOLVER_STATUS_INVALID_VALUE);
    *mode = handle->determinism;
    return leave(CUSOLVER_STATUS_SUCCESS);
}

cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t *params)
{
    if (emu_enter_library(__func__)) return leave(CUSOLVER_STATUS_ALLOC_FAILED);
    if (!params) return leave(CUSOLVER_STATUS_INVALID_VALUE);
    *params = emu_allocate(sizeof **params);
    (*params)->magic = CUSOLVER_MAGIC;
    n_handles++;
    return leave(CUSOLVER_STATUS_SUCCESS);
}

cusolverStatus_t cusolverDnDestroyParams(cusolverDnParams_t params)
{
    bool fails = emu_enter_library(__func__);
    if (!params || params->magic != CUSOLVER_MAGIC) return leave(CUSOLVER_STATUS_INVALID_VALUE);
    params->magic = 0;
    free(params);
    n_handles--;
    return leave(fails ? CUSOLVER_STATUS_INTERNAL_ERROR : CUSOLVER_STATUS_SUCCESS);
}

cusolverStatus_t cusolverGetVersion(int *version)
{
    if (emu_enter_library(__func__)) return leave(CUSOLVER_STATUS_INTERNAL_ERROR);
    if (!version) return leave(CUSOLVER_STATUS_INVALID_VALUE);
    *version = CUSOLVER_VERSION;
    return leave(CUSOLVER_STATUS_SUCCESS);
}

cusolverStatus_t cusolverGetProperty(libraryPropertyType type, int *value)
{
    if (emu_enter_library(__func__)) return leave(CUSOLVER_STATUS_INTERNAL_ERROR);
    if (!value) return leave(CUSOLVER_STATUS_INVALID_VALUE);
    *value = type == MAJOR_VERSION   ? CUSOLVER_VER_MAJOR
             : type == MINOR_VERSION ? CUSOLVER_VER_MINOR
                                     : CUSOLVER_VER_PATCH;
    return leave(CUSOLVER_STATUS_SUCCESS);
}

/* ---- The eigenproblem ---- */
static bool fits(const eigen *e)
{
    size_t unit = e->f64 ? 8 : 4;
    return emu_memory_alias(e->a, (size_t)((e->n - 1) * e->lda + e->n) * unit) &&
           emu_memory_alias(e->w, (size_t)e->n * unit) && emu_memory_alias(e->info, sizeof(int)) &&
           (e->work_bytes == 0 || emu_memory_alias(e->work, e->work_bytes));
}

/* Only the triangle named is read; all of A is overwritten, as cuSOLVER does. */
static void run_eigen(void *data)
{
    const eigen *e = data;
    if (!fits(e)) {
        emu_report("syevd of order %lld, leading dimension %lld: A, W, work or info leaves its device memory",
                   (long long)e->n, (long long)e->lda);
        emu_stick(cudaErrorIllegalAddress);
        return;
    }
    size_t  n = (size_t)e->n, unit = e->f64 ? 8 : 4;
    char   *a = emu_memory_alias(e->a, 0), *w = emu_memory_alias(e->w, 0);
    double *full = emu_allocate(n * n * sizeof *full), *values = emu_allocate(n * sizeof *values);
    for (size_t j = 0; j < n; j++)
        for (size_t i = e->upper ? 0 : j; i < (e->upper ? j + 1 : n); i++) {
            float x;
            char *at = a + (j * (size_t)e->lda + i) * unit;
            if (e->f64) {
                memcpy(&full[j * n + i], at, sizeof(double));
            } else {
                memcpy(&x, at, sizeof x);
                full[j * n + i] = (double)x;
            }
        }
    if (e->work_bytes) emu_memory_fill(emu_memory_alias(e->work, e->work_bytes), e->work_bytes);
    int info = emu_syevd(e->vectors, e->upper, (int)e->n, full, (int)e->n, values);
    if (!e->vectors) emu_memory_fill(full, n * n * sizeof *full); /* destroyed, say the manuals */
    for (size_t j = 0; j < n; j++) {
        for (size_t i = 0; i < n; i++) {
            float x = (float)full[j * n + i];
            char *at = a + (j * (size_t)e->lda + i) * unit;
            if (e->f64)
                memcpy(at, &full[j * n + i], sizeof(double));
            else
                memcpy(at, &x, sizeof x);
        }
        float x = (float)values[j];
        if (e->f64)
            memcpy(w + j * unit, &values[j], sizeof(double));
        else
            memcpy(w + j * unit, &x, sizeof x);
    }
    memcpy(emu_memory_alias(e->info, sizeof info), &info, sizeof info);
    free(full);
    free(values);
}

static bool legal(cusolverEigMode_t jobz, cublasFillMode_t uplo, int64_t n, int64_t lda)
{
    return (unsigned)jobz <= 1 && (uplo == CUBLAS_FILL_MODE_LOWER || uplo == CUBLAS_FILL_MODE_UPPER) &&
           n >= 0 && n <= 32760 && lda >= (n > 1 ? n : 1);
}

/* Elements of device workspace: what a blocked reduction and the vectors of divide and conquer take. */
static int64_t work_elements(int64_t n, cusolverEigMode_t jobz)
{
    return jobz == CUSOLVER_EIG_MODE_VECTOR ? 1 + 6 * n + 2 * n * n : 2 * n + 64 * n + 1;
}

static cusolverStatus_t submit(cusolverDnHandle_t handle, eigen model)
{
    if (model.n == 0) return leave(CUSOLVER_STATUS_SUCCESS);
    if (!model.a || !model.w || !model.info) return leave(CUSOLVER_STATUS_INVALID_VALUE);
    if (emu_stream_capturing(handle->stream)) {
        emu_report("syevd waits for the device, which a capture does not allow");
        emu_capture_breaks(cudaErrorStreamCaptureUnsupported);
        return leave(CUSOLVER_STATUS_INTERNAL_ERROR);
    }
    eigen *own = emu_allocate(sizeof *own);
    *own = model;
    cudaError_t error = emu_enqueue(handle->stream, emu_work_make("syevd", run_eigen, free, own));
    return leave(error ? CUSOLVER_STATUS_EXECUTION_FAILED : CUSOLVER_STATUS_SUCCESS);
}

cusolverStatus_t cusolverDnDsyevd_bufferSize(cusolverDnHandle_t handle, cusolverEigMode_t jobz,
                                             cublasFillMode_t uplo, int n, const double *A, int lda,
                                             const double *W, int *lwork)
{
    ENTER(handle, CUSOLVER_STATUS_INTERNAL_ERROR);
    (void)A;
    (void)W;
    if (!lwork || !legal(jobz, uplo, n, lda)) return leave(CUSOLVER_STATUS_INVALID_VALUE);
    *lwork = (int)work_elements(n, jobz);
    return leave(CUSOLVER_STATUS_SUCCESS);
}

cusolverStatus_t cusolverDnDsyevd(cusolverDnHandle_t handle, cusolverEigMode_t jobz, cublasFillMode_t uplo,
                                  int n, double *A, int lda, double *W, double *work, int lwork, int *info)
{
    ENTER(handle, CUSOLVER_STATUS_EXECUTION_FAILED);
    if (!legal(jobz, uplo, n, lda) || lwork < work_elements(n, jobz))
        return leave(CUSOLVER_STATUS_INVALID_VALUE);
    return submit(handle, (eigen){ .vectors = jobz == CUSOLVER_EIG_MODE_VECTOR,
                                   .upper = uplo == CUBLAS_FILL_MODE_UPPER,
                                   .f64 = true,
                                   .n = n,
                                   .lda = lda,
                                   .a = A,
                                   .w = W,
                                   .work = work,
                                   .work_bytes = (size_t)lwork * sizeof *work,
                                   .info = info });
}

static bool one_type(cudaDataType a, cudaDataType w, cudaDataType compute)
{
    return a == w && a == compute && (a == CUDA_R_32F || a == CUDA_R_64F);
}

cusolverStatus_t cusolverDnXsyevd_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                             cusolverEigMode_t jobz, cublasFillMode_t uplo, int64_t n,
                                             cudaDataType dataTypeA, const void *A, int64_t lda,
                                             cudaDataType dataTypeW, const void *W, cudaDataType computeType,
                                             size_t *workspaceInBytesOnDevice, size_t *workspaceInBytesOnHost)
{
    ENTER(handle, CUSOLVER_STATUS_INTERNAL_ERROR);
    (void)params;
    /* The manuals do not say that A and W may be absent here. */
    if (!A || !W || !workspaceInBytesOnDevice || !workspaceInBytesOnHost || !legal(jobz, uplo, n, lda))
        return leave(CUSOLVER_STATUS_INVALID_VALUE);
    if (!one_type(dataTypeA, dataTypeW, computeType)) return leave(CUSOLVER_STATUS_NOT_SUPPORTED);
    *workspaceInBytesOnDevice = (size_t)work_elements(n, jobz) * (computeType == CUDA_R_64F ? 8 : 4);
    *workspaceInBytesOnHost = (size_t)(3 + 5 * n) * sizeof(int64_t);
    return leave(CUSOLVER_STATUS_SUCCESS);
}

cusolverStatus_t cusolverDnXsyevd(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                  cusolverEigMode_t jobz, cublasFillMode_t uplo, int64_t n,
                                  cudaDataType dataTypeA, void *A, int64_t lda, cudaDataType dataTypeW,
                                  void *W, cudaDataType computeType, void *bufferOnDevice,
                                  size_t workspaceInBytesOnDevice, void *bufferOnHost,
                                  size_t workspaceInBytesOnHost, int *info)
{
    ENTER(handle, CUSOLVER_STATUS_EXECUTION_FAILED);
    (void)params;
    size_t device = (size_t)work_elements(n < 0 ? 0 : n, jobz) * (computeType == CUDA_R_64F ? 8 : 4);
    size_t host = (size_t)(3 + 5 * (n < 0 ? 0 : n)) * sizeof(int64_t);
    if (!legal(jobz, uplo, n, lda) || workspaceInBytesOnDevice < device || workspaceInBytesOnHost < host ||
        !bufferOnHost || emu_memory_contains((uintptr_t)bufferOnHost))
        return leave(CUSOLVER_STATUS_INVALID_VALUE);
    if (!one_type(dataTypeA, dataTypeW, computeType)) return leave(CUSOLVER_STATUS_NOT_SUPPORTED);
    return submit(handle, (eigen){ .vectors = jobz == CUSOLVER_EIG_MODE_VECTOR,
                                   .upper = uplo == CUBLAS_FILL_MODE_UPPER,
                                   .f64 = computeType == CUDA_R_64F,
                                   .n = n,
                                   .lda = lda,
                                   .a = A,
                                   .w = W,
                                   .work = bufferOnDevice,
                                   .work_bytes = workspaceInBytesOnDevice,
                                   .info = info });
}
