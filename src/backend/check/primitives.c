/* What every primitive reads and writes, for cpu-check: operands are declared, the cpu computes on their
 * copies. Operands that a sweep does not use are taken away, so that using them shows. */
#include "backend/check/check.h"

/* A vector of n elements of the real type. */
static void vector(ss_check_call *call, const char *name, ss_check_role role, void **pointer, int64_t n)
{
    ss_check_add(call, name, role, pointer, ss_check_real_bytes(call->b), 1, 1, n, n, 0);
}

ss_status ss_checked_convert(ss_backend *b, ss_queue *q, void *to, ss_real real, const void *from,
                             ss_type type, int64_t count, double scale, double shift)
{
    CALL("convert");
    void *in = (void *)(uintptr_t)from;
    ss_check_add(&call, "from", SS_CHECK_READ, &in, (int64_t)ss_type_size(type), 1, 1, count, count, 0);
    ss_check_add(&call, "to", SS_CHECK_WRITE, &to, (int64_t)ss_real_size(real), 1, 1, count, count, 0);
    RUN(convert, to, real, in, type, count, scale, shift);
}

ss_status ss_checked_place(ss_backend *b, ss_queue *q, void *to, const void *from, ss_type type,
                           int64_t count, double step, const void *direction)
{
    CALL("place");
    void *in = (void *)(uintptr_t)from, *d = (void *)(uintptr_t)direction;
    ss_check_add(&call, "from", SS_CHECK_READ, &in, (int64_t)ss_type_size(type), 1, 1, count, count, 0);
    vector(&call, "direction", SS_CHECK_READ, &d, count);
    vector(&call, "to", SS_CHECK_WRITE, &to, count);
    RUN(place, to, in, type, count, step, d);
}

ss_status ss_checked_gemm(ss_backend *b, ss_queue *q, const ss_gemm *problem)
{
    CALL("gemm");
    ss_gemm g = *problem;
    int64_t e = ss_check_real_bytes(b);
    void   *a = (void *)(uintptr_t)g.a, *bb = (void *)(uintptr_t)g.b;
    if (g.m > 0 && g.n > 0 && g.k > 0) {
        int64_t ar = g.transpose_a ? g.k : g.m, br = g.transpose_b ? g.n : g.k;
        int64_t ac = g.transpose_a ? g.m : g.k, bc = g.transpose_b ? g.k : g.n;
        /* a leading dimension of 0 with several rows is no broadcast here: left to the cpu to refuse */
        ss_check_add(&call, "a", SS_CHECK_READ, &a, e, g.batch, ar, ac, g.lda, g.stride_a);
        ss_check_add(&call, "b", SS_CHECK_READ, &bb, e, g.batch, br, bc, g.ldb, g.stride_b);
    }
    ss_check_add(&call, "c", ss_check_output(g.beta != 0), &g.c, e, g.batch, g.m, g.n, g.ldc, g.stride_c);
    ss_status status = ss_check_begin(&call);
    g.a = a;
    g.b = bb;
    ss_backend *inner = ss_check(b)->inner;
    if (status == SS_OK) status = inner->class->gemm(inner, q, &g);
    return ss_check_end(&call, status);
}

static bool derives_from_y(ss_function function)
{
#define FROM_Y_ROW(name, torch, stem, from_y, kinked) from_y,
    static const bool table[] = { SS_FUNCTION_TABLE(FROM_Y_ROW) };
#undef FROM_Y_ROW
    return (int)function >= 0 && function < SS_FUNCTION_COUNT && table[function];
}

ss_status ss_checked_pointwise(ss_backend *b, ss_queue *q, const ss_pointwise *problem)
{
    CALL("pointwise");
    static const ss_matrix none = { 0 };
    ss_pointwise           p = *problem;
    int64_t                lanes = p.lanes;
    ss_check_role          out = ss_check_output(p.accumulate), out_bias = ss_check_output(p.accumulate_bias);
    p.x = p.y = p.bias = p.x_t = p.y_t = p.bias_t = none;
    p.x_a = p.y_a = p.bias_a = p.x_at = p.y_at = p.bias_at = none;
    if (p.sweep == SS_FORWARD || !derives_from_y(p.function)) {
        USE(x, SS_CHECK_READ, 1);
        USE(bias, SS_CHECK_READ, 1);
    } else {
        USE(y, SS_CHECK_READ, 1);
    }
    switch (p.sweep) {
    case SS_FORWARD: USE(y, out, lanes); break;
    case SS_BACKWARD:
        USE(y_a, SS_CHECK_READ, lanes);
        USE(x_a, out, lanes);
        USE(bias_a, out_bias, lanes);
        break;
    case SS_TANGENT_FORWARD:
        USE(x_t, SS_CHECK_READ, lanes);
        USE(bias_t, SS_CHECK_READ, lanes);
        USE(y_t, out, lanes);
        break;
    default:
        USE(x_t, SS_CHECK_READ, lanes);
        USE(bias_t, SS_CHECK_READ, lanes);
        USE(y_a, SS_CHECK_READ, lanes);
        USE(y_at, SS_CHECK_READ, lanes);
        USE(x_at, out, lanes);
        USE(bias_at, out_bias, lanes);
    }
    RUN(pointwise, &p);
}

ss_status ss_checked_glu(ss_backend *b, ss_queue *q, const ss_glu *problem)
{
    CALL("glu");
    static const ss_matrix none = { 0 };
    ss_glu                 p = *problem;
    int64_t                lanes = p.lanes;
    ss_check_role          out_a = ss_check_output(p.accumulate_a), out_b = ss_check_output(p.accumulate_b);
    ss_check_role          out_y = ss_check_output(p.accumulate_y);
    p.y = p.a_t = p.b_t = p.y_t = p.a_a = p.b_a = p.y_a = p.a_at = p.b_at = p.y_at = none;
    USE(a, SS_CHECK_READ, lanes);
    USE(b, SS_CHECK_READ, lanes);
    switch (p.sweep) {
    case SS_FORWARD: USE(y, out_y, lanes); break;
    case SS_BACKWARD:
        USE(y_a, SS_CHECK_READ, lanes);
        USE(a_a, out_a, lanes);
        USE(b_a, out_b, lanes);
        break;
    case SS_TANGENT_FORWARD:
        USE(a_t, SS_CHECK_READ, lanes);
        USE(b_t, SS_CHECK_READ, lanes);
        USE(y_t, out_y, lanes);
        break;
    default:
        USE(a_t, SS_CHECK_READ, lanes);
        USE(b_t, SS_CHECK_READ, lanes);
        USE(y_a, SS_CHECK_READ, lanes);
        USE(y_at, SS_CHECK_READ, lanes);
        USE(a_at, out_a, lanes);
        USE(b_at, out_b, lanes);
    }
    RUN(glu, &p);
}

ss_status ss_checked_norm(ss_backend *b, ss_queue *q, const ss_norm *problem)
{
    CALL("norm");
    static const ss_matrix none = { 0 };
    ss_norm                p = *problem;
    int64_t                lanes = p.lanes;
    ss_check_role out_x = ss_check_output(p.accumulate_x), out_gain = ss_check_output(p.accumulate_gain);
    ss_check_role out_bias = ss_check_output(p.accumulate_bias), out_y = ss_check_output(p.accumulate_y);
    p.bias = p.y = p.x_t = p.y_t = p.gain_t = p.bias_t = p.x_a = p.y_a = p.gain_a = p.bias_a = none;
    p.x_at = p.y_at = p.gain_at = p.bias_at = none;
    USE(x, SS_CHECK_READ, 1);
    USE(gain, SS_CHECK_READ, 1);
    USE(saved, p.sweep == SS_FORWARD ? SS_CHECK_WRITE : SS_CHECK_READ, 1);
    switch (p.sweep) {
    case SS_FORWARD:
        USE(bias, SS_CHECK_READ, 1);
        USE(y, out_y, 1);
        break;
    case SS_BACKWARD:
        USE(y_a, SS_CHECK_READ, lanes);
        USE(x_a, out_x, lanes);
        USE(gain_a, out_gain, lanes);
        USE(bias_a, out_bias, lanes);
        break;
    case SS_TANGENT_FORWARD:
        USE(x_t, SS_CHECK_READ, lanes);
        USE(gain_t, SS_CHECK_READ, lanes);
        USE(bias_t, SS_CHECK_READ, lanes);
        USE(y_t, out_y, lanes);
        break;
    default:
        USE(x_t, SS_CHECK_READ, lanes);
        USE(gain_t, SS_CHECK_READ, lanes);
        USE(y_a, SS_CHECK_READ, lanes);
        USE(y_at, SS_CHECK_READ, lanes);
        USE(x_at, out_x, lanes);
        USE(gain_at, out_gain, lanes);
        USE(bias_at, out_bias, lanes);
    }
    RUN(norm, &p);
}

ss_status ss_checked_loss(ss_backend *b, ss_queue *q, const ss_loss *problem)
{
    CALL("loss");
    static const ss_matrix none = { 0 };
    ss_loss                p = *problem;
    int64_t                rows = p.x.rows;
    bool  tangent = p.sweep != SS_FORWARD && p.sweep != SS_BACKWARD, value = p.sweep == SS_TANGENT_FORWARD;
    void *id = (void *)(uintptr_t)p.class_id, *weight = (void *)(uintptr_t)p.class_weight;
    void *row_weight = (void *)(uintptr_t)p.row_weight, *row_loss = p.row_loss;
    p.target = p.saved = p.x_t = p.x_a = p.x_at = none;
    USE(x, SS_CHECK_READ, 1);
    ss_check_array(&call, "class_id", SS_CHECK_READ, &id, rows);
    ss_check_array(&call, "class_weight", SS_CHECK_READ, &weight, p.x.cols);
    ss_check_array(&call, "row_weight", SS_CHECK_READ, &row_weight, rows);
    if (!p.class_id) USE(target, SS_CHECK_READ, 1);
    if (p.kind == SS_LOSS_CROSS_ENTROPY)
        USE(saved, p.sweep == SS_FORWARD ? SS_CHECK_WRITE : SS_CHECK_READ, 1);
    if (p.sweep == SS_FORWARD || value)
        ss_check_array(&call, "row_loss", SS_CHECK_WRITE, &row_loss, value ? p.lanes * rows : rows);
    if (tangent) USE(x_t, SS_CHECK_READ, p.lanes);
    if (p.sweep == SS_BACKWARD) USE(x_a, ss_check_output(p.accumulate), 1);
    if (tangent && !value) USE(x_at, ss_check_output(p.accumulate), p.lanes);

    ss_status status = ss_check_begin(&call);
    p.class_id = id;
    p.class_weight = weight;
    p.row_weight = row_weight;
    p.row_loss = row_loss;
    ss_backend *inner = ss_check(b)->inner;
    if (status == SS_OK) status = inner->class->loss(inner, q, &p);
    return ss_check_end(&call, status);
}

ss_status ss_checked_sample_targets(ss_backend *b, ss_queue *q, ss_loss_kind kind, const ss_matrix *x,
                                    uint64_t seed, int64_t first_target, int64_t *class_id,
                                    const ss_matrix *target)
{
    CALL("sample_targets");
    ss_matrix in = *x, out = { 0 };
    void     *id = class_id;
    ss_check_matrix(&call, "x", SS_CHECK_READ, &in, 1);
    if (kind == SS_LOSS_CROSS_ENTROPY) {
        ss_check_array(&call, "class_id", SS_CHECK_WRITE, &id, x->rows);
    } else {
        out = *target;
        ss_check_matrix(&call, "target", SS_CHECK_WRITE, &out, 1);
    }
    ss_status   status = ss_check_begin(&call);
    ss_backend *inner = ss_check(b)->inner;
    if (status == SS_OK)
        status = inner->class->sample_targets(inner, q, kind, &in, seed, first_target, id, &out);
    return ss_check_end(&call, status);
}

ss_status ss_checked_add(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x,
                         double beta, const ss_matrix *y)
{
    CALL("add");
    ss_matrix in = *x, out = *y;
    ss_check_matrix(&call, "x", SS_CHECK_READ, &in, lanes);
    ss_check_matrix(&call, "y", ss_check_output(beta != 0), &out, lanes);
    RUN(add, lanes, alpha, &in, beta, &out);
}

ss_status ss_checked_sum(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x,
                         double beta, const ss_matrix *y, bool accumulate, const ss_matrix *z)
{
    CALL("sum");
    ss_matrix u = *x, v = *y, out = *z;
    ss_check_matrix(&call, "x", SS_CHECK_READ, &u, lanes);
    ss_check_matrix(&call, "y", SS_CHECK_READ, &v, lanes);
    ss_check_matrix(&call, "z", ss_check_output(accumulate), &out, lanes);
    RUN(sum, lanes, alpha, &u, beta, &v, accumulate, &out);
}

ss_status ss_checked_column_sum(ss_backend *b, ss_queue *q, int64_t lanes, const ss_matrix *x,
                                bool accumulate, const ss_matrix *y)
{
    CALL("column_sum");
    ss_matrix in = *x, out = *y;
    ss_check_matrix(&call, "x", SS_CHECK_READ, &in, lanes);
    ss_check_matrix(&call, "y", ss_check_output(accumulate), &out, lanes);
    RUN(column_sum, lanes, &in, accumulate, &out);
}

ss_status ss_checked_rope(ss_backend *b, ss_queue *q, int64_t lanes, bool inverse, const ss_matrix *table,
                          const ss_heads *x, bool accumulate, const ss_heads *y)
{
    CALL("rope");
    ss_matrix angles = *table;
    ss_heads  in = *x, out = *y;
    ss_check_matrix(&call, "table", SS_CHECK_READ, &angles, 1);
    ss_check_heads(&call, "x", SS_CHECK_READ, &in, lanes);
    ss_check_heads(&call, "y", ss_check_output(accumulate), &out, lanes);
    RUN(rope, lanes, inverse, &angles, &in, accumulate, &out);
}

#define USE_HEADS(member, role, lanes)                                                                       \
    p.member = problem->member, ss_check_heads(&call, #member, role, &p.member, lanes)

ss_status ss_checked_attention(ss_backend *b, ss_queue *q, const ss_attention *problem)
{
    CALL("attention");
    static const ss_heads none = { 0 };
    ss_attention          p = *problem;
    int64_t lanes = p.lanes, rows = p.q.batch * p.q.heads * p.q.tokens, e = ss_check_real_bytes(b);
    bool    ahead = p.sweep == SS_FORWARD || p.sweep == SS_TANGENT_FORWARD;
    bool    tangent = p.sweep == SS_TANGENT_FORWARD || p.sweep == SS_TANGENT_BACKWARD;
    void   *mask = (void *)(uintptr_t)p.mask;
    p.o = p.q_t = p.k_t = p.v_t = p.o_t = p.q_a = p.k_a = p.v_a = p.o_a = none;
    p.q_at = p.k_at = p.v_at = p.o_at = none;
    USE_HEADS(q, SS_CHECK_READ, 1);
    USE_HEADS(k, SS_CHECK_READ, 1);
    USE_HEADS(v, SS_CHECK_READ, 1);
    USE_HEADS(o, p.sweep == SS_FORWARD ? ss_check_output(p.accumulate_o) : SS_CHECK_READ, 1);
    ss_check_array(&call, "mask", SS_CHECK_READ, &mask, p.q.batch * p.q.tokens);
    ss_check_add(&call, "saved", p.sweep == SS_FORWARD ? SS_CHECK_WRITE : SS_CHECK_READ, &p.saved, e, 1, 1,
                 rows, rows, 0);
    if (tangent) {
        USE_HEADS(q_t, SS_CHECK_READ, lanes);
        USE_HEADS(k_t, SS_CHECK_READ, lanes);
        USE_HEADS(v_t, SS_CHECK_READ, lanes);
        USE_HEADS(o_t, ahead ? ss_check_output(p.accumulate_o) : SS_CHECK_READ, lanes);
        ss_check_add(&call, "saved_t", ahead ? SS_CHECK_WRITE : SS_CHECK_READ, &p.saved_t, e, lanes, 1, rows,
                     rows, p.saved_t_stride);
    }
    if (p.sweep == SS_BACKWARD) {
        USE_HEADS(o_a, SS_CHECK_READ, lanes);
        USE_HEADS(q_a, ss_check_output(p.accumulate_q), lanes);
        USE_HEADS(k_a, ss_check_output(p.accumulate_k), lanes);
        USE_HEADS(v_a, ss_check_output(p.accumulate_v), lanes);
    } else if (!ahead) {
        USE_HEADS(o_a, SS_CHECK_READ, 1);
        USE_HEADS(o_at, SS_CHECK_READ, lanes);
        USE_HEADS(q_at, ss_check_output(p.accumulate_q), lanes);
        USE_HEADS(k_at, ss_check_output(p.accumulate_k), lanes);
        USE_HEADS(v_at, ss_check_output(p.accumulate_v), lanes);
    }
    int64_t size = ss_check(b)->inner->class->attention_workspace(ss_check(b)->inner, problem);
    if (size > 0 && p.workspace) {
        vector(&call, "workspace", SS_CHECK_UPDATE, &p.workspace, size);
        call.operand[call.count - 1].partial = true; /* holds nothing yet, and not all of it is used */
    }
    ss_status   status = ss_check_begin(&call);
    ss_backend *inner = ss_check(b)->inner;
    p.mask = mask;
    if (status == SS_OK) status = inner->class->attention(inner, q, &p);
    return ss_check_end(&call, status);
}

ss_status ss_checked_dot(ss_backend *b, ss_queue *q, int64_t n, const void *x, const void *y, double *result)
{
    CALL("dot");
    void *u = (void *)(uintptr_t)x, *v = (void *)(uintptr_t)y;
    vector(&call, "x", SS_CHECK_READ, &u, n);
    vector(&call, "y", SS_CHECK_READ, &v, n);
    RUN(dot, n, u, v, result);
}

ss_status ss_checked_block_dot(ss_backend *b, ss_queue *q, int64_t n, int64_t k, const void *v, int64_t ldv,
                               const void *w, double *h)
{
    CALL("block_dot");
    void *columns = (void *)(uintptr_t)v, *u = (void *)(uintptr_t)w;
    ss_check_add(&call, "v", SS_CHECK_READ, &columns, ss_check_real_bytes(b), 1, k, n, ldv, 0);
    vector(&call, "w", SS_CHECK_READ, &u, n);
    RUN(block_dot, n, k, columns, ldv, u, h);
}

ss_status ss_checked_block_axpy(ss_backend *b, ss_queue *q, int64_t n, int64_t k, const void *v, int64_t ldv,
                                const double *h, double beta, void *w)
{
    CALL("block_axpy");
    void *columns = (void *)(uintptr_t)v;
    ss_check_add(&call, "v", SS_CHECK_READ, &columns, ss_check_real_bytes(b), 1, k, n, ldv, 0);
    vector(&call, "w", ss_check_output(beta != 0), &w, n);
    RUN(block_axpy, n, k, columns, ldv, h, beta, w);
}

ss_status ss_checked_block_combine(ss_backend *b, ss_queue *q, int64_t n, int64_t k, int64_t l, void *v,
                                   int64_t ldv, const double *s)
{
    CALL("block_combine");
    ss_check_add(&call, "v", SS_CHECK_UPDATE, &v, ss_check_real_bytes(b), 1, k, n, ldv, 0);
    RUN(block_combine, n, k, l, v, ldv, s);
}

ss_status ss_checked_axpby(ss_backend *b, ss_queue *q, int64_t n, double alpha, const void *x, double beta,
                           void *y)
{
    CALL("axpby");
    void *in = (void *)(uintptr_t)x;
    vector(&call, "x", SS_CHECK_READ, &in, n);
    vector(&call, "y", ss_check_output(beta != 0), &y, n);
    RUN(axpby, n, alpha, in, beta, y);
}

ss_status ss_checked_random_normal(ss_backend *b, ss_queue *q, const ss_layout *layout, uint64_t seed,
                                   uint64_t stream, void *x)
{
    CALL("random_normal");
    vector(&call, "x", SS_CHECK_WRITE, &x, layout->padded);
    RUN(random_normal, layout, seed, stream, x);
}

ss_status ss_checked_find_nonfinite(ss_backend *b, ss_queue *q, int64_t n, const void *x, int64_t *index)
{
    CALL("find_nonfinite");
    void *in = (void *)(uintptr_t)x;
    vector(&call, "x", SS_CHECK_READ, &in, n);
    call.operand[0].partial = true; /* looking for NaN is what it is for */
    RUN(find_nonfinite, n, in, index);
}

ss_status ss_checked_count_sign_changes(ss_backend *b, ss_queue *q, int64_t n, const void *x, const void *y,
                                        int64_t *count)
{
    CALL("count_sign_changes");
    void *u = (void *)(uintptr_t)x, *v = (void *)(uintptr_t)y;
    vector(&call, "x", SS_CHECK_READ, &u, n);
    vector(&call, "y", SS_CHECK_READ, &v, n);
    RUN(count_sign_changes, n, u, v, count);
}

ss_status ss_checked_symmetric_eigen(ss_backend *b, ss_queue *q, int64_t n, double *a, bool vectors,
                                     double *eigenvalues)
{
    CALL("symmetric_eigen");
    void *matrix = a;
    ss_check_add(&call, "a", SS_CHECK_UPDATE, &matrix, 8, 1, n, n, n, 0);
    call.operand[0].partial = true; /* the lower triangle */
    RUN(symmetric_eigen, n, matrix, vectors, eigenvalues);
}
