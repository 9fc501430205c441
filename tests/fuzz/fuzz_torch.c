/* Fuzz target: torch checkpoints. An input that begins like a zip file is one, the CRCs of its directory put
 * right; any other is the pickle in a zip file that the target makes around it, with two storages "0" of 24
 * and "1" of 64 bytes. */
#include "fuzz.h"
#include "io/json.h"

#include <string.h>

typedef struct writer {
    uint8_t *bytes;
    size_t   used;
} writer;

static void put(writer *w, const void *bytes, size_t size)
{
    if (size > 0) memcpy(w->bytes + w->used, bytes, size);
    w->used += size;
}

static void put_number(writer *w, uint32_t number, int count)
{
    for (int i = 0; i < count; i++, number >>= 8) w->bytes[w->used++] = (uint8_t)number;
}

/* Appends a stored member without a CRC, and its entry to the directory. */
static void put_member(writer *w, writer *directory, const char *name, const void *content, size_t size)
{
    uint32_t offset = (uint32_t)w->used;
    put(w, "PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 18);
    put_number(w, (uint32_t)size, 4);
    put_number(w, (uint32_t)size, 4);
    put_number(w, (uint32_t)strlen(name), 2);
    put_number(w, 0, 2);
    put(w, name, strlen(name));
    put(w, content, size);
    put(directory, "PK\1\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    put_number(directory, (uint32_t)size, 4);
    put_number(directory, (uint32_t)size, 4);
    put_number(directory, (uint32_t)strlen(name), 2);
    put(directory, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
    put_number(directory, offset, 4);
    put(directory, name, strlen(name));
}

static void check_scalars(const uint8_t *data, size_t size)
{
    ss_archive *archive = NULL;
    ss_json    *json = NULL;
    fuzz_begin(data, size);
    ss_status status = ss_archive_open_memory(fuzz_context, "fuzz.pt", data, (int64_t)size, &archive);
    if (status == SS_OK) {
        fuzz_check(ss_archive_note(archive) != NULL, "no note");
        status = ss_archive_scalars(archive, &json);
    }
    fuzz_status(status);
    ss_json_free(json);
    ss_archive_close(archive);
    fuzz_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t storage[64] = { 0, 0, 128, 63 };
    uint8_t              entries[512];
    writer               file = { malloc(size + 2048), 0 }, directory = { entries, 0 };
    if (file.bytes == NULL) return 0;
    if (size >= 4 && memcmp(data, "PK", 2) == 0) {
        put(&file, data, size);
        fuzz_repair_zip(file.bytes, file.used);
    } else {
        put_member(&file, &directory, "x/data.pkl", data, size);
        put_member(&file, &directory, "x/data/0", storage, 24);
        put_member(&file, &directory, "x/data/1", storage, 64);
        uint32_t begin = (uint32_t)file.used;
        put(&file, directory.bytes, directory.used);
        put(&file, "PK\5\6\0\0\0\0", 8);
        put_number(&file, 3, 2);
        put_number(&file, 3, 2);
        put_number(&file, (uint32_t)directory.used, 4);
        put_number(&file, begin, 4);
        put_number(&file, 0, 2);
    }
    fuzz_archive("fuzz.pt", file.bytes, file.used);
    check_scalars(file.bytes, file.used);
    free(file.bytes);
    return 0;
}
