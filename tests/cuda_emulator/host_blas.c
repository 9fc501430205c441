/* The host's BLAS and LAPACK for the emulated cuBLAS and cuSOLVER, loaded when first needed (as the CPU
 * backend does, from the names that CMake found). One thread: several suites run at once. */
#define _GNU_SOURCE
#include "private.h"
#include "saddlescope_config.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void gemm32(const char *, const char *, const int *, const int *, const int *, const float *,
                    const float *, const int *, const float *, const int *, const float *, float *,
                    const int *, size_t, size_t);
typedef void gemm64(const char *, const char *, const int *, const int *, const int *, const double *,
                    const double *, const int *, const double *, const int *, const double *, double *,
                    const int *, size_t, size_t);
typedef void syevd64(const char *, const char *, const int *, double *, const int *, double *, double *,
                     const int *, int *, const int *, int *, size_t, size_t);

static struct {
    bool     tried;
    gemm32  *sgemm;
    gemm64  *dgemm;
    syevd64 *dsyevd;
    int (*get_threads)(void);
    void (*set_threads)(int);
} host;

static bool find(void *library, const char *name, void *slot)
{
    void *symbol = library ? dlsym(library, name) : NULL;
    if (symbol) memcpy(slot, &symbol, sizeof symbol);
    return symbol;
}

static void load(void)
{
    if (host.tried) return;
    host.tried = true;
    const char *names[] = { SS_BLAS_LIBRARY, "libopenblas.so.0", "libblas.so.3" };
    void       *blas = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !blas; i++)
        blas = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    bool found = find(blas, "sgemm_", &host.sgemm) && find(blas, "dgemm_", &host.dgemm);
    if (!find(blas, "dsyevd_", &host.dsyevd) &&
        !find(dlopen(SS_LAPACK_LIBRARY, RTLD_NOW), "dsyevd_", &host.dsyevd))
        found = false;
    if (!found) {
        fprintf(stderr, "CUDA emulator: no BLAS with LAPACK found (%s)\n", SS_BLAS_LIBRARY);
        abort();
    }
    if (!find(blas, "openblas_get_num_threads", &host.get_threads) ||
        !find(blas, "openblas_set_num_threads", &host.set_threads))
        host.get_threads = NULL;
}

/* Returns the thread count to restore. */
static int single_thread(void)
{
    load();
    int before = host.get_threads ? host.get_threads() : 0;
    if (before > 1) host.set_threads(1);
    return before;
}

static void restore(int threads)
{
    if (threads > 1) host.set_threads(threads);
}

static bool fits(int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f)
{
    return a <= INT_MAX && b <= INT_MAX && c <= INT_MAX && d <= INT_MAX && e <= INT_MAX && f <= INT_MAX;
}

#define GEMM(function)                                                                                       \
    if (!fits(m, n, k, lda, ldb, ldc)) return false;                                                         \
    int before = single_thread();                                                                            \
    int m_ = (int)m, n_ = (int)n, k_ = (int)k, lda_ = (int)lda, ldb_ = (int)ldb, ldc_ = (int)ldc;            \
    host.function(&ta, &tb, &m_, &n_, &k_, &alpha, a, &lda_, b, &ldb_, &beta, c, &ldc_, 1, 1);               \
    restore(before);                                                                                         \
    return true

bool emu_sgemm(char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
               const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    GEMM(sgemm);
}

bool emu_dgemm(char ta, char tb, int64_t m, int64_t n, int64_t k, double alpha, const double *a, int64_t lda,
               const double *b, int64_t ldb, double beta, double *c, int64_t ldc)
{
    GEMM(dgemm);
}

int emu_syevd(bool vectors, bool upper, int n, double *a, int lda, double *w)
{
    int before = single_thread(), lwork = 66 * n + 1 + (vectors ? 6 * n + 2 * n * n : n), liwork = 3 + 5 * n;
    int info = 0;
    double *work = emu_allocate((size_t)lwork * sizeof *work);
    int    *iwork = emu_allocate((size_t)liwork * sizeof *iwork);
    host.dsyevd(vectors ? "V" : "N", upper ? "U" : "L", &n, a, &lda, w, work, &lwork, iwork, &liwork, &info,
                1, 1);
    free(work);
    free(iwork);
    restore(before);
    return info;
}
