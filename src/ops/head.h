/* The logits of a head, for those who need them outside its sweeps (labels drawn from the model). */
#ifndef SS_OPS_HEAD_H
#define SS_OPS_HEAD_H

#include "ops/op.h"

/* Tokens of a chunk when a micro-batch has `rows`. */
int64_t ss_head_chunk(const ss_node *node, int64_t rows);
/* The logits of rows first ... first + rows - 1 (at most one chunk), soft-capped, in the call's workspace as
 * FORWARD wants it. The call holds X, W and WORKSPACE. */
ss_status ss_head_logits(const ss_call *call, int64_t first, int64_t rows, ss_matrix *logits);

#endif
