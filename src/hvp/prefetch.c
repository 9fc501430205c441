/* After pruning: weights that do not stay resident are brought in ahead of their use.
 *
 * Emitted, a streamed weight is placed right before the step that reads it. Here the placing moves in front
 * of the last step that reads weights before that one, and runs on a queue of its own: while a layer is
 * computed, the weights of the next are copied and converted. Lifetimes are found afterwards (arena.c), so
 * that two layers' weights lie in the arena at once, and every place serves the copies as it serves the
 * steps:
 *
 *   the copying queue waits for what was queued before a placing: its memory was somebody else's until then;
 *   the first step that reads the weight waits for it (ss_step.wait), and till then nobody gets the memory.
 *
 * Where a product runs in host memory there is nothing to overlap, and the order stays. */
#include "hvp/program.h"

/* Below, placed[buffer] is 1 + the position of the step that places it; 0 = none. */

static int64_t latest_read(const ss_program *p, const int64_t *placed, const ss_step *step)
{
    int64_t latest = 0;
    if (step->kind == SS_STEP_PLACE || step->kind == SS_STEP_POISON) return 0;
    for (int32_t j = 0; j < step->n_operands; j++)
        latest = ss_max64(latest, placed[p->operands[step->first_operand + j].buffer]);
    return latest;
}

/* Each placing in front of the last step before it that reads weights. */
static void hoist(ss_program *p, ss_step_list *list, int64_t *placed)
{
    int64_t reader = -1;
    for (int64_t i = 0; i < list->count; i++) {
        ss_step step = list->steps[i];
        if (step.kind == SS_STEP_PLACE) {
            placed[p->operands[step.first_operand].buffer] = i + 1;
            if (reader < 0) continue;
            for (int64_t k = i; k > reader; k--) list->steps[k] = list->steps[k - 1];
            list->steps[reader++] = step;
        } else if (latest_read(p, placed, &step) > 0) {
            reader = i;
        }
    }
}

/* Who waits for which placing; the number of events that are under way at once. */
static void find_waits(ss_program *p, ss_step_list *list, int64_t *placed)
{
    int64_t waited = 0, under_way = 0, most = 0;
    for (int64_t i = 0; i < list->count; i++) {
        ss_step *step = &list->steps[i];
        if (step->kind == SS_STEP_PLACE) {
            placed[p->operands[step->first_operand].buffer] = i + 1;
            most = ss_max64(most, ++under_way);
            continue;
        }
        int64_t latest = latest_read(p, placed, step);
        if (latest <= waited) continue;
        for (int64_t k = waited; k < latest; k++) under_way -= list->steps[k].kind == SS_STEP_PLACE;
        waited = latest;
        step->wait = i + 1 - latest;
    }
    p->n_placing = ss_max64(p->n_placing, most);
}

/* Numbers of the events: a placing and the step that waits for it have the same. */
static void number_events(ss_program *p, ss_step_list *list)
{
    int64_t number = 0;
    for (int64_t i = 0; i < list->count; i++) {
        ss_step *step = &list->steps[i];
        if (step->kind == SS_STEP_PLACE) step->event = (int32_t)(number++ % p->n_placing);
        if (step->wait > 0) step->event = list->steps[i - step->wait].event;
    }
}

ss_status ss_program_prefetch(ss_program *p)
{
    ss_status     status = SS_OK;
    int64_t      *placed = NULL;
    ss_step_list *lists[] = { &p->prologue, &p->body };
    if (!p->options.stream_weights || p->backend->class->space == SS_MEMORY_HOST) return SS_OK;
    SS_TRY(SS_NEW_ARRAY(p->context, p->n_buffers, &placed));
    for (int i = 0; i < 2; i++) {
        for (int64_t k = 0; k < p->n_buffers; k++) placed[k] = 0;
        hoist(p, lists[i], placed);
        for (int64_t k = 0; k < p->n_buffers; k++) placed[k] = 0;
        find_waits(p, lists[i], placed);
    }
    for (int i = 0; i < 2; i++) number_events(p, lists[i]);
fail:
    ss_free(p->context, placed);
    return status;
}

/* ---- Execution ---- */

ss_status ss_prefetch_open(ss_program *p)
{
    ss_status               status = SS_OK;
    ss_prefetch            *f = NULL;
    const ss_backend_class *c = p->backend->class;
    if (p->n_placing == 0 || p->prefetch) return SS_OK;
    SS_TRY(SS_NEW(p->context, &p->prefetch));
    f = p->prefetch;
    SS_TRY(SS_NEW_ARRAY(p->context, p->n_placing, &f->done));
    SS_TRY(c->queue_create(p->backend, &f->queue));
    SS_TRY(c->event_create(p->backend, &f->before));
    for (int64_t i = 0; i < p->n_placing; i++) SS_TRY(c->event_create(p->backend, &f->done[i]));
    return SS_OK;
fail:
    ss_prefetch_close(p);
    return status;
}

void ss_prefetch_close(ss_program *p)
{
    ss_prefetch            *f = p->prefetch;
    const ss_backend_class *c = p->backend->class;
    if (!f) return;
    if (f->queue) c->queue_destroy(p->backend, f->queue);
    if (f->before) c->event_destroy(p->backend, f->before);
    for (int64_t i = 0; f->done && i < p->n_placing; i++)
        if (f->done[i]) c->event_destroy(p->backend, f->done[i]);
    ss_free(p->context, f->done);
    ss_free(p->context, f);
    p->prefetch = NULL;
}

ss_status ss_prefetch_begin(ss_program *p)
{
    ss_status status = SS_OK;
    if (!p->prefetch) return SS_OK;
    SS_TRY(p->backend->class->event_record(p->backend, p->prefetch->before, NULL));
    SS_TRY(p->backend->class->queue_wait(p->backend, p->prefetch->queue, p->prefetch->before));
fail:
    return status;
}

ss_status ss_prefetch_end(ss_program *p, const ss_step *step)
{
    if (!p->prefetch) return SS_OK;
    return p->backend->class->event_record(p->backend, p->prefetch->done[step->event], p->prefetch->queue);
}

ss_status ss_prefetch_wait(ss_program *p, const ss_step *step)
{
    if (!p->prefetch || step->wait == 0) return SS_OK;
    return p->backend->class->queue_wait(p->backend, NULL, p->prefetch->done[step->event]);
}
