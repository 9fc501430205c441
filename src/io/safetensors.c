/* Reading safetensors. Format and checks: github.com/huggingface/safetensors, README "Format", and the checks
 * of its reference implementation (Metadata::validate): header of at most 100 MB inside the file, an object
 * of {dtype, shape, data_offsets} and string metadata, every name once, size = product of the shape, and the
 * arrays, in the order of their offsets, cover the data without hole, overlap or rest. */
#include "base/json_text.h"
#include "io/archive_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SS_HEADER_LIMIT  100000000 /* bytes, as the reference implementation */
#define SS_HEADER_MEMORY 64        /* bytes jansson may need per byte of header, at the worst */
#define SS_SMALL_HEADER  (1 << 22) /* bytes; below, nobody asks how much memory there is */

typedef struct span {
    int64_t begin, end; /* bytes from the start of the data */
    int64_t number;     /* of the array in the header */
} span;

static const struct {
    const char *name; /* safetensors dtype */
    ss_type     type;
} dtypes[] = {
#define SS_TYPE_ROW(enumerator, bytes, safetensors, numpy) { safetensors, enumerator },
    SS_TYPE_TABLE(SS_TYPE_ROW)
#undef SS_TYPE_ROW
};

static const char *kind_text(const json_t *value)
{
    static const char *const texts[] = {
        [JSON_OBJECT] = "an object",   [JSON_ARRAY] = "an array",     [JSON_STRING] = "a string",
        [JSON_INTEGER] = "an integer", [JSON_REAL] = "a real number", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",        [JSON_NULL] = "null",
    };
    return value == NULL ? "nothing" : texts[json_typeof(value)];
}

static ss_status read_dtype(ss_archive *archive, const char *name, const json_t *value, ss_type *type)
{
    char        quoted[SS_QUOTE_TEXT];
    const char *text = json_string_value(value);
    if (text == NULL)
        return ss_archive_fail(archive, "tensor %s: dtype: expected a string, found %s", name,
                               kind_text(value));
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        if (strcmp(text, dtypes[i].name) != 0) continue;
        *type = dtypes[i].type;
        return SS_OK;
    }
    return ss_archive_fail(
        archive,
        "tensor %s: dtype: unknown or unsupported type %s (quantised or complex? convert the "
        "weights to F32, BF16 or F16: torch.Tensor.to, or transformers' dequantize)",
        name, ss_quote(text, quoted));
}

static ss_status read_shape(ss_archive *archive, const char *name, const json_t *value, ss_array *array)
{
    if (!json_is_array(value))
        return ss_archive_fail(archive, "tensor %s: shape: expected an array, found %s", name,
                               kind_text(value));
    size_t rank = json_array_size(value);
    if (rank > SS_MAX_RANK)
        return ss_archive_fail(archive, "tensor %s: shape: at most %d dimensions are supported, found %zu",
                               name, SS_MAX_RANK, rank);
    array->rank = (int32_t)rank;
    for (size_t i = 0; i < rank; i++) {
        const json_t *extent = json_array_get(value, i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0)
            return ss_archive_fail(archive, "tensor %s: shape[%zu]: expected an integer that is not negative",
                                   name, i);
        array->shape[i] = json_integer_value(extent);
    }
    return SS_OK;
}

static ss_status read_offsets(ss_archive *archive, const char *name, const json_t *value, int64_t size,
                              span *place)
{
    const json_t *begin = json_array_get(value, 0), *end = json_array_get(value, 1);
    if (json_array_size(value) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return ss_archive_fail(archive, "tensor %s: data_offsets: expected two integers", name);
    place->begin = json_integer_value(begin);
    place->end = json_integer_value(end);
    if (place->begin < 0 || place->begin > place->end || place->end > size)
        return ss_archive_fail(
            archive, "tensor %s: data_offsets: [%lld, %lld] is no range inside the %lld bytes of data", name,
            (long long)place->begin, (long long)place->end, (long long)size);
    return SS_OK;
}

static ss_status read_tensor(ss_archive *archive, const char *key, const json_t *entry,
                             const unsigned char *data, int64_t size, span *place)
{
    ss_status status = SS_OK;
    char      name[SS_QUOTE_TEXT], shape[SS_SHAPE_TEXT], where[SS_QUOTE_TEXT + 16];
    ss_array  array = { .name = key };
    int64_t   bytes = 0;
    ss_quote(key, name);
    if (!json_is_object(entry))
        return ss_archive_fail(archive, "tensor %s: expected an object, found %s", name, kind_text(entry));
    SS_TRY(read_dtype(archive, name, json_object_get(entry, "dtype"), &array.type));
    SS_TRY(read_shape(archive, name, json_object_get(entry, "shape"), &array));
    SS_TRY(read_offsets(archive, name, json_object_get(entry, "data_offsets"), size, place));
    snprintf(where, sizeof where, "tensor %s: ", name);
    SS_TRY(ss_archive_extent(archive, where, array.rank, array.shape, ss_type_size(array.type), &bytes));
    if (bytes != place->end - place->begin)
        SS_TRY(ss_archive_fail(archive,
                               "tensor %s: data_offsets: %lld bytes, but %s of shape %s takes %lld bytes",
                               name, (long long)(place->end - place->begin), ss_type_name(array.type),
                               ss_shape_text(array.rank, array.shape, shape), (long long)bytes));
    array.data = data + place->begin;
    place->number = archive->count;
    SS_TRY(ss_archive_add(archive, &array));
fail:
    return status;
}

static ss_status read_metadata(ss_archive *archive, json_t *object)
{
    ss_status   status = SS_OK;
    const char *key = NULL;
    json_t     *value = NULL;
    char        name[SS_QUOTE_TEXT];
    if (!json_is_object(object))
        return ss_archive_fail(archive, "__metadata__: expected an object, found %s", kind_text(object));
    SS_TRY(SS_NEW_ARRAY(archive->context, (int64_t)json_object_size(object), &archive->pairs));
    json_object_foreach(object, key, value)
    {
        ss_archive_pair *pair = &archive->pairs[archive->n_pairs];
        if (!json_is_string(value))
            SS_TRY(ss_archive_fail(archive, "__metadata__: %s: expected a string, found %s",
                                   ss_quote(key, name), kind_text(value)));
        archive->n_pairs++;
        SS_TRY(ss_copy_string(archive->context, key, &pair->key));
        SS_TRY(ss_copy_string(archive->context, json_string_value(value), &pair->value));
    }
fail:
    return status;
}

static int compare_spans(const void *a, const void *b)
{
    const span *left = a, *right = b;
    if (left->begin != right->begin) return left->begin < right->begin ? -1 : 1;
    if (left->end != right->end) return left->end < right->end ? -1 : 1;
    return left->number < right->number ? -1 : left->number > right->number;
}

/* The spans, sorted, must follow one another from 0 to the end of the data. */
static ss_status check_cover(ss_archive *archive, span *spans, int64_t size)
{
    int64_t end = 0;
    char    name[SS_QUOTE_TEXT];
    qsort(spans, (size_t)archive->count, sizeof *spans, compare_spans);
    for (int64_t i = 0; i < archive->count; i++) {
        if (spans[i].begin != end)
            return ss_archive_fail(
                archive,
                "tensor %s: data_offsets: begins at %lld where the tensor before it ends at "
                "%lld: %s",
                ss_quote(archive->arrays[spans[i].number].name, name), (long long)spans[i].begin,
                (long long)end, spans[i].begin < end ? "they overlap" : "there is a hole");
        end = spans[i].end;
    }
    if (end != size)
        return ss_archive_fail(archive, "data: the tensors cover %lld bytes, the file holds %lld",
                               (long long)end, (long long)size);
    return SS_OK;
}

/* The JSON text of the header as a jansson value. */
static ss_status parse_header(ss_archive *archive, const char *text, int64_t length, json_t **header)
{
    json_error_t error;
    char         reason[SS_QUOTE_TEXT];
    if (text[0] != '{')
        return ss_archive_fail(archive, "header: expected '{' at byte 8, found byte 0x%02x",
                               (unsigned)(unsigned char)text[0]);
    if (length > SS_SMALL_HEADER && length > ss_memory_available() / SS_HEADER_MEMORY)
        return ss_fail(archive->context, SS_ERROR_REFUSED,
                       "%s: header: not enough free memory to parse %lld bytes", archive->path,
                       (long long)length);
    *header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (*header != NULL) return SS_OK;
    if (ss_json_out_of_memory(&error))
        return ss_fail(archive->context, SS_ERROR_MEMORY, "%s: no memory for the header", archive->path);
    return ss_archive_fail(archive, "header: byte %d: %s", error.position + 8, ss_quote(error.text, reason));
}

ss_status ss_safetensors_read(ss_archive *archive, const unsigned char *bytes, int64_t size)
{
    ss_status   status = SS_OK;
    json_t     *header = NULL, *entry = NULL;
    const char *key = NULL;
    span       *spans = NULL;
    if (size < 8)
        SS_TRY(
            ss_archive_fail(archive, "header: the length takes 8 bytes, the file has %lld", (long long)size));
    uint64_t length = ss_little(bytes, 8);
    if (length > SS_HEADER_LIMIT)
        SS_TRY(ss_archive_fail(archive, "header: length %llu exceeds the limit of %d bytes",
                               (unsigned long long)length, SS_HEADER_LIMIT));
    if ((int64_t)length > size - 8)
        SS_TRY(ss_archive_fail(archive, "header: length %llu exceeds the file of %lld bytes",
                               (unsigned long long)length, (long long)size));
    if (length == 0) SS_TRY(ss_archive_fail(archive, "header: length is 0"));
    SS_TRY(parse_header(archive, (const char *)bytes + 8, (int64_t)length, &header));

    const unsigned char *data = bytes + 8 + length;
    int64_t              data_size = size - 8 - (int64_t)length;
    SS_TRY(SS_NEW_ARRAY(archive->context, (int64_t)json_object_size(header), &spans));
    json_object_foreach(header, key, entry)
    {
        if (strcmp(key, "__metadata__") == 0)
            SS_TRY(read_metadata(archive, entry));
        else
            SS_TRY(read_tensor(archive, key, entry, data, data_size, &spans[archive->count]));
    }
    SS_TRY(check_cover(archive, spans, data_size));
fail:
    ss_free(archive->context, spans);
    json_decref(header);
    return status;
}
