/* Every planted fault is caught, and the same code without the fault is not. */
#include "child.h"
#include "device_arrays.h"
#include "planted.h"

#include "cublas_v2.h"

#include <math.h>
#include <signal.h>

static const ss_emulator_order orders[] = { SS_EMULATOR_FORWARD, SS_EMULATOR_REVERSE, SS_EMULATOR_SHUFFLED,
                                            SS_EMULATOR_ROTATE };
#define EACH_ORDER(i) for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)

/* Ended by a signal or the sanitizer, or returned an error of CUDA. */
static bool caught(child_end end)
{
    return end.status != cudaSuccess;
}

/* ---- Missing barriers: a wrong result, or, where accesses are checked, a race reported in every order ----
 */
static int is_race(cudaError_t error)
{
    if (error == cudaSuccess) return 0;
    cr_assert_eq(error, cudaErrorLaunchFailure);
    cr_assert(strstr(ss_emulator_report(), "race in shared memory"), "%s", ss_emulator_report());
    ss_emulator_forget();
    return 1;
}

static int wrong_sums(int planted)
{
    float x[128], want = 0, got;
    int   wrong = 0;
    for (int i = 0; i < 128; i++) want += x[i] = (float)(i * i % 31);
    float *device = device_from(x, sizeof x), *sum = device_new(sizeof *sum);
    for (int i = 0; i < 8; i++) {
        FINE(planted_missing_barrier(planted, device, sum));
        wrong += is_race(cudaDeviceSynchronize());
        device_to(&got, sum, sizeof got);
        wrong += got != want;
    }
    FINE(cudaFree(device));
    FINE(cudaFree(sum));
    return wrong;
}

Test(planted, missing_barrier_gives_a_wrong_sum)
{
    EACH_ORDER(i)
    {
        ss_emulator_set_quiet(1);
        ss_emulator_set_order(orders[i], 7);
        cr_expect_eq(wrong_sums(0), 0);
        if (orders[i] != SS_EMULATOR_REVERSE || ss_emulator_checks_accesses())
            cr_expect_gt(wrong_sums(1), 0, "order %zu", i);
    }
}

static int wrong_rotations(int planted)
{
    int x[64], wrong = 0;
    for (int i = 0; i < 64; i++) x[i] = i;
    int *device = device_from(x, sizeof x);
    FINE(planted_missing_second_barrier(planted, 6, device));
    wrong += is_race(cudaDeviceSynchronize());
    device_to(x, device, sizeof x);
    for (int i = 0; i < 64; i++) wrong += x[i] != (i + 6) % 64;
    FINE(cudaFree(device));
    return wrong;
}

Test(planted, missing_second_barrier_gives_wrong_values)
{
    EACH_ORDER(i)
    {
        ss_emulator_set_quiet(1);
        ss_emulator_set_order(orders[i], 7);
        cr_expect_eq(wrong_rotations(0), 0);
        cr_expect_gt(wrong_rotations(1), 0, "order %zu", i);
    }
}

/* ---- Bounds: n such that the array ends inside a page, at 256 bytes, and at the end of a page ---- */
static int64_t bound_n;

static int write_bound(void *planted)
{
    float *y = device_new((size_t)bound_n * sizeof *y);
    FINE(planted_write_bound(*(int *)planted, bound_n, y));
    return (int)cudaDeviceSynchronize();
}

static int read_bound(void *planted)
{
    float *x = device_new((size_t)bound_n * sizeof *x), *sum = device_new(sizeof *sum), got;
    FINE(cudaMemset(x, 0, (size_t)bound_n * sizeof *x));
    FINE(planted_read_bound(*(int *)planted, bound_n, x, sum));
    device_to(&got, sum, sizeof got);
    return got == 0.0f ? 0 : -2;
}

static int shared_bound(void *planted)
{
    float *y = device_new(32 * sizeof *y);
    FINE(planted_shared_bound(*(int *)planted, y));
    return (int)cudaDeviceSynchronize();
}

Test(planted, a_bound_that_is_off_by_one)
{
    const int64_t sizes[] = { 1, 63, 64, 100, 1000, 1024, 2048 };
    int           yes = 1, no = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bound_n = sizes[i];
        cr_expect_eq(child_run(write_bound, &no).status, cudaSuccess);
        cr_expect_eq(child_run(read_bound, &no).status, 0);
        child_end end = child_run(write_bound, &yes);
        cr_expect(caught(end), "%lld elements written", (long long)bound_n);
        cr_expect(strstr(end.output, "fill") || strstr(end.output, "planted.cu"), "it is named: %s",
                  end.output);
        cr_expect(caught(child_run(read_bound, &yes)), "%lld elements read", (long long)bound_n);
    }
    cr_expect_eq(child_run(shared_bound, &no).status, cudaSuccess);
    cr_expect(caught(child_run(shared_bound, &yes)), "shared memory");
}

/* ---- Limits of a device that the host does not have ---- */
static int shared_limit(void *planted)
{
    float *y = device_new(sizeof *y);
    FINE(planted_shared_limit(*(int *)planted, y));
    return (int)cudaDeviceSynchronize();
}

static int misaligned(void *planted)
{
    float *x = device_new(8 * sizeof *x), *y = device_new(4 * sizeof *y);
    FINE(cudaMemset(x, 0, 8 * sizeof *x));
    FINE(planted_misaligned(*(int *)planted, x, y));
    return (int)cudaDeviceSynchronize();
}

Test(planted, limits_of_a_device)
{
    int       yes = 1, no = 0;
    child_end end = child_run(shared_limit, &yes);
    cr_expect_eq(child_run(shared_limit, &no).status, cudaSuccess);
    cr_expect_eq(end.status, cudaErrorLaunchFailure);
    cr_expect(strstr(end.output, "shared memory together exceed"), "%s", end.output);

    end = child_run(misaligned, &yes);
    cr_expect_eq(child_run(misaligned, &no).status, cudaSuccess);
    cr_expect(caught(end), "the vector load at the second element");
    cr_expect(strstr(end.output, "misaligned"), "%s", end.output);
}

/* ---- Transposed leading dimension: A is 3 x 5 column-major, its leading dimension 3, not 5 ---- */
static int gemm_with(void *lda)
{
    enum { M = 3, N = 4, K = 5 };
    float         *a = device_new(M * K * sizeof(float)), *b = device_new(K * N * sizeof(float)), *c;
    const float    one = 1, zero = 0;
    cublasHandle_t handle;
    cublasStatus_t status;
    c = device_new(M * N * sizeof(float));
    FINE(cudaMemset(a, 0, M * K * sizeof(float)));
    FINE(cudaMemset(b, 0, K * N * sizeof(float)));
    if ((status = cublasCreate(&handle))) return (int)status;
    status = cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, M, N, K, &one, a, *(int *)lda, b, K, &zero, c, M);
    if (status) return (int)status;
    return (int)cudaDeviceSynchronize();
}

Test(planted, a_transposed_leading_dimension)
{
    int right = 3, transposed = 5, small = 2;
    cr_expect_eq(child_run(gemm_with, &right).status, 0);
    child_end end = child_run(gemm_with, &transposed);
    cr_expect_eq(end.status, cudaErrorIllegalAddress);
    cr_expect(strstr(end.output, "operand A"), "%s", end.output);
    cr_expect_eq(child_run(gemm_with, &small).status, CUBLAS_STATUS_INVALID_VALUE);
}

/* ---- Host pointers ---- */
static int host_pointer(void *data)
{
    int          kind = *(int *)data;
    static float still[32];
    float  stack[32] = { 0 }, *heap = calloc(32, sizeof *heap), *y = device_new(32 * sizeof *y), *pinned;
    float *x = device_new(32 * sizeof *x);
    FINE(cudaMemset(x, 0, 32 * sizeof *x));
    FINE(cudaMallocHost((void **)&pinned, 32 * sizeof *pinned));
    memset(pinned, 0, 32 * sizeof *pinned);
    const float *sources[] = { x, pinned, stack, heap, still };
    FINE(planted_host_pointer(sources[kind], y));
    cudaError_t error = cudaDeviceSynchronize();
    if (!error) {
        FINE(planted_host_pointer_in_struct(sources[kind], y));
        error = cudaDeviceSynchronize();
    }
    free(heap);
    return (int)error;
}

static int host_pointer_in_struct(void *data)
{
    (void)data;
    float x[33] = { 0 }, *y = device_new(32 * sizeof *y);
    FINE(
        planted_host_pointer_in_struct(x + 1, y)); /* an address that does not end in zeros, as padding may */
    return (int)cudaDeviceSynchronize();
}

Test(planted, a_host_pointer_among_the_parameters)
{
    for (int kind = 0; kind < 5; kind++) {
        child_end end = child_run(host_pointer, &kind);
        cr_expect_eq(end.status, kind < 2 ? cudaSuccess : cudaErrorIllegalAddress, "kind %d: %s", kind,
                     end.output);
        if (kind >= 2) cr_expect(strstr(end.output, "host pointer"), "%s", end.output);
    }
    /* Refused at the launch, or, by a compiler that cannot clear padding, stopped at the access where those
     * are checked. */
    if (!ss_emulator_checks_accesses()) return;
    int status = child_run(host_pointer_in_struct, NULL).status;
    cr_expect(status == cudaErrorIllegalAddress || status == cudaErrorLaunchFailure, "%d", status);
}

/* A host pointer, or a device pointer, that the kernel takes from device memory: seen where accesses are
 * checked. */
static int nested_pointer(void *data)
{
    float  stack[4] = { 0 }, *x = device_new(sizeof stack), *y = device_new(sizeof *y);
    float *pointer = *(int *)data ? stack : x, **nested;
    nested = device_from(&pointer, sizeof(float *));
    FINE(cudaMemset(x, 0, sizeof stack));
    FINE(planted_nested_pointer(nested, y));
    return (int)cudaDeviceSynchronize();
}

Test(planted, pointers_in_device_memory)
{
    int       host = 1, device = 0;
    child_end end = child_run(nested_pointer, &device);
    cr_expect(caught(end), "pointers in device memory are not exchanged: the emulator refuses them");
    cr_expect(strstr(end.output, "was not a kernel parameter"), "%s", end.output);
    if (ss_emulator_checks_accesses()) {
        end = child_run(nested_pointer, &host);
        cr_expect_eq(end.status, cudaErrorLaunchFailure);
        cr_expect(strstr(end.output, "host memory"), "%s", end.output);
    }
}

/* ---- Races within a warp ---- */
Test(planted, a_shuffle_orders_no_memory)
{
    int *x = device_new(32 * sizeof *x);
    ss_emulator_set_quiet(1);
    if (!ss_emulator_checks_accesses()) cr_skip_test("the kernels are compiled without access checks");
    EACH_ORDER(i)
    {
        ss_emulator_set_order(orders[i], 7);
        FINE(planted_warp_race(0, x));
        cr_expect_eq(is_race(cudaDeviceSynchronize()), 0, "order %zu: %s", i, ss_emulator_report());
        FINE(planted_warp_race(1, x));
        cr_expect_eq(is_race(cudaDeviceSynchronize()), 1, "order %zu", i);
    }
    FINE(cudaFree(x));
}

/* ---- A device pointer on the host, use after free ---- */
static int host_reads(void *data)
{
    (void)data;
    volatile float *x = device_new(32 * sizeof *x);
    return x[3] == 0.0f ? 0 : 1;
}

static int use_after_free(void *data)
{
    (void)data;
    float *y = device_new(32 * sizeof *y);
    FINE(cudaFree(y));
    FINE(planted_write_bound(0, 32, y));
    return (int)cudaDeviceSynchronize();
}

Test(planted, device_memory_on_the_host_and_after_free)
{
    child_end end = child_run(host_reads, NULL);
    cr_expect(caught(end));
    cr_expect(strstr(end.output, "the host touches"), "%s", end.output);
    cr_expect(caught(child_run(use_after_free, NULL)));
}

/* ---- Uninitialised memory ---- */
Test(planted, an_uninitialised_read_becomes_nan)
{
    float  y[32], *device = device_new(sizeof y);
    double z[16];
    device_to(y, device, sizeof y);
    for (int i = 0; i < 32; i++) cr_expect(isnan(y[i]));
    device_to(z, device, sizeof z);
    for (int i = 0; i < 16; i++) cr_expect(isnan(z[i]));
    for (int planted = 0; planted < 2; planted++) {
        FINE(planted_uninitialised_shared(planted, device));
        device_to(y, device, sizeof y);
        for (int i = 0; i < 32; i++) cr_expect_eq(!!isnan(y[i]), planted && i == 7);
    }
}

static int uninitialised_index(void *planted)
{
    int   *index = device_new(sizeof *index);
    float *x = device_new(sizeof *x), *y = device_new(sizeof *y);
    if (!*(int *)planted) FINE(cudaMemset(index, 0, sizeof *index));
    FINE(planted_uninitialised_index(index, x, y));
    return (int)cudaDeviceSynchronize();
}

Test(planted, an_uninitialised_index)
{
    int yes = 1, no = 0;
    cr_expect_eq(child_run(uninitialised_index, &no).status, cudaSuccess);
    cr_expect(caught(child_run(uninitialised_index, &yes)));
}

/* ---- Divergence: reported as a failure of the launch, with kernel, block and thread ---- */
Test(planted, divergence)
{
    int *y = device_new(64 * sizeof *y);
    ss_emulator_set_quiet(1);
    EACH_ORDER(i) for (int kind = PLANTED_NOTHING; kind <= PLANTED_TRAP; kind++)
    {
        ss_emulator_set_order(orders[i], 3);
        FINE(planted_diverge((planted_divergence)kind, y));
        cudaError_t error = cudaDeviceSynchronize();
        cr_expect_eq(error, kind == PLANTED_NOTHING ? cudaSuccess : cudaErrorLaunchFailure,
                     "order %zu, fault %d: %s", i, kind, ss_emulator_report());
        if (kind == PLANTED_NOTHING) continue;
        cr_expect(strstr(ss_emulator_report(), "kernel diverge (") &&
                      strstr(ss_emulator_report(), "block (0, 0, 0)") &&
                      strstr(ss_emulator_report(), "thread ("),
                  "%s", ss_emulator_report());
        cr_expect_eq(cudaMemset(y, 0, 4), cudaErrorLaunchFailure, "the error sticks");
        ss_emulator_forget();
    }
    FINE(cudaFree(y));
}

/* ---- Unchecked errors ---- */
static int unchecked_launch(void *planted)
{
    float *y = device_new(sizeof *y);
    return (int)planted_unchecked_launch(*(int *)planted, y);
}

Test(planted, a_launch_whose_error_nobody_fetches)
{
    int       yes = 1, no = 0;
    child_end end = child_run(unchecked_launch, &yes);
    cr_expect_eq(child_run(unchecked_launch, &no).status, cudaSuccess);
    cr_expect_eq(end.signal, SIGABRT);
    cr_expect(strstr(end.output, "was not fetched before cudaDeviceSynchronize"), "%s", end.output);
}

Test(planted, a_failure_that_nobody_looks_at)
{
    void *memory;
    ss_emulator_set_quiet(1);
    ss_emulator_tolerate_unchecked(1);
    ss_emulator_fail("cudaMalloc", 2);
    FINE(cudaMalloc(&memory, 8));
    FINE(cudaFree(memory));
    cr_expect_eq(ss_emulator_unchecked(), 0);
    cudaError_t ignored = cudaMalloc(&memory, 8);
    cr_expect_eq(ignored, cudaErrorMemoryAllocation);
    cr_expect_eq(ss_emulator_unchecked(), 1);
    (void)cudaGetErrorString(ignored);
    cr_expect_eq(ss_emulator_unchecked(), 0);
}
