/* Building a graph: values, nodes, parameters, views and the loss (network/graph.h). */
#include "network/graph.h"

#include "io/archive.h"

#include <stdlib.h>
#include <string.h>

ss_status ss_graph_create(ss_context *context, ss_graph **graph)
{
    ss_status status = SS_OK;
    *graph = NULL;
    SS_TRY(SS_NEW(context, graph));
    (*graph)->context = context;
    (*graph)->output = -1;
    (*graph)->head.weight = (*graph)->head.bias = -1;
fail:
    return status;
}

void ss_graph_destroy(ss_graph *graph)
{
    if (graph == NULL) return;
    ss_context *context = graph->context;
    for (int32_t i = 0; i < graph->n_nodes; i++) ss_free(context, graph->nodes[i].name);
    for (int32_t i = 0; i < graph->n_parameters; i++) ss_free(context, graph->parameters[i].name);
    for (int32_t i = 0; i < graph->n_files; i++) ss_archive_close(graph->files[i]);
    for (int32_t i = 0; i < graph->n_blocks; i++) ss_free(context, graph->blocks[i]);
    ss_free(context, graph->values);
    ss_free(context, graph->nodes);
    ss_free(context, graph->parameters);
    ss_free(context, graph->files);
    ss_free(context, graph->blocks);
    ss_free(context, graph->segments);
    ss_free(context, graph->description);
    ss_free(context, graph);
}

/* Makes room for one more element. Capacities are powers of two, so that the count alone tells when an array
 * is full. */
static ss_status make_room(ss_context *context, int32_t count, size_t size, void **array)
{
    if (count == INT32_MAX / 2) return ss_fail(context, SS_ERROR_INPUT, "the network is too large");
    if (count != 0 && (count & (count - 1)) != 0) return SS_OK;
    return ss_reallocate(context, count == 0 ? 1 : 2 * (int64_t)count, size, array);
}

/* Nodes borrow the arrays of values and parameters. Those move when they grow, which happens only when their
 * size has doubled: all refreshing together is linear in the size of the graph. */
static void refresh_nodes(ss_graph *graph)
{
    if (graph->n_nodes == 0 ||
        (graph->nodes[0].values == graph->values && graph->nodes[0].parameters == graph->parameters))
        return;
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        graph->nodes[i].values = graph->values;
        graph->nodes[i].parameters = graph->parameters;
    }
}

static ss_status add_value(ss_graph *graph, int32_t rank, const int64_t *shape, int32_t producer,
                           int32_t *value)
{
    ss_status status = SS_OK;
    int64_t   count;
    if (rank < 0 || rank > SS_MAX_RANK - 1)
        SS_FAIL(graph->context, SS_ERROR_INPUT,
                "a value has %d dimensions per sample, at most %d are possible", rank, SS_MAX_RANK - 1);
    SS_TRY(ss_shape_count(graph->context, rank, shape, &count));
    if (count == 0) SS_FAIL(graph->context, SS_ERROR_INPUT, "a value has no elements: an extent is zero");
    SS_TRY(make_room(graph->context, graph->n_values, sizeof *graph->values, (void **)&graph->values));
    refresh_nodes(graph);
    ss_value *v = &graph->values[graph->n_values];
    *v = (ss_value){ .rank = rank, .count = count, .producer = producer, .base = -1, .source = -1 };
    for (int32_t d = 0; d < rank; d++) v->shape[d] = shape[d];
    *value = graph->n_values++;
fail:
    return status;
}

ss_status ss_graph_add_source(ss_graph *graph, ss_source source, int32_t rank, const int64_t *shape,
                              int64_t parameter, int64_t limit, int32_t *value)
{
    ss_status status = SS_OK;
    bool      real = source == SS_SOURCE_INPUT || source == SS_SOURCE_PATCHES;
    if (graph->n_inputs == 0 && graph->n_values != 0)
        SS_FAIL(graph->context, SS_ERROR_INTERNAL, "the network's input must be the first value");
    if (graph->n_inputs == SS_MAX_SOURCES)
        SS_FAIL(graph->context, SS_ERROR_INTERNAL, "the network has more than %d inputs", SS_MAX_SOURCES);
    if (!real && rank != 1)
        SS_FAIL(graph->context, SS_ERROR_INTERNAL, "an integer input has %d dimensions per sample", rank);
    for (int32_t i = 0; i < graph->n_inputs; i++)
        if (graph->inputs[i].source == source)
            SS_FAIL(graph->context, SS_ERROR_INTERNAL, "the network has two inputs of the same kind");
    SS_TRY(add_value(graph, rank, shape, -1, value));
    graph->values[*value].source = graph->n_inputs;
    graph->values[*value].integer = !real;
    graph->inputs[graph->n_inputs++] =
        (ss_graph_input){ .source = source, .value = *value, .parameter = parameter, .limit = limit };
    if (graph->output < 0) graph->output = *value;
fail:
    return status;
}

ss_status ss_graph_add_input(ss_graph *graph, int32_t rank, const int64_t *shape, int32_t *value)
{
    return ss_graph_add_source(graph, SS_SOURCE_INPUT, rank, shape, 0, 0, value);
}

ss_status ss_graph_add_view(ss_graph *graph, int32_t base, int32_t rank, const int64_t *shape, int64_t offset,
                            const int64_t *strides, int32_t *value)
{
    ss_status       status = SS_OK;
    const ss_value *b = &graph->values[base];
    int32_t         root = b->base >= 0 ? b->base : base;
    int64_t         first = offset + (b->base >= 0 ? b->view_offset : 0), last = first;
    SS_TRY(add_value(graph, rank, shape, graph->values[base].producer, value));
    ss_value *v = &graph->values[*value];
    v->base = root;
    v->integer = graph->values[root].integer;
    v->view_offset = first;
    for (int32_t d = 0; d < rank; d++) {
        v->view_stride[d] = strides[d];
        last += strides[d] * (shape[d] - 1);
    }
    if (first < 0 || last >= graph->values[root].count) {
        graph->n_values--;
        SS_FAIL(graph->context, SS_ERROR_INTERNAL, "a view reaches outside its value");
    }
    graph->values[root].views++;
    graph->output = *value;
fail:
    return status;
}

ss_status ss_graph_add_parameter(ss_graph *graph, const char *name, int32_t rank, const int64_t *shape,
                                 bool trainable, int32_t *parameter)
{
    ss_status   status = SS_OK;
    ss_context *context = graph->context;
    int64_t     count;
    char       *copy = NULL;
    SS_TRY(ss_shape_count(context, rank, shape, &count));
    SS_TRY(ss_copy_string(context, name, &copy));
    SS_TRY(make_room(context, graph->n_parameters, sizeof *graph->parameters, (void **)&graph->parameters));
    refresh_nodes(graph);
    ss_parameter *p = &graph->parameters[graph->n_parameters];
    *p = (ss_parameter){ .name = copy, .count = count, .trainable = trainable };
    p->array.name = copy;
    p->array.type = SS_F32;
    p->array.rank = rank;
    for (int32_t d = 0; d < rank; d++) p->array.shape[d] = shape[d];
    p->offset = p->canonical = -1;
    p->first_layer = -1;
    *parameter = graph->n_parameters++;
    return SS_OK;
fail:
    ss_free(context, copy);
    return status;
}

ss_status ss_graph_add_constant(ss_graph *graph, const char *name, int32_t rank, const int64_t *shape,
                                const double *values, int32_t *parameter)
{
    ss_status   status = SS_OK;
    ss_context *context = graph->context;
    int64_t     count;
    double     *copy = NULL;
    SS_TRY(ss_shape_count(context, rank, shape, &count));
    SS_TRY(ss_reallocate(context, (int64_t)graph->n_blocks + 1, sizeof(void *), (void **)&graph->blocks));
    SS_TRY(SS_NEW_ARRAY(context, count, &copy));
    memcpy(copy, values, (size_t)count * sizeof *copy);
    SS_TRY(ss_graph_add_parameter(graph, name, rank, shape, false, parameter));
    ss_parameter *p = &graph->parameters[*parameter];
    p->computed = true;
    p->array.type = SS_F64;
    p->array.data = graph->blocks[graph->n_blocks++] = copy;
    return SS_OK;
fail:
    ss_free(context, copy);
    return status;
}

ss_status ss_graph_set_stored_shape(ss_graph *graph, int32_t parameter, int32_t rank, const int64_t *shape)
{
    ss_status     status = SS_OK;
    ss_parameter *p = &graph->parameters[parameter];
    int64_t       count;
    SS_TRY(ss_shape_count(graph->context, rank, shape, &count));
    if (rank > SS_MAX_RANK || count != p->count)
        SS_FAIL(graph->context, SS_ERROR_INTERNAL, "parameter %s has %lld elements, its stored shape %lld",
                p->name, (long long)p->count, (long long)count);
    p->stored_rank = rank;
    for (int32_t d = 0; d < rank; d++) p->stored_shape[d] = shape[d];
fail:
    return status;
}

/* Counts the uses of a new node's inputs and parameters. */
static void count_uses(ss_graph *graph, const ss_node *node)
{
    for (int32_t i = 0; i < node->n_inputs; i++) {
        ss_value *x = &graph->values[node->input[i]];
        x->uses++;
        if (x->base >= 0) graph->values[x->base].uses++;
    }
    for (int32_t i = 0; i < node->n_parameters; i++) {
        if (node->parameter[i] < 0) continue;
        ss_parameter *p = &graph->parameters[node->parameter[i]];
        p->uses++;
        if (p->first_layer < 0 || node->layer < p->first_layer) p->first_layer = node->layer;
    }
}

ss_status ss_graph_add_node(ss_graph *graph, const ss_op *op, const char *name,
                            const ss_attributes *attributes, int32_t n_inputs, const int32_t *inputs,
                            int32_t n_parameters, const int32_t *parameters, int32_t layer, int32_t *output)
{
    ss_status   status = SS_OK;
    ss_context *context = graph->context;
    ss_node     node = { .op = op, .n_inputs = n_inputs, .n_parameters = n_parameters, .layer = layer };
    node.attributes = attributes != NULL ? *attributes : (ss_attributes){ 0 };
    node.values = graph->values;
    node.parameters = graph->parameters;
    node.output = -1;
    if (n_inputs > SS_MAX_INPUTS || n_parameters > SS_MAX_PARAMETERS)
        SS_FAIL(context, SS_ERROR_INTERNAL, "node %s has too many inputs or parameters", name);
    for (int32_t i = 0; i < n_inputs; i++) node.input[i] = inputs[i];
    for (int32_t i = 0; i < n_parameters; i++) node.parameter[i] = parameters[i];
    SS_TRY(ss_copy_string(context, name, &node.name));
    SS_TRY(op->infer(context, &node));
    SS_TRY(make_room(context, graph->n_nodes, sizeof *graph->nodes, (void **)&graph->nodes));
    if (op->kind != SS_OP_LOSS) {
        SS_TRY(add_value(graph, node.output_rank, node.output_shape, graph->n_nodes, &node.output));
        graph->output = node.output;
    }
    node.values = graph->values; /* where they are after that */
    graph->nodes[graph->n_nodes++] = node;
    count_uses(graph, &node);
    if (layer >= graph->n_layers) graph->n_layers = layer + 1;
    if (output != NULL) *output = node.output;
    return SS_OK;
fail:
    ss_free(context, node.name);
    return status;
}

ss_status ss_graph_add_loss(ss_graph *graph, const ss_attributes *attributes, int32_t *node)
{
    ss_status     status = SS_OK;
    int32_t       last = graph->n_nodes - 1, head[2] = { graph->head.weight, graph->head.bias };
    bool          fused = graph->head.weight >= 0;
    ss_attributes own = *attributes;
    if (fused) {
        own.columns = graph->head.classes;
        own.cap = graph->head.cap;
    }
    if (last >= 0 && graph->nodes[last].op->kind == SS_OP_LOSS) {
        ss_node changed = graph->nodes[last];
        changed.attributes = own;
        SS_TRY(changed.op->infer(graph->context, &changed));
        graph->nodes[last] = changed;
    } else {
        SS_TRY(ss_graph_add_node(graph, fused ? &ss_op_head : &ss_op_loss, "loss", &own, 1, &graph->output,
                                 fused ? 2 : 0, head, graph->n_layers, NULL));
        last = graph->n_nodes - 1;
    }
    *node = last;
fail:
    return status;
}

const char *ss_graph_value_origin(const ss_graph *graph, int32_t value)
{
    int32_t producer = graph->values[value].producer;
    return producer < 0 ? "the network's input" : graph->nodes[producer].name;
}

/* A parameter and where it was before sorting. */
typedef struct ranked {
    ss_parameter parameter; /* moved */
    int32_t      before;    /* number before sorting */
} ranked;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const ranked *)a)->parameter.name, ((const ranked *)b)->parameter.name);
}

ss_status ss_graph_sort_parameters(ss_graph *graph)
{
    ss_status status = SS_OK;
    ranked   *order = NULL;
    int32_t  *now = NULL;
    int32_t   n = graph->n_parameters;
    SS_TRY(SS_NEW_ARRAY(graph->context, n, &order));
    SS_TRY(SS_NEW_ARRAY(graph->context, n, &now));
    for (int32_t i = 0; i < n; i++) order[i] = (ranked){ graph->parameters[i], i };
    if (n > 1) qsort(order, (size_t)n, sizeof *order, by_name);
    for (int32_t i = 1; i < n; i++)
        if (strcmp(order[i - 1].parameter.name, order[i].parameter.name) == 0)
            SS_FAIL(graph->context, SS_ERROR_INPUT, "two parameters are named '%s'", order[i].parameter.name);
    for (int32_t i = 0; i < n; i++) {
        graph->parameters[i] = order[i].parameter;
        now[order[i].before] = i;
    }
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        ss_node *node = &graph->nodes[i];
        for (int32_t k = 0; k < node->n_parameters; k++)
            if (node->parameter[k] >= 0) node->parameter[k] = now[node->parameter[k]];
    }
    if (graph->head.weight >= 0) graph->head.weight = now[graph->head.weight];
    if (graph->head.bias >= 0) graph->head.bias = now[graph->head.bias];
fail:
    ss_free(graph->context, order);
    ss_free(graph->context, now);
    return status;
}
