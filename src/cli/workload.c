/* Opening network, data and objective, and verifying what they were said to be. */
#include "cli/workload.h"
#include "cli/gpus.h"
#include "cli/vectors.h"
#include "backend/backend.h"
#include "base/output.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- Files ----------------------------------------------------------------------------------------------
 */

static bool exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool ss_path_ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length > tail && strcmp(text + length - tail, end) == 0;
}

/* Networks that other programs write and this version cannot read: refused by name. */
static ss_status refuse_unsupported(ss_context *context, const char *network)
{
    if (!ss_path_ends_with(network, ".onnx")) return SS_OK;
    return ss_fail(context, SS_ERROR_INPUT,
                   "%s: ONNX models are not yet supported; export the torch module: "
                   "scripts/export_torch.py MODEL DATA OUT",
                   network);
}

/* A model's class says what it was made for; a list of layers does not. */
static bool may_state_loss(const ss_workload *w)
{
    const char *network = w->settings->network;
    char        own[4096];
    snprintf(own, sizeof own, "%snetwork.json", w->folder != NULL ? w->folder : "");
    return strncmp(network, "mlp:", 4) != 0 && !ss_path_ends_with(network, ".json") &&
           !(w->folder != NULL && exists(own));
}

/* The folder of the network with a slash, and what lies in it. */
static ss_status look_into_folder(ss_workload *w)
{
    ss_status   status = SS_OK;
    ss_context *context = w->context;
    const char *network = w->settings->network;
    char       *path = NULL;
    struct stat info;

    if (stat(network, &info) == 0 && S_ISDIR(info.st_mode)) {
        SS_TRY(ss_format(context, &w->folder, "%s%s", network, ss_path_ends_with(network, "/") ? "" : "/"));
        SS_TRY(ss_format(context, &path, "%sobjective.json", w->folder));
        if (exists(path)) SS_TRY(ss_stated_read(context, path, &w->stated));
    }
    SS_TRY(ss_stated_merge(context, w->settings, &w->stated, &w->overridden));
    if (w->stated.loss == NULL && !may_state_loss(w))
        SS_FAIL(context, SS_ERROR_USAGE,
                "--loss is missing (and there is no objective.json that states one)");
    if (ss_given(w->settings, DATA)) {
        SS_TRY(ss_copy_string(context, ss_text_of(w->settings, DATA), &w->data_path));
    } else {
        const char *name = w->stated.data != NULL ? w->stated.data : "data.safetensors";
        if (w->folder != NULL)
            SS_TRY(ss_format(context, &w->data_path, "%s%s", name[0] == '/' ? "" : w->folder, name));
        if (w->data_path == NULL || !exists(w->data_path))
            SS_FAIL(context, SS_ERROR_USAGE,
                    "--data is missing (and there is no data.safetensors beside the network)");
    }
fail:
    ss_free(context, path);
    return status;
}

/* Outputs must be writable before hours are spent, and must not replace an input. */
static ss_status check_output(ss_workload *w, const char *path)
{
    ss_status   status = SS_OK;
    ss_output  *output = NULL;
    struct stat out, in;
    if (stat(path, &out) == 0)
        for (int64_t i = 0; i < w->run.n_files; i++)
            if (stat(w->run.files[i].path, &in) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
                SS_FAIL(w->context, SS_ERROR_USAGE, "%s is an input (%s) and would be replaced", path,
                        w->run.files[i].role);
    SS_TRY(ss_output_open(w->context, path, &output));
fail:
    ss_output_abort(&output);
    return status;
}

static ss_status check_outputs(ss_workload *w)
{
    static const ss_option_id outputs[] = { SS_OPTION_JSON,      SS_OPTION_OUTPUT, SS_OPTION_HTML,
                                            SS_OPTION_PLOT,      SS_OPTION_BAND,   SS_OPTION_SAVE_VECTORS,
                                            SS_OPTION_CHECKPOINT };
    ss_status                 status = SS_OK;
    const size_t              count = sizeof outputs / sizeof *outputs;
    for (size_t i = 0; i < count; i++) {
        const ss_setting *one = &w->settings->option[outputs[i]];
        if (!one->given) continue;
        for (size_t j = 0; j < i; j++) {
            const ss_setting *other = &w->settings->option[outputs[j]];
            if (other->given && strcmp(other->text, one->text) == 0 && strncmp(one->text, "/dev/", 5) != 0)
                SS_FAIL(w->context, SS_ERROR_USAGE, "--%s and --%s both name %s",
                        ss_option_row(outputs[j])->name, ss_option_row(outputs[i])->name, one->text);
        }
        SS_TRY(check_output(w, one->text));
    }
fail:
    return status;
}

/* ---- Network, data, objective ---------------------------------------------------------------------------
 */

ss_network_options ss_workload_network_options(const ss_workload *w)
{
    const ss_settings *s = w->settings;
    const ss_setting  *include = &s->option[SS_OPTION_PARAMETERS];
    const ss_setting  *exclude = &s->option[SS_OPTION_EXCLUDE_PARAMETERS];
    const ss_setting  *missing = &s->option[SS_OPTION_INIT_MISSING];
    /* The command line's choice of parameters replaces the folder's. */
    bool               chosen = include->given || exclude->given;
    ss_network_options options = { .include =
                                       chosen ? include->texts : (const char *const *)w->stated.trainable,
                                   .exclude = exclude->texts,
                                   .decay = w->stated.decay,
                                   .n_include = chosen ? (int32_t)include->n_texts : w->stated.n_trainable,
                                   .n_exclude = (int32_t)exclude->n_texts,
                                   .n_decay = w->stated.n_decay,
                                   .seed = (uint64_t)ss_integer_of(s, SEED),
                                   .loss = w->stated.loss,
                                   .base = ss_text_of(s, BASE),
                                   .init_random = ss_given(s, INIT_RANDOM),
                                   .init_missing = missing->texts,
                                   .n_init_missing = (int32_t)missing->n_texts,
                                   .seeded = s->command == SS_COMMAND_STUDY };
    if (options.init_random) options.init_seed = (uint64_t)ss_integer_of(s, INIT_RANDOM);
    ss_network_fit_data(w->dataset, &options);
    return options;
}

ss_status ss_workload_network(ss_workload *w, const char *weights, ss_network **network)
{
    ss_network_options options = ss_workload_network_options(w);
    options.weights = weights;
    return ss_network_open(w->context, w->settings->network, &options, network);
}

ss_status ss_workload_stored_network(ss_workload *w, const char *weights, bool whole, ss_network **network)
{
    ss_network_options options = ss_workload_network_options(w);
    options.weights = weights;
    options.init_random = false;
    if (whole) options.n_init_missing = 0;
    return ss_network_open(w->context, w->settings->network, &options, network);
}

static ss_status open_network(ss_workload *w)
{
    ss_status status = SS_OK;
    SS_TRY(ss_workload_network(w, ss_text_of(w->settings, WEIGHTS), &w->network));
    if (w->stated.loss == NULL && ss_network_loss(w->network) != NULL)
        SS_TRY(ss_copy_string(w->context, ss_network_loss(w->network), &w->stated.loss));
    if (w->stated.loss == NULL)
        SS_FAIL(w->context, SS_ERROR_USAGE,
                "--loss is missing (neither the network nor an objective.json says what it was made for)");
fail:
    return status;
}

static void token_options(const ss_settings *s, ss_dataset_options *options)
{
    static const struct {
        const char *name;
        ss_type     type;
    } types[] = { { "uint16", SS_U16 }, { "uint32", SS_U32 }, { "int32", SS_I32 }, { "int64", SS_I64 } };
    const char *stated = ss_text_of(s, TOKEN_DTYPE);
    if (ss_given(s, SEQUENCE_LENGTH)) options->sequence_length = ss_integer_of(s, SEQUENCE_LENGTH);
    if (ss_given(s, STRIDE)) options->stride = ss_integer_of(s, STRIDE);
    options->token_type_given = stated != NULL;
    for (size_t i = 0; stated != NULL && i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, stated) == 0) options->token_type = types[i].type;
}

static ss_status open_data(ss_workload *w)
{
    ss_status          status = SS_OK;
    ss_dataset_options options;
    char              *tokenizer = NULL;
    ss_dataset_options_init(&options);
    token_options(w->settings, &options);
    if (w->folder != NULL) SS_TRY(ss_format(w->context, &tokenizer, "%stokenizer.json", w->folder));
    if (tokenizer != NULL && exists(tokenizer)) options.tokenizer = tokenizer;
    options.scale_given = w->stated.scale_given;
    options.scale = w->stated.scale;
    options.shift = w->stated.shift;
    options.samples = ss_given(w->settings, SAMPLES) ? ss_integer_of(w->settings, SAMPLES) : 0;
    options.sample_seed = (uint64_t)ss_integer_of(w->settings, SAMPLE_SEED);
    SS_TRY(ss_dataset_open(w->context, w->data_path, &options, &w->dataset));
fail:
    ss_free(w->context, tokenizer);
    return status;
}

static ss_status choose_precision(ss_workload *w, ss_objective_options *o)
{
    const char *name = ss_text_of(w->settings, PRECISION), *device = ss_text_of(w->settings, DEVICE);
    bool        automatic = strcmp(name, "auto") == 0, tf32 = strcmp(name, "tf32") == 0;
    bool        gpu = strncmp(device, "cuda", 4) == 0 || ss_given(w->settings, FOR);
    if (tf32 && !gpu)
        return ss_fail(w->context, SS_ERROR_USAGE, "--precision tf32 needs a GPU; the device is %s: use fp32",
                       device);
    bool single = tf32 || strcmp(name, "fp32") == 0 || (automatic && ss_network_n(w->network) >= 1000000);
    o->precision = single ? SS_FLOAT32 : SS_FLOAT64;
    o->tf32 = tf32 || (automatic && single && gpu);
    return SS_OK;
}

static const char *const cache_names[] = { [SS_CACHE_AUTO] = "auto",
                                           [SS_CACHE_ALL] = "all",
                                           [SS_CACHE_ACTIVATIONS] = "activations",
                                           [SS_CACHE_NONE] = "nothing",
                                           [SS_CACHE_CHECKPOINT] = "checkpoints" };

const char *ss_cache_name(ss_cache cache)
{
    return cache_names[cache];
}

ss_cache ss_workload_cache(const ss_settings *settings)
{
    ss_cache cache = SS_CACHE_AUTO;
    while (strcmp(cache_names[cache], ss_text_of(settings, CACHE)) != 0) cache++;
    return cache; /* the choices of --cache are these names */
}

static ss_status open_objective(ss_workload *w)
{
    ss_status             status = SS_OK;
    const ss_settings    *s = w->settings;
    ss_objective_options *o = &w->options;
    ss_objective_options_init(o);
    o->loss = w->stated.loss;
    o->smoothing = w->stated.smoothing;
    o->class_weights = w->stated.class_weights;
    o->n_class_weights = w->stated.n_class_weights;
    o->device = ss_text_of(s, DEVICE);
    if (ss_given(s, FOR)) {
        ss_gpu gpu;
        SS_TRY(ss_gpu_find(w->context, ss_text_of(s, FOR), &gpu));
        o->device = "cpu-check"; /* plans as for any memory that the host cannot reach */
        o->for_gpu = true;
        o->memory = gpu.memory / 10 * 9;
    }
    SS_TRY(choose_precision(w, o));
    if (ss_given(s, MEMORY)) o->memory = ss_integer_of(s, MEMORY);
    if (ss_given(s, BATCH_SIZE)) o->batch_size = ss_integer_of(s, BATCH_SIZE);
    if (o->batch_size > ss_dataset_samples(w->dataset))
        SS_FAIL(w->context, SS_ERROR_INPUT,
                "--batch-size: %lld is larger than the data set, %s with %lld samples",
                (long long)o->batch_size, w->data_path, (long long)ss_dataset_samples(w->dataset));
    o->cache = ss_workload_cache(s);
    /* In whole MiB, so that a plan does not depend on the lengths of paths. */
    if (ss_given(s, MEMORY)) o->held = ss_round_up(ss_context_memory_now(w->context), 1 << 20);
    if (s->command == SS_COMMAND_HVP) o->vectors = 2; /* v and Hv */
    if (s->command == SS_COMMAND_ANALYZE && ss_network_n(w->network) > ss_integer_of(s, DENSE_LIMIT))
        ss_analyze_vectors(&o->vectors, &o->vectors64);
    o->label_seed = (uint64_t)ss_integer_of(s, SEED);
    SS_TRY(ss_objective_create(w->context, w->network, w->dataset, o, &w->objective));
    SS_TRY(ss_objective_facts_get(w->objective, &w->run.facts));
fail:
    return status;
}

/* ---- Verification ---------------------------------------------------------------------------------------
 */

static ss_status verify_loss(ss_workload *w, double tolerance, double loss)
{
    const char *source = ss_given(w->settings, EXPECT_LOSS) ? "--expect-loss" : w->stated.path;
    double      expected = w->stated.expect_loss;
    /* Near a loss of zero a relative error means nothing: a millionth of the zero output's loss counts then.
     */
    double size = fmax(fabs(expected), 1e-6 * w->run.facts.zero_output_loss);
    if (fabs(loss - expected) <= tolerance * size) return SS_OK;
    return ss_fail(
        w->context, SS_ERROR_INPUT,
        "%s: the loss is %.9g, expected was %.9g (relative tolerance %g): network, data or loss are not "
        "the ones meant",
        source, loss, expected, tolerance);
}

static ss_status verify_gradient(ss_workload *w, double tolerance)
{
    ss_status     status = SS_OK;
    ss_backend   *backend = ss_objective_backend(w->objective, SS_FLOAT64);
    int64_t       padded = ss_objective_layout(w->objective)->padded;
    void         *gradient = NULL;
    ss_loss_value value;
    double        square = 0, expected = w->stated.expect_gradient;

    SS_TRY(backend->class->allocate(backend, padded * 8, &gradient));
    SS_TRY(ss_objective_gradient(w->objective, SS_FLOAT64, NULL, NULL, gradient, &value));
    SS_TRY(verify_loss(w, tolerance, value.loss));
    SS_TRY(backend->class->dot(backend, NULL, padded, gradient, gradient, &square));
    /* At a critical point the norm is rounding: a millionth of sqrt(L) counts then. */
    if (fabs(sqrt(square) - expected) > tolerance * fmax(expected, 1e-6 * sqrt(fmax(fabs(value.loss), 1))))
        SS_FAIL(w->context, SS_ERROR_INPUT,
                "%s: expect_gradient_norm: the gradient's norm is %.9g, expected was %.9g: network, data or "
                "loss are "
                "not the ones meant",
                w->stated.path, sqrt(square), expected);
fail:
    backend->class->release(backend, gradient);
    return status;
}

static ss_status verify(ss_workload *w)
{
    const char *colon =
        ss_given(w->settings, EXPECT_LOSS) ? strchr(ss_text_of(w->settings, EXPECT_LOSS), ':') : NULL;
    double        tolerance = 1e-4;
    ss_loss_value value;
    ss_status     status = SS_OK;

    if (colon != NULL) SS_TRY(ss_parse_real(w->context, "--expect-loss", colon + 1, &tolerance));
    w->run.expect_loss = w->stated.expect_loss;
    w->run.expect_tolerance = tolerance;
    /* Frozen parameters take their part out of the gradient: its norm is comparable only when all are active.
     */
    bool all = !ss_given(w->settings, PARAMETERS) && !ss_given(w->settings, EXCLUDE_PARAMETERS);
    w->run.expect_gradient_norm = all ? w->stated.expect_gradient : NAN;
    if (!all && !ss_given(w->settings, EXPECT_LOSS) && w->stated.n_decay > 0) w->run.expect_loss = NAN;
    if (isfinite(w->run.expect_gradient_norm) && isfinite(w->run.expect_loss))
        return verify_gradient(w, tolerance);
    if (!isfinite(w->run.expect_loss)) return SS_OK;
    SS_TRY(ss_objective_loss(w->objective, SS_FLOAT64, NULL, NULL, &value, NULL));
    SS_TRY(verify_loss(w, tolerance, value.loss));
fail:
    return status;
}

/* ---- Opening and closing --------------------------------------------------------------------------------
 */

static ss_status note_start(ss_workload *w)
{
    char      text[40];
    time_t    now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return ss_copy_string(w->context, text, &w->started);
}

ss_status ss_workload_open(ss_context *context, const ss_settings *settings, bool with_verification,
                           ss_workload *w)
{
    ss_status status = SS_OK;
    *w = (ss_workload){ .context = context, .settings = settings, .start = ss_seconds() };
    w->stated.scale = 1;
    w->stated.expect_loss = w->stated.expect_gradient = NAN;
    w->run.expect_loss = w->run.expect_gradient_norm = NAN;

    SS_TRY(note_start(w));
    SS_TRY(refuse_unsupported(context, settings->network));
    SS_TRY(look_into_folder(w));
    SS_TRY(open_data(w)); /* first: a transformer is built for the length of its sequences */
    SS_TRY(open_network(w));
    SS_TRY(open_objective(w));
    SS_TRY(ss_workload_record(w));
    SS_TRY(check_outputs(w));
    if (with_verification) SS_TRY(verify(w));
    w->run.seconds_open = ss_seconds() - w->start;
    ss_log(context, SS_LOG_INFO, "%s: %s", w->run.network, w->run.network_description);
    ss_log(context, SS_LOG_INFO, "%s: %s", w->run.data, w->run.data_description);
    ss_log(context, SS_LOG_INFO, "%s; loss of the zero output %g", w->run.objective,
           w->run.facts.zero_output_loss);
    if (with_verification && isfinite(w->run.expect_loss))
        ss_log(context, SS_LOG_INFO, "the stated loss %.9g is met", w->run.expect_loss);
fail:
    return status;
}

void ss_workload_close(ss_workload *w)
{
    ss_workload_record_release(w);
    ss_objective_destroy(w->objective);
    ss_dataset_close(w->dataset);
    ss_network_close(w->network);
    ss_stated_release(w->context, &w->stated);
    ss_free(w->context, w->folder);
    ss_free(w->context, w->data_path);
    ss_free(w->context, w->started);
    *w = (ss_workload){ 0 };
}

/* ---- Operator and output --------------------------------------------------------------------------------
 */

static const char *const product_names[] = { "hessian", "ggn", "fisher", "fisher-mc", "residual" };

const char *ss_product_name(ss_product product)
{
    return product_names[product];
}

ss_product ss_workload_product(const ss_workload *w)
{
    const char *name = ss_text_of(w->settings, OPERATOR);
    for (int i = 0; name != NULL && i < (int)(sizeof product_names / sizeof *product_names); i++)
        if (strcmp(product_names[i], name) == 0) return (ss_product)i;
    return SS_PRODUCT_HESSIAN;
}

/* Sums of rounded terms: 64 units of the real type; TF32 rounds to 11 bits, but the operands alone. */
double ss_workload_rounding(const ss_workload *w)
{
    return w->options.tf32 ? 4 * 0x1p-11 : 64 * ss_real_unit_roundoff(w->options.precision);
}

ss_status ss_workload_operator(ss_workload *w, ss_operator *op)
{
    return ss_objective_operator(w->objective, ss_workload_product(w), w->options.precision, NULL, NULL, op);
}

int64_t ss_workload_vector_memory(const ss_workload *w, int64_t spare)
{
    int64_t now, most;
    int64_t one = ss_objective_layout(w->objective)->padded * (int64_t)ss_real_size(w->options.precision);
    if (!ss_given(w->settings, MEMORY)) return 0;
    ss_objective_program_memory(w->objective, &now, &most);
    return ss_max64(w->options.memory - w->options.held - most - spare * one, 1);
}

ss_status ss_workload_vector(ss_workload *w, const ss_operator *op, const void *x)
{
    ss_status status = SS_OK;
    double   *packed = NULL;
    if (!ss_given(w->settings, OUTPUT)) return SS_OK;
    ss_objective_release(w->objective, op->real);
    SS_TRY(SS_NEW_ARRAY(w->context, op->layout->n, &packed));
    SS_TRY(ss_operator_pack(op, x, packed));
    SS_TRY(ss_vector_output(w->context, w->settings, w->network, packed));
fail:
    ss_free(w->context, packed);
    return status;
}

ss_status ss_workload_file(ss_workload *w, const ss_text *text, const char *path)
{
    if (text->status != SS_OK) return text->status;
    return ss_output_file(w->context, path, text->bytes, (size_t)text->length);
}

ss_status ss_workload_print(ss_workload *w, const ss_text *text, const char *file)
{
    ss_status status = text->status;
    if (status != SS_OK) return status;
    if (file != NULL) SS_TRY(ss_output_file(w->context, file, text->bytes, (size_t)text->length));
    if (fwrite(text->bytes, 1, (size_t)text->length, stdout) != (size_t)text->length || fflush(stdout) != 0)
        SS_FAIL(w->context, SS_ERROR_OUTPUT, "standard output cannot be written");
fail:
    return status;
}

ss_status ss_workload_json(ss_workload *w, bool complete, const ss_field *fields, const void *result)
{
    if (!ss_given(w->settings, JSON)) return SS_OK;
    ss_workload_record_time(w);
    return ss_report_json(w->context, ss_text_of(w->settings, JSON), &w->run, complete, fields, result);
}

ss_status ss_workload_json_partial(ss_workload *w, const ss_field *fields, const void *result)
{
    struct stat info;
    const char *path = ss_text_of(w->settings, JSON);
    if (path != NULL && stat(path, &info) == 0 && !S_ISREG(info.st_mode)) return SS_OK;
    return ss_workload_json(w, false, fields, result);
}

void ss_workload_discard(ss_workload *w)
{
    struct stat info;
    const char *path = ss_text_of(w->settings, JSON);
    if (path != NULL && lstat(path, &info) == 0 && S_ISREG(info.st_mode)) unlink(path);
}
