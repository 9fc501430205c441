/* saddlescope study: many networks, each taken to a critical point. */
#include "backend/backend.h"
#include "cli/commands.h"
#include "cli/deliver.h"
#include "cli/judge.h"
#include "cli/lists.h"
#include "cli/rows.h"
#include "cli/study.h"
#include "report/html.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* What happens after every point. */
typedef struct table {
    ss_workload     *workload;
    ss_study_result *result;
    double           start; /* s, monotonic */
} table;

/* "mlp:64-16-10:tanh" with `width` in every hidden layer. */
static ss_status widen(ss_context *context, const char *network, int64_t width, char **source)
{
    ss_status   status = SS_OK;
    const char *widths = network + 4, *first = strchr(widths, '-'), *end = widths + strcspn(widths, ":");
    const char *last = end;
    char        hidden[4096] = "";
    size_t      used = 0;
    while (last > widths && *last != '-') last--;
    if (strncmp(network, "mlp:", 4) != 0 || first == NULL || first >= end)
        SS_FAIL(context, SS_ERROR_USAGE,
                "--widths: %s has no widths that can be replaced; give mlp:64-16-10:tanh", network);
    if (first == last) SS_FAIL(context, SS_ERROR_USAGE, "--widths: %s has no hidden layer", network);
    for (const char *p = first; p < last; p++)
        if (*p == '-' && used + 24 < sizeof hidden)
            used += (size_t)snprintf(hidden + used, sizeof hidden - used, "-%lld", (long long)width);
    SS_TRY(ss_format(context, source, "%.*s%s%s", (int)(first - network), network, hidden, last));
fail:
    return status;
}

/* Everything that the digits of a point depend on, besides its width and seed. */
static void digest(const ss_workload *w, ss_study_plan *plan)
{
    const ss_array *arrays[] = { ss_dataset_inputs(w->dataset), ss_dataset_targets(w->dataset) };
    int64_t         lengths[] = { ss_dataset_input_length(w->dataset), ss_dataset_target_length(w->dataset) };
    const ss_analyze_options *a = &plan->analyze;
    double                    numbers[] = { a->resolution,
                                            a->confidence,
                                            a->tau,
                                            a->critical,
                                            a->critical_gradient,
                                            (double)a->max_products,
                                            (double)a->dense_limit,
                                            (double)a->seed,
                                            (double)a->sample_seed,
                                            (double)w->options.memory,
                                            (double)w->options.batch_size };
    uint64_t                  d = SS_DIGEST_START;
    for (int i = 0; i < 2; i++)
        d = ss_digest(d, arrays[i]->data,
                      (size_t)(ss_dataset_samples(w->dataset) * lengths[i]) * ss_type_size(arrays[i]->type));
    d = ss_digest(d, numbers, sizeof numbers);
    const char *texts[] = { w->run.version,   w->run.network, w->run.data_description,
                            w->run.objective, w->run.device,  w->run.device_description };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        d = ss_digest(d, texts[i], strlen(texts[i]) + 1);
    for (int i = 0; i < 2; i++) {
        const ss_setting *globs =
            &w->settings->option[i == 0 ? SS_OPTION_PARAMETERS : SS_OPTION_EXCLUDE_PARAMETERS];
        for (int64_t k = 0; k < globs->n_texts; k++)
            d = ss_digest(d, globs->texts[k], strlen(globs->texts[k]) + 1);
    }
    snprintf(plan->setup, sizeof plan->setup, "%016llx", (unsigned long long)d);
}

static ss_status make_plan(ss_workload *w, ss_study_plan *plan)
{
    ss_status          status = SS_OK;
    const ss_settings *s = w->settings;
    ss_context        *context = w->context;
    plan->workload = w;
    ss_judge_options(s, w, &plan->analyze);
    plan->analyze.configuration = NULL;
    if (ss_given(s, WIDTHS)) {
        SS_TRY(ss_list_parse(context, "--widths", ss_text_of(s, WIDTHS), 1, 100000, &plan->widths,
                             &plan->n_widths));
    } else {
        SS_TRY(SS_NEW_ARRAY(context, 1, &plan->widths));
        plan->n_widths = 1;
    }
    SS_TRY(ss_list_parse(context, "--seeds", ss_text_of(s, SEEDS), 0, (int64_t)9e15, &plan->seeds,
                         &plan->n_seeds));
    SS_TRY(SS_NEW_ARRAY(context, plan->n_widths, &plan->sources));
    for (int64_t i = 0; i < plan->n_widths; i++) {
        if (plan->widths[i] > 0)
            SS_TRY(widen(context, s->network, plan->widths[i], &plan->sources[i]));
        else
            SS_TRY(ss_copy_string(context, s->network, &plan->sources[i]));
    }
    plan->total = plan->n_widths * plan->n_seeds;
    SS_TRY(SS_NEW_ARRAY(context, plan->total, &plan->points));
    SS_TRY(SS_NEW_ARRAY(context, plan->total, &plan->done));
    digest(w, plan);
fail:
    return status;
}

static void release_plan(ss_context *context, ss_study_plan *plan)
{
    for (int64_t i = 0; plan->sources != NULL && i < plan->n_widths; i++) ss_free(context, plan->sources[i]);
    ss_free(context, plan->sources);
    ss_free(context, plan->widths);
    ss_free(context, plan->seeds);
    ss_free(context, plan->points);
    ss_free(context, plan->done);
}

/* Takes over the rows of an earlier run with the same setup; rows of other widths and seeds are left out. */
static ss_status resume(ss_workload *w, ss_study_plan *plan, ss_study_result *result)
{
    ss_status       status = SS_OK;
    const char     *path = ss_text_of(w->settings, OUTPUT);
    ss_study_point *rows = NULL;
    int64_t         count = 0;
    if (!ss_given(w->settings, RESUME)) return SS_OK;
    if (path == NULL)
        SS_FAIL(w->context, SS_ERROR_USAGE, "--resume needs --output FILE, the table to go on with");
    SS_TRY(ss_rows_read(w->context, path, ss_study_point_fields, sizeof *rows, (void **)&rows, &count));
    for (int64_t i = 0; i < count; i++) {
        if (strcmp(rows[i].setup, plan->setup) != 0)
            SS_FAIL(
                w->context, SS_ERROR_REFUSED,
                "%s: line %lld: column 'setup' is %s, this study is %s: network, data, objective, options or "
                "version differ; name another --output",
                path, (long long)i + 2, rows[i].setup, plan->setup);
        for (int64_t n = 0; n < plan->total; n++) {
            if (plan->done[n] || plan->widths[n / plan->n_seeds] != rows[i].width ||
                plan->seeds[n % plan->n_seeds] != rows[i].seed)
                continue;
            plan->points[n] = rows[i];
            plan->points[n].number = n;
            plan->done[n] = true;
            result->reused++;
        }
    }
fail:
    ss_free(w->context, rows);
    return status;
}

/* The result so far: finished points, by number. */
static void summarise(const ss_study_plan *plan, ss_study_result *r)
{
    memset(r->ends, 0, sizeof r->ends);
    memset(r->labels, 0, sizeof r->labels);
    r->n_points = r->reduced = 0;
    r->total = plan->total;
    for (int64_t n = 0; n < plan->total; n++) {
        const ss_study_point *p = &plan->points[n];
        if (!plan->done[n]) continue;
        r->points[r->n_points++] = *p;
        r->ends[p->end]++;
        if (p->end == SS_END_CRITICAL) r->labels[p->label]++;
        if (p->end != SS_END_GRADIENT_FLAT && p->end != SS_END_ESCAPING)
            r->reduced += p->gradient <= 1e-8 * p->gradient_start;
    }
}

static ss_status write_tables(table *t, const ss_study_plan *plan)
{
    ss_status        status = SS_OK;
    ss_workload     *w = t->workload;
    ss_study_result *r = t->result;
    summarise(plan, r);
    r->seconds = ss_seconds() - t->start;
    SS_TRY(ss_rows_write(w->context, ss_text_of(w->settings, OUTPUT), ss_study_point_fields,
                         sizeof *r->points, r->points, r->n_points));
    SS_TRY(ss_workload_json_partial(w, ss_study_fields, r));
fail:
    return status;
}

static ss_status after_point(void *user, const ss_study_plan *plan, int64_t number)
{
    table                *t = user;
    const ss_study_point *p = &plan->points[number];
    ss_status             status = write_tables(t, plan);
    char                  remark[80];
    snprintf(remark, sizeof remark, "%s, loss %.4g, index %lld", ss_end_name(p->end), p->loss,
             (long long)p->negative);
    ss_progress(t->workload->context, "points", (double)t->result->n_points, (double)plan->total, remark);
    return status;
}

static ss_status deliver(ss_workload *w, ss_study_result *r, bool complete)
{
    ss_status status = SS_OK;
    ss_text   text, html;
    ss_text_init(w->context, &text);
    ss_text_init(w->context, &html);
    ss_workload_record_time(w);
    ss_report_study(&text, &w->run, r);
    SS_TRY(ss_workload_print(w, &text, NULL));
    if (ss_given(w->settings, PLOT)) SS_TRY(ss_report_study_plot(w->context, r, ss_deliver_plot, w));
    if (ss_given(w->settings, HTML)) ss_html_study(&html, &w->run, r, &text);
    SS_TRY(ss_deliver_html(w, &html));
    SS_TRY(ss_workload_json(w, complete, ss_study_fields, r));
fail:
    ss_text_release(&text);
    ss_text_release(&html);
    return status;
}

ss_status ss_command_study(ss_context *context, const ss_settings *settings, int *exit_status)
{
    ss_status       status = SS_OK, computed = SS_OK;
    ss_workload     workload = { .context = context };
    ss_study_plan   plan = { .workload = NULL };
    ss_study_result result = { .n_points = 0 };
    table           t = { .workload = &workload, .result = &result, .start = ss_seconds() };
    int64_t         jobs = 0;

    (void)exit_status;
    SS_TRY(ss_workload_open(context, settings, true, &workload));
    if (ss_given(settings, PLOT)) SS_TRY(ss_plot_check_name(context, ss_text_of(settings, PLOT)));
    SS_TRY(make_plan(&workload, &plan));
    if (ss_given(settings, SAVE_WEIGHTS) && mkdir(ss_text_of(settings, SAVE_WEIGHTS), 0777) != 0 &&
        errno != EEXIST)
        SS_FAIL(context, SS_ERROR_OUTPUT, "--save-weights: %s: %s", ss_text_of(settings, SAVE_WEIGHTS),
                strerror(errno));
    SS_TRY(SS_NEW_ARRAY(context, plan.total, &result.points));
    bool cpu = strncmp(ss_text_of(settings, DEVICE), "cpu", 3) == 0; /* a GPU is one, whatever the threads */
    jobs = ss_given(settings, JOBS) ? ss_integer_of(settings, JOBS) : cpu ? ss_context_threads(context) : 1;
    jobs = result.jobs = ss_min64(jobs, plan.total);
    SS_TRY(resume(&workload, &plan, &result));
    SS_TRY(write_tables(&t, &plan));
    computed = ss_study_run(&plan, jobs, after_point, &t);
    if (computed != SS_OK && computed != SS_ERROR_INTERRUPTED) SS_TRY(computed);
    SS_TRY(write_tables(&t, &plan));
    SS_TRY(deliver(&workload, &result, computed == SS_OK));
    status = computed;
fail:
    release_plan(context, &plan);
    ss_free(context, result.points);
    ss_workload_close(&workload);
    return status;
}
