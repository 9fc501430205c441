/* Lines of a text report. */
#include "report/lines.h"

#include <stdarg.h>
#include <stdio.h>

void ss_line_begin(ss_line *line, ss_text *text, const char *name)
{
    *line = (ss_line){ .text = text, .column = SS_LINE_INDENT };
    ss_text_print(text, "%-*s", SS_LINE_INDENT, name);
}

static void add(ss_line *line, const char *format, va_list list)
{
    char words[1024];
    vsnprintf(words, sizeof words, format, list);
    ss_text_words(line->text, words, SS_LINE_INDENT, SS_LINE_WIDTH, &line->column);
}

void ss_line_add(ss_line *line, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add(line, format, list);
    va_end(list);
}

void ss_line_end(ss_line *line)
{
    ss_text_print(line->text, "\n");
}

void ss_line_write(ss_text *text, const char *name, const char *format, ...)
{
    ss_line line;
    va_list list;
    ss_line_begin(&line, text, name);
    va_start(list, format);
    add(&line, format, list);
    va_end(list);
    ss_line_end(&line);
}
