/* Reading IDX, the format of MNIST and its kin (yann.lecun.com/exdb/mnist, "the IDX file format"): two zero
 * bytes, element type, rank, the extents as big endian 32-bit numbers, the elements, big endian. */
#include "io/archive_private.h"

static bool element_type(unsigned char code, ss_type *type)
{
    switch (code) {
    case 0x08: *type = SS_U8; return true;
    case 0x09: *type = SS_I8; return true;
    case 0x0B: *type = SS_I16; return true;
    case 0x0C: *type = SS_I32; return true;
    case 0x0D: *type = SS_F32; return true;
    case 0x0E: *type = SS_F64; return true;
    default: return false;
    }
}

ss_status ss_idx_read(ss_archive *archive, const unsigned char *bytes, int64_t size)
{
    ss_status status = SS_OK;
    ss_array  array = { .name = "", .type = SS_U8 };
    int64_t   expected = 0;
    char      shape[SS_SHAPE_TEXT];
    if (!element_type(bytes[2], &array.type))
        SS_TRY(ss_archive_fail(archive, "IDX type: unknown element type 0x%02x", bytes[2]));
    if (bytes[3] < 1 || bytes[3] > SS_MAX_RANK)
        SS_TRY(ss_archive_fail(archive, "IDX rank: expected 1 to %d, found %d", SS_MAX_RANK, bytes[3]));
    array.rank = bytes[3];
    int64_t begin = 4 + 4 * (int64_t)array.rank;
    if (size < begin)
        SS_TRY(ss_archive_fail(archive, "IDX shape: truncated, the file has %lld bytes", (long long)size));
    for (int32_t i = 0; i < array.rank; i++) array.shape[i] = (int64_t)ss_big(bytes + 4 + 4 * i, 4);

    size_t item = ss_type_size(array.type);
    SS_TRY(ss_archive_extent(archive, "IDX ", array.rank, array.shape, item, &expected));
    if (size - begin != expected)
        SS_TRY(ss_archive_fail(archive, "IDX data: %s of shape %s takes %lld bytes, the file holds %lld (%s)",
                               ss_type_name(array.type), ss_shape_text(array.rank, array.shape, shape),
                               (long long)expected, (long long)(size - begin),
                               size - begin < expected ? "truncated" : "over-long"));
    array.data = bytes + begin;
    if (item > 1 && expected > 0) {
        void *copy = NULL;
        SS_TRY(ss_archive_block(archive, "IDX data: ", expected, &copy));
        ss_swap_copy(copy, bytes + begin, expected / (int64_t)item, item);
        array.data = copy;
    }
    SS_TRY(ss_archive_add(archive, &array));
fail:
    return status;
}
