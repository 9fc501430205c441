/* VERDICT 5: the flat-space probe. Where H vanishes the second-order test is silent, so the loss itself is
 * asked, in balls of several radii: the best of random combinations of the flat Ritz vectors, both signs,
 * then L-BFGS with all parameters free. A decrease that grows like r^p with an integer p >= 3 over three
 * consecutive balls is a saddle of order p. The balls are taken from the largest to the smallest, each also
 * starting from where the one before ended.
 *
 * Beyond the flat Ritz vectors, half of the combinations are random vectors without their components along
 * the Ritz vectors that are not flat: a Krylov space sees a multiple eigenvalue once, but its flat space is
 * larger.
 *
 * Price: at most `allowance` products. Combinations and radii are reduced first, then L-BFGS steps. Where the
 * whole probe costs next to nothing (small networks), the allowance is raised by flops (analyze.c). */
#include "network/graph.h"
#include "verdict/analysis.h"

#include <math.h>

#define COMBINATIONS    32
#define STEPS           200
#define SMALLEST_RADIUS 1e-3
#define LARGEST_RADIUS  0.3
#define EXPONENT_SLACK  0.3
#define COLUMNS         64 /* flat and other Ritz vectors kept at most, each */

bool ss_verdict_flat_probe_wanted(const ss_analysis *a)
{
    const ss_verdict *v = a->verdict;
    return v->operator_error.product == SS_PRODUCT_HESSIAN && v->stationarity.is_critical &&
           !v->stationarity.at_lower_bound && ss_analysis_ritz_count(a) > 0 && !v->curvature.estimates &&
           !a->forgotten &&
           (v->curvature.statement == SS_CURVATURE_NO_NEGATIVE ||
            v->curvature.statement == SS_CURVATURE_FLAT ||
            v->curvature.statement == SS_CURVATURE_NO_POSITIVE);
}

typedef struct probe {
    ss_analysis *a;
    ss_vectors   basis; /* flat Ritz vectors, then the others where all of them fit */
    int64_t      flat, other;
    ss_vectors   x;       /* one combination */
    ss_vectors   best;    /* offset of the best start of this ball, then of the best point */
    bool         carried; /* `best` holds the best point of the ball before */
} probe;

static bool is_flat(const ss_analysis *a, int64_t i)
{
    return fabs(ss_analysis_ritz_value(a, i)) <= a->verdict->curvature.resolution;
}

/* Columns that there is room for, within a quarter of the free memory, beside those of L-BFGS. */
static int64_t affordable_columns(const ss_analysis *a)
{
    ss_backend *b = a->subject->backend64;
    int64_t     one = a->subject->layout->padded * (int64_t)sizeof(double);
    int64_t     room = ss_min64(b->class->memory_available(b) / 4, ss_analysis_room(a, 0, 1));
    int64_t     fit = room / one - SS_LBFGS_COLUMNS - 2;
    return fit < 0 ? 0 : ss_min64(fit, 2 * COLUMNS);
}

/* Flat vectors first, then the others where all of them fit. Where there are more flat ones than fit, evenly
 * chosen ones (their combinations are random). */
static ss_status collect(probe *p)
{
    ss_status status = SS_OK;
    int64_t   count = ss_analysis_ritz_count(p->a), flat = 0, taken = 0, columns = affordable_columns(p->a);
    for (int64_t i = 0; i < count; i++) flat += is_flat(p->a, i);
    p->a->verdict->flat_probe.flat_vectors = flat;
    p->flat = ss_min64(ss_min64(flat, COLUMNS), columns);
    p->other = count - flat <= ss_min64(columns - p->flat, COLUMNS) ? count - flat : 0;
    if (p->flat + p->other == 0) return SS_OK;
    ss_analysis_memory_more(p->a, p->flat + p->other + SS_LBFGS_COLUMNS + 2, 1);
    SS_TRY(ss_vectors_create(p->a->subject->backend64, p->a->subject->layout, p->flat + p->other, &p->basis));
    for (int64_t i = 0, seen = 0; i < count && p->flat > 0; i++) {
        if (!is_flat(p->a, i)) continue;
        if (flat <= p->flat || seen * p->flat / flat != (seen + 1) * p->flat / flat) {
            SS_TRY(ss_analysis_ritz_vector(p->a, i, ss_vectors_column(&p->basis, taken++)));
        }
        seen++;
    }
    for (int64_t i = 0; i < count && p->other > 0; i++) {
        if (is_flat(p->a, i)) continue;
        SS_TRY(ss_analysis_ritz_vector(p->a, i, ss_vectors_column(&p->basis, taken++)));
    }
fail:
    return status;
}

/* All Ritz vectors that are not flat are at hand: their complement is the flat space as far as it is known.
 */
static bool all_others(const probe *p)
{
    return p->a->dense == NULL &&
           p->other == ss_analysis_ritz_count(p->a) - p->a->verdict->flat_probe.flat_vectors;
}

/* x := unit combination number j: a random combination of flat vectors (even j), or a random vector without
 * its components along the others (odd j; possible when all others are at hand). */
static ss_status combine(probe *p, int j)
{
    ss_status   status = SS_OK;
    ss_backend *b = p->x.backend;
    uint64_t    seed = p->a->options->seed;
    double      h[COLUMNS], norm = 0.0;
    int64_t     padded = p->x.padded;
    if (p->flat > 0 && (j % 2 == 0 || !all_others(p))) {
        for (int64_t i = 0; i < p->flat; i++) {
            h[i] = ss_random_normal(seed, SS_STREAM_PROBE, (uint64_t)(j * COLUMNS + i));
        }
        SS_TRY(b->class->block_axpy(b, NULL, padded, p->flat, p->basis.data, padded, h, 0.0, p->x.data));
    } else {
        SS_TRY(ss_vectors_random_unit(&p->x, p->a->subject->layout, seed,
                                      SS_STREAM_PROBE | (uint64_t)(j + 1) << 32));
        for (int pass = 0; pass < 2 && p->other > 0; pass++) {
            const void *others = ss_vectors_column(&p->basis, p->flat);
            SS_TRY(b->class->block_dot(b, NULL, padded, p->other, others, padded, p->x.data, h));
            for (int64_t i = 0; i < p->other; i++) h[i] = -h[i];
            SS_TRY(b->class->block_axpy(b, NULL, padded, p->other, others, padded, h, 1.0, p->x.data));
        }
    }
    SS_TRY(ss_vectors_norm(&p->x, &norm));
    if (norm > 0.0) SS_TRY(ss_vectors_scale(1.0 / norm, &p->x));
fail:
    return status;
}

/* The best point of the ball before, shrunk into this one, is a start too: the direction of steepest fall is
 * the same for all small radii, and a small ball is too flat to find it in few steps. */
static ss_status carry_over(probe *p, double sign, double radius, double *best)
{
    ss_status     status = SS_OK;
    ss_loss_value value = { 0 };
    double        length = 0.0;
    *best = (double)INFINITY;
    if (!p->carried) return SS_OK;
    SS_TRY(ss_vectors_norm(&p->best, &length));
    if (!(length > 0.0)) return SS_OK;
    SS_TRY(ss_vectors_scale(radius / length, &p->best));
    ss_point point = { 1.0, p->best.data };
    SS_TRY(ss_analysis_loss(p->a, &point, &value));
    *best = sign * value.loss;
fail:
    return status;
}

/* D(r): decrease of sign * L found in one ball. */
static ss_status one_ball(probe *p, double sign, double radius, int combinations, int steps, double allowance,
                          double *decrease, double *rounding)
{
    ss_status    status = SS_OK;
    ss_analysis *a = p->a;
    double       loss = sign * a->verdict->stationarity.loss, best = 0.0, found = 0.0, round = 0.0;
    *rounding = a->verdict->stationarity.loss_rounding;
    SS_TRY(carry_over(p, sign, radius, &best));
    for (int j = 0; j < combinations; j++) {
        SS_TRY(combine(p, j));
        for (int side = -1; side <= 1; side += 2) {
            ss_loss_value value = { 0 };
            ss_point      point = { side * radius, p->x.data };
            SS_TRY(ss_analysis_loss(a, &point, &value));
            *rounding = fmax(*rounding, value.rounding);
            if (!(sign * value.loss < best)) continue;
            best = sign * value.loss;
            SS_TRY(ss_vectors_add(side * radius, &p->x, 0.0, &p->best));
        }
    }
    if (steps > 0) {
        SS_TRY(ss_lbfgs_in_ball(a, sign, radius, steps, allowance, &p->best, &found, &round));
        *rounding = fmax(*rounding, round);
        if (found < best) best = found;
    }
    p->carried = true;
    *decrease = loss - best;
fail:
    return status;
}

/* The integer p >= 3 within 0.3 of both exponents of balls i, i + 1, i + 2, all above their thresholds; or 0.
 */
static int order_at(const double *decrease, const double *threshold, const double *exponent, int i)
{
    double p = round(exponent[i]);
    for (int k = i; k < i + 3; k++) {
        if (!(decrease[k] > threshold[k])) return 0;
    }
    bool integer = fabs(exponent[i] - p) <= EXPONENT_SLACK && fabs(exponent[i + 1] - p) <= EXPONENT_SLACK;
    return p >= 3.0 && integer ? (int)p : 0;
}

/* The order seen in the most triples of balls; the smallest of several (a search that is not done in one ball
 * and is in the next shows too steep a growth, never too shallow a one). */
static int order_of(const double *decrease, const double *threshold, const double *exponent, int radii)
{
    int best = 0, most = 0;
    for (int i = 0; i + 2 < radii; i++) {
        int p = order_at(decrease, threshold, exponent, i), seen = 0;
        for (int k = 0; k + 2 < radii && p > 0; k++) {
            seen += order_at(decrease, threshold, exponent, k) == p;
        }
        if (seen > most || (seen == most && seen > 0 && p < best)) {
            best = p;
            most = seen;
        }
    }
    return best;
}

/* What the allowance buys: every ball is to have at least as many products for L-BFGS as for its start. */
static void plan(ss_verdict_flat_probe *f, double allowance)
{
    const double minimum_per_ball = 3.0; /* a few starts and a few steps */
    f->radii = SS_PROBE_RADII;
    while (f->radii > 3 && allowance / f->radii < minimum_per_ball) f->radii--;
    double ball = allowance / f->radii;
    f->combinations = COMBINATIONS;
    while (f->combinations > 2 && f->combinations / 3.0 > 0.4 * ball) f->combinations /= 2;
    f->steps = STEPS;
    f->reduced = f->radii < SS_PROBE_RADII || f->combinations < COMBINATIONS;
}

/* The offset of the largest ball, the first that is searched: the others start from it. */
static ss_status keep_offset(probe *p)
{
    ss_status              status = SS_OK;
    ss_analysis           *a = p->a;
    ss_verdict_flat_probe *f = &a->verdict->flat_probe;
    const ss_layout       *layout = a->subject->layout;
    double                *padded = NULL;
    SS_TRY(SS_NEW_ARRAY(a->context, layout->padded, &padded));
    if (f->vector == NULL) SS_TRY(SS_NEW_ARRAY(a->context, layout->n, &f->vector));
    SS_TRY(ss_vectors_get(&p->best, padded));
    ss_layout_pack(layout, SS_FLOAT64, padded, f->vector);
fail:
    ss_free(a->context, padded);
    return status;
}

static ss_status all_balls(probe *p, double sign, double until, double *decrease, double *threshold,
                           double *exponent)
{
    ss_status              status = SS_OK;
    ss_analysis           *a = p->a;
    ss_verdict_flat_probe *f = &a->verdict->flat_probe;
    double                 growth = log(LARGEST_RADIUS / SMALLEST_RADIUS) / (f->radii > 1 ? f->radii - 1 : 1);
    double gradient = a->verdict->stationarity.gradient_norm, d = a->verdict->stationarity.decrease;
    p->carried = false;
    for (int i = f->radii - 1; i >= 0 && !ss_analysis_out_of_time(a); i--) {
        double radius = SMALLEST_RADIUS * exp(growth * i) * ss_analysis_length(a), rounding = 0.0;
        double allowance = (until - ss_analysis_used(a)) / (i + 1);
        SS_TRY(one_ball(p, sign, radius, f->combinations, f->steps, allowance - f->combinations / 3.0,
                        &decrease[i], &rounding));
        f->radius[i] = radius;
        threshold[i] = fmax(100.0 * rounding, 10.0 * fmin(gradient * radius, d));
        if (i + 1 < f->radii && decrease[i] > 0.0 && decrease[i + 1] > 0.0) {
            exponent[i] = log(decrease[i + 1] / decrease[i]) / growth;
        }
        if (sign > 0.0 && i == f->radii - 1 && decrease[i] > threshold[i]) SS_TRY(keep_offset(p));
        ss_analysis_report(a);
    }
fail:
    return status;
}

/* The mirrored probe, where descent alone does not tell a saddle from a maximum. */
static ss_status ascend(probe *p, double until)
{
    ss_status              status = SS_OK;
    ss_verdict_flat_probe *f = &p->a->verdict->flat_probe;
    double                 decrease[SS_PROBE_RADII] = { 0 }, threshold[SS_PROBE_RADII] = { 0 };
    double                 exponent[SS_PROBE_RADII] = { 0 };
    SS_TRY(all_balls(p, -1.0, until, decrease, threshold, exponent));
    f->ascent_ran = true;
    f->ascent_order = order_of(decrease, threshold, exponent, f->radii);
    f->ascent_found = f->ascent_order > 0;
fail:
    return status;
}

ss_status ss_verdict_flat_probe_run(ss_analysis *a, double allowance)
{
    ss_status              status = SS_OK;
    ss_verdict            *v = a->verdict;
    ss_verdict_flat_probe *f = &v->flat_probe;
    probe                  p = { .a = a };
    double                 before = ss_analysis_used(a);
    bool                   positive = v->curvature.lambda_max > v->operator_error.tau;
    bool                   mirror_only = v->curvature.statement == SS_CURVATURE_NO_POSITIVE;
    SS_TRY(collect(&p));
    if (p.flat == 0 && !(all_others(&p) && affordable_columns(a) > 0)) goto fail; /* nothing to probe */
    plan(f, positive || mirror_only ? allowance : 0.5 * allowance);
    SS_TRY(ss_vectors_create(a->subject->backend64, a->subject->layout, 1, &p.x));
    SS_TRY(ss_vectors_create(a->subject->backend64, a->subject->layout, 1, &p.best));
    double share = positive || mirror_only ? allowance : 0.5 * allowance;
    if (!mirror_only) {
        SS_TRY(all_balls(&p, 1.0, before + share, f->decrease, f->threshold, f->exponent));
        f->ran = true;
        f->order = order_of(f->decrease, f->threshold, f->exponent, f->radii);
        f->found = f->order > 0;
    }
    if (mirror_only || (f->found && !positive && f->order % 2 == 0)) {
        SS_TRY(ascend(&p, ss_analysis_used(a) + share));
    }
fail:
    f->cost = ss_analysis_used(a) - before;
    ss_vectors_release(&p.basis);
    ss_vectors_release(&p.x);
    ss_vectors_release(&p.best);
    ss_analysis_report(a);
    return status;
}
