/* saddlescope analyze: the verdict. */
#include "cli/commands.h"
#include "cli/vectors.h"
#include "cli/workload.h"
#include "report/html.h"

#include <string.h>

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
    ss_analyze_options_init(o);
    o->product = ss_workload_product(w);
    if (ss_given(s, RESOLUTION)) o->resolution = ss_real_of(s, RESOLUTION);
    if (ss_given(s, CONFIDENCE)) o->confidence = ss_real_of(s, CONFIDENCE);
    if (ss_given(s, MAX_PRODUCTS)) o->max_products = ss_integer_of(s, MAX_PRODUCTS);
    if (ss_given(s, TIME_LIMIT)) o->time_limit = ss_real_of(s, TIME_LIMIT);
    if (ss_given(s, DENSE_LIMIT)) o->dense_limit = ss_integer_of(s, DENSE_LIMIT);
    if (ss_given(s, CONFIRM_SAMPLES)) o->confirm_samples = ss_integer_of(s, CONFIRM_SAMPLES);
    if (ss_given(s, TAU)) o->tau = ss_real_of(s, TAU);
    if (ss_given(s, CRITICAL)) o->critical = ss_real_of(s, CRITICAL);
    if (ss_given(s, CRITICAL_GRADIENT)) o->critical_gradient = ss_real_of(s, CRITICAL_GRADIENT);
    o->seed = (uint64_t)ss_integer_of(s, SEED);
    o->sample_seed = (uint64_t)ss_integer_of(s, SAMPLE_SEED);
    if (ss_given(s, MEMORY)) o->memory = ss_integer_of(s, MEMORY);
    o->checkpoint = ss_text_of(s, CHECKPOINT);
    if (ss_given(s, CHECKPOINT_EVERY)) o->checkpoint_every = ss_real_of(s, CHECKPOINT_EVERY);
    o->resume = ss_given(s, RESUME);
    o->configuration = w->configuration;
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

static int expectation(const ss_settings *settings, const ss_verdict *verdict)
{
    const char *wanted = ss_text_of(settings, EXPECT);
    if (wanted == NULL || strcmp(wanted, ss_label_name(verdict->label)) == 0) return SS_EXIT_DONE;
    fprintf(stderr, "saddlescope analyze: expected %s, found %s\n", wanted, ss_label_name(verdict->label));
    return verdict->label == SS_LABEL_INCONCLUSIVE ? SS_EXIT_INCONCLUSIVE : SS_EXIT_UNEXPECTED;
}

/* --html: what the text says, explained. */
static ss_status write_html(ss_workload *w, const ss_verdict *verdict, const ss_text *report)
{
    ss_status   status = SS_OK;
    const char *path = ss_text_of(w->settings, HTML);
    ss_text     html;
    if (path == NULL) return SS_OK;
    ss_text_init(w->context, &html);
    ss_html_verdict(&html, &w->run, verdict, report);
    status = ss_html_write(w->context, path, &html);
    ss_text_release(&html);
    return status;
}

/* Text, vectors and the last JSON, in that order: "complete" is written when everything else is. */
static ss_status deliver(ss_workload *w, const ss_verdict *verdict, bool complete)
{
    ss_status status = SS_OK;
    ss_text   text;
    ss_text_init(w->context, &text);
    ss_workload_record_time(w);
    ss_report_verdict(&text, &w->run, verdict);
    SS_TRY(save_witness(w, verdict));
    SS_TRY(write_html(w, verdict, &text));
    SS_TRY(ss_workload_print(w, &text, ss_text_of(w->settings, OUTPUT)));
    SS_TRY(ss_workload_json(w, complete, ss_verdict_fields, verdict));
fail:
    ss_text_release(&text);
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
    options_from(settings, &workload, &options);
    if (ss_given(settings, JSON)) options.monitor = write_partial, options.monitor_user = &monitor;
    SS_TRY(ss_workload_json_partial(&workload, ss_verdict_fields, NULL));
    started = true;
    status = ss_analyze(context, workload.objective, &options, &verdict);
    if (status == SS_ERROR_INTERRUPTED) {
        ss_status written = deliver(&workload, &verdict, false);
        if (written != SS_OK) status = written;
    }
    if (status != SS_OK) goto fail;
    SS_TRY(monitor.status);
    SS_TRY(deliver(&workload, &verdict, true));
    *exit_status = expectation(settings, &verdict);
fail:
    /* A failure leaves no result behind; an interruption leaves what is known. */
    if (status != SS_OK && status != SS_ERROR_INTERRUPTED && started) ss_workload_discard(&workload);
    ss_verdict_destroy(&verdict);
    ss_workload_close(&workload);
    return status;
}
