/* Compiles a kernel file once per instruction-set level, so that one portable binary is fast everywhere.
 *
 *     #define SS_KERNEL_FILE "backend/cpu/pointwise_kernels.h"
 *     #include "backend/cpu/levels.h"
 *     ... SS_AT_LEVEL(level, kernel)(arguments);
 *
 * Inside the kernel file every function is named SS_LEVEL(name); SS_LEVEL_FMA is 1 where fused multiply-add
 * is an instruction, SS_LEVEL_BYTES the width of a vector register. Explicit pragmas instead of
 * target_clones: gcc and clang agree on them, sanitizers know them, and a level can be forced
 * (SADDLESCOPE_SIMD, for tests and comparisons). System headers come first: none may be opened under a target
 * pragma. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifndef SS_AT_LEVEL
#if defined(__x86_64__)
#define SS_AT_LEVEL(level, name)                                                                             \
    ((level) == SS_CPU_AVX512 ? name##_avx512 : (level) == SS_CPU_AVX2 ? name##_avx2 : name##_baseline)
#else
#define SS_AT_LEVEL(level, name) ((void)(level), name##_baseline)
#endif
#endif

#define SS_LEVEL(name) name##_baseline
#define SS_LEVEL_BYTES 16
#ifdef __FMA__
#define SS_LEVEL_FMA 1
#else
#define SS_LEVEL_FMA 0
#endif
#include SS_KERNEL_FILE
#undef SS_LEVEL
#undef SS_LEVEL_BYTES
#undef SS_LEVEL_FMA

#if defined(__x86_64__)
#define SS_LEVEL_FMA 1

#define SS_LEVEL(name) name##_avx2
#define SS_LEVEL_BYTES 32
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi,bmi2")
#endif
#include SS_KERNEL_FILE
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef SS_LEVEL
#undef SS_LEVEL_BYTES

#define SS_LEVEL(name) name##_avx512
#define SS_LEVEL_BYTES 64
#if defined(__clang__)
#pragma clang attribute push(                                                                                \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi,bmi2")
#endif
#include SS_KERNEL_FILE
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef SS_LEVEL
#undef SS_LEVEL_BYTES
#undef SS_LEVEL_FMA
#endif
#undef SS_KERNEL_FILE
