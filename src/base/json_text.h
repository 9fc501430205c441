/* What jansson leaves open: text in the context's memory, and failed allocations told from wrong text. */
#ifndef SS_BASE_JSON_TEXT_H
#define SS_BASE_JSON_TEXT_H

#include "base/base.h"

#include <jansson.h>

/* A value as text (flags of jansson's json_dumpb), one zero byte behind its `length` bytes (length NULL
 * allowed), in a block of the context; `path` names the file it goes to in messages. SS_ERROR_MEMORY. */
ss_status ss_json_dump(ss_context *context, const char *path, const json_t *value, size_t flags, char **text,
                       size_t *length);
/* Was it memory that jansson lacked, not the text that was wrong? */
bool ss_json_out_of_memory(const json_error_t *error);

#endif
