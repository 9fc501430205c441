/* Showing the progress of long work: a bar that redraws itself on a terminal, plain lines now and then
 * elsewhere.
 *
 *     ss_progress_printer printer;
 *     ss_progress_printer_init(&printer, stderr);
 *     ss_context_set_progress(context, ss_progress_print, &printer);      (not with --quiet)
 *     ...
 *     ss_progress_clear(&printer);                                        before anything else is printed */
#ifndef SS_BASE_PROGRESS_H
#define SS_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdio.h>

typedef struct ss_progress_printer {
    FILE *stream;        /* borrowed */
    bool  terminal;      /* draw a bar (stream is a terminal) */
    int   columns;       /* of the terminal; 0 = ask it at every drawing */
    double (*now)(void); /* seconds of a monotonic clock */
    double started;      /* s, when the current work began */
    double printed;      /* s, when something was printed last */
    bool   drawn;        /* a bar stands on the current line */
    char   what[64];     /* current work; another one starts the clock anew */
} ss_progress_printer;

/* A printer for `stream`, with a bar if it is a terminal that understands control sequences. */
void ss_progress_printer_init(ss_progress_printer *printer, FILE *stream);

/* An ss_progress_function; `user` is the printer. Prints at most ten times a second on a terminal, and a line
 * every 10 s (the first after 10 s: short work stays silent) elsewhere. */
void ss_progress_print(void *user, const char *what, double done, double total, const char *remark);

/* Takes the bar away, so that other text may be printed. */
void ss_progress_clear(ss_progress_printer *printer);

#endif
