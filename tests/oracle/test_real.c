/* Golden cases of real models, slow suite: too large for stored vectors, so that v and what the products are
 * projected on are given by a formula (the case's "recipe"), and the ends of the spectrum come from Lanczos.
 */
#include "support/golden.h"
#include "support/support.h"
#include "backend/backend.h"
#include "saddlescope/spectrum.h"
#include "saddlescope/verdict.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { PROJECTIONS = 4 };

/* v[i] = sin(0.7 (i + 1) + 0.1), u_k[i] = cos((0.3 + 0.1 k) (i + 1)). */
static double v_at(int64_t i)
{
    return sin(0.7 * (double)(i + 1) + 0.1);
}

static double u_at(int k, int64_t i)
{
    return cos((0.3 + 0.1 * k) * (double)(i + 1));
}

/* Compares u_k . y / ||u_k|| with the stored projections; `scale` as in DESIGN 3. */
static void check_projections(const ss_golden *golden, const char *key, int64_t n, const double *y,
                              double scale, double tolerance)
{
    const json_t *list = json_object_get(golden->facts, key);
    cr_assert_eq(json_array_size(list), PROJECTIONS, "%s: %s", golden->name, key);
    for (int k = 0; k < PROJECTIONS; k++) {
        double sum = 0, square = 0, wanted = json_number_value(json_array_get(list, (size_t)k));
        for (int64_t i = 0; i < n; i++) {
            sum += u_at(k, i) * y[i];
            square += u_at(k, i) * u_at(k, i);
        }
        double error = fabs(sum - wanted) / sqrt(square);
        printf("%s %s[%d]: error %.1e of %.3g\n", golden->name, key, k, error, scale);
        cr_assert(error <= tolerance * scale, "%s %s[%d]: %.15g, expected %.15g", golden->name, key, k, sum,
                  wanted);
    }
}

static void check_number(const ss_golden *golden, const char *key, double found, double scale,
                         double tolerance)
{
    double wanted = ss_golden_number(golden, key);
    cr_assert(fabs(found - wanted) <= tolerance * fmax(fabs(wanted), scale), "%s %s: %.15g, expected %.15g",
              golden->name, key, found, wanted);
}

static double norm(int64_t n, const double *x)
{
    double square = 0;
    for (int64_t i = 0; i < n; i++) square += x[i] * x[i];
    return sqrt(square);
}

static void check_gradient(const ss_golden *golden, ss_objective *objective, ss_real real, double tolerance)
{
    ss_backend   *backend = ss_objective_backend(objective, real);
    int64_t       n = ss_network_n(golden->network), padded = ss_objective_layout(objective)->padded;
    double        loss = ss_golden_number(golden, "loss_value");
    ss_operator   op = { 0 };
    ss_loss_value value;
    void         *g = NULL;
    double       *packed = NULL;
    ss_test_require(SS_NEW_ARRAY(ss_test_context, n, &packed));
    ss_test_require(ss_objective_operator(objective, SS_PRODUCT_HESSIAN, real, NULL, NULL, &op));
    ss_test_require(backend->class->allocate(backend, padded * (int64_t)ss_real_size(real), &g));
    ss_test_require(ss_objective_gradient(objective, real, NULL, NULL, g, &value));
    ss_test_require(ss_operator_pack(&op, g, packed));
    double scale = sqrt(golden->lambda_abs * fmax(loss, 1));
    check_number(golden, "loss_value", value.loss, 1, tolerance);
    check_number(golden, "gradient_norm", norm(n, packed), scale, tolerance);
    check_projections(golden, "gradient_projection", n, packed, scale, tolerance);
    backend->class->release(backend, g);
    ss_operator_destroy(&op);
    ss_free(ss_test_context, packed);
}

static void check_product(const ss_golden *golden, ss_objective *objective, ss_product product, char letter,
                          ss_real real, double tolerance)
{
    ss_backend *backend = ss_objective_backend(objective, real);
    int64_t     n = ss_network_n(golden->network);
    ss_operator op = { 0 };
    void       *x = NULL, *y = NULL;
    double     *packed = NULL, length = 0, quotient = 0;
    char        key[32];
    ss_test_require(SS_NEW_ARRAY(ss_test_context, n, &packed));
    ss_test_require(ss_objective_operator(objective, product, real, NULL, NULL, &op));
    int64_t padded = op.layout->padded, bytes = padded * (int64_t)ss_real_size(real);
    ss_test_require(backend->class->allocate(backend, bytes, &x));
    ss_test_require(backend->class->allocate(backend, bytes, &y));
    for (int64_t i = 0; i < n; i++) packed[i] = v_at(i), length += packed[i] * packed[i];
    length = sqrt(length);
    ss_test_require(ss_operator_unpack(&op, packed, x));
    ss_test_require(ss_operator_apply(&op, 1, x, padded, y, padded));
    ss_test_require(ss_operator_pack(&op, y, packed));
    for (int64_t i = 0; i < n; i++) quotient += packed[i] * v_at(i);
    double scale = golden->lambda_abs * length;
    snprintf(key, sizeof key, "%cv_norm", letter);
    check_number(golden, key, norm(n, packed), scale, tolerance);
    snprintf(key, sizeof key, "v%cv", letter);
    check_number(golden, key, quotient, scale * length, tolerance);
    snprintf(key, sizeof key, "%cv_projection", letter);
    check_projections(golden, key, n, packed, fmax(scale, norm(n, packed)), tolerance);
    backend->class->release(backend, x);
    backend->class->release(backend, y);
    ss_operator_destroy(&op);
    ss_free(ss_test_context, packed);
}

/* The three eigenvalues at each end that the reference has. */
static void check_ends(const ss_golden *golden, ss_objective *objective, ss_real real, double tolerance)
{
    static const char *const keys[] = { "eigenvalues_low", "eigenvalues_high" };
    ss_operator              op = { 0 };
    ss_eigen_options         options;
    ss_eigen_result         *result = NULL;
    ss_eigen_options_pairs(&options, 3, 3);
    options.rtol_low = options.rtol_high = real == SS_FLOAT32 ? 1e-3 : 1e-5;
    ss_test_require(ss_objective_operator(objective, SS_PRODUCT_HESSIAN, real, NULL, NULL, &op));
    ss_test_require(ss_eigen_solve(&op, &options, &result));
    cr_assert(result->low_reached && result->high_reached);
    for (int k = 0; k < 2; k++) {
        const json_t *list = json_object_get(golden->facts, keys[k]);
        int64_t       count = (int64_t)json_array_size(list);
        for (int64_t i = 0; i < count; i++) {
            double value = json_number_value(json_array_get(list, (size_t)i));
            double found = result->ritz[k == 0 ? i : result->size - count + i].value;
            printf("%s %s: %.10g, expected %.10g\n", golden->name, keys[k], found, value);
            cr_assert(fabs(found - value) <= tolerance * golden->lambda_abs, "%s %s[%d]", golden->name,
                      keys[k], (int)i);
        }
    }
    ss_eigen_result_destroy(result);
    ss_operator_destroy(&op);
}

static void check_verdict(const ss_golden *golden, ss_objective *objective)
{
    ss_verdict         verdict = { 0 };
    ss_analyze_options options;
    ss_analyze_options_init(&options);
    ss_test_require(ss_analyze(ss_test_context, objective, &options, &verdict));
    cr_assert_str_eq(ss_curvature_name(verdict.curvature.statement),
                     ss_golden_text(golden, "expected_curvature"));
    cr_assert_str_eq(ss_label_name(verdict.label), ss_golden_text(golden, "expected_verdict"));
    ss_verdict_destroy(&verdict);
}

static void visit(void *user, const char *folder)
{
    ss_real       real = *(ss_real *)user;
    ss_golden     golden;
    ss_objective *objective = NULL;
    const char   *slash = strrchr(folder, '/');
    /* Only names that say so: opening every case would take long. */
    if (slash == NULL || strncmp(slash + 1, "real_", 5) != 0) return;
    ss_test_require(ss_golden_open(ss_test_context, folder, &golden));
    ss_test_require(ss_golden_objective(&golden, real, &objective));
    double tolerance = real == SS_FLOAT64 ? 1e-9 : 3e-5;
    cr_assert_eq(ss_network_n(golden.network), (int64_t)ss_golden_number(&golden, "n_parameters"));
    check_gradient(&golden, objective, real, tolerance);
    check_product(&golden, objective, SS_PRODUCT_HESSIAN, 'H', real, tolerance);
    check_product(&golden, objective, SS_PRODUCT_GAUSS_NEWTON, 'G', real, tolerance);
    check_ends(&golden, objective, real, real == SS_FLOAT64 ? 1e-8 : 1e-5);
    if (real == SS_FLOAT32) check_verdict(&golden, objective);
    ss_objective_destroy(objective);
    ss_golden_close(&golden);
}

Test(real, float64, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_real real = SS_FLOAT64;
    ss_golden_visit(visit, &real);
}

Test(real, float32, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_real real = SS_FLOAT32;
    ss_golden_visit(visit, &real);
}
