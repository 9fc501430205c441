/* Level sets on a grid as closed loops. Private to the files plot*.c. */
#ifndef SS_REPORT_PLOT_CONTOUR_H
#define SS_REPORT_PLOT_CONTOUR_H

#include "report/plot.h"

/* Called for the corners of the loops in turn; `first` begins a loop. */
typedef void (*ss_contour_point)(void *user, double x, double y, bool first);

/* The boundary of { z >= level }, along the border of the grid too: loops to be filled by the even-odd rule.
 */
ss_status ss_contour_loops(ss_context *context, const ss_plot_contour *contour, double level,
                           ss_contour_point point, void *user);

#endif
