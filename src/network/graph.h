/* The network as a graph: values, nodes in evaluation order, parameters as handles.
 *
 * Nodes, values and parameters are described in ops/node.h, operators in ops/op.h. Builders
 * (sequential, later transformer and onnx) make graphs; the program compiler reads them. */
#ifndef SS_NETWORK_GRAPH_H
#define SS_NETWORK_GRAPH_H

#include "ops/node.h"
#include "saddlescope/network.h"

struct ss_archive;

typedef struct ss_graph {
    ss_context *context;
    ss_value   *values; /* [n_values]; value 0 is the network's input */
    int32_t     n_values;
    ss_node    *nodes; /* [n_nodes], in evaluation order */
    int32_t     n_nodes;
    ss_parameter
           *parameters; /* [n_parameters], sorted by name: the canonical order of the parameter vector */
    int32_t n_parameters;
    int32_t output; /* value: the prediction */
    int32_t n_layers;
    struct ss_archive **files; /* [n_files] kept open because parameters borrow from them; owned */
    int32_t             n_files;
    void              **blocks; /* [n_blocks] memory of seeded or converted weights; owned */
    int32_t             n_blocks;
    ss_segment         *segments;    /* of the layout; owned */
    ss_layout           layout;      /* of the active parameters; n = 0 until ss_graph_activate */
    char               *description; /* family and size in one line; owned */
} ss_graph;

/* Building. Each returns the new number through the last argument. */
ss_status ss_graph_create(ss_context *context, ss_graph **graph);
void      ss_graph_destroy(ss_graph *graph); /* NULL allowed */
ss_status ss_graph_add_input(ss_graph *graph, int32_t rank, const int64_t *shape, int32_t *value);
/* Declares a parameter by name and expected shape; the stored bytes are bound later. */
ss_status ss_graph_add_parameter(ss_graph *graph, const char *name, int32_t rank, const int64_t *shape,
                                 bool trainable, int32_t *parameter);
/* Adds a node; its output value is inferred by the operator. `inputs` and `parameters` as in ss_node. */
ss_status ss_graph_add_node(ss_graph *graph, const ss_op *op, const char *name,
                            const ss_attributes *attributes, int32_t n_inputs, const int32_t *inputs,
                            int32_t n_parameters, const int32_t *parameters, int32_t layer, int32_t *output);
/* Adds a view of a value; offset and strides in elements of the storage that holds the base's sample, so that
 * a view of a view is a view of the same storage. */
ss_status ss_graph_add_view(ss_graph *graph, int32_t base, int32_t rank, const int64_t *shape, int64_t offset,
                            const int64_t *strides, int32_t *value);

/* Appends the loss on the network's output, or replaces the attributes of the one that is there.
 * `attributes`: loss, smoothing, class_ids. */
ss_status ss_graph_add_loss(ss_graph *graph, const ss_attributes *attributes, int32_t *node);
/* Sorts the parameters by name and renumbers the nodes' references; binding and activating call it. Numbers
 * handed out by ss_graph_add_parameter are void afterwards. SS_ERROR_INPUT when two have the same name. */
ss_status ss_graph_sort_parameters(ss_graph *graph);
/* "3 (Tanh)", the layer a value comes from, or "the network's input"; borrowed. */
const char *ss_graph_value_origin(const ss_graph *graph, int32_t value);

/* Binds every declared parameter to the tensor of that name: missing, extra and misshapen ones, NaN and
 * infinity are errors that name file and tensor; `num_batches_tracked` is ignored. When every name in the
 * file carries one more prefix ("model.", "module."), it is stripped, and the description says so. The
 * archive is kept open by the graph (ownership passes on success). */
ss_status ss_graph_bind(ss_graph *graph, struct ss_archive *archive, const char *path);
/* Binds seeded initial weights: torch's defaults, U(-1/sqrt(fan_in), 1/sqrt(fan_in)); stream
 * SS_STREAM_WEIGHTS. */
ss_status ss_graph_bind_seeded(ss_graph *graph, uint64_t seed);

/* Gives the active parameters other values, packed [n]: float64 from now on, in memory of the graph. */
ss_status ss_graph_set_weights(ss_graph *graph, const double *packed);

/* Chooses the active parameters by globs (NULL or 0 patterns = all trainable ones; excludes win), gives
 * offsets and builds the layout. SS_ERROR_USAGE when a pattern matches nothing or nothing is left. */
ss_status ss_graph_activate(ss_graph *graph, int32_t n_include, const char *const *include, int32_t n_exclude,
                            const char *const *exclude);
/* Sets lambda of the parameters matching each glob in turn (later rules win). SS_ERROR_USAGE when one matches
 * nothing. */
ss_status ss_graph_set_decay(ss_graph *graph, int32_t n_rules, const ss_decay_rule *rules);

/* Packed (canonical) <-> padded vectors on the host. */
void ss_layout_pack(const ss_layout *layout, ss_real real, const void *padded, void *packed);
void ss_layout_unpack(const ss_layout *layout, ss_real real, const void *packed, void *padded);

/* The graph of an open network; borrowed. */
ss_graph *ss_network_graph(ss_network *network);

#endif
