/* The inputs of the network, from the data set's rows (hvp/inputs.c). */
#ifndef SS_HVP_INPUTS_H
#define SS_HVP_INPUTS_H

#include "hvp/problem.h"

/* Checks every input of the graph against the data set and fills problem->inputs: SS_ERROR_INPUT for shapes
 * and types that do not fit and for integers out of range, with sample and token. */
ss_status ss_problem_fit_inputs(ss_problem *problem);

/* The token ids of a data set: "input_ids", or its inputs whatever their name; borrowed. */
const ss_array *ss_problem_token_ids(const ss_dataset *dataset);

/* Bytes of one sample of an input: stored elements of a real one, int64 of the others. */
int64_t ss_problem_input_bytes(const ss_problem_input *input);
/* Writes one sample: stored elements (patches in the order of the network), or int64. */
void ss_problem_fill_input(const ss_problem_input *input, int64_t sample, void *to);

#endif
