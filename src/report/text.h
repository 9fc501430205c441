/* Text that is built piece by piece: for the terminal and for --output alike. */
#ifndef SS_REPORT_TEXT_H
#define SS_REPORT_TEXT_H

#include "base/base.h"

/* The first failure is kept in `status`; later appends do nothing. Release with ss_text_release. */
typedef struct ss_text {
    ss_context *context;
    char       *bytes;    /* [length + 1], zero-terminated; NULL before the first append; owned */
    int64_t     length;   /* bytes */
    int64_t     capacity; /* bytes */
    ss_status   status;
} ss_text;

void ss_text_init(ss_context *context, ss_text *text);
void ss_text_release(ss_text *text);
void ss_text_print(ss_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends bytes as they are, of any kind. */
void ss_text_append(ss_text *text, const void *bytes, int64_t length);
/* Appends text for XML and HTML: & < > " as entities, other control characters than line ends as '?'. */
void ss_text_escape(ss_text *text, const char *words);
/* Appends words, broken before column `width`; further lines begin at column `indent`. *column is the place
 * in the line, kept up to date. Words that begin with punctuation follow the last ones without a blank. */
void ss_text_words(ss_text *text, const char *words, int indent, int width, int *column);

#define SS_NUMBER_TEXT 40 /* bytes that hold any formatted number */
/* A number with `digits` significant digits, as people write it: 0.0123, 1234.5, 1.23e-07; "unknown" for NaN.
 * Returns `out`. */
char *ss_number_text(double value, int digits, char out[SS_NUMBER_TEXT]);
/* A value rounded to where its error begins: "-9.58 +- 0.02". */
char *ss_uncertain_text(double value, double error, char out[2 * SS_NUMBER_TEXT]);
/* A count with its thousands apart: "818 048". */
char *ss_count_text(int64_t count, char out[SS_NUMBER_TEXT]);
/* A share in per cent: "14 %", "0.3 %", "< 0.01 %". */
char *ss_percent_text(double share, char out[SS_NUMBER_TEXT]);
/* A duration: "0.35 s", "12 s", "3 min 20 s", "2 h 05 min". */
char *ss_duration_text(double seconds, char out[SS_NUMBER_TEXT]);
/* Bytes: "512 B", "1.5 MiB". */
char *ss_bytes_text(int64_t bytes, char out[SS_NUMBER_TEXT]);

#endif
