/* VERDICT 3, counts: how many directions are negative, numerically flat, positive, and of what n consists. */
#include "verdict/analysis.h"

#include <math.h>

#define RAYLEIGH_PRODUCTS 8 /* confirming products for "negative at least k" */

/* Float64 Rayleigh matrix on the accurate Ritz vectors below -tau: by interlacing, its eigenvalues below -tau
 * bound the Morse index from below. Where W is float64 the search's own Rayleigh matrix is that already. */
static ss_status at_least(ss_analysis *a, int64_t *count)
{
    ss_status        status = SS_OK;
    const ss_layout *layout = a->subject->layout;
    ss_backend      *b = a->subject->backend64;
    double           tau = a->verdict->operator_error.tau;
    int64_t          below = 0, k, ld = layout->padded;
    ss_vectors       x = { 0 }, y = { 0 };
    double          *g = NULL, *values = NULL, quotient = 0.0;
    while (below < ss_analysis_ritz_count(a) && ss_analysis_ritz_value(a, below) < -tau) below++;
    bool estimates = a->verdict->curvature.estimates;
    *count = below;
    if ((!a->subject->distinct && !estimates) || below == 0) return SS_OK;
    k = ss_min64(below, (int64_t)fmin(RAYLEIGH_PRODUCTS, 0.25 * ss_analysis_remaining(a)));
    k = ss_min64(k, ss_analysis_room(a, 1, 1) / (ld * (int64_t)sizeof(double)));
    *count = a->verdict->witness.proved ? 1 : 0;
    if (k < 2 || estimates || a->forgotten || a->verdict->operator_error.subset) return SS_OK;
    ss_analysis_memory_more(a, k + 1, 1);
    SS_TRY(ss_vectors_create(b, layout, k, &x));
    SS_TRY(ss_vectors_create(b, layout, 1, &y));
    SS_TRY(SS_NEW_ARRAY(a->context, k * k, &g));
    SS_TRY(SS_NEW_ARRAY(a->context, k, &values));
    for (int64_t j = 0; j < k; j++) { /* orthonormal to float64, so that the matrix needs no Gram matrix */
        void  *xj = ss_vectors_column(&x, j);
        double norm = 0.0;
        SS_TRY(ss_analysis_ritz_vector(a, j, xj));
        for (int pass = 0; pass < 2 && j > 0; pass++) {
            SS_TRY(b->class->block_dot(b, NULL, ld, j, x.data, ld, xj, values));
            for (int64_t i = 0; i < j; i++) values[i] = -values[i];
            SS_TRY(b->class->block_axpy(b, NULL, ld, j, x.data, ld, values, 1.0, xj));
        }
        SS_TRY(b->class->dot(b, NULL, ld, xj, xj, &norm));
        SS_TRY(b->class->axpby(b, NULL, ld, 0.0, NULL, 1.0 / sqrt(norm), xj));
    }
    for (int64_t j = 0; j < k; j++) {
        SS_TRY(ss_analysis_quotient(a, ss_vectors_column(&x, j), &quotient, y.data));
        SS_TRY(b->class->block_dot(b, NULL, ld, k, x.data, ld, y.data, values));
        for (int64_t i = 0; i <= j; i++) g[i * k + j] = values[i];
    }
    SS_TRY(ss_small_eigen(a->context, k, g, false, values));
    int64_t found = 0;
    while (found < k && values[found] < -tau) found++;
    *count = ss_max64(*count, found);
fail:
    ss_vectors_release(&x);
    ss_vectors_release(&y);
    ss_free(a->context, g);
    ss_free(a->context, values);
    return status;
}

static ss_status intervals(ss_analysis *a, ss_verdict_counts *c)
{
    ss_status status = SS_OK;
    double    tau = a->verdict->operator_error.tau;
    if (a->dense != NULL) {
        ss_inertia inertia = ss_dense_inertia(a->dense, tau);
        c->exact = true;
        c->confidence = 1.0;
        c->negative = (ss_interval){ inertia.negative, inertia.negative };
        c->zero = (ss_interval){ inertia.zero, inertia.zero };
        c->positive = (ss_interval){ inertia.positive, inertia.positive };
    } else if (a->eigen != NULL && a->eigen->first.k > 0) {
        ss_counts counts;
        SS_TRY(ss_bounds_counts(a->context, &a->eigen->first, a->eigen->n_live, tau,
                                a->verdict->operator_error.delta, a->eta, &counts));
        c->confidence = 1.0 - a->eta;
        c->quadrature_width = counts.w;
        c->negative = (ss_interval){ counts.negative.low, counts.negative.high };
        c->zero = (ss_interval){ counts.zero.low + c->structural, counts.zero.high + c->structural };
        c->positive = (ss_interval){ counts.positive.low, counts.positive.high };
    }
fail:
    return status;
}

/* The minimum ratio three ways, as intervals. */
static void ratios(ss_verdict_counts *c)
{
    double n = (double)c->n;
    if (c->zero.low < 0) return;
    c->positive_share[0] = (double)c->positive.low / n;
    c->positive_share[1] = (double)c->positive.high / n;
    c->negative_share[0] = (double)c->negative.low / n;
    c->negative_share[1] = (double)c->negative.high / n;
    int64_t least = c->positive.low + c->negative.high, most = c->positive.high + c->negative.low;
    if (least > 0) c->positive_among_signed[0] = (double)c->positive.low / (double)least;
    if (most > 0) c->positive_among_signed[1] = (double)c->positive.high / (double)most;
    if (least == 0 && most > 0) c->positive_among_signed[0] = 0.0;
}

ss_status ss_verdict_counts_finish(ss_analysis *a)
{
    ss_status          status = SS_OK;
    ss_verdict_counts *c = &a->verdict->counts;
    int64_t            explained;
    c->n = a->verdict->n;
    c->gauge =
        ss_min64(a->subject->gauge.rank, c->n); /* more tangents than dimensions depend on each other */
    a->verdict->gauge = a->subject->gauge;
    SS_TRY(intervals(a, c));
    SS_TRY(at_least(a, &c->negative_at_least));
    if (c->exact) {
        c->negative_at_least = c->negative.low;
    } else if (c->negative.low >= 0) { /* what is proved narrows what is merely confident */
        c->negative.low = ss_max64(c->negative.low, c->negative_at_least);
        c->negative.high = ss_max64(c->negative.high, c->negative.low);
    }
    explained = c->structural + c->gauge;
    if (c->zero.low >= 0) {
        c->flat.low = ss_max64(c->zero.low - explained, 0);
        c->flat.high = ss_max64(c->zero.high - c->structural, 0); /* gauge is only "at most" */
    }
    ratios(c);
    ss_analysis_report(a);
fail:
    return status;
}
