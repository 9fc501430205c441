/* Bad input: exit status 3, one line that names file and field, and no output file left behind. */
#include "support/program.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SADDLE SS_SOURCE_DIRECTORY "/examples/toy_saddle"

static ss_test_program run;

/* Enters an empty folder with a copy of the example in "net". */
static void enter(void)
{
    static const char *const files[] = { "network.json", "weights.safetensors", "data.safetensors",
                                         "objective.json" };
    char                     from[512], to[64];
    cr_assert(chdir(ss_test_directory()) == 0);
    cr_assert(mkdir("net", 0700) == 0);
    for (size_t i = 0; i < 4; i++) {
        snprintf(from, sizeof from, "%s/%s", SADDLE, files[i]);
        snprintf(to, sizeof to, "net/%s", files[i]);
        ss_test_copy(from, to);
    }
}

static void leave(void)
{
    cr_assert(chdir("/") == 0);
}

/* The last run failed with this status, one line of message that contains both parts, and left no output. */
static void refused(int status, const char *part, const char *other)
{
    cr_expect(run.exit_status == status, "%s: status %d: %s", part, run.exit_status, run.err);
    cr_expect(strstr(run.err, part) != NULL, "'%s' is not in '%s'", part, run.err);
    cr_expect(strstr(run.err, other) != NULL, "'%s' is not in '%s'", other, run.err);
    const char *end = strchr(run.err, '\n');
    cr_expect(end != NULL && end[1] == '\0', "not one line: '%s'", run.err);
    cr_expect(!ss_test_exists("r.json") && !ss_test_exists("r.json.part"), "%s: a result was left", part);
    cr_expect(!ss_test_exists("out") && !ss_test_exists("out.part"), "%s: an output was left", part);
}

static void analyze(const char *network)
{
    ss_test_run(&run, "analyze", network, "--json", "r.json", "--output", "out", NULL);
}

static void put(const char *path, const char *text)
{
    ss_test_write_file(path, text, strlen(text));
}

Test(errors, networks, .init = ss_test_begin, .fini = ss_test_end)
{
    enter();
    analyze("nowhere");
    refused(2, "--data is missing", "data.safetensors");
    analyze("net/network.json");
    refused(2, "--loss is missing", "objective.json");
    ss_test_run(&run, "analyze", "nowhere", "--loss", "mse", "--data", "net/data.safetensors", "--json",
                "r.json", NULL);
    refused(3, "nowhere", "no such file or folder");
    put("model.pt", "\x80\x02garbage");
    ss_test_run(&run, "analyze", "model.pt", "--data", "net/data.safetensors", "--json", "r.json", NULL);
    refused(3, "model.pt", "pickle");
    put("model.onnx", "x");
    analyze("model.onnx");
    refused(3, "model.onnx", "ONNX");
    cr_assert(mkdir("hf", 0700) == 0);
    put("hf/config.json", "{}");
    ss_test_run(&run, "analyze", "hf", "--data", "net/data.safetensors", "--json", "r.json", NULL);
    refused(3, "hf", "no weights");
    ss_test_run(&run, "analyze", "hf", "--data", "net/data.safetensors", "--init-random", "1", "--json",
                "r.json", NULL);
    refused(3, "hf/config.json", "neither architectures nor model_type");
    put("hf/config.json", "{\"model_type\": \"mamba\"}");
    ss_test_run(&run, "analyze", "hf", "--data", "net/data.safetensors", "--init-random", "1", "--json",
                "r.json", NULL);
    refused(3, "mamba", "not yet supported");
    put("net/network.json", "{\"input_shape\": [1], \"layers\": [");
    analyze("net");
    refused(3, "net/network.json:1", "");
    put("net/network.json", "{\"input_shape\": [1], \"layers\": [{\"type\": \"Lineal\"}]}");
    analyze("net");
    refused(3, "net/network.json: layers[0]", "Lineal");
    put("net/network.json", "{\"input_shape\": [1], \"layers\": [{\"type\": \"Linear\", \"in_features\": 1, "
                            "\"out_features\": -2}]}");
    analyze("net");
    refused(3, "layers[0].out_features", "-2");
    put("net/network.json",
        "{\"input_shape\": [1], \"layers\": [{\"type\": \"Conv2d\", \"in_channels\": 1}]}");
    analyze("net");
    refused(3, "Conv2d", "not yet supported");
    leave();
}

Test(errors, weights_and_data, .init = ss_test_begin, .fini = ss_test_end)
{
    size_t bytes = 0;
    enter();
    char *weights = ss_test_read_file("net/weights.safetensors", &bytes);
    ss_test_write_file("net/weights.safetensors", weights, bytes - 3);
    analyze("net");
    refused(3, "net/weights.safetensors", "");
    weights[bytes] = 'x';
    ss_test_write_file("net/weights.safetensors", weights, bytes + 1);
    analyze("net");
    refused(3, "net/weights.safetensors", "");
    memcpy(weights + bytes - 4, "\x00\x00\xc0\x7f", 4);
    ss_test_write_file("net/weights.safetensors", weights, bytes);
    analyze("net");
    refused(3, "net/weights.safetensors", "NaN");
    ss_free(ss_test_context, weights);
    ss_test_copy(SADDLE "/weights.safetensors", "net/weights.safetensors");

    ss_test_run(&run, "analyze", "net", "--batch-size", "2", "--json", "r.json", NULL);
    refused(3, "--batch-size", "net/data.safetensors");
    ss_test_run(&run, "analyze", "net", "--samples", "2", "--json", "r.json", NULL);
    refused(3, "net/data.safetensors", "2");
    ss_test_run(&run, "analyze", "net", "--loss", "cross_entropy", "--json", "r.json", NULL);
    refused(3, "cross-entropy needs at least 2 classes", "1 output");
    ss_test_run(&run, "analyze", "net", "--data", "no.npz", "--json", "r.json", NULL);
    refused(3, "no.npz", "");
    cr_assert(unlink("net/weights.safetensors") == 0);
    analyze("net");
    refused(3, "net/weights.safetensors", "");
    leave();
}

Test(errors, objective, .init = ss_test_begin, .fini = ss_test_end)
{
    enter();
    put("net/objective.json", "{\"loss\": \"mse\", \"expect_loss\": 1.001}");
    analyze("net");
    refused(3, "net/objective.json", "expected was 1.001");
    put("net/objective.json", "{\"loss\": \"mse\", \"expect_loss\": 1, \"expect_gradient_norm\": 0.5}");
    analyze("net");
    refused(3, "expect_gradient_norm", "0.5");
    put("net/objective.json", "{\"loss\": \"mse\", \"weight_decay\": -1}");
    analyze("net");
    refused(3, "net/objective.json: weight_decay", "-1");
    put("net/objective.json", "{\"loss\": \"mse\", \"wight_decay\": 1}");
    analyze("net");
    refused(3, "net/objective.json", "wight_decay");
    put("net/objective.json", "{\"loss\": 3}");
    analyze("net");
    refused(3, "net/objective.json: loss", "");
    put("net/objective.json", "{\"loss\": \"mse\"}");
    ss_test_run(&run, "analyze", "net", "--expect-loss", "1.01", "--json", "r.json", NULL);
    refused(3, "--expect-loss", "the loss is 1,");
    ss_test_run(&run, "analyze", "net", "--expect-loss", "1.01:0.02", NULL);
    cr_expect(run.exit_status == 0, "%s", run.err);
    put("weights.json", "[1, \"x\"]");
    ss_test_run(&run, "analyze", "net", "--class-weights", "weights.json", "--json", "r.json", NULL);
    refused(3, "weights.json", "[1]");
    leave();
}

Test(errors, vectors, .init = ss_test_begin, .fini = ss_test_end)
{
    enter();
    ss_test_run(&run, "hvp", "net", "--vector", "net/data.safetensors", "--output", "out", NULL);
    refused(3, "net/data.safetensors", "'0.weight' is missing");
    ss_test_run(&run, "hvp", "net", "--parameters", "0.*", "--vector", "net/weights.safetensors", "--output",
                "out", NULL);
    refused(3, "net/weights.safetensors", "'1.weight' is no active parameter");
    leave();
}

Test(errors, outputs, .init = ss_test_begin, .fini = ss_test_end)
{
    enter();
    ss_test_run(&run, "analyze", "net", "--json", "nowhere/r.json", NULL);
    refused(3, "nowhere/r.json", "cannot be written");
    ss_test_run(&run, "analyze", "net", "--json", "/dev/full", NULL);
    refused(3, "/dev/full", "cannot be written");
    ss_test_run(&run, "gradient", "net", "--output", "/dev/full", "--json", "r.json", NULL);
    refused(3, "/dev/full", "cannot be written");
    ss_test_run(&run, "hessian", "net", "--output", "/dev/full", NULL);
    refused(3, "/dev/full", "cannot be written");
    ss_test_run(&run, "analyze", "net", "--checkpoint", "nowhere/c", "--json", "r.json", NULL);
    refused(3, "nowhere/c", "cannot be written");
    ss_test_run(&run, "analyze", "net", "--save-vectors", "/dev/full", "--json", "r.json", NULL);
    refused(3, "/dev/full", "cannot be written");
    ss_test_run(&run, "analyze", "net", "--output", "net", "--json", "r.json", NULL);
    refused(3, "net: cannot be written", "");
    ss_test_run(&run, "analyze", "net", "--output", "net/weights.safetensors", "--json", "r.json", NULL);
    refused(2, "net/weights.safetensors is an input", "");
    ss_test_run(&run, "analyze", "net", "--output", "r.json", "--json", "r.json", NULL);
    refused(2, "both name r.json", "");
    leave();
}

/* Needs more memory than it may have: refused with what would do. */
Test(errors, too_large, .init = ss_test_begin, .fini = ss_test_end)
{
    cr_assert(chdir(ss_test_directory()) == 0);
    ss_test_run(&run, "hessian", SS_SOURCE_DIRECTORY "/examples/digits", "--memory", "200M", "--output",
                "out", "--json", "r.json", NULL);
    refused(6, "parameters would fit", "--parameters");
    leave();
}

/* A full disk while the result is replaced: standard output likewise. */
Test(errors, standard_output_is_full, .init = ss_test_begin, .fini = ss_test_end)
{
    char command[1200];
    snprintf(command, sizeof command, "%s analyze %s --device %s >/dev/full 2>/dev/null", SS_PROGRAM, SADDLE,
             ss_test_device());
    int state = system(command);
    cr_expect(WIFEXITED(state) && WEXITSTATUS(state) == 3);
    state = system(SS_PROGRAM " --help >/dev/full 2>/dev/null");
    cr_expect(WIFEXITED(state) && WEXITSTATUS(state) == 3);
}

Test(errors, expectations, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_test_run(&run, "analyze", SADDLE, "--expect", "saddle", NULL);
    cr_expect(run.exit_status == 0);
    ss_test_run(&run, "analyze", SADDLE, "--expect", "minimum", NULL);
    cr_expect(run.exit_status == 4 && strstr(run.err, "expected minimum, found saddle") != NULL);
    /* A verdict on the Gauss-Newton operator is none. */
    ss_test_run(&run, "analyze", SADDLE, "--operator", "ggn", "--expect", "saddle", NULL);
    cr_expect(run.exit_status == 5, "status %d: %s", run.exit_status, run.out);
}
