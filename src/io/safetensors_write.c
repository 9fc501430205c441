/* Writing safetensors; see safetensors.h. The header comes from jansson, so that every name is escaped as
 * JSON wants it; keys stand in the order of the data. */
#include "io/safetensors.h"
#include "base/json_text.h"
#include "base/output.h"

#include <stdlib.h>
#include <string.h>

#define SS_PIECE_BYTES ((int64_t)1 << 20) /* asked from a source at a time */

typedef struct layout_row {
    int64_t index; /* of the array as given */
    int64_t count; /* elements */
    int64_t begin; /* offset of its data, bytes */
    size_t  item;  /* bytes per element */
} layout_row;

static int compare_rows(const void *a, const void *b)
{
    const layout_row *left = a, *right = b;
    if (left->item != right->item) return left->item > right->item ? -1 : 1;
    return left->index < right->index ? -1 : 1;
}

/* Orders the arrays by decreasing item size and gives offsets. */
static ss_status place(ss_context *context, const char *path, const ss_array *arrays, int64_t count,
                       layout_row *rows)
{
    ss_status status = SS_OK;
    int64_t   end = 0, bytes = 0;
    for (int64_t i = 0; i < count; i++) {
        rows[i] = (layout_row){ .index = i, .item = ss_type_size(arrays[i].type) };
        SS_TRY(ss_shape_count(context, arrays[i].rank, arrays[i].shape, &rows[i].count));
    }
    qsort(rows, (size_t)count, sizeof *rows, compare_rows);
    for (int64_t i = 0; i < count; i++) {
        rows[i].begin = end;
        if (!ss_mul64(rows[i].count, (int64_t)rows[i].item, &bytes) || !ss_add64(end, bytes, &end))
            SS_FAIL(context, SS_ERROR_USAGE, "%s: the arrays are too large for one file", path);
    }
fail:
    return status;
}

/* Adds `value` (a reference that passes on, NULL = out of memory) under a key that must be new. */
static ss_status add_key(ss_context *context, const char *path, json_t *object, const char *key,
                         json_t *value)
{
    if (value == NULL) return ss_fail(context, SS_ERROR_MEMORY, "%s: no memory for the header", path);
    if (json_object_get(object, key) != NULL) {
        json_decref(value);
        return ss_fail(context, SS_ERROR_USAGE, "%s: the name '%s' is given twice", path, key);
    }
    if (json_object_set_new(object, key, value) != 0)
        return ss_fail(context, SS_ERROR_USAGE, "%s: the name '%s' is not UTF-8 (or memory is out)", path,
                       key);
    return SS_OK;
}

static ss_status add_metadata(ss_context *context, const char *path, json_t *header,
                              const ss_metadata *metadata, int64_t count)
{
    ss_status status = SS_OK;
    json_t   *object = NULL;
    if (count == 0) return SS_OK;
    object = json_object();
    for (int64_t i = 0; i < count; i++) {
        json_t *text = json_string(metadata[i].value);
        if (text == NULL)
            SS_FAIL(context, SS_ERROR_USAGE, "%s: metadata '%s' is not UTF-8 (or memory is out)", path,
                    metadata[i].key);
        SS_TRY(add_key(context, path, object, metadata[i].key, text));
    }
    SS_TRY(add_key(context, path, header, "__metadata__", json_incref(object)));
fail:
    json_decref(object);
    return status;
}

static ss_status add_array(ss_context *context, const char *path, json_t *header, const ss_array *array,
                           const layout_row *row)
{
    json_t *shape = json_array();
    for (int32_t i = 0; i < array->rank; i++) json_array_append_new(shape, json_integer(array->shape[i]));
    if (shape == NULL || json_array_size(shape) != (size_t)array->rank) {
        json_decref(shape);
        return ss_fail(context, SS_ERROR_MEMORY, "%s: no memory for the header", path);
    }
    if (array->name == NULL || array->name[0] == '\0' || strcmp(array->name, "__metadata__") == 0) {
        json_decref(shape);
        return ss_fail(context, SS_ERROR_USAGE, "%s: array %lld has no name that can be written", path,
                       (long long)row->index);
    }
    json_int_t end = row->begin + row->count * (int64_t)row->item;
    return add_key(context, path, header, array->name,
                   json_pack("{s:s, s:o, s:[I, I]}", "dtype", ss_type_name(array->type), "shape", shape,
                             "data_offsets", (json_int_t)row->begin, end));
}

/* The header's text, in a block of the context. */
static ss_status make_header(ss_context *context, const char *path, const ss_array *arrays, int64_t count,
                             const layout_row *rows, const ss_metadata *metadata, int64_t n_metadata,
                             char **text)
{
    ss_status status = SS_OK;
    json_t   *header = json_object();
    *text = NULL;
    SS_TRY(add_metadata(context, path, header, metadata, n_metadata));
    for (int64_t i = 0; i < count; i++)
        SS_TRY(add_array(context, path, header, &arrays[rows[i].index], &rows[i]));
    SS_TRY(ss_json_dump(context, path, header, JSON_COMPACT, text, NULL));
fail:
    json_decref(header);
    return status;
}

/* Length, header, and spaces up to a multiple of 8 bytes. */
static ss_status write_header(ss_output *output, const char *text)
{
    ss_status     status = SS_OK;
    size_t        length = strlen(text), padded = (length + 7) / 8 * 8;
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(padded >> (8 * i));
    SS_TRY(ss_output_write(output, bytes, sizeof bytes));
    SS_TRY(ss_output_write(output, text, length));
    SS_TRY(ss_output_write(output, "        ", padded - length));
fail:
    return status;
}

static ss_status write_array(ss_output *output, const layout_row *row, const ss_array *array,
                             ss_array_source source, void *user, void *piece)
{
    ss_status status = SS_OK;
    int64_t   step = SS_PIECE_BYTES / (int64_t)row->item;
    if (source == NULL) return ss_output_write(output, array->data, (size_t)row->count * row->item);
    for (int64_t first = 0; first < row->count; first += step) {
        int64_t count = ss_min64(step, row->count - first);
        SS_TRY(source(user, row->index, first, count, piece));
        SS_TRY(ss_output_write(output, piece, (size_t)count * row->item));
    }
fail:
    return status;
}

ss_status ss_safetensors_write_from(ss_context *context, const char *path, const ss_array *arrays,
                                    int64_t count, const ss_metadata *metadata, int64_t n_metadata,
                                    ss_array_source source, void *user)
{
    ss_status   status = SS_OK;
    ss_output  *output = NULL;
    layout_row *rows = NULL;
    void       *piece = NULL;
    char       *header = NULL;
    SS_TRY(SS_NEW_ARRAY(context, count, &rows));
    SS_TRY(place(context, path, arrays, count, rows));
    SS_TRY(make_header(context, path, arrays, count, rows, metadata, n_metadata, &header));
    if (source != NULL) SS_TRY(ss_allocate(context, SS_PIECE_BYTES, 1, &piece));

    SS_TRY(ss_output_open(context, path, &output));
    SS_TRY(write_header(output, header));
    for (int64_t i = 0; i < count; i++)
        SS_TRY(write_array(output, &rows[i], &arrays[rows[i].index], source, user, piece));
    SS_TRY(ss_output_commit(&output));
fail:
    ss_output_abort(&output);
    ss_free(context, header);
    ss_free(context, piece);
    ss_free(context, rows);
    return status;
}

ss_status ss_safetensors_write(ss_context *context, const char *path, const ss_array *arrays, int64_t count,
                               const ss_metadata *metadata, int64_t n_metadata)
{
    return ss_safetensors_write_from(context, path, arrays, count, metadata, n_metadata, NULL, NULL);
}
