/* Where the points of a study begin.
 *
 * Besides seeded weights: units at zero and pairs of equal units. Both are left invariant by every method
 * that follows gradients - a unit whose incoming and outgoing weights vanish receives none (where the
 * activation is zero at zero), equal units receive equal ones - so that the descent ends in a minimum of a
 * narrower network, which is a critical point of the wide one and, as a rule, a saddle (Fukumizu & Amari,
 * Neural Networks 13, 2000). That is how saddles of many indices are reached without being looked for. */
#include "verdict/study.h"

#include "base/base.h"
#include "hvp/problem.h"

#include <math.h>
#include <string.h>

#define SHARES 4 /* of the units: 1/4, 1/2, 3/4, 1 */

/* One row per kind of start, taken in turn by the seed. */
static const struct {
    double  scale;          /* of the initial weights */
    int64_t loss_steps;     /* -1 = to the end */
    bool    silent, paired; /* some of the units */
} starts[] = {
    { 1.0, -1, false, false }, { 1.0, -1, true, false }, { 1.0, -1, false, true }, { 1.0, -1, true, true },
    { 0.1, -1, false, false }, { 0.1, -1, true, false }, { 0.1, 3, false, false }, { 1.0, 0, false, false },
};
enum { N_STARTS = sizeof starts / sizeof *starts };

void ss_study_options_for(int64_t seed, ss_study_options *options)
{
    double share = (double)(seed / N_STARTS % SHARES + 1) / SHARES;
    ss_study_options_init(options);
    options->scale = starts[seed % N_STARTS].scale;
    options->loss_steps = starts[seed % N_STARTS].loss_steps;
    if (starts[seed % N_STARTS].silent) options->silent = share;
    if (starts[seed % N_STARTS].paired) options->paired = share;
}

/* The weight of the next layer, whose columns belong to the rows of `first`; NULL if there is none. */
static const ss_parameter *next_layer(const ss_graph *graph, const ss_parameter *first)
{
    const ss_parameter *next = NULL;
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        const ss_parameter *p = &graph->parameters[i];
        if (p->array.rank != 2 || p->offset < 0 || p->first_layer <= first->first_layer) continue;
        if (next == NULL || p->first_layer < next->first_layer) next = p;
    }
    return next != NULL && next->array.shape[1] == first->array.shape[0] ? next : NULL;
}

static const ss_parameter *bias_of(const ss_graph *graph, const ss_parameter *weight)
{
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        const ss_parameter *p = &graph->parameters[i];
        if (p->array.rank == 1 && p->offset >= 0 && p->first_layer == weight->first_layer &&
            p->array.shape[0] == weight->array.shape[0])
            return p;
    }
    return NULL;
}

/* One hidden layer: weight [h, in], bias [h] or NULL, next weight [out, h]. */
typedef struct hidden {
    double *weight, *bias, *next;
    int64_t h, in, out;
} hidden;

/* Unit i becomes `factor` times unit j. */
static void set_unit(const hidden *l, int64_t i, int64_t j, double factor)
{
    for (int64_t k = 0; k < l->in; k++) l->weight[i * l->in + k] = factor * l->weight[j * l->in + k];
    if (l->bias != NULL) l->bias[i] = factor * l->bias[j];
    for (int64_t k = 0; k < l->out; k++) l->next[k * l->h + i] = factor * l->next[k * l->h + j];
}

/* From the last unit downwards: first the silent ones; of the rest the paired ones copy their neighbour. */
static void arrange(const hidden *l, const ss_study_options *o)
{
    int64_t silent = (int64_t)ceil(o->silent * (double)l->h);
    int64_t left = l->h - silent, pairs = left / 2, paired = (int64_t)ceil(o->paired * (double)pairs);
    for (int64_t i = left; i < l->h; i++) set_unit(l, i, i, 0.0);
    for (int64_t i = 0; i < paired; i++) set_unit(l, 2 * i + 1, 2 * i, 1.0);
}

ss_status ss_study_start(ss_context *context, ss_objective *objective, const ss_study_options *options)
{
    ss_status       status = SS_OK;
    const ss_graph *graph = ss_objective_problem(objective)->graph;
    int64_t         n = graph->layout.n;
    double         *packed = NULL;
    SS_TRY(SS_NEW_ARRAY(context, n, &packed));
    ss_objective_get_weights(objective, packed);
    for (int64_t i = 0; i < n; i++) packed[i] *= options->scale;
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        const ss_parameter *w = &graph->parameters[i];
        if (w->array.rank != 2 || w->offset < 0) continue;
        const ss_parameter *next = next_layer(graph, w), *bias = bias_of(graph, w);
        if (next == NULL) continue;
        hidden l = { .weight = packed + w->canonical,
                     .bias = bias != NULL ? packed + bias->canonical : NULL,
                     .next = packed + next->canonical,
                     .h = w->array.shape[0],
                     .in = w->array.shape[1],
                     .out = next->array.shape[0] };
        arrange(&l, options);
    }
    SS_TRY(ss_objective_set_weights(objective, packed));
fail:
    ss_free(context, packed);
    return status;
}
