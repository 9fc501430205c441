/* Memory: what an analysis holds, what it will hold, and what is left of --memory for a basis.
 *
 * Beside the programs (hvp/objective.c shares the memory between them) it holds parameter vectors, float64
 * ones and ones of the working type. The table below says how many at each of its stages; a search leaves
 * room for the stages that follow it, and searches whose basis does not fit are made with a smaller one, with
 * three vectors, or not at all. When not even the three vectors fit, the analysis is refused before its first
 * pass over the data. On a device the host's few vectors count, too: an overestimate. */
#include "spectrum/eigen.h"
#include "verdict/analysis.h"

/* Vectors held at once, the basis of the curvature search (m + 4) and one of the gradient's Krylov space
 * apart. */
static const struct {
    int  wide, working; /* float64 and working vectors */
    bool gauge;         /* only where there are symmetries */
} stages[] = {
    { 3, 0, false }, /* groups: g / |g|, a group's gradient, their mean */
    { 4, 4, false }, /* structural zeros: g / |g|, C r, two host vectors; live, s, H s, a host vector */
    { 5, 3, false }, /* operator's error: g / |g|, two extremes, C x, W x widened; live, x, W x */
    { 3, 3, false }, /* Newton step: g / |g|, lowest, p; live, start, V y */
    { 6, 3, false }, /* witness: g / |g|, lowest, p, v, C v, W v widened; live, v, W v */
    { 7, 1, true },  /* the witness without its gauge part: g / |g|, lowest, p, v, and three of LSQR; live */
    { 6, 1, false }, /* left here: g / |g|, lowest, p, v, its copy for the result, a unit step; live */
};
#define STAGES ((int)(sizeof stages / sizeof *stages))

/* What ss_objective_options asks for: the most of any stage with three vectors for the search. */
void ss_analyze_vectors(int *working, int *wide)
{
    *wide = *working = 0;
    for (int i = 0; i < STAGES; i++) {
        if (stages[i].wide > *wide) *wide = stages[i].wide;
        if (stages[i].working > *working) *working = stages[i].working;
    }
    *working += SS_EIGEN_SCRATCH;
}

static int64_t wide_bytes(const ss_analysis *a)
{
    return a->subject->layout->padded * (int64_t)sizeof(double);
}

static int64_t working_bytes(const ss_analysis *a)
{
    return a->subject->layout->padded * (int64_t)ss_real_size(a->subject->backend->real);
}

/* Bytes of vectors at the largest stage. */
static int64_t vectors_bytes(const ss_analysis *a)
{
    int64_t most = 0;
    for (int i = 0; i < STAGES; i++)
        if (!stages[i].gauge || a->subject->gauge.rank > 0)
            most = ss_max64(most, stages[i].wide * wide_bytes(a) + stages[i].working * working_bytes(a));
    return most;
}

static void programs(const ss_analysis *a, int64_t *now, int64_t *most)
{
    *now = *most = 0;
    if (a->subject->class->memory != NULL) a->subject->class->memory(a->subject->self, now, most);
}

/* Everything that is held now and is no program. */
static int64_t held_bytes(const ss_analysis *a)
{
    int64_t now, most;
    programs(a, &now, &most);
    return ss_context_memory_now(a->context) - now;
}

ss_status ss_analysis_memory_begin(ss_analysis *a)
{
    ss_backend *b = a->subject->backend;
    int64_t     now, most, available = b->class->memory_available(b), stated = a->options->memory;
    programs(a, &now, &most);
    a->before = held_bytes(a);
    a->memory = (stated > 0 ? available : available / 10 * 9) + a->before + now;
    if (stated > 0 && b->class->space == SS_MEMORY_HOST) a->memory = stated;
    if (stated > 0) a->memory = ss_min64(stated, a->memory); /* a device has what it has */
    int64_t vectors = vectors_bytes(a) + SS_EIGEN_SCRATCH * working_bytes(a);
    a->verdict->cost.memory_predicted = a->before + most + vectors;
    if (a->verdict->n <= a->options->dense_limit || a->before + most + vectors <= a->memory) return SS_OK;
    return ss_fail(
        a->context, SS_ERROR_REFUSED,
        "%.1f MiB of memory are not enough to analyse %lld parameters: vectors take %.1f MiB, programs "
        "%.1f MiB, network and data %.1f MiB (--memory %lldM would do)",
        (double)a->memory / 0x1p20, (long long)a->verdict->n, (double)vectors / 0x1p20, (double)most / 0x1p20,
        (double)a->before / 0x1p20, (long long)((a->before + most + vectors) / (1 << 20) + 1));
}

int64_t ss_analysis_room(const ss_analysis *a, int wide, int working)
{
    int64_t now, most;
    programs(a, &now, &most);
    int64_t room =
        a->memory - held_bytes(a) - ss_max64(now, most) - wide * wide_bytes(a) - working * working_bytes(a);
    return ss_max64(room, 1); /* 0 would mean "from what is free" */
}

int64_t ss_analysis_search_room(const ss_analysis *a)
{
    int64_t now, most;
    programs(a, &now, &most);
    return ss_max64(a->memory - a->before - ss_max64(now, most) - vectors_bytes(a), 1);
}

/* At most ever larger: programs are made on the way. */
static void predict(ss_analysis *a, int64_t bytes)
{
    int64_t now, most;
    programs(a, &now, &most);
    int64_t *predicted = &a->verdict->cost.memory_predicted;
    *predicted = ss_max64(*predicted, ss_max64(now, most) + bytes);
}

void ss_analysis_memory_predict(ss_analysis *a, int64_t basis)
{
    predict(a, a->before + vectors_bytes(a) +
                   (SS_EIGEN_SCRATCH + (basis > 0 ? basis + 1 : 0)) * working_bytes(a));
}

void ss_analysis_memory_more(ss_analysis *a, int64_t wide, int64_t working)
{
    predict(a, held_bytes(a) + wide * wide_bytes(a) + working * working_bytes(a));
}
