/* saddlescope eigs: extreme eigenvalues. */
#include "backend/backend.h"
#include "cli/commands.h"
#include "cli/vectors.h"
#include "cli/deliver.h"

#include <math.h>

/* Stops the search at --time-limit and reports progress. */
typedef struct watch {
    ss_context *context;
    double      end;   /* s, monotonic; 0 = none */
    double      total; /* products allowed */
} watch;

static ss_status look(void *user, ss_eigen_result *state, ss_eigen_action *action)
{
    const watch *w = user;
    char         remark[80] = "";
    if (state->size > 0) snprintf(remark, sizeof remark, "%.4g .. %.4g", state->theta_min, state->theta_max);
    ss_progress(w->context, "products", (double)state->products, w->total, remark);
    if (w->end > 0 && ss_seconds() >= w->end) *action = SS_EIGEN_STOP;
    return SS_OK;
}

static void options_from(const ss_settings *s, const ss_workload *workload, watch *w, ss_eigen_options *o)
{
    ss_eigen_options_pairs(o, ss_integer_of(s, LOW), ss_integer_of(s, HIGH));
    if (ss_given(s, BELOW)) o->below = -ss_real_of(s, BELOW);
    o->rtol_low = o->rtol_high = ss_real_of(s, TOLERANCE);
    o->max_products = ss_integer_of(s, MAX_PRODUCTS);
    o->seed = (uint64_t)ss_integer_of(s, SEED);
    o->memory = ss_workload_vector_memory(workload, 2); /* true residuals take two */
    o->checkpoint = ss_text_of(s, CHECKPOINT);
    if (ss_given(s, CHECKPOINT_EVERY)) o->checkpoint_every = ss_real_of(s, CHECKPOINT_EVERY);
    o->resume = ss_given(s, RESUME);
    o->configuration = workload->configuration;
    o->monitor = look;
    o->monitor_user = w;
    if (ss_given(s, TIME_LIMIT)) w->end = ss_seconds() + ss_real_of(s, TIME_LIMIT);
    w->total = (double)o->max_products;
}

static ss_eigenvalue eigenvalue(const ss_eigen_result *found, int64_t i)
{
    const ss_ritz *ritz = &found->ritz[i];
    double         residual = ritz->true_residual >= 0 ? ritz->true_residual : ritz->residual;
    return (ss_eigenvalue){ .value = ritz->value,
                            .error = residual + found->error,
                            .converged = ritz->converged };
}

/* Lowest: as many as asked for, and all below. Highest: as many as asked for, without those already listed.
 */
static ss_status collect(ss_workload *w, const ss_eigen_result *found, ss_eigs_result *r)
{
    ss_status          status = SS_OK;
    const ss_settings *s = w->settings;
    int64_t            low = ss_min64(ss_integer_of(s, LOW), found->size), high = 0;
    if (ss_given(s, BELOW))
        while (low < found->size && found->ritz[low].value < ss_real_of(s, BELOW)) low++;
    high = ss_min64(ss_integer_of(s, HIGH), found->size - low);
    SS_TRY(SS_NEW_ARRAY(w->context, low, &r->low));
    SS_TRY(SS_NEW_ARRAY(w->context, high, &r->high));
    SS_TRY(SS_NEW_ARRAY(w->context, found->size, &r->ritz));
    r->n_low = low;
    r->n_high = high;
    r->n_ritz = found->size;
    for (int64_t i = 0; i < low; i++) r->low[i] = eigenvalue(found, i);
    for (int64_t i = 0; i < high; i++) r->high[i] = eigenvalue(found, found->size - high + i);
    for (int64_t i = 0; i < found->size; i++) r->ritz[i] = found->ritz[i].value;
fail:
    return status;
}

static void summarise(const ss_workload *w, const ss_operator *op, const ss_eigen_result *found, double eta,
                      ss_eigs_result *r)
{
    r->operator_name = ss_product_name(ss_workload_product(w));
    r->reason = ss_eigen_reason_text(found->reason);
    r->method = found->method == SS_EIGEN_THREE_VECTORS ? "three vectors" : "basis";
    r->lower_bound = found->lower;
    r->upper_bound = found->upper;
    r->confidence = 1 - eta;
    r->operator_error = found->error;
    r->n = op->layout->n;
    r->products = found->products;
    r->restarts = found->restarts;
    r->basis = found->basis;
    r->basis_on_host = found->basis_on_host;
    r->seconds = found->seconds_total;
    r->seconds_operator = found->seconds_operator;
}

/* --save-vectors: low_0 ... and high_0 ..., in the order of the lists. */
static ss_status save(ss_workload *w, const ss_operator *op, ss_eigen_result *found, const ss_eigs_result *r)
{
    ss_status        status = SS_OK;
    int64_t          count = r->n_low + r->n_high, n = op->layout->n;
    double          *packed = NULL;
    void            *x = NULL;
    ss_named_vector *vectors = NULL;
    char(*names)[32] = NULL;

    if (!ss_given(w->settings, SAVE_VECTORS)) return SS_OK;
    SS_TRY(ss_allocate(w->context, count, (size_t)n * sizeof *packed, (void **)&packed));
    SS_TRY(SS_NEW_ARRAY(w->context, count, &vectors));
    SS_TRY(ss_allocate(w->context, count, sizeof *names, (void **)&names));
    SS_TRY(
        op->backend->class->allocate(op->backend, op->layout->padded * (int64_t)ss_real_size(op->real), &x));
    for (int64_t i = 0; i < count; i++) {
        bool    low = i < r->n_low;
        int64_t index = low ? i : found->size - count + i, number = low ? i : i - r->n_low;
        SS_TRY(ss_eigen_vector(found, index, x));
        SS_TRY(ss_operator_pack(op, x, packed + i * n));
        snprintf(names[i], sizeof names[i], "%s_%lld", low ? "low" : "high", (long long)number);
        vectors[i] = (ss_named_vector){ .name = names[i], .packed = packed + i * n };
    }
    SS_TRY(ss_vectors_write(w->context, ss_text_of(w->settings, SAVE_VECTORS), w->network, vectors, count,
                            NULL, 0));
fail:
    op->backend->class->release(op->backend, x);
    ss_free(w->context, names);
    ss_free(w->context, vectors);
    ss_free(w->context, packed);
    return status;
}

static ss_status deliver(ss_workload *w, const ss_eigs_result *result, bool complete)
{
    ss_status status = SS_OK;
    ss_text   text, table;
    ss_text_init(w->context, &text);
    ss_text_init(w->context, &table);
    ss_report_eigs(&text, &w->run, result);
    ss_report_eigs_csv(&table, result);
    SS_TRY(ss_deliver_text(w, &text, &table));
    SS_TRY(ss_workload_json(w, complete, ss_eigs_fields, result));
fail:
    ss_text_release(&text);
    ss_text_release(&table);
    return status;
}

static ss_status check_options(ss_context *context, const ss_settings *s)
{
    if (ss_integer_of(s, LOW) + ss_integer_of(s, HIGH) == 0 && !ss_given(s, BELOW))
        return ss_fail(context, SS_ERROR_USAGE, "give --low K, --high K or --below X");
    if (ss_given(s, BELOW) && !(ss_real_of(s, BELOW) < 0))
        return ss_fail(context, SS_ERROR_USAGE, "--below: %g is not negative", ss_real_of(s, BELOW));
    if (ss_given(s, RESUME) && !ss_given(s, CHECKPOINT))
        return ss_fail(context, SS_ERROR_USAGE, "--resume needs --checkpoint FILE");
    return SS_OK;
}

ss_status ss_command_eigs(ss_context *context, const ss_settings *settings, int *exit_status)
{
    ss_status        status = SS_OK, solved = SS_OK;
    ss_workload      workload = { .context = context };
    ss_operator      op = { 0 };
    ss_eigen_options options;
    ss_eigen_result *found = NULL;
    ss_eigs_result   result = { 0 };
    watch            monitor = { .context = context };

    (void)exit_status;
    SS_TRY(check_options(context, settings));
    SS_TRY(ss_workload_open(context, settings, true, &workload));
    SS_TRY(ss_workload_operator(&workload, &op));
    options_from(settings, &workload, &monitor, &options);
    if (options.low + options.high > op.layout->n)
        SS_FAIL(context, SS_ERROR_USAGE, "--low and --high ask for %lld eigenvalues, there are %lld",
                (long long)(options.low + options.high), (long long)op.layout->n);
    SS_TRY(ss_workload_json_partial(&workload, ss_eigs_fields, NULL));
    solved = ss_eigen_solve(&op, &options, &found);
    if (found == NULL) {
        ss_workload_discard(&workload);
        SS_TRY(solved);
    }
    SS_TRY(collect(&workload, found, &result));
    summarise(&workload, &op, found, options.eta, &result);
    SS_TRY(save(&workload, &op, found, &result));
    SS_TRY(deliver(&workload, &result, solved == SS_OK));
    status = solved; /* interrupted: everything above is delivered, and the exit status says so */
fail:
    ss_eigen_result_destroy(found);
    ss_free(context, result.low);
    ss_free(context, result.high);
    ss_free(context, result.ritz);
    ss_operator_destroy(&op);
    ss_workload_close(&workload);
    return status;
}
