/* Several threads of the host on one device: each with its own current device, last error and captures, and
 * none of them in the way of another's work. */
#include "device_arrays.h"
#include "kernels.h"
#include "planted.h"

#include <pthread.h>
#include <stdbool.h>

/* Criterion's assertions belong to the main thread: others note where they failed. */
typedef struct worker {
    pthread_t          thread;
    int                number;
    int                line; /* of the first failure, 0 if none */
    cudaError_t        error;
    pthread_barrier_t *both;
    void              *shared;
} worker;

#define STEP(w, call)                                                                                        \
    do {                                                                                                     \
        cudaError_t error_ = (call);                                                                         \
        if (error_ && !(w)->line) (w)->line = __LINE__, (w)->error = error_;                                 \
    } while (0)
#define HOLDS(w, condition)                                                                                  \
    do {                                                                                                     \
        if (!(condition) && !(w)->line) (w)->line = __LINE__;                                                \
    } while (0)

/* Runs one function in two threads, which meet at `both`. */
static void run_two(void *(*function)(void *), void *shared)
{
    pthread_barrier_t both;
    worker            workers[2];
    cr_assert_eq(pthread_barrier_init(&both, NULL, 2), 0);
    for (int i = 0; i < 2; i++) {
        workers[i] = (worker){ .number = i, .both = &both, .shared = shared };
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, function, &workers[i]), 0);
    }
    for (int i = 0; i < 2; i++) pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < 2; i++)
        cr_expect_eq(workers[i].line, 0, "thread %d, line %d: error %d; %s", i, workers[i].line,
                     (int)workers[i].error, ss_emulator_report());
    pthread_barrier_destroy(&both);
}

static void meet(worker *w)
{
    pthread_barrier_wait(w->both);
}

/* ---- Work ---- */

enum { N = 3000, BLOCKS = 5, THREADS = 128, ROUNDS = 12, REPLAYS = 6 };

typedef struct arrays {
    float  *x, *y, *pinned;
    double *wide, *sums; /* pinned; device [BLOCKS] */
} arrays;

/* y := 3 y + x by two kernels, then its way to the host. */
static void enqueue(worker *w, const arrays *a, cudaStream_t stream)
{
    STEP(w, test_axpy(N, 2.0f, a->y, a->y, stream));
    STEP(w, test_axpy(N, 1.0f, a->x, a->y, stream));
    STEP(w, cudaMemcpyAsync(a->pinned, a->y, N * sizeof *a->y, cudaMemcpyDeviceToHost, stream));
}

/* Kernels with barriers and shuffles, whose threads are fibers: the sum of i + number. */
static void sum_up(worker *w, const arrays *a, cudaStream_t stream)
{
    double *device = NULL, sums[BLOCKS] = { 0 }, sum = 0.0;
    for (int i = 0; i < N; i++) a->wide[i] = i + w->number;
    STEP(w, cudaMalloc((void **)&device, N * sizeof *device));
    STEP(w, cudaMemcpyAsync(device, a->wide, N * sizeof *device, cudaMemcpyHostToDevice, stream));
    STEP(w, test_block_sums(N, device, BLOCKS, THREADS, a->sums, stream));
    STEP(w, cudaMemcpyAsync(sums, a->sums, sizeof sums, cudaMemcpyDeviceToHost, stream));
    STEP(w, cudaStreamSynchronize(stream));
    STEP(w, cudaFree(device)); /* waits for the device: runs what the other thread has queued, too */
    for (int i = 0; i < BLOCKS; i++) sum += sums[i];
    HOLDS(w, sum == 0.5 * N * (N - 1) + (double)N * w->number);
}

static void *compute(void *argument)
{
    worker         *w = argument;
    arrays          a = { 0 };
    cudaStream_t    stream;
    cudaGraph_t     graph = NULL;
    cudaGraphExec_t exec = NULL;
    float           expected = 1.0f, add = (float)(w->number + 1);
    STEP(w, cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    STEP(w, cudaMalloc((void **)&a.x, N * sizeof *a.x));
    STEP(w, cudaMalloc((void **)&a.y, N * sizeof *a.y));
    STEP(w, cudaMalloc((void **)&a.sums, BLOCKS * sizeof *a.sums));
    STEP(w, cudaMallocHost((void **)&a.pinned, N * sizeof *a.pinned));
    STEP(w, cudaMallocHost((void **)&a.wide, N * sizeof *a.wide));
    for (int i = 0; i < N && !w->line; i++) a.pinned[i] = add;
    STEP(w, cudaMemcpyAsync(a.x, a.pinned, N * sizeof *a.x, cudaMemcpyHostToDevice, stream));
    STEP(w, cudaStreamSynchronize(stream));
    for (int i = 0; i < N && !w->line; i++) a.pinned[i] = 1.0f;
    STEP(w, cudaMemcpyAsync(a.y, a.pinned, N * sizeof *a.y, cudaMemcpyHostToDevice, stream));
    STEP(w, cudaStreamSynchronize(stream));
    for (int round = 0; round < ROUNDS && !w->line; round++) sum_up(w, &a, stream);

    /* Captured while the other thread allocates, computes and frees, which a thread's own capture allows
     * others.
     */
    for (int turn = 0; turn < 2; turn++) {
        meet(w);
        if (turn == w->number) STEP(w, cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        meet(w);
        if (turn == w->number)
            enqueue(w, &a, stream);
        else
            sum_up(w, &a, stream);
        meet(w);
        if (turn == w->number) STEP(w, cudaStreamEndCapture(stream, &graph));
    }
    STEP(w, cudaGraphInstantiate(&exec, graph, 0));
    for (int i = 0; i < REPLAYS && !w->line; i++) {
        STEP(w, cudaGraphLaunch(exec, stream));
        STEP(w, cudaStreamSynchronize(stream));
        expected = 3.0f * expected + add;
        for (int k = 0; k < N; k++) HOLDS(w, a.pinned[k] == expected);
    }
    STEP(w, cudaGraphExecDestroy(exec));
    STEP(w, cudaGraphDestroy(graph));
    STEP(w, cudaFreeHost(a.pinned));
    STEP(w, cudaFreeHost(a.wide));
    STEP(w, cudaFree(a.sums));
    STEP(w, cudaFree(a.x));
    STEP(w, cudaFree(a.y));
    STEP(w, cudaStreamDestroy(stream));
    return NULL;
}

Test(threads, compute_side_by_side)
{
    run_two(compute, NULL);
    cr_expect_eq(ss_emulator_live("*"), 0);
    cr_expect_eq(ss_emulator_unchecked(), 0);
}

/* ---- Errors ---- */

static void *one_errs(void *argument)
{
    worker *w = argument;
    void   *memory = NULL;
    if (w->number == 0) {
        HOLDS(w, cudaFree(w) == cudaErrorInvalidValue);
        meet(w);
        meet(w);
        HOLDS(w, cudaGetLastError() == cudaErrorInvalidValue);
        HOLDS(w, cudaGetLastError() == cudaSuccess);
    } else {
        meet(w);
        HOLDS(w, cudaPeekAtLastError() == cudaSuccess);
        STEP(w, cudaMalloc(&memory, 64));
        STEP(w, cudaFree(memory));
        meet(w);
    }
    return NULL;
}

Test(threads, errors_belong_to_the_thread_that_made_them)
{
    ss_emulator_set_quiet(1);
    run_two(one_errs, NULL);
}

/* A launch whose error is not fetched is no concern of the other thread's calls; of its own it is
 * (test_planted.c), and at the end of the program. */
static void *one_launches(void *argument)
{
    worker *w = argument;
    void   *memory = NULL;
    if (w->number == 0) planted_launch_left(w->shared);
    meet(w);
    if (w->number == 1) {
        STEP(w, cudaMalloc(&memory, 64));
        STEP(w, cudaFree(memory));
    }
    return NULL;
}

Test(threads, launches_are_watched_thread_by_thread)
{
    float *y = device_new(sizeof *y);
    run_two(one_launches, y);
    cr_expect_eq(ss_emulator_unchecked(), 1, "the thread has ended and nobody has looked");
    ss_emulator_forget();
    FINE(cudaFree(y));
}

/* ---- Captures ---- */

typedef struct captured {
    cudaStream_t stream; /* of thread 0 */
} captured;

/* Thread 0 captures in each mode; thread 1 does what CUDA calls potentially unsafe, and tries to end the
 * capture. */
static void *one_captures(void *argument)
{
    worker                           *w = argument;
    captured                         *c = w->shared;
    static enum cudaStreamCaptureMode modes[] = { cudaStreamCaptureModeGlobal,
                                                  cudaStreamCaptureModeThreadLocal,
                                                  cudaStreamCaptureModeRelaxed };
    for (int i = 0; i < 3; i++) {
        cudaGraph_t graph = NULL;
        void       *memory = NULL;
        bool        global = modes[i] == cudaStreamCaptureModeGlobal;
        if (w->number == 0) STEP(w, cudaStreamBeginCapture(c->stream, modes[i]));
        meet(w);
        if (w->number == 1) {
            if (modes[i] != cudaStreamCaptureModeRelaxed)
                HOLDS(w, cudaStreamEndCapture(c->stream, &graph) == cudaErrorStreamCaptureWrongThread);
            HOLDS(w, cudaMalloc(&memory, 64) == (global ? cudaErrorStreamCaptureUnsupported : cudaSuccess));
            if (memory) STEP(w, cudaFree(memory));
        }
        meet(w);
        if (w->number == 0)
            HOLDS(w, cudaStreamEndCapture(c->stream, &graph) ==
                         (global ? cudaErrorStreamCaptureInvalidated : cudaSuccess));
        if (graph) STEP(w, cudaGraphDestroy(graph));
        meet(w);
    }
    return NULL;
}

/* A blocking stream that is captured: the legacy stream would wait for it, whoever uses that. */
static void *one_uses_the_legacy_stream(void *argument)
{
    worker     *w = argument;
    captured   *c = w->shared;
    cudaGraph_t graph = NULL;
    void       *memory = NULL;
    if (w->number == 0) STEP(w, cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeThreadLocal));
    meet(w);
    if (w->number == 1) {
        STEP(w, cudaMalloc(&memory, 64));
        HOLDS(w, cudaMemsetAsync(memory, 0, 64, NULL) == cudaErrorStreamCaptureImplicit);
        STEP(w, cudaFree(memory));
    }
    meet(w);
    if (w->number == 0)
        HOLDS(w, cudaStreamEndCapture(c->stream, &graph) == cudaErrorStreamCaptureInvalidated);
    return NULL;
}

Test(threads, captures_forbid_what_their_mode_says)
{
    captured c;
    FINE(cudaStreamCreateWithFlags(&c.stream, cudaStreamNonBlocking));
    run_two(one_captures, &c);
    FINE(cudaStreamDestroy(c.stream));
    FINE(cudaStreamCreate(&c.stream));
    run_two(one_uses_the_legacy_stream, &c);
    FINE(cudaStreamDestroy(c.stream));
}

/* ---- Devices ---- */

static void *other_device(void *argument)
{
    worker      *w = argument;
    cudaStream_t stream;
    float       *y = NULL;
    int          device = -1;
    STEP(w, cudaSetDevice(w->number));
    meet(w);
    STEP(w, cudaGetDevice(&device));
    HOLDS(w, device == w->number);
    STEP(w, cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    STEP(w, cudaMalloc((void **)&y, sizeof *y));
    STEP(w, cudaMemsetAsync(y, 0, sizeof *y, stream));
    STEP(w, test_axpy(1, 1.0f, y, y, stream));
    STEP(w, cudaStreamSynchronize(stream));
    STEP(w, cudaSetDevice(1 - w->number));
    HOLDS(w, test_axpy(1, 1.0f, y, y, stream) == cudaErrorInvalidResourceHandle);
    STEP(w, cudaFree(y));
    STEP(w, cudaStreamDestroy(stream));
    return NULL;
}

Test(threads, the_current_device_is_each_threads_own)
{
    ss_emulator_set_devices(2);
    run_two(other_device, NULL);
}
