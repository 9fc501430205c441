/* One block: its threads as fibers, barriers, warp collectives, shared memory.
 *
 * A thread runs until it ends or has to wait. One that ends without having waited leaves its fiber to the
 * next, so a kernel without barriers needs one fiber for all threads. A thread that waits hands over to one
 * that may go on, or, when there is none, to one that has not begun; when there is neither, the block is
 * stuck: a fault.
 *
 * Faults (a barrier that not all threads reach, a collective with lanes missing, a lane read that has ended)
 * are reported with kernel, block and thread; the block's fibers are thrown away and the launch fails. */
#include "fiber.h"
#include "emulator_kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In one section, so that the access checks know them by their address (access.c). */
#define BUILTIN __attribute__((section("ss_emulator_builtin")))
BUILTIN uint3      threadIdx, blockIdx;
BUILTIN dim3       blockDim, gridDim;
ss_emulator_counts emu_counts;

enum { SYNC, SHUFFLE, SHUFFLE_UP, SHUFFLE_DOWN, SHUFFLE_XOR, BALLOT }; /* as in emulator_device.h */
int      ss_emulator_barrier(int predicate, const char *file, int line);
uint64_t ss_emulator_warp(int collective, unsigned mask, uint64_t bits, int argument, int width,
                          const char *file, int line);
void     ss_emulator_trap(const char *what, const char *file, int line);

typedef enum thread_state { UNSTARTED, RUNNING, READY, AT_BARRIER, AT_COLLECTIVE, DONE } thread_state;

typedef struct lane {
    int         collective, argument, width, line;
    unsigned    mask;
    uint64_t    bits; /* given, then received */
    const char *file;
} lane;

#define MOST_WARPS (EMU_MOST_THREADS / EMU_WARP)

static struct block {
    const emu_run *run;
    int            order[EMU_MOST_THREADS]; /* of the threads */
    int            n, begun, done, waiting, at_barrier, running;
    bool           failed;
    uint8_t        state[EMU_MOST_THREADS];
    emu_fiber     *fiber[EMU_MOST_THREADS]; /* of threads that wait */
    int            ready[EMU_MOST_THREADS]; /* ring of threads that may go on */
    unsigned       ready_begin, ready_end;
    const char    *barrier_file;
    int            barrier_line, predicates, predicate_result;
    unsigned       absent[MOST_WARPS]; /* lanes that have ended or do not exist */
    unsigned       waiting_lanes[MOST_WARPS];
    lane           lanes[EMU_MOST_THREADS];
    uint3          index[EMU_MOST_THREADS]; /* threadIdx by number, for the block size `indexed` */
    dim3           indexed;
} block;

/* Of the thread of the host: others go on with their own code, which is none of a kernel's, meanwhile. */
_Thread_local bool emu_inside;

void emu_where(char *text, size_t size)
{
    const ss_emulator_kernel *k = block.run->kernel;
    snprintf(text, size, "kernel %s (%s:%d), block (%u, %u, %u), thread (%u, %u, %u)", k->name, k->file,
             k->line, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
}

void emu_fault(const char *what) __attribute__((noreturn));

/* ---- Scheduling ---- */
static void push_ready(int thread)
{
    block.state[thread] = READY;
    block.ready[block.ready_end++ % EMU_MOST_THREADS] = thread;
}

static void become(int thread)
{
    emu_access.thread = block.running = thread;
    block.state[thread] = RUNNING;
    threadIdx = block.index[thread];
}

void emu_thread_text(int thread, char *text, size_t size)
{
    uint3 i = block.index[thread];
    snprintf(text, size, "thread (%u, %u, %u)", i.x, i.y, i.z);
}

/* Says what is wrong and where, gives up the block, and goes back to emu_block_run. */
void emu_fault(const char *what)
{
    char where[512];
    emu_where(where, sizeof where);
    emu_report("%s: %s", where, what);
    block.failed = true;
    emu_fiber *self = block.fiber[block.running];
    emu_fiber_switch(self, &emu_base);
    abort(); /* an abandoned fiber is never resumed */
}

static void stuck(void) __attribute__((noreturn));
static void stuck(void)
{
    char text[900];
    int  used = snprintf(text, sizeof text, "no thread can go on:"), shown = 0;
    for (int t = 0; t < block.n && shown < 4; t++) {
        char who[64];
        if (block.state[t] != AT_BARRIER && block.state[t] != AT_COLLECTIVE) continue;
        if (t && block.state[t] == block.state[t - 1] && block.lanes[t].line == block.lanes[t - 1].line)
            continue;
        emu_thread_text(t, who, sizeof who);
        if (block.state[t] == AT_BARRIER)
            used += snprintf(text + used, sizeof text - (size_t)used, " %s waits at the barrier %s:%d;", who,
                             block.barrier_file, block.barrier_line);
        else
            used += snprintf(text + used, sizeof text - (size_t)used,
                             " %s waits at the collective %s:%d for lanes %08x;", who, block.lanes[t].file,
                             block.lanes[t].line, block.lanes[t].mask);
        shown++;
    }
    emu_fault(text);
}

static void thread_loop(emu_fiber *self);

/* Another thread goes on: one that is ready, else one that has not begun. `self` waits, or is free if the
 * running thread has ended; then true says that it took over a thread that has not begun. */
static inline bool hand_over(emu_fiber *self, bool ended)
{
    if (block.ready_begin != block.ready_end) {
        int        thread = block.ready[block.ready_begin++ % EMU_MOST_THREADS];
        emu_fiber *to = block.fiber[thread];
        block.waiting--;
        become(thread);
        if (ended) emu_fiber_give(self);
        emu_fiber_switch(self, to);
        return false;
    }
    if (block.begun == block.n) {
        if (ended) block.fiber[block.running] = self;
        stuck();
    }
    int thread = block.order[block.begun++];
    become(thread);
    if (ended) {
        self->thread = thread;
        return true;
    }
    emu_fiber *to = emu_fiber_take(thread_loop);
    to->thread = thread;
    emu_fiber_switch(self, to);
    return false;
}

static inline void wait_as(thread_state state, emu_fiber *self)
{
    block.state[block.running] = (uint8_t)state;
    block.fiber[block.running] = self;
    block.waiting++;
    hand_over(self, false);
}

static emu_fiber *current; /* fiber of the running thread */

static inline void make_current(emu_fiber *self)
{
    current = self;
    emu_access.stack = (uintptr_t)self->stack;
    emu_access.stack_bytes = self->stack_bytes;
}

static void complete_without(int warp);

/* Body of every fiber: thread after thread, as they are assigned to it. */
static void thread_loop(emu_fiber *self)
{
    emu_fiber_entered(self);
    for (;;) {
        make_current(self);
        block.fiber[self->thread] = self;
        block.run->kernel->run(block.run->kernel->arguments);
        int thread = self->thread;
        block.state[thread] = DONE;
        block.done++;
        block.absent[thread / EMU_WARP] |= 1u << thread % EMU_WARP;
        if (block.waiting) {
            if (block.at_barrier) {
                char text[256];
                snprintf(text, sizeof text, "ends while %d threads wait at the barrier %s:%d",
                         block.at_barrier, block.barrier_file, block.barrier_line);
                emu_fault(text);
            }
            if (block.waiting_lanes[thread / EMU_WARP]) complete_without(thread / EMU_WARP);
        }
        if (block.done == block.n) {
            emu_fiber_give(self);
            emu_fiber_switch(self, &emu_base);
        } else {
            hand_over(self, true);
        }
    }
}

static void index_threads(dim3 size)
{
    if (block.indexed.x == size.x && block.indexed.y == size.y && block.indexed.z == size.z) return;
    unsigned t = 0;
    for (unsigned z = 0; z < size.z; z++)
        for (unsigned y = 0; y < size.y; y++)
            for (unsigned x = 0; x < size.x; x++) {
                uint3 i = { x, y, z };
                block.index[t++] = i;
            }
    block.indexed = size;
}

void emu_block_order(const emu_order *threads)
{
    for (uint64_t i = 0; i < threads->n; i++) block.order[i] = (int)emu_order_at(threads, i);
}

bool emu_block_run(const emu_run *run)
{
    dim3 size = run->kernel->block;
    int  n = (int)(size.x * size.y * size.z), warps = (n + EMU_WARP - 1) / EMU_WARP;
    index_threads(size);
    block.run = run;
    block.n = n;
    block.begun = 1;
    block.done = block.waiting = block.at_barrier = block.predicates = 0;
    block.failed = false;
    block.ready_begin = block.ready_end = 0;
    memset(block.state, UNSTARTED, (size_t)n);
    memset(block.absent, 0, (size_t)warps * sizeof *block.absent);
    memset(block.waiting_lanes, 0, (size_t)warps * sizeof *block.waiting_lanes);
    if (n % EMU_WARP) block.absent[warps - 1] = ~0u << n % EMU_WARP;
    emu_shared_begin(run->kernel->shared, emu_shared_limit(run->kernel->function));

    emu_fiber *first = emu_fiber_take(thread_loop);
    first->thread = block.order[0];
    become(first->thread);
    emu_access.barriers++;
    emu_inside = true;
    emu_fiber_switch(&emu_base, first);
    emu_inside = false;
    emu_counts.blocks++;
    emu_counts.threads += (uint64_t)n;
    if (block.failed) {
        for (int t = 0; t < n; t++)
            if (block.state[t] != UNSTARTED && block.state[t] != DONE) emu_fiber_abandon(block.fiber[t]);
        if (block.state[block.running] == DONE) emu_fiber_abandon(block.fiber[block.running]);
    }
    return emu_shared_end(run->kernel->name) && !block.failed;
}

/* ---- Barriers ---- */
static void one_of(thread_state state, char *text, size_t size)
{
    *text = '\0';
    for (int t = 0; t < block.n; t++)
        if (block.state[t] == state) {
            emu_thread_text(t, text, size);
            return;
        }
}

int ss_emulator_barrier(int predicate, const char *file, int line)
{
    emu_fiber *self = current;
    char       text[512], who[64];
    if (!emu_inside) {
        emu_report("%s:%d: a barrier outside a kernel", file, line);
        abort();
    }
    if (block.done) {
        one_of(DONE, who, sizeof who);
        snprintf(text, sizeof text, "reaches the barrier %s:%d, but %s has ended", file, line, who);
        emu_fault(text);
    }
    if (block.at_barrier && (line != block.barrier_line ||
                             (file != block.barrier_file && strcmp(file, block.barrier_file) != 0))) {
        one_of(AT_BARRIER, who, sizeof who);
        snprintf(text, sizeof text, "reaches the barrier %s:%d while %s waits at another, %s:%d", file, line,
                 who, block.barrier_file, block.barrier_line);
        emu_fault(text);
    }
    block.barrier_file = file;
    block.barrier_line = line;
    block.at_barrier++;
    block.predicates += predicate;
    if (block.at_barrier < block.n) {
        wait_as(AT_BARRIER, self);
        make_current(self);
        return block.predicate_result;
    }
    emu_counts.barriers++;
    emu_access.barriers++;
    block.at_barrier = 0;
    block.predicate_result = block.predicates;
    block.predicates = 0;
    for (int i = 0; i < block.n; i++) {
        int t = block.order[i];
        if (block.state[t] == AT_BARRIER) push_ready(t);
    }
    return block.predicate_result;
}

/* ---- Warp collectives ---- */
static int source(const lane *l, int self)
{
    int begin = self & ~(l->width - 1), end = begin + l->width - 1, from;
    switch (l->collective) {
    case SHUFFLE: return begin + (l->argument & (l->width - 1));
    case SHUFFLE_UP: from = self - l->argument; return from < begin ? self : from;
    case SHUFFLE_DOWN: from = self + l->argument; return from > end ? self : from;
    default: from = self ^ l->argument; return from > end ? self : from;
    }
}

/* All lanes of `mask` that have not ended are here: each gets its result. */
static void complete(int warp, unsigned mask, int except)
{
    lane    *lanes = block.lanes + warp * EMU_WARP;
    uint64_t given[EMU_WARP];
    unsigned present = mask & ~block.absent[warp], votes = 0;
    char     text[256];
    for (int i = 0; i < EMU_WARP; i++) {
        given[i] = present >> i & 1u ? lanes[i].bits : 0;
        votes |= given[i] ? 1u << i : 0;
    }
    for (int i = 0; i < EMU_WARP; i++) {
        if (!(present >> i & 1u)) continue;
        if (lanes[i].collective == SYNC) emu_access.syncs[warp * EMU_WARP + i]++;
        if (lanes[i].collective == BALLOT) {
            lanes[i].bits = votes;
        } else if (lanes[i].collective != SYNC) {
            int from = source(&lanes[i], i);
            if (from < 0 || from >= EMU_WARP || !(present >> from & 1u)) {
                snprintf(
                    text, sizeof text,
                    "shuffle at %s:%d: lane %d reads lane %d, which is not in the mask %08x or has ended",
                    lanes[i].file, lanes[i].line, i, from, mask);
                emu_fault(text);
            }
            lanes[i].bits = given[from];
        }
        int t = warp * EMU_WARP + i;
        if (t != except) push_ready(t);
    }
    block.waiting_lanes[warp] &= ~present;
    emu_counts.collectives++;
}

/* A lane has ended: collectives that waited for it alone are complete. */
static void complete_without(int warp)
{
    for (int i = 0; i < EMU_WARP; i++) {
        unsigned mask = block.lanes[warp * EMU_WARP + i].mask;
        if (!(block.waiting_lanes[warp] >> i & 1u)) continue;
        if ((mask & ~block.absent[warp] & ~block.waiting_lanes[warp]) == 0) complete(warp, mask, -1);
    }
}

uint64_t ss_emulator_warp(int collective, unsigned mask, uint64_t bits, int argument, int width,
                          const char *file, int line)
{
    emu_fiber *self = current;
    int        thread = block.running, warp = thread / EMU_WARP, i = thread % EMU_WARP;
    lane      *l = &block.lanes[thread];
    char       text[256];
    if (!emu_inside) {
        emu_report("%s:%d: a warp collective outside a kernel", file, line);
        abort();
    }
    if (!(mask >> i & 1u)) {
        snprintf(text, sizeof text, "collective at %s:%d: lane %d is not in its own mask %08x", file, line, i,
                 mask);
        emu_fault(text);
    }
    if (width < 1 || width > EMU_WARP || (width & (width - 1))) {
        snprintf(text, sizeof text, "shuffle at %s:%d: width %d is not a power of two up to 32", file, line,
                 width);
        emu_fault(text);
    }
    /* Lanes waiting inside the mask agree with each other, so the first stands for all of them. */
    unsigned inside = block.waiting_lanes[warp] & mask, outside = block.waiting_lanes[warp] & ~mask;
    for (unsigned others = (inside & (0u - inside)) | outside; others; others &= others - 1) {
        int         number = __builtin_ctz(others);
        const lane *other = &block.lanes[warp * EMU_WARP + number];
        if ((other->mask & mask) && (other->mask != mask || other->collective != collective)) {
            snprintf(
                text, sizeof text,
                "collective at %s:%d with mask %08x while lane %d waits at another, %s:%d with mask %08x",
                file, line, mask, number, other->file, other->line, other->mask);
            emu_fault(text);
        }
    }
    *l = (lane){ .collective = collective,
                 .argument = argument,
                 .width = width,
                 .line = line,
                 .mask = mask,
                 .bits = bits,
                 .file = file };
    block.waiting_lanes[warp] |= 1u << i;
    if (mask & ~block.absent[warp] & ~block.waiting_lanes[warp]) {
        wait_as(AT_COLLECTIVE, self);
        make_current(self);
    } else {
        complete(warp, mask, thread);
    }
    return l->bits;
}

void ss_emulator_trap(const char *what, const char *file, int line)
{
    char text[256];
    snprintf(text, sizeof text, "%s at %s:%d", what, file, line);
    emu_fault(text);
}
