/* The register block of a product of tiles and the moves in and out of tiles, at one instruction-set level
 * (tiles.h). The vectors are those of the compilers' vector extension: they become registers of the level. */

typedef real SS_LEVEL(vector) __attribute__((vector_size(SS_LEVEL_BYTES), aligned(sizeof(real)), may_alias));

enum {
    SS_LEVEL(WIDTH) = SS_LEVEL_BYTES / (int)sizeof(real) /* elements of a vector */
};

#define SS_TILE_EACH_ROW(row) row(0) row(1) row(2) row(3) row(4) row(5)

/* C(6 x two vectors) (+)= sum over l < k of A(i, l) B(l, :) */
static inline void SS_LEVEL(register_block)(int64_t k, const real *restrict a, int64_t a_row, int64_t a_col,
                                            const real *restrict b, int64_t ldb, real *restrict c,
                                            int64_t ldc, bool accumulate)
{
#define SS_TILE_LOAD(i) SS_LEVEL(vector) s##i = { 0 }, t##i = { 0 };
#define SS_TILE_BASE(i)                                                                                      \
    s##i = *(const SS_LEVEL(vector) *)(const void *)(c + (i)*ldc);                                           \
    t##i = *(const SS_LEVEL(vector) *)(const void *)(c + (i)*ldc + SS_LEVEL(WIDTH));
#define SS_TILE_STEP_OF(i)                                                                                   \
    {                                                                                                        \
        const real x = a[(i)*a_row];                                                                         \
        s##i += x * u;                                                                                       \
        t##i += x * v;                                                                                       \
    }
#define SS_TILE_STORE(i)                                                                                     \
    *(SS_LEVEL(vector) *)(void *)(c + (i)*ldc) = s##i;                                                       \
    *(SS_LEVEL(vector) *)(void *)(c + (i)*ldc + SS_LEVEL(WIDTH)) = t##i;

    SS_TILE_EACH_ROW(SS_TILE_LOAD)
    if (accumulate) {
        SS_TILE_EACH_ROW(SS_TILE_BASE)
    }
    for (int64_t l = 0; l < k; l++) {
        const SS_LEVEL(vector) u = *(const SS_LEVEL(vector) *)(const void *)b;
        const SS_LEVEL(vector) v = *(const SS_LEVEL(vector) *)(const void *)(b + SS_LEVEL(WIDTH));
        SS_TILE_EACH_ROW(SS_TILE_STEP_OF)
        a += a_col;
        b += ldb;
    }
    SS_TILE_EACH_ROW(SS_TILE_STORE)
#undef SS_TILE_LOAD
#undef SS_TILE_BASE
#undef SS_TILE_STEP_OF
#undef SS_TILE_STORE
}

/* Two vectors of columns at a time: that part of B stays in the first cache while A passes by. */
static void SS_LEVEL(tile_multiply)(const ss_tile_product *p)
{
    const int64_t step = 2 * SS_LEVEL(WIDTH);
    for (int64_t j = 0; j < p->n; j += step)
        for (int64_t i = 0; i < p->m; i += SS_TILE_ROWS) {
            int64_t begin = 0, end = p->k;
            if (p->band != SS_TILE_WHOLE) {
                begin = ss_max64(0, i + p->begin);
                end = ss_min64(p->band == SS_TILE_BAND_N ? p->n : p->k, i + SS_TILE_ROWS - 1 + p->end);
            }
            if (p->band == SS_TILE_BAND_N) {
                if (j >= end || j + step <= begin) continue;
                begin = 0;
                end = p->k;
            }
            SS_LEVEL(register_block)
            (end - begin, p->a + i * p->a_row + begin * p->a_col, p->a_row, p->a_col,
             p->b + begin * p->ldb + j, p->ldb, p->c + i * p->ldc + j, p->ldc, p->accumulate);
        }
}

/* Asks for the rows `first` and behind, up to `end`: they lie far apart, the hardware does not foresee them.
 */
static inline void SS_LEVEL(foresee)(int64_t first, int64_t end, int64_t cols, const real *from,
                                     int64_t stride)
{
    for (int64_t i = first; i < end; i++)
        for (int64_t j = 0; j < cols; j += 64 / (int64_t)sizeof(real))
            __builtin_prefetch(from + i * stride + j, 0, 3);
}

static void SS_LEVEL(tile_load)(int64_t rows, int64_t cols, real scale, const real *restrict from,
                                int64_t stride, real *restrict to)
{
    int64_t ld = ss_tile_ld(cols);
    for (int64_t i = 0; i < rows; i++, to += ld) {
        SS_LEVEL(foresee)(i + 8, ss_min64(rows, i + 9), cols, from, stride);
        for (int64_t j = 0; j < cols; j++) to[j] = scale * from[i * stride + j];
        for (int64_t j = cols; j < ld; j++) to[j] = 0;
    }
    for (int64_t i = rows; i % SS_TILE_ROWS != 0; i++, to += ld) memset(to, 0, (size_t)ld * sizeof(real));
}

/* Blocks of four by four in registers; without shuffles the same, element by element. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SS_TILE_SHUFFLES
#endif
#endif
#ifdef SS_TILE_SHUFFLES
typedef real SS_LEVEL(quad) __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));

static inline void SS_LEVEL(transpose_block)(real scale, const real *restrict from, int64_t stride,
                                             real *restrict to)
{
#define SS_TILE_QUAD(p) (*(const SS_LEVEL(quad) *)(const void *)(p))
    const SS_LEVEL(quad) a = scale * SS_TILE_QUAD(from), b = scale * SS_TILE_QUAD(from + stride);
    const SS_LEVEL(quad) c = scale * SS_TILE_QUAD(from + 2 * stride),
                         d = scale * SS_TILE_QUAD(from + 3 * stride);
    const SS_LEVEL(quad) ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    const SS_LEVEL(quad) cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const SS_LEVEL(quad) ba = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const SS_LEVEL(quad) dc = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(SS_LEVEL(quad) *)(void *)to = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(SS_LEVEL(quad) *)(void *)(to + SS_TILE) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    *(SS_LEVEL(quad) *)(void *)(to + 2 * SS_TILE) = __builtin_shufflevector(ba, dc, 0, 1, 4, 5);
    *(SS_LEVEL(quad) *)(void *)(to + 3 * SS_TILE) = __builtin_shufflevector(ba, dc, 2, 3, 6, 7);
#undef SS_TILE_QUAD
}
#undef SS_TILE_SHUFFLES
#else
static inline void SS_LEVEL(transpose_block)(real scale, const real *restrict from, int64_t stride,
                                             real *restrict to)
{
    for (int64_t j = 0; j < 4; j++)
        for (int64_t i = 0; i < 4; i++) to[j * SS_TILE + i] = scale * from[i * stride + j];
}
#endif

static void SS_LEVEL(tile_load_transposed)(int64_t rows, int64_t cols, real scale, const real *restrict from,
                                           int64_t stride, real *restrict to)
{
    int64_t whole_rows = rows - rows % 4, whole_cols = cols - cols % 4;
    SS_LEVEL(foresee)(0, ss_min64(rows, 8), cols, from, stride);
    for (int64_t i = 0; i < whole_rows; i += 4) {
        SS_LEVEL(foresee)(i + 8, ss_min64(rows, i + 12), cols, from, stride);
        for (int64_t j = 0; j < whole_cols; j += 4)
            SS_LEVEL(transpose_block)(scale, from + i * stride + j, stride, to + j * SS_TILE + i);
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = i < whole_rows ? whole_cols : 0; j < cols; j++)
            to[j * SS_TILE + i] = scale * from[i * stride + j];
    for (int64_t j = 0; j < cols && rows < SS_TILE; j++)
        memset(to + j * SS_TILE + rows, 0, (size_t)(SS_TILE - rows) * sizeof(real));
}

static void SS_LEVEL(tile_store)(int64_t rows, int64_t cols, real scale, const real *restrict tile,
                                 bool accumulate, real *restrict to, int64_t stride)
{
    int64_t ld = ss_tile_ld(cols);
    for (int64_t i = 0; i < rows; i++, tile += ld, to += stride)
        if (accumulate)
            for (int64_t j = 0; j < cols; j++) to[j] += scale * tile[j];
        else
            for (int64_t j = 0; j < cols; j++) to[j] = scale * tile[j];
}

#undef SS_TILE_EACH_ROW
