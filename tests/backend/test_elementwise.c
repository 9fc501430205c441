/* Sums and products of matrices, column sums: strides, broadcast rows and lanes, in all cases of beta. */
#include "device.h"

/* Operand with its own stride pattern: 0 padded, 1 one row for all, 2 shared by all lanes, 3 contiguous. */
static tensor operand(device *d, int pattern, int64_t lanes, int64_t rows, int64_t cols)
{
    int64_t ld = pattern == 1 ? 0 : pattern == 3 ? cols : cols + 3;
    int64_t stride = pattern == 2 || lanes == 1 ? 0
                     : pattern == 1             ? cols + 1
                                                : rows * ld + (pattern == 3 ? 0 : 2);
    return tensor_random(d, lanes, rows, cols, ld, stride);
}

/* z := alpha x o y + beta z, or y := alpha x + beta y (as z, without y). Largest error in tolerated units. */
static double run(device *d, bool product, int px, int py, int64_t lanes, int64_t rows, int64_t cols,
                  double alpha, double beta, bool spoil)
{
    tensor  x = operand(d, px, lanes, rows, cols), y = operand(d, py, lanes, rows, cols);
    int64_t ld = px == 3 ? cols : cols + 1, stride = lanes > 1 ? rows * ld : 0;
    tensor  z = beta == 0 ? tensor_output(d, lanes, rows, cols, ld, stride)
                          : tensor_random(d, lanes, rows, cols, ld, stride);
    double *before = NULL, worst = 0;
    ss_test_require(ss_allocate(ss_test_context, z.span, sizeof *before, (void **)&before));
    memcpy(before, z.host, (size_t)z.span * sizeof *before);
    if (product)
        ss_test_require(d->b->class->multiply(d->b, NULL, lanes, alpha, &x.m, &y.m, beta, &z.m));
    else
        ss_test_require(d->b->class->add(d->b, NULL, lanes, alpha, &x.m, beta, &z.m));
    tensor_get(d, &z);
    if (spoil) z.host[z.span - 1] *= 1 + 1e-5;
    for (int64_t lane = 0; lane < lanes; lane++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++) {
                double *at = tensor_at(&z, lane, i, j);
                double want = alpha * *tensor_at(&x, lane, i, j) * (product ? *tensor_at(&y, lane, i, j) : 1);
                double scale = fabs(want);
                if (beta != 0) {
                    want += beta * before[at - z.host];
                    scale += fabs(beta * before[at - z.host]);
                }
                double error = fabs(*at - want) / (4 * d->unit * scale);
                worst = error <= worst ? worst : error;
            }
    ss_free(ss_test_context, before);
    tensor_free(d, &x);
    tensor_free(d, &y);
    tensor_free(d, &z);
    return worst;
}

Test(elementwise, add_and_multiply, .init = ss_test_begin, .fini = ss_test_end)
{
    static const int64_t shape[][3] = {
        { 1, 1, 1 }, { 2, 3, 5 }, { 3, 7, 16 }, { 2, 1, 33 }, { 1, 2, 9001 }
    };
    static const double factor[][2] = { { 1, 0 }, { 1, 1 }, { -0.5, 0 }, { 2, 0.25 } };
    DEVICE_EACH(d)
    {
        for (int s = 0; s < 5; s++)
            for (int f = 0; f < 4; f++)
                for (int p = 0; p < 16; p++)
                    for (int product = 0; product < 2; product++) {
                        double worst = run(&d, product, p % 4, p / 4, shape[s][0], shape[s][1], shape[s][2],
                                           factor[f][0], factor[f][1], false);
                        cr_assert(worst <= 1, "%s %s: shape %d factor %d patterns %d product %d: %g",
                                  d.b->name, ss_real_name(d.real), s, f, p, product, worst);
                    }
    }
}

/* z (+)= alpha x + beta y. Largest error in tolerated units. */
static double run_sum(device *d, int px, int py, int64_t lanes, int64_t rows, int64_t cols, bool accumulate,
                      bool spoil)
{
    const double alpha = -0.75, beta = 1.5;
    tensor       x = operand(d, px, lanes, rows, cols), y = operand(d, py, lanes, rows, cols);
    int64_t      ld = px == 3 ? cols : cols + 1, stride = lanes > 1 ? rows * ld : 0;
    tensor       z = accumulate ? tensor_random(d, lanes, rows, cols, ld, stride)
                                : tensor_output(d, lanes, rows, cols, ld, stride);
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
            for (int p = 0; p < 16; p++)
                for (int accumulate = 0; accumulate < 2; accumulate++) {
                    double worst =
                        run_sum(&d, p % 4, p / 4, shape[s][0], shape[s][1], shape[s][2], accumulate, false);
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
    static const int64_t shape[][3] = { { 1, 1, 1 },    { 2, 3, 5 },     { 3, 7, 17 },
                                        { 1, 300, 10 }, { 2, 9000, 11 }, { 1, 5, 1030 } };
    DEVICE_EACH(d)
    {
        for (int s = 0; s < 6; s++)
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                int64_t lanes = shape[s][0], rows = shape[s][1], cols = shape[s][2], ld = cols + 1;
                tensor  x = tensor_random(&d, lanes, rows, cols, ld, lanes > 1 ? rows * ld + 3 : 0);
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
        cr_assert(run(&d, false, 0, 0, 2, 3, 4, 1, 1, true) > 1);
        cr_assert(run(&d, true, 0, 1, 2, 3, 4, 2, 0, true) > 1);
    }
}
