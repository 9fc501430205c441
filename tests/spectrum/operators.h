/* Operators with known spectra for the suites of this folder: H = Q diag(d) Q' with Q a product of
 * Householder reflections (so that no eigenvector is an axis), in any backend, real type and layout, with
 * optional noise in the products. The mathematics is done on the host in float64 whatever the backend. */
#ifndef SS_TESTS_SPECTRUM_OPERATORS_H
#define SS_TESTS_SPECTRUM_OPERATORS_H

#include "backend/backend.h"
#include "base/philox.h"
#include "saddlescope/spectrum.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define MOST_SEGMENTS 8

typedef struct known {
    int64_t      n;
    double      *d;          /* [n] eigenvalues */
    double      *u;          /* [n] unit vector of the reflection Q = I - 2 u u'; NULL = no reflection */
    double       noise;      /* each product gets a random error of this relative length */
    uint64_t     noise_seed; /* plus the number of the product */
    int64_t      calls;      /* products so far */
    int64_t      interrupt;  /* at this product the interrupt flag is raised; 0 = never */
    int64_t      poison;     /* at this product an element becomes NaN; 0 = never */
    volatile int flag;       /* of the context */
    ss_backend  *backend;    /* owned when the operator has its own layout */
    ss_layout    layout;
    ss_segment   segments[MOST_SEGMENTS];
    double      *x, *y;  /* [n] packed */
    char        *padded; /* [padded] in the real type */
    ss_operator  op;
} known;

/* y := x - 2 (u'x) u */
static inline void known_reflect(const known *k, double *x)
{
    double dot = 0.0;
    if (k->u == NULL) return;
    for (int64_t i = 0; i < k->n; i++) dot += k->u[i] * x[i];
    for (int64_t i = 0; i < k->n; i++) x[i] -= 2.0 * dot * k->u[i];
}

/* k->y := H k->x */
static inline int known_product(known *k)
{
    k->calls++;
    memcpy(k->y, k->x, (size_t)k->n * sizeof *k->y);
    known_reflect(k, k->y);
    for (int64_t i = 0; i < k->n; i++) k->y[i] *= k->d[i];
    known_reflect(k, k->y);
    if (k->noise > 0.0) {
        double size = 0.0, length = 0.0;
        for (int64_t i = 0; i < k->n; i++) size += k->y[i] * k->y[i];
        for (int64_t i = 0; i < k->n; i++) {
            k->x[i] = ss_random_normal(k->noise_seed + (uint64_t)k->calls, SS_STREAM_TEST, (uint64_t)i);
            length += k->x[i] * k->x[i];
        }
        for (int64_t i = 0; i < k->n; i++) k->y[i] += k->noise * sqrt(size / length) * k->x[i];
    }
    if (k->calls == k->interrupt) k->flag = 1;
    if (k->calls == k->poison) k->y[k->n / 2] = NAN;
    return 0;
}

static inline int known_plain(void *user, int64_t n, const double *x, double *y)
{
    known *k = user;
    memcpy(k->x, x, (size_t)n * sizeof *x);
    known_product(k);
    memcpy(y, k->y, (size_t)n * sizeof *y);
    return 0;
}

static inline ss_status known_apply(void *context, int count, const void *x, int64_t ldx, void *y,
                                    int64_t ldy, ss_queue *queue)
{
    known    *k = context;
    int64_t   size = (int64_t)ss_real_size(k->op.real);
    ss_status status = SS_OK;
    (void)queue;
    for (int j = 0; j < count && status == SS_OK; j++) {
        status = ss_operator_pack(&k->op, (const char *)x + j * ldx * size, k->x);
        known_product(k);
        if (status == SS_OK) status = ss_operator_unpack(&k->op, k->y, (char *)y + j * ldy * size);
    }
    return status;
}

static inline void known_allocate(known *k, int64_t n, bool reflected)
{
    *k = (known){ .n = n };
    ss_test_require(SS_NEW_ARRAY(ss_test_context, n, &k->d));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, n, &k->x));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, n, &k->y));
    ss_context_set_interrupt(ss_test_context, &k->flag);
    if (!reflected) return;
    double length = 0.0;
    ss_test_require(SS_NEW_ARRAY(ss_test_context, n, &k->u));
    for (int64_t i = 0; i < n; i++) {
        k->u[i] = ss_random_normal(99, SS_STREAM_TEST, (uint64_t)i);
        length += k->u[i] * k->u[i];
    }
    for (int64_t i = 0; i < n; i++) k->u[i] /= sqrt(length);
}

/* In a given backend and real type, the vector cut into `count` segments, of odd sizes. */
static inline void known_open_in(known *k, const char *backend, ss_real real, int64_t count,
                                 const int64_t *lengths, bool reflected)
{
    int64_t n = 0, offset = 0;
    for (int64_t i = 0; i < count; i++) n += lengths[i];
    known_allocate(k, n, reflected);
    n = 0;
    for (int64_t i = 0; i < count; i++) {
        k->segments[i] = (ss_segment){ .offset = offset, .canonical = n, .length = lengths[i] };
        n += lengths[i];
        offset += ss_round_up(lengths[i], SS_LAYOUT_ALIGNMENT);
    }
    k->layout = (ss_layout){ .n = n, .padded = offset, .n_segments = count, .segments = k->segments };
    ss_test_require(ss_backend_open(ss_test_context, backend, real, &k->backend));
    k->op = (ss_operator){ .context = k,
                           .apply = known_apply,
                           .layout = &k->layout,
                           .n_global = n,
                           .real = real,
                           .backend = k->backend,
                           .lanes = 3 };
}

static inline void known_open_padded(known *k, const char *backend, ss_real real, int64_t count,
                                     const int64_t *lengths)
{
    known_open_in(k, backend, real, count, lengths, true);
}

/* A plain callback on n doubles. */
static inline void known_open_on_host(known *k, int64_t n, bool reflected)
{
    known_allocate(k, n, reflected);
    ss_test_require(ss_operator_from_function(ss_test_context, n, known_plain, k, &k->op));
}

/* Do the suites run on a device, which may be emulated? Then statistics take fewer runs, long vectors are
 * shorter. */
static inline bool known_on_device(void)
{
    return strcmp(ss_test_device(), "cpu") != 0;
}

/* A plain callback; where SS_TEST_DEVICE names a device, an operator whose vectors lie there.
 * The eigenvalues are to be filled in by the caller. */
static inline void known_open(known *k, int64_t n, bool reflected)
{
    if (!known_on_device()) {
        known_open_on_host(k, n, reflected);
        return;
    }
    known_open_in(k, ss_test_device(), SS_FLOAT64, 1, &n, reflected);
    k->op.lanes = 1; /* as the plain callback */
}

static inline void known_close(known *k)
{
    ss_operator_destroy(&k->op);
    ss_backend_close(k->backend);
    ss_free(ss_test_context, k->d);
    ss_free(ss_test_context, k->u);
    ss_free(ss_test_context, k->x);
    ss_free(ss_test_context, k->y);
    ss_context_set_interrupt(ss_test_context, NULL);
}

/* A padded vector in the operator's memory, filled from x[n] unless that is NULL; known_vector_free takes it
 * back. */
static inline void *known_vector(known *k, const double *x)
{
    void   *v = NULL;
    int64_t bytes = k->op.layout->padded * (int64_t)ss_real_size(k->op.real);
    ss_test_require(k->op.backend->class->allocate(k->op.backend, bytes, &v));
    ss_test_require(k->op.backend->class->zero(k->op.backend, NULL, v, bytes));
    if (x != NULL) ss_test_require(ss_operator_unpack(&k->op, x, v));
    return v;
}

static inline void known_vector_free(known *k, void *v)
{
    k->op.backend->class->release(k->op.backend, v);
}

/* ---- Spectra of reference 1.1: Hessian-like, n values ---- */
static inline double uniform_at(int64_t i)
{
    return ss_random_uniform(5, SS_STREAM_TEST, (uint64_t)i);
}

static inline void spectrum_fill(char kind, int64_t n, double *d)
{
    for (int64_t i = 0; i < n; i++) {
        double u = uniform_at(i), laplace = u < 0.5 ? log(2.0 * u) : -log(2.0 - 2.0 * u);
        switch (kind) {
        case 'A': /* trained: 20 outliers 1 .. 0.05, negatives to -0.02, Laplace bulk 3e-4 */
            d[i] = i < 20   ? pow(0.05, (double)i / 19.0)
                   : i < 30 ? -0.02 * pow(0.1, (double)(i - 20) / 9.0)
                            : 3e-4 * laplace;
            break;
        case 'B': /* two power-law tails */
            d[i] = i % 2 == 0 ? 1.0 / (double)(i / 2 + 1) : -0.3 / (double)(i / 2 + 1);
            break;
        case 'C': { /* 5 outliers and a semicircle: the low end is the edge of a bulk */
            double angle = 3.14159265358979 * u;
            for (int step = 0; step < 30; step++)
                angle -= (angle - 0.5 * sin(2.0 * angle) - 3.14159265358979 * u) /
                         fmax(1e-3, 1.0 - cos(2.0 * angle));
            d[i] = i < 5 ? 1.0 - 0.12 * (double)i : 0.28 * cos(angle);
            break;
        }
        default: /* D: 40 outliers 1 .. 0.01, positive bulk 3e-4, one negative -0.002 */
            d[i] = i < 40 ? pow(0.01, (double)i / 39.0) : i == 40 ? -0.002 : 3e-4 * fabs(laplace);
            break;
        }
    }
}

static inline double least_of(const known *k)
{
    double least = k->d[0];
    for (int64_t i = 1; i < k->n; i++) least = fmin(least, k->d[i]);
    return least;
}

static inline double greatest_of(const known *k)
{
    double greatest = k->d[0];
    for (int64_t i = 1; i < k->n; i++) greatest = fmax(greatest, k->d[i]);
    return greatest;
}

#endif
