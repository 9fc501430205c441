/* Rotary positions: against the definition, in all layouts; the inverse is the transpose. */
#include "heads.h"

enum { LANES = 2, BATCH = 2, TOKENS = 5, HEADS = 3 };

/* y of the definition: element j of the row at `x`, with the table row `angles` [r]. */
static double rotated(const double *x, const double *angles, int64_t r, int64_t j, bool inverse)
{
    int64_t half = r / 2, pair = j % half;
    if (j >= r) return x[j];
    double c = angles[pair], s = inverse ? -angles[half + pair] : angles[half + pair];
    return j < half ? c * x[j] - s * x[j + half] : c * x[j] + s * x[j - half];
}

static void check(device *d, heads_layout layout, int64_t dim, int64_t r, bool inverse, bool accumulate)
{
    uint64_t drawn = 0;
    int64_t  count = (int64_t)LANES * BATCH * TOKENS * HEADS * dim;
    double  *values = heads_random(&drawn, count), *base = heads_random(&drawn, count);
    tensor   table = tensor_shape(d, 1, TOKENS + 2, r, r + 1, 0);
    heads    x = heads_make(d, layout, LANES, BATCH, TOKENS, HEADS, dim, values);
    heads    y = heads_make(d, (heads_layout)((layout + 1) % HEADS_LAYOUTS), LANES, BATCH, TOKENS, HEADS, dim,
                         accumulate ? base : NULL);
    tensor_fill(d, &table, device_random, d);
    ss_test_require(d->b->class->rope(d->b, NULL, LANES, inverse, &table.m, &x.h, accumulate, &y.h));
    heads_get(d, &y);
    for (int64_t i = 0; i < count; i++) {
        int64_t token = i / (dim * HEADS) % TOKENS;
        double  want =
            r == 0 ? values[i]
                    : rotated(values + i / dim * dim, tensor_at(&table, 0, token, 0), r, i % dim, inverse);
        if (accumulate) want += base[i];
        cr_assert(device_near(d, y.host[i], want, 4, 4), "dim %lld, r %lld: %g, not %g", (long long)dim,
                  (long long)r, y.host[i], want);
    }
    heads_free(d, &x);
    heads_free(d, &y);
    tensor_free(d, &table);
    ss_free(ss_test_context, values);
    ss_free(ss_test_context, base);
}

Test(rope, definition, .init = ss_test_begin, .fini = ss_test_end)
{
    static const int64_t shapes[][2] = { { 4, 4 }, { 5, 2 }, { 64, 64 }, { 80, 20 }, { 17, 16 }, { 2, 2 } };
    DEVICE_EACH(d)
    {
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (int how = 0; how < 4; how++)
                check(&d, (heads_layout)((s + (size_t)how) % HEADS_LAYOUTS), shapes[s][0], shapes[s][1],
                      how & 1, how >> 1);
    }
}

/* <y, R x> = <R' y, x> for any table, and R' R = 1 for a table of cosines and sines. */
Test(rope, inverse_is_the_transpose, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        enum { DIM = 6, R = 4 };
        uint64_t drawn = 0;
        int64_t  count = (int64_t)BATCH * TOKENS * HEADS * DIM;
        double  *u = heads_random(&drawn, count), *v = heads_random(&drawn, count), left = 0, right = 0;
        tensor   table = tensor_shape(&d, 1, TOKENS, R, R, 0);
        for (int64_t i = 0; i < TOKENS * R; i++) {
            double angle = (double)(i / R) / (1 + (double)(i % (R / 2)));
            table.host[i] = i % R < R / 2 ? cos(angle) : sin(angle);
        }
        tensor_put(&d, &table);
        heads x = heads_make(&d, HEADS_PACKED, 1, BATCH, TOKENS, HEADS, DIM, u);
        heads y = heads_make(&d, HEADS_PACKED, 1, BATCH, TOKENS, HEADS, DIM, v);
        heads forth = heads_make(&d, HEADS_PACKED, 1, BATCH, TOKENS, HEADS, DIM, NULL);
        heads back = heads_make(&d, HEADS_PACKED, 1, BATCH, TOKENS, HEADS, DIM, NULL);
        heads again = heads_make(&d, HEADS_PACKED, 1, BATCH, TOKENS, HEADS, DIM, NULL);
        ss_test_require(d.b->class->rope(d.b, NULL, 1, false, &table.m, &x.h, false, &forth.h));
        ss_test_require(d.b->class->rope(d.b, NULL, 1, true, &table.m, &y.h, false, &back.h));
        ss_test_require(d.b->class->rope(d.b, NULL, 1, true, &table.m, &forth.h, false, &again.h));
        heads_get(&d, &forth);
        heads_get(&d, &back);
        heads_get(&d, &again);
        for (int64_t i = 0; i < count; i++) {
            left += v[i] * forth.host[i];
            right += back.host[i] * u[i];
            cr_assert(device_near(&d, again.host[i], u[i], 4, 8));
        }
        cr_assert(device_near(&d, left, right, (double)count, 8), "%.17g, %.17g", left, right);
        heads *all[] = { &x, &y, &forth, &back, &again };
        for (int i = 0; i < 5; i++) heads_free(&d, all[i]);
        tensor_free(&d, &table);
        ss_free(ss_test_context, u);
        ss_free(ss_test_context, v);
    }
}

Test(rope, refuses_a_table_that_does_not_fit, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        heads  x = heads_make(&d, HEADS_PACKED, 1, 1, 3, 1, 4, NULL);
        heads  y = heads_make(&d, HEADS_PACKED, 1, 1, 3, 1, 4, NULL);
        tensor wide = tensor_random(&d, 1, 3, 6, 6, 0), low = tensor_random(&d, 1, 2, 4, 4, 0);
        for (int64_t i = 0; i < x.count; i++) x.host[i] = 1;
        heads_put(&d, &x);
        ss_test_refuse(d.b->class->rope(d.b, NULL, 1, false, &wide.m, &x.h, false, &y.h), SS_ERROR_INTERNAL,
                       "table of 3 x 6");
        ss_test_refuse(d.b->class->rope(d.b, NULL, 1, false, &low.m, &x.h, false, &y.h), SS_ERROR_INTERNAL,
                       "table of 2 x 4");
        heads_free(&d, &x);
        heads_free(&d, &y);
        tensor_free(&d, &wide);
        tensor_free(&d, &low);
    }
}
