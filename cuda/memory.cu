/* Memory, queues, events and bytes on the device; the scratch of a queue. */
#include "cuda.cuh"

/* ---- Allocation: counted and made to fail like the host's ---- */

ss_status ss_cuda_device_allocate(ss_context *context, int64_t bytes, void **memory)
{
    size_t free_bytes = 0, total_bytes = 0;
    *memory = nullptr;
    if (bytes < 0) return ss_fail(context, SS_ERROR_INTERNAL, "device memory: %lld bytes", (long long)bytes);
    cudaError_t error = ss_allocation_fails(context)
                            ? cudaErrorMemoryAllocation
                            : SS_CUDA_ERROR(cudaMalloc(memory, (size_t)ss_max64(bytes, 1)));
    if (error == cudaErrorMemoryAllocation) {
        *memory = nullptr;
        SS_CUDA_DROP(context, cudaMemGetInfo(&free_bytes, &total_bytes));
        SS_CUDA(context, error, "no device memory: %lld bytes (%.3g GiB) asked for, %.3g of %.3g GiB free",
                (long long)bytes, (double)bytes / 0x1p30, (double)free_bytes / 0x1p30,
                (double)total_bytes / 0x1p30);
    }
    SS_CUDA(context, error, "device memory, %lld bytes", (long long)bytes);
    return SS_OK;
}

ss_status ss_cuda_allocate(ss_backend *b, int64_t bytes, void **memory)
{
    ss_status       status = SS_OK;
    ss_cuda_device *device = ss_cuda_device_of(b);
    ss_cuda_block  *block = nullptr;
    ss_queue       *ignored = nullptr;
    *memory = nullptr;
    SS_TRY(ss_cuda_enter(b, &ignored));
    SS_TRY(SS_NEW(b->context, &block));
    SS_TRY(ss_cuda_device_allocate(b->context, bytes, memory));
    ss_cuda_block_keep(&device->held, block, *memory, bytes);
    ss_count_memory(b->context, bytes);
    return SS_OK;
fail:
    ss_free(b->context, block);
    return status;
}

void ss_cuda_release(ss_backend *b, void *memory)
{
    ss_cuda_block *block = memory ? ss_cuda_block_take(&ss_cuda_device_of(b)->held, memory) : nullptr;
    if (!block) return;
    ss_count_memory(b->context, -block->bytes);
    ss_free(b->context, block);
    SS_CUDA_DROP(b->context, cudaSetDevice(ss_cuda_device_of(b)->index));
    SS_CUDA_DROP(b->context, cudaFree(memory));
}

int64_t ss_cuda_memory_available(ss_backend *b)
{
    size_t free_bytes = 0, total_bytes = 0;
    SS_CUDA_DROP(b->context, cudaSetDevice(ss_cuda_device_of(b)->index));
    SS_CUDA_DROP(b->context, cudaMemGetInfo(&free_bytes, &total_bytes));
    return (int64_t)free_bytes;
}

/* ---- Queues ---- */

ss_status ss_cuda_enter(ss_backend *b, ss_queue **q)
{
    ss_cuda_device *device = ss_cuda_device_of(b);
    if (!*q) *q = &device->queue;
    SS_CUDA(b->context, cudaSetDevice(device->index), "device %d", device->index);
    return SS_OK;
}

ss_status ss_cuda_queue_open(ss_cuda_device *device, ss_queue *q)
{
    void *memory = nullptr;
    q->device = device;
    SS_CUDA(device->context, cudaStreamCreateWithFlags(&q->stream, cudaStreamNonBlocking), "a queue");
    SS_CUDA(device->context, cudaEventCreateWithFlags(&q->to_device_free, cudaEventDisableTiming), "a queue");
    SS_RETURN(ss_cuda_device_allocate(device->context, sizeof *q->fault, &memory));
    q->fault = static_cast<int32_t *>(memory);
    SS_CUDA(device->context, cudaMemsetAsync(q->fault, 0, sizeof *q->fault, q->stream), "a queue");
    return SS_OK;
}

/* Releases whatever of a queue is there. */
void ss_cuda_queue_close(ss_queue *q)
{
    ss_context *context = q->device->context;
    if (q->stream) SS_CUDA_DROP(context, cudaStreamSynchronize(q->stream));
    if (q->blas) SS_CUDA_DROP(context, cublasDestroy(q->blas));
    if (q->solver) SS_CUDA_DROP(context, cusolverDnDestroy(q->solver));
    for (int i = 0; i < q->n_retired; i++) SS_CUDA_DROP(context, cudaFree(q->retired[i]));
    if (q->scratch) SS_CUDA_DROP(context, cudaFree(q->scratch));
    if (q->workspace) SS_CUDA_DROP(context, cudaFree(q->workspace));
    if (q->fault) SS_CUDA_DROP(context, cudaFree(q->fault));
    ss_cuda_staging_close(q);
    if (q->stream) SS_CUDA_DROP(context, cudaStreamDestroy(q->stream));
}

ss_status ss_cuda_queue_create(ss_backend *b, ss_queue **queue)
{
    ss_status status = SS_OK;
    ss_queue *ignored = nullptr;
    *queue = nullptr;
    SS_TRY(ss_cuda_enter(b, &ignored));
    SS_TRY(SS_NEW(b->context, queue));
    SS_TRY(ss_cuda_queue_open(ss_cuda_device_of(b), *queue));
    return SS_OK;
fail:
    ss_cuda_queue_destroy(b, *queue);
    *queue = nullptr;
    return status;
}

void ss_cuda_queue_destroy(ss_backend *b, ss_queue *queue)
{
    if (!queue) return;
    SS_CUDA_DROP(b->context, cudaSetDevice(ss_cuda_device_of(b)->index));
    ss_cuda_queue_close(queue);
    ss_free(b->context, queue);
}

ss_status ss_cuda_queue_synchronize(ss_backend *b, ss_queue *queue)
{
    SS_RETURN(ss_cuda_enter(b, &queue));
    return ss_cuda_wait(queue);
}

/* ---- Events ---- */

ss_status ss_cuda_event_create(ss_backend *b, ss_event **event)
{
    ss_status status = SS_OK;
    ss_queue *ignored = nullptr;
    *event = nullptr;
    SS_TRY(ss_cuda_enter(b, &ignored));
    SS_TRY(SS_NEW(b->context, event));
    (*event)->device = ss_cuda_device_of(b);
    SS_CUDA_TRY(b->context, cudaEventCreateWithFlags(&(*event)->event, cudaEventDisableTiming), "an event");
    return SS_OK;
fail:
    ss_free(b->context, *event);
    *event = nullptr;
    return status;
}

void ss_cuda_event_destroy(ss_backend *b, ss_event *event)
{
    if (!event) return;
    SS_CUDA_DROP(b->context, cudaEventDestroy(event->event));
    ss_free(b->context, event);
}

ss_status ss_cuda_event_record(ss_backend *b, ss_event *event, ss_queue *queue)
{
    SS_RETURN(ss_cuda_enter(b, &queue));
    SS_CUDA(b->context, cudaEventRecord(event->event, queue->stream), "an event");
    return SS_OK;
}

ss_status ss_cuda_queue_wait(ss_backend *b, ss_queue *queue, ss_event *event)
{
    SS_RETURN(ss_cuda_enter(b, &queue));
    SS_CUDA(b->context, cudaStreamWaitEvent(queue->stream, event->event, 0), "a queue for an event");
    return SS_OK;
}

/* ---- Bytes ---- */

ss_status ss_cuda_copy(ss_backend *b, ss_queue *q, void *to, const void *from, int64_t bytes)
{
    if (bytes == 0) return SS_OK;
    SS_RETURN(ss_cuda_enter(b, &q));
    SS_CUDA(b->context, cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyDeviceToDevice, q->stream),
            "device to device, %lld bytes", (long long)bytes);
    return SS_OK;
}

static ss_status fill(ss_backend *b, ss_queue *q, void *memory, int byte, int64_t bytes)
{
    if (bytes == 0) return SS_OK;
    SS_RETURN(ss_cuda_enter(b, &q));
    SS_CUDA(b->context, cudaMemsetAsync(memory, byte, (size_t)bytes, q->stream), "%lld bytes",
            (long long)bytes);
    return SS_OK;
}

ss_status ss_cuda_zero(ss_backend *b, ss_queue *q, void *memory, int64_t bytes)
{
    return fill(b, q, memory, 0, bytes);
}

/* All bits set: a NaN in either real type. */
ss_status ss_cuda_poison(ss_backend *b, ss_queue *q, void *memory, int64_t bytes)
{
    return fill(b, q, memory, 0xff, bytes);
}

/* ---- Scratch ---- */

/* Scratch that grows is kept until the queue closes, because captured graphs hold its address; as it at least
 * doubles, all of it together is less than twice the last. */
ss_status ss_cuda_scratch(ss_queue *q, int64_t bytes, void **scratch)
{
    const int64_t smallest = 1 << 20;
    void         *larger = nullptr;
    *scratch = q->scratch;
    if (bytes <= q->scratch_bytes) return SS_OK;
    bytes = ss_max64(ss_max64(bytes, smallest), 2 * q->scratch_bytes);
    if (q->n_retired == SS_CUDA_RETIRED)
        return ss_fail(q->device->context, SS_ERROR_INTERNAL, "scratch of a queue grew too often");
    SS_RETURN(ss_cuda_device_allocate(q->device->context, bytes, &larger));
    if (q->scratch) q->retired[q->n_retired++] = q->scratch;
    *scratch = q->scratch = larger;
    q->scratch_bytes = bytes;
    return SS_OK;
}
