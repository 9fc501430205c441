/* Pointwise functions and their sweeps (reference 4, elementwise) on the CPU.
 *
 * A lane is cut into segments of at most SEGMENT contiguous elements; the lanes of a segment are handled one
 * after the other so that primal operands, shared by all lanes, come from the cache after the first.
 *
 * With a bias the cuts go along the rows: blocks of rows, by shape alone, of at most WIDTH columns. What is
 * added to an operand and what is summed up stays in the first cache; shares of the sums are added in the
 * order of the blocks. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/real.h"

#define SEGMENT    4096 /* elements */
#define WIDTH      1024 /* columns */
#define MIN_ROWS   64   /* per block */
#define MAX_BLOCKS 32

typedef void (*pointwise_kernel)(int64_t n, const real *p, const real *s, const real *a, const real *b,
                                 const real *c, real *out);

#define SS_KERNEL_FILE "backend/cpu/pointwise_kernels.h"
#include "backend/cpu/levels.h"

/* out (+)= kernel(s, a, b, c), segment by segment. */
typedef struct sweep {
    pointwise_kernel kernel;
    void (*add)(int64_t n, const real *x, real *y);
    ss_matrix s, a, b, c, out;   /* absent operands: data NULL */
    real      parameter[2];      /* of the function */
    int64_t   lanes, rows, cols; /* rows = 1 when all operands are contiguous */
    bool      accumulate;
    /* with a bias: */
    void (*plus)(int64_t n, const real *x, const real *y, real *z);
    void (*total)(int64_t n, const real *x, double *sum);
    ss_matrix bias, bias_t; /* added to s, and to x_t, which is b where there is one, else a */
    ss_matrix sums;         /* (+)= column sums of what out gets */
    double   *share;        /* [blocks, lanes, cols] of them; NULL = not wanted */
    int64_t   per_block;    /* rows of a block */
} sweep;

static bool from_y(ss_function function)
{
#define SS_FROM_Y_ROW(name, torch, stem, from_y, kinked) from_y,
    static const bool table[] = { SS_FUNCTION_TABLE(SS_FROM_Y_ROW) };
#undef SS_FROM_Y_ROW
    return table[function];
}

static void run_segment(const sweep *w, int64_t row, int64_t first, int64_t n)
{
    real buffer[SEGMENT];
    for (int64_t lane = 0; lane < w->lanes; lane++) {
        const real *s = ss_cpu_row(&w->s, lane, row, sizeof(real));
        const real *a = ss_cpu_row(&w->a, lane, row, sizeof(real));
        const real *b = ss_cpu_row(&w->b, lane, row, sizeof(real));
        const real *c = ss_cpu_row(&w->c, lane, row, sizeof(real));
        real       *out = (real *)ss_cpu_row(&w->out, lane, row, sizeof(real)) + first;
        w->kernel(n, w->parameter, s + first, a ? a + first : NULL, b ? b + first : NULL,
                  c ? c + first : NULL, w->accumulate ? buffer : out);
        if (w->accumulate) w->add(n, buffer, out);
    }
}

/* Elements of an operand from column `first` on; NULL if it is absent. */
static real *elements(const ss_matrix *m, int64_t lane, int64_t row, int64_t first)
{
    return m->data ? (real *)ss_cpu_row(m, lane, row, sizeof(real)) + first : NULL;
}

/* The same for a block of rows, with a bias. */
static void run_block(const sweep *w, int64_t block, int64_t first, int64_t n)
{
    real        primal[WIDTH], tangent[WIDTH], buffer[WIDTH];
    const real *bias = elements(&w->bias, 0, 0, first);
    int64_t     end = ss_min64(w->rows, (block + 1) * w->per_block);
    for (int64_t row = block * w->per_block; row < end; row++) {
        const real *s = elements(&w->s, 0, row, first);
        if (bias) w->plus(n, s, bias, primal);
        for (int64_t lane = 0; lane < w->lanes; lane++) {
            const real *a = elements(&w->a, lane, row, first), *b = elements(&w->b, lane, row, first);
            const real *bias_t = elements(&w->bias_t, lane, 0, first);
            real       *out = elements(&w->out, lane, row, first);
            real       *to = out && !w->accumulate ? out : buffer;
            if (bias_t) w->plus(n, b ? b : a, bias_t, tangent);
            w->kernel(n, w->parameter, bias ? primal : s, bias_t && !b ? tangent : a,
                      bias_t && b ? tangent : b, elements(&w->c, lane, row, first), to);
            if (w->share) w->total(n, to, w->share + (block * w->lanes + lane) * w->cols + first);
            if (out && w->accumulate) w->add(n, buffer, out);
        }
    }
}

static ss_status run_biased(ss_backend *backend, sweep *w, bool accumulate_sums)
{
    w->per_block = ss_max64(MIN_ROWS, ss_cpu_blocks(w->rows, MAX_BLOCKS));
    int64_t blocks = ss_cpu_blocks(w->rows, w->per_block), chunks = ss_cpu_blocks(w->cols, WIDTH);
    int64_t shares = w->sums.data ? blocks * w->lanes * w->cols : 0;
    if (shares) {
        ss_status status = ss_cpu_scratch(backend, shares, &w->share);
        if (status != SS_OK) return status;
        memset(w->share, 0, (size_t)shares * sizeof(double));
    }
#pragma omp parallel for schedule(static) num_threads(ss_cpu_threads(backend, w->lanes * w->rows * w->cols))
    for (int64_t task = 0; task < blocks * chunks; task++) {
        int64_t first = task % chunks * WIDTH;
        run_block(w, task / chunks, first, ss_min64(WIDTH, w->cols - first));
    }
    for (int64_t lane = 0; lane < w->lanes && w->sums.data; lane++) {
        real *out = ss_cpu_row(&w->sums, lane, 0, sizeof(real));
        for (int64_t j = 0; j < w->cols; j++) {
            double sum = 0;
            for (int64_t block = 0; block < blocks; block++)
                sum += w->share[(block * w->lanes + lane) * w->cols + j];
            out[j] = (real)(accumulate_sums ? (double)out[j] + sum : sum);
        }
    }
    return SS_OK;
}

/* Which kernel and operands: 0 f, 1 f' a, 2 f'' b a, 3 f'' b a + f' c. Returns -1 if operands are missing. */
static int choose(const ss_pointwise *p, sweep *w)
{
    /* without x_t the bias stands for it: one row for all */
    const ss_matrix *x_t = p->x_t.data ? &p->x_t : &p->bias_t;
    bool             forward = p->sweep == SS_FORWARD, from_x = !from_y(p->function);
    w->s = forward || from_x ? p->x : p->y;
    if (forward || from_x) w->bias = p->bias;
    if (p->x_t.data) w->bias_t = p->bias_t;
    switch (p->sweep) {
    case SS_FORWARD: w->out = p->y; return 0;
    case SS_BACKWARD:
        w->bias_t.data = NULL;
        w->a = p->y_a;
        w->out = p->x_a;
        w->sums = p->bias_a;
        return p->y_a.data ? 1 : -1;
    case SS_TANGENT_FORWARD:
        w->a = *x_t;
        w->out = p->y_t;
        return x_t->data ? 1 : -1;
    case SS_TANGENT_BACKWARD:
        w->out = p->x_at;
        w->sums = p->bias_at;
        if (!x_t->data || !p->y_a.data) {
            w->bias_t.data = NULL;
            w->a = p->y_at;
            return p->y_at.data ? 1 : -1;
        }
        w->b = *x_t;
        w->a = p->y_a;
        w->c = p->y_at;
        return p->y_at.data ? 3 : 2;
    default: return -1;
    }
}

/* Extents of the sweep: those of an operand that is not one row for all. */
static void extents(const ss_pointwise *p, sweep *w)
{
    const ss_matrix *primal = p->sweep == SS_FORWARD || !from_y(p->function) ? &p->x : &p->y;
    w->rows = primal->rows;
    w->cols = primal->cols;
}

ss_status SS_REAL(ss_cpu_pointwise)(ss_backend *backend, ss_queue *q, const ss_pointwise *p)
{
    (void)q;
    sweep w = { .lanes = p->lanes, .accumulate = p->accumulate };
    if ((int)p->function < 0 || p->function >= SS_FUNCTION_COUNT)
        return ss_fail(backend->context, SS_ERROR_INTERNAL, "pointwise: unknown function %d",
                       (int)p->function);
    int kind = choose(p, &w);
    if (kind < 0 || !w.s.data || (!w.out.data && !w.sums.data))
        return ss_fail(backend->context, SS_ERROR_INTERNAL, "pointwise: sweep %d lacks an operand",
                       (int)p->sweep);
    ss_cpu_level level = ss_cpu(backend)->level;
    w.kernel = SS_AT_LEVEL(level, pointwise_table)[p->function][kind];
    w.add = SS_AT_LEVEL(level, add_segment);
    for (int i = 0; i < 2; i++) w.parameter[i] = (real)p->parameter[i];
    w.plus = SS_AT_LEVEL(level, plus_segment);
    w.total = SS_AT_LEVEL(level, total_segment);
    extents(p, &w);
    w.s = ss_cpu_operand(&w.s, w.rows);
    w.a = ss_cpu_operand(&w.a, w.rows);
    w.b = ss_cpu_operand(&w.b, w.rows);
    w.c = ss_cpu_operand(&w.c, w.rows);
    if (w.bias.data || w.bias_t.data || w.sums.data) return run_biased(backend, &w, p->accumulate_bias);
    if (ss_cpu_flat(&w.s) && ss_cpu_flat(&w.a) && ss_cpu_flat(&w.b) && ss_cpu_flat(&w.c) &&
        ss_cpu_flat(&w.out)) {
        w.cols *= w.rows;
        w.rows = w.rows > 0;
    }
    int64_t per_row = ss_cpu_blocks(w.cols, SEGMENT), work = w.lanes * w.rows * w.cols;
#pragma omp parallel for schedule(static) num_threads(ss_cpu_threads(backend, work))
    for (int64_t task = 0; task < w.rows * per_row; task++) {
        int64_t first = task % per_row * SEGMENT;
        run_segment(&w, task / per_row, first, ss_min64(SEGMENT, w.cols - first));
    }
    return SS_OK;
}
