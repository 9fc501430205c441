/* Pictures: curves, steps, points, bands and contours on labelled axes, as SVG or as a gnuplot script.
 *
 * The caller describes a picture (ss_plot) with borrowed arrays; several panels side by side make a figure.
 * The SVG is drawn here, so that a report needs no other program and stands inline in HTML; gnuplot users get
 * the same picture as a script that holds its data. A value that is NaN, infinite or not positive on a
 * logarithmic axis breaks a curve and is left out of points.
 *
 *     ss_plot_series curve = { .name = "loss", .kind = SS_PLOT_LINE, .x = t, .y = loss, .count = n };
 *     ss_plot plot = { .title = "...", .x = { .label = "t" }, .y = { .label = "loss" },
 *                      .series = &curve, .n_series = 1 };
 *     ss_plot_svg(&text, &plot, 1);                      inline, or
 *     ss_plot_write(context, "picture.svg", &plot, 1);   a file: .svg, .png (by gnuplot) or .gp */
#ifndef SS_REPORT_PLOT_H
#define SS_REPORT_PLOT_H

#include "report/text.h"

typedef enum ss_plot_scale {
    SS_PLOT_LINEAR,
    SS_PLOT_LOG,   /* positive values only */
    SS_PLOT_SYMLOG /* logarithmic on both sides of zero, linear within +-linear */
} ss_plot_scale;

typedef struct ss_plot_axis {
    const char   *label; /* with its unit; NULL = none */
    ss_plot_scale scale;
    double        low, high; /* range; low >= high = from the data */
    double        linear;    /* SYMLOG: half width of the linear middle, > 0 */
} ss_plot_axis;

typedef enum ss_plot_kind {
    SS_PLOT_LINE,
    SS_PLOT_STEP,    /* y[i] holds from x[i] to x[i + 1] */
    SS_PLOT_SCATTER, /* points */
    SS_PLOT_STEMS,   /* vertical lines from the axis' end (or 0) to y */
    SS_PLOT_BAND     /* the area between y and y2 */
} ss_plot_kind;

typedef struct ss_plot_series {
    const char   *name; /* in the legend; NULL = not listed */
    ss_plot_kind  kind;
    const double *x, *y; /* [count] borrowed */
    const double *y2;    /* [count] BAND: the other edge */
    int64_t       count;
    int           color;  /* number of the palette's colour, any >= 0 */
    bool          dashed; /* LINE, STEP */
} ss_plot_series;

/* Filled level sets of a function on a rectangular grid. */
typedef struct ss_plot_contour {
    const double *x, *y; /* [nx], [ny] ascending; borrowed */
    const double *z;     /* [ny, nx] row j at y[j]; not finite = above all levels */
    int64_t       nx, ny;
    const double *levels; /* [n_levels] ascending */
    int64_t       n_levels;
    double        strong; /* a level drawn as a strong line; NaN = none */
} ss_plot_contour;

/* A cross with a word beside it. */
typedef struct ss_plot_mark {
    double      x, y;
    const char *text; /* NULL = none */
} ss_plot_mark;

typedef struct ss_plot {
    const char            *title; /* NULL = none */
    ss_plot_axis           x, y;
    const ss_plot_series  *series; /* [n_series], drawn in turn */
    int64_t                n_series;
    const ss_plot_contour *contour; /* below the series; NULL = none */
    const ss_plot_mark    *marks;   /* [n_marks], on top */
    int64_t                n_marks;
    int                    width, height; /* pixels; 0 = 640 x 400 */
} ss_plot;

#define SS_PLOT_LEVELS 12 /* that the next function fills at most */
/* Levels that part the finite values z[count] into sets of equal size: a picture that shows something
 * whatever the range. Returns their number, fewer where values repeat. SS_ERROR_MEMORY. */
ss_status ss_plot_levels(ss_context *context, const double *z, int64_t count, double levels[SS_PLOT_LEVELS],
                         int64_t *n_levels);

/* Takes a finished figure, whose arrays last for the call: one function describes a picture, and a file
 * (ss_plot_write) or a report (ss_html_figure) takes it. */
typedef ss_status (*ss_plot_draw)(void *user, const ss_plot *panels, int64_t count);

/* Appends one <svg> element with the panels side by side. */
void ss_plot_svg(ss_text *text, const ss_plot *panels, int64_t count);
/* Appends a gnuplot script with its data; `gnuplot FILE > picture.png` draws it. */
void ss_plot_gnuplot(ss_text *text, const ss_plot *panels, int64_t count);

/* Writes a file by the end of its name: .svg; .gp, the script; .png, drawn by gnuplot from the script, which
 * stays beside it (FILE.gp). Where gnuplot is not installed the script is written and a warning says how to
 * go on. Another ending is SS_ERROR_USAGE; SS_ERROR_OUTPUT. */
ss_status ss_plot_write(ss_context *context, const char *path, const ss_plot *panels, int64_t count);
/* Whether ss_plot_write knows the ending, for a check before the work; SS_ERROR_USAGE. */
ss_status ss_plot_check_name(ss_context *context, const char *path);

#endif
