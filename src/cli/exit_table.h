/* Exit statuses of the command line: name, number, meaning. */
#ifndef SS_CLI_EXIT_TABLE_H
#define SS_CLI_EXIT_TABLE_H

/* clang-format off */
#define SS_EXIT_TABLE(row) \
    row(SS_EXIT_DONE, 0, "Finished: any verdict, also when --max-products or --time-limit ended it.") \
    row(SS_EXIT_FAILED, 1, "Run-time failure.") \
    row(SS_EXIT_USAGE, 2, "Wrong usage.") \
    row(SS_EXIT_INPUT, 3, "Bad input, or an output that cannot be written; the message names file and field.") \
    row(SS_EXIT_UNEXPECTED, 4, "The verdict is not the one given by --expect, or escape found nothing to leave.") \
    row(SS_EXIT_INCONCLUSIVE, 5, "--expect was given and the verdict is inconclusive.") \
    row(SS_EXIT_REFUSED, 6, "Refused before the start because memory, disk or time will not do.") \
    row(SS_EXIT_RESUMABLE, 75, "Stopped by a signal; --resume goes on from the checkpoint or, study and track, from the table.") \
    row(SS_EXIT_INTERRUPTED, 130, "Interrupted by SIGINT with nothing to resume.") \
    row(SS_EXIT_TERMINATED, 143, "Stopped by another signal with nothing to resume.")
/* clang-format on */

typedef enum ss_exit {
#define SS_EXIT_ROW(name, number, text) name = number,
    SS_EXIT_TABLE(SS_EXIT_ROW)
#undef SS_EXIT_ROW
} ss_exit;

#endif
