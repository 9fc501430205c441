/* ARPACK (dsaupd, dseupd) as a second opinion on the same ss_operator: both ends of indefinite spectra. */
#include "spectrum/operators.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef SS_WITH_ARPACK
/* Fortran: hidden lengths of the character arguments come last. */
extern void dsaupd_(int *ido, const char *bmat, const int *n, const char *which, const int *nev,
                    const double *tol, double *resid, const int *ncv, double *v, const int *ldv, int *iparam,
                    int *ipntr, double *workd, double *workl, const int *lworkl, int *info, size_t, size_t);
extern void dseupd_(const int *rvec, const char *howmny, int *select, double *d, double *z, const int *ldz,
                    const double *sigma, const char *bmat, const int *n, const char *which, const int *nev,
                    const double *tol, double *resid, const int *ncv, double *v, const int *ldv, int *iparam,
                    int *ipntr, double *workd, double *workl, const int *lworkl, int *info, size_t, size_t,
                    size_t);

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The `nev` eigenvalues of one end ("SA" or "LA") ascending into d; the products it took. */
static int64_t arpack(ss_operator *op, const char *which, int nev, double tolerance, double *d)
{
    const int n = (int)op->layout->padded, ncv = 40, lworkl = ncv * (ncv + 8), no_vectors = 0;
    double   *resid = NULL, *v = NULL, *workd = NULL, *workl = NULL, sigma = 0.0;
    int       ido = 0, info = 0, select[64], iparam[11] = { 1, 0, 3000, 1, 0, 0, 1 }, ipntr[11] = { 0 };
    int64_t   products = op->products;
    ss_test_require(SS_NEW_ARRAY(ss_test_context, n, &resid));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, (int64_t)n * ncv, &v));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, (int64_t)3 * n, &workd));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, lworkl, &workl));
    for (;;) {
        dsaupd_(&ido, "I", &n, which, &nev, &tolerance, resid, &ncv, v, &n, iparam, ipntr, workd, workl,
                &lworkl, &info, 1, 2);
        if (ido != 1 && ido != -1) break;
        ss_test_require(ss_operator_apply(op, 1, workd + ipntr[0] - 1, n, workd + ipntr[1] - 1, n));
    }
    cr_assert(info == 0, "dsaupd: %d", info);
    dseupd_(&no_vectors, "A", select, d, v, &n, &sigma, "I", &n, which, &nev, &tolerance, resid, &ncv, v, &n,
            iparam, ipntr, workd, workl, &lworkl, &info, 1, 1, 2);
    cr_assert(info == 0, "dseupd: %d", info);
    qsort(d, (size_t)nev, sizeof *d, ascending); /* without vectors they come in no order */
    ss_free(ss_test_context, resid);
    ss_free(ss_test_context, v);
    ss_free(ss_test_context, workd);
    ss_free(ss_test_context, workl);
    return op->products - products;
}

static void compare(char kind, int64_t n, int low, int high)
{
    known            k, host; /* ARPACK's vectors lie in host memory */
    ss_eigen_options o;
    ss_eigen_result *r = NULL;
    double           d[64];
    known_open(&k, n, true);
    known_open_on_host(&host, n, true);
    spectrum_fill(kind, n, k.d);
    spectrum_fill(kind, n, host.d);
    ss_eigen_options_pairs(&o, low, high);
    o.rtol_low = o.rtol_high = 1e-8;
    ss_test_require(ss_eigen_solve(&k.op, &o, &r));
    cr_assert(r->reason == SS_EIGEN_CONVERGED || r->reason == SS_EIGEN_COMPLETE);
    int64_t products = arpack(&host.op, "SA", low, 1e-10, d);
    for (int i = 0; i < low; i++)
        cr_assert(fabs(d[i] - r->ritz[i].value) <= 1e-9, "%c low %d: %.12g, ARPACK %.12g", kind, i,
                  r->ritz[i].value, d[i]);
    products += arpack(&host.op, "LA", high, 1e-10, d);
    for (int i = 0; i < high; i++)
        cr_assert(fabs(d[i] - r->ritz[r->size - high + i].value) <= 1e-9, "%c high %d: %.12g, ARPACK %.12g",
                  kind, i, r->ritz[r->size - high + i].value, d[i]);
    printf("%c: %d lowest and %d highest to 1e-8: %lld products, ARPACK's two runs %lld\n", kind, low, high,
           (long long)r->products, (long long)products);
    ss_eigen_result_destroy(r);
    known_close(&host);
    known_close(&k);
}

Test(arpack, second_opinion, .init = ss_test_begin, .fini = ss_test_end)
{
    compare('A', 3000, 4, 5);
    compare('B', 3001, 3, 3);
    compare('C', 1000, 2, 4);
    compare('D', 2000, 1, 6);
}
#else
Test(arpack, not_installed)
{
    printf("ARPACK is not installed: no second opinion\n");
}
#endif
