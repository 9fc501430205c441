/* Matrix products of operators (ops/product.h). */
#include "ops/product.h"

ss_status ss_product_run(const ss_call *call, const ss_product_call *p)
{
    const ss_matrix *a = p->a, *b = p->b, *c = p->c;
    ss_gemm          g = { .transpose_a = p->transpose_a, .transpose_b = p->transpose_b };
    g.m = c->rows;
    g.n = c->cols;
    g.k = p->transpose_a ? a->rows : a->cols;
    g.alpha = 1.0;
    g.beta = p->accumulate ? 1.0 : 0.0;
    g.a = a->data;
    g.b = b->data;
    g.c = c->data;
    g.lda = a->ld;
    g.ldb = b->ld;
    g.ldc = c->ld;
    g.stride_a = a->lane_stride;
    g.stride_b = b->lane_stride;
    g.stride_c = c->lane_stride;
    g.batch = c->lane_stride != 0 ? call->lanes : 1;
    g.low_precision = p->tangent;
    /* The lanes of A and C follow each other evenly and share B: one taller product. */
    if (g.batch > 1 && g.stride_b == 0 && !p->transpose_a && g.stride_a == a->rows * a->ld &&
        g.stride_c == c->rows * c->ld) {
        g.m *= g.batch;
        g.batch = 1;
    }
    return call->backend->class->gemm(call->backend, call->queue, &g);
}

ss_status ss_product_bias(const ss_call *call, const ss_matrix *bias, bool accumulate, const ss_matrix *y)
{
    ss_matrix rows = *bias;
    rows.rows = y->rows;
    rows.ld = 0;
    return call->backend->class->add(call->backend, call->queue, y->lane_stride != 0 ? call->lanes : 1, 1.0,
                                     &rows, accumulate ? 1.0 : 0.0, y);
}
