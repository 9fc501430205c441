/* Networks built by hand through the graph interface, with data in memory: what the hvp suites work on. */
#ifndef SS_TESTS_HVP_FIXTURE_H
#define SS_TESTS_HVP_FIXTURE_H

#include "hvp/program.h"
#include "support/support.h"

typedef enum fixture_kind {
    FIXTURE_PLAIN,    /* 5 -> 7 tanh -> 6 gelu -> 4, cross-entropy of ids, one not counted */
    FIXTURE_BRANCHES, /* product of branches, sum, LayerNorm, partial views, a tied weight; mse */
    FIXTURE_TOKENS,   /* embeddings, LayerNorm, 4 -> 6 gelu -> 4, head with bias and soft cap; causal_lm */
    FIXTURE_TIED,     /* the table is the head's weight, positions from padding, Conv1D, RMSNorm; masked_lm */
    FIXTURE_ATTENTION, /* packed projections, rotary positions, causal attention of 2 heads on 1; causal_lm */
    FIXTURE_IMAGES,    /* patches, class token and positions, LayerNorm, 4 -> 3 of the class token */
    FIXTURE_KINKED,    /* 5 -> 9 relu -> 3, bce_with_logits; from here on piecewise smooth */
    FIXTURE_EXPERTS,   /* embedding, 2 of 3 experts, head; causal_lm */
    FIXTURE_KIND_COUNT
} fixture_kind;

typedef struct fixture {
    ss_graph   *graph;
    ss_dataset *dataset;
    ss_problem *problem;
    ss_backend *backend;
    double     *x, *values; /* data */
    int64_t    *ids;        /* class ids, or token ids [samples, FIXTURE_TOKENS_PER_SAMPLE] */
    int64_t    *labels;     /* of tokens, alike */
} fixture;

#define FIXTURE_SAMPLES           11
#define FIXTURE_TOKENS_PER_SAMPLE 5
#define FIXTURE_VOCABULARY        9 /* tokens 7 and 8 never occur */
#define FIXTURE_PADDING           1 /* of FIXTURE_TIED: the token that has no position */

/* `decay` on every parameter; `include` = glob of the active parameters or NULL. */
void fixture_create(fixture *f, fixture_kind kind, const char *device, ss_real real, double decay,
                    const char *include);
void fixture_destroy(fixture *f);
/* An embedding (times 1/2) with the head (weight and bias) behind it; not yet bound. */
void fixture_build_smallest(ss_graph *graph);
/* The problem once more, after a change of the graph's loss node or of the data in place. */
void fixture_renew_problem(fixture *f, fixture_kind kind);

/* Device block of `lanes` padded vectors, filled from packed ones (NULL = NaN everywhere). Owned by the
 * caller. */
void *fixture_upload(const fixture *f, int lanes, const double *packed);
/* One run of a program; v (may be NULL) and out packed. */
void fixture_run(fixture *f, ss_program *p, int lanes, const double *v, double *out);
/* A program with these options (samples and computation filled in by the caller); all vectors packed,
 * float64. */
void fixture_product(fixture *f, const ss_program_options *options, int lanes, const double *v, double *hv);
/* Gradient at theta + step * direction (NULL = theta). */
void fixture_gradient(fixture *f, int64_t micro_batch, double step, const double *direction, double *gradient,
                      double *loss);
/* A packed vector of standard normals. */
void fixture_random(const fixture *f, uint64_t seed, double *v);

#endif
