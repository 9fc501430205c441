/* Kernels of the emulator's own tests, each behind a C function that launches it (kernels.cu). */
#ifndef SS_EMULATOR_TEST_KERNELS_H
#define SS_EMULATOR_TEST_KERNELS_H

#include "cuda_runtime.h"
#include "emulator.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y[i] := a x[i] + y[i]. No barrier. */
cudaError_t test_axpy(int64_t n, float a, const float *x, float *y, cudaStream_t stream);
cudaError_t test_combine(int64_t n, const float *x, float *y, cudaStream_t stream); /* y := x + y */
/* sum[block] := sum of the block's part of x, by shuffles within warps and shared memory between them. */
cudaError_t test_block_sums(int64_t n, const double *x, int blocks, int threads, double *sum,
                            cudaStream_t stream);
/* sum[block] as above, by a tree in shared memory: a barrier in each round of a loop. */
cudaError_t test_tree_sums(int64_t n, const float *x, int blocks, int threads, float *sum,
                           cudaStream_t stream);
/* C (m x n) := A (m x k) B (k x n), row-major, by tiles in shared memory. */
cudaError_t test_tiled_product(int m, int n, int k, const float *a, const float *b, float *c,
                               cudaStream_t stream);
/* Each row of x (rows x cols) := its softmax; one block a row, dynamic shared memory of `cols` elements. */
cudaError_t test_softmax_rows(int rows, int cols, float *x, cudaStream_t stream);
/* out[thread] of one block of 32: shuffles by index, up, down, xor, and the ballot of odd lanes (5 x 32). */
cudaError_t test_shuffles(int width, int64_t *out, cudaStream_t stream);
/* count[0] += number of i < n with x[i] > 0, by integer atomics; out[block]: threads of the block with x > 0.
 */
cudaError_t test_count(int64_t n, const float *x, int *count, int *out, cudaStream_t stream);
/* order[0 .. threads): numbers of the threads in the order in which they ran; one block. */
cudaError_t test_order(int threads, int *order, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif
