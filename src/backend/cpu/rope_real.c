/* Rotary positions on the CPU: bound by memory, every element read and written once. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/real.h"

#define SS_KERNEL_FILE "backend/cpu/rope_kernels.h"
#include "backend/cpu/levels.h"

static int64_t row_of(const ss_heads *h, int64_t lane, int64_t batch, int64_t token, int64_t head)
{
    return lane * h->lane_stride + batch * h->batch_stride + token * h->token_stride + head * h->head_stride;
}

ss_status SS_REAL(ss_cpu_rope)(ss_backend *b, ss_queue *q, int64_t lanes, bool inverse,
                               const ss_matrix *table, const ss_heads *x, bool accumulate, const ss_heads *y)
{
    (void)q;
    int64_t half = table->cols / 2, rows = lanes * y->batch * y->tokens;
    if (table->cols % 2 != 0 || table->cols > x->dim || table->rows < x->tokens || x->dim != y->dim ||
        x->heads != y->heads || x->tokens != y->tokens || x->batch != y->batch)
        return ss_fail(b->context, SS_ERROR_INTERNAL, "rope: a table of %lld x %lld for %lld tokens of %lld",
                       (long long)table->rows, (long long)table->cols, (long long)x->tokens,
                       (long long)x->dim);
    ss_cpu_level level = ss_cpu(b)->level;
    int          threads = ss_cpu_threads(b, rows * y->heads * y->dim);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t row = 0; row < rows; row++) {
        int64_t     token = row % y->tokens, batch = row / y->tokens % y->batch;
        int64_t     lane = row / (y->tokens * y->batch);
        const real *cosine = ss_cpu_row(table, 0, token, sizeof(real));
        for (int64_t head = 0; head < y->heads; head++) SS_AT_LEVEL(level, rotate)
        (half, y->dim, cosine, cosine + half, inverse ? -1 : 1,
         (const real *)x->data + row_of(x, lane, batch, token, head), accumulate,
         (real *)y->data + row_of(y, lane, batch, token, head));
    }
    return SS_OK;
}
