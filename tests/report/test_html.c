/* HTML reports: hostile names stay text, lines keep their statements apart, tables and failures. What a
 * browser makes of whole reports is tests/scripts/test_html.py's business. */
#include "report/html.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define HOSTILE "<script>alert(\"1\")</script>&amp;\x01"

static const ss_html_meaning meanings[] = { { "loss", "What the loss is." }, { "left here", HOSTILE } };

/* A report of everything, with a hostile name wherever a name can come from outside. */
static void whole(ss_text *html)
{
    ss_run_file   files[] = { { "data", HOSTILE, 12 } };
    const char   *texts[] = { HOSTILE, "second" };
    ss_run_option options[] = {
        { .name = "json", .kind = "text", .given = true, .text = HOSTILE },
        { .name = "parameters", .kind = "texts", .given = true, .texts = texts, .n_texts = 2 },
        { .name = "seed", .kind = "integer", .given = true, .integer = 7 },
        { .name = "quiet", .kind = "flag", .given = true },
        { .name = "tau", .kind = "number", .given = false, .number = 0.25 }
    };
    ss_run            run = { .command = "analyze",
                              .version = "1",
                              .compiler = "c",
                              .started = "now",
                              .network = HOSTILE,
                              .device_description = HOSTILE,
                              .precision = "float64",
                              .files = files,
                              .n_files = 1,
                              .options = options,
                              .n_options = 5 };
    const char *const heads[] = { "name", HOSTILE }, *const cells[] = { "-1.5", HOSTILE };
    double         x[] = { 0, 1 };
    ss_plot_series s = { .name = HOSTILE, .x = x, .y = x, .count = 2 };
    ss_plot        plot = { .title = HOSTILE, .series = &s, .n_series = 1 };
    ss_html_begin(html, HOSTILE, HOSTILE, HOSTILE);
    ss_html_section(html, HOSTILE);
    ss_html_paragraph(html, "%s", HOSTILE);
    ss_html_lines(html, "loss          " HOSTILE "\nleft here     words\n", meanings, 2);
    ss_html_picture(html, &plot, 1, HOSTILE);
    ss_html_table_begin(html, heads, 2);
    ss_html_table_row(html, cells, 2);
    ss_html_table_end(html);
    ss_html_run(html, &run);
    ss_html_end(html);
}

Test(html, hostile_names_stay_text, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_text html;
    ss_text_init(ss_test_context, &html);
    whole(&html);
    ss_test_require(html.status);
    cr_expect(strstr(html.bytes, "<script") == NULL && strchr(html.bytes, 1) == NULL);
    int shown = 0;
    for (const char *c = html.bytes; (c = strstr(c, "&lt;script&gt;alert(&quot;1&quot;)")) != NULL; c++)
        shown++;
    cr_expect(shown == 17, "shown %d times", shown);
    cr_expect(strstr(html.bytes, "default-src 'none'") != NULL);
    cr_expect(strstr(html.bytes, "<td class=\"number\">-1.5</td>") != NULL);
    cr_expect(strstr(html.bytes, ">seed<") != NULL &&
              strstr(html.bytes, ">tau<") == NULL); /* defaults are not listed */
    ss_text_release(&html);
}

Test(html, statements_are_kept_apart_and_wrapped_lines_joined, .init = ss_test_begin, .fini = ss_test_end)
{
    char    report[600], words[300];
    ss_text html;
    memset(words, 'x', 90);
    words[90] = '\0';
    /* The second line was wrapped (its word had not fitted), the third begins anew, the picture is left out.
     */
    snprintf(report, sizeof report,
             "loss          %s\n              wrapped_word\n              statement\nspectrum      picture\n"
             "              ....\nleft here     rest\n",
             words);
    ss_text_init(ss_test_context, &html);
    ss_html_lines(&html, report, meanings, 1);
    ss_test_require(html.status);
    cr_expect(strstr(html.bytes,
                     "x\nwrapped_word<br>\nstatement</span><span class=\"means\">What the loss is.") != NULL,
              "%s", html.bytes);
    cr_expect(strstr(html.bytes, "picture") == NULL && strstr(html.bytes, "....") == NULL);
    cr_expect(strstr(html.bytes, "<th>left here</th>") != NULL);
    ss_text_release(&html);
    ss_html_words_of(report, "left here", words, sizeof words);
    cr_expect(strcmp(words, "rest") == 0);
    ss_html_words_of(report, "left", words, sizeof words);
    cr_expect(words[0] == '\0');
    ss_html_words_of(report, "loss", words, 95); /* cut to fit */
    cr_expect(strlen(words) == 94);
}

Test(html, failures_travel_in_the_text, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_text html;
    int64_t before = ss_context_allocations(ss_test_context);
    ss_text_init(ss_test_context, &html);
    whole(&html);
    ss_text_release(&html);
    int64_t all = ss_context_allocations(ss_test_context) - before;
    cr_assert(all > 2);
    for (int64_t nth = 1; nth <= all; nth++) {
        ss_context_fail_allocation(ss_test_context, nth);
        ss_text_init(ss_test_context, &html);
        whole(&html);
        ss_context_fail_allocation(ss_test_context, 0);
        cr_expect(html.status == SS_ERROR_MEMORY);
        cr_expect(ss_html_write(ss_test_context, ss_test_path("r.html"), &html) == SS_ERROR_MEMORY);
        ss_text_release(&html);
        ss_context_clear_message(ss_test_context);
    }
    ss_text_init(ss_test_context, &html);
    ss_html_begin(&html, "t", NULL, NULL);
    ss_test_refuse(ss_html_write(ss_test_context, ss_test_path("absent/r.html"), &html), SS_ERROR_OUTPUT,
                   "absent/r.html");
    ss_text_release(&html);
}
