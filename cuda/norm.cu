/* LayerNorm and RMSNorm: the four sweeps of reference 4, float64 inside a row. Notation there: z = (x - mean)
 * r, g = gain y_a, <.> the mean over a row.
 *
 * A row belongs to one block of threads, or to one warp of a block if it is short; all lanes are done while
 * it is there. Every sweep goes over it twice, once for all sums and once for the results (forward needs the
 * mean first). In between a thread holds its pack of the row in registers; rows that are longer than one pack
 * a thread, and strided ones, are read again from the first cache, which has 64 KB for each block's row. So
 * every tensor comes from memory once.
 *
 * The gradients of gain and bias are column sums over rows. A block has a run of rows; each thread adds up
 * the columns that it handles anyway, in shared memory or, if these are too many, in the block's share of
 * the scratch, which is touched by this block alone and stays in the second cache. The blocks' shares are
 * added in order by a second kernel. So there is one pass over the tensors, whatever their width.
 *
 * What a block should be given. The second-order sweep of float32 moves 20 bytes an element and costs some 30
 * float64 operations and 13 conversions; at 16 conversions, 64 operations and 15 bytes a clock, a
 * multiprocessor of an H100 takes 0.8 clocks for the former and 1.3 for the latter. Memory decides, if enough
 * of it is on its way: a thread asks for 64 bytes (4 operands) at a time, and two blocks of 256 threads with
 * 128 registers each have 32 KB. Runs: a share costs a column 16 bytes to write and read, in the second
 * cache, for one of 20 bytes and more per row, in memory. Hence at least 8 rows a run, 4 while the device
 * would not be filled otherwise, and at most MOST_SHARES runs, fewer where the shares would leave the second
 * cache. All this depends on shapes alone, as the order of the sums must. None of it has been measured on a
 * device. */
#include "columns.cuh"
#include "norm.cuh"

#define MOST_THREADS 256 /* of a row in registers */
#define LOOP_THREADS                                                                                         \
    224 /* of one that is read again: two blocks with 144 registers each fit a multiprocessor */
#define SUMS          7          /* most that a pass adds up */
#define PLAIN_SHARED  (47 << 10) /* bytes that every launch may have beside its static ones ... */
#define MOST_SHARED   (96 << 10) /* ... and that every device gives a kernel which asks for it */
#define FILL          264        /* runs that occupy a device: two for each of 132 multiprocessors */
#define LEAST_SHARES  132
#define MOST_SHARES   1056
#define SHARE_DOUBLES (4 << 20) /* of all shares together: what the second cache holds beside the tensors */
#define LEAST_ROWS    4         /* of a run */
#define USUAL_ROWS    8         /* of a run once the device is filled */

/* ---- The sweeps ---- */

static constexpr int most_threads(int held)
{
    return held ? MOST_THREADS : LOOP_THREADS;
}

template <typename real, int N, int E>
static __global__ void __launch_bounds__(most_threads(E), 2) norm_forward(const ss_norm p, const double share)
{
    SS_SHARED(double, shared, SS_BLOCK_SUM);
    const int64_t n = p.x.cols;
    for (int64_t i = totals::turn(); i < p.x.rows; i += (int64_t)gridDim.x * blockDim.y) {
        const operand<real, N, E> x(ss_cuda_row<real>(p.x, 0, i), n);
        double                    sum[1] = { 0 }, squares[1] = { 0 }, mean = 0;
        if (p.centered) {
            each_pack<N, E>(n, [&](int e, int64_t j) {
                const ss_pack<real, N> part = x.at(e, j);
                for (int v = 0; v < N; v++) sum[0] += (double)part[v];
            });
            row_sum(sum, shared);
            mean = sum[0] * share;
        }
        each_pack<N, E>(n, [&](int e, int64_t j) {
            const ss_pack<real, N> part = x.at(e, j);
            for (int v = 0; v < N; v++) {
                const double d = (double)part[v] - mean;
                squares[0] += d * d;
            }
        });
        row_sum(squares, shared);
        const double     r = 1 / sqrt(squares[0] * share + p.eps);
        const statistics w = { r, -r * mean, share, p.centered };
        real            *saved = ss_cuda_row<real>(p.saved, 0, i), *y = ss_cuda_row<real>(p.y, 0, i);
        if (saved && threadIdx.x == 0) {
            saved[0] = (real)mean;
            saved[1] = (real)r;
        }
        if (!y) continue;
        each_pack<N, E>(n, [&](int e, int64_t j) {
            const ss_pack<real, N>   part = x.at(e, j);
            const ss_pack<double, N> scale = scale_at<real, N>(p, j);
            ss_pack<double, N> out = parameters_at<real, N>(static_cast<const real *>(p.bias.data), j, 0, 0);
            for (int v = 0; v < N; v++) out[v] += scale[v] * w.z((double)part[v]);
            put<real, N>(y + j, out, p.accumulate_y);
        });
    }
}

/* x_a (+)= r (g - <g> - z <z g>) */
template <typename real, int N, int E>
static __global__ void __launch_bounds__(most_threads(E), 2)
    norm_backward(const ss_norm p, const totals t, const double share)
{
    SS_SHARED(double, shared, 2 * SS_BLOCK_SUM);
    SS_DYNAMIC_SHARED(double, total);
    const int64_t n = p.x.cols;
    t.clear(total);
    for (int64_t i = t.first(); i < t.end(p.x.rows); i += t.step()) {
        const operand<real, N, E> x(ss_cuda_row<real>(p.x, 0, i), n);
        const statistics          w = load_statistics<real>(p, i, share);
        for (int64_t lane = 0; lane < p.lanes; lane++) {
            const operand<real, N, E> y_a(ss_cuda_row<real>(p.y_a, lane, i), n);
            real                     *x_a = ss_cuda_row<real>(p.x_a, lane, i);
            double                    sum[2] = {}; /* g, z g */
            if (x_a) {
                each_pack<N, E>(n, [&](int e, int64_t j) {
                    const ss_pack<real, N>   part = x.at(e, j), a = y_a.at(e, j);
                    const ss_pack<double, N> scale = scale_at<real, N>(p, j);
                    for (int v = 0; v < N; v++) {
                        const double g = scale[v] * (double)a[v];
                        sum[0] += g;
                        sum[1] += g * w.z((double)part[v]);
                    }
                });
                row_sum(sum, shared);
            }
            const double mean = w.center(sum[0]), product = sum[1] * share;
            double      *gain_sum = t.sums(t.gain, lane, total), *bias_sum = t.sums(t.bias, lane, total);
            each_pack<N, E>(n, [&](int e, int64_t j) {
                const ss_pack<real, N>   part = x.at(e, j), y = y_a.at(e, j);
                const ss_pack<double, N> scale = scale_at<real, N>(p, j);
                ss_pack<double, N>       out;
                for (int v = 0; v < N; v++) {
                    const double  z = w.z((double)part[v]), a = (double)y[v];
                    const int64_t slot = slot_of<N>(e, v);
                    out[v] = w.r * (scale[v] * a - mean - z * product);
                    if (gain_sum) gain_sum[slot] += a * z;
                    if (bias_sum) bias_sum[slot] += a;
                }
                if (x_a) put<real, N>(x_a + j, out, p.accumulate_x);
            });
        }
    }
    t.close(total);
}

/* z_t = r (x_t - <x_t> - z <z x_t>) = r x_t - bend z - mean with bend = r <z x_t>, mean = r <x_t>; 0 without
 * x_t */
struct tangent_of_z {
    double     mean, bend;
    __device__ tangent_of_z(const statistics &w, double x_t, double z_x_t)
        : mean(w.r * w.center(x_t)), bend(w.r * (z_x_t * w.share))
    {
    }
    __device__ double at(const statistics &w, double z, double x_t) const
    {
        return w.r * x_t - mean - bend * z;
    }
};

/* y_t (+)= gain z_t + gain_t z + bias_t */
template <typename real, int N, int E>
static __global__ void __launch_bounds__(most_threads(E), 2)
    norm_tangent_forward(const ss_norm p, const double share)
{
    SS_SHARED(double, shared, 2 * SS_BLOCK_SUM);
    const int64_t n = p.x.cols;
    for (int64_t i = totals::turn(); i < p.x.rows; i += (int64_t)gridDim.x * blockDim.y) {
        const operand<real, N, E> x(ss_cuda_row<real>(p.x, 0, i), n);
        const statistics          w = load_statistics<real>(p, i, share);
        for (int64_t lane = 0; lane < p.lanes; lane++) {
            const operand<real, N, E> x_t(ss_cuda_row<real>(p.x_t, lane, i), n);
            const real               *gain_t = ss_cuda_row<real>(p.gain_t, lane, 0),
                       *bias_t = ss_cuda_row<real>(p.bias_t, lane, 0);
            real  *y_t = ss_cuda_row<real>(p.y_t, lane, i);
            double sum[2] = {}; /* x_t, z x_t */
            if (p.x_t.data) {
                each_pack<N, E>(n, [&](int e, int64_t j) {
                    const ss_pack<real, N> part = x.at(e, j), d = x_t.at(e, j);
                    for (int v = 0; v < N; v++) {
                        sum[0] += (double)d[v];
                        sum[1] += (double)d[v] * w.z((double)part[v]);
                    }
                });
                row_sum(sum, shared);
            }
            const tangent_of_z t(w, sum[0], sum[1]);
            each_pack<N, E>(n, [&](int e, int64_t j) {
                const ss_pack<real, N>   part = x.at(e, j), d = x_t.at(e, j);
                const ss_pack<double, N> scale = scale_at<real, N>(p, j);
                const ss_pack<double, N> scale_t = parameters_at<real, N>(gain_t, j, 0, 0);
                ss_pack<double, N>       out = parameters_at<real, N>(bias_t, j, 0, 0);
                for (int v = 0; v < N; v++) {
                    const double z = w.z((double)part[v]);
                    out[v] += scale[v] * t.at(w, z, (double)d[v]) + scale_t[v] * z;
                }
                put<real, N>(y_t + j, out, p.accumulate_y);
            });
        }
    }
}

/* x_at (+)= r (g_t - <g_t> - z_t <z g> - z (<z_t g> + <z g_t>)) - bend x_a with x_a = r (g - <g> - z <z g>),
 * g_t = gain_t y_a + gain y_at; in powers of z, z_t, g and g_t
 *         = r (g_t - bend g - z_t <z g> - z (<z_t g> + <z g_t> - bend <z g>) - (<g_t> - bend <g>)).
 * All means come from one pass, because <z_t g> = r <x_t g> - bend <z g> - mean <g>. */
template <typename real, int N, int E>
static __global__ void __launch_bounds__(most_threads(E), 2)
    norm_tangent_backward(const ss_norm p, const totals t, const double share)
{
    SS_SHARED(double, shared, SUMS *SS_BLOCK_SUM);
    SS_DYNAMIC_SHARED(double, total);
    const int64_t n = p.x.cols;
    t.clear(total);
    for (int64_t i = t.first(); i < t.end(p.x.rows); i += t.step()) {
        const operand<real, N, E> x(ss_cuda_row<real>(p.x, 0, i), n), y_a(ss_cuda_row<real>(p.y_a, 0, i), n);
        const statistics          w = load_statistics<real>(p, i, share);
        for (int64_t lane = 0; lane < p.lanes; lane++) {
            const operand<real, N, E> x_t(ss_cuda_row<real>(p.x_t, lane, i), n);
            const operand<real, N, E> y_at(ss_cuda_row<real>(p.y_at, lane, i), n);
            const real               *gain_t = ss_cuda_row<real>(p.gain_t, lane, 0);
            real                     *x_at = ss_cuda_row<real>(p.x_at, lane, i);
            double                    sum[SUMS] = {}; /* x_t, z x_t, g, z g, x_t g, g_t, z g_t */
            each_pack<N, E>(n, [&](int e, int64_t j) {
                const ss_pack<real, N> part = x.at(e, j), a = y_a.at(e, j), d = x_t.at(e, j),
                                       a_t = y_at.at(e, j);
                const ss_pack<double, N> scale = scale_at<real, N>(p, j);
                const ss_pack<double, N> scale_t = parameters_at<real, N>(gain_t, j, 0, 0);
                for (int v = 0; v < N; v++) {
                    const double z = w.z((double)part[v]), g = scale[v] * (double)a[v];
                    const double g_t = scale_t[v] * (double)a[v] + scale[v] * (double)a_t[v];
                    sum[0] += (double)d[v];
                    sum[1] += z * (double)d[v];
                    sum[2] += g;
                    sum[3] += z * g;
                    sum[4] += (double)d[v] * g;
                    sum[5] += g_t;
                    sum[6] += z * g_t;
                }
            });
            row_sum(sum, shared);
            const tangent_of_z z_t(w, sum[0], sum[1]);
            const double       zg = sum[3] * share, bend = z_t.bend;
            const double       of_z_t = (w.r * sum[4] - bend * sum[3] - z_t.mean * sum[2]) * share;
            const double       of_z = of_z_t + sum[6] * share - bend * zg;
            const double       constant = w.center(sum[5] - bend * sum[2]);
            double *gain_sum = t.sums(t.gain, lane, total), *bias_sum = t.sums(t.bias, lane, total);
            each_pack<N, E>(n, [&](int e, int64_t j) {
                const ss_pack<real, N> part = x.at(e, j), y = y_a.at(e, j), d = x_t.at(e, j),
                                       y_t = y_at.at(e, j);
                const ss_pack<double, N> scale = scale_at<real, N>(p, j);
                const ss_pack<double, N> scale_t = parameters_at<real, N>(gain_t, j, 0, 0);
                ss_pack<double, N>       out;
                for (int v = 0; v < N; v++) {
                    const double  z = w.z((double)part[v]), s = z_t.at(w, z, (double)d[v]);
                    const double  a = (double)y[v], a_t = (double)y_t[v], g = scale[v] * a;
                    const double  g_t = scale_t[v] * a + scale[v] * a_t;
                    const int64_t slot = slot_of<N>(e, v);
                    out[v] = w.r * (g_t - constant - bend * g - s * zg - z * of_z);
                    if (gain_sum) gain_sum[slot] += a_t * z + a * s;
                    if (bias_sum) bias_sum[slot] += a_t;
                }
                if (x_at) put<real, N>(x_at + j, out, p.accumulate_x);
            });
        }
    }
    t.close(total);
}

/* ---- Launches ---- */

/* How a sweep is cut, by its shape alone. */
struct cut {
    int64_t pack;            /* elements of an access */
    int     held;            /* packs of a thread in registers: 1, or 0 = read again */
    int64_t threads, groups; /* of a row; rows at a time */
    int64_t blocks;
};

template <typename real> static cut cut_rows(const ss_norm *p)
{
    const ss_matrix *operands[] = { &p->x,   &p->y,   &p->gain, &p->bias, &p->x_t,    &p->y_t,
                                    &p->x_a, &p->y_a, &p->x_at, &p->y_at, &p->gain_t, &p->bias_t };
    const int64_t    cols = p->x.cols;
    cut              c = { ss_pack_length<real>, 0, 0, 1, 0 };
    bool             aligned = cols % c.pack == 0;
    for (const ss_matrix *m : operands) aligned = aligned && ss_cuda_aligned<real>(m, p->lanes, false);
    const int64_t packs = aligned ? cols / c.pack : cols;
    if (!aligned) {
        c.pack = 1;
        c.threads = ss_min64(LOOP_THREADS, ss_row_threads(cols));
    } else {
        c.held = packs <= MOST_THREADS ? 1 : 0;
        c.threads = ss_min64(most_threads(c.held), ss_round_up(packs, SS_WARP));
    }
    if (c.threads == SS_WARP) c.groups = most_threads(c.held) / SS_WARP;
    c.blocks = ss_row_blocks(ss_cuda_blocks(p->x.rows, c.groups));
    return c;
}

/* Rows of a run for sums of `doubles` a block. */
static int64_t run_length(int64_t rows, int64_t doubles)
{
    const int64_t most = ss_min64(MOST_SHARES, ss_max64(LEAST_SHARES, SHARE_DOUBLES / doubles));
    const int64_t filling = ss_min64(USUAL_ROWS, ss_cuda_blocks(rows, FILL));
    return ss_max64(ss_max64(LEAST_ROWS, filling), ss_cuda_blocks(rows, most));
}

template <typename real, int N, int E>
static ss_status launch(ss_queue *q, const ss_norm *p, const cut *c, const totals *t, int64_t shared)
{
    ss_context    *context = q->device->context;
    const dim3     block((unsigned)c->threads, (unsigned)c->groups);
    const unsigned blocks = (unsigned)c->blocks;
    const bool     second = p->sweep == SS_TANGENT_BACKWARD;
    const double   share = 1 / (double)p->x.cols; /* of an element in a mean */
    if (p->sweep == SS_FORWARD)
        SS_CUDA_LAUNCH(context, (norm_forward<real, N, E>), blocks, block, 0, q->stream, *p, share);
    if (p->sweep == SS_TANGENT_FORWARD)
        SS_CUDA_LAUNCH(context, (norm_tangent_forward<real, N, E>), blocks, block, 0, q->stream, *p, share);
    if (p->sweep == SS_FORWARD || p->sweep == SS_TANGENT_FORWARD) return SS_OK;
    if (shared > PLAIN_SHARED)
        SS_CUDA(context,
                cudaFuncSetAttribute(second ? norm_tangent_backward<real, N, E> : norm_backward<real, N, E>,
                                     cudaFuncAttributeMaxDynamicSharedMemorySize, MOST_SHARED),
                "norm: %lld bytes of shared memory", (long long)shared);
    if (second)
        SS_CUDA_LAUNCH(context, (norm_tangent_backward<real, N, E>), blocks, block, shared, q->stream, *p, *t,
                       share);
    else
        SS_CUDA_LAUNCH(context, (norm_backward<real, N, E>), blocks, block, shared, q->stream, *p, *t, share);
    return SS_OK;
}

template <typename real>
static ss_status run_rows(ss_queue *q, const ss_norm *p, const cut *c, const totals *t, int64_t shared)
{
    const int N = ss_pack_length<real>;
    if (p->x.rows == 0) return SS_OK;
    if (c->pack == 1) return launch<real, 1, 0>(q, p, c, t, shared);
    return c->held ? launch<real, N, 1>(q, p, c, t, shared) : launch<real, N, 0>(q, p, c, t, shared);
}

/* Rows and column sums in one pass. */
template <typename real>
static ss_status run_summed(ss_queue *q, const ss_norm *p, cut c, const ss_column_outputs<2> &out)
{
    totals  t = { nullptr, 0, p->lanes, 0, -1, -1, 0, false };
    void   *share = nullptr;
    int64_t shared;
    if (out.term[0].y.data) t.gain = t.terms++;
    if (out.term[1].y.data) t.bias = t.terms++;
    t.slots = ss_cuda_blocks(p->x.cols, c.threads * c.pack) * c.threads * c.pack;
    const int64_t doubles = t.terms * t.lanes * t.slots;
    while (c.groups > 1 && c.groups * doubles * 8 > PLAIN_SHARED) c.groups /= 2;
    t.in_shared = c.groups * doubles * 8 <= MOST_SHARED;
    shared = t.in_shared ? c.groups * doubles * 8 : 0;
    t.rows = run_length(p->x.rows, doubles);
    c.blocks = ss_cuda_blocks(p->x.rows, t.rows);
    SS_RETURN(ss_cuda_scratch(q, 8 * ss_max64(1, c.blocks * doubles), &share));
    t.share = static_cast<double *>(share);
    SS_RETURN(run_rows<real>(q, p, &c, &t, shared));
    const slot_order           order = { c.threads, (int)c.pack };
    const ss_column_outputs<2> present = { { t.gain < 0 ? out.term[1] : out.term[0], out.term[1] } };
    return ss_cuda_add_shares<real>(q, t.share, c.blocks, t.lanes, t.slots, t.terms, present, order);
}

template <typename real> ss_status ss_cuda_norm(ss_backend *b, ss_queue *q, const ss_norm *p)
{
    const bool                 second = p->sweep == SS_TANGENT_BACKWARD, first = p->sweep == SS_BACKWARD;
    const ss_column_outputs<2> out = { { { second ? p->gain_at : p->gain_a, p->accumulate_gain },
                                         { second ? p->bias_at : p->bias_a, p->accumulate_bias } } };
    const totals               none = { nullptr, 0, p->lanes, 0, -1, -1, 0, false };
    if (!p->x.data || (!p->saved.data && p->sweep != SS_FORWARD) || (first && !p->y_a.data) ||
        p->sweep > SS_TANGENT_BACKWARD)
        return ss_fail(b->context, SS_ERROR_INTERNAL, "norm: sweep %d lacks an operand", (int)p->sweep);
    SS_RETURN(ss_cuda_enter(b, &q));
    if (p->x.cols == 0) return SS_OK;
    const cut c = cut_rows<real>(p);
    if ((first || second) && (out.term[0].y.data || out.term[1].y.data))
        return run_summed<real>(q, p, c, out);
    if ((first && !p->x_a.data) || (second && !p->x_at.data)) return SS_OK;
    return run_rows<real>(q, p, &c, &none, 0);
}
SS_CUDA_INSTANTIATE(norm)
