/* Products of tiles, the inner loops of attention: a block of threads, a square tile of `side` stationary by
 * `side` passing tokens in registers, operands brought chunk by chunk through shared memory. Plain
 * multiply-adds: every thread owns 4 rows, ss_tiles::across columns of a square tile and as many rows of an
 * output; a body for tensor cores would replace ss_tile_scores and ss_tile_gather and nothing else.
 *
 *     ss_tile_scores   x += A B', A stationary, B passing tokens, summed over the head's dimension
 *     ss_tile_gather   out += X B, X a square tile from registers, B passing tokens, over a slice of columns
 *
 * Shared memory does not grow with the dimension: a head of any dimension is worked on in slices of `width`
 * columns of the output. All threads of the block take part in every call; both functions begin with a
 * barrier, so that calls may follow each other. */
#ifndef SS_CUDA_TILES_CUH
#define SS_CUDA_TILES_CUH

#include "cuda.cuh"

#define SS_TILE_LANES 16 /* threads side by side in a row of a tile */
#define SS_TILE_OWN   4  /* rows of a thread */
#define SS_TILE_DEPTH 32 /* of a chunk: dimensions of scores, tokens of a gathered sum */

template <typename real_, int side_, int width_> struct ss_tiles {
    using real = real_;
    static constexpr int side = side_, width = width_;
    static constexpr int down = side / SS_TILE_OWN;       /* threads below each other */
    static constexpr int threads = down * SS_TILE_LANES;  /* of a block */
    static constexpr int across = side / SS_TILE_LANES;   /* columns of a thread in a square tile */
    static constexpr int columns = width / SS_TILE_LANES; /* ... in an output */
    static constexpr int pitch = SS_TILE_DEPTH + 1;       /* of a row of a chunk of scores */
    static constexpr int square = side * (side + 1);      /* shared elements: a square tile */
    static constexpr int chunk =
        2 * side * pitch > SS_TILE_DEPTH *width ? 2 * side *pitch : SS_TILE_DEPTH *width;
};

static __device__ __forceinline__ int64_t ss_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Tokens of one head of one lane; data NULL: absent. */
template <typename real> struct ss_strip {
    const real *data;
    int64_t     stride; /* elements between tokens */
};

/* Statistics of rows (L, mu, D) from number `first` on; an absent array stays absent. */
template <typename real> static __device__ __forceinline__ real *ss_statistics_at(void *data, int64_t first)
{
    return data ? static_cast<real *>(data) + first : nullptr;
}

template <typename real>
static __device__ __forceinline__ ss_strip<real> ss_strip_of(const ss_heads &h, int64_t lane, int64_t batch,
                                                             int64_t head)
{
    const real *data = static_cast<const real *>(h.data);
    if (data) data += lane * h.lane_stride + batch * h.batch_stride + head * h.head_stride;
    return { data, h.token_stride };
}

/* A block at work. */
template <typename S> struct ss_tile_block {
    typename S::real *chunk, *square; /* shared: [S::chunk], [S::square] */
    int64_t           tokens, dim;
    int               x, y; /* of this thread: first column, first row */
};

template <typename S>
static __device__ __forceinline__ ss_tile_block<S>
ss_tile_begin(typename S::real *chunk, typename S::real *square, int64_t tokens, int64_t dim)
{
    return { chunk, square, tokens, dim, (int)threadIdx.x % SS_TILE_LANES, (int)threadIdx.x / SS_TILE_LANES };
}

/* Dimensions [from, from + deep) of `side` tokens; zeros up to `padded`, and for tokens behind the last. */
template <typename S>
static __device__ __forceinline__ void ss_tile_load(const ss_tile_block<S>           &w,
                                                    const ss_strip<typename S::real> &a, int64_t token,
                                                    int64_t from, int deep, int padded, typename S::real *to)
{
    const int64_t count = w.tokens - token;
    for (int e = (int)threadIdx.x; e < S::side * SS_TILE_DEPTH; e += S::threads) {
        const int row = e / SS_TILE_DEPTH, k = e % SS_TILE_DEPTH;
        if (k < padded)
            to[row * S::pitch + k] =
                row < count && k < deep ? a.data[(token + row) * a.stride + from + k] : 0;
    }
}

template <typename S>
static __device__ void ss_tile_scores(const ss_tile_block<S> &w, const ss_strip<typename S::real> &a,
                                      int64_t a_token, const ss_strip<typename S::real> &b, int64_t b_token,
                                      typename S::real (&x)[SS_TILE_OWN][S::across])
{
    using real = typename S::real;
    real *const left = w.chunk, *const right = w.chunk + S::side * S::pitch;
    for (int64_t from = 0; from < w.dim; from += SS_TILE_DEPTH) {
        const int deep = (int)ss_least(SS_TILE_DEPTH, w.dim - from), padded = (deep + 3) / 4 * 4;
        __syncthreads();
        ss_tile_load<S>(w, a, a_token, from, deep, padded, left);
        ss_tile_load<S>(w, b, b_token, from, deep, padded, right);
        __syncthreads();
        for (int first = 0; first < padded; first += 4)
            for (int k = first; k < first + 4; k++) {
                real own[SS_TILE_OWN], other[S::across];
                for (int i = 0; i < SS_TILE_OWN; i++) own[i] = left[(w.y + i * S::down) * S::pitch + k];
                for (int j = 0; j < S::across; j++)
                    other[j] = right[(w.x + j * SS_TILE_LANES) * S::pitch + k];
                for (int i = 0; i < SS_TILE_OWN; i++)
                    for (int j = 0; j < S::across; j++) x[i][j] += own[i] * other[j];
            }
    }
}

/* Columns [column, column + S::width) of the output, as far as the head has them. */
template <typename S>
static __device__ void ss_tile_gather(const ss_tile_block<S> &w,
                                      const typename S::real (&x)[SS_TILE_OWN][S::across],
                                      const ss_strip<typename S::real> &b, int64_t token, int64_t column,
                                      typename S::real (&out)[SS_TILE_OWN][S::columns])
{
    using real = typename S::real;
    const int64_t cols = ss_least(S::width, w.dim - column);
    for (int64_t from = 0; from < S::side && token + from < w.tokens; from += SS_TILE_DEPTH) {
        const int most = S::side < SS_TILE_DEPTH ? S::side : SS_TILE_DEPTH;
        const int deep = (int)ss_least(most, w.tokens - token - from);
        __syncthreads();
        if (from == 0)
            for (int i = 0; i < SS_TILE_OWN; i++)
                for (int j = 0; j < S::across; j++)
                    w.square[(w.y + i * S::down) * (S::side + 1) + w.x + j * SS_TILE_LANES] = x[i][j];
        for (int e = (int)threadIdx.x; e < deep * S::width; e += S::threads) {
            const int k = e / S::width, j = e % S::width;
            w.chunk[e] = j < cols ? b.data[(token + from + k) * b.stride + column + j] : 0;
        }
        __syncthreads();
        for (int k = 0; k < deep; k++) {
            real own[SS_TILE_OWN];
            for (int i = 0; i < SS_TILE_OWN; i++)
                own[i] = w.square[(w.y + i * S::down) * (S::side + 1) + (int)from + k];
            for (int j = 0; j < S::columns; j++) {
                const real other = w.chunk[k * S::width + w.x + j * SS_TILE_LANES];
                for (int i = 0; i < SS_TILE_OWN; i++) out[i][j] += own[i] * other;
            }
        }
    }
}

/* Every x[i] becomes f of it over the SS_TILE_LANES threads of its row, in a fixed order. */
template <typename real, typename F> static __device__ void ss_tile_row_reduce(real (&x)[SS_TILE_OWN], F f)
{
    for (int i = 0; i < SS_TILE_OWN; i++)
        for (int offset = SS_TILE_LANES / 2; offset > 0; offset /= 2)
            x[i] = f(x[i], __shfl_xor_sync(0xffffffffu, x[i], offset, SS_TILE_LANES));
}

/* Rows of tokens `token` + ... of a head: to (+)= scale[i] out */
template <typename S>
static __device__ void
ss_tile_store(const ss_tile_block<S> &w, const typename S::real (&out)[SS_TILE_OWN][S::columns],
              const typename S::real (&scale)[SS_TILE_OWN], const ss_strip<typename S::real> &to,
              int64_t token, int64_t column, bool accumulate)
{
    using real = typename S::real;
    real *const base = const_cast<real *>(to.data);
    for (int i = 0; i < SS_TILE_OWN; i++)
        for (int j = 0; j < S::columns; j++) {
            const int64_t row = token + w.y + i * S::down, col = column + w.x + j * SS_TILE_LANES;
            if (row >= w.tokens || col >= w.dim) continue;
            real *at = base + row * to.stride + col;
            *at = accumulate ? *at + scale[i] * out[i][j] : scale[i] * out[i][j];
        }
}

#endif
