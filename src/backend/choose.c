/* Backends by name: one row per backend of this build. */
#include "backend/check/check.h"
#include "backend/cpu/cpu.h"
#include "backend/cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Backends with several devices know their number after a colon. */
/* clang-format off */
#ifdef SS_WITH_CUDA
#define SS_DEVICE_TABLE(row) row("cuda", ss_cuda_open)
#define SS_DEVICE_NAMES ", cuda, cuda:N"
#else
#define SS_DEVICE_TABLE(row)
#define SS_DEVICE_NAMES ""
#endif
#define SS_BACKEND_TABLE(row) \
    row("cpu", ss_cpu_open) \
    row("cpu-check", ss_check_open)
/* clang-format on */

static const char *const names[] = {
#define SS_BACKEND_NAME(name, open) name,
    SS_BACKEND_TABLE(SS_BACKEND_NAME) SS_DEVICE_TABLE(SS_BACKEND_NAME)
#undef SS_BACKEND_NAME
        NULL
};

/* Is `name` "kind" or "kind:N"? N, or 0, to *index. */
static bool names_device(const char *name, const char *kind, int *index)
{
    size_t length = strlen(kind);
    char  *end = NULL;
    *index = 0;
    if (strncmp(name, kind, length) != 0) return false;
    if (name[length] == '\0') return true;
    if (name[length] != ':' || name[length + 1] < '0' || name[length + 1] > '9') return false;
    long number = strtol(name + length + 1, &end, 10);
    *index = number > 9999 ? 9999 : (int)number;
    return *end == '\0';
}

ss_status ss_backend_open(ss_context *context, const char *name, ss_real real, ss_backend **backend)
{
    int index;
    *backend = NULL;
#define SS_BACKEND_OPEN(known, open)                                                                         \
    if (strcmp(name, known) == 0) return open(context, real, backend);
    SS_BACKEND_TABLE(SS_BACKEND_OPEN)
#undef SS_BACKEND_OPEN
#define SS_DEVICE_OPEN(known, open)                                                                          \
    if (names_device(name, known, &index)) {                                                                 \
        ss_status status = open(context, index, real, backend);                                              \
        if (status == SS_OK) snprintf((*backend)->name, sizeof(*backend)->name, "%.15s", name);              \
        return status;                                                                                       \
    }
    SS_DEVICE_TABLE(SS_DEVICE_OPEN)
#undef SS_DEVICE_OPEN
    if (names_device(name, "cuda", &index))
        return ss_fail(context, SS_ERROR_REFUSED, "device '%s': this build has no CUDA; use --device cpu",
                       name);
    return ss_fail(context, SS_ERROR_USAGE, "unknown device '%s'; this build knows cpu, cpu-check%s", name,
                   SS_DEVICE_NAMES);
}

void ss_backend_close(ss_backend *backend)
{
    if (backend) backend->class->close(backend);
}

const char *const *ss_backend_names(void)
{
    return names;
}
