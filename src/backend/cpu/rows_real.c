/* Rows on the CPU: gathered and scattered by index, scaled and multiplied one by one. Bound by memory. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/real.h"

#define SS_KERNEL_FILE "backend/cpu/rows_kernels.h"
#include "backend/cpu/levels.h"

#define COLUMNS 64 /* of a scatter's task: threads share the columns, so that every row has one order */

static ss_status check_index(ss_backend *b, const int64_t *index, int64_t count, int64_t rows)
{
    for (int64_t i = 0; i < count; i++)
        if (index[i] < 0 || index[i] >= rows)
            return ss_fail(b->context, SS_ERROR_INTERNAL, "row %lld of a table with %lld rows",
                           (long long)index[i], (long long)rows);
    return SS_OK;
}

ss_status SS_REAL(ss_cpu_gather_rows)(ss_backend *b, ss_queue *q, int64_t lanes, double alpha,
                                      const ss_matrix *table, const int64_t *index, double beta,
                                      const ss_matrix *y)
{
    (void)q;
    ss_status    status = SS_OK;
    ss_cpu_level level = ss_cpu(b)->level;
    int64_t      rows = y->rows, n = y->cols;
    SS_TRY(check_index(b, index, rows, table->rows));
#pragma omp parallel for schedule(static) num_threads(ss_cpu_threads(b, lanes *rows *n))
    for (int64_t task = 0; task < lanes * rows; task++) {
        int64_t     lane = task / rows, i = task % rows;
        const real *from = ss_cpu_row(table, lane, index[i], sizeof(real));
        real       *to = ss_cpu_row(y, lane, i, sizeof(real));
        if (alpha == 1 && beta == 0)
            memcpy(to, from, (size_t)n * sizeof(real));
        else
            SS_AT_LEVEL(level, row_combine)(n, (real)alpha, from, (real)beta, to);
    }
fail:
    return status;
}

ss_status SS_REAL(ss_cpu_scatter_rows)(ss_backend *b, ss_queue *q, int64_t lanes, double alpha,
                                       const ss_matrix *y, const int64_t *index, const ss_matrix *table)
{
    (void)q;
    ss_status    status = SS_OK;
    ss_cpu_level level = ss_cpu(b)->level;
    int64_t      rows = y->rows, parts = ss_cpu_blocks(y->cols, COLUMNS);
    SS_TRY(check_index(b, index, rows, table->rows));
#pragma omp parallel for schedule(static) num_threads(ss_cpu_threads(b, lanes *rows * y->cols))
    for (int64_t task = 0; task < lanes * parts; task++) {
        int64_t lane = task / parts, first = task % parts * COLUMNS, n = ss_min64(COLUMNS, y->cols - first);
        for (int64_t i = 0; i < rows; i++) {
            const real *from = (const real *)ss_cpu_row(y, lane, i, sizeof(real)) + first;
            real       *to = (real *)ss_cpu_row(table, lane, index[i], sizeof(real)) + first;
            SS_AT_LEVEL(level, row_combine)(n, (real)alpha, from, 1, to);
        }
    }
fail:
    return status;
}

ss_status SS_REAL(ss_cpu_row_scale)(ss_backend *b, ss_queue *q, int64_t lanes, double alpha,
                                    const ss_matrix *c, const ss_matrix *x, double beta, const ss_matrix *z)
{
    (void)q;
    ss_cpu_level level = ss_cpu(b)->level;
    ss_matrix    factor = ss_cpu_operand(c, z->rows), from = ss_cpu_operand(x, z->rows);
    int64_t      rows = z->rows;
#pragma omp parallel for schedule(static) num_threads(ss_cpu_threads(b, lanes *rows * z->cols))
    for (int64_t task = 0; task < lanes * rows; task++) {
        int64_t     lane = task / rows, i = task % rows;
        const real *s = ss_cpu_row(&factor, lane, i, sizeof(real));
        SS_AT_LEVEL(level, row_combine)
        (z->cols, (real)alpha * *s, ss_cpu_row(&from, lane, i, sizeof(real)), (real)beta,
         ss_cpu_row(z, lane, i, sizeof(real)));
    }
    return SS_OK;
}

ss_status SS_REAL(ss_cpu_row_dot)(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x,
                                  const ss_matrix *y, double beta, const ss_matrix *c)
{
    (void)q;
    ss_cpu_level level = ss_cpu(b)->level;
    ss_matrix    u = ss_cpu_operand(x, c->rows), v = ss_cpu_operand(y, c->rows);
    int64_t      rows = c->rows;
#pragma omp parallel for schedule(static) num_threads(ss_cpu_threads(b, lanes *rows * x->cols))
    for (int64_t task = 0; task < lanes * rows; task++) {
        int64_t lane = task / rows, i = task % rows;
        real   *out = ss_cpu_row(c, lane, i, sizeof(real));
        double  dot = alpha * SS_AT_LEVEL(level, row_product)(x->cols, ss_cpu_row(&u, lane, i, sizeof(real)),
                                                             ss_cpu_row(&v, lane, i, sizeof(real)));
        *out = (real)(beta != 0 ? dot + beta * (double)*out : dot);
    }
    return SS_OK;
}
