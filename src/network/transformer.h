/* Networks of family `transformers`: config.json and published weights, as Hugging Face writes them, and what
 * nanoGPT leaves behind.
 *
 * One row per architecture (transformer_table.c) says what the tensors are called and which switches the
 * family has; the configuration reader (transformer_config.c) turns a config.json of either generation into
 * numbers; the block builder (transformer_block.c) and the ends (transformer_ends.c: embeddings and heads)
 * append nodes. Another architecture that differs in names and switches is a row and a golden case.
 *
 * Configuration keys are read, known to be harmless, or required to have the one value whose function is
 * built; any other key with a value that means something is refused by name. */
#ifndef SS_NETWORK_TRANSFORMER_H
#define SS_NETWORK_TRANSFORMER_H

#include "io/archive.h"
#include "io/json.h"
#include "network/graph.h"

/* What stands behind the last block, and with it the loss that is meant. */
typedef enum ss_task { SS_TASK_CAUSAL_LM, SS_TASK_MASKED_LM, SS_TASK_SEQUENCE, SS_TASK_IMAGE } ss_task;

typedef enum ss_placement {
    SS_NORM_BEFORE, /* x + f(norm x) */
    SS_NORM_AFTER,  /* norm(x + f(x)) */
    SS_NORM_AROUND  /* x + norm(f(norm x)) */
} ss_placement;

typedef enum ss_positions {
    SS_POSITIONS_ROTARY,
    SS_POSITIONS_LEARNED,
    SS_POSITIONS_ATTENDED,   /* learned, numbered by attended tokens, two rows in front (OPT) */
    SS_POSITIONS_NOT_PADDED, /* learned, numbered by tokens that are no padding (RoBERTa) */
    SS_POSITIONS_PATCHES     /* learned, one per patch and class token (ViT) */
} ss_positions;

typedef enum ss_packing {
    SS_PACKING_NONE,    /* three projections */
    SS_PACKING_BLOCKS,  /* one: all queries, all keys, all values */
    SS_PACKING_PER_HEAD /* one: query, key, value of each head in turn */
} ss_packing;

/* Which layers see a window only. */
typedef enum ss_windows {
    SS_WINDOWS_NONE,
    SS_WINDOWS_ALL,       /* sliding_window unless null */
    SS_WINDOWS_BY_SWITCH, /* use_sliding_window, layer_types or max_window_layers (Qwen) */
    SS_WINDOWS_ALTERNATE  /* layer_types or every other layer, the first included (Gemma 2) */
} ss_windows;

/* What config.json calls things; NULL = the family has no such key. */
typedef struct ss_config_keys {
    const char *width, *layers, *heads, *key_heads, *head_dim, *inner, *vocabulary, *positions, *eps,
        *activation, *initial;
} ss_config_keys;

/* Module names behind `base`; `layer` and `expert` are followed by a number and a dot. NULL = there is none.
 */
typedef struct ss_tensor_names {
    const char *base;                                        /* prefix that headless checkpoints leave out */
    const char *layer;                                       /* of a block */
    const char *tokens, *positions, *types, *embedding_norm; /* embeddings */
    const char *project_in, *project_out;                    /* between table and width (OPT) */
    const char *attention_norm, *attention_post_norm;        /* norm of a block's attention */
    const char *mlp_norm, *mlp_post_norm;                    /* norm of a block's mlp; NULL = the former */
    const char *packed, *query, *key, *value, *output;       /* projections */
    const char *query_norm, *key_norm;                       /* per head */
    const char *gate, *up, *down;                            /* of the mlp, or of one expert */
    const char *router, *expert;                             /* mixture of experts */
    const char *final_norm;
    const char *class_token; /* of images */
} ss_tensor_names;

/* One architecture: a row of the table. */
typedef struct ss_architecture {
    const char            *model_type; /* config.json's model_type */
    const char            *class_name; /* config.json's architectures[0] */
    ss_task                task;
    const ss_config_keys  *keys;
    const ss_tensor_names *names;
    const char            *head;            /* module of the last linear map, without base */
    bool                   head_bias;       /* it has a bias */
    const char            *head_dense;      /* linear map and activation in front of it (pooler, transform) */
    const char            *head_activation; /* of head_dense; NULL = the configuration's */
    const char            *head_norm;       /* norm behind head_dense */
    const char            *head_bias_at;    /* module whose bias is the head's, where the weight is tied */
    bool                   pooled;          /* head_dense is called with base in front */
    bool                   rms;             /* RMSNorm, else LayerNorm */
    bool                   one_plus;        /* norms scale by 1 + w */
    ss_placement           placement;
    ss_positions           positions;
    ss_packing             packing;
    ss_windows             windows;
    bool                   parallel; /* attention and mlp side by side (default of the switch) */
    bool                   conv1d;   /* weights of blocks are stored [in, out] */
    bool                   qkv_bias; /* unless a switch says otherwise */
    bool                   out_bias; /* of the attention's output projection */
    bool                   mlp_bias;
    bool                   gated;           /* act(gate x) o (up x) */
    bool                   scale_embedding; /* by sqrt(width) */
    bool                   tied;            /* default of tie_word_embeddings */
    double                 rotary;          /* default share of a head that is rotated */
    double                 eps;             /* default */
    int64_t                head_dim;        /* default; 0 = width / heads */
    const char            *activation;      /* default */
} ss_architecture;

typedef enum ss_rope_scaling { SS_ROPE_DEFAULT, SS_ROPE_LINEAR, SS_ROPE_LLAMA3 } ss_rope_scaling;

/* What a config.json says, with the family's defaults. */
typedef struct ss_transformer_config {
    const ss_architecture *row;
    int64_t                width, layers, heads, key_heads, head_dim, inner, vocabulary;
    int64_t                table_width; /* of the token table (OPT: word_embed_proj_dim) */
    int64_t                positions;   /* rows of the position table, or the longest sequence */
    int64_t                types, pad;  /* token types; id of the padding token */
    int64_t                classes;     /* labels of a classification */
    int64_t                image[2], patch, channels;
    int64_t                experts, top_k;
    double                 eps;
    ss_function            activation;
    double                 scale;          /* of the scores */
    bool                   scale_by_layer; /* divided by the block's number from 1 on (GPT-2's switch) */
    double                 score_cap, logit_cap; /* soft caps, 0 = none */
    int64_t                window;               /* keys that a sliding layer sees */
    bool                  *slides;               /* [layers] or NULL: none does; owned */
    int64_t                rotary;               /* elements of a head that are rotated; even */
    double                 theta;
    ss_rope_scaling        rope;
    double                 rope_factor, rope_low, rope_high, rope_original; /* of the scaling */
    bool                   tied, parallel, qkv_bias, out_bias, mlp_bias, norm_bias, norm_affine, final_norm;
    ss_placement           placement;
    double                 initial; /* standard deviation of initial weights */
} ss_transformer_config;

/* Finds the row for a config.json. A class without head (BertModel) or without "architectures" takes the
 * first row of its model_type whose task fits `loss` (NULL = any). SS_ERROR_INPUT listing what is known. */
ss_status ss_architecture_find(const ss_json_value *root, const char *loss, const ss_architecture **row);
/* The row of nanoGPT's model_args. */
const ss_architecture *ss_architecture_nanogpt(void);
/* "causal_lm" ... */
const char *ss_task_loss(ss_task task);

/* Reads a configuration. SS_ERROR_INPUT naming the key that is missing, does not fit or is not supported. */
ss_status ss_transformer_config_read(ss_context *context, const ss_json_value *root,
                                     const ss_architecture *row, ss_transformer_config *config);
void      ss_transformer_config_release(ss_context *context, ss_transformer_config *config);

/* Every key of the object must have been read (seen[count]), be harmless, or have the supported value. */
ss_status ss_config_keys_check(ss_context *context, const ss_json_value *root, int32_t count,
                               const char *const *seen);

/* ---- A LoRA adapter (network/lora.c) ----
 * y = x W' + s B (A x) for every module that has "<module>.lora_A.weight" in the archive. */
typedef struct ss_adapter {
    const ss_archive *archive; /* "base_model.model.<module>.lora_A.weight" ...; borrowed */
    double            scale;   /* s = alpha / r or alpha / sqrt(r) */
    int64_t           rank;    /* r */
} ss_adapter;
/* Reads the members of an adapter_config.json. SS_ERROR_INPUT naming options that are not supported. */
ss_status ss_adapter_read(const ss_json_value *root, const ss_archive *archive, ss_adapter *adapter);
/* Is this module adapted? */
ss_status ss_adapter_find(ss_context *context, const ss_adapter *adapter, const char *module, bool *found);

/* ---- Building ---- */
typedef struct ss_transformer {
    ss_context                  *context;
    ss_graph                    *graph;
    const ss_transformer_config *config;
    const ss_adapter            *adapter; /* NULL = none */
    int64_t                      tokens;  /* T, of the blocks */
    int32_t                      ids;     /* value: token ids; -1 = none */
    int32_t                      mask;    /* value: attention mask; -1 = none */
    int32_t                      rotary;  /* parameter: table of cosines and sines; -1 = none */
    int32_t                      table;   /* parameter: token table; -1 = none */
    int32_t                      layer;   /* ordinal of the layer that is being appended */
} ss_transformer;

#define SS_MODULE_TEXT 256 /* bytes that hold a module's name */

/* Appends the node of a module: a linear map with its adapter, a norm, an activation, x + y. *value moves on
 * to its output. `module` is the whole name. */
ss_status ss_transformer_linear(ss_transformer *t, const char *module, int64_t out, bool bias, bool conv1d,
                                int32_t *value);
ss_status ss_transformer_norm(ss_transformer *t, const char *module, int64_t columns, int32_t *value);
ss_status ss_transformer_pointwise(ss_transformer *t, const char *module, ss_function function,
                                   int32_t *value);
ss_status ss_transformer_add(ss_transformer *t, const char *name, int32_t other, int32_t *value);
/* The parameter "<module>.<leaf>". */
ss_status ss_transformer_parameter(ss_transformer *t, const char *module, const char *leaf, int32_t rank,
                                   const int64_t *shape, int32_t *parameter);
/* base + name into text, which it returns. */
const char *ss_transformer_module(const ss_transformer *t, const char *name, char text[SS_MODULE_TEXT]);

ss_status ss_transformer_block(ss_transformer *t, int64_t number, int32_t *value);
/* Inputs, embeddings and what every block shares; the head. */
ss_status ss_transformer_begin(ss_transformer *t, bool has_mask, int32_t *value);
ss_status ss_transformer_end(ss_transformer *t, int32_t *value);
/* cos and sin of t theta^(-2 i / r), scaled as the configuration says: out [tokens, r]. */
void ss_rotary_table(const ss_transformer_config *config, int64_t tokens, double *out);

/* ---- Weights (network/transformer_bind.c) ---- */
typedef struct ss_initial_rule {
    const char *name; /* a tensor, the module in front of it, or a glob */
    uint64_t    seed;
} ss_initial_rule;

typedef struct ss_transformer_weights {
    ss_archive            *archive; /* NULL: all initial */
    const ss_adapter      *adapter; /* NULL = none */
    bool                   random;  /* all weights start at random */
    uint64_t               seed;    /* of that */
    const ss_initial_rule *initial; /* [n_initial] for tensors that are missing */
    int32_t                n_initial;
} ss_transformer_weights;

/* Binds every parameter to a tensor of the archive or to initial values. The arrays are borrowed: the graph
 * must keep the archives open. SS_ERROR_INPUT naming the tensors that are missing, misshapen or not known. */
ss_status ss_transformer_bind(ss_graph *graph, const ss_transformer_config *config,
                              const ss_transformer_weights *from);

/* All of it: the graph of a configuration for sequences of `tokens` tokens (ignored for images), bound to its
 * weights. `has_mask`: the data have an attention mask that hides something. */
ss_status ss_transformer_open(ss_context *context, const ss_json_value *root, const ss_architecture *row,
                              int64_t tokens, bool has_mask, const ss_transformer_weights *from,
                              ss_graph **graph);

#endif
