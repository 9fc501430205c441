/* Pictures as SVG: a frame with ticks, a legend above it, level sets below the curves, marks on top. */
#include "report/plot.h"

#include "report/plot_axis.h"
#include "report/plot_contour.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_WIDTH  640
#define DEFAULT_HEIGHT 400
#define LETTER         6.8  /* width of an average letter at 12 pixels */
#define LEGEND_LINE    18.0 /* height */

/* Okabe and Ito's colours, told apart by all eyes. */
static const char *const palette[] = { "#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                       "#e69f00", "#56b4e9", "#000000" };

/* One panel while it is drawn. */
typedef struct panel {
    ss_text       *text;
    const ss_plot *plot;
    ss_axis        x, y;
    double         left, top, width, height; /* of the frame, pixels */
    double         labels;                   /* width of the labels of the y axis, pixels */
    bool           broken;                   /* the curve being drawn begins anew at the next point */
} panel;

const char *ss_plot_color(const ss_plot_series *series)
{
    return palette[(size_t)(series->color < 0 ? 0 : series->color) % (sizeof palette / sizeof *palette)];
}

void ss_plot_level_color(double share, char out[8])
{
    static const double stop[5][3] = {
        { 68, 1, 84 }, { 59, 82, 139 }, { 33, 145, 140 }, { 94, 201, 98 }, { 253, 231, 37 }
    };
    double   at = fmin(fmax(share, 0), 1) * 4;
    int      k = (int)fmin(floor(at), 3);
    unsigned rgb[3];
    for (int i = 0; i < 3; i++)
        rgb[i] = (unsigned)lround(stop[k][i] + (at - k) * (stop[k + 1][i] - stop[k][i])) & 255u;
    snprintf(out, 8, "#%02x%02x%02x", rgb[0], rgb[1], rgb[2]);
}

static double px(const panel *p, double x)
{
    return p->left + p->width * ss_axis_place(&p->x, x);
}

static double py(const panel *p, double y)
{
    return p->top + p->height * (1 - ss_axis_place(&p->y, y));
}

/* Far outside the frame long numbers only cost bytes and trouble renderers. */
static double near_frame(double pixel)
{
    return fmin(fmax(pixel, -9999), 9999);
}

static double letters(const char *words)
{
    double count = 0;
    for (const char *c = words; *c != '\0'; c++) count += ((unsigned char)*c & 0xc0) != 0x80;
    return count;
}

static void write_words(const panel *p, double x, double y, const char *attributes, const char *words)
{
    ss_text_print(p->text, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, attributes);
    ss_text_escape(p->text, words);
    ss_text_print(p->text, "</text>\n");
}

/* ---- Frame ----------------------------------------------------------------------------------------------
 */

/* Places the frame in the panel that begins at x0; the y axis' labels and the legend take their room. */
static void place(panel *p, double x0, double width, double height, int legend_lines)
{
    double longest = 1;
    for (int i = 0; i < p->y.n_ticks; i++) longest = fmax(longest, letters(p->y.tick[i].label));
    p->labels = 8 + LETTER * longest;
    p->left = x0 + p->labels + (p->plot->y.label != NULL || p->y.exponent != 0 ? 22 : 4);
    p->top = (p->plot->title != NULL ? 28 : 10) + LEGEND_LINE * legend_lines;
    p->width = x0 + width - 14 - p->left;
    p->height = height - p->top - (p->plot->x.label != NULL || p->x.exponent != 0 ? 46 : 26);
}

static void draw_grid(const panel *p)
{
    for (int strong = 0; strong < 2; strong++) {
        ss_text_print(p->text, "<g stroke=\"%s\" stroke-width=\"1\">\n", strong ? "#d9d9d9" : "#f0f0f0");
        for (int i = 0; i < p->x.n_ticks; i++)
            if (p->x.tick[i].minor != (strong != 0))
                ss_text_print(p->text, "<path d=\"M%.1f %.1fv%.1f\"/>\n", px(p, p->x.tick[i].value), p->top,
                              p->height);
        for (int i = 0; i < p->y.n_ticks; i++)
            if (p->y.tick[i].minor != (strong != 0))
                ss_text_print(p->text, "<path d=\"M%.1f %.1fh%.1f\"/>\n", p->left, py(p, p->y.tick[i].value),
                              p->width);
        ss_text_print(p->text, "</g>\n");
    }
}

static void write_label(const panel *p, const ss_plot_axis *described, const ss_axis *axis, double x,
                        double y, const char *attributes)
{
    char        label[200];
    const char *words = described->label != NULL ? described->label : "";
    if (axis->exponent != 0)
        snprintf(label, sizeof label, "%s  (in 1e%d)", words, axis->exponent);
    else
        snprintf(label, sizeof label, "%s", words);
    if (label[0] != '\0') write_words(p, x, y, attributes, label);
}

static void write_axes(const panel *p)
{
    char   turned[120];
    double bottom = p->top + p->height, middle = p->top + p->height / 2, beside = p->left - p->labels - 6;
    for (int i = 0; i < p->x.n_ticks; i++)
        if (!p->x.tick[i].minor)
            write_words(p, px(p, p->x.tick[i].value), bottom + 16, " text-anchor=\"middle\"",
                        p->x.tick[i].label);
    for (int i = 0; i < p->y.n_ticks; i++)
        if (!p->y.tick[i].minor)
            write_words(p, p->left - 6, py(p, p->y.tick[i].value) + 4, " text-anchor=\"end\"",
                        p->y.tick[i].label);
    write_label(p, &p->plot->x, &p->x, p->left + p->width / 2, bottom + 36, " text-anchor=\"middle\"");
    snprintf(turned, sizeof turned, " text-anchor=\"middle\" transform=\"rotate(-90 %.1f %.1f)\"", beside,
             middle);
    write_label(p, &p->plot->y, &p->y, beside, middle, turned);
    if (p->plot->title != NULL)
        write_words(p, p->left, 18, " font-size=\"14\" font-weight=\"bold\"", p->plot->title);
    ss_text_print(
        p->text,
        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" stroke=\"#555\"/>\n",
        p->left, p->top, p->width, p->height);
}

/* The legend in lines above the frame. Without `draw` only their number is found. */
static int legend(const panel *p, double left, double right, bool draw)
{
    double x = left;
    int    line = 0;
    bool   any = false;
    for (int64_t i = 0; i < p->plot->n_series; i++) {
        const ss_plot_series *s = &p->plot->series[i];
        if (s->name == NULL) continue;
        double width = 30 + LETTER * letters(s->name) + 14;
        if (any && x + width > right) x = left, line++;
        double y = (p->plot->title != NULL ? 28 : 10) + LEGEND_LINE * line + 8;
        any = true;
        if (draw) {
            if (s->kind == SS_PLOT_BAND)
                ss_text_print(p->text,
                              "<rect x=\"%.1f\" y=\"%.1f\" width=\"24\" height=\"10\" fill=\"%s\" "
                              "fill-opacity=\"0.25\"/>\n",
                              x, y - 6, ss_plot_color(s));
            else if (s->kind == SS_PLOT_SCATTER)
                ss_text_print(p->text, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n", x + 12,
                              y - 1, ss_plot_color(s));
            else
                ss_text_print(p->text, "<path d=\"M%.1f %.1fh24\" stroke=\"%s\" stroke-width=\"2\"%s/>\n", x,
                              y - 1, ss_plot_color(s), s->dashed ? " stroke-dasharray=\"6 4\"" : "");
            write_words(p, x + 30, y + 3, "", s->name);
        }
        x += width;
    }
    return any ? line + 1 : 0;
}

/* ---- Series ---------------------------------------------------------------------------------------------
 */

/* One point of a path: begins it anew behind a gap. */
static void path_to(panel *p, double x, double y)
{
    if (!isfinite(x) || !isfinite(y)) {
        p->broken = true;
        return;
    }
    ss_text_print(p->text, "%s%.1f %.1f", p->broken ? "M" : "L", near_frame(x), near_frame(y));
    p->broken = false;
}

static void draw_curve(panel *p, const ss_plot_series *s)
{
    ss_text_print(p->text,
                  "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\" stroke-linejoin=\"round\"%s d=\"",
                  ss_plot_color(s), s->dashed ? " stroke-dasharray=\"6 4\"" : "");
    p->broken = true;
    for (int64_t i = 0; i < s->count; i++) {
        if (s->kind == SS_PLOT_STEP && i > 0 && !p->broken) path_to(p, px(p, s->x[i]), py(p, s->y[i - 1]));
        path_to(p, px(p, s->x[i]), py(p, s->y[i]));
    }
    ss_text_print(p->text, "\"/>\n");
}

static void draw_points(panel *p, const ss_plot_series *s)
{
    double radius = s->count > 2000 ? 1.5 : s->count > 300 ? 2.2 : 3.2;
    ss_text_print(p->text, "<g fill=\"%s\" fill-opacity=\"0.75\">\n", ss_plot_color(s));
    for (int64_t i = 0; i < s->count; i++) {
        double x = px(p, s->x[i]), y = py(p, s->y[i]);
        if (isfinite(x) && isfinite(y))
            ss_text_print(p->text, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>\n", near_frame(x),
                          near_frame(y), radius);
    }
    ss_text_print(p->text, "</g>\n");
}

static void draw_stems(panel *p, const ss_plot_series *s)
{
    double base = py(p, ss_axis_base(&p->y));
    ss_text_print(p->text, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" d=\"", ss_plot_color(s),
                  s->count > 200 ? "1" : "1.8");
    for (int64_t i = 0; i < s->count; i++) {
        double x = px(p, s->x[i]), y = py(p, s->y[i]);
        if (isfinite(x) && isfinite(y))
            ss_text_print(p->text, "M%.1f %.1fV%.1f", near_frame(x), near_frame(base), near_frame(y));
    }
    ss_text_print(p->text, "\"/>\n");
}

/* The area between both edges, a polygon for each stretch without a gap. */
static void draw_band(panel *p, const ss_plot_series *s)
{
    ss_text_print(p->text, "<path fill=\"%s\" fill-opacity=\"0.25\" stroke=\"none\" d=\"", ss_plot_color(s));
    for (int64_t first = 0, last; first < s->count; first = last + 1) {
        for (last = first; last < s->count; last++)
            if (!isfinite(px(p, s->x[last])) || !isfinite(py(p, s->y[last])) || !isfinite(py(p, s->y2[last])))
                break;
        p->broken = true;
        for (int64_t i = first; i < last; i++) path_to(p, px(p, s->x[i]), py(p, s->y[i]));
        for (int64_t i = last - 1; i >= first; i--) path_to(p, px(p, s->x[i]), py(p, s->y2[i]));
        if (last > first) ss_text_print(p->text, "Z");
    }
    ss_text_print(p->text, "\"/>\n");
}

static void draw_series(panel *p, const ss_plot_series *s)
{
    switch (s->kind) {
    case SS_PLOT_LINE:
    case SS_PLOT_STEP: draw_curve(p, s); break;
    case SS_PLOT_SCATTER: draw_points(p, s); break;
    case SS_PLOT_STEMS: draw_stems(p, s); break;
    case SS_PLOT_BAND: draw_band(p, s); break;
    }
}

/* ---- Level sets and marks -------------------------------------------------------------------------------
 */

static void loop_point(void *user, double x, double y, bool first)
{
    panel *p = user;
    ss_text_print(p->text, "%s%.1f %.1f", first ? "M" : "L", px(p, x), py(p, y));
}

static void fill_level(panel *p, double level, const char *attributes)
{
    if (p->text->status != SS_OK) return;
    ss_text_print(p->text, "<path fill-rule=\"evenodd\" %s d=\"", attributes);
    ss_status status = ss_contour_loops(p->text->context, p->plot->contour, level, loop_point, p);
    if (status != SS_OK) p->text->status = status;
    ss_text_print(p->text, "\"/>\n");
}

static void draw_contour(panel *p)
{
    const ss_plot_contour *c = p->plot->contour;
    char                   color[8], attributes[120];
    ss_plot_level_color(0, color);
    ss_text_print(p->text, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n",
                  px(p, c->x[0]), py(p, c->y[c->ny - 1]), px(p, c->x[c->nx - 1]) - px(p, c->x[0]),
                  py(p, c->y[0]) - py(p, c->y[c->ny - 1]), color);
    for (int64_t k = 0; k < c->n_levels; k++) {
        ss_plot_level_color((double)(k + 1) / (double)c->n_levels, color);
        snprintf(attributes, sizeof attributes,
                 "fill=\"%s\" stroke=\"#fff\" stroke-opacity=\"0.35\" stroke-width=\"0.7\"", color);
        fill_level(p, c->levels[k], attributes);
    }
    if (isfinite(c->strong)) fill_level(p, c->strong, "fill=\"none\" stroke=\"#fff\" stroke-width=\"1.8\"");
}

static void draw_marks(panel *p)
{
    for (int64_t i = 0; i < p->plot->n_marks; i++) {
        const ss_plot_mark *m = &p->plot->marks[i];
        double              x = px(p, m->x), y = py(p, m->y);
        if (!isfinite(x) || !isfinite(y)) continue;
        ss_text_print(p->text,
                      "<path d=\"M%.1f %.1fl10 10m0 -10l-10 10\" stroke=\"#fff\" stroke-width=\"4.5\"/>"
                      "<path d=\"M%.1f %.1fl10 10m0 -10l-10 10\" stroke=\"#d00000\" stroke-width=\"2\"/>\n",
                      x - 5, y - 5, x - 5, y - 5);
        if (m->text == NULL) continue;
        bool right = x < p->left + 0.75 * p->width; /* beside the mark, on the side with more room */
        write_words(p, right ? x + 9 : x - 9, y + (y < p->top + 20 ? 15 : -7),
                    right ? " paint-order=\"stroke\" stroke=\"#fff\" stroke-width=\"3\""
                          : " text-anchor=\"end\" paint-order=\"stroke\" stroke=\"#fff\" stroke-width=\"3\"",
                    m->text);
    }
}

/* ---- A figure -------------------------------------------------------------------------------------------
 */

static int width_of(const ss_plot *plot)
{
    return plot->width > 0 ? plot->width : DEFAULT_WIDTH;
}

static int height_of(const ss_plot *plot)
{
    return plot->height > 0 ? plot->height : DEFAULT_HEIGHT;
}

void ss_plot_size(const ss_plot *panels, int64_t count, int *width, int *height)
{
    *width = *height = 0;
    for (int64_t i = 0; i < count; i++) {
        *width += width_of(&panels[i]);
        if (height_of(&panels[i]) > *height) *height = height_of(&panels[i]);
    }
}

/* Clips are told apart by their place in the text: several pictures may stand in one document. */
static void draw_panel(ss_text *text, const ss_plot *plot, double x0)
{
    panel     p = { .text = text, .plot = plot };
    long long clip = (long long)text->length;
    ss_axis_of_x(plot, &p.x);
    ss_axis_of_y(plot, &p.y);
    place(&p, x0, width_of(plot), height_of(plot), 0);
    int lines = legend(&p, p.left, x0 + width_of(plot), false);
    place(&p, x0, width_of(plot), height_of(plot), lines);
    ss_text_print(
        text,
        "<clipPath id=\"c%lld\"><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/></clipPath>\n",
        clip, p.left, p.top, p.width, p.height);
    draw_grid(&p);
    ss_text_print(text, "<g clip-path=\"url(#c%lld)\">\n", clip);
    if (plot->contour != NULL) draw_contour(&p);
    for (int64_t i = 0; i < plot->n_series; i++) draw_series(&p, &plot->series[i]);
    ss_text_print(text, "</g>\n");
    draw_marks(&p);
    legend(&p, p.left, x0 + width_of(plot), true);
    write_axes(&p);
}

void ss_plot_svg(ss_text *text, const ss_plot *panels, int64_t count)
{
    int    width, height;
    double x0 = 0;
    ss_plot_size(panels, count, &width, &height);
    ss_text_print(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
        "font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" role=\"img\">\n"
        "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
        width, height, width, height, width, height);
    for (int64_t i = 0; i < count; i++) {
        draw_panel(text, &panels[i], x0);
        x0 += width_of(&panels[i]);
    }
    ss_text_print(text, "</svg>\n");
}
