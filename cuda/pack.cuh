/* Packs: elements next to each other that a thread moves by one access, 16 bytes where the addresses allow
 * it.
 *
 * A kernel that is bound by memory must have about 40 KB on their way per multiprocessor (3.35 TB/s times the
 * 0.8 us of an H100 under load, over 132 multiprocessors; an A100 needs no more): 2048 threads that wait for
 * 4 bytes each have 8, with 16 bytes 32, and most kernels load several operands before they use the first.
 * Packs also share the arithmetic of indices.
 *
 * Operands are walked in packs of SS_PACK elements if every one of them begins at a multiple of 16 bytes in
 * every row and lane that is visited; otherwise element by element. Sums over rows may then run in another
 * order: where operands lie counts among what the bits of a result depend on, as their strides do. */
#ifndef SS_CUDA_PACK_CUH
#define SS_CUDA_PACK_CUH

#include "cuda.cuh"

#define SS_PACK_BYTES 16

/* Elements of a pack of 16 bytes. */
template <typename real> constexpr int ss_pack_length = SS_PACK_BYTES / (int)sizeof(real);

template <typename real, int N> struct alignas(N * sizeof(real)) ss_pack {
    real                                   e[N];
    __device__ __forceinline__ real       &operator[](int i) { return e[i]; }
    __device__ __forceinline__ const real &operator[](int i) const { return e[i]; }
};

/* Through references: clang's sanitizer looks at the alignment of those, not of a copy. */
template <int N, typename real> static __device__ __forceinline__ ss_pack<real, N> ss_load(const real *from)
{
    const ss_pack<real, N> &at = *reinterpret_cast<const ss_pack<real, N> *>(from);
    return at;
}

template <int N, typename real>
static __device__ __forceinline__ void ss_store(real *to, const ss_pack<real, N> &value)
{
    ss_pack<real, N> &at = *reinterpret_cast<ss_pack<real, N> *>(to);
    at = value;
}

/* N times the same. */
template <int N, typename real> static __device__ __forceinline__ ss_pack<real, N> ss_filled(real value)
{
    ss_pack<real, N> pack;
    for (int i = 0; i < N; i++) pack[i] = value;
    return pack;
}

/* N elements of a matrix from (lane, row, col) on; zeros if it is absent. */
template <int N, typename real>
static __device__ __forceinline__ ss_pack<real, N> ss_load(const ss_matrix &m, int64_t lane, int64_t row,
                                                           int64_t col)
{
    return m.data ? ss_load<N>(ss_cuda_row<real>(m, lane, row) + col) : ss_filled<N>((real)0);
}

/* Do the elements of every lane and row that is visited begin at a multiple of 16 bytes? (Those of an absent
 * matrix do.) `flat`: each lane is walked as one row. */
template <typename real> static inline bool ss_cuda_aligned(const ss_matrix *m, int64_t lanes, bool flat)
{
    const int64_t pack = ss_pack_length<real>;
    return !m->data ||
           (reinterpret_cast<uintptr_t>(m->data) % SS_PACK_BYTES == 0 &&
            (flat || m->rows <= 1 || m->ld % pack == 0) && (lanes <= 1 || m->lane_stride % pack == 0));
}

#endif
