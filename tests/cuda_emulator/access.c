/* Every access of a kernel, checked (SS_CUDA_EMULATOR_ACCESS).
 *
 * The .cu files are compiled with -fsanitize=thread, which only makes the compiler call a function before
 * every load and store; the functions are those below, not the sanitizer's. An access inside a kernel must
 * lie in an allocation of the device, in one of the block's shared arrays, on the thread's stack, in the
 * kernel's parameters or in constant data: so a host pointer is caught wherever it came from, and an overrun
 * to the byte.
 *
 * A device's loads and stores need the alignment of their size, which the host's do not: one that the
 * compiler took for aligned and is not is a fault.
 *
 * Shared memory is watched for races as well: two accesses of one byte, one of them a write, by threads with
 * no barrier between (no __syncthreads; or, in one warp, no __syncwarp: a shuffle orders no memory). */
#define _GNU_SOURCE
#include "private.h"

#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

emu_access_state emu_access;

#ifdef SS_EMULATOR_ACCESS

/* ---- Constant data of the program and its libraries ---- */
#define MOST_SEGMENTS 512
static struct {
    uintptr_t begin, end;
} constant[MOST_SEGMENTS];
static int n_constant;

static int list_segments(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    (void)data;
    for (int i = 0; i < info->dlpi_phnum && n_constant < MOST_SEGMENTS; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if ((p->p_type != PT_LOAD || p->p_flags & PF_W) && p->p_type != PT_GNU_RELRO) continue;
        constant[n_constant].begin = info->dlpi_addr + p->p_vaddr;
        constant[n_constant++].end = info->dlpi_addr + p->p_vaddr + p->p_memsz;
    }
    return 0;
}

static bool is_constant(uintptr_t address, size_t bytes)
{
    if (!n_constant) dl_iterate_phdr(list_segments, NULL);
    for (int i = 0; i < n_constant; i++)
        if (address >= constant[i].begin && address + bytes <= constant[i].end) return true;
    return false;
}

/* ---- Races in shared memory ---- */
typedef struct cell { /* the last accesses of one byte; a time is the number of barriers, then of __syncwarp
                       */
    uint64_t written, read;
    uint16_t writer, reader; /* number of the thread + 1 */
    bool     several_lanes;  /* more threads of the reader's warp have read it since */
    bool     several_warps;
} cell;
static cell *cells;

#define WARP_OF(thread) ((thread) / EMU_WARP)

/* Happened at `time` by `other`, and nothing orders it before the running thread's present. */
static bool unordered(uint64_t time, int other, uint64_t now, int self)
{
    if (time >> 16 != now >> 16) return false;
    return WARP_OF(other) != WARP_OF(self) || time == now;
}

static void race(uintptr_t address, bool write, int other, const char *did)
{
    char text[400], who[64] = "another thread";
    if (other >= 0) emu_thread_text(other, who, sizeof who);
    snprintf(text, sizeof text,
             "race in shared memory ('%s'): it %s a byte that %s %s, with no barrier between",
             emu_shared_name(address), write ? "writes" : "reads", who, did);
    emu_fault(text);
}

static void watch(uintptr_t address, size_t bytes, bool write, uintptr_t memory)
{
    int      self = emu_access.thread;
    uint64_t now = emu_access.barriers << 16 | emu_access.syncs[self];
    for (cell *c = cells + (address - memory), *end = c + bytes; c < end; c++) {
        int writer = c->writer - 1, reader = c->reader - 1;
        if (writer >= 0 && writer != self && unordered(c->written, writer, now, self))
            race(address, write, writer, "has written");
        bool current = reader >= 0 && c->read >> 16 == now >> 16;
        if (write) {
            if (current && c->several_warps) race(address, true, -1, "has read");
            if (current && (reader != self || c->several_lanes) && unordered(c->read, reader, now, self))
                race(address, true, reader == self ? -1 : reader, "has read");
            c->written = now;
            c->writer = (uint16_t)(self + 1);
        } else {
            bool same_warp = current && WARP_OF(reader) == WARP_OF(self);
            c->several_warps = current && (c->several_warps || !same_warp);
            c->several_lanes = same_warp && (c->several_lanes || reader != self) && c->read == now;
            c->read = now;
            c->reader = (uint16_t)(self + 1);
        }
    }
}

/* ---- One access ---- */
extern char __start_ss_emulator_builtin[],
    __stop_ss_emulator_builtin[]; /* threadIdx and the like (block.c) */

static void outside(uintptr_t address, size_t bytes, bool write)
{
    char text[600], place[300] = "host memory";
    if (emu_memory_is_alias(address)) emu_memory_describe(emu_memory_device_of(address), place, sizeof place);
    if (emu_memory_contains(address))
        snprintf(place, sizeof place, "a device address that was not a kernel parameter");
    size_t    size;
    uintptr_t memory = emu_shared_memory(&size);
    if (memory && address - memory < size) snprintf(place, sizeof place, "beyond a shared array");
    snprintf(text, sizeof text, "%s %zu bytes at %#zx: %s", write ? "writes" : "reads", bytes,
             (size_t)address, place);
    emu_fault(text);
}

static bool disabled(void)
{
    static int known = -1;
    if (known < 0) {
        const char *text = getenv("SS_EMULATOR_ACCESS");
        known = text && strcmp(text, "0") == 0;
    }
    return known;
}

static inline void check(const volatile void *at, size_t bytes, bool write)
{
    static struct { /* most accesses go where the one before went */
        uintptr_t begin;
        size_t    bytes;
        uint64_t  generation;
    } last;
    if (!emu_inside) return;
    uintptr_t address = (uintptr_t)at;
    if (address - emu_access.stack < emu_access.stack_bytes) return;
    if (address - last.begin < last.bytes && bytes <= last.bytes - (address - last.begin) &&
        last.generation == emu_memory_generation)
        return;
    if (!write && address - emu_access.arguments < emu_access.arguments_bytes) return;
    if (!write && address - (uintptr_t)__start_ss_emulator_builtin <
                      (size_t)(__stop_ss_emulator_builtin - __start_ss_emulator_builtin))
        return;
    if (disabled()) return;
    if (emu_memory_is_alias(address)) {
        uintptr_t             device = emu_memory_device_of(address);
        const emu_allocation *a = emu_memory_find(device);
        if (!a || device + bytes > a->begin + a->bytes) outside(address, bytes, write);
        last.begin = address - (device - a->begin);
        last.bytes = a->bytes;
        last.generation = emu_memory_generation;
        return;
    }
    size_t    size;
    uintptr_t memory = emu_shared_memory(&size);
    if (memory && address - memory < size) {
        if (!emu_shared_contains(address, bytes)) outside(address, bytes, write);
        if (!cells) cells = emu_allocate(size * sizeof *cells);
        watch(address, bytes, write, memory);
        return;
    }
    if ((!write && is_constant(address, bytes)) || emu_pinned((void *)address, bytes)) return;
    outside(address, bytes, write);
}

static inline void check_aligned(const volatile void *at, size_t bytes, bool write)
{
    char text[160];
    check(at, bytes, write);
    if (!emu_inside || (uintptr_t)at % bytes == 0) return;
    if ((uintptr_t)at - emu_access.stack < emu_access.stack_bytes || disabled()) return;
    /* Parameters are a copy in the host's memory, which moves what stands together in one piece. */
    if ((uintptr_t)at - emu_access.arguments < emu_access.arguments_bytes) return;
    snprintf(text, sizeof text, "misaligned: %s %zu bytes at %#zx", write ? "writes" : "reads", bytes,
             (size_t)at);
    emu_fault(text);
}

#define ACCESS(bytes)                                                                                        \
    void __tsan_read##bytes(void *at);                                                                       \
    void __tsan_write##bytes(void *at);                                                                      \
    void __tsan_unaligned_read##bytes(void *at);                                                             \
    void __tsan_unaligned_write##bytes(void *at);                                                            \
    void __tsan_volatile_read##bytes(void *at);                                                              \
    void __tsan_volatile_write##bytes(void *at);                                                             \
    void __tsan_read_write##bytes(void *at);                                                                 \
    void __tsan_unaligned_read_write##bytes(void *at);                                                       \
    void __tsan_read##bytes(void *at)                                                                        \
    {                                                                                                        \
        check_aligned(at, bytes, false);                                                                     \
    }                                                                                                        \
    void __tsan_write##bytes(void *at)                                                                       \
    {                                                                                                        \
        check_aligned(at, bytes, true);                                                                      \
    }                                                                                                        \
    void __tsan_unaligned_read##bytes(void *at)                                                              \
    {                                                                                                        \
        check(at, bytes, false);                                                                             \
    }                                                                                                        \
    void __tsan_unaligned_write##bytes(void *at)                                                             \
    {                                                                                                        \
        check(at, bytes, true);                                                                              \
    }                                                                                                        \
    void __tsan_volatile_read##bytes(void *at)                                                               \
    {                                                                                                        \
        check_aligned(at, bytes, false);                                                                     \
    }                                                                                                        \
    void __tsan_volatile_write##bytes(void *at)                                                              \
    {                                                                                                        \
        check_aligned(at, bytes, true);                                                                      \
    }                                                                                                        \
    void __tsan_read_write##bytes(void *at)                                                                  \
    {                                                                                                        \
        check_aligned(at, bytes, true);                                                                      \
    }                                                                                                        \
    void __tsan_unaligned_read_write##bytes(void *at)                                                        \
    {                                                                                                        \
        check(at, bytes, true);                                                                              \
    }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

void __tsan_read_range(void *at, unsigned long bytes);
void __tsan_write_range(void *at, unsigned long bytes);
void __tsan_vptr_update(void **at, void *value);
void __tsan_vptr_read(void **at);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void *caller);
void __tsan_init(void);
void __tsan_read_range(void *at, unsigned long bytes)
{
    check(at, bytes, false);
}
void __tsan_write_range(void *at, unsigned long bytes)
{
    check(at, bytes, true);
}
void __tsan_vptr_update(void **at, void *value)
{
    (void)at, (void)value;
}
void __tsan_vptr_read(void **at)
{
    (void)at;
}
void __tsan_func_entry(void *caller)
{
    (void)caller;
}
void __tsan_func_exit(void *caller)
{
    (void)caller;
}
void __tsan_init(void) {}

int ss_emulator_checks_accesses(void)
{
    return !disabled();
}
#else
int ss_emulator_checks_accesses(void)
{
    return 0;
}
#endif
