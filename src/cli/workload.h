/* The workload of a command: network, data, objective and their description, opened from the settings.
 *
 * A folder written by scripts/export_torch.py describes all of it (network.json, weights.safetensors,
 * data.safetensors, objective.json); options on the command line replace what the folder says. Whatever the
 * folder or --expect-loss states about loss and gradient is verified before anything is computed with it. */
#ifndef SS_CLI_WORKLOAD_H
#define SS_CLI_WORKLOAD_H

#include "cli/options.h"
#include "report/report.h"
#include "saddlescope/dataset.h"
#include "saddlescope/network.h"
#include "saddlescope/objective.h"

/* What objective.json says; strings are copies owned by the workload. */
typedef struct ss_stated_objective {
    char          *path;            /* of objective.json; NULL = there is none */
    char          *loss;            /* NULL = not stated */
    char          *data;            /* path, relative to the folder; NULL = data.safetensors */
    char         **trainable;       /* [n_trainable] names of the active parameters; none = all */
    int32_t        n_trainable;     /* names */
    ss_decay_rule *decay;           /* [n_decay] globs are owned copies */
    int32_t        n_decay;         /* rules */
    double         smoothing;       /* label smoothing */
    double        *class_weights;   /* [n_class_weights] or NULL */
    int64_t        n_class_weights; /* classes */
    double         scale, shift;    /* of unsigned bytes */
    bool           scale_given;     /* scale or shift were stated */
    double         expect_loss;     /* NaN = not stated */
    double         expect_gradient; /* ||g||; NaN = not stated */
} ss_stated_objective;

typedef struct ss_workload {
    ss_context         *context;    /* borrowed */
    const ss_settings  *settings;   /* borrowed */
    ss_stated_objective stated;     /* merged with the command line */
    bool                overridden; /* the command line replaced something that the stated values depend on */
    char               *folder;     /* with a trailing slash; NULL when the network is no folder */
    char               *data_path;
    char               *started;
    char               *configuration; /* what the digits of a result depend on, for checkpoints */
    ss_network         *network;
    ss_dataset         *dataset;
    ss_objective       *objective;
    ss_objective_options options; /* of the objective */
    ss_run               run;     /* for reports; its arrays are owned */
    double               start;   /* s, monotonic */
} ss_workload;

/* Opens everything. With `verify` the stated loss and gradient norm are checked (SS_ERROR_INPUT). Outputs
 * that the settings name are checked too: they can be written, and are none of the inputs. Close in any case.
 */
ss_status ss_workload_open(ss_context *context, const ss_settings *settings, bool verify,
                           ss_workload *workload);
void      ss_workload_close(ss_workload *workload);

/* Choice of parameters, decay and seed as the settings say; strings are borrowed. */
ss_network_options ss_workload_network_options(const ss_workload *workload);
/* The same network, choice of parameters and decay with the weights of another file (NULL = its own). */
ss_status ss_workload_network(ss_workload *workload, const char *weights, ss_network **network);
/* The same with the weights that are stored in that file, whatever --init-random says; `whole`: nor does
 * --init-missing apply, the file holds everything. */
ss_status ss_workload_stored_network(ss_workload *workload, const char *weights, bool whole,
                                     ss_network **network);

/* Fills or refreshes the record: files, libraries, options, plans, times (record.c). */
ss_status ss_workload_record(ss_workload *workload);
void      ss_workload_record_release(ss_workload *workload);
void      ss_workload_record_time(ss_workload *workload);

/* Reads objective.json (stated.c). */
ss_status ss_stated_read(ss_context *context, const char *path, ss_stated_objective *stated);
/* --class-weights: a JSON list, .npy, or a safetensors file with one array. */
ss_status ss_class_weights_read(ss_context *context, const char *path, ss_stated_objective *stated);
void      ss_stated_release(ss_context *context, ss_stated_objective *stated);
/* Replaces what the command line says; *overridden becomes true when the loss changes by that. */
ss_status ss_stated_merge(ss_context *context, const ss_settings *settings, ss_stated_objective *stated,
                          bool *overridden);

/* The operator of --operator at theta, in the working precision. */
ss_status   ss_workload_operator(ss_workload *workload, ss_operator *op);
ss_product  ss_workload_product(const ss_workload *workload);
const char *ss_product_name(ss_product product);

/* --cache, by name, and the names by ss_cache. */
const char *ss_cache_name(ss_cache cache);
ss_cache    ss_workload_cache(const ss_settings *settings);

/* Bytes of --memory for vectors beside the programs that exist and `spare` vectors; 0 when there is no
 * --memory. */
int64_t ss_workload_vector_memory(const ss_workload *workload, int64_t spare);
/* A padded vector to --output, where it is given. The float64 copy for the file is made when the programs
 * have given their memory back. */
ss_status ss_workload_vector(ss_workload *workload, const ss_operator *op, const void *x);

/* Rounding errors of a product that nobody has measured, relative to the largest modulus of an eigenvalue. */
double ss_workload_rounding(const ss_workload *workload);

/* Writes text to standard output, and to --output when `file` says so. */
ss_status ss_workload_print(ss_workload *workload, const ss_text *text, const char *file);
/* Writes text to a file; the text's own failure first. */
ss_status ss_workload_file(ss_workload *workload, const ss_text *text, const char *path);
bool      ss_path_ends_with(const char *path, const char *end); /* and is longer */
/* Writes --json when it is given: the result so far (only to a regular file, which is replaced each time),
 * and the last word. */
ss_status ss_workload_json_partial(ss_workload *workload, const ss_field *fields, const void *result);
ss_status ss_workload_json(ss_workload *workload, bool complete, const ss_field *fields, const void *result);
/* Removes the JSON of a run that failed, if it is a regular file. */
void ss_workload_discard(ss_workload *workload);

#endif
