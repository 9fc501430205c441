/* Third pass of the compiler: lifetimes, and a place for every buffer in one arena.
 *
 * Time runs through the prologue and then the body. What the prologue writes and the body reads stays to the
 * end, because the body runs again and again; everything else lives from its first to its last use. Places
 * are given by a sweep over time: best fit among the gaps that earlier buffers have left. Micro-batches of
 * one shape ask in the same pattern and so get the same addresses. */
#include "hvp/program.h"

/* A free range of the arena. */
typedef struct gap {
    int64_t offset, bytes;
} gap;

typedef struct space {
    gap    *gaps; /* [count], ascending in offset, never touching */
    int64_t count;
    int64_t top; /* everything from here on is free */
    int64_t peak;
} space;

static int64_t size_of(const ss_buffer *b)
{
    return ss_round_up(ss_max64(b->bytes, 1), 256);
}

/* The operands of placings on another queue are in use until the first step that waits for them. */
static void note_placings(ss_program *p, const ss_step_list *list, int64_t start)
{
    int64_t over = 0; /* placings before this position are over */
    for (int64_t i = 0; i < list->count; i++)
        for (int64_t end = list->steps[i].wait ? i - list->steps[i].wait + 1 : 0; over < end; over++) {
            const ss_step *step = &list->steps[over];
            for (int32_t j = 0; step->kind == SS_STEP_PLACE && j < step->n_operands; j++) {
                ss_buffer *b = &p->buffers[p->operands[step->first_operand + j].buffer];
                b->last = ss_max64(b->last, start + i);
            }
        }
}

static void note_uses(ss_program *p, const ss_step_list *list, int64_t start, bool body)
{
    for (int64_t i = 0; i < list->count; i++)
        for (int32_t j = 0; j < list->steps[i].n_operands; j++) {
            ss_buffer *b = &p->buffers[p->operands[list->steps[i].first_operand + j].buffer];
            if (b->first < 0) b->first = start + i;
            if (body && b->first < start) b->persistent = true;
            b->last = start + i;
        }
    note_placings(p, list, start);
}

static int64_t take(space *s, int64_t bytes)
{
    int64_t best = -1, offset;
    for (int64_t i = 0; i < s->count; i++)
        if (s->gaps[i].bytes >= bytes && (best < 0 || s->gaps[i].bytes < s->gaps[best].bytes)) best = i;
    if (best < 0) {
        offset = s->top;
        s->top += bytes;
        if (s->top > s->peak) s->peak = s->top;
        return offset;
    }
    offset = s->gaps[best].offset;
    s->gaps[best].offset += bytes;
    s->gaps[best].bytes -= bytes;
    if (s->gaps[best].bytes == 0) {
        for (int64_t i = best; i + 1 < s->count; i++) s->gaps[i] = s->gaps[i + 1];
        s->count--;
    }
    return offset;
}

/* Gives a range back and merges it with its neighbours. The array has room: there is never more than one gap
 * more than live buffers. */
static void give(space *s, int64_t offset, int64_t bytes)
{
    int64_t at = 0;
    while (at < s->count && s->gaps[at].offset < offset) at++;
    for (int64_t i = s->count; i > at; i--) s->gaps[i] = s->gaps[i - 1];
    s->gaps[at] = (gap){ offset, bytes };
    s->count++;
    if (at + 1 < s->count && s->gaps[at].offset + s->gaps[at].bytes == s->gaps[at + 1].offset) {
        s->gaps[at].bytes += s->gaps[at + 1].bytes;
        for (int64_t i = at + 1; i + 1 < s->count; i++) s->gaps[i] = s->gaps[i + 1];
        s->count--;
    }
    if (at > 0 && s->gaps[at - 1].offset + s->gaps[at - 1].bytes == s->gaps[at].offset) {
        s->gaps[at - 1].bytes += s->gaps[at].bytes;
        for (int64_t i = at; i + 1 < s->count; i++) s->gaps[i] = s->gaps[i + 1];
        s->count--;
        at--;
    }
    if (s->gaps[at].offset + s->gaps[at].bytes == s->top) {
        s->top = s->gaps[at].offset;
        s->count--;
    }
}

/* Buffers in the order in which they begin, and in which they end: counting sort by position. */
static void sort_by_position(const ss_program *p, bool by_last, int64_t positions, int64_t *start,
                             int32_t *order)
{
    for (int64_t t = 0; t <= positions; t++) start[t] = 0;
    for (int64_t i = 0; i < p->n_buffers; i++) {
        const ss_buffer *b = &p->buffers[i];
        if (b->slot == SS_SLOT_ARENA && b->first >= 0) start[(by_last ? b->last : b->first) + 1]++;
    }
    for (int64_t t = 0; t < positions; t++) start[t + 1] += start[t];
    for (int64_t i = 0; i < p->n_buffers; i++) {
        const ss_buffer *b = &p->buffers[i];
        if (b->slot == SS_SLOT_ARENA && b->first >= 0)
            order[start[by_last ? b->last : b->first]++] = (int32_t)i;
    }
}

/* The persistent buffers lie at the bottom; above them the others come and go. */
static void place_persistent(ss_program *p)
{
    int64_t offset = 0;
    for (int64_t i = 0; i < p->n_buffers; i++) {
        ss_buffer *b = &p->buffers[i];
        if (b->slot != SS_SLOT_ARENA || b->first < 0 || !b->persistent) continue;
        b->offset = offset;
        offset += size_of(b);
    }
    p->persistent_bytes = offset;
}

ss_status ss_program_place(ss_program *p)
{
    ss_status status = SS_OK;
    int64_t   positions = p->prologue.count + p->body.count, begun = 0, ended = 0;
    int64_t  *start = NULL;
    int32_t  *begin = NULL, *end = NULL;
    space     s = { 0 };
    SS_TRY(SS_NEW_ARRAY(p->context, positions + 1, &start));
    SS_TRY(SS_NEW_ARRAY(p->context, p->n_buffers, &begin));
    SS_TRY(SS_NEW_ARRAY(p->context, p->n_buffers, &end));
    SS_TRY(SS_NEW_ARRAY(p->context, p->n_buffers + 2, &s.gaps));
    note_uses(p, &p->prologue, 0, false);
    note_uses(p, &p->body, p->prologue.count, true);
    /* The row losses are read by the host after the last step. */
    if (p->row_loss_buffer >= 0) p->buffers[p->row_loss_buffer].last = positions - 1;
    place_persistent(p);
    sort_by_position(p, false, positions, start, begin);
    sort_by_position(p, true, positions, start, end);
    int64_t used = positions > 0 ? start[positions - 1] : 0;
    s.top = s.peak = p->persistent_bytes;
    for (int64_t t = 0; t < positions; t++) {
        for (; begun < used && p->buffers[begin[begun]].first == t; begun++) {
            ss_buffer *b = &p->buffers[begin[begun]];
            if (!b->persistent) b->offset = take(&s, size_of(b));
        }
        for (; ended < used && p->buffers[end[ended]].last == t; ended++) {
            ss_buffer *b = &p->buffers[end[ended]];
            if (!b->persistent) give(&s, b->offset, size_of(b));
        }
    }
    p->arena_bytes = s.peak;
fail:
    ss_free(p->context, start);
    ss_free(p->context, begin);
    ss_free(p->context, end);
    ss_free(p->context, s.gaps);
    return status;
}
