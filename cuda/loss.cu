/* Losses: mse, cross-entropy, binary cross-entropy with logits, and all their sweeps; float64 inside a row,
 * in both real types. One block of threads per row.
 *
 * Cross-entropy of a row: l = sum_j a_j (-log p_j) with a_j = q_j class_weight_j, A = sum_j a_j, hence
 * dl/dx = A p - a and H x_t = A p o (x_t - p . x_t). Both sum to zero over the classes; the element of the
 * target is formed as minus the sum of the others, so that nothing cancels at a fitted sample (reference 4).
 */
#include "reduce.cuh"

#include "base/philox.h"

/* One row at work; every thread of the block holds the same. */
template <typename real> struct loss_row {
    const ss_loss *p;
    const real    *x, *t;         /* [n]; t NULL with class ids */
    int64_t        i, n;          /* row, columns */
    int64_t        id;            /* class id, -1 without ids or weight */
    double         weight, total; /* row_weight; cross-entropy: A */
    double         shift;         /* cross-entropy: p_j = exp(x_j - shift) */
    int64_t        target;        /* cross-entropy: where g is minus the sum of the others */
    double         target_slope;  /* cross-entropy: that element of g */
    double        *shared;        /* [SS_BLOCK_SUM] */
    int64_t       *shared_index;  /* [SS_BLOCK_WARPS] */

    /* Are all a_j zero except that of the class id? */
    __device__ bool one_hot() const { return p->class_id && p->smoothing == 0; }
    /* a_j = q_j class_weight_j */
    __device__ double target_weight(int64_t j) const
    {
        double q = p->class_id ? (double)(j == id) : (double)t[j];
        q = (1 - p->smoothing) * q + p->smoothing / (double)n;
        return p->class_weight ? q * p->class_weight[j] : q;
    }
    __device__ double probability(int64_t j) const { return exp((double)x[j] - shift); }
    __device__ double sum(double value) const { return ss_block_sum_of(value, shared); }
};

/* Largest of value(j) over the row and its first index. */
template <typename real, typename F>
static __device__ double largest_of(const loss_row<real> &r, int64_t *index, F value)
{
    double  largest = -(double)INFINITY;
    int64_t at = r.n;
    for (int64_t j = threadIdx.x; j < r.n; j += blockDim.x) {
        double v = value(j);
        if (at == r.n || v > largest) {
            largest = v;
            at = j;
        }
    }
    ss_block_largest(&largest, &at, r.shared, r.shared_index);
    *index = at;
    return largest;
}

/* ---- Cross-entropy ---- */

/* A; needs the class id to be good. */
template <typename real> static __device__ double total_weight(const loss_row<real> &r)
{
    double sum = 0;
    if (r.one_hot()) return r.target_weight(r.id);
    for (int64_t j = threadIdx.x; j < r.n; j += blockDim.x) sum += r.target_weight(j);
    return r.sum(sum);
}

/* l = A log(sum_j e^(x_j - c)) - sum_j a_j (x_j - c), c the largest logit; saves c and the logarithm. */
template <typename real> static __device__ double entropy_value(const loss_row<real> &r)
{
    int64_t top = 0;
    double  c = largest_of(r, &top, [&](int64_t j) { return (double)r.x[j]; });
    double  others = 0, sum = 0;
    /* without the term 1 of the largest logit: log1p keeps what the others add to it */
    for (int64_t j = threadIdx.x; j < r.n; j += blockDim.x) others += j == top ? 0 : exp((double)r.x[j] - c);
    double logarithm = log1p(r.sum(others));
    real  *saved = ss_cuda_row<real>(r.p->saved, 0, r.i);
    if (saved && threadIdx.x == 0) {
        saved[0] = (real)c;
        saved[1] = (real)logarithm;
    }
    if (r.weight == 0) return 0;
    if (r.one_hot()) return r.target_weight(r.id) * (logarithm + (c - (double)r.x[r.id]));
    for (int64_t j = threadIdx.x; j < r.n; j += blockDim.x) {
        double a = r.target_weight(j);
        if (a != 0) sum += a * (logarithm + (c - (double)r.x[j]));
    }
    return r.sum(sum);
}

/* Makes probability() ready. */
template <typename real> static __device__ void open_probabilities(loss_row<real> &r)
{
    const real *saved = ss_cuda_row<real>(r.p->saved, 0, r.i);
    if (saved) {
        r.shift = (double)saved[0] + (double)saved[1];
        return;
    }
    int64_t top = 0;
    double  c = largest_of(r, &top, [&](int64_t j) { return (double)r.x[j]; }), sum = 0;
    for (int64_t j = threadIdx.x; j < r.n; j += blockDim.x) sum += exp((double)r.x[j] - c);
    r.shift = c + log(r.sum(sum));
}

/* ---- All losses ---- */

/* bce_with_logits: l = max(x, 0) - x t + log(1 + e^-|x|); for t = 1 and z > 0 (or t = 0 and z < 0) only the
 * logarithm remains: no cancellation */
static __device__ __forceinline__ double bce_value(double z, double t)
{
    return (z > 0 ? z * (1 - t) : -z * t) + log1p(exp(-fabs(z)));
}

/* (1 - t) s(z) - t s(-z) */
static __device__ __forceinline__ double bce_slope(double z, double t)
{
    double e = exp(-fabs(z)), d = 1 / (1 + e);
    return (1 - t) * (z < 0 ? e * d : d) - t * (z < 0 ? d : e * d);
}

/* s(z) s(-z) */
static __device__ __forceinline__ double bce_curvature(double z)
{
    double e = exp(-fabs(z)), d = 1 / (1 + e);
    return e * d * d;
}

template <typename real> static __device__ double row_value(const loss_row<real> &r)
{
    double sum = 0;
    if (r.p->kind == SS_LOSS_CROSS_ENTROPY) return entropy_value(r);
    for (int64_t j = threadIdx.x; j < r.n; j += blockDim.x) {
        double x = (double)r.x[j], t = (double)r.t[j];
        sum += r.p->kind == SS_LOSS_MSE ? (x - t) * (x - t) : bce_value(x, t);
    }
    return r.sum(sum);
}

/* dl/dx_j, after open_gradient */
template <typename real> static __device__ double slope(const loss_row<real> &r, int64_t j)
{
    if (r.p->kind == SS_LOSS_MSE) return 2 * ((double)r.x[j] - (double)r.t[j]);
    if (r.p->kind == SS_LOSS_BCE_WITH_LOGITS) return bce_slope((double)r.x[j], (double)r.t[j]);
    if (j == r.target) return r.target_slope;
    double g = r.total * r.probability(j);
    return r.one_hot() ? g : g - r.target_weight(j);
}

/* Makes slope() ready. */
template <typename real> static __device__ void open_gradient(loss_row<real> &r)
{
    double sum = 0;
    if (r.p->kind != SS_LOSS_CROSS_ENTROPY) return;
    open_probabilities(r);
    if (r.p->class_id)
        r.target = r.id;
    else
        (void)largest_of(r, &r.target, [&](int64_t j) { return r.target_weight(j); });
    for (int64_t j = threadIdx.x; j < r.n; j += blockDim.x) sum += j == r.target ? 0 : slope(r, j);
    r.target_slope = -r.sum(sum);
}

template <typename real> static __device__ void put(const loss_row<real> &r, real *out, double value)
{
    *out = (real)(r.p->accumulate ? (double)*out + value : value);
}

template <typename real> static __device__ double slope_dot(const loss_row<real> &r, const real *x_t)
{
    double sum = 0;
    for (int64_t j = threadIdx.x; j < r.n; j += blockDim.x) sum += slope(r, j) * (double)x_t[j];
    return r.sum(sum);
}

/* A row without weight contributes nothing. */
template <typename real>
static __device__ void clear_row(const loss_row<real> &r, const ss_matrix &out, int64_t lanes)
{
    for (int64_t lane = 0; lane < lanes && !r.p->accumulate; lane++)
        for (int64_t j = threadIdx.x; j < r.n; j += blockDim.x) ss_cuda_row<real>(out, lane, r.i)[j] = 0;
}

/* out (+)= w A p o (x_t - s); differences to the most probable class, whose own entry would cancel */
template <typename real>
static __device__ void entropy_curvature(const loss_row<real> &r, int64_t top, const real *x_t, real *out)
{
    double s = 0, factor = r.weight * r.total, base = (double)x_t[top];
    for (int64_t j = threadIdx.x; j < r.n; j += blockDim.x) s += r.probability(j) * ((double)x_t[j] - base);
    s = r.sum(s);
    for (int64_t j = threadIdx.x; j < r.n; j += blockDim.x)
        put(r, out + j, factor * r.probability(j) * (((double)x_t[j] - base) - s));
}

/* Empirical Fisher: x_at (+)= w g (g . x_t), per target */
template <typename real>
static __device__ void fisher_curvature(const loss_row<real> &r, const real *x_t, real *out)
{
    if (r.p->kind == SS_LOSS_CROSS_ENTROPY) {
        double dot = slope_dot(r, x_t), factor = r.total > 0 ? r.weight / r.total * dot : 0;
        for (int64_t j = threadIdx.x; j < r.n; j += blockDim.x) put(r, out + j, factor * slope(r, j));
        return;
    }
    for (int64_t j = threadIdx.x; j < r.n; j += blockDim.x) {
        double g = slope(r, j);
        put(r, out + j, r.weight * g * g * (double)x_t[j]);
    }
}

template <typename real> static __device__ void second_order(loss_row<real> &r)
{
    const ss_loss *p = r.p;
    const bool     fisher = p->sweep == SS_CURVATURE && p->fisher, classes = p->kind == SS_LOSS_CROSS_ENTROPY;
    int64_t        top = 0;
    if (r.weight == 0) {
        clear_row(r, p->x_at, p->lanes);
        return;
    }
    if (fisher)
        open_gradient(r);
    else if (classes) {
        open_probabilities(r);
        (void)largest_of(r, &top, [&](int64_t j) { return (double)r.x[j]; }); /* of the most probable class */
    }
    for (int64_t lane = 0; lane < p->lanes; lane++) {
        const real *x_t = ss_cuda_row<real>(p->x_t, lane, r.i);
        real       *out = ss_cuda_row<real>(p->x_at, lane, r.i);
        if (fisher) {
            fisher_curvature(r, x_t, out);
        } else if (classes) {
            entropy_curvature(r, top, x_t, out);
        } else {
            for (int64_t j = threadIdx.x; j < r.n; j += blockDim.x) {
                double h = p->kind == SS_LOSS_MSE ? 2 : bce_curvature((double)r.x[j]);
                put(r, out + j, r.weight * h * (double)x_t[j]);
            }
        }
    }
}

template <typename real> static __device__ void forward(const loss_row<real> &r)
{
    const ss_loss *p = r.p;
    const bool     classes = p->kind == SS_LOSS_CROSS_ENTROPY;
    /* the row statistics are wanted of rows without weight too */
    double value = r.weight != 0 || classes ? row_value(r) : 0;
    if (p->row_loss && threadIdx.x == 0) p->row_loss[r.i] = r.weight != 0 ? r.weight * value : 0;
}

template <typename real> static __device__ void run_row(loss_row<real> &r)
{
    const ss_loss *p = r.p;
    switch (p->sweep) {
    case SS_FORWARD: forward(r); break;
    case SS_BACKWARD:
        if (r.weight == 0) {
            clear_row(r, p->x_a, 1);
        } else {
            real *x_a = ss_cuda_row<real>(p->x_a, 0, r.i);
            open_gradient(r);
            for (int64_t j = threadIdx.x; j < r.n; j += blockDim.x) put(r, x_a + j, r.weight * slope(r, j));
        }
        break;
    case SS_TANGENT_FORWARD:
        if (r.weight != 0) open_gradient(r);
        for (int64_t lane = 0; lane < p->lanes; lane++) {
            double dot = r.weight != 0 ? slope_dot(r, ss_cuda_row<real>(p->x_t, lane, r.i)) : 0;
            if (threadIdx.x == 0) p->row_loss[lane * p->x.rows + r.i] = r.weight != 0 ? r.weight * dot : 0;
        }
        break;
    default: second_order(r);
    }
}

template <typename real>
static __global__ void __launch_bounds__(256, 3) loss_rows(const ss_loss p, bool statistics, int32_t *fault)
{
    SS_SHARED(double, shared, SS_BLOCK_SUM);
    SS_SHARED(int64_t, shared_index, SS_BLOCK_WARPS);
    for (int64_t i = blockIdx.x; i < p.x.rows; i += gridDim.x) {
        loss_row<real> r = {};
        r.p = &p;
        r.i = i;
        r.n = p.x.cols;
        r.x = ss_cuda_row<real>(p.x, 0, i);
        r.t = p.class_id ? nullptr : ss_cuda_row<real>(p.target, 0, i);
        r.shared = shared;
        r.shared_index = shared_index;
        r.weight = p.row_weight && !statistics ? p.row_weight[i] : 0;
        r.id = p.class_id && r.weight != 0 ? p.class_id[i] : -1;
        if (p.class_id && r.weight != 0 && (r.id < 0 || r.id >= r.n)) {
            if (threadIdx.x == 0) *fault = 1; /* the queue's next synchronisation reports it */
            continue;
        }
        if (r.weight != 0 && p.kind == SS_LOSS_CROSS_ENTROPY) r.total = total_weight(r);
        run_row(r);
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

template <typename real> ss_status ss_cuda_loss(ss_backend *b, ss_queue *q, const ss_loss *p)
{
    const bool statistics = p->sweep == SS_FORWARD && !p->row_loss;
    if (!has_operands(p))
        return ss_fail(b->context, SS_ERROR_INTERNAL, "loss: operands missing or not of this loss");
    SS_RETURN(ss_cuda_enter(b, &q));
    if (p->x.rows == 0 || p->x.cols == 0) return SS_OK;
    if (statistics && p->kind != SS_LOSS_CROSS_ENTROPY) return SS_OK; /* they have none */
    SS_CUDA_LAUNCH(b->context, (loss_rows<real>), ss_row_blocks(p->x.rows), ss_row_threads(p->x.cols), 0,
                   q->stream, *p, statistics, q->fault);
    return SS_OK;
}
SS_CUDA_INSTANTIATE(loss)

/* ---- Monte-Carlo targets ---- */

struct draw {
    ss_loss_kind kind;
    ss_matrix    x, target;
    int64_t     *class_id; /* [rows] */
    uint64_t     seed;
    int64_t      first; /* number of row 0 */
};

/* Inversion of the cumulative distribution: first class whose cumulated probability exceeds u. One thread a
 * row: the sum runs in the order of the classes. */
template <typename real> static __device__ int64_t draw_class(const real *x, int64_t n, double u)
{
    double largest = -(double)INFINITY, sum = 0, c = 0;
    for (int64_t j = 0; j < n; j++) largest = (double)x[j] > largest ? (double)x[j] : largest;
    for (int64_t j = 0; j < n; j++) sum += exp((double)x[j] - largest);
    for (int64_t j = 0; j < n; j++) {
        c += exp((double)x[j] - largest);
        if (u * sum < c) return j;
    }
    int64_t last = n - 1;
    while (last > 0 && exp((double)x[last] - largest) == 0) last--;
    return last;
}

template <typename real> static __global__ void __launch_bounds__(64) draw_rows(const draw d)
{
    const int64_t cols = d.x.cols, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < d.x.rows; i += step) {
        const real    *x = ss_cuda_row<real>(d.x, 0, i);
        const uint64_t number = (uint64_t)(d.first + i);
        if (d.kind == SS_LOSS_CROSS_ENTROPY) {
            d.class_id[i] = draw_class(x, cols, ss_random_uniform(d.seed, SS_STREAM_LABELS, number));
            continue;
        }
        real *t = ss_cuda_row<real>(d.target, 0, i);
        for (int64_t j = 0; j < cols; j++) {
            const uint64_t index = number * (uint64_t)cols + (uint64_t)j;
            const double   z = (double)x[j];
            if (d.kind == SS_LOSS_MSE)
                t[j] = (real)(z + sqrt(0.5) * ss_random_normal(d.seed, SS_STREAM_LABELS, index));
            else
                t[j] = ss_random_uniform(d.seed, SS_STREAM_LABELS, index) < 1 / (1 + exp(-z)) ? 1 : 0;
        }
    }
}

template <typename real>
ss_status ss_cuda_sample_targets(ss_backend *b, ss_queue *q, ss_loss_kind kind, const ss_matrix *x,
                                 uint64_t seed, int64_t first_target, int64_t *class_id,
                                 const ss_matrix *target)
{
    draw d = { kind, *x, {}, class_id, seed, first_target };
    if (target) d.target = *target;
    SS_RETURN(ss_cuda_enter(b, &q));
    if (x->rows == 0 || x->cols == 0) return SS_OK;
    const unsigned threads = 64;
    SS_CUDA_LAUNCH(b->context, (draw_rows<real>), ss_row_blocks(ss_cuda_blocks(x->rows, threads)), threads, 0,
                   q->stream, d);
    return SS_OK;
}
SS_CUDA_INSTANTIATE(sample_targets)
