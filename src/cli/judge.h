/* What the commands that give verdicts share: options of analyze, --expect, and new checkpoints. */
#ifndef SS_CLI_JUDGE_H
#define SS_CLI_JUDGE_H

#include "cli/workload.h"

/* Options of ss_analyze from the settings; those that the command does not take keep their defaults. */
void ss_judge_options(const ss_settings *settings, const ss_workload *workload, ss_analyze_options *options);
/* Options of the walk of polish, but for its steps. */
void ss_judge_polish_options(const ss_settings *settings, ss_polish_options *options);
/* Exit status by --expect. */
int ss_judge_expectation(const ss_settings *settings, const ss_verdict *verdict);
/* Writes the objective's weights to --output, reads them back and evaluates the loss of what is stored.
 * Without --output *written has no path. */
ss_status ss_judge_write(ss_workload *workload, ss_written *written);

#endif
