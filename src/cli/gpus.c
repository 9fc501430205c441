/* The table of GPUs. Memory: what the driver leaves of it. Rates: 0.7 of the vendor's peak for dense matrix
 * products (tensor cores for float64 and TF32), 0.8 of the peak for memory and bus: assumptions that `info`
 * states beside its estimates. */
#include "cli/gpus.h"
#include "cli/options.h"

#include <math.h>
#include <string.h>

#define ASSUMED       0.7e12 /* flops per second of a peak of one TFLOP/s */
#define ASSUMED_BYTES 0.8e9  /* bytes per second of a peak of one GB/s */

/* name, GiB, peak TFLOP/s in float64, float32, TF32, peak GB/s of the memory, of the bus in one direction */
/* clang-format off */
#define SS_GPU_TABLE(row) \
    row("h100-80g", 78.8, 67, 67, 495, 3350, 64) \
    row("h200", 139.8, 67, 67, 495, 4800, 64) \
    row("a100-40g", 39.2, 19.5, 19.5, 156, 1555, 32) \
    row("a100-80g", 78.8, 19.5, 19.5, 156, 2039, 32)
/* clang-format on */

ss_status ss_gpu_find(ss_context *context, const char *name, ss_gpu *gpu)
{
#define SS_GPU_ROW(known, gib, fp64, fp32, tf32, memory, bus)                                                \
    { known,          (int64_t)(gib * 0x1p30), fp64 * ASSUMED,     fp32 * ASSUMED,                           \
      tf32 * ASSUMED, memory * ASSUMED_BYTES,  bus * ASSUMED_BYTES },
    static const ss_gpu gpus[] = { SS_GPU_TABLE(SS_GPU_ROW) };
#undef SS_GPU_ROW
#define SS_GPU_NAME(known, gib, fp64, fp32, tf32, memory, bus) known ", "
    static const char names[] = SS_GPU_TABLE(SS_GPU_NAME);
#undef SS_GPU_NAME
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++)
        if (strcmp(name, gpus[i].name) == 0) {
            *gpu = gpus[i];
            return SS_OK;
        }
    *gpu = (ss_gpu){ .fp64 = NAN, .fp32 = NAN, .tf32 = NAN, .memory_rate = INFINITY, .link_rate = INFINITY };
    if (ss_parse_size(context, "--for", name, &gpu->memory) == SS_OK && gpu->memory >= 1000000) return SS_OK;
    ss_context_clear_message(context);
    return ss_fail(context, SS_ERROR_USAGE, "--for: '%s' is none of %sa memory size like 24G", name, names);
}
