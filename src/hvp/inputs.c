/* The inputs of the network, filled from the data set: real rows as they are stored, token ids, and what is
 * derived from them (masks, positions, patches). Checked once when the problem is made, written sample by
 * sample when a program loads them. */
#include "hvp/inputs.h"

#include "io/archive.h"

#include <string.h>

/* ---- Where they come from ---- */

/* The array of that name, be it the data set's inputs or one beside them. */
static const ss_array *find(const ss_dataset *dataset, const char *name)
{
    const ss_array *x = ss_dataset_inputs(dataset);
    return strcmp(x->name, name) == 0 ? x : ss_dataset_find(dataset, name);
}

const ss_array *ss_problem_token_ids(const ss_dataset *dataset)
{
    const ss_array *ids = find(dataset, "input_ids");
    return ids ? ids : ss_dataset_inputs(dataset);
}

/* The stored array behind an input; absent (data NULL) where it is made up. */
static ss_array stored_array(const ss_dataset *dataset, ss_source source)
{
    static const ss_array none = { 0 };
    const ss_array       *array = NULL;
    switch (source) {
    case SS_SOURCE_INPUT: array = ss_dataset_inputs(dataset); break;
    case SS_SOURCE_PATCHES:
        array = find(dataset, "pixel_values");
        if (!array) array = ss_dataset_inputs(dataset);
        break;
    case SS_SOURCE_TOKEN_IDS:
    case SS_SOURCE_POSITIONS_NOT_PADDED: array = ss_problem_token_ids(dataset); break;
    case SS_SOURCE_TOKEN_TYPES: array = find(dataset, "token_type_ids"); break;
    case SS_SOURCE_ATTENTION_MASK:
    case SS_SOURCE_POSITIONS_ATTENDED: array = find(dataset, "attention_mask"); break;
    case SS_SOURCE_POSITIONS: break;
    }
    return array ? *array : none;
}

static bool is_real(ss_source source)
{
    return source == SS_SOURCE_INPUT || source == SS_SOURCE_PATCHES;
}

/* ---- One sample ---- */

/* The rows of patches of an image [C, H, W], from left to right and from top to bottom, each [C, p, p]. */
static void fill_patches(const ss_problem_input *in, int64_t sample, char *to)
{
    int64_t     channels = in->array.shape[1], height = in->array.shape[2], width = in->array.shape[3];
    int64_t     p = in->parameter, size = (int64_t)ss_type_size(in->array.type);
    const char *image = (const char *)in->array.data + sample * channels * height * width * size;
    for (int64_t row = 0; row < height / p; row++)
        for (int64_t column = 0; column < width / p; column++)
            for (int64_t c = 0; c < channels; c++)
                for (int64_t y = 0; y < p; y++, to += p * size)
                    memcpy(to, image + ((c * height + row * p + y) * width + column * p) * size,
                           (size_t)(p * size));
}

static void fill_integers(const ss_problem_input *in, int64_t sample, int64_t *to)
{
    int64_t first = sample * in->count, seen = 0;
    for (int64_t t = 0; t < in->count; t++) {
        int64_t stored = in->array.data ? ss_array_integer(&in->array, first + t) : 0;
        switch (in->source) {
        case SS_SOURCE_ATTENTION_MASK: to[t] = in->array.data ? stored : 1; break;
        case SS_SOURCE_POSITIONS: to[t] = t + in->parameter; break;
        case SS_SOURCE_POSITIONS_ATTENDED:
            stored = in->array.data ? stored : 1;
            seen += stored;
            to[t] = seen * stored - 1 + in->parameter;
            break;
        case SS_SOURCE_POSITIONS_NOT_PADDED:
            seen += stored != in->parameter;
            to[t] = stored != in->parameter ? seen + in->parameter : in->parameter;
            break;
        default: to[t] = stored; /* ids and types */
        }
    }
}

void ss_problem_fill_input(const ss_problem_input *in, int64_t sample, void *to)
{
    if (!in->real)
        fill_integers(in, sample, to);
    else if (in->source == SS_SOURCE_PATCHES)
        fill_patches(in, sample, to);
    else
        memcpy(to, (const char *)in->array.data + sample * ss_problem_input_bytes(in),
               (size_t)ss_problem_input_bytes(in));
}

int64_t ss_problem_input_bytes(const ss_problem_input *in)
{
    return in->count * (in->real ? (int64_t)ss_type_size(in->array.type) : (int64_t)sizeof(int64_t));
}

/* ---- Checks ---- */

/* Elements per sample, and the shape where the ranks agree. */
static ss_status check_shape(const ss_problem *p, const ss_problem_input *in, int32_t rank,
                             const int64_t *shape)
{
    const ss_array *x = &in->array;
    int64_t         found = 1, expected = 1;
    bool            fits = x->rank >= 1 && x->shape[0] == p->samples;
    char            have[SS_SHAPE_TEXT], want[SS_SHAPE_TEXT];
    for (int32_t i = 1; i < x->rank; i++) found *= x->shape[i];
    for (int32_t i = 0; i < rank; i++) expected *= shape[i];
    fits = fits && found == expected;
    for (int32_t i = 0; x->rank - 1 == rank && i < rank; i++) fits = fits && x->shape[i + 1] == shape[i];
    if (fits) return SS_OK;
    return ss_fail(
        p->context, SS_ERROR_INPUT, "%s: array \"%s\": samples have shape %s, the network expects %s",
        ss_dataset_path(p->dataset), x->name,
        ss_shape_text(x->rank > 0 ? x->rank - 1 : 0, x->shape + 1, have), ss_shape_text(rank, shape, want));
}

static ss_status check_patches(const ss_problem *p, const ss_problem_input *in, const ss_value *value)
{
    const ss_array *x = &in->array;
    int64_t         size = in->parameter;
    bool fits = x->rank == 4 && value->rank == 2 && x->shape[2] % size == 0 && x->shape[3] % size == 0;
    char have[SS_SHAPE_TEXT];
    fits = fits && x->shape[1] * size * size == value->shape[1] &&
           x->shape[2] / size * (x->shape[3] / size) == value->shape[0];
    if (fits) return SS_OK;
    return ss_fail(p->context, SS_ERROR_INPUT,
                   "%s: array \"%s\": images have shape %s, the network expects [C, H, W] of %lld patches of "
                   "%lld by %lld with %lld elements",
                   ss_dataset_path(p->dataset), x->name,
                   ss_shape_text(x->rank > 0 ? x->rank - 1 : 0, x->shape + 1, have),
                   (long long)value->shape[0], (long long)size, (long long)size, (long long)value->shape[1]);
}

/* Every integer that the network will see lies below its limit (the rows of a table) and is not negative. */
static ss_status check_integers(const ss_problem *p, const ss_problem_input *in)
{
    static const char *const what[] = { [SS_SOURCE_TOKEN_IDS] = "token id",
                                        [SS_SOURCE_TOKEN_TYPES] = "token type",
                                        [SS_SOURCE_ATTENTION_MASK] = "attention mask",
                                        [SS_SOURCE_POSITIONS] = "position",
                                        [SS_SOURCE_POSITIONS_ATTENDED] = "position",
                                        [SS_SOURCE_POSITIONS_NOT_PADDED] = "position" };
    ss_status                status = SS_OK;
    bool                     mask = in->source == SS_SOURCE_ATTENTION_MASK;
    int64_t                  limit = mask ? 2 : in->limit > 0 ? in->limit : INT64_MAX;
    int64_t                  samples = in->array.data ? p->samples : 1; /* made up: all alike */
    int64_t                 *row = NULL;
    SS_TRY(SS_NEW_ARRAY(p->context, in->count, &row));
    for (int64_t i = 0; i < samples; i++) {
        fill_integers(in, i, row);
        for (int64_t t = 0; t < in->count; t++) {
            if (row[t] >= 0 && row[t] < limit) continue;
            bool derived = what[in->source] == what[SS_SOURCE_POSITIONS];
            SS_FAIL(p->context, SS_ERROR_INPUT,
                    "%s: %s%s%s%s %lld at sample %lld, token %lld: expected 0 to %lld, as the network knows "
                    "%lld of them",
                    ss_dataset_path(p->dataset), derived ? "" : "array \"", derived ? "" : in->array.name,
                    derived ? "" : "\": ", what[in->source], (long long)row[t], (long long)i, (long long)t,
                    (long long)limit - 1, (long long)limit);
        }
    }
fail:
    ss_free(p->context, row);
    return status;
}

static ss_status fit_input(ss_problem *p, const ss_graph_input *input, ss_problem_input *in)
{
    ss_status       status = SS_OK;
    const ss_value *value = &p->graph->values[input->value];
    const ss_array *x = ss_dataset_inputs(p->dataset);
    *in = (ss_problem_input){ .source = input->source,
                              .value = input->value,
                              .real = is_real(input->source),
                              .count = value->count,
                              .parameter = input->parameter,
                              .limit = input->limit,
                              .scale = 1,
                              .array = stored_array(p->dataset, input->source) };
    if (in->real && in->array.data == x->data) {
        in->scale = ss_dataset_scale(p->dataset);
        in->shift = ss_dataset_shift(p->dataset);
    }
    if (input->source == SS_SOURCE_PATCHES) {
        SS_TRY(check_patches(p, in, value));
    } else if (in->array.data) {
        SS_TRY(check_shape(p, in, value->rank, value->shape));
        if (!in->real && ss_type_is_float(in->array.type))
            SS_FAIL(p->context, SS_ERROR_INPUT, "%s: array \"%s\": expected integers, found %s",
                    ss_dataset_path(p->dataset), in->array.name, ss_type_name(in->array.type));
    }
    if (input->source == SS_SOURCE_TOKEN_IDS && in->array.data == x->data &&
        (ss_dataset_scale(p->dataset) != 1 || ss_dataset_shift(p->dataset) != 0))
        SS_FAIL(p->context, SS_ERROR_INPUT, "%s: array \"%s\": token ids are never scaled",
                ss_dataset_path(p->dataset), x->name);
    if (!in->real) SS_TRY(check_integers(p, in));
fail:
    return status;
}

ss_status ss_problem_fit_inputs(ss_problem *p)
{
    ss_status status = SS_OK;
    for (int32_t i = 0; i < p->graph->n_inputs; i++)
        SS_TRY(fit_input(p, &p->graph->inputs[i], &p->inputs[i]));
fail:
    return status;
}
