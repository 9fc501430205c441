/* Golden cases: folders with case.json, network, weights, data and the exact float64 values that belong to
 * them (tests/cases/README.md). Shared by the oracle runner and whoever wants a whole network. */
#ifndef SS_TESTS_GOLDEN_H
#define SS_TESTS_GOLDEN_H

#include "io/archive.h"
#include "saddlescope/dataset.h"
#include "saddlescope/network.h"
#include "saddlescope/objective.h"

#include <jansson.h>

typedef struct ss_golden {
    ss_context *context;         /* borrowed */
    char        name[96];        /* of the folder */
    json_t     *facts;           /* case.json */
    ss_archive *expected;        /* expected.safetensors; NULL where case.json has a recipe instead */
    ss_network *network;         /* parameters and decay as case.json says */
    ss_dataset *dataset;         /* with its input_scale */
    double     *class_weights;   /* [n_class_weights] or NULL */
    int64_t     n_class_weights; /* classes */
    double      lambda_abs;      /* largest |eigenvalue| of case.json */
} ss_golden;

/* Opens the folder. SS_ERROR_INPUT with the network's own message when the network is not supported (yet). */
ss_status ss_golden_open(ss_context *context, const char *folder, ss_golden *golden);
void      ss_golden_close(ss_golden *golden);

/* The objective of the case in a working precision; destroy it before ss_golden_close. */
ss_status ss_golden_objective(ss_golden *golden, ss_real real, ss_objective **objective);

/* Members of case.json: NULL or NaN when absent. */
const char *ss_golden_text(const ss_golden *golden, const char *key);
double      ss_golden_number(const ss_golden *golden, const char *key);

/* packed[n] := the stored vector "<prefix>/<parameter>" in canonical order. */
ss_status ss_golden_vector(const ss_golden *golden, const char *prefix, double *packed);

/* Folders with golden cases: tests/cases, then the one that SS_ORACLE names, or shared/oracle beside or above
 * the source tree. Calls visit(user, path of the case) in the order of names; prints folders that are absent.
 * Returns the number of cases. */
int64_t ss_golden_visit(void (*visit)(void *user, const char *folder), void *user);

#endif
