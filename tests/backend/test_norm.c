/* LayerNorm and RMSNorm: the forward sweep against its definition, backward by <u, J v> = <J'u, v>, and both
 * tangent sweeps by the complex step applied to the plain formulas below (derivatives to rounding). */
#include "device.h"

#include <complex.h>

typedef double complex cplx;

/* Everything a norm reads, as complex numbers: the imaginary parts carry a direction. */
typedef struct plain_norm {
    int64_t rows, cols;
    bool    centered;
    double  eps, offset;
    cplx    x[256], y_a[256], gain[64], bias[64]; /* [rows, cols], [cols] */
    cplx    y[256], x_a[256], gain_a[64], bias_a[64];
} plain_norm;

/* y, and from y_a the adjoints, by the definition y = (gain + offset) z + bias and
 * x_a = r (g - <g> - z <z g>). */
static void plain_run(plain_norm *p)
{
    double n = (double)p->cols;
    memset(p->gain_a, 0, sizeof p->gain_a);
    memset(p->bias_a, 0, sizeof p->bias_a);
    for (int64_t i = 0; i < p->rows; i++) {
        const cplx *x = p->x + i * p->cols, *y_a = p->y_a + i * p->cols;
        cplx        mean = 0, variance = 0, g_mean = 0, zg = 0;
        for (int64_t j = 0; j < p->cols && p->centered; j++) mean += x[j] / n;
        for (int64_t j = 0; j < p->cols; j++) variance += (x[j] - mean) * (x[j] - mean) / n;
        cplx r = 1 / csqrt(variance + p->eps);
        for (int64_t j = 0; j < p->cols; j++) {
            cplx z = (x[j] - mean) * r, g = (p->gain[j] + p->offset) * y_a[j];
            p->y[i * p->cols + j] = (p->gain[j] + p->offset) * z + p->bias[j];
            p->gain_a[j] += y_a[j] * z;
            p->bias_a[j] += y_a[j];
            g_mean += p->centered ? g / n : 0;
            zg += z * g / n;
        }
        for (int64_t j = 0; j < p->cols; j++) {
            cplx z = (x[j] - mean) * r, g = (p->gain[j] + p->offset) * y_a[j];
            p->x_a[i * p->cols + j] = r * (g - g_mean - z * zg);
        }
    }
}

enum { STEP_EXPONENT = -66 }; /* the complex step 2^-66 leaves no truncation error */

/* value + i 2^-66 direction */
static cplx direct(double value, double direction)
{
    return value + I * ldexp(direction, STEP_EXPONENT);
}

static double slope(cplx value)
{
    return ldexp(cimag(value), -STEP_EXPONENT);
}

/* All operands of one case on the device. */
typedef struct norm_case {
    ss_norm p;
    tensor  x, gain, bias, saved, y, y_a, x_a, gain_a, bias_a;
    tensor  x_t, gain_t, bias_t, y_t, y_at, x_at, gain_at, bias_at;
} norm_case;

enum { ROWS = 5, LANES = 2 };

static void make(device *d, norm_case *c, bool centered, int64_t cols, double offset)
{
    int64_t ld = cols + 3, stride = ROWS * ld + 1;
    memset(c, 0, sizeof *c);
    c->p = (ss_norm){ .centered = centered, .eps = 1e-2, .gain_offset = offset, .lanes = LANES };
    c->x = tensor_random(d, 1, ROWS, cols, ld, 0);
    c->gain = tensor_random(d, 1, 1, cols, cols, 0);
    c->bias = tensor_random(d, 1, 1, cols, cols, 0);
    c->saved = tensor_output(d, 1, ROWS, 2, 2, 0);
    c->y = tensor_output(d, 1, ROWS, cols, ld, 0);
    c->y_a = tensor_random(d, 1, ROWS, cols, ld, 0);
    c->x_t = tensor_random(d, LANES, ROWS, cols, ld, stride);
    c->gain_t = tensor_random(d, LANES, 1, cols, cols, cols + 2);
    c->bias_t = tensor_random(d, LANES, 1, cols, cols, cols);
    c->y_at = tensor_random(d, LANES, ROWS, cols, ld, stride + 4);
    c->y_t = tensor_output(d, LANES, ROWS, cols, ld, stride);
    c->x_a = tensor_output(d, LANES, ROWS, cols, cols, ROWS * cols);
    c->gain_a = tensor_random(d, LANES, 1, cols, cols, cols);
    c->bias_a = tensor_random(d, LANES, 1, cols, cols, cols + 1);
    c->x_at = tensor_random(d, LANES, ROWS, cols, ld, stride);
    c->gain_at = tensor_output(d, LANES, 1, cols, cols, cols);
    c->bias_at = tensor_output(d, LANES, 1, cols, cols, cols + 5);
    c->p.x = c->x.m, c->p.gain = c->gain.m, c->p.bias = c->bias.m, c->p.saved = c->saved.m, c->p.y = c->y.m;
}

static void destroy(const device *d, norm_case *c)
{
    tensor *all[] = { &c->x,   &c->gain,   &c->bias,   &c->saved,   &c->y,      &c->y_a,
                      &c->x_a, &c->gain_a, &c->bias_a, &c->x_t,     &c->gain_t, &c->bias_t,
                      &c->y_t, &c->y_at,   &c->x_at,   &c->gain_at, &c->bias_at };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) tensor_free(d, all[i]);
}

static void forward(device *d, norm_case *c)
{
    c->p.sweep = SS_FORWARD;
    ss_test_require(d->b->class->norm(d->b, NULL, &c->p));
    tensor_get(d, &c->y);
    tensor_get(d, &c->saved);
}

/* The plain operands, with direction `lane` of the tangents in the imaginary parts (lane < 0: none); absent
 * tangents are those without data in p. The adjoint is that of `lane` of y_a. */
static void load(const norm_case *c, int64_t lane, plain_norm *n)
{
    const ss_norm *p = &c->p;
    *n = (plain_norm){ .rows = ROWS, .cols = c->x.m.cols, .centered = p->centered, .eps = p->eps };
    n->offset = p->gain_offset;
    for (int64_t j = 0; j < n->cols; j++) {
        bool g = lane >= 0 && p->gain_t.data, b = lane >= 0 && p->bias_t.data;
        n->gain[j] = direct(c->gain.host[j], g ? *tensor_at(&c->gain_t, lane, 0, j) : 0);
        n->bias[j] = direct(c->bias.host[j], b ? *tensor_at(&c->bias_t, lane, 0, j) : 0);
        for (int64_t i = 0; i < ROWS; i++) {
            bool x = lane >= 0 && p->x_t.data, y = lane >= 0 && p->y_at.data;
            n->x[i * n->cols + j] =
                direct(*tensor_at(&c->x, 0, i, j), x ? *tensor_at(&c->x_t, lane, i, j) : 0);
            n->y_a[i * n->cols + j] = direct(p->y_a.data ? *tensor_at(&c->y_a, 0, i, j) : 0,
                                             y ? *tensor_at(&c->y_at, lane, i, j) : 0);
        }
    }
    plain_run(n);
}

static void expect(const device *d, const char *what, double got, double want)
{
    cr_assert(device_near(d, got, want, 8, 100), "%s %s: %s is %.17g, not %.17g", d->b->name,
              ss_real_name(d->real), what, got, want);
}

static void test_forward(device *d, norm_case *c)
{
    plain_norm n;
    forward(d, c);
    load(c, -1, &n);
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t j = 0; j < n.cols; j++)
            expect(d, "y", *tensor_at(&c->y, 0, i, j), creal(n.y[i * n.cols + j]));
}

/* y_t, then the plain backward of lanes of adjoints, of which lane 1 is y_at's. */
static void test_first_order(device *d, norm_case *c)
{
    plain_norm n;
    c->p.sweep = SS_TANGENT_FORWARD;
    c->p.x_t = c->x_t.m, c->p.gain_t = c->gain_t.m, c->p.bias_t = c->bias_t.m, c->p.y_t = c->y_t.m;
    ss_test_require(d->b->class->norm(d->b, NULL, &c->p));
    tensor_get(d, &c->y_t);
    for (int64_t lane = 0; lane < LANES; lane++) {
        load(c, lane, &n);
        for (int64_t i = 0; i < ROWS; i++)
            for (int64_t j = 0; j < n.cols; j++)
                expect(d, "y_t", *tensor_at(&c->y_t, lane, i, j), slope(n.y[i * n.cols + j]));
    }

    tensor before = c->gain_a; /* the mirror still holds what was uploaded */
    double old[LANES * 64];
    memcpy(old, before.host, (size_t)before.span * sizeof *old);
    c->p.sweep = SS_BACKWARD;
    c->p.y_a = c->y_at.m, c->p.x_a = c->x_a.m, c->p.gain_a = c->gain_a.m, c->p.bias_a = c->bias_a.m;
    c->p.accumulate_gain = true;
    ss_test_require(d->b->class->norm(d->b, NULL, &c->p));
    tensor_get(d, &c->x_a);
    tensor_get(d, &c->gain_a);
    tensor_get(d, &c->bias_a);
    for (int64_t lane = 0; lane < LANES; lane++) {
        double left = 0, right = 0; /* <y_at, J v> and <J' y_at, v>, v = all tangents of the lane */
        for (int64_t j = 0; j < c->x.m.cols; j++) {
            double gain_a = *tensor_at(&c->gain_a, lane, 0, j) - old[lane * c->gain_a.m.lane_stride + j];
            right += gain_a * *tensor_at(&c->gain_t, lane, 0, j);
            right += *tensor_at(&c->bias_a, lane, 0, j) * *tensor_at(&c->bias_t, lane, 0, j);
            for (int64_t i = 0; i < ROWS; i++) {
                left += *tensor_at(&c->y_at, lane, i, j) * *tensor_at(&c->y_t, lane, i, j);
                right += *tensor_at(&c->x_a, lane, i, j) * *tensor_at(&c->x_t, lane, i, j);
            }
        }
        cr_assert(device_near(d, left, right, 50, 100), "<u, Jv> = %.17g, <J'u, v> = %.17g", left, right);
    }
    c->p.accumulate_gain = false;
}

/* Second order: x_at (added to what is there), gain_at, bias_at; bits of `absent` leave x_t, gain_t, y_a,
 * y_at away. */
static void test_second_order(device *d, norm_case *c, int absent)
{
    static const ss_matrix none = { 0 };
    plain_norm             n;
    double                 old[LANES * 512];
    memcpy(old, c->x_at.host, (size_t)c->x_at.span * sizeof *old);
    c->p.sweep = SS_TANGENT_BACKWARD;
    c->p.accumulate_x = true;
    c->p.x_t = absent & 1 ? none : c->x_t.m;
    c->p.gain_t = absent & 2 ? none : c->gain_t.m;
    c->p.y_a = absent & 4 ? none : c->y_a.m;
    c->p.y_at = absent & 8 ? none : c->y_at.m;
    c->p.x_at = c->x_at.m, c->p.gain_at = c->gain_at.m, c->p.bias_at = c->bias_at.m;
    ss_test_require(d->b->class->norm(d->b, NULL, &c->p));
    tensor_get(d, &c->x_at);
    tensor_get(d, &c->gain_at);
    tensor_get(d, &c->bias_at);
    for (int64_t lane = 0; lane < LANES; lane++) {
        load(c, lane, &n);
        for (int64_t j = 0; j < n.cols; j++) {
            expect(d, "gain_at", *tensor_at(&c->gain_at, lane, 0, j), slope(n.gain_a[j]));
            expect(d, "bias_at", *tensor_at(&c->bias_at, lane, 0, j), slope(n.bias_a[j]));
            for (int64_t i = 0; i < ROWS; i++) {
                double *at = tensor_at(&c->x_at, lane, i, j);
                expect(d, "x_at", *at, old[at - c->x_at.host] + slope(n.x_a[i * n.cols + j]));
            }
        }
    }
}

Test(norm, all_sweeps, .init = ss_test_begin, .fini = ss_test_end)
{
    static const int64_t widths[] = { 1, 2, 7, 16, 37 };
    DEVICE_EACH(d)
    {
        for (int centered = 0; centered < 2; centered++)
            for (int w = 0; w < 5; w++) {
                norm_case c;
                make(&d, &c, centered, widths[w], w % 2);
                test_forward(&d, &c);
                test_first_order(&d, &c);
                for (int absent = 0; absent < 12; absent++) test_second_order(&d, &c, absent);
                destroy(&d, &c);
            }
    }
}

/* Without gain and bias, with one output only. */
Test(norm, bare, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        norm_case  c;
        plain_norm n;
        make(&d, &c, true, 9, 0);
        for (int j = 0; j < 9; j++) c.gain.host[j] = 1, c.bias.host[j] = 0;
        c.p.gain.data = c.p.bias.data = NULL;
        forward(&d, &c);
        load(&c, -1, &n);
        for (int64_t i = 0; i < ROWS; i++)
            for (int64_t j = 0; j < 9; j++) expect(&d, "y", *tensor_at(&c.y, 0, i, j), creal(n.y[i * 9 + j]));
        c.p.sweep = SS_BACKWARD;
        c.p.lanes = 1;
        c.p.y_a = c.y_a.m;
        c.p.x_a = c.x_a.m;
        load(&c, -1, &n);
        ss_test_require(d.b->class->norm(d.b, NULL, &c.p));
        tensor_get(&d, &c.x_a);
        for (int64_t i = 0; i < ROWS; i++)
            for (int64_t j = 0; j < 9; j++)
                expect(&d, "x_a", *tensor_at(&c.x_a, 0, i, j), creal(n.x_a[i * 9 + j]));
        destroy(&d, &c);
    }
}

/* Many rows: the shares of the blocks; the same bits whatever the thread count. */
Test(norm, gain_gradient_of_many_rows, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        enum { MANY = 2500, WIDTH = 33 };
        tensor x = tensor_random(&d, 1, MANY, WIDTH, WIDTH, 0),
               y = tensor_output(&d, 1, MANY, WIDTH, WIDTH, 0);
        tensor  a = tensor_random(&d, 1, MANY, WIDTH, WIDTH, 0), s = tensor_output(&d, 1, MANY, 2, 2, 0);
        tensor  gain_a = tensor_output(&d, 1, 1, WIDTH, WIDTH, 0);
        ss_norm p = { .centered = true, .eps = 1e-5, .lanes = 1, .x = x.m, .y = y.m, .saved = s.m };
        double  first[WIDTH];
        for (int threads = 1; threads <= 3; threads++) {
            ss_test_require(ss_context_set_threads(ss_test_context, threads));
            p.sweep = SS_FORWARD;
            ss_test_require(d.b->class->norm(d.b, NULL, &p));
            p.sweep = SS_BACKWARD;
            p.y_a = a.m;
            p.gain_a = gain_a.m;
            ss_test_require(d.b->class->norm(d.b, NULL, &p));
            tensor_get(&d, &gain_a);
            tensor_get(&d, &y);
            for (int j = 0; j < WIDTH; j++) {
                double sum = 0;
                for (int64_t i = 0; i < MANY; i++) sum += *tensor_at(&a, 0, i, j) * *tensor_at(&y, 0, i, j);
                cr_assert(device_near(&d, gain_a.host[j], sum, 50, 50), "%g %g", gain_a.host[j], sum);
                if (threads == 1) first[j] = gain_a.host[j];
                cr_assert(first[j] == gain_a.host[j]);
            }
        }
        tensor_free(&d, &x);
        tensor_free(&d, &y);
        tensor_free(&d, &a);
        tensor_free(&d, &s);
        tensor_free(&d, &gain_a);
    }
}

/* ---- Wide rows ---- */

/* A row's sums, in long double. */
typedef struct wide_sums {
    long double mean, r, mean_t, c, mean_g, zg, ztg, mean_gt, zgt;
} wide_sums;

/* Operands of one case; absent tangents and adjoints as in `tensor.m.data == NULL`. */
typedef struct wide_case {
    ss_norm p;
    tensor  x, saved, y, y_a, x_a, gain, bias, gain_a, bias_a;
    tensor  x_t, y_t, gain_t, bias_t, y_at, x_at, gain_at, bias_at;
} wide_case;

static long double at(const tensor *t, int64_t lane, int64_t i, int64_t j)
{
    return t->m.data ? (long double)*tensor_at(t, lane, i, j) : 0;
}

static long double scale(const wide_case *c, int64_t j)
{
    return at(&c->gain, 0, 0, j) + (long double)c->p.gain_offset;
}

static wide_sums sums_of(const wide_case *c, int64_t lane, int64_t i)
{
    const long double n = (long double)c->x.m.cols;
    wide_sums         s = { 0 };
    for (int64_t j = 0; j < c->x.m.cols && c->p.centered; j++) s.mean += at(&c->x, 0, i, j) / n;
    for (int64_t j = 0; j < c->x.m.cols; j++) {
        const long double d = at(&c->x, 0, i, j) - s.mean;
        s.r += d * d / n;
    }
    s.r = 1 / sqrtl(s.r + (long double)c->p.eps);
    for (int64_t j = 0; j < c->x.m.cols; j++) {
        const long double z = (at(&c->x, 0, i, j) - s.mean) * s.r, d = at(&c->x_t, lane, i, j);
        const long double a = at(&c->y_a, 0, i, j), g = scale(c, j) * a;
        const long double g_t = at(&c->gain_t, lane, 0, j) * a + scale(c, j) * at(&c->y_at, lane, i, j);
        s.mean_t += c->p.centered ? d / n : 0;
        s.c += z * d / n;
        s.mean_g += c->p.centered ? g / n : 0;
        s.zg += z * g / n;
        s.mean_gt += c->p.centered ? g_t / n : 0;
        s.zgt += z * g_t / n;
    }
    for (int64_t j = 0; j < c->x.m.cols; j++) {
        const long double z = (at(&c->x, 0, i, j) - s.mean) * s.r;
        s.ztg +=
            s.r * (at(&c->x_t, lane, i, j) - s.mean_t - z * s.c) * scale(c, j) * at(&c->y_a, 0, i, j) / n;
    }
    return s;
}

/* What the four sweeps give of one element, and of gain and bias. */
typedef struct wide_values {
    long double y, y_t, x_a, x_at, gain_a, gain_at; /* the last two: this row's terms */
} wide_values;

static wide_values values_of(const wide_case *c, const wide_sums *s, int64_t lane, int64_t i, int64_t j)
{
    const long double z = (at(&c->x, 0, i, j) - s->mean) * s->r, a = at(&c->y_a, 0, i, j),
                      g = scale(c, j) * a;
    const long double z_t = s->r * (at(&c->x_t, lane, i, j) - s->mean_t - z * s->c);
    const long double a_t = at(&c->y_at, lane, i, j), gain_t = at(&c->gain_t, lane, 0, j);
    const long double g_t = gain_t * a + scale(c, j) * a_t, x_a = s->r * (g - s->mean_g - z * s->zg);
    return (wide_values){ .y = scale(c, j) * z + at(&c->bias, 0, 0, j),
                          .y_t = scale(c, j) * z_t + gain_t * z + at(&c->bias_t, lane, 0, j),
                          .x_a = x_a,
                          .x_at = s->r * (g_t - s->mean_gt - z_t * s->zg - z * (s->ztg + s->zgt)) -
                                  s->r * s->c * x_a,
                          .gain_a = a * z,
                          .gain_at = a_t * z + a * z_t };
}

/* How an operand lies: contiguous, rows at multiples of 16 bytes, or at odd places. */
enum { TIGHT, PADDED, ODD, LAYOUTS };

static tensor lay(device *d, int layout, int64_t lanes, int64_t rows, int64_t cols, bool random)
{
    const int64_t ld = cols + (layout == PADDED ? 8 : layout == ODD ? 3 : 0);
    const int64_t stride = lanes > 1 ? rows * ld + (layout == TIGHT ? 0 : layout == PADDED ? 16 : 5) : 0;
    return random ? tensor_random(d, lanes, rows, cols, ld, stride)
                  : tensor_output(d, lanes, rows, cols, ld, stride);
}

static tensor *const *wide_tensors(wide_case *c)
{
    static tensor *all[17];
    tensor        *list[] = { &c->x,      &c->saved,  &c->y,      &c->y_a,     &c->x_a,    &c->gain,
                              &c->bias,   &c->gain_a, &c->bias_a, &c->x_t,     &c->y_t,    &c->gain_t,
                              &c->bias_t, &c->y_at,   &c->x_at,   &c->gain_at, &c->bias_at };
    memcpy(all, list, sizeof all);
    return all;
}

/* `sums`: bit 0 the gain's, bit 1 the bias' adjoint are wanted. `add`: outputs are added to. */
static wide_case make_wide(device *d, int layout, int64_t lanes, int64_t rows, int64_t cols, int sums,
                           bool add)
{
    wide_case c = {
        .p = { .centered = layout != TIGHT, .eps = 1e-3, .gain_offset = layout == ODD, .lanes = lanes }
    };
    c.x = lay(d, layout, 1, rows, cols, true), c.y_a = lay(d, layout, 1, rows, cols, true);
    c.gain = lay(d, layout, 1, 1, cols, true), c.bias = lay(d, layout, 1, 1, cols, true);
    c.x_t = lay(d, layout, lanes, rows, cols, true), c.y_at = lay(d, layout, lanes, rows, cols, true);
    c.gain_t = lay(d, layout, lanes, 1, cols, true), c.bias_t = lay(d, layout, lanes, 1, cols, true);
    c.saved = tensor_output(d, 1, rows, 2, 2, 0);
    c.y = lay(d, layout, 1, rows, cols, add), c.x_a = lay(d, layout, 1, rows, cols, add);
    c.y_t = lay(d, layout, lanes, rows, cols, add), c.x_at = lay(d, layout, lanes, rows, cols, add);
    c.gain_a = lay(d, layout, 1, 1, cols, add), c.gain_at = lay(d, layout, lanes, 1, cols, add);
    c.bias_a = lay(d, layout, 1, 1, cols, add), c.bias_at = lay(d, layout, lanes, 1, cols, add);
    c.p.accumulate_x = c.p.accumulate_y = c.p.accumulate_gain = c.p.accumulate_bias = add;
    c.p.x = c.x.m, c.p.saved = c.saved.m, c.p.gain = c.gain.m, c.p.bias = c.bias.m, c.p.y = c.y.m;
    c.p.x_t = c.x_t.m, c.p.gain_t = c.gain_t.m, c.p.bias_t = c.bias_t.m, c.p.y_t = c.y_t.m;
    c.p.y_a = c.y_a.m, c.p.y_at = c.y_at.m, c.p.x_a = c.x_a.m, c.p.x_at = c.x_at.m;
    if (sums & 1) c.p.gain_a = c.gain_a.m, c.p.gain_at = c.gain_at.m;
    if (sums & 2) c.p.bias_a = c.bias_a.m, c.p.bias_at = c.bias_at.m;
    return c;
}

static void run_wide(device *d, wide_case *c, ss_sweep sweep)
{
    c->p.sweep = sweep;
    c->p.lanes = sweep == SS_TANGENT_FORWARD || sweep == SS_TANGENT_BACKWARD ? (c->x_t.lanes) : 1;
    ss_test_require(d->b->class->norm(d->b, NULL, &c->p));
}

/* Compares an output with what it should be; `before`: what was added to. */
static void expect_wide(const device *d, const char *what, const tensor *t, const double *before,
                        int64_t lane, int64_t i, int64_t j, long double want, double units)
{
    const double *got = tensor_at(t, lane, i, j);
    const double  old = before ? before[got - t->host] : 0;
    cr_assert(device_near(d, *got, old + (double)want, 8 + fabs(old), units),
              "%s %s, %lld columns: %s of lane %lld, row %lld, column %lld is %.17g, not %.17g", d->b->name,
              ss_real_name(d->real), (long long)t->m.cols, what, (long long)lane, (long long)i, (long long)j,
              *got, old + (double)want);
}

static double *copy_of(const tensor *t, bool add)
{
    double *copy = NULL;
    if (!add) return NULL;
    ss_test_require(ss_allocate(ss_test_context, t->span, sizeof *copy, (void **)&copy));
    memcpy(copy, t->host, (size_t)t->span * sizeof *copy);
    return copy;
}

/* All sweeps of one case; `spoil` falsifies one element of what came out and returns how far off it is. */
static void check_wide(device *d, int layout, int64_t lanes, int64_t rows, int64_t cols, int sums, bool add)
{
    wide_case     c = make_wide(d, layout, lanes, rows, cols, sums, add);
    tensor *const outputs[] = { &c.y, &c.y_t, &c.x_a, &c.x_at, &c.gain_a, &c.bias_a, &c.gain_at, &c.bias_at };
    double       *before[8];
    long double  *total = NULL; /* [4, lanes, cols]: gain_a, bias_a, gain_at, bias_at */
    for (int k = 0; k < 8; k++) before[k] = copy_of(outputs[k], add);
    ss_test_require(ss_allocate(ss_test_context, 4 * lanes * cols, sizeof *total, (void **)&total));
    memset(total, 0, (size_t)(4 * lanes * cols) * sizeof *total);
    run_wide(d, &c, SS_FORWARD);
    run_wide(d, &c, SS_BACKWARD);
    run_wide(d, &c, SS_TANGENT_FORWARD);
    run_wide(d, &c, SS_TANGENT_BACKWARD);
    for (int k = 0; k < 8; k++)
        if (k < 4 || (sums >> (k % 2) & 1)) tensor_get(d, outputs[k]);
    for (int64_t lane = 0; lane < lanes; lane++)
        for (int64_t i = 0; i < rows; i++) {
            const wide_sums s = sums_of(&c, lane, i);
            for (int64_t j = 0; j < cols; j++) {
                const wide_values v = values_of(&c, &s, lane, i, j);
                if (lane == 0) expect_wide(d, "y", &c.y, before[0], 0, i, j, v.y, 100);
                if (lane == 0) expect_wide(d, "x_a", &c.x_a, before[2], 0, i, j, v.x_a, 100);
                expect_wide(d, "y_t", &c.y_t, before[1], lane, i, j, v.y_t, 100);
                expect_wide(d, "x_at", &c.x_at, before[3], lane, i, j, v.x_at, 100);
                total[(0 * lanes + lane) * cols + j] += v.gain_a;
                total[(1 * lanes + lane) * cols + j] += at(&c.y_a, 0, i, j);
                total[(2 * lanes + lane) * cols + j] += v.gain_at;
                total[(3 * lanes + lane) * cols + j] += at(&c.y_at, lane, i, j);
            }
        }
    for (int k = 0; k < 4; k++)
        for (int64_t lane = 0; lane < (k < 2 ? 1 : lanes); lane++)
            for (int64_t j = 0; j < cols && (sums >> (k % 2) & 1); j++)
                expect_wide(d, "a column's sum", outputs[4 + k], before[4 + k], lane, 0, j,
                            total[(k * lanes + lane) * cols + j], 100);
    for (int k = 0; k < 8; k++) ss_free(ss_test_context, before[k]);
    ss_free(ss_test_context, total);
    for (int k = 0; k < 17; k++) tensor_free(d, wide_tensors(&c)[k]);
}

/* Every way in which a device cuts rows and keeps column sums: by warps and by blocks, in registers and not,
 * with the sums in shared memory and beyond it, aligned and odd. */
Test(norm, wide_rows, .init = ss_test_begin, .fini = ss_test_end)
{
    static const struct {
        int64_t lanes, rows, cols;
    } shapes[] = {
        { 1, 3, 3072 }, { 1, 9, 64 },   { 3, 21, 128 }, { 2, 9, 500 },      { 2, 33, 516 },  { 1, 5, 768 },
        { 3, 5, 1028 }, { 2, 7, 2561 }, { 1, 5, 2564 }, { 1, 3, 4096 },     { 1, 3, 4104 },  { 2, 3, 5121 },
        { 1, 4, 6400 }, { 3, 2, 5128 }, { 1, 2, 8192 }, { 1, 2, 8192 + 3 }, { 1, 1, 12296 }, { 8, 6, 512 },
    };
    const int count = ss_test_brief() ? 13 : (int)(sizeof shapes / sizeof *shapes);
    DEVICE_EACH(d)
    {
        for (int s = 0; s < count; s++)
            for (int layout = 0; layout < LAYOUTS; layout++)
                check_wide(&d, layout, shapes[s].lanes, shapes[s].rows, shapes[s].cols, 3 - (s + layout) % 4,
                           (s + layout) % 2 != 0);
    }
}

/* The complex step sees a formula that is wrong by a term: RMSNorm's tangent passed off as LayerNorm's. */
Test(norm, injected_error_is_seen, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        norm_case  c;
        plain_norm n;
        make(&d, &c, false, 7, 0);
        forward(&d, &c);
        c.p.sweep = SS_TANGENT_FORWARD;
        c.p.x_t = c.x_t.m, c.p.y_t = c.y_t.m;
        ss_test_require(d.b->class->norm(d.b, NULL, &c.p));
        tensor_get(&d, &c.y_t);
        c.p.centered = true;
        load(&c, 0, &n);
        double difference = 0;
        for (int64_t j = 0; j < 7; j++)
            difference = fmax(difference, fabs(*tensor_at(&c.y_t, 0, 0, j) - slope(n.y[j])));
        cr_assert(difference > 1e-2);
        destroy(&d, &c);
    }
}
