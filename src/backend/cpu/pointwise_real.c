/* Pointwise functions and their sweeps (reference 4, elementwise) on the CPU.
 *
 * A lane is cut into segments of at most SEGMENT contiguous elements; the lanes of a segment are handled one
 * after the other so that primal operands, shared by all lanes, come from the cache after the first. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/real.h"

#define SEGMENT 4096 /* elements */

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

/* Which kernel and operands: 0 f, 1 f' a, 2 f'' b a, 3 f'' b a + f' c. Returns -1 if operands are missing. */
static int choose(const ss_pointwise *p, sweep *w)
{
    w->s = from_y(p->function) ? p->y : p->x;
    switch (p->sweep) {
    case SS_FORWARD:
        w->s = p->x;
        w->out = p->y;
        return 0;
    case SS_BACKWARD:
        w->a = p->y_a;
        w->out = p->x_a;
        return p->y_a.data ? 1 : -1;
    case SS_TANGENT_FORWARD:
        w->a = p->x_t;
        w->out = p->y_t;
        return p->x_t.data ? 1 : -1;
    case SS_TANGENT_BACKWARD:
        w->out = p->x_at;
        if (!p->x_t.data || !p->y_a.data) {
            w->a = p->y_at;
            return p->y_at.data ? 1 : -1;
        }
        w->b = p->x_t;
        w->a = p->y_a;
        w->c = p->y_at;
        return p->y_at.data ? 3 : 2;
    default: return -1;
    }
}

ss_status SS_REAL(ss_cpu_pointwise)(ss_backend *backend, ss_queue *q, const ss_pointwise *p)
{
    (void)q;
    sweep w = { .lanes = p->lanes, .accumulate = p->accumulate };
    if ((int)p->function < 0 || p->function >= SS_FUNCTION_COUNT)
        return ss_fail(backend->context, SS_ERROR_INTERNAL, "pointwise: unknown function %d",
                       (int)p->function);
    int kind = choose(p, &w);
    if (kind < 0 || !w.s.data || !w.out.data)
        return ss_fail(backend->context, SS_ERROR_INTERNAL, "pointwise: sweep %d lacks an operand",
                       (int)p->sweep);
    ss_cpu_level level = ss_cpu(backend)->level;
    w.kernel = SS_AT_LEVEL(level, pointwise_table)[p->function][kind];
    w.add = SS_AT_LEVEL(level, add_segment);
    for (int i = 0; i < 2; i++) w.parameter[i] = (real)p->parameter[i];
    w.rows = w.out.rows;
    w.cols = w.out.cols;
    w.s = ss_cpu_operand(&w.s, w.rows);
    w.a = ss_cpu_operand(&w.a, w.rows);
    w.b = ss_cpu_operand(&w.b, w.rows);
    w.c = ss_cpu_operand(&w.c, w.rows);
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
