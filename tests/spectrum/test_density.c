/* The density: Gauss rules, the band that holds always, its coverage of the eigenvalues, lanes, interruption,
 * refusals. SS_TEST_ALL=1: 1000 seeds instead of 100; SS_TEST_BRIEF=1: 20. */
#include "spectrum/operators.h"

#include "spectrum/density.h"
#include "support/golden.h"

#include <stdio.h>
#include <stdlib.h>

static ss_density_options options_of(int64_t probes, int64_t steps, uint64_t seed)
{
    ss_density_options o;
    ss_density_options_init(&o);
    o.probes = probes;
    o.steps = steps;
    o.seed = seed;
    o.points = 120;
    return o;
}

static ss_density_result *solve(ss_operator *op, const ss_density_options *o)
{
    ss_density_result *r = NULL;
    ss_test_require(ss_density_solve(op, o, &r));
    return r;
}

/* ---- Gauss rules ----------------------------------------------------------------------------------------
 */

Test(density, gauss_rules_are_those_of_the_dense_solver, .init = ss_test_begin, .fini = ss_test_end)
{
    enum { M = 40 };
    double d[M], e[M], w[M], a[M * M], values[M];
    for (int trial = 0; trial < 200; trial++) {
        int m = 1 + trial % M;
        memset(a, 0, sizeof a);
        for (int i = 0; i < m; i++) {
            double size = trial % 3 == 0 ? pow(10.0, -(double)(i % 13)) : 1.0;
            d[i] = size * ss_random_normal((uint64_t)trial, SS_STREAM_TEST, (uint64_t)i);
            e[i] = size * ss_random_uniform((uint64_t)trial, SS_STREAM_TEST, (uint64_t)(1000 + i));
            if (trial % 7 == 0 && i % 5 == 4) e[i] = 0.0; /* falls apart */
        }
        for (int i = 0; i < m; i++) {
            a[i * m + i] = d[i];
            if (i + 1 < m) a[i * m + i + 1] = a[(i + 1) * m + i] = e[i];
        }
        ss_test_require(ss_small_eigen(ss_test_context, m, a, true, values));
        ss_test_require(ss_gauss_rule(ss_test_context, m, d, e, w));
        double sum = 0.0, scale = fmax(fabs(values[0]), fabs(values[m - 1])), moment[2] = { 0.0, 0.0 };
        for (int i = 0; i < m; i++) {
            cr_assert(fabs(d[i] - values[i]) <= 1e-14 * m * scale, "%d: node %d", trial, i);
            sum += w[i];
            for (int k = 0; k < 2; k++) moment[k] += w[i] * pow(d[i], k + 3);
            moment[0] -= a[i * m] * a[i * m] * pow(values[i], 3);
            moment[1] -= a[i * m] * a[i * m] * pow(values[i], 4);
        }
        cr_assert(fabs(sum - 1.0) < 1e-13 && fabs(moment[0]) < 1e-12 * pow(scale, 3) &&
                  fabs(moment[1]) < 1e-12 * pow(scale, 4));
    }
    d[0] = NAN;
    ss_test_refuse(ss_gauss_rule(ss_test_context, 3, d, e, w), SS_ERROR_NUMERIC, "finite");
}

/* ---- The start vectors' distribution --------------------------------------------------------------------
 */

/* mass[i] := the start vectors' mean mass on eigenvector i of H = Q diag(d) Q'. */
static void start_masses(const known *k, int64_t probes, uint64_t seed, double *mass)
{
    double total = 0.0;
    for (int64_t i = 0; i < k->n; i++) mass[i] = 0.0;
    for (int64_t p = 0; p < probes; p++) {
        for (int64_t i = 0; i < k->n; i++)
            k->x[i] = ss_random_normal(seed, SS_STREAM_QUADRATURE + ((uint64_t)p << 32), (uint64_t)i);
        known_reflect(k, k->x);
        for (int64_t i = 0; i < k->n; i++) mass[i] += k->x[i] * k->x[i];
    }
    for (int64_t i = 0; i < k->n; i++) total += mass[i];
    for (int64_t i = 0; i < k->n; i++) mass[i] /= total;
}

/* Number of grid points at which the measure with these masses leaves the band; `eigenvalues`: the wide one.
 */
static int violations(const ss_density_result *r, int64_t n, const double *d, const double *mass,
                      bool eigenvalues)
{
    int count = 0;
    for (int64_t i = 0; i < r->n_points; i++) {
        const ss_density_point *p = &r->points[i];
        double                  before = 0.0, upto = 0.0;
        for (int64_t j = 0; j < n; j++) {
            double m = mass != NULL ? mass[j] : 1.0 / (double)n;
            if (d[j] < p->x) before += m;
            if (d[j] <= p->x) upto += m;
        }
        double low = eigenvalues ? p->low : p->below, high = eigenvalues ? p->high : p->upto;
        count += before < low - 1e-12 || upto > high + 1e-12;
    }
    return count;
}

Test(density, the_start_vectors_distribution_is_in_the_band_always, .init = ss_test_begin,
     .fini = ss_test_end)
{
    static double mass[601];
    int64_t       points = 0, wrong = 0, wrong_points = 0;
    const int     trials = known_on_device() ? 8 : 16;
    for (int kind = 0; kind < 4; kind++) {
        known k;
        known_open(&k, 601, true);
        spectrum_fill("ABCD"[kind], k.n, k.d);
        for (int trial = 0; trial < trials; trial++) {
            ss_density_options o = options_of(1 + trial % 3, 4 + 9 * (trial % 8), (uint64_t)trial);
            if (trial == 7) o.points = 600; /* fine enough to integrate the density */
            o.three_term = trial % 4 == 3;
            ss_density_result *r = solve(&k.op, &o);
            cr_assert(r->orthogonal == !o.three_term && r->n_probes == o.probes);
            start_masses(&k, o.probes, o.seed, mass);
            int found = violations(r, k.n, k.d, mass, false);
            cr_assert(found == 0, "spectrum %c, seed %d: %d of %lld points", "ABCD"[kind], trial, found,
                      (long long)r -> n_points);
            points += r->n_points;
            start_masses(&k, o.probes, o.seed + 1, mass); /* another vector's distribution is noticed */
            found = violations(r, k.n, k.d, mass, false);
            wrong += found > 0;
            wrong_points += found;
            /* What is smoothed is the same measure: total 1 and the mean v'Hv. */
            double sum = 0.0;
            for (int64_t i = 0; i + 1 < r->n_points; i++)
                sum += 0.5 * (r->points[i].density + r->points[i + 1].density) *
                       (r->points[i + 1].x - r->points[i].x);
            cr_expect(trial != 7 || fabs(sum - 1.0) < 4e-3, "the density sums to %g", sum);
            double mean = 0.0;
            start_masses(&k, o.probes, o.seed, mass);
            for (int64_t i = 0; i < k.n; i++) mean += mass[i] * k.d[i];
            cr_expect(fabs(r->mean - mean) < 1e-12);
            ss_density_result_destroy(r);
        }
        known_close(&k);
    }
    printf("%lld points hold the start vectors' distribution; another vector's was noticed in %lld of %d "
           "runs\n",
           (long long)points, (long long)wrong, 4 * trials);
    cr_assert(wrong > 2 * trials && wrong_points > 0);
}

/* ---- The eigenvalues ------------------------------------------------------------------------------------
 */

/* Failures allowed in `runs` at rate eta: the 99 % quantile of the binomial law. */
static int64_t binomial_limit(int64_t runs, double eta)
{
    double sum = 0.0, term = pow(1.0 - eta, (double)runs);
    for (int64_t k = 0; k <= runs; k++) {
        sum += term;
        if (sum >= 0.99) return k;
        term *= (double)(runs - k) / (double)(k + 1) * eta / (1.0 - eta);
    }
    return runs;
}

static int64_t seeds(void)
{
    return ss_test_environment("SS_TEST_ALL") ? 1000 : known_on_device() ? 4 : ss_test_brief() ? 20 : 100;
}

Test(density, the_eigenvalues_are_in_the_wide_band, .init = ss_test_begin, .fini = ss_test_end)
{
    double eta = 0.05;
    for (int kind = 0; kind < 4; kind++) {
        known   k;
        int64_t failures = 0, noticed = 0, without = 0;
        known_open(&k, 301, true);
        spectrum_fill("ABCD"[kind], k.n, k.d);
        double *mirrored = NULL;
        ss_test_require(SS_NEW_ARRAY(ss_test_context, k.n, &mirrored));
        for (int64_t i = 0; i < k.n; i++) mirrored[i] = k.d[i] + 0.05 * (greatest_of(&k) - least_of(&k));
        for (int64_t seed = 0; seed < seeds(); seed++) {
            ss_density_options o = options_of(1 + seed % 2, 50, (uint64_t)(seed + 7));
            o.eta = eta;
            o.points = 60;
            ss_density_result *r = solve(&k.op, &o);
            failures += violations(r, k.n, k.d, NULL, true) > 0;
            without += violations(r, k.n, k.d, NULL, false) > 0; /* the narrow band is not enough */
            noticed += violations(r, k.n, mirrored, NULL, true) > 0;
            ss_density_result_destroy(r);
        }
        printf("spectrum %c: %lld of %lld runs miss the eigenvalues (%lld allowed), %lld without the Beta "
               "quantile; a "
               "shifted spectrum is noticed in %lld\n",
               "ABCD"[kind], (long long)failures, (long long)seeds(), (long long)binomial_limit(seeds(), eta),
               (long long)without, (long long)noticed);
        cr_expect(failures <= binomial_limit(seeds(), eta));
        cr_expect(without > seeds() / 10);
        cr_expect(noticed > seeds() * 9 / 10);
        ss_free(ss_test_context, mirrored);
        known_close(&k);
    }
}

/* The Hessian of a network, by the operator that the program uses (with its lanes), against its own dense
 * form. */
Test(density, holds_for_the_hessian_of_a_network, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_golden        golden;
    ss_objective    *objective = NULL;
    ss_operator      op;
    ss_dense_result *dense = NULL;
    ss_dense_options how = { .vectors = true };
    double           eta = 0.05;
    int64_t          failures = 0, always = 0, runs = seeds(), lanes = 0;
    ss_test_require(ss_golden_open(ss_test_context, SS_SOURCE_DIRECTORY "/tests/cases/gelu_mse", &golden));
    ss_test_require(ss_golden_objective(&golden, SS_FLOAT64, &objective));
    ss_test_require(ss_objective_operator(objective, SS_PRODUCT_HESSIAN, SS_FLOAT64, NULL, NULL, &op));
    ss_test_require(ss_dense_eigen(&op, &how, &dense));
    double *mass = NULL;
    ss_test_require(SS_NEW_ARRAY(ss_test_context, dense->n, &mass));
    for (int64_t seed = 0; seed < runs; seed++) {
        ss_density_options o = options_of(3, 12, (uint64_t)seed);
        o.eta = eta;
        o.points = 60;
        ss_density_result *r = solve(&op, &o);
        failures += violations(r, dense->n, dense->values, NULL, true) > 0;
        lanes = r->lanes;
        double total = 0.0;
        for (int64_t i = 0; i < dense->n; i++) mass[i] = 0.0;
        for (int64_t p = 0; p < 3; p++)
            for (int64_t i = 0; i < dense->n; i++) {
                double part = 0.0;
                for (int64_t j = 0; j < dense->n; j++)
                    part += dense->vectors[i * dense->n + j] *
                            ss_random_normal(o.seed, SS_STREAM_QUADRATURE + ((uint64_t)p << 32), (uint64_t)j);
                mass[i] += part * part;
                total += part * part;
            }
        for (int64_t i = 0; i < dense->n; i++) mass[i] /= total;
        always += violations(r, dense->n, dense->values, mass, false);
        ss_density_result_destroy(r);
    }
    printf("n = %lld, %lld lanes: %lld of %lld runs miss the eigenvalues, %lld points the start vectors\n",
           (long long)dense->n, (long long)lanes, (long long)failures, (long long)runs, (long long)always);
    cr_expect(failures <= binomial_limit(runs, eta) && always == 0 && lanes > 1);
    ss_free(ss_test_context, mass);
    ss_dense_result_destroy(dense);
    ss_operator_destroy(&op);
    ss_objective_destroy(objective);
    ss_golden_close(&golden);
}

/* The interval for the rank from several probes covers as it says, and is no wider than that needs. */
Test(density, ranks_from_several_probes_cover)
{
    double  eta = 0.1;
    int64_t n = 80, q = 24, runs = 3000;
    for (int64_t s = 1; s <= 4; s++) {
        int64_t failures = 0, low = 0, high = 0;
        for (int64_t run = 0; run < runs; run++) {
            double inside = 0.0, all = 0.0;
            for (int64_t i = 0; i < n * s; i++) {
                double z = ss_random_normal((uint64_t)(run + 10000 * s), SS_STREAM_TEST, (uint64_t)i);
                all += z * z;
                if (i % n < q) inside += z * z;
            }
            ss_bounds_rank_of(n, s, inside / all, inside / all, eta, &low, &high);
            failures += q < low || q > high;
        }
        double rate = (double)failures / (double)runs;
        cr_expect(rate <= eta + 0.02 && rate > 0.3 * eta, "%lld probes: %g of %g", (long long)s, rate, eta);
    }
}

/* ---- Lanes, memory, layouts -----------------------------------------------------------------------------
 */

static void same(const ss_density_result *a, const ss_density_result *b, double tolerance)
{
    cr_assert(a->n_probes == b->n_probes);
    for (int64_t p = 0; p < a->n_probes; p++) {
        cr_assert(a->probes[p].k == b->probes[p].k && fabs(a->probes[p].share - b->probes[p].share) < 1e-6);
        for (int64_t j = 0; j < a->probes[p].k; j++)
            cr_assert(fabs(a->probes[p].alpha[j] - b->probes[p].alpha[j]) <= tolerance &&
                          fabs(a->probes[p].beta[j] - b->probes[p].beta[j]) <= tolerance,
                      "probe %lld, step %lld", (long long)p, (long long)j);
    }
}

Test(density, lanes_and_layouts_do_not_matter, .init = ss_test_begin, .fini = ss_test_end)
{
    const int64_t      lengths[] = { 63, 1, 65, 130, 7 };
    const char *const *backends = ss_test_backends();
    for (int i = 0; backends[i / 2] != NULL; i++) {
        known   k;
        ss_real real = i % 2 ? SS_FLOAT32 : SS_FLOAT64;
        known_open_padded(&k, backends[i / 2], real, 5, lengths);
        spectrum_fill('C', k.n, k.d);
        ss_density_options o = options_of(7, 15, 3);
        ss_density_result *laned = solve(&k.op, &o);
        cr_expect(laned->lanes == 3 && laned->products == 7 * 15);
        k.op.lanes = 1;
        ss_density_result *single = solve(&k.op, &o);
        same(laned, single, 0.0);
        o.three_term = true;
        ss_density_result *recurrence = solve(&k.op, &o);
        same(laned, recurrence, real == SS_FLOAT64 ? 1e-9 : 1e-3);
        o.three_term = false;
        o.memory = 8 * ss_vector_bytes(&k.op); /* eight vectors: no room for a basis of 16 */
        k.op.lanes = 3;
        ss_density_result *small = solve(&k.op, &o);
        cr_expect(!small->orthogonal && small->lanes == 2);
        same(recurrence, small, 0.0);
        o.memory = 20 * ss_vector_bytes(&k.op); /* one lane with all its vectors before two without */
        ss_density_result *one = solve(&k.op, &o);
        cr_expect(one->orthogonal && one->lanes == 1);
        same(laned, one, 0.0);
        ss_density_result_destroy(laned);
        ss_density_result_destroy(single);
        ss_density_result_destroy(recurrence);
        ss_density_result_destroy(small);
        ss_density_result_destroy(one);
        known_close(&k);
    }
}

/* Invariant spaces and tiny dimensions: the rule is the whole measure, and the band a staircase. */
Test(density, small_and_invariant, .init = ss_test_begin, .fini = ss_test_end)
{
    for (int64_t n = 1; n <= 12; n++) {
        known k;
        known_open(&k, n, n > 2);
        for (int64_t i = 0; i < n; i++) k.d[i] = (double)(i % 4) - 1.0; /* at most four different ones */
        ss_density_options o = options_of(2, 30, (uint64_t)n);
        ss_density_result *r = solve(&k.op, &o);
        for (int64_t p = 0; p < r->n_probes; p++) {
            cr_assert(r->probes[p].k == ss_min64(n, 4) && r->probes[p].invariant);
            for (int64_t j = 0; j < r->probes[p].k; j++)
                cr_expect(fabs(r->probes[p].node[j] - ((double)j - 1.0)) < 1e-12);
        }
        double *mass = NULL;
        ss_test_require(SS_NEW_ARRAY(ss_test_context, n, &mass));
        start_masses(&k, 2, o.seed, mass);
        cr_expect(violations(r, n, k.d, mass, false) == 0);
        cr_expect(violations(r, n, k.d, NULL, true) == 0);
        ss_free(ss_test_context, mass);
        ss_density_result_destroy(r);
        for (int64_t i = 0; i < n; i++) k.d[i] = 0.0; /* the zero operator */
        r = solve(&k.op, &o);
        cr_expect(r->lowest == 0.0 && r->highest == 0.0 && r->probes[0].k == 1 && r->n_points > 2);
        cr_expect(violations(r, n, k.d, NULL, true) == 0);
        ss_density_result_destroy(r);
        known_close(&k);
    }
}

/* ---- Endings --------------------------------------------------------------------------------------------
 */

static ss_status stop_at_ten(void *user, const ss_density_result *partial, int64_t done, int64_t total,
                             ss_eigen_action *action)
{
    int64_t *calls = user;
    cr_assert(partial->products <= 10 && done <= total && total == 3 * 20);
    ++*calls;
    if (partial->products == 10) *action = SS_EIGEN_STOP;
    return SS_OK;
}

Test(density, interrupted_stopped_or_broken, .init = ss_test_begin, .fini = ss_test_end)
{
    known              k;
    ss_density_result *r = NULL;
    int64_t            calls = 0;
    double            *mass = NULL;
    known_open(&k, 200, true);
    spectrum_fill('A', k.n, k.d);
    ss_test_require(SS_NEW_ARRAY(ss_test_context, k.n, &mass));
    ss_density_options o = options_of(3, 20, 1);

    /* An interruption keeps the step that was being made: one whole probe and five steps of the next. */
    k.interrupt = 25;
    cr_assert(ss_density_solve(&k.op, &o, &r) == SS_ERROR_INTERRUPTED && r != NULL);
    ss_context_clear_message(ss_test_context);
    cr_expect(r->reason == SS_EIGEN_INTERRUPTED && r->n_probes == 2 && r->probes[0].k == 20 &&
              r->probes[1].k == 5);
    start_masses(&k, 2, o.seed, mass);
    cr_expect(violations(r, k.n, k.d, mass, false) == 0);
    ss_density_result_destroy(r);

    k.flag = 0;
    o.monitor = stop_at_ten;
    o.monitor_user = &calls;
    r = solve(&k.op, &o);
    cr_expect(r->reason == SS_EIGEN_MONITOR && r->n_probes == 1 && r->probes[0].k == 10 && calls == 10);
    ss_density_result_destroy(r);

    o.monitor = NULL;
    k.calls = 0;
    k.interrupt = 0;
    k.poison = 7;
    ss_test_refuse(ss_density_solve(&k.op, &o, &r), SS_ERROR_NUMERIC, "finite");
    cr_expect(r == NULL);
    k.poison = 0;

    o.probes = 0;
    ss_test_refuse(ss_density_solve(&k.op, &o, &r), SS_ERROR_USAGE, "1 probe");
    o = options_of(1, 5, 1), o.eta = 1.0;
    ss_test_refuse(ss_density_solve(&k.op, &o, &r), SS_ERROR_USAGE, "eta");
    o = options_of(1, 5, 1), o.width = -1.0;
    ss_test_refuse(ss_density_solve(&k.op, &o, &r), SS_ERROR_USAGE, "width");
    o = options_of(1, 5, 1), o.memory = 3 * ss_vector_bytes(&k.op);
    ss_test_refuse(ss_density_solve(&k.op, &o, &r), SS_ERROR_REFUSED, "4 vectors");

    o = options_of(2, 5, 1);
    int64_t before = ss_context_allocations(ss_test_context);
    ss_density_result_destroy(solve(&k.op, &o));
    int64_t all = ss_context_allocations(ss_test_context) - before, step = ss_max64(1, all / 100);
    int64_t held = ss_context_memory_now(ss_test_context);
    for (int64_t nth = 1; nth <= all; nth += nth < 40 ? 1 : step) {
        ss_context_fail_allocation(ss_test_context, nth);
        cr_assert(ss_density_solve(&k.op, &o, &r) == SS_ERROR_MEMORY && r == NULL, "allocation %lld",
                  (long long)nth);
        ss_context_fail_allocation(ss_test_context, 0);
        ss_context_clear_message(ss_test_context);
        cr_assert(ss_context_memory_now(ss_test_context) == held);
    }
    ss_free(ss_test_context, mass);
    known_close(&k);
}
