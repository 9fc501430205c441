/* Configuration files in JSON, over jansson: every complaint names the file and the field,
 * "network.json: layers[3].out_features: expected a positive integer, found \"x\"".
 *
 *     ss_json *json = NULL;
 *     SS_TRY(ss_json_load(context, "network.json", &json));
 *     ss_json_value root = ss_json_root(json), layers, layer;
 *     SS_TRY(ss_json_member(&root, "layers", SS_JSON_ARRAY, &layers));
 *     for (int64_t i = 0; i < ss_json_length(&layers); i++) {
 *         SS_TRY(ss_json_element(&layers, i, SS_JSON_OBJECT, &layer));
 *         SS_TRY(ss_json_integer(&layer, "out_features", 1, INT64_MAX, &width));
 *     }
 *
 * A value remembers its place by pointing at the value it was taken from, which must stay where it is while
 * the value is used; nothing is allocated. Refused when loading: more than 64 MiB, nesting deeper than
 * jansson's limit (2048), duplicate keys, invalid UTF-8, NUL in strings, numbers that overflow, NaN, anything
 * behind the value. */
#ifndef SS_IO_JSON_H
#define SS_IO_JSON_H

#include "base/base.h"

typedef struct ss_json ss_json;

typedef enum ss_json_kind {
    SS_JSON_ANY,
    SS_JSON_OBJECT,
    SS_JSON_ARRAY,
    SS_JSON_STRING,
    SS_JSON_INTEGER,
    SS_JSON_NUMBER, /* integer or real */
    SS_JSON_BOOLEAN,
    SS_JSON_NULL
} ss_json_kind;

typedef struct ss_json_value {
    const ss_json              *document; /* borrowed */
    const struct ss_json_value *parent;   /* NULL for the root; borrowed */
    const char                 *key;      /* member name; NULL for an element or the root */
    int64_t                     index;    /* element number, for an element */
    const void                 *value;    /* jansson's json_t */
} ss_json_value;

/* Reads and parses a file whose outermost value is an object or an array. A syntax error is reported as
 * "<path>:<line>:<column>: what". *json NULL on failure (SS_ERROR_INPUT). */
ss_status ss_json_load(ss_context *context, const char *path, ss_json **json);
/* The same for bytes in memory (copied); `path` names them in messages. */
ss_status ss_json_parse(ss_context *context, const char *path, const void *bytes, int64_t size,
                        ss_json **json);
void      ss_json_free(ss_json *json); /* NULL allowed */

ss_json_value ss_json_root(const ss_json *json);
bool          ss_json_is(const ss_json_value *value, ss_json_kind kind);
/* Elements of an array, members of an object, 0 otherwise. */
int64_t ss_json_length(const ss_json_value *value);
/* True if the object has the member and it is not null. */
bool ss_json_has(const ss_json_value *object, const char *key);

/* Member `key` of an object, element `index` of an array: of the kind asked for, else SS_ERROR_INPUT. */
ss_status ss_json_member(const ss_json_value *object, const char *key, ss_json_kind kind,
                         ss_json_value *member);
ss_status ss_json_element(const ss_json_value *array, int64_t index, ss_json_kind kind,
                          ss_json_value *element);
/* Walks over the members of an object in the order of the file: *member, all zero before the first call,
 * becomes the next one; false behind the last. Their keys stay valid with the document. */
bool ss_json_next(const ss_json_value *object, ss_json_value *member);

/* Typed members. Required: absent is an error. Bounds are inclusive. A string is borrowed from the document.
 */
ss_status ss_json_integer(const ss_json_value *object, const char *key, int64_t least, int64_t most,
                          int64_t *out);
ss_status ss_json_number(const ss_json_value *object, const char *key, double least, double most,
                         double *out);
ss_status ss_json_boolean(const ss_json_value *object, const char *key, bool *out);
ss_status ss_json_string(const ss_json_value *object, const char *key, const char **out);
/* One of choices[count] ("expected one of a, b, c, found ..."); its number goes to *choice. */
ss_status ss_json_choice(const ss_json_value *object, const char *key, const char *const *choices,
                         int32_t count, int32_t *choice);
/* An array of integers, at most `most_count` of them, each between the bounds. With `scalar` a single integer
 * is taken as an array of one (torch's int-or-tuple attributes). */
ss_status ss_json_integers(const ss_json_value *object, const char *key, int64_t least, int64_t most,
                           int32_t most_count, bool scalar, int64_t *out, int32_t *count);

/* Optional members: *out keeps its value when the member is absent or null. */
ss_status ss_json_integer_or(const ss_json_value *object, const char *key, int64_t least, int64_t most,
                             int64_t *out);
ss_status ss_json_number_or(const ss_json_value *object, const char *key, double least, double most,
                            double *out);
ss_status ss_json_boolean_or(const ss_json_value *object, const char *key, bool *out);
ss_status ss_json_string_or(const ss_json_value *object, const char *key, const char **out);

/* A value that was already taken, converted: the same checks and messages. */
ss_status ss_json_as_integer(const ss_json_value *value, int64_t least, int64_t most, int64_t *out);
ss_status ss_json_as_number(const ss_json_value *value, double least, double most, double *out);
ss_status ss_json_as_string(const ss_json_value *value, const char **out);

/* SS_ERROR_INPUT unless every key of the object is among allowed[count]: "layers[2]: unknown key 'biass';
 * allowed: type, in_features, out_features, bias". */
ss_status ss_json_only(const ss_json_value *object, const char *const *allowed, int32_t count);

/* Fails with SS_ERROR_INPUT and "<path>: <place of value>: <text>". */
ss_status ss_json_fail(const ss_json_value *value, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

/* The place of a value, "layers[3].out_features" ("top level" for the root), cut at `bytes`; returns text. */
char *ss_json_place(const ss_json_value *value, char *text, size_t bytes);

#endif
