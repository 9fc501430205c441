/* Token ids: raw files, streams that are cut, data without labels, what goes with input_ids. */
#include "io/dataset_private.h"
#include "support/golden.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static ss_dataset_options sequences_of(int64_t length, int64_t stride)
{
    ss_dataset_options options;
    ss_dataset_options_init(&options);
    options.sequence_length = length;
    options.stride = stride;
    return options;
}

static ss_dataset_options typed(int64_t length, ss_type type)
{
    ss_dataset_options options = sequences_of(length, 0);
    options.token_type_given = true;
    options.token_type = type;
    return options;
}

static ss_dataset *open_data(const char *path, const ss_dataset_options *options)
{
    ss_dataset *dataset = NULL;
    ss_test_require(ss_dataset_open(ss_test_context, path, options, &dataset));
    return dataset;
}

static void refuse(const char *path, const ss_dataset_options *options, const char *part)
{
    ss_dataset *dataset = NULL;
    ss_test_refuse(ss_dataset_open(ss_test_context, path, options, &dataset), SS_ERROR_INPUT, part);
    cr_assert(dataset == NULL);
}

/* Id number i of a stream is 3 i + 1. */
static void check_ids(const ss_dataset *dataset, int64_t count, int64_t length, int64_t stride)
{
    const ss_array *x = ss_dataset_inputs(dataset);
    cr_assert_str_eq(x->name, "input_ids");
    cr_assert(x->rank == 2 && x->shape[0] == count && x->shape[1] == length, "%s",
              ss_dataset_description(dataset));
    cr_assert(ss_dataset_samples(dataset) == count && ss_dataset_targets(dataset) == NULL);
    cr_assert(ss_dataset_target_length(dataset) == 0 && ss_dataset_has_labels(dataset));
    for (int64_t i = 0; i < count; i++) {
        cr_assert(ss_dataset_counted(dataset, i) == length - 1);
        for (int64_t t = 0; t < length; t++)
            cr_assert(ss_array_integer(x, i * length + t) == 3 * (i * stride + t) + 1);
    }
}

/* A .npy file of one dimension. */
static const char *write_npy(const char *name, const char *descr, const char *shape, const void *data,
                             size_t size)
{
    char file[4096] = "\x93NUMPY\1\0\x76\0";
    int  length =
        snprintf(file + 10, 118, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);
    const char *path = ss_test_path(name);
    memset(file + 10 + length, ' ', (size_t)(117 - length));
    file[127] = '\n';
    memcpy(file + 128, data, size);
    ss_test_write_file(path, file, 128 + size);
    return path;
}

#define IDS 10
static const uint16_t u16[IDS] = { 1, 4, 7, 10, 13, 16, 19, 22, 25, 28 };
static const uint32_t u32[IDS] = { 1, 4, 7, 10, 13, 16, 19, 22, 25, 28 };
static const int64_t  i64[IDS] = { 1, 4, 7, 10, 13, 16, 19, 22, 25, 28 };

Test(tokens, raw_types, .init = ss_test_begin, .fini = ss_test_end)
{
    static const struct {
        ss_type     type;
        const void *ids;
        size_t      item;
    } rows[] = { { SS_U16, u16, 2 }, { SS_U32, u32, 4 }, { SS_I32, u32, 4 }, { SS_I64, i64, 8 } };
    for (size_t i = 0; i < 4; i++) {
        ss_dataset_options options = typed(4, rows[i].type);
        const char        *path = ss_test_path("ids.bin");
        ss_test_write_file(path, rows[i].ids, IDS * rows[i].item);
        ss_dataset *dataset = open_data(path, &options);
        check_ids(dataset, 2, 4, 4);
        cr_assert(ss_dataset_inputs(dataset)->type == rows[i].type);
        ss_dataset_close(dataset);
    }
}

Test(tokens, strides, .init = ss_test_begin, .fini = ss_test_end)
{
    static const int64_t rows[][3] = { /* length, stride, sequences */
                                       { 4, 0, 2 }, { 4, 4, 2 },  { 4, 1, 7 },  { 4, 3, 3 }, { 4, 6, 2 },
                                       { 4, 7, 1 }, { 10, 0, 1 }, { 1, 1, 10 }, { 3, 9, 1 }, { 2, 8, 2 }
    };
    const char *path = write_npy("ids.npy", "<u2", "(10,)", u16, sizeof u16);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ss_dataset_options options = sequences_of(rows[i][0], rows[i][1]);
        ss_dataset        *dataset = open_data(path, &options);
        check_ids(dataset, rows[i][2], rows[i][0], rows[i][1] > 0 ? rows[i][1] : rows[i][0]);
        ss_dataset_close(dataset);
    }
}

Test(tokens, in_place_or_copied, .init = ss_test_begin, .fini = ss_test_end)
{
    for (int overlap = 0; overlap < 2; overlap++) {
        ss_dataset_options options = typed(4, SS_U16);
        ss_archive        *archive = NULL;
        ss_dataset        *dataset = NULL;
        options.stride = overlap ? 2 : 4;
        ss_test_require(ss_tokens_open_memory(ss_test_context, "ids", u16, sizeof u16, &options, &archive));
        ss_test_require(ss_dataset_from_archives(ss_test_context, "ids", archive, NULL, &options, &dataset));
        cr_assert((ss_dataset_inputs(dataset)->data == u16) == (overlap == 0));
        ss_dataset_close(dataset);
    }
}

Test(tokens, description, .init = ss_test_begin, .fini = ss_test_end)
{
    const char        *path = write_npy("ids.npy", "<i8", "(10,)", i64, sizeof i64);
    ss_dataset_options options = sequences_of(4, 3);
    ss_dataset        *dataset = open_data(path, &options);
    cr_assert_str_eq(
        ss_dataset_description(dataset),
        "input_ids I64 [3, 4] ids 1..28, first 1 4 7 10; cut from 10 ids, a sequence every 3, 0 left "
        "over; no labels: each id is predicted from those before it");
    cr_assert(ss_dataset_largest_id(dataset) == 28);
    ss_test_require(ss_dataset_check_labels(ss_test_context, dataset, 29, SS_IGNORED_LABEL));
    ss_test_refuse(ss_dataset_check_labels(ss_test_context, dataset, 28, SS_IGNORED_LABEL), SS_ERROR_INPUT,
                   "array 'input_ids': id 28 at [2, 3]: expected one between 0 and 27");
    ss_dataset_close(dataset);
    options = sequences_of(3, 0);
    options.samples = 1;
    options.sample_seed = 4;
    dataset = open_data(path, &options);
    int64_t chosen = ss_dataset_chosen(dataset)[0];
    cr_assert(ss_dataset_samples(dataset) == 1 && ss_dataset_samples_in_file(dataset) == 3);
    cr_assert(ss_array_integer(ss_dataset_inputs(dataset), 0) == 9 * chosen + 1);
    cr_assert(strstr(ss_dataset_description(dataset), "1 left over") != NULL);
    ss_dataset_close(dataset);
}

/* A file of llm.c: 256 numbers, then the ids. */
static const char *write_llmc(uint32_t magic, uint32_t version, uint32_t count, const void *ids, size_t size)
{
    unsigned char file[1024 + 64] = { 0 };
    uint32_t      header[3] = { magic, version, count };
    const char   *path = ss_test_path("llmc.bin");
    memcpy(file, header, sizeof header);
    memcpy(file + 1024, ids, size);
    ss_test_write_file(path, file, 1024 + size);
    return path;
}

Test(tokens, known_headers, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_dataset_options options = sequences_of(5, 0);
    ss_dataset        *dataset = open_data(write_llmc(20240520, 1, IDS, u16, sizeof u16), &options);
    check_ids(dataset, 2, 5, 5);
    ss_dataset_close(dataset);
    dataset = open_data(write_llmc(20240801, 7, IDS, u32, sizeof u32), &options);
    check_ids(dataset, 2, 5, 5);
    ss_dataset_close(dataset);
    refuse(write_llmc(20240520, 2, IDS, u16, sizeof u16), &options,
           "header: expected version 1 of llm.c, found 2");
    refuse(write_llmc(20240520, 1, 11, u16, sizeof u16), &options,
           "header: 11 ids are declared, the file holds 10");
    options = typed(5, SS_I64);
    refuse(write_llmc(20240520, 1, IDS, u16, sizeof u16), &options, "--token-dtype: the header says U16");
    const uint32_t magic = 20240520;
    ss_test_write_file(ss_test_path("cut.bin"), &magic, sizeof magic);
    refuse(ss_test_path("cut.bin"), NULL, "header: the file ends inside it");
}

Test(tokens, megatron, .init = ss_test_begin, .fini = ss_test_end)
{
    static const char  index[20] = "MMIDIDX\0\0\1\0\0\0\0\0\0\0\x08";
    ss_dataset_options options = sequences_of(5, 0);
    const char        *path = ss_test_path("text.bin");
    ss_test_write_file(path, u16, sizeof u16);
    ss_test_write_file(ss_test_path("text.idx"), index, sizeof index);
    refuse(path, &options, "a Megatron data set");
    refuse(path, &options, "says uint16");
    refuse(ss_test_path("text.idx"), &options, "the index of a Megatron data set");
    options = typed(5, SS_U16);
    ss_dataset *dataset = open_data(path, &options);
    check_ids(dataset, 2, 5, 5);
    ss_dataset_close(dataset);
}

Test(tokens, refused, .init = ss_test_begin, .fini = ss_test_end)
{
    static const int64_t negative[4] = { 1, 2, -3, 4 };
    static const float   floats[4] = { 1, 2, 3, 4 };
    const char *raw = ss_test_path("raw.bin"), *npy = write_npy("a.npy", "<u2", "(10,)", u16, sizeof u16);
    ss_dataset_options options = sequences_of(4, 0);
    ss_test_write_file(raw, u16, sizeof u16);
    refuse(raw, &options, "state --token-dtype");
    refuse(npy, NULL, "holds one array of 10 integers: --sequence-length cuts");
    options = sequences_of(11, 0);
    refuse(npy, &options, "--sequence-length: a sequence of 11 ids from a file of 10");
    options = typed(4, SS_U16);
    refuse(npy, &options, "--token-dtype is for raw files");
    options = typed(1, SS_I64);
    refuse(raw, &options, "20 bytes are no whole number of ids of type I64");
    ss_test_write_file(raw, u16, 0);
    refuse(raw, &options, "a sequence of 1 ids from a file of 0");
    options = typed(2, SS_I32);
    ss_test_write_file(raw, "\1\0\0\0\xff\xff\xff\xff", 8);
    refuse(raw, &options, "array 'input_ids': id -1 at [0, 1] is negative");
    options = sequences_of(2, 0);
    refuse(write_npy("n.npy", "<i8", "(4,)", negative, sizeof negative), &options,
           "array 'input_ids': id -3 at [1, 0] is negative");
    refuse(write_npy("f.npy", "<f4", "(4,)", floats, sizeof floats), &options,
           "expected token ids, integers [n] or [N, T], found F32 of shape [4]");
    refuse(write_npy("r.npy", "<u2", "(2, 2, 2)", u16, 16), &options, "found U16 of shape [2, 2, 2]");
    refuse(write_npy("e.npy", "<u2", "(0,)", u16, 0), &options, "a sequence of 2 ids from a file of 0");
    refuse(write_npy("t.npy", "<u2", "(2, 4)", u16, 16), &options,
           "array 'input_ids' of shape [2, 4] is cut into sequences already");
    refuse(SS_SOURCE_DIRECTORY "/tests/cases/gelu_mse/data.safetensors", &options,
           "--sequence-length and --stride cut token ids, which these are not");
    options.sequence_length = -1;
    ss_dataset *dataset = NULL;
    ss_test_refuse(ss_dataset_open(ss_test_context, npy, &options, &dataset), SS_ERROR_USAGE,
                   "sequence length and stride must be positive");
    options = typed(4, SS_F32);
    ss_test_refuse(ss_dataset_open(ss_test_context, npy, &options, &dataset), SS_ERROR_USAGE,
                   "token ids are");
}

Test(tokens, rows, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_dataset *dataset = open_data(write_npy("rows.npy", "<u2", "(2, 5)", u16, sizeof u16), NULL);
    check_ids(dataset, 2, 5, 5);
    ss_dataset_close(dataset);
    ss_dataset_options options = sequences_of(5, 0);
    dataset = open_data(ss_test_path("rows.npy"), &options);
    ss_dataset_close(dataset);
    const ss_array x = { .name = "", .type = SS_I64, .rank = 2, .shape = { 2, 5 }, .data = i64 };
    ss_test_require(ss_dataset_from_arrays(ss_test_context, &x, NULL, NULL, &dataset));
    check_ids(dataset, 2, 5, 5);
    int64_t index[2], start[3];
    ss_test_require(ss_dataset_groups(ss_test_context, dataset, 2, 1, index, start));
    cr_assert(start[1] == 1 && start[2] == 2);
    ss_dataset_close(dataset);
}

/* Reference cases: their data open, with masks and labels; the example's text is cut. */
static void check_case(void *user, const char *folder)
{
    char path[1024];
    int *files = user;
    snprintf(path, sizeof path, "%s/data.safetensors", folder);
    if (access(path, F_OK) != 0) return;
    ss_dataset_options options;
    ss_dataset_options_init(&options);
    ss_dataset *dataset = NULL;
    ss_status   status = ss_dataset_open(ss_test_context, path, &options, &dataset);
    if (status != SS_OK && strstr(ss_context_message(ss_test_context), "has type U8") != NULL) {
        ss_context_clear_message(ss_test_context);
        options.scale_given = true;
        status = ss_dataset_open(ss_test_context, path, &options, &dataset);
    }
    ss_test_require(status);
    cr_assert(ss_dataset_targets(dataset) != NULL && ss_dataset_samples(dataset) > 0);
    bool tokens = strcmp(ss_dataset_inputs(dataset)->name, "input_ids") == 0;
    cr_assert((ss_dataset_largest_id(dataset) >= 0) == tokens, "%s", path);
    ss_dataset_close(dataset);
    (*files)++;
}

Test(tokens, reference_cases, .init = ss_test_begin, .fini = ss_test_end)
{
    int                files = 0;
    char               path[1024];
    const char        *oracle = getenv("SS_ORACLE");
    ss_dataset_options options = sequences_of(128, 0);
    ss_golden_visit(check_case, &files);
    cr_assert(files > 0);
    snprintf(path, sizeof path, "%s/../examples/shakespeare_gpt2/tokens.npy",
             oracle != NULL ? oracle : SS_SOURCE_DIRECTORY "/../shared/oracle");
    printf("%d data sets, %s %s\n", files, path, access(path, F_OK) == 0 ? "read" : "absent");
    if (access(path, F_OK) != 0) return;
    ss_dataset *dataset = open_data(path, &options);
    cr_assert(ss_dataset_samples(dataset) == 8714 && ss_dataset_largest_id(dataset) == 64);
    cr_assert(
        strstr(ss_dataset_description(dataset), "cut from 1115394 ids, a sequence every 128, 2 left over"));
    ss_dataset_close(dataset);
}

Test(tokens, every_allocation_fails_once, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_dataset        *dataset = NULL;
    ss_dataset_options options = typed(4, SS_U16);
    const char        *path = ss_test_path("ids.bin");
    options.stride = 2;
    options.samples = 2;
    ss_test_write_file(path, u16, sizeof u16);
    for (int64_t nth = 1;; nth++) {
        int64_t before = ss_context_allocations(ss_test_context);
        ss_context_fail_allocation(ss_test_context, nth);
        ss_status status = ss_dataset_open(ss_test_context, path, &options, &dataset);
        if (ss_context_allocations(ss_test_context) - before < nth) {
            ss_test_require(status);
            cr_assert(nth > 15, "only %lld allocations", (long long)nth);
            break;
        }
        ss_test_refuse(status, SS_ERROR_MEMORY, NULL);
        cr_assert(dataset == NULL && ss_context_memory_now(ss_test_context) == 0);
    }
    ss_context_fail_allocation(ss_test_context, 0);
    ss_dataset_close(dataset);
}
