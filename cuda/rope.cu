/* Rotary positions: one thread per pack of pairs, or of elements that are copied. Bound by memory. */
#include "map.cuh"

template <typename real> struct rotate_element {
    ss_matrix        table;
    ss_heads         x, y;
    int64_t          half;
    real             sign; /* of the angles */
    bool             accumulate;
    __device__ real *at(const ss_heads &h, int64_t lane, int64_t batch, int64_t token, int64_t head) const
    {
        return static_cast<real *>(h.data) + lane * h.lane_stride + batch * h.batch_stride +
               token * h.token_stride + head * h.head_stride;
    }
    template <int N> __device__ void put(real *to, ss_pack<real, N> value) const
    {
        if (accumulate) {
            const ss_pack<real, N> old = ss_load<N>(to);
            for (int v = 0; v < N; v++) value[v] = old[v] + value[v];
        }
        ss_store<N>(to, value);
    }
    template <int N> __device__ void at(int64_t lane, int64_t row, int64_t col) const
    {
        const int64_t head = row % y.heads, place = row / y.heads, token = place % y.tokens,
                      batch = place / y.tokens;
        const real *from = at(x, lane, batch, token, head);
        real       *to = at(y, lane, batch, token, head);
        if (col >= half) {
            put(to + col + half, ss_load<N>(from + col + half));
            return;
        }
        const real            *angles = ss_cuda_row<real>(table, 0, token);
        const ss_pack<real, N> c = ss_load<N>(angles + col), s = ss_load<N>(angles + half + col);
        const ss_pack<real, N> a = ss_load<N>(from + col), b = ss_load<N>(from + col + half);
        ss_pack<real, N>       first, second;
        for (int v = 0; v < N; v++) {
            first[v] = a[v] * c[v] - b[v] * (sign * s[v]);
            second[v] = b[v] * c[v] + a[v] * (sign * s[v]);
        }
        put(to + col, first);
        put(to + col + half, second);
    }
};

/* Does every head begin at a multiple of 16 bytes? */
template <typename real> static bool aligned_heads(const ss_heads *h)
{
    const int64_t pack = ss_pack_length<real>;
    return reinterpret_cast<uintptr_t>(h->data) % SS_PACK_BYTES == 0 && h->batch_stride % pack == 0 &&
           h->token_stride % pack == 0 && h->head_stride % pack == 0 && h->lane_stride % pack == 0;
}

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
    const bool aligned = half % ss_pack_length<real> == 0 && ss_cuda_aligned<real>(table, 1, false) &&
                         aligned_heads<real>(x) && aligned_heads<real>(y);
    return ss_cuda_map_packs<real>(q, lanes, y->batch * y->tokens * y->heads, y->dim - half, aligned, f);
}
SS_CUDA_INSTANTIATE(rope)
