/* Small dense tiles in a thread's own memory, and their products at the speed of the vector registers.
 *
 * A BLAS is made for one large product; attention makes many of some 96 x 96 x 64 whose operands stay in the
 * second cache and whose results are used at once, inside a parallel loop. So tiles have their own product,
 * blocked for registers alone: SS_TILE_ROWS rows by two vectors of C are held in registers while k runs. The
 * operand B is read in vectors along its rows, A element by element: it may be transposed at no cost.
 *
 * A tile is row-major with padded extents: memory up to the next multiple of SS_TILE_ROWS rows and of
 * SS_TILE_STEP elements belongs to it, so that a product needs no code for edges. What the padding holds
 * reaches padding alone. */
#ifndef SS_BACKEND_CPU_TILES_H
#define SS_BACKEND_CPU_TILES_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/real.h"

#define SS_TILE      ((int64_t)(384 / sizeof(real))) /* extent of a square tile: 96 floats, 48 doubles */
#define SS_TILE_ROWS 6                               /* rows of C in registers; divides SS_TILE */
#define SS_TILE_STEP ((int64_t)(128 / sizeof(real))) /* two of the widest vectors; divides SS_TILE */

/* Elements between the rows of a tile with `cols` columns: room for whole vectors, and not a power of two, so
 * that its rows do not meet in the same sets of the first cache. */
static inline int64_t ss_tile_ld(int64_t cols)
{
    return ss_cpu_blocks(cols, SS_TILE_STEP) * SS_TILE_STEP + SS_TILE_STEP / 2;
}

/* Which part of a product is there at all, when the index i of a row of A and C and the index j of a column
 * of C (or of A) see each other only for begin + i <= j < end + i. */
typedef enum ss_tile_band { SS_TILE_WHOLE, SS_TILE_BAND_N, SS_TILE_BAND_K } ss_tile_band;

/* C (+)= A B, C m x n, A m x k, B k x n; A(i, l) = a[i * a_row + l * a_col]. BAND_N: elements of C outside
 * the band are undefined. BAND_K: elements of A outside the band are zero. */
typedef struct ss_tile_product {
    int64_t      m, n, k;
    const real  *a, *b;
    real        *c;
    int64_t      a_row, a_col, ldb, ldc; /* elements */
    bool         accumulate;
    ss_tile_band band;
    int64_t      begin, end;
} ss_tile_product;

void SS_REAL(ss_tile_multiply)(ss_cpu_level level, const ss_tile_product *p);

/* to := scale * from (rows x cols, `stride` elements between rows); padding := 0 */
void SS_REAL(ss_tile_load)(ss_cpu_level level, int64_t rows, int64_t cols, real scale, const real *from,
                           int64_t stride, real *to);
/* to := scale * from', SS_TILE elements between its rows; padding := 0 */
void SS_REAL(ss_tile_load_transposed)(ss_cpu_level level, int64_t rows, int64_t cols, real scale,
                                      const real *from, int64_t stride, real *to);
/* to (+)= scale * tile, `stride` elements between the rows of `to` */
void SS_REAL(ss_tile_store)(ss_cpu_level level, int64_t rows, int64_t cols, real scale, const real *tile,
                            bool accumulate, real *to, int64_t stride);

#endif
