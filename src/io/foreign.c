/* Checkpoints that are recognised and not read, see foreign.h: three tables. */
#define _POSIX_C_SOURCE 200809L
#include "io/foreign.h"

#include <dirent.h>
#include <fnmatch.h>
#include <string.h>

#define SS_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Files and folders, by their names --------------------------------------------------------------------
 */

static const char deepspeed[] = "a DeepSpeed checkpoint: convert it with the script that lies in its folder: "
                                "python zero_to_fp32.py FOLDER OUT";
static const char dcp[] = "a torch distributed checkpoint (DCP): convert its folder: python -m "
                          "torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER OUT.pt";
static const char megatron[] =
    "a Megatron checkpoint: convert it with Megatron-LM's tools/checkpoint/convert.py";
static const char fsdp[] = "a sharded FSDP checkpoint: merge it: accelerate merge-weights FOLDER OUT";
static const char gguf[] = "a GGUF file: load the original model, or convert it: AutoModelForCausalLM"
                           ".from_pretrained(FOLDER, gguf_file=FILE).save_pretrained(OUT)";
static const char flax[] = "Flax weights: convert them: AutoModel.from_pretrained(FOLDER, from_flax=True)"
                           ".save_pretrained(OUT), transformers 4";
static const char tensorflow[] = "TensorFlow weights: convert them: AutoModel.from_pretrained(FOLDER, "
                                 "from_tf=True).save_pretrained(OUT), transformers 4";
static const char consolidated[] =
    "weights in Meta's or Mistral's own layout: convert them with the script of transformers, python -m "
    "transformers.models.llama.convert_llama_weights_to_hf (or mistral.convert_mistral_weights_to_hf)";

static const struct {
    const char *pattern; /* of a name in the folder (fnmatch) */
    const char *refusal; /* what it is, and how to convert it */
    bool        file;    /* such a file given by itself is refused too */
} places[] = {
    { "*.distcp", dcp, true },
    { ".metadata", dcp, true },
    { "pytorch_model_fsdp_*", fsdp, false },
    { "mp_rank_*_model_states.pt", deepspeed, true },
    { "zero_pp_rank_*.pt", deepspeed, true },
    { "*_optim_states.pt", deepspeed, true },
    { "zero_to_fp32.py", deepspeed, false },
    { "global_step*", deepspeed, false },
    { "latest_checkpointed_iteration.txt", megatron, false },
    { "model_optim_rng.pt", megatron, true },
    { "mp_rank_*", megatron, false },
    { "*.gguf", gguf, true },
    { "flax_model*.msgpack", flax, true },
    { "tf_model*.h5", tensorflow, true },
    { "model.ckpt*", tensorflow, false },
    { "consolidated.*.pth", consolidated, false },
    { "consolidated.safetensors", consolidated, false },
};

ss_status ss_foreign_refuse_file(ss_context *context, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    for (size_t i = 0; i < SS_COUNT(places); i++) {
        if (places[i].file && fnmatch(places[i].pattern, name, 0) == 0)
            return ss_fail(context, SS_ERROR_INPUT, "%s: %s", path, places[i].refusal);
    }
    return SS_OK;
}

ss_status ss_foreign_refuse_folder(ss_context *context, const char *folder)
{
    size_t best = SS_COUNT(places); /* the first row that matches anything: not the first entry read */
    DIR   *directory = opendir(folder);
    struct dirent *entry;
    if (directory == NULL) return SS_OK;
    while ((entry = readdir(directory)) != NULL) {
        for (size_t i = 0; i < best; i++)
            if (fnmatch(places[i].pattern, entry->d_name, 0) == 0) best = i;
    }
    closedir(directory);
    if (best == SS_COUNT(places)) return SS_OK;
    return ss_fail(context, SS_ERROR_INPUT, "%s: %s", folder, places[best].refusal);
}

/* ---- Quantised weights ------------------------------------------------------------------------------------
 */

#define SS_DEQUANTISE                                                                                        \
    "convert them: AutoModelForCausalLM.from_pretrained(FOLDER).dequantize().save_pretrained(OUT)"

static const struct {
    const char *suffix; /* of a tensor's name */
    const char *method;
} marks[] = {
    { ".qweight", "GPTQ or AWQ" },
    { ".qzeros", "GPTQ or AWQ" },
    { ".g_idx", "GPTQ" },
    { ".SCB", "bitsandbytes, 8 bits" },
    { ".weight.absmax", "bitsandbytes, 4 bits" },
    { ".quant_map", "bitsandbytes, 4 bits" },
    { ".quant_state.bitsandbytes__nf4", "bitsandbytes, 4 bits" },
    { ".quant_state.bitsandbytes__fp4", "bitsandbytes, 4 bits" },
    { ".weight_packed", "compressed-tensors" },
    { ".weight_scale", "compressed-tensors" },
    { ".weight_scale_inv", "fp8 blocks" },
    { "_proj_blocks", "mxfp4" },
};

ss_status ss_foreign_refuse_quantised(ss_context *context, const ss_json *config, const ss_archive *archive)
{
    ss_status     status = SS_OK;
    const char   *method = "of an unnamed kind";
    ss_json_value root, member;
    char          name[SS_QUOTE_TEXT], quoted[SS_QUOTE_TEXT];
    if (config != NULL) {
        root = ss_json_root(config);
        if (ss_json_has(&root, "quantization_config")) {
            SS_TRY(ss_json_member(&root, "quantization_config", SS_JSON_OBJECT, &member));
            SS_TRY(ss_json_string_or(&member, "quant_method", &method));
            SS_TRY(ss_json_fail(&member, "quantised weights (%s) are not read; " SS_DEQUANTISE,
                                ss_quote(method, quoted)));
        }
    }
    for (int64_t i = 0; archive != NULL && i < ss_archive_count(archive); i++) {
        const char *tensor = ss_archive_at(archive, i)->name;
        size_t      length = strlen(tensor);
        for (size_t j = 0; j < SS_COUNT(marks); j++) {
            size_t tail = strlen(marks[j].suffix);
            if (length >= tail && strcmp(tensor + length - tail, marks[j].suffix) == 0)
                SS_FAIL(context, SS_ERROR_INPUT,
                        "%s: tensor %s: quantised weights (%s) are not read; " SS_DEQUANTISE,
                        ss_archive_path(archive), ss_quote(tensor, name), marks[j].method);
        }
    }
fail:
    return status;
}
