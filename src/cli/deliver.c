/* How results leave; see deliver.h. */
#include "cli/deliver.h"
#include "cli/vectors.h"
#include "report/html.h"

ss_status ss_deliver_plot(void *workload, const ss_plot *panels, int64_t count)
{
    const ss_workload *w = workload;
    return ss_plot_write(w->context, ss_text_of(w->settings, PLOT), panels, count);
}

ss_status ss_deliver_html(ss_workload *w, const ss_text *html)
{
    if (!ss_given(w->settings, HTML)) return SS_OK;
    return ss_html_write(w->context, ss_text_of(w->settings, HTML), html);
}

ss_status ss_deliver_text(ss_workload *w, const ss_text *text, const ss_text *table)
{
    const char *path = ss_text_of(w->settings, OUTPUT);
    ss_status   status = SS_OK;
    bool        csv = table != NULL && path != NULL && ss_path_ends_with(path, ".csv");
    if (csv) SS_TRY(ss_workload_file(w, table, path));
    status = ss_workload_print(w, text, csv ? NULL : path);
fail:
    return status;
}

ss_status ss_deliver_vector(ss_workload *w, const double *packed, const ss_text *text, const ss_field *fields,
                            const void *result)
{
    ss_status status = SS_OK;
    SS_TRY(ss_vector_output(w->context, w->settings, w->network, packed));
    SS_TRY(ss_workload_print(w, text, NULL));
    SS_TRY(ss_workload_json(w, true, fields, result));
fail:
    return status;
}
