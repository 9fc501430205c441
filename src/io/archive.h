/* Named, read-only host arrays of one file (or of the shards of one checkpoint).
 *
 * The format is decided by content, never by the file's name: safetensors, .npy, .npz, torch checkpoints,
 * IDX, and any of .npy, safetensors and IDX behind gzip. Regular files are mapped; arrays that can be used as
 * they lie in the file are not copied. Everything is checked when the file is opened, so that afterwards
 * every array has shape-product * item-size readable bytes. Of a torch checkpoint (a zip file since
 * torch 1.6) the weights are the arrays; its pickle is read by a reader that runs nothing (pickle.h), and
 * tensors that are tied share their data. Other pickles are recognised and refused: the message names the
 * command that converts them.
 *
 * A mapped file must not be truncated while it is open: the system answers such a read with SIGBUS. */
#ifndef SS_IO_ARCHIVE_H
#define SS_IO_ARCHIVE_H

#include "base/base.h"

typedef struct ss_archive ss_archive;
struct ss_json;

/* Opens a file. SS_ERROR_INPUT with a message "<path>: <field>: what was expected, what was found"; *archive
 * is NULL then. */
ss_status ss_archive_open(ss_context *context, const char *path, ss_archive **archive);

/* The same for bytes in memory, which are borrowed until the archive is closed; `path` names them in
 * messages. */
ss_status ss_archive_open_memory(ss_context *context, const char *path, const void *bytes, int64_t size,
                                 ss_archive **archive);

/* Opens all shards that "<folder>/model.safetensors.index.json" (or pytorch_model.bin.index.json) lists as
 * one archive. Every tensor must be in the shard that the index says, and no name may be in two shards. */
ss_status ss_archive_open_index(ss_context *context, const char *path, ss_archive **archive);

/* Unmaps and releases; arrays handed out are gone afterwards. NULL is allowed. */
void ss_archive_close(ss_archive *archive);

/* Number of arrays, and array `index` in the order of the file (0 <= index < count). Borrowed; so are name
 * and data. The single array of .npy and IDX is named "". */
int64_t         ss_archive_count(const ss_archive *archive);
const ss_array *ss_archive_at(const ss_archive *archive, int64_t index);

/* The array of that name, NULL if there is none. */
const ss_array *ss_archive_find(const ss_archive *archive, const char *name);

/* Metadata of safetensors: number of pairs, pair `index`, and the value of a key (NULL if there is none). */
int64_t ss_archive_metadata_count(const ss_archive *archive);
void ss_archive_metadata_at(const ss_archive *archive, int64_t index, const char **key, const char **value);
const char *ss_archive_metadata(const ss_archive *archive, const char *key);

/* What stands beside the weights of a torch checkpoint ("model_args", "config", "epoch" ...) as a JSON
 * document, so that ss_json_integer and its kin check it like any configuration; *json NULL when there is
 * nothing. Tensors, training state, long lists and what JSON cannot hold are left out. */
ss_status ss_archive_scalars(const ss_archive *archive, struct ss_json **json);

const char *ss_archive_path(const ss_archive *archive);   /* as it was opened */
const char *ss_archive_format(const ss_archive *archive); /* "safetensors", "npy", "npz", "IDX", "torch" */
/* What was chosen from a torch checkpoint, "weights under 'model', '_orig_mod.' stripped"; "" otherwise. */
const char *ss_archive_note(const ss_archive *archive);
int64_t     ss_archive_bytes(const ss_archive *archive); /* size of the file or files */

/* ---- Helpers on arrays that weights and data share --------------------------------------------------------
 */

/* SS_ERROR_INPUT "<path>: array '<name>' holds NaN at [3, 5]" unless all elements are finite; integers always
 * are. */
ss_status ss_array_require_finite(ss_context *context, const char *path, const ss_array *array);

#define SS_SHAPE_TEXT 192 /* bytes that hold the text of any shape */
/* Writes "[3, 5]" ("[]" for rank 0) into text, which it returns. */
char *ss_shape_text(int32_t rank, const int64_t *shape, char text[SS_SHAPE_TEXT]);
/* Writes the index tuple of element `index` of an array, "[3, 5]", into text, which it returns. */
char *ss_index_text(const ss_array *array, int64_t index, char text[SS_SHAPE_TEXT]);

#define SS_QUOTE_TEXT 160 /* bytes that hold any quoted name */
/* Writes a name from a file, in single quotes, control characters replaced and overlong ones shortened, so
 * that a message is safe to print; returns text. */
char *ss_quote(const char *name, char text[SS_QUOTE_TEXT]);

#endif
