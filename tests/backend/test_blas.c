/* The loaded BLAS: its description, the processors that OpenBLAS misdetects, names of devices. It is loaded
 * once: every case needs a process of its own. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/processor.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static ss_processor processor(const char *vendor, int family, int model, bool avx2, bool avx512)
{
    ss_processor p = { .family = family, .model = model, .avx2 = avx2, .avx512 = avx512 };
    strcpy(p.vendor, vendor);
    return p;
}

Test(blas, processors_that_need_the_cure)
{
    ss_processor emerald_rapids = processor("GenuineIntel", 6, 0xCF, true, true);
    ss_processor raptor_lake = processor("GenuineIntel", 6, 0xB7, true, false);
    ss_processor ice_lake = processor("GenuineIntel", 6, 0x6A, true, true);
    ss_processor old = processor("GenuineIntel", 6, 0xCF, false, false);
    ss_processor zen3 = processor("AuthenticAMD", 0x19, 1, true, false);
    ss_processor zen5 = processor("AuthenticAMD", 0x1A, 2, true, true);
    cr_assert_str_eq(ss_processor_openblas_core(&emerald_rapids), "SkylakeX");
    cr_assert_str_eq(ss_processor_openblas_core(&raptor_lake), "Haswell");
    cr_assert_str_eq(ss_processor_openblas_core(&zen5), "SkylakeX");
    cr_assert_null(ss_processor_openblas_core(&ice_lake));
    cr_assert_null(ss_processor_openblas_core(&old));
    cr_assert_null(ss_processor_openblas_core(&zen3));
    cr_assert(ss_processor_core_is_poor(&emerald_rapids, "Prescott"));
    cr_assert(ss_processor_core_is_poor(&emerald_rapids, "Haswell"));
    cr_assert(!ss_processor_core_is_poor(&emerald_rapids, "SkylakeX"));
    cr_assert(!ss_processor_core_is_poor(&zen3, "Zen") && !ss_processor_core_is_poor(&old, "Prescott"));
}

Test(blas, detection)
{
    ss_processor p;
    ss_processor_detect(&p);
#if defined(__x86_64__)
    cr_assert(strlen(p.vendor) == 12 && p.family >= 5);
    cr_assert(p.avx2 == (bool)(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")));
#endif
}

Test(blas, description, .init = ss_test_begin, .fini = ss_test_end)
{
    const char *line = NULL, *warning = "";
    ss_test_require(ss_blas_describe(ss_test_context, &line, &warning));
    cr_assert(strstr(line, "float32 GEMM: ") && strstr(line, "float64 GEMM: "), "%s", line);
    cr_assert(warning == NULL || strstr(warning, "OPENBLAS_CORETYPE"));
}

/* A user's core type stands; a foreign one is warned about (only OpenBLAS knows it). */
Test(blas, user_core_stands, .init = ss_test_begin, .fini = ss_test_end)
{
    const char *line = NULL, *warning = NULL;
    setenv("OPENBLAS_CORETYPE", "Nehalem", 1);
    ss_blas_prepare_environment();
    cr_assert_str_eq(getenv("OPENBLAS_CORETYPE"), "Nehalem");
    ss_test_require(ss_blas_describe(ss_test_context, &line, &warning));
    ss_processor p;
    ss_processor_detect(&p);
    if (strstr(line, "OpenBLAS") && p.avx2) {
        cr_assert(strstr(line, "Nehalem"), "%s", line);
        cr_assert(warning && strstr(warning, "Nehalem"));
    }
}

Test(blas, provider_is_overridden, .init = ss_test_begin, .fini = ss_test_end)
{
    const char *line = NULL, *warning = NULL;
    setenv("SADDLESCOPE_SGEMM", "openblas", 1);
    ss_test_require(ss_blas_describe(ss_test_context, &line, &warning));
    cr_assert_null(strstr(line, "oneDNN"), "%s", line);
}

Test(blas, unknown_provider, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_backend *b = NULL;
    setenv("SADDLESCOPE_SGEMM", "fastest", 1);
    ss_test_refuse(ss_backend_open(ss_test_context, "cpu", SS_FLOAT32, &b), SS_ERROR_REFUSED, "fastest");
    cr_assert_null(b);
}

Test(blas, levels)
{
    ss_cpu_level best = ss_cpu_best_level();
    setenv("SADDLESCOPE_SIMD", "baseline", 1);
    cr_assert(ss_cpu_best_level() == SS_CPU_BASELINE);
    setenv("SADDLESCOPE_SIMD", "avx512", 1); /* never above what the processor has */
    cr_assert(ss_cpu_best_level() == best);
}

Test(blas, names, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_backend *b = NULL;
    ss_test_refuse(ss_backend_open(ss_test_context, "gpu", SS_FLOAT32, &b), SS_ERROR_USAGE, "'gpu'");
    ss_backend_close(NULL);
    for (int i = 0; ss_test_backends()[i]; i++) {
        ss_test_require(ss_backend_open(ss_test_context, ss_test_backends()[i], SS_FLOAT64, &b));
        cr_assert_str_eq(b->name, ss_test_backends()[i]);
        cr_assert_str_eq(b->class->name, ss_test_backends()[i]);
        cr_assert(b->real == SS_FLOAT64 && b->context == ss_test_context);
        ss_backend_close(b);
    }
}
