/* Archives: opening and mapping the file, deciding its format by content, the list of arrays. */
#define _POSIX_C_SOURCE 200809L
#include "io/archive_private.h"
#include "io/foreign.h"
#include "io/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Blocks up to this size are taken without asking how much memory there is. */
#define SS_SMALL_BLOCK ((int64_t)64 << 20)

/* ---- Formats: one row each, asked in this order -----------------------------------------------------------
 */

static ss_status read_gzip(ss_archive *archive, const unsigned char *bytes, int64_t size);
static ss_status read_pickle(ss_archive *archive, const unsigned char *bytes, int64_t size);

static bool has_suffix(const char *path, const char *suffix)
{
    size_t length = strlen(path), wanted = strlen(suffix);
    return length >= wanted && strcmp(path + length - wanted, suffix) == 0;
}

static bool is_npy(const char *path, const unsigned char *bytes, int64_t size)
{
    (void)path;
    return size >= 6 && memcmp(bytes, "\x93NUMPY", 6) == 0;
}

static bool is_zip(const char *path, const unsigned char *bytes, int64_t size)
{
    (void)path;
    return size >= 4 && (memcmp(bytes, "PK\3\4", 4) == 0 || memcmp(bytes, "PK\5\6", 4) == 0);
}

static bool is_gzip(const char *path, const unsigned char *bytes, int64_t size)
{
    (void)path;
    return size >= 2 && bytes[0] == 0x1F && bytes[1] == 0x8B;
}

/* Protocols 2 to 5 begin with their number; torch's old format is a sequence of such pickles. */
static bool is_pickle(const char *path, const unsigned char *bytes, int64_t size)
{
    (void)path;
    return size >= 2 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5;
}

/* safetensors has no magic number: an eight-byte length, then a JSON object. Its low bytes may look like any
 * other format's magic number (a header of 0x0280 or 0x0480 bytes like a pickle's, 0x8B1F like gzip's), so
 * this is asked first: the length is far below 2^32, so four zeros and a brace follow, which no other format
 * has there. */
static bool is_safetensors(const char *path, const unsigned char *bytes, int64_t size)
{
    (void)path;
    return size >= 9 && ss_little(bytes + 4, 4) == 0 && bytes[8] == '{';
}

/* What nobody knows but looks or is named like one: so that its reader says what is wrong. */
static bool is_damaged_safetensors(const char *path, const unsigned char *bytes, int64_t size)
{
    return (size >= 9 && bytes[8] == '{') || has_suffix(path, ".safetensors");
}

static bool is_idx(const char *path, const unsigned char *bytes, int64_t size)
{
    (void)path;
    return size >= 4 && bytes[0] == 0 && bytes[1] == 0 && bytes[2] >= 8 && bytes[2] <= 14;
}

typedef struct format_row {
    const char *name; /* as ss_archive_format says it */
    bool (*matches)(const char *path, const unsigned char *bytes, int64_t size);
    ss_archive_reader read;
    bool              inside_gzip; /* also looked for behind gzip */
} format_row;

static const format_row formats[] = {
    { "safetensors", is_safetensors, ss_safetensors_read, true },
    { "npy", is_npy, ss_npy_read, true },
    { "zip", is_zip, ss_zip_read, false }, /* "npz" or "torch" */
    { "gzip", is_gzip, read_gzip, false },
    { "pickle", is_pickle, read_pickle, true },
    { "safetensors", is_damaged_safetensors, ss_safetensors_read, true },
    { "IDX", is_idx, ss_idx_read, true },
};

static ss_status read_any(ss_archive *archive, const unsigned char *bytes, int64_t size, bool inside_gzip)
{
    if (size == 0) return ss_archive_fail(archive, "the file is empty");
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (inside_gzip && !formats[i].inside_gzip) continue;
        if (!formats[i].matches(archive->path, bytes, size)) continue;
        archive->format = formats[i].name;
        return formats[i].read(archive, bytes, size);
    }
    char first[3 * 8 + 1] = "";
    for (int i = 0; i < 8 && i < size; i++) snprintf(first + 3 * i, 4, " %02x", bytes[i]);
    return ss_archive_fail(archive,
                           "unknown format: expected safetensors, .npy, .npz%s, found %lld "
                           "bytes that begin with%s",
                           inside_gzip ? " or IDX inside gzip"
                                       : ", a torch checkpoint or IDX (.npy, IDX also behind gzip)",
                           (long long)size, first);
}

/* A file of any format, not inside anything else. */
static ss_status read_plain(ss_archive *archive, const unsigned char *bytes, int64_t size)
{
    return read_any(archive, bytes, size, false);
}

static ss_status read_gzip(ss_archive *archive, const unsigned char *bytes, int64_t size)
{
    ss_status      status = SS_OK;
    unsigned char *content = NULL;
    int64_t        length = 0;
    SS_TRY(ss_inflate_gzip(archive, bytes, size, &content, &length));
    SS_TRY(read_any(archive, content, length, true));
fail:
    return status;
}

/* The number that torch's format before 1.6 begins with, as a pickle. */
static const unsigned char legacy_torch[] = { 0x80, 2,    0x8A, 10,   0x6C, 0xFC, 0x9C, 0x46,
                                              0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, '.' };

static ss_status read_pickle(ss_archive *archive, const unsigned char *bytes, int64_t size)
{
    if (size >= (int64_t)sizeof legacy_torch && memcmp(bytes, legacy_torch, sizeof legacy_torch) == 0)
        return ss_archive_fail(archive,
                               "a checkpoint in torch's format before 1.6: save it again: python -c \"import "
                               "torch; torch.save(torch.load('IN', weights_only=True, map_location='cpu'), "
                               "'OUT')\"");
    return ss_archive_fail(archive,
                           "a Python pickle that is no torch checkpoint: reading it would run code from the "
                           "file; export the model first: scripts/export_torch.py MODEL DATA OUT");
}

/* ---- What readers call ------------------------------------------------------------------------------------
 */

ss_status ss_archive_fail(ss_archive *archive, const char *format, ...)
{
    char    text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return ss_fail(archive->context, SS_ERROR_INPUT, "%s: %s", archive->path, text);
}

ss_status ss_archive_add(ss_archive *archive, const ss_array *array)
{
    ss_status status = SS_OK;
    char     *name = NULL;
    if (archive->count == archive->room) {
        int64_t room = archive->room == 0 ? 4 : 2 * archive->room;
        SS_TRY(ss_reallocate(archive->context, room, sizeof *archive->arrays, (void **)&archive->arrays));
        archive->room = room;
    }
    SS_TRY(ss_copy_string(archive->context, array->name, &name));
    archive->arrays[archive->count] = *array;
    archive->arrays[archive->count].name = name;
    archive->count++;
fail:
    return status;
}

ss_status ss_archive_block(ss_archive *archive, const char *what, int64_t bytes, void **block)
{
    ss_status status = SS_OK;
    *block = NULL;
    if (bytes > SS_SMALL_BLOCK) {
        int64_t available = ss_memory_available();
        if (bytes > available)
            SS_FAIL(archive->context, SS_ERROR_REFUSED, "%s: %sneeds %lld MiB of memory, %lld MiB are free",
                    archive->path, what, (long long)(bytes >> 20), (long long)(available >> 20));
    }
    SS_TRY(ss_reallocate(archive->context, archive->n_blocks + 1, sizeof *archive->blocks,
                         (void **)&archive->blocks));
    SS_TRY(ss_allocate(archive->context, bytes, 1, block));
    archive->blocks[archive->n_blocks++] = *block;
fail:
    return status;
}

ss_status ss_archive_extent(ss_archive *archive, const char *where, int32_t rank, const int64_t *shape,
                            size_t item, int64_t *bytes)
{
    char    text[SS_SHAPE_TEXT];
    int64_t product = (int64_t)item;
    bool    empty = false;
    for (int32_t i = 0; i < rank; i++) {
        if (shape[i] < 0)
            return ss_archive_fail(archive, "%sshape: an extent is negative: %s", where,
                                   ss_shape_text(rank, shape, text));
        if (shape[i] == 0)
            empty = true;
        else if (!ss_mul64(product, shape[i], &product))
            return ss_archive_fail(archive, "%sshape: %s overflows a 64-bit size", where,
                                   ss_shape_text(rank, shape, text));
    }
    *bytes = empty ? 0 : product;
    return SS_OK;
}

void ss_swap_copy(void *target, const void *source, int64_t count, size_t item)
{
    unsigned char       *to = target;
    const unsigned char *from = source;
    for (int64_t i = 0; i < count; i++, to += item, from += item) {
        for (size_t byte = 0; byte < item; byte++) to[byte] = from[item - 1 - byte];
    }
}

/* ---- Opening and closing ----------------------------------------------------------------------------------
 */

static int compare_names(const void *a, const void *b)
{
    const ss_array *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

/* Makes the sorted list, in which a name that stands twice is found. */
static ss_status sort_names(ss_archive *archive)
{
    ss_status status = SS_OK;
    char      name[SS_QUOTE_TEXT];
    SS_TRY(SS_NEW_ARRAY(archive->context, archive->count, &archive->sorted));
    for (int64_t i = 0; i < archive->count; i++) archive->sorted[i] = &archive->arrays[i];
    qsort(archive->sorted, (size_t)archive->count, sizeof *archive->sorted, compare_names);
    for (int64_t i = 1; i < archive->count; i++) {
        if (strcmp(archive->sorted[i - 1]->name, archive->sorted[i]->name) == 0)
            SS_TRY(ss_archive_fail(archive, "the name %s stands twice",
                                   ss_quote(archive->sorted[i]->name, name)));
    }
fail:
    return status;
}

static ss_status create(ss_context *context, const char *path, ss_archive **archive)
{
    ss_status status = SS_OK;
    SS_TRY(SS_NEW(context, archive));
    (*archive)->context = context;
    (*archive)->format = "";
    SS_TRY(ss_copy_string(context, path, &(*archive)->path));
fail:
    return status;
}

/* Maps a regular file. The bytes and their number go to map and size; an empty file maps nothing. */
static ss_status map_file(ss_archive *archive)
{
    ss_status   status = SS_OK;
    struct stat about;
    int         file = open(archive->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0 || fstat(file, &about) != 0) {
        status = ss_archive_fail(archive, "cannot be opened: %s", strerror(errno));
        goto fail;
    }
    if (!S_ISREG(about.st_mode))
        SS_TRY(ss_archive_fail(archive, "expected a file, found a %s",
                               S_ISDIR(about.st_mode) ? "directory" : "pipe or device"));
    archive->size = about.st_size;
    if (about.st_size > 0) {
        void *map = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (map == MAP_FAILED) {
            status = ss_archive_fail(archive, "cannot be mapped: %s", strerror(errno));
            goto fail;
        }
        archive->map = map;
    }
fail:
    if (file >= 0) close(file);
    return status;
}

ss_status ss_archive_open_as(ss_context *context, const char *path, ss_archive_reader read, const void *hint,
                             ss_archive **archive)
{
    ss_status   status = SS_OK;
    ss_archive *made = NULL;
    *archive = NULL;
    SS_TRY(create(context, path, &made));
    made->hint = hint;
    SS_TRY(map_file(made));
    SS_TRY(read(made, made->map, made->size));
    SS_TRY(sort_names(made));
    *archive = made;
    made = NULL;
fail:
    ss_archive_close(made);
    return status;
}

ss_status ss_archive_open_memory_as(ss_context *context, const char *path, const void *bytes, int64_t size,
                                    ss_archive_reader read, const void *hint, ss_archive **archive)
{
    ss_status   status = SS_OK;
    ss_archive *made = NULL;
    *archive = NULL;
    SS_TRY(create(context, path, &made));
    made->hint = hint;
    made->size = size;
    SS_TRY(read(made, bytes, size));
    SS_TRY(sort_names(made));
    *archive = made;
    made = NULL;
fail:
    ss_archive_close(made);
    return status;
}

ss_status ss_archive_open(ss_context *context, const char *path, ss_archive **archive)
{
    ss_status status = SS_OK;
    *archive = NULL;
    SS_TRY(ss_foreign_refuse_file(context, path));
    SS_TRY(ss_archive_open_as(context, path, read_plain, NULL, archive));
fail:
    return status;
}

ss_status ss_archive_open_memory(ss_context *context, const char *path, const void *bytes, int64_t size,
                                 ss_archive **archive)
{
    return ss_archive_open_memory_as(context, path, bytes, size, read_plain, NULL, archive);
}

ss_status ss_archive_open_index(ss_context *context, const char *path, ss_archive **archive)
{
    ss_status   status = SS_OK;
    ss_archive *made = NULL;
    *archive = NULL;
    SS_TRY(create(context, path, &made));
    SS_TRY(ss_archive_read_index(made));
    SS_TRY(sort_names(made));
    SS_TRY(ss_archive_check_index(made));
    *archive = made;
    made = NULL;
fail:
    ss_archive_close(made);
    return status;
}

void ss_archive_close(ss_archive *archive)
{
    if (archive == NULL) return;
    ss_context *context = archive->context;
    for (int64_t i = 0; i < archive->count; i++) ss_free(context, (void *)(uintptr_t)archive->arrays[i].name);
    for (int64_t i = 0; i < archive->n_pairs; i++) {
        ss_free(context, archive->pairs[i].key);
        ss_free(context, archive->pairs[i].value);
    }
    for (int64_t i = 0; i < archive->n_blocks; i++) ss_free(context, archive->blocks[i]);
    for (int64_t i = 0; i < archive->n_shards; i++) ss_archive_close(archive->shards[i]);
    if (archive->map != NULL) munmap((void *)(uintptr_t)archive->map, (size_t)archive->size);
    ss_free(context, archive->arrays);
    ss_free(context, archive->sorted);
    ss_free(context, archive->pairs);
    ss_free(context, archive->blocks);
    ss_free(context, archive->shards);
    ss_free(context, archive->note);
    ss_free(context, archive->scalars);
    ss_free(context, archive->path);
    ss_free(context, archive);
}

/* ---- Looking at it ----------------------------------------------------------------------------------------
 */

int64_t ss_archive_count(const ss_archive *archive)
{
    return archive->count;
}

const ss_array *ss_archive_at(const ss_archive *archive, int64_t index)
{
    return &archive->arrays[index];
}

const ss_array *ss_archive_find(const ss_archive *archive, const char *name)
{
    ss_array        wanted = { .name = name };
    const ss_array *key = &wanted, *const *found = bsearch(&key, archive->sorted, (size_t)archive->count,
                                                           sizeof *archive->sorted, compare_names);
    return found != NULL ? *found : NULL;
}

int64_t ss_archive_metadata_count(const ss_archive *archive)
{
    return archive->n_pairs;
}

void ss_archive_metadata_at(const ss_archive *archive, int64_t index, const char **key, const char **value)
{
    *key = archive->pairs[index].key;
    *value = archive->pairs[index].value;
}

const char *ss_archive_metadata(const ss_archive *archive, const char *key)
{
    for (int64_t i = 0; i < archive->n_pairs; i++) {
        if (strcmp(archive->pairs[i].key, key) == 0) return archive->pairs[i].value;
    }
    return NULL;
}

const char *ss_archive_path(const ss_archive *archive)
{
    return archive->path;
}

const char *ss_archive_format(const ss_archive *archive)
{
    return archive->format;
}

const char *ss_archive_note(const ss_archive *archive)
{
    return archive->note != NULL ? archive->note : "";
}

ss_status ss_archive_scalars(const ss_archive *archive, ss_json **json)
{
    *json = NULL;
    if (archive->scalars == NULL) return SS_OK;
    return ss_json_parse(archive->context, archive->path, archive->scalars, (int64_t)strlen(archive->scalars),
                         json);
}

int64_t ss_archive_bytes(const ss_archive *archive)
{
    return archive->size;
}
