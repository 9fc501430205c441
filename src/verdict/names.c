/* Names of the verdict's enumerators, defaults of its options, release of its arrays. */
#include "saddlescope/verdict.h"

#include "base/base.h"

#include <math.h>
#include <string.h>

#define NAME_ROW(name, text) text,
#define NAME_FUNCTION(function, type, table)                                                                 \
    const char *function(type value)                                                                         \
    {                                                                                                        \
        static const char *const names[] = { table(NAME_ROW) };                                              \
        return names[value];                                                                                 \
    }

NAME_FUNCTION(ss_label_name, ss_label, SS_LABEL_TABLE)
NAME_FUNCTION(ss_reason_name, ss_reason, SS_REASON_TABLE)
NAME_FUNCTION(ss_evidence_name, ss_evidence, SS_EVIDENCE_TABLE)
NAME_FUNCTION(ss_curvature_name, ss_curvature, SS_CURVATURE_TABLE)
NAME_FUNCTION(ss_method_name, ss_method, SS_METHOD_TABLE)
NAME_FUNCTION(ss_answer_name, ss_answer, SS_ANSWER_TABLE)
NAME_FUNCTION(ss_direction_name, ss_direction, SS_DIRECTION_TABLE)
NAME_FUNCTION(ss_tri_name, ss_tri, SS_TRI_TABLE)
NAME_FUNCTION(ss_population_name, ss_population, SS_POPULATION_TABLE)
NAME_FUNCTION(ss_end_name, ss_end, SS_END_TABLE)

ss_label ss_label_from_name(const char *name)
{
    for (int label = 0; label < SS_LABEL_COUNT; label++) {
        if (strcmp(name, ss_label_name((ss_label)label)) == 0) return (ss_label)label;
    }
    return SS_LABEL_COUNT;
}

void ss_analyze_options_init(ss_analyze_options *options)
{
    *options = (ss_analyze_options){
        .product = SS_PRODUCT_HESSIAN,
        .confidence = 0.99,
        .dense_limit = 4096,
        .critical = 1e-3,
        .expect_loss = (double)NAN,
        .expect_tolerance = 1e-4,
        .checkpoint_every = 600.0,
    };
}

void ss_verdict_destroy(ss_verdict *verdict)
{
    if (verdict == NULL || verdict->context == NULL) return;
    ss_free(verdict->context, verdict->curvature.ritz_value);
    ss_free(verdict->context, verdict->curvature.ritz_residual);
    ss_free(verdict->context, verdict->witness.vector);
    for (int64_t i = 0; i < verdict->n_blocks; i++) ss_free(verdict->context, verdict->blocks[i].name);
    ss_free(verdict->context, verdict->blocks);
    verdict->blocks = NULL;
    verdict->n_blocks = 0;
    ss_free(verdict->context, verdict->flat_probe.vector);
    verdict->curvature.ritz_value = NULL;
    verdict->curvature.ritz_residual = NULL;
    verdict->witness.vector = NULL;
    verdict->flat_probe.vector = NULL;
}
