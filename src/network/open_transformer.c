/* Opening transformers: the folder or the cached repository of a Hugging Face model or adapter, and nanoGPT's
 * checkpoint. */
#include "io/foreign.h"
#include "io/huggingface.h"
#include "network/network_private.h"
#include "network/transformer.h"
#include "saddlescope/dataset.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void ss_network_fit_data(const ss_dataset *dataset, ss_network_options *options)
{
    const ss_array *x = ss_dataset_inputs(dataset), *mask = ss_dataset_find(dataset, "attention_mask");
    int64_t         count = mask != NULL ? 1 : 0;
    options->sequence_length = x->rank == 2 && !ss_type_is_float(x->type) ? x->shape[1] : 0;
    options->has_mask = false;
    for (int32_t d = 0; mask != NULL && d < mask->rank; d++) count *= mask->shape[d];
    if (mask != NULL && ss_type_is_float(mask->type)) options->has_mask = true; /* refused where it is read */
    for (int64_t i = 0; i < count && !options->has_mask; i++)
        options->has_mask = ss_array_integer(mask, i) == 0;
}

/* ---- Rules of --init-missing ----------------------------------------------------------------------------
 */

/* Splits "NAME:SEED"s; names are owned copies. */
static ss_status read_rules(ss_context *context, const ss_network_options *o, ss_initial_rule **rules)
{
    ss_status status = SS_OK;
    SS_TRY(SS_NEW_ARRAY(context, o->n_init_missing, rules));
    for (int32_t i = 0; i < o->n_init_missing; i++) {
        const char        *text = o->init_missing[i], *colon = strrchr(text, ':');
        char              *end = NULL, *name = NULL;
        unsigned long long seed = colon != NULL ? strtoull(colon + 1, &end, 10) : 0;
        if (colon == NULL || colon == text || end == colon + 1 || *end != '\0' || colon[1] == '-')
            SS_FAIL(context, SS_ERROR_USAGE, "--init-missing: expected NAME:SEED, found '%s'", text);
        SS_TRY(ss_format(context, &name, "%.*s", (int)(colon - text), text));
        (*rules)[i] = (ss_initial_rule){ .name = name, .seed = (uint64_t)seed };
    }
fail:
    return status;
}

static void release_rules(ss_context *context, int32_t count, ss_initial_rule *rules)
{
    for (int32_t i = 0; rules != NULL && i < count; i++) ss_free(context, (void *)(uintptr_t)rules[i].name);
    ss_free(context, rules);
}

/* ---- What weights are taken from ------------------------------------------------------------------------
 */

static bool is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

static ss_status open_weights(ss_context *context, const char *path, ss_archive **archive)
{
    static const char suffix[] = ".index.json";
    size_t            length = strlen(path), tail = sizeof suffix - 1;
    bool              index = length > tail && strcmp(path + length - tail, suffix) == 0;
    return index ? ss_archive_open_index(context, path, archive) : ss_archive_open(context, path, archive);
}

/* The graph keeps open what its parameters borrow from. */
static ss_status hand_over(ss_graph *graph, ss_archive **archive)
{
    ss_status status = SS_OK;
    if (*archive == NULL) return SS_OK;
    SS_TRY(ss_reallocate(graph->context, graph->n_files + 1, sizeof(ss_archive *), (void **)&graph->files));
    graph->files[graph->n_files++] = *archive;
    *archive = NULL;
fail:
    return status;
}

/* Builds the graph; both archives pass to it. */
static ss_status build(ss_network *network, const ss_network_options *o, const ss_json_value *configuration,
                       const ss_architecture *row, ss_archive **archive, const ss_adapter *adapter,
                       ss_archive **adapter_archive)
{
    ss_status              status = SS_OK;
    ss_context            *context = network->context;
    ss_initial_rule       *rules = NULL;
    ss_transformer_weights from = { .archive = o->init_random ? NULL : *archive,
                                    .adapter = adapter,
                                    .random = o->init_random,
                                    .seed = o->init_seed,
                                    .n_initial = o->n_init_missing };
    SS_TRY(read_rules(context, o, &rules));
    from.initial = rules;
    SS_TRY(ss_transformer_open(context, configuration, row, o->sequence_length, o->has_mask, &from,
                               &network->graph));
    SS_TRY(hand_over(network->graph, archive));
    if (adapter_archive != NULL) SS_TRY(hand_over(network->graph, adapter_archive));
    network->loss = ss_task_loss(row->task);
fail:
    release_rules(context, o->n_init_missing, rules);
    return status;
}

/* ---- Folders and repositories ---------------------------------------------------------------------------
 */

static ss_status open_folder(ss_network *network, const ss_network_options *o)
{
    ss_status              status = SS_OK;
    ss_context            *context = network->context;
    ss_huggingface         model;
    ss_huggingface_options options = { .base = o->base,
                                       .weights_optional = o->init_random || o->weights != NULL };
    ss_json_value          root;
    ss_adapter             adapter = { 0 };
    const ss_architecture *row = NULL;

    SS_TRY(ss_huggingface_open(context, network->source, &options, &model));
    root = ss_json_root(model.config);
    SS_TRY(ss_architecture_find(&root, o->loss, &row));
    if (o->weights != NULL) { /* of an adapter's folder the adapter, which is what it holds itself */
        ss_archive **own = model.adapter != NULL ? &model.adapter : &model.weights;
        ss_archive_close(*own);
        *own = NULL;
        SS_TRY(open_weights(context, o->weights, own));
    }
    if (model.adapter != NULL) {
        ss_json_value options_root = ss_json_root(model.adapter_config);
        SS_TRY(ss_adapter_read(&options_root, model.adapter, &adapter));
    }
    const char *path = o->weights != NULL ? o->weights : model.weights_path;
    SS_TRY(ss_copy_string(context, o->init_random || path == NULL ? "" : path, &network->weights));
    SS_TRY(build(network, o, &root, row, &model.weights, model.adapter != NULL ? &adapter : NULL,
                 &model.adapter));
    if (model.origin != NULL && model.origin[0] != '\0')
        ss_log(context, SS_LOG_INFO, "%s: %s", network->source, model.origin);
fail:
    ss_huggingface_close(&model);
    return status;
}

/* ---- nanoGPT's ckpt.pt ----------------------------------------------------------------------------------
 */

/* A torch file whose "model_args" say what the weights are for; *found false for any other file. */
static ss_status open_checkpoint(ss_network *network, const ss_network_options *o, bool *found)
{
    ss_status     status = SS_OK;
    ss_context   *context = network->context;
    ss_archive   *archive = NULL;
    ss_json      *json = NULL;
    ss_json_value root, arguments;

    SS_TRY(ss_archive_open(context, network->source, &archive));
    if (strcmp(ss_archive_format(archive), "torch") == 0) SS_TRY(ss_archive_scalars(archive, &json));
    if (json == NULL) goto fail;
    root = ss_json_root(json);
    if (!ss_json_has(&root, "model_args")) goto fail;
    *found = true;
    if (o->weights != NULL) {
        ss_archive_close(archive);
        archive = NULL;
        SS_TRY(open_weights(context, o->weights, &archive));
    }
    const char *weights = o->weights != NULL ? o->weights : network->source;
    SS_TRY(ss_json_member(&root, "model_args", SS_JSON_OBJECT, &arguments));
    SS_TRY(ss_copy_string(context, o->init_random ? "" : weights, &network->weights));
    SS_TRY(build(network, o, &arguments, ss_architecture_nanogpt(), &archive, NULL, NULL));
fail:
    ss_archive_close(archive);
    ss_json_free(json);
    return status;
}

bool ss_network_is_binary(const char *path)
{
    FILE *file = fopen(path, "rb");
    int   byte = EOF;
    if (file == NULL) return false;
    do {
        byte = fgetc(file);
    } while (byte != EOF && isspace(byte));
    fclose(file);
    return byte != EOF && byte != '{' && byte != '[';
}

ss_status ss_network_open_transformer(ss_network *network, const ss_network_options *options, bool *found)
{
    ss_status          status = SS_OK;
    ss_network_options own = *options;
    if (own.seeded) { /* as the other families: seeded weights, whatever is stored */
        own.init_random = true;
        own.init_seed = own.seed;
    }
    *found = ss_huggingface_is_source(network->source);
    if (*found) return open_folder(network, &own);
    if (!is_file(network->source)) return SS_OK; /* a folder with network.json */
    SS_TRY(ss_foreign_refuse_file(network->context, network->source));
    if (ss_network_is_binary(network->source)) SS_TRY(open_checkpoint(network, &own, found));
fail:
    return status;
}
