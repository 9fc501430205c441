/* The verdict's subject over an objective: a thin adapter. */
#include "verdict/subject.h"

#include "hvp/problem.h"
#include "network/gauge.h"
#include "saddlescope/dataset.h"

typedef struct adapter {
    ss_context   *context;
    ss_objective *objective; /* borrowed */
    ss_gauge     *gauge;     /* owned */
} adapter;

static ss_status adapter_loss(void *self, const ss_samples *samples, const ss_point *point,
                              ss_loss_value *value)
{
    return ss_objective_loss(((adapter *)self)->objective, SS_FLOAT64, samples, point, value, NULL);
}

static ss_status adapter_gradient(void *self, const ss_samples *samples, const ss_point *point,
                                  void *gradient, ss_loss_value *value)
{
    return ss_objective_gradient(((adapter *)self)->objective, SS_FLOAT64, samples, point, gradient, value);
}

static ss_status adapter_open(void *self, ss_operator_role role, ss_product product,
                              const ss_samples *samples, ss_operator *op)
{
    adapter *s = self;
    ss_real  real = role == SS_CONFIRMING ? SS_FLOAT64 : ss_objective_precision(s->objective);
    return ss_objective_operator(s->objective, product, real, samples, NULL, op);
}

static ss_status adapter_kinks(void *self, const ss_point *point, double *share)
{
    return ss_objective_kinks(((adapter *)self)->objective, NULL, point, share);
}

static void adapter_memory(void *self, int64_t *now, int64_t *most)
{
    ss_objective_program_memory(((adapter *)self)->objective, now, most);
}

static ss_status adapter_targets(void *self, const ss_samples *samples, int64_t *targets)
{
    return ss_objective_targets(((adapter *)self)->objective, samples, targets);
}

static ss_status adapter_groups(void *self, int32_t groups, uint64_t seed, int64_t *index, int64_t *start)
{
    adapter *s = self;
    return ss_dataset_groups(s->context, ss_objective_problem(s->objective)->dataset, groups, seed, index,
                             start);
}

static ss_status adapter_gauge_multiply(void *self, const double *c, double *v)
{
    ss_gauge_multiply(((adapter *)self)->gauge, c, v);
    return SS_OK;
}

static ss_status adapter_gauge_transpose(void *self, const double *v, double *c)
{
    ss_gauge_transpose(((adapter *)self)->gauge, v, c);
    return SS_OK;
}

static ss_verdict_gauge count_gauge(const ss_gauge *gauge)
{
    ss_verdict_gauge g = { .rank = gauge->rank,
                           .softmax_shift = ss_gauge_count(gauge, SS_GAUGE_SOFTMAX_SHIFT),
                           .rescaling = ss_gauge_count(gauge, SS_GAUGE_RESCALING),
                           .norm_gain = ss_gauge_count(gauge, SS_GAUGE_NORM_GAIN) };
    g.other = g.rank - g.softmax_shift - g.rescaling - g.norm_gain;
    return g;
}

static const ss_subject_class adapter_class = {
    .loss = adapter_loss,
    .gradient = adapter_gradient,
    .open = adapter_open,
    .kinks = adapter_kinks,
    .memory = adapter_memory,
    .targets = adapter_targets,
    .groups = adapter_groups,
    .gauge_multiply = adapter_gauge_multiply,
    .gauge_transpose = adapter_gauge_transpose,
};

ss_status ss_subject_from_objective(ss_context *context, ss_objective *objective, ss_subject *subject)
{
    ss_status status = SS_OK;
    adapter  *self = NULL;
    ss_real   real = ss_objective_precision(objective);
    *subject = (ss_subject){ 0 };
    SS_TRY(SS_NEW(context, &self));
    *self = (adapter){ .context = context, .objective = objective };
    *subject = (ss_subject){
        .class = &adapter_class,
        .self = self,
        .layout = ss_objective_layout(objective),
        .backend = ss_objective_backend(objective, real),
        .backend64 = ss_objective_backend(objective, SS_FLOAT64),
        .distinct = real != SS_FLOAT64,
    };
    SS_TRY(ss_objective_facts_get(objective, &subject->facts));
    SS_TRY(ss_gauge_find(ss_objective_problem(objective)->graph, &self->gauge));
    subject->gauge = count_gauge(self->gauge);
fail:
    return status;
}

void ss_subject_release(ss_context *context, ss_subject *subject)
{
    adapter *self = subject->self;
    if (self != NULL) ss_gauge_destroy(self->gauge);
    ss_free(context, self);
    *subject = (ss_subject){ 0 };
}
