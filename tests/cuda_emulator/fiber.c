/* Fibers: stacks kept for reuse, each with a page below it that cannot be touched; the first entry. See
 * fiber.h. */
#define _GNU_SOURCE
#include "fiber.h"

#include <stdlib.h>
#include <sys/mman.h>

#define STACK_BYTES ((size_t)(SS_EMULATOR_ASAN ? 256 : 64) << 10)

emu_fiber        *emu_leaving;
static emu_fiber *pool;

#if EMU_HAND_WRITTEN
emu_fiber emu_base;
void      emu_fiber_begin(void);
__asm__(".text\n"
        ".globl emu_switch_stack\n"
        ".type emu_switch_stack, @function\n"
        "emu_switch_stack:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    popq %rcx\n"
        "    jmp *%rcx\n"
        ".size emu_switch_stack, . - emu_switch_stack\n"
        ".globl emu_fiber_begin\n"
        ".type emu_fiber_begin, @function\n"
        "emu_fiber_begin:\n" /* first switch into a fiber: r12 = the fiber, r13 = its entry function */
        "    .cfi_startproc\n"
        "    .cfi_undefined rip\n"
        "    movq %r12, %rdi\n"
        "    call *%r13\n"
        "    ud2\n"
        "    .cfi_endproc\n"
        ".size emu_fiber_begin, . - emu_fiber_begin\n"
        ".section .note.GNU-stack,\"\",@progbits\n"
        ".text\n");

static void prepare(emu_fiber *f, void (*entry)(emu_fiber *))
{
    void **top = (void **)((uintptr_t)f->stack + f->stack_bytes) - 2;
    void **sp = top - 7;
    sp[0] = sp[1] = NULL;             /* r15, r14 */
    sp[2] = *(void **)(void *)&entry; /* r13 */
    sp[3] = f;                        /* r12 */
    sp[4] = sp[5] = NULL;             /* rbx, rbp */
    void (*begin)(void) = emu_fiber_begin;
    sp[6] = *(void **)(void *)&begin; /* where the first switch returns to */
    f->sp = sp;
}
#else
static ucontext_t base_context;
emu_fiber         emu_base = { .sp = &base_context };

static void enter(unsigned low, unsigned high, unsigned entry_low, unsigned entry_high)
{
    uintptr_t fiber = (uintptr_t)low | (uintptr_t)high << 32;
    uintptr_t entry = (uintptr_t)entry_low | (uintptr_t)entry_high << 32;
    ((void (*)(emu_fiber *))entry)((emu_fiber *)fiber);
}

static void prepare(emu_fiber *f, void (*entry)(emu_fiber *))
{
    ucontext_t *context = f->sp;
    uintptr_t   fiber = (uintptr_t)f, function = (uintptr_t)entry;
    if (!context) context = f->sp = emu_allocate(sizeof *context);
    getcontext(context);
    context->uc_stack.ss_sp = (void *)(uintptr_t)f->stack;
    context->uc_stack.ss_size = f->stack_bytes;
    context->uc_link = NULL;
    makecontext(context, (void (*)(void))enter, 4, (unsigned)fiber, (unsigned)(fiber >> 32),
                (unsigned)function, (unsigned)(function >> 32));
}
#endif

emu_fiber *emu_fiber_take(void (*entry)(emu_fiber *))
{
    emu_fiber *f = pool;
    if (f) {
        pool = f->next;
    } else {
        f = emu_allocate(sizeof *f);
        f->stack_bytes = STACK_BYTES;
        char *memory = mmap(NULL, STACK_BYTES + EMU_PAGE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED || mprotect(memory, EMU_PAGE, PROT_NONE) != 0) {
            emu_report("no memory for the stacks of a block's threads");
            abort();
        }
        /* Tops of stacks at the same place in their pages would share a few lines of the cache. */
        static size_t made;
        f->stack = memory + EMU_PAGE;
        f->stack_bytes -= made++ % 48 * 64;
        f->fresh = true;
    }
    if (f->fresh) {
        prepare(f, entry);
        f->fake = NULL;
        f->fresh = false;
    }
    return f;
}

void emu_fiber_give(emu_fiber *f)
{
    f->next = pool;
    pool = f;
}

void emu_fiber_abandon(emu_fiber *f)
{
    EMU_UNPOISON(f->stack, f->stack_bytes);
    f->fresh = true;
    emu_fiber_give(f);
}
