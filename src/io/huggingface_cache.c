/* Names of repositories, looked up in the cache that huggingface_hub keeps: models--<org>--<name>/refs/<name>
 * holds a commit, models--<org>--<name>/snapshots/<commit> the files. */
#define _POSIX_C_SOURCE 200809L
#include "io/huggingface.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SS_MOST_NAME   96  /* characters, as the Hub allows */
#define SS_COMMIT_TEXT 128 /* bytes of a file below refs/, with its end */

static bool is_word(const char *text, size_t length)
{
    if (length == 0 || length > SS_MOST_NAME || text[0] == '.' || text[0] == '-') return false;
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)text[i]) && strchr("._-", text[i]) == NULL) return false;
        if (i > 0 && text[i - 1] == '.' && text[i] == '.') return false;
    }
    return true;
}

/* Words with slashes between them, at most `most`. */
static bool is_words(const char *text, size_t length, int most)
{
    int words = 0;
    for (size_t begin = 0; begin <= length; words++) {
        const char *slash = memchr(text + begin, '/', length - begin);
        size_t      end = slash != NULL ? (size_t)(slash - text) : length;
        if (words == most || !is_word(text + begin, end - begin)) return false;
        begin = end + 1;
    }
    return true;
}

bool ss_huggingface_is_name(const char *text)
{
    const char *at = strchr(text, '@');
    size_t      length = at != NULL ? (size_t)(at - text) : strlen(text);
    return is_words(text, length, 2) && (at == NULL || is_words(at + 1, strlen(at + 1), 8));
}

/* The folder of the cache, without a slash at its end. */
static ss_status find_cache(ss_context *context, char **cache)
{
    static const struct {
        const char *variable, *below;
    } places[] = { { "HF_HUB_CACHE", "" },
                   { "HUGGINGFACE_HUB_CACHE", "" },
                   { "HF_HOME", "/hub" },
                   { "XDG_CACHE_HOME", "/huggingface/hub" },
                   { "HOME", "/.cache/huggingface/hub" } };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const char *value = getenv(places[i].variable);
        if (value != NULL && value[0] != '\0')
            return ss_format(context, cache, "%s%s", value, places[i].below);
    }
    return ss_fail(context, SS_ERROR_INPUT,
                   "the cache of Hugging Face cannot be found: neither HF_HUB_CACHE nor HOME is set");
}

/* Writes "<cache>/models--<org>--<name>". */
static ss_status repository_path(ss_context *context, const char *cache, const char *name, size_t length,
                                 char **path)
{
    const char *slash = memchr(name, '/', length);
    size_t      first = slash != NULL ? (size_t)(slash - name) : length;
    return ss_format(context, path, "%s/models--%.*s%s%.*s", cache, (int)first, name,
                     slash != NULL ? "--" : "", slash != NULL ? (int)(length - first - 1) : 0,
                     slash != NULL ? slash + 1 : "");
}

/* The commit in a file below refs/; "" when there is no such file. */
static ss_status read_reference(ss_context *context, const char *path, char commit[SS_COMMIT_TEXT])
{
    struct stat about;
    size_t      length = 0;
    int         file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    commit[0] = '\0';
    if (file < 0) return SS_OK;
    if (fstat(file, &about) == 0 && S_ISREG(about.st_mode)) {
        ssize_t got = read(file, commit, SS_COMMIT_TEXT - 1);
        length = got > 0 ? (size_t)got : 0;
    }
    close(file);
    while (length > 0 && isspace((unsigned char)commit[length - 1])) length--;
    commit[length] = '\0';
    for (size_t i = 0; i < length; i++)
        if (!isxdigit((unsigned char)commit[i])) length = 0;
    if (length == 0) return ss_fail(context, SS_ERROR_INPUT, "%s: expected the name of a commit", path);
    return SS_OK;
}

static bool is_folder(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

ss_status ss_huggingface_find(ss_context *context, const char *name, char **folder, char **origin)
{
    ss_status   status = SS_OK;
    const char *at = strchr(name, '@'), *revision = at != NULL ? at + 1 : "main";
    size_t      length = at != NULL ? (size_t)(at - name) : strlen(name);
    char       *cache = NULL, *repository = NULL, *reference = NULL;
    char        commit[SS_COMMIT_TEXT];
    if (!ss_huggingface_is_name(name))
        SS_FAIL(context, SS_ERROR_INPUT,
                "%s: is neither a path nor the name of a model (org/name[@revision])", name);
    SS_TRY(find_cache(context, &cache));
    SS_TRY(repository_path(context, cache, name, length, &repository));
    if (!is_folder(repository))
        SS_FAIL(
            context, SS_ERROR_INPUT,
            "%s: no such file or folder, and not in the local cache %s; nothing is downloaded: hf download "
            "%.*s",
            name, cache, (int)length, name);
    SS_TRY(ss_format(context, &reference, "%s/refs/%s", repository, revision));
    SS_TRY(read_reference(context, reference, commit));
    SS_TRY(ss_format(context, folder, "%s/snapshots/%s/", repository, commit[0] != '\0' ? commit : revision));
    if (!is_folder(*folder))
        SS_FAIL(context, SS_ERROR_INPUT, "%s: revision '%s' is not in the local cache (no folder %s)", name,
                revision, *folder);
    SS_TRY(ss_format(context, origin, "%.*s, snapshot %s", (int)length, name,
                     commit[0] != '\0' ? commit : revision));
fail:
    ss_free(context, cache);
    ss_free(context, repository);
    ss_free(context, reference);
    return status;
}
