/* What follows a verdict: polish, escape, study, curvature on the level set, weights that move and are saved.
 * References are computed here from the dense Hessian, or known by hand. */
#include "base/philox.h"
#include "io/archive.h"
#include "saddlescope/dataset.h"
#include "saddlescope/follow.h"
#include "saddlescope/network.h"
#include "support/golden.h"
#include "support/support.h"
#include "verdict/move.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define TOY   SS_SOURCE_DIRECTORY "/examples/toy_saddle"
#define CASES SS_SOURCE_DIRECTORY "/tests/cases/"

/* An objective with all that it stands on. */
typedef struct bench {
    ss_network   *network;
    ss_dataset   *dataset;
    ss_objective *objective;
} bench;

static void bench_open(bench *b, const char *source, const char *data, const char *loss, double decay,
                       uint64_t seed)
{
    ss_decay_rule        rule = { NULL, decay };
    ss_network_options   network = { .decay = &rule, .n_decay = decay > 0.0, .seed = seed };
    ss_dataset_options   samples;
    ss_objective_options options;
    ss_dataset_options_init(&samples);
    if (strstr(data, "digits") != NULL) {
        samples.scale_given = true;
        samples.scale = 1.0 / 16.0;
        samples.samples = 120;
    }
    ss_objective_options_init(&options);
    options.loss = loss;
    ss_test_require(ss_network_open(ss_test_context, source, &network, &b->network));
    ss_test_require(ss_dataset_open(ss_test_context, data, &samples, &b->dataset));
    ss_test_require(ss_objective_create(ss_test_context, b->network, b->dataset, &options, &b->objective));
}

static void bench_close(bench *b)
{
    ss_objective_destroy(b->objective);
    ss_dataset_close(b->dataset);
    ss_network_close(b->network);
}

static void digits(bench *b, uint64_t seed)
{
    bench_open(b, "mlp:64-2-10:tanh", SS_SOURCE_DIRECTORY "/examples/digits/data.safetensors",
               "cross_entropy", 1e-3, seed);
}

/* ---- Escape ---------------------------------------------------------------------------------------------
 */

/* y = w1 w2 x from (0, 0): along (1, 1) to a loss of zero. */
Test(follow, escape_of_the_toy_reaches_zero, .init = ss_test_begin, .fini = ss_test_end)
{
    bench              b;
    ss_escape_options  options;
    ss_analyze_options analyze;
    ss_escape_result   r;
    double             weights[2];
    bench_open(&b, TOY, TOY "/data.safetensors", "mse", 0.0, 0);
    ss_escape_options_init(&options);
    ss_analyze_options_init(&analyze);
    options.until_minimum = true;
    ss_test_require(ss_escape(ss_test_context, b.objective, &options, &analyze, &r));
    cr_expect(r.left && r.before.label == SS_LABEL_SADDLE && r.after.label == SS_LABEL_MINIMUM);
    cr_expect_lt(r.loss_end, 1e-12);
    /* L = (1 - t^2/2)^2 along the diagonal: predicted t^2, real t^2 - t^4/4, so half of it up to t = sqrt 2.
     */
    cr_expect_float_eq(r.predicted, r.step * r.step, 1e-12);
    cr_expect_float_eq(r.real, r.predicted - pow(r.step, 4) / 4, 1e-12);
    cr_expect(r.real >= 0.5 * r.predicted && r.step >= r.least_step);
    cr_expect(r.step <= sqrt(2.0) && 2.0 * r.step > sqrt(2.0), "not the largest of the doubling: %g", r.step);
    ss_objective_get_weights(b.objective, weights);
    cr_expect_float_eq(weights[0] * weights[1], 1.0, 1e-6);
    ss_escape_result_destroy(&r);
    bench_close(&b);
}

/* y = w1 w2 w3 x from 0, where H = 0: the way out is what the flat-space probe found, and r^3 predicts it. */
Test(follow, escape_of_a_higher_order_saddle, .init = ss_test_begin, .fini = ss_test_end)
{
    bench              b;
    ss_escape_options  options;
    ss_analyze_options analyze;
    ss_escape_result   r;
    bench_open(&b, SS_SOURCE_DIRECTORY "/examples/toy_cubic",
               SS_SOURCE_DIRECTORY "/examples/toy_cubic/data.safetensors", "mse", 0.0, 0);
    ss_escape_options_init(&options);
    ss_analyze_options_init(&analyze);
    options.until_minimum = true;
    ss_test_require(ss_escape(ss_test_context, b.objective, &options, &analyze, &r));
    cr_expect(r.left && r.before.evidence == SS_EVIDENCE_HIGHER_ORDER && r.before.order == 3);
    cr_expect(r.real >= 0.5 * r.predicted && r.predicted > 0.0);
    /* L = (1 - w1 w2 w3)^2 falls fastest along the diagonal: 2 (r / sqrt 3)^3 to first order. */
    cr_expect_float_eq(r.predicted, 2.0 * pow(r.step / sqrt(3.0), 3), 0.05 * r.predicted);
    cr_expect(r.after.label == SS_LABEL_MINIMUM && r.loss_end < 1e-12);
    ss_escape_result_destroy(&r);
    bench_close(&b);
}

Test(follow, escape_from_a_minimum_moves_nothing, .init = ss_test_begin, .fini = ss_test_end)
{
    bench              b;
    ss_escape_options  options;
    ss_analyze_options analyze;
    ss_escape_result   r;
    double             weights[2];
    bench_open(&b, SS_SOURCE_DIRECTORY "/examples/toy_minimum",
               SS_SOURCE_DIRECTORY "/examples/toy_minimum/data.safetensors", "mse", 0.0, 0);
    ss_escape_options_init(&options);
    ss_analyze_options_init(&analyze);
    double before[2];
    ss_objective_get_weights(b.objective, before);
    ss_test_require(ss_escape(ss_test_context, b.objective, &options, &analyze, &r));
    ss_objective_get_weights(b.objective, weights);
    cr_expect(!r.left && r.n_rows == 0 && weights[0] == before[0] && weights[1] == before[1]);
    ss_escape_result_destroy(&r);
    bench_close(&b);
}

/* ---- MINRES, polish, study ------------------------------------------------------------------------------
 */

/* ||H p + g|| / ||g|| of the best p, from the dense spectrum: the part of g in the kernel. */
static double best_residual(const ss_dense_result *d, const double *g)
{
    double rest = 0.0, all = 0.0;
    for (int64_t i = 0; i < d->n; i++) {
        double c = 0.0;
        for (int64_t j = 0; j < d->n; j++) c += d->vectors[i * d->n + j] * g[j];
        all += c * c;
        if (fabs(d->values[i]) < 1e-10 * d->lambda_abs) rest += c * c;
    }
    return sqrt(rest / all);
}

/* ||H p + g|| / ||g|| of a p. */
static double residual_of(ss_move *m, ss_operator *op, const ss_vectors *p)
{
    ss_vectors hp = { 0 };
    double     norm = 0.0;
    ss_test_require(ss_vectors_create(m->backend, m->layout, 1, &hp));
    ss_test_require(ss_move_product(m, op, p, &hp));
    ss_test_require(ss_vectors_add(1.0, &m->g, 1.0, &hp));
    ss_test_require(ss_vectors_norm(&hp, &norm));
    ss_vectors_release(&hp);
    return norm / m->norm;
}

Test(follow, minres_finds_the_least_residual, .init = ss_test_begin, .fini = ss_test_end)
{
    bench            b;
    ss_move          m;
    ss_operator      op;
    ss_vectors       p = { 0 };
    ss_minres        solved;
    ss_dense_options dense = { .vectors = true };
    ss_dense_result *d = NULL;
    double           g[400];
    digits(&b, 3);
    ss_test_require(ss_move_begin(&m, ss_test_context, b.objective, 0.0, 0.0));
    ss_test_require(ss_move_open(&m, &op));
    ss_test_require(ss_dense_eigen(&op, &dense, &d));
    ss_test_require(ss_vectors_create(m.backend, m.layout, 1, &p));
    ss_test_require(ss_operator_pack(&op, m.g.data, g));
    cr_assert(d->values[0] < 0.0 && d->values[d->n - 1] > 0.0, "the case is meant to be indefinite");
    ss_test_require(ss_minres_solve(&m, &op, 2 * m.layout->n, 1e-12, &p, &solved));
    double real = residual_of(&m, &op, &p), best = best_residual(d, g);
    cr_expect(real <= best + 1e-6, "residual %g, possible %g", real, best);
    cr_expect_float_eq(real, solved.residual, 1e-8, "stated %g, real %g", solved.residual, real);
    /* The check can fail: a step that is a hundredth off is found out. */
    ss_test_require(ss_vectors_scale(1.01, &p));
    cr_expect(residual_of(&m, &op, &p) > best + 1e-3);
    /* Fewer products leave more, and the estimate says how much. */
    ss_test_require(ss_minres_solve(&m, &op, 10, 1e-12, &p, &solved));
    cr_expect_float_eq(residual_of(&m, &op, &p), solved.residual, 1e-8);
    cr_expect(solved.residual > 1e-3 && solved.products == 10);
    ss_dense_result_destroy(d);
    ss_vectors_release(&p);
    ss_operator_destroy(&op);
    ss_move_release(&m);
    bench_close(&b);
}

/* From near a saddle of the digits to that saddle: the index stays, the distance is what was put in. */
Test(follow, polish_keeps_the_index, .init = ss_test_begin, .fini = ss_test_end)
{
    bench              b;
    ss_study_options   study;
    ss_analyze_options analyze;
    ss_study_point     point = { .number = 0 };
    ss_polish_options  polish;
    ss_verdict         v;
    double             at[400], off[400], square = 0.0;
    digits(&b, 1);
    ss_study_options_for(1, &study); /* silent units: a saddle */
    ss_analyze_options_init(&analyze);
    ss_test_require(ss_study(ss_test_context, b.objective, &study, &analyze, &point));
    cr_assert(point.end == SS_END_CRITICAL && point.label == SS_LABEL_SADDLE && point.negative > 0);
    cr_expect_leq(point.gradient, 1e-8 * point.gradient_start);
    ss_objective_get_weights(b.objective, at);
    for (int64_t i = 0; i < point.n; i++) {
        double step = 1e-3 * ss_random_normal(7, SS_STREAM_TEST, (uint64_t)i);
        off[i] = at[i] + step;
        square += step * step;
    }
    ss_test_require(ss_objective_set_weights(b.objective, off));
    ss_polish_options_init(&polish);
    ss_test_require(ss_polish_analyze(ss_test_context, b.objective, &polish, &analyze, &v));
    cr_expect(v.polish.ran && v.polish.end == SS_END_CRITICAL, "%s", ss_end_name(v.polish.end));
    cr_expect_eq(v.label, SS_LABEL_SADDLE);
    cr_expect_eq(v.counts.negative.low, point.negative);
    cr_expect(v.polish.gradient_end < 1e-9 * v.polish.gradient_start);
    cr_expect(v.polish.moved < 3.0 * sqrt(square) && v.polish.moved > 0.1 * sqrt(square), "moved %g of %g",
              v.polish.moved, sqrt(square));
    cr_expect_float_eq(v.stationarity.loss - v.polish.loss_start, v.polish.loss_change, 1e-12);
    ss_verdict_destroy(&v);
    bench_close(&b);
}

/* Cut short in the middle of the descent, the walk on ||g|| often stalls where the gradient lies in the
 * kernel of H: that is said, by study and by polish, and never called critical. */
Test(follow, a_stalled_walk_is_gradient_flat, .init = ss_test_begin, .fini = ss_test_end)
{
    int flat = 0;
    for (uint64_t seed = 0; seed < 6; seed++) {
        bench              b;
        ss_study_options   study;
        ss_analyze_options analyze;
        ss_study_point     point = { .number = 0 };
        ss_polish_options  polish;
        ss_verdict_polish  made;
        digits(&b, seed);
        ss_study_options_init(&study);
        ss_analyze_options_init(&analyze);
        study.loss_steps = 8;
        ss_test_require(ss_study(ss_test_context, b.objective, &study, &analyze, &point));
        bool vanished = point.gradient <= 1e-8 * point.gradient_start;
        cr_expect_eq(point.end == SS_END_CRITICAL, vanished, "seed %d: %s with |g| %g of %g", (int)seed,
                     ss_end_name(point.end), point.gradient, point.gradient_start);
        if (point.end == SS_END_GRADIENT_FLAT) {
            flat++;
            ss_polish_options_init(&polish);
            ss_test_require(ss_polish(ss_test_context, b.objective, &polish, &made));
            cr_expect(made.end == SS_END_GRADIENT_FLAT, "seed %d: %s, ratio %g", (int)seed,
                      ss_end_name(made.end), made.flat_ratio);
        }
        bench_close(&b);
    }
    cr_expect(flat > 0, "none of the walks stalled: the case shows nothing");
}

/* Separable samples without decay: the infimum of the cross-entropy is at infinity. */
Test(follow, a_point_that_runs_away_is_not_critical, .init = ss_test_begin, .fini = ss_test_end)
{
    bench                b;
    ss_study_options     study;
    ss_analyze_options   analyze;
    ss_study_point       point = { .number = 0 };
    const double         x[] = { 1.0, 0.1, 0.9, -0.2, -1.0, 0.3, -0.8, -0.1 };
    const int64_t        y[] = { 0, 0, 1, 1 };
    ss_array             inputs = { "x", SS_F64, 2, { 4, 2 }, x }, targets = { "y", SS_I64, 1, { 4 }, y };
    ss_objective_options options;
    ss_objective_options_init(&options);
    options.loss = "cross_entropy";
    ss_test_require(ss_network_open(ss_test_context, "mlp:2-2-2:tanh", NULL, &b.network));
    ss_test_require(ss_dataset_from_arrays(ss_test_context, &inputs, &targets, NULL, &b.dataset));
    ss_test_require(ss_objective_create(ss_test_context, b.network, b.dataset, &options, &b.objective));
    ss_study_options_init(&study);
    ss_analyze_options_init(&analyze);
    ss_test_require(ss_study(ss_test_context, b.objective, &study, &analyze, &point));
    cr_expect(point.end == SS_END_ESCAPING, "%s, |g| %g of %g, loss %g", ss_end_name(point.end),
              point.gradient, point.gradient_start, point.loss);
    bench_close(&b);
}

/* ---- The level set, operators made of others ------------------------------------------------------------
 */

static void product_of(const double *h, int64_t n, const double *x, double *y)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = 0.0;
        for (int64_t j = 0; j < n; j++) y[i] += h[i * n + j] * x[j];
    }
}

Test(follow, operators_made_of_others, .init = ss_test_begin, .fini = ss_test_end)
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
Test(follow, curvature_on_the_level_set, .init = ss_test_begin, .fini = ss_test_end)
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

Test(follow, weights_can_be_moved, .init = ss_test_begin, .fini = ss_test_end)
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
Test(follow, sixteen_bits_are_rounded_to_nearest, .init = ss_test_begin, .fini = ss_test_end)
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

Test(follow, a_checkpoint_keeps_its_form, .init = ss_test_begin, .fini = ss_test_end)
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

Test(follow, names_in_natural_order, .init = ss_test_begin, .fini = ss_test_end)
{
    cr_expect(ss_natural_compare("checkpoint-200", "checkpoint-1000") < 0);
    cr_expect(ss_natural_compare("checkpoint-1000", "checkpoint-200") > 0);
    cr_expect(ss_natural_compare("a10b2", "a10b10") < 0);
    cr_expect(ss_natural_compare("a", "a1") < 0);
    cr_expect(ss_natural_compare("a01", "a1") == 0 && ss_natural_compare("x", "x") == 0);
    cr_expect_eq(ss_natural_number("run/checkpoint-1200/"), 1200);
    cr_expect_eq(ss_natural_number("final"), -1);
}

/* ---- Every allocation fails once ------------------------------------------------------------------------
 */

typedef ss_status (*follow_call)(bench *b);

static ss_status call_polish(bench *b)
{
    ss_polish_options  polish;
    ss_analyze_options analyze;
    ss_verdict         v;
    ss_polish_options_init(&polish);
    ss_analyze_options_init(&analyze);
    polish.steps = 1;
    ss_status status = ss_polish_analyze(ss_test_context, b->objective, &polish, &analyze, &v);
    ss_verdict_destroy(&v);
    return status;
}

static ss_status call_escape(bench *b)
{
    ss_escape_options  escape;
    ss_analyze_options analyze;
    ss_escape_result   r;
    ss_escape_options_init(&escape);
    ss_analyze_options_init(&analyze);
    escape.until_minimum = true;
    ss_status status = ss_escape(ss_test_context, b->objective, &escape, &analyze, &r);
    ss_escape_result_destroy(&r);
    return status;
}

static ss_status call_study(bench *b)
{
    ss_study_options   study;
    ss_analyze_options analyze;
    ss_study_point     point = { .number = 0 };
    ss_study_options_init(&study);
    ss_analyze_options_init(&analyze);
    return ss_study(ss_test_context, b->objective, &study, &analyze, &point);
}

static ss_status call_track(bench *b)
{
    ss_track_options   track;
    ss_analyze_options analyze;
    ss_track_point     point = { .step = 0 };
    const double       scales[2] = { 1.0, 2.0 };
    double             subspace[4] = { 0.0 };
    bool               have = false;
    ss_track_options_init(&track);
    ss_analyze_options_init(&analyze);
    track.precondition = scales;
    return ss_track(ss_test_context, b->objective, &track, &analyze, subspace, &have, &point);
}

static ss_status call_save(bench *b)
{
    ss_saved_weights saved;
    const double     packed[2] = { 0.5, 0.25 };
    return ss_network_save(b->network, ss_test_path("w.safetensors"), packed, &saved);
}

/* What runs from open to close, so that nothing of a failed call is kept. */
static ss_status whole(follow_call call)
{
    ss_status            status = SS_OK;
    bench                b = { 0 };
    ss_objective_options options;
    ss_objective_options_init(&options);
    options.loss = "mse";
    SS_TRY(ss_network_open(ss_test_context, TOY, NULL, &b.network));
    SS_TRY(ss_dataset_open(ss_test_context, TOY "/data.safetensors", NULL, &b.dataset));
    SS_TRY(ss_objective_create(ss_test_context, b.network, b.dataset, &options, &b.objective));
    SS_TRY(call(&b));
fail:
    bench_close(&b);
    return status;
}

Test(follow, every_allocation_fails_once, .init = ss_test_begin, .fini = ss_test_end)
{
    static const follow_call calls[] = { call_polish, call_escape, call_study, call_track, call_save };
    for (size_t k = 0; k < sizeof calls / sizeof *calls; k++) {
        int64_t before = ss_context_allocations(ss_test_context), failed = 0, tried = 0;
        ss_test_require(whole(calls[k]));
        int64_t all = ss_context_allocations(ss_test_context) - before;
        int64_t step = ss_test_environment("SS_TEST_ALL") ? 1 : ss_max64(1, all / 150);
        for (int64_t nth = 1; nth <= all; nth += step) {
            ss_context_fail_allocation(ss_test_context, nth);
            ss_status status = whole(calls[k]);
            ss_context_fail_allocation(ss_test_context, 0);
            cr_assert(status == SS_OK || status == SS_ERROR_MEMORY || status == SS_ERROR_REFUSED,
                      "call %zu, allocation %lld: %s: %s", k, (long long)nth, ss_status_text(status),
                      ss_context_message(ss_test_context));
            cr_assert(ss_context_memory_now(ss_test_context) == 0,
                      "call %zu, allocation %lld: %lld bytes kept", k, (long long)nth,
                      (long long)ss_context_memory_now(ss_test_context));
            failed += status != SS_OK;
            tried++;
            ss_context_clear_message(ss_test_context);
        }
        cr_expect(failed > tried / 2, "call %zu: only %lld of %lld failures showed", k, (long long)failed,
                  (long long)tried);
    }
}
