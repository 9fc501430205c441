/* LoRA adapters (PEFT) on a base model: adapter_config.json and its weights. Only A and B are parameters; the
 * base is frozen, so that it costs no adjoints of weights.
 *
 * Which modules are adapted is read from the tensors' names: "base_model.model.<module>.lora_A.weight". */
#include "network/transformer.h"

#include <math.h>
#include <string.h>

/* Options that change the function and are not built: each must be off. */
static const char *const must_be_off[] = {
    "use_dora",          "modules_to_save",    "rank_pattern",
    "alpha_pattern",     "lora_bias",          "layer_replication",
    "target_parameters", "megatron_config",    "trainable_token_indices",
    "use_qalora",        "arrow_config",       "alora_invocation_tokens",
    "use_bdlora",        "corda_config",       "eva_config",
    "loftq_config",      "ensure_weight_tying"
};

/* Options that are read, or that say how A and B came about. */
static const char *const harmless[] = { "peft_type",
                                        "r",
                                        "lora_alpha",
                                        "use_rslora",
                                        "bias",
                                        "target_modules",
                                        "exclude_modules",
                                        "fan_in_fan_out",
                                        "task_type",
                                        "inference_mode",
                                        "init_lora_weights",
                                        "lora_dropout",
                                        "layers_pattern",
                                        "layers_to_transform",
                                        "auto_mapping",
                                        "base_model_name_or_path",
                                        "revision",
                                        "runtime_config",
                                        "peft_version",
                                        "megatron_core",
                                        "qalora_group_size" };

static bool is_listed(const char *key, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], key) == 0) return true;
    return false;
}

static bool is_empty(const ss_json_value *value)
{
    if (ss_json_is(value, SS_JSON_NULL)) return true;
    if (ss_json_is(value, SS_JSON_BOOLEAN)) {
        bool on = true;
        return ss_json_boolean(value->parent, value->key, &on) == SS_OK && !on;
    }
    return (ss_json_is(value, SS_JSON_ARRAY) || ss_json_is(value, SS_JSON_OBJECT)) &&
           ss_json_length(value) == 0;
}

ss_status ss_adapter_read(const ss_json_value *root, const ss_archive *archive, ss_adapter *adapter)
{
    static const char *const types[] = { "LORA" }, *const biases[] = { "none" };
    ss_status     status = SS_OK;
    ss_json_value member = { 0 };
    int32_t       choice;
    double        alpha = 8.0;
    bool          rank_stabilised = false;

    adapter->archive = archive;
    SS_TRY(ss_json_choice(root, "peft_type", types, 1, &choice));
    if (ss_json_has(root, "bias")) SS_TRY(ss_json_choice(root, "bias", biases, 1, &choice));
    SS_TRY(ss_json_integer(root, "r", 1, 1 << 20, &adapter->rank));
    SS_TRY(ss_json_number_or(root, "lora_alpha", -1e6, 1e6, &alpha));
    SS_TRY(ss_json_boolean_or(root, "use_rslora", &rank_stabilised));
    while (ss_json_next(root, &member)) {
        bool off = is_listed(member.key, must_be_off, sizeof must_be_off / sizeof *must_be_off);
        bool known = is_listed(member.key, harmless, sizeof harmless / sizeof *harmless);
        if (off && !is_empty(&member)) return ss_json_fail(&member, "is not supported");
        if (!off && !known && !is_empty(&member))
            return ss_json_fail(&member, "this option is not known and might change the function");
    }
    double rank = (double)adapter->rank;
    adapter->scale = alpha / (rank_stabilised ? sqrt(rank) : rank);
fail:
    return status;
}

ss_status ss_adapter_find(ss_context *context, const ss_adapter *adapter, const char *module, bool *found)
{
    ss_status status = SS_OK;
    char     *name = NULL;
    SS_TRY(ss_format(context, &name, "base_model.model.%s.lora_A.weight", module));
    *found = ss_archive_find(adapter->archive, name) != NULL;
fail:
    ss_free(context, name);
    return status;
}
