/* Short-hands of the emulator's tests: arrays on the device, checked calls. */
#ifndef SS_EMULATOR_TEST_DEVICE_ARRAYS_H
#define SS_EMULATOR_TEST_DEVICE_ARRAYS_H

#include "cuda_runtime.h"
#include "emulator.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

/* In a child process (child.h) a failed assertion of Criterion would go back into the parent's run of tests:
 * there an error ends the process, as if the child's function had returned it. */
static bool device_in_child;

static inline void device_child_ends(cudaError_t error)
{
    fprintf(stderr, "\nreturned %d\n", (int)error);
    _exit(0);
}

#define FINE(call)                                                                                           \
    do {                                                                                                     \
        cudaError_t error_ = (call);                                                                         \
        if (error_ && device_in_child) device_child_ends(error_);                                            \
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
