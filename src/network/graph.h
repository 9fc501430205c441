/* The network as a graph: values, nodes in evaluation order, parameters as handles.
 *
 * Nodes, values and parameters are described in ops/node.h, operators in ops/op.h. Builders
 * (sequential, later transformer and onnx) make graphs; the program compiler reads them. */
#ifndef SS_NETWORK_GRAPH_H
#define SS_NETWORK_GRAPH_H

#include "ops/node.h"
#include "saddlescope/network.h"

struct ss_archive;

/* What an input of the network is filled with. Arrays are found in the data set by name. */
typedef enum ss_source {
    SS_SOURCE_INPUT,              /* the data set's inputs, whatever their name (reals, scaled) */
    SS_SOURCE_TOKEN_IDS,          /* "input_ids": integers below `limit` */
    SS_SOURCE_TOKEN_TYPES,        /* "token_type_ids", zeros where the data have none; below `limit` */
    SS_SOURCE_ATTENTION_MASK,     /* "attention_mask", ones where the data have none */
    SS_SOURCE_POSITIONS,          /* 0 ... T - 1, plus `parameter` */
    SS_SOURCE_POSITIONS_ATTENDED, /* OPT: cumulated attention mask, times the mask, minus 1, plus `parameter`
                                   */
    SS_SOURCE_POSITIONS_NOT_PADDED, /* RoBERTa: cumulated (id != p) times (id != p), plus p = `parameter` */
    SS_SOURCE_PATCHES /* "pixel_values" [C, H, W] as rows of patches [N, C p p], p = `parameter` */
} ss_source;

typedef struct ss_graph_input {
    ss_source source;
    int32_t   value;     /* its number; value->source points back */
    int64_t   parameter; /* see ss_source */
    int64_t   limit;     /* ids must be below it (rows of the table they index); 0 = no limit */
} ss_graph_input;
#define SS_MAX_SOURCES 6

/* The last linear map of a language model, kept apart so that the loss can be fused with it (ss_op_head): the
 * graph's output is then its input x [T, D], and the predictions are cap(x w' + b) [T, classes]. */
typedef struct ss_graph_head {
    int32_t weight, bias; /* parameters; weight -1 = no such head, bias -1 = none */
    double  cap;          /* soft cap of the logits, 0 = none */
    int64_t classes;      /* V */
} ss_graph_head;

typedef struct ss_graph {
    ss_context    *context;
    ss_value      *values;                 /* [n_values]; value 0 is the network's (first) input */
    ss_graph_input inputs[SS_MAX_SOURCES]; /* [n_inputs] */
    int32_t        n_inputs;
    ss_graph_head  head; /* weight -1 unless a builder sets it; renumbered with the parameters */
    int32_t        n_values;
    ss_node       *nodes; /* [n_nodes], in evaluation order */
    int32_t        n_nodes;
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
/* Adds one more input; `parameter` and `limit` as in ss_graph_input. SS_SOURCE_INPUT and SS_SOURCE_PATCHES
 * (declared as its patches [N, C p p]) are real, all others integer [T]. The first one must be the first
 * value of the graph. ss_graph_add_input is this with SS_SOURCE_INPUT. */
ss_status ss_graph_add_source(ss_graph *graph, ss_source source, int32_t rank, const int64_t *shape,
                              int64_t parameter, int64_t limit, int32_t *value);
/* Declares a constant of the network (never a parameter) that is computed, not read: float64 values,
 * row-major, copied. */
ss_status ss_graph_add_constant(ss_graph *graph, const char *name, int32_t rank, const int64_t *shape,
                                const double *values, int32_t *parameter);
/* Declares a parameter by name and expected shape; the stored bytes are bound later. */
ss_status ss_graph_add_parameter(ss_graph *graph, const char *name, int32_t rank, const int64_t *shape,
                                 bool trainable, int32_t *parameter);
/* States the shape of the tensor in the weights file where it is another one with the same elements in C
 * order: patch weights [D, C, p, p] for a linear map of [D, C p p], position tables [1, N, D]. */
ss_status ss_graph_set_stored_shape(ss_graph *graph, int32_t parameter, int32_t rank, const int64_t *shape);
/* Adds a node; its output value is inferred by the operator. `inputs` and `parameters` as in ss_node. */
ss_status ss_graph_add_node(ss_graph *graph, const ss_op *op, const char *name,
                            const ss_attributes *attributes, int32_t n_inputs, const int32_t *inputs,
                            int32_t n_parameters, const int32_t *parameters, int32_t layer, int32_t *output);
/* Adds a view of a value; offset and strides in elements of the storage that holds the base's sample, so that
 * a view of a view is a view of the same storage. */
ss_status ss_graph_add_view(ss_graph *graph, int32_t base, int32_t rank, const int64_t *shape, int64_t offset,
                            const int64_t *strides, int32_t *value);

/* Appends the loss on the network's output (ss_op_head where the graph has a head, else ss_op_loss), or
 * replaces the attributes of the one that is there. `attributes`: loss, smoothing, class_ids; those of the
 * head are filled in. */
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
/* Checks type, shape and values of a stored tensor and makes the parameter point at it (borrowed). */
ss_status ss_graph_bind_array(ss_context *context, ss_parameter *p, const ss_array *array, const char *path);
/* Binds seeded initial weights: torch's defaults, U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for linear maps, N(0, 1)
 * for embeddings; stream SS_STREAM_WEIGHTS. */
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
