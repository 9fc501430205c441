/* Memory, queues, events and bytes of the CPU backend. Device memory is host memory of the context's
 * allocator, so that it is counted and can be told to fail. */
#include "backend/cpu/memory.h"
#include "backend/cpu/cpu.h"

#include <string.h>

/* Queues and events have no state: everything has happened when a call returns. They are real objects all the
 * same, so that leaks show. */
struct ss_queue {
    ss_backend *backend; /* borrowed */
};
struct ss_event {
    ss_backend *backend; /* borrowed */
};

ss_status ss_cpu_allocate(ss_backend *b, int64_t bytes, void **memory)
{
    return ss_allocate(b->context, bytes, 1, memory);
}

void ss_cpu_release(ss_backend *b, void *memory)
{
    ss_free(b->context, memory);
}

int64_t ss_cpu_memory_available(ss_backend *b)
{
    (void)b;
    return ss_memory_available();
}

ss_status ss_cpu_queue_create(ss_backend *b, ss_queue **queue)
{
    ss_status status = SS_OK;
    *queue = NULL;
    SS_TRY(SS_NEW(b->context, queue));
    (*queue)->backend = b;
fail:
    return status;
}

void ss_cpu_queue_destroy(ss_backend *b, ss_queue *queue)
{
    ss_free(b->context, queue);
}

ss_status ss_cpu_queue_synchronize(ss_backend *b, ss_queue *queue)
{
    (void)b, (void)queue;
    return SS_OK;
}

ss_status ss_cpu_event_create(ss_backend *b, ss_event **event)
{
    ss_status status = SS_OK;
    *event = NULL;
    SS_TRY(SS_NEW(b->context, event));
    (*event)->backend = b;
fail:
    return status;
}

void ss_cpu_event_destroy(ss_backend *b, ss_event *event)
{
    ss_free(b->context, event);
}

ss_status ss_cpu_event_record(ss_backend *b, ss_event *event, ss_queue *queue)
{
    (void)b, (void)event, (void)queue;
    return SS_OK;
}

ss_status ss_cpu_queue_wait(ss_backend *b, ss_queue *queue, ss_event *event)
{
    (void)b, (void)queue, (void)event;
    return SS_OK;
}

ss_status ss_cpu_copy(ss_backend *b, ss_queue *q, void *to, const void *from, int64_t bytes)
{
    (void)b, (void)q;
    if (bytes > 0) memcpy(to, from, (size_t)bytes);
    return SS_OK;
}

ss_status ss_cpu_zero(ss_backend *b, ss_queue *q, void *memory, int64_t bytes)
{
    (void)b, (void)q;
    if (bytes > 0) memset(memory, 0, (size_t)bytes);
    return SS_OK;
}

void ss_fill_poison(void *memory, int64_t bytes, ss_real real)
{
    const uint32_t narrow = SS_POISON_32;
    const uint64_t wide = SS_POISON_64;
    const void    *pattern = real == SS_FLOAT32 ? (const void *)&narrow : (const void *)&wide;
    int64_t        step = (int64_t)ss_real_size(real);
    for (int64_t i = 0; i < bytes; i += step)
        memcpy((char *)memory + i, pattern, (size_t)ss_min64(step, bytes - i));
}

ss_status ss_cpu_poison(ss_backend *b, ss_queue *q, void *memory, int64_t bytes)
{
    (void)q;
    ss_fill_poison(memory, bytes, b->real);
    return SS_OK;
}

ss_status ss_cpu_convert(ss_backend *b, ss_queue *q, void *to, ss_real real, const void *from, ss_type type,
                         int64_t count, double scale, double shift)
{
    (void)q;
    int threads = ss_cpu_threads(b, count);
    if (real == SS_FLOAT32)
        ss_cpu_convert_32(threads, to, from, type, count, scale, shift);
    else
        ss_cpu_convert_64(threads, to, from, type, count, scale, shift);
    return SS_OK;
}
