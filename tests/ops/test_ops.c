/* Every operator against differences of itself (support/op_harness.h), on every backend of this build, in
 * both real types; and proofs that the harness notices wrong sweeps and wrong masks. */
#include "support/op_harness.h"
#include "support/support.h"

#include <criterion/criterion.h>

#define X_0 SS_BIT(SS_PRIMAL, SS_X)

/* clang-format off */
static const ss_op_case linear_cases[] = {
    { .name = "linear with bias", .op = &ss_op_linear, .attributes = { .columns = 3 }, .batch = 4, .n_inputs = 1,
      .rank = 1, .shape = { 5 }, .n_parameters = 2, .parameter_rank = { 2, 1 }, .parameter_shape = { { 3, 5 }, { 3 } } },
    { .name = "linear without bias, tokens", .op = &ss_op_linear, .attributes = { .columns = 2 }, .batch = 2,
      .n_inputs = 1, .rank = 2, .shape = { 3, 4 }, .n_parameters = 2, .parameter_rank = { 2, 0 },
      .parameter_shape = { { 2, 4 } } },
    { .name = "linear 1 x 1, one sample", .op = &ss_op_linear, .attributes = { .columns = 1 }, .batch = 1,
      .n_inputs = 1, .rank = 1, .shape = { 1 }, .n_parameters = 1, .parameter_rank = { 2 },
      .parameter_shape = { { 1, 1 } } },
    { .name = "linear 13 to 17", .op = &ss_op_linear, .attributes = { .columns = 17 }, .batch = 7, .n_inputs = 1,
      .rank = 1, .shape = { 13 }, .n_parameters = 2, .parameter_rank = { 2, 1 },
      .parameter_shape = { { 17, 13 }, { 17 } } },
    { .name = "linear, weight stored transposed", .op = &ss_op_linear,
      .attributes = { .columns = 3, .transposed = true }, .batch = 2, .n_inputs = 1, .rank = 2, .shape = { 2, 4 },
      .n_parameters = 2, .parameter_rank = { 2, 1 }, .parameter_shape = { { 4, 3 }, { 3 } } },
    { .name = "linear added to a residual", .op = &ss_op_linear, .attributes = { .columns = 3 }, .batch = 4,
      .n_inputs = 2, .rank = 1, .shape = { 5 }, .input = { { 0 }, { .rank = 1, .shape = { 3 } } }, .n_parameters = 2,
      .parameter_rank = { 2, 1 }, .parameter_shape = { { 3, 5 }, { 3 } } },
    { .name = "linear without bias added to a residual of tokens", .op = &ss_op_linear,
      .attributes = { .columns = 2, .transposed = true }, .batch = 2, .n_inputs = 2, .rank = 2, .shape = { 3, 4 },
      .input = { { 0 }, { .rank = 2, .shape = { 3, 2 } } }, .n_parameters = 2, .parameter_rank = { 2, 0 },
      .parameter_shape = { { 4, 2 } } },
};

/* Functions of both kinds: derivatives from y and from x. */
#define WITH_A_BIAS(function_) \
    .op = &ss_op_pointwise, .attributes = { .function = function_, .parameter = { 1.5, 20.0 } }, .batch = 3, \
    .n_inputs = 1, .rank = 2, .shape = { 2, 3 }, .n_parameters = 1, .parameter_rank = { 1 }, .parameter_shape = { { 3 } }
static const ss_op_case biased_cases[] = {
    { .name = "Tanh with a bias", WITH_A_BIAS(SS_TANH) },
    { .name = "GELU with a bias", WITH_A_BIAS(SS_GELU_ERF) },
    { .name = "Softplus with a bias", WITH_A_BIAS(SS_SOFTPLUS) },
    { .name = "SiLU with a bias, one column", .op = &ss_op_pointwise, .attributes = { .function = SS_SILU }, .batch = 5,
      .n_inputs = 1, .rank = 1, .shape = { 1 }, .n_parameters = 1, .parameter_rank = { 1 }, .parameter_shape = { { 1 } } },
};

static const int64_t repeated_ids[] = { 2, 0, 2, 5, 2, 6, 0, 2, 3, 3 };

static const ss_op_case token_cases[] = {
    { .name = "embedding", .op = &ss_op_embedding, .attributes = { .alpha = 1.0 }, .batch = 2, .n_inputs = 1,
      .rank = 1, .shape = { 5 }, .input = { { .limit = 7, .integers = repeated_ids } }, .n_parameters = 1,
      .parameter_rank = { 2 }, .parameter_shape = { { 7, 3 } } },
    { .name = "embedding with a factor", .op = &ss_op_embedding, .attributes = { .alpha = -0.75 }, .batch = 3,
      .n_inputs = 1, .rank = 1, .shape = { 4 }, .input = { { .limit = 3 } }, .n_parameters = 1,
      .parameter_rank = { 2 }, .parameter_shape = { { 3, 5 } } },
    { .name = "row scale", .op = &ss_op_row_scale, .batch = 2, .n_inputs = 2, .rank = 2, .shape = { 3, 4 },
      .input = { { 0 }, { .rank = 2, .shape = { 3, 1 } } } },
    { .name = "class token and positions", .op = &ss_op_class_token, .batch = 3, .n_inputs = 1, .rank = 2,
      .shape = { 4, 3 }, .n_parameters = 2, .parameter_rank = { 1, 2 }, .parameter_shape = { { 3 }, { 5, 3 } } },
    { .name = "class token alone", .op = &ss_op_class_token, .batch = 2, .n_inputs = 1, .rank = 2, .shape = { 2, 3 },
      .n_parameters = 1, .parameter_rank = { 1 }, .parameter_shape = { { 3 } } },
    { .name = "positions alone", .op = &ss_op_class_token, .batch = 2, .n_inputs = 1, .rank = 2, .shape = { 2, 3 },
      .n_parameters = 2, .parameter_rank = { 0, 2 }, .parameter_shape = { { 0 }, { 2, 3 } } },
};

static const ss_op_case router_cases[] = {
    { .name = "router, 2 of 5", .op = &ss_op_router, .attributes = { .top_k = 2 }, .batch = 2, .n_inputs = 1,
      .rank = 2, .shape = { 2, 5 } },
    { .name = "router, 1 of 3", .op = &ss_op_router, .attributes = { .top_k = 1 }, .batch = 2, .n_inputs = 1,
      .rank = 1, .shape = { 3 }, .weak = ~(ss_mask)0 },
    { .name = "router, all of 4", .op = &ss_op_router, .attributes = { .top_k = 4 }, .batch = 3, .n_inputs = 1,
      .rank = 1, .shape = { 4 } },
};

#define HEAD(classes, ...)                                                                                   \
    .op = &ss_op_head, .batch = 2, .n_inputs = 1, .rank = 2, .shape = { 3, 4 }, .n_parameters = 2,             \
    .parameter_shape = { { classes, 4 }, { classes } },                                                        \
    .attributes = { .loss = SS_LOSS_CROSS_ENTROPY, .columns = classes, __VA_ARGS__ }
#define WITH_BIAS    .parameter_rank = { 2, 1 }
#define WITHOUT_BIAS .parameter_rank = { 2, 0 }
#define WEAK_TARGET  .weak = SS_BIT(SS_PRIMAL, SS_TARGET)

static const ss_op_case head_cases[] = {
    { .name = "head with bias in chunks", HEAD(5, .class_ids = true, .chunk = 4), WITH_BIAS, WEAK_TARGET },
    { .name = "head in one chunk, logits kept", HEAD(5, .class_ids = true, .keep_logits = true), WITHOUT_BIAS,
      WEAK_TARGET },
    { .name = "head in chunks, logits kept", HEAD(3, .class_ids = true, .keep_logits = true, .chunk = 1), WITH_BIAS,
      WEAK_TARGET },
    { .name = "head with a soft cap", HEAD(4, .class_ids = true, .cap = 1.5, .chunk = 5), WITH_BIAS, WEAK_TARGET },
    { .name = "head with a soft cap, logits kept", HEAD(4, .class_ids = true, .cap = 0.7, .keep_logits = true),
      WITHOUT_BIAS, WEAK_TARGET },
    { .name = "head, smoothed, with class weights", HEAD(5, .class_ids = true, .smoothing = 0.1, .chunk = 2),
      WITHOUT_BIAS, .class_weights = true },
    { .name = "head of distributions", HEAD(3, .chunk = 4), WITH_BIAS, WEAK_TARGET },
    { .name = "residual of a head", HEAD(5, .class_ids = true, .residual = true, .chunk = 4), WITH_BIAS,
      WEAK_TARGET },
    { .name = "residual of a head with a soft cap", HEAD(4, .class_ids = true, .residual = true, .cap = 1.2),
      WITH_BIAS, WEAK_TARGET },
};

static const ss_op_case elementwise_cases[] = {
    { .name = "add", .op = &ss_op_add, .attributes = { .alpha = 1.0, .beta = 1.0 }, .batch = 3, .n_inputs = 2,
      .rank = 1, .shape = { 5 } },
    { .name = "add with factors", .op = &ss_op_add, .attributes = { .alpha = 0.5, .beta = -2.0 }, .batch = 2,
      .n_inputs = 2, .rank = 2, .shape = { 3, 2 } },
    { .name = "scale", .op = &ss_op_add, .attributes = { .alpha = -1.5 }, .batch = 2, .n_inputs = 1, .rank = 1,
      .shape = { 4 } },
    { .name = "multiply", .op = &ss_op_multiply, .batch = 3, .n_inputs = 2, .rank = 1, .shape = { 5 } },
    { .name = "SiLU times", .op = &ss_op_multiply, .attributes = { .gated = true, .function = SS_SILU }, .batch = 3,
      .n_inputs = 2, .rank = 1, .shape = { 5 } },
    { .name = "Tanh times", .op = &ss_op_multiply, .attributes = { .gated = true, .function = SS_TANH }, .batch = 2,
      .n_inputs = 2, .rank = 2, .shape = { 2, 3 } },
    { .name = "ReLU times", .op = &ss_op_multiply, .attributes = { .gated = true, .function = SS_RELU }, .batch = 3,
      .n_inputs = 2, .rank = 1, .shape = { 4 }, .margin = 0.1 },
    { .name = "ELU times", .op = &ss_op_multiply,
      .attributes = { .gated = true, .function = SS_ELU, .parameter = { 1.5 } }, .batch = 3, .n_inputs = 2, .rank = 1,
      .shape = { 4 }, .margin = 0.1 },
    { .name = "multiply, three dimensions", .op = &ss_op_multiply, .batch = 2, .n_inputs = 2, .rank = 3,
      .shape = { 2, 1, 3 } },
};

static const ss_op_case norm_cases[] = {
    { .name = "LayerNorm", .op = &ss_op_norm, .attributes = { .columns = 5, .eps = 1e-5, .centered = true },
      .batch = 3, .n_inputs = 1, .rank = 1, .shape = { 5 }, .n_parameters = 2, .parameter_rank = { 1, 1 },
      .parameter_shape = { { 5 }, { 5 } } },
    { .name = "LayerNorm over two dimensions", .op = &ss_op_norm,
      .attributes = { .columns = 6, .eps = 1e-2, .centered = true }, .batch = 2, .n_inputs = 1, .rank = 3,
      .shape = { 2, 2, 3 }, .n_parameters = 2, .parameter_rank = { 2, 2 }, .parameter_shape = { { 2, 3 }, { 2, 3 } },
      .contiguous = 2 },
    { .name = "LayerNorm without parameters", .op = &ss_op_norm,
      .attributes = { .columns = 4, .eps = 1e-5, .centered = true }, .batch = 3, .n_inputs = 1, .rank = 1,
      .shape = { 4 }, .n_parameters = 2 },
    { .name = "LayerNorm without bias", .op = &ss_op_norm,
      .attributes = { .columns = 4, .eps = 1e-5, .centered = true }, .batch = 3, .n_inputs = 1, .rank = 2,
      .shape = { 2, 4 }, .n_parameters = 2, .parameter_rank = { 1 }, .parameter_shape = { { 4 } } },
    { .name = "RMSNorm with 1 + gain", .op = &ss_op_norm, .attributes = { .columns = 5, .eps = 1e-6, .gain_offset = 1.0 },
      .batch = 3, .n_inputs = 1, .rank = 1, .shape = { 5 }, .n_parameters = 2, .parameter_rank = { 1 },
      .parameter_shape = { { 5 } } },
};

static const ss_op_case loss_cases[] = {
    { .name = "mse", .op = &ss_op_loss, .attributes = { .loss = SS_LOSS_MSE }, .batch = 4, .n_inputs = 1, .rank = 2,
      .shape = { 2, 3 }, .contiguous = 2 },
    { .name = "bce", .op = &ss_op_loss, .attributes = { .loss = SS_LOSS_BCE_WITH_LOGITS }, .batch = 4, .n_inputs = 1,
      .rank = 1, .shape = { 3 } },
    { .name = "cross-entropy", .op = &ss_op_loss, .attributes = { .loss = SS_LOSS_CROSS_ENTROPY, .class_ids = true },
      .batch = 4, .n_inputs = 1, .rank = 1, .shape = { 5 }, .weak = SS_BIT(SS_PRIMAL, SS_TARGET) },
    { .name = "cross-entropy of tokens, smoothed, with class weights", .op = &ss_op_loss,
      .attributes = { .loss = SS_LOSS_CROSS_ENTROPY, .class_ids = true, .smoothing = 0.1 }, .batch = 2, .n_inputs = 1,
      .rank = 2, .shape = { 2, 4 }, .class_weights = true },
    { .name = "cross-entropy of distributions", .op = &ss_op_loss, .attributes = { .loss = SS_LOSS_CROSS_ENTROPY },
      .batch = 3, .n_inputs = 1, .rank = 1, .shape = { 4 } },
    { .name = "cross-entropy of distributions with class weights", .op = &ss_op_loss,
      .attributes = { .loss = SS_LOSS_CROSS_ENTROPY, .smoothing = 0.2 }, .batch = 3, .n_inputs = 1, .rank = 1,
      .shape = { 4 }, .class_weights = true },
};

#define HEADS(T, H, D) .rank = 3, .shape = { T, H, D }
/* keys and values of fewer heads than the queries have */
#define SHARED_KEYS(T, H, D) .input = { [1] = { .rank = 3, .shape = { T, H, D } }, [2] = { .rank = 3, .shape = { T, H, D } } }
#define MASKED(T, values) .input = { [3] = { .rank = 1, .shape = { T }, .limit = 2, .integers = values } }

/* the first sample padded on the left, so that its first query sees nothing, the second one on the right */
static const int64_t padding[] = { 0, 1, 1, 1, 1, 1, 1, 0 };

static const ss_op_case attention_cases[] = {
    { .name = "attention", .op = &ss_op_attention, .attributes = { .heads = 2, .key_heads = 2, .scale = 0.6 },
      .batch = 2, .n_inputs = 3, HEADS(3, 2, 2) },
    { .name = "causal attention, shared keys", .op = &ss_op_attention,
      .attributes = { .heads = 2, .key_heads = 1, .scale = 0.5, .causal = true }, .batch = 1, .n_inputs = 3,
      HEADS(5, 2, 3), SHARED_KEYS(5, 1, 3) },
    { .name = "attention through a window", .op = &ss_op_attention,
      .attributes = { .heads = 1, .key_heads = 1, .scale = 0.7, .causal = true, .window = 3 }, .batch = 1,
      .n_inputs = 3, HEADS(7, 1, 2) },
    { .name = "causal attention with padding", .op = &ss_op_attention,
      .attributes = { .heads = 1, .key_heads = 1, .scale = 0.7, .causal = true }, .batch = 2, .n_inputs = 4,
      HEADS(4, 1, 2), MASKED(4, padding) },
    { .name = "attention with padding, capped", .op = &ss_op_attention,
      .attributes = { .heads = 1, .key_heads = 1, .scale = 0.7, .cap = 1.5 }, .batch = 2, .n_inputs = 4,
      HEADS(4, 1, 2), MASKED(4, padding) },
    { .name = "causal attention, capped, of dimension 1", .op = &ss_op_attention,
      .attributes = { .heads = 1, .key_heads = 1, .scale = 1.0, .causal = true, .cap = 2.0 }, .batch = 1,
      .n_inputs = 3, HEADS(4, 1, 1) },
};

static const ss_op_case rope_cases[] = {
    { .name = "rope", .op = &ss_op_rope, .batch = 2, .n_inputs = 1, HEADS(3, 2, 4), .n_parameters = 1,
      .parameter_rank = { 2 }, .parameter_shape = { { 3, 4 } }, .constant = { true } },
    { .name = "rope of a part, of fewer tokens than the table has", .op = &ss_op_rope, .batch = 1, .n_inputs = 1,
      HEADS(2, 3, 5), .n_parameters = 1, .parameter_rank = { 2 }, .parameter_shape = { { 4, 2 } },
      .constant = { true }, },
};
/* clang-format on */

static void check_rows(const ss_op_case *rows, size_t count)
{
    const char *const *backends = ss_test_backends();
    for (size_t i = 0; i < count; i++)
        for (int b = 0; backends[b] != NULL; b++)
            for (int real = SS_FLOAT32; real <= SS_FLOAT64; real++) {
                int64_t calls = 0;
                int     deviations = ss_op_case_check(&rows[i], backends[b], (ss_real)real, &calls);
                cr_expect(deviations == 0, "%s on %s in %s: %d deviations", rows[i].name, backends[b],
                          ss_real_name((ss_real)real), deviations);
                cr_expect(calls > 50, "%s: only %lld sweeps were run", rows[i].name, (long long)calls);
            }
}

#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof *(rows))

static void begin(void)
{
    ss_test_begin();
    ss_test_require(ss_context_set_threads(ss_test_context, 1));
}

Test(ops, linear, .init = begin, .fini = ss_test_end)
{
    CHECK_ROWS(linear_cases);
}

Test(ops, elementwise, .init = begin, .fini = ss_test_end)
{
    CHECK_ROWS(elementwise_cases);
}

Test(ops, tokens, .init = begin, .fini = ss_test_end)
{
    CHECK_ROWS(token_cases);
}

Test(ops, router, .init = begin, .fini = ss_test_end)
{
    CHECK_ROWS(router_cases);
}

Test(ops, head, .init = begin, .fini = ss_test_end)
{
    CHECK_ROWS(head_cases);
}

Test(ops, norm, .init = begin, .fini = ss_test_end)
{
    CHECK_ROWS(norm_cases);
}

Test(ops, loss, .init = begin, .fini = ss_test_end)
{
    CHECK_ROWS(loss_cases);
}

Test(ops, attention, .init = begin, .fini = ss_test_end)
{
    CHECK_ROWS(attention_cases);
}

Test(ops, rope, .init = begin, .fini = ss_test_end)
{
    CHECK_ROWS(rope_cases);
}

Test(ops, pointwise_with_a_bias, .init = begin, .fini = ss_test_end)
{
    CHECK_ROWS(biased_cases);
}

/* All functions of the table, by the table: a new one is tested without a change here. */
Test(ops, pointwise, .init = begin, .fini = ss_test_end)
{
#define NAME_ROW(name, torch, stem, from_y, kinked) torch,
    static const char *const names[] = { SS_FUNCTION_TABLE(NAME_ROW) };
#undef NAME_ROW
    static const double parameters[SS_FUNCTION_COUNT][2] = {
        [SS_LEAKY_RELU] = { 0.2 }, [SS_SOFTPLUS] = { 1.5, 20.0 }, [SS_ELU] = { 1.3 }, [SS_SOFT_CAP] = { 2.0 }
    };
    for (int f = 0; f < SS_FUNCTION_COUNT; f++) {
        ss_op_case row = { .name = names[f], .op = &ss_op_pointwise, .batch = 3, .n_inputs = 1, .rank = 2 };
        row.shape[0] = 2;
        row.shape[1] = 3;
        row.margin = 0.15;
        row.attributes.function = (ss_function)f;
        row.attributes.parameter[0] = parameters[f][0];
        row.attributes.parameter[1] = parameters[f][1];
        check_rows(&row, 1);
    }
}

/* ---- The harness notices ---- */

/* x_at without its second term. */
static ss_status half_a_sweep(const ss_call *call, ss_sweep sweep)
{
    ss_call copy = *call;
    if (sweep == SS_TANGENT_BACKWARD) copy.operand[SS_OPERAND(SS_ADJOINT, SS_Y)].data = NULL;
    return ss_op_linear.sweep(&copy, sweep);
}

/* y_t overwrites where it should accumulate. */
static ss_status forgets_accumulation(const ss_call *call, ss_sweep sweep)
{
    ss_call copy = *call;
    if (sweep == SS_TANGENT_FORWARD) copy.operand[SS_OPERAND(SS_TANGENT, SS_Y)].accumulate = false;
    return ss_op_linear.sweep(&copy, sweep);
}

static ss_mask names_too_little(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    return ss_op_linear.needs(node, sweep, have, want) & ~(sweep == SS_BACKWARD ? X_0 : 0);
}

static ss_mask names_too_much(const ss_node *node, ss_sweep sweep, ss_mask have, ss_mask want)
{
    ss_mask reads = ss_op_linear.needs(node, sweep, have, want);
    return sweep == SS_BACKWARD && reads != 0 ? reads | X_0 : reads;
}

/* Of a head: the Gauss-Newton product without the weight's tangent. */
static ss_status half_a_head(const ss_call *call, ss_sweep sweep)
{
    ss_call copy = *call;
    if (sweep == SS_CURVATURE) copy.operand[SS_OPERAND(SS_TANGENT, SS_W)].data = NULL;
    return ss_op_head.sweep(&copy, sweep);
}

static int deviations_of(ss_op op, ss_op_case row)
{
    row.op = &op;
    return ss_op_case_check(&row, "cpu", SS_FLOAT64, NULL);
}

Test(ops, harness_notices_wrong_answers, .init = begin, .fini = ss_test_end)
{
    ss_op wrong = ss_op_linear;
    wrong.sweep = half_a_sweep;
    cr_expect(deviations_of(wrong, linear_cases[0]) > 0, "a missing term was not noticed");
    wrong = ss_op_linear;
    wrong.sweep = forgets_accumulation;
    cr_expect(deviations_of(wrong, linear_cases[0]) > 0, "a forgotten accumulation was not noticed");
    wrong = ss_op_linear;
    wrong.needs = names_too_little;
    cr_expect(deviations_of(wrong, linear_cases[0]) > 0, "an operand read but not named was not noticed");
    wrong = ss_op_linear;
    wrong.needs = names_too_much;
    cr_expect(deviations_of(wrong, linear_cases[0]) > 0, "an operand named but not read was not noticed");
    cr_expect_eq(deviations_of(ss_op_linear, linear_cases[0]), 0);
    wrong = ss_op_head;
    wrong.sweep = half_a_head;
    cr_expect(deviations_of(wrong, head_cases[0]) > 0, "a missing tangent of a head was not noticed");
}
