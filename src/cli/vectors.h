/* Parameter vectors as files: safetensors, one float64 tensor per parameter, named as in the weights. */
#ifndef SS_CLI_VECTORS_H
#define SS_CLI_VECTORS_H

#include "cli/options.h"
#include "io/safetensors.h"
#include "saddlescope/network.h"

/* One vector of a file. */
typedef struct ss_named_vector {
    const char   *name;   /* prefix of its tensors, "name/parameter"; NULL = no prefix (a single vector) */
    const double *packed; /* [n] canonical order; borrowed */
} ss_named_vector;

/* Writes vectors[count] with metadata. SS_ERROR_OUTPUT. */
ss_status ss_vectors_write(ss_context *context, const char *path, const ss_network *network,
                           const ss_named_vector *vectors, int64_t count, const ss_metadata *metadata,
                           int64_t n_metadata);

/* Writes a single vector to --output when that is given. */
ss_status ss_vector_output(ss_context *context, const ss_settings *settings, const ss_network *network,
                           const double *packed);

/* Reads one vector: exactly the active parameters with their shapes, finite floats. SS_ERROR_INPUT naming
 * file and tensor. packed [n]. */
ss_status ss_vector_read(ss_context *context, const char *path, const ss_network *network, double *packed);
/* Reads the vector `name` of a file that holds several, as ss_vectors_write makes them. */
ss_status ss_vector_read_named(ss_context *context, const char *path, const char *name,
                               const ss_network *network, double *packed);

#endif
