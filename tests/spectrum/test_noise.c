/* Noise in the products never makes a saddle (reference 1.3): at a true minimum, lambda_min = 1e-6,
 * lambda_max = 1, the explicit Rayleigh matrix shows no negative eigenvalue of the noise's size, the
 * tridiagonal T of the same products does. */
#include "spectrum/operators.h"

#include <stdio.h>

static double lowest_of_t(const ss_tridiagonal *t)
{
    double *a = NULL, *w = NULL, lowest;
    ss_test_require(SS_NEW_ARRAY(ss_test_context, t->k * t->k, &a));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, t->k, &w));
    for (int64_t i = 0; i < t->k; i++) {
        a[i * t->k + i] = t->alpha[i];
        if (i + 1 < t->k) a[i * t->k + i + 1] = a[(i + 1) * t->k + i] = t->beta[i];
    }
    ss_test_require(ss_small_eigen(ss_test_context, t->k, a, false, w));
    lowest = w[0];
    ss_free(ss_test_context, a);
    ss_free(ss_test_context, w);
    return lowest;
}

static void minimum(known *k, int64_t n, double noise, uint64_t seed)
{
    known_open(k, n, true);
    for (int64_t i = 0; i < n; i++)
        k->d[i] = i < 20 ? pow(0.05, (double)i / 19.0) : 1e-6 + 3e-4 * fabs(log(uniform_at(i)));
    k->d[n - 1] = 1e-6;
    k->noise = noise;
    k->noise_seed = 1000000 * (seed + 1);
}

Test(noise, rayleigh_matrix_against_t, .init = ss_test_begin, .fini = ss_test_end)
{
    const int64_t n = 4000, seeds = ss_test_environment("SS_TEST_ALL") ? 200 : known_on_device() ? 2 : 10;
    const double  noises[2] = { 1e-3, 1e-2 };
    for (int i = 0; i < 2; i++) {
        const double tau = 0.1 * noises[i];
        int64_t      fooled = 0;
        double       worst_h = INFINITY, worst_t = INFINITY;
        for (int64_t seed = 0; seed < seeds; seed++) {
            known            k;
            ss_eigen_options o;
            ss_eigen_result *r = NULL;
            minimum(&k, n, noises[i], (uint64_t)seed);
            ss_eigen_options_init(&o);
            o.low = o.high = 0;
            o.certify_low = false;
            o.delta = 1e-9; /* the search is not told of the noise */
            o.max_products = 80;
            o.basis = 80;
            o.seed = (uint64_t)seed;
            ss_test_require(ss_eigen_solve(&k.op, &o, &r));
            double t = lowest_of_t(&r->first);
            worst_h = fmin(worst_h, r->theta_min);
            worst_t = fmin(worst_t, t);
            if (t < -tau) fooled++;
            cr_assert(r->theta_min >= -tau, "seed %lld: %g", (long long)seed, r->theta_min);
            ss_eigen_result_destroy(r);
            known_close(&k);
        }
        printf("noise %g: lowest Ritz value of the Rayleigh matrix %.2g, of T %.2g; T is fooled in %lld of "
               "%lld\n",
               noises[i], worst_h, worst_t, (long long)fooled, (long long)seeds);
        cr_assert(fooled > seeds / 2);
    }
}

Test(noise, told_of_it_no_saddle_is_reported, .init = ss_test_begin, .fini = ss_test_end)
{
    /* The preset for verdicts, all modes of a basis, delta as it would be measured. */
    const int64_t n = 4000, seeds = ss_test_environment("SS_TEST_ALL") ? 200 : known_on_device() ? 2 : 10;
    const int64_t bases[3] = { 0, 32, 16 };
    const double  noises[2] = { 1e-3, 1e-2 };
    int64_t       certified = 0, most = 0;
    for (int64_t run = 0; run < 6 * seeds; run++) {
        known            k;
        ss_eigen_options o;
        ss_eigen_result *r = NULL;
        minimum(&k, n, noises[run % 2], (uint64_t)run);
        ss_eigen_options_init(&o);
        o.delta = noises[run % 2];
        o.basis = bases[run % 3];
        o.seed = (uint64_t)run;
        ss_test_require(ss_eigen_solve(&k.op, &o, &r));
        cr_assert(r->theta_min >= -r->tau, "run %lld: %g below -tau = %g", (long long)run, r->theta_min,
                  -r->tau);
        cr_assert(r->lower <= 1e-6, "the bound must stay below the truth: %g", r->lower);
        if (r->certified_low) certified++;
        most = ss_max64(most, r->products);
        ss_eigen_result_destroy(r);
        known_close(&k);
    }
    printf("%lld of %lld minima certified under noise, at most %lld products\n", (long long)certified,
           (long long)(6 * seeds), (long long)most);
    cr_assert(certified > 5 * seeds);
}

Test(noise, a_real_saddle_is_still_found, .init = ss_test_begin, .fini = ss_test_end)
{
    known            k;
    ss_eigen_options o;
    ss_eigen_result *r = NULL;
    minimum(&k, 4000, 1e-3, 5);
    k.d[100] = -0.02;
    ss_eigen_options_init(&o);
    o.delta = 1e-3;
    ss_test_require(ss_eigen_solve(&k.op, &o, &r));
    cr_assert(r->theta_min < -r->tau && fabs(r->theta_min + 0.02) < 2e-3, "%g", r->theta_min);
    cr_assert(!r->certified_low && r->lower < -0.02);
    ss_eigen_result_destroy(r);
    known_close(&k);
}
