/* Rows: gathered and scattered by index (repeated ids, strides, lanes), scaled and multiplied one by one, and
 * the router in all its sweeps. */
#include "device.h"

static void begin(void)
{
    ss_test_begin();
    ss_test_require(ss_context_set_threads(ss_test_context, 1));
}

typedef struct shape {
    int64_t lanes, rows, cols, table;
} shape;

static const shape shapes[] = {
    { 1, 1, 1, 1 }, { 1, 7, 5, 3 }, { 3, 13, 17, 9 }, { 2, 33, 130, 6 }, { 1, 700, 257, 11 }
};
static const double factors[][2] = { { 1, 0 }, { 1, 1 }, { -0.75, 0 }, { 0.5, -2 } };

#define EACH_SHAPE(s)  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
#define EACH_FACTOR(f) for (size_t f = 0; f < sizeof factors / sizeof *factors; f++)
#define EACH_ELEMENT(lane, i, j, s)                                                                          \
    for (int64_t lane = 0; lane < (s)->lanes; lane++)                                                        \
        for (int64_t i = 0; i < (s)->rows; i++)                                                              \
            for (int64_t j = 0; j < (s)->cols; j++)

/* Padded rows and lanes; `shared`: one lane for all (inputs). */
static tensor made(device *d, const shape *s, int64_t rows, bool output, bool shared)
{
    int64_t ld = s->cols + 3, stride = s->lanes > 1 && !shared ? rows * ld + 2 : 0;
    return output ? tensor_output(d, s->lanes, rows, s->cols, ld, stride)
                  : tensor_random(d, s->lanes, rows, s->cols, ld, stride);
}

static double *copy_of(const tensor *t)
{
    double *copy = NULL;
    ss_test_require(ss_allocate(ss_test_context, t->span, sizeof *copy, (void **)&copy));
    memcpy(copy, t->host, (size_t)t->span * sizeof *copy);
    return copy;
}

/* Most rows of the table more than once, some never. */
static int64_t *make_ids(const shape *s)
{
    int64_t *ids = NULL;
    ss_test_require(SS_NEW_ARRAY(ss_test_context, s->rows, &ids));
    for (int64_t i = 0; i < s->rows; i++) ids[i] = (i * i + 3 * i + 1) % ((s->table + 1) / 2) + s->table / 2;
    return ids;
}

Test(rows, gather, .init = begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        EACH_SHAPE(k)
        EACH_FACTOR(f)
        {
            const shape *s = &shapes[k];
            double       alpha = factors[f][0], beta = factors[f][1];
            tensor   table = made(&d, s, s->table, false, f == 3), y = made(&d, s, s->rows, beta == 0, false);
            int64_t *ids = make_ids(s);
            void    *index = device_bytes(&d, ids, s->rows * 8);
            double  *before = copy_of(&y);
            ss_test_require(d.b->class->gather_rows(d.b, NULL, s->lanes, alpha, &table.m, index, beta, &y.m));
            tensor_get(&d, &y);
            EACH_ELEMENT(lane, i, j, s)
            {
                double *at = tensor_at(&y, lane, i, j), term = alpha * *tensor_at(&table, lane, ids[i], j);
                double  old = beta != 0 ? beta * before[at - y.host] : 0;
                cr_assert(device_near(&d, *at, term + old, fabs(term) + fabs(old), 4), "%s: %g, expected %g",
                          d.b->name, *at, term + old);
            }
            ss_free(ss_test_context, before);
            ss_free(ss_test_context, ids);
            d.b->class->release(d.b, index);
            tensor_free(&d, &table);
            tensor_free(&d, &y);
        }
    }
}

/* Twice, with one thread and with two: repeated rows are added in one order, so the bits are the same. */
Test(rows, scatter, .init = begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        EACH_SHAPE(k)
        {
            const shape *s = &shapes[k];
            double       alpha = k % 2 ? -0.75 : 1;
            tensor       y = made(&d, s, s->rows, false, false), table = made(&d, s, s->table, false, false);
            int64_t     *ids = make_ids(s);
            void        *index = device_bytes(&d, ids, s->rows * 8);
            double      *want = copy_of(&table), *scale = copy_of(&table), *first = NULL;
            EACH_ELEMENT(lane, i, j, s)
            {
                int64_t at = tensor_at(&table, lane, ids[i], j) - table.host;
                want[at] += alpha * *tensor_at(&y, lane, i, j);
                scale[at] = fabs(scale[at]) + fabs(alpha * *tensor_at(&y, lane, i, j));
            }
            for (int pass = 0; pass < 2; pass++) {
                ss_test_require(ss_context_set_threads(ss_test_context, 1 + pass));
                tensor_put(&d, &table);
                double *original = copy_of(&table);
                ss_test_require(d.b->class->scatter_rows(d.b, NULL, s->lanes, alpha, &y.m, index, &table.m));
                tensor_get(&d, &table);
                for (int64_t i = 0; i < table.span; i++) {
                    double units = 2 + 2 * (double)s->rows;
                    cr_assert(device_near(&d, table.host[i], want[i], fabs(scale[i]), units),
                              "%s: %g, expected %g", d.b->name, table.host[i], want[i]);
                    if (first) cr_assert(first[i] == table.host[i], "%s: other bits", d.b->name);
                }
                ss_free(ss_test_context, first);
                first = copy_of(&table);
                memcpy(table.host, original, (size_t)table.span * sizeof(double));
                ss_free(ss_test_context, original);
            }
            ss_free(ss_test_context, first);
            ss_free(ss_test_context, want);
            ss_free(ss_test_context, scale);
            ss_free(ss_test_context, ids);
            d.b->class->release(d.b, index);
            tensor_free(&d, &table);
            tensor_free(&d, &y);
        }
    }
}

Test(rows, ids_outside_the_table, .init = begin, .fini = ss_test_end)
{
    static const int64_t ids[] = { 0, 3 };
    device               d = { .real = SS_FLOAT32 };
    ss_test_require(ss_backend_open(ss_test_context, "cpu", d.real, &d.b));
    tensor table = tensor_random(&d, 1, 3, 4, 4, 0), y = tensor_random(&d, 1, 2, 4, 4, 0);
    ss_test_refuse(d.b->class->gather_rows(d.b, NULL, 1, 1, &table.m, ids, 0, &y.m), SS_ERROR_INTERNAL,
                   "row 3");
    ss_test_refuse(d.b->class->scatter_rows(d.b, NULL, 1, 1, &y.m, ids, &table.m), SS_ERROR_INTERNAL,
                   "row 3");
    tensor_free(&d, &table);
    tensor_free(&d, &y);
    device_close(&d);
}

/* c is a column of a wider matrix, as a router's output gives it. */
static tensor column(device *d, const shape *s, bool output)
{
    int64_t stride = s->lanes > 1 ? s->rows * 5 + 1 : 0;
    return output ? tensor_output(d, s->lanes, s->rows, 1, 5, stride)
                  : tensor_random(d, s->lanes, s->rows, 1, 5, stride);
}

Test(rows, scale, .init = begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        EACH_SHAPE(k)
        EACH_FACTOR(f)
        {
            const shape *s = &shapes[k];
            double       alpha = factors[f][0], beta = factors[f][1];
            tensor       c = column(&d, s, false), x = made(&d, s, s->rows, false, f == 3);
            tensor       z = made(&d, s, s->rows, beta == 0, false);
            double      *before = copy_of(&z);
            ss_test_require(d.b->class->row_scale(d.b, NULL, s->lanes, alpha, &c.m, &x.m, beta, &z.m));
            tensor_get(&d, &z);
            EACH_ELEMENT(lane, i, j, s)
            {
                double *at = tensor_at(&z, lane, i, j);
                double  term = alpha * *tensor_at(&c, lane, i, 0) * *tensor_at(&x, lane, i, j);
                double  old = beta != 0 ? beta * before[at - z.host] : 0;
                cr_assert(device_near(&d, *at, term + old, fabs(term) + fabs(old), 4));
            }
            ss_free(ss_test_context, before);
            tensor_free(&d, &c);
            tensor_free(&d, &x);
            tensor_free(&d, &z);
        }
    }
}

Test(rows, dot, .init = begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        EACH_SHAPE(k)
        EACH_FACTOR(f)
        {
            const shape *s = &shapes[k];
            double       alpha = factors[f][0], beta = factors[f][1];
            tensor       x = made(&d, s, s->rows, false, f == 3), y = made(&d, s, s->rows, false, false);
            tensor       c = column(&d, s, beta == 0);
            double      *before = copy_of(&c);
            ss_test_require(d.b->class->row_dot(d.b, NULL, s->lanes, alpha, &x.m, &y.m, beta, &c.m));
            tensor_get(&d, &c);
            for (int64_t lane = 0; lane < s->lanes; lane++)
                for (int64_t i = 0; i < s->rows; i++) {
                    double *at = tensor_at(&c, lane, i, 0), want = 0, scale = 0;
                    for (int64_t j = 0; j < s->cols; j++) {
                        double term = alpha * *tensor_at(&x, lane, i, j) * *tensor_at(&y, lane, i, j);
                        want += term;
                        scale += fabs(term);
                    }
                    double old = beta != 0 ? beta * before[at - c.host] : 0;
                    cr_assert(device_near(&d, *at, want + old, scale + fabs(old), 4 + (double)s->cols / 4));
                }
            ss_free(ss_test_context, before);
            tensor_free(&d, &x);
            tensor_free(&d, &y);
            tensor_free(&d, &c);
        }
    }
}

/* ---- Router ---- */

/* y, and its derivative along a: y o (a - y . a) */
static void naive_choice(const double *x, int64_t n, int64_t top_k, double *y)
{
    double sum = 0;
    for (int64_t j = 0; j < n; j++) {
        int64_t before = 0;
        for (int64_t i = 0; i < n; i++) before += x[i] > x[j] || (x[i] == x[j] && i < j);
        sum += y[j] = before < top_k ? exp(x[j]) : 0;
    }
    for (int64_t j = 0; j < n; j++) y[j] /= sum;
}

static void naive_slope(const double *y, const double *a, int64_t n, double *out)
{
    double dot = 0;
    for (int64_t j = 0; j < n; j++) dot += y[j] * a[j];
    for (int64_t j = 0; j < n; j++) out[j] = y[j] * (a[j] - dot);
}

static void check_row(const device *d, const tensor *out, const double *before, int64_t lane, int64_t row,
                      const double *want, bool accumulate)
{
    for (int64_t j = 0; j < out->m.cols; j++) {
        double *at = tensor_at(out, lane, row, j), e = want[j] + (accumulate ? before[at - out->host] : 0);
        cr_assert(device_near(d, *at, e, 4, 40), "%s %s: lane %d row %d column %d: %g, expected %g",
                  d->b->name, ss_real_name(d->real), (int)lane, (int)row, (int)j, *at, e);
    }
}

static void check_router(device *d, int64_t rows, int64_t n, int64_t top_k, int64_t lanes, bool accumulate)
{
    static const ss_sweep sweeps[] = { SS_FORWARD, SS_BACKWARD, SS_TANGENT_FORWARD, SS_TANGENT_BACKWARD };
    shape                 all = { lanes, rows, n, 0 }, plain = { 1, rows, n, 0 };
    tensor                x = made(d, &plain, rows, false, false), y = made(d, &plain, rows, true, false);
    tensor                x_t = made(d, &all, rows, false, false), y_at = made(d, &all, rows, false, false);
    tensor  y_a = made(d, &plain, rows, false, false), laned_y_a = made(d, &all, rows, false, false);
    double *naive = NULL;
    ss_test_require(SS_NEW_ARRAY(ss_test_context, 4 * n, &naive));
    if (n > 2) *tensor_at(&x, 0, rows - 1, 2) = *tensor_at(&x, 0, rows - 1, 0); /* a tie */
    tensor_put(d, &x);
    ss_router first = { .sweep = SS_FORWARD, .lanes = 1, .top_k = top_k, .x = x.m, .y = y.m };
    ss_test_require(d->b->class->router(d->b, NULL, &first));
    tensor_get(d, &y);
    for (size_t k = 0; k < sizeof sweeps / sizeof *sweeps; k++)
        for (int terms = 1; terms < (sweeps[k] == SS_TANGENT_BACKWARD ? 4 : 2); terms++) {
            ss_router p = { .sweep = sweeps[k], .lanes = lanes, .top_k = top_k, .accumulate = accumulate };
            bool      forward = sweeps[k] == SS_FORWARD;
            tensor    out = made(d, forward ? &plain : &all, rows, !accumulate, false);
            double   *before = copy_of(&out);
            p.y = forward ? out.m : y.m;
            if (forward) p.x = x.m, p.lanes = 1;
            if (sweeps[k] == SS_BACKWARD) p.y_a = laned_y_a.m, p.x_a = out.m;
            if (sweeps[k] == SS_TANGENT_FORWARD) p.x_t = x_t.m, p.y_t = out.m;
            if (sweeps[k] == SS_TANGENT_BACKWARD) {
                if (terms & 1) p.y_at = y_at.m;
                if (terms & 2) p.x_t = x_t.m, p.y_a = y_a.m;
                p.x_at = out.m;
            }
            ss_test_require(d->b->class->router(d->b, NULL, &p));
            tensor_get(d, &out);
            for (int64_t lane = 0; lane < p.lanes; lane++)
                for (int64_t i = 0; i < rows; i++) {
                    double *own = naive, *want = naive + n, *y_t = naive + 2 * n, *part = naive + 3 * n;
                    naive_choice(tensor_at(&x, 0, i, 0), n, top_k, own);
                    for (int64_t j = 0; j < n; j++) want[j] = forward ? own[j] : 0;
                    if (sweeps[k] == SS_BACKWARD)
                        naive_slope(own, tensor_at(&laned_y_a, lane, i, 0), n, want);
                    if (sweeps[k] == SS_TANGENT_FORWARD)
                        naive_slope(own, tensor_at(&x_t, lane, i, 0), n, want);
                    if (sweeps[k] == SS_TANGENT_BACKWARD && (terms & 1))
                        naive_slope(own, tensor_at(&y_at, lane, i, 0), n, want);
                    if (sweeps[k] == SS_TANGENT_BACKWARD && (terms & 2)) {
                        /* the derivative of y o (y_a - y . y_a) along y_t */
                        double *a = tensor_at(&y_a, 0, i, 0), dot = 0, dot_t = 0;
                        naive_slope(own, tensor_at(&x_t, lane, i, 0), n, y_t);
                        for (int64_t j = 0; j < n; j++) dot += own[j] * a[j], dot_t += y_t[j] * a[j];
                        for (int64_t j = 0; j < n; j++) part[j] = y_t[j] * (a[j] - dot) - own[j] * dot_t;
                        for (int64_t j = 0; j < n; j++) want[j] += part[j];
                    }
                    check_row(d, &out, before, lane, i, want, accumulate);
                }
            ss_free(ss_test_context, before);
            tensor_free(d, &out);
        }
    tensor *used[] = { &x, &y, &x_t, &y_at, &y_a, &laned_y_a };
    for (int i = 0; i < 6; i++) tensor_free(d, used[i]);
    ss_free(ss_test_context, naive);
}

Test(rows, router, .init = begin, .fini = ss_test_end)
{
    static const int64_t cases[][4] = {
        { 1, 1, 1, 1 }, { 5, 3, 1, 2 }, { 7, 8, 2, 1 }, { 4, 9, 9, 3 }, { 300, 65, 6, 2 }
    };
    DEVICE_EACH(d)
    {
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
            for (int accumulate = 0; accumulate < 2; accumulate++)
                check_router(&d, cases[k][0], cases[k][1], cases[k][2], cases[k][3], accumulate == 1);
    }
}
