/* The inside of a tokenizer: tokenizer.c reads it, tokenizer_encode.c uses it. */
#ifndef SS_IO_TOKENIZER_PRIVATE_H
#define SS_IO_TOKENIZER_PRIVATE_H

#include "io/json.h"
#include "io/tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define SS_LONGEST_TOKEN 4096 /* bytes of a token in the file's letters, with its end */

typedef struct ss_merge {
    uint32_t left, right; /* ids of the pair; merged = 0 and rank = UINT32_MAX: a free place */
    uint32_t rank;        /* lower ranks merge first */
    uint32_t merged;      /* id of what they become */
} ss_merge;

typedef struct ss_added_token {
    const char *content; /* borrowed from the JSON document */
    int64_t     length;  /* bytes */
    uint32_t    id;
    bool        plain; /* no stripping, no word limits: may be used */
} ss_added_token;

typedef struct ss_symbol {
    uint32_t id;
    int64_t  before, after; /* neighbours in the piece, -1 = none */
} ss_symbol;

typedef struct ss_candidate {
    uint32_t rank, left, right, merged; /* of the pair, as it was when it was found */
    int64_t  place;                     /* of its left symbol */
} ss_candidate;

struct ss_tokenizer {
    ss_context            *context;
    ss_json               *json;               /* kept open: the vocabulary is looked up in it; owned */
    ss_json_value          root, model, vocab; /* of the document */
    uint32_t               byte_id[256];       /* ids of the single bytes */
    char                   letters[256][3];    /* how a byte is written in the file, UTF-8 */
    ss_merge              *merges;             /* [places] a hash table; owned */
    int64_t                places;             /* a power of two */
    ss_added_token        *added;              /* [n_added]; owned */
    int64_t                n_added;
    bool                   prefix_space;  /* a space before every stretch that begins with none */
    bool                   ignore_merges; /* a piece that is a token is that token */
    bool                   composed;      /* the text must be NFC */
    pcre2_general_context *memory;        /* allocations go through the context */
    pcre2_code            *pieces;        /* NULL = a stretch is one piece */
    pcre2_match_data      *match;
    pcre2_match_context   *limits;  /* steps that a match may take */
    ss_symbol             *symbols; /* [symbol_room] of the running piece; owned */
    int64_t                symbol_room;
    ss_candidate          *heap; /* [heap_room]; owned */
    int64_t                heap_count, heap_room;
    uint32_t              *ids; /* [id_room] of the text so far; owned */
    int64_t                n_ids, id_room;
    const char            *path; /* of the text, for messages */
};

/* The merge of a pair, NULL if there is none. */
const ss_merge *ss_tokenizer_find(const ss_tokenizer *tokenizer, uint32_t left, uint32_t right);

#endif
