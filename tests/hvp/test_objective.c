/* The objective through its public interface: means over counted targets whatever the batches and subsets,
 * losses as torch defines them, memory within the budget and as predicted. */
#include "backend/backend.h"
#include "base/philox.h"
#include "saddlescope/dataset.h"
#include "saddlescope/network.h"
#include "saddlescope/objective.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define SAMPLES 30
#define INPUTS  6
#define CLASSES 4

typedef struct world {
    ss_network   *network;
    ss_dataset   *dataset;
    ss_objective *objective;
    double        x[SAMPLES * INPUTS], values[SAMPLES * CLASSES];
    int64_t       ids[SAMPLES];
} world;

/* Targets: class ids with two of them not counted, distributions, or values, as the loss wants them. */
static void world_create(world *w, const char *source, const ss_objective_options *options, bool soft,
                         double decay)
{
    ss_decay_rule      rule = { NULL, decay };
    ss_network_options network = { .decay = &rule, .n_decay = 1, .seed = 4 };
    bool               classes = strcmp(options->loss, "cross_entropy") == 0;
    for (int i = 0; i < SAMPLES * INPUTS; i++) w->x[i] = ss_random_normal(1, SS_STREAM_TEST, (uint64_t)i);
    for (int i = 0; i < SAMPLES; i++) {
        double sum = 0;
        for (int j = 0; j < CLASSES; j++) sum += w->values[i * CLASSES + j] = 0.05 + (i * 3 + j * j) % 7;
        for (int j = 0; soft && j < CLASSES; j++) w->values[i * CLASSES + j] /= sum;
        w->ids[i] = i == 7 || i == 20 ? SS_IGNORED_LABEL : (3 * i) % CLASSES;
    }
    ss_array x = { "x", SS_F64, 2, { SAMPLES, INPUTS }, w->x };
    ss_array y = { "y", SS_F64, 2, { SAMPLES, CLASSES }, w->values };
    if (classes && !soft) y = (ss_array){ "y", SS_I64, 1, { SAMPLES }, w->ids };
    ss_test_require(ss_network_open(ss_test_context, source, &network, &w->network));
    ss_test_require(ss_dataset_from_arrays(ss_test_context, &x, &y, NULL, &w->dataset));
    ss_test_require(ss_objective_create(ss_test_context, w->network, w->dataset, options, &w->objective));
}

static void world_destroy(world *w)
{
    ss_objective_destroy(w->objective);
    ss_dataset_close(w->dataset);
    ss_network_close(w->network);
}

static ss_objective_options with_loss(const char *loss)
{
    ss_objective_options options;
    ss_objective_options_init(&options);
    options.loss = loss;
    options.device = ss_test_device();
    return options;
}

/* The network's outputs at the stored weights, by hand: 6 -> 5 tanh -> 4. */
static void outputs(const world *w, double logits[SAMPLES][CLASSES])
{
    static double weight[4][64];
    for (int64_t i = 0; i < 4; i++) {
        ss_parameter_info info;
        double            padded[1024];
        ss_network_get_weights(w->network, SS_FLOAT64, padded);
        ss_network_parameter(w->network, i, &info);
        memcpy(weight[i], padded + info.offset, (size_t)info.count * sizeof(double));
    }
    for (int s = 0; s < SAMPLES; s++) {
        double h[5];
        for (int i = 0; i < 5; i++) {
            h[i] = weight[0][i];
            for (int j = 0; j < INPUTS; j++) h[i] += weight[1][i * INPUTS + j] * w->x[s * INPUTS + j];
            h[i] = tanh(h[i]);
        }
        for (int i = 0; i < CLASSES; i++) {
            logits[s][i] = weight[2][i];
            for (int j = 0; j < 5; j++) logits[s][i] += weight[3][i * 5 + j] * h[j];
        }
    }
}

static double log_probability(const double *z, int j)
{
    double sum = 0;
    for (int k = 0; k < CLASSES; k++) sum += exp(z[k]);
    return z[j] - log(sum);
}

/* torch's nn.CrossEntropyLoss(weight, label_smoothing, reduction="mean") and its kin, written out. */
static double expected_loss(const world *w, const ss_objective_options *o, bool soft)
{
    double z[SAMPLES][CLASSES], total = 0, divisor = 0;
    outputs(w, z);
    for (int s = 0; s < SAMPLES; s++)
        for (int j = 0; j < CLASSES; j++) {
            double t = w->values[s * CLASSES + j], weight = o->class_weights ? o->class_weights[j] : 1;
            if (strcmp(o->loss, "mse") == 0) {
                total += (z[s][j] - t) * (z[s][j] - t);
                divisor += 1;
            } else if (strcmp(o->loss, "bce_with_logits") == 0) {
                total += log1p(exp(-fabs(z[s][j]))) + fmax(z[s][j], 0) - t * z[s][j];
                divisor += 1;
            } else if (soft) {
                double q = (1 - o->smoothing) * t + o->smoothing / CLASSES;
                total -= weight * q * log_probability(z[s], j);
                divisor += j == 0;
            } else if (w->ids[s] >= 0) {
                double q = (1 - o->smoothing) * (w->ids[s] == j) + o->smoothing / CLASSES;
                total -= weight * q * log_probability(z[s], j);
                divisor += w->ids[s] == j ? weight : 0;
            }
        }
    return total / divisor;
}

Test(objective, losses_are_torchs, .init = ss_test_begin, .fini = ss_test_end)
{
    static const double class_weights[CLASSES] = { 0.5, 2, 1, 3 };
    for (int k = 0; k < 12; k++) {
        static const char *const losses[] = { "mse", "bce_with_logits", "cross_entropy" };
        ss_objective_options     options = with_loss(losses[k < 2 ? k : 2]);
        bool                     soft = k >= 7 || k == 1; /* probabilities also suit bce */
        ss_loss_value            value, single;
        world                    w;
        if (k >= 2 && k % 2) options.smoothing = 0.1;
        if (k >= 2 && k % 5 >= 2) {
            options.class_weights = class_weights;
            options.n_class_weights = CLASSES;
        }
        options.batch_size = 7;
        world_create(&w, "mlp:6-5-4:tanh", &options, soft, 0);
        ss_test_require(ss_objective_loss(w.objective, SS_FLOAT64, NULL, NULL, &value, NULL));
        ss_test_require(ss_objective_loss(w.objective, SS_FLOAT32, NULL, NULL, &single, NULL));
        double expected = expected_loss(&w, &options, soft);
        cr_assert(fabs(value.loss - expected) < 1e-13 * fmax(1, expected), "case %d: %.15g, expected %.15g",
                  k, value.loss, expected);
        cr_assert(fabs(single.loss - expected) < 1e-5 * fmax(1, expected), "case %d in float32: %.9g", k,
                  single.loss);
        cr_assert(value.rounding > 0 && value.rounding < 1e-13);
        world_destroy(&w);
    }
}

/* The gradient, brought to the host and packed. */
static void gradient_of(world *w, const ss_samples *samples, double *packed)
{
    double      padded[1024];
    int64_t     bytes = ss_network_layout(w->network)->padded * (int64_t)sizeof *padded;
    ss_backend *b = ss_objective_backend(w->objective, SS_FLOAT64);
    void       *gradient;
    cr_assert(bytes <= (int64_t)sizeof padded);
    ss_test_require(b->class->allocate(b, bytes, &gradient));
    ss_test_require(ss_objective_gradient(w->objective, SS_FLOAT64, samples, NULL, gradient, NULL));
    ss_test_require(b->class->download(b, NULL, padded, gradient, bytes));
    ss_test_require(b->class->queue_synchronize(b, NULL));
    b->class->release(b, gradient);
    ss_network_pack(w->network, SS_FLOAT64, padded, packed);
}

/* hv := H v, both padded and on the host. */
static void product_on_host(const ss_operator *op, const double *v, double *hv)
{
    ss_backend *b = op->backend;
    int64_t     padded = op->layout->padded, bytes = padded * (int64_t)sizeof *v;
    char       *memory;
    ss_test_require(b->class->allocate(b, 2 * bytes, (void **)&memory));
    ss_test_require(b->class->upload(b, NULL, memory, v, bytes));
    ss_test_require(op->apply(op->context, 1, memory, padded, memory + bytes, padded, NULL));
    ss_test_require(b->class->download(b, NULL, hv, memory + bytes, bytes));
    ss_test_require(b->class->queue_synchronize(b, NULL));
    b->class->release(b, memory);
}

Test(objective, subsets_average_to_the_whole, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_objective_options options = with_loss("cross_entropy");
    world                w;
    int64_t              index[SAMPLES], start[4], all, n;
    double               whole[128], part[128], mean[128] = { 0 }, loss = 0;
    ss_loss_value        value;
    options.batch_size = 4;
    world_create(&w, "mlp:6-5-4:tanh", &options, false, 0.02);
    n = ss_network_n(w.network);
    ss_test_require(ss_dataset_groups(ss_test_context, w.dataset, 3, 11, index, start));
    ss_test_require(ss_objective_targets(w.objective, NULL, &all));
    cr_assert_eq(all, SAMPLES - 2);
    gradient_of(&w, NULL, whole);
    for (int g = 0; g < 3; g++) {
        ss_samples samples = { index + start[g], start[g + 1] - start[g] };
        int64_t    targets;
        double     per_sample[SAMPLES], sum = 0;
        ss_test_require(ss_objective_targets(w.objective, &samples, &targets));
        gradient_of(&w, &samples, part);
        for (int64_t i = 0; i < n; i++) mean[i] += part[i] * (double)targets / (double)all;
        ss_test_require(ss_objective_loss(w.objective, SS_FLOAT64, &samples, NULL, &value, per_sample));
        for (int64_t i = 0; i < samples.count; i++) sum += per_sample[i];
        cr_assert(fabs(sum - value.data) < 1e-14);
        loss += value.data * (double)targets / (double)all;
    }
    cr_assert(ss_test_relative_error(n, mean, whole, 0) < 1e-13);
    ss_test_require(ss_objective_loss(w.objective, SS_FLOAT64, NULL, NULL, &value, NULL));
    cr_assert(fabs(loss - value.data) < 1e-14);
    world_destroy(&w);
}

Test(objective, facts, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_objective_options options = with_loss("cross_entropy");
    ss_objective_facts   facts;
    world                w;
    world_create(&w, "mlp:6-5-4:relu", &options, false, 0);
    ss_test_require(ss_objective_facts_get(w.objective, &facts));
    cr_assert_eq(facts.n, 6 * 5 + 5 + 5 * 4 + 4);
    cr_assert(fabs(facts.zero_output_loss - log(CLASSES)) < 1e-14);
    cr_assert_eq(facts.lower_bound, 0);
    cr_assert(facts.kinked && !facts.rounded_weights);
    world_destroy(&w);
    options.smoothing = 0.2;
    world_create(&w, "mlp:6-5-4:tanh", &options, false, 0);
    ss_test_require(ss_objective_facts_get(w.objective, &facts));
    cr_assert(fabs(facts.lower_bound - (-0.85 * log(0.85) - 3 * 0.05 * log(0.05))) < 1e-13, "%g",
              facts.lower_bound);
    cr_assert(!facts.kinked);
    world_destroy(&w);
}

/* The arena that was predicted is what the backend was asked for. */
Test(objective, predicted_memory_is_taken, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_objective_options options = with_loss("mse");
    options.memory = 6 << 20;
    options.precision = SS_FLOAT64;
    world       w;
    ss_operator op;
    ss_plan     plan;
    world_create(&w, "mlp:6-300-300-4:tanh", &options, false, 0);
    int64_t padded = ss_network_layout(w.network)->padded;
    ss_test_require(ss_objective_plan(w.objective, SS_PRODUCT_HESSIAN, SS_FLOAT64, NULL, &plan));
    ss_test_require(ss_objective_operator(w.objective, SS_PRODUCT_HESSIAN, SS_FLOAT64, NULL, NULL, &op));
    ss_backend *b = ss_objective_backend(w.objective, SS_FLOAT64);
    int64_t     bytes = padded * (int64_t)sizeof(double);
    char       *v;
    ss_test_require(b->class->allocate(b, 2 * bytes, (void **)&v));
    ss_test_require(b->class->zero(b, NULL, v, bytes));
    ss_test_require(b->class->upload(b, NULL, v, &(double){ 1 }, sizeof(double)));
    ss_loss_value
        loss; /* what the queue keeps for all that follows, its BLAS's workspace, is there afterwards */
    ss_test_require(ss_objective_loss(w.objective, SS_FLOAT64, NULL, NULL, &loss, NULL));
    ss_objective_release(w.objective, SS_FLOAT64); /* its program would make room for the product's */
    int64_t before = ss_context_memory_now(ss_test_context), available = b->class->memory_available(b);
    ss_context_memory_reset_peak(ss_test_context);
    ss_test_require(op.apply(op.context, 1, v, padded, v + bytes, padded, NULL));
    int64_t taken = ss_context_memory_peak(ss_test_context) - before,
            predicted = plan.bytes_peak + plan.bytes_staging;
    cr_assert(fabs((double)taken / (double)predicted - 1) < 0.1, "taken %lld, predicted %lld",
              (long long)taken, (long long)predicted);
    if (b->class->space ==
        SS_MEMORY_DEVICE) { /* which has so much less, and what the queue's scratch grew by */
        available -= b->class->memory_available(b);
        cr_assert(available >= plan.bytes_peak && available < plan.bytes_peak * 11 / 10 + (2 << 20),
                  "%lld less, predicted %lld", (long long)available, (long long)plan.bytes_peak);
    }
    cr_assert(plan.bytes_peak <= options.memory);
    b->class->release(b, v);
    op.destroy(op.context);
    world_destroy(&w);
}

/* Less and less memory: other plans, the same product; at last a refusal that says what would do. */
Test(objective, memory_changes_the_plan_and_not_the_product, .init = ss_test_begin, .fini = ss_test_end)
{
    double  reference[4096] = { 0 }, v[4096] = { 0 }, hv[4096];
    int     plans = 0;
    int64_t last_cached = -1;
    bool    refused = false;
    for (int64_t memory = 1 << 20; !refused; memory = memory * 3 / 4) {
        ss_objective_options options = with_loss("bce_with_logits");
        world                w;
        ss_operator          op;
        ss_plan              plan;
        options.memory = memory;
        options.batch_size = 5;
        options.lanes = 1;
        world_create(&w, "mlp:6-20-20-4:gelu", &options, true, 0.01);
        const ss_layout *layout = ss_network_layout(w.network);
        for (int64_t s = 0; s < layout->n_segments; s++)
            for (int64_t i = 0; i < layout->segments[s].length; i++)
                v[layout->segments[s].offset + i] =
                    ss_random_normal(2, SS_STREAM_TEST, (uint64_t)(layout->segments[s].canonical + i));
        ss_status status =
            ss_objective_operator(w.objective, SS_PRODUCT_HESSIAN, SS_FLOAT64, NULL, NULL, &op);
        if (status == SS_OK) {
            ss_test_require(ss_objective_plan(w.objective, SS_PRODUCT_HESSIAN, SS_FLOAT64, NULL, &plan));
            product_on_host(&op, v, plans ? hv : reference);
            if (plans) cr_assert(ss_test_relative_error(layout->padded, hv, reference, 0) < 1e-13);
            plans += plan.cached[SS_CACHE_ALL] * 100 + plan.cached[SS_CACHE_NONE] != last_cached;
            last_cached = plan.cached[SS_CACHE_ALL] * 100 + plan.cached[SS_CACHE_NONE];
            op.destroy(op.context);
        } else {
            ss_test_refuse(status, SS_ERROR_REFUSED, "--memory");
            refused = true;
        }
        world_destroy(&w);
    }
    cr_assert(plans >= 3, "only %d different plans", plans);
}

Test(objective, what_does_not_fit_is_named, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_objective_options options = with_loss("cross_entropy");
    world                w;
    ss_objective        *none = NULL;
    world_create(&w, "mlp:6-5-4:tanh", &options, false, 0);
    options.loss = "hinge";
    ss_test_refuse(ss_objective_create(ss_test_context, w.network, w.dataset, &options, &none),
                   SS_ERROR_USAGE, "hinge");
    options = with_loss("mse");
    options.smoothing = 0.1;
    ss_test_refuse(ss_objective_create(ss_test_context, w.network, w.dataset, &options, &none),
                   SS_ERROR_USAGE, "smoothing");
    options = with_loss("mse");
    ss_test_refuse(ss_objective_create(ss_test_context, w.network, w.dataset, &options, &none),
                   SS_ERROR_INPUT, "\"y\"");
    options = with_loss("cross_entropy");
    options.device = "tpu";
    ss_test_refuse(ss_objective_create(ss_test_context, w.network, w.dataset, &options, &none),
                   SS_ERROR_USAGE, "tpu");
    cr_assert_null(none);
    ss_network *wide;
    ss_test_require(ss_network_open(ss_test_context, "mlp:7-5-4:tanh", NULL, &wide));
    options = with_loss("cross_entropy");
    ss_test_refuse(ss_objective_create(ss_test_context, wide, w.dataset, &options, &none), SS_ERROR_INPUT,
                   "\"x\"");
    ss_network_close(wide);
    ss_test_require(ss_network_open(ss_test_context, "mlp:6-5-3:tanh", NULL, &wide));
    ss_test_refuse(ss_objective_create(ss_test_context, wide, w.dataset, &options, &none), SS_ERROR_INPUT,
                   "label");
    ss_network_close(wide);
    world_destroy(&w);
}
