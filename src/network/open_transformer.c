/* Opening transformers: the folder of a Hugging Face model or adapter, a nanoGPT checkpoint. */
#include "network/network_private.h"
#include "network/transformer.h"
#include "saddlescope/dataset.h"

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

/* ---- A folder with config.json --------------------------------------------------------------------------
 */

/* What was found of a model. */
typedef struct files {
    char *config;          /* path of config.json; owned */
    char *weights;         /* path of the weights or of their index; NULL = none; owned */
    char *adapter_config;  /* NULL = no adapter; owned */
    char *adapter_weights; /* owned */
} files;

static bool exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

static ss_status find_files(ss_context *context, const char *source, files *f)
{
    static const char *const names[] = { "model.safetensors", "model.safetensors.index.json",
                                         "pytorch_model.bin" };
    ss_status                status = SS_OK;
    SS_TRY(ss_format(context, &f->config, "%s/config.json", source));
    for (size_t i = 0; i < sizeof names / sizeof *names && f->weights == NULL; i++) {
        SS_TRY(ss_format(context, &f->weights, "%s/%s", source, names[i]));
        if (exists(f->weights)) break;
        ss_free(context, f->weights);
        f->weights = NULL;
    }
fail:
    return status;
}

static void release_files(ss_context *context, files *f)
{
    ss_free(context, f->config);
    ss_free(context, f->weights);
    ss_free(context, f->adapter_config);
    ss_free(context, f->adapter_weights);
}

static bool is_index(const char *path)
{
    static const char suffix[] = ".index.json";
    size_t            length = strlen(path), tail = sizeof suffix - 1;
    return length > tail && strcmp(path + length - tail, suffix) == 0;
}

static ss_status open_weights(ss_context *context, const char *path, ss_archive **archive)
{
    return is_index(path) ? ss_archive_open_index(context, path, archive)
                          : ss_archive_open(context, path, archive);
}

/* The graph keeps what its parameters borrow from. */
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

static ss_status open_folder(ss_network *network, const ss_network_options *o)
{
    ss_status              status = SS_OK;
    ss_context            *context = network->context;
    files                  f = { 0 };
    ss_json               *json = NULL;
    ss_json_value          root;
    ss_archive            *archive = NULL;
    ss_adapter            *adapter = NULL;
    ss_initial_rule       *rules = NULL;
    const ss_architecture *row = NULL;

    SS_TRY(find_files(context, network->source, &f));
    SS_TRY(ss_json_load(context, f.config, &json));
    root = ss_json_root(json);
    SS_TRY(ss_architecture_find(&root, o->loss, &row));
    SS_TRY(read_rules(context, o, &rules));
    const char *weights = o->weights != NULL ? o->weights : f.weights;
    if (weights == NULL && !o->init_random)
        SS_FAIL(context, SS_ERROR_INPUT,
                "%s: the folder holds no weights (model.safetensors, model.safetensors.index.json or "
                "pytorch_model.bin); --init-random SEED starts them at random",
                network->source);
    if (!o->init_random) SS_TRY(open_weights(context, weights, &archive));
    if (f.adapter_config != NULL)
        SS_TRY(ss_adapter_open(context, f.adapter_config, f.adapter_weights, &adapter));
    const ss_transformer_weights from = { .archive = archive,
                                          .adapter = adapter,
                                          .random = o->init_random,
                                          .seed = o->init_seed,
                                          .initial = rules,
                                          .n_initial = o->n_init_missing };
    SS_TRY(ss_transformer_open(context, &root, row, o->sequence_length, o->has_mask, &from, &network->graph));
    SS_TRY(hand_over(network->graph, &archive));
    if (adapter != NULL) SS_TRY(hand_over(network->graph, &adapter->archive));
    SS_TRY(ss_copy_string(context, o->init_random ? "" : weights, &network->weights));
    network->loss = ss_task_loss(row->task);
fail:
    release_rules(context, o->n_init_missing, rules);
    ss_adapter_close(context, adapter);
    ss_archive_close(archive);
    ss_json_free(json);
    release_files(context, &f);
    return status;
}

ss_status ss_network_open_transformer(ss_network *network, const ss_network_options *options, bool *found)
{
    ss_status status = SS_OK;
    char     *config = NULL, *own = NULL;
    SS_TRY(ss_format(network->context, &config, "%s/config.json", network->source));
    SS_TRY(ss_format(network->context, &own, "%s/network.json", network->source));
    *found = exists(config) && !exists(own);
    if (*found) SS_TRY(open_folder(network, options));
fail:
    ss_free(network->context, config);
    ss_free(network->context, own);
    return status;
}
