/* Opening a network: finds out what the source is, builds the graph, binds weights, activates parameters. */
#include "io/archive.h"
#include "network/network_private.h"
#include "network/sequential.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* SS_ERROR_INPUT when the file is weights rather than an architecture; the archive's own message (a pickle,
 * with the export command) goes first. */
static ss_status refuse_weights(ss_context *context, const char *path)
{
    ss_status   status = SS_OK;
    ss_archive *archive = NULL;
    if (!ss_network_is_binary(path)) return SS_OK;
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
                "%s: no such file or folder (a network is a folder with config.json or network.json, "
                "org/name in the local cache, a ckpt.pt, a network.json, or mlp:64-16-10:tanh)",
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
    bool found = false;
    if (strncmp(source, "mlp:", 4) == 0)
        SS_TRY(open_mlp(opened, o->weights, o->seed));
    else
        SS_TRY(ss_network_open_transformer(opened, o, &found));
    if (opened->graph == NULL && !found) SS_TRY(open_files(opened, o));
    if (!found && (o->init_random || o->n_init_missing > 0))
        SS_FAIL(context, SS_ERROR_USAGE,
                "--init-random and --init-missing are for transformers (config.json), %s is none", source);
    SS_TRY(ss_graph_activate(opened->graph, o->n_include, o->include, o->n_exclude, o->exclude));
    SS_TRY(ss_graph_set_decay(opened->graph, o->n_decay, o->decay));
    *network = opened;
    return SS_OK;
fail:
    ss_network_close(opened);
    return status;
}
