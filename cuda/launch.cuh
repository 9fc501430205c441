/* The only way to launch a kernel and to have shared memory: the same sources run on a device (nvcc) and in
 * the tests' emulator (host compilers, SS_CUDA_EMULATOR), which defines these macros in its own way.
 *
 *     SS_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)   a template's instance goes in parentheses
 *     SS_SHARED(type, name, count)                                static, a flat array, at the top of a
 * kernel SS_DYNAMIC_SHARED(type, name)                               the shared_bytes of the launch
 *
 * Launches go through SS_CUDA_LAUNCH (check.cuh), which looks at their error. */
#ifndef SS_CUDA_LAUNCH_CUH
#define SS_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>

#ifdef SS_CUDA_EMULATOR
#include <emulator_launch.h>
#else
#define SS_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                            \
    kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)
#define SS_SHARED(type, name, count) __shared__ type name[count]
#define SS_DYNAMIC_SHARED(type, name)                                                                        \
    extern __shared__ __align__(16) unsigned char ss_dynamic_shared[];                                       \
    type *const                                   name = reinterpret_cast<type *>(ss_dynamic_shared)
#endif

#endif
