/* Finding the symmetries of a graph (network/gauge.h). */
#include "network/gauge.h"

enum { MOST_ADDS = 64 }; /* residual adds walked through in front of a softmax or norm */
static const double basis_work =
    0x1p24; /* multiply-adds of one product with a basis group; beyond: rescaling */

typedef struct finder {
    ss_context     *context;
    const ss_graph *graph;
    ss_gauge       *gauge;
    int32_t        *reader; /* [n_values] last node that reads the elements of a value that owns them; -1 */
} finder;

/* May tangents move this parameter? -1 = the node has none. */
static bool is_free(const ss_graph *graph, int32_t parameter)
{
    if (parameter < 0) return false;
    const ss_parameter *p = &graph->parameters[parameter];
    return p->offset >= 0 && p->decay == 0.0 && p->uses == 1;
}

/* Features that a linear map or a vocabulary head reads and writes; its weight may be stored either way. */
static int64_t inputs_of(const ss_graph *graph, const ss_node *node)
{
    return graph->parameters[node->parameter[0]].array.shape[node->attributes.transposed ? 0 : 1];
}

static int64_t outputs_of(const ss_graph *graph, const ss_node *node)
{
    return graph->parameters[node->parameter[0]].array.shape[node->attributes.transposed ? 1 : 0];
}

static int32_t parameter_of(const ss_node *node, int32_t which)
{
    return which < node->n_parameters ? node->parameter[which] : -1;
}

static ss_status add_group(finder *f, ss_gauge_group group)
{
    ss_status status = SS_OK;
    ss_gauge *gauge = f->gauge;
    SS_TRY(ss_reallocate(f->context, gauge->n_groups + 1, sizeof *gauge->groups, (void **)&gauge->groups));
    group.first = gauge->rank;
    if (!ss_add64(gauge->rank, group.count, &gauge->rank))
        SS_FAIL(f->context, SS_ERROR_INPUT, "the symmetries are too many to count");
    gauge->groups[gauge->n_groups++] = group;
fail:
    return status;
}

/* Does value v show all elements of the value that owns them, in C order? */
static bool is_whole(const ss_graph *graph, int32_t v)
{
    const ss_value *value = &graph->values[v];
    int64_t         stride = 1;
    if (value->base < 0) return true;
    if (value->view_offset != 0 || value->count != graph->values[value->base].count) return false;
    for (int32_t d = value->rank - 1; d >= 0; d--) {
        if (value->shape[d] != 1 && value->view_stride[d] != stride) return false;
        stride *= value->shape[d];
    }
    return true;
}

/* The linear node that alone reads `units` units per row of value v, behind nothing or positively homogeneous
 * functions (*bent); NULL if there is none. Column j of its weight belongs to unit j % units. */
static const ss_node *next_linear(const finder *f, int32_t v, int64_t units, bool *bent)
{
    const ss_graph *graph = f->graph;
    *bent = false;
    for (;;) {
        if (graph->values[v].uses != 1 || f->reader[v] < 0) return NULL;
        const ss_node *node = &graph->nodes[f->reader[v]];
        if (!is_whole(graph, node->input[0])) return NULL;
        bool head =
            node->op == &ss_op_head && (double)graph->parameters[node->parameter[0]].count <= basis_work;
        if (node->op == &ss_op_linear || head) return inputs_of(graph, node) % units == 0 ? node : NULL;
        if (node->op != &ss_op_pointwise ||
            (node->attributes.function != SS_RELU && node->attributes.function != SS_LEAKY_RELU))
            return NULL;
        *bent = true;
        v = node->output;
    }
}

/* Rescaling, basis change and translation between a node that produces units and the linear node behind it.
 */
static ss_status find_between(finder *f, const ss_node *node)
{
    ss_status       status = SS_OK;
    const ss_graph *graph = f->graph;
    bool            is_norm = node->op == &ss_op_norm, bent;
    int64_t         units = node->attributes.columns;
    const ss_node  *linear = next_linear(f, node->output, units, &bent);
    if (linear == NULL) return SS_OK;

    int32_t        weight = parameter_of(node, 0), bias = parameter_of(node, 1);
    ss_gauge_group g = { .kind = is_norm ? SS_GAUGE_NORM_GAIN : SS_GAUGE_RESCALING,
                         .count = units,
                         .units = units,
                         .row = is_norm ? 1 : inputs_of(graph, node),
                         .out = outputs_of(graph, linear),
                         .in = inputs_of(graph, linear),
                         .transposed = node->attributes.transposed,
                         .next_transposed = linear->attributes.transposed,
                         .gain_offset = is_norm ? node->attributes.gain_offset : 0.0,
                         .weight = weight,
                         .bias = bias,
                         .next = linear->parameter[0],
                         .next_bias = -1 };
    if (is_free(graph, weight) && is_free(graph, g.next) && (bias < 0 || is_free(graph, bias))) {
        ss_gauge_group scaling = g;
        double         work = (double)units * (double)units * (double)(g.row + g.out);
        if (!is_norm && !bent && g.in == units && work <= basis_work) {
            scaling.kind = SS_GAUGE_BASIS;
            scaling.count = units * units;
        }
        SS_TRY(add_group(f, scaling));
    }
    g.next_bias = parameter_of(linear, 1);
    if (!bent && is_free(graph, bias) && is_free(graph, g.next_bias)) {
        g.kind = SS_GAUGE_TRANSLATION;
        g.weight = -1;
        SS_TRY(add_group(f, g));
    }
fail:
    return status;
}

/* The shift of all rows of a linear map, or of a norm's bias; nothing for other nodes. */
static ss_status add_shift(finder *f, const ss_node *node, ss_gauge_kind kind)
{
    const ss_graph *graph = f->graph;
    bool            is_map = node->op == &ss_op_linear || node->op == &ss_op_head;
    ss_gauge_group  g = { .kind = kind, .units = node->attributes.columns, .next = -1, .next_bias = -1 };
    g.weight = is_map && is_free(graph, node->parameter[0]) ? node->parameter[0] : -1;
    g.bias = is_free(graph, parameter_of(node, 1)) ? parameter_of(node, 1) : -1;
    g.row = g.weight >= 0 ? inputs_of(graph, node) : 0;
    g.transposed = node->attributes.transposed;
    g.count = g.row + (g.bias >= 0);
    return g.count > 0 ? add_group(f, g) : SS_OK;
}

/* What adds up to value v: every linear layer and every norm's bias may shift its rows by one amount, when
 * what reads v does not see a common shift of its last dimension. */
static ss_status find_shifts(finder *f, int32_t v, ss_gauge_kind kind, int depth)
{
    ss_status       status = SS_OK;
    const ss_graph *graph = f->graph;
    const ss_value *value = &graph->values[v];
    if (value->base >= 0 || value->uses != 1 || value->producer < 0 || depth > MOST_ADDS) return SS_OK;
    const ss_node *node = &graph->nodes[value->producer];
    if (node->op == &ss_op_add) {
        for (int32_t i = 0; i < node->n_inputs; i++) SS_TRY(find_shifts(f, node->input[i], kind, depth + 1));
        return SS_OK;
    }
    if (node->op == &ss_op_linear ||
        (node->op == &ss_op_norm && node->attributes.columns == value->shape[value->rank - 1]))
        SS_TRY(add_shift(f, node, kind));
fail:
    return status;
}

static ss_status find_in_node(finder *f, const ss_node *node)
{
    ss_status       status = SS_OK;
    const ss_value *x = &f->graph->values[node->input[0]];
    bool            rows = x->rank >= 1 && node->attributes.columns == x->shape[x->rank - 1];
    if (node->op == &ss_op_linear || node->op == &ss_op_norm) SS_TRY(find_between(f, node));
    if (node->op == &ss_op_norm && node->attributes.centered && rows)
        SS_TRY(find_shifts(f, node->input[0], SS_GAUGE_NORM_SHIFT, 0));
    if (node->op == &ss_op_loss && node->attributes.loss == SS_LOSS_CROSS_ENTROPY)
        SS_TRY(find_shifts(f, node->input[0], SS_GAUGE_SOFTMAX_SHIFT, 0));
    if (node->op == &ss_op_head && node->attributes.cap == 0.0)
        SS_TRY(add_shift(f, node, SS_GAUGE_SOFTMAX_SHIFT));
fail:
    return status;
}

/* Who reads the elements of each value that owns them. */
static void list_readers(finder *f)
{
    const ss_graph *graph = f->graph;
    for (int32_t v = 0; v < graph->n_values; v++) f->reader[v] = -1;
    for (int32_t i = 0; i < graph->n_nodes; i++)
        for (int32_t k = 0; k < graph->nodes[i].n_inputs; k++) {
            int32_t v = graph->nodes[i].input[k], base = graph->values[v].base;
            f->reader[base >= 0 ? base : v] = i;
        }
}

/* The weights that Z is made of, in float64. */
static ss_status keep_weights(ss_gauge *gauge)
{
    ss_status       status = SS_OK;
    const ss_graph *graph = gauge->graph;
    SS_TRY(SS_NEW_ARRAY(graph->context, graph->n_parameters, &gauge->weights));
    for (int32_t i = 0; i < gauge->n_groups; i++) {
        const ss_gauge_group *g = &gauge->groups[i];
        const int32_t         read[] = { g->weight, g->bias, g->next };
        if (g->kind == SS_GAUGE_SOFTMAX_SHIFT || g->kind == SS_GAUGE_NORM_SHIFT) continue;
        for (int k = 0; k < 3; k++) {
            if (read[k] < 0 || gauge->weights[read[k]] != NULL) continue;
            const ss_parameter *p = &graph->parameters[read[k]];
            SS_TRY(SS_NEW_ARRAY(graph->context, p->count, &gauge->weights[read[k]]));
            ss_array_convert(&p->array, 0, p->count, SS_FLOAT64, gauge->weights[read[k]]);
        }
    }
fail:
    return status;
}

ss_status ss_gauge_find(const ss_graph *graph, ss_gauge **gauge)
{
    ss_status status = SS_OK;
    finder    f = { .context = graph->context, .graph = graph };
    *gauge = NULL;
    SS_TRY(SS_NEW(graph->context, &f.gauge));
    f.gauge->graph = graph;
    SS_TRY(SS_NEW_ARRAY(graph->context, graph->n_values, &f.reader));
    list_readers(&f);
    for (int32_t i = 0; i < graph->n_nodes; i++) SS_TRY(find_in_node(&f, &graph->nodes[i]));
    SS_TRY(keep_weights(f.gauge));
    *gauge = f.gauge;
    f.gauge = NULL;
fail:
    ss_gauge_destroy(f.gauge);
    ss_free(graph->context, f.reader);
    return status;
}

void ss_gauge_destroy(ss_gauge *gauge)
{
    if (gauge == NULL) return;
    ss_context *context = gauge->graph->context;
    for (int32_t i = 0; gauge->weights != NULL && i < gauge->graph->n_parameters; i++)
        ss_free(context, gauge->weights[i]);
    ss_free(context, gauge->weights);
    ss_free(context, gauge->groups);
    ss_free(context, gauge);
}

int64_t ss_gauge_count(const ss_gauge *gauge, ss_gauge_kind kind)
{
    int64_t count = 0;
    for (int32_t i = 0; i < gauge->n_groups; i++)
        if (gauge->groups[i].kind == kind) count += gauge->groups[i].count;
    return count;
}

ss_status ss_gauge_describe(const ss_gauge *gauge, int32_t group, char **text)
{
    static const char *const words[] = {
#define SS_GAUGE_WORDS(name, text) text,
        SS_GAUGE_TABLE(SS_GAUGE_WORDS)
#undef SS_GAUGE_WORDS
    };
    const ss_gauge_group *g = &gauge->groups[group];
    const ss_parameter   *p = gauge->graph->parameters;
    const int32_t         moved[] = { g->weight, g->bias, g->kind == SS_GAUGE_TRANSLATION ? -1 : g->next,
                                      g->next_bias };
    ss_status             status = SS_OK;
    char                 *names = NULL, *longer = NULL;
    for (int k = 0; k < 4; k++) {
        if (moved[k] < 0) continue;
        SS_TRY(ss_format(gauge->graph->context, &longer, "%s%s%s", names != NULL ? names : "",
                         names != NULL ? ", " : "", p[moved[k]].name));
        ss_free(gauge->graph->context, names);
        names = longer;
    }
    SS_TRY(ss_format(gauge->graph->context, text, "%s: %s (%lld tangent%s)", words[g->kind],
                     names != NULL ? names : "", (long long)g->count, g->count == 1 ? "" : "s"));
fail:
    ss_free(gauge->graph->context, names);
    return status;
}
