#include "support/forward.h"

#include "support/support.h"

#include <string.h>

typedef struct evaluation {
    const ss_graph *graph;
    ss_backend     *backend;
    int64_t         batch;
    void          **values;     /* [n_values] device; NULL for views */
    void          **parameters; /* [n_parameters] device */
} evaluation;

static void *upload(ss_backend *b, const double *host, int64_t count)
{
    void   *memory;
    int64_t bytes = count * (int64_t)sizeof(double);
    ss_test_require(b->class->allocate(b, bytes, &memory));
    if (host != NULL) ss_test_require(b->class->upload(b, NULL, memory, host, bytes));
    ss_test_require(b->class->queue_synchronize(b, NULL));
    return memory;
}

/* The value as a tensor with the batch dimension; a view lies in its base's memory. */
static ss_tensor value_tensor(const evaluation *e, int32_t number)
{
    const ss_value *v = &e->graph->values[number];
    int32_t         root = v->base >= 0 ? v->base : number;
    ss_tensor       t = { .rank = v->rank + 1 };
    int64_t         stride = 1;
    t.data = (double *)e->values[root] + v->view_offset;
    t.shape[0] = e->batch;
    t.stride[0] = e->graph->values[root].count;
    for (int32_t d = v->rank - 1; d >= 0; d--) {
        t.shape[d + 1] = v->shape[d];
        t.stride[d + 1] = v->base >= 0 ? v->view_stride[d] : stride;
        stride *= v->shape[d];
    }
    return t;
}

static ss_tensor parameter_tensor(const evaluation *e, int32_t number)
{
    const ss_parameter *p = &e->graph->parameters[number];
    ss_tensor           t = { .data = e->parameters[number], .rank = p->array.rank };
    int64_t             stride = 1;
    for (int32_t d = t.rank - 1; d >= 0; d--) {
        t.shape[d] = p->array.shape[d];
        t.stride[d] = stride;
        stride *= t.shape[d];
    }
    return t;
}

static void run_node(const evaluation *e, const ss_node *node)
{
    ss_call call = { .node = node, .backend = e->backend, .lanes = 1 };
    void   *saved = upload(e->backend, NULL, e->batch * node->saved_count);
    for (int32_t i = 0; i < node->n_inputs; i++)
        call.operand[SS_OPERAND(SS_PRIMAL, SS_X + i)] = value_tensor(e, node->input[i]);
    for (int32_t i = 0; i < node->n_parameters; i++)
        if (node->parameter[i] >= 0)
            call.operand[SS_OPERAND(SS_PRIMAL, SS_W + i)] = parameter_tensor(e, node->parameter[i]);
    call.operand[SS_OPERAND(SS_PRIMAL, SS_Y)] = value_tensor(e, node->output);
    if (node->saved_count > 0)
        call.operand[SS_OPERAND(SS_PRIMAL, SS_SAVED)] = (ss_tensor){ .data = saved,
                                                                     .rank = 2,
                                                                     .shape = { e->batch, node->saved_count },
                                                                     .stride = { node->saved_count, 1 } };
    ss_test_require(node->op->sweep(&call, SS_FORWARD));
    e->backend->class->release(e->backend, saved);
}

static void place_parameters(evaluation *e, const double *theta)
{
    for (int32_t i = 0; i < e->graph->n_parameters; i++) {
        const ss_parameter *p = &e->graph->parameters[i];
        double             *host;
        ss_test_require(ss_allocate(ss_test_context, p->count, sizeof(double), (void **)&host));
        if (theta != NULL && p->offset >= 0)
            memcpy(host, theta + p->offset, (size_t)p->count * sizeof(double));
        else
            ss_array_convert(&p->array, 0, p->count, SS_FLOAT64, host);
        e->parameters[i] = upload(e->backend, host, p->count);
        ss_free(ss_test_context, host);
    }
}

void ss_test_forward(const ss_graph *graph, const double *theta, int64_t batch, const double *x, double *y)
{
    evaluation      e = { .graph = graph, .batch = batch };
    const ss_value *output = &graph->values[graph->output];
    ss_test_require(ss_backend_open(ss_test_context, ss_test_device(), SS_FLOAT64, &e.backend));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, graph->n_values, &e.values));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, graph->n_parameters, &e.parameters));
    place_parameters(&e, theta);
    for (int32_t i = 0; i < graph->n_values; i++)
        if (graph->values[i].base < 0)
            e.values[i] = upload(e.backend, i == 0 ? x : NULL, batch * graph->values[i].count);
    for (int32_t i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i].op->kind != SS_OP_LOSS) run_node(&e, &graph->nodes[i]);

    ss_tensor t = value_tensor(&e, graph->output);
    ss_matrix m;
    ss_test_require(ss_tensor_matrix(ss_test_context, &t, output->count, &m));
    for (int64_t i = 0; i < batch; i++)
        ss_test_require(e.backend->class->download(e.backend, NULL, y + i * output->count,
                                                   (const double *)m.data + i * m.ld,
                                                   output->count * (int64_t)sizeof(double)));
    ss_test_require(e.backend->class->queue_synchronize(e.backend, NULL));
    for (int32_t i = 0; i < graph->n_values; i++)
        if (e.values[i] != NULL) e.backend->class->release(e.backend, e.values[i]);
    for (int32_t i = 0; i < graph->n_parameters; i++) e.backend->class->release(e.backend, e.parameters[i]);
    ss_free(ss_test_context, e.values);
    ss_free(ss_test_context, e.parameters);
    ss_backend_close(e.backend);
}
