/* Pointwise functions: values against libm, derivatives against central differences in float64, then every
 * sweep on every device in layouts with strides, lanes and broadcast rows, and the special values at kinks.
 */
#include "device.h"

#define SS_POINT_BITS      64
#define SS_POINT(name)     exact_##name
#define SS_POINT_QUALIFIER static inline
#include "backend/point_functions.h"

typedef double point_function(double x, const double *p);
#define POINT_ROW(name, torch, stem, from_y, kinked)                                                         \
    { exact_##stem##_value, exact_##stem##_first, exact_##stem##_second },
static point_function *const exact[SS_FUNCTION_COUNT][3] = { SS_FUNCTION_TABLE(POINT_ROW) };
#define FROM_Y_ROW(name, torch, stem, from_y, kinked) from_y,
static const bool from_y[] = { SS_FUNCTION_TABLE(FROM_Y_ROW) };
#define KINKED_ROW(name, torch, stem, from_y, kinked) kinked,
static const bool kinked[] = { SS_FUNCTION_TABLE(KINKED_ROW) };

/* Two parameters as ss_pointwise has them. */
static const double *parameters(ss_function f)
{
    static const double leaky[2] = { 0.01 }, softplus[2] = { 1.5, 20 }, elu[2] = { 1.3 }, cap[2] = { 2.5 },
                        none[2] = { 0 };
    return f == SS_LEAKY_RELU ? leaky
           : f == SS_SOFTPLUS ? softplus
           : f == SS_ELU      ? elu
           : f == SS_SOFT_CAP ? cap
                              : none;
}

static double value(ss_function f, double x)
{
    return exact[f][0](x, parameters(f));
}

/* f' and f'' at x, through y where the function derives from y. */
static double derivative(ss_function f, int order, double x)
{
    return exact[f][order](from_y[f] ? value(f, x) : x, parameters(f));
}

/* The definitions, written once more and plainly. */
static double plain(ss_function f, double x)
{
    const double *p = parameters(f);
    switch (f) {
    case SS_RELU: return x > 0 ? x : 0;
    case SS_LEAKY_RELU: return x > 0 ? x : p[0] * x;
    case SS_TANH: return tanh(x);
    case SS_SIGMOID: return 1 / (1 + exp(-x));
    case SS_SILU: return x / (1 + exp(-x));
    case SS_GELU_ERF: return 0.5 * x * (1 + erf(x / sqrt(2)));
    case SS_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
    case SS_SOFTPLUS: return p[0] * x > p[1] ? x : log1p(exp(p[0] * x)) / p[0];
    case SS_ELU: return x > 0 ? x : p[0] * expm1(x);
    case SS_SOFT_CAP: return p[0] * tanh(x / p[0]);
    default: return (double)NAN;
    }
}

/* Sixth-order central difference. */
static double difference(double (*f)(ss_function, double), ss_function which, double x)
{
    const double h = 1e-3;
    return (45 * (f(which, x + h) - f(which, x - h)) - 9 * (f(which, x + 2 * h) - f(which, x - 2 * h)) +
            (f(which, x + 3 * h) - f(which, x - 3 * h))) /
           (60 * h);
}

static double first(ss_function f, double x)
{
    return derivative(f, 1, x);
}

Test(pointwise, formulas)
{
    for (int f = 0; f < SS_FUNCTION_COUNT; f++)
        for (double x = -8.05; x < 8.1; x += 0.1) {
            ss_function w = (ss_function)f;
            cr_assert(fabs(value(w, x) - plain(w, x)) < 1e-14 * fmax(1, fabs(x)), "%d at %g", f, x);
            if (kinked[f] && fabs(x) < 0.01) continue;
            if (w == SS_ELU && fabs(x) < 0.01) continue;
            cr_assert(fabs(derivative(w, 1, x) - difference(plain, w, x)) < 2e-11, "%d' at %g", f, x);
            cr_assert(fabs(derivative(w, 2, x) - difference(first, w, x)) < 2e-11, "%d'' at %g: %g %g", f, x,
                      derivative(w, 2, x), difference(first, w, x));
        }
}

/* As torch: f'(0) of ReLU 0, LeakyReLU its slope, ELU alpha; f'' of ELU at 0 is 0. */
Test(pointwise, kinks_and_limits)
{
    cr_assert(derivative(SS_RELU, 1, 0) == 0 && derivative(SS_LEAKY_RELU, 1, 0) == 0.01);
    cr_assert(derivative(SS_ELU, 1, 0) == 1.3 && derivative(SS_ELU, 2, 0) == 0);
    cr_assert(derivative(SS_SOFTPLUS, 1, 14) == 1 && derivative(SS_SOFTPLUS, 2, 14) == 0);
    cr_assert(derivative(SS_SOFTPLUS, 1, 13) < 1 && value(SS_SOFTPLUS, 1e6) == 1e6);
    for (int f = 0; f < SS_FUNCTION_COUNT; f++) {
        cr_assert(isnan(value((ss_function)f, (double)NAN)), "%d", f);
        for (double x = -1e300; x <= 1e300; x += 2e300) {
            cr_assert(isfinite(derivative((ss_function)f, 1, x)), "%d' at %g", f, x);
            cr_assert(derivative((ss_function)f, 2, x) == 0, "%d'' at %g", f, x);
        }
    }
}

/* A layout of one case. */
typedef struct layout {
    int64_t lanes, rows, cols;
    int64_t padding; /* ld - cols */
    bool    accumulate;
    int     absent; /* second sweep: 1 without the f'' term, 2 without the f' term */
} layout;

/* Runs one sweep; the largest error in tolerated units (<= 1 is right). `spoil` injects an error. */
static double run(device *d, ss_function f, ss_sweep sweep, layout l, bool spoil)
{
    int64_t      ld = l.cols + l.padding, stride = l.rows * ld + 3;
    ss_pointwise p = { .function = f, .sweep = sweep, .lanes = l.lanes, .accumulate = l.accumulate };
    memcpy(p.parameter, parameters(f), sizeof p.parameter);
    if (sweep == SS_FORWARD) p.lanes = l.lanes = 1;
    tensor x = tensor_random(d, 1, l.rows, l.cols, ld, 0), y = tensor_random(d, 1, l.rows, l.cols, ld, 0);
    for (int64_t i = 0; i < y.span; i++)
        if (x.host[i] != DEVICE_SENTINEL) y.host[i] = device_round(d, value(f, x.host[i]));
    tensor_put(d, &y);
    tensor  in = tensor_random(d, l.lanes, l.rows, l.cols, ld, l.lanes > 1 ? stride : 0);
    tensor  y_a = tensor_random(d, 1, l.rows, l.cols, 0, 0); /* one row for all */
    tensor  y_at = tensor_random(d, l.lanes, l.rows, l.cols, ld + 1, l.lanes > 1 ? stride + 40 : 0);
    tensor  out = l.accumulate ? tensor_random(d, l.lanes, l.rows, l.cols, ld, l.lanes > 1 ? stride : 0)
                               : tensor_output(d, l.lanes, l.rows, l.cols, ld, l.lanes > 1 ? stride : 0);
    double *before = NULL;
    ss_test_require(ss_allocate(ss_test_context, out.span, sizeof *before, (void **)&before));
    memcpy(before, out.host, (size_t)out.span * sizeof *before);
    p.x = x.m;
    p.y = y.m;
    if (from_y[f] && sweep != SS_FORWARD) p.x.data = NULL; /* must not be needed */
    switch (sweep) {
    case SS_FORWARD: p.y = out.m; break;
    case SS_BACKWARD: p.y_a = in.m, p.x_a = out.m; break;
    case SS_TANGENT_FORWARD: p.x_t = in.m, p.y_t = out.m; break;
    default:
        p.x_at = out.m;
        if (l.absent != 1) p.x_t = in.m, p.y_a = y_a.m;
        if (l.absent != 2) p.y_at = y_at.m;
    }
    ss_test_require(d->b->class->pointwise(d->b, NULL, &p));
    tensor_get(d, &out);
    if (spoil) *tensor_at(&out, l.lanes - 1, l.rows - 1, l.cols - 1) += 1e-3;
    double worst = 0;
    for (int64_t lane = 0; lane < l.lanes; lane++)
        for (int64_t i = 0; i < l.rows; i++)
            for (int64_t j = 0; j < l.cols; j++) {
                double s = *tensor_at(&x, 0, i, j), u = *tensor_at(&in, lane, i, j), want;
                double s_y = from_y[f] ? *tensor_at(&y, 0, i, j) : s;
                double d1 = exact[f][1](s_y, p.parameter), d2 = exact[f][2](s_y, p.parameter);
                want = sweep == SS_FORWARD ? value(f, s) : d1 * u;
                if (sweep == SS_TANGENT_BACKWARD)
                    want = (l.absent != 1 ? d2 * u * *tensor_at(&y_a, 0, i, j) : 0) +
                           (l.absent != 2 ? d1 * *tensor_at(&y_at, lane, i, j) : 0);
                int64_t at = tensor_at(&out, lane, i, j) - out.host;
                if (l.accumulate) want += before[at];
                double scale = fmax(1, fabs(u) * (1 + fabs(*tensor_at(&y_a, 0, i, j)) + fabs(s)));
                double error = fabs(out.host[at] - want) / (40 * d->unit * scale);
                worst = error <= worst ? worst : error;
            }
    ss_free(ss_test_context, before);
    tensor_free(d, &x);
    tensor_free(d, &y);
    tensor_free(d, &in);
    tensor_free(d, &y_a);
    tensor_free(d, &y_at);
    tensor_free(d, &out);
    return worst;
}

Test(pointwise, sweeps, .init = ss_test_begin, .fini = ss_test_end)
{
    static const layout layouts[] = { { 1, 1, 1, 0, false, 0 },   { 1, 5, 7, 0, false, 0 },
                                      { 3, 4, 33, 0, true, 0 },   { 2, 3, 17, 5, false, 0 },
                                      { 1, 3, 17, 5, true, 1 },   { 2, 2, 9, 0, false, 2 },
                                      { 1, 3, 1500, 0, false, 0 } };
    DEVICE_EACH(d)
    {
        for (int f = 0; f < SS_FUNCTION_COUNT; f++)
            for (int sweep = SS_FORWARD; sweep <= SS_TANGENT_BACKWARD; sweep++)
                for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
                    double worst = run(&d, (ss_function)f, (ss_sweep)sweep, layouts[i], false);
                    cr_assert(worst <= 1, "%s %s: function %d sweep %d layout %zu: %g", d.b->name,
                              ss_real_name(d.real), f, sweep, i, worst);
                }
    }
}

/* ---- With a bias ---- */

/* A row of the table below. */
typedef struct biased {
    int64_t lanes, rows, cols, padding; /* ld - cols */
    bool    accumulate;
    bool    without_x_t; /* the tangent is that of the bias alone */
    bool    sums_alone;  /* x_a, x_at are not wanted */
} biased;

/* Operands of a sweep with a bias, and what it must give. */
typedef struct biased_sweep {
    tensor x, y, bias, x_t, bias_t, y_a, y_at, out, sums;
} biased_sweep;

/* What element (lane, i, j) gets. */
static double biased_element(const biased_sweep *t, ss_function f, ss_sweep sweep, const biased *l,
                             int64_t lane, int64_t i, int64_t j)
{
    const double *p = parameters(f);
    double        s = *tensor_at(&t->x, 0, i, j) + *tensor_at(&t->bias, 0, 0, j);
    double        s_y = from_y[f] ? *tensor_at(&t->y, 0, i, j) : s;
    double        d1 = exact[f][1](s_y, p), d2 = exact[f][2](s_y, p);
    double x_t = (l->without_x_t ? 0 : *tensor_at(&t->x_t, lane, i, j)) + *tensor_at(&t->bias_t, lane, 0, j);
    switch (sweep) {
    case SS_FORWARD: return value(f, s);
    case SS_BACKWARD: return d1 * *tensor_at(&t->y_at, lane, i, j);
    case SS_TANGENT_FORWARD: return d1 * x_t;
    default: return d2 * x_t * *tensor_at(&t->y_a, 0, i, j) + d1 * *tensor_at(&t->y_at, lane, i, j);
    }
}

static void biased_create(device *d, ss_function f, const biased *l, int64_t lanes, biased_sweep *t)
{
    int64_t rows = l->rows, cols = l->cols, ld = cols + l->padding;
    int64_t stride = lanes > 1 ? rows * ld + 3 : 0, row_stride = lanes > 1 ? cols + 1 : 0;
    t->x = tensor_random(d, 1, rows, cols, ld, 0);
    t->y = tensor_random(d, 1, rows, cols, ld, 0);
    t->bias = tensor_random(d, 1, 1, cols, cols, 0);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            *tensor_at(&t->y, 0, i, j) =
                device_round(d, value(f, *tensor_at(&t->x, 0, i, j) + *tensor_at(&t->bias, 0, 0, j)));
    tensor_put(d, &t->y);
    t->x_t = tensor_random(d, lanes, rows, cols, ld, stride);
    t->bias_t = tensor_random(d, lanes, 1, cols, cols, row_stride);
    t->y_a = tensor_random(d, 1, rows, cols, ld, 0);
    t->y_at = tensor_random(d, lanes, rows, cols, ld + 1, lanes > 1 ? stride + 40 + rows : 0);
    t->out = l->accumulate ? tensor_random(d, lanes, rows, cols, ld, stride)
                           : tensor_output(d, lanes, rows, cols, ld, stride);
    t->sums = l->accumulate ? tensor_random(d, lanes, 1, cols, cols, row_stride)
                            : tensor_output(d, lanes, 1, cols, cols, row_stride);
}

static void biased_free(device *d, biased_sweep *t)
{
    tensor *all[] = { &t->x, &t->y, &t->bias, &t->x_t, &t->bias_t, &t->y_a, &t->y_at, &t->out, &t->sums };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) tensor_free(d, all[i]);
}

static void biased_bind(const biased_sweep *t, ss_function f, ss_sweep sweep, const biased *l,
                        ss_pointwise *p)
{
    if (sweep == SS_FORWARD || !from_y[f]) p->x = t->x.m, p->bias = t->bias.m;
    if (sweep != SS_FORWARD && from_y[f]) p->y = t->y.m;
    if (sweep == SS_FORWARD) p->y = t->out.m;
    if (sweep == SS_BACKWARD) p->y_a = t->y_at.m, p->x_a = t->out.m, p->bias_a = t->sums.m;
    if (sweep == SS_TANGENT_FORWARD) p->y_t = t->out.m;
    if (sweep == SS_TANGENT_BACKWARD)
        p->y_a = t->y_a.m, p->y_at = t->y_at.m, p->x_at = t->out.m, p->bias_at = t->sums.m;
    if (sweep == SS_TANGENT_FORWARD || sweep == SS_TANGENT_BACKWARD) {
        p->bias_t = t->bias_t.m;
        if (!l->without_x_t) p->x_t = t->x_t.m;
    }
    if (l->sums_alone && sweep != SS_FORWARD) p->x_a.data = p->x_at.data = NULL;
}

/* Largest error of the elements and of the column sums, in tolerated units. */
static double run_biased(device *d, ss_function f, ss_sweep sweep, const biased *l, bool spoil)
{
    int64_t      lanes = sweep == SS_FORWARD ? 1 : l->lanes;
    ss_pointwise p = { .function = f, .sweep = sweep, .lanes = lanes, .accumulate = l->accumulate };
    biased_sweep t;
    double      *before = NULL, worst = 0;
    p.accumulate_bias = l->accumulate;
    memcpy(p.parameter, parameters(f), sizeof p.parameter);
    biased_create(d, f, l, lanes, &t);
    ss_test_require(ss_allocate(ss_test_context, t.out.span + t.sums.span, sizeof *before, (void **)&before));
    memcpy(before, t.out.host, (size_t)t.out.span * sizeof *before);
    memcpy(before + t.out.span, t.sums.host, (size_t)t.sums.span * sizeof *before);
    biased_bind(&t, f, sweep, l, &p);
    ss_test_require(d->b->class->pointwise(d->b, NULL, &p));
    bool has_sums = p.bias_a.data || p.bias_at.data, has_out = !(l->sums_alone && has_sums);
    tensor_get(d, &t.out);
    tensor_get(d, &t.sums);
    if (spoil) *tensor_at(has_sums ? &t.sums : &t.out, lanes - 1, 0, l->cols - 1) += 1e-2;
    for (int64_t lane = 0; lane < lanes; lane++)
        for (int64_t j = 0; j < l->cols; j++) {
            double sum = 0, size = 1;
            for (int64_t i = 0; i < l->rows; i++) {
                double want = biased_element(&t, f, sweep, l, lane, i, j);
                double scale = 10 * (1 + fabs(want)) * (1 + fabs(*tensor_at(&t.y_a, 0, i, j)));
                sum += want;
                size += scale;
                if (!has_out) continue;
                int64_t at = tensor_at(&t.out, lane, i, j) - t.out.host;
                double  error = fabs(t.out.host[at] - want - (l->accumulate ? before[at] : 0));
                worst = fmax(worst, error / (40 * d->unit * scale));
            }
            if (!has_sums) continue;
            int64_t at = tensor_at(&t.sums, lane, 0, j) - t.sums.host;
            double  error = fabs(t.sums.host[at] - sum - (l->accumulate ? before[t.out.span + at] : 0));
            worst = fmax(worst, error / (40 * d->unit * size));
        }
    ss_free(ss_test_context, before);
    biased_free(d, &t);
    return worst;
}

/* Blocks of rows and of columns with rests, everything that may be absent. */
Test(pointwise, with_a_bias, .init = ss_test_begin, .fini = ss_test_end)
{
    static const biased rows[] = {
        { 1, 1, 1, 0, false, false, false },  { 2, 5, 7, 0, false, false, false },
        { 3, 4, 33, 2, true, false, false },  { 2, 3, 17, 5, false, true, false },
        { 2, 70, 9, 0, true, false, true },   { 1, 130, 3, 1, false, false, false },
        { 1, 3, 1500, 0, true, true, false },
    };
    DEVICE_EACH(d)
    {
        for (int f = 0; f < SS_FUNCTION_COUNT; f++)
            for (int sweep = SS_FORWARD; sweep <= SS_TANGENT_BACKWARD; sweep++)
                for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                    double worst = run_biased(&d, (ss_function)f, (ss_sweep)sweep, &rows[i], false);
                    cr_assert(worst <= 1, "%s %s: function %d sweep %d row %zu: %g", d.b->name,
                              ss_real_name(d.real), f, sweep, i, worst);
                }
        cr_assert(run_biased(&d, SS_TANH, SS_TANGENT_FORWARD, &rows[1], true) > 1);
        cr_assert(run_biased(&d, SS_TANH, SS_TANGENT_BACKWARD, &rows[1], true) > 1);
    }
}

/* The sums too: the same bits with any number of threads. */
Test(pointwise, threads_do_not_matter_to_the_bias, .init = ss_test_begin, .fini = ss_test_end)
{
    enum { ROWS = 500, COLS = 200 };
    DEVICE_EACH(d)
    {
        tensor y = tensor_random(&d, 1, ROWS, COLS, COLS, 0), y_a = tensor_random(&d, 1, ROWS, COLS, COLS, 0);
        tensor x_a = tensor_output(&d, 1, ROWS, COLS, COLS, 0), sums = tensor_output(&d, 1, 1, COLS, COLS, 0);
        double first[COLS];
        ss_pointwise p = { .function = SS_TANH, .sweep = SS_BACKWARD, .lanes = 1 };
        p.y = y.m, p.y_a = y_a.m, p.x_a = x_a.m, p.bias_a = sums.m;
        for (int threads = 1; threads <= 3; threads++) {
            ss_test_require(ss_context_set_threads(ss_test_context, threads));
            ss_test_require(d.b->class->pointwise(d.b, NULL, &p));
            tensor_get(&d, &sums);
            if (threads == 1) memcpy(first, sums.host, sizeof first);
            cr_assert(memcmp(first, sums.host, sizeof first) == 0, "%s, %d threads", d.b->name, threads);
        }
        tensor_free(&d, &y);
        tensor_free(&d, &y_a);
        tensor_free(&d, &x_a);
        tensor_free(&d, &sums);
    }
}

/* More elements than one thread takes: the same bits with one, two and three threads. */
Test(pointwise, threads_do_not_matter, .init = ss_test_begin, .fini = ss_test_end)
{
    const layout l = { 2, 50, 1000, 0, false, 0 };
    DEVICE_EACH(d)
    {
        for (int threads = 1; threads <= 3; threads++) {
            ss_test_require(ss_context_set_threads(ss_test_context, threads));
            cr_assert(run(&d, SS_GELU_ERF, SS_TANGENT_BACKWARD, l, false) <= 1);
        }
    }
}

Test(pointwise, injected_error_is_seen, .init = ss_test_begin, .fini = ss_test_end)
{
    const layout l = { 2, 3, 5, 1, false, 0 };
    DEVICE_EACH(d)
    {
        cr_assert(run(&d, SS_TANH, SS_TANGENT_BACKWARD, l, true) > 1);
        ss_pointwise nothing = { .function = SS_TANH, .sweep = SS_TANGENT_BACKWARD, .lanes = 1 };
        ss_test_refuse(d.b->class->pointwise(d.b, NULL, &nothing), SS_ERROR_INTERNAL, "pointwise");
    }
}
