/* What the emulator's files share. One thread at a time: every entry takes the lock (calls.c). What CUDA
 * keeps for each thread of the host, and what the code of kernels asks without the lock, is thread-local. */
#ifndef SS_EMULATOR_PRIVATE_H
#define SS_EMULATOR_PRIVATE_H

#include "cuda_runtime_api.h"
#include "emulator.h"

#include <stdbool.h>
#include <stdint.h>

#ifndef SS_EMULATOR_ASAN
#define SS_EMULATOR_ASAN 0
#endif

#if SS_EMULATOR_ASAN
#include <sanitizer/asan_interface.h>
#define EMU_POISON(at, bytes)   __asan_poison_memory_region(at, bytes)
#define EMU_UNPOISON(at, bytes) __asan_unpoison_memory_region(at, bytes)
#else
#define EMU_POISON(at, bytes)   ((void)(at), (void)(bytes))
#define EMU_UNPOISON(at, bytes) ((void)(at), (void)(bytes))
#endif

#define EMU_PAGE          4096u
#define EMU_ALIGNMENT     256u
#define EMU_WARP          32
#define EMU_MOST_THREADS  1024
#define EMU_STATIC_SHARED 49152u
#define EMU_MOST_SHARED   232448u

/* ---- calls.c: settings, errors, injected failures ---- */
typedef struct emu_settings {
    ss_emulator_order order;
    uint64_t          seed;
    bool              deferred, quiet, tolerate;
    int64_t           memory;
    int               devices;
} emu_settings;
const emu_settings *emu_set(void);

void  emu_lock(void);
void  emu_unlock(void);
void  emu_report(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *emu_allocate(size_t bytes); /* host memory; ends the program when there is none */

/* Begins a call: what it must return at once (an injected or sticky error), or cudaSuccess. A call that
 * cleans up is not stopped: it does its work and returns the error then. */
cudaError_t emu_enter(const char *name, cudaError_t natural, bool cleanup);
bool        emu_failing(void); /* the call that cleans up will return an injected error */
/* Ends it: remembers an error, releases the lock. */
cudaError_t emu_leave(cudaError_t error);
/* For cuBLAS and cuSOLVER: true if this call is to fail; takes the lock. */
bool emu_enter_library(const char *name);
void emu_looked_at(int error, const char *library); /* the caller asked for the error's text */
/* An asynchronous error: sticks to all calls that follow. */
void        emu_stick(cudaError_t error);
cudaError_t emu_sticky(void);
void        emu_launch_error(cudaError_t error, const char *name, const char *file, int line);
cudaError_t emu_capture_breaks(cudaError_t error); /* an illegal call: spoils the captures that forbid it */

int emu_current_device(void); /* runtime.c: of this thread */

/* ---- memory.c: the device's address space ----
 * The address that the host is given (device address) is never accessible. Kernels, copies and libraries get
 * the same memory at an alias, a constant distance away. */
typedef struct emu_allocation {
    uintptr_t begin; /* device address */
    size_t    bytes;
    uintptr_t pages; /* where its pages begin */
    size_t    page_bytes;
    uint64_t  serial;
    bool      damaged; /* reported already */
} emu_allocation;
cudaError_t           emu_memory_allocate(void **device, size_t bytes);
cudaError_t           emu_memory_free(void *device);
const emu_allocation *emu_memory_find(uintptr_t device); /* holding the address, or ending there; or NULL */
const emu_allocation *emu_memory_nearest(uintptr_t device);  /* for reports */
bool                  emu_memory_contains(uintptr_t device); /* inside the device's address range */
bool                  emu_memory_is_alias(uintptr_t address);
uintptr_t             emu_memory_device_of(uintptr_t alias);
/* The alias of a range that lies inside one allocation, or NULL. */
void *emu_memory_alias(const void *device, size_t bytes);
void  emu_memory_describe(uintptr_t device, char *text, size_t size);
bool  emu_memory_guard(uintptr_t device, const char *after); /* checks the guards of one allocation */
void  emu_memory_fill(void *alias, size_t bytes);            /* with signalling NaNs */
extern uint64_t emu_memory_generation;                       /* changes with every allocation and release */
size_t          emu_memory_used(void);
int64_t         emu_memory_count(void);

cudaError_t emu_pinned_allocate(void **host, size_t bytes);
cudaError_t emu_pinned_free(void *host);
cudaError_t emu_pinned_register(void *host, size_t bytes);
cudaError_t emu_pinned_unregister(void *host);
bool        emu_pinned(const void *host, size_t bytes);
int64_t     emu_pinned_count(void);
bool        emu_host_mapped(uintptr_t address);

/* ---- stream.c: work in order, run when somebody waits ---- */
typedef struct emu_work { /* counted reference */
    void (*run)(void *data);
    void (*release)(void *data);
    void       *data;
    const char *what;
    int         references;
} emu_work;
emu_work *emu_work_make(const char *what, void (*run)(void *), void (*release)(void *), void *data);
void      emu_work_drop(emu_work *work);
/* Appends to the stream, or to the graph being captured. Takes the reference. */
cudaError_t emu_enqueue(cudaStream_t stream, emu_work *work);
cudaError_t emu_stream_drain(cudaStream_t stream); /* runs everything in it */
void        emu_drain_all(void);
bool        emu_stream_valid(cudaStream_t stream);
bool        emu_stream_launches(cudaStream_t stream); /* does it take kernels of the current device? */
bool        emu_stream_capturing(cudaStream_t stream);
bool        emu_capture_forbids(void); /* potentially unsafe calls, and the legacy stream, to this thread */
int64_t     emu_stream_count(void);
int64_t     emu_event_count(void);
void        emu_forget_work(void);

/* ---- graph.c ---- */
typedef struct emu_capture emu_capture;
typedef struct emu_front { /* nodes that the next one depends on */
    int *node, count;
} emu_front;
emu_capture *emu_capture_new(cudaStream_t origin, enum cudaStreamCaptureMode mode);
void         emu_capture_add(emu_capture *capture, emu_front *front, emu_work *work);
void         emu_front_merge(emu_front *front, const emu_front *other);
void         emu_front_copy(emu_front *front, const emu_front *other);
void         emu_front_clear(emu_front *front);
bool         emu_capture_joined(const emu_capture *capture, const emu_front *origin, const emu_front *other);
uint64_t     emu_capture_number(const emu_capture *capture);
cudaStream_t emu_capture_origin(const emu_capture *capture);
enum cudaStreamCaptureMode emu_capture_mode(const emu_capture *capture);
bool                       emu_capture_here(const emu_capture *capture); /* begun by this thread? */
bool                       emu_capture_spoilt(const emu_capture *capture);
void                       emu_capture_spoil(emu_capture *capture);
void                       emu_capture_drop(emu_capture *capture);
cudaGraph_t                emu_capture_finish(emu_capture *capture);
int64_t                    emu_graph_count(void);
int64_t                    emu_exec_count(void);

/* ---- kernel.c, block.c, fiber.c ---- */
typedef struct emu_order { /* a permutation of 0 .. n-1, computed */
    uint64_t          n, step, shift;
    ss_emulator_order kind;
} emu_order;
emu_order emu_order_make(uint64_t n, ss_emulator_order kind, uint64_t seed);
uint64_t  emu_order_at(const emu_order *order, uint64_t i);

struct ss_emulator_kernel;
typedef struct emu_run {
    const struct ss_emulator_kernel *kernel;
    ss_emulator_order                order;
    uint64_t                         seed;
} emu_run;
/* Runs one block; false after a fault, which has been reported. */
bool emu_block_run(const emu_run *run);
void emu_block_order(const emu_order *threads); /* of the threads of the blocks that follow */
extern _Thread_local bool emu_inside;           /* does this thread of the host run a kernel's code now? */
void                      emu_where(char *text, size_t size); /* kernel, block and thread that run now */

void emu_thread_text(int thread, char *text, size_t size);
void emu_fault(const char *what) __attribute__((noreturn)); /* gives up the running block */

/* kernel.c: bytes of shared memory, static and dynamic, that a block of this kernel may have */
size_t emu_shared_limit(const void *function);

/* shared.c */
void        emu_shared_begin(size_t dynamic_bytes, size_t limit);
bool        emu_shared_end(const char *kernel);
bool        emu_shared_contains(uintptr_t address, size_t bytes);
uintptr_t   emu_shared_memory(size_t *bytes); /* the buffer of all arrays */
const char *emu_shared_name(uintptr_t address);

/* access.c: what it must know at every access of a kernel */
typedef struct emu_access_state {
    int       thread; /* number in the block */
    uintptr_t stack;
    size_t    stack_bytes;
    uint64_t  barriers;                /* completed, and blocks begun, since the start */
    uint16_t  syncs[EMU_MOST_THREADS]; /* __syncwarp completed, by thread */
    uintptr_t arguments;               /* of the running kernel */
    size_t    arguments_bytes;
} emu_access_state;
extern emu_access_state emu_access;

extern ss_emulator_counts emu_counts;
extern uint3              threadIdx, blockIdx;
extern dim3               blockDim, gridDim;

/* ---- host_blas.c: the host's BLAS and LAPACK ---- */
bool emu_sgemm(char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
               const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
bool emu_dgemm(char ta, char tb, int64_t m, int64_t n, int64_t k, double alpha, const double *a, int64_t lda,
               const double *b, int64_t ldb, double beta, double *c, int64_t ldc);
int  emu_syevd(bool vectors, bool upper, int n, double *a, int lda, double *w);
int64_t emu_cublas_count(void);
int64_t emu_cusolver_count(void);

#endif
