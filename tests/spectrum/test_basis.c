/* Bases in host memory: the algebra of the resident one on every backend, and searches in them. */
#include "spectrum/operators.h"

#include "spectrum/eigen.h"

static const int64_t lengths[3] = { 37, 130, 5 };

/* Column j of a basis, packed. */
static void column_of(known *k, ss_basis *basis, int64_t j, double *packed)
{
    const void *v = NULL;
    ss_test_require(ss_basis_read(basis, j, &v));
    ss_test_require(ss_operator_pack(&k->op, v, packed));
}

static void make_columns(known *k, ss_basis *basis, int64_t count)
{
    for (int64_t j = 0; j < count; j++) {
        void *v = NULL;
        ss_test_require(ss_basis_open(basis, j, &v));
        ss_test_require(ss_vector_random(&k->op, 100 + (uint64_t)j, SS_STREAM_TEST, NULL, NULL, v));
        ss_test_require(ss_basis_close(basis, j));
    }
}

static void same_columns(known *k, ss_basis *a, ss_basis *b, int64_t count, double tolerance,
                         const char *what)
{
    double x[256], y[256];
    for (int64_t j = count - 1; j >= 0; j--) {
        column_of(k, a, j, x);
        column_of(k, b, j, y);
        for (int64_t i = 0; i < k->n; i++)
            cr_assert(fabs(x[i] - y[i]) <= tolerance, "%s: %s: column %lld: %g and %g", k->op.backend->name,
                      what, (long long)j, x[i], y[i]);
    }
}

/* Every operation of the class on both; an odd number of columns, so that the last window is not full. */
static void compare(const char *backend, ss_real real)
{
    enum { COLUMNS = 7, KEPT = 3 };
    known     k;
    ss_basis *resident = NULL, *host = NULL;
    void     *w[2] = { NULL, NULL };
    double    h[2][COLUMNS], s[COLUMNS * KEPT], packed[2][256];
    double    unit = 100 * ss_real_unit_roundoff(real);
    known_open_padded(&k, backend, real, 3, lengths);
    ss_test_require(ss_basis_create_resident(&k.op, COLUMNS, &resident));
    ss_test_require(ss_basis_create_host(&k.op, COLUMNS, &host));
    make_columns(&k, resident, COLUMNS);
    make_columns(&k, host, COLUMNS);
    same_columns(&k, resident, host, COLUMNS, 0, "made");
    for (int i = 0; i < 2; i++) {
        ss_basis *basis = i == 0 ? resident : host;
        ss_test_require(k.backend->class->allocate(k.backend, ss_vector_bytes(&k.op), &w[i]));
        ss_test_require(ss_vector_random(&k.op, 7, SS_STREAM_TEST, NULL, NULL, w[i]));
        ss_test_require(ss_basis_dot(basis, COLUMNS, w[i], h[i]));
        ss_test_require(ss_basis_axpy(basis, COLUMNS, h[0], 0.5, w[i]));
        ss_test_require(ss_basis_axpy(basis, 0, NULL, 2.0, w[i]));
        ss_test_require(ss_operator_pack(&k.op, w[i], packed[i]));
    }
    for (int64_t j = 0; j < COLUMNS; j++) {
        cr_assert(fabs(h[0][j] - h[1][j]) <= unit * 200, "%s: dot %lld", backend, (long long)j);
        for (int64_t l = 0; l < KEPT; l++) s[j * KEPT + l] = sin((double)(3 * j + 5 * l));
    }
    for (int64_t i = 0; i < k.n; i++)
        cr_assert(fabs(packed[0][i] - packed[1][i]) <= unit * 200, "%s: axpy", backend);
    ss_test_require(ss_basis_combine(resident, COLUMNS, KEPT, s));
    ss_test_require(ss_basis_combine(host, COLUMNS, KEPT, s));
    same_columns(&k, resident, host, COLUMNS, 40 * unit, "combined");
    ss_test_require(ss_basis_copy(resident, 1, 6));
    ss_test_require(ss_basis_copy(host, 1, 6));
    same_columns(&k, resident, host, 3, 40 * unit, "copied");
    make_columns(&k, host, 1); /* the comparison can fail */
    column_of(&k, host, 0, packed[0]);
    column_of(&k, resident, 0, packed[1]);
    cr_assert(fabs(packed[0][0] - packed[1][0]) > 1e-3);
    for (int i = 0; i < 2; i++) k.backend->class->release(k.backend, w[i]);
    ss_basis_destroy(resident);
    ss_basis_destroy(host);
    known_close(&k);
}

Test(basis, host_memory_is_like_resident, .init = ss_test_begin, .fini = ss_test_end)
{
    for (const char *const *name = ss_test_backends(); *name; name++)
        for (int real = SS_FLOAT32; real <= SS_FLOAT64; real++) compare(*name, (ss_real)real);
}

/* A device that grants 12 vectors: the basis goes to the host, and finds the same values. With enough memory
 * it stays; on a backend whose memory is the host's there is nowhere to go. */
Test(basis, searches_move_to_the_host, .init = ss_test_begin, .fini = ss_test_end)
{
    for (const char *const *name = ss_test_backends(); *name; name++) {
        known            k;
        double           found[2][2];
        ss_eigen_options o;
        known_open_padded(&k, *name, SS_FLOAT64, 3, lengths);
        for (int64_t i = 0; i < k.n; i++) k.d[i] = i == 5 ? -1 : i == 9 ? 3 : (double)i / (double)k.n;
        bool device = k.backend->class->space == SS_MEMORY_DEVICE;
        for (int tight = 0; tight < 2; tight++) {
            ss_eigen_result *r = NULL;
            ss_eigen_options_pairs(&o, 1, 1);
            o.rtol_low = o.rtol_high = 1e-10;
            o.memory = (tight ? 12 : 200) * ss_vector_bytes(&k.op);
            o.basis = tight && !device ? 6 : 20;
            ss_test_require(ss_eigen_solve(&k.op, &o, &r));
            cr_assert_eq(r->basis_on_host, tight && device, "%s", *name);
            cr_assert_eq(r->basis, o.basis);
            found[tight][0] = r->ritz[0].value;
            found[tight][1] = r->ritz[r->size - 1].value;
            ss_eigen_result_destroy(r);
        }
        for (int i = 0; i < 2; i++) {
            cr_assert(fabs(found[0][i] - (i ? 3.0 : -1.0)) < 1e-9, "%s: %.12g", *name, found[0][i]);
            cr_assert(fabs(found[1][i] - found[0][i]) < 1e-9, "%s: %.12g", *name, found[1][i]);
        }
        known_close(&k);
    }
}

/* The vectors go, the numbers stay. */
Test(basis, vectors_can_be_forgotten, .init = ss_test_begin, .fini = ss_test_end)
{
    for (const char *const *name = ss_test_backends(); *name; name++) {
        known            k;
        ss_eigen_options o;
        ss_eigen_result *r = NULL;
        ss_counts        counts[2];
        void            *x = NULL;
        known_open_padded(&k, *name, SS_FLOAT64, 3, lengths);
        for (int64_t i = 0; i < k.n; i++) k.d[i] = i == 5 ? -1 : i == 9 ? 3 : (double)i / (double)k.n;
        ss_eigen_options_pairs(&o, 1, 1);
        o.basis = 20;
        ss_test_require(k.backend->class->allocate(k.backend, ss_vector_bytes(&k.op), &x));
        ss_test_require(ss_eigen_solve(&k.op, &o, &r));
        ss_test_require(ss_eigen_vector(r, 0, x));
        ss_test_require(ss_eigen_counts(r, 0.5, 0.01, &counts[0]));
        double  lowest = r->ritz[0].value;
        int64_t held = ss_context_memory_now(ss_test_context);
        ss_eigen_forget_vectors(r);
        if (k.backend->class->space != SS_MEMORY_DEVICE) /* a device's own memory is not the context's */
            cr_assert(ss_context_memory_now(ss_test_context) <= held - 20 * ss_vector_bytes(&k.op), "%s",
                      *name);
        ss_test_refuse(ss_eigen_vector(r, 0, x), SS_ERROR_USAGE, "given back");
        ss_test_require(ss_eigen_counts(r, 0.5, 0.01, &counts[1]));
        cr_assert_eq(memcmp(&counts[0], &counts[1], sizeof counts[0]), 0);
        cr_assert_eq(r->ritz[0].value, lowest);
        ss_eigen_forget_vectors(r); /* again is harmless */
        ss_eigen_result_destroy(r);
        k.backend->class->release(k.backend, x);
        known_close(&k);
    }
}

/* The rule that `info` prints is the one that searches follow. */
Test(basis, who_goes_to_the_host)
{
    cr_assert(!ss_eigen_basis_on_host(100, 1000000, 2000));
    cr_assert(ss_eigen_basis_on_host(100, 1000000, 1999));
    cr_assert(!ss_eigen_basis_on_host(100, 5, 900)); /* 5 unknowns need no 16 vectors */
}
