/* The context: creation, the first error's message, threads, interrupt flag, readings of the allocator. */
#include "base/context_private.h"
#include "base/host.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

ss_status ss_context_create(ss_context **context)
{
    /* The one block that cannot come from the context's own allocator. */
    *context = calloc(1, sizeof **context);
    if (*context == NULL) return SS_ERROR_MEMORY;
    (*context)->default_threads = ss_host_processors("");
    return SS_OK;
}

void ss_context_destroy(ss_context *context)
{
    free(context);
}

const char *ss_context_message(const ss_context *context)
{
    return context->message;
}

void ss_context_clear_message(ss_context *context)
{
    context->message[0] = '\0';
}

void ss_context_set_log(ss_context *context, ss_log_function function, void *user)
{
    context->log = function;
    context->log_user = user;
}

void ss_context_set_progress(ss_context *context, ss_progress_function function, void *user)
{
    context->progress = function;
    context->progress_user = user;
}

ss_status ss_context_set_threads(ss_context *context, int threads)
{
    if (threads < 0)
        return ss_fail(context, SS_ERROR_USAGE, "number of threads must not be negative, found %d", threads);
    context->threads = threads;
    return SS_OK;
}

int ss_context_threads(const ss_context *context)
{
    return context->threads > 0 ? context->threads : context->default_threads;
}

void ss_context_set_interrupt(ss_context *context, const volatile int *flag)
{
    context->interrupt = flag;
}

bool ss_context_interrupted(const ss_context *context)
{
    return context->interrupt != NULL && *context->interrupt != 0;
}

int64_t ss_context_memory_now(const ss_context *context)
{
    return atomic_load(&context->memory_now);
}

int64_t ss_context_memory_peak(const ss_context *context)
{
    return atomic_load(&context->memory_peak);
}

void ss_context_memory_reset_peak(ss_context *context)
{
    atomic_store(&context->memory_peak, atomic_load(&context->memory_now));
}

void ss_context_fail_allocation(ss_context *context, int64_t nth)
{
    atomic_store(&context->fail_at, nth > 0 ? atomic_load(&context->allocations) + nth : 0);
}

int64_t ss_context_allocations(const ss_context *context)
{
    return atomic_load(&context->allocations);
}

ss_status ss_fail(ss_context *context, ss_status code, const char *format, ...)
{
    if (context != NULL && context->message[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(context->message, sizeof context->message, format, arguments);
        va_end(arguments);
    }
    return code;
}
