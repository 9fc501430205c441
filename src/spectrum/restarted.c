/* Thick-restart Lanczos steps on a basis (reference 1.2): w = H v_j, orthogonalised twice against all of V;
 * the coefficients are the upper triangle of V'HV. After a breakdown a fresh random vector goes on; it never
 * continues alpha, beta. */
#include "spectrum/eigen.h"

#include "base/philox.h"

#include <math.h>
#include <string.h>

/* Column j := random unit vector orthogonal to the columns before; completes the space if there is none. */
static ss_status fresh_column(ss_eigen_state *s, int64_t j)
{
    ss_status status = SS_OK;
    void     *w = NULL;
    double    norm = 0.0;
    uint64_t  stream = (uint64_t)SS_STREAM_BREAKDOWN | (uint64_t)s->i.breakdowns << 32;
    SS_TRY(ss_basis_open(s->basis, j, &w));
    SS_TRY(ss_vector_random(s->op, s->o.seed, stream, s->o.live, s->scratch[2], w));
    SS_TRY(ss_basis_orthogonalise(s->basis, j, w, s->column, s->column + s->m + 1, &norm));
    s->i.breakdowns++;
    if (norm <= 1e-6 * sqrt((double)s->result->n_live))
        s->i.complete = 1;
    else
        SS_TRY(ss_vector_axpby(s->op, 0.0, NULL, 1.0 / norm, w));
    SS_TRY(ss_basis_close(s->basis, j));
fail:
    return status;
}

ss_status ss_restarted_step(ss_eigen_state *s)
{
    ss_status   status = SS_OK;
    int64_t     j = s->i.columns;
    const void *v = NULL;
    void       *w = NULL;
    double     *h = s->column, beta = 0.0, product_norm = 0.0;
    SS_TRY(ss_basis_read(s->basis, j, &v));
    SS_TRY(ss_basis_open(s->basis, j + 1, &w));
    SS_TRY(ss_eigen_apply(s, v, w, &product_norm));

    double start = ss_seconds();
    SS_TRY(ss_basis_orthogonalise(s->basis, j + 1, w, h, h + s->m + 1, &beta));
    bool broken = beta <= ss_eigen_breakdown_limit(s, product_norm);
    for (int64_t i = 0; i <= j; i++) s->h[i * s->m + j] = s->h[j * s->m + i] = h[i];
    double alpha = h[j];
    s->i.columns = j + 1;
    s->i.fresh = 0;
    if (!broken) SS_TRY(ss_vector_axpby(s->op, 0.0, NULL, 1.0 / beta, w));
    SS_TRY(ss_basis_close(s->basis, j + 1));
    s->r.beta = broken ? 0.0 : beta;

    if (s->i.phase == SS_PHASE_FIRST && !s->i.closed) {
        SS_TRY(ss_sequence_push(s, alpha, beta));
        s->i.first_cycle = s->i.sequence;
        if (broken) s->i.closed = 1;
    }
    if (broken && s->i.invariant == 0) s->i.invariant = j + 1;
    if (j + 1 == s->result->n_live)
        s->i.complete = 1;
    else if (broken)
        SS_TRY(fresh_column(s, j + 1));
    s->r.seconds_orthogonalisation += ss_seconds() - start;
fail:
    return status;
}

void ss_restarted_show(ss_eigen_state *s)
{
    ss_eigen_result *r = s->result;
    int64_t          k = s->i.columns;
    memset(s->small, 0, (size_t)(k * k) * sizeof *s->small);
    memset(r->rayleigh, 0, (size_t)(k * k) * sizeof *r->rayleigh);
    for (int64_t i = 0; i < k; i++) {
        s->small[i * k + i] = 1.0;
        r->rayleigh[i * k + i] = r->ritz[i].value = s->h[i * s->m + i];
    }
    r->size = k;
    r->ritz_vectors = s->small;
}

ss_status ss_restarted_restart(ss_eigen_state *s)
{
    ss_status        status = SS_OK;
    ss_eigen_result *r = s->result;
    double           start = ss_seconds(), *rotation = NULL;
    int64_t          m = s->i.columns, low = 0, high = 0;
    ss_ritz_keep(s, &low, &high);
    int64_t k = low + high;

    SS_TRY(SS_NEW_ARRAY(s->context, m * k, &rotation));
    for (int64_t c = 0; c < k; c++) {
        const double *vector = s->small + (c < low ? c : m - k + c) * m;
        for (int64_t i = 0; i < m; i++) rotation[i * k + c] = vector[i];
    }
    SS_TRY(ss_basis_combine(s->basis, m, k, rotation));
    SS_TRY(ss_basis_copy(s->basis, k, m));
    for (int64_t i = low; i < k; i++) r->ritz[i] = r->ritz[m - k + i];
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < k; j++) s->h[i * s->m + j] = i == j ? r->ritz[i].value : 0.0;
    s->i.columns = k;
    ss_restarted_show(s);
    s->i.restarts++;
    s->i.fresh = 1;
    s->i.phase = SS_PHASE_RESTARTED;
    s->r.seconds_restart += ss_seconds() - start;
fail:
    ss_free(s->context, rotation);
    return status;
}
