/* The CUDA runtime as Saddlescope uses it: CUDA's signatures, answered by the emulator (../README.md). Every
 * status must be looked at: ignoring one does not compile without a warning. */
#ifndef SS_EMULATOR_CUDA_RUNTIME_API_H
#define SS_EMULATOR_CUDA_RUNTIME_API_H

#include "emulator_types.h"
#include "library_types.h"

#ifdef __cplusplus
#define SS_EMULATOR_DEFAULT(value) = value
extern "C" {
#else
#define SS_EMULATOR_DEFAULT(value)
#endif
#define SS_EMULATOR_CHECKED __attribute__((warn_unused_result))

/* Devices */
SS_EMULATOR_CHECKED cudaError_t cudaGetDeviceCount(int *count);
SS_EMULATOR_CHECKED cudaError_t cudaGetDevice(int *device);
SS_EMULATOR_CHECKED cudaError_t cudaSetDevice(int device);
SS_EMULATOR_CHECKED cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device);
SS_EMULATOR_CHECKED cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int device);
SS_EMULATOR_CHECKED cudaError_t cudaDeviceGetPCIBusId(char *pciBusId, int len, int device);
SS_EMULATOR_CHECKED cudaError_t cudaDeviceSynchronize(void);
SS_EMULATOR_CHECKED cudaError_t cudaDeviceReset(void);
SS_EMULATOR_CHECKED cudaError_t cudaDriverGetVersion(int *driverVersion);
SS_EMULATOR_CHECKED cudaError_t cudaRuntimeGetVersion(int *runtimeVersion);
SS_EMULATOR_CHECKED cudaError_t cudaDeviceGetStreamPriorityRange(int *leastPriority, int *greatestPriority);

/* Errors: cudaGetLastError may be called for its effect, to forget an error. */
cudaError_t                     cudaGetLastError(void);
SS_EMULATOR_CHECKED cudaError_t cudaPeekAtLastError(void);
const char                     *cudaGetErrorString(cudaError_t error);
const char                     *cudaGetErrorName(cudaError_t error);

/* Memory */
SS_EMULATOR_CHECKED cudaError_t cudaMalloc(void **devPtr, size_t size);
SS_EMULATOR_CHECKED cudaError_t cudaFree(void *devPtr);
SS_EMULATOR_CHECKED cudaError_t cudaMallocHost(void **ptr, size_t size);
SS_EMULATOR_CHECKED cudaError_t cudaHostAlloc(void **pHost, size_t size, unsigned int flags);
SS_EMULATOR_CHECKED cudaError_t cudaFreeHost(void *ptr);
SS_EMULATOR_CHECKED cudaError_t cudaHostRegister(void *ptr, size_t size, unsigned int flags);
SS_EMULATOR_CHECKED cudaError_t cudaHostUnregister(void *ptr);
SS_EMULATOR_CHECKED cudaError_t cudaMemGetInfo(size_t *free, size_t *total);
SS_EMULATOR_CHECKED cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes,
                                                         const void                   *ptr);
SS_EMULATOR_CHECKED cudaError_t cudaMemcpy(void *dst, const void *src, size_t count,
                                           enum cudaMemcpyKind kind);
SS_EMULATOR_CHECKED cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t count,
                                                enum cudaMemcpyKind kind,
                                                cudaStream_t stream SS_EMULATOR_DEFAULT(0));
SS_EMULATOR_CHECKED cudaError_t cudaMemcpy2D(void *dst, size_t dpitch, const void *src, size_t spitch,
                                             size_t width, size_t height, enum cudaMemcpyKind kind);
SS_EMULATOR_CHECKED cudaError_t cudaMemcpy2DAsync(void *dst, size_t dpitch, const void *src, size_t spitch,
                                                  size_t width, size_t height, enum cudaMemcpyKind kind,
                                                  cudaStream_t stream SS_EMULATOR_DEFAULT(0));
SS_EMULATOR_CHECKED cudaError_t cudaMemset(void *devPtr, int value, size_t count);
SS_EMULATOR_CHECKED cudaError_t cudaMemsetAsync(void *devPtr, int value, size_t count,
                                                cudaStream_t stream SS_EMULATOR_DEFAULT(0));
SS_EMULATOR_CHECKED cudaError_t cudaMemset2DAsync(void *devPtr, size_t pitch, int value, size_t width,
                                                  size_t height, cudaStream_t stream SS_EMULATOR_DEFAULT(0));

/* Streams and events */
SS_EMULATOR_CHECKED cudaError_t cudaStreamCreate(cudaStream_t *pStream);
SS_EMULATOR_CHECKED cudaError_t cudaStreamCreateWithFlags(cudaStream_t *pStream, unsigned int flags);
SS_EMULATOR_CHECKED cudaError_t cudaStreamCreateWithPriority(cudaStream_t *pStream, unsigned int flags,
                                                             int priority);
SS_EMULATOR_CHECKED cudaError_t cudaStreamDestroy(cudaStream_t stream);
SS_EMULATOR_CHECKED cudaError_t cudaStreamSynchronize(cudaStream_t stream);
SS_EMULATOR_CHECKED cudaError_t cudaStreamQuery(cudaStream_t stream);
SS_EMULATOR_CHECKED cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event,
                                                    unsigned int flags SS_EMULATOR_DEFAULT(0));
SS_EMULATOR_CHECKED cudaError_t cudaEventCreate(cudaEvent_t *event);
SS_EMULATOR_CHECKED cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags);
SS_EMULATOR_CHECKED cudaError_t cudaEventRecord(cudaEvent_t         event,
                                                cudaStream_t stream SS_EMULATOR_DEFAULT(0));
SS_EMULATOR_CHECKED cudaError_t cudaEventSynchronize(cudaEvent_t event);
SS_EMULATOR_CHECKED cudaError_t cudaEventQuery(cudaEvent_t event);
SS_EMULATOR_CHECKED cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end);
SS_EMULATOR_CHECKED cudaError_t cudaEventDestroy(cudaEvent_t event);

/* Graphs */
SS_EMULATOR_CHECKED cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode);
SS_EMULATOR_CHECKED cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *pGraph);
SS_EMULATOR_CHECKED cudaError_t cudaStreamIsCapturing(cudaStream_t                  stream,
                                                      enum cudaStreamCaptureStatus *pCaptureStatus);
SS_EMULATOR_CHECKED cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes,
                                                  size_t *numNodes);
SS_EMULATOR_CHECKED cudaError_t cudaGraphInstantiate(cudaGraphExec_t *pGraphExec, cudaGraph_t graph,
                                                     unsigned long long flags SS_EMULATOR_DEFAULT(0));
SS_EMULATOR_CHECKED cudaError_t cudaGraphInstantiateWithFlags(
    cudaGraphExec_t *pGraphExec, cudaGraph_t graph, unsigned long long flags SS_EMULATOR_DEFAULT(0));
SS_EMULATOR_CHECKED cudaError_t cudaGraphUpload(cudaGraphExec_t graphExec, cudaStream_t stream);
SS_EMULATOR_CHECKED cudaError_t cudaGraphLaunch(cudaGraphExec_t graphExec, cudaStream_t stream);
SS_EMULATOR_CHECKED cudaError_t cudaGraphDestroy(cudaGraph_t graph);
SS_EMULATOR_CHECKED cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graphExec);

/* Kernels: addressed by the host function's address */
SS_EMULATOR_CHECKED cudaError_t cudaFuncSetAttribute(const void *func, enum cudaFuncAttribute attr,
                                                     int value);
SS_EMULATOR_CHECKED cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attr, const void *func);
SS_EMULATOR_CHECKED cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int        *numBlocks,
                                                                              const void *func, int blockSize,
                                                                              size_t dynamicSMemSize);

#ifdef __cplusplus
}
#endif
#endif
