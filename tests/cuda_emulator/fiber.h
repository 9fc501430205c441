/* Fibers: the threads of a block, each on a stack of its own, one running at a time.
 *
 * On x86-64 a switch saves the six callee-saved registers and exchanges the stack pointer; elsewhere ucontext
 * does it. A switch is inline and leaves by a jump, because the processor predicts returns by a stack of its
 * own, which fits no other fiber: every call level between a barrier and its switch would cost a
 * misprediction. */
#ifndef SS_EMULATOR_FIBER_H
#define SS_EMULATOR_FIBER_H

#include "private.h"

#if defined(__x86_64__) && !defined(SS_EMULATOR_UCONTEXT)
#define EMU_HAND_WRITTEN 1
void emu_switch_stack(void **save, void *load);
#else
#define EMU_HAND_WRITTEN 0
#include <ucontext.h>
#endif
#if SS_EMULATOR_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

typedef struct emu_fiber emu_fiber;
struct emu_fiber {
    void       *sp; /* saved stack pointer, or the ucontext */
    const void *stack;
    size_t      stack_bytes;
    void       *fake; /* AddressSanitizer's */
    int         thread;
    bool        fresh;
    emu_fiber  *next; /* in the pool */
};

extern emu_fiber  emu_base;    /* the caller of the first switch */
extern emu_fiber *emu_leaving; /* whose switch is under way */

emu_fiber *emu_fiber_take(void (*entry)(emu_fiber *));
void       emu_fiber_give(emu_fiber *fiber);
void       emu_fiber_abandon(emu_fiber *fiber); /* its stack is thrown away */

/* Tells AddressSanitizer that `self` runs; first thing of an entry function. */
static inline void emu_fiber_entered(emu_fiber *self)
{
#if SS_EMULATOR_ASAN
    if (emu_leaving == &emu_base)
        __sanitizer_finish_switch_fiber(self->fake, &emu_base.stack, &emu_base.stack_bytes);
    else
        __sanitizer_finish_switch_fiber(self->fake, NULL, NULL);
#else
    (void)self;
#endif
}

static inline void emu_fiber_switch(emu_fiber *from, emu_fiber *to)
{
    emu_counts.switches++;
    emu_leaving = from;
#if SS_EMULATOR_ASAN
    __sanitizer_start_switch_fiber(&from->fake, to->stack, to->stack_bytes);
#endif
#if EMU_HAND_WRITTEN
    emu_switch_stack(&from->sp, to->sp);
#else
    swapcontext(from->sp, to->sp);
#endif
    emu_fiber_entered(from); /* somebody switched back */
}

#endif
