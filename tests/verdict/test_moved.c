/* What polish, escape, study and track stand on: curvature on the level set, operators made of others,
 * weights that move and are saved, names in natural order. */
#include "base/philox.h"
#include "io/archive.h"
#include "saddlescope/follow.h"
#include "verdict/bench.h"
#include "verdict/move.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#define CASES SS_SOURCE_DIRECTORY "/tests/cases/"

/* ---- The level set, operators made of others ------------------------------------------------------------
 */

static void product_of(const double *h, int64_t n, const double *x, double *y)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = 0.0;
        for (int64_t j = 0; j < n; j++) y[i] += h[i * n + j] * x[j];
    }
}

Test(moved, operators_made_of_others, .init = ss_test_begin, .fini = ss_test_end)
{
    bench            b;
    ss_operator      op, made;
    ss_dense_options dense = { .matrix = true };
    ss_dense_result *plain = NULL, *result = NULL;
    ss_vectors       u = { 0 };
    static double    d[400], unit[400], hu[400];
    digits(&b, 5);
    ss_test_require(ss_objective_operator(b.objective, SS_PRODUCT_HESSIAN, SS_FLOAT64, NULL, NULL, &op));
    int64_t n = op.layout->n;
    double  length = 0.0, uhu = 0.0, off = 0.0;
    ss_test_require(ss_dense_eigen(&op, &dense, &plain));
    for (int64_t i = 0; i < n; i++) {
        d[i] = 0.5 + ss_random_uniform(1, SS_STREAM_TEST, (uint64_t)i);
        unit[i] = ss_random_normal(2, SS_STREAM_TEST, (uint64_t)i);
        length += unit[i] * unit[i];
    }
    ss_test_require(ss_operator_scaled(&op, d, &made));
    ss_test_require(ss_dense_eigen(&made, &dense, &result));
    for (int64_t i = 0; i < n * n; i++)
        off = fmax(off, fabs(result->matrix[i] - d[i / n] * plain->matrix[i] * d[i % n]));
    cr_expect_lt(off, 1e-13);
    ss_dense_result_destroy(result);
    ss_operator_destroy(&made);

    ss_test_require(ss_vectors_create(op.backend, op.layout, 1, &u));
    ss_test_require(ss_operator_unpack(&op, unit, u.data)); /* not of unit length: that is its affair */
    ss_test_require(ss_operator_projected(&op, u.data, &made));
    ss_test_require(ss_dense_eigen(&made, &dense, &result));
    for (int64_t i = 0; i < n; i++) unit[i] /= sqrt(length);
    product_of(plain->matrix, n, unit, hu);
    for (int64_t i = 0; i < n; i++) uhu += unit[i] * hu[i];
    off = 0.0;
    for (int64_t i = 0; i < n * n; i++) {
        int64_t r = i / n, c = i % n;
        double  wanted = plain->matrix[i] - unit[r] * hu[c] - hu[r] * unit[c] + uhu * unit[r] * unit[c];
        off = fmax(off, fabs(result->matrix[i] - wanted));
    }
    cr_expect_lt(off, 1e-13);
    ss_vectors_release(&u);
    ss_dense_result_destroy(result);
    ss_dense_result_destroy(plain);
    ss_operator_destroy(&made);
    ss_operator_destroy(&op);
    bench_close(&b);
}

/* lambda_min on the level set: exact on the dense path against the dense P H P; Lanczos against that. */
Test(moved, curvature_on_the_level_set, .init = ss_test_begin, .fini = ss_test_end)
{
    for (uint64_t seed = 0; seed < 4; seed++) {
        bench              b;
        ss_operator        op, made;
        ss_dense_options   dense = { .vectors = true };
        ss_dense_result   *d = NULL;
        ss_analyze_options options;
        ss_verdict         exact, krylov;
        ss_move            m;
        digits(&b, seed);
        ss_test_require(ss_move_begin(&m, ss_test_context, b.objective, 0.0, 0.0));
        ss_test_require(ss_move_open(&m, &op));
        ss_test_require(ss_operator_projected(&op, m.g.data, &made));
        ss_test_require(ss_dense_eigen(&made, &dense, &d));
        ss_analyze_options_init(&options);
        ss_test_require(ss_analyze(ss_test_context, b.objective, &options, &exact));
        options.dense_limit = 0;
        ss_test_require(ss_analyze(ss_test_context, b.objective, &options, &krylov));
        cr_expect(exact.level_set.measured && krylov.level_set.measured);
        cr_expect_float_eq(exact.level_set.lambda_min, d->values[0], 1e-12, "seed %d: %.15g, dense %.15g",
                           (int)seed, exact.level_set.lambda_min, d->values[0]);
        cr_expect(exact.level_set.lambda_min >= exact.curvature.lambda_min - 1e-12);
        cr_expect(fabs(krylov.level_set.lambda_min - d->values[0]) <=
                      krylov.level_set.lambda_min_error + 1e-12,
                  "seed %d: %g +- %g, in truth %g", (int)seed, krylov.level_set.lambda_min,
                  krylov.level_set.lambda_min_error, d->values[0]);
        cr_expect(krylov.level_set.lambda_min >= d->values[0] - 1e-12, "a Rayleigh quotient lies above");
        ss_verdict_destroy(&exact);
        ss_verdict_destroy(&krylov);
        ss_dense_result_destroy(d);
        ss_operator_destroy(&made);
        ss_operator_destroy(&op);
        ss_move_release(&m);
        bench_close(&b);
    }
}

/* ---- Weights: moved, stored, saved ----------------------------------------------------------------------
 */

Test(moved, weights_can_be_moved, .init = ss_test_begin, .fini = ss_test_end)
{
    bench         b;
    ss_loss_value here, there, moved;
    static double packed[400];
    ss_vectors    x = { 0 };
    ss_operator   op;
    digits(&b, 2);
    int64_t n = ss_objective_layout(b.objective)->n;
    ss_test_require(ss_vectors_create(ss_objective_backend(b.objective, SS_FLOAT64),
                                      ss_objective_layout(b.objective), 1, &x));
    ss_test_require(ss_vectors_random_unit(&x, ss_objective_layout(b.objective), 4, SS_STREAM_TEST));
    ss_point point = { 0.7, x.data };
    ss_test_require(ss_objective_loss(b.objective, SS_FLOAT64, NULL, NULL, &here, NULL));
    ss_test_require(ss_objective_loss(b.objective, SS_FLOAT64, NULL, &point, &there, NULL));
    ss_test_require(ss_objective_operator(b.objective, SS_PRODUCT_HESSIAN, SS_FLOAT64, NULL, NULL, &op));
    ss_test_require(ss_operator_pack(&op, x.data, packed));
    ss_test_refuse(ss_objective_set_weights(b.objective, packed), SS_ERROR_USAGE, "operator");
    ss_operator_destroy(&op);
    double *theta = NULL;
    ss_test_require(SS_NEW_ARRAY(ss_test_context, n, &theta));
    ss_objective_get_weights(b.objective, theta);
    for (int64_t i = 0; i < n; i++) theta[i] += 0.7 * packed[i];
    ss_test_require(ss_objective_set_weights(b.objective, theta));
    ss_test_require(ss_objective_loss(b.objective, SS_FLOAT64, NULL, NULL, &moved, NULL));
    cr_expect_float_eq(moved.loss, there.loss, 1e-14);
    cr_expect(fabs(moved.loss - here.loss) > 1e-6);
    for (int64_t i = 0; i < n; i++) theta[i] -= 0.7 * packed[i];
    ss_test_require(ss_objective_set_weights(b.objective, theta)); /* moved twice: no second block */
    ss_test_require(ss_objective_loss(b.objective, SS_FLOAT64, NULL, NULL, &moved, NULL));
    cr_expect_float_eq(moved.loss, here.loss, 1e-14);
    ss_free(ss_test_context, theta);
    ss_vectors_release(&x);
    bench_close(&b);
}

/* Every 16-bit pattern survives reading and storing; in the middle between two the even one wins. */
Test(moved, sixteen_bits_are_rounded_to_nearest, .init = ss_test_begin, .fini = ss_test_end)
{
    static const ss_type types[] = { SS_F16, SS_BF16 };
    for (int k = 0; k < 2; k++) {
        int wrong = 0, ties = 0;
        for (unsigned bits = 0; bits < 65536; bits++) {
            uint16_t pattern = (uint16_t)bits, next = (uint16_t)(bits + 1), stored = 0;
            ss_array array = { "", types[k], 1, { 1 }, &pattern }, above = { "", types[k], 1, { 1 }, &next };
            double   value = ss_array_value(&array, 0), upper = ss_array_value(&above, 0);
            if (isnan(value)) continue;
            ss_test_require(ss_array_store(ss_test_context, types[k], &value, 1, &stored));
            wrong += stored != pattern;
            if (!isfinite(value) || !isfinite(upper) || (bits & 0x7FFFu) == 0x7FFFu) continue;
            double middle = 0.5 * value + 0.5 * upper;
            ss_test_require(ss_array_store(ss_test_context, types[k], &middle, 1, &stored));
            ties += stored != ((bits & 1u) == 0 ? pattern : next);
            double nearer = middle + 1e-6 * (upper - value);
            ss_test_require(ss_array_store(ss_test_context, types[k], &nearer, 1, &stored));
            wrong += stored != next;
        }
        cr_expect(wrong == 0 && ties == 0, "%s: %d wrong, %d ties", ss_type_name(types[k]), wrong, ties);
    }
    double   huge = 1e39;
    uint16_t stored = 0;
    ss_test_require(ss_array_store(ss_test_context, SS_BF16, &huge, 1, &stored));
    cr_expect_eq(stored, 0x7F80u);
}

/* The saved file has the old one's names, types, shapes and metadata; the values are the new ones, rounded.
 */
static void same_form(const char *old_path, const char *new_path, const ss_saved_weights *saved, double shift)
{
    ss_archive *before = NULL, *after = NULL;
    double      square = 0.0;
    ss_test_require(ss_archive_open(ss_test_context, old_path, &before));
    ss_test_require(ss_archive_open(ss_test_context, new_path, &after));
    cr_assert_eq(ss_archive_count(before), ss_archive_count(after));
    cr_expect_eq(ss_archive_metadata_count(before), ss_archive_metadata_count(after));
    for (int64_t i = 0; i < ss_archive_count(before); i++) {
        const ss_array *a = ss_archive_at(before, i), *b = ss_archive_find(after, a->name);
        int64_t         count = 1;
        cr_assert(b != NULL && a->type == b->type && a->rank == b->rank, "%s", a->name);
        for (int32_t k = 0; k < a->rank; k++) count *= a->shape[k];
        for (int64_t j = 0; j < count; j++) {
            double off = ss_array_value(b, j) - (ss_array_value(a, j) + shift);
            square += off * off;
            cr_expect(fabs(off) <= saved->largest);
        }
    }
    cr_expect_float_eq(sqrt(square), saved->moved, 1e-12);
    ss_archive_close(before);
    ss_archive_close(after);
}

Test(moved, a_checkpoint_keeps_its_form, .init = ss_test_begin, .fini = ss_test_end)
{
    static const char *const cases[] = { "bf16_weights", "f16_weights", "gelu_mse" };
    for (int k = 0; k < 3; k++) {
        char             folder[600], file[700];
        ss_network      *network = NULL, *again = NULL;
        ss_saved_weights saved;
        double          *packed = NULL, *padded = NULL;
        const char      *path = ss_test_path("new.safetensors");
        snprintf(folder, sizeof folder, CASES "%s", cases[k]);
        snprintf(file, sizeof file, "%s/weights.safetensors", folder);
        ss_test_require(ss_network_open(ss_test_context, folder, NULL, &network));
        int64_t n = ss_network_n(network);
        ss_test_require(SS_NEW_ARRAY(ss_test_context, n, &packed));
        ss_test_require(SS_NEW_ARRAY(ss_test_context, ss_network_layout(network)->padded, &padded));
        ss_network_get_weights(network, SS_FLOAT64, padded);
        ss_network_pack(network, SS_FLOAT64, padded, packed);
        for (int64_t i = 0; i < n; i++) packed[i] += 0.001;
        ss_test_require(ss_network_save(network, path, packed, &saved));
        cr_expect_eq(saved.rounded, k < 2);
        cr_expect(k == 2 || saved.moved > 0.0);
        same_form(file, path, &saved, 0.001);
        ss_network_options options = { .weights = path };
        ss_test_require(ss_network_open(ss_test_context, folder, &options, &again));
        packed[0] = 1e30;
        if (k == 1) ss_test_refuse(ss_network_save(network, path, packed, &saved), SS_ERROR_NUMERIC, "F16");
        ss_network_close(again);
        ss_network_close(network);
        ss_free(ss_test_context, packed);
        ss_free(ss_test_context, padded);
    }
}

Test(moved, names_in_natural_order, .init = ss_test_begin, .fini = ss_test_end)
{
    cr_expect(ss_natural_compare("checkpoint-200", "checkpoint-1000") < 0);
    cr_expect(ss_natural_compare("checkpoint-1000", "checkpoint-200") > 0);
    cr_expect(ss_natural_compare("a10b2", "a10b10") < 0);
    cr_expect(ss_natural_compare("a", "a1") < 0);
    cr_expect(ss_natural_compare("a01", "a1") == 0 && ss_natural_compare("x", "x") == 0);
    cr_expect_eq(ss_natural_number("run/checkpoint-1200/"), 1200);
    cr_expect_eq(ss_natural_number("final"), -1);
}
