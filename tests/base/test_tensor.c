/* Types, shapes and the reading of elements of every type, aligned or not. */
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

Test(tensor, types)
{
    cr_assert(ss_type_size(SS_F16) == 2 && ss_type_size(SS_BF16) == 2 && ss_type_size(SS_U64) == 8);
    cr_assert_str_eq(ss_type_name(SS_BF16), "BF16");
    cr_assert(ss_type_is_float(SS_F16) && !ss_type_is_float(SS_I8) && !ss_type_is_float(SS_BOOL));
    cr_assert(ss_real_type(SS_FLOAT32) == SS_F32 && ss_real_size(SS_FLOAT64) == 8);
    cr_assert_str_eq(ss_real_name(SS_FLOAT64), "float64");
    cr_assert(1.0f + (float)ss_real_unit_roundoff(SS_FLOAT32) == 1.0f);
    cr_assert(1.0 + 2.0 * ss_real_unit_roundoff(SS_FLOAT64) > 1.0);
}

Test(tensor, shape_count, .init = ss_test_begin, .fini = ss_test_end)
{
    int64_t count = -1;
    ss_test_require(ss_shape_count(ss_test_context, 0, NULL, &count));
    cr_assert(count == 1);
    ss_test_require(ss_shape_count(ss_test_context, 3, (int64_t[]){ 2, 3, 5 }, &count));
    cr_assert(count == 30);
    ss_test_require(ss_shape_count(ss_test_context, 3, (int64_t[]){ INT64_MAX, 3, 0 }, &count));
    cr_assert(count == 0);
    ss_test_refuse(ss_shape_count(ss_test_context, 2, (int64_t[]){ 4, -2 }, &count), SS_ERROR_INPUT, "-2");
    ss_test_refuse(
        ss_shape_count(ss_test_context, 2, (int64_t[]){ (int64_t)1 << 40, (int64_t)1 << 40 }, &count),
        SS_ERROR_INPUT, "overflow");
    ss_test_refuse(ss_shape_count(ss_test_context, 9, (int64_t[9]){ 1 }, &count), SS_ERROR_INPUT, "rank");
}

/* Value of the 16-bit pattern by the definition, with ldexp instead of bit shifts. */
static double half_by_definition(unsigned pattern)
{
    int    exponent = (int)(pattern >> 10 & 31), mantissa = (int)(pattern & 1023);
    double sign = pattern >> 15 ? -1.0 : 1.0;
    if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * ldexp(mantissa, -24);
    return sign * ldexp(1024 + mantissa, exponent - 25);
}

static double bfloat_by_definition(unsigned pattern)
{
    int    exponent = (int)(pattern >> 7 & 255), mantissa = (int)(pattern & 127);
    double sign = pattern >> 15 ? -1.0 : 1.0;
    if (exponent == 255) return mantissa ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * ldexp(mantissa, -133);
    return sign * ldexp(128 + mantissa, exponent - 134);
}

Test(tensor, every_half_and_bfloat)
{
    for (unsigned pattern = 0; pattern < 65536; pattern++) {
        uint16_t stored = (uint16_t)pattern;
        for (int k = 0; k < 2; k++) {
            ss_array array = { .name = "", .type = k ? SS_BF16 : SS_F16, .rank = 0, .data = &stored };
            double   expected = k ? bfloat_by_definition(pattern) : half_by_definition(pattern);
            double   found = ss_array_value(&array, 0);
            cr_assert(isnan(expected) ? isnan(found)
                                      : found == expected && !signbit(found) == !signbit(expected),
                      "%s %04x: %g, expected %g", ss_type_name(array.type), pattern, found, expected);
        }
    }
}

#define CHECK(enumerator, stored, first, second)                                                             \
    do {                                                                                                     \
        char   bytes[1 + 2 * sizeof(stored)];                                                                \
        stored values[2] = { first, second };                                                                \
        memcpy(bytes + 1, values, sizeof values);                                                            \
        ss_array array = { .name = "", .type = enumerator, .rank = 1, .shape = { 2 }, .data = bytes + 1 };   \
        double   found[2];                                                                                   \
        float    single[1];                                                                                  \
        ss_array_convert(&array, 0, 2, SS_FLOAT64, found);                                                   \
        ss_array_convert(&array, 1, 1, SS_FLOAT32, single);                                                  \
        cr_assert(found[0] == (double)values[0] && found[1] == (double)values[1], #enumerator);              \
        cr_assert(single[0] == (float)values[1], #enumerator);                                               \
        cr_assert(ss_array_value(&array, 1) == (double)values[1], #enumerator);                              \
        if (!ss_type_is_float(array.type))                                                                   \
            cr_assert(ss_array_integer(&array, 0) == (int64_t)values[0], #enumerator);                       \
    } while (0)

Test(tensor, unaligned_elements_of_every_type)
{
    CHECK(SS_F64, double, -1.5e300, 0x1p-1074);
    CHECK(SS_F32, float, -1.5f, 0x1p-149f);
    CHECK(SS_I64, int64_t, INT64_MIN, 9007199791611905);
    CHECK(SS_I32, int32_t, INT32_MIN, 16777217);
    CHECK(SS_I16, int16_t, -32768, 32767);
    CHECK(SS_I8, int8_t, -128, 127);
    CHECK(SS_U64, uint64_t, 5, UINT64_MAX);
    CHECK(SS_U32, uint32_t, 3, UINT32_MAX);
    CHECK(SS_U16, uint16_t, 65535, 1);
    CHECK(SS_U8, uint8_t, 255, 1);
    CHECK(SS_BOOL, uint8_t, 1, 0);
}

Test(tensor, any_nonzero_byte_is_true)
{
    uint8_t  byte = 7;
    ss_array array = { .name = "", .type = SS_BOOL, .rank = 0, .data = &byte };
    cr_assert(ss_array_value(&array, 0) == 1.0 && ss_array_integer(&array, 0) == 1);
}
