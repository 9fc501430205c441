/* Messages for failed calls: the function's name, what it was at, the error's name and text. */
#include "check.cuh"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* "cudaMalloc" of "cudaMalloc(&memory, bytes)". */
static int name_length(const char *call)
{
    return (int)strcspn(call, "(");
}

static ss_status report(ss_context *context, bool memory, const char *call, const char *error,
                        const char *format, va_list arguments)
{
    char what[256];
    vsnprintf(what, sizeof what, format, arguments);
    return ss_fail(context, memory ? SS_ERROR_MEMORY : SS_ERROR_DEVICE, "%.*s: %s: %s", name_length(call),
                   call, what, error);
}

static const char *solver_error(cusolverStatus_t error)
{
    switch (error) {
    case CUSOLVER_STATUS_NOT_INITIALIZED: return "CUSOLVER_STATUS_NOT_INITIALIZED";
    case CUSOLVER_STATUS_ALLOC_FAILED: return "CUSOLVER_STATUS_ALLOC_FAILED";
    case CUSOLVER_STATUS_INVALID_VALUE: return "CUSOLVER_STATUS_INVALID_VALUE";
    case CUSOLVER_STATUS_ARCH_MISMATCH: return "CUSOLVER_STATUS_ARCH_MISMATCH";
    case CUSOLVER_STATUS_EXECUTION_FAILED: return "CUSOLVER_STATUS_EXECUTION_FAILED";
    case CUSOLVER_STATUS_INTERNAL_ERROR: return "CUSOLVER_STATUS_INTERNAL_ERROR";
    default: return "cuSOLVER error";
    }
}

cudaError_t ss_cuda_error(cudaError_t error)
{
    if (error != cudaSuccess) cudaGetLastError();
    return error;
}

ss_status ss_cuda_check(ss_context *context, cudaError_t error, const char *call, const char *format, ...)
{
    char    text[192];
    va_list arguments;
    if (ss_cuda_error(error) == cudaSuccess) return SS_OK;
    snprintf(text, sizeof text, "%s (%s)", cudaGetErrorName(error), cudaGetErrorString(error));
    va_start(arguments, format);
    ss_status status = report(context, error == cudaErrorMemoryAllocation, call, text, format, arguments);
    va_end(arguments);
    return status;
}

ss_status ss_cuda_check(ss_context *context, cublasStatus_t error, const char *call, const char *format, ...)
{
    va_list arguments;
    if (error == CUBLAS_STATUS_SUCCESS) return SS_OK;
    va_start(arguments, format);
    ss_status status = report(context, error == CUBLAS_STATUS_ALLOC_FAILED, call,
                              cublasGetStatusString(error), format, arguments);
    va_end(arguments);
    return status;
}

ss_status ss_cuda_check(ss_context *context, cusolverStatus_t error, const char *call, const char *format,
                        ...)
{
    va_list arguments;
    if (error == CUSOLVER_STATUS_SUCCESS) return SS_OK;
    va_start(arguments, format);
    ss_status status =
        report(context, error == CUSOLVER_STATUS_ALLOC_FAILED, call, solver_error(error), format, arguments);
    va_end(arguments);
    return status;
}

void ss_cuda_drop(ss_context *context, cudaError_t error, const char *call)
{
    if (ss_cuda_error(error) == cudaSuccess) return;
    ss_log(context, SS_LOG_ERROR, "%.*s: %s (%s)", name_length(call), call, cudaGetErrorName(error),
           cudaGetErrorString(error));
}

void ss_cuda_drop(ss_context *context, cublasStatus_t error, const char *call)
{
    if (error != CUBLAS_STATUS_SUCCESS)
        ss_log(context, SS_LOG_ERROR, "%.*s: %s", name_length(call), call, cublasGetStatusString(error));
}

void ss_cuda_drop(ss_context *context, cusolverStatus_t error, const char *call)
{
    if (error != CUSOLVER_STATUS_SUCCESS)
        ss_log(context, SS_LOG_ERROR, "%.*s: %s", name_length(call), call, solver_error(error));
}
