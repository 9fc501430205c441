/* Configuration keys that no builder reads: harmless ones, and those that must have the one value whose
 * function is built. Anything else that means something is refused, so that no option is ever ignored. */
#include "network/transformer.h"

#include <fnmatch.h>
#include <string.h>

/* What a key must be; NULL rows of the table are harmless whatever they say. */
typedef enum demand {
    ANYTHING, /* naming, training, generation and storage: the function of theta in evaluation is the same */
    OFF,      /* null, false, 0, "", [] or {} */
    ON,       /* true (or absent) */
    TEXT      /* the text beside it, or null */
} demand;

typedef struct rule {
    const char *glob;
    demand      must;
    const char *text; /* of TEXT */
} rule;

static const rule rules[] = {
    /* names, versions, labels, storage */
    { "architectures", ANYTHING, NULL },
    { "model_type", ANYTHING, NULL },
    { "_name_or_path", ANYTHING, NULL },
    { "name_or_path", ANYTHING, NULL },
    { "transformers_version", ANYTHING, NULL },
    { "adapters", OFF, NULL },
    { "dtype", ANYTHING, NULL }, /* the type of each tensor is read from the weights */
    { "torch_dtype", ANYTHING, NULL },
    { "id2label", ANYTHING, NULL },
    { "label2id", ANYTHING, NULL },
    { "task_specific_params", ANYTHING, NULL },
    { "finetuning_task", ANYTHING, NULL },
    { "tokenizer_class", ANYTHING, NULL },
    { "*_token_id", ANYTHING, NULL }, /* the padding of a batch is in its attention_mask */
    { "decoder_start_token_id", ANYTHING, NULL },
    { "prefix", ANYTHING, NULL },
    { "directionality", ANYTHING, NULL },
    { "unsloth_*", ANYTHING, NULL },
    { "word_embed_proj_dim", ANYTHING, NULL },
    { "_attn_implementation*", ANYTHING, NULL },
    { "attn_implementation", ANYTHING, NULL },
    { "torchscript", ANYTHING, NULL },
    { "use_bfloat16", ANYTHING, NULL },
    /* training: dropout is the identity here, the seed of the weights has been used */
    { "*dropout*", ANYTHING, NULL },
    { "*pdrop", ANYTHING, NULL },
    { "layerdrop", ANYTHING, NULL },
    { "initializer_factor", ANYTHING, NULL },
    { "initializer_range", ANYTHING, NULL },
    { "gradient_checkpointing", ANYTHING, NULL },
    { "router_aux_loss_coef", ANYTHING, NULL }, /* counts with output_router_logits only */
    { "router_jitter_noise", ANYTHING, NULL },  /* in training only */
    { "output_router_logits", OFF, NULL },
    /* generation and what is returned */
    { "use_cache", ANYTHING, NULL },
    { "cache_implementation", ANYTHING, NULL },
    { "output_attentions", ANYTHING, NULL },
    { "output_hidden_states", ANYTHING, NULL },
    { "return_dict", ANYTHING, NULL },
    { "output_past", ANYTHING, NULL },
    { "output_scores", ANYTHING, NULL },
    { "return_dict_in_generate", ANYTHING, NULL },
    { "do_sample", ANYTHING, NULL },
    { "early_stopping", ANYTHING, NULL },
    { "temperature", ANYTHING, NULL },
    { "top_k", ANYTHING, NULL }, /* of sampling; experts are num_experts_per_tok */
    { "top_p", ANYTHING, NULL },
    { "typical_p", ANYTHING, NULL },
    { "*_length", ANYTHING, NULL },
    { "*_penalty", ANYTHING, NULL },
    { "num_beam*", ANYTHING, NULL },
    { "num_return_sequences", ANYTHING, NULL },
    { "*no_repeat_ngram_size", ANYTHING, NULL },
    { "bad_words_ids", ANYTHING, NULL },
    { "*suppress_tokens", ANYTHING, NULL },
    { "remove_invalid_values", ANYTHING, NULL },
    { "summary_*", ANYTHING, NULL }, /* heads of other classes */
    { "pooler_*", ANYTHING, NULL },
    { "encoder_stride", ANYTHING, NULL },
    { "pretraining_tp", ANYTHING, NULL },          /* the same sums in another order */
    { "chunk_size_feed_forward", ANYTHING, NULL }, /* likewise */
    { "reorder_and_upcast_attn", ANYTHING, NULL }, /* likewise, in float32 */
    { "n_ctx", ANYTHING, NULL },                   /* as n_positions, long unused */
    { "sliding_window_size", ANYTHING, NULL },     /* sliding_window is read */
    { "max_window_layers", ANYTHING, NULL },       /* counts with use_sliding_window only */
    { "problem_type", TEXT, "single_label_classification" },
    { "hidden_act", ANYTHING, NULL }, /* read unless hidden_activation replaces it */
    { "tie_encoder_decoder", ANYTHING, NULL },
    { "num_labels", ANYTHING, NULL },
    /* other functions */
    { "is_decoder", OFF, NULL },
    { "is_encoder_decoder", OFF, NULL },
    { "add_cross_attention", OFF, NULL },
    { "cross_attention_hidden_size", OFF, NULL },
    { "pruned_heads", OFF, NULL },
    { "quantization_config", OFF, NULL },
    { "qk_layernorm", OFF, NULL },
    { "use_bidirectional_attention", OFF, NULL },
    { "position_embedding_type", TEXT, "absolute" },
    { "scale_attn_weights", ON, NULL },
    { "auto_map", ANYTHING, NULL }, /* the class named in architectures is the published one */
};

static bool is_off(const ss_json_value *value)
{
    int64_t     number;
    const char *text;
    if (ss_json_is(value, SS_JSON_NULL)) return true;
    if (ss_json_is(value, SS_JSON_BOOLEAN)) {
        bool on = true;
        return ss_json_boolean(value->parent, value->key, &on) == SS_OK && !on;
    }
    if (ss_json_is(value, SS_JSON_INTEGER))
        return ss_json_as_integer(value, INT64_MIN, INT64_MAX, &number) == SS_OK && number == 0;
    if (ss_json_is(value, SS_JSON_STRING)) return ss_json_as_string(value, &text) == SS_OK && text[0] == '\0';
    if (ss_json_is(value, SS_JSON_NUMBER)) return false;
    return ss_json_length(value) == 0;
}

static bool is_on(const ss_json_value *value)
{
    return ss_json_is(value, SS_JSON_NULL) || (ss_json_is(value, SS_JSON_BOOLEAN) && !is_off(value));
}

static bool is_text(const ss_json_value *value, const char *wanted)
{
    const char *text;
    if (ss_json_is(value, SS_JSON_NULL)) return true;
    return ss_json_is(value, SS_JSON_STRING) && ss_json_as_string(value, &text) == SS_OK &&
           strcmp(text, wanted) == 0;
}

static ss_status check_one(const ss_json_value *value)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const rule *r = &rules[i];
        if (fnmatch(r->glob, value->key, 0) != 0) continue;
        if (r->must == OFF && !is_off(value))
            return ss_json_fail(value, "is not supported: expected false, null or nothing");
        if (r->must == ON && !is_on(value)) return ss_json_fail(value, "is not supported: expected true");
        if (r->must == TEXT && !is_text(value, r->text))
            return ss_json_fail(value, "is not supported: expected \"%s\"", r->text);
        return SS_OK;
    }
    if (is_off(value)) return SS_OK;
    return ss_json_fail(value,
                        "this key is not known for the architecture and might change its function; remove "
                        "it from the configuration if it does not");
}

ss_status ss_config_keys_check(ss_context *context, const ss_json_value *root, int32_t count,
                               const char *const *seen)
{
    ss_status     status = SS_OK;
    ss_json_value member = { 0 };
    (void)context;
    while (ss_json_next(root, &member)) {
        bool known = false;
        for (int32_t i = 0; i < count && !known; i++) known = strcmp(seen[i], member.key) == 0;
        if (!known) SS_TRY(check_one(&member));
    }
fail:
    return status;
}
