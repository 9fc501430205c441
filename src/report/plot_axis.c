/* Ranges and ticks: steps of 1, 2 or 5 times a power of ten on linear axes, powers of ten on logarithmic
 * ones. */
#include "report/plot_axis.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The scale as a function that is linear on paper. */
static double stretch(const ss_axis *a, double value)
{
    double size = fabs(value);
    switch (a->scale) {
    case SS_PLOT_LOG: return value > 0 ? log10(value) : NAN;
    case SS_PLOT_SYMLOG:
        return size <= a->linear ? value / a->linear : copysign(1 + log10(size / a->linear), value);
    case SS_PLOT_LINEAR: break;
    }
    return value;
}

double ss_axis_place(const ss_axis *a, double value)
{
    double low = stretch(a, a->low), high = stretch(a, a->high);
    return isfinite(value) ? (stretch(a, value) - low) / (high - low) : NAN;
}

double ss_axis_base(const ss_axis *a)
{
    return a->scale != SS_PLOT_LOG && a->low <= 0 && a->high >= 0 ? 0 : a->low;
}

/* ---- Range ----------------------------------------------------------------------------------------------
 */

static void include(const ss_axis *a, const double *values, int64_t count, double *low, double *high)
{
    for (int64_t i = 0; values != NULL && i < count; i++) {
        if (!isfinite(values[i]) || (a->scale == SS_PLOT_LOG && !(values[i] > 0))) continue;
        *low = fmin(*low, values[i]);
        *high = fmax(*high, values[i]);
    }
}

/* A little room on either side; whole decades are not forced. */
static void widen(ss_axis *a, double low, double high, double share)
{
    if (!(low <= high)) low = a->scale == SS_PLOT_LOG ? 1 : 0, high = low; /* no data at all */
    if (a->scale == SS_PLOT_LOG) {
        double margin = high > low ? pow(high / low, share) : 2;
        a->low = low / margin;
        a->high = high * margin;
        return;
    }
    double margin = high > low ? share * (high - low) : fmax(0.5 * fabs(high), 0.5);
    a->low = low - margin;
    a->high = high + margin;
    if (a->scale == SS_PLOT_SYMLOG && high > low) {
        a->low = low < 0 ? 1.3 * low : low - 0.3 * fmax(fabs(low), a->linear);
        a->high = high > 0 ? 1.3 * high : high + 0.3 * fmax(fabs(high), a->linear);
    }
}

/* ---- Ticks ----------------------------------------------------------------------------------------------
 */

static ss_tick *add(ss_axis *a, double value, bool minor)
{
    double slack = 1e-9;
    double place = ss_axis_place(a, value);
    if (a->n_ticks == SS_PLOT_TICKS || !(place >= -slack && place <= 1 + slack)) return NULL;
    ss_tick *tick = &a->tick[a->n_ticks++];
    tick->value = value;
    tick->minor = minor;
    tick->label[0] = '\0';
    return tick;
}

static void ticks_linear(ss_axis *a)
{
    double range = a->high - a->low, rough = range / 5, power = pow(10, floor(log10(rough)));
    double step = rough / power < 1.5   ? power
                  : rough / power < 3.5 ? 2 * power
                  : rough / power < 7.5 ? 5 * power
                                        : 10 * power;
    double largest = fmax(fabs(a->low), fabs(a->high));
    int    order = (int)floor(log10(largest) + 1e-9);
    a->exponent = order >= 5 || order <= -4 ? order : 0;
    double unit = pow(10, a->exponent);
    int    decimals = (int)fmax(0, -floor(log10(step / unit) + 1e-9));
    for (double k = ceil(a->low / step - 1e-9); k * step <= a->high + 1e-9 * range; k++) {
        ss_tick *tick = add(a, k * step, false);
        if (tick != NULL)
            snprintf(tick->label, sizeof tick->label, "%.*f", decimals, k == 0 ? 0.0 : k * step / unit);
    }
}

/* "10^-3" with raised digits, or the plain number where it is short. */
static void label_power(ss_tick *tick, int power, bool negative)
{
    static const char *const raised[] = { "\xe2\x81\xb0", "\xc2\xb9",     "\xc2\xb2",     "\xc2\xb3",
                                          "\xe2\x81\xb4", "\xe2\x81\xb5", "\xe2\x81\xb6", "\xe2\x81\xb7",
                                          "\xe2\x81\xb8", "\xe2\x81\xb9" };
    char                     digits[12];
    const char              *sign = negative ? "-" : "";
    if (power >= -2 && power <= 3) {
        snprintf(tick->label, sizeof tick->label, "%s%.*f", sign, power < 0 ? -power : 0, pow(10, power));
        return;
    }
    size_t length =
        (size_t)snprintf(tick->label, sizeof tick->label, "%s10%s", sign, power < 0 ? "\xe2\x81\xbb" : "");
    snprintf(digits, sizeof digits, "%d", power < 0 ? -power : power);
    for (const char *d = digits; *d != '\0' && length + 4 < sizeof tick->label; d++)
        length += (size_t)snprintf(tick->label + length, sizeof tick->label - length, "%s", raised[*d - '0']);
}

/* Powers of ten from `smallest` to `largest`, every `every`-th labelled, the lines between them for few
 * decades. */
static void ticks_powers(ss_axis *a, double smallest, double largest, int at_most, bool negative)
{
    int first = (int)ceil(log10(smallest) - 1e-9), last = (int)floor(log10(largest) + 1e-9);
    int every = (last - first) / at_most + 1;
    for (int power = first - 1; power <= last; power++) {
        double value = pow(10, power) * (negative ? -1 : 1);
        if (power >= first) {
            ss_tick *tick = add(a, value, (last - power) % every != 0);
            if (tick != NULL && !tick->minor) label_power(tick, power, negative);
        }
        for (int k = 2; last - first <= 3 && k < 10; k++)
            if (fabs(k * value) >= smallest) add(a, k * value, true);
    }
}

static void make_ticks(ss_axis *a)
{
    a->n_ticks = 0;
    a->exponent = 0;
    if (a->scale == SS_PLOT_LINEAR || (a->scale == SS_PLOT_LOG && a->high < 8 * a->low)) {
        ticks_linear(a);
    } else if (a->scale == SS_PLOT_LOG) {
        ticks_powers(a, a->low, a->high, 8, false);
    } else {
        ss_tick *zero = add(a, 0, false);
        if (zero != NULL) snprintf(zero->label, sizeof zero->label, "0");
        /* Beside the label of zero there is room from the first whole power beyond the linear middle on. */
        double inner = a->linear * 1.0000001;
        if (a->high > inner) ticks_powers(a, fmax(inner, a->low), a->high, a->low < -inner ? 4 : 7, false);
        if (a->low < -inner) ticks_powers(a, fmax(inner, -a->high), -a->low, a->high > inner ? 4 : 7, true);
    }
}

static void complete(const ss_plot_axis *wanted, double low, double high, double share, ss_axis *a)
{
    a->low = wanted->low;
    a->high = wanted->high;
    if (!(wanted->low < wanted->high) || (a->scale == SS_PLOT_LOG && !(wanted->low > 0)))
        widen(a, low, high, share);
    make_ticks(a);
}

static void start(const ss_plot_axis *wanted, ss_axis *a)
{
    a->scale = wanted->scale;
    a->linear = wanted->linear;
    if (a->scale == SS_PLOT_SYMLOG && !(a->linear > 0)) a->scale = SS_PLOT_LINEAR;
}

void ss_axis_of_x(const ss_plot *plot, ss_axis *a)
{
    double low = INFINITY, high = -INFINITY;
    start(&plot->x, a);
    for (int64_t i = 0; i < plot->n_series; i++)
        include(a, plot->series[i].x, plot->series[i].count, &low, &high);
    for (int64_t i = 0; i < plot->n_marks; i++) include(a, &plot->marks[i].x, 1, &low, &high);
    if (plot->contour != NULL) include(a, plot->contour->x, plot->contour->nx, &low, &high);
    complete(&plot->x, low, high, plot->contour != NULL ? 0 : 0.02, a);
}

void ss_axis_of_y(const ss_plot *plot, ss_axis *a)
{
    double low = INFINITY, high = -INFINITY;
    bool   stems = false;
    start(&plot->y, a);
    for (int64_t i = 0; i < plot->n_series; i++) {
        const ss_plot_series *s = &plot->series[i];
        include(a, s->y, s->count, &low, &high);
        if (s->kind == SS_PLOT_BAND) include(a, s->y2, s->count, &low, &high);
        stems |= s->kind == SS_PLOT_STEMS;
    }
    for (int64_t i = 0; i < plot->n_marks; i++) include(a, &plot->marks[i].y, 1, &low, &high);
    if (stems && a->scale != SS_PLOT_LOG) low = fmin(low, 0), high = fmax(high, 0);
    if (plot->contour != NULL) include(a, plot->contour->y, plot->contour->ny, &low, &high);
    complete(&plot->y, low, high, plot->contour != NULL ? 0 : 0.05, a);
}
