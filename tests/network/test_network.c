/* Opening networks: the builder's errors, names, prefixes, globs, decay rules, seeded weights, layouts, and a
 * network of every layer type against plain loops. */
#include "io/safetensors.h"
#include "network/sequential.h"
#include "support/forward.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define NETWORK(test) Test(network, test, .init = ss_test_begin, .fini = ss_test_end)

/* ---- network.json that must be refused, and what the message must name ---- */

#define IN_4(layers)    "{\"input_shape\": [4], \"layers\": [" layers "]}"
#define LINEAR(in, out) "{\"type\": \"Linear\", \"in_features\": " #in ", \"out_features\": " #out "}"

static const struct {
    const char *text;  /* of the file */
    const char *names; /* part of the message */
} malformed[] = {
    { "", "network.json" },
    { "[]", "input_shape" },
    { "{", "network.json" },
    { "{\"layers\": []}", "input_shape" },
    { "{\"input_shape\": [4]}", "layers" },
    { "{\"input_shape\": [4], \"layers\": []}", "no layers" },
    { "{\"input_shape\": [], \"layers\": [" LINEAR(4, 2) "]}", "input_shape" },
    { "{\"input_shape\": [0], \"layers\": [" LINEAR(4, 2) "]}", "input_shape" },
    { "{\"input_shape\": [-4], \"layers\": [" LINEAR(4, 2) "]}", "input_shape" },
    { "{\"input_shape\": [4.5], \"layers\": [" LINEAR(4, 2) "]}", "input_shape" },
    { "{\"input_shape\": [4, 4, 4, 4, 4, 4, 4, 4, 4], \"layers\": [" LINEAR(4, 2) "]}", "input_shape" },
    { "{\"input_shape\": [4294967296, 4294967296, 4], \"layers\": [" LINEAR(4, 2) "]}", "overflow" },
    { "{\"input_shape\": [4], \"layers\": [" LINEAR(4, 2) "], \"extra\": 1}", "extra" },
    { "{\"input_shape\": [4], \"layers\": {}}", "layers" },
    { IN_4("3"), "layers[0]" },
    { IN_4("{}"), "type" },
    { IN_4("{\"type\": 7}"), "type" },
    { IN_4("{\"type\": \"Foo\"}"), "LayerNorm" },
    { IN_4("{\"type\": \"Conv2d\", \"in_channels\": 1}"), "Conv2d is not yet supported" },
    { IN_4(LINEAR(4, 2) ", {\"type\": \"BatchNorm2d\"}"), "layers[1]" },
    { IN_4("{\"type\": \"MaxPool2d\"}"), "MaxPool2d is not yet supported" },
    { IN_4("{\"type\": \"AvgPool2d\"}"), "AvgPool2d is not yet supported" },
    { IN_4("{\"type\": \"AdaptiveAvgPool2d\"}"), "AdaptiveAvgPool2d is not yet supported" },
    { IN_4("{\"type\": \"Linear\", \"in_features\": 4, \"out_features\": 2, \"biass\": true}"), "biass" },
    { IN_4("{\"type\": \"Linear\", \"in_features\": 4, \"out_features\": 2, \"bias\": 1}"), "bias" },
    { IN_4("{\"type\": \"Linear\", \"in_features\": 4}"), "out_features" },
    { IN_4("{\"type\": \"Linear\", \"in_features\": \"4\", \"out_features\": 2}"), "layers[0].in_features" },
    { IN_4(LINEAR(0, 2)), "in_features" },
    { IN_4(LINEAR(4, -1)), "out_features" },
    { IN_4(LINEAR(4, 4611686018427387904)), "overflow" },
    { IN_4(LINEAR(3, 2)), "0 (Linear) expects 3 input features, but the network's input gives [4]" },
    { IN_4(LINEAR(4, 3) ", {\"type\": \"Tanh\"}, " LINEAR(2, 1)),
      "2 (Linear) expects 2 input features, but 1 (Tanh) gives [3]" },
    { IN_4("{\"type\": \"LayerNorm\", \"normalized_shape\": [3]}"), "but the network's input gives [4]" },
    { IN_4("{\"type\": \"LayerNorm\", \"normalized_shape\": [1, 4]}"), "ends in [1, 4]" },
    { IN_4("{\"type\": \"LayerNorm\", \"normalized_shape\": []}"), "ends in []" },
    { IN_4("{\"type\": \"LayerNorm\", \"normalized_shape\": 4, \"eps\": -1}"), "eps" },
    { IN_4("{\"type\": \"RMSNorm\", \"normalized_shape\": 4}"), "eps" },
    { IN_4("{\"type\": \"GELU\", \"approximate\": \"erf\"}"), "approximate" },
    { IN_4("{\"type\": \"Softplus\", \"beta\": 0}"), "beta" },
    { IN_4("{\"type\": \"SoftCap\"}"), "cap" },
    { IN_4("{\"type\": \"Tanh\", \"alpha\": 1}"), "alpha" },
    { IN_4("{\"type\": \"Dropout\", \"p\": 1.5}"), "layers[0].p" },
    { IN_4("{\"type\": \"Flatten\", \"start_dim\": 0}"), "start_dim" },
    { IN_4("{\"type\": \"Flatten\", \"start_dim\": 5}"), "start_dim" },
    { IN_4("{\"type\": \"Residual\"}"), "body" },
    { IN_4("{\"type\": \"Residual\", \"body\": [" LINEAR(4, 3) "]}"),
      "the body ends with 0.body.0 (Linear), which gives [3], the shortcut with the network's input" },
    { IN_4("{\"type\": \"Residual\", \"body\": [{\"type\": \"Foo\"}]}"), "layers[0].body[0]" },
    { IN_4("{\"type\": \"Sequential\", \"body\": []}"), "body" },
    { IN_4("{\"type\": \"Tanh\", \"name\": \"\"}"), "name" },
    { IN_4("{\"type\": \"Linear\", \"in_features\": 4, \"out_features\": 4, \"name\": \"1\"}, " LINEAR(4, 4)),
      "two parameters are named '1." },
};

/* Builds a network from text without weights; NULL when it is refused (the message stands in the context). */
static ss_graph *build(const char *text, ss_status *status)
{
    ss_json  *json = NULL;
    ss_graph *graph = NULL;
    *status = ss_json_parse(ss_test_context, "network.json", text, (int64_t)strlen(text), &json);
    if (*status == SS_OK) *status = ss_sequential_build(ss_test_context, json, &graph);
    if (*status == SS_OK) *status = ss_graph_bind_seeded(graph, 1);
    if (*status != SS_OK) {
        ss_graph_destroy(graph);
        graph = NULL;
    }
    ss_json_free(json);
    return graph;
}

NETWORK(malformed_descriptions)
{
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        ss_status status;
        ss_graph *graph = build(malformed[i].text, &status);
        cr_expect_null(graph, "accepted: %s", malformed[i].text);
        cr_expect(status == SS_ERROR_INPUT &&
                      strstr(ss_context_message(ss_test_context), malformed[i].names) != NULL,
                  "%s\n  gives status %d and '%s', which does not name '%s'", malformed[i].text, (int)status,
                  ss_context_message(ss_test_context), malformed[i].names);
        ss_context_clear_message(ss_test_context);
        ss_graph_destroy(graph);
    }
}

/* Containers 200 deep are refused instead of exhausting the stack. */
NETWORK(deep_nesting)
{
    char   text[16384] = "{\"input_shape\": [4], \"layers\": [";
    size_t used = strlen(text);
    for (int i = 0; i < 200; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "{\"type\": \"Sequential\", \"layers\": [");
    used += (size_t)snprintf(text + used, sizeof text - used, LINEAR(4, 4));
    for (int i = 0; i < 200; i++) used += (size_t)snprintf(text + used, sizeof text - used, "]}");
    snprintf(text + used, sizeof text - used, "]}");
    ss_status status;
    cr_expect_null(build(text, &status));
    ss_test_refuse(status, SS_ERROR_INPUT, "nested");
}

static const char *const refused_mlps[] = {
    "mlp:",
    "mlp:4",
    "mlp:4-",
    "mlp:-4-2",
    "mlp:4-0-2",
    "mlp:4-2:",
    "mlp:4-2x",
    "mlp:4-3-2:foo",
    "mlp:4-3-2:soft_cap",
    "mlp:4-3-3-3-2:tanh:relu",
    "mlp:4-99999999999999999999-2",
    "mlp:4-3-2:tanh:",
    "mlp:4-2:tanh",
    "mlp:4--2",
};

NETWORK(malformed_mlp_strings)
{
    for (size_t i = 0; i < sizeof refused_mlps / sizeof *refused_mlps; i++) {
        ss_network *network = NULL;
        ss_status   status = ss_network_open(ss_test_context, refused_mlps[i], NULL, &network);
        cr_expect_null(network, "accepted: %s", refused_mlps[i]);
        ss_test_refuse(status, SS_ERROR_INPUT, refused_mlps[i]);
    }
}

NETWORK(mlp_strings)
{
    static const struct {
        const char *text;
        int64_t     n;     /* parameters */
        int32_t     nodes; /* of the graph */
        const char *last;  /* name of the last weight */
    } rows[] = { { "mlp:64-16-10:tanh", 64 * 16 + 16 + 160 + 10, 3, "2.weight" },
                 { "mlp:3-2", 8, 1, "0.weight" },
                 { "mlp:3-4-5-2:ReLU:gelu_tanh", 16 + 25 + 12, 5, "4.weight" },
                 { "mlp:3-4-2", 16 + 10, 2, "1.weight" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ss_network       *network;
        ss_parameter_info info;
        ss_test_require(ss_network_open(ss_test_context, rows[i].text, NULL, &network));
        cr_expect_eq(ss_network_n(network), rows[i].n, "%s: n = %lld", rows[i].text,
                     (long long)ss_network_n(network));
        cr_expect_eq(ss_network_graph(network)->n_nodes, rows[i].nodes);
        ss_network_parameter(network, ss_network_parameter_count(network) - 1, &info);
        cr_expect_str_eq(info.name, rows[i].last);
        cr_expect(strstr(ss_network_description(network), "seed 0") != NULL, "%s",
                  ss_network_description(network));
        ss_network_close(network);
    }
}

/* ---- Weights ---- */

static const char small_network[] = IN_4(LINEAR(4, 3) ", {\"type\": \"Tanh\"}, " LINEAR(3, 2));

static const float   weights[12] = { 0.5F, -1.0F, 2.0F,  0.25F, 3.0F, -0.5F,
                                     1.0F, 0.0F,  -2.0F, 0.75F, 1.5F, -0.25F };
static const float   poisoned[12] = { 0.5F, 1.0F, 2.0F, 0.25F, NAN };
static const float   infinite[12] = { INFINITY };
static const int64_t integers[12] = { 1 };

/* The four tensors of small_network, `prefix` before each name, and up to two more. */
static ss_status open_small(const char *prefix, const ss_array *changed, const ss_array *extra,
                            bool drop_bias, ss_network **network)
{
    char     names[4][64];
    ss_array arrays[6] = {
        { .name = "0.weight", .type = SS_F32, .rank = 2, .shape = { 3, 4 }, .data = weights },
        { .name = "0.bias", .type = SS_F32, .rank = 1, .shape = { 3 }, .data = weights },
        { .name = "2.weight", .type = SS_F32, .rank = 2, .shape = { 2, 3 }, .data = weights },
        { .name = "2.bias", .type = SS_F32, .rank = 1, .shape = { 2 }, .data = weights }
    };
    int64_t count = 4;
    if (changed != NULL) arrays[0] = *changed;
    for (int i = 0; i < 4; i++) {
        snprintf(names[i], sizeof names[i], "%s%s", prefix, arrays[i].name);
        arrays[i].name = names[i];
    }
    if (drop_bias) count = 3;
    if (extra != NULL) arrays[count++] = *extra;
    ss_test_write_file(ss_test_path("network.json"), small_network, sizeof small_network - 1);
    ss_test_require(
        ss_safetensors_write(ss_test_context, ss_test_path("weights.safetensors"), arrays, count, NULL, 0));
    return ss_network_open(ss_test_context, ss_test_directory(), NULL, network);
}

NETWORK(weights_are_bound_by_name)
{
    ss_network       *network;
    ss_parameter_info info;
    double            theta[4 * SS_LAYOUT_ALIGNMENT];
    ss_test_require(open_small("", NULL, NULL, false, &network));
    cr_expect_eq(ss_network_n(network), 23);
    ss_network_parameter(network, 1, &info);
    cr_expect_str_eq(info.name, "0.weight");
    cr_expect_eq(info.shape[0], 3);
    ss_network_get_weights(network, SS_FLOAT64, theta);
    for (int i = 0; i < 12; i++) cr_expect_eq(theta[info.offset + i], (double)weights[i]);
    ss_network_close(network);
}

NETWORK(a_common_prefix_is_stripped)
{
    ss_network *network;
    ss_test_require(open_small("model.inner.", NULL, NULL, false, &network));
    cr_expect_eq(ss_network_n(network), 23);
    cr_expect(strstr(ss_network_description(network), "'model.inner.'") != NULL, "%s",
              ss_network_description(network));
    ss_network_close(network);
    ss_array extra = { .name = "0.weight", .type = SS_F32, .rank = 2, .shape = { 3, 4 }, .data = weights };
    ss_test_refuse(open_small("model.", NULL, &extra, false, &network), SS_ERROR_INPUT,
                   "'0.weight' belongs to no");
}

NETWORK(wrong_weights_are_named)
{
    ss_network *network;
    ss_array    w = { .name = "0.weight", .type = SS_F32, .rank = 2, .shape = { 3, 4 }, .data = poisoned };
    ss_array    extra = { .name = "3.weight", .type = SS_F32, .rank = 1, .shape = { 2 }, .data = weights };
    ss_array    counter = { .name = "7.num_batches_tracked", .type = SS_I64, .rank = 0, .data = integers };
    ss_test_refuse(open_small("", &w, NULL, false, &network), SS_ERROR_INPUT, "[1, 0]");
    w.data = infinite;
    ss_test_refuse(open_small("", &w, NULL, false, &network), SS_ERROR_INPUT, "'0.weight'");
    w.data = weights;
    w.shape[0] = 4, w.shape[1] = 3;
    ss_test_refuse(open_small("", &w, NULL, false, &network), SS_ERROR_INPUT,
                   "[4, 3], the network expects [3, 4]");
    w.rank = 1, w.shape[0] = 12;
    ss_test_refuse(open_small("", &w, NULL, false, &network), SS_ERROR_INPUT, "[12]");
    w = (ss_array){ .name = "0.weight", .type = SS_I64, .rank = 2, .shape = { 3, 4 }, .data = integers };
    ss_test_refuse(open_small("", &w, NULL, false, &network), SS_ERROR_INPUT, "I64");
    ss_test_refuse(open_small("", NULL, &extra, false, &network), SS_ERROR_INPUT,
                   "'3.weight' belongs to no layer");
    ss_test_refuse(open_small("", NULL, NULL, true, &network), SS_ERROR_INPUT,
                   "'2.bias' of the network is missing");
    ss_test_require(open_small("", NULL, &counter, false, &network));
    ss_network_close(network);
}

NETWORK(wrong_sources_are_named)
{
    ss_network        *network;
    ss_network_options options = { .weights = ss_test_path("none.safetensors") };
    ss_test_refuse(ss_network_open(ss_test_context, "/nowhere/at/all", NULL, &network), SS_ERROR_INPUT,
                   "/nowhere/at/all");
    ss_test_refuse(ss_network_open(ss_test_context, ss_test_directory(), NULL, &network), SS_ERROR_INPUT,
                   "network.json");
    ss_test_write_file(ss_test_path("network.json"), small_network, sizeof small_network - 1);
    ss_test_refuse(ss_network_open(ss_test_context, ss_test_directory(), NULL, &network), SS_ERROR_INPUT,
                   "weights.safetensors");
    ss_test_refuse(ss_network_open(ss_test_context, ss_test_directory(), &options, &network), SS_ERROR_INPUT,
                   "none.safetensors");
    ss_array array = { .name = "0.weight", .type = SS_F32, .rank = 1, .shape = { 2 }, .data = weights };
    ss_test_require(ss_safetensors_write(ss_test_context, ss_test_path("w.safetensors"), &array, 1, NULL, 0));
    ss_test_refuse(ss_network_open(ss_test_context, ss_test_path("w.safetensors"), NULL, &network),
                   SS_ERROR_INPUT, "weights without an architecture");
    ss_test_write_file(ss_test_path("model.pt"), "\x80\x02}q\x00.", 6);
    ss_test_refuse(ss_network_open(ss_test_context, ss_test_path("model.pt"), NULL, &network), SS_ERROR_INPUT,
                   "export_torch");
}

/* ---- Activity, decay, layout ---- */

NETWORK(globs_choose_parameters)
{
    static const char *const second[] = { "2.*" }, *const biases[] = { "*.bias" },
                             *const nothing[] = { "9.*" };
    static const char *const        all[] = { "*" };
    ss_network_options              options = { .include = second, .n_include = 1 };
    ss_network                     *network;
    ss_parameter_info               info;

    ss_test_require(ss_network_open(ss_test_context, "mlp:4-3-2:tanh", &options, &network));
    cr_expect_eq(ss_network_n(network), 8);
    ss_network_parameter(network, 0, &info);
    cr_expect_str_eq(info.name, "0.bias");
    cr_expect(!info.active && info.offset == -1 && info.canonical == -1 && info.trainable);
    ss_network_parameter(network, 3, &info);
    cr_expect(info.active && info.offset == SS_LAYOUT_ALIGNMENT && info.canonical == 2, "%lld %lld",
              (long long)info.offset, (long long)info.canonical);
    cr_expect_eq(info.first_layer, 2);
    ss_network_close(network);

    options.exclude = biases, options.n_exclude = 1;
    ss_test_require(ss_network_open(ss_test_context, "mlp:4-3-2:tanh", &options, &network));
    cr_expect_eq(ss_network_n(network), 6, "excludes win");
    ss_network_close(network);

    options = (ss_network_options){ .include = nothing, .n_include = 1 };
    ss_test_refuse(ss_network_open(ss_test_context, "mlp:4-3-2:tanh", &options, &network), SS_ERROR_USAGE,
                   "'9.*'");
    options = (ss_network_options){ .exclude = nothing, .n_exclude = 1 };
    ss_test_refuse(ss_network_open(ss_test_context, "mlp:4-3-2:tanh", &options, &network), SS_ERROR_USAGE,
                   "'9.*'");
    options = (ss_network_options){ .exclude = all, .n_exclude = 1 };
    ss_test_refuse(ss_network_open(ss_test_context, "mlp:4-3-2:tanh", &options, &network), SS_ERROR_USAGE,
                   "no parameter is left");
}

NETWORK(later_decay_rules_win)
{
    static const ss_decay_rule rules[] = { { NULL, 0.1 }, { "*.bias", 0.0 }, { "2.*", 0.5 } };
    static const double        expected[] = { 0.0, 0.1, 0.5, 0.5 }; /* 0.bias 0.weight 2.bias 2.weight */
    static const ss_decay_rule wrong[] = { { "*.gain", 0.1 } }, negative[] = { { NULL, -1.0 } };
    ss_network_options         options = { .decay = rules, .n_decay = 3 };
    ss_network                *network;
    ss_parameter_info          info;
    ss_test_require(ss_network_open(ss_test_context, "mlp:4-3-2:tanh", &options, &network));
    for (int64_t i = 0; i < 4; i++) {
        ss_network_parameter(network, i, &info);
        cr_expect_eq(info.decay, expected[i], "%s", info.name);
    }
    ss_network_close(network);
    options = (ss_network_options){ .decay = wrong, .n_decay = 1 };
    ss_test_refuse(ss_network_open(ss_test_context, "mlp:4-3-2:tanh", &options, &network), SS_ERROR_USAGE,
                   "'*.gain'");
    options = (ss_network_options){ .decay = negative, .n_decay = 1 };
    ss_test_refuse(ss_network_open(ss_test_context, "mlp:4-3-2:tanh", &options, &network), SS_ERROR_USAGE,
                   "-1");
}

/* Same seed, same weights, whatever is active; another seed, others; within torch's bounds. */
NETWORK(seeded_weights)
{
    static const char *const  last[] = { "2.*" };
    ss_network_options        part = { .include = last, .n_include = 1, .seed = 5 }, whole = { .seed = 5 };
    ss_network_options        other = { .seed = 6 };
    const ss_network_options *options[] = { &part, &whole, &whole, &other };
    ss_network               *networks[4];
    double                    first[4];
    for (int i = 0; i < 4; i++) {
        ss_test_require(ss_network_open(ss_test_context, "mlp:9-3-2:tanh", options[i], &networks[i]));
        const ss_graph *graph = ss_network_graph(networks[i]);
        first[i] = ss_array_value(&graph->parameters[3].array, 4);
        for (int32_t p = 0; p < graph->n_parameters; p++) {
            double bound = 1.0 / sqrt(p < 2 ? 9.0 : 3.0), largest = 0.0;
            for (int64_t k = 0; k < graph->parameters[p].count; k++)
                largest = fmax(largest, fabs(ss_array_value(&graph->parameters[p].array, k)));
            cr_expect(largest <= bound && largest > 0.1 * bound, "%s: %g, bound %g",
                      graph->parameters[p].name, largest, bound);
        }
    }
    cr_expect(first[0] == first[1] && first[1] == first[2] && first[2] != first[3]);
    for (int i = 0; i < 4; i++) ss_network_close(networks[i]);
}

NETWORK(layouts_pad_and_pack)
{
    ss_network *network;
    ss_test_require(ss_network_open(ss_test_context, "mlp:13-7-3:tanh", NULL, &network));
    const ss_layout *layout = ss_network_layout(network);
    int64_t          canonical = 0, n = ss_network_n(network);
    cr_expect_eq(layout->n, 13 * 7 + 7 + 21 + 3);
    cr_expect_eq(layout->padded, 64 + 128 + 64 + 64);
    for (int64_t i = 0; i < layout->n_segments; i++) {
        cr_expect_eq(layout->segments[i].offset % SS_LAYOUT_ALIGNMENT, 0);
        cr_expect_eq(layout->segments[i].canonical, canonical);
        canonical += layout->segments[i].length;
    }
    for (int real = SS_FLOAT32; real <= SS_FLOAT64; real++) {
        double packed[200] = { 0 }, padded[320], back[200] = { 0 };
        size_t size = ss_real_size((ss_real)real);
        for (int64_t i = 0; i < n; i++)
            if (real == SS_FLOAT64)
                packed[i] = (double)(i + 1);
            else
                ((float *)packed)[i] = (float)(i + 1);
        memset(padded, 0xff, sizeof padded);
        ss_network_unpack(network, (ss_real)real, packed, padded);
        double sum = 0.0;
        for (int64_t i = 0; i < layout->padded; i++)
            sum += real == SS_FLOAT64 ? padded[i] : (double)((float *)padded)[i];
        cr_expect_eq(sum, (double)(n * (n + 1) / 2), "padding must be zero");
        ss_network_pack(network, (ss_real)real, padded, back);
        cr_expect_arr_eq(back, packed, (size_t)n * size);
    }
    ss_network_close(network);
}

/* ---- Every layer type against plain loops ---- */

static const char all_layers[] =
    "{\"input_shape\": [2, 3], \"layers\": ["
    "{\"type\": \"LayerNorm\", \"normalized_shape\": [2, 3], \"eps\": 0.01},"
    "{\"type\": \"Flatten\"},"
    "{\"type\": \"Linear\", \"in_features\": 6, \"out_features\": 4},"
    "{\"type\": \"ReLU\", \"inplace\": true}, {\"type\": \"LeakyReLU\", \"negative_slope\": 0.2},"
    "{\"type\": \"Tanh\"}, {\"type\": \"Sigmoid\"}, {\"type\": \"SiLU\"}, {\"type\": \"GELU\"},"
    "{\"type\": \"GELU\", \"approximate\": \"tanh\"}, {\"type\": \"Softplus\", \"beta\": 2.0},"
    "{\"type\": \"ELU\", \"alpha\": 0.7}, {\"type\": \"SoftCap\", \"cap\": 0.9},"
    "{\"type\": \"Dropout\"}, {\"type\": \"Identity\"},"
    "{\"type\": \"RMSNorm\", \"normalized_shape\": 4, \"eps\": 0.1, \"elementwise_affine\": false},"
    "{\"type\": \"Residual\", \"body\": [{\"type\": \"Sequential\", \"layers\": ["
    "{\"type\": \"Linear\", \"in_features\": 4, \"out_features\": 4, \"bias\": false}]}], \"shortcut\": []},"
    "{\"type\": \"Residual\", \"body\": [], \"shortcut\": [{\"type\": \"Tanh\"}]}]}";

static double activation(int which, double x)
{
    const double c = 0.79788456080286535588; /* sqrt(2 / pi) */
    switch (which) {
    case 0: return fmax(x, 0.0);
    case 1: return x > 0.0 ? x : 0.2 * x;
    case 2: return tanh(x);
    case 3: return 1.0 / (1.0 + exp(-x));
    case 4: return x / (1.0 + exp(-x));
    case 5: return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    case 6: return 0.5 * x * (1.0 + tanh(c * (x + 0.044715 * x * x * x)));
    case 7: return log1p(exp(2.0 * x)) / 2.0;
    case 8: return x > 0.0 ? x : 0.7 * expm1(x);
    default: return 0.9 * tanh(x / 0.9);
    }
}

static void normalise(double *x, int n, double eps, bool centered)
{
    double mean = 0.0, squares = 0.0;
    for (int i = 0; i < n && centered; i++) mean += x[i] / n;
    for (int i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean) / n;
    for (int i = 0; i < n; i++) x[i] = (x[i] - mean) / sqrt(squares + eps);
}

NETWORK(every_layer_against_loops)
{
    static const double x[2][6] = { { 0.3, -1.2, 0.8, 2.0, -0.4, 0.1 }, { -0.7, 0.2, 1.1, -1.5, 0.6, 0.9 } };
    double              y[2][4];
    ss_status           status;
    ss_graph           *graph = build(all_layers, &status);
    ss_test_require(status);
    cr_assert_eq(graph->n_parameters, 5);
    cr_expect_str_eq(graph->parameters[3].name, "2.bias");
    ss_test_forward(graph, NULL, 2, x[0], y[0]);
    for (int s = 0; s < 2; s++) {
        double h[6], a[4], b[4];
        memcpy(h, x[s], sizeof h);
        normalise(h, 6, 0.01, true); /* seeded gain 1 and bias 0 */
        for (int i = 0; i < 4; i++) {
            const ss_array *weight = NULL, *bias = NULL;
            for (int p = 0; p < 5; p++) {
                if (strcmp(graph->parameters[p].name, "2.weight") == 0) weight = &graph->parameters[p].array;
                if (strcmp(graph->parameters[p].name, "2.bias") == 0) bias = &graph->parameters[p].array;
            }
            a[i] = ss_array_value(bias, i);
            for (int j = 0; j < 6; j++) a[i] += h[j] * ss_array_value(weight, 6 * i + j);
            for (int f = 0; f < 10; f++) a[i] = activation(f, a[i]);
        }
        normalise(a, 4, 0.1, false);
        for (int p = 0; p < 5; p++)
            if (strcmp(graph->parameters[p].name, "16.body.0.0.weight") == 0)
                for (int i = 0; i < 4; i++) {
                    b[i] = a[i];
                    for (int j = 0; j < 4; j++)
                        b[i] += a[j] * ss_array_value(&graph->parameters[p].array, 4 * i + j);
                }
        for (int i = 0; i < 4; i++)
            cr_expect(fabs(y[s][i] - (b[i] + tanh(b[i]))) < 1e-12,
                      "sample %d output %d: %.15g, expected %.15g", s, i, y[s][i], b[i] + tanh(b[i]));
    }
    ss_graph_destroy(graph);
}

/* ---- Graphs ---- */

NETWORK(the_loss_is_appended_once)
{
    ss_status     status;
    ss_graph     *graph = build(small_network, &status);
    ss_attributes attributes = { .loss = SS_LOSS_CROSS_ENTROPY, .class_ids = true };
    int32_t       node, again;
    ss_test_require(ss_graph_add_loss(graph, &attributes, &node));
    cr_expect_eq(graph->nodes[node].saved_count, 2);
    cr_expect_eq(graph->nodes[node].output, -1);
    attributes.loss = SS_LOSS_MSE;
    ss_test_require(ss_graph_add_loss(graph, &attributes, &again));
    cr_expect_eq(again, node);
    cr_expect_eq(graph->nodes[node].saved_count, 0);
    ss_graph_destroy(graph);
}

NETWORK(views_stay_inside)
{
    ss_graph     *graph;
    int32_t       input, view, second;
    const int64_t shape[] = { 4, 6 }, part[] = { 2, 3 }, strides[] = { 6, 1 }, column[] = { 2 },
                  step[] = { 6 };
    ss_test_require(ss_graph_create(ss_test_context, &graph));
    ss_test_require(ss_graph_add_input(graph, 2, shape, &input));
    ss_test_require(ss_graph_add_view(graph, input, 2, part, 7, strides, &view));
    ss_test_require(ss_graph_add_view(graph, view, 1, column, 2, step, &second));
    cr_expect_eq(graph->values[second].base, input);
    cr_expect_eq(graph->values[second].view_offset, 9);
    cr_expect_eq(graph->values[input].views, 2);
    ss_test_refuse(ss_graph_add_view(graph, input, 2, part, 16, strides, &view), SS_ERROR_INTERNAL,
                   "outside");
    ss_graph_destroy(graph);
}

/* Every allocation fails once: a clean error, nothing left behind. */
NETWORK(allocations_fail_cleanly)
{
    ss_network *network;
    ss_test_require(open_small("model.", NULL, NULL, false, &network));
    ss_network_close(network);
    int64_t before = ss_context_allocations(ss_test_context);
    ss_test_require(ss_network_open(ss_test_context, ss_test_directory(), NULL, &network));
    ss_network_close(network);
    int64_t needed = ss_context_allocations(ss_test_context) - before,
            kept = ss_context_memory_now(ss_test_context);
    cr_assert(needed > 10);
    for (int64_t nth = 1; nth <= needed; nth++) {
        ss_context_fail_allocation(ss_test_context, nth);
        ss_status status = ss_network_open(ss_test_context, ss_test_directory(), NULL, &network);
        ss_test_refuse(status, SS_ERROR_MEMORY, NULL);
        cr_expect_null(network);
        cr_expect_eq(ss_context_memory_now(ss_test_context), kept, "allocation %lld leaks", (long long)nth);
    }
    ss_context_fail_allocation(ss_test_context, 0);
}
