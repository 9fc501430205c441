/* One function per subcommand: parse nothing, compute nothing; call the library, hand the result to report/.
 *
 * Each returns the status of its failure; *exit_status is set for the endings that are no failure (--expect,
 * signals with a checkpoint). */
#ifndef SS_CLI_COMMANDS_H
#define SS_CLI_COMMANDS_H

#include "cli/exit_table.h"
#include "cli/options.h"

#define SS_COMMAND_ROW(id, name, operands, function, line, text)                                             \
    ss_status function(ss_context *context, const ss_settings *settings, int *exit_status);
SS_COMMAND_TABLE(SS_COMMAND_ROW)
#undef SS_COMMAND_ROW

#endif
