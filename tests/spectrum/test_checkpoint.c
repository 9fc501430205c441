/* A search that is stopped at any product and resumed gives the digits of one that went through; whatever
 * does not belong together is refused; failures leave nothing behind. */
#include "spectrum/operators.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef enum stop {
    INTERRUPT,
    KILL
} stop; /* at a signal: vectors are saved; killed: nothing more is written */

typedef struct scene {
    int64_t         n;     /* dimension */
    char            kind;  /* spectrum */
    int64_t         basis; /* m */
    ss_eigen_method method;
    double          resolution; /* X */
    double          every;      /* seconds between savings of the vectors; 0 = each product */
} scene;

/* Phases: first cycle, continuation, signal, restarts | restarts only | three vectors */
static const scene scenes[] = {
    { 700, 'D', 16, SS_EIGEN_AUTO, 1e-3, 1e9 },         { 700, 'D', 16, SS_EIGEN_AUTO, 1e-3, 0.0 },
    { 500, 'A', 12, SS_EIGEN_AUTO, 0.0, 1e9 },          { 400, 'A', 0, SS_EIGEN_AUTO, 0.0, 1e9 },
    { 400, 'A', 0, SS_EIGEN_THREE_VECTORS, 1e-2, 1e9 },
};

/* Every product writes and syncs a file: in memory where there is a file system in memory. */
static void begin_in_memory(void)
{
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    ss_test_begin();
}

static int dies(void *user, int64_t n, const double *x, double *y)
{
    known *k = user;
    if (k->calls + 1 == k->poison) return 99; /* the machine goes down during this product */
    return known_plain(user, n, x, y);
}

static void open_scene(known *k, const scene *s, ss_eigen_options *o, const char *path)
{
    known_allocate(k, s->n, true);
    ss_test_require(ss_operator_from_function(ss_test_context, s->n, dies, k, &k->op));
    spectrum_fill(s->kind, s->n, k->d);
    ss_eigen_options_init(o);
    o->basis = s->basis;
    o->method = s->method;
    o->resolution = s->resolution;
    o->certify_low = s->resolution > 0.0;
    o->seed = 4;
    o->checkpoint = path;
    o->checkpoint_every = s->every;
    o->configuration = "network = test\nloss = none\n";
}

static void same(const ss_eigen_result *a, const ss_eigen_result *b, int64_t product)
{
    cr_assert(a->reason == b->reason && a->products == b->products && a->restarts == b->restarts,
              "stopped at %lld: %lld and %lld products", (long long)product, (long long)a->products,
              (long long)b->products);
    cr_assert(a->size == b->size && a->first.k == b->first.k && a->lower == b->lower && a->upper == b->upper);
    cr_assert(a->theta_min == b->theta_min && a->theta_max == b->theta_max);
    cr_assert(memcmp(a->first.alpha, b->first.alpha, (size_t)a->first.k * sizeof(double)) == 0);
    cr_assert(memcmp(a->first.beta, b->first.beta, (size_t)a->first.k * sizeof(double)) == 0);
    for (int64_t i = 0; i < a->size; i++)
        cr_assert(a->ritz[i].value == b->ritz[i].value && a->ritz[i].residual == b->ritz[i].residual);
}

static void stop_and_resume(const scene *s, const ss_eigen_result *through, const char *path, int64_t product,
                            stop how)
{
    known            k;
    ss_eigen_options o;
    ss_eigen_result *r = NULL;
    open_scene(&k, s, &o, path);
    if (how == INTERRUPT) {
        k.interrupt = product;
        cr_assert(ss_eigen_solve(&k.op, &o, &r) == SS_ERROR_INTERRUPTED);
        cr_assert(r != NULL && r->reason == SS_EIGEN_INTERRUPTED && r->products == product);
        ss_eigen_result_destroy(r);
    } else {
        k.poison = product + 1;
        cr_assert(ss_eigen_solve(&k.op, &o, &r) == SS_ERROR_RUNTIME && r == NULL);
    }
    known_close(&k);
    ss_context_clear_message(ss_test_context);

    open_scene(&k, s, &o, path);
    o.resume = true;
    o.basis = 0; /* taken from the checkpoint */
    o.method = SS_EIGEN_AUTO;
    ss_test_require(ss_eigen_solve(&k.op, &o, &r));
    same(through, r, product);
    cr_assert(k.calls == through->products - product + r->replayed, "%lld calls, %lld replayed",
              (long long)k.calls, (long long)r->replayed);
    if (how == INTERRUPT) cr_assert(r->replayed == 0);
    ss_eigen_result_destroy(r);
    known_close(&k);
}

Test(checkpoint, resumed_is_uninterrupted, .init = begin_in_memory, .fini = ss_test_end)
{
    const char *path = ss_test_path("checkpoint");
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
        known            k;
        ss_eigen_options o;
        ss_eigen_result *through = NULL;
        open_scene(&k, &scenes[i], &o, NULL);
        ss_test_require(ss_eigen_solve(&k.op, &o, &through));
        printf("scene %zu: %lld products, %lld restarts, sequence %lld of which %lld orthogonalised\n", i,
               (long long)through->products, (long long)through->restarts, (long long)through->first.k,
               (long long)through->first_cycle);
        int64_t step = ss_test_environment("SS_TEST_ALL") ? 1 : ss_max64(1, through->products / 4 - 1);
        for (int64_t product = 1; product < through->products; product += step)
            stop_and_resume(&scenes[i], through, path, product,
                            (product + (int64_t)i) % 2 == 0 ? INTERRUPT : KILL);
        stop_and_resume(&scenes[i], through, path, ss_min64(scenes[i].basis + 1, 17),
                        KILL); /* after a restart */
        ss_eigen_result_destroy(through);
        known_close(&k);
    }
}

Test(checkpoint, what_does_not_belong_is_refused, .init = begin_in_memory, .fini = ss_test_end)
{
    known            k;
    ss_eigen_options o;
    ss_eigen_result *r = NULL;
    const char      *path = ss_test_path("checkpoint");
    open_scene(&k, &scenes[2], &o, path);
    o.max_products = 20;
    ss_test_require(ss_eigen_solve(&k.op, &o, &r));
    cr_assert(r->reason == SS_EIGEN_BUDGET);
    ss_eigen_result_destroy(r);

    o.resume = true;
    o.seed = 5;
    ss_test_refuse(ss_eigen_solve(&k.op, &o, &r), SS_ERROR_REFUSED, "'seed = 4' there, 'seed = 5' here");
    o.seed = 4;
    o.configuration = "network = test\nloss = mse\n";
    ss_test_refuse(ss_eigen_solve(&k.op, &o, &r), SS_ERROR_REFUSED, "'loss = none' there, 'loss = mse' here");
    o.configuration = "network = test\nloss = none\n";
    o.basis = 14;
    ss_test_refuse(ss_eigen_solve(&k.op, &o, &r), SS_ERROR_REFUSED, "basis");
    o.basis = 0;

    /* The operator has changed without saying so: the replay notices, once vectors are missing. */
    char basis[2100];
    snprintf(basis, sizeof basis, "%s.basis", path);
    cr_assert(remove(basis) == 0);
    k.d[0] *= 1.0 + 1e-9;
    ss_test_refuse(ss_eigen_solve(&k.op, &o, &r), SS_ERROR_REFUSED, "other digits");
    k.d[0] = 1.0;
    o.max_products = 0;
    ss_test_require(ss_eigen_solve(&k.op, &o, &r));
    cr_assert(r->replayed == 20 && r->reason == SS_EIGEN_CONVERGED);
    ss_eigen_result_destroy(r);

    /* no file: from the beginning */
    o.checkpoint = ss_test_path("nothing_here");
    ss_test_require(ss_eigen_solve(&k.op, &o, &r));
    cr_assert(r->replayed == 0);
    ss_eigen_result_destroy(r);
    o.checkpoint = ss_test_path("no_folder/checkpoint");
    ss_test_refuse(ss_eigen_solve(&k.op, &o, &r), SS_ERROR_OUTPUT, "no_folder");
    known_close(&k);
}

Test(checkpoint, damaged_files, .init = begin_in_memory, .fini = ss_test_end)
{
    known            k;
    ss_eigen_options o;
    ss_eigen_result *r = NULL;
    const char      *path = ss_test_path("checkpoint"), *bad = ss_test_path("bad");
    size_t           bytes = 0;
    open_scene(&k, &scenes[2], &o, path);
    o.max_products = 15;
    ss_test_require(ss_eigen_solve(&k.op, &o, &r));
    ss_eigen_result_destroy(r);
    unsigned char *file = ss_test_read_file(path, &bytes);
    o.resume = true;
    o.checkpoint = bad;
    /* every cut-off file, and every integer replaced: refused or as before, never a crash */
    for (size_t cut = 0; cut < bytes; cut += 41) {
        ss_test_write_file(bad, file, cut);
        cr_assert(ss_eigen_solve(&k.op, &o, &r) != SS_OK && r == NULL, "cut at %zu", cut);
        ss_context_clear_message(ss_test_context);
    }
    char basis[2100];
    snprintf(basis, sizeof basis, "%s.basis", bad);
    for (size_t at = bytes - 8; at > bytes - 8 * 40; at -= 8) {
        int64_t old, strange = -5;
        memcpy(&old, file + at, 8);
        memcpy(file + at, &strange, 8);
        ss_test_write_file(bad, file, bytes);
        ss_test_write_file(basis, file, bytes); /* scalars without vectors */
        cr_assert(ss_eigen_solve(&k.op, &o, &r) != SS_OK && r == NULL);
        ss_context_clear_message(ss_test_context);
        memcpy(file + at, &old, 8);
    }
    ss_free(ss_test_context, file);
    known_close(&k);
}

/* ---- Other failures of a search -------------------------------------------------------------------------
 */
Test(failures, every_allocation, .init = begin_in_memory, .fini = ss_test_end)
{
    const char *path = ss_test_path("checkpoint");
    for (int scene_number = 2; scene_number < 5; scene_number += 2) {
        known            k;
        ss_eigen_options o;
        ss_eigen_result *r = NULL;
        int64_t          failed = 0, step = ss_test_environment("SS_TEST_ALL") ? 1 : 7;
        open_scene(&k, &scenes[scene_number], &o, NULL);
        o.max_products = 14;
        o.true_residuals = true;
        ss_test_require(ss_eigen_solve(&k.op, &o, &r)); /* the backend's own scratch reaches its size */
        ss_eigen_result_destroy(r);
        for (int64_t nth = 1;; nth += nth < 60 ? 1 : step) {
            int64_t before = ss_context_memory_now(ss_test_context);
            o.checkpoint = nth % 5 == 0 ? path : NULL;
            ss_context_fail_allocation(ss_test_context, nth);
            ss_status status = ss_eigen_solve(&k.op, &o, &r);
            ss_context_fail_allocation(ss_test_context, 0);
            if (status == SS_OK && o.checkpoint == NULL) break;
            if (status == SS_OK) {
                ss_eigen_result_destroy(r);
                continue;
            }
            ss_test_refuse(status, SS_ERROR_MEMORY, NULL);
            cr_assert(r == NULL);
            cr_assert(ss_context_memory_now(ss_test_context) == before, "allocation %lld: %lld bytes lost",
                      (long long)nth, (long long)(ss_context_memory_now(ss_test_context) - before));
            failed++;
            cr_assert(nth < 5000);
        }
        cr_assert(failed > 15, "%lld", (long long)failed);
        ss_eigen_result_destroy(r);
        known_close(&k);
    }
}

Test(failures, products_that_are_not_finite, .init = begin_in_memory, .fini = ss_test_end)
{
    known            k;
    ss_eigen_options o;
    ss_eigen_result *r = NULL;
    for (int three = 0; three < 2; three++) {
        known_open(&k, 101, true);
        spectrum_fill('A', k.n, k.d);
        k.poison = 6;
        ss_eigen_options_init(&o);
        o.method = three ? SS_EIGEN_THREE_VECTORS : SS_EIGEN_BASIS;
        ss_test_refuse(ss_eigen_solve(&k.op, &o, &r), SS_ERROR_NUMERIC, "product 6: element 50");
        cr_assert(r == NULL);
        known_close(&k);
    }
}

Test(failures, options_that_contradict, .init = begin_in_memory, .fini = ss_test_end)
{
    known            k;
    ss_eigen_options good, o;
    ss_eigen_result *r = NULL;
    char             text[4000];
    known_open_on_host(&k, 500, true); /* nothing is computed */
    spectrum_fill('A', k.n, k.d);
    ss_eigen_options_init(&good);
    cr_assert(ss_eigen_options_display(&good, text, sizeof text) < (int)sizeof text);
    cr_assert(strstr(text, "max_products = 300\n") != NULL && strstr(text, "method = auto\n") != NULL);
#define REFUSE(change, status, part)                                                                         \
    do {                                                                                                     \
        o = good;                                                                                            \
        change;                                                                                              \
        ss_test_refuse(ss_eigen_solve(&k.op, &o, &r), status, part);                                         \
        cr_assert(r == NULL);                                                                                \
    } while (0)
    REFUSE(o.eta = 0.0, SS_ERROR_USAGE, "eta");
    REFUSE(o.low = -1, SS_ERROR_USAGE, "negative");
    REFUSE(o.rtol_low = 0.0, SS_ERROR_USAGE, "rtol");
    REFUSE(o.delta = NAN, SS_ERROR_USAGE, "NaN");
    REFUSE(o.resume = true, SS_ERROR_USAGE, "checkpoint");
    REFUSE(o.start = k.x, SS_ERROR_USAGE, "certified");
    REFUSE((o.start = k.x, o.certify_low = false), SS_ERROR_USAGE, "length");
    REFUSE((o.live = k.x, o.n_live = 501), SS_ERROR_USAGE, "n_live");
    REFUSE((o.method = SS_EIGEN_THREE_VECTORS, o.basis = 5), SS_ERROR_USAGE, "three-vector");
    REFUSE((o.method = SS_EIGEN_THREE_VECTORS, o.low = 2), SS_ERROR_USAGE, "one pair per end");
    REFUSE((o.memory = 12 * 4000, o.high = 2), SS_ERROR_REFUSED, "allow 80000 bytes");
    REFUSE((o.low = 20, o.basis = 20), SS_ERROR_USAGE, "at least 25");
    REFUSE((o.memory = 1000000, o.basis = 400), SS_ERROR_REFUSED, "allow more memory");
    REFUSE(o.memory = 5000, SS_ERROR_REFUSED, "3 vectors");
    known_close(&k);
}

Test(failures, memory_decides_the_mode, .init = begin_in_memory, .fini = ss_test_end)
{
    known            k;
    ss_eigen_options o;
    ss_eigen_result *r = NULL;
    known_open_on_host(&k, 1000, true); /* on a device the basis would move: test_basis.c */
    spectrum_fill('A', k.n, k.d);
    ss_eigen_options_init(&o);
    const int64_t memory[3] = { 10 * 8000, 30 * 8000, 0 }, basis[3] = { 0, 26, 256 };
    for (int i = 0; i < 3; i++) {
        o.memory = memory[i];
        ss_test_require(ss_eigen_solve(&k.op, &o, &r));
        cr_assert(r->basis == basis[i] && r->estimates == (i == 0), "%lld", (long long)r->basis);
        cr_assert(memory[i] == 0 || ss_eigen_memory(&k.op, r->basis) <= memory[i]);
        cr_assert(fabs(r->theta_min + 0.02) < 1e-3);
        ss_eigen_result_destroy(r);
    }
    known_close(&k);
}
