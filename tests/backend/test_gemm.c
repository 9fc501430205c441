/* Matrix products against a triple loop in float64: odd sizes, transposes, strides, batches in every relation
 * that is merged into one call and in some that are not. */
#include "device.h"

/* Rounding of a sum of k terms in any order, in units of the sum of their magnitudes: k + 2 at worst, about
 * sqrt(k) in practice. */
static double tolerance(int64_t k)
{
    return 2 * sqrt((double)k) + 4;
}

/* Largest violation of the tolerance (<= 1 is right) of C (+)= alpha op(A) op(B). */
static double violation(const device *d, const ss_gemm *g, const tensor *a, const tensor *b,
                        const double *before, const tensor *c)
{
    double worst = 0;
    for (int64_t p = 0; p < g->batch; p++)
        for (int64_t i = 0; i < g->m; i++)
            for (int64_t j = 0; j < g->n; j++) {
                double sum = 0, magnitude = 0;
                for (int64_t l = 0; l < g->k; l++) {
                    double term =
                        a->host[p * g->stride_a + (g->transpose_a ? l * g->lda + i : i * g->lda + l)] *
                        b->host[p * g->stride_b + (g->transpose_b ? j * g->ldb + l : l * g->ldb + j)];
                    sum += term;
                    magnitude += fabs(term);
                }
                int64_t at = p * g->stride_c + i * g->ldc + j;
                double  want = g->alpha * sum + (g->beta != 0 ? g->beta * before[at] : 0);
                magnitude = fabs(g->alpha) * magnitude + (g->beta != 0 ? fabs(g->beta * before[at]) : 0);
                double error =
                    fabs(c->host[at] - want) / (d->unit * tolerance(g->k) * fmax(magnitude, 1e-300));
                worst = error <= worst ? worst : error; /* a NaN is a violation too */
            }
    return worst;
}

/* Runs one problem; the strides are those of g. */
static double run(device *d, ss_gemm g, bool spoil)
{
    int64_t ar = g.transpose_a ? g.k : g.m, ac = g.transpose_a ? g.m : g.k;
    int64_t br = g.transpose_b ? g.n : g.k, bc = g.transpose_b ? g.k : g.n;
    tensor  a = tensor_random(d, g.batch, ar, ac, g.lda, g.stride_a);
    tensor  b = tensor_random(d, g.batch, br, bc, g.ldb, g.stride_b);
    tensor  c = g.beta == 0 ? tensor_output(d, g.batch, g.m, g.n, g.ldc, g.stride_c)
                            : tensor_random(d, g.batch, g.m, g.n, g.ldc, g.stride_c);
    if (g.batch > 1) c.lanes = g.batch;
    double *before = NULL;
    ss_test_require(ss_allocate(ss_test_context, c.span, sizeof *before, (void **)&before));
    memcpy(before, c.host, (size_t)c.span * sizeof *before);
    g.a = a.m.data;
    g.b = b.m.data;
    g.c = c.m.data;
    ss_test_require(d->b->class->gemm(d->b, NULL, &g));
    tensor_get(d, &c);
    if (spoil) c.host[c.span - 1] += 1e-3;
    double worst = violation(d, &g, &a, &b, before, &c);
    ss_free(ss_test_context, before);
    tensor_free(d, &a);
    tensor_free(d, &b);
    tensor_free(d, &c);
    return worst;
}

static ss_gemm problem(int64_t m, int64_t n, int64_t k, int transposes, int64_t padding)
{
    ss_gemm g = { .m = m, .n = n, .k = k, .alpha = 1, .batch = 1 };
    g.transpose_a = transposes & 1;
    g.transpose_b = transposes & 2;
    g.lda = (g.transpose_a ? m : k) + padding;
    g.ldb = (g.transpose_b ? k : n) + padding;
    g.ldc = n + padding;
    return g;
}

static void sizes_transposes_strides(void)
{
    static const int64_t size[] = { 1, 2, 3, 7, 16, 33, 65 };
    DEVICE_EACH(d)
    {
        for (int i = 0; i < 7; i++)
            for (int j = 0; j < 7; j++)
                for (int l = 0; l < 7; l += 2) {
                    ss_gemm g = problem(size[i], size[j], size[l], (i + j + l) % 4, (i + l) % 3);
                    g.alpha = j % 2 ? 1 : -0.75;
                    g.beta = i % 3 ? 0 : l % 2 ? 1 : 0.5;
                    double worst = run(&d, g, false);
                    cr_assert(worst <= 1, "%s %s: %lld x %lld x %lld: %g", d.b->name, ss_real_name(d.real),
                              (long long)g.m, (long long)g.n, (long long)g.k, worst);
                }
    }
}

Test(gemm, sizes_transposes_strides, .init = ss_test_begin, .fini = ss_test_end)
{
    sizes_transposes_strides();
}

/* The other provider of float32 products, whichever the table chooses here. */
Test(gemm, through_openblas, .init = ss_test_begin, .fini = ss_test_end)
{
    setenv("SADDLESCOPE_SGEMM", "openblas", 1);
    sizes_transposes_strides();
}

Test(gemm, batches, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        for (int transposes = 0; transposes < 4; transposes++)
            for (int relation = 0; relation < 5; relation++)
                for (int64_t m = 1; m <= 5; m += 4) {
                    ss_gemm g = problem(m, 6, 7, transposes, 0);
                    g.batch = 3;
                    g.stride_a = m * 7;
                    g.stride_b = 6 * 7;
                    g.stride_c = m * 6;
                    if (relation == 1) g.stride_b = 0; /* one tall problem */
                    if (relation == 2) {               /* one wide problem: B and C side by side */
                        g.stride_a = 0;
                        g.stride_c = 6;
                        g.ldc = 20;
                        if (!g.transpose_b) g.ldb = 19, g.stride_b = 6;
                    }
                    if (relation == 3) g.stride_a = 0, g.stride_c = m * 6 + 5;
                    if (relation == 4)
                        g.stride_b = 0, g.stride_a = m * 7 + 2, g.stride_c = m * 6 + 1, g.beta = 1;
                    double worst = run(&d, g, false);
                    cr_assert(worst <= 1, "%s %s: transposes %d relation %d m %d: %g", d.b->name,
                              ss_real_name(d.real), transposes, relation, (int)m, worst);
                }
    }
}

Test(gemm, empty_products, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        ss_gemm g = problem(3, 4, 1, 0, 1);
        g.alpha = 0; /* C := beta C, also for NaN free C without reading it */
        cr_assert(run(&d, g, false) <= 1);
        tensor c = tensor_random(&d, 1, 3, 4, 5, 0);
        double first = c.host[0];
        g.c = c.m.data;
        g.a = g.b = c.m.data;
        g.k = 0;
        g.lda = 0;
        g.beta = 2;
        ss_test_require(d.b->class->gemm(d.b, NULL, &g));
        tensor_get(&d, &c);
        cr_assert(c.host[0] == 2 * first);
        g.n = 0;
        ss_test_require(d.b->class->gemm(d.b, NULL, &g));
        tensor_free(&d, &c);
    }
}

Test(gemm, injected_error_is_seen, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        cr_assert(run(&d, problem(5, 6, 7, 0, 0), true) > 1);
        ss_gemm bad = problem(5, 6, 7, 0, 0);
        bad.lda = 6;
        tensor a = tensor_random(&d, 1, 64, 1, 1, 0);
        bad.a = bad.b = a.m.data;
        bad.c = a.m.data;
        ss_test_refuse(d.b->class->gemm(d.b, NULL, &bad), SS_ERROR_INTERNAL, "gemm");
        tensor_free(&d, &a);
    }
}
