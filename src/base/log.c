/* Log lines and progress reports on their way to the functions set on the context. */
#include "base/context_private.h"

#include <stdarg.h>
#include <stdio.h>

#define SS_LOG_LINE_BYTES 2048

void ss_log(ss_context *context, ss_log_level level, const char *format, ...)
{
    if (context->log == NULL) return;
    char    line[SS_LOG_LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    context->log(context->log_user, level, line);
}

void ss_progress(ss_context *context, const char *what, double done, double total, const char *remark)
{
    if (context->progress == NULL) return;
    context->progress(context->progress_user, what, done, total, remark != NULL ? remark : "");
}
