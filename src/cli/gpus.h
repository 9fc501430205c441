/* GPUs that `info --for` plans for without having one. */
#ifndef SS_CLI_GPUS_H
#define SS_CLI_GPUS_H

#include "base/base.h"

typedef struct ss_gpu {
    const char *name;             /* as --for takes it; NULL: only the memory is known */
    int64_t     memory;           /* bytes that a program can have of it */
    double      fp64, fp32, tf32; /* assumed flops per second of large matrix products; NaN = not known */
    double      memory_rate;      /* assumed bytes per second of its memory; infinite = not known */
    double      link_rate;        /* ... of copies between host and device */
} ss_gpu;

/* A GPU of the table, or a memory size like 24G. SS_ERROR_USAGE, with the names, otherwise. */
ss_status ss_gpu_find(ss_context *context, const char *name, ss_gpu *gpu);

#endif
