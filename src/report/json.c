/* The result as JSON, and the documentation of its schema. */
#include "base/json_text.h"
#include "base/output.h"
#include "report/run_fields.h"

#include <stdlib.h>
#include <string.h>

static json_t *texts_json(const ss_run_option *option)
{
    json_t *array = json_array();
    for (int64_t i = 0; array != NULL && i < option->n_texts; i++)
        if (json_array_append_new(array, json_string(option->texts[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *option_json(const ss_run_option *option)
{
    json_t *value = NULL;
    if (strcmp(option->kind, "flag") == 0)
        value = json_boolean(option->given);
    else if (strcmp(option->kind, "texts") == 0)
        value = texts_json(option);
    else if (strcmp(option->kind, "absent") == 0)
        value = json_null();
    else if (strcmp(option->kind, "integer") == 0)
        value = json_integer(option->integer);
    else if (strcmp(option->kind, "number") == 0)
        value = ss_json_real(option->number);
    else
        value = option->text != NULL ? json_string(option->text) : json_null();
    return json_pack("{s:o, s:b}", "value", value, "given", option->given);
}

static json_t *options_json(const ss_run *run)
{
    json_t *object = json_object();
    for (int64_t i = 0; object != NULL && i < run->n_options; i++)
        if (json_object_set_new(object, run->options[i].name, option_json(&run->options[i])) != 0) {
            json_decref(object);
            return NULL;
        }
    return object;
}

static json_t *document_json(const ss_run *run, bool complete, const ss_field *fields, const void *result)
{
    json_t *document = json_pack("{s:s, s:b}", "schema", SS_SCHEMA, "complete", complete);
    int     failed = document == NULL;
    if (failed) return NULL;
    failed |= json_object_set_new(document, "run", ss_fields_json(ss_run_fields, run));
    failed |= json_object_set_new(document, "options", options_json(run));
    failed |= json_object_set_new(document, "result",
                                  result != NULL ? ss_fields_json(fields, result) : json_null());
    if (!failed) return document;
    json_decref(document);
    return NULL;
}

ss_status ss_report_json(ss_context *context, const char *path, const ss_run *run, bool complete,
                         const ss_field *fields, const void *result)
{
    ss_status status = SS_OK;
    char     *text = NULL;
    size_t    length = 0;
    json_t   *document = document_json(run, complete, fields, result);
    /* A path that is no UTF-8 is the only input that jansson refuses; it is not worth losing the result for.
     */
    if (document == NULL)
        SS_FAIL(context, SS_ERROR_MEMORY, "%s: the result does not fit into memory, or a name is not UTF-8",
                path);
    SS_TRY(ss_json_dump(context, path, document, JSON_INDENT(1) | JSON_REAL_PRECISION(17), &text, &length));
    text[length++] = '\n'; /* the place of the zero: JSON text ends its line */
    SS_TRY(ss_output_file(context, path, text, length));
fail:
    ss_free(context, text);
    json_decref(document);
    return status;
}

void ss_report_document(FILE *file)
{
    static const struct {
        const char     *command;
        const ss_field *fields;
    } results[] = { { "analyze", ss_verdict_fields }, { "eigs", ss_eigs_fields },
                    { "hvp", ss_product_fields },     { "gradient", ss_gradient_fields },
                    { "hessian", ss_hessian_fields }, { "info", ss_info_fields },
                    { "density", ss_density_fields }, { "trace", ss_trace_fields },
                    { "slice", ss_slice_fields },     { "polish", ss_verdict_fields },
                    { "escape", ss_escape_fields },   { "study", ss_study_fields },
                    { "track", ss_track_fields } };
    const ss_field *verdict = results[0].fields;
    fputs("# JSON results, schema `" SS_SCHEMA "`\n\n"
          "Written by `--json FILE`. Generated from the tables that write it (`scripts/make_docs`).\n\n"
          "The file is there from the first minute with `\"complete\": false` and is replaced as a whole "
          "while\n"
          "work goes on. Numbers that were not determined, NaN and infinity are `null`. Curvatures are in "
          "units\n"
          "of the loss per squared unit of the parameters; u is the unit roundoff of the working precision, "
          "u64\n"
          "= 2^-53; W is the working operator, C the confirming one in float64; g the gradient, v a unit "
          "vector.\n\n"
          "- `schema` (string): `" SS_SCHEMA "`\n"
          "- `complete` (boolean): false while the run goes on, and after it was stopped\n"
          "- `run` (object): what the result depends on\n",
          file);
    ss_fields_document(file, ss_run_fields, 1);
    fputs("- `options` (object): every option of the command by its name, each an object\n"
          "  - `value`: as used, the default where it was not given, null where there is none\n"
          "  - `given` (boolean): on the command line\n"
          "- `result` (object or null): by command\n",
          file);
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        fprintf(file, "\n## `result` of %s\n\n", results[i].command);
        if (i > 0 && results[i].fields == verdict)
            fputs("As the result of analyze.\n", file);
        else
            ss_fields_document(file, results[i].fields, 0);
    }
}
