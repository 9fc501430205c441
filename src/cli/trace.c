/* saddlescope trace: the sum of the eigenvalues, with an error bar. */
#include "cli/commands.h"
#include "cli/workload.h"

#include <math.h>
#include <stdio.h>

typedef struct watch {
    ss_workload *workload;
    double       end; /* s, monotonic; 0 = none */
} watch;

static ss_status look(void *user, const ss_trace_result *partial, int64_t done, int64_t total,
                      ss_eigen_action *action)
{
    watch *w = user;
    char   remark[2 * SS_NUMBER_TEXT] = "";
    if (isfinite(partial->trace_error)) ss_uncertain_text(partial->trace, partial->trace_error, remark);
    ss_progress(w->workload->context, "products", (double)done, (double)total, remark);
    if (w->end > 0 && ss_seconds() >= w->end) *action = SS_EIGEN_STOP;
    return ss_workload_json_partial(w->workload, ss_trace_fields, partial);
}

static void options_from(const ss_settings *s, watch *w, ss_trace_options *o)
{
    ss_trace_options_init(o);
    if (ss_given(s, PROBES)) o->probes = ss_integer_of(s, PROBES);
    if (ss_given(s, DEFLATE)) o->deflate = ss_integer_of(s, DEFLATE);
    o->eta = 1 - ss_real_of(s, CONFIDENCE);
    o->memory = ss_workload_vector_memory(w->workload, 0);
    o->seed = (uint64_t)ss_integer_of(s, SEED);
    o->monitor = look;
    o->monitor_user = w;
    if (ss_given(s, TIME_LIMIT)) w->end = ss_seconds() + ss_real_of(s, TIME_LIMIT);
}

ss_status ss_command_trace(ss_context *context, const ss_settings *settings, int *exit_status)
{
    ss_status        status = SS_OK, solved = SS_OK;
    ss_workload      workload = { .context = context };
    ss_operator      op = { 0 };
    ss_trace_options options;
    ss_trace_result  result;
    watch            monitor = { .workload = &workload };
    ss_text          text;
    bool             started = false;

    (void)exit_status;
    ss_text_init(context, &text);
    SS_TRY(ss_workload_open(context, settings, true, &workload));
    SS_TRY(ss_workload_operator(&workload, &op));
    options_from(settings, &monitor, &options);
    SS_TRY(ss_workload_json_partial(&workload, ss_trace_fields, NULL));
    started = true;
    solved = ss_trace_estimate(&op, &options, &result);
    if (solved != SS_ERROR_INTERRUPTED) SS_TRY(solved);
    ss_report_trace(&text, &workload.run, ss_product_name(ss_workload_product(&workload)), &result);
    SS_TRY(ss_workload_print(&workload, &text, ss_text_of(settings, OUTPUT)));
    SS_TRY(ss_workload_json(&workload, solved == SS_OK, ss_trace_fields, &result));
    status = solved;
fail:
    if (status != SS_OK && status != SS_ERROR_INTERRUPTED && started) ss_workload_discard(&workload);
    ss_text_release(&text);
    ss_operator_destroy(&op);
    ss_workload_close(&workload);
    return status;
}
