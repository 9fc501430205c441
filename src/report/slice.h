/* The reports of a slice. */
#ifndef SS_REPORT_SLICE_H
#define SS_REPORT_SLICE_H

#include "report/plot.h"
#include "report/report.h"
#include "saddlescope/slice.h"

void ss_report_slice(ss_text *text, const ss_run *run, const ss_slice_result *result);
/* s, t, loss, model (without s in one dimension). */
void ss_report_slice_csv(ss_text *text, const ss_slice_result *result);
/* One panel with both curves, or true and model level sets side by side, the weights marked, the path on top.
 */
ss_status ss_report_slice_plot(ss_context *context, const ss_slice_result *result, const char *title,
                               ss_plot_draw draw, void *user);
/* The slice as an HTML report; `report` is the text of ss_report_slice. */
void ss_html_slice(ss_text *html, const ss_run *run, const ss_slice_result *result, const ss_text *report);

#endif
