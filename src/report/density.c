/* Density and trace: fields, text, CSV. */
#include "report/field_rows.h"
#include "report/lines.h"
#include "report/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef char number[SS_NUMBER_TEXT];

static const char *reason_text(const void *value)
{
    ss_eigen_reason reason;
    memcpy(&reason, value, sizeof reason);
    switch (reason) {
    case SS_EIGEN_CONVERGED:
    case SS_EIGEN_COMPLETE: return "done";
    case SS_EIGEN_MONITOR:
    case SS_EIGEN_BUDGET: return "time limit";
    case SS_EIGEN_INTERRUPTED: return "interrupted";
    case SS_EIGEN_RUNNING: break;
    }
    return "running";
}

/* clang-format off */
#define STRUCT ss_density_probe
static const ss_field probe_fields[] = {
    FIELD(REAL, share, "weight of this probe in the mean: ||z||^2 over the sum of all, z its normal start vector; while the run goes on ||z||^2"),
    FIELD(INTEGER, k, "Lanczos steps made"),
    FIELD(BOOL, invariant, "the recurrence ended by itself: nodes and weights are the whole measure"),
    REALS_AT(k, node, "Ritz values of the recurrence, ascending; null before the probe has ended"),
    REALS_AT(k, weight, "of the Gauss rule: the start vector's mass near each node; sum 1; likewise"),
    REALS_AT(k, alpha, "diagonal of the recurrence"),
    REALS_AT(k, beta, "couplings; the last is the residual norm"),
    END
};
#undef STRUCT

#define STRUCT ss_density_point
static const ss_field point_fields[] = {
    FIELD(REAL, x, "curvature"),
    FIELD(REAL, density, "kernel estimate of the density of eigenvalues at x, per unit of curvature"),
    FIELD(REAL, below, "at least this share of the start vectors' mass lies below x, always"),
    FIELD(REAL, upto, "at most this share of it lies at or below x, always"),
    FIELD(REAL, low, "at least this share of the eigenvalues lies below x, at all points together with confidence 1 - eta"),
    FIELD(REAL, high, "at most this share of them lies at or below x, likewise"),
    END
};
#undef STRUCT

#define STRUCT ss_density_result
const ss_field ss_density_fields[] = {
    { "reason", SS_FIELD_NAMED, offsetof(STRUCT, reason), 0, 0, NULL, reason_text, "done, time limit, interrupted, running" },
    FIELD(INTEGER, n, "active parameters"),
    FIELD(REAL, lowest, "Ritz value of any probe; null while the run goes on, as are all numbers that need its end"),
    FIELD(REAL, highest, "likewise"),
    FIELD(REAL, mean, "of the nodes by weight: an estimate of tr / n"),
    FIELD(REAL, width, "standard deviation of the Gaussian kernel"),
    FIELD(REAL, eta, "failure probability of low and high, at all points together"),
    FIELD(REAL, shift, "by which the Radau nodes are moved for the operator's error: 3 delta (sum ||H v||^2)^1/2"),
    FIELD(BOOL, orthogonal, "all vectors were kept and orthogonalised; false: three-term recurrence"),
    FIELD(INT, lanes, "probes per pass"),
    FIELD(INTEGER, products, "spent"),
    FIELD(REAL, seconds_total, "in all"),
    FIELD(REAL, seconds_operator, "of them in products"),
    ROWS_AT(probe_fields, ss_density_probe, n_probes, probes, "one per start vector"),
    ROWS_AT(point_fields, ss_density_point, n_points, points, "the grid, ascending: half evenly, half by powers around 0"),
    END
};
#undef STRUCT

#define STRUCT ss_trace_result
const ss_field ss_trace_fields[] = {
    { "reason", SS_FIELD_NAMED, offsetof(STRUCT, reason), 0, 0, NULL, reason_text, "done, time limit, interrupted, running" },
    FIELD(INTEGER, n, "active parameters"),
    FIELD(REAL, trace, "estimate of the sum of all eigenvalues"),
    FIELD(REAL, trace_error, "half width of its Student interval, confidence 1 - eta; null below two probes"),
    FIELD(REAL, frobenius, "estimate of ||H||_F, the root of the sum of their squares"),
    FIELD(REAL, frobenius_low, "its interval, likewise"),
    FIELD(REAL, frobenius_high, "its interval, likewise"),
    FIELD(REAL, operator_error, "what the products' own error may add to the trace, an estimate: delta sqrt n ||H||_F"),
    FIELD(REAL, eta, "failure probability of each interval"),
    FIELD(INTEGER, probes, "taken"),
    FIELD(INTEGER, deflated, "Ritz vectors whose part of the trace is exact"),
    FIELD(REAL, deflated_trace, "that part"),
    FIELD(INTEGER, products, "of the deflating search and of the probes"),
    FIELD(REAL, seconds_total, "in all"),
    FIELD(REAL, seconds_operator, "in the products of the probes"),
    END
};
#undef STRUCT
/* clang-format on */

/* ---- Text -----------------------------------------------------------------------------------------------
 */

/* The point at x, which the grid holds exactly or not at all. */
static const ss_density_point *point_at(const ss_density_result *r, double x)
{
    for (int64_t i = 0; i < r->n_points; i++)
        if (fabs(r->points[i].x - x) <= 1e-9 * fabs(x)) return &r->points[i];
    return NULL;
}

static void table_row(ss_text *text, const ss_density_result *r, double x)
{
    const ss_density_point *p = point_at(r, x);
    number                  a, b, c, d;
    char                    starts[2 * SS_NUMBER_TEXT + 8], all[2 * SS_NUMBER_TEXT + 8];
    if (p == NULL) return;
    snprintf(starts, sizeof starts, "%s .. %s", ss_percent_text(p->below, a), ss_percent_text(p->upto, b));
    snprintf(all, sizeof all, "%s .. %s", ss_count_text((int64_t)llround(p->low * (double)r->n), c),
             ss_count_text((int64_t)llround(p->high * (double)r->n), d));
    ss_text_print(text, "%*s%12s   %-22s %s\n", SS_LINE_INDENT, "", ss_number_text(x, 3, a), starts, all);
}

void ss_report_density(ss_text *text, const ss_run *run, const char *operator_name,
                       const ss_density_result *r)
{
    number  a, b, c, d;
    ss_line line;
    double  size = fmax(fabs(r->lowest), fabs(r->highest));
    ss_report_head(text, run);
    ss_line_begin(&line, text, "operator");
    ss_line_add(&line, "%s; %s probe%s, %s products in passes of up to %d, %s", operator_name,
                ss_count_text(r->n_probes, a), r->n_probes == 1 ? "" : "s", ss_count_text(r->products, b),
                r->lanes,
                r->orthogonal ? "orthogonalised in full"
                              : "by the three-term recurrence (no memory for all vectors)");
    if (r->reason != SS_EIGEN_CONVERGED) ss_line_add(&line, "; ended early: %s", reason_text(&r->reason));
    ss_line_end(&line);
    if (r->n_points == 0) {
        ss_line_write(text, "density", "nothing was computed");
        return;
    }
    ss_line_write(text, "range", "Ritz values from %s to %s; mean eigenvalue about %s, trace about %s",
                  ss_number_text(r->lowest, 4, a), ss_number_text(r->highest, 4, b),
                  ss_number_text(r->mean, 3, c), ss_number_text(r->mean * (double)r->n, 3, d));
    ss_line_write(
        text, "band",
        "how many of the %s eigenvalues lie below x: confidence %s over the start vectors, at all %lld "
        "points of the grid together",
        ss_count_text(r->n, a), ss_percent_text(1 - r->eta, b), (long long)r->n_points);
    ss_text_print(text, "%*s%12s   %-22s %s\n", SS_LINE_INDENT, "", "x", "start vectors", "eigenvalues");
    for (int k = 0; k <= 6; k++) table_row(text, r, -size * pow(10, -k));
    table_row(text, r, 0.0);
    for (int k = 6; k >= 0; k--) table_row(text, r, size * pow(10, -k));
    ss_line_write(text, "kernel", "Gaussian, width %s: for the eye, not for counts",
                  ss_number_text(r->width, 3, a));
    ss_line_write(text, "time", "%s, of which products %s", ss_duration_text(r->seconds_total, a),
                  ss_duration_text(r->seconds_operator, b));
}

void ss_report_trace(ss_text *text, const ss_run *run, const char *operator_name, const ss_trace_result *r)
{
    number  a, b, c, d;
    char    both[2 * SS_NUMBER_TEXT];
    ss_line line;
    ss_report_head(text, run);
    ss_line_begin(&line, text, "operator");
    ss_line_add(&line, "%s; %s probes, %s products", operator_name, ss_count_text(r->probes, a),
                ss_count_text(r->products, b));
    if (r->reason != SS_EIGEN_CONVERGED) ss_line_add(&line, "; ended early: %s", reason_text(&r->reason));
    ss_line_end(&line);
    if (isfinite(r->trace_error)) {
        ss_line_write(text, "trace",
                      "%s (confidence %s over the probes; the products' own error adds up to %s)",
                      ss_uncertain_text(r->trace, r->trace_error, both), ss_percent_text(1 - r->eta, a),
                      ss_number_text(r->operator_error, 1, b));
        ss_line_write(text, "norm", "||H||_F %s, between %s and %s (the same confidence)",
                      ss_number_text(r->frobenius, 4, a), ss_number_text(r->frobenius_low, 4, b),
                      ss_number_text(r->frobenius_high, 4, c));
        ss_line_write(text, "mean", "eigenvalue %s, root mean square %s",
                      ss_number_text(r->trace / (double)r->n, 3, a),
                      ss_number_text(r->frobenius / sqrt((double)r->n), 3, b));
    } else {
        ss_line_write(text, "trace", "unknown: an error bar needs two probes");
    }
    if (r->deflated > 0)
        ss_line_write(text, "deflated", "%s Ritz vectors of largest modulus, exact: %s of the trace",
                      ss_count_text(r->deflated, a), ss_number_text(r->deflated_trace, 5, b));
    ss_line_write(text, "time", "%s, of which probes %s", ss_duration_text(r->seconds_total, c),
                  ss_duration_text(r->seconds_operator, d));
}

/* ---- CSV ------------------------------------------------------------------------------------------------
 */

void ss_report_density_nodes(ss_text *text, const ss_density_result *r)
{
    ss_text_print(text, "probe,share,index,node,weight\n");
    for (int64_t p = 0; p < r->n_probes; p++)
        for (int64_t i = 0; i < r->probes[p].k; i++)
            ss_text_print(text, "%lld,%.17g,%lld,%.17g,%.17g\n", (long long)p, r->probes[p].share,
                          (long long)i, r->probes[p].node[i], r->probes[p].weight[i]);
}

void ss_report_density_band(ss_text *text, const ss_density_result *r)
{
    ss_text_print(text, "x,density,below,upto,low,high\n");
    for (int64_t i = 0; i < r->n_points; i++) {
        const ss_density_point *p = &r->points[i];
        ss_text_print(text, "%.17g,%.9g,%.17g,%.17g,%.17g,%.17g\n", p->x, p->density, p->below, p->upto,
                      p->low, p->high);
    }
}
