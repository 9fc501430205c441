/* Backends by name: one row per backend of this build. */
#include "backend/check/check.h"
#include "backend/cpu/cpu.h"

#include <string.h>

/* clang-format off */
#define SS_BACKEND_TABLE(row) \
    row("cpu", ss_cpu_open) \
    row("cpu-check", ss_check_open)
/* clang-format on */

static const char *const names[] = {
#define SS_BACKEND_NAME(name, open) name,
    SS_BACKEND_TABLE(SS_BACKEND_NAME)
#undef SS_BACKEND_NAME
        NULL
};

ss_status ss_backend_open(ss_context *context, const char *name, ss_real real, ss_backend **backend)
{
    *backend = NULL;
#define SS_BACKEND_OPEN(known, open)                                                                         \
    if (strcmp(name, known) == 0) return open(context, real, backend);
    SS_BACKEND_TABLE(SS_BACKEND_OPEN)
#undef SS_BACKEND_OPEN
    if (strncmp(name, "cuda", 4) == 0)
        return ss_fail(context, SS_ERROR_REFUSED, "device '%s': this build has no CUDA; use --device cpu",
                       name);
    return ss_fail(context, SS_ERROR_USAGE, "unknown device '%s'; this build knows cpu, cpu-check", name);
}

void ss_backend_close(ss_backend *backend)
{
    if (backend) backend->class->close(backend);
}

const char *const *ss_backend_names(void)
{
    return names;
}
