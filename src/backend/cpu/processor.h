/* What the processor is and can do, from CPUID. */
#ifndef SS_BACKEND_CPU_PROCESSOR_H
#define SS_BACKEND_CPU_PROCESSOR_H

#include <stdbool.h>

typedef struct ss_processor {
    char vendor[13]; /* "GenuineIntel", "AuthenticAMD", ...; "" when unknown */
    char brand[49];  /* "AMD EPYC 7763 ..."; "" when unknown */
    int  family;     /* with the extended family added */
    int  model;      /* with the extended model */
    bool avx2;       /* AVX2 and FMA, enabled by the operating system */
    bool avx512;     /* F, BW, DQ, VL, CD, enabled by the operating system */
} ss_processor;

void ss_processor_detect(ss_processor *processor);

/* The OPENBLAS_CORETYPE this processor needs with an OpenBLAS that does not know it (Debian 12's 0.3.21 takes
 * such processors for a Prescott), or NULL if it is known or has nothing to gain. */
const char *ss_processor_openblas_core(const ss_processor *processor);

/* Is `core` (openblas_get_corename) far below what the processor can do? */
bool ss_processor_core_is_poor(const ss_processor *processor, const char *core);

#endif
