/* Gauge: directions in which the parameters move and the loss does not, whatever the data (VERDICT 3).
 *
 * Symmetries are looked for by kind, in the graph alone, among undecayed parameters that are active and used
 * once. Each gives sparse tangents; all together are the columns of Z (n x rank), which is never formed: Z c
 * and Z' v are sums per unit. Z is taken at the stored weights. The tangents may depend on each other, so
 * that their number bounds rank(Z) from above; other symmetries are not looked for.
 *
 *   softmax shift   a column of the last weight, or its bias, moves by the same amount in every row
 *                   (cross-entropy sees differences of logits only, unless a soft cap stands between);
 *                   the same in front of a centered norm
 *   rescaling       row i of a weight and element i of its bias times s, column i of the next weight by s,
 *                   through nothing, ReLU or LeakyReLU (s > 0)
 *   norm gain       the same with gain and bias of a norm for row and bias
 *   basis           weight and bias times M from the left, the next weight times M^-1 from the right: two
 *                   linear layers with nothing between them; contains the rescaling
 *   translation     bias + t, next bias - weight t, again with nothing between
 *
 * In a transformer this finds the shifts of an untied vocabulary head and in front of its last LayerNorm, the
 * gain of the final norm against an untied head, units of a ReLU mlp, and the basis between LoRA's A and B.
 * Not looked for: the bases of values and keys within a head, norm gains that several projections read,
 * shifts along the residual stream. */
#ifndef SS_NETWORK_GAUGE_H
#define SS_NETWORK_GAUGE_H

#include "network/graph.h"

/* One row per kind: enumerator, words for messages. */
/* clang-format off */
#define SS_GAUGE_TABLE(row) \
    row(SS_GAUGE_SOFTMAX_SHIFT, "softmax shift") \
    row(SS_GAUGE_NORM_SHIFT, "shift in front of a centered norm") \
    row(SS_GAUGE_RESCALING, "positive rescaling of units") \
    row(SS_GAUGE_NORM_GAIN, "gain-weight scaling behind a norm") \
    row(SS_GAUGE_BASIS, "change of basis between linear layers") \
    row(SS_GAUGE_TRANSLATION, "shift of a bias through the next layer")
/* clang-format on */
typedef enum ss_gauge_kind {
#define SS_GAUGE_ROW(name, text) name,
    SS_GAUGE_TABLE(SS_GAUGE_ROW)
#undef SS_GAUGE_ROW
        SS_GAUGE_KIND_COUNT
} ss_gauge_kind;

/* The tangents that one symmetry of one or two layers gives. Parameter numbers are -1 where the tangents do
 * not touch that parameter. */
typedef struct ss_gauge_group {
    ss_gauge_kind kind;
    int64_t       first;           /* first coefficient in c */
    int64_t       count;           /* coefficients */
    int64_t       units;           /* h: rows of the first weight, elements of its bias */
    int64_t       row;             /* elements per row of the first weight; 1 for a gain */
    int64_t       out, in;         /* next weight: rows, columns; column j belongs to unit j % h */
    double        gain_offset;     /* added to the stored gain */
    bool          transposed;      /* the first weight is stored [row, h] */
    bool          next_transposed; /* the next weight is stored [in, out] */
    int32_t       weight;          /* first weight [h, row] */
    int32_t       bias;            /* first bias [h] */
    int32_t       next;            /* next weight [out, in]; read but not moved by a translation */
    int32_t       next_bias;       /* next bias [out]; translation only */
} ss_gauge_group;

typedef struct ss_gauge {
    const ss_graph *graph;  /* borrowed */
    ss_gauge_group *groups; /* [n_groups]; owned */
    int32_t         n_groups;
    int64_t         rank;    /* coefficients of all groups: rank(Z) at most */
    double        **weights; /* [n_parameters of the graph] those that are read, in float64; owned */
} ss_gauge;

/* Looks for symmetries of an activated graph; the softmax shift needs its loss node. A network without any
 * gives n_groups = 0. The graph is borrowed and must outlive the result. */
ss_status ss_gauge_find(const ss_graph *graph, ss_gauge **gauge);
void      ss_gauge_destroy(ss_gauge *gauge); /* NULL allowed */

/* Tangents of a kind, over all groups. */
int64_t ss_gauge_count(const ss_gauge *gauge, ss_gauge_kind kind);

/* v := Z c and c := Z' v; v packed [n], c [rank], both host float64. */
void ss_gauge_multiply(const ss_gauge *gauge, const double *c, double *v);
void ss_gauge_transpose(const ss_gauge *gauge, const double *v, double *c);

/* "positive rescaling of units: 0.weight, 0.bias, 2.weight (16 tangents)"; freed by the caller. */
ss_status ss_gauge_describe(const ss_gauge *gauge, int32_t group, char **text);

#endif
