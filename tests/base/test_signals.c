/* The signal flag: set by each of the three signals, the second SIGINT ends the process. */
#include "base/signals.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void expect_flag(int number)
{
    ss_test_require(ss_signals_install(ss_test_context));
    cr_assert(!ss_context_interrupted(ss_test_context) && ss_signals_received() == 0);
    raise(number);
    cr_assert(ss_context_interrupted(ss_test_context) && ss_signals_received() == number);
}

Test(signals, interrupt, .init = ss_test_begin, .fini = ss_test_end)
{
    expect_flag(SIGINT);
}

Test(signals, terminate, .init = ss_test_begin, .fini = ss_test_end)
{
    expect_flag(SIGTERM);
}

Test(signals, user, .init = ss_test_begin, .fini = ss_test_end)
{
    expect_flag(SIGUSR1);
    raise(SIGUSR1);
    cr_assert(ss_signals_received() == SIGUSR1);
}

Test(signals, second_interrupt_ends_the_process, .init = ss_test_begin, .fini = ss_test_end)
{
    int   status = 0;
    pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        if (ss_signals_install(ss_test_context) != SS_OK) _exit(1);
        raise(SIGINT);
        raise(SIGINT);
        _exit(2);
    }
    cr_assert(waitpid(child, &status, 0) == child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
}
