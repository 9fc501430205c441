/* Stands in for CUDA's cuda_runtime.h: the runtime for C and C++, the device side and typed overloads for
 * C++. */
#ifndef SS_EMULATOR_CUDA_RUNTIME_H
#define SS_EMULATOR_CUDA_RUNTIME_H

#include "cuda_runtime_api.h"

#ifdef __cplusplus
#include "emulator_device.h"

/* Typed overloads of CUDA's C++ interface. */
template <class T> SS_EMULATOR_CHECKED inline cudaError_t cudaMalloc(T **devPtr, size_t size)
{
    return ::cudaMalloc(reinterpret_cast<void **>(devPtr), size);
}

template <class T> SS_EMULATOR_CHECKED inline cudaError_t cudaMallocHost(T **ptr, size_t size)
{
    return ::cudaMallocHost(reinterpret_cast<void **>(ptr), size);
}

template <class T> SS_EMULATOR_CHECKED inline cudaError_t cudaHostAlloc(T **ptr, size_t size, unsigned flags)
{
    return ::cudaHostAlloc(reinterpret_cast<void **>(ptr), size, flags);
}

template <class T>
SS_EMULATOR_CHECKED inline cudaError_t cudaFuncSetAttribute(T *func, enum cudaFuncAttribute attr, int value)
{
    return ::cudaFuncSetAttribute(reinterpret_cast<const void *>(func), attr, value);
}

template <class T>
SS_EMULATOR_CHECKED inline cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attr, T *func)
{
    return ::cudaFuncGetAttributes(attr, reinterpret_cast<const void *>(func));
}

template <class T>
SS_EMULATOR_CHECKED inline cudaError_t
cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *numBlocks, T func, int blockSize, size_t dynamicSMemSize)
{
    return ::cudaOccupancyMaxActiveBlocksPerMultiprocessor(numBlocks, reinterpret_cast<const void *>(func),
                                                           blockSize, dynamicSMemSize);
}
#endif

#endif
