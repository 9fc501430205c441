/* The command line: every option is parsed into what the result reports, every misuse is refused in one line
 * with status 2, and nothing matches by abbreviation. */
#include "support/program.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define SADDLE SS_SOURCE_DIRECTORY "/examples/toy_saddle"
#define CASES  SS_SOURCE_DIRECTORY "/tests/cases"

static ss_test_program run;

/* ---- Misuse ---------------------------------------------------------------------------------------------
 */

typedef struct misuse {
    const char *arguments[8];
    const char *part; /* of the message */
} misuse;

/* clang-format off */
static const misuse misuses[] = {
    { { "analyse", SADDLE }, "unknown command 'analyse'" },
    { { "--analyze", SADDLE }, "a command comes first" },
    { { "analyze" }, "NETWORK is missing" },
    { { "analyze", "" }, "NETWORK is missing" },
    { { "info", "--data", "x.npz" }, "NETWORK is missing" },
    { { "analyze", SADDLE, SADDLE }, "one NETWORK only" },
    { { "analyze", SADDLE, "--conf", "0.9" }, "unknown option --conf (did you mean --confidence?)" },
    { { "analyze", SADDLE, "--confidence2", "0.9" }, "unknown option --confidence2" },
    { { "analyze", SADDLE, "-x" }, "unknown option -x" },
    { { "analyze", SADDLE, "--" "max_products", "9" }, "unknown option --max_products" },
    { { "analyze", SADDLE, "--vector", "v" }, "option --vector does not belong to this command" },
    { { "eigs", SADDLE, "--low", "1", "--expect", "saddle" }, "option --expect does not belong" },
    { { "bench", SADDLE, "--json", "x" }, "option --json does not belong" },
    { { "analyze", SADDLE, "--tau" }, "option --tau needs an argument X" },
    { { "analyze", SADDLE, "--json", "--quiet" }, "option --json needs an argument FILE" },
    { { "analyze", SADDLE, "--quiet=1" }, "option --quiet takes no argument" },
    { { "analyze", SADDLE, "--quiet", "--verbose" }, "exclude each other" },
    { { "analyze", SADDLE, "--tau", "1", "--tau", "2" }, "option --tau is given twice" },
    { { "analyze", SADDLE, "--json=" }, "--json: the argument FILE is empty" },
    { { "analyze", SADDLE, "--tau", "1x" }, "--tau: '1x' is not a finite number" },
    { { "analyze", SADDLE, "--tau", "nan" }, "--tau: 'nan' is not a finite number" },
    { { "analyze", SADDLE, "--tau", "inf" }, "--tau: 'inf' is not a finite number" },
    { { "analyze", SADDLE, "--tau", "1e999" }, "--tau: '1e999' is not a finite number" },
    { { "analyze", SADDLE, "--tau", "0x1" }, "--tau: '0x1' is not a finite number" },
    { { "analyze", SADDLE, "--tau", " 1" }, "--tau: ' 1' is not a finite number" },
    { { "analyze", SADDLE, "--tau=" }, "--tau: '' is not a finite number" },
    { { "analyze", SADDLE, "--tau", "-1" }, "--tau: -1 is out of range" },
    { { "analyze", SADDLE, "--confidence", "1" }, "--confidence: 1 is out of range" },
    { { "analyze", SADDLE, "--max-products", "1e3" }, "--max-products: '1e3' is not an integer" },
    { { "analyze", SADDLE, "--max-products", "99999999999999999999" }, "is too large" },
    { { "analyze", SADDLE, "--max-products", "0" }, "--max-products: 0 is out of range" },
    { { "analyze", SADDLE, "--memory", "2Q" }, "--memory: '2Q' is not a size" },
    { { "analyze", SADDLE, "--memory", "2Gx" }, "--memory: '2Gx' is not a size" },
    { { "analyze", SADDLE, "--memory", "1K" }, "--memory: 1K is out of range" },
    { { "analyze", SADDLE, "--time-limit", "10y" }, "--time-limit: '10y' is not a time" },
    { { "analyze", SADDLE, "--time-limit", "0s" }, "--time-limit: 0s is out of range" },
    { { "analyze", SADDLE, "--scale", "1/0" }, "--scale: '1/0' is not a finite number or ratio" },
    { { "analyze", SADDLE, "--scale", "1/2/3" }, "--scale: '1/2/3' is not" },
    { { "analyze", SADDLE, "--precision", "fp16" }, "--precision: 'fp16' is none of auto|fp64|fp32|tf32" },
    { { "analyze", SADDLE, "--precision", "fp" }, "--precision: 'fp' is none of" },
    { { "analyze", SADDLE, "--precision", "tf32", "--device", "cpu" }, "needs a GPU" },
    { { "analyze", SADDLE, "--device", "tpu" }, "tpu" },
    { { "analyze", SADDLE, "--expect", "sadle" }, "--expect: 'sadle' is none of saddle|minimum" },
    { { "analyze", SADDLE, "--weight-decay", "x" }, "--weight-decay: 'x' is not a finite number" },
    { { "analyze", SADDLE, "--weight-decay", "-1" }, "--weight-decay: -1 is negative" },
    { { "analyze", SADDLE, "--weight-decay", "=1" }, "empty pattern" },
    { { "analyze", SADDLE, "--weight-decay", "nothing*=1" }, "nothing*" },
    { { "analyze", SADDLE, "--parameters", "nothing*" }, "nothing*" },
    { { "analyze", SADDLE, "--expect-loss", "1:0" }, "must be positive" },
    { { "analyze", SADDLE, "--expect-loss", "a" }, "--expect-loss: 'a' is not a finite number" },
    { { "analyze", SADDLE, "--sequence-length", "0" }, "--sequence-length" },
    { { "analyze", SADDLE, "--token-dtype", "int8" }, "--token-dtype: 'int8' is none of uint16|uint32" },
    { { "analyze", SADDLE, "--resume" }, "--resume needs --checkpoint" },
    { { "analyze", "mlp:2-2:tanh", "--data", "x.npz" }, "--loss is missing" },
    { { "analyze", "mlp:2-2:tanh", "--loss", "mse" }, "--data is missing" },
    { { "eigs", SADDLE }, "give --low K, --high K or --below X" },
    { { "eigs", SADDLE, "--below", "0" }, "--below: 0 is not negative" },
    { { "eigs", SADDLE, "--low", "3" }, "there are 2" },
    { { "hvp", SADDLE }, "give either --vector FILE or --random SEED" },
    { { "hvp", SADDLE, "--random", "1", "--vector", "v" }, "give either" },
    { { "help", "nothing" }, "no help for 'nothing'" },
    { { "help", "--completion", "csh" }, "no completion for the shell 'csh'" },
};
/* clang-format on */

Test(options, misuse_is_refused_in_one_line, .init = ss_test_begin, .fini = ss_test_end)
{
    for (size_t i = 0; i < sizeof misuses / sizeof *misuses; i++) {
        const misuse *m = &misuses[i];
        ss_test_run_list(&run, m->arguments);
        cr_expect(run.exit_status == 2, "case %zu (%s): status %d, %s", i, m->part, run.exit_status, run.err);
        cr_expect(strstr(run.err, m->part) != NULL, "case %zu: '%s' is not in '%s'", i, m->part, run.err);
        cr_expect(strstr(run.err, "--help'") != NULL, "case %zu: no way to help in '%s'", i, run.err);
        const char *end = strchr(run.err, '\n');
        cr_expect(end != NULL && end[1] == '\0', "case %zu: not one line: '%s'", i, run.err);
        cr_expect(run.out[0] == '\0', "case %zu: printed '%s'", i, run.out);
    }
}

Test(options, no_command_shows_the_overview, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_test_run_list(&run, (const char *const[]){ NULL });
    cr_assert(run.exit_status == 2 && strstr(run.err, "usage: saddlescope COMMAND") != NULL);
    ss_test_run(&run, "--help", NULL);
    cr_assert(run.exit_status == 0 && strstr(run.out, "analyze") != NULL && run.err[0] == '\0');
    ss_test_run(&run, "--version", NULL);
    cr_assert(run.exit_status == 0 && strncmp(run.out, "saddlescope ", 12) == 0);
}

/* ---- Every option ---------------------------------------------------------------------------------------
 */

/* Options of a command as its completion lists them, blank-separated. */
static void options_of(const char *command, char *list, size_t bytes)
{
    char head[64];
    ss_test_run(&run, "help", "--completion", "bash", NULL);
    snprintf(head, sizeof head, "    %s) COMPREPLY=($(compgen -W \"", command);
    const char *start = strstr(run.out, head);
    cr_assert(start != NULL, "no options of %s", command);
    start += strlen(head);
    size_t length = strcspn(start, "\"");
    cr_assert(length < bytes);
    memcpy(list, start, length);
    list[length] = '\0';
}

static char seen[4096]; /* options given so far, " --name " each */

/* Runs the command with a JSON result and notes the options that it says were given. */
static json_t *run_and_note(const char *const *arguments)
{
    json_t     *json = NULL, *option = NULL;
    const char *name = NULL;
    ss_test_run_list(&run, arguments);
    cr_assert(run.exit_status == 0, "%s: status %d: %s", arguments[0], run.exit_status, run.err);
    json = ss_test_json("options.json");
    json_object_foreach(json_object_get(json, "options"), name, option)
    {
        size_t used = strlen(seen);
        if (json_is_true(json_object_get(option, "given")))
            snprintf(seen + used, sizeof seen - used, " --%s ", name);
    }
    return json;
}

static const json_t *value_of(const json_t *json, const char *name)
{
    return json_object_get(json_object_get(json_object_get(json, "options"), name), "value");
}

/* Are all options of the command, those in `except` aside, among the seen ones? */
static void all_seen(const char *command, const char *except)
{
    char list[4096], name[80];
    options_of(command, list, sizeof list);
    for (char *word = strtok(list, " "); word != NULL; word = strtok(NULL, " ")) {
        snprintf(name, sizeof name, " %s ", word);
        cr_expect(strstr(seen, name) != NULL || strstr(except, name) != NULL, "%s: %s was never given",
                  command, word);
    }
}

#define IN_FOLDER                                                                                            \
    do {                                                                                                     \
        cr_assert(chdir(ss_test_directory()) == 0);                                                          \
        ss_test_copy(SADDLE "/data.safetensors", "data.safetensors");                                        \
        ss_test_copy(SADDLE "/weights.safetensors", "w.safetensors");                                        \
        ss_test_copy(SADDLE "/network.json", "network.json");                                                \
    } while (0)

#include <unistd.h>

Test(options, every_option_of_analyze, .init = ss_test_begin, .fini = ss_test_end)
{
    IN_FOLDER;
    json_t *json = run_and_note((const char *const[]){ "analyze",
                                                       "network.json",
                                                       "--data",
                                                       "data.safetensors",
                                                       "--weights=w.safetensors",
                                                       "--loss",
                                                       "mse",
                                                       "--weight-decay",
                                                       "0*=0.25",
                                                       "--weight-decay",
                                                       "1*=0.25",
                                                       "--expect-loss",
                                                       "1:1e-3",
                                                       "--scale",
                                                       "1",
                                                       "--shift",
                                                       "0",
                                                       "--samples",
                                                       "1",
                                                       "--sample-seed",
                                                       "7",
                                                       "--batch-size",
                                                       "1",
                                                       "--operator",
                                                       "hessian",
                                                       "--parameters",
                                                       "*",
                                                       "--exclude-parameters",
                                                       "1.*",
                                                       "--resolution",
                                                       "1e-3",
                                                       "--confidence",
                                                       "0.95",
                                                       "--max-products",
                                                       "200",
                                                       "--time-limit",
                                                       "2m",
                                                       "--confirm-samples",
                                                       "40",
                                                       "--html",
                                                       "report.html",
                                                       "--json",
                                                       "options.json",
                                                       NULL });
    cr_expect(fabs(json_number_value(value_of(json, "time-limit")) - 120) < 1e-12);
    cr_expect(json_array_size(value_of(json, "weight-decay")) == 2);
    cr_expect(json_integer_value(value_of(json, "sample-seed")) == 7);
    json_decref(json);

    json = run_and_note((const char *const[]){ "analyze",
                                               SADDLE,
                                               "--dense-limit",
                                               "0",
                                               "--tau",
                                               "1e-6",
                                               "--critical",
                                               "0.01",
                                               "--device",
                                               ss_test_device(),
                                               "--precision",
                                               "fp64",
                                               "--memory",
                                               "1.5G",
                                               "--cache",
                                               "activations",
                                               "--threads",
                                               "1",
                                               "--seed",
                                               "3",
                                               "--json",
                                               "options.json",
                                               "--output",
                                               "text",
                                               "--save-vectors",
                                               "vectors",
                                               "--checkpoint",
                                               "state",
                                               "--checkpoint-every",
                                               "1h",
                                               "--resume",
                                               "--quiet",
                                               "--expect",
                                               "saddle",
                                               NULL });
    cr_expect(json_integer_value(value_of(json, "memory")) == 3LL << 29);
    cr_expect(strcmp(json_string_value(value_of(json, "cache")), "activations") == 0);
    cr_expect(json_is_true(value_of(json, "resume")));
    cr_expect(strcmp(json_string_value(value_of(json, "expect")), "saddle") == 0);
    cr_expect(ss_test_exists("text") && ss_test_exists("vectors"));
    json_decref(json);

    json = run_and_note((const char *const[]){ "analyze", SADDLE, "--critical-gradient", "1e-3", "--verbose",
                                               "--polish", "2", "--json", "options.json", NULL });
    json_decref(json);
    /* Transformers: a head that is not in the file, an adapter's base, no weights at all. */
    json_decref(run_and_note((const char *const[]){
        "analyze", CASES "/tf_bert_mlm/model", "--weights", CASES "/tf_bert_cls/model/model.safetensors",
        "--data", CASES "/tf_bert_mlm/data.safetensors", "--init-missing", "cls:1", "--blocks", "layer",
        "--dense-limit", "0", "--max-products", "9", "--json", "options.json", NULL }));
    json_decref(run_and_note(
        (const char *const[]){ "analyze", CASES "/tf_gpt2_lora/adapter", "--base", CASES "/tf_gpt2_lora/base",
                               "--data", CASES "/tf_gpt2_lora/data.safetensors", "--dense-limit", "0",
                               "--max-products", "9", "--json", "options.json", NULL }));
    json_decref(
        run_and_note((const char *const[]){ "analyze", CASES "/tf_mistral/model", "--init-random", "3",
                                            "--data", CASES "/tf_mistral/data.safetensors", "--dense-limit",
                                            "0", "--max-products", "9", "--json", "options.json", NULL }));
    cr_assert(chdir("/") == 0);
    /* Token ids need a language model: the suite io/tokens cuts them. */
    all_seen("analyze",
             " --help  --label-smoothing  --class-weights  --sequence-length  --stride  --token-dtype ");
}

Test(options, every_option_of_the_other_commands, .init = ss_test_begin, .fini = ss_test_end)
{
    IN_FOLDER;
    json_decref(run_and_note((const char *const[]){ "eigs", SADDLE, "--low", "1", "--high", "1", "--below",
                                                    "-1", "--tolerance", "1e-3", "--max-products", "9",
                                                    "--json", "options.json", NULL }));
    json_decref(run_and_note((const char *const[]){ "hvp", SADDLE, "--random", "5", "--json", "options.json",
                                                    "--output", "v.safetensors", NULL }));
    json_decref(run_and_note(
        (const char *const[]){ "hvp", SADDLE, "--vector", "v.safetensors", "--json", "options.json", NULL }));
    json_decref(
        run_and_note((const char *const[]){ "info", SADDLE, "--plan", "--json", "options.json", NULL }));
    json_decref(run_and_note((const char *const[]){ "hessian", SADDLE, "--tau", "0.5", "--operator", "ggn",
                                                    "--json", "options.json", NULL }));
    /* Label smoothing and class weights want classes. */
    ss_test_write_file("weights.json", "[1, 2, 1, 1, 1, 1, 1, 1, 1, 0.5]", 32);
    json_decref(run_and_note((const char *const[]){ "gradient", SS_SOURCE_DIRECTORY "/examples/digits",
                                                    "--label-smoothing", "0.1", "--class-weights",
                                                    "weights.json", "--json", "options.json", NULL }));
    cr_assert(chdir("/") == 0);
    const char *const wanted[] = { " --low ",          " --high ",   " --below ", " --tolerance ",
                                   " --random ",       " --vector ", " --plan ",  " --label-smoothing ",
                                   " --class-weights " };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        cr_expect(strstr(seen, wanted[i]) != NULL, "%s was never given", wanted[i]);
}

/* The defaults in the help are the library's: a run that states them equals a run that does not. */
Test(options, stated_defaults_are_the_defaults, .init = ss_test_begin, .fini = ss_test_end)
{
    static ss_test_program plain;
    ss_test_run(&plain, "analyze", SADDLE, "--quiet", NULL);
    ss_test_run(&run, "analyze", SADDLE, "--quiet", "--confidence", "0.99", "--dense-limit", "4096",
                "--critical", "0.001", "--seed", "0", "--sample-seed", "0", "--device", ss_test_device(),
                "--precision", "auto", "--operator", "hessian", NULL);
    cr_assert(plain.exit_status == 0 && run.exit_status == 0, "%s", run.err);
    /* All but the line with the time. */
    char *cost = strstr(plain.out, "cost  "), *cost_too = strstr(run.out, "cost  ");
    cr_assert(cost != NULL && cost_too != NULL);
    cr_expect(cost - plain.out == cost_too - run.out &&
              strncmp(plain.out, run.out, (size_t)(cost - plain.out)) == 0);
    cr_expect(strcmp(strstr(cost, "\nanswer"), strstr(cost_too, "\nanswer")) == 0);
}

Test(options, info_without_a_network_describes_the_machine, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_test_run(&run, "info", "--device", "cpu", NULL);
    cr_assert(run.exit_status == 0, "%s", run.err);
    cr_expect(strstr(run.out, "cpu: ") != NULL && strstr(run.out, " free; ") != NULL, "%s", run.out);
    ss_test_run(&run, "info", "--device", "abacus", NULL);
    cr_expect(run.exit_status == 2 && strstr(run.err, "unknown device 'abacus'") != NULL, "%s", run.err);
}
