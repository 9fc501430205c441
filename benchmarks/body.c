/* What of a product's body is not matrix products, and what launching costs.
 *
 *     bench_body DEVICE PRECISION NETWORK DATA LOSS [ROUNDS]     PRECISION: fp64, fp32, tf32
 *
 * NETWORK is an mlp: string or a folder with a configuration; its weights start at random. The body of one
 * product is run step by step, and, where the device captures, as one graph: the same kernels without the
 * host between them, so that the difference is what launching costs. Both are run in every round, in turns.
 * Prints "what,value,unit,note" lines; times are medians. */
#include "backend/backend.h"
#include "base/philox.h"
#include "hvp/program.h"
#include "saddlescope/saddlescope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROUNDS = 101 };

typedef struct bench {
    ss_context         *context;
    ss_network         *network;
    ss_dataset         *data;
    ss_objective       *objective;
    ss_backend         *b; /* of the precision; the objective's */
    ss_program         *program;
    ss_graph_execution *graph;
    char               *v, *hv; /* device */
    int64_t             padded;
    ss_real             real;
    bool                tf32;
    int                 rounds;
} bench;

/* Seconds of each round. */
typedef struct times {
    double steps[MOST_ROUNDS], queued[MOST_ROUNDS], graph[MOST_ROUNDS];
} times;

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

static ss_status open_all(bench *w, const char *device, const char *network, const char *data,
                          const char *loss)
{
    ss_status            status = SS_OK;
    ss_network_options   network_options = { .loss = loss, .seed = 1, .init_random = true, .init_seed = 1 };
    ss_dataset_options   data_options;
    ss_objective_options options;
    if (strncmp(network, "mlp:", 4) == 0) network_options.init_random = false; /* random by themselves */
    ss_dataset_options_init(&data_options);
    ss_objective_options_init(&options);
    options.loss = loss;
    options.device = device;
    options.precision = w->real;
    options.tf32 = w->tf32;
    options.vectors = 2;
    SS_TRY(ss_dataset_open(w->context, data, &data_options, &w->data));
    ss_network_fit_data(w->data, &network_options);
    SS_TRY(ss_network_open(w->context, network, &network_options, &w->network));
    SS_TRY(ss_objective_create(w->context, w->network, w->data, &options, &w->objective));
    w->b = ss_objective_backend(w->objective, w->real);
    w->padded = ss_objective_layout(w->objective)->padded;
fail:
    return status;
}

/* The program of a product with what memory there is, never captured by itself. */
static ss_status make_program(bench *w)
{
    ss_status       status = SS_OK;
    int64_t         bytes = w->padded * (int64_t)ss_real_size(w->real);
    ss_plan_request request = { .computation = SS_COMPUTE_PRODUCT,
                                .product = SS_PRODUCT_HESSIAN,
                                .lanes = 1 };
    SS_TRY(w->b->class->allocate(w->b, bytes, (void **)&w->v));
    SS_TRY(w->b->class->allocate(w->b, bytes, (void **)&w->hv));
    SS_TRY(
        w->b->class->random_normal(w->b, NULL, ss_objective_layout(w->objective), 1, SS_STREAM_TEST, w->v));
    request.budget = request.memory = w->b->class->memory_available(w->b) / 10 * 9;
    SS_TRY(ss_program_plan(w->context, w->b, ss_objective_problem(w->objective), &request, &w->program));
    w->program->captured_offset = -1;
fail:
    return status;
}

static ss_status run_steps(bench *w, double *queued, double *seconds)
{
    ss_status status = SS_OK;
    double    start = ss_seconds();
    SS_TRY(ss_program_run(w->program, 1, w->v, w->padded, w->hv, w->padded));
    *queued = ss_seconds() - start;
    SS_TRY(w->b->class->queue_synchronize(w->b, NULL));
    *seconds = ss_seconds() - start;
fail:
    return status;
}

static ss_status run_graph(bench *w, double *seconds)
{
    ss_status status = SS_OK;
    double    start = ss_seconds();
    SS_TRY(w->b->class->graph_launch(w->b, NULL, w->graph));
    SS_TRY(w->b->class->queue_synchronize(w->b, NULL));
    *seconds = ss_seconds() - start;
fail:
    return status;
}

/* Everything has run before, so that nothing is loaded or allocated in here. */
static ss_status capture(bench *w)
{
    if (!w->b->class->capture_begin) return SS_OK;
    ss_status status = w->b->class->capture_begin(w->b, NULL), ended;
    if (status != SS_OK) return status;
    status = ss_program_run(w->program, 1, w->v, w->padded, w->hv, w->padded);
    ended = w->b->class->capture_end(w->b, NULL, &w->graph);
    return status == SS_OK ? ended : status;
}

/* A body that the driver does not capture is measured without. */
static ss_status try_capture(bench *w)
{
    ss_status status = capture(w);
    if (status != SS_ERROR_DEVICE) return status;
    if (w->graph) w->b->class->graph_destroy(w->b, w->graph);
    w->graph = NULL;
    printf("launch overhead,nan,%%,not captured: %s\n", ss_context_message(w->context));
    ss_context_clear_message(w->context);
    return SS_OK;
}

static ss_status measure(bench *w, times *t)
{
    ss_status status = SS_OK;
    double    ignored;
    for (int i = 0; i < 2; i++) SS_TRY(run_steps(w, &ignored, &ignored));
    SS_TRY(try_capture(w));
    if (w->graph) SS_TRY(run_graph(w, &ignored));
    for (int i = 0; i < w->rounds; i++) {
        SS_TRY(run_steps(w, &t->queued[i], &t->steps[i]));
        if (w->graph) SS_TRY(run_graph(w, &t->graph[i]));
    }
fail:
    return status;
}

static void print(bench *w, times *t)
{
    const ss_plan *plan = &w->program->plan;
    double         steps = median(t->steps, w->rounds), queued = median(t->queued, w->rounds);
    printf("body,%.4g,TFLOP/s,%.4g flops in %.4g s; %lld steps; flop ratio to a gradient %.3f\n",
           1e-12 * plan->flops_body / steps, plan->flops_body, steps, (long long)w->program->body.count,
           plan->flops_body / plan->flops_gradient);
    printf("queued,%.4g,%%,of the body's time the host needs to queue it\n", 100 * queued / steps);
    if (!w->graph) return;
    double graph = median(t->graph, w->rounds);
    printf("launch overhead,%.3g,%%,%.4g s step by step; %.4g s as one graph\n", 100 * (1 - graph / steps),
           steps, graph);
}

static void close_all(bench *w)
{
    if (w->b) {
        if (w->graph) w->b->class->graph_destroy(w->b, w->graph);
        ss_program_destroy(w->program);
        w->b->class->release(w->b, w->v);
        w->b->class->release(w->b, w->hv);
    }
    ss_objective_destroy(w->objective);
    ss_network_close(w->network);
    ss_dataset_close(w->data);
}

int main(int argc, char **argv)
{
    ss_status    status = SS_ERROR_USAGE;
    bench        w = { .rounds = argc == 7 ? atoi(argv[6]) : 11 };
    static times t;
    if (ss_context_create(&w.context) != SS_OK) return 1;
    if ((argc == 6 || argc == 7) && w.rounds >= 1 && w.rounds <= MOST_ROUNDS) {
        w.real = strcmp(argv[2], "fp64") == 0 ? SS_FLOAT64 : SS_FLOAT32;
        w.tf32 = strcmp(argv[2], "tf32") == 0;
        status = open_all(&w, argv[1], argv[3], argv[4], argv[5]);
        if (status == SS_OK) status = make_program(&w);
        if (status == SS_OK) status = measure(&w, &t);
        if (status == SS_OK) print(&w, &t);
        close_all(&w);
    } else {
        fprintf(stderr, "usage: bench_body DEVICE fp64|fp32|tf32 NETWORK DATA LOSS [ROUNDS]\n");
    }
    if (*ss_context_message(w.context)) fprintf(stderr, "bench_body: %s\n", ss_context_message(w.context));
    ss_context_destroy(w.context);
    return ss_status_exit(status);
}
