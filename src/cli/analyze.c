/* saddlescope analyze: the verdict. */
#include "cli/commands.h"
#include "cli/deliver.h"
#include "cli/judge.h"
#include "cli/vectors.h"
#include "report/html.h"

/* What the monitor needs to replace the partial result after every product. */
typedef struct partial {
    ss_workload *workload;
    ss_status    status; /* first failure to write */
} partial;

static void write_partial(void *user, const ss_verdict *verdict)
{
    partial *p = user;
    if (p->status == SS_OK) p->status = ss_workload_json_partial(p->workload, ss_verdict_fields, verdict);
}

static void options_from(const ss_settings *s, const ss_workload *w, ss_analyze_options *o)
{
    ss_judge_options(s, w, o);
    o->checkpoint = ss_text_of(s, CHECKPOINT);
    if (ss_given(s, CHECKPOINT_EVERY)) o->checkpoint_every = ss_real_of(s, CHECKPOINT_EVERY);
    o->resume = ss_given(s, RESUME);
}

/* The verdict at theta, or at the point that --polish leads to. */
static ss_status judge(ss_workload *w, const ss_analyze_options *options, ss_verdict *verdict)
{
    ss_polish_options polish;
    if (!ss_given(w->settings, POLISH)) return ss_analyze(w->context, w->objective, options, verdict);
    ss_judge_polish_options(w->settings, &polish);
    polish.steps = ss_integer_of(w->settings, POLISH);
    return ss_polish_analyze(w->context, w->objective, &polish, options, verdict);
}

/* --save-vectors: the witness, with what it proves beside it. */
static ss_status save_witness(ss_workload *w, const ss_verdict *verdict)
{
    const ss_verdict_witness *witness = &verdict->witness;
    const char               *path = ss_text_of(w->settings, SAVE_VECTORS);
    char                      quotient[40], error[40];
    if (path == NULL) return SS_OK;
    if (witness->vector == NULL) {
        ss_log(w->context, SS_LOG_WARNING, "there is no direction of negative curvature; %s is not written",
               path);
        return SS_OK;
    }
    snprintf(quotient, sizeof quotient, "%.17g", witness->quotient);
    snprintf(error, sizeof error, "%.3g", witness->error);
    ss_named_vector vector = { .name = "witness", .packed = witness->vector };
    ss_metadata     metadata[] = { { "quotient", quotient }, { "error", error } };
    return ss_vectors_write(w->context, path, w->network, &vector, 1, metadata, 2);
}

/* Text, vectors and the last JSON, in that order: "complete" is written when everything else is. */
static ss_status deliver(ss_workload *w, const ss_verdict *verdict, bool complete)
{
    ss_status status = SS_OK;
    ss_text   text, html;
    ss_text_init(w->context, &text);
    ss_text_init(w->context, &html);
    ss_workload_record_time(w);
    ss_report_verdict(&text, &w->run, verdict);
    SS_TRY(save_witness(w, verdict));
    if (ss_given(w->settings, HTML)) ss_html_verdict(&html, &w->run, verdict, &text);
    SS_TRY(ss_deliver_html(w, &html));
    SS_TRY(ss_workload_print(w, &text, ss_text_of(w->settings, OUTPUT)));
    SS_TRY(ss_workload_json(w, complete, ss_verdict_fields, verdict));
fail:
    ss_text_release(&text);
    ss_text_release(&html);
    return status;
}

/* --blocks. The whole operator's memory is given back first. */
static ss_status add_blocks(ss_workload *w, const ss_analyze_options *options, ss_verdict *verdict)
{
    ss_status     status = SS_OK;
    ss_block_kind kind;
    SS_TRY(ss_block_kind_read(w->context, ss_text_of(w->settings, BLOCKS), &kind));
    ss_objective_release(w->objective, SS_FLOAT32);
    ss_objective_release(w->objective, SS_FLOAT64);
    SS_TRY(ss_analyze_blocks(w->context, w->network, w->dataset, &w->options, kind, options, verdict));
fail:
    return status;
}

ss_status ss_command_analyze(ss_context *context, const ss_settings *settings, int *exit_status)
{
    ss_status          status = SS_OK;
    ss_workload        workload;
    ss_verdict         verdict = { 0 };
    ss_analyze_options options;
    partial            monitor = { .workload = &workload };
    bool               started = false;

    SS_TRY(ss_workload_open(context, settings, true, &workload));
    if (ss_given(settings, RESUME) && !ss_given(settings, CHECKPOINT))
        SS_FAIL(context, SS_ERROR_USAGE, "--resume needs --checkpoint FILE");
    if (ss_given(settings, POLISH) && ss_given(settings, CHECKPOINT))
        SS_FAIL(context, SS_ERROR_USAGE, "--checkpoint keeps one search, --polish makes two: leave one out");
    options_from(settings, &workload, &options);
    if (ss_given(settings, JSON)) options.monitor = write_partial, options.monitor_user = &monitor;
    SS_TRY(ss_workload_json_partial(&workload, ss_verdict_fields, NULL));
    started = true;
    status = judge(&workload, &options, &verdict);
    if (status == SS_ERROR_INTERRUPTED) {
        ss_status written = deliver(&workload, &verdict, false);
        if (written != SS_OK) status = written;
    }
    if (status != SS_OK) goto fail;
    SS_TRY(monitor.status);
    if (ss_given(settings, BLOCKS)) SS_TRY(add_blocks(&workload, &options, &verdict));
    SS_TRY(deliver(&workload, &verdict, true));
    *exit_status = ss_judge_expectation(settings, &verdict);
fail:
    /* A failure leaves no result behind; an interruption leaves what is known. */
    if (status != SS_OK && status != SS_ERROR_INTERRUPTED && started) ss_workload_discard(&workload);
    ss_verdict_destroy(&verdict);
    ss_workload_close(&workload);
    return status;
}
