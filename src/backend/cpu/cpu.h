/* The CPU backend, inside: the implementation's own struct, its helpers, and every primitive of both real
 * types. One file per family; cpu.c ties them into the two classes. */
#ifndef SS_BACKEND_CPU_CPU_H
#define SS_BACKEND_CPU_CPU_H

#include "backend/backend.h"

/* Instruction sets the kernels are compiled for (levels.h). */
typedef enum ss_cpu_level { SS_CPU_BASELINE, SS_CPU_AVX2, SS_CPU_AVX512 } ss_cpu_level;

typedef struct ss_cpu_backend {
    ss_backend   base;
    ss_cpu_level level;         /* of the kernels */
    double      *scratch;       /* [scratch_count], grown on demand by ss_cpu_scratch */
    int64_t      scratch_count; /* elements */
    char         line[256];     /* describe() */
} ss_cpu_backend;

static inline ss_cpu_backend *ss_cpu(ss_backend *b)
{
    return (ss_cpu_backend *)b;
}

/* Best level of this processor, lowered by SADDLESCOPE_SIMD=baseline|avx2|avx512. */
ss_cpu_level ss_cpu_best_level(void);
const char  *ss_cpu_level_name(ss_cpu_level level);

/* At least `count` doubles, not initialised, valid until the next call. */
ss_status ss_cpu_scratch(ss_backend *b, int64_t count, double **scratch);

/* Threads to use for `work` elementary operations: 1 below a threshold, so that small networks do not pay for
 * waking threads; never part of a result. */
int ss_cpu_threads(const ss_backend *b, int64_t work);
/* Sees to it, once per process, that idle OpenMP threads sleep soon (waiting.c). */
void ss_cpu_wait_quietly(void);

/* Opens the backend ("cpu"); sets base.name to "cpu". */
ss_status ss_cpu_open(ss_context *context, ss_real real, ss_backend **backend);

/* ---- Blocks: every loop is cut in blocks by shape alone, so that results do not depend on threads ---- */
#define SS_CPU_BLOCK 8192 /* elements of a long vector or a contiguous matrix per block */

static inline int64_t ss_cpu_blocks(int64_t n, int64_t block)
{
    return (n + block - 1) / block;
}

/* Element (lane, row, 0) of a matrix as bytes; NULL stays NULL. */
static inline void *ss_cpu_row(const ss_matrix *m, int64_t lane, int64_t row, size_t element)
{
    return m->data ? (char *)m->data + (lane * m->lane_stride + row * m->ld) * (int64_t)element : NULL;
}

/* An operand of a result with `rows` rows: a single row is broadcast. */
static inline ss_matrix ss_cpu_operand(const ss_matrix *m, int64_t rows)
{
    ss_matrix operand = *m;
    if (m->rows <= 1 && rows > 1) operand.ld = 0;
    operand.rows = rows;
    return operand;
}

/* Can every lane be walked as one row of rows * cols elements? (An absent matrix can.) */
static inline bool ss_cpu_flat(const ss_matrix *m)
{
    return !m->data || m->rows <= 1 || m->ld == m->cols;
}

/* ---- Primitives of both real types: contracts in backend.h ---- */
#define SS_CPU_DECLARE(name, arguments)                                                                      \
    ss_status ss_cpu_##name##_32 arguments;                                                                  \
    ss_status ss_cpu_##name##_64 arguments;
SS_REAL_PRIMITIVES(SS_CPU_DECLARE)
#undef SS_CPU_DECLARE

/* to[i] := scale from[i] + shift, in float64 on the way (convert_real.c; SS_REAL_BITS is the type of `to`).
 */
void ss_cpu_convert_32(int threads, void *to, const void *from, ss_type type, int64_t count, double scale,
                       double shift);
void ss_cpu_convert_64(int threads, void *to, const void *from, ss_type type, int64_t count, double scale,
                       double shift);

int64_t ss_cpu_attention_workspace(ss_backend *b, const ss_attention *p);

ss_status ss_cpu_symmetric_eigen(ss_backend *b, ss_queue *q, int64_t n, double *a, bool vectors,
                                 double *eigenvalues);

#endif
