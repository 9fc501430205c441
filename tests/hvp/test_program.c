/* Programs: every plan, micro-batch, lane count and weight provider computes the same exact product. On the
 * device that SS_TEST_DEVICE names. */
#include "base/philox.h"
#include "hvp/fixture.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define MAXIMUM 512 /* parameters of the largest fixture */

static ss_program_options product_options(ss_product product, int64_t micro_batch, int64_t cached,
                                          ss_cache rest, int lanes)
{
    return (ss_program_options){ .computation = SS_COMPUTE_PRODUCT,
                                 .product = product,
                                 .micro_batch = micro_batch,
                                 .cached = cached,
                                 .rest = rest,
                                 .lanes = lanes };
}

/* Sixth-order central difference of the gradient along v. */
static void difference(fixture *f, const double *v, double *hv)
{
    static const double weight[3] = { 45.0 / 60, -9.0 / 60, 1.0 / 60 };
    int64_t             n = f->graph->layout.n;
    double              h = 1e-3, plus[MAXIMUM], minus[MAXIMUM];
    memset(hv, 0, (size_t)n * sizeof *hv);
    for (int k = 1; k <= 3; k++) {
        fixture_gradient(f, 4, k * h, v, plus, NULL);
        fixture_gradient(f, 4, -k * h, v, minus, NULL);
        for (int64_t i = 0; i < n; i++) hv[i] += weight[k - 1] * (plus[i] - minus[i]) / h;
    }
}

Test(program, gradient_is_the_derivative_of_the_loss, .init = ss_test_begin, .fini = ss_test_end)
{
    for (fixture_kind kind = 0; kind < FIXTURE_KIND_COUNT; kind++) {
        fixture f;
        double  v[MAXIMUM], g[MAXIMUM], other[MAXIMUM], slope = 0, expected = 0, plus, minus;
        fixture_create(&f, kind, ss_test_device(), SS_FLOAT64, 0.01, NULL);
        fixture_random(&f, 5, v);
        fixture_gradient(&f, 3, 0, NULL, g, NULL);
        for (int64_t i = 0; i < f.graph->layout.n; i++) slope += g[i] * v[i];
        for (int k = 1; k <= 3; k++) {
            static const double weight[3] = { 45.0 / 60, -9.0 / 60, 1.0 / 60 };
            double              h = kind >= FIXTURE_KINKED ? 1e-4 : 1e-3;
            fixture_gradient(&f, 3, k * h, v, other, &plus);
            fixture_gradient(&f, 3, -k * h, v, other, &minus);
            expected += weight[k - 1] * (plus - minus) / h;
        }
        cr_assert(fabs(slope - expected) < 1e-8 * fmax(1, fabs(expected)),
                  "fixture %d: g'v = %.12g, difference %.12g", (int)kind, slope, expected);
        fixture_destroy(&f);
    }
}

Test(program, product_is_the_derivative_of_the_gradient, .init = ss_test_begin, .fini = ss_test_end)
{
    for (fixture_kind kind = 0; kind < FIXTURE_KINKED; kind++) {
        fixture            f;
        double             v[MAXIMUM], hv[MAXIMUM], expected[MAXIMUM];
        ss_program_options options = product_options(SS_PRODUCT_HESSIAN, 4, 100, SS_CACHE_NONE, 1);
        fixture_create(&f, kind, ss_test_device(), SS_FLOAT64, 0.01, NULL);
        fixture_random(&f, 6, v);
        fixture_product(&f, &options, 1, v, hv);
        difference(&f, v, expected);
        double error = ss_test_relative_error(f.graph->layout.n, hv, expected, 0);
        cr_assert(error < 2e-9, "fixture %d: error %g", (int)kind, error);
        expected[f.graph->layout.n / 2] *= 1 + 1e-6; /* the comparison can fail */
        cr_assert(ss_test_relative_error(f.graph->layout.n, hv, expected, 0) > 2e-9);
        fixture_destroy(&f);
    }
}

/* Plans, spread over all 40 of them (5: every option once), against the one with everything cached in one
 * micro-batch. */
static void compare_plans(const char *device, ss_real real, double tolerance, int plans)
{
    static const ss_product products[] = { SS_PRODUCT_HESSIAN, SS_PRODUCT_GAUSS_NEWTON,
                                           SS_PRODUCT_FISHER_EMPIRICAL, SS_PRODUCT_FISHER_MONTE_CARLO,
                                           SS_PRODUCT_RESIDUAL };
    for (fixture_kind kind = 0; kind < FIXTURE_KIND_COUNT; kind++)
        for (size_t which = 0; which < sizeof products / sizeof *products; which++) {
            fixture f;
            double  v[3 * MAXIMUM], reference[3 * MAXIMUM], hv[3 * MAXIMUM];
            fixture_create(&f, kind, device, real, 0.01, NULL);
            int64_t n = f.graph->layout.n;
            for (uint64_t l = 0; l < 3; l++) fixture_random(&f, 10 + l, v + (int64_t)l * n);
            ss_program_options options = product_options(products[which], 11, 100, SS_CACHE_NONE, 1);
            for (int l = 0; l < 3; l++) fixture_product(&f, &options, 1, v + l * n, reference + l * n);
            for (int k = 0, plan = 0; k < plans; k++, plan = 13 * k % 40) {
                options = product_options(products[which], 1 + plan % 5 * 2, plan % 3,
                                          (ss_cache)(1 + plan % 4), 1 + plan % 3);
                options.stream_weights = plan % 7 == 0;
                options.layer_major = plan % 4 != 3 && plan % 5 == 1;
                options.segment = plan / 10;
                options.keep_logits = plan % 3 == 1;
                memset(hv, 0, sizeof hv);
                fixture_product(&f, &options, options.lanes, v, hv);
                double error = ss_test_relative_error(options.lanes * n, hv, reference, 0);
                cr_assert(error < tolerance, "%s: fixture %d, product %d, plan %d: error %g", device,
                          (int)kind, (int)which, plan, error);
            }
            fixture_destroy(&f);
        }
}

Test(program, all_plans_agree, .init = ss_test_begin, .fini = ss_test_end)
{
    compare_plans(ss_test_device(), SS_FLOAT64, 1e-13, ss_test_brief() ? 5 : 40);
}
Test(program, all_plans_agree_float32, .init = ss_test_begin, .fini = ss_test_end)
{
    compare_plans(ss_test_device(), SS_FLOAT32, 1e-5, ss_test_brief() ? 5 : 40);
}
/* The other backends: device memory that the host may not touch. */
Test(program, all_plans_agree_on_devices, .init = ss_test_begin, .fini = ss_test_end)
{
    for (const char *const *name = ss_test_backends(); *name; name++)
        if (strcmp(*name, ss_test_device()) != 0)
            compare_plans(*name, SS_FLOAT64, 1e-13, ss_test_brief() ? 5 : 14);
}

/* Bodies that a backend captures: at other vectors, numbers of lanes and points the products are those of a
 * program that has not captured anything. */
static void check_capture(const char *device)
{
    enum { RUNS = 8 };
    static const int lanes[RUNS] = { 1, 1, 1, 2, 2, 1, 1, 1 };
    fixture          f;
    ss_program      *p = NULL, *plain = NULL;
    ss_queue        *q = NULL;
    char            *memory = NULL;
    fixture_create(&f, FIXTURE_PLAIN, device, SS_FLOAT64, 0.01, NULL);
    const ss_backend_class  *c = f.backend->class;
    const ss_layout         *layout = &f.graph->layout;
    const ss_program_options options = product_options(SS_PRODUCT_HESSIAN, 4, 100, SS_CACHE_NONE, 2);
    int64_t                  padded = layout->padded, bytes = padded * 8;
    ss_test_require(c->allocate(f.backend, 7 * bytes, (void **)&memory));
    ss_test_require(ss_program_compile(ss_test_context, f.backend, f.problem, &options, &p));
    void *direction = memory + 6 * bytes, *difference_at = memory + 4 * bytes;
    ss_test_require(c->random_normal(f.backend, q, layout, 1, SS_STREAM_TEST, direction));
    for (uint64_t run = 0; run < RUNS; run++) {
        int            n = lanes[run];
        const ss_point point = { run == 7 ? 0.1 : 0, direction };
        void          *v = memory, *hv = memory + 2 * bytes; /* Hv overwrites nothing that is read later */
        double         norm, error;
        for (int l = 0; l < n; l++)
            ss_test_require(c->random_normal(f.backend, q, layout, 2 * run + (uint64_t)l, SS_STREAM_TEST,
                                             memory + l * bytes));
        ss_program_set_point(p, &point);
        ss_test_require(ss_program_run(p, n, v, padded, hv, padded));
        if (c->capture_begin)
            cr_assert((p->graph != NULL) == (run > 0 && lanes[run - 1] == n), "run %d", (int)run);
        ss_test_require(ss_program_compile(ss_test_context, f.backend, f.problem, &options, &plain));
        ss_program_set_point(plain, &point);
        ss_test_require(ss_program_run(plain, n, v, padded, difference_at, padded));
        ss_program_destroy(plain);
        ss_test_require(c->axpby(f.backend, q, n * padded, -1, hv, 1, difference_at));
        ss_test_require(c->dot(f.backend, q, n * padded, hv, hv, &norm));
        ss_test_require(c->dot(f.backend, q, n * padded, difference_at, difference_at, &error));
        cr_assert(norm > 0.1 && error == 0, "%s, run %d: %g of %g", device, (int)run, error, norm);
    }
    ss_program_destroy(p);
    c->release(f.backend, memory);
    fixture_destroy(&f);
}

Test(program, captured_bodies, .init = ss_test_begin, .fini = ss_test_end)
{
    for (const char *const *name = ss_test_backends(); *name; name++) check_capture(*name);
}

Test(program, hessian_is_gauss_newton_plus_residual, .init = ss_test_begin, .fini = ss_test_end)
{
    for (fixture_kind kind = 0; kind < FIXTURE_KIND_COUNT; kind++) {
        fixture f;
        double  v[MAXIMUM], h[MAXIMUM], g[MAXIMUM], r[MAXIMUM];
        fixture_create(&f, kind, ss_test_device(), SS_FLOAT64, 0.05, NULL);
        fixture_random(&f, 6, v);
        ss_program_options options = product_options(SS_PRODUCT_HESSIAN, 5, 1, SS_CACHE_ACTIVATIONS, 1);
        fixture_product(&f, &options, 1, v, h);
        options.product = SS_PRODUCT_GAUSS_NEWTON;
        fixture_product(&f, &options, 1, v, g);
        options.product = SS_PRODUCT_RESIDUAL;
        fixture_product(&f, &options, 1, v, r);
        double vgv = 0;
        for (int64_t i = 0; i < f.graph->layout.n; i++) {
            r[i] += g[i];
            vgv += v[i] * g[i];
        }
        cr_assert(ss_test_relative_error(f.graph->layout.n, r, h, 0) < 1e-13);
        cr_assert(vgv > 0);
        fixture_destroy(&f);
    }
}

Test(program, products_are_symmetric, .init = ss_test_begin, .fini = ss_test_end)
{
    for (fixture_kind kind = 0; kind < FIXTURE_KIND_COUNT; kind++)
        for (int product = 0; product <= SS_PRODUCT_RESIDUAL; product++) {
            fixture            f;
            double             u[MAXIMUM], v[MAXIMUM], hu[MAXIMUM], hv[MAXIMUM], uhv = 0, vhu = 0, scale = 0;
            ss_program_options options = product_options((ss_product)product, 4, 1, SS_CACHE_NONE, 1);
            fixture_create(&f, kind, ss_test_device(), SS_FLOAT64, 0, NULL);
            fixture_random(&f, 6, u);
            fixture_random(&f, 7, v);
            fixture_product(&f, &options, 1, u, hu);
            fixture_product(&f, &options, 1, v, hv);
            for (int64_t i = 0; i < f.graph->layout.n; i++) {
                uhv += u[i] * hv[i];
                vhu += v[i] * hu[i];
                scale += fabs(u[i] * hv[i]);
            }
            cr_assert(fabs(uhv - vhu) < 1e-13 * scale, "fixture %d product %d: %g %g", (int)kind, product,
                      uhv, vhu);
            fixture_destroy(&f);
        }
}

/* F = sum of outer products of the targets' own gradients, from gradients of single samples. */
static void compare_with_outer_products(fixture *f)
{
    double  v[MAXIMUM], fv[MAXIMUM], expected[MAXIMUM] = { 0 }, g[MAXIMUM], counted = 0;
    int64_t n = f->graph->layout.n;
    fixture_random(f, 6, v);
    ss_program_options options = product_options(SS_PRODUCT_FISHER_EMPIRICAL, 4, 1, SS_CACHE_NONE, 1);
    fixture_product(f, &options, 1, v, fv);
    for (int64_t i = 0; i < FIXTURE_SAMPLES; i++) {
        int64_t            targets;
        ss_samples         one = { &i, 1 };
        ss_program        *p;
        ss_program_options gradient = {
            .computation = SS_COMPUTE_GRADIENT, .micro_batch = 1, .lanes = 1, .samples = one
        };
        double dot = 0;
        ss_problem_normaliser(f->problem, &one, &(double){ 0 }, &targets);
        if (targets == 0) continue;
        cr_assert_eq(targets, 1);
        counted++;
        ss_test_require(ss_program_compile(ss_test_context, f->backend, f->problem, &gradient, &p));
        fixture_run(f, p, 1, NULL, g);
        ss_program_destroy(p);
        for (int64_t j = 0; j < n; j++) dot += g[j] * v[j];
        for (int64_t j = 0; j < n; j++) expected[j] += g[j] * dot;
    }
    for (int64_t j = 0; j < n; j++) expected[j] /= counted;
    cr_assert(ss_test_relative_error(n, fv, expected, 0) < 1e-12);
}

Test(program, fisher_is_the_sum_of_outer_products, .init = ss_test_begin, .fini = ss_test_end)
{
    static const fixture_kind kinds[] = { FIXTURE_PLAIN, FIXTURE_TOKENS, FIXTURE_ATTENTION };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        fixture f;
        fixture_create(&f, kinds[k], ss_test_device(), SS_FLOAT64, 0, NULL);
        for (int64_t i = 0; f.labels && i < FIXTURE_SAMPLES * FIXTURE_TOKENS_PER_SAMPLE; i++) {
            int64_t sample = i / FIXTURE_TOKENS_PER_SAMPLE, token = i % FIXTURE_TOKENS_PER_SAMPLE;
            f.labels[i] = token == 1 + sample % 4 ? f.ids[i] : SS_IGNORED_LABEL; /* one per sample */
        }
        fixture_renew_problem(&f, kinds[k]);
        compare_with_outer_products(&f);
        fixture_destroy(&f);
    }
}

/* In expectation over the labels F = G (without decay). */
Test(program, monte_carlo_fisher_is_gauss_newton_on_average, .init = ss_test_begin, .fini = ss_test_end)
{
    for (fixture_kind kind = 0; kind < FIXTURE_KIND_COUNT; kind++) {
        fixture f;
        double  v[MAXIMUM], g[MAXIMUM], fv[MAXIMUM], mean = 0, square = 0, vgv = 0;
        int     draws = ss_test_brief() ? 30 : 400;
        fixture_create(&f, kind, ss_test_device(), SS_FLOAT64, 0, NULL);
        int64_t n = f.graph->layout.n;
        fixture_random(&f, 6, v);
        ss_program_options options = product_options(SS_PRODUCT_GAUSS_NEWTON, 11, 100, SS_CACHE_NONE, 1);
        fixture_product(&f, &options, 1, v, g);
        for (int64_t i = 0; i < n; i++) vgv += v[i] * g[i];
        options.product = SS_PRODUCT_FISHER_MONTE_CARLO;
        for (int d = 0; d < draws; d++) {
            double vfv = 0;
            options.label_seed = (uint64_t)d;
            fixture_product(&f, &options, 1, v, fv);
            for (int64_t i = 0; i < n; i++) vfv += v[i] * fv[i];
            mean += vfv / draws;
            square += vfv * vfv / draws;
        }
        double error = sqrt((square - mean * mean) / draws);
        cr_assert(fabs(mean - vgv) < 4 * error, "fixture %d: v'Gv %g, mean v'Fv %g +- %g", (int)kind, vgv,
                  mean, error);
        fixture_destroy(&f);
    }
}

/* A subset of the parameters: the sub-block of the full Hessian, and less work. */
Test(program, parameter_subsets_are_blocks, .init = ss_test_begin, .fini = ss_test_end)
{
    static const char *const globs[] = { "0.*", "2.*", "4.*", "*.bias" };
    double                   flops[4];
    int64_t                  steps[4];
    for (int k = 0; k < 4; k++) {
        fixture all, some;
        double  v[MAXIMUM], full[MAXIMUM] = { 0 }, hv[MAXIMUM], expected[MAXIMUM], block[MAXIMUM];
        fixture_create(&all, FIXTURE_PLAIN, ss_test_device(), SS_FLOAT64, 0.01, NULL);
        fixture_create(&some, FIXTURE_PLAIN, ss_test_device(), SS_FLOAT64, 0.01, globs[k]);
        fixture_random(&some, 6, v);
        ss_program_options options = product_options(SS_PRODUCT_HESSIAN, 4, 2, SS_CACHE_NONE, 1);
        for (int32_t i = 0; i < all.graph->n_parameters; i++) {
            const ss_parameter *a = &all.graph->parameters[i], *b = &some.graph->parameters[i];
            if (b->offset >= 0) memcpy(full + a->canonical, v + b->canonical, (size_t)a->count * sizeof *v);
        }
        fixture_product(&all, &options, 1, full, expected);
        fixture_product(&some, &options, 1, v, hv);
        for (int32_t i = 0; i < all.graph->n_parameters; i++) {
            const ss_parameter *a = &all.graph->parameters[i], *b = &some.graph->parameters[i];
            if (b->offset >= 0)
                memcpy(block + b->canonical, expected + a->canonical, (size_t)a->count * sizeof *v);
        }
        cr_assert(ss_test_relative_error(some.graph->layout.n, hv, block, 0) < 1e-12, "%s", globs[k]);
        ss_program *p;
        ss_test_require(ss_program_compile(ss_test_context, some.backend, some.problem, &options, &p));
        flops[k] = p->plan.flops_body / (2.0 * FIXTURE_SAMPLES);
        steps[k] = p->plan.n_body;
        ss_program_destroy(p);
        fixture_destroy(&all);
        fixture_destroy(&some);
    }
    /* Multiply-adds per sample, all micro-batches but two recomputed (3 of 11 samples). By hand: */
    double again = (5 * 7 + 7 * 6 + 6 * 4) * 3.0 / 11; /* the primal pass of the recomputed micro-batch */
    /* last layer: x w_t, then w_at = y_at' x */
    cr_assert(fabs(flops[2] - (6 * 4 * 2 + again)) < 1e-9, "last layer: %g", flops[2]);
    /* first layer: x w_t; tangents through both others; back through both (x_at), w_at; plus x_a recomputed
     */
    double first = 35 + 42 + 24 + 24 + 42 + 35 + again + (24 + 42) * 3.0 / 11;
    cr_assert(fabs(flops[0] - first) < 1e-9, "first layer: %g, expected %g", flops[0], first);
    /* middle layer: x w_t, tangent through the last, back through it, w_at; x_a of the last recomputed */
    double middle = 42 + 24 + 24 + 42 + again + 24 * 3.0 / 11;
    cr_assert(fabs(flops[1] - middle) < 1e-9, "middle layer: %g, expected %g", flops[1], middle);
    cr_assert(steps[2] < steps[1] && steps[1] < steps[0]);
}

Test(program, kinks_are_counted, .init = ss_test_begin, .fini = ss_test_end)
{
    fixture f;
    double  v[MAXIMUM];
    fixture_create(&f, FIXTURE_KINKED, ss_test_device(), SS_FLOAT64, 0, NULL);
    int64_t            n = f.graph->layout.n;
    void              *d;
    ss_program        *p;
    ss_program_options options = { .computation = SS_COMPUTE_KINKS, .micro_batch = 4, .lanes = 1 };
    for (int64_t i = 0; i < n; i++) v[i] = 0;
    /* Minus twice the first layer's weights and biases: every unit changes side. */
    for (int32_t i = 0; i < f.graph->n_parameters; i++) {
        const ss_parameter *w = &f.graph->parameters[i];
        for (int64_t j = 0; w->name[0] == '0' && j < w->count; j++)
            v[w->canonical + j] = -2 * ss_array_value(&w->array, j);
    }
    d = fixture_upload(&f, 1, v);
    ss_test_require(ss_program_compile(ss_test_context, f.backend, f.problem, &options, &p));
    for (int k = 0; k < 3; k++) {
        ss_point point = { k == 1 ? 1e-12 : k, d };
        ss_program_set_point(p, &point);
        ss_test_require(ss_program_run(p, 1, NULL, 0, NULL, 0));
        cr_assert_eq(p->units, FIXTURE_SAMPLES * 9);
        cr_assert_eq(p->kinks, k == 2 ? FIXTURE_SAMPLES * 9 : 0);
    }
    ss_program_destroy(p);
    f.backend->class->release(f.backend, d);
    fixture_destroy(&f);
}

Test(program, allocation_failures_end_cleanly, .init = ss_test_begin, .fini = ss_test_end)
{
    fixture            f;
    ss_program_options options = product_options(SS_PRODUCT_HESSIAN, 4, 1, SS_CACHE_CHECKPOINT, 2);
    bool               reached = false;
    fixture_create(&f, FIXTURE_BRANCHES, ss_test_device(), SS_FLOAT64, 0.01, NULL);
    for (int64_t nth = 1; !reached && nth < 10000; nth++) {
        ss_program *p = NULL;
        ss_context_fail_allocation(ss_test_context, nth);
        ss_status status = ss_program_compile(ss_test_context, f.backend, f.problem, &options, &p);
        if (status == SS_OK) status = ss_program_acquire(p);
        ss_context_fail_allocation(ss_test_context, 0);
        reached = status == SS_OK;
        if (!reached) ss_test_refuse(status, SS_ERROR_MEMORY, NULL);
        ss_program_destroy(p);
    }
    cr_assert(reached);
    fixture_destroy(&f);
}
