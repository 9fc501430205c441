/* Launching: the checks of a launch, its argument pointers, the order of blocks and threads, function
 * attributes. */
#include "private.h"
#include "emulator_kernel.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Permutations: i -> (i * step + shift) mod n with step prime to n ---- */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

emu_order emu_order_make(uint64_t n, ss_emulator_order kind, uint64_t seed)
{
    emu_order order = { .n = n, .kind = kind };
    if (kind == SS_EMULATOR_SHUFFLED && n > 1) {
        order.shift = mix(seed) % n;
        order.step = mix(seed + 1) % n;
        while (order.step == 0 || divisor(order.step, n) != 1) order.step = (order.step + 1) % n;
    }
    return order;
}

uint64_t emu_order_at(const emu_order *order, uint64_t i)
{
    if (order->kind == SS_EMULATOR_REVERSE) return order->n - 1 - i;
    if (order->kind != SS_EMULATOR_SHUFFLED || order->n < 2) return i;
    if (order->n < UINT32_MAX) return (i * order->step + order->shift) % order->n;
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)(((wide)i * order->step + order->shift) % order->n);
}

/* ---- Attributes of kernels ---- */
#define MOST_FUNCTIONS 1024
static struct {
    const void *function;
    int         dynamic_shared;
} functions[MOST_FUNCTIONS];
static int n_functions;

static int *dynamic_limit(const void *function)
{
    for (int i = 0; i < n_functions; i++)
        if (functions[i].function == function) return &functions[i].dynamic_shared;
    if (n_functions == MOST_FUNCTIONS) return NULL;
    functions[n_functions].function = function;
    functions[n_functions].dynamic_shared = (int)EMU_STATIC_SHARED;
    return &functions[n_functions++].dynamic_shared;
}

size_t emu_shared_limit(const void *function)
{
    const int *limit = dynamic_limit(function);
    return limit && *limit > (int)EMU_STATIC_SHARED ? EMU_MOST_SHARED : EMU_STATIC_SHARED;
}

cudaError_t cudaFuncSetAttribute(const void *func, enum cudaFuncAttribute attr, int value)
{
    cudaError_t error = emu_enter("cudaFuncSetAttribute", cudaErrorInvalidDeviceFunction, false);
    if (error) return error;
    int *limit = dynamic_limit(func);
    if (!func || !limit)
        error = cudaErrorInvalidDeviceFunction;
    else if (attr == cudaFuncAttributeMaxDynamicSharedMemorySize && value >= 0 &&
             value <= (int)EMU_MOST_SHARED)
        *limit = value;
    else if (attr != cudaFuncAttributePreferredSharedMemoryCarveout || value < -1 || value > 100)
        error = cudaErrorInvalidValue;
    return emu_leave(error);
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attr, const void *func)
{
    cudaError_t error = emu_enter("cudaFuncGetAttributes", cudaErrorInvalidDeviceFunction, false);
    if (error) return error;
    int *limit = dynamic_limit(func);
    if (!attr || !func || !limit) return emu_leave(cudaErrorInvalidDeviceFunction);
    memset(attr, 0, sizeof *attr);
    attr->maxThreadsPerBlock = EMU_MOST_THREADS;
    attr->numRegs = 32;
    attr->ptxVersion = attr->binaryVersion = 90;
    attr->maxDynamicSharedSizeBytes = *limit;
    return emu_leave(cudaSuccess);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *numBlocks, const void *func, int blockSize,
                                                          size_t dynamicSMemSize)
{
    cudaError_t error = emu_enter("cudaOccupancyMaxActiveBlocksPerMultiprocessor", cudaErrorUnknown, false);
    if (error) return error;
    if (!numBlocks || !func || blockSize < 1) return emu_leave(cudaErrorInvalidValue);
    int    warps = (blockSize + EMU_WARP - 1) / EMU_WARP, by_threads = 2048 / (warps * EMU_WARP);
    size_t by_shared = dynamicSMemSize ? 233472 / (dynamicSMemSize + 1024) : 32;
    *numBlocks = blockSize > EMU_MOST_THREADS || dynamicSMemSize > EMU_MOST_SHARED ? 0
                 : by_shared < (size_t)by_threads                                  ? (int)by_shared
                 : by_threads < 32                                                 ? by_threads
                                                                                   : 32;
    return emu_leave(cudaSuccess);
}

/* ---- Argument pointers ----
 * A word of the parameters that is an address in an allocation becomes its alias while the kernel runs. One
 * that is an address of the host (heap, stack, static data) is a fault, except in pinned memory, which CUDA
 * maps. Words of structures may be two small numbers, or padding that holds an old pointer: these count as
 * host pointers only when padding has been cleared, or when they do not look like padding and
 * AddressSanitizer knows the object they point into. */
static bool points_to_host(const ss_emulator_word *word)
{
    uint64_t value = *word->at;
    if (value >> 47 || value < UINT64_C(1) << 32 || emu_pinned((void *)(uintptr_t)value, 0)) return false;
    if (word->pointer) return emu_host_mapped((uintptr_t)value);
    /* Behind a bool or a small number there may be the rest of an old pointer. */
    if (!word->cleared && ((value & 0xff) <= 1 || value % 4 || (uint32_t)value < 65536)) return false;
#if SS_EMULATOR_ASAN
    char        name[64];
    void       *region;
    size_t      bytes = 0;
    const char *kind = __asan_locate_address((void *)(uintptr_t)value, name, sizeof name, &region, &bytes);
    return kind && (!strcmp(kind, "heap") || !strcmp(kind, "stack") || !strcmp(kind, "global"));
#else
    return word->cleared && emu_host_mapped((uintptr_t)value);
#endif
}

static bool translate(const ss_emulator_kernel *k)
{
    for (size_t i = 0; i < k->n_words; i++) {
        uint64_t              value = *k->words[i].at;
        const emu_allocation *a = emu_memory_find((uintptr_t)value);
        if (a) {
            *k->words[i].at = (uint64_t)(uintptr_t)emu_memory_alias((void *)a->begin, 0) + (value - a->begin);
        } else if (emu_memory_contains((uintptr_t)value) && k->words[i].pointer) {
            char place[256];
            emu_memory_describe((uintptr_t)value, place, sizeof place);
            emu_report("kernel %s (%s:%d) is given the address %#" PRIx64 ", %s", k->name, k->file, k->line,
                       value, place);
            return false;
        } else if (!emu_memory_contains((uintptr_t)value) && points_to_host(&k->words[i])) {
            emu_report("kernel %s (%s:%d) is given a host pointer, %#" PRIx64
                       ", as 8-byte word %zu of its parameters",
                       k->name, k->file, k->line, value, i + 1);
            return false;
        }
    }
    return true;
}

static bool restore(const ss_emulator_kernel *k, const uint64_t *originals)
{
    bool whole = true;
    char after[300];
    snprintf(after, sizeof after, "kernel %s (%s:%d)", k->name, k->file, k->line);
    for (size_t i = 0; i < k->n_words; i++) {
        if (*k->words[i].at == originals[i]) continue;
        *k->words[i].at = originals[i];
        whole = emu_memory_guard((uintptr_t)originals[i], after) && whole;
    }
    return whole;
}

/* ---- Running ---- */
static uint64_t launches;

static void choose_order(emu_run *run)
{
    const emu_settings *set = emu_set();
    uint64_t            turn = launches++;
    run->seed = mix(set->seed * UINT64_C(0x100000001b3) + turn);
    run->order = set->order;
    if (set->order == SS_EMULATOR_ROTATE)
        run->order = turn % 4 == 0   ? SS_EMULATOR_FORWARD
                     : turn % 4 == 1 ? SS_EMULATOR_REVERSE
                                     : SS_EMULATOR_SHUFFLED;
}

static bool run_blocks(const ss_emulator_kernel *k)
{
    emu_run run = { .kernel = k };
    choose_order(&run);
    uint64_t  n = (uint64_t)k->grid.x * k->grid.y * k->grid.z;
    emu_order blocks = emu_order_make(n, run.order, run.seed);
    emu_order threads =
        emu_order_make((uint64_t)k->block.x * k->block.y * k->block.z, run.order, run.seed + 2);
    emu_block_order(&threads);
    gridDim = k->grid;
    blockDim = k->block;
    emu_access.arguments = (uintptr_t)k->arguments;
    emu_access.arguments_bytes = k->arguments_bytes;
    emu_counts.launches++;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t number = emu_order_at(&blocks, i);
        blockIdx.x = (unsigned)(number % k->grid.x);
        blockIdx.y = (unsigned)(number / k->grid.x % k->grid.y);
        blockIdx.z = (unsigned)(number / k->grid.x / k->grid.y);
        if (!emu_block_run(&run)) return false;
    }
    return true;
}

static void run_kernel(void *data)
{
    const ss_emulator_kernel *k = data;
    uint64_t                  few[64], *originals = few;
    if (k->n_words > 64) originals = emu_allocate(k->n_words * sizeof *originals);
    bool whole = true, ran = false;
    for (size_t i = 0; i < k->n_words; i++) originals[i] = *k->words[i].at;
    if (!translate(k)) {
        emu_stick(cudaErrorIllegalAddress);
    } else {
        ran = run_blocks(k);
        if (!ran) emu_stick(cudaErrorLaunchFailure);
    }
    whole = restore(k, originals);
    if (!whole) emu_stick(cudaErrorIllegalAddress);
    if (originals != few) free(originals);
}

static void release_kernel(void *data)
{
    ss_emulator_kernel *k = data;
    k->release(k->arguments);
    free(k->words);
    free(k);
}

ss_emulator_word *ss_emulator_word_list(size_t count)
{
    return emu_allocate((count ? count : 1) * sizeof(ss_emulator_word));
}

static cudaError_t check(const ss_emulator_kernel *k)
{
    dim3 g = k->grid, b = k->block;
    if (!g.x || !g.y || !g.z || !b.x || !b.y || !b.z || g.x > INT32_MAX || g.y > 65535 || g.z > 65535)
        return cudaErrorInvalidConfiguration;
    if (b.x > 1024 || b.y > 1024 || b.z > 64 || (uint64_t)b.x * b.y * b.z > EMU_MOST_THREADS)
        return cudaErrorInvalidConfiguration;
    const int *limit = dynamic_limit(k->function);
    return k->shared > (size_t)(limit ? *limit : (int)EMU_STATIC_SHARED) ? cudaErrorInvalidValue
                                                                         : cudaSuccess;
}

void ss_emulator_launch(const ss_emulator_kernel *kernel, cudaStream_t stream)
{
    ss_emulator_kernel *own = emu_allocate(sizeof *own);
    *own = *kernel;
    cudaError_t error = emu_enter("launch", cudaErrorLaunchOutOfResources, false);
    if (error) {
        emu_lock(); /* emu_enter has released it */
    } else {
        error = emu_stream_launches(stream) ? check(own) : cudaErrorInvalidResourceHandle;
    }
    if (!error) {
        emu_work *work = emu_work_make(own->name, run_kernel, release_kernel, own);
        error = emu_enqueue(stream, work);
    } else {
        release_kernel(own);
        own = NULL;
    }
    emu_launch_error(error, kernel->name, kernel->file, kernel->line);
    emu_unlock();
}
