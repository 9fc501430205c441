/* Matrices on a device for the backend suites: random contents, any strides, sentinels around and between the
 * elements, and a float64 mirror on the host. Every suite runs on every CPU backend in both real types. */
#ifndef SS_TESTS_BACKEND_DEVICE_H
#define SS_TESTS_BACKEND_DEVICE_H

#include "backend/cpu/cpu.h"
#include "base/philox.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Between and around the elements of a matrix; no computation of the suites gives it. */
#define DEVICE_SENTINEL (-7777.0)
#define DEVICE_MARGIN   64 /* elements in front and behind */
#define DEVICE_SEED     20240711u

typedef struct device {
    ss_backend *b;
    ss_real     real;
    double      unit;  /* rounding unit of the real type */
    uint64_t    drawn; /* random numbers used so far */
} device;

typedef struct tensor {
    ss_matrix m;     /* as the primitives take it */
    void     *base;  /* device memory, margins included */
    int64_t   lanes; /* as far as lane_stride != 0 */
    int64_t   span;  /* elements from the first to the last one */
    double   *host;  /* [span] mirror; sentinels where no element lies */
} tensor;

#define DEVICE_EACH(d)                                                                                       \
    for (int case_ = 0, cases_ = device_cases(); case_ < cases_; case_++)                                    \
        for (device d = device_open(case_); d.b; device_close(&d))

/* Every backend in both real types. */
static inline int device_kinds(void)
{
    int n = 0;
    while (ss_test_backends()[n]) n++;
    return 2 * n;
}

static inline bool device_is_cpu(const char *backend)
{
    return strncmp(backend, "cpu", 3) == 0;
}

/* ... and those of the processor at every instruction-set level that it has. They come first in the list. */
static inline int device_cases(void)
{
    int processors = 0;
    unsetenv("SADDLESCOPE_SIMD");
    while (ss_test_backends()[processors] && device_is_cpu(ss_test_backends()[processors])) processors++;
    return device_kinds() + 2 * processors * (int)ss_cpu_best_level();
}

static inline device device_open(int number)
{
    device d = { .real = number % 2 ? SS_FLOAT64 : SS_FLOAT32 };
    int    level = 0, processors = device_cases() - device_kinds();
    if (number >= device_kinds()) {
        processors /= (int)ss_cpu_best_level();
        level = 1 + (number - device_kinds()) / processors;
        number = (number - device_kinds()) % processors;
    }
    setenv("SADDLESCOPE_SIMD", ss_cpu_level_name((ss_cpu_level)level), 1);
    d.unit = ss_real_unit_roundoff(d.real);
    ss_test_require(ss_backend_open(ss_test_context, ss_test_backends()[number / 2], d.real, &d.b));
    return d;
}

/* Waits for the device: errors of its kernels show here at the latest. */
static inline ss_status device_finish(const device *d, ss_status status)
{
    return status == SS_OK ? d->b->class->queue_synchronize(d->b, NULL) : status;
}

static inline void device_close(device *d)
{
    ss_backend_close(d->b);
    d->b = NULL;
}

static inline double device_round(const device *d, double x)
{
    return d->real == SS_FLOAT32 ? (double)(float)x : x;
}

static inline double device_random(device *d)
{
    return device_round(d, ss_random_normal(DEVICE_SEED, SS_STREAM_TEST, d->drawn++));
}

/* host[0..n) -> device */
static inline void device_put(const device *d, void *to, const double *host, int64_t n)
{
    float *narrow = NULL;
    ss_test_require(ss_allocate(ss_test_context, n, sizeof *narrow, (void **)&narrow));
    for (int64_t i = 0; i < n; i++) narrow[i] = (float)host[i];
    bool single = d->real == SS_FLOAT32;
    ss_test_require(d->b->class->upload(d->b, NULL, to, single ? (const void *)narrow : (const void *)host,
                                        n * (int64_t)ss_real_size(d->real)));
    ss_test_require(d->b->class->queue_synchronize(d->b, NULL));
    ss_free(ss_test_context, narrow);
}

static inline void device_get(const device *d, double *host, const void *from, int64_t n)
{
    int64_t bytes = n * (int64_t)ss_real_size(d->real);
    void   *raw = NULL;
    ss_test_require(ss_allocate(ss_test_context, bytes, 1, &raw));
    ss_test_require(d->b->class->download(d->b, NULL, raw, from, bytes));
    ss_test_require(d->b->class->queue_synchronize(d->b, NULL));
    for (int64_t i = 0; i < n; i++)
        host[i] = d->real == SS_FLOAT32 ? (double)((float *)raw)[i] : ((double *)raw)[i];
    ss_free(ss_test_context, raw);
}

static inline void *device_allocate(const device *d, int64_t bytes)
{
    void *memory = NULL;
    ss_test_require(d->b->class->allocate(d->b, bytes, &memory));
    return memory;
}

/* Raw host bytes on the device. */
static inline void *device_bytes(const device *d, const void *host, int64_t bytes)
{
    void *memory = device_allocate(d, bytes);
    ss_test_require(d->b->class->upload(d->b, NULL, memory, host, bytes));
    return memory;
}

static inline double *tensor_at(const tensor *t, int64_t lane, int64_t i, int64_t j)
{
    return t->host + lane * t->m.lane_stride + i * t->m.ld + j;
}

static inline void *tensor_margin(const device *d, const tensor *t)
{
    return (char *)t->m.data - DEVICE_MARGIN * (int64_t)ss_real_size(d->real);
}

/* The mirror, margins included, to the device. */
static inline void tensor_put(const device *d, tensor *t)
{
    int64_t whole = t->span + 2 * DEVICE_MARGIN;
    double *all = NULL;
    ss_test_require(ss_allocate(ss_test_context, whole, sizeof *all, (void **)&all));
    for (int64_t i = 0; i < whole; i++) {
        bool inside = i >= DEVICE_MARGIN && i < DEVICE_MARGIN + t->span;
        all[i] = inside ? t->host[i - DEVICE_MARGIN] : DEVICE_SENTINEL;
    }
    device_put(d, tensor_margin(d, t), all, whole);
    ss_free(ss_test_context, all);
}

static inline void tensor_fill(const device *d, tensor *t, double (*value)(device *), device *source)
{
    for (int64_t lane = 0; lane < t->lanes; lane++)
        for (int64_t i = 0; i < (t->m.ld ? t->m.rows : 1); i++)
            for (int64_t j = 0; j < t->m.cols; j++) *tensor_at(t, lane, i, j) = value(source);
    tensor_put(d, t);
}

static inline double device_nan(device *d)
{
    (void)d;
    return (double)NAN;
}

static inline tensor tensor_shape(const device *d, int64_t lanes, int64_t rows, int64_t cols, int64_t ld,
                                  int64_t lane_stride)
{
    tensor t = { .lanes = lane_stride ? lanes : 1 };
    t.m = (ss_matrix){ .rows = rows, .cols = cols, .ld = ld, .lane_stride = lane_stride };
    t.span = (t.lanes - 1) * lane_stride + (rows - 1) * ld + cols;
    ss_test_require(ss_allocate(ss_test_context, t.span, sizeof(double), (void **)&t.host));
    for (int64_t i = 0; i < t.span; i++) t.host[i] = DEVICE_SENTINEL;
    int64_t element = (int64_t)ss_real_size(d->real);
    t.base = device_allocate(d, (t.span + 2 * DEVICE_MARGIN) * element);
    t.m.data = (char *)t.base + DEVICE_MARGIN * element;
    return t;
}

/* Standard normal elements. */
static inline tensor tensor_random(device *d, int64_t lanes, int64_t rows, int64_t cols, int64_t ld,
                                   int64_t lane_stride)
{
    tensor t = tensor_shape(d, lanes, rows, cols, ld, lane_stride);
    tensor_fill(d, &t, device_random, d);
    return t;
}

/* An output to be overwritten: NaN, so that reading it shows. */
static inline tensor tensor_output(device *d, int64_t lanes, int64_t rows, int64_t cols, int64_t ld,
                                   int64_t lane_stride)
{
    tensor t = tensor_shape(d, lanes, rows, cols, ld, lane_stride);
    tensor_fill(d, &t, device_nan, d);
    return t;
}

/* Brings the elements back and checks that nothing else was written. */
static inline void tensor_get(const device *d, tensor *t)
{
    int64_t whole = t->span + 2 * DEVICE_MARGIN;
    double *all = NULL;
    bool   *touched = NULL;
    ss_test_require(ss_allocate(ss_test_context, whole, sizeof *all, (void **)&all));
    ss_test_require(ss_allocate(ss_test_context, whole, sizeof *touched, (void **)&touched));
    device_get(d, all, tensor_margin(d, t), whole);
    for (int64_t lane = 0; lane < t->lanes; lane++)
        for (int64_t i = 0; i < t->m.rows; i++)
            for (int64_t j = 0; j < t->m.cols; j++)
                touched[DEVICE_MARGIN + (tensor_at(t, lane, i, j) - t->host)] = true;
    for (int64_t i = 0; i < whole; i++)
        cr_assert(touched[i] || all[i] == DEVICE_SENTINEL, "written outside the matrix, element %lld: %g",
                  (long long)(i - DEVICE_MARGIN), all[i]);
    memcpy(t->host, all + DEVICE_MARGIN, (size_t)t->span * sizeof(double));
    ss_free(ss_test_context, touched);
    ss_free(ss_test_context, all);
}

static inline void tensor_free(const device *d, tensor *t)
{
    if (!t->base) return;
    d->b->class->release(d->b, t->base);
    ss_free(ss_test_context, t->host);
    memset(t, 0, sizeof *t);
}

/* Is x within `units` rounding units of `want`, relative to `scale`? */
static inline bool device_near(const device *d, double x, double want, double scale, double units)
{
    return fabs(x - want) <= units * d->unit * fmax(scale, fabs(want));
}

#endif
