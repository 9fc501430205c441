/* The context: everything that would otherwise be global state.
 *
 * It owns the error message, the log sink, the thread count, the interrupt flag, and the host allocator with
 * its statistics. A context is used by one thread at a time; several contexts may live side by side. */
#ifndef SADDLESCOPE_CONTEXT_H
#define SADDLESCOPE_CONTEXT_H

#include "saddlescope/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ss_context ss_context;

typedef enum ss_log_level { SS_LOG_ERROR, SS_LOG_WARNING, SS_LOG_INFO, SS_LOG_DEBUG } ss_log_level;

/* Receives one line without a newline. */
typedef void (*ss_log_function)(void *user, ss_log_level level, const char *line);

/* Receives the progress of long work: `done` of `total` units (total 0 = unknown), what is being done, and a
 * short remark such as the current extreme Ritz values (may be empty). */
typedef void (*ss_progress_function)(void *user, const char *what, double done, double total,
                                     const char *remark);

/* Creates a context with the host's defaults: all processors of the affinity mask and cgroup, warnings to
 * nowhere. Fails with SS_ERROR_MEMORY only; then *context is NULL. */
ss_status ss_context_create(ss_context **context);

/* Destroys the context; everything made with it must be gone. NULL is allowed. */
void ss_context_destroy(ss_context *context);

/* Message of the first error since the last ss_context_clear_message; "" if none. Owned by the context. */
const char *ss_context_message(const ss_context *context);
void        ss_context_clear_message(ss_context *context);

void ss_context_set_log(ss_context *context, ss_log_function function, void *user);
void ss_context_set_progress(ss_context *context, ss_progress_function function, void *user);

/* Threads used by the CPU backend; 0 = default. Returns SS_ERROR_USAGE for a negative number. */
ss_status ss_context_set_threads(ss_context *context, int threads);
int       ss_context_threads(const ss_context *context);

/* `flag` is polled between products; when it becomes non-zero the running computation finishes its product,
 * keeps its results and returns SS_ERROR_INTERRUPTED. May be set by a signal handler. NULL = never. */
void ss_context_set_interrupt(ss_context *context, const volatile int *flag);
bool ss_context_interrupted(const ss_context *context);

/* Memory obtained through the context, in bytes: now and at its highest since the last reset. The host's, and
 * what vectors and programs take of a device; not what a device's queues keep for themselves. */
int64_t ss_context_memory_now(const ss_context *context);
int64_t ss_context_memory_peak(const ss_context *context);
void    ss_context_memory_reset_peak(ss_context *context);

/* Test hook: the `nth` allocation from now (1 = the next) fails once; 0 switches the hook off. */
void ss_context_fail_allocation(ss_context *context, int64_t nth);
/* Number of allocations made so far. */
int64_t ss_context_allocations(const ss_context *context);

#ifdef __cplusplus
}
#endif
#endif
