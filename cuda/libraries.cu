/* Loads cuBLAS and cuSOLVER: first wherever the run-time linker finds them, then where the toolkit lay when
 * this was built. Once per process; a failure is remembered. */
#include "libraries.cuh"

#ifdef SS_CUDA_EMULATOR
ss_status ss_cuda_load_cublas(ss_context *context)
{
    (void)context;
    return SS_OK;
}

ss_status ss_cuda_load_cusolver(ss_context *context)
{
    (void)context;
    return SS_OK;
}
#else
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#ifndef SS_CUDA_LIBRARY_DIRECTORY
#define SS_CUDA_LIBRARY_DIRECTORY "/usr/local/cuda/lib64"
#endif

ss_cuda_functions ss_cuda_function;

struct library {
    const char *name; /* with the major version this was compiled for */
    bool        tried, loaded;
    char        error[512];
};

#define TEXT_OF(x) #x
#define VERSION(x) TEXT_OF(x)
static library         cublas = { "libcublas.so." VERSION(CUBLAS_VER_MAJOR), false, false, "" };
static library         cusolver = { "libcusolver.so." VERSION(CUSOLVER_VER_MAJOR), false, false, "" };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *open_library(library *l)
{
    char  path[512];
    void *handle = dlopen(l->name, RTLD_NOW | RTLD_LOCAL);
    if (handle) return handle;
    snprintf(l->error, sizeof l->error, "%s", dlerror());
    snprintf(path, sizeof path, "%s/%s", SS_CUDA_LIBRARY_DIRECTORY, l->name);
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

/* A function's address into its place in the table; copied, as for every pointer from dlsym. */
static bool find(library *l, void *handle, const char *name, void *pointer)
{
    void *symbol = dlsym(handle, name);
    memcpy(pointer, &symbol, sizeof symbol);
    if (!symbol) snprintf(l->error, sizeof l->error, "%s has no %s", l->name, name);
    return symbol != nullptr;
}

/* Under the lock. */
static void load_cublas()
{
    void *handle = open_library(&cublas);
    cublas.tried = true;
    cublas.loaded = handle != nullptr;
#define FIND(name) cublas.loaded = cublas.loaded && find(&cublas, handle, #name, static_cast<void *>(&name));
    SS_CUBLAS_TABLE(FIND)
#undef FIND
}

static void load_cusolver()
{
    void *handle = open_library(&cusolver);
    cusolver.tried = true;
    cusolver.loaded = handle != nullptr;
#define FIND(name)                                                                                           \
    cusolver.loaded = cusolver.loaded && find(&cusolver, handle, #name, static_cast<void *>(&name));
    SS_CUSOLVER_TABLE(FIND)
#undef FIND
}

static ss_status load(ss_context *context, library *l, void (*load_it)())
{
    pthread_mutex_lock(&lock);
    if (!l->tried) load_it();
    pthread_mutex_unlock(&lock);
    return l->loaded
               ? SS_OK
               : ss_fail(context, SS_ERROR_REFUSED,
                         "device cuda: %s cannot be loaded (%s); install the CUDA libraries of this version",
                         l->name, l->error);
}

ss_status ss_cuda_load_cublas(ss_context *context)
{
    return load(context, &cublas, load_cublas);
}

ss_status ss_cuda_load_cusolver(ss_context *context)
{
    return load(context, &cusolver, load_cusolver);
}
#endif
