/* saddlescope bench: timings of loss, gradient and products, interleaved, in CSV. */
#include "backend/backend.h"
#include "cli/commands.h"
#include "cli/workload.h"

#include <stdlib.h>
#include <string.h>

typedef enum task { TASK_GRADIENT, TASK_LOSS, TASK_HVP, TASK_GGN, TASK_COUNT } task;
static const char *const task_names[TASK_COUNT] = { "gradient", "loss", "hvp", "ggn" };

typedef struct bench {
    ss_workload *workload;
    ss_operator  hessian, gauss_newton;
    ss_backend  *backend;
    void        *x, *y;               /* padded vectors, backend */
    double      *seconds[TASK_COUNT]; /* [rounds] */
} bench;

static ss_status prepare(bench *b)
{
    ss_status    status = SS_OK;
    ss_workload *w = b->workload;
    ss_real      real = w->options.precision;
    b->backend = ss_objective_backend(w->objective, real);
    const ss_layout *layout = ss_objective_layout(w->objective);
    int64_t          bytes = layout->padded * (int64_t)ss_real_size(real);
    SS_TRY(ss_objective_operator(w->objective, SS_PRODUCT_HESSIAN, real, NULL, NULL, &b->hessian));
    SS_TRY(ss_objective_operator(w->objective, SS_PRODUCT_GAUSS_NEWTON, real, NULL, NULL, &b->gauss_newton));
    SS_TRY(b->backend->class->allocate(b->backend, bytes, &b->x));
    SS_TRY(b->backend->class->allocate(b->backend, bytes, &b->y));
    SS_TRY(b->backend->class->random_normal(b->backend, NULL, layout,
                                            (uint64_t)ss_integer_of(w->settings, SEED), 0, b->x));
fail:
    return status;
}

static void release(bench *b)
{
    ss_operator_destroy(&b->hessian);
    ss_operator_destroy(&b->gauss_newton);
    if (b->backend != NULL) {
        b->backend->class->release(b->backend, b->x);
        b->backend->class->release(b->backend, b->y);
    }
    for (int t = 0; t < TASK_COUNT; t++) ss_free(b->workload->context, b->seconds[t]);
}

/* Runs one task to its end and measures it. */
static ss_status run(bench *b, task which, double *seconds)
{
    ss_status     status = SS_OK;
    ss_workload  *w = b->workload;
    ss_loss_value value;
    int64_t       padded = b->hessian.layout->padded;
    double        start = ss_seconds();
    switch (which) {
    case TASK_GRADIENT:
        SS_TRY(ss_objective_gradient(w->objective, w->options.precision, NULL, NULL, b->y, &value));
        break;
    case TASK_LOSS:
        SS_TRY(ss_objective_loss(w->objective, w->options.precision, NULL, NULL, &value, NULL));
        break;
    case TASK_HVP: SS_TRY(ss_operator_apply(&b->hessian, 1, b->x, padded, b->y, padded)); break;
    case TASK_GGN: SS_TRY(ss_operator_apply(&b->gauss_newton, 1, b->x, padded, b->y, padded)); break;
    case TASK_COUNT: break;
    }
    SS_TRY(b->backend->class->queue_synchronize(b->backend, NULL));
    *seconds = ss_seconds() - start;
fail:
    return status;
}

/* ---- CSV ------------------------------------------------------------------------------------------------
 */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_row(ss_text *text, bench *b, task which, int64_t rounds, double gradient)
{
    const ss_run *run = &b->workload->run;
    double       *s = b->seconds[which];
    double        floor_ratio = 0, unit = run->working.flops_gradient;
    ss_plan       plan;
    ss_product    product = which == TASK_GGN ? SS_PRODUCT_GAUSS_NEWTON : SS_PRODUCT_HESSIAN;
    if ((which == TASK_HVP || which == TASK_GGN) && unit > 0 &&
        ss_objective_plan(b->workload->objective, product, b->workload->options.precision, NULL, &plan) ==
            SS_OK)
        floor_ratio = plan.flops_body / unit;
    ss_text_print(text, "%s,%s,%s,%d,%lld,%lld,%lld,%lld,%.9f,%.9f,%.9f,%.4f,", task_names[which],
                  run->device, run->precision, run->threads, (long long)run->facts.n,
                  (long long)run->facts.samples, (long long)run->working.micro_batch, (long long)rounds,
                  s[rounds / 2], s[rounds / 4], s[rounds - 1 - rounds / 4], s[rounds / 2] / gradient);
    if (floor_ratio > 0)
        ss_text_print(text, "%.4f\n", floor_ratio);
    else
        ss_text_print(text, "\n");
}

static ss_status measure(bench *b, ss_text *text)
{
    ss_status   status = SS_OK;
    ss_context *context = b->workload->context;
    int64_t     rounds = ss_integer_of(b->workload->settings, REPEAT);
    double      warm;
    for (int t = 0; t < TASK_COUNT; t++) {
        SS_TRY(SS_NEW_ARRAY(context, rounds, &b->seconds[t]));
        SS_TRY(run(b, (task)t, &warm)); /* first touch: plans, memory, caches */
    }
    for (int64_t i = 0; i < rounds; i++)
        for (int t = 0; t < TASK_COUNT; t++) {
            SS_TRY(run(b, (task)t, &b->seconds[t][i]));
            ss_progress(context, "rounds", (double)i, (double)rounds, task_names[t]);
            if (ss_context_interrupted(context))
                SS_FAIL(context, SS_ERROR_INTERRUPTED, "stopped by a signal");
        }
    for (int t = 0; t < TASK_COUNT; t++) qsort(b->seconds[t], (size_t)rounds, sizeof(double), ascending);
    ss_text_print(
        text, "what,device,precision,threads,parameters,samples,micro_batch,rounds,median_s,quartile_low_s,"
              "quartile_high_s,ratio_to_gradient,flop_ratio_to_gradient\n");
    for (int t = 0; t < TASK_COUNT; t++)
        print_row(text, b, (task)t, rounds, b->seconds[TASK_GRADIENT][rounds / 2]);
fail:
    return status;
}

/* ---- Interactive ----------------------------------------------------------------------------------------
 */

static ss_status serve(bench *b)
{
    ss_status status = SS_OK;
    char      line[64];
    double    seconds = 0;
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        int which = 0;
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "quit") == 0) break;
        while (which < TASK_COUNT && strcmp(line, task_names[which]) != 0) which++;
        if (which == TASK_COUNT)
            SS_FAIL(b->workload->context, SS_ERROR_USAGE,
                    "standard input: '%s' is none of gradient, loss, hvp, ggn, quit", line);
        SS_TRY(run(b, (task)which, &seconds));
        printf("%.9f\n", seconds);
        if (fflush(stdout) != 0)
            SS_FAIL(b->workload->context, SS_ERROR_OUTPUT, "standard output cannot be written");
    }
fail:
    return status;
}

ss_status ss_command_bench(ss_context *context, const ss_settings *settings, int *exit_status)
{
    ss_status   status = SS_OK;
    ss_workload workload;
    bench       b = { .workload = &workload };
    ss_text     text;

    (void)exit_status;
    ss_text_init(context, &text);
    SS_TRY(ss_workload_open(context, settings, true, &workload));
    SS_TRY(prepare(&b));
    if (ss_given(settings, INTERACTIVE)) {
        SS_TRY(serve(&b));
    } else {
        SS_TRY(measure(&b, &text));
        SS_TRY(ss_workload_print(&workload, &text, ss_text_of(settings, OUTPUT)));
    }
fail:
    release(&b);
    ss_text_release(&text);
    ss_workload_close(&workload);
    return status;
}
