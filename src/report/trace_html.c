/* The trace as an HTML report. */
#include "report/html.h"

static const ss_html_meaning meanings[] = {
    { "operator", "Each probe is a random vector z; the mean of z'Hz is the trace." },
    { "trace", "The estimate and the half width of its interval: Student's t over the probes, with the "
               "stated confidence." },
    { "norm",
      "The Frobenius norm, the root of the sum of squared eigenvalues: the mean of ||Hz||^2, from the same "
      "products." },
    { "mean", "The trace and the squared norm, by the number of parameters." },
    { "deflated", "The eigenvectors of largest modulus were found first. Their part of the trace is exact, "
                  "and the probes only "
                  "see what is orthogonal to them, which scatters less." },
    { "time", "Nearly all of it should be products." }
};

void ss_html_trace(ss_text *html, const ss_run *run, const ss_trace_result *r, const ss_trace_course *course,
                   const ss_text *report)
{
    char words[512];
    if (html->status == SS_OK) html->status = report->status;
    if (html->status != SS_OK) return;
    ss_html_words_of(report->bytes, "trace", words, sizeof words);
    ss_html_begin(html, run->network, "trace of the operator", words);
    if (course->count > 1) {
        ss_plot_series series[] = { { .name = "interval",
                                      .kind = SS_PLOT_BAND,
                                      .x = course->probes,
                                      .y = course->low,
                                      .y2 = course->high,
                                      .count = course->count,
                                      .color = 1 },
                                    { .name = "estimate",
                                      .kind = SS_PLOT_LINE,
                                      .x = course->probes,
                                      .y = course->trace,
                                      .count = course->count } };
        ss_plot        plot = { .x = { .label = "probes" },
                                .y = { .label = "trace" },
                                .series = series,
                                .n_series = 2,
                                .height = 320 };
        ss_html_picture(
            html, &plot, 1,
            "How the estimate settled. Each interval holds by itself; they are not meant to hold all "
            "together.");
    }
    if (r->reason != SS_EIGEN_CONVERGED)
        ss_html_paragraph(html, "The run was ended early: what is shown is what was known then.");
    ss_html_evidence(html, run, report, meanings, sizeof meanings / sizeof *meanings);
}
