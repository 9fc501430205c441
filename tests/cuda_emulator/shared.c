/* Shared memory: from one buffer, anew for each block, full of NaNs, with gaps between the arrays. Under
 * AddressSanitizer the gaps are poisoned; an overrun of a writer that nobody else notices is found at the
 * end. */
#include "private.h"
#include "emulator_kernel.h"

#include <string.h>

#define SHARED_GAP   64u
#define MOST_ARRAYS  64
#define SHARED_BYTES ((size_t)EMU_MOST_SHARED + (MOST_ARRAYS + 2) * SHARED_GAP * 4)

static struct shared {
    char       *memory;
    size_t      used, static_bytes;
    int         count;
    const void *key[MOST_ARRAYS];
    void       *at[MOST_ARRAYS];
    size_t      bytes[MOST_ARRAYS];
    const char *name[MOST_ARRAYS];
    void       *dynamic;
    size_t      dynamic_bytes;
    size_t      limit; /* of static and dynamic bytes */
} shared;

static void *shared_take(size_t bytes, size_t align)
{
    if (align < 16) align = 16;
    size_t begin = (shared.used + SHARED_GAP + align - 1) / align * align;
    char  *at = shared.memory + begin;
    size_t end = begin + bytes;
    EMU_UNPOISON(at, bytes);
    emu_memory_fill(at, bytes);
    /* The gap behind holds NaNs as well: an overrun of a reader shows, that of a writer is found at the end.
     */
    EMU_UNPOISON(shared.memory + end, SHARED_GAP);
    memset(shared.memory + end, 0x7f, SHARED_GAP);
    EMU_POISON(shared.memory + end, SHARED_GAP);
    shared.used = end;
    return at;
}

void *ss_emulator_shared(const void *key, size_t bytes, size_t align, const char *name)
{
    for (int i = 0; i < shared.count; i++)
        if (shared.key[i] == key) return shared.at[i];
    if (shared.count == MOST_ARRAYS) emu_fault("more than 64 shared arrays");
    shared.static_bytes += bytes;
    if (shared.static_bytes > EMU_STATIC_SHARED) emu_fault("more than 48 KiB of static shared memory");
    if (shared.static_bytes + shared.dynamic_bytes > shared.limit)
        emu_fault("static and dynamic shared memory together exceed what the kernel may have: 48 KiB, or 227 "
                  "where cudaFuncSetAttribute has raised it");
    int i = shared.count++;
    shared.key[i] = key;
    shared.bytes[i] = bytes;
    shared.name[i] = name;
    return shared.at[i] = shared_take(bytes, align);
}

void *ss_emulator_dynamic_shared(size_t align)
{
    if (!shared.dynamic) shared.dynamic = shared_take(shared.dynamic_bytes, align < 128 ? 128 : align);
    return shared.dynamic;
}

void emu_shared_begin(size_t dynamic_bytes, size_t limit)
{
    if (!shared.memory) {
        shared.memory = emu_allocate(SHARED_BYTES);
        EMU_POISON(shared.memory, SHARED_BYTES);
    }
    if (shared.used) {
        EMU_POISON(shared.memory, shared.used);
        shared.used = shared.static_bytes = 0;
        shared.count = 0;
    }
    shared.dynamic = NULL;
    shared.dynamic_bytes = dynamic_bytes;
    shared.limit = limit;
}

static bool gap_is_whole(const char *end)
{
    bool whole = true;
    EMU_UNPOISON(end, SHARED_GAP);
    for (unsigned i = 0; i < SHARED_GAP; i++) whole = whole && end[i] == 0x7f;
    EMU_POISON(end, SHARED_GAP);
    return whole;
}

bool emu_shared_end(const char *kernel)
{
    for (int i = 0; i < shared.count; i++)
        if (!gap_is_whole((char *)shared.at[i] + shared.bytes[i])) {
            emu_report("kernel %s wrote beyond its shared array '%s' (%zu bytes) in block (%u, %u, %u)",
                       kernel, shared.name[i], shared.bytes[i], blockIdx.x, blockIdx.y, blockIdx.z);
            return false;
        }
    if (shared.dynamic && !gap_is_whole((char *)shared.dynamic + shared.dynamic_bytes)) {
        emu_report("kernel %s wrote beyond its dynamic shared memory (%zu bytes) in block (%u, %u, %u)",
                   kernel, shared.dynamic_bytes, blockIdx.x, blockIdx.y, blockIdx.z);
        return false;
    }
    return true;
}

bool emu_shared_contains(uintptr_t address, size_t bytes)
{
    for (int i = 0; i < shared.count; i++)
        if (address - (uintptr_t)shared.at[i] < shared.bytes[i])
            return bytes <= shared.bytes[i] - (address - (uintptr_t)shared.at[i]);
    if (!shared.dynamic || address - (uintptr_t)shared.dynamic >= shared.dynamic_bytes) return false;
    return bytes <= shared.dynamic_bytes - (address - (uintptr_t)shared.dynamic);
}

uintptr_t emu_shared_memory(size_t *bytes)
{
    *bytes = SHARED_BYTES;
    return (uintptr_t)shared.memory;
}

const char *emu_shared_name(uintptr_t address)
{
    for (int i = 0; i < shared.count; i++)
        if (address - (uintptr_t)shared.at[i] < shared.bytes[i]) return shared.name[i];
    return "dynamic shared memory";
}
