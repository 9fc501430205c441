/* What the fuzz targets share: one context, and what must hold after every input, good or bad: a failure has
 * a message and one of the statuses that input may cause, and all memory was given back.
 *
 * One input in eight runs with a failing allocation, which one following from the input itself, so that a
 * finding can be repeated. */
#ifndef SS_TESTS_FUZZ_H
#define SS_TESTS_FUZZ_H

#include "base/base.h"
#include "io/archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ss_context *fuzz_context; /* made by the first input, kept to the end */
static uint64_t    fuzz_hash;    /* of the running input (FNV-1a); choices of options come from it */
static int64_t     fuzz_memory;  /* bytes in use before the input */

static inline void fuzz_begin(const uint8_t *data, size_t size)
{
    if (fuzz_context == NULL && ss_context_create(&fuzz_context) != SS_OK) abort();
    fuzz_hash = 14695981039346656037u;
    for (size_t i = 0; i < size; i++) fuzz_hash = (fuzz_hash ^ data[i]) * 1099511628211u;
    fuzz_hash ^= fuzz_hash >> 29;
    fuzz_memory = ss_context_memory_now(fuzz_context);
    ss_context_clear_message(fuzz_context);
    ss_context_fail_allocation(fuzz_context, fuzz_hash % 8 == 0 ? 1 + (int64_t)(fuzz_hash >> 3) % 24 : 0);
}

static inline void fuzz_check(bool holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "fuzz: %s; message: '%s'\n", what, ss_context_message(fuzz_context));
    abort();
}

/* Call with the status of the parser, before the next call that may set a message. */
static inline void fuzz_status(ss_status status)
{
    bool message = ss_context_message(fuzz_context)[0] != '\0';
    fuzz_check(status == SS_OK || status == SS_ERROR_INPUT || status == SS_ERROR_MEMORY ||
                   status == SS_ERROR_REFUSED,
               ss_status_text(status));
    fuzz_check(message == (status != SS_OK), "a failure without a message, or a message without a failure");
    ss_context_clear_message(fuzz_context);
}

static inline void fuzz_end(void)
{
    ss_context_fail_allocation(fuzz_context, 0);
    fuzz_check(ss_context_memory_now(fuzz_context) == fuzz_memory, "memory was not given back");
}

/* Reads every element, every name and all metadata of an archive: a wrong pointer shows here. */
static inline double fuzz_read(const ss_archive *archive)
{
    double sum = 0.0;
    for (int64_t i = 0; i < ss_archive_count(archive); i++) {
        const ss_array *array = ss_archive_at(archive, i);
        int64_t         count = 0;
        char            text[SS_SHAPE_TEXT], name[SS_QUOTE_TEXT];
        fuzz_check(ss_shape_count(fuzz_context, array->rank, array->shape, &count) == SS_OK, "a bad shape");
        for (int64_t j = 0; j < count; j++) sum += ss_array_value(array, j);
        if (count > 0) sum += ss_index_text(array, count - 1, text)[0];
        sum += ss_quote(array->name, name)[0];
        fuzz_check(ss_archive_find(archive, array->name) == array, "an array is not found by its name");
        if (ss_array_require_finite(fuzz_context, "fuzz", array) != SS_OK)
            ss_context_clear_message(fuzz_context);
    }
    for (int64_t i = 0; i < ss_archive_metadata_count(archive); i++) {
        const char *key = NULL, *value = NULL;
        ss_archive_metadata_at(archive, i, &key, &value);
        fuzz_check(ss_archive_metadata(archive, key) != NULL, "metadata is not found by its key");
        sum += value[0];
    }
    return sum;
}

/* The whole life of one archive. */
static inline void fuzz_archive(const char *path, const uint8_t *data, size_t size)
{
    static volatile double sink;
    ss_archive            *archive = NULL;
    fuzz_begin(data, size);
    ss_status status = ss_archive_open_memory(fuzz_context, path, data, (int64_t)size, &archive);
    fuzz_check((archive != NULL) == (status == SS_OK), "an archive beside a failure");
    fuzz_status(status);
    if (archive != NULL) sink = sink + fuzz_read(archive);
    ss_archive_close(archive);
    fuzz_end();
}

/* Sets the CRC of each stored member whose place can be found by the plain 32-bit fields. */
static inline void fuzz_repair_zip(uint8_t *file, size_t size)
{
    for (size_t at = 0; at + 46 <= size; at++) {
        if (memcmp(file + at, "PK\1\2", 4) != 0 || file[at + 10] != 0) continue;
        uint32_t length = 0, local = 0;
        memcpy(&length, file + at + 24, 4);
        memcpy(&local, file + at + 42, 4);
        if (local > size || size - local < 30) continue;
        size_t begin = local + 30u + file[local + 26] + 256u * file[local + 27] + file[local + 28] +
                       256u * file[local + 29];
        if (begin > size || length > size - begin) continue;
        uint32_t crc = (uint32_t)crc32(0, file + begin, length);
        memcpy(file + at + 16, &crc, 4);
    }
}

#endif
