/* One call of a primitive under cpu-check.
 *
 * begin: every operand must lie in one live block; outputs must overlap neither themselves nor anything else;
 *        elements that will be read must have been written. The primitive gets copies: elements that it has
 * no business with (between rows, around the operand, old contents of an output) are poison. end:   poison
 * must still be where it was, except in outputs, where none may be left. */
#include "backend/check/check.h"
#include "backend/cpu/memory.h"

#include <stdio.h>
#include <string.h>

#define GUARD 64 /* elements in front of and behind every copy */

void ss_check_add(ss_check_call *call, const char *name, ss_check_role role, void **pointer, int64_t element,
                  int64_t lanes, int64_t rows, int64_t cols, int64_t ld, int64_t lane_stride)
{
    if (!*pointer || call->count == SS_CHECK_OPERANDS) return;
    ss_check_operand *o = &call->operand[call->count++];
    *o = (ss_check_operand){ .name = name, .role = role, .pointer = pointer, .element = element };
    bool input = role == SS_CHECK_READ;
    o->lanes = input && lane_stride == 0 ? ss_min64(lanes, 1) : lanes;
    o->rows = input && ld == 0 ? ss_min64(rows, 1) : rows;
    o->cols = cols;
    o->tokens = o->heads = 1;
    o->ld = ld;
    o->lane_stride = lane_stride;
    o->address = *pointer;
}

void ss_check_matrix(ss_check_call *call, const char *name, ss_check_role role, ss_matrix *m, int64_t lanes)
{
    ss_check_add(call, name, role, &m->data, (int64_t)ss_real_size(call->b->real), lanes, m->rows, m->cols,
                 m->ld, m->lane_stride);
}

void ss_check_heads(ss_check_call *call, const char *name, ss_check_role role, ss_heads *h, int64_t lanes)
{
    int before = call->count;
    ss_check_add(call, name, role, &h->data, (int64_t)ss_real_size(call->b->real), lanes, h->batch, h->dim,
                 h->batch_stride, h->lane_stride);
    if (call->count == before) return;
    ss_check_operand *o = &call->operand[before];
    o->rows = h->batch; /* no broadcasting here, whatever the stride */
    o->tokens = h->tokens;
    o->heads = h->heads;
    o->token_stride = h->token_stride;
    o->head_stride = h->head_stride;
}

/* Where a row, or the token and head of one, begins. */
static int64_t row_offset(const ss_check_operand *o, int64_t lane, int64_t row)
{
    int64_t head = row % o->heads, token = row / o->heads % o->tokens;
    return lane * o->lane_stride + row / (o->heads * o->tokens) * o->ld + token * o->token_stride +
           head * o->head_stride;
}

static int64_t row_count(const ss_check_operand *o)
{
    return o->rows * o->tokens * o->heads;
}

/* Visits the rows of an operand: `at` elements behind its first one. */
#define EACH_ROW(o, lane, row, at)                                                                           \
    for (int64_t lane = 0; lane < (o)->lanes; lane++)                                                        \
        for (int64_t row = 0, at = 0; row < row_count(o) && (at = row_offset(o, lane, row), true); row++)

static ss_status fail(const ss_check_call *call, const ss_check_operand *o, const char *what)
{
    return ss_fail(call->b->context, SS_ERROR_INTERNAL, "cpu-check: %s: operand %s %s", call->primitive,
                   o->name, what);
}

static ss_status fail_at(const ss_check_call *call, const ss_check_operand *o, int64_t lane, int64_t row,
                         int64_t col, const char *what)
{
    return ss_fail(call->b->context, SS_ERROR_INTERNAL,
                   "cpu-check: %s: operand %s, lane %lld, row %lld, column "
                   "%lld: %s",
                   call->primitive, o->name, (long long)lane, (long long)row, (long long)col, what);
}

/* ---- Poison: the bit patterns of ss_fill_poison for either real type, as elements of 4 or 8 bytes ---- */

static bool is_poison(const char *element, int64_t bytes)
{
    uint32_t narrow;
    uint64_t wide;
    if (bytes == 4) {
        memcpy(&narrow, element, sizeof narrow);
        return narrow == SS_POISON_32 || narrow == (uint32_t)(SS_POISON_64 >> 32) ||
               narrow == (uint32_t)SS_POISON_64;
    }
    if (bytes != 8) return false;
    memcpy(&wide, element, sizeof wide);
    return wide == SS_POISON_64 || wide == ((uint64_t)SS_POISON_32 << 32 | SS_POISON_32);
}

static void poison(char *to, int64_t elements, int64_t element)
{
    ss_fill_poison(to, elements * element, element == 8 ? SS_FLOAT64 : SS_FLOAT32);
}

/* Does the memory still hold what `poison` has put there? */
static bool intact(const char *from, int64_t elements, int64_t element)
{
    char fresh[GUARD * 8];
    poison(fresh, GUARD, element);
    for (int64_t i = 0; i < elements; i += GUARD)
        if (memcmp(from + i * element, fresh, (size_t)(ss_min64(GUARD, elements - i) * element)) != 0)
            return false;
    return true;
}

/* ---- Before the call ---- */

static ss_status locate(const ss_check_call *call, ss_check_operand *o)
{
    if (o->rows < 0 || o->cols < 0 || o->ld < 0 || o->lane_stride < 0 || o->tokens < 0 || o->heads < 0 ||
        o->token_stride < 0 || o->head_stride < 0)
        return fail(call, o, "has a negative extent or stride");
    bool empty = o->lanes == 0 || row_count(o) == 0 || o->cols == 0;
    o->span = empty ? 0 : row_offset(o, o->lanes - 1, row_count(o) - 1) + o->cols;
    if (!ss_check_space_holds(o->address)) return fail(call, o, "is not in device memory");
    o->shadow = ss_check_space_find(o->address, o->span * o->element);
    return o->shadow ? SS_OK : fail(call, o, "does not lie in one live allocation");
}

/* Marks the bytes of output o in map[0..span * element); fails when a byte is marked twice. */
static ss_status mark(const ss_check_call *call, const ss_check_operand *o, char *map)
{
    EACH_ROW(o, lane, row, at)
    {
        for (int64_t i = at * o->element; i < (at + o->cols) * o->element; i++)
            if (map[i]++) return fail_at(call, o, lane, row, i / o->element - at, "output overlaps itself");
    }
    return SS_OK;
}

/* Does any row of `other` meet a marked byte of o? */
static bool meets(const ss_check_operand *o, const char *map, const ss_check_operand *other)
{
    int64_t length = o->span * o->element, shift = other->address - o->address;
    EACH_ROW(other, lane, row, at)
    {
        int64_t first = shift + at * other->element, last = first + other->cols * other->element;
        for (int64_t i = ss_max64(first, 0); i < ss_min64(last, length); i++)
            if (map[i]) return true;
    }
    return false;
}

/* Do rows and lanes follow each other, and does no other operand come near? Then nothing can overlap. */
static bool stands_alone(const ss_check_call *call, const ss_check_operand *o)
{
    int64_t token_span = (o->heads - 1) * o->head_stride + o->cols;
    int64_t row_span = (o->tokens - 1) * o->token_stride + token_span;
    int64_t lane_span = (o->rows - 1) * o->ld + row_span;
    if ((o->heads > 1 && o->head_stride < o->cols) || (o->tokens > 1 && o->token_stride < token_span) ||
        (o->rows > 1 && o->ld < row_span) || (o->lanes > 1 && o->lane_stride < lane_span))
        return false;
    for (int i = 0; i < call->count; i++) {
        const ss_check_operand *other = &call->operand[i];
        if (other != o && other->address < o->address + o->span * o->element &&
            o->address < other->address + other->span * other->element)
            return false;
    }
    return true;
}

static ss_status check_overlap(const ss_check_call *call, const ss_check_operand *o)
{
    ss_status status = SS_OK;
    char     *map = NULL;
    if (stands_alone(call, o)) return SS_OK;
    SS_TRY(ss_allocate(call->b->context, o->span * o->element, 1, (void **)&map));
    SS_TRY(mark(call, o, map));
    for (int i = 0; i < call->count; i++) {
        const ss_check_operand *other = &call->operand[i];
        if (other == o || other->span == 0) continue;
        if (meets(o, map, other)) {
            char what[96];
            snprintf(what, sizeof what, "overlaps operand %s", other->name);
            SS_TRY(fail(call, o, what));
        }
    }
fail:
    ss_free(call->b->context, map);
    return status;
}

static ss_status check_written(const ss_check_call *call, const ss_check_operand *o, const char *data,
                               const char *what)
{
    EACH_ROW(o, lane, row, at)
    {
        for (int64_t col = 0; col < o->cols; col++)
            if (is_poison(data + (at + col) * o->element, o->element))
                return fail_at(call, o, lane, row, col, what);
    }
    return SS_OK;
}

static void copy_rows(const ss_check_operand *o, char *to, const char *from)
{
    EACH_ROW(o, lane, row, at)
    {
        memcpy(to + at * o->element, from + at * o->element, (size_t)(o->cols * o->element));
    }
}

static ss_status make_copy(const ss_check_call *call, ss_check_operand *o)
{
    ss_status status = SS_OK;
    char     *memory = NULL;
    SS_TRY(ss_allocate(call->b->context, o->span + 2 * GUARD, (size_t)o->element, (void **)&memory));
    o->copy = memory + GUARD * o->element;
    poison(memory, o->span + 2 * GUARD, o->element);
    if (o->role != SS_CHECK_WRITE) copy_rows(o, o->copy, o->shadow);
    *o->pointer = o->copy;
fail:
    return status;
}

ss_status ss_check_begin(ss_check_call *call)
{
    ss_status status = SS_OK;
    if (ss_check(call->b)->bad_release)
        return ss_fail(call->b->context, SS_ERROR_INTERNAL,
                       "cpu-check: memory was released that is not allocated, before %s", call->primitive);
    for (int i = 0; i < call->count; i++) SS_TRY(locate(call, &call->operand[i]));
    for (int i = 0; i < call->count; i++) {
        ss_check_operand *o = &call->operand[i];
        if (o->role != SS_CHECK_READ && o->span > 0) SS_TRY(check_overlap(call, o));
        if (o->role != SS_CHECK_WRITE && !o->partial && o->span > 0)
            SS_TRY(check_written(call, o, o->shadow, "read before it was written"));
    }
    for (int i = 0; i < call->count; i++) SS_TRY(make_copy(call, &call->operand[i]));
fail:
    return status;
}

/* ---- After the call ---- */

/* Poison around the copy and between its rows: the rows are covered up, then everything must be poison. */
static ss_status check_surroundings(const ss_check_call *call, const ss_check_operand *o)
{
    if (!intact(o->copy - GUARD * o->element, GUARD, o->element))
        return fail(call, o, "was overrun at the front");
    if (!intact(o->copy + o->span * o->element, GUARD, o->element))
        return fail(call, o, "was overrun at the end");
    EACH_ROW(o, lane, row, at)
    {
        poison(o->copy + at * o->element, o->cols, o->element);
    }
    return intact(o->copy, o->span, o->element) ? SS_OK : fail(call, o, "was overrun between its rows");
}

static ss_status check_input(const ss_check_call *call, const ss_check_operand *o)
{
    EACH_ROW(o, lane, row, at)
    {
        if (memcmp(o->copy + at * o->element, o->shadow + at * o->element, (size_t)(o->cols * o->element)) !=
            0)
            return fail(call, o, "is an input and was written to");
    }
    return SS_OK;
}

static ss_status take_over(const ss_check_call *call, const ss_check_operand *o)
{
    ss_status status = SS_OK;
    if (o->role == SS_CHECK_READ) {
        SS_TRY(check_input(call, o));
    } else {
        if (o->role == SS_CHECK_WRITE) SS_TRY(check_written(call, o, o->copy, "output was not written"));
        copy_rows(o, o->shadow, o->copy);
    }
    SS_TRY(check_surroundings(call, o));
fail:
    return status;
}

ss_status ss_check_end(ss_check_call *call, ss_status status)
{
    for (int i = 0; i < call->count; i++) {
        ss_check_operand *o = &call->operand[i];
        if (status == SS_OK) status = take_over(call, o);
        if (o->copy) ss_free(call->b->context, o->copy - GUARD * o->element);
        o->copy = NULL;
    }
    return status;
}
