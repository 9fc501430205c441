/* Sums and searches over the threads of a block, in an order that depends on the block's size alone. Blocks
 * are one-dimensional, whole warps. All threads get the result; all must take part. */
#ifndef SS_CUDA_REDUCE_CUH
#define SS_CUDA_REDUCE_CUH

#include "cuda.cuh"

#define SS_WARP        32
#define SS_ALL         0xffffffffu
#define SS_BLOCK_WARPS 8 /* at most; so many words of shared memory per value reduced */

/* Threads for a row of `cols` elements. */
static inline unsigned ss_row_threads(int64_t cols)
{
    return cols <= 64 ? 32u : cols <= 256 ? 64u : cols <= 1024 ? 128u : 256u;
}

static inline unsigned ss_row_blocks(int64_t rows)
{
    return (unsigned)ss_min64(rows, 1 << 20);
}

/* Every value[i] becomes its sum over the block. shared: [N * SS_BLOCK_WARPS] */
template <int N> static __device__ void ss_block_sum(double (&value)[N], double *shared)
{
    const unsigned warp = threadIdx.x / SS_WARP, warps = blockDim.x / SS_WARP;
    for (int i = 0; i < N; i++)
        for (int offset = SS_WARP / 2; offset > 0; offset /= 2)
            value[i] += __shfl_down_sync(SS_ALL, value[i], offset);
    if (threadIdx.x % SS_WARP == 0)
        for (int i = 0; i < N; i++) shared[i * SS_BLOCK_WARPS + warp] = value[i];
    __syncthreads();
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (unsigned w = 0; w < warps; w++) sum += shared[i * SS_BLOCK_WARPS + w];
        value[i] = sum;
    }
    __syncthreads();
}

static __device__ __forceinline__ double ss_block_sum_of(double value, double *shared)
{
    double one[1] = { value };
    ss_block_sum(one, shared);
    return one[0];
}

/* The largest value of the block and its smallest index; a NaN that a thread begins with stays.
 * shared: [SS_BLOCK_WARPS] each */
static __device__ __forceinline__ void ss_take_larger(double *value, int64_t *index, double other,
                                                      int64_t other_index)
{
    if (other > *value || (other == *value && other_index < *index) || other != other) {
        *value = other;
        *index = other_index;
    }
}

static __device__ __forceinline__ void ss_block_largest(double *value, int64_t *index, double *shared,
                                                        int64_t *shared_index)
{
    const unsigned warp = threadIdx.x / SS_WARP, warps = blockDim.x / SS_WARP;
    for (int offset = SS_WARP / 2; offset > 0; offset /= 2) {
        double    other = __shfl_down_sync(SS_ALL, *value, offset);
        long long other_index = __shfl_down_sync(SS_ALL, (long long)*index, offset);
        ss_take_larger(value, index, other, other_index);
    }
    if (threadIdx.x % SS_WARP == 0) {
        shared[warp] = *value;
        shared_index[warp] = *index;
    }
    __syncthreads();
    *value = shared[0];
    *index = shared_index[0];
    for (unsigned w = 1; w < warps; w++) ss_take_larger(value, index, shared[w], shared_index[w]);
    __syncthreads();
}

#endif
