/* Products that a search needs on the spectra of reference 1.1, beside the figures of that table. */
#include "spectrum/operators.h"

#include <stdio.h>

typedef struct row {
    char            kind;  /* spectrum */
    int64_t         basis; /* 0 = automatic (unrestarted here) */
    ss_eigen_method method;
    int64_t         limit; /* products allowed: the table's figure and a generous margin */
} row;

static const row rows[] = {
    { 'A', 0, SS_EIGEN_AUTO, 45 },          { 'B', 0, SS_EIGEN_AUTO, 20 },
    { 'C', 0, SS_EIGEN_AUTO, 65 },          { 'D', 0, SS_EIGEN_AUTO, 65 },
    { 'A', 32, SS_EIGEN_AUTO, 50 },         { 'B', 32, SS_EIGEN_AUTO, 20 },
    { 'C', 32, SS_EIGEN_AUTO, 70 },         { 'D', 32, SS_EIGEN_AUTO, 110 },
    { 'A', 16, SS_EIGEN_AUTO, 95 },         { 'B', 16, SS_EIGEN_AUTO, 20 },
    { 'C', 16, SS_EIGEN_AUTO, 80 },         { 'D', 16, SS_EIGEN_AUTO, 230 },
    { 'A', 0, SS_EIGEN_THREE_VECTORS, 65 }, { 'B', 0, SS_EIGEN_THREE_VECTORS, 20 },
    { 'C', 0, SS_EIGEN_THREE_VECTORS, 75 }, { 'D', 0, SS_EIGEN_THREE_VECTORS, 130 },
};

Test(products, both_ends_to_one_percent, .init = ss_test_begin, .fini = ss_test_end)
{
    const int64_t n = known_on_device() ? 5000 : 50000; /* the spectra are the same */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        known            k;
        ss_eigen_options o;
        ss_eigen_result *r = NULL;
        known_open(&k, n, false);
        spectrum_fill(rows[i].kind, n, k.d);
        ss_eigen_options_init(&o);
        o.certify_low = false;
        o.resolution = 0.0;
        o.basis = rows[i].basis;
        o.method = rows[i].method;
        ss_test_require(ss_eigen_solve(&k.op, &o, &r));
        double low = r->ritz[0].value, high = r->ritz[r->size - 1].value;
        printf("spectrum %c  basis %3lld  %s  %4lld products  %2lld restarts  low %.5g (%.5g)  high %.5g "
               "(%.5g)  %s\n",
               rows[i].kind, (long long)r->basis, r->estimates ? "three vectors" : "basis",
               (long long)r->products, (long long)r->restarts, low, least_of(&k), high, greatest_of(&k),
               ss_eigen_reason_text(r->reason));
        cr_assert(r->reason == SS_EIGEN_CONVERGED);
        cr_assert(r->products <= rows[i].limit, "%lld products", (long long)r->products);
        cr_assert(fabs(low - least_of(&k)) <= 0.05 * fabs(least_of(&k)));
        cr_assert(fabs(high - greatest_of(&k)) <= 0.02 * greatest_of(&k));
        ss_eigen_result_destroy(r);
        known_close(&k);
    }
}
