/* A slice: fields, text, CSV and its picture. */
#include "report/slice.h"

#include "report/field_rows.h"
#include "report/lines.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef char number[SS_NUMBER_TEXT];

static const char *kind_text(const void *value)
{
    ss_slice_kind kind;
    memcpy(&kind, value, sizeof kind);
    return ss_slice_kind_name(kind);
}

/* clang-format off */
#define STRUCT ss_slice_axis
static const ss_field axis_fields[] = {
    { "kind", SS_FIELD_NAMED, offsetof(STRUCT, kind), 0, 0, NULL, kind_text, "low, high, gradient, random, vector, towards" },
    FIELD(INTEGER, number, "of the eigenvector, from 1, or seed of the random direction"),
    FIELD(REAL, length, "of the direction per unit of t: 1, or the distance of the other checkpoint"),
    FIELD(REAL, eigenvalue, "low, high: Ritz value; otherwise null"),
    FIELD(REAL, residual, "||Hu - value u|| of it"),
    FIELD(REAL, slope, "g'u, per unit of t"),
    FIELD(REAL, curvature, "u'Hu, per squared unit of t"),
    FIELD(REAL, valid_radius, "t up to which the model is good to a tenth of its change; 0 = none was found"),
    FIELD(REAL, low, "range shown, from"),
    FIELD(REAL, high, "to"),
    END
};
#undef STRUCT

#define STRUCT ss_slice_point
static const ss_field path_fields[] = {
    REALS(2, t, "place in the slice by projection"),
    FIELD(REAL, distance, "from the slice"),
    FIELD(REAL, loss, "at the point itself"),
    END
};
#undef STRUCT

#define STRUCT ss_slice_result
const ss_field ss_slice_fields[] = {
    FIELD(BOOL, complete, "false: stopped, losses are missing"),
    FIELD(INTEGER, n, "active parameters"),
    FIELD(INT, dimensions, "1 or 2"),
    ROWS(axis_fields, ss_slice_axis, 2, axis, "the directions; the second is meaningless in one dimension"),
    FIELD(REAL, mixed, "u'Hw of both"),
    FIELD(REAL, loss, "L at the weights"),
    FIELD(REAL, rounding, "of one sum of the loss"),
    FIELD(REAL, gradient_norm, "||g|| there"),
    FIELD(REAL, lowest, "loss in the slice"),
    REALS(2, lowest_at, "its place"),
    INTEGERS(2, size, "points along each axis"),
    { "s", SS_FIELD_REALS_AT, offsetof(STRUCT, t[0]), offsetof(STRUCT, size[0]), 0, NULL, NULL, "along the first direction" },
    { "t", SS_FIELD_REALS_AT, offsetof(STRUCT, t[1]), offsetof(STRUCT, size[1]), 0, NULL, NULL, "along the second, null in one dimension" },
    REALS_AT(count, losses, "row by row, the first direction runs fastest; null = infinite or missing"),
    REALS_AT(count, model, "the Taylor model there"),
    ROWS_AT(path_fields, ss_slice_point, n_path, path, "points of --path"),
    FIELD(INTEGER, products, "of the Hessian"),
    FIELD(INTEGER, evaluations, "of the loss"),
    FIELD(REAL, seconds, "in all"),
    END
};
#undef STRUCT
/* clang-format on */

/* ---- Text -----------------------------------------------------------------------------------------------
 */

/* "lowest eigenvector", "towards the other checkpoint" */
static char *axis_name(const ss_slice_axis *a, char out[64])
{
    static const char *const ends[] = { [SS_SLICE_LOW] = "lowest", [SS_SLICE_HIGH] = "highest" };
    switch (a->kind) {
    case SS_SLICE_LOW:
    case SS_SLICE_HIGH:
        if (a->number == 1)
            snprintf(out, 64, "%s eigenvector", ends[a->kind]);
        else
            snprintf(out, 64, "%s eigenvector no. %lld", ends[a->kind], (long long)a->number);
        break;
    case SS_SLICE_GRADIENT: snprintf(out, 64, "gradient"); break;
    case SS_SLICE_RANDOM: snprintf(out, 64, "random direction, seed %lld", (long long)a->number); break;
    case SS_SLICE_VECTOR: snprintf(out, 64, "given direction"); break;
    case SS_SLICE_TOWARDS: snprintf(out, 64, "towards the other weights (1 = there)"); break;
    case SS_SLICE_KINDS: out[0] = '\0';
    }
    return out;
}

static void axis_line(ss_text *text, const char *heading, const ss_slice_axis *a)
{
    number  n1, n2;
    char    name[64], both[2 * SS_NUMBER_TEXT];
    ss_line line;
    ss_line_begin(&line, text, heading);
    ss_line_add(&line, "%s", axis_name(a, name));
    if (isfinite(a->eigenvalue))
        ss_line_add(&line, "(eigenvalue %s)", ss_uncertain_text(a->eigenvalue, a->residual, both));
    if (a->kind == SS_SLICE_TOWARDS)
        ss_line_add(&line, "at a distance of %s", ss_number_text(a->length, 4, n1));
    ss_line_add(&line, "; slope %s, curvature %s", ss_number_text(a->slope, 3, n1),
                ss_number_text(a->curvature, 4, n2));
    if (a->valid_radius > 0)
        ss_line_add(&line, "; the model is good to a tenth up to %s", ss_number_text(a->valid_radius, 2, n1));
    else
        ss_line_add(&line, "; the model is good nowhere (rounding, or a kink)");
    ss_line_end(&line);
}

void ss_report_slice(ss_text *text, const ss_run *run, const ss_slice_result *r)
{
    number a, b, c, d;
    ss_report_head(text, run);
    ss_line_write(text, "loss", "%s at the weights, |g| %s", ss_number_text(r->loss, 6, a),
                  ss_number_text(r->gradient_norm, 3, b));
    axis_line(text, r->dimensions == 2 ? "across" : "along", &r->axis[0]);
    if (r->dimensions == 2) axis_line(text, "upwards", &r->axis[1]);
    if (isfinite(r->lowest) && r->dimensions == 2)
        ss_line_write(text, "lowest", "%s at (%s, %s), %s below", ss_number_text(r->lowest, 6, a),
                      ss_number_text(r->lowest_at[0], 3, b), ss_number_text(r->lowest_at[1], 3, c),
                      ss_number_text(r->loss - r->lowest, 3, d));
    else if (isfinite(r->lowest))
        ss_line_write(text, "lowest", "%s at %s, %s below", ss_number_text(r->lowest, 6, a),
                      ss_number_text(r->lowest_at[0], 3, b), ss_number_text(r->loss - r->lowest, 3, d));
    for (int64_t i = 0; i < r->n_path; i++) {
        const ss_slice_point *p = &r->path[i];
        ss_line_write(text, i == 0 ? "path" : "", "(%s, %s), %s away from the slice: loss %s",
                      ss_number_text(p->t[0], 3, a), ss_number_text(p->t[1], 3, b),
                      ss_number_text(p->distance, 3, c), ss_number_text(p->loss, 6, d));
    }
    ss_line_write(text, "cost", "%s products, %s losses; %s%s", ss_count_text(r->products, a),
                  ss_count_text(r->evaluations, b), ss_duration_text(r->seconds, c),
                  r->complete ? "" : "; stopped, losses are missing");
}

void ss_report_slice_csv(ss_text *text, const ss_slice_result *r)
{
    ss_text_print(text, r->dimensions == 2 ? "s,t,loss,model\n" : "t,loss,model\n");
    for (int64_t j = 0; j < r->size[1]; j++)
        for (int64_t i = 0; i < r->size[0]; i++) {
            int64_t k = j * r->size[0] + i;
            ss_text_print(text, "%.17g,", r->t[0][i]);
            if (r->dimensions == 2) ss_text_print(text, "%.17g,", r->t[1][j]);
            ss_text_print(text, "%.17g,%.17g\n", r->losses[k], r->model[k]);
        }
}

/* ---- Picture --------------------------------------------------------------------------------------------
 */

/* The curve's range: the model may leave it far behind. */
static void loss_range(const ss_slice_result *r, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (int64_t i = 0; i < r->count; i++)
        if (isfinite(r->losses[i])) {
            *low = fmin(*low, r->losses[i]);
            *high = fmax(*high, r->losses[i]);
        }
    double room = fmax(0.15 * (*high - *low), 1e-12 * fmax(fabs(*high), fabs(*low)));
    *low -= room;
    *high += room;
}

static ss_status draw_curve(const ss_slice_result *r, const char *title, ss_plot_draw draw, void *user)
{
    double low, high;
    char   name[64];
    loss_range(r, &low, &high);
    ss_plot_series curves[] = {
        { .name = "loss", .kind = SS_PLOT_LINE, .x = r->t[0], .y = r->losses, .count = r->size[0] },
        { .name = "second-order model",
          .kind = SS_PLOT_LINE,
          .x = r->t[0],
          .y = r->model,
          .count = r->size[0],
          .color = 1,
          .dashed = true }
    };
    ss_plot_mark mark = { 0, r->loss, "here" };
    ss_plot      plot = { .title = title,
                          .x = { .label = axis_name(&r->axis[0], name) },
                          .y = { .label = "loss", .low = low, .high = high },
                          .series = curves,
                          .n_series = 2,
                          .marks = &mark,
                          .n_marks = 1,
                          .width = 480,
                          .height = 340 };
    return draw(user, &plot, 1);
}

static ss_status draw_plane(ss_context *context, const ss_slice_result *r, const char *title,
                            ss_plot_draw draw, void *user)
{
    ss_status status = SS_OK;
    double    levels[SS_PLOT_LEVELS], *px = NULL, *py = NULL;
    int64_t   n_levels = 0, n = r->n_path + 1;
    char      names[2][64];
    SS_TRY(ss_plot_levels(context, r->losses, r->count, levels, &n_levels));
    SS_TRY(SS_NEW_ARRAY(context, n, &px));
    SS_TRY(SS_NEW_ARRAY(context, n, &py));
    for (int64_t i = 0; i < r->n_path; i++) px[i + 1] = r->path[i].t[0], py[i + 1] = r->path[i].t[1];
    ss_plot_mark    mark = { 0, 0, "here" };
    ss_plot_contour contours[2] = {
        { r->t[0], r->t[1], r->losses, r->size[0], r->size[1], levels, n_levels, r->loss },
        { r->t[0], r->t[1], r->model, r->size[0], r->size[1], levels, n_levels, r->loss }
    };
    ss_plot_series path[] = {
        { .name = "path", .kind = SS_PLOT_LINE, .x = px, .y = py, .count = n, .color = 1 },
        { .kind = SS_PLOT_SCATTER, .x = px, .y = py, .count = n, .color = 1 }
    };
    ss_plot panels[2];
    for (int i = 0; i < 2; i++)
        panels[i] = (ss_plot){ .title = i == 0 ? title : "second-order model, the same levels",
                               .x = { .label = axis_name(&r->axis[0], names[0]),
                                      .low = r->axis[0].low,
                                      .high = r->axis[0].high },
                               .y = { .label = axis_name(&r->axis[1], names[1]),
                                      .low = r->axis[1].low,
                                      .high = r->axis[1].high },
                               .contour = &contours[i],
                               .series = path,
                               .n_series = r->n_path > 0 ? 2 : 0,
                               .marks = &mark,
                               .n_marks = 1,
                               .width = 440,
                               .height = 430 };
    SS_TRY(draw(user, panels, 2));
fail:
    ss_free(context, px);
    ss_free(context, py);
    return status;
}

ss_status ss_report_slice_plot(ss_context *context, const ss_slice_result *r, const char *title,
                               ss_plot_draw draw, void *user)
{
    return r->dimensions == 2 ? draw_plane(context, r, title, draw, user) : draw_curve(r, title, draw, user);
}
