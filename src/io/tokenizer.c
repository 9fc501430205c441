/* Reading tokenizer.json, see tokenizer.h: what is not understood is refused, since ids of another tokenizer
 * are another text. */
#include "io/tokenizer_private.h"
#include "io/archive.h"

#include <stdio.h>
#include <string.h>

/* GPT-2's pattern, which ByteLevel means by `use_regex`. */
static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

#define SS_MATCH_STEPS 1000000 /* backtracking steps of one match; a piece of text takes a few */

/* ---- Memory of PCRE2 --------------------------------------------------------------------------------------
 */

static void *take(size_t bytes, void *context)
{
    void *memory = NULL;
    return ss_allocate(context, (int64_t)bytes, 1, &memory) == SS_OK ? memory : NULL;
}

static void give_back(void *memory, void *context)
{
    ss_free(context, memory);
}

static ss_status compile(ss_tokenizer *t, const ss_json_value *place, const char *pattern)
{
    int        error = 0;
    PCRE2_SIZE offset = 0;
    if (t->pieces != NULL) return ss_json_fail(place, "a second pattern is not supported");
    pcre2_compile_context *settings = pcre2_compile_context_create(t->memory);
    if (settings != NULL)
        t->pieces = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, settings);
    pcre2_compile_context_free(settings);
    if (t->pieces != NULL) {
        t->match = pcre2_match_data_create_from_pattern(t->pieces, t->memory);
        t->limits = pcre2_match_context_create(t->memory);
        if (t->match != NULL && t->limits != NULL) {
            pcre2_set_match_limit(t->limits, SS_MATCH_STEPS);
            return SS_OK;
        }
    } else if (settings != NULL && error != PCRE2_ERROR_NOMEMORY && error != PCRE2_ERROR_HEAP_FAILED) {
        PCRE2_UCHAR text[160] = "";
        char        quoted[SS_QUOTE_TEXT];
        pcre2_get_error_message(error, text, sizeof text);
        return ss_json_fail(place, "the pattern is not understood at its byte %lld: %s", (long long)offset,
                            ss_quote((const char *)text, quoted));
    }
    return ss_fail(t->context, SS_ERROR_MEMORY, "no memory for the pattern of a tokenizer");
}

/* ---- Pre-tokenizer ----------------------------------------------------------------------------------------
 */

static ss_status read_pre_tokenizer(ss_tokenizer *t, const ss_json_value *place, int depth)
{
    static const char *const kinds[] = { "ByteLevel", "Split", "Sequence" };
    static const char *const isolated[] = { "Isolated" };
    ss_status                status = SS_OK;
    int32_t                  kind = 0, behaviour = 0;
    ss_json_value            list, inner;
    const char              *pattern = NULL;
    bool                     use_regex = true, prefix = true, invert = false;
    SS_TRY(ss_json_choice(place, "type", kinds, 3, &kind));
    if (kind == 2) {
        if (depth > 0) SS_TRY(ss_json_fail(place, "a sequence inside a sequence is not supported"));
        SS_TRY(ss_json_member(place, "pretokenizers", SS_JSON_ARRAY, &list));
        for (int64_t i = 0; i < ss_json_length(&list); i++) {
            SS_TRY(ss_json_element(&list, i, SS_JSON_OBJECT, &inner));
            SS_TRY(read_pre_tokenizer(t, &inner, depth + 1));
        }
        return SS_OK;
    }
    if (kind == 1) {
        SS_TRY(ss_json_choice(place, "behavior", isolated, 1, &behaviour));
        SS_TRY(ss_json_boolean_or(place, "invert", &invert));
        if (invert) SS_TRY(ss_json_fail(place, "an inverted pattern is not supported"));
        SS_TRY(ss_json_member(place, "pattern", SS_JSON_OBJECT, &inner));
        SS_TRY(ss_json_string(&inner, "Regex", &pattern));
        return compile(t, place, pattern);
    }
    SS_TRY(ss_json_boolean_or(place, "add_prefix_space", &prefix));
    SS_TRY(ss_json_boolean_or(place, "use_regex", &use_regex));
    if (prefix && depth > 0) SS_TRY(ss_json_fail(place, "add_prefix_space in a sequence is not supported"));
    t->prefix_space = prefix;
    if (use_regex) SS_TRY(compile(t, place, gpt2_pattern));
fail:
    return status;
}

/* Does some part of it turn bytes into letters? Without, the vocabulary is one of characters. */
static ss_status read_pre_tokenizers(ss_tokenizer *t)
{
    ss_status     status = SS_OK;
    ss_json_value place;
    SS_TRY(ss_json_member(&t->root, "pre_tokenizer", SS_JSON_OBJECT, &place));
    SS_TRY(read_pre_tokenizer(t, &place, 0));
fail:
    return status;
}

/* ---- Vocabulary and merges --------------------------------------------------------------------------------
 */

/* GPT-2's letters: printable characters of Latin-1 stand for themselves, the others are numbered from 256. */
static void make_letters(ss_tokenizer *t)
{
    int next = 256;
    for (int byte = 0; byte < 256; byte++) {
        bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
        int  letter = printable ? byte : next++;
        if (letter < 128) {
            t->letters[byte][0] = (char)letter;
        } else {
            t->letters[byte][0] = (char)(0xC0 | letter >> 6);
            t->letters[byte][1] = (char)(0x80 | (letter & 0x3F));
        }
    }
}

static ss_status look_up(const ss_tokenizer *t, const char *token, uint32_t *id)
{
    int64_t   number = 0;
    ss_status status = ss_json_integer(&t->vocab, token, 0, INT32_MAX, &number);
    *id = (uint32_t)number;
    return status;
}

static uint64_t hash_of(uint32_t left, uint32_t right)
{
    uint64_t key = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
    return key ^ key >> 29;
}

/* The place of a pair in the table, or the free one where it would be. */
static ss_merge *place_of(const ss_tokenizer *t, uint32_t left, uint32_t right)
{
    uint64_t at = hash_of(left, right);
    for (;; at++) {
        ss_merge *merge = &t->merges[at & (uint64_t)(t->places - 1)];
        if (merge->rank == UINT32_MAX || (merge->left == left && merge->right == right)) return merge;
    }
}

const ss_merge *ss_tokenizer_find(const ss_tokenizer *t, uint32_t left, uint32_t right)
{
    const ss_merge *merge = place_of(t, left, right);
    return merge->rank == UINT32_MAX ? NULL : merge;
}

/* "left right", or ["left", "right"]: copies both parts into text one behind the other, each with its end. */
static ss_status read_pair(const ss_json_value *entry, char *left, char *right)
{
    ss_status     status = SS_OK;
    const char   *parts[2] = { NULL, NULL };
    ss_json_value part;
    size_t        length = 0;
    if (ss_json_is(entry, SS_JSON_STRING)) {
        SS_TRY(ss_json_as_string(entry, &parts[0]));
        parts[1] = strchr(parts[0], ' ');
        if (parts[1] == NULL) SS_TRY(ss_json_fail(entry, "expected two tokens with a space between them"));
        length = (size_t)(parts[1]++ - parts[0]);
    } else {
        for (int64_t i = 0; i < 2; i++) {
            SS_TRY(ss_json_element(entry, i, SS_JSON_STRING, &part));
            SS_TRY(ss_json_as_string(&part, &parts[i]));
        }
        length = strlen(parts[0]);
    }
    if (length + strlen(parts[1]) >= SS_LONGEST_TOKEN)
        SS_TRY(ss_json_fail(entry, "a token of more than %d bytes", SS_LONGEST_TOKEN - 1));
    memcpy(left, parts[0], length);
    left[length] = '\0';
    memcpy(right, parts[1], strlen(parts[1]) + 1);
fail:
    return status;
}

static ss_status read_merges(ss_tokenizer *t)
{
    ss_status     status = SS_OK;
    ss_json_value list, entry;
    char          left[SS_LONGEST_TOKEN], right[SS_LONGEST_TOKEN];
    uint32_t      ids[3];
    SS_TRY(ss_json_member(&t->model, "merges", SS_JSON_ARRAY, &list));
    int64_t count = ss_json_length(&list);
    for (t->places = 64; t->places < 2 * count;) t->places *= 2;
    SS_TRY(SS_NEW_ARRAY(t->context, t->places, &t->merges));
    for (int64_t i = 0; i < t->places; i++) t->merges[i].rank = UINT32_MAX;
    for (int64_t i = 0; i < count; i++) {
        SS_TRY(ss_json_element(&list, i, SS_JSON_ANY, &entry));
        SS_TRY(read_pair(&entry, left, right));
        SS_TRY(look_up(t, left, &ids[0]));
        SS_TRY(look_up(t, right, &ids[1]));
        memcpy(left + strlen(left), right, strlen(right) + 1);
        SS_TRY(look_up(t, left, &ids[2]));
        ss_merge *merge = place_of(t, ids[0], ids[1]);
        if (merge->rank == UINT32_MAX)
            *merge = (ss_merge){ .left = ids[0], .right = ids[1], .rank = (uint32_t)i, .merged = ids[2] };
    }
fail:
    return status;
}

static ss_status read_model(ss_tokenizer *t)
{
    static const char *const kinds[] = { "BPE" };
    static const char *const unsupported[] = { "dropout", "continuing_subword_prefix", "end_of_word_suffix" };
    ss_status                status = SS_OK;
    int32_t                  kind = 0;
    bool                     fallback = false;
    SS_TRY(ss_json_member(&t->root, "model", SS_JSON_OBJECT, &t->model));
    if (ss_json_has(&t->model, "type")) SS_TRY(ss_json_choice(&t->model, "type", kinds, 1, &kind));
    SS_TRY(ss_json_boolean_or(&t->model, "byte_fallback", &fallback));
    SS_TRY(ss_json_boolean_or(&t->model, "ignore_merges", &t->ignore_merges));
    if (fallback)
        SS_TRY(ss_json_fail(&t->model, "byte_fallback: a tokenizer of characters; only byte-level BPE is "
                                       "supported: make token ids of the text first"));
    for (size_t i = 0; i < sizeof unsupported / sizeof unsupported[0]; i++) {
        const char *text = "";
        if (!ss_json_has(&t->model, unsupported[i])) continue;
        if (i == 0 || ss_json_string_or(&t->model, unsupported[i], &text) != SS_OK || text[0] != '\0')
            SS_TRY(ss_json_fail(&t->model, "%s is not supported", unsupported[i]));
    }
    SS_TRY(ss_json_member(&t->model, "vocab", SS_JSON_OBJECT, &t->vocab));
    for (int byte = 0; byte < 256; byte++) SS_TRY(look_up(t, t->letters[byte], &t->byte_id[byte]));
    SS_TRY(read_merges(t));
fail:
    return status;
}

/* ---- Added tokens, normaliser -----------------------------------------------------------------------------
 */

static ss_status read_added(ss_tokenizer *t)
{
    static const char *const flags[] = { "single_word", "lstrip", "rstrip" };
    ss_status                status = SS_OK;
    ss_json_value            list, entry;
    int64_t                  id = 0;
    if (!ss_json_has(&t->root, "added_tokens")) return SS_OK;
    SS_TRY(ss_json_member(&t->root, "added_tokens", SS_JSON_ARRAY, &list));
    SS_TRY(SS_NEW_ARRAY(t->context, ss_json_length(&list), &t->added));
    for (int64_t i = 0; i < ss_json_length(&list); i++) {
        ss_added_token *token = &t->added[t->n_added];
        SS_TRY(ss_json_element(&list, i, SS_JSON_OBJECT, &entry));
        SS_TRY(ss_json_integer(&entry, "id", 0, INT32_MAX, &id));
        SS_TRY(ss_json_string(&entry, "content", &token->content));
        token->id = (uint32_t)id;
        token->length = (int64_t)strlen(token->content);
        token->plain = true;
        for (size_t j = 0; j < 3; j++) {
            bool flag = false;
            SS_TRY(ss_json_boolean_or(&entry, flags[j], &flag));
            if (flag) token->plain = false;
        }
        if (token->length == 0) SS_TRY(ss_json_fail(&entry, "content is empty"));
        t->n_added++;
    }
fail:
    return status;
}

static ss_status read_normaliser(ss_tokenizer *t)
{
    static const char *const kinds[] = { "NFC" };
    ss_status                status = SS_OK;
    ss_json_value            place;
    int32_t                  kind = 0;
    if (!ss_json_has(&t->root, "normalizer")) return SS_OK;
    SS_TRY(ss_json_member(&t->root, "normalizer", SS_JSON_OBJECT, &place));
    SS_TRY(ss_json_choice(&place, "type", kinds, 1, &kind));
    t->composed = true;
fail:
    return status;
}

ss_status ss_tokenizer_open(ss_context *context, const char *path, ss_tokenizer **tokenizer)
{
    ss_status     status = SS_OK;
    ss_tokenizer *t = NULL;
    *tokenizer = NULL;
    SS_TRY(SS_NEW(context, &t));
    t->context = context;
    t->memory = pcre2_general_context_create(take, give_back, context);
    if (t->memory == NULL) SS_FAIL(context, SS_ERROR_MEMORY, "%s: no memory", path);
    SS_TRY(ss_json_load(context, path, &t->json));
    t->root = ss_json_root(t->json);
    make_letters(t);
    SS_TRY(read_normaliser(t));
    SS_TRY(read_pre_tokenizers(t));
    SS_TRY(read_model(t));
    SS_TRY(read_added(t));
    *tokenizer = t;
    t = NULL;
fail:
    ss_tokenizer_close(t);
    return status;
}

void ss_tokenizer_close(ss_tokenizer *t)
{
    if (t == NULL) return;
    ss_context *context = t->context;
    pcre2_match_context_free(t->limits);
    pcre2_match_data_free(t->match);
    pcre2_code_free(t->pieces);
    pcre2_general_context_free(t->memory);
    ss_json_free(t->json);
    ss_free(context, t->merges);
    ss_free(context, t->added);
    ss_free(context, t->symbols);
    ss_free(context, t->heap);
    ss_free(context, t->ids);
    ss_free(context, t);
}
