/* Failures on demand, errors that stick, what is alive, devices that are not there. */
#include "device_arrays.h"
#include "kernels.h"
#include "planted.h"

#include "cublas_v2.h"
#include "cusolverDn.h"

#include <stdbool.h>
#include <string.h>

/* A small program that looks at every error and cleans up: 0 for success, else where it failed. */
static int workload(float *result)
{
    enum { N = 64 };
    float           x[N], *dx = NULL, *dy = NULL, *pinned = NULL;
    void           *workspace = NULL;
    const float     one = 1, zero = 0;
    cudaStream_t    stream = NULL;
    cudaEvent_t     event = NULL;
    cudaGraph_t     graph = NULL;
    cudaGraphExec_t exec = NULL;
    cublasHandle_t  blas = NULL;
    cudaError_t     error = cudaSuccess;
    int             where = 0, count = 0;
    bool            capturing = false;
#define STEP(call)                                                                                           \
    do {                                                                                                     \
        if ((error = (call)) != cudaSuccess) {                                                               \
            where = __LINE__;                                                                                \
            cr_assert_not_null(cudaGetErrorString(error));                                                   \
            goto fail;                                                                                       \
        }                                                                                                    \
    } while (0)
#define BLAS(call)                                                                                           \
    do {                                                                                                     \
        cublasStatus_t status_ = (call);                                                                     \
        if (status_ != CUBLAS_STATUS_SUCCESS) {                                                              \
            where = __LINE__;                                                                                \
            cr_assert_not_null(cublasGetStatusString(status_));                                              \
            goto fail;                                                                                       \
        }                                                                                                    \
    } while (0)
    for (int i = 0; i < N; i++) x[i] = 1;
    STEP(cudaGetDeviceCount(&count));
    STEP(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    STEP(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    STEP(cudaMalloc((void **)&dx, sizeof x));
    STEP(cudaMalloc((void **)&dy, sizeof x));
    STEP(cudaMallocHost((void **)&pinned, sizeof x));
    STEP(cudaMemcpyAsync(dx, x, sizeof x, cudaMemcpyHostToDevice, stream));
    STEP(cudaMemsetAsync(dy, 0, sizeof x, stream));
    BLAS(cublasCreate(&blas));
    BLAS(cublasSetStream(blas, stream));
    STEP(cudaMalloc(&workspace, 8192));
    BLAS(cublasSetWorkspace(blas, workspace, 8192));
    STEP(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    capturing = true;
    STEP(test_axpy(N, 2.0f, dx, dy, stream));
    BLAS(cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, 8, 8, 8, &one, dx, 8, dx, 8, &one, dy, 8));
    capturing = false;
    STEP(cudaStreamEndCapture(stream, &graph));
    STEP(cudaGraphInstantiate(&exec, graph, 0));
    STEP(cudaGraphLaunch(exec, stream));
    STEP(cudaEventRecord(event, stream));
    STEP(cudaMemcpyAsync(pinned, dy, sizeof x, cudaMemcpyDeviceToHost, stream));
    STEP(cudaEventSynchronize(event));
    STEP(cudaStreamSynchronize(stream));
    *result = pinned[5] + zero;
fail:
    if (capturing) (void)!cudaStreamEndCapture(stream, &graph);
    if (exec && cudaGraphExecDestroy(exec)) where = where ? where : __LINE__;
    if (graph && cudaGraphDestroy(graph)) where = where ? where : __LINE__;
    if (blas && cublasDestroy(blas)) where = where ? where : __LINE__;
    if (event && cudaEventDestroy(event)) where = where ? where : __LINE__;
    if (stream && cudaStreamDestroy(stream)) where = where ? where : __LINE__;
    if (pinned && cudaFreeHost(pinned)) where = where ? where : __LINE__;
    if (workspace && cudaFree(workspace)) where = where ? where : __LINE__;
    if (dx && cudaFree(dx)) where = where ? where : __LINE__;
    if (dy && cudaFree(dy)) where = where ? where : __LINE__;
    return where;
}

Test(errors, every_call_can_fail_once_and_is_noticed)
{
    float result = 0;
    ss_emulator_set_quiet(1);
    ss_emulator_tolerate_unchecked(1);
    ss_emulator_fail(NULL, 0);
    cr_assert_eq(workload(&result), 0);
    cr_assert_eq(result, 10.0f);
    int64_t calls = ss_emulator_calls("*");
    cr_assert_gt(calls, 20);
    cr_assert_eq(ss_emulator_calls("launch"), 1);
    cr_assert_eq(ss_emulator_calls("cublas*"), 5);
    for (int64_t nth = 1; nth <= calls; nth++) {
        ss_emulator_fail("*", nth);
        cr_expect_neq(workload(&result), 0, "call %lld", (long long)nth);
        cr_expect(ss_emulator_failed());
        ss_emulator_forget();
    }
    ss_emulator_fail("*", calls + 1);
    cr_expect_eq(workload(&result), 0);
    cr_expect_not(ss_emulator_failed());
}

Test(errors, a_fault_sticks_until_the_end)
{
    float *y = device_new(64 * sizeof *y), x[64];
    void  *more;
    ss_emulator_set_quiet(1);
    FINE(planted_diverge(PLANTED_TRAP, (int *)(void *)y));
    GIVES(cudaErrorLaunchFailure, cudaDeviceSynchronize());
    GIVES(cudaErrorLaunchFailure, cudaMalloc(&more, 4));
    GIVES(cudaErrorLaunchFailure, cudaMemcpy(x, y, sizeof x, cudaMemcpyDeviceToHost));
    cr_assert_eq(cudaGetLastError(), cudaErrorLaunchFailure);
    cr_assert_eq(cudaGetLastError(), cudaErrorLaunchFailure);
    GIVES(cudaErrorLaunchFailure, cudaFree(y));
    cr_assert_eq(ss_emulator_live("*"), 0, "what is freed is freed, although the call fails");
}

Test(errors, no_device)
{
    int            count = 7;
    void          *memory;
    cublasHandle_t blas;
    ss_emulator_set_devices(0);
    GIVES(cudaErrorNoDevice, cudaGetDeviceCount(&count));
    cr_assert_eq(count, 0);
    GIVES(cudaErrorNoDevice, cudaMalloc(&memory, 8));
    cr_assert_eq(cublasCreate(&blas), CUBLAS_STATUS_NOT_INITIALIZED);
    ss_emulator_set_devices(1);
    ss_emulator_fail("cudaGetDeviceCount", 1);
    GIVES(cudaErrorInsufficientDriver, cudaGetDeviceCount(&count));
    cr_assert_str_eq(cudaGetErrorName(cudaErrorInsufficientDriver), "cudaErrorInsufficientDriver");
}

Test(errors, what_the_device_says_of_itself)
{
    struct cudaDeviceProp properties;
    int                   value, driver, runtime;
    FINE(cudaGetDeviceProperties(&properties, 0));
    FINE(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0));
    cr_assert_eq(value, properties.multiProcessorCount);
    FINE(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    cr_assert_eq((size_t)value, properties.sharedMemPerBlockOptin);
    GIVES(cudaErrorInvalidDevice, cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, 1));
    FINE(cudaDriverGetVersion(&driver));
    FINE(cudaRuntimeGetVersion(&runtime));
    cr_assert_eq(driver, runtime);
    cr_assert_gt(strlen(properties.name), 0);
}
