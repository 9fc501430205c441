/* What a verdict is good for: polishing a point, leaving a saddle, the critical points of many networks, the
 * checkpoints of a run.
 *
 * All of it moves in float64 from the stored weights, on the whole data set. "VERDICT n" names the section of
 * the definitions in VERDICT.md. A number that was not determined is NaN. */
#ifndef SADDLESCOPE_FOLLOW_H
#define SADDLESCOPE_FOLLOW_H

#include "saddlescope/spectrum.h"
#include "saddlescope/verdict.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a walk has cost: a product counts 1, a gradient 1/2, a loss 1/6. */
typedef struct ss_follow_cost {
    double  products;  /* product equivalents spent */
    double  budget;    /* allowed; infinite = no limit */
    int64_t hessian;   /* products */
    int64_t gradients; /* calls */
    int64_t losses;    /* calls */
    double  seconds;   /* wall clock */
    bool    out_of_products, out_of_time;
} ss_follow_cost;

/* ---- Polish: to the nearby critical point -----------------------------------------------------------------
 * Newton-MR (Roosta et al., arXiv:1810.00303): H p = -g in the least-squares sense by MINRES, then
 * backtracking on ||g||^2. Minimises ||g||, so that the index of the point does not matter. */
typedef struct ss_polish_options {
    int64_t steps;        /* K, at most; 10 */
    int64_t inner;        /* products per step, at most; 0 = 100 + n up to 1000 */
    double  reduce;       /* stop at ||g|| <= this times that of the start; 1e-8 */
    double  max_products; /* budget of the walk; 0 = no limit */
    double  time_limit;   /* seconds; 0 = none */
} ss_polish_options;
void ss_polish_options_init(ss_polish_options *options);

/* Moves the objective's theta (ss_objective_set_weights) to the polished point and fills *polish, except what
 * verdicts say. */
ss_status ss_polish(ss_context *context, ss_objective *objective, const ss_polish_options *options,
                    ss_verdict_polish *polish);
/* The verdict, the polish, the verdict at the polished point: *verdict, with its member `polish` filled. */
ss_status ss_polish_analyze(ss_context *context, ss_objective *objective, const ss_polish_options *polish,
                            const ss_analyze_options *options, ss_verdict *verdict);

/* ---- Escape: out of a saddle along its negative curvature -------------------------------------------------
 */
#define SS_ESCAPE_ROWS    512
#define SS_ESCAPE_VECTORS 32 /* directions, at most */
typedef struct ss_escape_row {
    int    vector;    /* number of the direction v: 1 = the witness; 0 = the steps of all taken together */
    int    sign;      /* along +v or -v */
    double step;      /* t */
    double predicted; /* -(t g'v + t^2 v'Hv / 2) */
    double real;      /* L - L(theta + t v), float64 */
    bool   enough;    /* real >= half of predicted, and positive */
} ss_escape_row;

/* A direction of negative curvature and the best step along it. */
typedef struct ss_escape_direction {
    int    vector;       /* its number, as in the rows */
    double quotient;     /* v'Hv, float64 */
    double slope;        /* g'v */
    double valid_radius; /* r_valid (VERDICT 4); 0 = not known */
    double least_step;   /* r_valid / 2, where the search begins */
    int    sign;         /* of the best step; 0 = none gains what it promises */
    double step;         /* t */
    double predicted;    /* decrease of the Taylor model there */
    double real;         /* decrease of the true loss */
} ss_escape_direction;

typedef struct ss_escape_options {
    int64_t
         vectors; /* directions tried: the witness, further lowest eigenvectors; 1 .. SS_ESCAPE_VECTORS; 1 */
    bool until_minimum;   /* go on until analyze says minimum, or the budget ends */
    int64_t rounds;       /* descents and verdicts, at most; 20 */
    int64_t steps;        /* Newton-CG steps per round, at most; 200 */
    double  max_products; /* budget of the walk without the verdicts; 0 = no limit */
    double  time_limit;   /* seconds of the whole; 0 = none */
} ss_escape_options;
void ss_escape_options_init(ss_escape_options *options);

typedef struct ss_escape_result {
    bool                left;                /* a step was taken; false: `before` has no witness to follow */
    int                 vector;              /* number of the direction that was followed, as in the rows */
    int                 sign;                /* +1 or -1 along it */
    double              step;                /* t */
    double              least_step;          /* r_valid / 2 */
    double              predicted;           /* decrease of the Taylor model there */
    double              real;                /* decrease of the true loss */
    double              loss_start;          /* L at the saddle */
    double              loss_end;            /* L where it ended */
    double              moved;               /* ||theta_end - theta_start|| */
    int64_t             n_rows;              /* of the search */
    ss_escape_row       row[SS_ESCAPE_ROWS]; /* [n_rows] as tried */
    int64_t             n_directions;        /* that were tried; 0 where the flat-space probe led out */
    ss_escape_direction direction[SS_ESCAPE_VECTORS + 1]; /* [n_directions] */
    bool                until_minimum;
    int64_t             rounds;       /* of descent and verdict */
    int64_t             steps;        /* of Newton-CG, all rounds */
    double              gradient_end; /* ||g|| where it ended; NaN without until_minimum */
    ss_verdict          before;       /* at the start; owned (ss_escape_result_destroy) */
    ss_verdict          after;        /* where it ended */
    ss_follow_cost      cost;         /* of the walk without the verdicts */
} ss_escape_result;

/* From the witness of the verdict at theta (and further lowest eigenvectors), or, where the saddle is of
 * higher order, from what the flat-space probe found (the prediction is then its power law). Moves the
 * objective's theta to where it ends. SS_OK with left == false when the verdict has neither: nothing has
 * moved then. */
ss_status ss_escape(ss_context *context, ss_objective *objective, const ss_escape_options *options,
                    const ss_analyze_options *analyze, ss_escape_result *result);
void      ss_escape_result_destroy(ss_escape_result *result);

/* ---- Study: one network taken to a critical point ---------------------------------------------------------
 */
typedef struct ss_study_options {
    double  scale;      /* factor of the initial weights */
    double  silent;     /* share of the units of each hidden layer that begin at zero */
    double  paired;     /* share of the others that begin as pairs of equal units */
    int64_t loss_steps; /* Newton-CG steps on the loss before ||g|| is minimised; -1 = to the end */
    int64_t steps;      /* Levenberg-Marquardt steps on ||g||^2, at most; 60 */
    double  reduce;     /* critical at ||g|| <= this times that of the start; 1e-8 ... */
    double  overshoot;  /* ... and the walk goes on to this times it, where float64 allows; 1e-3 */
    double  time_limit; /* seconds of the walk; 0 = none */
} ss_study_options;
void ss_study_options_init(ss_study_options *options);
/* The start that a seed stands for: scale, length of the descent, silent and paired units vary with it, so
 * that the points of a study have many indices. */
void ss_study_options_for(int64_t seed, ss_study_options *options);

typedef struct ss_study_point {
    /* Which network: filled by the caller. */
    int64_t number; /* of the point in the study */
    int64_t width;  /* of the hidden layers; 0 = as the network says */
    int64_t seed;   /* of the initial weights */
    /* Filled by ss_study. */
    int64_t     n;              /* parameters */
    double      scale;          /* factor of the initial weights */
    double      silent;         /* share of the hidden units that began at zero */
    double      paired;         /* share of the others that began as pairs */
    int64_t     loss_steps;     /* on the loss, made */
    int64_t     steps;          /* on ||g||^2, made */
    double      loss_start;     /* at the initial weights */
    double      loss;           /* where it ended */
    double      gradient_start; /* ||g|| at the initial weights */
    double      gradient;       /* ||g|| where it ended */
    double      theta_norm;     /* ||theta|| there */
    double      lambda_min;     /* of the Hessian there */
    double      lambda_max;
    double      tau;      /* eigenvalues within have no sign */
    int64_t     negative; /* eigenvalues below -tau */
    int64_t     zero;
    int64_t     positive;
    double      positive_share;        /* n+ / n */
    double      positive_among_signed; /* n+ / (n+ + n-) */
    double      negative_share;        /* n- / n: Dauphin's index */
    ss_label    label;
    ss_evidence evidence;
    int         order;
    ss_end      end;       /* critical, gradient_flat, escaping, unfinished */
    char        setup[17]; /* digest of everything the numbers depend on, the caller's */
} ss_study_point;

/* Takes the objective's network from its weights (times `scale`) to a critical point and judges it there,
 * with the dense Hessian. Moves the objective's theta. SS_ERROR_REFUSED when n exceeds the dense limit. */
ss_status ss_study(ss_context *context, ss_objective *objective, const ss_study_options *options,
                   const ss_analyze_options *analyze, ss_study_point *point);

/* ---- Track: one checkpoint of a run -----------------------------------------------------------------------
 */
typedef struct ss_track_options {
    int64_t       subspace;     /* k highest Ritz vectors whose span is compared; 5 */
    double        tolerance;    /* of the eigenvalues: rtol of the residual; 1e-6 */
    int64_t       max_products; /* of the eigenvalue search; 300 */
    uint64_t      seed;         /* of the start vector: the same for every checkpoint */
    bool          judge;        /* the label too (ss_analyze) */
    const double *precondition; /* [n] packed diagonal P > 0: P^-1/2 H P^-1/2 too; NULL = none */
} ss_track_options;
void ss_track_options_init(ss_track_options *options);

#define SS_TRACK_NAME 256
typedef struct ss_track_point {
    /* Which checkpoint: filled by the caller. */
    char    name[SS_TRACK_NAME]; /* as it was found */
    int64_t step;                /* last number in its name; -1 = none */
    double  rate;                /* learning rate there; NaN = not stated */
    double  threshold;           /* largest stable curvature at that rate; NaN likewise */
    /* Filled by ss_track. */
    double   loss;       /* L */
    double   gradient;   /* ||g|| */
    double   lambda_min; /* of H */
    double   lambda_min_error;
    double   lambda_max;
    double   lambda_max_error;
    double   preconditioned; /* lambda_max of P^-1/2 H P^-1/2; NaN without P */
    double   preconditioned_error;
    double   overlap;   /* ||V'W||_F^2 / k with the previous point's subspace; NaN without one */
    ss_label label;     /* SS_LABEL_INCONCLUSIVE when not judged */
    int64_t  products;  /* of the eigenvalue search */
    char     setup[17]; /* digest of everything the numbers depend on, the caller's */
} ss_track_point;

/* Numbers of the objective's theta. subspace [k, n] packed host vectors: the previous point's top space when
 * *have (read), this one's afterwards (written; *have becomes true). */
ss_status ss_track(ss_context *context, ss_objective *objective, const ss_track_options *options,
                   const ss_analyze_options *analyze, double *subspace, bool *have, ss_track_point *point);

/* "checkpoint-200" before "checkpoint-1000": runs of digits compare as numbers. Like strcmp. */
int ss_natural_compare(const char *a, const char *b);
/* The last run of digits of a name as a number, -1 if there is none. */
int64_t ss_natural_number(const char *name);

#ifdef __cplusplus
}
#endif
#endif
