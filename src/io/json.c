/* Configuration files in JSON; see json.h. */
#define _POSIX_C_SOURCE 200809L
#include "io/json.h"
#include "base/json_text.h"
#include "io/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SS_JSON_LIMIT  ((int64_t)64 << 20) /* bytes of a file */
#define SS_JSON_SMALL  ((int64_t)4 << 20)  /* bytes; below, nobody asks how much memory there is */
#define SS_JSON_MEMORY 64                  /* bytes jansson may need per byte of text, at the worst */
#define SS_PLACE_BYTES 512                 /* of a place in a message */
#define SS_FOUND_BYTES 96                  /* of a value in a message */

struct ss_json {
    ss_context *context;
    char       *path; /* for messages; owned */
    json_t     *root; /* owned */
};

/* ---- Loading ----------------------------------------------------------------------------------------------
 */

ss_status ss_json_parse(ss_context *context, const char *path, const void *bytes, int64_t size,
                        ss_json **json)
{
    ss_status    status = SS_OK;
    json_error_t error;
    char         reason[SS_QUOTE_TEXT];
    ss_json     *made = NULL;
    *json = NULL;
    if (size > SS_JSON_LIMIT)
        return ss_fail(context, SS_ERROR_INPUT, "%s: %lld bytes exceed the limit of %lld for a JSON file",
                       path, (long long)size, (long long)SS_JSON_LIMIT);
    if (size > SS_JSON_SMALL && size > ss_memory_available() / SS_JSON_MEMORY)
        return ss_fail(context, SS_ERROR_REFUSED, "%s: not enough free memory to parse %lld bytes of JSON",
                       path, (long long)size);
    SS_TRY(SS_NEW(context, &made));
    made->context = context;
    SS_TRY(ss_copy_string(context, path, &made->path));
    made->root = json_loadb(bytes, (size_t)size, JSON_REJECT_DUPLICATES, &error);
    if (made->root == NULL) {
        if (ss_json_out_of_memory(&error))
            SS_FAIL(context, SS_ERROR_MEMORY, "%s: no memory to parse it", path);
        SS_FAIL(context, SS_ERROR_INPUT, "%s:%d:%d: not valid JSON: %s", path, error.line, error.column,
                ss_quote(error.text, reason));
    }
    *json = made;
    made = NULL;
fail:
    ss_json_free(made);
    return status;
}

/* Reads `size` bytes; false when the file ends before. */
static bool read_fully(int file, char *bytes, int64_t size)
{
    while (size > 0) {
        ssize_t got = read(file, bytes, (size_t)size);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        bytes += got;
        size -= got;
    }
    return true;
}

ss_status ss_json_load(ss_context *context, const char *path, ss_json **json)
{
    ss_status   status = SS_OK;
    struct stat about;
    void       *bytes = NULL;
    int         file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *json = NULL;
    if (file < 0 || fstat(file, &about) != 0) {
        status = ss_fail(context, SS_ERROR_INPUT, "%s: cannot be opened: %s", path, strerror(errno));
        goto fail;
    }
    if (!S_ISREG(about.st_mode))
        SS_FAIL(context, SS_ERROR_INPUT, "%s: expected a file, found a %s", path,
                S_ISDIR(about.st_mode) ? "directory" : "pipe or device");
    if (about.st_size > SS_JSON_LIMIT)
        SS_FAIL(context, SS_ERROR_INPUT, "%s: %lld bytes exceed the limit of %lld for a JSON file", path,
                (long long)about.st_size, (long long)SS_JSON_LIMIT);
    SS_TRY(ss_allocate(context, about.st_size, 1, &bytes));
    if (!read_fully(file, bytes, about.st_size))
        SS_FAIL(context, SS_ERROR_INPUT, "%s: cannot be read to its end", path);
    SS_TRY(ss_json_parse(context, path, bytes, about.st_size, json));
fail:
    if (file >= 0) close(file);
    ss_free(context, bytes);
    return status;
}

void ss_json_free(ss_json *json)
{
    if (json == NULL) return;
    json_decref(json->root);
    ss_free(json->context, json->path);
    ss_free(json->context, json);
}

/* ---- Places and complaints --------------------------------------------------------------------------------
 */

/* Appends the place of `value` at text[used]; returns the new length, never beyond bytes - 1. */
static size_t append_place(const ss_json_value *value, char *text, size_t used, size_t bytes)
{
    if (value->parent == NULL) return used;
    used = append_place(value->parent, text, used, bytes);
    if (used >= bytes - 1) return bytes - 1;
    int length = value->key == NULL
                     ? snprintf(text + used, bytes - used, "[%lld]", (long long)value->index)
                     : snprintf(text + used, bytes - used, "%s%s", used == 0 ? "" : ".", value->key);
    used += length > 0 ? (size_t)length : 0;
    return used < bytes ? used : bytes - 1;
}

char *ss_json_place(const ss_json_value *value, char *text, size_t bytes)
{
    snprintf(text, bytes, "%s", value->parent == NULL ? "top level" : "");
    append_place(value, text, 0, bytes);
    for (char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7F) *p = '?';
    }
    return text;
}

ss_status ss_json_fail(const ss_json_value *value, const char *format, ...)
{
    char    place[SS_PLACE_BYTES], text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return ss_fail(value->document->context, SS_ERROR_INPUT, "%s: %s: %s", value->document->path,
                   ss_json_place(value, place, sizeof place), text);
}

/* What stands there, for messages: the value itself if it is short, its kind otherwise. */
static const char *found(const ss_json_value *value, char text[SS_FOUND_BYTES])
{
    const json_t *json = value->value;
    switch (json_typeof(json)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: {
        char quoted[SS_QUOTE_TEXT];
        ss_quote(json_string_value(json), quoted);
        if (strlen(quoted) > SS_FOUND_BYTES - 4) return "a long string";
        quoted[0] = quoted[strlen(quoted) - 1] = '"';
        snprintf(text, SS_FOUND_BYTES, "%s", quoted);
        return text;
    }
    case JSON_INTEGER:
        snprintf(text, SS_FOUND_BYTES, "%lld", (long long)json_integer_value(json));
        return text;
    case JSON_REAL: snprintf(text, SS_FOUND_BYTES, "%g", json_real_value(json)); return text;
    case JSON_TRUE: return "true";
    case JSON_FALSE: return "false";
    case JSON_NULL: return "null";
    }
    return "something else";
}

static const char *const kind_texts[] = {
    [SS_JSON_ANY] = "a value",           [SS_JSON_OBJECT] = "an object",   [SS_JSON_ARRAY] = "an array",
    [SS_JSON_STRING] = "a string",       [SS_JSON_INTEGER] = "an integer", [SS_JSON_NUMBER] = "a number",
    [SS_JSON_BOOLEAN] = "true or false", [SS_JSON_NULL] = "null",
};

static ss_status require(const ss_json_value *value, ss_json_kind kind)
{
    char text[SS_FOUND_BYTES];
    if (ss_json_is(value, kind)) return SS_OK;
    return ss_json_fail(value, "expected %s, found %s", kind_texts[kind], found(value, text));
}

/* ---- Walking ----------------------------------------------------------------------------------------------
 */

ss_json_value ss_json_root(const ss_json *json)
{
    return (ss_json_value){ .document = json, .value = json->root };
}

bool ss_json_is(const ss_json_value *value, ss_json_kind kind)
{
    const json_t *json = value->value;
    switch (kind) {
    case SS_JSON_ANY: return json != NULL;
    case SS_JSON_OBJECT: return json_is_object(json);
    case SS_JSON_ARRAY: return json_is_array(json);
    case SS_JSON_STRING: return json_is_string(json);
    case SS_JSON_INTEGER: return json_is_integer(json);
    case SS_JSON_NUMBER: return json_is_number(json);
    case SS_JSON_BOOLEAN: return json_is_boolean(json);
    case SS_JSON_NULL: return json_is_null(json);
    }
    return false;
}

int64_t ss_json_length(const ss_json_value *value)
{
    return (int64_t)(json_is_array((const json_t *)value->value) ? json_array_size(value->value)
                                                                 : json_object_size(value->value));
}

bool ss_json_has(const ss_json_value *object, const char *key)
{
    const json_t *member = json_object_get(object->value, key);
    return member != NULL && !json_is_null(member);
}

ss_status ss_json_member(const ss_json_value *object, const char *key, ss_json_kind kind,
                         ss_json_value *member)
{
    ss_status status = SS_OK;
    SS_TRY(require(object, SS_JSON_OBJECT));
    *member = (ss_json_value){ .document = object->document, .parent = object, .key = key };
    member->value = json_object_get(object->value, key);
    if (member->value == NULL)
        SS_TRY(ss_json_fail(object, "'%s' is missing: expected %s", key, kind_texts[kind]));
    SS_TRY(require(member, kind));
fail:
    return status;
}

ss_status ss_json_element(const ss_json_value *array, int64_t index, ss_json_kind kind,
                          ss_json_value *element)
{
    ss_status status = SS_OK;
    SS_TRY(require(array, SS_JSON_ARRAY));
    *element = (ss_json_value){ .document = array->document, .parent = array, .index = index };
    element->value = index >= 0 ? json_array_get(array->value, (size_t)index) : NULL;
    if (element->value == NULL)
        SS_TRY(ss_json_fail(array, "expected at least %lld elements, found %lld", (long long)index + 1,
                            (long long)ss_json_length(array)));
    SS_TRY(require(element, kind));
fail:
    return status;
}

bool ss_json_next(const ss_json_value *object, ss_json_value *member)
{
    /* jansson's iterators are mutable handles, though nothing is changed through them. */
    json_t *json = (json_t *)(uintptr_t)object->value;
    void   *place = member->key == NULL ? json_object_iter(json)
                                        : json_object_iter_next(json, json_object_key_to_iter(member->key));
    if (place == NULL) return false;
    *member = (ss_json_value){ .document = object->document, .parent = object };
    member->key = json_object_iter_key(place);
    member->value = json_object_iter_value(place);
    return true;
}

/* ---- Typed values -----------------------------------------------------------------------------------------
 */

/* "a positive integer", "an integer between 1 and 4" ... */
static const char *integer_text(int64_t least, int64_t most, char text[SS_FOUND_BYTES])
{
    if (most < INT64_MAX && least > INT64_MIN)
        snprintf(text, SS_FOUND_BYTES, "an integer between %lld and %lld", (long long)least, (long long)most);
    else if (least == 1)
        snprintf(text, SS_FOUND_BYTES, "a positive integer");
    else if (least == 0)
        snprintf(text, SS_FOUND_BYTES, "an integer that is not negative");
    else if (least > INT64_MIN)
        snprintf(text, SS_FOUND_BYTES, "an integer of at least %lld", (long long)least);
    else if (most < INT64_MAX)
        snprintf(text, SS_FOUND_BYTES, "an integer of at most %lld", (long long)most);
    else
        snprintf(text, SS_FOUND_BYTES, "an integer");
    return text;
}

ss_status ss_json_as_integer(const ss_json_value *value, int64_t least, int64_t most, int64_t *out)
{
    char          wanted[SS_FOUND_BYTES], text[SS_FOUND_BYTES];
    const json_t *json = value->value;
    if (!json_is_integer(json) || json_integer_value(json) < least || json_integer_value(json) > most)
        return ss_json_fail(value, "expected %s, found %s", integer_text(least, most, wanted),
                            found(value, text));
    *out = json_integer_value(json);
    return SS_OK;
}

ss_status ss_json_as_number(const ss_json_value *value, double least, double most, double *out)
{
    char          text[SS_FOUND_BYTES];
    const json_t *json = value->value;
    double        number = json_is_number(json) ? json_number_value(json) : NAN;
    if (!isfinite(number))
        return ss_json_fail(value, "expected a finite number, found %s", found(value, text));
    if (number < least || number > most) {
        if (isinf(most))
            return ss_json_fail(value, "expected a number of at least %g, found %s", least,
                                found(value, text));
        if (isinf(least))
            return ss_json_fail(value, "expected a number of at most %g, found %s", most, found(value, text));
        return ss_json_fail(value, "expected a number between %g and %g, found %s", least, most,
                            found(value, text));
    }
    *out = number;
    return SS_OK;
}

ss_status ss_json_as_string(const ss_json_value *value, const char **out)
{
    ss_status status = require(value, SS_JSON_STRING);
    if (status == SS_OK) *out = json_string_value(value->value);
    return status;
}

/* Takes the member, whatever it is; `what` is what was expected when it is missing. */
static ss_status take(const ss_json_value *object, const char *key, const char *what, ss_json_value *member)
{
    ss_status status = require(object, SS_JSON_OBJECT);
    *member = (ss_json_value){ .document = object->document, .parent = object, .key = key };
    if (status != SS_OK) return status;
    member->value = json_object_get(object->value, key);
    return member->value != NULL ? SS_OK : ss_json_fail(object, "'%s' is missing: expected %s", key, what);
}

ss_status ss_json_integer(const ss_json_value *object, const char *key, int64_t least, int64_t most,
                          int64_t *out)
{
    char          text[SS_FOUND_BYTES];
    ss_json_value member;
    ss_status     status = take(object, key, integer_text(least, most, text), &member);
    return status != SS_OK ? status : ss_json_as_integer(&member, least, most, out);
}

ss_status ss_json_number(const ss_json_value *object, const char *key, double least, double most, double *out)
{
    ss_json_value member;
    ss_status     status = take(object, key, "a number", &member);
    return status != SS_OK ? status : ss_json_as_number(&member, least, most, out);
}

ss_status ss_json_boolean(const ss_json_value *object, const char *key, bool *out)
{
    ss_json_value member;
    ss_status     status = ss_json_member(object, key, SS_JSON_BOOLEAN, &member);
    if (status == SS_OK) *out = json_is_true((const json_t *)member.value);
    return status;
}

ss_status ss_json_string(const ss_json_value *object, const char *key, const char **out)
{
    ss_json_value member;
    ss_status     status = take(object, key, "a string", &member);
    return status != SS_OK ? status : ss_json_as_string(&member, out);
}

/* "a, b, c" */
static void append_list(const char *const *names, int32_t count, char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (int32_t i = 0; i < count && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, i == 0 ? "%s" : ", %s", names[i]);
}

ss_status ss_json_choice(const ss_json_value *object, const char *key, const char *const *choices,
                         int32_t count, int32_t *choice)
{
    ss_status     status = SS_OK;
    ss_json_value member;
    char          list[512], text[SS_FOUND_BYTES];
    append_list(choices, count, list, sizeof list);
    SS_TRY(take(object, key, list, &member));
    for (int32_t i = 0; i < count; i++) {
        if (!ss_json_is(&member, SS_JSON_STRING) || strcmp(json_string_value(member.value), choices[i]) != 0)
            continue;
        *choice = i;
        return SS_OK;
    }
    status = ss_json_fail(&member, "expected one of %s, found %s", list, found(&member, text));
fail:
    return status;
}

ss_status ss_json_integers(const ss_json_value *object, const char *key, int64_t least, int64_t most,
                           int32_t most_count, bool scalar, int64_t *out, int32_t *count)
{
    ss_status     status = SS_OK;
    ss_json_value member, element;
    SS_TRY(take(object, key, "an array of integers", &member));
    if (scalar && ss_json_is(&member, SS_JSON_INTEGER)) {
        *count = 1;
        return ss_json_as_integer(&member, least, most, out);
    }
    SS_TRY(require(&member, SS_JSON_ARRAY));
    int64_t length = ss_json_length(&member);
    if (length > most_count)
        SS_TRY(
            ss_json_fail(&member, "expected at most %d elements, found %lld", most_count, (long long)length));
    for (int64_t i = 0; i < length; i++) {
        SS_TRY(ss_json_element(&member, i, SS_JSON_ANY, &element));
        SS_TRY(ss_json_as_integer(&element, least, most, &out[i]));
    }
    *count = (int32_t)length;
fail:
    return status;
}

ss_status ss_json_integer_or(const ss_json_value *object, const char *key, int64_t least, int64_t most,
                             int64_t *out)
{
    return ss_json_has(object, key) ? ss_json_integer(object, key, least, most, out) : SS_OK;
}

ss_status ss_json_number_or(const ss_json_value *object, const char *key, double least, double most,
                            double *out)
{
    return ss_json_has(object, key) ? ss_json_number(object, key, least, most, out) : SS_OK;
}

ss_status ss_json_boolean_or(const ss_json_value *object, const char *key, bool *out)
{
    return ss_json_has(object, key) ? ss_json_boolean(object, key, out) : SS_OK;
}

ss_status ss_json_string_or(const ss_json_value *object, const char *key, const char **out)
{
    return ss_json_has(object, key) ? ss_json_string(object, key, out) : SS_OK;
}

ss_status ss_json_only(const ss_json_value *object, const char *const *allowed, int32_t count)
{
    ss_status   status = SS_OK;
    const char *key = NULL;
    json_t     *value = NULL;
    char        list[768], quoted[SS_QUOTE_TEXT];
    SS_TRY(require(object, SS_JSON_OBJECT));
    json_object_foreach((json_t *)(uintptr_t)object->value, key, value)
    {
        bool known = false;
        for (int32_t i = 0; i < count && !known; i++) known = strcmp(key, allowed[i]) == 0;
        if (known) continue;
        append_list(allowed, count, list, sizeof list);
        SS_TRY(ss_json_fail(object, "unknown key %s; allowed: %s", ss_quote(key, quoted), list));
    }
fail:
    return status;
}
