/* slice: the loss along one line or over one plane through the weights, beside its second-order Taylor model.
 *
 *   model(s, t) = L + s g'u + t g'w + (s^2 u'Hu + 2 s t u'Hw + t^2 w'Hw) / 2
 *
 * Everything is float64. Where model and loss part, the Hessian has nothing more to say. */
#ifndef SADDLESCOPE_SLICE_H
#define SADDLESCOPE_SLICE_H

#include "saddlescope/objective.h"
#include "saddlescope/spectrum.h"

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
#define SS_SLICE_TABLE(row) \
    row(SS_SLICE_LOW, "low")            /* the number-th lowest eigenvector, from 1 */ \
    row(SS_SLICE_HIGH, "high")          /* the number-th highest */ \
    row(SS_SLICE_GRADIENT, "gradient") \
    row(SS_SLICE_RANDOM, "random")      /* standard normal, seed `number` */ \
    row(SS_SLICE_VECTOR, "vector")      /* given */ \
    row(SS_SLICE_TOWARDS, "towards")    /* given displacement; t = 1 is its end */
/* clang-format on */
typedef enum ss_slice_kind {
#define SS_SLICE_ENUMERATOR(name, text) name,
    SS_SLICE_TABLE(SS_SLICE_ENUMERATOR)
#undef SS_SLICE_ENUMERATOR
        SS_SLICE_KINDS
} ss_slice_kind;

const char *ss_slice_kind_name(ss_slice_kind kind);

typedef struct ss_slice_direction {
    ss_slice_kind kind;
    int64_t       number; /* of the eigenvector, or seed */
    const double *packed; /* [n] VECTOR, TOWARDS: borrowed */
} ss_slice_direction;

typedef struct ss_slice_axis {
    ss_slice_kind kind;
    int64_t       number;
    double        length;       /* of the direction per unit of t: 1, or the distance of TOWARDS */
    double        eigenvalue;   /* LOW, HIGH: Ritz value; otherwise NaN */
    double        residual;     /* its residual norm */
    double        slope;        /* g'u, per unit of t */
    double        curvature;    /* u'Hu */
    double        valid_radius; /* the model is good to a tenth up to there (VERDICT 4), in units of t */
    double        low, high;    /* range of t shown */
} ss_slice_axis;

typedef struct ss_slice_point {
    double t[2];     /* place in the slice, by projection; t[1] is 0 in one dimension */
    double distance; /* from the slice */
    double loss;     /* at the point itself, not at its projection */
} ss_slice_point;

typedef struct ss_slice_result {
    ss_context     *context;    /* borrowed */
    bool            complete;   /* false: interrupted; losses that are missing are NaN */
    int64_t         n;          /* active parameters */
    int             dimensions; /* 1 or 2 */
    ss_slice_axis   axis[2];
    double          mixed;         /* u'Hw of both */
    double          loss;          /* L at the weights */
    double          rounding;      /* of one sum of the loss */
    double          gradient_norm; /* ||g|| */
    double          lowest;        /* loss in the slice */
    double          lowest_at[2];  /* and its place */
    int64_t         size[2];       /* points along each axis; size[1] is 1 in one dimension */
    int64_t         count;         /* of both together */
    double         *t[2];          /* [size] ascending; t[1] NULL in one dimension */
    double         *losses;        /* [size[1], size[0]] true */
    double         *model;         /* [size[1], size[0]] Taylor */
    ss_slice_point *path;          /* [n_path] NULL = none */
    int64_t         n_path;
    int64_t         products;    /* of the Hessian */
    int64_t         evaluations; /* of the loss */
    double          seconds;
} ss_slice_result;

/* Called after every product and every loss. */
typedef ss_status (*ss_slice_monitor)(void *user, const char *what, int64_t done, int64_t total);

typedef struct ss_slice_options {
    ss_slice_direction direction[2];
    int                dimensions; /* 1 or 2; the second direction is made orthogonal to the first */
    int64_t            points;     /* along each axis, made odd; 0 = 81 in one dimension, 31 in two */
    double             range;      /* half width of axes of unit length; 0 = three valid radii */
    const double      *path;       /* [n_path, n] displacements from the weights, packed; borrowed */
    int64_t            n_path;
    int64_t            max_products; /* of the search for eigenvectors */
    int64_t            memory;       /* bytes for its basis; 0 = half of what is free */
    uint64_t           seed;
    ss_slice_monitor   monitor; /* may be NULL */
    void              *monitor_user;
} ss_slice_options;

/* One dimension along the lowest eigenvector, at most 300 products. */
void ss_slice_options_init(ss_slice_options *options);
/* Fills *result; the caller destroys it, also after a failure. Interrupted: what was computed, with
 * SS_ERROR_INTERRUPTED. SS_ERROR_USAGE: directions that are zero, parallel or out of range. */
ss_status ss_slice(ss_context *context, ss_objective *objective, const ss_slice_options *options,
                   ss_slice_result *result);
void      ss_slice_result_destroy(ss_slice_result *result); /* safe on a zeroed struct */

#ifdef __cplusplus
}
#endif
#endif
