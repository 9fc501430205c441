/* Malformed files: every row of tests/io/malformed.tsv (corpus file, what the message must contain) ends in
 * SS_ERROR_INPUT with a message that names the file and the field. The files are the fuzzers' corpus; both
 * come from tests/fuzz/make_corpus.py. */
#include "io/archive.h"
#include "io/dataset_private.h"
#include "io/json.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

/* A corpus file of a data set that holds two archives ("PAIR") is for the fuzzer alone. */
static ss_status open_as(const char *kind, const char *path)
{
    ss_archive *archive = NULL;
    ss_dataset *dataset = NULL;
    ss_json    *json = NULL;
    ss_status   status = SS_OK;
    if (strcmp(kind, "json") == 0)
        status = ss_json_load(ss_test_context, path, &json);
    else if (strcmp(kind, "dataset") == 0)
        status = ss_dataset_open(ss_test_context, path, NULL, &dataset);
    else
        status = ss_archive_open(ss_test_context, path, &archive);
    cr_assert(archive == NULL && dataset == NULL && json == NULL, "%s: something was handed out", path);
    return status;
}

/* Calls `check` with every row of the table; returns how many there are. */
static int each_row(void (*check)(const char *kind, const char *path, const char *expected))
{
    char  line[512], path[1024], kind[64];
    int   rows = 0;
    FILE *table = fopen(SS_SOURCE_DIRECTORY "/tests/io/malformed.tsv", "r");
    cr_assert(table != NULL, "tests/io/malformed.tsv cannot be opened");
    while (fgets(line, sizeof line, table) != NULL) {
        char *tab = strchr(line, '\t'), *slash = strchr(line, '/');
        cr_assert(tab != NULL && slash != NULL && slash < tab, "row %d: '%s'", rows + 1, line);
        *tab = '\0';
        tab[1 + strcspn(tab + 1, "\n")] = '\0';
        snprintf(kind, sizeof kind, "%.*s", (int)(slash - line), line);
        snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", SS_SOURCE_DIRECTORY, line);
        check(kind, path, tab + 1);
        rows++;
    }
    fclose(table);
    return rows;
}

static void check_message(const char *kind, const char *path, const char *expected)
{
    ss_status   status = open_as(kind, path);
    const char *message = ss_context_message(ss_test_context);
    cr_expect(status == SS_ERROR_INPUT, "%s: status '%s' (%s)", path, ss_status_text(status), message);
    cr_expect(ss_status_exit(status) == 3, "%s: exit status %d", path, ss_status_exit(status));
    cr_expect(strncmp(message, path, strlen(path)) == 0, "%s is not named first in '%s'", path, message);
    cr_expect(strstr(message, expected) != NULL, "%s: '%s' is not in '%s'", path, expected, message);
    for (const char *p = message; *p != '\0'; p++)
        cr_expect((unsigned char)*p >= 0x20, "%s: a control character in '%s'", path, message);
    ss_context_clear_message(ss_test_context);
}

Test(malformed, table, .init = ss_test_begin, .fini = ss_test_end)
{
    int rows = each_row(check_message);
    cr_assert(rows >= 60, "only %d rows", rows);
}

/* Every allocation fails once: the error is then memory (or what is wrong with the file, where that was seen
 * first or the loss did not matter), never a crash or a leak. */
static void check_allocations(const char *kind, const char *path, const char *expected)
{
    (void)expected;
    for (int64_t nth = 1; nth < 200; nth++) {
        int64_t before = ss_context_allocations(ss_test_context);
        ss_context_fail_allocation(ss_test_context, nth);
        ss_status status = open_as(kind, path);
        cr_expect(status == SS_ERROR_MEMORY || status == SS_ERROR_INPUT, "%s: status '%s' at %lld", path,
                  ss_status_text(status), (long long)nth);
        cr_expect(ss_context_memory_now(ss_test_context) == 0, "%s: memory is left at %lld", path,
                  (long long)nth);
        ss_context_clear_message(ss_test_context);
        bool reached = ss_context_allocations(ss_test_context) - before >= nth;
        ss_context_fail_allocation(ss_test_context, 0);
        if (!reached) return;
    }
    cr_expect(false, "%s: 200 allocations", path);
}

Test(malformed, every_allocation_fails_once, .init = ss_test_begin, .fini = ss_test_end)
{
    each_row(check_allocations);
}

/* What the generator calls good (ok_*) opens: the table is not right because everything is refused. */
Test(malformed, good_files_open, .init = ss_test_begin, .fini = ss_test_end)
{
    static const char *const kinds[] = { "safetensors", "npy", "npz", "idx", "json", "torch" };
    int                      opened = 0;
    char                     folder[512], path[1024];
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        snprintf(folder, sizeof folder, SS_SOURCE_DIRECTORY "/tests/fuzz/corpus/%s", kinds[i]);
        DIR           *directory = opendir(folder);
        struct dirent *entry = NULL;
        cr_assert(directory != NULL, "%s", folder);
        while ((entry = readdir(directory)) != NULL) {
            ss_archive *archive = NULL;
            ss_json    *json = NULL;
            if (strncmp(entry->d_name, "ok_", 3) != 0) continue;
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            if (strcmp(kinds[i], "json") == 0)
                ss_test_require(ss_json_load(ss_test_context, path, &json));
            else
                ss_test_require(ss_archive_open(ss_test_context, path, &archive));
            ss_json_free(json);
            ss_archive_close(archive);
            opened++;
        }
        closedir(directory);
    }
    cr_assert(opened >= 20, "only %d files", opened);
}

/* A gzip file of two members: the hint in its last bytes is too small, the block must grow. */
Test(malformed, gzip_members_are_joined, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_archive *archive = NULL;
    ss_test_require(ss_archive_open(ss_test_context,
                                    SS_SOURCE_DIRECTORY "/tests/fuzz/corpus/idx/ok_gzip_members", &archive));
    cr_assert(ss_archive_at(archive, 0)->shape[0] == 4);
    for (int64_t i = 0; i < 4; i++) cr_assert(ss_array_integer(ss_archive_at(archive, 0), i) == i);
    ss_archive_close(archive);
}

Test(malformed, what_is_no_file, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_archive *archive = NULL;
    ss_json    *json = NULL;
    ss_test_refuse(ss_archive_open(ss_test_context, "/nowhere/x.npz", &archive), SS_ERROR_INPUT,
                   "/nowhere/x.npz: cannot be opened: No such file");
    ss_test_refuse(ss_archive_open(ss_test_context, ss_test_directory(), &archive), SS_ERROR_INPUT,
                   "expected a file, found a directory");
    ss_test_refuse(ss_archive_open(ss_test_context, "/dev/null", &archive), SS_ERROR_INPUT,
                   "expected a file, found a pipe or device");
    ss_test_refuse(ss_json_load(ss_test_context, "/nowhere/network.json", &json), SS_ERROR_INPUT,
                   "/nowhere/network.json: cannot be opened: No such file");
    ss_test_refuse(ss_json_load(ss_test_context, ss_test_directory(), &json), SS_ERROR_INPUT, "directory");
}

/* A header that claims the largest allowed length in a sparse file of that size: parsed or refused, quickly.
 */
Test(malformed, sparse_header, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_archive *archive = NULL;
    const char *path = ss_test_path("sparse.safetensors");
    FILE       *file = fopen(path, "wb");
    cr_assert(file != NULL);
    unsigned char length[9] = { 0, 0xE1, 0xF5, 0x05, 0, 0, 0, 0, '{' };
    fwrite(length, 1, sizeof length, file);
    cr_assert(fseek(file, 8 + 100000000 - 1, SEEK_SET) == 0 && fputc(0, file) == 0 && fclose(file) == 0);
    ss_status status = ss_archive_open(ss_test_context, path, &archive);
    cr_assert(status == SS_ERROR_INPUT || status == SS_ERROR_REFUSED);
    cr_assert(strstr(ss_context_message(ss_test_context), "header") != NULL);
    ss_context_clear_message(ss_test_context);
}
