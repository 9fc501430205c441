/* Choice and grouping of samples: shuffles by Philox, equal everywhere for equal seeds. */
#include "io/dataset_private.h"
#include "base/philox.h"

#include <stdlib.h>

/* Number `index` of the stream of samples, uniform in [0, bound): the high half of a 64 x 64 bit product. It
 * deviates from uniform by less than bound / 2^64. The groups draw from a part of the stream of their own. */
static int64_t draw(uint64_t seed, uint64_t purpose, int64_t index, int64_t bound)
{
    __extension__ typedef unsigned __int128 wide;
    ss_philox_block b = ss_philox(seed, SS_STREAM_SAMPLES | purpose << 32, (uint64_t)index);
    uint64_t        bits = (uint64_t)b.word[0] << 32 | b.word[1];
    return (int64_t)(uint64_t)((wide)bits * (wide)(uint64_t)bound >> 64);
}

enum { PURPOSE_SELECT = 0, PURPOSE_GROUPS = 1 };

static int compare_numbers(const void *a, const void *b)
{
    const int64_t *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

/* The first `count` places of a Fisher-Yates shuffle of 0 .. samples - 1. */
static void shuffle(int64_t samples, int64_t count, uint64_t seed, uint64_t purpose, int64_t *order)
{
    for (int64_t i = 0; i < samples; i++) order[i] = i;
    for (int64_t i = 0; i < count; i++) {
        int64_t other = i + draw(seed, purpose, i, samples - i), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
}

ss_status ss_dataset_select(ss_context *context, int64_t samples, int64_t count, uint64_t seed,
                            int64_t *index)
{
    ss_status status = SS_OK;
    int64_t  *order = NULL;
    if (count < 1 || count > samples)
        return ss_fail(context, SS_ERROR_USAGE, "%lld of %lld samples cannot be chosen", (long long)count,
                       (long long)samples);
    SS_TRY(SS_NEW_ARRAY(context, samples, &order));
    shuffle(samples, count, seed, PURPOSE_SELECT, order);
    for (int64_t i = 0; i < count; i++) index[i] = order[i];
    qsort(index, (size_t)count, sizeof *index, compare_numbers);
fail:
    ss_free(context, order);
    return status;
}

/* The group with the fewest targets, then fewest samples, then lowest number. */
static int32_t neediest(const int64_t *targets, const int64_t *samples, int32_t groups)
{
    int32_t best = 0;
    for (int32_t g = 1; g < groups; g++) {
        if (targets[g] < targets[best] || (targets[g] == targets[best] && samples[g] < samples[best]))
            best = g;
    }
    return best;
}

ss_status ss_dataset_groups(ss_context *context, const ss_dataset *dataset, int32_t groups, uint64_t seed,
                            int64_t *index, int64_t *start)
{
    ss_status status = SS_OK;
    int64_t   samples = dataset->samples;
    int64_t  *order = NULL, *targets = NULL, *sizes = NULL;
    int32_t  *group = NULL;
    if (groups < 1 || groups > samples)
        return ss_fail(context, SS_ERROR_USAGE, "%lld samples cannot be dealt into %d groups",
                       (long long)samples, groups);
    SS_TRY(SS_NEW_ARRAY(context, samples, &order));
    SS_TRY(SS_NEW_ARRAY(context, samples, &group));
    SS_TRY(SS_NEW_ARRAY(context, groups, &targets));
    SS_TRY(SS_NEW_ARRAY(context, groups, &sizes));

    shuffle(samples, samples, seed, PURPOSE_GROUPS, order);
    for (int64_t i = 0; i < samples; i++) {
        int32_t g = neediest(targets, sizes, groups);
        targets[g] += ss_dataset_counted(dataset, order[i]);
        sizes[g]++;
        group[order[i]] = g;
    }
    start[0] = 0;
    for (int32_t g = 0; g < groups; g++) start[g + 1] = start[g] + sizes[g];
    /* sizes becomes the next free place of each group; ascending samples make ascending groups. */
    for (int32_t g = 0; g < groups; g++) sizes[g] = start[g];
    for (int64_t i = 0; i < samples; i++) index[sizes[group[i]]++] = i;
fail:
    ss_free(context, order);
    ss_free(context, group);
    ss_free(context, targets);
    ss_free(context, sizes);
    return status;
}
