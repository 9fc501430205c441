/* Products with the gauge tangents Z of network/gauge.h, group by group.
 *
 * With h units, W the first weight (plus the gain's offset), b its bias, N the next weight, u = j % h:
 *
 *   shift        Z c: V_W[i, j] = c[j], V_b[i] = c[row]             Z'v: column sums of V_W, sum of V_b
 *   scaling      V_W[i, :] = c[i] W[i, :], V_b[i] = c[i] b[i],      c[i] = V_W[i, :] W[i, :]' + V_b[i] b[i]
 *                V_N[k, j] = -c[u] N[k, j]                                 - sum of V_N[k, j] N[k, j], u = i
 *   basis        V_W = C W, V_b = C b, V_N = -N C                   C = V_W W' + V_b b' - N' V_N
 *   translation  V_b[i] = c[i], V_nb[k] = -sum_j N[k, j] c[u]       c[i] = V_b[i] - sum N[k, j] V_nb[k], u =
 * i */
#include "network/gauge.h"

#include <string.h>

/* Where the parts of a group lie: in a packed vector, and their weights. NULL where there is none. */
typedef struct parts {
    double       *weight, *bias, *next, *next_bias; /* in the vector */
    const double *w, *b, *n;                        /* stored weights */
} parts;

static double *part_of(const ss_gauge *gauge, int32_t parameter, double *v)
{
    if (parameter < 0 || gauge->graph->parameters[parameter].canonical < 0) return NULL;
    return v + gauge->graph->parameters[parameter].canonical;
}

static parts locate(const ss_gauge *gauge, const ss_gauge_group *g, double *v)
{
    return (parts){ .weight = part_of(gauge, g->weight, v),
                    .bias = part_of(gauge, g->bias, v),
                    .next = part_of(gauge, g->next, v),
                    .next_bias = part_of(gauge, g->next_bias, v),
                    .w = g->weight >= 0 ? gauge->weights[g->weight] : NULL,
                    .b = g->bias >= 0 ? gauge->weights[g->bias] : NULL,
                    .n = g->next >= 0 ? gauge->weights[g->next] : NULL };
}

/* Where unit i's element j lies in the first weight, row k's element j in the next one. */
static int64_t at(const ss_gauge_group *g, int64_t i, int64_t j)
{
    return g->transposed ? j * g->units + i : i * g->row + j;
}

static int64_t next_at(const ss_gauge_group *g, int64_t k, int64_t j)
{
    return g->next_transposed ? j * g->out + k : k * g->in + j;
}

static void shift(const ss_gauge_group *g, const parts *p, const double *c)
{
    for (int64_t i = 0; i < g->units; i++) {
        for (int64_t j = 0; j < g->row; j++) p->weight[at(g, i, j)] += c[j];
        if (p->bias != NULL) p->bias[i] += c[g->row];
    }
}

static void shift_transposed(const ss_gauge_group *g, const parts *p, double *c)
{
    for (int64_t i = 0; i < g->units; i++) {
        for (int64_t j = 0; j < g->row; j++) c[j] += p->weight[at(g, i, j)];
        if (p->bias != NULL) c[g->row] += p->bias[i];
    }
}

static void scaling(const ss_gauge_group *g, const parts *p, const double *c)
{
    for (int64_t i = 0; i < g->units; i++) {
        for (int64_t j = 0; j < g->row; j++)
            p->weight[at(g, i, j)] += c[i] * (p->w[at(g, i, j)] + g->gain_offset);
        if (p->bias != NULL) p->bias[i] += c[i] * p->b[i];
    }
    for (int64_t k = 0; k < g->out; k++)
        for (int64_t j = 0; j < g->in; j++)
            p->next[next_at(g, k, j)] -= c[j % g->units] * p->n[next_at(g, k, j)];
}

static void scaling_transposed(const ss_gauge_group *g, const parts *p, double *c)
{
    for (int64_t i = 0; i < g->units; i++) {
        for (int64_t j = 0; j < g->row; j++)
            c[i] += p->weight[at(g, i, j)] * (p->w[at(g, i, j)] + g->gain_offset);
        if (p->bias != NULL) c[i] += p->bias[i] * p->b[i];
    }
    for (int64_t k = 0; k < g->out; k++)
        for (int64_t j = 0; j < g->in; j++)
            c[j % g->units] -= p->next[next_at(g, k, j)] * p->n[next_at(g, k, j)];
}

static void basis(const ss_gauge_group *g, const parts *p, const double *c)
{
    int64_t h = g->units;
    for (int64_t i = 0; i < h; i++)
        for (int64_t l = 0; l < h; l++) {
            double factor = c[i * h + l];
            for (int64_t j = 0; j < g->row; j++) p->weight[at(g, i, j)] += factor * p->w[at(g, l, j)];
            if (p->bias != NULL) p->bias[i] += factor * p->b[l];
        }
    for (int64_t k = 0; k < g->out; k++)
        for (int64_t l = 0; l < h; l++)
            for (int64_t i = 0; i < h; i++)
                p->next[next_at(g, k, i)] -= p->n[next_at(g, k, l)] * c[l * h + i];
}

static void basis_transposed(const ss_gauge_group *g, const parts *p, double *c)
{
    int64_t h = g->units;
    for (int64_t i = 0; i < h; i++)
        for (int64_t l = 0; l < h; l++) {
            double sum = p->bias != NULL ? p->bias[i] * p->b[l] : 0.0;
            for (int64_t j = 0; j < g->row; j++) sum += p->weight[at(g, i, j)] * p->w[at(g, l, j)];
            c[i * h + l] += sum;
        }
    for (int64_t k = 0; k < g->out; k++)
        for (int64_t l = 0; l < h; l++)
            for (int64_t i = 0; i < h; i++)
                c[l * h + i] -= p->n[next_at(g, k, l)] * p->next[next_at(g, k, i)];
}

static void translation(const ss_gauge_group *g, const parts *p, const double *c)
{
    for (int64_t i = 0; i < g->units; i++) p->bias[i] += c[i];
    for (int64_t k = 0; k < g->out; k++)
        for (int64_t j = 0; j < g->in; j++) p->next_bias[k] -= p->n[next_at(g, k, j)] * c[j % g->units];
}

static void translation_transposed(const ss_gauge_group *g, const parts *p, double *c)
{
    for (int64_t i = 0; i < g->units; i++) c[i] += p->bias[i];
    for (int64_t k = 0; k < g->out; k++)
        for (int64_t j = 0; j < g->in; j++) c[j % g->units] -= p->n[next_at(g, k, j)] * p->next_bias[k];
}

/* One row per kind. */
static const struct {
    void (*multiply)(const ss_gauge_group *g, const parts *p, const double *c);
    void (*transpose)(const ss_gauge_group *g, const parts *p, double *c);
} products[SS_GAUGE_KIND_COUNT] = {
    [SS_GAUGE_SOFTMAX_SHIFT] = { shift, shift_transposed },
    [SS_GAUGE_NORM_SHIFT] = { shift, shift_transposed },
    [SS_GAUGE_RESCALING] = { scaling, scaling_transposed },
    [SS_GAUGE_NORM_GAIN] = { scaling, scaling_transposed },
    [SS_GAUGE_BASIS] = { basis, basis_transposed },
    [SS_GAUGE_TRANSLATION] = { translation, translation_transposed },
};

void ss_gauge_multiply(const ss_gauge *gauge, const double *c, double *v)
{
    memset(v, 0, (size_t)gauge->graph->layout.n * sizeof *v);
    for (int32_t i = 0; i < gauge->n_groups; i++) {
        const ss_gauge_group *g = &gauge->groups[i];
        parts                 p = locate(gauge, g, v);
        products[g->kind].multiply(g, &p, c + g->first);
    }
}

void ss_gauge_transpose(const ss_gauge *gauge, const double *v, double *c)
{
    memset(c, 0, (size_t)gauge->rank * sizeof *c);
    for (int32_t i = 0; i < gauge->n_groups; i++) {
        const ss_gauge_group *g = &gauge->groups[i];
        parts                 p = locate(gauge, g, (double *)v); /* only read here */
        products[g->kind].transpose(g, &p, c + g->first);
    }
}
