/* Helpers on arrays that weights and data share: names and shapes as text, the search for NaN and infinity.
 */
#include "io/archive.h"

#include <stdio.h>
#include <string.h>

static char *tuple_text(int32_t rank, const int64_t *numbers, char text[SS_SHAPE_TEXT])
{
    size_t used = 1;
    text[0] = '[';
    for (int32_t i = 0; i < rank; i++)
        used += (size_t)snprintf(text + used, SS_SHAPE_TEXT - used, i == 0 ? "%lld" : ", %lld",
                                 (long long)numbers[i]);
    text[used++] = ']';
    text[used] = '\0';
    return text;
}

_Static_assert(SS_SHAPE_TEXT >= SS_MAX_RANK * 22 + 3, "the longest tuple: 20 digits, comma and space each");

char *ss_shape_text(int32_t rank, const int64_t *shape, char text[SS_SHAPE_TEXT])
{
    return tuple_text(rank, shape, text);
}

char *ss_index_text(const ss_array *array, int64_t index, char text[SS_SHAPE_TEXT])
{
    int64_t tuple[SS_MAX_RANK] = { 0 };
    for (int32_t i = array->rank - 1; i >= 0; i--) {
        tuple[i] = index % array->shape[i];
        index /= array->shape[i];
    }
    return tuple_text(array->rank, tuple, text);
}

char *ss_quote(const char *name, char text[SS_QUOTE_TEXT])
{
    static const char ellipsis[] = "...'";
    size_t            used = 0;
    text[used++] = '\'';
    for (const char *p = name; *p != '\0'; p++) {
        unsigned char byte = (unsigned char)*p;
        /* Never cut a UTF-8 sequence: its later bytes still fit into the last few places. */
        if (used + sizeof ellipsis + 4 > SS_QUOTE_TEXT && (byte & 0xC0u) != 0x80u) {
            memcpy(text + used, ellipsis, sizeof ellipsis);
            return text;
        }
        if (used + sizeof ellipsis > SS_QUOTE_TEXT - 1) break;
        text[used++] = byte < 0x20 || byte == 0x7F ? '?' : (char)byte;
    }
    text[used++] = '\'';
    text[used] = '\0';
    return text;
}

/* Index of the first element that is not finite, -1 if there is none. A float is not finite when all bits of
 * its exponent are set: one comparison in the integers, whatever the type. */
#define SS_FIND_ROW(type, unsigned_type, exponent)                                                           \
    case type:                                                                                               \
        for (int64_t i = 0; i < count; i++) {                                                                \
            unsigned_type bits;                                                                              \
            memcpy(&bits, bytes + i * (int64_t)sizeof bits, sizeof bits);                                    \
            if ((bits & (exponent)) == (exponent)) return i;                                                 \
        }                                                                                                    \
        return -1;

static int64_t find_not_finite(const ss_array *array, int64_t count)
{
    const char *bytes = array->data;
    switch (array->type) {
        SS_FIND_ROW(SS_F64, uint64_t, 0x7FF0000000000000u)
        SS_FIND_ROW(SS_F32, uint32_t, 0x7F800000u)
        SS_FIND_ROW(SS_F16, uint16_t, 0x7C00u)
        SS_FIND_ROW(SS_BF16, uint16_t, 0x7F80u)
    default: return -1;
    }
}

ss_status ss_array_require_finite(ss_context *context, const char *path, const ss_array *array)
{
    ss_status status = SS_OK;
    char      name[SS_QUOTE_TEXT], place[SS_SHAPE_TEXT];
    int64_t   count = 0;
    SS_TRY(ss_shape_count(context, array->rank, array->shape, &count));
    int64_t found = find_not_finite(array, count);
    if (found >= 0) {
        double value = ss_array_value(array, found);
        SS_FAIL(context, SS_ERROR_INPUT, "%s: array %s holds %s at %s", path, ss_quote(array->name, name),
                value != value ? "NaN"
                : value > 0    ? "infinity"
                               : "-infinity",
                ss_index_text(array, found, place));
    }
fail:
    return status;
}
