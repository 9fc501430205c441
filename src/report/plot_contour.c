/* Marching squares that yield closed loops.
 *
 * The grid gets a rim of cells outside every level, whose corners lie on the border: the set { z >= level }
 * is then bounded by closed loops, and a picture is made by filling them from the lowest level to the
 * highest. Each cell contributes directed pieces from one of its edges to another; an edge has at most one
 * piece that leaves it, so the loops are followed through one table. */
#include "report/plot_contour.h"

#include <math.h>
#include <stdlib.h>

typedef struct grid {
    const ss_plot_contour *c;
    double                 level;
    int64_t                nx, ny; /* corners with the rim */
    int32_t               *next;   /* [2 nx ny] edge -> edge its piece leads to, -1 = none */
} grid;

static bool rim(const grid *g, int64_t i, int64_t j)
{
    return i == 0 || j == 0 || i == g->nx - 1 || j == g->ny - 1;
}

static int64_t clamp(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

/* What is not finite lies above every level: a loss that overflows is high. */
static double value(const grid *g, int64_t i, int64_t j)
{
    if (rim(g, i, j)) return -INFINITY;
    double z = g->c->z[(j - 1) * g->c->nx + i - 1];
    return isfinite(z) ? z : INFINITY;
}

/* Edges: (i, j)-(i+1, j) is j nx + i, (i, j)-(i, j+1) is nx ny + j nx + i. */
static int32_t across(const grid *g, int64_t i, int64_t j)
{
    return (int32_t)(j * g->nx + i);
}

static int32_t upward(const grid *g, int64_t i, int64_t j)
{
    return (int32_t)(g->nx * g->ny + j * g->nx + i);
}

/* The pieces of the cell with lower left corner (i, j), the set to the left of each. */
static void cell(grid *g, int64_t i, int64_t j)
{
    double  z[4] = { value(g, i, j), value(g, i + 1, j), value(g, i + 1, j + 1), value(g, i, j + 1) };
    int32_t edge[4] = { across(g, i, j), upward(g, i + 1, j), across(g, i, j + 1), upward(g, i, j) };
    int     inside = 0;
    for (int k = 0; k < 4; k++) inside |= (z[k] >= g->level) << k;
    /* Edge k joins corners k and k + 1. Going round the cell, a piece begins where the set is left and ends
     * where it is entered again; of two opposite corners the mean says whether they hang together. */
    bool opposite = inside == 5 || inside == 10;
    bool joined = opposite && 0.25 * (z[0] + z[1] + z[2] + z[3]) >= g->level;
    for (int k = 0; k < 4; k++) {
        int next = (k + 1) % 4;
        if (!((inside >> k) & 1) || ((inside >> next) & 1)) continue; /* the set is left through edge k */
        int entry = next;
        if (opposite && !joined) entry = (k + 3) % 4;
        while (!opposite && !(!((inside >> entry) & 1) && ((inside >> ((entry + 1) % 4)) & 1)))
            entry = (entry + 1) % 4;
        g->next[edge[k]] = edge[entry];
    }
}

/* Where the level crosses an edge; a rim corner has the place of its neighbour on the border. */
static void crossing(const grid *g, int32_t edge, double *x, double *y)
{
    bool    up = edge >= g->nx * g->ny;
    int64_t at = up ? edge - g->nx * g->ny : edge, i = at % g->nx, j = at / g->nx;
    int64_t i2 = up ? i : i + 1, j2 = up ? j + 1 : j;
    double  a = value(g, i, j), b = value(g, i2, j2), t;
    if (rim(g, i, j))
        t = 1;
    else if (rim(g, i2, j2))
        t = 0;
    else if (isinf(a) || isinf(b))
        t = isinf(a) ? 1 : 0; /* the finite corner is below the level: keep clear of what overflowed */
    else
        t = (g->level - a) / (b - a);
    const ss_plot_contour *c = g->c;
    double                 x1 = c->x[clamp(i - 1, c->nx)], x2 = c->x[clamp(i2 - 1, c->nx)];
    double                 y1 = c->y[clamp(j - 1, c->ny)], y2 = c->y[clamp(j2 - 1, c->ny)];
    *x = x1 + t * (x2 - x1);
    *y = y1 + t * (y2 - y1);
}

ss_status ss_contour_loops(ss_context *context, const ss_plot_contour *contour, double level,
                           ss_contour_point point, void *user)
{
    grid      g = { .c = contour, .level = level, .nx = contour->nx + 2, .ny = contour->ny + 2 };
    ss_status status = SS_OK;
    double    x, y;
    int64_t   edges = 2 * g.nx * g.ny;
    SS_TRY(SS_NEW_ARRAY(context, edges, &g.next));
    for (int64_t e = 0; e < edges; e++) g.next[e] = -1;
    for (int64_t j = 0; j + 1 < g.ny; j++)
        for (int64_t i = 0; i + 1 < g.nx; i++) cell(&g, i, j);
    for (int64_t e = 0; e < edges; e++)
        for (int32_t at = (int32_t)e, first = 1; g.next[at] >= 0; first = 0) {
            int32_t to = g.next[at];
            crossing(&g, at, &x, &y);
            point(user, x, y, first != 0);
            g.next[at] = -1;
            at = to;
        }
fail:
    ss_free(context, g.next);
    return status;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

ss_status ss_plot_levels(ss_context *context, const double *z, int64_t count, double levels[SS_PLOT_LEVELS],
                         int64_t *n_levels)
{
    ss_status status = SS_OK;
    double   *sorted = NULL;
    int64_t   finite = 0;
    *n_levels = 0;
    SS_TRY(SS_NEW_ARRAY(context, count, &sorted));
    for (int64_t i = 0; i < count; i++)
        if (isfinite(z[i])) sorted[finite++] = z[i];
    qsort(sorted, (size_t)finite, sizeof *sorted, ascending);
    for (int64_t k = 1; k <= SS_PLOT_LEVELS && finite > 0; k++) {
        double level = sorted[(int64_t)((double)finite * (double)k / (SS_PLOT_LEVELS + 1))];
        if (level > sorted[0] && (*n_levels == 0 || level > levels[*n_levels - 1]))
            levels[(*n_levels)++] = level;
    }
fail:
    ss_free(context, sorted);
    return status;
}
