/* The verdict as tables of fields: every member of the structs of verdict.h under its own name. */
#include "report/report.h"
#include "report/field_rows.h"

/* clang-format off */
NAME_OF(label)
NAME_OF(reason)
NAME_OF(evidence)
NAME_OF(curvature)
NAME_OF(method)
NAME_OF(answer)
NAME_OF(direction)
NAME_OF(tri)
NAME_OF(population)
NAME_OF(end)

static const char *product_text(const void *value)
{
    static const char *const names[] = { "hessian", "ggn", "fisher", "fisher-mc", "residual" };
    return names[*(const ss_product *)value];
}

static const char *real_text(const void *value)
{
    return ss_real_name(*(const ss_real *)value);
}

#define STRUCT ss_verdict_operator_error
static const ss_field operator_error_fields[] = {
    ENUM(product, product, "which operator"),
    ENUM(real, working, "real type of W"),
    FIELD(REAL, delta, "relative to lambda_abs: the largest of the next four"),
    FIELD(REAL, delta_roundoff, "64 u"),
    FIELD(REAL, delta_random, "||(W-C)r|| / ||Cr||, unit random r; null when Cr = 0"),
    FIELD(REAL, delta_low, "||(W-C)x|| / lambda_abs, lowest Ritz vector"),
    FIELD(REAL, delta_high, "the same, highest"),
    FIELD(REAL, lambda_abs, "curvature: largest |Ritz value|, at least 64 u64 L_scale / max(||theta||,1)^2"),
    FIELD(REAL, error, "E = delta lambda_abs"),
    FIELD(REAL, tau, "curvature below which an eigenvalue has no sign: 3 E, or --tau"),
    FIELD(BOOL, tau_given, "by --tau"),
    FIELD(COUNT, samples, "on which C was run"),
    FIELD(BOOL, subset, "fewer than all samples"),
    END
};
#undef STRUCT

#define STRUCT ss_verdict_stationarity
static const ss_field stationarity_fields[] = {
    FIELD(REAL, loss, "L at theta, with regularisers, float64"),
    FIELD(REAL, loss_data, "without regularisers"),
    FIELD(REAL, loss_rounding, "rounding of one float64 sum"),
    FIELD(REAL, loss_zero_output, "L_scale: loss of the zero output"),
    FIELD(REAL, loss_lower, "L_lower: what the loss cannot fall below"),
    FIELD(REAL, theta_norm, "||theta||"),
    FIELD(REAL, gradient_norm, "||g||"),
    FIELD(REAL, gradient_rms, "||g|| / sqrt n"),
    FIELD(REAL, decrease, "d, predicted by a damped Newton step"),
    FIELD(REAL, decrease_relative, "d / L"),
    FIELD(BOOL, decrease_settled, "false: d is a lower estimate and is_critical is false"),
    FIELD(BOOL, decrease_from_bound, "||g||^2 / (2 tau_d) settled it without a product: d is that upper bound"),
    FIELD(INT, decrease_products, "products of the Krylov space started at g"),
    FIELD(REAL, damping, "tau_d of that step, a curvature"),
    FIELD(REAL, rounding, "s: a decrease below it is rounding"),
    FIELD(REAL, critical, "X of --critical"),
    FIELD(REAL, limit, "critical would be below: on d, or on ||g|| when by_gradient"),
    FIELD(BOOL, by_gradient, "--critical-gradient was given"),
    FIELD(BOOL, is_critical, "d <= max(critical (L - L_lower), s), or ||g|| <= limit"),
    FIELD(BOOL, at_lower_bound, "L - L_lower is below rounding"),
    FIELD(REAL, gradient_flat_ratio, "||Hg|| / (lambda_abs ||g||); null when g = 0"),
    FIELD(INT, groups, "N groups of samples; 0 = group statistics omitted"),
    FIELD(REAL, coherence, "c = ||mean g_i||^2 / mean ||g_i||^2"),
    FIELD(BOOL, slope_is_noise, "N c <= 2: the slope is sampling noise"),
    FIELD(REAL, loss_sampling_error, "standard error of L over the groups"),
    END
};
#undef STRUCT

#define STRUCT ss_verdict_curvature
static const ss_field curvature_fields[] = {
    ENUM(curvature, statement, "at the resolution: undecided, indefinite, no_negative, no_positive, flat"),
    ENUM(method, method, "none, dense, lanczos, three_vectors"),
    FIELD(REAL, resolution, "eps, curvature"),
    FIELD(REAL, resolution_relative, "eps / lambda_abs"),
    FIELD(REAL, eta, "the confidence is 1 - eta, over the start vector"),
    FIELD(REAL, lambda_min, "lowest Ritz value or eigenvalue"),
    FIELD(REAL, lambda_min_error, "residual norm plus E; dense: E"),
    FIELD(BOOL, lambda_min_converged, "its residual is below the limit asked for"),
    FIELD(REAL, lambda_max, "highest Ritz value or eigenvalue"),
    FIELD(REAL, lambda_max_error, "residual norm plus E; dense: E"),
    FIELD(BOOL, lambda_max_converged, "likewise"),
    FIELD(REAL, lower_bound, "mu*: no eigenvalue below it, with confidence 1 - eta; dense: lambda_min - E"),
    FIELD(REAL, upper_bound, "its mirror image"),
    FIELD(REAL, gamma, "gamma(eta); null on the dense path"),
    FIELD(COUNT, n_start, "n without structural zeros, the dimension of the start vector"),
    FIELD(INT, basis, "m, columns of the Lanczos basis"),
    FIELD(BOOL, basis_on_host, "they lie in host memory, the device having too little"),
    FIELD(INT, restarts, "of Lanczos"),
    FIELD(INT, first_cycle, "products of the first, unrestarted cycle, continuation included"),
    FIELD(INT, continued, "products by which its recurrence was continued, alpha and beta only"),
    FIELD(INT, breakdowns, "invariant subspaces met"),
    FIELD(COUNT, products, "of this question"),
    FIELD(BOOL, estimates, "three-vector mode: eigenvalues are estimates"),
    FIELD(BOOL, stopped_early, "a witness stood"),
    FIELD(COUNT, n_ritz, "Ritz values at the end; dense: n"),
    REALS_AT(n_ritz, ritz_value, "[n_ritz] ascending, curvature"),
    REALS_AT(n_ritz, ritz_residual, "[n_ritz] residual norms; dense: 0"),
    END
};
#undef STRUCT

#define STRUCT ss_verdict_witness
static const ss_field witness_fields[] = {
    FIELD(BOOL, candidate, "some Ritz value lay below -tau (the rest is null and false otherwise)"),
    FIELD(BOOL, proved, "v'Cv < -tau and < -10 e64"),
    FIELD(REAL, ritz_value, "of W, before the removal"),
    FIELD(REAL, quotient, "v'Cv, float64"),
    FIELD(REAL, error, "e64"),
    FIELD(REAL, difference, "||(W-C)v||"),
    FIELD(REAL, gauge_share, "norm of the removed part, of 1"),
    FIELD(REAL, slope, "g'v"),
    FIELD(BOOL, loss_witness, "VERDICT 3: the mean of both sides lies below L by more than 10 roundings"),
    FIELD(BOOL, both_ways, "both sides do: the loss falls both ways"),
    FIELD(REAL, step, "t of the loss witness"),
    FIELD(REAL, mean_change, "[L(theta + t v) + L(theta - t v)] / 2 - L"),
    FIELD(REAL, change_plus, "L(theta + t v) - L"),
    FIELD(REAL, change_minus, "L(theta - t v) - L"),
    FIELD(REAL, rounding, "of those sums"),
    FIELD(REAL, valid_radius, "r_valid(v): up to there the quadratic model holds"),
    FIELD(REAL, crossover, "t_c = 2 |g'v| / |v'Cv|"),
    FIELD(BOOL, felt_first, "t_c <= 0.1 r_valid and d <= 0.1 |v'Cv| r_valid^2 / 2"),
    FIELD(COUNT, n, "length of the vector, which --save-vectors writes"),
    END
};
#undef STRUCT

#define STRUCT ss_verdict_counts
static const ss_field counts_fields[] = {
    FIELD(REAL, confidence, "1 - eta of the intervals; 1 when exact"),
    FIELD(BOOL, exact, "dense path"),
    FIELD(COUNT, negative_at_least, "Ritz values of the accurate Rayleigh matrix below -tau; interlacing"),
    FIELD(INTERVAL, negative, "n-(-tau)"),
    FIELD(INTERVAL, zero, "n0: |lambda| <= tau; structural zeros included"),
    FIELD(INTERVAL, positive, "n+(tau)"),
    FIELD(COUNT, n, "active parameters"),
    FIELD(COUNT, structural, "structurally zero: entries of H that no data reach"),
    FIELD(COUNT, gauge, "rank(Z) at most"),
    FIELD(INTERVAL, flat, "numerically flat: n0 without structural and gauge directions"),
    REALS(2, positive_share, "n+ / n, interval"),
    REALS(2, positive_among_signed, "n+ / (n+ + n-), interval"),
    REALS(2, negative_share, "n- / n, interval: Dauphin's index"),
    FIELD(REAL, quadrature_width, "w of the Gauss-Radau counts, curvature; null when exact"),
    END
};
#undef STRUCT

#define STRUCT ss_verdict_gauge
static const ss_field gauge_fields[] = {
    FIELD(COUNT, rank, "at most"),
    FIELD(COUNT, softmax_shift, "tangents of each kind"),
    FIELD(COUNT, rescaling, "positive rescaling through ReLU-type units"),
    FIELD(COUNT, norm_gain, "gain-weight scaling behind norms"),
    FIELD(COUNT, other, "changes of basis between linear layers, shifts through linear layers and centered norms"),
    END
};
#undef STRUCT

#define STRUCT ss_verdict_distribution
static const ss_field distribution_fields[] = {
    ENUM(population, statement, "omitted, proved, not_shown"),
    FIELD(INT, groups, "N, of which N/2 found the direction and N/2 judged it"),
    FIELD(REAL, refine_products, "spent on the refinement, in products over all samples"),
    FIELD(REAL, found, "v'H v on the half that found it"),
    FIELD(REAL, mean, "v'H_i v over the other half"),
    FIELD(REAL, deviation, "s: standard deviation over that half"),
    FIELD(REAL, student, "quantile t at 1 - eta, N/2 - 1 degrees of freedom"),
    FIELD(REAL, half_width, "t s / sqrt(N/2)"),
    FIELD(REAL, upper_limit, "mean + half_width"),
    END
};
#undef STRUCT

#define STRUCT ss_verdict_kinks
static const ss_field kinks_fields[] = {
    FIELD(BOOL, present, "some unit is piecewise smooth"),
    FIELD(REAL, share_step, "share of the units that change side at the witness step; null without a witness"),
    FIELD(REAL, share_valid, "at r_valid"),
    FIELD(BOOL, step_exceeds, "no step with less than 1 % was found"),
    FIELD(REAL, region_radius, "\"within one linear region, radius r\": largest step tried, along the lowest Ritz vector and the gradient, at which no unit changes side; null when smooth"),
    END
};
#undef STRUCT

#define STRUCT ss_verdict_rounded
static const ss_field rounded_fields[] = {
    FIELD(BOOL, present, "some active weight is stored so"),
    FIELD(REAL, radius, "r_s = ||half an ulp of theta||"),
    FIELD(REAL, gradient_change, "change of ||g|| that rounding alone explains: ||C r|| r_s, unit random r"),
    FIELD(REAL, loss_change, "the same for L: ||g|| r_s / sqrt n + |r'Cr| r_s^2 / 2"),
    FIELD(BOOL, cannot_judge, "r_s exceeds the witness step or r_valid: only the stored weights are judged"),
    END
};
#undef STRUCT

#define STRUCT ss_left_row
static const ss_field left_row_fields[] = {
    ENUM(direction, direction, "gradient, negative_curvature, newton"),
    FIELD(BOOL, tried, "false: the rest means nothing"),
    FIELD(REAL, step, "length of the step in parameter space"),
    FIELD(INT, sign, "+1 or -1 along the direction"),
    FIELD(REAL, decrease, "real, float64; 0 when the loss fell nowhere"),
    FIELD(REAL, predicted, "by the quadratic model at that step"),
    FIELD(REAL, share, "decrease / L"),
    FIELD(REAL, radius, "r_valid along it; null when not measured"),
    END
};
#undef STRUCT

#define STRUCT ss_verdict_left
static const ss_field left_fields[] = {
    ROWS(left_row_fields, ss_left_row, SS_DIRECTION_COUNT, row, "one per direction"),
    ENUM(answer, answer, "which sentence answers why the loss has stopped falling: none, slope, saddle, minimum, floor, flat, noise, maximum"),
    ENUM(direction, best, "direction of the largest decrease"),
    FIELD(REAL, share, "its share of L"),
    FIELD(REAL, noise, "sampling error of L that gains are compared with; null when not measured"),
    FIELD(REAL, cost, "spent on this question, in products"),
    END
};
#undef STRUCT

#define STRUCT ss_verdict_flat_probe
static const ss_field flat_probe_fields[] = {
    FIELD(BOOL, ran, "the probe of the flat space was carried out"),
    FIELD(BOOL, found, "descent like r^p in three consecutive balls"),
    FIELD(INT, order, "p; 0 = none"),
    FIELD(COUNT, flat_vectors, "Ritz vectors that were combined"),
    FIELD(INT, combinations, "per ball, both signs each"),
    FIELD(INT, radii, "balls used, at most SS_PROBE_RADII"),
    FIELD(INT, steps, "L-BFGS steps allowed per ball"),
    REALS(SS_PROBE_RADII, radius, "of the balls"),
    REALS(SS_PROBE_RADII, decrease, "D(r)"),
    REALS(SS_PROBE_RADII, threshold, "max(100 roundings, 10 min(||g|| r, d))"),
    REALS(SS_PROBE_RADII - 1, exponent, "between neighbouring balls; null where D <= 0"),
    FIELD(REAL, cost, "in products"),
    FIELD(BOOL, ascent_ran, "the mirrored probe was carried out: for a maximum, or after descent of even order alone"),
    FIELD(BOOL, ascent_found, "it found ascent like r^p"),
    FIELD(INT, ascent_order, "that p; 0 = none"),
    FIELD(BOOL, reduced, "the budget reduced combinations, radii or steps"),
    END
};
#undef STRUCT

#define STRUCT ss_verdict_level_set
static const ss_field level_set_fields[] = {
    FIELD(BOOL, measured, "not measured at a critical point, where there is no slope to leave out"),
    FIELD(REAL, lambda_min, "lowest Ritz value of P H P, a bound from above; exact on the dense path"),
    FIELD(REAL, lambda_min_error, "residual norm plus E; dense: E"),
    FIELD(REAL, products, "spent on it"),
    END
};
#undef STRUCT

#define STRUCT ss_verdict_polish
static const ss_field polish_fields[] = {
    FIELD(BOOL, ran, "false: the rest means nothing"),
    FIELD(COUNT, steps, "Newton-MR steps made"),
    ENUM(end, end, "critical: ||g|| reached its target or rounding; gradient_flat: stalled where g lies in the kernel of H; unfinished"),
    FIELD(REAL, moved, "||theta - theta_start||"),
    FIELD(REAL, moved_relative, "of ||theta_start||"),
    FIELD(REAL, loss_start, "L before"),
    FIELD(REAL, loss_change, "L after - L before"),
    FIELD(REAL, gradient_start, "||g|| before"),
    FIELD(REAL, gradient_end, "||g|| after"),
    FIELD(REAL, flat_ratio, "||Hg|| / (lambda_abs ||g||) at the last step, lambda_abs an estimate"),
    ENUM(label, label_start, "verdict before"),
    FIELD(REAL, lambda_min_start, "lowest Ritz value or eigenvalue before"),
    FIELD(INTERVAL, negative_start, "n-(-tau) before"),
    FIELD(INTERVAL, zero_start, "n0 before"),
    FIELD(INTERVAL, positive_start, "n+(tau) before"),
    FIELD(REAL, cost, "of the polish, in products"),
    END
};
#undef STRUCT

#define STRUCT ss_verdict_cost
static const ss_field cost_fields[] = {
    FIELD(REAL, products, "product equivalents spent"),
    FIELD(REAL, budget, "product equivalents allowed"),
    FIELD(COUNT, hessian, "calls: products of W, over all samples or some"),
    FIELD(COUNT, confirming, "products of C"),
    FIELD(COUNT, memory_predicted, "bytes of our own allocations at most, as predicted during the search"),
    FIELD(COUNT, gradients, "calls"),
    FIELD(COUNT, losses, "calls"),
    FIELD(REAL, seconds, "wall clock of ss_analyze"),
    FIELD(REAL, seconds_products, "of it in products, gradients and losses"),
    FIELD(REAL, needed_products, "reason budget: further products that would decide, an estimate"),
    FIELD(REAL, needed_seconds, "and their time"),
    FIELD(BOOL, out_of_products, "the budget ended the search"),
    FIELD(BOOL, out_of_time, "--time-limit did"),
    END
};
#undef STRUCT

#define STRUCT ss_verdict_block
static const ss_field block_fields[] = {
    FIELD(TEXT, name, "of the tensor, or what the names of its tensors have in common"),
    FIELD(COUNT, n, "parameters of the block"),
    FIELD(REAL, low, "lowest eigenvalue of the diagonal block"),
    FIELD(REAL, low_error, "an eigenvalue lies within"),
    FIELD(REAL, high, "highest eigenvalue"),
    FIELD(REAL, high_error, "likewise"),
    FIELD(COUNT, products, "spent on the block"),
    FIELD(BOOL, converged, "both residuals below their limits"),
    END
};
#undef STRUCT

#define STRUCT ss_verdict
const ss_field ss_verdict_fields[] = {
    FIELD(BOOL, complete, "false: partial or interrupted"),
    FIELD(COUNT, n, "active parameters"),
    FIELD(COUNT, samples, "samples of the objective"),
    FIELD(COUNT, targets, "counted targets"),
    GROUP(operator_error_fields, operator_error, "the operator's own error, an estimate (VERDICT 1)"),
    GROUP(stationarity_fields, stationarity, "is there slope left (VERDICT 2)"),
    GROUP(curvature_fields, curvature, "what the Hessian says (VERDICT 3)"),
    GROUP(witness_fields, witness, "a direction of negative curvature v, unit length, after removal of gauge directions"),
    GROUP(counts_fields, counts, "how many directions of which sign, and the partition of n"),
    GROUP(gauge_fields, gauge, "symmetries of the parametrisation that were looked for; others were not checked"),
    GROUP(distribution_fields, distribution, "the witness judged on samples that did not find it"),
    GROUP(kinks_fields, kinks, "piecewise-smooth networks"),
    GROUP(rounded_fields, rounded, "weights stored in bf16 or fp16"),
    GROUP(left_fields, left, "what is left to gain here (VERDICT 4)"),
    GROUP(flat_probe_fields, flat_probe, "search for higher-order descent in the flat space (VERDICT 5)"),
    GROUP(level_set_fields, level_set, "curvature on the level set of the loss: P H P, P = I - gg'/g'g"),
    GROUP(polish_fields, polish, "what --polish did before the verdict was given"),
    GROUP(cost_fields, cost, "a product counts 1, a gradient 1/2, a loss 1/6"),
    ENUM(label, label, "inconclusive, not_critical, saddle, minimum, maximum"),
    ENUM(reason, reason, "of inconclusive: none, budget, no_loss_witness, kinks, contradiction, operator"),
    ENUM(evidence, evidence, "none, second order, higher order, global"),
    FIELD(INT, order, "p of evidence \"higher order\"; 2 for second order; 0 otherwise"),
    ENUM(tri, strict, "of a minimum or maximum"),
    FIELD(COUNT, flat_directions, "when strict is false: how many; -1 unknown"),
    FIELD(COUNT, flat_explained, "of them explained by structure and gauge, at most"),
    FIELD(COUNT, n_blocks, "--blocks: their number"),
    ROWS_AT(block_fields, ss_verdict_block, n_blocks, blocks, "--blocks: the diagonal blocks; empty without it"),
    END
};
#undef STRUCT
