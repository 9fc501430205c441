/* A kernel launch as the emulator's library sees it; made by emulator_launch.h. */
#ifndef SS_EMULATOR_KERNEL_H
#define SS_EMULATOR_KERNEL_H

#include "emulator_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An aligned 8-byte word of a kernel's parameters: where a pointer can be. */
typedef struct ss_emulator_word {
    uint64_t *at;
    int       pointer; /* 1: a parameter of pointer type; 0: part of a structure, perhaps padding */
    int       cleared; /* 1: padding holds zeros */
} ss_emulator_word;

typedef struct ss_emulator_kernel {
    const char *name, *file; /* as written in SS_LAUNCH */
    int         line;
    dim3        grid, block;
    size_t      shared;    /* dynamic shared memory, bytes */
    const void *function;  /* the address that cudaFuncSetAttribute knows it by */
    void       *arguments; /* owned; freed by release */
    size_t      arguments_bytes;
    void (*run)(const void *arguments);
    void (*release)(void *arguments);
    size_t            n_words;
    ss_emulator_word *words; /* [n_words] owned, freed by free() */
} ss_emulator_kernel;

/* Takes ownership of arguments and words. The error, if any, is what cudaGetLastError returns next. */
void ss_emulator_launch(const ss_emulator_kernel *kernel, cudaStream_t stream);

/* Memory of the running block for the declaration known by `key`: the same for all its threads. */
void *ss_emulator_shared(const void *key, size_t bytes, size_t align, const char *name);
/* The block's dynamic shared memory. */
void *ss_emulator_dynamic_shared(size_t align);
/* Room for `count` entries of ss_emulator_kernel.words. */
ss_emulator_word *ss_emulator_word_list(size_t count);

#ifdef __cplusplus
}
#endif
#endif
