/* Gated products: every sweep of every function, and of the plain product, against its formula in float64, in
 * layouts with strides, lanes, broadcast rows and shared lanes, with operands absent and outputs not wanted.
 * The functions' own derivatives are test_pointwise's. */
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

#define PLAIN SS_FUNCTION_COUNT /* in the place of a function: none */

static const double numbers[2] = { 1.5, 20 }; /* parameters that suit every function */

/* f, f' or f'' at a */
static double point(int function, int order, double a)
{
    if (function == PLAIN) return order == 0 ? a : order == 1 ? 1 : 0;
    const double y = exact[function][0](a, numbers);
    return order == 0 ? y : exact[function][order](from_y[function] ? y : a, numbers);
}

/* How operands lie: contiguous; rows at multiples of 16 bytes; odd; b one row for all */
enum { TIGHT, PADDED, ODD, BROADCAST, LAYOUTS };

static tensor lay(device *d, int layout, bool random, int64_t lanes, int64_t rows, int64_t cols)
{
    const int64_t ld = layout == TIGHT ? cols : layout == PADDED ? ss_round_up(cols, 4) + 4 : cols + 3;
    const int64_t stride = lanes > 1 ? rows * ld + (layout == TIGHT ? 0 : layout == PADDED ? 4 : 1) : 0;
    return random ? tensor_random(d, lanes, rows, cols, ld, stride)
                  : tensor_output(d, lanes, rows, cols, ld, stride);
}

typedef struct glu_case {
    ss_glu p;
    tensor a, b, a_t, b_t, y_a, y_at, out[2];
} glu_case;

enum { NO_B = 1, NO_A_T = 2, NO_B_T = 4, NO_Y_A = 8, NO_Y_AT = 16, NO_FIRST = 32, NO_SECOND = 64 };

static double at(const tensor *t, bool absent, int64_t lane, int64_t i, int64_t j)
{
    return absent ? 0 : *tensor_at(t, lane, t->m.ld ? i : 0, j);
}

/* What the sweep gives for output `which`. */
static double expected(const glu_case *c, int function, int absent, int which, int64_t lane, int64_t i,
                       int64_t j)
{
    const double a = at(&c->a, false, 0, i, j), b = at(&c->b, absent & NO_B, 0, i, j);
    const double a_t = at(&c->a_t, absent & NO_A_T, lane, i, j),
                 b_t = at(&c->b_t, absent & NO_B_T, lane, i, j);
    const double y_a = at(&c->y_a, absent & NO_Y_A, c->y_a.lanes > 1 ? lane : 0, i, j),
                 y_at = at(&c->y_at, absent & NO_Y_AT, lane, i, j);
    const double f = point(function, 0, a), f1 = point(function, 1, a), f2 = point(function, 2, a);
    switch (c->p.sweep) {
    case SS_FORWARD: return f * b;
    case SS_BACKWARD: return which ? f * y_a : f1 * b * y_a;
    case SS_TANGENT_FORWARD: return f1 * a_t * b + f * b_t;
    default: return which ? f1 * a_t * y_a + f * y_at : f2 * a_t * b * y_a + f1 * (b_t * y_a + b * y_at);
    }
}

/* Runs one sweep; the largest error in tolerated units. */
static double run(device *d, int function, ss_sweep sweep, int layout, int64_t lanes, int64_t rows,
                  int64_t cols, int absent, bool add, bool spoil)
{
    static const ss_matrix none = { 0 };
    const bool             ahead = sweep == SS_FORWARD || sweep == SS_TANGENT_FORWARD;
    const int64_t          shared = sweep == SS_TANGENT_BACKWARD ? 1 : lanes; /* y_a's lanes */
    glu_case               c = { .p = { .gated = function != PLAIN,
                                        .function = function == PLAIN ? SS_RELU : (ss_function)function,
                                        .sweep = sweep,
                                        .parameter = { numbers[0], numbers[1] },
                                        .lanes = lanes } };
    double                *before[2] = { NULL }, worst = 0;
    c.a = lay(d, layout, true, 1, rows, cols),
    c.b = lay(d, layout, true, 1, layout == BROADCAST ? 1 : rows, cols);
    c.a_t = lay(d, layout, true, lanes, rows, cols), c.b_t = lay(d, layout, true, lanes, rows, cols);
    c.y_a = lay(d, layout, true, shared, rows, cols), c.y_at = lay(d, layout, true, lanes, rows, cols);
    if (layout == BROADCAST) c.b.m.ld = 0;
    for (int k = 0; k < 2; k++) {
        c.out[k] = lay(d, layout, add, lanes, rows, cols);
        ss_test_require(ss_allocate(ss_test_context, c.out[k].span, sizeof(double), (void **)&before[k]));
        memcpy(before[k], c.out[k].host, (size_t)c.out[k].span * sizeof(double));
    }
    c.p.a = c.a.m, c.p.b = absent & NO_B ? none : c.b.m;
    c.p.a_t = absent & NO_A_T ? none : c.a_t.m, c.p.b_t = absent & NO_B_T ? none : c.b_t.m;
    c.p.y_a = absent & NO_Y_A ? none : c.y_a.m, c.p.y_at = absent & NO_Y_AT ? none : c.y_at.m;
    c.p.accumulate_a = c.p.accumulate_b = c.p.accumulate_y = add;
    const ss_matrix first = absent & NO_FIRST ? none : c.out[0].m,
                    second = absent & NO_SECOND ? none : c.out[1].m;
    switch (sweep) {
    case SS_FORWARD: c.p.y = c.out[0].m; break;
    case SS_TANGENT_FORWARD: c.p.y_t = c.out[0].m; break;
    case SS_BACKWARD: c.p.a_a = first, c.p.b_a = second; break;
    default: c.p.a_at = first, c.p.b_at = second;
    }
    ss_test_require(d->b->class->glu(d->b, NULL, &c.p));
    for (int k = 0; k < (ahead ? 1 : 2); k++) {
        const bool wanted = ahead || !(absent & (k ? NO_SECOND : NO_FIRST));
        if (!wanted) continue;
        tensor_get(d, &c.out[k]);
        if (spoil) c.out[k].host[c.out[k].span - 1] += 1e-3;
        for (int64_t lane = 0; lane < lanes; lane++)
            for (int64_t i = 0; i < rows; i++)
                for (int64_t j = 0; j < cols; j++) {
                    const double *got = tensor_at(&c.out[k], lane, i, j),
                                 old = add ? before[k][got - c.out[k].host] : 0;
                    const double want = old + expected(&c, function, absent, k, lane, i, j);
                    const double error =
                        fabs(*got - want) / (200 * d->unit * fmax(4 + fabs(old), fabs(want)));
                    worst = error <= worst ? worst : error;
                }
    }
    tensor *all[] = { &c.a, &c.b, &c.a_t, &c.b_t, &c.y_a, &c.y_at, &c.out[0], &c.out[1] };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) tensor_free(d, all[k]);
    for (int k = 0; k < 2; k++) ss_free(ss_test_context, before[k]);
    return worst;
}

static const ss_sweep sweeps[] = { SS_FORWARD, SS_BACKWARD, SS_TANGENT_FORWARD, SS_TANGENT_BACKWARD };

Test(glu, every_function, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        for (int f = 0; f <= PLAIN; f++)
            for (int s = 0; s < 4; s++)
                for (int layout = 0; layout < LAYOUTS; layout++)
                    for (int lanes = 1; lanes <= 3; lanes += 2) {
                        double worst =
                            run(&d, f, sweeps[s], layout, lanes, 3, 13 + layout, 0, (f + layout) % 2, false);
                        cr_assert(worst <= 1, "%s %s: function %d sweep %d layout %d lanes %d: %g", d.b->name,
                                  ss_real_name(d.real), f, s, layout, lanes, worst);
                    }
    }
}

/* Every combination of absent operands, and of outputs not wanted. */
Test(glu, absent_operands, .init = ss_test_begin, .fini = ss_test_end)
{
    static const int functions[] = { SS_SILU, SS_TANH, PLAIN };
    DEVICE_EACH(d)
    {
        for (int f = 0; f < 3; f++)
            for (int absent = 0; absent < 128; absent++) {
                double worst = 0;
                if ((absent & NO_FIRST) && (absent & NO_SECOND)) continue;
                for (int s = 0; s < 4; s++)
                    worst = fmax(worst, run(&d, functions[f], sweeps[s], absent % LAYOUTS, 2, 2, 8, absent,
                                            false, false));
                cr_assert(worst <= 1, "%s %s: function %d absent %d: %g", d.b->name, ss_real_name(d.real), f,
                          absent, worst);
            }
    }
}

/* Segments and blocks: rows longer than one, and many. */
Test(glu, long_rows, .init = ss_test_begin, .fini = ss_test_end)
{
    static const int64_t shapes[][2] = { { 1, 9001 }, { 2, 4100 }, { 300, 7 } };
    DEVICE_EACH(d)
    {
        for (int s = 0; s < 3; s++)
            for (int layout = 0; layout <= ODD; layout++) {
                double worst = run(&d, SS_SILU, SS_TANGENT_BACKWARD, layout, 2, shapes[s][0], shapes[s][1], 0,
                                   true, false);
                cr_assert(worst <= 1, "%s %s: shape %d layout %d: %g", d.b->name, ss_real_name(d.real), s,
                          layout, worst);
            }
    }
}

/* Operands that must be there. */
Test(glu, refuses, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        tensor a = tensor_random(&d, 1, 2, 3, 3, 0), y = tensor_output(&d, 1, 2, 3, 3, 0);
        ss_glu nothing = { .sweep = SS_FORWARD, .lanes = 1, .a = a.m, .b = a.m };
        ss_glu no_a = { .gated = true, .sweep = SS_FORWARD, .lanes = 1, .b = a.m, .y = y.m };
        ss_glu unknown = {
            .gated = true, .function = SS_FUNCTION_COUNT, .lanes = 1, .a = a.m, .b = a.m, .y = y.m
        };
        cr_assert(device_finish(&d, d.b->class->glu(d.b, NULL, &nothing)) == SS_ERROR_INTERNAL);
        cr_assert(device_finish(&d, d.b->class->glu(d.b, NULL, &no_a)) == SS_ERROR_INTERNAL);
        cr_assert(device_finish(&d, d.b->class->glu(d.b, NULL, &unknown)) == SS_ERROR_INTERNAL);
        ss_context_clear_message(ss_test_context);
        tensor_free(&d, &a);
        tensor_free(&d, &y);
    }
}

Test(glu, injected_error_is_seen, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d) cr_assert(run(&d, SS_SILU, SS_TANGENT_BACKWARD, TIGHT, 1, 3, 4, 0, false, true) > 1);
}
