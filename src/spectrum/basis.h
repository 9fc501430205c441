/* The basis object: long vectors side by side, and the tall-skinny algebra on them.
 *
 * Lanczos never touches a long vector's data, names no device and does not know where the columns lie: they
 * may be resident in the backend's memory (basis_resident.c) or lie in pinned host memory (basis_host.c), or
 * later be sharded.
 * Every scalar is float64 and already summed over the ranks. Columns are padded vectors of the operator's
 * layout. Reference: the BV object of SLEPc. */
#ifndef SS_SPECTRUM_BASIS_H
#define SS_SPECTRUM_BASIS_H

#include "backend/backend.h"
#include "saddlescope/operator.h"

typedef struct ss_basis ss_basis;

typedef struct ss_basis_class {
    const char *name; /* "resident", "host memory" */
    void (*destroy)(ss_basis *basis);
    /* Address of column j for reading; valid until the next `read` or change of the basis. */
    ss_status (*read)(ss_basis *basis, int64_t j, const void **column);
    /* Address at which column j is to be made, valid until its `close`, by which it becomes part of the
     * basis. */
    ss_status (*open)(ss_basis *basis, int64_t j, void **column);
    ss_status (*close)(ss_basis *basis, int64_t j);
    /* h[i] := v_i . w, i < k (this rank's share) */
    ss_status (*block_dot)(ss_basis *basis, int64_t k, const void *w, double *h);
    /* w := beta w + sum_i h[i] v_i, i < k */
    ss_status (*block_axpy)(ss_basis *basis, int64_t k, const double *h, double beta, void *w);
    /* V[:, 0..l) := V[:, 0..k) S; S k x l row-major, l <= k */
    ss_status (*combine)(ss_basis *basis, int64_t k, int64_t l, const double *s);
    /* v_to := v_from */
    ss_status (*copy)(ss_basis *basis, int64_t to, int64_t from);
} ss_basis_class;

struct ss_basis {
    const ss_basis_class *class; /* borrowed, static */
    const ss_operator *op;       /* borrowed: layout, real, backend, comm */
    int64_t            capacity; /* columns */
};

/* A basis of `capacity` columns in the operator's memory; contents undefined. */
ss_status ss_basis_create_resident(const ss_operator *op, int64_t capacity, ss_basis **basis);
/* ... in host memory; the device holds SS_BASIS_HOST_VECTORS vectors of it at a time. */
#define SS_BASIS_HOST_VECTORS 7
ss_status ss_basis_create_host(const ss_operator *op, int64_t capacity, ss_basis **basis);
void      ss_basis_destroy(ss_basis *basis); /* NULL allowed */

ss_status ss_basis_read(ss_basis *basis, int64_t j, const void **column);
ss_status ss_basis_open(ss_basis *basis, int64_t j, void **column);
ss_status ss_basis_close(ss_basis *basis, int64_t j);

/* h[i] := v_i . w, i < k */
ss_status ss_basis_dot(ss_basis *basis, int64_t k, const void *w, double *h);
/* w := beta w + sum_i h[i] v_i, i < k; beta = 0: w is not read */
ss_status ss_basis_axpy(ss_basis *basis, int64_t k, const double *h, double beta, void *w);
/* Classical Gram-Schmidt, twice, float64 coefficients: w := w - V h with h = V'w accumulated over both
 * passes; *norm := ||w|| afterwards. c [k] is scratch. k = 0: the norm alone. */
ss_status ss_basis_orthogonalise(ss_basis *basis, int64_t k, void *w, double *h, double *c, double *norm);
/* V[:, 0..l) := V[:, 0..k) S */
ss_status ss_basis_combine(ss_basis *basis, int64_t k, int64_t l, const double *s);
ss_status ss_basis_copy(ss_basis *basis, int64_t to, int64_t from);

/* ---- Single vectors in the operator's memory ---- */
/* Bytes of one padded vector. */
int64_t ss_vector_bytes(const ss_operator *op);
/* *result := x . y over all ranks */
ss_status ss_vector_dot(const ss_operator *op, const void *x, const void *y, double *result);
/* y := alpha x + beta y */
ss_status ss_vector_axpby(const ss_operator *op, double alpha, const void *x, double beta, void *y);
/* z := x o y, of n elements; z may not overlap x or y */
ss_status ss_vector_multiply(ss_backend *b, int64_t n, const void *x, const void *y, void *z);
/* x := standard normals of (seed, stream) by canonical index, times `live` (NULL = all); scratch: a vector,
 * needed with `live` only. */
ss_status ss_vector_random(const ss_operator *op, uint64_t seed, uint64_t stream, const void *live,
                           void *scratch, void *x);

#endif
