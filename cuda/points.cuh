/* The point functions (backend/point_functions.h) as structs that kernels take as template parameters. */
#ifndef SS_CUDA_POINTS_CUH
#define SS_CUDA_POINTS_CUH

#include "map.cuh"

#define SS_POINT_QUALIFIER static __device__ __forceinline__
#define SS_POINT_BITS      32
#define SS_POINT(name)     name##_32
#include "backend/point_functions.h"
#undef SS_POINT_BITS
#undef SS_POINT
#define SS_POINT_BITS  64
#define SS_POINT(name) name##_64
#include "backend/point_functions.h"

/* relu_point::value(x, p), ::first, ::second for float and double */
#define POINT_STRUCT(name, torch, stem, from_y_, kinked)                                                     \
    struct stem##_point {                                                                                    \
        static const bool        from_y = from_y_ != 0;                                                      \
        static __device__ float  value(float x, const float *p) { return stem##_value_32(x, p); }            \
        static __device__ float  first(float s, const float *p) { return stem##_first_32(s, p); }            \
        static __device__ float  second(float s, const float *p) { return stem##_second_32(s, p); }          \
        static __device__ double value(double x, const double *p) { return stem##_value_64(x, p); }          \
        static __device__ double first(double s, const double *p) { return stem##_first_64(s, p); }          \
        static __device__ double second(double s, const double *p) { return stem##_second_64(s, p); }        \
    };
SS_FUNCTION_TABLE(POINT_STRUCT)
#undef POINT_STRUCT

/* Do the derivatives of a function read its value? */
static inline bool ss_point_from_y(ss_function function)
{
#define SS_FROM_Y_ROW(name, torch, stem, from_y, kinked) from_y,
    static const bool table[] = { SS_FUNCTION_TABLE(SS_FROM_Y_ROW) };
#undef SS_FROM_Y_ROW
    return table[function];
}

#endif
