/* Networks of family `sequential`: network.json and mlp: strings.
 *
 * network.json is {"input_shape": [...], "layers": [...]}; types and attributes are those of torch.nn, and
 * parameters are named as in the state_dict of an nn.Sequential: "0.weight", "3.body.0.weight". Beyond
 * torch.nn there are {"type": "Residual", "body": [...], "shortcut": [...]}, body(x) + shortcut(x) where an
 * empty list is the identity, and {"type": "SoftCap", "cap": c}, c tanh(x / c). A nested Sequential keeps its
 * layers under "layers". A layer that the state_dict knows by something other than its position carries it as
 * "name". */
#ifndef SS_NETWORK_SEQUENTIAL_H
#define SS_NETWORK_SEQUENTIAL_H

#include "io/json.h"
#include "network/graph.h"

/* Builds the graph without weights. SS_ERROR_INPUT naming file, layer and what is allowed. */
ss_status ss_sequential_build(ss_context *context, const ss_json *json, ss_graph **graph);

/* Translates "mlp:64-16-10:tanh[:relu...]" into the text of a network.json: widths, then one activation for
 * all hidden layers or one for each (none: a linear network). Names in any case: tanh, relu,
 * leaky_relu, gelu, gelu_tanh, sigmoid, silu, softplus, elu. *text is freed by the caller. SS_ERROR_INPUT. */
ss_status ss_sequential_from_mlp(ss_context *context, const char *specification, char **text);

#endif
