/* saddlescope info: what was understood, and what a product would cost. */
#include "backend/backend.h"
#include "cli/commands.h"
#include "cli/gpus.h"
#include "cli/workload.h"
#include "io/archive.h"

#include <math.h>

static ss_status list_parameters(ss_workload *w, ss_info_result *r)
{
    ss_status status = SS_OK;
    int64_t   count = ss_network_parameter_count(w->network);
    SS_TRY(SS_NEW_ARRAY(w->context, count, &r->parameters));
    r->n_parameters = count;
    for (int64_t i = 0; i < count; i++) {
        ss_parameter_info info;
        char              shape[SS_SHAPE_TEXT], *copy = NULL;
        ss_network_parameter(w->network, i, &info);
        SS_TRY(ss_copy_string(w->context, ss_shape_text(info.rank, info.shape, shape), &copy));
        r->parameters[i] = (ss_info_parameter){ .name = info.name,
                                                .shape = copy,
                                                .type = ss_type_name(info.type),
                                                .count = info.count,
                                                .decay = info.decay,
                                                .offset = info.active ? info.canonical : -1,
                                                .trainable = info.trainable };
    }
fail:
    return status;
}

/* Above this a gradient would take too long for a command that only informs. */
#define FLOPS_TO_TIME 1e12

/* Seconds per flop, from the faster of two gradients; NaN when they would take too long. */
static ss_status time_gradient(ss_workload *w, double *seconds_per_flop)
{
    ss_status   status = SS_OK;
    ss_backend *backend = ss_objective_backend(w->objective, w->options.precision);
    int64_t bytes = ss_objective_layout(w->objective)->padded * (int64_t)ss_real_size(w->options.precision);
    void   *gradient = NULL;
    ss_loss_value value;
    double        best = INFINITY;

    *seconds_per_flop = NAN;
    if (!(w->run.working.flops_gradient > 0) || w->run.working.flops_gradient > FLOPS_TO_TIME) return SS_OK;
    SS_TRY(backend->class->allocate(backend, bytes, &gradient));
    for (int i = 0; i < 2; i++) {
        double start = ss_seconds();
        SS_TRY(ss_objective_gradient(w->objective, w->options.precision, NULL, NULL, gradient, &value));
        best = fmin(best, ss_seconds() - start);
    }
    *seconds_per_flop = best / w->run.working.flops_gradient;
fail:
    backend->class->release(backend, gradient);
    return status;
}

/* The plan of one way of caching; those that do not fit into the memory are left out. */
static ss_status add_plan(ss_workload *w, ss_cache cache, const char *name, ss_product product,
                          ss_info_result *r)
{
    ss_status            status = SS_OK;
    ss_objective        *objective = NULL;
    ss_objective_options options = w->options;
    ss_info_plan        *plan = &r->plans[r->n_plans];

    options.cache = cache;
    SS_TRY(ss_objective_create(w->context, w->network, w->dataset, &options, &objective));
    SS_TRY(ss_objective_plan(objective, product, options.precision, NULL, &plan->plan));
    plan->product = ss_product_name(product);
    plan->cache = name;
    plan->precision = ss_real_name(options.precision);
    plan->ratio = plan->plan.flops_gradient > 0 ? plan->plan.flops_body / plan->plan.flops_gradient : 0;
    plan->seconds = plan->plan.flops_body * r->seconds_per_flop + plan->plan.bytes_body * r->seconds_per_byte;
    r->n_plans++;
fail:
    ss_objective_destroy(objective);
    if (status != SS_ERROR_REFUSED) return status;
    ss_log(w->context, SS_LOG_INFO, "plan '%s': %s", name, ss_context_message(w->context));
    ss_context_clear_message(w->context);
    return SS_OK;
}

static ss_status list_plans(ss_workload *w, ss_info_result *r)
{
    static const char planned[] = "as planned";
    ss_status         status = SS_OK;
    ss_product        product = ss_workload_product(w);
    SS_TRY(SS_NEW_ARRAY(w->context, SS_CACHE_CHECKPOINT + 3, &r->plans));
    SS_TRY(add_plan(w, w->options.cache, planned, product, r));
    for (ss_cache i = SS_CACHE_ALL; i <= SS_CACHE_CHECKPOINT; i++)
        SS_TRY(add_plan(w, i, ss_cache_name(i), product, r));
    if (product != SS_PRODUCT_GAUSS_NEWTON)
        SS_TRY(add_plan(w, w->options.cache, planned, SS_PRODUCT_GAUSS_NEWTON, r));
fail:
    return status;
}

/* ---- A device that is not here; what a search takes ---- */

static ss_status assume_rates(ss_workload *w, ss_gpu *gpu, char **text, ss_info_result *r)
{
    ss_status status = SS_OK;
    SS_TRY(ss_gpu_find(w->context, ss_text_of(w->settings, FOR), gpu));
    double rate = w->options.tf32 ? gpu->tf32 : w->options.precision == SS_FLOAT32 ? gpu->fp32 : gpu->fp64;
    r->seconds_per_flop = 1 / rate;
    r->seconds_per_byte = 1 / gpu->memory_rate;
    r->memory_free = gpu->memory;
    if (gpu->name)
        SS_TRY(ss_format(w->context, text,
                         "%s: %.4g GiB; assumed TFLOP/s: float64 %.3g, float32 %.3g, TF32 %.3g; TB/s: %.3g; "
                         "nothing was run on it",
                         gpu->name, (double)gpu->memory / 0x1p30, gpu->fp64 * 1e-12, gpu->fp32 * 1e-12,
                         gpu->tf32 * 1e-12, gpu->memory_rate * 1e-12));
    else
        SS_TRY(ss_format(w->context, text, "a device with %.4g GiB; nothing was run on it",
                         (double)gpu->memory / 0x1p30));
    r->planned_for = *text;
fail:
    return status;
}

/* Kuczynski and Wozniakowski (1992): after k steps from a random start the extreme eigenvalue is missed by
 * more than e of the spectrum's width with probability at most 1.648 sqrt(n) exp(-sqrt(e) (2k - 1)); the
 * width is at most twice the largest |eigenvalue|. */
static int64_t products_needed(int64_t n, double resolution)
{
    double e = resolution / 2, k = 0.5 + log(1.648 * sqrt((double)n) / 0.01) / (2 * sqrt(e));
    return ss_min64((int64_t)ceil(k), n);
}

/* Where the vectors of a search will lie, from the memory that is granted or half of what is free, as the
 * eigensolver takes it. */
static void place_basis(ss_workload *w, bool device, ss_info_result *r)
{
    enum { MOST = 64 };
    int64_t bytes = ss_objective_layout(w->objective)->padded * (int64_t)ss_real_size(w->options.precision);
    int64_t memory = w->options.memory > 0 ? w->options.memory : r->memory_free / 2;
    int64_t n = ss_network_n(w->network), fit = memory / bytes - SS_EIGEN_BESIDE;
    r->basis_on_host = device && ss_eigen_basis_on_host(bytes, n, memory);
    r->basis = ss_min64(n, r->basis_on_host ? MOST : ss_max64(0, ss_min64(fit, MOST)));
    r->basis_bytes = (r->basis + 1) * bytes;
}

/* Three float64 products confirm: both ends and the operator's own error. Beside each product, on a device
 * whose rates are assumed, two passes make a column orthogonal to the basis, each of which reads the basis
 * twice; it is two thirds full on the average. */
static ss_status list_efforts(ss_workload *w, const ss_gpu *gpu, ss_info_result *r)
{
    static const double resolutions[] = { 0.1, 0.01, 0.001 };
    enum { EFFORTS = sizeof resolutions / sizeof *resolutions, CONFIRMING = 3 };
    ss_status status = SS_OK;
    double    slower = gpu ? w->options.precision == SS_FLOAT64 ? 1 : 1 / (gpu->fp64 * r->seconds_per_flop)
                       : w->options.precision == SS_FLOAT64 ? 1
                                                            : 2;
    double    basis =
        gpu ? 4 * 2. / 3 * (double)r->basis_bytes / (r->basis_on_host ? gpu->link_rate : gpu->memory_rate)
               : 0;
    double working = w->run.working.flops_body * r->seconds_per_flop +
                     w->run.working.bytes_body * r->seconds_per_byte + basis;
    double confirming = w->run.confirming.flops_body * r->seconds_per_flop * slower +
                        w->run.confirming.bytes_body * r->seconds_per_byte;
    SS_TRY(SS_NEW_ARRAY(w->context, EFFORTS, &r->efforts));
    for (; r->n_efforts < EFFORTS; r->n_efforts++) {
        ss_info_effort *e = &r->efforts[r->n_efforts];
        e->resolution = resolutions[r->n_efforts];
        e->products = products_needed(ss_network_n(w->network), e->resolution);
        e->seconds = (double)e->products * working + CONFIRMING * confirming;
    }
fail:
    return status;
}

/* Without a network: the machine alone. */
static ss_status describe_device(ss_context *context, const ss_settings *settings)
{
    ss_status   status = SS_OK;
    ss_backend *backend = NULL;
    ss_text     text;
    const char *device = ss_text_of(settings, DEVICE);

    ss_text_init(context, &text);
    for (int i = 0; i < SS_OPTION_COUNT; i++) {
        bool of_the_machine =
            i == SS_OPTION_DEVICE || i == SS_OPTION_THREADS || i == SS_OPTION_QUIET || i == SS_OPTION_VERBOSE;
        if (settings->option[i].given && !of_the_machine)
            SS_FAIL(context, SS_ERROR_USAGE, "NETWORK is missing (--%s belongs to one)",
                    ss_option_row((ss_option_id)i)->name);
    }
    SS_TRY(ss_backend_open(context, device, SS_FLOAT32, &backend));
    ss_report_device(&text, device, backend->class->describe(backend),
                     backend->class->memory_available(backend), ss_context_threads(context));
    SS_TRY(text.status);
    fputs(text.bytes, stdout);
fail:
    ss_backend_close(backend);
    ss_text_release(&text);
    return status;
}

ss_status ss_command_info(ss_context *context, const ss_settings *settings, int *exit_status)
{
    ss_status      status = SS_OK;
    ss_workload    workload;
    ss_info_result result = { 0 };
    ss_text        text;
    ss_gpu         gpu;
    char          *planned_for = NULL;
    bool           here = !ss_given(settings, FOR);

    (void)exit_status;
    if (settings->network == NULL) return describe_device(context, settings);
    ss_text_init(context, &text);
    SS_TRY(ss_workload_open(context, settings, false, &workload));
    SS_TRY(list_parameters(&workload, &result));
    if (here) {
        ss_backend *backend = ss_objective_backend(workload.objective, workload.options.precision);
        result.memory_free = backend->class->memory_available(backend);
        SS_TRY(time_gradient(&workload, &result.seconds_per_flop));
    } else {
        SS_TRY(assume_rates(&workload, &gpu, &planned_for, &result));
    }
    place_basis(&workload,
                !here || ss_objective_backend(workload.objective, workload.options.precision)->class->space ==
                             SS_MEMORY_DEVICE,
                &result);
    SS_TRY(list_plans(&workload, &result));
    SS_TRY(list_efforts(&workload, here ? NULL : &gpu, &result));
    ss_report_info(&text, &workload.run, &result);
    SS_TRY(ss_workload_print(&workload, &text, NULL));
    if (ss_given(settings, PLAN)) {
        putchar('\n');
        SS_TRY(ss_objective_print_plan(workload.objective, ss_workload_product(&workload),
                                       workload.options.precision, stdout));
    }
    SS_TRY(ss_workload_json(&workload, true, ss_info_fields, &result));
fail:
    ss_text_release(&text);
    for (int64_t i = 0; i < result.n_parameters; i++)
        ss_free(context, (void *)(uintptr_t)result.parameters[i].shape);
    ss_free(context, result.parameters);
    ss_free(context, result.plans);
    ss_free(context, result.efforts);
    ss_free(context, planned_for);
    ss_workload_close(&workload);
    return status;
}
