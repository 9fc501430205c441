/* Bodies that a driver does not capture run step by step: the same products, and a warning. */
#include "backend/backend.h"
#include "base/philox.h"
#include "saddlescope/saddlescope.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <emulator.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 4 };
#define FOLDER SS_SOURCE_DIRECTORY "/tests/cases/gelu_mse"

/* Products of one vector, made one after the other; the first capture fails in the call `kind`, NULL = in
 * none. */
static void products(const char *kind, double *result, int64_t n)
{
    ss_network          *network = NULL;
    ss_dataset          *data = NULL;
    ss_objective        *objective = NULL;
    ss_operator          h;
    ss_objective_options options;
    char                *memory = NULL;
    ss_objective_options_init(&options);
    options.loss = "mse";
    options.device = "cuda";
    ss_test_require(ss_network_open(ss_test_context, FOLDER, NULL, &network));
    ss_test_require(ss_dataset_open(ss_test_context, FOLDER "/data.safetensors", NULL, &data));
    ss_test_require(ss_objective_create(ss_test_context, network, data, &options, &objective));
    ss_test_require(ss_objective_operator(objective, SS_PRODUCT_HESSIAN, SS_FLOAT64, NULL, NULL, &h));
    const ss_backend_class *c = h.backend->class;
    const int64_t           padded = h.layout->padded;
    cr_assert(padded <= n);
    ss_test_require(c->allocate(h.backend, 2 * padded * 8, (void **)&memory));
    ss_test_require(c->random_normal(h.backend, NULL, h.layout, 1, SS_STREAM_TEST, memory));
    if (kind) ss_emulator_fail(kind, 1);
    for (int run = 0; run < RUNS; run++) {
        double *to = result + run * n;
        ss_test_require(ss_operator_apply(&h, 1, memory, padded, memory + padded * 8, padded));
        ss_test_require(c->download(h.backend, NULL, to, memory + padded * 8, padded * 8));
        ss_test_require(c->queue_synchronize(h.backend, NULL));
    }
    cr_assert_eq(ss_emulator_failed(), kind != NULL);
    ss_emulator_fail(NULL, 0);
    c->release(h.backend, memory);
    ss_operator_destroy(&h);
    ss_objective_destroy(objective);
    ss_dataset_close(data);
    ss_network_close(network);
}

Test(capture, a_body_that_cannot_be_captured_runs_step_by_step, .init = ss_test_begin, .fini = ss_test_end)
{
    enum { MOST = 8192 };
    static const char *const kinds[] = { NULL, "cudaStreamBeginCapture", "cudaStreamEndCapture" };
    static double            want[RUNS * MOST], found[RUNS * MOST];
    ss_emulator_set_quiet(1);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        products(kinds[i], i ? found : want, MOST);
        cr_assert(want[0] != 0);
        if (i) cr_assert_arr_eq(found, want, sizeof want, "%s", kinds[i]);
    }
    for (int run = 1; run < RUNS; run++) cr_assert_arr_eq(want + run * MOST, want, MOST * sizeof *want);
    cr_assert(ss_emulator_live("*") == 0);
}
