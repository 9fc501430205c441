/* The record of a run: everything that its result depends on. */
#include "cli/workload.h"
#include "backend/backend.h"

#include "saddlescope_config.h"

#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

static ss_status add_file(ss_workload *w, const char *role, const char *path)
{
    ss_status   status = SS_OK;
    struct stat info;
    if (path == NULL || path[0] == '\0' || stat(path, &info) != 0 || !S_ISREG(info.st_mode)) return SS_OK;
    SS_TRY(ss_reallocate(w->context, w->run.n_files + 1, sizeof *w->run.files, (void **)&w->run.files));
    w->run.files[w->run.n_files] =
        (ss_run_file){ .role = role, .path = NULL, .bytes = (int64_t)info.st_size };
    SS_TRY(ss_copy_string(w->context, path, (char **)(uintptr_t)&w->run.files[w->run.n_files].path));
    w->run.n_files++;
fail:
    return status;
}

/* One file, or two with a comma between them. */
static ss_status add_data(ss_workload *w)
{
    ss_status   status = SS_OK;
    char       *first = NULL;
    const char *comma = strchr(w->data_path, ',');
    if (comma == NULL) return add_file(w, "data", w->data_path);
    SS_TRY(ss_format(w->context, &first, "%.*s", (int)(comma - w->data_path), w->data_path));
    SS_TRY(add_file(w, "data", first));
    SS_TRY(add_file(w, "data", comma + 1));
fail:
    ss_free(w->context, first);
    return status;
}

static ss_status record_files(ss_workload *w)
{
    ss_status status = SS_OK;
    char     *description = NULL, *config = NULL;
    if (w->folder != NULL) {
        SS_TRY(ss_format(w->context, &description, "%snetwork.json", w->folder));
        SS_TRY(ss_format(w->context, &config, "%sconfig.json", w->folder));
        SS_TRY(add_file(w, "network", description));
        SS_TRY(add_file(w, "configuration", config));
    } else {
        SS_TRY(add_file(w, "network", w->settings->network));
    }
    SS_TRY(add_file(w, "weights", ss_network_weights(w->network)));
    SS_TRY(add_data(w));
    SS_TRY(add_file(w, "objective", w->stated.path));
    SS_TRY(add_file(w, "class weights", ss_text_of(w->settings, CLASS_WEIGHTS)));
fail:
    ss_free(w->context, description);
    ss_free(w->context, config);
    return status;
}

static ss_status record_libraries(ss_workload *w)
{
    ss_status   status = SS_OK;
    const char *blas = NULL, *warning = NULL;
    SS_TRY(ss_blas_describe(w->context, &blas, &warning));
    if (warning != NULL) ss_log(w->context, SS_LOG_WARNING, "%s", warning);
    SS_TRY(SS_NEW_ARRAY(w->context, 3, &w->run.libraries));
    w->run.libraries[0] = (ss_run_library){ "blas", blas };
    w->run.libraries[1] = (ss_run_library){ "jansson", jansson_version_str() };
    w->run.libraries[2] = (ss_run_library){ "zlib", zlibVersion() };
    w->run.n_libraries = 3;
fail:
    return status;
}

static const char *kind_name(const ss_option *option, const ss_setting *setting)
{
    switch (option->kind) {
    case SS_KIND_FLAG: return "flag";
    case SS_KIND_TEXTS: return "texts";
    case SS_KIND_INTEGER:
    case SS_KIND_SIZE: return setting->set ? "integer" : "absent";
    case SS_KIND_REAL:
    case SS_KIND_RATIO:
    case SS_KIND_TIME: return setting->set ? "number" : "absent";
    case SS_KIND_TEXT:
    case SS_KIND_CHOICE: break;
    }
    return "text";
}

static ss_status record_options(ss_workload *w)
{
    ss_status status = SS_OK;
    SS_TRY(SS_NEW_ARRAY(w->context, SS_OPTION_COUNT, &w->run.options));
    for (int i = 0; i < SS_OPTION_COUNT; i++) {
        const ss_option  *option = ss_option_row((ss_option_id)i);
        const ss_setting *setting = &w->settings->option[i];
        if ((option->commands & (1u << w->settings->command)) == 0 || i == SS_OPTION_HELP) continue;
        w->run.options[w->run.n_options++] = (ss_run_option){ .name = option->name,
                                                              .kind = kind_name(option, setting),
                                                              .given = setting->given,
                                                              .number = setting->number,
                                                              .integer = setting->integer,
                                                              .text = setting->text,
                                                              .texts = setting->texts,
                                                              .n_texts = setting->n_texts };
    }
fail:
    return status;
}

static ss_status record_plans(ss_workload *w)
{
    ss_status  status = SS_OK;
    ss_product product = ss_workload_product(w);
    SS_TRY(ss_objective_plan(w->objective, product, w->options.precision, NULL, &w->run.working));
    SS_TRY(ss_objective_plan(w->objective, product, SS_FLOAT64, NULL, &w->run.confirming));
fail:
    return status;
}

/* A checkpoint is only good for a run whose products have the same digits. */
static ss_status describe_configuration(ss_workload *w)
{
    const ss_run  *r = &w->run;
    const ss_plan *p = &r->working;
    return ss_format(w->context, &w->configuration,
                     "%s; %s; %s; %s; samples %lld, seed %lld; operator %s; device %s: %s; %s; threads %d; "
                     "micro-batch %lld of %lld, kept %lld %lld %lld %lld%s, lanes %d",
                     r->version, r->network_description, r->data_description, r->objective,
                     (long long)r->facts.samples, (long long)ss_integer_of(w->settings, SAMPLE_SEED),
                     ss_product_name(ss_workload_product(w)), r->device, r->device_description, r->precision,
                     r->threads, (long long)p->micro_batch, (long long)p->n_micro_batches,
                     (long long)p->cached[1], (long long)p->cached[2], (long long)p->cached[3],
                     (long long)p->cached[4], p->keep_logits ? " with logits" : "", p->lanes);
}

static int64_t count_trainable(const ss_network *network)
{
    int64_t count = 0;
    for (int64_t i = 0; i < ss_network_parameter_count(network); i++) {
        ss_parameter_info info;
        ss_network_parameter(network, i, &info);
        if (info.trainable) count += info.count;
    }
    return count;
}

ss_status ss_workload_record(ss_workload *w)
{
    ss_status   status = SS_OK;
    ss_run     *run = &w->run;
    ss_backend *backend = ss_objective_backend(w->objective, w->options.precision);

    SS_TRY(record_files(w));
    SS_TRY(record_libraries(w));
    SS_TRY(record_options(w));
    SS_TRY(record_plans(w));
    run->command = ss_command_row(w->settings->command)->name;
    run->version = SS_VERSION;
    run->compiler = SS_COMPILER;
    run->started = w->started;
    run->network = w->settings->network;
    run->network_description = ss_network_description(w->network);
    run->n_trainable = count_trainable(w->network);
    run->vocabulary = ss_network_vocabulary(w->network);
    run->largest_id = run->vocabulary > 0 ? ss_dataset_largest_id(w->dataset) : -1;
    run->data = w->data_path;
    run->data_description = ss_dataset_description(w->dataset);
    run->samples_in_file = ss_dataset_samples_in_file(w->dataset);
    run->chosen = ss_dataset_chosen(w->dataset);
    run->n_chosen = run->chosen != NULL ? ss_dataset_samples(w->dataset) : 0;
    run->objective = ss_objective_description(w->objective);
    run->device = ss_text_of(w->settings, DEVICE);
    run->device_description = backend->class->describe(backend);
    run->precision = w->options.tf32 ? "float32, products TF32" : ss_real_name(w->options.precision);
    run->threads = ss_context_threads(w->context);
    run->memory = w->options.memory;
    SS_TRY(describe_configuration(w));
fail:
    return status;
}

void ss_workload_record_time(ss_workload *w)
{
    w->run.seconds_total = ss_seconds() - w->start;
    w->run.memory_peak = ss_context_memory_peak(w->context);
}

void ss_workload_record_release(ss_workload *w)
{
    for (int64_t i = 0; i < w->run.n_files; i++) ss_free(w->context, (void *)(uintptr_t)w->run.files[i].path);
    ss_free(w->context, w->configuration);
    ss_free(w->context, w->run.files);
    ss_free(w->context, w->run.libraries);
    ss_free(w->context, w->run.options);
}
