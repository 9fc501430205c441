/* Parsing the command line strictly, driven by the option table. */
#include "cli/options.h"
#include "saddlescope/follow.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const ss_command commands[SS_COMMAND_COUNT] = {
#define SS_COMMAND_ROW(id, name, operands, function, line, text) { name, operands, line, text },
    SS_COMMAND_TABLE(SS_COMMAND_ROW)
#undef SS_COMMAND_ROW
};

static const ss_option options[SS_OPTION_COUNT] = {
#define SS_OPTION_ROW(id, name, argument, kind, where, group, low, high, choices, initial, help)             \
    { name, argument, SS_KIND_##kind, where, SS_GROUP_##group, low, high, choices, initial, help },
    SS_OPTION_TABLE(SS_OPTION_ROW)
#undef SS_OPTION_ROW
};

const ss_command *ss_command_row(ss_command_id command)
{
    return &commands[command];
}

const ss_option *ss_option_row(ss_option_id option)
{
    return &options[option];
}

const char *ss_option_group_title(ss_option_group group)
{
    static const char *const titles[SS_GROUP_COUNT] = { "Objective", "Samples", "Choice",
                                                        "Effort",    "Machine", "Files and messages" };
    return titles[group];
}

int ss_command_find(const char *name)
{
    for (int i = 0; i < SS_COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0) return i;
    return -1;
}

int ss_option_find(const char *name)
{
    for (int i = 0; i < SS_OPTION_COUNT; i++)
        if (strcmp(options[i].name, name) == 0) return i;
    return -1;
}

/* ---- Numbers --------------------------------------------------------------------------------------------
 */

/* Reads a finite decimal number at the start of `text`; *end is where it stops. NaN, infinity, hexadecimal
 * numbers and leading blanks are no numbers here. */
static bool decimal(const char *text, double *value, const char **end)
{
    const char *p = text;
    if (*p == '-' || *p == '+') p++;
    if (!(*p >= '0' && *p <= '9') && !(*p == '.' && p[1] >= '0' && p[1] <= '9')) return false;
    if (*p == '0' && (p[1] == 'x' || p[1] == 'X')) return false;
    char *stop = NULL;
    errno = 0;
    *value = strtod(text, &stop);
    *end = stop;
    return isfinite(*value) && !(errno == ERANGE && fabs(*value) > 1);
}

ss_status ss_parse_real(ss_context *context, const char *what, const char *text, double *value)
{
    const char *end = NULL;
    if (!decimal(text, value, &end) || *end != '\0')
        return ss_fail(context, SS_ERROR_USAGE, "%s: '%s' is not a finite number", what, text);
    return SS_OK;
}

ss_status ss_parse_integer(ss_context *context, const char *what, const char *text, int64_t *value)
{
    const char *p = text + (*text == '-' || *text == '+');
    char       *end = NULL;
    errno = 0;
    long long number = *p >= '0' && *p <= '9' ? strtoll(text, &end, 10) : 0;
    if (end == NULL || *end != '\0')
        return ss_fail(context, SS_ERROR_USAGE, "%s: '%s' is not an integer", what, text);
    if (errno == ERANGE) return ss_fail(context, SS_ERROR_USAGE, "%s: %s is too large", what, text);
    *value = number;
    return SS_OK;
}

/* "X" or "X/Y". */
static bool ratio(const char *text, double *value)
{
    const char *end = NULL;
    double      divisor = 1;
    if (!decimal(text, value, &end)) return false;
    if (*end == '/' && (!decimal(end + 1, &divisor, &end) || divisor == 0)) return false;
    *value /= divisor;
    return *end == '\0' && isfinite(*value);
}

/* A number with one of the units; factor[i] belongs to units[i]. No unit = factor 1. */
static bool number_with_unit(const char *text, const char *units, const double *factor, double *value)
{
    const char *end = NULL;
    if (!decimal(text, value, &end)) return false;
    if (*end == '\0') return true;
    const char *unit = strchr(units, *end);
    if (unit == NULL) return false;
    *value *= factor[unit - units];
    end++;
    return *end == '\0' || (strcmp(units, "KMGT") == 0 && strcmp(end, "iB") == 0);
}

ss_status ss_parse_size(ss_context *context, const char *what, const char *text, int64_t *bytes)
{
    static const double factor[] = { 1024.0, 1048576.0, 1073741824.0, 1099511627776.0 };
    double              value = 0;
    if (!number_with_unit(text, "KMGT", factor, &value) || !(fabs(value) < 9e18))
        return ss_fail(context, SS_ERROR_USAGE, "%s: '%s' is not a size like 500M or 2G", what, text);
    *bytes = (int64_t)value;
    return SS_OK;
}

/* ---- One value ------------------------------------------------------------------------------------------
 */

static bool is_choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    for (const char *p = choices; p != NULL && length > 0; p = strchr(p, '|')) {
        if (*p == '|') p++;
        if (strncmp(p, text, length) == 0 && (p[length] == '|' || p[length] == '\0')) return true;
    }
    return false;
}

static ss_status check_range(ss_context *context, const ss_option *option, const char *text, double value)
{
    if (value >= option->low && value <= option->high) return SS_OK;
    return ss_fail(context, SS_ERROR_USAGE, "--%s: %s is out of range, %g to %g is allowed", option->name,
                   text, option->low, option->high);
}

static ss_status set_value(ss_context *context, const ss_option *option, const char *text,
                           ss_setting *setting)
{
    static const double seconds[] = { 1.0, 60.0, 3600.0, 86400.0 };
    char                what[64];
    ss_status           status = SS_OK;

    snprintf(what, sizeof what, "--%s", option->name);
    setting->set = true;
    switch (option->kind) {
    case SS_KIND_FLAG: break;
    case SS_KIND_INTEGER:
        SS_TRY(ss_parse_integer(context, what, text, &setting->integer));
        setting->number = (double)setting->integer;
        SS_TRY(check_range(context, option, text, setting->number));
        break;
    case SS_KIND_REAL:
        SS_TRY(ss_parse_real(context, what, text, &setting->number));
        SS_TRY(check_range(context, option, text, setting->number));
        break;
    case SS_KIND_RATIO:
        if (!ratio(text, &setting->number))
            SS_FAIL(context, SS_ERROR_USAGE, "%s: '%s' is not a finite number or ratio like 1/255", what,
                    text);
        SS_TRY(check_range(context, option, text, setting->number));
        break;
    case SS_KIND_SIZE:
        SS_TRY(ss_parse_size(context, what, text, &setting->integer));
        setting->number = (double)setting->integer;
        SS_TRY(check_range(context, option, text, setting->number));
        break;
    case SS_KIND_TIME:
        if (!number_with_unit(text, "smhd", seconds, &setting->number))
            SS_FAIL(context, SS_ERROR_USAGE, "%s: '%s' is not a time like 90s, 10m or 2h", what, text);
        SS_TRY(check_range(context, option, text, setting->number));
        break;
    case SS_KIND_TEXT:
        if (*text == '\0')
            SS_FAIL(context, SS_ERROR_USAGE, "%s: the argument %s is empty", what, option->argument);
        setting->text = text;
        break;
    case SS_KIND_TEXTS:
        if (*text == '\0')
            SS_FAIL(context, SS_ERROR_USAGE, "%s: the argument %s is empty", what, option->argument);
        SS_TRY(
            ss_reallocate(context, setting->n_texts + 1, sizeof *setting->texts, (void **)&setting->texts));
        setting->texts[setting->n_texts++] = text;
        break;
    case SS_KIND_CHOICE:
        if (!is_choice(option->choices, text))
            SS_FAIL(context, SS_ERROR_USAGE, "%s: '%s' is none of %s", what, text, option->choices);
        setting->text = text;
        break;
    }
fail:
    return status;
}

/* ---- The whole line -------------------------------------------------------------------------------------
 */

/* The option a misspelt name may have meant: one of which it is a beginning, or which begins it. */
static const char *similar(ss_command_id command, const char *name, size_t length)
{
    for (int i = 0; i < SS_OPTION_COUNT; i++) {
        size_t own = strlen(options[i].name);
        if ((options[i].commands & (1u << command)) == 0 || length < 3) continue;
        if (strncmp(options[i].name, name, length < own ? length : own) == 0) return options[i].name;
    }
    return NULL;
}

static ss_status unknown_option(ss_context *context, ss_command_id command, const char *word, size_t length)
{
    const char *guess = strncmp(word, "--", 2) == 0 ? similar(command, word + 2, length - 2) : NULL;
    return ss_fail(context, SS_ERROR_USAGE, "unknown option %.*s%s%s%s", (int)length, word,
                   guess != NULL ? " (did you mean --" : "", guess != NULL ? guess : "",
                   guess != NULL ? "?)" : "");
}

/* Parses the option argv[*next] and moves *next behind it and its argument. */
static ss_status parse_option(ss_context *context, ss_settings *settings, int *next)
{
    const char *word = settings->argv[*next], *equals = strchr(word, '='), *value = NULL;
    size_t      length = equals != NULL ? (size_t)(equals - word) : strlen(word);
    char        name[64] = "";

    if (strcmp(word, "-h") == 0) word = "--help", length = 6;
    if (strncmp(word, "--", 2) == 0 && length - 2 < sizeof name) memcpy(name, word + 2, length - 2);
    int found = name[0] != '\0' ? ss_option_find(name) : -1;
    if (found < 0) return unknown_option(context, settings->command, word, length);

    const ss_option *option = &options[found];
    ss_setting      *setting = &settings->option[found];
    if ((option->commands & (1u << settings->command)) == 0)
        return ss_fail(context, SS_ERROR_USAGE, "option --%s does not belong to this command", name);
    if (setting->given && option->kind != SS_KIND_TEXTS)
        return ss_fail(context, SS_ERROR_USAGE, "option --%s is given twice", name);
    *next += 1;
    if (option->kind == SS_KIND_FLAG) {
        if (equals != NULL) return ss_fail(context, SS_ERROR_USAGE, "option --%s takes no argument", name);
    } else if (equals != NULL) {
        value = equals + 1;
    } else {
        value = *next < settings->argc ? settings->argv[*next] : NULL;
        if (value == NULL || strncmp(value, "--", 2) == 0)
            return ss_fail(context, SS_ERROR_USAGE, "option --%s needs an argument %s", name,
                           option->argument);
        *next += 1;
    }
    setting->given = true;
    return set_value(context, option, value, setting);
}

ss_status ss_settings_parse(ss_context *context, ss_command_id command, int argc, char **argv,
                            ss_settings *settings)
{
    ss_status status = SS_OK;
    bool      only_operands = false;

    *settings = (ss_settings){ .command = command, .argc = argc, .argv = argv };
    for (int i = 0; i < SS_OPTION_COUNT; i++)
        if (options[i].initial != NULL)
            SS_TRY(set_value(context, &options[i], options[i].initial, &settings->option[i]));
    for (int next = 2; next < argc;) {
        const char *word = argv[next];
        if (!only_operands && strcmp(word, "--") == 0) {
            only_operands = true;
            next++;
        } else if (!only_operands && word[0] == '-' && word[1] != '\0') {
            SS_TRY(parse_option(context, settings, &next));
        } else {
            if (settings->network != NULL)
                SS_FAIL(context, SS_ERROR_USAGE, "one NETWORK only: '%s' comes after '%s'", word,
                        settings->network);
            settings->network = word;
            next++;
        }
    }
    if (ss_given(settings, HELP)) return SS_OK;
    bool optional = ss_command_row(command)->operands[0] == '['; /* then the command does without */
    if (settings->network != NULL ? settings->network[0] == '\0' : !optional)
        SS_FAIL(context, SS_ERROR_USAGE, "NETWORK is missing");
    if (ss_given(settings, QUIET) && ss_given(settings, VERBOSE))
        SS_FAIL(context, SS_ERROR_USAGE, "--quiet and --verbose exclude each other");
fail:
    return status;
}

void ss_settings_release(ss_context *context, ss_settings *settings)
{
    for (int i = 0; i < SS_OPTION_COUNT; i++) {
        ss_free(context, settings->option[i].texts);
        settings->option[i].texts = NULL;
    }
}
