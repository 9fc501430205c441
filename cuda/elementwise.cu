/* Matrix sums and column sums: bound by memory, every operand read once. */
#include "columns.cuh"

/* y := alpha x (+ beta y) */
template <typename real> struct add_element {
    ss_matrix                        x, y;
    real                             alpha, beta;
    template <int N> __device__ void at(int64_t lane, int64_t row, int64_t col) const
    {
        const ss_pack<real, N> in = ss_load<N, real>(x, lane, row, col);
        real                  *to = ss_cuda_row<real>(y, lane, row) + col;
        ss_pack<real, N>       out = beta != 0 ? ss_load<N>(to) : ss_filled<N>((real)0);
        for (int v = 0; v < N; v++) out[v] = beta != 0 ? alpha * in[v] + beta * out[v] : alpha * in[v];
        ss_store<N>(to, out);
    }
};

/* z (+)= alpha x + beta y */
template <typename real> struct sum_of_two {
    ss_matrix                        x, y, z;
    real                             alpha, beta;
    bool                             accumulate;
    template <int N> __device__ void at(int64_t lane, int64_t row, int64_t col) const
    {
        const ss_pack<real, N> a = ss_load<N, real>(x, lane, row, col),
                               b = ss_load<N, real>(y, lane, row, col);
        real            *to = ss_cuda_row<real>(z, lane, row) + col;
        ss_pack<real, N> out = accumulate ? ss_load<N>(to) : ss_filled<N>((real)0);
        for (int v = 0; v < N; v++) {
            const real value = alpha * a[v] + beta * b[v];
            out[v] = accumulate ? value + out[v] : value;
        }
        ss_store<N>(to, out);
    }
};

/* f for all elements of z: in each lane as one row, if all operands allow it. */
template <typename real, typename F>
static ss_status run(ss_queue *q, int64_t lanes, const ss_matrix *x, const ss_matrix *y, const ss_matrix *z,
                     const F &f)
{
    const bool flat = ss_cuda_flat(x) && ss_cuda_flat(y) && ss_cuda_flat(z);
    const bool aligned = ss_cuda_aligned<real>(x, lanes, flat) && ss_cuda_aligned<real>(y, lanes, flat) &&
                         ss_cuda_aligned<real>(z, lanes, flat);
    return flat ? ss_cuda_map_packs<real>(q, lanes, 1, z->rows * z->cols, aligned, f)
                : ss_cuda_map_packs<real>(q, lanes, z->rows, z->cols, aligned, f);
}

template <typename real>
ss_status ss_cuda_add(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x,
                      double beta, const ss_matrix *y)
{
    SS_RETURN(ss_cuda_enter(b, &q));
    const add_element<real> f = { ss_cuda_operand(x, y->rows), *y, (real)alpha, (real)beta };
    return run<real>(q, lanes, &f.x, y, y, f);
}
SS_CUDA_INSTANTIATE(add)

template <typename real>
ss_status ss_cuda_sum(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x,
                      double beta, const ss_matrix *y, bool accumulate, const ss_matrix *z)
{
    SS_RETURN(ss_cuda_enter(b, &q));
    const sum_of_two<real> f = {
        ss_cuda_operand(x, z->rows), ss_cuda_operand(y, z->rows), *z, (real)alpha, (real)beta, accumulate
    };
    return run<real>(q, lanes, &f.x, &f.y, z, f);
}
SS_CUDA_INSTANTIATE(sum)

template <typename real> struct sum_element {
    static const int                 terms = 1;
    ss_matrix                        x;
    template <int N> __device__ void at(int64_t lane, int64_t row, int64_t col, double (&sum)[terms][N]) const
    {
        const ss_pack<real, N> in = ss_load<N, real>(x, lane, row, col);
        for (int v = 0; v < N; v++) sum[0][v] += (double)in[v];
    }
};

template <typename real>
ss_status ss_cuda_column_sum(ss_backend *b, ss_queue *q, int64_t lanes, const ss_matrix *x, bool accumulate,
                             const ss_matrix *y)
{
    const sum_element<real> f = { *x };
    SS_RETURN(ss_cuda_enter(b, &q));
    return ss_cuda_column_sums<real>(q, lanes, x->rows, x->cols, ss_cuda_aligned<real>(x, lanes, false), f,
                                     ss_column_outputs<1>{ { { *y, accumulate } } });
}
SS_CUDA_INSTANTIATE(column_sum)
