/* Status codes: what every fallible function of Saddlescope returns.
 *
 * The code says which kind of failure it was; the message (which file or option, what was found, what to do)
 * travels in the ss_context. The library never exits, aborts or re-executes the process. */
#ifndef SADDLESCOPE_STATUS_H
#define SADDLESCOPE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* One row per status: enumerator, exit status of the command line, short English text. An output that cannot
 * be written counts as bad input: it is a file that was named wrongly or a disk that is full. */
/* clang-format off */
#define SS_STATUS_TABLE(row) \
    row(SS_OK, 0, "success") \
    row(SS_ERROR_RUNTIME, 1, "run-time failure") \
    row(SS_ERROR_MEMORY, 1, "out of memory") \
    row(SS_ERROR_DEVICE, 1, "device failure") \
    row(SS_ERROR_OUTPUT, 3, "output cannot be written") \
    row(SS_ERROR_NUMERIC, 1, "not a number or infinite value computed") \
    row(SS_ERROR_INTERNAL, 1, "internal inconsistency") \
    row(SS_ERROR_USAGE, 2, "wrong usage") \
    row(SS_ERROR_INPUT, 3, "bad input") \
    row(SS_ERROR_REFUSED, 6, "refused before the start") \
    row(SS_ERROR_INTERRUPTED, 75, "stopped by a signal")
/* clang-format on */

typedef enum ss_status {
#define SS_STATUS_ROW(name, exit_status, text) name,
    SS_STATUS_TABLE(SS_STATUS_ROW)
#undef SS_STATUS_ROW
} ss_status;

/* Short English text of a status; never NULL. */
const char *ss_status_text(ss_status status);

/* Exit status of the command line for a status (DESIGN, command line). */
int ss_status_exit(ss_status status);

#ifdef __cplusplus
}
#endif
#endif
