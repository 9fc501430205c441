/* Dense symmetric eigenproblems in float64 through cuSOLVER's divide and conquer. The row-major upper
 * triangle is the column-major lower one; eigenvectors come out as columns there, hence as rows here. */
#include "cuda.cuh"

/* What one problem needs besides the matrix. */
struct eigen_work {
    cusolverDnParams_t params;
    void              *device;       /* eigenvalues [n], workspace, info */
    void              *host;         /* workspace */
    size_t             device_bytes; /* of the workspace */
    size_t             host_bytes;
};

static ss_status open_solver(ss_queue *q)
{
    ss_context        *context = q->device->context;
    cusolverDnHandle_t solver = nullptr;
    if (q->solver) return SS_OK;
    SS_RETURN(ss_cuda_load_cusolver(context));
    if (ss_allocation_fails(context))
        return ss_fail(context, SS_ERROR_MEMORY, "cusolverDnCreate: no memory for a handle");
    SS_CUDA(context, cusolverDnCreate(&solver), "device %d", q->device->index);
    q->solver = solver; /* closed with the queue from here on */
    SS_CUDA(context, cusolverDnSetStream(solver, q->stream), "a queue's stream");
    return SS_OK;
}

static ss_status solve(ss_queue *q, int64_t n, double *a, bool vectors, double *eigenvalues, eigen_work *work)
{
    ss_status               status = SS_OK;
    ss_context             *context = q->device->context;
    const cusolverEigMode_t mode = vectors ? CUSOLVER_EIG_MODE_VECTOR : CUSOLVER_EIG_MODE_NOVECTOR;
    const cublasFillMode_t  fill = CUBLAS_FILL_MODE_LOWER;
    const int64_t           values_bytes = ss_round_up(n * (int64_t)sizeof(double), 256);
    int                     info = 0;
    char                   *values, *workspace;
    int                    *device_info;
    /* The size asked for depends on no contents: `a` stands in for the eigenvalues, which have no place yet.
     */
    SS_CUDA_TRY(context, cusolverDnCreateParams(&work->params), "an eigenproblem of order %lld",
                (long long)n);
    SS_CUDA_TRY(context,
                cusolverDnXsyevd_bufferSize(q->solver, work->params, mode, fill, n, CUDA_R_64F, a, n,
                                            CUDA_R_64F, a, CUDA_R_64F, &work->device_bytes,
                                            &work->host_bytes),
                "an eigenproblem of order %lld", (long long)n);
    work->device_bytes = (size_t)ss_round_up((int64_t)work->device_bytes, 256);
    SS_TRY(ss_cuda_device_allocate(context, values_bytes + (int64_t)work->device_bytes + 256, &work->device));
    SS_TRY(ss_allocate(context, (int64_t)work->host_bytes, 1, &work->host));
    values = static_cast<char *>(work->device);
    workspace = values + values_bytes;
    device_info = reinterpret_cast<int *>(workspace + work->device_bytes);
    SS_CUDA_TRY(context,
                cusolverDnXsyevd(q->solver, work->params, mode, fill, n, CUDA_R_64F, a, n, CUDA_R_64F, values,
                                 CUDA_R_64F, workspace, work->device_bytes, work->host, work->host_bytes,
                                 device_info),
                "an eigenproblem of order %lld, %lld bytes of workspace", (long long)n,
                (long long)work->device_bytes);
    SS_TRY(ss_cuda_result(q, &info, device_info, sizeof info));
    if (info != 0)
        SS_FAIL(context, info > 0 ? SS_ERROR_NUMERIC : SS_ERROR_INTERNAL,
                "symmetric eigenproblem of dimension %lld: cusolverDnXsyevd gave %d", (long long)n, info);
    SS_TRY(ss_cuda_result(q, eigenvalues, values, n * (int64_t)sizeof(double)));
fail:
    return status;
}

ss_status ss_cuda_symmetric_eigen(ss_backend *b, ss_queue *q, int64_t n, double *a, bool vectors,
                                  double *eigenvalues)
{
    eigen_work work = {};
    if (n == 0) return SS_OK;
    SS_RETURN(ss_cuda_enter(b, &q));
    SS_RETURN(open_solver(q));
    ss_status status = solve(q, n, a, vectors, eigenvalues, &work);
    if (status != SS_OK && work.device) SS_CUDA_DROP(b->context, cudaStreamSynchronize(q->stream));
    if (work.device) SS_CUDA_DROP(b->context, cudaFree(work.device));
    ss_free(b->context, work.host);
    if (work.params) SS_CUDA_DROP(b->context, cusolverDnDestroyParams(work.params));
    return status;
}
