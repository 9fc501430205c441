/* The JSON layer: values come through, and every complaint names file and field. */
#include "io/json.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static ss_json *parse(const char *text)
{
    ss_json *json = NULL;
    ss_test_require(ss_json_parse(ss_test_context, "network.json", text, (int64_t)strlen(text), &json));
    return json;
}

static const char text[] =
    "{\"layers\": [{\"type\": \"Linear\", \"width\": 7, \"rate\": 0.25, \"bias\": true, "
    "\"kernel\": [3, 5], \"stride\": 2, \"none\": null}, {\"width\": \"x\"}], \"n\": -3}";

Test(json, values, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_json      *json = parse(text);
    ss_json_value root = ss_json_root(json), layers, layer;
    int64_t       width = 0, list[3] = { 0 };
    double        rate = 0;
    bool          bias = false;
    const char *type = NULL, *const choices[] = { "Tanh", "Linear" };
    int32_t count = 0, choice = -1;
    ss_test_require(ss_json_member(&root, "layers", SS_JSON_ARRAY, &layers));
    cr_assert(ss_json_length(&layers) == 2 && ss_json_length(&root) == 2);
    ss_test_require(ss_json_element(&layers, 0, SS_JSON_OBJECT, &layer));
    ss_test_require(ss_json_integer(&layer, "width", 1, 7, &width));
    ss_test_require(ss_json_number(&layer, "rate", 0, 1, &rate));
    ss_test_require(ss_json_boolean(&layer, "bias", &bias));
    ss_test_require(ss_json_string(&layer, "type", &type));
    ss_test_require(ss_json_choice(&layer, "type", choices, 2, &choice));
    cr_assert(width == 7 && rate == 0.25 && bias && choice == 1);
    cr_assert_str_eq(type, "Linear");
    ss_test_require(ss_json_integers(&layer, "kernel", 1, 9, 3, true, list, &count));
    cr_assert(count == 2 && list[0] == 3 && list[1] == 5);
    ss_test_require(ss_json_integers(&layer, "stride", 1, 9, 3, true, list, &count));
    cr_assert(count == 1 && list[0] == 2);
    ss_test_require(ss_json_number(&layer, "width", -INFINITY, INFINITY, &rate));
    cr_assert(rate == 7.0);

    /* Optional ones keep what they had. */
    ss_test_require(ss_json_integer_or(&layer, "none", 0, 1, &width));
    ss_test_require(ss_json_number_or(&layer, "absent", 0, 1, &rate));
    ss_test_require(ss_json_boolean_or(&layer, "absent", &bias));
    ss_test_require(ss_json_string_or(&layer, "absent", &type));
    cr_assert(width == 7 && rate == 7.0 && bias && strcmp(type, "Linear") == 0);
    cr_assert(ss_json_has(&layer, "bias") && !ss_json_has(&layer, "none") && !ss_json_has(&layer, "absent"));
    ss_json_free(json);
}

Test(json, members_in_the_order_of_the_file, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_json      *json = parse("{\"z\": 1, \"a\": 2, \"m\": 3}");
    ss_json_value root = ss_json_root(json), member = { .key = NULL };
    const char   *expected[] = { "z", "a", "m" };
    int64_t       count = 0, value = 0;
    while (ss_json_next(&root, &member)) {
        cr_assert_str_eq(member.key, expected[count]);
        ss_test_require(ss_json_as_integer(&member, 0, 9, &value));
        cr_assert(value == ++count);
    }
    cr_assert(count == 3);
    ss_json_free(json);
}

Test(json, complaints, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_json          *json = parse(text);
    ss_json_value     root = ss_json_root(json), layers, layer, other, none;
    int64_t           number = 0, list[2];
    double            real = 0;
    bool              truth = false;
    int32_t           count = 0;
    const char       *string = NULL;
    const char *const allowed[] = { "type", "bias" }, *const more[] = { "layers", "n" };
    ss_test_require(ss_json_member(&root, "layers", SS_JSON_ARRAY, &layers));
    ss_test_require(ss_json_element(&layers, 0, SS_JSON_OBJECT, &layer));
    ss_test_require(ss_json_element(&layers, 1, SS_JSON_OBJECT, &other));

#define refuse(call, part) ss_test_refuse((call), SS_ERROR_INPUT, "network.json: " part)
    refuse(ss_json_integer(&other, "width", 1, INT64_MAX, &number),
           "layers[1].width: expected a positive integer, found \"x\"");
    refuse(ss_json_integer(&layer, "rate", 0, INT64_MAX, &number),
           "layers[0].rate: expected an integer that is not negative, found 0.25");
    refuse(ss_json_integer(&layer, "width", 1, 6, &number),
           "layers[0].width: expected an integer between 1 and 6, found 7");
    refuse(ss_json_integer(&other, "height", 1, INT64_MAX, &number),
           "layers[1]: 'height' is missing: expected a positive integer");
    refuse(ss_json_integer(&root, "n", 0, INT64_MAX, &number),
           "n: expected an integer that is not negative, found -3");
    refuse(ss_json_number(&layer, "type", 0, 1, &real),
           "layers[0].type: expected a finite number, found \"Linear\"");
    refuse(ss_json_number(&layer, "rate", 0.5, 1, &real),
           "layers[0].rate: expected a number between 0.5 and 1, found 0.25");
    refuse(ss_json_number(&layer, "rate", 0.5, INFINITY, &real),
           "layers[0].rate: expected a number of at least 0.5");
    refuse(ss_json_boolean(&layer, "width", &truth), "layers[0].width: expected true or false, found 7");
    refuse(ss_json_string(&layer, "kernel", &string), "layers[0].kernel: expected a string, found an array");
    refuse(ss_json_string(&layer, "none", &string), "layers[0].none: expected a string, found null");
    refuse(ss_json_choice(&layer, "type", allowed, 2, &count),
           "layers[0].type: expected one of type, bias, found \"Linear\"");
    refuse(ss_json_integers(&layer, "kernel", 1, 9, 1, true, list, &count),
           "layers[0].kernel: expected at most 1 elements, found 2");
    refuse(ss_json_integers(&layer, "kernel", 4, 9, 2, true, list, &count),
           "layers[0].kernel[0]: expected an integer between 4 and 9, found 3");
    refuse(ss_json_integers(&layer, "stride", 1, 9, 2, false, list, &count),
           "layers[0].stride: expected an array, found 2");
    refuse(ss_json_only(&layer, allowed, 2), "layers[0]: unknown key 'width'; allowed: type, bias");
    ss_test_require(ss_json_only(&root, more, 2));
    refuse(ss_json_member(&root, "layers", SS_JSON_OBJECT, &none),
           "layers: expected an object, found an array");
    refuse(ss_json_member(&layers, "type", SS_JSON_ANY, &none), "layers: expected an object, found an array");
    refuse(ss_json_element(&layers, 2, SS_JSON_ANY, &none), "layers: expected at least 3 elements, found 2");
    refuse(ss_json_fail(&root, "too large"), "top level: too large");
#undef refuse
    ss_json_free(json);
}

Test(json, syntax_errors_have_line_and_column, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_json    *json = NULL;
    const char *path = ss_test_path("bad.json");
    ss_test_write_file(path, "{\n  \"a\": 1,\n  \"b\": ]\n}", 23);
    ss_test_refuse(ss_json_load(ss_test_context, path, &json), SS_ERROR_INPUT,
                   "bad.json:3:8: not valid JSON");
    ss_test_write_file(path, "{\"a\": 17}", 9);
    ss_test_require(ss_json_load(ss_test_context, path, &json));
    ss_json_free(json);
}

/* 65 MiB are refused before they are read. */
Test(json, size_limit, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_json    *json = NULL;
    const char *path = ss_test_path("large.json");
    FILE       *file = fopen(path, "wb");
    cr_assert(file != NULL && fseek(file, 65 << 20, SEEK_SET) == 0 && fputc(' ', file) == ' ' &&
              fclose(file) == 0);
    ss_test_refuse(ss_json_load(ss_test_context, path, &json), SS_ERROR_INPUT, "exceed the limit");
}

Test(json, every_allocation_fails_once, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_json    *json = NULL;
    const char *path = ss_test_path("good.json");
    ss_test_write_file(path, text, sizeof text - 1);
    for (int64_t nth = 1; nth <= 3; nth++) {
        ss_context_fail_allocation(ss_test_context, nth);
        ss_test_refuse(ss_json_load(ss_test_context, path, &json), SS_ERROR_MEMORY, NULL);
        cr_assert(json == NULL);
    }
}

/* Names that are not ours to trust never reach the terminal as control characters, however deep they lie. */
Test(json, places_are_printable_and_bounded, .init = ss_test_begin, .fini = ss_test_end)
{
    enum { DEPTH = 300 };
    char          nested[DEPTH * 16] = "";
    ss_json_value place[DEPTH + 1];
    size_t        used = 0;
    for (int i = 0; i < DEPTH; i++)
        used += (size_t)snprintf(nested + used, sizeof nested - used, "{\"k\\u001b\":");
    used += (size_t)snprintf(nested + used, sizeof nested - used, "1");
    for (int i = 0; i < DEPTH; i++) used += (size_t)snprintf(nested + used, sizeof nested - used, "}");
    ss_json *json = parse(nested);
    place[0] = ss_json_root(json);
    for (int i = 0; i < DEPTH; i++) {
        place[i + 1] = (ss_json_value){ .key = NULL };
        cr_assert(ss_json_next(&place[i], &place[i + 1]));
    }
    for (size_t bytes = 2; bytes < 400; bytes++) {
        char line[400];
        ss_json_place(&place[DEPTH], line, bytes);
        cr_assert(strlen(line) < bytes && strchr(line, '\x1b') == NULL);
    }
    ss_test_refuse(ss_json_fail(&place[DEPTH], "deep"), SS_ERROR_INPUT, "network.json: k?.k?.k?");
    ss_json_free(json);
}
