/* Running the program as a user would: arguments in, exit status and both streams out. */
#ifndef SS_TESTS_PROGRAM_H
#define SS_TESTS_PROGRAM_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#define SS_TEST_STREAM 131072 /* bytes kept of either stream */

typedef struct ss_test_program {
    int  exit_status;         /* 128 + signal when it was killed */
    char out[SS_TEST_STREAM]; /* standard output, zero-terminated */
    char err[SS_TEST_STREAM]; /* standard error */
} ss_test_program;

/* Runs the program with these arguments (NULL-terminated, without the program's name) to its end. A command
 * that names no device computes on that of ss_test_device. */
void ss_test_run(ss_test_program *result, const char *first, ...) __attribute__((sentinel));
void ss_test_run_list(ss_test_program *result, const char *const *arguments);

/* The same in two halves; `result` of the start goes to the end. Streams are complete after the end. */
pid_t ss_test_start(const char *const *arguments);
void  ss_test_finish(pid_t process, ss_test_program *result);

/* Reads a JSON file, or fails the case. Release with json_decref. */
json_t *ss_test_json(const char *path);

/* Differences between two documents, each logged; members whose key is `left_out` aside. Numbers may differ
 * by `tolerance` of the larger one, and a thousandth of it; 0: by nothing. */
int ss_test_differences(const json_t *a, const json_t *b, const char *where,
                        bool (*left_out)(const char *key), double tolerance);

bool ss_test_exists(const char *path);
/* Copies a file, or fails the case. */
void ss_test_copy(const char *from, const char *to);

#endif
