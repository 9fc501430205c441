/* The data set's inside, shared by dataset*.c and by the tests that give it archives in memory. */
#ifndef SS_IO_DATASET_PRIVATE_H
#define SS_IO_DATASET_PRIVATE_H

#include "saddlescope/dataset.h"
#include "io/archive.h"

/* Arrays that change the meaning of input_ids; the mask first. */
#define SS_COMPANIONS "attention_mask", "token_type_ids", "position_ids"

#define SS_DATASET_FILES 2 /* inputs and targets may come from two */

struct ss_dataset {
    ss_context *context;
    char       *path;                    /* as given, for messages; owned */
    char       *description;             /* what was understood; owned */
    ss_archive *files[SS_DATASET_FILES]; /* kept open because arrays borrow from them; NULL = none; owned */
    ss_array   *arrays;                  /* [n_arrays] x, y, then others with a row per sample; names owned */
    int64_t     n_arrays;                /* >= 2 once it is open */
    void      **rows;                    /* [n_arrays] chosen rows of each array; NULL = all used; owned */
    int64_t    *chosen;                  /* [samples] numbers in the file, ascending; NULL = all; owned */
    int64_t     samples;                 /* in use */
    int64_t     in_file;                 /* before the choice */
    int64_t     length[2];               /* elements per sample of x and y */
    bool        no_targets;              /* y is an empty array that stands in for them */
    int64_t     stream;                  /* ids in the stream that was cut, 0 = none was */
    int64_t     stride;                  /* between its sequences */
    int64_t     largest_id;              /* among the samples in use; -1 = x are no token ids */
    double      scale, shift;            /* the network sees scale * x + shift */
};

/* The data set of one archive (targets NULL) or two, whose ownership passes whatever happens. */
ss_status ss_dataset_from_archives(ss_context *context, const char *path, ss_archive *inputs,
                                   ss_archive *targets, const ss_dataset_options *options,
                                   ss_dataset **dataset);

/* Checks what the options say by themselves (SS_ERROR_USAGE): before anything else uses them. */
ss_status ss_dataset_check_options(ss_context *context, const ss_dataset_options *options);

/* Checks arrays against options (ss_dataset_open's list) and sets in_file and length. */
ss_status ss_dataset_check(ss_dataset *dataset, const ss_dataset_options *options);

/* Are the inputs token ids? */
bool ss_dataset_is_tokens(const ss_dataset *dataset);

/* ---- Token ids (tokens.c) ---- */

/* Is this a raw file of token ids, rather than an archive? */
ss_status ss_tokens_is_raw(ss_context *context, const char *path, const ss_dataset_options *options,
                           bool *raw);
/* Opens one as an archive with one array [n]. */
ss_status ss_tokens_open(ss_context *context, const char *path, const ss_dataset_options *options,
                         ss_archive **archive);
/* The same from bytes in memory. */
ss_status ss_tokens_open_memory(ss_context *context, const char *path, const void *bytes, int64_t size,
                                const ss_dataset_options *options, ss_archive **archive);
/* sequences [N, T] := the stream [n] of an archive, in place when the sequences do not overlap or leave gaps.
 */
ss_status ss_tokens_cut(ss_archive *archive, const ss_array *stream, const ss_dataset_options *options,
                        ss_array *sequences);

/* Writes the description. */
ss_status ss_dataset_describe(ss_dataset *dataset, const ss_dataset_options *options);

#endif
