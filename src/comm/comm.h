/* Who else is computing: sums and broadcasts of small host data between the ranks that share one vector.
 *
 * NULL stands for "alone" everywhere. Long vectors are never sent through here: their slices stay where they
 * are, only scalars and small dense matrices travel. */
#ifndef SS_COMM_COMM_H
#define SS_COMM_COMM_H

#include "backend/backend.h"

typedef struct ss_comm ss_comm;

typedef struct ss_comm_class {
    const char *name; /* "alone" */
    void (*close)(ss_comm *comm);
    /* x[i] := sum over the ranks of x[i], the same bits on every rank. */
    ss_status (*sum)(ss_comm *comm, double *x, int64_t count);
    /* Rank `root`'s bytes on every rank. */
    ss_status (*broadcast)(ss_comm *comm, void *data, int64_t bytes, int root);
} ss_comm_class;

struct ss_comm {
    const ss_comm_class *class; /* borrowed, static */
    ss_context *context;        /* borrowed */
    int         rank, size;     /* 0 <= rank < size */
};

/* A communicator of one rank. */
ss_status ss_comm_alone(ss_context *context, ss_comm **comm);
void      ss_comm_close(ss_comm *comm); /* NULL allowed */

/* As in the vtable; a NULL communicator is alone. */
ss_status ss_comm_sum(ss_comm *comm, double *x, int64_t count);
ss_status ss_comm_broadcast(ss_comm *comm, void *data, int64_t bytes, int root);

#endif
