/* What a context holds; seen by src/base alone. */
#ifndef SS_BASE_CONTEXT_PRIVATE_H
#define SS_BASE_CONTEXT_PRIVATE_H

#include "base/base.h"

#include <stdatomic.h>

#define SS_MESSAGE_BYTES 2048

struct ss_context {
    char                 message[SS_MESSAGE_BYTES]; /* first error since the last clear; "" if none */
    ss_log_function      log;                       /* NULL = nowhere */
    void                *log_user;                  /* borrowed */
    ss_progress_function progress;                  /* NULL = nowhere */
    void                *progress_user;             /* borrowed */
    int                  threads;                   /* as asked for; 0 = default_threads */
    int                  default_threads;           /* processors of affinity mask and cgroup, >= 1 */
    const volatile int  *interrupt;                 /* borrowed flag, NULL = never */

    /* Statistics of the allocator: atomic, because operators may allocate inside a parallel region. */
    _Atomic int64_t memory_now;  /* bytes handed out */
    _Atomic int64_t memory_peak; /* bytes, highest memory_now since the last reset */
    _Atomic int64_t allocations; /* calls that asked for memory */
    _Atomic int64_t fail_at;     /* value of `allocations` at which one call fails; 0 = never */
};

#endif
