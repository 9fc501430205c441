/* Data sets: finding inputs and targets in files, choosing rows, looking at them; see saddlescope/dataset.h.
 */
#define _POSIX_C_SOURCE 200809L
#include "io/dataset_private.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Names under which inputs and targets are known. */
#define SS_PAIR_TABLE(row)                                                                                   \
    row("x", "y") row("inputs", "targets") row("images", "labels") row("pixel_values", "labels")             \
        row("input_ids", "labels") row("data", "target")

static const struct {
    const char *inputs, *targets;
} pairs[] = {
#define SS_PAIR_ROW(inputs, targets) { inputs, targets },
    SS_PAIR_TABLE(SS_PAIR_ROW)
#undef SS_PAIR_ROW
};

static const char pair_names[] =
#define SS_PAIR_ROW(inputs, targets) inputs " and " targets "; "
    SS_PAIR_TABLE(SS_PAIR_ROW)
#undef SS_PAIR_ROW
    ;

/* Arrays that change the meaning of the inputs: never dropped because their length is wrong. */
static const char *const companions[] = { SS_COMPANIONS };

/* Names of an array that may be token ids; "" is the single array of .npy and of raw files. */
static const char *const token_names[] = { "", "input_ids", "tokens" };

#define SS_COUNT(array) (sizeof(array) / sizeof((array)[0]))

void ss_dataset_options_init(ss_dataset_options *options)
{
    *options = (ss_dataset_options){ .scale = 1.0 };
}

/* ---- Finding the arrays -----------------------------------------------------------------------------------
 */

/* Appends an array under a name of our own; `name` stands in when it has none. */
static ss_status add_array(ss_dataset *dataset, const ss_array *array, const char *name)
{
    ss_status status = SS_OK;
    char     *copy = NULL;
    SS_TRY(ss_reallocate(dataset->context, dataset->n_arrays + 1, sizeof *dataset->arrays,
                         (void **)&dataset->arrays));
    SS_TRY(ss_copy_string(dataset->context,
                          array->name != NULL && array->name[0] != '\0' ? array->name : name, &copy));
    dataset->arrays[dataset->n_arrays] = *array;
    dataset->arrays[dataset->n_arrays++].name = copy;
fail:
    return status;
}

/* The empty array that stands where targets would. */
static ss_status add_no_targets(ss_dataset *dataset)
{
    ss_array none = { .name = "", .type = SS_I64, .rank = 2, .data = "" };
    none.shape[0] = dataset->arrays[0].rank > 0 ? dataset->arrays[0].shape[0] : 0;
    dataset->no_targets = true;
    return add_array(dataset, &none, "");
}

#define SS_NAMES_LISTED 8

/* The names in an archive, for a message. */
static void list_names(const ss_archive *archive, char *text, size_t bytes)
{
    size_t used = 0;
    char   name[SS_QUOTE_TEXT];
    snprintf(text, bytes, "nothing");
    int64_t count = ss_archive_count(archive);
    for (int64_t i = 0; i < ss_min64(count, SS_NAMES_LISTED) && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", i == 0 ? "" : ", ",
                                 ss_quote(ss_archive_at(archive, i)->name, name));
    if (count > SS_NAMES_LISTED && used < bytes)
        snprintf(text + used, bytes - used, " and %lld more", (long long)(count - SS_NAMES_LISTED));
}

/* The one array of a file that holds nothing else, if it may be token ids; NULL otherwise. */
static const ss_array *find_tokens(const ss_archive *file, const ss_dataset_options *options)
{
    const ss_array *array = ss_archive_count(file) == 1 ? ss_archive_at(file, 0) : NULL;
    if (array == NULL || options->inputs != NULL) return NULL;
    if (options->sequence_length == 0 && array->type == SS_U8) return NULL; /* more likely an image */
    if (options->sequence_length == 0 && (ss_type_is_float(array->type) || array->type == SS_BOOL))
        return NULL;
    for (size_t i = 0; i < SS_COUNT(token_names); i++)
        if (strcmp(array->name, token_names[i]) == 0) return array;
    return NULL;
}

/* Token ids without targets: a stream is cut, rows are taken as they are. */
static ss_status take_tokens(ss_dataset *dataset, const ss_dataset_options *options, const ss_array *array)
{
    ss_status status = SS_OK;
    ss_array  sequences = *array;
    char      shape[SS_SHAPE_TEXT];
    if (ss_type_is_float(array->type) || array->type == SS_BOOL || array->rank < 1 || array->rank > 2)
        SS_FAIL(dataset->context, SS_ERROR_INPUT,
                "%s: expected token ids, integers [n] or [N, T], found %s of shape %s", dataset->path,
                ss_type_name(array->type), ss_shape_text(array->rank, array->shape, shape));
    if (array->rank == 1) {
        SS_TRY(ss_tokens_cut(dataset->files[0], array, options, &sequences));
        dataset->stream = array->shape[0];
        dataset->stride = options->stride > 0 ? options->stride : options->sequence_length;
    }
    sequences.name = "input_ids";
    SS_TRY(add_array(dataset, &sequences, ""));
    SS_TRY(add_no_targets(dataset));
fail:
    return status;
}

/* --sequence-length and --stride must mean something: rows that are there already have their length. */
static ss_status check_sequences(const ss_dataset *dataset, const ss_dataset_options *options)
{
    const ss_array *x = &dataset->arrays[0];
    char            name[SS_QUOTE_TEXT], shape[SS_SHAPE_TEXT];
    if (dataset->stream > 0 || (options->sequence_length == 0 && options->stride == 0)) return SS_OK;
    if (!ss_dataset_is_tokens(dataset))
        return ss_fail(dataset->context, SS_ERROR_INPUT,
                       "%s: array %s: --sequence-length and --stride cut token ids, which these are not",
                       dataset->path, ss_quote(x->name, name));
    if (options->stride != 0 || x->rank != 2 || x->shape[1] != options->sequence_length)
        return ss_fail(
            dataset->context, SS_ERROR_INPUT,
            "%s: array %s of shape %s is cut into sequences already: --sequence-length must be their "
            "length, and --stride does not apply",
            dataset->path, ss_quote(x->name, name), ss_shape_text(x->rank, x->shape, shape));
    return SS_OK;
}

/* Chooses inputs and targets of one archive by the stated or the known names; targets stay NULL when there
 * are token ids alone. */
static ss_status find_pair(ss_dataset *dataset, const ss_dataset_options *options, const ss_array *pair[2])
{
    const ss_archive *file = dataset->files[0];
    char              names[1400];
    int               matches = 0, match = 0;
    list_names(file, names, sizeof names);
    if (options->inputs != NULL) {
        pair[0] = ss_archive_find(file, options->inputs);
        pair[1] = ss_archive_find(file, options->targets);
        if (pair[0] != NULL && pair[1] != NULL) return SS_OK;
        return ss_fail(dataset->context, SS_ERROR_INPUT, "%s: expected an array '%s', found %s",
                       dataset->path, pair[0] == NULL ? options->inputs : options->targets, names);
    }
    for (int i = 0; i < (int)SS_COUNT(pairs); i++) {
        const ss_array *inputs = ss_archive_find(file, pairs[i].inputs);
        const ss_array *targets = ss_archive_find(file, pairs[i].targets);
        if (inputs == NULL || targets == NULL) continue;
        if (++matches > 1)
            return ss_fail(dataset->context, SS_ERROR_INPUT,
                           "%s: holds '%s' and '%s', but '%s' and '%s' too: which are meant?", dataset->path,
                           pairs[match].inputs, pairs[match].targets, pairs[i].inputs, pairs[i].targets);
        match = i;
        pair[0] = inputs;
        pair[1] = targets;
    }
    if (matches == 1) return SS_OK;
    if ((pair[0] = ss_archive_find(file, "input_ids")) != NULL) return SS_OK;
    if (ss_archive_count(file) == 1 && ss_archive_at(file, 0)->name[0] == '\0')
        return ss_fail(dataset->context, SS_ERROR_INPUT,
                       "%s: holds one array: give inputs and targets as two files with a comma between them "
                       "(token ids are integers)",
                       dataset->path);
    return ss_fail(dataset->context, SS_ERROR_INPUT, "%s: expected arrays named %sfound %s", dataset->path,
                   pair_names, names);
}

/* The other arrays with one row per sample. */
static ss_status add_others(ss_dataset *dataset, const ss_array *const pair[2])
{
    ss_status         status = SS_OK;
    const ss_archive *file = dataset->files[0];
    char              name[SS_QUOTE_TEXT], shape[SS_SHAPE_TEXT];
    int64_t           samples = pair[0]->rank > 0 ? pair[0]->shape[0] : 0;
    for (int64_t i = 0; i < ss_archive_count(file); i++) {
        const ss_array *array = ss_archive_at(file, i);
        if (array == pair[0] || array == pair[1]) continue;
        if (array->rank > 0 && array->shape[0] == samples) {
            SS_TRY(add_array(dataset, array, ""));
            continue;
        }
        for (size_t j = 0; j < SS_COUNT(companions); j++) {
            if (strcmp(array->name, companions[j]) == 0)
                SS_FAIL(dataset->context, SS_ERROR_INPUT,
                        "%s: array '%s': expected %lld rows, found shape %s", dataset->path, companions[j],
                        (long long)samples, ss_shape_text(array->rank, array->shape, shape));
        }
        ss_log(dataset->context, SS_LOG_WARNING, "%s: array %s of shape %s is not used", dataset->path,
               ss_quote(array->name, name), ss_shape_text(array->rank, array->shape, shape));
    }
fail:
    return status;
}

static ss_status find_arrays(ss_dataset *dataset, const ss_dataset_options *options)
{
    ss_status       status = SS_OK;
    const ss_array *pair[2] = { NULL, NULL }, *tokens = NULL;
    if (dataset->files[1] == NULL) {
        if ((tokens = find_tokens(dataset->files[0], options)) != NULL) {
            SS_TRY(take_tokens(dataset, options, tokens));
            return check_sequences(dataset, options);
        }
        SS_TRY(find_pair(dataset, options, pair));
    } else {
        for (int i = 0; i < SS_DATASET_FILES; i++) {
            if (ss_archive_count(dataset->files[i]) != 1)
                SS_FAIL(dataset->context, SS_ERROR_INPUT,
                        "%s: of two files each must hold one array, this one holds %lld",
                        ss_archive_path(dataset->files[i]), (long long)ss_archive_count(dataset->files[i]));
            pair[i] = ss_archive_at(dataset->files[i], 0);
        }
    }
    SS_TRY(add_array(dataset, pair[0], "x"));
    SS_TRY(pair[1] != NULL ? add_array(dataset, pair[1], "y") : add_no_targets(dataset));
    if (dataset->files[1] == NULL) SS_TRY(add_others(dataset, pair));
    SS_TRY(check_sequences(dataset, options));
fail:
    return status;
}

/* ---- Choosing rows ----------------------------------------------------------------------------------------
 */

/* Copies the chosen rows of one array, which then has only them. */
static ss_status gather(ss_dataset *dataset, int64_t number)
{
    ss_status   status = SS_OK;
    ss_array   *array = &dataset->arrays[number];
    int64_t     count = 0;
    const char *source = array->data;
    SS_TRY(ss_shape_count(dataset->context, array->rank, array->shape, &count));
    int64_t row = count / dataset->in_file * (int64_t)ss_type_size(array->type);
    SS_TRY(ss_allocate(dataset->context, dataset->samples, (size_t)row, &dataset->rows[number]));
    char *target = dataset->rows[number];
    for (int64_t i = 0; i < dataset->samples && row > 0; i++)
        memcpy(target + i * row, source + dataset->chosen[i] * row, (size_t)row);
    array->data = target;
    array->shape[0] = dataset->samples;
fail:
    return status;
}

static ss_status choose(ss_dataset *dataset, const ss_dataset_options *options)
{
    ss_status status = SS_OK;
    dataset->samples = dataset->in_file;
    if (options->samples == 0 || options->samples == dataset->in_file) return SS_OK;
    dataset->samples = options->samples;
    SS_TRY(SS_NEW_ARRAY(dataset->context, dataset->samples, &dataset->chosen));
    SS_TRY(ss_dataset_select(dataset->context, dataset->in_file, dataset->samples, options->sample_seed,
                             dataset->chosen));
    SS_TRY(SS_NEW_ARRAY(dataset->context, dataset->n_arrays, &dataset->rows));
    for (int64_t i = 0; i < dataset->n_arrays; i++) SS_TRY(gather(dataset, i));
fail:
    return status;
}

/* ---- Opening and closing ----------------------------------------------------------------------------------
 */

static ss_status create(ss_context *context, const char *path, const ss_dataset_options *options,
                        ss_dataset **dataset)
{
    ss_status status = SS_OK;
    SS_TRY(ss_dataset_check_options(context, options));
    SS_TRY(SS_NEW(context, dataset));
    (*dataset)->context = context;
    (*dataset)->scale = options->scale;
    (*dataset)->shift = options->shift;
    SS_TRY(ss_copy_string(context, path, &(*dataset)->path));
fail:
    return status;
}

static ss_status finish(ss_dataset *dataset, const ss_dataset_options *options)
{
    ss_status status = SS_OK;
    SS_TRY(ss_dataset_check(dataset, options));
    SS_TRY(choose(dataset, options));
    SS_TRY(ss_dataset_describe(dataset, options));
fail:
    return status;
}

ss_status ss_dataset_from_archives(ss_context *context, const char *path, ss_archive *inputs,
                                   ss_archive *targets, const ss_dataset_options *options,
                                   ss_dataset **dataset)
{
    ss_status   status = SS_OK;
    ss_dataset *made = NULL;
    *dataset = NULL;
    SS_TRY(create(context, path, options, &made));
    made->files[0] = inputs;
    made->files[1] = targets;
    inputs = targets = NULL;
    SS_TRY(find_arrays(made, options));
    SS_TRY(finish(made, options));
    *dataset = made;
    made = NULL;
fail:
    ss_dataset_close(made);
    ss_archive_close(inputs);
    ss_archive_close(targets);
    return status;
}

ss_status ss_dataset_from_arrays(ss_context *context, const ss_array *x, const ss_array *y,
                                 const ss_dataset_options *options, ss_dataset **dataset)
{
    ss_status          status = SS_OK;
    ss_dataset        *made = NULL;
    ss_dataset_options standard;
    *dataset = NULL;
    ss_dataset_options_init(&standard);
    if (options == NULL) options = &standard;
    SS_TRY(create(context, "data", options, &made));
    SS_TRY(add_array(made, x, y != NULL ? "x" : "input_ids"));
    SS_TRY(y != NULL ? add_array(made, y, "y") : add_no_targets(made));
    SS_TRY(check_sequences(made, options));
    SS_TRY(finish(made, options));
    *dataset = made;
    made = NULL;
fail:
    ss_dataset_close(made);
    return status;
}

/* The comma between two files, NULL if the path means one: a file whose own name has a comma goes first, and
 * of several commas the first behind the name of a file. */
static char *find_comma(char *path)
{
    if (access(path, F_OK) == 0) return NULL;
    char *first = strchr(path, ',');
    for (char *comma = first; comma != NULL; comma = strchr(comma + 1, ',')) {
        *comma = '\0';
        bool exists = access(path, F_OK) == 0;
        *comma = ',';
        if (exists) return comma;
    }
    return first;
}

ss_status ss_dataset_open(ss_context *context, const char *path, const ss_dataset_options *options,
                          ss_dataset **dataset)
{
    ss_status          status = SS_OK;
    ss_archive        *inputs = NULL, *targets = NULL;
    char              *copy = NULL;
    bool               raw = false;
    ss_dataset_options standard;
    *dataset = NULL;
    ss_dataset_options_init(&standard);
    if (options == NULL) options = &standard;
    SS_TRY(ss_dataset_check_options(context, options));
    SS_TRY(ss_copy_string(context, path, &copy));
    char *comma = find_comma(copy);
    if (comma != NULL) *comma = '\0';
    if (comma == NULL) SS_TRY(ss_tokens_is_raw(context, copy, options, &raw));
    SS_TRY(raw ? ss_tokens_open(context, copy, options, &inputs) : ss_archive_open(context, copy, &inputs));
    if (comma != NULL) SS_TRY(ss_archive_open(context, comma + 1, &targets));
    status = ss_dataset_from_archives(context, path, inputs, targets, options, dataset);
    inputs = targets = NULL;
fail:
    ss_archive_close(inputs);
    ss_archive_close(targets);
    ss_free(context, copy);
    return status;
}

void ss_dataset_close(ss_dataset *dataset)
{
    if (dataset == NULL) return;
    ss_context *context = dataset->context;
    for (int64_t i = 0; i < dataset->n_arrays; i++) {
        ss_free(context, (void *)(uintptr_t)dataset->arrays[i].name);
        if (dataset->rows != NULL) ss_free(context, dataset->rows[i]);
    }
    for (int i = 0; i < SS_DATASET_FILES; i++) ss_archive_close(dataset->files[i]);
    ss_free(context, dataset->rows);
    ss_free(context, dataset->arrays);
    ss_free(context, dataset->chosen);
    ss_free(context, dataset->description);
    ss_free(context, dataset->path);
    ss_free(context, dataset);
}

/* ---- Looking at it ----------------------------------------------------------------------------------------
 */

int64_t ss_dataset_samples(const ss_dataset *dataset)
{
    return dataset->samples;
}

const ss_array *ss_dataset_inputs(const ss_dataset *dataset)
{
    return &dataset->arrays[0];
}

const ss_array *ss_dataset_targets(const ss_dataset *dataset)
{
    return dataset->no_targets ? NULL : &dataset->arrays[1];
}

bool ss_dataset_is_tokens(const ss_dataset *dataset)
{
    return dataset->no_targets || strcmp(dataset->arrays[0].name, "input_ids") == 0;
}

int64_t ss_dataset_largest_id(const ss_dataset *dataset)
{
    return dataset->largest_id;
}

int64_t ss_dataset_input_length(const ss_dataset *dataset)
{
    return dataset->length[0];
}

int64_t ss_dataset_target_length(const ss_dataset *dataset)
{
    return dataset->length[1];
}

double ss_dataset_scale(const ss_dataset *dataset)
{
    return dataset->scale;
}

double ss_dataset_shift(const ss_dataset *dataset)
{
    return dataset->shift;
}

const ss_array *ss_dataset_find(const ss_dataset *dataset, const char *name)
{
    for (int64_t i = 2; i < dataset->n_arrays; i++) {
        if (strcmp(dataset->arrays[i].name, name) == 0) return &dataset->arrays[i];
    }
    return NULL;
}

const char *ss_dataset_path(const ss_dataset *dataset)
{
    return dataset->path;
}

const char *ss_dataset_description(const ss_dataset *dataset)
{
    return dataset->description;
}

int64_t ss_dataset_samples_in_file(const ss_dataset *dataset)
{
    return dataset->in_file;
}

const int64_t *ss_dataset_chosen(const ss_dataset *dataset)
{
    return dataset->chosen;
}
