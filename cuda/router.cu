/* The router of a mixture of experts (formulas: ops/router.c). Rows are short and few: one thread per row and
 * lane, float64 inside a row. */
#include "map.cuh"

/* A place in descending order: of equal values the lower column goes first. */
struct choice {
    double          value;
    int64_t         col; /* -1 = none */
    __device__ bool before(double other, int64_t other_col) const
    {
        return value > other || (value == other && col < other_col);
    }
};

template <typename real> struct route_row {
    ss_router       p;
    __device__ void put(real *out, double value) const
    {
        *out = (real)(p.accumulate ? (double)*out + value : value);
    }

    static __device__ double dot(int64_t n, const real *x, const real *y)
    {
        double sum = 0;
        for (int64_t j = 0; j < n; j++) sum += (double)x[j] * (double)y[j];
        return sum;
    }

    /* Softmax over the top_k largest, which are found in descending order. */
    __device__ void choose(const real *x, real *y) const
    {
        choice last = { 0, -1 };
        double largest = 0, sum = 0;
        for (int64_t k = 0; k < p.top_k; k++) {
            choice best = { 0, -1 };
            for (int64_t j = 0; j < p.y.cols; j++) {
                const double value = (double)x[j];
                if ((k == 0 || last.before(value, j)) && (best.col < 0 || value > best.value))
                    best = { value, j };
            }
            if (best.col < 0) break; /* the rest is not a number */
            if (k == 0) largest = best.value;
            sum += exp(best.value - largest);
            last = best;
        }
        for (int64_t j = 0; j < p.y.cols; j++) {
            const double value = (double)x[j];
            put(y + j, last.before(value, j) ? 0 : exp(value - largest) / sum);
        }
    }

    /* out (+)= y o (a - y . a) */
    __device__ void project(const real *y, const real *a, real *out) const
    {
        const int64_t n = p.y.cols;
        const double  mean = dot(n, y, a);
        for (int64_t j = 0; j < n; j++) put(out + j, (double)y[j] * ((double)a[j] - mean));
    }

    /* out (+)= y o (y_at - y . y_at) + y_t o (y_a - y . y_a) - y (y_t . y_a),  y_t = y o (x_t - y . x_t);
     * terms of absent operands are zero */
    __device__ void bend(const real *y, const real *x_t, const real *y_a, const real *y_at, real *out) const
    {
        const int64_t n = p.y.cols;
        const bool    moves = x_t && y_a;
        const double  mean_at = y_at ? dot(n, y, y_at) : 0;
        const double  mean_t = moves ? dot(n, y, x_t) : 0, mean_a = moves ? dot(n, y, y_a) : 0;
        double        mixed = 0;
        for (int64_t j = 0; moves && j < n; j++)
            mixed += (double)y[j] * ((double)x_t[j] - mean_t) * (double)y_a[j];
        for (int64_t j = 0; j < n; j++) {
            const double own = (double)y[j];
            double       value = y_at ? own * ((double)y_at[j] - mean_at) : 0;
            if (moves) value += own * (((double)x_t[j] - mean_t) * ((double)y_a[j] - mean_a) - mixed);
            put(out + j, value);
        }
    }

    __device__ void operator()(int64_t lane, int64_t, int64_t row) const
    {
        const real *y = ss_cuda_row<real>(p.y, 0, row), *y_a = ss_cuda_row<real>(p.y_a, lane, row);
        const real *x_t = ss_cuda_row<real>(p.x_t, lane, row), *y_at = ss_cuda_row<real>(p.y_at, lane, row);
        switch (p.sweep) {
        case SS_FORWARD: choose(ss_cuda_row<real>(p.x, 0, row), ss_cuda_row<real>(p.y, 0, row)); return;
        case SS_BACKWARD: project(y, y_a, ss_cuda_row<real>(p.x_a, lane, row)); return;
        case SS_TANGENT_FORWARD: project(y, x_t, ss_cuda_row<real>(p.y_t, lane, row)); return;
        default: bend(y, x_t, y_a, y_at, ss_cuda_row<real>(p.x_at, lane, row));
        }
    }
};

template <typename real> ss_status ss_cuda_router(ss_backend *b, ss_queue *q, const ss_router *p)
{
    if (p->sweep == SS_FORWARD && (p->top_k < 1 || p->top_k > p->y.cols))
        return ss_fail(b->context, SS_ERROR_INTERNAL, "router: %lld of %lld columns", (long long)p->top_k,
                       (long long)p->y.cols);
    SS_RETURN(ss_cuda_enter(b, &q));
    const route_row<real> f = { *p };
    return ss_cuda_map(q, p->lanes, 1, p->y.rows, f);
}
SS_CUDA_INSTANTIATE(router)
