#include "hvp/fixture.h"

#include "base/philox.h"

#include <stdio.h>
#include <string.h>

/* ---- Graphs ---- */

static int32_t parameter(ss_graph *g, const char *name, int32_t rank, int64_t rows, int64_t columns)
{
    int64_t shape[2] = { rows, columns };
    int32_t number;
    ss_test_require(ss_graph_add_parameter(g, name, rank, shape, true, &number));
    return number;
}

static int32_t linear(ss_graph *g, int32_t x, int64_t in, int64_t out, const char *name, int32_t layer)
{
    char    weight[64], bias[64];
    int32_t output;
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    int32_t       parameters[2] = { parameter(g, weight, 2, out, in), parameter(g, bias, 1, out, 0) };
    ss_attributes attributes = { .columns = out };
    ss_test_require(
        ss_graph_add_node(g, &ss_op_linear, name, &attributes, 1, &x, 2, parameters, layer, &output));
    return output;
}

static int32_t pointwise(ss_graph *g, int32_t x, ss_function function, const char *name, int32_t layer)
{
    ss_attributes attributes = { .function = function };
    int32_t       output;
    ss_test_require(
        ss_graph_add_node(g, &ss_op_pointwise, name, &attributes, 1, &x, 0, NULL, layer, &output));
    return output;
}

static int32_t combine(ss_graph *g, const ss_op *op, int32_t a, int32_t b, const char *name, int32_t layer)
{
    ss_attributes attributes = { .alpha = 1, .beta = op == &ss_op_add ? -0.7 : 1 };
    int32_t       inputs[2] = { a, b }, output;
    ss_test_require(ss_graph_add_node(g, op, name, &attributes, 2, inputs, 0, NULL, layer, &output));
    return output;
}

static int32_t slice(ss_graph *g, int32_t base, int64_t first, int64_t count)
{
    int64_t stride = 1;
    int32_t value;
    ss_test_require(ss_graph_add_view(g, base, 1, &count, first, &stride, &value));
    return value;
}

static void build_plain(ss_graph *g, int32_t x)
{
    int32_t h = pointwise(g, linear(g, x, 5, 7, "0", 0), SS_TANH, "1", 1);
    h = pointwise(g, linear(g, h, 7, 6, "2", 2), SS_GELU_ERF, "3", 3);
    g->output = linear(g, h, 6, 4, "4", 4);
}

static void build_branches(ss_graph *g, int32_t x)
{
    int32_t a = pointwise(g, linear(g, x, 5, 6, "a", 0), SS_TANH, "a.tanh", 0);
    int32_t b = pointwise(g, linear(g, x, 5, 6, "b", 1), SS_SIGMOID, "b.sigmoid", 1);
    int32_t h = combine(g, &ss_op_multiply, a, b, "product", 2);
    h = combine(g, &ss_op_add, h, a, "sum", 2);
    int32_t       gain = parameter(g, "norm.weight", 1, 6, 0), bias = parameter(g, "norm.bias", 1, 6, 0), y;
    int32_t       both[2] = { gain, bias };
    ss_attributes norm = { .centered = true, .eps = 1e-5, .columns = 6 };
    ss_test_require(ss_graph_add_node(g, &ss_op_norm, "norm", &norm, 1, &h, 2, both, 3, &y));
    /* The same weight is applied to two overlapping slices: tied, and both add to one adjoint. */
    int32_t       tied = parameter(g, "tied.weight", 2, 3, 4), parts[2], z[2];
    int32_t       no_bias[2] = { tied, -1 };
    ss_attributes out = { .columns = 3 };
    parts[0] = slice(g, y, 0, 4);
    parts[1] = slice(g, y, 2, 4);
    for (int i = 0; i < 2; i++)
        ss_test_require(
            ss_graph_add_node(g, &ss_op_linear, "tied", &out, 1, &parts[i], 2, no_bias, 4, &z[i]));
    g->output = combine(g, &ss_op_multiply, z[0], z[1], "last", 5);
}

static void build_kinked(ss_graph *g, int32_t x)
{
    g->output = linear(g, pointwise(g, linear(g, x, 5, 9, "0", 0), SS_RELU, "1", 1), 9, 3, "2", 2);
}

/* ---- Data ---- */

static void make_data(fixture *f, fixture_kind kind)
{
    static const int64_t columns[FIXTURE_KIND_COUNT] = { 4, 3, 3 };
    int64_t              count = columns[kind];
    ss_test_require(SS_NEW_ARRAY(ss_test_context, FIXTURE_SAMPLES * 5, &f->x));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, FIXTURE_SAMPLES * count, &f->values));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, FIXTURE_SAMPLES, &f->ids));
    for (int64_t i = 0; i < FIXTURE_SAMPLES * 5; i++)
        f->x[i] = ss_random_normal(7, SS_STREAM_TEST, (uint64_t)i);
    for (int64_t i = 0; i < FIXTURE_SAMPLES * count; i++) {
        double r = ss_random_normal(8, SS_STREAM_TEST, (uint64_t)i);
        f->values[i] = kind == FIXTURE_KINKED ? r > 0 : r;
    }
    for (int64_t i = 0; i < FIXTURE_SAMPLES; i++) f->ids[i] = i == 3 ? SS_IGNORED_LABEL : i * i % 4;
    ss_array x = { "x", SS_F64, 2, { FIXTURE_SAMPLES, 5 }, f->x };
    ss_array y = { "y", SS_F64, 2, { FIXTURE_SAMPLES, count }, f->values };
    if (kind == FIXTURE_PLAIN) y = (ss_array){ "y", SS_I64, 1, { FIXTURE_SAMPLES }, f->ids };
    ss_test_require(ss_dataset_from_arrays(ss_test_context, &x, &y, NULL, &f->dataset));
}

void fixture_create(fixture *f, fixture_kind kind, const char *device, ss_real real, double decay,
                    const char *include)
{
    static const char *const losses[] = { "cross_entropy", "mse", "bce_with_logits" };
    ss_objective_options     options;
    ss_decay_rule            rule = { NULL, decay };
    int64_t                  shape = 5;
    int32_t                  x;
    memset(f, 0, sizeof *f);
    ss_test_require(ss_graph_create(ss_test_context, &f->graph));
    ss_test_require(ss_graph_add_input(f->graph, 1, &shape, &x));
    if (kind == FIXTURE_PLAIN) build_plain(f->graph, x);
    if (kind == FIXTURE_BRANCHES) build_branches(f->graph, x);
    if (kind == FIXTURE_KINKED) build_kinked(f->graph, x);
    ss_test_require(ss_graph_bind_seeded(f->graph, 3));
    ss_test_require(ss_graph_activate(f->graph, include ? 1 : 0, &include, 0, NULL));
    ss_test_require(ss_graph_set_decay(f->graph, 1, &rule));
    make_data(f, kind);
    ss_objective_options_init(&options);
    options.loss = losses[kind];
    ss_test_require(ss_problem_prepare_graph(ss_test_context, f->graph, f->dataset, &options));
    ss_test_require(ss_problem_create(ss_test_context, f->graph, f->dataset, &options, &f->problem));
    ss_test_require(ss_backend_open(ss_test_context, device, real, &f->backend));
}

void fixture_destroy(fixture *f)
{
    ss_backend_close(f->backend);
    ss_problem_destroy(f->problem);
    ss_dataset_close(f->dataset);
    ss_graph_destroy(f->graph);
    ss_free(ss_test_context, f->x);
    ss_free(ss_test_context, f->values);
    ss_free(ss_test_context, f->ids);
}

/* ---- Vectors and products ---- */

/* Device block of `lanes` padded vectors, filled from packed float64 ones (NULL = NaN everywhere). */
static void *to_device(const fixture *f, int lanes, const double *packed)
{
    const ss_layout *layout = &f->graph->layout;
    ss_backend      *b = f->backend;
    int64_t          size = (int64_t)ss_real_size(b->real), bytes = layout->padded * size * lanes;
    double          *padded;
    void            *device, *host;
    ss_test_require(b->class->allocate(b, bytes, &device));
    ss_test_require(b->class->poison(b, NULL, device, bytes));
    if (!packed) return device;
    ss_test_require(SS_NEW_ARRAY(ss_test_context, layout->padded * lanes, &padded));
    ss_test_require(ss_allocate(ss_test_context, bytes, 1, &host));
    for (int l = 0; l < lanes; l++)
        ss_layout_unpack(layout, SS_FLOAT64, packed + l * layout->n, padded + l * layout->padded);
    for (int64_t i = 0; i < layout->padded * lanes; i++) {
        if (b->real == SS_FLOAT64)
            ((double *)host)[i] = padded[i];
        else
            ((float *)host)[i] = (float)padded[i];
    }
    ss_test_require(b->class->upload(b, NULL, device, host, bytes));
    ss_test_require(b->class->queue_synchronize(b, NULL));
    ss_free(ss_test_context, host);
    ss_free(ss_test_context, padded);
    return device;
}

static void from_device(const fixture *f, int lanes, void *device, double *packed)
{
    const ss_layout *layout = &f->graph->layout;
    ss_backend      *b = f->backend;
    int64_t          size = (int64_t)ss_real_size(b->real), bytes = layout->padded * size * lanes;
    double          *padded;
    void            *host;
    ss_test_require(SS_NEW_ARRAY(ss_test_context, layout->padded * lanes, &padded));
    ss_test_require(ss_allocate(ss_test_context, bytes, 1, &host));
    ss_test_require(b->class->download(b, NULL, host, device, bytes));
    ss_test_require(b->class->queue_synchronize(b, NULL));
    for (int64_t i = 0; i < layout->padded * lanes; i++)
        padded[i] = b->real == SS_FLOAT64 ? ((double *)host)[i] : (double)((float *)host)[i];
    for (int l = 0; l < lanes; l++)
        ss_layout_pack(layout, SS_FLOAT64, padded + l * layout->padded, packed + l * layout->n);
    ss_free(ss_test_context, host);
    ss_free(ss_test_context, padded);
    b->class->release(b, device);
}

void fixture_product(fixture *f, const ss_program_options *options, int lanes, const double *v, double *hv)
{
    ss_program *p;
    int64_t     ld = f->graph->layout.padded;
    void       *in[3], *out[3];
    ss_test_require(ss_program_compile(ss_test_context, f->backend, f->problem, options, &p));
    /* Three times, at other addresses each time: the later runs must not depend on what the first has left in
     * the arena, and a backend that captures does so in the second and launches it in the third. */
    for (int i = 0; i < 3; i++) {
        in[i] = to_device(f, lanes, v);
        out[i] = to_device(f, lanes, NULL);
        ss_test_require(ss_program_run(p, lanes, in[i], ld, out[i], ld));
    }
    ss_program_destroy(p);
    from_device(f, lanes, out[2], hv);
    for (int i = 0; i < 2; i++) f->backend->class->release(f->backend, out[i]);
    for (int i = 0; i < 3; i++) f->backend->class->release(f->backend, in[i]);
}

void fixture_gradient(fixture *f, int64_t micro_batch, double step, const double *direction, double *gradient,
                      double *loss)
{
    ss_program        *p;
    ss_program_options options = { .computation = SS_COMPUTE_GRADIENT,
                                   .micro_batch = micro_batch,
                                   .cached = 1000,
                                   .rest = SS_CACHE_NONE,
                                   .lanes = 1 };
    void              *d = direction ? to_device(f, 1, direction) : NULL, *out = to_device(f, 1, NULL);
    ss_point           point = { step, d };
    ss_test_require(ss_program_compile(ss_test_context, f->backend, f->problem, &options, &p));
    ss_program_set_point(p, &point);
    ss_test_require(ss_program_run(p, 1, NULL, 0, out, 0));
    if (loss) {
        *loss = p->decay_loss;
        for (int64_t i = 0; i < FIXTURE_SAMPLES; i++) *loss += p->row_loss[i];
    }
    ss_program_destroy(p);
    from_device(f, 1, out, gradient);
    f->backend->class->release(f->backend, d);
}

void fixture_random(const fixture *f, uint64_t seed, double *v)
{
    for (int64_t i = 0; i < f->graph->layout.n; i++)
        v[i] = ss_random_normal(seed, SS_STREAM_TEST, (uint64_t)i);
}
