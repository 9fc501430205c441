/* What the readers of the formats share; seen by src/io alone. A reader gets the bytes of a file, checks all
 * of them, and adds the arrays it finds. */
#ifndef SS_IO_ARCHIVE_PRIVATE_H
#define SS_IO_ARCHIVE_PRIVATE_H

#include "io/archive.h"

typedef struct ss_archive_pair {
    char *key;   /* owned */
    char *value; /* owned */
} ss_archive_pair;

struct ss_archive {
    ss_context      *context;
    char            *path;     /* as opened; owned */
    const char      *format;   /* name of the reader; static text */
    const void      *map;      /* mapped file to be unmapped, NULL = none */
    int64_t          size;     /* bytes of the file or files */
    ss_array        *arrays;   /* [count], capacity `room`; names owned */
    int64_t          count;    /* arrays */
    int64_t          room;     /* arrays that fit */
    const ss_array **sorted;   /* [count] by name; made last */
    ss_archive_pair *pairs;    /* [n_pairs] metadata */
    int64_t          n_pairs;  /* metadata pairs */
    void           **blocks;   /* [n_blocks] converted and inflated data; owned */
    int64_t          n_blocks; /* blocks in use */
    char            *note;     /* what was chosen from a checkpoint, NULL = nothing to say; owned */
    char            *scalars;  /* what stands beside the weights, as JSON; NULL = nothing; owned */
    const void      *hint;     /* for a reader that is told more than the bytes; borrowed while opening */
    ss_archive     **shards;   /* [n_shards] of an index; owned */
    int64_t          n_shards; /* shards opened so far */
};

typedef ss_status (*ss_archive_reader)(ss_archive *archive, const unsigned char *bytes, int64_t size);

ss_status ss_safetensors_read(ss_archive *archive, const unsigned char *bytes, int64_t size);
ss_status ss_npy_read(ss_archive *archive, const unsigned char *bytes, int64_t size);
ss_status ss_zip_read(ss_archive *archive, const unsigned char *bytes, int64_t size);
ss_status ss_idx_read(ss_archive *archive, const unsigned char *bytes, int64_t size);

/* Reads one .npy that lies inside something else: `where` ("member 'x.npy': ") stands before the field in
 * messages, `name` becomes the array's name. */
ss_status ss_npy_read_member(ss_archive *archive, const char *where, const char *name,
                             const unsigned char *bytes, int64_t size);

/* The tensors of all shards that an index lists; then, when names are sorted, that none was left out. */
ss_status ss_archive_read_index(ss_archive *archive);
ss_status ss_archive_check_index(ss_archive *archive);

/* Opens a file, or bytes in memory, with a given reader: its format is not asked for. */
ss_status ss_archive_open_as(ss_context *context, const char *path, ss_archive_reader read, const void *hint,
                             ss_archive **archive);
ss_status ss_archive_open_memory_as(ss_context *context, const char *path, const void *bytes, int64_t size,
                                    ss_archive_reader read, const void *hint, ss_archive **archive);

/* SS_ERROR_INPUT with "<path>: " and the text. */
ss_status ss_archive_fail(ss_archive *archive, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

/* Adds an array; the name is copied, the data borrowed (from the file or a block). */
ss_status ss_archive_add(ss_archive *archive, const ss_array *array);

/* Memory that lives as long as the archive. Large blocks are refused (SS_ERROR_REFUSED) when the machine does
 * not have them: a small file may ask for much. */
ss_status ss_archive_block(ss_archive *archive, const char *what, int64_t bytes, void **block);

/* Checks a shape (extents, rank and `item` bytes per element): its bytes go to *bytes. The product of the
 * extents that are not zero must fit too, so that row lengths and strides never overflow. */
ss_status ss_archive_extent(ss_archive *archive, const char *where, int32_t rank, const int64_t *shape,
                            size_t item, int64_t *bytes);

/* Copies count elements of `item` bytes, reversing their bytes. */
void ss_swap_copy(void *target, const void *source, int64_t count, size_t item);

/* Inflates a raw deflate stream into exactly `size` bytes, or fails naming `what`. */
ss_status ss_inflate_raw(ss_archive *archive, const char *what, const unsigned char *bytes,
                         int64_t compressed, unsigned char *out, int64_t size);
/* Inflates a whole gzip file (all its members) into a fresh block of the archive. */
ss_status ss_inflate_gzip(ss_archive *archive, const unsigned char *bytes, int64_t compressed,
                          unsigned char **out, int64_t *size);

/* Little and big endian integers at any address. */
static inline uint64_t ss_little(const unsigned char *bytes, int count)
{
    uint64_t value = 0;
    for (int i = count - 1; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}
static inline uint64_t ss_big(const unsigned char *bytes, int count)
{
    uint64_t value = 0;
    for (int i = 0; i < count; i++) value = value << 8 | bytes[i];
    return value;
}

#endif
