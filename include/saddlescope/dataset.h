/* The data set: inputs x [samples, ...] and targets y [samples, ...], as stored, read-only after opening.
 *
 * The network sees scale * x + shift, computed in its own real type from the stored elements; targets are
 * taken as they are (class ids, or the values of a regression). What was understood is one line of text, to
 * be printed. */
#ifndef SADDLESCOPE_DATASET_H
#define SADDLESCOPE_DATASET_H

#include "saddlescope/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ss_dataset ss_dataset;

/* A label of this value is not counted (torch's ignore_index). */
#define SS_IGNORED_LABEL (-100)

typedef struct ss_dataset_options {
    bool        scale_given;      /* scale and shift were stated; uint8 inputs are refused unless they were */
    double      scale;            /* 1 unless stated; finite, not 0 */
    double      shift;            /* 0 unless stated; finite */
    int64_t     samples;          /* use that many, chosen without replacement; 0 = all */
    uint64_t    sample_seed;      /* of that choice */
    const char *inputs;           /* name of the inputs' array; NULL = a known pair of names */
    const char *targets;          /* name of the targets' array; NULL likewise; both or none */
    int64_t     sequence_length;  /* T: token ids are cut into sequences of T; 0 = the file says it */
    int64_t     stride;           /* from the start of a sequence to that of the next; 0 = T */
    bool        token_type_given; /* token_type was stated */
    ss_type     token_type;       /* of the ids in a raw file: U16, U32, I32 or I64 */
    const char *tokenizer;        /* tokenizer.json of the model, for data that are a text; NULL = none */
} ss_dataset_options;

/* Scale 1, shift 0, not stated; all samples; known names; nothing said about tokens. */
void ss_dataset_options_init(ss_dataset_options *options);

/* Opens `path`: one safetensors or .npz file with a known pair of names (x, y; inputs, targets; images,
 * labels; pixel_values, labels; input_ids, labels; data, target), or two files of one array each with a comma
 * between them ("train-images-idx3-ubyte.gz,train-labels-idx1-ubyte.gz", "x.npy,y.npy"). Other arrays with
 * one row per sample are kept under their names. `options` may be NULL.
 *
 * Token ids need no targets: a file whose only array of these names is input_ids [N, T]; one array of
 * integers [N, T]; or a stream of integers [n], which is cut into the sequences that begin at 0, stride,
 * 2 stride ... and fit: .npy, raw (nanoGPT's and others' .bin, with llm.c's header or with token_type), or
 * the ids that the tokenizer makes of a .txt in UTF-8. Beside input_ids, attention_mask (0 and 1),
 * token_type_ids and position_ids have its shape.
 *
 * SS_ERROR_INPUT, naming file and array: unreadable file, no pair of names or two, unequal numbers of
 * samples, no samples, empty rows, NaN or infinity (with its index), uint8 inputs without a stated scale,
 * more samples asked for than there are; token ids that are negative or no integers, a stream shorter than
 * a sequence, a raw file of unknown type or of a size that does not fit it, a text that is no UTF-8. */
ss_status ss_dataset_open(ss_context *context, const char *path, const ss_dataset_options *options,
                          ss_dataset **dataset);

/* The same for arrays in memory, whose elements are borrowed until ss_dataset_close (descriptors and names
 * are copied). `y` NULL: x are token ids and there are no targets. */
ss_status ss_dataset_from_arrays(ss_context *context, const ss_array *x, const ss_array *y,
                                 const ss_dataset_options *options, ss_dataset **dataset);

void ss_dataset_close(ss_dataset *dataset); /* NULL allowed */

int64_t ss_dataset_samples(const ss_dataset *dataset);
/* x [samples, ...] and y [samples, ...] in their stored types; row i begins at element i * length. Borrowed.
 * Targets are NULL when the data are token ids alone: then each id is what the ids before it predict, as if
 * the targets were the inputs. */
const ss_array *ss_dataset_inputs(const ss_dataset *dataset);
const ss_array *ss_dataset_targets(const ss_dataset *dataset);
int64_t         ss_dataset_input_length(const ss_dataset *dataset); /* elements per sample, >= 1 */
int64_t ss_dataset_target_length(const ss_dataset *dataset); /* elements per sample, 0 without targets */
double  ss_dataset_scale(const ss_dataset *dataset);
double  ss_dataset_shift(const ss_dataset *dataset);
/* Another array with one row per sample (attention_mask ...); NULL if there is none of that name. */
const ss_array *ss_dataset_find(const ss_dataset *dataset, const char *name);
/* Where it was read from (as given), and what was understood: "x F32 [1797, 64] range [0, 1]; y I64 [1797],
 * 10 classes 0..9". */
const char *ss_dataset_path(const ss_dataset *dataset);
const char *ss_dataset_description(const ss_dataset *dataset);
/* Samples in the file before a choice was made, and [samples] their numbers there, ascending; NULL when all
 * are used. */
int64_t        ss_dataset_samples_in_file(const ss_dataset *dataset);
const int64_t *ss_dataset_chosen(const ss_dataset *dataset);

/* SS_ERROR_INPUT "<path>: array 'input_ids': id 70 at [3, 5]: ..." unless all elements of an array of
 * integers are in 0..limit-1. */
ss_status ss_dataset_check_ids(ss_context *context, const ss_dataset *dataset, const ss_array *array,
                               int64_t limit);
/* The largest token id among the samples in use; -1 when the inputs are no token ids. */
int64_t ss_dataset_largest_id(const ss_dataset *dataset);

/* True if the targets are integers (class ids or 0/1) or there are none, false if floats. */
bool ss_dataset_has_labels(const ss_dataset *dataset);
/* Targets of a sample that count: integer targets other than SS_IGNORED_LABEL, all elements of float ones;
 * without targets, the ids behind the first. */
int64_t ss_dataset_counted(const ss_dataset *dataset, int64_t sample);
/* SS_ERROR_INPUT naming the first sample whose label is neither in 0..classes-1 nor `ignored`, when targets
 * are not integers, or when no label counts. Without targets the token ids are checked. */
ss_status ss_dataset_check_labels(ss_context *context, const ss_dataset *dataset, int64_t classes,
                                  int64_t ignored);

/* Draws `count` of `samples` numbers without replacement: a partial Fisher-Yates shuffle with Philox stream
 * SS_STREAM_SAMPLES, so that equal arguments give equal numbers anywhere. index [count] receives them in
 * ascending order. SS_ERROR_USAGE unless 1 <= count <= samples. */
ss_status ss_dataset_select(ss_context *context, int64_t samples, int64_t count, uint64_t seed,
                            int64_t *index);

/* Deals samples into `groups` groups at random, balanced by counted targets: in the order of a shuffle, each
 * sample goes to the group with the fewest targets so far (then fewest samples, then lowest number). Group g
 * is index[start[g]] ... index[start[g + 1] - 1], ascending. index [samples], start [groups + 1]; 1 <= groups
 * <= samples, else SS_ERROR_USAGE. */
ss_status ss_dataset_groups(ss_context *context, const ss_dataset *dataset, int32_t groups, uint64_t seed,
                            int64_t *index, int64_t *start);

#ifdef __cplusplus
}
#endif
#endif
