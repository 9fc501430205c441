/* The problem: a graph with its loss head and the data rows, in the form that the program compiler reads.
 *
 * Built once per objective (hvp/problem.c). Everything here is on the host and independent of the real type,
 * so that the working and the confirming program start from the same exact source. */
#ifndef SS_HVP_PROBLEM_H
#define SS_HVP_PROBLEM_H

#include "network/graph.h"
#include "saddlescope/dataset.h"
#include "saddlescope/objective.h"

/* One input of the network and where it comes from (hvp/inputs.h). */
typedef struct ss_problem_input {
    ss_source source;
    int32_t   value;            /* of the graph */
    bool      real;             /* stored elements, scaled; false: int64 */
    int64_t   count;            /* elements per sample */
    int64_t   parameter, limit; /* as in ss_graph_input */
    ss_array  array;        /* [samples, ...] as stored, borrowed; data NULL: made up (positions, no mask) */
    double    scale, shift; /* of real ones */
} ss_problem_input;

typedef struct ss_problem {
    ss_context       *context;
    const ss_graph   *graph;        /* with the loss as its last node; borrowed */
    const ss_node    *loss;         /* that node */
    ss_node           sampled_loss; /* the same head with class ids, for Monte-Carlo labels of soft targets */
    const ss_dataset *dataset;      /* borrowed */
    ss_loss_kind      kind;
    const char       *loss_name;  /* "causal_lm" ...; static */
    double            smoothing;  /* label smoothing */
    bool              class_ids;  /* targets are ids, not values */
    int64_t           samples;    /* of the data set */
    int64_t           rows;       /* loss rows per sample: 1, or the leading extents of the output (tokens) */
    int64_t           columns;    /* elements per loss row: classes, outputs */
    int64_t          *ids;        /* [samples * rows] class ids (-100 = not counted), or NULL */
    ss_array          targets;    /* values [samples, rows * columns]; data NULL when ids */
    double           *row_weight; /* [samples * rows] not normalised; 0 = not counted */
    double           *class_weight;           /* [columns] as ss_loss.class_weight, or NULL */
    ss_problem_input  inputs[SS_MAX_SOURCES]; /* [graph->n_inputs] */
    double            frozen_decay;           /* regularisers of frozen parameters: a constant of the loss */
} ss_problem;

/* Normaliser of a subset (NULL = all): the objective's data term is (1 / normaliser) sum row_weight l. Also
 * the number of counted targets. */
void ss_problem_normaliser(const ss_problem *problem, const ss_samples *samples, double *normaliser,
                           int64_t *targets);

/* Puts the loss that the options ask for at the end of the graph, fused with its head where it has one.
 * SS_ERROR_USAGE for an unknown loss and one that the head does not take. */
ss_status   ss_problem_prepare_graph(ss_context *context, ss_graph *graph, const ss_dataset *dataset,
                                     const ss_objective_options *options);
const char *ss_problem_loss_name(const ss_problem *problem); /* "mse" ...; static */

/* Checks network, data and options against each other and builds the problem. */
ss_status ss_problem_create(ss_context *context, const ss_graph *graph, const ss_dataset *dataset,
                            const ss_objective_options *options, ss_problem **problem);
void      ss_problem_destroy(ss_problem *problem);

/* Facts that need no pass over the network (ss_objective_facts). */
ss_status ss_problem_facts(const ss_problem *problem, ss_objective_facts *facts);

/* The problem behind an objective, for the verdict's groups of samples and gauge; borrowed. */
const ss_problem *ss_objective_problem(const ss_objective *objective);

#endif
