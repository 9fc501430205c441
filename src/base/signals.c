/* The signal flag; see signals.h. A handler can reach nothing but a static object: this is the one place of
 * the library that has one. */
#include "base/signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static volatile sig_atomic_t received;

_Static_assert(_Generic((sig_atomic_t)0, int : 1, default : 0), "the interrupt flag of a context is an int");

static void handle(int number)
{
    if (received == 0) received = number;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

ss_status ss_signals_install(ss_context *context)
{
    static const int caught[] = { SIGINT, SIGTERM, SIGUSR1 };
    struct sigaction action = { .sa_handler = handle, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++) {
        if (sigaction(caught[i], &action, NULL) != 0)
            return ss_fail(context, SS_ERROR_RUNTIME, "no handler for signal %d: %s", caught[i],
                           strerror(errno));
    }
    signal(SIGXFSZ, SIG_IGN);
    ss_context_set_interrupt(context, &received);
    return SS_OK;
}

int ss_signals_received(void)
{
    return received;
}
