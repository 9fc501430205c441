/* cuBLAS on the host: cuBLAS's argument checks, operands rounded as the compute type asks, the product by the
 * host's BLAS. Every operand must lie inside one allocation: a leading dimension of the wrong matrix shows.
 */
#include "private.h"
#include "cublas_v2.h"

#include <stdlib.h>
#include <string.h>

#define CUBLAS_MAGIC    UINT64_C(0x6375626c61732121)
#define WORKSPACE_SPOIL ((size_t)4096) /* bytes of the user's workspace that every product overwrites */

struct cublasContext {
    uint64_t            magic;
    cudaStream_t        stream;
    cublasMath_t        math;
    cublasPointerMode_t pointer;
    cublasAtomicsMode_t atomics;
    void               *workspace;
    size_t              workspace_bytes;
};

typedef enum rounding { EXACT, TF32, BF16, FP16 } rounding;

typedef struct gemm {
    bool         ta, tb, device_scalars, f64;
    rounding     round;
    int64_t      m, n, k, lda, ldb, ldc, stride_a, stride_b, stride_c, batch;
    double       alpha, beta;
    const void  *alpha_at, *beta_at; /* device pointer mode */
    const void  *a, *b;
    void        *c, *workspace;
    cudaDataType a_type, b_type, c_type;
} gemm;

static int64_t n_handles;
int64_t        emu_cublas_count(void)
{
    return n_handles;
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    emu_looked_at((int)status, "cublas");
    switch (status) {
#define ROW(name, value, text)                                                                               \
    case name: return text;
        SS_EMULATOR_CUBLAS_STATUS_TABLE(ROW)
#undef ROW
    }
    return "unknown cublas status";
}

const char *cublasGetStatusName(cublasStatus_t status)
{
    emu_looked_at((int)status, "cublas");
    switch (status) {
#define ROW(name, value, text)                                                                               \
    case name: return #name;
        SS_EMULATOR_CUBLAS_STATUS_TABLE(ROW)
#undef ROW
    }
    return "unknown cublas status";
}

/* ---- Handles ---- */
static cublasStatus_t leave(cublasStatus_t status)
{
    if (status == CUBLAS_STATUS_SUCCESS && emu_sticky()) status = CUBLAS_STATUS_EXECUTION_FAILED;
    emu_unlock();
    return status;
}

static bool valid(cublasHandle_t handle)
{
    return handle && handle->magic == CUBLAS_MAGIC;
}

#define ENTER(handle, failure)                                                                               \
    do {                                                                                                     \
        if (emu_enter_library(__func__)) return leave(failure);                                              \
        if (!valid(handle)) return leave(CUBLAS_STATUS_NOT_INITIALIZED);                                     \
    } while (0)

#undef cublasCreate
#undef cublasDestroy
#undef cublasGetVersion
#undef cublasSetStream
#undef cublasGetStream
#undef cublasSetWorkspace
#undef cublasSetPointerMode
#undef cublasGetPointerMode
#undef cublasSgemm
#undef cublasDgemm
#undef cublasSgemm_64
#undef cublasDgemm_64

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle)
{
    if (emu_enter_library("cublasCreate")) return leave(CUBLAS_STATUS_ALLOC_FAILED);
    if (!handle) return leave(CUBLAS_STATUS_INVALID_VALUE);
    if (emu_capture_forbids()) {
        emu_capture_breaks(cudaErrorStreamCaptureUnsupported);
        return leave(CUBLAS_STATUS_NOT_INITIALIZED);
    }
    if (emu_set()->devices < 1) return leave(CUBLAS_STATUS_NOT_INITIALIZED);
    cublasHandle_t h = emu_allocate(sizeof *h);
    h->magic = CUBLAS_MAGIC;
    n_handles++;
    *handle = h;
    return leave(CUBLAS_STATUS_SUCCESS);
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle)
{
    bool fails = emu_enter_library("cublasDestroy");
    if (!valid(handle)) return leave(CUBLAS_STATUS_NOT_INITIALIZED);
    if (!emu_capture_forbids()) emu_drain_all();
    handle->magic = 0;
    free(handle);
    n_handles--;
    return leave(fails ? CUBLAS_STATUS_INTERNAL_ERROR : CUBLAS_STATUS_SUCCESS);
}

cublasStatus_t cublasGetVersion_v2(cublasHandle_t handle, int *version)
{
    ENTER(handle, CUBLAS_STATUS_INTERNAL_ERROR);
    if (!version) return leave(CUBLAS_STATUS_INVALID_VALUE);
    *version = CUBLAS_VERSION;
    return leave(CUBLAS_STATUS_SUCCESS);
}

cublasStatus_t cublasGetProperty(libraryPropertyType type, int *value)
{
    if (emu_enter_library(__func__)) return leave(CUBLAS_STATUS_INTERNAL_ERROR);
    if (!value) return leave(CUBLAS_STATUS_INVALID_VALUE);
    *value = type == MAJOR_VERSION   ? CUBLAS_VERSION / 10000
             : type == MINOR_VERSION ? CUBLAS_VERSION / 100 % 100
                                     : 0;
    return leave(CUBLAS_STATUS_SUCCESS);
}

/* As cuBLAS: another stream puts the workspace back to cuBLAS's own. */
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t streamId)
{
    ENTER(handle, CUBLAS_STATUS_INTERNAL_ERROR);
    if (!emu_stream_valid(streamId)) return leave(CUBLAS_STATUS_INVALID_VALUE);
    handle->stream = streamId;
    handle->workspace = NULL;
    handle->workspace_bytes = 0;
    return leave(CUBLAS_STATUS_SUCCESS);
}

cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, cudaStream_t *streamId)
{
    ENTER(handle, CUBLAS_STATUS_INTERNAL_ERROR);
    if (!streamId) return leave(CUBLAS_STATUS_INVALID_VALUE);
    *streamId = handle->stream;
    return leave(CUBLAS_STATUS_SUCCESS);
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t workspaceSizeInBytes)
{
    ENTER(handle, CUBLAS_STATUS_INTERNAL_ERROR);
    if (workspaceSizeInBytes && !emu_memory_alias(workspace, workspaceSizeInBytes))
        return leave(CUBLAS_STATUS_INVALID_VALUE);
    if ((uintptr_t)workspace % EMU_ALIGNMENT) return leave(CUBLAS_STATUS_INVALID_VALUE);
    handle->workspace = workspaceSizeInBytes ? workspace : NULL;
    handle->workspace_bytes = workspaceSizeInBytes;
    return leave(CUBLAS_STATUS_SUCCESS);
}

#define SETTER(name, type, member, legal)                                                                    \
    cublasStatus_t cublasSet##name(cublasHandle_t handle, type mode)                                         \
    {                                                                                                        \
        ENTER(handle, CUBLAS_STATUS_INTERNAL_ERROR);                                                         \
        if (!(legal)) return leave(CUBLAS_STATUS_INVALID_VALUE);                                             \
        handle->member = mode;                                                                               \
        return leave(CUBLAS_STATUS_SUCCESS);                                                                 \
    }                                                                                                        \
    cublasStatus_t cublasGet##name(cublasHandle_t handle, type *mode)                                        \
    {                                                                                                        \
        ENTER(handle, CUBLAS_STATUS_INTERNAL_ERROR);                                                         \
        if (!mode) return leave(CUBLAS_STATUS_INVALID_VALUE);                                                \
        *mode = handle->member;                                                                              \
        return leave(CUBLAS_STATUS_SUCCESS);                                                                 \
    }
SETTER(MathMode, cublasMath_t, math, ((unsigned)mode & ~16u) <= CUBLAS_TF32_TENSOR_OP_MATH)
SETTER(PointerMode_v2, cublasPointerMode_t, pointer, (unsigned)mode <= 1)
SETTER(AtomicsMode, cublasAtomicsMode_t, atomics, (unsigned)mode <= 1)

/* ---- Rounding ---- */
static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t to_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* float32 with its last `drop` mantissa bits rounded away: to nearest, ties to even or away from zero. */
static float shorten(float x, int drop, bool ties_away)
{
    uint32_t bits = to_bits(x), half = 1u << (drop - 1);
    if ((bits & 0x7f800000u) == 0x7f800000u) return x;
    bits += ties_away ? half : half - 1 + (bits >> drop & 1u);
    return from_bits(bits & ~((1u << drop) - 1));
}

static float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 31u, mantissa = h & 1023u;
    if (exponent == 31) return from_bits(sign | 0x7f800000u | mantissa << 13);
    if (exponent) return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    float x = (float)mantissa * 0x1p-24f;
    return sign ? -x : x;
}

static uint16_t float_to_half(float x)
{
    uint32_t bits = to_bits(x), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (size >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* from 65520 on: infinity */
    if (size < 0x38800000u) {                                   /* below 2^-14: a multiple of 2^-24 */
        float magic = from_bits(size) + 0.5f;
        return (uint16_t)(sign | (to_bits(magic) - to_bits(0.5f)));
    }
    size += 0xfffu + (size >> 13 & 1u);
    return (uint16_t)(sign | (size - 0x38000000u) >> 13);
}

static float rounded(float x, rounding round)
{
    switch (round) {
    case TF32: return shorten(x, 13, true);
    case BF16: return shorten(x, 16, false);
    case FP16: return half_to_float(float_to_half(x));
    case EXACT: break;
    }
    return x;
}

static size_t size_of(cudaDataType type)
{
    return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2;
}

static float load(const void *at, cudaDataType type)
{
    uint16_t half;
    float    x;
    if (type == CUDA_R_32F) {
        memcpy(&x, at, sizeof x);
        return x;
    }
    memcpy(&half, at, sizeof half);
    return type == CUDA_R_16F ? half_to_float(half) : from_bits((uint32_t)half << 16);
}

static void store(void *at, cudaDataType type, float x)
{
    uint16_t half = type == CUDA_R_16F ? float_to_half(x) : (uint16_t)(to_bits(shorten(x, 16, false)) >> 16);
    if (type == CUDA_R_32F)
        memcpy(at, &x, sizeof x);
    else
        memcpy(at, &half, sizeof half);
}

/* rows x cols of `type`, `ld` apart, as rounded float32 without gaps; owned by the caller. */
static float *packed(const char *from, cudaDataType type, int64_t rows, int64_t cols, int64_t ld,
                     rounding round)
{
    float *to = emu_allocate((size_t)(rows * cols) * sizeof *to);
    for (int64_t j = 0; j < cols; j++)
        for (int64_t i = 0; i < rows; i++)
            to[j * rows + i] = rounded(load(from + (size_t)(j * ld + i) * size_of(type), type), round);
    return to;
}

/* ---- The product ---- */
static int64_t at_least_one(int64_t x)
{
    return x < 1 ? 1 : x;
}

/* Where an operand can be read by the host: all of its batch must lie in one allocation, or be pinned. */
static char *operand(const gemm *g, const char *name, const void *pointer, cudaDataType type, int64_t rows,
                     int64_t cols, int64_t ld, int64_t stride)
{
    int64_t last = (g->batch - 1) * stride, begin = last < 0 ? last : 0, end = last < 0 ? 0 : last;
    size_t  unit = size_of(type);
    if (rows == 0 || cols == 0) return (char *)(uintptr_t)8; /* not touched */
    end += (cols - 1) * ld + rows;
    const char *first = (const char *)pointer + begin * (int64_t)unit;
    size_t      bytes = (size_t)(end - begin) * unit;
    char       *alias = emu_memory_alias(first, bytes);
    if (!alias && emu_pinned(first, bytes)) return (char *)(uintptr_t)pointer;
    if (alias) return alias - begin * (int64_t)unit;
    char place[300] = "not device memory";
    if (emu_memory_contains((uintptr_t)first)) emu_memory_describe((uintptr_t)first, place, sizeof place);
    emu_report(
        "gemm: operand %s (%lld x %lld, leading dimension %lld, %lld times, %zu bytes) begins at %p, %s, and "
        "leaves it",
        name, (long long)rows, (long long)cols, (long long)ld, (long long)g->batch, bytes,
        (const void *)first, place);
    emu_stick(cudaErrorIllegalAddress);
    return NULL;
}

static bool scalar(const gemm *g, const void *at, double value, double *out)
{
    *out = value;
    if (!g->device_scalars) return true;
    const void *alias = emu_memory_alias(at, g->f64 ? 8 : 4);
    float       x;
    if (!alias) {
        emu_report("gemm: a scalar in device pointer mode is not in device memory");
        emu_stick(cudaErrorIllegalAddress);
        return false;
    }
    if (g->f64) {
        memcpy(out, alias, sizeof *out);
    } else {
        memcpy(&x, alias, sizeof x);
        *out = (double)x;
    }
    return true;
}

static bool product32(const gemm *g, const char *a, const char *b, char *c, double alpha, double beta)
{
    const int64_t ra = g->ta ? g->k : g->m, ca = g->ta ? g->m : g->k, rb = g->tb ? g->n : g->k,
                  cb = g->tb ? g->k : g->n;
    const char ta = g->ta ? 'T' : 'N', tb = g->tb ? 'T' : 'N';
    if (g->round == EXACT && g->a_type == CUDA_R_32F && g->b_type == CUDA_R_32F && g->c_type == CUDA_R_32F)
        return emu_sgemm(ta, tb, g->m, g->n, g->k, (float)alpha, (const float *)(const void *)a, g->lda,
                         (const float *)(const void *)b, g->ldb, (float)beta, (float *)(void *)c, g->ldc);
    float *pa = packed(a, g->a_type, ra, ca, g->lda, g->round);
    float *pb = packed(b, g->b_type, rb, cb, g->ldb, g->round);
    float *pc = beta == 0.0 ? emu_allocate((size_t)(g->m * g->n) * sizeof *pc)
                            : packed(c, g->c_type, g->m, g->n, g->ldc, EXACT);
    bool fine = emu_sgemm(ta, tb, g->m, g->n, g->k, (float)alpha, pa, at_least_one(ra), pb, at_least_one(rb),
                          (float)beta, pc, at_least_one(g->m));
    for (int64_t j = 0; j < g->n && fine; j++)
        for (int64_t i = 0; i < g->m; i++)
            store(c + (size_t)(j * g->ldc + i) * size_of(g->c_type), g->c_type, pc[j * g->m + i]);
    free(pa);
    free(pb);
    free(pc);
    return fine;
}

static void run_gemm(void *data)
{
    const gemm *g = data;
    double      alpha, beta;
    if (!scalar(g, g->alpha_at, g->alpha, &alpha) || !scalar(g, g->beta_at, g->beta, &beta)) return;
    if (g->m == 0 || g->n == 0 || g->batch == 0) return;
    char *a = operand(g, "A", g->a, g->a_type, g->ta ? g->k : g->m, g->ta ? g->m : g->k, g->lda, g->stride_a);
    char *b = operand(g, "B", g->b, g->b_type, g->tb ? g->n : g->k, g->tb ? g->k : g->n, g->ldb, g->stride_b);
    char *c = operand(g, "C", g->c, g->c_type, g->m, g->n, g->ldc, g->stride_c);
    if (!a || !b || !c) return;
    if (g->workspace) {
        void *workspace = emu_memory_alias(g->workspace, WORKSPACE_SPOIL);
        if (workspace) emu_memory_fill(workspace, WORKSPACE_SPOIL);
    }
    for (int64_t i = 0; i < g->batch; i++) {
        const char *ai = a + i * g->stride_a * (int64_t)size_of(g->a_type);
        const char *bi = b + i * g->stride_b * (int64_t)size_of(g->b_type);
        char       *ci = c + i * g->stride_c * (int64_t)size_of(g->c_type);
        bool        fine;
        if (g->f64)
            fine = emu_dgemm(g->ta ? 'T' : 'N', g->tb ? 'T' : 'N', g->m, g->n, g->k, alpha,
                             (const double *)(const void *)ai, g->lda, (const double *)(const void *)bi,
                             g->ldb, beta, (double *)(void *)ci, g->ldc);
        else
            fine = product32(g, ai, bi, ci, alpha, beta);
        if (!fine) {
            emu_report("gemm: the host's BLAS takes extents below 2^31 only");
            emu_stick(cudaErrorNotSupported);
            return;
        }
    }
}

/* ---- Calls ---- */
static bool legal_types(const gemm *g, cublasComputeType_t compute)
{
    bool same = g->a_type == g->b_type;
    switch (compute) {
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC: return same && g->a_type == CUDA_R_64F && g->c_type == CUDA_R_64F;
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
        return same && (g->a_type == CUDA_R_32F || g->a_type == CUDA_R_16F || g->a_type == CUDA_R_16BF) &&
               (g->c_type == CUDA_R_32F || g->c_type == g->a_type);
    case CUBLAS_COMPUTE_32F_FAST_TF32:
    case CUBLAS_COMPUTE_32F_FAST_16BF:
    case CUBLAS_COMPUTE_32F_FAST_16F: return same && g->a_type == CUDA_R_32F && g->c_type == CUDA_R_32F;
    default: return false;
    }
}

static rounding rounding_of(cublasHandle_t handle, const gemm *g, cublasComputeType_t compute)
{
    if (g->a_type != CUDA_R_32F) return EXACT;
    switch (compute) {
    case CUBLAS_COMPUTE_32F_FAST_TF32: return TF32;
    case CUBLAS_COMPUTE_32F_FAST_16BF: return BF16;
    case CUBLAS_COMPUTE_32F_FAST_16F: return FP16;
    case CUBLAS_COMPUTE_32F:
        return ((unsigned)handle->math & 15u) == CUBLAS_TF32_TENSOR_OP_MATH ? TF32 : EXACT;
    default: return EXACT;
    }
}

static cublasStatus_t submit(const char *name, cublasHandle_t handle, cublasOperation_t ta,
                             cublasOperation_t tb, const void *alpha, const void *beta,
                             cublasComputeType_t compute, gemm model)
{
    if (emu_enter_library(name)) return leave(CUBLAS_STATUS_EXECUTION_FAILED);
    if (!valid(handle)) return leave(CUBLAS_STATUS_NOT_INITIALIZED);
    gemm *g = &model;
    if ((unsigned)ta > 2 || (unsigned)tb > 2) return leave(CUBLAS_STATUS_INVALID_VALUE);
    g->ta = ta != CUBLAS_OP_N;
    g->tb = tb != CUBLAS_OP_N;
    if (g->m < 0 || g->n < 0 || g->k < 0 || g->batch < 0) return leave(CUBLAS_STATUS_INVALID_VALUE);
    if (g->lda < at_least_one(g->ta ? g->k : g->m) || g->ldb < at_least_one(g->tb ? g->n : g->k) ||
        g->ldc < at_least_one(g->m))
        return leave(CUBLAS_STATUS_INVALID_VALUE);
    if (!legal_types(g, compute)) return leave(CUBLAS_STATUS_NOT_SUPPORTED);
    if (!alpha || !beta) return leave(CUBLAS_STATUS_INVALID_VALUE);
    if (g->m == 0 || g->n == 0 || g->batch == 0) return leave(CUBLAS_STATUS_SUCCESS);
    if (!g->c || (g->k && (!g->a || !g->b))) return leave(CUBLAS_STATUS_INVALID_VALUE);
    if (g->batch > 1 && g->stride_c == 0) {
        emu_report("%s: %lld products write to one C (stride 0)", name, (long long)g->batch);
        return leave(CUBLAS_STATUS_INVALID_VALUE);
    }
    g->f64 = compute == CUBLAS_COMPUTE_64F || compute == CUBLAS_COMPUTE_64F_PEDANTIC;
    g->round = rounding_of(handle, g, compute);
    g->device_scalars = handle->pointer == CUBLAS_POINTER_MODE_DEVICE;
    g->workspace = handle->workspace_bytes >= WORKSPACE_SPOIL ? handle->workspace : NULL;
    g->alpha_at = alpha;
    g->beta_at = beta;
    if (!g->device_scalars) {
        if (emu_memory_contains((uintptr_t)alpha) || emu_memory_contains((uintptr_t)beta)) {
            emu_report("%s: a scalar in host pointer mode is in device memory", name);
            return leave(CUBLAS_STATUS_INVALID_VALUE);
        }
        g->alpha = g->f64 ? *(const double *)alpha : (double)*(const float *)alpha;
        g->beta = g->f64 ? *(const double *)beta : (double)*(const float *)beta;
    }
    if (emu_stream_capturing(handle->stream) && !handle->workspace) {
        emu_report(
            "%s is captured with cuBLAS's own workspace: its allocations would become part of the graph",
            name);
        emu_capture_breaks(cudaErrorStreamCaptureUnsupported);
        return leave(CUBLAS_STATUS_INTERNAL_ERROR);
    }
    gemm *own = emu_allocate(sizeof *own);
    *own = model;
    cudaError_t error = emu_enqueue(handle->stream, emu_work_make(name, run_gemm, free, own));
    return leave(error ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS);
}

#define MODEL(real)                                                                                          \
    .m = m, .n = n, .k = k, .a = A, .b = B, .c = C, .lda = lda, .ldb = ldb, .ldc = ldc, .a_type = real,      \
    .b_type = real, .c_type = real
#define COMPUTE(real) ((real) == CUDA_R_64F ? CUBLAS_COMPUTE_64F : compute_of(handle))

/* The typed calls follow the handle's math mode; the pedantic one is exact as the default is here. */
static cublasComputeType_t compute_of(cublasHandle_t handle)
{
    return valid(handle) && handle->math == CUBLAS_PEDANTIC_MATH ? CUBLAS_COMPUTE_32F_PEDANTIC
                                                                 : CUBLAS_COMPUTE_32F;
}

#define GEMM(name, public, type, index, real)                                                                \
    cublasStatus_t name(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, index m,  \
                        index n, index k, const type *alpha, const type *A, index lda, const type *B,        \
                        index ldb, const type *beta, type *C, index ldc)                                     \
    {                                                                                                        \
        gemm model = { MODEL(real), .batch = 1 };                                                            \
        return submit(public, handle, transa, transb, alpha, beta, COMPUTE(real), model);                    \
    }
GEMM(cublasSgemm_v2, "cublasSgemm", float, int, CUDA_R_32F)
GEMM(cublasDgemm_v2, "cublasDgemm", double, int, CUDA_R_64F)
GEMM(cublasSgemm_v2_64, "cublasSgemm_64", float, int64_t, CUDA_R_32F)
GEMM(cublasDgemm_v2_64, "cublasDgemm_64", double, int64_t, CUDA_R_64F)

#define GEMM_STRIDED(name, type, index, real)                                                                \
    cublasStatus_t name(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, index m,  \
                        index n, index k, const type *alpha, const type *A, index lda,                       \
                        long long int strideA, const type *B, index ldb, long long int strideB,              \
                        const type *beta, type *C, index ldc, long long int strideC, index batchCount)       \
    {                                                                                                        \
        gemm model = { MODEL(real), .stride_a = strideA, .stride_b = strideB, .stride_c = strideC,           \
                       .batch = batchCount };                                                                \
        return submit(#name, handle, transa, transb, alpha, beta, COMPUTE(real), model);                     \
    }
GEMM_STRIDED(cublasSgemmStridedBatched, float, int, CUDA_R_32F)
GEMM_STRIDED(cublasDgemmStridedBatched, double, int, CUDA_R_64F)
GEMM_STRIDED(cublasSgemmStridedBatched_64, float, int64_t, CUDA_R_32F)
GEMM_STRIDED(cublasDgemmStridedBatched_64, double, int64_t, CUDA_R_64F)

#define EX_MODEL                                                                                             \
    .m = m, .n = n, .k = k, .a = A, .b = B, .c = C, .lda = lda, .ldb = ldb, .ldc = ldc, .a_type = Atype,     \
    .b_type = Btype, .c_type = Ctype
#define GEMM_EX(name, index)                                                                                 \
    cublasStatus_t name(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, index m,  \
                        index n, index k, const void *alpha, const void *A, cudaDataType Atype, index lda,   \
                        const void *B, cudaDataType Btype, index ldb, const void *beta, void *C,             \
                        cudaDataType Ctype, index ldc, cublasComputeType_t computeType,                      \
                        cublasGemmAlgo_t algo)                                                               \
    {                                                                                                        \
        (void)algo;                                                                                          \
        gemm model = { EX_MODEL, .batch = 1 };                                                               \
        return submit(#name, handle, transa, transb, alpha, beta, computeType, model);                       \
    }
GEMM_EX(cublasGemmEx, int)
GEMM_EX(cublasGemmEx_64, int64_t)

#define GEMM_STRIDED_EX(name, index)                                                                         \
    cublasStatus_t name(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, index m,  \
                        index n, index k, const void *alpha, const void *A, cudaDataType Atype, index lda,   \
                        long long int strideA, const void *B, cudaDataType Btype, index ldb,                 \
                        long long int strideB, const void *beta, void *C, cudaDataType Ctype, index ldc,     \
                        long long int strideC, index batchCount, cublasComputeType_t computeType,            \
                        cublasGemmAlgo_t algo)                                                               \
    {                                                                                                        \
        (void)algo;                                                                                          \
        gemm model = { EX_MODEL, .stride_a = strideA, .stride_b = strideB, .stride_c = strideC,              \
                       .batch = batchCount };                                                                \
        return submit(#name, handle, transa, transb, alpha, beta, computeType, model);                       \
    }
GEMM_STRIDED_EX(cublasGemmStridedBatchedEx, int)
GEMM_STRIDED_EX(cublasGemmStridedBatchedEx_64, int64_t)
