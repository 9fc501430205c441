/* What is generated from the tables is up to date (scripts/make_docs), and what it says is true: every field
 * that docs/json.md documents is in real results, and nothing else is. */
#include "support/program.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

static ss_test_program run;

/* ---- Up to date -----------------------------------------------------------------------------------------
 */

static void same_as_file(const char *file)
{
    size_t bytes = 0;
    char  *text = ss_test_read_file(file, &bytes);
    cr_expect(run.exit_status == 0);
    cr_expect(strlen(run.out) == bytes && memcmp(run.out, text, bytes) == 0,
              "%s is out of date: run scripts/make_docs", file);
    ss_free(ss_test_context, text);
}

Test(docs, are_up_to_date, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_test_run(&run, "help", "--man", NULL);
    same_as_file(SS_SOURCE_DIRECTORY "/docs/saddlescope.1");
    ss_test_run(&run, "help", "--schema", NULL);
    same_as_file(SS_SOURCE_DIRECTORY "/docs/json.md");
    ss_test_run(&run, "help", "--completion", "bash", NULL);
    same_as_file(SS_SOURCE_DIRECTORY "/completions/saddlescope.bash");
    ss_test_run(&run, "help", "--completion", "zsh", NULL);
    same_as_file(SS_SOURCE_DIRECTORY "/completions/_saddlescope");
    ss_test_run(&run, "help", "--completion", "fish", NULL);
    same_as_file(SS_SOURCE_DIRECTORY "/completions/saddlescope.fish");
}

/* ---- Every member of the verdict is documented (and with that, in the JSON)
 * ------------------------------------- */

Test(docs, no_member_of_the_verdict_is_forgotten, .init = ss_test_begin, .fini = ss_test_end)
{
    size_t bytes = 0;
    char  *header = ss_test_read_file(SS_SOURCE_DIRECTORY "/include/saddlescope/verdict.h", &bytes);
    char  *schema = ss_test_read_file(SS_SOURCE_DIRECTORY "/docs/json.md", &bytes);
    int    members = 0;
    /* A member is the word before the first of ; and [ on a line inside the structs of the result. */
    char *end = strstr(header, "/* ---- Asking ---- */"),
         *line = strstr(header, "typedef struct ss_interval");
    cr_assert(line != NULL && end != NULL);
    *end = '\0';
    for (line = strtok(line, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char  *comment = strstr(line, "/*"), name[80], wanted[88];
        size_t stop = strcspn(line, "[;");
        if (comment != NULL && comment < line + stop) continue;
        if (line[0] != ' ' || strspn(line, " ") > 8 || line[stop] == '\0' || strchr(line, '=') == line)
            continue;
        size_t start = stop;
        while (start > 0 && strchr(" *", line[start - 1]) == NULL) start--;
        snprintf(name, sizeof name, "%.*s", (int)(stop - start), line + start);
        /* memory, and lengths of lists */
        if (strcmp(name, "context") == 0 || strcmp(name, "vector") == 0 || strcmp(name, "high") == 0 ||
            strcmp(name, "n_blocks") == 0)
            continue;
        snprintf(wanted, sizeof wanted, "`%s`", name);
        cr_expect(strstr(schema, wanted) != NULL, "%s is not in the tables of src/report/verdict_fields.c",
                  name);
        members++;
    }
    cr_expect(members > 120, "only %d members were found", members);
    ss_free(ss_test_context, schema);
    ss_free(ss_test_context, header);
}

/* ---- The schema against real results --------------------------------------------------------------------
 */

/* One documented field: "  - `name` (kind): meaning". */
typedef struct field {
    int  depth; /* blanks before the dash, halved */
    char name[64];
    char kind[64];
} field;

/* Reads the list that starts at the line `head`; returns the number of fields. */
static int read_fields(const char *document, const char *head, field *fields, int room)
{
    const char *line = strstr(document, head);
    int         count = 0;
    cr_assert(line != NULL, "no '%s' in the schema", head);
    line += strlen(head);
    while (*line == '\n') line++;
    while (count < room) {
        field *f = &fields[count];
        int    blanks = (int)strspn(line, " ");
        if (sscanf(line + blanks, "- `%63[^`]` (%63[^)])", f->name, f->kind) != 2) break;
        f->depth = blanks / 2;
        count++;
        line = strchr(line, '\n') + 1;
    }
    return count;
}

static bool kind_fits(const char *kind, const json_t *value)
{
    if (strstr(kind, "null") != NULL && json_is_null(value)) return true;
    if (strncmp(kind, "number", 6) == 0) return json_is_number(value);
    if (strncmp(kind, "integer", 7) == 0) return json_is_integer(value);
    if (strncmp(kind, "boolean", 7) == 0) return json_is_boolean(value);
    if (strncmp(kind, "string", 6) == 0) return json_is_string(value);
    if (strncmp(kind, "name", 4) == 0)
        return json_is_string(value) || json_is_null(value) || json_is_boolean(value);
    if (strncmp(kind, "object", 6) == 0) return json_is_object(value);
    if (strncmp(kind, "array", 5) == 0) return json_is_array(value) || json_is_null(value);
    if (kind[0] == '[') return json_array_size(value) == 2;
    return false;
}

/* Checks the fields from `first` on at their depth against an object; returns the next field of less depth.
 */
static int check_object(const field *fields, int count, int first, const json_t *object, const char *where)
{
    int    depth = fields[first].depth, i = first;
    size_t documented = 0;
    while (i < count && fields[i].depth == depth) {
        const json_t *value = json_object_get(object, fields[i].name);
        int           next = i + 1;
        documented++;
        cr_expect(value != NULL, "%s: '%s' is documented and not there", where, fields[i].name);
        cr_expect(value == NULL || kind_fits(fields[i].kind, value), "%s: '%s' is no %s", where,
                  fields[i].name, fields[i].kind);
        if (next < count && fields[next].depth > depth) {
            const json_t *inner = json_is_array(value) ? json_array_get(value, 0) : value;
            if (json_is_object(inner)) next = check_object(fields, count, next, inner, fields[i].name);
            while (next < count && fields[next].depth > depth) next++;
        }
        i = next;
    }
    cr_expect(json_object_size(object) == documented, "%s: %zu members, %zu documented", where,
              json_object_size(object), documented);
    return i;
}

/* `section`: the command whose result is documented; polish gives that of analyze. */
static void check_result(const char *section, const char *json_path)
{
    static field fields[400];
    char         head[64];
    size_t       bytes = 0;
    json_t      *json = ss_test_json(json_path);
    char        *document = ss_test_read_file(SS_SOURCE_DIRECTORY "/docs/json.md", &bytes);
    char        *raw = ss_test_read_file(json_path, &bytes);

    cr_expect(json_object_size(json) == 5);
    cr_expect(strcmp(json_string_value(json_object_get(json, "schema")), "saddlescope/1") == 0);
    cr_expect(json_is_true(json_object_get(json, "complete")));
    int count = read_fields(document, "- `run` (object): what the result depends on\n", fields, 400);
    cr_assert(count > 20);
    check_object(fields, count, 0, json_object_get(json, "run"), "run");
    snprintf(head, sizeof head, "## `result` of %s\n", section);
    count = read_fields(document, head, fields, 400);
    cr_assert(count > 0);
    check_object(fields, count, 0, json_object_get(json, "result"), section);
    cr_expect(strstr(raw, "nan") == NULL && strstr(raw, "NaN") == NULL && strstr(raw, ": inf") == NULL);
    ss_free(ss_test_context, raw);
    ss_free(ss_test_context, document);
    json_decref(json);
}

#define SADDLE SS_SOURCE_DIRECTORY "/examples/toy_saddle"

Test(docs, the_schema_is_what_results_hold, .init = ss_test_begin, .fini = ss_test_end)
{
    static const char *const commands[][4] = {
        { "analyze" },
        { "eigs", "--low", "1" },
        { "hvp", "--random", "1" },
        { "gradient" },
        { "hessian" },
        { "density", "--probes", "2" },
        { "trace", "--probes", "4" },
        { "slice", "--along", "high" },
        { "info" },
        { "polish" },
        { "escape" },
        { "study", "--seeds", "0..1" },
        { "track", "--checkpoints", SADDLE },
    };
    cr_assert(chdir(ss_test_directory()) == 0);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const char *const *c = commands[i];
        ss_test_run_list(&run, (const char *const[]){ c[0], SADDLE, "--json", "r.json", c[1], c[2], NULL });
        cr_assert(run.exit_status == 0, "%s: %s", c[0], run.err);
        check_result(strcmp(c[0], "polish") == 0 ? "analyze" : c[0], "r.json");
    }
    cr_assert(chdir("/") == 0);
}

/* A case with everything in it: groups, kinks, rounded weights, Lanczos. */
Test(docs, the_schema_holds_for_larger_networks, .init = ss_test_begin, .fini = ss_test_end)
{
    cr_assert(chdir(ss_test_directory()) == 0);
    ss_test_run(&run, "analyze", SS_SOURCE_DIRECTORY "/tests/cases/relu_bce", "--loss", "bce_with_logits",
                "--json", "r.json", "--dense-limit", "0", NULL);
    cr_assert(run.exit_status == 0, "%s", run.err);
    check_result("analyze", "r.json");
    cr_assert(chdir("/") == 0);
}
