/* VERDICT 2, sampling: N groups of samples tell slope from sampling noise.
 *
 * Drawn by Philox from --sample-seed, so independent of micro-batches; weighted by counted targets. */
#include "verdict/analysis.h"

#include <math.h>

static ss_status draw(ss_analysis *a, int count)
{
    ss_status status = SS_OK;
    const ss_subject_class *class = a->subject->class;
    double total = 0.0;
    SS_TRY(SS_NEW_ARRAY(a->context, a->subject->facts.samples, &a->groups.index));
    SS_TRY(SS_NEW_ARRAY(a->context, count + 1, &a->groups.start));
    SS_TRY(SS_NEW_ARRAY(a->context, count, &a->groups.weight));
    SS_TRY(class->groups(a->subject->self, count, a->options->sample_seed, a->groups.index, a->groups.start));
    for (int i = 0; i < count; i++) {
        ss_samples samples = { a->groups.index + a->groups.start[i],
                               a->groups.start[i + 1] - a->groups.start[i] };
        int64_t    targets = 0;
        SS_TRY(class->targets(a->subject->self, &samples, &targets));
        if (targets < 1) return SS_OK; /* a group without a counted target: statistics are omitted */
        a->groups.weight[i] = (double)targets;
        total += (double)targets;
    }
    for (int i = 0; i < count; i++) a->groups.weight[i] /= total;
    a->groups.count = count;
fail:
    return status;
}

/* c = ||mean g_i||^2 / mean ||g_i||^2 and the standard error of the loss over the groups. */
ss_status ss_verdict_groups(ss_analysis *a)
{
    ss_status                status = SS_OK;
    ss_verdict_stationarity *s = &a->verdict->stationarity;
    ss_vectors               each = { 0 }, mean = { 0 };
    int64_t                  samples = a->subject->facts.samples;
    int                      count = samples < SS_MAX_GROUPS ? (int)samples : SS_MAX_GROUPS;
    double                   squares = 0.0, loss[SS_MAX_GROUPS], average = 0.0, spread = 0.0, norm = 0.0;
    if (count < SS_MIN_GROUPS) return SS_OK;
    SS_TRY(draw(a, count));
    if (a->groups.count == 0) return SS_OK;
    SS_TRY(ss_vectors_create(a->subject->backend64, a->subject->layout, 1, &each));
    SS_TRY(ss_vectors_create(a->subject->backend64, a->subject->layout, 1, &mean));
    for (int i = 0; i < count; i++) {
        ss_samples    group = { a->groups.index + a->groups.start[i],
                                a->groups.start[i + 1] - a->groups.start[i] };
        ss_loss_value value = { 0 };
        SS_TRY(ss_analysis_gradient(a, &group, NULL, each.data, &value));
        SS_TRY(ss_vectors_norm(&each, &norm));
        SS_TRY(ss_vectors_add(a->groups.weight[i], &each, 1.0, &mean));
        squares += a->groups.weight[i] * norm * norm;
        loss[i] = value.loss;
        average += a->groups.weight[i] * value.loss;
    }
    SS_TRY(ss_vectors_norm(&mean, &norm));
    for (int i = 0; i < count; i++) {
        double off = a->groups.weight[i] * (loss[i] - average);
        spread += off * off;
    }
    s->groups = count;
    s->coherence = squares > 0.0 ? norm * norm / squares : 0.0;
    s->slope_is_noise = (double)count * s->coherence <= 2.0;
    s->loss_sampling_error = sqrt(spread * (double)count / (double)(count - 1));
    ss_analysis_report(a);
fail:
    ss_vectors_release(&each);
    ss_vectors_release(&mean);
    return status;
}
