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
