/* A spectrum in characters: values on a symmetric logarithmic axis, |value| <= tau in the middle column. */
#include "report/lines.h"
#include "report/report.h"

#include <math.h>
#include <string.h>

#define HALF            40 /* columns on either side of zero */
#define COLUMNS         (2 * HALF + 1)
#define ROWS            6 /* of the histogram */
#define DECADES_AT_MOST 8.0

typedef struct axis {
    double tau;     /* within it: the middle column */
    double largest; /* |value| at the outermost column */
    double decades; /* between the middle and the outermost column */
} axis;

static int column_of(const axis *x, double value)
{
    double size = fabs(value);
    if (size <= x->tau || x->decades <= 0) return HALF;
    double place = 1 + (HALF - 1) * (1 + log10(size / x->largest) / x->decades);
    int    offset = (int)fmin(fmax(round(place), 1), HALF);
    return value < 0 ? HALF - offset : HALF + offset;
}

/* The axis with its ticks: a '+' at each power of ten, labels at the ends and the middle. */
static void draw_axis(ss_text *text, const axis *x)
{
    char line[COLUMNS + 1];
    char low[SS_NUMBER_TEXT], high[SS_NUMBER_TEXT], middle[SS_NUMBER_TEXT];
    memset(line, '-', COLUMNS);
    line[COLUMNS] = '\0';
    for (double power = floor(log10(x->largest)); power > log10(x->largest) - x->decades; power--) {
        line[column_of(x, pow(10, power))] = '+';
        line[column_of(x, -pow(10, power))] = '+';
    }
    line[HALF] = '0';
    ss_text_print(text, "%*s%s\n", SS_LINE_INDENT, "", line);
    ss_number_text(-x->largest, 3, low), ss_number_text(x->largest, 3, high),
        ss_number_text(x->tau, 1, middle);
    char center[2 * SS_NUMBER_TEXT];
    int  width = snprintf(center, sizeof center, "+-%s", middle);
    int  gap = HALF - (int)strlen(low) - width / 2;
    ss_text_print(text, "%*s%s%*s%s", SS_LINE_INDENT, "", low, gap > 1 ? gap : 1, "", center);
    int used = (int)strlen(low) + (gap > 1 ? gap : 1) + width;
    int rest = COLUMNS - used - (int)strlen(high);
    ss_text_print(text, "%*s%s\n", rest > 1 ? rest : 1, "", high);
}

static void draw_columns(ss_text *text, const int64_t counts[COLUMNS])
{
    double tallest = 0;
    for (int i = 0; i < COLUMNS; i++) tallest = fmax(tallest, log2(1.0 + (double)counts[i]));
    double step = fmax(tallest / ROWS, 1);
    for (int row = (int)ceil(tallest / step); row >= 1; row--) {
        char line[COLUMNS + 1];
        int  last = -1;
        for (int i = 0; i < COLUMNS; i++) {
            double height = log2(1.0 + (double)counts[i]) / step;
            line[i] = height >= row - 0.25 ? '#' : (height > row - 1 ? '.' : ' ');
            if (line[i] != ' ') last = i;
        }
        line[last + 1] = '\0';
        ss_text_print(text, "%*s%s\n", SS_LINE_INDENT, "", line);
    }
}

/* Ritz values: 'o' known to a tenth of itself, '.' less well. */
static void draw_marks(ss_text *text, const axis *x, const double *values, const double *residual,
                       int64_t count)
{
    char line[COLUMNS + 1];
    int  last = -1;
    memset(line, ' ', COLUMNS);
    for (int64_t i = 0; i < count; i++) {
        int  column = column_of(x, values[i]);
        bool sure = residual[i] <= 0.1 * fabs(values[i]);
        if (sure || line[column] == ' ') line[column] = sure ? 'o' : '.';
        if (column > last) last = column;
    }
    line[last + 1] = '\0';
    ss_text_print(text, "%*s%s\n", SS_LINE_INDENT, "", line);
}

void ss_report_picture(ss_text *text, const double *values, const double *residual, int64_t count, double tau)
{
    axis    x = { .tau = tau };
    int64_t counts[COLUMNS] = { 0 };
    for (int64_t i = 0; i < count; i++)
        if (isfinite(values[i])) x.largest = fmax(x.largest, fabs(values[i]));
    if (count == 0 || !(x.largest > 0)) {
        ss_line_write(text, "spectrum", "all zero");
        return;
    }
    x.tau = isfinite(tau) && tau > 0 ? fmin(tau, x.largest) : 0;
    double floor_tau = fmax(x.tau, x.largest * pow(10, -DECADES_AT_MOST));
    x.decades = fmax(log10(x.largest / floor_tau), 1);
    for (int64_t i = 0; i < count; i++)
        if (isfinite(values[i])) counts[column_of(&x, values[i])]++;
    if (residual == NULL)
        ss_line_write(text, "spectrum",
                      "%lld eigenvalues, logarithmic axis, heights logarithmic, middle: within tau",
                      (long long)count);
    else
        ss_line_write(
            text, "spectrum",
            "%lld Ritz values, logarithmic axis; o: known within a tenth, .: a bulk lies about there",
            (long long)count);
    if (residual == NULL)
        draw_columns(text, counts);
    else
        draw_marks(text, &x, values, residual, count);
    draw_axis(text, &x);
}
