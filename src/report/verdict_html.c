/* The verdict as an HTML report: what analyze prints, each line with what it means, and pictures. */
#include "report/html.h"

#include <math.h>

const ss_html_meaning ss_html_verdict_meanings[] = {
    { "objective",
      "The function whose point is judged: its mean over all counted targets, and its regularisers." },
    { "loss",
      "Its value here, beside that of a network whose output is zero; |g| is the length of the gradient." },
    { "stationarity",
      "Whether the slope is spent. A damped Newton step is the best that slope and curvature together "
      "promise; when it promises less than the limit, the point counts as critical. The group statistics "
      "compare the slope with the scatter between groups of samples." },
    { "curvature",
      "How the loss bends. A negative eigenvalue is proved by one direction and a float64 product with it, "
      "and by the loss itself along it; the absence of negative curvature is bounded, with a probability "
      "over "
      "the random start vector. Counts say how many of all directions bend down, stay flat, bend up." },
    { "scope", "Whether the statement holds for these samples only, or for the distribution that they came "
               "from: then a "
               "direction found on one half of the groups was judged on the other half." },
    { "kinks",
      "Piecewise linear units have no curvature at their kinks. The share of units that change side within a "
      "step says how far the Hessian can be trusted." },
    { "weights", "Weights stored in 16 bits stand for all the weights that round to them." },
    { "left here",
      "What the loss really gains along three directions, measured by evaluating it, beside what the "
      "quadratic model predicts." },
    { "flat space",
      "The second derivative is silent where it vanishes. There the loss itself was searched, in balls of "
      "growing radius." },
    { "cost", "In products of the Hessian with a vector: a gradient counts one half, a loss one sixth." },
    { "answer", "Why the loss has stopped falling, by the largest real gain of those above." },
    { "verdict",
      "saddle: critical, and negative curvature is proved and felt before the slope. minimum: critical, and "
      "no "
      "curvature below minus the resolution. not_critical: there is slope left, or it is felt first." },
    { "polish", "Newton-MR steps make the gradient shorter, whatever that does to the loss: a saddle stays a "
                "saddle. How far the "
                "weights had to move says how far from critical they were. Everything below holds for the "
                "point it led to." },
    { "written", "The new weights, in the old ones' types, read back and evaluated." }
};
const int64_t ss_html_n_verdict_meanings = sizeof ss_html_verdict_meanings / sizeof *ss_html_verdict_meanings;

/* The spectrum: all eigenvalues as steps of their number, or Ritz values by how well they are known. */
static void spectrum(ss_text *html, const ss_verdict *v)
{
    const ss_verdict_curvature *c = &v->curvature;
    ss_status                   status = SS_OK;
    double                     *height = NULL, largest = 0, tau = v->operator_error.tau;
    if (c->n_ritz <= 0 || c->ritz_value == NULL || html->status != SS_OK) return;
    SS_TRY(SS_NEW_ARRAY(html->context, c->n_ritz, &height));
    bool exact = c->method == SS_METHOD_DENSE;
    ss_html_section(html, "Spectrum");
    for (int64_t i = 0; i < c->n_ritz; i++) {
        largest = fmax(largest, fabs(c->ritz_value[i]));
        height[i] = exact ? (double)(i + 1) : fmax(c->ritz_residual[i], 1e-17);
    }
    if (!(largest > 0) || largest <= tau) {
        ss_html_paragraph(html, "All of the %lld values that were computed lie within tau of zero.",
                          (long long)c->n_ritz);
        goto fail;
    }
    double         linear = fmax(isfinite(tau) ? tau : 0, 1e-8 * largest);
    ss_plot_series series = { .name = exact ? "eigenvalues in their order" : "Ritz values",
                              .kind = SS_PLOT_SCATTER,
                              .x = c->ritz_value,
                              .y = height,
                              .count = c->n_ritz };
    ss_plot        plot = { .x = { .label = "curvature", .scale = SS_PLOT_SYMLOG, .linear = linear },
                            .y = { .label = exact ? "number of eigenvalues up to there"
                                                  : "residual: how well the value is known",
                                   .scale = exact ? SS_PLOT_LINEAR : SS_PLOT_LOG },
                            .series = &series,
                            .n_series = 1,
                            .width = 760,
                            .height = 340 };
    ss_html_picture(
        html, &plot, 1,
        exact ? "All eigenvalues, on an axis that is logarithmic on both sides of zero and linear within tau."
              : "What the Lanczos search saw: low points are eigenvalues that are known well, high points "
                "say that "
                "some lie about there. The axis is logarithmic on both sides of zero.");
fail:
    if (status != SS_OK) html->status = status;
    ss_free(html->context, height);
}

static void left(ss_text *html, const ss_verdict *v)
{
    static const char *const heads[] = { "along", "step", "real decrease", "predicted", "share of the loss" };
    static const char *const names[SS_DIRECTION_COUNT] = { "the gradient", "negative curvature",
                                                           "a damped Newton step" };
    char                     a[SS_NUMBER_TEXT], b[SS_NUMBER_TEXT], c[SS_NUMBER_TEXT], d[SS_NUMBER_TEXT];
    bool                     any = false;
    for (int i = 0; i < SS_DIRECTION_COUNT; i++) any |= v->left.row[i].tried;
    if (!any) return;
    ss_html_section(html, "What is left here");
    ss_html_table_begin(html, heads, 5);
    for (int i = 0; i < SS_DIRECTION_COUNT; i++) {
        const ss_left_row *r = &v->left.row[i];
        if (!r->tried) continue;
        const char *const cells[] = { names[r->direction], ss_number_text(r->step, 3, a),
                                      ss_number_text(r->decrease, 3, b), ss_number_text(r->predicted, 3, c),
                                      ss_percent_text(r->share, d) };
        ss_html_table_row(html, cells, 5);
    }
    ss_html_table_end(html);
}

static void probe(ss_text *html, const ss_verdict *v)
{
    const ss_verdict_flat_probe *p = &v->flat_probe;
    if (!p->ran || p->radii < 2) return;
    ss_plot_series series[] = {
        { .name = "best decrease in the ball",
          .kind = SS_PLOT_LINE,
          .x = p->radius,
          .y = p->decrease,
          .count = p->radii },
        { .kind = SS_PLOT_SCATTER, .x = p->radius, .y = p->decrease, .count = p->radii },
        { .name = "what would count",
          .kind = SS_PLOT_LINE,
          .x = p->radius,
          .y = p->threshold,
          .count = p->radii,
          .color = 1,
          .dashed = true }
    };
    ss_plot plot = { .x = { .label = "radius", .scale = SS_PLOT_LOG },
                     .y = { .label = "decrease of the loss", .scale = SS_PLOT_LOG },
                     .series = series,
                     .n_series = 3,
                     .height = 320 };
    ss_html_section(html, "The flat space");
    ss_html_picture(html, &plot, 1,
                    p->found
                        ? "The loss falls like a power of the radius: the slope of the line is that power."
                        : "No descent that would count was found in the directions in which the second "
                          "derivative vanishes.");
}

void ss_html_verdict_pictures(ss_text *html, const ss_verdict *v)
{
    spectrum(html, v);
    left(html, v);
    probe(html, v);
}

void ss_html_verdict(ss_text *html, const ss_run *run, const ss_verdict *v, const ss_text *report)
{
    char answer[512], label[256];
    if (report->status != SS_OK) {
        html->status = report->status;
        return;
    }
    ss_html_words_of(report->bytes, "answer", answer, sizeof answer);
    ss_html_words_of(report->bytes, "verdict", label, sizeof label);
    ss_html_begin(html, run->network, label, answer);
    ss_html_verdict_pictures(html, v);
    ss_html_evidence(html, run, report, ss_html_verdict_meanings, ss_html_n_verdict_meanings);
}
