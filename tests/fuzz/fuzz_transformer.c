/* Fuzz target: a config.json, read as any architecture of the table; what is small is built with random
 * weights and goes on through loss, activation and gauge as a network that was opened does. */
#include "fuzz.h"
#include "io/json.h"
#include "network/gauge.h"
#include "network/transformer.h"

/* Networks that the fuzzer makes large stop at the configuration. */
static bool is_small(const ss_transformer_config *c)
{
    return c->layers <= 3 && c->width <= 32 && c->heads * c->head_dim <= 64 && c->inner <= 64 &&
           c->vocabulary <= 64 && c->table_width <= 32 && c->positions <= 64 && c->types <= 8 &&
           c->classes <= 8 && c->experts <= 4 && c->channels * c->patch * c->patch <= 64;
}

static void use(const ss_json_value *root, const ss_architecture *row)
{
    ss_graph              *graph = NULL;
    ss_gauge              *gauge = NULL;
    int32_t                loss;
    ss_attributes          attributes = { .loss = SS_LOSS_CROSS_ENTROPY, .class_ids = true };
    ss_transformer_weights from = { .random = true, .seed = 1 };
    int64_t                tokens = 1 + (int64_t)(fuzz_hash >> 40) % 6;
    ss_status              status =
        ss_transformer_open(fuzz_context, root, row, tokens, (fuzz_hash >> 32) % 2 != 0, &from, &graph);
    fuzz_check((graph != NULL) == (status == SS_OK), "a graph beside a failure");
    fuzz_status(status);
    if (status == SS_OK && ss_graph_add_loss(graph, &attributes, &loss) == SS_OK &&
        ss_graph_activate(graph, 0, NULL, 0, NULL) == SS_OK)
        status = ss_gauge_find(graph, &gauge);
    ss_gauge_destroy(gauge);
    ss_graph_destroy(graph);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ss_json               *json = NULL;
    ss_transformer_config  config = { 0 };
    const ss_architecture *row = NULL;
    ss_json_value          root;
    fuzz_begin(data, size);
    ss_status status = ss_json_parse(fuzz_context, "config.json", data, (int64_t)size, &json);
    if (status == SS_OK) {
        root = ss_json_root(json);
        status = ss_architecture_find(&root, NULL, &row);
        fuzz_check((row != NULL) == (status == SS_OK), "a row beside a failure");
    }
    if (status == SS_OK) status = ss_transformer_config_read(fuzz_context, &root, row, &config);
    fuzz_status(status);
    bool small = status == SS_OK && is_small(&config);
    ss_transformer_config_release(fuzz_context, &config);
    if (small) use(&root, row);
    ss_json_free(json);
    fuzz_end();
    return 0;
}
