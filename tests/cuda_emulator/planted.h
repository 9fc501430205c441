/* Planted faults (planted.cu): each function launches a kernel with its fault, or without when planted == 0.
 */
#ifndef SS_EMULATOR_TEST_PLANTED_H
#define SS_EMULATOR_TEST_PLANTED_H

#include "cuda_runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

cudaError_t planted_missing_barrier(int planted, const float *x, float *sum);        /* x: 128 */
cudaError_t planted_missing_second_barrier(int planted, int rounds, int *x);         /* x: 64, rotated */
cudaError_t planted_write_bound(int planted, int64_t n, float *y);                   /* y: n */
cudaError_t planted_read_bound(int planted, int64_t n, const float *x, float *sum);  /* x: n */
cudaError_t planted_shared_bound(int planted, float *y);                             /* y: 32 */
cudaError_t planted_shared_limit(int planted, float *y);                             /* y: 1 */
cudaError_t planted_misaligned(int planted, const float *x, float *y);               /* x: 8, y: 4 */
cudaError_t planted_host_pointer(const float *x, float *y);                          /* 32 each */
cudaError_t planted_host_pointer_in_struct(const float *x, float *y);                /* 32 each */
cudaError_t planted_uninitialised_shared(int planted, float *y);                     /* y: 32 */
cudaError_t planted_uninitialised_index(const int *index, const float *x, float *y); /* 1 each */
cudaError_t planted_unchecked_launch(int planted, float *y);                         /* y: 1 */
void        planted_launch_left(float *y); /* fine, and nobody fetches its error */

cudaError_t planted_nested_pointer(float *const *nested, float *y); /* 1 each */
cudaError_t planted_warp_race(int planted, int *x);                 /* x: 32 */

typedef enum planted_divergence {
    PLANTED_NOTHING,
    PLANTED_EARLY_RETURN,    /* one thread ends, the others wait at a barrier */
    PLANTED_LATE_RETURN,     /* some threads skip a barrier */
    PLANTED_TWO_BARRIERS,    /* half of the block at one barrier, half at another */
    PLANTED_LANE_AT_BARRIER, /* a lane of the mask waits elsewhere */
    PLANTED_LANE_OUTSIDE,    /* a shuffle reads a lane that is not in the mask */
    PLANTED_NOT_IN_MASK,     /* a lane calls a shuffle whose mask leaves it out */
    PLANTED_TWO_MASKS,       /* lanes that share a mask's lane call with different masks */
    PLANTED_TRAP
} planted_divergence;
cudaError_t planted_diverge(planted_divergence kind, int *y); /* y: 64 */

#ifdef __cplusplus
}
#endif
#endif
