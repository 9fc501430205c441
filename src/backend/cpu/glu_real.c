/* Gated products y = f(a) o b and their sweeps on the CPU.
 *
 * A lane is cut into segments of at most SEGMENT contiguous elements; the lanes of a segment are handled one
 * after the other so that a and b, shared by all lanes, come from the cache after the first. Absent operands
 * read zeros, outputs that are not wanted go to a buffer: the kernels know of neither. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/real.h"

#define SEGMENT 2048 /* elements: zeros and buffers stay in the first cache */

typedef void (*glu_kernel)(int64_t n, const real *p, const real *const in[], real *const out[]);

#define SS_KERNEL_FILE "backend/cpu/glu_kernels.h"
#include "backend/cpu/levels.h"

enum { INPUTS = 6, OUTPUTS = 2 };

typedef struct sweep {
    glu_kernel kernel;
    void (*add)(int64_t n, const real *x, real *y);
    ss_matrix in[INPUTS]; /* a, b, a_t, b_t, y_a, y_at */
    ss_matrix out[OUTPUTS];
    bool      accumulate[OUTPUTS];
    real      parameter[2];
    int64_t   lanes, rows, cols; /* rows = 1 when all operands are contiguous */
} sweep;

static const real zeros[SEGMENT];

static void run_segment(const sweep *w, int64_t row, int64_t first, int64_t n)
{
    real buffer[OUTPUTS][SEGMENT];
    for (int64_t lane = 0; lane < w->lanes; lane++) {
        const real *in[INPUTS];
        real       *out[OUTPUTS], *to[OUTPUTS];
        for (int k = 0; k < INPUTS; k++) {
            const real *at = ss_cpu_row(&w->in[k], lane, row, sizeof(real));
            in[k] = at ? at + first : zeros;
        }
        for (int k = 0; k < OUTPUTS; k++) {
            real *at = ss_cpu_row(&w->out[k], lane, row, sizeof(real));
            out[k] = at ? at + first : NULL;
            to[k] = out[k] && !w->accumulate[k] ? out[k] : buffer[k];
        }
        w->kernel(n, w->parameter, in, to);
        for (int k = 0; k < OUTPUTS; k++)
            if (out[k] && w->accumulate[k]) w->add(n, buffer[k], out[k]);
    }
}

/* What the sweep reads; false if an operand is missing or there is nothing to do. */
static bool choose(const ss_glu *p, sweep *w)
{
    const bool tangents = p->sweep == SS_TANGENT_FORWARD || p->sweep == SS_TANGENT_BACKWARD;
    w->in[0] = p->a;
    w->in[1] = p->b;
    if (tangents) w->in[2] = p->a_t;
    if (tangents) w->in[3] = p->b_t;
    if (p->sweep == SS_BACKWARD || p->sweep == SS_TANGENT_BACKWARD) w->in[4] = p->y_a;
    if (p->sweep == SS_TANGENT_BACKWARD) w->in[5] = p->y_at;
    ss_glu_outputs(p, w->out, w->accumulate);
    return p->sweep <= SS_TANGENT_BACKWARD && (p->a.data || !p->gated) && (w->out[0].data || w->out[1].data);
}

ss_status SS_REAL(ss_cpu_glu)(ss_backend *backend, ss_queue *q, const ss_glu *p)
{
    (void)q;
    sweep w = { .lanes = p->lanes };
    if (p->gated && ((int)p->function < 0 || p->function >= SS_FUNCTION_COUNT))
        return ss_fail(backend->context, SS_ERROR_INTERNAL, "glu: unknown function %d", (int)p->function);
    if (!choose(p, &w))
        return ss_fail(backend->context, SS_ERROR_INTERNAL, "glu: sweep %d lacks an operand", (int)p->sweep);
    const ss_cpu_level level = ss_cpu(backend)->level;
    const ss_matrix   *shape = w.out[0].data ? &w.out[0] : &w.out[1];
    w.kernel = SS_AT_LEVEL(level, glu_table)[p->gated ? (int)p->function : SS_FUNCTION_COUNT][p->sweep];
    w.add = SS_AT_LEVEL(level, add_segment);
    for (int i = 0; i < 2; i++) w.parameter[i] = (real)p->parameter[i];
    w.rows = shape->rows;
    w.cols = shape->cols;
    bool flat = ss_cpu_flat(&w.out[0]) && ss_cpu_flat(&w.out[1]);
    for (int k = 0; k < INPUTS; k++) {
        w.in[k] = ss_cpu_operand(&w.in[k], w.rows);
        flat = flat && ss_cpu_flat(&w.in[k]);
    }
    if (flat) {
        w.cols *= w.rows;
        w.rows = w.rows > 0;
    }
    const int64_t per_row = ss_cpu_blocks(w.cols, SEGMENT), work = w.lanes * w.rows * w.cols;
#pragma omp parallel for schedule(static) num_threads(ss_cpu_threads(backend, work))
    for (int64_t task = 0; task < w.rows * per_row; task++) {
        const int64_t first = task % per_row * SEGMENT;
        run_segment(&w, task / per_row, first, ss_min64(SEGMENT, w.cols - first));
    }
    return SS_OK;
}
