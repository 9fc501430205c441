/* --blocks: the extreme eigenvalues of the diagonal blocks of a Hessian that is small enough to be formed. */
#include "backend/backend.h"
#include "saddlescope/spectrum.h"
#include "saddlescope/verdict.h"
#include "support/golden.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define BLOCKS(test) Test(blocks, test, .init = ss_test_begin, .fini = ss_test_end)

static const char *const folder = SS_SOURCE_DIRECTORY "/tests/cases/tf_gpt2_lora";

typedef struct subject {
    ss_golden        golden;
    ss_objective    *objective;
    ss_dense_result *dense;
    ss_verdict       verdict;
} subject;

static void begin(subject *s)
{
    ss_operator      op = { 0 };
    ss_dense_options options = { .matrix = true };
    *s = (subject){ .verdict = { .context = ss_test_context } };
    ss_test_require(ss_golden_open(ss_test_context, folder, &s->golden));
    ss_test_require(ss_golden_objective(&s->golden, SS_FLOAT64, &s->objective));
    ss_test_require(ss_objective_operator(s->objective, SS_PRODUCT_HESSIAN, SS_FLOAT64, NULL, NULL, &op));
    ss_test_require(ss_dense_eigen(&op, &options, &s->dense));
    ss_operator_destroy(&op);
}

static void end(subject *s)
{
    ss_verdict_destroy(&s->verdict);
    ss_dense_result_destroy(s->dense);
    ss_objective_destroy(s->objective);
    ss_golden_close(&s->golden);
}

static ss_status search(subject *s, ss_block_kind kind)
{
    ss_objective_options objective;
    ss_analyze_options   options;
    ss_objective_options_init(&objective);
    ss_analyze_options_init(&options);
    objective.loss = ss_golden_text(&s->golden, "loss");
    objective.precision = SS_FLOAT64;
    objective.device = ss_test_device();
    return ss_analyze_blocks(ss_test_context, s->golden.network, s->golden.dataset, &objective, kind,
                             &options, &s->verdict);
}

/* Extreme eigenvalues of rows and columns [first, first + n) of the matrix. */
static void extremes(const subject *s, int64_t first, int64_t n, double *low, double *high)
{
    ss_backend *backend = NULL; /* the processor's, whatever the device under test */
    double     *block = NULL, *values = NULL;
    ss_test_require(ss_backend_open(ss_test_context, "cpu", SS_FLOAT64, &backend));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, n * n, &block));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, n, &values));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            block[i * n + j] = s->dense->matrix[(first + i) * s->dense->n + first + j];
    ss_test_require(backend->class->symmetric_eigen(backend, NULL, n, block, false, values));
    *low = values[0];
    *high = values[n - 1];
    ss_backend_close(backend);
    ss_free(ss_test_context, block);
    ss_free(ss_test_context, values);
}

/* Blocks are in the order of names, which is the order of the vector. */
static void check(subject *s, ss_block_kind kind, int64_t expected)
{
    int64_t first = 0;
    ss_test_require(search(s, kind));
    cr_assert_eq(s->verdict.n_blocks, expected, "%d blocks", (int)s->verdict.n_blocks);
    for (int64_t b = 0; b < expected; b++) {
        const ss_verdict_block *block = &s->verdict.blocks[b];
        double                  low, high;
        extremes(s, first, block->n, &low, &high);
        cr_expect(block->converged, "%s", block->name);
        cr_expect(fabs(block->low - low) <= block->low_error + 1e-12, "%s: lowest %g +- %g, exactly %g",
                  block->name, block->low, block->low_error, low);
        cr_expect(fabs(block->high - high) <= block->high_error + 1e-12, "%s: highest %g +- %g, exactly %g",
                  block->name, block->high, block->high_error, high);
        cr_expect(block->high_error <= 0.02 * fmax(fabs(high), 1e-3), "%s: error %g", block->name,
                  block->high_error);
        first += block->n;
    }
    cr_assert_eq(first, s->dense->n);
    cr_assert_eq(ss_network_n(s->golden.network), s->dense->n, "the active parameters are not as before");
}

BLOCKS(tensors)
{
    subject s;
    begin(&s);
    check(&s, SS_BLOCKS_TENSOR, 8);
    cr_expect_str_eq(s.verdict.blocks[0].name, "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight");
    end(&s);
}

BLOCKS(modules)
{
    subject s;
    begin(&s);
    check(&s, SS_BLOCKS_MODULE, 8);
    end(&s);
}

BLOCKS(layers)
{
    subject s;
    begin(&s);
    check(&s, SS_BLOCKS_LAYER, 2);
    cr_expect_str_eq(s.verdict.blocks[1].name, "base_model.model.transformer.h.1");
    end(&s);
}

BLOCKS(other_words_are_refused)
{
    ss_block_kind kind;
    ss_test_refuse(ss_block_kind_read(ss_test_context, "row", &kind), SS_ERROR_USAGE,
                   "tensor, module or layer");
    ss_test_require(ss_block_kind_read(ss_test_context, "module", &kind));
    cr_expect_eq(kind, SS_BLOCKS_MODULE);
}
