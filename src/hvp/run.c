/* Last pass and execution: binds addresses and runs the steps.
 *
 * Arena operands are bound once when the arena is taken, the slices of v and Hv at each product. The loop
 * allocates nothing.
 *
 * A body of sweeps alone, on a backend that can capture, is run step by step the first time, so that the
 * backend has all it needs, captured the second time, and launched as a whole from then on. */
#include "hvp/inputs.h"
#include "hvp/program.h"
#include "ops/head.h"

#include <string.h>

/* ---- Memory ---- */

static int64_t element_size(const ss_program *p, const ss_operand *operand)
{
    return operand->wide ? 8 : (int64_t)ss_real_size(p->backend->real);
}

static void bind_list(ss_program *p, const ss_step_list *list)
{
    for (int64_t i = 0; i < list->count; i++)
        for (int32_t j = 0; j < list->steps[i].n_operands; j++) {
            ss_operand      *operand = &p->operands[list->steps[i].first_operand + j];
            const ss_buffer *b = &p->buffers[operand->buffer];
            operand->tensor.accumulate = operand->accumulate;
            if (b->slot != SS_SLOT_ARENA) continue;
            operand->tensor.data = (char *)p->arena + b->offset + operand->element * element_size(p, operand);
            operand->tensor.lane_stride = b->lane_stride;
        }
}

ss_status ss_program_acquire(ss_program *p)
{
    ss_status status = SS_OK;
    if (p->arena) return SS_OK;
    int64_t rows = p->samples * p->problem->rows;
    if (!p->staging) SS_TRY(ss_allocate(p->context, p->staging_bytes, 1, &p->staging));
    if (!p->row_loss && p->row_loss_buffer >= 0) SS_TRY(SS_NEW_ARRAY(p->context, rows, &p->row_loss));
    SS_TRY(ss_prefetch_open(p));
    SS_TRY(p->backend->class->allocate(p->backend, p->arena_bytes, &p->arena));
    bind_list(p, &p->prologue);
    bind_list(p, &p->body);
    p->ready = false;
fail:
    return status;
}

void ss_program_release(ss_program *p)
{
    if (p->graph) p->backend->class->graph_destroy(p->backend, p->graph);
    p->graph = NULL;
    p->graph_lanes = 0;
    ss_prefetch_close(p);
    if (p->arena) p->backend->class->release(p->backend, p->arena);
    ss_free(p->context, p->staging);
    ss_free(p->context, p->row_loss);
    p->arena = p->staging = NULL;
    p->row_loss = NULL;
    p->ready = false;
}

void ss_program_set_point(ss_program *p, const ss_point *point)
{
    bool moved = point && point->direction && point->step != 0;
    /* The direction's contents may have changed under the same address, so only "still at theta" is sure. */
    if (!moved && !p->direction) return;
    p->step = moved ? point->step : 0;
    p->direction = moved ? point->direction : NULL;
    p->ready = false;
}

/* ---- Calls ---- */

/* The step's operands in the scratch call. */
static void fill_call(ss_program *p, const ss_step *step, int64_t lanes)
{
    const ss_operand *operands = &p->operands[step->first_operand];
    ss_call          *call = &p->call;
    call->node = step->node;
    call->backend = p->backend;
    call->queue = NULL;
    call->lanes = lanes;
    call->fisher = p->options.product == SS_PRODUCT_FISHER_EMPIRICAL ||
                   p->options.product == SS_PRODUCT_FISHER_MONTE_CARLO;
    for (int32_t j = 0; j < step->n_operands; j++) call->operand[operands[j].which] = operands[j].tensor;
}

static void clear_call(ss_program *p, const ss_step *step)
{
    const ss_operand *operands = &p->operands[step->first_operand];
    for (int32_t j = 0; j < step->n_operands; j++) p->call.operand[operands[j].which].data = NULL;
}

/* ---- Data ---- */

static int64_t sample_at(const ss_program *p, int64_t i)
{
    return p->options.samples.index ? p->options.samples.index[i] : i;
}

/* The stored rows of a micro-batch: in place when they lie together, else gathered into the staging memory.
 */
static const void *gather(ss_program *p, const ss_step *step, const void *data, int64_t row_bytes)
{
    int64_t first = (int64_t)step->micro_batch * p->options.micro_batch;
    if (!p->options.samples.index) return (const char *)data + first * row_bytes;
    for (int64_t i = 0; i < step->samples; i++)
        memcpy((char *)p->staging + i * row_bytes, (const char *)data + sample_at(p, first + i) * row_bytes,
               (size_t)row_bytes);
    return p->staging;
}

/* Stored elements at `from` to the real type, by way of a raw buffer where the host's memory is out of the
 * device's reach. */
static ss_status convert_rows(ss_program *p, const ss_step *step, const void *from, const ss_array *array,
                              double scale, double shift)
{
    ss_status         status = SS_OK;
    ss_backend       *b = p->backend;
    const ss_operand *to = &p->operands[step->first_operand];
    int64_t           count = to->tensor.shape[0];
    if (b->class->space != SS_MEMORY_HOST) {
        SS_TRY(
            b->class->upload(b, NULL, to[1].tensor.data, from, count * (int64_t)ss_type_size(array->type)));
        SS_TRY(b->class->queue_synchronize(b, NULL)); /* the staging memory is used again */
        from = to[1].tensor.data;
    }
    SS_TRY(b->class->convert(b, NULL, to->tensor.data, b->real, from, array->type, count, scale, shift));
fail:
    return status;
}

static ss_status load_rows(ss_program *p, const ss_step *step, const ss_array *array, double scale,
                           double shift)
{
    int64_t count = p->operands[step->first_operand].tensor.shape[0] / step->samples;
    return convert_rows(p, step, gather(p, step, array->data, count * (int64_t)ss_type_size(array->type)),
                        array, scale, shift);
}

static ss_status upload_now(ss_program *p, void *to, const void *from, int64_t bytes)
{
    ss_status status = SS_OK;
    SS_TRY(p->backend->class->upload(p->backend, NULL, to, from, bytes));
    SS_TRY(p->backend->class->queue_synchronize(p->backend, NULL));
fail:
    return status;
}

/* One input: real rows in place where they can be read as they are stored, everything else by way of the
 * staging memory. */
static ss_status load_input(ss_program *p, const ss_step *step)
{
    const ss_problem_input *in = &p->problem->inputs[step->input];
    const ss_operand       *to = &p->operands[step->first_operand];
    int64_t bytes = ss_problem_input_bytes(in), first = (int64_t)step->micro_batch * p->options.micro_batch;
    if (in->source == SS_SOURCE_INPUT) return load_rows(p, step, &in->array, in->scale, in->shift);
    for (int64_t i = 0; i < step->samples; i++)
        ss_problem_fill_input(in, sample_at(p, first + i), (char *)p->staging + i * bytes);
    if (!in->real) return upload_now(p, to->tensor.data, p->staging, step->samples * bytes);
    return convert_rows(p, step, p->staging, &in->array, in->scale, in->shift);
}

static ss_status load_weights(ss_program *p, const ss_step *step)
{
    int64_t rows = p->problem->rows, first = (int64_t)step->micro_batch * p->options.micro_batch;
    double *weight = p->staging;
    for (int64_t i = 0; i < step->samples; i++)
        for (int64_t j = 0; j < rows; j++)
            weight[i * rows + j] = p->problem->row_weight[sample_at(p, first + i) * rows + j] / p->normaliser;
    return upload_now(p, p->operands[step->first_operand].tensor.data, weight, step->samples * rows * 8);
}

static ss_status load_target(ss_program *p, const ss_step *step)
{
    if (!p->problem->class_ids) return load_rows(p, step, &p->problem->targets, 1, 0);
    int64_t     bytes = step->samples * p->problem->rows * 8;
    const void *ids = gather(p, step, p->problem->ids, bytes / step->samples);
    return upload_now(p, p->operands[step->first_operand].tensor.data, ids, bytes);
}

static ss_status place_weight(ss_program *p, const ss_step *step)
{
    ss_status           status = SS_OK;
    ss_backend         *b = p->backend;
    const ss_parameter *w = &p->problem->graph->parameters[step->parameter];
    const ss_operand   *to = &p->operands[step->first_operand];
    const void         *from = w->array.data, *direction = NULL;
    ss_queue           *queue = p->prefetch ? p->prefetch->queue : NULL;
    SS_TRY(ss_prefetch_begin(p));
    if (b->class->space != SS_MEMORY_HOST) {
        SS_TRY(b->class->upload(b, queue, to[1].tensor.data, from,
                                w->count * (int64_t)ss_type_size(w->array.type)));
        from = to[1].tensor.data;
    }
    if (step->at_point && p->direction)
        direction = (const char *)p->direction + w->offset * (int64_t)ss_real_size(b->real);
    SS_TRY(b->class->place(b, queue, to->tensor.data, from, w->array.type, w->count, p->step, direction));
    SS_TRY(ss_prefetch_end(p, step));
fail:
    return status;
}

/* Labels are numbered by the sample's place in the data set, so that subsets draw the same ones: one call for
 * each run of neighbours. x: predictions of rows `first` ... of the micro-batch. */
static ss_status draw_rows(ss_program *p, const ss_step *step, const ss_operand *target, const ss_matrix *x,
                           int64_t first)
{
    ss_status         status = SS_OK;
    ss_backend       *b = p->backend;
    const ss_problem *problem = p->problem;
    int64_t           from = (int64_t)step->micro_batch * p->options.micro_batch, rows = problem->rows;
    int64_t           size = (int64_t)ss_real_size(b->real), columns = problem->columns;
    bool              ids = p->loss.attributes.class_ids;
    for (int64_t i = 0, end; i < x->rows; i = end) {
        int64_t   row = first + i, number = sample_at(p, from + row / rows) * rows + row % rows;
        ss_matrix part = *x, values = { 0 };
        for (end = i + 1; end < x->rows; end++) {
            int64_t next = first + end;
            if (sample_at(p, from + next / rows) * rows + next % rows != number + end - i) break;
        }
        part.data = (char *)x->data + i * x->ld * size;
        part.rows = end - i;
        if (!ids) {
            values = part;
            values.ld = columns;
            values.data = (char *)target->tensor.data + row * columns * size;
        }
        SS_TRY(b->class->sample_targets(b, NULL, problem->kind, &part, p->options.label_seed, number,
                                        ids ? (int64_t *)target->tensor.data + row : NULL,
                                        ids ? NULL : &values));
    }
fail:
    return status;
}

static ss_status sample_targets(ss_program *p, const ss_step *step)
{
    ss_status         status = SS_OK;
    const ss_operand *operands = &p->operands[step->first_operand];
    const ss_operand *target = &operands[step->n_operands - 1];
    int64_t           rows = step->samples * p->problem->rows;
    ss_matrix         x;
    if (step->node->op != &ss_op_head) {
        SS_TRY(ss_tensor_matrix(p->context, &operands->tensor, p->problem->columns, &x));
        return draw_rows(p, step, target, &x, 0);
    }
    int64_t chunk = ss_head_chunk(step->node, rows);
    fill_call(p, step, 1);
    for (int64_t first = 0; first < rows && status == SS_OK; first += chunk) {
        status = ss_head_logits(&p->call, first, ss_min64(chunk, rows - first), &x);
        if (status == SS_OK) status = draw_rows(p, step, target, &x, first);
    }
    clear_call(p, step);
fail:
    return status;
}

/* ---- The other steps ---- */

static ss_status count_kinks(ss_program *p, const ss_step *step)
{
    ss_status         status = SS_OK;
    const ss_operand *a = &p->operands[step->first_operand], *b = a + 1;
    ss_matrix         at_point, at_theta;
    int64_t columns = a->tensor.shape[a->tensor.rank - 1], size = (int64_t)ss_real_size(p->backend->real);
    SS_TRY(ss_tensor_matrix(p->context, &a->tensor, columns, &at_point));
    SS_TRY(ss_tensor_matrix(p->context, &b->tensor, columns, &at_theta));
    bool    whole = at_point.ld == columns && at_theta.ld == columns;
    int64_t calls = whole ? 1 : at_point.rows, n = whole ? at_point.rows * columns : columns;
    for (int64_t i = 0; i < calls; i++) {
        int64_t changed = 0;
        SS_TRY(p->backend->class->count_sign_changes(
            p->backend, NULL, n, (const char *)at_point.data + i * at_point.ld * size,
            (const char *)at_theta.data + i * at_theta.ld * size, &changed));
        p->kinks += changed;
        p->units += n;
    }
fail:
    return status;
}

static ss_status run_decay(ss_program *p, const ss_step *step, int64_t lanes)
{
    ss_status           status = SS_OK;
    ss_backend         *b = p->backend;
    const ss_parameter *w = &p->problem->graph->parameters[step->parameter];
    const ss_operand   *from = &p->operands[step->first_operand], *to = from + 1;
    int64_t             size = (int64_t)ss_real_size(b->real);
    if (step->kind == SS_STEP_DECAY_LOSS) {
        double square = 0;
        SS_TRY(b->class->dot(b, NULL, w->count, from->tensor.data, from->tensor.data, &square));
        p->decay_loss += w->decay / 2 * square;
        return SS_OK;
    }
    for (int64_t l = 0; l < lanes; l++)
        SS_TRY(b->class->axpby(b, NULL, w->count, w->decay,
                               (const char *)from->tensor.data + l * from->tensor.lane_stride * size, 1,
                               (char *)to->tensor.data + l * to->tensor.lane_stride * size));
fail:
    return status;
}

static ss_status run_sweep(ss_program *p, const ss_step *step, int64_t lanes)
{
    fill_call(p, step, lanes);
    ss_status status = step->node->op->sweep(&p->call, step->sweep);
    clear_call(p, step);
    return status;
}

/* The vectors of this product. */
typedef struct vectors {
    const void *v;
    int64_t     ldv;
    void       *hv;
    int64_t     ldhv;
    int64_t     lanes;
} vectors;

static void bind_vectors(ss_program *p, const ss_step *step, const vectors *x)
{
    int64_t size = (int64_t)ss_real_size(p->backend->real);
    for (int32_t j = 0; j < step->n_operands; j++) {
        ss_operand      *operand = &p->operands[step->first_operand + j];
        const ss_buffer *b = &p->buffers[operand->buffer];
        if (b->slot == SS_SLOT_ARENA) continue;
        char *base = b->slot == SS_SLOT_V ? (char *)x->v : x->hv;
        operand->tensor.data = base + (b->offset + operand->element) * size;
        operand->tensor.lane_stride = b->slot == SS_SLOT_V ? x->ldv : x->ldhv;
    }
}

static ss_status zero_result(ss_program *p, const vectors *x)
{
    ss_status status = SS_OK;
    int64_t   size = (int64_t)ss_real_size(p->backend->real);
    for (int64_t l = 0; l < x->lanes; l++)
        SS_TRY(p->backend->class->zero(p->backend, NULL, (char *)x->hv + l * x->ldhv * size,
                                       p->problem->graph->layout.padded * size));
fail:
    return status;
}

static ss_status run_step(ss_program *p, const ss_step *step, const vectors *x)
{
    ss_backend       *b = p->backend;
    const ss_operand *operand = &p->operands[step->first_operand];
    int64_t           lanes = step->laned ? x->lanes : 1;
    bind_vectors(p, step, x);
    switch (step->kind) {
    case SS_STEP_SWEEP: return run_sweep(p, step, lanes);
    case SS_STEP_ZERO:
        return b->class->zero(b, NULL, operand->tensor.data, p->buffers[operand->buffer].bytes);
    case SS_STEP_ZERO_RESULT: return zero_result(p, x);
    case SS_STEP_PLACE: return place_weight(p, step);
    case SS_STEP_POISON:
        return b->class->poison(b, NULL, operand->tensor.data, p->buffers[operand->buffer].bytes);
    case SS_STEP_LOAD_INPUT: return load_input(p, step);
    case SS_STEP_LOAD_TARGET: return load_target(p, step);
    case SS_STEP_LOAD_WEIGHT: return load_weights(p, step);
    case SS_STEP_LOAD_CLASS:
        return upload_now(p, operand->tensor.data, p->problem->class_weight, p->problem->columns * 8);
    case SS_STEP_SAMPLE: return sample_targets(p, step);
    case SS_STEP_DECAY:
    case SS_STEP_DECAY_LOSS: return run_decay(p, step, lanes);
    case SS_STEP_KINKS: return count_kinks(p, step);
    }
    return SS_ERROR_INTERNAL;
}

static ss_status run_list(ss_program *p, const ss_step_list *list, const vectors *x)
{
    ss_status status = SS_OK;
    for (int64_t i = 0; i < list->count; i++) {
        SS_TRY(ss_prefetch_wait(p, &list->steps[i]));
        SS_TRY(run_step(p, &list->steps[i], x));
    }
fail:
    return status;
}

/* ---- Captured bodies ---- */

/* Copies of v and Hv beyond this take longer than the launches that a capture saves. */
#define CAPTURED_VECTORS ((int64_t)64 << 20) /* bytes */

static bool can_capture(const ss_step *step)
{
    switch (step->kind) {
    case SS_STEP_SWEEP:
    case SS_STEP_ZERO:
    case SS_STEP_ZERO_RESULT:
    case SS_STEP_POISON:
    case SS_STEP_DECAY: return true;
    default: return false; /* bytes of the host, or results for it */
    }
}

static int64_t vectors_bytes(const ss_program *p)
{
    return p->options.lanes * p->problem->graph->layout.padded * (int64_t)ss_real_size(p->backend->real);
}

void ss_program_plan_capture(ss_program *p)
{
    p->captured_offset = -1;
    if (!p->backend->class->capture_begin || p->options.computation != SS_COMPUTE_PRODUCT) return;
    if (2 * vectors_bytes(p) > CAPTURED_VECTORS) return;
    for (int64_t i = 0; i < p->body.count; i++)
        if (!can_capture(&p->body.steps[i])) return;
    p->captured_offset = ss_round_up(p->arena_bytes, SS_LAYOUT_ALIGNMENT * 8);
    p->arena_bytes = p->captured_offset + 2 * vectors_bytes(p);
}

static ss_status capture(ss_program *p, const vectors *own)
{
    ss_backend *b = p->backend;
    ss_status   status = b->class->capture_begin(b, NULL), ended;
    if (status != SS_OK) return status;
    status = run_list(p, &p->body, own);
    ended = b->class->capture_end(b, NULL, &p->graph);
    if (status == SS_OK) return ended;
    b->class->graph_destroy(b, p->graph);
    p->graph = NULL;
    return status;
}

static ss_status copy_lanes(ss_program *p, int64_t lanes, void *to, int64_t ldto, const void *from,
                            int64_t ldfrom)
{
    ss_status status = SS_OK;
    int64_t   size = (int64_t)ss_real_size(p->backend->real);
    for (int64_t l = 0; l < lanes; l++)
        SS_TRY(p->backend->class->copy(p->backend, NULL, (char *)to + l * ldto * size,
                                       (const char *)from + l * ldfrom * size,
                                       p->problem->graph->layout.padded * size));
fail:
    return status;
}

/* Captures the body, unless that has failed before. What a driver refuses to capture runs step by step:
 * slower where kernels are short, and no reason to give up a product. */
static ss_status capture_once(ss_program *p, const vectors *own)
{
    if (p->graph || p->capture_failed) return SS_OK;
    ss_status status = capture(p, own);
    if (status != SS_ERROR_DEVICE) return status;
    ss_log(p->context, SS_LOG_WARNING, "work is not launched as a whole: %s", ss_context_message(p->context));
    ss_context_clear_message(p->context);
    p->capture_failed = true;
    return SS_OK;
}

/* The body, captured if this number of vectors has run before. */
static ss_status run_body(ss_program *p, const vectors *x)
{
    ss_status status = SS_OK;
    bool      again = p->captured_offset >= 0 && p->graph_lanes == x->lanes;
    if (!again) {
        if (p->graph) p->backend->class->graph_destroy(p->backend, p->graph);
        p->graph = NULL;
        p->graph_lanes = (int)x->lanes;
        return run_list(p, &p->body, x);
    }
    int64_t padded = p->problem->graph->layout.padded;
    char   *v = (char *)p->arena + p->captured_offset, *hv = v + vectors_bytes(p);
    vectors own = { .v = v, .ldv = padded, .hv = hv, .ldhv = padded, .lanes = x->lanes };
    SS_TRY(capture_once(p, &own));
    if (!p->graph) return run_list(p, &p->body, x);
    SS_TRY(copy_lanes(p, x->lanes, v, padded, x->v, x->ldv));
    SS_TRY(p->backend->class->graph_launch(p->backend, NULL, p->graph));
    SS_TRY(copy_lanes(p, x->lanes, x->hv, x->ldhv, hv, padded));
fail:
    return status;
}

ss_status ss_program_run(ss_program *p, int lanes, const void *v, int64_t ldv, void *hv, int64_t ldhv)
{
    ss_status status = SS_OK;
    vectors   x = { .v = v, .ldv = ldv, .hv = hv, .ldhv = ldhv, .lanes = lanes };
    if (lanes < 1 || lanes > p->options.lanes)
        SS_FAIL(p->context, SS_ERROR_INTERNAL, "%d lanes asked of a program for %d", lanes, p->options.lanes);
    SS_TRY(ss_program_acquire(p));
    if (!p->ready) {
        SS_TRY(run_list(p, &p->prologue, &x));
        p->ready = true;
    }
    p->decay_loss = p->problem->frozen_decay;
    p->kinks = p->units = 0;
    SS_TRY(run_body(p, &x));
    if (p->options.computation == SS_COMPUTE_PRODUCT) return SS_OK;
    if (p->row_loss)
        SS_TRY(p->backend->class->download(p->backend, NULL, p->row_loss,
                                           (char *)p->arena + p->buffers[p->row_loss_buffer].offset,
                                           p->samples * p->problem->rows * 8));
    SS_TRY(p->backend->class->queue_synchronize(p->backend, NULL));
fail:
    return status;
}
