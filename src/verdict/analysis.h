/* The state of one analysis, shared by the files of this room: one file per question of the definitions.
 *
 * Order of work (analyze.c): loss and gradient, groups, the noise probe, curvature (dense or Lanczos), the
 * operator's error, stationarity, witness, counts, kinks and rounding, distribution, what is left here, the
 * flat-space probe, the label. Everything that costs a pass over the data goes through the accounted calls of
 * cost.c. */
#ifndef SS_VERDICT_ANALYSIS_H
#define SS_VERDICT_ANALYSIS_H

#include "base/philox.h"
#include "saddlescope/dataset.h"
#include "saddlescope/spectrum.h"
#include "verdict/subject.h"
#include "verdict/vector.h"

#define SS_UNIT_ROUNDOFF64  0x1p-53
#define SS_DEFAULT_PRODUCTS 300.0 /* --max-products */
#define SS_MAX_GROUPS       32
#define SS_MIN_GROUPS       8

/* An operator over all samples or some, with its price. */
typedef struct ss_priced {
    ss_operator      op;
    bool             open;
    ss_operator_role role;
    double           fraction; /* of the samples */
    int64_t          counted;  /* of op.products: already in the account */
    double           timed;    /* of op.seconds: likewise */
} ss_priced;

/* The groups of samples, drawn once. */
typedef struct ss_groups {
    int      count;  /* N; 0 = omitted */
    int64_t *index;  /* [samples] */
    int64_t *start;  /* [N + 1] */
    double  *weight; /* [N] counted targets, sum 1 */
} ss_groups;

typedef struct ss_analysis {
    ss_context               *context;
    const ss_subject         *subject;
    const ss_analyze_options *options;
    ss_verdict               *verdict;
    double                    eta;                 /* 1 - confidence */
    double                    began;               /* clock */
    ss_samples                confirm;             /* samples of C; index NULL = all */
    int64_t                  *confirm_index;       /* owned */
    ss_priced                 working, confirming; /* opened on demand */
    ss_groups                 groups;
    int64_t                   memory;             /* bytes: --memory, or what was free at the start */
    int64_t                   before;             /* bytes held before the analysis began, programs apart */
    ss_vectors                direction;          /* g / ||g||, float64; 0 where g is */
    double                    gradient_curvature; /* direction' H direction; NaN = not known */
    ss_vectors                probe_product;      /* C r of the noise probe, float64 */
    double                    probe_quotient;     /* r' C r */
    double                    probe_norm;         /* ||C r|| */
    double                    probe_noise;        /* ||(W - C) r|| */
    int64_t                   searched;           /* products of the Lanczos search accounted for so far */
    ss_vectors                live;   /* 0 where H is structurally zero, 1 elsewhere; W's real type */
    bool                      masked; /* there are zeros in it */
    ss_dense_result          *dense;  /* one of these two ... */
    ss_eigen_result          *eigen;
    ss_vectors                lowest;  /* unit Ritz vector, float64 */
    ss_vectors                highest; /* likewise; given back when the operator's error is known */
    bool                      have_lowest, have_highest;
    bool                      forgotten; /* the other Ritz vectors' memory went to the Krylov space of g */
    ss_vectors                newton;    /* damped Newton step p, float64 */
    bool                      have_newton;
    double                    newton_predicted; /* decrease of the quadratic model along the full p */
    ss_vectors                witness;          /* v, float64 */
    bool                      refuted;          /* every Ritz value below -tau was refuted in float64 */
} ss_analysis;

/* ---- cost.c: accounted calls ---- */
double ss_analysis_used(const ss_analysis *a);      /* product equivalents */
double ss_analysis_remaining(const ss_analysis *a); /* budget - used, >= 0 */
bool   ss_analysis_out_of_time(ss_analysis *a);     /* notes it in the verdict */
bool   ss_analysis_time_is_short(
      ss_analysis *a); /* the same as soon as only the finish fits in; for searches */
/* Float64 loss and gradient at a point over samples (NULL = all). */
ss_status ss_analysis_loss(ss_analysis *a, const ss_point *point, ss_loss_value *value);
ss_status ss_analysis_gradient(ss_analysis *a, const ss_samples *samples, const ss_point *point,
                               void *gradient, ss_loss_value *value);
ss_status ss_analysis_kinks(ss_analysis *a, const ss_point *point, double *share);
ss_status ss_priced_open(ss_analysis *a, ss_operator_role role, const ss_samples *samples, ss_priced *priced);
void      ss_priced_close(ss_priced *priced);
/* y := op x for one padded column; accounts it. */
ss_status ss_priced_apply(ss_analysis *a, ss_priced *priced, const void *x, void *y);
/* Accounts products made by others (the eigensolver) and reports the partial verdict. */
void ss_priced_account(ss_analysis *a, ss_priced *priced);
/* The operators over the samples of the analysis, opened when needed. With W = C both are the same. */
ss_status ss_analysis_working(ss_analysis *a, ss_priced **priced);
ss_status ss_analysis_confirming(ss_analysis *a, ss_priced **priced);
/* x' C x and C x (float64 columns). y may be NULL. */
ss_status ss_analysis_quotient(ss_analysis *a, const void *x, double *quotient, void *y);
void      ss_analysis_report(ss_analysis *a); /* calls the monitor */

/* ---- room.c: memory ---- */
/* Takes down what the analysis may use; SS_ERROR_REFUSED when that will not do. */
ss_status ss_analysis_memory_begin(ss_analysis *a);
/* Bytes left for a basis now, when so many float64 and working vectors are still to come beside it. */
int64_t ss_analysis_room(const ss_analysis *a, int wide, int working);
/* Bytes for the curvature search, which stays until the end: what later stages need is left out. */
int64_t ss_analysis_search_room(const ss_analysis *a);
/* Predicts the peak, given that search's basis (0: three vectors). */
void ss_analysis_memory_predict(ss_analysis *a, int64_t basis);
/* So many vectors are about to be taken. */
void ss_analysis_memory_more(ss_analysis *a, int64_t wide, int64_t working);

/* ---- One function per question ---- */
ss_status ss_verdict_begin(ss_analysis *a);                 /* loss, gradient, facts: stationarity.c */
ss_status ss_verdict_groups(ss_analysis *a);                /* groups.c */
ss_status ss_verdict_confirming_samples(ss_analysis *a);    /* operator_error.c */
ss_status ss_verdict_noise_probe(ss_analysis *a);           /* operator_error.c */
ss_status ss_verdict_operator_error_finish(ss_analysis *a); /* operator_error.c */
void      ss_verdict_set_error(ss_analysis *a);             /* E, tau, eps from delta and lambda_abs */
/* ||(W - C) x|| given cx = C x, column `column` of x; 0 where W is C. */
ss_status ss_verdict_operator_difference(ss_analysis *a, const ss_vectors *x, int64_t column,
                                         const ss_vectors *cx, double *norm);
ss_status ss_verdict_curvature_search(ss_analysis *a);                 /* curvature.c */
void      ss_verdict_curvature_state(ss_analysis *a);                  /* the statement, from numbers */
ss_status ss_verdict_stationarity_finish(ss_analysis *a);              /* stationarity.c */
ss_status ss_verdict_witness_search(ss_analysis *a);                   /* witness.c */
ss_status ss_verdict_counts_finish(ss_analysis *a);                    /* counts.c */
ss_status ss_verdict_level_set_search(ss_analysis *a);                 /* level_set.c */
ss_status ss_verdict_kinks_and_rounding(ss_analysis *a);               /* kinks.c */
ss_status ss_verdict_distribution_line(ss_analysis *a);                /* distribution.c */
ss_status ss_verdict_left_here(ss_analysis *a, double allowance);      /* left.c */
ss_status ss_verdict_flat_probe_run(ss_analysis *a, double allowance); /* flat_probe.c */
bool      ss_verdict_flat_probe_wanted(const ss_analysis *a);
void      ss_verdict_answer(ss_verdict *v); /* left.c: the sentence, from numbers */

/* ---- label.c: pure functions of the numbers ---- */
void ss_verdict_label(ss_verdict *v);
void ss_verdict_strict(ss_verdict *v);

/* ---- Eigenpairs of either path ---- */
int64_t ss_analysis_ritz_count(const ss_analysis *a);
double  ss_analysis_ritz_value(const ss_analysis *a, int64_t index);
/* Unit Ritz vector as a float64 column. */
ss_status ss_analysis_ritz_vector(ss_analysis *a, int64_t index, void *x);

/* ---- line.c: the loss along a direction ---- */
typedef struct ss_line {
    const void *direction; /* float64 column, unit length */
    double      slope;     /* g'v */
    double      curvature; /* v'Hv */
    double      loss;      /* L at theta */
    double      rounding;  /* of L at theta */
} ss_line;
typedef struct ss_line_pair {
    double t;           /* step */
    double plus, minus; /* L(theta +- t v) - L */
    double rounding;    /* largest of the three sums */
    bool   valid;       /* the quadratic model holds at t (VERDICT 4) */
} ss_line_pair;
#define SS_LINE_PAIRS 40
typedef struct ss_line_table {
    ss_line_pair pair[SS_LINE_PAIRS]; /* as evaluated */
    int          count;
    double       radius; /* r_valid; 0 = not even the smallest step tried */
} ss_line_table;
double ss_analysis_length(const ss_analysis *a); /* max(||theta||, 1) */
/* r_valid(v), VERDICT 4: every pair evaluated on the way is kept. At most `allowance` product equivalents. */
ss_status ss_line_valid_radius(ss_analysis *a, const ss_line *line, double allowance, ss_line_table *table);
/* Best real decrease along theta + t sign v, t > 0, doubling or halving from `first`, then golden section, at
 * most `limit` (<= 0: none) and `allowance`. */
ss_status ss_line_search(ss_analysis *a, const void *direction, int sign, double first, double limit,
                         double allowance, double *step, double *decrease);

/* ---- gauge.c ---- */
/* v := v - Z argmin_c ||v - Z c||, packed host vector of length n; *removed = norm of what was taken off. */
ss_status ss_gauge_project(ss_analysis *a, double *v, double *removed);

/* ---- lbfgs.c ---- */
#define SS_LBFGS_MEMORY  8
#define SS_LBFGS_COLUMNS (6 + 2 * SS_LBFGS_MEMORY) /* float64 vectors that it takes */
/* Minimises sign * L in the ball of `radius` around theta, from the offset `x` (float64 column, at most that
 * long), in at most `steps` steps; x becomes the offset of the best point found, *value = sign * L there. */
ss_status ss_lbfgs_in_ball(ss_analysis *a, double sign, double radius, int steps, double allowance,
                           ss_vectors *x, double *value, double *rounding);

#endif
