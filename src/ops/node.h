/* What a graph is made of: parameters, values and nodes, as operators see them.
 *
 * A value is a tensor per sample (the micro-batch dimension is added by the program). A node applies one
 * operator to input values and parameters and produces one value. A parameter is a handle: name, shape, where
 * its stored bytes live, offset in the parameter vector, or -1 when it is frozen. They stand here and not in
 * network/graph.h because operators read them and know nothing of networks. */
#ifndef SS_OPS_NODE_H
#define SS_OPS_NODE_H

#include "ops/op.h"

/* A stored weight. The bytes are borrowed from an open file or owned by the graph. */
typedef struct ss_parameter {
    char    *name;        /* as in the weights file, for example "3.body.0.weight"; owned */
    ss_array array;       /* stored type, shape and bytes (host); array.name == name */
    ss_array bound;       /* the same as it was bound, before ss_graph_set_weights */
    double  *moved;       /* [count] block of ss_graph_set_weights; NULL = array is as bound; the graph's */
    int64_t  count;       /* elements */
    int32_t  stored_rank; /* of the tensor in the file where it differs from array's shape; 0 = the same */
    int64_t  stored_shape[SS_MAX_RANK]; /* [stored_rank] */
    bool     trainable;   /* false: a constant of the network (running statistics), never a parameter */
    bool     computed;    /* a constant whose values the builder gave: never looked for in a file */
    double   decay;       /* lambda of the term lambda/2 ||w||^2; 0 = none */
    int64_t  offset;      /* first element in the padded parameter vector; -1 = frozen or constant */
    int64_t  canonical;   /* first element in the packed parameter vector; -1 likewise */
    int32_t  uses;        /* nodes that read it */
    int32_t  first_layer; /* ordinal of the first layer that reads it, for `info` and --parameters tests */
} ss_parameter;

/* A value: a tensor per sample. A view shares the elements of another value. */
typedef struct ss_value {
    int32_t rank;                         /* without the sample dimension */
    int64_t shape[SS_MAX_RANK - 1];       /* [rank] */
    int64_t count;                        /* elements per sample */
    int32_t producer;                     /* node, -1 = the network's input, or of the base for a view */
    int32_t base;                         /* value whose elements a view shares; -1 = owns its elements */
    int64_t view_offset;                  /* elements from the base's first element of the sample */
    int64_t view_stride[SS_MAX_RANK - 1]; /* elements, [rank], for a view */
    int32_t uses;                         /* nodes that read it or a view of it */
    int32_t views;                        /* values that are views of it */
    int32_t source;  /* number of the network's input that it is (graph.h), -1 = computed or a view */
    bool    integer; /* int64 elements (ids, positions, masks): no tangent, no adjoint */
} ss_value;

struct ss_node {
    const ss_op  *op;
    char         *name; /* "3.body.0 (Linear)", for messages and info; owned */
    int32_t       n_inputs, n_parameters;
    int32_t       input[SS_MAX_INPUTS];         /* values */
    int32_t       parameter[SS_MAX_PARAMETERS]; /* parameter numbers; -1 = absent (no bias) */
    int32_t       output;                       /* value; -1 for the loss */
    int32_t       layer;      /* ordinal of the layer it came from (several nodes may share one) */
    ss_attributes attributes; /* of the operator */
    /* Filled by op->infer from the inputs' shapes: */
    int32_t             output_rank;                   /* of the output per sample */
    int64_t             output_shape[SS_MAX_RANK - 1]; /* [output_rank] */
    int64_t             saved_count;                   /* reals per sample of SAVED; 0 = none */
    int64_t             saved_tangent_count;           /* reals per sample and lane of the tangent of SAVED */
    const ss_value     *values;                        /* of the graph, for infer/needs/flops; borrowed */
    const ss_parameter *parameters;                    /* of the graph; borrowed */
};

#endif
