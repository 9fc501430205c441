/* Lines "name   words ..." of a text report: a heading in the left column, wrapped words in the right one. */
#ifndef SS_REPORT_LINES_H
#define SS_REPORT_LINES_H

#include "report/text.h"

#define SS_LINE_INDENT 14  /* column of the words */
#define SS_LINE_WIDTH  110 /* columns */

typedef struct ss_line {
    ss_text *text;
    int      column; /* where the line is now */
} ss_line;

/* Starts a line; `name` may be "" for one that goes on below the last heading. */
void ss_line_begin(ss_line *line, ss_text *text, const char *name);
/* Appends formatted words (at most 1023 bytes a call), wrapped. */
void ss_line_add(ss_line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ss_line_end(ss_line *line);
/* All at once. */
void ss_line_write(ss_text *text, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
