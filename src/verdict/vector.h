/* Long vectors of the verdict: padded, in the memory of a backend, of its real type.
 *
 * Every routine works on whole padded vectors: the padding is zero in all of them and stays zero. Scalars are
 * float64. The block routines see `count` columns `padded` elements apart. */
#ifndef SS_VERDICT_VECTOR_H
#define SS_VERDICT_VECTOR_H

#include "backend/backend.h"

typedef struct ss_vectors {
    ss_backend *backend; /* NULL: not made yet; borrowed */
    void       *data;    /* [count, padded] of backend->real, backend memory; owned */
    int64_t     padded;  /* elements of one column */
    int64_t     count;   /* columns */
} ss_vectors;

/* Allocates `count` zeroed columns. */
ss_status ss_vectors_create(ss_backend *backend, const ss_layout *layout, int64_t count, ss_vectors *x);
/* Safe on a zeroed or released vector. */
void ss_vectors_release(ss_vectors *x);

/* Address of column j. */
void *ss_vectors_column(const ss_vectors *x, int64_t j);

/* y := x between any two real types of one device (column 0 of each, or addresses of columns). */
ss_status ss_vectors_copy(const ss_vectors *x, int64_t jx, const ss_vectors *y, int64_t jy);
/* y := alpha x + beta y, columns 0. */
ss_status ss_vectors_add(double alpha, const ss_vectors *x, double beta, const ss_vectors *y);
ss_status ss_vectors_scale(double alpha, const ss_vectors *x);
ss_status ss_vectors_zero(const ss_vectors *x);
/* *result := x . y, columns 0 of the same real type. */
ss_status ss_vectors_dot(const ss_vectors *x, const ss_vectors *y, double *result);
ss_status ss_vectors_norm(const ss_vectors *x, double *norm);
/* Column 0 := standard normals numbered by the canonical index, divided by their norm. */
ss_status ss_vectors_random_unit(const ss_vectors *x, const ss_layout *layout, uint64_t seed,
                                 uint64_t stream);

/* Column 0 <-> a padded host vector of doubles, through the backend of that real type. */
ss_status ss_vectors_get(const ss_vectors *x, double *host);
ss_status ss_vectors_set(const ss_vectors *x, const double *host);

#endif
