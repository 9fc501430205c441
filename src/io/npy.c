/* Reading .npy. Format: NEP 1 and numpy.lib.format, versions 1.0, 2.0, 3.0: magic, version, length of the
 * header (2 bytes in version 1, 4 after), a Python dictionary of descr, fortran_order and shape, the
 * elements.
 *
 * Little endian arrays in C order are used as they lie; the others are converted once. The dictionary is
 * read by a parser that knows strings, True, False and tuples of integers and nothing else. */
#include "io/archive_private.h"

#include <stdio.h>
#include <string.h>

#define SS_NPY_HEADER_LIMIT (1 << 20) /* bytes; numpy itself reads 10 000 unless told otherwise */

typedef struct cursor {
    ss_archive *archive; /* for messages */
    const char *where;   /* stands before the field in messages */
    const char *p, *end; /* what is left of the header */
} cursor;

typedef struct header {
    ss_type type;                  /* of the elements */
    bool    big;                   /* big endian */
    bool    fortran;               /* the first index runs fastest */
    int32_t rank;                  /* dimensions */
    int64_t shape[SS_MAX_RANK];    /* [rank] */
    bool    descr, order, extents; /* what was seen */
} header;

static ss_status fail_npy(const cursor *c, const char *field, const char *text)
{
    return ss_archive_fail(c->archive, "%s%s: %s", c->where, field, text);
}

static void skip_space(cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t' || *c->p == '\r')) c->p++;
}

/* Takes `token` if it comes next. */
static bool take(cursor *c, const char *token)
{
    size_t length = strlen(token);
    skip_space(c);
    if ((size_t)(c->end - c->p) < length || memcmp(c->p, token, length) != 0) return false;
    c->p += length;
    return true;
}

/* A string in single or double quotes, without escapes, at most size - 1 characters. */
static ss_status take_string(cursor *c, const char *field, char *text, size_t size)
{
    skip_space(c);
    char quote = c->p < c->end ? *c->p : '\0';
    if (quote != '\'' && quote != '"') return fail_npy(c, field, "expected a string");
    const char *begin = ++c->p;
    while (c->p < c->end && *c->p != quote && *c->p != '\\' && *c->p != '\0') c->p++;
    if (c->p == c->end || *c->p != quote) return fail_npy(c, field, "the string does not end");
    size_t length = (size_t)(c->p++ - begin);
    if (length >= size) return fail_npy(c, field, "the string is too long");
    memcpy(text, begin, length);
    text[length] = '\0';
    return SS_OK;
}

static ss_status take_integer(cursor *c, int64_t *number)
{
    skip_space(c);
    if (c->p < c->end && *c->p == '-') return fail_npy(c, "shape", "an extent is negative");
    if (c->p == c->end || *c->p < '0' || *c->p > '9') return fail_npy(c, "shape", "expected an integer");
    *number = 0;
    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++) {
        if (!ss_mul64(*number, 10, number) || !ss_add64(*number, *c->p - '0', number))
            return fail_npy(c, "shape", "an extent overflows 64 bits");
    }
    if (c->p < c->end && *c->p == 'L') c->p++; /* long integers of Python 2 */
    return SS_OK;
}

static ss_status take_shape(cursor *c, header *h)
{
    ss_status status = SS_OK;
    bool      comma = false;
    if (!take(c, "(")) SS_TRY(fail_npy(c, "shape", "expected a tuple"));
    h->rank = 0;
    while (!take(c, ")")) {
        if (h->rank > 0 && !comma) SS_TRY(fail_npy(c, "shape", "expected a comma or ')'"));
        if (h->rank == SS_MAX_RANK) SS_TRY(fail_npy(c, "shape", "more than 8 dimensions"));
        SS_TRY(take_integer(c, &h->shape[h->rank]));
        h->rank++;
        comma = take(c, ",");
    }
    if (h->rank == 1 && !comma) SS_TRY(fail_npy(c, "shape", "expected a tuple, found a number"));
fail:
    return status;
}
_Static_assert(SS_MAX_RANK == 8, "the message of take_shape");

static ss_status take_descr(cursor *c, header *h)
{
    static const char *const names[] = {
#define SS_TYPE_ROW(enumerator, bytes, safetensors, numpy) [enumerator] = numpy,
        SS_TYPE_TABLE(SS_TYPE_ROW)
#undef SS_TYPE_ROW
    };
    ss_status status = SS_OK;
    char      text[32], quoted[SS_QUOTE_TEXT];
    skip_space(c);
    if (c->p < c->end && *c->p == '[') SS_TRY(fail_npy(c, "descr", "structured types are not supported"));
    SS_TRY(take_string(c, "descr", text, sizeof text));
    bool        ordered = text[0] == '<' || text[0] == '>' || text[0] == '=' || text[0] == '|';
    const char *kind = ordered ? text + 1 : text;
    if (kind[0] == 'O')
        SS_TRY(fail_npy(c, "descr", "an array of Python objects holds a pickle, which is not read"));
    for (int type = 0; type < SS_TYPE_COUNT; type++) {
        if (names[type][0] == '\0' || strcmp(names[type], kind) != 0) continue;
        if (text[0] == '|' && ss_type_size((ss_type)type) > 1)
            SS_TRY(fail_npy(c, "descr", "the byte order of the elements is not stated"));
        h->type = (ss_type)type;
        h->big = text[0] == '>';
        return SS_OK;
    }
    status = ss_archive_fail(c->archive, "%sdescr: unknown or unsupported element type %s", c->where,
                             ss_quote(text, quoted));
fail:
    return status;
}

static ss_status take_order(cursor *c, header *h)
{
    h->fortran = take(c, "True");
    if (!h->fortran && !take(c, "False")) return fail_npy(c, "fortran_order", "expected True or False");
    return SS_OK;
}

static ss_status take_entry(cursor *c, header *h)
{
    char      key[32], quoted[SS_QUOTE_TEXT];
    bool     *seen = NULL;
    ss_status status = SS_OK;
    SS_TRY(take_string(c, "header", key, sizeof key));
    if (!take(c, ":")) SS_TRY(fail_npy(c, "header", "expected ':' behind a key"));
    if (strcmp(key, "descr") == 0) {
        seen = &h->descr;
        SS_TRY(take_descr(c, h));
    } else if (strcmp(key, "fortran_order") == 0) {
        seen = &h->order;
        SS_TRY(take_order(c, h));
    } else if (strcmp(key, "shape") == 0) {
        seen = &h->extents;
        SS_TRY(take_shape(c, h));
    } else {
        SS_TRY(ss_archive_fail(c->archive, "%sheader: unknown key %s", c->where, ss_quote(key, quoted)));
    }
    if (*seen) SS_TRY(fail_npy(c, key, "stands twice in the header"));
    *seen = true;
fail:
    return status;
}

static ss_status take_header(cursor *c, header *h)
{
    ss_status status = SS_OK;
    bool      comma = true;
    memset(h, 0, sizeof *h);
    if (!take(c, "{")) SS_TRY(fail_npy(c, "header", "expected a dictionary"));
    while (!take(c, "}")) {
        if (!comma) SS_TRY(fail_npy(c, "header", "expected a comma or '}'"));
        SS_TRY(take_entry(c, h));
        comma = take(c, ",");
    }
    skip_space(c);
    if (c->p != c->end) SS_TRY(fail_npy(c, "header", "something stands behind the dictionary"));
    if (!h->descr) SS_TRY(fail_npy(c, "descr", "is missing in the header"));
    if (!h->order) SS_TRY(fail_npy(c, "fortran_order", "is missing in the header"));
    if (!h->extents) SS_TRY(fail_npy(c, "shape", "is missing in the header"));
fail:
    return status;
}

/* target (C order) := source (Fortran order). */
static void transpose(const header *h, int64_t count, unsigned char *target, const unsigned char *source)
{
    size_t  item = ss_type_size(h->type);
    int64_t index[SS_MAX_RANK] = { 0 }, stride[SS_MAX_RANK], from = 0, step = 1;
    for (int32_t d = 0; d < h->rank; d++) {
        stride[d] = step;
        step *= h->shape[d];
    }
    for (int64_t i = 0; i < count; i++, target += item) {
        memcpy(target, source + from * (int64_t)item, item);
        for (int32_t d = h->rank - 1; d >= 0; d--) {
            from += stride[d];
            if (++index[d] < h->shape[d]) break;
            from -= stride[d] * h->shape[d];
            index[d] = 0;
        }
    }
}

/* Converts to little endian C order where the file has something else. */
static ss_status convert(const cursor *c, const header *h, int64_t bytes, const unsigned char **data)
{
    ss_status status = SS_OK;
    size_t    item = ss_type_size(h->type);
    int64_t   count = bytes / (int64_t)item;
    void     *copy = NULL;
    if (h->big && item > 1 && bytes > 0) {
        SS_TRY(ss_archive_block(c->archive, c->where, bytes, &copy));
        ss_swap_copy(copy, *data, count, item);
        *data = copy;
    }
    if (h->fortran && h->rank > 1 && bytes > 0) {
        SS_TRY(ss_archive_block(c->archive, c->where, bytes, &copy));
        transpose(h, count, copy, *data);
        *data = copy;
    }
fail:
    return status;
}

/* Magic, version and length: *begin is where the dictionary begins, *length its bytes. */
static ss_status read_preamble(ss_archive *archive, const char *where, const unsigned char *bytes,
                               int64_t size, int64_t *begin, int64_t *length)
{
    if (size < 10)
        return ss_archive_fail(archive, "%sheader: truncated after %lld bytes", where, (long long)size);
    if (memcmp(bytes, "\x93NUMPY", 6) != 0) return ss_archive_fail(archive, "%sheader: no .npy magic", where);
    if (bytes[6] < 1 || bytes[6] > 3 || bytes[7] != 0)
        return ss_archive_fail(archive, "%sversion: expected 1.0, 2.0 or 3.0, found %d.%d", where, bytes[6],
                               bytes[7]);
    *begin = bytes[6] == 1 ? 10 : 12;
    if (size < *begin)
        return ss_archive_fail(archive, "%sheader: truncated after %lld bytes", where, (long long)size);
    *length = (int64_t)ss_little(bytes + 8, bytes[6] == 1 ? 2 : 4);
    if (*length > SS_NPY_HEADER_LIMIT)
        return ss_archive_fail(archive, "%sheader: length %lld exceeds the limit of %d bytes", where,
                               (long long)*length, SS_NPY_HEADER_LIMIT);
    if (*length > size - *begin)
        return ss_archive_fail(archive, "%sheader: length %lld exceeds the %lld bytes that are there", where,
                               (long long)*length, (long long)(size - *begin));
    return SS_OK;
}

ss_status ss_npy_read_member(ss_archive *archive, const char *where, const char *name,
                             const unsigned char *bytes, int64_t size)
{
    ss_status status = SS_OK;
    header    h;
    int64_t   begin = 0, length = 0, expected = 0;
    char      shape[SS_SHAPE_TEXT];
    SS_TRY(read_preamble(archive, where, bytes, size, &begin, &length));
    const char *text = (const char *)bytes + begin;
    cursor      c = { .archive = archive, .where = where, .p = text, .end = text + length };
    SS_TRY(take_header(&c, &h));
    SS_TRY(ss_archive_extent(archive, where, h.rank, h.shape, ss_type_size(h.type), &expected));
    int64_t found = size - begin - length;
    if (found != expected)
        SS_TRY(ss_archive_fail(archive, "%sdata: %s of shape %s takes %lld bytes, the file holds %lld (%s)",
                               where, ss_type_name(h.type), ss_shape_text(h.rank, h.shape, shape),
                               (long long)expected, (long long)found,
                               found < expected ? "truncated" : "over-long"));
    const unsigned char *data = bytes + begin + length;
    SS_TRY(convert(&c, &h, expected, &data));
    ss_array array = { .name = name, .type = h.type, .rank = h.rank, .data = data };
    memcpy(array.shape, h.shape, sizeof array.shape);
    SS_TRY(ss_archive_add(archive, &array));
fail:
    return status;
}

ss_status ss_npy_read(ss_archive *archive, const unsigned char *bytes, int64_t size)
{
    return ss_npy_read_member(archive, "", "", bytes, size);
}
