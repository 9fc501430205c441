/* Running a part of a test in a child process, because a fault may end it: by a signal or by the sanitizer.
 */
#ifndef SS_EMULATOR_TEST_CHILD_H
#define SS_EMULATOR_TEST_CHILD_H

#include "device_arrays.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct child_end {
    int  status;       /* what the function returned; -1: it did not return */
    int  signal;       /* that ended it, 0 if none */
    char output[8192]; /* what it wrote to standard error */
} child_end;

/* Runs function(argument) in a child. */
static inline child_end child_run(int (*function)(void *), void *argument)
{
    child_end end = { .status = -1 };
    int       ends[2], status = 0;
    cr_assert_eq(pipe(ends), 0);
    fflush(NULL);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        close(ends[0]);
        dup2(ends[1], STDERR_FILENO);
        device_in_child = true;
        alarm(60);
        int result = function(argument);
        fprintf(stderr, "\nreturned %d\n", result);
        _exit(0);
    }
    close(ends[1]);
    size_t  used = 0;
    ssize_t got;
    char    rest[1024];
    while ((got = read(ends[0], used < sizeof end.output - 1 ? end.output + used : rest,
                       used < sizeof end.output - 1 ? sizeof end.output - 1 - used : sizeof rest)) > 0)
        if (used < sizeof end.output - 1) used += (size_t)got;
    end.output[used] = '\0';
    close(ends[0]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
    const char *returned = strstr(end.output, "\nreturned ");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && returned) end.status = atoi(returned + 10);
    return end;
}

#endif
