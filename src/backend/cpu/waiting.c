/* Idle OpenMP threads must not hold the cores.
 *
 * GNU's libgomp lets a thread that waits spin for some 3 ms before it sleeps. On a machine that others use
 * too, a spinning thread keeps the very thread it waits for off its core: an analysis of a small network,
 * thousands of short parallel loops, was seen to take 11 to 20 s instead of 0.4 s. The policy can only be set
 * by the environment and is read before main; but libgomp cuts the spinning short (100 rounds) by itself
 * whenever it manages more threads than there are processors. So one team of two threads is made and left
 * asleep. Where the user has said how to wait (OMP_WAIT_POLICY, GOMP_SPINCOUNT), nothing is done; other
 * OpenMP run-times are left alone. */
#include "backend/cpu/cpu.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__GNUC__) && !defined(__clang__)
static void *sleep_with_team(void *unused)
{
    int members = 0;
    (void)unused;
#pragma omp parallel num_threads(2) reduction(+ : members)
    members++;
    for (;;) pause(); /* the team lives as long as the thread that made it */
    return NULL;
}

static void make_team(void)
{
    pthread_t      thread;
    pthread_attr_t attributes;
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || pthread_attr_init(&attributes) != 0) return;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    /* Signals are for the threads that work. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    (void)pthread_create(&thread, &attributes, sleep_with_team,
                         NULL); /* without it waiting is slower, no more */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

void ss_cpu_wait_quietly(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_team);
}
#else
void ss_cpu_wait_quietly(void) {}
#endif
