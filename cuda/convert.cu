/* Conversions from stored types, and weights placed at theta + step d, in float64 on the way. */
#include "map.cuh"

#include "base/stored.h"

/* to[i] := scale from[i] + shift (+ step direction[i]); `aligned` where from is a multiple of its element's
 * size, as mapped files need not be. */
template <typename real, typename stored, double (*value)(stored)> struct convert_element {
    real           *to;
    const char     *from;
    const real     *direction; /* NULL = 0 */
    double          scale, shift, step;
    bool            aligned;
    __device__ void operator()(int64_t, int64_t, int64_t i) const
    {
        stored element;
        if (aligned)
            element = reinterpret_cast<const stored *>(from)[i];
        else
            memcpy(&element, from + i * (int64_t)sizeof element, sizeof element);
        double result = scale * value(element) + shift;
        if (direction) result += step * (double)direction[i];
        to[i] = (real)result;
    }
};

/* The value of a stored element as float64, for every row of the table. */
#define VALUE_ROW(type, stored, value)                                                                       \
    static __device__ __forceinline__ double value_of_##type(stored x)                                       \
    {                                                                                                        \
        return (double)value(x);                                                                             \
    }
SS_STORED_TABLE(VALUE_ROW)
#undef VALUE_ROW

template <typename real>
static ss_status run(ss_queue *q, void *to, const void *from, ss_type type, int64_t count, double scale,
                     double shift, double step, const void *direction)
{
    real       *out = static_cast<real *>(to);
    const char *in = static_cast<const char *>(from);
    const real *d = static_cast<const real *>(direction);
    switch (type) {
#define RUN_ROW(type, stored, value)                                                                         \
    case type: {                                                                                             \
        const bool aligned = reinterpret_cast<uintptr_t>(from) % sizeof(stored) == 0;                        \
        const convert_element<real, stored, value_of_##type> f = {                                           \
            out, in, d, scale, shift, step, aligned                                                          \
        };                                                                                                   \
        return ss_cuda_map_vector(q, count, f);                                                              \
    }
        SS_STORED_TABLE(RUN_ROW)
#undef RUN_ROW
    default: return ss_fail(q->device->context, SS_ERROR_INTERNAL, "convert: unknown type %d", (int)type);
    }
}

static bool is_real(ss_type type, ss_real real)
{
    return type == (real == SS_FLOAT32 ? SS_F32 : SS_F64);
}

ss_status ss_cuda_convert(ss_backend *b, ss_queue *q, void *to, ss_real real, const void *from, ss_type type,
                          int64_t count, double scale, double shift)
{
    if (is_real(type, real) && scale == 1 && shift == 0)
        return ss_cuda_copy(b, q, to, from, count * (real == SS_FLOAT32 ? 4 : 8));
    SS_RETURN(ss_cuda_enter(b, &q));
    return real == SS_FLOAT32 ? run<float>(q, to, from, type, count, scale, shift, 0, nullptr)
                              : run<double>(q, to, from, type, count, scale, shift, 0, nullptr);
}

template <typename real>
ss_status ss_cuda_place(ss_backend *b, ss_queue *q, void *to, const void *from, ss_type type, int64_t count,
                        double step, const void *direction)
{
    if (!direction) return ss_cuda_convert(b, q, to, b->real, from, type, count, 1, 0);
    SS_RETURN(ss_cuda_enter(b, &q));
    return run<real>(q, to, from, type, count, 1, 0, step, direction);
}
SS_CUDA_INSTANTIATE(place)
