/* First pass of the compiler: writes every step that could be of use, in the order of the plan.
 *
 * Each micro-batch has a map from (derivative, value) to the buffer that holds it at this moment of the
 * program. A sweep looks its operands up there; an entry that is absent means "structurally zero", and an
 * output that would be zero for that reason never comes into existence. Recomputing a value simply replaces
 * its entry: later steps use the new buffer, earlier ones the old, and the lifetimes follow by themselves. */
#include "hvp/emit.h"
#include "ops/head.h"

#include <math.h>

/* ---- Weights and data ---- */

static ss_status place_all_weights(emitter *e, int set)
{
    ss_status status = SS_OK;
    for (int32_t i = 0; i < e->graph->n_parameters; i++)
        if (e->graph->parameters[i].uses > 0) SS_TRY(ss_emit_place_weight(e, i, set));
fail:
    return status;
}

static ss_status load(emitter *e, int32_t mb, ss_step_kind kind, int64_t count, int64_t element_size,
                      const ss_array *stored, int32_t *buffer)
{
    ss_status status = SS_OK;
    SS_TRY(ss_emit_add_buffer(e->program, SS_SLOT_ARENA, count * element_size, false, 0, 0, buffer));
    ss_step    step = ss_emit_new_step(e, kind, mb, mb >= 0 ? e->maps[mb].samples : 0);
    ss_operand operand = ss_emit_flat_operand(*buffer, 0, count, true);
    SS_TRY(ss_emit_add_operand(e->program, &operand));
    if (stored) SS_TRY(ss_emit_add_raw(e, count * (int64_t)ss_type_size(stored->type)));
    SS_TRY(ss_emit_add_step(e, &step));
fail:
    return status;
}

/* Rows of all inputs: reals converted from their stored type, integers as int64. */
static ss_status load_inputs(emitter *e, int32_t mb)
{
    ss_status  status = SS_OK;
    batch_map *m = &e->maps[mb];
    for (int32_t i = 0; i < e->graph->n_inputs; i++) {
        const ss_problem_input *in = &e->program->problem->inputs[i];
        int32_t                *buffer = &m->value[SS_PRIMAL][in->value];
        SS_TRY(load(e, mb, SS_STEP_LOAD_INPUT, m->samples * in->count, in->real ? e->real_size : 8,
                    in->real ? &in->array : NULL, buffer));
        e->list->steps[e->list->count - 1].input = i;
    }
fail:
    return status;
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

/* ---- One micro-batch ---- */

static ss_status forward_node(emitter *e, int32_t mb, int32_t node)
{
    ss_status status = SS_OK;
    if (e->sampled && node == e->graph->n_nodes - 1) SS_TRY(ss_emit_sample(e, mb));
    SS_TRY(ss_emit_sweep(e, mb, &e->graph->nodes[node], SS_FORWARD));
fail:
    return status;
}

/* Starts a recomputation: what was there is replaced. */
static ss_status forward(emitter *e, int32_t mb)
{
    ss_status status = SS_OK;
    SS_TRY(load_inputs(e, mb));
    for (int32_t i = 0; i < e->graph->n_nodes; i++) SS_TRY(forward_node(e, mb, i));
fail:
    return status;
}

static ss_status backward_node(emitter *e, int32_t mb, int32_t node)
{
    return ss_emit_sweep(e, mb, &e->graph->nodes[node], SS_BACKWARD);
}

/* The second half of a product for one node: from the tangents to Hv. */
static ss_status second_order_node(emitter *e, int32_t mb, int32_t node, bool backward_too)
{
    ss_status      status = SS_OK;
    const ss_node *n = &e->graph->nodes[node];
    ss_product     product = e->program->options.product;
    if (n->op->kind == SS_OP_LOSS) {
        /* Of a plain loss nothing is left in the residual, of a head the products with its weights. */
        bool left_out = product == SS_PRODUCT_RESIDUAL && n->op == &ss_op_loss;
        if (backward_too && !e->gauss_newton) SS_TRY(backward_node(e, mb, node));
        if (e->gauss_newton)
            SS_TRY(ss_emit_sweep(e, mb, n, SS_CURVATURE));
        else if (!left_out)
            SS_TRY(ss_emit_sweep(e, mb, n, SS_TANGENT_BACKWARD));
    } else if (e->gauss_newton) {
        SS_TRY(backward_node(e, mb, node));
    } else {
        /* The second-order sweep first: it reads y's adjoint, whose buffer the backward sweep does not write.
         */
        if (backward_too) SS_TRY(backward_node(e, mb, node));
        SS_TRY(ss_emit_sweep(e, mb, n, SS_TANGENT_BACKWARD));
    }
fail:
    return status;
}

static ss_status tangent_node(emitter *e, int32_t mb, int32_t node)
{
    const ss_node *n = &e->graph->nodes[node];
    return n->op->kind == SS_OP_LOSS ? SS_OK : ss_emit_sweep(e, mb, n, SS_TANGENT_FORWARD);
}

static ss_status product_checkpointed(emitter *e, int32_t mb)
{
    ss_status status = SS_OK;
    int32_t   count = e->graph->n_nodes;
    int32_t   segment = (int32_t)e->program->options.segment;
    if (segment <= 0) segment = (int32_t)ceil(sqrt((double)count));
    SS_TRY(load_inputs(e, mb));
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
        if (node == 0) SS_TRY(load_inputs(e, mb));
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
        if (!of_product && (e->weight[0][i] < 0)) SS_TRY(ss_emit_place_weight(e, i, 0));
        ss_step step = ss_emit_new_step(e,
                                        of_product || e->program->options.computation == SS_COMPUTE_GRADIENT
                                            ? SS_STEP_DECAY
                                            : SS_STEP_DECAY_LOSS,
                                        -1, 0);
        step.parameter = i;
        step.laned = of_product;
        ss_operand from = ss_emit_parameter_operand(e, 0, of_product ? e->v[i] : e->weight[0][i], i, false);
        SS_TRY(ss_emit_add_operand(e->program, &from));
        if (step.kind == SS_STEP_DECAY) {
            ss_operand to = ss_emit_parameter_operand(e, 1, e->hv[i], i, true);
            SS_TRY(ss_emit_add_operand(e->program, &to));
        }
        SS_TRY(ss_emit_add_step(e, &step));
        if (e->program->options.computation == SS_COMPUTE_GRADIENT) { /* the loss comes with the gradient */
            ss_step    loss = ss_emit_new_step(e, SS_STEP_DECAY_LOSS, -1, 0);
            ss_operand of = ss_emit_parameter_operand(e, 0, e->weight[0][i], i, false);
            loss.parameter = i;
            SS_TRY(ss_emit_add_operand(e->program, &of));
            SS_TRY(ss_emit_add_step(e, &loss));
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
    ss_step zero = ss_emit_new_step(e, SS_STEP_ZERO_RESULT, -1, 0);
    SS_TRY(ss_emit_add_step(e, &zero));
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
    SS_TRY(ss_emit_add_buffer(p, SS_SLOT_ARENA, rows * 8, false, 0, 0, &e->row_loss));
    p->row_loss_buffer = e->row_loss;
    e->list = &p->body;
    if (gradient) {
        ss_step zero = ss_emit_new_step(e, SS_STEP_ZERO_RESULT, -1, 0);
        SS_TRY(ss_emit_add_step(e, &zero));
    }
    for (int32_t mb = 0; mb < (int32_t)p->n_micro_batches; mb++) {
        SS_TRY(forward(e, mb));
        for (int32_t i = e->graph->n_nodes - 1; gradient && i >= 0; i--) SS_TRY(backward_node(e, mb, i));
    }
    SS_TRY(emit_decay(e));
fail:
    return status;
}

/* Counts the elements of a value on different sides of zero at theta and at the point. */
static ss_status compare_sides(emitter *e, int32_t mb, int32_t value)
{
    ss_status        status = SS_OK;
    const batch_map *m = &e->maps[mb], *t = &e->maps[e->program->n_micro_batches];
    ss_step          step = ss_emit_new_step(e, SS_STEP_KINKS, mb, m->samples);
    int32_t          base = ss_emit_base_of(e->graph, value);
    ss_operand       a = ss_emit_value_operand(e, 0, m->value[SS_PRIMAL][base], value, m->samples, false);
    ss_operand       b = ss_emit_value_operand(e, 1, t->value[SS_PRIMAL][base], value, m->samples, false);
    SS_TRY(ss_emit_add_operand(e->program, &a));
    SS_TRY(ss_emit_add_operand(e->program, &b));
    SS_TRY(ss_emit_add_step(e, &step));
fail:
    return status;
}

/* One forward pass at theta and one at the point, node by node; the inputs (or outputs) of kinked operators
 * are compared. */
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
        SS_TRY(load_inputs(e, mb));
        for (int32_t i = 0; i < g->n_inputs; i++)
            t->value[SS_PRIMAL][g->inputs[i].value] = m->value[SS_PRIMAL][g->inputs[i].value];
        for (int32_t i = 0; i < g->n_nodes - 1; i++) {
            const ss_node *node = &g->nodes[i];
            bool           kinked = node->op->kinked && node->op->kinked(node);
            if (kinked && !node->op->kinks_of_output) SS_TRY(compare_sides(e, mb, node->input[0]));
            e->point = 0;
            SS_TRY(forward_node(e, mb, i));
            e->point = 1;
            SS_TRY(forward_node(e, other, i));
            e->point = 0;
            if (kinked && node->op->kinks_of_output) SS_TRY(compare_sides(e, mb, node->output));
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

/* The graph's last node as this program wants it. */
static ss_status choose_loss(emitter *e)
{
    ss_program *p = e->program;
    p->loss = e->sampled ? p->problem->sampled_loss : *p->problem->loss;
    if (p->loss.op == &ss_op_head) {
        p->loss.attributes.keep_logits = p->options.keep_logits;
        if (p->loss.attributes.chunk == 0 && p->options.head_rows > 0)
            p->loss.attributes.chunk = ss_max64(p->options.head_rows, ss_head_chunk(&p->loss, INT64_MAX));
        p->loss.attributes.residual =
            p->options.computation == SS_COMPUTE_PRODUCT && p->options.product == SS_PRODUCT_RESIDUAL;
    }
    return p->loss.op->infer(p->context, &p->loss);
}

static ss_status emitter_create(emitter *e, ss_program *p)
{
    ss_status       status = SS_OK;
    const ss_graph *g = &p->network;
    *e = (emitter){ .program = p,
                    .graph = g,
                    .loss = &p->loss,
                    .list = &p->prologue,
                    .real_size = (int64_t)ss_real_size(p->backend->real),
                    .class_weight = -1,
                    .row_loss = -1 };
    ss_product product = p->options.product;
    bool       of_product = p->options.computation == SS_COMPUTE_PRODUCT;
    e->gauss_newton = of_product && product != SS_PRODUCT_HESSIAN && product != SS_PRODUCT_RESIDUAL;
    e->sampled = of_product && product == SS_PRODUCT_FISHER_MONTE_CARLO;
    SS_TRY(choose_loss(e));
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
        SS_TRY(ss_emit_add_buffer(p, SS_SLOT_V, 0, true, 0, g->parameters[i].offset, &e->v[i]));
        SS_TRY(ss_emit_add_buffer(p, SS_SLOT_HV, 0, true, 0, g->parameters[i].offset, &e->hv[i]));
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
