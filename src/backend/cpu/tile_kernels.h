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

/* Eight rows at a time, so that the lines written to are used more than once. */
static void SS_LEVEL(tile_load_transposed)(int64_t rows, int64_t cols, real scale, const real *restrict from,
                                           int64_t stride, real *restrict to)
{
    int64_t i = 0;
    SS_LEVEL(foresee)(0, ss_min64(rows, 8), cols, from, stride);
    for (; i + 8 <= rows; i += 8) {
        SS_LEVEL(foresee)(i + 8, ss_min64(rows, i + 16), cols, from, stride);
        for (int64_t j = 0; j < cols; j++)
            for (int64_t r = 0; r < 8; r++) to[j * SS_TILE + i + r] = scale * from[(i + r) * stride + j];
    }
    for (; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) to[j * SS_TILE + i] = scale * from[i * stride + j];
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
