/* Elements as they are stored in files and handed to backends: one row per type, for the readers on the CPU
 * and on devices. Compiles as C11 and CUDA C++; little endian. */
#ifndef SS_BASE_STORED_H
#define SS_BASE_STORED_H

#include "base/host_device.h"

#include <stdint.h>
#include <string.h>

/* IEEE 754 half precision: value = (-1)^s 2^(e-15) (1 + m/1024); e = 0 subnormal, e = 31 infinity or NaN. */
static inline SS_HOST_DEVICE float ss_half_value(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = (half >> 10) & 31u, mantissa = half & 1023u;
    uint32_t bits = 0;
    float    value = 0.0f;
    if (exponent == 0) {
        value = (float)mantissa * 0x1p-24f;
        return sign != 0 ? -value : value;
    }
    if (exponent == 31)
        bits = sign | 0x7F800000u | (mantissa << 13);
    else
        bits = sign | ((exponent + 112u) << 23) | (mantissa << 13);
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* bfloat16 is the upper half of a float32. */
static inline SS_HOST_DEVICE float ss_bfloat_value(uint16_t upper)
{
    uint32_t bits = (uint32_t)upper << 16;
    float    value = 0.0f;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* One row per type: enumerator, C type of the stored element, function that gives its value. */
#define SS_AS_IS(x)    (x)
#define SS_AS_TRUTH(x) ((x) != 0)
/* clang-format off */
#define SS_STORED_TABLE(row) \
    row(SS_F64, double, SS_AS_IS) \
    row(SS_F32, float, SS_AS_IS) \
    row(SS_F16, uint16_t, ss_half_value) \
    row(SS_BF16, uint16_t, ss_bfloat_value) \
    row(SS_I64, int64_t, SS_AS_IS) \
    row(SS_I32, int32_t, SS_AS_IS) \
    row(SS_I16, int16_t, SS_AS_IS) \
    row(SS_I8, int8_t, SS_AS_IS) \
    row(SS_U64, uint64_t, SS_AS_IS) \
    row(SS_U32, uint32_t, SS_AS_IS) \
    row(SS_U16, uint16_t, SS_AS_IS) \
    row(SS_U8, uint8_t, SS_AS_IS) \
    row(SS_BOOL, uint8_t, SS_AS_TRUTH)
/* clang-format on */

#endif
