/* Texts and exit statuses, generated from the one table in saddlescope/status.h. */
#include "saddlescope/status.h"

#include <stddef.h>

typedef struct ss_status_row {
    const char *text;        /* short English text */
    int         exit_status; /* of the command line */
} ss_status_row;

static const ss_status_row rows[] = {
#define SS_STATUS_ROW(name, exit_status, text) [name] = { text, exit_status },
    SS_STATUS_TABLE(SS_STATUS_ROW)
#undef SS_STATUS_ROW
};

static const ss_status_row *find(ss_status status)
{
    size_t index = (size_t)status;
    return index < sizeof rows / sizeof rows[0] ? &rows[index] : &rows[SS_ERROR_INTERNAL];
}

const char *ss_status_text(ss_status status)
{
    return find(status)->text;
}

int ss_status_exit(ss_status status)
{
    return find(status)->exit_status;
}
