/* saddlescope track: the checkpoints of a run, one row each. */
#include "backend/backend.h"
#include "cli/commands.h"
#include "cli/deliver.h"
#include "cli/judge.h"
#include "cli/lists.h"
#include "cli/rows.h"
#include "cli/track_files.h"
#include "cli/vectors.h"
#include "report/html.h"

#include <math.h>
#include <string.h>

typedef struct tracking {
    ss_workload       *workload;
    ss_track_result    result;
    ss_checkpoints     found;
    ss_schedule        schedule;
    ss_track_options   options;
    ss_analyze_options analyze;
    char               setup[17];
    double            *subspace; /* [k, n] of the last checkpoint that was followed */
    bool               have;     /* there is one */
    double            *scales;   /* [n] diagonal of --precondition */
    ss_track_point    *rows;     /* [n_rows] of an earlier run */
    int64_t            n_rows;
    double             start; /* s, monotonic */
} tracking;

/* 2/lr and its relatives: where the optimizer becomes unstable on a quadratic (Cohen et al., ICLR 2021 and
 * arXiv:2207.14484; for adam of the preconditioned Hessian, 38/lr at b = 0.9). */
static double threshold(const ss_settings *s, double rate)
{
    const char *name = ss_text_of(s, OPTIMIZER);
    double      b = ss_real_of(s, MOMENTUM);
    if (!(rate > 0)) return (double)NAN;
    if (strcmp(name, "momentum") == 0) return (2 + 2 * b) / rate;
    if (strcmp(name, "adam") == 0) return (2 + 2 * b) / ((1 - b) * rate);
    return 2 / rate;
}

/* What the digits of a row depend on, besides its own file. */
static void digest(tracking *t)
{
    const ss_workload *w = t->workload;
    const ss_settings *s = w->settings;
    const char        *texts[] = { w->run.version,
                                   w->run.network,
                                   w->data_path,
                                   w->run.data_description,
                                   w->run.objective,
                                   w->run.precision,
                                   w->run.device,
                            ss_given(s, PRECONDITION) ? ss_text_of(s, PRECONDITION) : "",
                            ss_given(s, LR) ? ss_text_of(s, LR) : "",
                                   ss_text_of(s, OPTIMIZER) };
    double             numbers[] = { (double)ss_integer_of(s, SEED),
                                     (double)ss_integer_of(s, SAMPLE_SEED),
                                     (double)t->options.subspace,
                                     t->options.tolerance,
                                     (double)t->options.max_products,
                                     t->analyze.resolution,
                                     t->analyze.tau,
                                     t->analyze.critical,
                                     (double)t->analyze.dense_limit,
                                     ss_real_of(s, MOMENTUM) };
    uint64_t           d = ss_digest(SS_DIGEST_START, numbers, sizeof numbers);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        d = ss_digest(d, texts[i], strlen(texts[i]) + 1);
    snprintf(t->setup, sizeof t->setup, "%016llx", (unsigned long long)d);
}

static ss_status prepare(tracking *t)
{
    ss_status          status = SS_OK;
    ss_workload       *w = t->workload;
    const ss_settings *s = w->settings;
    int64_t            n = ss_network_n(w->network), room = 0;
    ss_track_options_init(&t->options);
    ss_judge_options(s, w, &t->analyze);
    t->options.subspace = ss_min64(ss_integer_of(s, SUBSPACE), ss_max64(n - 1, 1));
    t->options.tolerance = ss_given(s, TOLERANCE) ? ss_real_of(s, TOLERANCE) : t->options.tolerance;
    t->options.max_products = ss_integer_of(s, MAX_PRODUCTS);
    t->options.seed = (uint64_t)ss_integer_of(s, SEED);
    t->result.subspace = t->options.subspace;
    if (ss_given(s, LR)) {
        SS_TRY(ss_schedule_read(w->context, ss_text_of(s, LR), &t->schedule));
        t->result.optimizer = ss_text_of(s, OPTIMIZER);
    } else if (ss_given(s, OPTIMIZER)) {
        SS_FAIL(w->context, SS_ERROR_USAGE, "--optimizer needs --lr X or --lr trainer_state.json");
    }
    if (!ss_mul64(n, t->options.subspace, &room))
        SS_FAIL(w->context, SS_ERROR_USAGE, "--subspace: too large");
    SS_TRY(SS_NEW_ARRAY(w->context, room, &t->subspace));
    SS_TRY(SS_NEW_ARRAY(w->context, n, &t->scales));
    SS_TRY(SS_NEW_ARRAY(w->context, t->found.count, &t->result.points));
    digest(t);
fail:
    return status;
}

static ss_status resume(tracking *t)
{
    ss_status    status = SS_OK;
    ss_workload *w = t->workload;
    const char  *path = ss_text_of(w->settings, OUTPUT);
    if (!ss_given(w->settings, RESUME)) return SS_OK;
    if (path == NULL)
        SS_FAIL(w->context, SS_ERROR_USAGE, "--resume needs --output FILE, the table to go on with");
    SS_TRY(ss_rows_read(w->context, path, ss_track_point_fields, sizeof *t->rows, (void **)&t->rows,
                        &t->n_rows));
    for (int64_t i = 0; i < t->n_rows; i++)
        if (strcmp(t->rows[i].setup, t->setup) != 0)
            SS_FAIL(
                w->context, SS_ERROR_REFUSED,
                "%s: line %lld: column 'setup' is %s, this run is %s: network, data, objective, options or "
                "version differ; name another --output",
                path, (long long)i + 2, t->rows[i].setup, t->setup);
fail:
    return status;
}

/* The row of an earlier run; NULL if there is none. */
static const ss_track_point *earlier(const tracking *t, const char *name)
{
    for (int64_t i = 0; i < t->n_rows; i++)
        if (strcmp(t->rows[i].name, name) == 0) return &t->rows[i];
    return NULL;
}

static ss_status read_scales(tracking *t, const char *name)
{
    ss_status    status = SS_OK;
    ss_workload *w = t->workload;
    char        *path = NULL;
    t->options.precondition = NULL;
    if (!ss_given(w->settings, PRECONDITION)) return SS_OK;
    SS_TRY(ss_checkpoint_beside(w->context, name, ss_text_of(w->settings, PRECONDITION), &path));
    SS_TRY(ss_vector_read(w->context, path, w->network, t->scales));
    for (int64_t i = 0; i < ss_network_n(w->network); i++)
        if (!(t->scales[i] > 0))
            SS_FAIL(w->context, SS_ERROR_INPUT,
                    "%s: element %lld of the diagonal is %g, expected a number > 0", path, (long long)i,
                    t->scales[i]);
    t->options.precondition = t->scales;
fail:
    ss_free(w->context, path);
    return status;
}

static ss_status open_checkpoint(tracking *t, const char *name, ss_network **network,
                                 ss_objective **objective)
{
    ss_status    status = SS_OK;
    ss_workload *w = t->workload;
    char        *path = NULL;
    SS_TRY(ss_checkpoint_weights(w->context, name, &path));
    SS_TRY(ss_workload_stored_network(w, path, false, network));
    SS_TRY(ss_objective_create(w->context, *network, w->dataset, &w->options, objective));
    SS_TRY(read_scales(t, name));
fail:
    ss_free(w->context, path);
    return status;
}

/* Follows one checkpoint, or only its top space when the row is there already and the next one needs it. */
static ss_status follow(tracking *t, const char *name, ss_track_point *point)
{
    ss_status     status = SS_OK;
    ss_workload  *w = t->workload;
    ss_network   *network = NULL;
    ss_objective *objective = NULL;
    *point = (ss_track_point){ .step = ss_natural_number(name) };
    if (strlen(name) >= sizeof point->name)
        SS_FAIL(w->context, SS_ERROR_INPUT, "%s: the name is longer than %d bytes", name, SS_TRACK_NAME - 1);
    memcpy(point->name, name, strlen(name) + 1);
    memcpy(point->setup, t->setup, sizeof point->setup);
    point->rate = ss_schedule_at(&t->schedule, point->step);
    point->threshold = threshold(w->settings, point->rate);
    SS_TRY(open_checkpoint(t, name, &network, &objective));
    SS_TRY(ss_track(w->context, objective, &t->options, &t->analyze, t->subspace, &t->have, point));
fail:
    ss_objective_destroy(objective);
    ss_network_close(network);
    return status;
}

static ss_status write_tables(tracking *t)
{
    ss_status        status = SS_OK;
    ss_workload     *w = t->workload;
    ss_track_result *r = &t->result;
    r->seconds = ss_seconds() - t->start;
    SS_TRY(ss_rows_write(w->context, ss_text_of(w->settings, OUTPUT), ss_track_point_fields,
                         sizeof *r->points, r->points, r->n_points));
    SS_TRY(ss_workload_json_partial(w, ss_track_fields, r));
fail:
    return status;
}

/* A checkpoint that cannot be read, or whose numbers are not finite, is reported and left out. */
static bool broken(ss_status status)
{
    return status == SS_ERROR_INPUT || status == SS_ERROR_NUMERIC;
}

static ss_status follow_all(tracking *t)
{
    ss_status        status = SS_OK;
    ss_workload     *w = t->workload;
    ss_track_result *r = &t->result;
    bool             fresh = false;  /* the checkpoint before was followed just now */
    char             last[512] = ""; /* why the last broken one was */
    for (int64_t i = 0; i < t->found.count; i++) {
        const char *name = t->found.names[i];
        /* Behind a new checkpoint the neighbour is another one, and so is the overlap. */
        const ss_track_point *known = fresh ? NULL : earlier(t, name);
        bool           last_known = i + 1 < t->found.count && earlier(t, t->found.names[i + 1]) == NULL;
        ss_track_point point;
        if (known != NULL) {
            r->points[r->n_points++] = *known;
            r->reused++;
            if (!last_known) continue; /* its top space is compared with nothing new */
        }
        t->options.judge = known == NULL;
        status = follow(t, name, &point);
        if (known != NULL && status == SS_OK) continue;
        fresh = status == SS_OK;
        if (broken(status)) {
            ss_log(w->context, SS_LOG_WARNING, "%s: skipped: %s", name, ss_context_message(w->context));
            snprintf(last, sizeof last, "%s", ss_context_message(w->context));
            ss_context_clear_message(w->context);
            r->n_skipped++;
            status = SS_OK;
            continue;
        }
        SS_TRY(status);
        r->points[r->n_points++] = point;
        SS_TRY(write_tables(t));
        ss_progress(w->context, "checkpoints", (double)i + 1, (double)t->found.count, name);
    }
    if (r->n_points == 0) {
        ss_workload_discard(w);
        SS_FAIL(w->context, SS_ERROR_INPUT,
                "none of the %lld checkpoints could be followed; the last one: %s", (long long)t->found.count,
                last);
    }
fail:
    return status;
}

static ss_status deliver(tracking *t, bool complete)
{
    ss_status    status = SS_OK;
    ss_workload *w = t->workload;
    ss_text      text, html;
    ss_text_init(w->context, &text);
    ss_text_init(w->context, &html);
    SS_TRY(write_tables(t));
    ss_workload_record_time(w);
    ss_report_track(&text, &w->run, &t->result);
    SS_TRY(ss_workload_print(w, &text, NULL));
    if (ss_given(w->settings, PLOT)) SS_TRY(ss_report_track_plot(w->context, &t->result, ss_deliver_plot, w));
    if (ss_given(w->settings, HTML)) ss_html_track(&html, &w->run, &t->result);
    SS_TRY(ss_deliver_html(w, &html));
    SS_TRY(ss_workload_json(w, complete, ss_track_fields, &t->result));
fail:
    ss_text_release(&text);
    ss_text_release(&html);
    return status;
}

static void release(ss_context *context, tracking *t)
{
    ss_checkpoints_release(context, &t->found);
    ss_schedule_release(context, &t->schedule);
    ss_free(context, t->subspace);
    ss_free(context, t->scales);
    ss_free(context, t->rows);
    ss_free(context, t->result.points);
}

/* Without --weights the network is opened with the first checkpoint that fits it: an architecture need not
 * have weights of its own. */
static ss_status open_workload(ss_context *context, tracking *t, ss_settings *settings, char **path)
{
    ss_setting *weights = &settings->option[SS_OPTION_WEIGHTS];
    ss_status   status = SS_ERROR_INPUT;
    if (weights->given) return ss_workload_open(context, settings, true, t->workload);
    for (int64_t i = 0; i < t->found.count; i++) {
        ss_free(context, *path);
        *path = NULL;
        ss_context_clear_message(context);
        status = ss_checkpoint_weights(context, t->found.names[i], path);
        if (status == SS_OK) {
            weights->given = weights->set = true;
            weights->text = *path;
            status = ss_workload_open(context, settings, true, t->workload);
        }
        if (!broken(status)) break;
        ss_workload_close(t->workload);
        *t->workload = (ss_workload){ .context = context };
    }
    return status; /* the last one's, with its message */
}

ss_status ss_command_track(ss_context *context, const ss_settings *settings, int *exit_status)
{
    ss_status         status = SS_OK, followed = SS_OK;
    ss_settings       own = *settings;
    ss_workload       workload = { .context = context };
    tracking          t = { .workload = &workload, .start = ss_seconds() };
    const ss_setting *patterns = &settings->option[SS_OPTION_CHECKPOINTS];
    char             *path = NULL;

    (void)exit_status;
    if (!patterns->given) SS_FAIL(context, SS_ERROR_USAGE, "give --checkpoints 'run/checkpoint-*'");
    if (ss_given(settings, PLOT)) SS_TRY(ss_plot_check_name(context, ss_text_of(settings, PLOT)));
    SS_TRY(ss_checkpoints_find(context, patterns->texts, patterns->n_texts, &t.found));
    SS_TRY(open_workload(context, &t, &own, &path));
    SS_TRY(prepare(&t));
    SS_TRY(resume(&t));
    SS_TRY(ss_workload_json_partial(&workload, ss_track_fields, NULL));
    followed = follow_all(&t);
    if (followed != SS_OK && followed != SS_ERROR_INTERRUPTED) SS_TRY(followed);
    SS_TRY(deliver(&t, followed == SS_OK));
    status = followed;
fail:
    release(context, &t);
    ss_workload_close(&workload);
    ss_free(context, path);
    return status;
}
