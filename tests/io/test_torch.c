/* Torch checkpoints: what torch itself wrote (tests/io/make_torch.py) is read to the same values: types,
 * views, tied tensors, the dictionaries of training scripts; what is no state dict is refused. Hand-made
 * files, hostile ones among them, are in malformed.tsv. */
#include "io/archive.h"
#include "io/json.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define DATA SS_SOURCE_DIRECTORY "/tests/io/data/torch/"

static ss_archive *open_file(const char *name)
{
    ss_archive *archive = NULL;
    char        path[512];
    snprintf(path, sizeof path, DATA "%s", name);
    ss_test_require(ss_archive_open(ss_test_context, path, &archive));
    cr_assert_str_eq(ss_archive_format(archive), "torch");
    return archive;
}

/* Element i of the tensors of make_torch.py. */
static double expected_value(ss_type type, int64_t i)
{
    if (ss_type_is_float(type)) return (double)(i - 2) / 2;
    if (type == SS_BOOL) return (double)(i % 2);
    if (type == SS_I64 || type == SS_I32 || type == SS_I16 || type == SS_I8) return (double)(i - 2);
    return (double)i;
}

static void check_values(const ss_array *array)
{
    int64_t count = 0;
    ss_test_require(ss_shape_count(ss_test_context, array->rank, array->shape, &count));
    for (int64_t i = 0; i < count; i++)
        cr_assert(ss_array_value(array, i) == expected_value(array->type, i), "%s: element %lld: %g",
                  array->name, (long long)i, ss_array_value(array, i));
}

static const ss_array *check_array(const ss_archive *archive, const char *name, int32_t rank,
                                   const int64_t *shape)
{
    const ss_array *array = ss_archive_find(archive, name);
    cr_assert(array != NULL, "%s is missing", name);
    cr_assert(array->rank == rank, "%s: rank %d", name, array->rank);
    for (int32_t d = 0; d < rank; d++) cr_assert(array->shape[d] == shape[d], "%s: extent %d", name, d);
    check_values(array);
    return array;
}

Test(torch, types, .init = ss_test_begin, .fini = ss_test_end)
{
    static const int64_t shapes[5][3] = { { 0 }, { 0 }, { 5 }, { 2, 3 }, { 2, 0, 3 } };
    static const int32_t ranks[5] = { 0, 1, 1, 2, 3 };
    ss_archive          *archive = open_file("types.pt");
    cr_assert(ss_archive_count(archive) == SS_TYPE_COUNT * 5);
    for (int type = 0; type < SS_TYPE_COUNT; type++) {
        for (int s = 0; s < 5; s++) {
            char name[32];
            snprintf(name, sizeof name, "%s_%d%s", ss_type_name((ss_type)type), ranks[s],
                     s == 1 || s == 4 ? "e" : "");
            cr_assert(check_array(archive, name, ranks[s], shapes[s])->type == (ss_type)type, "%s", name);
        }
    }
    cr_assert_str_eq(ss_archive_note(archive), "state dict");
    ss_archive_close(archive);
}

/* Every address modulo 8, and nothing behind the last byte. */
Test(torch, any_alignment, .init = ss_test_begin, .fini = ss_test_end)
{
    size_t size = 0;
    char  *bytes = ss_test_read_file(DATA "types.pt", &size), *block = NULL;
    for (size_t shift = 0; shift < 8; shift++) {
        ss_archive *archive = NULL;
        ss_test_require(ss_allocate(ss_test_context, (int64_t)(size + shift), 1, (void **)&block));
        memcpy(block + shift, bytes, size);
        ss_test_require(ss_archive_open_memory(ss_test_context, "x", block + shift, (int64_t)size, &archive));
        for (int64_t i = 0; i < ss_archive_count(archive); i++) check_values(ss_archive_at(archive, i));
        ss_archive_close(archive);
        ss_free(ss_test_context, block);
    }
    ss_free(ss_test_context, bytes);
}

Test(torch, views, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_archive *archive = open_file("views.pt");
    cr_assert(ss_archive_count(archive) == 13);
    check_array(archive, "transposed", 2, (int64_t[]){ 2, 3 });
    check_array(archive, "columns", 2, (int64_t[]){ 2, 3 });
    check_array(archive, "steps", 1, (int64_t[]){ 6 });
    check_array(archive, "first", 1, (int64_t[]){ 6 });
    check_array(archive, "shifted", 2, (int64_t[]){ 2, 3 });
    check_array(archive, "one", 2, (int64_t[]){ 1, 6 });
    check_array(archive, "parameter", 1, (int64_t[]){ 3 });
    check_array(archive, "buffer", 1, (int64_t[]){ 3 });
    check_array(archive, "permuted", 3, (int64_t[]){ 2, 3, 2 });
    const ss_array *tied = check_array(archive, "tied", 2, (int64_t[]){ 4, 2 });
    cr_assert(check_array(archive, "tied_too", 2, (int64_t[]){ 4, 2 })->data == tied->data);
    cr_assert(check_array(archive, "transposed_tied", 2, (int64_t[]){ 4, 2 })->data != tied->data);
    ss_archive_close(archive);
    archive = open_file("attributes.pt");
    check_array(archive, "marked", 1, (int64_t[]){ 2 });
    ss_archive_close(archive);
    archive = open_file("good_views.pt");
    cr_assert(ss_archive_count(archive) == 2);
    ss_archive_close(archive);
}

Test(torch, bytes_in_other_forms, .init = ss_test_begin, .fini = ss_test_end)
{
    static const char *const names[] = { "deflated.pt", "big.pt" };
    for (size_t i = 0; i < 2; i++) {
        ss_archive *archive = open_file(names[i]);
        check_array(archive, "I16_2", 2, (int64_t[]){ 2, 3 });
        const ss_array *turned = ss_archive_find(archive, "F32_2");
        for (int64_t row = 0; row < 2; row++)
            for (int64_t column = 0; column < 3; column++)
                cr_assert(ss_array_value(turned, 3 * row + column) == (double)(2 * column + row - 2) / 2);
        ss_archive_close(archive);
    }
    ss_archive *archive = open_file("no_crc.pt");
    check_array(archive, "wte.weight", 2, (int64_t[]){ 5, 4 });
    ss_archive_close(archive);
}

Test(torch, nanogpt, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_archive   *archive = open_file("nanogpt.pt");
    ss_json      *json = NULL;
    ss_json_value root, model_args;
    int64_t       number = 0;
    bool          bias = true;
    const char   *text = NULL;
    cr_assert(ss_archive_count(archive) == 4);
    cr_assert_str_eq(ss_archive_note(archive), "weights under 'model', '_orig_mod.' stripped");
    const ss_array *wte = check_array(archive, "transformer.wte.weight", 2, (int64_t[]){ 5, 4 });
    cr_assert(check_array(archive, "lm_head.weight", 2, (int64_t[]){ 5, 4 })->data == wte->data,
              "the tied head has its own data");
    check_array(archive, "transformer.lm_head.weight", 2, (int64_t[]){ 5, 4 });
    check_array(archive, "transformer.h.0.ln_1.weight", 1, (int64_t[]){ 4 });
    ss_test_require(ss_archive_scalars(archive, &json));
    root = ss_json_root(json);
    cr_assert(!ss_json_has(&root, "optimizer") && !ss_json_has(&root, "model"));
    ss_test_require(ss_json_integer(&root, "iter_num", 0, INT64_MAX, &number));
    cr_assert(number == 2000);
    ss_test_require(ss_json_member(&root, "model_args", SS_JSON_OBJECT, &model_args));
    ss_test_require(ss_json_integer(&model_args, "block_size", 1, INT64_MAX, &number));
    cr_assert(number == 8);
    ss_test_require(ss_json_boolean(&model_args, "bias", &bias));
    cr_assert(!bias);
    ss_test_refuse(ss_json_integer(&model_args, "n_layers", 1, INT64_MAX, &number), SS_ERROR_INPUT,
                   "nanogpt.pt: model_args: 'n_layers' is missing");
    ss_test_require(ss_json_member(&root, "config", SS_JSON_OBJECT, &model_args));
    ss_test_require(ss_json_string(&model_args, "out_dir", &text));
    cr_assert_str_eq(text, "out");
    ss_json_free(json);
    ss_archive_close(archive);
}

/* One string in six hundred places, 1.8 MB together: what is kept of it has a bound. */
Test(torch, scalars_are_bounded, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_archive   *archive = NULL;
    ss_json      *json = NULL;
    ss_json_value root, list;
    ss_test_require(ss_archive_open(ss_test_context,
                                    SS_SOURCE_DIRECTORY "/tests/fuzz/corpus/torch/ok_long_text", &archive));
    ss_test_require(ss_archive_scalars(archive, &json));
    root = ss_json_root(json);
    ss_test_require(ss_json_member(&root, "t", SS_JSON_ARRAY, &list));
    cr_assert(ss_json_length(&list) == 600);
    int64_t kept = 0;
    for (int64_t i = 0; i < 600; i++) {
        ss_json_value element;
        ss_test_require(ss_json_element(&list, i, SS_JSON_ANY, &element));
        kept += ss_json_is(&element, SS_JSON_STRING);
    }
    cr_assert(kept > 300 && kept < 350, "%lld strings", (long long)kept);
    ss_json_free(json);
    ss_archive_close(archive);
}

Test(torch, other_dictionaries, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_archive *archive = open_file("lightning.ckpt");
    ss_json    *json = NULL;
    cr_assert_str_eq(ss_archive_note(archive), "weights under 'state_dict'");
    check_array(archive, "model.wte.weight", 2, (int64_t[]){ 5, 4 });
    ss_test_require(ss_archive_scalars(archive, &json));
    ss_json_value root = ss_json_root(json);
    cr_assert(ss_json_has(&root, "epoch") && !ss_json_has(&root, "optimizer_states"));
    ss_json_free(json);
    ss_archive_close(archive);

    archive = open_file("parallel.pth");
    cr_assert_str_eq(ss_archive_note(archive), "state dict, 'module.' stripped");
    check_array(archive, "h.0.ln_1.weight", 1, (int64_t[]){ 4 });
    ss_test_require(ss_archive_scalars(archive, &json));
    cr_assert(json == NULL);
    ss_archive_close(archive);

    archive = open_file("linear.bin");
    cr_assert(ss_archive_find(archive, "weight")->shape[0] == 5 && ss_archive_count(archive) == 2);
    ss_archive_close(archive);
    archive = open_file("batchnorm.pt");
    cr_assert(ss_archive_find(archive, "a.num_batches_tracked")->type == SS_I64);
    ss_archive_close(archive);
}

Test(torch, refused, .init = ss_test_begin, .fini = ss_test_end)
{
    static const char *const rows[][2] = {
        { "legacy.pt", "torch's format before 1.6: save it again: python -c" },
        { "module.pt", "class 'torch.nn.modules.linear.Linear' is not among" },
        { "protocol_4.pt", "opcode FRAME is not read" },
        { "script.pt", "a TorchScript archive" },
        { "sparse.pt", "'a' is torch._utils._rebuild_sparse_tensor" },
        { "complex.pt", "'a' is torch.ComplexFloatStorage" },
        { "quantised.pt", "'a' is torch._utils._rebuild_qtensor" },
        { "float8.pt", "'a' is torch.float8_e4m3fn" },
        { "expanded.pt", "its elements share memory (an expanded tensor)" },
        { "overlap.pt", "tensors 'a' and 'b' share a part of their memory" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ss_archive *archive = NULL;
        char        path[512];
        snprintf(path, sizeof path, DATA "%s", rows[i][0]);
        ss_test_refuse(ss_archive_open(ss_test_context, path, &archive), SS_ERROR_INPUT, rows[i][1]);
        cr_assert(archive == NULL);
    }
}

Test(torch, every_truncation, .init = ss_test_begin, .fini = ss_test_end)
{
    size_t      size = 0;
    ss_archive *archive = NULL;
    char       *bytes = ss_test_read_file(DATA "parallel.pth", &size);
    for (size_t cut = 0; cut < size; cut++)
        ss_test_refuse(ss_archive_open_memory(ss_test_context, "x", bytes, (int64_t)cut, &archive),
                       SS_ERROR_INPUT, "x: ");
    ss_free(ss_test_context, bytes);
}

/* One byte of a good file changed at a time: read or refused, never a crash, and memory comes back. */
Test(torch, every_byte_changed, .init = ss_test_begin, .fini = ss_test_end)
{
    size_t  size = 0;
    int64_t refused = 0;
    char   *bytes = ss_test_read_file(DATA "no_crc.pt", &size);
    int64_t before = ss_context_memory_now(ss_test_context);
    for (size_t at = 0; at < size; at++) {
        for (int bit = 0; bit < 8; bit++) {
            ss_archive *archive = NULL;
            bytes[at] = (char)(bytes[at] ^ 1 << bit);
            ss_status status = ss_archive_open_memory(ss_test_context, "x", bytes, (int64_t)size, &archive);
            cr_assert(status == SS_OK || status == SS_ERROR_INPUT || status == SS_ERROR_REFUSED);
            refused += status != SS_OK;
            ss_context_clear_message(ss_test_context);
            ss_archive_close(archive);
            cr_assert(ss_context_memory_now(ss_test_context) == before);
            bytes[at] = (char)(bytes[at] ^ 1 << bit);
        }
    }
    cr_assert(refused > 1000);
    ss_free(ss_test_context, bytes);
}

static ss_status open_and_close(const char *name)
{
    ss_archive *archive = NULL;
    ss_json    *json = NULL;
    char        path[512];
    snprintf(path, sizeof path, DATA "%s", name);
    ss_status status = ss_archive_open(ss_test_context, path, &archive);
    if (status == SS_OK) status = ss_archive_scalars(archive, &json);
    ss_json_free(json);
    ss_archive_close(archive);
    return status;
}

Test(torch, every_allocation_fails_once, .init = ss_test_begin, .fini = ss_test_end)
{
    static const char *const names[] = { "nanogpt.pt", "views.pt", "deflated.pt", "big.pt" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int64_t before = ss_context_allocations(ss_test_context);
        ss_test_require(open_and_close(names[i]));
        int64_t count = ss_context_allocations(ss_test_context) - before;
        cr_assert(count >= 10, "%s: %lld allocations", names[i], (long long)count);
        for (int64_t nth = 1; nth <= count; nth++) {
            ss_context_fail_allocation(ss_test_context, nth);
            ss_test_refuse(open_and_close(names[i]), SS_ERROR_MEMORY, NULL);
            cr_assert(ss_context_memory_now(ss_test_context) == 0, "%s: memory is left at %lld", names[i],
                      (long long)nth);
        }
    }
}
