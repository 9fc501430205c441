/* What kernels see: qualifiers, built-in variables, vector types, barriers, warp collectives, device
 * functions. Barriers and collectives carry the place they were called from, so that a report can name it. */
#ifndef SS_EMULATOR_DEVICE_H
#define SS_EMULATOR_DEVICE_H

#include "emulator_types.h"

#include <algorithm>
#include <assert.h>
#include <cmath>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define __host__
#define __device__
#define __global__
#define __constant__
#define __forceinline__ inline
#define __noinline__    __attribute__((noinline))
#define __launch_bounds__(...)

extern "C" {
extern uint3 threadIdx, blockIdx;
extern dim3  blockDim, gridDim;

/* Barrier of the block; the result is the number of threads with a true predicate. */
int ss_emulator_barrier(int predicate, const char *file, int line);

enum ss_emulator_collective {
    SS_EMULATOR_SYNC,
    SS_EMULATOR_SHUFFLE,
    SS_EMULATOR_SHUFFLE_UP,
    SS_EMULATOR_SHUFFLE_DOWN,
    SS_EMULATOR_SHUFFLE_XOR,
    SS_EMULATOR_BALLOT
};
/* Waits until every lane of mask that has not ended called the same collective; 64 bits in, 64 bits out. */
uint64_t ss_emulator_warp(int collective, unsigned mask, uint64_t bits, int argument, int width,
                          const char *file, int line);
void     ss_emulator_trap(const char *what, const char *file, int line);
}

static const int warpSize = 32;

#define SS_EMULATOR_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

/* ---- Barriers and collectives ---- */
inline void __syncthreads(SS_EMULATOR_HERE)
{
    (void)ss_emulator_barrier(0, file, line);
}
inline int __syncthreads_count(int p, SS_EMULATOR_HERE)
{
    return ss_emulator_barrier(p != 0, file, line);
}
inline int __syncthreads_or(int p, SS_EMULATOR_HERE)
{
    return ss_emulator_barrier(p != 0, file, line) != 0;
}
inline int __syncthreads_and(int p, SS_EMULATOR_HERE)
{
    return ss_emulator_barrier(p == 0, file, line) == 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, SS_EMULATOR_HERE)
{
    (void)ss_emulator_warp(SS_EMULATOR_SYNC, mask, 0, 0, 32, file, line);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

inline unsigned __ballot_sync(unsigned mask, int predicate, SS_EMULATOR_HERE)
{
    return (unsigned)ss_emulator_warp(SS_EMULATOR_BALLOT, mask, predicate != 0, 0, 32, file, line);
}
inline int __any_sync(unsigned mask, int predicate, SS_EMULATOR_HERE)
{
    return ss_emulator_warp(SS_EMULATOR_BALLOT, mask, predicate != 0, 0, 32, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, SS_EMULATOR_HERE)
{
    return ss_emulator_warp(SS_EMULATOR_BALLOT, mask, predicate == 0, 0, 32, file, line) == 0;
}

template <class T>
inline T ss_emulator_shuffle(int collective, unsigned mask, T value, int argument, int width,
                             const char *file, int line)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 32 or 64 bits");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = ss_emulator_warp(collective, mask, bits, argument, width, file, line);
    memcpy(&value, &bits, sizeof value);
    return value;
}

#define SS_EMULATOR_SHUFFLES(T)                                                                              \
    inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32, SS_EMULATOR_HERE)                 \
    {                                                                                                        \
        return ss_emulator_shuffle(SS_EMULATOR_SHUFFLE, mask, value, lane, width, file, line);               \
    }                                                                                                        \
    inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, SS_EMULATOR_HERE)           \
    {                                                                                                        \
        return ss_emulator_shuffle(SS_EMULATOR_SHUFFLE_UP, mask, value, (int)by, width, file, line);         \
    }                                                                                                        \
    inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, SS_EMULATOR_HERE)         \
    {                                                                                                        \
        return ss_emulator_shuffle(SS_EMULATOR_SHUFFLE_DOWN, mask, value, (int)by, width, file, line);       \
    }                                                                                                        \
    inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, SS_EMULATOR_HERE)            \
    {                                                                                                        \
        return ss_emulator_shuffle(SS_EMULATOR_SHUFFLE_XOR, mask, value, lanes, width, file, line);          \
    }
SS_EMULATOR_SHUFFLES(int)
SS_EMULATOR_SHUFFLES(unsigned)
SS_EMULATOR_SHUFFLES(long)
SS_EMULATOR_SHUFFLES(unsigned long)
SS_EMULATOR_SHUFFLES(long long)
SS_EMULATOR_SHUFFLES(unsigned long long)
SS_EMULATOR_SHUFFLES(float)
SS_EMULATOR_SHUFFLES(double)
#undef SS_EMULATOR_SHUFFLES

inline void ss_emulator_trap_here(SS_EMULATOR_HERE)
{
    ss_emulator_trap("__trap()", file, line);
}
#define __trap() ss_emulator_trap_here()

/* ---- Atomics: integers only. A floating-point atomic would make results depend on the order of threads.
 * ---- */
#define SS_EMULATOR_UNCHECKED __attribute__((no_sanitize("thread"))) /* not a race (access.c) */
#define SS_EMULATOR_ATOMICS(T)                                                                               \
    SS_EMULATOR_UNCHECKED inline T atomicAdd(T *at, T value)                                                 \
    {                                                                                                        \
        T old = *at;                                                                                         \
        *at = (T)(old + value);                                                                              \
        return old;                                                                                          \
    }                                                                                                        \
    SS_EMULATOR_UNCHECKED inline T atomicMin(T *at, T value)                                                 \
    {                                                                                                        \
        T old = *at;                                                                                         \
        *at = value < old ? value : old;                                                                     \
        return old;                                                                                          \
    }                                                                                                        \
    SS_EMULATOR_UNCHECKED inline T atomicMax(T *at, T value)                                                 \
    {                                                                                                        \
        T old = *at;                                                                                         \
        *at = value > old ? value : old;                                                                     \
        return old;                                                                                          \
    }                                                                                                        \
    SS_EMULATOR_UNCHECKED inline T atomicExch(T *at, T value)                                                \
    {                                                                                                        \
        T old = *at;                                                                                         \
        *at = value;                                                                                         \
        return old;                                                                                          \
    }                                                                                                        \
    SS_EMULATOR_UNCHECKED inline T atomicCAS(T *at, T expected, T value)                                     \
    {                                                                                                        \
        T old = *at;                                                                                         \
        if (old == expected) *at = value;                                                                    \
        return old;                                                                                          \
    }                                                                                                        \
    SS_EMULATOR_UNCHECKED inline T atomicOr(T *at, T value)                                                  \
    {                                                                                                        \
        T old = *at;                                                                                         \
        *at = old | value;                                                                                   \
        return old;                                                                                          \
    }
SS_EMULATOR_ATOMICS(int)
SS_EMULATOR_ATOMICS(unsigned)
SS_EMULATOR_ATOMICS(unsigned long long)
#undef SS_EMULATOR_ATOMICS
float  atomicAdd(float *, float) = delete;
double atomicAdd(double *, double) = delete;

/* ---- Vector types ---- */
#define SS_EMULATOR_VECTORS(T, name, align2, align4)                                                         \
    struct alignas(align2) name##2                                                                           \
    {                                                                                                        \
        T x, y;                                                                                              \
    };                                                                                                       \
    struct alignas(align4) name##4                                                                           \
    {                                                                                                        \
        T x, y, z, w;                                                                                        \
    };                                                                                                       \
    inline name##2 make_##name##2(T x, T y)                                                                  \
    {                                                                                                        \
        return name##2 { x, y };                                                                             \
    }                                                                                                        \
    inline name##4 make_##name##4(T x, T y, T z, T w)                                                        \
    {                                                                                                        \
        return name##4 { x, y, z, w };                                                                       \
    }
SS_EMULATOR_VECTORS(float, float, 8, 16)
SS_EMULATOR_VECTORS(double, double, 16, 16)
SS_EMULATOR_VECTORS(int, int, 8, 16)
SS_EMULATOR_VECTORS(unsigned, uint, 8, 16)
SS_EMULATOR_VECTORS(long long, longlong, 16, 16)
SS_EMULATOR_VECTORS(unsigned long long, ulonglong, 16, 16)
SS_EMULATOR_VECTORS(short, short, 4, 8)
SS_EMULATOR_VECTORS(unsigned short, ushort, 4, 8)
#undef SS_EMULATOR_VECTORS
struct float3 {
    float x, y, z;
};
struct double3 {
    double x, y, z;
};
inline float3 make_float3(float x, float y, float z)
{
    return float3{ x, y, z };
}
inline double3 make_double3(double x, double y, double z)
{
    return double3{ x, y, z };
}
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z)
{
    return uint3{ x, y, z };
}

/* ---- Device functions that the host's <math.h> has not ---- */
#define SS_EMULATOR_MIN_MAX(T)                                                                               \
    inline T min(T a, T b)                                                                                   \
    {                                                                                                        \
        return b < a ? b : a;                                                                                \
    }                                                                                                        \
    inline T max(T a, T b)                                                                                   \
    {                                                                                                        \
        return a < b ? b : a;                                                                                \
    }
SS_EMULATOR_MIN_MAX(int)
SS_EMULATOR_MIN_MAX(unsigned)
SS_EMULATOR_MIN_MAX(long)
SS_EMULATOR_MIN_MAX(unsigned long)
SS_EMULATOR_MIN_MAX(long long)
SS_EMULATOR_MIN_MAX(unsigned long long)
#undef SS_EMULATOR_MIN_MAX
inline float min(float a, float b)
{
    return fminf(a, b);
}
inline float max(float a, float b)
{
    return fmaxf(a, b);
}
inline double min(double a, double b)
{
    return fmin(a, b);
}
inline double max(double a, double b)
{
    return fmax(a, b);
}

template <class T> inline T __ldg(const T *at)
{
    return *at;
}
template <class T> inline T __ldcs(const T *at)
{
    return *at;
}
template <class T> inline T __ldcg(const T *at)
{
    return *at;
}
template <class T> inline void __stcs(T *at, T value)
{
    *at = value;
}

inline float rsqrtf(float x)
{
    return (float)(1.0 / ::sqrt((double)x));
}
inline double rsqrt(double x)
{
    return 1.0 / ::sqrt(x);
}
inline float rsqrt(float x)
{
    return rsqrtf(x);
}
inline double sinpi(double x)
{
    return ::sin(M_PI * ::remainder(x, 2.0));
}
inline double cospi(double x)
{
    return ::cos(M_PI * ::remainder(x, 2.0));
}
inline float sinpif(float x)
{
    return (float)sinpi((double)x);
}
inline float cospif(float x)
{
    return (float)cospi((double)x);
}
inline void sincospi(double x, double *s, double *c)
{
    *s = sinpi(x);
    *c = cospi(x);
}
inline void sincospif(float x, float *s, float *c)
{
    *s = sinpif(x);
    *c = cospif(x);
}

/* Rounded once, never contracted with a neighbour: the volatile keeps the compiler from forming an fma. */
template <class T> inline T ss_emulator_rounded(T x)
{
    volatile T kept = x;
    return kept;
}
inline float __fadd_rn(float a, float b)
{
    return ss_emulator_rounded(a + b);
}
inline float __fsub_rn(float a, float b)
{
    return ss_emulator_rounded(a - b);
}
inline float __fmul_rn(float a, float b)
{
    return ss_emulator_rounded(a * b);
}
inline float __fdiv_rn(float a, float b)
{
    return a / b;
}
inline float __fmaf_rn(float a, float b, float c)
{
    return ::fmaf(a, b, c);
}
inline float __fsqrt_rn(float a)
{
    return ::sqrtf(a);
}
inline double __dadd_rn(double a, double b)
{
    return ss_emulator_rounded(a + b);
}
inline double __dsub_rn(double a, double b)
{
    return ss_emulator_rounded(a - b);
}
inline double __dmul_rn(double a, double b)
{
    return ss_emulator_rounded(a * b);
}
inline double __ddiv_rn(double a, double b)
{
    return a / b;
}
inline double __fma_rn(double a, double b, double c)
{
    return ::fma(a, b, c);
}
inline double __dsqrt_rn(double a)
{
    return ::sqrt(a);
}

template <class To, class From> inline To ss_emulator_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From), "bit casts keep the size");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
inline int __float_as_int(float x)
{
    return ss_emulator_bits<int>(x);
}
inline unsigned __float_as_uint(float x)
{
    return ss_emulator_bits<unsigned>(x);
}
inline float __int_as_float(int x)
{
    return ss_emulator_bits<float>(x);
}
inline float __uint_as_float(unsigned x)
{
    return ss_emulator_bits<float>(x);
}
inline long long __double_as_longlong(double x)
{
    return ss_emulator_bits<long long>(x);
}
inline double __longlong_as_double(long long x)
{
    return ss_emulator_bits<double>(x);
}

inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
inline int __popcll(unsigned long long x)
{
    return __builtin_popcountll(x);
}
inline int __clz(int x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}
inline int __clzll(long long x)
{
    return x ? __builtin_clzll((unsigned long long)x) : 64;
}
inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
inline int __ffsll(long long x)
{
    return __builtin_ffsll(x);
}
inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)(((uint64_t)a * b) >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    __extension__ typedef unsigned __int128 wide;
    return (unsigned long long)(((wide)a * b) >> 64);
}

#endif
