/* The communicator of one rank, and the calls that take NULL for it. */
#include "comm/comm.h"

static void alone_close(ss_comm *comm)
{
    ss_free(comm->context, comm);
}

static ss_status alone_sum(ss_comm *comm, double *x, int64_t count)
{
    (void)comm;
    (void)x;
    (void)count;
    return SS_OK;
}

static ss_status alone_broadcast(ss_comm *comm, void *data, int64_t bytes, int root)
{
    (void)comm;
    (void)data;
    (void)bytes;
    (void)root;
    return SS_OK;
}

static const ss_comm_class alone_class = { "alone", alone_close, alone_sum, alone_broadcast };

ss_status ss_comm_alone(ss_context *context, ss_comm **comm)
{
    ss_status status = SS_NEW(context, comm);
    if (status == SS_OK) **comm = (ss_comm){ .class = &alone_class, .context = context, .size = 1 };
    return status;
}

void ss_comm_close(ss_comm *comm)
{
    if (comm != NULL) comm->class->close(comm);
}

ss_status ss_comm_sum(ss_comm *comm, double *x, int64_t count)
{
    return comm == NULL ? SS_OK : comm->class->sum(comm, x, count);
}

ss_status ss_comm_broadcast(ss_comm *comm, void *data, int64_t bytes, int root)
{
    return comm == NULL ? SS_OK : comm->class->broadcast(comm, data, bytes, root);
}
