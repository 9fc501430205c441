/* What every room of the house uses: failing with a message, memory, checked arithmetic, logging.
 *
 * The error idiom (after NCCL's checks.h and the ruled functions of GraphBLAS):
 *
 *     ss_status ss_thing_do(ss_context *context, ...)
 *     {
 *         ss_status status = SS_OK;
 *         SS_TRY(ss_other_do(context, ...));
 *         if (bad) SS_FAIL(context, SS_ERROR_INPUT, "%s: field '%s' must be positive, found %g", path, ...);
 *     fail:
 *         release;
 *         return status;
 *     }
 *
 * The first message since the last clear is kept; later ones on the way out are ignored. */
#ifndef SS_BASE_BASE_H
#define SS_BASE_BASE_H

#include "saddlescope/context.h"
#include "saddlescope/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Runs `call`; on failure leaves through the label `fail` with `status` set. */
#define SS_TRY(call)                                                                                         \
    do {                                                                                                     \
        status = (call);                                                                                     \
        if (status != SS_OK) goto fail;                                                                      \
    } while (0)

/* Records a message, sets `status` and leaves through `fail`. */
#define SS_FAIL(context, code, ...)                                                                          \
    do {                                                                                                     \
        status = ss_fail((context), (code), __VA_ARGS__);                                                    \
        goto fail;                                                                                           \
    } while (0)

/* Records the message unless one stands already; returns `code`. */
ss_status ss_fail(ss_context *context, ss_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

void ss_log(ss_context *context, ss_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));
void ss_progress(ss_context *context, const char *what, double done, double total, const char *remark);

/* ---- Memory: the one host allocator. Zero-filled, aligned to 256 bytes, size overflow-checked, counted.
 * ---- */

/* Allocates count elements of `size` bytes; count 0 gives a valid pointer. SS_ERROR_MEMORY with the wanted
 * size in the message, *memory NULL, when there is none. */
ss_status ss_allocate(ss_context *context, int64_t count, size_t size, void **memory);
/* Enlarges (or creates, when *memory is NULL) a block to hold `count` elements; new bytes are zero. On
 * failure the old block stays. */
ss_status ss_reallocate(ss_context *context, int64_t count, size_t size, void **memory);
void      ss_free(ss_context *context, void *memory); /* NULL is allowed */
/* Copy of a string, through the same allocator. */
ss_status ss_copy_string(ss_context *context, const char *text, char **copy);
/* printf into a fresh string. */
ss_status ss_format(ss_context *context, char **text, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* For allocators of other memory (a device's), before they ask for it: counts one allocation like the above
 * and says whether the test hook wants this one to fail. */
bool ss_allocation_fails(ss_context *context);
/* Bytes that they have handed out for the context; negative: taken back. */
void ss_count_memory(ss_context *context, int64_t bytes);

#define SS_NEW(context, pointer) ss_allocate((context), 1, sizeof **(pointer), (void **)(pointer))
#define SS_NEW_ARRAY(context, count, pointer)                                                                \
    ss_allocate((context), (count), sizeof **(pointer), (void **)(pointer))

/* ---- Checked arithmetic: false on overflow ---- */
static inline bool ss_add64(int64_t a, int64_t b, int64_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}
static inline bool ss_mul64(int64_t a, int64_t b, int64_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}
static inline int64_t ss_min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
static inline int64_t ss_max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}
static inline int64_t ss_round_up(int64_t value, int64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

/* Seconds of a monotonic clock. */
double ss_seconds(void);

/* Bytes of memory the process may still take: the least of physical free memory and the cgroup's limit. */
int64_t ss_memory_available(void);

#ifdef __cplusplus
}
#endif
#endif
