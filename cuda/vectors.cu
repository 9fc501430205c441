/* Long vectors: float64 accumulation. A vector is cut in blocks by its length alone; partial sums of a block
 * go to scratch, a second kernel adds them in order. Coefficients travel by way of pinned memory. */
#include "map.cuh"
#include "reduce.cuh"

#include "base/philox.h"

#define THREADS     256
#define BLOCKS      1024 /* at most */
#define BLOCK_LEAST 4096 /* elements of a block at least */
#define DOTS        8    /* columns handled in one pass over w */

/* Elements of a block, a multiple of the threads. */
static int64_t block_length(int64_t n)
{
    return ss_round_up(ss_max64(BLOCK_LEAST, ss_cuda_blocks(n, BLOCKS)), THREADS);
}

static __device__ __forceinline__ int64_t block_end(int64_t begin, int64_t length, int64_t n)
{
    return begin + length < n ? begin + length : n;
}

/* ---- Dots ---- */

/* partial[block, j] := v_j . w over the block; blockIdx.y counts groups of COUNT columns */
template <typename real, int COUNT>
static __global__ void __launch_bounds__(THREADS)
    dot_blocks(int64_t n, int64_t k, const real *__restrict__ v, int64_t ldv, const real *__restrict__ w,
               int64_t length, double *__restrict__ partial)
{
    SS_SHARED(double, shared, COUNT *SS_BLOCK_SUM);
    const int64_t begin = (int64_t)blockIdx.x * length, end = block_end(begin, length, n);
    const int64_t first = (int64_t)blockIdx.y * COUNT;
    double        sum[COUNT] = {};
    for (int64_t i = begin + threadIdx.x; i < end; i += THREADS) {
        const double y = (double)w[i];
        for (int j = 0; j < COUNT; j++)
            if (first + j < k) sum[j] += (double)v[(first + j) * ldv + i] * y;
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
    double    *partial = static_cast<double *>(scratch), *result = partial + blocks * k;
    const dim3 grid((unsigned)blocks, k == 1 ? 1u : (unsigned)ss_cuda_blocks(k, DOTS));
    if (k == 1)
        SS_CUDA_LAUNCH(b->context, (dot_blocks<real, 1>), grid, THREADS, 0, q->stream, n, k, columns, ldv,
                       right, length, partial);
    else
        SS_CUDA_LAUNCH(b->context, (dot_blocks<real, DOTS>), grid, THREADS, 0, q->stream, n, k, columns, ldv,
                       right, length, partial);
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
    int64_t         k, ldv;
    const real     *v;
    const double   *h; /* device, [k] */
    double          beta;
    real           *w;
    __device__ void operator()(int64_t, int64_t, int64_t i) const
    {
        double sum = beta == 0 ? 0 : beta * (double)w[i];
        for (int64_t j = 0; j < k; j++) sum += h[j] * (double)v[j * ldv + i];
        w[i] = (real)sum;
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
    return ss_cuda_map_vector(q, n, f);
}
SS_CUDA_INSTANTIATE(block_axpy)

#define TILE_BYTES  49152 /* of shared memory, on every device */
#define TILE_ROWS   32    /* at most: a warp's row of elements */
#define TILE_COLUMN 4     /* results of a thread at a time */

/* V[rows, 0..l) := V[rows, 0..k) S for blocks of `tile` rows: all of V's rows are in shared memory before any
 * result is written. */
template <typename real>
static __global__ void __launch_bounds__(THREADS)
    combine_rows(int64_t n, int64_t k, int64_t l, real *v, int64_t ldv, const double *__restrict__ s,
                 int tile)
{
    SS_DYNAMIC_SHARED(real, rows); /* [k, tile] */
    const int64_t row = threadIdx.x % (unsigned)tile, group = threadIdx.x / (unsigned)tile;
    const int64_t groups = THREADS / tile;
    for (int64_t first = (int64_t)blockIdx.x * tile; first < n; first += (int64_t)gridDim.x * tile) {
        const bool inside = first + row < n;
        for (int64_t j = group; j < k; j += groups)
            if (inside) rows[j * tile + row] = v[j * ldv + first + row];
        __syncthreads();
        for (int64_t c = group * TILE_COLUMN; c < l; c += groups * TILE_COLUMN) {
            double sum[TILE_COLUMN] = {};
            for (int64_t j = 0; inside && j < k; j++) {
                const double x = (double)rows[j * tile + row];
                for (int i = 0; i < TILE_COLUMN; i++)
                    if (c + i < l) sum[i] += x * s[j * l + c + i];
            }
            for (int i = 0; i < TILE_COLUMN; i++)
                if (inside && c + i < l) v[(c + i) * ldv + first + row] = (real)sum[i];
        }
        __syncthreads();
    }
}

template <typename real>
ss_status ss_cuda_block_combine(ss_backend *b, ss_queue *q, int64_t n, int64_t k, int64_t l, void *v,
                                int64_t ldv, const double *s)
{
    void *coefficients = nullptr;
    int   tile = TILE_ROWS;
    if (n == 0 || l == 0) return SS_OK;
    while (tile > 1 && k * tile * (int64_t)sizeof(real) > TILE_BYTES) tile /= 2;
    if (k * tile * (int64_t)sizeof(real) > TILE_BYTES)
        return ss_fail(b->context, SS_ERROR_REFUSED,
                       "block_combine: %lld columns; the device takes %d at most", (long long)k,
                       TILE_BYTES / (int)sizeof(real));
    SS_RETURN(ss_cuda_enter(b, &q));
    SS_RETURN(ss_cuda_scratch(q, k * l * (int64_t)sizeof(double), &coefficients));
    SS_RETURN(ss_cuda_stage(q, coefficients, s, k * l * (int64_t)sizeof(double)));
    const unsigned blocks = (unsigned)ss_min64(ss_cuda_blocks(n, tile), 1 << 16);
    SS_CUDA_LAUNCH(b->context, (combine_rows<real>), blocks, THREADS, k * tile * (int64_t)sizeof(real),
                   q->stream, n, k, l, static_cast<real *>(v), ldv, static_cast<const double *>(coefficients),
                   tile);
    return SS_OK;
}
SS_CUDA_INSTANTIATE(block_combine)

/* y := alpha x + beta y */
template <typename real> struct axpby_element {
    double          alpha;
    const real     *x; /* NULL = 0 */
    double          beta;
    real           *y;
    __device__ void operator()(int64_t, int64_t, int64_t i) const
    {
        double value = x ? alpha * (double)x[i] : 0;
        if (beta != 0) value += beta * (double)y[i];
        y[i] = (real)value;
    }
};

template <typename real>
ss_status ss_cuda_axpby(ss_backend *b, ss_queue *q, int64_t n, double alpha, const void *x, double beta,
                        void *y)
{
    SS_RETURN(ss_cuda_enter(b, &q));
    const axpby_element<real> f = { alpha, static_cast<const real *>(x), beta, static_cast<real *>(y) };
    return ss_cuda_map_vector(q, n, f);
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
