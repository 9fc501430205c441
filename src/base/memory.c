/* The one host allocator: zero-filled blocks aligned to 256 bytes, counted, able to fail at the Nth call.
 *
 * Layout of a block: the C library's block, a gap, a header that ends where the user's memory begins. The
 * user's memory ends where the C library's block ends, so that a sanitizer or valgrind still sees the first
 * byte written behind it. calloc rather than memset: pages that nobody touches are never materialised. */
#include "base/context_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SS_ALIGNMENT 256

typedef struct ss_header {
    void  *block; /* what free() takes */
    size_t bytes; /* handed out to the user */
} ss_header;

static ss_header *header_of(void *memory)
{
    return (ss_header *)(void *)((char *)memory - sizeof(ss_header));
}

void ss_count_memory(ss_context *context, int64_t bytes)
{
    int64_t now = atomic_fetch_add(&context->memory_now, bytes) + bytes;
    int64_t peak = atomic_load(&context->memory_peak);
    while (now > peak && !atomic_compare_exchange_weak(&context->memory_peak, &peak, now)) {
    }
}

bool ss_allocation_fails(ss_context *context)
{
    int64_t number = atomic_fetch_add(&context->allocations, 1) + 1;
    int64_t wanted = number;
    return atomic_compare_exchange_strong(&context->fail_at, &wanted, 0);
}

static ss_status refuse(ss_context *context, const char *reason, int64_t count, size_t size)
{
    ss_fail(context, SS_ERROR_MEMORY, "%s: %lld elements of %zu bytes (%.3g GiB)", reason, (long long)count,
            size, (double)count * (double)size / 0x1p30);
    return SS_ERROR_MEMORY;
}

ss_status ss_allocate(ss_context *context, int64_t count, size_t size, void **memory)
{
    size_t bytes = 0, total = 0;
    *memory = NULL;
    if (count < 0 || __builtin_mul_overflow((size_t)count, size, &bytes) ||
        __builtin_add_overflow(bytes, sizeof(ss_header) + SS_ALIGNMENT, &total) || total > PTRDIFF_MAX)
        return refuse(context, "more than the address space holds", count, size);
    char *block = ss_allocation_fails(context) ? NULL : calloc(1, total);
    if (block == NULL) return refuse(context, "no memory", count, size);

    uintptr_t first = (uintptr_t)block + sizeof(ss_header);
    char     *start = block + sizeof(ss_header) + (SS_ALIGNMENT - first % SS_ALIGNMENT) % SS_ALIGNMENT;
    *header_of(start) = (ss_header){ .block = block, .bytes = bytes };
    ss_count_memory(context, (int64_t)bytes);
    *memory = start;
    return SS_OK;
}

ss_status ss_reallocate(ss_context *context, int64_t count, size_t size, void **memory)
{
    void *larger = NULL;
    if (*memory != NULL && count >= 0 && size > 0 && (size_t)count <= header_of(*memory)->bytes / size)
        return SS_OK;
    ss_status status = ss_allocate(context, count, size, &larger);
    if (status != SS_OK) return status;
    if (*memory != NULL) {
        memcpy(larger, *memory, header_of(*memory)->bytes);
        ss_free(context, *memory);
    }
    *memory = larger;
    return SS_OK;
}

void ss_free(ss_context *context, void *memory)
{
    if (memory == NULL) return;
    ss_header *header = header_of(memory);
    ss_count_memory(context, -(int64_t)header->bytes);
    free(header->block);
}

ss_status ss_copy_string(ss_context *context, const char *text, char **copy)
{
    size_t    length = strlen(text);
    void     *memory = NULL;
    ss_status status = ss_allocate(context, (int64_t)length + 1, 1, &memory);
    if (status == SS_OK) memcpy(memory, text, length);
    *copy = memory;
    return status;
}

ss_status ss_format(ss_context *context, char **text, const char *format, ...)
{
    ss_status status = SS_OK;
    void     *memory = NULL;
    va_list   arguments;
    *text = NULL;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) SS_FAIL(context, SS_ERROR_INTERNAL, "text cannot be formatted: '%s'", format);
    SS_TRY(ss_allocate(context, (int64_t)length + 1, 1, &memory));
    va_start(arguments, format);
    vsnprintf(memory, (size_t)length + 1, format, arguments);
    va_end(arguments);
    *text = memory;
fail:
    return status;
}
