/* Dense symmetric eigenproblems in float64, by LAPACK's divide and conquer. */
#include "backend/cpu/blas.h"
#include "backend/cpu/cpu.h"

ss_status ss_small_eigen(ss_context *context, int64_t n, double *a, bool vectors, double *w)
{
    ss_status status = SS_OK;
    double   *work = NULL;
    int      *iwork = NULL;
    int64_t   n_work, n_iwork;
    if (n == 0) return SS_OK;
    ss_blas_eigen_work(n, vectors, &n_work, &n_iwork);
    SS_TRY(ss_allocate(context, n_work, sizeof *work, (void **)&work));
    SS_TRY(ss_allocate(context, n_iwork, sizeof *iwork, (void **)&iwork));
    SS_TRY(ss_blas_eigen(context, n, a, vectors, w, work, n_work, iwork, n_iwork));
fail:
    ss_free(context, iwork);
    ss_free(context, work);
    return status;
}

ss_status ss_cpu_symmetric_eigen(ss_backend *b, ss_queue *q, int64_t n, double *a, bool vectors,
                                 double *eigenvalues)
{
    (void)q;
    return ss_small_eigen(b->context, n, a, vectors, eigenvalues);
}
