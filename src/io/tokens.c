/* Token ids: raw files of them, texts, and cutting a stream into sequences.
 *
 * Raw files are ids one behind the other, little endian. Known headers: llm.c (dev/data/data_common.py: 256
 * 32-bit numbers, of which the first are a magic number, a version and the number of ids). Files without one
 * (nanoGPT's data/prepare.py and many others) do not say their type, so that it must be stated. */
#define _POSIX_C_SOURCE 200809L
#include "io/dataset_private.h"
#include "io/archive_private.h"
#include "io/tokenizer.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SS_LLMC_BYTES 1024 /* of the header */

/* The headers of llm.c, one per kind of ids. */
static const struct {
    uint32_t magic, version;
    ss_type  type;
} headers[] = { { 20240520, 1, SS_U16 }, { 20240801, 7, SS_U32 } };

static const char megatron_magic[] = "MMIDIDX"; /* of the .idx file, with its NUL and one more */

#define SS_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The number of the header that the bytes begin with, -1 if they begin with none. */
static int find_header(const unsigned char *bytes, int64_t size)
{
    for (size_t i = 0; i < SS_COUNT(headers) && size >= 4; i++)
        if (ss_little(bytes, 4) == headers[i].magic) return (int)i;
    return -1;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length > tail && strcmp(text + length - tail, end) == 0;
}

/* The first bytes of a file; 0 when it cannot be read (then whoever opens it says why). */
static int64_t first_bytes(const char *path, unsigned char *bytes, size_t count)
{
    int     file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = file >= 0 ? read(file, bytes, count) : 0;
    if (file >= 0) close(file);
    return got > 0 ? got : 0;
}

/* Megatron's pair of files: ids in .bin, their type and the documents' lengths in .idx. */
static ss_status refuse_megatron(ss_context *context, const char *path, const ss_dataset_options *options)
{
    static const char *const types[] = { "",      "uint8",   "int8",    "int16", "int32",
                                         "int64", "float32", "float64", "uint16" };
    ss_status                status = SS_OK;
    unsigned char            first[18];
    char                    *index = NULL;
    int                      stem = (int)(strlen(path) - strlen(".bin"));
    if (options->token_type_given) return SS_OK;
    SS_TRY(ss_format(context, &index, "%.*s.idx", stem, path));
    if (first_bytes(index, first, sizeof first) == sizeof first &&
        memcmp(first, megatron_magic, sizeof megatron_magic) == 0) {
        const char *type = first[17] < SS_COUNT(types) ? types[first[17]] : "";
        SS_FAIL(context, SS_ERROR_INPUT,
                "%s: a Megatron data set (%s says %s): its documents are not read; --token-dtype reads the "
                "ids as "
                "one stream",
                path, index, type[0] != '\0' ? type : "an unknown type");
    }
fail:
    ss_free(context, index);
    return status;
}

ss_status ss_tokens_is_raw(ss_context *context, const char *path, const ss_dataset_options *options,
                           bool *raw)
{
    ss_status     status = SS_OK;
    unsigned char first[18];
    int64_t       count = first_bytes(path, first, sizeof first);
    bool          typed = (count >= 6 && memcmp(first, "\x93NUMPY", 6) == 0) ||
                 (count >= 4 && (memcmp(first, "PK\3\4", 4) == 0)) ||
                 (count >= 9 && ss_little(first + 4, 4) == 0 && first[8] == '{');
    *raw = false;
    if (count >= (int64_t)sizeof megatron_magic && memcmp(first, megatron_magic, sizeof megatron_magic) == 0)
        SS_FAIL(context, SS_ERROR_INPUT,
                "%s: the index of a Megatron data set: give the .bin file beside it, and --token-dtype",
                path);
    if (options->token_type_given && typed)
        SS_FAIL(context, SS_ERROR_INPUT,
                "%s: --token-dtype is for raw files of token ids; this file says its types itself", path);
    *raw = options->token_type_given || ends_with(path, ".txt") || find_header(first, count) >= 0 ||
           (!typed && ends_with(path, ".bin"));
    if (*raw && ends_with(path, ".bin")) SS_TRY(refuse_megatron(context, path, options));
fail:
    return status;
}

/* The reader of raw files; archive->hint are the options. */
static ss_status read_raw(ss_archive *archive, const unsigned char *bytes, int64_t size)
{
    ss_status                 status = SS_OK;
    const ss_dataset_options *options = archive->hint;
    ss_array                  array = { .name = "", .type = options->token_type, .rank = 1 };
    const int                 header = find_header(bytes, size);
    int64_t                   begin = 0;
    archive->format = "tokens";
    if (header >= 0) {
        if (size < SS_LLMC_BYTES)
            SS_TRY(ss_archive_fail(archive, "header: the file ends inside it, after %lld of %d bytes",
                                   (long long)size, SS_LLMC_BYTES));
        if (ss_little(bytes + 4, 4) != headers[header].version)
            SS_TRY(ss_archive_fail(archive, "header: expected version %u of llm.c, found %llu",
                                   headers[header].version, (unsigned long long)ss_little(bytes + 4, 4)));
        if (options->token_type_given && options->token_type != headers[header].type)
            SS_TRY(ss_archive_fail(archive, "--token-dtype: the header says %s",
                                   ss_type_name(headers[header].type)));
        array.type = headers[header].type;
        array.shape[0] = (int64_t)ss_little(bytes + 8, 4);
        begin = SS_LLMC_BYTES;
    } else if (!options->token_type_given) {
        SS_TRY(ss_archive_fail(archive,
                               "a raw file does not say the type of its token ids: state --token-dtype "
                               "uint16, uint32, int32 or int64 (nanoGPT writes uint16)"));
    }
    const int64_t item = (int64_t)ss_type_size(array.type), found = size - begin;
    if (found % item != 0)
        SS_TRY(ss_archive_fail(archive, "%lld bytes are no whole number of ids of type %s", (long long)found,
                               ss_type_name(array.type)));
    if (header >= 0 && array.shape[0] != found / item)
        SS_TRY(ss_archive_fail(archive, "header: %lld ids are declared, the file holds %lld",
                               (long long)array.shape[0], (long long)(found / item)));
    array.shape[0] = found / item;
    array.data = bytes != NULL ? bytes + begin : (const void *)"";
    SS_TRY(ss_archive_add(archive, &array));
fail:
    return status;
}

/* The reader of texts; archive->hint are the options. */
static ss_status read_text(ss_archive *archive, const unsigned char *bytes, int64_t size)
{
    ss_status                 status = SS_OK;
    const ss_dataset_options *options = archive->hint;
    ss_tokenizer             *tokenizer = NULL;
    uint32_t                 *ids = NULL;
    void                     *block = NULL;
    ss_array                  array = { .name = "", .type = SS_U32, .rank = 1 };
    archive->format = "text";
    if (options->tokenizer == NULL)
        SS_TRY(ss_archive_fail(archive,
                               "a text needs the tokenizer.json of the model, which has none: make token "
                               "ids of it first (.npy)"));
    SS_TRY(ss_tokenizer_open(archive->context, options->tokenizer, &tokenizer));
    SS_TRY(ss_tokenizer_encode(tokenizer, archive->path, bytes, size, &ids, &array.shape[0]));
    SS_TRY(ss_archive_block(archive, "token ids: ", array.shape[0] * (int64_t)sizeof *ids, &block));
    if (array.shape[0] > 0) memcpy(block, ids, (size_t)array.shape[0] * sizeof *ids);
    array.data = block;
    SS_TRY(ss_archive_add(archive, &array));
fail:
    ss_free(archive->context, ids);
    ss_tokenizer_close(tokenizer);
    return status;
}

ss_status ss_tokens_open(ss_context *context, const char *path, const ss_dataset_options *options,
                         ss_archive **archive)
{
    bool text = !options->token_type_given && ends_with(path, ".txt");
    return ss_archive_open_as(context, path, text ? read_text : read_raw, options, archive);
}

ss_status ss_tokens_open_memory(ss_context *context, const char *path, const void *bytes, int64_t size,
                                const ss_dataset_options *options, ss_archive **archive)
{
    return ss_archive_open_memory_as(context, path, bytes, size, read_raw, options, archive);
}

ss_status ss_tokens_cut(ss_archive *archive, const ss_array *stream, const ss_dataset_options *options,
                        ss_array *sequences)
{
    ss_status     status = SS_OK;
    const int64_t ids = stream->shape[0], length = options->sequence_length;
    const int64_t stride = options->stride > 0 ? options->stride : length;
    const int64_t item = (int64_t)ss_type_size(stream->type);
    int64_t       count = 0, bytes = 0;
    void         *copy = NULL;
    if (length == 0)
        SS_TRY(ss_archive_fail(
            archive,
            "holds one array of %lld integers: --sequence-length cuts token ids into sequences "
            "(for other data give inputs and targets as two files with a comma between them)",
            (long long)ids));
    if (ids < length)
        SS_TRY(ss_archive_fail(archive, "--sequence-length: a sequence of %lld ids from a file of %lld",
                               (long long)length, (long long)ids));
    count = (ids - length) / stride + 1;
    *sequences = *stream;
    sequences->rank = 2;
    sequences->shape[0] = count;
    sequences->shape[1] = length;
    if (stride == length) return SS_OK;
    if (!ss_mul64(count, length, &bytes) || !ss_mul64(bytes, item, &bytes))
        SS_TRY(ss_archive_fail(archive, "--stride: %lld sequences of %lld ids overflow a 64-bit size",
                               (long long)count, (long long)length));
    SS_TRY(ss_archive_block(archive, "--stride: ", bytes, &copy));
    for (int64_t i = 0; i < count; i++)
        memcpy((char *)copy + i * length * item, (const char *)stream->data + i * stride * item,
               (size_t)(length * item));
    sequences->data = copy;
fail:
    return status;
}
