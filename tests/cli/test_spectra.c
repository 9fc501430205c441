/* density, trace and slice as a user sees them: the toy surface is reproduced, curves and bounds agree with
 * the dense spectrum, files are what they claim, mistakes are named, a stopped run delivers what it knows. */
#include "support/program.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SADDLE  SS_SOURCE_DIRECTORY "/examples/toy_saddle"
#define MINIMUM SS_SOURCE_DIRECTORY "/examples/toy_minimum"
#define CUBIC   SS_SOURCE_DIRECTORY "/examples/toy_cubic"
#define NETWORK SS_SOURCE_DIRECTORY "/tests/cases/gelu_mse"
#define LOSS    "--loss", "mse", "--quiet"

static ss_test_program run;

static void enter(void)
{
    cr_assert(chdir(ss_test_directory()) == 0);
}

static void succeed(void)
{
    cr_assert(run.exit_status == 0, "status %d: %s", run.exit_status, run.err);
}

/* The "result" of a JSON file; release the document. */
static json_t *result_of(const char *path, json_t **document)
{
    *document = ss_test_json(path);
    return json_object_get(*document, "result");
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* Reads a CSV of `columns` numbers; rows[at most 4000]. Returns the number of rows, having checked the head.
 */
static int read_csv(const char *path, const char *head, int columns, double rows[][6])
{
    size_t bytes = 0;
    char  *text = ss_test_read_file(path, &bytes), *line = text;
    int    count = 0;
    cr_assert(strncmp(line, head, strlen(head)) == 0 && line[strlen(head)] == '\n', "%s", path);
    for (line = strchr(line, '\n') + 1; *line != '\0' && count < 4000; count++)
        for (int i = 0; i < columns; i++) {
            char *end = line;
            rows[count][i] = strtod(line, &end);
            cr_assert(end > line && *end == (i + 1 < columns ? ',' : '\n'), "%s, row %d", path, count);
            line = end + 1;
        }
    ss_free(ss_test_context, text);
    return count;
}

static double rows[4000][6];

/* ---- slice ----------------------------------------------------------------------------------------------
 */

/* y = w1 w2 x at the origin: along (1, 1) and (1, -1) the loss is (1 - (s^2 - t^2) / 2)^2, the model
 * 1 - s^2 + t^2. */
Test(spectra, slice_reproduces_the_toy_surface, .init = ss_test_begin, .fini = ss_test_end)
{
    double worst = 0, worst_model = 0, wrong = 0;
    enter();
    ss_test_run(&run, "slice", SADDLE, "--along", "low", "--along", "high", "--range", "1.5", "--points",
                "20", "--output", "plane.csv", "--plot", "plane.svg", "--json", "r.json", "--path",
                MINIMUM "/weights.safetensors", NULL);
    succeed();
    int count = read_csv("plane.csv", "s,t,loss,model", 4, rows);
    cr_assert(count == 21 * 21);
    for (int i = 0; i < count; i++) {
        double s = rows[i][0], t = rows[i][1], saddle = 0.5 * (s * s - t * t), bowl = 0.5 * (s * s + t * t);
        worst = fmax(worst, fabs(rows[i][2] - (1 - saddle) * (1 - saddle)));
        worst_model = fmax(worst_model, fabs(rows[i][3] - (1 - 2 * saddle)));
        wrong = fmax(wrong, fabs(rows[i][2] - (1 - bowl) * (1 - bowl)));
    }
    cr_expect(worst < 1e-12 && worst_model < 1e-12 && wrong > 1, "%g, %g, %g", worst, worst_model, wrong);

    json_t *document = NULL, *result = result_of("r.json", &document);
    json_t *path = json_array_get(json_object_get(result, "path"), 0), *place = json_object_get(path, "t");
    cr_expect(fabs(fabs(json_number_value(json_array_get(place, 0))) - sqrt(2)) < 1e-12);
    cr_expect(fabs(json_number_value(json_array_get(place, 1))) < 1e-12);
    cr_expect(number(path, "distance") < 1e-12 && number(path, "loss") < 1e-12);
    cr_expect(json_is_true(json_object_get(document, "complete")));
    json_decref(document);
    size_t bytes = 0;
    char  *svg = ss_test_read_file("plane.svg", &bytes);
    cr_expect(strstr(svg, "here") != NULL && strstr(svg, "path") != NULL && strncmp(svg, "<svg", 4) == 0);
    ss_free(ss_test_context, svg);
}

static void curve(const char *network, const char *direction)
{
    ss_test_run(&run, "slice", network, "--along", direction, "--range", "0.9", "--output", "c.csv",
                "--quiet", NULL);
    succeed();
    cr_assert(read_csv("c.csv", "t,loss,model", 3, rows) == 81);
}

/* Side by side in one dimension: where the Hessian vanishes, where it is negative, where it is positive. */
Test(spectra, slice_shows_plateau_saddle_and_minimum, .init = ss_test_begin, .fini = ss_test_end)
{
    enter();
    curve(CUBIC,
          "random:1"); /* a plateau to second order: the model is constant, the loss leaves it like t^3 */
    double c = 1 - sqrt(rows[80][1]);
    for (int i = 0; i < 81; i++) {
        double t = rows[i][0] / 0.9;
        cr_assert(fabs(rows[i][2] - 1) < 1e-12 &&
                  fabs(rows[i][1] - (1 - c * t * t * t) * (1 - c * t * t * t)) < 1e-9);
    }
    cr_expect(fabs(c) > 1e-3);
    curve(SADDLE, "low");
    for (int i = 0; i < 81; i++) {
        double t = rows[i][0], y = 1 - t * t / 2;
        cr_assert(fabs(rows[i][1] - y * y) < 1e-12 && fabs(rows[i][2] - (1 - t * t)) < 1e-12);
    }
    curve(MINIMUM, "high");
    double sign = rows[80][1] > rows[0][1] ? 1 : -1;
    for (int i = 0; i < 81; i++) {
        double w = 1 + sign * rows[i][0] / sqrt(2), y = 1 - w * w;
        cr_assert(fabs(rows[i][1] - y * y) < 1e-12 && fabs(rows[i][2] - 2 * rows[i][0] * rows[i][0]) < 1e-12);
    }
}

Test(spectra, slice_towards_other_weights, .init = ss_test_begin, .fini = ss_test_end)
{
    enter();
    ss_test_run(&run, "slice", SADDLE, "--towards", MINIMUM "/weights.safetensors", "--output", "c.csv",
                "--quiet", NULL);
    succeed();
    int ends = 0, count = read_csv("c.csv", "t,loss,model", 3, rows);
    for (int i = 0; i < count; i++) {
        double t = rows[i][0], y = 1 - t * t;
        cr_assert(fabs(rows[i][1] - y * y) < 1e-12);
        ends += fabs(t) < 1e-12 || fabs(t - 1) < 1e-12;
    }
    cr_expect(ends == 2 && rows[0][0] == -0.25 && rows[count - 1][0] == 1.25);
}

/* Directions: a file, the gradient; slope and curvature are those of gradient and hvp. */
Test(spectra, slice_along_files_and_the_gradient, .init = ss_test_begin, .fini = ss_test_end)
{
    json_t *document = NULL, *axis = NULL;
    enter();
    ss_test_run(&run, "gradient", NETWORK, LOSS, "--output", "g.safetensors", "--json", "g.json", NULL);
    succeed();
    double norm = number(result_of("g.json", &document), "norm");
    json_decref(document);
    ss_test_run(&run, "hvp", NETWORK, LOSS, "--vector", "g.safetensors", "--json", "h.json", NULL);
    succeed();
    double quotient = number(result_of("h.json", &document), "quotient");
    json_decref(document);
    const char *const directions[] = { "gradient", "g.safetensors" };
    for (int i = 0; i < 2; i++) {
        ss_test_run(&run, "slice", NETWORK, LOSS, "--along", directions[i], "--points", "3", "--json",
                    "s.json", NULL);
        succeed();
        axis = json_array_get(json_object_get(result_of("s.json", &document), "axis"), 0);
        cr_expect(fabs(number(axis, "slope") - norm) < 1e-12 * norm);
        cr_expect(fabs(number(axis, "curvature") - quotient) < 1e-9 * fabs(quotient));
        json_decref(document);
    }
}

/* A witness that analyze has saved: the loss falls along it as the verdict says. */
Test(spectra, slice_along_a_saved_witness, .init = ss_test_begin, .fini = ss_test_end)
{
    json_t *document = NULL;
    enter();
    ss_test_run(&run, "analyze", SADDLE, "--save-vectors", "w.safetensors", "--quiet", NULL);
    succeed();
    ss_test_run(&run, "slice", SADDLE, "--along", "w.safetensors:witness", "--quiet", "--json", "s.json",
                NULL);
    succeed();
    json_t *axis = json_array_get(json_object_get(result_of("s.json", &document), "axis"), 0);
    cr_expect(fabs(number(axis, "curvature") + 2) < 1e-12);
    json_decref(document);
    ss_test_run(&run, "slice", SADDLE, "--along", "w.safetensors", "--quiet", NULL);
    cr_expect(run.exit_status == 3 && strstr(run.err, "w.safetensors:NAME") != NULL, "%s", run.err);
    ss_test_run(&run, "slice", SADDLE, "--along", "w.safetensors:other", "--quiet", NULL);
    cr_expect(run.exit_status == 3 && strstr(run.err, "other/") != NULL, "%s", run.err);
}

/* ---- density and trace ----------------------------------------------------------------------------------
 */

/* Eigenvalues of the network by `hessian`. */
static int64_t dense(double values[200])
{
    json_t *document = NULL;
    ss_test_run(&run, "hessian", NETWORK, LOSS, "--json", "h.json", NULL);
    succeed();
    json_t *list = json_object_get(result_of("h.json", &document), "values");
    int64_t n = (int64_t)json_array_size(list);
    cr_assert(n > 0 && n <= 200);
    for (int64_t i = 0; i < n; i++) values[i] = json_number_value(json_array_get(list, (size_t)i));
    json_decref(document);
    return n;
}

Test(spectra, density_and_its_files, .init = ss_test_begin, .fini = ss_test_end)
{
    double  values[200], sum = 0, total = 0;
    json_t *document = NULL;
    int     outside = 0, moved = 0;
    enter();
    int64_t n = dense(values);
    ss_test_run(&run, "density", NETWORK, LOSS, "--probes", "4", "--steps", "12", "--points", "80", "--json",
                "d.json", "--output", "nodes.csv", "--band", "band.csv", "--plot", "d.svg", "--html",
                "d.html", NULL);
    succeed();
    int count = read_csv("nodes.csv", "probe,share,index,node,weight", 5, rows);
    cr_assert(count == 4 * 12);
    for (int i = 0; i < count; i++) sum += rows[i][4], total += rows[i][2] == 0 ? rows[i][1] : 0;
    cr_expect(fabs(sum - 4) < 1e-12 && fabs(total - 1) < 1e-12);
    json_t *result = result_of("d.json", &document);
    json_t *points = json_object_get(result, "points"),
           *probe = json_array_get(json_object_get(result, "probes"), 2);
    cr_expect(json_number_value(json_array_get(json_object_get(probe, "node"), 3)) == rows[2 * 12 + 3][3]);
    cr_expect(json_is_true(json_object_get(document, "complete")));
    count = read_csv("band.csv", "x,density,below,upto,low,high", 6, rows);
    cr_assert(count == (int)json_array_size(points) && count > 40);
    for (int i = 0; i < count; i++) {
        int64_t before = 0, upto = 0, shifted = 0;
        for (int64_t j = 0; j < n; j++) {
            before += values[j] < rows[i][0];
            upto += values[j] <= rows[i][0];
            shifted += values[j] + 0.3 * values[n - 1] <= rows[i][0];
        }
        outside +=
            (double)before < rows[i][4] * (double)n - 1e-9 || (double)upto > rows[i][5] * (double)n + 1e-9;
        moved += (double)shifted < rows[i][4] * (double)n - 1e-9;
        cr_expect(rows[i][2] <= rows[i][3] && rows[i][4] <= rows[i][2] + 1.0 / (double)n &&
                  rows[i][5] >= rows[i][3] - 1.0 / (double)n);
    }
    cr_expect(outside == 0 && moved > 0, "%d outside, %d of a shifted spectrum", outside, moved);
    json_decref(document);
    size_t bytes = 0;
    char  *html = ss_test_read_file("d.html", &bytes);
    cr_expect(strstr(html, "<svg") != NULL && strstr(html, "Gauss-Radau") != NULL &&
              strstr(html, "</html>") != NULL);
    cr_expect(strstr(html, "http://") == strstr(html, "http://www.w3.org/2000/svg") &&
              strstr(html, "https://") == NULL);
    ss_free(ss_test_context, html);
}

Test(spectra, trace_and_norm_of_the_dense_spectrum, .init = ss_test_begin, .fini = ss_test_end)
{
    double  values[200], trace = 0, squares = 0;
    json_t *document = NULL;
    enter();
    int64_t n = dense(values);
    for (int64_t i = 0; i < n; i++) trace += values[i], squares += values[i] * values[i];
    ss_test_run(&run, "trace", NETWORK, LOSS, "--probes", "40", "--confidence", "0.999", "--json", "t.json",
                NULL);
    succeed();
    json_t *result = result_of("t.json", &document);
    cr_expect(fabs(number(result, "trace") - trace) <= number(result, "trace_error"));
    cr_expect(sqrt(squares) >= number(result, "frobenius_low") &&
              sqrt(squares) <= number(result, "frobenius_high"));
    cr_expect(number(result, "deflated") == 10 && number(result, "probes") == 40);
    cr_expect(number(result, "trace_error") < 0.5 * sqrt(squares)); /* and says something */
    json_decref(document);
    ss_test_run(&run, "trace", NETWORK, LOSS, "--probes", "2", "--deflate", "125", "--json", "t.json", NULL);
    succeed();
    result = result_of("t.json", &document);
    cr_expect(fabs(number(result, "trace") - trace) < 1e-10 * sqrt(squares) &&
              number(result, "trace_error") == 0);
    json_decref(document);
}

/* ---- Mistakes -------------------------------------------------------------------------------------------
 */

static void refused(int status, const char *part)
{
    const char *end = strchr(run.err, '\n');
    cr_expect(run.exit_status == status, "%s: status %d: %s", part, run.exit_status, run.err);
    cr_expect(strstr(run.err, part) != NULL, "'%s' is not in '%s'", part, run.err);
    cr_expect(end != NULL && end[1] == '\0', "not one line: '%s'", run.err);
    cr_expect(!ss_test_exists("r.json") && !ss_test_exists("o"), "%s: an output was left", part);
}

Test(spectra, mistakes_are_named, .init = ss_test_begin, .fini = ss_test_end)
{
    enter();
    ss_test_write_file("broken.safetensors", "nonsense", 8);
#define REFUSED(status, part, ...)                                                                           \
    ss_test_run(&run, __VA_ARGS__, "--json", "r.json", "--quiet", NULL);                                     \
    refused(status, part)
    REFUSED(2, "--probes", "density", SADDLE, "--probes", "0");
    REFUSED(2, "2 probes", "trace", SADDLE, "--probes", "1");
    REFUSED(2, "--steps", "density", SADDLE, "--steps", "many");
    REFUSED(2, "--width", "density", SADDLE, "--width", "-1");
    REFUSED(2, "picture.bmp", "density", SADDLE, "--plot", "picture.bmp");
    REFUSED(3, "absent/d.html", "density", SADDLE, "--html", "absent/d.html");
    REFUSED(3, "absent/b.csv", "density", SADDLE, "--band", "absent/b.csv");
    REFUSED(3, "absent/o", "trace", SADDLE, "--output", "absent/o");
    REFUSED(2, "3 of 2", "trace", SADDLE, "--deflate", "3");
    REFUSED(2, "sideways", "slice", SADDLE, "--along", "sideways");
    REFUSED(2, "low:NUMBER", "slice", SADDLE, "--along", "low:first");
    REFUSED(2, "gradient alone", "slice", SADDLE, "--along", "gradient:2");
    REFUSED(2, "low:3 of 2", "slice", SADDLE, "--along", "low:3");
    REFUSED(2, "nothing to see", "slice", SADDLE, "--along", "gradient");
    REFUSED(2, "parallel", "slice", SADDLE, "--along", "low", "--along", "low");
    REFUSED(2, "one or two", "slice", SADDLE, "--along", "low", "--along", "high", "--towards", "x");
    REFUSED(3, "broken.safetensors", "slice", SADDLE, "--along", "broken.safetensors");
    REFUSED(3, "absent.safetensors", "slice", SADDLE, "--towards", "absent.safetensors");
    REFUSED(3, CUBIC, "slice", SADDLE, "--path", CUBIC "/weights.safetensors");
    REFUSED(2, "length 0", "slice", SADDLE, "--towards", SADDLE "/weights.safetensors");
    REFUSED(2, "--range", "slice", SADDLE, "--range", "0");
    REFUSED(2, "an input", "slice", SADDLE, "--plot", SADDLE "/weights.safetensors.svg", "--output",
            SADDLE "/weights.safetensors");
}

/* ---- Being stopped --------------------------------------------------------------------------------------
 */

static void wait_for_file(const char *path)
{
    struct timespec span = { .tv_nsec = 20000000 };
    for (int i = 0; i < 3000 && !ss_test_exists(path); i++)
        while (nanosleep(&span, &span) != 0 && errno == EINTR) continue;
    span = (struct timespec){ .tv_nsec = 700000000 };
    while (nanosleep(&span, &span) != 0 && errno == EINTR) continue;
}

/* A signal ends the product; text, files and JSON hold what is known, "complete" is false. */
static json_t *stop(const char *const *arguments)
{
    pid_t process = ss_test_start(arguments);
    wait_for_file("r.json");
    cr_assert(kill(process, SIGTERM) == 0);
    ss_test_finish(process, &run);
    cr_assert(run.exit_status == 143, "status %d: %s", run.exit_status, run.err);
    json_t *document = ss_test_json("r.json");
    cr_expect(json_is_false(json_object_get(document, "complete")));
    return document;
}

#define DIGITS SS_SOURCE_DIRECTORY "/examples/digits"

Test(spectra, stopped_runs_deliver_what_they_know, .init = ss_test_begin, .fini = ss_test_end)
{
    enter();
    json_t *document =
        stop((const char *const[]){ "density", DIGITS, "--probes", "50", "--steps", "500", "--quiet",
                                    "--json", "r.json", "--output", "n.csv", NULL });
    json_t *result = json_object_get(document, "result");
    if (!json_is_null(result)) { /* else it was stopped before the first product */
        cr_expect(strcmp(json_string_value(json_object_get(result, "reason")), "interrupted") == 0);
        cr_expect(json_array_size(json_object_get(result, "points")) > 0 && ss_test_exists("n.csv"));
        cr_expect(strstr(run.out, "interrupted") != NULL);
    }
    json_decref(document);
    cr_assert(unlink("r.json") == 0);
    json_decref(stop(
        (const char *const[]){ "trace", DIGITS, "--probes", "100000", "--quiet", "--json", "r.json", NULL }));
    cr_assert(unlink("r.json") == 0);
    document =
        stop((const char *const[]){ "slice", DIGITS, "--along", "random", "--along", "random:1", "--points",
                                    "901", "--quiet", "--json", "r.json", "--plot", "s.svg", NULL });
    result = json_object_get(document, "result");
    if (!json_is_null(result))
        cr_expect(json_is_false(json_object_get(result, "complete")) && ss_test_exists("s.svg"));
    json_decref(document);
    /* A time limit is no interruption. */
    ss_test_run(&run, "density", DIGITS, "--steps", "100000", "--time-limit", "1", "--quiet", "--json",
                "r.json", NULL);
    succeed();
    result = result_of("r.json", &document);
    cr_expect(json_is_true(json_object_get(document, "complete")));
    cr_expect(strcmp(json_string_value(json_object_get(result, "reason")), "time limit") == 0);
    json_decref(document);
}
