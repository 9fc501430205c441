/* The way out of a saddle: along which direction, and how far; see escape.h.
 *
 * The first direction is the verdict's witness. Further ones are the next lowest eigenvectors, made
 * orthogonal to those before and kept when their float64 quotient is negative beyond tau. On a quadratic no
 * combination gains more per length than the lowest one, but each direction has its own length up to which
 * the loss follows it: where several gain, their steps are also taken together. */
#include "verdict/escape.h"

#include "base/base.h"
#include "network/graph.h"
#include "saddlescope/spectrum.h"
#include "verdict/model.h"

#include <math.h>

#define SHRINKS   12  /* quarterings where not even r_valid / 2 holds its promise */
#define DOUBLES   32  /* of a step or a radius, at most */
#define LEFT_OVER 0.3 /* what must remain of an eigenvector beside the directions before it */

/* One direction with its line. */
typedef struct line {
    ss_vectors          v; /* unit length, float64 */
    ss_escape_direction d;
    double              first; /* the search begins there */
} line;

typedef struct ways {
    ss_move                  *m;
    const ss_verdict         *at;
    const ss_escape_options  *o;
    const ss_analyze_options *analyze;
    ss_escape_result         *r;  /* NULL = nothing is kept */
    ss_operator               op; /* Hessian in float64 at m's point, opened when needed */
    bool                      open;
    line                     *lines; /* [count] of SS_ESCAPE_VECTORS + 1 */
    int64_t                   count;
} ways;

ss_status ss_escape_unpack(ss_move *m, const double *packed, ss_vectors *v)
{
    ss_status status = SS_OK;
    double   *padded = NULL;
    SS_TRY(SS_NEW_ARRAY(m->context, m->layout->padded, &padded));
    SS_TRY(ss_vectors_create(m->backend, m->layout, 1, v));
    ss_layout_unpack(m->layout, SS_FLOAT64, packed, padded);
    SS_TRY(ss_vectors_set(v, padded));
fail:
    ss_free(m->context, padded);
    return status;
}

/* ---- One line -------------------------------------------------------------------------------------------
 */

/* L(theta + t v) - L and its rounding. */
static ss_status change_at(ways *w, const line *l, double t, double *change, double *rounding)
{
    ss_status     status = SS_OK;
    ss_loss_value value = { 0 };
    ss_point      point = { t, l->v.data };
    SS_TRY(ss_objective_loss(w->m->objective, SS_FLOAT64, NULL, &point, &value, NULL));
    w->m->cost.losses++;
    w->m->cost.products += 1.0 / 6.0;
    *change = isfinite(value.loss) ? value.loss - w->at->stationarity.loss : (double)INFINITY;
    *rounding = fmax(value.rounding, w->at->stationarity.loss_rounding);
    if (ss_context_interrupted(w->m->context)) status = SS_ERROR_INTERRUPTED;
fail:
    return status;
}

/* One row: the loss at theta + sign t v. */
static ss_status try_step(ways *w, const line *l, int sign, double t, ss_escape_row *row)
{
    ss_status status = SS_OK;
    double    change = 0.0, rounding = 0.0;
    SS_TRY(change_at(w, l, sign * t, &change, &rounding));
    *row = (ss_escape_row){ .vector = l->d.vector, .sign = sign, .step = t, .real = -change };
    row->predicted = -(sign * t * l->d.slope + 0.5 * t * t * l->d.quotient);
    row->enough = row->predicted > 0.0 && row->real >= 0.5 * row->predicted && row->real > 10.0 * rounding;
fail:
    return status;
}

/* Doubling along one sign from `first`; the best row so far is kept in *best. */
static ss_status search(ways *w, const line *l, int sign, double first, ss_escape_row *best)
{
    ss_status     status = SS_OK;
    ss_escape_row row;
    double        t = first;
    for (int tries = 0; tries < DOUBLES; tries++, t *= 2.0) {
        SS_TRY(try_step(w, l, sign, t, &row));
        if (w->r != NULL && w->r->n_rows < SS_ESCAPE_ROWS) w->r->row[w->r->n_rows++] = row;
        if (!row.enough) break;
        if (row.real > best->real) *best = row;
    }
fail:
    return status;
}

/* The best step along both signs, with the search begun at r_valid / 2; sign 0: there is none. */
static ss_status leave(ways *w, line *l, ss_escape_row *best)
{
    ss_status status = SS_OK;
    double    first = l->first;
    *best = (ss_escape_row){ .vector = l->d.vector, .sign = 0 };
    l->d.least_step = first;
    for (int i = 0; i < SHRINKS && best->sign == 0; i++, first *= 0.25) {
        SS_TRY(search(w, l, 1, first, best));
        SS_TRY(search(w, l, -1, first, best));
    }
    l->d.sign = best->sign;
    l->d.step = best->step;
    l->d.predicted = best->predicted;
    l->d.real = best->real;
fail:
    return status;
}

/* ---- Further directions ---------------------------------------------------------------------------------
 */

static ss_status holds_at(ways *w, const line *l, double t, bool *holds)
{
    ss_status status = SS_OK;
    *holds = true;
    for (int sign = -1; sign <= 1 && *holds; sign += 2) {
        double change = 0.0, rounding = 0.0;
        SS_TRY(change_at(w, l, sign * t, &change, &rounding));
        *holds = ss_model_holds(change, sign * t * l->d.slope, 0.5 * t * t * l->d.quotient, rounding);
    }
fail:
    return status;
}

/* r_valid of VERDICT 4, doubled or halved from `t` on. */
static ss_status find_radius(ways *w, line *l, double t)
{
    ss_status status = SS_OK;
    double    longest = fmax(w->m->theta_norm, 1.0);
    bool      holds = false;
    SS_TRY(holds_at(w, l, t, &holds));
    bool grow = holds;
    for (int i = 0; i < DOUBLES && grow == holds && (!grow || 2.0 * t <= longest); i++) {
        if (holds) l->d.valid_radius = t;
        t *= grow ? 2.0 : 0.5;
        SS_TRY(holds_at(w, l, t, &holds));
    }
    if (holds) l->d.valid_radius = t;
fail:
    return status;
}

/* v := v / ||v||, slope, quotient, r_valid. */
static ss_status measure(ways *w, line *l, int vector)
{
    ss_status  status = SS_OK;
    ss_move   *m = w->m;
    ss_vectors product = { 0 };
    double     norm = 0.0, near = w->at->witness.valid_radius;
    SS_TRY(ss_vectors_norm(&l->v, &norm));
    SS_TRY(ss_vectors_scale(1.0 / norm, &l->v));
    SS_TRY(ss_vectors_create(m->backend, m->layout, 1, &product));
    if (!w->open) SS_TRY(ss_move_open(m, &w->op));
    w->open = true;
    SS_TRY(ss_move_product(m, &w->op, &l->v, &product));
    l->d = (ss_escape_direction){ .vector = vector };
    SS_TRY(ss_vectors_dot(&l->v, &product, &l->d.quotient));
    SS_TRY(ss_vectors_dot(&l->v, &m->g, &l->d.slope));
    SS_TRY(find_radius(w, l, near > 0.0 ? near : 1e-3));
    l->first = l->d.valid_radius > 0.0 ? 0.5 * l->d.valid_radius : 1e-3;
fail:
    ss_vectors_release(&product);
    return status;
}

/* v := v minus what lies in the directions so far. */
static ss_status orthogonalise(const ways *w, ss_vectors *v, double *left)
{
    ss_status status = SS_OK;
    double    dot = 0.0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < w->count; i++) {
            SS_TRY(ss_vectors_dot(&w->lines[i].v, v, &dot));
            SS_TRY(ss_vectors_add(-dot, &w->lines[i].v, 1.0, v));
        }
    SS_TRY(ss_vectors_norm(v, left));
fail:
    return status;
}

static ss_status add_eigenvector(ways *w, ss_eigen_result *found, int64_t index, ss_vectors *scratch)
{
    ss_status status = SS_OK;
    line     *l = &w->lines[w->count];
    double    left = 0.0;
    if (l->v.data == NULL) SS_TRY(ss_vectors_create(w->m->backend, w->m->layout, 1, &l->v));
    SS_TRY(ss_eigen_vector(found, index, scratch->data));
    SS_TRY(ss_vectors_copy(scratch, 0, &l->v, 0));
    SS_TRY(orthogonalise(w, &l->v, &left));
    if (left < LEFT_OVER) return SS_OK;
    SS_TRY(measure(w, l, (int)w->count + 1));
    if (l->d.quotient < -w->at->operator_error.tau) w->count++;
fail:
    return status;
}

/* The next lowest eigenvectors, as long as they are negative. */
static ss_status add_eigenvectors(ways *w)
{
    ss_status        status = SS_OK;
    ss_objective    *objective = w->m->objective;
    ss_operator      op = { 0 };
    ss_eigen_options options;
    ss_eigen_result *found = NULL;
    ss_vectors       scratch = { 0 };
    int64_t          wanted = ss_min64(w->o->vectors, w->m->layout->n);
    ss_eigen_options_pairs(&options, wanted, 0);
    options.rtol_low = 1e-2; /* each quotient is computed anew */
    options.true_residuals = false;
    options.method = SS_EIGEN_BASIS;
    options.max_products = w->analyze->max_products;
    options.memory = w->analyze->memory;
    options.seed = w->analyze->seed;
    SS_TRY(ss_objective_operator(objective, SS_PRODUCT_HESSIAN, ss_objective_precision(objective), NULL, NULL,
                                 &op));
    SS_TRY(ss_vectors_create(op.backend, op.layout, 1, &scratch));
    SS_TRY(ss_eigen_solve(&op, &options, &found));
    w->m->cost.hessian += found->products;
    w->m->cost.products += (double)found->products;
    for (int64_t i = 0; i < found->size && w->count < wanted; i++) {
        if (found->ritz[i].value >= -w->at->operator_error.tau) break;
        SS_TRY(add_eigenvector(w, found, i, &scratch));
    }
fail:
    ss_eigen_result_destroy(found);
    ss_vectors_release(&scratch);
    ss_operator_destroy(&op);
    return status;
}

/* The sum of the steps that gained; no line where fewer than two did. */
static ss_status add_together(ways *w)
{
    ss_status status = SS_OK;
    line     *l = &w->lines[w->count];
    int64_t   gained = 0;
    if (l->v.data == NULL) SS_TRY(ss_vectors_create(w->m->backend, w->m->layout, 1, &l->v));
    SS_TRY(ss_vectors_zero(&l->v));
    for (int64_t i = 0; i < w->count; i++) {
        const line *part = &w->lines[i];
        if (part->d.sign == 0) continue;
        SS_TRY(ss_vectors_add(part->d.sign * part->d.step, &part->v, 1.0, &l->v));
        gained++;
    }
    if (gained < 2) return SS_OK;
    SS_TRY(measure(w, l, 0));
    w->count++;
fail:
    return status;
}

/* ---- All of them ----------------------------------------------------------------------------------------
 */

static ss_status add_witness(ways *w)
{
    const ss_verdict_witness *witness = &w->at->witness;
    line                     *l = &w->lines[0];
    ss_status                 status = ss_escape_unpack(w->m, witness->vector, &l->v);
    l->d = (ss_escape_direction){ .vector = 1,
                                  .quotient = witness->quotient,
                                  .slope = witness->slope,
                                  .valid_radius = witness->valid_radius };
    l->first = 0.5 * witness->valid_radius;
    if (!(l->first > 0.0)) l->first = witness->loss_witness ? witness->step : 1e-3;
    w->count = 1;
    return status;
}

/* Searches along the lines from `from` on. */
static ss_status leave_along(ways *w, int64_t from, ss_escape_row *best, int64_t *chosen)
{
    ss_status     status = SS_OK;
    ss_escape_row row;
    for (int64_t i = from; i < w->count; i++) {
        SS_TRY(leave(w, &w->lines[i], &row));
        if (row.sign == 0 || (best->sign != 0 && row.real <= best->real)) continue;
        *best = row;
        *chosen = i;
    }
fail:
    return status;
}

ss_status ss_escape_search(ss_move *m, const ss_verdict *at, const ss_escape_options *options,
                           const ss_analyze_options *analyze, ss_escape_result *r, ss_escape_row *best,
                           ss_vectors *v)
{
    ss_status status = SS_OK;
    ways      w = { .m = m, .at = at, .o = options, .analyze = analyze, .r = r };
    int64_t   chosen = 0, single = 0;
    *best = (ss_escape_row){ .vector = 1, .sign = 0 };
    SS_TRY(SS_NEW_ARRAY(m->context, SS_ESCAPE_VECTORS + 1, &w.lines));
    SS_TRY(add_witness(&w));
    if (options->vectors > 1) SS_TRY(add_eigenvectors(&w));
    SS_TRY(leave_along(&w, 0, best, &chosen));
    single = w.count;
    if (single > 1) SS_TRY(add_together(&w));
    SS_TRY(leave_along(&w, single, best, &chosen));
    if (r != NULL) {
        r->n_directions = w.count;
        for (int64_t i = 0; i < w.count; i++) r->direction[i] = w.lines[i].d;
        r->least_step = w.lines[chosen].d.least_step;
    }
    SS_TRY(ss_vectors_create(m->backend, m->layout, 1, v));
    SS_TRY(ss_vectors_copy(&w.lines[chosen].v, 0, v, 0));
fail:
    for (int64_t i = 0; w.lines != NULL && i <= SS_ESCAPE_VECTORS; i++) ss_vectors_release(&w.lines[i].v);
    ss_free(m->context, w.lines);
    if (w.open) ss_operator_destroy(&w.op);
    return status;
}
