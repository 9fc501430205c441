/* An objective opened in one line, for the suites of what follows a verdict. */
#ifndef SS_TESTS_VERDICT_BENCH_H
#define SS_TESTS_VERDICT_BENCH_H

#include "saddlescope/dataset.h"
#include "saddlescope/network.h"
#include "saddlescope/objective.h"
#include "support/support.h"

#include <string.h>

/* An objective with all that it stands on. */
typedef struct bench {
    ss_network   *network;
    ss_dataset   *dataset;
    ss_objective *objective;
} bench;

__attribute__((unused)) static void bench_open(bench *b, const char *source, const char *data,
                                               const char *loss, double decay, uint64_t seed)
{
    ss_decay_rule        rule = { NULL, decay };
    ss_network_options   network = { .decay = &rule, .n_decay = decay > 0.0, .seed = seed };
    ss_dataset_options   samples;
    ss_objective_options options;
    ss_dataset_options_init(&samples);
    if (strstr(data, "digits") != NULL) {
        samples.scale_given = true;
        samples.scale = 1.0 / 16.0;
        samples.samples = 120;
    }
    ss_objective_options_init(&options);
    options.device = ss_test_device();
    options.loss = loss;
    ss_test_require(ss_network_open(ss_test_context, source, &network, &b->network));
    ss_test_require(ss_dataset_open(ss_test_context, data, &samples, &b->dataset));
    ss_test_require(ss_objective_create(ss_test_context, b->network, b->dataset, &options, &b->objective));
}

static void bench_close(bench *b)
{
    ss_objective_destroy(b->objective);
    ss_dataset_close(b->dataset);
    ss_network_close(b->network);
}

__attribute__((unused)) static void digits(bench *b, uint64_t seed)
{
    bench_open(b, "mlp:64-2-10:tanh", SS_SOURCE_DIRECTORY "/examples/digits/data.safetensors",
               "cross_entropy", 1e-3, seed);
}

#endif
