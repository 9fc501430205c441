/* The real type of a source compiled once per type: SS_REAL_BITS is 32 or 64, `real` the element type,
 * SS_REAL(name) the name with its suffix. For *_real.c only. */
#ifndef SS_BACKEND_CPU_REAL_H
#define SS_BACKEND_CPU_REAL_H

#if SS_REAL_BITS == 32
typedef float real;
#define SS_REAL(name) name##_32
#elif SS_REAL_BITS == 64
typedef double real;
#define SS_REAL(name) name##_64
#else
#error "SS_REAL_BITS must be 32 or 64"
#endif

#endif
