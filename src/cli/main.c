/* saddlescope: finds the subcommand, prepares the context, runs it, reports its failure, exits. */
#include "cli/commands.h"
#include "backend/backend.h"
#include "base/progress.h"
#include "base/signals.h"
#include "report/report.h"

#include "saddlescope_config.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Where messages go. */
typedef struct terminal {
    ss_progress_printer printer; /* of the progress */
    ss_log_level        level;   /* least important level shown */
} terminal;

static void print_log(void *user, ss_log_level level, const char *line)
{
    terminal *t = user;
    if (level > t->level) return;
    ss_progress_clear(&t->printer);
    fprintf(stderr, "saddlescope: %s%s\n", level == SS_LOG_WARNING ? "warning: " : "", line);
}

static ss_status prepare(ss_context *context, const ss_settings *settings, terminal *t)
{
    ss_status status = SS_OK;
    ss_progress_printer_init(&t->printer, stderr);
    t->level = ss_given(settings, VERBOSE) ? SS_LOG_DEBUG
                                           : (ss_given(settings, QUIET) ? SS_LOG_ERROR : SS_LOG_WARNING);
    ss_context_set_log(context, print_log, t);
    if (!ss_given(settings, QUIET)) ss_context_set_progress(context, ss_progress_print, &t->printer);
    if (ss_given(settings, THREADS))
        SS_TRY(ss_context_set_threads(context, (int)ss_integer_of(settings, THREADS)));
    SS_TRY(ss_signals_install(context));
fail:
    return status;
}

static ss_status run(ss_context *context, const ss_settings *settings, int *exit_status)
{
    typedef ss_status (*function)(ss_context *, const ss_settings *, int *);
    static const function functions[SS_COMMAND_COUNT] = {
#define SS_COMMAND_ROW(id, name, operands, function, line, text) function,
        SS_COMMAND_TABLE(SS_COMMAND_ROW)
#undef SS_COMMAND_ROW
    };
    return functions[settings->command](context, settings, exit_status);
}

/* The exit status of a failure: an interruption with nothing to resume ends like the signal itself. */
static int exit_of(ss_status status, const ss_settings *settings)
{
    if (status != SS_ERROR_INTERRUPTED) return ss_status_exit(status);
    /* study and track go on from the table itself. */
    bool        table = settings->command == SS_COMMAND_STUDY || settings->command == SS_COMMAND_TRACK;
    const char *kept = ss_text_of(settings, CHECKPOINT);
    if (table) kept = ss_text_of(settings, OUTPUT);
    if (kept != NULL && access(kept, F_OK) == 0) return SS_EXIT_RESUMABLE;
    return ss_signals_received() == SIGINT ? SS_EXIT_INTERRUPTED : SS_EXIT_TERMINATED;
}

static int run_command(ss_command_id command, int argc, char **argv)
{
    ss_context *context = NULL;
    ss_settings settings = { .command = command };
    terminal    t = { .level = SS_LOG_WARNING };
    int         exit_status = SS_EXIT_DONE;
    ss_status   status = ss_context_create(&context);
    if (status != SS_OK) {
        fprintf(stderr, "saddlescope: %s\n", ss_status_text(status));
        return ss_status_exit(status);
    }
    status = ss_settings_parse(context, command, argc, argv, &settings);
    if (status == SS_OK && ss_given(&settings, HELP)) {
        ss_help_command(stdout, command);
    } else {
        if (status == SS_OK) status = prepare(context, &settings, &t);
        if (status == SS_OK) status = run(context, &settings, &exit_status);
        ss_progress_clear(&t.printer);
    }
    if (status != SS_OK) {
        const char *message = ss_context_message(context);
        const char *name = ss_command_row(command)->name;
        fprintf(stderr, "saddlescope %s: %s", name, message[0] != '\0' ? message : ss_status_text(status));
        if (status == SS_ERROR_USAGE) fprintf(stderr, "; see 'saddlescope %s --help'", name);
        fputc('\n', stderr);
        exit_status = exit_of(status, &settings);
    }
    ss_settings_release(context, &settings);
    ss_context_destroy(context);
    return exit_status;
}

static void print_version(void)
{
    printf("saddlescope %s (%s)\n", SS_VERSION, SS_COMPILER);
}

static int usage(const char *text, const char *word)
{
    fprintf(stderr, "saddlescope: %s%s%s%s; see 'saddlescope --help'\n", text, word != NULL ? " '" : "",
            word != NULL ? word : "", word != NULL ? "'" : "");
    return SS_EXIT_USAGE;
}

/* "help", "help COMMAND", and what scripts/make_docs asks for. */
static int help(int argc, char **argv)
{
    if (argc == 2) {
        ss_help_overview(stdout);
    } else if (argc == 3 && strcmp(argv[2], "--man") == 0) {
        ss_manual_write(stdout);
    } else if (argc == 3 && strcmp(argv[2], "--schema") == 0) {
        ss_report_document(stdout);
    } else if (argc == 4 && strcmp(argv[2], "--completion") == 0) {
        if (!ss_completion_write(stdout, argv[3])) return usage("no completion for the shell", argv[3]);
    } else {
        int command = ss_command_find(argv[2]);
        if (command < 0 || argc > 3) return usage("no help for", argv[command < 0 ? 2 : 3]);
        ss_help_command(stdout, (ss_command_id)command);
    }
    return SS_EXIT_DONE;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        ss_help_overview(stderr);
        return SS_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return ss_help_overview(stdout), SS_EXIT_DONE;
    if (strcmp(argv[1], "--version") == 0) return print_version(), SS_EXIT_DONE;
    if (strcmp(argv[1], "help") == 0) return help(argc, argv);
    int command = ss_command_find(argv[1]);
    if (command < 0)
        return usage(argv[1][0] == '-' ? "a command comes first, not" : "unknown command", argv[1]);
    return run_command((ss_command_id)command, argc, argv);
}

int main(int argc, char **argv)
{
    ss_blas_prepare_environment();
    int status = dispatch(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == SS_EXIT_DONE) {
        fprintf(stderr, "saddlescope: standard output cannot be written\n");
        status = ss_status_exit(SS_ERROR_OUTPUT);
    }
    return status;
}
