/* The operator harness, second half: what a call should give, by differences and linearity, for all
 * combinations (op_harness.h). */
#include "support/op_harness_private.h"

#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- References by differences ---- */

static const request reference_call = { .how = { .lanes = 1 }, .reference = true };

/* y, or the row losses, and what forward saves, at the present operands. */
static void refresh_forward(harness *h)
{
    request r = reference_call;
    r.sweep = SS_FORWARD;
    r.want = SS_BIT(SS_PRIMAL, h->result_role);
    if (h->count[SS_SAVED] > 0) r.want |= SS_BIT(SS_PRIMAL, SS_SAVED);
    op_run(h, &r);
    memcpy(h->host[h->result_role], h->result[h->result_role],
           (size_t)h->count[h->result_role] * sizeof(double));
    memcpy(h->host[SS_SAVED], h->result[SS_SAVED], (size_t)h->count[SS_SAVED] * sizeof(double));
}

/* Adjoints of all variables at the present operands and y_a, unlaned, into h->result. */
static void refresh_backward(harness *h)
{
    request r = reference_call;
    refresh_forward(h);
    r.sweep = SS_BACKWARD;
    r.have = h->is_loss ? 0 : SS_BIT(SS_ADJOINT, SS_Y);
    for (int v = 0; v < h->n_variables; v++) r.want |= SS_BIT(SS_ADJOINT, h->variable[v]);
    op_run(h, &r);
}

static const double difference[4] = { 4.0 / 5.0, -1.0 / 5.0, 4.0 / 105.0, -1.0 / 280.0 };
static const double difference_step = 0.02;

static void find_jacobian(harness *h)
{
    int64_t m = h->count[h->result_role];
    for (int v = 0; v < h->n_variables; v++) {
        int     role = h->variable[v];
        double *x = h->host[role];
        h->jacobian[v] = op_new_array(h->count[role] * m);
        h->saved_slope[v] = op_new_array(h->count[role] * h->count[SS_SAVED]);
        for (int64_t i = 0; i < h->count[role]; i++) {
            double kept = x[i];
            for (int k = -4; k <= 4; k++) {
                if (k == 0) continue;
                double weight = (k < 0 ? -1.0 : 1.0) * difference[abs(k) - 1] / difference_step;
                x[i] = kept + k * difference_step;
                refresh_forward(h);
                for (int64_t j = 0; j < m; j++)
                    h->jacobian[v][i * m + j] += weight * h->result[h->result_role][j];
                for (int64_t j = 0; j < h->count[SS_SAVED]; j++)
                    h->saved_slope[v][i * h->count[SS_SAVED] + j] += weight * h->result[SS_SAVED][j];
            }
            x[i] = kept;
        }
    }
}

static void find_second(harness *h)
{
    for (int t = 0; t < h->n_variables; t++) {
        int     role = h->variable[t];
        int64_t n = h->count[role];
        double *x = h->host[role], *kept = op_new_array(n);
        memcpy(kept, x, (size_t)n * sizeof *x);
        for (int u = 0; u < h->n_variables; u++)
            h->second[t][u] = op_new_array(MOST_LANES * h->count[h->variable[u]]);
        for (int64_t lane = 0; lane < MOST_LANES; lane++) {
            const double *tangent = h->host[SS_OPERAND(SS_TANGENT, role)] + lane * n;
            double        step = difference_step / 4.0; /* tangents are a few units long */
            for (int k = -4; k <= 4; k++) {
                if (k == 0) continue;
                double weight = (k < 0 ? -1.0 : 1.0) * difference[abs(k) - 1] / step;
                for (int64_t i = 0; i < n; i++) x[i] = kept[i] + k * step * tangent[i];
                refresh_backward(h);
                for (int u = 0; u < h->n_variables; u++) {
                    int64_t       m = h->count[h->variable[u]];
                    const double *a = h->result[SS_OPERAND(SS_ADJOINT, h->variable[u])];
                    for (int64_t i = 0; i < m; i++) h->second[t][u][lane * m + i] += weight * a[i];
                }
            }
            memcpy(x, kept, (size_t)n * sizeof *x);
        }
        ss_free(ss_test_context, kept);
    }
}

/* ---- What a call should give ---- */

/* out[i] += sum_j J[i][j] y[j] */
static void add_transposed(const harness *h, int v, const double *y, double *out)
{
    int64_t m = h->count[h->result_role], n = h->count[h->variable[v]];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++) out[i] += h->jacobian[v][i * m + j] * (y != NULL ? y[j] : 1.0);
}

static void add_fisher(const harness *h, const double *x_t, double *out)
{
    int64_t       m = h->count[SS_ROW_LOSS], n = h->count[SS_X], classes = op_class_count(h);
    const double *J = h->jacobian[0], *weight = h->host[SS_ROW_WEIGHT];
    for (int64_t row = 0; row < m; row++) {
        double g_dot = 0.0, c = 0.0;
        if (weight[row] == 0.0) continue;
        for (int64_t i = 0; i < n; i++) g_dot += J[i * m + row] * x_t[i];
        for (int64_t j = 0; j < classes; j++) {
            double q = h->row->attributes.class_ids ? (j == (int64_t)h->host[SS_TARGET][row])
                                                    : h->host[SS_TARGET][row * classes + j];
            q = q * (1.0 - h->row->attributes.smoothing) + h->row->attributes.smoothing / (double)classes;
            c += q * (h->row->class_weights ? h->host[SS_CLASS_WEIGHT][j] : 1.0);
        }
        for (int64_t i = row * classes; i < (row + 1) * classes; i++) {
            double g = J[i * m + row];
            if (h->row->attributes.loss == SS_LOSS_CROSS_ENTROPY)
                out[i] += g * g_dot / (weight[row] * c);
            else
                out[i] += g * g * x_t[i] / weight[row];
        }
    }
}

/* Expected output `id` of a call, all lanes, without the base of an accumulated one. */
static void expect(const harness *h, const request *r, int id, double *out)
{
    int     role = role_of(id), own = 0;
    int64_t n = op_count(h, id), m = h->count[h->result_role], lanes = op_is_laned(r, id) ? r->how.lanes : 1;
    memset(out, 0, (size_t)(lanes * n) * sizeof *out);
    for (int v = 0; v < h->n_variables; v++)
        if (h->variable[v] == role) own = v;
    for (int64_t lane = 0; lane < lanes; lane++) {
        double *o = out + lane * n;
        if (r->sweep == SS_FORWARD) {
            memcpy(o, h->host[role], (size_t)n * sizeof *o);
        } else if (r->sweep == SS_BACKWARD) {
            const double *y_a = h->host[SS_OPERAND(SS_ADJOINT, SS_Y)] + lane * m;
            if (h->is_loss)
                add_transposed(h, own, NULL, o);
            else if (r->have & SS_BIT(SS_ADJOINT, SS_Y))
                add_transposed(h, own, y_a, o);
        } else if (r->sweep == SS_TANGENT_FORWARD) {
            for (int v = 0; v < h->n_variables; v++) {
                int           var = h->variable[v];
                const double *x_t = h->host[SS_OPERAND(SS_TANGENT, var)] + lane * h->count[var];
                const double *slope = role == SS_SAVED ? h->saved_slope[v] : h->jacobian[v];
                for (int64_t i = 0; i < h->count[var] && (r->have & SS_BIT(SS_TANGENT, var)); i++)
                    for (int64_t j = 0; j < n; j++) o[j] += slope[i * n + j] * x_t[i];
            }
        } else if (op_is_head(h) && r->sweep == SS_CURVATURE) {
            op_head_curvature(h, r->have, r->fisher, lane, role, 1.0, o);
        } else if (r->fisher) {
            if (r->have & SS_BIT(SS_TANGENT, SS_X))
                add_fisher(h, h->host[SS_OPERAND(SS_TANGENT, SS_X)] + lane * n, o);
        } else {
            if (!h->is_loss && (r->have & SS_BIT(SS_ADJOINT_TANGENT, SS_Y)))
                add_transposed(h, own, h->host[SS_OPERAND(SS_ADJOINT_TANGENT, SS_Y)] + lane * m, o);
            for (int t = 0; t < h->n_variables; t++)
                if ((r->have & SS_BIT(SS_TANGENT, h->variable[t])) &&
                    (h->is_loss || (r->have & SS_BIT(SS_ADJOINT, SS_Y))))
                    for (int64_t i = 0; i < n; i++) o[i] += h->second[t][own][lane * n + i];
            if (op_is_head(h) && h->row->attributes.residual)
                op_head_curvature(h, r->have, false, lane, role, -1.0, o);
        }
    }
}

static void compare(harness *h, const request *r)
{
    ss_real real = r->reference ? SS_FLOAT64 : h->backend->real;
    double  tolerance = real == SS_FLOAT64 ? 1e-9 : 5e-5;
    for (int id = 0; id < SS_OPERAND_COUNT; id++) {
        if (!(r->want >> id & 1)) continue;
        int     role = role_of(id);
        int64_t count = op_count(h, id) * (op_is_laned(r, id) ? r->how.lanes : 1);
        bool    based = r->accumulate && role != SS_SAVED && role != SS_ROW_LOSS;
        double *expected = op_new_array(count), scale = 1.0, worst = 0.0;
        expect(h, r, id, expected);
        for (int64_t i = 0; i < count; i++) {
            double e = expected[i] + (based ? h->base[id][i] : 0.0);
            double d = fabs(h->result[id][i] - e);
            scale = fmax(scale, fabs(e));
            worst = d <= worst ? worst : d; /* a NaN wins */
        }
        if (!(worst <= tolerance * scale))
            op_report(
                h,
                "%s %s sweep %d operand %d: off by %.3g (scale %.3g); have %llx want %llx lanes %lld gap %d "
                "accumulate %d fisher %d",
                h->backend->name, ss_real_name(real), (int)r->sweep, id, worst, scale,
                (unsigned long long)r->have, (unsigned long long)r->want, (long long)r->how.lanes, r->how.gap,
                r->accumulate, r->fisher);
        ss_free(ss_test_context, expected);
    }
}

/* ---- All combinations ---- */

/* Every operand that needs names must change some output. */
static void check_needs_is_tight(harness *h, const request *asked)
{
    request r = *asked;
    ss_mask reads = h->row->op->needs(&h->node, r.sweep, r.have, r.want);
    double *before[SS_OPERAND_COUNT] = { NULL };
    r.reference = true;
    r.accumulate = false;
    r.how = (layout){ .lanes = 1 };
    op_run(h, &r);
    for (int id = 0; id < SS_OPERAND_COUNT; id++)
        if (r.want >> id & 1) {
            before[id] = op_new_array(op_count(h, id));
            memcpy(before[id], h->result[id], (size_t)op_count(h, id) * sizeof(double));
        }
    for (int id = 0; id < SS_OPERAND_COUNT; id++) {
        int64_t n = op_count(h, id);
        bool    changed = false;
        if (!(reads >> id & 1) || (h->row->weak >> id & 1) || n == 0) continue;
        double *kept = op_new_array(n);
        memcpy(kept, h->host[id], (size_t)n * sizeof *kept);
        for (int64_t i = 0; i < n; i++)
            h->host[id][i] = op_is_integer(h, role_of(id)) ? op_other_integer(h, role_of(id), kept[i])
                                                           : -1.37 * kept[i] + 0.21;
        op_run(h, &r);
        for (int out = 0; out < SS_OPERAND_COUNT; out++)
            for (int64_t i = 0; before[out] != NULL && i < op_count(h, out); i++)
                if (!(fabs(h->result[out][i] - before[out][i]) < 1e-9)) changed = true;
        if (!changed)
            op_report(
                h,
                "needs of sweep %d names operand %d (derivative %d role %d), which changes nothing; have "
                "%llx "
                "want %llx",
                (int)r.sweep, id, derivative_of(id), role_of(id), (unsigned long long)r.have,
                (unsigned long long)r.want);
        memcpy(h->host[id], kept, (size_t)n * sizeof *kept);
        ss_free(ss_test_context, kept);
    }
    for (int id = 0; id < SS_OPERAND_COUNT; id++) ss_free(ss_test_context, before[id]);
}

static void check_combination(harness *h, request r)
{
    static const int64_t lanes[] = { 1, MOST_LANES };
    r.poison = true;
    for (int l = 0; l < 2; l++)
        for (int gap = 0; gap < 3; gap++)
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                if (l == 1 && (r.sweep == SS_FORWARD || (h->is_loss && r.sweep == SS_BACKWARD))) continue;
                r.how = (layout){ .lanes = lanes[l], .gap = gap };
                r.laned_plain = r.sweep == SS_BACKWARD && l == 1;
                r.accumulate = accumulate == 1;
                op_run(h, &r);
                compare(h, &r);
            }
    r.laned_plain = false;
    /* The curvature's mask covers the Fisher operator as well: it is tight only there. */
    if (r.sweep == SS_CURVATURE && !r.fisher) return;
    if (h->backend->real == SS_FLOAT64 && strcmp(h->backend->name, "cpu") == 0) check_needs_is_tight(h, &r);
}

/* Operands that may be present or absent in a sweep, and outputs that may be wanted. */
static void list_bits(const harness *h, ss_sweep sweep, ss_mask *have, int *n_have, ss_mask *want,
                      int *n_want)
{
    static const ss_derivative out_of[SS_SWEEP_COUNT] = { [SS_BACKWARD] = SS_ADJOINT,
                                                          [SS_TANGENT_BACKWARD] = SS_ADJOINT_TANGENT,
                                                          [SS_CURVATURE] = SS_ADJOINT_TANGENT };
    bool                       ahead = sweep == SS_FORWARD || sweep == SS_TANGENT_FORWARD;
    *n_have = *n_want = 0;
    if (sweep != SS_FORWARD && sweep != SS_BACKWARD)
        for (int v = 0; v < h->n_variables; v++) have[(*n_have)++] = SS_BIT(SS_TANGENT, h->variable[v]);
    if (!ahead && !h->is_loss) have[(*n_have)++] = SS_BIT(SS_ADJOINT, SS_Y);
    if (sweep == SS_TANGENT_BACKWARD && !h->is_loss) have[(*n_have)++] = SS_BIT(SS_ADJOINT_TANGENT, SS_Y);
    if (ahead) want[(*n_want)++] = SS_BIT(sweep == SS_FORWARD ? SS_PRIMAL : SS_TANGENT, h->result_role);
    if (sweep == SS_FORWARD && h->count[SS_SAVED] > 0) want[(*n_want)++] = SS_BIT(SS_PRIMAL, SS_SAVED);
    if (sweep == SS_TANGENT_FORWARD && op_saved_has_tangent(h))
        want[(*n_want)++] = SS_BIT(SS_TANGENT, SS_SAVED);
    for (int v = 0; v < h->n_variables && !ahead; v++)
        want[(*n_want)++] = SS_BIT(out_of[sweep], h->variable[v]);
}

/* What TANGENT_FORWARD leaves behind for the tangents in r->have joins the operands: y_t and SAVED_t, those
 * that are not zero. */
static void refresh_tangents(harness *h, request *r)
{
    static const int roles[2] = { SS_Y, SS_SAVED };
    request          t = reference_call;
    t.sweep = SS_TANGENT_FORWARD;
    t.how.lanes = MOST_LANES;
    t.have = r->have & ~(SS_BIT(SS_ADJOINT, SS_Y) | SS_BIT(SS_ADJOINT_TANGENT, SS_Y));
    for (int i = 0; i < 2; i++) {
        ss_mask bit = SS_BIT(SS_TANGENT, roles[i]);
        if (op_count(h, SS_OPERAND(SS_TANGENT, roles[i])) == 0) continue;
        if (h->row->op->needs(&h->node, SS_TANGENT_FORWARD, t.have, bit) != 0) t.want |= bit;
    }
    if (t.want == 0) return;
    op_run(h, &t);
    for (int i = 0; i < 2; i++) {
        int id = SS_OPERAND(SS_TANGENT, roles[i]);
        if (t.want >> id & 1)
            memcpy(h->host[id], h->result[id], (size_t)(MOST_LANES * op_count(h, id)) * sizeof(double));
    }
    r->have |= t.want;
}

static void check_sweep(harness *h, ss_sweep sweep, bool fisher)
{
    ss_mask have[8], want[8];
    int     n_have, n_want;
    list_bits(h, sweep, have, &n_have, want, &n_want);
    for (int present = 0; present < 1 << n_have; present++)
        for (int wanted = 1; wanted < 1 << n_want; wanted++) {
            request r = { .sweep = sweep, .fisher = fisher };
            for (int i = 0; i < n_have; i++) r.have |= present >> i & 1 ? have[i] : 0;
            for (int i = 0; i < n_want; i++) r.want |= wanted >> i & 1 ? want[i] : 0;
            if (sweep == SS_TANGENT_BACKWARD || sweep == SS_CURVATURE) refresh_tangents(h, &r);
            check_combination(h, r);
        }
}

/* <u, J v> = <J' u, v> over all variables together, and <s, R{J'u}(t)> = <t, R{J'u}(s)>: in float64 these
 * hold to rounding, far closer than differences can tell. */
static void check_identities(harness *h)
{
    int64_t m = h->count[h->result_role];
    double  left = 0.0, right = 0.0, size = 1.0;
    request r = { .sweep = SS_TANGENT_FORWARD, .how = { .lanes = 2 }, .reference = true };
    for (int v = 0; v < h->n_variables; v++) r.have |= SS_BIT(SS_TANGENT, h->variable[v]);
    r.want = SS_BIT(SS_TANGENT, h->result_role);
    op_run(h, &r);
    for (int64_t j = 0; j < m; j++)
        left += h->result[SS_OPERAND(SS_TANGENT, h->result_role)][j] *
                (h->is_loss ? 1.0 : h->host[SS_OPERAND(SS_ADJOINT, SS_Y)][j]);
    refresh_backward(h);
    for (int v = 0; v < h->n_variables; v++)
        for (int64_t i = 0; i < h->count[h->variable[v]]; i++) {
            double term = h->result[SS_OPERAND(SS_ADJOINT, h->variable[v])][i] *
                          h->host[SS_OPERAND(SS_TANGENT, h->variable[v])][i];
            right += term;
            size += fabs(term);
        }
    if (!(fabs(left - right) <= 1e-13 * size))
        op_report(h, "<u, J v> = %.17g but <J'u, v> = %.17g", left, right);

    r.sweep = SS_TANGENT_BACKWARD;
    r.want = 0;
    refresh_tangents(h, &r);
    if (!h->is_loss) r.have |= SS_BIT(SS_ADJOINT, SS_Y);
    for (int v = 0; v < h->n_variables; v++) r.want |= SS_BIT(SS_ADJOINT_TANGENT, h->variable[v]);
    op_run(h, &r);
    left = right = 0.0;
    size = 1.0;
    for (int v = 0; v < h->n_variables; v++) {
        int64_t       n = h->count[h->variable[v]];
        const double *k = h->result[SS_OPERAND(SS_ADJOINT_TANGENT, h->variable[v])];
        const double *t = h->host[SS_OPERAND(SS_TANGENT, h->variable[v])];
        for (int64_t i = 0; i < n; i++) {
            left += t[n + i] * k[i];
            right += t[i] * k[n + i];
            size += fabs(t[n + i] * k[i]);
        }
    }
    if (!(fabs(left - right) <= 1e-13 * size))
        op_report(h, "second derivatives are not symmetric: %.17g, %.17g", left, right);
}

int ss_op_case_check(const ss_op_case *row, const char *backend, ss_real real, int64_t *calls)
{
    harness h;
    op_set_up(&h, row, backend, real);
    find_jacobian(&h);
    find_second(&h);
    refresh_forward(&h);
    check_sweep(&h, SS_FORWARD, false);
    check_sweep(&h, SS_BACKWARD, false);
    check_sweep(&h, SS_TANGENT_FORWARD, false);
    check_sweep(&h, SS_TANGENT_BACKWARD, false);
    if (row->op->kind == SS_OP_LOSS) {
        check_sweep(&h, SS_CURVATURE, false);
        check_sweep(&h, SS_CURVATURE, true);
    }
    check_identities(&h);
    if (calls != NULL) *calls = h.calls;
    op_tear_down(&h);
    return h.deviations;
}
