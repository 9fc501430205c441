/* Archives: every format, type, byte order and memory order as the reference implementations write them
 * (tests/io/make_data.py), at odd addresses and with empty arrays; shards; helpers. */
#include "io/archive.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define DATA SS_SOURCE_DIRECTORY "/tests/io/data/"

/* Element i of the files of make_data.py. */
static double expected_value(ss_type type, int64_t i)
{
    if (ss_type_is_float(type)) return (double)(i - 2) / 2;
    if (type == SS_BOOL) return (double)(i % 2);
    if (type == SS_I64 || type == SS_I32 || type == SS_I16 || type == SS_I8) return (double)(i - 2);
    return (double)i;
}

static void check_values(const char *path, const ss_array *array)
{
    int64_t count = 0;
    ss_test_require(ss_shape_count(ss_test_context, array->rank, array->shape, &count));
    for (int64_t i = 0; i < count; i++)
        cr_assert(ss_array_value(array, i) == expected_value(array->type, i), "%s: %s: element %lld: %g",
                  path, array->name, (long long)i, ss_array_value(array, i));
}

/* The name says type and rank: "F32_big_F_2", "U8_little_C_3e" (empty). */
static void check_named(const char *path, const ss_array *array)
{
    int64_t count = 0;
    size_t  length = strlen(array->name);
    bool    empty = array->name[length - 1] == 'e';
    int     rank = array->name[length - (empty ? 2 : 1)] - '0';
    ss_test_require(ss_shape_count(ss_test_context, array->rank, array->shape, &count));
    cr_assert(strncmp(array->name, ss_type_name(array->type), strcspn(array->name, "_")) == 0, "%s: %s is %s",
              path, array->name, ss_type_name(array->type));
    cr_assert(array->rank == rank && (count == 0) == empty, "%s: %s: rank %d", path, array->name,
              array->rank);
    if (rank == 2 && !empty) cr_assert(array->shape[0] == 2 && array->shape[1] == 3);
    check_values(path, array);
}

static void check_file(const char *name, const char *format, int64_t count)
{
    ss_archive *archive = NULL;
    char        path[512];
    snprintf(path, sizeof path, DATA "%s", name);
    ss_test_require(ss_archive_open(ss_test_context, path, &archive));
    cr_assert_str_eq(ss_archive_format(archive), format);
    cr_assert_str_eq(ss_archive_path(archive), path);
    cr_assert(ss_archive_count(archive) == count, "%s: %lld arrays", path,
              (long long)ss_archive_count(archive));
    cr_assert(ss_archive_bytes(archive) > 0);
    for (int64_t i = 0; i < count; i++) {
        const ss_array *array = ss_archive_at(archive, i);
        cr_assert(ss_archive_find(archive, array->name) == array);
        if (array->name[0] == '\0')
            check_values(path, array);
        else
            check_named(path, array);
    }
    cr_assert(ss_archive_find(archive, "nobody") == NULL);
    ss_archive_close(archive);
}

Test(archive, numpy_stored, .init = ss_test_begin, .fini = ss_test_end)
{
    check_file("types_stored.npz", "npz", 9 * 4 + 3 * 6 * 4);
}

Test(archive, numpy_deflated, .init = ss_test_begin, .fini = ss_test_end)
{
    check_file("types_deflated.npz", "npz", 9 * 4 + 3 * 6 * 4);
}

Test(archive, npy_versions, .init = ss_test_begin, .fini = ss_test_end)
{
    check_file("version_1.npy", "npy", 1);
    check_file("version_2.npy", "npy", 1);
    check_file("version_3.npy", "npy", 1);
}

Test(archive, safetensors, .init = ss_test_begin, .fini = ss_test_end)
{
    check_file("types.safetensors", "safetensors", 9 + 3 * 6);
    check_file("torch.safetensors", "safetensors", 2);
}

/* The length of a header may begin like the magic number of a pickle or of gzip, or like IDX. */
Test(archive, safetensors_lengths_that_look_like_magic, .init = ss_test_begin, .fini = ss_test_end)
{
    static const size_t lengths[] = { 0x0280, 0x0380, 0x0480, 0x0580, 0x8B1F, 0x0080000 };
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        ss_archive *archive = NULL;
        char       *bytes = NULL;
        size_t      size = 8 + lengths[i];
        ss_test_require(ss_allocate(ss_test_context, (int64_t)size, 1, (void **)&bytes));
        memset(bytes + 8, ' ', lengths[i]);
        memcpy(bytes + 8, "{}", 2);
        for (int k = 0; k < 8; k++) bytes[k] = (char)(lengths[i] >> (8 * k) & 0xFF);
        ss_test_require(ss_archive_open_memory(ss_test_context, "any", bytes, (int64_t)size, &archive));
        cr_assert_str_eq(ss_archive_format(archive), "safetensors");
        ss_archive_close(archive);
        ss_test_refuse(ss_archive_open_memory(ss_test_context, "any", bytes, (int64_t)size - 1, &archive),
                       SS_ERROR_INPUT, "any: header: length");
        ss_free(ss_test_context, bytes);
    }
}

Test(archive, idx, .init = ss_test_begin, .fini = ss_test_end)
{
    check_file("I8.idx", "IDX", 1);
    check_file("I16.idx", "IDX", 1);
    check_file("I32.idx", "IDX", 1);
    check_file("F32.idx", "IDX", 1);
    check_file("F64.idx", "IDX", 1);
    check_file("images-idx3-ubyte", "IDX", 1);
    check_file("images-idx3-ubyte.gz", "IDX", 1);
}

Test(archive, metadata, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_archive *archive = NULL;
    const char *key = NULL, *value = NULL;
    ss_test_require(ss_archive_open(ss_test_context, DATA "types.safetensors", &archive));
    cr_assert(ss_archive_metadata_count(archive) == 2);
    cr_assert_str_eq(ss_archive_metadata(archive, "format"), "np");
    cr_assert_str_eq(ss_archive_metadata(archive, "author"), "numpy \"quoted\" \xC3\xA9");
    cr_assert(ss_archive_metadata(archive, "version") == NULL);
    ss_archive_metadata_at(archive, 1, &key, &value);
    cr_assert(strcmp(ss_archive_metadata(archive, key), value) == 0);
    ss_archive_close(archive);
}

/* The same bytes at every address modulo 8, and nothing behind them: a sanitizer sees any read too far. */
Test(archive, any_alignment, .init = ss_test_begin, .fini = ss_test_end)
{
    static const char *const names[] = { "types.safetensors", "types_stored.npz", "version_1.npy",
                                         "F64.idx" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t      size = 0;
        char       *block = NULL;
        ss_archive *archive = NULL;
        char        path[512];
        snprintf(path, sizeof path, DATA "%s", names[i]);
        char *bytes = ss_test_read_file(path, &size);
        for (size_t shift = 0; shift < 8; shift++) {
            ss_test_require(ss_allocate(ss_test_context, (int64_t)(size + shift), 1, (void **)&block));
            memcpy(block + shift, bytes, size);
            ss_test_require(
                ss_archive_open_memory(ss_test_context, path, block + shift, (int64_t)size, &archive));
            for (int64_t j = 0; j < ss_archive_count(archive); j++)
                check_values(path, ss_archive_at(archive, j));
            ss_archive_close(archive);
            ss_free(ss_test_context, block);
        }
        ss_free(ss_test_context, bytes);
    }
}

/* Every prefix of a good file is refused (all formats say how long they are). */
Test(archive, every_truncation, .init = ss_test_begin, .fini = ss_test_end)
{
    static const char *const names[] = { "torch.safetensors", "version_1.npy", "F64.idx",
                                         "images-idx3-ubyte.gz" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t      size = 0;
        ss_archive *archive = NULL;
        char        path[512];
        snprintf(path, sizeof path, DATA "%s", names[i]);
        char *bytes = ss_test_read_file(path, &size);
        for (size_t cut = 0; cut < size; cut++)
            ss_test_refuse(ss_archive_open_memory(ss_test_context, path, bytes, (int64_t)cut, &archive),
                           SS_ERROR_INPUT, names[i]);
        ss_free(ss_test_context, bytes);
    }
}

static ss_status open_file(const char *path)
{
    ss_archive *archive = NULL;
    ss_status status = strstr(path, ".json") != NULL ? ss_archive_open_index(ss_test_context, path, &archive)
                                                     : ss_archive_open(ss_test_context, path, &archive);
    cr_assert((archive != NULL) == (status == SS_OK));
    ss_archive_close(archive);
    return status;
}

Test(archive, every_allocation_fails_once, .init = ss_test_begin, .fini = ss_test_end)
{
    static const char *const names[] = { "types.safetensors",    "types_deflated.npz",
                                         "version_1.npy",        "F64.idx",
                                         "images-idx3-ubyte.gz", "shards/model.safetensors.index.json" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[512];
        snprintf(path, sizeof path, DATA "%s", names[i]);
        int64_t before = ss_context_allocations(ss_test_context);
        ss_test_require(open_file(path));
        int64_t count = ss_context_allocations(ss_test_context) - before;
        cr_assert(count >= 5, "%s: %lld allocations", path, (long long)count);
        for (int64_t nth = 1; nth <= count; nth++) {
            ss_context_fail_allocation(ss_test_context, nth);
            ss_test_refuse(open_file(path), SS_ERROR_MEMORY, NULL);
            cr_assert(ss_context_memory_now(ss_test_context) == 0, "%s: memory is left at %lld", path,
                      (long long)nth);
        }
    }
}

Test(archive, shards, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_archive *archive = NULL;
    ss_test_require(
        ss_archive_open_index(ss_test_context, DATA "shards/model.safetensors.index.json", &archive));
    cr_assert(ss_archive_count(archive) == 3);
    cr_assert(ss_archive_find(archive, "c")->type == SS_I64);
    for (int64_t i = 0; i < 3; i++) check_values("shards", ss_archive_at(archive, i));
    ss_archive_close(archive);
}

static void refuse_index(const char *text, const char *part)
{
    ss_archive *archive = NULL;
    size_t      size = 0;
    const char *path = ss_test_path("model.safetensors.index.json");
    char       *shard = ss_test_read_file(DATA "shards/model-00001-of-00002.safetensors", &size);
    ss_test_write_file(ss_test_path("one.safetensors"), shard, size);
    ss_free(ss_test_context, shard);
    ss_test_write_file(path, text, strlen(text));
    ss_test_refuse(ss_archive_open_index(ss_test_context, path, &archive), SS_ERROR_INPUT, part);
}

Test(archive, bad_indexes, .init = ss_test_begin, .fini = ss_test_end)
{
    refuse_index("{}", "'weight_map' is missing");
    refuse_index("{\"weight_map\": 3}", "weight_map: expected an object, found 3");
    refuse_index("{\"weight_map\": {\"a\": 3}}", "weight_map.a: expected a string, found 3");
    refuse_index("{\"weight_map\": {\"a\": \"../one.safetensors\"}}",
                 "weight_map.a: expected the name of a file");
    refuse_index("{\"weight_map\": {\"a\": \"/etc/passwd\"}}", "weight_map.a: expected the name of a file");
    refuse_index("{\"weight_map\": {\"a\": \"two.safetensors\"}}", "two.safetensors: cannot be opened");
    refuse_index("{\"weight_map\": {\"z\": \"one.safetensors\"}}",
                 "weight_map.z: shard 'one.safetensors' holds no");
    refuse_index("{\"weight_map\": {\"a\": \"one.safetensors\"}}", "tensor 'b' of shard");
}

Test(archive, finite, .init = ss_test_begin, .fini = ss_test_end)
{
    const float    f32[6] = { 0, 1, 2, 3, NAN, 5 };
    const double   f64[2] = { 0, -INFINITY };
    const uint16_t f16[3] = { 0x3C00, 0x7BFF, 0x7C00 }, bf16[3] = { 0x3F80, 0x7F7F, 0xFFC0 };
    const int32_t  i32[1] = { -1 };
    ss_array       array = { .name = "w", .type = SS_F32, .rank = 2, .shape = { 2, 3 }, .data = f32 };
    ss_test_refuse(ss_array_require_finite(ss_test_context, "f", &array), SS_ERROR_INPUT,
                   "f: array 'w' holds NaN at [1, 1]");
    array = (ss_array){ .name = "w", .type = SS_F64, .rank = 1, .shape = { 2 }, .data = f64 };
    ss_test_refuse(ss_array_require_finite(ss_test_context, "f", &array), SS_ERROR_INPUT, "-infinity at [1]");
    array = (ss_array){ .name = "w", .type = SS_F16, .rank = 1, .shape = { 3 }, .data = f16 };
    ss_test_refuse(ss_array_require_finite(ss_test_context, "f", &array), SS_ERROR_INPUT, "infinity at [2]");
    array.shape[0] = 2;
    ss_test_require(ss_array_require_finite(ss_test_context, "f", &array));
    array = (ss_array){ .name = "w", .type = SS_BF16, .rank = 1, .shape = { 3 }, .data = bf16 };
    ss_test_refuse(ss_array_require_finite(ss_test_context, "f", &array), SS_ERROR_INPUT, "NaN at [2]");
    array = (ss_array){ .name = "w", .type = SS_I32, .rank = 0, .data = i32 };
    ss_test_require(ss_array_require_finite(ss_test_context, "f", &array));
}

Test(archive, quoting, .init = ss_test_begin, .fini = ss_test_end)
{
    char text[SS_QUOTE_TEXT], name[2000];
    cr_assert_str_eq(ss_quote("0.weight", text), "'0.weight'");
    cr_assert_str_eq(ss_quote("", text), "''");
    cr_assert_str_eq(ss_quote("a\x1b[2J\nb", text), "'a?[2J?b'");
    for (size_t length = 100; length < sizeof name; length++) {
        for (size_t i = 0; i < length; i++) name[i] = i % 2 == 0 ? '\xC3' : '\xA9';
        name[length] = '\0';
        ss_quote(name, text);
        size_t written = strlen(text);
        cr_assert(written < SS_QUOTE_TEXT && text[written - 1] == '\'');
        if (length > SS_QUOTE_TEXT)
            cr_assert((unsigned char)text[written - 5] == 0xA9, "a character was cut");
    }
}
