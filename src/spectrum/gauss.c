/* Gauss rules of Jacobi matrices: implicit QL with the first components of the eigenvectors alone, O(m^2)
 * (Golub & Welsch, Math. Comp. 23 (1969) 221). The density needs thousands of rules. */
#include "base/base.h"
#include "saddlescope/spectrum.h"

#include <float.h>
#include <math.h>

/* First coupling from l on that is negligible; m - 1 when there is none. */
static int64_t negligible(int64_t m, const double *d, const double *e, int64_t l)
{
    for (; l < m - 1; l++)
        if (fabs(e[l]) <= DBL_EPSILON * (fabs(d[l]) + fabs(d[l + 1])) || fabs(e[l]) < DBL_MIN) break;
    return l;
}

/* One sweep over the unreduced block [l, end] with Wilkinson's shift; z is turned along. */
static void sweep(double *d, double *e, double *z, int64_t l, int64_t end)
{
    double g = (d[l + 1] - d[l]) / (2.0 * e[l]), r = hypot(g, 1.0), s = 1.0, c = 1.0, p = 0.0;
    g = d[end] - d[l] + e[l] / (g + copysign(r, g));
    for (int64_t i = end - 1; i >= l; i--) {
        double f = s * e[i], b = c * e[i];
        e[i + 1] = r = hypot(f, g);
        if (r == 0.0) { /* the block falls apart: go on with what is left */
            d[i + 1] -= p;
            e[end] = 0.0;
            return;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2.0 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        f = z[i + 1];
        z[i + 1] = s * z[i] + c * f;
        z[i] = c * z[i] - s * f;
    }
    d[l] -= p;
    e[l] = g;
    e[end] = 0.0;
}

ss_status ss_gauss_rule(ss_context *context, int64_t m, double *d, double *e, double *w)
{
    for (int64_t i = 0; i < m; i++) {
        if (!isfinite(d[i]) || (i + 1 < m && !isfinite(e[i])))
            return ss_fail(context, SS_ERROR_NUMERIC, "entry %lld of a Jacobi matrix is not finite",
                           (long long)i);
        w[i] = i == 0 ? 1.0 : 0.0;
    }
    for (int64_t l = 0; l < m; l++) {
        int64_t end;
        for (int sweeps = 0; (end = negligible(m, d, e, l)) != l; sweeps++) {
            if (sweeps == 80)
                return ss_fail(context, SS_ERROR_INTERNAL,
                               "the QL sweeps on a Jacobi matrix do not converge");
            sweep(d, e, w, l, end);
        }
    }
    for (int64_t i = 1; i < m; i++) { /* nearly sorted already */
        double  node = d[i], first = w[i];
        int64_t j = i;
        for (; j > 0 && d[j - 1] > node; j--) d[j] = d[j - 1], w[j] = w[j - 1];
        d[j] = node, w[j] = first;
    }
    for (int64_t i = 0; i < m; i++) w[i] *= w[i];
    return SS_OK;
}
