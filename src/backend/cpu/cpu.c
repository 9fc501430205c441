/* The CPU backend: its two classes (float32, float64), opening and closing, threads and scratch. Queues run
 * everything at once; events are therefore always reached. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/blas.h"
#include "backend/cpu/memory.h"
#include "backend/cpu/processor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARALLEL_WORK 131072 /* elementary operations below which waking threads costs more than it gains */

int ss_cpu_threads(const ss_backend *b, int64_t work)
{
    if (work < PARALLEL_WORK) return 1;
    return (int)ss_min64(ss_context_threads(b->context), work / (PARALLEL_WORK / 4));
}

ss_status ss_cpu_scratch(ss_backend *b, int64_t count, double **scratch)
{
    ss_cpu_backend *cpu = ss_cpu(b);
    ss_status       status = SS_OK;
    if (count > cpu->scratch_count) {
        ss_free(b->context, cpu->scratch); /* not reallocated: the contents need not move */
        cpu->scratch = NULL;
        cpu->scratch_count = 0;
        SS_TRY(ss_allocate(b->context, count, sizeof(double), (void **)&cpu->scratch));
        cpu->scratch_count = count;
    }
fail:
    *scratch = cpu->scratch;
    return status;
}

const char *ss_cpu_level_name(ss_cpu_level level)
{
    static const char *const names[] = { "baseline", "avx2", "avx512" };
    return names[level];
}

ss_cpu_level ss_cpu_best_level(void)
{
    ss_processor processor;
    ss_processor_detect(&processor);
    ss_cpu_level best = processor.avx512 ? SS_CPU_AVX512 : processor.avx2 ? SS_CPU_AVX2 : SS_CPU_BASELINE;
    const char  *wish = getenv("SADDLESCOPE_SIMD");
    for (int level = 0; wish && level < (int)best; level++)
        if (strcmp(wish, ss_cpu_level_name((ss_cpu_level)level)) == 0) return (ss_cpu_level)level;
    return best;
}

static void cpu_close(ss_backend *b)
{
    ss_context *context = b->context;
    ss_free(context, ss_cpu(b)->scratch);
    ss_free(context, b);
}

static const char *cpu_describe(ss_backend *b)
{
    return ss_cpu(b)->line;
}

static void write_line(ss_cpu_backend *cpu)
{
    ss_processor processor;
    const char  *line, *warning;
    ss_processor_detect(&processor);
    ss_blas_describe(cpu->base.context, &line, &warning);
    snprintf(cpu->line, sizeof cpu->line, "%s, kernels %s, %d threads; %s",
             *processor.brand ? processor.brand : "CPU", ss_cpu_level_name(cpu->level),
             ss_context_threads(cpu->base.context), line);
}

#define SS_CPU_CLASS(bits)                                                                                   \
    {                                                                                                        \
        .name = "cpu", .space = SS_MEMORY_HOST, .close = cpu_close, .describe = cpu_describe,                \
        .allocate = ss_cpu_allocate, .release = ss_cpu_release, .memory_available = ss_cpu_memory_available, \
        .batching = SS_CPU_BATCHING, .allocate_host = ss_cpu_allocate, .release_host = ss_cpu_release,       \
        .queue_create = ss_cpu_queue_create, .queue_destroy = ss_cpu_queue_destroy,                          \
        .queue_synchronize = ss_cpu_queue_synchronize, .event_create = ss_cpu_event_create,                  \
        .event_destroy = ss_cpu_event_destroy, .event_record = ss_cpu_event_record,                          \
        .queue_wait = ss_cpu_queue_wait, .upload = ss_cpu_copy, .download = ss_cpu_copy,                     \
        .copy = ss_cpu_copy, .zero = ss_cpu_zero, .poison = ss_cpu_poison, .convert = ss_cpu_convert,        \
        .symmetric_eigen = ss_cpu_symmetric_eigen, SS_REAL_PRIMITIVES(SS_CPU_ENTRY_##bits)                   \
    }
#define SS_CPU_ENTRY_32(primitive, arguments) .primitive = ss_cpu_##primitive##_32,
#define SS_CPU_ENTRY_64(primitive, arguments) .primitive = ss_cpu_##primitive##_64,

static const ss_backend_class classes[] = {
    [SS_FLOAT32] = SS_CPU_CLASS(32), [SS_FLOAT64] = SS_CPU_CLASS(64)
};

ss_status ss_cpu_open(ss_context *context, ss_real real, ss_backend **backend)
{
    ss_status       status = SS_OK;
    ss_cpu_backend *cpu = NULL;
    *backend = NULL;
    ss_cpu_wait_quietly();
    SS_TRY(ss_blas_load(context));
    SS_TRY(ss_allocate(context, 1, sizeof *cpu, (void **)&cpu));
    cpu->base = (ss_backend){ .class = &classes[real], .context = context, .real = real, .name = "cpu" };
    cpu->level = ss_cpu_best_level();
    write_line(cpu);
    *backend = &cpu->base;
fail:
    return status;
}
