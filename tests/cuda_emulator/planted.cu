/* Kernels and host code with one fault each, and beside each the same without the fault. A fault that the
 * emulator stops catching makes test_planted.c fail. */
#include "emulator_launch.h"
#include "planted.h"

#define FULL 0xffffffffu

/* ---- Missing barrier: one round of the tree may read what another thread has not yet added ---- */
template <bool PLANTED> __global__ void tree(const float *x, float *sum)
{
    SS_SHARED(float, parts, 128);
    parts[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    for (unsigned half = 64; half > 0; half /= 2) {
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
        if (!PLANTED) __syncthreads();
    }
    if (threadIdx.x == 0) *sum = parts[0];
}

cudaError_t planted_missing_barrier(int planted, const float *x, float *sum)
{
    if (planted)
        SS_LAUNCH(tree<true>, 1, 128, 0, 0, x, sum);
    else
        SS_LAUNCH(tree<false>, 1, 128, 0, 0, x, sum);
    return cudaGetLastError();
}

/* ---- Missing second barrier: the next round overwrites what a slow thread has still to read ---- */
template <bool PLANTED> __global__ void rotate(int rounds, int *x)
{
    SS_SHARED(int, ring, 64);
    int mine = x[threadIdx.x];
    for (int i = 0; i < rounds; i++) {
        ring[threadIdx.x] = mine;
        __syncthreads();
        mine = ring[(threadIdx.x + 1) % 64];
        if (!PLANTED) __syncthreads();
    }
    x[threadIdx.x] = mine;
}

cudaError_t planted_missing_second_barrier(int planted, int rounds, int *x)
{
    if (planted)
        SS_LAUNCH(rotate<true>, 1, 64, 0, 0, rounds, x);
    else
        SS_LAUNCH(rotate<false>, 1, 64, 0, 0, rounds, x);
    return cudaGetLastError();
}

/* ---- Off-by-one bound: writing, reading, in shared memory ---- */
__global__ void fill(int64_t bound, float *y)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < bound) y[i] = 1;
}

cudaError_t planted_write_bound(int planted, int64_t n, float *y)
{
    SS_LAUNCH(fill, dim3((unsigned)(n / 64 + 1)), 64, 0, 0, n + (planted ? 1 : 0), y);
    return cudaGetLastError();
}

__global__ void sum_up(int64_t bound, const float *x, float *sum)
{
    float total = 0;
    for (int64_t i = 0; i < bound; i++) total += x[i];
    *sum = total;
}

cudaError_t planted_read_bound(int planted, int64_t n, const float *x, float *sum)
{
    SS_LAUNCH(sum_up, 1, 1, 0, 0, n + (planted ? 1 : 0), x, sum);
    return cudaGetLastError();
}

__global__ void stage(int bound, float *y)
{
    SS_DYNAMIC_SHARED(float, row);
    for (int i = (int)threadIdx.x; i < bound; i += (int)blockDim.x) row[i] = (float)i;
    __syncthreads();
    y[threadIdx.x] = row[threadIdx.x];
}

cudaError_t planted_shared_bound(int planted, float *y)
{
    SS_LAUNCH(stage, 1, 32, 40 * sizeof(float), 0, 40 + (planted ? 1 : 0), y);
    return cudaGetLastError();
}

/* ---- Static and dynamic shared memory fit each for itself, not together ---- */
__global__ void two_kinds(float *y)
{
    SS_SHARED(float, fixed, 64);
    SS_DYNAMIC_SHARED(float, rest);
    fixed[0] = rest[0] = 1;
    *y = fixed[0] + rest[0];
}

cudaError_t planted_shared_limit(int planted, float *y)
{
    SS_LAUNCH(two_kinds, 1, 1, 49152 - (planted ? 128 : 256), 0, y);
    return cudaGetLastError();
}

/* ---- A vector load from where no vector can lie ---- */
__global__ void load_four(const float *x, float4 *y)
{
    const float4 &from = *reinterpret_cast<const float4 *>(x);
    *y = from;
}

cudaError_t planted_misaligned(int planted, const float *x, float *y)
{
    SS_LAUNCH(load_four, 1, 1, 0, 0, x + (planted ? 1 : 0), reinterpret_cast<float4 *>(y));
    return cudaGetLastError();
}

/* ---- Host pointer in a kernel ---- */
struct scaled {
    float        factor;
    const float *x;
    float       *y;
};

__global__ void scale(scaled s)
{
    s.y[threadIdx.x] = s.factor * s.x[threadIdx.x];
}
__global__ void scale_flat(float factor, const float *x, float *y)
{
    y[threadIdx.x] = factor * x[threadIdx.x];
}

cudaError_t planted_host_pointer(const float *x, float *y)
{
    SS_LAUNCH(scale_flat, 1, 32, 0, 0, 2.0f, x, y);
    return cudaGetLastError();
}

cudaError_t planted_host_pointer_in_struct(const float *x, float *y)
{
    scaled s = { 2.0f, x, y };
    SS_LAUNCH(scale, 1, 32, 0, 0, s);
    return cudaGetLastError();
}

__global__ void follow(float *const *nested, float *y)
{
    *y = nested[0][2];
}

cudaError_t planted_nested_pointer(float *const *nested, float *y)
{
    SS_LAUNCH(follow, 1, 1, 0, 0, nested, y);
    return cudaGetLastError();
}

/* ---- Race within a warp: a shuffle in the place of __syncwarp ---- */
__global__ void swap_pairs(int planted, int *x)
{
    SS_SHARED(int, pairs, 32);
    int t = (int)threadIdx.x;
    pairs[t] = t;
    if (planted)
        (void)__shfl_xor_sync(FULL, t, 1);
    else
        __syncwarp();
    x[t] = pairs[t ^ 1];
}

cudaError_t planted_warp_race(int planted, int *x)
{
    SS_LAUNCH(swap_pairs, 1, 32, 0, 0, planted, x);
    return cudaGetLastError();
}

/* ---- Uninitialised reads ---- */
__global__ void copy_shared(int planted, float *y)
{
    SS_SHARED(float, row, 32);
    if (!planted || threadIdx.x != 7) row[threadIdx.x] = 1;
    __syncthreads();
    y[threadIdx.x] = row[threadIdx.x];
}

cudaError_t planted_uninitialised_shared(int planted, float *y)
{
    SS_LAUNCH(copy_shared, 1, 32, 0, 0, planted, y);
    return cudaGetLastError();
}

__global__ void pick(const int *index, const float *x, float *y)
{
    y[threadIdx.x] = x[index[threadIdx.x]];
}

cudaError_t planted_uninitialised_index(const int *index, const float *x, float *y)
{
    SS_LAUNCH(pick, 1, 1, 0, 0, index, x, y);
    return cudaGetLastError();
}

/* ---- Divergence ---- */
__global__ void diverge(planted_divergence kind, int *y)
{
    int t = (int)threadIdx.x, value = t;
    switch (kind) {
    case PLANTED_EARLY_RETURN:
        if (t == 5) return;
        __syncthreads();
        break;
    case PLANTED_LATE_RETURN:
        if (t < 60) __syncthreads();
        break;
    case PLANTED_TWO_BARRIERS:
        if (t < 32)
            __syncthreads();
        else
            __syncthreads();
        break;
    case PLANTED_LANE_AT_BARRIER:
        if (t % 32 == 3)
            __syncthreads();
        else
            value = __shfl_xor_sync(FULL, value, 1);
        break;
    case PLANTED_LANE_OUTSIDE:
        if (t % 32 < 16) value = __shfl_sync(0xffffu, value, 20);
        break;
    case PLANTED_NOT_IN_MASK: value = __shfl_sync(0xffffu, value, 0); break;
    case PLANTED_TWO_MASKS:
        value = t % 32 < 16 ? __shfl_sync(0x0001ffffu, value, 0) : __shfl_sync(0xffff0000u, value, 31);
        __syncthreads(); /* a lane that has ended may be named in a mask, one that waits may not */
        break;
    case PLANTED_TRAP:
        if (t == 9) __trap();
        break;
    case PLANTED_NOTHING:
        __syncthreads();
        value = t % 32 < 16 ? __shfl_sync(0x0000ffffu, value, 0) : __shfl_sync(0xffff0000u, value, 31);
        break;
    }
    y[t] = value;
}

cudaError_t planted_diverge(planted_divergence kind, int *y)
{
    SS_LAUNCH(diverge, 1, 64, 0, 0, kind, y);
    return cudaGetLastError();
}

/* ---- Unchecked launch: nobody fetches the error before the next call ---- */
cudaError_t planted_unchecked_launch(int planted, float *y)
{
    SS_LAUNCH(fill, 1, 64, 0, 0, 1, y);
    if (!planted) {
        cudaError_t error = cudaGetLastError();
        if (error) return error;
    }
    return cudaDeviceSynchronize();
}

void planted_launch_left(float *y)
{
    SS_LAUNCH(fill, 1, 64, 0, 0, 1, y);
}
