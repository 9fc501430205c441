/* The table of a long run; see rows.h. */
#include "cli/rows.h"
#include "base/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static ss_status read_whole(ss_context *context, const char *path, char **bytes)
{
    ss_status status = SS_OK;
    FILE     *file = fopen(path, "rb");
    int64_t   used = 0, room = 0;
    *bytes = NULL;
    if (file == NULL) {
        if (errno == ENOENT) return SS_OK;
        return ss_fail(context, SS_ERROR_INPUT, "%s: %s", path, strerror(errno));
    }
    for (;;) {
        if (used + 4096 > room) {
            room = room > 0 ? 2 * room : 65536;
            SS_TRY(ss_reallocate(context, room + 1, 1, (void **)bytes));
        }
        size_t got = fread(*bytes + used, 1, (size_t)(room - used), file);
        used += (int64_t)got;
        if (got == 0) break;
    }
    if (ferror(file)) SS_FAIL(context, SS_ERROR_INPUT, "%s: cannot be read: %s", path, strerror(errno));
    (*bytes)[used] = '\0';
fail:
    fclose(file);
    return status;
}

ss_status ss_rows_read(ss_context *context, const char *path, const ss_field *fields, size_t size,
                       void **rows, int64_t *count)
{
    ss_status status = SS_OK;
    char     *bytes = NULL;
    *rows = NULL;
    *count = 0;
    SS_TRY(read_whole(context, path, &bytes));
    if (bytes != NULL && bytes[0] != '\0')
        SS_TRY(ss_report_csv_read(context, path, bytes, fields, size, rows, count));
fail:
    ss_free(context, bytes);
    return status;
}

ss_status ss_rows_write(ss_context *context, const char *path, const ss_field *fields, size_t size,
                        const void *rows, int64_t count)
{
    ss_text   text;
    ss_status status = SS_OK;
    if (path == NULL) return SS_OK;
    ss_text_init(context, &text);
    ss_report_csv(&text, fields, rows, count, size);
    SS_TRY(text.status);
    SS_TRY(ss_output_file(context, path, text.bytes, (size_t)text.length));
fail:
    ss_text_release(&text);
    return status;
}
