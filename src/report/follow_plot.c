/* The pictures of study, track and escape. */
#include "report/plot.h"
#include "report/report.h"

#include <math.h>
#include <stdio.h>

/* One kind of point of a study: its label, or how it failed to be critical. */
typedef struct cloud {
    const char *name;
    ss_label    label;
    bool        critical; /* false: all others, whatever their label */
} cloud;

static const cloud clouds[] = {
    { "saddle", SS_LABEL_SADDLE, true },
    { "minimum", SS_LABEL_MINIMUM, true },
    { "maximum", SS_LABEL_MAXIMUM, true },
    { "inconclusive", SS_LABEL_INCONCLUSIVE, true },
    { "not critical", SS_LABEL_NOT_CRITICAL, true },
    { "stalled or unfinished", SS_LABEL_COUNT, false },
};
enum { N_CLOUDS = sizeof clouds / sizeof *clouds };

static bool belongs(const cloud *c, const ss_study_point *p)
{
    bool critical = p->end == SS_END_CRITICAL;
    return c->critical ? critical && p->label == c->label : !critical;
}

/* Training loss against the minimum ratio n+ / (n+ + n-) of the points that `c` holds. */
static ss_status gather(ss_context *context, const ss_study_result *r, const cloud *c, ss_plot_series *s,
                        double **x, double **y)
{
    ss_status status = SS_OK;
    SS_TRY(SS_NEW_ARRAY(context, r->n_points, x));
    SS_TRY(SS_NEW_ARRAY(context, r->n_points, y));
    *s = (ss_plot_series){ .name = c->name, .kind = SS_PLOT_SCATTER, .x = *x, .y = *y };
    for (int64_t i = 0; i < r->n_points; i++) {
        if (!belongs(c, &r->points[i])) continue;
        (*x)[s->count] = r->points[i].positive_among_signed;
        (*y)[s->count++] = r->points[i].loss;
    }
fail:
    return status;
}

ss_status ss_report_study_plot(ss_context *context, const ss_study_result *result, ss_plot_draw draw,
                               void *user)
{
    ss_status      status = SS_OK;
    double        *x[N_CLOUDS] = { NULL }, *y[N_CLOUDS] = { NULL };
    ss_plot_series series[N_CLOUDS];
    ss_plot        plot = { .title = "critical points: training loss against minimum ratio",
                            .x = { .label = "minimum ratio n+ / (n+ + n-)" },
                            .y = { .label = "training loss" },
                            .series = series };
    for (int i = 0; i < N_CLOUDS; i++) {
        SS_TRY(gather(context, result, &clouds[i], &series[plot.n_series], &x[i], &y[i]));
        series[plot.n_series].color = i;
        if (series[plot.n_series].count > 0) plot.n_series++;
    }
    SS_TRY(draw(user, &plot, 1));
fail:
    for (int i = 0; i < N_CLOUDS; i++) {
        ss_free(context, x[i]);
        ss_free(context, y[i]);
    }
    return status;
}

/* ---- track ----------------------------------------------------------------------------------------------
 */

#define COLUMNS 6 /* place, lambda_max, lambda_min, threshold, preconditioned, loss */

/* Returns whether all checkpoints have a step. */
static bool fill(const ss_track_result *r, double *columns)
{
    int64_t n = r->n_points;
    bool    steps = n > 0;
    for (int64_t i = 0; i < n; i++) steps = steps && r->points[i].step >= 0;
    for (int64_t i = 0; i < n; i++) {
        const ss_track_point *p = &r->points[i];
        columns[i] = steps ? (double)p->step : (double)i;
        columns[n + i] = p->lambda_max;
        columns[2 * n + i] = p->lambda_min;
        columns[3 * n + i] = p->threshold;
        columns[4 * n + i] = p->preconditioned;
        columns[5 * n + i] = p->loss;
    }
    return steps;
}

static bool any(const double *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (isfinite(values[i])) return true;
    return false;
}

ss_status ss_report_track_plot(ss_context *context, const ss_track_result *r, ss_plot_draw draw, void *user)
{
    ss_status      status = SS_OK;
    int64_t        n = r->n_points;
    double        *columns = NULL;
    ss_plot_series curves[3], loss;
    ss_plot        panels[2] = { { .title = "curvature along the run",
                                   .x = { .label = "step" },
                                   .y = { .label = "curvature" },
                                   .series = curves },
                                 { .title = "training loss",
                                   .x = { .label = "step" },
                                   .y = { .label = "loss", .scale = SS_PLOT_LOG },
                                   .series = &loss,
                                   .n_series = 1 } };
    SS_TRY(SS_NEW_ARRAY(context, COLUMNS * n, &columns));
    if (!fill(r, columns)) panels[0].x.label = panels[1].x.label = "checkpoint";
    /* With a preconditioner it is the preconditioned curvature that the threshold speaks of; the plain one
     * has another scale and is left to the table. */
    bool scaled = any(columns + 4 * n, n), threshold = any(columns + 3 * n, n);
    curves[0] = (ss_plot_series){ .name = scaled ? "lambda_max of the preconditioned Hessian" : "lambda_max",
                                  .x = columns,
                                  .y = columns + (scaled ? 4 : 1) * n,
                                  .count = n };
    panels[0].n_series = 1;
    if (threshold)
        curves[panels[0].n_series++] = (ss_plot_series){ .name = "stability threshold",
                                                         .x = columns,
                                                         .y = columns + 3 * n,
                                                         .count = n,
                                                         .color = 1,
                                                         .dashed = true };
    if (!scaled)
        curves[panels[0].n_series++] = (ss_plot_series){
            .name = "lambda_min", .x = columns, .y = columns + 2 * n, .count = n, .color = 2
        };
    loss = (ss_plot_series){ .x = columns, .y = columns + 5 * n, .count = n };
    SS_TRY(draw(user, panels, 2));
fail:
    ss_free(context, columns);
    return status;
}

/* ---- escape ---------------------------------------------------------------------------------------------
 */

#define WAYS (2 * (SS_ESCAPE_VECTORS + 1)) /* directions, both ways */

/* Real and predicted decrease of the rows along one direction and sign; two series of `count` points. */
static int64_t collect(const ss_escape_result *e, int vector, int sign, double *step, double *real,
                       double *predicted)
{
    int64_t count = 0;
    for (int64_t i = 0; i < e->n_rows; i++) {
        const ss_escape_row *r = &e->row[i];
        if (r->vector != vector || r->sign != sign) continue;
        step[count] = r->step;
        real[count] = r->real;
        predicted[count++] = r->predicted;
    }
    return count;
}

ss_status ss_report_escape_plot(ss_context *context, const ss_escape_result *e, ss_plot_draw draw, void *user)
{
    ss_status      status = SS_OK;
    double        *columns = NULL;
    int64_t        n = e->n_rows, used = 0, ways = e->n_directions > 0 ? e->n_directions : 1;
    ss_plot_series series[2 * WAYS];
    char           names[WAYS][32];
    ss_plot_mark   taken = { e->step, e->real, "taken" };
    ss_plot        plot = { .title = "decrease of the loss along each direction (dashed: predicted)",
                            .x = { .label = "step", .scale = SS_PLOT_LOG },
                            .y = { .label = "decrease", .scale = SS_PLOT_LOG },
                            .series = series,
                            .marks = &taken,
                            .n_marks = e->left };
    SS_TRY(SS_NEW_ARRAY(context, 3 * n, &columns));
    for (int64_t i = 0; i < 2 * ways; i++) {
        int     vector = e->n_directions > 0 ? e->direction[i / 2].vector : e->row[0].vector;
        int     sign = i % 2 == 0 ? 1 : -1;
        double *step = columns + used, *real = step + n, *predicted = real + n;
        int64_t count = collect(e, vector, sign, step, real, predicted);
        if (count == 0) continue;
        if (vector == 0)
            snprintf(names[i], sizeof names[i], "%call", sign > 0 ? '+' : '-');
        else
            snprintf(names[i], sizeof names[i], "%cv%d", sign > 0 ? '+' : '-', vector);
        series[plot.n_series++] = (ss_plot_series){
            .name = names[i], .kind = SS_PLOT_LINE, .x = step, .y = real, .count = count, .color = (int)i
        };
        series[plot.n_series++] = (ss_plot_series){
            .kind = SS_PLOT_LINE, .x = step, .y = predicted, .count = count, .color = (int)i, .dashed = true
        };
        used += count;
    }
    SS_TRY(draw(user, &plot, 1));
fail:
    ss_free(context, columns);
    return status;
}
