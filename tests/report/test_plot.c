/* Pictures: well-formed SVG without references, sensible ticks, level sets of the right area, gaps, files by
 * the end of their name. Each check is shown to fail on a picture with a planted fault. */
#include "report/plot.h"
#include "report/plot_axis.h"
#include "report/plot_contour.h"
#include "support/program.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- XML -------------------------------------------------------------------------------------------------
 */

/* Is this one element with properly nested tags, quoted attributes and known entities? Knows as much of XML
 * as the pictures use. */
static bool well_formed(const char *text)
{
    const char *open[64];
    int         depth = 0, roots = 0;
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '&') {
            const char *end = strchr(c, ';');
            if (end == NULL || end - c > 5) return false;
            c = end;
        } else if (*c == '>') {
            return false;
        } else if (*c == '<') {
            bool        closing = c[1] == '/';
            const char *name = c + 1 + closing, *p = name + strcspn(name, " />\n");
            size_t      length = (size_t)(p - name);
            for (bool inside = false; *p != '\0' && (inside || *p != '>'); p++) {
                if (*p == '"') inside = !inside;
                if (*p == '<') return false;
            }
            if (*p == '\0' || length == 0) return false;
            if (closing) {
                if (depth == 0 || strncmp(open[depth - 1], name, length) != 0 ||
                    open[depth - 1][length] == '-')
                    return false;
                depth--;
            } else if (p[-1] != '/') {
                if (depth == 0 && roots++ > 0) return false;
                if (depth == 64) return false;
                open[depth++] = name;
            }
            c = p;
        }
    }
    return depth == 0 && roots == 1;
}

Test(plot, the_xml_check_can_fail)
{
    cr_expect(well_formed("<a b=\"1>\"><c/>x &amp; y</a>"));
    cr_expect(!well_formed("<a><b></a></b>"));
    cr_expect(!well_formed("<a>1 & 2</a>"));
    cr_expect(!well_formed("<a>"));
    cr_expect(!well_formed("<a/>2 > 1"));
    cr_expect(!well_formed("<a></a><b></b>"));
}

/* ---- Pictures --------------------------------------------------------------------------------------------
 */

#define POINTS 61
static double t[POINTS], wave[POINTS], upper[POINTS], growth[POINTS], signed_t[POINTS];

static void fill(void)
{
    for (int i = 0; i < POINTS; i++) {
        t[i] = 0.1 * i - 3;
        wave[i] = sin(t[i]) + 0.1 * t[i];
        upper[i] = wave[i] + 0.3;
        growth[i] = pow(10, t[i]);
        signed_t[i] = copysign(pow(10, fabs(2 * t[i]) - 6), t[i]);
    }
}

/* One figure of everything: kinds, scales, gaps, entities in words. */
static void everything(ss_text *text, bool gnuplot)
{
    static double z[POINTS * POINTS], levels[SS_PLOT_LEVELS];
    double        gap[POINTS];
    int64_t       n_levels = 0;
    fill();
    memcpy(gap, wave, sizeof gap);
    gap[20] = NAN;
    for (int j = 0; j < POINTS; j++)
        for (int i = 0; i < POINTS; i++) z[j * POINTS + i] = (1 - t[i] * t[j]) * (1 - t[i] * t[j]);
    z[0] = INFINITY;
    ss_test_require(ss_plot_levels(ss_test_context, z, POINTS * POINTS, levels, &n_levels));
    cr_assert(n_levels == SS_PLOT_LEVELS);
    ss_plot_series curves[] = {
        { .name = "band", .kind = SS_PLOT_BAND, .x = t, .y = wave, .y2 = upper, .count = POINTS },
        { .name = "a < b & \"c\"", .kind = SS_PLOT_LINE, .x = t, .y = gap, .count = POINTS },
        { .name = "step",
          .kind = SS_PLOT_STEP,
          .x = t,
          .y = upper,
          .count = POINTS,
          .color = 1,
          .dashed = true },
    };
    ss_plot_series points = {
        .name = "points", .kind = SS_PLOT_SCATTER, .x = signed_t, .y = growth, .count = POINTS, .color = 2
    };
    ss_plot_series  path = { .name = "path",
                             .kind = SS_PLOT_LINE,
                             .x = (double[]){ 0, 1, 2 },
                             .y = (double[]){ 0, 1, 1 },
                             .count = 3,
                             .color = 6 };
    ss_plot_series  stems = { .kind = SS_PLOT_STEMS, .x = t, .y = wave, .count = POINTS, .color = 3 };
    ss_plot_mark    mark = { 0, 0, "critical point" };
    ss_plot_contour contour = { t, t, z, POINTS, POINTS, levels, n_levels, 1 };
    ss_plot         panels[] = {
                { .title = "curves",
                  .x = { .label = "t" },
                  .y = { .label = "it's y" },
                  .series = curves,
                  .n_series = 3 },
                { .title = "scales",
                  .x = { .label = "curvature", .scale = SS_PLOT_SYMLOG, .linear = 1e-6 },
                  .y = { .label = "growth", .scale = SS_PLOT_LOG },
                  .series = &points,
                  .n_series = 1 },
                { .title = "level sets",
                  .x = { .label = "along u" },
                  .y = { .label = "along v" },
                  .series = &path,
                  .n_series = 1,
                  .contour = &contour,
                  .marks = &mark,
                  .n_marks = 1,
                  .width = 460 },
                { .title = "stems", .series = &stems, .n_series = 1, .width = 300 },
    };
    if (gnuplot)
        ss_plot_gnuplot(text, panels, 4);
    else
        ss_plot_svg(text, panels, 4);
    ss_test_require(text->status);
}

static int occurrences(const char *text, const char *word)
{
    int count = 0;
    for (const char *c = strstr(text, word); c != NULL; c = strstr(c + 1, word)) count++;
    return count;
}

Test(plot, svg_is_well_formed_and_refers_to_nothing, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_text text;
    ss_text_init(ss_test_context, &text);
    everything(&text, false);
    cr_expect(well_formed(text.bytes));
    cr_expect(strstr(text.bytes, "a &lt; b &amp; &quot;c&quot;") != NULL);
    /* The only address is the name of the format, and references stay inside. */
    cr_expect(occurrences(text.bytes, "://") == 1 && strstr(text.bytes, "href") == NULL);
    cr_expect(occurrences(text.bytes, "url(") == occurrences(text.bytes, "url(#c"));
    cr_expect(occurrences(text.bytes, "<clipPath id=") == 4);
    cr_expect(strstr(text.bytes, "nan") == NULL && strstr(text.bytes, "inf") == NULL);
    const char *keep = getenv("SS_TEST_KEEP"); /* to look at it */
    if (keep != NULL) {
        ss_text script;
        FILE   *file = fopen(keep, "w");
        fputs(text.bytes, file);
        fclose(file);
        ss_text_init(ss_test_context, &script);
        everything(&script, true);
        char name[512];
        snprintf(name, sizeof name, "%s.gp", keep);
        file = fopen(name, "w");
        fputs(script.bytes, file);
        fclose(file);
        ss_text_release(&script);
    }
    ss_text_release(&text);
}

/* A curve breaks where it has a gap: two strokes begin (M) instead of one. */
Test(plot, a_gap_breaks_the_curve, .init = ss_test_begin, .fini = ss_test_end)
{
    ss_text text;
    double  x[] = { 0, 1, 2, 3, 4, 5 }, y[] = { 1, 2, NAN, 2, 1, 0 };
    for (int with_gap = 0; with_gap < 2; with_gap++) {
        ss_plot_series s = { .kind = SS_PLOT_LINE, .x = x, .y = y, .count = 6 };
        ss_plot        plot = { .series = &s, .n_series = 1 };
        y[2] = with_gap ? NAN : 1.5;
        ss_text_init(ss_test_context, &text);
        ss_plot_svg(&text, &plot, 1);
        char *path = strstr(text.bytes, "stroke-linejoin");
        *strchr(path, '>') = '\0';
        cr_expect(occurrences(path, "M") == 1 + with_gap);
        cr_expect(occurrences(path, "L") == 5 - 2 * with_gap);
        ss_text_release(&text);
    }
}

/* ---- Axes ------------------------------------------------------------------------------------------------
 */

static int labels(const ss_axis *axis)
{
    int count = 0;
    for (int i = 0; i < axis->n_ticks; i++) count += !axis->tick[i].minor;
    return count;
}

Test(plot, ticks_are_round_and_few_whatever_the_range)
{
    for (int k = 0; k < 2000; k++) {
        double low = ldexp((double)(k * 7919 % 1000 - 500), k % 60 - 30),
               size = ldexp(1 + 0.37 * (k % 5), k % 50 - 25);
        double         x[] = { low, low + size };
        ss_plot_series s = { .x = x, .y = x, .count = 2 };
        ss_plot        plot = { .series = &s, .n_series = 1 };
        ss_axis        axis;
        if (low + size == low || size < 1e-6 * fabs(low)) continue;
        ss_axis_of_x(&plot, &axis);
        cr_assert(axis.low <= low && axis.high >= low + size);
        cr_assert(labels(&axis) >= 3 && labels(&axis) <= 9, "%g .. %g: %d labels", low, low + size,
                  labels(&axis));
        for (int i = 0; i < axis.n_ticks; i++) {
            double value = atof(axis.tick[i].label) * pow(10, axis.exponent),
                   step = axis.tick[1].value - axis.tick[0].value;
            cr_assert(fabs(value - axis.tick[i].value) < 1e-6 * step, "%g .. %g: the label of %g reads %s",
                      low, low + size, axis.tick[i].value, axis.tick[i].label);
        }
    }
}

Test(plot, logarithmic_axes_place_and_label_powers)
{
    double         x[] = { 1e-7, 1e4 }, both[] = { -2, 30 };
    ss_plot_series s = { .x = x, .y = both, .count = 2 };
    ss_plot        plot = {
               .series = &s, .n_series = 1, .x.scale = SS_PLOT_LOG, .y = { .scale = SS_PLOT_SYMLOG, .linear = 1e-3 }
    };
    ss_axis axis;
    ss_axis_of_x(&plot, &axis);
    cr_expect(fabs(ss_axis_place(&axis, 1e-2) - ss_axis_place(&axis, 1e-3) - ss_axis_place(&axis, 1e3) +
                   ss_axis_place(&axis, 1e2)) < 1e-12);
    cr_expect(isnan(ss_axis_place(&axis, -1)) && isnan(ss_axis_place(&axis, 0)));
    cr_expect(labels(&axis) >= 4 && labels(&axis) <= 9);
    ss_axis_of_y(&plot, &axis);
    double last = -1;
    for (double v = -2; v <= 30; v += 0.0625) {
        double place = ss_axis_place(&axis, v);
        cr_assert(place > last && place >= 0 && place <= 1);
        last = place;
    }
    cr_expect(labels(&axis) >= 4 && labels(&axis) <= 11);
}

/* ---- Level sets ------------------------------------------------------------------------------------------
 */

/* The signed area inside the loops: sum of cross products. */
typedef struct area {
    double sum, x0, y0, x, y;
    int    loops;
} area;

static void add_point(void *user, double x, double y, bool first)
{
    area *a = user;
    if (first) {
        a->sum += 0.5 * (a->x * a->y0 - a->x0 * a->y); /* closes the loop before */
        a->x0 = x, a->y0 = y;
        a->loops++;
    } else {
        a->sum += 0.5 * (a->x * y - x * a->y);
    }
    a->x = x, a->y = y;
}

static area area_above(const ss_plot_contour *c, double level)
{
    area a = { 0 };
    ss_test_require(ss_contour_loops(ss_test_context, c, level, add_point, &a));
    a.sum += 0.5 * (a.x * a.y0 - a.x0 * a.y);
    return a;
}

Test(plot, level_sets_have_the_right_area, .init = ss_test_begin, .fini = ss_test_end)
{
    static double   x[201], z[201 * 201];
    ss_plot_contour c = { .x = x, .y = x, .z = z, .nx = 201, .ny = 201 };
    for (int i = 0; i < 201; i++) x[i] = -2 + 0.02 * i;
    for (int j = 0; j < 201; j++)
        for (int i = 0; i < 201; i++) z[j * 201 + i] = hypot(x[i], x[j]); /* a cone */
    area a = area_above(&c, 1);
    cr_expect(a.loops == 2 && fabs(a.sum - (16 - 3.14159265)) < 2e-3, "%g in %d loops", a.sum, a.loops);
    cr_expect(fabs(area_above(&c, 0).sum - 16) < 1e-9);   /* all of it: the border alone */
    cr_expect(fabs(area_above(&c, 3).sum) < 1e-9);        /* none */
    cr_expect(fabs(area_above(&c, 1.2).sum - a.sum) > 1); /* another level is another set */
    for (int j = 0; j < 201; j++)
        for (int i = 0; i < 201; i++) z[j * 201 + i] = (x[i] + 0.013) * (x[j] + 0.007); /* a saddle */
    a = area_above(&c, 0);
    cr_expect(fabs(a.sum - (2.013 * 2.007 + 1.987 * 1.993)) < 2e-3, "%g", a.sum);
    for (int j = 0; j < 201; j++)
        for (int i = 0; i < 201; i++) z[j * 201 + i] = i < 100 ? INFINITY : 0; /* half of it overflows */
    cr_expect(fabs(area_above(&c, 1).sum - 8) < 0.1);
}

/* ---- Files -----------------------------------------------------------------------------------------------
 */

Test(plot, files_by_the_end_of_their_name, .init = ss_test_begin, .fini = ss_test_end)
{
    double         x[] = { 0, 1 };
    ss_plot_series s = { .name = "s", .x = x, .y = x, .count = 2 };
    ss_plot        plot = { .series = &s, .n_series = 1 };
    size_t         bytes = 0;
    cr_assert(chdir(ss_test_directory()) == 0);
    ss_test_require(ss_plot_write(ss_test_context, "p.svg", &plot, 1));
    char *text = ss_test_read_file("p.svg", &bytes);
    cr_expect(well_formed(text));
    ss_free(ss_test_context, text);
    ss_test_require(ss_plot_write(ss_test_context, "p.gp", &plot, 1));
    /* The script stands beside the PNG in any case; the PNG itself where gnuplot is installed. */
    ss_test_require(ss_plot_write(ss_test_context, "p.png", &plot, 1));
    cr_expect(ss_test_exists("p.png.gp"));
    if (system("gnuplot --version >/dev/null 2>&1") == 0) {
        text = ss_test_read_file("p.png", &bytes);
        cr_expect(bytes > 100 && memcmp(text, "\x89PNG", 4) == 0);
        ss_free(ss_test_context, text);
    } else {
        cr_expect(!ss_test_exists("p.png"));
    }
    cr_expect(ss_plot_write(ss_test_context, "p.jpeg", &plot, 1) == SS_ERROR_USAGE);
    cr_expect(strstr(ss_context_message(ss_test_context), "p.jpeg") != NULL);
    ss_context_clear_message(ss_test_context);
    cr_expect(ss_plot_write(ss_test_context, "absent/p.svg", &plot, 1) == SS_ERROR_OUTPUT);
    ss_context_clear_message(ss_test_context);
    /* Without gnuplot in the path: the script, and no failure. */
    setenv("PATH", "/nowhere", 1);
    unlink("p.png");
    unlink("p.png.gp");
    ss_test_require(ss_plot_write(ss_test_context, "p.png", &plot, 1));
    cr_expect(!ss_test_exists("p.png") && ss_test_exists("p.png.gp"));
}

Test(plot, every_allocation_fails_cleanly, .init = ss_test_begin, .fini = ss_test_end)
{
    int64_t before = ss_context_allocations(ss_test_context), failed = 0;
    ss_text text;
    ss_text_init(ss_test_context, &text);
    everything(&text, false);
    ss_text_release(&text);
    int64_t         all = ss_context_allocations(ss_test_context) - before;
    double          x[] = { 0, 1 }, z[] = { 0, 1, 1, 0 }, level = 0.5;
    ss_plot_contour c = { x, x, z, 2, 2, &level, 1, NAN };
    ss_plot         plot = { .contour = &c };
    for (int64_t nth = 1; nth <= all; nth++) {
        ss_text_init(ss_test_context, &text);
        ss_context_fail_allocation(ss_test_context, nth);
        ss_plot_svg(&text, &plot, 1);
        ss_context_fail_allocation(ss_test_context, 0);
        failed += text.status == SS_ERROR_MEMORY;
        ss_text_release(&text);
        ss_context_clear_message(ss_test_context);
        cr_assert(ss_context_memory_now(ss_test_context) == 0);
    }
    cr_expect(failed >= 3);
}
