/* Small helpers shared by all suites; see support.h. */
#include "support/support.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATHS 32

ss_context *ss_test_context;
static char directory[1024];
static char paths[PATHS][2048];
static int  n_paths;

static int remove_entry(const char *path, const struct stat *entry, int type, struct FTW *walk)
{
    (void)entry;
    (void)type;
    (void)walk;
    return remove(path);
}

void ss_test_begin(void)
{
    n_paths = 0; /* cases may share a process */
    cr_assert(ss_context_create(&ss_test_context) == SS_OK, "no context");
}

void ss_test_end(void)
{
    if (directory[0] != '\0') {
        nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        directory[0] = '\0';
    }
    cr_assert(ss_context_memory_now(ss_test_context) == 0, "%lld bytes were not given back",
              (long long)ss_context_memory_now(ss_test_context));
    ss_context_destroy(ss_test_context);
    ss_test_context = NULL;
}

void ss_test_require_at(ss_status status, const char *call, const char *file, int line)
{
    cr_assert(status == SS_OK, "%s:%d: %s: %s: %s", file, line, call, ss_status_text(status),
              ss_test_context != NULL ? ss_context_message(ss_test_context) : "");
}

void ss_test_refuse_at(ss_status status, ss_status expected, const char *part, const char *call,
                       const char *file, int line)
{
    const char *message = ss_context_message(ss_test_context);
    cr_assert(status == expected, "%s:%d: %s: expected '%s', found '%s' (%s)", file, line, call,
              ss_status_text(expected), ss_status_text(status), message);
    cr_assert(message[0] != '\0', "%s:%d: %s: failed without a message", file, line, call);
    cr_assert(part == NULL || strstr(message, part) != NULL, "%s:%d: %s: '%s' is not in the message '%s'",
              file, line, call, part, message);
    ss_context_clear_message(ss_test_context);
}

const char *ss_test_directory(void)
{
    if (directory[0] == '\0') {
        const char *base = getenv("TMPDIR");
        snprintf(directory, sizeof directory, "%s/saddlescope_test_XXXXXX",
                 base != NULL && base[0] != '\0' ? base : "/tmp");
        cr_assert(mkdtemp(directory) != NULL, "no temporary directory %s", directory);
    }
    return directory;
}

const char *ss_test_path(const char *name)
{
    cr_assert(n_paths < PATHS, "more than %d paths in one case", PATHS);
    char *path = paths[n_paths++];
    snprintf(path, sizeof paths[0], "%s/%s", ss_test_directory(), name);
    return path;
}

void ss_test_write_file(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    cr_assert(file != NULL, "cannot create %s", path);
    bool written = bytes == 0 || fwrite(data, 1, bytes, file) == bytes;
    cr_assert(fclose(file) == 0 && written, "cannot write %s", path);
}

void *ss_test_read_file(const char *path, size_t *bytes)
{
    void *data = NULL;
    FILE *file = fopen(path, "rb");
    cr_assert(file != NULL, "cannot open %s", path);
    fseek(file, 0, SEEK_END);
    long length = ftell(file);
    rewind(file);
    cr_assert(length >= 0, "cannot measure %s", path);
    ss_test_require(ss_allocate(ss_test_context, length + 1, 1, &data));
    cr_assert(fread(data, 1, (size_t)length, file) == (size_t)length, "cannot read %s", path);
    fclose(file);
    *bytes = (size_t)length;
    return data;
}

double ss_test_relative_error(int64_t n, const double *x, const double *reference, double scale)
{
    double difference = 0.0, norm = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double d = x[i] - reference[i];
        if (!isfinite(d)) return INFINITY;
        difference += d * d;
        norm += reference[i] * reference[i];
    }
    return difference == 0.0 ? 0.0 : sqrt(difference) / fmax(sqrt(norm), scale);
}

bool ss_test_environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' && strcmp(value, "0") != 0;
}
