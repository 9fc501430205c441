/* Writing files that are whole or absent: written beside the target, made durable, renamed over it.
 *
 *     ss_output *output = NULL;
 *     SS_TRY(ss_output_open(context, path, &output));
 *     SS_TRY(ss_output_write(output, data, bytes));
 *     SS_TRY(ss_output_commit(&output));
 * fail:
 *     ss_output_abort(&output);
 *
 * A target that exists and is no regular file (/dev/stdout, a pipe) is written directly. Every failure is
 * SS_ERROR_OUTPUT with the target's name and the system's reason. */
#ifndef SS_BASE_OUTPUT_H
#define SS_BASE_OUTPUT_H

#include "base/base.h"

typedef struct ss_output ss_output;

/* Starts "<path>.part" (the end of a symbolic link is followed first). A left-over of a killed run is
 * replaced; one that another process is writing right now is refused. On failure *output is NULL and nothing
 * was created. */
ss_status ss_output_open(ss_context *context, const char *path, ss_output **output);

/* Appends bytes; buffered. */
ss_status ss_output_write(ss_output *output, const void *data, size_t bytes);

/* Appends formatted text of any length. */
ss_status ss_output_print(ss_output *output, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Bytes appended so far. */
int64_t ss_output_position(const ss_output *output);

/* Flushes, syncs, renames over the target. *output is NULL afterwards; on failure the old target stands as it
 * was and the part is removed. */
ss_status ss_output_commit(ss_output **output);

/* Removes the part, leaves the target alone, sets *output to NULL; nothing when it is NULL already. */
void ss_output_abort(ss_output **output);

/* Writes a whole file at once. */
ss_status ss_output_file(ss_context *context, const char *path, const void *data, size_t bytes);

#endif
