/* The pieces of an HTML report. */
#include "report/html.h"

#include "base/output.h"
#include "report/lines.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef char number[SS_NUMBER_TEXT];

static const char style[] =
    "body{font:15px/1.5 Helvetica,Arial,sans-serif;color:#222;background:#fff;max-width:60em;margin:2em auto;"
    "padding:0 1em}\n"
    "h1{font-size:1.3em;margin:0}h2{font-size:1.15em;margin:2em 0 .5em;border-bottom:1px solid #ddd}\n"
    ".word{font-size:2.2em;font-weight:bold;margin:.2em 0 0}.sentence{font-size:1.1em;margin:.2em 0 1em}\n"
    "table{border-collapse:collapse;margin:.5em 0}th,td{padding:.25em .8em .25em 0;text-align:left;"
    "vertical-align:top}\n"
    "tr+tr td{border-top:1px solid "
    "#eee}.means{color:#555;font-size:.92em}td{overflow-wrap:anywhere}td.number{white-space:nowrap;text-"
    "align:right;"
    "font-variant-numeric:tabular-nums}\n"
    ".value{display:block}.row{display:block;white-space:pre;font:13px/1.4 monospace}figure{margin:1em "
    "0;overflow-x:auto}figure svg{max-width:100%;height:auto}\n"
    "figcaption{color:#555;font-size:.92em}footer{margin:3em 0 1em;color:#777;font-size:.9em}\n";

void ss_html_begin(ss_text *html, const char *title, const char *word, const char *sentence)
{
    ss_text_print(html, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                        "style-src 'unsafe-inline'; img-src data:\">\n"
                        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                        "<link rel=\"icon\" href=\"data:,\">\n<title>");
    ss_text_escape(html, title);
    ss_text_print(html, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<h1>", style);
    ss_text_escape(html, title);
    ss_text_print(html, "</h1>\n");
    if (word != NULL) {
        ss_text_print(html, "<p class=\"word\">");
        ss_text_escape(html, word);
        ss_text_print(html, "</p>\n");
    }
    if (sentence == NULL) return;
    ss_text_print(html, "<p class=\"sentence\">");
    ss_text_escape(html, sentence);
    ss_text_print(html, "</p>\n");
}

void ss_html_section(ss_text *html, const char *heading)
{
    ss_text_print(html, "<h2>");
    ss_text_escape(html, heading);
    ss_text_print(html, "</h2>\n");
}

void ss_html_paragraph(ss_text *html, const char *format, ...)
{
    char    words[2048];
    va_list list;
    va_start(list, format);
    vsnprintf(words, sizeof words, format, list);
    va_end(list);
    ss_text_print(html, "<p>");
    ss_text_escape(html, words);
    ss_text_print(html, "</p>\n");
}

/* ---- A text report as a table ---------------------------------------------------------------------------
 */

static void end_row(ss_text *html, const char *means)
{
    ss_text_print(html, "</span>");
    if (means != NULL) {
        ss_text_print(html, "<span class=\"means\">");
        ss_text_escape(html, means);
        ss_text_print(html, "</span>");
    }
    ss_text_print(html, "</td></tr>\n");
}

static void escape_part(ss_text *html, const char *words, size_t length)
{
    char piece[512];
    while (length > 0) {
        size_t part = length < sizeof piece - 1 ? length : sizeof piece - 1;
        memcpy(piece, words, part);
        piece[part] = '\0';
        ss_text_escape(html, piece);
        words += part, length -= part;
    }
}

/* Length of the heading in the first columns of a line, 0 = the line goes on with the last one's words. */
static size_t heading_of(const char *line, size_t length)
{
    size_t heading = length < SS_LINE_INDENT ? length : SS_LINE_INDENT;
    if (*line == ' ') return 0;
    while (heading > 0 && line[heading - 1] == ' ') heading--;
    return heading;
}

/* What the heads of every report mean, unless the caller's own list says it. */
static const ss_html_meaning common[] = {
    { "model", "The network as it was understood, and the precision of its products." },
    { "data", "The samples that the loss is taken over. Everything below holds for these." },
    { "tokens", "The largest token id of the data, beside the number that the network knows." },
    { "objective",
      "The function that is looked at: its mean over all counted targets, and its regularisers." }
};

static const char *meaning_of(const char *line, size_t heading, const ss_html_meaning *meanings,
                              int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (strlen(meanings[i].name) == heading && strncmp(meanings[i].name, line, heading) == 0)
            return meanings[i].words;
    return NULL;
}

/* A line of columns: spaces stand for something. */
static bool is_row(const char *words, size_t length)
{
    size_t i = 0;
    while (i < length && words[i] == ' ') i++;
    for (; i + 1 < length; i++)
        if (words[i] == ' ' && words[i + 1] == ' ') return true;
    return false;
}

/* What a report says below a heading: words that flow, a statement of its own, or a line of columns. `before`
 * is the length of the line above. */
static void add_words(ss_text *html, const char *words, size_t length, bool first, size_t before)
{
    bool row = !first && is_row(words, length);
    /* Where the first word had fitted behind the last line, the break is a new statement. */
    bool fitted = before + 1 + strcspn(words, " \n") <= SS_LINE_WIDTH;
    if (row) ss_text_print(html, "<span class=\"row\">");
    if (!row && !first) ss_text_print(html, fitted ? "<br>\n" : "\n");
    escape_part(html, words, length);
    if (row) ss_text_print(html, "</span>");
}

void ss_html_lines(ss_text *html, const char *report, const ss_html_meaning *meanings, int64_t n_meanings)
{
    const char *means = NULL;
    bool        open = false, skipped = false;
    size_t      before = 0; /* length of the last line */
    ss_text_print(html, "<table>\n");
    for (const char *line = report; line != NULL && *line != '\0';) {
        size_t length = strcspn(line, "\n"), heading = heading_of(line, length);
        size_t start = length < SS_LINE_INDENT ? length : SS_LINE_INDENT;
        if (heading > 0) {
            if (open) end_row(html, means);
            skipped = heading == 8 && strncmp(line, "spectrum", 8) == 0;
            open = !skipped;
            means = meaning_of(line, heading, meanings, n_meanings);
            if (means == NULL) means = meaning_of(line, heading, common, sizeof common / sizeof *common);
            if (open) ss_text_print(html, "<tr><th>%.*s</th><td><span class=\"value\">", (int)heading, line);
        }
        if (open && !skipped && length > 0)
            add_words(html, line + start, length - start, heading > 0, before);
        before = length;
        line += length;
        if (*line == '\n') line++;
    }
    if (open) end_row(html, means);
    ss_text_print(html, "</table>\n");
}

void ss_html_words_of(const char *report, const char *heading, char *out, size_t size)
{
    bool   inside = false;
    size_t used = 0;
    out[0] = '\0';
    for (const char *line = report; line != NULL && *line != '\0';) {
        size_t length = strcspn(line, "\n"), found = heading_of(line, length);
        size_t start = length < SS_LINE_INDENT ? length : SS_LINE_INDENT;
        if (found > 0) inside = strlen(heading) == found && strncmp(heading, line, found) == 0;
        if (inside && used < size && !(found == 0 && is_row(line + start, length - start)))
            used += (size_t)snprintf(out + used, size - used, "%s%.*s", used > 0 ? " " : "",
                                     (int)(length - start), line + start);
        line += length;
        if (*line == '\n') line++;
    }
}

/* ---- Pictures and tables --------------------------------------------------------------------------------
 */

void ss_html_picture(ss_text *html, const ss_plot *panels, int64_t count, const char *caption)
{
    ss_text_print(html, "<figure>\n");
    ss_plot_svg(html, panels, count);
    if (caption != NULL) {
        ss_text_print(html, "<figcaption>");
        ss_text_escape(html, caption);
        ss_text_print(html, "</figcaption>\n");
    }
    ss_text_print(html, "</figure>\n");
}

ss_status ss_html_draw(void *figure, const ss_plot *panels, int64_t count)
{
    const ss_html_figure *f = figure;
    ss_html_picture(f->html, panels, count, f->caption);
    return SS_OK;
}

void ss_html_table_begin(ss_text *html, const char *const *heads, int64_t columns)
{
    ss_text_print(html, "<table>\n<tr>");
    for (int64_t i = 0; i < columns; i++) {
        ss_text_print(html, "<th>");
        ss_text_escape(html, heads[i]);
        ss_text_print(html, "</th>");
    }
    ss_text_print(html, "</tr>\n");
}

void ss_html_table_row(ss_text *html, const char *const *cells, int64_t columns)
{
    ss_text_print(html, "<tr>");
    for (int64_t i = 0; i < columns; i++) {
        const char *cell = cells[i] != NULL ? cells[i] : "";
        const char *digit = cell + strspn(cell, "-+< ");
        ss_text_print(html, isdigit((unsigned char)*digit) ? "<td class=\"number\">" : "<td>");
        ss_text_escape(html, cell);
        ss_text_print(html, "</td>");
    }
    ss_text_print(html, "</tr>\n");
}

void ss_html_table_end(ss_text *html)
{
    ss_text_print(html, "</table>\n");
}

/* ---- What a run was given -------------------------------------------------------------------------------
 */

static void pair(ss_text *html, const char *name, const char *words)
{
    const char *const cells[] = { name, words };
    ss_html_table_row(html, cells, 2);
}

static void option_words(const ss_run_option *o, char *out, size_t size)
{
    size_t length = 0;
    out[0] = '\0';
    if (strcmp(o->kind, "integer") == 0)
        snprintf(out, size, "%lld", (long long)o->integer);
    else if (strcmp(o->kind, "number") == 0)
        snprintf(out, size, "%g", o->number);
    else if (strcmp(o->kind, "flag") == 0)
        snprintf(out, size, "yes");
    else if (strcmp(o->kind, "texts") == 0)
        for (int64_t i = 0; i < o->n_texts && length < size; i++)
            length += (size_t)snprintf(out + length, size - length, "%s%s", i > 0 ? ", " : "", o->texts[i]);
    else
        snprintf(out, size, "%s", o->text != NULL ? o->text : "");
}

void ss_html_run(ss_text *html, const ss_run *run)
{
    static const char *const files[] = { "input", "file", "size" }, *const options[] = { "option", "value" },
                             *const machine[] = { "machine", "" };
    number                          a;
    char                            words[512];
    ss_html_section(html, "Inputs");
    ss_html_table_begin(html, files, 3);
    for (int64_t i = 0; i < run->n_files; i++) {
        const char *const cells[] = { run->files[i].role, run->files[i].path,
                                      ss_bytes_text(run->files[i].bytes, a) };
        ss_html_table_row(html, cells, 3);
    }
    ss_html_table_end(html);
    if (run->chosen != NULL)
        ss_html_paragraph(html, "%lld of %lld samples were used; their numbers are in the JSON.",
                          (long long)run->n_chosen, (long long)run->samples_in_file);
    ss_html_table_begin(html, options, 2);
    for (int64_t i = 0; i < run->n_options; i++) {
        if (!run->options[i].given) continue;
        option_words(&run->options[i], words, sizeof words);
        pair(html, run->options[i].name, words);
    }
    pair(html, "(all others)", "at their defaults");
    ss_html_table_end(html);

    ss_html_section(html, "Machine and times");
    ss_html_table_begin(html, machine, 2);
    pair(html, "device", run->device_description);
    snprintf(words, sizeof words, "%s, %d threads", run->precision, run->threads);
    pair(html, "precision", words);
    for (int64_t i = 0; i < run->n_libraries; i++)
        pair(html, run->libraries[i].name, run->libraries[i].version);
    pair(html, "started", run->started);
    pair(html, "reading and checking", ss_duration_text(run->seconds_open, a));
    pair(html, "in all", ss_duration_text(run->seconds_total, a));
    pair(html, "memory at its highest", ss_bytes_text(run->memory_peak, a));
    ss_html_table_end(html);
    ss_text_print(html, "<footer>saddlescope ");
    ss_text_escape(html, run->command);
    ss_text_print(html, ", version ");
    ss_text_escape(html, run->version);
    ss_text_print(html, ", ");
    ss_text_escape(html, run->compiler);
    ss_text_print(html, "</footer>\n");
}

void ss_html_evidence(ss_text *html, const ss_run *run, const ss_text *report,
                      const ss_html_meaning *meanings, int64_t n_meanings)
{
    ss_html_section(html, "Evidence, line by line");
    ss_html_lines(html, report->bytes, meanings, n_meanings);
    ss_html_run(html, run);
    ss_html_end(html);
}

void ss_html_end(ss_text *html)
{
    ss_text_print(html, "</body>\n</html>\n");
}

ss_status ss_html_write(ss_context *context, const char *path, const ss_text *html)
{
    if (html->status != SS_OK) return html->status;
    return ss_output_file(context, path, html->bytes, (size_t)html->length);
}
