/* Writing safetensors files: parameter vectors, checkpoints of the basis, exported weights.
 *
 * Format: u64 little endian length of the header, header (JSON, padded with spaces so that the data starts on
 * a multiple of 8 bytes), data without holes. Arrays are laid out by decreasing item size, so that every
 * array is aligned to its item size. Reference: github.com/huggingface/safetensors, README, "Format". */
#ifndef SS_IO_SAFETENSORS_H
#define SS_IO_SAFETENSORS_H

#include "base/base.h"

typedef struct ss_metadata {
    const char *key;   /* UTF-8; borrowed */
    const char *value; /* UTF-8; borrowed */
} ss_metadata;

/* Writes arrays[count] with metadata[n_metadata] (NULL when 0) beside the target and renames. Names must be
 * UTF-8, not empty, not "__metadata__", and distinct: SS_ERROR_USAGE otherwise. SS_ERROR_OUTPUT names the
 * file when it cannot be written. */
ss_status ss_safetensors_write(ss_context *context, const char *path, const ss_array *arrays, int64_t count,
                               const ss_metadata *metadata, int64_t n_metadata);

/* Piecewise: the same file, the data supplied by a callback that fills `out` with elements [first, first +
 * count) of array `index` in its stored type (arrays[index].data is not looked at). For vectors that do not
 * lie in host memory. Arrays are asked for in the order of the file, each from its first element on. */
typedef ss_status (*ss_array_source)(void *user, int64_t index, int64_t first, int64_t count, void *out);
ss_status ss_safetensors_write_from(ss_context *context, const char *path, const ss_array *arrays,
                                    int64_t count, const ss_metadata *metadata, int64_t n_metadata,
                                    ss_array_source source, void *user);

#endif
