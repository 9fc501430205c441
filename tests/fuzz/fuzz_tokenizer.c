/* Fuzz target: tokenizers. The input is a tokenizer.json, written to a file, which then cuts a text; or a
 * text for a small tokenizer, when it begins with '>'. */
#include "fuzz.h"
#include "io/tokenizer.h"

#include <unistd.h>

static char path[] = "/tmp/saddlescope_fuzz_XXXXXX";

static void remove_file(void)
{
    unlink(path);
}

static void write_file(const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) abort();
}

/* Letters for all 256 bytes, two merges, an added token; GPT-2's pattern. */
static size_t standard(char *text, size_t room)
{
    size_t used = (size_t)snprintf(
        text, room,
        "{\"added_tokens\":[{\"id\":300,\"content\":\"<x>\"}],\"pre_tokenizer\":{\"type\":\"ByteLevel\","
        "\"add_prefix_space\":true},\"model\":{\"merges\":[\"a b\",\"ab "
        "a\"],\"vocab\":{\"ab\":256,\"aba\":257");
    for (int byte = 0, next = 256; byte < 256; byte++) {
        int letter =
            (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174 ? byte : next++;
        if (letter < 128)
            used += (size_t)snprintf(text + used, room - used, ",\"%s%c\":%d",
                                     letter == '"' || letter == '\\' ? "\\" : "", letter, byte);
        else
            used += (size_t)snprintf(text + used, room - used, ",\"%c%c\":%d", 0xC0 | letter >> 6,
                                     0x80 | (letter & 0x3F), byte);
    }
    return used + (size_t)snprintf(text + used, room - used, "}}}");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t sample[] = "a ab aba abab's <x>  12\n\xC3\xA9";
    static char          small[8192];
    static size_t        small_size;
    ss_tokenizer        *tokenizer = NULL;
    uint32_t            *ids = NULL;
    int64_t              count = 0;
    if (small_size == 0) {
        int file = mkstemp(path);
        if (file < 0 || close(file) != 0) abort();
        atexit(remove_file);
        small_size = standard(small, sizeof small);
    }
    fuzz_begin(data, size);
    bool is_text = size > 0 && data[0] == '>';
    if (is_text)
        write_file(small, small_size);
    else
        write_file(data, size);
    ss_status status = ss_tokenizer_open(fuzz_context, path, &tokenizer);
    fuzz_check((tokenizer != NULL) == (status == SS_OK), "a tokenizer beside a failure");
    if (status == SS_OK)
        status = is_text
                     ? ss_tokenizer_encode(tokenizer, "fuzz.txt", data + 1, (int64_t)size - 1, &ids, &count)
                     : ss_tokenizer_encode(tokenizer, "fuzz.txt", sample, sizeof sample - 1, &ids, &count);
    fuzz_check(!is_text || status != SS_OK || count <= 2 * (int64_t)size, "more ids than bytes and spaces");
    fuzz_status(status);
    ss_free(fuzz_context, ids);
    ss_tokenizer_close(tokenizer);
    fuzz_end();
    return 0;
}
