/* Reading a config.json: sizes must stand there, everything else has the default of the published
 * configuration class; both generations of keys (rope_theta and rope_scaling, rotary_pct and rotary_emb_base,
 * or nested rope_parameters). */
#include "network/transformer.h"

#include <math.h>
#include <string.h>

/* Bounds that no model comes near: products of two sizes stay far from overflow. */
enum { MOST_KEYS = 64, MOST_LAYERS = 10000, MOST_EXPERTS = 4096, MOST_PIXELS = 1 << 14 };
static const int64_t most = 1 << 24;

/* The object that is read, and the keys that have been looked at. */
typedef struct reader {
    ss_context            *context;
    const ss_json_value   *root;
    const ss_architecture *row;
    ss_transformer_config *c;
    const char            *seen[MOST_KEYS];
    int32_t                n_seen;
} reader;

static const char *look(reader *r, const char *key)
{
    if (r->n_seen < MOST_KEYS) r->seen[r->n_seen++] = key;
    return key;
}

static bool has(reader *r, const char *key)
{
    return ss_json_has(r->root, look(r, key));
}

static ss_status size(reader *r, const char *key, int64_t *out)
{
    return ss_json_integer(r->root, look(r, key), 1, most, out);
}

static ss_status size_or(reader *r, const char *key, int64_t otherwise, int64_t *out)
{
    *out = otherwise;
    return key != NULL ? ss_json_integer_or(r->root, look(r, key), 1, most, out) : SS_OK;
}

static ss_status number_or(reader *r, const char *key, double least, double largest, double otherwise,
                           double *out)
{
    *out = otherwise;
    return key != NULL ? ss_json_number_or(r->root, look(r, key), least, largest, out) : SS_OK;
}

static ss_status switch_or(reader *r, const char *key, bool otherwise, bool *out)
{
    *out = otherwise;
    return key != NULL ? ss_json_boolean_or(r->root, look(r, key), out) : SS_OK;
}

/* ---- Sizes ----------------------------------------------------------------------------------------------
 */

/* An extent of an image or patch: one number, or height and width. */
static ss_status extent(reader *r, const char *key, int64_t out[2])
{
    ss_status status = SS_OK;
    int32_t   count = 0;
    SS_TRY(ss_json_integers(r->root, look(r, key), 1, MOST_PIXELS, 2, true, out, &count));
    if (count == 0) return ss_json_fail(r->root, "%s: expected one or two numbers", key);
    if (count == 1) out[1] = out[0];
fail:
    return status;
}

static ss_status read_image(reader *r)
{
    ss_status              status = SS_OK;
    ss_transformer_config *c = r->c;
    int64_t                patch[2];
    SS_TRY(extent(r, "image_size", c->image));
    SS_TRY(extent(r, "patch_size", patch));
    c->channels = 3;
    SS_TRY(ss_json_integer_or(r->root, look(r, "num_channels"), 1, MOST_PIXELS, &c->channels));
    if (patch[0] != patch[1]) return ss_json_fail(r->root, "patch_size: oblong patches are not supported");
    c->patch = patch[0];
    if (c->image[0] % c->patch != 0 || c->image[1] % c->patch != 0)
        return ss_json_fail(r->root, "image_size: %lld x %lld is not a multiple of the patch_size %lld",
                            (long long)c->image[0], (long long)c->image[1], (long long)c->patch);
    c->positions = (c->image[0] / c->patch) * (c->image[1] / c->patch) + 1;
fail:
    return status;
}

static ss_status read_heads(reader *r)
{
    ss_status              status = SS_OK;
    ss_transformer_config *c = r->c;
    const ss_config_keys  *k = r->row->keys;
    SS_TRY(size(r, k->heads, &c->heads));
    SS_TRY(size_or(r, k->key_heads, c->heads, &c->key_heads));
    /* Families whose default is not "as many as queries" always write it. */
    if (k->key_heads != NULL && r->row->windows != SS_WINDOWS_NONE && !ss_json_has(r->root, k->key_heads))
        SS_TRY(size(r, k->key_heads, &c->key_heads));
    if (c->heads % c->key_heads != 0)
        return ss_json_fail(r->root, "%s: %lld query heads cannot share %lld key heads evenly", k->heads,
                            (long long)c->heads, (long long)c->key_heads);
    bool stated = k->head_dim != NULL && ss_json_has(r->root, k->head_dim);
    if (!stated && r->row->head_dim == 0 && c->width % c->heads != 0)
        return ss_json_fail(r->root, "%s: a width of %lld cannot be divided among %lld heads", k->heads,
                            (long long)c->width, (long long)c->heads);
    SS_TRY(
        size_or(r, k->head_dim, r->row->head_dim > 0 ? r->row->head_dim : c->width / c->heads, &c->head_dim));
fail:
    return status;
}

static ss_status read_sizes(reader *r)
{
    ss_status              status = SS_OK;
    ss_transformer_config *c = r->c;
    const ss_config_keys  *k = r->row->keys;
    SS_TRY(size(r, k->width, &c->width));
    SS_TRY(size(r, k->layers, &c->layers));
    if (c->layers > MOST_LAYERS)
        return ss_json_fail(r->root, "%s: %lld layers are more than the %d that are allowed", k->layers,
                            (long long)c->layers, (int)MOST_LAYERS);
    SS_TRY(read_heads(r));
    bool four =
        k->inner == NULL || strcmp(k->inner, "n_inner") == 0; /* GPT-2: 4 times the width unless stated */
    if (four)
        SS_TRY(size_or(r, k->inner, 4 * c->width, &c->inner));
    else
        SS_TRY(size(r, k->inner, &c->inner));
    if (k->positions != NULL) SS_TRY(size(r, k->positions, &c->positions));
    c->table_width = c->width;
    if (r->row->task == SS_TASK_IMAGE) return read_image(r);
    SS_TRY(size(r, k->vocabulary, &c->vocabulary));
    if (r->row->names->project_in != NULL)
        SS_TRY(size_or(r, "word_embed_proj_dim", c->width, &c->table_width));
    if (r->row->names->types != NULL) SS_TRY(size_or(r, "type_vocab_size", 2, &c->types));
    c->pad = 1;
    if (r->row->positions == SS_POSITIONS_NOT_PADDED)
        SS_TRY(ss_json_integer_or(r->root, look(r, "pad_token_id"), 0, c->positions - 1, &c->pad));
    if (r->row->names->router == NULL) return SS_OK;
    SS_TRY(size_or(r, "num_local_experts", 8, &c->experts));
    SS_TRY(size_or(r, "num_experts_per_tok", 2, &c->top_k));
    if (c->experts > MOST_EXPERTS)
        return ss_json_fail(r->root, "num_local_experts: %lld experts are more than the %d that are allowed",
                            (long long)c->experts, (int)MOST_EXPERTS);
    if (c->top_k > c->experts)
        return ss_json_fail(r->root, "num_experts_per_tok: %lld of %lld experts cannot be chosen",
                            (long long)c->top_k, (long long)c->experts);
fail:
    return status;
}

/* The number of labels: num_labels, or the length of id2label, or two. */
static ss_status read_classes(reader *r)
{
    ss_status     status = SS_OK;
    ss_json_value labels;
    r->c->classes = 2;
    if (r->row->task != SS_TASK_SEQUENCE && r->row->task != SS_TASK_IMAGE) return SS_OK;
    if (ss_json_has(r->root, look(r, "id2label"))) {
        SS_TRY(ss_json_member(r->root, "id2label", SS_JSON_OBJECT, &labels));
        r->c->classes = ss_json_length(&labels);
    }
    SS_TRY(ss_json_integer_or(r->root, look(r, "num_labels"), 1, most, &r->c->classes));
    if (r->c->classes < 2)
        return ss_json_fail(r->root,
                            "%lld label: a single output is a regression, which is not supported here",
                            (long long)r->c->classes);
fail:
    return status;
}

/* ---- Switches -------------------------------------------------------------------------------------------
 */

static ss_status read_activation(reader *r)
{
    static const struct {
        const char *name;
        ss_function function;
    } functions[] = { { "gelu", SS_GELU_ERF },
                      { "gelu_python", SS_GELU_ERF },
                      { "gelu_new", SS_GELU_TANH },
                      { "gelu_pytorch_tanh", SS_GELU_TANH },
                      { "gelu_accurate", SS_GELU_TANH },
                      { "relu", SS_RELU },
                      { "silu", SS_SILU },
                      { "swish", SS_SILU },
                      { "tanh", SS_TANH },
                      { "sigmoid", SS_SIGMOID } };
    ss_status   status = SS_OK;
    const char *key = r->row->keys->activation, *name = r->row->activation;
    bool        gemma = key != NULL && strcmp(key, "hidden_activation") == 0;
    if (gemma) SS_TRY(ss_json_string_or(r->root, look(r, "hidden_act"), &name));
    if (key != NULL) SS_TRY(ss_json_string_or(r->root, look(r, key), &name));
    /* The first Gemma releases say "gelu" and mean the tanh form; the published class reads it so. */
    if (gemma && strcmp(name, "gelu") == 0) name = "gelu_pytorch_tanh";
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(functions[i].name, name) == 0) {
            r->c->activation = functions[i].function;
            return SS_OK;
        }
    return ss_json_fail(r->root, "%s: the activation \"%.40s\" is not supported",
                        key != NULL ? key : "activation", name);
fail:
    return status;
}

static ss_status read_biases(reader *r)
{
    ss_status              status = SS_OK;
    ss_transformer_config *c = r->c;
    const char            *type = r->row->model_type;
    bool                   llama = r->row->rms;
    c->norm_bias = !r->row->rms;
    c->norm_affine = true;
    c->qkv_bias = r->row->qkv_bias;
    c->out_bias = r->row->out_bias;
    c->mlp_bias = r->row->mlp_bias;
    if ((llama && r->row->windows == SS_WINDOWS_NONE) || strcmp(type, "gpt_neox") == 0 ||
        strcmp(type, "qwen3") == 0 || strcmp(type, "gemma2") == 0) {
        SS_TRY(switch_or(r, "attention_bias", c->qkv_bias, &c->qkv_bias));
        c->out_bias = c->qkv_bias;
    }
    if (strcmp(type, "llama") == 0) SS_TRY(switch_or(r, "mlp_bias", c->mlp_bias, &c->mlp_bias));
    if (strcmp(type, "vit") == 0) SS_TRY(switch_or(r, "qkv_bias", c->qkv_bias, &c->qkv_bias));
    if (strcmp(type, "opt") == 0) {
        SS_TRY(switch_or(r, "enable_bias", true, &c->qkv_bias));
        SS_TRY(switch_or(r, "layer_norm_elementwise_affine", true, &c->norm_affine));
        c->out_bias = c->mlp_bias = c->qkv_bias;
    }
    if (strcmp(type, "nanogpt") == 0) {
        SS_TRY(switch_or(r, "bias", true, &c->qkv_bias));
        c->out_bias = c->mlp_bias = c->norm_bias = c->qkv_bias;
    }
fail:
    return status;
}

static ss_status read_switches(reader *r)
{
    ss_status              status = SS_OK;
    ss_transformer_config *c = r->c;
    const char            *type = r->row->model_type;
    SS_TRY(read_activation(r));
    SS_TRY(read_biases(r));
    SS_TRY(number_or(r, r->row->keys->eps, 0.0, 1.0, r->row->eps, &c->eps));
    SS_TRY(number_or(r, r->row->keys->initial, 0.0, 1e3, 0.02, &c->initial));
    SS_TRY(switch_or(r, "tie_word_embeddings", r->row->tied, &c->tied));
    c->tied = c->tied && (r->row->task == SS_TASK_CAUSAL_LM || r->row->task == SS_TASK_MASKED_LM);
    c->placement = r->row->placement;
    c->parallel = r->row->parallel;
    c->final_norm = r->row->names->final_norm != NULL;
    if (strcmp(type, "gpt_neox") == 0) SS_TRY(switch_or(r, "use_parallel_residual", true, &c->parallel));
    if (strcmp(type, "opt") == 0) {
        bool before, removed;
        SS_TRY(switch_or(r, "do_layer_norm_before", true, &before));
        SS_TRY(switch_or(r, "_remove_final_layer_norm", false, &removed));
        c->placement = before ? SS_NORM_BEFORE : SS_NORM_AFTER;
        c->final_norm = before && !removed;
    }
    c->scale = 1.0 / sqrt((double)c->head_dim);
    if (strcmp(type, "gpt2") == 0)
        SS_TRY(switch_or(r, "scale_attn_by_inverse_layer_idx", false, &c->scale_by_layer));
    if (strcmp(type, "gemma2") == 0) {
        double scalar;
        SS_TRY(number_or(r, "query_pre_attn_scalar", 1e-30, 1e30, 256.0, &scalar));
        c->scale = 1.0 / sqrt(scalar);
        /* null switches a soft cap off, absence leaves the default */
        bool scores = ss_json_has(r->root, "attn_logit_softcapping");
        bool logits = ss_json_has(r->root, "final_logit_softcapping");
        SS_TRY(number_or(r, "attn_logit_softcapping", 1e-30, 1e30, 50.0, &c->score_cap));
        SS_TRY(number_or(r, "final_logit_softcapping", 1e-30, 1e30, 30.0, &c->logit_cap));
        ss_json_value member = { 0 };
        while (ss_json_next(r->root, &member)) {
            if (!scores && strcmp(member.key, "attn_logit_softcapping") == 0) c->score_cap = 0.0;
            if (!logits && strcmp(member.key, "final_logit_softcapping") == 0) c->logit_cap = 0.0;
        }
    }
fail:
    return status;
}

/* ---- Windows --------------------------------------------------------------------------------------------
 */

/* True when the key stands in the file with the value null. */
static bool is_null(const ss_json_value *root, const char *key)
{
    ss_json_value member = { 0 };
    while (ss_json_next(root, &member))
        if (strcmp(member.key, key) == 0) return ss_json_is(&member, SS_JSON_NULL);
    return false;
}

/* layer_types: "full_attention" or "sliding_attention" for each layer. */
static ss_status read_layer_types(reader *r)
{
    ss_status     status = SS_OK;
    ss_json_value list, one;
    const char   *text = NULL;
    SS_TRY(ss_json_member(r->root, "layer_types", SS_JSON_ARRAY, &list));
    if (ss_json_length(&list) != r->c->layers)
        return ss_json_fail(&list, "expected one type for each of %lld layers, found %lld",
                            (long long)r->c->layers, (long long)ss_json_length(&list));
    for (int64_t i = 0; i < r->c->layers; i++) {
        SS_TRY(ss_json_element(&list, i, SS_JSON_STRING, &one));
        SS_TRY(ss_json_as_string(&one, &text));
        r->c->slides[i] = strcmp(text, "sliding_attention") == 0;
        if (!r->c->slides[i] && strcmp(text, "full_attention") != 0)
            return ss_json_fail(&one, "expected full_attention or sliding_attention, found \"%.40s\"", text);
    }
fail:
    return status;
}

static ss_status read_windows(reader *r)
{
    ss_status              status = SS_OK;
    ss_transformer_config *c = r->c;
    ss_windows             kind = r->row->windows;
    bool                   on = true;
    int64_t                first = 0;
    bool                   listed = ss_json_has(r->root, "layer_types");

    if (kind == SS_WINDOWS_NONE) return SS_OK;
    /* Families with layer_types name every layer; elsewhere the key would be another architecture's. */
    if (kind != SS_WINDOWS_ALL) look(r, "layer_types");
    if (kind == SS_WINDOWS_BY_SWITCH) {
        SS_TRY(switch_or(r, "use_sliding_window", false, &on));
        first = 28;
        SS_TRY(ss_json_integer_or(r->root, look(r, "max_window_layers"), 0, most, &first));
    }
    bool mixtral = r->row->names->router != NULL; /* its default is none */
    SS_TRY(size_or(r, "sliding_window", 4096, &c->window));
    if (is_null(r->root, "sliding_window") || (mixtral && !ss_json_has(r->root, "sliding_window")))
        on = false;
    SS_TRY(SS_NEW_ARRAY(r->context, c->layers, &c->slides));
    if (listed && kind != SS_WINDOWS_ALL) {
        SS_TRY(read_layer_types(r));
    } else {
        for (int64_t i = 0; i < c->layers; i++)
            c->slides[i] = kind == SS_WINDOWS_ALTERNATE ? i % 2 == 0 : i >= first;
    }
    for (int64_t i = 0; i < c->layers; i++) c->slides[i] = c->slides[i] && on;
fail:
    return status;
}

/* ---- Rotary positions -----------------------------------------------------------------------------------
 */

static ss_status read_scaling(reader *r, const ss_json_value *object)
{
    static const char *const kinds[] = { "default", "linear", "llama3" };
    ss_status                status = SS_OK;
    ss_transformer_config   *c = r->c;
    int32_t                  kind = SS_ROPE_DEFAULT;
    /* Older files call the kind "type". */
    const char *key = ss_json_has(object, "rope_type") ? "rope_type" : "type";
    if (ss_json_has(object, key)) SS_TRY(ss_json_choice(object, key, kinds, 3, &kind));
    c->rope = (ss_rope_scaling)kind;
    c->rope_factor = 1.0;
    if (c->rope != SS_ROPE_DEFAULT) SS_TRY(ss_json_number(object, "factor", 1e-6, 1e6, &c->rope_factor));
    if (c->rope == SS_ROPE_LLAMA3) {
        SS_TRY(ss_json_number(object, "low_freq_factor", 1e-6, 1e6, &c->rope_low));
        SS_TRY(ss_json_number(object, "high_freq_factor", 1e-6, 1e6, &c->rope_high));
        SS_TRY(ss_json_number(object, "original_max_position_embeddings", 1.0, 1e12, &c->rope_original));
        if (c->rope_high <= c->rope_low)
            return ss_json_fail(object, "high_freq_factor: must be larger than low_freq_factor");
    }
    static const char *const allowed[] = { "rope_type",        "type",
                                           "factor",           "low_freq_factor",
                                           "high_freq_factor", "original_max_position_embeddings",
                                           "rope_theta",       "partial_rotary_factor" };
    SS_TRY(ss_json_only(object, allowed, (int32_t)(sizeof allowed / sizeof *allowed)));
fail:
    return status;
}

static ss_status read_rotary(reader *r)
{
    ss_status                status = SS_OK;
    ss_transformer_config   *c = r->c;
    ss_json_value            object;
    double                   share = r->row->rotary, theta = r->row->names->router != NULL ? 1e6 : 10000.0;
    static const char *const groups[] = { "rope_scaling", "rope_parameters" };

    if (r->row->positions != SS_POSITIONS_ROTARY) return SS_OK;
    SS_TRY(ss_json_number_or(r->root, look(r, "rotary_emb_base"), 1e-3, 1e15, &theta));
    SS_TRY(ss_json_number_or(r->root, look(r, "rope_theta"), 1e-3, 1e15, &theta));
    SS_TRY(ss_json_number_or(r->root, look(r, "rotary_pct"), 0.0, 1.0, &share));
    SS_TRY(ss_json_number_or(r->root, look(r, "partial_rotary_factor"), 0.0, 1.0, &share));
    for (int i = 0; i < 2; i++) {
        if (!has(r, groups[i])) continue;
        SS_TRY(ss_json_member(r->root, groups[i], SS_JSON_OBJECT, &object));
        SS_TRY(ss_json_number_or(&object, "rope_theta", 1e-3, 1e15, &theta));
        SS_TRY(ss_json_number_or(&object, "partial_rotary_factor", 0.0, 1.0, &share));
        SS_TRY(read_scaling(r, &object));
    }
    if (r->row->rotary == 1.0 && share != 1.0)
        return ss_json_fail(
            r->root, "partial_rotary_factor: expected 1, found %g: this architecture rotates whole heads",
            share);
    c->theta = theta;
    c->rotary = (int64_t)((double)c->head_dim * share);
    if (c->rotary < 2 || c->rotary % 2 != 0)
        return ss_json_fail(r->root,
                            "%lld of %lld elements of a head are rotated: expected an even number of them",
                            (long long)c->rotary, (long long)c->head_dim);
fail:
    return status;
}

void ss_rotary_table(const ss_transformer_config *c, int64_t tokens, double *out)
{
    const double two_pi = 6.283185307179586476925;
    int64_t      half = c->rotary / 2;
    for (int64_t i = 0; i < half; i++) {
        double frequency = pow(c->theta, -2.0 * (double)i / (double)c->rotary);
        if (c->rope == SS_ROPE_LINEAR) frequency /= c->rope_factor;
        if (c->rope == SS_ROPE_LLAMA3) {
            /* Long waves are stretched by the factor, short ones stay, in between it is interpolated. */
            double wave = two_pi / frequency, long_wave = c->rope_original / c->rope_low;
            double short_wave = c->rope_original / c->rope_high;
            double smooth = (c->rope_original / wave - c->rope_low) / (c->rope_high - c->rope_low);
            if (wave > long_wave)
                frequency /= c->rope_factor;
            else if (wave >= short_wave)
                frequency = (1.0 - smooth) * frequency / c->rope_factor + smooth * frequency;
        }
        for (int64_t t = 0; t < tokens; t++) {
            out[t * c->rotary + i] = cos((double)t * frequency);
            out[t * c->rotary + half + i] = sin((double)t * frequency);
        }
    }
}

/* ---- All ------------------------------------------------------------------------------------------------
 */

ss_status ss_transformer_config_read(ss_context *context, const ss_json_value *root,
                                     const ss_architecture *row, ss_transformer_config *config)
{
    ss_status status = SS_OK;
    reader    r = { .context = context, .root = root, .row = row, .c = config };
    *config = (ss_transformer_config){ .row = row };
    SS_TRY(read_sizes(&r));
    SS_TRY(read_classes(&r));
    SS_TRY(read_switches(&r));
    SS_TRY(read_windows(&r));
    SS_TRY(read_rotary(&r));
    SS_TRY(ss_config_keys_check(root, r.n_seen, r.seen));
fail:
    return status;
}

void ss_transformer_config_release(ss_context *context, ss_transformer_config *config)
{
    ss_free(context, config->slides);
    config->slides = NULL;
}
