/* Matrix sums, products and column sums: bound by memory, every operand read once. */
#include "columns.cuh"

/* y := alpha x (+ beta y) */
template <typename real> struct add_element {
    ss_matrix       x, y;
    real            alpha, beta;
    __device__ void operator()(int64_t lane, int64_t row, int64_t col) const
    {
        real  value = alpha * ss_cuda_row<real>(x, lane, row)[col];
        real *out = ss_cuda_row<real>(y, lane, row) + col;
        *out = beta != 0 ? value + beta * *out : value;
    }
};

/* z (+)= alpha x + beta y */
template <typename real> struct sum_of_two {
    ss_matrix       x, y, z;
    real            alpha, beta;
    bool            accumulate;
    __device__ void operator()(int64_t lane, int64_t row, int64_t col) const
    {
        real value =
            alpha * ss_cuda_row<real>(x, lane, row)[col] + beta * ss_cuda_row<real>(y, lane, row)[col];
        real *out = ss_cuda_row<real>(z, lane, row) + col;
        *out = accumulate ? value + *out : value;
    }
};

/* z := alpha x o y (+ beta z) */
template <typename real> struct multiply_element {
    ss_matrix       x, y, z;
    real            alpha, beta;
    __device__ void operator()(int64_t lane, int64_t row, int64_t col) const
    {
        real  value = alpha * ss_cuda_row<real>(x, lane, row)[col] * ss_cuda_row<real>(y, lane, row)[col];
        real *out = ss_cuda_row<real>(z, lane, row) + col;
        *out = beta != 0 ? value + beta * *out : value;
    }
};

template <typename real>
ss_status ss_cuda_add(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x,
                      double beta, const ss_matrix *y)
{
    SS_RETURN(ss_cuda_enter(b, &q));
    const add_element<real> f = { ss_cuda_operand(x, y->rows), *y, (real)alpha, (real)beta };
    const bool              flat = ss_cuda_flat(&f.x) && ss_cuda_flat(y);
    return flat ? ss_cuda_map(q, lanes, 1, y->rows * y->cols, f) : ss_cuda_map(q, lanes, y->rows, y->cols, f);
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
    const bool flat = ss_cuda_flat(&f.x) && ss_cuda_flat(&f.y) && ss_cuda_flat(z);
    return flat ? ss_cuda_map(q, lanes, 1, z->rows * z->cols, f) : ss_cuda_map(q, lanes, z->rows, z->cols, f);
}
SS_CUDA_INSTANTIATE(sum)

template <typename real>
ss_status ss_cuda_multiply(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x,
                           const ss_matrix *y, double beta, const ss_matrix *z)
{
    SS_RETURN(ss_cuda_enter(b, &q));
    const multiply_element<real> f = { ss_cuda_operand(x, z->rows), ss_cuda_operand(y, z->rows), *z,
                                       (real)alpha, (real)beta };
    const bool                   flat = ss_cuda_flat(&f.x) && ss_cuda_flat(&f.y) && ss_cuda_flat(z);
    return flat ? ss_cuda_map(q, lanes, 1, z->rows * z->cols, f) : ss_cuda_map(q, lanes, z->rows, z->cols, f);
}
SS_CUDA_INSTANTIATE(multiply)

template <typename real> struct sum_element {
    static const int terms = 1;
    ss_matrix        x;
    __device__ void  operator()(int64_t lane, int64_t row, int64_t col, double *sum) const
    {
        sum[0] += (double)ss_cuda_row<real>(x, lane, row)[col];
    }
};

template <typename real>
ss_status ss_cuda_column_sum(ss_backend *b, ss_queue *q, int64_t lanes, const ss_matrix *x, bool accumulate,
                             const ss_matrix *y)
{
    void                   *share = nullptr;
    const sum_element<real> f = { *x };
    SS_RETURN(ss_cuda_enter(b, &q));
    SS_RETURN(ss_cuda_scratch(q, 8 * ss_column_scratch(1, lanes, x->rows, x->cols), &share));
    return ss_cuda_column_sums<real>(q, lanes, x->rows, x->cols, f, static_cast<double *>(share), &y,
                                     &accumulate);
}
SS_CUDA_INSTANTIATE(column_sum)
