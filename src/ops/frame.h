/* What a sweep of an operator works with: its operands as matrices, filtered through `needs`.
 *
 * A frame asks the operator's own `needs` which operands the wanted outputs read and hands out those alone;
 * every other operand appears absent even where the call carries an address. So a sweep cannot read what
 * `needs` does not name, and a mask that names too little shows as a wrong result. Outputs that are wanted
 * but zero (no term survives) are cleared here once and then appear absent as well. */
#ifndef SS_OPS_FRAME_H
#define SS_OPS_FRAME_H

#include "ops/node.h"

typedef struct ss_frame {
    const ss_call *call;   /* borrowed */
    ss_mask        reads;  /* operands named by needs for the nonzero outputs */
    ss_mask        writes; /* wanted outputs that are not zero */
} ss_frame;

/* Operands that a sweep writes, whatever the operator. */
ss_mask ss_sweep_outputs(ss_sweep sweep);

/* Fills the frame and clears the wanted outputs that are zero (accumulated ones stay as they are). */
ss_status ss_frame_begin(ss_frame *frame, const ss_op *op, ss_sweep sweep, const ss_call *call);

/* Output `operand` (an SS_OPERAND number) := 0 unless it accumulates: for sweeps that add term by term. */
ss_status ss_call_clear(const ss_call *call, int operand);

/* Is this operand handed out? */
static inline bool ss_frame_has(const ss_frame *frame, ss_derivative derivative, int role)
{
    return ((frame->reads | frame->writes) & SS_BIT(derivative, role)) != 0;
}

/* Is this output to be accumulated? */
static inline bool ss_frame_accumulates(const ss_frame *frame, ss_derivative derivative, int role)
{
    return frame->call->operand[SS_OPERAND(derivative, role)].accumulate;
}

/* The operand as a matrix with `columns` columns (ss_tensor_matrix), absent when it is not handed out. */
ss_status ss_frame_matrix(const ss_frame *frame, ss_derivative derivative, int role, int64_t columns,
                          ss_matrix *matrix);

/* Lanes of this call: 1 in FORWARD and in a BACKWARD whose adjoints carry none. */
int64_t ss_frame_lanes(const ss_frame *frame, ss_sweep sweep);

/* Address of an operand that is not a matrix of reals (class ids, row weights); NULL when not handed out. */
void *ss_frame_data(const ss_frame *frame, ss_derivative derivative, int role);

/* The operand, of rank 4 with the samples, as heads [batch, tokens, heads, dim]; absent when it is not handed
 * out. SS_ERROR_INTERNAL unless dim has unit stride. */
ss_status ss_frame_heads(const ss_frame *frame, ss_derivative derivative, int role, ss_heads *heads);

/* The workspace of this sweep (ss_op.workspace); NULL when there is none. */
void *ss_frame_workspace(const ss_frame *frame);

/* For elementwise operators: the widest row (a trailing part of a sample) for which every operand handed out
 * is a matrix. */
int64_t ss_frame_row_width(const ss_frame *frame);

/* ---- Helpers for `needs` and `infer` ---- */

/* Does the node have its parameter number `which` (a bias, a gain)? */
static inline bool ss_node_has_parameter(const ss_node *node, int32_t which)
{
    return which < node->n_parameters && node->parameter[which] >= 0;
}

/* Fails with a message that begins with the node's name. */
#define SS_FAIL_NODE(context, node, ...)                                                                     \
    do {                                                                                                     \
        status = ss_node_fail((context), (node), __VA_ARGS__);                                               \
        goto fail;                                                                                           \
    } while (0)
ss_status ss_node_fail(ss_context *context, const ss_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* "[3, 4]" of a shape into `text` (size bytes, cut short when it does not fit); returns text. */
const char *ss_node_shape_text(int32_t rank, const int64_t *shape, char *text, size_t size);

/* `needs` of a product of inputs 0 and 1, elementwise or by rows: the product rule. */
ss_mask ss_factor_needs(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want);

/* The output has the shape of input 0; nothing is saved. */
void ss_node_output_like_input(ss_node *node);

#endif
