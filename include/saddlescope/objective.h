/* The objective L(theta): network + the whole data set + loss + regularisers, and everything that is computed
 * from it: losses, gradients and the operators Hessian, Gauss-Newton, Fisher, residual.
 *
 *   L(theta) = sum_i w_i l_i(theta) / sum_i w_i + sum_p lambda_p / 2 ||theta_p||^2
 *
 * over the counted targets i of the whole data set (or of a stated subset of its samples, then normalised by
 * the subset). Micro-batches never change it. A target is one label (cross-entropy) or one output element
 * (mse, bce). H and the Gauss-Newton operator G include weight decay; Fisher F = sum_i w_i g_i g_i' / sum_i
 * w_i and the residual H - G leave it out. Everything is available in float32 and float64 from the same
 * stored weights and data.
 *
 * Vectors are padded (ss_layout), in the memory of the backend of their real type. */
#ifndef SADDLESCOPE_OBJECTIVE_H
#define SADDLESCOPE_OBJECTIVE_H

#include "saddlescope/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ss_network   ss_network;
typedef struct ss_dataset   ss_dataset;
typedef struct ss_objective ss_objective;

typedef enum ss_product {
    SS_PRODUCT_HESSIAN,
    SS_PRODUCT_GAUSS_NEWTON,
    SS_PRODUCT_FISHER_EMPIRICAL,
    SS_PRODUCT_FISHER_MONTE_CARLO, /* labels drawn once per target */
    SS_PRODUCT_RESIDUAL            /* H - G */
} ss_product;

/* What is kept between products, per micro-batch (flops of a product in units of a gradient: reference 5). */
typedef enum ss_cache {
    SS_CACHE_AUTO,
    SS_CACHE_ALL,         /* primal activations and adjoints cached: 2.0 */
    SS_CACHE_ACTIVATIONS, /* adjoints recomputed: 2.33 */
    SS_CACHE_NONE,        /* all recomputed: 2.67 */
    SS_CACHE_CHECKPOINT   /* recomputed from checkpoints: 3.67 */
} ss_cache;

typedef struct ss_objective_options {
    const char *loss; /* "mse", "cross_entropy", "bce_with_logits", "causal_lm" (the label of a token is the
                         next one's), "masked_lm" */
    double        smoothing;     /* label smoothing in [0, 1), cross_entropy only */
    const double *class_weights; /* [classes] or NULL */
    int64_t       n_class_weights;
    const char   *device;    /* backend name, NULL = "cpu" */
    ss_real       precision; /* of the working operator */
    bool          tf32;      /* float32 on a GPU: products with tangents may round their operands to TF32 */
    int64_t       memory;    /* bytes for programs and vectors, 0 = from what is free */
    int64_t       held;      /* bytes of a stated memory that network, data and the rest take already */
    int vectors, vectors64;  /* of parameters, in the working type and in float64, that the caller will hold
                                beside the programs; memory is kept for them first */
    int64_t  batch_size;     /* largest micro-batch in samples, 0 = planner's choice */
    ss_cache cache;          /* SS_CACHE_AUTO = by memory */
    int      lanes;          /* largest number of vectors per pass, 0 = planner's choice */
    uint64_t label_seed;     /* Monte-Carlo Fisher */
    bool stream_weights; /* weights brought in before each use even where they fit; where they do not, that is
                            planned anyway */
    bool for_gpu;        /* plans alone: as for a GPU that is not here, whatever `device` is */
} ss_objective_options;

/* Defaults for everything but the loss. */
void ss_objective_options_init(ss_objective_options *options);

/* A subset of the samples, in the order of evaluation. NULL where an ss_samples pointer is expected = all. */
typedef struct ss_samples {
    const int64_t *index; /* [count] sample numbers, each at most once; borrowed */
    int64_t        count;
} ss_samples;

/* A point theta + step * direction; `direction` is a padded vector of the real type in use, in the backend's
 * memory. NULL where an ss_point pointer is expected = theta. */
typedef struct ss_point {
    double      step;
    const void *direction;
} ss_point;

typedef struct ss_loss_value {
    double loss;     /* with regularisers */
    double data;     /* without */
    double decay;    /* regularisers alone */
    double rounding; /* estimate of the rounding error of the float64 summation: |sum forwards - sum
                        backwards| or one unit roundoff of the sum of moduli, whichever is larger */
} ss_loss_value;

/* Network and data set are borrowed and must outlive the objective. Checks that they fit: input shape, target
 * shape and type, label range (SS_ERROR_INPUT naming what does not). */
ss_status ss_objective_create(ss_context *context, ss_network *network, const ss_dataset *dataset,
                              const ss_objective_options *options, ss_objective **objective);
void      ss_objective_destroy(ss_objective *objective); /* NULL allowed; after its operators */

const ss_layout   *ss_objective_layout(const ss_objective *objective);
struct ss_backend *ss_objective_backend(const ss_objective *objective, ss_real real); /* borrowed */
ss_real            ss_objective_precision(const ss_objective *objective); /* of the working operator */
const char *ss_objective_description(const ss_objective *objective); /* "cross_entropy, mean over 1797 ..." */

/* Facts that need no pass over the network. */
typedef struct ss_objective_facts {
    int64_t n;                /* active parameters */
    int64_t samples;          /* of the data set */
    int64_t targets;          /* counted targets of all samples */
    double  theta_norm;       /* of the active parameters */
    double  zero_output_loss; /* L_scale: data loss when the network's output is zero */
    double
         lower_bound; /* L_lower of the data term: 0, or the targets' entropy for soft labels and smoothing */
    bool kinked;      /* some unit is piecewise smooth */
    bool rounded_weights;   /* some active weight is stored in bf16 or fp16 */
    double rounding_radius; /* || half an ulp of theta || in the stored types */
} ss_objective_facts;
ss_status ss_objective_facts_get(ss_objective *objective, ss_objective_facts *facts);

/* Counted targets of a subset. */
ss_status ss_objective_targets(ss_objective *objective, const ss_samples *samples, int64_t *targets);

/* Moves theta: the network's active parameters become packed [n], in float64. SS_ERROR_USAGE while operators
 * are open; facts, losses and everything else speak of the new point from then on. */
ss_status ss_objective_set_weights(ss_objective *objective, const double *packed);
/* packed [n] := theta */
void ss_objective_get_weights(const ss_objective *objective, double *packed);

/* The loss at a point in one real type; row sums are float64 in either. `per_sample` (host [count] or NULL)
 * receives each sample's contribution to the data term (they sum to it). */
ss_status ss_objective_loss(ss_objective *objective, ss_real real, const ss_samples *samples,
                            const ss_point *point, ss_loss_value *value, double *per_sample);

/* The gradient at a point into `gradient` (padded, backend memory of that real type), and the loss there (may
 * be NULL). */
ss_status ss_objective_gradient(ss_objective *objective, ss_real real, const ss_samples *samples,
                                const ss_point *point, void *gradient, ss_loss_value *value);

/* Share of the units of piecewise smooth operators (over all samples) whose side differs between theta and
 * `point`; float64. 0 when nothing is kinked. */
ss_status ss_objective_kinks(ss_objective *objective, const ss_samples *samples, const ss_point *point,
                             double *share);

/* An operator at theta in one real type. Device memory is taken at the first product and given back by
 * ss_operator_destroy or ss_objective_release. `point` moves it (NULL = theta; a direction must outlive the
 * operator). */
ss_status ss_objective_operator(ss_objective *objective, ss_product product, ss_real real,
                                const ss_samples *samples, const ss_point *point, ss_operator *op);
/* Device and staging memory of the programs that exist: what they hold now, and what they will hold together
 * at most (they make room for each other as soon as they do not fit into their share of the memory). */
void ss_objective_program_memory(const ss_objective *objective, int64_t *now, int64_t *most);
/* Gives back the device memory of all programs of one real type; the next use takes it again. Working and
 * confirming programs need not hold memory together. */
void ss_objective_release(ss_objective *objective, ss_real real);

/* What the planner decided, for `info`, results and checkpoints. */
typedef struct ss_plan {
    int64_t samples;     /* of the program */
    int64_t micro_batch; /* samples per micro-batch (the last may be smaller) */
    int64_t n_micro_batches;
    int64_t cached[5]; /* micro-batches per ss_cache (index 0 unused) */
    int     lanes;
    bool    stream_weights;
    bool    keep_logits;        /* of a head over a vocabulary, between the sweeps */
    int64_t n_prologue, n_body; /* steps */
    double  flops_prologue;     /* matrix products only */
    double  flops_body;         /* per product of one vector */
    double  flops_gradient;     /* of a plain gradient, the unit of the flop ratios */
    double  bytes_body;         /* moved per product of one vector by the steps without matrix products */
    int64_t bytes_weights;      /* weights in the real type */
    int64_t bytes_cache;        /* what stays between products */
    int64_t bytes_peak;         /* whole arena */
    int64_t bytes_staging;      /* host staging */
} ss_plan;

/* The plan that an operator or gradient of this kind would use, without allocating the arena. */
ss_status ss_objective_plan(ss_objective *objective, ss_product product, ss_real real,
                            const ss_samples *samples, ss_plan *plan);
/* Prints the steps of that plan, one line each (`info --plan`). */
ss_status ss_objective_print_plan(ss_objective *objective, ss_product product, ss_real real, void *file);

#ifdef __cplusplus
}
#endif
#endif
