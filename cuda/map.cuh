/* One thread per element of lanes of rows of columns, or per element of a vector; or per pack of elements
 * (pack.cuh). The function object holds the operands and says what to do with element (lane, row, col), or
 * with N of them. */
#ifndef SS_CUDA_MAP_CUH
#define SS_CUDA_MAP_CUH

#include "pack.cuh"

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

/* The same by packs of N; what is left of a row of columns one by one. */
template <int N, typename F>
static __global__ void ss_map_packs(const F f, int64_t lanes, int64_t rows, int64_t cols)
{
    const int64_t row_step = (int64_t)gridDim.y * blockDim.y, col_step = (int64_t)gridDim.x * blockDim.x * N;
    for (int64_t lane = blockIdx.z; lane < lanes; lane += gridDim.z)
        for (int64_t row = (int64_t)blockIdx.y * blockDim.y + threadIdx.y; row < rows; row += row_step)
            for (int64_t col = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * N; col < cols;
                 col += col_step) {
                if (col + N <= cols)
                    f.template at<N>(lane, row, col);
                else
                    for (int64_t rest = col; rest < cols; rest++) f.template at<1>(lane, row, rest);
            }
}

static inline unsigned ss_map_grid(int64_t n, int64_t block)
{
    return (unsigned)ss_min64(ss_cuda_blocks(n, block), SS_MAP_GRID);
}

/* Threads for `columns` of them a row. Narrow matrices get blocks of several rows. */
static inline dim3 ss_map_block(int64_t rows, int64_t columns)
{
    unsigned width = 8, height = 1;
    while (width < SS_MAP_THREADS && width < columns) width *= 2;
    while (height * width < SS_MAP_THREADS && height < rows) height *= 2;
    return dim3(width, height);
}

/* f(lane, row, col) for all elements. */
template <typename F>
static ss_status ss_cuda_map(ss_queue *q, int64_t lanes, int64_t rows, int64_t cols, const F &f)
{
    if (lanes == 0 || rows == 0 || cols == 0) return SS_OK;
    const dim3 block = ss_map_block(rows, cols);
    const dim3 grid(ss_map_grid(cols, block.x), ss_map_grid(rows, block.y), ss_map_grid(lanes, 1));
    SS_CUDA_LAUNCH(q->device->context, (ss_map<F>), grid, block, 0, q->stream, f, lanes, rows, cols);
    return SS_OK;
}

/* f.at<N>(lane, row, col) for all packs of N elements: of 16 bytes if `aligned` (all operands are, see
 * ss_cuda_aligned), else of one. */
template <typename real, typename F>
static ss_status ss_cuda_map_packs(ss_queue *q, int64_t lanes, int64_t rows, int64_t cols, bool aligned,
                                   const F &f)
{
    const int64_t packs = aligned ? ss_cuda_blocks(cols, ss_pack_length<real>) : cols;
    if (lanes == 0 || rows == 0 || cols == 0) return SS_OK;
    const dim3 block = ss_map_block(rows, packs);
    const dim3 grid(ss_map_grid(packs, block.x), ss_map_grid(rows, block.y), ss_map_grid(lanes, 1));
    if (aligned)
        SS_CUDA_LAUNCH(q->device->context, (ss_map_packs<ss_pack_length<real>, F>), grid, block, 0, q->stream,
                       f, lanes, rows, cols);
    else
        SS_CUDA_LAUNCH(q->device->context, (ss_map_packs<1, F>), grid, block, 0, q->stream, f, lanes, rows,
                       cols);
    return SS_OK;
}

/* The same for a vector: one lane, one row. */
template <typename F> static ss_status ss_cuda_map_vector(ss_queue *q, int64_t n, const F &f)
{
    return ss_cuda_map(q, 1, 1, n, f);
}

#endif
