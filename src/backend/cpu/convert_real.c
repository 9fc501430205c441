/* Conversions from stored types, and weights placed at theta + step d, in float64 on the way. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/real.h"

#include <string.h>

#define CHUNK 2048 /* elements converted at once, on the stack */

/* value[0..n) := from[first..first+n) as float64 */
static void load_chunk(const void *from, ss_type type, int64_t first, int64_t n, double *value)
{
    ss_array array = { .name = "", .type = type, .rank = 1, .shape = { first + n }, .data = from };
    ss_array_convert(&array, first, n, SS_FLOAT64, value);
}

static bool same_type(ss_type type)
{
    return type == (sizeof(real) == 4 ? SS_F32 : SS_F64);
}

void SS_REAL(ss_cpu_convert)(int threads, void *to, const void *from, ss_type type, int64_t count,
                             double scale, double shift)
{
    real *out = to;
    if (same_type(type) && scale == 1 && shift == 0) {
        if (count) memcpy(to, from, (size_t)count * sizeof(real));
        return;
    }
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t chunk = 0; chunk < ss_cpu_blocks(count, CHUNK); chunk++) {
        double  value[CHUNK];
        int64_t first = chunk * CHUNK, n = ss_min64(CHUNK, count - first);
        load_chunk(from, type, first, n, value);
        for (int64_t i = 0; i < n; i++) out[first + i] = (real)(scale * value[i] + shift);
    }
}

ss_status SS_REAL(ss_cpu_place)(ss_backend *b, ss_queue *q, void *to, const void *from, ss_type type,
                                int64_t count, double step, const void *direction)
{
    (void)q;
    int threads = ss_cpu_threads(b, count);
    if (!direction) {
        SS_REAL(ss_cpu_convert)(threads, to, from, type, count, 1, 0);
        return SS_OK;
    }
    real       *out = to;
    const real *d = direction;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t chunk = 0; chunk < ss_cpu_blocks(count, CHUNK); chunk++) {
        double  value[CHUNK];
        int64_t first = chunk * CHUNK, n = ss_min64(CHUNK, count - first);
        load_chunk(from, type, first, n, value);
        for (int64_t i = 0; i < n; i++) out[first + i] = (real)(value[i] + step * (double)d[first + i]);
    }
    return SS_OK;
}
