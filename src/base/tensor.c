/* Element types, shapes, and the reading of stored elements in any type and at any address.
 *
 * Elements are fetched with memcpy because arrays may lie unaligned in a mapped file. Storage is little
 * endian, as are all file formats read here and all machines supported. */
#include "base/base.h"
#include "base/stored.h"

#include <math.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "stored arrays are read as little endian");

typedef struct ss_type_row {
    size_t      bytes; /* per element */
    const char *name;  /* as in safetensors */
} ss_type_row;

static const ss_type_row types[] = {
#define SS_TYPE_ROW(name, bytes, safetensors, numpy) [name] = { bytes, safetensors },
    SS_TYPE_TABLE(SS_TYPE_ROW)
#undef SS_TYPE_ROW
};

size_t ss_type_size(ss_type type)
{
    return types[type].bytes;
}

const char *ss_type_name(ss_type type)
{
    return types[type].name;
}

bool ss_type_is_float(ss_type type)
{
    return type == SS_F64 || type == SS_F32 || type == SS_F16 || type == SS_BF16;
}

ss_type ss_real_type(ss_real real)
{
    return real == SS_FLOAT64 ? SS_F64 : SS_F32;
}

size_t ss_real_size(ss_real real)
{
    return real == SS_FLOAT64 ? sizeof(double) : sizeof(float);
}

const char *ss_real_name(ss_real real)
{
    return real == SS_FLOAT64 ? "float64" : "float32";
}

double ss_real_unit_roundoff(ss_real real)
{
    return real == SS_FLOAT64 ? 0x1p-53 : 0x1p-24;
}

ss_status ss_shape_count(ss_context *context, int32_t rank, const int64_t *shape, int64_t *count)
{
    int64_t product = 1;
    bool    empty = false;
    if (rank < 0 || rank > SS_MAX_RANK)
        return ss_fail(context, SS_ERROR_INPUT, "rank must be between 0 and %d, found %d", SS_MAX_RANK, rank);
    for (int32_t i = 0; i < rank; i++) {
        if (shape[i] < 0)
            return ss_fail(context, SS_ERROR_INPUT, "extent %d of a shape is negative: %lld", i,
                           (long long)shape[i]);
        if (shape[i] == 0) empty = true;
    }
    /* An extent of zero makes the count zero whatever the others are: no overflow then. */
    for (int32_t i = 0; i < rank && !empty; i++) {
        if (!ss_mul64(product, shape[i], &product))
            return ss_fail(context, SS_ERROR_INPUT, "element count of a shape overflows at extent %d: %lld",
                           i, (long long)shape[i]);
    }
    *count = empty ? 0 : product;
    return SS_OK;
}

/* out[i] = (target)element[first + i] for every stored type; one conversion, so that an integer reaches
 * float32 with one rounding. */
#define SS_CONVERT_ROW(type, stored, value)                                                                  \
    case type:                                                                                               \
        for (int64_t i = 0; i < count; i++) {                                                                \
            stored element;                                                                                  \
            memcpy(&element, bytes + (first + i) * (int64_t)sizeof element, sizeof element);                 \
            target[i] = (SS_TARGET)value(element);                                                           \
        }                                                                                                    \
        break;

#define SS_TARGET double
static void convert_double(const ss_array *array, int64_t first, int64_t count, double *target)
{
    const char *bytes = array->data;
    switch (array->type) {
        SS_STORED_TABLE(SS_CONVERT_ROW)
    case SS_TYPE_COUNT: break;
    }
}
#undef SS_TARGET

#define SS_TARGET float
static void convert_float(const ss_array *array, int64_t first, int64_t count, float *target)
{
    const char *bytes = array->data;
    switch (array->type) {
        SS_STORED_TABLE(SS_CONVERT_ROW)
    case SS_TYPE_COUNT: break;
    }
}
#undef SS_TARGET

void ss_array_convert(const ss_array *array, int64_t first, int64_t count, ss_real real, void *out)
{
    if (real == SS_FLOAT64)
        convert_double(array, first, count, out);
    else
        convert_float(array, first, count, out);
}

double ss_array_value(const ss_array *array, int64_t index)
{
    double value = 0.0;
    convert_double(array, index, 1, &value);
    return value;
}

#define SS_TARGET int64_t
int64_t ss_array_integer(const ss_array *array, int64_t index)
{
    const char   *bytes = array->data;
    const int64_t first = index, count = 1;
    int64_t       target[1] = { 0 };
    switch (array->type) {
        SS_STORED_TABLE(SS_CONVERT_ROW)
    case SS_TYPE_COUNT: break;
    }
    return target[0];
}
#undef SS_TARGET

/* ---- Storing --------------------------------------------------------------------------------------------
 */

/* value rounded once to `digits` significant bits, none of them below 2^lowest. */
static double round_to(double value, int digits, int lowest)
{
    int exponent = 0;
    if (value == 0.0 || !isfinite(value)) return value;
    (void)frexp(value, &exponent);
    int last = exponent - digits > lowest ? exponent - digits : lowest;
    return ldexp(nearbyint(ldexp(value, -last)), last);
}

static uint16_t half_bits(double value)
{
    double   rounded = round_to(value, 11, -24), size = fabs(rounded);
    uint16_t sign = signbit(value) ? 0x8000u : 0u;
    int      exponent = 0;
    if (isnan(value)) return 0x7E00u;
    if (size > 65504.0) return (uint16_t)(sign | 0x7C00u);
    if (size < 0x1p-14) return (uint16_t)(sign | (uint16_t)(size * 0x1p24));
    double fraction = frexp(size, &exponent); /* [1/2, 1) */
    return (uint16_t)(sign | ((unsigned)(exponent + 14) << 10) | ((unsigned)(fraction * 2048.0) & 1023u));
}

static uint16_t bfloat_bits(double value)
{
    float    rounded = (float)round_to(value, 8, -133); /* exact, or infinite */
    uint32_t bits = 0;
    memcpy(&bits, &rounded, sizeof bits);
    return (uint16_t)(bits >> 16);
}

ss_status ss_array_store(ss_context *context, ss_type type, const double *values, int64_t count, void *out)
{
    float    *single = out;
    uint16_t *half = out;
    if (type == SS_F64) {
        memcpy(out, values, (size_t)count * sizeof *values);
    } else if (type == SS_F32) {
        for (int64_t i = 0; i < count; i++) single[i] = (float)values[i];
    } else if (type == SS_F16) {
        for (int64_t i = 0; i < count; i++) half[i] = half_bits(values[i]);
    } else if (type == SS_BF16) {
        for (int64_t i = 0; i < count; i++) half[i] = bfloat_bits(values[i]);
    } else {
        return ss_fail(context, SS_ERROR_INTERNAL, "values cannot be stored as %s", ss_type_name(type));
    }
    return SS_OK;
}
