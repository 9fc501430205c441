/* A point on the move; see move.h. */
#include "verdict/move.h"

#include "base/base.h"
#include "network/graph.h"

#include <math.h>

static const double price_gradient = 1.0 / 2.0;

/* Loss and gradient at theta + x. */
static ss_status evaluate(ss_move *m, const ss_vectors *x, const ss_vectors *g, ss_loss_value *value,
                          double *norm)
{
    ss_status status = SS_OK;
    ss_point  point = { 1.0, x->data };
    SS_TRY(ss_objective_gradient(m->objective, SS_FLOAT64, NULL, &point, g->data, value));
    SS_TRY(ss_vectors_norm(g, norm));
    if (!isfinite(value->loss) || !isfinite(*norm)) value->loss = *norm = (double)INFINITY;
    m->cost.products += price_gradient;
    m->cost.gradients++;
    m->cost.seconds = ss_seconds() - m->began;
    if (ss_context_interrupted(m->context)) {
        SS_FAIL(m->context, SS_ERROR_INTERRUPTED, "stopped by a signal after %lld gradients",
                (long long)m->cost.gradients);
    }
fail:
    return status;
}

ss_status ss_move_begin(ss_move *m, ss_context *context, ss_objective *objective, double products,
                        double time_limit)
{
    ss_status          status = SS_OK;
    ss_objective_facts facts;
    *m = (ss_move){ .context = context,
                    .objective = objective,
                    .layout = ss_objective_layout(objective),
                    .backend = ss_objective_backend(objective, SS_FLOAT64),
                    .began = ss_seconds(),
                    .time_limit = time_limit };
    m->cost.budget = products > 0.0 ? products : (double)INFINITY;
    SS_TRY(ss_objective_facts_get(objective, &facts));
    m->theta_norm = facts.theta_norm;
    ss_vectors *each[] = { &m->x, &m->g, &m->x_trial, &m->g_trial };
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        SS_TRY(ss_vectors_create(m->backend, m->layout, 1, each[i]));
    }
    SS_TRY(evaluate(m, &m->x, &m->g, &m->value, &m->norm));
    if (!isfinite(m->norm)) {
        SS_FAIL(context, SS_ERROR_NUMERIC, "the loss or its gradient is not finite at the start");
    }
fail:
    return status;
}

void ss_move_release(ss_move *m)
{
    ss_vectors *each[] = { &m->x, &m->g, &m->x_trial, &m->g_trial };
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) ss_vectors_release(each[i]);
}

ss_status ss_move_place(ss_move *m, const double *packed)
{
    ss_status status = SS_OK;
    double   *padded = NULL;
    SS_TRY(SS_NEW_ARRAY(m->context, m->layout->padded, &padded));
    ss_layout_unpack(m->layout, SS_FLOAT64, packed, padded);
    SS_TRY(ss_vectors_set(&m->x, padded));
    SS_TRY(evaluate(m, &m->x, &m->g, &m->value, &m->norm));
fail:
    ss_free(m->context, padded);
    return status;
}

ss_status ss_move_try(ss_move *m, double t, const ss_vectors *p)
{
    ss_status status = SS_OK;
    SS_TRY(ss_vectors_copy(&m->x, 0, &m->x_trial, 0));
    SS_TRY(ss_vectors_add(t, p, 1.0, &m->x_trial));
    SS_TRY(evaluate(m, &m->x_trial, &m->g_trial, &m->trial, &m->norm_trial));
fail:
    return status;
}

ss_status ss_move_accept(ss_move *m)
{
    ss_status status = SS_OK;
    SS_TRY(ss_vectors_copy(&m->x_trial, 0, &m->x, 0));
    SS_TRY(ss_vectors_copy(&m->g_trial, 0, &m->g, 0));
    m->value = m->trial;
    m->norm = m->norm_trial;
fail:
    return status;
}

ss_status ss_move_open(ss_move *m, ss_operator *op)
{
    ss_point point = { 1.0, m->x.data };
    return ss_objective_operator(m->objective, SS_PRODUCT_HESSIAN, SS_FLOAT64, NULL, &point, op);
}

ss_status ss_move_product(ss_move *m, ss_operator *op, const ss_vectors *p, const ss_vectors *hp)
{
    ss_status status = ss_operator_apply(op, 1, p->data, p->padded, hp->data, hp->padded);
    m->cost.products += 1.0;
    m->cost.hessian++;
    m->cost.seconds = ss_seconds() - m->began;
    return status;
}

ss_status ss_move_weights(ss_move *m, double *packed)
{
    ss_status status = SS_OK;
    double   *x = NULL;
    SS_TRY(SS_NEW_ARRAY(m->context, m->layout->padded, &x));
    SS_TRY(ss_vectors_get(&m->x, x));
    ss_objective_get_weights(m->objective, packed);
    for (int64_t i = 0; i < m->layout->n_segments; i++) {
        const ss_segment *s = &m->layout->segments[i];
        for (int64_t j = 0; j < s->length; j++) packed[s->canonical + j] += x[s->offset + j];
    }
fail:
    ss_free(m->context, x);
    return status;
}

bool ss_move_spent(ss_move *m)
{
    m->cost.seconds = ss_seconds() - m->began;
    if (m->cost.products >= m->cost.budget) m->cost.out_of_products = true;
    if (m->time_limit > 0.0 && m->cost.seconds > m->time_limit) m->cost.out_of_time = true;
    return m->cost.out_of_products || m->cost.out_of_time;
}
