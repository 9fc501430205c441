/* The regularised incomplete beta function I_x(a, b) and what follows from it: gamma(eta) and intervals for
 * the rank of a projector.
 *
 * I_x = x^a (1-x)^b / (a B(a, b)) times a continued fraction (DLMF 8.17.22, evaluated by Lentz's method). The
 * factor in front is formed without cancellation: with x0 = a / (a + b),
 *   a log(x/x0) + b log((1-x)/(1-x0)) = a phi(y1) + b phi(y2),  phi(y) = log(1+y) - y,
 * because the linear terms cancel exactly, and Stirling's series for B (Didonato & Morris, TOMS 708). */
#include "saddlescope/spectrum.h"

#include "base/base.h"

#include <math.h>

#define LARGE 10.0 /* from here on Stirling's series with six terms is exact to rounding */

/* log Gamma(z) - [(z - 1/2) log z - z + log(2 pi)/2], z >= 10 */
static double stirling_rest(double z)
{
    double w = 1.0 / (z * z);
    return (1.0 / 12 -
            w * (1.0 / 360 - w * (1.0 / 1260 - w * (1.0 / 1680 - w * (1.0 / 1188 - w * 691.0 / 360360))))) /
           z;
}

/* log(1 + y) - y without cancellation */
static double phi(double y)
{
    if (fabs(y) > 0.1) return log1p(y) - y;
    double power = -y, sum = 0.0;
    for (int k = 2; k < 40; k++) {
        power *= -y;
        double term = -power / k;
        sum += term;
        if (fabs(term) < 1e-18 * fabs(sum)) break;
    }
    return sum;
}

/* log of x^a (1-x)^b / B(a, b); y = 1 - x given separately for x near 1 */
static double log_front(double a, double b, double x, double y)
{
    double small = fmin(a, b), large = fmax(a, b);
    if (small >= LARGE) {
        double x0 = a / (a + b), y0 = b / (a + b);
        double d = x < y ? x - x0 : y0 - y;
        return a * phi(d / x0) + b * phi(-d / y0) + 0.5 * log(x0 * b / 6.283185307179586476925) +
               stirling_rest(a + b) - stirling_rest(a) - stirling_rest(b);
    }
    double powers = a * (x < 0.5 ? log(x) : log1p(-y)) + b * (y < 0.5 ? log(y) : log1p(-x));
    if (large < LARGE) return powers - log(tgamma(a)) - log(tgamma(b)) + log(tgamma(a + b));
    /* log Gamma(small + large) - log Gamma(large) */
    double ratio = (large - 0.5) * log1p(small / large) + small * log(small + large) - small +
                   stirling_rest(small + large) - stirling_rest(large);
    return powers - log(tgamma(small)) + ratio;
}

/* The continued fraction of DLMF 8.17.22 for x < (a + 1) / (a + b + 2). */
static double continued_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double       steps = 1000.0 + 10.0 * sqrt(fmax(a, b));
    double       c = 1.0, d = 1.0 - (a + b) * x / (a + 1.0);
    if (fabs(d) < tiny) d = tiny;
    d = 1.0 / d;
    double h = d;
    for (double m = 1.0; m < steps; m += 1.0) {
        double even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 + even * d;
        c = 1.0 + even / c;
        if (fabs(d) < tiny) d = tiny;
        if (fabs(c) < tiny) c = tiny;
        d = 1.0 / d;
        h *= d * c;
        d = 1.0 + odd * d;
        c = 1.0 + odd / c;
        if (fabs(d) < tiny) d = tiny;
        if (fabs(c) < tiny) c = tiny;
        d = 1.0 / d;
        double factor = d * c;
        h *= factor;
        if (fabs(factor - 1.0) < 1e-15) break;
    }
    return h;
}

double ss_bounds_beta_cdf(double a, double b, double x)
{
    if (!(x > 0.0)) return 0.0;
    if (x >= 1.0) return 1.0;
    double y = 1.0 - x;
    double front = exp(log_front(a, b, x, y));
    if (x < (a + 1.0) / (a + b + 2.0)) return fmin(1.0, front * continued_fraction(a, b, x) / a);
    return fmax(0.0, 1.0 - front * continued_fraction(b, a, y) / b);
}

double ss_bounds_gamma(int64_t n, double eta)
{
    /* Bisection on log x: the quantile spans hundreds of orders of magnitude. */
    if (n <= 1) return 1.0;
    double a = 0.5, b = 0.5 * ((double)n - 1.0), low = -1400.0, high = 0.0;
    for (int i = 0; i < 200 && high - low > 1e-15 * fabs(low); i++) {
        double middle = 0.5 * (low + high);
        if (ss_bounds_beta_cdf(a, b, exp(middle)) < eta)
            low = middle;
        else
            high = middle;
    }
    return exp(0.25 * (low + high)); /* square root of exp((low + high) / 2) */
}

/* P(mean of v'Pv <= mass) for a projector of rank q in dimension n over `probes` vectors */
static double rank_cdf(int64_t n, int64_t q, int64_t probes, double mass)
{
    double half = 0.5 * (double)probes;
    if (q == 0) return mass >= 0.0 ? 1.0 : 0.0;
    if (q == n) return mass >= 1.0 ? 1.0 : 0.0;
    return ss_bounds_beta_cdf(half * (double)q, half * (double)(n - q), mass);
}

void ss_bounds_rank(int64_t n, double below, double upto, double eta, int64_t *low, int64_t *high)
{
    ss_bounds_rank_of(n, 1, below, upto, eta, low, high);
}

void ss_bounds_rank_of(int64_t n, int64_t probes, double below, double upto, double eta, int64_t *low,
                       int64_t *high)
{
    int64_t impossible = -1, possible = n; /* the smallest q with P(mass >= below) >= eta/2 */
    while (possible - impossible > 1) {
        int64_t q = impossible + (possible - impossible) / 2;
        double  reach = q == 0 ? (below <= 0.0 ? 1.0 : 0.0) : 1.0 - rank_cdf(n, q, probes, below);
        if (reach >= 0.5 * eta)
            possible = q;
        else
            impossible = q;
    }
    *low = possible;
    possible = 0;
    impossible = n + 1; /* the largest q with P(mass <= upto) >= eta/2 */
    while (impossible - possible > 1) {
        int64_t q = possible + (impossible - possible) / 2;
        if (rank_cdf(n, q, probes, upto) >= 0.5 * eta)
            possible = q;
        else
            impossible = q;
    }
    *high = possible;
}
