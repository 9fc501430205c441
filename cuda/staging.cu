/* Everything between host and device: through pinned memory, so that the driver never copies on its own
 * account and no copy waits for the host.
 *
 * Memory of allocate_host is pinned: its copies are queued as they are. Any other host memory passes through
 * two pinned pieces of the queue, in turns: while one is on the bus the host fills, or empties, the other.
 * Small arguments and results have pinned memory of their own. */
#include "cuda.cuh"

#include <string.h>

ss_status ss_cuda_pinned_allocate(ss_context *context, int64_t bytes, void **memory)
{
    *memory = nullptr;
    cudaError_t error = ss_allocation_fails(context)
                            ? cudaErrorMemoryAllocation
                            : SS_CUDA_ERROR(cudaHostAlloc(memory, (size_t)bytes, cudaHostAllocDefault));
    if (error != cudaSuccess) *memory = nullptr;
    SS_CUDA(context, error, "pinned host memory, %lld bytes", (long long)bytes);
    return SS_OK;
}

/* ---- Pinned memory for others ---- */

ss_status ss_cuda_allocate_host(ss_backend *b, int64_t bytes, void **memory)
{
    ss_status       status = SS_OK;
    ss_cuda_device *device = ss_cuda_device_of(b);
    ss_cuda_block  *block = nullptr;
    ss_queue       *ignored = nullptr;
    *memory = nullptr;
    SS_TRY(ss_cuda_enter(b, &ignored));
    SS_TRY(SS_NEW(b->context, &block));
    SS_TRY(ss_cuda_pinned_allocate(b->context, ss_max64(bytes, 1), memory));
    ss_cuda_block_keep(&device->pinned, block, *memory, bytes);
    return SS_OK;
fail:
    ss_free(b->context, block);
    return status;
}

void ss_cuda_release_host(ss_backend *b, void *memory)
{
    ss_cuda_block *block = memory ? ss_cuda_block_take(&ss_cuda_device_of(b)->pinned, memory) : nullptr;
    if (!block) return;
    SS_CUDA_DROP(b->context, cudaSetDevice(ss_cuda_device_of(b)->index));
    SS_CUDA_DROP(b->context, cudaFreeHost(block->memory));
    ss_free(b->context, block);
}

static bool is_pinned(const ss_cuda_device *device, const void *memory, int64_t bytes)
{
    const char *from = static_cast<const char *>(memory);
    for (const ss_cuda_block *block = device->pinned; block; block = block->next)
        if (from >= block->memory && from + bytes <= block->memory + block->bytes) return true;
    return false;
}

/* ---- Bulk ---- */

/* The piece to use next; what it was used for before is over. */
static ss_status next_piece(ss_queue *q, int *piece)
{
    ss_context *context = q->device->context;
    const int   i = q->bulk_next;
    q->bulk_next = 1 - i;
    *piece = i;
    if (!q->bulk_done[i])
        SS_CUDA(context, cudaEventCreateWithFlags(&q->bulk_done[i], cudaEventDisableTiming),
                "staging memory");
    if (!q->bulk[i]) SS_RETURN(ss_cuda_pinned_allocate(context, SS_CUDA_BULK, &q->bulk[i]));
    SS_CUDA(context, cudaEventSynchronize(q->bulk_done[i]), "staging memory");
    return SS_OK;
}

static ss_status queue_copy(ss_queue *q, void *to, const void *from, int64_t bytes, cudaMemcpyKind kind)
{
    SS_CUDA(q->device->context, cudaMemcpyAsync(to, from, (size_t)bytes, kind, q->stream), "%s, %lld bytes",
            kind == cudaMemcpyHostToDevice ? "host to device" : "device to host", (long long)bytes);
    return SS_OK;
}

ss_status ss_cuda_upload(ss_backend *b, ss_queue *q, void *to_device, const void *from_host, int64_t bytes)
{
    char       *to = static_cast<char *>(to_device);
    const char *from = static_cast<const char *>(from_host);
    if (bytes == 0) return SS_OK;
    SS_RETURN(ss_cuda_enter(b, &q));
    if (is_pinned(q->device, from, bytes)) return queue_copy(q, to, from, bytes, cudaMemcpyHostToDevice);
    for (int64_t done = 0; done < bytes; done += SS_CUDA_BULK) {
        const int64_t count = ss_min64(SS_CUDA_BULK, bytes - done);
        int           i = 0;
        SS_RETURN(next_piece(q, &i));
        memcpy(q->bulk[i], from + done, (size_t)count);
        SS_RETURN(queue_copy(q, to + done, q->bulk[i], count, cudaMemcpyHostToDevice));
        SS_CUDA(b->context, cudaEventRecord(q->bulk_done[i], q->stream), "staging memory");
    }
    return SS_OK;
}

/* Takes a piece that has come down out of the staging memory. */
static ss_status empty_piece(ss_queue *q, int i, char *to, int64_t bytes)
{
    SS_CUDA(q->device->context, cudaEventSynchronize(q->bulk_done[i]), "staging memory");
    memcpy(to, q->bulk[i], (size_t)bytes);
    return SS_OK;
}

ss_status ss_cuda_download(ss_backend *b, ss_queue *q, void *to_host, const void *from_device, int64_t bytes)
{
    char       *to = static_cast<char *>(to_host);
    const char *from = static_cast<const char *>(from_device);
    int         before = -1;            /* piece under way */
    int64_t     begun = 0, waiting = 0; /* bytes asked for before that piece, bytes in it */
    if (bytes == 0) return SS_OK;
    SS_RETURN(ss_cuda_enter(b, &q));
    if (is_pinned(q->device, to, bytes)) return queue_copy(q, to, from, bytes, cudaMemcpyDeviceToHost);
    for (int64_t done = 0; done < bytes; done += SS_CUDA_BULK) {
        const int64_t count = ss_min64(SS_CUDA_BULK, bytes - done);
        int           i = 0;
        SS_RETURN(next_piece(q, &i));
        SS_RETURN(queue_copy(q, q->bulk[i], from + done, count, cudaMemcpyDeviceToHost));
        SS_CUDA(b->context, cudaEventRecord(q->bulk_done[i], q->stream), "staging memory");
        if (before >= 0) SS_RETURN(empty_piece(q, before, to + begun, waiting));
        before = i, begun = done, waiting = count;
    }
    return empty_piece(q, before, to + begun, waiting);
}

/* ---- Arguments and results ---- */

/* Pinned memory of at least `bytes`; the queue must be idle when it grows. */
static ss_status pinned(ss_queue *q, int64_t bytes, void **memory, int64_t *have)
{
    const int64_t smallest = 16384;
    if (bytes <= *have) return SS_OK;
    bytes = ss_max64(ss_max64(bytes, smallest), 2 * *have);
    if (*memory) {
        void *old = *memory;
        SS_CUDA(q->device->context, cudaStreamSynchronize(q->stream), "a queue");
        *memory = nullptr;
        *have = 0;
        SS_CUDA(q->device->context, cudaFreeHost(old), "pinned memory");
    }
    SS_RETURN(ss_cuda_pinned_allocate(q->device->context, bytes, memory));
    *have = bytes;
    return SS_OK;
}

ss_status ss_cuda_stage(ss_queue *q, void *to_device, const void *from_host, int64_t bytes)
{
    ss_context *context = q->device->context;
    if (bytes == 0) return SS_OK;
    SS_RETURN(pinned(q, bytes, &q->to_device, &q->to_device_bytes));
    SS_CUDA(context, cudaEventSynchronize(q->to_device_free), "staging memory");
    memcpy(q->to_device, from_host, (size_t)bytes);
    SS_CUDA(context,
            cudaMemcpyAsync(to_device, q->to_device, (size_t)bytes, cudaMemcpyHostToDevice, q->stream),
            "staged, %lld bytes", (long long)bytes);
    SS_CUDA(context, cudaEventRecord(q->to_device_free, q->stream), "staging memory");
    return SS_OK;
}

/* The fault word comes along in front of the result: one wait for both. */
ss_status ss_cuda_result(ss_queue *q, void *to_host, const void *from_device, int64_t bytes)
{
    const int64_t front = 16;
    ss_context   *context = q->device->context;
    int32_t       fault = 0;
    SS_RETURN(pinned(q, front + bytes, &q->to_host, &q->to_host_bytes));
    char *landing = static_cast<char *>(q->to_host);
    SS_CUDA(context, cudaMemcpyAsync(landing, q->fault, sizeof fault, cudaMemcpyDeviceToHost, q->stream),
            "the fault word");
    if (bytes > 0)
        SS_CUDA(
            context,
            cudaMemcpyAsync(landing + front, from_device, (size_t)bytes, cudaMemcpyDeviceToHost, q->stream),
            "result, %lld bytes", (long long)bytes);
    SS_CUDA(context, cudaStreamSynchronize(q->stream), "a queue with its result");
    memcpy(&fault, landing, sizeof fault);
    if (bytes > 0) memcpy(to_host, landing + front, (size_t)bytes);
    if (!fault) return SS_OK;
    SS_CUDA(context, cudaMemsetAsync(q->fault, 0, sizeof *q->fault, q->stream), "the fault word");
    return ss_fail(context, SS_ERROR_INTERNAL, "loss: a class id lies outside its classes");
}

ss_status ss_cuda_wait(ss_queue *q)
{
    return ss_cuda_result(q, nullptr, nullptr, 0);
}

void ss_cuda_staging_close(ss_queue *q)
{
    ss_context *context = q->device->context;
    void       *memory[] = { q->to_device, q->to_host, q->bulk[0], q->bulk[1] };
    cudaEvent_t events[] = { q->to_device_free, q->bulk_done[0], q->bulk_done[1] };
    for (void *m : memory)
        if (m) SS_CUDA_DROP(context, cudaFreeHost(m));
    for (cudaEvent_t event : events)
        if (event) SS_CUDA_DROP(context, cudaEventDestroy(event));
}
