/* slice through the library: every allocation fails cleanly, an interruption keeps what was computed,
 * directions are orthogonal and their numbers are those of gradient and Hessian in any precision of the
 * weights. */
#include "report/slice.h"
#include "saddlescope/slice.h"
#include "support/golden.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

static ss_status draw(void *user, const ss_plot *panels, int64_t count)
{
    ss_text *text = user;
    ss_plot_svg(text, panels, count);
    return text->status;
}

/* A plane with a path, and its reports. */
static ss_status slice_and_report(ss_objective *objective, const double *path)
{
    ss_status        status = SS_OK;
    ss_slice_options o;
    ss_slice_result  r = { 0 };
    ss_text          text;
    ss_run           about = {
                  .network_description = "", .data = "", .data_description = "", .objective = "", .precision = ""
    };
    ss_text_init(ss_test_context, &text);
    ss_slice_options_init(&o);
    o.dimensions = 2;
    o.direction[1] = (ss_slice_direction){ .kind = SS_SLICE_RANDOM, .number = 3 };
    o.points = 5;
    o.path = path;
    o.n_path = 1;
    SS_TRY(ss_slice(ss_test_context, objective, &o, &r));
    ss_report_slice(&text, &about, &r);
    ss_report_slice_csv(&text, &r);
    SS_TRY(ss_report_slice_plot(ss_test_context, &r, "title", draw, &text));
    status = text.status;
fail:
    ss_text_release(&text);
    ss_slice_result_destroy(&r);
    return status;
}

Test(slice, every_allocation_fails_cleanly, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_golden     golden;
    ss_objective *objective = NULL;
    double        path[200];
    int64_t       failed = 0, tried = 0;
    ss_test_require(ss_golden_open(ss_test_context, SS_SOURCE_DIRECTORY "/tests/cases/gelu_mse", &golden));
    ss_test_require(ss_golden_objective(&golden, SS_FLOAT64, &objective));
    for (int i = 0; i < 200; i++) path[i] = 0.01 * i;
    ss_test_require(slice_and_report(objective, path)); /* what the objective keeps is there now */
    int64_t before = ss_context_allocations(ss_test_context), held = ss_context_memory_now(ss_test_context);
    ss_test_require(slice_and_report(objective, path));
    cr_assert(ss_context_memory_now(ss_test_context) == held);
    int64_t all = ss_context_allocations(ss_test_context) - before;
    int64_t step = ss_test_environment("SS_TEST_ALL") ? 1 : ss_max64(1, all / (ss_test_brief() ? 15 : 150));
    for (int64_t nth = 1; nth <= all; nth += step, tried++) {
        ss_context_fail_allocation(ss_test_context, nth);
        ss_status status = slice_and_report(objective, path);
        ss_context_fail_allocation(ss_test_context, 0);
        cr_assert(status == SS_OK || status == SS_ERROR_MEMORY || status == SS_ERROR_REFUSED,
                  "allocation %lld: %s", (long long)nth, ss_status_text(status));
        failed += status != SS_OK;
        ss_context_clear_message(ss_test_context);
    }
    printf("%lld allocations, %lld failed in turn, %lld of the slices ended in an error\n", (long long)all,
           (long long)tried, (long long)failed);
    cr_expect(failed > tried / 2);
    ss_objective_destroy(objective);
    ss_golden_close(&golden);
}

static volatile int flag;

static ss_status raise_flag(void *user, const char *what, int64_t done, int64_t total)
{
    (void)user, (void)what;
    cr_assert(done <= total);
    if (total == 49 && done == 10) flag = 1;
    return SS_OK;
}

Test(slice, interrupted_and_oblique, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_golden        golden;
    ss_objective    *objective = NULL;
    ss_slice_options o;
    ss_slice_result  r = { 0 }, whole = { 0 };
    double           g[200], both[200];
    ss_context_set_interrupt(ss_test_context, &flag);
    ss_test_require(ss_golden_open(ss_test_context, SS_SOURCE_DIRECTORY "/tests/cases/gelu_mse", &golden));
    ss_test_require(ss_golden_objective(&golden, SS_FLOAT64, &objective));
    ss_test_require(ss_golden_vector(&golden, "gradient", g));
    /* The second direction is the gradient with something of the first: only the gradient's rest remains. */
    ss_slice_options_init(&o);
    for (int i = 0; i < 200; i++) both[i] = i == 0 ? 1.0 : 0.0;
    for (int i = 0; i < 200; i++) g[i] = i < ss_network_n(golden.network) ? g[i] : 0.0;
    o.dimensions = 2;
    o.points = 7;
    o.direction[0] = (ss_slice_direction){ .kind = SS_SLICE_VECTOR, .packed = both };
    o.direction[1] = (ss_slice_direction){ .kind = SS_SLICE_GRADIENT };
    ss_test_require(ss_slice(ss_test_context, objective, &o, &whole));
    cr_expect(whole.complete && whole.count == 49 && whole.losses[24] == whole.loss);
    /* g'u and g'w of an orthonormal pair that spans g give back its length. */
    cr_expect(fabs(whole.axis[0].slope - g[0]) < 1e-12 * whole.gradient_norm);
    cr_expect(fabs(hypot(whole.axis[0].slope, whole.axis[1].slope) - whole.gradient_norm) <
              1e-12 * whole.gradient_norm);
    /* The model is the second difference of the loss near the middle of the plane. */
    o.range = 1e-4;
    ss_slice_result_destroy(&whole);
    ss_test_require(ss_slice(ss_test_context, objective, &o, &whole));
    double worst = 0, change = 0;
    for (int64_t k = 0; k < whole.count; k++) {
        worst = fmax(worst, fabs(whole.losses[k] - whole.model[k]));
        change = fmax(change, fabs(whole.losses[k] - whole.loss));
    }
    cr_expect(worst < 1e-6 * change + 1e-14, "%g of %g", worst, change);

    o.monitor = raise_flag;
    cr_assert(ss_slice(ss_test_context, objective, &o, &r) == SS_ERROR_INTERRUPTED);
    ss_context_clear_message(ss_test_context);
    cr_expect(!r.complete && isfinite(r.losses[9]) && isnan(r.losses[48]));
    for (int64_t k = 0; k < 10; k++) cr_expect(r.losses[k] == whole.losses[k]);
    flag = 0;
    ss_slice_result_destroy(&r);
    ss_slice_result_destroy(&whole);
    ss_objective_destroy(objective);
    ss_golden_close(&golden);
    ss_context_set_interrupt(ss_test_context, NULL);
}
