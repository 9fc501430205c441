/* Small kernels that are right, written as CUDA has them: the emulator's positive tests and its speed. */
#include "emulator_launch.h"
#include "kernels.h"

#define FULL 0xffffffffu

__global__ void axpy(int64_t n, float a, const float *__restrict__ x, float *__restrict__ y)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] += a * x[i];
}

cudaError_t test_axpy(int64_t n, float a, const float *x, float *y, cudaStream_t stream)
{
    SS_LAUNCH(axpy, dim3((unsigned)((n + 255) / 256)), 256, 0, stream, n, a, x, y);
    return cudaGetLastError();
}

/* A parameter without members stands where another one stands, in whatever holds them. */
struct sum_of {
    __device__ float operator()(float a, float b) const { return a + b; }
};

template <typename F> __global__ void combine(int64_t n, const float *x, const F f, float *y)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = f(x[i], y[i]);
}

cudaError_t test_combine(int64_t n, const float *x, float *y, cudaStream_t stream)
{
    SS_LAUNCH((combine<sum_of>), dim3((unsigned)((n + 255) / 256)), 256, 0, stream, n, x, sum_of(), y);
    return cudaGetLastError();
}

template <typename T> __device__ T warp_sum(T value)
{
    for (unsigned by = 16; by > 0; by /= 2) value += __shfl_down_sync(FULL, value, by);
    return value;
}

template <typename T, int MOST> __global__ void block_sums(int64_t n, const T *x, T *sum)
{
    SS_SHARED(T, parts, MOST / 32);
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    T   value = 0;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n;
         i += (int64_t)gridDim.x * blockDim.x)
        value += x[i];
    value = warp_sum(value);
    if (lane == 0) parts[warp] = value;
    __syncthreads();
    if (warp == 0) {
        value = lane < (int)blockDim.x / 32 ? parts[lane] : 0;
        value = warp_sum(value);
        if (lane == 0) sum[blockIdx.x] = value;
    }
}

cudaError_t test_block_sums(int64_t n, const double *x, int blocks, int threads, double *sum,
                            cudaStream_t stream)
{
    SS_LAUNCH((block_sums<double, 1024>), dim3((unsigned)blocks), dim3((unsigned)threads), 0, stream, n, x,
              sum);
    return cudaGetLastError();
}

__global__ void tree_sums(int64_t n, const float *x, float *sum)
{
    SS_DYNAMIC_SHARED(float, parts);
    float value = 0;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n;
         i += (int64_t)gridDim.x * blockDim.x)
        value += x[i];
    parts[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) sum[blockIdx.x] = parts[0];
}

cudaError_t test_tree_sums(int64_t n, const float *x, int blocks, int threads, float *sum,
                           cudaStream_t stream)
{
    SS_LAUNCH(tree_sums, dim3((unsigned)blocks), dim3((unsigned)threads), (size_t)threads * sizeof(float),
              stream, n, x, sum);
    return cudaGetLastError();
}

struct product {
    int          m, n, k;
    const float *a, *b;
    float       *c;
};

template <int TILE> __global__ void tiled_product(product p)
{
    SS_SHARED(float, tile_a, TILE *TILE);
    SS_SHARED(float, tile_b, TILE *TILE);
    int   x = (int)threadIdx.x, y = (int)threadIdx.y;
    int   row = (int)blockIdx.y * TILE + y, col = (int)blockIdx.x * TILE + x;
    float sum = 0;
    for (int begin = 0; begin < p.k; begin += TILE) {
        tile_a[y * TILE + x] = row < p.m && begin + x < p.k ? p.a[(int64_t)row * p.k + begin + x] : 0;
        tile_b[y * TILE + x] = col < p.n && begin + y < p.k ? p.b[(int64_t)(begin + y) * p.n + col] : 0;
        __syncthreads();
        for (int i = 0; i < TILE; i++) sum = fmaf(tile_a[y * TILE + i], tile_b[i * TILE + x], sum);
        __syncthreads();
    }
    if (row < p.m && col < p.n) p.c[(int64_t)row * p.n + col] = sum;
}

cudaError_t test_tiled_product(int m, int n, int k, const float *a, const float *b, float *c,
                               cudaStream_t stream)
{
    const int tile = 8;
    product   p = { m, n, k, a, b, c };
    dim3      grid((unsigned)((n + tile - 1) / tile), (unsigned)((m + tile - 1) / tile));
    SS_LAUNCH(tiled_product<tile>, grid, dim3(tile, tile), 0, stream, p);
    return cudaGetLastError();
}

__global__ void softmax_rows(int cols, float *x)
{
    SS_DYNAMIC_SHARED(float, row);
    SS_SHARED(float, parts, 32);
    float *at = x + (int64_t)blockIdx.x * cols;
    int    t = (int)threadIdx.x, lane = t % 32, warp = t / 32;
    float  largest = -INFINITY, sum = 0;
    for (int j = t; j < cols; j += (int)blockDim.x) {
        row[j] = at[j];
        largest = fmaxf(largest, row[j]);
    }
    for (int by = 16; by > 0; by /= 2) largest = fmaxf(largest, __shfl_xor_sync(FULL, largest, by));
    if (lane == 0) parts[warp] = largest;
    __syncthreads();
    for (int w = 0; w < (int)blockDim.x / 32; w++) largest = fmaxf(largest, parts[w]);
    __syncthreads();
    for (int j = t; j < cols; j += (int)blockDim.x) sum += row[j] = expf(row[j] - largest);
    sum = warp_sum(sum);
    if (lane == 0) parts[warp] = sum;
    __syncthreads();
    sum = 0;
    for (int w = 0; w < (int)blockDim.x / 32; w++) sum += parts[w];
    for (int j = t; j < cols; j += (int)blockDim.x) at[j] = row[j] / sum;
}

cudaError_t test_softmax_rows(int rows, int cols, float *x, cudaStream_t stream)
{
    SS_LAUNCH(softmax_rows, dim3((unsigned)rows), 128, (size_t)cols * sizeof(float), stream, cols, x);
    return cudaGetLastError();
}

__global__ void shuffles(int width, int64_t *out)
{
    int     lane = (int)threadIdx.x;
    int64_t mine = 100 + lane;
    out[lane] = __shfl_sync(FULL, mine, 3, width);
    out[32 + lane] = __shfl_up_sync(FULL, mine, 2, width);
    out[64 + lane] = (int64_t)__shfl_down_sync(FULL, (double)mine, 5, width);
    out[96 + lane] = (int64_t)__shfl_xor_sync(FULL, (float)mine, 1, width);
    out[128 + lane] = __ballot_sync(FULL, lane % 2);
}

cudaError_t test_shuffles(int width, int64_t *out, cudaStream_t stream)
{
    SS_LAUNCH(shuffles, 1, 32, 0, stream, width, out);
    return cudaGetLastError();
}

__global__ void count_positive(int64_t n, const float *x, int *count, int *out)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    int     positive = i < n && x[i] > 0;
    if (positive) atomicAdd(count, 1);
    int all = __syncthreads_count(positive);
    if (threadIdx.x == 0) out[blockIdx.x] = all;
}

cudaError_t test_count(int64_t n, const float *x, int *count, int *out, cudaStream_t stream)
{
    SS_LAUNCH(count_positive, dim3((unsigned)((n + 63) / 64)), 64, 0, stream, n, x, count, out);
    return cudaGetLastError();
}

__global__ void record_order(int *order)
{
    SS_SHARED(int, turn, 1);
    if (threadIdx.x == 0) turn[0] = 0;
    __syncthreads();
    order[atomicAdd(&turn[0], 1)] = (int)threadIdx.x;
}

cudaError_t test_order(int threads, int *order, cudaStream_t stream)
{
    SS_LAUNCH(record_order, 1, dim3((unsigned)threads), 0, stream, order);
    return cudaGetLastError();
}
