/* A language model on the command line: token files against labelled data, what is printed of them, and what
 * is refused. */
#include "io/archive.h"
#include "io/safetensors.h"
#include "support/program.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODEL SS_SOURCE_DIRECTORY "/tests/cases/tf_mistral/model"

enum { TOKENS = 24, LENGTH = 6, VOCABULARY = 11 };
enum { QUEUE = 36 }; /* MiB that a queue on a device keeps for its libraries and its scratch */

static ss_test_program run;

/* An .npy file of uint16 token ids. */
static void write_tokens(const char *path, const uint16_t *ids, int count)
{
    char bytes[128 + 2 * TOKENS], header[119];
    int  length =
        snprintf(header, sizeof header, "{'descr': '<u2', 'fortran_order': False, 'shape': (%d,), }", count);
    memset(bytes, ' ', 128);
    memcpy(bytes, "\x93NUMPY\x01\x00\x76\x00", 10);
    memcpy(bytes + 10, header, (size_t)length);
    bytes[127] = '\n';
    memcpy(bytes + 128, ids, 2 * (size_t)count);
    ss_test_write_file(path, bytes, 128 + 2 * (size_t)count);
}

/* The same ids as sequences with labels. */
static void write_labelled(const char *path, const int64_t *ids, const int64_t *labels)
{
    const ss_array arrays[] = {
        { .name = "input_ids", .type = SS_I64, .rank = 2, .shape = { TOKENS / LENGTH, LENGTH }, .data = ids },
        { .name = "labels", .type = SS_I64, .rank = 2, .shape = { TOKENS / LENGTH, LENGTH }, .data = labels },
    };
    ss_test_require(ss_safetensors_write(ss_test_context, path, arrays, 2, NULL, 0));
}

static double loss_of(json_t *json)
{
    return json_number_value(json_object_get(json_object_get(json, "result"), "loss"));
}

static void enter(uint16_t *small, int64_t *wide)
{
    cr_assert(chdir(ss_test_directory()) == 0);
    for (int i = 0; i < TOKENS; i++) wide[i] = small[i] = (uint16_t)((5 * i + i * i) % VOCABULARY);
}

Test(language_model, tokens_are_labels_of_their_own, .init = ss_test_begin, .fini = ss_test_end)
{
    uint16_t small[TOKENS];
    int64_t  wide[TOKENS];
    enter(small, wide);
    write_tokens("tokens.npy", small, TOKENS);
    write_labelled("labelled.safetensors", wide, wide);
    ss_test_run(&run, "gradient", MODEL, "--data", "tokens.npy", "--sequence-length", "6", "--json", "a.json",
                NULL);
    cr_assert(run.exit_status == 0, "%s", run.err);
    cr_expect(strstr(run.out, "of a vocabulary of 11") != NULL, "%s", run.out);
    cr_expect(strstr(run.out, "ln V = 2.398") != NULL, "%s", run.out);
    cr_expect(strstr(run.out, "lies above ln V") != NULL, "%s", run.out);
    cr_expect(strstr(run.out, "causal_lm, mean over 20 targets") != NULL, "%s", run.out);
    ss_test_run(&run, "gradient", MODEL, "--data", "labelled.safetensors", "--json", "b.json", NULL);
    cr_assert(run.exit_status == 0, "%s", run.err);
    json_t *a = ss_test_json("a.json"), *b = ss_test_json("b.json");
    cr_expect(fabs(loss_of(a) - loss_of(b)) <= 1e-15 * loss_of(b), "%.17g %.17g", loss_of(a), loss_of(b));
    json_decref(a);
    json_decref(b);
    cr_assert(chdir("/") == 0);
}

/* Positions that see no token: to the left of a padded beginning. The numbers are torch's in float64, with
 * its fused attention (scripts: AutoModelForCausalLM, attn_implementation="sdpa", labels shifted by one); its
 * rotary table is float32. */
Test(language_model, padding_counts_as_in_torch, .init = ss_test_begin, .fini = ss_test_end)
{
    static const double expected[2][2] = { { 2.562188730, 2.251758980 }, { 2.595124436, 2.458099864 } };
    uint16_t            small[TOKENS];
    int64_t             wide[TOKENS], mask[TOKENS], labels[TOKENS];
    enter(small, wide);
    for (int i = 0; i < TOKENS; i++) mask[i] = i > 1 && i != 16 && i != 17;
    for (int ignored = 0; ignored < 2; ignored++) {
        for (int i = 0; i < TOKENS; i++) labels[i] = ignored && mask[i] == 0 ? -100 : wide[i];
        const int64_t shape[] = { TOKENS / LENGTH, LENGTH };
        ss_array arrays[3] = { { .name = "input_ids" }, { .name = "labels" }, { .name = "attention_mask" } };
        const int64_t *data[] = { wide, labels, mask };
        for (int k = 0; k < 3; k++) {
            arrays[k].type = SS_I64;
            arrays[k].rank = 2;
            memcpy(arrays[k].shape, shape, sizeof shape);
            arrays[k].data = data[k];
        }
        ss_test_require(ss_safetensors_write(ss_test_context, "padded.safetensors", arrays, 3, NULL, 0));
        ss_test_run(&run, "gradient", MODEL, "--data", "padded.safetensors", "--json", "a.json", NULL);
        cr_assert(run.exit_status == 0, "%s", run.err);
        json_t *json = ss_test_json("a.json");
        double  norm = json_number_value(json_object_get(json_object_get(json, "result"), "norm"));
        cr_expect(fabs(loss_of(json) - expected[ignored][0]) < 1e-6, "%.9f", loss_of(json));
        cr_expect(fabs(norm - expected[ignored][1]) < 1e-6, "%.9f", norm);
        json_decref(json);
    }
    cr_assert(chdir("/") == 0);
}

/* A model whose vectors dwarf everything else, with more and more memory: refused with a number that a second
 * or third try reaches, then three vectors, then a basis; kept, as predicted, and within the budget of
 * products. On a device a basis that has no room there lies in the host's memory, beside what is kept; an
 * emulated one has no more than that and what its queue takes for itself. */
Test(language_model, memory_and_products_are_kept, .init = ss_test_begin, .fini = ss_test_end)
{
    static const char config[] =
        "{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2LMHeadModel\"], \"vocab_size\": 600, "
        "\"n_positions\": 8, \"n_embd\": 48, \"n_layer\": 2, \"n_head\": 4}";
    static const char *const memories[] = { "6M", "10M", "12M", "24M" };
    int64_t                  wide[TOKENS], last_basis = -1;
    cr_assert(chdir(ss_test_directory()) == 0);
    for (int i = 0; i < TOKENS; i++) wide[i] = (31 * i + 7 * i * i) % 600;
    write_labelled("labelled.safetensors", wide, wide);
    cr_assert(mkdir("model", 0777) == 0);
    ss_test_write_file("model/config.json", config, sizeof config - 1);
    for (size_t i = 0; i < sizeof memories / sizeof *memories; i++) {
        char device[16];
        snprintf(device, sizeof device, "%d", atoi(memories[i]) + QUEUE);
        setenv("SS_EMULATOR_MEMORY", device, 1);
        ss_test_run(&run, "analyze", "model", "--init-random", "1", "--data", "labelled.safetensors",
                    "--precision", "fp32", "--max-products", "16", "--memory", memories[i], "--json",
                    "a.json", NULL);
        if (i == 0) {
            cr_expect(run.exit_status == 6 && strstr(run.err, "--memory ") != NULL, "%s", run.err);
            cr_expect(access("a.json", F_OK) != 0);
            continue;
        }
        cr_assert(run.exit_status == 0, "%s", run.err);
        json_t *json = ss_test_json("a.json"), *result = json_object_get(json, "result");
        json_t *cost = json_object_get(result, "cost");
        double  taken = json_number_value(json_object_get(json_object_get(json, "run"), "memory_peak"));
        double  predicted = json_number_value(json_object_get(cost, "memory_predicted"));
        json_t *curvature = json_object_get(result, "curvature");
        int64_t basis = json_integer_value(json_object_get(curvature, "basis"));
        bool    on_host = json_is_true(json_object_get(curvature, "basis_on_host"));
        cr_expect(on_host || taken <= 1.01 * atof(memories[i]) * 0x1p20, "%s: took %.0f", memories[i], taken);
        cr_expect(fabs(taken / predicted - 1) < 0.1, "%s: took %.0f, predicted %.0f", memories[i], taken,
                  predicted);
        cr_expect(json_number_value(json_object_get(cost, "products")) <= 18, "%s", run.out);
        cr_expect(i == 1 ? basis == 0 : on_host || basis >= last_basis, "%s: basis %d", memories[i],
                  (int)basis);
        cr_expect(!on_host || strcmp(ss_test_device(), "cpu") != 0);
        if (!on_host) last_basis = basis;
        json_decref(json);
    }
    cr_expect(last_basis > 0);
    cr_assert(chdir("/") == 0);
}

Test(language_model, bad_data_are_refused, .init = ss_test_begin, .fini = ss_test_end)
{
    uint16_t small[TOKENS];
    int64_t  wide[TOKENS], none[TOKENS];
    enter(small, wide);
    for (int i = 0; i < TOKENS; i++) none[i] = -100;
    write_labelled("unlabelled.safetensors", wide, none);
    ss_test_run(&run, "gradient", MODEL, "--data", "unlabelled.safetensors", NULL);
    cr_expect(run.exit_status == 3 && strstr(run.err, "-100") != NULL, "%s", run.err);

    write_tokens("tokens.npy", small, TOKENS);
    ss_test_run(&run, "gradient", MODEL, "--data", "tokens.npy", "--sequence-length", "17", NULL);
    cr_expect(run.exit_status == 3 && strstr(run.err, "16 positions") != NULL, "%s", run.err);

    small[13] = VOCABULARY;
    write_tokens("tokens.npy", small, TOKENS);
    ss_test_run(&run, "gradient", MODEL, "--data", "tokens.npy", "--sequence-length", "6", NULL);
    cr_expect(run.exit_status == 3 && strstr(run.err, "id 11 at sample 2, token 1") != NULL, "%s", run.err);
    cr_assert(chdir("/") == 0);
}
