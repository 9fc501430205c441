/* Norms, inside: a row of an operand as a thread sees it, sums over a row, and where a block adds up columns.
 * For norm.cu, which explains the plan. */
#ifndef SS_CUDA_NORM_CUH
#define SS_CUDA_NORM_CUH

#include "pack.cuh"
#include "reduce.cuh"

/* ---- A row at work ---- */

/* First column of pack e of this thread. */
template <int N> static __device__ __forceinline__ int64_t column_of(int e)
{
    return ((int64_t)e * blockDim.x + threadIdx.x) * N;
}

/* f(e, j) for the packs of this thread, j the first column: E at most, any number if E = 0. */
template <int N, int E, typename F> static __device__ __forceinline__ void each_pack(int64_t n, F f)
{
    if (E > 0) {
        for (int e = 0; e < E; e++)
            if (column_of<N>(e) < n) f(e, column_of<N>(e));
    } else {
        for (int e = 0; column_of<N>(e) < n; e++) f(e, column_of<N>(e));
    }
}

/* An operand's row: E packs a thread in registers. Zeros where it is absent. */
template <typename real, int N, int E> struct operand {
    ss_pack<real, N>           held[E];
    __device__ __forceinline__ operand(const real *row, int64_t n)
    {
        for (int e = 0; e < E; e++)
            held[e] = row && column_of<N>(e) < n ? ss_load<N>(row + column_of<N>(e)) : ss_filled<N>((real)0);
    }
    __device__ __forceinline__ ss_pack<real, N> at(int e, int64_t) const { return held[e]; }
};

/* ... read from memory whenever it is asked for. */
template <typename real, int N> struct operand<real, N, 0> {
    const real                *row;
    __device__ __forceinline__ operand(const real *from, int64_t) : row(from) {}
    __device__ __forceinline__ ss_pack<real, N> at(int, int64_t j) const
    {
        return row ? ss_load<N>(row + j) : ss_filled<N>((real)0);
    }
};

/* N elements from column j on of a row of parameters, in float64. */
template <typename real, int N>
static __device__ __forceinline__ ss_pack<double, N> parameters_at(const real *row, int64_t j, double absent,
                                                                   double offset)
{
    ss_pack<double, N> wide = ss_filled<N>(absent);
    if (row) {
        const ss_pack<real, N> narrow = ss_load<N>(row + j);
        for (int v = 0; v < N; v++) wide[v] = (double)narrow[v] + offset;
    }
    return wide;
}

/* gain + offset, 1 without a gain */
template <typename real, int N>
static __device__ __forceinline__ ss_pack<double, N> scale_at(const ss_norm &p, int64_t j)
{
    return parameters_at<real, N>(static_cast<const real *>(p.gain.data), j, 1, p.gain_offset);
}

template <typename real, int N>
static __device__ __forceinline__ void put(real *to, const ss_pack<double, N> &value, bool accumulate)
{
    ss_pack<real, N> out = accumulate ? ss_load<N>(to) : ss_filled<N>((real)0);
    for (int v = 0; v < N; v++) out[v] = (real)(accumulate ? (double)out[v] + value[v] : value[v]);
    ss_store<N>(to, out);
}

/* A row's z = r x + shift, shift = -r mean, and what its sums become. */
struct statistics {
    double            r, shift;
    double            share; /* 1 / columns */
    bool              centered;
    __device__ double z(double x) const { return r * x + shift; }
    /* The mean of a centred norm, 0 otherwise. */
    __device__ double center(double sum) const { return centered ? sum * share : 0; }
};

/* ... as saved */
template <typename real>
static __device__ statistics load_statistics(const ss_norm &p, int64_t i, double share)
{
    const real  *saved = ss_cuda_row<real>(p.saved, 0, i);
    const double mean = (double)saved[0], r = (double)saved[1];
    return { r, -r * mean, share, p.centered };
}

/* Sums over the threads of a row. */
template <int M> static __device__ __forceinline__ void row_sum(double (&value)[M], double *shared)
{
    if (blockDim.x == SS_WARP)
        ss_warp_sum(value);
    else
        ss_block_sum(value, shared);
}

/* ---- Rows and column sums of a block ---- */

/* Which rows a block has, and where it adds up columns. Element v of pack e lies in the slot (e N + v)
 * threads + thread: a thread's slots are its own, and neighbours touch neighbouring words. */
struct totals {
    double *share; /* device [terms, blocks, lanes, slots]; NULL = no sums */
    int64_t rows;  /* of a run; groups of threads take them in turns */
    int64_t lanes, slots;
    int     gain, bias, terms; /* place of each among the terms; -1 = not wanted */
    bool    in_shared;         /* the block adds up in shared memory [groups, terms, lanes, slots] */

    __device__ int64_t first() const { return share ? blockIdx.x * rows + threadIdx.y : turn(); }
    __device__ int64_t step() const { return share ? blockDim.y : (int64_t)gridDim.x * blockDim.y; }
    __device__ int64_t end(int64_t all) const
    {
        return share && (blockIdx.x + 1) * rows < all ? (blockIdx.x + 1) * rows : all;
    }
    static __device__ int64_t turn() { return (int64_t)blockIdx.x * blockDim.y + threadIdx.y; }

    __device__ double *share_of(int term) const
    {
        return share + (term * gridDim.x + blockIdx.x) * lanes * slots;
    }
    /* Where this thread's group adds up a term of a lane; NULL = not wanted. */
    __device__ double *sums(int term, int64_t lane, double *shared) const
    {
        if (!share || term < 0) return nullptr;
        return (in_shared ? shared + (threadIdx.y * terms + term) * lanes * slots : share_of(term)) +
               lane * slots;
    }
    __device__ void clear(double *shared) const
    {
        for (int term = 0; share && term < terms; term++)
            for (int64_t k = threadIdx.x; k < lanes * slots; k += blockDim.x) sums(term, 0, shared)[k] = 0;
    }
    /* From shared memory to the share, the groups in order. */
    __device__ void close(const double *shared) const
    {
        if (!share || !in_shared) return;
        if (blockDim.y > 1) __syncthreads();
        for (int term = 0; term < terms; term++)
            for (int64_t k = threadIdx.y * blockDim.x + threadIdx.x; k < lanes * slots;
                 k += blockDim.x * blockDim.y) {
                double sum = 0;
                for (unsigned group = 0; group < blockDim.y; group++)
                    sum += shared[(group * terms + term) * lanes * slots + k];
                share_of(term)[k] = sum;
            }
    }
};

/* What the slots hold: for the kernel that adds the shares. */
struct slot_order {
    int64_t            threads;
    int                pack;
    __device__ int64_t column(int64_t slot) const
    {
        const int64_t thread = slot % threads, element = slot / threads;
        return (element / pack * threads + thread) * pack + element % pack;
    }
};

template <int N> static __device__ __forceinline__ int64_t slot_of(int e, int v)
{
    return (int64_t)(e * N + v) * blockDim.x + threadIdx.x;
}

#endif
