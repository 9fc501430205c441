/* Matrix products of operators: C := op(A) op(B) + beta C, lane by lane, and a bias written to every row. */
#ifndef SS_OPS_PRODUCT_H
#define SS_OPS_PRODUCT_H

#include "ops/op.h"

typedef struct ss_product_call {
    const ss_matrix *a, *b, *c;
    bool             transpose_a, transpose_b;
    bool             accumulate;
    bool             tangent; /* a tangent product: reduced precision allowed */
} ss_product_call;

/* Lanes of A and C that share B are stacked into rows of one product where their strides allow it. */
ss_status ss_product_run(const ss_call *call, const ss_product_call *product);

/* y := 1 b (+ y): the bias row written to every row, so that the products accumulate onto it. */
ss_status ss_product_bias(const ss_call *call, const ss_matrix *bias, bool accumulate, const ss_matrix *y);

#endif
