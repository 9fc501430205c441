/* Every allocation of `analyze` fails once: each ends in a clean error, with all memory given back. The quick
 * tier takes every allocation of a small run and a fixed share of a larger one's; all with SS_TEST_ALL=1, a
 * tenth in brief. */
#include "report/report.h"
#include "saddlescope/dataset.h"
#include "saddlescope/network.h"
#include "saddlescope/verdict.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct job {
    const char *folder, *loss;
    int64_t     dense_limit;
} job;

/* The whole of analyze through the library, text included. */
static ss_status analyze(const job *j)
{
    ss_status            status = SS_OK;
    char                 data[512];
    ss_network          *network = NULL;
    ss_dataset          *dataset = NULL;
    ss_objective        *objective = NULL;
    ss_objective_options options;
    ss_analyze_options   how;
    ss_verdict           verdict = { 0 };
    ss_run               about = {
                      .network_description = "", .data = "", .data_description = "", .objective = "", .precision = ""
    };
    ss_text text;

    ss_text_init(ss_test_context, &text);
    snprintf(data, sizeof data, "%s/data.safetensors", j->folder);
    ss_objective_options_init(&options);
    options.loss = j->loss;
    options.precision = SS_FLOAT32;
    options.device = ss_test_device();
    ss_analyze_options_init(&how);
    how.dense_limit = j->dense_limit;
    SS_TRY(ss_network_open(ss_test_context, j->folder, NULL, &network));
    SS_TRY(ss_dataset_open(ss_test_context, data, NULL, &dataset));
    SS_TRY(ss_objective_create(ss_test_context, network, dataset, &options, &objective));
    SS_TRY(ss_analyze(ss_test_context, objective, &how, &verdict));
    ss_report_verdict(&text, &about, &verdict);
    SS_TRY(text.status);
fail:
    ss_text_release(&text);
    ss_verdict_destroy(&verdict);
    ss_objective_destroy(objective);
    ss_dataset_close(dataset);
    ss_network_close(network);
    return status;
}

static void fail_each(const job *j, int64_t at_most)
{
    int64_t before = ss_context_allocations(ss_test_context);
    ss_test_require(analyze(j));
    int64_t all = ss_context_allocations(ss_test_context) - before;
    int64_t step = ss_test_environment("SS_TEST_ALL")
                       ? 1
                       : ss_max64(1, all / (ss_test_brief() ? at_most / 10 : at_most));
    int64_t failed = 0, tried = 0;
    for (int64_t nth = 1; nth <= all; nth += step) {
        ss_context_fail_allocation(ss_test_context, nth);
        ss_status status = analyze(j);
        ss_context_fail_allocation(ss_test_context, 0);
        /* Some allocations can be done without (a plan that fits less memory): success is clean, too. */
        cr_assert(status == SS_OK || status == SS_ERROR_MEMORY || status == SS_ERROR_REFUSED,
                  "allocation %lld: %s: %s", (long long)nth, ss_status_text(status),
                  ss_context_message(ss_test_context));
        cr_assert(status == SS_OK || ss_context_message(ss_test_context)[0] != '\0', "no message");
        cr_assert(ss_context_memory_now(ss_test_context) == 0,
                  "allocation %lld: %lld bytes were not given back", (long long)nth,
                  (long long)ss_context_memory_now(ss_test_context));
        failed += status != SS_OK;
        tried++;
        ss_context_clear_message(ss_test_context);
    }
    printf("%s: %lld allocations, %lld failed in turn, %lld of the runs ended in an error\n",
           strrchr(j->folder, '/') + 1, (long long)all, (long long)tried, (long long)failed);
    cr_assert(failed > tried / 2);
}

Test(allocations, of_the_dense_path, .init = ss_test_begin, .fini = ss_test_end)
{
    fail_each(&(job){ SS_SOURCE_DIRECTORY "/examples/toy_saddle", "mse", 4096 }, 300);
}

Test(allocations, of_the_flat_space_probe, .init = ss_test_begin, .fini = ss_test_end)
{
    fail_each(&(job){ SS_SOURCE_DIRECTORY "/examples/toy_cubic", "mse", 4096 }, 100);
}

Test(allocations, of_lanczos, .init = ss_test_begin, .fini = ss_test_end)
{
    fail_each(&(job){ SS_SOURCE_DIRECTORY "/tests/cases/relu_bce", "bce_with_logits", 0 }, 150);
}

/* ---- jansson's memory, which does not pass through the context
 * ----------------------------------------------
 */

static int64_t json_calls, json_fails, json_blocks;

static void *json_allocate(size_t bytes)
{
    if (++json_calls == json_fails) return NULL;
    void *block = malloc(bytes);
    json_blocks += block != NULL;
    return block;
}

static void json_release(void *block)
{
    json_blocks -= block != NULL;
    free(block);
}

/* Reads a network and its data, and writes a result: all that jansson does. */
static ss_status read_and_write(const char *path)
{
    ss_status     status = SS_OK;
    ss_network   *network = NULL;
    ss_dataset   *dataset = NULL;
    ss_verdict    verdict = { 0 };
    const char   *texts[] = { "first", "second" };
    ss_run_option options[] = { { .name = "parameters", .kind = "texts", .texts = texts, .n_texts = 2 },
                                { .name = "loss", .kind = "text", .text = "mse" } };
    ss_run        about = { .options = options, .n_options = 2 };
    SS_TRY(ss_network_open(ss_test_context, SS_SOURCE_DIRECTORY "/examples/toy_saddle", NULL, &network));
    SS_TRY(ss_dataset_open(ss_test_context, SS_SOURCE_DIRECTORY "/examples/toy_saddle/data.safetensors", NULL,
                           &dataset));
    SS_TRY(ss_report_json(ss_test_context, path, &about, true, ss_verdict_fields, &verdict));
fail:
    ss_dataset_close(dataset);
    ss_network_close(network);
    return status;
}

Test(allocations, of_the_json_library, .init = ss_test_begin, .fini = ss_test_end)
{
    const char *path = ss_test_path("result.json");
    json_set_alloc_funcs(json_allocate, json_release);
    ss_test_require(read_and_write(path));
    size_t  size = 0, found_size = 0;
    char   *expected = ss_test_read_file(path, &size);
    int64_t all = json_calls, kept = ss_context_memory_now(ss_test_context), failed = 0;
    cr_assert(all > 100 && json_blocks == 0);
    for (int64_t nth = 1; nth <= all; nth++) {
        cr_assert_eq(remove(path), 0);
        json_calls = 0, json_fails = nth;
        ss_status status = read_and_write(path);
        json_fails = 0;
        /* jansson's scanner can take a failed allocation for wrong text */
        cr_assert(status == SS_OK || status == SS_ERROR_MEMORY || status == SS_ERROR_INPUT);
        cr_assert_eq(json_blocks, 0, "allocation %lld: jansson kept %lld blocks", (long long)nth,
                     (long long)json_blocks);
        cr_assert_eq(ss_context_memory_now(ss_test_context), kept);
        if (status == SS_OK) {
            char *found = ss_test_read_file(path, &found_size);
            cr_assert(found_size == size && memcmp(found, expected, size) == 0,
                      "allocation %lld: another result", (long long)nth);
            ss_free(ss_test_context, found);
        } else {
            failed++;
            cr_assert(ss_context_message(ss_test_context)[0] != '\0', "no message");
            cr_assert_neq(remove(path), 0, "a result was written without memory for it");
            ss_context_clear_message(ss_test_context);
            ss_test_require(read_and_write(path));
        }
    }
    printf("jansson: %lld allocations failed in turn, %lld of the runs ended in an error\n", (long long)all,
           (long long)failed);
    cr_assert(failed > all * 9 / 10);
    ss_free(ss_test_context, expected);
}
