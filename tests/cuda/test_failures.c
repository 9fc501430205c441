/* Every call of the CUDA runtime, cuBLAS and cuSOLVER and every launch fails once, on the emulated device: a
 * clean error with the call's name, nothing is left behind, and the same work succeeds afterwards. */
#include "backend/backend.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <emulator.h>
#include <stdio.h>
#include <string.h>

enum { N = 300, K = 3 };

/* One call of every family, with whatever they allocate. Host pointers: results. */
typedef struct work {
    ss_backend *b;
    ss_queue   *queue;
    ss_event   *event;
    char       *memory, *pinned;
} work;

static ss_matrix matrix(const work *w, int64_t element, int64_t rows, int64_t cols)
{
    int64_t size = (int64_t)ss_real_size(w->b->real);
    return (ss_matrix){ .data = w->memory + element * size, .rows = rows, .cols = cols, .ld = cols };
}

static ss_status use_bytes(work *w)
{
    ss_status               status = SS_OK;
    const ss_backend_class *c = w->b->class;
    int64_t                 bytes = 16 * N * 8;
    double                  host[N] = { 0 };
    SS_TRY(c->queue_create(w->b, &w->queue));
    SS_TRY(c->event_create(w->b, &w->event));
    SS_TRY(c->allocate(w->b, bytes, (void **)&w->memory));
    SS_TRY(c->poison(w->b, NULL, w->memory, bytes));
    SS_TRY(c->zero(w->b, NULL, w->memory, bytes));
    SS_TRY(c->upload(w->b, NULL, w->memory, host, sizeof host));
    SS_TRY(c->allocate_host(w->b, sizeof host, (void **)&w->pinned));
    SS_TRY(c->download(w->b, w->queue, w->pinned, w->memory, sizeof host));
    SS_TRY(c->event_record(w->b, w->event, NULL));
    SS_TRY(c->queue_wait(w->b, w->queue, w->event));
    SS_TRY(c->copy(w->b, w->queue, w->memory + sizeof host, w->memory, sizeof host));
    SS_TRY(c->queue_synchronize(w->b, w->queue));
    SS_TRY(c->download(w->b, NULL, host, w->memory, sizeof host));
    SS_TRY(c->convert(w->b, NULL, w->memory, w->b->real, w->memory + 8 * N * 8, SS_U8, N, 2, 1));
    SS_TRY(c->place(w->b, NULL, w->memory, w->memory + 8 * N * 8, SS_F32, N, 0.5, w->memory + 4 * N * 8));
fail:
    return status;
}

static ss_status use_matrices(work *w)
{
    ss_status               status = SS_OK;
    const ss_backend_class *c = w->b->class;
    ss_matrix               x = matrix(w, 0, 10, 20), y = matrix(w, N, 10, 20), z = matrix(w, 2 * N, 10, 20);
    ss_matrix               saved = matrix(w, 3 * N, 10, 2), row = matrix(w, 4 * N, 1, 20);
    double                 *weights = (double *)(void *)(w->memory + 9 * N * 8);
    ss_gemm                 g = { .transpose_b = true, .m = 10, .n = 10, .k = 20, .alpha = 1, .batch = 1 };
    g.a = x.data, g.b = y.data, g.c = z.data, g.lda = g.ldb = 20, g.ldc = 10;
    ss_pointwise p = { .function = SS_TANH, .sweep = SS_FORWARD, .lanes = 1, .x = x, .y = y };
    ss_norm      n = {
             .sweep = SS_FORWARD, .centered = true, .eps = 1, .lanes = 1, .x = x, .y = y, .saved = saved
    };
    ss_pointwise biased = {
        .function = SS_TANH, .sweep = SS_BACKWARD, .lanes = 1, .y = x, .y_a = y, .x_a = z
    };
    biased.bias_a = row;
    ss_norm      b = { .sweep = SS_TANGENT_BACKWARD, .centered = true, .eps = 1, .lanes = 1, .x = x };
    const ss_glu product = { .sweep = SS_FORWARD, .lanes = 1, .a = x, .b = y, .y = z };
    b.saved = saved, b.x_t = x, b.y_a = y, b.gain_at = row, b.x_at = z;
    ss_loss l = { .kind = SS_LOSS_MSE, .sweep = SS_FORWARD, .lanes = 1, .x = x, .target = y };
    l.row_weight = weights, l.row_loss = weights + N;
    SS_TRY(c->gemm(w->b, NULL, &g));
    g.batch = 2, g.stride_c = 150, g.alpha = 0.5;
    SS_TRY(c->gemm(w->b, NULL, &g));
    SS_TRY(c->pointwise(w->b, NULL, &p));
    SS_TRY(c->pointwise(w->b, NULL, &biased));
    SS_TRY(c->norm(w->b, NULL, &n));
    SS_TRY(c->norm(w->b, NULL, &b));
    SS_TRY(c->loss(w->b, NULL, &l));
    SS_TRY(c->sample_targets(w->b, NULL, SS_LOSS_MSE, &x, 1, 0, NULL, &z));
    SS_TRY(c->add(w->b, NULL, 1, 2, &x, 1, &y));
    SS_TRY(c->sum(w->b, NULL, 1, 2, &x, 1, &y, false, &z));
    SS_TRY(c->glu(w->b, NULL, &product));
    SS_TRY(c->column_sum(w->b, NULL, 1, &x, false, &row));
    SS_TRY(c->queue_synchronize(w->b, NULL));
fail:
    return status;
}

static ss_status use_vectors(work *w)
{
    ss_status               status = SS_OK;
    const ss_backend_class *c = w->b->class;
    void                   *x = w->memory, *y = w->memory + 4 * N * 8;
    double                  h[K], s[K * K] = { 1 }, values[5];
    int64_t                 found;
    const ss_segment        segment = { 0, 0, N };
    const ss_layout         layout = { .n = N, .padded = N, .n_segments = 1, .segments = &segment };
    SS_TRY(c->random_normal(w->b, NULL, &layout, 1, 2, x));
    SS_TRY(c->axpby(w->b, NULL, N, 1, x, 0, y));
    SS_TRY(c->dot(w->b, NULL, N, x, y, h));
    SS_TRY(c->block_dot(w->b, NULL, N, K, x, N, y, h));
    SS_TRY(c->block_axpy(w->b, NULL, N, K, x, N, h, 1, y));
    SS_TRY(c->block_combine(w->b, NULL, N, K, K - 1, x, N, s));
    SS_TRY(c->find_nonfinite(w->b, NULL, N, x, &found));
    SS_TRY(c->count_sign_changes(w->b, NULL, N, x, y, &found));
    SS_TRY(c->zero(w->b, NULL, w->memory, 25 * 8));
    SS_TRY(c->symmetric_eigen(w->b, NULL, 5, (double *)(void *)w->memory, true, values));
fail:
    return status;
}

static ss_heads heads(const work *w, int number)
{
    enum { TOKENS = 6, HEADS = 2, DIM = 2, COUNT = TOKENS * HEADS * DIM };
    ss_heads h = { .batch = 1, .tokens = TOKENS, .heads = HEADS, .dim = DIM, .batch_stride = COUNT };
    h.token_stride = HEADS * DIM, h.head_stride = DIM;
    h.data = w->memory + (int64_t)number * COUNT * (int64_t)ss_real_size(w->b->real);
    return h;
}

static ss_status use_attention(work *w)
{
    ss_status               status = SS_OK;
    const ss_backend_class *c = w->b->class;
    ss_attention p = { .lanes = 1, .scale = 1, .cap = 2, .causal = true, .q = heads(w, 0), .k = heads(w, 1) };
    p.v = heads(w, 2), p.o = heads(w, 3), p.q_t = heads(w, 4), p.k_t = heads(w, 5), p.v_t = heads(w, 6);
    p.o_t = heads(w, 7), p.o_a = heads(w, 8), p.o_at = heads(w, 9);
    p.q_a = p.q_at = heads(w, 10), p.k_a = p.k_at = heads(w, 11), p.v_a = p.v_at = heads(w, 12);
    p.saved = heads(w, 13).data, p.saved_t = heads(w, 14).data, p.workspace = heads(w, 15).data;
    SS_TRY(c->zero(w->b, NULL, w->memory, 16 * N * 8));
    for (int i = SS_FORWARD; i <= SS_TANGENT_BACKWARD; i++) {
        p.sweep = (ss_sweep)i;
        int64_t bytes = c->attention_workspace(w->b, &p) * (int64_t)ss_real_size(w->b->real);
        cr_assert_leq((char *)p.workspace + bytes, w->memory + 16 * N * 8);
        SS_TRY(c->attention(w->b, NULL, &p));
    }
    SS_TRY(c->queue_synchronize(w->b, NULL));
fail:
    return status;
}

static ss_status use_capture(work *w)
{
    ss_status               status = SS_OK, ended;
    const ss_backend_class *c = w->b->class;
    ss_graph_execution     *graph = NULL;
    SS_TRY(c->capture_begin(w->b, NULL));
    status = c->axpby(w->b, NULL, N, 1, w->memory, 0, w->memory + 4 * N * 8);
    ended = c->capture_end(w->b, NULL, &graph); /* in any case: the queue takes no other work before */
    if (status == SS_OK) status = ended;
    if (status != SS_OK) goto fail;
    SS_TRY(c->graph_launch(w->b, NULL, graph));
    SS_TRY(c->queue_synchronize(w->b, NULL));
fail:
    c->graph_destroy(w->b, graph);
    return status;
}

static ss_status use_everything(ss_real real)
{
    ss_status status = SS_OK;
    work      w = { 0 };
    SS_TRY(ss_backend_open(ss_test_context, "cuda", real, &w.b));
    SS_TRY(use_bytes(&w));
    SS_TRY(use_matrices(&w));
    SS_TRY(use_vectors(&w));
    SS_TRY(use_attention(&w));
    SS_TRY(use_capture(&w));
fail:
    if (w.b) {
        w.b->class->release(w.b, w.memory);
        w.b->class->release_host(w.b, w.pinned);
        w.b->class->event_destroy(w.b, w.event);
        w.b->class->queue_destroy(w.b, w.queue);
    }
    ss_backend_close(w.b);
    return status;
}

/* Calls that clean up: their failure is logged, the work succeeds. */
static bool may_be_lost(const char *kind)
{
    return strstr(kind, "Free") || strstr(kind, "Destroy") || strcmp(kind, "*") == 0 ||
           strcmp(kind, "cudaSetDevice") == 0 || strcmp(kind, "cudaStreamSynchronize") == 0;
}

/* Every call of one kind, one after the other. Returns how many there are. */
static int64_t fail_each(const char *kind, ss_real real)
{
    for (int64_t nth = 1;; nth++) {
        int64_t host = ss_context_memory_now(ss_test_context), device = ss_emulator_live("*");
        ss_emulator_fail(kind, nth);
        ss_status status = use_everything(real);
        bool      failed = ss_emulator_failed();
        ss_emulator_fail(NULL, 0);
        ss_emulator_forget();
        if (!failed) {
            ss_test_require(status);
            return nth - 1;
        }
        cr_assert(status != SS_OK || may_be_lost(kind), "%s: failure number %lld was not noticed", kind,
                  (long long)nth);
        cr_assert(status == SS_OK || *ss_context_message(ss_test_context), "%s, call %lld: no message", kind,
                  (long long)nth);
        cr_assert(ss_context_memory_now(ss_test_context) == host, "%s, call %lld: host memory is lost", kind,
                  (long long)nth);
        /* what a failed cleaning call leaves behind is that call's own object */
        int64_t left = ss_emulator_live("*") - device;
        cr_assert(left <= 1 && (left == 0 || status == SS_OK), "%s, call %lld: %lld objects are left", kind,
                  (long long)nth, (long long)left);
        ss_context_clear_message(ss_test_context);
    }
}

Test(failures, every_call_fails_once, .init = ss_test_begin, .fini = ss_test_end)
{
    /* clang-format off */
    static const char *const kinds[] = {
        "launch", "cudaMalloc", "cudaHostAlloc", "cudaMemcpyAsync", "cudaMemsetAsync", "cudaStreamCreateWithFlags",
        "cudaStreamSynchronize", "cudaStreamWaitEvent", "cudaEventCreateWithFlags", "cudaEventRecord",
        "cudaEventSynchronize", "cudaSetDevice", "cudaGetDeviceProperties", "cublasCreate*", "cublasSet*",
        "cublasGemmEx*", "cublasGemmStridedBatchedEx*", "cusolverDnCreate*", "cusolverDnSet*", "cusolverDnX*",
        "cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiateWithFlags", "cudaGraphLaunch",
        "cudaGraphDestroy", "cudaGraphExecDestroy",
        "cudaFree", "cudaFreeHost", "cudaStreamDestroy", "cudaEventDestroy", "cublasDestroy*", "cusolverDnDestroy*",
        "*"
    };
    /* clang-format on */
    ss_emulator_set_quiet(1);
    ss_test_require(use_everything(SS_FLOAT32));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int64_t calls = fail_each(kinds[i], i % 2 ? SS_FLOAT64 : SS_FLOAT32);
        printf("%-24s %4lld calls, each failed once\n", kinds[i], (long long)calls);
        cr_assert(calls > 0, "%s is never called", kinds[i]);
    }
    cr_assert(ss_emulator_unchecked() == 0);
}

/* The message says which call, with what, and which error. */
Test(failures, messages, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_backend *b = NULL;
    void       *memory = NULL;
    ss_emulator_set_quiet(1);
    ss_test_require(ss_backend_open(ss_test_context, "cuda:0", SS_FLOAT32, &b));
    cr_assert_str_eq(b->name, "cuda:0");
    ss_test_refuse(b->class->allocate(b, (int64_t)1 << 45, &memory), SS_ERROR_MEMORY,
                   "no device memory: 35184372088832 bytes");
    cr_assert_null(memory);
    ss_test_require(b->class->allocate(b, 400, &memory));
    ss_emulator_fail("launch", 1);
    ss_test_refuse(b->class->axpby(b, NULL, 100, 0, memory, 0, memory), SS_ERROR_DEVICE,
                   "kernel (ss_map_packs<");
    ss_emulator_fail(NULL, 0);
    b->class->release(b, memory);
    ss_backend_close(b);
    ss_test_refuse(ss_backend_open(ss_test_context, "cuda:7", SS_FLOAT32, &b), SS_ERROR_REFUSED,
                   "cuda:7: there is 1 device, numbered from 0");
    ss_emulator_fail("cudaGetDeviceCount", 1);
    ss_test_refuse(ss_backend_open(ss_test_context, "cuda", SS_FLOAT32, &b), SS_ERROR_REFUSED,
                   "the driver supports CUDA");
    ss_emulator_fail("cudaSetDevice",
                     1); /* the first call that needs a context: in exclusive use elsewhere */
    ss_test_refuse(ss_backend_open(ss_test_context, "cuda", SS_FLOAT32, &b), SS_ERROR_REFUSED,
                   "cuda:0 cannot be used: cudaErrorDevicesUnavailable");
    ss_emulator_fail(NULL, 0);
    ss_emulator_set_devices(0);
    ss_test_refuse(ss_backend_open(ss_test_context, "cuda", SS_FLOAT32, &b), SS_ERROR_REFUSED, "no");
}

/* Both real types share the device's queue: what one computes the other sees without waiting. */
Test(failures, backends_share_a_queue, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_backend *narrow = NULL, *wide = NULL;
    void       *x = NULL, *y = NULL;
    double      sum = 0;
    ss_test_require(ss_backend_open(ss_test_context, "cuda", SS_FLOAT32, &narrow));
    ss_test_require(ss_backend_open(ss_test_context, "cuda", SS_FLOAT64, &wide));
    ss_test_require(narrow->class->allocate(narrow, 400, &x));
    ss_test_require(wide->class->allocate(wide, 800, &y));
    ss_test_require(narrow->class->zero(narrow, NULL, x, 400));
    ss_test_require(narrow->class->convert(narrow, NULL, x, SS_FLOAT32, x, SS_F32, 100, 0, 3));
    ss_test_require(wide->class->convert(wide, NULL, y, SS_FLOAT64, x, SS_F32, 100, 1, 0));
    ss_test_require(wide->class->dot(wide, NULL, 100, y, y, &sum));
    cr_assert(sum == 900);
    narrow->class->release(narrow, y);
    narrow->class->release(narrow, x);
    ss_backend_close(narrow);
    ss_backend_close(wide);
    cr_assert(ss_emulator_live("*") == 0);
}
