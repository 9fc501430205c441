/* saddlescope polish: to the nearby critical point, and the verdict there. */
#include "cli/commands.h"
#include "cli/deliver.h"
#include "cli/judge.h"
#include "report/html.h"

ss_status ss_command_polish(ss_context *context, const ss_settings *settings, int *exit_status)
{
    ss_status          status = SS_OK;
    ss_workload        workload = { .context = context };
    ss_verdict         verdict = { 0 };
    ss_analyze_options options;
    ss_polish_options  polish;
    ss_written         written;
    ss_text            text, html;
    bool               started = false;

    ss_text_init(context, &text);
    ss_text_init(context, &html);
    SS_TRY(ss_workload_open(context, settings, true, &workload));
    ss_judge_options(settings, &workload, &options);
    ss_judge_polish_options(settings, &polish);
    if (ss_given(settings, STEPS)) polish.steps = ss_integer_of(settings, STEPS);
    SS_TRY(ss_workload_json_partial(&workload, ss_verdict_fields, NULL));
    started = true;
    SS_TRY(ss_polish_analyze(context, workload.objective, &polish, &options, &verdict));
    SS_TRY(ss_judge_write(&workload, &written));
    ss_workload_record_time(&workload);
    ss_report_head(&text, &workload.run);
    ss_report_polish(&text, &verdict.polish);
    ss_report_written(&text, &written);
    ss_report_verdict_body(&text, &workload.run, &verdict);
    if (ss_given(settings, HTML)) ss_html_verdict(&html, &workload.run, &verdict, &text);
    SS_TRY(ss_deliver_html(&workload, &html));
    SS_TRY(ss_workload_print(&workload, &text, NULL));
    SS_TRY(ss_workload_json(&workload, true, ss_verdict_fields, &verdict));
    *exit_status = ss_judge_expectation(settings, &verdict);
fail:
    if (status != SS_OK && started) ss_workload_discard(&workload);
    ss_text_release(&text);
    ss_text_release(&html);
    ss_verdict_destroy(&verdict);
    ss_workload_close(&workload);
    return status;
}
