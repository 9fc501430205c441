/* Options: what the command line said, checked. Generated from option_table.h. */
#ifndef SS_CLI_OPTIONS_H
#define SS_CLI_OPTIONS_H

#include "base/base.h"
#include "cli/option_table.h"

#include <stdio.h>

typedef enum ss_command_id {
#define SS_COMMAND_ROW(id, name, operands, function, line, text) SS_COMMAND_##id,
    SS_COMMAND_TABLE(SS_COMMAND_ROW)
#undef SS_COMMAND_ROW
        SS_COMMAND_COUNT
} ss_command_id;

typedef enum ss_option_id {
#define SS_OPTION_ROW(id, ...) SS_OPTION_##id,
    SS_OPTION_TABLE(SS_OPTION_ROW)
#undef SS_OPTION_ROW
        SS_OPTION_COUNT
} ss_option_id;

typedef enum ss_option_kind {
    SS_KIND_FLAG,    /* no argument */
    SS_KIND_INTEGER, /* decimal integer */
    SS_KIND_REAL,    /* finite decimal number */
    SS_KIND_RATIO,   /* the same, or two with a slash between them: 1/255 */
    SS_KIND_SIZE,    /* bytes with K, M, G, T (powers of 1024) */
    SS_KIND_TIME,    /* seconds with s, m, h, d */
    SS_KIND_TEXT,
    SS_KIND_TEXTS, /* repeatable */
    SS_KIND_CHOICE /* one of the words of `choices`; the value is its text */
} ss_option_kind;

typedef enum ss_option_group {
    SS_GROUP_OBJECTIVE,
    SS_GROUP_SAMPLES,
    SS_GROUP_CHOICE,
    SS_GROUP_EFFORT,
    SS_GROUP_MACHINE,
    SS_GROUP_FILES,
    SS_GROUP_COUNT
} ss_option_group;

typedef struct ss_option {
    const char     *name;     /* without dashes */
    const char     *argument; /* shown in the help; "" = a flag */
    ss_option_kind  kind;
    unsigned        commands; /* bit set of ss_command_id */
    ss_option_group group;
    double          low, high; /* numbers: inclusive range */
    const char     *choices;   /* "a|b|c"; NULL = free */
    const char     *initial;   /* default as text; NULL = absent */
    const char     *help;      /* one sentence */
} ss_option;

typedef struct ss_command {
    const char *name;
    const char *operands; /* shown in the usage line */
    const char *line;     /* what it does, short */
    const char *text;     /* a paragraph for the man page */
} ss_command;

/* A value that was given, or its default. Which member counts follows from the option's kind. */
typedef struct ss_setting {
    bool         given;  /* on the command line */
    bool         set;    /* given, or there is a default */
    double       number; /* REAL, SIZE [bytes], TIME [s]; INTEGER rounded */
    int64_t      integer;
    const char  *text;  /* TEXT, CHOICE: borrowed from argv or the table */
    const char **texts; /* TEXTS: [n_texts]; owned, the strings borrowed */
    int64_t      n_texts;
} ss_setting;

typedef struct ss_settings {
    ss_command_id command;
    const char   *network; /* the operand; borrowed */
    int           argc;    /* the whole command line, for the result; borrowed */
    char        **argv;
    ss_setting    option[SS_OPTION_COUNT];
} ss_settings;

/* The tables as arrays. */
const ss_command *ss_command_row(ss_command_id command);
const ss_option  *ss_option_row(ss_option_id option);
const char       *ss_option_group_title(ss_option_group group);
/* Number of the command or option of that exact name, -1 if there is none. */
int ss_command_find(const char *name);
int ss_option_find(const char *name);

/* Parses argv[2..] for `command`. Exact names only, each option once unless repeatable, arguments as
 * "--name value" or "--name=value"; a value that begins with two dashes needs the second form. Everything
 * wrong is SS_ERROR_USAGE with a message that names the option. Numbers are checked against their range.
 * Release with ss_settings_release in any case. */
ss_status ss_settings_parse(ss_context *context, ss_command_id command, int argc, char **argv,
                            ss_settings *settings);
void      ss_settings_release(ss_context *context, ss_settings *settings);

/* Numbers on the command line; `what` begins the message. */
ss_status ss_parse_real(ss_context *context, const char *what, const char *text, double *value);
ss_status ss_parse_integer(ss_context *context, const char *what, const char *text, int64_t *value);
ss_status ss_parse_size(ss_context *context, const char *what, const char *text, int64_t *bytes);

/* Shorthands. */
#define ss_given(settings, id)      ((settings)->option[SS_OPTION_##id].given)
#define ss_set(settings, id)        ((settings)->option[SS_OPTION_##id].set)
#define ss_real_of(settings, id)    ((settings)->option[SS_OPTION_##id].number)
#define ss_integer_of(settings, id) ((settings)->option[SS_OPTION_##id].integer)
#define ss_text_of(settings, id)    ((settings)->option[SS_OPTION_##id].text)

/* Help, man page and completion, all from the tables. `file` is written without checks; the caller looks at
 * ferror. */
void ss_help_overview(FILE *file);
void ss_help_command(FILE *file, ss_command_id command);
void ss_manual_write(FILE *file);
/* "bash", "zsh", "fish"; false for another name. */
bool ss_completion_write(FILE *file, const char *shell);

#endif
