/* Between host and device, on the emulated one: nothing is copied from or to pageable memory, a product waits
 * for the device once, and searches in host memory overlap with their copies. */
#include "backend/backend.h"
#include "base/philox.h"
#include "hvp/fixture.h"
#include "spectrum/basis.h"
#include "spectrum/operators.h"

#include "saddlescope/network.h"
#include "saddlescope/objective.h"

#include <criterion/criterion.h>
#include <cuda_runtime.h>
#include <emulator.h>

static int64_t waits(void)
{
    return ss_emulator_calls("cudaStreamSynchronize") + ss_emulator_calls("cudaDeviceSynchronize") +
           ss_emulator_calls("cudaMemcpy");
}

/* More than two pieces of staging memory, with a rest, up and down, pageable and pinned. */
Test(staging, bulk_is_never_pageable, .init = ss_test_begin, .fini = ss_test_end)
{
    const int64_t bytes = ((int64_t)9 << 20) + 12345;
    ss_backend   *b = NULL;
    char         *host[2] = { NULL, NULL }, *pinned = NULL;
    void         *device = NULL;
    ss_test_require(ss_backend_open(ss_test_context, "cuda", SS_FLOAT32, &b));
    const ss_backend_class *c = b->class;
    for (int i = 0; i < 2; i++) ss_test_require(SS_NEW_ARRAY(ss_test_context, bytes, &host[i]));
    ss_test_require(c->allocate_host(b, bytes, (void **)&pinned));
    ss_test_require(c->allocate(b, bytes, &device));
    for (int64_t i = 0; i < bytes; i++) host[0][i] = (char)(i * 7 + i / 4099);
    uint64_t before = ss_emulator_count().pageable;
    ss_test_require(c->upload(b, NULL, device, host[0], bytes));
    ss_test_require(c->download(b, NULL, pinned, device, bytes));
    ss_test_require(c->poison(b, NULL, device, bytes));
    ss_test_require(c->upload(b, NULL, device, pinned + 3, bytes - 3));
    ss_test_require(c->download(b, NULL, host[1], device, bytes - 3));
    ss_test_require(c->queue_synchronize(b, NULL));
    cr_assert(memcmp(host[0] + 3, host[1], (size_t)bytes - 3) == 0);
    cr_assert_eq(ss_emulator_count().pageable, before);
    c->release(b, device);
    c->release_host(b, pinned);
    for (int i = 0; i < 2; i++) ss_free(ss_test_context, host[i]);
    ss_backend_close(b);
}

/* Programs of all kinds: data, weights, labels, streamed weights, losses. */
Test(staging, programs_are_never_pageable, .init = ss_test_begin, .fini = ss_test_end)
{
    uint64_t before = ss_emulator_count().pageable;
    for (int kind = FIXTURE_PLAIN; kind <= FIXTURE_TOKENS; kind++)
        for (int stream = 0; stream < 2; stream++) {
            fixture            f;
            double             v[512], hv[512], loss;
            ss_program_options options = { .computation = SS_COMPUTE_PRODUCT,
                                           .product = SS_PRODUCT_HESSIAN,
                                           .micro_batch = 4,
                                           .rest = SS_CACHE_NONE,
                                           .lanes = 1,
                                           .stream_weights = stream };
            fixture_create(&f, (fixture_kind)kind, "cuda", SS_FLOAT64, 0.01, NULL);
            fixture_random(&f, 6, v);
            uint64_t    own = ss_emulator_count().pageable;
            ss_program *p;
            void       *memory;
            int64_t     bytes = f.graph->layout.padded * 8;
            ss_test_require(ss_program_compile(ss_test_context, f.backend, f.problem, &options, &p));
            ss_test_require(f.backend->class->allocate(f.backend, 2 * bytes, &memory));
            ss_test_require(f.backend->class->zero(f.backend, NULL, memory, 2 * bytes));
            ss_test_require(ss_program_run(p, 1, memory, 0, (char *)memory + bytes, 0));
            ss_test_require(f.backend->class->queue_synchronize(f.backend, NULL));
            ss_program_destroy(p);
            f.backend->class->release(f.backend, memory);
            fixture_gradient(&f, 4, 0, NULL, hv, &loss);
            cr_assert_eq(ss_emulator_count().pageable, own, "fixture %d", kind);
            fixture_destroy(&f);
        }
    cr_assert_eq(ss_emulator_count().pageable, before);
}

/* An operator's product: it is checked for NaN, and that result is what the host waits for. */
Test(staging, one_wait_per_product, .init = ss_test_begin, .fini = ss_test_end)
{
    enum { SAMPLES = 20, INPUTS = 6, PRODUCTS = 5 };
    static double        data[SAMPLES * INPUTS];
    static int64_t       ids[SAMPLES];
    ss_network          *network;
    ss_dataset          *dataset;
    ss_objective        *objective;
    ss_objective_options options;
    ss_network_options   seeded = { .seed = 4 };
    ss_operator          op;
    void                *v, *hv;
    for (int i = 0; i < SAMPLES * INPUTS; i++) data[i] = ss_random_normal(1, SS_STREAM_TEST, (uint64_t)i);
    for (int i = 0; i < SAMPLES; i++) ids[i] = i % 4;
    ss_array x = { "x", SS_F64, 2, { SAMPLES, INPUTS }, data }, y = { "y", SS_I64, 1, { SAMPLES }, ids };
    ss_objective_options_init(&options);
    options.loss = "cross_entropy";
    options.device = "cuda";
    options.memory = 1 << 24;
    ss_test_require(ss_network_open(ss_test_context, "mlp:6-5-4:tanh", &seeded, &network));
    ss_test_require(ss_dataset_from_arrays(ss_test_context, &x, &y, NULL, &dataset));
    ss_test_require(ss_objective_create(ss_test_context, network, dataset, &options, &objective));
    ss_test_require(ss_objective_operator(objective, SS_PRODUCT_HESSIAN, SS_FLOAT64, NULL, NULL, &op));
    ss_backend *b = op.backend;
    int64_t     bytes = op.layout->padded * 8;
    ss_test_require(b->class->allocate(b, bytes, &v));
    ss_test_require(b->class->allocate(b, bytes, &hv));
    ss_test_require(b->class->random_normal(b, NULL, op.layout, 1, SS_STREAM_TEST, v));
    ss_test_require(ss_operator_apply(&op, 1, v, 0, hv, 0)); /* with the prologue */
    for (int i = 0; i < PRODUCTS; i++) { /* captured in the second one, replayed from then on */
        ss_emulator_fail(NULL, 0);
        ss_test_require(ss_operator_apply(&op, 1, v, 0, hv, 0));
        cr_assert_eq(waits(), 1, "product %d: %lld waits", i, (long long)waits());
        cr_assert(ss_emulator_calls("cudaMemcpyAsync") <= 4, "vectors stay on the device");
    }
    b->class->release(b, v);
    b->class->release(b, hv);
    ss_operator_destroy(&op);
    ss_objective_destroy(objective);
    ss_dataset_close(dataset);
    ss_network_close(network);
}

/* The basis in host memory: columns come and go through pinned memory, and the host waits for results alone.
 */
Test(staging, a_basis_on_the_host_waits_for_results_alone, .init = ss_test_begin, .fini = ss_test_end)
{
    enum { COLUMNS = 6 };
    static const int64_t lengths[] = { 70, 200 };
    known                k;
    ss_basis            *basis = NULL;
    void                *w = NULL;
    double               h[COLUMNS];
    known_open_padded(&k, "cuda", SS_FLOAT32, 2, lengths);
    ss_test_require(ss_basis_create_host(&k.op, COLUMNS, &basis));
    ss_test_require(k.backend->class->allocate(k.backend, ss_vector_bytes(&k.op), &w));
    ss_test_require(ss_vector_random(&k.op, 7, SS_STREAM_TEST, NULL, NULL, w));
    uint64_t before = ss_emulator_count().pageable;
    ss_emulator_fail(NULL, 0);
    for (int64_t j = 0; j < COLUMNS; j++) {
        void *v = NULL;
        ss_test_require(ss_basis_open(basis, j, &v));
        ss_test_require(ss_vector_random(&k.op, 100 + (uint64_t)j, SS_STREAM_TEST, NULL, NULL, v));
        ss_test_require(ss_basis_close(basis, j));
    }
    for (int64_t j = 0; j < COLUMNS; j++) h[j] = 0.1 * (double)j;
    ss_test_require(ss_basis_axpy(basis, COLUMNS, h, 1, w));
    cr_assert_eq(waits(), 0, "%lld", (long long)waits());
    ss_test_require(ss_basis_dot(basis, COLUMNS, w, h));
    cr_assert_eq(waits(), COLUMNS / 2, "one per window, not %lld", (long long)waits());
    cr_assert_eq(ss_emulator_count().pageable, before);
    k.backend->class->release(k.backend, w);
    ss_basis_destroy(basis);
    known_close(&k);
}

/* The counter counts. */
Test(staging, pageable_copies_are_seen, .init = ss_test_begin, .fini = ss_test_end)
{
    float        host[4] = { 1 };
    cudaStream_t stream = NULL;
    void        *device = NULL;
    uint64_t     before = ss_emulator_count().pageable;
    cr_assert_eq(cudaMalloc(&device, sizeof host), cudaSuccess);
    cr_assert_eq(cudaMemcpyAsync(device, host, sizeof host, cudaMemcpyHostToDevice, stream), cudaSuccess);
    cr_assert_eq(cudaMemcpyAsync(host, device, sizeof host, cudaMemcpyDeviceToHost, stream), cudaSuccess);
    cr_assert_eq(ss_emulator_count().pageable, before + 2);
    cr_assert_eq(cudaFree(device), cudaSuccess);
}
