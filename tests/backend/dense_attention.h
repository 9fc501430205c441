/* Attention written down plainly, in float64, with whole matrices of scores: what the tiled sweeps must give
 * to rounding (reference 4.1). One lane of tangents and adjoints. */
#ifndef SS_TESTS_BACKEND_DENSE_ATTENTION_H
#define SS_TESTS_BACKEND_DENSE_ATTENTION_H

#include "support/support.h"

#include <math.h>
#include <string.h>

typedef struct dense_shape {
    int64_t        batch, tokens, heads, key_heads, dim;
    bool           causal;
    int64_t        window;
    double         scale, cap;
    const int64_t *mask; /* [batch, tokens] or NULL */
} dense_shape;

/* All [batch, tokens, heads or key heads, dim]; the statistics [batch, heads, tokens]. */
typedef struct dense {
    double *q, *k, *v, *q_t, *k_t, *v_t, *o_a, *o_at;       /* given; zeros where absent */
    double *o, *o_t, *q_a, *k_a, *v_a, *q_at, *k_at, *v_at; /* computed */
    double *L, *mu;
    bool    without_mu; /* a mistake to be noticed: P_t = P S_t */
} dense;

static inline int64_t dense_query(const dense_shape *s, int64_t b, int64_t i, int64_t h)
{
    return ((b * s->tokens + i) * s->heads + h) * s->dim;
}

static inline int64_t dense_key(const dense_shape *s, int64_t b, int64_t j, int64_t h)
{
    return ((b * s->tokens + j) * s->key_heads + h / (s->heads / s->key_heads)) * s->dim;
}

static inline bool dense_sees(const dense_shape *s, int64_t b, int64_t i, int64_t j)
{
    return (!s->causal || j <= i) && (s->window == 0 || j > i - s->window) &&
           (!s->mask || s->mask[b * s->tokens + j] != 0);
}

static inline double dense_dot(int64_t n, const double *x, const double *y)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

static inline void dense_axpy(int64_t n, double a, const double *x, double *y)
{
    for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}

/* One query: its row of everything. row: [6, tokens] scratch */
static inline void dense_row(const dense_shape *s, const dense *x, int64_t b, int64_t h, int64_t i,
                             double *row)
{
    int64_t n = s->tokens, d = s->dim, qi = dense_query(s, b, i, h), at = (b * s->heads + h) * n + i;
    double *p = row, *u_t = row + n, *p_t = row + 2 * n, *slope = row + 3 * n, *bend = row + 4 * n;
    double  largest = -INFINITY, sum = 0, mu = 0, D = 0, D_t = 0;
    bool    any = false;
    for (int64_t j = 0; j < n; j++) {
        int64_t kj = dense_key(s, b, j, h);
        double  u = s->scale * dense_dot(d, x->q + qi, x->k + kj);
        double  t = s->cap > 0 ? tanh(u / s->cap) : 0;
        u_t[j] = s->scale * (dense_dot(d, x->q_t + qi, x->k + kj) + dense_dot(d, x->q + qi, x->k_t + kj));
        p[j] = s->cap > 0 ? s->cap * t : u;
        slope[j] = s->cap > 0 ? 1 - t * t : 1;
        bend[j] = s->cap > 0 ? -2 * t * (1 - t * t) / s->cap : 0;
        if (dense_sees(s, b, i, j)) largest = fmax(largest, p[j]), any = true;
    }
    for (int64_t j = 0; j < n; j++) {
        p[j] = dense_sees(s, b, i, j) ? exp(p[j] - largest) : 0;
        sum += p[j];
    }
    x->L[at] = any ? largest + log(sum) : 0;
    for (int64_t j = 0; j < n; j++) {
        p[j] = any ? p[j] / sum : 0;
        mu += p[j] * slope[j] * u_t[j];
    }
    x->mu[at] = mu;
    for (int64_t j = 0; j < n; j++) {
        p_t[j] = p[j] * (slope[j] * u_t[j] - (x->without_mu ? 0 : mu));
        dense_axpy(d, p[j], x->v + dense_key(s, b, j, h), x->o + qi);
        dense_axpy(d, p_t[j], x->v + dense_key(s, b, j, h), x->o_t + qi);
        dense_axpy(d, p[j], x->v_t + dense_key(s, b, j, h), x->o_t + qi);
    }
    D = dense_dot(d, x->o_a + qi, x->o + qi);
    D_t = dense_dot(d, x->o_at + qi, x->o + qi) + dense_dot(d, x->o_a + qi, x->o_t + qi);
    for (int64_t j = 0; j < n; j++) {
        int64_t kj = dense_key(s, b, j, h);
        double  p_a = dense_dot(d, x->o_a + qi, x->v + kj);
        double  p_at = dense_dot(d, x->o_at + qi, x->v + kj) + dense_dot(d, x->o_a + qi, x->v_t + kj);
        double  s_a = p[j] * (p_a - D), s_at = p_t[j] * (p_a - D) + p[j] * (p_at - D_t);
        double  u_a = s->scale * slope[j] * s_a;
        double  u_at = s->scale * (bend[j] * u_t[j] * s_a + slope[j] * s_at);
        dense_axpy(d, u_a, x->k + kj, x->q_a + qi);
        dense_axpy(d, u_a, x->q + qi, x->k_a + kj);
        dense_axpy(d, p[j], x->o_a + qi, x->v_a + kj);
        dense_axpy(d, u_at, x->k + kj, x->q_at + qi);
        dense_axpy(d, u_a, x->k_t + kj, x->q_at + qi);
        dense_axpy(d, u_at, x->q + qi, x->k_at + kj);
        dense_axpy(d, u_a, x->q_t + qi, x->k_at + kj);
        dense_axpy(d, p_t[j], x->o_a + qi, x->v_at + kj);
        dense_axpy(d, p[j], x->o_at + qi, x->v_at + kj);
    }
}

/* Everything; the outputs are zero before. */
static inline void dense_attention(const dense_shape *s, const dense *x)
{
    double *row = NULL;
    ss_test_require(ss_allocate(ss_test_context, 5 * s->tokens, sizeof *row, (void **)&row));
    for (int64_t b = 0; b < s->batch; b++)
        for (int64_t h = 0; h < s->heads; h++)
            for (int64_t i = 0; i < s->tokens; i++) dense_row(s, x, b, h, i, row);
    ss_free(ss_test_context, row);
}

#endif
