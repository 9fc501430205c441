/* The trace: coverage of its intervals and of the Frobenius norm's, exactness of the deflated part, layouts,
 * endings. */
#include "spectrum/operators.h"

#include <stdio.h>

static ss_trace_options options_of(int64_t probes, int64_t deflate, uint64_t seed)
{
    ss_trace_options o;
    ss_trace_options_init(&o);
    o.probes = probes;
    o.deflate = deflate;
    o.eta = 0.05;
    o.seed = seed;
    return o;
}

static void sums(const known *k, double *trace, double *frobenius)
{
    double squares = *trace = 0.0;
    for (int64_t i = 0; i < k->n; i++) *trace += k->d[i], squares += k->d[i] * k->d[i];
    *frobenius = sqrt(squares);
}

/* 95 % intervals cover in 95 +- 2 % of 1000 runs (in brief: of 100, 95 +- 6 %; on a device: of 20, 95 +- 15
 * %); shifted by one standard error they do not. */
Test(trace, intervals_cover_as_often_as_they_say, .init = ss_test_begin, .fini = ss_test_end)
{
    const int64_t runs = known_on_device() ? 20 : ss_test_brief() ? 100 : 1000, deflations[] = { 0, 8 };
    int64_t       all_shifted = 0, all = 0;
    const double  many = (double)runs, slack = known_on_device() ? 0.15 : ss_test_brief() ? 0.06 : 0.02;
    for (int kind = 0; kind < 3; kind++)
        for (int which = 0; which < 2; which++) {
            known   k;
            int64_t covered = 0, shifted = 0, norms = 0;
            double  trace, frobenius, widths = 0.0;
            known_open(&k, 160, true);
            /* A signed bulk, a positive one, and outliers above a bulk: these need the deflation, without it
             * the few large ones make the samples skew. */
            for (int64_t i = 0; i < k.n; i++)
                k.d[i] = kind == 0   ? ss_random_normal(1, SS_STREAM_TEST, (uint64_t)i)
                         : kind == 1 ? ss_random_uniform(1, SS_STREAM_TEST, (uint64_t)i)
                         : i < 6     ? 5.0 + (double)i
                                     : 0.3 * ss_random_normal(2, SS_STREAM_TEST, (uint64_t)i);
            sums(&k, &trace, &frobenius);
            if (kind == 2 && which == 0) {
                known_close(&k);
                continue;
            }
            for (int64_t seed = 0; seed < runs; seed++) {
                ss_trace_options o = options_of(20, deflations[which], (uint64_t)seed);
                ss_trace_result  r;
                ss_test_require(ss_trace_estimate(&k.op, &o, &r));
                double error = fabs(r.trace - trace), sigma = r.trace_error / 2.093; /* t of 19 degrees */
                covered += error <= r.trace_error;
                shifted += fabs(r.trace + sigma - trace) <= r.trace_error;
                norms += frobenius >= r.frobenius_low && frobenius <= r.frobenius_high;
                widths += r.trace_error / many;
                cr_assert(r.deflated == deflations[which] && r.probes == 20);
            }
            printf("spectrum %d, %lld deflated: %lld of %lld cover the trace (mean half width %.3g), %lld "
                   "when shifted, %lld the norm\n",
                   kind, (long long)deflations[which], (long long)covered, (long long)runs, widths,
                   (long long)shifted, (long long)norms);
            cr_expect(fabs((double)covered / many - 0.95) <= slack + 1e-9, "%lld", (long long)covered);
            cr_expect(known_on_device() || (double)shifted < 0.93 * many);
            all_shifted += shifted, all += runs;
            cr_expect((double)norms >= 0.9 * many, "%lld", (long long)norms);
            known_close(&k);
        }
    cr_expect((double)all_shifted < 0.93 * (double)all);
}

Test(trace, deflation_takes_the_outliers_away, .init = ss_test_begin, .fini = ss_test_end)
{
    known           k;
    ss_trace_result plain, deflated, all;
    double          trace, frobenius;
    known_open(&k, 400, true);
    spectrum_fill('A', k.n, k.d);
    sums(&k, &trace, &frobenius);
    ss_trace_options o = options_of(30, 0, 1);
    ss_test_require(ss_trace_estimate(&k.op, &o, &plain));
    o.deflate = 20;
    ss_test_require(ss_trace_estimate(&k.op, &o, &deflated));
    cr_expect(deflated.trace_error < 0.2 * plain.trace_error, "%g, %g", deflated.trace_error,
              plain.trace_error);
    cr_expect(fabs(deflated.trace - trace) <= 2 * deflated.trace_error);
    cr_expect(fabs(deflated.frobenius - frobenius) < 1e-2 * frobenius);
    cr_expect(deflated.products == 30 + 50 && plain.products == 30 && plain.deflated == 0);
    known_close(&k);

    known_open(&k, 12, true); /* all directions: nothing is estimated */
    for (int64_t i = 0; i < k.n; i++) k.d[i] = (double)(i * i) - 30.0;
    sums(&k, &trace, &frobenius);
    o.deflate = 12;
    ss_test_require(ss_trace_estimate(&k.op, &o, &all));
    cr_expect(fabs(all.trace - trace) < 1e-11 * frobenius && all.trace_error == 0.0 && all.probes == 0);
    cr_expect(fabs(all.frobenius - frobenius) < 1e-7 * frobenius, "%g", all.frobenius - frobenius);
    o.deflate = -1;
    ss_test_require(ss_trace_estimate(&k.op, &o, &all));
    cr_expect(all.deflated == 6 && fabs(all.trace - trace) <= all.trace_error + 1e-9);
    known_close(&k);
}

Test(trace, layouts_precisions_and_lanes, .init = ss_test_begin, .fini = ss_test_end)
{
    const int64_t      lengths[] = { 63, 1, 65, 130, 7 };
    const char *const *backends = ss_test_backends();
    ss_trace_result    first = { 0 }, r, single;
    for (int i = 0; backends[i / 2] != NULL; i++) {
        known   k;
        ss_real real = i % 2 ? SS_FLOAT32 : SS_FLOAT64;
        known_open_padded(&k, backends[i / 2], real, 5, lengths);
        spectrum_fill('C', k.n, k.d);
        ss_trace_options o = options_of(16, 5, 3);
        ss_test_require(ss_trace_estimate(&k.op, &o, &r));
        k.op.lanes = 1;
        ss_test_require(ss_trace_estimate(&k.op, &o, &single));
        cr_expect(r.trace == single.trace && r.frobenius == single.frobenius);
        if (i == 0) first = r;
        cr_expect(fabs(r.trace - first.trace) <= (real == SS_FLOAT64 ? 1e-10 : 1e-2) * first.frobenius, "%g",
                  r.trace - first.trace);
        known_close(&k);
    }
}

static ss_status stop_at_five(void *user, const ss_trace_result *partial, int64_t done, int64_t total,
                              ss_eigen_action *action)
{
    (void)user;
    cr_assert(done <= total);
    if (partial->probes == 5) *action = SS_EIGEN_STOP;
    return SS_OK;
}

Test(trace, endings, .init = ss_test_begin, .fini = ss_test_end)
{
    known           k;
    ss_trace_result r;
    double          trace, frobenius;
    known_open(&k, 100, true);
    spectrum_fill('C', k.n, k.d);
    sums(&k, &trace, &frobenius);
    ss_trace_options o = options_of(12, 0, 1);
    k.interrupt = 7;
    cr_assert(ss_trace_estimate(&k.op, &o, &r) == SS_ERROR_INTERRUPTED);
    ss_context_clear_message(ss_test_context);
    cr_expect(r.probes == 7 && r.reason == SS_EIGEN_INTERRUPTED && isfinite(r.trace_error));
    k.flag = 0, k.calls = 0;
    o.deflate = 4; /* in the search: nothing is known yet */
    cr_assert(ss_trace_estimate(&k.op, &o, &r) == SS_ERROR_INTERRUPTED);
    ss_context_clear_message(ss_test_context);
    cr_expect(r.probes == 0 && isnan(r.trace) && r.products == 7);
    k.flag = 0, k.interrupt = 0;
    o.monitor = stop_at_five;
    ss_test_require(ss_trace_estimate(&k.op, &o, &r));
    cr_expect(r.probes == 5 && r.reason == SS_EIGEN_MONITOR);
    o.monitor = NULL;
    o.deflate = 0;
    k.calls = 0, k.poison = 3;
    ss_test_refuse(ss_trace_estimate(&k.op, &o, &r), SS_ERROR_NUMERIC, "finite");
    k.poison = 0;
    o.probes = 1;
    ss_test_refuse(ss_trace_estimate(&k.op, &o, &r), SS_ERROR_USAGE, "2 probes");
    o = options_of(4, 101, 1);
    ss_test_refuse(ss_trace_estimate(&k.op, &o, &r), SS_ERROR_USAGE, "101 of 100");
    o = options_of(4, 50, 1);
    o.memory = 30 * k.op.layout->padded * (int64_t)sizeof(double);
    if (known_on_device()) /* whose basis moves to the host */
        ss_test_require(ss_trace_estimate(&k.op, &o, &r));
    else
        ss_test_refuse(ss_trace_estimate(&k.op, &o, &r), SS_ERROR_REFUSED, "memory");
    o.deflate = -1; /* without a wish it does without */
    ss_test_require(ss_trace_estimate(&k.op, &o, &r));

    o = options_of(4, 3, 1);
    int64_t before = ss_context_allocations(ss_test_context);
    ss_test_require(ss_trace_estimate(&k.op, &o, &r));
    int64_t all = ss_context_allocations(ss_test_context) - before,
            held = ss_context_memory_now(ss_test_context);
    for (int64_t nth = 1; nth <= all; nth++) {
        ss_context_fail_allocation(ss_test_context, nth);
        cr_assert(ss_trace_estimate(&k.op, &o, &r) == SS_ERROR_MEMORY, "allocation %lld", (long long)nth);
        ss_context_fail_allocation(ss_test_context, 0);
        ss_context_clear_message(ss_test_context);
        cr_assert(ss_context_memory_now(ss_test_context) == held);
    }
    known_close(&k);
}
