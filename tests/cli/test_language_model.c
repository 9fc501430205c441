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

/* A model whose vectors dwarf everything else, with more and more memory: refused with a number that a second
 * or third try reaches, then three vectors, then a basis; kept, as predicted, and within the budget of
 * products. */
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
        int64_t basis = json_integer_value(json_object_get(json_object_get(result, "curvature"), "basis"));
        cr_expect(taken <= 1.01 * atof(memories[i]) * 0x1p20, "%s: took %.0f", memories[i], taken);
        cr_expect(fabs(taken / predicted - 1) < 0.1, "%s: took %.0f, predicted %.0f", memories[i], taken,
                  predicted);
        cr_expect(json_number_value(json_object_get(cost, "products")) <= 18, "%s", run.out);
        cr_expect(i == 1 ? basis == 0 : basis >= last_basis, "%s: basis %d", memories[i], (int)basis);
        last_basis = basis;
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
