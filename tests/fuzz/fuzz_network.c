/* Fuzz target: network descriptions, a network.json or the text of an mlp: argument. */
#include "fuzz.h"
#include "network/sequential.h"

#include <string.h>

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
        if (status == SS_OK)
            status = ss_json_parse(fuzz_context, "mlp", text, (int64_t)strlen(text), &json);
    } else {
        status = ss_json_parse(fuzz_context, "network.json", data, (int64_t)size, &json);
    }
    if (status == SS_OK) status = ss_sequential_build(fuzz_context, json, &graph);
    fuzz_check((graph != NULL) == (status == SS_OK), "a graph beside a failure");
    fuzz_status(status);
    ss_graph_destroy(graph);
    ss_json_free(json);
    ss_free(fuzz_context, text);
    fuzz_end();
    return 0;
}
