/* The dense path: matrix, spectrum, inertia, eigenvectors, in all backends and real types over padded
 * layouts; a plain callback without any network. */
#include "spectrum/operators.h"

#include "spectrum/basis.h"

#include <stdio.h>

/* Element [i, j] of Q diag(d) Q'. */
static double element(const known *k, int64_t i, int64_t j)
{
    double sum = 0.0;
    for (int64_t l = 0; l < k->n; l++)
        sum += k->d[l] * ((i == l) - 2.0 * k->u[i] * k->u[l]) * ((j == l) - 2.0 * k->u[j] * k->u[l]);
    return sum;
}

Test(dense, spectrum_matrix_and_inertia, .init = ss_test_begin, .fini = ss_test_end)
{
    const char *const *backends = ss_test_backends();
    const int64_t      lengths[4] = { 3, 64, 1, 12 };
    for (int c = 0; backends[c / 2] != NULL; c++) {
        ss_real          real = c % 2 == 0 ? SS_FLOAT64 : SS_FLOAT32;
        double           u = ss_real_unit_roundoff(real);
        known            k;
        ss_dense_options o = { .vectors = true, .matrix = true };
        ss_dense_result *r = NULL;
        known_open_padded(&k, backends[c / 2], real, 4, lengths);
        for (int64_t i = 0; i < k.n; i++) k.d[i] = i < 7 ? -1.0 - (double)i : i < 17 ? 0.0 : 0.5 * (double)i;
        ss_test_require(ss_dense_eigen(&k.op, &o, &r));
        cr_assert(r->n == 80 && r->products == 80 && k.calls == 80);
        cr_assert(fabs(r->lambda_abs - 39.5) < 1e3 * u);
        ss_inertia inertia = ss_dense_inertia(r, 1e4 * u);
        cr_assert(inertia.negative == 7 && inertia.zero == 10 && inertia.positive == 63);
        for (int64_t i = 0; i < k.n; i++) {
            double truth = i < 7 ? -7.0 + (double)i : i < 17 ? 0.0 : 0.5 * (double)i;
            cr_assert(fabs(r->values[i] - truth) <= 400 * u, "%lld: %g, %g", (long long)i, r->values[i],
                      truth);
            for (int64_t j = 0; j < k.n; j++)
                cr_assert(fabs(r->matrix[i * k.n + j] - element(&k, i, j)) <= 400 * u);
        }
        cr_assert(r->asymmetry < 10 * u, "%g", r->asymmetry);
        /* eigenvectors: packed rows, and one through the operator */
        double dot = 0.0, residual = 0.0, packed[80], image[80];
        void  *x = NULL, *y = NULL;
        ss_test_require(k.backend->class->allocate(k.backend, ss_vector_bytes(&k.op), &x));
        ss_test_require(k.backend->class->allocate(k.backend, ss_vector_bytes(&k.op), &y));
        ss_test_require(ss_dense_vector(r, &k.op, 2, x));
        ss_test_require(ss_operator_apply(&k.op, 1, x, k.layout.padded, y, k.layout.padded));
        ss_test_require(ss_operator_pack(&k.op, x, packed));
        ss_test_require(ss_operator_pack(&k.op, y, image));
        for (int64_t i = 0; i < k.n; i++) {
            dot += packed[i] * r->vectors[2 * k.n + i];
            residual = fmax(residual, fabs(image[i] - r->values[2] * packed[i]));
        }
        cr_assert(fabs(dot - 1.0) < 100 * u && residual < 400 * u, "%g %g", dot - 1.0, residual);
        ss_test_refuse(ss_dense_vector(r, &k.op, 80, x), SS_ERROR_USAGE, "range");
        k.backend->class->release(k.backend, x);
        k.backend->class->release(k.backend, y);
        ss_dense_result_destroy(r);
        known_close(&k);
    }
}

static int skew(void *user, int64_t n, const double *x, double *y)
{
    (void)user;
    for (int64_t i = 0; i < n; i++) y[i] = x[i] + (i > 0 ? 0.25 * x[i - 1] : 0.0);
    return 0;
}

Test(dense, asymmetry_is_measured, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_operator      op;
    ss_dense_options o = { .matrix = true };
    ss_dense_result *r = NULL;
    ss_test_require(ss_operator_from_function(ss_test_context, 6, skew, NULL, &op));
    ss_test_require(ss_dense_eigen(&op, &o, &r));
    cr_assert(fabs(r->asymmetry - 0.25) < 1e-15 && r->vectors == NULL);
    cr_assert(fabs(r->matrix[1] - 0.125) < 1e-15 && fabs(r->matrix[6] - 0.125) < 1e-15);
    ss_dense_result_destroy(r);
    ss_operator_destroy(&op);
}

static int refuse(void *user, int64_t n, const double *x, double *y)
{
    (void)user;
    (void)n;
    (void)x;
    (void)y;
    return 7;
}

static ss_status count_calls(void *user, int64_t done, int64_t total)
{
    int64_t *calls = user;
    cr_assert(done == ++*calls && total == 9);
    return SS_OK;
}

Test(dense, failures, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_operator      op;
    known            k;
    int64_t          calls = 0;
    ss_dense_options o = { .monitor = count_calls, .monitor_user = &calls };
    ss_dense_result *r = NULL;
    ss_test_refuse(ss_operator_from_function(ss_test_context, 0, refuse, NULL, &op), SS_ERROR_USAGE,
                   "dimension");
    ss_test_require(ss_operator_from_function(ss_test_context, 9, refuse, NULL, &op));
    ss_test_refuse(ss_dense_eigen(&op, &o, &r), SS_ERROR_RUNTIME, "7");
    cr_assert(r == NULL && calls == 0);
    ss_operator_destroy(&op);

    known_open(&k, 9, false);
    k.poison = 4;
    ss_test_refuse(ss_dense_eigen(&k.op, &o, &r), SS_ERROR_NUMERIC, "[3, 4]");
    cr_assert(calls == 3);
    calls = 0;
    k.calls = k.poison = 0;
    k.interrupt = 5;
    ss_test_refuse(ss_dense_eigen(&k.op, &o, &r), SS_ERROR_INTERRUPTED, "signal");
    cr_assert(calls == 4 && r == NULL);
    k.flag = 0;
    k.interrupt = 0;
    calls = 0;
    for (int64_t nth = 1;; nth++) {
        calls = 0;
        ss_context_fail_allocation(ss_test_context, nth);
        ss_status status = ss_dense_eigen(&k.op, &o, &r);
        ss_context_fail_allocation(ss_test_context, 0);
        if (status == SS_OK) break;
        ss_test_refuse(status, SS_ERROR_MEMORY, NULL);
        cr_assert(nth < 100);
    }
    cr_assert(calls == 9);
    ss_dense_result_destroy(r);
    known_close(&k);
}

Test(dense, memory_estimate, .init = ss_test_begin, .fini = ss_test_end)
{
    known            k;
    ss_dense_result *r = NULL;
    known_open_on_host(&k, 700, true); /* what a device's library works in is its own affair */
    for (int64_t i = 0; i < k.n; i++) k.d[i] = (double)i;
    for (int c = 0; c < 4; c++) {
        ss_dense_options o = { .vectors = c % 2 == 1, .matrix = c / 2 == 1 };
        int64_t before = ss_context_memory_now(ss_test_context), estimate = ss_dense_memory(&k.op, &o);
        ss_context_memory_reset_peak(ss_test_context);
        ss_test_require(ss_dense_eigen(&k.op, &o, &r));
        int64_t taken = ss_context_memory_peak(ss_test_context) - before;
        printf("dense %d: estimated %lld, taken %lld bytes\n", c, (long long)estimate, (long long)taken);
        cr_assert(taken <= estimate + estimate / 100);
        cr_assert(10 * taken >= 9 * estimate, "too pessimistic");
        ss_dense_result_destroy(r);
    }
    known_close(&k);
}
