/* The row kernels of attention: what happens to a block of scores between the products of attention.cu. The
 * formulas, with their letters, are in backend/attention_functions.h.
 *
 * One block of threads per query of a head, the threads along the keys in quads; a row stays in the caches
 * between its passes, so that each buffer comes from memory once. Sums over a row are float64 in an order
 * that the block's extents decide. A row is complete: D and D_t are sums over it rather than products of o_a,
 * o_at with o, o_t, which belong to other roundings, and so every row of U_a and of U_at adds up to zero.
 *
 * What a query does not see becomes zero in every buffer, as does the padding behind the last key, whatever
 * was there; the products then take the whole rectangle. */
#ifndef SS_CUDA_ATTENTION_ROWS_CUH
#define SS_CUDA_ATTENTION_ROWS_CUH

#include "pack.cuh"
#include "reduce.cuh"

#include <math.h>

template <typename real> struct ss_attention_points;
#define SS_ATTENTION_QUALIFIER static __host__ __device__ __forceinline__
#define SS_ATTENTION(name)     name
#define SS_ATTENTION_REAL      float
#define SS_ATTENTION_EXP(x)    expf(x)
#define SS_ATTENTION_TANH(x)   tanhf(x)
template <> struct ss_attention_points<float> {
#include "backend/attention_functions.h"
};
#undef SS_ATTENTION_REAL
#undef SS_ATTENTION_EXP
#undef SS_ATTENTION_TANH
#define SS_ATTENTION_REAL    double
#define SS_ATTENTION_EXP(x)  exp(x)
#define SS_ATTENTION_TANH(x) tanh(x)
template <> struct ss_attention_points<double> {
#include "backend/attention_functions.h"
};

/* A block of scores, and its buffers: [batch, key_heads, members, rows, ld], a member being one of the query
 * heads that share a key head. */
template <typename real> struct ss_attention_block {
    real   *p, *t, *u_a, *u, *x;             /* see the kernels; NULL = absent and 0 */
    real   *L, *mu;                          /* [batch, heads, tokens], of the whole call; mu of a lane */
    int64_t batch, key_heads, members;       /* extents */
    int64_t batch_0, key_head_0, member_0;   /* first */
    int64_t row_0, rows, key_0, keys, ld;    /* queries, keys; elements between rows, a multiple of 4 */
    int64_t tokens, heads, group, low, high; /* of the call; query i sees key j for low < j - i <= high */
    const int64_t *mask;                     /* [batch, tokens] or NULL */
    real           scale, cap;
    bool           raw;  /* p holds products q k', to become P, and t is to become tanh; false: it is done */
    bool           p_at; /* x holds P_at; false: P_at is 0 */
};

/* A query at work, and its row in the buffers. */
template <typename real> struct ss_attention_row {
    int64_t         offset;     /* of the row in a buffer */
    int64_t         statistic;  /* its element of L and mu */
    int             begin, end; /* keys seen as far as causal mask and window say; count from key_0 */
    const int64_t  *mask;       /* of key_0; NULL = none */
    __device__ bool sees(int key) const { return key >= begin && key < end && (!mask || mask[key] != 0); }
    /* Four keys; zeros where they are not seen, or without a buffer. */
    __device__ ss_pack<real, 4> take(const real *buffer, int key) const
    {
        ss_pack<real, 4> quad = {};
        if (buffer) quad = ss_load<4>(buffer + offset + key);
        for (int i = 0; i < 4; i++)
            if (!sees(key + i)) quad[i] = 0;
        return quad;
    }
    __device__ void put(real *buffer, int key, const ss_pack<real, 4> &quad) const
    {
        if (buffer) ss_store(buffer + offset + key, quad);
    }
};

/* Rows of a block, and keys, are less than 2^31: 64 bits are slow to divide and to compare. */
template <typename real>
static __device__ ss_attention_row<real> ss_attention_find(const ss_attention_block<real> &w, int64_t task)
{
    const unsigned rows = (unsigned)w.rows, members = (unsigned)w.members, key_heads = (unsigned)w.key_heads;
    const unsigned plane = (unsigned)task / rows, member = plane % members, pair = plane / members;
    const int64_t  query = w.row_0 + (unsigned)task % rows, batch = w.batch_0 + pair / key_heads;
    const int64_t  head = (w.key_head_0 + pair % key_heads) * w.group + w.member_0 + member;
    const int64_t  begin = query + w.low + 1 - w.key_0, end = query + w.high + 1 - w.key_0;
    return { task * w.ld, (batch * w.heads + head) * w.tokens + query, (int)(begin > 0 ? begin : 0),
             (int)(end < w.keys ? end : w.keys), w.mask ? w.mask + batch * w.tokens + w.key_0 : nullptr };
}

#define SS_ATTENTION_EACH_ROW(w, task)                                                                       \
    for (int64_t task = blockIdx.x; task < (w).batch * (w).key_heads * (w).members * (w).rows;               \
         task += gridDim.x)
#define SS_ATTENTION_EACH_QUAD(w, key)                                                                       \
    for (int key = 4 * (int)threadIdx.x; key < (int)(w).keys; key += 4 * (int)blockDim.x)

/* ---- FORWARD: p becomes P; writes L ---- */

template <typename real>
static __global__ void __launch_bounds__(256, 2) ss_attention_softmax(const ss_attention_block<real> w)
{
    using points = ss_attention_points<real>;
    SS_SHARED(double, shared, SS_BLOCK_SUM);
    SS_SHARED(int64_t, shared_index, SS_BLOCK_WARPS);
    SS_ATTENTION_EACH_ROW(w, task)
    {
        const ss_attention_row<real> row = ss_attention_find(w, task);
        double                       largest = -(double)INFINITY, sum = 0;
        int64_t                      index = 0;
        SS_ATTENTION_EACH_QUAD(w, key)
        {
            ss_pack<real, 4> s = row.take(w.p, key);
            for (int i = 0; i < 4; i++) {
                s[i] *= w.scale;
                if (w.cap > 0) s[i] = w.cap * points::attention_squash(s[i], w.cap);
                if (row.sees(key + i)) ss_take_larger(&largest, &index, (double)s[i], 0);
            }
            row.put(w.p, key, s);
        }
        ss_block_largest(&largest, &index, shared, shared_index);
        SS_ATTENTION_EACH_QUAD(w, key)
        {
            ss_pack<real, 4> s = row.take(w.p, key);
            for (int i = 0; i < 4; i++) {
                if (!row.sees(key + i)) continue;
                s[i] = points::attention_probability(s[i], (real)largest);
                sum += (double)s[i];
            }
            row.put(w.p, key, s);
        }
        sum = ss_block_sum_of(sum, shared);
        const bool seen = sum != 0; /* a query without keys: o = 0, and any finite L will do */
        const real factor = seen ? (real)(1 / sum) : 0;
        SS_ATTENTION_EACH_QUAD(w, key)
        {
            ss_pack<real, 4> s = row.take(w.p, key);
            for (int i = 0; i < 4; i++) s[i] *= factor;
            row.put(w.p, key, s);
        }
        if (w.L && threadIdx.x == 0) w.L[row.statistic] = seen ? (real)(largest + log(sum)) : 0;
    }
}

/* ---- The other sweeps: a sum over the row, then new elements ---- */

/* One element of a row; P, U_a as they are, u and x before the scale and the cap. */
template <typename real> struct ss_score {
    real p, t, slope, u_a, u, x;
};

/* u_a: P_a becomes U_a; the sum is D. */
struct ss_adjoint_scores {
    static constexpr bool writes_u_a = true, writes_u = false, writes_x = false, writes_mu = false;
    template <typename real> static __device__ double term(const ss_score<real> &s, real)
    {
        return (double)s.p * (double)s.u_a;
    }
    template <typename real> static __device__ void change(ss_score<real> *s, real, real, real D, real)
    {
        s->u_a = s->slope * s->p * (s->u_a - D);
    }
};

/* u: q_t k' + q k_t' becomes P_t; the sum is mu. */
struct ss_tangent_scores {
    static constexpr bool writes_u_a = false, writes_u = true, writes_x = false, writes_mu = true;
    template <typename real> static __device__ double term(const ss_score<real> &s, real scale)
    {
        return (double)s.p * (double)(s.slope * scale * s.u);
    }
    template <typename real> static __device__ void change(ss_score<real> *s, real scale, real, real mu, real)
    {
        s->u = ss_attention_points<real>::attention_p_t(s->p, s->slope * scale * s->u, mu);
    }
};

/* u: q_t k' + q k_t' becomes P_t; x: P_at becomes U_at; the sum is D_t. */
struct ss_second_scores {
    static constexpr bool writes_u_a = false, writes_u = true, writes_x = true, writes_mu = false;
    template <typename real> static __device__ double term(const ss_score<real> &s, real scale)
    {
        return (double)(scale * s.u) * (double)s.u_a + (double)s.p * (double)s.x;
    }
    template <typename real>
    static __device__ void change(ss_score<real> *s, real scale, real cap, real D_t, real mu)
    {
        using points = ss_attention_points<real>;
        const real u_t = scale * s->u;
        s->x = points::attention_u_at_of_row(s->t, cap, u_t, mu, s->u_a, s->p, s->x, D_t);
        s->u = points::attention_p_t(s->p, s->slope * u_t, mu);
    }
};

/* P and t = tanh(U / cap), which is 0 without a cap, from what p and t hold. */
template <typename real>
static __device__ __forceinline__ void ss_attention_probabilities(const ss_attention_block<real> &w,
                                                                  const ss_attention_row<real> &row, int key,
                                                                  ss_pack<real, 4> *p, ss_pack<real, 4> *t)
{
    using points = ss_attention_points<real>;
    *p = row.take(w.p, key);
    *t = row.take(w.raw ? nullptr : w.t, key);
    if (!w.raw) return;
    const real L = w.L[row.statistic];
    for (int i = 0; i < 4; i++) {
        if (!row.sees(key + i)) continue;
        real s = w.scale * (*p)[i];
        if (w.cap > 0) {
            (*t)[i] = points::attention_squash(s, w.cap);
            s = w.cap * (*t)[i];
        }
        (*p)[i] = points::attention_probability(s, L);
    }
}

/* p becomes P and t tanh where they are raw, the other buffers what F makes of them. */
template <typename F, typename real>
static __global__ void __launch_bounds__(256, 2) ss_attention_scores(const ss_attention_block<real> w)
{
    SS_SHARED(double, shared, SS_BLOCK_SUM);
    SS_ATTENTION_EACH_ROW(w, task)
    {
        const ss_attention_row<real> row = ss_attention_find(w, task);
        const real                   mu = !F::writes_mu && w.mu && w.u ? w.mu[row.statistic] : 0;
        double                       sum = 0;
        for (int pass = 0; pass < 2; pass++) {
            SS_ATTENTION_EACH_QUAD(w, key)
            {
                ss_pack<real, 4> p, t, u_a = row.take(w.u_a, key), u = row.take(w.u, key),
                                       x = row.take(w.p_at ? w.x : nullptr, key);
                ss_attention_probabilities(w, row, key, &p, &t);
                for (int i = 0; i < 4; i++) {
                    ss_score<real> s = { p[i],   t[i], ss_attention_points<real>::attention_slope(t[i]),
                                         u_a[i], u[i], x[i] };
                    if (pass == 0) {
                        sum += F::term(s, w.scale);
                        continue;
                    }
                    F::change(&s, w.scale, w.cap, (real)sum, mu);
                    u_a[i] = s.u_a, u[i] = s.u, x[i] = s.x;
                }
                if (pass == 0) continue;
                if (F::writes_u_a) row.put(w.u_a, key, u_a);
                if (F::writes_u) row.put(w.u, key, u);
                if (F::writes_x) row.put(w.x, key, x);
                if (!w.raw) continue;
                row.put(w.p, key, p);
                row.put(w.t, key, t);
            }
            if (pass == 0) sum = ss_block_sum_of(sum, shared);
        }
        if (F::writes_mu && w.mu && threadIdx.x == 0) w.mu[row.statistic] = (real)sum;
    }
}

#endif
