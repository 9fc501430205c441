/* What alpha and beta of the probes say: Gauss rules, the smoothed density, and the band.
 *
 * The mean over probes is weighted by the squared lengths of the normal start vectors: then the mass below x,
 * sum z'P z / sum z'z, follows Beta(s q/2, s (n-q)/2) exactly, q the number of eigenvalues there, s the
 * number of probes, and one quantile serves any number of probes. */
#include "spectrum/density.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define POWERS  6   /* decades on either side of zero that the grid resolves */
#define KERNELS 8.0 /* widths beyond which a Gaussian is nothing */

ss_status ss_density_rule(ss_context *context, ss_density_probe *p)
{
    ss_status status = SS_OK;
    double   *coupling = NULL;
    if (p->node != NULL) return SS_OK; /* done when the probe ended */
    SS_TRY(SS_NEW_ARRAY(context, p->k, &coupling));
    SS_TRY(SS_NEW_ARRAY(context, p->k, &p->node));
    SS_TRY(SS_NEW_ARRAY(context, p->k, &p->weight));
    memcpy(p->node, p->alpha, (size_t)p->k * sizeof *p->node);
    memcpy(coupling, p->beta, (size_t)p->k * sizeof *coupling);
    SS_TRY(ss_gauss_rule(context, p->k, p->node, coupling, p->weight));
fail:
    ss_free(context, coupling);
    return status;
}

/* Extremes, mean, kernel width, and the shift that the operator's error asks of the Radau nodes. */
static void summarise(ss_density_result *r, const ss_density_options *o, double delta)
{
    double square = 0.0;
    r->mean = 0.0;
    r->lowest = INFINITY;
    r->highest = -INFINITY;
    for (int64_t i = 0; i < r->n_probes; i++) {
        const ss_density_probe *p = &r->probes[i];
        double                  sum = 0.0;
        r->lowest = fmin(r->lowest, p->node[0]);
        r->highest = fmax(r->highest, p->node[p->k - 1]);
        for (int64_t j = 0; j < p->k; j++) {
            r->mean += p->share * p->weight[j] * p->node[j];
            sum += p->alpha[j] * p->alpha[j] + p->beta[j] * p->beta[j] +
                   (j > 0 ? p->beta[j - 1] * p->beta[j - 1] : 0.0);
        }
        square = fmax(square, sum); /* ||H v_j||^2 = beta_{j-1}^2 + alpha_j^2 + beta_j^2, as for the counts */
    }
    r->shift = 3.0 * delta * sqrt(square);
    double size = fmax(fabs(r->lowest), fabs(r->highest));
    r->width = o->width > 0.0 ? o->width : 0.01 * (r->highest - r->lowest);
    if (!(r->width > 0.0)) r->width = size > 0.0 ? 1e-3 * size : 1.0; /* a single point */
}

static int ascending(const void *a, const void *b)
{
    double x = ((const ss_density_point *)a)->x, y = ((const ss_density_point *)b)->x;
    return (x > y) - (x < y);
}

/* Half of the points evenly over the spectrum and the kernel's tails, half by powers on both sides of zero:
 * the bulk of a Hessian lies there. Whole powers of ten times the largest modulus are among them. */
static ss_status make_grid(ss_density_result *r, const ss_density_options *o)
{
    ss_status status = SS_OK;
    int64_t   even = ss_max64(2, o->points / 2), steps = ss_max64(1, o->points / (4 * POWERS)), count = 0;
    double    low = r->lowest - 3.0 * r->width, high = r->highest + 3.0 * r->width;
    double    size = fmax(fabs(r->lowest), fabs(r->highest));
    SS_TRY(SS_NEW_ARRAY(r->context, even + 2 * (POWERS * steps + 1) + 1, &r->points));
    for (int64_t i = 0; i < even; i++)
        r->points[count++].x = low + (high - low) * (double)i / (double)(even - 1);
    for (int64_t i = 0; i <= POWERS * steps; i++) {
        double x = size * pow(10.0, -(double)i / (double)steps);
        if (x <= high) r->points[count++].x = x;
        if (-x >= low) r->points[count++].x = -x;
    }
    r->points[count++].x = 0.0;
    qsort(r->points, (size_t)count, sizeof *r->points, ascending);
    for (int64_t i = 0; i < count; i++)
        if (r->n_points == 0 || r->points[i].x > r->points[r->n_points - 1].x)
            r->points[r->n_points++] = r->points[i];
fail:
    return status;
}

static double kernel_sum(const ss_density_result *r, double x)
{
    double sum = 0.0;
    for (int64_t i = 0; i < r->n_probes; i++) {
        const ss_density_probe *p = &r->probes[i];
        for (int64_t j = 0; j < p->k; j++) {
            double t = (x - p->node[j]) / r->width;
            if (fabs(t) < KERNELS) sum += p->share * p->weight[j] * exp(-0.5 * t * t);
        }
    }
    return sum / (r->width * 2.50662827463100050242);
}

static ss_status band(ss_density_result *r, ss_density_point *point)
{
    ss_status status = SS_OK;
    double    below = 0.0, above = 0.0, unused;
    int64_t   low = 0, high = 0;
    for (int64_t i = 0; i < r->n_probes; i++) {
        const ss_density_probe *p = &r->probes[i];
        ss_tridiagonal t = { .k = p->k, .alpha = p->alpha, .beta = p->beta, .invariant = p->invariant };
        double         left = 0.0, right = 1.0;
        SS_TRY(ss_bounds_mass(r->context, &t, point->x - r->shift, &left, &unused));
        SS_TRY(ss_bounds_mass(r->context, &t, point->x + r->shift, &unused, &right));
        below += p->share * left;
        above += p->share * (1.0 - right); /* so that nothing above is exactly nothing */
    }
    point->below = below;
    point->upto = 1.0 - above;
    ss_bounds_rank_of(r->n, r->n_probes, point->below, point->upto, r->eta / (double)r->n_points, &low,
                      &high);
    point->low = (double)low / (double)r->n;
    point->high = (double)high / (double)r->n;
fail:
    return status;
}

ss_status ss_density_evaluate(ss_density_result *r, const ss_density_options *options, double delta)
{
    ss_status status = SS_OK;
    if (r->n_probes == 0) return SS_OK;
    summarise(r, options, delta);
    SS_TRY(make_grid(r, options));
    for (int64_t i = 0; i < r->n_points; i++) {
        r->points[i].density = kernel_sum(r, r->points[i].x);
        SS_TRY(band(r, &r->points[i]));
    }
    /* A distribution is monotone: what is known at one point holds at its neighbours too. */
    for (int64_t i = 1; i < r->n_points; i++) {
        r->points[i].below = fmax(r->points[i].below, r->points[i - 1].below);
        r->points[i].low = fmax(r->points[i].low, r->points[i - 1].low);
    }
    for (int64_t i = r->n_points - 1; i > 0; i--) {
        r->points[i - 1].upto = fmin(r->points[i - 1].upto, r->points[i].upto);
        r->points[i - 1].high = fmin(r->points[i - 1].high, r->points[i].high);
    }
fail:
    return status;
}
