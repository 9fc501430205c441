/* The point functions on the CPU's vector mathematics, at one instruction-set level: for kernel files alone
 * (levels.h). */
#include "backend/cpu/vector_math.h"

#define SS_POINT_BITS      SS_REAL_BITS
#define SS_POINT(name)     SS_LEVEL(name)
#define SS_POINT_QUALIFIER static inline
#if SS_REAL_BITS == 32
#define SS_POINT_EXP(x)         SS_LEVEL(ss_expf)(x)
#define SS_POINT_TANH(x)        SS_LEVEL(ss_tanhf)(x)
#define SS_POINT_LOG1P(u)       SS_LEVEL(ss_log1pf)(u)
#define SS_POINT_NORMAL_TAIL(a) SS_LEVEL(ss_normal_tailf)(a)
#else
#define SS_POINT_EXP(x)         SS_LEVEL(ss_exp)(x)
#define SS_POINT_TANH(x)        SS_LEVEL(ss_tanh)(x)
#define SS_POINT_LOG1P(u)       SS_LEVEL(ss_log1p)(u)
#define SS_POINT_NORMAL_TAIL(a) SS_LEVEL(ss_normal_tail)(a)
#endif
#include "backend/point_functions.h"
