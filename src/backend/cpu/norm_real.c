/* LayerNorm and RMSNorm on the CPU: the four sweeps of reference 4. Float64 inside a row, in both real types.
 *
 * Rows are cut in blocks by shape alone; a block adds up its share of the gain's and bias's gradients, and
 * the shares are added in block order. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/real.h"

#define SS_KERNEL_FILE "backend/cpu/norm_kernels.h"
#include "backend/cpu/levels.h"

#define MAX_BLOCKS 64
#define MIN_ROWS   16 /* per block */

/* A thread at work on a row. */
typedef struct norm_row {
    const ss_norm *norm;
    ss_cpu_level   level;
    int64_t        n;                   /* columns */
    const real    *gain;                /* [n] or NULL = 1 */
    double         offset, r;           /* gain_offset; (var + eps)^-1/2 of the row */
    double        *z, *g;               /* [n] normalised row; gain y_a */
    double        *z_t, *g_t;           /* [n] their tangents */
    double        *u, *v;               /* [n] scratch */
    double        *gain_sum, *bias_sum; /* [lanes, n] shares of the block; NULL when not wanted */
} norm_row;

enum { ROW_BUFFERS = 6 };

/* <a> (0 for RMSNorm) and <a b> */
static void means(const norm_row *w, const double *a, const double *b, double *mean, double *product)
{
    SS_AT_LEVEL(w->level, row_sums)(w->n, a, b, mean, product);
    *mean = w->norm->centered ? *mean / (double)w->n : 0;
    *product /= (double)w->n;
}

/* The map of reference 4 that is the derivative and its own transpose: out := r (a - <a> - z <z a>); returns
 * <z a>. */
static double project(const norm_row *w, const double *a, double *out)
{
    double mean, product;
    means(w, a, w->z, &mean, &product);
    SS_AT_LEVEL(w->level, row_project)(w->n, w->r, a, mean, w->z, product, out);
    return product;
}

static void store(const norm_row *w, const ss_matrix *out, int64_t lane, int64_t i, const double *value,
                  bool accumulate)
{
    SS_AT_LEVEL(w->level, row_store)(w->n, value, accumulate, ss_cpu_row(out, lane, i, sizeof(real)));
}

static void forward_row(norm_row *w, int64_t i)
{
    const ss_norm *p = w->norm;
    const real    *x = ss_cpu_row(&p->x, 0, i, sizeof(real)), *bias = p->bias.data;
    double         n = (double)w->n, mean = 0, sum, squares;
    if (p->centered) {
        SS_AT_LEVEL(w->level, row_moments)(w->n, x, 0, &sum, &squares);
        mean = sum / n;
    }
    SS_AT_LEVEL(w->level, row_moments)(w->n, x, mean, &sum, &squares);
    w->r = 1 / sqrt(squares / n + p->eps);
    real *saved = ss_cpu_row(&p->saved, 0, i, sizeof(real));
    if (saved) {
        saved[0] = (real)mean;
        saved[1] = (real)w->r;
    }
    if (!p->y.data) return;
    SS_AT_LEVEL(w->level, row_normalise)(w->n, x, mean, w->r, w->z);
    for (int64_t j = 0; j < w->n; j++) {
        double scale = w->gain ? (double)w->gain[j] + w->offset : 1;
        w->v[j] = scale * w->z[j] + (bias ? (double)bias[j] : 0);
    }
    store(w, &p->y, 0, i, w->v, p->accumulate_y);
}

/* z and r from the saved statistics */
static void load_row(norm_row *w, int64_t i)
{
    const real *saved = ss_cpu_row(&w->norm->saved, 0, i, sizeof(real));
    w->r = (double)saved[1];
    SS_AT_LEVEL(w->level, row_normalise)
    (w->n, ss_cpu_row(&w->norm->x, 0, i, sizeof(real)), (double)saved[0], w->r, w->z);
}

static void backward_row(norm_row *w, int64_t i, int64_t lane)
{
    const ss_norm *p = w->norm;
    const real    *y_a = ss_cpu_row(&p->y_a, lane, i, sizeof(real));
    if (w->gain_sum)
        for (int64_t j = 0; j < w->n; j++) w->gain_sum[lane * w->n + j] += (double)y_a[j] * w->z[j];
    if (w->bias_sum)
        for (int64_t j = 0; j < w->n; j++) w->bias_sum[lane * w->n + j] += (double)y_a[j];
    if (!p->x_a.data) return;
    SS_AT_LEVEL(w->level, row_scale)(w->n, w->gain, w->offset, y_a, w->g);
    project(w, w->g, w->v);
    store(w, &p->x_a, lane, i, w->v, p->accumulate_x);
}

/* z_t = r (x_t - <x_t> - z c), c = <z x_t>; 0 without x_t. Returns c. */
static double tangent_of_z(norm_row *w, int64_t i, int64_t lane)
{
    const real *x_t = ss_cpu_row(&w->norm->x_t, lane, i, sizeof(real));
    if (!x_t) {
        memset(w->z_t, 0, (size_t)w->n * sizeof(double));
        return 0;
    }
    for (int64_t j = 0; j < w->n; j++) w->u[j] = (double)x_t[j];
    return project(w, w->u, w->z_t);
}

/* y_t = gain z_t + gain_t z + bias_t */
static void tangent_forward_row(norm_row *w, int64_t i, int64_t lane)
{
    const ss_norm *p = w->norm;
    const real    *gain_t = ss_cpu_row(&p->gain_t, lane, 0, sizeof(real));
    const real    *bias_t = ss_cpu_row(&p->bias_t, lane, 0, sizeof(real));
    tangent_of_z(w, i, lane);
    for (int64_t j = 0; j < w->n; j++) {
        double scale = w->gain ? (double)w->gain[j] + w->offset : 1;
        w->v[j] =
            scale * w->z_t[j] + (gain_t ? (double)gain_t[j] * w->z[j] : 0) + (bias_t ? (double)bias_t[j] : 0);
    }
    store(w, &p->y_t, lane, i, w->v, p->accumulate_y);
}

/* x_at = -r c x_a + r (g_t - <g_t> - z_t <z g> - z (<z_t g> + <z g_t>)) with g = gain y_a,
 * g_t = gain_t y_a + gain y_at; gain_at = sum y_at z + y_a z_t; bias_at = sum y_at. */
static void tangent_backward_row(norm_row *w, int64_t i, int64_t lane)
{
    const ss_norm *p = w->norm;
    const real    *y_a = ss_cpu_row(&p->y_a, lane, i, sizeof(real));
    const real    *y_at = ss_cpu_row(&p->y_at, lane, i, sizeof(real));
    const real    *gain_t = ss_cpu_row(&p->gain_t, lane, 0, sizeof(real));
    double         c = tangent_of_z(w, i, lane), zg = 0, ztg = 0, zgt, mean;
    if (w->gain_sum)
        for (int64_t j = 0; j < w->n; j++)
            w->gain_sum[lane * w->n + j] +=
                (y_at ? (double)y_at[j] * w->z[j] : 0) + (y_a ? (double)y_a[j] * w->z_t[j] : 0);
    if (w->bias_sum && y_at)
        for (int64_t j = 0; j < w->n; j++) w->bias_sum[lane * w->n + j] += (double)y_at[j];
    if (!p->x_at.data) return;

    for (int64_t j = 0; j < w->n; j++) {
        double scale = w->gain ? (double)w->gain[j] + w->offset : 1, a = y_a ? (double)y_a[j] : 0;
        w->g[j] = scale * a;
        w->g_t[j] = (gain_t ? (double)gain_t[j] * a : 0) + (y_at ? scale * (double)y_at[j] : 0);
    }
    zg = project(w, w->g, w->u); /* u: x_a */
    means(w, w->z_t, w->g, &mean, &ztg);
    means(w, w->g_t, w->z, &mean, &zgt);
    for (int64_t j = 0; j < w->n; j++)
        w->v[j] = w->r * (w->g_t[j] - mean - w->z_t[j] * zg - w->z[j] * (ztg + zgt)) - w->r * c * w->u[j];
    store(w, &p->x_at, lane, i, w->v, p->accumulate_x);
}

static void run_row(norm_row *w, int64_t i)
{
    const ss_norm *p = w->norm;
    if (p->sweep == SS_FORWARD) {
        forward_row(w, i);
        return;
    }
    load_row(w, i);
    for (int64_t lane = 0; lane < p->lanes; lane++)
        if (p->sweep == SS_BACKWARD)
            backward_row(w, i, lane);
        else if (p->sweep == SS_TANGENT_FORWARD)
            tangent_forward_row(w, i, lane);
        else
            tangent_backward_row(w, i, lane);
}

/* out[lane] (+)= sum over blocks of share[block, lane] */
static void add_shares(const ss_matrix *out, bool accumulate, int64_t lanes, int64_t n, int64_t blocks,
                       const double *share)
{
    for (int64_t lane = 0; lane < lanes && out->data; lane++) {
        real *to = ss_cpu_row(out, lane, 0, sizeof(real));
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t block = 0; block < blocks; block++) sum += share[(block * lanes + lane) * n + j];
            to[j] = (real)(accumulate ? (double)to[j] + sum : sum);
        }
    }
}

ss_status SS_REAL(ss_cpu_norm)(ss_backend *b, ss_queue *q, const ss_norm *p)
{
    (void)q;
    ss_status        status = SS_OK;
    bool             second = p->sweep == SS_TANGENT_BACKWARD;
    const ss_matrix *gain_out = second ? &p->gain_at : &p->gain_a,
                    *bias_out = second ? &p->bias_at : &p->bias_a;
    bool    sums = second || p->sweep == SS_BACKWARD;
    int64_t rows = p->x.rows, n = p->x.cols, lanes = p->sweep == SS_FORWARD ? 1 : p->lanes;
    int64_t per_block = ss_max64(MIN_ROWS, ss_cpu_blocks(rows, MAX_BLOCKS));
    int64_t blocks = ss_cpu_blocks(rows, per_block);
    int64_t shares = sums && (gain_out->data || bias_out->data) ? blocks * lanes * n : 0;
    int     threads = ss_cpu_threads(b, rows * n * lanes * 4);
    double *scratch = NULL; /* [2, blocks, lanes, n] shares, [threads, ROW_BUFFERS, n] rows */
    if (!p->x.data || (!p->saved.data && p->sweep != SS_FORWARD) ||
        (p->sweep == SS_BACKWARD && !p->y_a.data) || p->sweep > SS_TANGENT_BACKWARD)
        SS_FAIL(b->context, SS_ERROR_INTERNAL, "norm: sweep %d lacks an operand", (int)p->sweep);
    SS_TRY(ss_cpu_scratch(b, 2 * shares + threads * ROW_BUFFERS * n, &scratch));
    if (shares) memset(scratch, 0, (size_t)(2 * shares) * sizeof(double));

#pragma omp parallel for schedule(static) num_threads(threads)
    for (int part = 0; part < threads; part++) {
        double  *buffer = scratch + 2 * shares + part * ROW_BUFFERS * n;
        norm_row w = { .norm = p, .level = ss_cpu(b)->level, .n = n };
        w.gain = p->gain.data;
        w.offset = p->gain_offset;
        w.z = buffer, w.g = buffer + n, w.z_t = buffer + 2 * n, w.g_t = buffer + 3 * n;
        w.u = buffer + 4 * n, w.v = buffer + 5 * n;
        for (int64_t block = part * blocks / threads; block < (part + 1) * blocks / threads; block++) {
            w.gain_sum = sums && gain_out->data ? scratch + block * lanes * n : NULL;
            w.bias_sum = sums && bias_out->data ? scratch + shares + block * lanes * n : NULL;
            for (int64_t i = block * per_block; i < ss_min64(rows, (block + 1) * per_block); i++)
                run_row(&w, i);
        }
    }
    if (shares) {
        add_shares(gain_out, p->accumulate_gain, lanes, n, blocks, scratch);
        add_shares(bias_out, p->accumulate_bias, lanes, n, blocks, scratch + shares);
    }
fail:
    return status;
}
