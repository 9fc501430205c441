/* Golden cases through the whole of analyze: expected curvature and verdict of every sequential case that
 * states them, in float64 and float32, with the dense Hessian and by Lanczos. Folders are listed, so that new
 * cases run without a change here: tests/cases, and the reference cases beside the project where they exist.
 * On the device that SS_TEST_DEVICE names. */
#include "saddlescope/dataset.h"
#include "saddlescope/network.h"
#include "saddlescope/verdict.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct golden {
    char          path[512];
    json_t       *json;
    ss_network   *network;
    ss_dataset   *dataset;
    ss_objective *objective;
    double        weights[64]; /* of classes */
    ss_decay_rule decay[16];
    const char   *trainable[16];
} golden;

static void objective_options(golden *g, ss_real real, ss_objective_options *o)
{
    json_t *value = json_object_get(g->json, "class_weights");
    ss_objective_options_init(o);
    o->loss = json_string_value(json_object_get(g->json, "loss"));
    o->precision = real;
    o->device = ss_test_device();
    o->smoothing = json_number_value(json_object_get(g->json, "label_smoothing"));
    if (value != NULL) {
        o->n_class_weights = (int64_t)json_array_size(value);
        for (size_t i = 0; i < json_array_size(value); i++) {
            g->weights[i] = json_number_value(json_array_get(value, i));
        }
        o->class_weights = g->weights;
    }
}

static void network_options(golden *g, ss_network_options *o)
{
    json_t     *decay = json_object_get(g->json, "weight_decay");
    json_t     *trainable = json_object_get(g->json, "trainable"), *value;
    const char *glob;
    size_t      index;
    *o = (ss_network_options){ .decay = g->decay, .include = g->trainable };
    if (json_is_number(decay)) {
        g->decay[o->n_decay++] = (ss_decay_rule){ NULL, json_number_value(decay) };
    } else if (json_is_object(decay)) {
        json_object_foreach(decay, glob, value)
        {
            g->decay[o->n_decay++] = (ss_decay_rule){ glob, json_number_value(value) };
        }
    }
    json_array_foreach(trainable, index, value)
    {
        g->trainable[o->n_include++] = json_string_value(value);
    }
}

/* An analysis takes hundreds of products: in brief, of small networks only, and hardly of those that are not
 * critical, where it ends early and which most of the cases are. */
static bool is_left_out(const golden *g)
{
    const char *label = json_string_value(json_object_get(g->json, "expected_verdict"));
    bool        plain = label != NULL && strcmp(label, "not_critical") == 0;
    return ss_test_brief() && ss_network_n(g->network) > (plain ? 16 : 64);
}

/* False when the folder is no sequential case without convolutions that states a verdict, or too large. */
static bool golden_open(golden *g, const char *root, const char *name, ss_real real)
{
    char                 file[600];
    ss_network_options   network;
    ss_dataset_options   data;
    ss_objective_options objective;
    *g = (golden){ 0 };
    snprintf(g->path, sizeof g->path, "%s/%s", root, name);
    snprintf(file, sizeof file, "%s/case.json", g->path);
    g->json = json_load_file(file, 0, NULL);
    if (g->json == NULL) return false;
    const char *family = json_string_value(json_object_get(g->json, "family"));
    if (family == NULL || strcmp(family, "sequential") != 0 || strncmp(name, "cnn", 3) == 0 ||
        json_object_get(g->json, "expected_curvature") == NULL) {
        json_decref(g->json);
        return false;
    }
    network_options(g, &network);
    ss_test_require(ss_network_open(ss_test_context, g->path, &network, &g->network));
    if (is_left_out(g)) {
        ss_network_close(g->network);
        json_decref(g->json);
        return false;
    }
    ss_dataset_options_init(&data);
    json_t *scale = json_object_get(g->json, "input_scale");
    if (scale != NULL) {
        data.scale_given = true;
        data.scale = json_number_value(scale);
    }
    snprintf(file, sizeof file, "%s/data.safetensors", g->path);
    ss_test_require(ss_dataset_open(ss_test_context, file, &data, &g->dataset));
    objective_options(g, real, &objective);
    ss_test_require(ss_objective_create(ss_test_context, g->network, g->dataset, &objective, &g->objective));
    return true;
}

static void golden_close(golden *g)
{
    ss_objective_destroy(g->objective);
    ss_dataset_close(g->dataset);
    ss_network_close(g->network);
    json_decref(g->json);
}

static void judge(golden *g, const char *name, ss_real real, int64_t dense_limit)
{
    ss_verdict         v;
    ss_analyze_options o;
    const char        *curvature = json_string_value(json_object_get(g->json, "expected_curvature"));
    const char        *label = json_string_value(json_object_get(g->json, "expected_verdict"));
    ss_analyze_options_init(&o);
    o.dense_limit = dense_limit;
    /* (whether decay of frozen parameters counts is the objective's affair) */
    if (json_object_get(g->json, "trainable") == NULL) {
        o.expect_loss = json_number_value(json_object_get(g->json, "loss_value"));
    }
    ss_test_require(ss_analyze(ss_test_context, g->objective, &o, &v));
    char where[320];
    snprintf(where, sizeof where, "%s, %s, dense limit %lld", name, ss_real_name(real),
             (long long)dense_limit);
    double lambda =
        fmax(fabs(json_number_value(json_array_get(json_object_get(g->json, "eigenvalues_low"), 0))),
             fabs(json_number_value(
                 json_array_get(json_object_get(g->json, "eigenvalues_high"),
                                json_array_size(json_object_get(g->json, "eigenvalues_high")) - 1))));
    double lowest = json_number_value(json_array_get(json_object_get(g->json, "eigenvalues_low"), 0));
    if (getenv("SS_TEST_VERBOSE") != NULL) {
        fprintf(stderr,
                "%-45s %-12s %-12s d %.2e lim %.2e lmin %.3e lmax %.3e w %d lw %d ans %s used %.1f %.2fs\n",
                where, ss_label_name(v.label), ss_curvature_name(v.curvature.statement),
                v.stationarity.decrease, v.stationarity.limit, v.curvature.lambda_min, v.curvature.lambda_max,
                v.witness.proved, v.witness.loss_witness, ss_answer_name(v.left.answer), v.cost.products,
                v.cost.seconds);
    }
    /* At Lanczos' resolution of 1 % a shallower negative eigenvalue may honestly stay unseen. */
    bool shallow = dense_limit == 0 && lowest < 0.0 && lowest > -1e-2 * lambda;
    if (label != NULL && !shallow) {
        cr_expect_str_eq(ss_label_name(v.label), label, "%s: %s (%s), expected %s", where,
                         ss_label_name(v.label), ss_reason_name(v.reason), label);
    }
    if (!shallow) {
        cr_expect_str_eq(ss_curvature_name(v.curvature.statement), curvature, "%s: %s, expected %s", where,
                         ss_curvature_name(v.curvature.statement), curvature);
    }
    json_t *order = json_object_get(g->json, "expected_order");
    if (order != NULL) cr_expect_eq(v.order, (int)json_integer_value(order), "%s: order %d", where, v.order);
    cr_expect_leq(v.curvature.lower_bound, lowest + 3e-5 * lambda,
                  "%s: bound %g above the lowest eigenvalue %g", where, v.curvature.lower_bound, lowest);
    ss_verdict_destroy(&v);
}

static int run_folder(const char *root, ss_real real, int64_t dense_limit)
{
    DIR           *folder = opendir(root);
    struct dirent *entry;
    int            run = 0;
    if (folder == NULL) return 0;
    while ((entry = readdir(folder)) != NULL) {
        golden g;
        if (entry->d_name[0] == '.' || !golden_open(&g, root, entry->d_name, real)) continue;
        judge(&g, entry->d_name, real, dense_limit);
        golden_close(&g);
        run++;
    }
    closedir(folder);
    return run;
}

static void run_all(ss_real real, int64_t dense_limit)
{
    cr_assert_geq(run_folder(SS_SOURCE_DIRECTORY "/tests/cases", real, dense_limit), 10);
    run_folder(SS_SOURCE_DIRECTORY "/../shared/oracle", real, dense_limit);
}

Test(cases, float64_dense, .init = ss_test_begin, .fini = ss_test_end)
{
    run_all(SS_FLOAT64, 4096);
}

Test(cases, float64_lanczos, .init = ss_test_begin, .fini = ss_test_end)
{
    run_all(SS_FLOAT64, 0);
}

Test(cases, float32_dense, .init = ss_test_begin, .fini = ss_test_end)
{
    run_all(SS_FLOAT32, 4096);
}

Test(cases, float32_lanczos, .init = ss_test_begin, .fini = ss_test_end)
{
    run_all(SS_FLOAT32, 0);
}

/* Every allocation of objective and analysis fails once: a clean error, nothing left behind. */
static void fail_every_allocation(const char *name, ss_real real, int64_t dense_limit)
{
    golden               g;
    ss_objective_options options;
    ss_analyze_options   analyze;
    ss_status            status = SS_ERROR_MEMORY;
    int64_t              stride = ss_test_environment("SS_TEST_ALL") ? 1 : ss_test_brief() ? 23 : 7;
    cr_assert(golden_open(&g, SS_SOURCE_DIRECTORY "/tests/cases", name, real));
    objective_options(&g, real, &options);
    ss_analyze_options_init(&analyze);
    analyze.dense_limit = dense_limit;
    for (int64_t nth = 1; status != SS_OK; nth += stride) {
        ss_objective *objective = NULL;
        ss_verdict    v = { 0 };
        cr_assert_lt(nth, 200000);
        ss_context_fail_allocation(ss_test_context, nth);
        status = ss_objective_create(ss_test_context, g.network, g.dataset, &options, &objective);
        if (status == SS_OK) status = ss_analyze(ss_test_context, objective, &analyze, &v);
        cr_expect(status == SS_OK || status == SS_ERROR_MEMORY, "%s: allocation %lld: %s (%s)", name,
                  (long long)nth, ss_status_text(status), ss_context_message(ss_test_context));
        ss_verdict_destroy(&v);
        ss_objective_destroy(objective);
        ss_context_clear_message(ss_test_context);
    }
    ss_context_fail_allocation(ss_test_context, 0);
    golden_close(&g);
}

Test(cases, failing_allocations, .init = ss_test_begin, .fini = ss_test_end)
{
    fail_every_allocation("linear_saddle", SS_FLOAT32, 0);
    fail_every_allocation("minimum_strict", SS_FLOAT64, 4096);
}
