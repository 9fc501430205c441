/* SIGINT, SIGTERM and SIGUSR1 share one path: a flag that running computations poll between products. Only
 * the command line installs the handlers; the library never touches a process's signals by itself. */
#ifndef SS_BASE_SIGNALS_H
#define SS_BASE_SIGNALS_H

#include "base/base.h"

/* Installs the handlers and connects the flag with ss_context_set_interrupt. The first signal sets the flag
 * and gives SIGINT and SIGTERM their default action back, so that a second one ends the process at once. A
 * file size limit (SIGXFSZ) becomes an ordinary write error. Fails with SS_ERROR_RUNTIME. */
ss_status ss_signals_install(ss_context *context);

/* Number of the first signal received, 0 = none yet. */
int ss_signals_received(void);

#endif
