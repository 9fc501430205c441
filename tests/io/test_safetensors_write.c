/* Writing safetensors: what is written is read back to the bit, in every type; alignment; names that cannot
 * be written; disks that are full and folders that take no file; failing allocations. */
#define _DEFAULT_SOURCE /* setrlimit */
#include "io/archive.h"
#include "io/safetensors.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned char noise[4096];

static void fill_noise(void)
{
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof noise; i++) {
        state = state * 1664525u + 1013904223u;
        noise[i] = (unsigned char)(state >> 24);
    }
}

Test(safetensors_write, every_type_comes_back, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_array          arrays[SS_TYPE_COUNT + 2];
    char              names[SS_TYPE_COUNT + 2][32];
    const ss_metadata metadata[] = { { "format", "pt" }, { "say \"x\"", "line\nend \xC3\xA9" } };
    const char       *path = ss_test_path("all.safetensors");
    ss_archive       *archive = NULL;
    fill_noise();
    for (int i = 0; i < SS_TYPE_COUNT + 2; i++) {
        snprintf(names[i], sizeof names[i], "%d.we\"ight/%d", i, i);
        arrays[i] = (ss_array){ .name = names[i], .type = (ss_type)(i % SS_TYPE_COUNT), .data = noise + i };
        arrays[i].rank = 3;
        arrays[i].shape[0] = 1 + i;
        arrays[i].shape[1] = i == 5 ? 0 : 1;
        arrays[i].shape[2] = 5;
    }
    arrays[SS_TYPE_COUNT].rank = 0;
    ss_test_require(ss_safetensors_write(ss_test_context, path, arrays, SS_TYPE_COUNT + 2, metadata, 2));
    ss_test_require(ss_archive_open(ss_test_context, path, &archive));
    cr_assert(ss_archive_count(archive) == SS_TYPE_COUNT + 2);
    cr_assert_str_eq(ss_archive_metadata(archive, metadata[1].key), metadata[1].value);
    for (int i = 0; i < SS_TYPE_COUNT + 2; i++) {
        const ss_array *read = ss_archive_find(archive, names[i]);
        int64_t         count = 0;
        cr_assert(read != NULL && read->type == arrays[i].type && read->rank == arrays[i].rank);
        cr_assert(memcmp(read->shape, arrays[i].shape, sizeof(int64_t) * (size_t)read->rank) == 0);
        ss_test_require(ss_shape_count(ss_test_context, read->rank, read->shape, &count));
        cr_assert(memcmp(read->data, arrays[i].data, (size_t)count * ss_type_size(read->type)) == 0);
        /* The file is mapped at a page, so its own alignment shows. */
        cr_assert((uintptr_t)read->data % ss_type_size(read->type) == 0, "%s is unaligned", names[i]);
    }
    ss_archive_close(archive);
}

Test(safetensors_write, nothing_at_all, .init = ss_test_begin, .fini = ss_test_end)
{
    const char *path = ss_test_path("empty.safetensors");
    ss_archive *archive = NULL;
    ss_test_require(ss_safetensors_write(ss_test_context, path, NULL, 0, NULL, 0));
    ss_test_require(ss_archive_open(ss_test_context, path, &archive));
    cr_assert(ss_archive_count(archive) == 0 && ss_archive_metadata_count(archive) == 0);
    ss_archive_close(archive);
}

/* Element i of array k is 1000 k + i. */
static ss_status count_up(void *user, int64_t index, int64_t first, int64_t count, void *out)
{
    double *target = out;
    int64_t limit = *(const int64_t *)user;
    for (int64_t i = 0; i < count; i++) target[i] = (double)(1000 * index + first + i);
    if (first + count > limit) return ss_fail(ss_test_context, SS_ERROR_DEVICE, "the copy failed");
    return SS_OK;
}

Test(safetensors_write, from_a_source, .init = ss_test_begin, .fini = ss_test_end)
{
    const ss_array arrays[2] = { { .name = "a", .type = SS_F64, .rank = 1, .shape = { 300001 } },
                                 { .name = "b", .type = SS_F64, .rank = 2, .shape = { 7, 3 } } };
    const char    *path = ss_test_path("source.safetensors");
    int64_t        limit = INT64_MAX;
    ss_archive    *archive = NULL;
    ss_test_require(ss_safetensors_write_from(ss_test_context, path, arrays, 2, NULL, 0, count_up, &limit));
    ss_test_require(ss_archive_open(ss_test_context, path, &archive));
    for (int64_t k = 0; k < 2; k++) {
        const ss_array *array = ss_archive_find(archive, arrays[k].name);
        for (int64_t i = 0; i < (k == 0 ? 300001 : 21); i++)
            cr_assert(ss_array_value(array, i) == (double)(1000 * k + i));
    }
    ss_archive_close(archive);

    limit = 1000; /* a failing source leaves no file */
    path = ss_test_path("failed.safetensors");
    ss_test_refuse(ss_safetensors_write_from(ss_test_context, path, arrays, 2, NULL, 0, count_up, &limit),
                   SS_ERROR_DEVICE, "the copy failed");
    cr_assert(access(path, F_OK) != 0);
}

static void refuse_names(const char *first, const char *second, const char *part)
{
    const ss_array arrays[2] = {
        { .name = first, .type = SS_U8, .rank = 1, .shape = { 3 }, .data = noise },
        { .name = second, .type = SS_U8, .rank = 1, .shape = { 3 }, .data = noise }
    };
    const char *path = ss_test_path("names.safetensors");
    ss_test_refuse(ss_safetensors_write(ss_test_context, path, arrays, 2, NULL, 0), SS_ERROR_USAGE, part);
    cr_assert(access(path, F_OK) != 0);
}

Test(safetensors_write, names, .init = ss_test_begin, .fini = ss_test_end)
{
    refuse_names("a", "a", "'a' is given twice");
    refuse_names("a", "", "array 1 has no name");
    refuse_names("__metadata__", "a", "array 0 has no name");
    refuse_names("a", "\xFF\xFE", "not UTF-8");
}

Test(safetensors_write, disk_full, .init = ss_test_begin, .fini = ss_test_end)
{
    const ss_array array = { .name = "a", .type = SS_U8, .rank = 1, .shape = { 4096 }, .data = noise };
    const char    *path = ss_test_path("full.safetensors");
    struct rlimit  limit = { .rlim_cur = 1024, .rlim_max = RLIM_INFINITY };
    struct stat    about;
    ss_test_write_file(path, "before", 6);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = 1024;
    signal(SIGXFSZ, SIG_IGN);
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    ss_test_refuse(ss_safetensors_write(ss_test_context, path, &array, 1, NULL, 0), SS_ERROR_OUTPUT,
                   "full.safetensors");
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
    cr_assert(stat(path, &about) == 0 && about.st_size == 6, "the old file was touched");
    cr_assert(access(ss_test_path("full.safetensors.part"), F_OK) != 0, "the part stayed");

    ss_test_refuse(ss_safetensors_write(ss_test_context, "/dev/full", &array, 1, NULL, 0), SS_ERROR_OUTPUT,
                   "/dev/full: cannot be written: No space left");
}

Test(safetensors_write, no_such_folder, .init = ss_test_begin, .fini = ss_test_end)
{
    const ss_array array = { .name = "a", .type = SS_U8, .rank = 1, .shape = { 9 }, .data = noise };
    ss_test_refuse(ss_safetensors_write(ss_test_context, "/nowhere/v.safetensors", &array, 1, NULL, 0),
                   SS_ERROR_OUTPUT, "/nowhere/v.safetensors");
    /* A folder without the right to write, where that means anything (root may do all). */
    const char *path = ss_test_path("v.safetensors");
    cr_assert(chmod(ss_test_directory(), 0500) == 0);
    if (access(ss_test_directory(), W_OK) != 0)
        ss_test_refuse(ss_safetensors_write(ss_test_context, path, &array, 1, NULL, 0), SS_ERROR_OUTPUT,
                       "v.safetensors");
    chmod(ss_test_directory(), 0700);
}

Test(safetensors_write, every_allocation_fails_once, .init = ss_test_begin, .fini = ss_test_end)
{
    const ss_array    arrays[2] = { { .name = "a", .type = SS_F64, .rank = 1, .shape = { 9 } },
                                    { .name = "b", .type = SS_F64, .rank = 1, .shape = { 9 } } };
    const ss_metadata metadata = { "format", "pt" };
    const char       *path = ss_test_path("allocations.safetensors");
    int64_t           limit = INT64_MAX, before = ss_context_allocations(ss_test_context);
    ss_test_require(
        ss_safetensors_write_from(ss_test_context, path, arrays, 2, &metadata, 1, count_up, &limit));
    int64_t count = ss_context_allocations(ss_test_context) - before;
    cr_assert(count >= 3);
    cr_assert(remove(path) == 0);
    for (int64_t nth = 1; nth <= count; nth++) {
        ss_context_fail_allocation(ss_test_context, nth);
        ss_test_refuse(
            ss_safetensors_write_from(ss_test_context, path, arrays, 2, &metadata, 1, count_up, &limit),
            SS_ERROR_MEMORY, NULL);
        cr_assert(access(path, F_OK) != 0);
    }
}
