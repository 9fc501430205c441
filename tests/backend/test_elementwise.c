/* Sums of matrices, column sums: strides, broadcast rows and lanes, in all cases of beta. */
#include "device.h"

enum { PATTERNS = 5 };

/* Operand with its own stride pattern: 0 padded, 1 one row for all, 2 shared by all lanes, 3 contiguous, 4
 * padded to multiples of 16 bytes. */
static tensor operand(device *d, int pattern, int64_t lanes, int64_t rows, int64_t cols)
{
    int64_t ld = pattern == 1 ? 0 : pattern == 3 ? cols : pattern == 4 ? ss_round_up(cols, 4) + 4 : cols + 3;
    int64_t stride = pattern == 2 || lanes == 1 ? 0
                     : pattern == 1             ? cols + 1
                                                : rows * ld + (pattern == 3   ? 0
                                                               : pattern == 4 ? 8
                                                                              : 2);
    return tensor_random(d, lanes, rows, cols, ld, stride);
}

/* The output that goes with it. */
static tensor result(device *d, int pattern, bool random, int64_t lanes, int64_t rows, int64_t cols)
{
    int64_t ld = pattern == 3 ? cols : pattern == 4 ? ss_round_up(cols, 4) : cols + 1;
    int64_t stride = lanes > 1 ? rows * ld : 0;
    return random ? tensor_random(d, lanes, rows, cols, ld, stride)
                  : tensor_output(d, lanes, rows, cols, ld, stride);
}

/* y := alpha x + beta y. Largest error in tolerated units. */
static double run(device *d, int px, int64_t lanes, int64_t rows, int64_t cols, double alpha, double beta,
                  bool spoil)
{
    tensor  x = operand(d, px, lanes, rows, cols);
    tensor  y = result(d, px, beta != 0, lanes, rows, cols);
    double *before = NULL, worst = 0;
    ss_test_require(ss_allocate(ss_test_context, y.span, sizeof *before, (void **)&before));
    memcpy(before, y.host, (size_t)y.span * sizeof *before);
    ss_test_require(d->b->class->add(d->b, NULL, lanes, alpha, &x.m, beta, &y.m));
    tensor_get(d, &y);
    if (spoil) y.host[y.span - 1] *= 1 + 1e-5;
    for (int64_t lane = 0; lane < lanes; lane++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++) {
                double *at = tensor_at(&y, lane, i, j);
                double  want = alpha * *tensor_at(&x, lane, i, j), scale = fabs(want);
                if (beta != 0) {
                    want += beta * before[at - y.host];
                    scale += fabs(beta * before[at - y.host]);
                }
                double error = fabs(*at - want) / (4 * d->unit * scale);
                worst = error <= worst ? worst : error;
            }
    ss_free(ss_test_context, before);
    tensor_free(d, &x);
    tensor_free(d, &y);
    return worst;
}

Test(elementwise, add, .init = ss_test_begin, .fini = ss_test_end)
{
    static const int64_t shape[][3] = {
        { 1, 1, 1 }, { 2, 3, 5 }, { 3, 7, 16 }, { 2, 1, 33 }, { 1, 2, 9001 }
    };
    static const double factor[][2] = { { 1, 0 }, { 1, 1 }, { -0.5, 0 }, { 2, 0.25 } };
    DEVICE_EACH(d)
    {
        for (int s = 0; s < 5; s++)
            for (int f = 0; f < 4; f++)
                for (int p = 0; p < PATTERNS; p++) {
                    double worst =
                        run(&d, p, shape[s][0], shape[s][1], shape[s][2], factor[f][0], factor[f][1], false);
                    cr_assert(worst <= 1, "%s %s: shape %d factor %d pattern %d: %g", d.b->name,
                              ss_real_name(d.real), s, f, p, worst);
                }
    }
}

/* z (+)= alpha x + beta y. Largest error in tolerated units. */
static double run_sum(device *d, int px, int py, int64_t lanes, int64_t rows, int64_t cols, bool accumulate,
                      bool spoil)
{
    const double alpha = -0.75, beta = 1.5;
    tensor       x = operand(d, px, lanes, rows, cols), y = operand(d, py, lanes, rows, cols);
    tensor       z = result(d, px, accumulate, lanes, rows, cols);
    double      *before = NULL, worst = 0;
    ss_test_require(ss_allocate(ss_test_context, z.span, sizeof *before, (void **)&before));
    memcpy(before, z.host, (size_t)z.span * sizeof *before);
    ss_test_require(d->b->class->sum(d->b, NULL, lanes, alpha, &x.m, beta, &y.m, accumulate, &z.m));
    tensor_get(d, &z);
    if (spoil) z.host[z.span - 1] *= 1 + 1e-5;
    for (int64_t lane = 0; lane < lanes; lane++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++) {
                double *at = tensor_at(&z, lane, i, j), old = accumulate ? before[at - z.host] : 0;
                double  a = alpha * *tensor_at(&x, lane, i, j), b = beta * *tensor_at(&y, lane, i, j);
                double  error = fabs(*at - (a + b + old)) / (4 * d->unit * (fabs(a) + fabs(b) + fabs(old)));
                worst = error <= worst ? worst : error;
            }
    ss_free(ss_test_context, before);
    tensor_free(d, &x);
    tensor_free(d, &y);
    tensor_free(d, &z);
    return worst;
}

Test(elementwise, sum, .init = ss_test_begin, .fini = ss_test_end)
{
    static const int64_t shape[][3] = { { 1, 1, 1 }, { 2, 3, 5 }, { 3, 7, 16 }, { 1, 2, 9001 } };
    DEVICE_EACH(d)
    {
        for (int s = 0; s < 4; s++)
            for (int p = 0; p < PATTERNS * PATTERNS; p++)
                for (int accumulate = 0; accumulate < 2; accumulate++) {
                    double worst = run_sum(&d, p % PATTERNS, p / PATTERNS, shape[s][0], shape[s][1],
                                           shape[s][2], accumulate, false);
                    cr_assert(worst <= 1, "%s %s: shape %d patterns %d accumulate %d: %g", d.b->name,
                              ss_real_name(d.real), s, p, accumulate, worst);
                }
        cr_assert(run_sum(&d, 0, 1, 2, 3, 4, false, true) > 1);
    }
}

/* A matrix of one row is a broadcast whatever its leading dimension. */
Test(elementwise, single_row_is_broadcast, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        tensor bias = tensor_random(&d, 1, 1, 5, 5, 0), y = tensor_output(&d, 1, 4, 5, 5, 0);
        ss_test_require(d.b->class->add(d.b, NULL, 1, 1, &bias.m, 0, &y.m));
        tensor_get(&d, &y);
        for (int64_t i = 0; i < 4; i++)
            for (int64_t j = 0; j < 5; j++) cr_assert(*tensor_at(&y, 0, i, j) == bias.host[j]);
        tensor_free(&d, &bias);
        tensor_free(&d, &y);
    }
}

Test(elementwise, column_sum, .init = ss_test_begin, .fini = ss_test_end)
{
    static const int64_t shape[][3] = { { 1, 1, 1 },     { 2, 3, 5 },    { 3, 7, 17 },  { 1, 300, 10 },
                                        { 2, 9000, 11 }, { 1, 5, 1030 }, { 2, 70, 136 } };
    DEVICE_EACH(d)
    {
        for (int s = 0; s < 7; s++)
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                int64_t lanes = shape[s][0], rows = shape[s][1], cols = shape[s][2],
                        ld = cols + (s == 6 ? 4 : 1);
                tensor x =
                    tensor_random(&d, lanes, rows, cols, ld, lanes > 1 ? rows * ld + (s == 6 ? 4 : 3) : 0);
                int64_t stride = lanes > 1 ? cols + 2 : 0;
                tensor  y = accumulate ? tensor_random(&d, lanes, 1, cols, cols, stride)
                                       : tensor_output(&d, lanes, 1, cols, cols, stride);
                double *before = NULL, *first = NULL;
                ss_test_require(ss_allocate(ss_test_context, y.span, sizeof *before, (void **)&before));
                ss_test_require(ss_allocate(ss_test_context, y.span, sizeof *first, (void **)&first));
                memcpy(before, y.host, (size_t)y.span * sizeof *before);
                for (int threads = 1; threads <= 3; threads++) {
                    ss_test_require(ss_context_set_threads(ss_test_context, threads));
                    memcpy(y.host, before, (size_t)y.span * sizeof *before);
                    tensor_put(&d, &y);
                    ss_test_require(d.b->class->column_sum(d.b, NULL, lanes, &x.m, accumulate, &y.m));
                    tensor_get(&d, &y);
                    if (threads == 1) memcpy(first, y.host, (size_t)y.span * sizeof *first);
                    for (int64_t lane = 0; lane < lanes; lane++)
                        for (int64_t j = 0; j < cols; j++) {
                            double     *at = tensor_at(&y, lane, 0, j);
                            long double sum = accumulate ? before[at - y.host] : 0;
                            for (int64_t i = 0; i < rows; i++) sum += *tensor_at(&x, lane, i, j);
                            /* float64 sums in both real types */
                            double units = d.real == SS_FLOAT32 ? 4 : 4 * sqrt((double)rows);
                            cr_assert(device_near(&d, *at, (double)sum, sqrt((double)rows), units));
                            cr_assert(*at == first[at - y.host], "threads change the sum");
                        }
                }
                ss_free(ss_test_context, before);
                ss_free(ss_test_context, first);
                tensor_free(&d, &x);
                tensor_free(&d, &y);
            }
    }
}

Test(elementwise, injected_error_is_seen, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        cr_assert(run(&d, 0, 2, 3, 4, 1, 1, true) > 1);
        cr_assert(run(&d, 1, 2, 3, 4, 2, 0, true) > 1);
    }
}
