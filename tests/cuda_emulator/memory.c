/* The device's memory: an address range of its own, full of signalling NaNs, with guards.
 *
 * Two equal ranges of addresses are reserved. The host is given addresses in the first, which is never
 * accessible: the host that dereferences one is stopped by SIGSEGV. The memory lies in the second, a constant
 * distance away; the emulator exchanges the addresses among a kernel's parameters while it runs, and those of
 * copies. (Opening and closing one range at every launch would cost a system call and its page walk per
 * allocation.)
 *
 * An allocation ends as near to the end of its last page as its alignment of 256 bytes allows; 64 KiB of
 * inaccessible addresses lie between any two. What is left of its pages in front and behind holds the same
 * NaNs, is poisoned for AddressSanitizer, and is compared at every synchronisation and after every kernel
 * that was given the allocation. Freed memory becomes inaccessible, and its addresses are not soon given out
 * again. */
#define _GNU_SOURCE
#include "private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <errno.h>
#include <signal.h>

#define SPACE_BYTES ((size_t)1 << 38)
#define GUARD_BYTES ((size_t)64 << 10)

/* NaN as float64 (signalling), as two float32 (the low one signalling), as four float16 and four bfloat16. */
#define PATTERN UINT64_C(0x7ff47ff57fa67fa7)

static struct {
    uintptr_t       given, alias; /* the two ranges */
    size_t          cursor;       /* where the next allocation is tried */
    emu_allocation *list;         /* sorted by address */
    int64_t         count, room;
    size_t          used;
    uint64_t        serial;
} space;

uint64_t emu_memory_generation = 1;

typedef struct range {
    uintptr_t begin;
    size_t    bytes;
    bool      own;
} range;
static range  *pinned;
static int64_t n_pinned, pinned_room;

static struct sigaction before[2];

static size_t round_up(size_t value, size_t to)
{
    return (value + to - 1) / to * to;
}

void emu_memory_fill(void *alias, size_t bytes)
{
    const uint64_t pattern = PATTERN;
    char          *at = alias;
    size_t         whole = bytes / sizeof pattern * sizeof pattern;
    for (size_t i = 0; i < whole; i += sizeof pattern) memcpy(at + i, &pattern, sizeof pattern);
    memcpy(at + whole, &pattern, bytes - whole);
}

/* Are these the pattern's bytes from `phase` on? By whole words, because every synchronisation reads all
 * guards. */
static bool is_filled(const char *at, size_t phase, size_t bytes)
{
    const uint64_t pattern = PATTERN;
    uint64_t       different = 0, word = pattern;
    size_t         i = 0;
    for (; i < bytes && (phase + i) % sizeof pattern; i++)
        different |= (uint64_t)(at[i] != ((const char *)&pattern)[(phase + i) % sizeof pattern]);
    for (; i + sizeof word <= bytes; i += sizeof word) {
        memcpy(&word, at + i, sizeof word);
        different |= word ^ pattern;
    }
    for (size_t k = 0; i < bytes; i++, k++) different |= (uint64_t)(at[i] != ((const char *)&pattern)[k]);
    return !different;
}

/* Says what was hit, then lets the previous handler (the sanitizer's, or the default) end the program. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    uintptr_t address = (uintptr_t)info->si_addr;
    char      where[512] = "the host", place[300] = "not device memory";
    sigaction(SIGSEGV, &before[0], NULL);
    sigaction(SIGBUS, &before[1], NULL);
    if (emu_inside) emu_where(where, sizeof where);
    if (emu_memory_is_alias(address))
        emu_memory_describe(emu_memory_device_of(address), place, sizeof place);
    else if (emu_memory_contains(address))
        emu_memory_describe(address, place, sizeof place);
    if (emu_inside || emu_memory_is_alias(address) || emu_memory_contains(address))
        emu_report("%s touches address %p, %s%s", where, info->si_addr, place,
                   emu_inside && emu_memory_contains(address)
                       ? " (a device pointer that was not a kernel parameter)"
                       : "");
    (void)number; /* returning repeats the access under the previous handler */
}

static void start(void)
{
    if (space.given) return;
    void *both = mmap(NULL, 2 * SPACE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (both == MAP_FAILED) {
        fprintf(stderr, "CUDA emulator: no address space for the device\n");
        abort();
    }
    space.given = (uintptr_t)both;
    space.alias = space.given + SPACE_BYTES;
    space.cursor = GUARD_BYTES;
    struct sigaction action = { 0 };
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, &before[0]);
    sigaction(SIGBUS, &action, &before[1]);
}

bool emu_memory_contains(uintptr_t device)
{
    return space.given && device >= space.given && device < space.given + SPACE_BYTES;
}

bool emu_memory_is_alias(uintptr_t address)
{
    return space.given && address >= space.alias && address < space.alias + SPACE_BYTES;
}

uintptr_t emu_memory_device_of(uintptr_t alias)
{
    return alias - space.alias + space.given;
}

size_t emu_memory_used(void)
{
    return space.used;
}
int64_t emu_memory_count(void)
{
    return space.count;
}

/* Index of the last allocation that begins at or before the address, -1 if none. */
static int64_t index_of(uintptr_t device)
{
    int64_t low = 0, high = space.count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (space.list[middle].begin <= device)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

const emu_allocation *emu_memory_find(uintptr_t device)
{
    int64_t i = index_of(device);
    return i >= 0 && device - space.list[i].begin <= space.list[i].bytes ? &space.list[i] : NULL;
}

const emu_allocation *emu_memory_nearest(uintptr_t device)
{
    int64_t i = index_of(device);
    if (i + 1 < space.count &&
        (i < 0 || space.list[i + 1].begin - device < device - space.list[i].begin - space.list[i].bytes))
        if (i < 0 || device - space.list[i].begin >= space.list[i].bytes) i++;
    return i >= 0 && i < space.count ? &space.list[i] : NULL;
}

void emu_memory_describe(uintptr_t device, char *text, size_t size)
{
    const emu_allocation *a = emu_memory_nearest(device);
    if (!a)
        snprintf(text, size, "device memory that is not allocated");
    else if (device < a->begin)
        snprintf(text, size, "%zu bytes before allocation %llu of %zu bytes", (size_t)(a->begin - device),
                 (unsigned long long)a->serial, a->bytes);
    else if (device >= a->begin + a->bytes)
        snprintf(text, size, "%zu bytes past the end of allocation %llu of %zu bytes (or freed memory)",
                 (size_t)(device - a->begin - a->bytes), (unsigned long long)a->serial, a->bytes);
    else
        snprintf(text, size, "at byte %zu of allocation %llu of %zu bytes", (size_t)(device - a->begin),
                 (unsigned long long)a->serial, a->bytes);
}

void *emu_memory_alias(const void *device, size_t bytes)
{
    const emu_allocation *a = emu_memory_find((uintptr_t)device);
    if (!a || bytes > a->bytes - ((uintptr_t)device - a->begin)) return NULL;
    return (void *)((uintptr_t)device - space.given + space.alias);
}

/* First fit from the cursor, once around. False if there is no gap of that many bytes. */
static bool find_gap(size_t bytes, size_t *offset)
{
    for (int round = 0; round < 2; round++) {
        size_t at = space.cursor;
        for (int64_t i = index_of(space.given + at) + 1;; i++) {
            size_t next = i < space.count ? space.list[i].pages - space.given : SPACE_BYTES;
            if (i > 0) {
                size_t end =
                    space.list[i - 1].pages + space.list[i - 1].page_bytes - space.given + GUARD_BYTES;
                if (at < end) at = end;
            }
            if (at + bytes + GUARD_BYTES <= next) {
                *offset = at;
                space.cursor = at + bytes + GUARD_BYTES;
                return true;
            }
            if (i >= space.count) break;
        }
        space.cursor = GUARD_BYTES;
    }
    return false;
}

cudaError_t emu_memory_allocate(void **device, size_t bytes)
{
    start();
    *device = NULL;
    if (bytes == 0) return cudaSuccess;
    if (bytes > (size_t)emu_set()->memory - space.used) return cudaErrorMemoryAllocation;
    size_t page_bytes = round_up(bytes, EMU_PAGE), offset;
    if (!find_gap(page_bytes, &offset)) return cudaErrorMemoryAllocation;
    char *alias = (char *)space.alias + offset;
    if (mprotect(alias, page_bytes, PROT_READ | PROT_WRITE) != 0) return cudaErrorMemoryAllocation;
    emu_memory_fill(alias, page_bytes);
    size_t front = page_bytes - round_up(bytes, EMU_ALIGNMENT);
    EMU_POISON(alias, front);
    EMU_POISON(alias + front + bytes, page_bytes - front - bytes);

    if (space.count == space.room) {
        space.room = space.room ? 2 * space.room : 64;
        space.list = realloc(space.list, (size_t)space.room * sizeof *space.list);
        if (!space.list) abort();
    }
    int64_t i = index_of(space.given + offset) + 1;
    memmove(&space.list[i + 1], &space.list[i], (size_t)(space.count - i) * sizeof *space.list);
    space.list[i] = (emu_allocation){ .begin = space.given + offset + front,
                                      .bytes = bytes,
                                      .pages = space.given + offset,
                                      .page_bytes = page_bytes,
                                      .serial = ++space.serial };
    space.count++;
    emu_memory_generation++;
    space.used += bytes;
    *device = (void *)space.list[i].begin;
    return cudaSuccess;
}

static bool guards_whole(emu_allocation *a, const char *after)
{
    char  *alias = (char *)(a->pages - space.given + space.alias);
    size_t front = a->begin - a->pages, back = a->page_bytes - front - a->bytes;
    if (a->damaged) return true;
    EMU_UNPOISON(alias, front);
    EMU_UNPOISON(alias + front + a->bytes, back);
    /* The pattern goes on through the allocation's pages from their beginning. */
    bool front_whole = is_filled(alias, 0, front),
         back_whole = is_filled(alias + front + a->bytes, front + a->bytes, back);
    EMU_POISON(alias, front);
    EMU_POISON(alias + front + a->bytes, back);
    if (front_whole && back_whole) return true;
    a->damaged = true;
    emu_report("memory %s allocation %llu of %zu bytes was overwritten, found %s",
               front_whole ? "behind" : "in front of", (unsigned long long)a->serial, a->bytes, after);
    return false;
}

bool emu_memory_guard(uintptr_t device, const char *after)
{
    const emu_allocation *a = emu_memory_find(device);
    char                  text[400];
    snprintf(text, sizeof text, "after %s", after);
    return !a || guards_whole(&space.list[a - space.list], text);
}

int64_t ss_emulator_check_memory(void)
{
    int64_t damaged = 0;
    emu_lock();
    for (int64_t i = 0; i < space.count; i++)
        damaged += !guards_whole(&space.list[i], "by a synchronisation");
    emu_unlock();
    return damaged;
}

cudaError_t emu_memory_free(void *device)
{
    if (!device) return cudaSuccess;
    int64_t i = index_of((uintptr_t)device);
    if (i < 0 || space.list[i].begin != (uintptr_t)device) return cudaErrorInvalidValue;
    emu_allocation a = space.list[i];
    bool           whole = guards_whole(&a, "when it was freed");
    char          *alias = (char *)(a.pages - space.given + space.alias);
    EMU_UNPOISON(alias, a.page_bytes);
    madvise(alias, a.page_bytes, MADV_DONTNEED);
    mprotect(alias, a.page_bytes, PROT_NONE);
    memmove(&space.list[i], &space.list[i + 1], (size_t)(space.count - i - 1) * sizeof *space.list);
    space.count--;
    emu_memory_generation++;
    space.used -= a.bytes;
    if (!whole) emu_stick(cudaErrorIllegalAddress);
    return cudaSuccess;
}

/* ---- Pinned host memory: a list of ranges ---- */
static int64_t pinned_index(uintptr_t host)
{
    for (int64_t i = 0; i < n_pinned; i++)
        if (pinned[i].begin == host) return i;
    return -1;
}

static void pinned_add(void *host, size_t bytes, bool own)
{
    if (n_pinned == pinned_room) {
        pinned_room = pinned_room ? 2 * pinned_room : 16;
        pinned = realloc(pinned, (size_t)pinned_room * sizeof *pinned);
        if (!pinned) abort();
    }
    pinned[n_pinned++] = (range){ (uintptr_t)host, bytes, own };
}

cudaError_t emu_pinned_allocate(void **host, size_t bytes)
{
    *host = NULL;
    if (bytes == 0) return cudaSuccess;
    void *memory = NULL;
    if (posix_memalign(&memory, EMU_ALIGNMENT, bytes) != 0) return cudaErrorMemoryAllocation;
    emu_memory_fill(memory, bytes);
    pinned_add(memory, bytes, true);
    *host = memory;
    return cudaSuccess;
}

cudaError_t emu_pinned_free(void *host)
{
    if (!host) return cudaSuccess;
    int64_t i = pinned_index((uintptr_t)host);
    if (i < 0 || !pinned[i].own) return cudaErrorInvalidValue;
    free(host);
    pinned[i] = pinned[--n_pinned];
    return cudaSuccess;
}

cudaError_t emu_pinned_register(void *host, size_t bytes)
{
    if (!host || !bytes || emu_memory_contains((uintptr_t)host)) return cudaErrorInvalidValue;
    for (int64_t i = 0; i < n_pinned; i++)
        if (pinned[i].begin < (uintptr_t)host + bytes && (uintptr_t)host < pinned[i].begin + pinned[i].bytes)
            return cudaErrorHostMemoryAlreadyRegistered;
    pinned_add(host, bytes, false);
    return cudaSuccess;
}

cudaError_t emu_pinned_unregister(void *host)
{
    int64_t i = pinned_index((uintptr_t)host);
    if (i < 0 || pinned[i].own) return cudaErrorHostMemoryNotRegistered;
    pinned[i] = pinned[--n_pinned];
    return cudaSuccess;
}

bool emu_pinned(const void *host, size_t bytes)
{
    uintptr_t at = (uintptr_t)host;
    for (int64_t i = 0; i < n_pinned; i++)
        if (at >= pinned[i].begin && at - pinned[i].begin <= pinned[i].bytes &&
            bytes <= pinned[i].bytes - (at - pinned[i].begin))
            return true;
    return false;
}

int64_t emu_pinned_count(void)
{
    return n_pinned;
}

/* Is a page mapped there? mincore answers without touching it. */
bool emu_host_mapped(uintptr_t address)
{
    unsigned char resident;
    return mincore((void *)(address / EMU_PAGE * EMU_PAGE), 1, &resident) == 0;
}
