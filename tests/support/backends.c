/* The backends that suites run on. */
#include "backend/backend.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 8

/* A build with CUDA on a machine without a device still tests the rest; SS_TEST_REQUIRE_CUDA=1 makes the
 * missing device a failure of every suite instead. */
static bool is_here(const char *name)
{
    ss_context *context = NULL;
    ss_backend *b = NULL;
    if (strncmp(name, "cuda", 4) != 0 || ss_test_environment("SS_TEST_REQUIRE_CUDA")) return true;
    if (ss_context_create(&context) != SS_OK) return true;
    ss_status status = ss_backend_open(context, name, SS_FLOAT64, &b);
    if (status == SS_ERROR_REFUSED)
        fprintf(stderr, "not tested on %s: %s\n", name, ss_context_message(context));
    ss_backend_close(b);
    ss_context_destroy(context);
    return status != SS_ERROR_REFUSED;
}

const char *const *ss_test_backends(void)
{
    static const char *names[MOST + 1];
    if (names[0]) return names;
    int         count = 0;
    const char *only = getenv("SS_TEST_BACKEND");
    for (const char *const *name = ss_backend_names(); *name && count < MOST; name++)
        if ((!only || strcmp(only, *name) == 0) && is_here(*name)) names[count++] = *name;
    return names;
}

const char *ss_test_device(void)
{
    const char *name = getenv("SS_TEST_DEVICE");
    return name && *name ? name : "cpu";
}

bool ss_test_brief(void)
{
    return !ss_test_environment("SS_TEST_ALL") &&
           (ss_test_environment("SS_TEST_BRIEF") || strcmp(ss_test_device(), "cpu") != 0);
}
