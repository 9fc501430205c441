/* The cache plans beside each other: time per flop and memory, predicted and measured.
 *
 *     bench_plans [NETWORK [SAMPLES [ROUNDS]]] >> benchmarks/results/plans.csv
 *
 * NETWORK is an mlp: string (default mlp:784-1024-1024-10:tanh), the data are random, float32. In every round
 * each plan makes one product, in turn; the ratio of its time per flop to that of the fully cached plan is
 * formed within the round, and its median and quartiles are printed. Memory is what the library took beyond
 * data and vectors. */
#include "base/base.h"
#include "saddlescope/saddlescope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PLANS 4

typedef struct candidate {
    const char   *name;
    ss_cache      cache;
    ss_network   *network;
    ss_objective *objective;
    ss_operator   op;
    ss_plan       plan;
    int64_t       taken; /* bytes */
    double       *ratio; /* [rounds] */
    double       *seconds;
} candidate;

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *values, int count, double q)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[(int)(q * (count - 1) + 0.5)];
}

static ss_status open_candidate(ss_context *context, const char *network, const ss_dataset *data,
                                candidate *c)
{
    ss_status            status = SS_OK;
    ss_objective_options options;
    ss_objective_options_init(&options);
    options.loss = "cross_entropy";
    options.precision = SS_FLOAT32;
    options.cache = c->cache;
    options.lanes = 1;
    SS_TRY(ss_network_open(context, network, NULL, &c->network));
    SS_TRY(ss_objective_create(context, c->network, data, &options, &c->objective));
    SS_TRY(ss_objective_plan(c->objective, SS_PRODUCT_HESSIAN, SS_FLOAT32, NULL, &c->plan));
    SS_TRY(ss_objective_operator(c->objective, SS_PRODUCT_HESSIAN, SS_FLOAT32, NULL, NULL, &c->op));
fail:
    return status;
}

static ss_status measure(ss_context *context, candidate *all, int rounds, float *v, int64_t padded)
{
    ss_status status = SS_OK;
    for (int p = 0; p < PLANS; p++) { /* the first product takes the arena and runs the prologue */
        int64_t before = ss_context_memory_now(context);
        ss_context_memory_reset_peak(context);
        SS_TRY(ss_operator_apply(&all[p].op, 1, v, padded, v + padded, padded));
        all[p].taken = ss_context_memory_peak(context) - before;
    }
    for (int r = 0; r < rounds; r++) {
        for (int i = 0; i < PLANS; i++) {
            candidate *c = &all[(i + r) % PLANS];
            double     begin = ss_seconds();
            SS_TRY(ss_operator_apply(&c->op, 1, v, padded, v + padded, padded));
            c->seconds[r] = ss_seconds() - begin;
        }
        for (int p = 0; p < PLANS; p++)
            all[p].ratio[r] =
                all[p].seconds[r] / all[p].plan.flops_body / (all[0].seconds[r] / all[0].plan.flops_body);
    }
fail:
    return status;
}

static void print(candidate *all, const char *network, long long samples, int rounds)
{
    char   date[16];
    time_t now = time(NULL);
    strftime(date, sizeof date, "%Y-%m-%d", gmtime(&now));
    for (int p = 0; p < PLANS; p++) {
        candidate *c = &all[p];
        double     predicted = (double)(c->plan.bytes_peak + c->plan.bytes_staging);
        printf("%s,%s,%lld,float32,%d,%s,%.4f,%.3f,%.3f,%.3f,%.3f,%.1f,%.1f\n", date, network, samples,
               rounds, c->name, quantile(c->seconds, rounds, 0.5),
               c->plan.flops_body / c->plan.flops_gradient, quantile(c->ratio, rounds, 0.5),
               quantile(c->ratio, rounds, 0.25), quantile(c->ratio, rounds, 0.75), predicted / 0x1p20,
               (double)c->taken / 0x1p20);
    }
}

int main(int argc, char **argv)
{
    ss_status   status = SS_OK;
    const char *network = argc > 1 ? argv[1] : "mlp:784-1024-1024-10:tanh";
    int64_t     samples = argc > 2 ? atoll(argv[2]) : 4096;
    int         rounds = argc > 3 ? atoi(argv[3]) : 15;
    candidate   all[PLANS] = { { .name = "cached", .cache = SS_CACHE_ALL },
                               { .name = "adjoints recomputed", .cache = SS_CACHE_ACTIVATIONS },
                               { .name = "all recomputed", .cache = SS_CACHE_NONE },
                               { .name = "checkpointed", .cache = SS_CACHE_CHECKPOINT } };
    ss_context *context = NULL;
    ss_network *shape = NULL;
    ss_dataset *data = NULL;
    float      *x = NULL, *v = NULL;
    int64_t    *y = NULL, extent[SS_MAX_RANK], classes[SS_MAX_RANK];
    int32_t     rank;
    SS_TRY(ss_context_create(&context));
    SS_TRY(ss_network_open(context, network, NULL, &shape));
    ss_network_input_shape(shape, &rank, extent);
    ss_network_output_shape(shape, &rank, classes);
    int64_t padded = ss_network_layout(shape)->padded;
    SS_TRY(SS_NEW_ARRAY(context, samples * extent[0], &x));
    SS_TRY(SS_NEW_ARRAY(context, samples, &y));
    SS_TRY(SS_NEW_ARRAY(context, 2 * padded, &v));
    for (int64_t i = 0; i < samples * extent[0]; i++) x[i] = (float)(i * 7919 % 1000) / 1000;
    for (int64_t i = 0; i < samples; i++) y[i] = i % classes[0];
    v[0] = 1;
    ss_array inputs = { "x", SS_F32, 2, { samples, extent[0] }, x },
             labels = { "y", SS_I64, 1, { samples }, y };
    SS_TRY(ss_dataset_from_arrays(context, &inputs, &labels, NULL, &data));
    for (int p = 0; p < PLANS; p++) {
        SS_TRY(SS_NEW_ARRAY(context, rounds, &all[p].ratio));
        SS_TRY(SS_NEW_ARRAY(context, rounds, &all[p].seconds));
        SS_TRY(open_candidate(context, network, data, &all[p]));
    }
    SS_TRY(measure(context, all, rounds, v, padded));
    print(all, network, (long long)samples, rounds);
fail:
    if (status != SS_OK) fprintf(stderr, "bench_plans: %s\n", ss_context_message(context));
    for (int p = 0; p < PLANS; p++) {
        if (all[p].op.destroy) ss_operator_destroy(&all[p].op);
        ss_objective_destroy(all[p].objective);
        ss_network_close(all[p].network);
        ss_free(context, all[p].ratio);
        ss_free(context, all[p].seconds);
    }
    ss_dataset_close(data);
    ss_network_close(shape);
    ss_free(context, x);
    ss_free(context, y);
    ss_free(context, v);
    ss_context_destroy(context);
    return ss_status_exit(status);
}
