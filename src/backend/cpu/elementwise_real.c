/* Matrix sums and column sums on the CPU: bound by memory, every operand read once. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/real.h"

#define SS_KERNEL_FILE "backend/cpu/elementwise_kernels.h"
#include "backend/cpu/levels.h"

/* Cuts rows x cols of all lanes into segments; rows become 1 when everything is contiguous. */
typedef struct cut {
    int64_t rows, cols, per_row, tasks; /* per lane, except tasks: over all lanes */
} cut;

static cut make_cut(int64_t lanes, const ss_matrix *out, bool flat)
{
    cut c = { .rows = out->rows, .cols = out->cols };
    if (flat) {
        c.cols *= c.rows;
        c.rows = c.rows > 0;
    }
    c.per_row = ss_cpu_blocks(c.cols, SS_CPU_BLOCK);
    c.tasks = lanes * c.rows * c.per_row;
    return c;
}

/* Task number -> lane, row, first column, width. */
static int64_t segment(const cut *c, int64_t task, int64_t *lane, int64_t *row, int64_t *first)
{
    *first = task % c->per_row * SS_CPU_BLOCK;
    *row = task / c->per_row % c->rows;
    *lane = task / (c->per_row * c->rows);
    return ss_min64(SS_CPU_BLOCK, c->cols - *first);
}

ss_status SS_REAL(ss_cpu_add)(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x,
                              double beta, const ss_matrix *y)
{
    (void)q;
    ss_matrix    from = ss_cpu_operand(x, y->rows);
    cut          c = make_cut(lanes, y, ss_cpu_flat(&from) && ss_cpu_flat(y));
    ss_cpu_level level = ss_cpu(b)->level;
#pragma omp parallel for schedule(static) num_threads(ss_cpu_threads(b, c.rows *c.cols *lanes))
    for (int64_t task = 0; task < c.tasks; task++) {
        int64_t     lane, row, first, n = segment(&c, task, &lane, &row, &first);
        const real *in = (const real *)ss_cpu_row(&from, lane, row, sizeof(real)) + first;
        real       *out = (real *)ss_cpu_row(y, lane, row, sizeof(real)) + first;
        if (beta != 0)
            SS_AT_LEVEL(level, add_segment)(n, (real)alpha, in, (real)beta, out);
        else if (alpha != 1)
            SS_AT_LEVEL(level, scale_segment)(n, (real)alpha, in, out);
        else
            memcpy(out, in, (size_t)n * sizeof(real));
    }
    return SS_OK;
}

/* The operands of an elementwise function of two. */
typedef struct binary {
    ss_matrix x, y, z;
} binary;

static cut cut_binary(int64_t lanes, const ss_matrix *x, const ss_matrix *y, const ss_matrix *z, binary *w)
{
    *w = (binary){ .x = ss_cpu_operand(x, z->rows), .y = ss_cpu_operand(y, z->rows), .z = *z };
    return make_cut(lanes, z, ss_cpu_flat(&w->x) && ss_cpu_flat(&w->y) && ss_cpu_flat(z));
}

/* The task's elements of all three; returns their number. */
static int64_t binary_segment(const cut *c, int64_t task, const binary *w, const real **x, const real **y,
                              real **z)
{
    int64_t lane, row, first, n = segment(c, task, &lane, &row, &first);
    *x = (const real *)ss_cpu_row(&w->x, lane, row, sizeof(real)) + first;
    *y = (const real *)ss_cpu_row(&w->y, lane, row, sizeof(real)) + first;
    *z = (real *)ss_cpu_row(&w->z, lane, row, sizeof(real)) + first;
    return n;
}

ss_status SS_REAL(ss_cpu_sum)(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x,
                              double beta, const ss_matrix *y, bool accumulate, const ss_matrix *z)
{
    (void)q;
    binary       w;
    cut          c = cut_binary(lanes, x, y, z, &w);
    ss_cpu_level level = ss_cpu(b)->level;
#pragma omp parallel for schedule(static) num_threads(ss_cpu_threads(b, c.rows *c.cols *lanes))
    for (int64_t task = 0; task < c.tasks; task++) {
        const real *s, *t;
        real       *out;
        int64_t     n = binary_segment(&c, task, &w, &s, &t, &out);
        SS_AT_LEVEL(level, sum_segment)(n, (real)alpha, s, (real)beta, t, accumulate, out);
    }
    return SS_OK;
}

/* y_j (+)= sum_i x_ij: partial sums in float64 over at most MAX_BLOCKS blocks of rows, then the blocks in
 * order. */
#define COLUMNS    512 /* columns of a task: sums and four rows of them stay in the first cache */
#define MAX_BLOCKS 32

ss_status SS_REAL(ss_cpu_column_sum)(ss_backend *b, ss_queue *q, int64_t lanes, const ss_matrix *x,
                                     bool accumulate, const ss_matrix *y)
{
    (void)q;
    ss_status status = SS_OK;
    int64_t   rows = x->rows, cols = x->cols;
    int64_t   per_block = ss_max64(256, ss_cpu_blocks(rows, MAX_BLOCKS));
    int64_t   blocks = ss_cpu_blocks(rows, per_block), chunks = ss_cpu_blocks(cols, COLUMNS);
    double   *partial = NULL; /* [lanes, blocks, cols] */
    SS_TRY(ss_cpu_scratch(b, lanes * blocks * cols, &partial));

    ss_cpu_level level = ss_cpu(b)->level;
    int          threads = ss_cpu_threads(b, lanes * rows * cols);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t task = 0; task < lanes * blocks * chunks; task++) {
        int64_t first = task % chunks * COLUMNS, n = ss_min64(COLUMNS, cols - first);
        int64_t block = task / chunks % blocks, lane = task / (chunks * blocks);
        int64_t row = block * per_block;
        double *sum = partial + (lane * blocks + block) * cols + first;
        memset(sum, 0, (size_t)n * sizeof(double));
        const real *in = (const real *)ss_cpu_row(x, lane, row, sizeof(real)) + first;
        SS_AT_LEVEL(level, sum_rows)(ss_min64(per_block, rows - row), n, in, x->ld, sum);
    }
    for (int64_t lane = 0; lane < lanes; lane++) {
        real *out = ss_cpu_row(y, lane, 0, sizeof(real));
        for (int64_t j = 0; j < cols; j++) {
            double sum = 0;
            for (int64_t block = 0; block < blocks; block++)
                sum += partial[(lane * blocks + block) * cols + j];
            out[j] = (real)(accumulate ? (double)out[j] + sum : sum);
        }
    }
fail:
    return status;
}
