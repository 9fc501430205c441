/* The builder of sequential networks: one table row per layer type gives its name, the attributes it allows
 * and the function that appends it to the graph. A new layer is a row and a function. */
#include "network/sequential.h"

#include "io/archive.h"

#include <stdio.h>
#include <string.h>

enum {
    MOST_ATTRIBUTES = 9,
    MOST_DEPTH = 64,     /* nested containers: a guard for the C stack */
    MOST_LAYERS = 100000 /* a guard against files that are nothing but layers */
};

typedef struct layer_type layer_type;

/* The layer that is being appended. */
typedef struct layer {
    const ss_json_value *json;  /* its object; borrowed */
    const layer_type    *type;  /* row of the table */
    const char          *path;  /* "3.body.0": prefix of its parameters' names; borrowed */
    const char          *name;  /* "3.body.0 (Linear)"; borrowed */
    int32_t              depth; /* containers around it */
} layer;

typedef struct builder {
    ss_context *context;
    ss_graph   *graph;
    int32_t     layers; /* ordinals given out */
} builder;

struct layer_type {
    const char *name;                        /* as in torch.nn */
    const char *attributes[MOST_ATTRIBUTES]; /* allowed beside "type" and "name" */
    /* Appends the layer behind *value and moves *value to its output; NULL: known, but not yet supported. */
    ss_status (*build)(builder *b, const layer *l, int32_t *value);
    ss_function function; /* activations */
};

static ss_status build_list(builder *b, const ss_json_value *list, const char *path, int32_t depth,
                            int32_t *value);

static const char *shape_of(const builder *b, int32_t value, char text[SS_SHAPE_TEXT])
{
    return ss_shape_text(b->graph->values[value].rank, b->graph->values[value].shape, text);
}

/* "<file>: layers[4]: 4 (Linear) expects ..., but 3 (LayerNorm) gives [11]" */
static ss_status fail_shape(const builder *b, const layer *l, int32_t value, const char *expected)
{
    char shape[SS_SHAPE_TEXT];
    return ss_json_fail(l->json, "%s expects %s, but %s gives %s", l->name, expected,
                        ss_graph_value_origin(b->graph, value), shape_of(b, value, shape));
}

static ss_status add_parameter(builder *b, const layer *l, const char *leaf, int32_t rank,
                               const int64_t *shape, int32_t *parameter)
{
    ss_status status = SS_OK;
    char     *name = NULL;
    SS_TRY(ss_format(b->context, &name, "%s.%s", l->path, leaf));
    SS_TRY(ss_graph_add_parameter(b->graph, name, rank, shape, true, parameter));
fail:
    ss_free(b->context, name);
    return status;
}

static ss_status add_node(builder *b, const layer *l, const ss_op *op, const ss_attributes *attributes,
                          int32_t n_parameters, const int32_t *parameters, int32_t *value)
{
    int32_t input = *value;
    return ss_graph_add_node(b->graph, op, l->name, attributes, 1, &input, n_parameters, parameters,
                             b->layers++, value);
}

static ss_status build_linear(builder *b, const layer *l, int32_t *value)
{
    ss_status       status = SS_OK;
    int64_t         shape[2]; /* out, in */
    bool            bias = true;
    int32_t         parameters[2] = { -1, -1 };
    const ss_value *x = &b->graph->values[*value];
    char            expected[64];
    SS_TRY(ss_json_integer(l->json, "in_features", 1, INT64_MAX, &shape[1]));
    SS_TRY(ss_json_integer(l->json, "out_features", 1, INT64_MAX, &shape[0]));
    SS_TRY(ss_json_boolean_or(l->json, "bias", &bias));
    if (x->rank < 1 || x->shape[x->rank - 1] != shape[1]) {
        snprintf(expected, sizeof expected, "%lld input features", (long long)shape[1]);
        SS_TRY(fail_shape(b, l, *value, expected));
    }
    SS_TRY(add_parameter(b, l, "weight", 2, shape, &parameters[0]));
    if (bias) SS_TRY(add_parameter(b, l, "bias", 1, shape, &parameters[1]));
    SS_TRY(add_node(b, l, &ss_op_linear, &(ss_attributes){ .columns = shape[0] }, 2, parameters, value));
fail:
    return status;
}

/* LayerNorm and RMSNorm over the trailing dimensions `normalized_shape`. */
static ss_status build_norm(builder *b, const layer *l, int32_t *value)
{
    ss_status       status = SS_OK;
    int64_t         shape[SS_MAX_RANK];
    int32_t         rank, parameters[2] = { -1, -1 };
    bool            affine = true, bias = true, centered = strcmp(l->type->name, "LayerNorm") == 0;
    double          eps = 1e-5;
    const ss_value *x = &b->graph->values[*value];
    char            expected[SS_SHAPE_TEXT + 32], text[SS_SHAPE_TEXT];
    SS_TRY(ss_json_integers(l->json, "normalized_shape", 1, INT64_MAX, SS_MAX_RANK - 1, true, shape, &rank));
    if (!centered && !ss_json_has(l->json, "eps"))
        SS_TRY(ss_json_fail(l->json, "eps is required: torch's default depends on the data type"));
    SS_TRY(ss_json_number_or(l->json, "eps", 0.0, 1e300, &eps));
    SS_TRY(ss_json_boolean_or(l->json, "elementwise_affine", &affine));
    SS_TRY(ss_json_boolean_or(l->json, "bias", &bias));
    bool    fits = rank >= 1 && rank <= x->rank;
    int64_t columns = 1;
    for (int32_t d = 0; fits && d < rank; d++) {
        fits = x->shape[x->rank - rank + d] == shape[d];
        columns *= fits ? shape[d] : 1;
    }
    if (!fits) {
        snprintf(expected, sizeof expected, "an input that ends in %s", ss_shape_text(rank, shape, text));
        SS_TRY(fail_shape(b, l, *value, expected));
    }
    if (affine) SS_TRY(add_parameter(b, l, "weight", rank, shape, &parameters[0]));
    if (affine && bias && centered) SS_TRY(add_parameter(b, l, "bias", rank, shape, &parameters[1]));
    SS_TRY(add_node(b, l, &ss_op_norm,
                    &(ss_attributes){ .columns = columns, .eps = eps, .centered = centered }, 2, parameters,
                    value));
fail:
    return status;
}

/* All activations; attributes are those of torch.nn, with its defaults. */
static ss_status build_activation(builder *b, const layer *l, int32_t *value)
{
    static const char *const approximations[] = { "none", "tanh" };
    ss_status                status = SS_OK;
    ss_attributes            a = { .function = l->type->function };
    const double             tiny = 1e-300, huge = 1e300;
    int32_t                  approximate = 0;
    bool                     inplace = false;
    SS_TRY(ss_json_boolean_or(l->json, "inplace", &inplace)); /* checked, without meaning here */
    switch (l->type->function) {
    case SS_LEAKY_RELU:
        a.parameter[0] = 0.01;
        SS_TRY(ss_json_number_or(l->json, "negative_slope", -huge, huge, &a.parameter[0]));
        break;
    case SS_GELU_ERF:
        if (!ss_json_has(l->json, "approximate")) break;
        SS_TRY(ss_json_choice(l->json, "approximate", approximations, 2, &approximate));
        if (approximate == 1) a.function = SS_GELU_TANH;
        break;
    case SS_SOFTPLUS:
        a.parameter[0] = 1.0;
        a.parameter[1] = 20.0;
        SS_TRY(ss_json_number_or(l->json, "beta", tiny, huge, &a.parameter[0]));
        SS_TRY(ss_json_number_or(l->json, "threshold", -huge, huge, &a.parameter[1]));
        break;
    case SS_ELU:
        a.parameter[0] = 1.0;
        SS_TRY(ss_json_number_or(l->json, "alpha", -huge, huge, &a.parameter[0]));
        break;
    case SS_SOFT_CAP: SS_TRY(ss_json_number(l->json, "cap", tiny, huge, &a.parameter[0])); break;
    default: break;
    }
    SS_TRY(add_node(b, l, &ss_op_pointwise, &a, 0, NULL, value));
fail:
    return status;
}

/* Dropout in evaluation mode, and Identity: nothing is appended. */
static ss_status build_identity(builder *b, const layer *l, int32_t *value)
{
    ss_status status = SS_OK;
    double    p = 0.5;
    bool      inplace = false;
    (void)value;
    SS_TRY(ss_json_number_or(l->json, "p", 0.0, 1.0, &p));
    SS_TRY(ss_json_boolean_or(l->json, "inplace", &inplace));
    b->layers++;
fail:
    return status;
}

/* Are the elements of a value contiguous in C order? */
static bool is_contiguous(const ss_value *v)
{
    int64_t stride = 1;
    if (v->base < 0) return true;
    for (int32_t d = v->rank - 1; d >= 0; d--) {
        if (v->shape[d] != 1 && v->view_stride[d] != stride) return false;
        stride *= v->shape[d];
    }
    return true;
}

/* torch.nn.Flatten: dimensions start_dim .. end_dim, counted with the batch dimension, become one. A view. */
static ss_status build_flatten(builder *b, const layer *l, int32_t *value)
{
    ss_status      status = SS_OK;
    const ss_value x = b->graph->values[*value];
    int64_t        start = 1, end = -1, most = x.rank;
    int64_t        shape[SS_MAX_RANK - 1] = { 0 }, strides[SS_MAX_RANK - 1];
    int32_t        rank = 0;
    SS_TRY(ss_json_integer_or(l->json, "start_dim", -most - 1, most, &start));
    SS_TRY(ss_json_integer_or(l->json, "end_dim", -most - 1, most, &end));
    b->layers++;
    if (start < 0) start += most + 1;
    if (end < 0) end += most + 1;
    if (start < 1) SS_TRY(ss_json_fail(l->json, "start_dim 0 would merge samples; it must be at least 1"));
    if (end < start) SS_TRY(ss_json_fail(l->json, "end_dim lies before start_dim"));
    if (start == end) return SS_OK;
    for (int32_t d = 0; d < x.rank; d++) {
        if (d >= start && d <= end - 1)
            shape[rank - 1] *= x.shape[d];
        else
            shape[rank++] = x.shape[d];
    }
    if (!is_contiguous(&x)) SS_TRY(ss_json_fail(l->json, "cannot flatten a strided view"));
    int64_t stride = 1;
    for (int32_t d = rank - 1; d >= 0; d--) {
        strides[d] = stride;
        stride *= shape[d];
    }
    SS_TRY(ss_graph_add_view(b->graph, *value, rank, shape, 0, strides, value));
fail:
    return status;
}

/* body(x) + shortcut(x); an empty or absent list is the identity. */
static ss_status build_residual(builder *b, const layer *l, int32_t *value)
{
    ss_status     status = SS_OK;
    int32_t       ends[2] = { *value, *value };
    ss_json_value list;
    char         *path = NULL;
    SS_TRY(ss_json_member(l->json, "body", SS_JSON_ARRAY, &list));
    SS_TRY(ss_format(b->context, &path, "%s.body", l->path));
    SS_TRY(build_list(b, &list, path, l->depth + 1, &ends[0]));
    ss_free(b->context, path);
    path = NULL;
    if (ss_json_has(l->json, "shortcut")) {
        SS_TRY(ss_json_member(l->json, "shortcut", SS_JSON_ARRAY, &list));
        SS_TRY(ss_format(b->context, &path, "%s.shortcut", l->path));
        SS_TRY(build_list(b, &list, path, l->depth + 1, &ends[1]));
    }
    const ss_value *body = &b->graph->values[ends[0]], *shortcut = &b->graph->values[ends[1]];
    bool            same = body->rank == shortcut->rank;
    for (int32_t d = 0; same && d < body->rank; d++) same = body->shape[d] == shortcut->shape[d];
    if (!same) {
        char first[SS_SHAPE_TEXT], second[SS_SHAPE_TEXT];
        SS_TRY(ss_json_fail(l->json,
                            "%s cannot add its branches: the body ends with %s, which gives %s, the "
                            "shortcut with %s, which gives %s",
                            l->name, ss_graph_value_origin(b->graph, ends[0]), shape_of(b, ends[0], first),
                            ss_graph_value_origin(b->graph, ends[1]), shape_of(b, ends[1], second)));
    }
    SS_TRY(ss_graph_add_node(b->graph, &ss_op_add, l->name, &(ss_attributes){ .alpha = 1.0, .beta = 1.0 }, 2,
                             ends, 0, NULL, b->layers++, value));
fail:
    ss_free(b->context, path);
    return status;
}

static ss_status build_sequential(builder *b, const layer *l, int32_t *value)
{
    ss_status     status = SS_OK;
    ss_json_value list;
    SS_TRY(ss_json_member(l->json, "layers", SS_JSON_ARRAY, &list));
    SS_TRY(build_list(b, &list, l->path, l->depth + 1, value));
fail:
    return status;
}

/* clang-format off */
static const layer_type layer_types[] = {
    { "Linear", { "in_features", "out_features", "bias" }, build_linear, SS_FUNCTION_COUNT },
    { "LayerNorm", { "normalized_shape", "eps", "elementwise_affine", "bias" }, build_norm, SS_FUNCTION_COUNT },
    { "RMSNorm", { "normalized_shape", "eps", "elementwise_affine" }, build_norm, SS_FUNCTION_COUNT },
    { "ReLU", { "inplace" }, build_activation, SS_RELU },
    { "LeakyReLU", { "negative_slope", "inplace" }, build_activation, SS_LEAKY_RELU },
    { "Tanh", { NULL }, build_activation, SS_TANH },
    { "Sigmoid", { NULL }, build_activation, SS_SIGMOID },
    { "SiLU", { "inplace" }, build_activation, SS_SILU },
    { "GELU", { "approximate" }, build_activation, SS_GELU_ERF },
    { "Softplus", { "beta", "threshold" }, build_activation, SS_SOFTPLUS },
    { "ELU", { "alpha", "inplace" }, build_activation, SS_ELU },
    { "SoftCap", { "cap" }, build_activation, SS_SOFT_CAP },
    { "Dropout", { "p", "inplace" }, build_identity, SS_FUNCTION_COUNT },
    { "Identity", { NULL }, build_identity, SS_FUNCTION_COUNT },
    { "Flatten", { "start_dim", "end_dim" }, build_flatten, SS_FUNCTION_COUNT },
    { "Residual", { "body", "shortcut" }, build_residual, SS_FUNCTION_COUNT },
    { "Sequential", { "layers" }, build_sequential, SS_FUNCTION_COUNT },
    { "Conv2d", { "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias",
                  "padding_mode" }, NULL, SS_FUNCTION_COUNT },
    { "BatchNorm2d", { "num_features", "eps", "momentum", "affine", "track_running_stats" }, NULL, SS_FUNCTION_COUNT },
    { "MaxPool2d", { "kernel_size", "stride", "padding", "dilation", "ceil_mode" }, NULL, SS_FUNCTION_COUNT },
    { "AvgPool2d", { "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad" }, NULL, SS_FUNCTION_COUNT },
    { "AdaptiveAvgPool2d", { "output_size" }, NULL, SS_FUNCTION_COUNT },
};
/* clang-format on */
enum { N_LAYER_TYPES = sizeof layer_types / sizeof *layer_types };

/* The row of a layer's type, after checking that it can be built and has only allowed attributes. */
static ss_status find_type(const ss_json_value *json, const layer_type **type)
{
    ss_status   status = SS_OK;
    const char *name, *allowed[MOST_ATTRIBUTES + 2] = { "type", "name" };
    int32_t     count = 2;
    char        known[512] = "", quoted[SS_QUOTE_TEXT];
    size_t      used = 0;
    *type = NULL;
    SS_TRY(ss_json_string(json, "type", &name));
    for (int32_t i = 0; i < N_LAYER_TYPES; i++) {
        if (strcmp(layer_types[i].name, name) == 0) *type = &layer_types[i];
        if (layer_types[i].build != NULL && used < sizeof known)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used == 0 ? "" : ", ",
                                     layer_types[i].name);
    }
    if (*type == NULL)
        SS_TRY(ss_json_fail(json, "unknown layer type %s; known are %s", ss_quote(name, quoted), known));
    if ((*type)->build == NULL)
        SS_TRY(ss_json_fail(json, "%s is not yet supported; supported are %s", name, known));
    for (int32_t i = 0; i < MOST_ATTRIBUTES && (*type)->attributes[i] != NULL; i++)
        allowed[count++] = (*type)->attributes[i];
    SS_TRY(ss_json_only(json, allowed, count));
fail:
    return status;
}

/* "3.body.0": where the layer's parameters are found in the weights file, by its position or by the "name"
 * that it was given. */
static ss_status layer_path(builder *b, const ss_json_value *json, const char *outer, int64_t position,
                            char **path)
{
    ss_status   status = SS_OK;
    const char *name = NULL, *dot = *outer == '\0' ? "" : ".";
    SS_TRY(ss_json_string_or(json, "name", &name));
    if (name == NULL)
        SS_TRY(ss_format(b->context, path, "%s%s%lld", outer, dot, (long long)position));
    else if (*name == '\0')
        SS_TRY(ss_json_fail(json, "the name is empty"));
    else
        SS_TRY(ss_format(b->context, path, "%s%s%s", outer, dot, name));
fail:
    return status;
}

/* Appends the layers of a list one behind the other; `path` "" for the outermost list. */
static ss_status build_list(builder *b, const ss_json_value *list, const char *path, int32_t depth,
                            int32_t *value)
{
    ss_status status = SS_OK;
    char     *own_path = NULL, *name = NULL;
    if (depth > MOST_DEPTH)
        SS_TRY(ss_json_fail(list, "layers are nested more than %d deep", (int)MOST_DEPTH));
    for (int64_t i = 0; i < ss_json_length(list); i++) {
        ss_json_value json;
        layer         l = { .json = &json, .depth = depth };
        SS_TRY(ss_json_element(list, i, SS_JSON_OBJECT, &json));
        if (b->layers >= MOST_LAYERS) SS_TRY(ss_json_fail(&json, "more than %d layers", (int)MOST_LAYERS));
        SS_TRY(find_type(&json, &l.type));
        SS_TRY(layer_path(b, &json, path, i, &own_path));
        SS_TRY(ss_format(b->context, &name, "%s (%s)", own_path, l.type->name));
        l.path = own_path;
        l.name = name;
        SS_TRY(l.type->build(b, &l, value));
        ss_free(b->context, own_path);
        ss_free(b->context, name);
        own_path = name = NULL;
    }
fail:
    ss_free(b->context, own_path);
    ss_free(b->context, name);
    return status;
}

ss_status ss_sequential_build(ss_context *context, const ss_json *json, ss_graph **graph)
{
    static const char *const keys[] = { "input_shape", "layers" };
    ss_status                status = SS_OK;
    ss_json_value            root = ss_json_root(json), list;
    builder                  b = { .context = context };
    int64_t                  shape[SS_MAX_RANK];
    int32_t                  rank, value;

    *graph = NULL;
    if (!ss_json_is(&root, SS_JSON_OBJECT))
        SS_TRY(ss_json_fail(&root, "expected an object with input_shape and layers"));
    SS_TRY(ss_json_only(&root, keys, 2));
    SS_TRY(ss_json_integers(&root, "input_shape", 1, INT64_MAX, SS_MAX_RANK - 1, true, shape, &rank));
    SS_TRY(ss_json_member(&root, "layers", SS_JSON_ARRAY, &list));
    if (rank < 1) SS_TRY(ss_json_fail(&root, "input_shape is empty"));
    if (ss_json_length(&list) == 0) SS_TRY(ss_json_fail(&list, "there are no layers"));

    SS_TRY(ss_graph_create(context, &b.graph));
    SS_TRY(ss_graph_add_input(b.graph, rank, shape, &value));
    SS_TRY(build_list(&b, &list, "", 0, &value));
    b.graph->output = value;
    b.graph->n_layers = b.layers;
    SS_TRY(ss_copy_string(context, "sequential", &b.graph->description));
    *graph = b.graph;
    return SS_OK;
fail:
    ss_graph_destroy(b.graph);
    return status;
}
