/* The planner: micro-batch, cache plan and lanes within a memory budget.
 *
 * A plan's memory is not modelled but compiled: compilation allocates nothing on the device and costs
 * microseconds per step, so the planner compiles candidates and reads their arena sizes. Candidates of a
 * micro-batch in order of flops: everything cached; then as many micro-batches cached as fit, the others with
 * recomputed adjoints, with everything recomputed, with checkpoints. The largest micro-batch comes first; a
 * smaller one, whose products are still efficient on the device, is taken where it saves flops, and any that
 * fits where no other does. Last, the logits of a head are kept where there is room for them. When nothing of
 * that fits, a head takes fewer tokens at a time; and when that is not enough, the weights stay where they
 * are stored, and each is brought in before its use (prefetch.c). */
#include "hvp/program.h"

#define MAXIMUM_BATCH 16384
/* More lanes than this bring nothing: the weights' share of the work is spread thin enough. */
#define MAXIMUM_LANES     16
#define LANE_MEMORY_SHARE 8 /* lanes may take an eighth of the budget */

static int64_t widest_value(const ss_graph *graph)
{
    int64_t widest = 1;
    for (int32_t i = 0; i < graph->n_values; i++) widest = ss_max64(widest, graph->values[i].count);
    return widest;
}

/* Rows that a sample brings to a matrix product: 1, or its tokens. */
static int64_t rows_per_sample(const ss_graph *graph)
{
    int64_t most = 1;
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        const ss_node *node = &graph->nodes[i];
        if (node->op != &ss_op_linear && node->op != &ss_op_head) continue;
        const ss_value *x = &graph->values[node->input[0]];
        most = ss_max64(most, x->count / x->shape[x->rank - 1]);
    }
    return most;
}

static int64_t samples_with(int64_t rows, const ss_graph *graph)
{
    int64_t each = rows_per_sample(graph);
    return (rows + each - 1) / each;
}

static ss_batching batching_of(const ss_backend *backend, const ss_plan_request *request)
{
    static const ss_batching of_a_gpu = SS_GPU_BATCHING;
    return request->for_gpu ? of_a_gpu : backend->class->batching;
}

/* As large as the device's caches hold, if its products have rows enough. */
static int64_t first_micro_batch(const ss_problem *problem, const ss_backend *backend,
                                 const ss_plan_request *request, int64_t samples)
{
    ss_batching wanted = batching_of(backend, request);
    int64_t     tensor = widest_value(problem->graph) * (int64_t)ss_real_size(backend->real);
    int64_t     batch = ss_max64(wanted.tensor_bytes / tensor, samples_with(wanted.rows, problem->graph));
    batch = ss_min64(batch, MAXIMUM_BATCH);
    if (request->batch_size > 0) batch = ss_min64(batch, request->batch_size);
    /* Equal micro-batches rather than a small rest. */
    int64_t count = (samples + batch - 1) / batch;
    return (samples + count - 1) / count;
}

/* Lanes pay while a vector's pass is bound by the weights or by overheads: small networks, small data. */
static int choose_lanes(const ss_problem *problem, const ss_backend *backend, const ss_plan_request *request,
                        int64_t micro_batch)
{
    if (request->lanes > 0) return request->lanes;
    if (request->computation != SS_COMPUTE_PRODUCT) return 1;
    int64_t per_lane = 0;
    for (int32_t i = 0; i < problem->graph->n_values; i++) per_lane += problem->graph->values[i].count;
    if (problem->graph->head.weight >= 0) per_lane += problem->rows * problem->columns; /* its workspace */
    per_lane *= 2 * micro_batch * (int64_t)ss_real_size(backend->real);
    int64_t limit = ss_min64(request->budget / LANE_MEMORY_SHARE, (int64_t)64 << 20);
    int64_t lanes = per_lane > 0 ? limit / per_lane : MAXIMUM_LANES;
    return (int)ss_max64(1, ss_min64(lanes, MAXIMUM_LANES));
}

static ss_status try_plan(ss_context *context, ss_backend *backend, const ss_problem *problem,
                          const ss_program_options *options, int64_t budget, ss_program **best,
                          int64_t *needed)
{
    ss_status   status = SS_OK;
    ss_program *p = NULL;
    SS_TRY(ss_program_compile(context, backend, problem, options, &p));
    *needed = p->arena_bytes + p->staging_bytes;
    if (*needed <= budget) {
        ss_program_destroy(*best);
        *best = p;
    } else {
        ss_program_destroy(p);
    }
fail:
    return status;
}

/* The largest number of cached micro-batches that fits, the others doing `rest`; *best stays when none does.
 */
static ss_status most_cached(ss_context *context, ss_backend *backend, const ss_problem *problem,
                             ss_program_options options, int64_t batches, int64_t budget, ss_program **best,
                             int64_t *needed)
{
    ss_status status = SS_OK;
    int64_t   low = 0, high = batches - 1, least;
    options.cached = 0;
    SS_TRY(try_plan(context, backend, problem, &options, budget, best, &least));
    *needed = ss_min64(*needed, least);
    if (least > budget) return SS_OK;
    while (low < high) {
        int64_t bytes;
        options.cached = (low + high + 1) / 2;
        SS_TRY(try_plan(context, backend, problem, &options, budget, best, &bytes));
        if (bytes <= budget)
            low = options.cached;
        else
            high = options.cached - 1;
    }
fail:
    return status;
}

static ss_status search(ss_context *context, ss_backend *backend, const ss_problem *problem,
                        ss_program_options options, const ss_plan_request *request, int64_t samples,
                        ss_program **best, int64_t *needed)
{
    ss_status status = SS_OK;
    int64_t   batches = (samples + options.micro_batch - 1) / options.micro_batch, bytes;
    bool      any = request->cache == SS_CACHE_AUTO;
    if (any || request->cache == SS_CACHE_ALL || request->computation != SS_COMPUTE_PRODUCT) {
        options.cached = batches;
        options.rest = SS_CACHE_NONE;
        SS_TRY(try_plan(context, backend, problem, &options, request->budget, best, &bytes));
        *needed = ss_min64(*needed, bytes);
        if (*best || request->computation != SS_COMPUTE_PRODUCT) return SS_OK;
    }
    for (ss_cache rest = SS_CACHE_ACTIVATIONS; rest <= SS_CACHE_CHECKPOINT && !*best; rest++) {
        options.rest = rest;
        options.cached = 0;
        if (any) {
            SS_TRY(most_cached(context, backend, problem, options, batches, request->budget, best, needed));
        } else if (request->cache == rest) {
            SS_TRY(try_plan(context, backend, problem, &options, request->budget, best, &bytes));
            *needed = ss_min64(*needed, bytes);
        }
    }
fail:
    return status;
}

/* The logits are the first thing to spend what is left on: a matrix product of the head less in every sweep.
 */
static ss_status keep_logits(ss_context *context, ss_backend *backend, const ss_problem *problem,
                             const ss_plan_request *request, ss_program **best)
{
    ss_program_options options = (*best)->options;
    int64_t            bytes;
    if (problem->loss->op != &ss_op_head) return SS_OK;
    options.samples = request->samples;
    options.keep_logits = true;
    return try_plan(context, backend, problem, &options, request->budget, best, &bytes);
}

/* Takes the candidate where it is better than what there is. */
static void take(ss_program **best, ss_program *candidate)
{
    bool better = candidate && (!*best || candidate->plan.flops_body < (*best)->plan.flops_body);
    ss_program_destroy(better ? *best : candidate);
    if (better) *best = candidate;
}

/* From the largest micro-batch down; *best stays NULL when none fits. */
static ss_status plan_with(ss_context *context, ss_backend *backend, const ss_problem *problem,
                           const ss_plan_request *request, bool stream_weights, int64_t head_rows,
                           ss_program **best, int64_t *needed)
{
    ss_status   status = SS_OK;
    ss_program *candidate = NULL;
    int64_t     samples = request->samples.index ? request->samples.count : problem->samples;
    int64_t     batch = first_micro_batch(problem, backend, request, samples);
    int64_t     least = samples_with(batching_of(backend, request).least_rows, problem->graph);
    for (;; batch = (batch + 1) / 2) {
        ss_program_options options = { .computation = request->computation,
                                       .product = request->product,
                                       .samples = request->samples,
                                       .micro_batch = batch,
                                       .lanes = choose_lanes(problem, backend, request, batch),
                                       .stream_weights = stream_weights,
                                       .head_rows = head_rows,
                                       .label_seed = request->label_seed };
        SS_TRY(search(context, backend, problem, options, request, samples, &candidate, needed));
        take(best, candidate);
        candidate = NULL;
        if (*best && ((*best)->plan.cached[SS_CACHE_ALL] == (*best)->n_micro_batches || batch / 2 < least))
            break;
        if (batch == 1) break;
    }
    return SS_OK;
fail:
    ss_program_destroy(candidate);
    return status;
}

ss_status ss_program_plan(ss_context *context, ss_backend *backend, const ss_problem *problem,
                          const ss_plan_request *request, ss_program **program)
{
    ss_status   status = SS_OK;
    ss_program *best = NULL;
    bool        stream = request->stream_weights;
    int64_t     needed = INT64_MAX, head_rows = 0;
    *program = NULL;
    if (problem->loss->op == &ss_op_head) head_rows = batching_of(backend, request).head_rows;
    SS_TRY(plan_with(context, backend, problem, request, stream, head_rows, &best, &needed));
    if (!best && head_rows > 0)
        SS_TRY(plan_with(context, backend, problem, request, stream, 0, &best, &needed));
    if (!best && !stream) SS_TRY(plan_with(context, backend, problem, request, true, 0, &best, &needed));
    if (!best)
        SS_FAIL(
            context, SS_ERROR_REFUSED,
            "%.1f MiB of memory are not enough: the smallest plan needs %.1f MiB, network, data and vectors "
            "%.1f MiB (--memory %lldM would do)",
            (double)request->memory / 0x1p20, (double)needed / 0x1p20, (double)request->beside / 0x1p20,
            (long long)((needed + request->beside) / (1 << 20) + 1));
    SS_TRY(keep_logits(context, backend, problem, request, &best));
    *program = best;
    return SS_OK;
fail:
    ss_program_destroy(best);
    return status;
}
