/* The backend: everything a device must be able to do, as one vtable.
 *
 * A backend is a device together with one real type (float32 or float64); two backends of the same device
 * share its memory space. Pointers marked "device" are in the backend's memory and are never dereferenced by
 * the caller (cpu-check and CUDA enforce that); address arithmetic on them is allowed. Pointers marked "host"
 * are host memory.
 *
 * All work is queued: a primitive returns once it is enqueued, results are there after queue_synchronize. The
 * CPU's queue runs everything at once. Primitives with a host result synchronise the queue themselves.
 *
 * Matrices are row-major, unit column stride, row stride `ld` (0 = one row broadcast to all rows, inputs
 * only), with an optional leading lane dimension: lane l starts at data + l * lane_stride elements;
 * lane_stride 0 = shared by all lanes (inputs only). Outputs never overlap inputs unless a primitive says so.
 *
 * `accumulate` adds to the output instead of overwriting it; a primitive never reads an output it overwrites.
 * Reductions have a fixed order that depends on shapes alone: same input, same bits, whatever the thread
 * count (GEMM excepted: same bits for the same library, threads and shape).
 *
 * Entries are all present unless marked optional; the default of an optional entry is documented beside it.
 */
#ifndef SS_BACKEND_BACKEND_H
#define SS_BACKEND_BACKEND_H

#include "base/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ss_backend         ss_backend;
typedef struct ss_queue           ss_queue;           /* opaque, made by the backend */
typedef struct ss_event           ss_event;           /* opaque, made by the backend */
typedef struct ss_graph_execution ss_graph_execution; /* opaque: captured work */

typedef enum ss_memory_space {
    SS_MEMORY_HOST,  /* the host may read and write it (backend cpu) */
    SS_MEMORY_DEVICE /* addresses mean nothing to the host (backends cpu-check, cuda) */
} ss_memory_space;

/* A matrix, or lanes of matrices, in the backend's memory. data == NULL: absent. */
typedef struct ss_matrix {
    void   *data;        /* device; element type = the backend's real type */
    int64_t rows, cols;  /* extents of one lane */
    int64_t ld;          /* elements between rows; 0 = broadcast (inputs only) */
    int64_t lane_stride; /* elements between lanes; 0 = shared by all lanes (inputs only) */
} ss_matrix;

/* Which sweep a primitive performs; x primal, x_t tangent, x_a adjoint, x_at tangent of the adjoint. */
typedef enum ss_sweep {
    SS_FORWARD,
    SS_BACKWARD,
    SS_TANGENT_FORWARD,
    SS_TANGENT_BACKWARD,
    SS_CURVATURE, /* loss heads only: Gauss-Newton, from x_t straight to x_a */
    SS_SWEEP_COUNT
} ss_sweep;

/* ---- GEMM: C := alpha op(A) op(B) + beta C for each of `batch` problems, row-major ---- */
typedef struct ss_gemm {
    bool        transpose_a, transpose_b;     /* op(A) is m x k, op(B) is k x n */
    int64_t     m, n, k;                      /* may be 0: then C := beta C */
    double      alpha, beta;                  /* beta == 0: C is not read */
    const void *a, *b;                        /* device */
    void       *c;                            /* device */
    int64_t     lda, ldb, ldc;                /* elements between rows as stored */
    int64_t     stride_a, stride_b, stride_c; /* elements between problems; 0 allowed for a and b */
    int64_t     batch;                        /* problems, >= 1 */
    bool        low_precision; /* a tangent product: TF32 where the backend has `tf32` (the CPU ignores it) */
} ss_gemm;

/* ---- Pointwise: y = f(x) and its sweeps (backend/point_functions.h) ----
 * One row per function: enumerator, torch.nn type, C stem in point_functions.h, 1 if all derivatives read y
 * instead of x, 1 if piecewise smooth with a kink at x = 0. */
/* clang-format off */
#define SS_FUNCTION_TABLE(row) \
    row(SS_RELU, "ReLU", relu, 1, 1) \
    row(SS_LEAKY_RELU, "LeakyReLU", leaky_relu, 0, 1) \
    row(SS_TANH, "Tanh", tanh, 1, 0) \
    row(SS_SIGMOID, "Sigmoid", sigmoid, 1, 0) \
    row(SS_SILU, "SiLU", silu, 0, 0) \
    row(SS_GELU_ERF, "GELU", gelu_erf, 0, 0) \
    row(SS_GELU_TANH, "GELU(tanh)", gelu_tanh, 0, 0) \
    row(SS_SOFTPLUS, "Softplus", softplus, 0, 0) \
    row(SS_ELU, "ELU", elu, 0, 0) \
    row(SS_SOFT_CAP, "SoftCap", soft_cap, 0, 0)
/* clang-format on */
typedef enum ss_function {
#define SS_FUNCTION_ROW(name, torch, stem, from_y, kinked) name,
    SS_FUNCTION_TABLE(SS_FUNCTION_ROW)
#undef SS_FUNCTION_ROW
        SS_FUNCTION_COUNT
} ss_function;

/* The bias b of the linear map in front is added on the way, so that x + b and x_t + b_t never lie in memory,
 * and its adjoints are summed where those of x are made:
 *
 *  FORWARD           y    (+)= f(x + b)
 *  BACKWARD          x_a  (+)= f' y_a                        lanes of y_a and x_a allowed (Gauss-Newton)
 *  TANGENT_FORWARD   y_t  (+)= f' (x_t + b_t)                either may be absent, not both
 *  TANGENT_BACKWARD  x_at (+)= f'' (x_t + b_t) y_a + f' y_at a term with an absent operand is zero; not both
 *                                                            absent
 *  b_a, b_at (+)= column sums of what x_a, x_at get; of the two outputs either may be absent, not both */
typedef struct ss_pointwise {
    ss_function function;
    ss_sweep    sweep;
    double      parameter[2]; /* LeakyReLU: slope; Softplus: beta, threshold; ELU: alpha; soft cap: c */
    int64_t     lanes;
    bool        accumulate, accumulate_bias;
    ss_matrix   x, y;            /* primal; functions that derive from y ignore x in all sweeps but FORWARD */
    ss_matrix   bias;            /* 1 x cols; absent = 0; ignored where x is */
    ss_matrix   x_t, y_t;        /* [lanes] */
    ss_matrix   bias_t;          /* [lanes] 1 x cols */
    ss_matrix   x_a, y_a;        /* plain adjoints; [lanes] in BACKWARD of a Gauss-Newton product */
    ss_matrix   x_at, y_at;      /* [lanes] */
    ss_matrix   bias_a, bias_at; /* 1 x cols; lanes as x_a, x_at */
} ss_pointwise;

/* ---- Gated products: y = f(a) o b, elementwise; f a function of the table or the identity ----
 * (reference 4: products and elementwise functions, taken together)
 *
 *  FORWARD           y    (+)= f b
 *  BACKWARD          a_a  (+)= f' b y_a                           lanes of y_a and the outputs allowed
 *                    b_a  (+)= f y_a
 *  TANGENT_FORWARD   y_t  (+)= f' a_t b + f b_t
 *  TANGENT_BACKWARD  a_at (+)= f'' a_t b y_a + f' (b_t y_a + b y_at)
 *                    b_at (+)= f' a_t y_a + f y_at
 * Absent tangents, adjoints and factors are zero, but a function must have its a; absent outputs are not
 * wanted. Any input may broadcast rows or lanes. */
typedef struct ss_glu {
    bool        gated; /* f is `function`; false: the identity, a plain product */
    ss_function function;
    ss_sweep    sweep;
    double      parameter[2]; /* as in ss_pointwise */
    int64_t     lanes;
    bool        accumulate_a, accumulate_b, accumulate_y; /* for whichever is the output */
    ss_matrix   a, b, y;                                  /* primal */
    ss_matrix   a_t, b_t, y_t;                            /* [lanes] */
    ss_matrix   a_a, b_a, y_a;                            /* plain adjoints; [lanes] in a laned BACKWARD */
    ss_matrix   a_at, b_at, y_at;                         /* [lanes] */
} ss_glu;
/* The two outputs of a sweep; the second is absent ahead. */
static inline void ss_glu_outputs(const ss_glu *p, ss_matrix out[2], bool accumulate[2])
{
    static const ss_matrix none = { NULL, 0, 0, 0, 0 };
    const bool             ahead = p->sweep == SS_FORWARD || p->sweep == SS_TANGENT_FORWARD;
    out[0] = p->sweep == SS_FORWARD           ? p->y
             : p->sweep == SS_TANGENT_FORWARD ? p->y_t
             : p->sweep == SS_BACKWARD        ? p->a_a
                                              : p->a_at;
    out[1] = ahead ? none : p->sweep == SS_BACKWARD ? p->b_a : p->b_at;
    accumulate[0] = ahead ? p->accumulate_y : p->accumulate_a;
    accumulate[1] = p->accumulate_b;
}

/* ---- Normalisation over the columns of each row: LayerNorm or RMSNorm (reference 4) ----
 * Sweeps as for pointwise: BACKWARD accepts lanes of y_a; in TANGENT_BACKWARD y_a or y_at, x_t, gain_t may be
 * absent (zero). Outputs that are absent are not wanted. */
typedef struct ss_norm {
    ss_sweep  sweep;
    bool      centered;    /* true LayerNorm, false RMSNorm */
    double    eps;         /* inside the root */
    double    gain_offset; /* y = (gain + gain_offset) z + bias; 0, or 1 for Gemma */
    int64_t   lanes;
    bool      accumulate_x, accumulate_gain, accumulate_bias, accumulate_y; /* for whichever is the output */
    ss_matrix x, y;                                                         /* rows x cols */
    ss_matrix gain, bias;                                                   /* 1 x cols; absent = 1 and 0 */
    ss_matrix saved; /* rows x 2: mean, r = (var + eps)^-1/2; FORWARD writes, others read */
    ss_matrix x_t, y_t, gain_t, bias_t;     /* [lanes] */
    ss_matrix x_a, y_a, gain_a, bias_a;     /* plain adjoints */
    ss_matrix x_at, y_at, gain_at, bias_at; /* [lanes] */
} ss_norm;

/* ---- Losses: one row is a sample or a token ---- */
typedef enum ss_loss_kind {
    SS_LOSS_MSE,
    SS_LOSS_CROSS_ENTROPY,
    SS_LOSS_BCE_WITH_LOGITS,
    SS_LOSS_KIND_COUNT
} ss_loss_kind;

/*  FORWARD           row_loss[i] = w_i l(x_i, target_i)           float64 in both real types
 *  BACKWARD          x_a  (+)= dL/dx
 *  TANGENT_FORWARD   row_loss[lane, i] = w_i (dl/dx) . x_t        float64: gives g'v
 *  TANGENT_BACKWARD  x_at (+)= H_L x_t                            (the adjoint of the loss is 1, its tangent
 * 0) CURVATURE         x_at (+)= H_L x_t, the same; separate so that fused heads can go through their weights
 *                     with `fisher` instead of H_L, for each target with weight w and unweighted gradient g:
 *                     w g (g . x_t). mse and bce: a target is one element, x_at_ij = w_i g_ij^2 x_t_ij;
 *                     cross-entropy: a target is a row, w = w_i c with c = sum_j q_j class_weight_j,
 *                     g = dl/dx / c
 * l: mse (x - t)^2 summed over the row; bce_with_logits summed over the row; cross-entropy in the stable form
 * of reference 4 (adjoint of the target class = -(sum of the others)). */
typedef struct ss_loss {
    ss_loss_kind kind;
    ss_sweep     sweep;
    int64_t      lanes;
    bool         accumulate;
    bool         fisher;    /* CURVATURE only: empirical Fisher of the targets given */
    double       smoothing; /* cross-entropy label smoothing in [0, 1) */
    ss_matrix    x;         /* rows x cols: logits or predictions */
    const int64_t
             *class_id; /* device [rows] or NULL: then `target`; ids of rows with weight 0 are not read */
    ss_matrix target;   /* rows x cols distributions or values, when class_id is NULL */
    const double
        *class_weight; /* device [cols] or NULL = 1: multiplies every class's term -q_j log p_j, as torch */
    const double *row_weight; /* device [rows]; includes 1 / (number, or weight sum, of counted targets of the
                                 whole data set); 0 = row not counted */
    double   *row_loss;       /* device [rows]; [lanes, rows] for TANGENT_FORWARD */
    ss_matrix saved; /* rows x 2: cross-entropy: largest logit, log(sum exp(x - largest)); FORWARD writes */
    ss_matrix x_t;   /* [lanes] */
    ss_matrix x_a;   /* plain adjoint */
    ss_matrix x_at;  /* [lanes] */
} ss_loss;

/* ---- Attention (reference 4.1): second order, nothing of size tokens x tokens ----
 * A tensor [batch, tokens, heads, dim] with unit stride in dim; data == NULL: absent. */
typedef struct ss_heads {
    void   *data;                                                 /* device; the backend's real type */
    int64_t batch, tokens, heads, dim;                            /* extents of one lane */
    int64_t batch_stride, token_stride, head_stride, lane_stride; /* elements */
} ss_heads;

/* Per head, scores s_ij = cap(scale q_i . k_j) for the keys j that query i sees, P = softmax, o = P v (all
 * formulas: backend/attention_functions.h):
 *
 *  FORWARD           o    (+)= P v, and saved = L, the logsumexp of each row
 *  BACKWARD          q_a, k_a, v_a (+)= adjoints of o_a; o_a and they may be laned (Gauss-Newton)
 *  TANGENT_FORWARD   o_t  (+)= R{o}, and saved_t = mu, the tangent of L
 *  TANGENT_BACKWARD  q_at, k_at, v_at (+)= R of the adjoints
 *
 * Query head h uses key head h / (heads / key_heads). A query that sees no key has o = 0. Absent tangents and
 * adjoints are zero; absent outputs are not wanted; saved and saved_t are overwritten, and may be absent
 * where they are outputs. Beside q, k and saved, which all sweeps but FORWARD read:
 *
 *  BACKWARD          reads v and o for q_a and k_a
 *  TANGENT_FORWARD   reads v and o for o_t when q or k has a tangent
 *  TANGENT_BACKWARD  reads for q_at and k_at: v and o when there is o_at, or o_a and a tangent of q or k; o_t
 *                    when there is o_a and any tangent. Reads saved_t when there is o_a and a tangent of q or
 *                    k; o_a without any tangent is not read
 *
 * Deterministic, without atomics: an adjoint is summed in an order that depends on the shape alone.
 * `workspace` is what the backend asks for (attention_workspace): the CPU keeps D there, of all lanes in
 * BACKWARD, and the tangents of D; CUDA blocks of scores. On the CPU it may be absent where no adjoint of the
 * scores is wanted. */
typedef struct ss_attention {
    ss_sweep       sweep;
    int64_t        lanes;
    double         scale, cap; /* cap 0 = none */
    bool           causal;
    int64_t        window; /* 0 = none; counts the query's own position */
    const int64_t *mask;   /* device [batch, tokens] or NULL: 0 = key not seen */
    bool           accumulate_o, accumulate_q, accumulate_k, accumulate_v;
    ss_heads       q, k, v, o;             /* primal */
    ss_heads       q_t, k_t, v_t, o_t;     /* [lanes] */
    ss_heads       q_a, k_a, v_a, o_a;     /* plain adjoints; [lanes] in a laned BACKWARD */
    ss_heads       q_at, k_at, v_at, o_at; /* [lanes] */
    void          *saved;                  /* device [batch, heads, tokens]: L */
    void          *saved_t;                /* device [lanes, batch, heads, tokens]: mu */
    int64_t        saved_t_stride;         /* elements between lanes of saved_t */
    void          *workspace;              /* device, as many reals as attention_workspace says */
} ss_attention;
/* Are the operands there that a sweep cannot do without, beside q, k and L? */
static inline bool ss_attention_is_complete(const ss_attention *p)
{
    bool tangents = p->q_t.data || p->k_t.data || p->v_t.data, of_scores = p->q_t.data || p->k_t.data;
    switch (p->sweep) {
    case SS_FORWARD: return p->v.data || !p->o.data;
    case SS_TANGENT_FORWARD: return !of_scores || !p->o_t.data || (p->v.data && p->o.data);
    case SS_BACKWARD:
        return p->o_a.data && ((!p->q_a.data && !p->k_a.data) || (p->v.data && p->o.data && p->workspace));
    case SS_TANGENT_BACKWARD:
        if (!p->q_at.data && !p->k_at.data) return !p->o_a.data || !of_scores || p->saved_t;
        if (!p->workspace || (p->o_at.data && (!p->v.data || !p->o.data))) return false;
        if (p->o_a.data && of_scores && (!p->v.data || !p->o.data || !p->saved_t)) return false;
        return !p->o_a.data || !tangents || p->o_t.data;
    default: return false;
    }
}

/* ---- Router of a mixture of experts: softmax over the top_k largest of each row, 0 elsewhere ----
 * The choice is constant in all derivatives (ties: the lower column); sweeps as for pointwise, in terms of y.
 */
typedef struct ss_router {
    ss_sweep  sweep;
    int64_t   lanes, top_k;
    bool      accumulate;
    ss_matrix x, y;       /* x is read in FORWARD only */
    ss_matrix x_t, y_t;   /* [lanes] */
    ss_matrix x_a, y_a;   /* plain adjoints; [lanes] in BACKWARD of a Gauss-Newton product */
    ss_matrix x_at, y_at; /* [lanes] */
} ss_router;

/* Sizes at which a device works well: what a micro-batch is chosen by. */
typedef struct ss_batching {
    int64_t rows;         /* of a matrix product, from which on it runs at its full rate */
    int64_t least_rows;   /* ... at a rate that is still worth a recomputation less */
    int64_t tensor_bytes; /* a tensor up to this size stays in the caches between two steps */
    int64_t head_rows;    /* tokens whose logits are formed at a time; 0 = as few as caches like them */
} ss_batching;
/* 132 multiprocessors and tiles of 128 x 128 outputs: 8192 rows give a map to 768 columns three tiles each,
 * 2048 rows one to 4096 columns four. A head reads its weight once a chunk in every product: with 1024 rows a
 * TF32 product of 350 TFLOP/s takes three times as long as reading the weight at 3 TB/s. */
/* clang-format off */
#define SS_CPU_BATCHING { 256, 256, 2 << 20, 0 }
#define SS_GPU_BATCHING { 8192, 2048, 0, 1024 }
/* clang-format on */

/* ---- The vtable ---- */
typedef struct ss_backend_class {
    const char     *name; /* "cpu", "cpu-check", "cuda" */
    ss_memory_space space;
    ss_batching     batching;

    void (*close)(ss_backend *b);
    /* One line about device and libraries, for `info` and results; host string owned by the backend. */
    const char *(*describe)(ss_backend *b);

    /* Memory: zero bytes allowed, 256-byte aligned, contents undefined. */
    ss_status (*allocate)(ss_backend *b, int64_t bytes, void **memory);
    void (*release)(ss_backend *b, void *memory); /* NULL allowed */
    int64_t (*memory_available)(ss_backend *b);   /* bytes that may still be taken */
    /* Host memory for transfers: with it an upload or download of a queue runs beside the work of others and
     * the host (pinned); with any other host memory the backend may have to wait. */
    ss_status (*allocate_host)(ss_backend *b, int64_t bytes, void **memory);
    void (*release_host)(ss_backend *b, void *memory); /* NULL allowed; its transfers are over */

    /* Queues and events. The queue NULL is the default queue. */
    ss_status (*queue_create)(ss_backend *b, ss_queue **queue);
    void (*queue_destroy)(ss_backend *b, ss_queue *queue);
    ss_status (*queue_synchronize)(ss_backend *b, ss_queue *queue);
    ss_status (*event_create)(ss_backend *b, ss_event **event);
    void (*event_destroy)(ss_backend *b, ss_event *event);
    ss_status (*event_record)(ss_backend *b, ss_event *event, ss_queue *queue);
    ss_status (*queue_wait)(ss_backend *b, ss_queue *queue, ss_event *event);

    /* Optional, all four or none (NULL = none): work that is queued again and again is captured once and then
     * launched as a whole. Between begin and end the queue takes only primitives without a host result and
     * without host operands; they are recorded, with all their addresses, instead of run. Everything they
     * need besides (scratch, handles) must be there already: run the same work once before. */
    ss_status (*capture_begin)(ss_backend *b, ss_queue *queue);
    ss_status (*capture_end)(ss_backend *b, ss_queue *queue,
                             ss_graph_execution **graph); /* NULL on failure */
    ss_status (*graph_launch)(ss_backend *b, ss_queue *queue, ss_graph_execution *graph);
    void (*graph_destroy)(ss_backend *b, ss_graph_execution *graph); /* NULL allowed */

    /* Bytes. upload/download: the host memory must stay as it is until the queue is synchronised. */
    ss_status (*upload)(ss_backend *b, ss_queue *q, void *to_device, const void *from_host, int64_t bytes);
    ss_status (*download)(ss_backend *b, ss_queue *q, void *to_host, const void *from_device, int64_t bytes);
    ss_status (*copy)(ss_backend *b, ss_queue *q, void *to, const void *from, int64_t bytes);
    ss_status (*zero)(ss_backend *b, ss_queue *q, void *memory, int64_t bytes);
    ss_status (*poison)(ss_backend *b, ss_queue *q, void *memory, int64_t bytes); /* every real becomes NaN */

    /* to[i] := scale * (real)from[i] + shift; `real` need not be the backend's own. Device to device. `from`
     * may be unaligned. */
    ss_status (*convert)(ss_backend *b, ss_queue *q, void *to, ss_real real, const void *from, ss_type type,
                         int64_t count, double scale, double shift);
    /* to[i] := (real)from[i] + step * direction[i]: a weight made resident at theta + step d. `to` and
     * `direction` have the backend's real type; direction NULL = 0. */
    ss_status (*place)(ss_backend *b, ss_queue *q, void *to, const void *from, ss_type type, int64_t count,
                       double step, const void *direction);

    ss_status (*gemm)(ss_backend *b, ss_queue *q, const ss_gemm *g);
    ss_status (*pointwise)(ss_backend *b, ss_queue *q, const ss_pointwise *p);
    ss_status (*glu)(ss_backend *b, ss_queue *q, const ss_glu *p);
    ss_status (*norm)(ss_backend *b, ss_queue *q, const ss_norm *p);
    ss_status (*loss)(ss_backend *b, ss_queue *q, const ss_loss *p);
    /* Monte-Carlo Fisher targets: cross-entropy class_id[i] ~ softmax(x_i) by inversion of uniform number
     * (first_target + i); bce target[i, j] ~ Bernoulli(sigmoid(x_ij)), mse target[i, j] ~ Normal(x_ij, 1/2),
     * numbered (first_target + i) * cols + j; stream SS_STREAM_LABELS of `seed`. */
    ss_status (*sample_targets)(ss_backend *b, ss_queue *q, ss_loss_kind kind, const ss_matrix *x,
                                uint64_t seed, int64_t first_target, int64_t *class_id,
                                const ss_matrix *target);

    /* y := alpha x + beta y, lane by lane; x may broadcast rows (a bias) or lanes. beta == 0: y is not read.
     */
    ss_status (*add)(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x, double beta,
                     const ss_matrix *y);
    /* z := alpha x + beta y, or z += that, in one pass; x and y may broadcast rows or lanes. */
    ss_status (*sum)(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x, double beta,
                     const ss_matrix *y, bool accumulate, const ss_matrix *z);
    /* y (1 x cols per lane) (+)= column sums of x. */
    ss_status (*column_sum)(ss_backend *b, ss_queue *q, int64_t lanes, const ss_matrix *x, bool accumulate,
                            const ss_matrix *y);

    /* ---- Of transformers ---- */
    /* y[i, :] := alpha table[index[i], :] + beta y[i, :], lane by lane; index device [rows of y], shared,
     * below the table's rows (who makes the indices has checked them; the CPU checks again). */
    ss_status (*gather_rows)(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *table,
                             const int64_t *index, double beta, const ss_matrix *y);
    /* table[index[i], :] += alpha y[i, :] in the order of i, lane by lane: repeated rows in a fixed order. */
    ss_status (*scatter_rows)(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *y,
                              const int64_t *index, const ss_matrix *table);
    /* y (+)= the rotation of ss_op_rope (inverse: its transpose); table [tokens x r], cos then sin. */
    ss_status (*rope)(ss_backend *b, ss_queue *q, int64_t lanes, bool inverse, const ss_matrix *table,
                      const ss_heads *x, bool accumulate, const ss_heads *y);
    ss_status (*attention)(ss_backend *b, ss_queue *q, const ss_attention *p);
    /* Reals of ss_attention.workspace: a function of sweep, lanes, shapes of q and k, causal, window and cap,
     * which grows with the tokens at most linearly; no address is looked at. */
    int64_t (*attention_workspace)(ss_backend *b, const ss_attention *p);
    ss_status (*router)(ss_backend *b, ss_queue *q, const ss_router *p);
    /* z[i, :] := alpha c[i] x[i, :] + beta z[i, :]; c rows x 1 */
    ss_status (*row_scale)(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *c,
                           const ss_matrix *x, double beta, const ss_matrix *z);
    /* c[i] := alpha sum_j x[i, j] y[i, j] + beta c[i]; c rows x 1 */
    ss_status (*row_dot)(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x,
                         const ss_matrix *y, double beta, const ss_matrix *c);

    /* Long vectors: n elements of the real type, device. Scalars are host float64, accumulated in float64. */
    ss_status (*dot)(ss_backend *b, ss_queue *q, int64_t n, const void *x, const void *y, double *result);
    /* h[j] := v_j . w for j < k; columns ldv apart */
    ss_status (*block_dot)(ss_backend *b, ss_queue *q, int64_t n, int64_t k, const void *v, int64_t ldv,
                           const void *w, double *h);
    /* w := beta w + sum_j h[j] v_j; beta == 0: w is not read */
    ss_status (*block_axpy)(ss_backend *b, ss_queue *q, int64_t n, int64_t k, const void *v, int64_t ldv,
                            const double *h, double beta, void *w);
    /* V[:, 0..l) := V[:, 0..k) S in place; S k x l row-major, l <= k. Works through blocks of rows. */
    ss_status (*block_combine)(ss_backend *b, ss_queue *q, int64_t n, int64_t k, int64_t l, void *v,
                               int64_t ldv, const double *s);
    /* y := alpha x + beta y; beta == 0: y is not read; x NULL: y := beta y */
    ss_status (*axpby)(ss_backend *b, ss_queue *q, int64_t n, double alpha, const void *x, double beta,
                       void *y);
    /* Standard normals numbered by the canonical index of each segment (offset added); padding becomes zero.
     */
    ss_status (*random_normal)(ss_backend *b, ss_queue *q, const ss_layout *layout, uint64_t seed,
                               uint64_t stream, void *x);
    /* *index := first NaN or infinity among n elements, -1 if none. */
    ss_status (*find_nonfinite)(ss_backend *b, ss_queue *q, int64_t n, const void *x, int64_t *index);
    /* *count := elements whose sides of zero differ (x > 0 against y > 0): kinks of piecewise smooth
     * functions. */
    ss_status (*count_sign_changes)(ss_backend *b, ss_queue *q, int64_t n, const void *x, const void *y,
                                    int64_t *count);

    /* Dense symmetric eigenproblem, float64 whatever the real type: a (device, n x n, ld n, upper triangle
     * read) is overwritten; row i = eigenvector i if `vectors`; eigenvalues (host [n]) ascending. */
    ss_status (*symmetric_eigen)(ss_backend *b, ss_queue *q, int64_t n, double *a, bool vectors,
                                 double *eigenvalues);
} ss_backend_class;

/* The entries that a backend has once for each real type, by name and types: what the backends' files declare
 * them and fill their classes with. */
/* clang-format off */
#define SS_REAL_PRIMITIVES(row) \
    row(gemm, (ss_backend *, ss_queue *, const ss_gemm *)) \
    row(pointwise, (ss_backend *, ss_queue *, const ss_pointwise *)) \
    row(glu, (ss_backend *, ss_queue *, const ss_glu *)) \
    row(norm, (ss_backend *, ss_queue *, const ss_norm *)) \
    row(loss, (ss_backend *, ss_queue *, const ss_loss *)) \
    row(sample_targets, (ss_backend *, ss_queue *, ss_loss_kind, const ss_matrix *, uint64_t, int64_t, \
                         int64_t *, const ss_matrix *)) \
    row(add, (ss_backend *, ss_queue *, int64_t, double, const ss_matrix *, double, const ss_matrix *)) \
    row(sum, (ss_backend *, ss_queue *, int64_t, double, const ss_matrix *, double, const ss_matrix *, bool, \
              const ss_matrix *)) \
    row(column_sum, (ss_backend *, ss_queue *, int64_t, const ss_matrix *, bool, const ss_matrix *)) \
    row(gather_rows, (ss_backend *, ss_queue *, int64_t, double, const ss_matrix *, const int64_t *, double, \
                      const ss_matrix *)) \
    row(scatter_rows, (ss_backend *, ss_queue *, int64_t, double, const ss_matrix *, const int64_t *, \
                       const ss_matrix *)) \
    row(router, (ss_backend *, ss_queue *, const ss_router *)) \
    row(row_scale, (ss_backend *, ss_queue *, int64_t, double, const ss_matrix *, const ss_matrix *, double, \
                    const ss_matrix *)) \
    row(row_dot, (ss_backend *, ss_queue *, int64_t, double, const ss_matrix *, const ss_matrix *, double, \
                  const ss_matrix *)) \
    row(dot, (ss_backend *, ss_queue *, int64_t, const void *, const void *, double *)) \
    row(block_dot, (ss_backend *, ss_queue *, int64_t, int64_t, const void *, int64_t, const void *, double *)) \
    row(block_axpy, (ss_backend *, ss_queue *, int64_t, int64_t, const void *, int64_t, const double *, double, \
                     void *)) \
    row(block_combine, (ss_backend *, ss_queue *, int64_t, int64_t, int64_t, void *, int64_t, const double *)) \
    row(axpby, (ss_backend *, ss_queue *, int64_t, double, const void *, double, void *)) \
    row(random_normal, (ss_backend *, ss_queue *, const ss_layout *, uint64_t, uint64_t, void *)) \
    row(find_nonfinite, (ss_backend *, ss_queue *, int64_t, const void *, int64_t *)) \
    row(count_sign_changes, (ss_backend *, ss_queue *, int64_t, const void *, const void *, int64_t *)) \
    row(rope, (ss_backend *, ss_queue *, int64_t, bool, const ss_matrix *, const ss_heads *, bool, \
               const ss_heads *)) \
    row(attention, (ss_backend *, ss_queue *, const ss_attention *)) \
    row(place, (ss_backend *, ss_queue *, void *, const void *, ss_type, int64_t, double, const void *))
/* clang-format on */

struct ss_backend {
#ifdef __cplusplus
    const ss_backend_class *class_; /* the same; `class` is a keyword there */
#else
    const ss_backend_class *class; /* borrowed, static */
#endif
    ss_context *context;  /* borrowed */
    ss_real     real;     /* element type of matrices and vectors */
    char        name[16]; /* as asked for: "cpu", "cuda:1" */
    bool        tf32;     /* products marked low_precision may use TF32; false until its owner sets it */
    /* The implementation's own members follow in its own struct, whose first member this is. */
};

/* Opens a backend by name ("cpu", "cpu-check", "cuda", "cuda:1"). SS_ERROR_USAGE for an unknown name,
 * SS_ERROR_REFUSED when the device is not there (with the reason). */
ss_status ss_backend_open(ss_context *context, const char *name, ss_real real, ss_backend **backend);
void      ss_backend_close(ss_backend *backend); /* NULL allowed */
/* Names that can be opened in this build, for messages and --help: NULL-terminated. */
const char *const *ss_backend_names(void);

/* ---- Small dense algebra on the host (float64, LAPACK), for Rayleigh matrices ----
 * Eigenvalues ascending into w[n]; a (n x n row-major, upper triangle read) is overwritten: row i =
 * eigenvector i if `vectors`. */
ss_status ss_small_eigen(ss_context *context, int64_t n, double *a, bool vectors, double *w);

/* ---- The BLAS in use (backend/cpu/blas.c): loaded at run time, so that a misdetected core can be cured
 * first ---- For programs that want the cure (the command line does), before anything else: sets
 * OPENBLAS_CORETYPE when this CPU is one that the installed OpenBLAS is known to misdetect and the user has
 * not set it. Loads nothing. */
void ss_blas_prepare_environment(void);
/* Library, core, provider of float32 GEMM in one line; a warning in *warning (NULL if all is well). Host
 * strings owned by the library. Loads the BLAS if it is not loaded yet. */
ss_status ss_blas_describe(ss_context *context, const char **line, const char **warning);

#ifdef __cplusplus
}
#endif
#endif
