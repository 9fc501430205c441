/* The small dense side of a search: Ritz pairs of the Rayleigh matrix, when they count as converged, what the
 * bounds say, what a restart keeps, and whether the search is done (reference 1.2, 1.4; VERDICT.md 3). */
#include "spectrum/eigen.h"

#include "comm/comm.h"

#include <math.h>
#include <string.h>

bool ss_ritz_due(const ss_eigen_state *s, int64_t j)
{
    return j <= 48 || j == s->m || j == s->result->n_live || j % (j / 16) == 0;
}

ss_status ss_ritz_reserve(ss_eigen_state *s, int64_t order)
{
    ss_status        status = SS_OK;
    ss_eigen_result *r = s->result;
    if (order <= s->capacity) return SS_OK;
    int64_t capacity = ss_max64(order, 2 * s->capacity), square = 0;
    if (!ss_mul64(capacity, capacity, &square))
        SS_FAIL(s->context, SS_ERROR_MEMORY, "a Rayleigh matrix of order %lld is too large",
                (long long)capacity);
    SS_TRY(ss_reallocate(s->context, square, sizeof(double), (void **)&s->small));
    SS_TRY(ss_reallocate(s->context, capacity, sizeof(double), (void **)&s->values));
    SS_TRY(ss_reallocate(s->context, capacity, sizeof(double), (void **)&s->residuals));
    SS_TRY(ss_reallocate(s->context, capacity, sizeof *r->ritz, (void **)&r->ritz));
    s->capacity = capacity;
fail:
    return status;
}

ss_status ss_sequence_push(ss_eigen_state *s, double alpha, double beta)
{
    ss_status status = SS_OK;
    int64_t   k = s->i.sequence;
    if (k == s->sequence_capacity) {
        int64_t capacity = ss_max64(64, 2 * k);
        SS_TRY(ss_reallocate(s->context, capacity, sizeof(double), (void **)&s->alpha));
        SS_TRY(ss_reallocate(s->context, capacity, sizeof(double), (void **)&s->beta));
        s->sequence_capacity = capacity;
    }
    s->alpha[k] = alpha;
    s->beta[k] = beta;
    s->i.sequence = k + 1;
fail:
    return status;
}

/* ---- Pairs ----------------------------------------------------------------------------------------------
 */

/* Eigenvalues into values, eigenvectors by rows into small, beta |last component| into residuals. */
static ss_status diagonalise(ss_eigen_state *s, int64_t order, double beta)
{
    ss_status status = SS_OK;
    double   *a = s->small;
    for (int64_t i = 0; i < order; i++) {
        double *row = a + i * order;
        if (s->h != NULL) {
            memcpy(row, s->h + i * s->m, (size_t)order * sizeof *row);
        } else {
            memset(row, 0, (size_t)order * sizeof *row);
            row[i] = s->alpha[i];
            if (i > 0) row[i - 1] = s->beta[i - 1];
            if (i + 1 < order) row[i + 1] = s->beta[i];
        }
    }
    if (s->h != NULL) memcpy(s->result->rayleigh, a, (size_t)(order * order) * sizeof *a);
    SS_TRY(ss_small_eigen(s->context, order, a, true, s->values));
    SS_TRY(ss_comm_broadcast(s->op->comm, a, order * order * (int64_t)sizeof *a, 0));
    SS_TRY(ss_comm_broadcast(s->op->comm, s->values, order * (int64_t)sizeof *s->values, 0));
    for (int64_t i = 0; i < order; i++) s->residuals[i] = fabs(beta * a[i * order + order - 1]);
fail:
    return status;
}

/* Number of Ritz values that an end is asked for: the fixed number, or all beyond the threshold. */
static int64_t wanted(const ss_eigen_state *s, bool low)
{
    const ss_eigen_result *r = s->result;
    int64_t                count = low ? s->o.low : s->o.high, beyond = 0;
    double                 threshold = low ? s->o.below : s->o.above;
    for (int64_t i = 0; i < r->size && threshold > 0.0; i++)
        if (low ? r->ritz[i].value < -threshold : r->ritz[i].value > threshold) beyond++;
    return ss_max64(count, beyond);
}

static void fill_pairs(ss_eigen_state *s)
{
    ss_eigen_result *r = s->result;
    int64_t          high = wanted(s, false);
    for (int64_t i = 0; i < r->size; i++) {
        ss_ritz *p = &r->ritz[i];
        double   rtol = i >= r->size - high && i >= wanted(s, true) ? s->o.rtol_high : s->o.rtol_low;
        double   scale = fmax(fabs(p->value), s->o.resolution * r->lambda_abs);
        double   limit = fmax(rtol * scale, r->floor);
        bool     still = 2 * i < r->size ? s->i.still_low >= 2 : s->i.still_high >= 2;
        p->residual = hypot(s->residuals[i], r->floor);
        p->true_residual = -1.0;
        p->quotient = p->value;
        p->converged = s->residuals[i] <= limit;
        /* A value may pause before it falls further: one that has stopped must nearly have converged too. */
        p->stagnated = !p->converged && still && s->residuals[i] <= 10.0 * limit;
    }
}

/* Are the pairs of one end there, and, where all beyond a threshold are asked for, is the first one inside
 * clearly inside? */
static bool reached(const ss_eigen_state *s, bool low)
{
    const ss_eigen_result *r = s->result;
    int64_t                count = wanted(s, low);
    double                 threshold = low ? s->o.below : s->o.above;
    if (count > r->size) return false;
    for (int64_t i = 0; i < count; i++) {
        const ss_ritz *p = &r->ritz[low ? i : r->size - 1 - i];
        if (!p->converged && !p->stagnated) return false;
    }
    if (threshold > 0.0 && s->i.complete == 0) {
        if (count >= r->size) return false;
        const ss_ritz *next = &r->ritz[low ? count : r->size - 1 - count];
        double         inside = (low ? next->value : -next->value) + threshold;
        return next->converged || inside >= next->residual;
    }
    return true;
}

/* Has the last wanted value of an end stopped moving? (reference 1.4, rule 2) */
static void remember(ss_eigen_state *s)
{
    const ss_eigen_result *r = s->result;
    for (int64_t i = SS_EIGEN_HISTORY - 1; i > 0; i--) {
        s->r.history[i][0] = s->r.history[i - 1][0];
        s->r.history[i][1] = s->r.history[i - 1][1];
    }
    int64_t low = ss_max64(wanted(s, true), 1), high = ss_max64(wanted(s, false), 1);
    double *now = s->r.history[0], *then = s->r.history[SS_EIGEN_HISTORY - 1];
    now[0] = low <= r->size ? r->ritz[low - 1].value : NAN;
    now[1] = high <= r->size ? r->ritz[r->size - high].value : NAN;
    s->i.still_low = fabs(now[0] - then[0]) < 0.1 * s->o.rtol_low * fabs(now[0]) ? s->i.still_low + 1 : 0;
    s->i.still_high = fabs(now[1] - then[1]) < 0.1 * s->o.rtol_high * fabs(now[1]) ? s->i.still_high + 1 : 0;
    s->i.checks++;
}

/* A Krylov space holds one copy of each eigenvalue. When it is exhausted, a fresh random vector brings the
 * next copies; where several pairs are wanted they are all there once two breakdowns in a row show the same
 * values.
 */
static void settle(ss_eigen_state *s)
{
    const ss_eigen_result *r = s->result;
    int64_t                low = wanted(s, true), high = wanted(s, false);
    if (s->h == NULL || s->r.beta > 0.0 || low > r->size || high > r->size) return;
    double now_low = low > 0 ? r->ritz[low - 1].value : 0.0;
    double now_high = high > 0 ? r->ritz[r->size - high].value : 0.0;
    double limit_low = fmax(s->o.rtol_low * fabs(now_low), r->floor);
    double limit_high = fmax(s->o.rtol_high * fabs(now_high), r->floor);
    s->i.settled = low == s->i.seen_low && high == s->i.seen_high &&
                   fabs(now_low - s->r.settled_low) <= limit_low &&
                   fabs(now_high - s->r.settled_high) <= limit_high;
    s->i.seen_low = low;
    s->i.seen_high = high;
    s->r.settled_low = now_low;
    s->r.settled_high = now_high;
}

ss_status ss_ritz_update(ss_eigen_state *s, bool check)
{
    ss_eigen_result *r = s->result;
    double           start = ss_seconds();
    bool             three = s->h == NULL;
    int64_t          order = three ? s->i.sequence : s->i.columns;
    ss_status        status = ss_ritz_reserve(s, order);
    if (status != SS_OK) return status;
    double beta = !three ? s->r.beta : s->i.closed ? 0.0 : s->beta[order - 1];
    status = diagonalise(s, order, beta);
    if (status != SS_OK) return status;

    r->size = order;
    r->ritz_vectors = three ? NULL : s->small;
    for (int64_t i = 0; i < order; i++) r->ritz[i].value = s->values[i];
    s->r.theta_min = fmin(s->r.theta_min, s->values[0]);
    s->r.theta_max = fmax(s->r.theta_max, s->values[order - 1]);
    ss_ritz_bounds(s);
    if (check) {
        remember(s);
        settle(s);
    }
    fill_pairs(s);
    r->low_reached = reached(s, true);
    r->high_reached = reached(s, false);
    s->r.seconds_small += ss_seconds() - start;
    return SS_OK;
}

ss_status ss_ritz_restore(ss_eigen_state *s)
{
    double    low = s->r.theta_min, high = s->r.theta_max;
    ss_status status = SS_OK;
    if (s->i.fresh)
        ss_restarted_show(s);
    else if (s->m == 0 || ss_ritz_due(s, s->i.columns))
        status = ss_ritz_update(s, false);
    /* Only checks may move these: otherwise a resumed search could differ from one that went through. */
    s->r.theta_min = low;
    s->r.theta_max = high;
    if (status == SS_OK) ss_ritz_bounds(s);
    return status;
}

/* ---- Bounds and decisions -------------------------------------------------------------------------------
 */
void ss_ritz_bounds(ss_eigen_state *s)
{
    ss_eigen_result *r = s->result;
    bool             random = s->o.start == NULL;
    r->theta_min = s->r.theta_min;
    r->theta_max = s->r.theta_max;
    r->lambda_abs = fmax(s->o.lambda_floor, fmax(fabs(r->theta_min), fabs(r->theta_max)));
    r->error = s->o.delta * r->lambda_abs;
    r->tau = s->o.tau > 0.0 ? s->o.tau : 3.0 * r->error;
    r->eps = fmax(r->tau, s->o.resolution * r->lambda_abs);
    r->floor = 2.0 * sqrt((double)s->i.restarts + 1.0) * r->error;
    r->first = (ss_tridiagonal){
        .k = s->i.sequence, .alpha = s->alpha, .beta = s->beta, .invariant = s->i.closed != 0 && random
    };
    r->first_cycle = s->i.first_cycle;
    r->complete = s->i.complete != 0;
    if (r->complete) {
        r->lower = r->theta_min - r->error;
        r->upper = r->theta_max + r->error;
    } else if (random) {
        r->lower = ss_bounds_root(&r->first, 1.0, r->theta_min, r->gamma) - r->error;
        r->upper = -ss_bounds_root(&r->first, -1.0, -r->theta_max, r->gamma) + r->error;
    } else {
        r->lower = -INFINITY;
        r->upper = INFINITY;
    }
    r->certified_low = r->lower >= -r->eps && !(r->theta_min < -r->tau);
    r->certified_high = r->upper <= r->eps && !(r->theta_max > r->tau);
}

bool ss_ritz_undecided(const ss_eigen_state *s)
{
    const ss_eigen_result *r = s->result;
    if (s->i.closed) return false;
    bool low = s->o.certify_low && !r->certified_low && r->theta_min >= -r->tau &&
               r->theta_min - r->error >= -r->eps;
    bool high = s->o.certify_high && !r->certified_high && r->theta_max <= r->tau &&
                r->theta_max + r->error <= r->eps;
    return low || high;
}

bool ss_ritz_signal(const ss_eigen_state *s)
{
    const ss_eigen_result *r = s->result;
    return (s->o.certify_low && ss_bounds_extreme(&r->first, 1.0) < -r->tau) ||
           (s->o.certify_high && ss_bounds_extreme(&r->first, -1.0) < -r->tau);
}

bool ss_ritz_done(const ss_eigen_state *s)
{
    const ss_eigen_result  *r = s->result;
    const ss_eigen_options *o = &s->o;
    if (o->low == 0 && o->high == 0 && o->below <= 0.0 && o->above <= 0.0 && !o->certify_low &&
        !o->certify_high)
        return false;
    /* Once nothing can lie below -eps, the exact place of a lowest value within eps of zero (typically the
     * edge of a dense bulk) is worth no products. */
    bool low =
        r->low_reached || (r->certified_low && o->low <= 1 && o->below <= 0.0 && r->theta_min <= r->eps);
    bool high =
        r->high_reached || (r->certified_high && o->high <= 1 && o->above <= 0.0 && r->theta_max >= -r->eps);
    bool several = o->low > 1 || o->high > 1 || o->below > 0.0 || o->above > 0.0;
    bool settled = s->i.breakdowns == 0 || !several || (s->i.settled && s->r.beta <= 0.0);
    return low && high && settled && !ss_ritz_undecided(s);
}

/* ---- What a restart keeps -------------------------------------------------------------------------------
 */

/* (m - l - r) sqrt(smallest gap / spread of the rest): what the next cycle gains (a-TRLan, Yamazaki et al.,
 * ACM TOMS 37(3), 2010); worth choosing by for small bases only. */
static double keep_gain(const ss_eigen_result *r, int64_t low, int64_t high, int64_t l, int64_t h)
{
    int64_t m = r->size;
    double  spread = r->ritz[m - 1 - h].value - r->ritz[l].value, gap = spread;
    if (low > 0) gap = fmin(gap, r->ritz[l].value - r->ritz[low - 1].value);
    if (high > 0) gap = fmin(gap, r->ritz[m - high].value - r->ritz[m - 1 - h].value);
    if (!(spread > 0.0) || !(gap > 0.0)) return 0.0;
    return (double)(m - l - h) * sqrt(gap / spread);
}

void ss_ritz_keep(const ss_eigen_state *s, int64_t *low, int64_t *high)
{
    const ss_eigen_result *r = s->result;
    int64_t                m = r->size, want_low = wanted(s, true), want_high = wanted(s, false);
    int64_t                most = ss_max64(1, ss_min64(m - 2, (3 * m + 3) / 4));
    /* Three quarters of the basis: the wanted low ones and two more, the rest at the high end, where it
     * deflates the outliers and so speeds up the low end. */
    *low = ss_min64(want_low + 2, most - 1);
    *high = most - *low;
    if (*high < want_high + 1) *low = ss_max64(0, most - want_high - 1);
    if (*low < want_low + 1) *low = ss_min64(want_low + 1, most);
    *high = ss_max64(0, most - *low);
    if (m >= SS_EIGEN_SMALLEST_BASIS) return;

    double best = -1.0;
    for (int64_t l = want_low; l <= m - 3; l++)
        for (int64_t h = want_high; l + h <= m - 3; h++) {
            double gain = keep_gain(r, want_low, want_high, l, h);
            if (l + h > 0 && gain > best) {
                best = gain;
                *low = l;
                *high = h;
            }
        }
}
