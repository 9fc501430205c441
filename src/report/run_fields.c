/* What a run was given, and the results of the small commands, as tables of fields. */
#include "report/run_fields.h"
#include "report/field_rows.h"

/* clang-format off */
#define STRUCT ss_run_library
static const ss_field library_fields[] = {
    FIELD(TEXT, name, "library"),
    FIELD(TEXT, version, "as it reports itself"),
    END
};
#undef STRUCT

#define STRUCT ss_run_file
static const ss_field file_fields[] = {
    FIELD(TEXT, role, "network, weights, data, objective"),
    FIELD(TEXT, path, "as given, or found beside it"),
    FIELD(INTEGER, bytes, "size"),
    END
};
#undef STRUCT

#define STRUCT ss_objective_facts
static const ss_field facts_fields[] = {
    FIELD(INTEGER, n, "active parameters"),
    FIELD(INTEGER, samples, "of the data set"),
    FIELD(INTEGER, targets, "counted targets"),
    FIELD(REAL, theta_norm, "norm of the active parameters"),
    FIELD(REAL, zero_output_loss, "data loss of the zero output"),
    FIELD(REAL, lower_bound, "what the data loss cannot fall below"),
    FIELD(BOOL, kinked, "some unit is piecewise smooth"),
    FIELD(BOOL, rounded_weights, "some active weight is stored in bf16 or fp16"),
    FIELD(REAL, rounding_radius, "|| half an ulp of theta || in the stored types"),
    END
};
#undef STRUCT

#define STRUCT ss_plan
const ss_field ss_plan_fields[] = {
    FIELD(INTEGER, samples, "of the program; 0 = no plan was made"),
    FIELD(INTEGER, micro_batch, "samples per micro-batch"),
    FIELD(INTEGER, n_micro_batches, "of the data set"),
    INTEGERS(5, cached, "micro-batches by what is kept: (unused), all, activations, none, checkpoints"),
    FIELD(INT, lanes, "vectors per pass"),
    FIELD(BOOL, stream_weights, "weights made resident layer by layer"),
    FIELD(BOOL, keep_logits, "of a head over a vocabulary, between the sweeps"),
    FIELD(INTEGER, n_prologue, "steps once per point"),
    FIELD(INTEGER, n_body, "steps once per product"),
    FIELD(REAL, flops_prologue, "of matrix products"),
    FIELD(REAL, flops_body, "per product of one vector"),
    FIELD(REAL, bytes_body, "moved per product by steps without matrix products"),
    FIELD(REAL, flops_gradient, "of a gradient, the unit of the ratios"),
    FIELD(INTEGER, bytes_weights, "weights in the real type"),
    FIELD(INTEGER, bytes_cache, "what stays between products"),
    FIELD(INTEGER, bytes_peak, "whole arena"),
    FIELD(INTEGER, bytes_staging, "on the host"),
    END
};
#undef STRUCT

#define STRUCT ss_run
const ss_field ss_run_fields[] = {
    FIELD(TEXT, command, "subcommand"),
    FIELD(TEXT, version, "of saddlescope"),
    FIELD(TEXT, compiler, "that built it"),
    FIELD(TEXT, started, "UTC"),
    ROWS_AT(library_fields, ss_run_library, n_libraries, libraries, "in use"),
    ROWS_AT(file_fields, ss_run_file, n_files, files, "that were read"),
    FIELD(TEXT, network, "as given"),
    FIELD(TEXT, network_description, "family and size"),
    FIELD(INTEGER, n_trainable, "parameters of the network that can be active"),
    FIELD(INTEGER, vocabulary, "token ids that the network knows; 0 = it reads no tokens"),
    FIELD(INTEGER, largest_id, "token id in the data; -1 = there are none"),
    FIELD(TEXT, data, "path"),
    FIELD(TEXT, data_description, "what was understood"),
    FIELD(INTEGER, samples_in_file, "before --samples"),
    INTEGERS_AT(n_chosen, chosen, "numbers of the samples used; null = all"),
    FIELD(TEXT, objective, "loss, mean, regularisers"),
    GROUP(facts_fields, facts, "of the objective"),
    FIELD(REAL, expect_loss, "stated by objective.json or --expect-loss, verified before the start; null = not stated"),
    FIELD(REAL, expect_tolerance, "relative, of that check"),
    FIELD(REAL, expect_gradient_norm, "stated by objective.json, verified before the start; null = not stated"),
    FIELD(TEXT, device, "backend"),
    FIELD(TEXT, device_description, "device and libraries"),
    FIELD(TEXT, precision, "of the working operator"),
    FIELD(INT, threads, "of the CPU"),
    FIELD(INTEGER, memory, "bytes allowed; 0 = what was free"),
    GROUP(ss_plan_fields, working, "plan of the working program"),
    GROUP(ss_plan_fields, confirming, "plan of the confirming (float64) program"),
    FIELD(REAL, seconds_open, "to read and check network and data"),
    FIELD(REAL, seconds_total, "since the start"),
    FIELD(INTEGER, memory_peak, "bytes of our own allocations at their highest, so far"),
    END
};
#undef STRUCT

#define STRUCT ss_gradient_result
const ss_field ss_gradient_fields[] = {
    FIELD(INTEGER, n, "active parameters"),
    FIELD(REAL, loss, "L with regularisers"),
    FIELD(REAL, data, "without"),
    FIELD(REAL, decay, "regularisers alone"),
    FIELD(REAL, rounding, "error of the float64 summation of the loss"),
    FIELD(REAL, norm, "||g||"),
    FIELD(REAL, rms, "||g|| / sqrt n"),
    FIELD(REAL, seconds, "of the gradient"),
    END
};
#undef STRUCT

#define STRUCT ss_product_result
const ss_field ss_product_fields[] = {
    FIELD(TEXT, operator_name, "hessian, ggn, fisher, fisher-mc, residual"),
    FIELD(INTEGER, n, "active parameters"),
    FIELD(REAL, norm_in, "||v||"),
    FIELD(REAL, norm_out, "||Hv||"),
    FIELD(REAL, quotient, "v'Hv / v'v"),
    FIELD(REAL, quotient_error, "an estimate: 64 unit roundoffs of the working type times ||Hv|| / ||v||"),
    FIELD(REAL, seconds, "of the product"),
    END
};
#undef STRUCT

#define STRUCT ss_eigenvalue
static const ss_field eigenvalue_fields[] = {
    FIELD(REAL, value, "Ritz value"),
    FIELD(REAL, error, "||Hx - value x|| by a product of its own, plus the operator's error: an eigenvalue lies that near"),
    FIELD(BOOL, converged, "to --tolerance"),
    END
};
#undef STRUCT

#define STRUCT ss_eigs_result
const ss_field ss_eigs_fields[] = {
    FIELD(TEXT, operator_name, "hessian, ggn, fisher, fisher-mc, residual"),
    FIELD(TEXT, reason, "why the search ended"),
    FIELD(TEXT, method, "basis, three vectors"),
    FIELD(INTEGER, n, "active parameters"),
    ROWS_AT(eigenvalue_fields, ss_eigenvalue, n_low, low, "lowest, or all below, ascending"),
    ROWS_AT(eigenvalue_fields, ss_eigenvalue, n_high, high, "highest, ascending"),
    FIELD(REAL, lower_bound, "no eigenvalue lies below, with that confidence; null = no bound"),
    FIELD(REAL, upper_bound, "no eigenvalue lies above, likewise"),
    FIELD(REAL, confidence, "1 - eta, over the start vector"),
    FIELD(REAL, operator_error, "E, an estimate"),
    FIELD(INTEGER, products, "spent"),
    FIELD(INTEGER, restarts, "of Lanczos"),
    FIELD(INTEGER, basis, "columns"),
    FIELD(BOOL, basis_on_host, "they lie in host memory, the device having too little"),
    FIELD(REAL, seconds, "in all"),
    FIELD(REAL, seconds_operator, "of them in products"),
    REALS_AT(n_ritz, ritz, "all Ritz values at the end, ascending"),
    END
};
#undef STRUCT

#define STRUCT ss_hessian_result
const ss_field ss_hessian_fields[] = {
    FIELD(TEXT, operator_name, "hessian, ggn, fisher, fisher-mc, residual"),
    FIELD(INTEGER, n, "active parameters"),
    REALS_AT(n, values, "eigenvalues, ascending"),
    FIELD(REAL, error, "of each, an estimate: 64 unit roundoffs of the working type times lambda_abs"),
    FIELD(REAL, trace, "sum of the eigenvalues"),
    FIELD(REAL, lambda_abs, "largest modulus"),
    FIELD(REAL, asymmetry, "max |A - A'| / max |A| before it was made symmetric"),
    FIELD(REAL, tau, "|eigenvalue| <= tau counts as zero"),
    FIELD(INTEGER, negative, "eigenvalues < -tau"),
    FIELD(INTEGER, zero, "eigenvalues within tau of zero"),
    FIELD(INTEGER, positive, "eigenvalues > tau"),
    FIELD(REAL, seconds, "in all"),
    FIELD(REAL, seconds_operator, "of them in products"),
    FIELD(REAL, seconds_eigen, "of them in the eigensolver"),
    END
};
#undef STRUCT

#define STRUCT ss_info_parameter
static const ss_field parameter_fields[] = {
    FIELD(TEXT, name, "as in the weights file"),
    FIELD(TEXT, shape, "[out, in] ..."),
    FIELD(TEXT, type, "as stored"),
    FIELD(INTEGER, count, "elements"),
    FIELD(REAL, decay, "lambda of lambda/2 ||w||^2"),
    FIELD(COUNT, offset, "first element in the parameter vector; null = frozen"),
    FIELD(BOOL, trainable, "false: a constant of the network"),
    END
};
#undef STRUCT

#define STRUCT ss_info_plan
static const ss_field info_plan_fields[] = {
    FIELD(TEXT, product, "hessian, ggn"),
    FIELD(TEXT, cache, "what is kept between products"),
    FIELD(TEXT, precision, "of the program"),
    FIELD(REAL, ratio, "flops of a product to those of a gradient"),
    FIELD(REAL, seconds, "of a product, estimated from the flops and the time of a gradient"),
    GROUP(ss_plan_fields, plan, "in detail"),
    END
};
#undef STRUCT

#define STRUCT ss_info_effort
static const ss_field effort_fields[] = {
    FIELD(REAL, resolution, "of the largest |eigenvalue|"),
    FIELD(INTEGER, products, "that Lanczos needs at most, with probability 0.99, from a random start"),
    FIELD(REAL, seconds, "estimated, the float64 confirmation included; null = not known"),
    END
};
#undef STRUCT

#define STRUCT ss_info_result
const ss_field ss_info_fields[] = {
    ROWS_AT(parameter_fields, ss_info_parameter, n_parameters, parameters, "of the network"),
    ROWS_AT(info_plan_fields, ss_info_plan, n_plans, plans, "one per way of caching"),
    FIELD(REAL, seconds_per_flop, "of a gradient, measured or (planned_for) assumed; null = not known"),
    FIELD(REAL, seconds_per_byte, "moved without matrix products (planned_for), assumed; 0 otherwise"),
    ROWS_AT(effort_fields, ss_info_effort, n_efforts, efforts, "by resolution"),
    FIELD(TEXT, planned_for, "a device that is not here, with its assumed rates; null = the device used"),
    FIELD(INTEGER, memory_free, "bytes of the device that could still be taken"),
    FIELD(BOOL, basis_on_host, "the vectors of a search lie in host memory, the device having too little"),
    FIELD(INTEGER, basis, "their number at most"),
    FIELD(INTEGER, basis_bytes, "of all of them"),
    END
};
#undef STRUCT
