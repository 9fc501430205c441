/* polish, escape, study and track as people read them. */
#include "report/lines.h"
#include "report/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef char number[SS_NUMBER_TEXT];
typedef char uncertain[2 * SS_NUMBER_TEXT];

#define N(buffer, value, digits) ss_number_text((value), (digits), (buffer))
#define P(buffer, share)         ss_percent_text((share), (buffer))
#define C(buffer, count)         ss_count_text((count), (buffer))

void ss_report_level_set(ss_text *text, const ss_verdict_level_set *level_set)
{
    uncertain a;
    if (!level_set->measured) return;
    ss_line_write(text, "", "on the level set of the loss (orthogonal to g): lambda_min %s",
                  ss_uncertain_text(level_set->lambda_min, level_set->lambda_min_error, a));
}

static const char *end_words(ss_end end)
{
    switch (end) {
    case SS_END_CRITICAL: return "the gradient has vanished";
    case SS_END_GRADIENT_FLAT:
        return "stalled gradient-flat: what is left of the gradient lies where the curvature vanishes";
    case SS_END_ESCAPING: return "the parameters run to infinity";
    case SS_END_UNFINISHED:
    case SS_END_COUNT: break;
    }
    return "not finished: more steps would bring it nearer";
}

static void interval(ss_line *line, ss_interval i, const char *behind)
{
    number a, b;
    if (i.low < 0)
        ss_line_add(line, "unknown%s", behind);
    else if (i.low == i.high)
        ss_line_add(line, "%s%s", C(a, i.low), behind);
    else
        ss_line_add(line, "%s .. %s%s", C(a, i.low), C(b, i.high), behind);
}

void ss_report_polish(ss_text *text, const ss_verdict_polish *p)
{
    number  a, b, c, d;
    ss_line line;
    if (!p->ran) return;
    ss_line_begin(&line, text, "polish");
    ss_line_add(&line, "%lld Newton-MR steps: |g| %s -> %s; %s (gradient-flat ratio %s)", (long long)p->steps,
                N(a, p->gradient_start, 3), N(b, p->gradient_end, 3), end_words(p->end),
                N(c, p->flat_ratio, 2));
    ss_line_end(&line);
    ss_line_begin(&line, text, "");
    ss_line_add(&line, "moved by %s (%s of |theta|); the loss changed by %s, from %s;", N(a, p->moved, 3),
                P(b, p->moved_relative), N(c, p->loss_change, 3), N(d, p->loss_start, 6));
    ss_line_add(&line, "%s products' worth", N(a, p->cost, 3));
    ss_line_end(&line);
    ss_line_begin(&line, text, "");
    ss_line_add(&line, "before: %s, lambda_min %s,", ss_label_name(p->label_start),
                N(a, p->lambda_min_start, 3));
    interval(&line, p->negative_start, " negative,");
    interval(&line, p->zero_start, " within tau,");
    interval(&line, p->positive_start, " positive; the verdict behind it:");
    ss_line_end(&line);
}

void ss_report_written(ss_text *text, const ss_written *w)
{
    number  a, b;
    ss_line line;
    if (w->path == NULL) return;
    ss_line_begin(&line, text, "written");
    ss_line_add(&line, "%s, names and types of the old checkpoint%s;", w->path,
                w->saved.converted ? " (which was no safetensors file; this one is)" : "");
    ss_line_add(&line,
                w->saved.rounded ? "rounded to 16 bits, which moves the weights by %s;"
                                 : "storing moves the weights by %s;",
                N(a, w->saved.moved, 2));
    ss_line_add(&line, "loss as stored %s", N(b, w->loss, 9));
    ss_line_end(&line);
}

/* "+v", "-v2", "all": where a step led. */
static char *way_text(const ss_escape_result *e, int vector, int sign, char out[16])
{
    const char *mark = sign > 0 ? "+" : "-";
    if (e->n_directions <= 1)
        snprintf(out, 16, "%sv", mark);
    else if (vector == 0)
        snprintf(out, 16, "%sall", mark);
    else
        snprintf(out, 16, "%sv%d", mark, vector);
    return out;
}

static void escape_rows(ss_text *text, const ss_escape_result *e)
{
    number a, b, c, d;
    char   way[16];
    ss_text_print(text, "%*s%5s %12s %14s %14s %10s\n", SS_LINE_INDENT, "", "along", "step", "predicted",
                  "real", "ratio");
    for (int64_t i = 0; i < e->n_rows; i++) {
        const ss_escape_row *r = &e->row[i];
        bool chosen = e->left && r->vector == e->vector && r->sign == e->sign && r->step == e->step;
        ss_text_print(text, "%*s%5s %12s %14s %14s %10s%s\n", SS_LINE_INDENT, "",
                      way_text(e, r->vector, r->sign, way), N(a, r->step, 4), N(b, r->predicted, 6),
                      N(c, r->real, 6), N(d, r->real / r->predicted, 3), chosen ? "  <- taken" : "");
    }
}

/* What the directions promise, where there are several. */
static void escape_directions(ss_text *text, const ss_escape_result *e)
{
    number a, b, c;
    char   way[16];
    if (e->n_directions <= 1) return;
    ss_line_write(text, "directions",
                  "v1 is the witness, the others are the next lowest eigenvectors; all: the best "
                  "steps along each, taken together");
    ss_text_print(text, "%*s%5s %12s %12s %12s\n", SS_LINE_INDENT, "", "", "v'Hv", "g'v", "r_valid");
    for (int64_t i = 0; i < e->n_directions; i++) {
        const ss_escape_direction *d = &e->direction[i];
        ss_text_print(text, "%*s%5s %12s %12s %12s\n", SS_LINE_INDENT, "", way_text(e, d->vector, 1, way) + 1,
                      N(a, d->quotient, 4), N(b, d->slope, 3), N(c, d->valid_radius, 3));
    }
}

void ss_report_escape(ss_text *text, const ss_run *run, const ss_escape_report *report)
{
    const ss_escape_result *e = &report->escape;
    number                  a, b, c, d;
    char                    way[16];
    ss_report_head(text, run);
    bool probed = !e->before.witness.proved && e->before.flat_probe.found;
    if (probed)
        ss_line_write(text, "start", "%s of order %d; loss %s", ss_label_name(e->before.label),
                      e->before.flat_probe.order, N(a, e->loss_start, 9));
    else
        ss_line_write(text, "start", "%s; loss %s, v'Hv %s, g'v %s, r_valid %s",
                      ss_label_name(e->before.label), N(a, e->loss_start, 9),
                      N(b, e->before.witness.quotient, 4), N(c, e->before.witness.slope, 3),
                      N(d, e->before.witness.valid_radius, 3));
    if (e->n_rows > 0 && probed) {
        ss_line_write(
            text, "search",
            "to the best point of the flat space; the prediction is the power law of smaller steps:");
        escape_rows(text, e);
    } else if (e->n_rows > 0) {
        escape_directions(text, e);
        ss_line_write(text, "search",
                      "along %s, doubling while the real decrease is at least half of the predicted one:",
                      e->n_directions > 1 ? "each of them" : "the witness");
        escape_rows(text, e);
    }
    if (!e->left) {
        ss_line_write(text, "escape", "%s",
                      e->before.witness.proved ? "no step lowered the loss as predicted; nothing was moved"
                                               : "there is no proved negative curvature to follow; nothing "
                                                 "was moved");
        return;
    }
    ss_line_write(text, "escape", "step %s along %s: predicted decrease %s, real %s (%s of the prediction)",
                  N(a, e->step, 4), probed ? "that direction" : way_text(e, e->vector, e->sign, way),
                  N(b, e->predicted, 6), N(c, e->real, 6), P(d, e->real / e->predicted));
    if (e->until_minimum)
        ss_line_write(text, "descent", "%lld Newton-CG steps in %lld rounds: loss %s -> %s, |g| %s%s%s",
                      (long long)e->steps, (long long)e->rounds, N(a, e->loss_start, 9), N(b, e->loss_end, 6),
                      N(c, e->gradient_end, 3), e->cost.out_of_products ? "; ended by --max-products" : "",
                      e->cost.out_of_time ? "; ended by --time-limit" : "");
    ss_line_write(text, "moved", "%s from the start; %s products' worth, %s", N(a, e->moved, 4),
                  N(b, e->cost.products, 3), ss_duration_text(e->cost.seconds, c));
    ss_report_written(text, &report->written);
    ss_text_print(text, "\n");
    ss_report_verdict_body(text, run, &e->after);
}

/* ---- study ----------------------------------------------------------------------------------------------
 */

#define STUDY_ROWS 8 /* of the table */

/* Critical points with indices in [low, high]. */
static void study_row(ss_text *text, const ss_study_result *r, double low, double high, bool last)
{
    number  a, b, c, d;
    int64_t count = 0, saddles = 0, minima = 0;
    double  least = (double)INFINITY, most = -(double)INFINITY;
    for (int64_t i = 0; i < r->n_points; i++) {
        const ss_study_point *p = &r->points[i];
        if (p->end != SS_END_CRITICAL || p->negative_share < low ||
            !(last ? p->negative_share <= high : p->negative_share < high))
            continue;
        count++;
        saddles += p->label == SS_LABEL_SADDLE;
        minima += p->label == SS_LABEL_MINIMUM;
        least = fmin(least, p->loss);
        most = fmax(most, p->loss);
    }
    if (count == 0) return;
    ss_text_print(text, "%*s%10s .. %-10s %8lld %8lld %8lld %12s .. %s\n", SS_LINE_INDENT, "", P(a, low),
                  P(b, high), (long long)count, (long long)minima, (long long)saddles, N(c, least, 5),
                  N(d, most, 5));
}

static void study_table(ss_text *text, const ss_study_result *r)
{
    double most = 0.0;
    for (int64_t i = 0; i < r->n_points; i++)
        if (r->points[i].end == SS_END_CRITICAL) most = fmax(most, r->points[i].negative_share);
    ss_text_print(text, "%*s%-24s %8s %8s %8s %12s\n", SS_LINE_INDENT, "", "index n-/n", "points", "minima",
                  "saddles", "loss");
    study_row(text, r, 0.0, 0.0, true);
    for (int i = 0; i < STUDY_ROWS && most > 0.0; i++) {
        double low = most * i / STUDY_ROWS, high = most * (i + 1) / STUDY_ROWS;
        study_row(text, r, i == 0 ? 1e-300 : low, high, i + 1 == STUDY_ROWS);
    }
}

void ss_report_study(ss_text *text, const ss_run *run, const ss_study_result *r)
{
    number  a, b, c;
    ss_line line;
    int64_t counted = r->ends[SS_END_CRITICAL] + r->ends[SS_END_UNFINISHED];
    ss_report_head(text, run);
    ss_line_begin(&line, text, "points");
    ss_line_add(&line, "%s of %s:", C(a, r->n_points), C(b, r->total));
    for (int e = SS_END_COUNT - 1; e >= 0; e--)
        ss_line_add(&line, "%s %s%s", C(a, r->ends[e]), ss_end_name((ss_end)e), e > 0 ? "," : ";");
    ss_line_add(&line, "%s taken over, %s at a time, %s", C(a, r->reused), C(b, r->jobs),
                ss_duration_text(r->seconds, c));
    ss_line_end(&line);
    ss_line_begin(&line, text, "critical");
    for (int l = SS_LABEL_COUNT - 1; l >= 0; l--)
        if (r->labels[l] > 0) ss_line_add(&line, "%s %s,", C(a, r->labels[l]), ss_label_name((ss_label)l));
    ss_line_add(&line, "of %s that neither stalled nor escaped %s have |g| at 1e-8 of its start or below",
                C(a, counted), C(b, r->reduced));
    ss_line_end(&line);
    if (r->ends[SS_END_CRITICAL] > 0) study_table(text, r);
}

/* ---- track ----------------------------------------------------------------------------------------------
 */

size_t ss_report_track_folder(const ss_track_result *r)
{
    size_t folder = 0;
    for (size_t i = 0; r->n_points > 1 && r->points[0].name[i] != '\0'; i++) {
        for (int64_t k = 1; k < r->n_points; k++)
            if (r->points[k].name[i] != r->points[0].name[i]) return folder;
        if (r->points[0].name[i] == '/') folder = i + 1;
    }
    return folder;
}

static void track_row(ss_text *text, const ss_track_point *p, size_t folder, bool threshold,
                      bool preconditioned)
{
    number      a, b, c, d, e, f, g;
    const char *name = p->name + folder;
    ss_text_print(text, "%-28s %12s %10s %11s %11s %8s", name, N(a, p->loss, 6), N(b, p->gradient, 3),
                  N(c, p->lambda_min, 4), N(d, p->lambda_max, 5),
                  isfinite(p->overlap) ? N(e, p->overlap, 3) : "-");
    if (preconditioned) ss_text_print(text, " %11s", N(f, p->preconditioned, 5));
    if (threshold) ss_text_print(text, " %10s", isfinite(p->threshold) ? N(g, p->threshold, 4) : "-");
    ss_text_print(text, "  %s\n", ss_label_name(p->label));
}

void ss_report_track(ss_text *text, const ss_run *run, const ss_track_result *r)
{
    number a;
    bool   preconditioned = false;
    ss_report_head(text, run);
    for (int64_t i = 0; i < r->n_points; i++)
        preconditioned = preconditioned || isfinite(r->points[i].preconditioned);
    ss_text_print(text, "\n%-28s %12s %10s %11s %11s %8s", "checkpoint", "loss", "|g|", "lambda_min",
                  "lambda_max", "overlap");
    if (preconditioned) ss_text_print(text, " %11s", "P-scaled");
    if (r->optimizer != NULL) ss_text_print(text, " %10s", "threshold");
    ss_text_print(text, "  verdict\n");
    for (int64_t i = 0; i < r->n_points; i++)
        track_row(text, &r->points[i], ss_report_track_folder(r), r->optimizer != NULL, preconditioned);
    ss_text_print(text,
                  "\noverlap: of the spans of the %lld highest eigenvectors of neighbours, 1 = the same",
                  (long long)r->subspace);
    if (r->optimizer != NULL)
        ss_text_print(text, "; threshold: largest stable curvature of %s at its learning rate", r->optimizer);
    ss_text_print(text, "\n%lld checkpoints, %lld taken over, %lld broken and skipped, %s\n",
                  (long long)r->n_points, (long long)r->reused, (long long)r->n_skipped,
                  ss_duration_text(r->seconds, a));
}
