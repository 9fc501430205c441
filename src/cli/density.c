/* saddlescope density: the distribution of all eigenvalues, with bounds. */
#include "cli/commands.h"
#include "cli/deliver.h"
#include "report/html.h"

/* What the monitor needs: when to stop, and where the partial result goes. */
typedef struct watch {
    ss_workload *workload;
    double       end; /* s, monotonic; 0 = none */
} watch;

static ss_status look(void *user, const ss_density_result *partial, int64_t done, int64_t total,
                      ss_eigen_action *action)
{
    const watch *w = user;
    ss_progress(w->workload->context, "products", (double)done, (double)total, "");
    if (w->end > 0 && ss_seconds() >= w->end) *action = SS_EIGEN_STOP;
    return ss_workload_json_partial(w->workload, ss_density_fields, partial);
}

static void options_from(const ss_settings *s, watch *w, ss_density_options *o)
{
    ss_density_options_init(o);
    if (ss_given(s, PROBES)) o->probes = ss_integer_of(s, PROBES);
    if (ss_given(s, STEPS)) o->steps = ss_integer_of(s, STEPS);
    if (ss_given(s, WIDTH)) o->width = ss_real_of(s, WIDTH);
    o->eta = 1 - ss_real_of(s, CONFIDENCE);
    if (ss_given(s, POINTS)) o->points = ss_integer_of(s, POINTS);
    o->memory = ss_workload_vector_memory(w->workload, 1);
    o->seed = (uint64_t)ss_integer_of(s, SEED);
    o->monitor = look;
    o->monitor_user = w;
    if (ss_given(s, TIME_LIMIT)) w->end = ss_seconds() + ss_real_of(s, TIME_LIMIT);
}

/* --band, --plot, --html. */
static ss_status write_files(ss_workload *w, const ss_density_result *r, const ss_text *report)
{
    const ss_settings *s = w->settings;
    ss_status          status = SS_OK;
    ss_text            band, html;
    ss_text_init(w->context, &band);
    ss_text_init(w->context, &html);
    ss_report_density_band(&band, r);
    if (ss_given(s, BAND)) SS_TRY(ss_workload_file(w, &band, ss_text_of(s, BAND)));
    if (ss_given(s, PLOT) && r->n_points > 0)
        SS_TRY(ss_report_density_plot(w->context, r, ss_deliver_plot, w));
    if (ss_given(s, HTML)) ss_html_density(&html, &w->run, r, report);
    SS_TRY(ss_deliver_html(w, &html));
fail:
    ss_text_release(&band);
    ss_text_release(&html);
    return status;
}

/* Everything that was asked for; the last JSON when the rest is there. */
static ss_status deliver(ss_workload *w, const ss_density_result *r, bool complete)
{
    ss_status status = SS_OK;
    ss_text   text, nodes;
    ss_text_init(w->context, &text);
    ss_text_init(w->context, &nodes);
    ss_workload_record_time(w);
    ss_report_density(&text, &w->run, ss_product_name(ss_workload_product(w)), r);
    ss_report_density_nodes(&nodes, r);
    SS_TRY(write_files(w, r, &text));
    SS_TRY(ss_deliver_text(w, &text, &nodes));
    SS_TRY(ss_workload_json(w, complete, ss_density_fields, r));
fail:
    ss_text_release(&text);
    ss_text_release(&nodes);
    return status;
}

ss_status ss_command_density(ss_context *context, const ss_settings *settings, int *exit_status)
{
    ss_status          status = SS_OK, solved = SS_OK;
    ss_workload        workload = { .context = context };
    ss_operator        op = { 0 };
    ss_density_options options;
    ss_density_result *result = NULL;
    watch              monitor = { .workload = &workload };
    bool               started = false;

    (void)exit_status;
    if (ss_given(settings, PLOT)) SS_TRY(ss_plot_check_name(context, ss_text_of(settings, PLOT)));
    SS_TRY(ss_workload_open(context, settings, true, &workload));
    SS_TRY(ss_workload_operator(&workload, &op));
    options_from(settings, &monitor, &options);
    SS_TRY(ss_workload_json_partial(&workload, ss_density_fields, NULL));
    started = true;
    solved = ss_density_solve(&op, &options, &result);
    if (result == NULL) SS_TRY(solved);
    SS_TRY(deliver(&workload, result, solved == SS_OK));
    status = solved; /* interrupted: what is known is delivered, and the exit status says so */
fail:
    if (status != SS_OK && status != SS_ERROR_INTERRUPTED && started) ss_workload_discard(&workload);
    ss_density_result_destroy(result);
    ss_operator_destroy(&op);
    ss_workload_close(&workload);
    return status;
}
