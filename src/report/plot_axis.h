/* Axes of a picture: range, scale, ticks. Private to the files plot*.c. */
#ifndef SS_REPORT_PLOT_AXIS_H
#define SS_REPORT_PLOT_AXIS_H

#include "report/plot.h"

#define SS_PLOT_TICKS 64 /* at most, minor ones included */

typedef struct ss_tick {
    double value;
    bool   minor; /* without a label */
    char   label[SS_NUMBER_TEXT];
} ss_tick;

typedef struct ss_axis {
    ss_plot_scale scale;
    double        low, high; /* range in values, low < high */
    double        linear;    /* SYMLOG */
    int           exponent;  /* labels are values / 10^exponent; said beside the axis label */
    ss_tick       tick[SS_PLOT_TICKS];
    int           n_ticks;
} ss_axis;

/* Range from the description, or from the data (with a margin), and ticks. */
void ss_axis_of_x(const ss_plot *plot, ss_axis *axis);
void ss_axis_of_y(const ss_plot *plot, ss_axis *axis);
/* Place of a value in [0, 1] for the range; NaN where the axis has no place for it. */
double ss_axis_place(const ss_axis *axis, double value);
/* Where stems begin: 0 if the axis shows it, else its lower end. */
double ss_axis_base(const ss_axis *axis);

/* ---- plot.c ---- */
const char *ss_plot_color(const ss_plot_series *series); /* "#0072b2" */
/* From dark blue (0) through green to yellow (1): the order of lightness is that of the values. */
void ss_plot_level_color(double share, char out[8]);
void ss_plot_size(const ss_plot *panels, int64_t count, int *width, int *height); /* pixels of the figure */

#endif
