/* The memory of cpu-check: a large address range without access rights stands for the device; every block in
 * it has a shadow in host memory that holds its data. Addresses are given out once only, with a gap of a page
 * between blocks, so that freed memory and overruns are recognised.
 *
 * The range belongs to the process, as a device would: backends of both real types share it. */
#include "backend/check/check.h"
#include "backend/cpu/memory.h"

#include <pthread.h>
#include <sys/mman.h>

/* Not in POSIX, but wherever address ranges of this size exist. */
#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS 0x20
#endif
#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

#define GAP 4096 /* bytes between blocks */

typedef struct block {
    struct block *next;
    char         *address; /* on the device */
    int64_t       bytes;
    char         *shadow; /* [bytes] */
} block;

static struct space {
    pthread_mutex_t lock;
    char           *start;          /* of the reserved range; NULL before the first opening */
    int64_t         reserved, used; /* bytes */
    block          *blocks;         /* live, youngest first */
} space = { .lock = PTHREAD_MUTEX_INITIALIZER };

ss_status ss_check_space_open(ss_context *context)
{
    pthread_mutex_lock(&space.lock);
    for (int64_t bytes = (int64_t)1 << 42; !space.start && bytes >= (int64_t)1 << 32; bytes /= 2) {
        void *start =
            mmap(NULL, (size_t)bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (start == MAP_FAILED) continue;
        space.start = start;
        space.reserved = bytes;
    }
    bool ready = space.start != NULL;
    pthread_mutex_unlock(&space.lock);
    return ready ? SS_OK
                 : ss_fail(context, SS_ERROR_REFUSED, "cpu-check: no range of 4 GiB of addresses is free");
}

ss_status ss_check_space_allocate(ss_context *context, int64_t bytes, ss_real real, void **address)
{
    ss_status status = SS_OK;
    block    *b = NULL;
    *address = NULL;
    SS_TRY(SS_NEW(context, &b));
    SS_TRY(ss_allocate(context, bytes, 1, (void **)&b->shadow));
    ss_fill_poison(b->shadow, bytes, real);
    b->bytes = bytes;

    pthread_mutex_lock(&space.lock);
    int64_t room = ss_round_up(bytes, GAP) + GAP;
    bool    fits = room <= space.reserved - space.used;
    if (fits) {
        b->address = space.start + space.used;
        b->next = space.blocks;
        space.used += room;
        space.blocks = b;
    }
    pthread_mutex_unlock(&space.lock);
    if (!fits)
        SS_FAIL(context, SS_ERROR_MEMORY, "cpu-check: out of addresses for %lld bytes", (long long)bytes);
    *address = b->address;
    return SS_OK;
fail:
    if (b) ss_free(context, b->shadow);
    ss_free(context, b);
    return status;
}

bool ss_check_space_release(ss_context *context, void *address)
{
    block *found = NULL;
    pthread_mutex_lock(&space.lock);
    for (block **b = &space.blocks; *b; b = &(*b)->next)
        if ((*b)->address == address) {
            found = *b;
            *b = found->next;
            break;
        }
    pthread_mutex_unlock(&space.lock);
    if (!found) return false;
    ss_free(context, found->shadow);
    ss_free(context, found);
    return true;
}

bool ss_check_space_holds(const void *address)
{
    const char *a = address;
    return space.start && a >= space.start && a < space.start + space.reserved;
}

char *ss_check_space_find(const void *address, int64_t bytes)
{
    const char *a = address;
    char       *shadow = NULL;
    pthread_mutex_lock(&space.lock);
    for (const block *b = space.blocks; b && !shadow; b = b->next)
        if (a >= b->address && a <= b->address + b->bytes && bytes <= b->bytes - (a - b->address))
            shadow = b->shadow + (a - b->address);
    pthread_mutex_unlock(&space.lock);
    return shadow;
}
