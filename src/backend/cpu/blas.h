/* The BLAS and LAPACK loaded at run time, as the CPU backend sees them. */
#ifndef SS_BACKEND_CPU_BLAS_H
#define SS_BACKEND_CPU_BLAS_H

#include "backend/backend.h"

/* Loads the libraries, once per process. SS_ERROR_REFUSED with the names tried when there are none. */
ss_status ss_blas_load(ss_context *context);

/* One problem of g (alpha, beta, extents, leading dimensions valid for a BLAS) on host memory. */
ss_status ss_blas_sgemm(ss_context *context, const ss_gemm *g, const float *a, const float *b, float *c);
ss_status ss_blas_dgemm(ss_context *context, const ss_gemm *g, const double *a, const double *b, double *c);

/* Eigenvalues ascending into w[n]; a (n x n, upper triangle of the row-major matrix) becomes the
 * eigenvectors, row by row, if `vectors`. work, iwork: of the lengths told by ss_blas_eigen_work. */
void      ss_blas_eigen_work(int64_t n, bool vectors, int64_t *work, int64_t *iwork);
ss_status ss_blas_eigen(ss_context *context, int64_t n, double *a, bool vectors, double *w, double *work,
                        int64_t n_work, int *iwork, int64_t n_iwork);

#endif
