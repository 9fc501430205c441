/* Which tensors of a torch checkpoint are the weights, and under which names.
 *
 * A file whose outermost dictionary holds nothing but tensors is a state dict. Otherwise the weights are
 * under one of the keys in `wrappers` (nanoGPT and many loops: "model"; Lightning: "state_dict"), and when
 * there is none of them, the tensors of the outermost dictionary are. Dictionaries in dictionaries are
 * flattened with dots. `_orig_mod.` (torch.compile) is taken out of every name, `module.` (data parallel) off
 * the front when all names begin with it. */
#include "base/json_text.h"
#include "io/torch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SS_DEEPEST      16        /* dictionaries in dictionaries that are followed */
#define SS_TENSOR_NAME  1024      /* bytes of a flattened name, with its end */
#define SS_MOST_SCALARS 65536     /* values beside the weights that are kept */
#define SS_LONGEST_LIST 4096      /* elements of a list beside the weights that is kept */
#define SS_MOST_TEXT    (1 << 20) /* bytes of strings beside the weights that are kept */

static const char *const wrappers[] = { "model", "state_dict", "model_state_dict", "module" };

/* Training state, which may be large: never among the scalars. */
static const char *const training[] = { "optimizer", "lr_scheduler", "scheduler", "callbacks", "loops" };

/* Keys by which checkpoints of other systems are known. */
static const struct {
    const char *key, *refusal;
} foreign[] = {
    { "ds_config", "a DeepSpeed checkpoint: convert it with the script that lies beside it: python "
                   "zero_to_fp32.py . OUT" },
    { "ds_version", "a DeepSpeed checkpoint: convert it with the script that lies beside it: python "
                    "zero_to_fp32.py . OUT" },
    { "checkpoint_version",
      "a Megatron checkpoint: convert it with Megatron-LM's tools/checkpoint/convert.py" },
};

#define SS_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Choosing the dictionary ------------------------------------------------------------------------------
 */

/* How many of its values are tensors (or tensors of a kind that is not read). */
static int64_t count_tensors(const ss_pickle_value *dictionary)
{
    int64_t count = 0;
    for (int64_t i = 1; i < dictionary->as.list.count; i += 2) {
        ss_pickle_kind kind = dictionary->as.list.items[i]->kind;
        count += kind == SS_PICKLE_TENSOR || kind == SS_PICKLE_OPAQUE;
    }
    return count;
}

/* Does it hold tensors, itself or one level below? */
static bool holds_tensors(ss_pickle_value *value)
{
    if (value->kind != SS_PICKLE_DICTIONARY) return false;
    if (count_tensors(value) > 0) return true;
    for (int64_t i = 1; i < value->as.list.count; i += 2) {
        ss_pickle_value *inner = value->as.list.items[i];
        if (inner->kind != SS_PICKLE_DICTIONARY || inner->looked) continue;
        inner->looked = true; /* it may stand here many times, and hold much that is no tensor */
        if (count_tensors(inner) > 0) return true;
    }
    return false;
}

/* The dictionary of the weights; its key, "" for the outermost, goes to *key. */
static ss_status choose(ss_archive *archive, ss_pickle_value *root, ss_pickle_value **weights,
                        const char **key)
{
    *weights = NULL;
    *key = "";
    if (root->kind != SS_PICKLE_DICTIONARY)
        return ss_archive_fail(archive,
                               "the checkpoint is %s: expected a dictionary of tensors (a state dict)",
                               ss_pickle_kind_text(root));
    for (size_t i = 0; i < SS_COUNT(foreign); i++) {
        if (ss_pickle_find(root, foreign[i].key) != NULL)
            return ss_archive_fail(archive, "%s", foreign[i].refusal);
    }
    int64_t tensors = count_tensors(root);
    for (size_t i = 0; i < SS_COUNT(wrappers) && 2 * tensors < root->as.list.count; i++) {
        ss_pickle_value *value = ss_pickle_find(root, wrappers[i]);
        if (value == NULL || !holds_tensors(value)) continue;
        if (*weights != NULL)
            return ss_archive_fail(archive,
                                   "both '%s' and '%s' hold tensors: which are meant? Save one of them", *key,
                                   wrappers[i]);
        *weights = value;
        *key = wrappers[i];
    }
    if (*weights == NULL && tensors > 0) *weights = root;
    if (*weights == NULL)
        return ss_archive_fail(
            archive, "holds no state dict: expected tensors, or a dictionary of tensors under 'model', "
                     "'state_dict', 'model_state_dict' or 'module'");
    return SS_OK;
}

/* ---- Listing the tensors ----------------------------------------------------------------------------------
 */

/* Writes the name of a key behind "<path>" in path [SS_TENSOR_NAME]; the length of the whole goes to *length.
 */
static ss_status join(ss_archive *archive, char *path, size_t used, const ss_pickle_value *key,
                      size_t *length)
{
    char        number[24], quoted[SS_QUOTE_TEXT];
    const char *text = number;
    size_t      size;
    if (key->kind == SS_PICKLE_INTEGER) {
        size = (size_t)snprintf(number, sizeof number, "%lld", (long long)key->as.integer);
    } else if (key->kind == SS_PICKLE_TEXT) {
        text = key->as.text.bytes;
        size = (size_t)key->as.text.length;
    } else {
        return ss_archive_fail(archive, "state dict: %s: a key is %s: expected a string",
                               ss_quote(path, quoted), ss_pickle_kind_text(key));
    }
    if (memchr(text, '\0', size) != NULL || used + size + 2 > SS_TENSOR_NAME)
        return ss_archive_fail(archive, "state dict: %s: a key holds NUL or is longer than %d bytes",
                               ss_quote(path, quoted), SS_TENSOR_NAME);
    if (used > 0) path[used++] = '.';
    memcpy(path + used, text, size);
    path[used + size] = '\0';
    *length = used + size;
    return SS_OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static ss_status add_tensor(ss_archive *archive, ss_torch_state *state, const char *name,
                            const ss_pickle_tensor *tensor)
{
    ss_status status = SS_OK;
    if (state->count == state->room) {
        int64_t room = ss_max64(64, 2 * state->room);
        SS_TRY(ss_reallocate(archive->context, room, sizeof *state->tensors, (void **)&state->tensors));
        state->room = room;
    }
    ss_torch_tensor *added = &state->tensors[state->count];
    *added = (ss_torch_tensor){ .tensor = tensor, .number = state->count };
    SS_TRY(ss_copy_string(archive->context, name, &added->name));
    state->count++;
fail:
    return status;
}

static ss_status list(ss_archive *archive, ss_torch_state *state, ss_pickle_value *dictionary, char *path,
                      size_t used, int depth);

static ss_status list_value(ss_archive *archive, ss_torch_state *state, ss_pickle_value *value, char *path,
                            size_t used, int depth)
{
    char quoted[SS_QUOTE_TEXT];
    ss_quote(path, quoted);
    switch (value->kind) {
    case SS_PICKLE_TENSOR: return add_tensor(archive, state, path, value->as.tensor);
    case SS_PICKLE_DICTIONARY: return list(archive, state, value, path, used, depth + 1);
    case SS_PICKLE_NONE:
    case SS_PICKLE_BOOLEAN:
    case SS_PICKLE_INTEGER:
    case SS_PICKLE_REAL:
    case SS_PICKLE_TEXT: return SS_OK;
    case SS_PICKLE_LIST:
    case SS_PICKLE_TUPLE:
    case SS_PICKLE_CLASS:
    case SS_PICKLE_STORAGE:
    case SS_PICKLE_OPAQUE: break;
    }
    /* What modules keep beside their tensors (torch.nn.Module.get_extra_state). */
    if (ends_with(path, "_extra_state")) return SS_OK;
    return ss_archive_fail(archive, "state dict: %s is %s: expected a dense tensor of floats or integers",
                           quoted, ss_pickle_kind_text(value));
}

static ss_status list(ss_archive *archive, ss_torch_state *state, ss_pickle_value *dictionary, char *path,
                      size_t used, int depth)
{
    ss_status status = SS_OK;
    char      quoted[SS_QUOTE_TEXT];
    size_t    length = 0;
    path[used] = '\0';
    if (dictionary->seen || depth > SS_DEEPEST)
        SS_TRY(
            ss_archive_fail(archive, "state dict: %s %s", ss_quote(path, quoted),
                            dictionary->seen ? "stands twice or contains itself" : "is nested too deeply"));
    dictionary->seen = true;
    for (int64_t i = 0; i + 1 < dictionary->as.list.count; i += 2) {
        path[used] = '\0';
        SS_TRY(join(archive, path, used, dictionary->as.list.items[i], &length));
        SS_TRY(list_value(archive, state, dictionary->as.list.items[i + 1], path, length, depth));
    }
fail:
    return status;
}

/* ---- Names ------------------------------------------------------------------------------------------------
 */

/* Takes `part` out of the name wherever a component begins; true if it was there. */
static bool take_out(char *name, const char *part)
{
    size_t length = strlen(part);
    bool   found = false;
    for (char *p = name; (p = strstr(p, part)) != NULL;) {
        if (p == name || p[-1] == '.') {
            memmove(p, p + length, strlen(p + length) + 1);
            found = true;
        } else {
            p++;
        }
    }
    return found;
}

static bool all_begin_with(const ss_torch_state *state, const char *prefix)
{
    for (int64_t i = 0; i < state->count; i++) {
        if (strncmp(state->tensors[i].name, prefix, strlen(prefix)) != 0) return false;
    }
    return state->count > 0;
}

/* Cleans the names and notes what was done: "weights under 'model', '_orig_mod.' stripped". */
static ss_status clean(ss_archive *archive, ss_torch_state *state, const char *key)
{
    static const char compiled[] = "_orig_mod.", parallel[] = "module.";
    bool              was_compiled = false, was_parallel = false;
    for (int64_t i = 0; i < state->count; i++)
        if (take_out(state->tensors[i].name, compiled)) was_compiled = true;
    while (all_begin_with(state, parallel)) {
        was_parallel = true;
        for (int64_t i = 0; i < state->count; i++) {
            char *name = state->tensors[i].name;
            memmove(name, name + strlen(parallel), strlen(name + strlen(parallel)) + 1);
        }
    }
    return ss_format(archive->context, &archive->note, "%s%s%s%s%s", key[0] != '\0' ? "weights under '" : "",
                     key[0] != '\0' ? key : "state dict", key[0] != '\0' ? "'" : "",
                     was_compiled ? ", '_orig_mod.' stripped" : "",
                     was_parallel ? ", 'module.' stripped" : "");
}

/* ---- What else the checkpoint says ------------------------------------------------------------------------
 */

typedef struct scalars {
    ss_archive *archive;
    int64_t     count; /* values kept so far */
    int64_t     text;  /* bytes of keys and strings so far */
} scalars;

static ss_status no_memory(const scalars *s)
{
    return ss_fail(s->archive->context, SS_ERROR_MEMORY, "%s: no memory for what stands beside the weights",
                   s->archive->path);
}

static ss_status to_json(scalars *s, ss_pickle_value *value, int depth, json_t **json);

static ss_status list_to_json(scalars *s, ss_pickle_value *value, int depth, json_t **json)
{
    ss_status status = SS_OK;
    json_t   *element = NULL;
    if ((*json = json_array()) == NULL) return no_memory(s);
    for (int64_t i = 0; i < value->as.list.count; i++) {
        SS_TRY(to_json(s, value->as.list.items[i], depth + 1, &element));
        if (json_array_append_new(*json, element != NULL ? element : json_null()) != 0) SS_TRY(no_memory(s));
    }
fail:
    return status;
}

/* May this string be kept? One string may stand in many places. */
static bool keeps_text(scalars *s, const ss_pickle_value *value)
{
    s->text += value->as.text.length;
    return s->text <= SS_MOST_TEXT &&
           memchr(value->as.text.bytes, '\0', (size_t)value->as.text.length) == NULL;
}

static bool is_training(const ss_pickle_value *key)
{
    for (size_t i = 0; i < SS_COUNT(training); i++) {
        if (key->as.text.length >= (int64_t)strlen(training[i]) &&
            memcmp(key->as.text.bytes, training[i], strlen(training[i])) == 0)
            return true;
    }
    return false;
}

static ss_status dictionary_to_json(scalars *s, ss_pickle_value *value, int depth, json_t **json)
{
    ss_status status = SS_OK;
    json_t   *member = NULL;
    if ((*json = json_object()) == NULL) return no_memory(s);
    for (int64_t i = 0; i + 1 < value->as.list.count; i += 2) {
        const ss_pickle_value *key = value->as.list.items[i];
        if (key->kind != SS_PICKLE_TEXT || !keeps_text(s, key) || (depth == 0 && is_training(key))) continue;
        SS_TRY(to_json(s, value->as.list.items[i + 1], depth + 1, &member));
        /* A key that is no UTF-8 is left out. */
        if (member != NULL) (void)json_object_set_new(*json, key->as.text.bytes, member);
    }
fail:
    return status;
}

/* The value as JSON; NULL for what JSON cannot hold or nobody needs: tensors, what was already walked over
 * (the weights, a value that contains itself), long lists, NaN, text that is no UTF-8. */
static ss_status to_json(scalars *s, ss_pickle_value *value, int depth, json_t **json)
{
    bool container = value->kind == SS_PICKLE_DICTIONARY || value->kind == SS_PICKLE_LIST ||
                     value->kind == SS_PICKLE_TUPLE;
    *json = NULL;
    if (++s->count > SS_MOST_SCALARS) return SS_OK;
    if (container) {
        if (value->seen || depth > SS_DEEPEST) return SS_OK;
        value->seen = true;
        if (value->kind == SS_PICKLE_DICTIONARY) return dictionary_to_json(s, value, depth, json);
        return value->as.list.count <= SS_LONGEST_LIST ? list_to_json(s, value, depth, json) : SS_OK;
    }
    switch (value->kind) {
    case SS_PICKLE_NONE: *json = json_null(); break;
    case SS_PICKLE_BOOLEAN: *json = json_boolean(value->as.integer != 0); break;
    case SS_PICKLE_INTEGER: *json = json_integer(value->as.integer); break;
    case SS_PICKLE_REAL: *json = json_real(value->as.real); break;
    case SS_PICKLE_TEXT:
        if (keeps_text(s, value)) *json = json_stringn(value->as.text.bytes, (size_t)value->as.text.length);
        break;
    default: break;
    }
    return SS_OK;
}

static ss_status keep_scalars(ss_archive *archive, ss_pickle_value *root)
{
    ss_status status = SS_OK;
    scalars   s = { .archive = archive };
    json_t   *json = NULL;
    SS_TRY(to_json(&s, root, 0, &json));
    if (json == NULL || json_object_size(json) == 0) goto fail;
    SS_TRY(ss_json_dump(archive->context, archive->path, json, JSON_COMPACT, &archive->scalars, NULL));
fail:
    json_decref(json);
    return status;
}

/* ---- The whole --------------------------------------------------------------------------------------------
 */

ss_status ss_torch_choose(ss_archive *archive, ss_pickle_value *root, ss_torch_state *state)
{
    ss_status        status = SS_OK;
    ss_pickle_value *weights = NULL;
    const char      *key = NULL;
    char             path[SS_TENSOR_NAME];
    SS_TRY(choose(archive, root, &weights, &key));
    SS_TRY(list(archive, state, weights, path, 0, 0));
    SS_TRY(clean(archive, state, key));
    if (weights != root) SS_TRY(keep_scalars(archive, root));
fail:
    return status;
}

void ss_torch_release(ss_archive *archive, ss_torch_state *state)
{
    for (int64_t i = 0; i < state->count; i++) ss_free(archive->context, state->tensors[i].name);
    ss_free(archive->context, state->tensors);
    *state = (ss_torch_state){ .count = 0 };
}
