/* Models as Hugging Face keeps them: a folder with config.json and the weights, a Trainer's `checkpoint-N/`,
 * the folder of a PEFT adapter with the model that it changes, or the name of a repository, "org/name" or
 * "org/name@revision", that lies in the local cache. Nothing is downloaded.
 *
 * In the cache (huggingface_hub, "Understand caching") a snapshot's files are links into the blobs of the
 * same repository. Such links are followed; a link that leaves the repository, or the folder when it lies in
 * no cache, is refused. */
#ifndef SS_IO_HUGGINGFACE_H
#define SS_IO_HUGGINGFACE_H

#include "io/archive.h"
#include "io/json.h"

typedef struct ss_huggingface_options {
    const char *base;             /* the model that an adapter changes; NULL = what its config names */
    bool        weights_optional; /* a folder without weights is no error (they will be drawn) */
} ss_huggingface_options;

typedef struct ss_huggingface {
    ss_context *context;        /* borrowed */
    char       *folder;         /* of the model, ends with a slash; owned */
    char       *origin;         /* "org/name, snapshot 0123..." when it came from the cache, else ""; owned */
    ss_json    *config;         /* config.json; owned */
    char       *weights_path;   /* file or index; NULL = there are none; owned */
    ss_archive *weights;        /* NULL = there are none; owned (whoever takes it sets it to NULL) */
    char       *adapter_folder; /* of the adapter, ends with a slash; NULL = there is none; owned */
    ss_json    *adapter_config; /* adapter_config.json; owned */
    char       *adapter_path;   /* file of its tensors; owned */
    ss_archive *adapter;        /* its tensors; owned (whoever takes it sets it to NULL) */
} ss_huggingface;

/* Is this a source for ss_huggingface_open, rather than a network.json or a file? A folder that has no
 * network.json, or no path at all but the name of a repository. */
bool ss_huggingface_is_source(const char *source);

/* Opens config and weights. SS_ERROR_INPUT, naming file and field: nothing of that name, no config.json, no
 * weights (naming what the folder holds instead: DeepSpeed, DCP, Megatron, GGUF ...), a link that leaves the
 * folder, a wrong index of shards, quantised weights. *model is released by ss_huggingface_close in any case;
 * options may be NULL. */
ss_status ss_huggingface_open(ss_context *context, const char *source, const ss_huggingface_options *options,
                              ss_huggingface *model);
void      ss_huggingface_close(ss_huggingface *model);

/* The folder of the snapshot that a name means, ending with a slash, and a text that says which; both owned
 * by the caller. Looks below HF_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub,
 * ~/.cache/huggingface/hub, whichever is set first. */
ss_status ss_huggingface_find(ss_context *context, const char *name, char **folder, char **origin);

/* Could this be the name of a repository? One or two parts of letters, digits, '.', '_' and '-', and a
 * revision behind '@'. */
bool ss_huggingface_is_name(const char *text);

#endif
