/* Running the program. */
#include "support/program.h"
#include "cli/option_table.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 64 /* arguments */

/* ss_test_path keeps its texts until the case ends; a case may run the program more often than that allows.
 */
static void stream_path(const char *name, char path[1200])
{
    snprintf(path, 1200, "%s/%s", ss_test_directory(), name);
}

static void redirect(const char *name, int stream)
{
    char path[1200];
    stream_path(name, path);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || dup2(file, stream) < 0) _exit(126);
    close(file);
}

/* The leak sanitizer's own tracer crashes now and then at the end of a program whose BLAS was loaded at run
 * time, which changes the exit status under test. Leaks are found by the context, which counts its blocks. */
static void leave_leaks_to_us(void)
{
    const char *set = getenv("ASAN_OPTIONS");
    char        options[512];
    snprintf(options, sizeof options, "%s%sdetect_leaks=0", set != NULL ? set : "", set != NULL ? ":" : "");
    setenv("ASAN_OPTIONS", options, 1);
}

/* Is --device SS_TEST_DEVICE to be added: does the command compute, and do the arguments leave the device
 * open?
 */
static bool lacks_device(const char *const *arguments)
{
#define NAME(id, name, ...) name,
    static const char *const commands[] = { SS_COMMAND_TABLE(NAME) };
#undef NAME
    bool lacks = false;
    for (size_t i = 0; i < sizeof commands / sizeof *commands && arguments[0] != NULL; i++)
        lacks = lacks || strcmp(arguments[0], commands[i]) == 0;
    for (int i = 0; arguments[i] != NULL; i++)
        lacks = lacks && strncmp(arguments[i], "--device", 8) != 0 && strcmp(arguments[i], "--for") != 0;
    return lacks && strcmp(ss_test_device(), "cpu") != 0;
}

pid_t ss_test_start(const char *const *arguments)
{
    char option[] = "--device", *argv[MOST + 4] = { (char[]){ "saddlescope" } };
    int  count = 1;
    bool add = lacks_device(arguments);
    for (int i = 0; arguments[i] != NULL && i < MOST; i++) {
        argv[count++] = (char *)(uintptr_t)arguments[i];
        if (i > 0 || !add) continue;
        argv[count++] = option;
        argv[count++] = (char *)(uintptr_t)ss_test_device();
    }
    argv[count] = NULL;
    ss_test_directory(); /* made by the parent, not by the child */
    pid_t process = fork();
    cr_assert(process >= 0);
    if (process == 0) {
        redirect("stdout", STDOUT_FILENO);
        redirect("stderr", STDERR_FILENO);
        leave_leaks_to_us();
        execv(SS_PROGRAM, argv);
        _exit(127);
    }
    return process;
}

static void slurp(const char *name, char text[SS_TEST_STREAM])
{
    char path[1200];
    stream_path(name, path);
    FILE  *file = fopen(path, "rb");
    size_t length = file != NULL ? fread(text, 1, SS_TEST_STREAM - 1, file) : 0;
    text[length] = '\0';
    if (file != NULL) fclose(file);
}

void ss_test_finish(pid_t process, ss_test_program *result)
{
    int state = 0;
    cr_assert(waitpid(process, &state, 0) == process);
    result->exit_status = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
    slurp("stdout", result->out);
    slurp("stderr", result->err);
}

void ss_test_run_list(ss_test_program *result, const char *const *arguments)
{
    ss_test_finish(ss_test_start(arguments), result);
}

void ss_test_run(ss_test_program *result, const char *first, ...)
{
    const char *arguments[MOST + 1] = { first };
    int         count = 1;
    va_list     list;
    va_start(list, first);
    while (count < MOST && (arguments[count] = va_arg(list, const char *)) != NULL) count++;
    va_end(list);
    arguments[count] = NULL;
    ss_test_run_list(result, arguments);
}

json_t *ss_test_json(const char *path)
{
    json_error_t error;
    json_t      *json = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    cr_assert(json != NULL, "%s:%d: %s", path, error.line, error.text);
    return json;
}

bool ss_test_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

void ss_test_copy(const char *from, const char *to)
{
    size_t bytes = 0;
    void  *data = ss_test_read_file(from, &bytes);
    ss_test_write_file(to, data, bytes);
    ss_free(ss_test_context, data);
}

int ss_test_differences(const json_t *a, const json_t *b, const char *where,
                        bool (*left_out)(const char *key), double tolerance)
{
    int         count = 0;
    const char *key = NULL;
    json_t     *value = NULL;
    size_t      i = 0;
    if (json_is_object(a)) {
        json_object_foreach((json_t *)(uintptr_t)a, key, value)
        {
            if (!left_out(key))
                count += ss_test_differences(value, json_object_get(b, key), key, left_out, tolerance);
        }
        return count + (json_object_size(a) != json_object_size(b));
    }
    if (json_is_array(a)) {
        json_array_foreach(a, i, value) count +=
            ss_test_differences(value, json_array_get(b, i), where, left_out, tolerance);
        return count + (json_array_size(a) != json_array_size(b));
    }
    if (tolerance > 0 && json_is_number(a) && json_is_number(b)) {
        double x = json_number_value(a), y = json_number_value(b);
        if (fabs(x - y) <= tolerance * fmax(fabs(x), fabs(y)) + 1e-3 * tolerance) return 0;
    } else if (json_equal(a, b)) {
        return 0;
    }
    char *left = json_dumps(a, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    char *right = json_dumps(b, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    cr_log_warn("%s: %s, %s", where, left, right);
    free(left);
    free(right);
    return 1;
}
