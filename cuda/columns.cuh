/* Column sums over the rows of a matrix, several at once: y_k[lane, j] (+)= sum_i f_k(lane, i, j), k <
 * F::terms, in float64. First kernel: blocks of rows, cut by shape alone, each summed by 8 threads a column;
 * second: the blocks' shares in order. */
#ifndef SS_CUDA_COLUMNS_CUH
#define SS_CUDA_COLUMNS_CUH

#include "map.cuh"

#define SS_COLUMNS_WIDTH  32 /* columns of a block of threads */
#define SS_COLUMNS_HEIGHT 8  /* threads a column */
#define SS_COLUMNS_SHARES 64 /* blocks of rows at most */
#define SS_COLUMNS_ROWS   64 /* rows of such a block at least */

/* share[k, block, lane, col] */
template <typename F>
static __global__ void ss_column_shares(const F f, int64_t lanes, int64_t rows, int64_t cols,
                                        int64_t per_block, double *share)
{
    SS_SHARED(double, part, SS_COLUMNS_HEIGHT *SS_COLUMNS_WIDTH);
    const int     x = (int)threadIdx.x, y = (int)threadIdx.y;
    const int64_t col = (int64_t)blockIdx.x * SS_COLUMNS_WIDTH + x;
    const int64_t first = (int64_t)blockIdx.y * per_block,
                  end = first + per_block < rows ? first + per_block : rows;
    for (int64_t lane = blockIdx.z; lane < lanes; lane += gridDim.z) {
        double sum[F::terms] = {};
        if (col < cols)
            for (int64_t row = first + y; row < end; row += SS_COLUMNS_HEIGHT) f(lane, row, col, sum);
        for (int k = 0; k < F::terms; k++) {
            part[y * SS_COLUMNS_WIDTH + x] = sum[k];
            __syncthreads();
            if (y == 0 && col < cols) {
                double total = 0;
                for (int i = 0; i < SS_COLUMNS_HEIGHT; i++) total += part[i * SS_COLUMNS_WIDTH + x];
                share[((k * (int64_t)gridDim.y + blockIdx.y) * lanes + lane) * cols + col] = total;
            }
            __syncthreads();
        }
    }
}

/* y[lane, col] (+)= sum of share[block, lane, col] over the blocks, in an order that depends on their number.
 */
template <typename real>
static __global__ void ss_add_shares(const double *share, int64_t blocks, int64_t lanes, int64_t cols,
                                     ss_matrix out, bool accumulate)
{
    SS_SHARED(double, part, SS_COLUMNS_HEIGHT *SS_COLUMNS_WIDTH);
    const int     x = (int)threadIdx.x, y = (int)threadIdx.y;
    const int64_t col = (int64_t)blockIdx.x * SS_COLUMNS_WIDTH + x;
    for (int64_t lane = blockIdx.y; lane < lanes; lane += gridDim.y) {
        double sum = 0;
        if (col < cols)
            for (int64_t block = y; block < blocks; block += SS_COLUMNS_HEIGHT)
                sum += share[(block * lanes + lane) * cols + col];
        part[y * SS_COLUMNS_WIDTH + x] = sum;
        __syncthreads();
        if (y == 0 && col < cols) {
            for (int i = 1; i < SS_COLUMNS_HEIGHT; i++) sum += part[i * SS_COLUMNS_WIDTH + x];
            real *to = ss_cuda_row<real>(out, lane, 0) + col;
            *to = (real)(accumulate ? (double)*to + sum : sum);
        }
        __syncthreads();
    }
}

template <typename real>
static ss_status ss_cuda_add_shares(ss_queue *q, const double *share, int64_t blocks, int64_t lanes,
                                    int64_t cols, const ss_matrix *y, bool accumulate)
{
    const dim3 block(SS_COLUMNS_WIDTH, SS_COLUMNS_HEIGHT);
    const dim3 grid((unsigned)ss_cuda_blocks(cols, SS_COLUMNS_WIDTH), ss_map_grid(lanes, 1));
    SS_CUDA_LAUNCH(q->device->context, (ss_add_shares<real>), grid, block, 0, q->stream, share, blocks, lanes,
                   cols, *y, accumulate);
    return SS_OK;
}

/* How the rows are cut, by their number alone. */
static inline int64_t ss_column_rows(int64_t rows)
{
    return ss_max64(SS_COLUMNS_ROWS, ss_cuda_blocks(rows, SS_COLUMNS_SHARES));
}

static inline int64_t ss_column_blocks(int64_t rows)
{
    return ss_max64(1, ss_cuda_blocks(rows, ss_column_rows(rows)));
}

/* Elements of the scratch `share` of ss_cuda_column_sums. */
static inline int64_t ss_column_scratch(int terms, int64_t lanes, int64_t rows, int64_t cols)
{
    return terms * ss_column_blocks(rows) * lanes * cols;
}

/* y[k]: 1 x cols per lane, absent = not wanted. */
template <typename real, typename F>
static ss_status ss_cuda_column_sums(ss_queue *q, int64_t lanes, int64_t rows, int64_t cols, const F &f,
                                     double *share, const ss_matrix *const *y, const bool *accumulate)
{
    const int64_t blocks = ss_column_blocks(rows);
    if (lanes == 0 || cols == 0) return SS_OK;
    const dim3 block(SS_COLUMNS_WIDTH, SS_COLUMNS_HEIGHT);
    const dim3 grid((unsigned)ss_cuda_blocks(cols, SS_COLUMNS_WIDTH), (unsigned)blocks,
                    ss_map_grid(lanes, 1));
    SS_CUDA_LAUNCH(q->device->context, (ss_column_shares<F>), grid, block, 0, q->stream, f, lanes, rows, cols,
                   ss_column_rows(rows), share);
    for (int k = 0; k < F::terms; k++)
        if (y[k]->data)
            SS_RETURN(ss_cuda_add_shares<real>(q, share + k * blocks * lanes * cols, blocks, lanes, cols,
                                               y[k], accumulate[k]));
    return SS_OK;
}

#endif
