/* Weights that do not stay resident: placed while the step before is computed, with the same products; and
 * the planner's choice of that when the memory is too small for the weights. */
#include "hvp/fixture.h"

#include <criterion/criterion.h>
#include <string.h>

#define MAXIMUM 512 /* parameters of the largest fixture */

static ss_program_options streamed(int64_t micro_batch)
{
    return (ss_program_options){ .computation = SS_COMPUTE_PRODUCT,
                                 .product = SS_PRODUCT_HESSIAN,
                                 .micro_batch = micro_batch,
                                 .rest = SS_CACHE_NONE,
                                 .lanes = 1,
                                 .stream_weights = true };
}

static bool reads(const ss_program *p, const ss_step *step, int32_t buffer)
{
    if (step->kind == SS_STEP_PLACE || step->kind == SS_STEP_POISON) return false;
    for (int32_t j = 0; j < step->n_operands; j++)
        if (p->operands[step->first_operand + j].buffer == buffer) return true;
    return false;
}

/* Is there a step between a placing and its reader that reads other weights? */
static bool is_ahead(const ss_program *p, const ss_step_list *list, int64_t at)
{
    int32_t buffer = p->operands[list->steps[at].first_operand].buffer;
    for (int64_t i = at + 1; i < list->count; i++) {
        if (reads(p, &list->steps[i], buffer)) return false;
        for (int64_t k = 0; k < at; k++)
            if (list->steps[k].kind == SS_STEP_PLACE &&
                reads(p, &list->steps[i], p->operands[list->steps[k].first_operand].buffer))
                return true;
    }
    return false;
}

/* Nobody else may have the memory of a placing between it and the step that waits for it. */
static void check_memory(const ss_program *p, const ss_step_list *list, int64_t at)
{
    int64_t wait = at + 1;
    while (wait < list->count && (list->steps[wait].wait == 0 || wait - list->steps[wait].wait < at)) wait++;
    cr_assert(wait < list->count, "nobody waits for step %lld", (long long)at);
    for (int32_t j = 0; j < list->steps[at].n_operands; j++) {
        int32_t          own = p->operands[list->steps[at].first_operand + j].buffer;
        const ss_buffer *a = &p->buffers[own];
        for (int64_t i = at + 1; i < wait; i++)
            for (int32_t k = 0; k < list->steps[i].n_operands; k++) {
                int32_t          other = p->operands[list->steps[i].first_operand + k].buffer;
                const ss_buffer *b = &p->buffers[other];
                cr_assert(other == own || b->slot != SS_SLOT_ARENA || b->offset + b->bytes <= a->offset ||
                              a->offset + a->bytes <= b->offset,
                          "step %lld has memory of the placing %lld", (long long)i, (long long)at);
            }
    }
}

static void check_device(const char *device)
{
    for (int kind = FIXTURE_PLAIN; kind < FIXTURE_KIND_COUNT; kind++) {
        fixture            f;
        double             v[MAXIMUM], hv[MAXIMUM], reference[MAXIMUM];
        ss_program_options options = streamed(4), resident = options;
        ss_program        *p;
        resident.stream_weights = false;
        fixture_create(&f, (fixture_kind)kind, device, SS_FLOAT64, 0.01, NULL);
        bool beside = f.backend->class->space != SS_MEMORY_HOST;
        fixture_random(&f, 3, v);
        fixture_product(&f, &resident, 1, v, reference);
        ss_test_require(ss_program_compile(ss_test_context, f.backend, f.problem, &options, &p));
        int64_t placed = 0, ahead = 0;
        for (int64_t i = 0; i < p->body.count; i++) {
            if (p->body.steps[i].kind != SS_STEP_PLACE) continue;
            placed++;
            ahead += is_ahead(p, &p->body, i);
            if (beside) check_memory(p, &p->body, i);
        }
        cr_assert(placed > 2);
        cr_assert(!beside || 2 * ahead > placed, "%s, fixture %d: %lld of %lld placings are ahead", device,
                  kind, (long long)ahead, (long long)placed);
        for (int again = 0; again < 3; again++) {
            fixture_run(&f, p, 1, v, hv);
            double error = ss_test_relative_error(f.graph->layout.n, hv, reference, 0);
            cr_assert(error < 1e-12, "%s, fixture %d, product %d: error %g", device, kind, again, error);
        }
        ss_program_release(p); /* gives the queue and its events back, too, and takes them again */
        fixture_run(&f, p, 1, v, hv);
        cr_assert(ss_test_relative_error(f.graph->layout.n, hv, reference, 0) < 1e-12);
        ss_program_destroy(p);
        fixture_destroy(&f);
    }
}

Test(prefetch, weights_are_placed_ahead, .init = ss_test_begin, .fini = ss_test_end)
{
    for (const char *const *name = ss_test_backends(); *name != NULL; name++) check_device(*name);
}

/* The planner: resident weights where they fit, streamed ones below that, a refusal that says what would do
 * below those. */
Test(prefetch, a_small_budget_streams, .init = ss_test_begin, .fini = ss_test_end)
{
    fixture         f;
    double          v[MAXIMUM], hv[MAXIMUM], reference[MAXIMUM];
    ss_plan_request request = { .computation = SS_COMPUTE_PRODUCT,
                                .product = SS_PRODUCT_HESSIAN,
                                .batch_size = 1,
                                .cache = SS_CACHE_AUTO,
                                .lanes = 1,
                                .budget = (int64_t)1 << 30 };
    ss_program     *p = NULL;
    int64_t         least_resident = 0, least = 0;
    fixture_create(&f, FIXTURE_ATTENTION, ss_test_device(), SS_FLOAT64, 0, NULL);
    fixture_random(&f, 3, v);
    for (; request.budget > 0; request.budget -= 256) {
        if (request.budget == (int64_t)1 << 30) { /* everything: then down from what that takes */
            ss_test_require(ss_program_plan(ss_test_context, f.backend, f.problem, &request, &p));
            cr_assert(!p->plan.stream_weights && p->plan.bytes_weights > 0);
            fixture_run(&f, p, 1, v, reference);
            request.budget = p->plan.bytes_peak + p->plan.bytes_staging + 256;
            ss_program_destroy(p);
            continue;
        }
        ss_status status = ss_program_plan(ss_test_context, f.backend, f.problem, &request, &p);
        if (status != SS_OK) {
            ss_test_refuse(status, SS_ERROR_REFUSED, "are not enough");
            break;
        }
        cr_assert(p->plan.bytes_peak + p->plan.bytes_staging <= request.budget);
        if (p->plan.stream_weights)
            least = request.budget;
        else
            least_resident = request.budget;
        cr_assert(!least || p->plan.stream_weights, "resident again at %lld bytes",
                  (long long)request.budget);
        fixture_run(&f, p, 1, v, hv);
        cr_assert(ss_test_relative_error(f.graph->layout.n, hv, reference, 0) < 1e-12);
        ss_program_destroy(p);
    }
    cr_assert(0 < least && least < least_resident, "streamed down to %lld, resident down to %lld",
              (long long)least, (long long)least_resident);
    fixture_destroy(&f);
}
