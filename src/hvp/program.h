/* A program, not a tape: network + samples + memory budget compiled into two flat lists of steps.
 *
 * The prologue runs once per point, the body once per product (of up to `lanes` vectors). Nodes that run as
 * one are fused first (fuse.c); then compilation has four passes:
 *
 *   emit   (emit.c)   writes every step that could be of use, in the order of the plan (micro-batch by
 * micro-batch; what a micro-batch caches goes to the prologue, what it recomputes to the body), with all the
 *                     operands that exist. A tangent or adjoint that is structurally zero never comes into
 * existence. prune  (prune.c)  walks the list backwards from the wanted results and drops every output,
 * operand and step that nobody reads; `needs` of the operators is its only source. place  (arena.c)  gives
 * every buffer its lifetime and its place in one arena. bind   (run.c)    turns (slot, offset) into
 * addresses, once for the arena, at each product for v and Hv.
 *
 * Running a product is one loop over the body (run.c); nothing is allocated in it. */
#ifndef SS_HVP_PROGRAM_H
#define SS_HVP_PROGRAM_H

#include "hvp/problem.h"

typedef enum ss_computation {
    SS_COMPUTE_LOSS,
    SS_COMPUTE_GRADIENT,
    SS_COMPUTE_PRODUCT, /* options.product */
    SS_COMPUTE_KINKS    /* signs of the inputs of kinked operators at theta and at the point */
} ss_computation;

typedef struct ss_program_options {
    ss_computation computation;
    ss_product     product;        /* of SS_COMPUTE_PRODUCT */
    ss_samples     samples;        /* index NULL = all samples in order */
    int64_t        micro_batch;    /* samples, >= 1 */
    int64_t        cached;         /* micro-batches with everything cached */
    ss_cache       rest;           /* what the other micro-batches do */
    int            lanes;          /* vectors per pass, >= 1 */
    bool           stream_weights; /* weights made resident before each use and poisoned after it */
    bool layer_major;   /* (layer, micro-batch) order of the tangent sweeps instead of (micro-batch, layer) */
    int64_t  head_rows; /* tokens of a chunk of a head at least, 0 = its own choice */
    int64_t  segment;   /* nodes per checkpoint segment, 0 = about the square root of their number */
    uint64_t label_seed;  /* Monte-Carlo Fisher */
    bool     keep_logits; /* a head's forward sweep keeps its logits for the later ones */
    bool     unfused;     /* every node of the graph by itself, and all adjoints copied: what tests compare */
} ss_program_options;

/* Where a buffer lives. */
typedef enum ss_slot {
    SS_SLOT_ARENA,
    SS_SLOT_V, /* the vector(s) of the product: a parameter's tangent */
    SS_SLOT_HV /* the result(s): a parameter's second-order adjoint, or its adjoint in a gradient */
} ss_slot;

typedef struct ss_buffer {
    ss_slot slot;
    bool    laned;       /* lanes times the size */
    bool    live;        /* used by prune: somebody later reads it; afterwards: it is used at all */
    int64_t bytes;       /* of all lanes; arena buffers only */
    int64_t lane_stride; /* elements, 0 if not laned; V and HV: set at each product */
    int64_t offset;      /* bytes in the arena; elements in V and HV */
    int64_t first, last; /* positions of the first and last step that uses it (prologue before body) */
    bool    persistent;  /* written in the prologue, read in the body */
} ss_buffer;

typedef struct ss_operand {
    int32_t   which;      /* SS_OPERAND number */
    int32_t   buffer;     /* number of the buffer */
    bool      output;     /* written by the step */
    bool      accumulate; /* added to */
    bool      wide;       /* elements of 8 bytes whatever the real type: integers, row losses */
    int64_t   element;    /* offset of the first element from the buffer's start (views) */
    ss_tensor tensor;     /* shape and strides; data is set by bind */
} ss_operand;

typedef enum ss_step_kind {
    SS_STEP_SWEEP,       /* one sweep of one operator */
    SS_STEP_ZERO,        /* operand 0 := 0 */
    SS_STEP_ZERO_RESULT, /* Hv := 0, padding included */
    SS_STEP_PLACE,  /* a weight becomes resident (operand 0), from its stored bytes, at theta or at the point
                     */
    SS_STEP_POISON, /* operand 0 becomes NaN: a streamed weight after its use */
    SS_STEP_LOAD_INPUT,  /* rows of one of the inputs (operand 0) */
    SS_STEP_LOAD_TARGET, /* ids or values */
    SS_STEP_LOAD_WEIGHT, /* normalised row weights */
    SS_STEP_LOAD_CLASS,  /* class weights */
    SS_STEP_SAMPLE, /* Monte-Carlo labels (TARGET) from the prediction (X), or from the head's (X, W, bias) */
    SS_STEP_DECAY,  /* Hv += lambda v, or g += lambda w (operand 0: w or v, operand 1: the result) */
    SS_STEP_DECAY_LOSS, /* decay loss += lambda/2 w'w (operand 0) */
    SS_STEP_KINKS       /* counts elements of operand 0 and 1 on different sides of zero */
} ss_step_kind;

typedef struct ss_step {
    ss_step_kind   kind;
    ss_sweep       sweep;
    const ss_node *node;          /* of sweeps */
    int32_t        input;         /* of LOAD_INPUT: number in problem->inputs */
    int32_t        parameter;     /* of PLACE, DECAY, DECAY_LOSS; -1 otherwise */
    int32_t        micro_batch;   /* -1 = none */
    int32_t        layer;         /* -1 = none */
    int64_t        samples;       /* of this micro-batch */
    bool           at_point;      /* PLACE: theta + step direction; false: theta (kinks compare the two) */
    bool           laned;         /* the step works on all lanes */
    double         flops;         /* of matrix products, for one lane */
    int64_t        first_operand; /* in ss_program.operands */
    int32_t        n_operands;
    ss_mask        have;    /* of sweeps: tangents and adjoints that exist and are not zero */
    bool           dropped; /* by prune */
    int64_t        wait;    /* steps back to the placing that must be over; 0 = none (prefetch.c) */
    int32_t        event;   /* PLACE: number of the event that says so; the same where it is waited for */
} ss_step;

typedef struct ss_step_list {
    ss_step *steps; /* [count] */
    int64_t  count;
    int64_t  capacity;
} ss_step_list;

/* Placing ahead, on a queue beside the default one. */
typedef struct ss_prefetch {
    ss_queue  *queue;
    ss_event  *before; /* what was queued before the placing */
    ss_event **done;   /* [n_placing] */
} ss_prefetch;

typedef struct ss_program {
    ss_context        *context;
    ss_backend        *backend; /* borrowed */
    const ss_problem  *problem; /* borrowed */
    ss_graph           network; /* the problem's with nodes fused (fuse.c); owns the array of nodes alone */
    ss_program_options options; /* samples.index is the program's own copy */
    ss_node      loss;    /* the problem's as this program wants it: sampled labels, kept logits, residual */
    int64_t      samples; /* evaluated */
    int64_t      n_micro_batches;
    double       normaliser; /* of the data term */
    ss_step_list prologue, body;
    ss_buffer   *buffers; /* [n_buffers] */
    int64_t      n_buffers, buffer_capacity;
    ss_operand  *operands; /* [n_operands] of all steps */
    int64_t      n_operands, operand_capacity;
    int32_t      row_loss_buffer; /* of loss and gradient programs; -1 = none */
    int64_t      arena_bytes, persistent_bytes, staging_bytes, weight_bytes;
    int64_t      n_placing; /* placings under way at once; 0 = in their place, on the default queue */
    ss_plan      plan;
    int64_t      captured_offset; /* bytes in the arena: v and Hv of a captured body; -1 = not captured */

    /* State of execution */
    void               *arena;    /* device; NULL = no memory held */
    void               *staging;  /* host, staging_bytes */
    ss_call             call;     /* scratch: operands of the running step */
    ss_prefetch        *prefetch; /* NULL = none */
    ss_graph_execution *graph;    /* the body for graph_lanes vectors; NULL = not captured (yet) */
    int         graph_lanes;      /* vectors of the last body that ran; 0 = none since the arena was taken */
    bool        ready;            /* the prologue has run at the present point */
    double      step;             /* of the point */
    const void *direction;        /* of the point, padded, device; NULL = theta */
    double      decay_loss;       /* sum of lambda/2 w'w at the point */
    double     *row_loss;         /* host [samples * rows]: w l of the last loss or gradient */
    int64_t     kinks, units;     /* counted by SS_STEP_KINKS */
} ss_program;

/* Compiles; nothing is allocated on the device. */
ss_status ss_program_compile(ss_context *context, ss_backend *backend, const ss_problem *problem,
                             const ss_program_options *options, ss_program **program);
void      ss_program_destroy(ss_program *program); /* NULL allowed */

/* Last pass: room in the arena for a body that is captured and launched as a whole, where the backend can and
 * it pays. Captured work keeps its addresses, so v and Hv of every product are copied into and out of it. */
void ss_program_plan_capture(ss_program *program);

/* Takes and gives back the arena. ss_program_run takes it when needed. */
ss_status ss_program_acquire(ss_program *program);
void      ss_program_release(ss_program *program);

/* Moves the program to theta + step * direction (NULL = theta); the prologue runs again at the next product.
 */
void ss_program_set_point(ss_program *program, const ss_point *point);

/* Runs the prologue if need be and the body once for `lanes` <= options.lanes vectors: v and hv padded,
 * device, columns ldv and ldhv apart. LOSS: both NULL; GRADIENT: v NULL. A product is queued, on the default
 * queue; everything else is there on return. */
ss_status ss_program_run(ss_program *program, int lanes, const void *v, int64_t ldv, void *hv, int64_t ldhv);

/* Prints one line per step. */
void ss_program_print(const ss_program *program, void *file);

/* Chooses micro-batch, cache plan and lanes within `budget` bytes and compiles. */
typedef struct ss_plan_request {
    ss_computation computation;
    ss_product     product;
    ss_samples     samples;    /* index NULL = all */
    int64_t        batch_size; /* largest micro-batch, 0 = free choice */
    ss_cache       cache;      /* SS_CACHE_AUTO or what every micro-batch must do */
    int            lanes;      /* 0 = free choice */
    int64_t        budget;     /* bytes of the arena */
    int64_t        memory;     /* for the message of a refusal: bytes granted in all, ... */
    int64_t        beside;     /* ... and those that network, data and vectors take of it */
    bool           stream_weights;
    bool           for_gpu; /* one that is not here: micro-batches as it likes them */
    uint64_t       label_seed;
} ss_plan_request;
ss_status ss_program_plan(ss_context *context, ss_backend *backend, const ss_problem *problem,
                          const ss_plan_request *request, ss_program **program);

/* ---- The passes (private to hvp/) ---- */
ss_status ss_program_fuse(ss_program *program);
ss_status ss_program_emit(ss_program *program);
void      ss_program_prune(ss_program *program);
ss_status ss_program_prefetch(ss_program *program);
ss_status ss_program_place(ss_program *program);

/* Execution of prefetched placings: nothing where there are none. Begin and end enclose the work of a PLACE
 * on the queue of the prefetch, wait comes before a step. */
ss_status ss_prefetch_open(ss_program *program);
void      ss_prefetch_close(ss_program *program);
ss_status ss_prefetch_begin(ss_program *program);
ss_status ss_prefetch_end(ss_program *program, const ss_step *step);
ss_status ss_prefetch_wait(ss_program *program, const ss_step *step);

#endif
