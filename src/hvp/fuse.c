/* Before the first pass: nodes that a program runs as one, so that fewer tensors go through memory.
 *
 *   linear, then a function   The bias moves from the map to the function, f(x w' + b) = f(z + b): z + b and
 * its tangent never lie in memory, and the bias' adjoints are summed where those of z are made. What a bias
 * costs otherwise is a pass over z in every sweep. linear, then a sum        The map takes the other term as
 * its residual, y = r + x w': its product is added to r where y lies, instead of being written and read once
 * more; and the residual's adjoints need no copies (ss_op.passes).
 *
 *   a function, then a product    y = f(a) o b is one node: f(a), its tangent and its adjoints never lie in
 * memory; f and its derivatives are formed together, from a. Of 21 tensors that a product of a gated network
 * moves between its maps 13 are left. Not where the function has taken a bias: that is summed up beside it.
 *
 * The program's graph is the problem's with other nodes: values and parameters keep their numbers, and what
 * nodes read and write is theirs to say (ss_op.needs), so that no other pass knows of this one. Only a value
 * that nothing else reads may vanish. Where signs of values are compared (kinks) nothing is fused: the value
 * in front of a function must hold its bias. */
#include "hvp/program.h"

#include <string.h>

/* The node that alone reads the value; NULL if it is read otherwise, too, or is a result or a view. */
static ss_node *only_reader(ss_graph *g, int32_t value)
{
    const ss_value *v = &g->values[value];
    if (v->uses != 1 || v->views > 0 || v->base >= 0 || value == g->output) return NULL;
    for (int32_t i = 0; i < g->n_nodes; i++)
        for (int32_t k = 0; k < g->nodes[i].n_inputs; k++)
            if (g->nodes[i].input[k] == value) return &g->nodes[i];
    return NULL;
}

static bool has_bias(const ss_node *linear)
{
    return linear->n_parameters > 1 && linear->parameter[1] >= 0;
}

static void move_bias(ss_graph *g, ss_node *linear)
{
    ss_node *reader = has_bias(linear) ? only_reader(g, linear->output) : NULL;
    if (!reader || reader->op != &ss_op_pointwise || reader->n_parameters > 0) return;
    reader->n_parameters = 1;
    reader->parameter[0] = linear->parameter[1];
    linear->parameter[1] = -1;
}

/* The product moves the function into itself; the function's node is marked by op = NULL. */
static void take_function(ss_graph *g, ss_node *function)
{
    ss_node *product = function->n_parameters == 0 ? only_reader(g, function->output) : NULL;
    if (!product || product->op != &ss_op_multiply || product->attributes.gated) return;
    const int32_t other = product->input[product->input[0] == function->output ? 1 : 0];
    product->input[0] = function->input[0];
    product->input[1] = other;
    product->attributes.gated = true;
    product->attributes.function = function->attributes.function;
    for (int i = 0; i < 2; i++) product->attributes.parameter[i] = function->attributes.parameter[i];
    function->op = NULL;
    function->n_inputs = 0;
}

/* May the term be a residual: a real tensor with elements of its own? */
static bool can_be_residual(const ss_graph *g, int32_t value)
{
    return g->values[value].base < 0 && !g->values[value].integer;
}

/* The map moves to the place of the sum; its old one is marked by op = NULL. */
static void take_sum(ss_graph *g, ss_node *linear)
{
    ss_node *sum = linear->n_inputs == 1 ? only_reader(g, linear->output) : NULL;
    if (!sum || sum->op != &ss_op_add || sum->n_inputs != 2) return;
    if (sum->attributes.alpha != 1.0 || sum->attributes.beta != 1.0) return;
    int32_t residual = sum->input[sum->input[0] == linear->output ? 1 : 0], output = sum->output;
    if (!can_be_residual(g, residual)) return;
    *sum = *linear;
    sum->n_inputs = 2;
    sum->input[1] = residual;
    sum->output = output;
    linear->op = NULL;
    linear->n_inputs = 0;
}

ss_status ss_program_fuse(ss_program *p)
{
    ss_status status = SS_OK;
    ss_graph *g = &p->network;
    int32_t   kept = 0;
    *g = *p->problem->graph;
    g->nodes = NULL;
    SS_TRY(SS_NEW_ARRAY(p->context, g->n_nodes, &g->nodes));
    memcpy(g->nodes, p->problem->graph->nodes, (size_t)g->n_nodes * sizeof *g->nodes);
    if (p->options.unfused || p->options.computation == SS_COMPUTE_KINKS) return SS_OK;
    /* Backwards, so that of two maps in one sum the later one takes it. */
    for (int32_t i = g->n_nodes - 1; i >= 0; i--)
        if (g->nodes[i].op == &ss_op_linear) {
            move_bias(g, &g->nodes[i]);
            take_sum(g, &g->nodes[i]);
        }
    for (int32_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == &ss_op_pointwise) take_function(g, &g->nodes[i]);
    for (int32_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op) g->nodes[kept++] = g->nodes[i];
    g->n_nodes = kept;
fail:
    return status;
}
