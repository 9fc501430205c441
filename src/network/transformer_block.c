/* One transformer block, and the nodes that blocks, embeddings and heads are made of (network/transformer.h).
 *
 * Packed projections are not split: queries, keys and values are views of them. A mixture of experts is
 * computed densely: the router's weight is exactly zero for an expert that is not chosen, so the sum over all
 * experts is the published function; it costs experts / top_k times the flops of the chosen ones. */
#include "network/transformer.h"

#include <stdio.h>

/* ---- Nodes ----------------------------------------------------------------------------------------------
 */

const char *ss_transformer_module(const ss_transformer *t, const char *name, char text[SS_MODULE_TEXT])
{
    snprintf(text, SS_MODULE_TEXT, "%s%s", t->config->row->names->base, name);
    return text;
}

ss_status ss_transformer_parameter(ss_transformer *t, const char *module, const char *leaf, int32_t rank,
                                   const int64_t *shape, int32_t *parameter)
{
    ss_status status = SS_OK;
    char     *name = NULL;
    SS_TRY(ss_format(t->context, &name, leaf[0] != '\0' ? "%s.%s" : "%s%s", module, leaf));
    /* With an adapter the weights below it are frozen for good. */
    SS_TRY(ss_graph_add_parameter(t->graph, name, rank, shape, t->adapter == NULL, parameter));
fail:
    ss_free(t->context, name);
    return status;
}

static ss_status add_node(ss_transformer *t, const ss_op *op, const char *module, const char *kind,
                          const ss_attributes *attributes, int32_t n_inputs, const int32_t *inputs,
                          int32_t n_parameters, const int32_t *parameters, int32_t *value)
{
    ss_status status = SS_OK;
    char     *name = NULL;
    SS_TRY(ss_format(t->context, &name, "%s (%s)", module, kind));
    SS_TRY(ss_graph_add_node(t->graph, op, name, attributes, n_inputs, inputs, n_parameters, parameters,
                             t->layer, value));
fail:
    ss_free(t->context, name);
    return status;
}

static int64_t last_extent(const ss_transformer *t, int32_t value)
{
    const ss_value *v = &t->graph->values[value];
    return v->shape[v->rank - 1];
}

/* One factor of an adapter, "<module>.lora_A.weight": always [out, in], whatever the module below stores. */
static ss_status adapter_factor(ss_transformer *t, const char *module, const char *factor, int64_t out,
                                int32_t *value)
{
    ss_status     status = SS_OK;
    int32_t       parameter, input = *value;
    const int64_t shape[2] = { out, last_extent(t, input) };
    char         *name = NULL;
    SS_TRY(ss_format(t->context, &name, "base_model.model.%s.%s.weight", module, factor));
    SS_TRY(ss_graph_add_parameter(t->graph, name, 2, shape, true, &parameter));
    SS_TRY(add_node(t, &ss_op_linear, name, "LoRA", &(ss_attributes){ .columns = out }, 1, &input, 1,
                    &parameter, value));
fail:
    ss_free(t->context, name);
    return status;
}

ss_status ss_transformer_linear(ss_transformer *t, const char *module, int64_t out, bool bias, bool conv1d,
                                int32_t *value)
{
    ss_status           status = SS_OK;
    int32_t             input = *value, parameters[2] = { -1, -1 }, side = *value;
    int64_t             in = last_extent(t, input);
    const int64_t       shape[2] = { conv1d ? in : out, conv1d ? out : in };
    const ss_attributes attributes = { .columns = out, .transposed = conv1d };
    SS_TRY(ss_transformer_parameter(t, module, "weight", 2, shape, &parameters[0]));
    if (bias) SS_TRY(ss_transformer_parameter(t, module, "bias", 1, &out, &parameters[1]));
    SS_TRY(add_node(t, &ss_op_linear, module, "Linear", &attributes, 1, &input, 2, parameters, value));
    bool adapted = false;
    if (t->adapter != NULL) SS_TRY(ss_adapter_find(t->context, t->adapter, module, &adapted));
    if (!adapted) return SS_OK;
    SS_TRY(adapter_factor(t, module, "lora_A", t->adapter->rank, &side));
    SS_TRY(adapter_factor(t, module, "lora_B", out, &side));
    const int32_t terms[2] = { *value, side };
    SS_TRY(add_node(t, &ss_op_add, module, "adapted",
                    &(ss_attributes){ .alpha = 1.0, .beta = t->adapter->scale }, 2, terms, 0, NULL, value));
fail:
    return status;
}

ss_status ss_transformer_norm(ss_transformer *t, const char *module, int64_t columns, int32_t *value)
{
    ss_status                    status = SS_OK;
    const ss_transformer_config *c = t->config;
    int32_t                      input = *value, parameters[2] = { -1, -1 };
    const ss_attributes          attributes = { .columns = columns,
                                                .eps = c->eps,
                                                .centered = !c->row->rms,
                                                .gain_offset = c->row->one_plus ? 1.0 : 0.0 };
    if (c->norm_affine) SS_TRY(ss_transformer_parameter(t, module, "weight", 1, &columns, &parameters[0]));
    if (c->norm_affine && c->norm_bias)
        SS_TRY(ss_transformer_parameter(t, module, "bias", 1, &columns, &parameters[1]));
    SS_TRY(add_node(t, &ss_op_norm, module, c->row->rms ? "RMSNorm" : "LayerNorm", &attributes, 1, &input, 2,
                    parameters, value));
fail:
    return status;
}

ss_status ss_transformer_pointwise(ss_transformer *t, const char *module, ss_function function,
                                   int32_t *value)
{
    int32_t input = *value;
    return add_node(t, &ss_op_pointwise, module, "activation", &(ss_attributes){ .function = function }, 1,
                    &input, 0, NULL, value);
}

ss_status ss_transformer_add(ss_transformer *t, const char *name, int32_t other, int32_t *value)
{
    const int32_t terms[2] = { *value, other };
    return add_node(t, &ss_op_add, name, "sum", &(ss_attributes){ .alpha = 1.0, .beta = 1.0 }, 2, terms, 0,
                    NULL, value);
}

/* ---- Attention ------------------------------------------------------------------------------------------
 */

/* "model.layers.3.self_attn.q_proj": a module of the block that is being appended. */
typedef struct block {
    ss_transformer *t;
    int64_t         number;
    char            text[SS_MODULE_TEXT]; /* of the last name asked for */
} block;

static const char *name_of(block *b, const char *part)
{
    const ss_tensor_names *names = b->t->config->row->names;
    snprintf(b->text, sizeof b->text, "%s%s%lld.%s", names->base, names->layer, (long long)b->number, part);
    return b->text;
}

/* heads x dim elements of each token, seen as [T, heads, dim]. */
static ss_status see_heads(ss_transformer *t, int32_t base, int64_t heads, int64_t offset,
                           int64_t head_stride, int32_t *value)
{
    const int64_t dim = t->config->head_dim;
    const int64_t shape[3] = { t->tokens, heads, dim };
    const int64_t strides[3] = { last_extent(t, base), head_stride, 1 };
    return ss_graph_add_view(t->graph, base, 3, shape, offset, strides, value);
}

/* Queries, keys and values of x, each [T, heads, dim]. */
static ss_status project(block *b, int32_t x, int32_t *q, int32_t *k, int32_t *v)
{
    ss_status                    status = SS_OK;
    ss_transformer              *t = b->t;
    const ss_transformer_config *c = t->config;
    const ss_tensor_names       *n = c->row->names;
    int64_t                      d = c->head_dim, queries = c->heads * d, keys = c->key_heads * d;
    int32_t                      packed = x;
    if (c->row->packing == SS_PACKING_NONE) {
        *q = *k = *v = x;
        SS_TRY(ss_transformer_linear(t, name_of(b, n->query), queries, c->qkv_bias, c->row->conv1d, q));
        SS_TRY(ss_transformer_linear(t, name_of(b, n->key), keys, c->qkv_bias, c->row->conv1d, k));
        SS_TRY(ss_transformer_linear(t, name_of(b, n->value), keys, c->qkv_bias, c->row->conv1d, v));
        SS_TRY(see_heads(t, *q, c->heads, 0, d, q));
        SS_TRY(see_heads(t, *k, c->key_heads, 0, d, k));
        SS_TRY(see_heads(t, *v, c->key_heads, 0, d, v));
        return SS_OK;
    }
    bool    per_head = c->row->packing == SS_PACKING_PER_HEAD;
    int64_t stride = per_head ? 3 * d : d;
    SS_TRY(ss_transformer_linear(t, name_of(b, n->packed), queries + 2 * keys, c->qkv_bias, c->row->conv1d,
                                 &packed));
    SS_TRY(see_heads(t, packed, c->heads, 0, stride, q));
    SS_TRY(see_heads(t, packed, c->key_heads, per_head ? d : queries, stride, k));
    SS_TRY(see_heads(t, packed, c->key_heads, per_head ? 2 * d : queries + keys, stride, v));
fail:
    return status;
}

static ss_status rotate(block *b, const char *part, int32_t *value)
{
    int32_t input = *value;
    return add_node(b->t, &ss_op_rope, name_of(b, part), "rotary", NULL, 1, &input, 1, &b->t->rotary, value);
}

static ss_status attention(block *b, int32_t *value)
{
    ss_status                    status = SS_OK;
    ss_transformer              *t = b->t;
    const ss_transformer_config *c = t->config;
    const ss_tensor_names       *n = c->row->names;
    int32_t                      inputs[4] = { -1, -1, -1, t->mask };
    int32_t                      seen = -1;
    bool                         slides = c->slides != NULL && c->slides[b->number];
    const ss_attributes          attributes = { .heads = (int32_t)c->heads,
                                                .key_heads = (int32_t)c->key_heads,
                                                .scale =
                                                    c->scale / (c->scale_by_layer ? (double)(b->number + 1) : 1.0),
                                                .cap = c->score_cap,
                                                .causal = c->row->task == SS_TASK_CAUSAL_LM,
                                                .window = slides && c->window < t->tokens ? c->window : 0 };
    SS_TRY(project(b, *value, &inputs[0], &inputs[1], &inputs[2]));
    if (n->query_norm != NULL) {
        SS_TRY(ss_transformer_norm(t, name_of(b, n->query_norm), c->head_dim, &inputs[0]));
        SS_TRY(ss_transformer_norm(t, name_of(b, n->key_norm), c->head_dim, &inputs[1]));
    }
    if (t->rotary >= 0) {
        SS_TRY(rotate(b, n->query != NULL ? n->query : n->packed, &inputs[0]));
        SS_TRY(rotate(b, n->key != NULL ? n->key : n->packed, &inputs[1]));
    }
    SS_TRY(add_node(t, &ss_op_attention, name_of(b, n->output), "attention", &attributes,
                    t->mask >= 0 ? 4 : 3, inputs, 0, NULL, &seen));
    const int64_t shape[2] = { t->tokens, c->heads * c->head_dim };
    const int64_t strides[2] = { c->heads * c->head_dim, 1 };
    SS_TRY(ss_graph_add_view(t->graph, seen, 2, shape, 0, strides, value));
    SS_TRY(ss_transformer_linear(t, name_of(b, n->output), c->width, c->out_bias, c->row->conv1d, value));
fail:
    return status;
}

/* ---- Feed-forward part ----------------------------------------------------------------------------------
 */

/* down(act(up x)), or down(act(gate x) o (up x)); `prefix` stands in front of the modules' names. */
static ss_status feed_forward(block *b, const char *prefix, int32_t *value)
{
    ss_status                    status = SS_OK;
    ss_transformer              *t = b->t;
    const ss_transformer_config *c = t->config;
    const ss_tensor_names       *n = c->row->names;
    int32_t                      gate = *value, up = *value;
    char                         part[96];
    snprintf(part, sizeof part, "%s%s", prefix, n->up);
    if (!c->row->gated) {
        SS_TRY(ss_transformer_linear(t, name_of(b, part), c->inner, c->mlp_bias, c->row->conv1d, &up));
        SS_TRY(ss_transformer_pointwise(t, name_of(b, part), c->activation, &up));
    } else {
        char gated[96];
        snprintf(gated, sizeof gated, "%s%s", prefix, n->gate);
        SS_TRY(ss_transformer_linear(t, name_of(b, gated), c->inner, c->mlp_bias, c->row->conv1d, &gate));
        SS_TRY(ss_transformer_pointwise(t, name_of(b, gated), c->activation, &gate));
        SS_TRY(ss_transformer_linear(t, name_of(b, part), c->inner, c->mlp_bias, c->row->conv1d, &up));
        const int32_t factors[2] = { gate, up };
        SS_TRY(add_node(t, &ss_op_multiply, name_of(b, gated), "gate", NULL, 2, factors, 0, NULL, &up));
    }
    snprintf(part, sizeof part, "%s%s", prefix, n->down);
    *value = up;
    SS_TRY(ss_transformer_linear(t, name_of(b, part), c->width, c->mlp_bias, c->row->conv1d, value));
fail:
    return status;
}

/* sum over experts e of r_e(x) f_e(x), r the router. */
static ss_status experts(block *b, int32_t *value)
{
    ss_status                    status = SS_OK;
    ss_transformer              *t = b->t;
    const ss_transformer_config *c = t->config;
    int32_t                      x = *value, routes = x, share, sum = -1;
    const int64_t                shape[2] = { t->tokens, 1 }, strides[2] = { c->experts, 1 };
    SS_TRY(ss_transformer_linear(t, name_of(b, c->row->names->router), c->experts, false, false, &routes));
    const int32_t scores = routes;
    SS_TRY(add_node(t, &ss_op_router, name_of(b, c->row->names->router), "router",
                    &(ss_attributes){ .top_k = c->top_k }, 1, &scores, 0, NULL, &routes));
    for (int64_t e = 0; e < c->experts; e++) {
        int32_t y = x;
        char    prefix[64];
        snprintf(prefix, sizeof prefix, "%s%lld.", c->row->names->expert, (long long)e);
        SS_TRY(feed_forward(b, prefix, &y));
        SS_TRY(ss_graph_add_view(t->graph, routes, 2, shape, e, strides, &share));
        const int32_t scaled[2] = { y, share };
        SS_TRY(add_node(t, &ss_op_row_scale, name_of(b, prefix), "share", NULL, 2, scaled, 0, NULL, &y));
        if (sum < 0)
            sum = y;
        else
            SS_TRY(ss_transformer_add(t, name_of(b, prefix), y, &sum));
    }
    *value = sum;
fail:
    return status;
}

static ss_status second_half(block *b, int32_t *value)
{
    return b->t->config->row->names->router != NULL ? experts(b, value) : feed_forward(b, "", value);
}

/* ---- The block ------------------------------------------------------------------------------------------
 */

static ss_status norm(block *b, const char *part, int32_t *value)
{
    return ss_transformer_norm(b->t, name_of(b, part), b->t->config->width, value);
}

/* x + attention(norm x) + mlp(norm x), with one norm or two. */
static ss_status parallel_block(block *b, int32_t *value)
{
    ss_status              status = SS_OK;
    const ss_tensor_names *n = b->t->config->row->names;
    int32_t                x = *value, first = x, second = x;
    SS_TRY(norm(b, n->attention_norm, &first));
    if (n->mlp_norm != NULL)
        SS_TRY(norm(b, n->mlp_norm, &second));
    else
        second = first;
    SS_TRY(attention(b, &first));
    SS_TRY(second_half(b, &second));
    SS_TRY(ss_transformer_add(b->t, name_of(b, n->output), second, &first));
    SS_TRY(ss_transformer_add(b->t, name_of(b, n->down), first, value));
fail:
    return status;
}

/* One half of a sequential block. */
static ss_status residual(block *b, ss_status (*body)(block *, int32_t *), const char *before_name,
                          const char *after_name, const char *sum_name, int32_t *value)
{
    ss_status    status = SS_OK;
    ss_placement placement = b->t->config->placement;
    int32_t      x = *value, y = *value;
    if (placement != SS_NORM_AFTER) SS_TRY(norm(b, before_name, &y));
    SS_TRY(body(b, &y));
    if (placement == SS_NORM_AROUND) SS_TRY(norm(b, after_name, &y));
    SS_TRY(ss_transformer_add(b->t, name_of(b, sum_name), x, &y));
    if (placement == SS_NORM_AFTER) SS_TRY(norm(b, before_name, &y));
    *value = y;
fail:
    return status;
}

ss_status ss_transformer_block(ss_transformer *t, int64_t number, int32_t *value)
{
    ss_status              status = SS_OK;
    const ss_tensor_names *n = t->config->row->names;
    block                  b = { .t = t, .number = number };
    if (t->config->parallel) return parallel_block(&b, value);
    SS_TRY(residual(&b, attention, n->attention_norm, n->attention_post_norm, n->output, value));
    SS_TRY(residual(&b, second_half, n->mlp_norm, n->mlp_post_norm, n->down != NULL ? n->down : "", value));
fail:
    return status;
}
