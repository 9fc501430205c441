/* --device: every command gives on a device what it gives on the processor; a device that is not there, or is
 * too small, is refused before the start, with status 6 and what would do. In a build with the emulator on
 * that, whose devices are what SS_EMULATOR_DEVICES and SS_EMULATOR_MEMORY say; else on the device of
 * SS_TEST_DEVICE. */
#include "backend/backend.h"
#include "cli/option_table.h"
#include "support/program.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SADDLE  SS_SOURCE_DIRECTORY "/examples/toy_saddle"
#define NETWORK SS_SOURCE_DIRECTORY "/tests/cases/gelu_mse"
#define DIGITS  SS_SOURCE_DIRECTORY "/examples/digits"

#ifdef SS_TEST_EMULATED
#define DEVICE "cuda"
#define SKIP_WITHOUT_EMULATOR
#else
#define DEVICE                ss_test_device()
#define SKIP_WITHOUT_EMULATOR cr_skip_test("the emulator is not part of this build")
#endif

static ss_test_program run;

static void enter(void)
{
    cr_assert(chdir(ss_test_directory()) == 0);
}

/* The last run failed with this status and one line of message that contains both parts; nothing was left. */
static void refused(int status, const char *part, const char *other)
{
    const char *end = strchr(run.err, '\n');
    cr_expect(run.exit_status == status, "%s: status %d: %s", part, run.exit_status, run.err);
    cr_expect(strstr(run.err, part) != NULL, "'%s' is not in '%s'", part, run.err);
    cr_expect(strstr(run.err, other) != NULL, "'%s' is not in '%s'", other, run.err);
    cr_expect(end != NULL && end[1] == '\0', "not one line: '%s'", run.err);
    cr_expect(!ss_test_exists("r.json") && !ss_test_exists("out"), "%s: an output was left", part);
}

/* ---- Every command ---- */

typedef struct row {
    const char *command, *arguments[14];
} row;

/* clang-format off */
static const row rows[] = {
    { "analyze", { NETWORK, "--loss", "mse" } },
    { "analyze", { NETWORK, "--loss", "mse", "--dense-limit", "0", "--expect", "not_critical" } },
    { "analyze", { SADDLE, "--expect", "saddle", "--precision", "fp32", "--memory", "64M" } },
    { "polish", { SADDLE, "--steps", "2" } },
    { "escape", { SADDLE, "--until-minimum" } },
    { "study", { "mlp:5-3-2:tanh", "--data", NETWORK "/data.safetensors", "--loss", "mse", "--seeds", "1", "--jobs", "1" } },
    { "track", { NETWORK, "--loss", "mse", "--checkpoints", NETWORK } },
    { "eigs", { NETWORK, "--loss", "mse", "--low", "2", "--high", "2" } },
    { "hvp", { NETWORK, "--loss", "mse", "--random", "3" } },
    { "gradient", { NETWORK, "--loss", "mse" } },
    { "hessian", { NETWORK, "--loss", "mse" } },
    { "density", { NETWORK, "--loss", "mse", "--probes", "2", "--steps", "8", "--points", "20" } },
    { "trace", { NETWORK, "--loss", "mse", "--probes", "6", "--deflate", "2" } },
    { "slice", { NETWORK, "--loss", "mse", "--along", "gradient", "--along", "random:1", "--points", "5" } },
    { "info", { NETWORK, "--loss", "mse" } },
    { "bench", { NETWORK, "--loss", "mse", "--repeat", "1" } },
};
/* clang-format on */

/* What is not the same on two devices: times, plans and memory, and how often rounding let an iteration go
 * on. */
static bool differs_by_nature(const char *key)
{
    static const char *const parts[] = { "seconds", "memory",  "bytes", "plan",  "setup",      "products",
                                         "lanes",   "batch",   "cost",  "noise", "orthogonal", "asymmetry",
                                         "flop",    "efforts", "free",  "asym",  "rounding" };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(key, parts[i]) != NULL) return true;
    return false;
}

/* Runs a row on a device; its result, or NULL for bench, which writes none. */
static json_t *run_row(const row *r, const char *device)
{
    bool        writes = strcmp(r->command, "bench") != 0;
    const char *arguments[24] = { r->command, "--device", device };
    int         count = 3;
    for (int i = 0; r->arguments[i] != NULL; i++) arguments[count++] = r->arguments[i];
    if (writes) arguments[count++] = "--json", arguments[count++] = "r.json";
    ss_test_run_list(&run, arguments);
    cr_assert(run.exit_status == 0, "%s on %s: status %d: %s", r->command, device, run.exit_status, run.err);
    if (!writes) return NULL;
    json_t *json = ss_test_json("r.json");
    cr_assert(unlink("r.json") == 0);
    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(json, "run"), "device")), device);
    return json;
}

Test(device, every_command_gives_what_the_processor_gives, .init = ss_test_begin, .fini = ss_test_end)
{
    enter();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *there = run_row(&rows[i], DEVICE), *here = run_row(&rows[i], "cpu");
        if (here == NULL) continue;
        cr_expect_eq(ss_test_differences(json_object_get(here, "result"), json_object_get(there, "result"),
                                         "result", differs_by_nature, 1e-6),
                     0, "row %zu, %s", i, rows[i].command);
        json_decref(here);
        json_decref(there);
    }
}

Test(device, no_command_is_forgotten)
{
#define NAME(id, name, ...) name,
    static const char *const commands[] = { SS_COMMAND_TABLE(NAME) };
#undef NAME
    for (size_t c = 0; c < sizeof commands / sizeof *commands; c++) {
        bool there = false;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            there = there || strcmp(rows[i].command, commands[c]) == 0;
        cr_expect(there, "%s does not run on a device here", commands[c]);
    }
}

/* The table of a study of these seeds, written to a file; --resume goes on with what is there. */
static void study(const char *seeds, const char *jobs, const char *file)
{
    ss_test_run(&run, "study", "mlp:5-3-2:tanh", "--data", NETWORK "/data.safetensors", "--loss", "mse",
                "--weight-decay", "0.001", "--seeds", seeds, "--jobs", jobs, "--device", DEVICE, "--output",
                file, "--quiet", ss_test_exists(file) ? "--resume" : NULL, NULL);
    cr_assert(run.exit_status == 0, "%s", run.err);
}

/* A point's digits do not depend on how many are computed at a time, each by a thread with a context of its
 * own, nor on what was there before. */
Test(device, a_study_by_two_jobs, .init = ss_test_begin, .fini = ss_test_end)
{
    size_t bytes[2];
    enter();
    study("0..3", "1", "one.csv");
    study("0..1", "2", "two.csv");
    study("0..3", "2", "two.csv");
    char *one = ss_test_read_file("one.csv", &bytes[0]), *two = ss_test_read_file("two.csv", &bytes[1]);
    cr_expect(bytes[0] == bytes[1] && memcmp(one, two, bytes[0]) == 0, "%s%s", one, two);
    ss_free(ss_test_context, one);
    ss_free(ss_test_context, two);
}

/* ---- Devices that will not do ---- */

/* Status 6, and nothing was begun: for a command with a network, and for `info` without one. */
static void no_device(const char *device, const char *part, const char *other)
{
    ss_test_run(&run, "analyze", SADDLE, "--device", device, "--json", "r.json", "--output", "out", NULL);
    refused(6, part, other);
    ss_test_run(&run, "info", "--device", device, NULL);
    refused(6, part, other);
}

Test(device, one_that_is_not_there_is_refused, .init = ss_test_begin, .fini = ss_test_end)
{
    enter();
    ss_test_run(&run, "analyze", SADDLE, "--device", "cuda:x", "--json", "r.json", NULL);
    refused(2, "cuda:x", "");
#ifdef SS_TEST_EMULATED
    no_device("cuda:1", "device cuda:1: there is 1 device", "numbered from 0");
    no_device("cuda:99999999999999999999", "there is 1 device", "");
    setenv("SS_EMULATOR_DEVICES", "0", 1);
    no_device("cuda", "the driver shows no device", "use --device cpu");
    unsetenv("SS_EMULATOR_DEVICES");
#else
    bool               built = false;
    const char *const *name = ss_backend_names();
    for (; *name != NULL; name++) built = built || strcmp(*name, "cuda") == 0;
    no_device("cuda:9999", built ? "device cuda" : "this build has no CUDA", "");
#endif
}

Test(device, the_second_device, .init = ss_test_begin, .fini = ss_test_end)
{
    enter();
    SKIP_WITHOUT_EMULATOR;
    setenv("SS_EMULATOR_DEVICES", "2", 1);
    ss_test_run(&run, "analyze", SADDLE, "--device", "cuda:1", "--expect", "saddle", NULL);
    cr_expect(run.exit_status == 0, "%s", run.err);
    ss_test_run(&run, "study", "mlp:5-2-2:tanh", "--data", NETWORK "/data.safetensors", "--loss", "mse",
                "--seeds", "0..1", "--jobs", "2", "--device", "cuda:1", "--quiet", NULL);
    cr_expect(run.exit_status == 0, "%s", run.err);
    ss_test_run(&run, "info", "--device", "cuda:1", NULL);
    cr_expect(run.exit_status == 0 && strstr(run.out, "cuda:1: ") != NULL, "%s%s", run.out, run.err);
    unsetenv("SS_EMULATOR_DEVICES");
}

/* The number behind "--memory " in the message, in MiB. */
static long long would_do(void)
{
    const char *text = strstr(run.err, "--memory ");
    return text != NULL ? strtoll(text + 9, NULL, 10) : 0;
}

/* A network of 1.5 million parameters on a device of 64 MiB, of which cuBLAS takes its share. */
Test(device, one_that_is_too_small_is_refused, .init = ss_test_begin, .fini = ss_test_end)
{
    const char *const analyze[] = { "analyze",   "mlp:64-20000-10:tanh",
                                    "--data",    DIGITS "/data.safetensors",
                                    "--scale",   "1/16",
                                    "--samples", "10",
                                    "--loss",    "cross_entropy",
                                    "--device",  DEVICE,
                                    "--json",    "r.json",
                                    "--output",  "out",
                                    NULL };
    enter();
    SKIP_WITHOUT_EMULATOR;
    setenv("SS_EMULATOR_MEMORY", "64", 1);
    ss_test_run(&run, "info", "--device", "cuda", NULL);
    cr_expect(run.exit_status == 0 && strstr(run.out, " free; ") != NULL, "%s%s", run.out, run.err);
    ss_test_run_list(&run, analyze);
    refused(6, "MiB of memory are not enough", "--memory ");
    cr_expect_gt(would_do(), 64);
    ss_test_run(&run, "hessian", DIGITS, "--device", "cuda", "--json", "r.json", "--output", "out", NULL);
    refused(6, "parameters would fit", "--parameters");
    /* More than the device has, asked for: the device decides. */
    ss_test_run(&run, "gradient", "mlp:64-200000-10:tanh", "--data", DIGITS "/data.safetensors", "--scale",
                "1/16", "--samples", "10", "--loss", "cross_entropy", "--device", "cuda", "--memory", "8G",
                "--json", "r.json", NULL);
    refused(6, "MiB of memory are not enough", "--memory ");
    unsetenv("SS_EMULATOR_MEMORY");
}
