/* The eigensolver: set-up, the loop over products, the end. The steps themselves are in restarted.c and
 * recurrence.c, every decision in ritz.c.
 *
 * A search goes through phases. FIRST: an unrestarted cycle from the start vector, full Gram-Schmidt. When
 * the basis is full and a certificate is still open, CONTINUED: the first cycle's recurrence goes on with
 * three vectors, alpha and beta only, until the bound is good enough or T shows an eigenvalue that the basis
 * has to find. RESTARTED: thick restarts until the wanted pairs are there. The state after every product
 * determines everything that follows; a checkpoint is that state. */
#include "spectrum/eigen.h"

#include <inttypes.h>
#include <math.h>

/* ---- Products -------------------------------------------------------------------------------------------
 */

static ss_status not_finite(ss_eigen_state *s, const void *y)
{
    const ss_layout *layout = s->op->layout;
    int64_t          index = -1;
    ss_status status = s->op->backend->class->find_nonfinite(s->op->backend, NULL, layout->padded, y, &index);
    if (status != SS_OK) return status;
    for (int64_t i = 0; i < layout->n_segments; i++) {
        const ss_segment *g = &layout->segments[i];
        if (index >= g->offset && index < g->offset + g->length)
            return ss_fail(s->context, SS_ERROR_NUMERIC,
                           "product %" PRId64 ": element %" PRId64 " of H v is not finite", s->i.products,
                           s->op->offset + g->canonical + index - g->offset);
    }
    return ss_fail(s->context, SS_ERROR_NUMERIC, "product %" PRId64 ": H v overflows its squared length",
                   s->i.products);
}

ss_status ss_eigen_apply(ss_eigen_state *s, const void *x, void *y, double *norm)
{
    int64_t   n = s->op->layout->padded;
    double    start = ss_seconds(), square = 0.0;
    ss_status status = ss_operator_apply(s->op, 1, x, n, y, n);
    s->r.seconds_operator += ss_seconds() - start;
    if (status == SS_ERROR_INTERRUPTED)
        s->interrupted = true;
    else if (status != SS_OK)
        return status;
    s->i.products++;
    status = ss_vector_dot(s->op, y, y, &square);
    if (status != SS_OK) return status;
    if (!isfinite(square)) return not_finite(s, y);
    *norm = sqrt(square);
    if (s->i.products == 1) s->r.noise = s->o.noise > 0.0 ? s->o.noise : s->o.delta * *norm;
    return SS_OK;
}

double ss_eigen_breakdown_limit(const ss_eigen_state *s, double product_norm)
{
    double rounding = 40.0 * ss_real_unit_roundoff(s->op->real) * product_norm;
    return fmax(rounding, 2.0 * fmin(s->r.noise, s->o.delta * product_norm));
}

/* ---- Set-up ---------------------------------------------------------------------------------------------
 */

static ss_status check_options(ss_context *context, const ss_operator *op, const ss_eigen_options *o)
{
    ss_status status = SS_OK;
    if (op->real != op->backend->real)
        SS_FAIL(context, SS_ERROR_USAGE, "operator in %s on a backend in %s", ss_real_name(op->real),
                ss_real_name(op->backend->real));
    if (o->low < 0 || o->high < 0 || o->max_products < 0 || o->basis < 0 || o->memory < 0)
        SS_FAIL(context, SS_ERROR_USAGE, "low, high, max_products, basis and memory must not be negative");
    if (!(o->eta > 0.0 && o->eta < 1.0))
        SS_FAIL(context, SS_ERROR_USAGE, "eta must lie between 0 and 1, found %g", o->eta);
    if (!(o->rtol_low > 0.0) || !(o->rtol_high > 0.0))
        SS_FAIL(context, SS_ERROR_USAGE, "rtol must be positive, found %g and %g", o->rtol_low, o->rtol_high);
    if (!(o->resolution >= 0.0) || !(o->tau >= 0.0) || !(o->delta >= 0.0) || !(o->noise >= 0.0) ||
        !(o->lambda_floor >= 0.0) || !(o->below >= 0.0) || !(o->above >= 0.0))
        SS_FAIL(context, SS_ERROR_USAGE,
                "resolution, tau, delta, noise, lambda_floor, below and above must not be negative or NaN");
    if (o->start != NULL && (o->certify_low || o->certify_high))
        SS_FAIL(context, SS_ERROR_USAGE, "nothing can be certified from a given start vector");
    if (o->live != NULL && (o->n_live < 1 || o->n_live > op->n_global))
        SS_FAIL(context, SS_ERROR_USAGE, "n_live must lie in 1 .. %" PRId64 ", found %" PRId64, op->n_global,
                o->n_live);
    if (o->resume && o->checkpoint == NULL)
        SS_FAIL(context, SS_ERROR_USAGE, "resume needs the path of a checkpoint");
    if (o->method == SS_EIGEN_THREE_VECTORS && o->basis > 0)
        SS_FAIL(context, SS_ERROR_USAGE, "three-vector mode takes no basis of %" PRId64 " vectors", o->basis);
fail:
    return status;
}

bool ss_eigen_basis_on_host(int64_t vector_bytes, int64_t n, int64_t memory)
{
    return memory / ss_max64(1, vector_bytes) - SS_EIGEN_BESIDE < ss_min64(n, SS_EIGEN_SMALLEST_BASIS);
}

/* Basis vectors that fit into the host's memory, half of what is free; 0 when the backend has no other memory
 * or too little of it even for the vectors at work. */
static int64_t fit_on_host(const ss_eigen_state *s, int64_t memory)
{
    int64_t bytes = ss_max64(1, ss_vector_bytes(s->op));
    if (s->op->backend->class->space == SS_MEMORY_HOST) return 0;
    if (memory / bytes < SS_EIGEN_SCRATCH + SS_BASIS_HOST_VECTORS) return 0;
    return ss_max64(0, ss_memory_available() / 2 / bytes - 1);
}

/* Moves the basis to the host where the backend grants too little for a useful one (or the one asked for), as
 * long as the host has more. A resumed search stays where it was: sums are rounded differently. */
static void place_basis(ss_eigen_state *s, bool resumed, int64_t memory, int64_t *fit)
{
    int64_t bytes = ss_max64(1, ss_vector_bytes(s->op)), on_host = fit_on_host(s, memory);
    if (!resumed)
        s->on_host = s->o.method != SS_EIGEN_THREE_VECTORS && on_host > ss_max64(*fit, 0) &&
                     (ss_eigen_basis_on_host(bytes, s->result->n_live, memory) || s->o.basis > *fit);
    if (s->on_host) *fit = on_host;
}

/* Chooses method, m and the place of the basis from what is wanted and what fits. */
static ss_status choose_basis(ss_eigen_state *s)
{
    ss_status status = SS_OK;
    int64_t   bytes = ss_max64(1, ss_vector_bytes(s->op)), n = s->result->n_live;
    int64_t   memory =
        s->o.memory > 0 ? s->o.memory : s->op->backend->class->memory_available(s->op->backend) / 2;
    int64_t fit = ss_eigen_fit(s->op, s->o.memory);
    int64_t least = ss_min64(n, s->o.low + s->o.high + 4), saved = -1;
    if (s->o.resume) SS_TRY(ss_checkpoint_basis(s->context, s->o.checkpoint, &saved, &s->on_host));
    place_basis(s, saved >= 0, memory, &fit);
    if (saved >= 0 && s->o.basis == 0 && s->o.method == SS_EIGEN_AUTO) {
        s->o.method = saved > 0 ? SS_EIGEN_BASIS : SS_EIGEN_THREE_VECTORS;
        s->o.basis = saved;
    }
    if (s->o.method == SS_EIGEN_AUTO)
        s->o.method = s->o.basis > 0 || fit >= ss_min64(n, SS_EIGEN_SMALLEST_BASIS) ? SS_EIGEN_BASIS
                                                                                    : SS_EIGEN_THREE_VECTORS;
    if (s->o.method == SS_EIGEN_THREE_VECTORS) {
        if (fit + 1 < 0)
            SS_FAIL(s->context, SS_ERROR_REFUSED,
                    "a search needs memory for 3 vectors of %" PRId64 " bytes, %" PRId64 " bytes are granted",
                    bytes, memory);
        if (s->o.low > 1 || s->o.high > 1)
            SS_FAIL(
                s->context, fit < SS_EIGEN_SMALLEST_BASIS ? SS_ERROR_REFUSED : SS_ERROR_USAGE,
                "three-vector mode finds one pair per end (further ones repeat the first): ask for one, or "
                "allow %" PRId64 " bytes for a basis",
                ss_eigen_memory(s->op, ss_max64(SS_EIGEN_SMALLEST_BASIS, least)));
        s->m = 0;
        return SS_OK;
    }
    int64_t most = fit >= SS_EIGEN_LONG_BASIS && SS_EIGEN_LONG_BASIS * bytes <= SS_EIGEN_LONG_BYTES
                       ? SS_EIGEN_LONG_BASIS
                       : SS_EIGEN_LARGEST_BASIS;
    most = ss_max64(most, 2 * (s->o.low + s->o.high) + 8);
    int64_t m = s->o.basis > 0 ? s->o.basis : ss_max64(ss_min64(fit, most), SS_EIGEN_SMALLEST_BASIS);
    s->m = ss_min64(n, m);
    if (s->m < least)
        SS_FAIL(s->context, SS_ERROR_USAGE,
                "%" PRId64 " wanted pairs need a basis of at least %" PRId64 " vectors, found %" PRId64,
                s->o.low + s->o.high, least, s->m);
    if (s->m > fit)
        SS_FAIL(s->context, SS_ERROR_REFUSED,
                "a basis of %" PRId64 " vectors takes %" PRId64 " bytes, %" PRId64
                " are granted: allow more memory or a basis of %" PRId64,
                s->m, ss_eigen_memory(s->op, s->m), memory, ss_max64(fit, 0));
fail:
    return status;
}

int64_t ss_eigen_fit(const ss_operator *op, int64_t memory)
{
    if (memory == 0) memory = op->backend->class->memory_available(op->backend) / 2;
    return memory / ss_max64(1, ss_vector_bytes(op)) - SS_EIGEN_BESIDE;
}

int64_t ss_eigen_memory(const ss_operator *op, int64_t m)
{
    int64_t bytes = 0, vectors = SS_EIGEN_SCRATCH + (m > 0 ? m + 1 : 0);
    return ss_mul64(ss_vector_bytes(op), vectors, &bytes) ? bytes : INT64_MAX;
}

static ss_status allocate_state(ss_eigen_state *s)
{
    ss_status        status = SS_OK;
    ss_eigen_result *r = s->result;
    ss_backend      *b = s->op->backend;
    for (int i = 0; i < SS_EIGEN_SCRATCH; i++)
        SS_TRY(b->class->allocate(b, ss_vector_bytes(s->op), &s->scratch[i]));
    if (s->m > 0) {
        SS_TRY(s->on_host ? ss_basis_create_host(s->op, s->m + 1, &s->basis)
                          : ss_basis_create_resident(s->op, s->m + 1, &s->basis));
        r->basis_on_host = s->on_host;
        SS_TRY(SS_NEW_ARRAY(s->context, s->m * s->m, &s->h));
        SS_TRY(SS_NEW_ARRAY(s->context, s->m * s->m, &r->rayleigh));
        SS_TRY(SS_NEW_ARRAY(s->context, 2 * (s->m + 1), &s->column));
    }
    SS_TRY(ss_ritz_reserve(s, ss_max64(s->m, 1)));
fail:
    return status;
}

static ss_status first_vector(ss_eigen_state *s)
{
    ss_status status = SS_OK;
    void     *v = NULL;
    s->r.theta_min = INFINITY;
    s->r.theta_max = -INFINITY;
    s->r.start_norm = 1.0;
    s->r.settled_low = s->r.settled_high = NAN;
    s->i.seen_low = s->i.seen_high = -1;
    for (int i = 0; i < SS_EIGEN_HISTORY; i++) s->r.history[i][0] = s->r.history[i][1] = NAN;
    if (s->basis == NULL) return SS_OK;
    SS_TRY(ss_basis_open(s->basis, 0, &v));
    SS_TRY(ss_recurrence_start(s, v, &s->r.start_norm));
    SS_TRY(ss_basis_close(s->basis, 0));
fail:
    return status;
}

static ss_status create(ss_operator *op, const ss_eigen_options *options, ss_eigen_result **result)
{
    ss_context      *context = op->backend->context;
    ss_status        status = SS_OK;
    ss_eigen_result *r = NULL;
    SS_TRY(SS_NEW(context, &r));
    *result = r;
    SS_TRY(SS_NEW(context, &r->state));
    ss_eigen_state *s = r->state;
    *s =
        (ss_eigen_state){ .result = r, .op = op, .context = context, .o = *options, .started = ss_seconds() };
    s->saved = s->started;
    r->n_live = options->live != NULL ? options->n_live : op->n_global;
    s->o.low = ss_min64(options->low, r->n_live);
    s->o.high = ss_min64(options->high, r->n_live);
    if (s->o.delta <= 0.0) s->o.delta = 64.0 * ss_real_unit_roundoff(op->real);
    SS_TRY(choose_basis(s));
    r->method = s->o.method;
    r->estimates = s->m == 0;
    r->basis = s->m;
    r->gamma = ss_bounds_gamma(r->n_live, options->eta);
    SS_TRY(allocate_state(s));
    SS_TRY(first_vector(s));
fail:
    return status;
}

void ss_eigen_forget_vectors(ss_eigen_result *result)
{
    ss_eigen_state *s = result->state;
    ss_backend     *b = s->op->backend;
    ss_basis_destroy(s->basis);
    s->basis = NULL;
    for (int i = 0; i < SS_EIGEN_SCRATCH; i++) {
        b->class->release(b, s->scratch[i]);
        s->scratch[i] = NULL;
    }
}

void ss_eigen_result_destroy(ss_eigen_result *result)
{
    if (result == NULL) return;
    ss_eigen_state *s = result->state;
    if (s == NULL) return; /* creation failed before there was a context to give memory back to */
    ss_context *context = s->context;
    ss_eigen_forget_vectors(result);
    ss_free(context, s->h);
    ss_free(context, s->small);
    ss_free(context, s->values);
    ss_free(context, s->residuals);
    ss_free(context, s->column);
    ss_free(context, s->alpha);
    ss_free(context, s->beta);
    ss_free(context, result->ritz);
    ss_free(context, result->rayleigh);
    ss_free(context, s);
    ss_free(context, result);
}

/* ---- The loop -------------------------------------------------------------------------------------------
 */

/* The public copy of the counters. */
static void publish(ss_eigen_state *s)
{
    ss_eigen_result *r = s->result;
    r->products = s->i.products;
    r->restarts = s->i.restarts;
    r->breakdowns = s->i.breakdowns;
    r->invariant = s->i.invariant;
    r->start_norm = s->r.start_norm;
    r->seconds_operator = s->r.seconds_operator;
    r->seconds_orthogonalisation = s->r.seconds_orthogonalisation;
    r->seconds_small = s->r.seconds_small;
    r->seconds_restart = s->r.seconds_restart;
    s->r.seconds_total = s->seconds_before + ss_seconds() - s->started;
    r->seconds_total = s->r.seconds_total;
}

static ss_eigen_reason decide(const ss_eigen_state *s)
{
    if (s->interrupted) return SS_EIGEN_INTERRUPTED;
    if (s->stopped) return SS_EIGEN_MONITOR;
    if (s->i.complete) return SS_EIGEN_COMPLETE;
    if (s->i.done) return SS_EIGEN_CONVERGED;
    if (s->o.max_products > 0 && s->i.products >= s->o.max_products) return SS_EIGEN_BUDGET;
    return SS_EIGEN_RUNNING;
}

/* Keeps the recurrence's last two vectors before the first restart overwrites them. */
static ss_status keep_tails(ss_eigen_state *s)
{
    ss_backend *b = s->op->backend;
    ss_status   status = SS_OK;
    for (int i = 0; i < 2; i++) {
        const void *v = NULL;
        SS_TRY(ss_basis_read(s->basis, s->m - 1 + i, &v));
        SS_TRY(b->class->copy(b, NULL, s->scratch[i], v, ss_vector_bytes(s->op)));
    }
    s->i.tails = 1;
fail:
    return status;
}

/* Can the first cycle's recurrence go on, and is it of use? */
static bool may_continue(const ss_eigen_state *s)
{
    return s->i.tails && !s->i.closed && ss_ritz_undecided(s);
}

/* Moves on to the phase of the next product; restarts a full basis. */
static ss_status prepare(ss_eigen_state *s)
{
    ss_status status = SS_OK;
    bool      full = s->i.columns == s->m && !s->i.fresh;
    if (s->m == 0) return SS_OK;
    if (s->i.phase == SS_PHASE_FIRST && full) {
        if (s->o.start == NULL && !s->i.closed) SS_TRY(keep_tails(s));
        if (may_continue(s)) s->i.phase = SS_PHASE_CONTINUED;
    } else if (s->i.phase == SS_PHASE_CONTINUED) {
        bool pairs = s->result->low_reached && s->result->high_reached;
        if (!pairs && !s->i.signalled && ss_ritz_signal(s)) s->i.signalled = 1;
        if (!may_continue(s) || (s->i.signalled && !pairs)) s->i.phase = SS_PHASE_RESTARTED;
    } else if (s->i.phase == SS_PHASE_RESTARTED && may_continue(s) && s->result->low_reached &&
               s->result->high_reached && !s->i.fresh && ss_ritz_due(s, s->i.columns)) {
        s->i.phase = SS_PHASE_CONTINUED;
    }
    if (s->i.phase != SS_PHASE_CONTINUED && full) SS_TRY(ss_restarted_restart(s));
fail:
    return status;
}

/* One product and what is concluded from it. */
static ss_status step(ss_eigen_state *s)
{
    ss_status status = SS_OK;
    if (s->m == 0 || s->i.phase == SS_PHASE_CONTINUED) {
        SS_TRY(ss_recurrence_step(s));
        if (s->m == 0 && (ss_ritz_due(s, s->i.sequence) || s->i.closed))
            SS_TRY(ss_ritz_update(s, true));
        else
            ss_ritz_bounds(s);
        s->i.done = ss_ritz_done(s) || (s->m == 0 && s->i.closed);
    } else {
        SS_TRY(ss_restarted_step(s));
        if (ss_ritz_due(s, s->i.columns) || s->i.complete) {
            SS_TRY(ss_ritz_update(s, true));
            s->i.done = ss_ritz_done(s);
        }
    }
    publish(s);
fail:
    return status;
}

static ss_status call_monitor(ss_eigen_state *s)
{
    ss_eigen_action action = SS_EIGEN_CONTINUE;
    if (s->o.monitor == NULL) return SS_OK;
    ss_status status = s->o.monitor(s->o.monitor_user, s->result, &action);
    if (status == SS_ERROR_INTERRUPTED) {
        s->interrupted = true;
        status = SS_OK;
    }
    if (action == SS_EIGEN_STOP) s->stopped = true;
    return status;
}

/* After a resume the monitor judges the state that it saw last once more: a search that it had stopped stays
 * stopped, after the same number of products. */
static ss_status repeat_monitor(ss_eigen_state *s)
{
    publish(s);
    return call_monitor(s);
}

/* Scalars after every product, vectors when they are due or the search ends before its goal. */
static ss_status save(ss_eigen_state *s)
{
    if (s->o.checkpoint == NULL) return SS_OK;
    ss_eigen_reason reason = decide(s);
    bool leaving = reason == SS_EIGEN_INTERRUPTED || reason == SS_EIGEN_MONITOR || reason == SS_EIGEN_BUDGET;
    return ss_checkpoint_write(s, leaving || ss_seconds() - s->saved >= s->o.checkpoint_every);
}

static ss_status run(ss_eigen_state *s)
{
    ss_status status = SS_OK;
    int64_t   replay = 0;
    if (s->o.resume)
        SS_TRY(ss_checkpoint_read(s, &replay));
    else if (s->o.checkpoint != NULL)
        SS_TRY(ss_checkpoint_remove(s));
    if (s->i.products > 0 && s->i.products >= replay) SS_TRY(repeat_monitor(s));
    while (decide(s) == SS_EIGEN_RUNNING) {
        int64_t restarts = s->i.restarts;
        SS_TRY(prepare(s));
        bool replaying = s->i.products < replay;
        if (s->i.restarts != restarts && s->o.checkpoint != NULL && !replaying)
            SS_TRY(ss_checkpoint_write(s, true));
        SS_TRY(step(s));
        if (replaying) {
            s->result->replayed++;
            if (s->i.products < replay) continue;
            SS_TRY(ss_checkpoint_compare(s));
            SS_TRY(repeat_monitor(s));
            continue;
        }
        SS_TRY(call_monitor(s));
        SS_TRY(save(s));
    }
fail:
    return status;
}

/* Final pairs, true residuals of the wanted ones. */
static ss_status finish(ss_eigen_state *s)
{
    ss_eigen_result *r = s->result;
    ss_status        status = SS_OK;
    int64_t          order = s->m > 0 ? s->i.columns : s->i.sequence;
    r->reason = decide(s);
    if (order > 0 && r->size != order && !s->i.fresh) {
        SS_TRY(ss_ritz_update(s, false));
        if (r->reason == SS_EIGEN_BUDGET && ss_ritz_done(s)) r->reason = SS_EIGEN_CONVERGED;
    }
    publish(s);
    bool ends = r->reason != SS_EIGEN_INTERRUPTED && s->o.true_residuals;
    for (int64_t i = 0; ends && i < r->size; i++)
        if (i < s->o.low || i >= r->size - s->o.high) SS_TRY(ss_eigen_verify(r, i));
    r->seconds_total = s->seconds_before + ss_seconds() - s->started;
fail:
    return status;
}

ss_status ss_eigen_solve(ss_operator *op, const ss_eigen_options *options, ss_eigen_result **result)
{
    ss_context      *context = op->backend->context;
    ss_status        status = SS_OK;
    ss_eigen_result *r = NULL;
    *result = NULL;
    SS_TRY(check_options(context, op, options));
    SS_TRY(create(op, options, &r));
    SS_TRY(run(r->state));
    SS_TRY(finish(r->state));
    *result = r;
    return r->reason == SS_EIGEN_INTERRUPTED ? SS_ERROR_INTERRUPTED : SS_OK;
fail:
    if (r != NULL && r->state == NULL)
        ss_free(context, r);
    else
        ss_eigen_result_destroy(r);
    return status;
}
