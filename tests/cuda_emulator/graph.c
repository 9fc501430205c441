/* Captured graphs: work items with the items they depend on. A replay takes the items in one of several
 * orders that respect the dependencies, so that one which is missing shows. */
#include "private.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct node {
    emu_work *work;
    emu_front needs;
} node;

typedef struct nodes { /* shared by a graph and what was instantiated from it */
    node *list;
    int   count, room, references;
} nodes;

struct emu_capture {
    cudaStream_t               origin;
    enum cudaStreamCaptureMode mode;
    pthread_t                  thread; /* that began it */
    bool                       spoilt;
    uint64_t                   number;
    nodes                     *nodes;
};
struct CUgraph_st {
    nodes      *nodes;
    cudaGraph_t next;
};
struct CUgraphExec_st {
    nodes          *nodes;
    cudaGraphExec_t next;
};

static cudaGraph_t     graphs;
static cudaGraphExec_t execs;
static int64_t         n_graphs, n_execs;

int64_t emu_graph_count(void)
{
    return n_graphs;
}
int64_t emu_exec_count(void)
{
    return n_execs;
}

/* ---- Fronts: small sets of node numbers ---- */
void emu_front_clear(emu_front *front)
{
    free(front->node);
    front->node = NULL;
    front->count = 0;
}

static void front_add(emu_front *front, int number)
{
    for (int i = 0; i < front->count; i++)
        if (front->node[i] == number) return;
    int *grown = realloc(front->node, (size_t)(front->count + 1) * sizeof *grown);
    if (!grown) abort();
    front->node = grown;
    front->node[front->count++] = number;
}

void emu_front_merge(emu_front *front, const emu_front *other)
{
    for (int i = 0; i < other->count; i++) front_add(front, other->node[i]);
}

void emu_front_copy(emu_front *front, const emu_front *other)
{
    emu_front_clear(front);
    emu_front_merge(front, other);
}

/* ---- Nodes ---- */
static void nodes_drop(nodes *n)
{
    if (--n->references > 0) return;
    for (int i = 0; i < n->count; i++) {
        emu_work_drop(n->list[i].work);
        emu_front_clear(&n->list[i].needs);
    }
    free(n->list);
    free(n);
}

/* Marks what `front` rests on, itself included. Nodes depend on earlier ones only. */
static void mark(const nodes *n, const emu_front *front, bool *reached)
{
    for (int i = 0; i < front->count; i++) reached[front->node[i]] = true;
    for (int i = n->count - 1; i >= 0; i--)
        for (int j = 0; reached[i] && j < n->list[i].needs.count; j++)
            reached[n->list[i].needs.node[j]] = true;
}

static void replay(void *data)
{
    nodes          *n = data;
    static uint64_t replays;
    bool           *done = emu_allocate((size_t)n->count + 1);
    bool            backward = emu_set()->order != SS_EMULATOR_FORWARD && replays++ % 2;
    /* Each turn runs the first, or the last, node whose needs are met. */
    for (int turn = 0, first = 0; turn < n->count && !emu_sticky(); turn++) {
        int chosen = -1;
        while (done[first]) first++;
        for (int i = backward ? n->count - 1 : first; i >= first && i < n->count && chosen < 0;
             i += backward ? -1 : 1) {
            bool ready = !done[i];
            for (int j = 0; ready && j < n->list[i].needs.count; j++) ready = done[n->list[i].needs.node[j]];
            if (ready) chosen = i;
        }
        n->list[chosen].work->run(n->list[chosen].work->data);
        done[chosen] = true;
    }
    free(done);
}

/* ---- Captures ---- */
emu_capture *emu_capture_new(cudaStream_t origin, enum cudaStreamCaptureMode mode)
{
    static uint64_t captures;
    emu_capture    *capture = emu_allocate(sizeof *capture);
    capture->number = ++captures;
    capture->origin = origin;
    capture->mode = mode;
    capture->thread = pthread_self();
    capture->nodes = emu_allocate(sizeof *capture->nodes);
    capture->nodes->references = 1;
    return capture;
}

void emu_capture_add(emu_capture *capture, emu_front *front, emu_work *work)
{
    nodes *n = capture->nodes;
    if (n->count == n->room) {
        n->room = n->room ? 2 * n->room : 32;
        n->list = realloc(n->list, (size_t)n->room * sizeof *n->list);
        if (!n->list) abort();
    }
    work->references++;
    n->list[n->count] = (node){ .work = work };
    emu_front_copy(&n->list[n->count].needs, front);
    emu_front_clear(front);
    front_add(front, n->count++);
}

bool emu_capture_joined(const emu_capture *capture, const emu_front *origin, const emu_front *other)
{
    bool *reached = emu_allocate((size_t)capture->nodes->count + 1), joined = true;
    mark(capture->nodes, origin, reached);
    for (int i = 0; i < other->count; i++) joined = joined && reached[other->node[i]];
    free(reached);
    return joined;
}

uint64_t emu_capture_number(const emu_capture *capture)
{
    return capture->number;
}
cudaStream_t emu_capture_origin(const emu_capture *capture)
{
    return capture->origin;
}
enum cudaStreamCaptureMode emu_capture_mode(const emu_capture *capture)
{
    return capture->mode;
}
bool emu_capture_here(const emu_capture *capture)
{
    return pthread_equal(capture->thread, pthread_self());
}
bool emu_capture_spoilt(const emu_capture *capture)
{
    return capture->spoilt;
}
void emu_capture_spoil(emu_capture *capture)
{
    capture->spoilt = true;
}

void emu_capture_drop(emu_capture *capture)
{
    nodes_drop(capture->nodes);
    free(capture);
}

cudaGraph_t emu_capture_finish(emu_capture *capture)
{
    cudaGraph_t graph = emu_allocate(sizeof *graph);
    graph->nodes = capture->nodes;
    graph->next = graphs;
    graphs = graph;
    n_graphs++;
    free(capture);
    return graph;
}

/* ---- Graphs ---- */
static bool graph_valid(cudaGraph_t graph)
{
    cudaGraph_t g = graphs;
    while (g && g != graph) g = g->next;
    return g;
}

static bool exec_valid(cudaGraphExec_t exec)
{
    cudaGraphExec_t e = execs;
    while (e && e != exec) e = e->next;
    return e;
}

static cudaError_t instantiate(const char *name, cudaGraphExec_t *pGraphExec, cudaGraph_t graph,
                               unsigned long long flags)
{
    cudaError_t error = emu_enter(name, cudaErrorMemoryAllocation, false);
    if (error) return error;
    if (!pGraphExec || !graph_valid(graph) || flags) return emu_leave(cudaErrorInvalidValue);
    cudaGraphExec_t exec = emu_allocate(sizeof *exec);
    exec->nodes = graph->nodes;
    exec->nodes->references++;
    exec->next = execs;
    execs = exec;
    n_execs++;
    *pGraphExec = exec;
    return emu_leave(cudaSuccess);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *pGraphExec, cudaGraph_t graph, unsigned long long flags)
{
    return instantiate("cudaGraphInstantiate", pGraphExec, graph, flags);
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *pGraphExec, cudaGraph_t graph,
                                          unsigned long long flags)
{
    return instantiate("cudaGraphInstantiateWithFlags", pGraphExec, graph, flags);
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *out, size_t *numNodes)
{
    cudaError_t error = emu_enter("cudaGraphGetNodes", cudaErrorUnknown, false);
    if (error) return error;
    if (!numNodes || !graph_valid(graph)) return emu_leave(cudaErrorInvalidValue);
    size_t count = (size_t)graph->nodes->count;
    for (size_t i = 0; out && i < *numNodes; i++)
        out[i] = i < count ? (cudaGraphNode_t)(void *)&graph->nodes->list[i] : NULL;
    if (!out || *numNodes > count) *numNodes = count;
    return emu_leave(cudaSuccess);
}

static void release_nodes(void *data)
{
    nodes_drop(data);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graphExec, cudaStream_t stream)
{
    cudaError_t error = emu_enter("cudaGraphLaunch", cudaErrorLaunchOutOfResources, false);
    if (error) return error;
    if (!exec_valid(graphExec)) return emu_leave(cudaErrorInvalidValue);
    graphExec->nodes->references++;
    return emu_leave(emu_enqueue(stream, emu_work_make("graph", replay, release_nodes, graphExec->nodes)));
}

cudaError_t cudaGraphUpload(cudaGraphExec_t graphExec, cudaStream_t stream)
{
    cudaError_t error = emu_enter("cudaGraphUpload", cudaErrorUnknown, false);
    if (error) return error;
    return emu_leave(exec_valid(graphExec) && emu_stream_valid(stream) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    cudaError_t error = emu_enter("cudaGraphDestroy", cudaErrorUnknown, true);
    if (error) return error;
    if (!graph_valid(graph)) return emu_leave(cudaErrorInvalidValue);
    for (cudaGraph_t *at = &graphs; *at; at = &(*at)->next)
        if (*at == graph) {
            *at = graph->next;
            break;
        }
    nodes_drop(graph->nodes);
    free(graph);
    n_graphs--;
    return emu_leave(cudaSuccess);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graphExec)
{
    cudaError_t error = emu_enter("cudaGraphExecDestroy", cudaErrorUnknown, true);
    if (error) return error;
    if (!exec_valid(graphExec)) return emu_leave(cudaErrorInvalidValue);
    for (cudaGraphExec_t *at = &execs; *at; at = &(*at)->next)
        if (*at == graphExec) {
            *at = graphExec->next;
            break;
        }
    nodes_drop(graphExec->nodes);
    free(graphExec);
    n_execs--;
    return emu_leave(cudaSuccess);
}
