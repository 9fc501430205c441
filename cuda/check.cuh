/* The error vocabulary: every call of the CUDA runtime, cuBLAS and cuSOLVER and every launch goes through one
 * of these (scripts/check_cuda_calls.py proves it).
 *
 *     SS_CUDA(context, call, format, ...)      on failure records a message and returns its status
 *     SS_CUDA_TRY(context, call, format, ...)  ... and leaves through the label `fail`, as SS_TRY does
 *     SS_CUDA_DROP(context, call)              on the way out, where nothing can be done: logs a failure
 *     SS_CUDA_ERROR(call)                      the cudaError_t itself, for a caller that tells errors apart
 *     SS_CUDA_LAUNCH(context, kernel, grid, block, shared_bytes, stream, ...)   SS_LAUNCH and its error
 *
 * The format says what was at work, with its sizes. Memory that is not there is SS_ERROR_MEMORY, everything
 * else SS_ERROR_DEVICE. */
#ifndef SS_CUDA_CHECK_CUH
#define SS_CUDA_CHECK_CUH

#include "launch.cuh"
#include "libraries.cuh"

ss_status ss_cuda_check(ss_context *context, cudaError_t error, const char *call, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
ss_status ss_cuda_check(ss_context *context, cublasStatus_t error, const char *call, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
ss_status ss_cuda_check(ss_context *context, cusolverStatus_t error, const char *call, const char *format,
                        ...) __attribute__((format(printf, 4, 5)));

/* Logs a failure as an error; the context's message stays as it is. */
void ss_cuda_drop(ss_context *context, cudaError_t error, const char *call);
void ss_cuda_drop(ss_context *context, cublasStatus_t error, const char *call);
void ss_cuda_drop(ss_context *context, cusolverStatus_t error, const char *call);

/* An error that leaves the device usable must not show again at the next launch: forgets it. */
cudaError_t ss_cuda_error(cudaError_t error);

/* Leaves the function with the status of `call`, an ss_status, unless it is SS_OK. */
#define SS_RETURN(call)                                                                                      \
    do {                                                                                                     \
        const ss_status returned_ = (call);                                                                  \
        if (returned_ != SS_OK) return returned_;                                                            \
    } while (0)

#define SS_CUDA(context, call, ...)     SS_RETURN(ss_cuda_check((context), (call), #call, __VA_ARGS__))
#define SS_CUDA_TRY(context, call, ...) SS_TRY(ss_cuda_check((context), (call), #call, __VA_ARGS__))
#define SS_CUDA_DROP(context, call)     ss_cuda_drop((context), (call), #call)
#define SS_CUDA_ERROR(call)             ss_cuda_error(call)

#define SS_CUDA_LAUNCH(context, kernel, grid, block, shared_bytes, stream, ...)                              \
    do {                                                                                                     \
        const dim3 grid_(grid), block_(block);                                                               \
        SS_LAUNCH(kernel, grid_, block_, (size_t)(shared_bytes), stream, __VA_ARGS__);                       \
        SS_CUDA(context, cudaGetLastError(), "kernel %s, grid %u x %u x %u, block %u x %u", #kernel,         \
                grid_.x, grid_.y, grid_.z, block_.x, block_.y);                                              \
    } while (0)

#endif
