/* The table of architectures: tensor names, names of configuration keys, switches (network/transformer.h).
 *
 * The defaults are those of the published configuration classes; sizes have none. Names are the published
 * ones. */
#include "network/transformer.h"

#include <stdio.h>
#include <string.h>

/* ---- Names of configuration keys ------------------------------------------------------------------------
 */

static const ss_config_keys gpt2_keys = {
    .width = "n_embd",
    .layers = "n_layer",
    .heads = "n_head",
    .inner = "n_inner",
    .vocabulary = "vocab_size",
    .positions = "n_positions",
    .eps = "layer_norm_epsilon",
    .activation = "activation_function",
    .initial = "initializer_range",
};

static const ss_config_keys nanogpt_keys = {
    .width = "n_embd",
    .layers = "n_layer",
    .heads = "n_head",
    .vocabulary = "vocab_size",
    .positions = "block_size",
};

#define SS_COMMON_KEYS                                                                                       \
    .width = "hidden_size", .layers = "num_hidden_layers", .heads = "num_attention_heads",                   \
    .vocabulary = "vocab_size", .initial = "initializer_range"

static const ss_config_keys layer_norm_keys = {
    SS_COMMON_KEYS,          .inner = "intermediate_size", .positions = "max_position_embeddings",
    .eps = "layer_norm_eps", .activation = "hidden_act",
};

static const ss_config_keys phi_keys = {
    SS_COMMON_KEYS,
    .key_heads = "num_key_value_heads",
    .inner = "intermediate_size",
    .positions = "max_position_embeddings",
    .eps = "layer_norm_eps",
    .activation = "hidden_act",
};

static const ss_config_keys rms_norm_keys = {
    SS_COMMON_KEYS,
    .key_heads = "num_key_value_heads",
    .head_dim = "head_dim",
    .inner = "intermediate_size",
    .positions = "max_position_embeddings",
    .eps = "rms_norm_eps",
    .activation = "hidden_act",
};

/* hidden_activation replaces hidden_act where both stand (transformer_config.c). */
static const ss_config_keys gemma_keys = {
    SS_COMMON_KEYS,
    .key_heads = "num_key_value_heads",
    .head_dim = "head_dim",
    .inner = "intermediate_size",
    .positions = "max_position_embeddings",
    .eps = "rms_norm_eps",
    .activation = "hidden_activation",
};

static const ss_config_keys opt_keys = {
    .width = "hidden_size",
    .layers = "num_hidden_layers",
    .heads = "num_attention_heads",
    .inner = "ffn_dim",
    .vocabulary = "vocab_size",
    .positions = "max_position_embeddings",
    .activation = "activation_function",
    .initial = "init_std",
};

static const ss_config_keys vit_keys = {
    .width = "hidden_size",
    .layers = "num_hidden_layers",
    .heads = "num_attention_heads",
    .inner = "intermediate_size",
    .eps = "layer_norm_eps",
    .activation = "hidden_act",
    .initial = "initializer_range",
};

/* ---- Names of tensors -----------------------------------------------------------------------------------
 */

static const ss_tensor_names gpt2_names = {
    .base = "transformer.",
    .layer = "h.",
    .tokens = "wte",
    .positions = "wpe",
    .attention_norm = "ln_1",
    .mlp_norm = "ln_2",
    .packed = "attn.c_attn",
    .output = "attn.c_proj",
    .up = "mlp.c_fc",
    .down = "mlp.c_proj",
    .final_norm = "ln_f",
};

static const ss_tensor_names neox_names = {
    .base = "gpt_neox.",
    .layer = "layers.",
    .tokens = "embed_in",
    .attention_norm = "input_layernorm",
    .mlp_norm = "post_attention_layernorm",
    .packed = "attention.query_key_value",
    .output = "attention.dense",
    .up = "mlp.dense_h_to_4h",
    .down = "mlp.dense_4h_to_h",
    .final_norm = "final_layer_norm",
};

#define SS_LLAMA_ENDS .base = "model.", .layer = "layers.", .tokens = "embed_tokens"
#define SS_LLAMA_PROJECTIONS                                                                                 \
    .query = "self_attn.q_proj", .key = "self_attn.k_proj", .value = "self_attn.v_proj"
#define SS_LLAMA_NAMES                                                                                       \
    SS_LLAMA_ENDS, SS_LLAMA_PROJECTIONS, .attention_norm = "input_layernorm", .output = "self_attn.o_proj",  \
                                         .final_norm = "norm"
#define SS_LLAMA_MLP .gate = "mlp.gate_proj", .up = "mlp.up_proj", .down = "mlp.down_proj"

static const ss_tensor_names llama_names = {
    SS_LLAMA_NAMES,
    SS_LLAMA_MLP,
    .mlp_norm = "post_attention_layernorm",
};

static const ss_tensor_names qwen3_names = {
    SS_LLAMA_NAMES,
    SS_LLAMA_MLP,
    .mlp_norm = "post_attention_layernorm",
    .query_norm = "self_attn.q_norm",
    .key_norm = "self_attn.k_norm",
};

static const ss_tensor_names gemma2_names = {
    SS_LLAMA_NAMES,
    SS_LLAMA_MLP,
    .attention_post_norm = "post_attention_layernorm",
    .mlp_norm = "pre_feedforward_layernorm",
    .mlp_post_norm = "post_feedforward_layernorm",
};

static const ss_tensor_names mixtral_names = {
    SS_LLAMA_NAMES,
    .mlp_norm = "post_attention_layernorm",
    .router = "block_sparse_moe.gate",
    .expert = "block_sparse_moe.experts.",
    .gate = "w1",
    .up = "w3",
    .down = "w2",
};

static const ss_tensor_names phi_names = {
    SS_LLAMA_ENDS,   SS_LLAMA_PROJECTIONS, .attention_norm = "input_layernorm", .output = "self_attn.dense",
    .up = "mlp.fc1", .down = "mlp.fc2",    .final_norm = "final_layernorm",
};

static const ss_tensor_names opt_names = {
    SS_LLAMA_PROJECTIONS,
    .base = "model.decoder.",
    .layer = "layers.",
    .tokens = "embed_tokens",
    .positions = "embed_positions",
    .project_in = "project_in",
    .project_out = "project_out",
    .attention_norm = "self_attn_layer_norm",
    .mlp_norm = "final_layer_norm",
    .output = "self_attn.out_proj",
    .up = "fc1",
    .down = "fc2",
    .final_norm = "final_layer_norm",
};

#define SS_BERT_NAMES                                                                                        \
    .layer = "encoder.layer.", .tokens = "embeddings.word_embeddings",                                       \
    .positions = "embeddings.position_embeddings", .types = "embeddings.token_type_embeddings",              \
    .embedding_norm = "embeddings.LayerNorm", .attention_norm = "attention.output.LayerNorm",                \
    .mlp_norm = "output.LayerNorm", .query = "attention.self.query", .key = "attention.self.key",            \
    .value = "attention.self.value", .output = "attention.output.dense", .up = "intermediate.dense",         \
    .down = "output.dense"

static const ss_tensor_names bert_names = { .base = "bert.", SS_BERT_NAMES };
static const ss_tensor_names roberta_names = { .base = "roberta.", SS_BERT_NAMES };

static const ss_tensor_names vit_names = {
    .base = "vit.",
    .layer = "encoder.layer.",
    .tokens = "embeddings.patch_embeddings.projection",
    .positions = "embeddings.position_embeddings",
    .class_token = "embeddings.cls_token",
    .attention_norm = "layernorm_before",
    .mlp_norm = "layernorm_after",
    .query = "attention.attention.query",
    .key = "attention.attention.key",
    .value = "attention.attention.value",
    .output = "attention.output.dense",
    .up = "intermediate.dense",
    .down = "output.dense",
    .final_norm = "layernorm",
};

/* ---- The table ------------------------------------------------------------------------------------------
 */

#define SS_ALL_BIASES .qkv_bias = true, .out_bias = true, .mlp_bias = true
#define SS_LLAMA_SWITCHES                                                                                    \
    .task = SS_TASK_CAUSAL_LM, .head = "lm_head", .rms = true, .gated = true, .rotary = 1.0, .eps = 1e-6,    \
    .activation = "silu"
#define SS_GEMMA_SWITCHES                                                                                    \
    .task = SS_TASK_CAUSAL_LM, .head = "lm_head", .rms = true, .gated = true, .rotary = 1.0, .eps = 1e-6,    \
    .activation = "gelu_pytorch_tanh", .one_plus = true, .scale_embedding = true, .tied = true,              \
    .head_dim = 256, .keys = &gemma_keys
#define SS_BERT_SWITCHES                                                                                     \
    .keys = &layer_norm_keys, .placement = SS_NORM_AFTER, SS_ALL_BIASES, .tied = true, .eps = 1e-12,         \
    .activation = "gelu", .head_bias = true

static const ss_architecture table[] = {
    { .model_type = "gpt2",
      .class_name = "GPT2LMHeadModel",
      .task = SS_TASK_CAUSAL_LM,
      .keys = &gpt2_keys,
      .names = &gpt2_names,
      .head = "lm_head",
      .positions = SS_POSITIONS_LEARNED,
      .packing = SS_PACKING_BLOCKS,
      .conv1d = true,
      SS_ALL_BIASES,
      .tied = true,
      .eps = 1e-5,
      .activation = "gelu_new" },
    { .model_type = "nanogpt",
      .class_name = "GPT",
      .task = SS_TASK_CAUSAL_LM,
      .keys = &nanogpt_keys,
      .names = &gpt2_names,
      .head = "lm_head",
      .positions = SS_POSITIONS_LEARNED,
      .packing = SS_PACKING_BLOCKS,
      SS_ALL_BIASES,
      .tied = true,
      .eps = 1e-5,
      .activation = "gelu" },
    { .model_type = "gpt_neox",
      .class_name = "GPTNeoXForCausalLM",
      .task = SS_TASK_CAUSAL_LM,
      .keys = &layer_norm_keys,
      .names = &neox_names,
      .head = "embed_out",
      .packing = SS_PACKING_PER_HEAD,
      .parallel = true,
      SS_ALL_BIASES,
      .rotary = 0.25,
      .eps = 1e-5,
      .activation = "gelu" },
    { .model_type = "llama",
      .class_name = "LlamaForCausalLM",
      .keys = &rms_norm_keys,
      .names = &llama_names,
      SS_LLAMA_SWITCHES },
    { .model_type = "mistral",
      .class_name = "MistralForCausalLM",
      .keys = &rms_norm_keys,
      .names = &llama_names,
      .windows = SS_WINDOWS_ALL,
      SS_LLAMA_SWITCHES },
    { .model_type = "qwen2",
      .class_name = "Qwen2ForCausalLM",
      .keys = &rms_norm_keys,
      .names = &llama_names,
      .windows = SS_WINDOWS_BY_SWITCH,
      .qkv_bias = true,
      SS_LLAMA_SWITCHES },
    { .model_type = "qwen3",
      .class_name = "Qwen3ForCausalLM",
      .keys = &rms_norm_keys,
      .names = &qwen3_names,
      .windows = SS_WINDOWS_BY_SWITCH,
      .head_dim = 128,
      SS_LLAMA_SWITCHES },
    { .model_type = "gemma", .class_name = "GemmaForCausalLM", .names = &llama_names, SS_GEMMA_SWITCHES },
    { .model_type = "gemma2",
      .class_name = "Gemma2ForCausalLM",
      .names = &gemma2_names,
      .placement = SS_NORM_AROUND,
      .windows = SS_WINDOWS_ALTERNATE,
      SS_GEMMA_SWITCHES },
    { .model_type = "phi",
      .class_name = "PhiForCausalLM",
      .task = SS_TASK_CAUSAL_LM,
      .keys = &phi_keys,
      .names = &phi_names,
      .head = "lm_head",
      .head_bias = true,
      .parallel = true,
      SS_ALL_BIASES,
      .rotary = 0.5,
      .eps = 1e-5,
      .activation = "gelu_new" },
    { .model_type = "opt",
      .class_name = "OPTForCausalLM",
      .task = SS_TASK_CAUSAL_LM,
      .keys = &opt_keys,
      .names = &opt_names,
      .head = "lm_head",
      .positions = SS_POSITIONS_ATTENDED,
      SS_ALL_BIASES,
      .tied = true,
      .eps = 1e-5,
      .activation = "relu" },
    { .model_type = "mixtral",
      .class_name = "MixtralForCausalLM",
      .task = SS_TASK_CAUSAL_LM,
      .keys = &rms_norm_keys,
      .names = &mixtral_names,
      .head = "lm_head",
      .rms = true,
      .gated = true,
      .windows = SS_WINDOWS_ALL,
      .rotary = 1.0,
      .eps = 1e-5,
      .activation = "silu" },
    { .model_type = "bert",
      .class_name = "BertForSequenceClassification",
      .task = SS_TASK_SEQUENCE,
      .names = &bert_names,
      .head = "classifier",
      .head_dense = "pooler.dense",
      .head_activation = "tanh",
      .pooled = true,
      .positions = SS_POSITIONS_LEARNED,
      SS_BERT_SWITCHES },
    { .model_type = "bert",
      .class_name = "BertForMaskedLM",
      .task = SS_TASK_MASKED_LM,
      .names = &bert_names,
      .head = "cls.predictions.decoder",
      .head_dense = "cls.predictions.transform.dense",
      .head_norm = "cls.predictions.transform.LayerNorm",
      .head_bias_at = "cls.predictions",
      .positions = SS_POSITIONS_LEARNED,
      SS_BERT_SWITCHES },
    { .model_type = "roberta",
      .class_name = "RobertaForSequenceClassification",
      .task = SS_TASK_SEQUENCE,
      .names = &roberta_names,
      .head = "classifier.out_proj",
      .head_dense = "classifier.dense",
      .head_activation = "tanh",
      .positions = SS_POSITIONS_NOT_PADDED,
      SS_BERT_SWITCHES },
    { .model_type = "roberta",
      .class_name = "RobertaForMaskedLM",
      .task = SS_TASK_MASKED_LM,
      .names = &roberta_names,
      .head = "lm_head.decoder",
      .head_dense = "lm_head.dense",
      .head_activation = "gelu",
      .head_norm = "lm_head.layer_norm",
      .head_bias_at = "lm_head",
      .positions = SS_POSITIONS_NOT_PADDED,
      SS_BERT_SWITCHES },
    { .model_type = "vit",
      .class_name = "ViTForImageClassification",
      .task = SS_TASK_IMAGE,
      .keys = &vit_keys,
      .names = &vit_names,
      .head = "classifier",
      .head_bias = true,
      .positions = SS_POSITIONS_PATCHES,
      SS_ALL_BIASES,
      .eps = 1e-12,
      .activation = "gelu" },
};
enum { N_ROWS = sizeof table / sizeof *table };

static const char *const losses[] = { [SS_TASK_CAUSAL_LM] = "causal_lm",
                                      [SS_TASK_MASKED_LM] = "masked_lm",
                                      [SS_TASK_SEQUENCE] = "cross_entropy",
                                      [SS_TASK_IMAGE] = "cross_entropy" };

const char *ss_task_loss(ss_task task)
{
    return losses[task];
}

const ss_architecture *ss_architecture_nanogpt(void)
{
    for (int i = 0; i < N_ROWS; i++)
        if (table[i].keys == &nanogpt_keys) return &table[i];
    return NULL;
}

/* "GPT2LMHeadModel, LlamaForCausalLM, ..." */
static void list_classes(char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < N_ROWS && used < bytes; i++) {
        if (table[i].keys == &nanogpt_keys) continue;
        int length = snprintf(text + used, bytes - used, "%s%s", used > 0 ? ", " : "", table[i].class_name);
        used += length > 0 ? (size_t)length : 0;
    }
}

/* "BertModel" for "BertForMaskedLM": the class without a head shares the letters up to "For" or "LMHead". */
static bool is_headless(const char *class_name, const ss_architecture *row)
{
    const char *end = strstr(row->class_name, "LMHeadModel");
    if (end == NULL) end = strstr(row->class_name, "For");
    if (end == NULL) return false;
    size_t length = (size_t)(end - row->class_name);
    return strncmp(class_name, row->class_name, length) == 0 && strcmp(class_name + length, "Model") == 0;
}

ss_status ss_architecture_find(const ss_json_value *root, const char *loss, const ss_architecture **row)
{
    ss_status              status = SS_OK;
    const char            *type = NULL, *class_name = NULL;
    ss_json_value          list, first;
    char                   known[640];
    const ss_architecture *found = NULL;

    *row = NULL;
    SS_TRY(ss_json_string_or(root, "model_type", &type));
    if (ss_json_has(root, "architectures")) {
        SS_TRY(ss_json_member(root, "architectures", SS_JSON_ARRAY, &list));
        if (ss_json_length(&list) > 0) {
            SS_TRY(ss_json_element(&list, 0, SS_JSON_STRING, &first));
            SS_TRY(ss_json_as_string(&first, &class_name));
        }
    }
    for (int i = 0; i < N_ROWS && found == NULL; i++) {
        const ss_architecture *r = &table[i];
        if (r->keys == &nanogpt_keys) continue;
        if (class_name != NULL && strcmp(class_name, r->class_name) == 0) found = r;
        bool headless = class_name == NULL ? type != NULL && strcmp(type, r->model_type) == 0
                                           : is_headless(class_name, r);
        if (headless && (loss == NULL || strcmp(loss, losses[r->task]) == 0)) found = r;
    }
    list_classes(known, sizeof known);
    if (found == NULL && class_name == NULL && type == NULL)
        return ss_json_fail(root, "neither architectures nor model_type says what this is");
    if (found == NULL)
        return ss_json_fail(
            root, "the architecture %.80s (model_type %.40s)%s%s is not yet supported; known are %s",
            class_name != NULL ? class_name : "(none)", type != NULL ? type : "(none)",
            loss != NULL ? " with loss " : "", loss != NULL ? loss : "", known);
    if (type != NULL && strcmp(type, found->model_type) != 0)
        return ss_json_fail(root, "model_type is \"%.40s\", but architectures says %s", type,
                            found->class_name);
    *row = found;
fail:
    return status;
}
