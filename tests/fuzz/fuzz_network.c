/* Fuzz target: network descriptions, a network.json or the text of an mlp: argument; what is built goes on
 * through weights, loss, activation and gauge as a network that was opened does. */
#include "fuzz.h"
#include "network/gauge.h"
#include "network/sequential.h"

#include <string.h>

/* Networks that the fuzzer makes huge stop at the weights: they are not the parser's fault. */
static void use(ss_graph *graph)
{
    int64_t       elements = 0;
    int32_t       loss;
    ss_gauge     *gauge = NULL;
    ss_attributes attributes = { .loss = SS_LOSS_CROSS_ENTROPY, .class_ids = true };
    for (int32_t i = 0; i < graph->n_parameters; i++)
        if (graph->parameters[i].count > 4096 || (elements += graph->parameters[i].count) > 4096) return;
    if (ss_graph_bind_seeded(graph, 1) != SS_OK) return;
    (void)ss_graph_add_loss(graph, &attributes, &loss);
    if (ss_graph_activate(graph, 0, NULL, 0, NULL) != SS_OK) return;
    fuzz_check(graph->layout.n == elements, "the parameters are not all active");
    ss_status status = ss_gauge_find(graph, &gauge);
    fuzz_check((gauge != NULL) == (status == SS_OK), "gauge beside a failure");
    ss_gauge_destroy(gauge);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ss_json  *json = NULL;
    ss_graph *graph = NULL;
    char      specification[256], *text = NULL;
    fuzz_begin(data, size);
    ss_status status = SS_OK;
    if (size >= 4 && size < sizeof specification && memcmp(data, "mlp:", 4) == 0) {
        memcpy(specification, data, size);
        specification[size] = '\0';
        status = ss_sequential_from_mlp(fuzz_context, specification, &text);
        if (status == SS_OK) status = ss_json_parse(fuzz_context, "mlp", text, (int64_t)strlen(text), &json);
    } else {
        status = ss_json_parse(fuzz_context, "network.json", data, (int64_t)size, &json);
    }
    if (status == SS_OK) status = ss_sequential_build(fuzz_context, json, &graph);
    fuzz_check((graph != NULL) == (status == SS_OK), "a graph beside a failure");
    fuzz_status(status);
    if (status == SS_OK) use(graph);
    ss_graph_destroy(graph);
    ss_json_free(json);
    ss_free(fuzz_context, text);
    fuzz_end();
    return 0;
}
