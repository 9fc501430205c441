/* Column sums over the rows of a matrix, several at once: y_k[lane, j] (+)= sum_i f_k(lane, i, j), k <
 * F::terms, in float64. First kernel: blocks of rows, cut by shape alone, each summed by 8 threads a pack of
 * columns; second: the blocks' shares in order. */
#ifndef SS_CUDA_COLUMNS_CUH
#define SS_CUDA_COLUMNS_CUH

#include "map.cuh"

#define SS_COLUMNS_WIDTH  32 /* packs of columns of a block of threads */
#define SS_COLUMNS_HEIGHT 8  /* threads a pack */
#define SS_COLUMNS_SHARES 64 /* blocks of rows at most */
#define SS_COLUMNS_ROWS   64 /* rows of such a block at least */

/* Where a sum goes: 1 x cols per lane, absent = not wanted. */
struct ss_column_output {
    ss_matrix y;
    int64_t   accumulate; /* 0 or 1; a whole word: no padding */
};

template <int TERMS> struct ss_column_outputs {
    ss_column_output term[TERMS];
};

/* share[k, block, lane, col]; f.at<N>(lane, row, col, sum) adds N columns to sum[k][N]. N divides cols. */
template <int N, typename F>
static __global__ void __launch_bounds__(SS_COLUMNS_WIDTH *SS_COLUMNS_HEIGHT, 3)
    ss_column_shares(const F f, int64_t lanes, int64_t rows, int64_t cols, int64_t per_block, double *share)
{
    SS_SHARED(double, part, N *SS_COLUMNS_HEIGHT *SS_COLUMNS_WIDTH);
    const int     x = (int)threadIdx.x, y = (int)threadIdx.y;
    const int64_t col = ((int64_t)blockIdx.x * SS_COLUMNS_WIDTH + x) * N;
    const int64_t first = (int64_t)blockIdx.y * per_block,
                  end = first + per_block < rows ? first + per_block : rows;
    for (int64_t lane = blockIdx.z; lane < lanes; lane += gridDim.z) {
        double sum[F::terms][N] = {};
        if (col < cols)
            for (int64_t row = first + y; row < end; row += SS_COLUMNS_HEIGHT)
                f.template at<N>(lane, row, col, sum);
        for (int k = 0; k < F::terms; k++) {
            for (int v = 0; v < N; v++) part[(v * SS_COLUMNS_HEIGHT + y) * SS_COLUMNS_WIDTH + x] = sum[k][v];
            __syncthreads();
            if (y < N && col < cols) { /* thread y adds up column y of the pack */
                double total = 0;
                for (int i = 0; i < SS_COLUMNS_HEIGHT; i++)
                    total += part[(y * SS_COLUMNS_HEIGHT + i) * SS_COLUMNS_WIDTH + x];
                share[((k * (int64_t)gridDim.y + blockIdx.y) * lanes + lane) * cols + col + y] = total;
            }
            __syncthreads();
        }
    }
}

/* Shares whose slots are the columns. */
struct ss_in_order {
    __device__ int64_t column(int64_t slot) const { return slot; }
};

#define SS_ADD_HEIGHT 32 /* threads a slot at most */

/* out.term[k][lane, order.column(slot)] (+)= sum of share[k, block, lane, slot] over the blocks, in an order
 * that depends on their number. Slots may be more than columns. blockDim.y: a power of two. */
template <typename real, typename Order, int TERMS>
static __global__ void __launch_bounds__(SS_COLUMNS_WIDTH *SS_ADD_HEIGHT)
    ss_add_shares(const double *share, int64_t blocks, int64_t lanes, int64_t slots,
                  const ss_column_outputs<TERMS> out, const Order order)
{
    SS_SHARED(double, part, SS_ADD_HEIGHT *SS_COLUMNS_WIDTH);
    const int        x = (int)threadIdx.x, y = (int)threadIdx.y, height = (int)blockDim.y;
    const int64_t    slot = (int64_t)blockIdx.x * SS_COLUMNS_WIDTH + x;
    const ss_matrix &to = out.term[blockIdx.z].y;
    if (!to.data) return;
    for (int64_t lane = blockIdx.y; lane < lanes; lane += gridDim.y) {
        const double *from = share + (blockIdx.z * blocks * lanes + lane) * slots + slot;
        double        sum = 0;
        if (slot < slots)
            for (int64_t block = y; block < blocks; block += height) sum += from[block * lanes * slots];
        part[y * SS_COLUMNS_WIDTH + x] = sum;
        __syncthreads();
        const int64_t col = order.column(slot);
        if (y == 0 && slot < slots && col < to.cols) {
            for (int i = 1; i < height; i++) sum += part[i * SS_COLUMNS_WIDTH + x];
            real *at = ss_cuda_row<real>(to, lane, 0) + col;
            *at = (real)(out.term[blockIdx.z].accumulate ? (double)*at + sum : sum);
        }
        __syncthreads();
    }
}

/* share: [terms, blocks, lanes, slots] */
template <typename real, typename Order, int TERMS>
static ss_status ss_cuda_add_shares(ss_queue *q, const double *share, int64_t blocks, int64_t lanes,
                                    int64_t slots, int terms, const ss_column_outputs<TERMS> &out,
                                    const Order &order)
{
    unsigned height = 1;
    while (height < SS_ADD_HEIGHT && height * 4 < blocks) height *= 2;
    const dim3 block(SS_COLUMNS_WIDTH, height);
    const dim3 grid((unsigned)ss_cuda_blocks(slots, SS_COLUMNS_WIDTH), ss_map_grid(lanes, 1),
                    (unsigned)terms);
    SS_CUDA_LAUNCH(q->device->context, (ss_add_shares<real, Order, TERMS>), grid, block, 0, q->stream, share,
                   blocks, lanes, slots, out, order);
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

/* Sums of F::terms values an element; `aligned`: all operands are (ss_cuda_aligned). Uses the scratch. */
template <typename real, typename F>
static ss_status ss_cuda_column_sums(ss_queue *q, int64_t lanes, int64_t rows, int64_t cols, bool aligned,
                                     const F &f, const ss_column_outputs<F::terms> &out)
{
    const int     N = ss_pack_length<real>;
    const int64_t blocks = ss_column_blocks(rows), per_block = ss_column_rows(rows);
    void         *scratch = nullptr;
    if (lanes == 0 || cols == 0) return SS_OK;
    SS_RETURN(ss_cuda_scratch(q, 8 * F::terms * blocks * lanes * cols, &scratch));
    double    *share = static_cast<double *>(scratch);
    const bool packed = aligned && cols % N == 0;
    const dim3 block(SS_COLUMNS_WIDTH, SS_COLUMNS_HEIGHT);
    const dim3 grid((unsigned)ss_cuda_blocks(packed ? cols / N : cols, SS_COLUMNS_WIDTH), (unsigned)blocks,
                    ss_map_grid(lanes, 1));
    if (packed)
        SS_CUDA_LAUNCH(q->device->context, (ss_column_shares<N, F>), grid, block, 0, q->stream, f, lanes,
                       rows, cols, per_block, share);
    else
        SS_CUDA_LAUNCH(q->device->context, (ss_column_shares<1, F>), grid, block, 0, q->stream, f, lanes,
                       rows, cols, per_block, share);
    return ss_cuda_add_shares<real>(q, share, blocks, lanes, cols, F::terms, out, ss_in_order());
}

#endif
