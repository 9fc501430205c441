/* Byte-level BPE: the ids that huggingface/tokenizers makes of the same text (tests/io/make_tokenizer.py),
 * and what is refused. */
#include "io/archive.h"
#include "io/tokenizer.h"
#include "saddlescope/dataset.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define DATA SS_SOURCE_DIRECTORY "/tests/io/data/tokenizer/"

static const char *const names[] = { "gpt2", "prefix", "whole", "llama3" };

Test(tokenizer, ids_of_the_reference, .init = ss_test_begin, .fini = ss_test_end)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ss_tokenizer *tokenizer = NULL;
        ss_archive   *archive = NULL;
        uint32_t     *ids = NULL;
        int64_t       count = 0;
        size_t        size = 0;
        char          path[512];
        char         *text = ss_test_read_file(DATA "text.txt", &size);
        snprintf(path, sizeof path, DATA "%s.json", names[i]);
        ss_test_require(ss_tokenizer_open(ss_test_context, path, &tokenizer));
        snprintf(path, sizeof path, DATA "%s.npy", names[i]);
        ss_test_require(ss_archive_open(ss_test_context, path, &archive));
        const ss_array *expected = ss_archive_at(archive, 0);
        for (int again = 0; again < 2; again++) {
            ss_test_require(
                ss_tokenizer_encode(tokenizer, "text", (unsigned char *)text, (int64_t)size, &ids, &count));
            cr_expect(count == expected->shape[0], "%s: %lld ids, expected %lld", names[i], (long long)count,
                      (long long)expected->shape[0]);
            for (int64_t j = 0; j < ss_min64(count, expected->shape[0]); j++)
                cr_assert(ids[j] == ss_array_integer(expected, j), "%s: id %lld is %u, expected %lld",
                          names[i], (long long)j, ids[j], (long long)ss_array_integer(expected, j));
            ss_free(ss_test_context, ids);
        }
        ss_archive_close(archive);
        ss_tokenizer_close(tokenizer);
        ss_free(ss_test_context, text);
    }
}

Test(tokenizer, a_text_is_data, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_dataset        *dataset = NULL;
    ss_dataset_options options;
    ss_dataset_options_init(&options);
    options.sequence_length = 16;
    ss_test_refuse(ss_dataset_open(ss_test_context, DATA "text.txt", &options, &dataset), SS_ERROR_INPUT,
                   "a text needs the tokenizer.json of the model");
    options.tokenizer = DATA "gpt2.json";
    ss_test_require(ss_dataset_open(ss_test_context, DATA "text.txt", &options, &dataset));
    cr_assert(ss_dataset_inputs(dataset)->type == SS_U32 && ss_dataset_largest_id(dataset) == 420);
    ss_dataset_close(dataset);
}

/* A stretch of one letter costs n log n: a quarter of a million bytes at once. */
Test(tokenizer, long_pieces, .init = ss_test_begin, .fini = ss_test_end)
{
    enum { SIZE = 1 << 18 };
    ss_tokenizer *tokenizer = NULL;
    uint32_t     *ids = NULL;
    int64_t       count = 0;
    char         *text = NULL;
    ss_test_require(ss_allocate(ss_test_context, SIZE, 1, (void **)&text));
    memset(text, 'a', SIZE);
    ss_test_require(ss_tokenizer_open(ss_test_context, DATA "gpt2.json", &tokenizer));
    ss_test_require(ss_tokenizer_encode(tokenizer, "text", (unsigned char *)text, SIZE, &ids, &count));
    cr_assert(count > 0 && count <= SIZE / 4, "%lld ids", (long long)count);
    ss_free(ss_test_context, ids);
    ss_test_require(ss_tokenizer_encode(tokenizer, "text", (unsigned char *)text, 0, &ids, &count));
    cr_assert(count == 0);
    ss_free(ss_test_context, ids);
    ss_tokenizer_close(tokenizer);
    ss_free(ss_test_context, text);
}

static void refuse_text(const char *text, const char *part)
{
    ss_tokenizer *tokenizer = NULL;
    uint32_t     *ids = NULL;
    int64_t       count = 0;
    ss_test_require(ss_tokenizer_open(ss_test_context, DATA "gpt2.json", &tokenizer));
    ss_test_refuse(ss_tokenizer_encode(tokenizer, "a.txt", (const unsigned char *)text, (int64_t)strlen(text),
                                       &ids, &count),
                   SS_ERROR_INPUT, part);
    cr_assert(ids == NULL);
    ss_tokenizer_close(tokenizer);
}

Test(tokenizer, bad_texts, .init = ss_test_begin, .fini = ss_test_end)
{
    refuse_text("ab\xff", "a.txt: byte 2: the text is not valid UTF-8");
    refuse_text("ab\xc3", "byte 2: the text is not valid UTF-8");
    refuse_text("\xe0\x80\x80", "byte 0: the text is not valid UTF-8");
    refuse_text("\xed\xa0\x80", "byte 0: the text is not valid UTF-8");
    refuse_text("\xf4\x90\x80\x80", "byte 0: the text is not valid UTF-8");
    refuse_text("a\xc2\x85", "byte 1: the control character U+0085");
}

/* gpt2.json with one part replaced. */
static void refuse_changed(const char *from, const char *to, const char *part)
{
    ss_tokenizer *tokenizer = NULL;
    const char   *path = ss_test_path("tokenizer.json");
    size_t        size = 0;
    char *text = ss_test_read_file(DATA "gpt2.json", &size), *found = strstr(text, from), *changed = NULL;
    cr_assert(found != NULL, "%s", from);
    ss_test_require(ss_format(ss_test_context, &changed, "%.*s%s%s", (int)(found - text), text, to,
                              found + strlen(from)));
    ss_test_write_file(path, changed, strlen(changed));
    ss_test_refuse(ss_tokenizer_open(ss_test_context, path, &tokenizer), SS_ERROR_INPUT, part);
    cr_assert(tokenizer == NULL);
    ss_free(ss_test_context, changed);
    ss_free(ss_test_context, text);
}

Test(tokenizer, bad_descriptions, .init = ss_test_begin, .fini = ss_test_end)
{
    refuse_changed("\"type\": \"BPE\"", "\"type\": \"WordPiece\"", "model.type: expected one of BPE");
    refuse_changed("\"byte_fallback\": false", "\"byte_fallback\": true", "only byte-level BPE is supported");
    refuse_changed("\"dropout\": null", "\"dropout\": 0.1", "dropout is not supported");
    refuse_changed("\"normalizer\": null", "\"normalizer\": {\"type\": \"Lowercase\"}",
                   "expected one of NFC");
    refuse_changed("\"type\": \"ByteLevel\"", "\"type\": \"Metaspace\"",
                   "pre_tokenizer.type: expected one of ByteLevel, Split, Sequence");
    refuse_changed("{\"type\": \"ByteLevel\"",
                   "{\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": \"a(\"}",
                   "the pattern is not understood at its byte 2");
    refuse_changed("\"!\": 1, ", "", "'!' is missing");
    refuse_changed("\"merges\": [\"", "\"merges\": [\"nothing\", \"", "expected two tokens with a space");
    refuse_changed("\"merges\": [\"", "\"merges\": [\"no thing\", \"", "'no' is missing");
    refuse_changed("\"content\": \"<|end|>\"", "\"content\": \"\"", "content is empty");
}

/* A pattern that backtracks for ever ends with a message. */
Test(tokenizer, hostile_pattern, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_tokenizer *tokenizer = NULL;
    const char   *path = ss_test_path("tokenizer.json");
    size_t        size = 0;
    uint32_t     *ids = NULL;
    int64_t       count = 0;
    char         *text = ss_test_read_file(DATA "gpt2.json", &size), *changed = NULL;
    char         *found = strstr(text, "{\"type\": \"ByteLevel\"");
    ss_test_require(ss_format(ss_test_context, &changed,
                              "%.*s{\"type\": \"Split\", \"behavior\": \"Isolated\", "
                              "\"pattern\": {\"Regex\": \"(a+)+$\"}%s",
                              (int)(found - text), text, found + strlen("{\"type\": \"ByteLevel\"")));
    ss_test_write_file(path, changed, strlen(changed));
    ss_test_require(ss_tokenizer_open(ss_test_context, path, &tokenizer));
    static const char repeated[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
    ss_test_refuse(ss_tokenizer_encode(tokenizer, "a.txt", (const unsigned char *)repeated,
                                       sizeof repeated - 1, &ids, &count),
                   SS_ERROR_INPUT, "a.txt: the tokenizer's pattern gives up");
    ss_tokenizer_close(tokenizer);
    ss_free(ss_test_context, changed);
    ss_free(ss_test_context, text);
}

static ss_status open_and_encode(void)
{
    static const char text[] = "Before we proceed<|end|> any further";
    ss_tokenizer     *tokenizer = NULL;
    uint32_t         *ids = NULL;
    int64_t           count = 0;
    ss_status         status = ss_tokenizer_open(ss_test_context, DATA "prefix.json", &tokenizer);
    if (status == SS_OK)
        status =
            ss_tokenizer_encode(tokenizer, "x", (const unsigned char *)text, sizeof text - 1, &ids, &count);
    ss_free(ss_test_context, ids);
    ss_tokenizer_close(tokenizer);
    return status;
}

Test(tokenizer, every_allocation_fails_once, .init = ss_test_begin, .fini = ss_test_end)
{
    int64_t before = ss_context_allocations(ss_test_context);
    ss_test_require(open_and_encode());
    int64_t count = ss_context_allocations(ss_test_context) - before;
    cr_assert(count >= 12, "%lld allocations", (long long)count);
    for (int64_t nth = 1; nth <= count; nth++) {
        ss_context_fail_allocation(ss_test_context, nth);
        ss_test_refuse(open_and_encode(), SS_ERROR_MEMORY, NULL);
        cr_assert(ss_context_memory_now(ss_test_context) == 0, "memory is left at %lld", (long long)nth);
    }
    ss_context_fail_allocation(ss_test_context, 0);
}
