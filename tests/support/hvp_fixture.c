#include "hvp/fixture.h"

#include "base/philox.h"

#include <math.h>
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

/* x + y, as a transformer adds a layer to what it has read. */
static int32_t residual(ss_graph *g, int32_t x, int32_t y, const char *name, int32_t layer)
{
    ss_attributes plain = { .alpha = 1, .beta = 1 };
    int32_t       inputs[2] = { x, y }, output;
    ss_test_require(ss_graph_add_node(g, &ss_op_add, name, &plain, 2, inputs, 0, NULL, layer, &output));
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

/* ---- Graphs of tokens and patches ---- */

enum { T = FIXTURE_TOKENS_PER_SAMPLE, D = 4, V = FIXTURE_VOCABULARY };

static int32_t embedding(ss_graph *g, ss_source source, int64_t at, int32_t table, double scale,
                         const char *name)
{
    int64_t       tokens = T, rows = g->parameters[table].array.shape[0];
    int32_t       ids, output;
    ss_attributes attributes = { .alpha = scale };
    ss_test_require(ss_graph_add_source(g, source, 1, &tokens, at, rows, &ids));
    ss_test_require(
        ss_graph_add_node(g, &ss_op_embedding, name, &attributes, 1, &ids, 1, &table, 0, &output));
    return output;
}

static int32_t norm(ss_graph *g, int32_t x, bool centered, const char *name, int32_t layer)
{
    char          weight[64], bias[64];
    int32_t       output, parameters[2] = { -1, -1 };
    ss_attributes attributes = { .centered = centered, .eps = 1e-5, .columns = D };
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    parameters[0] = parameter(g, weight, 1, D, 0);
    if (centered) parameters[1] = parameter(g, bias, 1, D, 0);
    ss_test_require(
        ss_graph_add_node(g, &ss_op_norm, name, &attributes, 1, &x, 2, parameters, layer, &output));
    return output;
}

/* x + a layer of 6 units */
static int32_t block(ss_graph *g, int32_t x, int32_t from, ss_function function)
{
    int32_t h = pointwise(g, linear(g, from, D, 6, "body.0", 2), function, "body.1", 3);
    return residual(g, x, linear(g, h, 6, D, "body.2", 4), "body.sum", 5);
}

void fixture_build_smallest(ss_graph *g)
{
    int64_t       tokens = T, table[2] = { V, D }, classes = V;
    int32_t       ids, weight;
    ss_attributes half = { .alpha = 0.5 };
    ss_test_require(ss_graph_add_source(g, SS_SOURCE_TOKEN_IDS, 1, &tokens, 0, V, &ids));
    ss_test_require(ss_graph_add_parameter(g, "embedding.weight", 2, table, true, &weight));
    ss_test_require(
        ss_graph_add_node(g, &ss_op_embedding, "embedding", &half, 1, &ids, 1, &weight, 0, &g->output));
    ss_test_require(ss_graph_add_parameter(g, "head.weight", 2, table, true, &g->head.weight));
    ss_test_require(ss_graph_add_parameter(g, "head.bias", 1, &classes, true, &g->head.bias));
    g->head.classes = V;
}

static void build_tokens(ss_graph *g)
{
    int32_t table = parameter(g, "embedding.weight", 2, V, D),
            place = parameter(g, "position.weight", 2, T + 1, D);
    int32_t words = embedding(g, SS_SOURCE_TOKEN_IDS, 0, table, 0.8, "embedding");
    int32_t x =
        combine(g, &ss_op_add, words, embedding(g, SS_SOURCE_POSITIONS, 1, place, 1, "position"), "sum", 1);
    x = block(g, x, norm(g, x, true, "norm", 1), SS_GELU_TANH);
    g->output = norm(g, x, true, "last_norm", 6);
    g->head = (ss_graph_head){ .weight = parameter(g, "head.weight", 2, V, D),
                               .bias = parameter(g, "head.bias", 1, V, 0),
                               .cap = 2,
                               .classes = V };
}

static void build_tied(ss_graph *g)
{
    int32_t table = parameter(g, "embedding.weight", 2, V, D),
            place = parameter(g, "position.weight", 2, T + 2, D);
    int32_t       words = embedding(g, SS_SOURCE_TOKEN_IDS, 0, table, 2, "embedding");
    int32_t       where = embedding(g, SS_SOURCE_POSITIONS_NOT_PADDED, FIXTURE_PADDING, place, 1, "position");
    int32_t       x = combine(g, &ss_op_add, words, where, "sum", 1), y;
    int32_t       weight[2] = { parameter(g, "conv.weight", 2, D, D), parameter(g, "conv.bias", 1, D, 0) };
    ss_attributes conv = { .columns = D, .transposed = true };
    int32_t       z = norm(g, x, false, "norm", 1);
    ss_test_require(ss_graph_add_node(g, &ss_op_linear, "conv", &conv, 1, &z, 2, weight, 2, &y));
    g->output = norm(g, residual(g, x, pointwise(g, y, SS_SILU, "act", 3), "last", 4), false, "last_norm", 5);
    g->head = (ss_graph_head){ .weight = table, .bias = -1, .classes = V };
}

/* Heads of the packed projections: [T, heads, 2] from `first` on. */
static int32_t heads_of(ss_graph *g, int32_t packed, int64_t heads, int64_t first)
{
    int64_t shape[3] = { T, heads, 2 }, strides[3] = { 8, 2, 1 };
    int32_t view;
    ss_test_require(ss_graph_add_view(g, packed, 3, shape, first, strides, &view));
    return view;
}

static void build_attention(ss_graph *g)
{
    int32_t       table = parameter(g, "embedding.weight", 2, V, D), angles, seen, y, whole;
    int32_t       x = embedding(g, SS_SOURCE_TOKEN_IDS, 0, table, 1, "embedding");
    int64_t       shape[2] = { T, 2 }, strides[2] = { D, 1 }, rows[2] = { T, D }, tokens = T;
    double        rotation[2 * T];
    ss_attributes causal = { .heads = 2, .key_heads = 1, .scale = 0.8, .causal = true };
    int32_t       packed = linear(g, norm(g, x, false, "norm", 1), D, 8, "qkv", 1);
    int32_t inputs[4] = { heads_of(g, packed, 2, 0), heads_of(g, packed, 1, 4), heads_of(g, packed, 1, 6) };
    for (int t = 0; t < T; t++) {
        rotation[2 * t] = cos(0.7 * t);
        rotation[2 * t + 1] = sin(0.7 * t);
    }
    ss_test_require(ss_graph_add_constant(g, "angles", 2, shape, rotation, &angles));
    for (int i = 0; i < 2; i++)
        ss_test_require(
            ss_graph_add_node(g, &ss_op_rope, "rope", NULL, 1, &inputs[i], 1, &angles, 1, &inputs[i]));
    ss_test_require(ss_graph_add_source(g, SS_SOURCE_ATTENTION_MASK, 1, &tokens, 0, 0, &seen));
    inputs[3] = seen;
    ss_test_require(ss_graph_add_node(g, &ss_op_attention, "attention", &causal, 4, inputs, 0, NULL, 1, &y));
    ss_test_require(ss_graph_add_view(g, y, 2, rows, 0, strides, &whole));
    g->output = residual(g, x, linear(g, whole, D, D, "out", 2), "sum", 2);
    g->head = (ss_graph_head){ .weight = parameter(g, "head.weight", 2, V, D), .bias = -1, .classes = V };
}

static void build_experts(ss_graph *g)
{
    int32_t table = parameter(g, "embedding.weight", 2, V, D), routes, sum = -1;
    int32_t x = embedding(g, SS_SOURCE_TOKEN_IDS, 0, table, 1, "embedding"),
            scores = linear(g, x, D, 3, "gate", 1);
    ss_attributes two = { .top_k = 2 };
    ss_test_require(ss_graph_add_node(g, &ss_op_router, "router", &two, 1, &scores, 0, NULL, 1, &routes));
    for (int e = 0; e < 3; e++) {
        char    name[32];
        int64_t shape[2] = { T, 1 }, strides[2] = { 3, 1 };
        int32_t pair[2], y;
        snprintf(name, sizeof name, "expert.%d", e);
        pair[0] = pointwise(g, linear(g, x, D, D, name, 2), SS_TANH, "tanh", 2);
        ss_test_require(ss_graph_add_view(g, routes, 2, shape, e, strides, &pair[1]));
        ss_test_require(ss_graph_add_node(g, &ss_op_row_scale, "share", NULL, 2, pair, 0, NULL, 2, &y));
        sum = e == 0 ? y : combine(g, &ss_op_add, sum, y, "mixture", 2);
    }
    g->output = sum;
    g->head = (ss_graph_head){ .weight = parameter(g, "head.weight", 2, V, D), .bias = -1, .classes = V };
}

static void build_images(ss_graph *g)
{
    int64_t shape[2] = { 4, 8 }, first = D, stride = 1; /* four patches of 2 by 2 in 2 channels */
    int32_t x, y, token, both[2];
    ss_test_require(ss_graph_add_source(g, SS_SOURCE_PATCHES, 2, shape, 2, 0, &x));
    x = linear(g, x, 8, D, "patch", 0);
    both[0] = parameter(g, "class", 1, D, 0);
    both[1] = parameter(g, "position", 2, 5, D);
    ss_test_require(ss_graph_add_node(g, &ss_op_class_token, "tokens", NULL, 1, &x, 2, both, 1, &y));
    y = pointwise(g, norm(g, y, true, "norm", 2), SS_GELU_ERF, "act", 3);
    ss_test_require(ss_graph_add_view(g, y, 1, &first, 0, &stride, &token));
    /* Classification from the class token and a patch, so that partial views meet. */
    int32_t patch;
    ss_test_require(ss_graph_add_view(g, y, 1, &first, 2 * D, &stride, &patch));
    g->output = linear(g, combine(g, &ss_op_multiply, token, patch, "pool", 3), D, 3, "classifier", 4);
}

/* ---- Data ---- */

static void make_tokens(fixture *f, fixture_kind kind)
{
    ss_test_require(SS_NEW_ARRAY(ss_test_context, FIXTURE_SAMPLES * T, &f->ids));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, FIXTURE_SAMPLES * T, &f->labels));
    for (int64_t i = 0; i < FIXTURE_SAMPLES * T; i++) {
        f->ids[i] = (int64_t)(7 * ss_random_uniform(7, SS_STREAM_TEST, (uint64_t)i));
        f->labels[i] = kind == FIXTURE_TIED ? (f->ids[i] * i + 3) % V : f->ids[i];
        if (i % 7 == 3 || i / T == 4) f->labels[i] = SS_IGNORED_LABEL; /* sample 4 does not count at all */
        if (kind == FIXTURE_TIED && i % T == T - 1 && i / T % 2) f->ids[i] = FIXTURE_PADDING;
    }
    ss_array x = { "input_ids", SS_I64, 2, { FIXTURE_SAMPLES, T }, f->ids };
    ss_array y = { "labels", SS_I64, 2, { FIXTURE_SAMPLES, T }, f->labels };
    ss_test_require(ss_dataset_from_arrays(ss_test_context, &x, &y, NULL, &f->dataset));
}

static void make_images(fixture *f)
{
    ss_test_require(SS_NEW_ARRAY(ss_test_context, FIXTURE_SAMPLES * 32, &f->x));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, FIXTURE_SAMPLES, &f->ids));
    for (int64_t i = 0; i < FIXTURE_SAMPLES * 32; i++)
        f->x[i] = ss_random_normal(7, SS_STREAM_TEST, (uint64_t)i);
    for (int64_t i = 0; i < FIXTURE_SAMPLES; i++) f->ids[i] = i == 3 ? SS_IGNORED_LABEL : i * i % 3;
    ss_array           x = { "pixel_values", SS_F64, 4, { FIXTURE_SAMPLES, 2, 4, 4 }, f->x };
    ss_array           y = { "labels", SS_I64, 1, { FIXTURE_SAMPLES }, f->ids };
    ss_dataset_options options;
    ss_dataset_options_init(&options);
    options.scale_given = true;
    options.scale = 0.5;
    options.shift = 0.1;
    ss_test_require(ss_dataset_from_arrays(ss_test_context, &x, &y, &options, &f->dataset));
}

static void make_vectors(fixture *f, fixture_kind kind)
{
    static const int64_t columns[FIXTURE_KIND_COUNT] = { 4, 3, [FIXTURE_KINKED] = 3 };
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

static const char *const losses[FIXTURE_KIND_COUNT] = { "cross_entropy",   "mse",       "causal_lm",
                                                        "masked_lm",       "causal_lm", "cross_entropy",
                                                        "bce_with_logits", "causal_lm" };

void fixture_renew_problem(fixture *f, fixture_kind kind)
{
    ss_objective_options options;
    ss_objective_options_init(&options);
    options.loss = losses[kind];
    ss_problem_destroy(f->problem);
    f->problem = NULL;
    ss_test_require(ss_problem_create(ss_test_context, f->graph, f->dataset, &options, &f->problem));
}

void fixture_create(fixture *f, fixture_kind kind, const char *device, ss_real real, double decay,
                    const char *include)
{
    static void (*const of_tokens[FIXTURE_KIND_COUNT])(ss_graph *) = { [FIXTURE_TOKENS] = build_tokens,
                                                                       [FIXTURE_TIED] = build_tied,
                                                                       [FIXTURE_ATTENTION] = build_attention,
                                                                       [FIXTURE_IMAGES] = build_images,
                                                                       [FIXTURE_EXPERTS] = build_experts };
    static void (*const of_vectors[FIXTURE_KIND_COUNT])(ss_graph *, int32_t) = {
        [FIXTURE_PLAIN] = build_plain, [FIXTURE_BRANCHES] = build_branches, [FIXTURE_KINKED] = build_kinked
    };
    ss_objective_options options;
    ss_decay_rule        rule = { NULL, decay };
    int64_t              shape = 5;
    int32_t              x;
    memset(f, 0, sizeof *f);
    ss_test_require(ss_graph_create(ss_test_context, &f->graph));
    if (of_tokens[kind]) {
        of_tokens[kind](f->graph);
    } else {
        ss_test_require(ss_graph_add_input(f->graph, 1, &shape, &x));
        of_vectors[kind](f->graph, x);
    }
    ss_test_require(ss_graph_bind_seeded(f->graph, 3));
    ss_test_require(ss_graph_activate(f->graph, include ? 1 : 0, &include, 0, NULL));
    ss_test_require(ss_graph_set_decay(f->graph, 1, &rule));
    if (kind == FIXTURE_IMAGES)
        make_images(f);
    else if (of_tokens[kind])
        make_tokens(f, kind);
    else
        make_vectors(f, kind);
    ss_objective_options_init(&options);
    options.loss = losses[kind];
    ss_test_require(ss_problem_prepare_graph(ss_test_context, f->graph, f->dataset, &options));
    /* Several chunks in a micro-batch, the last one smaller. */
    if (f->graph->head.weight >= 0) f->graph->nodes[f->graph->n_nodes - 1].attributes.chunk = 4;
    fixture_renew_problem(f, kind);
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
    ss_free(ss_test_context, f->labels);
}

/* ---- Vectors and products ---- */

void *fixture_upload(const fixture *f, int lanes, const double *packed)
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

void fixture_run(fixture *f, ss_program *p, int lanes, const double *v, double *out)
{
    int64_t ld = f->graph->layout.padded;
    void   *in = v ? fixture_upload(f, lanes, v) : NULL, *to = fixture_upload(f, lanes, NULL);
    ss_test_require(ss_program_run(p, lanes, in, ld, to, ld));
    f->backend->class->release(f->backend, in);
    from_device(f, lanes, to, out);
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
        in[i] = fixture_upload(f, lanes, v);
        out[i] = fixture_upload(f, lanes, NULL);
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
    void    *d = direction ? fixture_upload(f, 1, direction) : NULL, *out = fixture_upload(f, 1, NULL);
    ss_point point = { step, d };
    ss_test_require(ss_program_compile(ss_test_context, f->backend, f->problem, &options, &p));
    ss_program_set_point(p, &point);
    ss_test_require(ss_program_run(p, 1, NULL, 0, out, 0));
    if (loss) {
        *loss = p->decay_loss;
        for (int64_t i = 0; i < FIXTURE_SAMPLES * f->problem->rows; i++) *loss += p->row_loss[i];
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
