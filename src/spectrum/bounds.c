/* What alpha and beta of an unrestarted random-start Lanczos run prove (reference 2.2, 2.3).
 *
 * Christoffel: the first 2k + 1 moments of the start vector's spectral measure bound the mass at a point x by
 * 1 / sum_j p_j(x)^2; a uniform start has less mass than gamma(eta)^2 on an eigenvector with probability eta
 * only. Chebyshev-Markov-Stieltjes: the Gauss-Radau rule with a node at x bounds the mass left of x from both
 * sides. */
#include "saddlescope/spectrum.h"

#include "backend/backend.h"
#include "spectrum/eigen.h"

#include <float.h>
#include <math.h>

/* The Krylov space is invariant to the last bit: T_k is all there is. A small last beta is no such thing:
 * what couples that weakly still bounds what may hide behind it. */
static bool exhausted(const ss_tridiagonal *t)
{
    return !(t->beta[t->k - 1] > 0.0);
}

/* Number of eigenvalues of sign * T_k below x: negative pivots of the LDL' factorisation (Sturm). */
static int64_t count_below(const ss_tridiagonal *t, double sign, double x)
{
    int64_t count = 0;
    double  d = 1.0;
    for (int64_t j = 0; j < t->k; j++) {
        double b = j > 0 ? t->beta[j - 1] : 0.0;
        d = sign * t->alpha[j] - x - (j > 0 ? b * b / d : 0.0);
        if (d == 0.0) d = DBL_MIN * 0x1p52;
        if (d < 0.0) count++;
    }
    return count;
}

/* Gershgorin interval of sign * T_k. */
static void gershgorin(const ss_tridiagonal *t, double sign, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (int64_t j = 0; j < t->k; j++) {
        double radius = (j > 0 ? fabs(t->beta[j - 1]) : 0.0) + (j + 1 < t->k ? fabs(t->beta[j]) : 0.0);
        *low = fmin(*low, sign * t->alpha[j] - radius);
        *high = fmax(*high, sign * t->alpha[j] + radius);
    }
}

double ss_bounds_extreme(const ss_tridiagonal *t, double sign)
{
    double low, high;
    gershgorin(t, sign, &low, &high);
    double size = fmax(fabs(low), fabs(high));
    if (t->k == 1) return low;
    for (int i = 0; i < 120 && high - low > 0x1p-52 * size; i++) {
        double middle = 0.5 * (low + high);
        if (count_below(t, sign, middle) > 0)
            high = middle;
        else
            low = middle;
    }
    return low;
}

/* log sum_j p_j(x)^2 for sign * T:  p_0 = 1,  beta_j p_{j+1} = (x - alpha_j) p_j - beta_{j-1} p_{j-1}; kept
 * within range by rescaling. */
static double log_christoffel(const ss_tridiagonal *t, double sign, double x)
{
    int64_t terms = exhausted(t) ? t->k - 1 : t->k;
    double  previous = 0.0, p = 1.0, sum = 1.0, scale = 0.0;
    for (int64_t j = 0; j < terms; j++) {
        double next = (x - sign * t->alpha[j]) * p - (j > 0 ? t->beta[j - 1] : 0.0) * previous;
        next /= t->beta[j];
        previous = p;
        p = next;
        if (fabs(p) > 1e150) return INFINITY; /* fifty orders in one step: far outside the spectrum */
        sum += p * p;
        if (fabs(p) > 1e100) {
            previous *= 1e-100;
            p *= 1e-100;
            sum *= 1e-200;
            scale += 200.0 * 2.302585092994045684;
        }
    }
    return log(sum) + scale;
}

double ss_bounds_log_christoffel(const ss_tridiagonal *t, double x)
{
    return log_christoffel(t, 1.0, x);
}

double ss_bounds_root(const ss_tridiagonal *t, double sign, double theta, double gamma)
{
    if (t->k < 1) return -INFINITY;
    double start = fmin(theta, ss_bounds_extreme(t, sign)), target = -2.0 * log(gamma);
    if (exhausted(t) || log_christoffel(t, sign, start) >= target) return start;

    /* sum p_j^2 falls monotonically towards T's lowest eigenvalue: bracket, then bisect the distance */
    double low, high;
    gershgorin(t, sign, &low, &high);
    double inside = 0.0, outside = fmax(high - low, fmax(0x1p-40 * fabs(start), DBL_MIN * 0x1p60));
    while (log_christoffel(t, sign, start - outside) < target) {
        inside = outside;
        outside *= 2.0;
        if (!isfinite(outside)) return -INFINITY;
    }
    for (int i = 0; i < 200 && outside - inside > 0x1p-50 * (outside + fabs(start)); i++) {
        double middle = 0.5 * (inside + outside);
        if (log_christoffel(t, sign, start - middle) < target)
            inside = middle;
        else
            outside = middle;
    }
    return start - outside;
}

static ss_status check_bound(ss_context *context, int64_t n, double eta)
{
    if (eta > 0.0 && eta < 1.0 && n >= 1) return SS_OK;
    return ss_fail(context, SS_ERROR_USAGE, "a bound needs 0 < eta < 1 and n >= 1, found %g and %lld", eta,
                   (long long)n);
}

ss_status ss_bounds_lower(ss_context *context, const ss_tridiagonal *t, double theta_min, int64_t n,
                          double eta, double *lower)
{
    ss_status status = check_bound(context, n, eta);
    *lower = status == SS_OK ? ss_bounds_root(t, 1.0, theta_min, ss_bounds_gamma(n, eta)) : -INFINITY;
    return status;
}

ss_status ss_bounds_upper(ss_context *context, const ss_tridiagonal *t, double theta_max, int64_t n,
                          double eta, double *upper)
{
    /* The highest eigenvalue of H is minus the lowest of -H, whose recurrence is (-alpha, beta). */
    ss_status status = check_bound(context, n, eta);
    *upper = status == SS_OK ? -ss_bounds_root(t, -1.0, -theta_max, ss_bounds_gamma(n, eta)) : INFINITY;
    return status;
}

/* ---- Gauss-Radau ----------------------------------------------------------------------------------------
 */

/* Last diagonal entry that gives the (k+1)-point rule a node at x:
 * x + beta_k^2 e_k'(T_k - x)^-1 e_k, and e_k'(T_k - x)^-1 e_k = 1 / (last pivot). */
static double radau_entry(const ss_tridiagonal *t, double x)
{
    double d = 1.0;
    for (int64_t j = 0; j < t->k; j++) {
        double b = j > 0 ? t->beta[j - 1] : 0.0;
        d = t->alpha[j] - x - (j > 0 ? b * b / d : 0.0);
        if (d == 0.0) d = DBL_MIN * 0x1p52;
    }
    return x + t->beta[t->k - 1] * t->beta[t->k - 1] / d;
}

/* Sums the weights of the nodes left of x and up to x. `d`, `e`, `w` [k + 1] are scratch. */
static ss_status radau_sums(ss_context *context, const ss_tridiagonal *t, double x, double last, double *d,
                            double *e, double *w, double *left, double *upto)
{
    int64_t m = exhausted(t) ? t->k : t->k + 1, node = -1;
    for (int64_t i = 0; i < m; i++) {
        d[i] = i < t->k ? t->alpha[i] : last;
        e[i] = i + 1 < m ? t->beta[i] : 0.0;
    }
    ss_status status = ss_gauss_rule(context, m, d, e, w);
    if (status != SS_OK) return status;
    /* The prescribed node is the computed one nearest to x; an invariant space has no such node. */
    for (int64_t i = 0; i < m && !exhausted(t); i++)
        if (node < 0 || fabs(d[i] - x) < fabs(d[node] - x)) node = i;
    double before = 0.0, at = 0.0;
    for (int64_t i = 0; i < m; i++) {
        if (i == node || (node < 0 && d[i] == x))
            at += w[i];
        else if (node < 0 ? d[i] < x : i < node)
            before += w[i];
    }
    double rounding = 16.0 * (double)m * DBL_EPSILON;
    *left = fmax(0.0, before - rounding);
    *upto = fmin(1.0, before + at + rounding);
    return SS_OK;
}

ss_status ss_bounds_mass(ss_context *context, const ss_tridiagonal *t, double x, double *below, double *upto)
{
    ss_status status = SS_OK;
    double   *scratch = NULL, low, high, unused;
    *below = 0.0;
    *upto = 1.0;
    if (t->k < 1) return SS_OK;

    SS_TRY(SS_NEW_ARRAY(context, 3 * (t->k + 1), &scratch));
    double *d = scratch, *e = d + t->k + 1, *w = e + t->k + 1;
    gershgorin(t, 1.0, &low, &high);
    /* Beside a Ritz value of T_k the last entry runs off to infinity and takes the precision of the others
     * along: there each bound is taken a little further out, which only weakens it. */
    double size = fmax(fmax(fabs(low), fabs(high)), fabs(x));
    double step = 1e-12 * size, left = x, right = x;
    for (int i = 0; i < 60 && !exhausted(t) && fabs(radau_entry(t, left)) > 1e6 * size; i++) {
        left = x - step;
        step *= 2.0;
    }
    step = 1e-12 * size;
    for (int i = 0; i < 60 && !exhausted(t) && fabs(radau_entry(t, right)) > 1e6 * size; i++) {
        right = x + step;
        step *= 2.0;
    }
    SS_TRY(radau_sums(context, t, left, radau_entry(t, left), d, e, w, below, upto));
    if (right != left) SS_TRY(radau_sums(context, t, right, radau_entry(t, right), d, e, w, &unused, upto));
fail:
    ss_free(context, scratch);
    return status;
}

ss_status ss_bounds_counts(ss_context *context, const ss_tridiagonal *t, int64_t n, double tau, double delta,
                           double eta, ss_counts *counts)
{
    ss_status status = SS_OK;
    double    square = 0.0, unused;
    double    minus_low, minus_high, plus_low, plus_high; /* mass left of -tau and up to tau */
    *counts = (ss_counts){ .negative = { 0, n }, .zero = { 0, n }, .positive = { 0, n } };
    if (!(eta > 0.0 && eta < 1.0) || n < 1 || !(tau >= 0.0))
        SS_FAIL(context, SS_ERROR_USAGE, "counts need 0 < eta < 1, n >= 1 and tau >= 0");
    if (t->k < 1) return SS_OK;

    /* ||H v_j||^2 = beta_{j-1}^2 + alpha_j^2 + beta_j^2 */
    for (int64_t j = 0; j < t->k; j++)
        square += t->alpha[j] * t->alpha[j] + t->beta[j] * t->beta[j] +
                  (j > 0 ? t->beta[j - 1] * t->beta[j - 1] : 0.0);
    double w = counts->w = 3.0 * delta * sqrt(square);

    SS_TRY(ss_bounds_mass(context, t, -tau - w, &minus_low, &unused));
    SS_TRY(ss_bounds_mass(context, t, -tau + w, &unused, &minus_high));
    SS_TRY(ss_bounds_mass(context, t, tau - w, &plus_low, &unused));
    SS_TRY(ss_bounds_mass(context, t, tau + w, &unused, &plus_high));
    ss_bounds_rank(n, minus_low, minus_high, eta, &counts->negative.low, &counts->negative.high);
    ss_bounds_rank(n, fmax(0.0, plus_low - minus_high), fmin(1.0, plus_high - minus_low), eta,
                   &counts->zero.low, &counts->zero.high);
    ss_bounds_rank(n, 1.0 - plus_high, 1.0 - plus_low, eta, &counts->positive.low, &counts->positive.high);
fail:
    return status;
}
