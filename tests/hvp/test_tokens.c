/* Programs of token networks: losses by hand, inputs derived from the data, what frozen parameters and kept
 * logits cost, structural zeros, a router's kinks, and what is refused. (Derivatives, plans and lanes:
 * test_program.c.) */
#include "hvp/fixture.h"
#include "network/gauge.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define MAXIMUM 512

enum { T = FIXTURE_TOKENS_PER_SAMPLE, V = FIXTURE_VOCABULARY, D = 4, S = FIXTURE_SAMPLES };

static ss_program_options hessian(int64_t micro_batch, int64_t cached, ss_cache rest)
{
    return (ss_program_options){ .computation = SS_COMPUTE_PRODUCT,
                                 .product = SS_PRODUCT_HESSIAN,
                                 .micro_batch = micro_batch,
                                 .cached = cached,
                                 .rest = rest,
                                 .lanes = 1 };
}

/* ---- Losses ---- */

static double value_of(const ss_graph *g, const char *name, int64_t index)
{
    for (int32_t i = 0; i < g->n_parameters; i++)
        if (strcmp(g->parameters[i].name, name) == 0) return ss_array_value(&g->parameters[i].array, index);
    cr_assert_fail("no parameter %s", name);
    return 0;
}

/* log-softmax of a token's logits w e(id) + b at class `label`. */
static double log_probability(const ss_graph *g, int64_t id, int64_t label)
{
    double sum = 0, chosen = 0;
    for (int64_t j = 0; j < V; j++) {
        double z = value_of(g, "head.bias", j);
        for (int64_t k = 0; k < D; k++)
            z += value_of(g, "head.weight", j * D + k) * 0.5 * value_of(g, "embedding.weight", id * D + k);
        sum += exp(z);
        if (j == label) chosen = z;
    }
    return chosen - log(sum);
}

static double loss_of(fixture *f, const char *loss, int64_t micro_batch)
{
    ss_objective_options options;
    ss_program          *p;
    ss_program_options   computation = { .computation = SS_COMPUTE_LOSS,
                                         .micro_batch = micro_batch,
                                         .lanes = 1 };
    double               sum = 0;
    ss_objective_options_init(&options);
    options.loss = loss;
    ss_test_require(ss_problem_prepare_graph(ss_test_context, f->graph, f->dataset, &options));
    ss_problem_destroy(f->problem);
    ss_test_require(ss_problem_create(ss_test_context, f->graph, f->dataset, &options, &f->problem));
    ss_test_require(ss_program_compile(ss_test_context, f->backend, f->problem, &computation, &p));
    ss_test_require(ss_program_run(p, 1, NULL, 0, NULL, 0));
    for (int64_t i = 0; i < S * T; i++) sum += p->row_loss[i];
    ss_program_destroy(p);
    return sum;
}

Test(tokens, losses_by_hand, .init = ss_test_begin, .fini = ss_test_end)
{
    fixture f;
    fixture_create(&f, FIXTURE_TOKENS, ss_test_device(), SS_FLOAT64, 0, NULL); /* for its data */
    ss_graph_destroy(f.graph);
    ss_test_require(ss_graph_create(ss_test_context, &f.graph));
    fixture_build_smallest(f.graph);
    ss_test_require(ss_graph_bind_seeded(f.graph, 5));
    ss_test_require(ss_graph_activate(f.graph, 0, NULL, 0, NULL));
    for (int shifted = 0; shifted < 2; shifted++) {
        double sum = 0, count = 0;
        for (int64_t i = 0; i < S * T; i++) {
            bool    last = i % T == T - 1;
            int64_t label = !shifted ? f.labels[i] : last ? SS_IGNORED_LABEL : f.labels[i + 1];
            if (label == SS_IGNORED_LABEL) continue;
            sum -= log_probability(f.graph, f.ids[i], label);
            count++;
        }
        for (int64_t batch = 1; batch <= S; batch += 5) {
            double loss = loss_of(&f, shifted ? "causal_lm" : "masked_lm", batch);
            cr_assert(fabs(loss - sum / count) < 1e-13, "shifted %d: %.15g, by hand %.15g", shifted, loss,
                      sum / count);
        }
        if (!shifted) cr_assert(fabs(loss_of(&f, "cross_entropy", S) - sum / count) < 1e-13);
    }
    fixture_destroy(&f);
}

/* The facts of class ids take one step per row; here every row's distribution is written out. */
Test(tokens, facts, .init = ss_test_begin, .fini = ss_test_end)
{
    fixture f;
    double  weights[V];
    fixture_create(&f, FIXTURE_TIED, ss_test_device(), SS_FLOAT64, 0, NULL);
    for (int j = 0; j < V; j++) weights[j] = j == 2 ? 0 : 0.5 + 0.25 * j;
    for (int k = 0; k < 4; k++) {
        ss_objective_options options;
        ss_objective_facts   facts;
        ss_problem          *p;
        double               zero = 0, least = 0, sum = 0;
        ss_objective_options_init(&options);
        options.loss = "masked_lm";
        options.smoothing = k & 1 ? 0.15 : 0;
        if (k & 2) {
            options.class_weights = weights;
            options.n_class_weights = V;
        }
        ss_test_require(ss_problem_create(ss_test_context, f.graph, f.dataset, &options, &p));
        ss_test_require(ss_problem_facts(p, &facts));
        for (int64_t i = 0; i < S * T; i++) {
            double a[V], total = 0;
            if (f.labels[i] < 0) continue;
            sum += k & 2 ? weights[f.labels[i]] : 1;
            for (int j = 0; j < V; j++) {
                a[j] = (1 - options.smoothing) * (j == f.labels[i]) + options.smoothing / V;
                total += a[j] *= k & 2 ? weights[j] : 1;
            }
            zero += total * log(V);
            for (int j = 0; j < V; j++) least += a[j] > 0 ? a[j] * log(total / a[j]) : 0;
        }
        cr_assert(fabs(facts.zero_output_loss - zero / sum) < 1e-13, "case %d", k);
        cr_assert(fabs(facts.lower_bound - least / sum) < 1e-13, "case %d: %g %g", k, facts.lower_bound,
                  least / sum);
        if (k == 0) cr_assert(fabs(facts.zero_output_loss - log(V)) < 1e-14);
        ss_problem_destroy(p);
    }
    fixture_destroy(&f);
}

/* ---- What is reached and what it costs ---- */

static void product(fixture *f, const ss_program_options *options, uint64_t seed, double *hv)
{
    double v[MAXIMUM];
    fixture_random(f, seed, v);
    fixture_product(f, options, 1, v, hv);
}

static const ss_parameter *parameter_named(const fixture *f, const char *name)
{
    for (int32_t i = 0; i < f->graph->n_parameters; i++)
        if (strcmp(f->graph->parameters[i].name, name) == 0) return &f->graph->parameters[i];
    cr_assert_fail("no parameter %s", name);
    return NULL;
}

/* Tokens 7 and 8 and position 0 never occur, and the last token of a causal model predicts nothing (here
 * nobody attends to it): their rows of the Hessian are zero, except where the head sees the table as well. */
Test(tokens, rows_never_reached_are_zero, .init = ss_test_begin, .fini = ss_test_end)
{
    for (fixture_kind kind = FIXTURE_TOKENS; kind <= FIXTURE_TIED; kind++) {
        fixture            f;
        double             one[MAXIMUM], two[MAXIMUM];
        ss_program_options options = hessian(4, 2, SS_CACHE_NONE);
        int64_t            zeros = 0;
        fixture_create(&f, kind, ss_test_device(), SS_FLOAT64, 0, NULL);
        product(&f, &options, 6, one);
        product(&f, &options, 7, two);
        for (int64_t i = 0; i < f.graph->layout.n; i++) zeros += one[i] == 0 && two[i] == 0;
        const ss_parameter *words = parameter_named(&f, "embedding.weight");
        const ss_parameter *places = parameter_named(&f, "position.weight");
        cr_assert_eq(zeros, kind == FIXTURE_TOKENS ? 4 * D : D, "fixture %d: %d zeros", (int)kind,
                     (int)zeros);
        for (int64_t k = 0; k < D; k++) {
            cr_assert_eq(one[places->canonical + k], 0);
            cr_assert_eq(one[words->canonical + 7 * D + k] == 0, kind == FIXTURE_TOKENS);
            cr_assert_eq(one[words->canonical + 8 * D + k] == 0, kind == FIXTURE_TOKENS);
        }
        fixture_destroy(&f);
    }
}

/* Multiply-adds per token of a body with everything cached, by hand, and the block of the full product. */
Test(tokens, frozen_parameters_cost_nothing, .init = ss_test_begin, .fini = ss_test_end)
{
    enum { LAYER = D * 6, HEAD = D * V };
    static const struct {
        const char *glob;
        int         work;                 /* logits not kept: they are formed again */
    } cases[] = { { "head.*", 3 * HEAD }, /* u, x w_t', w_at */
                  /* x w_t; x_t w, x w_t; u, x_t w', x_at; both terms of x_at and w_at; w_at */
                  { "body.*", LAYER + 2 * LAYER + 3 * HEAD + 4 * LAYER + LAYER },
                  { "embedding.*", 2 * LAYER + 3 * HEAD + 2 * LAYER },
                  { "position.*", 2 * LAYER + 3 * HEAD + 2 * LAYER } };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        fixture            all, some;
        double             v[MAXIMUM], full[MAXIMUM] = { 0 }, hv[MAXIMUM], expected[MAXIMUM], block[MAXIMUM];
        ss_program_options options = hessian(4, 100, SS_CACHE_NONE);
        ss_program        *p;
        fixture_create(&all, FIXTURE_TOKENS, ss_test_device(), SS_FLOAT64, 0, NULL);
        fixture_create(&some, FIXTURE_TOKENS, ss_test_device(), SS_FLOAT64, 0, cases[k].glob);
        fixture_random(&some, 6, v);
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
        cr_assert(ss_test_relative_error(some.graph->layout.n, hv, block, 0) < 1e-12, "%s", cases[k].glob);
        for (int keep = 0; keep < 2; keep++) {
            options.keep_logits = keep == 1;
            ss_test_require(ss_program_compile(ss_test_context, some.backend, some.problem, &options, &p));
            double flops = p->plan.flops_body / (2.0 * S * T), work = cases[k].work - keep * HEAD;
            cr_assert(fabs(flops - work) < 1e-9, "%s, kept %d: %g, expected %g", cases[k].glob, keep, flops,
                      work);
            cr_assert_eq(p->plan.keep_logits, keep == 1);
            ss_program_destroy(p);
        }
        fixture_destroy(&all);
        fixture_destroy(&some);
    }
}

/* The gradient's unit: every map three times, the first one without its input's adjoint, the logits once. */
Test(tokens, plan_counts_a_gradient, .init = ss_test_begin, .fini = ss_test_end)
{
    fixture            f;
    ss_program        *p;
    ss_program_options options = hessian(4, 100, SS_CACHE_NONE);
    fixture_create(&f, FIXTURE_TOKENS, ss_test_device(), SS_FLOAT64, 0, NULL);
    options.keep_logits = true;
    ss_test_require(ss_program_compile(ss_test_context, f.backend, f.problem, &options, &p));
    double all = 2.0 * S * T * (2 * D * 6 + D * V);
    cr_assert(fabs(p->plan.flops_gradient - 3 * all) < 1e-6);
    cr_assert(fabs(p->plan.flops_body - 6 * all) < 1e-6, "%g of %g", p->plan.flops_body, all);
    ss_program_destroy(p);
    fixture_destroy(&f);
}

Test(tokens, planner_keeps_logits_where_there_is_room, .init = ss_test_begin, .fini = ss_test_end)
{
    fixture         f;
    ss_program     *p;
    int64_t         bytes[2];
    ss_plan_request request = { .computation = SS_COMPUTE_PRODUCT,
                                .product = SS_PRODUCT_HESSIAN,
                                .lanes = 1 };
    fixture_create(&f, FIXTURE_TOKENS, ss_test_device(), SS_FLOAT64, 0, NULL);
    for (int keep = 0; keep < 2; keep++) {
        ss_program_options options = hessian(S, 100, SS_CACHE_NONE);
        options.keep_logits = keep == 1;
        ss_test_require(ss_program_compile(ss_test_context, f.backend, f.problem, &options, &p));
        bytes[keep] = p->arena_bytes + p->staging_bytes;
        ss_program_destroy(p);
    }
    cr_assert_lt(bytes[0], bytes[1]);
    for (int room = 0; room < 2; room++) {
        request.budget = bytes[1] - (room == 0);
        ss_test_require(ss_program_plan(ss_test_context, f.backend, f.problem, &request, &p));
        cr_assert_eq(p->plan.cached[SS_CACHE_ALL], p->n_micro_batches);
        cr_assert_eq(p->plan.keep_logits, room == 1);
        cr_assert_leq(p->plan.bytes_peak + p->plan.bytes_staging, request.budget);
        ss_program_destroy(p);
    }
    fixture_destroy(&f);
}

/* Drawn labels belong to a token's place in the data set: the parts of a split add up to the whole. */
Test(tokens, drawn_labels_do_not_depend_on_the_subset, .init = ss_test_begin, .fini = ss_test_end)
{
    static const int64_t odd[] = { 7, 1, 9, 3, 5 }, even[] = { 0, 2, 4, 10, 8, 6 };
    for (fixture_kind kind = FIXTURE_TOKENS; kind <= FIXTURE_TIED; kind++) {
        fixture            f;
        double             whole[MAXIMUM], part[MAXIMUM], sum[MAXIMUM] = { 0 };
        ss_program_options options = hessian(3, 100, SS_CACHE_NONE);
        fixture_create(&f, kind, ss_test_device(), SS_FLOAT64, 0, NULL);
        int64_t n = f.graph->layout.n;
        options.product = SS_PRODUCT_FISHER_MONTE_CARLO;
        product(&f, &options, 6, whole);
        for (int k = 0; k < 2; k++) {
            ss_samples samples = { k == 0 ? odd : even, k == 0 ? 5 : 6 };
            double     normaliser, all;
            ss_problem_normaliser(f.problem, NULL, &all, &(int64_t){ 0 });
            ss_problem_normaliser(f.problem, &samples, &normaliser, &(int64_t){ 0 });
            options.samples = samples;
            options.keep_logits = k == 1;
            product(&f, &options, 6, part);
            for (int64_t i = 0; i < n; i++) sum[i] += part[i] * normaliser / all;
        }
        cr_assert(ss_test_relative_error(n, sum, whole, 0) < 1e-13, "fixture %d", (int)kind);
        fixture_destroy(&f);
    }
}

/* Along an expert's bias far enough it is chosen everywhere, the other way nowhere: every token changes its
 * choice in one of the two, and each change is one expert coming and one going. */
Test(tokens, a_router_changes_its_mind, .init = ss_test_begin, .fini = ss_test_end)
{
    fixture            f;
    int64_t            both = 0;
    ss_program        *p;
    ss_program_options options = { .computation = SS_COMPUTE_KINKS, .micro_batch = 4, .lanes = 1 };
    ss_objective_facts facts;
    fixture_create(&f, FIXTURE_EXPERTS, ss_test_device(), SS_FLOAT64, 0, NULL);
    ss_test_require(ss_program_compile(ss_test_context, f.backend, f.problem, &options, &p));
    for (int expert = 0; expert < 3; expert++) {
        double  v[MAXIMUM] = { 0 };
        int64_t changes[3];
        v[parameter_named(&f, "gate.bias")->canonical + expert] = 1;
        void *d = fixture_upload(&f, 1, v);
        for (int k = 0; k < 3; k++) {
            ss_point point = { 100 * (k - 1), d };
            ss_program_set_point(p, &point);
            ss_test_require(ss_program_run(p, 1, NULL, 0, NULL, 0));
            cr_assert_eq(p->units, S * T * 3);
            changes[k] = p->kinks;
        }
        f.backend->class->release(f.backend, d);
        cr_assert_eq(changes[1], 0);
        cr_assert_eq(changes[0] + changes[2], 2 * S * T);
        both += changes[0] > 0 && changes[2] > 0;
    }
    cr_assert_gt(both, 0, "no expert is chosen by some tokens only");
    ss_test_require(ss_problem_facts(f.problem, &facts));
    cr_assert(facts.kinked);
    ss_program_destroy(p);
    fixture_destroy(&f);
}

/* Symmetries that end in a head: shifts of all its rows, gain and bias of the norm in front of it. The loss
 * has no slope along any of them. */
Test(tokens, gauge_of_a_head, .init = ss_test_begin, .fini = ss_test_end)
{
    for (int capped = 0; capped < 2; capped++) {
        fixture   f;
        double    g[MAXIMUM], c[MAXIMUM], norm = 0;
        ss_gauge *gauge;
        fixture_create(&f, FIXTURE_TOKENS, ss_test_device(), SS_FLOAT64, 0, NULL);
        if (!capped) {
            f.graph->head.cap = 0;
            ss_test_require(ss_graph_add_loss(f.graph, &f.problem->loss->attributes, &(int32_t){ 0 }));
            fixture_renew_problem(&f, FIXTURE_TOKENS);
        }
        fixture_gradient(&f, 4, 0, NULL, g, NULL);
        ss_test_require(ss_gauge_find(f.graph, &gauge));
        cr_assert_eq(ss_gauge_count(gauge, SS_GAUGE_SOFTMAX_SHIFT), capped ? 0 : D + 1);
        cr_assert_eq(ss_gauge_count(gauge, SS_GAUGE_NORM_GAIN), 2 * D); /* the body's norm, and the head's */
        cr_assert_eq(ss_gauge_count(gauge, SS_GAUGE_TRANSLATION), 2 * D);
        ss_gauge_transpose(gauge, g, c);
        for (int64_t i = 0; i < f.graph->layout.n; i++) norm += g[i] * g[i];
        for (int64_t i = 0; i < gauge->rank; i++)
            cr_assert(fabs(c[i]) < 1e-13 * sqrt(norm), "capped %d, tangent %d: %g of %g", capped, (int)i,
                      c[i], sqrt(norm));
        ss_gauge_destroy(gauge);
        fixture_destroy(&f);
    }
}
