/* One harness for all operators: a new operator is a row of a table.
 *
 * A row gives an operator, shapes and attributes. The harness draws float64 operands, takes the Jacobian of
 * forward and the directional derivatives of backward by 8th-order central differences in float64 on `cpu`,
 * and compares every sweep with what follows from them by linearity, for every combination of present
 * tangents and adjoints and of wanted outputs, with and without lanes, packed and strided, overwriting and
 * accumulating, in both real types. In every call the operands that `needs` does not name hold NaN, and the
 * spaces between the rows of the outputs must stay as they were. Then `needs` is checked from the other side:
 * changing an operand it names must change a result.
 *
 * TANGENT_BACKWARD finds y_t and SAVED_t as TANGENT_FORWARD has left them for the tangents present; a SAVED_t
 * as long as SAVED is itself compared with differences of SAVED. SS_WORKSPACE holds NaN before every sweep.
 */
#ifndef SS_TESTS_OP_HARNESS_H
#define SS_TESTS_OP_HARNESS_H

#include "ops/node.h"

/* An input that is not like the others. */
typedef struct ss_op_input {
    int32_t        rank;     /* per sample; 0 = as all inputs */
    int64_t        shape[3]; /* [rank] */
    int64_t        limit;    /* > 0: integers from 0 to limit - 1, without derivatives */
    const int64_t *integers; /* their values, [batch, shape]; NULL = drawn */
} ss_op_input;

typedef struct ss_op_case {
    const char   *name;
    const ss_op  *op;
    ss_attributes attributes;
    int64_t       batch;    /* samples */
    int32_t       n_inputs; /* all of the same shape, unless `input` says otherwise */
    int32_t       rank;     /* of an input, per sample */
    int64_t       shape[3]; /* [rank] */
    ss_op_input   input[SS_MAX_INPUTS];
    int32_t       n_parameters;      /* slots */
    int32_t       parameter_rank[2]; /* 0 = absent */
    int64_t       parameter_shape[2][2];
    bool          constant[2];   /* parameters without derivatives (tables) */
    int32_t       contiguous;    /* trailing dimensions of every operand that must be contiguous; 0 means 1 */
    double        margin;        /* inputs keep this distance from 0 (kinks) */
    bool          class_weights; /* loss: with class weights */
    ss_mask       weak; /* operands read for numerical stability alone: changing them changes rounding only */
} ss_op_case;

/* Checks one row on one backend; returns the number of deviations and prints the first few. 0 = all is well.
 * `calls` (may be NULL) receives the number of sweeps run, so that a test can tell that something was
 * checked.
 */
int ss_op_case_check(const ss_op_case *row, const char *backend, ss_real real, int64_t *calls);

#endif
