/* Transformers from the outside: configuration, graph, weights and description put together
 * (network/transformer.h). */
#include "network/transformer.h"

#include <stdio.h>
#include <string.h>

/* Attributes of nodes are 32-bit, products of two sizes must not overflow. */
static ss_status check_size(ss_context *context, const ss_transformer_config *c, int64_t tokens)
{
    int64_t product, count;
    if (!ss_mul64(c->heads, c->head_dim, &product) ||
        !ss_mul64(product + 2 * c->key_heads * c->head_dim, c->width, &count) ||
        !ss_mul64(product, tokens, &count))
        return ss_fail(context, SS_ERROR_INPUT, "the sizes in the configuration are too large to count");
    return SS_OK;
}

static ss_status append_all(ss_transformer *t, bool has_mask)
{
    ss_status status = SS_OK;
    int32_t   value = -1;
    SS_TRY(ss_transformer_begin(t, has_mask, &value));
    for (int64_t i = 0; i < t->config->layers; i++) {
        t->layer++;
        SS_TRY(ss_transformer_block(t, i, &value));
    }
    t->layer++;
    SS_TRY(ss_transformer_end(t, &value));
    if (t->graph->n_layers < t->layer + 1) t->graph->n_layers = t->layer + 1;
fail:
    return status;
}

/* "818 048" */
static void group_digits(int64_t count, char out[32])
{
    char plain[24];
    int  length = snprintf(plain, sizeof plain, "%lld", (long long)count), to = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) out[to++] = ' ';
        out[to++] = plain[i];
    }
    out[to] = '\0';
}

/* "gpt2, 818 048 parameters in 52 tensors, 4 layers, width 128, 4 heads, vocabulary 65, F32" */
static ss_status describe(ss_graph *graph, const ss_transformer_config *c, const ss_transformer_weights *from)
{
    ss_status   status = SS_OK;
    ss_context *context = graph->context;
    int64_t     parameters = 0, frozen = 0;
    int32_t     tensors = 0;
    const char *type = NULL;
    char        what[96] = "", experts[64] = "", other[64] = "", start[96] = "", number[32];
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        const ss_parameter *p = &graph->parameters[i];
        if (p->computed) continue;
        if (!p->trainable) frozen += p->count;
        if (!p->trainable) continue;
        parameters += p->count;
        tensors++;
        const char *own = ss_type_name(p->array.type);
        type = type == NULL || strcmp(type, own) == 0 ? own : "mixed types";
    }
    group_digits(parameters, number);
    if (c->row->task == SS_TASK_IMAGE)
        snprintf(what, sizeof what, "%lld x %lld patches, %lld classes", (long long)(c->image[0] / c->patch),
                 (long long)(c->image[1] / c->patch), (long long)c->classes);
    else if (c->row->task == SS_TASK_SEQUENCE)
        snprintf(what, sizeof what, "vocabulary %lld, %lld classes", (long long)c->vocabulary,
                 (long long)c->classes);
    else
        snprintf(what, sizeof what, "vocabulary %lld", (long long)c->vocabulary);
    if (c->experts > 0)
        snprintf(experts, sizeof experts, ", %lld of %lld experts (all are computed)", (long long)c->top_k,
                 (long long)c->experts);
    if (from->adapter != NULL)
        snprintf(other, sizeof other, " of an adapter (%lld frozen)", (long long)frozen);
    if (from->random)
        snprintf(start, sizeof start, ", random weights (seed %llu)", (unsigned long long)from->seed);
    ss_free(context, graph->description);
    graph->description = NULL;
    SS_TRY(ss_format(context, &graph->description,
                     "%s, %s parameters in %d tensors%s, %lld layers, width %lld, %lld heads, %s%s, %s%s",
                     c->row->model_type, number, tensors, other, (long long)c->layers, (long long)c->width,
                     (long long)c->heads, what, experts, type != NULL ? type : "no type", start));
    for (int32_t i = 0; i < from->n_initial; i++) {
        char *longer = NULL;
        SS_TRY(ss_format(context, &longer, "%s, %s from seed %llu", graph->description, from->initial[i].name,
                         (unsigned long long)from->initial[i].seed));
        ss_free(context, graph->description);
        graph->description = longer;
    }
fail:
    return status;
}

ss_status ss_transformer_open(ss_context *context, const ss_json_value *root, const ss_architecture *row,
                              int64_t tokens, bool has_mask, const ss_transformer_weights *from,
                              ss_graph **graph)
{
    ss_status             status = SS_OK;
    ss_transformer_config config = { 0 };
    ss_transformer        t = { .context = context,
                                .config = &config,
                                .adapter = from->adapter,
                                .tokens = tokens,
                                .ids = -1,
                                .mask = -1,
                                .rotary = -1,
                                .table = -1 };
    *graph = NULL;
    SS_TRY(ss_transformer_config_read(context, root, row, &config));
    if (row->task != SS_TASK_IMAGE && tokens < 1)
        SS_FAIL(context, SS_ERROR_USAGE,
                "%s reads token sequences: give the data with the network (--data, --sequence-length)",
                row->class_name);
    SS_TRY(check_size(context, &config, tokens));
    SS_TRY(ss_graph_create(context, &t.graph));
    SS_TRY(append_all(&t, has_mask));
    SS_TRY(ss_transformer_bind(t.graph, &config, from));
    SS_TRY(describe(t.graph, &config, from));
    *graph = t.graph;
    t.graph = NULL;
fail:
    ss_graph_destroy(t.graph);
    ss_transformer_config_release(context, &config);
    return status;
}
