/* Plain evaluation of a graph in float64 on `cpu`, node by node, without any planning: what the tests of
 * networks and of symmetries compare with. */
#ifndef SS_TESTS_FORWARD_H
#define SS_TESTS_FORWARD_H

#include "network/graph.h"

/* Output of the network, [batch, elements of the output] in C order, for inputs x [batch, elements of the
 * input]. `theta`: padded vector of the active parameters, NULL = the stored weights; inactive parameters are
 * the stored ones. A loss node is skipped. */
void ss_test_forward(const ss_graph *graph, const double *theta, int64_t batch, const double *x, double *y);

#endif
