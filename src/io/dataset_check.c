/* Data sets: what is checked when one is opened, and its labels. */
#include "io/dataset_private.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Checks -----------------------------------------------------------------------------------------------
 */

ss_status ss_dataset_check_options(ss_context *context, const ss_dataset_options *options)
{
    if (!isfinite(options->scale) || options->scale == 0.0 || !isfinite(options->shift))
        return ss_fail(context, SS_ERROR_USAGE,
                       "scale and shift of the inputs must be finite and the scale not 0, found %g and %g",
                       options->scale, options->shift);
    if (options->samples < 0)
        return ss_fail(context, SS_ERROR_USAGE, "the number of samples must not be negative, found %lld",
                       (long long)options->samples);
    if ((options->inputs == NULL) != (options->targets == NULL))
        return ss_fail(context, SS_ERROR_USAGE, "name both arrays, inputs and targets, or none");
    if (options->sequence_length < 0 || options->stride < 0)
        return ss_fail(context, SS_ERROR_USAGE,
                       "sequence length and stride must be positive, found %lld and %lld",
                       (long long)options->sequence_length, (long long)options->stride);
    if (options->token_type_given && options->token_type != SS_U16 && options->token_type != SS_U32 &&
        options->token_type != SS_I32 && options->token_type != SS_I64)
        return ss_fail(context, SS_ERROR_USAGE, "token ids are U16, U32, I32 or I64");
    return SS_OK;
}

/* Rows and row length of x (0) or y (1). */
static ss_status check_shape(ss_dataset *dataset, int which)
{
    const ss_array *array = &dataset->arrays[which];
    ss_context     *context = dataset->context;
    char            name[SS_QUOTE_TEXT], shape[SS_SHAPE_TEXT];
    int64_t         length = 1;
    ss_quote(array->name, name);
    if (array->rank < 1 || array->rank > SS_MAX_RANK)
        return ss_fail(context, SS_ERROR_INPUT,
                       "%s: array %s: expected 1 to %d dimensions, one row per sample, found %d",
                       dataset->path, name, SS_MAX_RANK, array->rank);
    ss_shape_text(array->rank, array->shape, shape);
    for (int32_t i = 0; i < array->rank; i++) {
        if (array->shape[i] < 1)
            return ss_fail(context, SS_ERROR_INPUT, "%s: array %s of shape %s holds no %s", dataset->path,
                           name, shape, i == 0 ? "samples" : "elements");
        if (!ss_mul64(length, array->shape[i], &length))
            return ss_fail(context, SS_ERROR_INPUT, "%s: array %s: shape %s overflows", dataset->path, name,
                           shape);
    }
    dataset->length[which] = length / array->shape[0];
    return SS_OK;
}

static ss_status check_inputs(ss_dataset *dataset, const ss_dataset_options *options)
{
    const ss_array *x = &dataset->arrays[0];
    char            name[SS_QUOTE_TEXT];
    if (ss_dataset_is_tokens(dataset)) {
        if (ss_type_is_float(x->type) || x->type == SS_BOOL)
            return ss_fail(dataset->context, SS_ERROR_INPUT,
                           "%s: array %s: expected integers, which token ids are, found type %s",
                           dataset->path, ss_quote(x->name, name), ss_type_name(x->type));
        if (options->scale_given)
            return ss_fail(dataset->context, SS_ERROR_INPUT, "%s: array %s: token ids are never scaled",
                           dataset->path, ss_quote(x->name, name));
        return SS_OK;
    }
    if (x->type == SS_U8 && !options->scale_given)
        return ss_fail(dataset->context, SS_ERROR_INPUT,
                       "%s: array %s has type U8: state what the network sees, for example --scale 1/255, or "
                       "--scale 1 for the bytes as they are",
                       dataset->path, ss_quote(x->name, name));
    return SS_OK;
}

/* ---- Token ids --------------------------------------------------------------------------------------------
 */

ss_status ss_dataset_check_ids(ss_context *context, const ss_dataset *dataset, const ss_array *array,
                               int64_t limit)
{
    char    name[SS_QUOTE_TEXT], place[SS_SHAPE_TEXT];
    int64_t count = 1;
    for (int32_t d = 0; d < array->rank; d++) count *= array->shape[d];
    for (int64_t i = 0; i < count; i++) {
        int64_t id = ss_array_integer(array, i);
        if (id >= 0 && id < limit) continue;
        if (limit == INT64_MAX)
            return ss_fail(context, SS_ERROR_INPUT, "%s: array %s: id %lld at %s is negative%s",
                           dataset->path, ss_quote(array->name, name), (long long)id,
                           ss_index_text(array, i, place), array->type == SS_U64 ? " or beyond 63 bits" : "");
        return ss_fail(context, SS_ERROR_INPUT,
                       "%s: array %s: id %lld at %s: expected one between 0 and %lld", dataset->path,
                       ss_quote(array->name, name), (long long)id, ss_index_text(array, i, place),
                       (long long)limit - 1);
    }
    return SS_OK;
}

/* What goes with input_ids has its shape; masks are 0 and 1 and leave something in every row. */
static ss_status check_companion(ss_dataset *dataset, const ss_array *array, bool mask)
{
    ss_status       status = SS_OK;
    ss_context     *context = dataset->context;
    const ss_array *x = &dataset->arrays[0];
    char            name[SS_QUOTE_TEXT], found[SS_SHAPE_TEXT], expected[SS_SHAPE_TEXT];
    bool            same = array->rank == x->rank;
    for (int32_t d = 0; same && d < x->rank; d++) same = array->shape[d] == x->shape[d];
    ss_quote(array->name, name);
    if (!same || ss_type_is_float(array->type))
        SS_FAIL(context, SS_ERROR_INPUT,
                "%s: array %s: expected integers of shape %s, as 'input_ids', found %s %s", dataset->path,
                name, ss_shape_text(x->rank, x->shape, expected), ss_type_name(array->type),
                ss_shape_text(array->rank, array->shape, found));
    SS_TRY(ss_dataset_check_ids(context, dataset, array, mask ? 2 : INT64_MAX));
    for (int64_t i = 0; mask && i < x->shape[0]; i++) {
        int64_t attended = 0;
        for (int64_t t = 0; t < dataset->length[0]; t++)
            attended += ss_array_integer(array, i * dataset->length[0] + t);
        if (attended == 0)
            SS_FAIL(context, SS_ERROR_INPUT, "%s: array %s: sample %lld attends to nothing", dataset->path,
                    name, (long long)i);
        if (attended < dataset->length[0] && dataset->no_targets)
            SS_FAIL(
                context, SS_ERROR_INPUT,
                "%s: array %s masks tokens, and there are no labels: give labels, with %d where a token does "
                "not count",
                dataset->path, name, SS_IGNORED_LABEL);
    }
fail:
    return status;
}

static ss_status check_tokens(ss_dataset *dataset)
{
    static const char *const companions[] = { SS_COMPANIONS };
    ss_status                status = SS_OK;
    if (!ss_dataset_is_tokens(dataset)) return SS_OK;
    SS_TRY(ss_dataset_check_ids(dataset->context, dataset, &dataset->arrays[0], INT64_MAX));
    for (int64_t i = 2; i < dataset->n_arrays; i++) {
        for (size_t j = 0; j < sizeof companions / sizeof companions[0]; j++)
            if (strcmp(dataset->arrays[i].name, companions[j]) == 0)
                SS_TRY(check_companion(dataset, &dataset->arrays[i], j == 0));
    }
fail:
    return status;
}

ss_status ss_dataset_check(ss_dataset *dataset, const ss_dataset_options *options)
{
    ss_status       status = SS_OK;
    const ss_array *x = &dataset->arrays[0], *y = &dataset->arrays[1];
    char            inputs[SS_QUOTE_TEXT], targets[SS_QUOTE_TEXT];
    SS_TRY(check_shape(dataset, 0));
    if (!dataset->no_targets) SS_TRY(check_shape(dataset, 1));
    if (x->shape[0] != y->shape[0])
        SS_FAIL(dataset->context, SS_ERROR_INPUT, "%s: array %s has %lld samples, array %s has %lld",
                dataset->path, ss_quote(x->name, inputs), (long long)x->shape[0], ss_quote(y->name, targets),
                (long long)y->shape[0]);
    dataset->in_file = x->shape[0];
    if (options->samples > dataset->in_file)
        SS_FAIL(dataset->context, SS_ERROR_INPUT, "%s: %lld samples are asked for, array %s has %lld",
                dataset->path, (long long)options->samples, ss_quote(x->name, inputs),
                (long long)dataset->in_file);
    SS_TRY(check_inputs(dataset, options));
    for (int64_t i = 0; i < dataset->n_arrays; i++)
        SS_TRY(ss_array_require_finite(dataset->context, dataset->path, &dataset->arrays[i]));
    SS_TRY(check_tokens(dataset));
fail:
    return status;
}

/* ---- Labels -----------------------------------------------------------------------------------------------
 */

/* The empty array that stands where targets would is one of integers. */
bool ss_dataset_has_labels(const ss_dataset *dataset)
{
    return !ss_type_is_float(dataset->arrays[1].type);
}

int64_t ss_dataset_counted(const ss_dataset *dataset, int64_t sample)
{
    int64_t length = dataset->length[1], counted = 0;
    if (dataset->no_targets) return dataset->length[0] - 1;
    if (!ss_dataset_has_labels(dataset)) return length;
    for (int64_t i = 0; i < length; i++)
        counted += ss_array_integer(&dataset->arrays[1], sample * length + i) != SS_IGNORED_LABEL;
    return counted;
}

ss_status ss_dataset_check_labels(ss_context *context, const ss_dataset *dataset, int64_t classes,
                                  int64_t ignored)
{
    const ss_array *y = &dataset->arrays[1];
    char            name[SS_QUOTE_TEXT], place[SS_SHAPE_TEXT];
    int64_t         counted = 0, count = dataset->samples * dataset->length[1];
    if (dataset->no_targets) return ss_dataset_check_ids(context, dataset, &dataset->arrays[0], classes);
    ss_quote(y->name, name);
    if (!ss_dataset_has_labels(dataset))
        return ss_fail(context, SS_ERROR_INPUT, "%s: array %s: expected integer class ids, found type %s",
                       dataset->path, name, ss_type_name(y->type));
    for (int64_t i = 0; i < count; i++) {
        int64_t label = ss_array_integer(y, i);
        if (label == ignored) continue;
        counted++;
        if (label >= 0 && label < classes) continue;
        return ss_fail(context, SS_ERROR_INPUT,
                       "%s: array %s: label %lld at %s: expected a class id between 0 and %lld (or %lld, not "
                       "counted)",
                       dataset->path, name, (long long)label, ss_index_text(y, i, place),
                       (long long)classes - 1, (long long)ignored);
    }
    if (counted == 0)
        return ss_fail(context, SS_ERROR_INPUT, "%s: array %s: no label counts, all are %lld", dataset->path,
                       name, (long long)ignored);
    return SS_OK;
}
