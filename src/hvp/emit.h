/* What the files of the emitter share: its state, and the ways to add to the program.
 *
 * emit.c decides which sweeps a program consists of and in which order; emit_sweep.c writes one of them down
 * with its operands; emit_add.c adds buffers, operands and steps. Private to these files. */
#ifndef SS_HVP_EMIT_H
#define SS_HVP_EMIT_H

#include "hvp/program.h"

/* Where everything of one micro-batch is now; -1 = absent. */
typedef struct batch_map {
    int64_t  first, samples; /* position in the program's samples, count */
    int32_t *value[4];       /* [n_values] per derivative; views are looked up at their base */
    int32_t *saved[2];       /* [n_nodes] primal and tangent */
    int32_t  target, row_weight;
} batch_map;

typedef struct emitter {
    ss_program     *program;
    const ss_graph *graph;     /* the program's */
    const ss_node  *loss;      /* the program's, standing in for the graph's last node */
    ss_step_list   *list;      /* where steps go now */
    int64_t         real_size; /* bytes */
    batch_map      *maps;      /* [n_maps] */
    int64_t         n_maps;
    int32_t        *weight[2];    /* [n_parameters] resident weights at the point, at theta (kinks only) */
    int32_t        *v, *hv;       /* [n_parameters] buffers of the vector's slices; -1 = frozen */
    int32_t         class_weight; /* buffer */
    int32_t         row_loss;     /* buffer over all micro-batches */
    int             point;        /* which of `weight`: 0 = at the point, 1 = theta */
    bool            tangents;     /* parameters have tangents */
    bool            gauss_newton; /* adjoints are laned */
    bool            sampled;      /* Monte-Carlo labels */
} emitter;

/* Adds a buffer to the program. */
ss_status ss_emit_add_buffer(ss_program *p, ss_slot slot, int64_t bytes, bool laned, int64_t lane_stride,
                             int64_t offset, int32_t *number);
/* Adds an operand; the next step takes all since its first_operand. */
ss_status ss_emit_add_operand(ss_program *p, const ss_operand *operand);
/* Adds a step; its operands are the ones added since `first_operand`. */
ss_status ss_emit_add_step(emitter *e, const ss_step *step);
/* A step without operands, to be filled in. */
ss_step ss_emit_new_step(const emitter *e, ss_step_kind kind, int32_t micro_batch, int64_t samples);
/* A contiguous operand of one dimension. */
ss_operand ss_emit_flat_operand(int32_t buffer, int64_t element, int64_t count, bool output);
/* The value that owns the elements of a view, or the value itself. */
int32_t ss_emit_base_of(const ss_graph *g, int32_t value);
/* The tensor of a value for `samples` samples: [samples, shape...]. */
ss_operand ss_emit_value_operand(const emitter *e, int32_t which, int32_t buffer, int32_t value,
                                 int64_t samples, bool output);
/* The tensor of a parameter; an output adds to it. */
ss_operand ss_emit_parameter_operand(const emitter *e, int32_t which, int32_t buffer, int32_t parameter,
                                     bool output);
/* On a device stored bytes arrive in a raw buffer before they are converted: the step's last operand. */
ss_status ss_emit_add_raw(emitter *e, int64_t bytes);
/* Makes a weight resident, at the point (set 0) or at theta (set 1). */
ss_status ss_emit_place_weight(emitter *e, int32_t parameter, int set);
/* [samples, count] contiguous. */
ss_operand ss_emit_saved_operand(int32_t which, int32_t buffer, int64_t samples, int64_t count, bool output);
/* One sweep of one node for one micro-batch, with every operand and output that exists. */
ss_status ss_emit_sweep(emitter *e, int32_t mb, const ss_node *node, ss_sweep sweep);

/* Draws the micro-batch's labels from the model. */
ss_status ss_emit_sample(emitter *e, int32_t mb);

#endif
