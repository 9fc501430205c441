/* The CUDA backend, inside: its structs, the helpers of all families, and every primitive.
 *
 *     backend.cu      the classes, opening and closing a device
 *     check.cu        messages of failed calls
 *     libraries.cu    cuBLAS and cuSOLVER, loaded at run time
 *     memory.cu       memory, queues, events, bytes; scratch
 *     staging.cu      pinned memory and what goes through it: everything between host and device
 *     graph.cu        a run of calls captured and replayed
 *     one file per family of primitives: convert gemm pointwise glu norm loss elementwise
 *                     rows rope router attention vectors eigen
 *     pack.cuh, map.cuh, reduce.cuh, columns.cuh, points.cuh    patterns that several families share
 *     attention_rows.cuh                                        what attention.cu does between its products
 *
 * All backends that one context opens on one device (both real types) share a record of the device, whose
 * queue is their default queue: work of either real type is ordered without synchronisation. A primitive
 * launches on its queue's stream and returns; those with a host result copy it to pinned memory and wait.
 *
 * Reductions sum in float64 in an order that depends on shapes alone, partial sums by block first, then a
 * second kernel; no atomics. */
#ifndef SS_CUDA_CUDA_CUH
#define SS_CUDA_CUDA_CUH

#include "check.cuh"

#include "backend/cuda.h"

struct ss_cuda_device;

#define SS_CUDA_RETIRED 48 /* scratch at least doubles when it grows */

struct ss_queue {
    ss_cuda_device    *device;    /* borrowed */
    cudaStream_t       stream;    /* owned */
    cublasHandle_t     blas;      /* NULL until the first product */
    void              *workspace; /* of blas, device */
    cusolverDnHandle_t solver;    /* NULL until the first eigenproblem */
    int32_t           *fault;     /* device: set by a kernel that met a bad class id */
    void              *scratch;   /* device, [scratch_bytes] */
    int64_t            scratch_bytes;
    void              *retired[SS_CUDA_RETIRED]; /* scratch that grew: captured graphs may still use it */
    int                n_retired;
    void              *to_device; /* pinned, [to_device_bytes]: small arrays on their way up */
    int64_t            to_device_bytes;
    cudaEvent_t        to_device_free; /* recorded when to_device has been read */
    void              *to_host;        /* pinned, [to_host_bytes]: results on their way down */
    int64_t            to_host_bytes;
    void              *bulk[2]; /* pinned, [SS_CUDA_BULK]: pageable memory on its way, in turns; or NULL */
    cudaEvent_t        bulk_done[2]; /* recorded when the copy of bulk[i] is over; NULL with it */
    int                bulk_next;    /* which is used next */
};
#define SS_CUDA_BULK ((int64_t)4 << 20) /* bytes of a piece: large enough for the bus's full rate */

/* Memory that allocate or allocate_host has given out. */
struct ss_cuda_block {
    ss_cuda_block *next;
    char          *memory; /* owned */
    int64_t        bytes;
};

/* Enters a block that its caller has made, and takes out the one of `memory`; nullptr: not in the list. */
static inline void ss_cuda_block_keep(ss_cuda_block **list, ss_cuda_block *block, void *memory, int64_t bytes)
{
    block->memory = static_cast<char *>(memory);
    block->bytes = bytes;
    block->next = *list;
    *list = block;
}

static inline ss_cuda_block *ss_cuda_block_take(ss_cuda_block **list, const void *memory)
{
    while (*list && (*list)->memory != memory) list = &(*list)->next;
    ss_cuda_block *block = *list;
    if (block) *list = block->next;
    return block;
}

struct ss_event {
    ss_cuda_device *device; /* borrowed */
    cudaEvent_t     event;  /* owned */
};

/* What a context knows of a device; shared by its backends. */
struct ss_cuda_device {
    ss_cuda_device *next;      /* of all records of the process */
    ss_context     *context;   /* borrowed */
    int             index;     /* as the runtime numbers devices */
    int             users;     /* open backends */
    ss_queue        queue;     /* the default queue */
    ss_cuda_block  *pinned;    /* given out by allocate_host */
    ss_cuda_block  *held;      /* given out by allocate: counts as the context's memory */
    char            line[384]; /* describe() */
};

struct ss_cuda_backend {
    ss_backend      base;
    ss_cuda_device *device; /* shared */
};

static inline ss_cuda_device *ss_cuda_device_of(ss_backend *b)
{
    return reinterpret_cast<ss_cuda_backend *>(b)->device;
}

/* Makes the device current for this thread; *q becomes the queue to use. First in every primitive. */
ss_status ss_cuda_enter(ss_backend *b, ss_queue **q);

/* ---- Memory (memory.cu). All of it counts as allocations of the context and can be told to fail. ---- */
ss_status ss_cuda_device_allocate(ss_context *context, int64_t bytes, void **memory);
ss_status ss_cuda_pinned_allocate(ss_context *context, int64_t bytes, void **memory);

ss_status ss_cuda_queue_open(ss_cuda_device *device, ss_queue *q);
void      ss_cuda_queue_close(ss_queue *q);

/* At least `bytes` of device memory, not initialised, valid until the next call for this queue. */
ss_status ss_cuda_scratch(ss_queue *q, int64_t bytes, void **scratch);
/* Copies a small host array to the device by way of pinned memory; the host's array may be reused at once. */
ss_status ss_cuda_stage(ss_queue *q, void *to_device, const void *from_host, int64_t bytes);
/* Copies a small result to the host and waits for it; a fault that a kernel noted becomes an error. */
ss_status ss_cuda_result(ss_queue *q, void *to_host, const void *from_device, int64_t bytes);
/* Waits for the queue; the same of faults. */
ss_status ss_cuda_wait(ss_queue *q);
/* Releases what of the queue's staging is there. */
void ss_cuda_staging_close(ss_queue *q);

/* ---- Device helpers ---- */

/* Element (lane, row, 0) of a matrix; NULL if it is absent. */
template <typename real>
static __device__ __forceinline__ real *ss_cuda_row(const ss_matrix &m, int64_t lane, int64_t row)
{
    return m.data ? static_cast<real *>(m.data) + lane * m.lane_stride + row * m.ld : nullptr;
}

/* An operand of a result with `rows` rows: a single row is broadcast. */
static inline ss_matrix ss_cuda_operand(const ss_matrix *m, int64_t rows)
{
    ss_matrix operand = *m;
    if (m->rows <= 1 && rows > 1) operand.ld = 0;
    operand.rows = rows;
    return operand;
}

/* Can every lane be walked as one row of rows * cols elements? (An absent matrix can.) */
static inline bool ss_cuda_flat(const ss_matrix *m)
{
    return !m->data || m->rows <= 1 || m->ld == m->cols;
}

static inline int64_t ss_cuda_blocks(int64_t n, int64_t block)
{
    return (n + block - 1) / block;
}

/* ---- The vtable's entries: contracts in backend.h. Those with both real types stand
 * there, too (SS_REAL_PRIMITIVES); a row for one for both here. ---- */
/* clang-format off */
#define SS_CUDA_COMMON_PRIMITIVES(row) \
    row(ss_status, allocate, (ss_backend *, int64_t, void **)) \
    row(void, release, (ss_backend *, void *)) \
    row(int64_t, memory_available, (ss_backend *)) \
    row(ss_status, allocate_host, (ss_backend *, int64_t, void **)) \
    row(void, release_host, (ss_backend *, void *)) \
    row(ss_status, queue_create, (ss_backend *, ss_queue **)) \
    row(void, queue_destroy, (ss_backend *, ss_queue *)) \
    row(ss_status, queue_synchronize, (ss_backend *, ss_queue *)) \
    row(ss_status, event_create, (ss_backend *, ss_event **)) \
    row(void, event_destroy, (ss_backend *, ss_event *)) \
    row(ss_status, event_record, (ss_backend *, ss_event *, ss_queue *)) \
    row(ss_status, queue_wait, (ss_backend *, ss_queue *, ss_event *)) \
    row(ss_status, capture_begin, (ss_backend *, ss_queue *)) \
    row(ss_status, capture_end, (ss_backend *, ss_queue *, ss_graph_execution **)) \
    row(ss_status, graph_launch, (ss_backend *, ss_queue *, ss_graph_execution *)) \
    row(void, graph_destroy, (ss_backend *, ss_graph_execution *)) \
    row(ss_status, upload, (ss_backend *, ss_queue *, void *, const void *, int64_t)) \
    row(ss_status, download, (ss_backend *, ss_queue *, void *, const void *, int64_t)) \
    row(ss_status, copy, (ss_backend *, ss_queue *, void *, const void *, int64_t)) \
    row(ss_status, zero, (ss_backend *, ss_queue *, void *, int64_t)) \
    row(ss_status, poison, (ss_backend *, ss_queue *, void *, int64_t)) \
    row(ss_status, convert, (ss_backend *, ss_queue *, void *, ss_real, const void *, ss_type, int64_t, double, \
                             double)) \
    row(int64_t, attention_workspace, (ss_backend *, const ss_attention *)) \
    row(ss_status, symmetric_eigen, (ss_backend *, ss_queue *, int64_t, double *, bool, double *))
/* clang-format on */

/* One template per primitive: ss_cuda_add<float>, ss_cuda_add<double>, instantiated where it is defined. */
#define SS_CUDA_DECLARE(name, arguments)                                                                     \
    template <typename real> ss_status ss_cuda_##name arguments;                                             \
    extern template ss_status ss_cuda_##name<float> arguments;                                               \
    extern template ss_status ss_cuda_##name<double> arguments;
SS_REAL_PRIMITIVES(SS_CUDA_DECLARE)
#undef SS_CUDA_DECLARE
#define SS_CUDA_DECLARE(type, name, arguments) type ss_cuda_##name arguments;
SS_CUDA_COMMON_PRIMITIVES(SS_CUDA_DECLARE)
#undef SS_CUDA_DECLARE

/* Below a template's definition. */
#define SS_CUDA_INSTANTIATE(name)                                                                            \
    template decltype(ss_cuda_##name<float>)  ss_cuda_##name<float>;                                         \
    template decltype(ss_cuda_##name<double>) ss_cuda_##name<double>;

#endif
