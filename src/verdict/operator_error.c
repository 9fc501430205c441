/* VERDICT 1: how wrong is the operator itself? The working operator W is compared with the confirming one C
 * (float64) on a random vector before the search and on the extreme Ritz vectors after it. Where W is C only
 * 64 unit roundoffs remain. An estimate, and called one. */
#include "verdict/analysis.h"

#include <math.h>
#include <string.h>

static double working_roundoff(const ss_analysis *a)
{
    return 64.0 * ss_real_unit_roundoff(a->verdict->operator_error.working);
}

/* 64 u64 L_scale / max(||theta||, 1)^2: the curvature that rounding of the loss alone could fake. */
static double lambda_floor(const ss_analysis *a)
{
    double length = ss_analysis_length(a);
    return 64.0 * SS_UNIT_ROUNDOFF64 * a->subject->facts.zero_output_loss / (length * length);
}

static double larger(double a, double b) /* NaN counts as absent */
{
    return isnan(b) || a >= b ? a : b;
}

void ss_verdict_set_error(ss_analysis *a)
{
    ss_verdict_operator_error *e = &a->verdict->operator_error;
    ss_verdict_curvature      *c = &a->verdict->curvature;
    double lambda = larger(lambda_floor(a), larger(fabs(c->lambda_min), fabs(c->lambda_max)));
    if (isnan(lambda)) lambda = lambda_floor(a);
    e->lambda_abs = lambda;
    e->delta_roundoff = working_roundoff(a);
    e->delta = larger(larger(e->delta_roundoff, e->delta_random), larger(e->delta_low, e->delta_high));
    e->error = e->delta * lambda;
    e->tau = e->tau_given ? a->options->tau : 3.0 * e->error;
    double relative = a->options->resolution;
    if (relative <= 0.0 && c->method != SS_METHOD_DENSE) relative = 1e-2;
    c->resolution = larger(e->tau, relative * lambda);
    c->resolution_relative = lambda > 0.0 ? c->resolution / lambda : (double)NAN;
}

/* ||(W - C) x|| given C x; both padded float64 columns. */
static ss_status difference(ss_analysis *a, const ss_vectors *x, int64_t column, const ss_vectors *cx,
                            double *norm)
{
    ss_status  status = SS_OK;
    ss_vectors xw = { 0 }, yw = { 0 }, y = { 0 };
    ss_priced *w = &a->working, subset = { 0 };
    if (a->confirm.index != NULL) { /* the same samples as C */
        SS_TRY(ss_priced_open(a, SS_WORKING, &a->confirm, &subset));
        w = &subset;
    } else {
        SS_TRY(ss_analysis_working(a, &w));
    }
    SS_TRY(ss_vectors_create(a->subject->backend, a->subject->layout, 1, &xw));
    SS_TRY(ss_vectors_create(a->subject->backend, a->subject->layout, 1, &yw));
    SS_TRY(ss_vectors_create(a->subject->backend64, a->subject->layout, 1, &y));
    SS_TRY(ss_vectors_copy(x, column, &xw, 0));
    SS_TRY(ss_priced_apply(a, w, xw.data, yw.data));
    SS_TRY(ss_vectors_copy(&yw, 0, &y, 0));
    SS_TRY(ss_vectors_add(-1.0, cx, 1.0, &y));
    SS_TRY(ss_vectors_norm(&y, norm));
fail:
    ss_priced_close(&subset);
    ss_vectors_release(&xw);
    ss_vectors_release(&yw);
    ss_vectors_release(&y);
    return status;
}

ss_status ss_verdict_operator_difference(ss_analysis *a, const ss_vectors *x, int64_t column,
                                         const ss_vectors *cx, double *norm)
{
    *norm = 0.0;
    if (!a->subject->distinct) return SS_OK;
    return difference(a, x, column, cx, norm);
}

/* Entries of H r and H s that are exactly zero for two independent random r and s: rows of H that no data
 * reach. They are counted and taken out of the start vector. */
static ss_status structural_zeros(ss_analysis *a, const ss_vectors *first)
{
    ss_status        status = SS_OK;
    ss_priced       *w = NULL;
    ss_vectors       s = { 0 }, hs = { 0 };
    const ss_layout *layout = a->subject->layout;
    double          *one = NULL, *two = NULL;
    int64_t          zeros = 0;
    SS_TRY(SS_NEW_ARRAY(a->context, layout->padded, &one));
    SS_TRY(SS_NEW_ARRAY(a->context, layout->padded, &two));
    SS_TRY(ss_vectors_get(first, one));
    for (int64_t k = 0; k < layout->n_segments; k++) {
        const ss_segment *g = &layout->segments[k];
        for (int64_t i = g->offset; i < g->offset + g->length; i++) zeros += one[i] == 0.0;
    }
    if (zeros > 0) { /* otherwise there is nothing that a second vector could confirm */
        SS_TRY(ss_vectors_create(a->subject->backend, layout, 1, &s));
        SS_TRY(ss_vectors_create(a->subject->backend, layout, 1, &hs));
        SS_TRY(
            ss_vectors_random_unit(&s, layout, a->options->seed, SS_STREAM_NOISE_PROBE | (uint64_t)1 << 32));
        SS_TRY(ss_analysis_working(a, &w));
        SS_TRY(ss_priced_apply(a, w, s.data, hs.data));
        SS_TRY(ss_vectors_get(&hs, two));
    }
    zeros = 0;
    for (int64_t k = 0; k < layout->n_segments; k++) {
        const ss_segment *g = &layout->segments[k];
        for (int64_t i = g->offset; i < g->offset + g->length; i++) {
            bool zero = one[i] == 0.0 && two[i] == 0.0;
            zeros += zero;
            one[i] = zero ? 0.0 : 1.0;
        }
    }
    if (zeros == layout->n) zeros = 0; /* H vanishes altogether: flat, and nothing tells why */
    a->verdict->counts.structural = zeros;
    a->verdict->curvature.n_start = layout->n - zeros;
    if (zeros > 0) {
        for (int64_t k = 0, end = 0; k <= layout->n_segments; k++) { /* padding */
            int64_t next = k < layout->n_segments ? layout->segments[k].offset : layout->padded;
            for (int64_t i = end; i < next; i++) one[i] = 0.0;
            if (k < layout->n_segments) end = next + layout->segments[k].length;
        }
        SS_TRY(ss_vectors_create(a->subject->backend, layout, 1, &a->live));
        SS_TRY(ss_vectors_set(&a->live, one));
        a->masked = true;
    }
fail:
    ss_vectors_release(&s);
    ss_vectors_release(&hs);
    ss_free(a->context, one);
    ss_free(a->context, two);
    return status;
}

ss_status ss_verdict_confirming_samples(ss_analysis *a)
{
    ss_status status = SS_OK;
    int64_t   samples = a->subject->facts.samples, wanted = a->options->confirm_samples;
    a->verdict->operator_error.samples = samples;
    if (!a->subject->distinct || wanted <= 0 || wanted >= samples) return SS_OK;
    SS_TRY(SS_NEW_ARRAY(a->context, wanted, &a->confirm_index));
    SS_TRY(ss_dataset_select(a->context, samples, wanted, a->options->sample_seed, a->confirm_index));
    a->confirm = (ss_samples){ a->confirm_index, wanted };
    a->verdict->operator_error.samples = wanted;
    a->verdict->operator_error.subset = true;
fail:
    return status;
}

ss_status ss_verdict_noise_probe(ss_analysis *a)
{
    ss_status                  status = SS_OK;
    ss_verdict_operator_error *e = &a->verdict->operator_error;
    ss_vectors                 r = { 0 };
    SS_TRY(ss_vectors_create(a->subject->backend64, a->subject->layout, 1, &r));
    SS_TRY(ss_vectors_create(a->subject->backend64, a->subject->layout, 1, &a->probe_product));
    SS_TRY(ss_vectors_random_unit(&r, a->subject->layout, a->options->seed, SS_STREAM_NOISE_PROBE));
    SS_TRY(ss_analysis_quotient(a, r.data, &a->probe_quotient, a->probe_product.data));
    SS_TRY(ss_vectors_norm(&a->probe_product, &a->probe_norm));
    if (a->subject->distinct) {
        SS_TRY(ss_verdict_operator_difference(a, &r, 0, &a->probe_product, &a->probe_noise));
        if (a->probe_norm > 0.0) e->delta_random = a->probe_noise / a->probe_norm;
    }
    ss_vectors_release(&r);
    if (!e->subset) SS_TRY(structural_zeros(a, &a->probe_product));
    ss_vectors_release(&a->probe_product);
    ss_verdict_set_error(a);
    ss_analysis_report(a);
fail:
    ss_vectors_release(&r);
    return status;
}

ss_status ss_verdict_operator_error_finish(ss_analysis *a)
{
    ss_status                  status = SS_OK;
    ss_verdict_operator_error *e = &a->verdict->operator_error;
    ss_vectors                 product = { 0 };
    double                     quotient = 0.0, off[2] = { 0.0, 0.0 };
    ss_verdict_set_error(a);
    if (!a->subject->distinct || !a->have_lowest || !(e->lambda_abs > 0.0)) goto fail;
    SS_TRY(ss_vectors_create(a->subject->backend64, a->subject->layout, 1, &product));
    for (int end = 0; end < (a->have_highest ? 2 : 1); end++) {
        const ss_vectors *x = end == 0 ? &a->lowest : &a->highest;
        SS_TRY(ss_analysis_quotient(a, x->data, &quotient, product.data));
        SS_TRY(ss_verdict_operator_difference(a, x, 0, &product, &off[end]));
    }
    e->delta_low = off[0] / e->lambda_abs;
    if (a->have_highest) e->delta_high = off[1] / e->lambda_abs;
    ss_verdict_set_error(a);
fail:
    ss_vectors_release(&a->highest);
    ss_vectors_release(&product);
    return status;
}
