/* Where the quadratic model of the loss holds along a line: one rule for all that ask. */
#ifndef SS_VERDICT_MODEL_H
#define SS_VERDICT_MODEL_H

#include <math.h>
#include <stdbool.h>

/* VERDICT 4: |change - slope - bend| <= 0.1 max(|slope|, |bend|) + 10 roundings, where change = L(theta + t
 * v) - L, slope = t g'v, bend = t^2 v'Hv / 2. */
static inline bool ss_model_holds(double change, double slope, double bend, double rounding)
{
    return fabs(change - slope - bend) <= 0.1 * fmax(fabs(slope), fabs(bend)) + 10.0 * rounding;
}

#endif
