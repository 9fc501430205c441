/* What the verdict asks of the thing it judges: losses, gradients, operators, facts.
 *
 * The real subject is a thin adapter over ss_objective (subject.c). The tests put analytic functions with
 * known answers behind the same table, so that every rule is tried without a network.
 *
 * Losses and gradients are float64; their vectors are padded and live in backend64. Products exist twice: the
 * working operator W (of which there is one real type) and the confirming one C (float64). Where W is C
 * (`distinct` false) nothing is computed twice. */
#ifndef SS_VERDICT_SUBJECT_H
#define SS_VERDICT_SUBJECT_H

#include "backend/backend.h"
#include "saddlescope/objective.h"
#include "saddlescope/verdict.h"

typedef enum ss_operator_role { SS_WORKING, SS_CONFIRMING } ss_operator_role;

typedef struct ss_subject_class {
    ss_status (*loss)(void *self, const ss_samples *samples, const ss_point *point, ss_loss_value *value);
    ss_status (*gradient)(void *self, const ss_samples *samples, const ss_point *point, void *gradient,
                          ss_loss_value *value);
    ss_status (*open)(void *self, ss_operator_role role, ss_product product, const ss_samples *samples,
                      ss_operator *op);
    ss_status (*kinks)(void *self, const ss_point *point, double *share); /* optional: nothing is kinked */
    /* Bytes of the programs: now, and at most together. Optional: there are none. */
    void (*memory)(void *self, int64_t *now, int64_t *most);
    ss_status (*targets)(void *self, const ss_samples *samples, int64_t *targets);
    /* Deals all samples into groups, as ss_dataset_groups. */
    ss_status (*groups)(void *self, int32_t groups, uint64_t seed, int64_t *index, int64_t *start);
    /* Gauge tangents Z (n x rank), packed vectors on the host: v := Z c, c := Z' v. Optional. */
    ss_status (*gauge_multiply)(void *self, const double *c, double *v);
    ss_status (*gauge_transpose)(void *self, const double *v, double *c);
} ss_subject_class;

typedef struct ss_subject {
    const ss_subject_class *class; /* borrowed */
    void              *self;       /* first argument of every entry */
    const ss_layout   *layout;     /* borrowed */
    ss_backend        *backend;    /* of W's real type; borrowed */
    ss_backend        *backend64;  /* of C, losses and gradients; the same one when W is float64 */
    bool               distinct;   /* W is not C */
    ss_objective_facts facts;
    ss_verdict_gauge   gauge; /* gauge.rank columns of Z */
} ss_subject;

/* The adapter: borrows the objective, which must outlive the subject. */
ss_status ss_subject_from_objective(ss_context *context, ss_objective *objective, ss_subject *subject);
void      ss_subject_release(ss_context *context, ss_subject *subject);

/* ss_analyze on any subject. */
ss_status ss_analyze_subject(ss_context *context, const ss_subject *subject,
                             const ss_analyze_options *options, ss_verdict *verdict);

#endif
