/* The class of cpu-check: bytes, queues, opening and closing. Bytes go to the shadows after a check of their
 * range; queues and events are those of the inner backend. */
#include "backend/check/check.h"
#include "backend/cpu/memory.h"

#include <stdio.h>
#include <string.h>

static ss_backend *inner_of(ss_backend *b)
{
    return ss_check(b)->inner;
}

static void check_close(ss_backend *b)
{
    ss_context *context = b->context;
    ss_backend_close(inner_of(b));
    ss_free(context, b);
}

static const char *check_describe(ss_backend *b)
{
    return ss_check(b)->line;
}

static ss_status check_allocate(ss_backend *b, int64_t bytes, void **memory)
{
    return ss_check_space_allocate(b->context, bytes, b->real, memory);
}

static void check_release(ss_backend *b, void *memory)
{
    if (!memory || ss_check_space_release(b->context, memory)) return;
    ss_check(b)->bad_release = true;
    ss_log(b->context, SS_LOG_ERROR, "cpu-check: released memory that is not allocated");
}

static int64_t check_memory_available(ss_backend *b)
{
    return inner_of(b)->class->memory_available(inner_of(b));
}

static ss_status check_allocate_host(ss_backend *b, int64_t bytes, void **memory)
{
    return inner_of(b)->class->allocate_host(inner_of(b), bytes, memory);
}

static void check_release_host(ss_backend *b, void *memory)
{
    inner_of(b)->class->release_host(inner_of(b), memory);
}

static ss_status check_queue_create(ss_backend *b, ss_queue **queue)
{
    return inner_of(b)->class->queue_create(inner_of(b), queue);
}

static void check_queue_destroy(ss_backend *b, ss_queue *queue)
{
    inner_of(b)->class->queue_destroy(inner_of(b), queue);
}

static ss_status check_queue_synchronize(ss_backend *b, ss_queue *queue)
{
    return inner_of(b)->class->queue_synchronize(inner_of(b), queue);
}

static ss_status check_event_create(ss_backend *b, ss_event **event)
{
    return inner_of(b)->class->event_create(inner_of(b), event);
}

static void check_event_destroy(ss_backend *b, ss_event *event)
{
    inner_of(b)->class->event_destroy(inner_of(b), event);
}

static ss_status check_event_record(ss_backend *b, ss_event *event, ss_queue *queue)
{
    return inner_of(b)->class->event_record(inner_of(b), event, queue);
}

static ss_status check_queue_wait(ss_backend *b, ss_queue *queue, ss_event *event)
{
    return inner_of(b)->class->queue_wait(inner_of(b), queue, event);
}

/* ---- Bytes ---- */

/* The shadow of a device range, or NULL with a message. */
static char *range(ss_backend *b, const char *primitive, const char *operand, const void *address,
                   int64_t bytes)
{
    char *shadow = ss_check_space_find(address, bytes);
    if (shadow) return shadow;
    const char *what =
        ss_check_space_holds(address) ? "does not lie in one live allocation" : "is not in device memory";
    ss_fail(b->context, SS_ERROR_INTERNAL, "cpu-check: %s: operand %s %s", primitive, operand, what);
    return NULL;
}

static ss_status host_side(ss_backend *b, const char *primitive, const char *operand, const void *address)
{
    if (!ss_check_space_holds(address)) return SS_OK;
    return ss_fail(b->context, SS_ERROR_INTERNAL, "cpu-check: %s: operand %s is not in host memory",
                   primitive, operand);
}

static ss_status check_upload(ss_backend *b, ss_queue *q, void *to_device, const void *from_host,
                              int64_t bytes)
{
    ss_status status = SS_OK;
    (void)q;
    if (bytes == 0) return SS_OK;
    char *to = range(b, "upload", "to_device", to_device, bytes);
    if (!to) return SS_ERROR_INTERNAL;
    SS_TRY(host_side(b, "upload", "from_host", from_host));
    memcpy(to, from_host, (size_t)bytes);
fail:
    return status;
}

static ss_status check_download(ss_backend *b, ss_queue *q, void *to_host, const void *from_device,
                                int64_t bytes)
{
    ss_status status = SS_OK;
    (void)q;
    if (bytes == 0) return SS_OK;
    const char *from = range(b, "download", "from_device", from_device, bytes);
    if (!from) return SS_ERROR_INTERNAL;
    SS_TRY(host_side(b, "download", "to_host", to_host));
    memcpy(to_host, from, (size_t)bytes);
fail:
    return status;
}

static ss_status check_copy(ss_backend *b, ss_queue *q, void *to, const void *from, int64_t bytes)
{
    (void)q;
    if (bytes == 0) return SS_OK;
    char       *target = range(b, "copy", "to", to, bytes);
    const char *source = target ? range(b, "copy", "from", from, bytes) : NULL;
    if (!source) return SS_ERROR_INTERNAL;
    if (target < source + bytes && source < target + bytes)
        return ss_fail(b->context, SS_ERROR_INTERNAL, "cpu-check: copy: operand to overlaps operand from");
    memcpy(target, source, (size_t)bytes);
    return SS_OK;
}

static ss_status check_zero(ss_backend *b, ss_queue *q, void *memory, int64_t bytes)
{
    (void)q;
    if (bytes == 0) return SS_OK;
    char *to = range(b, "zero", "memory", memory, bytes);
    if (!to) return SS_ERROR_INTERNAL;
    memset(to, 0, (size_t)bytes);
    return SS_OK;
}

static ss_status check_poison(ss_backend *b, ss_queue *q, void *memory, int64_t bytes)
{
    (void)q;
    if (bytes == 0) return SS_OK;
    char *to = range(b, "poison", "memory", memory, bytes);
    if (!to) return SS_ERROR_INTERNAL;
    ss_fill_poison(to, bytes, b->real);
    return SS_OK;
}

#define SS_CHECK_ENTRY(primitive, arguments) .primitive = ss_checked_##primitive,
static const ss_backend_class check_class = { .name = "cpu-check",
                                              .space = SS_MEMORY_DEVICE,
                                              .batching = SS_CPU_BATCHING,
                                              .close = check_close,
                                              .describe = check_describe,
                                              .allocate = check_allocate,
                                              .release = check_release,
                                              .memory_available = check_memory_available,
                                              .allocate_host = check_allocate_host,
                                              .release_host = check_release_host,
                                              .queue_create = check_queue_create,
                                              .queue_destroy = check_queue_destroy,
                                              .queue_synchronize = check_queue_synchronize,
                                              .event_create = check_event_create,
                                              .event_destroy = check_event_destroy,
                                              .event_record = check_event_record,
                                              .queue_wait = check_queue_wait,
                                              .upload = check_upload,
                                              .download = check_download,
                                              .copy = check_copy,
                                              .zero = check_zero,
                                              .poison = check_poison,
                                              .convert = ss_checked_convert,
                                              .symmetric_eigen = ss_checked_symmetric_eigen,
                                              SS_REAL_PRIMITIVES(SS_CHECK_ENTRY) };

ss_status ss_check_open(ss_context *context, ss_real real, ss_backend **backend)
{
    ss_status         status = SS_OK;
    ss_check_backend *check = NULL;
    *backend = NULL;
    SS_TRY(ss_check_space_open(context));
    SS_TRY(ss_allocate(context, 1, sizeof *check, (void **)&check));
    SS_TRY(ss_cpu_open(context, real, &check->inner));
    check->base =
        (ss_backend){ .class = &check_class, .context = context, .real = real, .name = "cpu-check" };
    snprintf(check->line, sizeof check->line, "checking device over %s",
             check->inner->class->describe(check->inner));
    *backend = &check->base;
    return SS_OK;
fail:
    ss_free(context, check);
    return status;
}
