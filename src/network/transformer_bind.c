/* Binding published weights to the parameters of a transformer, and initial weights for those that are not
 * there.
 *
 * Files name tensors with wrappers in front ("_orig_mod.", "module."), with or without the name of the
 * headless model ("transformer.", "bert."), and old ones say gamma and beta. The parameters take the names of
 * the file, wrappers left out. Every tensor of the file must belong to a parameter, be a buffer that nothing
 * computes with, repeat a tied weight, or belong to a head of another class (which is said). */
#include "network/transformer.h"

#include "base/philox.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* How the file names things. */
typedef struct style {
    const char *wrapper; /* its first `length` bytes stand in front of every name; borrowed */
    size_t      length;
    bool        based; /* with the headless model's name */
} style;

typedef struct binder {
    ss_graph                     *graph;
    const ss_transformer_config  *config;
    const ss_transformer_weights *from;
    const ss_archive             *archive; /* from->archive */
    const char                   *path;
    style                         style;
    uint64_t                      drawn;   /* random numbers taken */
    char                         *missing; /* names, for the message; owned */
    int32_t                       n_missing;
} binder;

/* Buffers of published models that hold no parameters. */
static const char *const buffers[] = { "*attn.bias",           "*attn.masked_bias",
                                       "*attention.bias",      "*attention.masked_bias",
                                       "*rotary_emb.inv_freq", "*position_ids",
                                       "*token_type_ids",      "*num_batches_tracked" };

/* Heads of other classes of the same family. */
static const char *const other_heads[] = { "*pooler.*",    "cls.*",        "lm_head.*",
                                           "classifier.*", "qa_outputs.*", "score.*" };

static bool matches_any(const char *name, const char *const *globs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fnmatch(globs[i], name, 0) == 0) return true;
    return false;
}

static bool is_adapter(const char *name)
{
    return strncmp(name, "base_model.model.", 17) == 0;
}

/* ---- Names ----------------------------------------------------------------------------------------------
 */

/* Finds the token table (of images: the patch projection) and reads the style off what stands before it. */
static void find_style(binder *b)
{
    const ss_tensor_names *n = b->config->row->names;
    char                   anchor[SS_MODULE_TEXT];
    size_t                 base = strlen(n->base), best = SIZE_MAX;
    int                    tail = snprintf(anchor, sizeof anchor, "%s.weight", n->tokens);
    b->style = (style){ .wrapper = "", .based = true };
    for (int64_t i = 0; i < ss_archive_count(b->archive); i++) {
        const char *name = ss_archive_at(b->archive, i)->name;
        size_t      whole = strlen(name);
        if (whole < (size_t)tail || strcmp(name + whole - tail, anchor) != 0) continue;
        size_t before = whole - (size_t)tail;
        if (before >= best || (before > 0 && name[before - 1] != '.')) continue;
        best = before;
        b->style.wrapper = name;
        b->style.based = before >= base && strncmp(name + before - base, n->base, base) == 0;
        b->style.length = b->style.based ? before - base : before;
    }
}

/* The tensor of a declared name; *found NULL if there is none. When it is called otherwise in the file, the
 * parameter is renamed. */
static ss_status find_tensor(binder *b, ss_parameter *p, const ss_array **found)
{
    static const char *const old[][2] = { { ".weight", ".gamma" }, { ".bias", ".beta" } };
    ss_status                status = SS_OK;
    ss_context              *context = b->graph->context;
    const char              *base = b->config->row->names->base, *own = p->name;
    size_t                   length = strlen(base);
    char                    *name = NULL;

    *found = NULL;
    if (!b->style.based && strncmp(own, base, length) == 0) own += length;
    for (int k = -1; k < 2 && *found == NULL; k++) {
        size_t whole = strlen(own), tail = k >= 0 ? strlen(old[k][0]) : 0;
        if (k >= 0 && (whole < tail || strcmp(own + whole - tail, old[k][0]) != 0)) continue;
        ss_free(context, name);
        name = NULL;
        SS_TRY(ss_format(context, &name, "%.*s%.*s%s", (int)b->style.length, b->style.wrapper,
                         (int)(whole - tail), own, k >= 0 ? old[k][1] : ""));
        *found = ss_archive_find(b->archive, name);
    }
    const char *now = *found != NULL ? name + b->style.length : own;
    if (strcmp(now, p->name) != 0) {
        char *copy = NULL;
        SS_TRY(ss_copy_string(context, now, &copy));
        ss_free(context, p->name);
        p->name = copy;
        p->array.name = copy;
    }
fail:
    ss_free(context, name);
    return status;
}

/* ---- Initial weights ------------------------------------------------------------------------------------
 */

/* The gain of a norm: where its function is the identity. NaN: no gain. */
static double gain_of(const ss_graph *graph, int32_t parameter)
{
    for (int32_t i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i].op == &ss_op_norm && graph->nodes[i].parameter[0] == parameter)
            return 1.0 - graph->nodes[i].attributes.gain_offset;
    return NAN;
}

/* As the published classes start: N(0, initializer_range) for matrices and tables (GPT-2: projections onto
 * the residual stream smaller by sqrt(2 layers)), zero biases, norms that only normalise; LoRA's B zero. */
static ss_status initialise(binder *b, int32_t parameter, uint64_t seed)
{
    ss_status     status = SS_OK;
    ss_parameter *p = &b->graph->parameters[parameter];
    double        constant = gain_of(b->graph, parameter), spread = 0.0;
    size_t        length = strlen(p->name);
    float        *data = NULL; /* float32 as torch would: both precisions start from the same point */
    bool          residual = length >= 13 && strcmp(p->name + length - 13, "c_proj.weight") == 0;

    if (isnan(constant)) {
        constant = 0.0;
        bool bias = length >= 5 && strcmp(p->name + length - 5, ".bias") == 0;
        spread = bias ? 0.0 : b->config->initial;
        if (residual) spread /= sqrt(2.0 * (double)b->config->layers);
    }
    SS_TRY(SS_NEW_ARRAY(b->graph->context, p->count, &data));
    SS_TRY(ss_reallocate(b->graph->context, (int64_t)b->graph->n_blocks + 1, sizeof(void *),
                         (void **)&b->graph->blocks));
    b->graph->blocks[b->graph->n_blocks++] = data;
    for (int64_t i = 0; i < p->count; i++)
        data[i] = (float)(constant + spread * ss_random_normal(seed, SS_STREAM_WEIGHTS, b->drawn++));
    p->array.type = SS_F32;
    p->array.data = data;
    p->bound = p->array;
    return SS_OK;
fail:
    ss_free(b->graph->context, data);
    return status;
}

/* "NAME:SEED" for this parameter? NAME is the tensor, a module in front of it, or a glob. */
static ss_status initial_seed(binder *b, const char *name, bool *given, uint64_t *seed)
{
    ss_status status = SS_OK;
    char     *pattern = NULL;
    *given = b->from->random;
    *seed = b->from->seed;
    for (int32_t i = 0; i < b->from->n_initial && !*given; i++) {
        const ss_initial_rule *rule = &b->from->initial[i];
        SS_TRY(ss_format(b->graph->context, &pattern, "%s.*", rule->name));
        *given = fnmatch(rule->name, name, 0) == 0 || fnmatch(pattern, name, 0) == 0;
        *seed = rule->seed;
        ss_free(b->graph->context, pattern);
        pattern = NULL;
    }
fail:
    ss_free(b->graph->context, pattern);
    return status;
}

/* ---- Tensors that no parameter asks for -----------------------------------------------------------------
 */

static bool is_parameter(const ss_graph *graph, const char *name)
{
    int32_t low = 0, high = graph->n_parameters - 1; /* sorted */
    while (low <= high) {
        int32_t middle = low + (high - low) / 2;
        int     order = strcmp(name, graph->parameters[middle].name);
        if (order == 0) return !graph->parameters[middle].computed;
        if (order < 0)
            high = middle - 1;
        else
            low = middle + 1;
    }
    return false;
}

/* Does the tensor repeat a parameter's values? */
static bool repeats(const ss_array *array, const ss_parameter *p)
{
    int64_t count = 1;
    for (int32_t d = 0; d < array->rank; d++) count *= array->shape[d];
    if (count != p->count || array->type != p->array.type) return false;
    return memcmp(array->data, p->array.data, (size_t)count * ss_type_size(array->type)) == 0;
}

/* The parameter that a tied copy of this name repeats; -1 = the name is no tied copy. */
static int32_t tied_to(const binder *b, const char *name)
{
    const ss_architecture *row = b->config->row;
    size_t                 length = strlen(row->head);
    if (!b->config->tied || strncmp(name, row->head, length) != 0) return -1;
    if (strcmp(name + length, ".weight") == 0) return b->graph->head.weight;
    if (strcmp(name + length, ".bias") == 0) return b->graph->head.bias;
    return -1;
}

static ss_status check_extra(binder *b, const ss_array *array, const char **noted)
{
    char        text[SS_QUOTE_TEXT];
    ss_context *context = b->graph->context;
    bool        wrapped = strncmp(array->name, b->style.wrapper, b->style.length) == 0;
    const char *name = array->name + (wrapped ? b->style.length : 0);
    if (wrapped && is_parameter(b->graph, name)) return SS_OK;
    if (wrapped && matches_any(name, buffers, sizeof buffers / sizeof *buffers)) return SS_OK;
    int32_t tied = wrapped ? tied_to(b, name) : -1;
    if (tied >= 0 && repeats(array, &b->graph->parameters[tied])) return SS_OK;
    if (tied >= 0)
        return ss_fail(context, SS_ERROR_INPUT,
                       "%s: tensor %s differs from %s, but the configuration ties them (tie_word_embeddings)",
                       b->path, ss_quote(array->name, text), b->graph->parameters[tied].name);
    size_t length =
        strlen(b->config->row->head); /* of the head that is built: nothing else may stand there */
    bool own = strncmp(name, b->config->row->head, length) == 0 && name[length] == '.';
    if (wrapped && !own && matches_any(name, other_heads, sizeof other_heads / sizeof *other_heads)) {
        if (*noted == NULL) *noted = array->name;
        return SS_OK;
    }
    return ss_fail(context, SS_ERROR_INPUT, "%s: tensor %s belongs to no layer of %s", b->path,
                   ss_quote(array->name, text), b->config->row->class_name);
}

static ss_status check_extras(binder *b)
{
    ss_status   status = SS_OK;
    const char *noted = NULL;
    char        text[SS_QUOTE_TEXT];
    for (int64_t i = 0; i < ss_archive_count(b->archive); i++)
        SS_TRY(check_extra(b, ss_archive_at(b->archive, i), &noted));
    if (noted != NULL)
        ss_log(b->graph->context, SS_LOG_WARNING,
               "%s: %s and perhaps others belong to a head that %s does not have: not used", b->path,
               ss_quote(noted, text), b->config->row->class_name);
fail:
    return status;
}

static ss_status check_adapter(const ss_graph *graph, const ss_adapter *adapter)
{
    char    text[SS_QUOTE_TEXT];
    int64_t adapted = 0;
    for (int64_t i = 0; i < ss_archive_count(adapter->archive); i++) {
        const char *name = ss_archive_at(adapter->archive, i)->name;
        if (!is_parameter(graph, name))
            return ss_fail(graph->context, SS_ERROR_INPUT,
                           "%s: tensor %s adapts no linear module of the base model",
                           ss_archive_path(adapter->archive), ss_quote(name, text));
        adapted++;
    }
    if (adapted == 0)
        return ss_fail(graph->context, SS_ERROR_INPUT, "%s: the adapter holds no tensors",
                       ss_archive_path(adapter->archive));
    return SS_OK;
}

/* ---- All ------------------------------------------------------------------------------------------------
 */

static ss_status note_missing(binder *b, const char *name)
{
    ss_status status = SS_OK;
    char     *longer = NULL;
    if (b->n_missing++ >= 4) return SS_OK;
    SS_TRY(ss_format(b->graph->context, &longer, "%s%s%s", b->missing != NULL ? b->missing : "",
                     b->missing != NULL ? ", " : "", name));
    ss_free(b->graph->context, b->missing);
    b->missing = longer;
fail:
    return status;
}

static ss_status bind_one(binder *b, int32_t parameter)
{
    ss_status       status = SS_OK;
    ss_parameter   *p = &b->graph->parameters[parameter];
    const ss_array *array = NULL;
    bool            given;
    uint64_t        seed;

    if (p->computed) return SS_OK;
    if (is_adapter(p->name)) {
        array = ss_archive_find(b->from->adapter->archive, p->name);
        if (array != NULL)
            return ss_graph_bind_array(b->graph->context, p, array,
                                       ss_archive_path(b->from->adapter->archive));
        return note_missing(b, p->name);
    }
    if (b->archive != NULL) SS_TRY(find_tensor(b, p, &array));
    if (array != NULL) return ss_graph_bind_array(b->graph->context, p, array, b->path);
    SS_TRY(initial_seed(b, p->name, &given, &seed));
    if (given) return initialise(b, parameter, seed);
    SS_TRY(note_missing(b, p->name));
fail:
    return status;
}

/* Every --init-missing must have found something: otherwise it is a misspelling. */
static ss_status check_rules(const binder *b)
{
    for (int32_t r = 0; r < b->from->n_initial; r++) {
        bool used = false;
        for (int32_t i = 0; i < b->graph->n_parameters && !used; i++) {
            const ss_parameter *p = &b->graph->parameters[i];
            for (int32_t k = 0; k < b->graph->n_blocks && !used; k++) {
                size_t length = strlen(b->from->initial[r].name);
                used = p->array.data == b->graph->blocks[k] && !p->computed &&
                       (fnmatch(b->from->initial[r].name, p->name, 0) == 0 ||
                        (strncmp(p->name, b->from->initial[r].name, length) == 0 && p->name[length] == '.'));
            }
        }
        if (!used)
            return ss_fail(b->graph->context, SS_ERROR_USAGE,
                           "--init-missing: no missing tensor is called '%s'", b->from->initial[r].name);
    }
    return SS_OK;
}

ss_status ss_transformer_bind(ss_graph *graph, const ss_transformer_config *config,
                              const ss_transformer_weights *from)
{
    ss_status status = SS_OK;
    binder    b = { .graph = graph, .config = config, .from = from, .archive = from->archive };

    b.path = b.archive != NULL ? ss_archive_path(b.archive) : "";
    SS_TRY(ss_graph_sort_parameters(graph));
    if (b.archive != NULL) find_style(&b);
    for (int32_t i = 0; i < graph->n_parameters; i++) SS_TRY(bind_one(&b, i));
    if (b.n_missing > 0)
        SS_FAIL(graph->context, SS_ERROR_INPUT,
                "%s: %d tensor%s of %s missing: %s%s (--init-missing NAME:SEED starts them at random)",
                b.path, b.n_missing, b.n_missing == 1 ? "" : "s", config->row->class_name, b.missing,
                b.n_missing > 4 ? ", ..." : "");
    SS_TRY(ss_graph_sort_parameters(graph)); /* some have been renamed */
    if (b.archive != NULL) SS_TRY(check_extras(&b));
    if (from->adapter != NULL) SS_TRY(check_adapter(graph, from->adapter));
    SS_TRY(check_rules(&b));
fail:
    ss_free(graph->context, b.missing);
    return status;
}
