/* Writing tables of fields as JSON and as documentation. */
#include "report/fields.h"

#include <math.h>
#include <string.h>

/* Two neighbouring int64_t, as ss_interval of verdict.h. */
typedef struct pair {
    int64_t low, high;
} pair;

json_t *ss_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *count_json(int64_t value)
{
    return value < 0 ? json_null() : json_integer(value);
}

static json_t *reals_json(const double *values, int64_t count)
{
    json_t *array = json_array();
    for (int64_t i = 0; array != NULL && i < count; i++)
        if (json_array_append_new(array, ss_json_real(values[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *integers_json(const int64_t *values, int64_t count)
{
    json_t *array = json_array();
    for (int64_t i = 0; array != NULL && i < count; i++)
        if (json_array_append_new(array, json_integer(values[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *rows_json(const ss_field *field, const char *rows, int64_t count)
{
    json_t *array = json_array();
    for (int64_t i = 0; array != NULL && i < count; i++)
        if (json_array_append_new(array, ss_fields_json(field->fields, rows + (size_t)i * field->size)) !=
            0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *named_json(const char *name)
{
    if (name == NULL || strcmp(name, "null") == 0) return json_null();
    if (strcmp(name, "true") == 0) return json_true();
    if (strcmp(name, "false") == 0) return json_false();
    return json_string(name);
}

static json_t *field_json(const ss_field *field, const char *object)
{
    const char *at = object + field->offset;
    const char *pointer = NULL;
    int64_t     count = 0;

    switch (field->kind) {
    case SS_FIELD_REAL: return ss_json_real(*(const double *)(const void *)at);
    case SS_FIELD_INTEGER: return json_integer(*(const int64_t *)(const void *)at);
    case SS_FIELD_COUNT: return count_json(*(const int64_t *)(const void *)at);
    case SS_FIELD_INT: return json_integer(*(const int *)(const void *)at);
    case SS_FIELD_BOOL: return json_boolean(*(const bool *)(const void *)at);
    case SS_FIELD_TEXT:
        memcpy(&pointer, at, sizeof pointer);
        return pointer != NULL ? json_string(pointer) : json_null();
    case SS_FIELD_CHARS: return json_string(at);
    case SS_FIELD_NAMED: return named_json(field->text(at));
    case SS_FIELD_INTERVAL: {
        pair interval;
        memcpy(&interval, at, sizeof interval);
        return json_pack("[o, o]", count_json(interval.low), count_json(interval.high));
    }
    case SS_FIELD_REALS: return reals_json((const double *)(const void *)at, (int64_t)field->count);
    case SS_FIELD_INTEGERS: return integers_json((const int64_t *)(const void *)at, (int64_t)field->count);
    case SS_FIELD_ROWS: return rows_json(field, at, (int64_t)field->count);
    case SS_FIELD_GROUP: return ss_fields_json(field->fields, at);
    case SS_FIELD_REALS_AT:
    case SS_FIELD_INTEGERS_AT:
    case SS_FIELD_ROWS_AT: break;
    }
    memcpy(&pointer, at, sizeof pointer);
    memcpy(&count, object + field->count, sizeof count);
    if (pointer == NULL) return json_null();
    if (field->kind == SS_FIELD_REALS_AT) return reals_json((const double *)(const void *)pointer, count);
    if (field->kind == SS_FIELD_INTEGERS_AT)
        return integers_json((const int64_t *)(const void *)pointer, count);
    return rows_json(field, pointer, count);
}

json_t *ss_fields_json(const ss_field *fields, const void *object)
{
    json_t *json = json_object();
    for (const ss_field *field = fields; json != NULL && field->name != NULL; field++)
        if (json_object_set_new(json, field->name, field_json(field, object)) != 0) {
            json_decref(json);
            return NULL;
        }
    return json;
}

static const char *kind_text(ss_field_kind kind)
{
    switch (kind) {
    case SS_FIELD_REAL: return "number or null";
    case SS_FIELD_INTEGER:
    case SS_FIELD_INT: return "integer";
    case SS_FIELD_COUNT: return "integer or null";
    case SS_FIELD_BOOL: return "boolean";
    case SS_FIELD_TEXT: return "string or null";
    case SS_FIELD_CHARS: return "string";
    case SS_FIELD_NAMED: return "name";
    case SS_FIELD_INTERVAL: return "[low, high], null where not determined";
    case SS_FIELD_REALS:
    case SS_FIELD_REALS_AT: return "array of numbers";
    case SS_FIELD_INTEGERS:
    case SS_FIELD_INTEGERS_AT: return "array of integers";
    case SS_FIELD_GROUP: return "object";
    case SS_FIELD_ROWS:
    case SS_FIELD_ROWS_AT: return "array of objects";
    }
    return "";
}

void ss_fields_document(FILE *file, const ss_field *fields, int depth)
{
    for (const ss_field *field = fields; field->name != NULL; field++) {
        fprintf(file, "%*s- `%s` (%s): %s\n", 2 * depth, "", field->name, kind_text(field->kind),
                field->meaning);
        bool elsewhere = field->kind == SS_FIELD_GROUP && field->count > 0;
        if (field->fields != NULL && !elsewhere) ss_fields_document(file, field->fields, depth + 1);
    }
}
