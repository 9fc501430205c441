/* The inputs of token and image networks: derived from the data set by their source, and refused where they
 * do not fit. */
#include "hvp/inputs.h"
#include "hvp/fixture.h"
#include "io/safetensors.h"

#include <criterion/criterion.h>
#include <string.h>

enum { T = FIXTURE_TOKENS_PER_SAMPLE, V = FIXTURE_VOCABULARY, D = 4, S = FIXTURE_SAMPLES };

static void add_embedding(ss_graph *g, ss_source source, int64_t parameter, int64_t limit, const char *name)
{
    int64_t       tokens = T, shape[2] = { limit, D };
    int32_t       ids, table, sum, pair[2] = { g->output, -1 };
    ss_attributes one = { .alpha = 1, .beta = 1 };
    ss_test_require(ss_graph_add_source(g, source, 1, &tokens, parameter, limit, &ids));
    ss_test_require(ss_graph_add_parameter(g, name, 2, shape, true, &table));
    ss_test_require(ss_graph_add_node(g, &ss_op_embedding, name, &one, 1, &ids, 1, &table, 0, &pair[1]));
    ss_test_require(ss_graph_add_node(g, &ss_op_add, "sum", &one, 2, pair, 0, NULL, 0, &sum));
    g->output = sum;
}

Test(tokens, inputs_are_derived_from_the_data, .init = ss_test_begin, .fini = ss_test_end)
{
    static const int64_t ids[2 * T] = { 3, 1, 4, 1, 5, 1, 1, 2, 6, 0 };
    static const int32_t mask[2 * T] = { 1, 1, 0, 1, 1, 0, 0, 1, 1, 1 };
    static const uint8_t types[2 * T] = { 0, 0, 1, 1, 0, 1, 0, 1, 0, 1 };
    static const int64_t expected[6][2 * T] = {
        { 3, 1, 4, 1, 5, 1, 1, 2, 6, 0 }, /* ids */
        { 2, 3, 4, 5, 6, 2, 3, 4, 5, 6 }, /* positions from 2 */
        { 2, 3, 1, 4, 5, 1, 1, 2, 3, 4 }, /* attended, from 2: cumulated mask times mask, plus 1 */
        { 2, 1, 3, 1, 4, 1, 1, 2, 3, 4 }, /* not padded, padding 1 */
        { 0, 0, 1, 1, 0, 1, 0, 1, 0, 1 }, /* types */
        { 1, 1, 0, 1, 1, 0, 0, 1, 1, 1 }, /* mask */
    };
    const char *path = ss_test_path("data.safetensors");
    ss_array    arrays[4] = { { "input_ids", SS_I64, 2, { 2, T }, ids },
                              { "labels", SS_I64, 2, { 2, T }, ids },
                              { "attention_mask", SS_I32, 2, { 2, T }, mask },
                              { "token_type_ids", SS_U8, 2, { 2, T }, types } };
    for (int without = 0; without < 2; without++) { /* once without mask and types: ones and zeros */
        ss_graph            *g;
        ss_dataset          *data;
        ss_problem          *p;
        ss_objective_options options;
        int32_t              seen;
        int64_t              tokens = T;
        ss_test_require(ss_safetensors_write(ss_test_context, path, arrays, without ? 2 : 4, NULL, 0));
        ss_test_require(ss_dataset_open(ss_test_context, path, NULL, &data));
        ss_test_require(ss_graph_create(ss_test_context, &g));
        fixture_build_smallest(g);
        add_embedding(g, SS_SOURCE_POSITIONS, 2, T + 2, "positions");
        add_embedding(g, SS_SOURCE_POSITIONS_ATTENDED, 2, T + 2, "attended");
        add_embedding(g, SS_SOURCE_POSITIONS_NOT_PADDED, 1, T + 2, "not_padded");
        add_embedding(g, SS_SOURCE_TOKEN_TYPES, 0, 2, "types");
        int32_t output = g->output;
        ss_test_require(ss_graph_add_source(g, SS_SOURCE_ATTENTION_MASK, 1, &tokens, 0, 0, &seen));
        cr_assert_eq(g->output, output, "an input is not the output");
        ss_test_require(ss_graph_bind_seeded(g, 5));
        ss_test_require(ss_graph_activate(g, 0, NULL, 0, NULL));
        ss_objective_options_init(&options);
        options.loss = "causal_lm";
        ss_test_require(ss_problem_prepare_graph(ss_test_context, g, data, &options));
        ss_test_require(ss_problem_create(ss_test_context, g, data, &options, &p));
        for (int32_t i = 0; i < g->n_inputs; i++)
            for (int64_t s = 0; s < 2; s++) {
                int64_t row[T];
                ss_problem_fill_input(&p->inputs[i], s, row);
                for (int t = 0; t < T; t++) {
                    int64_t e = expected[i][s * T + t];
                    if (without && i == 2) e = t + 2;
                    if (without && i >= 4) e = i == 5;
                    cr_assert_eq(row[t], e, "input %d, sample %d, token %d: %d, expected %d", (int)i, (int)s,
                                 t, (int)row[t], (int)e);
                }
            }
        ss_problem_destroy(p);
        ss_graph_destroy(g);
        ss_dataset_close(data);
    }
}

Test(tokens, patches, .init = ss_test_begin, .fini = ss_test_end)
{
    fixture f;
    double  row[32];
    fixture_create(&f, FIXTURE_IMAGES, ss_test_device(), SS_FLOAT64, 0, NULL);
    ss_problem_fill_input(&f.problem->inputs[0], 2, row);
    for (int64_t n = 0; n < 4; n++)
        for (int64_t k = 0; k < 8; k++) { /* patch n, element (channel, y, x) */
            int64_t channel = k / 4, y = n / 2 * 2 + k / 2 % 2, x = n % 2 * 2 + k % 2;
            cr_assert_eq(row[n * 8 + k], f.x[2 * 32 + channel * 16 + y * 4 + x]);
        }
    cr_assert_eq(f.problem->inputs[0].scale, 0.5);
    fixture_destroy(&f);
}

/* ---- What is refused ---- */

static ss_status try_problem(fixture *f, const char *loss)
{
    ss_status            status = SS_OK;
    ss_objective_options options;
    ss_problem          *p = NULL;
    ss_objective_options_init(&options);
    options.loss = loss;
    status = ss_problem_prepare_graph(ss_test_context, f->graph, f->dataset, &options);
    if (status == SS_OK) status = ss_problem_create(ss_test_context, f->graph, f->dataset, &options, &p);
    ss_problem_destroy(p);
    return status;
}

Test(tokens, bad_data_are_refused, .init = ss_test_begin, .fini = ss_test_end)
{
    fixture f, images;
    fixture_create(&f, FIXTURE_TOKENS, ss_test_device(), SS_FLOAT64, 0, NULL);
    fixture_create(&images, FIXTURE_IMAGES, ss_test_device(), SS_FLOAT64, 0, NULL);
    ss_test_require(try_problem(&f, "causal_lm"));
    int64_t kept = f.ids[2 * T + 3];
    f.ids[2 * T + 3] = V;
    ss_test_refuse(try_problem(&f, "causal_lm"), SS_ERROR_INPUT, "token id 9 at sample 2, token 3");
    f.ids[2 * T + 3] = -1;
    ss_test_refuse(try_problem(&f, "causal_lm"), SS_ERROR_INPUT, "expected 0 to 8");
    f.ids[2 * T + 3] = kept;
    kept = f.labels[T + 2];
    f.labels[T + 2] = V;
    ss_test_refuse(try_problem(&f, "masked_lm"), SS_ERROR_INPUT, "label 9 at [1, 2]");
    f.labels[T + 2] = kept;
    ss_test_refuse(try_problem(&f, "mse"), SS_ERROR_USAGE, "causal_lm");
    ss_test_refuse(try_problem(&f, "perplexity"), SS_ERROR_USAGE, "masked_lm");
    ss_test_refuse(try_problem(&images, "causal_lm"), SS_ERROR_USAGE, "for every token");
    for (int64_t i = 0; i < S * T; i++) f.labels[i] = i % T == 0 ? 1 : SS_IGNORED_LABEL;
    ss_test_require(try_problem(&f, "masked_lm"));
    ss_test_refuse(try_problem(&f, "causal_lm"), SS_ERROR_INPUT, "behind a first token");
    for (int64_t i = 0; i < S * T; i++) f.labels[i] = SS_IGNORED_LABEL;
    ss_test_refuse(try_problem(&f, "masked_lm"), SS_ERROR_INPUT, "no label counts");
    fixture_destroy(&f);
    fixture_destroy(&images);
}

Test(tokens, data_that_do_not_fit_are_refused, .init = ss_test_begin, .fini = ss_test_end)
{
    static const int64_t ids[2 * 6] = { 0 };
    static const double  pixels[2 * 48] = { 0 };
    ss_array y = { "labels", SS_I64, 2, { 2, 6 }, ids }, x = y, one = { "labels", SS_I64, 1, { 2 }, ids };
    ss_array images[2] = { { "pixel_values", SS_F64, 4, { 2, 2, 4, 6 }, pixels },
                           { "pixel_values", SS_F64, 2, { 2, 32 }, pixels } };
    fixture  f;
    x.name = "input_ids";
    fixture_create(&f, FIXTURE_TOKENS, ss_test_device(), SS_FLOAT64, 0, NULL);
    ss_dataset_close(f.dataset);
    ss_test_require(ss_dataset_from_arrays(ss_test_context, &x, &y, NULL, &f.dataset));
    ss_test_refuse(try_problem(&f, "causal_lm"), SS_ERROR_INPUT,
                   "samples have shape [6], the network expects [5]");
    ss_dataset_close(f.dataset);
    ss_array reals = { "x", SS_F64, 2, { 2, 5 }, pixels };
    ss_test_require(ss_dataset_from_arrays(ss_test_context, &reals, &y, NULL, &f.dataset));
    ss_test_refuse(try_problem(&f, "causal_lm"), SS_ERROR_INPUT, "expected integers");
    fixture_destroy(&f);
    fixture_create(&f, FIXTURE_IMAGES, ss_test_device(), SS_FLOAT64, 0, NULL);
    for (int k = 0; k < 2; k++) {
        ss_dataset_close(f.dataset);
        ss_test_require(ss_dataset_from_arrays(ss_test_context, &images[k], &one, NULL, &f.dataset));
        ss_test_refuse(try_problem(&f, "cross_entropy"), SS_ERROR_INPUT, "4 patches of 2 by 2");
    }
    fixture_destroy(&f);
}

/* A table of positions that is shorter than the sequence. */
Test(tokens, sequences_longer_than_the_positions_are_refused, .init = ss_test_begin, .fini = ss_test_end)
{
    fixture f;
    fixture_create(&f, FIXTURE_TOKENS, ss_test_device(), SS_FLOAT64, 0, NULL);
    ss_graph_destroy(f.graph);
    ss_test_require(ss_graph_create(ss_test_context, &f.graph));
    fixture_build_smallest(f.graph);
    add_embedding(f.graph, SS_SOURCE_POSITIONS, 0, T - 1, "positions");
    ss_test_require(ss_graph_bind_seeded(f.graph, 5));
    ss_test_require(ss_graph_activate(f.graph, 0, NULL, 0, NULL));
    ss_test_refuse(try_problem(&f, "causal_lm"), SS_ERROR_INPUT, "position 4");
    fixture_destroy(&f);
}
