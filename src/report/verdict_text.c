/* The verdict as people read it (VERDICT 6): every number comes from ss_verdict, every sentence is chosen by
 * its enumerators. The answer and the label come last. */
#include "report/lines.h"
#include "report/report.h"

#include <math.h>

typedef char number[SS_NUMBER_TEXT];
typedef char uncertain[2 * SS_NUMBER_TEXT];

#define WITNESS_SHOWN 8 /* parameters up to which the witness is printed */

#define N(buffer, value, digits) ss_number_text((value), (digits), (buffer))
#define P(buffer, share)         ss_percent_text((share), (buffer))
#define C(buffer, count)         ss_count_text((count), (buffer))

void ss_report_head(ss_text *text, const ss_run *run)
{
    number  a;
    ss_line line;
    ss_line_begin(&line, text, "model");
    ss_line_add(&line, "%s;", run->network_description);
    if (run->facts.n != run->n_trainable) ss_line_add(&line, "%s of them active;", C(a, run->facts.n));
    ss_line_add(&line, "computed in %s", run->precision);
    ss_line_end(&line);
    ss_line_write(text, "data", "%s: %s", run->data, run->data_description);
    if (run->vocabulary > 0)
        ss_line_write(text, "tokens", "largest id %lld of a vocabulary of %s", (long long)run->largest_id,
                      C(a, run->vocabulary));
    ss_line_write(text, "objective", "%s", run->objective);
}

/* A network that predicts tokens is measured by ln V: its objective is a mean of cross-entropies over them.
 */
static bool predicts_tokens(const ss_run *run)
{
    return run->vocabulary > 0 && fabs(run->facts.zero_output_loss - log((double)run->vocabulary)) < 1e-9;
}

char *ss_report_guess_text(const ss_run *run, char text[SS_GUESS_TEXT])
{
    number a;
    snprintf(text, SS_GUESS_TEXT, predicts_tokens(run) ? "ln V = %s" : "zero output %s",
             N(a, run->facts.zero_output_loss, 4));
    return text;
}

void ss_report_guess(ss_text *text, const ss_run *run, double loss)
{
    if (predicts_tokens(run) && loss > run->facts.zero_output_loss)
        ss_line_write(text, "warning",
                      "the loss lies above ln V, that of guessing: do these token ids belong "
                      "to this vocabulary, and the weights to this configuration?");
}

static void loss(ss_text *text, const ss_run *run, const ss_verdict *v)
{
    const ss_verdict_stationarity *s = &v->stationarity;
    number                         a, c, d;
    char                           guess[SS_GUESS_TEXT];
    ss_line                        line;
    ss_line_begin(&line, text, "loss");
    ss_line_add(&line, "%s (%s", N(a, s->loss, 6), ss_report_guess_text(run, guess));
    if (s->loss_lower > 0) ss_line_add(&line, ", lowest possible %s", N(c, s->loss_lower, 4));
    ss_line_add(&line, ") |g| %s, per parameter %s", N(c, s->gradient_norm, 3), N(d, s->gradient_rms, 3));
    ss_line_end(&line);
    ss_report_guess(text, run, s->loss);
}

static void newton(ss_line *line, const ss_verdict_stationarity *s)
{
    number a, b, c;
    ss_line_add(line, "a damped Newton step promises %s%s (%s of the loss)",
                s->decrease_from_bound ? "at most " : (s->decrease_settled ? "" : "at least "),
                N(a, s->decrease, 2), P(b, s->decrease_relative));
    ss_line_add(line, s->is_critical ? "; the limit is %s" : "; critical would be below %s",
                N(c, s->limit, 2));
}

static void stationarity(ss_text *text, const ss_verdict *v)
{
    const ss_verdict_stationarity *s = &v->stationarity;
    number                         a, b;
    ss_line                        line;
    ss_line_begin(&line, text, "stationarity");
    ss_line_add(&line, s->is_critical ? "critical:" : "not critical:");
    if (s->by_gradient)
        ss_line_add(&line, "|g| is %s, the limit %s", N(a, s->gradient_norm, 3), N(b, s->limit, 3));
    else
        newton(&line, s);
    if (!s->by_gradient && !s->decrease_settled)
        ss_line_add(&line, "(a lower estimate: it has not settled after %d products)", s->decrease_products);
    if (s->at_lower_bound) ss_line_add(&line, "; the loss has reached its lower bound within rounding");
    ss_line_end(&line);
    ss_line_begin(&line, text, "");
    if (isfinite(s->gradient_flat_ratio))
        ss_line_add(&line, "gradient-flat ratio %s;", N(a, s->gradient_flat_ratio, 2));
    if (s->groups == 0)
        ss_line_add(&line, "too few samples to tell the slope from sampling noise");
    else
        ss_line_add(&line,
                    "over %d groups of samples the slope is %s (N c = %s); sampling error of the loss %s",
                    s->groups, s->slope_is_noise ? "no more than sampling noise" : "shared by the samples",
                    N(a, s->groups * s->coherence, 2), N(b, s->loss_sampling_error, 2));
    ss_line_end(&line);
}

/* How sure the absence of curvature beyond the resolution is. */
static void certainty(ss_line *line, const ss_verdict_curvature *c)
{
    number a;
    if (c->method == SS_METHOD_DENSE)
        ss_line_add(line, "(all eigenvalues computed)");
    else
        ss_line_add(line, "(confidence %s over the start vector, for the operator as computed)",
                    P(a, 1 - c->eta));
}

static void statement(ss_line *line, const ss_verdict_curvature *c)
{
    number a, b, d;
    N(a, c->resolution, 2), P(b, c->resolution_relative);
    switch (c->statement) {
    case SS_CURVATURE_INDEFINITE: ss_line_add(line, "indefinite:"); return;
    case SS_CURVATURE_NO_NEGATIVE:
        ss_line_add(line, "no curvature below -%s (= %s of the largest)", a, b);
        break;
    case SS_CURVATURE_NO_POSITIVE:
        ss_line_add(line, "no curvature above %s (= %s of the largest)", a, b);
        break;
    case SS_CURVATURE_FLAT:
        ss_line_add(line, "flat: no curvature beyond +-%s (= %s of the largest)", a, b);
        break;
    case SS_CURVATURE_UNDECIDED:
    case SS_CURVATURE_COUNT:
        ss_line_add(line, "undecided at the resolution %s (= %s of the largest): none below %s is sure", a, b,
                    N(d, c->lower_bound, 3));
        break;
    }
    certainty(line, c);
    ss_line_add(line, ":");
}

static void proof(ss_line *line, const ss_verdict_witness *w)
{
    number a, b, c;
    if (!w->candidate) return;
    if (!w->proved) {
        ss_line_add(line, "(a candidate only: float64 quotient %s, error %s)", N(a, w->quotient, 3),
                    N(b, w->error, 1));
        return;
    }
    ss_line_add(line, "(proved: float64 quotient %s, error %s;", N(a, w->quotient, 4), N(b, w->error, 1));
    if (w->both_ways)
        ss_line_add(line, "the loss falls both ways at t = %s)", N(c, w->step, 2));
    else if (w->loss_witness)
        ss_line_add(line, "the mean of the losses at +-t lies below the loss, t = %s)", N(c, w->step, 2));
    else
        ss_line_add(line, "no step showed it in the loss)");
}

/* "minimum ratio 20 % .. 80 % of all": an interval of shares. */
static void share(ss_line *line, const char *before, const double interval[2], const char *behind)
{
    number a, b;
    if (!isfinite(interval[0]) || !isfinite(interval[1])) return;
    if (interval[0] == interval[1])
        ss_line_add(line, "%s%s%s", before, P(a, interval[0]), behind);
    else
        ss_line_add(line, "%s%s .. %s%s", before, P(a, interval[0]), P(b, interval[1]), behind);
}

static void interval_add(ss_line *line, ss_interval interval, const char *what)
{
    number a, b;
    if (interval.low < 0)
        ss_line_add(line, "unknown %s", what);
    else if (interval.low == interval.high)
        ss_line_add(line, "%s %s", C(a, interval.low), what);
    else
        ss_line_add(line, "%s .. %s %s", C(a, interval.low), C(b, interval.high), what);
}

static void counts(ss_text *text, const ss_verdict *v)
{
    const ss_verdict_counts *c = &v->counts;
    number                   a, b, d, e;
    ss_line                  line;
    if (c->negative.low < 0 && c->negative_at_least < 0) return;
    ss_line_begin(&line, text, "");
    if (!c->exact && c->negative_at_least > 0)
        ss_line_add(&line, "at least %s negative direction%s;", C(a, c->negative_at_least),
                    c->negative_at_least == 1 ? "" : "s");
    ss_line_add(&line, "of %s:", C(a, c->n));
    interval_add(&line, c->negative, "below -tau,");
    interval_add(&line, c->zero, "within,");
    interval_add(&line, c->positive, "above tau =");
    ss_line_add(&line, "%s", N(b, v->operator_error.tau, 2));
    if (!c->exact && c->negative.low >= 0) ss_line_add(&line, "(confidence %s)", P(d, c->confidence));
    ss_line_end(&line);
    ss_line_begin(&line, text, "");
    ss_line_add(&line, "of those within: %s structural, at most %s gauge,", C(a, ss_max64(c->structural, 0)),
                C(b, ss_max64(c->gauge, 0)));
    interval_add(&line, c->flat, "numerically flat");
    ss_line_end(&line);
    ss_line_begin(&line, text, "");
    share(&line, "minimum ratio ", c->positive_share, " of all");
    share(&line, ", ", c->positive_among_signed, " of those with a sign");
    share(&line, "; index ", c->negative_share, "");
    ss_line_end(&line);
    if (c->gauge <= 0) return;
    ss_line_begin(&line, text, "");
    ss_line_add(
        &line,
        "gauge: softmax shift %s, positive rescaling %s, gain-weight scaling %s, between linear layers %s; "
        "others not checked",
        C(a, v->gauge.softmax_shift), C(b, v->gauge.rescaling), C(d, v->gauge.norm_gain),
        C(e, ss_max64(v->gauge.other, 0)));
    ss_line_end(&line);
}

static void operator_line(ss_text *text, const ss_verdict *v)
{
    const ss_verdict_operator_error *e = &v->operator_error;
    number                           a, b, c, d;
    ss_line                          line;
    ss_line_begin(&line, text, "");
    ss_line_add(&line, "operator error (an estimate%s) %s of %s; tau = %s%s;",
                e->subset ? ", on a subset of samples" : "", N(a, e->delta, 1), N(b, e->lambda_abs, 3),
                N(c, e->tau, 2), e->tau_given ? " (given)" : "");
    if (e->subset) ss_line_add(&line, "confirmed on %s samples;", C(a, e->samples));
    switch (v->curvature.method) {
    case SS_METHOD_DENSE: ss_line_add(&line, "dense Hessian,"); break;
    case SS_METHOD_THREE_VECTORS: ss_line_add(&line, "three-vector mode: eigenvalues are estimates,"); break;
    case SS_METHOD_LANCZOS:
        ss_line_add(&line, "Lanczos, basis %d%s, %d restarts,", v->curvature.basis,
                    v->curvature.basis_on_host ? " in host memory" : "", v->curvature.restarts);
        break;
    case SS_METHOD_NONE:
    case SS_METHOD_COUNT: break;
    }
    ss_line_add(&line, "%s products", C(d, ss_max64(v->curvature.products, 0)));
    ss_line_end(&line);
}

/* The witness itself, where it is short enough to be read. */
static void witness_vector(ss_text *text, const ss_verdict_witness *w)
{
    ss_line line;
    number  a;
    if (!w->proved || w->vector == NULL || w->n > WITNESS_SHOWN) return;
    ss_line_begin(&line, text, "");
    ss_line_add(&line, "witness, a unit vector in the order of the parameters' names:");
    for (int64_t i = 0; i < w->n; i++) ss_line_add(&line, "%s", N(a, w->vector[i], 4));
    ss_line_end(&line);
}

static void curvature(ss_text *text, const ss_verdict *v)
{
    const ss_verdict_curvature *c = &v->curvature;
    uncertain                   low, high;
    ss_line                     line;
    ss_line_begin(&line, text, "curvature");
    statement(&line, c);
    ss_line_add(&line, "lambda_min %s%s", ss_uncertain_text(c->lambda_min, c->lambda_min_error, low),
                c->lambda_min_converged ? "" : " (not converged)");
    proof(&line, &v->witness);
    ss_line_add(&line, "and lambda_max %s%s", ss_uncertain_text(c->lambda_max, c->lambda_max_error, high),
                c->lambda_max_converged ? "" : " (not converged)");
    ss_line_end(&line);
    witness_vector(text, &v->witness);
    counts(text, v);
    operator_line(text, v);
}

static void scope(ss_text *text, const ss_verdict *v)
{
    const ss_verdict_distribution *d = &v->distribution;
    number                         a, b;
    if (v->witness.proved) {
        ss_line_write(text, "scope", "on these samples: negative curvature, proved");
        if (d->statement == SS_POPULATION_OMITTED)
            ss_line_write(text, "", "for the distribution they came from: not judged");
        else
            ss_line_write(
                text, "",
                "for the distribution they came from: %s, %s +- %s over %d groups that did not find it",
                d->statement == SS_POPULATION_PROVED ? "negative too" : "not shown", N(a, d->mean, 3),
                N(b, d->half_width, 2), d->groups / 2);
    }
    if (v->kinks.present && isfinite(v->kinks.share_step))
        ss_line_write(text, "kinks",
                      "%s of the units change side at the witness step, %s as far as the model holds%s",
                      P(a, v->kinks.share_step), P(b, v->kinks.share_valid),
                      v->kinks.step_exceeds ? "; no step with less than 1 % was found" : "");
    if (v->kinks.present && v->label == SS_LABEL_MINIMUM)
        ss_line_write(text, "kinks", "the minimum is one within one linear region, radius %s",
                      N(a, v->kinks.region_radius, 2));
    if (v->rounded.present)
        ss_line_write(text, "weights",
                      "stored rounded: within %s of these lie all weights that round to them; that alone "
                      "changes |g| by %s",
                      N(a, v->rounded.radius, 2), N(b, v->rounded.gradient_change, 2));
    if (v->rounded.cannot_judge)
        ss_line_write(text, "",
                      "the verdict holds for the stored weights; the unrounded network cannot be judged from "
                      "this file");
}

static void left(ss_text *text, const ss_verdict *v)
{
    static const char *const names[SS_DIRECTION_COUNT] = { "along -g", "negative curvature", "Newton" };
    ss_line                  line;
    bool                     any = false;
    ss_line_begin(&line, text, "left here");
    for (int i = 0; i < SS_DIRECTION_COUNT; i++) {
        const ss_left_row *row = &v->left.row[i];
        number             a, b, c, d;
        if (!row->tried) continue;
        ss_line_add(&line, "%s%s %s (%s; predicted %s at step %s)", any ? "| " : "", names[row->direction],
                    N(a, row->decrease, 2), P(b, row->share), N(c, row->predicted, 2), N(d, row->step, 2));
        any = true;
    }
    if (!any)
        ss_line_add(&line, "not measured%s",
                    v->cost.out_of_products || v->cost.out_of_time ? ": the budget ended before" : "");
    ss_line_end(&line);
}

static void probe(ss_text *text, const ss_verdict *v)
{
    const ss_verdict_flat_probe *p = &v->flat_probe;
    number                       a, b;
    if (!p->ran) return;
    if (p->found)
        ss_line_write(text, "flat space", "%s flat directions probed in %d balls: the loss falls like r^%d",
                      C(a, p->flat_vectors), p->radii, p->order);
    else
        ss_line_write(text, "flat space",
                      "%s%d probes in %d balls of %s flat directions, radius up to %s, found no descent%s",
                      v->label == SS_LABEL_MINIMUM ? "minimum to second order; " : "",
                      2 * p->combinations * p->radii, p->radii, C(a, p->flat_vectors),
                      N(b, p->radii > 0 ? p->radius[p->radii - 1] : NAN, 2),
                      p->reduced ? " (reduced by the budget)" : "");
    if (p->ascent_found)
        ss_line_write(text, "", "mirrored, the loss rises like r^%d", p->ascent_order);
    else if (p->ascent_ran)
        ss_line_write(text, "", "mirrored, no ascent was found");
}

static void cost(ss_text *text, const ss_verdict *v)
{
    const ss_verdict_cost *c = &v->cost;
    number                 a, b, d, e, f, g;
    ss_line_write(text, "cost", "%s of %s products' worth: %s products, %s gradients, %s losses; %s%s%s",
                  N(a, c->products, 3), N(b, c->budget, 3), C(d, c->hessian + c->confirming),
                  C(e, c->gradients), C(f, c->losses), ss_duration_text(c->seconds, g),
                  c->out_of_products ? "; ended by --max-products" : "",
                  c->out_of_time ? "; ended by --time-limit" : "");
}

/* The answer in one sentence, and what it must not hide. */
static void answer(ss_text *text, const ss_verdict *v)
{
    static const char *const steps[SS_DIRECTION_COUNT] = { "a step along the gradient",
                                                           "a step along the negative curvature",
                                                           "one damped Newton step" };
    number                   a, b;
    ss_line                  line;
    P(a, v->left.share);
    ss_line_begin(&line, text, "answer");
    switch (v->left.answer) {
    case SS_ANSWER_SLOPE:
        ss_line_add(&line, "There is slope left: %s gains %s of the loss.", steps[v->left.best], a);
        if (v->witness.proved) ss_line_add(&line, "Negative curvature is real but gains less.");
        break;
    case SS_ANSWER_SADDLE:
        if (v->flat_probe.found)
            ss_line_add(&line,
                        "The loss stands at a saddle that the second derivative does not see: it falls like "
                        "the step to the power %d.",
                        v->flat_probe.order);
        else
            ss_line_add(&line, "Negative curvature is what is left: a step along it gains %s of the loss.",
                        a);
        break;
    case SS_ANSWER_MINIMUM:
        ss_line_add(&line, "This is a minimum: no direction tried gains anything worth having.");
        break;
    case SS_ANSWER_FLOOR:
        ss_line_add(&line, "The loss is as low as it can be: what remains is rounding.");
        break;
    case SS_ANSWER_FLAT:
        ss_line_add(&line, "The gradient lies where the curvature vanishes: the loss is flat here.");
        break;
    case SS_ANSWER_NOISE:
        ss_line_add(&line,
                    "What could be gained here (%s of the loss) is below the sampling error of the loss, %s: "
                    "more steps on these samples would fit noise.",
                    a, N(b, v->left.noise, 2));
        break;
    case SS_ANSWER_MAXIMUM:
        ss_line_add(&line, "This is a maximum: the loss falls in every direction that has curvature.");
        break;
    case SS_ANSWER_NONE:
        if (!v->stationarity.is_critical && v->stationarity.decrease > v->stationarity.limit)
            ss_line_add(
                &line,
                "There is slope left: a damped Newton step promises %s of the loss; no step was tried "
                "that shows it.",
                P(b, v->stationarity.decrease / fabs(v->stationarity.loss)));
        else
            ss_line_add(&line, "Not decided.");
        break;
    case SS_ANSWER_COUNT: break;
    }
    ss_line_end(&line);
}

static void undecided(ss_line *line, const ss_verdict *v)
{
    number a, b;
    switch (v->reason) {
    case SS_REASON_BUDGET:
        ss_line_add(line, "(the budget ended");
        if (isfinite(v->cost.needed_products))
            ss_line_add(line, "; about %s more products, %s, would decide", N(a, v->cost.needed_products, 2),
                        ss_duration_text(v->cost.needed_seconds, b));
        ss_line_add(line, ")");
        break;
    case SS_REASON_NO_LOSS_WITNESS:
        ss_line_add(line, "(negative curvature that no step shows in the loss)");
        break;
    case SS_REASON_KINKS: ss_line_add(line, "(too many units change side at the steps that matter)"); break;
    case SS_REASON_CONTRADICTION: ss_line_add(line, "(the evidence contradicts itself)"); break;
    case SS_REASON_OPERATOR: ss_line_add(line, "(only the Hessian carries a verdict)"); break;
    case SS_REASON_NONE:
    case SS_REASON_COUNT: break;
    }
}

static void label(ss_text *text, const ss_verdict *v)
{
    number  a, b;
    ss_line line;
    ss_line_begin(&line, text, "verdict");
    ss_line_add(&line, "%s", ss_label_name(v->label));
    if (v->evidence == SS_EVIDENCE_HIGHER_ORDER)
        ss_line_add(&line, "(higher order, %d)", v->order);
    else if (v->evidence != SS_EVIDENCE_NONE)
        ss_line_add(&line, "(%s)", ss_evidence_name(v->evidence));
    if (v->strict == SS_TRI_TRUE) ss_line_add(&line, "strict");
    if (v->strict == SS_TRI_FALSE && v->flat_directions >= 0)
        ss_line_add(&line, "with %s flat direction%s, at most %s explained by structure and gauge",
                    C(a, v->flat_directions), v->flat_directions == 1 ? "" : "s",
                    C(b, ss_max64(v->flat_explained, 0)));
    if (!v->complete)
        ss_line_add(&line, "(partial: the run was stopped)");
    else if (v->label == SS_LABEL_INCONCLUSIVE)
        undecided(&line, v);
    ss_line_end(&line);
}

static void blocks(ss_text *text, const ss_verdict *v)
{
    number    a;
    uncertain low, high;
    ss_text_print(text, "\n%-44s %14s %24s %24s %9s\n", "block", "parameters", "lambda_min", "lambda_max",
                  "products");
    for (int64_t i = 0; i < v->n_blocks; i++) {
        const ss_verdict_block *b = &v->blocks[i];
        ss_text_print(text, "%-44s %14s %24s %24s %9lld%s\n", b->name, C(a, b->n),
                      ss_uncertain_text(b->low, b->low_error, low),
                      ss_uncertain_text(b->high, b->high_error, high), (long long)b->products,
                      b->converged ? "" : "  not converged");
    }
    ss_text_print(text, "\n");
}

void ss_report_verdict(ss_text *text, const ss_run *run, const ss_verdict *verdict)
{
    ss_report_head(text, run);
    ss_report_polish(text, &verdict->polish);
    ss_report_verdict_body(text, run, verdict);
}

void ss_report_verdict_body(ss_text *text, const ss_run *run, const ss_verdict *verdict)
{
    loss(text, run, verdict);
    stationarity(text, verdict);
    curvature(text, verdict);
    ss_report_level_set(text, &verdict->level_set);
    scope(text, verdict);
    left(text, verdict);
    probe(text, verdict);
    cost(text, verdict);
    if (verdict->curvature.n_ritz > 0 && verdict->curvature.ritz_value != NULL)
        ss_report_picture(text, verdict->curvature.ritz_value,
                          verdict->curvature.method == SS_METHOD_DENSE ? NULL
                                                                       : verdict->curvature.ritz_residual,
                          verdict->curvature.n_ritz, verdict->operator_error.tau);
    if (verdict->n_blocks > 0) blocks(text, verdict);
    answer(text, verdict);
    label(text, verdict);
}
