/* Streams, events, copies and graphs: in order, only when waited for, with CUDA's rules for captures. */
#include "device_arrays.h"
#include "kernels.h"

#include <math.h>
#include <string.h>

enum { N = 64 };
#define BYTES (N * sizeof(float))

static float *filled(float value)
{
    float x[N];
    for (int i = 0; i < N; i++) x[i] = value;
    return device_from(x, sizeof x);
}

static float first_of(const float *device)
{
    float x[N];
    device_to(x, device, sizeof x);
    for (int i = 1; i < N; i++) cr_assert(x[i] == x[0] || (isnan(x[i]) && isnan(x[0])));
    return x[0];
}

static cudaStream_t stream_new(void)
{
    cudaStream_t stream;
    FINE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
}

static cudaEvent_t event_new(void)
{
    cudaEvent_t event;
    FINE(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    return event;
}

Test(streams, a_copy_to_pinned_memory_is_there_after_the_synchronisation_only)
{
    cudaStream_t stream = stream_new();
    float       *one = filled(1), *two = filled(2), *pinned;
    FINE(cudaMallocHost((void **)&pinned, BYTES));
    cr_assert(isnan(pinned[0]));
    FINE(test_axpy(N, 3.0f, one, two, stream));
    FINE(cudaMemcpyAsync(pinned, two, BYTES, cudaMemcpyDeviceToHost, stream));
    cr_assert(isnan(pinned[0]), "without a synchronisation the old value is seen");
    FINE(cudaStreamSynchronize(stream));
    cr_assert_eq(pinned[0], 5.0f);

    /* A pinned source is read when the copy runs, a pageable one before the call returns. */
    float pageable[N] = { 7 };
    pinned[0] = 8;
    FINE(cudaMemcpyAsync(one, pinned, BYTES, cudaMemcpyHostToDevice, stream));
    FINE(cudaMemcpyAsync(two, pageable, BYTES, cudaMemcpyHostToDevice, stream));
    pinned[0] = 9;
    pageable[0] = 9;
    FINE(cudaStreamSynchronize(stream));
    device_to(pageable, one, BYTES);
    cr_assert_eq(pageable[0], 9.0f);
    device_to(pageable, two, BYTES);
    cr_assert_eq(pageable[0], 7.0f);

    ss_emulator_set_deferred(0);
    FINE(cudaMemcpyAsync(pinned, two, BYTES, cudaMemcpyDeviceToHost, stream));
    cr_assert_eq(pinned[0], 7.0f, "in immediate mode nothing is put off");
    FINE(cudaFreeHost(pinned));
    FINE(cudaFree(one));
    FINE(cudaFree(two));
    FINE(cudaStreamDestroy(stream));
    cr_assert_eq(ss_emulator_live("*"), 0);
}

/* b := a in stream 1 after a += 1 in stream 0; `wait`: stream 1 waits for the event. */
static float across(int wait)
{
    cudaStream_t streams[] = { stream_new(), stream_new() };
    cudaEvent_t  event = event_new();
    float       *one = filled(1), *a = filled(10), *b = filled(0), result;
    FINE(test_axpy(N, 1.0f, one, a, streams[0]));
    FINE(cudaEventRecord(event, streams[0]));
    if (wait) FINE(cudaStreamWaitEvent(streams[1], event, 0));
    FINE(cudaMemcpyAsync(b, a, BYTES, cudaMemcpyDeviceToDevice, streams[1]));
    FINE(cudaStreamSynchronize(streams[1]));
    cr_assert_eq(cudaEventQuery(event), wait ? cudaSuccess : cudaErrorNotReady);
    result = first_of(b);
    FINE(cudaEventSynchronize(event));
    cr_assert_eq(first_of(a), 11.0f);
    FINE(cudaEventDestroy(event));
    for (int i = 0; i < 2; i++) FINE(cudaStreamDestroy(streams[i]));
    FINE(cudaFree(one));
    FINE(cudaFree(a));
    FINE(cudaFree(b));
    return result;
}

Test(streams, a_missing_event_wait_shows)
{
    cr_assert_eq(across(1), 11.0f);
    cr_assert_eq(across(0), 10.0f);
}

Test(streams, the_default_stream_takes_turns_with_blocking_streams)
{
    cudaStream_t blocking;
    FINE(cudaStreamCreate(&blocking));
    float *one = filled(1), *a = filled(1), *b = filled(1);
    FINE(test_axpy(N, 1.0f, one, a, blocking)); /* a = 2 */
    FINE(test_axpy(N, 1.0f, a, b, NULL));       /* b = 3 */
    FINE(test_axpy(N, 1.0f, b, a, blocking));   /* a = 5 */
    FINE(cudaStreamSynchronize(blocking));
    cr_assert_eq(first_of(a), 5.0f);
    FINE(cudaStreamDestroy(blocking));
    FINE(cudaFree(one));
    FINE(cudaFree(a));
    FINE(cudaFree(b));
}

Test(streams, times_of_events)
{
    cudaEvent_t  begin, end, untimed = event_new();
    cudaStream_t stream = stream_new();
    float        ms = -1;
    FINE(cudaEventCreate(&begin));
    FINE(cudaEventCreate(&end));
    GIVES(cudaErrorInvalidResourceHandle, cudaEventElapsedTime(&ms, begin, end));
    FINE(cudaEventRecord(begin, stream));
    FINE(cudaEventRecord(end, stream));
    FINE(cudaEventRecord(untimed, stream));
    GIVES(cudaErrorNotReady, cudaEventElapsedTime(&ms, begin, end));
    FINE(cudaEventSynchronize(end));
    FINE(cudaEventElapsedTime(&ms, begin, end));
    cr_assert_geq(ms, 0.0f);
    GIVES(cudaErrorInvalidResourceHandle, cudaEventElapsedTime(&ms, begin, untimed));
    cr_assert_eq(cudaStreamQuery(stream), cudaErrorNotReady);
    FINE(cudaStreamSynchronize(stream));
    cr_assert_eq(cudaStreamQuery(stream), cudaSuccess);
    FINE(cudaEventDestroy(begin));
    FINE(cudaEventDestroy(end));
    FINE(cudaEventDestroy(untimed));
    FINE(cudaStreamDestroy(stream));
}

Test(streams, pitched_copies_and_wrong_arguments)
{
    float  host[3][5], back[3][2] = { { 0 } }, *device = device_new(3 * 8 * sizeof *device);
    size_t free_bytes, total;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 5; j++) host[i][j] = (float)(10 * i + j);
    FINE(cudaMemcpy2DAsync(device, 8 * sizeof(float), host, sizeof *host, sizeof *host, 3,
                           cudaMemcpyHostToDevice, NULL));
    FINE(cudaMemcpy2DAsync(back, sizeof *back, device + 1, 8 * sizeof(float), sizeof *back, 3,
                           cudaMemcpyDeviceToHost, NULL));
    for (int i = 0; i < 3; i++) cr_assert(back[i][0] == host[i][1] && back[i][1] == host[i][2]);
    ss_emulator_set_quiet(1);
    GIVES(cudaErrorInvalidPitchValue,
          cudaMemcpy2D(device, 8, host, sizeof *host, 12, 2, cudaMemcpyHostToDevice));
    GIVES(cudaErrorInvalidValue, cudaMemcpy(device, host, sizeof host, cudaMemcpyDeviceToDevice));
    GIVES(cudaErrorInvalidValue, cudaMemcpy(device, host, 4 * sizeof host, cudaMemcpyHostToDevice));
    GIVES(cudaErrorInvalidValue, cudaMemset(host, 0, 4));
    GIVES(cudaErrorInvalidValue, cudaFree(device + 1));
    GIVES(cudaErrorInvalidDevice, cudaSetDevice(1));
    cr_assert_eq(cudaGetLastError(), cudaErrorInvalidDevice);
    cr_assert_eq(cudaGetLastError(), cudaSuccess);
    FINE(cudaMemGetInfo(&free_bytes, &total));
    cr_assert_eq(total - free_bytes, 3 * 8 * sizeof *device);
    void *much;
    GIVES(cudaErrorMemoryAllocation, cudaMalloc(&much, free_bytes + 1));
    FINE(cudaFree(device));
    FINE(cudaFree(NULL));
}

/* ---- Graphs ---- */
typedef struct fixture {
    cudaStream_t main, side;
    cudaEvent_t  fork, join;
    float       *one, *a, *b;
} fixture;

static fixture fixture_new(void)
{
    return (fixture){ stream_new(), stream_new(), event_new(), event_new(), filled(1), filled(0), filled(0) };
}

static void fixture_free(fixture *f)
{
    FINE(cudaStreamDestroy(f->main));
    FINE(cudaStreamDestroy(f->side));
    FINE(cudaEventDestroy(f->fork));
    FINE(cudaEventDestroy(f->join));
    FINE(cudaFree(f->one));
    FINE(cudaFree(f->a));
    FINE(cudaFree(f->b));
    cr_assert_eq(ss_emulator_live("*"), 0);
}

/* a += 1 in the main stream; b += a beside it, forked and joined by events; a += b. `joined`: with the last
 * wait. */
static cudaError_t capture(fixture *f, int joined, cudaGraph_t *graph)
{
    FINE(cudaStreamBeginCapture(f->main, cudaStreamCaptureModeGlobal));
    FINE(test_axpy(N, 1.0f, f->one, f->a, f->main));
    FINE(cudaEventRecord(f->fork, f->main));
    FINE(cudaStreamWaitEvent(f->side, f->fork, 0));
    FINE(test_axpy(N, 1.0f, f->a, f->b, f->side));
    FINE(cudaEventRecord(f->join, f->side));
    if (joined) FINE(cudaStreamWaitEvent(f->main, f->join, 0));
    FINE(test_axpy(N, 1.0f, f->b, f->a, f->main));
    return cudaStreamEndCapture(f->main, graph);
}

Test(graphs, replay_what_was_captured)
{
    fixture         f = fixture_new();
    cudaGraph_t     graph;
    cudaGraphExec_t exec;
    size_t          nodes = 0;
    FINE(capture(&f, 1, &graph));
    cr_assert_eq(first_of(f.a), 0.0f, "capturing runs nothing");
    FINE(cudaGraphGetNodes(graph, NULL, &nodes));
    cr_assert_eq(nodes, 3);
    FINE(cudaGraphInstantiate(&exec, graph, 0));
    FINE(cudaGraphDestroy(graph));
    float a = 0, b = 0;
    for (int i = 0; i < 5; i++) {
        FINE(cudaGraphLaunch(exec, f.main));
        FINE(cudaStreamSynchronize(f.main));
        a += 1;
        b += a;
        a += b;
        cr_assert_eq(first_of(f.a), a);
        cr_assert_eq(first_of(f.b), b);
    }
    FINE(cudaGraphExecDestroy(exec));
    fixture_free(&f);
}

Test(graphs, work_that_was_not_joined_is_refused)
{
    fixture     f = fixture_new();
    cudaGraph_t graph;
    GIVES(cudaErrorStreamCaptureUnjoined, capture(&f, 0, &graph));
    cr_assert_null(graph);
    fixture_free(&f);
}

/* Without dependencies between two forks, both orders of replay occur. */
Test(graphs, a_missing_dependency_shows)
{
    fixture         f = fixture_new();
    cudaGraph_t     graph;
    cudaGraphExec_t exec;
    int             different = 0;
    FINE(cudaStreamBeginCapture(f.main, cudaStreamCaptureModeGlobal));
    FINE(cudaEventRecord(f.fork, f.main));
    FINE(cudaStreamWaitEvent(f.side, f.fork, 0));
    FINE(cudaMemsetAsync(f.a, 0, BYTES, f.main));
    FINE(cudaMemcpyAsync(f.a, f.one, BYTES, cudaMemcpyDeviceToDevice, f.side)); /* races with the memset */
    FINE(cudaEventRecord(f.join, f.side));
    FINE(cudaStreamWaitEvent(f.main, f.join, 0));
    FINE(cudaStreamEndCapture(f.main, &graph));
    FINE(cudaGraphInstantiate(&exec, graph, 0));
    for (int i = 0; i < 4; i++) {
        FINE(cudaGraphLaunch(exec, f.main));
        FINE(cudaStreamSynchronize(f.main));
        different |= first_of(f.a) == 0.0f ? 1 : 2;
    }
    cr_assert_eq(different, 3);
    FINE(cudaGraphExecDestroy(exec));
    FINE(cudaGraphDestroy(graph));
    fixture_free(&f);
}

typedef enum illegal {
    SYNCHRONISE,
    DEVICE,
    ALLOCATE,
    FREE,
    PAGEABLE,
    LEGACY_COPY,
    LEGACY_LAUNCH,
    QUERY,
    OTHER_EVENT,
    OTHER_STREAM,
    ILLEGAL
} illegal;

static cudaError_t break_rule(illegal what, fixture *f)
{
    float host[N] = { 0 };
    void *memory;
    switch (what) {
    case SYNCHRONISE: return cudaStreamSynchronize(f->main);
    case DEVICE: return cudaDeviceSynchronize();
    case ALLOCATE: return cudaMalloc(&memory, 8);
    case FREE: return cudaFree(f->b);
    case PAGEABLE: return cudaMemcpyAsync(f->a, host, BYTES, cudaMemcpyHostToDevice, f->main);
    case LEGACY_COPY: return cudaMemcpy(f->a, f->b, BYTES, cudaMemcpyDeviceToDevice);
    case LEGACY_LAUNCH: return test_axpy(N, 1.0f, f->a, f->b, NULL);
    case QUERY: return cudaEventQuery(f->fork);
    case OTHER_EVENT: return cudaEventSynchronize(f->join);
    case OTHER_STREAM: return cudaStreamSynchronize(f->side);
    case ILLEGAL: break;
    }
    return cudaSuccess;
}

Test(graphs, calls_that_are_illegal_while_capturing)
{
    const cudaError_t expected[] = { cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureUnsupported,
                                     cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureUnsupported,
                                     cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureImplicit,
                                     cudaErrorStreamCaptureImplicit,    cudaErrorCapturedEvent,
                                     cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureUnsupported };
    ss_emulator_set_quiet(1);
    for (int what = 0; what < ILLEGAL; what++) {
        fixture                      f = fixture_new();
        cudaGraph_t                  graph;
        enum cudaStreamCaptureStatus status;
        FINE(cudaStreamBeginCapture(f.main, cudaStreamCaptureModeGlobal));
        FINE(cudaEventRecord(f.fork, f.main));
        FINE(cudaStreamIsCapturing(f.main, &status));
        cr_assert_eq(status, cudaStreamCaptureStatusActive);
        cr_expect_eq(break_rule((illegal)what, &f), expected[what], "call %d", what);
        FINE(cudaStreamIsCapturing(f.main, &status));
        cr_assert_eq(status, cudaStreamCaptureStatusInvalidated);
        GIVES(cudaErrorStreamCaptureInvalidated, test_axpy(N, 1.0f, f.one, f.a, f.main));
        GIVES(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(f.main, &graph));
        FINE(cudaStreamSynchronize(f.main));
        fixture_free(&f);
    }
}
