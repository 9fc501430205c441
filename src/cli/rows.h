/* The table of a long run: rows of structs that are kept in a CSV, which is replaced as a whole after every
 * row, so that a reader and a later --resume always find whole rows. */
#ifndef SS_CLI_ROWS_H
#define SS_CLI_ROWS_H

#include "report/report.h"

/* Reads the rows of an earlier run; none when there is no file. SS_ERROR_INPUT when the file is another
 * table. *rows owned by the caller. */
ss_status ss_rows_read(ss_context *context, const char *path, const ss_field *fields, size_t size,
                       void **rows, int64_t *count);
/* Replaces the file (nothing for path NULL). */
ss_status ss_rows_write(ss_context *context, const char *path, const ss_field *fields, size_t size,
                        const void *rows, int64_t count);

#endif
