/* What follows a verdict: polish, escape, study. References are computed here from the dense Hessian, or
 * known by hand. */
#include "base/philox.h"
#include "saddlescope/follow.h"
#include "verdict/bench.h"
#include "verdict/move.h"

#include <criterion/criterion.h>
#include <math.h>

#define TOY SS_SOURCE_DIRECTORY "/examples/toy_saddle"

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

/* Of several directions the best is followed; each is an eigenvector of its own, and the first is what one
 * alone would have been. */
Test(follow, escape_along_several_directions, .init = ss_test_begin, .fini = ss_test_end)
{
    bench              b;
    ss_escape_options  options;
    ss_analyze_options analyze;
    ss_escape_result   one, r;
    ss_operator        op;
    ss_dense_options   dense = { .vectors = false };
    ss_dense_result   *d = NULL;
    ss_loss_value      value;
    static const char  folder[] = SS_SOURCE_DIRECTORY "/tests/cases/linear_saddle";
    static const char  data[] = SS_SOURCE_DIRECTORY "/tests/cases/linear_saddle/data.safetensors";
    ss_escape_options_init(&options);
    ss_analyze_options_init(&analyze);
    bench_open(&b, folder, data, "mse", 0.0, 0);
    ss_test_require(ss_objective_operator(b.objective, SS_PRODUCT_HESSIAN, SS_FLOAT64, NULL, NULL, &op));
    ss_test_require(ss_dense_eigen(&op, &dense, &d));
    ss_operator_destroy(&op);
    ss_test_require(ss_escape(ss_test_context, b.objective, &options, &analyze, &one));
    bench_close(&b);

    bench_open(&b, folder, data, "mse", 0.0, 0);
    options.vectors = 20;
    ss_test_require(ss_escape(ss_test_context, b.objective, &options, &analyze, &r));
    int64_t single = r.n_directions - (r.direction[r.n_directions - 1].vector == 0);
    cr_expect_eq(single, ss_dense_inertia(d, 1e-9).negative, "%d directions", (int)single);
    for (int64_t i = 0; i < single; i++) {
        const ss_escape_direction *v = &r.direction[i];
        cr_expect_float_eq(v->quotient, d->values[i], 1e-3, "direction %d: %g, eigenvalue %g", (int)i,
                           v->quotient, d->values[i]);
        cr_expect(v->vector == i + 1 && v->sign != 0 && v->step >= v->least_step &&
                  v->real >= 0.5 * v->predicted);
        cr_expect_float_eq(v->least_step, 0.5 * v->valid_radius, 1e-15);
        cr_expect(r.real >= v->real, "direction %d gains more than the one that was taken", (int)i);
    }
    cr_expect(r.left && r.real >= 0.5 * r.predicted && r.real >= one.real);
    cr_expect_float_eq(r.direction[0].real, one.real, 1e-12, "the witness alone");
    ss_test_require(ss_objective_loss(b.objective, SS_FLOAT64, NULL, NULL, &value, NULL));
    cr_expect_float_eq(r.loss_start - value.loss, r.real, 1e-12, "what was taken is not what was said");
    ss_escape_result_destroy(&r);
    for (options.vectors = 0; options.vectors <= SS_ESCAPE_VECTORS + 1;
         options.vectors += SS_ESCAPE_VECTORS + 1) {
        ss_test_refuse(ss_escape(ss_test_context, b.objective, &options, &analyze, &r), SS_ERROR_USAGE,
                       "1 to 32 directions");
        ss_escape_result_destroy(&r);
    }
    ss_escape_result_destroy(&one);
    ss_dense_result_destroy(d);
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
    ss_test_require(ss_minres_solve(&m, &op, 2 * m.layout->n, 1e-12, (double)INFINITY, &p, &solved));
    double real = residual_of(&m, &op, &p), best = best_residual(d, g);
    cr_expect(real <= best + 1e-6, "residual %g, possible %g", real, best);
    cr_expect_float_eq(real, solved.residual, 1e-8, "stated %g, real %g", solved.residual, real);
    /* The check can fail: a step that is a hundredth off is found out. */
    ss_test_require(ss_vectors_scale(1.01, &p));
    cr_expect(residual_of(&m, &op, &p) > best + 1e-3);
    /* Fewer products leave more, and the estimate says how much. */
    ss_test_require(ss_minres_solve(&m, &op, 10, 1e-12, (double)INFINITY, &p, &solved));
    cr_expect_float_eq(residual_of(&m, &op, &p), solved.residual, 1e-8);
    cr_expect(solved.residual > 1e-3 && solved.products == 10);
    ss_dense_result_destroy(d);
    ss_vectors_release(&p);
    ss_operator_destroy(&op);
    ss_move_release(&m);
    bench_close(&b);
}

/* From near a saddle of the digits to that saddle: the index stays, the distance is what was put in. */
/* Far from critical, where eigenvalues change sign on the way, a full Newton step is useless however far it
 * is shortened (without shorter iterates the walk ends at a sixth of the gradient, here and there). */
Test(follow, polish_far_from_critical, .init = ss_test_begin, .fini = ss_test_end)
{
    for (uint64_t seed = 0; seed < (ss_test_brief() ? 1 : 4); seed++) {
        bench             b;
        ss_move           m;
        ss_polish_options options;
        ss_verdict_polish polish;
        int64_t           made = 0;
        double            trained[400];
        digits(&b, seed);
        ss_test_require(ss_move_begin(&m, ss_test_context, b.objective, 0.0, 0.0));
        ss_test_require(ss_move_descend(&m, 12, 0.0, &made));
        ss_test_require(ss_move_weights(&m, trained));
        ss_move_release(&m);
        ss_test_require(ss_objective_set_weights(b.objective, trained));
        ss_polish_options_init(&options);
        options.steps = 100;
        ss_test_require(ss_polish(ss_test_context, b.objective, &options, &polish));
        cr_expect(polish.gradient_end < 0.08 * polish.gradient_start, "seed %d: |g| %.3g -> %.3g in %d steps",
                  (int)seed, polish.gradient_start, polish.gradient_end, (int)polish.steps);
        bench_close(&b);
    }
}

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
    /* In brief up to the first that does. */
    for (uint64_t seed = 0; seed < 6 && !(ss_test_brief() && flat > 0); seed++) {
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
    options.device = ss_test_device();
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
        int64_t step =
            ss_test_environment("SS_TEST_ALL") ? 1 : ss_max64(1, all / (ss_test_brief() ? 15 : 150));
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
