/* Lists of numbers on the command line: "2,4,8", "0..99", "1,5..9". */
#ifndef SS_CLI_LISTS_H
#define SS_CLI_LISTS_H

#include "base/base.h"

/* *numbers [*count], ascending order not needed, no number twice; owned by the caller. `option` begins the
 * messages. SS_ERROR_USAGE: no such list, a number outside least..most, a number twice, more than a million.
 */
ss_status ss_list_parse(ss_context *context, const char *option, const char *text, int64_t least,
                        int64_t most, int64_t **numbers, int64_t *count);

/* 16 hexadecimal digits of the FNV-1a hash of bytes, chained: digest starts as SS_DIGEST_START. */
#define SS_DIGEST_START 14695981039346656037u
uint64_t ss_digest(uint64_t digest, const void *bytes, size_t size);

#endif
