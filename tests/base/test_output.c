/* Output files are whole or absent: commit, abort, disk full, unwritable targets, links, two writers. */
#include "base/output.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static bool exists(const char *path)
{
    struct stat found;
    return lstat(path, &found) == 0;
}

static void expect_content(const char *path, const char *text)
{
    size_t bytes = 0;
    char  *data = ss_test_read_file(path, &bytes);
    cr_assert_str_eq(data, text);
    ss_free(ss_test_context, data);
}

Test(output, appears_only_when_committed, .init = ss_test_begin, .fini = ss_test_end)
{
    const char *path = ss_test_path("result.json"), *part = ss_test_path("result.json.part");
    ss_output  *output = NULL;
    ss_test_require(ss_output_open(ss_test_context, path, &output));
    ss_test_require(ss_output_write(output, "{ \"n\": ", 7));
    ss_test_require(ss_output_print(output, "%d }\n", 42));
    cr_assert(ss_output_position(output) == 12);
    cr_assert(!exists(path) && exists(part));
    ss_test_require(ss_output_commit(&output));
    cr_assert(output == NULL && !exists(part));
    expect_content(path, "{ \"n\": 42 }\n");
}

Test(output, abort_keeps_the_old_file, .init = ss_test_begin, .fini = ss_test_end)
{
    const char *path = ss_test_path("result.json");
    ss_output  *output = NULL;
    ss_test_require(ss_output_file(ss_test_context, path, "old", 3));
    ss_test_require(ss_output_open(ss_test_context, path, &output));
    ss_test_require(ss_output_write(output, "new", 3));
    ss_output_abort(&output);
    ss_output_abort(&output);
    expect_content(path, "old");
    cr_assert(!exists(ss_test_path("result.json.part")));
}

Test(output, large_pieces_and_long_lines, .init = ss_test_begin, .fini = ss_test_end)
{
    const char *path = ss_test_path("large");
    ss_output  *output = NULL;
    char       *piece = NULL, *expected = NULL;
    size_t      bytes = 0, at = 0;
    ss_test_require(SS_NEW_ARRAY(ss_test_context, 300000, &piece));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, 2000000, &expected));
    for (int i = 0; i < 300000 - 1; i++) piece[i] = (char)('a' + i % 23);
    ss_test_require(ss_output_open(ss_test_context, path, &output));
    for (size_t length = 1; length < 300000; length *= 3) {
        ss_test_require(ss_output_write(output, piece, length));
        ss_test_require(ss_output_print(output, "%.*s", (int)(length / 2), piece));
        memcpy(expected + at, piece, length);
        memcpy(expected + at + length, piece, length / 2);
        at += length + length / 2;
    }
    ss_test_require(ss_output_commit(&output));
    char *found = ss_test_read_file(path, &bytes);
    cr_assert(bytes == at && memcmp(found, expected, at) == 0);
    ss_free(ss_test_context, found);
    ss_free(ss_test_context, piece);
    ss_free(ss_test_context, expected);
}

Test(output, full_device_is_reported, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_test_refuse(ss_output_file(ss_test_context, "/dev/full", "x", 1), SS_ERROR_OUTPUT, "/dev/full");
}

Test(output, full_disk_leaves_nothing, .init = ss_test_begin, .fini = ss_test_end)
{
    /* A file size limit stands for the disk: write() fails in the middle of the file just so. */
    const char   *path = ss_test_path("vectors");
    struct rlimit limit = { .rlim_cur = 100000, .rlim_max = RLIM_INFINITY };
    char         *data = NULL;
    ss_test_require(SS_NEW_ARRAY(ss_test_context, 400000, &data));
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = 100000;
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    ss_test_refuse(ss_output_file(ss_test_context, path, data, 400000), SS_ERROR_OUTPUT, "vectors: cannot");
    cr_assert(!exists(path) && !exists(ss_test_path("vectors.part")));
    ss_free(ss_test_context, data);
}

Test(output, missing_directory_is_reported, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_test_refuse(ss_output_file(ss_test_context, ss_test_path("nowhere/result.json"), "x", 1),
                   SS_ERROR_OUTPUT, "nowhere/result.json: cannot be written: No such file");
    ss_test_refuse(ss_output_file(ss_test_context, ss_test_directory(), "x", 1), SS_ERROR_OUTPUT,
                   "directory");
}

Test(output, links_are_followed, .init = ss_test_begin, .fini = ss_test_end)
{
    const char *path = ss_test_path("target"), *link = ss_test_path("link");
    ss_test_write_file(path, "old", 3);
    cr_assert(symlink(path, link) == 0);
    ss_test_require(ss_output_file(ss_test_context, link, "new", 3));
    struct stat found;
    cr_assert(lstat(link, &found) == 0 && S_ISLNK(found.st_mode));
    expect_content(path, "new");
}

Test(output, two_writers_are_kept_apart, .init = ss_test_begin, .fini = ss_test_end)
{
    const char *path = ss_test_path("result.json");
    ss_output  *first = NULL, *second = NULL;
    ss_test_require(ss_output_open(ss_test_context, path, &first));
    ss_test_refuse(ss_output_open(ss_test_context, path, &second), SS_ERROR_OUTPUT, "another process");
    cr_assert(second == NULL);
    ss_test_require(ss_output_write(first, "1", 1));
    ss_test_require(ss_output_commit(&first));
    expect_content(path, "1");
}

Test(output, what_a_killed_run_left_is_replaced, .init = ss_test_begin, .fini = ss_test_end)
{
    const char *path = ss_test_path("result.json");
    ss_test_write_file(ss_test_path("result.json.part"), "half a resu", 11);
    ss_test_require(ss_output_file(ss_test_context, path, "whole", 5));
    expect_content(path, "whole");
    cr_assert(!exists(ss_test_path("result.json.part")));
}

Test(output, every_allocation_fails_once, .init = ss_test_begin, .fini = ss_test_end)
{
    const char *path = ss_test_path("result.json");
    int64_t     nth = 0;
    ss_status   status = SS_ERROR_MEMORY;
    while (status != SS_OK) {
        ss_context_fail_allocation(ss_test_context, ++nth);
        status = ss_output_file(ss_test_context, path, "x", 1);
        if (status != SS_OK) ss_test_refuse(status, SS_ERROR_MEMORY, "no memory");
        cr_assert(ss_context_memory_now(ss_test_context) == 0);
        cr_assert(exists(path) == (status == SS_OK));
    }
    ss_context_fail_allocation(ss_test_context, 0);
    cr_assert(nth == 4, "%lld", (long long)nth);
}
