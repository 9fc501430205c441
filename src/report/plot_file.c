/* Pictures as files, and as gnuplot scripts that hold their data. */
#include "report/plot.h"

#include "base/output.h"
#include "report/plot_axis.h"
#include "report/plot_contour.h"

#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- The script -----------------------------------------------------------------------------------------
 */

static void quoted(ss_text *text, const char *words)
{
    ss_text_print(text, "'");
    for (const char *c = words != NULL ? words : ""; *c != '\0'; c++)
        ss_text_print(text, *c == '\'' ? "''" : "%c", (unsigned char)*c < 0x20 ? ' ' : *c);
    ss_text_print(text, "'");
}

static void number(ss_text *text, double value)
{
    if (isfinite(value))
        ss_text_print(text, " %.9g", value);
    else
        ss_text_print(text, " NaN");
}

static void series_data(ss_text *text, const ss_plot_series *s, int64_t panel, int64_t index)
{
    ss_text_print(text, "$p%lld_%lld << EOD\n", (long long)panel, (long long)index);
    for (int64_t i = 0; i < s->count; i++) {
        number(text, s->x[i]);
        number(text, s->y[i]);
        if (s->kind == SS_PLOT_BAND) number(text, s->y2[i]);
        ss_text_print(text, "\n");
    }
    ss_text_print(text, "EOD\n");
}

/* Share of the levels at or below z: what the colour shows. */
static double shade(const ss_plot_contour *c, double z)
{
    int64_t below = 0;
    while (below < c->n_levels && !(z < c->levels[below])) below++;
    return c->n_levels > 0 ? (double)below / (double)c->n_levels : 0;
}

static void loop_point(void *user, double x, double y, bool first)
{
    ss_text *text = user;
    ss_text_print(text, "%s%.6g %.6g\n", first ? "\n" : "", x, y);
}

/* The grid (x, y, colour, value), and the boundaries of its level sets. */
static void contour_data(ss_text *text, const ss_plot_contour *c, int64_t panel)
{
    ss_text_print(text, "$z%lld << EOD\n", (long long)panel);
    for (int64_t j = 0; j < c->ny; j++)
        for (int64_t i = 0; i < c->nx; i++) {
            double z = c->z[j * c->nx + i];
            number(text, c->x[i]);
            number(text, c->y[j]);
            number(text, shade(c, z));
            number(text, z);
            ss_text_print(text, "\n");
        }
    ss_text_print(text, "EOD\n$l%lld << EOD\n", (long long)panel);
    for (int64_t k = 0; k < c->n_levels && text->status == SS_OK; k++) {
        ss_status status = ss_contour_loops(text->context, c, c->levels[k], loop_point, text);
        if (status != SS_OK) text->status = status;
    }
    ss_text_print(text, "EOD\n");
}

/* gnuplot has no symmetric logarithmic axis of its own: asinh is one, up to the width of its middle. */
static void axis_commands(ss_text *text, const char *name, const ss_plot_axis *described, const ss_axis *axis)
{
    ss_text_print(text, "unset logscale %s\nunset nonlinear %s\n", name, name);
    if (axis->scale == SS_PLOT_LOG)
        ss_text_print(text, "set logscale %s\nset format %s '%%.0e'\n", name, name);
    if (axis->scale == SS_PLOT_SYMLOG)
        ss_text_print(text, "set nonlinear %s via asinh(%s/%.9g) inverse %.9g*sinh(%s)\n", name, name,
                      axis->linear, axis->linear, name);
    if (axis->scale != SS_PLOT_LOG) ss_text_print(text, "set format %s '%%g'\n", name);
    ss_text_print(text, "set %srange [%.9g:%.9g]\nset %slabel ", name, axis->low, axis->high, name);
    quoted(text, described->label);
    ss_text_print(text, "\nset %stics autofreq\n", name);
    if (axis->scale != SS_PLOT_SYMLOG) return;
    ss_text_print(text, "set %stics (", name);
    for (int i = 0, some = 0; i < axis->n_ticks; i++)
        if (!axis->tick[i].minor)
            ss_text_print(text, "%s'%s' %.9g", some++ > 0 ? ", " : "", axis->tick[i].label,
                          axis->tick[i].value);
    ss_text_print(text, ")\n");
}

static void plot_series(ss_text *text, const ss_plot_series *s, int64_t panel, int64_t index)
{
    static const char *const styles[] = { [SS_PLOT_LINE] = "lines",
                                          [SS_PLOT_STEP] = "steps",
                                          [SS_PLOT_SCATTER] = "points pointtype 7 pointsize 0.6",
                                          [SS_PLOT_STEMS] = "impulses",
                                          [SS_PLOT_BAND] = "filledcurves fillstyle transparent solid 0.25" };
    ss_text_print(text, "$p%lld_%lld using %s with %s linecolor rgb '%s'%s ", (long long)panel,
                  (long long)index, s->kind == SS_PLOT_BAND ? "1:2:3" : "1:2", styles[s->kind],
                  ss_plot_color(s), s->dashed ? " dashtype 2" : "");
    if (s->name == NULL)
        ss_text_print(text, "notitle");
    else
        ss_text_print(text, "title "), quoted(text, s->name);
}

static void panel_commands(ss_text *text, const ss_plot *plot, int64_t panel)
{
    ss_axis x, y;
    int64_t drawn = 0;
    ss_axis_of_x(plot, &x);
    ss_axis_of_y(plot, &y);
    axis_commands(text, "x", &plot->x, &x);
    axis_commands(text, "y", &plot->y, &y);
    ss_text_print(text, "set title ");
    quoted(text, plot->title);
    ss_text_print(text, "\nunset label\n");
    for (int64_t i = 0; i < plot->n_marks; i++) {
        ss_text_print(text, "set label ");
        quoted(text, plot->marks[i].text);
        ss_text_print(text, " at %.9g,%.9g point pointtype 2 linecolor rgb '#d00000' offset 0.6,0.6 front\n",
                      plot->marks[i].x, plot->marks[i].y);
    }
    ss_text_print(text, "plot ");
    if (plot->contour != NULL) {
        ss_text_print(text, "$z%lld using 1:2:3 with image notitle", (long long)panel), drawn++;
        if (plot->contour->n_levels > 0)
            ss_text_print(text, ", $l%lld using 1:2 with lines linecolor rgb '#ffffff' notitle",
                          (long long)panel);
    }
    for (int64_t i = 0; i < plot->n_series; i++) {
        if (drawn++ > 0) ss_text_print(text, ", \\\n     ");
        plot_series(text, &plot->series[i], panel, i);
    }
    if (drawn == 0) ss_text_print(text, "NaN notitle");
    ss_text_print(text, "\n");
}

void ss_plot_gnuplot(ss_text *text, const ss_plot *panels, int64_t count)
{
    int width, height;
    ss_plot_size(panels, count, &width, &height);
    ss_text_print(text,
                  "# Draw with: gnuplot THIS_FILE > picture.png\n"
                  "set terminal pngcairo size %d,%d noenhanced font 'sans,10'\nset encoding utf8\n",
                  width, height);
    for (int64_t p = 0; p < count; p++) {
        for (int64_t i = 0; i < panels[p].n_series; i++) series_data(text, &panels[p].series[i], p, i);
        if (panels[p].contour != NULL) contour_data(text, panels[p].contour, p);
    }
    ss_text_print(text, "set grid\nset key outside top center horizontal\nset cbrange [0:1]\nunset "
                        "colorbox\nset palette defined (0 '#440154', "
                        "1 '#3b528b', 2 '#21918c', 3 '#5ec962', 4 '#fde725')\n");
    if (count > 1) ss_text_print(text, "set multiplot layout 1,%lld\n", (long long)count);
    for (int64_t p = 0; p < count; p++) panel_commands(text, &panels[p], p);
    if (count > 1) ss_text_print(text, "unset multiplot\n");
}

/* ---- Files ----------------------------------------------------------------------------------------------
 */

static bool ends_with(const char *path, const char *end)
{
    size_t length = strlen(path), tail = strlen(end);
    return length > tail && strcmp(path + length - tail, end) == 0;
}

ss_status ss_plot_check_name(ss_context *context, const char *path)
{
    if (ends_with(path, ".svg") || ends_with(path, ".png") || ends_with(path, ".gp")) return SS_OK;
    return ss_fail(context, SS_ERROR_USAGE, "%s: a picture is named .svg, .png or .gp (a gnuplot script)",
                   path);
}

/* Runs gnuplot on a script and takes its standard output, the picture. *started is false when there is no
 * gnuplot. */
static ss_status run_gnuplot(ss_context *context, const char *script, ss_text *picture, bool *started)
{
    ss_status                  status = SS_OK;
    char *const                arguments[] = { (char[]){ "gnuplot" }, (char *)(uintptr_t)script, NULL };
    posix_spawn_file_actions_t actions;
    int                        ends[2], ended = 0;
    pid_t                      child = -1;
    char                       buffer[16384];
    ssize_t                    got;
    *started = false;
    if (pipe(ends) != 0) return ss_fail(context, SS_ERROR_RUNTIME, "no pipe to gnuplot: %s", strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    int code = posix_spawnp(&child, "gnuplot", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    *started = code == 0;
    while (code == 0 && ((got = read(ends[0], buffer, sizeof buffer)) > 0 || (got < 0 && errno == EINTR)))
        if (got > 0) ss_text_append(picture, buffer, got);
    close(ends[0]);
    if (code != 0) return SS_OK;
    while (waitpid(child, &ended, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(ended) && WEXITSTATUS(ended) == 127 && picture->length == 0)
        *started = false; /* some systems learn of a missing program in the child only */
    else if (!WIFEXITED(ended) || WEXITSTATUS(ended) != 0 || picture->length == 0)
        status = ss_fail(context, SS_ERROR_RUNTIME, "gnuplot failed on %s", script);
    return status != SS_OK ? status : picture->status;
}

static ss_status write_png(ss_context *context, const char *path, const ss_text *script)
{
    ss_status status = SS_OK;
    char     *beside = NULL;
    ss_text   picture;
    bool      started = false;
    ss_text_init(context, &picture);
    SS_TRY(ss_format(context, &beside, "%s.gp", path));
    SS_TRY(ss_output_file(context, beside, script->bytes, (size_t)script->length));
    SS_TRY(run_gnuplot(context, beside, &picture, &started));
    if (started)
        SS_TRY(ss_output_file(context, path, picture.bytes, (size_t)picture.length));
    else
        ss_log(context, SS_LOG_WARNING,
               "%s is not drawn, gnuplot is not installed: run `gnuplot %s > %s` where it is, or "
               "ask for .svg",
               path, beside, path);
fail:
    ss_text_release(&picture);
    ss_free(context, beside);
    return status;
}

ss_status ss_plot_write(ss_context *context, const char *path, const ss_plot *panels, int64_t count)
{
    ss_status status = SS_OK;
    ss_text   text;
    ss_text_init(context, &text);
    SS_TRY(ss_plot_check_name(context, path));
    if (ends_with(path, ".svg"))
        ss_plot_svg(&text, panels, count);
    else
        ss_plot_gnuplot(&text, panels, count);
    SS_TRY(text.status);
    if (ends_with(path, ".png"))
        SS_TRY(write_png(context, path, &text));
    else
        SS_TRY(ss_output_file(context, path, text.bytes, (size_t)text.length));
fail:
    ss_text_release(&text);
    return status;
}
