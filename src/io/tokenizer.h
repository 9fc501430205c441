/* Byte-level BPE tokenizers, as GPT-2, Llama 3 and their kin publish them in `tokenizer.json`: text -> ids.
 *
 * The text is cut at added tokens ("<|endoftext|>"), what lies between is cut into pieces by a regular
 * expression, and in every piece the pair of neighbours with the lowest rank is merged until none is left.
 * Nothing is added to the text (no beginning-of-text token). Other kinds of tokenizers are refused by name.
 * Reference: huggingface/tokenizers, models/bpe and pre_tokenizers/byte_level. */
#ifndef SS_IO_TOKENIZER_H
#define SS_IO_TOKENIZER_H

#include "base/base.h"

typedef struct ss_tokenizer ss_tokenizer;

/* Reads a tokenizer.json. SS_ERROR_INPUT, naming file and field. */
ss_status ss_tokenizer_open(ss_context *context, const char *path, ss_tokenizer **tokenizer);
void      ss_tokenizer_close(ss_tokenizer *tokenizer); /* NULL allowed */

/* The ids of a text [size], UTF-8; `path` names it in messages. *ids [*count] is owned by the caller. */
ss_status ss_tokenizer_encode(ss_tokenizer *tokenizer, const char *path, const unsigned char *text,
                              int64_t size, uint32_t **ids, int64_t *count);

#endif
