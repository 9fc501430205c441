/* LayerNorm and RMSNorm: the four sweeps of reference 4, float64 inside a row. Notation there: z = (x - mean)
 * r, g = gain y_a, <.> the mean over a row.
 *
 * One block of threads per row, all lanes; the row stays in the caches between its passes, so that each
 * tensor comes from memory once. The gradients of gain and bias are column sums over rows: a block that has a
 * run of rows adds them up beside its work, each thread its own columns in shared memory, and the blocks'
 * shares are added in order. Only where these sums are too long for shared memory they are a second pass
 * (columns.cuh); what that needs of z_t besides x_t, two numbers per row and lane, the row kernel leaves for
 * it. */
#include "columns.cuh"
#include "reduce.cuh"

#define SUMS       5    /* most that a pass adds up */
#define TOTALS     5120 /* column sums that shared memory holds */
#define MAX_SHARES 128  /* blocks with a run of rows */
#define MIN_ROWS   4    /* of a run */

/* A row at work. */
template <typename real> struct norm_row {
    const real       *x, *gain; /* [cols]; gain NULL = 1 */
    double            mean, r, offset;
    int64_t           n;
    bool              centered;
    double           *shared; /* [SUMS * SS_BLOCK_WARPS] */
    __device__ double z(int64_t j) const { return ((double)x[j] - mean) * r; }
    __device__ double scale(int64_t j) const { return gain ? (double)gain[j] + offset : 1; }
    /* The mean of a centred norm, 0 otherwise. */
    __device__ double center(double sum) const { return centered ? sum / (double)n : 0; }
};

template <typename real>
static __device__ norm_row<real> open_row(const ss_norm &p, int64_t i, double *shared)
{
    norm_row<real> w = { ss_cuda_row<real>(p.x, 0, i),
                         static_cast<const real *>(p.gain.data),
                         0,
                         0,
                         p.gain_offset,
                         p.x.cols,
                         p.centered,
                         shared };
    return w;
}

/* ... with mean and r as saved */
template <typename real>
static __device__ norm_row<real> load_row(const ss_norm &p, int64_t i, double *shared)
{
    norm_row<real> w = open_row<real>(p, i, shared);
    const real    *saved = ss_cuda_row<real>(p.saved, 0, i);
    w.mean = (double)saved[0];
    w.r = (double)saved[1];
    return w;
}

template <typename real> static __device__ void put(real *out, double value, bool accumulate)
{
    *out = (real)(accumulate ? (double)*out + value : value);
}

/* The column sums of a block, in shared memory: thread-private columns, no barrier. */
struct column_totals {
    double         *share;             /* device [terms, blocks, lanes, cols]; NULL = no sums here */
    int64_t         rows;              /* of a block's run */
    int             gain, bias, terms; /* place of each among the terms; -1 = not wanted */
    __device__ void clear(double *total, int64_t lanes, int64_t n) const
    {
        for (int64_t k = 0; share && k < terms * lanes; k++)
            for (int64_t j = threadIdx.x; j < n; j += blockDim.x) total[k * n + j] = 0;
    }
    __device__ void add(double *total, int64_t lanes, int64_t lane, int64_t n, int64_t j, double of_gain,
                        double of_bias) const
    {
        if (gain >= 0) total[(gain * lanes + lane) * n + j] += of_gain;
        if (bias >= 0) total[(bias * lanes + lane) * n + j] += of_bias;
    }
    __device__ void keep(const double *total, int64_t lanes, int64_t n) const
    {
        for (int64_t k = 0; share && k < terms * lanes; k++) {
            const int64_t term = k / lanes, lane = k % lanes;
            double       *to = share + ((term * gridDim.x + blockIdx.x) * lanes + lane) * n;
            for (int64_t j = threadIdx.x; j < n; j += blockDim.x) to[j] = total[k * n + j];
        }
    }
    /* Rows of this block: a run, or every so many. */
    __device__ int64_t first() const { return share ? blockIdx.x * rows : blockIdx.x; }
    __device__ int64_t step() const { return share ? 1 : gridDim.x; }
    __device__ int64_t end(int64_t all) const
    {
        return share && (blockIdx.x + 1) * rows < all ? (blockIdx.x + 1) * rows : all;
    }
};

template <typename real> static __global__ void __launch_bounds__(256) norm_forward(const ss_norm p)
{
    SS_SHARED(double, shared, SUMS *SS_BLOCK_WARPS);
    const real *bias = static_cast<const real *>(p.bias.data);
    for (int64_t i = blockIdx.x; i < p.x.rows; i += gridDim.x) {
        norm_row<real> w = open_row<real>(p, i, shared);
        double         sum = 0, squares = 0;
        if (p.centered) {
            for (int64_t j = threadIdx.x; j < w.n; j += blockDim.x) sum += (double)w.x[j];
            w.mean = ss_block_sum_of(sum, shared) / (double)w.n;
        }
        for (int64_t j = threadIdx.x; j < w.n; j += blockDim.x) {
            double d = (double)w.x[j] - w.mean;
            squares += d * d;
        }
        w.r = 1 / sqrt(ss_block_sum_of(squares, shared) / (double)w.n + p.eps);
        real *saved = ss_cuda_row<real>(p.saved, 0, i), *y = ss_cuda_row<real>(p.y, 0, i);
        if (saved && threadIdx.x == 0) {
            saved[0] = (real)w.mean;
            saved[1] = (real)w.r;
        }
        for (int64_t j = threadIdx.x; y && j < w.n; j += blockDim.x)
            put(y + j, w.scale(j) * w.z(j) + (bias ? (double)bias[j] : 0), p.accumulate_y);
    }
}

/* x_a (+)= r (g - <g> - z <z g>) */
template <typename real>
static __global__ void __launch_bounds__(256) norm_backward(const ss_norm p, const column_totals sums)
{
    SS_SHARED(double, shared, SUMS *SS_BLOCK_WARPS);
    SS_DYNAMIC_SHARED(double, total);
    sums.clear(total, p.lanes, p.x.cols);
    for (int64_t i = sums.first(); i < sums.end(p.x.rows); i += sums.step()) {
        const norm_row<real> w = load_row<real>(p, i, shared);
        for (int64_t lane = 0; lane < p.lanes; lane++) {
            const real *y_a = ss_cuda_row<real>(p.y_a, lane, i);
            real       *x_a = ss_cuda_row<real>(p.x_a, lane, i);
            double      sum[2] = { 0, 0 };
            for (int64_t j = threadIdx.x; x_a && j < w.n; j += blockDim.x) {
                double g = w.scale(j) * (double)y_a[j];
                sum[0] += g;
                sum[1] += g * w.z(j);
            }
            if (x_a) ss_block_sum(sum, shared);
            const double mean = w.center(sum[0]), product = sum[1] / (double)w.n;
            for (int64_t j = threadIdx.x; j < w.n; j += blockDim.x) {
                double z = w.z(j), a = (double)y_a[j];
                if (x_a) put(x_a + j, w.r * (w.scale(j) * a - mean - z * product), p.accumulate_x);
                if (sums.share) sums.add(total, p.lanes, lane, w.n, j, a * z, a);
            }
        }
    }
    sums.keep(total, p.lanes, p.x.cols);
}

/* z_t = r (x_t - mean - z c) with mean = <x_t>, c = <z x_t>; 0 without x_t */
template <typename real> struct tangent_of_z {
    const real       *x_t; /* NULL = 0 */
    double            mean, c;
    __device__ double at(const norm_row<real> &w, int64_t j) const
    {
        return x_t ? w.r * ((double)x_t[j] - mean - w.z(j) * c) : 0;
    }
};

template <typename real>
static __device__ tangent_of_z<real> open_tangent(const norm_row<real> &w, const real *x_t)
{
    tangent_of_z<real> t = { x_t, 0, 0 };
    double             sum[2] = { 0, 0 };
    if (!x_t) return t;
    for (int64_t j = threadIdx.x; j < w.n; j += blockDim.x) {
        sum[0] += (double)x_t[j];
        sum[1] += (double)x_t[j] * w.z(j);
    }
    ss_block_sum(sum, w.shared);
    t.mean = w.center(sum[0]);
    t.c = sum[1] / (double)w.n;
    return t;
}

/* y_t (+)= gain z_t + gain_t z + bias_t */
template <typename real> static __global__ void __launch_bounds__(256) norm_tangent_forward(const ss_norm p)
{
    SS_SHARED(double, shared, SUMS *SS_BLOCK_WARPS);
    for (int64_t i = blockIdx.x; i < p.x.rows; i += gridDim.x) {
        const norm_row<real> w = load_row<real>(p, i, shared);
        for (int64_t lane = 0; lane < p.lanes; lane++) {
            const real              *gain_t = ss_cuda_row<real>(p.gain_t, lane, 0);
            const real              *bias_t = ss_cuda_row<real>(p.bias_t, lane, 0);
            real                    *y_t = ss_cuda_row<real>(p.y_t, lane, i);
            const tangent_of_z<real> t = open_tangent<real>(w, ss_cuda_row<real>(p.x_t, lane, i));
            for (int64_t j = threadIdx.x; j < w.n; j += blockDim.x) {
                double value = w.scale(j) * t.at(w, j) + (gain_t ? (double)gain_t[j] * w.z(j) : 0) +
                               (bias_t ? (double)bias_t[j] : 0);
                put(y_t + j, value, p.accumulate_y);
            }
        }
    }
}

/* x_at (+)= r (g_t - <g_t> - z_t <z g> - z (<z_t g> + <z g_t>)) - r c x_a with x_a = r (g - <g> - z <z g>),
 * g_t = gain_t y_a + gain y_at. moments[lane, row] = mean, c of z_t, for the column sums. */
template <typename real>
static __global__ void __launch_bounds__(256)
    norm_tangent_backward(const ss_norm p, double *moments, const column_totals sums)
{
    SS_SHARED(double, shared, SUMS *SS_BLOCK_WARPS);
    SS_DYNAMIC_SHARED(double, total);
    sums.clear(total, p.lanes, p.x.cols);
    for (int64_t i = sums.first(); i < sums.end(p.x.rows); i += sums.step()) {
        const norm_row<real> w = load_row<real>(p, i, shared);
        for (int64_t lane = 0; lane < p.lanes; lane++) {
            const real              *y_a = ss_cuda_row<real>(p.y_a, lane, i);
            const real              *y_at = ss_cuda_row<real>(p.y_at, lane, i);
            const real              *gain_t = ss_cuda_row<real>(p.gain_t, lane, 0);
            real                    *x_at = ss_cuda_row<real>(p.x_at, lane, i);
            const tangent_of_z<real> t = open_tangent<real>(w, ss_cuda_row<real>(p.x_t, lane, i));
            if (moments && threadIdx.x == 0) {
                moments[2 * (lane * p.x.rows + i)] = t.mean;
                moments[2 * (lane * p.x.rows + i) + 1] = t.c;
            }
            if (!x_at && !sums.share) continue;
            double sum[SUMS] = {}; /* g, z g, z_t g, g_t, z g_t */
            for (int64_t j = threadIdx.x; x_at && j < w.n; j += blockDim.x) {
                double z = w.z(j), a = y_a ? (double)y_a[j] : 0, g = w.scale(j) * a;
                double g_t = (gain_t ? (double)gain_t[j] * a : 0) + (y_at ? w.scale(j) * (double)y_at[j] : 0);
                sum[0] += g;
                sum[1] += z * g;
                sum[2] += t.at(w, j) * g;
                sum[3] += g_t;
                sum[4] += z * g_t;
            }
            if (x_at) ss_block_sum(sum, shared);
            const double n = (double)w.n, mean_g = w.center(sum[0]), zg = sum[1] / n;
            const double mean_t = w.center(sum[3]), both = sum[2] / n + sum[4] / n;
            for (int64_t j = threadIdx.x; j < w.n; j += blockDim.x) {
                double z = w.z(j), z_t = t.at(w, j), a = y_a ? (double)y_a[j] : 0, g = w.scale(j) * a;
                double a_t = y_at ? (double)y_at[j] : 0;
                double g_t = (gain_t ? (double)gain_t[j] * a : 0) + w.scale(j) * a_t;
                double x_a = w.r * (g - mean_g - z * zg);
                if (x_at)
                    put(x_at + j, w.r * (g_t - mean_t - z_t * zg - z * both) - w.r * t.c * x_a,
                        p.accumulate_x);
                if (sums.share) sums.add(total, p.lanes, lane, w.n, j, a_t * z + a * z_t, a_t);
            }
        }
    }
    sums.keep(total, p.lanes, p.x.cols);
}

/* Terms of the gradients of gain and bias: y_a z, y_a; their tangents: y_at z + y_a z_t, y_at */
template <typename real> struct gain_and_bias {
    static const int terms = 2;
    ss_norm          p;
    const double    *moments; /* [lanes, rows, 2] of the tangent sweep; NULL = backward */
    __device__ void  operator()(int64_t lane, int64_t i, int64_t j, double *sum) const
    {
        const norm_row<real> w = load_row<real>(p, i, nullptr);
        const real          *y_a = ss_cuda_row<real>(p.y_a, lane, i);
        if (!moments) {
            sum[0] += (double)y_a[j] * w.z(j);
            sum[1] += (double)y_a[j];
            return;
        }
        const real              *y_at = ss_cuda_row<real>(p.y_at, lane, i);
        const double            *moment = moments + 2 * (lane * p.x.rows + i);
        const tangent_of_z<real> t = { ss_cuda_row<real>(p.x_t, lane, i), moment[0], moment[1] };
        sum[0] += (y_at ? (double)y_at[j] * w.z(j) : 0) + (y_a ? (double)y_a[j] * t.at(w, j) : 0);
        sum[1] += y_at ? (double)y_at[j] : 0;
    }
};

/* The row kernel of a sweep. */
template <typename real>
static ss_status run_rows(ss_queue *q, const ss_norm *p, double *moments, const column_totals &sums)
{
    const int64_t  rows = p->x.rows;
    const unsigned threads = ss_row_threads(p->x.cols);
    const unsigned blocks = sums.share ? (unsigned)ss_cuda_blocks(rows, sums.rows) : ss_row_blocks(rows);
    const size_t   bytes = sums.share ? 8 * (size_t)(sums.terms * p->lanes * p->x.cols) : 0;
    ss_context    *context = q->device->context;
    switch (p->sweep) {
    case SS_FORWARD:
        SS_CUDA_LAUNCH(context, (norm_forward<real>), blocks, threads, 0, q->stream, *p);
        return SS_OK;
    case SS_BACKWARD:
        if (p->x_a.data || sums.share)
            SS_CUDA_LAUNCH(context, (norm_backward<real>), blocks, threads, bytes, q->stream, *p, sums);
        return SS_OK;
    case SS_TANGENT_FORWARD:
        SS_CUDA_LAUNCH(context, (norm_tangent_forward<real>), blocks, threads, 0, q->stream, *p);
        return SS_OK;
    default:
        SS_CUDA_LAUNCH(context, (norm_tangent_backward<real>), blocks, threads, bytes, q->stream, *p, moments,
                       sums);
        return SS_OK;
    }
}

/* Rows and column sums in one pass. */
template <typename real>
static ss_status run_summed(ss_queue *q, const ss_norm *p, const ss_matrix *const *out,
                            const bool *accumulate, column_totals sums)
{
    const int64_t rows = p->x.rows, each = p->lanes * p->x.cols;
    void         *share = nullptr;
    sums.rows = ss_max64(MIN_ROWS, ss_cuda_blocks(rows, MAX_SHARES));
    const int64_t blocks = ss_cuda_blocks(rows, sums.rows);
    SS_RETURN(ss_cuda_scratch(q, 8 * ss_max64(1, sums.terms * blocks * each), &share));
    sums.share = static_cast<double *>(share);
    if (rows) SS_RETURN(run_rows<real>(q, p, nullptr, sums));
    const int place[] = { sums.gain, sums.bias };
    for (int k = 0; k < 2; k++)
        if (place[k] >= 0)
            SS_RETURN(ss_cuda_add_shares<real>(q, sums.share + place[k] * blocks * each, blocks, p->lanes,
                                               p->x.cols, out[k], accumulate[k]));
    return SS_OK;
}

template <typename real> ss_status ss_cuda_norm(ss_backend *b, ss_queue *q, const ss_norm *p)
{
    const bool       second = p->sweep == SS_TANGENT_BACKWARD;
    const ss_matrix *out[] = { second ? &p->gain_at : &p->gain_a, second ? &p->bias_at : &p->bias_a };
    const bool       accumulate[] = { p->accumulate_gain, p->accumulate_bias };
    const bool       sums = (second || p->sweep == SS_BACKWARD) && (out[0]->data || out[1]->data);
    const int64_t    rows = p->x.rows, cols = p->x.cols;
    column_totals    totals = { nullptr, 0, -1, -1, 0 };
    void            *scratch = nullptr;
    if (!p->x.data || (!p->saved.data && p->sweep != SS_FORWARD) ||
        (p->sweep == SS_BACKWARD && !p->y_a.data) || p->sweep > SS_TANGENT_BACKWARD)
        return ss_fail(b->context, SS_ERROR_INTERNAL, "norm: sweep %d lacks an operand", (int)p->sweep);
    SS_RETURN(ss_cuda_enter(b, &q));
    if (cols == 0) return SS_OK;
    if (!sums) return rows ? run_rows<real>(q, p, nullptr, totals) : SS_OK;
    if (out[0]->data) totals.gain = totals.terms++;
    if (out[1]->data) totals.bias = totals.terms++;
    if (totals.terms * p->lanes * cols <= TOTALS) return run_summed<real>(q, p, out, accumulate, totals);

    const int64_t n_moments = second ? 2 * p->lanes * rows : 0;
    SS_RETURN(ss_cuda_scratch(q, 8 * (n_moments + ss_column_scratch(2, p->lanes, rows, cols)), &scratch));
    double *moments = n_moments ? static_cast<double *>(scratch) : nullptr;
    totals.gain = totals.bias = -1;
    if (rows) SS_RETURN(run_rows<real>(q, p, moments, totals));
    const gain_and_bias<real> f = { *p, moments };
    return ss_cuda_column_sums<real>(q, p->lanes, rows, cols, f, static_cast<double *>(scratch) + n_moments,
                                     out, accumulate);
}
SS_CUDA_INSTANTIATE(norm)
