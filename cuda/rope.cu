/* Rotary positions: one thread per pair of elements, or per element that is copied. Bound by memory. */
#include "map.cuh"

template <typename real> struct rotate_element {
    ss_matrix        table;
    ss_heads         x, y;
    int64_t          half;
    real             sign; /* of the angles */
    bool             accumulate;
    __device__ void  put(real *out, real value) const { *out = accumulate ? *out + value : value; }
    __device__ real *at(const ss_heads &h, int64_t lane, int64_t batch, int64_t token, int64_t head) const
    {
        return static_cast<real *>(h.data) + lane * h.lane_stride + batch * h.batch_stride +
               token * h.token_stride + head * h.head_stride;
    }
    __device__ void operator()(int64_t lane, int64_t row, int64_t col) const
    {
        const int64_t head = row % y.heads, token = row / y.heads % y.tokens,
                      batch = row / (y.heads * y.tokens);
        const real *from = at(x, lane, batch, token, head);
        real       *to = at(y, lane, batch, token, head);
        if (col >= half) {
            put(to + col + half, from[col + half]);
            return;
        }
        const real *angles = ss_cuda_row<real>(table, 0, token);
        const real  c = angles[col], s = sign * angles[half + col], a = from[col], b = from[col + half];
        put(to + col, a * c - b * s);
        put(to + col + half, b * c + a * s);
    }
};

template <typename real>
ss_status ss_cuda_rope(ss_backend *b, ss_queue *q, int64_t lanes, bool inverse, const ss_matrix *table,
                       const ss_heads *x, bool accumulate, const ss_heads *y)
{
    if (table->cols % 2 != 0 || table->cols > x->dim || table->rows < x->tokens || x->dim != y->dim ||
        x->heads != y->heads || x->tokens != y->tokens || x->batch != y->batch)
        return ss_fail(b->context, SS_ERROR_INTERNAL, "rope: a table of %lld x %lld for %lld tokens of %lld",
                       (long long)table->rows, (long long)table->cols, (long long)x->tokens,
                       (long long)x->dim);
    SS_RETURN(ss_cuda_enter(b, &q));
    const int64_t              half = table->cols / 2;
    const rotate_element<real> f = { *table, *x, *y, half, (real)(inverse ? -1 : 1), accumulate };
    return ss_cuda_map(q, lanes, y->batch * y->tokens * y->heads, y->dim - half, f);
}
SS_CUDA_INSTANTIATE(rope)
