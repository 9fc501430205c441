/* Fuzz target: npz files. A mutation that leaves the CRC of a stored member wrong never reaches what lies
 * behind the check, so the target runs every input a second time with the CRCs of the directory put right. */
#include "fuzz.h"

#include <string.h>
#include <zlib.h>

/* Sets the CRC of each stored member whose place can be found by the plain 32-bit fields. */
static void repair(uint8_t *file, size_t size)
{
    for (size_t at = 0; at + 46 <= size; at++) {
        if (memcmp(file + at, "PK\1\2", 4) != 0 || file[at + 10] != 0) continue;
        uint32_t length = 0, local = 0;
        memcpy(&length, file + at + 24, 4);
        memcpy(&local, file + at + 42, 4);
        if (local > size || size - local < 30) continue;
        size_t begin = local + 30u + file[local + 26] + 256u * file[local + 27] + file[local + 28] +
                       256u * file[local + 29];
        if (begin > size || length > size - begin) continue;
        uint32_t crc = (uint32_t)crc32(0, file + begin, length);
        memcpy(file + at + 16, &crc, 4);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_archive("fuzz.npz", data, size);
    uint8_t *copy = malloc(size + 1);
    if (copy == NULL) return 0;
    memcpy(copy, data, size);
    repair(copy, size);
    fuzz_archive("fuzz.npz", copy, size);
    free(copy);
    return 0;
}
