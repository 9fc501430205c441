/* Philox-4x32-10 (Salmon et al., SC 2011): counter-based random numbers.
 *
 * A number depends on (seed, stream, index) alone: no state, any order, any number of threads or ranks.
 * Parameter vectors index by the canonical (unpadded) parameter number. Compiles as C11 and CUDA C++. */
#ifndef SS_BASE_PHILOX_H
#define SS_BASE_PHILOX_H

#include "base/host_device.h"

#include <math.h>
#include <stdint.h>

/* Streams of random numbers; one per purpose so that purposes never share numbers. */
typedef enum ss_stream {
    SS_STREAM_START = 1,   /* Lanczos start vectors; plus the restart number in the high bits */
    SS_STREAM_NOISE_PROBE, /* the vector r of the operator's own error */
    SS_STREAM_SAMPLES,     /* choice and grouping of samples */
    SS_STREAM_LABELS,      /* Monte-Carlo Fisher labels */
    SS_STREAM_WEIGHTS,     /* seeded initial weights of mlp: networks */
    SS_STREAM_PROBE,       /* flat-space probe */
    SS_STREAM_BREAKDOWN,   /* random vectors after a breakdown */
    SS_STREAM_TEST,
    SS_STREAM_QUADRATURE, /* start vectors of density and trace; plus the probe's number in the high bits */
    SS_STREAM_SLICE       /* random directions of slice */
} ss_stream;

typedef struct ss_philox_block {
    uint32_t word[4];
} ss_philox_block;

static inline SS_HOST_DEVICE ss_philox_block ss_philox(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32), c2 = (uint32_t)stream,
             c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    ss_philox_block block = { { c0, c1, c2, c3 } };
    return block;
}

/* Uniform in (0, 1), 52 bits and a half, from two words: never 0 or 1. */
static inline SS_HOST_DEVICE double ss_philox_unit(uint32_t high, uint32_t low)
{
    uint64_t bits = ((uint64_t)high << 20) ^ (uint64_t)(low >> 12);
    return ((double)bits + 0.5) * 0x1p-52;
}

/* Uniform in (0, 1) number `index` of a stream. */
static inline SS_HOST_DEVICE double ss_random_uniform(uint64_t seed, uint64_t stream, uint64_t index)
{
    ss_philox_block b = ss_philox(seed, stream, index);
    return ss_philox_unit(b.word[0], b.word[1]);
}

/* Standard normal number `index` of a stream (Box-Muller on one block; float64 always, so that both
 * precisions see the same vector up to rounding). */
static inline SS_HOST_DEVICE double ss_random_normal(uint64_t seed, uint64_t stream, uint64_t index)
{
    ss_philox_block b = ss_philox(seed, stream, index);
    double          radius = sqrt(-2.0 * log(ss_philox_unit(b.word[0], b.word[1])));
    return radius * cos(6.283185307179586476925 * ss_philox_unit(b.word[2], b.word[3]));
}

#endif
