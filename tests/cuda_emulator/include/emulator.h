/* Steering and questioning the emulator: for tests and for test programs' set-up, never for the product.
 *
 * Environment, read at the first call:
 *   SS_EMULATOR_ORDER   rotate (default) | forward | reverse | shuffle: order of threads and blocks
 *   SS_EMULATOR_SEED    seed of the shuffles (default 1)
 *   SS_EMULATOR_QUEUE   deferred (default: work runs when somebody waits for it) | immediate
 *   SS_EMULATOR_MEMORY  device memory in MiB (default 2048)
 *   SS_EMULATOR_DEVICES number of devices, 0 to 4 (default 1)
 *   SS_EMULATOR_FAIL    KIND:N, as ss_emulator_fail
 *   SS_EMULATOR_ACCESS  0: accesses are not checked where they could be
 *   SS_EMULATOR_QUIET   1: reports are kept, not printed
 */
#ifndef SS_EMULATOR_H
#define SS_EMULATOR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ss_emulator_order {
    SS_EMULATOR_FORWARD,
    SS_EMULATOR_REVERSE,
    SS_EMULATOR_SHUFFLED,
    SS_EMULATOR_ROTATE /* one of the above and several shuffles, by turns from launch to launch */
} ss_emulator_order;

void ss_emulator_set_order(ss_emulator_order order, uint64_t seed);
void ss_emulator_set_deferred(int deferred);
void ss_emulator_set_quiet(int quiet);
void ss_emulator_set_memory(int64_t bytes); /* device memory in all; at least what is allocated */
void ss_emulator_set_devices(int count);

/* The nth call from now on (1 = the next) whose name is `kind` fails: "cudaMalloc", "launch" (a kernel
 * launch), a prefix "cublas*", or "*". NULL: nothing fails any more. */
void ss_emulator_fail(const char *kind, int64_t nth);
/* Calls of that kind since the last ss_emulator_fail. */
int64_t ss_emulator_calls(const char *kind);
/* True once the failure asked for has been delivered. */
int ss_emulator_failed(void);
/* Errors delivered that nobody asked about (cudaGetErrorString and the like), and launches whose error was
 * not fetched before the next call. An unfetched launch error ends the program unless `tolerate` was set. */
int64_t ss_emulator_unchecked(void);
void    ss_emulator_tolerate_unchecked(int tolerate);

/* The last report (a kernel's fault with kernel, block and thread; an overrun; ...), "" if there was none. */
const char *ss_emulator_report(void);
/* Guards around all allocations: number of damaged ones, each reported. Also done by every synchronisation.
 */
int64_t ss_emulator_check_memory(void);
/* Live objects by kind: "memory", "pinned", "stream", "event", "graph", "exec", "cublas", "cusolver", or "*".
 */
int64_t ss_emulator_live(const char *kind);
/* Forgets errors and pending work, as if the process were new; allocations stay. */
void ss_emulator_forget(void);

/* True if the .cu files were compiled so that every access of a kernel is checked, and races in shared memory
 * are faults. */
int ss_emulator_checks_accesses(void);

typedef struct ss_emulator_counts {
    uint64_t launches, blocks, threads; /* run so far */
    uint64_t barriers, collectives;     /* completed */
    uint64_t switches;                  /* from one fiber to another */
    uint64_t pageable; /* asynchronous copies from or to pageable memory: they wait, on a device */
} ss_emulator_counts;
ss_emulator_counts ss_emulator_count(void);

#ifdef __cplusplus
}
#endif
#endif
