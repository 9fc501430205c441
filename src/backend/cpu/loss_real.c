/* Losses on the CPU: mse, cross-entropy, binary cross-entropy with logits, and all their sweeps.
 *
 * A row is a sample or token. Everything inside a row is float64, in both real types: the cost is one
 * exponential per element, and the row losses are sums whose differences matter later.
 *
 * Cross-entropy of a row: l = sum_j a_j (-log p_j) with a_j = q_j class_weight_j, A = sum_j a_j, hence
 * dl/dx = A p - a and H x_t = A p o (x_t - p . x_t). Both sum to zero over the classes; the largest element
 * is formed as minus the sum of the others, so that nothing cancels at a fitted sample (reference 4). */
#include "backend/cpu/cpu.h"
#include "backend/cpu/real.h"
#include "base/philox.h"

#define SS_KERNEL_FILE "backend/cpu/loss_kernels.h"
#include "backend/cpu/levels.h"

/* One row at work. */
typedef struct row {
    const ss_loss *loss;
    ss_cpu_level   level;
    int64_t        i, n;  /* row, columns */
    const real    *x, *t; /* [n]; t NULL with class ids */
    double *g, *h;  /* [n] gradient dl/dx; curvature: diagonal (mse, bce) or probabilities (cross-entropy) */
    double  weight; /* row_weight */
    double  total;  /* cross-entropy: A */
    int64_t top;    /* curvature of cross-entropy: the most probable class */
    bool    bad_id; /* a class id was outside [0, n) */
} row;

/* ---- Cross-entropy ---- */

/* q_j class_weight_j */
static double target_weight(const row *r, int64_t j)
{
    const ss_loss *p = r->loss;
    double         q = p->class_id ? (double)(j == p->class_id[r->i]) : (double)r->t[j];
    q = (1 - p->smoothing) * q + p->smoothing / (double)r->n;
    return p->class_weight ? q * p->class_weight[j] : q;
}

/* Are all a_j zero except that of the class id? */
static bool one_hot(const row *r)
{
    return r->loss->class_id && r->loss->smoothing == 0;
}

static double total_weight(const row *r)
{
    if (one_hot(r)) return target_weight(r, r->loss->class_id[r->i]);
    double sum = 0;
    for (int64_t j = 0; j < r->n; j++) sum += target_weight(r, j);
    return sum;
}

/* l = A log(sum_j e^(x_j - c)) - sum_j a_j (x_j - c), c the largest logit; saves c and the logarithm. */
static double entropy_value(const row *r)
{
    const ss_loss *p = r->loss;
    double         c;
    int64_t        top = SS_AT_LEVEL(r->level, find_largest)(r->n, r->x, &c);
    /* without the term 1 of the largest logit: log1p keeps what the others add to it */
    double others = SS_AT_LEVEL(r->level, exp_sum)(top, r->x, c) +
                    SS_AT_LEVEL(r->level, exp_sum)(r->n - top - 1, r->x + top + 1, c);
    double logarithm = log1p(others), sum = 0;
    if (p->saved.data) {
        real *saved = ss_cpu_row(&p->saved, 0, r->i, sizeof(real));
        saved[0] = (real)c;
        saved[1] = (real)logarithm;
    }
    if (r->weight == 0) return 0;
    if (one_hot(r)) {
        int64_t target = p->class_id[r->i];
        return target_weight(r, target) * (logarithm + (c - (double)r->x[target]));
    }
    for (int64_t j = 0; j < r->n; j++) {
        double a = target_weight(r, j);
        if (a != 0) sum += a * (logarithm + (c - (double)r->x[j]));
    }
    return sum;
}

/* h := probabilities */
static void entropy_probabilities(row *r)
{
    const real *saved = ss_cpu_row(&r->loss->saved, 0, r->i, sizeof(real));
    double      shift;
    if (saved) {
        shift = (double)saved[0] + (double)saved[1];
    } else {
        double c;
        (void)SS_AT_LEVEL(r->level, find_largest)(r->n, r->x, &c);
        shift = c + log(SS_AT_LEVEL(r->level, exp_sum)(r->n, r->x, c));
    }
    SS_AT_LEVEL(r->level, exp_row)(r->n, r->x, shift, r->h);
}

/* g := A p - a */
static void entropy_gradient(row *r)
{
    int64_t target = r->loss->class_id ? r->loss->class_id[r->i] : 0;
    double  largest = -1, sum = 0;
    if (one_hot(r)) {
        sum = SS_AT_LEVEL(r->level, scale_and_sum)(target, r->total, r->h, r->g) +
              SS_AT_LEVEL(r->level, scale_and_sum)(r->n - target - 1, r->total, r->h + target + 1,
                                                   r->g + target + 1);
        r->g[target] = -sum;
        return;
    }
    for (int64_t j = 0; j < r->n; j++) {
        double a = target_weight(r, j);
        r->g[j] = r->total * r->h[j] - a;
        if (!r->loss->class_id && a > largest) {
            largest = a;
            target = j;
        }
    }
    for (int64_t j = 0; j < r->n; j++) sum += j == target ? 0 : r->g[j];
    r->g[target] = -sum;
}

/* out (+)= w A p o (x_t - s); differences to the most probable class, whose own entry would cancel */
static void entropy_curvature(const row *r, const real *x_t, real *out)
{
    double base = (double)x_t[r->top], s = SS_AT_LEVEL(r->level, weighted_sum)(r->n, r->h, x_t, base);
    SS_AT_LEVEL(r->level, write_weighted)
    (r->n, r->weight * r->total, r->h, x_t, base, s, r->loss->accumulate, out);
}

/* ---- All losses ---- */

static double row_value(const row *r)
{
    double sum = 0;
    switch (r->loss->kind) {
    case SS_LOSS_MSE:
        for (int64_t j = 0; j < r->n; j++) {
            double e = (double)r->x[j] - (double)r->t[j];
            sum += e * e;
        }
        return sum;
    case SS_LOSS_CROSS_ENTROPY: return entropy_value(r);
    default: return SS_AT_LEVEL(r->level, bce_value)(r->n, r->x, r->t);
    }
}

/* g (and, for cross-entropy, h) from the logits */
static void row_gradient(row *r)
{
    switch (r->loss->kind) {
    case SS_LOSS_MSE:
        for (int64_t j = 0; j < r->n; j++) r->g[j] = 2 * ((double)r->x[j] - (double)r->t[j]);
        break;
    case SS_LOSS_CROSS_ENTROPY:
        entropy_probabilities(r);
        entropy_gradient(r);
        break;
    default: SS_AT_LEVEL(r->level, bce_slope)(r->n, r->x, r->t, r->g);
    }
}

static void row_curvature(row *r)
{
    switch (r->loss->kind) {
    case SS_LOSS_MSE:
        for (int64_t j = 0; j < r->n; j++) r->h[j] = 2;
        break;
    case SS_LOSS_CROSS_ENTROPY:
        entropy_probabilities(r);
        r->top = SS_AT_LEVEL(r->level, most_probable)(r->n, r->h);
        break;
    default: SS_AT_LEVEL(r->level, bce_curvature)(r->n, r->x, r->h);
    }
}

static void write_row(const row *r, double factor, const double *value, real *out)
{
    SS_AT_LEVEL(r->level, write_scaled)(r->n, factor, value, r->loss->accumulate, out);
}

static double row_dot(const row *r, const real *x_t)
{
    return SS_AT_LEVEL(r->level, weighted_sum)(r->n, r->g, x_t, 0);
}

/* x_at (+)= w h o x_t */
static void diagonal_curvature(const row *r, const real *x_t, real *out)
{
    SS_AT_LEVEL(r->level, write_weighted)(r->n, r->weight, r->h, x_t, 0, 0, r->loss->accumulate, out);
}

/* Empirical Fisher: x_at (+)= w g (g . x_t), per target */
static void fisher_curvature(const row *r, const real *x_t, real *out)
{
    if (r->loss->kind == SS_LOSS_CROSS_ENTROPY) {
        double c = r->total;
        write_row(r, c > 0 ? r->weight / c * row_dot(r, x_t) : 0, r->g, out);
        return;
    }
    for (int64_t j = 0; j < r->n; j++) {
        double v = r->weight * r->g[j] * r->g[j] * (double)x_t[j];
        out[j] = (real)(r->loss->accumulate ? (double)out[j] + v : v);
    }
}

static void clear_row(const row *r, const ss_matrix *out, int64_t lanes)
{
    for (int64_t lane = 0; lane < lanes && !r->loss->accumulate; lane++)
        memset(ss_cpu_row(out, lane, r->i, sizeof(real)), 0, (size_t)r->n * sizeof(real));
}

static void second_order(row *r)
{
    const ss_loss *p = r->loss;
    bool           fisher = p->sweep == SS_CURVATURE && p->fisher;
    if (r->weight == 0) {
        clear_row(r, &p->x_at, p->lanes);
        return;
    }
    if (fisher)
        row_gradient(r);
    else
        row_curvature(r);
    for (int64_t lane = 0; lane < p->lanes; lane++) {
        const real *x_t = ss_cpu_row(&p->x_t, lane, r->i, sizeof(real));
        real       *out = ss_cpu_row(&p->x_at, lane, r->i, sizeof(real));
        if (fisher)
            fisher_curvature(r, x_t, out);
        else if (p->kind == SS_LOSS_CROSS_ENTROPY)
            entropy_curvature(r, x_t, out);
        else
            diagonal_curvature(r, x_t, out);
    }
}

static void run_row(row *r)
{
    const ss_loss *p = r->loss;
    int64_t        rows = p->x.rows;
    r->x = ss_cpu_row(&p->x, 0, r->i, sizeof(real));
    r->t = p->class_id ? NULL : ss_cpu_row(&p->target, 0, r->i, sizeof(real));
    r->weight = p->row_weight ? p->row_weight[r->i] : 0;
    if (r->weight != 0 && p->class_id && (p->class_id[r->i] < 0 || p->class_id[r->i] >= r->n)) {
        r->bad_id = true;
        return;
    }
    r->total = r->weight != 0 && p->kind == SS_LOSS_CROSS_ENTROPY ? total_weight(r) : 0;
    switch (p->sweep) {
    case SS_FORWARD:
        if (!p->row_loss) { /* the row statistics alone, for the later sweeps */
            r->weight = 0;
            if (p->kind == SS_LOSS_CROSS_ENTROPY) (void)entropy_value(r);
            break;
        }
        p->row_loss[r->i] = r->weight == 0 && p->kind != SS_LOSS_CROSS_ENTROPY ? 0 : r->weight * row_value(r);
        if (r->weight == 0) p->row_loss[r->i] = 0;
        break;
    case SS_BACKWARD:
        if (r->weight == 0) {
            clear_row(r, &p->x_a, 1);
        } else {
            row_gradient(r);
            write_row(r, r->weight, r->g, ss_cpu_row(&p->x_a, 0, r->i, sizeof(real)));
        }
        break;
    case SS_TANGENT_FORWARD:
        if (r->weight != 0) row_gradient(r);
        for (int64_t lane = 0; lane < p->lanes; lane++)
            p->row_loss[lane * rows + r->i] =
                r->weight == 0 ? 0 : r->weight * row_dot(r, ss_cpu_row(&p->x_t, lane, r->i, sizeof(real)));
        break;
    default: second_order(r);
    }
}

/* What each sweep cannot do without: the statistics alone need the logits alone, the curvature of mse and bce
 * no targets, that of mse not even the predictions. */
static bool has_operands(const ss_loss *p)
{
    bool statistics = p->sweep == SS_FORWARD && !p->row_loss;
    bool second = p->sweep == SS_TANGENT_BACKWARD || (p->sweep == SS_CURVATURE && !p->fisher);
    bool classes = p->kind == SS_LOSS_CROSS_ENTROPY;
    if (p->class_id && !classes) return false;
    if (!p->x.data && !(second && p->kind == SS_LOSS_MSE)) return false;
    if (statistics) return true;
    return p->row_weight && (p->class_id || p->target.data || (second && !classes));
}

ss_status SS_REAL(ss_cpu_loss)(ss_backend *b, ss_queue *q, const ss_loss *p)
{
    (void)q;
    ss_status status = SS_OK;
    int64_t   rows = p->x.rows, cols = p->x.cols;
    int       threads = ss_cpu_threads(b, rows * cols * 8); /* an element costs about eight additions */
    double   *scratch = NULL;                               /* [threads, 2, cols] */
    bool      bad_id = false;
    if (!has_operands(p))
        SS_FAIL(b->context, SS_ERROR_INTERNAL, "loss: operands missing or not of this loss");
    SS_TRY(ss_cpu_scratch(b, threads * 2 * cols, &scratch));

#pragma omp parallel for schedule(static) num_threads(threads) reduction(|| : bad_id)
    for (int part = 0; part < threads; part++) {
        row r = { .loss = p, .level = ss_cpu(b)->level, .n = cols };
        r.g = scratch + part * 2 * cols;
        r.h = r.g + cols;
        for (r.i = part * rows / threads; r.i < (part + 1) * rows / threads; r.i++) run_row(&r);
        bad_id = bad_id || r.bad_id;
    }
    if (bad_id)
        SS_FAIL(b->context, SS_ERROR_INTERNAL, "loss: a class id lies outside its %lld classes",
                (long long)cols);
fail:
    return status;
}

/* Inversion of the cumulative distribution: first class whose cumulated probability exceeds u. */
static int64_t draw_class(const row *r, double u)
{
    double sum = 0, c = 0;
    for (int64_t j = 0; j < r->n; j++) sum += r->h[j];
    for (int64_t j = 0; j < r->n; j++) {
        c += r->h[j];
        if (u * sum < c) return j;
    }
    int64_t last = r->n - 1;
    while (last > 0 && r->h[last] == 0) last--;
    return last;
}

ss_status SS_REAL(ss_cpu_sample_targets)(ss_backend *b, ss_queue *q, ss_loss_kind kind, const ss_matrix *x,
                                         uint64_t seed, int64_t first_target, int64_t *class_id,
                                         const ss_matrix *target)
{
    (void)q;
    ss_status status = SS_OK;
    int64_t   rows = x->rows, cols = x->cols;
    int       threads = ss_cpu_threads(b, rows * cols * 8);
    double   *scratch = NULL; /* [threads, cols] */
    SS_TRY(ss_cpu_scratch(b, threads * cols, &scratch));
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int part = 0; part < threads; part++) {
        ss_loss none = { .kind = kind };
        row     r = { .loss = &none, .level = ss_cpu(b)->level, .n = cols, .h = scratch + part * cols };
        for (r.i = part * rows / threads; r.i < (part + 1) * rows / threads; r.i++) {
            r.x = ss_cpu_row(x, 0, r.i, sizeof(real));
            uint64_t number = (uint64_t)(first_target + r.i);
            if (kind == SS_LOSS_CROSS_ENTROPY) {
                entropy_probabilities(&r);
                class_id[r.i] = draw_class(&r, ss_random_uniform(seed, SS_STREAM_LABELS, number));
                continue;
            }
            real *t = ss_cpu_row(target, 0, r.i, sizeof(real));
            for (int64_t j = 0; j < cols; j++) {
                uint64_t index = number * (uint64_t)cols + (uint64_t)j;
                double   z = (double)r.x[j];
                if (kind == SS_LOSS_MSE)
                    t[j] = (real)(z + sqrt(0.5) * ss_random_normal(seed, SS_STREAM_LABELS, index));
                else
                    t[j] = ss_random_uniform(seed, SS_STREAM_LABELS, index) < 1 / (1 + exp(-z)) ? 1 : 0;
            }
        }
    }
fail:
    return status;
}
