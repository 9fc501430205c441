/* The values of a pickle: memory in chunks that are freed together, lists that grow, looking at them; and the
 * stack of the machine that makes them. */
#include "io/pickle_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SS_CHUNK_BYTES 16384

ss_status ss_pickle_fail(const ss_pickle *p, const char *format, ...)
{
    char    text[768];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return ss_archive_fail(p->archive, "%sbyte %lld: %s", p->where, (long long)p->at, text);
}

ss_status ss_pickle_take(ss_pickle *p, int64_t bytes, void **memory)
{
    ss_status status = SS_OK;
    bytes = ss_round_up(bytes, 16);
    if (bytes > p->left) {
        ss_pickle_chunk *chunk = NULL;
        int64_t          whole = ss_max64(SS_CHUNK_BYTES, bytes + 16);
        SS_TRY(ss_allocate(p->context, whole, 1, (void **)&chunk));
        chunk->next = p->chunks;
        p->chunks = chunk;
        p->free = (char *)chunk + 16;
        p->left = whole - 16;
    }
    *memory = p->free;
    p->free += bytes;
    p->left -= bytes;
fail:
    return status;
}
_Static_assert(sizeof(ss_pickle_chunk) <= 16, "the place of a chunk's link");

ss_status ss_pickle_new(ss_pickle *p, ss_pickle_kind kind, ss_pickle_value **value)
{
    ss_status status = ss_pickle_take(p, sizeof **value, (void **)value);
    if (status == SS_OK) (*value)->kind = kind;
    return status;
}

ss_status ss_pickle_text(ss_pickle *p, ss_pickle_kind kind, const void *bytes, int64_t length,
                         ss_pickle_value **value)
{
    ss_status status = SS_OK;
    char     *copy = NULL;
    SS_TRY(ss_pickle_new(p, kind, value));
    SS_TRY(ss_pickle_take(p, length + 1, (void **)&copy));
    memcpy(copy, bytes, (size_t)length);
    (*value)->as.text.bytes = copy;
    (*value)->as.text.length = length;
fail:
    return status;
}

ss_status ss_pickle_append(ss_pickle *p, ss_pickle_value *list, ss_pickle_value *item)
{
    ss_status         status = SS_OK;
    ss_pickle_value **items = NULL;
    if (list->as.list.count == list->as.list.room) {
        int64_t room = ss_max64(2, 2 * list->as.list.room);
        SS_TRY(ss_pickle_take(p, room * (int64_t)sizeof *items, (void **)&items));
        for (int64_t i = 0; i < list->as.list.count; i++) items[i] = list->as.list.items[i];
        list->as.list.items = items;
        list->as.list.room = room;
    }
    list->as.list.items[list->as.list.count++] = item;
fail:
    return status;
}

bool ss_pickle_is_text(const ss_pickle_value *value, const char *text)
{
    return value->kind == SS_PICKLE_TEXT && value->as.text.length == (int64_t)strlen(text) &&
           memcmp(value->as.text.bytes, text, strlen(text)) == 0;
}

ss_pickle_value *ss_pickle_find(const ss_pickle_value *dictionary, const char *key)
{
    if (dictionary->kind != SS_PICKLE_DICTIONARY) return NULL;
    for (int64_t i = 0; i + 1 < dictionary->as.list.count; i += 2) {
        if (ss_pickle_is_text(dictionary->as.list.items[i], key)) return dictionary->as.list.items[i + 1];
    }
    return NULL;
}

const char *ss_pickle_kind_text(const ss_pickle_value *value)
{
    static const char *const texts[] = {
        [SS_PICKLE_NONE] = "None",          [SS_PICKLE_BOOLEAN] = "a boolean",
        [SS_PICKLE_INTEGER] = "an integer", [SS_PICKLE_REAL] = "a real number",
        [SS_PICKLE_TEXT] = "a string",      [SS_PICKLE_LIST] = "a list",
        [SS_PICKLE_TUPLE] = "a tuple",      [SS_PICKLE_DICTIONARY] = "a dictionary",
        [SS_PICKLE_CLASS] = "a class",      [SS_PICKLE_STORAGE] = "a storage",
        [SS_PICKLE_TENSOR] = "a tensor",
    };
    return value->kind == SS_PICKLE_OPAQUE ? value->as.text.bytes : texts[value->kind];
}

/* ---- The stack --------------------------------------------------------------------------------------------
 */

ss_status ss_pickle_push(ss_pickle *p, ss_pickle_value *value)
{
    ss_status status = SS_OK;
    if (p->depth == p->room) {
        int64_t room = ss_max64(64, 2 * p->room);
        SS_TRY(ss_reallocate(p->context, room, sizeof *p->stack, (void **)&p->stack));
        p->room = room;
    }
    p->stack[p->depth++] = value;
fail:
    return status;
}

ss_status ss_pickle_require(const ss_pickle *p, int64_t count)
{
    int64_t floor = p->n_marks > 0 ? p->marks[p->n_marks - 1] : 0;
    if (p->depth - floor >= count) return SS_OK;
    return ss_pickle_fail(p, "the stack holds %lld values, %lld are needed", (long long)(p->depth - floor),
                          (long long)count);
}

ss_status ss_pickle_pop_mark(ss_pickle *p, ss_pickle_value ***items, int64_t *count)
{
    if (p->n_marks == 0) return ss_pickle_fail(p, "there is no mark on the stack");
    int64_t mark = p->marks[--p->n_marks];
    *items = p->depth > 0 ? p->stack + mark : NULL; /* a mark may come before anything is on the stack */
    *count = p->depth - mark;
    p->depth = mark;
    return SS_OK;
}

void ss_pickle_free(ss_pickle *p)
{
    if (p == NULL) return;
    ss_context *context = p->context;
    while (p->chunks != NULL) {
        ss_pickle_chunk *next = p->chunks->next;
        ss_free(context, p->chunks);
        p->chunks = next;
    }
    ss_free(context, p->stack);
    ss_free(context, p->marks);
    ss_free(context, p->memo);
    ss_free(context, p);
}

ss_pickle_value *ss_pickle_root(const ss_pickle *p)
{
    return p->root;
}
