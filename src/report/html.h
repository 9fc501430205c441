/* Reports as one HTML file: no script, no reference to anything outside, pictures inline (plot.h). The head
 * forbids every request (Content-Security-Policy), so that a file from a cluster can be opened anywhere.
 *
 *     ss_html_begin(&html, "density of ...", "digits", "positive on the whole");
 *     ss_html_section(&html, "Evidence");
 *     ss_html_lines(&html, report.bytes, meanings, n);     the text report, each line with what it means
 *     ss_html_picture(&html, panels, count, "caption");
 *     ss_html_run(&html, &run);                            inputs, options, machine, times
 *     ss_html_end(&html);
 *     ss_html_write(context, path, &html); */
#ifndef SS_REPORT_HTML_H
#define SS_REPORT_HTML_H

#include "report/plot.h"
#include "report/report.h"

/* What a line of a text report means: `name` is its heading. */
typedef struct ss_html_meaning {
    const char *name;
    const char *words;
} ss_html_meaning;

/* Starts the document: title, a large word (NULL = none) and the sentence below it (NULL = none). */
void ss_html_begin(ss_text *html, const char *title, const char *word, const char *sentence);
void ss_html_section(ss_text *html, const char *heading);
/* A paragraph of formatted text. */
void ss_html_paragraph(ss_text *html, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The lines of a text report (lines.h) as a table: heading, words, what that means (where `meanings` has it).
 * A line that was not wrapped begins a statement of its own. The picture in characters (heading "spectrum")
 * is left out. */
void ss_html_lines(ss_text *html, const char *report, const ss_html_meaning *meanings, int64_t n_meanings);
/* out[size] := the words behind a heading of a text report, without lines of columns; "" where it has none.
 */
void ss_html_words_of(const char *report, const char *heading, char *out, size_t size);
/* The section on what the lines of a text report say, and those on what it depends on: the end of a report.
 */
void ss_html_evidence(ss_text *html, const ss_run *run, const ss_text *report,
                      const ss_html_meaning *meanings, int64_t n_meanings);
/* A figure with its caption (NULL = none). */
void ss_html_picture(ss_text *html, const ss_plot *panels, int64_t count, const char *caption);
/* ss_plot_draw: the same for a picture that another function describes. */
typedef struct ss_html_figure {
    ss_text    *html;
    const char *caption;
} ss_html_figure;
ss_status ss_html_draw(void *figure, const ss_plot *panels, int64_t count);
/* A table, row by row; numbers stand to the right. */
void ss_html_table_begin(ss_text *html, const char *const *heads, int64_t columns);
void ss_html_table_row(ss_text *html, const char *const *cells, int64_t columns);
void ss_html_table_end(ss_text *html);
/* The sections on what the result depends on: files, options, machine, times. */
void ss_html_run(ss_text *html, const ss_run *run);
void ss_html_end(ss_text *html);

/* Writes the file; the text's own failure first. */
ss_status ss_html_write(ss_context *context, const char *path, const ss_text *html);

/* What a verdict shows in pictures: spectrum, what is left, flat-space probe. */
void                         ss_html_verdict_pictures(ss_text *html, const ss_verdict *verdict);
extern const ss_html_meaning ss_html_verdict_meanings[];
extern const int64_t         ss_html_n_verdict_meanings;

/* The verdict: label, answer, every line explained, spectrum, what is left, flat-space probe. `report` is the
 * text of ss_report_verdict, or the one that polish prints. */
void ss_html_verdict(ss_text *html, const ss_run *run, const ss_verdict *verdict, const ss_text *report);

/* The density: both pictures, every line explained. `report` is the text of ss_report_density. */
void ss_html_density(ss_text *html, const ss_run *run, const ss_density_result *result,
                     const ss_text *report);

/* How the estimate of a trace narrowed down. */
typedef struct ss_trace_course {
    double *probes;     /* [count] taken so far */
    double *trace;      /* [count] estimate by then */
    double *low, *high; /* [count] its interval */
    int64_t count;
} ss_trace_course;
void ss_html_trace(ss_text *html, const ss_run *run, const ss_trace_result *result,
                   const ss_trace_course *course, const ss_text *report);

/* What follows a verdict; `report` is the text that the command prints. */
void ss_html_escape(ss_text *html, const ss_run *run, const ss_escape_report *result, const ss_text *report);
void ss_html_study(ss_text *html, const ss_run *run, const ss_study_result *result, const ss_text *report);
void ss_html_track(ss_text *html, const ss_run *run, const ss_track_result *result);

#endif
