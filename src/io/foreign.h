/* Checkpoints that are recognised and not read: each is refused by its name, with the command of its own
 * makers that converts it. */
#ifndef SS_IO_FOREIGN_H
#define SS_IO_FOREIGN_H

#include "io/archive.h"
#include "io/json.h"

/* SS_ERROR_INPUT when the file's name is one that only such a system gives (DeepSpeed, torch DCP, Megatron,
 * Flax, TensorFlow). Nothing is opened. */
ss_status ss_foreign_refuse_file(ss_context *context, const char *path);

/* SS_ERROR_INPUT when a folder, in which nothing that is read was found, holds such a checkpoint. */
ss_status ss_foreign_refuse_folder(ss_context *context, const char *folder);

/* SS_ERROR_INPUT when a checkpoint's config or the names of its tensors say that the weights are quantised.
 * `config` and `archive` may be NULL. */
ss_status ss_foreign_refuse_quantised(ss_context *context, const ss_json *config, const ss_archive *archive);

#endif
