/* A network: architecture, weights, and which of its parameters are active.
 *
 * Sources: a folder with network.json and weights.safetensors (as scripts/export_torch.py writes it), a
 * network.json with a weights file, "mlp:64-16-10:tanh" with seeded weights; the folder of a Hugging Face
 * model (config.json and weights, or a LoRA adapter), "org/name[@revision]" in the local cache, a Trainer's
 * checkpoint-N/, or a nanoGPT ckpt.pt. Weights are stored arrays under the names of torch's state_dict;
 * parameters are sorted by name, and the active ones, one behind the other in that order, make up the
 * parameter vector.
 *
 * A transformer is built for the length of the data's sequences: ss_network_fit_data states it. */
#ifndef SADDLESCOPE_NETWORK_H
#define SADDLESCOPE_NETWORK_H

#include "saddlescope/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ss_network ss_network;

/* lambda of the term lambda/2 ||w||^2, for the parameters that match */
typedef struct ss_decay_rule {
    const char *glob;   /* shell pattern over the whole name, * matches dots; NULL = all parameters */
    double      lambda; /* >= 0 */
} ss_decay_rule;

typedef struct ss_network_options {
    const char        *weights; /* path of the weights file, NULL = weights.safetensors beside network.json */
    const char *const *include; /* [n_include] globs of active parameters; none = all */
    const char *const *exclude; /* [n_exclude] globs of frozen ones; they win */
    const ss_decay_rule *decay; /* [n_decay] applied in turn, later rules win */
    int32_t              n_include; /* patterns */
    int32_t              n_exclude; /* patterns */
    int32_t              n_decay;   /* rules */
    uint64_t             seed;      /* of the weights of mlp: networks */
    bool                 seeded;    /* seeded weights for every family: no weights file is read */

    /* Of transformers */
    int64_t            sequence_length; /* tokens per sequence; 0 = not known (images need none) */
    bool               has_mask;        /* the data's attention mask hides something */
    const char        *loss; /* chooses the head where a checkpoint names none; NULL = the family's first */
    const char        *base; /* the model that an adapter changes; NULL = what its configuration names */
    bool               init_random;  /* all weights start at random, whatever is stored */
    uint64_t           init_seed;    /* of that */
    const char *const *init_missing; /* [n_init_missing] "NAME:SEED": missing tensors of that name or below
                                        that module start at random */
    int32_t n_init_missing;          /* rules */
} ss_network_options;

typedef struct ss_dataset ss_dataset;

/* States what the data decide about a transformer: sequence_length and has_mask. */
void ss_network_fit_data(const ss_dataset *dataset, ss_network_options *options);

/* Opens a network. `options` NULL = defaults. SS_ERROR_INPUT naming file and field when the network or its
 * weights are not as expected, SS_ERROR_USAGE when a pattern matches no parameter. */
ss_status ss_network_open(ss_context *context, const char *source, const ss_network_options *options,
                          ss_network **network);
void      ss_network_close(ss_network *network); /* NULL allowed */

/* "sequential, 13 layers, 760 parameters in 16 tensors, F32"; owned by the network. */
const char *ss_network_description(const ss_network *network);
/* The source as it was given, and the weights file ("" for seeded weights); owned by the network. */
const char *ss_network_source(const ss_network *network);
const char *ss_network_weights(const ss_network *network);

/* The loss that the network was made for ("causal_lm", "masked_lm", "cross_entropy"), NULL = it does not say;
 * static. */
const char *ss_network_loss(const ss_network *network);

/* Token ids that the network knows: rows of its token table; 0 = it reads no tokens. */
int64_t ss_network_vocabulary(const ss_network *network);

/* Shapes of one sample at input and output; `shape` [SS_MAX_RANK] receives the extents. */
void ss_network_input_shape(const ss_network *network, int32_t *rank, int64_t *shape);
void ss_network_output_shape(const ss_network *network, int32_t *rank, int64_t *shape);

/* One parameter tensor, as `info` lists it. */
typedef struct ss_parameter_info {
    const char *name;               /* as in the weights file; owned by the network */
    ss_type     type;               /* stored type */
    int32_t     rank;               /* dimensions */
    int64_t     shape[SS_MAX_RANK]; /* [rank] */
    int64_t     count;              /* elements */
    bool        trainable;          /* false: a constant such as running statistics */
    bool        active;             /* part of the parameter vector */
    double      decay;              /* lambda */
    int64_t     canonical;          /* first element in the packed parameter vector, -1 if not active */
    int64_t     offset;             /* first element in the padded parameter vector, -1 if not active */
    int32_t     first_layer;        /* ordinal of the first layer that reads it */
} ss_parameter_info;

/* Number of parameter tensors, active or not, and tensor `index` in the order of names. */
int64_t ss_network_parameter_count(const ss_network *network);
void    ss_network_parameter(const ss_network *network, int64_t index, ss_parameter_info *info);

/* Dimension of the parameter vector (padding not counted), and its layout; owned by the network. */
int64_t          ss_network_n(const ss_network *network);
const ss_layout *ss_network_layout(const ss_network *network);

/* The stored weights of the active parameters as a padded host vector (padding 0). */
void ss_network_get_weights(const ss_network *network, ss_real real, void *padded);

/* Packed (canonical, n elements) <-> padded vectors on the host. Unpacking clears the padding. */
void ss_network_pack(const ss_network *network, ss_real real, const void *padded, void *packed);
void ss_network_unpack(const ss_network *network, ss_real real, const void *packed, void *padded);

/* What a written weights file holds. */
typedef struct ss_saved_weights {
    double moved;     /* ||stored - given||: rounding to the stored types */
    double largest;   /* of its elements */
    bool   rounded;   /* some tensor is stored in F16 or BF16 */
    bool   converted; /* the weights came from another format than safetensors */
} ss_saved_weights;

/* Writes the weights with the active parameters at packed [n]: safetensors with the names, types, shapes,
 * other tensors and metadata of the file that was bound (all parameters in F32 where the weights were
 * seeded). SS_ERROR_NUMERIC naming the tensor when a value does not fit into its type; SS_ERROR_OUTPUT. */
ss_status ss_network_save(ss_network *network, const char *path, const double *packed,
                          ss_saved_weights *saved);

#ifdef __cplusplus
}
#endif
#endif
