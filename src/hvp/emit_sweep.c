/* Writes one sweep down: its operands looked up in the micro-batch's map, its outputs created there. An
 * operand that is absent from the map is structurally zero; an output that would be zero for that reason
 * never comes into existence. */
#include "hvp/emit.h"

static ss_status new_value_buffer(emitter *e, batch_map *m, int32_t value, bool laned, int32_t *buffer)
{
    ss_status status = SS_OK;
    int64_t   elements, bytes, lanes = laned ? e->program->options.lanes : 1;
    if (!ss_mul64(m->samples, e->graph->values[value].count, &elements) ||
        !ss_mul64(elements, (e->graph->values[value].integer ? 8 : e->real_size) * lanes, &bytes))
        SS_FAIL(e->program->context, SS_ERROR_REFUSED, "a micro-batch of %lld samples overflows 63 bits",
                (long long)m->samples);
    SS_TRY(ss_emit_add_buffer(e->program, SS_SLOT_ARENA, bytes, laned, laned ? elements : 0, 0, buffer));
fail:
    return status;
}

/* ---- Weights ---- */

ss_status ss_emit_place_weight(emitter *e, int32_t parameter, int set)
{
    ss_status           status = SS_OK;
    ss_program         *p = e->program;
    const ss_parameter *w = &e->graph->parameters[parameter];
    int32_t             buffer;
    SS_TRY(ss_emit_add_buffer(p, SS_SLOT_ARENA, w->count * e->real_size, false, 0, 0, &buffer));
    ss_step step = ss_emit_new_step(e, SS_STEP_PLACE, -1, 0);
    step.parameter = parameter;
    step.at_point = set == 0 && w->offset >= 0;
    ss_operand operand = ss_emit_parameter_operand(e, SS_OPERAND(SS_PRIMAL, SS_W), buffer, parameter, true);
    operand.accumulate = false;
    SS_TRY(ss_emit_add_operand(p, &operand));
    SS_TRY(ss_emit_add_raw(e, w->count * (int64_t)ss_type_size(w->array.type)));
    SS_TRY(ss_emit_add_step(e, &step));
    e->weight[set][parameter] = buffer;
fail:
    return status;
}

/* Streamed weights: resident from just before the node's sweep ... */
static ss_status stream_in(emitter *e, const ss_node *node)
{
    ss_status status = SS_OK;
    for (int32_t j = 0; e->program->options.stream_weights && j < node->n_parameters; j++)
        if (node->parameter[j] >= 0) SS_TRY(ss_emit_place_weight(e, node->parameter[j], e->point));
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
        ss_step    step = ss_emit_new_step(e, SS_STEP_POISON, -1, 0);
        ss_operand operand = ss_emit_parameter_operand(e, 0, e->weight[e->point][number], number, true);
        step.parameter = number;
        SS_TRY(ss_emit_add_operand(e->program, &operand));
        SS_TRY(ss_emit_add_step(e, &step));
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
        if (m->value[SS_TANGENT][ss_emit_base_of(g, node->input[i])] >= 0)
            have |= SS_BIT(SS_TANGENT, SS_X + i);
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

/* The loss is a copy outside the graph's array (ss_program.loss); its bookkeeping is that of the original. */
static const ss_node *acting(const emitter *e, const ss_node *node)
{
    return node == &e->graph->nodes[e->graph->n_nodes - 1] ? e->loss : node;
}

/* Outputs that a sweep can have, whether or not they are zero or wanted. */
static ss_mask possible_outputs(const emitter *e, const ss_node *node, ss_sweep sweep)
{
    ss_mask want = 0;
    bool    is_loss = node->op->kind == SS_OP_LOSS;
    if (sweep == SS_FORWARD) {
        if (!is_loss) want |= SS_BIT(SS_PRIMAL, SS_Y);
        if (acting(e, node)->saved_count > 0) want |= SS_BIT(SS_PRIMAL, SS_SAVED);
        if (is_loss && e->row_loss >= 0) want |= SS_BIT(SS_PRIMAL, SS_ROW_LOSS);
    } else if (sweep == SS_TANGENT_FORWARD) {
        want |= SS_BIT(SS_TANGENT, SS_Y);
        if (node->saved_tangent_count > 0) want |= SS_BIT(SS_TANGENT, SS_SAVED);
    } else {
        ss_derivative d = sweep == SS_BACKWARD ? SS_ADJOINT : SS_ADJOINT_TANGENT;
        bool          results = sweep == SS_TANGENT_BACKWARD || e->gauss_newton ||
                       e->program->options.computation == SS_COMPUTE_GRADIENT;
        for (int32_t i = 0; i < node->n_inputs; i++)
            if (e->graph->values[ss_emit_base_of(e->graph, node->input[i])].source < 0)
                want |= SS_BIT(d, SS_X + i);
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
    if (role < SS_W) return m->value[held][ss_emit_base_of(e->graph, node->input[role - SS_X])];
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

ss_operand ss_emit_saved_operand(int32_t which, int32_t buffer, int64_t samples, int64_t count, bool output)
{
    ss_operand operand = ss_emit_flat_operand(buffer, 0, samples, output);
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
        operand = ss_emit_value_operand(e, which, buffer, node->input[role - SS_X], m->samples, false);
    else if (role < SS_Y)
        operand = ss_emit_parameter_operand(e, which, buffer, node->parameter[role - SS_W], false);
    else if (role == SS_Y)
        operand = ss_emit_value_operand(e, which, buffer, node->output, m->samples, false);
    else if (role == SS_SAVED)
        operand = ss_emit_saved_operand(
            which, buffer, m->samples,
            d == SS_PRIMAL ? acting(e, node)->saved_count : node->saved_tangent_count, false);
    else if (role == SS_TARGET && !e->loss->attributes.class_ids)
        operand = ss_emit_saved_operand(which, buffer, m->samples * problem->rows, problem->columns, false);
    else
        operand = ss_emit_flat_operand(
            buffer, 0, role == SS_CLASS_WEIGHT ? problem->columns : m->samples * problem->rows, false);
    operand.which = which;
    operand.accumulate = false;
    if (role == SS_TARGET) operand.wide = e->loss->attributes.class_ids;
    SS_TRY(ss_emit_add_operand(e->program, &operand));
fail:
    return status;
}

/* The buffer that an adjoint is written to: a new one for the first writer, the old one for those who add. A
 * partial view starts from zeros. */
static ss_status adjoint_buffer(emitter *e, batch_map *m, int32_t micro_batch, ss_derivative held,
                                int32_t value, bool laned, int32_t *buffer, bool *accumulate)
{
    ss_status status = SS_OK;
    int32_t   base = ss_emit_base_of(e->graph, value);
    *buffer = m->value[held][base];
    *accumulate = *buffer >= 0;
    if (*accumulate) return SS_OK;
    SS_TRY(new_value_buffer(e, m, base, laned, buffer));
    m->value[held][base] = *buffer;
    if (e->graph->values[value].count != e->graph->values[base].count) {
        ss_step    step = ss_emit_new_step(e, SS_STEP_ZERO, micro_batch, m->samples);
        ss_operand operand = ss_emit_value_operand(e, 0, *buffer, base, m->samples, true);
        step.laned = laned;
        SS_TRY(ss_emit_add_operand(e->program, &operand));
        SS_TRY(ss_emit_add_step(e, &step));
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
        operand =
            ss_emit_value_operand(e, which, adjoint[role - SS_X], node->input[role - SS_X], m->samples, true);
        operand.accumulate = accumulate[role - SS_X];
    } else if (role < SS_Y) {
        operand = ss_emit_parameter_operand(e, which, e->hv[node->parameter[role - SS_W]],
                                            node->parameter[role - SS_W], true);
    } else if (role == SS_Y) {
        SS_TRY(new_value_buffer(e, m, node->output, laned, &buffer));
        m->value[d][node->output] = buffer;
        operand = ss_emit_value_operand(e, which, buffer, node->output, m->samples, true);
    } else if (role == SS_SAVED) {
        int64_t count = d == SS_PRIMAL ? acting(e, node)->saved_count : node->saved_tangent_count;
        int64_t lanes = laned ? p->options.lanes : 1;
        SS_TRY(ss_emit_add_buffer(p, SS_SLOT_ARENA, m->samples * count * e->real_size * lanes, laned,
                                  laned ? m->samples * count : 0, 0, &buffer));
        m->saved[d][number] = buffer;
        operand = ss_emit_saved_operand(which, buffer, m->samples, count, true);
    } else {
        operand = ss_emit_flat_operand(e->row_loss, m->first * p->problem->rows,
                                       m->samples * p->problem->rows, true);
        operand.which = which;
        operand.wide = true;
    }
    SS_TRY(ss_emit_add_operand(p, &operand));
fail:
    return status;
}

/* Memory for the duration of one step, if the operator asks for it. */
static ss_status add_workspace(emitter *e, const batch_map *m, const ss_node *node, ss_sweep sweep,
                               bool laned)
{
    ss_status status = SS_OK;
    int64_t   lanes = laned ? e->program->options.lanes : 1, count, bytes;
    int32_t   buffer;
    if (!node->op->workspace) return SS_OK;
    count = node->op->workspace(node, sweep, m->samples, lanes);
    if (count == 0) return SS_OK;
    if (!ss_mul64(count, e->real_size, &bytes))
        SS_FAIL(e->program->context, SS_ERROR_REFUSED, "the workspace of %s overflows 63 bits", node->name);
    SS_TRY(ss_emit_add_buffer(e->program, SS_SLOT_ARENA, bytes, false, 0, 0, &buffer));
    ss_operand operand = ss_emit_flat_operand(buffer, 0, count, true);
    operand.which = SS_OPERAND(SS_PRIMAL, SS_WORKSPACE);
    SS_TRY(ss_emit_add_operand(e->program, &operand));
fail:
    return status;
}

/* The labels of a plain loss come from its input, those of a head from the logits it forms chunk by chunk. */
ss_status ss_emit_sample(emitter *e, int32_t mb)
{
    ss_status         status = SS_OK;
    const ss_problem *problem = e->program->problem;
    const ss_node    *node = &e->graph->nodes[e->graph->n_nodes - 1];
    batch_map        *m = &e->maps[mb];
    int64_t           rows = m->samples * problem->rows;
    bool              ids = e->loss->attributes.class_ids;
    int64_t           bytes = ids ? rows * 8 : rows * problem->columns * e->real_size;
    SS_TRY(stream_in(e, node));
    ss_step step = ss_emit_new_step(e, SS_STEP_SAMPLE, mb, m->samples);
    step.node = e->loss;
    SS_TRY(add_read(e, m, node, SS_OPERAND(SS_PRIMAL, SS_X)));
    for (int j = 0; j < node->n_parameters; j++)
        SS_TRY(add_read(e, m, node, SS_OPERAND(SS_PRIMAL, SS_W + j)));
    SS_TRY(add_workspace(e, m, e->loss, SS_FORWARD, false));
    if (node->op->flops)
        step.flops = node->op->flops(node, SS_FORWARD, m->samples, 0, SS_BIT(SS_PRIMAL, SS_SAVED));
    SS_TRY(ss_emit_add_buffer(e->program, SS_SLOT_ARENA, bytes, false, 0, 0, &m->target));
    ss_operand target = ids ? ss_emit_flat_operand(m->target, 0, rows, true)
                            : ss_emit_saved_operand(0, m->target, rows, problem->columns, true);
    target.which = SS_OPERAND(SS_PRIMAL, SS_TARGET);
    SS_TRY(ss_emit_add_operand(e->program, &target));
    SS_TRY(ss_emit_add_step(e, &step));
    SS_TRY(stream_out(e, node));
fail:
    return status;
}

/* Inputs among those wanted whose adjoint, equal to the output's, takes over its memory: nobody reads the
 * output's adjoint after this sweep. That is so for second-order and laned adjoints always, for plain ones
 * where the node's other sweeps follow at once: in the prologue of a product they would come with the body.
 */
static ss_mask passing(const emitter *e, const batch_map *m, const ss_node *node, ss_mask want,
                       ss_derivative d, bool laned)
{
    const ss_graph *g = e->graph;
    ss_derivative   held = d == SS_ADJOINT && e->gauss_newton ? SS_ADJOINT_TANGENT : d;
    ss_mask         set = 0;
    if (!node->op->passes || e->program->options.unfused || (!laned && e->list != &e->program->body))
        return 0;
    for (int32_t i = 0; i < node->n_inputs && !set; i++) {
        int32_t value = node->input[i];
        bool    again = false; /* the same value twice: one of the two must be added */
        for (int32_t k = 0; k < node->n_inputs; k++) again = again || (k != i && node->input[k] == value);
        if ((want & SS_BIT(d, SS_X + i)) && node->op->passes(node, i) && !again &&
            g->values[value].base < 0 && m->value[held][value] < 0)
            set |= SS_BIT(d, SS_X + i);
    }
    return set;
}

static void pass_adjoints(const emitter *e, batch_map *m, const ss_node *node, ss_mask passed,
                          ss_derivative d)
{
    ss_derivative held = d == SS_ADJOINT && e->gauss_newton ? SS_ADJOINT_TANGENT : d;
    for (int32_t i = 0; i < node->n_inputs; i++)
        if (passed & SS_BIT(d, SS_X + i)) m->value[held][node->input[i]] = m->value[held][node->output];
}

ss_status ss_emit_sweep(emitter *e, int32_t mb, const ss_node *node, ss_sweep sweep)
{
    ss_status      status = SS_OK;
    batch_map     *m = &e->maps[mb];
    const ss_node *as = acting(e, node);
    ss_mask        have = existing(e, m, node), want = 0, possible = possible_outputs(e, node, sweep);
    bool laned = sweep == SS_TANGENT_FORWARD || sweep == SS_TANGENT_BACKWARD || sweep == SS_CURVATURE ||
                 (sweep == SS_BACKWARD && e->gauss_newton);
    for (int which = 0; which < SS_OPERAND_COUNT; which++)
        if ((possible >> which & 1) && as->op->needs(as, sweep, have, (ss_mask)1 << which))
            want |= (ss_mask)1 << which;
    bool          back = sweep == SS_BACKWARD || sweep == SS_TANGENT_BACKWARD || sweep == SS_CURVATURE;
    ss_derivative d = sweep == SS_BACKWARD ? SS_ADJOINT : SS_ADJOINT_TANGENT;
    ss_mask       passed = back ? passing(e, m, node, want, d, laned) : 0;
    want &= ~passed;
    if (!want) {
        pass_adjoints(e, m, node, passed, d);
        return SS_OK;
    }
    ss_mask reads = as->op->needs(as, sweep, have, want);

    int32_t adjoint[SS_MAX_INPUTS] = { 0 };
    bool    accumulate[SS_MAX_INPUTS] = { 0 };
    SS_TRY(stream_in(e, node));
    if (back) SS_TRY(prepare_adjoints(e, m, mb, node, want, d, laned, adjoint, accumulate));
    ss_step step = ss_emit_new_step(e, SS_STEP_SWEEP, mb, m->samples);
    step.sweep = sweep;
    step.node = as;
    step.layer = node->layer;
    step.laned = laned;
    step.have = have;
    for (int which = 0; which < SS_OPERAND_COUNT; which++)
        if (reads >> which & 1) SS_TRY(add_read(e, m, node, which));
    for (int which = 0; which < SS_OPERAND_COUNT; which++)
        if (want >> which & 1) SS_TRY(add_output(e, m, node, which, laned, adjoint, accumulate));
    SS_TRY(add_workspace(e, m, as, sweep, laned));
    SS_TRY(ss_emit_add_step(e, &step));
    SS_TRY(stream_out(e, node));
    pass_adjoints(e, m, node, passed, d);
fail:
    return status;
}
