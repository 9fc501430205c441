/* The label as a pure function of the numbers: one row per rule of VERDICT 5. */
#include "support/support.h"
#include "verdict/analysis.h"

#include <criterion/criterion.h>
#include <math.h>

/* A critical point with full curvature information and nothing negative. */
static ss_verdict minimum(void)
{
    ss_verdict v = { 0 };
    v.stationarity.is_critical = v.stationarity.decrease_settled = true;
    v.stationarity.limit = 1e-3;
    v.operator_error.tau = 1e-10;
    v.operator_error.error = 1e-10 / 3.0;
    v.curvature.method = SS_METHOD_LANCZOS;
    v.curvature.statement = SS_CURVATURE_NO_NEGATIVE;
    v.curvature.lambda_min = 0.1;
    v.curvature.lambda_max = 1.0;
    v.curvature.lower_bound = 0.05;
    v.curvature.upper_bound = 1.1;
    return v;
}

/* A critical point with a witness felt before the slope. */
static ss_verdict saddle(void)
{
    ss_verdict v = minimum();
    v.curvature.statement = SS_CURVATURE_INDEFINITE;
    v.curvature.lambda_min = -0.1;
    v.curvature.lower_bound = -0.2;
    v.witness.candidate = v.witness.proved = v.witness.loss_witness = v.witness.felt_first = true;
    v.witness.quotient = -0.1;
    v.witness.error = 1e-14;
    return v;
}

static void expect(ss_verdict *v, ss_label label, ss_reason reason, ss_evidence evidence, int order)
{
    ss_verdict_label(v);
    cr_expect_eq(v->label, label, "label %s, expected %s", ss_label_name(v->label), ss_label_name(label));
    cr_expect_eq(v->reason, reason, "reason %s, expected %s", ss_reason_name(v->reason),
                 ss_reason_name(reason));
    cr_expect_eq(v->evidence, evidence, "evidence %s", ss_evidence_name(v->evidence));
    cr_expect_eq(v->order, order, "order %d, expected %d", v->order, order);
}

#define EXPECT(v, label, reason, evidence, order)                                                            \
    expect(&(v), SS_LABEL_##label, SS_REASON_##reason, SS_EVIDENCE_##evidence, order)

Test(label, minimum)
{
    ss_verdict v = minimum();
    EXPECT(v, MINIMUM, NONE, SECOND_ORDER, 2);
    v.curvature.statement = SS_CURVATURE_FLAT;
    EXPECT(v, MINIMUM, NONE, SECOND_ORDER, 2);
}

Test(label, global_minimum_whatever_the_hessian)
{
    ss_verdict v = saddle();
    v.stationarity.at_lower_bound = true;
    EXPECT(v, MINIMUM, NONE, GLOBAL, 0);
}

Test(label, saddle_needs_everything)
{
    ss_verdict v = saddle();
    EXPECT(v, SADDLE, NONE, SECOND_ORDER, 2);
    v.witness.loss_witness = false;
    EXPECT(v, INCONCLUSIVE, NO_LOSS_WITNESS, NONE, 0);
    v.kinks.present = v.kinks.step_exceeds = true;
    EXPECT(v, INCONCLUSIVE, KINKS, NONE, 0);
    v = saddle();
    v.witness.felt_first = false;
    EXPECT(v, NOT_CRITICAL, NONE, NONE, 0);
    v = saddle();
    v.witness.proved = false;
    v.curvature.statement = SS_CURVATURE_UNDECIDED;
    EXPECT(v, INCONCLUSIVE, BUDGET, NONE, 0);
    v = saddle();
    v.stationarity.is_critical = false;
    EXPECT(v, NOT_CRITICAL, NONE, NONE, 0);
}

Test(label, stationarity_that_has_not_settled)
{
    ss_verdict v = minimum();
    v.stationarity.is_critical = v.stationarity.decrease_settled = false;
    v.stationarity.decrease = 1e-4;
    EXPECT(v, INCONCLUSIVE, BUDGET, NONE, 0);
    v.stationarity.decrease = 1e-2; /* a lower estimate above the limit settles it */
    EXPECT(v, NOT_CRITICAL, NONE, NONE, 0);
}

Test(label, contradiction)
{
    ss_verdict v = saddle();
    v.curvature.lower_bound = -1e-3; /* no eigenvalue below -1e-3, and a quotient of -0.1 */
    EXPECT(v, INCONCLUSIVE, CONTRADICTION, NONE, 0);
    v = saddle();
    v.witness.proved = false;
    v.witness.quotient = 0.1; /* W says negative, float64 says positive */
    EXPECT(v, INCONCLUSIVE, CONTRADICTION, NONE, 0);
}

Test(label, maximum_is_the_mirror_image)
{
    ss_verdict v = saddle();
    v.curvature.lambda_max = 0.0;
    v.curvature.statement = SS_CURVATURE_NO_POSITIVE;
    EXPECT(v, MAXIMUM, NONE, SECOND_ORDER, 2);
    v.flat_probe.ascent_ran = v.flat_probe.ascent_found = true;
    v.flat_probe.ascent_order = 3;
    EXPECT(v, SADDLE, NONE, HIGHER_ORDER, 3);
    v = saddle();
    v.curvature.lambda_max = 0.0;
    v.curvature.statement = SS_CURVATURE_UNDECIDED;
    EXPECT(v, INCONCLUSIVE, BUDGET, NONE, 0);
}

Test(label, flat_space)
{
    ss_verdict v = minimum();
    v.flat_probe.ran = v.flat_probe.found = true;
    v.flat_probe.order = 4;
    EXPECT(v, SADDLE, NONE, HIGHER_ORDER, 4);
    v.curvature.lambda_max = 0.0; /* nothing rises at second order ... */
    v.curvature.statement = SS_CURVATURE_FLAT;
    EXPECT(v, INCONCLUSIVE, BUDGET, NONE, 0);
    v.flat_probe.ascent_ran = true; /* ... nor at any: */
    EXPECT(v, MAXIMUM, NONE, HIGHER_ORDER, 4);
    v.flat_probe.ascent_found = true;
    EXPECT(v, SADDLE, NONE, HIGHER_ORDER, 4);
    v.flat_probe.ascent_found = v.flat_probe.ascent_ran = false;
    v.flat_probe.order = 3; /* an odd order rises on the other side */
    EXPECT(v, SADDLE, NONE, HIGHER_ORDER, 3);
}

Test(label, undecided_is_budget)
{
    ss_verdict v = minimum();
    v.curvature.statement = SS_CURVATURE_UNDECIDED;
    EXPECT(v, INCONCLUSIVE, BUDGET, NONE, 0);
}

Test(label, only_the_hessian_is_judged)
{
    ss_verdict v = minimum();
    v.operator_error.product = SS_PRODUCT_GAUSS_NEWTON;
    EXPECT(v, INCONCLUSIVE, OPERATOR, NONE, 0);
    v.stationarity.is_critical = false;
    EXPECT(v, NOT_CRITICAL, NONE, NONE, 0);
}

Test(label, strict)
{
    ss_verdict v = minimum();
    v.counts.zero = (ss_interval){ 0, 3 };
    ss_verdict_label(&v);
    ss_verdict_strict(&v);
    cr_expect_eq(v.strict, SS_TRI_TRUE); /* mu* > tau */
    v.curvature.lower_bound = -0.01;
    ss_verdict_strict(&v);
    cr_expect_eq(v.strict, SS_TRI_UNKNOWN); /* 0 .. 3 flat directions */
    v.counts.zero = (ss_interval){ 3, 3 };
    v.counts.exact = true;
    v.counts.structural = 1;
    v.counts.gauge = 1;
    ss_verdict_strict(&v);
    cr_expect_eq(v.strict, SS_TRI_FALSE);
    cr_expect_eq(v.flat_directions, 3);
    cr_expect_eq(v.flat_explained, 2);
    v.curvature.lambda_max = 0.0; /* nothing beyond tau */
    ss_verdict_strict(&v);
    cr_expect_eq(v.strict, SS_TRI_UNKNOWN);
}

Test(label, names)
{
    cr_expect_str_eq(ss_label_name(SS_LABEL_NOT_CRITICAL), "not_critical");
    cr_expect_eq(ss_label_from_name("saddle"), SS_LABEL_SADDLE);
    cr_expect_eq(ss_label_from_name("Saddle"), SS_LABEL_COUNT);
}

/* Quantiles of Student's t from the tables. */
Test(label, student)
{
    cr_expect_float_eq(ss_bounds_student(0.99, 15.0), 2.602480, 1e-5);
    cr_expect_float_eq(ss_bounds_student(0.95, 3.0), 2.353363, 1e-5);
    cr_expect_float_eq(ss_bounds_student(0.999, 1.0), 318.308839, 1e-3);
}
