/* The trace by deflated Hutchinson (reference 3): with Q of orthonormal Ritz vectors,
 *
 *   tr H = sum q_i'H q_i + tr (I - QQ') H (I - QQ'),   ||H||_F^2 = sum ||H q_i||^2 + ||H (I - QQ')||_F^2
 *
 * exactly, converged or not; the second terms are estimated by vectors uniform on the sphere of Q's
 * complement, whose products give both at once: (n - d) z'Hz and (n - d) ||H z||^2 are unbiased. Error bars
 * are Student intervals over the probes. */
#include "base/philox.h"
#include "spectrum/eigen.h"

#include <math.h>

#define LANCZOS_EXTRA 10 /* products of the deflating search beyond two per vector */

typedef struct run {
    ss_operator            *op; /* borrowed */
    ss_context             *context;
    const ss_trace_options *o;
    ss_trace_result        *r;
    ss_eigen_result        *search;               /* NULL: nothing is deflated */
    ss_basis               *basis;                /* [deflated] Q */
    double                 *h;                    /* [2 deflated] coefficients */
    void                   *x, *y;                /* [lanes, padded] */
    double                 *values;               /* [2, probes] z'Hz and ||Hz||^2, times n - d */
    int64_t                 done;                 /* probes */
    double                  known, known_squares; /* of Q */
    bool                    stopped, interrupted;
} run;

void ss_trace_options_init(ss_trace_options *options)
{
    *options = (ss_trace_options){ .probes = 30, .deflate = -1, .eta = 0.01 };
}

static ss_status check_options(ss_context *context, const ss_operator *op, const ss_trace_options *o)
{
    ss_status status = SS_OK;
    if (o->probes < 2)
        SS_FAIL(context, SS_ERROR_USAGE, "an error bar needs at least 2 probes, found %lld",
                (long long)o->probes);
    if (!(o->eta > 0.0 && o->eta < 1.0))
        SS_FAIL(context, SS_ERROR_USAGE, "eta must lie between 0 and 1, found %g", o->eta);
    if (o->deflate < -1 || o->deflate > op->n_global)
        SS_FAIL(context, SS_ERROR_USAGE, "deflation by %lld of %lld directions", (long long)o->deflate,
                (long long)op->n_global);
    if (!(o->delta >= 0.0) || o->memory < 0)
        SS_FAIL(context, SS_ERROR_USAGE, "delta and memory must not be negative or NaN");
fail:
    return status;
}

/* ---- Deflation ------------------------------------------------------------------------------------------
 */

/* As many Ritz vectors as asked for; without a wish, as many as the memory holds easily and the probes are
 * worth: the search costs about two products for each. */
static int64_t choose_deflation(const run *q, int64_t memory)
{
    int64_t bytes = ss_max64(1, ss_vector_bytes(q->op)), n = q->op->n_global;
    if (q->o->deflate >= 0) return q->o->deflate;
    int64_t wanted = ss_min64(ss_min64(10, q->o->probes / 3), n / 2);
    int64_t fit = memory / bytes - SS_EIGEN_SCRATCH - 3;
    return fit >= 3 * wanted + LANCZOS_EXTRA ? wanted : 0;
}

static ss_status watch_search(void *user, ss_eigen_result *state, ss_eigen_action *action)
{
    run            *q = user;
    ss_eigen_action wish = SS_EIGEN_CONTINUE;
    ss_status       status = SS_OK;
    if (q->o->monitor != NULL)
        status =
            q->o->monitor(q->o->monitor_user, q->r, state->products, state->products + q->o->probes, &wish);
    if (wish == SS_EIGEN_STOP) q->stopped = true;
    *action = wish;
    return status;
}

/* The Ritz vectors of largest modulus of a short unrestarted search into the basis. */
static ss_status take_vectors(run *q, int64_t wanted)
{
    ss_status        status = SS_OK;
    ss_eigen_result *e = q->search;
    int64_t          low = 0, high = e->size - 1;
    void            *v = NULL;
    SS_TRY(ss_basis_create_resident(q->op, wanted, &q->basis));
    SS_TRY(SS_NEW_ARRAY(q->context, 2 * wanted, &q->h));
    for (int64_t i = 0; i < wanted; i++) {
        int64_t best = fabs(e->ritz[low].value) > fabs(e->ritz[high].value) ? low++ : high--;
        double  value = e->ritz[best].value;
        SS_TRY(ss_basis_open(q->basis, i, &v));
        SS_TRY(ss_eigen_vector(e, best, v));
        SS_TRY(ss_basis_close(q->basis, i));
        q->known += value;
        q->known_squares += value * value + e->ritz[best].residual * e->ritz[best].residual;
    }
    q->r->deflated = wanted;
fail:
    return status;
}

static ss_status deflate(run *q, int64_t memory)
{
    ss_status        status = SS_OK;
    ss_eigen_options options;
    int64_t          wanted = choose_deflation(q, memory), n = q->op->n_global;
    if (wanted == 0) return SS_OK;
    ss_eigen_options_pairs(&options, 0, 0);
    options.true_residuals = false;
    options.delta = q->o->delta;
    options.method = SS_EIGEN_BASIS;
    options.basis = options.max_products = ss_min64(n, 2 * wanted + LANCZOS_EXTRA);
    options.seed = q->o->seed;
    options.memory = q->o->memory;
    options.monitor = watch_search;
    options.monitor_user = q;
    status = ss_eigen_solve(q->op, &options, &q->search);
    if (status == SS_ERROR_INTERRUPTED) q->interrupted = true, status = SS_OK;
    SS_TRY(status);
    q->r->products = q->search->products;
    if (q->interrupted || q->stopped) return SS_OK;
    SS_TRY(take_vectors(q, ss_min64(wanted, q->search->size)));
    /* The search's own basis is not needed any more. */
    ss_eigen_result_destroy(q->search);
    q->search = NULL;
fail:
    return status;
}

/* ---- Probes ---------------------------------------------------------------------------------------------
 */

/* x := uniform on the unit sphere of Q's complement. */
static ss_status make_probe(run *q, int64_t number, void *x)
{
    ss_status status = SS_OK;
    uint64_t  stream = SS_STREAM_QUADRATURE + ((uint64_t)number << 32);
    double    norm = 0.0;
    SS_TRY(ss_vector_random(q->op, q->o->seed, stream, NULL, NULL, x));
    if (q->basis != NULL) {
        SS_TRY(ss_basis_orthogonalise(q->basis, q->r->deflated, x, q->h, q->h + q->r->deflated, &norm));
    } else {
        SS_TRY(ss_vector_dot(q->op, x, x, &norm));
        norm = sqrt(norm);
    }
    SS_TRY(ss_vector_axpby(q->op, 0.0, NULL, 1.0 / norm, x));
fail:
    return status;
}

static ss_status run_block(run *q, int count)
{
    ss_status status = SS_OK;
    int64_t   padded = q->op->layout->padded, bytes = ss_vector_bytes(q->op);
    double    rest = (double)(q->op->n_global - q->r->deflated);
    for (int i = 0; i < count; i++) SS_TRY(make_probe(q, q->done + i, (char *)q->x + i * bytes));
    double start = ss_seconds();
    status = ss_operator_apply(q->op, count, q->x, padded, q->y, padded);
    q->r->seconds_operator += ss_seconds() - start;
    if (status == SS_ERROR_INTERRUPTED) q->interrupted = true, status = SS_OK;
    SS_TRY(status);
    q->r->products += count;
    for (int i = 0; i < count; i++) {
        const void *x = (const char *)q->x + i * bytes, *y = (const char *)q->y + i * bytes;
        double      quotient = 0.0, square = 0.0;
        SS_TRY(ss_vector_dot(q->op, x, y, &quotient));
        SS_TRY(ss_vector_dot(q->op, y, y, &square));
        if (!isfinite(square))
            SS_FAIL(q->context, SS_ERROR_NUMERIC, "probe %lld: H v is not finite", (long long)q->done);
        q->values[q->done] = rest * quotient;
        q->values[q->o->probes + q->done] = rest * square;
        q->done++;
    }
fail:
    return status;
}

/* Mean and Student half width of the probes so far; infinite below two. */
static void interval(const double *values, int64_t count, double eta, double *mean, double *half)
{
    double sum = 0.0, squares = 0.0;
    *mean = NAN;
    *half = INFINITY;
    for (int64_t i = 0; i < count; i++) sum += values[i];
    if (count > 0) *mean = sum / (double)count;
    if (count < 2) return;
    for (int64_t i = 0; i < count; i++) squares += (values[i] - *mean) * (values[i] - *mean);
    double deviation = sqrt(squares / (double)(count - 1));
    *half = ss_bounds_student(1.0 - 0.5 * eta, (double)(count - 1)) * deviation / sqrt((double)count);
}

static void summarise(run *q, double delta)
{
    ss_trace_result *r = q->r;
    double           rest = 0.0, half = 0.0;
    r->probes = q->done;
    interval(q->values, q->done, q->o->eta, &rest, &half);
    if (r->deflated == q->op->n_global) rest = half = 0.0; /* nothing is left to estimate */
    r->deflated_trace = q->known;
    r->trace = q->known + rest;
    r->trace_error = half;
    interval(q->values + q->o->probes, q->done, q->o->eta, &rest, &half);
    if (r->deflated == q->op->n_global) rest = half = 0.0;
    double square = q->known_squares + rest, low = fmax(0.0, square - half);
    r->frobenius = sqrt(square);
    /* The interval of the square, carried over to the root. */
    r->frobenius_low = sqrt(low);
    r->frobenius_high = sqrt(square + half);
    /* Products are off by delta ||H z|| each: the mean over z'Hz at most by that times sqrt n. */
    r->operator_error = delta * r->frobenius * sqrt((double)q->op->n_global);
}

static ss_status call_monitor(run *q, double delta)
{
    ss_eigen_action action = SS_EIGEN_CONTINUE;
    ss_status       status = SS_OK;
    summarise(q, delta);
    if (q->o->monitor == NULL) return SS_OK;
    status = q->o->monitor(q->o->monitor_user, q->r, q->r->products, q->r->products + q->o->probes - q->done,
                           &action);
    if (action == SS_EIGEN_STOP) q->stopped = true;
    return status;
}

static ss_status sample(run *q, double delta)
{
    ss_status   status = SS_OK;
    ss_backend *b = q->op->backend;
    int64_t     lanes = ss_max64(1, ss_min64(q->op->lanes, q->o->probes)), bytes = ss_vector_bytes(q->op);
    SS_TRY(b->class->allocate(b, bytes * lanes, &q->x));
    SS_TRY(b->class->allocate(b, bytes * lanes, &q->y));
    while (q->done < q->o->probes && !q->stopped && !q->interrupted) {
        SS_TRY(run_block(q, (int)ss_min64(lanes, q->o->probes - q->done)));
        SS_TRY(call_monitor(q, delta));
    }
fail:
    return status;
}

ss_status ss_trace_estimate(ss_operator *op, const ss_trace_options *options, ss_trace_result *result)
{
    ss_context *context = op->backend->context;
    ss_backend *b = op->backend;
    ss_status   status = SS_OK;
    double      start = ss_seconds();
    double      delta = options->delta > 0.0 ? options->delta : 64.0 * ss_real_unit_roundoff(op->real);
    int64_t     memory = options->memory > 0 ? options->memory : b->class->memory_available(b) / 2;
    run         q = { .op = op, .context = context, .o = options, .r = result };
    *result = (ss_trace_result){ .n = op->n_global, .eta = options->eta, .reason = SS_EIGEN_RUNNING };
    SS_TRY(check_options(context, op, options));
    SS_TRY(SS_NEW_ARRAY(context, 2 * options->probes, &q.values));
    SS_TRY(deflate(&q, memory));
    if (result->deflated < op->n_global && !q.stopped && !q.interrupted) SS_TRY(sample(&q, delta));
    summarise(&q, delta);
    result->reason = q.interrupted ? SS_EIGEN_INTERRUPTED : q.stopped ? SS_EIGEN_MONITOR : SS_EIGEN_CONVERGED;
    result->seconds_total = ss_seconds() - start;
    status = q.interrupted ? SS_ERROR_INTERRUPTED : SS_OK;
fail:
    ss_eigen_result_destroy(q.search);
    ss_basis_destroy(q.basis);
    b->class->release(b, q.x);
    b->class->release(b, q.y);
    ss_free(context, q.h);
    ss_free(context, q.values);
    return status;
}
