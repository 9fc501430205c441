/* CPUID, and what OpenBLAS makes of it. The list of processors that OpenBLAS 0.3.21 knows follows its
 * driver/others/dynamic.c (release of August 2022); later OpenBLAS know more, and lose nothing by being told
 * the core: SkylakeX and Haswell name instruction sets, not models. */
#include "backend/cpu/processor.h"

#include <stddef.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

void ss_processor_detect(ss_processor *p)
{
    unsigned a, b, c, d;
    memset(p, 0, sizeof *p);
    if (!__get_cpuid(0, &a, &b, &c, &d)) return;
    memcpy(p->vendor, &b, 4);
    memcpy(p->vendor + 4, &d, 4);
    memcpy(p->vendor + 8, &c, 4);
    __get_cpuid(1, &a, &b, &c, &d);
    int family = (int)(a >> 8 & 15), model = (int)(a >> 4 & 15);
    p->model = family == 6 || family == 15 ? model + (int)(a >> 16 & 15) * 16 : model;
    p->family = family == 15 ? family + (int)(a >> 20 & 255) : family;
    __builtin_cpu_init();
    p->avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    p->avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx512cd");
    for (unsigned part = 0; part < 3; part++) {
        unsigned word[4];
        if (!__get_cpuid(0x80000002u + part, word, word + 1, word + 2, word + 3)) break;
        memcpy(p->brand + 16 * part, word, 16);
    }
}
#else
void ss_processor_detect(ss_processor *p)
{
    memset(p, 0, sizeof *p);
}
#endif

const char *ss_processor_openblas_core(const ss_processor *p)
{
    /* Intel family 6 with AVX2 that 0.3.21 recognises: Haswell, Broadwell, Skylake to Comet Lake, Cannon
     * Lake, Ice Lake, Tiger Lake, Rocket Lake, Alder Lake, Sapphire Rapids. */
    static const unsigned char known[] = { 0x3C, 0x3F, 0x45, 0x46, 0x3D, 0x47, 0x4F, 0x56, 0x4E,
                                           0x5E, 0x55, 0x8E, 0x9E, 0xA5, 0xA6, 0x66, 0x6A, 0x6C,
                                           0x7D, 0x7E, 0x8C, 0x8D, 0xA7, 0x97, 0x9A, 0x8F };
    if (!p->avx2) return NULL;
    if (strcmp(p->vendor, "GenuineIntel") == 0) {
        if (p->family < 6) return NULL;
        for (size_t i = 0; p->family == 6 && i < sizeof known; i++)
            if (p->model == known[i]) return NULL;
    } else if (strcmp(p->vendor, "AuthenticAMD") != 0 || p->family < 0x1A) {
        return NULL; /* AMD up to Zen 4 (family 0x19) is known */
    }
    return p->avx512 ? "SkylakeX" : "Haswell";
}

bool ss_processor_core_is_poor(const ss_processor *p, const char *core)
{
    static const char *const wide[] = { "Haswell", "Zen", "SkylakeX", "Cooperlake", "SapphireRapids" };
    if (!p->avx2) return false;
    size_t i = 0, n = sizeof wide / sizeof *wide;
    while (i < n && strcmp(core, wide[i]) != 0) i++;
    if (i == n) return true;
    return p->avx512 && strcmp(p->vendor, "GenuineIntel") == 0 && i < 2; /* AVX2 kernels on AVX-512 */
}
