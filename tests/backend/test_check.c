/* cpu-check finds planted faults: of the caller (host pointers, overruns, uninitialised reads, overlaps,
 * freed memory) and of a primitive (wrong writes), the latter through the call machinery with made-up
 * primitives. */
#include "backend/check/check.h"
#include "device.h"

#include <setjmp.h>
#include <signal.h>

static device open_check(ss_real real)
{
    device d = { .real = real, .unit = ss_real_unit_roundoff(real) };
    ss_test_require(ss_backend_open(ss_test_context, "cpu-check", real, &d.b));
    return d;
}

static ss_matrix matrix(void *data, int64_t rows, int64_t cols, int64_t ld)
{
    return (ss_matrix){ .data = data, .rows = rows, .cols = cols, .ld = ld };
}

/* ---- Faults of the caller ---- */

Test(check, host_pointers, .init = ss_test_begin, .fini = ss_test_end)
{
    device d = open_check(SS_FLOAT32);
    float  host[8] = { 0 };
    tensor t = tensor_random(&d, 1, 1, 8, 8, 0);
    double sum;
    ss_test_refuse(d.b->class->dot(d.b, NULL, 8, t.m.data, host, &sum), SS_ERROR_INTERNAL,
                   "dot: operand y is not in device memory");
    ss_test_refuse(d.b->class->upload(d.b, NULL, host, host, 8), SS_ERROR_INTERNAL, "to_device");
    ss_test_refuse(d.b->class->upload(d.b, NULL, t.m.data, t.m.data, 8), SS_ERROR_INTERNAL, "from_host");
    ss_test_refuse(d.b->class->download(d.b, NULL, t.m.data, t.m.data, 8), SS_ERROR_INTERNAL, "to_host");
    ss_test_refuse(d.b->class->zero(d.b, NULL, host, 8), SS_ERROR_INTERNAL, "zero");
    tensor_free(&d, &t);
    device_close(&d);
}

static sigjmp_buf crash;

static void on_crash(int number)
{
    siglongjmp(crash, number);
}

/* A handler of our own, because the sanitizers have one too. */
Test(check, host_dereference_crashes, .init = ss_test_begin, .fini = ss_test_end)
{
    device           d = open_check(SS_FLOAT64);
    volatile double *memory = device_allocate(&d, 64);
    struct sigaction action = { .sa_handler = on_crash };
    cr_assert(sigaction(SIGSEGV, &action, NULL) == 0);
    if (sigsetjmp(crash, 1) == 0) {
        memory[0] = 1;
        cr_assert(false, "device memory was written to by the host");
    }
    if (sigsetjmp(crash, 1) == 0) {
        double read = memory[1];
        cr_assert(false, "device memory was read by the host: %g", read);
    }
    d.b->class->release(d.b, (void *)(uintptr_t)memory);
    device_close(&d);
}

Test(check, overrun_of_an_allocation, .init = ss_test_begin, .fini = ss_test_end)
{
    device    d = open_check(SS_FLOAT64);
    char     *memory = device_allocate(&d, 10 * 8), *other = device_allocate(&d, 10 * 8);
    ss_matrix x = matrix(memory, 2, 5, 5), y = matrix(other, 2, 5, 6); /* ends one element too late */
    ss_test_require(d.b->class->zero(d.b, NULL, memory, 80));
    ss_test_refuse(d.b->class->add(d.b, NULL, 1, 1, &x, 0, &x), SS_ERROR_INTERNAL, "overlaps operand x");
    ss_test_refuse(d.b->class->add(d.b, NULL, 1, 1, &x, 0, &y), SS_ERROR_INTERNAL,
                   "add: operand y does not lie in one live allocation");
    ss_test_refuse(d.b->class->zero(d.b, NULL, memory + 1, 80), SS_ERROR_INTERNAL, "allocation");
    ss_test_refuse(d.b->class->copy(d.b, NULL, memory, memory + 8, 16), SS_ERROR_INTERNAL, "overlaps");
    d.b->class->release(d.b, other);
    y.ld = 5;
    ss_test_refuse(d.b->class->add(d.b, NULL, 1, 1, &x, 0, &y), SS_ERROR_INTERNAL, "live allocation");
    d.b->class->release(d.b, memory);
    d.b->class->release(d.b, memory);
    ss_test_refuse(d.b->class->add(d.b, NULL, 1, 1, &x, 0, &y), SS_ERROR_INTERNAL, "released");
    device_close(&d);
}

Test(check, uninitialised_reads, .init = ss_test_begin, .fini = ss_test_end)
{
    for (int real = 0; real < 2; real++) {
        device    d = open_check((ss_real)real);
        int64_t   bytes = (int64_t)ss_real_size(d.real);
        char     *memory = device_allocate(&d, 12 * bytes), *out = device_allocate(&d, 12 * bytes);
        ss_matrix x = matrix(memory, 3, 4, 4), y = matrix(out, 3, 4, 4);
        ss_test_require(d.b->class->zero(d.b, NULL, memory, 11 * bytes));
        ss_test_refuse(d.b->class->add(d.b, NULL, 1, 1, &x, 0, &y), SS_ERROR_INTERNAL,
                       "operand x, lane 0, row 2, column 3: read before it was written");
        x.cols = y.cols = 3; /* the missing element is now no part of it */
        ss_test_require(d.b->class->add(d.b, NULL, 1, 1, &x, 0, &y));
        y.cols = 4;
        x.rows = 1;
        x.ld = 0;
        x.cols = 4;
        ss_test_refuse(d.b->class->add(d.b, NULL, 1, 1, &x, 1, &y), SS_ERROR_INTERNAL, "operand y");
        ss_test_require(d.b->class->poison(d.b, NULL, memory, bytes));
        ss_test_refuse(d.b->class->add(d.b, NULL, 1, 1, &x, 0, &y), SS_ERROR_INTERNAL, "operand x");
        /* float64 arrays in the memory of either backend */
        ss_loss p = { .kind = SS_LOSS_MSE, .lanes = 1, .x = y, .target = y };
        ss_test_require(d.b->class->zero(d.b, NULL, out, 12 * bytes));
        p.row_weight = device_allocate(&d, 24);
        p.row_loss = device_allocate(&d, 24);
        ss_test_refuse(d.b->class->loss(d.b, NULL, &p), SS_ERROR_INTERNAL, "row_weight");
        d.b->class->release(d.b, (void *)(uintptr_t)p.row_weight);
        d.b->class->release(d.b, p.row_loss);
        d.b->class->release(d.b, memory);
        d.b->class->release(d.b, out);
        device_close(&d);
    }
}

Test(check, overlapping_outputs, .init = ss_test_begin, .fini = ss_test_end)
{
    device d = open_check(SS_FLOAT64);
    char  *memory = device_allocate(&d, 40 * 8);
    ss_test_require(d.b->class->zero(d.b, NULL, memory, 40 * 8));
    ss_matrix x = matrix(memory, 4, 3, 10), y = matrix(memory + 3 * 8, 4, 3, 10);
    ss_test_require(d.b->class->add(d.b, NULL, 1, 1, &x, 0, &y)); /* interleaved, not overlapping */
    y.data = memory + 2 * 8;
    ss_test_refuse(d.b->class->add(d.b, NULL, 1, 1, &x, 0, &y), SS_ERROR_INTERNAL,
                   "operand y overlaps operand x");
    ss_matrix narrow = matrix(memory + 20 * 8, 2, 3, 2), one = matrix(memory, 1, 3, 3);
    ss_test_refuse(d.b->class->add(d.b, NULL, 1, 1, &one, 0, &narrow), SS_ERROR_INTERNAL, "overlaps itself");
    ss_matrix shared = matrix(memory + 20 * 8, 1, 3, 3);
    ss_test_refuse(d.b->class->add(d.b, NULL, 2, 1, &one, 0, &shared), SS_ERROR_INTERNAL, "overlaps itself");
    d.b->class->release(d.b, memory);
    device_close(&d);
}

/* Both real types see the same memory. */
Test(check, backends_share_memory, .init = ss_test_begin, .fini = ss_test_end)
{
    device narrow = open_check(SS_FLOAT32), wide = open_check(SS_FLOAT64);
    tensor x = tensor_random(&narrow, 1, 1, 10, 10, 0), y = tensor_output(&wide, 1, 1, 10, 10, 0);
    ss_test_require(wide.b->class->place(wide.b, NULL, y.m.data, x.m.data, SS_F32, 10, 0, NULL));
    tensor_get(&wide, &y);
    for (int i = 0; i < 10; i++) cr_assert(y.host[i] == x.host[i]);
    wide.b->class->release(wide.b, x.base);
    ss_free(ss_test_context, x.host);
    tensor_free(&wide, &y);
    device_close(&narrow);
    device_close(&wide);
}

/* ---- Faults of a primitive: `spoil` plays one on the copies ---- */

typedef enum fault {
    NO_FAULT,
    MISSING_ELEMENT,
    OVERRUN_END,
    OVERRUN_FRONT,
    OVERRUN_BETWEEN_ROWS,
    INPUT_WRITTEN
} fault;

/* y (3 x 4, ld 6) := x (3 x 4), with a fault. */
static ss_status faulty_copy(device *d, fault f)
{
    tensor        x = tensor_random(d, 1, 3, 4, 4, 0), y = tensor_random(d, 1, 3, 4, 6, 0);
    ss_check_call call = { .b = d->b, .primitive = "faulty" };
    ss_matrix     in = x.m, out = y.m;
    ss_check_matrix(&call, "x", SS_CHECK_READ, &in, 1);
    ss_check_matrix(&call, "y", SS_CHECK_WRITE, &out, 1);
    ss_test_require(ss_check_begin(&call));
    double *from = in.data, *to = out.data;
    for (int i = 0; i < 12; i++)
        if (f != MISSING_ELEMENT || i != 7) to[i / 4 * 6 + i % 4] = from[i];
    if (f == OVERRUN_END) to[16] = 1;
    if (f == OVERRUN_FRONT) to[-1] = 1;
    if (f == OVERRUN_BETWEEN_ROWS) to[5] = 1;
    if (f == INPUT_WRITTEN) from[3] = 1;
    ss_status status = ss_check_end(&call, SS_OK);
    if (status == SS_OK) {
        tensor_get(d, &y);
        for (int i = 0; i < 12; i++) cr_assert(*tensor_at(&y, 0, i / 4, i % 4) == x.host[i]);
    }
    tensor_free(d, &x);
    tensor_free(d, &y);
    return status;
}

Test(check, faulty_primitives, .init = ss_test_begin, .fini = ss_test_end)
{
    device d = open_check(SS_FLOAT64);
    ss_test_require(faulty_copy(&d, NO_FAULT));
    ss_test_refuse(faulty_copy(&d, MISSING_ELEMENT), SS_ERROR_INTERNAL,
                   "operand y, lane 0, row 1, column 3: output was not written");
    ss_test_refuse(faulty_copy(&d, OVERRUN_END), SS_ERROR_INTERNAL, "y was overrun at the end");
    ss_test_refuse(faulty_copy(&d, OVERRUN_FRONT), SS_ERROR_INTERNAL, "y was overrun at the front");
    ss_test_refuse(faulty_copy(&d, OVERRUN_BETWEEN_ROWS), SS_ERROR_INTERNAL,
                   "y was overrun between its rows");
    ss_test_refuse(faulty_copy(&d, INPUT_WRITTEN), SS_ERROR_INTERNAL, "x is an input");
    device_close(&d);
}

/* Heads that lie beside other things: two tokens of two heads of two elements, token stride 8, head stride 3.
 * `element` is written if it is none of them, and left out if it is. */
static ss_status faulty_heads(device *d, int element)
{
    char         *memory = device_allocate(d, 16 * 8);
    ss_heads      y = { .data = memory, .batch = 1, .tokens = 2, .heads = 2, .dim = 2, .batch_stride = 16 };
    ss_check_call call = { .b = d->b, .primitive = "faulty" };
    y.token_stride = 8;
    y.head_stride = 3;
    ss_check_heads(&call, "y", SS_CHECK_WRITE, &y, 1);
    ss_test_require(ss_check_begin(&call));
    double          *to = y.data;
    static const int own[] = { 0, 1, 3, 4, 8, 9, 11, 12 };
    for (int i = 0; i < 8; i++)
        if (own[i] != element) to[own[i]] = 1;
    if (element == 2 || element == 6) to[element] = 1;
    ss_status status = ss_check_end(&call, SS_OK);
    d->b->class->release(d->b, memory);
    return status;
}

Test(check, faulty_heads, .init = ss_test_begin, .fini = ss_test_end)
{
    device d = open_check(SS_FLOAT64);
    ss_test_require(faulty_heads(&d, -1));
    ss_test_refuse(faulty_heads(&d, 2), SS_ERROR_INTERNAL,
                   "y was overrun between its rows"); /* between heads */
    ss_test_refuse(faulty_heads(&d, 6), SS_ERROR_INTERNAL, "y was overrun between its rows"); /* ... tokens */
    ss_test_refuse(faulty_heads(&d, 12), SS_ERROR_INTERNAL, "row 3, column 1: output was not written");
    device_close(&d);
}

/* Every allocation inside a checked call fails once. */
Test(check, allocations_fail, .init = ss_test_begin, .fini = ss_test_end)
{
    device    d = open_check(SS_FLOAT64);
    tensor    x = tensor_random(&d, 1, 3, 4, 4, 0), y = tensor_output(&d, 1, 3, 4, 4, 0);
    int64_t   before = ss_context_memory_now(ss_test_context), nth = 0;
    ss_status status;
    do {
        ss_context_fail_allocation(ss_test_context, ++nth);
        status = d.b->class->add(d.b, NULL, 1, 1, &x.m, 0, &y.m);
        ss_context_fail_allocation(ss_test_context, 0);
        cr_assert(status == SS_OK || status == SS_ERROR_MEMORY);
        cr_assert(ss_context_memory_now(ss_test_context) == before);
        ss_context_clear_message(ss_test_context);
    } while (status != SS_OK && nth < 100);
    cr_assert(nth == 3, "%lld", (long long)nth); /* two copies */
    tensor_free(&d, &x);
    tensor_free(&d, &y);
    device_close(&d);
}
