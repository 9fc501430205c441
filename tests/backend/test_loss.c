/* Losses: values against plain long double formulas, gradients and Hessian products by the complex step
 * applied to them, the Fisher curvature, stability at fitted samples, and the drawn labels. */
#include "device.h"

#include <complex.h>

typedef double complex cplx;

enum { ROWS = 6, LANES = 2, MOST = 40 };

/* One case: a loss and everything it reads, on the device and on the host. */
typedef struct loss_case {
    ss_loss p;
    tensor  x, target, x_t, x_a, x_at, saved;
    int64_t id[ROWS];           /* class ids; that of the row without weight is out of range on purpose */
    double  class_weight[MOST]; /* [cols] */
    double  row_weight[ROWS];
    bool    ids, weighted; /* class ids instead of a target; class weights */
    void   *memory[4];     /* device copies of the four arrays below */
} loss_case;

typedef enum target_kind { TARGET_VALUES, TARGET_DISTRIBUTION, TARGET_BITS, TARGET_IDS } target_kind;

static void make_target(device *d, loss_case *c, target_kind kind, int64_t cols)
{
    for (int64_t i = 0; i < ROWS; i++) {
        double sum = 0;
        for (int64_t j = 0; j < cols; j++) {
            double *t = tensor_at(&c->target, 0, i, j), r = device_random(d);
            *t = kind == TARGET_BITS ? (r > 0 ? 1 : r < -1 ? 0.25 : 0) : kind == TARGET_VALUES ? r : r * r;
            sum += *t;
        }
        for (int64_t j = 0; j < cols && kind == TARGET_DISTRIBUTION; j++)
            *tensor_at(&c->target, 0, i, j) = device_round(d, *tensor_at(&c->target, 0, i, j) / sum);
    }
    tensor_put(d, &c->target);
}

static void make(device *d, loss_case *c, ss_loss_kind kind, target_kind target, int64_t cols,
                 double smoothing, bool weighted)
{
    int64_t ld = cols + 2, stride = ROWS * ld + 5;
    memset(c, 0, sizeof *c);
    c->ids = target == TARGET_IDS;
    c->weighted = weighted;
    c->p = (ss_loss){ .kind = kind, .lanes = LANES, .smoothing = smoothing };
    c->x = tensor_random(d, 1, ROWS, cols, ld, 0);
    c->target = tensor_random(d, 1, ROWS, cols, cols, 0);
    make_target(d, c, target, cols);
    c->x_t = tensor_random(d, LANES, ROWS, cols, ld, stride);
    c->x_a = tensor_output(d, 1, ROWS, cols, ld, 0);
    c->x_at = tensor_random(d, LANES, ROWS, cols, cols, ROWS * cols);
    c->saved = tensor_output(d, 1, ROWS, 2, 2, 0);
    for (int64_t i = 0; i < ROWS; i++) {
        c->row_weight[i] = i == 3 ? 0 : 0.1 * (double)(i + 1);
        c->id[i] = i == 3 ? -100 : (i * 5 + 1) % cols;
    }
    for (int64_t j = 0; j < cols; j++) c->class_weight[j] = 0.5 + 0.25 * (double)(j % 5);
    c->memory[0] = device_bytes(d, c->row_weight, sizeof c->row_weight);
    c->memory[1] = device_bytes(d, c->id, sizeof c->id);
    c->memory[2] = device_bytes(d, c->class_weight, cols * (int64_t)sizeof(double));
    c->memory[3] = device_allocate(d, LANES * ROWS * (int64_t)sizeof(double));
    c->p.row_weight = c->memory[0];
    c->p.class_id = c->ids ? c->memory[1] : NULL;
    c->p.class_weight = weighted ? c->memory[2] : NULL;
    c->p.row_loss = c->memory[3];
    c->p.x = c->x.m;
    if (!c->ids) c->p.target = c->target.m;
    if (kind == SS_LOSS_CROSS_ENTROPY) c->p.saved = c->saved.m;
}

static void destroy(const device *d, loss_case *c)
{
    tensor *all[] = { &c->x, &c->target, &c->x_t, &c->x_a, &c->x_at, &c->saved };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) tensor_free(d, all[i]);
    for (int i = 0; i < 4; i++) d->b->class->release(d->b, c->memory[i]);
}

/* ---- The definitions, in complex arithmetic ---- */

/* q_j class_weight_j */
static double weight_of(const loss_case *c, int64_t i, int64_t j)
{
    double q = c->ids ? (double)(c->id[i] == j) : *tensor_at(&c->target, 0, i, j);
    q = (1 - c->p.smoothing) * q + c->p.smoothing / (double)c->x.m.cols;
    return q * (c->weighted ? c->class_weight[j] : 1);
}

/* Loss of row i at z, and its gradient. */
static cplx plain(const loss_case *c, int64_t i, const cplx *z, cplx *gradient)
{
    int64_t n = c->x.m.cols;
    cplx    value = 0, sum = 0, total = 0;
    for (int64_t j = 0; j < n; j++) {
        double t = c->ids ? 0 : *tensor_at(&c->target, 0, i, j);
        sum += cexp(z[j]);
        if (c->p.kind == SS_LOSS_MSE) {
            value += (z[j] - t) * (z[j] - t);
            gradient[j] = 2 * (z[j] - t);
        } else if (c->p.kind == SS_LOSS_BCE_WITH_LOGITS) {
            value += clog(1 + cexp(z[j])) - z[j] * t;
            gradient[j] = 1 / (1 + cexp(-z[j])) - t;
        } else {
            total += weight_of(c, i, j);
        }
    }
    for (int64_t j = 0; j < n && c->p.kind == SS_LOSS_CROSS_ENTROPY; j++) {
        double a = weight_of(c, i, j);
        value += a * (clog(sum) - z[j]);
        gradient[j] = total * cexp(z[j]) / sum - a;
    }
    return value;
}

/* Row i with direction `lane` of x_t: loss and gradient with their derivatives in the imaginary parts. */
static cplx row(const loss_case *c, int64_t i, int64_t lane, cplx *gradient)
{
    cplx z[MOST];
    for (int64_t j = 0; j < c->x.m.cols; j++)
        z[j] = *tensor_at(&c->x, 0, i, j) + I * ldexp(*tensor_at(&c->x_t, lane, i, j), -66);
    return plain(c, i, z, gradient);
}

static void expect(const device *d, const char *what, double got, double want)
{
    cr_assert(device_near(d, got, want, 1, 100), "%s %s: %s is %.17g, not %.17g", d->b->name,
              ss_real_name(d->real), what, got, want);
}

static void get_row_loss(const device *d, const loss_case *c, double *row_loss, int64_t n)
{
    ss_test_require(d->b->class->download(d->b, NULL, row_loss, c->memory[3], n * (int64_t)sizeof(double)));
    ss_test_require(d->b->class->queue_synchronize(d->b, NULL));
}

static void run_sweep(const device *d, loss_case *c, ss_sweep sweep)
{
    c->p.sweep = sweep;
    ss_test_require(d->b->class->loss(d->b, NULL, &c->p));
}

static void test_values(const device *d, loss_case *c)
{
    double value[LANES * ROWS];
    cplx   g[MOST];
    run_sweep(d, c, SS_FORWARD);
    get_row_loss(d, c, value, ROWS);
    for (int64_t i = 0; i < ROWS; i++)
        expect(d, "loss", value[i], c->row_weight[i] != 0 ? c->row_weight[i] * creal(row(c, i, 0, g)) : 0);

    c->p.x_t = c->x_t.m;
    run_sweep(d, c, SS_TANGENT_FORWARD);
    get_row_loss(d, c, value, LANES * ROWS);
    for (int64_t lane = 0; lane < LANES; lane++)
        for (int64_t i = 0; i < ROWS; i++)
            expect(d, "tangent of the loss", value[lane * ROWS + i],
                   c->row_weight[i] != 0 ? c->row_weight[i] * ldexp(cimag(row(c, i, lane, g)), 66) : 0);
}

static void test_gradient(const device *d, loss_case *c)
{
    cplx g[MOST];
    c->p.x_a = c->x_a.m;
    run_sweep(d, c, SS_BACKWARD);
    tensor_get(d, &c->x_a);
    for (int64_t i = 0; i < ROWS; i++) {
        if (c->row_weight[i] != 0) row(c, i, 0, g);
        for (int64_t j = 0; j < c->x.m.cols; j++)
            expect(d, "x_a", *tensor_at(&c->x_a, 0, i, j),
                   c->row_weight[i] != 0 ? c->row_weight[i] * creal(g[j]) : 0);
    }
}

/* Sum of all elements of the Fisher product's row by its definition (backend.h). */
static double fisher(const loss_case *c, int64_t i, int64_t lane, int64_t j, const cplx *g)
{
    double total = 0, product = 0;
    if (c->p.kind != SS_LOSS_CROSS_ENTROPY)
        return creal(g[j]) * creal(g[j]) * *tensor_at(&c->x_t, lane, i, j);
    for (int64_t k = 0; k < c->x.m.cols; k++) {
        total += weight_of(c, i, k);
        product += creal(g[k]) * *tensor_at(&c->x_t, lane, i, k);
    }
    return creal(g[j]) * product / total;
}

static void test_curvature(const device *d, loss_case *c, ss_sweep sweep, bool use_fisher, bool accumulate)
{
    cplx   g[MOST];
    double before[LANES * ROWS * MOST];
    memcpy(before, c->x_at.host, (size_t)c->x_at.span * sizeof *before);
    c->p.x_at = c->x_at.m;
    c->p.fisher = use_fisher;
    c->p.accumulate = accumulate;
    run_sweep(d, c, sweep);
    tensor_get(d, &c->x_at);
    for (int64_t lane = 0; lane < LANES; lane++)
        for (int64_t i = 0; i < ROWS; i++) {
            if (c->row_weight[i] != 0) row(c, i, lane, g);
            for (int64_t j = 0; j < c->x.m.cols; j++) {
                double *at = tensor_at(&c->x_at, lane, i, j), want = 0;
                if (c->row_weight[i] != 0)
                    want =
                        c->row_weight[i] * (use_fisher ? fisher(c, i, lane, j, g) : ldexp(cimag(g[j]), 66));
                expect(d, use_fisher ? "Fisher" : "x_at", *at,
                       want + (accumulate ? before[at - c->x_at.host] : 0));
            }
        }
    c->p.fisher = c->p.accumulate = false;
}

Test(loss, all_sweeps, .init = ss_test_begin, .fini = ss_test_end)
{
    static const struct {
        ss_loss_kind kind;
        target_kind  target;
        int64_t      cols;
        double       smoothing;
        bool         weighted;
    } cases[] = { { SS_LOSS_MSE, TARGET_VALUES, 1, 0, false },
                  { SS_LOSS_MSE, TARGET_VALUES, 13, 0, false },
                  { SS_LOSS_BCE_WITH_LOGITS, TARGET_BITS, 1, 0, false },
                  { SS_LOSS_BCE_WITH_LOGITS, TARGET_BITS, 9, 0, false },
                  { SS_LOSS_CROSS_ENTROPY, TARGET_IDS, 2, 0, false },
                  { SS_LOSS_CROSS_ENTROPY, TARGET_IDS, 10, 0, true },
                  { SS_LOSS_CROSS_ENTROPY, TARGET_IDS, 17, 0.1, false },
                  { SS_LOSS_CROSS_ENTROPY, TARGET_IDS, 10, 0.2, true },
                  { SS_LOSS_CROSS_ENTROPY, TARGET_DISTRIBUTION, 33, 0, false },
                  { SS_LOSS_CROSS_ENTROPY, TARGET_DISTRIBUTION, 7, 0.3, true },
                  { SS_LOSS_CROSS_ENTROPY, TARGET_IDS, 1, 0, false } };
    DEVICE_EACH(d)
    {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            loss_case c;
            make(&d, &c, cases[i].kind, cases[i].target, cases[i].cols, cases[i].smoothing,
                 cases[i].weighted);
            test_values(&d, &c);
            test_gradient(&d, &c);
            test_curvature(&d, &c, SS_TANGENT_BACKWARD, false, true);
            test_curvature(&d, &c, SS_CURVATURE, false, false);
            test_curvature(&d, &c, SS_CURVATURE, true, true);
            destroy(&d, &c);
        }
    }
}

/* A sample fitted to 1 - 1e-9: gradient and curvature keep their relative accuracy (reference 4; the naive
 * p - 1 would lose all digits in float32). */
Test(loss, fitted_sample_keeps_its_digits, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        loss_case c;
        make(&d, &c, SS_LOSS_CROSS_ENTROPY, TARGET_IDS, 2, 0, false);
        for (int64_t i = 0; i < ROWS; i++) {
            *tensor_at(&c.x, 0, i, c.id[i] < 0 ? 0 : c.id[i]) = 20;
            *tensor_at(&c.x, 0, i, c.id[i] < 0 ? 1 : 1 - c.id[i]) = 0;
        }
        tensor_put(&d, &c.x);
        double q = exp(-20) / (1 + exp(-20)), value[ROWS];
        c.p.x_a = c.x_a.m, c.p.x_t = c.x_t.m, c.p.x_at = c.x_at.m;
        run_sweep(&d, &c, SS_FORWARD);
        get_row_loss(&d, &c, value, ROWS);
        run_sweep(&d, &c, SS_BACKWARD);
        tensor_get(&d, &c.x_a);
        run_sweep(&d, &c, SS_CURVATURE);
        tensor_get(&d, &c.x_at);
        double  w = c.row_weight[0];
        int64_t t = c.id[0];
        cr_assert(fabs(value[0] / (w * log1p(exp(-20))) - 1) < 1e-12);
        cr_assert(fabs(*tensor_at(&c.x_a, 0, 0, t) / (-w * q) - 1) < 40 * d.unit);
        double difference = *tensor_at(&c.x_t, 0, 0, t) - *tensor_at(&c.x_t, 0, 0, 1 - t);
        cr_assert(fabs(*tensor_at(&c.x_at, 0, 0, t) / (w * q * (1 - q) * difference) - 1) < 60 * d.unit);
        destroy(&d, &c);
    }
}

/* Bad class ids of counted rows are found, not read through. */
Test(loss, bad_class_id, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        loss_case c;
        make(&d, &c, SS_LOSS_CROSS_ENTROPY, TARGET_IDS, 5, 0, false);
        c.id[1] = 5;
        ss_test_require(d.b->class->upload(d.b, NULL, c.memory[1], c.id, sizeof c.id));
        c.p.sweep = SS_FORWARD;
        ss_test_refuse(device_finish(&d, d.b->class->loss(d.b, NULL, &c.p)), SS_ERROR_INTERNAL, "class id");
        destroy(&d, &c);
    }
}

/* Drawn targets: moments over many rows of equal logits, numbers continued over micro-batches. */
Test(loss, sampled_targets, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        enum { MANY = 20000 };
        const double logit[3] = { 0.5, -0.25, 1.25 };
        tensor       x = tensor_shape(&d, 1, MANY, 3, 0, 0), t = tensor_output(&d, 1, MANY, 3, 3, 0);
        int64_t     *id = NULL, count[3] = { 0 };
        memcpy(x.host, logit, sizeof logit);
        tensor_put(&d, &x);
        ss_test_require(ss_allocate(ss_test_context, MANY, sizeof *id, (void **)&id));
        void *on_device = device_allocate(&d, MANY * (int64_t)sizeof *id);
        ss_test_require(
            d.b->class->sample_targets(d.b, NULL, SS_LOSS_CROSS_ENTROPY, &x.m, 7, 0, on_device, NULL));
        ss_test_require(d.b->class->download(d.b, NULL, id, on_device, MANY * (int64_t)sizeof *id));
        int64_t eleventh = id[11];
        for (int64_t i = 0; i < MANY; i++) count[id[i]]++;
        double sum = exp(0.5) + exp(-0.25) + exp(1.25);
        for (int j = 0; j < 3; j++) {
            double p = exp(logit[j]) / sum, five_sigma = 5 * sqrt(p * (1 - p) / MANY);
            cr_assert(fabs((double)count[j] / MANY - p) < five_sigma, "class %d: %g", j,
                      (double)count[j] / MANY);
        }
        x.m.rows = 1;
        ss_test_require(
            d.b->class->sample_targets(d.b, NULL, SS_LOSS_CROSS_ENTROPY, &x.m, 7, 11, on_device, NULL));
        ss_test_require(d.b->class->download(d.b, NULL, id, on_device, sizeof *id));
        cr_assert(id[0] == eleventh);
        x.m.rows = MANY;
        for (int kind = 0; kind < 2; kind++) {
            bool mse = kind == 0;
            ss_test_require(d.b->class->sample_targets(d.b, NULL, mse ? SS_LOSS_MSE : SS_LOSS_BCE_WITH_LOGITS,
                                                       &x.m, 7, 0, NULL, &t.m));
            tensor_get(&d, &t);
            double mean = 0, square = 0, p = 1 / (1 + exp(-logit[2]));
            for (int64_t i = 0; i < MANY; i++) {
                double v = *tensor_at(&t, 0, i, 2);
                mean += v / MANY;
                square += (v - logit[2]) * (v - logit[2]) / MANY;
                cr_assert(mse || v == 0 || v == 1);
            }
            cr_assert(fabs(mean - (mse ? logit[2] : p)) < 5 * sqrt((mse ? 0.5 : p * (1 - p)) / MANY));
            cr_assert(!mse || fabs(square - 0.5) < 5 * 0.5 * sqrt(2.0 / MANY));
        }
        d.b->class->release(d.b, on_device);
        ss_free(ss_test_context, id);
        tensor_free(&d, &x);
        tensor_free(&d, &t);
    }
}

/* The comparison sees a gradient without class weights. */
Test(loss, injected_error_is_seen, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        loss_case c;
        cplx      g[MOST];
        make(&d, &c, SS_LOSS_CROSS_ENTROPY, TARGET_DISTRIBUTION, 8, 0, true);
        c.p.class_weight = NULL;
        c.p.saved.data = NULL; /* the statistics are then formed anew */
        c.p.x_a = c.x_a.m;
        run_sweep(&d, &c, SS_BACKWARD);
        tensor_get(&d, &c.x_a);
        row(&c, 0, 0, g);
        cr_assert(!device_near(&d, *tensor_at(&c.x_a, 0, 0, 1), c.row_weight[0] * creal(g[1]), 1, 100));
        c.weighted = false;
        row(&c, 0, 0, g);
        cr_assert(device_near(&d, *tensor_at(&c.x_a, 0, 0, 1), c.row_weight[0] * creal(g[1]), 1, 100));
        destroy(&d, &c);
    }
}
