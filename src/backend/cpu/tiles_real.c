/* Tiles on the CPU: the kernels of every instruction-set level behind one entry each (tiles.h). */
#include "backend/cpu/tiles.h"

#define SS_KERNEL_FILE "backend/cpu/tile_kernels.h"
#include "backend/cpu/levels.h"

void SS_REAL(ss_tile_multiply)(ss_cpu_level level, const ss_tile_product *p)
{
    SS_AT_LEVEL(level, tile_multiply)(p);
}

void SS_REAL(ss_tile_load)(ss_cpu_level level, int64_t rows, int64_t cols, real scale, const real *from,
                           int64_t stride, real *to)
{
    SS_AT_LEVEL(level, tile_load)(rows, cols, scale, from, stride, to);
}

void SS_REAL(ss_tile_load_transposed)(ss_cpu_level level, int64_t rows, int64_t cols, real scale,
                                      const real *from, int64_t stride, real *to)
{
    SS_AT_LEVEL(level, tile_load_transposed)(rows, cols, scale, from, stride, to);
}

void SS_REAL(ss_tile_store)(ss_cpu_level level, int64_t rows, int64_t cols, real scale, const real *tile,
                            bool accumulate, real *to, int64_t stride)
{
    SS_AT_LEVEL(level, tile_store)(rows, cols, scale, tile, accumulate, to, stride);
}
