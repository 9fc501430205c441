/* The BLAS, LAPACK and oneDNN, loaded at run time with dlopen: a program can so correct the core that
 * OpenBLAS takes the processor for (ss_blas_prepare_environment) before the library looks at the environment.
 *
 * Which library multiplies float32 matrices is a fixed table of processor and library version (choose_sgemm),
 * overridden by SADDLESCOPE_SGEMM=openblas|onednn; float64 always goes through the BLAS. Loaded libraries
 * belong to the process, not to a context: their table is filled once, before anybody reads it, and never
 * changes. */
#include "backend/cpu/blas.h"
#include "backend/cpu/processor.h"
#include "saddlescope_config.h"

#include <dlfcn.h>
#include <limits.h>
#include <omp.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The Fortran interfaces, with the hidden lengths of their character arguments at the end. */
typedef void sgemm_function(const char *ta, const char *tb, const int *m, const int *n, const int *k,
                            const float *alpha, const float *a, const int *lda, const float *b,
                            const int *ldb, const float *beta, float *c, const int *ldc, size_t, size_t);
typedef void dgemm_function(const char *ta, const char *tb, const int *m, const int *n, const int *k,
                            const double *alpha, const double *a, const int *lda, const double *b,
                            const int *ldb, const double *beta, double *c, const int *ldc, size_t, size_t);
typedef void dsyevd_function(const char *job, const char *triangle, const int *n, double *a, const int *lda,
                             double *w, double *work, const int *lwork, int *iwork, const int *liwork,
                             int *info, size_t, size_t);
/* oneDNN: row-major; returns 0 on success. */
typedef int dnnl_sgemm_function(char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha,
                                const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
                                float *c, int64_t ldc);
typedef struct dnnl_version { /* head of dnnl_version_t */
    int major, minor, patch;
} dnnl_version;

static struct blas {
    sgemm_function      *sgemm;
    dgemm_function      *dgemm;
    dsyevd_function     *dsyevd;
    dnnl_sgemm_function *dnnl_sgemm;          /* NULL: not used */
    int (*get_threads)(void);                 /* OpenBLAS only, else NULL */
    void (*set_threads)(int threads);         /* OpenBLAS only, else NULL */
    int  threads_limit;                       /* OPENBLAS_NUM_THREADS, INT_MAX when not set */
    char line[512], warning[512], error[512]; /* "" when there is nothing to say */
} blas;

static pthread_once_t loaded = PTHREAD_ONCE_INIT;

/* A function pointer from dlsym; copied, because ISO C knows no cast from void *. */
static bool find(void *library, const char *name, void *function_pointer)
{
    void *symbol = library ? dlsym(library, name) : NULL;
    memcpy(function_pointer, &symbol, sizeof symbol);
    return symbol != NULL;
}

static void *open_library(const char *name)
{
    return *name ? dlopen(name, RTLD_NOW | RTLD_LOCAL) : NULL;
}

/* First of the candidates that holds the BLAS; LAPACK from the same library or from one of its own. */
static const char *load_blas(void **library)
{
    static const char *const names[] = { SS_BLAS_LIBRARY, "libopenblas.so.0", "libblas.so.3", NULL };
    static const char *const lapack_names[] = { SS_LAPACK_LIBRARY, "liblapack.so.3", NULL };
    const char *const       *name = names;
    while (*name) {
        *library = open_library(*name);
        if (find(*library, "sgemm_", &blas.sgemm) && find(*library, "dgemm_", &blas.dgemm)) break;
        name++;
    }
    if (!*name) {
        snprintf(blas.error, sizeof blas.error,
                 "no BLAS found (tried %s, libopenblas.so.0, libblas.so.3); install libopenblas0",
                 SS_BLAS_LIBRARY);
        return NULL;
    }
    bool lapack = find(*library, "dsyevd_", &blas.dsyevd);
    for (const char *const *other = lapack_names; !lapack && *other; other++)
        lapack = find(open_library(*other), "dsyevd_", &blas.dsyevd);
    if (!lapack)
        snprintf(blas.error, sizeof blas.error,
                 "no LAPACK found in %s, %s, liblapack.so.3; install liblapack3", *name, SS_LAPACK_LIBRARY);
    return *name;
}

/* float32 GEMM: oneDNN where it has kernels for the processor's vectors, otherwise the BLAS.
 *
 *     processor                              oneDNN >= 2.0     no or older oneDNN
 *     AVX-512 or AVX2 (any vendor)           oneDNN            BLAS
 *     other x86, other architectures         BLAS              BLAS
 *
 * On AVX2 neither is the faster one throughout; oneDNN shares its threads with the rest of this
 * program (OpenMP), whereas a BLAS with threads of its own has them compete for the cores at every change. */
static bool choose_sgemm(const ss_processor *p, const dnnl_version *version)
{
    const char *wish = getenv("SADDLESCOPE_SGEMM");
    if (wish && strcmp(wish, "openblas") == 0) return false;
    if (wish && strcmp(wish, "onednn") == 0) {
        if (!version) snprintf(blas.error, sizeof blas.error, "SADDLESCOPE_SGEMM=onednn: no oneDNN found");
        return version != NULL;
    }
    if (wish && *wish) {
        snprintf(blas.error, sizeof blas.error, "SADDLESCOPE_SGEMM must be openblas or onednn, found '%.32s'",
                 wish);
        return false;
    }
    return version && version->major >= 2 && (p->avx2 || p->avx512);
}

/* oneDNN's GEMM into the table if it is to be used; its version as text. */
static void load_dnnl(const ss_processor *p, char *text, size_t size)
{
    const dnnl_version *(*get_version)(void) = NULL;
    void               *library = open_library(SS_DNNL_LIBRARY);
    const dnnl_version *version = NULL;
    if (find(library, "dnnl_version", &get_version) && find(library, "dnnl_sgemm", &blas.dnnl_sgemm))
        version = get_version();
    if (version) snprintf(text, size, "oneDNN %d.%d.%d", version->major, version->minor, version->patch);
    if (!choose_sgemm(p, version)) blas.dnnl_sgemm = NULL;
}

/* "OpenBLAS 0.3.21" from openblas_get_config's "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ...". */
static void library_text(void *library, const char *name, char *text, size_t size)
{
    char *(*config)(void) = NULL;
    snprintf(text, size, "%s", name);
    if (!find(library, "openblas_get_config", &config)) return;
    snprintf(text, size, "%s", config());
    char *space = strchr(text, ' ');
    space = space ? strchr(space + 1, ' ') : NULL;
    if (space) *space = '\0';
}

static void load(void)
{
    void        *library = NULL;
    ss_processor processor;
    char         name[64] = "", core[32] = "", dnnl[48] = "";
    ss_processor_detect(&processor);
    const char *soname = load_blas(&library);
    if (!soname) return;
    library_text(library, soname, name, sizeof name);
    char *(*get_core)(void) = NULL;
    if (find(library, "openblas_get_corename", &get_core)) snprintf(core, sizeof core, "%s", get_core());
    if (!find(library, "openblas_get_num_threads", &blas.get_threads) ||
        !find(library, "openblas_set_num_threads", &blas.set_threads))
        blas.get_threads = NULL;
    const char *limit = getenv("OPENBLAS_NUM_THREADS");
    blas.threads_limit = limit && atoi(limit) > 0 ? atoi(limit) : INT_MAX;
    load_dnnl(&processor, dnnl, sizeof dnnl);

    snprintf(blas.line, sizeof blas.line, "%s%s%s%s; float32 GEMM: %s; float64 GEMM: %s", name,
             *core ? " (core " : "", core, *core ? ")" : "", blas.dnnl_sgemm ? dnnl : name, name);
    if (*core && ss_processor_core_is_poor(&processor, core))
        snprintf(blas.warning, sizeof blas.warning,
                 "%s uses its kernels for '%s', far below this processor (%s); set OPENBLAS_CORETYPE=%s",
                 name, core, *processor.brand ? processor.brand : processor.vendor,
                 processor.avx512 ? "SkylakeX" : "Haswell");
}

ss_status ss_blas_load(ss_context *context)
{
    pthread_once(&loaded, load);
    return *blas.error ? ss_fail(context, SS_ERROR_REFUSED, "%s", blas.error) : SS_OK;
}

ss_status ss_blas_describe(ss_context *context, const char **line, const char **warning)
{
    ss_status status = ss_blas_load(context);
    *line = blas.line;
    *warning = *blas.warning ? blas.warning : NULL;
    return status;
}

void ss_blas_prepare_environment(void)
{
    ss_processor processor;
    ss_processor_detect(&processor);
    const char *core = ss_processor_openblas_core(&processor);
    if (core) setenv("OPENBLAS_CORETYPE", core, 0); /* 0: what the user has set stands */
    /* OpenBLAS's idle threads spin for 2^timeout cycles; its default (2^26, some 25 ms) takes the cores away
     * from the loops between two products. */
    setenv("OPENBLAS_THREAD_TIMEOUT", "16", 0);
}

/* A Rayleigh matrix has order 64 or so: below this, handing out the work takes longer than doing it. */
#define SINGLE_THREAD_ORDER 256

#define STRIP_FLOPS    5e5 /* of a strip: some 15 microseconds, several times the cost of waking a thread */
#define STRIP_MULTIPLE 8   /* rows or columns; the kernels' register blocks are multiples or divisors */
#define MAXIMUM_STRIPS 64  /* OpenBLAS has work buffers for at least that many callers at once */

/* Gives OpenBLAS the context's thread count, at most `most`. */
static void follow_threads(ss_context *context, int most)
{
    int threads = ss_context_threads(context);
    if (threads > most) threads = most;
    if (threads > blas.threads_limit) threads = blas.threads_limit;
    if (blas.get_threads && blas.get_threads() != threads) blas.set_threads(threads);
}

static bool fits(const ss_gemm *g)
{
    int64_t largest = ss_max64(ss_max64(g->m, g->n), ss_max64(g->k, g->ldc));
    return ss_max64(largest, ss_max64(g->lda, g->ldb)) <= INT_MAX;
}

static ss_status too_large(ss_context *context, const ss_gemm *g)
{
    return ss_fail(context, SS_ERROR_REFUSED,
                   "matrix product of %lld x %lld x %lld: the BLAS takes extents below 2^31 only",
                   (long long)g->m, (long long)g->n, (long long)g->k);
}

static ss_status dnnl_product(ss_context *context, const ss_gemm *g, const float *a, const float *b, float *c)
{
    int before = omp_get_max_threads(), threads = ss_context_threads(context);
    if (before != threads) omp_set_num_threads(threads);
    int result = blas.dnnl_sgemm(g->transpose_a ? 'T' : 'N', g->transpose_b ? 'T' : 'N', g->m, g->n, g->k,
                                 (float)g->alpha, a, g->lda, b, g->ldb, (float)g->beta, c, g->ldc);
    if (before != threads) omp_set_num_threads(before);
    return result ? ss_fail(context, SS_ERROR_RUNTIME, "dnnl_sgemm failed with status %d", result) : SS_OK;
}

/* Row-major C = A B is column-major C' = B' A': the operands change places. */
#define FORTRAN_GEMM(type, function, g, a, b, c)                                                             \
    do {                                                                                                     \
        const char ta = (g)->transpose_a ? 'T' : 'N', tb = (g)->transpose_b ? 'T' : 'N';                     \
        const int  m = (int)(g)->m, n = (int)(g)->n, k = (int)(g)->k;                                        \
        const int  lda = (int)(g)->lda, ldb = (int)(g)->ldb, ldc = (int)(g)->ldc;                            \
        const type alpha = (type)(g)->alpha, beta = (type)(g)->beta;                                         \
        blas.function(&tb, &ta, &n, &m, &k, &alpha, b, &ldb, a, &lda, &beta, c, &ldc, 1, 1);                 \
    } while (0)

/* Threads for one product: OpenBLAS's own pool and ours (OpenMP) would fight for the cores at every change
 * from one to the other, so OpenBLAS keeps to one thread and the product is cut into strips of C, one a
 * thread. Another BLAS is left to itself. */
static int strips(ss_context *context, const ss_gemm *g)
{
    double  flops = 2.0 * (double)g->m * (double)g->n * (double)g->k;
    int64_t threads = ss_min64(ss_context_threads(context), MAXIMUM_STRIPS);
    if (!blas.get_threads) return 1;
    follow_threads(context, 1);
    threads = ss_min64(threads, (int64_t)fmin(flops / STRIP_FLOPS, MAXIMUM_STRIPS));
    return (int)ss_max64(1, ss_min64(threads, ss_max64(g->m, g->n) / STRIP_MULTIPLE));
}

/* Strip `i` of `count`: rows or columns of C, whichever there are more of, in whole multiples. Returns where
 * it begins and narrows the product to it; `by_rows` says which. */
static int64_t strip(ss_gemm *g, int i, int count, bool *by_rows)
{
    int64_t extent = ss_max64(g->m, g->n), units = (extent + STRIP_MULTIPLE - 1) / STRIP_MULTIPLE;
    int64_t begin = i * units / count * STRIP_MULTIPLE, end = (i + 1) * units / count * STRIP_MULTIPLE;
    *by_rows = g->m >= g->n;
    end = ss_min64(end, extent);
    if (*by_rows)
        g->m = end - begin;
    else
        g->n = end - begin;
    return begin;
}

#define STRIPPED_GEMM(type, function)                                                                        \
    do {                                                                                                     \
        int count = strips(context, g);                                                                      \
        _Pragma("omp parallel for schedule(static) num_threads(count) if (count > 1)") for (int i = 0;       \
                                                                                            i < count; i++)  \
        {                                                                                                    \
            ss_gemm     part = *g;                                                                           \
            bool        by_rows;                                                                             \
            int64_t     begin = strip(&part, i, count, &by_rows);                                            \
            const type *pa = a + (by_rows ? begin * (g->transpose_a ? 1 : g->lda) : 0);                      \
            const type *pb = b + (by_rows ? 0 : begin * (g->transpose_b ? g->ldb : 1));                      \
            FORTRAN_GEMM(type, function, &part, pa, pb, c + (by_rows ? begin * g->ldc : begin));             \
        }                                                                                                    \
    } while (0)

ss_status ss_blas_sgemm(ss_context *context, const ss_gemm *g, const float *a, const float *b, float *c)
{
    ss_status status = ss_blas_load(context);
    if (status != SS_OK) return status;
    if (blas.dnnl_sgemm) return dnnl_product(context, g, a, b, c);
    if (!fits(g)) return too_large(context, g);
    STRIPPED_GEMM(float, sgemm);
    return SS_OK;
}

ss_status ss_blas_dgemm(ss_context *context, const ss_gemm *g, const double *a, const double *b, double *c)
{
    ss_status status = ss_blas_load(context);
    if (status != SS_OK) return status;
    if (!fits(g)) return too_large(context, g);
    STRIPPED_GEMM(double, dgemm);
    return SS_OK;
}

void ss_blas_eigen_work(int64_t n, bool vectors, int64_t *work, int64_t *iwork)
{
    /* Lengths that LAPACK's documentation of dsyevd asks for; more room lets dsytrd work in blocks of 64. */
    *work = ss_max64(vectors ? 1 + 6 * n + 2 * n * n : 2 * n + 1, 66 * n + 1);
    *iwork = vectors ? 3 + 5 * n : 1;
}

ss_status ss_blas_eigen(ss_context *context, int64_t n, double *a, bool vectors, double *w, double *work,
                        int64_t n_work, int *iwork, int64_t n_iwork)
{
    ss_status status = ss_blas_load(context);
    if (status != SS_OK) return status;
    if (n_work > INT_MAX)
        return ss_fail(context, SS_ERROR_REFUSED, "eigenproblem of dimension %lld: LAPACK takes %d at most",
                       (long long)n, 32760);
    follow_threads(context, n <= SINGLE_THREAD_ORDER ? 1 : INT_MAX);
    const int order = (int)n, lwork = (int)n_work, liwork = (int)n_iwork;
    int       info = 0;
    blas.dsyevd(vectors ? "V" : "N", "L", &order, a, &order, w, work, &lwork, iwork, &liwork, &info, 1, 1);
    return info ? ss_fail(context, SS_ERROR_NUMERIC,
                          "symmetric eigenproblem of dimension %lld: dsyevd gave %d", (long long)n, info)
                : SS_OK;
}
