/* Kernels that are right give the right results, in every order of threads and blocks. */
#include "device_arrays.h"
#include "kernels.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const ss_emulator_order orders[] = { SS_EMULATOR_FORWARD, SS_EMULATOR_REVERSE, SS_EMULATOR_SHUFFLED,
                                            SS_EMULATOR_ROTATE };
#define EACH_ORDER                                                                                           \
    for (size_t order_ = 0; order_ < sizeof orders / sizeof *orders; order_++)                               \
        for (int once_ = (ss_emulator_set_order(orders[order_], 11 + order_), 1); once_; once_ = 0)

/* Small integers: sums of them are exact in any order. */
static float number(int64_t i)
{
    return (float)((i * 7919 + 13) % 41 - 20);
}

Test(kernels, axpy_without_barriers)
{
    enum { N = 1000 };
    float x[N], y[N], got[N];
    EACH_ORDER
    {
        for (int i = 0; i < N; i++) {
            x[i] = number(i);
            y[i] = number(3 * i);
        }
        float *dx = device_from(x, sizeof x), *dy = device_from(y, sizeof y);
        FINE(test_axpy(N, 2.0f, dx, dy, NULL));
        device_to(got, dy, sizeof got);
        for (int i = 0; i < N; i++) cr_assert_eq(got[i], 2.0f * x[i] + y[i]);
        FINE(cudaFree(dx));
        FINE(cudaFree(dy));
    }
}

Test(kernels, parameters_without_members)
{
    float  x[3] = { 1, 2, 3 }, y[3] = { 10, 20, 30 };
    float *dx = device_from(x, sizeof x), *dy = device_from(y, sizeof y);
    FINE(test_combine(3, dx, dy, NULL));
    device_to(y, dy, sizeof y);
    for (int i = 0; i < 3; i++) cr_assert_eq(y[i], 11 * x[i]);
    FINE(cudaFree(dx));
    FINE(cudaFree(dy));
}

Test(kernels, sums_by_shuffles_and_by_a_tree)
{
    enum { N = 5000, BLOCKS = 5 };
    double x[N], parts[BLOCKS], want = 0;
    float  f[N], tree[BLOCKS];
    for (int i = 0; i < N; i++) want += x[i] = f[i] = number(i);
    double *dx = device_from(x, sizeof x), *sums = device_new(sizeof parts);
    float  *df = device_from(f, sizeof f), *trees = device_new(sizeof tree);
    EACH_ORDER for (int threads = 32; threads <= 1024; threads *= 2)
    {
        double got = 0, got_tree = 0;
        FINE(test_block_sums(N, dx, BLOCKS, threads, sums, NULL));
        FINE(test_tree_sums(N, df, BLOCKS, threads, trees, NULL));
        device_to(parts, sums, sizeof parts);
        device_to(tree, trees, sizeof tree);
        for (int i = 0; i < BLOCKS; i++) {
            got += parts[i];
            got_tree += (double)tree[i];
        }
        cr_assert_eq(got, want, "%d threads", threads);
        cr_assert_eq(got_tree, want, "%d threads", threads);
    }
    /* Warps whose number is not a power of two. */
    EACH_ORDER
    {
        double got = 0;
        FINE(test_block_sums(N, dx, BLOCKS, 96, sums, NULL));
        device_to(parts, sums, sizeof parts);
        for (int i = 0; i < BLOCKS; i++) got += parts[i];
        cr_assert_eq(got, want);
    }
    FINE(cudaFree(dx));
    FINE(cudaFree(sums));
    FINE(cudaFree(df));
    FINE(cudaFree(trees));
}

Test(kernels, tiled_product_of_odd_sizes)
{
    const int sizes[][3] = { { 1, 1, 1 }, { 7, 9, 5 }, { 8, 8, 8 }, { 17, 3, 30 }, { 20, 33, 1 } };
    EACH_ORDER for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    {
        int    m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
        float *a = calloc((size_t)(m * k), sizeof *a), *b = calloc((size_t)(k * n), sizeof *b);
        float *c = calloc((size_t)(m * n), sizeof *c);
        for (int i = 0; i < m * k; i++) a[i] = number(i);
        for (int i = 0; i < k * n; i++) b[i] = number(5 * i + 1);
        float *da = device_from(a, (size_t)(m * k) * sizeof *a),
              *db = device_from(b, (size_t)(k * n) * sizeof *b);
        float *dc = device_new((size_t)(m * n) * sizeof *c);
        FINE(test_tiled_product(m, n, k, da, db, dc, NULL));
        device_to(c, dc, (size_t)(m * n) * sizeof *c);
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++) {
                float want = 0;
                for (int l = 0; l < k; l++) want += a[i * k + l] * b[l * n + j];
                cr_assert_eq(c[i * n + j], want, "%d x %d x %d at %d, %d", m, n, k, i, j);
            }
        free(a);
        free(b);
        free(c);
        FINE(cudaFree(da));
        FINE(cudaFree(db));
        FINE(cudaFree(dc));
    }
}

Test(kernels, softmax_of_rows)
{
    const int cols_of[] = { 1, 31, 128, 300 };
    EACH_ORDER for (size_t s = 0; s < sizeof cols_of / sizeof *cols_of; s++)
    {
        enum { ROWS = 3 };
        int    cols = cols_of[s];
        size_t bytes = (size_t)(ROWS * cols) * sizeof(float);
        float *x = malloc(bytes), *y = malloc(bytes);
        for (int i = 0; i < ROWS * cols; i++) x[i] = 0.25f * number(i);
        float *device = device_from(x, bytes);
        FINE(test_softmax_rows(ROWS, cols, device, NULL));
        device_to(y, device, bytes);
        for (int i = 0; i < ROWS; i++) {
            double sum = 0;
            for (int j = 0; j < cols; j++) sum += exp((double)x[i * cols + j]);
            for (int j = 0; j < cols; j++)
                cr_assert_float_eq((double)y[i * cols + j], exp((double)x[i * cols + j]) / sum, 1e-6);
        }
        free(x);
        free(y);
        FINE(cudaFree(device));
    }
}

Test(kernels, shuffles_of_every_kind_and_width)
{
    int64_t got[160], *device = device_new(sizeof got);
    EACH_ORDER for (int width = 1; width <= 32; width *= 2)
    {
        FINE(test_shuffles(width, device, NULL));
        device_to(got, device, sizeof got);
        for (int lane = 0; lane < 32; lane++) {
            int begin = lane / width * width, end = begin + width;
            cr_assert_eq(got[lane], 100 + begin + 3 % width);
            cr_assert_eq(got[32 + lane], 100 + (lane - 2 < begin ? lane : lane - 2));
            cr_assert_eq(got[64 + lane], 100 + (lane + 5 >= end ? lane : lane + 5));
            cr_assert_eq(got[96 + lane], 100 + ((lane ^ 1) >= end ? lane : lane ^ 1));
            cr_assert_eq(got[128 + lane], 0xaaaaaaaa);
        }
    }
    FINE(cudaFree(device));
}

Test(kernels, integer_atomics_and_counting_barriers)
{
    enum { N = 333, BLOCKS = (N + 63) / 64 };
    float x[N];
    int   count, out[BLOCKS], want = 0;
    for (int i = 0; i < N; i++) {
        x[i] = number(i);
        want += x[i] > 0;
    }
    float *dx = device_from(x, sizeof x);
    int   *dc = device_new(sizeof count), *blocks = device_new(sizeof out);
    EACH_ORDER
    {
        int sum = 0;
        FINE(cudaMemset(dc, 0, sizeof count));
        FINE(test_count(N, dx, dc, blocks, NULL));
        device_to(&count, dc, sizeof count);
        device_to(out, blocks, sizeof out);
        for (int i = 0; i < BLOCKS; i++) sum += out[i];
        cr_assert_eq(count, want);
        cr_assert_eq(sum, want);
    }
    FINE(cudaFree(dx));
    FINE(cudaFree(dc));
    FINE(cudaFree(blocks));
}

Test(kernels, orders_differ_and_are_permutations)
{
    enum { N = 100 };
    int first[4], order[N], *device = device_new(sizeof order), distinct = 0;
    ss_emulator_set_order(SS_EMULATOR_ROTATE, 5);
    for (int turn = 0; turn < 4; turn++) {
        bool seen[N] = { false };
        FINE(test_order(N, device, NULL));
        device_to(order, device, sizeof order);
        for (int i = 0; i < N; i++) {
            cr_assert(order[i] >= 0 && order[i] < N && !seen[order[i]]);
            seen[order[i]] = true;
        }
        first[turn] = order[1];
        for (int j = 0; j < turn; j++) distinct += first[turn] != first[j];
    }
    cr_assert_geq(distinct, 3, "the orders of four launches are not all the same");
    FINE(cudaFree(device));
}

Test(kernels, a_launch_that_cannot_be)
{
    float  *x = device_new(4096), *y = device_new(4096);
    double *d = device_new(4096);
    GIVES(cudaErrorInvalidConfiguration, test_block_sums(1, d, 1, 1025, d, NULL));
    GIVES(cudaErrorInvalidConfiguration, test_block_sums(1, d, 0, 32, d, NULL));
    GIVES(cudaErrorInvalidValue, test_softmax_rows(1, 20000, x, NULL)); /* 80 KB of dynamic shared memory */
    cr_assert_eq(cudaGetLastError(), cudaSuccess, "fetched once, such an error is gone");
    FINE(test_axpy(4, 1.0f, x, y, NULL));
    FINE(cudaDeviceSynchronize());
    FINE(cudaFree(x));
    FINE(cudaFree(y));
    FINE(cudaFree(d));
}
