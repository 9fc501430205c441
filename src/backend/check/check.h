/* The backend cpu-check: the CPU behind a wall, so that mistakes with device memory are found without a
 * device.
 *
 *     space.c       addresses that the host cannot touch, live blocks, and the shadows that hold their data
 *     call.c        one call of a primitive: operands are checked, copied between guards, compared afterwards
 *     primitives.c  what every primitive reads and writes, as operands
 *     rows.c        the same for rows by index, row by row and the router
 *     check.c       the class, bytes, opening and closing
 *
 * Found: host pointers, freed or foreign memory, ranges that leave their allocation, elements read before
 * they were written, writes outside an output (between rows, around it) or into an input, elements of an
 * output that were not written, outputs that overlap anything. All end in SS_ERROR_INTERNAL with primitive
 * and operand; a host dereference of a device pointer crashes. */
#ifndef SS_BACKEND_CHECK_CHECK_H
#define SS_BACKEND_CHECK_CHECK_H

#include "backend/cpu/cpu.h"

/* Opens the backend ("cpu-check"). */
ss_status ss_check_open(ss_context *context, ss_real real, ss_backend **backend);

typedef struct ss_check_backend {
    ss_backend  base;
    ss_backend *inner;       /* the cpu backend that computes; owned */
    bool        bad_release; /* memory was released that is not allocated: the next call fails */
    char        line[320];   /* describe() */
} ss_check_backend;

static inline ss_check_backend *ss_check(ss_backend *b)
{
    return (ss_check_backend *)b;
}

/* ---- space.c: the device's memory; one for the process, as a device has one ---- */

/* SS_ERROR_REFUSED when no address range can be reserved. */
ss_status ss_check_space_open(ss_context *context);
/* A block of `bytes` filled with poison of `real`; *address is 256-byte aligned and never given out again. */
ss_status ss_check_space_allocate(ss_context *context, int64_t bytes, ss_real real, void **address);
/* false if no live block begins at `address`. */
bool ss_check_space_release(ss_context *context, void *address);
/* Is this an address of the device, live or not? */
bool ss_check_space_holds(const void *address);
/* The shadow of `bytes` bytes at `address`, or NULL when they do not lie in one live block. */
char *ss_check_space_find(const void *address, int64_t bytes);

/* ---- call.c: one call of a primitive ---- */

typedef enum ss_check_role {
    SS_CHECK_READ,
    SS_CHECK_WRITE, /* every element must be written; the old ones are not shown to the primitive */
    SS_CHECK_UPDATE /* read and written */
} ss_check_role;

/* Lanes of rows of columns, with strides in elements. A row may be made of tokens, and those of heads, each
 * `cols` wide. */
typedef struct ss_check_operand {
    const char   *name;                               /* for messages */
    ss_check_role role;                               /* what the primitive may do */
    void        **pointer;                            /* where the primitive finds it: becomes the copy */
    int64_t       element;                            /* bytes */
    int64_t       lanes, rows, cols, ld, lane_stride; /* elements */
    int64_t       tokens, heads, token_stride, head_stride; /* 1, 1 and 0, 0 for a matrix */
    bool          partial;                                  /* may hold elements that were never written */
    const char   *address;                                  /* on the device */
    char         *shadow, *copy; /* data of the device; copy, behind its first guard */
    int64_t       span;          /* elements from the first to the last one */
} ss_check_operand;

#define SS_CHECK_OPERANDS 20

typedef struct ss_check_call {
    ss_backend      *b;
    const char      *primitive; /* for messages */
    ss_check_operand operand[SS_CHECK_OPERANDS];
    int              count;
} ss_check_call;

/* Adds an operand; NULL in *pointer: absent. */
void ss_check_add(ss_check_call *call, const char *name, ss_check_role role, void **pointer, int64_t element,
                  int64_t lanes, int64_t rows, int64_t cols, int64_t ld, int64_t lane_stride);
/* The same for a matrix of the real type; lanes with stride 0 are one. */
void ss_check_matrix(ss_check_call *call, const char *name, ss_check_role role, ss_matrix *m, int64_t lanes);
/* The same for heads. */
void ss_check_heads(ss_check_call *call, const char *name, ss_check_role role, ss_heads *h, int64_t lanes);
/* Checks all operands and points the primitive at copies of them. */
ss_status ss_check_begin(ss_check_call *call);
/* After the primitive, whatever its status: checks the copies, takes over the outputs, releases the copies.
 * Returns the first error of both. */
ss_status ss_check_end(ss_check_call *call, ss_status status);

/* ---- What the declarations of primitives (primitives.c, rows.c) are made of ---- */

/* Declares the call; `inner` computes. */
#define CALL(name) ss_check_call call = { .b = b, .primitive = name }
/* Runs the primitive of the inner backend between begin and end. */
#define RUN(primitive, ...)                                                                                  \
    ss_status   status = ss_check_begin(&call);                                                              \
    ss_backend *inner = ss_check(b)->inner;                                                                  \
    if (status == SS_OK) status = inner->class->primitive(inner, q, __VA_ARGS__);                            \
    return ss_check_end(&call, status)
/* Takes over and declares one matrix of a struct of operands: `problem` is the caller's, `p` the copy. */
#define USE(member, role, lanes)                                                                             \
    p.member = problem->member, ss_check_matrix(&call, #member, role, &p.member, lanes)

static inline ss_check_role ss_check_output(bool accumulate)
{
    return accumulate ? SS_CHECK_UPDATE : SS_CHECK_WRITE;
}

static inline int64_t ss_check_real_bytes(const ss_backend *b)
{
    return (int64_t)ss_real_size(b->real);
}

/* row_weight, class_id, indices and the like: arrays of 8-byte elements. */
static inline void ss_check_array(ss_check_call *call, const char *name, ss_check_role role, void **pointer,
                                  int64_t n)
{
    ss_check_add(call, name, role, pointer, 8, 1, 1, n, n, 0);
}

/* ---- primitives.c: the primitives of the cpu (its table names them), behind the wall ---- */
#define SS_CHECK_DECLARE(name, arguments) ss_status ss_checked_##name arguments;
SS_REAL_PRIMITIVES(SS_CHECK_DECLARE)
#undef SS_CHECK_DECLARE
ss_status ss_checked_convert(ss_backend *b, ss_queue *q, void *to, ss_real real, const void *from,
                             ss_type type, int64_t count, double scale, double shift);
ss_status ss_checked_symmetric_eigen(ss_backend *b, ss_queue *q, int64_t n, double *a, bool vectors,
                                     double *eigenvalues);

#endif
