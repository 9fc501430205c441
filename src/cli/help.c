/* --help, written from the tables. */
#include "cli/options.h"

#include <string.h>

#define HELP_WIDTH  100 /* columns */
#define HELP_INDENT 32  /* column of the explanations */

static const char network_forms[] =
    "NETWORK  a folder with network.json, weights.safetensors, data.safetensors and objective.json\n"
    "         (scripts/export_torch.py writes one) | network.json with --weights FILE |\n"
    "         mlp:64-16-10:tanh (seeded by --seed)\n";

/* Prints words from `column` on, wrapped. */
static void wrap(FILE *file, const char *text, int column)
{
    int at = column;
    for (const char *p = text; *p != '\0';) {
        size_t length = strcspn(p, " ");
        if (at > column && at + 1 + (int)length > HELP_WIDTH) {
            fprintf(file, "\n%*s", column, "");
            at = column;
        }
        if (at > column) fputc(' ', file), at++;
        fwrite(p, 1, length, file);
        at += (int)length;
        p += length;
        while (*p == ' ') p++;
    }
    fputc('\n', file);
}

void ss_help_overview(FILE *file)
{
    fputs(
        "saddlescope: is a trained network at a minimum, at a saddle or at neither, and how sure is that?\n\n"
        "usage: saddlescope COMMAND NETWORK [options]\n\n",
        file);
    for (int i = 0; i < SS_COMMAND_COUNT; i++) {
        const ss_command *command = ss_command_row((ss_command_id)i);
        fprintf(file, "  %-10s %s\n", command->name, command->line);
    }
    fprintf(file, "\n%s\n", network_forms);
    fputs(
        "'saddlescope COMMAND --help' lists the options of a command; 'saddlescope --version' the version.\n",
        file);
}

static void print_option(FILE *file, const ss_option *option)
{
    char left[160], text[512];
    snprintf(left, sizeof left, "  --%s%s%s", option->name, option->argument[0] != '\0' ? " " : "",
             option->argument);
    snprintf(text, sizeof text, "%s%s%s%s%s%s", option->choices != NULL ? option->choices : "",
             option->choices != NULL ? ": " : "", option->help, option->initial != NULL ? " [" : "",
             option->initial != NULL ? option->initial : "", option->initial != NULL ? "]" : "");
    if ((int)strlen(left) >= HELP_INDENT)
        fprintf(file, "%s\n%*s", left, HELP_INDENT, "");
    else
        fprintf(file, "%-*s", HELP_INDENT, left);
    wrap(file, text, HELP_INDENT);
}

void ss_help_command(FILE *file, ss_command_id id)
{
    const ss_command *command = ss_command_row(id);
    fprintf(file, "usage: saddlescope %s %s [options]\n\n", command->name, command->operands);
    wrap(file, command->text, 0);
    fprintf(file, "\n%s", network_forms);
    for (int group = 0; group < SS_GROUP_COUNT; group++) {
        bool titled = false;
        for (int i = 0; i < SS_OPTION_COUNT; i++) {
            const ss_option *option = ss_option_row((ss_option_id)i);
            if ((int)option->group != group || (option->commands & (1u << id)) == 0) continue;
            if (!titled) fprintf(file, "\n%s\n", ss_option_group_title((ss_option_group)group));
            titled = true;
            print_option(file, option);
        }
    }
}
