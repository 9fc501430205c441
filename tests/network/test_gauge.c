/* Gauge tangents: along every combination of them the loss must not move, at any point and for any data; they
 * are the derivatives of the symmetries written out by hand; Z and Z' are transposes; and what decay,
 * freezing or a curved function breaks is not found. */
#include "base/philox.h"
#include "network/gauge.h"
#include "network/sequential.h"
#include "support/forward.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#define GAUGE(test) Test(gauge, test, .init = ss_test_begin, .fini = ss_test_end)

#define LINEAR(in, out)        "{\"type\": \"Linear\", \"in_features\": " #in ", \"out_features\": " #out "}"
#define NETWORK(input, layers) "{\"input_shape\": [" input "], \"layers\": [" layers "]}"
#define TYPE(name)             "{\"type\": \"" name "\"}"

enum { BATCH = 3, MOST = 600 };

static double normal(uint64_t stream, int64_t i)
{
    return ss_random_normal(77, SS_STREAM_TEST + (stream << 8), (uint64_t)i);
}

/* Network with random (not default) weights, so that gains are not 1 and biases not 0. */
static ss_graph *build(const char *text, bool entropy)
{
    ss_json      *json;
    ss_graph     *graph;
    int32_t       loss;
    ss_attributes attributes = { .loss = entropy ? SS_LOSS_CROSS_ENTROPY : SS_LOSS_MSE,
                                 .class_ids = entropy };
    ss_test_require(ss_json_parse(ss_test_context, "network.json", text, (int64_t)strlen(text), &json));
    ss_test_require(ss_sequential_build(ss_test_context, json, &graph));
    ss_test_require(ss_graph_bind_seeded(graph, 3));
    for (int32_t b = 0; b < graph->n_blocks; b++)
        for (int64_t k = 0; k < graph->parameters[b].count; k++)
            ((float *)graph->blocks[b])[k] += (float)(0.4 * normal(1 + (uint64_t)b, k));
    ss_test_require(ss_graph_add_loss(graph, &attributes, &loss));
    ss_test_require(ss_graph_activate(graph, 0, NULL, 0, NULL));
    ss_json_free(json);
    return graph;
}

static void stored_weights(const ss_graph *graph, double *packed)
{
    for (int32_t i = 0; i < graph->n_parameters; i++)
        if (graph->parameters[i].canonical >= 0)
            ss_array_convert(&graph->parameters[i].array, 0, graph->parameters[i].count, SS_FLOAT64,
                             packed + graph->parameters[i].canonical);
}

/* What the data see at packed weights: the outputs, or for cross-entropy the log-probabilities. Any loss is a
 * function of these. */
static int64_t observe(const ss_graph *graph, const double *packed, double *seen)
{
    double          x[BATCH * 16], padded[16 * SS_LAYOUT_ALIGNMENT];
    const ss_node  *loss = &graph->nodes[graph->n_nodes - 1];
    const ss_value *y = &graph->values[graph->output];
    cr_assert(graph->layout.padded <= (int64_t)(sizeof padded / sizeof *padded));
    for (int64_t i = 0; i < BATCH * graph->values[0].count; i++) x[i] = normal(40, i);
    ss_layout_unpack(&graph->layout, SS_FLOAT64, packed, padded);
    ss_test_forward(graph, padded, BATCH, x, seen);
    int64_t columns = y->shape[y->rank - 1], count = BATCH * y->count;
    for (int64_t row = 0; row < count && loss->attributes.loss == SS_LOSS_CROSS_ENTROPY; row += columns) {
        double largest = -INFINITY, sum = 0.0;
        for (int64_t j = 0; j < columns; j++) largest = fmax(largest, seen[row + j]);
        for (int64_t j = 0; j < columns; j++) sum += exp(seen[row + j] - largest);
        for (int64_t j = 0; j < columns; j++) seen[row + j] -= largest + log(sum);
    }
    return count;
}

/* Largest derivative of what the data see along the packed direction v (8th-order central difference). */
static double visible_slope(const ss_graph *graph, const double *v)
{
    static const double weight[4] = { 4.0 / 5.0, -1.0 / 5.0, 4.0 / 105.0, -1.0 / 280.0 };
    double  theta[MOST], moved[MOST], seen[BATCH * 16], slope[BATCH * 16] = { 0 }, step = 2e-3, worst = 0.0;
    int64_t count = 0;
    stored_weights(graph, theta);
    for (int k = -4; k <= 4; k++) {
        if (k == 0) continue;
        for (int64_t i = 0; i < graph->layout.n; i++) moved[i] = theta[i] + k * step * v[i];
        count = observe(graph, moved, seen);
        for (int64_t i = 0; i < count; i++)
            slope[i] += (k < 0 ? -1.0 : 1.0) * weight[abs(k) - 1] / step * seen[i];
    }
    for (int64_t i = 0; i < count; i++) worst = fmax(worst, fabs(slope[i]));
    return worst;
}

/* ---- Which symmetries a network has, and that they are ones ---- */

static const struct {
    const char *name;
    const char *text;
    bool        entropy;
    int64_t     count[SS_GAUGE_KIND_COUNT]; /* softmax, norm shift, rescaling, gain, basis, translation */
} networks[] = {
    { "relu", NETWORK("4", LINEAR(4, 5) "," TYPE("ReLU") "," LINEAR(5, 3)), true, { 6, 0, 5, 0, 0, 0 } },
    { "relu, mse",
      NETWORK("4", LINEAR(4, 5) "," TYPE("ReLU") "," LINEAR(5, 3)),
      false,
      { 0, 0, 5, 0, 0, 0 } },
    { "tanh", NETWORK("4", LINEAR(4, 5) "," TYPE("Tanh") "," LINEAR(5, 3)), true, { 6 } },
    { "linear chain", NETWORK("3", LINEAR(3, 4) "," LINEAR(4, 2)), false, { 0, 0, 0, 0, 16, 4 } },
    { "leaky relu and dropout",
      NETWORK("3", LINEAR(3, 4) "," TYPE("LeakyReLU") "," TYPE("Dropout") "," TYPE("ReLU") "," LINEAR(4, 2)),
      false,
      { 0, 0, 4 } },
    { "layer norm",
      NETWORK("3", LINEAR(3, 4) ",{\"type\": \"LayerNorm\", \"normalized_shape\": 4}," LINEAR(4, 2)),
      false,
      { 0, 4, 0, 4, 0, 4 } },
    { "layer norm, relu",
      NETWORK("3", LINEAR(3, 4) ",{\"type\": \"LayerNorm\", \"normalized_shape\": 4}," TYPE(
                       "ReLU") "," LINEAR(4, 2)),
      true,
      { 5, 4, 0, 4, 0, 0 } },
    { "rms norm",
      NETWORK("3",
              LINEAR(3, 4) ",{\"type\": \"RMSNorm\", \"normalized_shape\": 4, \"eps\": 0.1}," LINEAR(4, 2)),
      false,
      { 0, 0, 0, 4 } },
    { "flattened tokens",
      NETWORK("2, 3", LINEAR(3, 4) "," TYPE("ReLU") "," TYPE("Flatten") "," LINEAR(8, 2)),
      false,
      { 0, 0, 4 } },
    { "layer norm over tokens",
      NETWORK("2, 3",
              "{\"type\": \"LayerNorm\", \"normalized_shape\": [2, 3]}," TYPE("Flatten") "," LINEAR(6, 2)),
      false,
      { 0, 0, 0, 6, 0, 6 } },
    { "residual in front of softmax",
      NETWORK("3",
              "{\"type\": \"Residual\", \"body\": [" LINEAR(3, 4) "], \"shortcut\": [" LINEAR(3, 4) "]}"),
      true,
      { 8 } },
    { "identity shortcut",
      NETWORK("3", LINEAR(3, 3) ", {\"type\": \"Residual\", \"body\": [" TYPE("ReLU") "," LINEAR(
                       3, 3) "]}," LINEAR(3, 2)),
      false,
      { 0 } },
};
enum { N_NETWORKS = sizeof networks / sizeof *networks };

GAUGE(the_loss_does_not_move)
{
    for (int i = 0; i < N_NETWORKS; i++) {
        ss_graph *graph = build(networks[i].text, networks[i].entropy);
        ss_gauge *gauge;
        double    c[64], v[MOST];
        ss_test_require(ss_gauge_find(graph, &gauge));
        cr_assert(graph->layout.n <= MOST && gauge->rank <= 64);
        for (int kind = 0; kind < SS_GAUGE_KIND_COUNT; kind++)
            cr_expect_eq(ss_gauge_count(gauge, (ss_gauge_kind)kind), networks[i].count[kind],
                         "%s: kind %d has %lld tangents, expected %lld", networks[i].name, kind,
                         (long long)ss_gauge_count(gauge, (ss_gauge_kind)kind),
                         (long long)networks[i].count[kind]);
        for (int32_t g = 0; g < gauge->n_groups; g++) { /* one group at a time: none hides behind another */
            double size = 0.0;
            for (int64_t k = 0; k < gauge->rank; k++) {
                bool own = k >= gauge->groups[g].first && k < gauge->groups[g].first + gauge->groups[g].count;
                c[k] = own ? normal(50, k) : 0.0;
            }
            ss_gauge_multiply(gauge, c, v);
            for (int64_t k = 0; k < graph->layout.n; k++) size = fmax(size, fabs(v[k]));
            cr_expect(size > 0.1, "%s, group %d: the tangent vanishes", networks[i].name, g);
            double slope = visible_slope(graph, v);
            cr_expect(slope < 1e-9, "%s, group %d: the outputs move by %g", networks[i].name, g, slope);
        }
        ss_gauge_destroy(gauge);
        ss_graph_destroy(graph);
    }
}

/* The check above can fail: a tangent with one changed element is seen. */
GAUGE(a_wrong_tangent_is_noticed)
{
    ss_graph *graph = build(networks[0].text, true);
    ss_gauge *gauge;
    double    c[64], v[MOST];
    ss_test_require(ss_gauge_find(graph, &gauge));
    for (int64_t k = 0; k < gauge->rank; k++) c[k] = normal(50, k);
    ss_gauge_multiply(gauge, c, v);
    cr_expect(visible_slope(graph, v) < 1e-9);
    v[graph->parameters[graph->n_parameters - 1].canonical] += 0.01;
    cr_expect(visible_slope(graph, v) > 1e-5);
    ss_gauge_destroy(gauge);
    ss_graph_destroy(graph);
}

/* <Z c, v> = <c, Z' v> */
GAUGE(transposed_products_agree)
{
    for (int i = 0; i < N_NETWORKS; i++) {
        ss_graph *graph = build(networks[i].text, networks[i].entropy);
        ss_gauge *gauge;
        double    c[64], v[MOST], zc[MOST], zv[64], left = 0.0, right = 0.0, size = 1.0;
        ss_test_require(ss_gauge_find(graph, &gauge));
        for (int64_t k = 0; k < gauge->rank; k++) c[k] = normal(60, k);
        for (int64_t k = 0; k < graph->layout.n; k++) v[k] = normal(61, k);
        ss_gauge_multiply(gauge, c, zc);
        ss_gauge_transpose(gauge, v, zv);
        for (int64_t k = 0; k < graph->layout.n; k++) {
            left += zc[k] * v[k];
            size += fabs(zc[k] * v[k]);
        }
        for (int64_t k = 0; k < gauge->rank; k++) right += c[k] * zv[k];
        cr_expect(fabs(left - right) < 1e-14 * size, "%s: %.17g and %.17g", networks[i].name, left, right);
        ss_gauge_destroy(gauge);
        ss_graph_destroy(graph);
    }
}

/* ---- Against the symmetries themselves ---- */

/* Row i of weight [units, row] and element i of bias times e^(t c_i), column i of next [out, units] by it. */
static void rescale(const ss_graph *graph, const char *const names[3], double t, const double *c,
                    double *theta)
{
    for (int which = 0; which < 3; which++)
        for (int32_t p = 0; p < graph->n_parameters; p++) {
            const ss_parameter *q = &graph->parameters[p];
            int64_t             row = q->array.rank == 2 ? q->array.shape[1] : 1;
            if (strcmp(q->name, names[which]) != 0) continue;
            for (int64_t k = 0; k < q->count; k++)
                theta[q->canonical + k] *= which < 2 ? exp(t * c[k / row]) : exp(-t * c[k % row]);
        }
}

GAUGE(rescaling_is_the_derivative_of_rescaling)
{
    static const char *const relu[] = { "0.weight", "0.bias", "2.weight" };
    static const char *const norm[] = { "1.weight", "1.bias", "2.weight" };
    for (int which = 0; which < 2; which++) {
        const char *const *names = which == 0 ? relu : norm;
        ss_graph          *graph = build(networks[which == 0 ? 1 : 5].text, false);
        ss_gauge          *gauge;
        double c[64] = { 0 }, v[MOST], plus[MOST], minus[MOST], before[BATCH * 16], after[BATCH * 16];
        double step = 1e-5;
        ss_test_require(ss_gauge_find(graph, &gauge));
        const ss_gauge_group *g = NULL;
        for (int32_t k = 0; k < gauge->n_groups; k++)
            if (gauge->groups[k].kind == (which == 0 ? SS_GAUGE_RESCALING : SS_GAUGE_NORM_GAIN))
                g = &gauge->groups[k];
        cr_assert_not_null(g);
        for (int64_t k = 0; k < g->count; k++) c[g->first + k] = normal(70, k);
        ss_gauge_multiply(gauge, c, v);
        stored_weights(graph, plus);
        stored_weights(graph, minus);
        rescale(graph, names, step, c + g->first, plus);
        rescale(graph, names, -step, c + g->first, minus);
        for (int64_t k = 0; k < graph->layout.n; k++)
            cr_expect(fabs((plus[k] - minus[k]) / (2.0 * step) - v[k]) < 1e-8, "element %lld", (long long)k);

        stored_weights(graph, plus); /* far along the symmetry, too, nothing changes */
        int64_t count = observe(graph, plus, before);
        rescale(graph, names, 0.7, c + g->first, plus);
        observe(graph, plus, after);
        for (int64_t k = 0; k < count; k++) cr_expect(fabs(before[k] - after[k]) < 1e-12);
        ss_gauge_destroy(gauge);
        ss_graph_destroy(graph);
    }
}

/* ---- What is not a symmetry ---- */

GAUGE(decay_and_freezing_break_symmetries)
{
    static const ss_decay_rule all[] = { { NULL, 0.1 } }, last[] = { { "2.weight", 0.1 } },
                               bias[] = { { "2.bias", 0.1 } };
    static const char *const first[] = { "0.*" }, *const no_bias[] = { "0.bias" };
    ss_graph *graph = build(networks[0].text, true);
    ss_gauge *gauge;
    const struct {
        const ss_decay_rule *rule;
        const char *const *include, *const *exclude;
        int64_t softmax, rescaling;
    } rows[] = { { all, NULL, NULL, 0, 0 },   { last, NULL, NULL, 1, 0 },    { bias, NULL, NULL, 5, 5 },
                 { NULL, first, NULL, 0, 0 }, { NULL, NULL, no_bias, 6, 0 }, { NULL, NULL, NULL, 6, 5 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ss_test_require(ss_graph_activate(graph, rows[i].include != NULL, rows[i].include,
                                          rows[i].exclude != NULL, rows[i].exclude));
        ss_test_require(ss_graph_set_decay(graph, rows[i].rule != NULL, rows[i].rule));
        ss_test_require(ss_gauge_find(graph, &gauge));
        cr_expect_eq(ss_gauge_count(gauge, SS_GAUGE_SOFTMAX_SHIFT), rows[i].softmax, "row %zu", i);
        cr_expect_eq(ss_gauge_count(gauge, SS_GAUGE_RESCALING), rows[i].rescaling, "row %zu", i);
        ss_gauge_destroy(gauge);
    }
    ss_graph_destroy(graph);
}

GAUGE(groups_are_described)
{
    ss_graph *graph = build(networks[0].text, true);
    ss_gauge *gauge;
    char     *text;
    ss_test_require(ss_gauge_find(graph, &gauge));
    cr_assert_eq(gauge->n_groups, 2);
    ss_test_require(ss_gauge_describe(gauge, 0, &text));
    cr_expect_str_eq(text, "positive rescaling of units: 0.weight, 0.bias, 2.weight (5 tangents)");
    ss_free(ss_test_context, text);
    ss_test_require(ss_gauge_describe(gauge, 1, &text));
    cr_expect_str_eq(text, "softmax shift: 2.weight, 2.bias (6 tangents)");
    ss_free(ss_test_context, text);
    ss_gauge_destroy(gauge);
    ss_graph_destroy(graph);
}
