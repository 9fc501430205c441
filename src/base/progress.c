/* Progress bar and progress lines; see progress.h. */
#define _DEFAULT_SOURCE /* TIOCGWINSZ */
#include "base/progress.h"
#include "base/base.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SECONDS_BETWEEN_DRAWINGS 0.1
#define SECONDS_BETWEEN_LINES    10.0
#define BAR_CELLS                24
#define LINE_BYTES               512

void ss_progress_printer_init(ss_progress_printer *printer, FILE *stream)
{
    const char *kind = getenv("TERM");
    *printer = (ss_progress_printer){ .stream = stream, .now = ss_seconds };
    printer->terminal = isatty(fileno(stream)) && kind != NULL && strcmp(kind, "dumb") != 0;
}

static int terminal_columns(const ss_progress_printer *printer)
{
    struct winsize size;
    if (printer->columns > 0) return printer->columns;
    if (ioctl(fileno(printer->stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return 80;
}

/* "1:02:03", "2:03" or "7 s". */
static void format_duration(double seconds, char *text, size_t bytes)
{
    long long whole = llround(fmin(seconds, 1e9));
    if (whole >= 3600)
        snprintf(text, bytes, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    else if (whole >= 60)
        snprintf(text, bytes, "%lld:%02lld", whole / 60, whole % 60);
    else
        snprintf(text, bytes, "%lld s", whole);
}

/* "products 18 of 40, 45 %, 12 s, 14 s left, remark" */
static void format_line(double elapsed, const char *what, double done, double total, const char *remark,
                        char *line)
{
    char spent[32], left[48] = "", rest[32];
    format_duration(elapsed, spent, sizeof spent);
    if (done > 0 && total > done) {
        format_duration(elapsed / done * (total - done), rest, sizeof rest);
        snprintf(left, sizeof left, ", %s left", rest);
    }
    if (total > 0)
        snprintf(line, LINE_BYTES, "%s %.10g of %.10g, %.0f %%, %s%s%s%s", what, done, total,
                 100.0 * fmin(done / total, 1.0), spent, left, remark[0] != '\0' ? ", " : "", remark);
    else
        snprintf(line, LINE_BYTES, "%s %.10g, %s%s%s", what, done, spent, remark[0] != '\0' ? ", " : "",
                 remark);
}

static void draw_bar(ss_progress_printer *printer, double done, double total, const char *line)
{
    char bar[BAR_CELLS + 1] = "";
    int  columns = terminal_columns(printer);
    if (total > 0) {
        int filled = (int)(BAR_CELLS * fmax(0.0, fmin(done / total, 1.0)));
        memset(bar, '-', BAR_CELLS);
        memset(bar, '#', (size_t)filled);
    }
    /* One column stays free: a full line would move some terminals to the next. */
    int room = columns - 1 - (total > 0 ? BAR_CELLS + 3 : 0);
    if (total > 0 && room >= 16)
        fprintf(printer->stream, "\r\033[K[%s] %.*s", bar, room, line);
    else
        fprintf(printer->stream, "\r\033[K%.*s", columns > 1 ? columns - 1 : 1, line);
    printer->drawn = true;
}

void ss_progress_print(void *user, const char *what, double done, double total, const char *remark)
{
    ss_progress_printer *printer = user;
    char                 line[LINE_BYTES];
    double               now = printer->now();
    if (strncmp(printer->what, what, sizeof printer->what - 1) != 0 || printer->what[0] == '\0') {
        snprintf(printer->what, sizeof printer->what, "%s", what);
        printer->started = now;
        printer->printed = printer->terminal ? -INFINITY : now;
    }
    if (now - printer->printed < (printer->terminal ? SECONDS_BETWEEN_DRAWINGS : SECONDS_BETWEEN_LINES))
        return;
    printer->printed = now;
    format_line(now - printer->started, what, done, total, remark, line);
    if (printer->terminal)
        draw_bar(printer, done, total, line);
    else
        fprintf(printer->stream, "%s\n", line);
    fflush(printer->stream);
}

void ss_progress_clear(ss_progress_printer *printer)
{
    if (printer->drawn) {
        fputs("\r\033[K", printer->stream);
        fflush(printer->stream);
    }
    printer->drawn = false;
}
