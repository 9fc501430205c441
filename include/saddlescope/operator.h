/* A symmetric linear operator given as a callback: all that spectrum/ knows of a Hessian.
 *
 * y_j := H x_j for j < count, columns ldx and ldy elements apart, in the memory of `backend` (host memory for
 * the backend "cpu"), element type `real`, in the padded layout. An ARPACK, PRIMME or SLEPc callback is a few
 * lines around it. */
#ifndef SADDLESCOPE_OPERATOR_H
#define SADDLESCOPE_OPERATOR_H

#include "saddlescope/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ss_backend; /* where the vectors live; opened by the owner of the operator */
struct ss_queue;
struct ss_comm;

typedef struct ss_operator {
    void *context; /* of the callback */
    /* Computes y := H x, at the latest when the backend's default queue comes to what follows. Padding of x
     * is zero on entry; padding of y must be zero on return. SS_ERROR_NUMERIC when a result is not finite. */
    ss_status (*apply)(void *context, int count, const void *x, int64_t ldx, void *y, int64_t ldy,
                       struct ss_queue *queue);
    void (*destroy)(void *context); /* may be NULL */
    const ss_layout   *layout;   /* of this rank's slice; borrowed. A plain vector: one segment, padded = n */
    int64_t            n_global; /* dimension over all ranks, padding not counted */
    int64_t            offset;   /* canonical number of this rank's first element */
    ss_real            real;     /* element type of x and y */
    struct ss_backend *backend;  /* borrowed */
    struct ss_comm    *comm;     /* borrowed; NULL = alone */
    int                lanes;    /* preferred `count` for blocks; >= 1 */
    int64_t            products; /* counted by ss_operator_apply */
    double             seconds;  /* spent in ss_operator_apply */
} ss_operator;

/* Applies the operator and counts the products. Checks nothing but the interrupt flag afterwards: on
 * SS_ERROR_INTERRUPTED y is valid. */
ss_status ss_operator_apply(ss_operator *op, int count, const void *x, int64_t ldx, void *y, int64_t ldy);
/* Releases what the operator owns. */
void ss_operator_destroy(ss_operator *op);

/* An operator around a plain host callback y := H x on n doubles, for users without a network. The callback
 * returns 0 on success. *op is filled; ss_operator_destroy releases it. */
ss_status ss_operator_from_function(ss_context *context, int64_t n,
                                    int (*apply)(void *user, int64_t n, const double *x, double *y),
                                    void *user, ss_operator *op);

#ifdef __cplusplus
}
#endif
#endif
