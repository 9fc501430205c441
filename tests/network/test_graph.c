/* Building and binding graphs by hand: several inputs, computed constants, stored shapes, transposed and tied
 * weights, the head; and that every node sees the arrays where they are. */
#include "io/archive.h"
#include "io/safetensors.h"
#include "network/graph.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <string.h>

#define GRAPH(test) Test(graph, test, .init = ss_test_begin, .fini = ss_test_end)

enum { TOKENS = 3, WIDTH = 2, VOCABULARY = 5 };

static int32_t declare(ss_graph *g, const char *name, int32_t rank, int64_t rows, int64_t columns)
{
    int64_t shape[2] = { rows, columns };
    int32_t number;
    ss_test_require(ss_graph_add_parameter(g, name, rank, shape, true, &number));
    return number;
}

static int32_t number_of(const ss_graph *g, const char *name)
{
    for (int32_t i = 0; i < g->n_parameters; i++)
        if (strcmp(g->parameters[i].name, name) == 0) return i;
    return -1;
}

/* ids -> table (the head's too) + positions times a constant -> Conv1D; names sorted differently from the
 * order of declaration. */
static ss_graph *make(void)
{
    static const double table[TOKENS * WIDTH] = { 0.1, 0.2, 0.3, 0.4, 0.5, 1.0 / 3.0 };
    ss_graph           *g;
    int64_t             tokens = TOKENS, shape[2] = { TOKENS, WIDTH }, stored[3] = { 1, TOKENS, WIDTH };
    int32_t             ids, places, constant, x, p, q, sum[2];
    ss_attributes       one = { .alpha = 1, .beta = 1 }, conv = { .columns = WIDTH, .transposed = true };
    ss_test_require(ss_graph_create(ss_test_context, &g));
    ss_test_require(ss_graph_add_source(g, SS_SOURCE_TOKEN_IDS, 1, &tokens, 0, VOCABULARY, &ids));
    ss_test_require(ss_graph_add_source(g, SS_SOURCE_POSITIONS, 1, &tokens, 0, TOKENS, &places));
    int32_t words = declare(g, "words", 2, VOCABULARY, WIDTH),
            position = declare(g, "position", 2, TOKENS, WIDTH);
    int32_t weight[2] = { declare(g, "conv.weight", 2, WIDTH, WIDTH), declare(g, "conv.bias", 1, WIDTH, 0) };
    ss_test_require(ss_graph_set_stored_shape(g, position, 3, stored));
    ss_test_require(ss_graph_add_constant(g, "angles", 2, shape, table, &constant));
    ss_test_require(ss_graph_add_node(g, &ss_op_embedding, "words", &one, 1, &ids, 1, &words, 0, &x));
    ss_test_require(
        ss_graph_add_node(g, &ss_op_embedding, "position", &one, 1, &places, 1, &position, 0, &p));
    ss_test_require(ss_graph_add_node(g, &ss_op_embedding, "angles", &one, 1, &places, 1, &constant, 0, &q));
    sum[0] = x;
    sum[1] = p;
    ss_test_require(ss_graph_add_node(g, &ss_op_add, "first", &one, 2, sum, 0, NULL, 0, &sum[0]));
    sum[1] = q;
    ss_test_require(ss_graph_add_node(g, &ss_op_add, "second", &one, 2, sum, 0, NULL, 0, &x));
    ss_test_require(ss_graph_add_node(g, &ss_op_linear, "conv", &conv, 1, &x, 2, weight, 1, &g->output));
    g->head = (ss_graph_head){ .weight = words, .bias = -1, .classes = VOCABULARY };
    return g;
}

static const double numbers[VOCABULARY * WIDTH] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };

static ss_status bind_arrays(ss_graph *g, const ss_array *arrays, int64_t count)
{
    ss_archive *archive = NULL;
    const char *path = ss_test_path("weights.safetensors");
    ss_test_require(ss_safetensors_write(ss_test_context, path, arrays, count, NULL, 0));
    ss_test_require(ss_archive_open(ss_test_context, path, &archive));
    ss_status status = ss_graph_bind(g, archive, path);
    if (status != SS_OK) ss_archive_close(archive);
    return status;
}

GRAPH(bound_by_name_without_constants)
{
    ss_array  arrays[] = { { "model.words", SS_F64, 2, { VOCABULARY, WIDTH }, numbers },
                           { "model.position", SS_F64, 3, { 1, TOKENS, WIDTH }, numbers },
                           { "model.conv.weight", SS_F64, 2, { WIDTH, WIDTH }, numbers },
                           { "model.conv.bias", SS_F64, 1, { WIDTH }, numbers } };
    ss_graph *g = make();
    ss_test_require(bind_arrays(g, arrays, 4));
    ss_test_require(ss_graph_activate(g, 0, NULL, 0, NULL));
    const ss_parameter *angles = &g->parameters[number_of(g, "angles")];
    cr_assert_eq(ss_array_value(&angles->array, TOKENS * WIDTH - 1), 1.0 / 3.0,
                 "not rounded, not overwritten");
    cr_assert(angles->offset == -1 && !angles->trainable);
    cr_assert_eq(g->head.weight, number_of(g, "words"), "the head's weight has its new number");
    cr_assert_eq(g->layout.n, VOCABULARY * WIDTH + TOKENS * WIDTH + WIDTH * WIDTH + WIDTH);
    ss_attributes loss = { .loss = SS_LOSS_CROSS_ENTROPY, .class_ids = true };
    int32_t       node;
    ss_test_require(ss_graph_add_loss(g, &loss, &node));
    cr_assert(g->nodes[node].op == &ss_op_head && g->nodes[node].parameter[0] == g->head.weight);
    cr_assert_eq(g->parameters[g->head.weight].uses, 2, "the embedding and the head");
    ss_test_require(ss_graph_add_loss(g, &loss, &node)); /* replaced, not added */
    cr_assert_eq(g->parameters[g->head.weight].uses, 2);
    ss_graph_destroy(g);
}

GRAPH(shapes_are_those_stated)
{
    ss_array  arrays[] = { { "words", SS_F64, 2, { VOCABULARY, WIDTH }, numbers },
                           { "position", SS_F64, 2, { TOKENS, WIDTH }, numbers }, /* stated: [1, 3, 2] */
                           { "conv.weight", SS_F64, 2, { WIDTH, WIDTH }, numbers },
                           { "conv.bias", SS_F64, 1, { WIDTH }, numbers },
                           { "angles", SS_F64, 2, { TOKENS, WIDTH }, numbers } };
    ss_graph *g = make();
    ss_test_refuse(bind_arrays(g, arrays, 4), SS_ERROR_INPUT, "the network expects [1, 3, 2]");
    ss_graph_destroy(g);
    arrays[1].rank = 3;
    memcpy(arrays[1].shape, (int64_t[]){ 1, TOKENS, WIDTH }, 3 * sizeof(int64_t));
    g = make();
    ss_test_refuse(bind_arrays(g, arrays, 5), SS_ERROR_INPUT, "angles"); /* a constant is nobody's tensor */
    ss_graph_destroy(g);
    g = make();
    ss_test_refuse(bind_arrays(g, arrays + 1, 3), SS_ERROR_INPUT, "'words' of the network is missing");
    ss_graph_destroy(g);
}

GRAPH(seeded_weights)
{
    ss_graph *g = make();
    double    square = 0;
    ss_test_require(ss_graph_bind_seeded(g, 1));
    const ss_parameter *conv = &g->parameters[number_of(g, "conv.weight")];
    for (int64_t i = 0; i < conv->count; i++) cr_assert(ss_array_value(&conv->array, i) != 0);
    const ss_parameter *position = &g->parameters[number_of(g, "position")];
    for (int64_t i = 0; i < position->count; i++) square += ss_array_value(&position->array, i);
    cr_assert(square != 0);
    cr_assert_eq(ss_array_value(&g->parameters[number_of(g, "angles")].array, 1), 0.2);
    ss_graph_destroy(g);
}

GRAPH(misuse_is_refused)
{
    ss_graph     *g = make();
    int64_t       tokens = TOKENS, two[2] = { TOKENS, 1 }, wrong[2] = { WIDTH, WIDTH };
    int32_t       value, table = number_of(g, "words");
    ss_attributes one = { .alpha = 1 }, conv = { .columns = WIDTH + 1, .transposed = true };
    ss_test_refuse(ss_graph_add_source(g, SS_SOURCE_TOKEN_IDS, 1, &tokens, 0, 0, &value), SS_ERROR_INTERNAL,
                   "two");
    ss_test_refuse(ss_graph_add_source(g, SS_SOURCE_TOKEN_TYPES, 2, two, 0, 0, &value), SS_ERROR_INTERNAL,
                   "2");
    ss_test_refuse(ss_graph_set_stored_shape(g, table, 2, wrong), SS_ERROR_INTERNAL, "words");
    ss_test_refuse(ss_graph_add_node(g, &ss_op_embedding, "bad", &one, 1, &g->output, 1, &table, 0, &value),
                   SS_ERROR_INPUT, "integers");
    int32_t weight[2] = { number_of(g, "conv.weight"), -1 };
    ss_test_refuse(ss_graph_add_node(g, &ss_op_linear, "bad", &conv, 1, &g->output, 2, weight, 0, &value),
                   SS_ERROR_INPUT, "expected [inputs, 3]");
    ss_attributes mse = { .loss = SS_LOSS_MSE };
    ss_test_refuse(ss_graph_add_loss(g, &mse, &value), SS_ERROR_INPUT, "cross-entropy");
    ss_graph_destroy(g);
}

/* Arrays move while a graph grows; a view may be the last to move them. Quadratic building would take
 * minutes. */
GRAPH(many_nodes)
{
    enum { NODES = 60000 };
    ss_graph     *g;
    int64_t       shape = 4, stride = 1, half = 2;
    int32_t       x;
    ss_attributes tanh = { .function = SS_TANH };
    ss_test_require(ss_graph_create(ss_test_context, &g));
    ss_test_require(ss_graph_add_input(g, 1, &shape, &x));
    for (int i = 0; i < NODES; i++) {
        ss_test_require(ss_graph_add_node(g, &ss_op_pointwise, "t", &tanh, 1, &x, 0, NULL, i, &x));
        if (i % 3 == 0 && i < NODES / 2) {
            int32_t view;
            ss_test_require(ss_graph_add_view(g, x, 1, &half, 1, &stride, &view));
        }
        if (i % 1000 == 0 || i < 40)
            for (int32_t k = 0; k < g->n_nodes; k++)
                cr_assert(g->nodes[k].values == g->values && g->nodes[k].parameters == g->parameters);
    }
    cr_assert_eq(g->n_layers, NODES);
    ss_graph_destroy(g);
}
