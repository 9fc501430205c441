/* The density of the spectrum by stochastic Lanczos quadrature (reference 2.3, 3).
 *
 * Probes run side by side, as many as the operator takes in one pass. Each is an unrestarted Lanczos run,
 * orthogonalised in full where the memory allows, else by the three-term recurrence (then the bounds hold for
 * the nearby larger problem, Greenbaum 1989). Alpha and beta are all that is kept; density_band.c evaluates
 * them. */
#include "spectrum/density.h"

#include "base/philox.h"

#include <math.h>

/* One probe on its way. */
typedef struct lane {
    ss_density_probe *probe;
    ss_basis         *basis;    /* all vectors so far; NULL: three-term */
    void             *previous; /* three-term: v_{j-1}, v_j, padded */
    void             *current;
    bool              ended; /* all steps made, or invariant */
} lane;

typedef struct run {
    ss_operator              *op; /* borrowed */
    ss_context               *context;
    const ss_density_options *o;
    ss_density_result        *r;
    int64_t                   steps; /* at most n */
    double                    delta;
    lane                     *lanes;
    void                     *x, *y;  /* [lanes, padded] blocks of a pass */
    double                   *column; /* [2 (steps + 1)] coefficients and scratch of Gram-Schmidt */
    bool                      stopped, interrupted;
} run;

void ss_density_options_init(ss_density_options *options)
{
    *options = (ss_density_options){ .probes = 1, .steps = 100, .eta = 0.01, .points = 400 };
}

/* ---- Set-up ---------------------------------------------------------------------------------------------
 */

static ss_status check_options(ss_context *context, const ss_density_options *o)
{
    ss_status status = SS_OK;
    if (o->probes < 1 || o->steps < 1 || o->points < 2 || o->memory < 0)
        SS_FAIL(context, SS_ERROR_USAGE,
                "a density needs at least 1 probe, 1 step and 2 points, found %lld, %lld and %lld",
                (long long)o->probes, (long long)o->steps, (long long)o->points);
    if (!(o->eta > 0.0 && o->eta < 1.0))
        SS_FAIL(context, SS_ERROR_USAGE, "eta must lie between 0 and 1, found %g", o->eta);
    if (!(o->width >= 0.0) || !(o->delta >= 0.0) || !isfinite(o->width))
        SS_FAIL(context, SS_ERROR_USAGE, "width and delta must not be negative or NaN");
fail:
    return status;
}

/* How many lanes, and whether all vectors can be kept: both if they fit, else all vectors in one lane (what
 * is proved counts more than speed), else the recurrence. */
static ss_status choose_lanes(run *q)
{
    int64_t bytes = ss_max64(1, ss_vector_bytes(q->op)), memory = q->o->memory;
    int64_t wanted = ss_max64(1, ss_min64(q->op->lanes, q->o->probes));
    if (memory == 0) memory = q->op->backend->class->memory_available(q->op->backend) / 2;
    int64_t fit = memory / bytes, kept = q->steps + 3;
    if (!q->o->three_term && (fit / wanted >= kept || fit >= kept)) {
        q->r->lanes = (int)(fit / wanted >= kept ? wanted : 1);
        q->r->orthogonal = true;
        return SS_OK;
    }
    if (fit < 4)
        return ss_fail(q->context, SS_ERROR_REFUSED,
                       "a density needs memory for 4 vectors of %lld bytes, %lld bytes are granted",
                       (long long)bytes, (long long)memory);
    q->r->lanes = (int)ss_min64(wanted, fit / 4);
    return SS_OK;
}

static ss_status allocate(run *q)
{
    ss_status   status = SS_OK;
    ss_backend *b = q->op->backend;
    int64_t     bytes = ss_vector_bytes(q->op);
    SS_TRY(choose_lanes(q));
    SS_TRY(SS_NEW_ARRAY(q->context, q->r->lanes, &q->lanes));
    SS_TRY(SS_NEW_ARRAY(q->context, 2 * (q->steps + 1), &q->column));
    SS_TRY(SS_NEW_ARRAY(q->context, q->o->probes, &q->r->probes));
    SS_TRY(b->class->allocate(b, bytes * q->r->lanes, &q->x));
    SS_TRY(b->class->allocate(b, bytes * q->r->lanes, &q->y));
    for (int i = 0; i < q->r->lanes; i++) {
        if (q->r->orthogonal) {
            SS_TRY(ss_basis_create_resident(q->op, q->steps + 1, &q->lanes[i].basis));
        } else {
            SS_TRY(b->class->allocate(b, bytes, &q->lanes[i].previous));
            SS_TRY(b->class->allocate(b, bytes, &q->lanes[i].current));
        }
    }
fail:
    return status;
}

static void release(run *q)
{
    ss_backend *b = q->op->backend;
    for (int i = 0; q->lanes != NULL && i < q->r->lanes; i++) {
        ss_basis_destroy(q->lanes[i].basis);
        b->class->release(b, q->lanes[i].previous);
        b->class->release(b, q->lanes[i].current);
    }
    b->class->release(b, q->x);
    b->class->release(b, q->y);
    ss_free(q->context, q->lanes);
    ss_free(q->context, q->column);
}

/* ---- Steps ----------------------------------------------------------------------------------------------
 */

static void *column_of(const run *q, void *block, int64_t j)
{
    return (char *)block + j * ss_vector_bytes(q->op);
}

/* The start vector of probe `number`; its squared length is the probe's share, until all are known. */
static ss_status begin(run *q, lane *l, int64_t number)
{
    ss_status         status = SS_OK;
    ss_density_probe *p = l->probe = &q->r->probes[q->r->n_probes];
    uint64_t          stream = SS_STREAM_QUADRATURE + ((uint64_t)number << 32);
    void             *v = l->current;
    l->ended = false;
    SS_TRY(SS_NEW_ARRAY(q->context, q->steps, &p->alpha));
    q->r->n_probes++;
    SS_TRY(SS_NEW_ARRAY(q->context, q->steps, &p->beta));
    if (l->basis != NULL) SS_TRY(ss_basis_open(l->basis, 0, &v));
    SS_TRY(ss_vector_random(q->op, q->o->seed, stream, NULL, NULL, v));
    SS_TRY(ss_vector_dot(q->op, v, v, &p->share));
    SS_TRY(ss_vector_axpby(q->op, 0.0, NULL, 1.0 / sqrt(p->share), v));
    if (l->basis != NULL) SS_TRY(ss_basis_close(l->basis, 0));
fail:
    return status;
}

/* y := H x for the lanes that go on, one after the other in the blocks. */
static ss_status apply(run *q, int active)
{
    int64_t   padded = q->op->layout->padded;
    double    start = ss_seconds();
    ss_status status = ss_operator_apply(q->op, active, q->x, padded, q->y, padded);
    q->r->seconds_operator += ss_seconds() - start;
    if (status == SS_ERROR_INTERRUPTED) {
        q->interrupted = true;
        status = SS_OK;
    }
    if (status == SS_OK) q->r->products += active;
    return status;
}

/* Appends one pair to a probe from w = H v_j, and the next vector to its lane. */
static ss_status advance(run *q, lane *l, void *w)
{
    ss_status         status = SS_OK;
    ss_density_probe *p = l->probe;
    ss_backend       *b = q->op->backend;
    int64_t           j = p->k;
    double            square = 0.0, alpha = 0.0, beta = 0.0;
    void             *next = l->previous;
    SS_TRY(ss_vector_dot(q->op, w, w, &square));
    if (!isfinite(square))
        SS_FAIL(q->context, SS_ERROR_NUMERIC, "step %lld of probe %lld: H v is not finite", (long long)j,
                (long long)(p - q->r->probes));
    if (l->basis != NULL) {
        SS_TRY(ss_basis_orthogonalise(l->basis, j + 1, w, q->column, q->column + q->steps + 1, &beta));
        alpha = q->column[j];
    } else {
        SS_TRY(ss_recurrence_advance(q->op, j > 0 ? l->previous : NULL, j > 0 ? p->beta[j - 1] : 0.0,
                                     l->current, w, &alpha, &beta));
    }
    p->alpha[j] = alpha;
    p->beta[j] = beta;
    p->k = j + 1;
    double limit = fmax(40.0 * ss_real_unit_roundoff(q->op->real), 2.0 * q->delta) * sqrt(square);
    p->invariant = beta <= limit;
    l->ended = p->invariant || p->k == q->steps;
    if (l->ended) return SS_OK;
    SS_TRY(ss_vector_axpby(q->op, 0.0, NULL, 1.0 / beta, w));
    if (l->basis != NULL) {
        SS_TRY(ss_basis_open(l->basis, j + 1, &next));
        SS_TRY(b->class->copy(b, NULL, next, w, ss_vector_bytes(q->op)));
        SS_TRY(ss_basis_close(l->basis, j + 1));
    } else {
        SS_TRY(b->class->copy(b, NULL, next, w, ss_vector_bytes(q->op)));
        l->previous = l->current;
        l->current = next;
    }
fail:
    return status;
}

static ss_status call_monitor(run *q, int64_t done)
{
    ss_eigen_action action = SS_EIGEN_CONTINUE;
    ss_status       status = SS_OK;
    if (q->o->monitor == NULL) return SS_OK;
    q->r->reason = SS_EIGEN_RUNNING;
    status = q->o->monitor(q->o->monitor_user, q->r, done, q->o->probes * q->steps, &action);
    if (action == SS_EIGEN_STOP) q->stopped = true;
    return status;
}

/* Probes first .. first + count - 1 to their ends. */
static ss_status run_block(run *q, int64_t first, int count)
{
    ss_status   status = SS_OK;
    ss_backend *b = q->op->backend;
    for (int i = 0; i < count; i++) SS_TRY(begin(q, &q->lanes[i], first + i));
    while (!q->stopped && !q->interrupted) {
        int active = 0;
        for (int i = 0; i < count; i++) {
            const void *v = q->lanes[i].current;
            if (q->lanes[i].ended) continue;
            if (q->lanes[i].basis != NULL) SS_TRY(ss_basis_read(q->lanes[i].basis, q->lanes[i].probe->k, &v));
            SS_TRY(b->class->copy(b, NULL, column_of(q, q->x, active), v, ss_vector_bytes(q->op)));
            active++;
        }
        if (active == 0) break;
        SS_TRY(apply(q, active));
        for (int i = 0, j = 0; i < count; i++) {
            if (q->lanes[i].ended) continue;
            SS_TRY(advance(q, &q->lanes[i], column_of(q, q->y, j)));
            if (q->lanes[i].ended) SS_TRY(ss_density_rule(q->context, q->lanes[i].probe));
            j++;
        }
        /* Counted as all the steps of the probes before: a probe that ends early ends its share of the work.
         */
        SS_TRY(call_monitor(q, first * q->steps + q->lanes[0].probe->k * count));
    }
fail:
    return status;
}

/* Rules of the probes that were cut off; a probe without a step is dropped. */
static ss_status close_probes(run *q)
{
    ss_status          status = SS_OK;
    ss_density_result *r = q->r;
    int64_t            kept = 0;
    double             sum = 0.0;
    for (int64_t i = 0; i < r->n_probes; i++) {
        ss_density_probe probe = r->probes[i];
        if (probe.k == 0) {
            ss_density_probe_release(q->context, &probe);
            continue;
        }
        r->probes[kept++] = probe;
        sum += probe.share;
    }
    r->n_probes = kept;
    for (int64_t i = 0; i < kept; i++) {
        r->probes[i].share /= sum;
        SS_TRY(ss_density_rule(q->context, &r->probes[i]));
    }
fail:
    return status;
}

void ss_density_probe_release(ss_context *context, ss_density_probe *p)
{
    ss_free(context, p->alpha);
    ss_free(context, p->beta);
    ss_free(context, p->node);
    ss_free(context, p->weight);
    *p = (ss_density_probe){ 0 };
}

void ss_density_result_destroy(ss_density_result *r)
{
    if (r == NULL) return;
    ss_context *context = r->context;
    for (int64_t i = 0; r->probes != NULL && i < r->n_probes; i++)
        ss_density_probe_release(context, &r->probes[i]);
    ss_free(context, r->probes);
    ss_free(context, r->points);
    ss_free(context, r);
}

ss_status ss_density_solve(ss_operator *op, const ss_density_options *options, ss_density_result **result)
{
    ss_context *context = op->backend->context;
    ss_status   status = SS_OK;
    double      start = ss_seconds();
    run         q = { .op = op, .context = context, .o = options };
    *result = NULL;
    SS_TRY(check_options(context, options));
    SS_TRY(SS_NEW(context, &q.r));
    q.r->context = context;
    q.r->n = op->n_global;
    q.r->eta = options->eta;
    q.r->lowest = q.r->highest = q.r->mean = q.r->width = q.r->shift = NAN; /* until the end */
    q.steps = ss_min64(options->steps, op->n_global);
    q.delta = options->delta > 0.0 ? options->delta : 64.0 * ss_real_unit_roundoff(op->real);
    SS_TRY(allocate(&q));
    for (int64_t first = 0; first < options->probes && !q.stopped && !q.interrupted; first += q.r->lanes)
        SS_TRY(run_block(&q, first, (int)ss_min64(q.r->lanes, options->probes - first)));
    SS_TRY(close_probes(&q));
    SS_TRY(ss_density_evaluate(q.r, options, q.delta));
    q.r->reason = q.interrupted ? SS_EIGEN_INTERRUPTED : q.stopped ? SS_EIGEN_MONITOR : SS_EIGEN_CONVERGED;
    q.r->seconds_total = ss_seconds() - start;
    *result = q.r;
    status = q.interrupted ? SS_ERROR_INTERRUPTED : SS_OK;
fail:
    if (q.r != NULL) release(&q);
    if (*result == NULL) ss_density_result_destroy(q.r);
    return status;
}
