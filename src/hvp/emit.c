/* First pass of the compiler: writes every step that could be of use, in the order of the plan.
 *
 * Each micro-batch has a map from (derivative, value) to the buffer that holds it at this moment of the
 * program. A sweep looks its operands up there; an entry that is absent means "structurally zero", and an
 * output that would be zero for that reason never comes into existence. Recomputing a value simply replaces
 * its entry: later steps use the new buffer, earlier ones the old, and the lifetimes follow by themselves. */
#include "hvp/program.h"

#include <math.h>
#include <string.h>

/* Where everything of one micro-batch is now; -1 = absent. */
typedef struct batch_map {
    int64_t  first, samples; /* position in the program's samples, count */
    int32_t *value[4];       /* [n_values] per derivative; views are looked up at their base */
    int32_t *saved[2];       /* [n_nodes] primal and tangent */
    int32_t  target, row_weight;
} batch_map;

typedef struct emitter {
    ss_program     *program;
    const ss_graph *graph;
    const ss_node  *loss;      /* the problem's, or the one with sampled labels */
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

/* ---- Buffers, operands, steps ---- */

static ss_status add_buffer(ss_program *p, ss_slot slot, int64_t bytes, bool laned, int64_t lane_stride,
                            int64_t offset, int32_t *number)
{
    ss_status status = SS_OK;
    if (p->n_buffers == p->buffer_capacity) {
        int64_t capacity = p->buffer_capacity ? 2 * p->buffer_capacity : 64;
        SS_TRY(ss_reallocate(p->context, capacity, sizeof *p->buffers, (void **)&p->buffers));
        p->buffer_capacity = capacity;
    }
    p->buffers[p->n_buffers] = (ss_buffer){ .slot = slot,
                                            .laned = laned,
                                            .bytes = bytes,
                                            .lane_stride = lane_stride,
                                            .offset = offset,
                                            .first = -1,
                                            .last = -1 };
    *number = (int32_t)p->n_buffers++;
fail:
    return status;
}

static ss_status add_operand(ss_program *p, const ss_operand *operand)
{
    ss_status status = SS_OK;
    if (p->n_operands == p->operand_capacity) {
        int64_t capacity = p->operand_capacity ? 2 * p->operand_capacity : 256;
        SS_TRY(ss_reallocate(p->context, capacity, sizeof *p->operands, (void **)&p->operands));
        p->operand_capacity = capacity;
    }
    p->operands[p->n_operands++] = *operand;
fail:
    return status;
}

/* Adds a step; its operands are the ones added since `first_operand`. */
static ss_status add_step(emitter *e, const ss_step *step)
{
    ss_status     status = SS_OK;
    ss_step_list *list = e->list;
    if (list->count == list->capacity) {
        int64_t capacity = list->capacity ? 2 * list->capacity : 64;
        SS_TRY(ss_reallocate(e->program->context, capacity, sizeof *list->steps, (void **)&list->steps));
        list->capacity = capacity;
    }
    list->steps[list->count] = *step;
    list->steps[list->count].n_operands = (int32_t)(e->program->n_operands - step->first_operand);
    list->count++;
fail:
    return status;
}

static ss_step new_step(const emitter *e, ss_step_kind kind, int32_t micro_batch, int64_t samples)
{
    return (ss_step){ .kind = kind,
                      .parameter = -1,
                      .micro_batch = micro_batch,
                      .layer = -1,
                      .samples = samples,
                      .first_operand = e->program->n_operands };
}

/* A contiguous operand of one dimension. */
static ss_operand flat_operand(int32_t buffer, int64_t element, int64_t count, bool output)
{
    ss_operand operand = { .buffer = buffer, .output = output, .element = element };
    operand.tensor.rank = 1;
    operand.tensor.shape[0] = count;
    operand.tensor.stride[0] = 1;
    return operand;
}

static int32_t base_of(const ss_graph *g, int32_t value)
{
    return g->values[value].base >= 0 ? g->values[value].base : value;
}

/* The tensor of a value for `samples` samples: [samples, shape...]. */
static ss_operand value_operand(const emitter *e, int32_t which, int32_t buffer, int32_t value,
                                int64_t samples, bool output)
{
    const ss_value *v = &e->graph->values[value];
    ss_operand      operand = { .which = which, .buffer = buffer, .output = output };
    operand.tensor.rank = v->rank + 1;
    operand.tensor.shape[0] = samples;
    operand.tensor.stride[0] = e->graph->values[base_of(e->graph, value)].count;
    int64_t stride = 1;
    for (int32_t i = v->rank - 1; i >= 0; i--) {
        operand.tensor.shape[i + 1] = v->shape[i];
        operand.tensor.stride[i + 1] = v->base >= 0 ? v->view_stride[i] : stride;
        stride *= v->shape[i];
    }
    operand.element = v->base >= 0 ? v->view_offset : 0;
    return operand;
}

static ss_operand parameter_operand(const emitter *e, int32_t which, int32_t buffer, int32_t parameter,
                                    bool output)
{
    const ss_array *array = &e->graph->parameters[parameter].array;
    ss_operand      operand = { .which = which, .buffer = buffer, .output = output, .accumulate = output };
    operand.tensor.rank = array->rank;
    int64_t stride = 1;
    for (int32_t i = array->rank - 1; i >= 0; i--) {
        operand.tensor.shape[i] = array->shape[i];
        operand.tensor.stride[i] = stride;
        stride *= array->shape[i];
    }
    return operand;
}

static ss_status new_value_buffer(emitter *e, batch_map *m, int32_t value, bool laned, int32_t *buffer)
{
    ss_status status = SS_OK;
    int64_t   elements, bytes, lanes = laned ? e->program->options.lanes : 1;
    if (!ss_mul64(m->samples, e->graph->values[value].count, &elements) ||
        !ss_mul64(elements, e->real_size * lanes, &bytes))
        SS_FAIL(e->program->context, SS_ERROR_REFUSED, "a micro-batch of %lld samples overflows 63 bits",
                (long long)m->samples);
    SS_TRY(add_buffer(e->program, SS_SLOT_ARENA, bytes, laned, laned ? elements : 0, 0, buffer));
fail:
    return status;
}

/* On a device stored bytes arrive in a raw buffer before they are converted: the step's last operand. */
static ss_status add_raw(emitter *e, int64_t bytes)
{
    ss_status status = SS_OK;
    int32_t   buffer;
    if (e->program->backend->class->space == SS_MEMORY_HOST) return SS_OK;
    SS_TRY(add_buffer(e->program, SS_SLOT_ARENA, bytes, false, 0, 0, &buffer));
    ss_operand operand = flat_operand(buffer, 0, bytes, true);
    SS_TRY(add_operand(e->program, &operand));
fail:
    return status;
}

/* ---- Weights ---- */

static ss_status place_weight(emitter *e, int32_t parameter, int set)
{
    ss_status           status = SS_OK;
    ss_program         *p = e->program;
    const ss_parameter *w = &e->graph->parameters[parameter];
    int32_t             buffer;
    SS_TRY(add_buffer(p, SS_SLOT_ARENA, w->count * e->real_size, false, 0, 0, &buffer));
    ss_step step = new_step(e, SS_STEP_PLACE, -1, 0);
    step.parameter = parameter;
    step.at_point = set == 0 && w->offset >= 0;
    ss_operand operand = parameter_operand(e, SS_OPERAND(SS_PRIMAL, SS_W), buffer, parameter, true);
    operand.accumulate = false;
    SS_TRY(add_operand(p, &operand));
    SS_TRY(add_raw(e, w->count * (int64_t)ss_type_size(w->array.type)));
    SS_TRY(add_step(e, &step));
    e->weight[set][parameter] = buffer;
fail:
    return status;
}

static ss_status place_all_weights(emitter *e, int set)
{
    ss_status status = SS_OK;
    for (int32_t i = 0; i < e->graph->n_parameters; i++)
        if (e->graph->parameters[i].uses > 0) SS_TRY(place_weight(e, i, set));
fail:
    return status;
}

/* Streamed weights: resident from just before the node's sweep ... */
static ss_status stream_in(emitter *e, const ss_node *node)
{
    ss_status status = SS_OK;
    for (int32_t j = 0; e->program->options.stream_weights && j < node->n_parameters; j++)
        if (node->parameter[j] >= 0) SS_TRY(place_weight(e, node->parameter[j], e->point));
fail:
    return status;
}

/* ... to just after it: then the slot is poisoned, so that a forgotten use is seen. */
static ss_status stream_out(emitter *e, const ss_node *node)
{
    ss_status status = SS_OK;
    for (int32_t j = 0; e->program->options.stream_weights && j < node->n_parameters; j++) {
        int32_t number = node->parameter[j];
        if (number < 0) continue;
        ss_step    step = new_step(e, SS_STEP_POISON, -1, 0);
        ss_operand operand = parameter_operand(e, 0, e->weight[e->point][number], number, true);
        step.parameter = number;
        SS_TRY(add_operand(e->program, &operand));
        SS_TRY(add_step(e, &step));
        e->weight[e->point][number] = -1;
    }
fail:
    return status;
}

/* ---- Sweeps ---- */

/* The tangents and adjoints that exist for a node now. */
static ss_mask existing(const emitter *e, const batch_map *m, const ss_node *node)
{
    const ss_graph *g = e->graph;
    ss_mask         have = 0;
    for (int32_t i = 0; i < node->n_inputs; i++)
        if (m->value[SS_TANGENT][base_of(g, node->input[i])] >= 0) have |= SS_BIT(SS_TANGENT, SS_X + i);
    for (int32_t j = 0; e->tangents && j < node->n_parameters; j++)
        if (node->parameter[j] >= 0 && e->v[node->parameter[j]] >= 0) have |= SS_BIT(SS_TANGENT, SS_W + j);
    if (m->saved[1][node - g->nodes] >= 0) have |= SS_BIT(SS_TANGENT, SS_SAVED);
    if (node->output >= 0) {
        int32_t y = node->output;
        if (m->value[SS_TANGENT][y] >= 0) have |= SS_BIT(SS_TANGENT, SS_Y);
        int32_t adjoint = m->value[e->gauss_newton ? SS_ADJOINT_TANGENT : SS_ADJOINT][y];
        if (adjoint >= 0) have |= SS_BIT(SS_ADJOINT, SS_Y);
        if (!e->gauss_newton && m->value[SS_ADJOINT_TANGENT][y] >= 0)
            have |= SS_BIT(SS_ADJOINT_TANGENT, SS_Y);
    }
    return have;
}

/* Outputs that a sweep can have, whether or not they are zero or wanted. */
static ss_mask possible_outputs(const emitter *e, const ss_node *node, ss_sweep sweep)
{
    ss_mask want = 0;
    bool    is_loss = node->op->kind == SS_OP_LOSS;
    if (sweep == SS_FORWARD) {
        if (!is_loss) want |= SS_BIT(SS_PRIMAL, SS_Y);
        if (node->saved_count > 0) want |= SS_BIT(SS_PRIMAL, SS_SAVED);
        if (is_loss && e->row_loss >= 0) want |= SS_BIT(SS_PRIMAL, SS_ROW_LOSS);
    } else if (sweep == SS_TANGENT_FORWARD) {
        want |= SS_BIT(SS_TANGENT, SS_Y);
        if (node->saved_tangent_count > 0) want |= SS_BIT(SS_TANGENT, SS_SAVED);
    } else {
        ss_derivative d = sweep == SS_BACKWARD ? SS_ADJOINT : SS_ADJOINT_TANGENT;
        bool          results = sweep == SS_TANGENT_BACKWARD || e->gauss_newton ||
                       e->program->options.computation == SS_COMPUTE_GRADIENT;
        for (int32_t i = 0; i < node->n_inputs; i++)
            if (base_of(e->graph, node->input[i]) != 0) want |= SS_BIT(d, SS_X + i);
        for (int32_t j = 0; results && j < node->n_parameters; j++)
            if (node->parameter[j] >= 0 && e->hv[node->parameter[j]] >= 0) want |= SS_BIT(d, SS_W + j);
    }
    return want;
}

/* Buffer of an operand that is read; -1 = it does not exist (a missing bias, no class weights). */
static int32_t read_buffer(const emitter *e, const batch_map *m, const ss_node *node, ss_derivative d,
                           int role)
{
    int64_t number = node - e->graph->nodes;
    /* In a Gauss-Newton program the adjoints that backward reads are the laned ones. */
    ss_derivative held = d == SS_ADJOINT && e->gauss_newton ? SS_ADJOINT_TANGENT : d;
    if (role < SS_W) return m->value[held][base_of(e->graph, node->input[role - SS_X])];
    if (role < SS_Y) {
        int32_t parameter = node->parameter[role - SS_W];
        if (parameter < 0) return -1;
        return d == SS_PRIMAL ? e->weight[e->point][parameter] : e->v[parameter];
    }
    switch (role) {
    case SS_Y: return node->output >= 0 ? m->value[held][node->output] : -1;
    case SS_SAVED: return d == SS_PRIMAL || d == SS_TANGENT ? m->saved[d][number] : -1;
    case SS_TARGET: return m->target;
    case SS_ROW_WEIGHT: return m->row_weight;
    case SS_CLASS_WEIGHT: return e->class_weight;
    default: return -1;
    }
}

static ss_operand saved_operand(int32_t which, int32_t buffer, int64_t samples, int64_t count, bool output)
{
    ss_operand operand = flat_operand(buffer, 0, samples, output);
    operand.which = which;
    operand.tensor.rank = 2;
    operand.tensor.shape[1] = count;
    operand.tensor.stride[0] = count;
    operand.tensor.stride[1] = 1;
    return operand;
}

static ss_status add_read(emitter *e, const batch_map *m, const ss_node *node, int which)
{
    ss_status     status = SS_OK;
    ss_derivative d = (ss_derivative)(which / SS_ROLE_COUNT);
    int           role = which % SS_ROLE_COUNT;
    int32_t       buffer = read_buffer(e, m, node, d, role);
    ss_operand    operand;
    bool          optional =
        role == SS_CLASS_WEIGHT || (role >= SS_W && role < SS_Y && node->parameter[role - SS_W] < 0);
    if (buffer < 0) {
        if (optional) return SS_OK;
        return ss_fail(e->program->context, SS_ERROR_INTERNAL,
                       "%s (%s): operand %d is read but does not exist", node->name, node->op->name, which);
    }
    const ss_problem *problem = e->program->problem;
    if (role < SS_W)
        operand = value_operand(e, which, buffer, node->input[role - SS_X], m->samples, false);
    else if (role < SS_Y)
        operand = parameter_operand(e, which, buffer, node->parameter[role - SS_W], false);
    else if (role == SS_Y)
        operand = value_operand(e, which, buffer, node->output, m->samples, false);
    else if (role == SS_SAVED)
        operand = saved_operand(which, buffer, m->samples,
                                d == SS_PRIMAL ? node->saved_count : node->saved_tangent_count, false);
    else if (role == SS_TARGET && !e->loss->attributes.class_ids)
        operand = saved_operand(which, buffer, m->samples * problem->rows, problem->columns, false);
    else
        operand = flat_operand(
            buffer, 0, role == SS_CLASS_WEIGHT ? problem->columns : m->samples * problem->rows, false);
    operand.which = which;
    operand.accumulate = false;
    SS_TRY(add_operand(e->program, &operand));
fail:
    return status;
}

/* The buffer that an adjoint is written to: a new one for the first writer, the old one for those who add. A
 * partial view starts from zeros. */
static ss_status adjoint_buffer(emitter *e, batch_map *m, int32_t micro_batch, ss_derivative held,
                                int32_t value, bool laned, int32_t *buffer, bool *accumulate)
{
    ss_status status = SS_OK;
    int32_t   base = base_of(e->graph, value);
    *buffer = m->value[held][base];
    *accumulate = *buffer >= 0;
    if (*accumulate) return SS_OK;
    SS_TRY(new_value_buffer(e, m, base, laned, buffer));
    m->value[held][base] = *buffer;
    if (e->graph->values[value].count != e->graph->values[base].count) {
        ss_step    step = new_step(e, SS_STEP_ZERO, micro_batch, m->samples);
        ss_operand operand = value_operand(e, 0, *buffer, base, m->samples, true);
        step.laned = laned;
        SS_TRY(add_operand(e->program, &operand));
        SS_TRY(add_step(e, &step));
        *accumulate = true;
    }
fail:
    return status;
}

static ss_status prepare_adjoints(emitter *e, batch_map *m, int32_t mb, const ss_node *node, ss_mask want,
                                  ss_derivative d, bool laned, int32_t buffers[], bool accumulate[])
{
    ss_status     status = SS_OK;
    ss_derivative held = d == SS_ADJOINT && e->gauss_newton ? SS_ADJOINT_TANGENT : d;
    for (int32_t i = 0; i < node->n_inputs; i++)
        if (want & SS_BIT(d, SS_X + i))
            SS_TRY(adjoint_buffer(e, m, mb, held, node->input[i], laned, &buffers[i], &accumulate[i]));
fail:
    return status;
}

static ss_status add_output(emitter *e, batch_map *m, const ss_node *node, int which, bool laned,
                            const int32_t adjoint[], const bool accumulate[])
{
    ss_status     status = SS_OK;
    ss_program   *p = e->program;
    ss_derivative d = (ss_derivative)(which / SS_ROLE_COUNT);
    int           role = which % SS_ROLE_COUNT;
    int64_t       number = node - e->graph->nodes;
    int32_t       buffer = -1;
    ss_operand    operand;
    if (role < SS_W) {
        operand = value_operand(e, which, adjoint[role - SS_X], node->input[role - SS_X], m->samples, true);
        operand.accumulate = accumulate[role - SS_X];
    } else if (role < SS_Y) {
        operand = parameter_operand(e, which, e->hv[node->parameter[role - SS_W]],
                                    node->parameter[role - SS_W], true);
    } else if (role == SS_Y) {
        SS_TRY(new_value_buffer(e, m, node->output, laned, &buffer));
        m->value[d][node->output] = buffer;
        operand = value_operand(e, which, buffer, node->output, m->samples, true);
    } else if (role == SS_SAVED) {
        int64_t count = d == SS_PRIMAL ? node->saved_count : node->saved_tangent_count;
        int64_t lanes = laned ? p->options.lanes : 1;
        SS_TRY(add_buffer(p, SS_SLOT_ARENA, m->samples * count * e->real_size * lanes, laned,
                          laned ? m->samples * count : 0, 0, &buffer));
        m->saved[d][number] = buffer;
        operand = saved_operand(which, buffer, m->samples, count, true);
    } else {
        operand = flat_operand(e->row_loss, m->first * p->problem->rows, m->samples * p->problem->rows, true);
        operand.which = which;
    }
    SS_TRY(add_operand(p, &operand));
fail:
    return status;
}

static ss_status emit_sweep(emitter *e, int32_t mb, const ss_node *node, ss_sweep sweep)
{
    ss_status  status = SS_OK;
    batch_map *m = &e->maps[mb];
    /* The head with sampled labels is a copy outside the graph's array; its bookkeeping is the original's. */
    const ss_node *as = node == e->program->problem->loss ? e->loss : node;
    ss_mask        have = existing(e, m, node), want = 0, possible = possible_outputs(e, node, sweep);
    bool laned = sweep == SS_TANGENT_FORWARD || sweep == SS_TANGENT_BACKWARD || sweep == SS_CURVATURE ||
                 (sweep == SS_BACKWARD && e->gauss_newton);
    for (int which = 0; which < SS_OPERAND_COUNT; which++)
        if ((possible >> which & 1) && as->op->needs(as, sweep, have, (ss_mask)1 << which))
            want |= (ss_mask)1 << which;
    if (!want) return SS_OK;
    ss_mask reads = as->op->needs(as, sweep, have, want);

    int32_t adjoint[SS_MAX_INPUTS] = { 0 };
    bool    accumulate[SS_MAX_INPUTS] = { 0 };
    SS_TRY(stream_in(e, node));
    if (sweep == SS_BACKWARD || sweep == SS_TANGENT_BACKWARD || sweep == SS_CURVATURE)
        SS_TRY(prepare_adjoints(e, m, mb, node, want, sweep == SS_BACKWARD ? SS_ADJOINT : SS_ADJOINT_TANGENT,
                                laned, adjoint, accumulate));
    ss_step step = new_step(e, SS_STEP_SWEEP, mb, m->samples);
    step.sweep = sweep;
    step.node = as;
    step.layer = node->layer;
    step.laned = laned;
    step.have = have;
    for (int which = 0; which < SS_OPERAND_COUNT; which++)
        if (reads >> which & 1) SS_TRY(add_read(e, m, node, which));
    for (int which = 0; which < SS_OPERAND_COUNT; which++)
        if (want >> which & 1) SS_TRY(add_output(e, m, node, which, laned, adjoint, accumulate));
    SS_TRY(add_step(e, &step));
    SS_TRY(stream_out(e, node));
fail:
    return status;
}

/* ---- Data ---- */

static ss_status load(emitter *e, int32_t mb, ss_step_kind kind, int64_t count, int64_t element_size,
                      const ss_array *stored, int32_t *buffer)
{
    ss_status status = SS_OK;
    SS_TRY(add_buffer(e->program, SS_SLOT_ARENA, count * element_size, false, 0, 0, buffer));
    ss_step    step = new_step(e, kind, mb, mb >= 0 ? e->maps[mb].samples : 0);
    ss_operand operand = flat_operand(*buffer, 0, count, true);
    SS_TRY(add_operand(e->program, &operand));
    if (stored) SS_TRY(add_raw(e, count * (int64_t)ss_type_size(stored->type)));
    SS_TRY(add_step(e, &step));
fail:
    return status;
}

static ss_status load_input(emitter *e, int32_t mb)
{
    batch_map *m = &e->maps[mb];
    return load(e, mb, SS_STEP_LOAD_INPUT, m->samples * e->graph->values[0].count, e->real_size,
                &e->program->problem->inputs, &m->value[SS_PRIMAL][0]);
}

/* Targets, row weights and class weights: small, and the same at every point. */
static ss_status load_targets(emitter *e, int32_t mb)
{
    ss_status         status = SS_OK;
    const ss_problem *problem = e->program->problem;
    batch_map        *m = &e->maps[mb];
    int64_t           rows = m->samples * problem->rows;
    if (!e->sampled) {
        if (problem->class_ids)
            SS_TRY(load(e, mb, SS_STEP_LOAD_TARGET, rows, 8, NULL, &m->target));
        else
            SS_TRY(load(e, mb, SS_STEP_LOAD_TARGET, rows * problem->columns, e->real_size, &problem->targets,
                        &m->target));
    }
    SS_TRY(load(e, mb, SS_STEP_LOAD_WEIGHT, rows, 8, NULL, &m->row_weight));
fail:
    return status;
}

static ss_status sample_targets(emitter *e, int32_t mb)
{
    ss_status         status = SS_OK;
    const ss_problem *problem = e->program->problem;
    batch_map        *m = &e->maps[mb];
    int64_t           rows = m->samples * problem->rows;
    bool              ids = e->loss->attributes.class_ids;
    int64_t           bytes = ids ? rows * 8 : rows * problem->columns * e->real_size;
    int32_t           prediction = e->loss->input[0];
    SS_TRY(add_buffer(e->program, SS_SLOT_ARENA, bytes, false, 0, 0, &m->target));
    ss_step    step = new_step(e, SS_STEP_SAMPLE, mb, m->samples);
    ss_operand x =
        value_operand(e, SS_OPERAND(SS_PRIMAL, SS_X), m->value[SS_PRIMAL][base_of(e->graph, prediction)],
                      prediction, m->samples, false);
    ss_operand target = ids ? flat_operand(m->target, 0, rows, true)
                            : saved_operand(0, m->target, rows, problem->columns, true);
    target.which = SS_OPERAND(SS_PRIMAL, SS_TARGET);
    SS_TRY(add_operand(e->program, &x));
    SS_TRY(add_operand(e->program, &target));
    SS_TRY(add_step(e, &step));
fail:
    return status;
}

/* ---- One micro-batch ---- */

static ss_status forward_node(emitter *e, int32_t mb, int32_t node)
{
    ss_status status = SS_OK;
    if (e->sampled && node == e->graph->n_nodes - 1) SS_TRY(sample_targets(e, mb));
    SS_TRY(emit_sweep(e, mb, &e->graph->nodes[node], SS_FORWARD));
fail:
    return status;
}

/* Starts a recomputation: what was there is replaced. */
static ss_status forward(emitter *e, int32_t mb)
{
    ss_status status = SS_OK;
    SS_TRY(load_input(e, mb));
    for (int32_t i = 0; i < e->graph->n_nodes; i++) SS_TRY(forward_node(e, mb, i));
fail:
    return status;
}

static ss_status backward_node(emitter *e, int32_t mb, int32_t node)
{
    return emit_sweep(e, mb, &e->graph->nodes[node], SS_BACKWARD);
}

/* The second half of a product for one node: from the tangents to Hv. */
static ss_status second_order_node(emitter *e, int32_t mb, int32_t node, bool backward_too)
{
    ss_status      status = SS_OK;
    const ss_node *n = &e->graph->nodes[node];
    ss_product     product = e->program->options.product;
    if (n->op->kind == SS_OP_LOSS) {
        if (backward_too && !e->gauss_newton) SS_TRY(backward_node(e, mb, node));
        if (e->gauss_newton)
            SS_TRY(emit_sweep(e, mb, n, SS_CURVATURE));
        else if (product != SS_PRODUCT_RESIDUAL)
            SS_TRY(emit_sweep(e, mb, n, SS_TANGENT_BACKWARD));
    } else if (e->gauss_newton) {
        SS_TRY(backward_node(e, mb, node));
    } else {
        /* The second-order sweep first: it reads y's adjoint, whose buffer the backward sweep does not write.
         */
        if (backward_too) SS_TRY(backward_node(e, mb, node));
        SS_TRY(emit_sweep(e, mb, n, SS_TANGENT_BACKWARD));
    }
fail:
    return status;
}

static ss_status tangent_node(emitter *e, int32_t mb, int32_t node)
{
    const ss_node *n = &e->graph->nodes[node];
    return n->op->kind == SS_OP_LOSS ? SS_OK : emit_sweep(e, mb, n, SS_TANGENT_FORWARD);
}

static ss_status product_checkpointed(emitter *e, int32_t mb)
{
    ss_status status = SS_OK;
    int32_t   count = e->graph->n_nodes;
    int32_t   segment = (int32_t)e->program->options.segment;
    if (segment <= 0) segment = (int32_t)ceil(sqrt((double)count));
    SS_TRY(load_input(e, mb));
    for (int32_t i = 0; i < count; i++) {
        SS_TRY(forward_node(e, mb, i));
        SS_TRY(tangent_node(e, mb, i));
    }
    int32_t start = (count - 1) / segment * segment;
    for (int32_t end = count; end > 0; end = start, start -= segment) {
        for (int32_t i = start; end < count && i < end; i++) { /* the last segment is still there */
            SS_TRY(forward_node(e, mb, i));
            SS_TRY(tangent_node(e, mb, i));
        }
        for (int32_t i = end - 1; i >= start; i--) SS_TRY(second_order_node(e, mb, i, true));
    }
fail:
    return status;
}

static ss_cache cache_of(const ss_program *p, int32_t mb)
{
    return mb < p->options.cached ? SS_CACHE_ALL : p->options.rest;
}

/* What a micro-batch computes once per point. */
static ss_status product_prologue(emitter *e, int32_t mb)
{
    ss_status status = SS_OK;
    ss_cache  cache = cache_of(e->program, mb);
    if (cache == SS_CACHE_ALL || cache == SS_CACHE_ACTIVATIONS) {
        SS_TRY(forward(e, mb));
        for (int32_t i = e->graph->n_nodes - 1; cache == SS_CACHE_ALL && !e->gauss_newton && i >= 0; i--)
            SS_TRY(backward_node(e, mb, i));
    }
fail:
    return status;
}

/* First half of a product for one node: primal if need be, tangent. */
static ss_status first_order_node(emitter *e, int32_t mb, int32_t node)
{
    ss_status status = SS_OK;
    if (cache_of(e->program, mb) == SS_CACHE_NONE) {
        if (node == 0) SS_TRY(load_input(e, mb));
        SS_TRY(forward_node(e, mb, node));
    }
    SS_TRY(tangent_node(e, mb, node));
fail:
    return status;
}

static ss_status product_body(emitter *e, int32_t from, int32_t to)
{
    ss_status status = SS_OK;
    if (to - from == 1 && cache_of(e->program, from) == SS_CACHE_CHECKPOINT)
        return product_checkpointed(e, from);
    for (int32_t i = 0; i < e->graph->n_nodes; i++)
        for (int32_t mb = from; mb < to; mb++) SS_TRY(first_order_node(e, mb, i));
    for (int32_t i = e->graph->n_nodes - 1; i >= 0; i--)
        for (int32_t mb = from; mb < to; mb++)
            SS_TRY(second_order_node(e, mb, i, cache_of(e->program, mb) != SS_CACHE_ALL));
fail:
    return status;
}

/* ---- Regularisers ---- */

static ss_status emit_decay(emitter *e)
{
    ss_status  status = SS_OK;
    ss_product product = e->program->options.product;
    bool       of_product = e->program->options.computation == SS_COMPUTE_PRODUCT;
    bool       left_out = product == SS_PRODUCT_RESIDUAL || product == SS_PRODUCT_FISHER_EMPIRICAL ||
                    product == SS_PRODUCT_FISHER_MONTE_CARLO;
    if (of_product && left_out) return SS_OK;
    for (int32_t i = 0; i < e->graph->n_parameters; i++) {
        const ss_parameter *w = &e->graph->parameters[i];
        if (w->decay == 0 || w->offset < 0) continue;
        if (!of_product && (e->weight[0][i] < 0)) SS_TRY(place_weight(e, i, 0));
        ss_step step = new_step(e,
                                of_product || e->program->options.computation == SS_COMPUTE_GRADIENT
                                    ? SS_STEP_DECAY
                                    : SS_STEP_DECAY_LOSS,
                                -1, 0);
        step.parameter = i;
        step.laned = of_product;
        ss_operand from = parameter_operand(e, 0, of_product ? e->v[i] : e->weight[0][i], i, false);
        SS_TRY(add_operand(e->program, &from));
        if (step.kind == SS_STEP_DECAY) {
            ss_operand to = parameter_operand(e, 1, e->hv[i], i, true);
            SS_TRY(add_operand(e->program, &to));
        }
        SS_TRY(add_step(e, &step));
        if (e->program->options.computation == SS_COMPUTE_GRADIENT) { /* the loss comes with the gradient */
            ss_step    loss = new_step(e, SS_STEP_DECAY_LOSS, -1, 0);
            ss_operand of = parameter_operand(e, 0, e->weight[0][i], i, false);
            loss.parameter = i;
            SS_TRY(add_operand(e->program, &of));
            SS_TRY(add_step(e, &loss));
        }
        if (e->program->options.stream_weights) e->weight[0][i] = -1;
    }
fail:
    return status;
}

/* ---- Whole programs ---- */

static ss_status emit_product(emitter *e)
{
    ss_status   status = SS_OK;
    ss_program *p = e->program;
    for (int32_t mb = 0; mb < (int32_t)p->n_micro_batches; mb++) SS_TRY(product_prologue(e, mb));
    e->list = &p->body;
    e->tangents = true;
    ss_step zero = new_step(e, SS_STEP_ZERO_RESULT, -1, 0);
    SS_TRY(add_step(e, &zero));
    if (p->options.layer_major) {
        SS_TRY(product_body(e, 0, (int32_t)p->n_micro_batches));
    } else {
        for (int32_t mb = 0; mb < (int32_t)p->n_micro_batches; mb++) SS_TRY(product_body(e, mb, mb + 1));
    }
    SS_TRY(emit_decay(e));
fail:
    return status;
}

static ss_status emit_gradient_or_loss(emitter *e)
{
    ss_status   status = SS_OK;
    ss_program *p = e->program;
    bool        gradient = p->options.computation == SS_COMPUTE_GRADIENT;
    int64_t     rows = p->samples * p->problem->rows;
    SS_TRY(add_buffer(p, SS_SLOT_ARENA, rows * 8, false, 0, 0, &e->row_loss));
    p->row_loss_buffer = e->row_loss;
    e->list = &p->body;
    if (gradient) {
        ss_step zero = new_step(e, SS_STEP_ZERO_RESULT, -1, 0);
        SS_TRY(add_step(e, &zero));
    }
    for (int32_t mb = 0; mb < (int32_t)p->n_micro_batches; mb++) {
        SS_TRY(forward(e, mb));
        for (int32_t i = e->graph->n_nodes - 1; gradient && i >= 0; i--) SS_TRY(backward_node(e, mb, i));
    }
    SS_TRY(emit_decay(e));
fail:
    return status;
}

/* One forward pass at theta and one at the point, node by node; the inputs of kinked operators are compared.
 */
static ss_status emit_kinks(emitter *e)
{
    ss_status       status = SS_OK;
    ss_program     *p = e->program;
    const ss_graph *g = e->graph;
    e->list = &p->body;
    for (int32_t mb = 0; mb < (int32_t)p->n_micro_batches; mb++) {
        int32_t    other = (int32_t)p->n_micro_batches; /* the spare map holds the pass at theta */
        batch_map *m = &e->maps[mb], *t = &e->maps[other];
        t->first = m->first;
        t->samples = m->samples;
        SS_TRY(load_input(e, mb));
        t->value[SS_PRIMAL][0] = m->value[SS_PRIMAL][0];
        for (int32_t i = 0; i < g->n_nodes - 1; i++) {
            const ss_node *node = &g->nodes[i];
            if (node->op->kinked && node->op->kinked(node)) {
                ss_step    step = new_step(e, SS_STEP_KINKS, mb, m->samples);
                int32_t    v = node->input[0], base = base_of(g, v);
                ss_operand a = value_operand(e, 0, m->value[SS_PRIMAL][base], v, m->samples, false);
                ss_operand b = value_operand(e, 1, t->value[SS_PRIMAL][base], v, m->samples, false);
                SS_TRY(add_operand(p, &a));
                SS_TRY(add_operand(p, &b));
                SS_TRY(add_step(e, &step));
            }
            e->point = 0;
            SS_TRY(forward_node(e, mb, i));
            e->point = 1;
            SS_TRY(forward_node(e, other, i));
            e->point = 0;
        }
    }
fail:
    return status;
}

static ss_status new_index(emitter *e, int64_t count, int32_t **index)
{
    ss_status status = ss_allocate(e->program->context, count, sizeof **index, (void **)index);
    for (int64_t i = 0; status == SS_OK && i < count; i++) (*index)[i] = -1;
    return status;
}

static ss_status emitter_create(emitter *e, ss_program *p)
{
    ss_status       status = SS_OK;
    const ss_graph *g = p->problem->graph;
    *e = (emitter){ .program = p,
                    .graph = g,
                    .loss = p->problem->loss,
                    .list = &p->prologue,
                    .real_size = (int64_t)ss_real_size(p->backend->real),
                    .class_weight = -1,
                    .row_loss = -1 };
    ss_product product = p->options.product;
    bool       of_product = p->options.computation == SS_COMPUTE_PRODUCT;
    e->gauss_newton = of_product && product != SS_PRODUCT_HESSIAN && product != SS_PRODUCT_RESIDUAL;
    e->sampled = of_product && product == SS_PRODUCT_FISHER_MONTE_CARLO;
    if (e->sampled) e->loss = &p->problem->sampled_loss;
    e->n_maps = p->n_micro_batches + 1;
    SS_TRY(SS_NEW_ARRAY(p->context, e->n_maps, &e->maps));
    for (int64_t i = 0; i < e->n_maps; i++) {
        batch_map *m = &e->maps[i];
        m->first = i * p->options.micro_batch;
        m->samples = ss_min64(p->options.micro_batch, p->samples - m->first);
        m->target = m->row_weight = -1;
        for (int d = 0; d < 4; d++) SS_TRY(new_index(e, g->n_values, &m->value[d]));
        for (int d = 0; d < 2; d++) SS_TRY(new_index(e, g->n_nodes, &m->saved[d]));
    }
    for (int set = 0; set < 2; set++) SS_TRY(new_index(e, g->n_parameters, &e->weight[set]));
    SS_TRY(new_index(e, g->n_parameters, &e->v));
    SS_TRY(new_index(e, g->n_parameters, &e->hv));
    for (int32_t i = 0; i < g->n_parameters; i++) {
        if (g->parameters[i].offset < 0) continue;
        SS_TRY(add_buffer(p, SS_SLOT_V, 0, true, 0, g->parameters[i].offset, &e->v[i]));
        SS_TRY(add_buffer(p, SS_SLOT_HV, 0, true, 0, g->parameters[i].offset, &e->hv[i]));
    }
fail:
    return status;
}

static void emitter_destroy(emitter *e)
{
    ss_context *context = e->program->context;
    for (int64_t i = 0; e->maps && i < e->n_maps; i++) {
        for (int d = 0; d < 4; d++) ss_free(context, e->maps[i].value[d]);
        for (int d = 0; d < 2; d++) ss_free(context, e->maps[i].saved[d]);
    }
    ss_free(context, e->maps);
    ss_free(context, e->weight[0]);
    ss_free(context, e->weight[1]);
    ss_free(context, e->v);
    ss_free(context, e->hv);
}

ss_status ss_program_emit(ss_program *p)
{
    ss_status status = SS_OK;
    emitter   e;
    SS_TRY(emitter_create(&e, p));
    if (!p->options.stream_weights) SS_TRY(place_all_weights(&e, 0));
    if (!p->options.stream_weights && p->options.computation == SS_COMPUTE_KINKS)
        SS_TRY(place_all_weights(&e, 1));
    if (p->problem->class_weight)
        SS_TRY(load(&e, -1, SS_STEP_LOAD_CLASS, p->problem->columns, 8, NULL, &e.class_weight));
    for (int32_t mb = 0; mb < (int32_t)p->n_micro_batches; mb++) SS_TRY(load_targets(&e, mb));
    switch (p->options.computation) {
    case SS_COMPUTE_PRODUCT: SS_TRY(emit_product(&e)); break;
    case SS_COMPUTE_KINKS: SS_TRY(emit_kinks(&e)); break;
    default: SS_TRY(emit_gradient_or_loss(&e)); break;
    }
fail:
    emitter_destroy(&e);
    return status;
}
