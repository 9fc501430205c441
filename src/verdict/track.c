/* Track: what one checkpoint of a run looks like, with the numbers that are followed along the run.
 *
 * The same seeds at every checkpoint, so that two of them differ by their weights alone. The overlap of two
 * subspaces with orthonormal bases V and W, k vectors each, is ||V'W||_F^2 / k: 1 the same, k/n unrelated. */
#include "saddlescope/follow.h"

#include "backend/backend.h"
#include "base/base.h"
#include "verdict/vector.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void ss_track_options_init(ss_track_options *options)
{
    *options = (ss_track_options){ .subspace = 5, .tolerance = 1e-6, .max_products = 300, .judge = true };
}

static ss_status slope(ss_objective *objective, ss_track_point *p)
{
    ss_status     status = SS_OK;
    ss_vectors    g = { 0 };
    ss_loss_value value = { 0 };
    SS_TRY(ss_vectors_create(ss_objective_backend(objective, SS_FLOAT64), ss_objective_layout(objective), 1,
                             &g));
    SS_TRY(ss_objective_gradient(objective, SS_FLOAT64, NULL, NULL, g.data, &value));
    SS_TRY(ss_vectors_norm(&g, &p->gradient));
    p->loss = value.loss;
fail:
    ss_vectors_release(&g);
    return status;
}

static void set_search(const ss_track_options *o, int64_t low, int64_t high, ss_eigen_options *options)
{
    ss_eigen_options_pairs(options, low, high);
    options->rtol_low = options->rtol_high = o->tolerance;
    options->max_products = o->max_products;
    options->seed = o->seed;
}

static double value_of(const ss_eigen_result *found, int64_t i, double *error)
{
    const ss_ritz *ritz = &found->ritz[i];
    *error = (ritz->true_residual >= 0 ? ritz->true_residual : ritz->residual) + found->error;
    return ritz->value;
}

/* The top space, packed; and its overlap with the previous one. */
static ss_status compare(ss_context *context, const ss_operator *op, ss_eigen_result *found, int64_t k,
                         double *subspace, bool *have, ss_track_point *p)
{
    ss_status  status = SS_OK;
    ss_vectors x = { 0 };
    double    *now = NULL, square = 0.0;
    int64_t    n = op->layout->n;
    SS_TRY(SS_NEW_ARRAY(context, k * n, &now));
    SS_TRY(ss_vectors_create(op->backend, op->layout, 1, &x));
    for (int64_t i = 0; i < k; i++) {
        SS_TRY(ss_eigen_vector(found, found->size - 1 - i, x.data));
        SS_TRY(ss_operator_pack(op, x.data, now + i * n));
    }
    for (int64_t i = 0; *have && i < k; i++)
        for (int64_t j = 0; j < k; j++) {
            double dot = 0.0;
            for (int64_t l = 0; l < n; l++) dot += now[i * n + l] * subspace[j * n + l];
            square += dot * dot;
        }
    p->overlap = *have ? square / (double)k : (double)NAN;
    memcpy(subspace, now, (size_t)(k * n) * sizeof *now);
    *have = true;
fail:
    ss_vectors_release(&x);
    ss_free(context, now);
    return status;
}

static ss_status spectrum(ss_context *context, ss_objective *objective, const ss_track_options *o,
                          double *subspace, bool *have, ss_track_point *p)
{
    ss_status        status = SS_OK;
    ss_operator      op = { 0 };
    ss_eigen_result *found = NULL;
    ss_eigen_options options;
    int64_t          n = ss_objective_layout(objective)->n, k = ss_min64(o->subspace, n - 1);
    if (k < 1) k = 1;
    set_search(o, n > 1 ? 1 : 0, k, &options);
    SS_TRY(ss_objective_operator(objective, SS_PRODUCT_HESSIAN, ss_objective_precision(objective), NULL, NULL,
                                 &op));
    SS_TRY(ss_eigen_solve(&op, &options, &found));
    p->lambda_min = value_of(found, 0, &p->lambda_min_error);
    p->lambda_max = value_of(found, found->size - 1, &p->lambda_max_error);
    p->products = found->products;
    if (found->method == SS_EIGEN_BASIS && found->size >= k)
        SS_TRY(compare(context, &op, found, k, subspace, have, p));
fail:
    ss_eigen_result_destroy(found);
    ss_operator_destroy(&op);
    return status;
}

/* lambda_max of P^-1/2 H P^-1/2 */
static ss_status preconditioned(ss_context *context, ss_objective *objective, const ss_track_options *o,
                                ss_track_point *p)
{
    ss_status        status = SS_OK;
    ss_operator      op = { 0 }, scaled = { 0 };
    ss_eigen_result *found = NULL;
    ss_eigen_options options;
    double          *root = NULL;
    int64_t          n = ss_objective_layout(objective)->n;
    SS_TRY(SS_NEW_ARRAY(context, n, &root));
    for (int64_t i = 0; i < n; i++) root[i] = 1.0 / sqrt(o->precondition[i]);
    set_search(o, 0, 1, &options);
    SS_TRY(ss_objective_operator(objective, SS_PRODUCT_HESSIAN, ss_objective_precision(objective), NULL, NULL,
                                 &op));
    SS_TRY(ss_operator_scaled(&op, root, &scaled));
    SS_TRY(ss_eigen_solve(&scaled, &options, &found));
    p->preconditioned = value_of(found, found->size - 1, &p->preconditioned_error);
    p->products += found->products;
fail:
    ss_eigen_result_destroy(found);
    ss_operator_destroy(&scaled);
    ss_operator_destroy(&op);
    ss_free(context, root);
    return status;
}

ss_status ss_track(ss_context *context, ss_objective *objective, const ss_track_options *options,
                   const ss_analyze_options *analyze, double *subspace, bool *have, ss_track_point *point)
{
    ss_status  status = SS_OK;
    ss_verdict verdict = { 0 };
    point->preconditioned = point->preconditioned_error = point->overlap = (double)NAN;
    point->label = SS_LABEL_INCONCLUSIVE;
    SS_TRY(slope(objective, point));
    SS_TRY(spectrum(context, objective, options, subspace, have, point));
    if (options->precondition != NULL) SS_TRY(preconditioned(context, objective, options, point));
    if (options->judge) {
        SS_TRY(ss_analyze(context, objective, analyze, &verdict));
        point->label = verdict.label;
    }
fail:
    ss_verdict_destroy(&verdict);
    return status;
}

int ss_natural_compare(const char *a, const char *b)
{
    while (*a != '\0' && *b != '\0') {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            while (*a == '0') a++;
            while (*b == '0') b++;
            size_t left = strspn(a, "0123456789"), right = strspn(b, "0123456789");
            if (left != right) return left < right ? -1 : 1;
            int order = strncmp(a, b, left);
            if (order != 0) return order;
            a += left;
            b += right;
        } else if (*a != *b) {
            return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
        } else {
            a++;
            b++;
        }
    }
    return *a == *b ? 0 : *a == '\0' ? -1 : 1;
}

int64_t ss_natural_number(const char *name)
{
    const char *end = name + strlen(name);
    while (end > name && !isdigit((unsigned char)end[-1])) end--;
    const char *begin = end;
    while (begin > name && isdigit((unsigned char)begin[-1])) begin--;
    return begin == end || end - begin > 18 ? -1 : (int64_t)strtoll(begin, NULL, 10);
}
