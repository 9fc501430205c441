/* Small helpers shared by all suites.
 *
 *     Test(room, case, .init = ss_test_begin, .fini = ss_test_end)
 *     {
 *         ss_test_require(ss_thing_do(ss_test_context, ...));        succeeds, or the message is printed
 *         ss_test_refuse(ss_thing_do(...), SS_ERROR_INPUT, "field"); fails so, and the message names "field"
 *     }
 *
 * ss_test_end checks that all memory of the context was given back. */
#ifndef SS_TESTS_SUPPORT_H
#define SS_TESTS_SUPPORT_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>

/* The context of the running case: created by ss_test_begin, destroyed by ss_test_end. Criterion runs every
 * case in its own process, so cases never share it. */
extern ss_context *ss_test_context;

void ss_test_begin(void);
void ss_test_end(void);

/* The case fails, with the message of the context, unless status is SS_OK. */
#define ss_test_require(status) ss_test_require_at((status), #status, __FILE__, __LINE__)
void ss_test_require_at(ss_status status, const char *call, const char *file, int line);

/* The case fails unless `status` is `expected` and the context's message contains `part` (NULL = anything but
 * empty). Clears the message. */
#define ss_test_refuse(status, expected, part)                                                               \
    ss_test_refuse_at((status), (expected), (part), #status, __FILE__, __LINE__)
void ss_test_refuse_at(ss_status status, ss_status expected, const char *part, const char *call,
                       const char *file, int line);

/* An empty directory of its own below $TMPDIR or /tmp, removed with its contents by ss_test_end. Owned by the
 * support library. */
const char *ss_test_directory(void);

/* "<directory>/<name>" of ss_test_directory; the text stays valid until the case ends. */
const char *ss_test_path(const char *name);

/* Writes a file, or fails the case. */
void ss_test_write_file(const char *path, const void *data, size_t bytes);

/* The whole file in a block of the context (to be given back by ss_free), one zero byte behind it; or fails
 * the case. */
void *ss_test_read_file(const char *path, size_t *bytes);

/* ||x - reference|| <= tolerance max(||reference||, scale): returns ||x - reference|| / max(||reference||,
 * scale), infinity when x holds a NaN or infinity (DESIGN 3, comparison of vectors). */
double ss_test_relative_error(int64_t n, const double *x, const double *reference, double scale);

/* Is NAME set to something other than "" and "0"? For suites with a long form, e.g. SS_TEST_ALL. */
bool ss_test_environment(const char *name);

/* Are long suites to take their short form, which still runs everything once? With SS_TEST_BRIEF
 * (scripts/test sets it for sanitized code), and where SS_TEST_DEVICE names a device, which may be emulated;
 * never with SS_TEST_ALL. */
bool ss_test_brief(void);

/* Names of the backends to test, those of the processor first: all of this build, without a device that is
 * not there (said on stderr; SS_TEST_REQUIRE_CUDA=1: then its suites fail), or the one that SS_TEST_BACKEND
 * names. NULL-terminated. */
const char *const *ss_test_backends(void);
/* The device of suites that run whole networks: SS_TEST_DEVICE, or "cpu". */
const char *ss_test_device(void);

#endif
