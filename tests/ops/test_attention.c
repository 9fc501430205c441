/* The records of attention and rotary positions: shapes that are refused by name, products counted, what a
 * sweep reads. The sweeps themselves are rows of test_ops.c. */
#include "ops/node.h"
#include "support/support.h"

#include <criterion/criterion.h>

enum { TOKENS = 8, HEADS = 4, KEY_HEADS = 2, DIM = 16 };

typedef struct model {
    ss_value     values[4];
    ss_parameter table;
    ss_node      node;
} model;

static model make(int32_t n_inputs)
{
    model m = { .node = { .op = &ss_op_attention, .name = (char *)"h.0.attn", .n_inputs = n_inputs } };
    for (int i = 0; i < 3; i++) {
        m.values[i] = (ss_value){ .rank = 3, .shape = { TOKENS, i == 0 ? HEADS : KEY_HEADS, DIM } };
        m.node.input[i] = i;
    }
    m.values[3] = (ss_value){ .rank = 1, .shape = { TOKENS }, .integer = true };
    m.node.input[3] = 3;
    m.node.attributes.heads = HEADS;
    m.node.attributes.key_heads = KEY_HEADS;
    m.node.attributes.causal = true;
    return m;
}

static ss_status infer(model *m)
{
    m->node.values = m->values;
    m->node.parameters = &m->table;
    return m->node.op->infer(ss_test_context, &m->node);
}

Test(attention_op, shapes, .init = ss_test_begin, .fini = ss_test_end)
{
    model       m = make(4);
    ss_backend *b = NULL;
    ss_test_require(ss_backend_open(ss_test_context, "cpu", SS_FLOAT64, &b));
    ss_test_require(infer(&m));
    cr_assert(m.node.output_rank == 3 && m.node.output_shape[1] == HEADS && m.node.output_shape[2] == DIM);
    cr_assert_eq(m.node.saved_count, TOKENS * HEADS);
    cr_assert_eq(m.node.saved_tangent_count, TOKENS * HEADS);
    cr_assert_eq(ss_op_attention.workspace(&m.node, b, SS_FORWARD, 3, 1), 0);
    cr_assert_eq(ss_op_attention.workspace(&m.node, b, SS_TANGENT_BACKWARD, 3, 2), 3 * TOKENS * HEADS * 3);
    ss_backend_close(b);
}

Test(attention_op, refusals, .init = ss_test_begin, .fini = ss_test_end)
{
    model m = make(3);
    m.node.attributes.key_heads = 3;
    ss_test_refuse(infer(&m), SS_ERROR_INPUT,
                   "layer h.0.attn: 4 query heads cannot share 3 key heads evenly");
    m = make(3);
    m.values[2].shape[2] = DIM + 1;
    ss_test_refuse(infer(&m), SS_ERROR_INPUT, "v [8, 2, 17]");
    m = make(3);
    m.values[1].shape[0] = TOKENS - 1;
    ss_test_refuse(infer(&m), SS_ERROR_INPUT, "k [7, 2, 16]");
    m = make(4);
    m.values[3].integer = false;
    ss_test_refuse(infer(&m), SS_ERROR_INPUT, "integer mask [8]");
}

static double products(const model *m, ss_sweep sweep, ss_mask have, ss_mask want)
{
    double seen = 2.0 * TOKENS * (TOKENS + 1) / 2 * HEADS * DIM;
    return ss_op_attention.flops(&m->node, sweep, 1, have, want) / seen;
}

/* The table of reference 4.1: 2, 5, 5 and 12 products; less where tangents or outputs are absent. */
Test(attention_op, flops, .init = ss_test_begin, .fini = ss_test_end)
{
    model   m = make(3);
    ss_mask q_t = SS_BIT(SS_TANGENT, SS_X), k_t = SS_BIT(SS_TANGENT, SS_X + 1),
            v_t = SS_BIT(SS_TANGENT, SS_X + 2);
    ss_mask o_a = SS_BIT(SS_ADJOINT, SS_Y), o_at = SS_BIT(SS_ADJOINT_TANGENT, SS_Y), all = q_t | k_t | v_t;
    ss_mask a = SS_BIT(SS_ADJOINT, SS_X) | SS_BIT(SS_ADJOINT, SS_X + 1) | SS_BIT(SS_ADJOINT, SS_X + 2);
    ss_mask at = SS_BIT(SS_ADJOINT_TANGENT, SS_X) | SS_BIT(SS_ADJOINT_TANGENT, SS_X + 1) |
                 SS_BIT(SS_ADJOINT_TANGENT, SS_X + 2);
    ss_test_require(infer(&m));
    cr_expect(products(&m, SS_FORWARD, 0, SS_BIT(SS_PRIMAL, SS_Y)) == 2);
    cr_expect(products(&m, SS_BACKWARD, o_a, a) == 5);
    cr_expect(products(&m, SS_TANGENT_FORWARD, all, SS_BIT(SS_TANGENT, SS_Y)) == 5);
    cr_expect(products(&m, SS_TANGENT_BACKWARD, all | o_a | o_at, at) == 12);
    cr_expect(products(&m, SS_TANGENT_FORWARD, v_t, SS_BIT(SS_TANGENT, SS_Y)) == 2);
    cr_expect(products(&m, SS_TANGENT_BACKWARD, o_at, at) == 5, "a plain backward of the tangents");
    cr_expect(products(&m, SS_BACKWARD, o_a, SS_BIT(SS_ADJOINT, SS_X + 2)) == 2);
    cr_expect(products(&m, SS_BACKWARD, 0, a) == 0);

    /* window 3: the queries see 1, 2, 3, 3, ... keys */
    m.node.attributes.window = 3;
    double seen = 2.0 * (1 + 2 + 3 * (TOKENS - 2)) * HEADS * DIM;
    cr_expect(ss_op_attention.flops(&m.node, SS_FORWARD, 1, 0, SS_BIT(SS_PRIMAL, SS_Y)) == 2 * seen);
}

/* In memory on a device: a product makes a block of scores or reads it, the second of a sum does both, and
 * the rows between them are read and written; on the processor they are not. */
Test(attention_op, bytes, .init = ss_test_begin, .fini = ss_test_end)
{
    static const char *const names[] = { "cpu", "cpu-check" };
    model                    m = make(3);
    ss_mask                  q_t = SS_BIT(SS_TANGENT, SS_X), k_t = SS_BIT(SS_TANGENT, SS_X + 1);
    ss_mask all = q_t | k_t | SS_BIT(SS_TANGENT, SS_X + 2), y_t = SS_BIT(SS_TANGENT, SS_Y), at = 0;
    double  block = 4.0 * 3 * HEADS * TOKENS * TOKENS; /* one for all tokens */
    ss_test_require(infer(&m));
    for (int i = 0; i < 3; i++) at |= SS_BIT(SS_ADJOINT_TANGENT, SS_X + i);
    for (int device = 0; device < 2; device++) {
        ss_backend *b = NULL;
        ss_test_require(ss_backend_open(ss_test_context, names[device], SS_FLOAT32, &b));
        double one = device * block;
        double forward = ss_op_attention.bytes(&m.node, b, SS_TANGENT_FORWARD, 3, all, y_t);
        cr_expect_eq(forward, 10 * one, "%g of %g", forward / block, one / block);
        double back =
            ss_op_attention.bytes(&m.node, b, SS_TANGENT_BACKWARD, 3,
                                  all | SS_BIT(SS_ADJOINT, SS_Y) | SS_BIT(SS_ADJOINT_TANGENT, SS_Y), at);
        cr_expect_eq(back, 24 * one, "%g of %g", back / block, one / block);
        ss_backend_close(b);
    }
}

Test(attention_op, rope_refusals, .init = ss_test_begin, .fini = ss_test_end)
{
    model m = make(1);
    m.node.op = &ss_op_rope;
    m.node.n_parameters = 1;
    m.table = (ss_parameter){ .name = (char *)"angles" };
    m.table.array.rank = 2;
    m.table.array.shape[0] = TOKENS;
    m.table.array.shape[1] = DIM;
    ss_test_require(infer(&m));
    m.table.array.shape[1] = DIM + 2;
    ss_test_refuse(infer(&m), SS_ERROR_INPUT, "layer h.0.attn: the table 'angles' has shape [8, 18]");
    m.table.array.shape[1] = DIM;
    m.table.array.shape[0] = TOKENS - 1;
    ss_test_refuse(infer(&m), SS_ERROR_INPUT, "[7, 16]");
    m.values[0].rank = 2;
    ss_test_refuse(infer(&m), SS_ERROR_INPUT, "rotates heads [tokens, heads, dim]");
}
