/* Fuzz target: IDX files, as they are and behind gzip. Since no mutation hits a CRC, every input is also
 * compressed by the target itself. */
#include "fuzz.h"

#include <zlib.h>

static size_t compress_gzip(const uint8_t *data, size_t size, uint8_t *out, size_t room)
{
    z_stream z = { .next_in = (uint8_t *)(uintptr_t)data, .avail_in = (uInt)size };
    z.next_out = out;
    z.avail_out = (uInt)room;
    if (deflateInit2(&z, 1, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) abort();
    int result = deflate(&z, Z_FINISH);
    deflateEnd(&z);
    return result == Z_STREAM_END ? room - z.avail_out : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t packed[1 << 17];
    fuzz_archive("fuzz.idx", data, size);
    size_t length = fuzz_hash % 4 == 0 ? compress_gzip(data, size, packed, sizeof packed) : 0;
    if (length > 0) fuzz_archive("fuzz.idx.gz", packed, length);
    return 0;
}
