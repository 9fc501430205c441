/* The pure functions on alpha and beta: incomplete beta, gamma(eta), Christoffel bound with its coverage,
 * Gauss-Radau masses, counts. Reference values from 40-digit quadrature. SS_TEST_ALL=1: 600 seeds instead of
 * 60. */
#include "spectrum/operators.h"

#include <stdio.h>

typedef struct beta_value {
    double a, b, x, value;
} beta_value;

static const beta_value beta_values[] = {
    { 0.5, 0.5, 0.3, 0.36901011956554538 },
    { 0.5, 499.5, 1e-06, 0.025208207370527588 },
    { 0.5, 499.5, 0.01, 0.9984642861578636 },
    { 0.5, 499999.5, 1e-10, 0.0079787066456259163 },
    { 0.5, 499999.5, 3e-06, 0.91673548333660378 },
    { 0.5, 4999999999.5, 1e-14, 0.0079787126286648438 },
    { 2, 3, 0.999, 0.999999996003 },
    { 50, 50, 0.5, 0.5 },
    { 50, 450, 0.08, 0.060515344103827279 },
    { 5000, 5000, 0.505, 0.84134474637103682 },
    { 30000, 70000, 0.297, 0.019074521852135693 },
    { 12, 11, 0.2, 0.00034919188897873284 },
    { 9.5, 10.5, 0.6, 0.86892909654460885 },
    { 500000, 500000, 0.4985, 0.0013498714406376661 },
    { 5e8, 5e8, 0.50001, 0.73645537153530433 },
    { 1.5e9, 3.5e9, 0.29999, 0.061410634716339754 },
    { 1.5, 998.5, 0.0001, 0.022371963666176416 },
    { 0.5, 9.5, 0.9, 0.99999999994009556 },
    { 499.5, 0.5, 0.999, 0.31755266017641217 },
};

Test(bounds, incomplete_beta)
{
    for (size_t i = 0; i < sizeof beta_values / sizeof beta_values[0]; i++) {
        const beta_value *v = &beta_values[i];
        double            found = ss_bounds_beta_cdf(v->a, v->b, v->x);
        /* x itself is rounded: in units of the distribution's width that is sqrt(a) roundoffs */
        double limit = 1e-12 + 4e-15 * sqrt(v->a);
        cr_assert(fabs(found - v->value) <= limit * v->value, "I(%g, %g, %g) = %.17g, not %.17g", v->a, v->b,
                  v->x, found, v->value);
    }
    cr_assert(ss_bounds_beta_cdf(2, 2, 0) == 0 && ss_bounds_beta_cdf(2, 2, 1) == 1);
}

Test(bounds, gamma)
{
    const double known_values[][3] = { { 2, 0.3, 0.45399049973954675 },
                                       { 10, 0.05, 0.021487301261148326 },
                                       { 1000, 0.01, 0.00039664065799435336 },
                                       { 1e6, 1e-3, 1.2533154054188908e-06 },
                                       { 1e10, 0.01, 1.2533469509009223e-07 } };
    for (int i = 0; i < 5; i++) {
        double found = ss_bounds_gamma((int64_t)known_values[i][0], known_values[i][1]);
        cr_assert(fabs(found - known_values[i][2]) <= 1e-12 * found, "%d: %.17g", i, found);
    }
    cr_assert(ss_bounds_gamma(1, 0.01) == 1.0);
}

Test(bounds, rank_intervals)
{
    int64_t low, high;
    /* no information */
    ss_bounds_rank(100, 0.0, 1.0, 0.01, &low, &high);
    cr_assert(low == 0 && high == 100);
    /* nothing there, everything there */
    ss_bounds_rank(100, 0.0, 0.0, 0.01, &low, &high);
    cr_assert(low == 0 && high == 0);
    ss_bounds_rank(100, 1.0, 1.0, 0.01, &low, &high);
    cr_assert(low == 100 && high == 100);
    /* the ends are the last ranks that the quantile allows */
    ss_bounds_rank(10000, 0.3, 0.31, 0.05, &low, &high);
    cr_assert(1.0 - ss_bounds_beta_cdf(0.5 * (double)low, 0.5 * (double)(10000 - low), 0.3) >= 0.025);
    cr_assert(1.0 - ss_bounds_beta_cdf(0.5 * (double)(low - 1), 0.5 * (double)(10001 - low), 0.3) < 0.025);
    cr_assert(ss_bounds_beta_cdf(0.5 * (double)high, 0.5 * (double)(10000 - high), 0.31) >= 0.025);
    cr_assert(ss_bounds_beta_cdf(0.5 * (double)(high + 1), 0.5 * (double)(9999 - high), 0.31) < 0.025);
    cr_assert(low > 2800 && low < 3000 && high > 3100 && high < 3300, "%lld %lld", (long long)low,
              (long long)high);
}

/* k products from a random start: alpha, beta and, from the same random numbers, the start vector. */
static ss_eigen_result *sequence(known *k, int64_t products, uint64_t seed, double *start)
{
    ss_eigen_options o;
    ss_eigen_result *r = NULL;
    double           length = 0.0;
    ss_eigen_options_init(&o);
    o.low = o.high = 0;
    o.certify_low = false;
    o.max_products = products;
    o.basis = products;
    o.seed = seed;
    ss_test_require(ss_eigen_solve(&k->op, &o, &r));
    for (int64_t i = 0; i < k->n; i++) {
        start[i] = ss_random_normal(seed, SS_STREAM_START, (uint64_t)i);
        length += start[i] * start[i];
    }
    for (int64_t i = 0; i < k->n; i++) start[i] /= sqrt(length);
    return r;
}

/* Largest number of failures that happens with probability at least 1 % when each has probability p. */
static int64_t binomial_limit(int64_t count, double p)
{
    double  term = pow(1.0 - p, (double)count), sum = term;
    int64_t j = 0;
    while (sum < 0.99) {
        term *= p / (1.0 - p) * (double)(count - j) / (double)(j + 1);
        sum += term;
        j++;
    }
    return j;
}

Test(bounds, christoffel_coverage, .init = ss_test_begin, .fini = ss_test_end)
{
    const int64_t n = 4000, lengths[3] = { 10, 20, 40 },
                  least = 40; /* number of the lowest eigenvalue in D */
    const double  eta = 0.05, gamma = ss_bounds_gamma(n, eta);
    const int64_t seeds = ss_test_environment("SS_TEST_ALL") ? 600 : known_on_device() ? 8 : 60;
    int64_t       failures[3] = { 0 }, small = 0, wrong = 0, allowed = binomial_limit(seeds, eta);
    double        mean[3] = { 0 }, *start = NULL;
    known         k;
    known_open(&k, n, false);
    spectrum_fill('D', n, k.d);
    ss_test_require(SS_NEW_ARRAY(ss_test_context, n, &start));
    for (int64_t seed = 0; seed < seeds; seed++) {
        ss_eigen_result *r = sequence(&k, 40, (uint64_t)seed, start);
        bool             unlucky = fabs(start[least]) < gamma;
        small += unlucky;
        for (int i = 0; i < 3; i++) {
            ss_tridiagonal t = r->first;
            double         lower = 0.0, upper = 0.0, bold = 0.0;
            t.k = lengths[i];
            ss_test_require(ss_bounds_lower(ss_test_context, &t, INFINITY, n, eta, &lower));
            ss_test_require(ss_bounds_upper(ss_test_context, &t, -INFINITY, n, eta, &upper));
            bool failed = k.d[least] < lower - 1e-13;
            cr_assert(!failed || unlucky,
                      "seed %lld: the bound %g fails although |gamma_1| = %g is not small", (long long)seed,
                      lower, fabs(start[least]));
            cr_assert(upper >= 1.0 - 1e-13 || fabs(start[0]) < gamma);
            failures[i] += failed;
            mean[i] += lower / (double)seeds;
            /* A bound that believes the dimension to be 100 is too bold, and this test sees it. */
            ss_test_require(ss_bounds_lower(ss_test_context, &t, INFINITY, 100, eta, &bold));
            if (i == 2 && k.d[least] < bold) wrong++;
        }
        ss_eigen_result_destroy(r);
    }
    printf(
        "coverage over %lld seeds: |gamma_1| small %lld, failures %lld %lld %lld, allowed %lld, mean bounds "
        "%.4g %.4g %.4g, too bold a bound fails %lld\n",
        (long long)seeds, (long long)small, (long long)failures[0], (long long)failures[1],
        (long long)failures[2], (long long)allowed, mean[0], mean[1], mean[2], (long long)wrong);
    for (int i = 0; i < 3; i++) cr_assert(failures[i] <= allowed);
    cr_assert(wrong > allowed);
    cr_assert(mean[0] > -0.1 && mean[1] > -0.02 && mean[2] > -0.004 && mean[2] <= -0.002);
    ss_free(ss_test_context, start);
    known_close(&k);
}

Test(bounds, radau_masses_contain_the_truth, .init = ss_test_begin, .fini = ss_test_end)
{
    const int64_t n = 3000, products[3] = { 10, 40, 80 };
    const double  points[] = { -0.5, -0.0199, -1e-3, 0.0, 1e-4, 1e-3, 0.101, 0.9, 2.0 };
    double       *start = NULL;
    int           cases = 0;
    ss_test_require(SS_NEW_ARRAY(ss_test_context, n, &start));
    for (const char *kind = "ABCD"; *kind != '\0'; kind++) {
        known k;
        known_open(&k, n, false);
        spectrum_fill(*kind, n, k.d);
        for (int p = 0; p < 3; p++) {
            ss_eigen_result *r = sequence(&k, products[p], 7, start);
            for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
                double below = 0.0, upto = 0.0, left = 0.0, right = 0.0;
                ss_test_require(ss_bounds_mass(ss_test_context, &r->first, points[i], &below, &upto));
                for (int64_t j = 0; j < n; j++) {
                    if (k.d[j] < points[i]) left += start[j] * start[j];
                    if (k.d[j] <= points[i]) right += start[j] * start[j];
                }
                cr_assert(below <= left + 1e-12 && right <= upto + 1e-12,
                          "%c, k %lld, x %g: [%.15g, %.15g] does not contain [%.15g, %.15g]", *kind,
                          (long long)products[p], points[i], below, upto, left, right);
                /* the gap is the Christoffel number */
                double gap = exp(-ss_bounds_log_christoffel(&r->first, points[i]));
                cr_assert(fabs(upto - below - gap) <= 1e-9 + 1e-3 * gap,
                          "%c, k %lld, x %g: gap %g, Christoffel %g", *kind, (long long)products[p],
                          points[i], upto - below, gap);
                cases++;
            }
            ss_eigen_result_destroy(r);
        }
        known_close(&k);
    }
    cr_assert(cases == 4 * 3 * 9);
    ss_free(ss_test_context, start);
}

Test(bounds, at_a_ritz_value, .init = ss_test_begin, .fini = ss_test_end)
{
    /* T = [[0, 1], [1, 0]] has the Ritz values -1 and 1; there the Radau entry is infinite. */
    const double   alpha[2] = { 0.0, 0.0 }, beta[2] = { 1.0, 0.5 };
    ss_tridiagonal t = { .k = 2, .alpha = alpha, .beta = beta };
    double         below = -1.0, upto = -1.0;
    ss_test_require(ss_bounds_mass(ss_test_context, &t, 1.0, &below, &upto));
    cr_assert(below >= 0.0 && below <= 0.5 + 1e-6 && upto >= 1.0 - 1e-6 && upto <= 1.0, "%g %g", below, upto);
}

Test(bounds, counts_contain_the_truth, .init = ss_test_begin, .fini = ss_test_end)
{
    const int64_t n = 2000, seeds = ss_test_environment("SS_TEST_ALL") ? 500 : known_on_device() ? 6 : 50;
    const double  eta = 0.05, tau = 1e-3;
    int64_t       failures[3] = { 0 }, truth[3] = { 0 };
    double       *start = NULL, width = 0.0;
    known         k;
    known_open(&k, n, false);
    spectrum_fill('A', n, k.d);
    for (int64_t i = 0; i < n; i++) truth[k.d[i] < -tau ? 0 : k.d[i] > tau ? 2 : 1]++;
    ss_test_require(SS_NEW_ARRAY(ss_test_context, n, &start));
    for (int64_t seed = 0; seed < seeds; seed++) {
        ss_counts        counts;
        ss_eigen_result *r = sequence(&k, 60, (uint64_t)seed + 1000, start);
        ss_test_require(ss_bounds_counts(ss_test_context, &r->first, n, tau, 1e-14, eta, &counts));
        const ss_count *c[3] = { &counts.negative, &counts.zero, &counts.positive };
        for (int i = 0; i < 3; i++) failures[i] += truth[i] < c[i]->low || truth[i] > c[i]->high;
        width += (double)(c[1]->high - c[1]->low) / (double)(n * seeds);
        ss_eigen_result_destroy(r);
    }
    printf("counts (%lld, %lld, %lld): failures %lld %lld %lld of %lld, mean width of n0 %.2f n\n",
           (long long)truth[0], (long long)truth[1], (long long)truth[2], (long long)failures[0],
           (long long)failures[1], (long long)failures[2], (long long)seeds, width);
    for (int i = 0; i < 3; i++) cr_assert(failures[i] <= binomial_limit(seeds, eta));
    cr_assert(width < 0.25, "the intervals say too little: %g", width);
    ss_free(ss_test_context, start);
    known_close(&k);
}

typedef struct count_case {
    int64_t  k, n;            /* alpha_j = 0.8 cos j, beta_j = 0.4 + 0.5 / (j + 2), j < k */
    double   tau, delta, eta; /* arguments */
    ss_count negative, zero, positive;
} count_case;

/* From NumPy and SciPy (dense Gauss-Radau matrices, scipy.stats.beta, every rank tried). */
static const count_case count_cases[] = {
    { 20, 1000, 0.3, 1e-6, 0.05, { 35, 120 }, { 86, 185 }, { 759, 829 } },
    { 60, 5000, 0.1, 1e-4, 0.01, { 469, 628 }, { 16, 57 }, { 4336, 4500 } },
    { 40, 300, 0.5, 0.0, 0.1, { 3, 14 }, { 114, 153 }, { 140, 179 } },
};

Test(bounds, counts_of_an_independent_script, .init = ss_test_begin, .fini = ss_test_end)
{
    for (size_t i = 0; i < sizeof count_cases / sizeof count_cases[0]; i++) {
        const count_case *c = &count_cases[i];
        double            alpha[60], beta[60];
        ss_counts         counts;
        for (int64_t j = 0; j < c->k; j++) {
            alpha[j] = 0.8 * cos((double)j);
            beta[j] = 0.4 + 0.5 / (double)(j + 2);
        }
        ss_tridiagonal t = { .k = c->k, .alpha = alpha, .beta = beta };
        ss_test_require(ss_bounds_counts(ss_test_context, &t, c->n, c->tau, c->delta, c->eta, &counts));
        const ss_count *found[3] = { &counts.negative, &counts.zero, &counts.positive };
        const ss_count *expected[3] = { &c->negative, &c->zero, &c->positive };
        for (int e = 0; e < 3; e++)
            cr_assert(found[e]->low == expected[e]->low && found[e]->high == expected[e]->high,
                      "case %zu, count %d: [%lld, %lld], not [%lld, %lld]", i, e, (long long)found[e]->low,
                      (long long)found[e]->high, (long long)expected[e]->low, (long long)expected[e]->high);
    }
}

Test(bounds, usage, .init = ss_test_begin, .fini = ss_test_end)
{
    const double   one[1] = { 1.0 };
    ss_tridiagonal t = { .k = 1, .alpha = one, .beta = one }, none = { .k = 0 };
    double         bound = 0.0;
    ss_counts      counts;
    ss_test_refuse(ss_bounds_lower(ss_test_context, &t, 0.0, 10, 0.0, &bound), SS_ERROR_USAGE, "eta");
    ss_test_refuse(ss_bounds_upper(ss_test_context, &t, 0.0, 0, 0.1, &bound), SS_ERROR_USAGE, "n >= 1");
    ss_test_refuse(ss_bounds_counts(ss_test_context, &t, 10, -1.0, 0.0, 0.1, &counts), SS_ERROR_USAGE, "tau");
    ss_test_require(ss_bounds_lower(ss_test_context, &none, 0.0, 10, 0.1, &bound));
    cr_assert(bound == -INFINITY);
}
