/* One operator, whole: its record and its sweeps, written only in backend calls.
 *
 * The planner learns everything about an operator from `needs`: which operands a sweep reads, given which
 * tangents and adjoints are nonzero and which outputs are wanted. Lifetimes, caching and pruning follow from
 * it alone, so it must be exact: an operand not named there may be garbage, one named there is kept alive.
 *
 * Operands are numbered by derivative and role; sets of operands are bit masks. */
#ifndef SS_OPS_OP_H
#define SS_OPS_OP_H

#include "backend/backend.h"

#define SS_MAX_INPUTS     4
#define SS_MAX_PARAMETERS 4

typedef struct ss_node ss_node; /* ops/node.h */

typedef enum ss_derivative {
    SS_PRIMAL,         /* x, w, y, saved, data */
    SS_TANGENT,        /* x_t = R{x}; laned */
    SS_ADJOINT,        /* x_a = dL/dx; laned only in a Gauss-Newton program */
    SS_ADJOINT_TANGENT /* x_at = R{x_a}; laned */
} ss_derivative;

typedef enum ss_role {
    SS_X,                            /* inputs X .. X + SS_MAX_INPUTS - 1 */
    SS_W = SS_X + SS_MAX_INPUTS,     /* parameters */
    SS_Y = SS_W + SS_MAX_PARAMETERS, /* output */
    SS_SAVED,                        /* what forward keeps for later sweeps; its tangent likewise */
    SS_TARGET,                       /* loss heads: class ids (int64) or values (real); primal only */
    SS_ROW_WEIGHT,                   /* loss heads: float64 [rows]; primal only */
    SS_ROW_LOSS,                     /* loss heads: float64 [rows], output of forward; its tangent likewise */
    SS_CLASS_WEIGHT,                 /* loss heads: float64 [cols]; primal only */
    SS_WORKSPACE,                    /* reals that live during one sweep only; primal; see ss_op.workspace */
    SS_ROLE_COUNT
} ss_role;

typedef uint64_t ss_mask; /* a set of operands */
#define SS_OPERAND_COUNT             (4 * SS_ROLE_COUNT)
#define SS_OPERAND(derivative, role) ((int)(derivative)*SS_ROLE_COUNT + (int)(role))
#define SS_BIT(derivative, role)     ((ss_mask)1 << SS_OPERAND(derivative, role))

/* A tensor in the backend's memory, with strides in elements; data == NULL: absent (a tangent or adjoint that
 * is zero, an output that is not wanted, no bias). The first dimension is the micro-batch (not for
 * parameters). */
typedef struct ss_tensor {
    void   *data;                /* device */
    int32_t rank;                /* with the micro-batch dimension */
    int64_t shape[SS_MAX_RANK];  /* one lane */
    int64_t stride[SS_MAX_RANK]; /* elements; unit stride last */
    int64_t lane_stride;         /* elements between lanes; 0 = no lanes */
    bool    accumulate;          /* outputs: add instead of overwrite */
} ss_tensor;

/* One call of one sweep. */
typedef struct ss_call {
    const ss_node *node;
    ss_backend    *backend;
    ss_queue      *queue;
    int64_t        lanes;                     /* of every laned operand */
    bool           fisher;                    /* SS_CURVATURE: see ss_loss */
    ss_tensor      operand[SS_OPERAND_COUNT]; /* by SS_OPERAND */
} ss_call;

/* Attributes of a node; each operator reads its own part. */
typedef struct ss_attributes {
    ss_function  function;     /* pointwise; multiply with `gated` */
    double       parameter[2]; /* of the function: see ss_pointwise */
    bool         gated;        /* multiply: y = f(x0) o x1 instead of x0 o x1 */
    double       eps;          /* norm */
    bool         centered;     /* norm */
    double       gain_offset;  /* norm */
    int64_t      columns;      /* norm: elements normalised together; linear: output features */
    ss_loss_kind loss;         /* loss */
    double       smoothing;    /* loss */
    bool         class_ids;    /* loss: targets are ids, not values */
    double       alpha, beta;  /* add: y = alpha x0 + beta x1; embedding: y = alpha w[id] */
    bool         transposed;   /* linear: the weight is stored [in, out] (GPT-2's Conv1D) */
    int32_t      heads;        /* attention: query heads */
    int32_t      key_heads;    /* attention: key and value heads; divides heads */
    double       scale;        /* attention: of q k' */
    double       cap;    /* attention, head: c of the soft cap c tanh(s / c) of scores, logits; 0 = none */
    bool         causal; /* attention: a query sees no later key */
    int64_t      window; /* attention: it sees the last `window` keys only (itself included); 0 = all */
    int64_t      top_k;  /* router: experts chosen per row */
    bool         keep_logits; /* head: SAVED holds the logits too */
    bool residual; /* head: TANGENT_BACKWARD leaves the loss's own curvature out (Hessian - Gauss-Newton) */
    int64_t chunk; /* head: tokens whose logits are formed at a time; 0 = by a fixed budget */
} ss_attributes;

typedef enum ss_op_kind {
    SS_OP_LINEAR,    /* linear in inputs and parameters together (bias, residual add) */
    SS_OP_BILINEAR,  /* product of two (weight times input, gating) */
    SS_OP_POINTWISE, /* f, f', f'' */
    SS_OP_GENERAL,   /* all four sweeps given */
    SS_OP_LOSS       /* the last node: adds curvature */
} ss_op_kind;

typedef struct ss_op {
    const char *name; /* "linear", for messages and `info --plan` */
    ss_op_kind  kind;
    /* Fills output_rank, output_shape, saved_count, saved_tangent_count from inputs, parameters and
     * attributes; or fails with a message that names the node. */
    ss_status (*infer)(ss_context *context, ss_node *node);
    /* Operands read by `sweep` to compute the outputs in `want`; `have` = operands (tangents, adjoints) that
     * exist and are not zero. Returns 0 when every wanted output is zero (then the step is dropped and the
     * outputs count as absent). Outputs: FORWARD Y, SAVED; BACKWARD X_a, W_a; TANGENT_FORWARD Y_t, SAVED_t;
     * TANGENT_BACKWARD and CURVATURE X_at, W_at. */
    ss_mask (*needs)(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want);
    /* Performs one sweep, each output only when wanted, absent operands counting as zero:
     *   FORWARD           y    (+)= f(x, w), and SAVED
     *   BACKWARD          x_a  (+)= (df/dx)' y_a, w_a (+)= (df/dw)' y_a; accepts lanes of y_a, x_a, w_a
     *   TANGENT_FORWARD   y_t  (+)= (df/dx) x_t + (df/dw) w_t
     *   TANGENT_BACKWARD  x_at (+)= R{(df/dx)' y_a}, w_at likewise
     *   CURVATURE         x_at (+)= Gauss-Newton of x_t and w_t, or Fisher, w_at likewise; losses only */
    ss_status (*sweep)(const ss_call *call, ss_sweep sweep);
    /* Floating-point operations of the matrix products of a sweep for `samples` samples and the given
     * outputs; NULL = it has none. */
    double (*flops)(const ss_node *node, ss_sweep sweep, int64_t samples, ss_mask have, ss_mask want);
    /* Bytes that a sweep with matrix products moves on `backend` beside its operands, so many that they
     * count; NULL = none. */
    double (*bytes)(const ss_node *node, const ss_backend *backend, ss_sweep sweep, int64_t samples,
                    ss_mask have, ss_mask want);
    /* Do the sides of zero of input 0's elements decide a branch? NULL or false = smooth. */
    bool (*kinked)(const ss_node *node);
    bool kinks_of_output; /* it is the sides of zero of the output that tell the branch (a router's choice) */
    /* Reals of SS_WORKSPACE that a sweep wants on `backend` for `samples` samples and `lanes` lanes (1 in
     * FORWARD and in an unlaned BACKWARD); NULL = none. Contents are undefined at the start of the sweep.
     * `needs` does not name it: it is there whenever this is not 0. */
    int64_t (*workspace)(const ss_node *node, ss_backend *backend, ss_sweep sweep, int64_t samples,
                         int64_t lanes);
    /* Is the input's adjoint the output's, unchanged (a residual)? Then it may take over its memory instead
     * of being copied. NULL = of no input. */
    bool (*passes)(const ss_node *node, int32_t input);
} ss_op;

/* The operators (one file each under ops/). */
extern const ss_op ss_op_linear; /* y = x w' (+ b) (+ r)  X: x and, optional, the residual r that it is added
                                    to; W: w [out, in] ([in, out]: transposed), b [out] or absent */
extern const ss_op ss_op_add;    /* y = alpha x0 + beta x1 */
extern const ss_op ss_op_multiply;  /* y = x0 o x1, or f(x0) o x1 */
extern const ss_op ss_op_pointwise; /* y = f(x + b)         X: x, W: b along the last dimension, or absent */
extern const ss_op ss_op_norm;      /* LayerNorm, RMSNorm   X: x, W: gain, bias (each may be absent) */
extern const ss_op ss_op_loss;      /* mse, cross-entropy, bce_with_logits */

/* Of transformers. Values: tokens [T, D]; heads [T, H, d] (views of [T, H d] or of packed projections, unit
 * stride in d). Integer values (token ids, positions, masks) are inputs of the network: they have no tangent
 * and no adjoint. */
extern const ss_op ss_op_embedding; /* y[t] = alpha w[id[t]]     X: ids [T] (integer), W: table [V, D] */
extern const ss_op ss_op_rope;      /* rotary positions          X: x [T, H, d], W: constant table [T, r]: cos
                                       (r / 2), then sin (r / 2); rotates pairs (i, i + r / 2) of the first r
                                       of d elements, the rest is copied */
extern const ss_op ss_op_attention; /* softmax(scale q k') v     X: q [T, H, d], k, v [T, Hk, d], mask [T]
                                       (integer, optional: keys with 0 are not seen); y [T, H, d] */
extern const ss_op ss_op_router;    /* softmax over the top_k largest of each row, 0 elsewhere  X: [T, E] */
extern const ss_op ss_op_row_scale; /* y[t, :] = c[t] x[t, :]    X: x [T, D], c [T, 1] */
extern const ss_op
    ss_op_class_token;         /* y = [w0; x] + w1         X: x [N, D], W: w0 (D elements or absent), w1
                                 ((N + 1) D, or N D without w0; or absent) */
extern const ss_op ss_op_head; /* loss: cross-entropy of cap(x w' + b), in chunks of tokens  X: x [T, D],
                                  W: w [V, D], b [V] or absent */

/* Views an operand as a matrix whose columns are the last `columns` elements: leading dimensions are
 * collapsed into rows. SS_ERROR_INTERNAL when the strides do not allow it (the planner should have inserted a
 * copy). An absent operand gives an absent matrix. */
ss_status ss_tensor_matrix(ss_context *context, const ss_tensor *tensor, int64_t columns, ss_matrix *matrix);

#endif
