/* One thread per element of lanes of rows of columns, or per element of a vector. The function object holds
 * the operands and says what to do with element (lane, row, col). */
#ifndef SS_CUDA_MAP_CUH
#define SS_CUDA_MAP_CUH

#include "cuda.cuh"

#define SS_MAP_THREADS 256
#define SS_MAP_GRID    65535 /* blocks in a direction at most; beyond, threads take several elements */

template <typename F> static __global__ void ss_map(const F f, int64_t lanes, int64_t rows, int64_t cols)
{
    const int64_t row_step = (int64_t)gridDim.y * blockDim.y, col_step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t lane = blockIdx.z; lane < lanes; lane += gridDim.z)
        for (int64_t row = (int64_t)blockIdx.y * blockDim.y + threadIdx.y; row < rows; row += row_step)
            for (int64_t col = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; col < cols; col += col_step)
                f(lane, row, col);
}

static inline unsigned ss_map_grid(int64_t n, int64_t block)
{
    return (unsigned)ss_min64(ss_cuda_blocks(n, block), SS_MAP_GRID);
}

/* f(lane, row, col) for all elements. Narrow matrices get blocks of several rows. */
template <typename F>
static ss_status ss_cuda_map(ss_queue *q, int64_t lanes, int64_t rows, int64_t cols, const F &f)
{
    if (lanes == 0 || rows == 0 || cols == 0) return SS_OK;
    unsigned width = 8;
    while (width < SS_MAP_THREADS && width < cols) width *= 2;
    unsigned height = 1;
    while (height * width < SS_MAP_THREADS && height < rows) height *= 2;
    const dim3 block(width, height);
    const dim3 grid(ss_map_grid(cols, width), ss_map_grid(rows, height), ss_map_grid(lanes, 1));
    SS_CUDA_LAUNCH(q->device->context, (ss_map<F>), grid, block, 0, q->stream, f, lanes, rows, cols);
    return SS_OK;
}

/* The same for a vector: one lane, one row. */
template <typename F> static ss_status ss_cuda_map_vector(ss_queue *q, int64_t n, const F &f)
{
    return ss_cuda_map(q, 1, 1, n, f);
}

#endif
