/* Data sets: what is checked when one is opened, what is said about it, and its labels. */
#include "io/dataset_private.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SS_PIECE       1024  /* elements converted at a time */
#define SS_MOST_LABELS 65536 /* class ids that are counted one by one */

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
    if (x->type == SS_U8 && !options->scale_given)
        return ss_fail(dataset->context, SS_ERROR_INPUT,
                       "%s: array %s has type U8: state what the network sees, for example --scale 1/255, or "
                       "--scale 1 for the bytes as they are",
                       dataset->path, ss_quote(x->name, name));
    if (options->scale_given && strcmp(x->name, "input_ids") == 0)
        return ss_fail(dataset->context, SS_ERROR_INPUT, "%s: array 'input_ids': token ids are never scaled",
                       dataset->path);
    return SS_OK;
}

ss_status ss_dataset_check(ss_dataset *dataset, const ss_dataset_options *options)
{
    ss_status       status = SS_OK;
    const ss_array *x = &dataset->arrays[0], *y = &dataset->arrays[1];
    char            inputs[SS_QUOTE_TEXT], targets[SS_QUOTE_TEXT];
    SS_TRY(check_shape(dataset, 0));
    SS_TRY(check_shape(dataset, 1));
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
fail:
    return status;
}

/* ---- Labels -----------------------------------------------------------------------------------------------
 */

bool ss_dataset_has_labels(const ss_dataset *dataset)
{
    return !ss_type_is_float(dataset->arrays[1].type);
}

int64_t ss_dataset_counted(const ss_dataset *dataset, int64_t sample)
{
    int64_t length = dataset->length[1], counted = 0;
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

/* ---- Description ------------------------------------------------------------------------------------------
 */

static void find_range(const ss_array *array, int64_t count, double *least, double *most)
{
    double piece[SS_PIECE];
    *least = INFINITY;
    *most = -INFINITY;
    for (int64_t first = 0; first < count; first += SS_PIECE) {
        int64_t length = ss_min64(SS_PIECE, count - first);
        ss_array_convert(array, first, length, SS_FLOAT64, piece);
        for (int64_t i = 0; i < length; i++) {
            if (piece[i] < *least) *least = piece[i];
            if (piece[i] > *most) *most = piece[i];
        }
    }
}

/* "x F32 [1797, 64]" */
static void describe_array(const ss_array *array, char *text, size_t bytes)
{
    char name[SS_QUOTE_TEXT], shape[SS_SHAPE_TEXT];
    ss_quote(array->name, name);
    name[strlen(name) - 1] = '\0';
    snprintf(text, bytes, "%s %s %s", name + 1, ss_type_name(array->type),
             ss_shape_text(array->rank, array->shape, shape));
}

/* "10 classes 0..9, 12 of 640 not counted (-100)"; a range where labels are no small class ids. */
static ss_status describe_labels(const ss_dataset *dataset, char *text, size_t bytes)
{
    ss_status       status = SS_OK;
    const ss_array *y = &dataset->arrays[1];
    unsigned char  *seen = NULL;
    int64_t         count = dataset->samples * dataset->length[1], ignored = 0, classes = 0;
    int64_t         least = INT64_MAX, most = INT64_MIN;
    SS_TRY(SS_NEW_ARRAY(dataset->context, SS_MOST_LABELS, &seen));
    for (int64_t i = 0; i < count; i++) {
        int64_t label = ss_array_integer(y, i);
        if (label == SS_IGNORED_LABEL) {
            ignored++;
            continue;
        }
        least = ss_min64(least, label);
        most = ss_max64(most, label);
        if (label < 0 || label >= SS_MOST_LABELS) continue;
        classes += seen[label] == 0;
        seen[label] = 1;
    }
    int used = 0;
    if (ignored == count)
        used = snprintf(text, bytes, "no label counts");
    else if (least < 0 || most >= SS_MOST_LABELS)
        used = snprintf(text, bytes, "range [%lld, %lld]", (long long)least, (long long)most);
    else if (least == most)
        used = snprintf(text, bytes, "1 class, %lld", (long long)least);
    else
        used = snprintf(text, bytes, "%lld classes %s%lld..%lld", (long long)classes,
                        classes < most - least + 1 ? "within " : "", (long long)least, (long long)most);
    if (ignored > 0 && used > 0)
        snprintf(text + used, bytes - (size_t)used, ", %lld of %lld not counted (%d)", (long long)ignored,
                 (long long)count, SS_IGNORED_LABEL);
fail:
    ss_free(dataset->context, seen);
    return status;
}

ss_status ss_dataset_describe(ss_dataset *dataset, const ss_dataset_options *options)
{
    ss_status status = SS_OK;
    char      x[512], y[512], labels[160], scaled[160] = "", chosen[96] = "";
    double    least = 0.0, most = 0.0;
    describe_array(&dataset->arrays[0], x, sizeof x);
    describe_array(&dataset->arrays[1], y, sizeof y);
    if (ss_dataset_has_labels(dataset)) {
        SS_TRY(describe_labels(dataset, labels, sizeof labels));
    } else {
        find_range(&dataset->arrays[1], dataset->samples * dataset->length[1], &least, &most);
        snprintf(labels, sizeof labels, "range [%g, %g]", least, most);
    }
    find_range(&dataset->arrays[0], dataset->samples * dataset->length[0], &least, &most);
    if (dataset->scale != 1.0 || dataset->shift != 0.0) {
        double a = dataset->scale * least + dataset->shift, b = dataset->scale * most + dataset->shift;
        snprintf(scaled, sizeof scaled, " times %g plus %g: [%g, %g]", dataset->scale, dataset->shift,
                 fmin(a, b), fmax(a, b));
    }
    if (dataset->chosen != NULL)
        snprintf(chosen, sizeof chosen, "; %lld of %lld samples, seed %llu", (long long)dataset->samples,
                 (long long)dataset->in_file, (unsigned long long)options->sample_seed);
    SS_TRY(ss_format(dataset->context, &dataset->description, "%s range [%g, %g]%s; %s, %s%s", x, least, most,
                     scaled, y, labels, chosen));
fail:
    return status;
}
