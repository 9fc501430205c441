/* Fuzz target: the JSON layer: every typed getter on every member and element of the document. */
#include "fuzz.h"
#include "io/json.h"

#include <math.h>

static const char *const keys[] = { "type", "name", "in_features" };

/* Every getter on one member; whatever they answer is right as long as failures have a message. */
static void get_all(const ss_json_value *object, const char *key)
{
    int64_t     integer = 0, integers[4];
    double      number = 0.0;
    bool        truth = false;
    const char *text = NULL;
    int32_t     chosen = 0;
    fuzz_status(ss_json_integer(object, key, 1, INT64_MAX, &integer));
    fuzz_status(ss_json_integer_or(object, key, -4, 4, &integer));
    fuzz_status(ss_json_number(object, key, 0.0, INFINITY, &number));
    fuzz_status(ss_json_number_or(object, key, -1.0, 1.0, &number));
    fuzz_check(isfinite(number), "a number that is not finite");
    fuzz_status(ss_json_boolean_or(object, key, &truth));
    fuzz_status(ss_json_string_or(object, key, &text));
    fuzz_status(ss_json_choice(object, key, keys, 3, &chosen));
    fuzz_status(ss_json_integers(object, key, 0, 1000, 4, true, integers, &chosen));
}

static void walk(const ss_json_value *value, int depth)
{
    ss_json_value inner = { .key = NULL };
    char          place[64];
    ss_json_place(value, place, sizeof place);
    if (depth > 200) return;
    while (ss_json_is(value, SS_JSON_OBJECT) && ss_json_next(value, &inner)) {
        get_all(value, inner.key);
        walk(&inner, depth + 1);
    }
    if (ss_json_is(value, SS_JSON_OBJECT)) fuzz_status(ss_json_only(value, keys, 3));
    if (!ss_json_is(value, SS_JSON_ARRAY)) return;
    for (int64_t i = 0; i < ss_json_length(value); i++) {
        fuzz_status(ss_json_element(value, i, SS_JSON_ANY, &inner));
        walk(&inner, depth + 1);
    }
    fuzz_check(ss_json_element(value, ss_json_length(value), SS_JSON_ANY, &inner) == SS_ERROR_INPUT,
               "an element behind the last");
    ss_context_clear_message(fuzz_context);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ss_json *json = NULL;
    fuzz_begin(data, size);
    ss_status status = ss_json_parse(fuzz_context, "fuzz.json", data, (int64_t)size, &json);
    fuzz_check((json != NULL) == (status == SS_OK), "a document beside a failure");
    fuzz_status(status);
    if (json != NULL) {
        ss_json_value root = ss_json_root(json);
        walk(&root, 0);
    }
    ss_json_free(json);
    fuzz_end();
    return 0;
}
