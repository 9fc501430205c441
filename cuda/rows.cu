/* Rows: gathered and scattered by index, scaled and multiplied one by one. Bound by memory.
 *
 * A table row that many rows are added to gets them in their order, without atomics: a first kernel links the
 * equal indices into chains, in the second the thread of a chain's first row and of one column walks along
 * it. The search costs rows^2 / 2 loads of indices, all from the caches. */
#include "map.cuh"
#include "reduce.cuh"

/* ---- Gather ---- */

template <typename real> struct gather_element {
    ss_matrix                        table, y;
    const int64_t                   *index;
    real                             alpha, beta;
    template <int N> __device__ void at(int64_t lane, int64_t row, int64_t col) const
    {
        const ss_pack<real, N> in = ss_load<N, real>(table, lane, index[row], col);
        real                  *to = ss_cuda_row<real>(y, lane, row) + col;
        ss_pack<real, N>       out = beta != 0 ? ss_load<N>(to) : ss_filled<N>((real)0);
        for (int v = 0; v < N; v++) out[v] = beta != 0 ? alpha * in[v] + beta * out[v] : alpha * in[v];
        ss_store<N>(to, out);
    }
};

template <typename real>
ss_status ss_cuda_gather_rows(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *table,
                              const int64_t *index, double beta, const ss_matrix *y)
{
    SS_RETURN(ss_cuda_enter(b, &q));
    const gather_element<real> f = { *table, *y, index, (real)alpha, (real)beta };
    const bool aligned = ss_cuda_aligned<real>(table, lanes, false) && ss_cuda_aligned<real>(y, lanes, false);
    return ss_cuda_map_packs<real>(q, lanes, y->rows, y->cols, aligned, f);
}
SS_CUDA_INSTANTIATE(gather_rows)

/* ---- Scatter ---- */

/* A row in the chain of those with its index. */
struct chained {
    int32_t next;  /* rows ahead; 0 = last */
    int32_t first; /* no earlier row has the index */
};

struct find_link {
    const int64_t  *index;
    int64_t         rows;
    chained        *links; /* [rows] */
    __device__ void operator()(int64_t, int64_t, int64_t row) const
    {
        const int64_t id = index[row];
        int64_t       next = row + 1, before = row - 1;
        while (next < rows && index[next] != id) next++;
        while (before >= 0 && index[before] != id) before--;
        links[row] = { (int32_t)(next < rows ? next - row : 0), before < 0 };
    }
};

template <typename real> struct scatter_element {
    ss_matrix       y, table;
    const int64_t  *index;
    const chained  *links;
    real            alpha;
    __device__ void operator()(int64_t lane, int64_t row, int64_t col) const
    {
        chained at = links[row];
        if (!at.first) return;
        real *out = ss_cuda_row<real>(table, lane, index[row]) + col;
        real  sum = *out + alpha * ss_cuda_row<real>(y, lane, row)[col];
        while (at.next) {
            row += at.next;
            at = links[row];
            sum += alpha * ss_cuda_row<real>(y, lane, row)[col];
        }
        *out = sum;
    }
};

template <typename real>
ss_status ss_cuda_scatter_rows(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *y,
                               const int64_t *index, const ss_matrix *table)
{
    void *scratch = nullptr;
    if (y->rows > INT32_MAX)
        return ss_fail(b->context, SS_ERROR_INTERNAL, "scatter_rows: %lld rows at once", (long long)y->rows);
    SS_RETURN(ss_cuda_enter(b, &q));
    SS_RETURN(ss_cuda_scratch(q, y->rows * (int64_t)sizeof(chained), &scratch));
    chained        *links = static_cast<chained *>(scratch);
    const find_link find = { index, y->rows, links };
    SS_RETURN(ss_cuda_map_vector(q, y->rows, find));
    const scatter_element<real> add = { *y, *table, index, links, (real)alpha };
    return ss_cuda_map(q, lanes, y->rows, y->cols, add);
}
SS_CUDA_INSTANTIATE(scatter_rows)

/* ---- Row by row ---- */

template <typename real> struct row_scale_element {
    ss_matrix                        c, x, z;
    real                             alpha, beta;
    template <int N> __device__ void at(int64_t lane, int64_t row, int64_t col) const
    {
        const real             factor = alpha * *ss_cuda_row<real>(c, lane, row);
        const ss_pack<real, N> in = ss_load<N, real>(x, lane, row, col);
        real                  *to = ss_cuda_row<real>(z, lane, row) + col;
        ss_pack<real, N>       out = beta != 0 ? ss_load<N>(to) : ss_filled<N>((real)0);
        for (int v = 0; v < N; v++) out[v] = beta != 0 ? factor * in[v] + beta * out[v] : factor * in[v];
        ss_store<N>(to, out);
    }
};

template <typename real>
ss_status ss_cuda_row_scale(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *c,
                            const ss_matrix *x, double beta, const ss_matrix *z)
{
    SS_RETURN(ss_cuda_enter(b, &q));
    const row_scale_element<real> f = { ss_cuda_operand(c, z->rows), ss_cuda_operand(x, z->rows), *z,
                                        (real)alpha, (real)beta };
    const bool aligned = ss_cuda_aligned<real>(&f.x, lanes, false) && ss_cuda_aligned<real>(z, lanes, false);
    return ss_cuda_map_packs<real>(q, lanes, z->rows, z->cols, aligned, f);
}
SS_CUDA_INSTANTIATE(row_scale)

/* One block of threads per row and lane; sums in float64. */
template <typename real>
static __global__ void __launch_bounds__(256)
    row_dots(const ss_matrix x, const ss_matrix y, const ss_matrix c, int64_t tasks, double alpha,
             double beta)
{
    SS_SHARED(double, shared, SS_BLOCK_SUM);
    for (int64_t task = blockIdx.x; task < tasks; task += gridDim.x) {
        const int64_t lane = task / c.rows, row = task % c.rows;
        const real   *u = ss_cuda_row<real>(x, lane, row), *v = ss_cuda_row<real>(y, lane, row);
        double        sum = 0;
        for (int64_t j = threadIdx.x; j < x.cols; j += blockDim.x) sum += (double)u[j] * (double)v[j];
        sum = alpha * ss_block_sum_of(sum, shared);
        if (threadIdx.x != 0) continue;
        real *out = ss_cuda_row<real>(c, lane, row);
        *out = (real)(beta != 0 ? sum + beta * (double)*out : sum);
    }
}

template <typename real>
ss_status ss_cuda_row_dot(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x,
                          const ss_matrix *y, double beta, const ss_matrix *c)
{
    const ss_matrix u = ss_cuda_operand(x, c->rows), v = ss_cuda_operand(y, c->rows);
    const int64_t   tasks = lanes * c->rows;
    SS_RETURN(ss_cuda_enter(b, &q));
    if (tasks == 0) return SS_OK;
    SS_CUDA_LAUNCH(q->device->context, (row_dots<real>), ss_row_blocks(tasks), ss_row_threads(x->cols), 0,
                   q->stream, u, v, *c, tasks, alpha, beta);
    return SS_OK;
}
SS_CUDA_INSTANTIATE(row_dot)
