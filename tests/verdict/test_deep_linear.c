/* Deep linear networks have critical points that can be written down (Baldi & Hornik 1989, Kawaguchi 2016,
 * Achour et al. 2021): several hundred of them, each judged with the dense Hessian and by Lanczos at
 * resolution 1e-5, in float64 and float32. On the device that SS_TEST_DEVICE names.
 *
 * The points come from tests/deep_linear/generate.py (needs numpy; SS_TEST_PYTHON names another interpreter),
 * or from the folder SS_TEST_DEEP_LINEAR. 24 of them unless SS_TEST_ALL is set, 6 in brief. */
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

static int count_of_points(void)
{
    return ss_test_environment("SS_TEST_ALL") ? 320 : ss_test_brief() ? 6 : 24;
}

/* One way of judging all points. */
typedef struct tally {
    int points, wrong, inconclusive, minima, accused, higher, found, count_errors, misses, intervals;
} tally;

typedef enum kind { MINIMUM, STRICT_SADDLE, HIGHER_ORDER } kind;

typedef struct truth {
    kind    kind;
    int     order;
    double  lowest;
    double *eigenvalues; /* [n] ascending */
    int64_t n;
} truth;

static void read_truth(const char *path, truth *t)
{
    json_t     *json = json_load_file(path, 0, NULL);
    const char *name;
    cr_assert_not_null(json, "%s", path);
    name = json_string_value(json_object_get(json, "kind"));
    t->kind = strcmp(name, "minimum") == 0         ? MINIMUM
              : strcmp(name, "strict_saddle") == 0 ? STRICT_SADDLE
                                                   : HIGHER_ORDER;
    t->order = (int)json_integer_value(json_object_get(json, "order"));
    json_t *values = json_object_get(json, "eigenvalues");
    t->n = (int64_t)json_array_size(values);
    t->eigenvalues = calloc((size_t)t->n, sizeof *t->eigenvalues);
    for (int64_t i = 0; i < t->n; i++) {
        t->eigenvalues[i] = json_number_value(json_array_get(values, (size_t)i));
    }
    t->lowest = t->eigenvalues[0];
    json_decref(json);
}

static int64_t count_below(const truth *t, double x)
{
    int64_t count = 0;
    while (count < t->n && t->eigenvalues[count] < x) count++;
    return count;
}

/* Is the label contradicted by the true spectrum at the resolution it prints? */
static bool is_wrong(const ss_verdict *v, const truth *t)
{
    switch (v->label) {
    case SS_LABEL_SADDLE:
        return v->evidence == SS_EVIDENCE_HIGHER_ORDER ? t->kind == MINIMUM : t->kind != STRICT_SADDLE;
    case SS_LABEL_MINIMUM: return t->kind == STRICT_SADDLE && t->lowest < -v->curvature.resolution;
    case SS_LABEL_INCONCLUSIVE: return false;
    default: return true;
    }
}

/* Counts outside +-tau, up to eigenvalues that lie within E of the limits. */
static void check_counts(const ss_verdict *v, const truth *t, const char *where, tally *sum)
{
    const ss_verdict_counts *c = &v->counts;
    double  tau = v->operator_error.tau, slack = v->operator_error.error + 1e-15 * t->eigenvalues[t->n - 1];
    int64_t negative[2] = { count_below(t, -tau - slack), count_below(t, -tau + slack) };
    int64_t positive[2] = { t->n - count_below(t, tau + slack), t->n - count_below(t, tau - slack) };
    sum->intervals += 2;
    bool negative_ok = c->negative.low <= negative[1] && c->negative.high >= negative[0];
    bool positive_ok = c->positive.low <= positive[1] && c->positive.high >= positive[0];
    if (c->exact) {
        sum->count_errors += !negative_ok + !positive_ok;
    } else {
        sum->misses += !negative_ok + !positive_ok;
        cr_expect_leq(c->negative_at_least, negative[1], "%s: at least %lld negative, in truth %lld", where,
                      (long long)c->negative_at_least, (long long)negative[1]);
    }
    if (!(negative_ok && positive_ok)) {
        fprintf(stderr, "%s: counts -[%lld, %lld] +[%lld, %lld], truth -[%lld, %lld] +[%lld, %lld] tau %g\n",
                where, (long long)c->negative.low, (long long)c->negative.high, (long long)c->positive.low,
                (long long)c->positive.high, (long long)negative[0], (long long)negative[1],
                (long long)positive[0], (long long)positive[1], tau);
    }
}

static void judge(const char *folder, const char *name, ss_real real, bool dense, tally *sum)
{
    char                 path[900];
    ss_network          *network = NULL;
    ss_dataset          *dataset = NULL;
    ss_objective        *objective = NULL;
    ss_objective_options options;
    ss_analyze_options   analyze;
    ss_verdict           v;
    truth                t;
    char                 where[320];
    snprintf(where, sizeof where, "%s %s %s", name, ss_real_name(real), dense ? "dense" : "lanczos");
    snprintf(path, sizeof path, "%s/%s/expected.json", folder, name);
    read_truth(path, &t);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ss_test_require(ss_network_open(ss_test_context, path, NULL, &network));
    snprintf(path, sizeof path, "%s/%s/data.safetensors", folder, name);
    ss_test_require(ss_dataset_open(ss_test_context, path, NULL, &dataset));
    ss_objective_options_init(&options);
    options.loss = "mse";
    options.precision = real;
    options.device = ss_test_device();
    ss_test_require(ss_objective_create(ss_test_context, network, dataset, &options, &objective));
    ss_analyze_options_init(&analyze);
    if (!dense) {
        analyze.dense_limit = 0;
        analyze.resolution = 1e-5;
    }
    ss_test_require(ss_analyze(ss_test_context, objective, &analyze, &v));
    bool wrong = is_wrong(&v, &t);
    sum->points++;
    sum->wrong += wrong;
    sum->inconclusive += v.label == SS_LABEL_INCONCLUSIVE;
    sum->minima += t.kind == MINIMUM;
    sum->accused += t.kind == MINIMUM && v.label == SS_LABEL_SADDLE;
    sum->higher += t.kind == HIGHER_ORDER;
    bool found = v.label == SS_LABEL_SADDLE && v.evidence == SS_EVIDENCE_HIGHER_ORDER && v.order == t.order;
    sum->found += t.kind == HIGHER_ORDER && found;
    check_counts(&v, &t, where, sum);
    if (wrong || v.label == SS_LABEL_INCONCLUSIVE || (t.kind == HIGHER_ORDER && !found) ||
        ss_test_environment("SS_TEST_VERBOSE")) {
        fprintf(stderr,
                "%s%s: %s %s (%s) order %d/%d, %s, d %.1e limit %.1e, lambda %.2e [%.2e] %.2e bound %.2e eps "
                "%.1e tau %.1e, products %.0f, %.2f s\n",
                wrong ? "WRONG " : "", where, ss_label_name(v.label), ss_evidence_name(v.evidence),
                ss_reason_name(v.reason), v.order, t.order, ss_curvature_name(v.curvature.statement),
                v.stationarity.decrease, v.stationarity.limit, v.curvature.lambda_min, t.lowest,
                v.curvature.lambda_max, v.curvature.lower_bound, v.curvature.resolution, v.operator_error.tau,
                v.cost.products, v.cost.seconds);
    }
    ss_verdict_destroy(&v);
    ss_objective_destroy(objective);
    ss_dataset_close(dataset);
    ss_network_close(network);
    free(t.eigenvalues);
}

/* The folder with the points; NULL when there is no interpreter with numpy. */
static const char *points(void)
{
    static char command[1200];
    const char *given = getenv("SS_TEST_DEEP_LINEAR"), *python = getenv("SS_TEST_PYTHON");
    if (given != NULL) return given;
    if (python == NULL) python = "python3";
    snprintf(command, sizeof command, "%s -c 'import numpy' 2>/dev/null", python);
    if (system(command) != 0) return NULL;
    const char *folder = ss_test_path("points");
    snprintf(command, sizeof command, "%s %s/tests/deep_linear/generate.py %s --count %d >/dev/null", python,
             SS_SOURCE_DIRECTORY, folder, count_of_points());
    cr_assert_eq(system(command), 0, "%s", command);
    return folder;
}

static void judge_all(ss_real real, bool dense)
{
    const char    *folder = points();
    struct dirent *entry;
    tally          sum = { 0 };
    if (folder == NULL) cr_skip_test("no Python with numpy to write the points");
    DIR *list = opendir(folder);
    cr_assert_not_null(list, "%s", folder);
    while ((entry = readdir(list)) != NULL) {
        if (entry->d_name[0] != '.') judge(folder, entry->d_name, real, dense, &sum);
    }
    closedir(list);
    fprintf(stderr,
            "%s, %s: %d points, %d wrong, %d inconclusive; higher order found %d of %d; minima accused %d of "
            "%d; wrong counts %d, intervals that miss %d of %d\n",
            ss_real_name(real), dense ? "dense" : "lanczos", sum.points, sum.wrong, sum.inconclusive,
            sum.found, sum.higher, sum.accused, sum.minima, sum.count_errors, sum.misses, sum.intervals);
    cr_assert_geq(sum.points, count_of_points());
    cr_expect_eq(sum.wrong, 0);
    cr_expect_eq(sum.accused, 0);
    cr_expect_eq(sum.count_errors, 0);
    cr_expect_leq(sum.inconclusive, (dense ? 0.02 : 0.20) * sum.points);
    cr_expect_geq(sum.found, 0.95 * sum.higher);
    /* Binomial 99 % limit at eta = 0.01. */
    cr_expect_leq(sum.misses, 0.01 * sum.intervals + 2.326 * sqrt(0.0099 * sum.intervals) + 1.0);
}

Test(deep_linear, float64_dense, .init = ss_test_begin, .fini = ss_test_end)
{
    judge_all(SS_FLOAT64, true);
}

Test(deep_linear, float64_lanczos, .init = ss_test_begin, .fini = ss_test_end)
{
    judge_all(SS_FLOAT64, false);
}

Test(deep_linear, float32_dense, .init = ss_test_begin, .fini = ss_test_end)
{
    judge_all(SS_FLOAT32, true);
}

Test(deep_linear, float32_lanczos, .init = ss_test_begin, .fini = ss_test_end)
{
    judge_all(SS_FLOAT32, false);
}
