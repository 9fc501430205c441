/* saddlescope slice: the loss along one or two directions, beside its second-order model. */
#include "backend/backend.h"
#include "cli/commands.h"
#include "cli/deliver.h"
#include "cli/vectors.h"
#include "report/html.h"
#include "report/slice.h"

#include <stdlib.h>
#include <string.h>

/* What is read from files. */
typedef struct inputs {
    double *direction[2]; /* [n] */
    double *path;         /* [n_path, n] */
} inputs;

/* packed[n] := other weights of the same network minus ours. */
static ss_status read_displacement(ss_workload *w, const char *path, double *packed)
{
    ss_status   status = SS_OK;
    ss_network *other = NULL;
    int64_t     n = ss_network_n(w->network), padded = ss_network_layout(w->network)->padded;
    double     *host = NULL, *ours = NULL;
    SS_TRY(ss_workload_stored_network(w, path, false, &other));
    SS_TRY(SS_NEW_ARRAY(w->context, padded, &host));
    SS_TRY(SS_NEW_ARRAY(w->context, n, &ours));
    ss_network_get_weights(other, SS_FLOAT64, host);
    ss_network_pack(other, SS_FLOAT64, host, packed);
    ss_network_get_weights(w->network, SS_FLOAT64, host);
    ss_network_pack(w->network, SS_FLOAT64, host, ours);
    for (int64_t i = 0; i < n; i++) packed[i] -= ours[i];
fail:
    ss_free(w->context, host);
    ss_free(w->context, ours);
    ss_network_close(other);
    return status;
}

/* FILE.safetensors with one vector, or FILE.safetensors:NAME, one of several. */
static ss_status read_direction(ss_workload *w, const char *text, double *packed)
{
    static const char end[] = ".safetensors:";
    ss_status         status = SS_OK;
    char             *path = NULL;
    const char       *name = strstr(text, end);
    if (name == NULL) return ss_vector_read(w->context, text, w->network, packed);
    name += sizeof end - 1;
    SS_TRY(ss_format(w->context, &path, "%.*s", (int)(name - text - 1), text));
    SS_TRY(ss_vector_read_named(w->context, path, name, w->network, packed));
fail:
    ss_free(w->context, path);
    return status;
}

/* "low", "low:3", "high:2", "random:7", "gradient", or a file. */
static ss_status parse_direction(ss_workload *w, const char *text, ss_slice_direction *d, double **packed)
{
    static const struct {
        const char   *word;
        ss_slice_kind kind;
        bool          numbered;
    } words[] = { { "low", SS_SLICE_LOW, true },
                  { "high", SS_SLICE_HIGH, true },
                  { "random", SS_SLICE_RANDOM, true },
                  { "gradient", SS_SLICE_GRADIENT, false } };
    ss_status status = SS_OK;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i].word);
        if (strncmp(text, words[i].word, length) != 0 || (text[length] != '\0' && text[length] != ':'))
            continue;
        *d =
            (ss_slice_direction){ .kind = words[i].kind, .number = words[i].kind == SS_SLICE_RANDOM ? 0 : 1 };
        if (text[length] == '\0') return SS_OK;
        char *end = NULL;
        d->number = strtoll(text + length + 1, &end, 10);
        if (!words[i].numbered || end == text + length + 1 || *end != '\0' || d->number < 0)
            SS_FAIL(w->context, SS_ERROR_USAGE, "--along %s: expected %s%s", text, words[i].word,
                    words[i].numbered ? ":NUMBER" : " alone");
        return SS_OK;
    }
    if (strchr(text, '.') == NULL && strchr(text, '/') == NULL)
        SS_FAIL(w->context, SS_ERROR_USAGE,
                "--along %s: no such direction; low[:K], high[:K], gradient, random[:SEED], or a vector's "
                "FILE.safetensors[:NAME]",
                text);
    SS_TRY(SS_NEW_ARRAY(w->context, ss_network_n(w->network), packed));
    SS_TRY(read_direction(w, text, *packed));
    *d = (ss_slice_direction){ .kind = SS_SLICE_VECTOR, .packed = *packed };
fail:
    return status;
}

static ss_status read_inputs(ss_workload *w, inputs *in, ss_slice_options *o)
{
    ss_status          status = SS_OK;
    const ss_settings *s = w->settings;
    const ss_setting  *along = &s->option[SS_OPTION_ALONG], *path = &s->option[SS_OPTION_PATH];
    int64_t            n = ss_network_n(w->network), count = 0;
    if (along->n_texts + ss_given(s, TOWARDS) > 2)
        SS_FAIL(w->context, SS_ERROR_USAGE,
                "a picture has one or two directions, --along and --towards give %lld",
                (long long)(along->n_texts + ss_given(s, TOWARDS)));
    if (ss_given(s, TOWARDS)) {
        SS_TRY(SS_NEW_ARRAY(w->context, n, &in->direction[0]));
        SS_TRY(read_displacement(w, ss_text_of(s, TOWARDS), in->direction[0]));
        o->direction[count++] = (ss_slice_direction){ .kind = SS_SLICE_TOWARDS, .packed = in->direction[0] };
    }
    for (int64_t i = 0; i < along->n_texts; i++, count++)
        SS_TRY(parse_direction(w, along->texts[i], &o->direction[count], &in->direction[count]));
    o->dimensions = (int)ss_max64(1, count); /* none: the lowest eigenvector */
    SS_TRY(ss_allocate(w->context, path->n_texts, (size_t)n * sizeof(double), (void **)&in->path));
    for (int64_t i = 0; i < path->n_texts; i++)
        SS_TRY(read_displacement(w, path->texts[i], in->path + i * n));
    o->path = in->path;
    o->n_path = path->n_texts;
fail:
    return status;
}

static ss_status report_progress(void *user, const char *what, int64_t done, int64_t total)
{
    ss_progress(user, what, (double)done, (double)total, "");
    return SS_OK;
}

static void options_from(const ss_workload *w, ss_slice_options *o)
{
    enum { VECTORS = 6 }; /* in float64: point, gradient, two axes, product and model */
    const ss_settings *s = w->settings;
    ss_slice_options_init(o);
    if (ss_given(s, POINTS)) o->points = ss_integer_of(s, POINTS);
    if (ss_given(s, RANGE)) o->range = ss_real_of(s, RANGE);
    o->memory = ss_workload_vector_memory(w, VECTORS * 8 / (int64_t)ss_real_size(w->options.precision));
    o->max_products = ss_integer_of(s, MAX_PRODUCTS);
    o->seed = (uint64_t)ss_integer_of(s, SEED);
    o->monitor = report_progress;
    o->monitor_user = w->context;
}

static ss_status deliver(ss_workload *w, const ss_slice_result *r, bool complete)
{
    ss_status status = SS_OK;
    ss_text   text, table, html;
    ss_text_init(w->context, &text);
    ss_text_init(w->context, &table);
    ss_text_init(w->context, &html);
    ss_workload_record_time(w);
    ss_report_slice(&text, &w->run, r);
    ss_report_slice_csv(&table, r);
    if (ss_given(w->settings, PLOT))
        SS_TRY(ss_report_slice_plot(w->context, r, w->run.network, ss_deliver_plot, w));
    if (ss_given(w->settings, HTML)) ss_html_slice(&html, &w->run, r, &text);
    SS_TRY(ss_deliver_html(w, &html));
    SS_TRY(ss_deliver_text(w, &text, &table));
    SS_TRY(ss_workload_json(w, complete, ss_slice_fields, r));
fail:
    ss_text_release(&text);
    ss_text_release(&table);
    ss_text_release(&html);
    return status;
}

ss_status ss_command_slice(ss_context *context, const ss_settings *settings, int *exit_status)
{
    ss_status        status = SS_OK, solved = SS_OK;
    ss_workload      workload = { .context = context };
    ss_slice_options options;
    ss_slice_result  result = { 0 };
    inputs           in = { 0 };
    bool             started = false;

    (void)exit_status;
    if (ss_given(settings, PLOT)) SS_TRY(ss_plot_check_name(context, ss_text_of(settings, PLOT)));
    SS_TRY(ss_workload_open(context, settings, true, &workload));
    options_from(&workload, &options);
    SS_TRY(read_inputs(&workload, &in, &options));
    SS_TRY(ss_workload_json_partial(&workload, ss_slice_fields, NULL));
    started = true;
    solved = ss_slice(context, workload.objective, &options, &result);
    if (solved != SS_ERROR_INTERRUPTED || result.losses == NULL) SS_TRY(solved);
    SS_TRY(deliver(&workload, &result, solved == SS_OK));
    status = solved; /* interrupted: what is known is delivered, and the exit status says so */
fail:
    if (status != SS_OK && status != SS_ERROR_INTERRUPTED && started) ss_workload_discard(&workload);
    for (int i = 0; i < 2; i++) ss_free(context, in.direction[i]);
    ss_free(context, in.path);
    ss_slice_result_destroy(&result);
    ss_workload_close(&workload);
    return status;
}
