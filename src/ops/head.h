/* What the two files of the head share (head.c: the record and what is read; head_sweep.c: the sweeps), and
 * its logits for those who need them outside (labels drawn from the model). */
#ifndef SS_OPS_HEAD_H
#define SS_OPS_HEAD_H

#include "ops/node.h"

enum { SS_HEAD_WEIGHT = SS_W, SS_HEAD_BIAS = SS_W + 1 };

/* Tokens of a chunk when a micro-batch has `rows`. */
int64_t ss_head_chunk(const ss_node *node, int64_t rows);
/* The logits of rows first ... first + rows - 1 (at most one chunk), soft-capped, in the call's workspace as
 * FORWARD wants it. The call holds X, W and WORKSPACE. */
ss_status ss_head_logits(const ss_call *call, int64_t first, int64_t rows, ss_matrix *logits);

/* ---- Private to the head ---- */

static inline int64_t ss_head_classes(const ss_node *node)
{
    return node->attributes.columns;
}

static inline int64_t ss_head_width(const ss_node *node)
{
    const ss_value *x = &node->values[node->input[0]];
    return x->shape[x->rank - 1];
}

/* Rows per sample. */
static inline int64_t ss_head_rows(const ss_node *node)
{
    return node->values[node->input[0]].count / ss_head_width(node);
}

static inline bool ss_head_capped(const ss_node *node)
{
    return node->attributes.cap > 0;
}

/* Does u_at exist, given the tangents? Of the residual only the cap's own curvature is left. */
bool ss_head_bends(const ss_node *node, ss_sweep sweep, ss_mask tangents);

/* Buffers of one chunk in the workspace: plain ones first, then those with lanes. */
int64_t ss_head_plain_buffers(const ss_node *node, ss_sweep sweep);
int64_t ss_head_laned_buffers(const ss_node *node, ss_sweep sweep); /* per lane */

ss_status ss_head_sweep(const ss_call *call, ss_sweep sweep);

#endif
