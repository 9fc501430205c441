/* JSON as text; see json_text.h. */
#include "base/json_text.h"

ss_status ss_json_dump(ss_context *context, const char *path, const json_t *value, size_t flags, char **text,
                       size_t *length)
{
    /* not json_dumps: its block would be given back by whatever allocator the process gave jansson */
    ss_status status = SS_OK;
    void     *bytes = NULL;
    size_t    size = json_dumpb(value, NULL, 0, flags);
    *text = NULL;
    if (size > 0) SS_TRY(ss_allocate(context, (int64_t)size + 1, 1, &bytes));
    if (size == 0 || json_dumpb(value, bytes, size, flags) != size)
        SS_FAIL(context, SS_ERROR_MEMORY, "%s: no memory for its JSON", path);
    *text = bytes;
    if (length != NULL) *length = size;
    bytes = NULL;
fail:
    ss_free(context, bytes);
    return status;
}

bool ss_json_out_of_memory(const json_error_t *error)
{
    /* jansson gives most failed allocations neither a code nor a text */
    return error->text[0] == '\0' || json_error_code(error) == json_error_out_of_memory;
}
