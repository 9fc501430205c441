/* The pickle machine: a stack, marks, a memo, and one function per opcode of the list. Opcodes: CPython's
 * Lib/pickletools.py; which of them are allowed: torch/_weights_only_unpickler.py. */
#include "io/pickle_private.h"

#include <stdio.h>
#include <string.h>

#define SS_PICKLE_LIMIT  ((int64_t)64 << 20) /* bytes of a pickle; real ones have kilobytes */
#define SS_PICKLE_SMALL  (1 << 20)           /* bytes; below, nobody asks how much memory there is */
#define SS_PICKLE_MEMORY 128                 /* bytes needed per byte of the pickle, at the worst */
#define SS_CLASS_NAME    256                 /* bytes of "<module>.<name>", with its end */

/* ---- Reading --------------------------------------------------------------------------------
 */

/* The next `count` bytes. */
static ss_status take_bytes(ss_pickle *p, int64_t count, const unsigned char **bytes)
{
    if (count > p->size - p->next)
        return ss_pickle_fail(p, "%lld bytes are announced, %lld are left", (long long)count,
                              (long long)(p->size - p->next));
    *bytes = p->bytes + p->next;
    p->next += count;
    return SS_OK;
}

static ss_status take_number(ss_pickle *p, int count, uint64_t *number)
{
    const unsigned char *bytes = NULL;
    ss_status            status = take_bytes(p, count, &bytes);
    if (status == SS_OK) *number = ss_little(bytes, count);
    return status;
}

static ss_pickle_value *top(const ss_pickle *p)
{
    return p->stack[p->depth - 1];
}

static ss_status push_new(ss_pickle *p, ss_pickle_kind kind, int64_t integer)
{
    ss_status        status = SS_OK;
    ss_pickle_value *value = NULL;
    SS_TRY(ss_pickle_new(p, kind, &value));
    if (kind == SS_PICKLE_BOOLEAN || kind == SS_PICKLE_INTEGER) value->as.integer = integer;
    SS_TRY(ss_pickle_push(p, value));
fail:
    return status;
}

/* ---- Opcodes: plain values --------------------------------------------------------------------------------
 */

static ss_status run_new(ss_pickle *p, int kind)
{
    return push_new(p, (ss_pickle_kind)kind, 0);
}

static ss_status run_boolean(ss_pickle *p, int truth)
{
    return push_new(p, SS_PICKLE_BOOLEAN, truth);
}

static ss_status run_set(ss_pickle *p, int unused)
{
    (void)unused;
    ss_status        status = SS_OK;
    ss_pickle_value *value = NULL;
    SS_TRY(ss_pickle_text(p, SS_PICKLE_OPAQUE, "a set", 5, &value));
    SS_TRY(ss_pickle_push(p, value));
fail:
    return status;
}

static ss_status run_integer(ss_pickle *p, int bytes)
{
    uint64_t  number = 0;
    ss_status status = take_number(p, bytes, &number);
    if (status != SS_OK) return status;
    /* Four bytes are signed, one and two are not. */
    return push_new(p, SS_PICKLE_INTEGER, bytes == 4 ? (int64_t)(int32_t)(uint32_t)number : (int64_t)number);
}

/* Two's complement of any length; beyond 64 bits it is of no use here. */
static ss_status run_long(ss_pickle *p, int unused)
{
    (void)unused;
    ss_status            status = SS_OK;
    uint64_t             length = 0;
    const unsigned char *bytes = NULL;
    ss_pickle_value     *value = NULL;
    SS_TRY(take_number(p, 1, &length));
    SS_TRY(take_bytes(p, (int64_t)length, &bytes));
    if (length > 8) {
        SS_TRY(ss_pickle_text(p, SS_PICKLE_OPAQUE, "an integer beyond 64 bits", 25, &value));
        SS_TRY(ss_pickle_push(p, value));
        return SS_OK;
    }
    uint64_t number = ss_little(bytes, (int)length);
    if (length > 0 && length < 8 && (bytes[length - 1] & 0x80) != 0) number |= UINT64_MAX << (8 * length);
    SS_TRY(push_new(p, SS_PICKLE_INTEGER, (int64_t)number));
fail:
    return status;
}

static ss_status run_real(ss_pickle *p, int unused)
{
    (void)unused;
    ss_status            status = SS_OK;
    const unsigned char *bytes = NULL;
    ss_pickle_value     *value = NULL;
    SS_TRY(take_bytes(p, 8, &bytes));
    SS_TRY(ss_pickle_new(p, SS_PICKLE_REAL, &value));
    uint64_t bits = ss_big(bytes, 8);
    memcpy(&value->as.real, &bits, sizeof bits);
    SS_TRY(ss_pickle_push(p, value));
fail:
    return status;
}

static ss_status run_text(ss_pickle *p, int count)
{
    ss_status            status = SS_OK;
    uint64_t             length = 0;
    const unsigned char *bytes = NULL;
    ss_pickle_value     *value = NULL;
    SS_TRY(take_number(p, count, &length));
    SS_TRY(take_bytes(p, (int64_t)length, &bytes));
    SS_TRY(ss_pickle_text(p, SS_PICKLE_TEXT, bytes, (int64_t)length, &value));
    SS_TRY(ss_pickle_push(p, value));
fail:
    return status;
}

/* ---- Opcodes: containers, marks, memo ---------------------------------------------------------------------
 */

static ss_status run_mark(ss_pickle *p, int unused)
{
    (void)unused;
    ss_status status = SS_OK;
    if (p->n_marks == p->marks_room) {
        int64_t room = ss_max64(32, 2 * p->marks_room);
        SS_TRY(ss_reallocate(p->context, room, sizeof *p->marks, (void **)&p->marks));
        p->marks_room = room;
    }
    p->marks[p->n_marks++] = p->depth;
fail:
    return status;
}

static ss_status push_tuple(ss_pickle *p, ss_pickle_value **items, int64_t count)
{
    ss_status        status = SS_OK;
    ss_pickle_value *tuple = NULL;
    SS_TRY(ss_pickle_new(p, SS_PICKLE_TUPLE, &tuple));
    SS_TRY(ss_pickle_take(p, count * (int64_t)sizeof *items, (void **)&tuple->as.list.items));
    for (int64_t i = 0; i < count; i++) tuple->as.list.items[i] = items[i];
    tuple->as.list.count = tuple->as.list.room = count;
    SS_TRY(ss_pickle_push(p, tuple));
fail:
    return status;
}

static ss_status run_tuple(ss_pickle *p, int unused)
{
    (void)unused;
    ss_status         status = SS_OK;
    ss_pickle_value **items = NULL;
    int64_t           count = 0;
    SS_TRY(ss_pickle_pop_mark(p, &items, &count));
    SS_TRY(push_tuple(p, items, count));
fail:
    return status;
}

static ss_status run_tuple_of(ss_pickle *p, int count)
{
    ss_status status = SS_OK;
    SS_TRY(ss_pickle_require(p, count));
    p->depth -= count;
    SS_TRY(push_tuple(p, p->stack + p->depth, count));
fail:
    return status;
}

/* Appends items[count], which lie above the container on the stack, to it. */
static ss_status extend(ss_pickle *p, ss_pickle_kind kind, ss_pickle_value **items, int64_t count)
{
    ss_status status = SS_OK;
    SS_TRY(ss_pickle_require(p, 1));
    if (top(p)->kind != kind)
        SS_TRY(ss_pickle_fail(p, "expected %s to add to, found %s",
                              kind == SS_PICKLE_LIST ? "a list" : "a dictionary",
                              ss_pickle_kind_text(top(p))));
    if (kind == SS_PICKLE_DICTIONARY && count % 2 != 0)
        SS_TRY(ss_pickle_fail(p, "a key of a dictionary has no value"));
    for (int64_t i = 0; i < count; i++) SS_TRY(ss_pickle_append(p, top(p), items[i]));
fail:
    return status;
}

static ss_status run_extend_marked(ss_pickle *p, int kind)
{
    ss_status         status = SS_OK;
    ss_pickle_value **items = NULL;
    int64_t           count = 0;
    SS_TRY(ss_pickle_pop_mark(p, &items, &count));
    SS_TRY(extend(p, (ss_pickle_kind)kind, items, count));
fail:
    return status;
}

/* One element of a list, or one key and value of a dictionary. */
static ss_status run_extend(ss_pickle *p, int kind)
{
    ss_status     status = SS_OK;
    const int64_t count = kind == SS_PICKLE_LIST ? 1 : 2;
    SS_TRY(ss_pickle_require(p, count + 1));
    p->depth -= count;
    SS_TRY(extend(p, (ss_pickle_kind)kind, p->stack + p->depth, count));
fail:
    return status;
}

static ss_status run_put(ss_pickle *p, int bytes)
{
    ss_status status = SS_OK;
    uint64_t  index = 0;
    SS_TRY(take_number(p, bytes, &index));
    SS_TRY(ss_pickle_require(p, 1));
    /* Python numbers them from 0 on, and each takes two bytes at least: a larger number is a lie that would
     * take memory. */
    if (index >= (uint64_t)p->size)
        SS_TRY(ss_pickle_fail(p, "memo number %llu in a pickle of %lld bytes", (unsigned long long)index,
                              (long long)p->size));
    if ((int64_t)index >= p->memo_room) {
        int64_t room = ss_max64((int64_t)index + 1, ss_max64(64, 2 * p->memo_room));
        SS_TRY(ss_reallocate(p->context, room, sizeof *p->memo, (void **)&p->memo));
        p->memo_room = room;
    }
    p->memo[index] = top(p);
fail:
    return status;
}

static ss_status run_get(ss_pickle *p, int bytes)
{
    ss_status status = SS_OK;
    uint64_t  index = 0;
    SS_TRY(take_number(p, bytes, &index));
    if (index >= (uint64_t)p->memo_room || p->memo[index] == NULL)
        SS_TRY(ss_pickle_fail(p, "memo number %llu was never put", (unsigned long long)index));
    SS_TRY(ss_pickle_push(p, p->memo[index]));
fail:
    return status;
}

/* ---- Opcodes: classes -------------------------------------------------------------------------------------
 */

/* Appends the line at p->next to name, which holds `used` bytes. */
static ss_status take_line(ss_pickle *p, char *name, size_t *used)
{
    const unsigned char *begin = p->bytes + p->next, *end = memchr(begin, '\n', (size_t)(p->size - p->next));
    if (end == NULL) return ss_pickle_fail(p, "the name of a class does not end");
    size_t length = (size_t)(end - begin);
    if (length >= SS_CLASS_NAME - *used || memchr(begin, '\0', length) != NULL)
        return ss_pickle_fail(p, "the name of a class is too long or holds NUL");
    memcpy(name + *used, begin, length);
    *used += length;
    name[*used] = '\0';
    p->next += (int64_t)length + 1;
    return SS_OK;
}

static ss_status run_global(ss_pickle *p, int unused)
{
    (void)unused;
    ss_status        status = SS_OK;
    char             name[SS_CLASS_NAME];
    size_t           used = 0;
    ss_pickle_value *value = NULL;
    SS_TRY(take_line(p, name, &used));
    if (used + 1 >= sizeof name) SS_TRY(ss_pickle_fail(p, "the name of a class is too long"));
    name[used++] = '.';
    SS_TRY(take_line(p, name, &used));
    SS_TRY(ss_pickle_new(p, SS_PICKLE_CLASS, &value));
    SS_TRY(ss_pickle_class_find(p, name, &value->as.class));
    SS_TRY(ss_pickle_push(p, value));
fail:
    return status;
}

/* REDUCE and NEWOBJ: class and arguments on the stack become the result. */
static ss_status run_call(ss_pickle *p, int unused)
{
    (void)unused;
    ss_status        status = SS_OK;
    ss_pickle_value *result = NULL;
    SS_TRY(ss_pickle_require(p, 2));
    const ss_pickle_value *class = p->stack[p->depth - 2], *arguments = top(p);
    if (class->kind != SS_PICKLE_CLASS || arguments->kind != SS_PICKLE_TUPLE)
        SS_TRY(ss_pickle_fail(p, "expected a class and a tuple of arguments, found %s and %s",
                              ss_pickle_kind_text(class), ss_pickle_kind_text(arguments)));
    SS_TRY(ss_pickle_call(p, class->as.class, arguments, &result));
    p->depth -= 2;
    SS_TRY(ss_pickle_push(p, result));
fail:
    return status;
}

/* The attributes of an OrderedDict (its `_metadata`) and of what is opaque are dropped. */
static ss_status run_build(ss_pickle *p, int unused)
{
    (void)unused;
    ss_status status = SS_OK;
    SS_TRY(ss_pickle_require(p, 2));
    p->depth--;
    if (top(p)->kind != SS_PICKLE_DICTIONARY && top(p)->kind != SS_PICKLE_OPAQUE)
        SS_TRY(ss_pickle_fail(p, "state is set on %s", ss_pickle_kind_text(top(p))));
fail:
    return status;
}

static ss_status run_persistent(ss_pickle *p, int unused)
{
    (void)unused;
    ss_status        status = SS_OK;
    ss_pickle_value *value = NULL;
    SS_TRY(ss_pickle_require(p, 1));
    SS_TRY(ss_pickle_persistent(p, top(p), &value));
    p->depth--;
    SS_TRY(ss_pickle_push(p, value));
fail:
    return status;
}

static ss_status run_protocol(ss_pickle *p, int unused)
{
    (void)unused;
    uint64_t  protocol = 0;
    ss_status status = take_number(p, 1, &protocol);
    if (status == SS_OK && protocol > 5)
        return ss_pickle_fail(p, "protocol %llu is unknown", (unsigned long long)protocol);
    return status;
}

static ss_status run_stop(ss_pickle *p, int unused)
{
    (void)unused;
    ss_status status = SS_OK;
    if (p->n_marks > 0) SS_TRY(ss_pickle_fail(p, "the pickle ends inside a mark"));
    SS_TRY(ss_pickle_require(p, 1));
    p->root = top(p);
    if (p->next != p->size)
        SS_TRY(ss_pickle_fail(p, "%lld bytes behind the end of the pickle", (long long)(p->size - p->next)));
fail:
    return status;
}

/* ---- The table: all opcodes of protocols 0 to 5; NULL = known, and not among those of weights_only
 * ---------
 */

static const struct {
    unsigned char code;
    const char   *name; /* of pickletools */
    ss_status (*run)(ss_pickle *p, int argument);
    int argument; /* bytes that follow, a kind of value, a number of values */
} opcodes[] = {
    { '}', "EMPTY_DICT", run_new, SS_PICKLE_DICTIONARY },
    { ']', "EMPTY_LIST", run_new, SS_PICKLE_LIST },
    { ')', "EMPTY_TUPLE", run_new, SS_PICKLE_TUPLE },
    { 0x8F, "EMPTY_SET", run_set, 0 },
    { 'N', "NONE", run_new, SS_PICKLE_NONE },
    { 0x88, "NEWTRUE", run_boolean, 1 },
    { 0x89, "NEWFALSE", run_boolean, 0 },
    { 'J', "BININT", run_integer, 4 },
    { 'K', "BININT1", run_integer, 1 },
    { 'M', "BININT2", run_integer, 2 },
    { 0x8A, "LONG1", run_long, 0 },
    { 'G', "BINFLOAT", run_real, 0 },
    { 'X', "BINUNICODE", run_text, 4 },
    { 'U', "SHORT_BINSTRING", run_text, 1 },
    { '(', "MARK", run_mark, 0 },
    { 't', "TUPLE", run_tuple, 0 },
    { 0x85, "TUPLE1", run_tuple_of, 1 },
    { 0x86, "TUPLE2", run_tuple_of, 2 },
    { 0x87, "TUPLE3", run_tuple_of, 3 },
    { 'a', "APPEND", run_extend, SS_PICKLE_LIST },
    { 'e', "APPENDS", run_extend_marked, SS_PICKLE_LIST },
    { 's', "SETITEM", run_extend, SS_PICKLE_DICTIONARY },
    { 'u', "SETITEMS", run_extend_marked, SS_PICKLE_DICTIONARY },
    { 'q', "BINPUT", run_put, 1 },
    { 'r', "LONG_BINPUT", run_put, 4 },
    { 'h', "BINGET", run_get, 1 },
    { 'j', "LONG_BINGET", run_get, 4 },
    { 'c', "GLOBAL", run_global, 0 },
    { 'R', "REDUCE", run_call, 0 },
    { 0x81, "NEWOBJ", run_call, 0 },
    { 'b', "BUILD", run_build, 0 },
    { 'Q', "BINPERSID", run_persistent, 0 },
    { 0x80, "PROTO", run_protocol, 0 },
    { '.', "STOP", run_stop, 0 },
    { '0', "POP", NULL, 0 },
    { '1', "POP_MARK", NULL, 0 },
    { '2', "DUP", NULL, 0 },
    { 'F', "FLOAT", NULL, 0 },
    { 'I', "INT", NULL, 0 },
    { 'L', "LONG", NULL, 0 },
    { 'P', "PERSID", NULL, 0 },
    { 'S', "STRING", NULL, 0 },
    { 'T', "BINSTRING", NULL, 0 },
    { 'V', "UNICODE", NULL, 0 },
    { 'B', "BINBYTES", NULL, 0 },
    { 'C', "SHORT_BINBYTES", NULL, 0 },
    { 'd', "DICT", NULL, 0 },
    { 'l', "LIST", NULL, 0 },
    { 'g', "GET", NULL, 0 },
    { 'p', "PUT", NULL, 0 },
    { 'i', "INST", NULL, 0 },
    { 'o', "OBJ", NULL, 0 },
    { 0x82, "EXT1", NULL, 0 },
    { 0x83, "EXT2", NULL, 0 },
    { 0x84, "EXT4", NULL, 0 },
    { 0x8B, "LONG4", NULL, 0 },
    { 0x8C, "SHORT_BINUNICODE", NULL, 0 },
    { 0x8D, "BINUNICODE8", NULL, 0 },
    { 0x8E, "BINBYTES8", NULL, 0 },
    { 0x90, "ADDITEMS", NULL, 0 },
    { 0x91, "FROZENSET", NULL, 0 },
    { 0x92, "NEWOBJ_EX", NULL, 0 },
    { 0x93, "STACK_GLOBAL", NULL, 0 },
    { 0x94, "MEMOIZE", NULL, 0 },
    { 0x95, "FRAME", NULL, 0 },
    { 0x96, "BYTEARRAY8", NULL, 0 },
    { 0x97, "NEXT_BUFFER", NULL, 0 },
    { 0x98, "READONLY_BUFFER", NULL, 0 },
};

static ss_status run_one(ss_pickle *p)
{
    if (p->next >= p->size) return ss_pickle_fail(p, "the pickle does not end");
    p->at = p->next;
    unsigned char code = p->bytes[p->next++];
    for (size_t i = 0; i < sizeof opcodes / sizeof opcodes[0]; i++) {
        if (opcodes[i].code != code) continue;
        if (opcodes[i].run != NULL) return opcodes[i].run(p, opcodes[i].argument);
        return ss_pickle_fail(p,
                              "opcode %s is not read: torch.save with its default protocol never writes it, "
                              "and weights_only does not allow it",
                              opcodes[i].name);
    }
    return ss_pickle_fail(p, "unknown opcode 0x%02x", code);
}

ss_status ss_pickle_read(ss_archive *archive, const char *where, const unsigned char *bytes, int64_t size,
                         ss_pickle **pickle)
{
    ss_status  status = SS_OK;
    ss_pickle *p = NULL;
    *pickle = NULL;
    if (size > SS_PICKLE_LIMIT)
        SS_TRY(ss_archive_fail(archive, "%s%lld bytes of pickle exceed the limit of %lld", where,
                               (long long)size, (long long)SS_PICKLE_LIMIT));
    if (size > SS_PICKLE_SMALL && size > ss_memory_available() / SS_PICKLE_MEMORY)
        SS_FAIL(archive->context, SS_ERROR_REFUSED,
                "%s: %snot enough free memory to read %lld bytes of pickle", archive->path, where,
                (long long)size);
    SS_TRY(SS_NEW(archive->context, &p));
    p->archive = archive;
    p->context = archive->context;
    p->where = where;
    p->bytes = bytes;
    p->size = size;
    while (p->root == NULL) SS_TRY(run_one(p));
    *pickle = p;
    p = NULL;
fail:
    ss_pickle_free(p);
    return status;
}
