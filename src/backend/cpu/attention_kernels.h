/* Score tiles of the sweeps forward, at one instruction-set level: a row per key, a column per query
 * (attention.h). Rows are SS_TILE elements apart. */
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

/* The queries that see key c: begin <= r < end; the rest of the row is cleared in `tile`. */
static inline bool SS_LEVEL(seers)(const attention_view *v, int64_t c, int64_t *begin, int64_t *end)
{
    *begin = v->whole ? 0 : ss_min64(v->queries, ss_max64(0, c - v->high));
    *end = v->whole ? v->queries : ss_max64(*begin, ss_min64(v->queries, c - v->low));
    if (v->mask && v->mask[c] == 0) *end = *begin;
    return *end > *begin;
}

static inline void SS_LEVEL(clear_unseen)(const attention_view *v, int64_t begin, int64_t end, real *row)
{
    for (int64_t r = 0; r < begin; r++) row[r] = 0;
    for (int64_t r = end; r < v->queries; r++) row[r] = 0;
}

/* s := c tanh(s / c); slope := f', if wanted */
static void SS_LEVEL(cap_scores)(const attention_view *v, real c, real *restrict s, real *restrict slope)
{
    for (int64_t key = 0; key < v->keys; key++, s += SS_TILE) {
        int64_t begin, end;
        if (SS_LEVEL(seers)(v, key, &begin, &end) && slope)
            for (int64_t r = begin; r < end; r++) {
                real t = SS_LEVEL(attention_squash)(s[r], c);
                s[r] = c * t;
                slope[r] = SS_LEVEL(attention_slope)(t);
            }
        else
            for (int64_t r = begin; r < end; r++) s[r] = c * SS_LEVEL(attention_squash)(s[r], c);
        if (slope) slope += SS_TILE;
    }
}

/* Online softmax: `largest` and `sum` of the row so far go on to this tile, s becomes exp(s - largest), and
 * `factor` is what all earlier exponentials must be multiplied by. */
static void SS_LEVEL(softmax_tile)(const attention_view *v, real *restrict s, real *restrict largest,
                                   real *restrict sum, real *restrict factor)
{
    int64_t begin, end;
    real    part[SS_TILE];
    for (int64_t r = 0; r < v->queries; r++) {
        factor[r] = largest[r];
        part[r] = 0;
    }
    for (int64_t c = 0; c < v->keys; c++) {
        const real *row = s + c * SS_TILE;
        if (!SS_LEVEL(seers)(v, c, &begin, &end)) continue;
        for (int64_t r = begin; r < end; r++) largest[r] = row[r] > largest[r] ? row[r] : largest[r];
    }
    for (int64_t c = 0; c < v->keys; c++) {
        real *row = s + c * SS_TILE;
        SS_LEVEL(seers)(v, c, &begin, &end);
        for (int64_t r = begin; r < end; r++) {
            row[r] = SS_LEVEL(attention_probability)(row[r], largest[r]);
            part[r] += row[r];
        }
        SS_LEVEL(clear_unseen)(v, begin, end, row);
    }
    for (int64_t r = 0; r < v->queries; r++) {
        factor[r] = SS_ATTENTION_EXP(factor[r] - largest[r]);
        sum[r] = sum[r] * factor[r] + part[r];
    }
}

/* rows of tile [queries, cols] := factor of the row times the row */
static void SS_LEVEL(scale_rows)(int64_t queries, int64_t cols, int64_t ld, const real *restrict factor,
                                 real *restrict tile)
{
    for (int64_t r = 0; r < queries; r++, tile += ld)
        for (int64_t j = 0; j < cols; j++) tile[j] *= factor[r];
}

/* s := exp(s - L) */
static void SS_LEVEL(probability_tile)(const attention_view *v, const real *restrict L, real *restrict s)
{
    for (int64_t c = 0; c < v->keys; c++, s += SS_TILE) {
        int64_t begin, end;
        SS_LEVEL(seers)(v, c, &begin, &end);
        for (int64_t r = begin; r < end; r++) s[r] = SS_LEVEL(attention_probability)(s[r], L[r]);
        SS_LEVEL(clear_unseen)(v, begin, end, s);
    }
}

/* u := P S_t from u = U_t; mu += its sums over the keys. slope NULL: 1 */
static void SS_LEVEL(tangent_tile)(const attention_view *v, const real *restrict p,
                                   const real *restrict slope, real *restrict u, real *restrict mu)
{
    real part[SS_TILE] = { 0 };
    for (int64_t c = 0; c < v->keys; c++, p += SS_TILE, u += SS_TILE) {
        int64_t begin, end;
        SS_LEVEL(seers)(v, c, &begin, &end);
        if (slope)
            for (int64_t r = begin; r < end; r++) u[r] *= slope[c * SS_TILE + r];
        for (int64_t r = begin; r < end; r++) {
            u[r] *= p[r];
            part[r] += u[r];
        }
        SS_LEVEL(clear_unseen)(v, begin, end, u);
    }
    for (int64_t r = 0; r < v->queries; r++) mu[r] += part[r];
}

/* tile [queries, dim] -= mu o, row by row */
static void SS_LEVEL(subtract_row)(int64_t dim, real mu, const real *restrict o, real *restrict row)
{
    for (int64_t j = 0; j < dim; j++) row[j] -= mu * o[j];
}

#undef SS_ATTENTION_EXP
#undef SS_ATTENTION_TANH
#undef SS_ATTENTION_REAL
#undef SS_ATTENTION
#undef SS_ATTENTION_QUALIFIER
