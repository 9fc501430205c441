/* What an open network holds; private to network/. */
#ifndef SS_NETWORK_NETWORK_PRIVATE_H
#define SS_NETWORK_NETWORK_PRIVATE_H

#include "network/graph.h"
#include "saddlescope/network.h"

struct ss_network {
    ss_context *context; /* borrowed */
    ss_graph   *graph;   /* owned */
    char       *source;  /* as given; owned */
    char       *weights; /* path of the weights file, "" for seeded weights; owned */
    const char *loss;    /* that it was made for; NULL = it does not say */
};

/* Opens what is no network.json and no mlp: string (open_transformer.c). *found false: the source is not of
 * that kind. */
ss_status ss_network_open_transformer(ss_network *network, const ss_network_options *options, bool *found);
/* Does the file begin with something other than JSON? False when it cannot be read (then the parser says
 * why).
 */
bool ss_network_is_binary(const char *path);

#endif
