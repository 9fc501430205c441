/* Settings, the error state of the runtime, failures on demand, errors that nobody looks at. */
#include "private.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t mutex;
static pthread_once_t  once = PTHREAD_ONCE_INIT;
static emu_settings    settings;
static char            last_report[2048];

static struct {
    cudaError_t sticky;
    int64_t     unchecked, unfetched; /* launches whose errors nobody has fetched yet, of all threads */
} errors;

/* What CUDA keeps for each thread of the host. */
static _Thread_local struct {
    cudaError_t last;
    cudaError_t injected; /* into a call that cleans up: it does its work, then fails */
    bool        launch_unfetched;
    char        launch_name[256];
} own;

static struct {
    char    kind[128];
    int64_t nth, seen;
    bool    delivered, looked_at;
    char    name[128];
} failure;

#define MOST_NAMES 128
static struct {
    const char *name;
    int64_t     calls;
} names[MOST_NAMES];
static int n_names;

static int64_t number_from(const char *name, int64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoll(text, NULL, 0) : otherwise;
}

static void at_exit(void)
{
    if (ss_emulator_unchecked() == 0) return;
    fprintf(stderr, "CUDA emulator: an error was never looked at: %s\n", last_report);
    if (!settings.tolerate) _exit(97);
}

static void start(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&mutex, &attributes);
    const char *order = getenv("SS_EMULATOR_ORDER"), *queue = getenv("SS_EMULATOR_QUEUE");
    settings.order = SS_EMULATOR_ROTATE;
    if (order && strcmp(order, "forward") == 0) settings.order = SS_EMULATOR_FORWARD;
    if (order && strcmp(order, "reverse") == 0) settings.order = SS_EMULATOR_REVERSE;
    if (order && strcmp(order, "shuffle") == 0) settings.order = SS_EMULATOR_SHUFFLED;
    settings.deferred = !(queue && strcmp(queue, "immediate") == 0);
    settings.seed = (uint64_t)number_from("SS_EMULATOR_SEED", 1);
    settings.memory = number_from("SS_EMULATOR_MEMORY", 2048) << 20;
    settings.devices = (int)number_from("SS_EMULATOR_DEVICES", 1);
    settings.quiet = number_from("SS_EMULATOR_QUIET", 0) != 0;
    const char *fail = getenv("SS_EMULATOR_FAIL"), *colon = fail ? strrchr(fail, ':') : NULL;
    if (colon && (size_t)(colon - fail) < sizeof failure.kind) {
        memcpy(failure.kind, fail, (size_t)(colon - fail));
        failure.nth = strtoll(colon + 1, NULL, 10);
    }
    atexit(at_exit);
}

const emu_settings *emu_set(void)
{
    pthread_once(&once, start);
    return &settings;
}

void emu_lock(void)
{
    pthread_once(&once, start);
    pthread_mutex_lock(&mutex);
}

void emu_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

void emu_report(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(last_report, sizeof last_report, format, list);
    va_end(list);
    if (!emu_set()->quiet) fprintf(stderr, "CUDA emulator: %s\n", last_report);
}

void *emu_allocate(size_t bytes)
{
    void *memory = calloc(1, bytes ? bytes : 1);
    if (memory) return memory;
    fprintf(stderr, "CUDA emulator: out of host memory (%zu bytes)\n", bytes);
    abort();
}

/* ---- Counting calls and failing one ---- */
static bool matches(const char *kind, const char *name)
{
    size_t length = strlen(kind);
    if (length && kind[length - 1] == '*') return strncmp(kind, name, length - 1) == 0;
    return strcmp(kind, name) == 0;
}

static bool to_fail(const char *name)
{
    int i = 0;
    while (i < n_names && strcmp(names[i].name, name) != 0) i++;
    if (i == n_names && n_names < MOST_NAMES) names[n_names++].name = name;
    if (i < n_names) names[i].calls++;
    if (failure.nth == 0 || !matches(failure.kind, name) || ++failure.seen != failure.nth) return false;
    failure.delivered = true;
    failure.looked_at = false;
    snprintf(failure.name, sizeof failure.name, "%s", name);
    return true;
}

static void launch_fetched(void)
{
    errors.unfetched -= own.launch_unfetched && errors.unfetched > 0;
    own.launch_unfetched = false;
}

static void expect_fetched(const char *name)
{
    if (!own.launch_unfetched) return;
    launch_fetched();
    errors.unchecked++;
    emu_report("the error of launching %s was not fetched before %s", own.launch_name, name);
    if (!settings.tolerate) abort();
}

cudaError_t emu_enter(const char *name, cudaError_t natural, bool cleanup)
{
    emu_lock();
    expect_fetched(name);
    cudaError_t error = cudaSuccess;
    bool        fail = to_fail(name);
    own.injected = fail && cleanup ? natural : cudaSuccess;
    if (fail && !cleanup)
        error = natural;
    else if (settings.devices < 1)
        error = cudaErrorNoDevice;
    else if (!cleanup)
        error = errors.sticky;
    if (error) {
        own.last = error;
        emu_unlock();
    }
    return error;
}

cudaError_t emu_leave(cudaError_t error)
{
    if (!error) error = errors.sticky ? errors.sticky : own.injected;
    own.injected = cudaSuccess;
    if (error && error != cudaErrorNotReady) own.last = error;
    emu_unlock();
    return error;
}

bool emu_failing(void)
{
    return own.injected != cudaSuccess;
}

bool emu_enter_library(const char *name)
{
    emu_lock();
    expect_fetched(name);
    return to_fail(name);
}

void emu_stick(cudaError_t error)
{
    if (!errors.sticky) errors.sticky = error;
    own.last = errors.sticky;
}

cudaError_t emu_sticky(void)
{
    return errors.sticky;
}

void emu_launch_error(cudaError_t error, const char *name, const char *file, int line)
{
    if (error) own.last = error;
    errors.unfetched += !own.launch_unfetched;
    own.launch_unfetched = true;
    snprintf(own.launch_name, sizeof own.launch_name, "%s (%s:%d)", name, file, line);
}

void emu_looked_at(int error, const char *library)
{
    (void)library;
    if (!error) return;
    emu_lock();
    failure.looked_at = true;
    emu_unlock();
}

cudaError_t cudaGetLastError(void)
{
    emu_lock();
    cudaError_t error = errors.sticky ? errors.sticky : own.last;
    launch_fetched();
    own.last = errors.sticky;
    emu_unlock();
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    emu_lock();
    cudaError_t error = errors.sticky ? errors.sticky : own.last;
    launch_fetched();
    emu_unlock();
    return error;
}

const char *cudaGetErrorString(cudaError_t error)
{
    emu_looked_at((int)error, "cuda");
    switch (error) {
#define ROW(name, value, text)                                                                               \
    case name: return text;
        SS_EMULATOR_ERROR_TABLE(ROW)
#undef ROW
    }
    return "unrecognized error code";
}

const char *cudaGetErrorName(cudaError_t error)
{
    emu_looked_at((int)error, "cuda");
    switch (error) {
#define ROW(name, value, text)                                                                               \
    case name: return #name;
        SS_EMULATOR_ERROR_TABLE(ROW)
#undef ROW
    }
    return "unrecognized error code";
}

/* ---- The tests' side ---- */
void ss_emulator_set_order(ss_emulator_order order, uint64_t seed)
{
    emu_lock();
    settings.order = order;
    settings.seed = seed;
    emu_unlock();
}

void ss_emulator_set_deferred(int deferred)
{
    emu_lock();
    if (!deferred) emu_drain_all();
    settings.deferred = deferred != 0;
    emu_unlock();
}

void ss_emulator_set_quiet(int quiet)
{
    emu_lock();
    settings.quiet = quiet != 0;
    emu_unlock();
}

void ss_emulator_set_memory(int64_t bytes)
{
    emu_lock();
    settings.memory = bytes < (int64_t)emu_memory_used() ? (int64_t)emu_memory_used() : bytes;
    emu_unlock();
}

void ss_emulator_set_devices(int count)
{
    emu_lock();
    settings.devices = count;
    emu_unlock();
}

void ss_emulator_fail(const char *kind, int64_t nth)
{
    emu_lock();
    memset(&failure, 0, sizeof failure);
    for (int i = 0; i < n_names; i++) names[i].calls = 0;
    if (kind) {
        snprintf(failure.kind, sizeof failure.kind, "%s", kind);
        failure.nth = nth;
    }
    emu_unlock();
}

int64_t ss_emulator_calls(const char *kind)
{
    int64_t calls = 0;
    emu_lock();
    for (int i = 0; i < n_names; i++)
        if (matches(kind, names[i].name)) calls += names[i].calls;
    emu_unlock();
    return calls;
}

int ss_emulator_failed(void)
{
    emu_lock();
    bool delivered = failure.delivered;
    emu_unlock();
    return delivered;
}

int64_t ss_emulator_unchecked(void)
{
    emu_lock();
    int64_t count = errors.unchecked + errors.unfetched;
    if (failure.delivered && !failure.looked_at) {
        count++;
        emu_report("the failure of %s was never looked at", failure.name);
    }
    emu_unlock();
    return count;
}

void ss_emulator_tolerate_unchecked(int tolerate)
{
    emu_lock();
    settings.tolerate = tolerate != 0;
    emu_unlock();
}

const char *ss_emulator_report(void)
{
    return last_report;
}

int64_t ss_emulator_live(const char *kind)
{
    emu_lock();
    struct {
        const char *kind;
        int64_t     count;
    } live[] = { { "memory", emu_memory_count() }, { "pinned", emu_pinned_count() },
                 { "stream", emu_stream_count() }, { "event", emu_event_count() },
                 { "graph", emu_graph_count() },   { "exec", emu_exec_count() },
                 { "cublas", emu_cublas_count() }, { "cusolver", emu_cusolver_count() } };
    int64_t count = 0;
    for (size_t i = 0; i < sizeof live / sizeof *live; i++)
        if (matches(kind, live[i].kind)) count += live[i].count;
    emu_unlock();
    return count;
}

void ss_emulator_forget(void)
{
    emu_lock();
    emu_forget_work();
    launch_fetched();
    errors.unfetched = 0;
    errors.sticky = own.last = own.injected = cudaSuccess;
    errors.unchecked = 0;
    memset(&failure, 0, sizeof failure);
    *last_report = '\0';
    emu_unlock();
}

ss_emulator_counts ss_emulator_count(void)
{
    emu_lock();
    ss_emulator_counts counts = emu_counts;
    emu_unlock();
    return counts;
}
