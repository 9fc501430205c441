/* What the primitives on rows read and write, for cpu-check (see primitives.c). */
#include "backend/check/check.h"

ss_status ss_checked_gather_rows(ss_backend *b, ss_queue *q, int64_t lanes, double alpha,
                                 const ss_matrix *table, const int64_t *index, double beta,
                                 const ss_matrix *y)
{
    CALL("gather_rows");
    ss_matrix from = *table, to = *y;
    void     *rows = (void *)(uintptr_t)index;
    ss_check_matrix(&call, "table", SS_CHECK_READ, &from, lanes);
    ss_check_array(&call, "index", SS_CHECK_READ, &rows, y->rows);
    ss_check_matrix(&call, "y", ss_check_output(beta != 0), &to, lanes);
    ss_status   status = ss_check_begin(&call);
    ss_backend *inner = ss_check(b)->inner;
    if (status == SS_OK) status = inner->class->gather_rows(inner, q, lanes, alpha, &from, rows, beta, &to);
    return ss_check_end(&call, status);
}

ss_status ss_checked_scatter_rows(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *y,
                                  const int64_t *index, const ss_matrix *table)
{
    CALL("scatter_rows");
    ss_matrix from = *y, to = *table;
    void     *rows = (void *)(uintptr_t)index;
    ss_check_matrix(&call, "y", SS_CHECK_READ, &from, lanes);
    ss_check_array(&call, "index", SS_CHECK_READ, &rows, y->rows);
    ss_check_matrix(&call, "table", SS_CHECK_UPDATE, &to, lanes);
    ss_status   status = ss_check_begin(&call);
    ss_backend *inner = ss_check(b)->inner;
    if (status == SS_OK) status = inner->class->scatter_rows(inner, q, lanes, alpha, &from, rows, &to);
    return ss_check_end(&call, status);
}

ss_status ss_checked_row_scale(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *c,
                               const ss_matrix *x, double beta, const ss_matrix *z)
{
    CALL("row_scale");
    ss_matrix factor = *c, from = *x, to = *z;
    ss_check_matrix(&call, "c", SS_CHECK_READ, &factor, lanes);
    ss_check_matrix(&call, "x", SS_CHECK_READ, &from, lanes);
    ss_check_matrix(&call, "z", ss_check_output(beta != 0), &to, lanes);
    RUN(row_scale, lanes, alpha, &factor, &from, beta, &to);
}

ss_status ss_checked_row_dot(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x,
                             const ss_matrix *y, double beta, const ss_matrix *c)
{
    CALL("row_dot");
    ss_matrix u = *x, v = *y, to = *c;
    ss_check_matrix(&call, "x", SS_CHECK_READ, &u, lanes);
    ss_check_matrix(&call, "y", SS_CHECK_READ, &v, lanes);
    ss_check_matrix(&call, "c", ss_check_output(beta != 0), &to, lanes);
    RUN(row_dot, lanes, alpha, &u, &v, beta, &to);
}

ss_status ss_checked_router(ss_backend *b, ss_queue *q, const ss_router *problem)
{
    CALL("router");
    static const ss_matrix none = { 0 };
    ss_router              p = *problem;
    ss_check_role          out = ss_check_output(p.accumulate);
    int64_t                lanes = p.lanes;
    p.x = p.x_t = p.y_t = p.x_a = p.y_a = p.x_at = p.y_at = none;
    USE(y, p.sweep == SS_FORWARD ? out : SS_CHECK_READ, 1);
    switch (p.sweep) {
    case SS_FORWARD: USE(x, SS_CHECK_READ, 1); break;
    case SS_BACKWARD:
        USE(y_a, SS_CHECK_READ, lanes);
        USE(x_a, out, lanes);
        break;
    case SS_TANGENT_FORWARD:
        USE(x_t, SS_CHECK_READ, lanes);
        USE(y_t, out, lanes);
        break;
    default:
        USE(x_t, SS_CHECK_READ, lanes);
        USE(y_a, SS_CHECK_READ, lanes);
        USE(y_at, SS_CHECK_READ, lanes);
        USE(x_at, out, lanes);
    }
    RUN(router, &p);
}
