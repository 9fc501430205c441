/* analyze: is the network at a minimum, at a saddle or at neither, and why has its loss stopped falling?
 *
 * ss_analyze fills one ss_verdict: every number that is printed, each with its uncertainty, and the
 * enumerators from which every sentence is chosen. Whoever prints it (report/) computes nothing. "VERDICT n"
 * names the section of the definitions in VERDICT.md: 1 operator error, 2 stationarity, 3 curvature, 4 what
 * is left here, 5 labels.
 *
 * A number that was not determined is NaN; a count that was not determined is -1. */
#ifndef SADDLESCOPE_VERDICT_H
#define SADDLESCOPE_VERDICT_H

#include "saddlescope/objective.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Enumerators: constant, name in JSON, clause in text ---- */
/* clang-format off */
#define SS_LABEL_TABLE(row) \
    row(SS_LABEL_INCONCLUSIVE, "inconclusive") \
    row(SS_LABEL_NOT_CRITICAL, "not_critical") \
    row(SS_LABEL_SADDLE, "saddle") \
    row(SS_LABEL_MINIMUM, "minimum") \
    row(SS_LABEL_MAXIMUM, "maximum")
/* Why a verdict is inconclusive; NONE otherwise. */
#define SS_REASON_TABLE(row) \
    row(SS_REASON_NONE, "none") \
    row(SS_REASON_BUDGET, "budget") \
    row(SS_REASON_NO_LOSS_WITNESS, "no_loss_witness") \
    row(SS_REASON_KINKS, "kinks") \
    row(SS_REASON_CONTRADICTION, "contradiction") \
    row(SS_REASON_OPERATOR, "operator")  /* another operator than the Hessian was asked for */
#define SS_EVIDENCE_TABLE(row) \
    row(SS_EVIDENCE_NONE, "none") \
    row(SS_EVIDENCE_SECOND_ORDER, "second order") \
    row(SS_EVIDENCE_HIGHER_ORDER, "higher order") \
    row(SS_EVIDENCE_GLOBAL, "global")  /* L - L_lower is below rounding */
#define SS_CURVATURE_TABLE(row) \
    row(SS_CURVATURE_UNDECIDED, "undecided") \
    row(SS_CURVATURE_INDEFINITE, "indefinite") \
    row(SS_CURVATURE_NO_NEGATIVE, "no_negative") \
    row(SS_CURVATURE_NO_POSITIVE, "no_positive") \
    row(SS_CURVATURE_FLAT, "flat")
#define SS_METHOD_TABLE(row) \
    row(SS_METHOD_NONE, "none") \
    row(SS_METHOD_DENSE, "dense") \
    row(SS_METHOD_LANCZOS, "lanczos") \
    row(SS_METHOD_THREE_VECTORS, "three_vectors")
#define SS_ANSWER_TABLE(row) \
    row(SS_ANSWER_NONE, "none") \
    row(SS_ANSWER_SLOPE, "slope") \
    row(SS_ANSWER_SADDLE, "saddle") \
    row(SS_ANSWER_MINIMUM, "minimum") \
    row(SS_ANSWER_FLOOR, "floor") \
    row(SS_ANSWER_FLAT, "flat") \
    row(SS_ANSWER_NOISE, "noise") \
    row(SS_ANSWER_MAXIMUM, "maximum")  /* a maximum: every direction falls */
#define SS_DIRECTION_TABLE(row) \
    row(SS_DIRECTION_GRADIENT, "gradient") \
    row(SS_DIRECTION_WITNESS, "negative_curvature") \
    row(SS_DIRECTION_NEWTON, "newton")
#define SS_TRI_TABLE(row) \
    row(SS_TRI_UNKNOWN, "null") \
    row(SS_TRI_FALSE, "false") \
    row(SS_TRI_TRUE, "true")
#define SS_POPULATION_TABLE(row) \
    row(SS_POPULATION_OMITTED, "omitted") \
    row(SS_POPULATION_PROVED, "proved") \
    row(SS_POPULATION_NOT_SHOWN, "not_shown")
/* How a walk towards a critical point ended. */
#define SS_END_TABLE(row) \
    row(SS_END_UNFINISHED, "unfinished")  /* steps, products or time ran out, or rounding */ \
    row(SS_END_CRITICAL, "critical") \
    row(SS_END_GRADIENT_FLAT, "gradient_flat")  /* stalled where the gradient lies in the kernel of H */ \
    row(SS_END_ESCAPING, "escaping")  /* the parameters run to infinity */
/* clang-format on */
#define SS_VERDICT_ENUMERATOR(name, text) name,
typedef enum ss_label { SS_LABEL_TABLE(SS_VERDICT_ENUMERATOR) SS_LABEL_COUNT } ss_label;
typedef enum ss_reason { SS_REASON_TABLE(SS_VERDICT_ENUMERATOR) SS_REASON_COUNT } ss_reason;
typedef enum ss_evidence { SS_EVIDENCE_TABLE(SS_VERDICT_ENUMERATOR) SS_EVIDENCE_COUNT } ss_evidence;
typedef enum ss_curvature { SS_CURVATURE_TABLE(SS_VERDICT_ENUMERATOR) SS_CURVATURE_COUNT } ss_curvature;
typedef enum ss_method { SS_METHOD_TABLE(SS_VERDICT_ENUMERATOR) SS_METHOD_COUNT } ss_method;
typedef enum ss_answer { SS_ANSWER_TABLE(SS_VERDICT_ENUMERATOR) SS_ANSWER_COUNT } ss_answer;
typedef enum ss_direction { SS_DIRECTION_TABLE(SS_VERDICT_ENUMERATOR) SS_DIRECTION_COUNT } ss_direction;
typedef enum ss_tri { SS_TRI_TABLE(SS_VERDICT_ENUMERATOR) SS_TRI_COUNT } ss_tri;
typedef enum ss_population { SS_POPULATION_TABLE(SS_VERDICT_ENUMERATOR) SS_POPULATION_COUNT } ss_population;
typedef enum ss_end { SS_END_TABLE(SS_VERDICT_ENUMERATOR) SS_END_COUNT } ss_end;
#undef SS_VERDICT_ENUMERATOR

/* Their names as in JSON; never NULL. */
const char *ss_label_name(ss_label value);
const char *ss_reason_name(ss_reason value);
const char *ss_evidence_name(ss_evidence value);
const char *ss_curvature_name(ss_curvature value);
const char *ss_method_name(ss_method value);
const char *ss_answer_name(ss_answer value);
const char *ss_direction_name(ss_direction value);
const char *ss_tri_name(ss_tri value);
const char *ss_population_name(ss_population value);
const char *ss_end_name(ss_end value);
/* The label of a name, for --expect: SS_LABEL_COUNT when there is none. */
ss_label ss_label_from_name(const char *name);

/* An integer known to lie in [low, high]. */
typedef struct ss_interval {
    int64_t low, high; /* parameters; -1 = not determined */
} ss_interval;

/* ---- The result, one struct per question ---- */

/* VERDICT 1. The operator's own error: all of it is an estimate and called one. */
typedef struct ss_verdict_operator_error {
    ss_product product;        /* which operator */
    ss_real    working;        /* real type of W */
    double     delta;          /* relative to lambda_abs: the largest of the next four */
    double     delta_roundoff; /* 64 u */
    double     delta_random;   /* ||(W-C)r|| / ||Cr||, unit random r; NaN when Cr = 0 */
    double     delta_low;      /* ||(W-C)x|| / lambda_abs, lowest Ritz vector */
    double     delta_high;     /* the same, highest */
    double     lambda_abs; /* curvature: largest |Ritz value|, at least 64 u64 L_scale / max(||theta||,1)^2 */
    double     error;      /* E = delta lambda_abs */
    double     tau;        /* curvature below which an eigenvalue has no sign: 3 E, or --tau */
    bool       tau_given;  /* by --tau */
    int64_t    samples;    /* on which C was run */
    bool       subset;     /* fewer than all samples */
} ss_verdict_operator_error;

/* VERDICT 2. */
typedef struct ss_verdict_stationarity {
    double loss;                /* L at theta, with regularisers, float64 */
    double loss_data;           /* without regularisers */
    double loss_rounding;       /* rounding of one float64 sum */
    double loss_zero_output;    /* L_scale */
    double loss_lower;          /* L_lower */
    double theta_norm;          /* ||theta|| */
    double gradient_norm;       /* ||g|| */
    double gradient_rms;        /* ||g|| / sqrt n */
    double decrease;            /* d, predicted by a damped Newton step */
    double decrease_relative;   /* d / L */
    bool   decrease_settled;    /* false: d is a lower estimate and is_critical is false */
    bool   decrease_from_bound; /* ||g||^2 / (2 tau_d) settled it without a product: d is that upper bound */
    int    decrease_products;   /* products of the Krylov space started at g */
    double damping;             /* tau_d */
    double rounding;            /* s */
    double critical;            /* X of --critical, 1e-3 */
    double limit;               /* critical would be below: on d, or on ||g|| when by_gradient */
    bool   by_gradient;         /* --critical-gradient was given */
    bool   is_critical;         /* d <= max(critical (L - L_lower), s), or ||g|| <= limit */
    bool   at_lower_bound;      /* L - L_lower is below rounding */
    double gradient_flat_ratio; /* ||Hg|| / (lambda_abs ||g||); NaN when g = 0 */
    int    groups;              /* N; 0 = group statistics omitted */
    double coherence;           /* c = ||mean g_i||^2 / mean ||g_i||^2 */
    bool   slope_is_noise;      /* N c <= 2 */
    double loss_sampling_error; /* standard error of L over the groups */
} ss_verdict_stationarity;

/* VERDICT 3. */
typedef struct ss_verdict_curvature {
    ss_curvature statement;
    ss_method    method;
    double       resolution;          /* eps, curvature */
    double       resolution_relative; /* eps / lambda_abs */
    double       eta;                 /* the confidence is 1 - eta, over the start vector */
    double       lambda_min;          /* lowest Ritz value or eigenvalue */
    double       lambda_min_error;    /* residual norm plus E; dense: E */
    bool         lambda_min_converged;
    double       lambda_max;
    double       lambda_max_error;
    bool         lambda_max_converged;
    double  lower_bound;   /* mu*: no eigenvalue below it, with confidence 1 - eta; dense: lambda_min - E */
    double  upper_bound;   /* its mirror image */
    double  gamma;         /* gamma(eta); NaN on the dense path */
    int64_t n_start;       /* n without structural zeros, the dimension of the start vector */
    int     basis;         /* m, columns of the Lanczos basis */
    bool    basis_on_host; /* they lie in host memory: the device has too little */
    int     restarts;      /* of Lanczos */
    int     first_cycle;   /* products of the first, unrestarted cycle, continuation included */
    int     continued;     /* products by which its recurrence was continued, alpha and beta only */
    int     breakdowns;    /* invariant subspaces met */
    int64_t products;      /* of this question */
    bool    estimates;     /* three-vector mode: eigenvalues are estimates */
    bool    stopped_early; /* a witness stood */
    int64_t n_ritz;        /* Ritz values at the end; dense: n */
    double *ritz_value;    /* [n_ritz] ascending; owned by the verdict */
    double *ritz_residual; /* [n_ritz] residual norms; dense: 0; owned */
} ss_verdict_curvature;

/* VERDICT 3. A direction of negative curvature, after removal of gauge directions. */
typedef struct ss_verdict_witness {
    bool    candidate;    /* some Ritz value lay below -tau (the rest is NaN and false otherwise) */
    bool    proved;       /* v'Cv < -tau and < -10 e64 */
    double  ritz_value;   /* of W, before the removal */
    double  quotient;     /* v'Cv, float64 */
    double  error;        /* e64 */
    double  difference;   /* ||(W-C)v|| */
    double  gauge_share;  /* norm of the removed part, of 1 */
    double  slope;        /* g'v */
    bool    loss_witness; /* VERDICT 3: the mean of both sides lies below L by more than 10 roundings */
    bool    both_ways;    /* both sides do: the loss falls both ways */
    double  step;         /* t at which */
    double  mean_change;  /* [L(theta + t v) + L(theta - t v)] / 2 - L */
    double  change_plus;  /* L(theta + t v) - L */
    double  change_minus; /* L(theta - t v) - L */
    double  rounding;     /* of those sums */
    double  valid_radius; /* r_valid(v), VERDICT 4 */
    double  crossover;    /* t_c = 2 |g'v| / |v'Cv| */
    bool    felt_first;   /* t_c <= 0.1 r_valid and d <= 0.1 |v'Cv| r_valid^2 / 2 */
    double *vector;       /* [n] packed unit vector v; NULL when there is none; owned by the verdict */
    int64_t n;            /* its length */
} ss_verdict_witness;

/* VERDICT 3. Counts, the partition of n, the minimum ratio three ways. */
typedef struct ss_verdict_counts {
    double      confidence;        /* 1 - eta of the intervals; 1 when exact */
    bool        exact;             /* dense path */
    int64_t     negative_at_least; /* Ritz values of the accurate Rayleigh matrix below -tau; interlacing */
    ss_interval negative;          /* n-(-tau) */
    ss_interval zero;              /* n0: |lambda| <= tau; structural zeros included */
    ss_interval positive;          /* n+(tau) */
    int64_t     n;                 /* active parameters */
    int64_t     structural;        /* structurally zero: entries of H that no data reach */
    int64_t     gauge;             /* rank(Z) at most */
    ss_interval flat;              /* numerically flat: n0 without structural and gauge directions */
    double      positive_share[2]; /* n+ / n, interval */
    double      positive_among_signed[2]; /* n+ / (n+ + n-), interval */
    double      negative_share[2];        /* n- / n, interval: Dauphin's index */
    double      quadrature_width;         /* w of the Gauss-Radau counts, curvature; NaN when exact */
} ss_verdict_counts;

/* VERDICT 3. Symmetries of the parametrisation that were looked for; others were not checked. */
typedef struct ss_verdict_gauge {
    int64_t rank;          /* at most */
    int64_t softmax_shift; /* tangents of each kind */
    int64_t rescaling;     /* positive rescaling through ReLU-type units */
    int64_t norm_gain;     /* gain-weight scaling behind norms */
    int64_t
        other; /* changes of basis between linear layers, shifts through linear layers and centered norms */
} ss_verdict_gauge;

/* VERDICT 3. "For the distribution they came from": a witness refined on half of the groups, judged on the
 * other half. */
typedef struct ss_verdict_distribution {
    ss_population statement;
    int           groups;          /* N, of which N/2 found the direction and N/2 judged it */
    double        refine_products; /* spent on the refinement, in products over all samples */
    double        found;           /* v'H v on the half that found it */
    double        mean;            /* v'H_i v over the other half */
    double        deviation;       /* s */
    double        student;         /* quantile t at 1 - eta, N/2 - 1 degrees of freedom */
    double        half_width;      /* t s / sqrt(N/2) */
    double        upper_limit;     /* mean + half_width */
} ss_verdict_distribution;

/* VERDICT 3. Piecewise-smooth networks: the Hessian does not see kinks. */
#define SS_KINK_SHARE 0.01 /* steps at which fewer units change side are preferred */
typedef struct ss_verdict_kinks {
    bool   present;       /* some unit is piecewise smooth */
    double share_step;    /* share of the units that change side at the witness step; NaN without a witness */
    double share_valid;   /* at r_valid */
    bool   step_exceeds;  /* no step with less than 1 % was found */
    double region_radius; /* "within one linear region, radius r": largest step tried, along the lowest Ritz
                             vector and the gradient, at which no unit changes side; NaN when smooth */
} ss_verdict_kinks;

/* VERDICT 3. Weights stored in bf16 or fp16. */
typedef struct ss_verdict_rounded {
    bool   present;         /* some active weight is stored so */
    double radius;          /* r_s = ||half an ulp of theta|| */
    double gradient_change; /* change of ||g|| that rounding alone explains: ||C r|| r_s, unit random r */
    double loss_change;     /* the same for L: ||g|| r_s / sqrt n + |r'Cr| r_s^2 / 2 */
    bool   cannot_judge;    /* r_s exceeds the witness step or r_valid: only the stored weights are judged */
} ss_verdict_rounded;

/* Curvature on the level set of the loss: the lowest eigenvalue of P H P, P = I - gg'/g'g, on the directions
 * orthogonal to g. It needs no critical point. */
typedef struct ss_verdict_level_set {
    bool measured;
    double
        lambda_min; /* lowest Ritz value of P H P, or exact (dense): never below the truth by more than E */
    double lambda_min_error; /* residual norm plus E; dense: E */
    double products;         /* spent on it */
} ss_verdict_level_set;

/* What --polish did before the verdict was given; the rest is zero when it did not run. */
typedef struct ss_verdict_polish {
    bool        ran;
    int64_t     steps;            /* Newton-MR steps made */
    ss_end      end;              /* critical: ||g|| reached its target; gradient_flat: stalled there */
    double      moved;            /* ||theta - theta_start|| */
    double      moved_relative;   /* of ||theta_start|| */
    double      loss_start;       /* L before */
    double      loss_change;      /* L after - L before */
    double      gradient_start;   /* ||g|| before */
    double      gradient_end;     /* ||g|| after */
    double      flat_ratio;       /* ||Hg|| / (lambda_abs ||g||) where it ended, lambda_abs estimated */
    ss_label    label_start;      /* verdict before */
    double      lambda_min_start; /* before */
    ss_interval negative_start;   /* n-(-tau) before */
    ss_interval zero_start;       /* n0 before */
    ss_interval positive_start;   /* n+(tau) before */
    double      cost;             /* of the polish, in products */
} ss_verdict_polish;

/* VERDICT 4. One column of "what is left here". */
typedef struct ss_left_row {
    ss_direction direction;
    bool         tried;
    double       step;      /* length of the step in parameter space */
    int          sign;      /* +1 or -1 along the direction */
    double       decrease;  /* real, float64; 0 when the loss fell nowhere */
    double       predicted; /* by the quadratic model at that step */
    double       share;     /* decrease / L */
    double       radius;    /* r_valid along it; NaN when not measured */
} ss_left_row;

typedef struct ss_verdict_left {
    ss_left_row  row[SS_DIRECTION_COUNT];
    ss_answer    answer; /* which sentence answers why the loss has stopped falling */
    ss_direction best;   /* row of the largest decrease */
    double       share;  /* its share of L */
    double       noise;  /* sampling error of L that gains are compared with; NaN when not measured */
    double       cost;   /* spent on this question, in products */
} ss_verdict_left;

/* VERDICT 5. The flat-space probe. */
#define SS_PROBE_RADII 8
typedef struct ss_verdict_flat_probe {
    bool    ran;
    bool    found;                        /* descent like r^p in three consecutive balls */
    int     order;                        /* p; 0 = none */
    int64_t flat_vectors;                 /* Ritz vectors that were combined */
    int     combinations;                 /* per ball, both signs each */
    int     radii;                        /* balls used, at most SS_PROBE_RADII */
    int     steps;                        /* L-BFGS steps allowed per ball */
    double  radius[SS_PROBE_RADII];       /* of the balls */
    double  decrease[SS_PROBE_RADII];     /* D(r) */
    double  threshold[SS_PROBE_RADII];    /* max(100 roundings, 10 min(||g|| r, d)) */
    double  exponent[SS_PROBE_RADII - 1]; /* between neighbouring balls; NaN where D <= 0 */
    bool    ascent_ran;                   /* mirrored: for a maximum, or descent of even order alone */
    bool    ascent_found;
    int     ascent_order;
    double  cost;    /* in products */
    bool    reduced; /* the budget reduced combinations, radii or steps */
    double
        *vector; /* [n] packed offset from theta to the best point of the largest ball, when found; owned */
} ss_verdict_flat_probe;

/* VERDICT 4. A product counts 1, a gradient 1/2, a loss 1/6; on a subset of the samples that share of it. */
typedef struct ss_verdict_cost {
    double products;    /* product equivalents spent */
    double budget;      /* product equivalents allowed; without --max-products the flat-space probe of a
                           small network may raise it */
    int64_t hessian;    /* calls: products of W, over all samples or some */
    int64_t confirming; /* products of C */
    int64_t gradients;
    int64_t losses;
    double  seconds;          /* wall clock of ss_analyze */
    double  seconds_products; /* of it in products, gradients and losses */
    double  needed_products;  /* reason budget: further products that would decide, an estimate */
    double  needed_seconds;   /* and their time */
    int64_t memory_predicted; /* bytes that the context will have handed out at most, the caller's included */
    bool    out_of_products;  /* the budget ended the search */
    bool    out_of_time;      /* --time-limit did */
} ss_verdict_cost;

/* One diagonal block of the operator: the other parameters stay where they are. */
typedef struct ss_verdict_block {
    char   *name;       /* of the tensor, or what the names of its tensors have in common; owned */
    int64_t n;          /* parameters of the block */
    double  low;        /* lowest eigenvalue */
    double  low_error;  /* an eigenvalue lies within: residual and the operator's error */
    double  high;       /* highest eigenvalue */
    double  high_error; /* likewise */
    int64_t products;   /* spent on the block */
    bool    converged;  /* both residuals below their limits */
} ss_verdict_block;

typedef struct ss_verdict {
    ss_context               *context;  /* for ss_verdict_destroy */
    bool                      complete; /* false: partial (monitor) or interrupted */
    int64_t                   n;        /* active parameters */
    int64_t                   samples;  /* of the objective */
    int64_t                   targets;  /* counted */
    ss_verdict_operator_error operator_error;
    ss_verdict_stationarity   stationarity;
    ss_verdict_curvature      curvature;
    ss_verdict_witness        witness;
    ss_verdict_counts         counts;
    ss_verdict_gauge          gauge;
    ss_verdict_distribution   distribution;
    ss_verdict_kinks          kinks;
    ss_verdict_rounded        rounded;
    ss_verdict_left           left;
    ss_verdict_flat_probe     flat_probe;
    ss_verdict_level_set      level_set;
    ss_verdict_polish         polish;
    ss_verdict_cost           cost;
    /* VERDICT 5: the label, last. */
    ss_label    label;
    ss_reason   reason; /* of inconclusive */
    ss_evidence evidence;
    int         order;           /* p of evidence "higher order"; 2 for second order; 0 otherwise */
    ss_tri      strict;          /* of a minimum or maximum */
    int64_t     flat_directions; /* when strict is false: how many; -1 unknown */
    int64_t     flat_explained;  /* of them explained by structure and gauge, at most */
    /* Filled by ss_analyze_blocks. */
    ss_verdict_block *blocks; /* [n_blocks] in the order of names; owned */
    int64_t           n_blocks;
} ss_verdict;

/* ---- Asking ---- */

/* Called after every product with what is known so far (complete == false); the verdict is borrowed. */
typedef void (*ss_verdict_monitor)(void *user, const ss_verdict *partial);

typedef struct ss_analyze_options {
    ss_product product;      /* --operator; labels other than not_critical need the Hessian */
    double     resolution;   /* --resolution X, relative to lambda_abs; 0 = 1e-2 (Lanczos) or tau (dense) */
    double     confidence;   /* 1 - eta in (0, 1); 0.99 */
    int64_t    max_products; /* 0 = 300, plus the n columns of the dense path; given: the dense path is
                                taken only when n fits into it */
    double      time_limit;  /* seconds; 0 = none */
    int64_t     dense_limit; /* largest n of the dense path; 4096 */
    double      tau;         /* absolute curvature; 0 = measured, 3 E */
    double      critical;    /* X of is_critical; 1e-3 */
    double      critical_gradient; /* ||g|| <= X instead; 0 = off */
    double      expect_loss;       /* NaN = none; SS_ERROR_INPUT before the first product if L differs */
    double      expect_tolerance;  /* relative; 1e-4 */
    uint64_t    seed;              /* start vectors, noise probe, flat-space probe */
    uint64_t    sample_seed;       /* groups of samples */
    int         basis;             /* m; 0 = by memory, 32 */
    int64_t     memory; /* bytes for all that the context hands out; 0 = nine tenths of what is free */
    int64_t     confirm_samples;  /* samples of the confirming operator; 0 = all */
    bool        three_vectors;    /* force the three-vector mode */
    const char *checkpoint;       /* file of --checkpoint, NULL = none */
    double      checkpoint_every; /* seconds between savings of the basis; 600 */
    bool        resume;           /* continue from the checkpoint if it is there */
    const char *configuration;    /* caller's own text (files, libraries, threads, plan), stored in the
                                     checkpoint and compared on resume; NULL = "" */
    ss_verdict_monitor monitor;   /* may be NULL */
    void              *monitor_user;
} ss_analyze_options;

/* Vectors that ss_analyze holds at least, for ss_objective_options: of the working type and in float64. */
void ss_analyze_vectors(int *working, int *wide);
/* The defaults. */
void ss_analyze_options_init(ss_analyze_options *options);

/* Fills *verdict; the caller destroys it, also after a failure. SS_ERROR_INTERRUPTED leaves a partial verdict
 * (complete == false) with everything found so far. SS_ERROR_USAGE for options out of range, SS_ERROR_INPUT
 * when expect_loss is missed. A spent budget is no error: it is in the verdict. */
ss_status ss_analyze(ss_context *context, ss_objective *objective, const ss_analyze_options *options,
                     ss_verdict *verdict);

/* Releases the arrays; the struct itself is the caller's. Safe on a zeroed struct. */
void ss_verdict_destroy(ss_verdict *verdict);

/* What a block is: one tensor, the tensors of one module, or all below the first number in their names. */
typedef enum ss_block_kind { SS_BLOCKS_TENSOR, SS_BLOCKS_MODULE, SS_BLOCKS_LAYER } ss_block_kind;
/* "tensor", "module", "layer"; SS_ERROR_USAGE for anything else. */
ss_status ss_block_kind_read(ss_context *context, const char *text, ss_block_kind *kind);
/* Extreme eigenvalues of every diagonal block of the active parameters, into verdict->blocks of a verdict
 * that ss_analyze has filled (its operator error is used). Blocks are searched one after the other by Lanczos
 * to a thousandth, with at most 100 products each; options->time_limit ends the list early. While it runs,
 * the network's choice of active parameters changes, so that no other objective of the network may be used;
 * afterwards it is as before. */
ss_status ss_analyze_blocks(ss_context *context, ss_network *network, const ss_dataset *dataset,
                            const ss_objective_options *objective, ss_block_kind kind,
                            const ss_analyze_options *options, ss_verdict *verdict);

#ifdef __cplusplus
}
#endif
#endif
