/* The files that the commands write belong together: H of `hessian` times v is what `hvp` writes, `eigs`
 * finds the ends of its spectrum, the vectors it saves are eigenvectors, `gradient` writes the golden
 * gradient, and `bench` answers as it says. */
#include "io/archive.h"
#include "support/golden.h"
#include "support/program.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CASE SS_SOURCE_DIRECTORY "/tests/cases/gelu_mse"

static ss_test_program run;

/* One vector of a file in the order of the names, which is the canonical one. */
static void read_vector(const char *path, const char *prefix, const ss_golden *golden, double *packed)
{
    ss_archive *archive = NULL;
    char        name[256];
    ss_test_require(ss_archive_open(ss_test_context, path, &archive));
    for (int64_t i = 0; i < ss_network_parameter_count(golden->network); i++) {
        ss_parameter_info info;
        ss_network_parameter(golden->network, i, &info);
        snprintf(name, sizeof name, "%s%s", prefix, info.name);
        const ss_array *array = ss_archive_find(archive, name);
        cr_assert(array != NULL, "%s holds no %s", path, name);
        ss_array_convert(array, 0, info.count, SS_FLOAT64, packed + info.canonical);
    }
    ss_archive_close(archive);
}

static void multiply(int64_t n, const double *h, const double *v, double *out)
{
    for (int64_t i = 0; i < n; i++) {
        out[i] = 0;
        for (int64_t j = 0; j < n; j++) out[i] += h[i * n + j] * v[j];
    }
}

static void succeed(void)
{
    cr_assert(run.exit_status == 0, "status %d: %s", run.exit_status, run.err);
}

Test(commands, write_what_belongs_together, .init = ss_test_begin, .fini = ss_test_end)
{
    static double h[200 * 200], v[200], hv[200], product[200];
    ss_golden     golden;
    ss_archive   *archive = NULL;
    ss_test_require(ss_golden_open(ss_test_context, CASE, &golden));
    int64_t n = ss_network_n(golden.network);
    cr_assert(n <= 200 && chdir(ss_test_directory()) == 0);

    ss_test_run(&run, "hessian", CASE, "--loss", "mse", "--output", "h.npy", "--json", "h.json", NULL);
    succeed();
    ss_test_require(ss_archive_open(ss_test_context, "h.npy", &archive));
    const ss_array *matrix = ss_archive_at(archive, 0);
    cr_assert(matrix->rank == 2 && matrix->shape[0] == n && matrix->shape[1] == n);
    ss_array_convert(matrix, 0, n * n, SS_FLOAT64, h);
    ss_archive_close(archive);

    ss_test_run(&run, "hvp", CASE, "--loss", "mse", "--vector", CASE "/weights.safetensors", "--output", "hv",
                NULL);
    succeed();
    read_vector(CASE "/weights.safetensors", "", &golden, v);
    read_vector("hv", "", &golden, hv);
    multiply(n, h, v, product);
    cr_expect(ss_test_relative_error(n, hv, product, 0) < 1e-12);

    ss_test_run(&run, "gradient", CASE, "--loss", "mse", "--output", "g", NULL);
    succeed();
    read_vector("g", "", &golden, hv);
    ss_test_require(ss_golden_vector(&golden, "gradient", v));
    cr_expect(ss_test_relative_error(n, hv, v, 0) < 1e-9);

    ss_test_run(&run, "eigs", CASE, "--loss", "mse", "--low", "2", "--high", "1", "--save-vectors", "e",
                "--json", "e.json", "--output", "e.csv", NULL);
    succeed();
    json_t *eigs = ss_test_json("e.json"), *all = ss_test_json("h.json");
    json_t *low = json_object_get(json_object_get(eigs, "result"), "low");
    json_t *values = json_object_get(json_object_get(all, "result"), "values");
    for (size_t i = 0; i < 2; i++) {
        char   prefix[16];
        double value = json_number_value(json_object_get(json_array_get(low, i), "value"));
        double error = json_number_value(json_object_get(json_array_get(low, i), "error"));
        cr_expect(fabs(value - json_number_value(json_array_get(values, i))) <= error + 1e-12);
        snprintf(prefix, sizeof prefix, "low_%zu/", i);
        read_vector("e", prefix, &golden, v);
        multiply(n, h, v, product);
        for (int64_t j = 0; j < n; j++) product[j] -= value * v[j], hv[j] = 0;
        double residual = 0;
        for (int64_t j = 0; j < n; j++) residual += product[j] * product[j];
        cr_expect(sqrt(residual) <= error + 1e-10, "residual %g, stated %g", sqrt(residual), error);
    }
    json_decref(eigs);
    json_decref(all);
    cr_assert(chdir("/") == 0);
    ss_golden_close(&golden);
}

Test(commands, the_witness_is_saved, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_archive *archive = NULL;
    cr_assert(chdir(ss_test_directory()) == 0);
    ss_test_run(&run, "analyze", SS_SOURCE_DIRECTORY "/examples/toy_saddle", "--save-vectors", "w", NULL);
    succeed();
    ss_test_require(ss_archive_open(ss_test_context, "w", &archive));
    double a = ss_array_value(ss_archive_find(archive, "witness/0.weight"), 0);
    double b = ss_array_value(ss_archive_find(archive, "witness/1.weight"), 0);
    cr_expect(fabs(fabs(a) - sqrt(0.5)) < 1e-12 && fabs(a - b) < 1e-12, "(%g, %g)", a, b);
    cr_expect(fabs(strtod(ss_archive_metadata(archive, "quotient"), NULL) + 2) < 1e-12);
    ss_archive_close(archive);
    cr_assert(chdir("/") == 0);
}

/* The float64 confirmations run on the samples asked for, and the result says so; all of them is the default.
 */
Test(commands, confirms_on_a_subset, .init = ss_test_begin, .fini = ss_test_end)
{
    static const char *const wanted[] = { "5", "1000000000" }; /* more than there are: all */
    json_t                  *result[2];
    cr_assert(chdir(ss_test_directory()) == 0);
    for (int i = 0; i < 2; i++) {
        ss_test_run(&run, "analyze", CASE, "--loss", "mse", "--precision", "fp32", "--confirm-samples",
                    wanted[i], "--json", "c.json", NULL);
        succeed();
        json_t *root = ss_test_json("c.json");
        result[i] = json_incref(json_object_get(json_object_get(root, "result"), "operator_error"));
        json_decref(root);
        cr_expect((strstr(run.out, "on a subset of samples") != NULL) == (i == 0));
    }
    cr_expect(json_is_true(json_object_get(result[0], "subset")));
    cr_expect(json_integer_value(json_object_get(result[0], "samples")) == 5);
    cr_expect(json_is_false(json_object_get(result[1], "subset")));
    cr_expect(json_integer_value(json_object_get(result[1], "samples")) == 13);
    for (int i = 0; i < 2; i++) json_decref(result[i]);
    cr_assert(chdir("/") == 0);
}

/* A budget that the search would use up leaves something for the steps that the answer rests on; what was not
 * tried is not shown as a gain of nothing. */
Test(commands, a_small_budget_still_answers, .init = ss_test_begin, .fini = ss_test_end)
{
    static const char *const budget[] = { "18", "40" };
    for (int i = 0; i < 2; i++) {
        cr_assert(chdir(ss_test_directory()) == 0);
        ss_test_run(&run, "analyze", "mlp:5-8-2:tanh", "--data", CASE "/data.safetensors", "--loss", "mse",
                    "--dense-limit", "1", "--max-products", budget[i], "--json", "left.json", NULL);
        succeed();
        json_t *root = ss_test_json("left.json");
        json_t *result = json_object_get(root, "result"), *cost = json_object_get(result, "cost");
        json_t *rows = json_object_get(json_object_get(result, "left"), "row");
        size_t  tried = 0;
        for (size_t j = 0; j < json_array_size(rows); j++) {
            json_t *row = json_array_get(rows, j);
            if (!json_is_true(json_object_get(row, "tried"))) continue;
            tried++;
            cr_expect(json_number_value(json_object_get(row, "step")) > 0);
        }
        cr_expect(json_number_value(json_object_get(cost, "products")) <= strtod(budget[i], NULL) + 1.5);
        cr_expect(tried >= (i == 0 ? 1 : 2), "%zu directions were tried with %s products", tried, budget[i]);
        json_decref(root);
    }
    cr_assert(chdir("/") == 0);
}

Test(commands, bench_times, .init = ss_test_begin, .fini = ss_test_end)
{
    char command[1200], hvp[64], line[64] = "";
    snprintf(hvp, sizeof hvp, "\nhvp,%s,", ss_test_device());
    snprintf(command, sizeof command,
             "printf 'loss\\nhvp\\nquit\\nggn\\n' | " SS_PROGRAM " bench " CASE
             " --loss mse --interactive --device %s",
             ss_test_device());
    ss_test_run(&run, "bench", CASE, "--loss", "mse", "--repeat", "3", NULL);
    succeed();
    int lines = 0;
    for (const char *p = run.out; *p != '\0'; p++) lines += *p == '\n';
    cr_expect(lines == 5 && strncmp(run.out, "what,device,", 12) == 0 && strstr(run.out, hvp) != NULL);

    FILE *answers = popen(command, "r");
    cr_assert(answers != NULL && fgets(line, sizeof line, answers) != NULL && strcmp(line, "ready\n") == 0);
    for (int i = 0; i < 2; i++) {
        cr_assert(fgets(line, sizeof line, answers) != NULL);
        cr_expect(strtod(line, NULL) > 0 && strtod(line, NULL) < 60 && strchr(line, '.')[10] == '\n', "'%s'",
                  line);
    }
    cr_expect(fgets(line, sizeof line, answers) == NULL);
    cr_expect(pclose(answers) == 0);
}
