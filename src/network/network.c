/* The public network: finds out what the source is, builds the graph, binds weights, activates parameters. */
#include "saddlescope/network.h"

#include "io/archive.h"
#include "network/graph.h"
#include "network/sequential.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct ss_network {
    ss_context *context; /* borrowed */
    ss_graph   *graph;   /* owned */
    char       *source;  /* as given; owned */
    char       *weights; /* path of the weights file, "" for seeded weights; owned */
};

/* First byte of a file that is not white space; 0 when there is none or the file cannot be read (then the
 * parser says why). */
static int first_byte(const char *path)
{
    FILE *file = fopen(path, "rb");
    int   byte = EOF;
    if (file == NULL) return 0;
    do {
        byte = fgetc(file);
    } while (byte != EOF && isspace(byte));
    fclose(file);
    return byte == EOF ? 0 : byte;
}

/* SS_ERROR_INPUT when the file is weights rather than an architecture; the archive's own message (a pickle,
 * with the export command) goes first. */
static ss_status refuse_weights(ss_context *context, const char *path)
{
    ss_status   status = SS_OK;
    ss_archive *archive = NULL;
    int         byte = first_byte(path);
    if (byte == 0 || byte == '{' || byte == '[') return SS_OK;
    SS_TRY(ss_archive_open(context, path, &archive));
    SS_FAIL(
        context, SS_ERROR_INPUT,
        "%s: is a %s file: weights without an architecture; give the network.json and name this file as its "
        "weights",
        path, ss_archive_format(archive));
fail:
    ss_archive_close(archive);
    return status;
}

/* The folder's network.json, or the file itself; and the default weights beside it. Both owned by the caller.
 */
static ss_status find_files(ss_context *context, const char *source, const char *weights, char **description,
                            char **weights_path)
{
    ss_status   status = SS_OK;
    struct stat info;
    int         length = (int)strlen(source);
    if (stat(source, &info) != 0)
        SS_FAIL(context, SS_ERROR_INPUT,
                "%s: no such file or folder (a network is a folder with network.json, a network.json, or "
                "mlp:64-16-10:tanh)",
                source);
    if (S_ISDIR(info.st_mode)) {
        while (length > 1 && source[length - 1] == '/') length--;
        SS_TRY(ss_format(context, description, "%.*s/network.json", length, source));
        if (stat(*description, &info) != 0)
            SS_FAIL(context, SS_ERROR_INPUT, "%s: the folder has no network.json", source);
    } else {
        SS_TRY(ss_copy_string(context, source, description));
        const char *slash = strrchr(source, '/');
        length = slash != NULL ? (int)(slash - source) : 0;
    }
    if (weights != NULL)
        SS_TRY(ss_copy_string(context, weights, weights_path));
    else
        SS_TRY(ss_format(context, weights_path,
                         length > 0 ? "%.*s/weights.safetensors" : "%.*sweights.safetensors", length,
                         source));
fail:
    return status;
}

static ss_status open_files(ss_network *network, const ss_network_options *options)
{
    ss_status   status = SS_OK;
    ss_context *context = network->context;
    const char *weights = options->weights;
    char       *description = NULL;
    ss_json    *json = NULL;
    ss_archive *archive = NULL;
    struct stat info;
    SS_TRY(find_files(context, network->source, weights, &description, &network->weights));
    SS_TRY(refuse_weights(context, description));
    SS_TRY(ss_json_load(context, description, &json));
    SS_TRY(ss_sequential_build(context, json, &network->graph));
    if (options->seeded) {
        network->weights[0] = '\0';
        SS_TRY(ss_graph_bind_seeded(network->graph, options->seed));
        goto fail;
    }
    if (weights == NULL && stat(network->weights, &info) != 0)
        SS_FAIL(context, SS_ERROR_INPUT, "%s: there is no weights file %s beside it; name one", description,
                network->weights);
    SS_TRY(ss_archive_open(context, network->weights, &archive));
    SS_TRY(ss_graph_bind(network->graph, archive, network->weights));
    archive = NULL; /* the graph's now */
fail:
    ss_archive_close(archive);
    ss_json_free(json);
    ss_free(context, description);
    return status;
}

static ss_status open_mlp(ss_network *network, const char *weights, uint64_t seed)
{
    ss_status   status = SS_OK;
    ss_context *context = network->context;
    char       *text = NULL;
    ss_json    *json = NULL;
    ss_archive *archive = NULL;
    SS_TRY(ss_sequential_from_mlp(context, network->source, &text));
    SS_TRY(ss_json_parse(context, network->source, text, (int64_t)strlen(text), &json));
    SS_TRY(ss_sequential_build(context, json, &network->graph));
    SS_TRY(ss_copy_string(context, weights != NULL ? weights : "", &network->weights));
    if (weights != NULL) {
        SS_TRY(ss_archive_open(context, weights, &archive));
        SS_TRY(ss_graph_bind(network->graph, archive, weights));
        archive = NULL; /* the graph's now */
    } else {
        SS_TRY(ss_graph_bind_seeded(network->graph, seed));
    }
fail:
    ss_archive_close(archive);
    ss_json_free(json);
    ss_free(context, text);
    return status;
}

ss_status ss_network_open(ss_context *context, const char *source, const ss_network_options *options,
                          ss_network **network)
{
    static const ss_network_options defaults = { 0 };
    ss_status                       status = SS_OK;
    ss_network                     *opened = NULL;
    const ss_network_options       *o = options != NULL ? options : &defaults;

    *network = NULL;
    SS_TRY(SS_NEW(context, &opened));
    opened->context = context;
    SS_TRY(ss_copy_string(context, source, &opened->source));
    if (strncmp(source, "mlp:", 4) == 0)
        SS_TRY(open_mlp(opened, o->weights, o->seed));
    else
        SS_TRY(open_files(opened, o));
    SS_TRY(ss_graph_activate(opened->graph, o->n_include, o->include, o->n_exclude, o->exclude));
    SS_TRY(ss_graph_set_decay(opened->graph, o->n_decay, o->decay));
    *network = opened;
    return SS_OK;
fail:
    ss_network_close(opened);
    return status;
}

void ss_network_close(ss_network *network)
{
    if (network == NULL) return;
    ss_context *context = network->context;
    ss_graph_destroy(network->graph);
    ss_free(context, network->source);
    ss_free(context, network->weights);
    ss_free(context, network);
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
    copy_shape(&network->graph->values[network->graph->output], rank, shape);
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
                                 .rank = p->array.rank,
                                 .count = p->count,
                                 .trainable = p->trainable,
                                 .active = p->offset >= 0,
                                 .decay = p->decay,
                                 .canonical = p->canonical,
                                 .offset = p->offset,
                                 .first_layer = p->first_layer };
    for (int32_t d = 0; d < p->array.rank; d++) info->shape[d] = p->array.shape[d];
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
