/* Short-hands of the emulator's tests: arrays on the device, checked calls. */
#ifndef SS_EMULATOR_TEST_DEVICE_ARRAYS_H
#define SS_EMULATOR_TEST_DEVICE_ARRAYS_H

#include "cuda_runtime.h"
#include "emulator.h"

#include <criterion/criterion.h>

#define FINE(call)                                                                                           \
    do {                                                                                                     \
        cudaError_t error_ = (call);                                                                         \
        cr_assert_eq(error_, cudaSuccess, "%s: %s; %s", #call, cudaGetErrorString(error_),                   \
                     ss_emulator_report());                                                                  \
    } while (0)
#define GIVES(error, call) cr_assert_eq((call), error, "%s: %s", #call, ss_emulator_report())

static inline void *device_new(size_t bytes)
{
    void *device = NULL;
    FINE(cudaMalloc(&device, bytes));
    return device;
}

static inline void *device_from(const void *host, size_t bytes)
{
    void *device = device_new(bytes);
    FINE(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice));
    return device;
}

static inline void device_to(void *host, const void *device, size_t bytes)
{
    FINE(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost));
}

#endif
