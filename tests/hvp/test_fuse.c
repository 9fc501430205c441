/* Fused nodes: the same products as node by node, with fewer calls of the backend and fewer bytes through
 * memory. Calls and bytes are counted where they are made, by a class of the backend's own with other
 * entries. */
#include "hvp/fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define MAXIMUM 512 /* parameters of the largest fixture */

/* ---- Counting ---- */

typedef struct traffic {
    int64_t calls, bytes; /* of primitives over matrices */
} traffic;

static traffic                 counted; /* since the last clear */
static const ss_backend_class *counts_for;
static int64_t                 element;
static bool                    dry; /* count, do not compute */

static int64_t size(const ss_matrix *m, int64_t lanes)
{
    if (m->data == NULL) return 0;
    return (m->ld == 0 ? 1 : m->rows) * m->cols * (m->lane_stride == 0 ? 1 : lanes);
}

static void count(int64_t elements)
{
    counted.calls++;
    counted.bytes += elements * element;
}

static ss_status count_gemm(ss_backend *b, ss_queue *q, const ss_gemm *g)
{
    count(g->batch * g->m * g->n * (g->beta != 0 ? 2 : 1) + (g->stride_a ? g->batch : 1) * g->m * g->k +
          (g->stride_b ? g->batch : 1) * g->k * g->n);
    return dry ? SS_OK : counts_for->gemm(b, q, g);
}

static ss_status count_pointwise(ss_backend *b, ss_queue *q, const ss_pointwise *p)
{
    int64_t n = p->lanes, out = size(&p->x_a, n) + size(&p->x_at, n) + size(&p->y_t, n);
    if (p->sweep == SS_FORWARD) out = size(&p->y, 1);
    int64_t in = size(&p->x, 1) + (p->sweep == SS_FORWARD ? 0 : size(&p->y, 1)) + size(&p->x_t, n) +
                 size(&p->y_a, n) + size(&p->y_at, n);
    count(in + out * (p->accumulate ? 2 : 1));
    return dry ? SS_OK : counts_for->pointwise(b, q, p);
}

static ss_status count_glu(ss_backend *b, ss_queue *q, const ss_glu *p)
{
    ss_matrix out[2];
    bool      accumulate[2];
    ss_glu_outputs(p, out, accumulate);
    int64_t n = p->lanes, moved = size(&p->a, 1) + size(&p->b, 1) + size(&p->a_t, n) + size(&p->b_t, n) +
                                  size(&p->y_a, n) + size(&p->y_at, n);
    for (int k = 0; k < 2; k++) moved += size(&out[k], n) * (accumulate[k] ? 2 : 1);
    count(moved);
    return dry ? SS_OK : counts_for->glu(b, q, p);
}

static ss_status count_add(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x,
                           double beta, const ss_matrix *y)
{
    count(size(x, lanes) + size(y, lanes) * (beta != 0 ? 2 : 1));
    return dry ? SS_OK : counts_for->add(b, q, lanes, alpha, x, beta, y);
}

static ss_status count_sum(ss_backend *b, ss_queue *q, int64_t lanes, double alpha, const ss_matrix *x,
                           double beta, const ss_matrix *y, bool accumulate, const ss_matrix *z)
{
    count(size(x, lanes) + size(y, lanes) + size(z, lanes) * (accumulate ? 2 : 1));
    return dry ? SS_OK : counts_for->sum(b, q, lanes, alpha, x, beta, y, accumulate, z);
}

static ss_status count_column_sum(ss_backend *b, ss_queue *q, int64_t lanes, const ss_matrix *x,
                                  bool accumulate, const ss_matrix *y)
{
    count(size(x, lanes));
    return dry ? SS_OK : counts_for->column_sum(b, q, lanes, x, accumulate, y);
}

/* Every tensor of a norm once. */
static ss_status count_norm(ss_backend *b, ss_queue *q, const ss_norm *p)
{
    int64_t n = p->lanes, out = size(&p->x_a, n) + size(&p->x_at, n) + size(&p->y_t, n);
    if (p->sweep == SS_FORWARD) out = size(&p->y, 1);
    bool accumulate =
        p->sweep == SS_FORWARD || p->sweep == SS_TANGENT_FORWARD ? p->accumulate_y : p->accumulate_x;
    count(size(&p->x, 1) + size(&p->x_t, n) + size(&p->y_a, n) + size(&p->y_at, n) +
          out * (accumulate ? 2 : 1));
    return dry ? SS_OK : counts_for->norm(b, q, p);
}

/* Attention and losses are the same in both programs: their calls are counted, their bytes left out. */
static ss_status count_attention(ss_backend *b, ss_queue *q, const ss_attention *p)
{
    count(0);
    return dry ? SS_OK : counts_for->attention(b, q, p);
}

static ss_status count_loss(ss_backend *b, ss_queue *q, const ss_loss *p)
{
    count(0);
    return dry ? SS_OK : counts_for->loss(b, q, p);
}

/* What one body takes, its prologue having run. */
static traffic count_product(fixture *f, const ss_program_options *options)
{
    ss_backend_class counting = *f->backend->class;
    ss_program      *p = NULL;
    int64_t          bytes = f->graph->layout.padded * (int64_t)ss_real_size(f->backend->real);
    char            *vectors = NULL;
    counts_for = f->backend->class;
    element = (int64_t)ss_real_size(f->backend->real);
    counting.gemm = count_gemm;
    counting.pointwise = count_pointwise;
    counting.glu = count_glu;
    counting.add = count_add;
    counting.sum = count_sum;
    counting.column_sum = count_column_sum;
    counting.norm = count_norm;
    counting.attention = count_attention;
    counting.loss = count_loss;
    ss_test_require(ss_program_compile(ss_test_context, f->backend, f->problem, options, &p));
    ss_test_require(counts_for->allocate(f->backend, 2 * bytes, (void **)&vectors));
    ss_test_require(counts_for->zero(f->backend, NULL, vectors, 2 * bytes));
    f->backend->class = &counting;
    for (int run = 0; run < 2; run++) { /* the first one with the prologue */
        counted = (traffic){ 0 };
        ss_test_require(ss_program_run(p, 1, vectors, 0, vectors + bytes, 0));
    }
    f->backend->class = counts_for;
    ss_program_destroy(p);
    counts_for->release(f->backend, vectors);
    return counted;
}

static ss_program_options product_of(ss_product product, int64_t micro_batch, int64_t cached, ss_cache rest)
{
    return (ss_program_options){ .computation = SS_COMPUTE_PRODUCT,
                                 .product = product,
                                 .micro_batch = micro_batch,
                                 .cached = cached,
                                 .rest = rest,
                                 .lanes = 1 };
}

/* ---- The same products ---- */

static void compare(const char *device, ss_real real, double tolerance)
{
    static const ss_product products[] = { SS_PRODUCT_HESSIAN, SS_PRODUCT_GAUSS_NEWTON, SS_PRODUCT_RESIDUAL };
    for (fixture_kind kind = 0; kind < FIXTURE_KIND_COUNT; kind++)
        for (size_t which = 0; which < sizeof products / sizeof *products; which++) {
            fixture f;
            double  v[2 * MAXIMUM], plain[2 * MAXIMUM], fused[2 * MAXIMUM];
            fixture_create(&f, kind, device, real, 0.01, NULL);
            int64_t n = f.graph->layout.n;
            for (uint64_t l = 0; l < 2; l++) fixture_random(&f, 10 + l, v + (int64_t)l * n);
            for (int rest = SS_CACHE_ALL; rest <= SS_CACHE_CHECKPOINT; rest++) {
                ss_program_options options =
                    product_of(products[which], 4, rest == SS_CACHE_ALL ? 3 : 1,
                               rest == SS_CACHE_ALL ? SS_CACHE_NONE : (ss_cache)rest);
                options.lanes = 2;
                options.layer_major = rest == SS_CACHE_NONE;
                fixture_product(&f, &options, 2, v, fused);
                options.unfused = true;
                fixture_product(&f, &options, 2, v, plain);
                double error = ss_test_relative_error(2 * n, fused, plain, 0);
                cr_assert(error < tolerance, "%s: fixture %d, product %d, cache %d: error %g", device,
                          (int)kind, (int)which, rest, error);
            }
            fixture_destroy(&f);
        }
}

Test(fuse, products_are_those_of_single_nodes, .init = ss_test_begin, .fini = ss_test_end)
{
    for (const char *const *name = ss_test_backends(); *name; name++) {
        compare(*name, SS_FLOAT64, 1e-13);
        if (strcmp(*name, "cpu-check") != 0) compare(*name, SS_FLOAT32, 1e-5);
    }
}

/* Biases of two functions, or a residual with its copies: fewer calls, fewer bytes; where there is nothing to
 * fuse the counts are the same. */
Test(fuse, less_is_moved, .init = ss_test_begin, .fini = ss_test_end)
{
    static const struct {
        fixture_kind kind;
        int          calls; /* fewer of them in a product, by hand */
    } rows[] = {
        /* 2 functions, each without its bias' tangent in every row and without a sum of its adjoints */
        { FIXTURE_PLAIN, 4 },
        { FIXTURE_KINKED, 2 },
        /* 2 of the function; 1 of the residual's tangent, whose sum begins with the bias; 2 copies of its
           adjoint; 1 of the adjoint of words among words and positions */
        { FIXTURE_TOKENS, 6 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fixture            f;
        ss_program_options options = product_of(SS_PRODUCT_HESSIAN, FIXTURE_SAMPLES, 1, SS_CACHE_NONE);
        fixture_create(&f, rows[i].kind, ss_test_device(), SS_FLOAT64, 0, NULL);
        traffic fused = count_product(&f, &options);
        options.unfused = true;
        traffic plain = count_product(&f, &options);
        cr_expect(plain.calls - fused.calls == rows[i].calls, "fixture %d: %lld calls, %lld unfused",
                  (int)rows[i].kind, (long long)fused.calls, (long long)plain.calls);
        cr_expect(fused.bytes < plain.bytes, "fixture %d: %lld bytes, %lld unfused", (int)rows[i].kind,
                  (long long)fused.bytes, (long long)plain.bytes);
        fixture_destroy(&f);
    }
}

/* ---- A block of a decoder, as wide as one likes: nothing is computed ---- */

enum { WIDTH = 64, TOKENS = 32, SAMPLES = 4, WORDS = 50, HEADS = 4 };

static int32_t parameter(ss_graph *g, const char *name, int32_t rank, int64_t rows, int64_t columns)
{
    int64_t shape[2] = { rows, columns };
    int32_t number;
    ss_test_require(ss_graph_add_parameter(g, name, rank, shape, true, &number));
    return number;
}

static int32_t node(ss_graph *g, const ss_op *op, const char *name, ss_attributes attributes, int32_t n,
                    const int32_t *inputs, int64_t in, int64_t out)
{
    char    weight[64], bias[64];
    int32_t output, parameters[2], count = in ? 2 : 0;
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    if (in) parameters[0] = parameter(g, weight, op == &ss_op_norm ? 1 : 2, out, in);
    if (in) parameters[1] = parameter(g, bias, 1, out, 0);
    ss_test_require(ss_graph_add_node(g, op, name, &attributes, n, inputs, count, parameters, 0, &output));
    return output;
}

/* x + attention(norm x), then x + mlp(norm x), as GPT-2 has them. */
static void build_decoder(ss_graph *g)
{
    const ss_attributes norm = { .centered = true, .eps = 1e-5, .columns = WIDTH },
                        sum = { .alpha = 1, .beta = 1 };
    const ss_attributes attention = { .heads = HEADS, .key_heads = HEADS, .scale = 0.1, .causal = true };
    int64_t tokens = TOKENS, heads[3] = { TOKENS, HEADS, WIDTH / HEADS }, rows[2] = { TOKENS, WIDTH };
    int64_t strides[3] = { 3 * WIDTH, WIDTH / HEADS, 1 }, whole[2] = { WIDTH, 1 };
    int32_t x, h, y, pair[2], qkv[3];
    ss_test_require(ss_graph_add_source(g, SS_SOURCE_TOKEN_IDS, 1, &tokens, 0, WORDS, &x));
    int32_t       table = parameter(g, "words.weight", 2, WORDS, WIDTH);
    ss_attributes one = { .alpha = 1 };
    ss_test_require(ss_graph_add_node(g, &ss_op_embedding, "words", &one, 1, &x, 1, &table, 0, &x));
    h = node(g, &ss_op_norm, "norm_1", norm, 1, &x, 1, WIDTH);
    h = node(g, &ss_op_linear, "qkv", (ss_attributes){ .columns = 3 * WIDTH }, 1, &h, WIDTH, 3 * WIDTH);
    for (int i = 0; i < 3; i++)
        ss_test_require(ss_graph_add_view(g, h, 3, heads, i * WIDTH, strides, &qkv[i]));
    h = node(g, &ss_op_attention, "attention", attention, 3, qkv, 0, 0);
    ss_test_require(ss_graph_add_view(g, h, 2, rows, 0, whole, &y));
    pair[0] = x;
    pair[1] = node(g, &ss_op_linear, "out", (ss_attributes){ .columns = WIDTH }, 1, &y, WIDTH, WIDTH);
    pair[0] = node(g, &ss_op_add, "sum_1", sum, 2, pair, 0, 0);
    h = node(g, &ss_op_norm, "norm_2", norm, 1, &pair[0], 1, WIDTH);
    h = node(g, &ss_op_linear, "fc", (ss_attributes){ .columns = 4 * WIDTH }, 1, &h, WIDTH, 4 * WIDTH);
    h = node(g, &ss_op_pointwise, "gelu", (ss_attributes){ .function = SS_GELU_TANH }, 1, &h, 0, 0);
    pair[1] = node(g, &ss_op_linear, "proj", (ss_attributes){ .columns = WIDTH }, 1, &h, 4 * WIDTH, WIDTH);
    x = node(g, &ss_op_add, "sum_2", sum, 2, pair, 0, 0);
    g->output = node(g, &ss_op_norm, "norm_3", norm, 1, &x, 1, WIDTH);
    g->head = (ss_graph_head){ .weight = parameter(g, "head.weight", 2, WORDS, WIDTH),
                               .bias = -1,
                               .classes = WORDS };
}

/* The network over random token ids, ready for programs. */
static void prepare(fixture *f, void (*build)(ss_graph *), ss_real real)
{
    static int64_t       ids[SAMPLES * TOKENS];
    ss_objective_options options;
    for (int i = 0; i < SAMPLES * TOKENS; i++) ids[i] = i * 7 % WORDS;
    ss_array data = { "input_ids", SS_I64, 2, { SAMPLES, TOKENS }, ids };
    *f = (fixture){ 0 };
    ss_test_require(ss_dataset_from_arrays(ss_test_context, &data, &data, NULL, &f->dataset));
    ss_test_require(ss_graph_create(ss_test_context, &f->graph));
    build(f->graph);
    ss_test_require(ss_graph_bind_seeded(f->graph, 3));
    ss_test_require(ss_graph_activate(f->graph, 0, NULL, 0, NULL));
    ss_objective_options_init(&options);
    options.loss = "causal_lm";
    ss_test_require(ss_problem_prepare_graph(ss_test_context, f->graph, f->dataset, &options));
    ss_test_require(ss_problem_create(ss_test_context, f->graph, f->dataset, &options, &f->problem));
    ss_test_require(ss_backend_open(ss_test_context, ss_test_device(), real, &f->backend));
}

/* What the fusing of one block saves: 2 calls of the function's bias, and of each residual 1 sum and 2
 * copies. */
Test(fuse, a_decoder_block, .init = ss_test_begin, .fini = ss_test_end)
{
    fixture            f;
    ss_program_options how = product_of(SS_PRODUCT_HESSIAN, SAMPLES, 1, SS_CACHE_NONE);
    prepare(&f, build_decoder, SS_FLOAT32);
    dry = true;
    traffic fused = count_product(&f, &how);
    how.unfused = true;
    traffic plain = count_product(&f, &how);
    dry = false;
    printf("a decoder block: %lld calls and %.4g bytes a product, %lld and %.4g node by node\n",
           (long long)fused.calls, (double)fused.bytes, (long long)plain.calls, (double)plain.bytes);
    cr_assert_eq(plain.calls - fused.calls, 2 + 2 * 3);
    cr_assert((double)fused.bytes < 0.95 * (double)plain.bytes);
    fixture_destroy(&f);
}

/* ---- A gated network: down(silu(gate x) o up x) ---- */

static int32_t map_without_bias(ss_graph *g, const char *name, int32_t x, int64_t in, int64_t out)
{
    const ss_attributes attributes = { .columns = out };
    const int32_t       weight[2] = { parameter(g, name, 2, out, in), -1 };
    int32_t             y;
    ss_test_require(ss_graph_add_node(g, &ss_op_linear, name, &attributes, 1, &x, 2, weight, 0, &y));
    return y;
}

static void gated(ss_graph *g, ss_function function, bool swapped)
{
    const ss_attributes act = { .function = function, .parameter = { 1.5, 20 } }, one = { .alpha = 1 };
    int64_t             tokens = TOKENS;
    int32_t             x, factors[2], y;
    ss_test_require(ss_graph_add_source(g, SS_SOURCE_TOKEN_IDS, 1, &tokens, 0, WORDS, &x));
    int32_t table = parameter(g, "words.weight", 2, WORDS, WIDTH);
    ss_test_require(ss_graph_add_node(g, &ss_op_embedding, "words", &one, 1, &x, 1, &table, 0, &x));
    factors[swapped] = node(g, &ss_op_pointwise, "act", act, 1,
                            (int32_t[]){ map_without_bias(g, "gate", x, WIDTH, 4 * WIDTH) }, 0, 0);
    factors[!swapped] = map_without_bias(g, "up", x, WIDTH, 4 * WIDTH);
    ss_test_require(ss_graph_add_node(g, &ss_op_multiply, "product", NULL, 2, factors, 0, NULL, 0, &y));
    g->output = map_without_bias(g, "down", y, 4 * WIDTH, WIDTH);
    g->head = (ss_graph_head){ .weight = parameter(g, "head.weight", 2, WORDS, WIDTH),
                               .bias = -1,
                               .classes = WORDS };
}

static void build_swiglu(ss_graph *g)
{
    gated(g, SS_SILU, false);
}

static void build_swapped(ss_graph *g)
{
    gated(g, SS_TANH, true);
}

static void build_reglu(ss_graph *g)
{
    gated(g, SS_RELU, false);
}

/* Of 21 tensors that function and product move in a product, 3 + 5 going ahead and 5 + 8 coming back, 5 + 8
 * are left, in 2 calls instead of 4. */
Test(fuse, a_gated_network, .init = ss_test_begin, .fini = ss_test_end)
{
    const int64_t      tensor = (int64_t)SAMPLES * TOKENS * 4 * WIDTH * (int64_t)sizeof(float);
    fixture            f;
    ss_program_options how = product_of(SS_PRODUCT_HESSIAN, SAMPLES, 1, SS_CACHE_NONE);
    prepare(&f, build_swiglu, SS_FLOAT32);
    dry = true;
    traffic fused = count_product(&f, &how);
    how.unfused = true;
    traffic plain = count_product(&f, &how);
    dry = false;
    cr_assert_eq(plain.calls - fused.calls, 2);
    cr_assert_eq(plain.bytes - fused.bytes, 8 * tensor, "%lld bytes less, not %lld",
                 (long long)(plain.bytes - fused.bytes), (long long)(8 * tensor));
    fixture_destroy(&f);
}

/* ... and the products are the same, whichever factor has the function. */
Test(fuse, gated_products, .init = ss_test_begin, .fini = ss_test_end)
{
    static void (*const builds[])(ss_graph *) = { build_swiglu, build_swapped, build_reglu };
    static const ss_product products[] = { SS_PRODUCT_HESSIAN, SS_PRODUCT_GAUSS_NEWTON };
    for (int k = 0; k < 6; k++) {
        fixture            f;
        double            *v = NULL;
        ss_program_options how =
            product_of(products[k % 2], 2, 1, k % 4 < 2 ? SS_CACHE_NONE : SS_CACHE_CHECKPOINT);
        prepare(&f, builds[k / 2], SS_FLOAT64);
        const int64_t n = f.graph->layout.n;
        ss_test_require(SS_NEW_ARRAY(ss_test_context, 6 * n, &v));
        for (uint64_t l = 0; l < 2; l++) fixture_random(&f, 20 + l, v + (int64_t)l * n);
        how.lanes = 2;
        fixture_product(&f, &how, 2, v, v + 2 * n);
        how.unfused = true;
        fixture_product(&f, &how, 2, v, v + 4 * n);
        const double error = ss_test_relative_error(2 * n, v + 2 * n, v + 4 * n, 0);
        cr_assert(error < 1e-13, "network %d, product %d: error %g", k / 2, k % 2, error);
        ss_free(ss_test_context, v);
        fixture_destroy(&f);
    }
}
