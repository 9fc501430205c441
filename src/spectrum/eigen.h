/* The state of a search, shared by the files of the eigensolver.
 *
 *   eigen.c       set-up, the loop, the end
 *   restarted.c   steps with a basis, restart
 *   recurrence.c  three-term steps, replay
 *   ritz.c        small dense work: pairs, limits, decisions
 *   vectors.c     what a result hands out
 *   checkpoint.c  saving and resuming */
#ifndef SS_SPECTRUM_EIGEN_H
#define SS_SPECTRUM_EIGEN_H

#include "saddlescope/spectrum.h"
#include "spectrum/basis.h"

/* Below this the three-vector mode needs fewer products (reference 1.1). */
#define SS_EIGEN_SMALLEST_BASIS 16
#define SS_EIGEN_LARGEST_BASIS  64  /* automatic m for long vectors */
#define SS_EIGEN_LONG_BASIS     256 /* automatic m where that many vectors take at most SS_EIGEN_LONG_BYTES */
#define SS_EIGEN_LONG_BYTES     ((int64_t)512 << 20)
#define SS_EIGEN_SCRATCH                                                                                     \
    (SS_EIGEN_BESIDE - 1)  /* vectors beside the basis: two for the recurrence, one to work in */
#define SS_EIGEN_HISTORY 6 /* checks looked back at for stagnation */

/* Bytes that the dense path may take: what was stated, else what the host has free; never more than the
 * operator's device has, where the matrix is diagonalised. */
int64_t ss_dense_allowed(const ss_operator *op, int64_t stated);

typedef enum ss_eigen_phase {
    SS_PHASE_FIRST,     /* first cycle: unrestarted, fully orthogonalised */
    SS_PHASE_RESTARTED, /* thick restarts */
    SS_PHASE_CONTINUED  /* the first cycle's recurrence goes on, alpha and beta only */
} ss_eigen_phase;

/* All integers of the state: saved and restored as one array. Members are int64_t only. */
typedef struct ss_eigen_integers {
    int64_t phase;       /* ss_eigen_phase */
    int64_t columns;     /* j: columns of V whose products are known = order of the Rayleigh matrix */
    int64_t products;    /* without true residuals */
    int64_t restarts;    /* thick restarts */
    int64_t breakdowns;  /* fresh random vectors */
    int64_t invariant;   /* dimension at the first breakdown, 0 = none */
    int64_t sequence;    /* length of alpha, beta */
    int64_t first_cycle; /* of these, with full orthogonalisation */
    int64_t closed;      /* 1: the sequence cannot be extended (breakdown, given start) */
    int64_t tails;       /* 1: scratch 0 and 1 hold the recurrence's last two vectors */
    int64_t signalled;   /* 1: T showed an extreme that the basis is to look for */
    int64_t complete;    /* 1: the basis spans the space */
    int64_t checks;      /* number of evaluations of the Rayleigh matrix */
    int64_t still_low, still_high; /* checks in a row at which the wanted values had not moved */
    int64_t done;                  /* 1: the last check found everything that was asked for */
    int64_t settled;               /* 1: the last two breakdowns showed the same wanted values */
    int64_t seen_low, seen_high;   /* how many were wanted at the last breakdown */
    int64_t fresh;                 /* 1: just restarted, no product since */
} ss_eigen_integers;

/* All reals of the state. Members are double only. */
typedef struct ss_eigen_reals {
    double theta_min, theta_max;         /* over all cycles */
    double noise;                        /* breakdown floor, absolute */
    double beta;                         /* last residual norm; 0 after a breakdown */
    double start_norm;                   /* of the start vector as given */
    double settled_low, settled_high;    /* last wanted values at the last breakdown */
    double history[SS_EIGEN_HISTORY][2]; /* lowest and highest wanted Ritz value that moves most slowly */
    double seconds_operator, seconds_orthogonalisation, seconds_small, seconds_restart, seconds_total; /* s */
} ss_eigen_reals;

typedef struct ss_eigen_state {
    ss_eigen_result  *result; /* the owner; also what monitors see */
    ss_operator      *op;     /* borrowed */
    ss_context       *context;
    ss_eigen_options  o;     /* copy, automatic values filled in; strings borrowed during the search */
    ss_basis         *basis; /* m + 1 columns; NULL in three-vector mode */
    void             *scratch[SS_EIGEN_SCRATCH]; /* device [padded] each */
    int64_t           m;                         /* basis vectors, 0 in three-vector mode */
    bool              on_host;                   /* they lie in host memory */
    int64_t           capacity;                  /* order up to which the small arrays below reach */
    ss_eigen_integers i;
    ss_eigen_reals    r;
    double           *h;         /* [m, m] Rayleigh matrix, symmetric; NULL in three-vector mode */
    double           *small;     /* [capacity, capacity] eigenvectors by rows, scratch of the eigensolver */
    double           *values;    /* [capacity] */
    double           *residuals; /* [capacity] beta |s|, without the floor */
    double           *column;    /* [2 capacity] coefficients and scratch of Gram-Schmidt */
    double           *alpha, *beta; /* [sequence_capacity] */
    int64_t           sequence_capacity;
    bool              stopped;        /* the monitor asked to stop */
    bool              interrupted;    /* the flag was seen: leave after this product */
    double            started;        /* ss_seconds() when this run began */
    double            saved;          /* ss_seconds() when the vectors were saved last */
    double            seconds_before; /* of earlier runs */
} ss_eigen_state;

/* ---- ritz.c ---- */
/* Is the Rayleigh matrix evaluated at order j? Always while small, later only now and then: the dense work
 * would outgrow the products. */
bool ss_ritz_due(const ss_eigen_state *s, int64_t j);
/* Room for a Rayleigh matrix or T of that order. */
ss_status ss_ritz_reserve(ss_eigen_state *s, int64_t order);
/* Diagonalises the Rayleigh matrix (or T) and fills the result's pairs, extremes, limits, flags and bounds.
 * `check`: a point of the search itself, counted in the history; otherwise the state stays as it is. */
ss_status ss_ritz_update(ss_eigen_state *s, bool check);
/* After a resume: the result as it was when the state was saved. */
ss_status ss_ritz_restore(ss_eigen_state *s);
/* Brings bounds, error, tau, eps and the certificates of the result up to date. */
void ss_ritz_bounds(ss_eigen_state *s);
/* Is a wanted certificate still to be had: not reached, and not contradicted by a Ritz value? */
bool ss_ritz_undecided(const ss_eigen_state *s);
/* Does T show an eigenvalue beyond -tau (tau) where the certificate of that end is wanted? */
bool ss_ritz_signal(const ss_eigen_state *s);
/* Is everything that was asked for there? */
bool ss_ritz_done(const ss_eigen_state *s);
/* How many lowest and highest Ritz vectors a restart keeps (reference 1.2). */
void ss_ritz_keep(const ss_eigen_state *s, int64_t *low, int64_t *high);
/* Appends one pair to alpha, beta. */
ss_status ss_sequence_push(ss_eigen_state *s, double alpha, double beta);

/* ---- bounds.c ---- */
/* The lower bound (sign 1) or minus the upper bound (sign -1) for a known gamma; `theta` is the extreme Ritz
 * value times sign. */
double ss_bounds_root(const ss_tridiagonal *t, double sign, double theta, double gamma);
/* Lowest eigenvalue of sign * T_k. */
double ss_bounds_extreme(const ss_tridiagonal *t, double sign);

/* ---- restarted.c ---- */
ss_status ss_restarted_step(ss_eigen_state *s);    /* one product in the basis */
ss_status ss_restarted_restart(ss_eigen_state *s); /* V := V S, the last vector behind it */
/* The result after a restart that kept low + high pairs: their vectors are the first columns. */
void ss_restarted_show(ss_eigen_state *s);

/* ---- recurrence.c ---- */
/* One step of the recurrence from w = H v:  w -= coupling previous;  *alpha = v'w;  w -= alpha v;  *beta =
 * ||w|| (Paige's order). `previous` NULL: the first step. */
ss_status ss_recurrence_advance(const ss_operator *op, const void *previous, double coupling, const void *v,
                                void *w, double *alpha, double *beta);
ss_status ss_recurrence_step(ss_eigen_state *s); /* one product, three vectors */
/* x := sum_j c[j] v_j, j < i.sequence, by running the recurrence again. */
ss_status ss_recurrence_replay(ss_eigen_state *s, const double *c, void *x);
/* x := the unit start vector; *norm its length before. */
ss_status ss_recurrence_start(ss_eigen_state *s, void *x, double *norm);

/* ---- eigen.c ---- */
/* y := H x, *norm := ||y||; counts product and seconds; the first one sets the noise. Sets s->interrupted
 * instead of failing when the flag is up. SS_ERROR_NUMERIC names the first element that is not finite. */
ss_status ss_eigen_apply(ss_eigen_state *s, const void *x, void *y, double *norm);
/* A residual norm so small carries no direction: forty roundoffs of a product of length ||Hv||, or twice the
 * operator's noise. The noise of that product is at most delta ||Hv||, and at most what a random vector
 * showed: in a bulk far smaller than lambda_abs the recurrence goes on, which the bound gains by. */
double ss_eigen_breakdown_limit(const ss_eigen_state *s, double product_norm);

/* ---- checkpoint.c ---- */
/* Writes the scalars, and the vectors too if `vectors`. */
ss_status ss_checkpoint_write(ss_eigen_state *s, bool vectors);
/* Removes both files. */
ss_status ss_checkpoint_remove(ss_eigen_state *s);
/* Loads the vectors' file; *replay = products of the scalars' file (0: nothing to resume). */
ss_status ss_checkpoint_read(ss_eigen_state *s, int64_t *replay);
/* After the replay: the scalars must be those that were saved, to the last bit. */
ss_status ss_checkpoint_compare(ss_eigen_state *s);
/* m and method of the checkpoint that is to be resumed; *m = -1 when there is none. */
ss_status ss_checkpoint_basis(ss_context *context, const char *path, int64_t *m, bool *on_host);

#endif
