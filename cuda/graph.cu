/* Work captured as a CUDA graph and launched as a whole: one call instead of one per kernel. */
#include "cuda.cuh"

struct ss_graph_execution {
    cudaGraphExec_t executable; /* owned */
};

ss_status ss_cuda_capture_begin(ss_backend *b, ss_queue *queue)
{
    SS_RETURN(ss_cuda_enter(b, &queue));
    SS_CUDA(b->context, cudaStreamBeginCapture(queue->stream, cudaStreamCaptureModeThreadLocal), "a queue");
    return SS_OK;
}

/* A capture that went wrong must be ended, too: the stream would be unusable. */
ss_status ss_cuda_capture_end(ss_backend *b, ss_queue *queue, ss_graph_execution **graph)
{
    cudaGraph_t captured = nullptr;
    ss_status   entered = ss_cuda_enter(b, &queue), status;
    *graph = nullptr;
    SS_CUDA_TRY(b->context, cudaStreamEndCapture(queue->stream, &captured), "a queue");
    SS_TRY(entered);
    SS_TRY(SS_NEW(b->context, graph));
    SS_CUDA_TRY(b->context, cudaGraphInstantiateWithFlags(&(*graph)->executable, captured, 0),
                "captured work");
fail:
    if (captured) SS_CUDA_DROP(b->context, cudaGraphDestroy(captured));
    if (status != SS_OK) {
        ss_free(b->context, *graph);
        *graph = nullptr;
    }
    return status;
}

ss_status ss_cuda_graph_launch(ss_backend *b, ss_queue *queue, ss_graph_execution *graph)
{
    SS_RETURN(ss_cuda_enter(b, &queue));
    SS_CUDA(b->context, cudaGraphLaunch(graph->executable, queue->stream), "captured work");
    return SS_OK;
}

void ss_cuda_graph_destroy(ss_backend *b, ss_graph_execution *graph)
{
    if (!graph) return;
    SS_CUDA_DROP(b->context, cudaSetDevice(ss_cuda_device_of(b)->index));
    SS_CUDA_DROP(b->context, cudaGraphExecDestroy(graph->executable));
    ss_free(b->context, graph);
}
