/* Opening models as Hugging Face keeps them, see huggingface.h: finding the files, and checking the links
 * before anything is opened through them. */
#define _XOPEN_SOURCE 700
#include "io/huggingface.h"
#include "io/foreign.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Where weights may be, in the order in which transformers looks. */
typedef struct weights_row {
    const char *name;
    bool        index; /* a list of shards */
} weights_row;

static const weights_row model_files[] = { { "model.safetensors", false },
                                           { "model.safetensors.index.json", true },
                                           { "pytorch_model.bin", false },
                                           { "pytorch_model.bin.index.json", true } };
static const weights_row adapter_files[] = { { "adapter_model.safetensors", false },
                                             { "adapter_model.bin", false } };
#define SS_COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool exists(const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0;
}

static bool is_folder(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

/* Is there a file of that name in the folder (which ends with a slash)? */
static ss_status has(ss_context *context, const char *folder, const char *name, bool *found)
{
    char     *path = NULL;
    ss_status status = SS_OK;
    SS_TRY(ss_format(context, &path, "%s%s", folder, name));
    *found = exists(path);
fail:
    ss_free(context, path);
    return status;
}

bool ss_huggingface_is_source(const char *source)
{
    char   path[4096];
    size_t length = strlen(source);
    if (length == 0 || length > sizeof path - 32) return false;
    if (!exists(source)) return ss_huggingface_is_name(source);
    if (!is_folder(source)) return false;
    snprintf(path, sizeof path, "%s/network.json", source);
    return !exists(path);
}

/* ---- Links ------------------------------------------------------------------------------------------------
 */

/* What the files of a folder may link to: the repository ".../models--org--name" when the folder is
 * ".../models--org--name/snapshots/<commit>", else the folder itself. `folder` is a real path without a slash
 * at its end; returns the length of the part of it that is allowed. */
static size_t allowed_part(const char *folder)
{
    const char *commit = strrchr(folder, '/');
    size_t      whole = strlen(folder), part = strlen("/snapshots");
    size_t      before = commit != NULL ? (size_t)(commit - folder) : 0;
    if (before <= part || strncmp(folder + before - part, "/snapshots", part) != 0) return whole;
    size_t end = before - part, begin = end;
    while (begin > 0 && folder[begin - 1] != '/') begin--;
    return strncmp(folder + begin, "models--", strlen("models--")) == 0 ? end : whole;
}

/* Where "<folder><name>" really lies must be inside what the folder may link to. */
static ss_status check_link(ss_context *context, const char *folder, const char *name)
{
    ss_status status = SS_OK;
    char     *path = NULL, *root = NULL, *real = NULL;
    SS_TRY(ss_format(context, &path, "%s%s", folder, name));
    root = realpath(folder, NULL);
    real = realpath(path, NULL);
    if (root == NULL || real == NULL)
        SS_FAIL(context, SS_ERROR_INPUT, "%s: a link that leads nowhere (an interrupted download?)", path);
    size_t length = allowed_part(root);
    if (strncmp(real, root, length) != 0 || real[length] != '/')
        SS_FAIL(
            context, SS_ERROR_INPUT,
            "%s: a link to %s, outside %.*s: links that leave the model's folder are not followed; give the "
            "folder that holds the file",
            path, real, (int)length, root);
fail:
    free(root);
    free(real);
    ss_free(context, path);
    return status;
}

static ss_status load_json(ss_context *context, const char *folder, const char *name, ss_json **json)
{
    ss_status status = SS_OK;
    char     *path = NULL;
    SS_TRY(check_link(context, folder, name));
    SS_TRY(ss_format(context, &path, "%s%s", folder, name));
    SS_TRY(ss_json_load(context, path, json));
fail:
    ss_free(context, path);
    return status;
}

/* The links of all shards that an index lists. A name that is no plain file name is left to the reader of
 * indexes, which refuses it; so is one that is not there. */
static ss_status check_shards(ss_context *context, const char *folder, const char *name)
{
    ss_status     status = SS_OK;
    ss_json      *json = NULL;
    ss_json_value root, map, entry = { .key = NULL };
    const char   *file = NULL, *last = "";
    bool          found = false;
    SS_TRY(load_json(context, folder, name, &json));
    root = ss_json_root(json);
    SS_TRY(ss_json_member(&root, "weight_map", SS_JSON_OBJECT, &map));
    while (ss_json_next(&map, &entry)) {
        SS_TRY(ss_json_as_string(&entry, &file));
        if (strcmp(file, last) == 0 || file[0] == '\0' || file[0] == '.' || strchr(file, '/') != NULL)
            continue;
        SS_TRY(has(context, folder, file, &found));
        if (found) SS_TRY(check_link(context, folder, file));
        last = file;
    }
fail:
    ss_json_free(json);
    return status;
}

/* ---- Weights ----------------------------------------------------------------------------------------------
 */

/* Opens the first of rows[count] that the folder has; *archive stays NULL when it has none. */
static ss_status open_weights(ss_context *context, const char *folder, const weights_row *rows, size_t count,
                              char **path, ss_archive **archive)
{
    ss_status status = SS_OK;
    bool      found = false;
    for (size_t i = 0; i < count && !found; i++) {
        SS_TRY(has(context, folder, rows[i].name, &found));
        if (!found) continue;
        SS_TRY(check_link(context, folder, rows[i].name));
        SS_TRY(ss_format(context, path, "%s%s", folder, rows[i].name));
        if (rows[i].index) SS_TRY(check_shards(context, folder, rows[i].name));
        SS_TRY(rows[i].index ? ss_archive_open_index(context, *path, archive)
                             : ss_archive_open(context, *path, archive));
    }
fail:
    return status;
}

/* ---- Folders ----------------------------------------------------------------------------------------------
 */

/* The name of the last checkpoint below a Trainer's output folder, "checkpoint-400"; "" if there is none. */
static void find_checkpoint(const char *folder, char *name, size_t bytes)
{
    DIR           *directory = opendir(folder);
    struct dirent *entry;
    long           best = -1;
    name[0] = '\0';
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        char *end = NULL;
        if (strncmp(entry->d_name, "checkpoint-", 11) != 0) continue;
        long number = strtol(entry->d_name + 11, &end, 10);
        if (*end != '\0' || end == entry->d_name + 11 || number <= best) continue;
        best = number;
        snprintf(name, bytes, "%s", entry->d_name);
    }
    if (directory != NULL) closedir(directory);
}

/* A folder without config.json: what is it? */
static ss_status refuse_folder(ss_context *context, const char *folder)
{
    ss_status status = SS_OK;
    char      name[256];
    find_checkpoint(folder, name, sizeof name);
    if (name[0] != '\0')
        SS_FAIL(context, SS_ERROR_INPUT,
                "%s: holds checkpoints, no model: name one of them, the last is %s%s", folder, folder, name);
    SS_TRY(ss_foreign_refuse_folder(context, folder));
    SS_FAIL(context, SS_ERROR_INPUT,
            "%s: the folder has neither network.json, nor config.json, nor adapter_config.json", folder);
fail:
    return status;
}

static ss_status open_model(ss_huggingface *model, bool weights_optional)
{
    ss_status   status = SS_OK;
    ss_context *context = model->context;
    bool        found = false;
    SS_TRY(has(context, model->folder, "config.json", &found));
    if (!found) SS_TRY(refuse_folder(context, model->folder));
    SS_TRY(load_json(context, model->folder, "config.json", &model->config));
    SS_TRY(ss_foreign_refuse_quantised(context, model->config, NULL));
    SS_TRY(open_weights(context, model->folder, model_files, SS_COUNT(model_files), &model->weights_path,
                        &model->weights));
    if (model->weights == NULL && !weights_optional) {
        SS_TRY(ss_foreign_refuse_folder(context, model->folder));
        SS_FAIL(
            context, SS_ERROR_INPUT,
            "%s: no weights: expected model.safetensors or pytorch_model.bin, or an index of shards of them",
            model->folder);
    }
    SS_TRY(ss_foreign_refuse_quantised(context, NULL, model->weights));
fail:
    return status;
}

/* The folder that a source means, with a slash at its end. */
static ss_status find_folder(ss_context *context, const char *source, char **folder, char **origin)
{
    ss_status status = SS_OK;
    size_t    length = strlen(source);
    if (!exists(source)) return ss_huggingface_find(context, source, folder, origin);
    if (!is_folder(source)) SS_FAIL(context, SS_ERROR_INPUT, "%s: expected the folder of a model", source);
    SS_TRY(ss_format(context, folder, "%s%s", source, source[length - 1] == '/' ? "" : "/"));
    SS_TRY(ss_copy_string(context, "", origin));
fail:
    return status;
}

/* An adapter lies alone in its folder, or beside the config of its model; a folder with whole weights is a
 * model. */
static ss_status is_adapter(ss_context *context, const char *folder, bool *adapter)
{
    ss_status status = SS_OK;
    bool      found = false;
    SS_TRY(has(context, folder, "adapter_config.json", adapter));
    for (size_t i = 0; i < SS_COUNT(model_files) && *adapter; i++) {
        SS_TRY(has(context, folder, model_files[i].name, &found));
        if (found) *adapter = false;
    }
fail:
    return status;
}

/* Opens the adapter in model->folder, which becomes its folder, and finds the model it changes. */
static ss_status open_adapter(ss_huggingface *model, const char *base)
{
    ss_status     status = SS_OK;
    ss_context   *context = model->context;
    bool          another = false;
    ss_json_value root;
    model->adapter_folder = model->folder;
    model->folder = NULL;
    SS_TRY(load_json(context, model->adapter_folder, "adapter_config.json", &model->adapter_config));
    SS_TRY(open_weights(context, model->adapter_folder, adapter_files, SS_COUNT(adapter_files),
                        &model->adapter_path, &model->adapter));
    if (model->adapter == NULL)
        SS_FAIL(context, SS_ERROR_INPUT, "%s: expected adapter_model.safetensors or adapter_model.bin",
                model->adapter_folder);
    root = ss_json_root(model->adapter_config);
    if (base == NULL) SS_TRY(ss_json_string(&root, "base_model_name_or_path", &base));
    ss_free(context, model->origin);
    model->origin = NULL;
    SS_TRY(find_folder(context, base, &model->folder, &model->origin));
    SS_TRY(is_adapter(context, model->folder, &another));
    if (another)
        SS_TRY(ss_json_fail(&root,
                            "the base model %s is an adapter itself: merge it first (PEFT: "
                            "merge_and_unload)",
                            model->folder));
fail:
    return status;
}

ss_status ss_huggingface_open(ss_context *context, const char *source, const ss_huggingface_options *options,
                              ss_huggingface *model)
{
    static const ss_huggingface_options defaults = { 0 };
    ss_status                           status = SS_OK;
    bool                                adapter = false;
    if (options == NULL) options = &defaults;
    *model = (ss_huggingface){ .context = context };
    SS_TRY(find_folder(context, source, &model->folder, &model->origin));
    SS_TRY(is_adapter(context, model->folder, &adapter));
    if (adapter)
        SS_TRY(open_adapter(model, options->base));
    else if (options->base != NULL)
        SS_FAIL(context, SS_ERROR_INPUT,
                "%s: a base model is given, but the folder has no adapter_config.json", source);
    SS_TRY(open_model(model, options->weights_optional));
fail:
    return status;
}

void ss_huggingface_close(ss_huggingface *model)
{
    ss_context *context = model->context;
    if (context == NULL) return;
    ss_archive_close(model->weights);
    ss_archive_close(model->adapter);
    ss_json_free(model->config);
    ss_json_free(model->adapter_config);
    ss_free(context, model->folder);
    ss_free(context, model->origin);
    ss_free(context, model->weights_path);
    ss_free(context, model->adapter_folder);
    ss_free(context, model->adapter_path);
    *model = (ss_huggingface){ .context = NULL };
}
