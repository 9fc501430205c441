/* Score tiles of the sweeps back, at one instruction-set level: a row per query, a column per key
 * (attention.h). Rows are SS_TILE elements apart. `t` is tanh(u / c) of every score, NULL without a cap. */
#include "backend/cpu/vector_math.h"

#if SS_REAL_BITS == 32
#define SS_ATTENTION_EXP(x)  SS_LEVEL(ss_expf)(x)
#define SS_ATTENTION_TANH(x) SS_LEVEL(ss_tanhf)(x)
#else
#define SS_ATTENTION_EXP(x)  SS_LEVEL(ss_exp)(x)
#define SS_ATTENTION_TANH(x) SS_LEVEL(ss_tanh)(x)
#endif
#define SS_ATTENTION_REAL      real
#define SS_ATTENTION(name)     SS_LEVEL(name)
#define SS_ATTENTION_QUALIFIER static inline __attribute__((unused))
#include "backend/attention_functions.h"

/* The keys that query r sees, masked ones included: begin <= c < end. */
static inline void SS_LEVEL(seen)(const attention_view *v, int64_t r, int64_t *begin, int64_t *end)
{
    *begin = v->whole ? 0 : ss_min64(v->keys, ss_max64(0, r + v->low + 1));
    *end = v->whole ? v->keys : ss_max64(*begin, ss_min64(v->keys, r + v->high + 1));
}

static inline void SS_LEVEL(clear_unseen)(const attention_view *v, int64_t begin, int64_t end,
                                          real *restrict row)
{
    for (int64_t c = 0; c < begin; c++) row[c] = 0;
    for (int64_t c = end; c < v->keys; c++) row[c] = 0;
}

/* sum_j x_j y_j in float64: eight partial sums, added in a fixed order */
static double SS_LEVEL(row_dot)(int64_t n, const real *x, const real *y)
{
    double  part[8] = { 0 };
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) part[j] += (double)x[i + j] * (double)y[i + j];
    for (int j = 0; i < n; i++, j++) part[j] += (double)x[i] * (double)y[i];
    return ((part[0] + part[4]) + (part[1] + part[5])) + ((part[2] + part[6]) + (part[3] + part[7]));
}

/* s := exp(f(s) - L); t := tanh(s / c) when there is a cap */
static void SS_LEVEL(probabilities)(const attention_view *v, real cap, const real *restrict L,
                                    real *restrict s, real *restrict t)
{
    for (int64_t r = 0; r < v->queries; r++, s += SS_TILE) {
        int64_t begin, end;
        SS_LEVEL(seen)(v, r, &begin, &end);
        if (t) {
            for (int64_t c = begin; c < end; c++) {
                t[c] = SS_LEVEL(attention_squash)(s[c], cap);
                s[c] = cap * t[c];
            }
            t += SS_TILE;
        }
        for (int64_t c = begin; c < end; c++) s[c] = SS_LEVEL(attention_probability)(s[c], L[r]);
        for (int64_t c = begin; v->mask && c < end; c++) s[c] = v->mask[c] ? s[c] : 0;
        SS_LEVEL(clear_unseen)(v, begin, end, s);
    }
}

/* e := P_a - D in place of P_a; u_a := f' P e */
static void SS_LEVEL(first_order)(const attention_view *v, const real *restrict D, const real *restrict p,
                                  const real *restrict t, real *restrict e, real *restrict u_a)
{
    for (int64_t r = 0; r < v->queries; r++, p += SS_TILE, e += SS_TILE, u_a += SS_TILE) {
        int64_t begin, end;
        SS_LEVEL(seen)(v, r, &begin, &end);
        for (int64_t c = begin; c < end; c++) {
            e[c] -= D[r];
            u_a[c] = p[c] * e[c];
        }
        if (t) {
            for (int64_t c = begin; c < end; c++) u_a[c] *= SS_LEVEL(attention_slope)(t[c]);
            t += SS_TILE;
        }
        SS_LEVEL(clear_unseen)(v, begin, end, u_a);
    }
}

/* u := P_t in place of U_t */
static void SS_LEVEL(tangents)(const attention_view *v, const real *restrict mu, const real *restrict p,
                               const real *restrict t, real *restrict u)
{
    for (int64_t r = 0; r < v->queries; r++, p += SS_TILE, u += SS_TILE) {
        int64_t begin, end;
        SS_LEVEL(seen)(v, r, &begin, &end);
        if (t) {
            for (int64_t c = begin; c < end; c++) u[c] *= SS_LEVEL(attention_slope)(t[c]);
            t += SS_TILE;
        }
        for (int64_t c = begin; c < end; c++) u[c] = SS_LEVEL(attention_p_t)(p[c], u[c], mu[r]);
        SS_LEVEL(clear_unseen)(v, begin, end, u);
    }
}

/* w := U_at in place of P_at, and where the scores have a tangent u := P_t in place of U_t */
static inline __attribute__((always_inline)) void
SS_LEVEL(second_order_row)(int64_t begin, int64_t end, real cap, real mu, real D_t, const real *restrict p,
                           const real *restrict t, const real *restrict e, real *restrict u, real *restrict w,
                           bool capped, bool moves)
{
    for (int64_t c = begin; c < end; c++) {
        real u_t = moves ? u[c] : 0, slope = capped ? SS_LEVEL(attention_slope)(t[c]) : 1;
        real p_t = moves ? SS_LEVEL(attention_p_t)(p[c], slope * u_t, mu) : 0;
        real s_at = SS_LEVEL(attention_s_at)(p[c], p_t, moves ? e[c] : 0, w[c], D_t);
        if (moves) u[c] = p_t;
        if (capped && moves)
            w[c] = SS_LEVEL(attention_u_at)(t[c], cap, u_t, p[c] * e[c], s_at);
        else
            w[c] = slope * s_at;
    }
}

/* All tiles are there; t is read when there is a cap (cap > 0), e, u and mu when the scores have a tangent
 * (`moves`). Each of the four loops is compiled for itself. */
static void SS_LEVEL(second_order)(const attention_view *v, real cap, bool moves, const real *restrict mu,
                                   const real *restrict D_t, const real *restrict p, const real *restrict t,
                                   const real *restrict e, real *restrict u, real *restrict w)
{
    for (int64_t r = 0; r < v->queries;
         r++, p += SS_TILE, t += SS_TILE, e += SS_TILE, u += SS_TILE, w += SS_TILE) {
        int64_t begin, end;
        SS_LEVEL(seen)(v, r, &begin, &end);
        if (cap > 0 && moves)
            SS_LEVEL(second_order_row)(begin, end, cap, mu[r], D_t[r], p, t, e, u, w, true, true);
        else if (cap > 0)
            SS_LEVEL(second_order_row)(begin, end, cap, 0, D_t[r], p, t, e, u, w, true, false);
        else if (moves)
            SS_LEVEL(second_order_row)(begin, end, cap, mu[r], D_t[r], p, t, e, u, w, false, true);
        else
            SS_LEVEL(second_order_row)(begin, end, cap, 0, D_t[r], p, t, e, u, w, false, false);
        if (moves) SS_LEVEL(clear_unseen)(v, begin, end, u);
        SS_LEVEL(clear_unseen)(v, begin, end, w);
    }
}

#undef SS_ATTENTION_EXP
#undef SS_ATTENTION_TANH
#undef SS_ATTENTION_REAL
#undef SS_ATTENTION
#undef SS_ATTENTION_QUALIFIER
