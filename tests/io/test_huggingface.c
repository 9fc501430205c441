/* Models as Hugging Face keeps them: folders, the cache with its links, adapters, shards of both kinds, what
 * is refused by name. Folders are made below the directory of the case from files of tests/io/data. */
#include "io/foreign.h"
#include "io/huggingface.h"
#include "support/golden.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATA SS_SOURCE_DIRECTORY "/tests/io/data/"

static const char config[] = "{\"model_type\": \"gpt2\", \"n_embd\": 4}";

/* "<directory>/<name>", in one of a few buffers that are used in turn. */
static const char *path_to(const char *name)
{
    static char buffers[8][2048];
    static int  next;
    char       *path = buffers[next++ % 8];
    snprintf(path, sizeof buffers[0], "%s/%s", ss_test_directory(), name);
    return path;
}

/* Makes the folders on the way to a path below the case's directory; returns the path. */
static const char *prepare(const char *name)
{
    char part[512];
    for (const char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - name), name);
        mkdir(path_to(part), 0777);
    }
    return path_to(name);
}

static void write_text(const char *name, const char *text)
{
    ss_test_write_file(prepare(name), text, strlen(text));
}

static void copy_file(const char *from, const char *name)
{
    size_t size = 0;
    char   path[512];
    snprintf(path, sizeof path, DATA "%s", from);
    char *bytes = ss_test_read_file(path, &size);
    ss_test_write_file(prepare(name), bytes, size);
    ss_free(ss_test_context, bytes);
}

static void link_to(const char *target, const char *name)
{
    cr_assert(symlink(target, prepare(name)) == 0, "%s", name);
}

static void refuse(const char *source, const char *part)
{
    ss_huggingface model;
    ss_test_refuse(ss_huggingface_open(ss_test_context, source, NULL, &model), SS_ERROR_INPUT, part);
    ss_huggingface_close(&model);
}

static void check_model(const char *source, const char *format, int64_t tensors)
{
    ss_huggingface model;
    int64_t        width = 0;
    ss_test_require(ss_huggingface_open(ss_test_context, source, NULL, &model));
    ss_json_value root = ss_json_root(model.config);
    ss_test_require(ss_json_integer(&root, "n_embd", 1, 100, &width));
    cr_assert(width == 4 && model.adapter == NULL);
    cr_assert_str_eq(ss_archive_format(model.weights), format);
    cr_assert(ss_archive_count(model.weights) == tensors);
    cr_assert(model.folder[strlen(model.folder) - 1] == '/');
    ss_huggingface_close(&model);
}

Test(huggingface, folders, .init = ss_test_begin, .fini = ss_test_end)
{
    write_text("m/config.json", config);
    refuse(path_to("m"), "no weights: expected model.safetensors or pytorch_model.bin");
    ss_huggingface_options options = { .weights_optional = true };
    ss_huggingface         model;
    ss_test_require(ss_huggingface_open(ss_test_context, path_to("m"), &options, &model));
    cr_assert(model.weights == NULL && model.weights_path == NULL);
    ss_huggingface_close(&model);
    copy_file("torch/linear.bin", "m/pytorch_model.bin");
    check_model(path_to("m"), "torch", 2);
    copy_file("shards/model-00001-of-00002.safetensors", "m/model.safetensors");
    check_model(path_to("m/"), "safetensors", 2); /* safetensors before pickles, as transformers */
    cr_assert(ss_huggingface_is_source(path_to("m")));
    write_text("m/network.json", "{}");
    cr_assert(!ss_huggingface_is_source(path_to("m")));
    cr_assert(!ss_huggingface_is_source(path_to("m/config.json")));
}

Test(huggingface, shards, .init = ss_test_begin, .fini = ss_test_end)
{
    static const char *const map =
        "{\"weight_map\": {\"weight\": \"a.bin\", \"bias\": \"a.bin\", "
        "\"a.weight\": \"b.bin\", \"a.bias\": \"b.bin\", \"a.running_mean\": \"b.bin\", "
        "\"a.running_var\": \"b.bin\", \"a.num_batches_tracked\": \"b.bin\"}}";
    write_text("m/config.json", config);
    copy_file("shards/model-00001-of-00002.safetensors", "m/model-00001-of-00002.safetensors");
    copy_file("shards/model.safetensors.index.json", "m/model.safetensors.index.json");
    refuse(path_to("m"), "m/model-00002-of-00002.safetensors: cannot be opened: No such file");
    copy_file("shards/model-00002-of-00002.safetensors", "m/model-00002-of-00002.safetensors");
    check_model(path_to("m"), "safetensors shards", 3);
    /* A tensor in another shard than the index says, and one in two shards. */
    write_text("m/model.safetensors.index.json",
               "{\"weight_map\": {\"c\": \"model-00001-of-00002.safetensors\"}}");
    refuse(path_to("m"), "weight_map.c: shard 'model-00001-of-00002.safetensors' holds no such tensor");
    copy_file("shards/model-00001-of-00002.safetensors", "m/model-00002-of-00002.safetensors");
    write_text("m/model.safetensors.index.json",
               "{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\", \"b\": "
               "\"model-00002-of-00002.safetensors\"}}");
    refuse(path_to("m"), "is not mapped to it");
    cr_assert(unlink(path_to("m/model.safetensors.index.json")) == 0);
    copy_file("torch/linear.bin", "m/a.bin");
    copy_file("torch/batchnorm.pt", "m/b.bin");
    write_text("m/pytorch_model.bin.index.json", map);
    check_model(path_to("m"), "torch shards", 7);
    link_to(DATA "torch/linear.bin", "m/outside.bin");
    write_text("m/pytorch_model.bin.index.json", "{\"weight_map\": {\"weight\": \"outside.bin\"}}");
    refuse(path_to("m"), "outside.bin: a link to ");
}

/* models--org--name as huggingface_hub makes it. */
static void make_cache(void)
{
    write_text("hub/models--org--name/blobs/c0ffee", config);
    copy_file("torch/linear.bin", "hub/models--org--name/blobs/beef");
    write_text("hub/models--org--name/refs/main", "0123abcd");
    write_text("hub/models--org--name/refs/pr/1", "feed\n");
    link_to("../../blobs/c0ffee", "hub/models--org--name/snapshots/0123abcd/config.json");
    link_to("../../blobs/beef", "hub/models--org--name/snapshots/0123abcd/pytorch_model.bin");
    write_text("hub/models--gpt2/refs/main", "0123abcd");
    setenv("HF_HUB_CACHE", path_to("hub"), 1);
}

Test(huggingface, cache, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_huggingface model;
    make_cache();
    check_model("org/name", "torch", 2);
    check_model("org/name@main", "torch", 2);
    check_model("org/name@0123abcd", "torch", 2);
    check_model(path_to("hub/models--org--name/snapshots/0123abcd"), "torch", 2);
    ss_test_require(ss_huggingface_open(ss_test_context, "org/name", NULL, &model));
    cr_assert_str_eq(model.origin, "org/name, snapshot 0123abcd");
    ss_huggingface_close(&model);
    refuse("org/name@other", "revision 'other' is not in the local cache");
    refuse("org/name@pr/1", "revision 'pr/1' is not in the local cache");
    refuse("gpt2", "revision 'main' is not in the local cache");
    refuse("org/another", "not in the local cache");
    refuse("../name", "is neither a path nor the name of a model");
    refuse("org/name/third", "is neither a path nor");
    refuse("org/name@../../x", "is neither a path nor");
    write_text("hub/models--org--name/refs/bad", "../../../etc");
    refuse("org/name@bad", "refs/bad: expected the name of a commit");
    cr_assert(ss_huggingface_is_source("org/name") && !ss_huggingface_is_source("./nowhere/x"));
    cr_assert(!ss_huggingface_is_name("mlp:3-4-2:tanh") && !ss_huggingface_is_name(".hidden/x"));
}

Test(huggingface, other_places_of_the_cache, .init = ss_test_begin, .fini = ss_test_end)
{
    char *path = NULL;
    make_cache();
    unsetenv("HF_HUB_CACHE");
    unsetenv("HUGGINGFACE_HUB_CACHE");
    setenv("HF_HOME", ss_test_directory(), 1);
    check_model("org/name", "torch", 2);
    unsetenv("HF_HOME");
    ss_test_require(ss_format(ss_test_context, &path, "%s/c/huggingface", ss_test_directory()));
    prepare("c/huggingface/hub");
    cr_assert(rename(path_to("hub"), path_to("c/huggingface/hub")) == 0);
    setenv("XDG_CACHE_HOME", path_to("c"), 1);
    check_model("org/name", "torch", 2);
    ss_free(ss_test_context, path);
}

Test(huggingface, links_that_leave, .init = ss_test_begin, .fini = ss_test_end)
{
    make_cache();
    copy_file("torch/linear.bin", "secret.bin");
    write_text("hub/models--org--name/refs/evil", "66");
    link_to("../../blobs/c0ffee", "hub/models--org--name/snapshots/66/config.json");
    link_to("../../../../secret.bin", "hub/models--org--name/snapshots/66/pytorch_model.bin");
    refuse("org/name@evil", "links that leave the model's folder are not followed");
    link_to("/etc/hostname", "m/config.json");
    refuse(path_to("m"), "links that leave the model's folder are not followed");
    link_to("nowhere", "n/config.json");
    refuse(path_to("n"), "a link that leads nowhere");
    /* A sibling whose name begins alike is outside too. */
    write_text("hub/models--org--name2/config.json", config);
    write_text("hub/models--org--name/refs/near", "77");
    link_to("../../../models--org--name2/config.json", "hub/models--org--name/snapshots/77/config.json");
    refuse("org/name@near", "links that leave the model's folder are not followed");
}

Test(huggingface, adapters, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_huggingface         model;
    ss_huggingface_options options = { .base = NULL };
    char                  *text = NULL;
    write_text("base/config.json", config);
    copy_file("torch/linear.bin", "base/pytorch_model.bin");
    ss_test_require(ss_format(ss_test_context, &text, "{\"r\": 2, \"base_model_name_or_path\": \"%s/base\"}",
                              ss_test_directory()));
    write_text("lora/adapter_config.json", text);
    ss_free(ss_test_context, text);
    refuse(path_to("lora"), "expected adapter_model.safetensors or adapter_model.bin");
    copy_file("torch/parallel.pth", "lora/adapter_model.bin");
    ss_test_require(ss_huggingface_open(ss_test_context, path_to("lora"), NULL, &model));
    cr_assert(ss_archive_count(model.weights) == 2 && ss_archive_count(model.adapter) == 3);
    ss_json_value root = ss_json_root(model.adapter_config);
    int64_t       rank = 0;
    ss_test_require(ss_json_integer(&root, "r", 1, 1000, &rank));
    cr_assert(rank == 2 && strstr(model.adapter_folder, "lora/") && strstr(model.folder, "base/"));
    ss_huggingface_close(&model);
    options.base = path_to("lora");
    ss_test_refuse(ss_huggingface_open(ss_test_context, path_to("lora"), &options, &model), SS_ERROR_INPUT,
                   "is an adapter itself");
    ss_huggingface_close(&model);
    options.base = path_to("nowhere/at/all");
    ss_test_refuse(ss_huggingface_open(ss_test_context, path_to("lora"), &options, &model), SS_ERROR_INPUT,
                   "is neither a path nor");
    ss_huggingface_close(&model);
    options.base = path_to("lora");
    ss_test_refuse(ss_huggingface_open(ss_test_context, path_to("base"), &options, &model), SS_ERROR_INPUT,
                   "has no adapter_config.json");
    ss_huggingface_close(&model);
    write_text("lora/adapter_config.json", "{\"r\": 2}");
    refuse(path_to("lora"), "'base_model_name_or_path' is missing");
}

Test(huggingface, foreign, .init = ss_test_begin, .fini = ss_test_end)
{
    static const char *const rows[][2] = {
        { "dcp/.metadata", "dcp_to_torch" },
        { "dcp2/__0_0.distcp", "dcp_to_torch" },
        { "deepspeed/mp_rank_00_model_states.pt", "zero_to_fp32.py" },
        { "zero/zero_pp_rank_0_mp_rank_00_optim_states.pt", "zero_to_fp32.py" },
        { "megatron/latest_checkpointed_iteration.txt", "tools/checkpoint/convert.py" },
        { "fsdp/pytorch_model_fsdp_0", "accelerate merge-weights" },
        { "gguf/model.gguf", "gguf_file=" },
        { "trainer/checkpoint-100", "name one of them, the last is" },
        { "empty/readme.md", "has neither network.json, nor config.json" },
    };
    char        folder[64];
    ss_archive *archive = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_text(rows[i][0], "x");
        snprintf(folder, sizeof folder, "%.*s", (int)strcspn(rows[i][0], "/"), rows[i][0]);
        refuse(path_to(folder), rows[i][1]);
    }
    ss_test_refuse(ss_archive_open(ss_test_context, path_to("dcp2/__0_0.distcp"), &archive), SS_ERROR_INPUT,
                   "dcp_to_torch");
    ss_test_refuse(
        ss_archive_open(ss_test_context, path_to("deepspeed/mp_rank_00_model_states.pt"), &archive),
        SS_ERROR_INPUT, "a DeepSpeed checkpoint");
    ss_test_refuse(ss_archive_open(ss_test_context, path_to("gguf/model.gguf"), &archive), SS_ERROR_INPUT,
                   "a GGUF file");
    write_text("q/config.json", "{\"quantization_config\": {\"quant_method\": \"gptq\"}}");
    refuse(path_to("q"), "quantization_config: quantised weights ('gptq') are not read");
    write_text("q/config.json", config);
    static const char header[] = "{\"m.qweight\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}} ";
    char              file[128] = { (char)(sizeof header - 1) };
    memcpy(file + 8, header, sizeof header - 1);
    ss_test_write_file(path_to("q/model.safetensors"), file, 8 + sizeof header);
    refuse(path_to("q"), "tensor 'm.qweight': quantised weights (GPTQ or AWQ) are not read");
}

/* The models of the reference cases, which transformers wrote. */
static void check_case(void *user, const char *folder)
{
    char           path[1024];
    ss_huggingface model;
    const char    *type = NULL;
    int           *models = user;
    snprintf(path, sizeof path, "%s/model", folder);
    if (access(path, F_OK) != 0) return;
    ss_test_require(ss_huggingface_open(ss_test_context, path, NULL, &model));
    ss_json_value root = ss_json_root(model.config);
    ss_test_require(ss_json_string(&root, "model_type", &type));
    cr_assert(ss_archive_count(model.weights) > 0, "%s: %s", path, type);
    ss_huggingface_close(&model);
    (*models)++;
}

Test(huggingface, reference_cases, .init = ss_test_begin, .fini = ss_test_end)
{
    int models = 0;
    ss_golden_visit(check_case, &models);
    printf("%d models\n", models);
}

static ss_status open_and_close(const char *source)
{
    ss_huggingface model;
    ss_status      status = ss_huggingface_open(ss_test_context, source, NULL, &model);
    ss_huggingface_close(&model);
    return status;
}

Test(huggingface, every_allocation_fails_once, .init = ss_test_begin, .fini = ss_test_end)
{
    char *text = NULL;
    make_cache();
    write_text("lora/adapter_config.json", "{\"base_model_name_or_path\": \"org/name\"}");
    copy_file("torch/parallel.pth", "lora/adapter_model.bin");
    ss_test_require(ss_copy_string(ss_test_context, path_to("lora"), &text));
    int64_t kept = ss_context_memory_now(ss_test_context), before = ss_context_allocations(ss_test_context);
    ss_test_require(open_and_close(text));
    int64_t count = ss_context_allocations(ss_test_context) - before;
    cr_assert(count >= 20, "%lld allocations", (long long)count);
    for (int64_t nth = 1; nth <= count; nth++) {
        ss_context_fail_allocation(ss_test_context, nth);
        ss_test_refuse(open_and_close(text), SS_ERROR_MEMORY, NULL);
        cr_assert(ss_context_memory_now(ss_test_context) == kept, "memory is left at %lld", (long long)nth);
    }
    ss_context_fail_allocation(ss_test_context, 0);
    ss_free(ss_test_context, text);
}
