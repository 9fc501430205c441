/* The verdict's subject over an objective: a thin adapter. */
#include "verdict/subject.h"

#include "hvp/problem.h"
#include "saddlescope/dataset.h"

typedef struct adapter {
    ss_context   *context;
    ss_objective *objective; /* borrowed */
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

static const ss_subject_class adapter_class = {
    .loss = adapter_loss,
    .gradient = adapter_gradient,
    .open = adapter_open,
    .kinks = adapter_kinks,
    .targets = adapter_targets,
    .groups = adapter_groups,
};

ss_status ss_subject_from_objective(ss_context *context, ss_objective *objective, ss_subject *subject)
{
    ss_status status = SS_OK;
    adapter  *self = NULL;
    ss_real   real = ss_objective_precision(objective);
    *subject = (ss_subject){ 0 };
    SS_TRY(SS_NEW(context, &self));
    *self = (adapter){ context, objective };
    *subject = (ss_subject){
        .class = &adapter_class,
        .self = self,
        .layout = ss_objective_layout(objective),
        .backend = ss_objective_backend(objective, real),
        .backend64 = ss_objective_backend(objective, SS_FLOAT64),
        .distinct = real != SS_FLOAT64,
    };
    SS_TRY(ss_objective_facts_get(objective, &subject->facts));
fail:
    return status;
}

void ss_subject_release(ss_context *context, ss_subject *subject)
{
    ss_free(context, subject->self);
    *subject = (ss_subject){ 0 };
}
