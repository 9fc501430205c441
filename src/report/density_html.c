/* The density as pictures and as an HTML report. */
#include "report/html.h"

#include <math.h>

static const ss_html_meaning meanings[] = {
    { "operator",
      "Each probe is a random start vector, followed by Lanczos steps. Its spectral measure has almost the "
      "distribution of the eigenvalues." },
    { "range",
      "The outermost values that the steps have found; eigenvalues beyond them are possible where the band "
      "does not exclude them." },
    { "band",
      "Gauss-Radau quadrature bounds the start vectors' own distribution from both sides, always. Quantiles "
      "of "
      "the Beta law carry it over to the eigenvalues, with the stated confidence over the start vectors." },
    { "kernel",
      "The curve is what the quadrature nodes give when each is spread by a Gaussian. A bump is no proof of "
      "an eigenvalue, and a single negative eigenvalue among many weighs too little to be seen." },
    { "time", "Wall clock." }
};

/* One column of the points. */
static ss_status column(ss_context *context, const ss_density_result *r, size_t offset, double **values)
{
    ss_status status = SS_NEW_ARRAY(context, r->n_points, values);
    for (int64_t i = 0; status == SS_OK && i < r->n_points; i++)
        (*values)[i] = *(const double *)(const void *)((const char *)&r->points[i] + offset);
    return status;
}

/* Below a hundred-millionth of the highest the curve is rounding. */
static void cut_low(double *values, int64_t count)
{
    double highest = 0;
    for (int64_t i = 0; i < count; i++) highest = fmax(highest, values[i]);
    for (int64_t i = 0; i < count; i++)
        if (values[i] < 1e-8 * highest) values[i] = NAN;
}

ss_status ss_report_density_plot(ss_context *context, const ss_density_result *r, ss_plot_draw draw,
                                 void *user)
{
    ss_status status = SS_OK;
    double   *x = NULL, *density = NULL, *below = NULL, *upto = NULL, *low = NULL, *high = NULL;
    SS_TRY(column(context, r, offsetof(ss_density_point, x), &x));
    SS_TRY(column(context, r, offsetof(ss_density_point, density), &density));
    SS_TRY(column(context, r, offsetof(ss_density_point, below), &below));
    SS_TRY(column(context, r, offsetof(ss_density_point, upto), &upto));
    SS_TRY(column(context, r, offsetof(ss_density_point, low), &low));
    SS_TRY(column(context, r, offsetof(ss_density_point, high), &high));
    cut_low(density, r->n_points);
    double         size = fmax(fabs(r->lowest), fabs(r->highest));
    ss_plot_series curve = { .kind = SS_PLOT_LINE, .x = x, .y = density, .count = r->n_points };
    ss_plot_series bands[] = { { .name = "eigenvalues",
                                 .kind = SS_PLOT_BAND,
                                 .x = x,
                                 .y = low,
                                 .y2 = high,
                                 .count = r->n_points,
                                 .color = 1 },
                               { .name = "start vectors",
                                 .kind = SS_PLOT_BAND,
                                 .x = x,
                                 .y = below,
                                 .y2 = upto,
                                 .count = r->n_points } };
    ss_plot        panels[] = { { .title = "density of eigenvalues, smoothed",
                                  .x = { .label = "curvature" },
                                  .y = { .label = "per unit of curvature", .scale = SS_PLOT_LOG },
                                  .series = &curve,
                                  .n_series = 1,
                                  .width = 520 },
                                { .title = "share of eigenvalues below x: bounds",
                                  .x = { .label = "curvature x", .scale = SS_PLOT_SYMLOG, .linear = 1e-6 * size },
                                  .y = { .low = 0, .high = 1 },
                                  .series = bands,
                                  .n_series = 2,
                                  .width = 520 } };
    SS_TRY(draw(user, panels, 2));
fail:
    ss_free(context, x);
    ss_free(context, density);
    ss_free(context, below);
    ss_free(context, upto);
    ss_free(context, low);
    ss_free(context, high);
    return status;
}

void ss_html_density(ss_text *html, const ss_run *run, const ss_density_result *r, const ss_text *report)
{
    char           words[512];
    ss_html_figure figure = {
        html, "Left: for the eye. Right: what is proved; the axis is logarithmic on both sides of zero."
    };
    if (html->status == SS_OK) html->status = report->status;
    if (html->status != SS_OK) return;
    ss_html_words_of(report->bytes, "range", words, sizeof words);
    ss_html_begin(html, run->network, "density of the spectrum", words);
    if (r->n_points > 0) {
        ss_status status = ss_report_density_plot(html->context, r, ss_html_draw, &figure);
        if (html->status == SS_OK) html->status = status;
    }
    ss_html_evidence(html, run, report, meanings, sizeof meanings / sizeof *meanings);
}
