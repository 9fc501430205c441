/* cuBLAS and cuSOLVER: layouts against plain loops, argument rules, roundings, eigenproblems. */
#include "device_arrays.h"

#include "cublas_v2.h"
#include "cusolverDn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WELL(call)                                                                                           \
    do {                                                                                                     \
        cublasStatus_t status_ = (call);                                                                     \
        cr_assert_eq(status_, CUBLAS_STATUS_SUCCESS, "%s: %s; %s", #call, cublasGetStatusString(status_),    \
                     ss_emulator_report());                                                                  \
    } while (0)
#define SOLVED(call)                                                                                         \
    do {                                                                                                     \
        cusolverStatus_t status_ = (call);                                                                   \
        cr_assert_eq(status_, CUSOLVER_STATUS_SUCCESS, "%s: %d; %s", #call, (int)status_,                    \
                     ss_emulator_report());                                                                  \
    } while (0)

static double number(int64_t i)
{
    return (double)((i * 7919 + 13) % 41 - 20) / 8;
}

static cublasHandle_t handle_new(void)
{
    cublasHandle_t handle;
    WELL(cublasCreate(&handle));
    return handle;
}

/* Column-major C := alpha op(A) op(B) + beta C by plain loops. */
static void plain(bool ta, bool tb, int m, int n, int k, double alpha, const double *a, int lda,
                  const double *b, int ldb, double beta, double *c, int ldc)
{
    for (int j = 0; j < n; j++)
        for (int i = 0; i < m; i++) {
            double sum = 0;
            for (int l = 0; l < k; l++)
                sum += (ta ? a[i * lda + l] : a[l * lda + i]) * (tb ? b[l * ldb + j] : b[j * ldb + l]);
            c[j * ldc + i] = alpha * sum + (beta == 0.0 ? 0.0 : beta * c[j * ldc + i]);
        }
}

static void *narrowed(const double *x, size_t n)
{
    float *f = malloc(n * sizeof *f);
    for (size_t i = 0; i < n; i++) f[i] = (float)x[i];
    void *device = device_from(f, n * sizeof *f);
    free(f);
    return device;
}

typedef struct shape {
    int m, n, k, batch, gap; /* gap: added to every leading dimension and stride */
} shape;

static void compare_gemm(cublasHandle_t handle, bool f64, bool ta, bool tb, shape s, double alpha,
                         double beta)
{
    int     ra = ta ? s.k : s.m, ca = ta ? s.m : s.k, rb = tb ? s.n : s.k, cb = tb ? s.k : s.n;
    int     lda = ra + s.gap, ldb = rb + s.gap, ldc = s.m + s.gap;
    int     sa = lda * ca + s.gap, sb = ldb * cb + s.gap, sc = ldc * s.n + s.gap;
    size_t  na = (size_t)(sa * s.batch), nb = (size_t)(sb * s.batch), nc = (size_t)(sc * s.batch);
    double *a = malloc(na * sizeof *a), *b = malloc(nb * sizeof *b), *c = malloc(nc * sizeof *c);
    double *got = malloc(nc * sizeof *got);
    for (size_t i = 0; i < na; i++) a[i] = number((int64_t)i);
    for (size_t i = 0; i < nb; i++) b[i] = number(3 * (int64_t)i + 1);
    for (size_t i = 0; i < nc; i++) c[i] = number(5 * (int64_t)i + 2);
    void *da, *db, *dc;
    if (f64) {
        da = device_from(a, na * sizeof *a);
        db = device_from(b, nb * sizeof *b);
        dc = device_from(c, nc * sizeof *c);
        WELL(cublasDgemmStridedBatched(handle, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N,
                                       s.m, s.n, s.k, &alpha, da, lda, sa, db, ldb, sb, &beta, dc, ldc, sc,
                                       s.batch));
        device_to(got, dc, nc * sizeof *got);
    } else {
        const float alpha32 = (float)alpha, beta32 = (float)beta;
        float      *got32 = malloc(nc * sizeof *got32);
        da = narrowed(a, na);
        db = narrowed(b, nb);
        dc = narrowed(c, nc);
        WELL(cublasSgemmStridedBatched(handle, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N,
                                       s.m, s.n, s.k, &alpha32, da, lda, sa, db, ldb, sb, &beta32, dc, ldc,
                                       sc, s.batch));
        device_to(got32, dc, nc * sizeof *got32);
        for (size_t i = 0; i < nc; i++) got[i] = (double)got32[i];
        free(got32);
    }
    for (int i = 0; i < s.batch; i++)
        plain(ta, tb, s.m, s.n, s.k, alpha, a + i * sa, lda, b + i * sb, ldb, beta, c + i * sc, ldc);
    for (size_t i = 0; i < nc; i++)
        cr_assert_float_eq(got[i], c[i], 1e-4, "f64 %d, transposed %d %d, element %zu: %g, expected %g", f64,
                           ta, tb, i, got[i], c[i]);
    FINE(cudaFree(da));
    FINE(cudaFree(db));
    FINE(cudaFree(dc));
    free(a);
    free(b);
    free(c);
    free(got);
}

Test(cublas, layouts_against_plain_loops)
{
    const shape    shapes[] = { { 1, 1, 1, 1, 0 }, { 3, 4, 5, 1, 0 }, { 7, 2, 9, 3, 2 }, { 5, 6, 0, 2, 1 } };
    cublasHandle_t handle = handle_new();
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int bits = 0; bits < 16; bits++)
            compare_gemm(handle, bits & 1, bits & 2, bits & 4, shapes[s], 0.5, bits & 8 ? -2.0 : 0.0);
    WELL(cublasDestroy(handle));
    cr_assert_eq(ss_emulator_live("*"), 0);
}

Test(cublas, beta_zero_does_not_read_c)
{
    cublasHandle_t handle = handle_new();
    float          a[4] = { 1, 2, 3, 4 }, c[4], *da = device_from(a, sizeof a), *dc = device_new(sizeof c);
    const float    one = 1, zero = 0;
    WELL(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, da, 2, da, 2, &zero, dc, 2));
    device_to(c, dc, sizeof c);
    cr_assert(c[0] == 7 && c[1] == 10 && c[2] == 15 && c[3] == 22);
    FINE(cudaFree(da));
    FINE(cudaFree(dc));
    WELL(cublasDestroy(handle));
}

Test(cublas, arguments_are_checked_as_in_cublas)
{
    cublasHandle_t handle = handle_new();
    float         *x = device_new(4096);
    const float    one = 1;
    const double   one64 = 1;
    void          *no_handle = NULL;
    ss_emulator_set_quiet(1);
#define SGEMM(h, ta, tb, m, n, k, lda, ldb, ldc)                                                             \
    cublasSgemm(h, ta, tb, m, n, k, &one, x, lda, x + 256, ldb, &one, x + 512, ldc)
    cr_assert_eq(SGEMM(no_handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, 2, 2, 2), CUBLAS_STATUS_NOT_INITIALIZED);
    cr_assert_eq(SGEMM(handle, CUBLAS_OP_N, CUBLAS_OP_N, -1, 2, 2, 2, 2, 2), CUBLAS_STATUS_INVALID_VALUE);
    cr_assert_eq(SGEMM(handle, CUBLAS_OP_N, CUBLAS_OP_N, 3, 4, 5, 2, 5, 3), CUBLAS_STATUS_INVALID_VALUE,
                 "lda");
    cr_assert_eq(SGEMM(handle, CUBLAS_OP_T, CUBLAS_OP_N, 3, 4, 5, 4, 5, 3), CUBLAS_STATUS_INVALID_VALUE,
                 "lda");
    cr_assert_eq(SGEMM(handle, CUBLAS_OP_N, CUBLAS_OP_N, 3, 4, 5, 3, 4, 3), CUBLAS_STATUS_INVALID_VALUE,
                 "ldb");
    cr_assert_eq(SGEMM(handle, CUBLAS_OP_N, CUBLAS_OP_T, 3, 4, 5, 3, 3, 3), CUBLAS_STATUS_INVALID_VALUE,
                 "ldb");
    cr_assert_eq(SGEMM(handle, CUBLAS_OP_N, CUBLAS_OP_N, 3, 4, 5, 3, 5, 2), CUBLAS_STATUS_INVALID_VALUE,
                 "ldc");
    cr_assert_eq(SGEMM(handle, CUBLAS_OP_N, CUBLAS_OP_N, 0, 4, 5, 0, 5, 1), CUBLAS_STATUS_INVALID_VALUE,
                 "lda of 0");
    cr_assert_eq(SGEMM(handle, CUBLAS_OP_N, CUBLAS_OP_N, 0, 4, 5, 1, 5, 1), CUBLAS_STATUS_SUCCESS,
                 "nothing to do");
    cr_assert_eq(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, NULL, x, 2, x, 2, &one, x + 512, 2),
                 CUBLAS_STATUS_INVALID_VALUE);
    cr_assert_eq(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, x, x, 2, x, 2, &one, x + 512, 2),
                 CUBLAS_STATUS_INVALID_VALUE, "a device scalar in host pointer mode");
    cr_assert_eq(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one64, x, CUDA_R_64F, 2, x,
                              CUDA_R_32F, 2, &one64, x + 512, CUDA_R_64F, 2, CUBLAS_COMPUTE_64F,
                              CUBLAS_GEMM_DEFAULT),
                 CUBLAS_STATUS_NOT_SUPPORTED);
    cr_assert_eq(cublasSetWorkspace(handle, x, 8192), CUBLAS_STATUS_INVALID_VALUE);
    WELL(cublasSetWorkspace(handle, x, 4096));
    FINE(cudaFree(x));
    WELL(cublasDestroy(handle));
}

Test(cublas, scalars_on_the_device_are_read_when_the_product_runs)
{
    cublasHandle_t handle = handle_new();
    float  x[1] = { 3 }, scalars[2] = { 2, 0 }, got, *dx = device_from(x, sizeof x), *dc = device_new(4);
    float *ds = device_from(scalars, sizeof scalars), later = 5;
    WELL(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_DEVICE));
    WELL(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, ds, dx, 1, dx, 1, ds + 1, dc, 1));
    device_to(&got, dc, sizeof got);
    cr_assert_eq(got, 18.0f);
    FINE(cudaMemcpyAsync(ds, &later, sizeof later, cudaMemcpyHostToDevice, NULL));
    WELL(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, ds, dx, 1, dx, 1, ds + 1, dc, 1));
    device_to(&got, dc, sizeof got);
    cr_assert_eq(got, 45.0f);
    FINE(cudaFree(dx));
    FINE(cudaFree(dc));
    FINE(cudaFree(ds));
    WELL(cublasDestroy(handle));
}

/* a * 1 in the compute type: what the operand was rounded to. */
static float through(cublasHandle_t handle, float a, cublasComputeType_t compute)
{
    const float one = 1, zero = 0;
    float       result, *da = device_from(&a, 4), *db = device_from(&one, 4), *dc = device_new(4);
    WELL(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, da, CUDA_R_32F, 1, db, CUDA_R_32F, 1,
                      &zero, dc, CUDA_R_32F, 1, compute, CUBLAS_GEMM_DEFAULT));
    device_to(&result, dc, 4);
    FINE(cudaFree(da));
    FINE(cudaFree(db));
    FINE(cudaFree(dc));
    return result;
}

Test(cublas, operands_are_rounded_as_the_compute_type_says)
{
    cublasHandle_t handle = handle_new();
    const struct {
        float given, exact, tf32, bf16, fp16;
    } rows[] = {
        { 1.0f, 1.0f, 1.0f, 1.0f, 1.0f },
        { 1.0f + 0x1p-10f, 1.0f + 0x1p-10f, 1.0f + 0x1p-10f, 1.0f, 1.0f + 0x1p-10f },
        { 1.0f + 0x1p-11f, 1.0f + 0x1p-11f, 1.0f + 0x1p-10f, 1.0f,
          1.0f }, /* a tie: away from zero; to even */
        { 1.0f + 0x1.8p-11f, 1.0f + 0x1.8p-11f, 1.0f + 0x1p-10f, 1.0f, 1.0f + 0x1p-10f },
        { 1.0f + 0x1p-12f, 1.0f + 0x1p-12f, 1.0f, 1.0f, 1.0f },
        { -1.0f - 0x1.8p-8f, -1.0f - 0x1.8p-8f, -1.0f - 0x1.8p-8f, -1.0f - 0x1p-7f, -1.0f - 0x1.8p-8f },
        { 0x1p-24f, 0x1p-24f, 0x1p-24f, 0x1p-24f, 0x1p-24f },
        { 0x1p-26f, 0x1p-26f, 0x1p-26f, 0x1p-26f, 0.0f },
        { 70000.0f, 70000.0f, 70016.0f, 70144.0f, INFINITY },
        { -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect_eq(through(handle, rows[i].given, CUBLAS_COMPUTE_32F), rows[i].exact, "row %zu", i);
        cr_expect_eq(through(handle, rows[i].given, CUBLAS_COMPUTE_32F_PEDANTIC), rows[i].exact, "row %zu",
                     i);
        cr_expect_eq(through(handle, rows[i].given, CUBLAS_COMPUTE_32F_FAST_TF32), rows[i].tf32, "row %zu",
                     i);
        cr_expect_eq(through(handle, rows[i].given, CUBLAS_COMPUTE_32F_FAST_16BF), rows[i].bf16, "row %zu",
                     i);
        cr_expect_eq(through(handle, rows[i].given, CUBLAS_COMPUTE_32F_FAST_16F), rows[i].fp16, "row %zu", i);
    }
    cr_expect(isnan(through(handle, NAN, CUBLAS_COMPUTE_32F_FAST_TF32)));
    /* The math mode allows TF32 where the compute type leaves it open, not where it is pedantic. */
    WELL(cublasSetMathMode(handle, CUBLAS_TF32_TENSOR_OP_MATH));
    cr_expect_eq(through(handle, 1.0f + 0x1p-12f, CUBLAS_COMPUTE_32F), 1.0f);
    cr_expect_eq(through(handle, 1.0f + 0x1p-12f, CUBLAS_COMPUTE_32F_PEDANTIC), 1.0f + 0x1p-12f);
    WELL(cublasDestroy(handle));
}

Test(cublas, half_and_bfloat16_operands)
{
    cublasHandle_t handle = handle_new();
    const uint16_t a_bf16[2] = { 0x3fc0, 0xc000 }, a_fp16[2] = { 0x3e00, 0xc000 }; /* 1.5, -2 */
    const uint16_t b_bf16[2] = { 0x4040, 0x3f80 }, b_fp16[2] = { 0x4200, 0x3c00 }; /* 3, 1 */
    const float    one = 1, zero = 0;
    float          wide;
    uint16_t       narrow;
    for (int half = 0; half < 2; half++) {
        cudaDataType type = half ? CUDA_R_16F : CUDA_R_16BF;
        void        *a = device_from(half ? a_fp16 : a_bf16, 4), *b = device_from(half ? b_fp16 : b_bf16, 4);
        void        *c = device_new(4);
        WELL(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 2, &one, a, type, 1, b, type, 2, &zero, c,
                          CUDA_R_32F, 1, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
        device_to(&wide, c, sizeof wide);
        cr_expect_eq(wide, 2.5f);
        WELL(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 2, &one, a, type, 1, b, type, 2, &zero, c,
                          type, 1, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
        device_to(&narrow, c, sizeof narrow);
        cr_expect_eq(narrow, half ? 0x4100 : 0x4020);
        FINE(cudaFree(a));
        FINE(cudaFree(b));
        FINE(cudaFree(c));
    }
    WELL(cublasDestroy(handle));
}

Test(cublas, products_are_captured)
{
    cublasHandle_t  handle = handle_new();
    cudaStream_t    stream;
    cudaGraph_t     graph;
    cudaGraphExec_t exec;
    const float     one = 1;
    float           x = 2, c = 0, *dx = device_from(&x, 4), *dc = device_from(&c, 4);
    void           *workspace = device_new(8192);
    FINE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    WELL(cublasSetWorkspace(handle, workspace, 8192));
    WELL(cublasSetStream(handle, stream)); /* forgets the workspace */
    ss_emulator_set_quiet(1);
    FINE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    cr_assert_neq(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, dx, 1, dx, 1, &one, dc, 1),
                  CUBLAS_STATUS_SUCCESS);
    cr_assert(strstr(ss_emulator_report(), "cuBLAS's own workspace"), "%s", ss_emulator_report());
    GIVES(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(stream, &graph));

    WELL(cublasSetWorkspace(handle, workspace, 8192));
    FINE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    WELL(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, dx, 1, dx, 1, &one, dc, 1));
    FINE(cudaStreamEndCapture(stream, &graph));
    FINE(cudaGraphInstantiate(&exec, graph, 0));
    for (int i = 0; i < 3; i++) FINE(cudaGraphLaunch(exec, stream));
    FINE(cudaStreamSynchronize(stream));
    device_to(&c, dc, 4);
    cr_assert_eq(c, 12.0f);
    FINE(cudaGraphExecDestroy(exec));
    FINE(cudaGraphDestroy(graph));
    WELL(cublasDestroy(handle));
    FINE(cudaStreamDestroy(stream));
    FINE(cudaFree(dx));
    FINE(cudaFree(dc));
    FINE(cudaFree(workspace));
}

/* A := sum of k k-th unit-like rotations: any symmetric matrix will do; checked by A V = V diag(w), V'V = 1.
 */
static void check_eigen(int n, const double *a, const double *v, const double *w, double tolerance)
{
    for (int j = 0; j < n; j++) {
        if (j) cr_assert_leq(w[j - 1], w[j], "ascending");
        for (int i = 0; i < n; i++) {
            double av = 0, vv = 0;
            for (int l = 0; l < n; l++) {
                av += a[l * n + i] * v[j * n + l];
                vv += v[i * n + l] * v[j * n + l];
            }
            cr_assert_float_eq(av, w[j] * v[j * n + i], tolerance);
            cr_assert_float_eq(vv, i == j, tolerance);
        }
    }
}

Test(cusolver, eigenproblems_of_either_triangle)
{
    enum { N = 23, LD = 29 };
    double             a[N * N], stored[N * LD], v[N * N], w[N], values[N];
    cusolverDnHandle_t handle;
    int                lwork = 0, info = -1;
    SOLVED(cusolverDnCreate(&handle));
    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++) a[i * N + j] = a[j * N + i] = number(i * i + 31 * j);
    for (int upper = 0; upper < 2; upper++) {
        cublasFillMode_t uplo = upper ? CUBLAS_FILL_MODE_UPPER : CUBLAS_FILL_MODE_LOWER;
        for (int i = 0; i < N * LD; i++) stored[i] = NAN; /* the other triangle and the gap are not read */
        for (int j = 0; j < N; j++)
            for (int i = upper ? 0 : j; i < (upper ? j + 1 : N); i++) stored[j * LD + i] = a[j * N + i];
        double *da = device_from(stored, sizeof stored), *dw = device_new(sizeof w), *work;
        int    *di = device_new(sizeof info);
        SOLVED(cusolverDnDsyevd_bufferSize(handle, CUSOLVER_EIG_MODE_VECTOR, uplo, N, da, LD, dw, &lwork));
        work = device_new((size_t)lwork * sizeof *work);
        cr_assert_eq(
            cusolverDnDsyevd(handle, CUSOLVER_EIG_MODE_VECTOR, uplo, N, da, N - 1, dw, work, lwork, di),
            CUSOLVER_STATUS_INVALID_VALUE);
        cr_assert_eq(
            cusolverDnDsyevd(handle, CUSOLVER_EIG_MODE_VECTOR, uplo, N, da, LD, dw, work, lwork - 1, di),
            CUSOLVER_STATUS_INVALID_VALUE);
        SOLVED(cusolverDnDsyevd(handle, CUSOLVER_EIG_MODE_VECTOR, uplo, N, da, LD, dw, work, lwork, di));
        device_to(&info, di, sizeof info);
        cr_assert_eq(info, 0);
        device_to(w, dw, sizeof w);
        FINE(cudaMemcpy2D(v, N * sizeof *v, da, LD * sizeof *v, N * sizeof *v, N, cudaMemcpyDeviceToHost));
        check_eigen(N, a, v, w, 1e-12);
        /* Values alone, through the generic call. */
        size_t device_bytes, host_bytes;
        FINE(cudaMemcpy(da, stored, sizeof stored, cudaMemcpyHostToDevice));
        SOLVED(cusolverDnXsyevd_bufferSize(handle, NULL, CUSOLVER_EIG_MODE_NOVECTOR, uplo, N, CUDA_R_64F, da,
                                           LD, CUDA_R_64F, dw, CUDA_R_64F, &device_bytes, &host_bytes));
        void *on_device = device_new(device_bytes), *on_host = malloc(host_bytes);
        SOLVED(cusolverDnXsyevd(handle, NULL, CUSOLVER_EIG_MODE_NOVECTOR, uplo, N, CUDA_R_64F, da, LD,
                                CUDA_R_64F, dw, CUDA_R_64F, on_device, device_bytes, on_host, host_bytes,
                                di));
        device_to(values, dw, sizeof values);
        for (int i = 0; i < N; i++) cr_assert_float_eq(values[i], w[i], 1e-12);
        free(on_host);
        FINE(cudaFree(on_device));
        FINE(cudaFree(da));
        FINE(cudaFree(dw));
        FINE(cudaFree(di));
        FINE(cudaFree(work));
    }
    SOLVED(cusolverDnDestroy(handle));
    cr_assert_eq(ss_emulator_live("*"), 0);
}
