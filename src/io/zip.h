/* Zip files, which .npz and torch checkpoints are: the directory, checked, and the bytes of a member. Seen by
 * src/io alone.
 *
 * Everything about places and sizes is checked when the file is opened; the bytes of a member (its CRC, its
 * inflated size) when they are asked for. */
#ifndef SS_IO_ZIP_H
#define SS_IO_ZIP_H

#include "io/archive_private.h"

#define SS_MEMBER_NAME 512 /* bytes, longest member name taken, with its end */

typedef struct ss_zip_member {
    char     name[SS_MEMBER_NAME];      /* as in the directory */
    char     where[SS_QUOTE_TEXT + 16]; /* "member 'x.npy': " */
    uint32_t crc;                       /* of the inflated bytes */
    int      method;                    /* stored or deflated */
    int64_t  compressed, size;          /* bytes in the file, bytes inflated */
    int64_t  local;                     /* offset of the local header */
    int64_t  begin;                     /* offset of the data */
} ss_zip_member;

typedef struct ss_zip {
    ss_archive           *archive;      /* borrowed */
    const unsigned char  *bytes;        /* [size] the file */
    int64_t               size;         /* of the file */
    int64_t               begin, end;   /* of the central directory, offsets in the file */
    int64_t               count;        /* members */
    ss_zip_member        *members;      /* [count] in the order of the directory */
    const ss_zip_member **sorted;       /* [count] by name; NULL until ss_zip_sort */
    bool                  crc_optional; /* a CRC of 0 means that none was computed (torch may leave it out) */
} ss_zip;

/* Reads and checks the directory. Close in any case. */
ss_status ss_zip_open(ss_archive *archive, const unsigned char *bytes, int64_t size, ss_zip *zip);
void      ss_zip_close(ss_zip *zip);

/* Sorts the members by name, refusing names that stand twice; ss_zip_find needs it. */
ss_status            ss_zip_sort(ss_zip *zip);
const ss_zip_member *ss_zip_find(const ss_zip *zip, const char *name); /* NULL if there is none */

/* The inflated bytes of a member [member->size], in place when it is stored, else in a block of the archive.
 */
ss_status ss_zip_data(const ss_zip *zip, const ss_zip_member *member, const unsigned char **data);

/* The two kinds of zip files: members that are .npy arrays; "<folder>/data.pkl" with its tensors beside it.
 */
ss_status ss_npz_read(ss_archive *archive, const ss_zip *zip);
ss_status ss_torch_read(ss_archive *archive, ss_zip *zip, const char *pickle);

#endif
