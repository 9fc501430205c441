/* Checkpoints in shards: model.safetensors.index.json (or pytorch_model.bin.index.json) of Hugging Face,
 * {"metadata": {...}, "weight_map":
 * {"tensor": "model-00001-of-00002.safetensors", ...}}. Shards lie in the index's folder; a shard's name is a
 * plain file name, so that an index cannot reach outside. */
#include "io/archive_private.h"
#include "io/json.h"

#include <stdlib.h>
#include <string.h>

/* "<folder of the index>/<shard>"; refuses anything that is no plain file name. */
static ss_status shard_path(const ss_archive *index, const ss_json_value *place, const char *shard,
                            char **path)
{
    const char *slash = strrchr(index->path, '/');
    int         folder = slash == NULL ? 0 : (int)(slash - index->path) + 1;
    char        quoted[SS_QUOTE_TEXT];
    if (shard[0] == '\0' || shard[0] == '.' || strchr(shard, '/') != NULL)
        return ss_json_fail(place, "expected the name of a file beside the index, found %s",
                            ss_quote(shard, quoted));
    return ss_format(index->context, path, "%.*s%s", folder, index->path, shard);
}

/* The open shard of that name; opens it if it is new. */
static ss_status take_shard(ss_archive *index, const ss_json_value *place, const char *name,
                            ss_archive **shard)
{
    ss_status status = SS_OK;
    char     *path = NULL;
    SS_TRY(shard_path(index, place, name, &path));
    *shard = NULL;
    for (int64_t i = index->n_shards - 1; i >= 0 && *shard == NULL; i--) {
        if (strcmp(index->shards[i]->path, path) == 0) *shard = index->shards[i];
    }
    if (*shard == NULL) {
        SS_TRY(ss_reallocate(index->context, index->n_shards + 1, sizeof *index->shards,
                             (void **)&index->shards));
        SS_TRY(ss_archive_open(index->context, path, &index->shards[index->n_shards]));
        *shard = index->shards[index->n_shards++];
        index->size += (*shard)->size;
    }
fail:
    ss_free(index->context, path);
    return status;
}

/* Every tensor of every shard must have come in through the map: what is left over would be lost silently. */
ss_status ss_archive_read_index(ss_archive *archive)
{
    ss_status     status = SS_OK;
    ss_json      *json = NULL;
    ss_archive   *shard = NULL;
    ss_json_value root, map, entry = { .key = NULL };
    const char   *file = NULL;
    char          name[SS_QUOTE_TEXT];
    archive->format = "shards";
    SS_TRY(ss_json_load(archive->context, archive->path, &json));
    root = ss_json_root(json);
    SS_TRY(ss_json_member(&root, "weight_map", SS_JSON_OBJECT, &map));
    while (ss_json_next(&map, &entry)) {
        SS_TRY(ss_json_as_string(&entry, &file));
        SS_TRY(take_shard(archive, &entry, file, &shard));
        archive->format = strcmp(shard->format, "torch") == 0 ? "torch shards" : "safetensors shards";
        const ss_array *array = ss_archive_find(shard, entry.key);
        if (array == NULL)
            SS_TRY(ss_json_fail(&entry, "shard %s holds no such tensor", ss_quote(file, name)));
        SS_TRY(ss_archive_add(archive, array));
    }
fail:
    ss_json_free(json);
    return status;
}

ss_status ss_archive_check_index(ss_archive *index)
{
    char name[SS_QUOTE_TEXT];
    for (int64_t i = 0; i < index->n_shards; i++) {
        for (int64_t j = 0; j < index->shards[i]->count; j++) {
            const ss_array *array = &index->shards[i]->arrays[j],
                           *taken = ss_archive_find(index, array->name);
            if (taken == NULL || taken->data != array->data)
                return ss_archive_fail(index, "weight_map: tensor %s of shard %s is not mapped to it",
                                       ss_quote(array->name, name), index->shards[i]->path);
        }
    }
    return SS_OK;
}
