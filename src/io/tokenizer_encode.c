/* Text to ids, see tokenizer.h: stretches between added tokens, pieces of a stretch, merges in a piece.
 *
 * The merges of a piece are taken from a heap by rank, then place, so that a piece of n bytes costs n log n
 * however it is made. */
#include "io/tokenizer_private.h"
#include "io/archive.h"

#include <string.h>

static ss_status append(ss_tokenizer *t, uint32_t id)
{
    ss_status status = SS_OK;
    if (t->n_ids == t->id_room) {
        int64_t room = ss_max64(1024, 2 * t->id_room);
        SS_TRY(ss_reallocate(t->context, room, sizeof *t->ids, (void **)&t->ids));
        t->id_room = room;
    }
    t->ids[t->n_ids++] = id;
fail:
    return status;
}

/* ---- Merges -----------------------------------------------------------------------------------------------
 */

static bool comes_before(const ss_candidate *a, const ss_candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->place < b->place;
}

/* Puts the pair that begins at a symbol on the heap, if it merges. */
static ss_status push_pair(ss_tokenizer *t, int64_t place)
{
    ss_status status = SS_OK;
    if (place < 0 || t->symbols[place].after < 0) return SS_OK;
    uint32_t        left = t->symbols[place].id, right = t->symbols[t->symbols[place].after].id;
    const ss_merge *merge = ss_tokenizer_find(t, left, right);
    if (merge == NULL) return SS_OK;
    if (t->heap_count == t->heap_room) {
        int64_t room = ss_max64(64, 2 * t->heap_room);
        SS_TRY(ss_reallocate(t->context, room, sizeof *t->heap, (void **)&t->heap));
        t->heap_room = room;
    }
    ss_candidate added = { .rank = merge->rank, .left = left, .right = right, .merged = merge->merged };
    added.place = place;
    int64_t at = t->heap_count++;
    while (at > 0 && comes_before(&added, &t->heap[(at - 1) / 2])) {
        t->heap[at] = t->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    t->heap[at] = added;
fail:
    return status;
}

/* Takes the first candidate off the heap, which is not empty. */
static ss_candidate pop_pair(ss_tokenizer *t)
{
    ss_candidate first = t->heap[0], last = t->heap[--t->heap_count];
    int64_t      at = 0;
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= t->heap_count) break;
        if (child + 1 < t->heap_count && comes_before(&t->heap[child + 1], &t->heap[child])) child++;
        if (!comes_before(&t->heap[child], &last)) break;
        t->heap[at] = t->heap[child];
        at = child;
    }
    t->heap[at] = last;
    return first;
}

/* The id of a piece that is a token by itself; false if it is none. */
static bool whole_piece(const ss_tokenizer *t, const unsigned char *piece, int64_t size, uint32_t *id)
{
    char    letters[SS_LONGEST_TOKEN];
    size_t  used = 0;
    int64_t number = 0;
    if (size >= SS_LONGEST_TOKEN / 2) return false;
    for (int64_t i = 0; i < size; i++) {
        size_t length = strlen(t->letters[piece[i]]);
        memcpy(letters + used, t->letters[piece[i]], length);
        used += length;
    }
    letters[used] = '\0';
    if (!ss_json_has(&t->vocab, letters)) return false;
    if (ss_json_integer(&t->vocab, letters, 0, INT32_MAX, &number) != SS_OK) return false;
    *id = (uint32_t)number;
    return true;
}

static ss_status encode_piece(ss_tokenizer *t, const unsigned char *piece, int64_t size)
{
    ss_status status = SS_OK;
    uint32_t  id = 0;
    if (size == 0) return SS_OK;
    if (t->ignore_merges && whole_piece(t, piece, size, &id)) return append(t, id);
    if (size > t->symbol_room) {
        SS_TRY(ss_reallocate(t->context, 2 * size, sizeof *t->symbols, (void **)&t->symbols));
        t->symbol_room = 2 * size;
    }
    for (int64_t i = 0; i < size; i++)
        t->symbols[i] =
            (ss_symbol){ .id = t->byte_id[piece[i]], .before = i - 1, .after = i + 1 < size ? i + 1 : -1 };
    t->heap_count = 0;
    for (int64_t i = 0; i + 1 < size; i++) SS_TRY(push_pair(t, i));
    while (t->heap_count > 0) {
        ss_candidate pair = pop_pair(t);
        ss_symbol   *left = &t->symbols[pair.place];
        /* A symbol that was merged away has another id than any pair. */
        if (left->id != pair.left || left->after < 0 || t->symbols[left->after].id != pair.right) continue;
        ss_symbol *right = &t->symbols[left->after];
        left->id = pair.merged;
        left->after = right->after;
        if (left->after >= 0) t->symbols[left->after].before = pair.place;
        right->id = UINT32_MAX;
        SS_TRY(push_pair(t, left->before));
        SS_TRY(push_pair(t, pair.place));
    }
    for (int64_t i = 0; i >= 0; i = t->symbols[i].after) SS_TRY(append(t, t->symbols[i].id));
fail:
    return status;
}

/* ---- Pieces and stretches ---------------------------------------------------------------------------------
 */

static ss_status encode_stretch(ss_tokenizer *t, const unsigned char *text, int64_t size)
{
    ss_status status = SS_OK;
    int64_t   done = 0;
    if (t->pieces == NULL) return encode_piece(t, text, size);
    for (int64_t from = 0; from < size;) {
        int found = pcre2_match(t->pieces, text, (PCRE2_SIZE)size, (PCRE2_SIZE)from, PCRE2_NO_UTF_CHECK,
                                t->match, t->limits);
        if (found == PCRE2_ERROR_NOMATCH) break;
        if (found == PCRE2_ERROR_NOMEMORY || found == PCRE2_ERROR_HEAPLIMIT)
            SS_FAIL(t->context, SS_ERROR_MEMORY, "%s: no memory to cut the text", t->path);
        if (found < 0)
            SS_FAIL(t->context, SS_ERROR_INPUT, "%s: the tokenizer's pattern gives up (PCRE2 error %d)",
                    t->path, found);
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(t->match);
        int64_t           begin = (int64_t)span[0], end = (int64_t)span[1];
        if (end <= begin || begin < from) {
            from++; /* nothing matched: what lies here belongs to the gap before the next piece */
            while (from < size && (text[from] & 0xC0) == 0x80) from++;
            continue;
        }
        SS_TRY(encode_piece(t, text + done, begin - done));
        SS_TRY(encode_piece(t, text + begin, end - begin));
        done = from = end;
    }
    SS_TRY(encode_piece(t, text + done, size - done));
fail:
    return status;
}

/* A stretch, with a space before it where the tokenizer asks for one. */
static ss_status encode_prefixed(ss_tokenizer *t, const unsigned char *text, int64_t size)
{
    ss_status      status = SS_OK;
    unsigned char *copy = NULL;
    if (size == 0) return SS_OK;
    if (!t->prefix_space || text[0] == ' ') return encode_stretch(t, text, size);
    SS_TRY(ss_allocate(t->context, size + 1, 1, (void **)&copy));
    copy[0] = ' ';
    memcpy(copy + 1, text, (size_t)size);
    SS_TRY(encode_stretch(t, copy, size + 1));
fail:
    ss_free(t->context, copy);
    return status;
}

/* The longest added token that begins at the text; NULL if none does. */
static const ss_added_token *find_added(const ss_tokenizer *t, const unsigned char *text, int64_t size)
{
    const ss_added_token *best = NULL;
    for (int64_t i = 0; i < t->n_added; i++) {
        const ss_added_token *token = &t->added[i];
        if ((unsigned char)token->content[0] == text[0] && token->length <= size &&
            memcmp(token->content, text, (size_t)token->length) == 0 &&
            (best == NULL || token->length > best->length))
            best = token;
    }
    return best;
}

/* Valid UTF-8, and nothing that the rules here would treat otherwise than the reference. */
static ss_status check_text(ss_tokenizer *t, const unsigned char *text, int64_t size)
{
    for (int64_t i = 0; i < size;) {
        unsigned char lead = text[i];
        int           length = lead < 0x80   ? 1
                               : lead < 0xC2 ? 0
                               : lead < 0xE0 ? 2
                               : lead < 0xF0 ? 3
                               : lead < 0xF5 ? 4
                                             : 0;
        uint32_t      code = length == 1 ? lead : lead & (0xFFu >> (length + 1));
        bool          valid = length > 0 && length <= size - i;
        for (int k = 1; valid && k < length; k++) {
            valid = (text[i + k] & 0xC0) == 0x80;
            code = code << 6 | (text[i + k] & 0x3Fu);
        }
        if (!valid || (length == 3 && (code < 0x800 || (code >= 0xD800 && code < 0xE000))) ||
            (length == 4 && (code < 0x10000 || code > 0x10FFFF)))
            return ss_fail(t->context, SS_ERROR_INPUT, "%s: byte %lld: the text is not valid UTF-8", t->path,
                           (long long)i);
        if (code == 0x85)
            return ss_fail(
                t->context, SS_ERROR_INPUT,
                "%s: byte %lld: the control character U+0085, which is white space to some tokenizers: "
                "replace it",
                t->path, (long long)i);
        /* Everything below the combining marks is composed. */
        if (t->composed && code >= 0x300)
            return ss_fail(
                t->context, SS_ERROR_INPUT,
                "%s: byte %lld: the tokenizer asks for NFC, which is done here for Latin text only: "
                "make token ids of the text first",
                t->path, (long long)i);
        i += length;
    }
    return SS_OK;
}

ss_status ss_tokenizer_encode(ss_tokenizer *t, const char *path, const unsigned char *text, int64_t size,
                              uint32_t **ids, int64_t *count)
{
    ss_status status = SS_OK;
    int64_t   begin = 0;
    char      quoted[SS_QUOTE_TEXT];
    *ids = NULL;
    *count = 0;
    t->path = path;
    t->n_ids = 0;
    SS_TRY(check_text(t, text, size));
    for (int64_t at = 0; at < size;) {
        const ss_added_token *token = find_added(t, text + at, size - at);
        if (token == NULL) {
            at++;
            continue;
        }
        if (!token->plain)
            SS_FAIL(t->context, SS_ERROR_INPUT,
                    "%s: byte %lld: the added token %s has rules (lstrip, rstrip, single_word) that are not "
                    "supported",
                    path, (long long)at, ss_quote(token->content, quoted));
        SS_TRY(encode_prefixed(t, text + begin, at - begin));
        SS_TRY(append(t, token->id));
        begin = at = at + token->length;
    }
    SS_TRY(encode_prefixed(t, text + begin, size - begin));
    *ids = t->ids;
    *count = t->n_ids;
    t->ids = NULL;
    t->n_ids = t->id_room = 0;
fail:
    return status;
}
