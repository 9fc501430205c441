/* Zip files, see zip.h. Format: PKWARE APPNOTE.TXT 6.3.10, sections 4.3 (records) and 4.5.3 (zip64).
 *
 * The central directory is the truth; a local header must agree with it. Members may not overlap, so that the
 * inflated size is bounded by the file's (no zip bombs). */
#include "io/zip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define SS_END_BYTES       22 /* end of central directory record, without its comment */
#define SS_LOCATOR_BYTES   20 /* zip64 locator */
#define SS_END64_BYTES     56 /* zip64 end record, without extensions */
#define SS_ENTRY_BYTES     46 /* central directory entry, without name, extra, comment */
#define SS_LOCAL_BYTES     30 /* local header, without name and extra */
#define SS_COMMENT_LIMIT   65535
#define SS_DEFLATE_MOST    1032 /* largest expansion of deflate */
#define SS_FLAG_ENCRYPTED  0x0001u
#define SS_FLAG_MASKED     0x2000u
#define SS_METHOD_STORED   0
#define SS_METHOD_DEFLATED 8

static bool has_signature(const ss_zip *z, int64_t offset, int64_t bytes, const char *signature)
{
    return offset >= 0 && offset <= z->size - bytes && memcmp(z->bytes + offset, signature, 4) == 0;
}

/* The end record is the last thing in the file but for a comment of known length. */
static ss_status find_end(const ss_zip *z, int64_t *offset)
{
    int64_t last = z->size - SS_END_BYTES;
    for (int64_t at = last; at >= 0 && at >= last - SS_COMMENT_LIMIT; at--) {
        if (!has_signature(z, at, SS_END_BYTES, "PK\5\6")) continue;
        if ((int64_t)ss_little(z->bytes + at + 20, 2) != last - at) continue;
        *offset = at;
        return SS_OK;
    }
    return ss_archive_fail(z->archive,
                           "zip: no end of central directory: the file is truncated or over-long");
}

/* A 64-bit field of the file that must be a size or offset inside it. */
static bool inside(const ss_zip *z, uint64_t value)
{
    return value <= (uint64_t)z->size;
}

static ss_status read_end64(ss_zip *z, int64_t end, uint64_t *count, uint64_t *bytes, uint64_t *begin,
                            int64_t *last)
{
    int64_t locator = end - SS_LOCATOR_BYTES;
    if (!has_signature(z, locator, SS_LOCATOR_BYTES, "PK\6\7"))
        return ss_archive_fail(z->archive, "zip: zip64 locator is missing");
    uint64_t at = ss_little(z->bytes + locator + 8, 8);
    if (!inside(z, at) || !has_signature(z, (int64_t)at, SS_END64_BYTES, "PK\6\6") ||
        (int64_t)at + SS_END64_BYTES > locator)
        return ss_archive_fail(z->archive, "zip: zip64 end record is not where the locator says");
    const unsigned char *record = z->bytes + at;
    if (ss_little(record + 16, 4) != 0 || ss_little(record + 20, 4) != 0)
        return ss_archive_fail(z->archive, "zip: archives over several disks are not supported");
    *count = ss_little(record + 32, 8);
    *bytes = ss_little(record + 40, 8);
    *begin = ss_little(record + 48, 8);
    *last = (int64_t)at;
    return SS_OK;
}

/* Finds the central directory. */
static ss_status read_end(ss_zip *z)
{
    ss_status status = SS_OK;
    int64_t   end = 0;
    SS_TRY(find_end(z, &end));
    const unsigned char *record = z->bytes + end;
    uint64_t             count = ss_little(record + 10, 2), bytes = ss_little(record + 12, 4);
    uint64_t             begin = ss_little(record + 16, 4);
    int64_t              last = end;
    if (count == 0xFFFF || bytes == 0xFFFFFFFF || begin == 0xFFFFFFFF)
        SS_TRY(read_end64(z, end, &count, &bytes, &begin, &last));
    else if (ss_little(record + 4, 2) != 0 || ss_little(record + 6, 2) != 0)
        SS_TRY(ss_archive_fail(z->archive, "zip: archives over several disks are not supported"));
    if (!inside(z, begin) || !inside(z, bytes) || (int64_t)(begin + bytes) > last)
        SS_TRY(ss_archive_fail(z->archive,
                               "zip: central directory of %llu bytes at %llu lies outside the file",
                               (unsigned long long)bytes, (unsigned long long)begin));
    if (count > bytes / SS_ENTRY_BYTES)
        SS_TRY(ss_archive_fail(z->archive, "zip: %llu members do not fit into a directory of %llu bytes",
                               (unsigned long long)count, (unsigned long long)bytes));
    z->begin = (int64_t)begin;
    z->end = (int64_t)(begin + bytes);
    z->count = (int64_t)count;
fail:
    return status;
}

/* Replaces the 32-bit fields that are all ones by the 64-bit ones of the zip64 extra field, in its order. */
static ss_status read_extra64(const ss_zip *z, const ss_zip_member *e, const unsigned char *extra,
                              int64_t bytes, uint64_t *const fields[3])
{
    static const char *const names[3] = { "size", "compressed size", "offset" };
    const unsigned char     *p = NULL, *end = NULL;
    while (bytes >= 4 && p == NULL) {
        int64_t length = (int64_t)ss_little(extra + 2, 2);
        if (length > bytes - 4) break;
        if (ss_little(extra, 2) == 1) {
            p = extra + 4;
            end = p + length;
        }
        extra += 4 + length;
        bytes -= 4 + length;
    }
    for (int i = 0; i < 3; i++) {
        if (*fields[i] != 0xFFFFFFFF) continue;
        if (p == NULL || end - p < 8)
            return ss_archive_fail(z->archive, "%szip64 field '%s' is missing", e->where, names[i]);
        *fields[i] = ss_little(p, 8);
        p += 8;
    }
    return SS_OK;
}

static ss_status read_name(const ss_zip *z, ss_zip_member *e, const unsigned char *name, int64_t length)
{
    char quoted[SS_QUOTE_TEXT];
    if (length >= SS_MEMBER_NAME || length == 0)
        return ss_archive_fail(z->archive, "zip: a member's name has %lld bytes, expected 1 to %d",
                               (long long)length, SS_MEMBER_NAME - 1);
    memcpy(e->name, name, (size_t)length);
    e->name[length] = '\0';
    snprintf(e->where, sizeof e->where, "member %s: ", ss_quote(e->name, quoted));
    if (memchr(name, '\0', (size_t)length) != NULL)
        return ss_archive_fail(z->archive, "%sthe name holds a NUL byte", e->where);
    return SS_OK;
}

/* One entry of the central directory at *offset, which moves behind it. */
static ss_status read_entry(const ss_zip *z, int64_t *offset, ss_zip_member *e)
{
    ss_status status = SS_OK;
    if (!has_signature(z, *offset, SS_ENTRY_BYTES, "PK\1\2"))
        SS_TRY(ss_archive_fail(z->archive, "zip: no directory entry at byte %lld", (long long)*offset));
    const unsigned char *record = z->bytes + *offset;
    int64_t name = (int64_t)ss_little(record + 28, 2), extra = (int64_t)ss_little(record + 30, 2);
    int64_t comment = (int64_t)ss_little(record + 32, 2), left = z->end - *offset - SS_ENTRY_BYTES;
    if (name + extra + comment > left)
        SS_TRY(ss_archive_fail(z->archive, "zip: the directory entry at byte %lld is truncated",
                               (long long)*offset));
    SS_TRY(read_name(z, e, record + SS_ENTRY_BYTES, name));

    uint64_t        flags = ss_little(record + 8, 2), compressed = ss_little(record + 20, 4);
    uint64_t        size = ss_little(record + 24, 4), local = ss_little(record + 42, 4);
    uint64_t *const fields[3] = { &size, &compressed, &local };
    SS_TRY(read_extra64(z, e, record + SS_ENTRY_BYTES + name, extra, fields));
    e->method = (int)ss_little(record + 10, 2);
    e->crc = (uint32_t)ss_little(record + 16, 4);
    if ((flags & (SS_FLAG_ENCRYPTED | SS_FLAG_MASKED)) != 0)
        SS_TRY(ss_archive_fail(z->archive, "%sencrypted members are not supported", e->where));
    if (e->method != SS_METHOD_STORED && e->method != SS_METHOD_DEFLATED)
        SS_TRY(ss_archive_fail(z->archive,
                               "%scompression method %d is not supported (stored and deflated are)", e->where,
                               e->method));
    if (!inside(z, compressed) || !inside(z, local))
        SS_TRY(ss_archive_fail(z->archive, "%slies outside the file", e->where));
    if (e->method == SS_METHOD_STORED ? size != compressed : size / SS_DEFLATE_MOST > compressed)
        SS_TRY(ss_archive_fail(z->archive, "%ssize: %llu bytes cannot come from %llu", e->where,
                               (unsigned long long)size, (unsigned long long)compressed));
    e->compressed = (int64_t)compressed;
    e->size = (int64_t)size;
    e->local = (int64_t)local;
    *offset += SS_ENTRY_BYTES + name + extra + comment;
fail:
    return status;
}

/* The local header says where the data begin; what it repeats must agree with the directory. */
static ss_status read_local(const ss_zip *z, ss_zip_member *e)
{
    if (!has_signature(z, e->local, SS_LOCAL_BYTES, "PK\3\4"))
        return ss_archive_fail(z->archive, "%sno local header at byte %lld", e->where, (long long)e->local);
    const unsigned char *record = z->bytes + e->local;
    int64_t name = (int64_t)ss_little(record + 26, 2), extra = (int64_t)ss_little(record + 28, 2);
    e->begin = e->local + SS_LOCAL_BYTES + name + extra;
    if (e->begin > z->begin || e->compressed > z->begin - e->begin)
        return ss_archive_fail(z->archive, "%s%lld bytes of data run into the central directory", e->where,
                               (long long)e->compressed);
    if (name != (int64_t)strlen(e->name) || memcmp(record + SS_LOCAL_BYTES, e->name, (size_t)name) != 0)
        return ss_archive_fail(z->archive, "%sits local header has another name", e->where);
    if ((int)ss_little(record + 8, 2) != e->method)
        return ss_archive_fail(z->archive, "%sits local header has another compression method", e->where);
    return SS_OK;
}

static int compare_places(const void *a, const void *b)
{
    const ss_zip_member *const *left = a, *const *right = b;
    return (*left)->local < (*right)->local ? -1 : (*left)->local > (*right)->local;
}

static ss_status check_overlap(const ss_zip *z)
{
    ss_status             status = SS_OK;
    const ss_zip_member **order = NULL;
    SS_TRY(SS_NEW_ARRAY(z->archive->context, z->count, &order));
    for (int64_t i = 0; i < z->count; i++) order[i] = &z->members[i];
    qsort(order, (size_t)z->count, sizeof *order, compare_places);
    for (int64_t i = 1; i < z->count; i++) {
        if (order[i]->local < order[i - 1]->begin + order[i - 1]->compressed)
            SS_TRY(ss_archive_fail(z->archive, "%soverlaps the member before it", order[i]->where));
    }
fail:
    ss_free(z->archive->context, order);
    return status;
}

static ss_status read_directory(ss_zip *z)
{
    ss_status status = SS_OK;
    int64_t   offset = z->begin;
    SS_TRY(SS_NEW_ARRAY(z->archive->context, z->count, &z->members));
    for (int64_t i = 0; i < z->count; i++) {
        SS_TRY(read_entry(z, &offset, &z->members[i]));
    }
    if (offset != z->end)
        SS_TRY(ss_archive_fail(z->archive, "zip: the central directory does not end as declared"));
    for (int64_t i = 0; i < z->count; i++) SS_TRY(read_local(z, &z->members[i]));
    SS_TRY(check_overlap(z));
fail:
    return status;
}

/* CRC-32 of any number of bytes; zlib counts in unsigned int. */
static uint32_t crc_of(const unsigned char *bytes, int64_t size)
{
    uLong crc = crc32(0, NULL, 0);
    while (size > 0) {
        int64_t piece = ss_min64(size, (int64_t)1 << 30);
        crc = crc32(crc, bytes, (uInt)piece);
        bytes += piece;
        size -= piece;
    }
    return (uint32_t)crc;
}

ss_status ss_zip_data(const ss_zip *z, const ss_zip_member *e, const unsigned char **data)
{
    ss_status            status = SS_OK;
    const unsigned char *found = z->bytes + e->begin;
    if (e->method == SS_METHOD_DEFLATED) {
        void *block = NULL;
        SS_TRY(ss_archive_block(z->archive, e->where, e->size, &block));
        SS_TRY(ss_inflate_raw(z->archive, e->where, found, e->compressed, block, e->size));
        found = block;
    }
    if (e->crc != 0 || !z->crc_optional) {
        uint32_t crc = crc_of(found, e->size);
        if (crc != e->crc)
            SS_TRY(ss_archive_fail(z->archive, "%sCRC: %08x is declared, the data have %08x", e->where,
                                   e->crc, crc));
    }
    *data = found;
fail:
    return status;
}

ss_status ss_zip_open(ss_archive *archive, const unsigned char *bytes, int64_t size, ss_zip *z)
{
    ss_status status = SS_OK;
    *z = (ss_zip){ .archive = archive, .bytes = bytes, .size = size };
    SS_TRY(read_end(z));
    SS_TRY(read_directory(z));
fail:
    return status;
}

void ss_zip_close(ss_zip *z)
{
    ss_free(z->archive->context, z->members);
    ss_free(z->archive->context, z->sorted);
}

static int compare_names(const void *a, const void *b)
{
    const ss_zip_member *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

ss_status ss_zip_sort(ss_zip *z)
{
    ss_status status = SS_OK;
    SS_TRY(SS_NEW_ARRAY(z->archive->context, z->count, &z->sorted));
    for (int64_t i = 0; i < z->count; i++) z->sorted[i] = &z->members[i];
    qsort(z->sorted, (size_t)z->count, sizeof *z->sorted, compare_names);
    for (int64_t i = 1; i < z->count; i++) {
        if (strcmp(z->sorted[i - 1]->name, z->sorted[i]->name) == 0)
            SS_TRY(ss_archive_fail(z->archive, "%sstands twice in the zip file", z->sorted[i]->where));
    }
fail:
    return status;
}

const ss_zip_member *ss_zip_find(const ss_zip *z, const char *name)
{
    ss_zip_member        wanted;
    const ss_zip_member *key = &wanted, *const * found;
    if (strlen(name) >= sizeof wanted.name) return NULL;
    memcpy(wanted.name, name, strlen(name) + 1);
    found = bsearch(&key, z->sorted, (size_t)z->count, sizeof *z->sorted, compare_names);
    return found != NULL ? *found : NULL;
}

ss_status ss_zip_read(ss_archive *archive, const unsigned char *bytes, int64_t size)
{
    ss_status status = SS_OK;
    ss_zip    z;
    SS_TRY(ss_zip_open(archive, bytes, size, &z));
    for (int64_t i = 0; i < z.count; i++) {
        const char *name = z.members[i].name, *slash = strrchr(name, '/');
        if (strcmp(slash != NULL ? slash + 1 : name, "data.pkl") != 0) continue;
        archive->format = "torch";
        SS_TRY(ss_torch_read(archive, &z, name));
        goto fail;
    }
    archive->format = "npz";
    SS_TRY(ss_npz_read(archive, &z));
fail:
    ss_zip_close(&z);
    return status;
}
