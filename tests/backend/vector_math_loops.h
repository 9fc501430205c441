/* The functions of backend/cpu/vector_math.h as loops over arrays, at one instruction-set level; for
 * test_vector_math.c. */
#include "backend/cpu/vector_math.h"

#define SS_TEST_LOOP(name, type)                                                                             \
    static void SS_LEVEL(loop_##name)(int n, const type *x, type *y)                                         \
    {                                                                                                        \
        for (int i = 0; i < n; i++) y[i] = SS_LEVEL(ss_##name)(x[i]);                                        \
    }
SS_TEST_LOOP(exp, double)
SS_TEST_LOOP(tanh, double)
SS_TEST_LOOP(log1p, double)
SS_TEST_LOOP(normal_tail, double)
SS_TEST_LOOP(expf, float)
SS_TEST_LOOP(tanhf, float)
SS_TEST_LOOP(log1pf, float)
SS_TEST_LOOP(normal_tailf, float)
#undef SS_TEST_LOOP
