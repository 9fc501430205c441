/* Deflated data: raw streams of zip members and gzip files, over zlib, whose memory comes from the context.
 *
 * Deflate cannot expand by more than 1032 : 1, so a declared or growing size beyond that is a lie and no
 * memory is taken for it. */
#include "io/archive_private.h"

#include <string.h>
#include <zlib.h>

#define SS_DEFLATE_RATIO 1032               /* largest expansion (zlib technical details) */
#define SS_PIECE         ((int64_t)1 << 30) /* zlib counts in unsigned int */

static void *take(void *context, uInt count, uInt size)
{
    void *memory = NULL;
    /* The failure comes back as Z_MEM_ERROR; the message is already set. */
    return ss_allocate(context, (int64_t)count, size, &memory) == SS_OK ? memory : NULL;
}

static void give_back(void *context, void *memory)
{
    ss_free(context, memory);
}

typedef struct stream {
    z_stream             z;
    const unsigned char *bytes; /* compressed */
    int64_t              left;  /* of bytes, not yet handed to zlib */
    bool                 begun; /* inflateEnd is due */
} stream;

static ss_status begin(ss_archive *archive, stream *s, int window, const unsigned char *bytes,
                       int64_t compressed)
{
    memset(s, 0, sizeof *s);
    s->z.zalloc = take;
    s->z.zfree = give_back;
    s->z.opaque = archive->context;
    s->bytes = bytes;
    s->left = compressed;
    if (inflateInit2(&s->z, window) != Z_OK)
        return ss_fail(archive->context, SS_ERROR_MEMORY, "%s: zlib cannot be started", archive->path);
    s->begun = true;
    return SS_OK;
}

static void end(stream *s)
{
    if (s->begun) inflateEnd(&s->z);
}

/* Inflates into out[*done, size) until it is full, the stream ends or the input is used up. Returns zlib's
 * verdict: Z_STREAM_END, Z_OK (out is full) or Z_BUF_ERROR (input used up), or an error. */
static int run(stream *s, unsigned char *out, int64_t size, int64_t *done)
{
    while (*done < size) {
        if (s->z.avail_in == 0 && s->left > 0) {
            int64_t piece = ss_min64(s->left, SS_PIECE);
            s->z.next_in = (unsigned char *)(uintptr_t)s->bytes;
            s->z.avail_in = (uInt)piece;
            s->bytes += piece;
            s->left -= piece;
        }
        uInt room = (uInt)ss_min64(size - *done, SS_PIECE);
        s->z.next_out = out + *done;
        s->z.avail_out = room;
        int result = inflate(&s->z, Z_NO_FLUSH);
        *done += room - s->z.avail_out;
        if (result != Z_OK) return result;
        if (s->z.avail_in == 0 && s->left == 0 && s->z.avail_out > 0) return Z_BUF_ERROR;
    }
    return Z_OK;
}

static ss_status fail_inflate(ss_archive *archive, const char *what, const stream *s, int result)
{
    if (result == Z_MEM_ERROR)
        return ss_fail(archive->context, SS_ERROR_MEMORY, "%s: no memory to inflate", archive->path);
    if (result == Z_BUF_ERROR) return ss_archive_fail(archive, "%scompressed data are truncated", what);
    return ss_archive_fail(archive, "%scompressed data are damaged: %s", what,
                           s->z.msg != NULL ? s->z.msg : "unexpected end or dictionary");
}

ss_status ss_inflate_raw(ss_archive *archive, const char *what, const unsigned char *bytes,
                         int64_t compressed, unsigned char *out, int64_t size)
{
    ss_status     status = SS_OK;
    stream        s = { .begun = false };
    int64_t       done = 0, extra = 0;
    unsigned char beyond = 0;
    SS_TRY(begin(archive, &s, -MAX_WBITS, bytes, compressed));
    int result = size > 0 ? run(&s, out, size, &done) : Z_OK;
    /* Full: what must follow is the end of the stream and nothing else. */
    if (result == Z_OK) result = run(&s, &beyond, 1, &extra);
    if (extra > 0)
        SS_TRY(ss_archive_fail(archive, "%sinflates to more than the %lld bytes declared", what,
                               (long long)size));
    if (result != Z_STREAM_END) SS_TRY(fail_inflate(archive, what, &s, result));
    if (done != size)
        SS_TRY(ss_archive_fail(archive, "%sinflates to %lld bytes, %lld are declared", what, (long long)done,
                               (long long)size));
    if (s.z.avail_in > 0 || s.left > 0)
        SS_TRY(ss_archive_fail(archive, "%s%lld bytes lie behind the end of the compressed data", what,
                               (long long)s.z.avail_in + s.left));
fail:
    end(&s);
    return status;
}

/* Makes room for more output: by the ratio the true size is bounded, so growth ends. */
static ss_status grow(ss_archive *archive, int64_t most, int64_t done, unsigned char **block, int64_t *room)
{
    ss_status status = SS_OK;
    int64_t   wanted = ss_min64(most, 2 * *room);
    void     *larger = NULL;
    if (wanted <= *room) return ss_archive_fail(archive, "gzip: inflates to more than deflate can hold");
    /* The old block stays with the archive until it is closed unless it is the last: replace it. */
    SS_TRY(ss_archive_block(archive, "gzip: ", wanted, &larger));
    memcpy(larger, *block, (size_t)done);
    ss_free(archive->context, *block);
    archive->blocks[archive->n_blocks - 2] = larger;
    archive->n_blocks--;
    *block = larger;
    *room = wanted;
fail:
    return status;
}

ss_status ss_inflate_gzip(ss_archive *archive, const unsigned char *bytes, int64_t compressed,
                          unsigned char **out, int64_t *size)
{
    ss_status      status = SS_OK;
    stream         s = { .begun = false };
    unsigned char *block = NULL;
    int64_t        done = 0, most = 0, room = 0;
    if (compressed < 18)
        SS_TRY(ss_archive_fail(archive, "gzip: truncated after %lld bytes", (long long)compressed));
    if (!ss_mul64(compressed, SS_DEFLATE_RATIO, &most)) SS_TRY(ss_archive_fail(archive, "gzip: too large"));

    /* The last four bytes give the size modulo 2^32 of the last member: right for nearly every file. One byte
     * more, so that the end of the stream is seen without growing. */
    room = (int64_t)ss_little(bytes + compressed - 4, 4) + 1;
    if (room > most) room = 4096;
    SS_TRY(ss_archive_block(archive, "gzip: ", room, (void **)&block));
    SS_TRY(begin(archive, &s, MAX_WBITS + 16, bytes, compressed));
    for (;;) {
        int result = run(&s, block, room, &done);
        if (result == Z_OK) {
            SS_TRY(grow(archive, most, done, &block, &room));
        } else if (result == Z_STREAM_END) {
            if (s.z.avail_in == 0 && s.left == 0) break;
            if (inflateReset(&s.z) != Z_OK) SS_TRY(fail_inflate(archive, "gzip: ", &s, Z_DATA_ERROR));
        } else {
            SS_TRY(fail_inflate(archive, "gzip: ", &s, result));
        }
    }
    *out = block;
    *size = done;
fail:
    end(&s);
    return status;
}
