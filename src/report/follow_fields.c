/* escape, study and track as tables of fields: for JSON, and one column each of the CSV tables. */
#include "report/field_rows.h"
#include "report/report.h"

/* clang-format off */
NAME_OF(label)
NAME_OF(evidence)
NAME_OF(end)

#define STRUCT ss_escape_row
static const ss_field escape_row_fields[] = {
    FIELD(INT, vector, "number of the direction v: 1 = the witness; 0 = the steps of all taken together"),
    FIELD(INT, sign, "along +v or -v"),
    FIELD(REAL, step, "t"),
    FIELD(REAL, predicted, "decrease of the Taylor model, -(t g'v + t^2 v'Hv / 2)"),
    FIELD(REAL, real, "L - L(theta + t v), float64"),
    FIELD(BOOL, enough, "real >= half of predicted"),
    END
};
#undef STRUCT

#define STRUCT ss_escape_direction
static const ss_field escape_direction_fields[] = {
    FIELD(INT, vector, "its number, as in the rows"),
    FIELD(REAL, quotient, "v'Hv, float64"),
    FIELD(REAL, slope, "g'v"),
    FIELD(REAL, valid_radius, "the quadratic model is good to a tenth up to there; 0 = not known"),
    FIELD(REAL, least_step, "half of that, where the search begins"),
    FIELD(INT, sign, "of its best step; 0 = none gains what it promises"),
    FIELD(REAL, step, "t"),
    FIELD(REAL, predicted, "decrease of the Taylor model there"),
    FIELD(REAL, real, "decrease of the true loss"),
    END
};
#undef STRUCT

#define STRUCT ss_follow_cost
static const ss_field follow_cost_fields[] = {
    FIELD(REAL, products, "product equivalents spent: a product 1, a gradient 1/2, a loss 1/6"),
    FIELD(REAL, budget, "allowed; null = no limit"),
    FIELD(INTEGER, hessian, "products"),
    FIELD(INTEGER, gradients, "calls"),
    FIELD(INTEGER, losses, "calls"),
    FIELD(REAL, seconds, "wall clock"),
    FIELD(BOOL, out_of_products, "the budget ended it"),
    FIELD(BOOL, out_of_time, "--time-limit did"),
    END
};
#undef STRUCT

#define STRUCT ss_saved_weights
static const ss_field saved_fields[] = {
    FIELD(REAL, moved, "||stored - computed||: rounding to the stored types"),
    FIELD(REAL, largest, "largest element of that"),
    FIELD(BOOL, rounded, "some tensor is stored in F16 or BF16"),
    FIELD(BOOL, converted, "the weights came from another format than safetensors"),
    END
};
#undef STRUCT

#define STRUCT ss_written
static const ss_field written_fields[] = {
    FIELD(TEXT, path, "the new checkpoint; null = none was written"),
    FIELD(REAL, loss, "of the weights as they are stored there"),
    GROUP(saved_fields, saved, "what storing them changed"),
    END
};
#undef STRUCT

/* A member of the inner struct under its own name. */
#define INNER(kind, member, meaning) \
    { #member, SS_FIELD_##kind, offsetof(ss_escape_report, escape.member), 0, 0, NULL, NULL, meaning }
const ss_field ss_escape_fields[] = {
    INNER(BOOL, left, "a step was taken; false: there is no proved witness to follow"),
    INNER(INT, vector, "number of the direction that was followed, as in the rows"),
    INNER(INT, sign, "+1 or -1 along it"),
    INNER(REAL, step, "t"),
    INNER(REAL, least_step, "r_valid / 2, where the search began"),
    INNER(REAL, predicted, "decrease of the Taylor model at that step"),
    INNER(REAL, real, "decrease of the true loss"),
    INNER(REAL, loss_start, "L at the saddle"),
    INNER(REAL, loss_end, "L where it ended"),
    INNER(REAL, moved, "||theta_end - theta_start||"),
    { "row", SS_FIELD_ROWS_AT, offsetof(ss_escape_report, rows), offsetof(ss_escape_report, escape.n_rows),
      sizeof(ss_escape_row), escape_row_fields, NULL, "the search as it was made" },
    { "direction", SS_FIELD_ROWS_AT, offsetof(ss_escape_report, directions),
      offsetof(ss_escape_report, escape.n_directions), sizeof(ss_escape_direction), escape_direction_fields, NULL,
      "the directions that were tried, with the best step along each; none where the flat-space probe led out" },
    INNER(BOOL, until_minimum, "--until-minimum"),
    INNER(INTEGER, rounds, "of descent and verdict"),
    INNER(INTEGER, steps, "of Newton-CG, all rounds"),
    INNER(REAL, gradient_end, "||g|| where it ended; null without --until-minimum"),
    { "cost", SS_FIELD_GROUP, offsetof(ss_escape_report, escape.cost), 0, 0, follow_cost_fields, NULL,
      "of the walk without the verdicts" },
    { "written", SS_FIELD_GROUP, offsetof(ss_escape_report, written), 0, 0, written_fields, NULL,
      "the new checkpoint" },
    { "before", SS_FIELD_GROUP, offsetof(ss_escape_report, escape.before), 1, 0, ss_verdict_fields, NULL,
      "the verdict at the start, as the result of analyze" },
    { "after", SS_FIELD_GROUP, offsetof(ss_escape_report, escape.after), 1, 0, ss_verdict_fields, NULL,
      "the verdict where it ended, likewise; its n is 0 when nothing has moved" },
    END
};
#undef INNER

#define STRUCT ss_study_point
const ss_field ss_study_point_fields[] = {
    FIELD(INTEGER, number, "of the point in the study"),
    FIELD(INTEGER, width, "of the hidden layers; 0 = as the network says"),
    FIELD(INTEGER, seed, "of the initial weights"),
    FIELD(INTEGER, n, "parameters"),
    FIELD(REAL, scale, "factor of the initial weights"),
    FIELD(REAL, silent, "share of the units of each hidden layer that began at zero"),
    FIELD(REAL, paired, "share of the others that began as pairs of equal units"),
    FIELD(INTEGER, loss_steps, "Newton-CG steps on the loss"),
    FIELD(INTEGER, steps, "Levenberg-Marquardt steps on ||g||^2"),
    FIELD(REAL, loss_start, "L at the initial weights"),
    FIELD(REAL, loss, "L where it ended"),
    FIELD(REAL, gradient_start, "||g|| at the initial weights"),
    FIELD(REAL, gradient, "||g|| where it ended"),
    FIELD(REAL, theta_norm, "||theta|| there"),
    FIELD(REAL, lambda_min, "lowest eigenvalue of the Hessian there"),
    FIELD(REAL, lambda_max, "highest"),
    FIELD(REAL, tau, "eigenvalues within tau of zero have no sign: 1e-9 of the largest, or --tau"),
    FIELD(COUNT, negative, "eigenvalues below -tau"),
    FIELD(COUNT, zero, "within"),
    FIELD(COUNT, positive, "above tau"),
    FIELD(REAL, positive_share, "minimum ratio n+ / n"),
    FIELD(REAL, positive_among_signed, "n+ / (n+ + n-)"),
    FIELD(REAL, negative_share, "n- / n: Dauphin's index"),
    ENUM_OF(label, SS_LABEL_COUNT, label, "inconclusive, not_critical, saddle, minimum, maximum"),
    ENUM_OF(evidence, SS_EVIDENCE_COUNT, evidence, "none, second order, higher order, global"),
    FIELD(INT, order, "p of evidence \"higher order\"; 2 for second order; 0 otherwise"),
    ENUM_OF(end, SS_END_COUNT, end, "critical, gradient_flat, escaping, unfinished; only critical counts"),
    CHARS(setup, "digest of everything the numbers depend on; --resume takes rows of the same setup only"),
    END
};
#undef STRUCT

#define STRUCT ss_study_result
const ss_field ss_study_fields[] = {
    FIELD(INTEGER, total, "points of the study"),
    FIELD(INTEGER, n_points, "finished"),
    FIELD(INTEGER, reused, "of them taken from an earlier run (--resume)"),
    INTEGERS(SS_END_COUNT, ends, "points by end: unfinished, critical, gradient_flat, escaping"),
    INTEGERS(SS_LABEL_COUNT, labels, "critical points by label: inconclusive, not_critical, saddle, minimum, maximum"),
    FIELD(INTEGER, reduced, "critical or unfinished points whose ||g|| is at most 1e-8 of its start"),
    FIELD(INTEGER, jobs, "points computed at a time"),
    FIELD(REAL, seconds, "in all"),
    ROWS_AT(ss_study_point_fields, ss_study_point, n_points, points, "as in the CSV"),
    END
};
#undef STRUCT

#define STRUCT ss_track_point
const ss_field ss_track_point_fields[] = {
    CHARS(name, "the checkpoint, as it was found"),
    FIELD(INTEGER, step, "last number in its name; -1 = none"),
    FIELD(REAL, loss, "L"),
    FIELD(REAL, gradient, "||g||"),
    FIELD(REAL, lambda_min, "lowest eigenvalue of the Hessian"),
    FIELD(REAL, lambda_min_error, "its error bar"),
    FIELD(REAL, lambda_max, "highest"),
    FIELD(REAL, lambda_max_error, "its error bar"),
    FIELD(REAL, preconditioned, "highest eigenvalue of P^-1/2 H P^-1/2; null without --precondition"),
    FIELD(REAL, preconditioned_error, "its error bar"),
    FIELD(REAL, overlap, "||V'W||_F^2 / k of the top subspaces of this checkpoint and the one before"),
    ENUM_OF(label, SS_LABEL_COUNT, label, "inconclusive, not_critical, saddle, minimum, maximum"),
    FIELD(REAL, rate, "learning rate there; null when not stated"),
    FIELD(REAL, threshold, "largest stable curvature at that rate"),
    FIELD(INTEGER, products, "of the eigenvalue searches"),
    CHARS(setup, "digest of everything the numbers depend on; --resume takes rows of the same setup only"),
    END
};
#undef STRUCT

#define STRUCT ss_track_result
const ss_field ss_track_fields[] = {
    FIELD(INTEGER, n_points, "checkpoints followed"),
    FIELD(INTEGER, n_skipped, "broken ones, reported and left out"),
    FIELD(INTEGER, reused, "taken from an earlier run (--resume)"),
    FIELD(INTEGER, subspace, "k of the overlaps"),
    FIELD(TEXT, optimizer, "whose stability threshold is drawn; null = none"),
    FIELD(REAL, seconds, "in all"),
    ROWS_AT(ss_track_point_fields, ss_track_point, n_points, points, "as in the CSV"),
    END
};
#undef STRUCT
