/* Element types, shapes, host arrays and the layout of a parameter vector. */
#ifndef SADDLESCOPE_TENSOR_H
#define SADDLESCOPE_TENSOR_H

#include "saddlescope/context.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SS_MAX_RANK 8

/* The two types in which anything is computed. */
typedef enum ss_real { SS_FLOAT32 = 0, SS_FLOAT64 = 1 } ss_real;

/* Element types of stored arrays: enumerator, bytes, safetensors name, NumPy descriptor without byte order.
 */
/* clang-format off */
#define SS_TYPE_TABLE(row) \
    row(SS_F64, 8, "F64", "f8") \
    row(SS_F32, 4, "F32", "f4") \
    row(SS_F16, 2, "F16", "f2") \
    row(SS_BF16, 2, "BF16", "") \
    row(SS_I64, 8, "I64", "i8") \
    row(SS_I32, 4, "I32", "i4") \
    row(SS_I16, 2, "I16", "i2") \
    row(SS_I8, 1, "I8", "i1") \
    row(SS_U64, 8, "U64", "u8") \
    row(SS_U32, 4, "U32", "u4") \
    row(SS_U16, 2, "U16", "u2") \
    row(SS_U8, 1, "U8", "u1") \
    row(SS_BOOL, 1, "BOOL", "b1")
/* clang-format on */

typedef enum ss_type {
#define SS_TYPE_ROW(name, bytes, safetensors, numpy) name,
    SS_TYPE_TABLE(SS_TYPE_ROW)
#undef SS_TYPE_ROW
        SS_TYPE_COUNT
} ss_type;

size_t      ss_type_size(ss_type type); /* bytes per element */
const char *ss_type_name(ss_type type); /* "F32" ... */
bool        ss_type_is_float(ss_type type);
ss_type     ss_real_type(ss_real real);          /* SS_F32 or SS_F64 */
size_t      ss_real_size(ss_real real);          /* 4 or 8 */
const char *ss_real_name(ss_real real);          /* "float32", "float64" */
double      ss_real_unit_roundoff(ss_real real); /* 2^-24, 2^-53 */

/* A host array, contiguous in C order. Who owns name and data is said by whoever hands it out. */
typedef struct ss_array {
    const char *name; /* "" when it has none */
    ss_type     type;
    int32_t     rank;
    int64_t     shape[SS_MAX_RANK]; /* [rank] */
    const void *data;               /* element count = product of the shape; may be unaligned (mapped file) */
} ss_array;

/* Element count of a shape. Fails with SS_ERROR_INPUT when an extent is negative or the product overflows. */
ss_status ss_shape_count(ss_context *context, int32_t rank, const int64_t *shape, int64_t *count);

/* Reads element `index` of an array as a double (integers above 2^53 are rounded). */
double ss_array_value(const ss_array *array, int64_t index);
/* Reads element `index` of an integer array. */
int64_t ss_array_integer(const ss_array *array, int64_t index);
/* Converts `count` elements from `first` on to float64 or float32 (exactly where the target can hold them).
 */
void ss_array_convert(const ss_array *array, int64_t first, int64_t count, ss_real real, void *out);
/* out[i] := values[i] in a stored float type, rounded to nearest, ties to even; what the type cannot hold
 * becomes infinity. SS_ERROR_INTERNAL for integer types. */
ss_status ss_array_store(ss_context *context, ss_type type, const double *values, int64_t count, void *out);

/* ---- The layout of a parameter vector --------------------------------------------------------------------
 * Inside, every parameter starts on a 256-byte boundary of a float32 vector (a multiple of 64 elements in
 * either real type, so that both precisions share one layout); the padding is zero in every vector and counts
 * in neither n, nor norms, nor random numbers. At the public boundary vectors are packed (canonical) unless
 * said otherwise. */
#define SS_LAYOUT_ALIGNMENT 64 /* elements */

typedef struct ss_segment {
    int64_t offset;    /* first element in the padded vector */
    int64_t canonical; /* first element in the packed vector; numbers the random streams */
    int64_t length;    /* elements */
} ss_segment;

typedef struct ss_layout {
    int64_t           n;      /* parameters = sum of lengths */
    int64_t           padded; /* elements of a padded vector, >= n */
    int64_t           n_segments;
    const ss_segment *segments; /* [n_segments], ascending in offset and in canonical */
} ss_layout;

#ifdef __cplusplus
}
#endif
#endif
