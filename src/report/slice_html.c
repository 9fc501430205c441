/* A slice as an HTML report. */
#include "report/html.h"
#include "report/slice.h"

static const ss_html_meaning meanings[] = {
    { "loss", "At the weights themselves, the origin of the picture." },
    { "along", "The direction, of unit length unless it leads to other weights. Slope and curvature are what "
               "the model knows; "
               "up to the stated step it agrees with the loss to a tenth of the change." },
    { "across", "The horizontal direction: its slope, its curvature, and how far the model is good." },
    { "upwards", "The vertical direction, made orthogonal to the horizontal one." },
    { "lowest", "The lowest loss among the points that were evaluated." },
    { "path",
      "The weights of --path, projected into the slice; the loss is that of the weights themselves." },
    { "cost", "Products find eigenvectors and the model; every point of the picture is one loss over all "
              "samples." }
};

void ss_html_slice(ss_text *html, const ss_run *run, const ss_slice_result *r, const ss_text *report)
{
    char           words[512];
    ss_html_figure figure = { html, r->dimensions == 2 ? "Left: the true loss; right: the second-order "
                                                         "model, at the same levels. The strong line is the "
                                                         "level of the weights themselves, which are marked."
                                                       : "The true loss beside its second-order model. Where "
                                                         "they part, slope and curvature have nothing "
                                                         "more to say." };
    if (html->status == SS_OK) html->status = report->status;
    if (html->status != SS_OK) return;
    ss_html_words_of(report->bytes, "lowest", words, sizeof words);
    ss_html_begin(html, run->network, "the loss and its model", words);
    if (r->count > 0) {
        ss_status status = ss_report_slice_plot(html->context, r, NULL, ss_html_draw, &figure);
        if (html->status == SS_OK) html->status = status;
    }
    ss_html_evidence(html, run, report, meanings, sizeof meanings / sizeof *meanings);
}
