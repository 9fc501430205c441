/* Tensors [lanes, batch, tokens, heads, dim] on a device for the suites of attention and rotary positions:
 * three layouts, sentinels wherever no element lies, and a compact float64 mirror on the host. */
#ifndef SS_TESTS_BACKEND_HEADS_H
#define SS_TESTS_BACKEND_HEADS_H

#include "device.h"

typedef enum heads_layout {
    HEADS_PACKED,    /* [lanes, batch, tokens, heads, dim] */
    HEADS_PROJECTED, /* the second of three projections of a token, heads beside each other */
    HEADS_APART,     /* [lanes, batch, heads, tokens, dim], with gaps everywhere */
    HEADS_LAYOUTS
} heads_layout;

typedef struct heads {
    ss_heads h;
    void    *base;
    int64_t  lanes, count, whole; /* elements of a lane; of all memory */
    double  *host;                /* [lanes, batch, tokens, heads, dim] */
} heads;

/* Element of memory, counted from `base`, where compact element i lies. */
static inline int64_t heads_place(const heads *t, int64_t first, int64_t i)
{
    const ss_heads *h = &t->h;
    int64_t         lane = i / t->count, dim = i % h->dim;
    i = i % t->count / h->dim;
    int64_t head = i % h->heads, token = i / h->heads % h->tokens, batch = i / (h->heads * h->tokens);
    return first + lane * h->lane_stride + batch * h->batch_stride + token * h->token_stride +
           head * h->head_stride + dim;
}

static inline int64_t heads_first(const device *d, const heads *t)
{
    return ((const char *)t->h.data - (const char *)t->base) / (int64_t)ss_real_size(d->real);
}

/* The mirror to the device. */
static inline void heads_put(const device *d, heads *t)
{
    double *all = NULL;
    ss_test_require(ss_allocate(ss_test_context, t->whole, sizeof *all, (void **)&all));
    for (int64_t i = 0; i < t->whole; i++) all[i] = DEVICE_SENTINEL;
    for (int64_t i = 0; i < t->lanes * t->count; i++) all[heads_place(t, heads_first(d, t), i)] = t->host[i];
    device_put(d, t->base, all, t->whole);
    ss_free(ss_test_context, all);
}

/* Brings the elements back and checks that nothing else was written. */
static inline void heads_get(const device *d, heads *t)
{
    double *all = NULL;
    ss_test_require(ss_allocate(ss_test_context, t->whole, sizeof *all, (void **)&all));
    device_get(d, all, t->base, t->whole);
    for (int64_t i = 0; i < t->lanes * t->count; i++) {
        int64_t at = heads_place(t, heads_first(d, t), i);
        t->host[i] = all[at];
        all[at] = DEVICE_SENTINEL;
    }
    for (int64_t i = 0; i < t->whole; i++)
        cr_assert(all[i] == DEVICE_SENTINEL, "written outside the tensor, element %lld: %g", (long long)i,
                  all[i]);
    ss_free(ss_test_context, all);
}

/* Memory for a tensor; lanes 0: one that all lanes share. Values (NULL: NaN, so that reading shows) of all
 * lanes. */
static inline heads heads_make(const device *d, heads_layout layout, int64_t lanes, int64_t batch,
                               int64_t tokens, int64_t n_heads, int64_t dim, const double *values)
{
    heads   t = { .lanes = ss_max64(lanes, 1), .count = batch * tokens * n_heads * dim };
    int64_t first = DEVICE_MARGIN, element = (int64_t)ss_real_size(d->real);
    t.h = (ss_heads){ .batch = batch, .tokens = tokens, .heads = n_heads, .dim = dim };
    if (layout == HEADS_APART) {
        t.h.token_stride = dim + 1;
        t.h.head_stride = tokens * t.h.token_stride + 3;
        t.h.batch_stride = n_heads * t.h.head_stride + 5;
    } else {
        t.h.head_stride = dim;
        t.h.token_stride = n_heads * dim * (layout == HEADS_PROJECTED ? 3 : 1);
        t.h.batch_stride = tokens * t.h.token_stride;
        if (layout == HEADS_PROJECTED) first += n_heads * dim;
    }
    t.h.lane_stride = batch * t.h.batch_stride + (layout == HEADS_APART ? 7 : 0);
    t.whole = first + t.lanes * t.h.lane_stride + DEVICE_MARGIN;
    if (lanes == 0) t.h.lane_stride = 0;
    t.base = device_allocate(d, t.whole * element);
    t.h.data = (char *)t.base + first * element;
    ss_test_require(ss_allocate(ss_test_context, t.lanes * t.count, sizeof(double), (void **)&t.host));
    for (int64_t i = 0; i < t.lanes * t.count; i++) t.host[i] = values ? values[i] : (double)NAN;
    heads_put(d, &t);
    return t;
}

static inline void heads_free(const device *d, heads *t)
{
    if (!t->base) return;
    d->b->class->release(d->b, t->base);
    ss_free(ss_test_context, t->host);
    memset(t, 0, sizeof *t);
}

/* Standard normal numbers that both real types hold; given back by ss_free. */
static inline double *heads_random(uint64_t *drawn, int64_t count)
{
    double *values = NULL;
    ss_test_require(ss_allocate(ss_test_context, count, sizeof *values, (void **)&values));
    for (int64_t i = 0; i < count; i++)
        values[i] = (double)(float)ss_random_normal(DEVICE_SEED, SS_STREAM_TEST, (*drawn)++);
    return values;
}

#endif
