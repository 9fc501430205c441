/* The planner's choice of the micro-batch: as the device likes it, smaller where that saves flops, and below
 * what is efficient only where nothing else fits. */
#include "hvp/fixture.h"

#include <criterion/criterion.h>

static ss_plan_request request_of(int64_t budget)
{
    return (ss_plan_request){ .computation = SS_COMPUTE_PRODUCT,
                              .product = SS_PRODUCT_HESSIAN,
                              .cache = SS_CACHE_AUTO,
                              .lanes = 1,
                              .budget = budget };
}

/* Everything cached. */
static ss_program_options options_of(int64_t micro_batch)
{
    return (ss_program_options){ .computation = SS_COMPUTE_PRODUCT,
                                 .product = SS_PRODUCT_HESSIAN,
                                 .micro_batch = micro_batch,
                                 .cached = FIXTURE_SAMPLES,
                                 .rest = SS_CACHE_NONE,
                                 .lanes = 1 };
}

static int64_t bytes_of(fixture *f, int64_t micro_batch)
{
    ss_program_options options = options_of(micro_batch);
    ss_program        *p = NULL;
    ss_test_require(ss_program_compile(ss_test_context, f->backend, f->problem, &options, &p));
    int64_t bytes = p->arena_bytes + p->staging_bytes;
    ss_program_destroy(p);
    return bytes;
}

static ss_plan plan_of(fixture *f, int64_t budget)
{
    ss_plan_request request = request_of(budget);
    ss_program     *p = NULL;
    ss_test_require(ss_program_plan(ss_test_context, f->backend, f->problem, &request, &p));
    ss_plan plan = p->plan;
    cr_assert_leq(plan.bytes_peak + plan.bytes_staging, budget);
    ss_program_destroy(p);
    return plan;
}

Test(plan, micro_batch_follows_the_device_and_the_memory, .init = ss_test_begin, .fini = ss_test_end)
{
    fixture f;
    ss_backend_class class;
    const ss_backend_class *own;
    fixture_create(&f, FIXTURE_PLAIN, ss_test_device(), SS_FLOAT64, 0, NULL);
    own = f.backend->class;
    class = *own;
    class.batching = (ss_batching){ .rows = FIXTURE_SAMPLES, .least_rows = 2, .tensor_bytes = 0 };
    f.backend->class = &class;

    /* Room: one micro-batch. */
    int64_t whole = bytes_of(&f, FIXTURE_SAMPLES), halves = bytes_of(&f, (FIXTURE_SAMPLES + 1) / 2);
    ss_plan plan = plan_of(&f, whole);
    cr_expect_eq(plan.n_micro_batches, 1);
    cr_expect_eq(plan.cached[SS_CACHE_ALL], 1);

    /* Less: two halves, still with everything cached, rather than a whole with something recomputed. */
    cr_assert_lt(halves, whole);
    plan = plan_of(&f, whole - 1);
    cr_expect_gt(plan.n_micro_batches, 1);
    cr_expect_eq(plan.cached[SS_CACHE_ALL], plan.n_micro_batches, "%lld of %lld cached",
                 (long long)plan.cached[SS_CACHE_ALL], (long long)plan.n_micro_batches);

    /* Where smaller ones are no longer efficient, something is recomputed instead. */
    class.batching.least_rows = FIXTURE_SAMPLES;
    plan = plan_of(&f, whole - 1);
    cr_expect_eq(plan.n_micro_batches, 1);
    cr_expect_eq(plan.cached[SS_CACHE_ALL], 0);

    /* Caches that hold two rows of the widest tensor, products that ask for one row. */
    class.batching = (ss_batching){ .rows = 1, .least_rows = 1, .tensor_bytes = 0 };
    cr_expect_eq(plan_of(&f, whole).micro_batch, 1);
    for (int32_t i = 0; i < f.graph->n_values; i++)
        class.batching.tensor_bytes = ss_max64(class.batching.tensor_bytes, 2 * 8 * f.graph->values[i].count);
    cr_expect_eq(plan_of(&f, whole).micro_batch, 2);

    f.backend->class = own;
    fixture_destroy(&f);
}

/* A plan for a GPU that is not here takes its micro-batches. */
Test(plan, for_a_gpu, .init = ss_test_begin, .fini = ss_test_end)
{
    fixture f;
    ss_backend_class class;
    ss_program     *p = NULL;
    ss_plan_request request = request_of((int64_t)1 << 30);
    fixture_create(&f, FIXTURE_PLAIN, ss_test_device(), SS_FLOAT64, 0, NULL);
    const ss_backend_class *own = f.backend->class;
    class = *own;
    class.batching = (ss_batching){ .rows = 1, .least_rows = 1, .tensor_bytes = 0 };
    f.backend->class = &class;
    for (int gpu = 0; gpu < 2; gpu++) {
        request.for_gpu = gpu == 1;
        ss_test_require(ss_program_plan(ss_test_context, f.backend, f.problem, &request, &p));
        cr_expect_eq(p->plan.micro_batch, gpu ? FIXTURE_SAMPLES : 1);
        ss_program_destroy(p);
    }
    f.backend->class = own;
    fixture_destroy(&f);
}

/* What a product moves beside its matrix products, counted by hand: samples of 7 and 6 values behind two
 * functions whose biases are fused, and of 4 logits; labels have 8 bytes, the loss saves two numbers a row.
 */
Test(plan, bytes_beside_the_products, .init = ss_test_begin, .fini = ss_test_end)
{
    const int64_t      n = FIXTURE_SAMPLES;
    const int64_t      forward = 3 * 7 * n + 7 + 3 * 6 * n + 2 * 6;      /* y or x, x_t, y_t; bias(es) */
    const int64_t      loss = 3 * 4 * n + 2 * n + n;                     /* without the labels */
    const int64_t      backward = 5 * 7 * n + 3 * 7 + 5 * 6 * n + 4 * 6; /* the bias' adjoint is added to */
    ss_program_options options = options_of(n);
    for (ss_real real = SS_FLOAT32; real <= SS_FLOAT64; real++) {
        fixture     f;
        ss_program *p = NULL;
        fixture_create(&f, FIXTURE_PLAIN, ss_test_device(), real, 0, NULL);
        ss_test_require(ss_program_compile(ss_test_context, f.backend, f.problem, &options, &p));
        int64_t bytes = (forward + loss + backward) * (int64_t)ss_real_size(real) + 8 * n;
        cr_expect_eq((int64_t)p->plan.bytes_body, bytes, "%s: %g bytes, by hand %lld", ss_real_name(real),
                     p->plan.bytes_body, (long long)bytes);
        ss_program_destroy(p);
        fixture_destroy(&f);
    }
}

/* A device whose products want many rows forms the logits of more tokens at a time. */
Test(plan, tokens_of_a_chunk, .init = ss_test_begin, .fini = ss_test_end)
{
    fixture f;
    ss_backend_class class;
    ss_program *p = NULL;
    fixture_create(&f, FIXTURE_TOKENS, ss_test_device(), SS_FLOAT64, 0, NULL);
    const ss_backend_class *own = f.backend->class;
    const int64_t           many = (int64_t)1 << 30;
    class = *own;
    f.backend->class = &class;
    cr_assert_gt(f.graph->nodes[f.graph->n_nodes - 1].attributes.chunk, 0);
    f.graph->nodes[f.graph->n_nodes - 1].attributes.chunk = 0; /* the fixture's own */
    for (int rows = 0; rows < 2; rows++) {
        ss_plan_request request = request_of((int64_t)1 << 30);
        class.batching.head_rows = rows ? many : 0;
        ss_test_require(ss_program_plan(ss_test_context, f.backend, f.problem, &request, &p));
        cr_expect_eq(p->options.head_rows, rows ? many : 0);
        cr_expect_eq(p->loss.attributes.chunk, rows ? many : 0);
        ss_program_destroy(p);
    }
    f.backend->class = own;
    fixture_destroy(&f);
}
