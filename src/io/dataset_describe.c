/* Data sets: the line that says what was understood. */
#include "io/dataset_private.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SS_PIECE       1024  /* elements converted at a time */
#define SS_MOST_LABELS 65536 /* class ids that are counted one by one */
#define SS_FIRST_IDS   8     /* token ids that are shown */

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

/* "ids 0..64, first 18 47 56 57"; notes the largest. */
static void describe_ids(ss_dataset *dataset, char *text, size_t bytes)
{
    const ss_array *x = &dataset->arrays[0];
    int64_t         count = dataset->samples * dataset->length[0], least = INT64_MAX, most = -1;
    for (int64_t i = 0; i < count; i++) {
        int64_t id = ss_array_integer(x, i);
        least = ss_min64(least, id);
        most = ss_max64(most, id);
    }
    int used = snprintf(text, bytes, "ids %lld..%lld, first", (long long)least, (long long)most);
    for (int64_t i = 0; i < ss_min64(dataset->length[0], SS_FIRST_IDS) && used > 0 && (size_t)used < bytes;
         i++)
        used += snprintf(text + used, bytes - (size_t)used, " %lld", (long long)ss_array_integer(x, i));
    if (dataset->stream > 0 && used > 0 && (size_t)used < bytes) {
        int64_t taken = (dataset->in_file - 1) * dataset->stride + dataset->length[0];
        snprintf(text + used, bytes - (size_t)used,
                 "; cut from %lld ids, a sequence every %lld, %lld left over", (long long)dataset->stream,
                 (long long)dataset->stride, (long long)(dataset->stream - taken));
    }
    dataset->largest_id = most;
}

ss_status ss_dataset_describe(ss_dataset *dataset, const ss_dataset_options *options)
{
    ss_status status = SS_OK;
    char      x[512], y[512], inputs[512], labels[160] = "", scaled[160] = "", chosen[96] = "";
    double    least = 0.0, most = 0.0;
    dataset->largest_id = -1;
    describe_array(&dataset->arrays[0], x, sizeof x);
    describe_array(&dataset->arrays[1], y, sizeof y);
    if (dataset->no_targets) {
        snprintf(y, sizeof y, "no labels: each id is predicted from those before it");
    } else if (ss_dataset_has_labels(dataset)) {
        SS_TRY(describe_labels(dataset, labels, sizeof labels));
    } else {
        find_range(&dataset->arrays[1], dataset->samples * dataset->length[1], &least, &most);
        snprintf(labels, sizeof labels, "range [%g, %g]", least, most);
    }
    if (ss_dataset_is_tokens(dataset)) {
        describe_ids(dataset, inputs, sizeof inputs);
    } else {
        find_range(&dataset->arrays[0], dataset->samples * dataset->length[0], &least, &most);
        snprintf(inputs, sizeof inputs, "range [%g, %g]", least, most);
    }
    if (dataset->scale != 1.0 || dataset->shift != 0.0) {
        double a = dataset->scale * least + dataset->shift, b = dataset->scale * most + dataset->shift;
        snprintf(scaled, sizeof scaled, " times %g plus %g: [%g, %g]", dataset->scale, dataset->shift,
                 fmin(a, b), fmax(a, b));
    }
    if (dataset->chosen != NULL)
        snprintf(chosen, sizeof chosen, "; %lld of %lld samples, seed %llu", (long long)dataset->samples,
                 (long long)dataset->in_file, (unsigned long long)options->sample_seed);
    SS_TRY(ss_format(dataset->context, &dataset->description, "%s %s%s; %s%s%s%s", x, inputs, scaled, y,
                     labels[0] != '\0' ? ", " : "", labels, chosen));
fail:
    return status;
}
