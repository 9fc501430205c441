/* The router of a mixture of experts on the CPU (formulas: ops/router.c). Rows are short; everything inside a
 * row is float64. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/real.h"

#include <math.h>
#include <string.h>

/* p := softmax over the top_k largest of x, 0 elsewhere; of equal ones the lower column goes first. Found by
 * passes in descending order, so that nothing is sorted. */
static void choose(int64_t n, int64_t top_k, const real *x, double *p)
{
    double largest = 0, sum = 0;
    for (int64_t j = 0; j < n; j++) p[j] = -1; /* not chosen yet */
    for (int64_t k = 0; k < top_k; k++) {
        int64_t best = -1;
        for (int64_t j = 0; j < n; j++)
            if (p[j] < 0 && (best < 0 || x[j] > x[best])) best = j;
        if (k == 0) largest = (double)x[best];
        p[best] = exp((double)x[best] - largest);
        sum += p[best];
    }
    for (int64_t j = 0; j < n; j++) p[j] = p[j] < 0 ? 0 : p[j] / sum;
}

/* out := y o (a - y . a) */
static void project(int64_t n, const real *y, const real *a, double *out)
{
    double dot = 0;
    for (int64_t j = 0; j < n; j++) dot += (double)y[j] * (double)a[j];
    for (int64_t j = 0; j < n; j++) out[j] = (double)y[j] * ((double)a[j] - dot);
}

/* out += y_t o (y_a - y . y_a) - y (y_t . y_a) */
static void bend(int64_t n, const real *y, const double *y_t, const real *y_a, double *out)
{
    double dot = 0, dot_t = 0;
    for (int64_t j = 0; j < n; j++) {
        dot += (double)y[j] * (double)y_a[j];
        dot_t += y_t[j] * (double)y_a[j];
    }
    for (int64_t j = 0; j < n; j++) out[j] += y_t[j] * ((double)y_a[j] - dot) - (double)y[j] * dot_t;
}

static void write(int64_t n, const double *value, bool accumulate, real *out)
{
    for (int64_t j = 0; j < n; j++) out[j] = (real)(accumulate ? (double)out[j] + value[j] : value[j]);
}

/* One row of one lane; scratch [2 n]. */
static void run_row(const ss_router *p, int64_t lane, int64_t i, double *scratch)
{
    int64_t     n = p->y.cols;
    const real *y = ss_cpu_row(&p->y, 0, i, sizeof(real));
    const real *x_t = ss_cpu_row(&p->x_t, lane, i, sizeof(real));
    const real *y_a = ss_cpu_row(&p->y_a, lane, i, sizeof(real));
    const real *y_at = ss_cpu_row(&p->y_at, lane, i, sizeof(real));
    double     *value = scratch, *y_t = scratch + n;
    switch (p->sweep) {
    case SS_FORWARD:
        choose(n, p->top_k, ss_cpu_row(&p->x, 0, i, sizeof(real)), value);
        write(n, value, p->accumulate, ss_cpu_row(&p->y, 0, i, sizeof(real)));
        break;
    case SS_BACKWARD:
        project(n, y, y_a, value);
        write(n, value, p->accumulate, ss_cpu_row(&p->x_a, lane, i, sizeof(real)));
        break;
    case SS_TANGENT_FORWARD:
        project(n, y, x_t, value);
        write(n, value, p->accumulate, ss_cpu_row(&p->y_t, lane, i, sizeof(real)));
        break;
    default:
        if (y_at)
            project(n, y, y_at, value);
        else
            memset(value, 0, (size_t)n * sizeof *value);
        if (y_a && x_t) {
            project(n, y, x_t, y_t);
            bend(n, y, y_t, y_a, value);
        }
        write(n, value, p->accumulate, ss_cpu_row(&p->x_at, lane, i, sizeof(real)));
    }
}

ss_status SS_REAL(ss_cpu_router)(ss_backend *b, ss_queue *q, const ss_router *p)
{
    (void)q;
    ss_status status = SS_OK;
    int64_t   rows = p->y.rows, n = p->y.cols, tasks = p->lanes * rows;
    int       threads = ss_cpu_threads(b, tasks * n * 8);
    double   *scratch = NULL; /* [threads, 2, n] */
    if (p->sweep == SS_FORWARD && (p->top_k < 1 || p->top_k > n))
        SS_FAIL(b->context, SS_ERROR_INTERNAL, "router: %lld of %lld columns", (long long)p->top_k,
                (long long)n);
    SS_TRY(ss_cpu_scratch(b, threads * 2 * n, &scratch));
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int part = 0; part < threads; part++)
        for (int64_t task = part * tasks / threads; task < (part + 1) * tasks / threads; task++)
            run_row(p, task / rows, task % rows, scratch + part * 2 * n);
fail:
    return status;
}
