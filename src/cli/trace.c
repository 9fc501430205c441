/* saddlescope trace: the sum of the eigenvalues, with an error bar. */
#include "cli/commands.h"
#include "cli/deliver.h"
#include "report/html.h"

#include <math.h>
#include <stdio.h>

typedef struct watch {
    ss_workload    *workload;
    double          end; /* s, monotonic; 0 = none */
    ss_trace_course course;
    int64_t         room; /* of its arrays */
} watch;

/* One more point of the course. */
static ss_status note(watch *w, const ss_trace_result *r)
{
    ss_status        status = SS_OK;
    ss_trace_course *c = &w->course;
    double         **each[] = { &c->probes, &c->trace, &c->low, &c->high };
    double values[] = { (double)r->probes, r->trace, r->trace - r->trace_error, r->trace + r->trace_error };
    if (!isfinite(r->trace_error) || !ss_given(w->workload->settings, HTML)) return SS_OK;
    if (c->count > 0 && c->probes[c->count - 1] >= values[0]) return SS_OK;
    int64_t room = c->count < w->room ? w->room : 2 * c->count + 64;
    for (int i = 0; i < 4; i++) {
        if (room > w->room)
            SS_TRY(ss_reallocate(w->workload->context, room, sizeof(double), (void **)each[i]));
        (*each[i])[c->count] = values[i];
    }
    w->room = room;
    c->count++;
fail:
    return status;
}

static void release_course(ss_context *context, ss_trace_course *c)
{
    ss_free(context, c->probes);
    ss_free(context, c->trace);
    ss_free(context, c->low);
    ss_free(context, c->high);
}

static ss_status look(void *user, const ss_trace_result *partial, int64_t done, int64_t total,
                      ss_eigen_action *action)
{
    watch    *w = user;
    ss_status status = note(w, partial);
    char      remark[2 * SS_NUMBER_TEXT] = "";
    if (status != SS_OK) return status;
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

static ss_status deliver(watch *watched, const ss_trace_result *r, bool complete)
{
    ss_workload *w = watched->workload;
    ss_status    status = SS_OK;
    ss_text      text, html;
    ss_text_init(w->context, &text);
    ss_text_init(w->context, &html);
    ss_workload_record_time(w);
    ss_report_trace(&text, &w->run, ss_product_name(ss_workload_product(w)), r);
    SS_TRY(note(watched, r));
    if (ss_given(w->settings, HTML)) ss_html_trace(&html, &w->run, r, &watched->course, &text);
    SS_TRY(ss_deliver_html(w, &html));
    SS_TRY(ss_deliver_text(w, &text, NULL));
    SS_TRY(ss_workload_json(w, complete, ss_trace_fields, r));
fail:
    ss_text_release(&text);
    ss_text_release(&html);
    return status;
}

ss_status ss_command_trace(ss_context *context, const ss_settings *settings, int *exit_status)
{
    ss_status        status = SS_OK, solved = SS_OK;
    ss_workload      workload = { .context = context };
    ss_operator      op = { 0 };
    ss_trace_options options;
    ss_trace_result  result;
    watch            monitor = { .workload = &workload };
    bool             started = false;

    (void)exit_status;
    SS_TRY(ss_workload_open(context, settings, true, &workload));
    SS_TRY(ss_workload_operator(&workload, &op));
    options_from(settings, &monitor, &options);
    SS_TRY(ss_workload_json_partial(&workload, ss_trace_fields, NULL));
    started = true;
    solved = ss_trace_estimate(&op, &options, &result);
    if (solved != SS_ERROR_INTERRUPTED) SS_TRY(solved);
    SS_TRY(deliver(&monitor, &result, solved == SS_OK));
    status = solved;
fail:
    if (status != SS_OK && status != SS_ERROR_INTERRUPTED && started) ss_workload_discard(&workload);
    release_course(context, &monitor.course);
    ss_operator_destroy(&op);
    ss_workload_close(&workload);
    return status;
}
