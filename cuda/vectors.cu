/* Long vectors: float64 accumulation. A vector is cut in blocks by its length alone; partial sums of a block
 * go to scratch, a second kernel adds them in order. Coefficients travel by way of pinned memory. */
#include "map.cuh"
#include "reduce.cuh"

#include "base/philox.h"

#define THREADS     256
#define BLOCKS      1024 /* at most */
#define BLOCK_LEAST 4096 /* elements of a block at least */
#define DOTS        8    /* columns handled in one pass over w */

/* Elements of a block, a multiple of what the threads take at once. */
static int64_t block_length(int64_t n)
{
    return ss_round_up(ss_max64(BLOCK_LEAST, ss_cuda_blocks(n, BLOCKS)), THREADS * ss_pack_length<float>);
}

/* Do columns `ld` apart all begin at a multiple of 16 bytes? */
template <typename real> static bool aligned_columns(const void *v, int64_t k, int64_t ld)
{
    return reinterpret_cast<uintptr_t>(v) % SS_PACK_BYTES == 0 && (k <= 1 || ld % ss_pack_length<real> == 0);
}

static __device__ __forceinline__ int64_t block_end(int64_t begin, int64_t length, int64_t n)
{
    return begin + length < n ? begin + length : n;
}

/* ---- Dots ---- */

/* N elements at 16 bytes, or one by one. */
template <int N, bool aligned, typename real>
static __device__ __forceinline__ ss_pack<real, N> load_elements(const real *from)
{
    ss_pack<real, N> pack;
    if constexpr (aligned)
        pack = ss_load<N>(from);
    else
        for (int e = 0; e < N; e++) pack[e] = from[e];
    return pack;
}

/* sum[j] += v_j . w over N elements from i on, for up to COUNT columns from v on. All loads are on their way
 * before the first is used: 9 times 16 bytes a thread. */
template <int N, bool aligned, typename real, int COUNT>
static __device__ __forceinline__ void add_products(int64_t columns, const real *v, int64_t ldv,
                                                    const real *w, int64_t i, double (&sum)[COUNT])
{
    const ss_pack<real, N> y = load_elements<N, aligned>(w + i);
    ss_pack<real, N>       x[COUNT];
    for (int j = 0; j < COUNT; j++)
        x[j] = j < columns ? load_elements<N, aligned>(v + j * ldv + i) : ss_filled<N>((real)0);
    for (int j = 0; j < COUNT; j++)
        for (int e = 0; e < N; e++) sum[j] += (double)x[j][e] * (double)y[e];
}

/* partial[block, j] := v_j . w over the block; blockIdx.y counts groups of COUNT columns. A thread takes
 * packs, whether they are aligned or not, so that a dot has the same bits wherever its vectors lie. */
template <typename real, int COUNT, bool aligned>
static __global__ void __launch_bounds__(THREADS, 2)
    dot_blocks(int64_t n, int64_t k, const real *__restrict__ v, int64_t ldv, const real *__restrict__ w,
               int64_t length, double *__restrict__ partial)
{
    SS_SHARED(double, shared, COUNT *SS_BLOCK_SUM);
    const int     N = ss_pack_length<real>;
    const int64_t begin = (int64_t)blockIdx.x * length, end = block_end(begin, length, n);
    const int64_t first = (int64_t)blockIdx.y * COUNT;
    const real   *columns = v + first * ldv;
    double        sum[COUNT] = {};
    for (int64_t i = begin + (int64_t)threadIdx.x * N; i < end; i += THREADS * N) {
        if (i + N <= end)
            add_products<N, aligned>(k - first, columns, ldv, w, i, sum);
        else
            for (int64_t rest = i; rest < end; rest++)
                add_products<1, false>(k - first, columns, ldv, w, rest, sum);
    }
    ss_block_sum(sum, shared);
    if (threadIdx.x == 0)
        for (int j = 0; j < COUNT; j++)
            if (first + j < k) partial[blockIdx.x * k + first + j] = sum[j];
}

/* h[j] := sum over blocks of partial[block, j]; a block of threads for each j */
static __global__ void __launch_bounds__(THREADS)
    add_partials(int64_t blocks, int64_t k, const double *partial, double *h)
{
    SS_SHARED(double, shared, SS_BLOCK_SUM);
    const int64_t j = blockIdx.x;
    double        sum = 0;
    for (int64_t block = threadIdx.x; block < blocks; block += blockDim.x) sum += partial[block * k + j];
    sum = ss_block_sum_of(sum, shared);
    if (threadIdx.x == 0) h[j] = sum;
}

template <typename real, int COUNT>
static ss_status launch_count(ss_queue *q, int64_t n, int64_t k, const real *v, int64_t ldv, const real *w,
                              int64_t length, int64_t blocks, double *partial)
{
    const dim3 grid((unsigned)blocks, (unsigned)ss_cuda_blocks(k, COUNT));
    if (aligned_columns<real>(v, k, ldv) && aligned_columns<real>(w, 1, n))
        SS_CUDA_LAUNCH(q->device->context, (dot_blocks<real, COUNT, true>), grid, THREADS, 0, q->stream, n, k,
                       v, ldv, w, length, partial);
    else
        SS_CUDA_LAUNCH(q->device->context, (dot_blocks<real, COUNT, false>), grid, THREADS, 0, q->stream, n,
                       k, v, ldv, w, length, partial);
    return SS_OK;
}

template <typename real>
ss_status ss_cuda_block_dot(ss_backend *b, ss_queue *q, int64_t n, int64_t k, const void *v, int64_t ldv,
                            const void *w, double *h)
{
    const int64_t length = block_length(n), blocks = ss_max64(1, ss_cuda_blocks(n, length));
    const real   *columns = static_cast<const real *>(v), *right = static_cast<const real *>(w);
    void         *scratch = nullptr; /* partial [blocks, k], h [k] */
    if (k == 0) return SS_OK;
    SS_RETURN(ss_cuda_enter(b, &q));
    SS_RETURN(ss_cuda_scratch(q, (blocks * k + k) * (int64_t)sizeof(double), &scratch));
    double *partial = static_cast<double *>(scratch), *result = partial + blocks * k;
    if (k == 1)
        SS_RETURN((launch_count<real, 1>(q, n, k, columns, ldv, right, length, blocks, partial)));
    else
        SS_RETURN((launch_count<real, DOTS>(q, n, k, columns, ldv, right, length, blocks, partial)));
    SS_CUDA_LAUNCH(b->context, add_partials, (unsigned)k, ss_row_threads(blocks), 0, q->stream, blocks, k,
                   partial, result);
    return ss_cuda_result(q, h, result, k * (int64_t)sizeof(double));
}
SS_CUDA_INSTANTIATE(block_dot)

template <typename real>
ss_status ss_cuda_dot(ss_backend *b, ss_queue *q, int64_t n, const void *x, const void *y, double *result)
{
    return ss_cuda_block_dot<real>(b, q, n, 1, x, n, y, result);
}
SS_CUDA_INSTANTIATE(dot)

/* ---- Combinations ---- */

/* w := beta w + sum_j h_j v_j */
template <typename real> struct axpy_element {
    int64_t                          k, ldv;
    const real                      *v;
    const double                    *h; /* device, [k] */
    double                           beta;
    real                            *w;
    template <int N> __device__ void at(int64_t, int64_t, int64_t i) const
    {
        ss_pack<real, N> out = beta == 0 ? ss_filled<N>((real)0) : ss_load<N>(w + i);
        double           sum[N];
        for (int e = 0; e < N; e++) sum[e] = beta == 0 ? 0 : beta * (double)out[e];
        for (int64_t j = 0; j < k; j++) {
            const ss_pack<real, N> x = ss_load<N>(v + j * ldv + i);
            for (int e = 0; e < N; e++) sum[e] += h[j] * (double)x[e];
        }
        for (int e = 0; e < N; e++) out[e] = (real)sum[e];
        ss_store<N>(w + i, out);
    }
};

template <typename real>
ss_status ss_cuda_block_axpy(ss_backend *b, ss_queue *q, int64_t n, int64_t k, const void *v, int64_t ldv,
                             const double *h, double beta, void *w)
{
    void *coefficients = nullptr;
    SS_RETURN(ss_cuda_enter(b, &q));
    SS_RETURN(ss_cuda_scratch(q, k * (int64_t)sizeof(double), &coefficients));
    SS_RETURN(ss_cuda_stage(q, coefficients, h, k * (int64_t)sizeof(double)));
    const axpy_element<real> f = { k,
                                   ldv,
                                   static_cast<const real *>(v),
                                   static_cast<double *>(coefficients),
                                   beta,
                                   static_cast<real *>(w) };
    return ss_cuda_map_packs<real>(q, 1, 1, n,
                                   aligned_columns<real>(v, k, ldv) && aligned_columns<real>(w, 1, n), f);
}
SS_CUDA_INSTANTIATE(block_axpy)

#define TILE_BYTES  49152 /* of shared memory, on every device */
#define TILE_PACKS  32    /* packs of rows at most: a warp's load of a column */
#define TILE_COLUMN 4     /* results of a thread and row at a time */

/* V[rows, 0..l) := V[rows, 0..k) S for blocks of `packs` packs of N rows: all of V's rows are in shared
 * memory before any result is written. A thread has N rows and TILE_COLUMN columns of the result: as many
 * products for each number of S and of V that it reads. */
template <typename real, int N>
static __global__ void __launch_bounds__(THREADS)
    combine_rows(int64_t n, int64_t k, int64_t l, real *v, int64_t ldv, const double *__restrict__ s,
                 int packs)
{
    SS_DYNAMIC_SHARED(real, rows); /* [k, packs, N] */
    const int64_t own = threadIdx.x % (unsigned)packs * N, group = threadIdx.x / (unsigned)packs;
    const int64_t groups = THREADS / packs, tile = (int64_t)packs * N;
    for (int64_t first = blockIdx.x * tile; first < n; first += gridDim.x * tile) {
        const int64_t at = first + own;
        for (int64_t j = group; j < k; j += groups) {
            if (at + N <= n)
                ss_store<N>(rows + j * tile + own, ss_load<N>(v + j * ldv + at));
            else
                for (int e = 0; e < N; e++) rows[j * tile + own + e] = at + e < n ? v[j * ldv + at + e] : 0;
        }
        __syncthreads();
        for (int64_t c = group * TILE_COLUMN; c < l; c += groups * TILE_COLUMN) {
            double sum[TILE_COLUMN][N] = {};
            for (int64_t j = 0; j < k; j++) {
                const ss_pack<real, N> x = ss_load<N>(rows + j * tile + own);
                for (int i = 0; i < TILE_COLUMN; i++) {
                    const double factor = c + i < l ? s[j * l + c + i] : 0;
                    for (int e = 0; e < N; e++) sum[i][e] += (double)x[e] * factor;
                }
            }
            for (int i = 0; i < TILE_COLUMN; i++) {
                real            *to = v + (c + i) * ldv + at;
                ss_pack<real, N> out;
                for (int e = 0; e < N; e++) out[e] = (real)sum[i][e];
                if (c + i >= l) break;
                if (at + N <= n)
                    ss_store<N>(to, out);
                else
                    for (int e = 0; e < N && at + e < n; e++) to[e] = out[e];
            }
        }
        __syncthreads();
    }
}

/* Packs of N rows that fit in shared memory; 0 = none. */
template <typename real> static int tile_packs(int64_t k, int64_t N)
{
    int packs = TILE_PACKS;
    while (packs > 0 && k * packs * N * (int64_t)sizeof(real) > TILE_BYTES) packs /= 2;
    return packs;
}

template <typename real>
ss_status ss_cuda_block_combine(ss_backend *b, ss_queue *q, int64_t n, int64_t k, int64_t l, void *v,
                                int64_t ldv, const double *s)
{
    void     *coefficients = nullptr;
    real     *columns = static_cast<real *>(v);
    const int N = ss_pack_length<real>, wide = aligned_columns<real>(v, k, ldv) ? tile_packs<real>(k, N) : 0;
    const int packs = wide ? wide : tile_packs<real>(k, 1);
    if (n == 0 || l == 0) return SS_OK;
    if (packs == 0)
        return ss_fail(b->context, SS_ERROR_REFUSED,
                       "block_combine: %lld columns; the device takes %d at most", (long long)k,
                       TILE_BYTES / (int)sizeof(real));
    SS_RETURN(ss_cuda_enter(b, &q));
    SS_RETURN(ss_cuda_scratch(q, k * l * (int64_t)sizeof(double), &coefficients));
    SS_RETURN(ss_cuda_stage(q, coefficients, s, k * l * (int64_t)sizeof(double)));
    const double  *factors = static_cast<const double *>(coefficients);
    const int64_t  tile = (int64_t)packs * (wide ? N : 1);
    const unsigned blocks = (unsigned)ss_min64(ss_cuda_blocks(n, tile), 1 << 16);
    const size_t   bytes = (size_t)(k * tile) * sizeof(real);
    if (wide)
        SS_CUDA_LAUNCH(b->context, (combine_rows<real, N>), blocks, THREADS, bytes, q->stream, n, k, l,
                       columns, ldv, factors, packs);
    else
        SS_CUDA_LAUNCH(b->context, (combine_rows<real, 1>), blocks, THREADS, bytes, q->stream, n, k, l,
                       columns, ldv, factors, packs);
    return SS_OK;
}
SS_CUDA_INSTANTIATE(block_combine)

/* y := alpha x + beta y */
template <typename real> struct axpby_element {
    double                           alpha;
    const real                      *x; /* NULL = 0 */
    double                           beta;
    real                            *y;
    template <int N> __device__ void at(int64_t, int64_t, int64_t i) const
    {
        const ss_pack<real, N> in = x ? ss_load<N>(x + i) : ss_filled<N>((real)0);
        ss_pack<real, N>       out = beta != 0 ? ss_load<N>(y + i) : ss_filled<N>((real)0);
        for (int e = 0; e < N; e++) {
            double value = x ? alpha * (double)in[e] : 0;
            if (beta != 0) value += beta * (double)out[e];
            out[e] = (real)value;
        }
        ss_store<N>(y + i, out);
    }
};

template <typename real>
ss_status ss_cuda_axpby(ss_backend *b, ss_queue *q, int64_t n, double alpha, const void *x, double beta,
                        void *y)
{
    SS_RETURN(ss_cuda_enter(b, &q));
    const axpby_element<real> f = { alpha, static_cast<const real *>(x), beta, static_cast<real *>(y) };
    return ss_cuda_map_packs<real>(q, 1, 1, n,
                                   aligned_columns<real>(x, 1, n) && aligned_columns<real>(y, 1, n), f);
}
SS_CUDA_INSTANTIATE(axpby)

/* ---- Random vectors ---- */

template <typename real> struct normal_element {
    uint64_t        seed, stream;
    int64_t         first; /* canonical number of x[0] */
    real           *x;
    __device__ void operator()(int64_t, int64_t, int64_t i) const
    {
        x[i] = (real)ss_random_normal(seed, stream, (uint64_t)(first + i));
    }
};

template <typename real>
ss_status ss_cuda_random_normal(ss_backend *b, ss_queue *q, const ss_layout *layout, uint64_t seed,
                                uint64_t stream, void *x)
{
    SS_RETURN(ss_cuda_enter(b, &q));
    SS_RETURN(ss_cuda_zero(b, q, x, layout->padded * (int64_t)sizeof(real)));
    for (int64_t i = 0; i < layout->n_segments; i++) {
        const ss_segment          *segment = layout->segments + i;
        const normal_element<real> f = { seed, stream, segment->canonical,
                                         static_cast<real *>(x) + segment->offset };
        SS_RETURN(ss_cuda_map_vector(q, segment->length, f));
    }
    return SS_OK;
}
SS_CUDA_INSTANTIATE(random_normal)

/* ---- Searches: the same two steps as dots, on integers ---- */

/* First NaN or infinity: x - x is 0 for finite numbers and NaN otherwise. */
template <typename real> struct first_nonfinite {
    const real               *x;
    __device__ int64_t        start() const { return INT64_MAX; }
    __device__ int64_t        at(int64_t i) const { return x[i] - x[i] == 0 ? INT64_MAX : i; }
    static __device__ int64_t join(int64_t a, int64_t b) { return a < b ? a : b; }
};

/* Elements on different sides of zero. */
template <typename real> struct sign_changes {
    const real               *x, *y;
    __device__ int64_t        start() const { return 0; }
    __device__ int64_t        at(int64_t i) const { return (x[i] > 0) != (y[i] > 0); }
    static __device__ int64_t join(int64_t a, int64_t b) { return a + b; }
};

/* Partial results of the first step, as operands of the second. */
template <typename F> struct joined {
    const int64_t            *partial;
    int64_t                   first;
    __device__ int64_t        start() const { return first; }
    __device__ int64_t        at(int64_t i) const { return partial[i]; }
    static __device__ int64_t join(int64_t a, int64_t b) { return F::join(a, b); }
};

/* out[block] := join of f.at over the block's elements */
template <typename F>
static __global__ void __launch_bounds__(THREADS)
    search_blocks(const F f, int64_t n, int64_t length, int64_t *out)
{
    SS_SHARED(int64_t, shared, THREADS);
    const int64_t begin = (int64_t)blockIdx.x * length, end = block_end(begin, length, n);
    int64_t       found = f.start();
    for (int64_t i = begin + threadIdx.x; i < end; i += THREADS) found = F::join(found, f.at(i));
    shared[threadIdx.x] = found;
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            shared[threadIdx.x] = F::join(shared[threadIdx.x], shared[threadIdx.x + half]);
    }
    if (threadIdx.x == 0) out[blockIdx.x] = shared[0];
}

template <typename F>
static ss_status search(ss_backend *b, ss_queue *q, const F &f, int64_t none, int64_t n, int64_t *result)
{
    const int64_t length = block_length(n), blocks = ss_max64(1, ss_cuda_blocks(n, length));
    void         *scratch = nullptr; /* partial [blocks], result */
    SS_RETURN(ss_cuda_enter(b, &q));
    SS_RETURN(ss_cuda_scratch(q, (blocks + 1) * (int64_t)sizeof(int64_t), &scratch));
    int64_t        *partial = static_cast<int64_t *>(scratch);
    const joined<F> second = { partial, none };
    SS_CUDA_LAUNCH(b->context, (search_blocks<F>), (unsigned)blocks, THREADS, 0, q->stream, f, n, length,
                   partial);
    SS_CUDA_LAUNCH(b->context, (search_blocks<joined<F>>), 1, THREADS, 0, q->stream, second, blocks, blocks,
                   partial + blocks);
    return ss_cuda_result(q, result, partial + blocks, sizeof *result);
}

template <typename real>
ss_status ss_cuda_find_nonfinite(ss_backend *b, ss_queue *q, int64_t n, const void *x, int64_t *index)
{
    int64_t                     first = 0;
    const first_nonfinite<real> f = { static_cast<const real *>(x) };
    SS_RETURN(search(b, q, f, INT64_MAX, n, &first));
    *index = first == INT64_MAX ? -1 : first;
    return SS_OK;
}
SS_CUDA_INSTANTIATE(find_nonfinite)

template <typename real>
ss_status ss_cuda_count_sign_changes(ss_backend *b, ss_queue *q, int64_t n, const void *x, const void *y,
                                     int64_t *count)
{
    const sign_changes<real> f = { static_cast<const real *>(x), static_cast<const real *>(y) };
    return search(b, q, f, 0, n, count);
}
SS_CUDA_INSTANTIATE(count_sign_changes)
