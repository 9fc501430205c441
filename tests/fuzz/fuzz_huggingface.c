/* Fuzz target: the JSON files of a model's folder, and the names of repositories. The input becomes
 * config.json, an index of shards, or adapter_config.json (which one follows from it) in a folder that has
 * the other files; it is looked up as a name too. */
#include "fuzz.h"
#include "io/huggingface.h"

#include <unistd.h>

static char folder[] = "/tmp/saddlescope_fuzz_XXXXXX";

/* One tensor "a" of two floats. */
static const char shard[] =
    "\x40\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}"
    "          \0\0\0\0\0\0\0\0";

static const struct {
    const char *name, *standard;
} files[] = { { "config.json", "{\"model_type\": \"gpt2\"}" },
              { "model.safetensors.index.json", "{\"weight_map\": {\"a\": \"s\"}}" },
              { "adapter_config.json", "{\"r\": 1, \"base_model_name_or_path\": \"nobody/nothing\"}" } };
#define FILES ((int)(sizeof files / sizeof files[0]))

static void path_of(const char *name, char path[256])
{
    snprintf(path, 256, "%s/%s", folder, name);
}

static void write_file(const char *name, const void *bytes, size_t size)
{
    char path[256];
    path_of(name, path);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) abort();
}

static void remove_folder(void)
{
    char path[256];
    for (int i = 0; i < FILES; i++) {
        path_of(files[i].name, path);
        unlink(path);
    }
    path_of("s", path);
    unlink(path);
    path_of("adapter_model.bin", path);
    unlink(path);
    rmdir(folder);
}

static void prepare(void)
{
    if (mkdtemp(folder) == NULL || setenv("HF_HUB_CACHE", folder, 1) != 0) abort();
    atexit(remove_folder);
    write_file("s", shard, sizeof shard - 1);
    write_file("adapter_model.bin", shard, sizeof shard - 1);
}

static void look_up(const uint8_t *data, size_t size)
{
    char name[128], *found = NULL, *origin = NULL;
    if (size >= sizeof name) return;
    memcpy(name, data, size);
    name[size] = '\0';
    ss_status status = ss_huggingface_find(fuzz_context, name, &found, &origin);
    fuzz_check(status != SS_OK || ss_huggingface_is_name(name), "a name that is none was found");
    fuzz_status(status);
    ss_free(fuzz_context, found);
    ss_free(fuzz_context, origin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool    prepared;
    ss_huggingface model;
    char           path[256];
    if (!prepared) prepare();
    prepared = true;
    fuzz_begin(data, size);
    int chosen = (int)((fuzz_hash >> 16) % (uint64_t)FILES);
    for (int i = 0; i < FILES; i++) {
        bool there = chosen == 2 ? i != 1 : i != 2; /* an adapter lies beside no weights */
        path_of(files[i].name, path);
        if (!there)
            unlink(path);
        else if (i == chosen)
            write_file(files[i].name, data, size);
        else
            write_file(files[i].name, files[i].standard, strlen(files[i].standard));
    }
    ss_status status = ss_huggingface_open(fuzz_context, folder, NULL, &model);
    fuzz_status(status);
    fuzz_check(status != SS_OK || (model.config != NULL && model.weights != NULL), "success without a model");
    ss_huggingface_close(&model);
    look_up(data, size);
    fuzz_end();
    return 0;
}
