/* What follows a verdict as HTML reports: escape, study, track. polish is a verdict (verdict_html.c). */
#include "report/html.h"

#include <math.h>
#include <stdio.h>

typedef char number[SS_NUMBER_TEXT];

#define COUNT(array) ((int64_t)(sizeof(array) / sizeof *(array)))

/* A picture of one result, which may have nothing to show. */
#define PICTURE(html, plot, result, words)                                                                   \
    do {                                                                                                     \
        ss_html_figure figure = { (html), (words) };                                                         \
        ss_status      drawn = plot((html)->context, (result), ss_html_draw, &figure);                       \
        if ((html)->status == SS_OK) (html)->status = drawn;                                                 \
    } while (0)

static bool begin(ss_text *html, const ss_run *run, const char *word, const ss_text *report,
                  const char *heading)
{
    char words[512] = "";
    if (html->status == SS_OK) html->status = report->status;
    if (html->status != SS_OK) return false;
    ss_html_words_of(report->bytes, heading, words, sizeof words);
    ss_html_begin(html, run->network, word, words[0] != '\0' ? words : NULL);
    return true;
}

/* ---- escape ---------------------------------------------------------------------------------------------
 */

static const ss_html_meaning escape_meanings[] = {
    { "start", "The verdict where the weights lay. v is a unit direction whose curvature v'Hv was proved "
               "negative; up to "
               "r_valid the quadratic model of the loss is good to a tenth." },
    { "search", "The true loss at growing steps both ways, beside what slope and curvature predict. The "
                "longest step whose real "
                "decrease is still half of the predicted one counts; of several directions the one that "
                "gains most is taken." },
    { "escape", "The step that was taken." },
    { "descent",
      "A trust-region Newton method went on from there; every arrival was judged like the start." },
    { "moved", "How far the weights have travelled, and what that has cost." },
    { "loss", "Where it ended; from here on the lines are the verdict there." }
};

void ss_html_escape(ss_text *html, const ss_run *run, const ss_escape_report *r, const ss_text *report)
{
    ss_html_meaning meanings[64];
    int64_t         count = 0;
    bool            left = r->escape.left;
    if (!begin(html, run, left ? "the saddle was left" : "nothing was left", report, "escape")) return;
    if (r->escape.n_rows > 0)
        PICTURE(html, ss_report_escape_plot, &r->escape,
                "The decrease of the loss along each direction that was tried, beside the prediction of "
                "slope and "
                "curvature. Where the curves part, the Hessian has nothing more to say.");
    if (left) ss_html_verdict_pictures(html, &r->escape.after);
    for (int64_t i = 0; i < COUNT(escape_meanings); i++) meanings[count++] = escape_meanings[i];
    for (int64_t i = 0; i < ss_html_n_verdict_meanings && count < COUNT(meanings); i++)
        meanings[count++] = ss_html_verdict_meanings[i];
    ss_html_evidence(html, run, report, meanings, count);
}

/* ---- study ----------------------------------------------------------------------------------------------
 */

static const ss_html_meaning study_meanings[] = {
    { "points", "One network each: trained on the loss for a while, then taken to where the gradient "
                "vanishes by a Newton-type "
                "method. critical: it has vanished. gradient_flat: stalled where what is left of it lies in "
                "the kernel of the "
                "Hessian. escaping: the parameters run to infinity. unfinished: the steps ended first. Only "
                "critical points count." },
    { "critical", "Verdicts of the critical points, by all eigenvalues of the Hessian. Below, by Dauphin's "
                  "index: the share of "
                  "eigenvalues that are negative." }
};

void ss_html_study(ss_text *html, const ss_run *run, const ss_study_result *r, const ss_text *report)
{
    char word[64];
    snprintf(word, sizeof word, "%lld critical points", (long long)r->ends[SS_END_CRITICAL]);
    if (!begin(html, run, word, report, "critical")) return;
    if (r->n_points > 0)
        PICTURE(html, ss_report_study_plot, r,
                "Each point is a network where the gradient has vanished. Right: the curvature is positive "
                "in all "
                "directions that have a sign, a minimum. Further left: more and more directions lead down.");
    ss_html_evidence(html, run, report, study_meanings, COUNT(study_meanings));
}

/* ---- track ----------------------------------------------------------------------------------------------
 */

/* Columns of the table; those without any value are left out. */
enum { NAME, LOSS, GRADIENT, LOWEST, HIGHEST, SCALED, THRESHOLD, OVERLAP, LABEL, TRACK_COLUMNS };

static const char *const track_heads[TRACK_COLUMNS] = { "checkpoint", "loss",       "|g|",
                                                        "lambda_min", "lambda_max", "P-scaled",
                                                        "threshold",  "overlap",    "verdict" };

static double value_of(const ss_track_point *p, int column)
{
    switch (column) {
    case LOSS: return p->loss;
    case GRADIENT: return p->gradient;
    case LOWEST: return p->lambda_min;
    case HIGHEST: return p->lambda_max;
    case SCALED: return p->preconditioned;
    case THRESHOLD: return p->threshold;
    case OVERLAP: return p->overlap;
    default: return (double)NAN;
    }
}

static void track_table(ss_text *html, const ss_track_result *r)
{
    static const int digits[TRACK_COLUMNS] = { 0, 6, 3, 4, 5, 5, 4, 3, 0 };
    const char      *cells[TRACK_COLUMNS];
    number           text[TRACK_COLUMNS];
    int              shown[TRACK_COLUMNS], n_shown = 0;
    size_t           folder = ss_report_track_folder(r);
    for (int c = 0; c < TRACK_COLUMNS; c++) {
        bool any = c == NAME || c == LABEL;
        for (int64_t i = 0; i < r->n_points; i++) any = any || isfinite(value_of(&r->points[i], c));
        if (!any) continue;
        cells[n_shown] = track_heads[c];
        shown[n_shown++] = c;
    }
    ss_html_table_begin(html, cells, n_shown);
    for (int64_t i = 0; i < r->n_points; i++) {
        const ss_track_point *p = &r->points[i];
        for (int k = 0; k < n_shown; k++) {
            double value = value_of(p, shown[k]);
            cells[k] = shown[k] == NAME    ? p->name + folder
                       : shown[k] == LABEL ? ss_label_name(p->label)
                       : isfinite(value)   ? ss_number_text(value, digits[shown[k]], text[k])
                                           : "";
        }
        ss_html_table_row(html, cells, n_shown);
    }
    ss_html_table_end(html);
}

void ss_html_track(ss_text *html, const ss_run *run, const ss_track_result *r)
{
    char    word[64];
    ss_text report;
    ss_text_init(html->context, &report);
    ss_report_head(&report, run);
    snprintf(word, sizeof word, "%lld checkpoints", (long long)r->n_points);
    if (!begin(html, run, word, &report, "")) goto release;
    if (r->n_points > 0)
        PICTURE(html, ss_report_track_plot, r,
                "The largest curvature along the run, beside the largest that the optimizer can stand at its "
                "learning "
                "rate, where that was stated; and the loss.");
    ss_html_section(html, "The checkpoints");
    ss_html_paragraph(
        html,
        "lambda_min and lambda_max are the extreme eigenvalues of the Hessian, at the same samples and "
        "from the same start vectors everywhere; the error bars stand in the table (--output) and in the "
        "JSON. P-scaled: the highest eigenvalue of P^-1/2 H P^-1/2 (--precondition). threshold: the "
        "largest curvature at which %s does not diverge on a quadratic. overlap: of the spans of the %lld "
        "highest eigenvectors with the checkpoint before, 1 = the same space. %lld checkpoints were "
        "broken and skipped, %lld were taken over from an earlier run.",
        r->optimizer != NULL ? r->optimizer : "the optimizer (--lr, --optimizer)", (long long)r->subspace,
        (long long)r->n_skipped, (long long)r->reused);
    track_table(html, r);
    ss_html_evidence(html, run, &report, NULL, 0);
release:
    ss_text_release(&report);
}
