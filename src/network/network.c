/* The public network: what is known of it once it is open (open.c opens it). */
#include "network/network_private.h"

#include <string.h>

void ss_network_close(ss_network *network)
{
    if (network == NULL) return;
    ss_context *context = network->context;
    ss_graph_destroy(network->graph);
    ss_free(context, network->source);
    ss_free(context, network->weights);
    ss_free(context, network);
}

const char *ss_network_loss(const ss_network *network)
{
    return network->loss;
}

int64_t ss_network_vocabulary(const ss_network *network)
{
    const ss_graph *graph = network->graph;
    for (int32_t i = 0; i < graph->n_inputs; i++)
        if (graph->inputs[i].source == SS_SOURCE_TOKEN_IDS) return graph->inputs[i].limit;
    return 0;
}

const char *ss_network_description(const ss_network *network)
{
    return network->graph->description;
}

const char *ss_network_source(const ss_network *network)
{
    return network->source;
}

const char *ss_network_weights(const ss_network *network)
{
    return network->weights;
}

static void copy_shape(const ss_value *value, int32_t *rank, int64_t *shape)
{
    *rank = value->rank;
    for (int32_t d = 0; d < value->rank; d++) shape[d] = value->shape[d];
}

void ss_network_input_shape(const ss_network *network, int32_t *rank, int64_t *shape)
{
    copy_shape(&network->graph->values[0], rank, shape);
}

void ss_network_output_shape(const ss_network *network, int32_t *rank, int64_t *shape)
{
    const ss_graph *graph = network->graph;
    copy_shape(&graph->values[graph->output], rank, shape);
    if (graph->head.weight >= 0 && *rank > 0) shape[*rank - 1] = graph->head.classes;
}

int64_t ss_network_parameter_count(const ss_network *network)
{
    return network->graph->n_parameters;
}

void ss_network_parameter(const ss_network *network, int64_t index, ss_parameter_info *info)
{
    const ss_parameter *p = &network->graph->parameters[index];
    *info = (ss_parameter_info){ .name = p->name,
                                 .type = p->array.type,
                                 .count = p->count,
                                 .trainable = p->trainable,
                                 .active = p->offset >= 0,
                                 .decay = p->decay,
                                 .canonical = p->canonical,
                                 .offset = p->offset,
                                 .first_layer = p->first_layer };
    bool as_declared = p->stored_rank == 0;
    info->rank = as_declared ? p->array.rank : p->stored_rank;
    for (int32_t d = 0; d < info->rank; d++)
        info->shape[d] = as_declared ? p->array.shape[d] : p->stored_shape[d];
}

int64_t ss_network_n(const ss_network *network)
{
    return network->graph->layout.n;
}

const ss_layout *ss_network_layout(const ss_network *network)
{
    return &network->graph->layout;
}

void ss_network_get_weights(const ss_network *network, ss_real real, void *padded)
{
    const ss_graph *graph = network->graph;
    char           *to = padded;
    size_t          size = ss_real_size(real);
    memset(padded, 0, (size_t)graph->layout.padded * size);
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        const ss_parameter *p = &graph->parameters[i];
        if (p->offset >= 0) ss_array_convert(&p->array, 0, p->count, real, to + (size_t)p->offset * size);
    }
}

void ss_network_pack(const ss_network *network, ss_real real, const void *padded, void *packed)
{
    ss_layout_pack(&network->graph->layout, real, padded, packed);
}

void ss_network_unpack(const ss_network *network, ss_real real, const void *packed, void *padded)
{
    ss_layout_unpack(&network->graph->layout, real, packed, padded);
}

ss_graph *ss_network_graph(ss_network *network)
{
    return network->graph;
}
