/* Transformers: what is refused, and why; initial weights; names of tensors; gauge tangents on every golden
 * case. What the networks compute is checked by the oracle. */
#include "network/gauge.h"
#include "network/graph.h"
#include "network/transformer.h"
#include "base/philox.h"
#include "saddlescope/spectrum.h"
#include "backend/backend.h"
#include "io/safetensors.h"
#include "support/golden.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TRANSFORMER(test) Test(transformer, test, .init = ss_test_begin, .fini = ss_test_end)

/* A model's folder with this config.json. */
static const char *write_model(const char *config)
{
    static char folder[512];
    char        path[600];
    snprintf(folder, sizeof folder, "%s", ss_test_path("model"));
    mkdir(folder, 0700);
    snprintf(path, sizeof path, "%s/config.json", folder);
    ss_test_write_file(path, config, strlen(config));
    return folder;
}

static ss_status open_random(const char *config, int64_t length, uint64_t seed, ss_network **network)
{
    ss_network_options options = { .sequence_length = length, .init_random = true, .init_seed = seed };
    return ss_network_open(ss_test_context, write_model(config), &options, network);
}

/* ---- Configurations -------------------------------------------------------------------------------------
 */

#define GPT2(more)                                                                                           \
    "{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2LMHeadModel\"], \"vocab_size\": 11, "              \
    "\"n_positions\": 8, \"n_embd\": 6, \"n_layer\": 2, \"n_head\": 2" more "}"
#define LLAMA(kind, class_name, more)                                                                        \
    "{\"model_type\": \"" kind "\", \"architectures\": [\"" class_name "\"], \"vocab_size\": 11, "           \
    "\"max_position_embeddings\": 16, \"hidden_size\": 8, \"num_hidden_layers\": 2, "                        \
    "\"intermediate_size\": 6" more "}"
#define HEADS ", \"num_attention_heads\": 4, \"num_key_value_heads\": 2"

TRANSFORMER(what_is_not_understood_is_refused)
{
    static const struct {
        const char *config, *part;
    } rows[] = {
        { "{\"n_embd\": 8}", "neither architectures nor model_type" },
        { "{\"model_type\": \"t5\"}",
          "(none) (model_type t5) is not yet supported; known are GPT2LMHeadModel" },
        { "{\"model_type\": \"llama\", \"architectures\": [\"GPT2LMHeadModel\"]}", "architectures says" },
        { "{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2ForTokenClassification\"]}",
          "not yet supported" },
        { "{\"model_type\": \"gpt2\", \"n_embd\": 6, \"n_layer\": 2, \"n_head\": 2, \"n_positions\": 8}",
          "vocab_size" },
        { "{\"model_type\": \"gpt2\", \"vocab_size\": 11, \"n_layer\": 2, \"n_head\": 2, \"n_positions\": 8}",
          "n_embd" },
        { GPT2(", \"n_inner\": \"x\""), "n_inner: expected" },
        { GPT2(", \"add_cross_attention\": true"), "add_cross_attention: is not supported" },
        { GPT2(", \"scale_attn_weights\": false"), "scale_attn_weights: is not supported: expected true" },
        { GPT2(", \"activation_function\": \"mish\""), "the activation \"mish\" is not supported" },
        { GPT2(", \"n_wings\": 2"), "n_wings: this key is not known" },
        { GPT2(", \"quantization_config\": {\"quant_method\": \"gptq\"}"), "quanti" },
        { "{\"model_type\": \"gpt2\", \"vocab_size\": 11, \"n_positions\": 8, \"n_embd\": 6, \"n_layer\": 2, "
          "\"n_head\": 4}",
          "a width of 6 cannot be divided among 4 heads" },
        { LLAMA("llama", "LlamaForCausalLM", ", \"num_attention_heads\": 4, \"num_key_value_heads\": 3"),
          "4 query heads cannot share 3 key heads" },
        { LLAMA("llama", "LlamaForCausalLM", ""), "num_attention_heads" },
        { LLAMA("mistral", "MistralForCausalLM", ", \"num_attention_heads\": 4"), "num_key_value_heads" },
        { LLAMA("llama", "LlamaForCausalLM",
                HEADS ", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2.0}"),
          "expected one of default, linear, llama3" },
        { LLAMA("llama", "LlamaForCausalLM", HEADS ", \"rope_parameters\": {\"rope_type\": \"linear\"}"),
          "factor" },
        { LLAMA("llama", "LlamaForCausalLM",
                HEADS
                ", \"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 2.0, \"attention_factor\": "
                "0.5}"),
          "attention_factor" },
        { LLAMA("llama", "LlamaForCausalLM", HEADS ", \"sliding_window\": 4"), "sliding_window: this key" },
        { LLAMA("qwen2", "Qwen2ForCausalLM", HEADS ", \"layer_types\": [\"full_attention\"]"),
          "one type for each of 2 layers" },
        { LLAMA("qwen2", "Qwen2ForCausalLM", HEADS ", \"layer_types\": [\"full_attention\", \"linear\"]"),
          "expected full_attention or sliding_attention" },
        { LLAMA("mixtral", "MixtralForCausalLM",
                HEADS ", \"num_local_experts\": 2, \"num_experts_per_tok\": 3"),
          "3 of 2 experts" },
        { LLAMA("phi", "PhiForCausalLM", HEADS ", \"partial_rotary_factor\": 1.0, \"qk_layernorm\": true"),
          "qk_layernorm: is not supported" },
        { LLAMA("llama", "LlamaForCausalLM", HEADS ", \"partial_rotary_factor\": 0.5"),
          "partial_rotary_factor: expected 1, found 0.5" },
        { LLAMA("phi", "PhiForCausalLM", HEADS ", \"partial_rotary_factor\": 0.1"),
          "expected an even number" },
        { LLAMA("bert", "BertForMaskedLM",
                ", \"num_attention_heads\": 4"
                ", \"position_embedding_type\": \"relative_key\""),
          "position_embedding_type: is not supported: expected \"absolute\"" },
        { LLAMA("bert", "BertForMaskedLM", ", \"num_attention_heads\": 4, \"is_decoder\": true"),
          "is_decoder" },
        { LLAMA("bert", "BertForSequenceClassification",
                ", \"num_attention_heads\": 4, \"id2label\": {\"0\": \"x\"}"),
          "a regression" },
        { LLAMA("bert", "BertForSequenceClassification",
                ", \"num_attention_heads\": 4, \"problem_type\": \"multi_label_classification\""),
          "problem_type: is not supported" },
        { "{\"model_type\": \"vit\", \"hidden_size\": 8, \"num_hidden_layers\": 1, \"num_attention_heads\": "
          "2, "
          "\"intermediate_size\": 6, \"image_size\": 9, \"patch_size\": 4}",
          "9 x 9 is not a multiple of the patch_size 4" },
    };
    ss_network *network = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ss_test_refuse(open_random(rows[i].config, 6, 1, &network), SS_ERROR_INPUT, rows[i].part);
}

TRANSFORMER(sequences_must_fit_the_positions)
{
    ss_network *network = NULL;
    ss_test_refuse(open_random(GPT2(""), 9, 1, &network), SS_ERROR_INPUT,
                   "the sequences have 9 tokens, the model has 8 positions (n_positions)");
    ss_test_refuse(open_random(GPT2(""), 0, 1, &network), SS_ERROR_USAGE, "reads token sequences");
    ss_test_require(open_random(GPT2(""), 8, 1, &network));
    ss_network_close(network);
}

/* Keys that change nothing, the older and the newer ones, and options that are off. */
TRANSFORMER(harmless_keys_are_accepted)
{
    static const char *const configs[] = {
        GPT2(", \"n_ctx\": 8, \"summary_type\": \"cls_index\", \"resid_pdrop\": 0.1, \"torch_dtype\": "
             "\"bfloat16\", "
             "\"task_specific_params\": {\"x\": 1}, \"pad_token_id\": 3, \"n_wings\": false, \"n_fins\": "
             "null"),
        LLAMA("llama", "LlamaForCausalLM",
              HEADS ", \"rope_theta\": 500000.0, \"rope_scaling\": null, "
                    "\"pretraining_tp\": 2"),
        LLAMA("llama", "LlamaForCausalLM",
              HEADS ", \"rope_parameters\": {\"rope_type\": \"default\", "
                    "\"rope_theta\": 500000.0}"),
    };
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        ss_network *network = NULL;
        ss_test_require(open_random(configs[i], 6, 1, &network));
        cr_assert_str_eq(ss_network_loss(network), "causal_lm");
        ss_network_close(network);
    }
}

TRANSFORMER(rotary_angles_are_exact)
{
    ss_transformer_config c = { .rotary = 4, .theta = 100.0 };
    double                table[3 * 4];
    ss_rotary_table(&c, 3, table);
    cr_assert_float_eq(table[2 * 4 + 0], cos(2.0), 1e-15);
    cr_assert_float_eq(table[2 * 4 + 1], cos(0.2), 1e-15);
    cr_assert_float_eq(table[2 * 4 + 2], sin(2.0), 1e-15);
    cr_assert_float_eq(table[2 * 4 + 3], sin(0.2), 1e-15);
    c.rope = SS_ROPE_LINEAR;
    c.rope_factor = 4.0;
    ss_rotary_table(&c, 3, table);
    cr_assert_float_eq(table[2 * 4 + 3], sin(0.05), 1e-15);
}

/* ---- Weights --------------------------------------------------------------------------------------------
 */

static double weight_at(const ss_network *network, const char *name, int64_t element)
{
    const ss_graph *graph = ss_network_graph((ss_network *)(uintptr_t)network);
    for (int32_t i = 0; i < graph->n_parameters; i++)
        if (strcmp(graph->parameters[i].name, name) == 0)
            return ss_array_value(&graph->parameters[i].array, element);
    cr_assert_fail("no parameter %s", name);
    return NAN;
}

TRANSFORMER(random_weights_follow_the_configuration)
{
    ss_network *first = NULL, *again = NULL, *other = NULL;
    ss_test_require(open_random(GPT2(", \"initializer_range\": 0.5"), 6, 1, &first));
    ss_test_require(open_random(GPT2(", \"initializer_range\": 0.5"), 6, 1, &again));
    ss_test_require(open_random(GPT2(", \"initializer_range\": 0.5"), 6, 2, &other));
    double square = 0, residual = 0;
    for (int64_t i = 0; i < 66; i++) square += pow(weight_at(first, "transformer.wte.weight", i), 2);
    for (int64_t i = 0; i < 144; i++)
        residual += pow(weight_at(first, "transformer.h.0.mlp.c_proj.weight", i), 2);
    cr_expect_float_eq(sqrt(square / 66), 0.5, 0.15);
    cr_expect_float_eq(sqrt(residual / 144), 0.25, 0.05); /* smaller by sqrt(2 layers) */
    cr_expect_eq(weight_at(first, "transformer.h.1.ln_1.weight", 3), 1.0);
    cr_expect_eq(weight_at(first, "transformer.h.1.attn.c_attn.bias", 3), 0.0);
    cr_expect_eq(weight_at(first, "transformer.wte.weight", 5),
                 weight_at(again, "transformer.wte.weight", 5));
    cr_expect_neq(weight_at(first, "transformer.wte.weight", 5),
                  weight_at(other, "transformer.wte.weight", 5));
    cr_expect(strstr(ss_network_description(first), "random weights (seed 1)") != NULL);
    ss_network_close(first);
    ss_network_close(again);
    ss_network_close(other);
}

enum { MOST_TENSORS = 40 };

/* Writes model.safetensors of the network's own tensors, edited: one left out, one renamed, one added. */
static void write_weights(const ss_network *network, const char *without, const char *from, const char *to,
                          const ss_array *added)
{
    const ss_graph *graph = ss_network_graph((ss_network *)(uintptr_t)network);
    ss_array        arrays[MOST_TENSORS];
    int64_t         count = 0;
    char            path[600];
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        const ss_parameter *p = &graph->parameters[i];
        if (p->computed || (without != NULL && strcmp(p->name, without) == 0)) continue;
        cr_assert(count < MOST_TENSORS - 1);
        arrays[count] = p->array;
        if (from != NULL && strcmp(p->name, from) == 0) arrays[count].name = to;
        count++;
    }
    if (added != NULL) arrays[count++] = *added;
    snprintf(path, sizeof path, "%s/model.safetensors", ss_test_path("model"));
    ss_test_require(ss_safetensors_write(ss_test_context, path, arrays, count, NULL, 0));
}

static ss_status open_stored(const char *const *missing, int32_t n_missing, ss_network **network)
{
    ss_network_options options = { .sequence_length = 6,
                                   .init_missing = missing,
                                   .n_init_missing = n_missing };
    return ss_network_open(ss_test_context, ss_test_path("model"), &options, network);
}

TRANSFORMER(tensors_must_be_those_of_the_model)
{
    static const float zeros[66] = { 0 };
    const ss_array     extra = {
            .name = "transformer.h.0.wing", .type = SS_F32, .rank = 1, .shape = { 3 }, .data = zeros
    };
    const ss_array buffer = {
        .name = "transformer.h.0.attn.bias", .type = SS_F32, .rank = 1, .shape = { 3 }, .data = zeros
    };
    const ss_array untied = {
        .name = "lm_head.weight", .type = SS_F32, .rank = 2, .shape = { 11, 6 }, .data = zeros
    };
    static const char *const start[] = { "transformer.ln_f:3" }, *const misspelt[] = { "transformer.lnf:3" };
    static const char *const malformed[] = { "transformer.ln_f" };
    ss_network              *source = NULL, *network = NULL;
    ss_test_require(open_random(GPT2(""), 6, 1, &source));

    write_weights(source, NULL, NULL, NULL, &buffer);
    ss_test_require(open_stored(NULL, 0, &network));
    cr_expect_eq(weight_at(network, "transformer.wpe.weight", 7),
                 weight_at(source, "transformer.wpe.weight", 7));
    ss_network_close(network);

    write_weights(source, NULL, NULL, NULL, &extra);
    ss_test_refuse(open_stored(NULL, 0, &network), SS_ERROR_INPUT,
                   "'transformer.h.0.wing' belongs to no layer");
    write_weights(source, NULL, NULL, NULL, &untied);
    ss_test_refuse(open_stored(NULL, 0, &network), SS_ERROR_INPUT, "differs from transformer.wte.weight");
    write_weights(source, "transformer.h.1.mlp.c_fc.bias", NULL, NULL, NULL);
    ss_test_refuse(open_stored(NULL, 0, &network), SS_ERROR_INPUT,
                   "1 tensor of GPT2LMHeadModel missing: transformer.h.1.mlp.c_fc.bias");
    write_weights(source, NULL, "transformer.ln_f.weight", "transformer.ln_f.gain", NULL);
    ss_test_refuse(open_stored(NULL, 0, &network), SS_ERROR_INPUT, "transformer.ln_f.weight");

    write_weights(source, "transformer.ln_f.weight", NULL, NULL, NULL);
    ss_test_refuse(open_stored(malformed, 1, &network), SS_ERROR_USAGE, "expected NAME:SEED");
    ss_test_refuse(open_stored(misspelt, 1, &network), SS_ERROR_INPUT, "transformer.ln_f.weight");
    ss_test_require(open_stored(start, 1, &network));
    cr_expect_eq(weight_at(network, "transformer.ln_f.weight", 2), 1.0);
    cr_expect(strstr(ss_network_description(network), "transformer.ln_f from seed 3") != NULL);
    ss_network_close(network);
    write_weights(source, NULL, NULL, NULL, NULL);
    ss_test_refuse(open_stored(start, 1, &network), SS_ERROR_USAGE, "no missing tensor is called");
    ss_network_close(source);
}

TRANSFORMER(names_with_wrappers_and_old_names_are_read)
{
    ss_network *source = NULL, *network = NULL;
    ss_test_require(open_random(GPT2(""), 6, 1, &source));
    write_weights(source, NULL, "transformer.ln_f.weight", "transformer.ln_f.gamma", NULL);
    ss_test_require(open_stored(NULL, 0, &network));
    cr_expect_eq(weight_at(network, "transformer.ln_f.gamma", 2), 1.0);
    ss_network_close(network);
    ss_network_close(source);
}

/* Seeded weights (study) are those of --init-random with that seed, and they can be moved, twice. */
TRANSFORMER(seeded_weights_move)
{
    const ss_network_options seeded = { .sequence_length = 6, .seeded = true, .seed = 5, .init_seed = 9 };
    ss_network              *one = NULL, *two = NULL;
    double                  *theta[2] = { NULL, NULL };
    ss_test_require(open_random(GPT2(""), 6, 5, &one));
    ss_test_require(ss_network_open(ss_test_context, write_model(GPT2("")), &seeded, &two));
    int64_t n = ss_network_n(one), padded = ss_network_layout(one)->padded;
    for (int i = 0; i < 2; i++) ss_test_require(SS_NEW_ARRAY(ss_test_context, padded, &theta[i]));
    ss_network_get_weights(one, SS_FLOAT64, theta[0]);
    ss_network_get_weights(two, SS_FLOAT64, theta[1]);
    cr_expect(memcmp(theta[0], theta[1], (size_t)padded * sizeof(double)) == 0);
    for (int pass = 1; pass <= 2; pass++) {
        for (int64_t i = 0; i < n; i++) theta[0][i] = pass + (double)i;
        ss_test_require(ss_graph_set_weights((ss_graph *)(uintptr_t)ss_network_graph(one), theta[0]));
        ss_network_get_weights(one, SS_FLOAT64, theta[1]);
        ss_network_pack(one, SS_FLOAT64, theta[1], theta[0]);
        for (int64_t i = 0; i < n; i++) cr_assert_eq(theta[0][i], pass + (double)i, "element %d", (int)i);
    }
    for (int i = 0; i < 2; i++) ss_free(ss_test_context, theta[i]);
    ss_network_close(one);
    ss_network_close(two);
}

/* Every allocation may fail: opening then fails cleanly, and nothing is lost. */
TRANSFORMER(failing_allocations_are_survived)
{
    static const char *const configs[] = {
        GPT2(""), LLAMA("mixtral", "MixtralForCausalLM", HEADS ", \"num_local_experts\": 2"),
        LLAMA("bert", "BertForMaskedLM", ", \"num_attention_heads\": 4")
    };
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        ss_network              *network = NULL;
        ss_status                status = SS_ERROR_MEMORY;
        int64_t                  number = 0;
        const char              *folder = write_model(configs[i]);
        const ss_network_options options = { .sequence_length = 6, .init_random = true };
        while (status != SS_OK && number < 5000) {
            number++;
            ss_context_fail_allocation(ss_test_context, number);
            status = ss_network_open(ss_test_context, folder, &options, &network);
            ss_context_fail_allocation(ss_test_context, 0);
            cr_assert(status == SS_OK || status == SS_ERROR_MEMORY, "allocation %lld: %s", (long long)number,
                      ss_context_message(ss_test_context));
            cr_assert((network != NULL) == (status == SS_OK));
            ss_context_clear_message(ss_test_context);
        }
        cr_expect(number > 100, "only %lld allocations were met", (long long)number);
        ss_network_close(network);
    }
}

/* ---- Adapters -------------------------------------------------------------------------------------------
 */

TRANSFORMER(adapter_options_that_change_the_function_are_refused)
{
    static const struct {
        const char *config, *part;
        double      scale;
    } rows[] = {
        { "{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 8}", NULL, 2.0 },
        { "{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 8, \"use_rslora\": true}", NULL, 4.0 },
        { "{\"peft_type\": \"IA3\", \"r\": 4}", "peft_type", 0 },
        { "{\"peft_type\": \"LORA\", \"r\": 4, \"bias\": \"all\"}", "bias", 0 },
        { "{\"peft_type\": \"LORA\", \"r\": 4, \"use_dora\": true}", "use_dora: is not supported", 0 },
        { "{\"peft_type\": \"LORA\", \"r\": 4, \"modules_to_save\": [\"lm_head\"]}", "modules_to_save", 0 },
        { "{\"peft_type\": \"LORA\", \"r\": 4, \"rank_pattern\": {\"x\": 2}}", "rank_pattern", 0 },
        { "{\"peft_type\": \"LORA\", \"r\": 4, \"wings\": 2}", "wings: this option is not known", 0 },
        { "{\"peft_type\": \"LORA\"}", "r", 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ss_json      *json = NULL;
        ss_adapter    adapter = { 0 };
        ss_json_value root;
        ss_test_require(ss_json_parse(ss_test_context, "adapter_config.json", rows[i].config,
                                      (int64_t)strlen(rows[i].config), &json));
        root = ss_json_root(json);
        if (rows[i].part != NULL) {
            ss_test_refuse(ss_adapter_read(&root, NULL, &adapter), SS_ERROR_INPUT, rows[i].part);
        } else {
            ss_test_require(ss_adapter_read(&root, NULL, &adapter));
            cr_expect_eq(adapter.scale, rows[i].scale);
        }
        ss_json_free(json);
    }
}

/* ---- Gauge: along every group of tangents the outputs stand still ---------------------------------------
 */

static double normal(uint64_t stream, int64_t i)
{
    return ss_random_normal(78, SS_STREAM_TEST + (stream << 8), (uint64_t)i);
}

static double norm(int64_t n, const double *x)
{
    double square = 0;
    for (int64_t i = 0; i < n; i++) square += x[i] * x[i];
    return sqrt(square);
}

typedef struct found {
    int64_t count[SS_GAUGE_KIND_COUNT]; /* groups that were checked */
    int     cases;
} found;

/* ||G v|| of the Gauss-Newton operator: zero when the predictions do not move. */
static double curvature_along(const ss_golden *golden, ss_objective *objective, double *v, int64_t n)
{
    ss_backend *backend = ss_objective_backend(objective, SS_FLOAT64);
    ss_operator op = { 0 };
    void       *x = NULL, *y = NULL;
    (void)golden;
    ss_test_require(ss_objective_operator(objective, SS_PRODUCT_GAUSS_NEWTON, SS_FLOAT64, NULL, NULL, &op));
    int64_t padded = op.layout->padded;
    ss_test_require(backend->class->allocate(backend, 8 * padded, &x));
    ss_test_require(backend->class->allocate(backend, 8 * padded, &y));
    ss_test_require(ss_operator_unpack(&op, v, x));
    ss_test_require(ss_operator_apply(&op, 1, x, padded, y, padded));
    ss_test_require(ss_operator_pack(&op, y, v));
    backend->class->release(backend, x);
    backend->class->release(backend, y);
    ss_operator_destroy(&op);
    return norm(n, v);
}

static void visit(void *user, const char *folder)
{
    found        *all = user;
    const char   *slash = strrchr(folder, '/');
    ss_golden     golden;
    ss_objective *objective = NULL;
    ss_gauge     *gauge = NULL;
    double       *c = NULL, *v = NULL, *back = NULL;
    if (slash == NULL || strncmp(slash + 1, "tf_", 3) != 0) return;
    ss_test_require(ss_golden_open(ss_test_context, folder, &golden));
    ss_test_require(ss_golden_objective(&golden, SS_FLOAT64, &objective));
    int64_t n = ss_network_n(golden.network);
    ss_test_require(ss_gauge_find(ss_network_graph(golden.network), &gauge));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, gauge->rank, &c));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, gauge->rank, &back));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, n, &v));
    for (int32_t g = 0; g < gauge->n_groups; g++) {
        const ss_gauge_group *group = &gauge->groups[g];
        double                left = 0, right = 0;
        for (int64_t k = 0; k < gauge->rank; k++)
            c[k] = k >= group->first && k < group->first + group->count ? normal(1, k) : 0;
        ss_gauge_multiply(gauge, c, v);
        ss_gauge_transpose(gauge, v, back);
        double size = norm(n, v);
        for (int64_t i = 0; i < n; i++) left += v[i] * v[i];
        for (int64_t k = 0; k < gauge->rank; k++) right += c[k] * back[k];
        cr_expect(size > 1e-3, "%s, group %d: the tangent vanishes", golden.name, g);
        cr_expect(fabs(left - right) <= 1e-12 * left, "%s, group %d: Z and Z' disagree", golden.name, g);
        double moved = curvature_along(&golden, objective, v, n);
        cr_expect(moved <= 1e-11 * golden.lambda_abs * size,
                  "%s, group %d (kind %d): the predictions move, %g", golden.name, g, (int)group->kind,
                  moved / size);
        all->count[group->kind]++;
    }
    all->cases++;
    ss_free(ss_test_context, c);
    ss_free(ss_test_context, back);
    ss_free(ss_test_context, v);
    ss_gauge_destroy(gauge);
    ss_objective_destroy(objective);
    ss_golden_close(&golden);
}

TRANSFORMER(gauge_tangents_leave_the_predictions_alone)
{
    found all = { 0 };
    ss_golden_visit(visit, &all);
    cr_assert(all.cases >= 15, "only %d cases were found", all.cases);
    for (int kind = 0; kind < SS_GAUGE_KIND_COUNT; kind++)
        cr_expect(all.count[kind] > 0, "no case has a symmetry of kind %d", kind);
}
