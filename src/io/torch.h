/* What the two halves of the reader of torch checkpoints share: torch_state.c chooses the tensors among the
 * values of the pickle, torch_zip.c finds their bytes. */
#ifndef SS_IO_TORCH_H
#define SS_IO_TORCH_H

#include "io/pickle.h"

typedef struct ss_torch_tensor {
    char                   *name;   /* in the state dict, cleaned; owned */
    const ss_pickle_tensor *tensor; /* borrowed from the pickle */
    int64_t                 member; /* of the zip file that is its storage */
    int64_t                 begin;  /* first byte in the storage */
    int64_t                 end;    /* behind the last byte in the storage; begin = it holds nothing */
    int64_t                 number; /* place in the state dict */
    const void             *data;   /* contiguous elements, little endian */
} ss_torch_tensor;

typedef struct ss_torch_state {
    ss_torch_tensor *tensors; /* [count]; owned */
    int64_t          count, room;
} ss_torch_state;

/* Chooses the dictionary that holds the weights, lists its tensors with their names, and keeps what else the
 * checkpoint says (archive->note, archive->scalars). Release in any case. */
ss_status ss_torch_choose(ss_archive *archive, ss_pickle_value *root, ss_torch_state *state);
void      ss_torch_release(ss_archive *archive, ss_torch_state *state);

#endif
