/* Binding stored weights to declared parameters, and seeded weights. */
#include "base/philox.h"
#include "io/archive.h"
#include "network/graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Buffers that torch keeps in a state_dict and that no computation reads. */
static bool is_ignored(const char *name)
{
    static const char suffix[] = "num_batches_tracked";
    size_t            length = strlen(name), tail = sizeof suffix - 1;
    return length >= tail && strcmp(name + length - tail, suffix) == 0 &&
           (length == tail || name[length - tail - 1] == '.');
}

/* The tensor "<prefix><name>", the prefix being the first `length` bytes of `prefix`; NULL if there is none.
 */
static ss_status find_prefixed(ss_context *context, const ss_archive *archive, const char *prefix,
                               size_t length, const char *name, const ss_array **array)
{
    char     *full = NULL;
    ss_status status = SS_OK;
    *array = NULL;
    SS_TRY(ss_format(context, &full, "%.*s%s", (int)length, prefix, name));
    *array = ss_archive_find(archive, full);
fail:
    ss_free(context, full);
    return status;
}

/* Are all declared parameters in the file under this prefix? The first that is not goes to *missing. */
static ss_status prefix_fits(const ss_graph *graph, const ss_archive *archive, const char *prefix,
                             size_t length, int32_t *missing)
{
    ss_status       status = SS_OK;
    const ss_array *array;
    *missing = -1;
    for (int32_t i = 0; i < graph->n_parameters && *missing < 0; i++) {
        if (graph->parameters[i].computed) continue;
        SS_TRY(find_prefixed(graph->context, archive, prefix, length, graph->parameters[i].name, &array));
        if (array == NULL) *missing = i;
    }
fail:
    return status;
}

/* The prefix under which all declared names are found: none, or what precedes the first missing name in some
 * tensor's name. *missing < 0 on success; then *prefix borrows from the archive. */
static ss_status choose_prefix(const ss_graph *graph, const ss_archive *archive, const char **prefix,
                               size_t *length, int32_t *missing)
{
    ss_status status = SS_OK;
    int32_t   absent;
    *prefix = "";
    *length = 0;
    SS_TRY(prefix_fits(graph, archive, "", 0, missing));
    if (*missing < 0) return SS_OK;
    const char *first = graph->parameters[*missing].name;
    size_t      tail = strlen(first);
    for (int64_t i = 0; i < ss_archive_count(archive); i++) {
        const char *name = ss_archive_at(archive, i)->name;
        size_t      whole = strlen(name);
        if (whole <= tail + 1 || name[whole - tail - 1] != '.' || strcmp(name + whole - tail, first) != 0)
            continue;
        SS_TRY(prefix_fits(graph, archive, name, whole - tail, &absent));
        if (absent >= 0) continue;
        *prefix = name;
        *length = whole - tail;
        *missing = absent;
        break;
    }
fail:
    return status;
}

/* SS_ERROR_INPUT when the file holds a tensor that no parameter asks for: most likely the wrong network. */
static ss_status refuse_extra(const ss_graph *graph, const ss_archive *archive, const char *path,
                              const char *prefix, size_t length)
{
    char text[SS_QUOTE_TEXT];
    for (int64_t i = 0; i < ss_archive_count(archive); i++) {
        const char *name = ss_archive_at(archive, i)->name;
        bool        known = is_ignored(name);
        bool        prefixed = strncmp(name, prefix, length) == 0;
        int32_t     low = 0, high = graph->n_parameters - 1; /* the parameters are sorted */
        while (prefixed && !known && low <= high) {
            int32_t middle = low + (high - low) / 2;
            int     order = strcmp(name + length, graph->parameters[middle].name);
            known = order == 0 && !graph->parameters[middle].computed;
            if (order == 0) break;
            if (order < 0)
                high = middle - 1;
            else
                low = middle + 1;
        }
        if (!known)
            return ss_fail(graph->context, SS_ERROR_INPUT, "%s: tensor %s belongs to no layer of the network",
                           path, ss_quote(name, text));
    }
    return SS_OK;
}

ss_status ss_graph_bind_array(ss_context *context, ss_parameter *p, const ss_array *array, const char *path)
{
    ss_status      status = SS_OK;
    char           found[SS_SHAPE_TEXT], wanted[SS_SHAPE_TEXT], name[SS_QUOTE_TEXT];
    bool           as_declared = p->stored_rank == 0;
    int32_t        rank = as_declared ? p->array.rank : p->stored_rank;
    const int64_t *shape = as_declared ? p->array.shape : p->stored_shape;
    bool           same = array->rank == rank;
    for (int32_t d = 0; same && d < rank; d++) same = array->shape[d] == shape[d];
    if (!same)
        SS_FAIL(context, SS_ERROR_INPUT, "%s: tensor %s has shape %s, the network expects %s", path,
                ss_quote(array->name, name), ss_shape_text(array->rank, array->shape, found),
                ss_shape_text(rank, shape, wanted));
    if (!ss_type_is_float(array->type))
        SS_FAIL(context, SS_ERROR_INPUT, "%s: tensor %s has type %s, weights must be F64, F32, F16 or BF16",
                path, ss_quote(array->name, name), ss_type_name(array->type));
    SS_TRY(ss_array_require_finite(context, path, array));
    p->array.type = array->type;
    p->array.data = array->data;
    p->bound = p->array;
fail:
    return status;
}

/* "sequential, 13 layers, 760 parameters in 16 tensors, F32" */
static ss_status describe(ss_graph *graph, const char *weights, const char *prefix, size_t length)
{
    ss_status   status = SS_OK;
    int64_t     parameters = 0;
    int32_t     tensors = 0;
    const char *type = NULL;
    char       *text = NULL, *stripped = NULL;
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        const ss_parameter *p = &graph->parameters[i];
        if (!p->trainable) continue;
        parameters += p->count;
        tensors++;
        const char *own = ss_type_name(p->array.type);
        type = type == NULL || strcmp(type, own) == 0 ? own : "mixed types";
    }
    SS_TRY(ss_format(graph->context, &stripped, length > 0 ? ", names without '%.*s'" : "%.*s", (int)length,
                     prefix));
    SS_TRY(ss_format(graph->context, &text, "%s, %d layers, %lld parameters in %d tensors, %s%s%s",
                     graph->description != NULL ? graph->description : "network", graph->n_layers,
                     (long long)parameters, tensors, type != NULL ? type : "no type", weights, stripped));
    ss_free(graph->context, graph->description);
    graph->description = text;
fail:
    ss_free(graph->context, stripped);
    return status;
}

ss_status ss_graph_bind(ss_graph *graph, ss_archive *archive, const char *path)
{
    ss_status       status = SS_OK;
    ss_context     *context = graph->context;
    const char     *prefix = "";
    size_t          length = 0;
    int32_t         missing = -1;
    const ss_array *array;

    SS_TRY(ss_graph_sort_parameters(graph));
    if (graph->n_parameters > 0) SS_TRY(choose_prefix(graph, archive, &prefix, &length, &missing));
    if (missing >= 0)
        SS_FAIL(context, SS_ERROR_INPUT,
                "%s: tensor '%s' of the network is missing (the file holds %lld tensors)", path,
                graph->parameters[missing].name, (long long)ss_archive_count(archive));
    SS_TRY(refuse_extra(graph, archive, path, prefix, length));
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        if (graph->parameters[i].computed) continue;
        SS_TRY(find_prefixed(context, archive, prefix, length, graph->parameters[i].name, &array));
        SS_TRY(ss_graph_bind_array(context, &graph->parameters[i], array, path));
    }
    SS_TRY(describe(graph, "", prefix, length));
    SS_TRY(ss_reallocate(context, graph->n_files + 1, sizeof(ss_archive *), (void **)&graph->files));
    graph->files[graph->n_files++] = archive;
fail:
    return status;
}

/* How torch draws a parameter by default: U(-width, width) about `constant`, or N(0, 1). */
typedef struct drawing {
    double constant, width;
    bool   normal;
} drawing;

/* Linear maps and the head: width 1/sqrt(fan_in) for weight and bias; embeddings and class tokens: normal,
 * unless the table is the head's weight too; gains 1 with their offset; everything else 0. */
static drawing drawing_of(const ss_graph *graph, int32_t parameter)
{
    drawing d = { 0 };
    int32_t head = graph->head.weight;
    if (head >= 0 && (parameter == head || parameter == graph->head.bias)) {
        d.width = 1.0 / sqrt((double)graph->parameters[head].array.shape[1]);
        return d;
    }
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        const ss_node *node = &graph->nodes[i];
        for (int32_t k = 0; k < node->n_parameters; k++) {
            if (node->parameter[k] != parameter) continue;
            const int64_t *shape = graph->parameters[node->parameter[0]].array.shape;
            if (node->op == &ss_op_linear)
                d.width = 1.0 / sqrt((double)shape[node->attributes.transposed ? 0 : 1]);
            if (node->op == &ss_op_norm && k == 0) d.constant = 1.0 - node->attributes.gain_offset;
            d.normal = node->op == &ss_op_embedding || node->op == &ss_op_class_token;
            return d;
        }
    }
    return d;
}

ss_status ss_graph_bind_seeded(ss_graph *graph, uint64_t seed)
{
    ss_status   status = SS_OK;
    ss_context *context = graph->context;
    uint64_t    number = 0; /* of the random number: elements in canonical order, whatever is active */
    char        text[64];

    SS_TRY(ss_graph_sort_parameters(graph));
    SS_TRY(ss_reallocate(context, (int64_t)graph->n_blocks + graph->n_parameters, sizeof(void *),
                         (void **)&graph->blocks));
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        ss_parameter *p = &graph->parameters[i];
        drawing       d = drawing_of(graph, i);
        float *data = NULL; /* float32 as torch would: both precisions then start from the same point */
        if (p->computed) continue;
        SS_TRY(SS_NEW_ARRAY(context, p->count, &data));
        graph->blocks[graph->n_blocks++] = data;
        for (int64_t k = 0; k < p->count; k++) {
            double z = d.normal ? ss_random_normal(seed, SS_STREAM_WEIGHTS, number)
                                : 2.0 * ss_random_uniform(seed, SS_STREAM_WEIGHTS, number) - 1.0;
            data[k] = (float)(d.constant + (d.normal ? 1.0 : d.width) * z);
            number++;
        }
        p->array.type = SS_F32;
        p->array.data = data;
        p->bound = p->array;
    }
    snprintf(text, sizeof text, ", weights from seed %llu", (unsigned long long)seed);
    SS_TRY(describe(graph, text, "", 0));
fail:
    return status;
}

ss_status ss_graph_set_weights(ss_graph *graph, const double *packed)
{
    ss_status status = SS_OK;
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        ss_parameter *p = &graph->parameters[i];
        if (p->offset < 0) continue;
        if (p->moved == NULL) {
            SS_TRY(ss_reallocate(graph->context, (int64_t)graph->n_blocks + 1, sizeof(void *),
                                 (void **)&graph->blocks));
            SS_TRY(SS_NEW_ARRAY(graph->context, p->count, &p->moved));
            graph->blocks[graph->n_blocks++] = p->moved;
        }
        memcpy(p->moved, packed + p->canonical, (size_t)p->count * sizeof *p->moved);
        p->array.type = SS_F64;
        p->array.data = p->moved;
    }
fail:
    return status;
}
