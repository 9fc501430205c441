/* Operands of calls as matrices, frames, and the small helpers that all operators share (ops/frame.h). */
#include "ops/frame.h"

#include <stdarg.h>
#include <stdio.h>

/* Element (r, c) of the matrix is element r * columns + c of the tensor in C order. Walks from the last
 * dimension outwards: first the columns, which must be contiguous, then the rows, which must be evenly
 * spaced; one dimension may hold both. False when the strides do not allow it. */
static bool collapse(const ss_tensor *tensor, int64_t columns, int64_t *rows, int64_t *ld)
{
    int64_t seen = 1; /* elements of a row that the dimensions so far make up, until it equals `columns` */
    *rows = 1;
    *ld = columns;
    for (int32_t d = tensor->rank - 1; d >= 0; d--) {
        int64_t extent = tensor->shape[d], stride = tensor->stride[d];
        if (extent == 1) continue;
        if (seen < columns) {
            if (stride != seen) return false;
            if (extent <= columns / seen) {
                seen *= extent;
            } else {
                if (columns % seen != 0 || extent % (columns / seen) != 0) return false;
                *rows = extent / (columns / seen);
                seen = columns;
            }
        } else if (*rows == 1) {
            *ld = stride;
            *rows = extent;
        } else {
            if (stride != *ld * *rows) return false;
            *rows *= extent;
        }
    }
    return seen == columns;
}

ss_status ss_tensor_matrix(ss_context *context, const ss_tensor *tensor, int64_t columns, ss_matrix *matrix)
{
    *matrix = (ss_matrix){ 0 };
    if (tensor->data == NULL) return SS_OK;
    if (!collapse(tensor, columns, &matrix->rows, &matrix->ld)) {
        char text[128];
        return ss_fail(context, SS_ERROR_INTERNAL,
                       "a tensor of shape %s cannot be viewed as a matrix with %lld columns without a copy",
                       ss_node_shape_text(tensor->rank, tensor->shape, text, sizeof text),
                       (long long)columns);
    }
    matrix->data = tensor->data;
    matrix->cols = columns;
    matrix->lane_stride = tensor->lane_stride;
    return SS_OK;
}

ss_mask ss_sweep_outputs(ss_sweep sweep)
{
    static const ss_derivative of_inputs[SS_SWEEP_COUNT] = { [SS_BACKWARD] = SS_ADJOINT,
                                                             [SS_TANGENT_BACKWARD] = SS_ADJOINT_TANGENT,
                                                             [SS_CURVATURE] = SS_ADJOINT_TANGENT };
    if (sweep == SS_FORWARD || sweep == SS_TANGENT_FORWARD) {
        ss_derivative d = sweep == SS_FORWARD ? SS_PRIMAL : SS_TANGENT;
        return SS_BIT(d, SS_Y) | SS_BIT(d, SS_SAVED) | SS_BIT(d, SS_ROW_LOSS);
    }
    return SS_BIT(of_inputs[sweep], SS_Y) - SS_BIT(of_inputs[sweep], SS_X); /* all bits from X to below Y */
}

/* The widest trailing part of a sample for which all operands in `set` are matrices. */
static int64_t row_width(const ss_call *call, ss_mask set)
{
    const ss_tensor *first = NULL;
    int64_t          columns = 1;
    for (int i = 0; i < SS_OPERAND_COUNT && first == NULL; i++)
        if (set >> i & 1) first = &call->operand[i];
    if (first == NULL) return 1;
    for (int32_t d = 1; d < first->rank; d++) columns *= first->shape[d];
    for (int32_t d = 1; d < first->rank; d++) {
        bool    all = true;
        int64_t rows, ld;
        for (int i = 0; i < SS_OPERAND_COUNT && all; i++)
            if (set >> i & 1) all = collapse(&call->operand[i], columns, &rows, &ld);
        if (all) return columns;
        columns /= first->shape[d];
    }
    return first->rank > 1 ? first->shape[first->rank - 1] : 1;
}

int64_t ss_frame_row_width(const ss_frame *frame)
{
    return row_width(frame->call, frame->reads | frame->writes);
}

/* Operands with an address among the tangents and adjoints that the sweep does not write. */
static ss_mask present_derivatives(const ss_call *call, ss_sweep sweep)
{
    ss_mask have = 0;
    for (int i = SS_ROLE_COUNT; i < SS_OPERAND_COUNT; i++)
        if (call->operand[i].data != NULL) have |= (ss_mask)1 << i;
    return have & ~ss_sweep_outputs(sweep);
}

/* Rows of losses are float64 whatever the real type. */
ss_status ss_call_clear(const ss_call *call, int operand)
{
    const ss_tensor *tensor = &call->operand[operand];
    ss_backend      *b = call->backend;
    ss_status        status = SS_OK;
    if (tensor->accumulate) return SS_OK;
    if (operand % SS_ROLE_COUNT == SS_ROW_LOSS) {
        int64_t count = call->lanes;
        for (int32_t d = 0; d < tensor->rank; d++) count *= tensor->shape[d];
        return b->class->zero(b, call->queue, tensor->data, count * (int64_t)sizeof(double));
    }
    ss_matrix m;
    SS_TRY(ss_tensor_matrix(b->context, tensor, row_width(call, (ss_mask)1 << operand), &m));
    ss_gemm g = { .m = m.rows, .n = m.cols, .k = 0, .c = m.data, .ldc = m.ld, .stride_c = m.lane_stride };
    g.a = g.b = m.data; /* not read: k = 0 */
    g.lda = 1;
    g.ldb = m.cols;
    g.batch = m.lane_stride != 0 ? call->lanes : 1;
    SS_TRY(b->class->gemm(b, call->queue, &g));
fail:
    return status;
}

ss_status ss_frame_begin(ss_frame *frame, const ss_op *op, ss_sweep sweep, const ss_call *call)
{
    ss_status status = SS_OK;
    ss_mask   have = present_derivatives(call, sweep), outputs = ss_sweep_outputs(sweep);
    *frame = (ss_frame){ .call = call };
    for (int i = 0; i < SS_OPERAND_COUNT; i++) {
        ss_mask bit = (ss_mask)1 << i;
        if ((outputs & bit) == 0 || call->operand[i].data == NULL) continue;
        ss_mask needed = op->needs(call->node, sweep, have, bit);
        if (needed == 0) {
            SS_TRY(ss_call_clear(call, i));
        } else {
            frame->reads |= needed;
            frame->writes |= bit;
        }
    }
fail:
    return status;
}

ss_status ss_frame_matrix(const ss_frame *frame, ss_derivative derivative, int role, int64_t columns,
                          ss_matrix *matrix)
{
    *matrix = (ss_matrix){ 0 };
    if (!ss_frame_has(frame, derivative, role)) return SS_OK;
    ss_status status = ss_tensor_matrix(frame->call->backend->context,
                                        &frame->call->operand[SS_OPERAND(derivative, role)], columns, matrix);
    return status;
}

int64_t ss_frame_lanes(const ss_frame *frame, ss_sweep sweep)
{
    if (sweep == SS_FORWARD) return 1;
    if (sweep != SS_BACKWARD) return frame->call->lanes;
    for (int i = 0; i < SS_OPERAND_COUNT; i++)
        if ((frame->writes >> i & 1) && frame->call->operand[i].lane_stride != 0) return frame->call->lanes;
    return 1;
}

void *ss_frame_data(const ss_frame *frame, ss_derivative derivative, int role)
{
    return ss_frame_has(frame, derivative, role) ? frame->call->operand[SS_OPERAND(derivative, role)].data
                                                 : NULL;
}

ss_status ss_frame_heads(const ss_frame *frame, ss_derivative derivative, int role, ss_heads *heads)
{
    const ss_tensor *t = &frame->call->operand[SS_OPERAND(derivative, role)];
    *heads = (ss_heads){ 0 };
    if (!ss_frame_has(frame, derivative, role) || t->data == NULL) return SS_OK;
    if (t->rank != 4 || (t->shape[3] > 1 && t->stride[3] != 1)) {
        char text[128];
        return ss_fail(frame->call->backend->context, SS_ERROR_INTERNAL,
                       "a tensor of shape %s cannot be viewed as heads with unit stride",
                       ss_node_shape_text(t->rank, t->shape, text, sizeof text));
    }
    *heads = (ss_heads){ .data = t->data,
                         .batch = t->shape[0],
                         .tokens = t->shape[1],
                         .heads = t->shape[2],
                         .dim = t->shape[3],
                         .batch_stride = t->stride[0],
                         .token_stride = t->stride[1],
                         .head_stride = t->stride[2],
                         .lane_stride = t->lane_stride };
    return SS_OK;
}

void *ss_frame_workspace(const ss_frame *frame)
{
    return frame->call->operand[SS_OPERAND(SS_PRIMAL, SS_WORKSPACE)].data;
}

ss_status ss_node_fail(ss_context *context, const ss_node *node, const char *format, ...)
{
    char    text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return ss_fail(context, SS_ERROR_INPUT, "layer %s: %s", node->name, text);
}

const char *ss_node_shape_text(int32_t rank, const int64_t *shape, char *text, size_t size)
{
    size_t used = 0;
    if (size == 0) return text;
    text[0] = '\0';
    for (int32_t d = 0; d < rank && used < size; d++)
        used +=
            (size_t)snprintf(text + used, size - used, "%s%lld", d == 0 ? "[" : ", ", (long long)shape[d]);
    if (used < size) snprintf(text + used, size - used, rank == 0 ? "[]" : "]");
    return text;
}

void ss_node_output_like_input(ss_node *node)
{
    const ss_value *x = &node->values[node->input[0]];
    node->output_rank = x->rank;
    for (int32_t d = 0; d < x->rank; d++) node->output_shape[d] = x->shape[d];
    node->saved_count = 0;
    node->saved_tangent_count = 0;
}

ss_mask ss_factor_needs(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    (void)node;
    const ss_mask y_a = SS_BIT(SS_ADJOINT, SS_Y), y_at = SS_BIT(SS_ADJOINT_TANGENT, SS_Y);
    ss_mask       reads = 0;
    for (int i = 0; i < 2; i++) { /* i: the factor differentiated, o: the other one */
        int     o = 1 - i;
        ss_mask other = SS_BIT(SS_PRIMAL, SS_X + o), other_t = SS_BIT(SS_TANGENT, SS_X + o);
        ss_mask own_t = SS_BIT(SS_TANGENT, SS_X + i);
        switch (sweep) {
        case SS_FORWARD:
            if (want & SS_BIT(SS_PRIMAL, SS_Y)) reads |= other;
            break;
        case SS_BACKWARD:
            if ((want & SS_BIT(SS_ADJOINT, SS_X + i)) && (have & y_a)) reads |= other | y_a;
            break;
        case SS_TANGENT_FORWARD:
            if ((want & SS_BIT(SS_TANGENT, SS_Y)) && (have & own_t)) reads |= own_t | other;
            break;
        case SS_TANGENT_BACKWARD:
            if ((want & SS_BIT(SS_ADJOINT_TANGENT, SS_X + i)) == 0) break;
            if (have & y_at) reads |= other | y_at;
            if ((have & y_a) && (have & other_t)) reads |= other_t | y_a;
            break;
        default: break;
        }
    }
    return reads;
}
