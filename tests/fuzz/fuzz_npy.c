/* Fuzz target: npy files. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_archive("fuzz.npy", data, size);
    return 0;
}
