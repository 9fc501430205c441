/* saddlescope escape: out of a saddle along its negative curvature. */
#include "cli/commands.h"
#include "cli/deliver.h"
#include "cli/judge.h"
#include "report/html.h"

static ss_status deliver(ss_workload *w, ss_escape_report *report)
{
    ss_status status = SS_OK;
    ss_text   text, html;
    ss_text_init(w->context, &text);
    ss_text_init(w->context, &html);
    report->rows = report->escape.row;
    report->directions = report->escape.direction;
    if (report->escape.left) SS_TRY(ss_judge_write(w, &report->written));
    ss_workload_record_time(w);
    ss_report_escape(&text, &w->run, report);
    if (ss_given(w->settings, HTML)) ss_html_escape(&html, &w->run, report, &text);
    SS_TRY(ss_deliver_html(w, &html));
    SS_TRY(ss_workload_print(w, &text, NULL));
    SS_TRY(ss_workload_json(w, true, ss_escape_fields, report));
fail:
    ss_text_release(&text);
    ss_text_release(&html);
    return status;
}

ss_status ss_command_escape(ss_context *context, const ss_settings *settings, int *exit_status)
{
    ss_status          status = SS_OK;
    ss_workload        workload = { .context = context };
    ss_escape_report   report = { .rows = NULL };
    ss_analyze_options options;
    ss_escape_options  escape;
    bool               started = false;

    SS_TRY(ss_workload_open(context, settings, true, &workload));
    ss_judge_options(settings, &workload, &options);
    ss_escape_options_init(&escape);
    escape.vectors = ss_integer_of(settings, VECTORS);
    escape.until_minimum = ss_given(settings, UNTIL_MINIMUM);
    if (ss_given(settings, TIME_LIMIT)) escape.time_limit = ss_real_of(settings, TIME_LIMIT);
    if (ss_given(settings, MAX_PRODUCTS)) escape.max_products = (double)ss_integer_of(settings, MAX_PRODUCTS);
    SS_TRY(ss_workload_json_partial(&workload, ss_escape_fields, NULL));
    started = true;
    SS_TRY(ss_escape(context, workload.objective, &escape, &options, &report.escape));
    SS_TRY(deliver(&workload, &report));
    if (!report.escape.left) {
        fprintf(stderr,
                "saddlescope escape: %s: the verdict is %s; there was nothing to leave, and no "
                "checkpoint is written\n",
                settings->network, ss_label_name(report.escape.before.label));
        *exit_status = SS_EXIT_UNEXPECTED;
    } else {
        *exit_status = ss_judge_expectation(settings, &report.escape.after);
    }
fail:
    if (status != SS_OK && started) ss_workload_discard(&workload);
    ss_escape_result_destroy(&report.escape);
    ss_workload_close(&workload);
    return status;
}
