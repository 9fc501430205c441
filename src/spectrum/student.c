/* Quantile of Student's t from the regularised incomplete beta function:
 * P(|T| > t) = I_{nu / (nu + t^2)}(nu / 2, 1 / 2). */
#include "saddlescope/spectrum.h"

#include <math.h>

/* Bisection: the function is monotone. */
double ss_bounds_student(double probability, double degrees)
{
    double tail = 2.0 * (1.0 - probability), low = 0.0, high = 1.0;
    while (high < 1e12 && ss_bounds_beta_cdf(degrees / 2.0, 0.5, degrees / (degrees + high * high)) > tail) {
        high *= 2.0;
    }
    for (int i = 0; i < 200 && high - low > 1e-13 * high; i++) {
        double middle = 0.5 * (low + high);
        bool   beyond = ss_bounds_beta_cdf(degrees / 2.0, 0.5, degrees / (degrees + middle * middle)) > tail;
        *(beyond ? &low : &high) = middle;
    }
    return 0.5 * (low + high);
}
