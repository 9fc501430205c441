/* What the two halves of the operator harness share: op_harness_call.c lays operands out and runs sweeps,
 * op_harness.c knows what should come out. */
#ifndef SS_TESTS_OP_HARNESS_PRIVATE_H
#define SS_TESTS_OP_HARNESS_PRIVATE_H

#include "support/op_harness.h"

enum { MOST_LANES = 3, MOST_VARIABLES = SS_MAX_INPUTS + SS_MAX_PARAMETERS, SHOWN = 5 };

/* How operands are laid out on the device. */
typedef struct layout {
    int64_t lanes;
    int     gap; /* 0 packed; 1 rows apart, lanes evenly spaced; 2 lanes apart as well */
} layout;

typedef struct harness {
    const ss_op_case *row;
    ss_value          values[SS_MAX_INPUTS];
    ss_parameter      parameters[2];
    ss_node           node;
    ss_backend       *backend;   /* under test */
    ss_backend       *reference; /* cpu, float64 */
    bool              is_loss;
    int64_t           count[SS_ROLE_COUNT];     /* elements of one lane, 0 = the role does not exist */
    double           *host[SS_OPERAND_COUNT];   /* primal [count], others [MOST_LANES * count] */
    double           *result[SS_OPERAND_COUNT]; /* outputs of the last call, [lanes * count] */
    double           *base[SS_OPERAND_COUNT];   /* what accumulated outputs hold before */
    int               variable[MOST_VARIABLES]; /* roles with derivatives: inputs, then parameters */
    int               n_variables;
    int               result_role;                 /* SS_Y or SS_ROW_LOSS */
    double           *jacobian[MOST_VARIABLES];    /* [count of variable][count of result] */
    double           *saved_slope[MOST_VARIABLES]; /* the same of SAVED, when SAVED_t is its tangent */
    /* second[t][u][lane]: derivative of the adjoint of variable u along the tangent of variable t */
    double *second[MOST_VARIABLES][MOST_VARIABLES];
    int64_t calls;
    int     deviations;
} harness;

typedef struct request {
    ss_sweep sweep;
    ss_mask  have, want;
    layout   how;
    bool     accumulate;
    bool     fisher;
    bool     reference;   /* on the reference backend */
    bool     poison;      /* operands that needs does not name hold NaN */
    bool     laned_plain; /* BACKWARD with laned adjoints, as in a Gauss-Newton program */
} request;

static inline int derivative_of(int operand)
{
    return operand / SS_ROLE_COUNT;
}

static inline int role_of(int operand)
{
    return operand % SS_ROLE_COUNT;
}

/* Is the operand laned in this call? */
bool op_is_laned(const request *r, int operand);
/* Roles whose elements are float64 in either real type, and those that hold integers. */
bool op_is_double(int role);
bool op_is_integer(const harness *h, int role);
/* Is SAVED_t the tangent of SAVED, element by element? */
bool op_saved_has_tangent(const harness *h);
/* Elements of one lane of an operand. */
int64_t op_count(const harness *h, int operand);
/* Another integer than `value` that the role may hold. */
double op_other_integer(const harness *h, int role, double value);
/* Is it a loss with a linear map of its own? */
bool op_is_head(const harness *h);
/* out += factor times the Gauss-Newton (or Fisher) product of a head, its part for `role`, from the tangents
 * in `have`. */
void op_head_curvature(const harness *h, ss_mask have, bool fisher, int64_t lane, int role, double factor,
                       double *out);
/* Losses: columns and number of the rows. */
int64_t op_class_count(const harness *h);
int64_t op_row_count(const harness *h);

/* Counts a deviation and prints the first few. */
void op_report(harness *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Zeroed float64 array, given back by ss_free. */
double *op_new_array(int64_t count);

/* Opens the backends, draws all operands; and gives everything back. */
void op_set_up(harness *h, const ss_op_case *row, const char *backend, ss_real real);
void op_tear_down(harness *h);

/* Runs one sweep and leaves the wanted outputs in h->result. */
void op_run(harness *h, const request *r);

#endif
