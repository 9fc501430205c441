/* Sums and searches over the threads of a block, in an order that depends on the block's size alone. Blocks
 * are one-dimensional, whole warps. All threads get the result; all must take part. */
#ifndef SS_CUDA_REDUCE_CUH
#define SS_CUDA_REDUCE_CUH

#include "cuda.cuh"

#define SS_WARP        32
#define SS_ALL         0xffffffffu
#define SS_BLOCK_WARPS 8                    /* at most */
#define SS_BLOCK_SUM   (SS_BLOCK_WARPS + 1) /* words of shared memory per value summed */

/* Threads for a row of `cols` elements. */
static inline unsigned ss_row_threads(int64_t cols)
{
    return cols <= 64 ? 32u : cols <= 256 ? 64u : cols <= 1024 ? 128u : 256u;
}

static inline unsigned ss_row_blocks(int64_t rows)
{
    return (unsigned)ss_min64(rows, 1 << 20);
}

/* N values as a power of two of them. */
template <int N> inline constexpr int ss_padded = N <= 1 ? 1 : 2 * ss_padded<(N + 1) / 2>;
template <> inline constexpr int      ss_padded<1> = 1;

/* Sums of N values over the warp, value i in the threads of the i-th of ss_padded<N> groups of neighbours. A
 * step exchanges half of what is left, so that 8 values take 9 shuffles instead of 40. */
template <int N> static __device__ __forceinline__ double ss_warp_scatter(const double (&value)[N])
{
    const int P = ss_padded<N>, lane = (int)(threadIdx.x % SS_WARP);
    double    left[P];
    int       offset = SS_WARP / 2;
    for (int i = 0; i < P; i++) left[i] = i < N ? value[i] : 0;
    for (int half = P / 2; half > 0; half /= 2, offset /= 2)
        for (int i = 0; i < half; i++) {
            const bool   upper = (lane & offset) != 0;
            const double keep = upper ? left[i + half] : left[i], give = upper ? left[i] : left[i + half];
            left[i] = keep + __shfl_xor_sync(SS_ALL, give, offset);
        }
    for (; offset > 0; offset /= 2) left[0] += __shfl_xor_sync(SS_ALL, left[0], offset);
    return left[0];
}

/* Every value[i] becomes its sum over the warp, in all of its threads. */
template <int N> static __device__ __forceinline__ void ss_warp_sum(double (&value)[N])
{
    const double sum = ss_warp_scatter(value);
    for (int i = 0; i < N; i++) value[i] = __shfl_sync(SS_ALL, sum, i * (SS_WARP / ss_padded<N>));
}

/* Every value[i] becomes its sum over the block: over each warp, then warp i adds up what the warps have of
 * value i. shared: [N * SS_BLOCK_SUM], for sums of N values only; the totals lie apart from the parts, so
 * that the next sum needs no barrier in front. */
template <int N> static __device__ void ss_block_sum(double (&value)[N], double *shared)
{
    const int    warp = (int)(threadIdx.x / SS_WARP), lane = (int)(threadIdx.x % SS_WARP);
    const int    warps = (int)(blockDim.x / SS_WARP), each = SS_WARP / ss_padded<N>;
    double      *total = shared + N * SS_BLOCK_WARPS;
    const double part = ss_warp_scatter(value);
    if (lane % each == 0 && lane / each < N) shared[lane / each * SS_BLOCK_WARPS + warp] = part;
    __syncthreads();
    for (int i = warp; i < N; i += warps) {
        double sum = lane < warps ? shared[i * SS_BLOCK_WARPS + lane] : 0;
        for (int offset = SS_BLOCK_WARPS / 2; offset > 0; offset /= 2)
            sum += __shfl_down_sync(SS_ALL, sum, offset);
        if (lane == 0) total[i] = sum;
    }
    __syncthreads();
    for (int i = 0; i < N; i++) value[i] = total[i];
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
