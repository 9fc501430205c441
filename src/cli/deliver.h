/* How results leave: text, tables, pictures, reports. What the commands share; the JSON is the workload's. */
#ifndef SS_CLI_DELIVER_H
#define SS_CLI_DELIVER_H

#include "cli/workload.h"

/* ss_plot_draw: --plot. `workload` is an ss_workload. */
ss_status ss_deliver_plot(void *workload, const ss_plot *panels, int64_t count);
/* --html: nothing where it is not given; the text's own failure first. */
ss_status ss_deliver_html(ss_workload *workload, const ss_text *html);
/* Text to standard output; to --output too, unless its name ends in .csv: then `table` goes there (NULL:
 * there is none). */
ss_status ss_deliver_text(ss_workload *workload, const ss_text *text, const ss_text *table);
/* What gradient and hvp end with: the vector to --output, the text, the whole JSON. */
ss_status ss_deliver_vector(ss_workload *workload, const double *packed, const ss_text *text,
                            const ss_field *fields, const void *result);

#endif
