/* The two ends of a transformer: inputs and embeddings in front of the blocks, the head behind them
 * (network/transformer.h). */
#include "network/transformer.h"

#include <math.h>
#include <string.h>

/* ---- Embeddings -----------------------------------------------------------------------------------------
 */

/* Adds the rows of "<module>.weight" [rows, columns] that a source of ids names. */
static ss_status look_up(ss_transformer *t, const char *part, int64_t rows, int64_t columns, double scale,
                         int32_t ids, int32_t *parameter, int32_t *value)
{
    ss_status     status = SS_OK;
    char          module[SS_MODULE_TEXT];
    char         *name = NULL;
    const int64_t shape[2] = { rows, columns };
    ss_transformer_module(t, part, module);
    SS_TRY(ss_transformer_parameter(t, module, "weight", 2, shape, parameter));
    SS_TRY(ss_format(t->context, &name, "%s (Embedding)", module));
    SS_TRY(ss_graph_add_node(t->graph, &ss_op_embedding, name, &(ss_attributes){ .alpha = scale }, 1, &ids, 1,
                             parameter, t->layer, value));
fail:
    ss_free(t->context, name);
    return status;
}

/* A further table that is added to the embedding. */
static ss_status add_table(ss_transformer *t, const char *part, int64_t rows, ss_source source,
                           int64_t parameter, int32_t *value)
{
    ss_status status = SS_OK;
    int32_t   ids, table, row;
    char      module[SS_MODULE_TEXT];
    SS_TRY(ss_graph_add_source(t->graph, source, 1, &t->tokens, parameter, rows, &ids));
    SS_TRY(look_up(t, part, rows, t->config->width, 1.0, ids, &table, &row));
    SS_TRY(ss_transformer_add(t, ss_transformer_module(t, part, module), row, value));
fail:
    return status;
}

static ss_status add_positions(ss_transformer *t, int32_t *value)
{
    const ss_transformer_config *c = t->config;
    const char                  *part = c->row->names->positions;
    switch (c->row->positions) {
    case SS_POSITIONS_LEARNED: return add_table(t, part, c->positions, SS_SOURCE_POSITIONS, 0, value);
    case SS_POSITIONS_ATTENDED:
        /* Two rows stand in front of position 0; without a mask the positions are 0 ... T - 1. */
        return add_table(t, part, c->positions + 2,
                         t->mask >= 0 ? SS_SOURCE_POSITIONS_ATTENDED : SS_SOURCE_POSITIONS, 2, value);
    case SS_POSITIONS_NOT_PADDED:
        return add_table(t, part, c->positions, SS_SOURCE_POSITIONS_NOT_PADDED, c->pad, value);
    default: return SS_OK;
    }
}

/* Longest sequence that the positions allow; 0 = any. */
static int64_t longest(const ss_transformer_config *c)
{
    if (c->row->positions == SS_POSITIONS_NOT_PADDED) return c->positions - c->pad - 1;
    return c->positions;
}

static ss_status begin_tokens(ss_transformer *t, bool has_mask, int32_t *value)
{
    ss_status                    status = SS_OK;
    const ss_transformer_config *c = t->config;
    const ss_tensor_names       *n = c->row->names;
    char                         module[SS_MODULE_TEXT];

    if (t->tokens > longest(c))
        SS_FAIL(t->context, SS_ERROR_INPUT,
                "the sequences have %lld tokens, the model has %lld positions (%s): cut them with "
                "--sequence-length",
                (long long)t->tokens, (long long)longest(c), c->row->keys->positions);
    SS_TRY(ss_graph_add_source(t->graph, SS_SOURCE_TOKEN_IDS, 1, &t->tokens, 0, c->vocabulary, &t->ids));
    if (has_mask)
        SS_TRY(ss_graph_add_source(t->graph, SS_SOURCE_ATTENTION_MASK, 1, &t->tokens, 0, 0, &t->mask));
    SS_TRY(look_up(t, n->tokens, c->vocabulary, c->table_width,
                   c->row->scale_embedding ? sqrt((double)c->width) : 1.0, t->ids, &t->table, value));
    if (c->table_width != c->width)
        SS_TRY(ss_transformer_linear(t, ss_transformer_module(t, n->project_in, module), c->width, false,
                                     false, value));
    if (n->types != NULL) SS_TRY(add_table(t, n->types, c->types, SS_SOURCE_TOKEN_TYPES, 0, value));
    SS_TRY(add_positions(t, value));
    if (n->embedding_norm != NULL)
        SS_TRY(ss_transformer_norm(t, ss_transformer_module(t, n->embedding_norm, module), c->width, value));
fail:
    return status;
}

static ss_status begin_rotary(ss_transformer *t)
{
    ss_status     status = SS_OK;
    double       *table = NULL;
    int64_t       count;
    const int64_t shape[2] = { t->tokens, t->config->rotary };
    SS_TRY(ss_shape_count(t->context, 2, shape, &count));
    SS_TRY(SS_NEW_ARRAY(t->context, count, &table));
    ss_rotary_table(t->config, t->tokens, table);
    SS_TRY(ss_graph_add_constant(t->graph, "rotary positions", 2, shape, table, &t->rotary));
fail:
    ss_free(t->context, table);
    return status;
}

/* Patches through a linear map whose weight is stored as a convolution, the class token in front, positions
 * added. */
static ss_status begin_image(ss_transformer *t, int32_t *value)
{
    ss_status                    status = SS_OK;
    const ss_transformer_config *c = t->config;
    const ss_tensor_names       *n = c->row->names;
    int64_t                      patches = c->positions - 1, pixels = c->channels * c->patch * c->patch;
    const int64_t                shape[2] = { patches, pixels };
    const int64_t                kernel[4] = { c->width, c->channels, c->patch, c->patch };
    const int64_t                tokens[3] = { 1, c->positions, c->width }, one[3] = { 1, 1, c->width };
    int32_t                      parameters[2], input;
    char                         module[SS_MODULE_TEXT];

    SS_TRY(ss_graph_add_source(t->graph, SS_SOURCE_PATCHES, 2, shape, c->patch, 0, value));
    SS_TRY(
        ss_transformer_linear(t, ss_transformer_module(t, n->tokens, module), c->width, true, false, value));
    const ss_node *linear = &t->graph->nodes[t->graph->n_nodes - 1];
    SS_TRY(ss_graph_set_stored_shape(t->graph, linear->parameter[0], 4, kernel));
    ss_transformer_module(t, n->class_token, module);
    SS_TRY(ss_transformer_parameter(t, module, "", 1, &c->width, &parameters[0]));
    SS_TRY(ss_graph_set_stored_shape(t->graph, parameters[0], 3, one));
    ss_transformer_module(t, n->positions, module);
    SS_TRY(ss_transformer_parameter(t, module, "", 2, tokens + 1, &parameters[1]));
    SS_TRY(ss_graph_set_stored_shape(t->graph, parameters[1], 3, tokens));
    input = *value;
    SS_TRY(ss_graph_add_node(t->graph, &ss_op_class_token, module, NULL, 1, &input, 2, parameters, t->layer,
                             value));
fail:
    return status;
}

ss_status ss_transformer_begin(ss_transformer *t, bool has_mask, int32_t *value)
{
    ss_status status = SS_OK;
    if (t->config->row->task == SS_TASK_IMAGE) {
        t->tokens = t->config->positions;
        SS_TRY(begin_image(t, value));
    } else {
        SS_TRY(begin_tokens(t, has_mask, value));
    }
    if (t->config->row->positions == SS_POSITIONS_ROTARY) SS_TRY(begin_rotary(t));
fail:
    return status;
}

/* ---- Heads ----------------------------------------------------------------------------------------------
 */

/* The first token of [T, D] as [D]. */
static ss_status first_token(ss_transformer *t, int32_t *value)
{
    const int64_t stride = 1, width = t->config->width;
    return ss_graph_add_view(t->graph, *value, 1, &width, 0, &stride, value);
}

static ss_status head_dense(ss_transformer *t, int32_t *value)
{
    ss_status              status = SS_OK;
    const ss_architecture *row = t->config->row;
    char                   base[SS_MODULE_TEXT];
    const char *module = row->pooled ? ss_transformer_module(t, row->head_dense, base) : row->head_dense;
    ss_function function = t->config->activation;
    if (row->head_activation != NULL)
        function = strcmp(row->head_activation, "tanh") == 0 ? SS_TANH : SS_GELU_ERF;
    SS_TRY(ss_transformer_linear(t, module, t->config->width, true, false, value));
    SS_TRY(ss_transformer_pointwise(t, module, function, value));
    if (row->head_norm != NULL) SS_TRY(ss_transformer_norm(t, row->head_norm, t->config->width, value));
fail:
    return status;
}

/* The map to the vocabulary stays outside the nodes: the loss is fused with it. */
static ss_status vocabulary_head(ss_transformer *t)
{
    ss_status                    status = SS_OK;
    const ss_transformer_config *c = t->config;
    const ss_architecture       *row = c->row;
    const int64_t                shape[2] = { c->vocabulary, c->table_width };
    ss_graph_head head = { .weight = t->table, .bias = -1, .cap = c->logit_cap, .classes = c->vocabulary };
    if (!c->tied) SS_TRY(ss_transformer_parameter(t, row->head, "weight", 2, shape, &head.weight));
    /* Tied decoders store their bias elsewhere; one of its own has its own. */
    const char *at = c->tied && row->head_bias_at != NULL ? row->head_bias_at : row->head;
    if (row->head_bias) SS_TRY(ss_transformer_parameter(t, at, "bias", 1, &c->vocabulary, &head.bias));
    t->graph->head = head;
fail:
    return status;
}

ss_status ss_transformer_end(ss_transformer *t, int32_t *value)
{
    ss_status                    status = SS_OK;
    const ss_transformer_config *c = t->config;
    const ss_tensor_names       *n = c->row->names;
    char                         module[SS_MODULE_TEXT];
    bool classifies = c->row->task == SS_TASK_SEQUENCE || c->row->task == SS_TASK_IMAGE;

    if (classifies) SS_TRY(first_token(t, value));
    if (c->final_norm)
        SS_TRY(ss_transformer_norm(t, ss_transformer_module(t, n->final_norm, module), c->width, value));
    if (c->table_width != c->width)
        SS_TRY(ss_transformer_linear(t, ss_transformer_module(t, n->project_out, module), c->table_width,
                                     false, false, value));
    if (c->row->head_dense != NULL) SS_TRY(head_dense(t, value));
    if (classifies)
        SS_TRY(ss_transformer_linear(t, c->row->head, c->classes, true, false, value));
    else
        SS_TRY(vocabulary_head(t));
    t->graph->output = *value;
fail:
    return status;
}
