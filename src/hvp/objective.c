/* The objective: losses, gradients and operators as programs over one problem.
 *
 * Loss, gradient and kink programs over all samples are kept; programs over subsets are compiled for the
 * occasion (a compilation costs microseconds per step). Every operator has a program of its own. A register
 * of all programs sees to it that the arenas held together stay within the memory budget: who needs memory
 * takes it from the others, which take it again when they run next. */
#include "hvp/program.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A program in the register. */
typedef struct holder {
    ss_program    *program;
    struct holder *next;
} holder;

struct ss_objective {
    ss_context          *context;
    ss_objective_options options;
    char                *device;
    ss_problem          *problem;
    ss_graph            *graph;
    ss_backend          *backend[2];                    /* by real type */
    holder              *holders;                       /* all programs */
    ss_program          *loss[2], *gradient[2], *kinks; /* over all samples; NULL until wanted */
    int64_t              budget;                        /* bytes for arenas, leaving room for a basis */
    int64_t              limit;                         /* bytes for them where no smaller plan does */
    int64_t              beside; /* bytes of the vectors held beside them in any case */
    char                *description;
};

/* ---- Programs and their memory ---- */

static ss_status hold(ss_objective *o, ss_program *program)
{
    ss_status status = SS_OK;
    holder   *h = NULL;
    SS_TRY(SS_NEW(o->context, &h));
    h->program = program;
    h->next = o->holders;
    o->holders = h;
fail:
    return status;
}

static void drop(ss_objective *o, ss_program *program)
{
    for (holder **h = &o->holders; *h; h = &(*h)->next)
        if ((*h)->program == program) {
            holder *gone = *h;
            *h = gone->next;
            ss_free(o->context, gone);
            break;
        }
    ss_program_destroy(program);
}

/* Makes room for a program's arena by taking the others' when they do not fit together. */
static void make_room(ss_objective *o, const ss_program *program)
{
    int64_t held = 0;
    for (const holder *h = o->holders; h; h = h->next)
        if (h->program->arena || h->program == program)
            held += h->program->arena_bytes + h->program->staging_bytes;
    for (holder *h = o->holders; h && held > o->budget; h = h->next)
        if (h->program->arena && h->program != program) {
            held -= h->program->arena_bytes + h->program->staging_bytes;
            ss_program_release(h->program);
        }
}

static ss_plan_request request_for(const ss_objective *o, ss_computation computation, ss_product product,
                                   const ss_samples *samples)
{
    return (ss_plan_request){ .computation = computation,
                              .product = product,
                              .samples = samples ? *samples : (ss_samples){ 0 },
                              .batch_size = o->options.batch_size,
                              .cache = o->options.cache,
                              .lanes = o->options.lanes,
                              .budget = o->budget,
                              .memory = o->limit + o->beside,
                              .beside = o->beside,
                              .stream_weights = o->options.stream_weights,
                              .for_gpu = o->options.for_gpu,
                              .label_seed = o->options.label_seed };
}

/* A plan within the budget, or the smallest where only more will do. */
static ss_status plan(const ss_objective *o, ss_real real, const ss_plan_request *request,
                      ss_program **program)
{
    ss_plan_request wider = *request;
    ss_status       status = ss_program_plan(o->context, o->backend[real], o->problem, request, program);
    if (status != SS_ERROR_REFUSED || o->limit <= request->budget) return status;
    ss_context_clear_message(o->context);
    wider.budget = o->limit;
    if (wider.cache == SS_CACHE_AUTO) wider.cache = SS_CACHE_CHECKPOINT;
    return ss_program_plan(o->context, o->backend[real], o->problem, &wider, program);
}

static ss_status new_program(ss_objective *o, ss_real real, const ss_plan_request *request,
                             ss_program **program)
{
    ss_status status = SS_OK;
    SS_TRY(plan(o, real, request, program));
    status = hold(o, *program);
    if (status != SS_OK) {
        ss_program_destroy(*program);
        *program = NULL;
    }
fail:
    return status;
}

/* Runs a computation that is no product over all samples (kept program) or a subset (temporary one). */
static ss_status run_once(ss_objective *o, ss_computation computation, ss_real real,
                          const ss_samples *samples, const ss_point *point, void *result, ss_program **kept,
                          ss_program **used)
{
    ss_status   status = SS_OK;
    ss_program *program = samples ? NULL : *kept;
    *used = NULL;
    if (!program) {
        ss_plan_request request = request_for(o, computation, SS_PRODUCT_HESSIAN, samples);
        request.lanes = 1;
        SS_TRY(new_program(o, real, &request, &program));
        if (!samples) *kept = program;
    }
    *used = program;
    make_room(o, program);
    ss_program_set_point(program, point);
    SS_TRY(ss_program_run(program, 1, NULL, 0, result, 0));
fail:
    return status;
}

static void finish_once(ss_objective *o, const ss_samples *samples, ss_program *used)
{
    if (samples && used) drop(o, used);
}

ss_status ss_objective_set_weights(ss_objective *o, const double *packed)
{
    ss_program **kept[] = { &o->loss[0], &o->loss[1], &o->gradient[0], &o->gradient[1], &o->kinks };
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        if (*kept[i]) drop(o, *kept[i]);
        *kept[i] = NULL;
    }
    if (o->holders)
        return ss_fail(o->context, SS_ERROR_USAGE, "the weights cannot be moved while an operator is open");
    return ss_graph_set_weights(o->graph, packed);
}

void ss_objective_get_weights(const ss_objective *o, double *packed)
{
    for (int32_t i = 0; i < o->graph->n_parameters; i++) {
        const ss_parameter *p = &o->graph->parameters[i];
        if (p->offset >= 0) ss_array_convert(&p->array, 0, p->count, SS_FLOAT64, packed + p->canonical);
    }
}

/* ---- Losses and gradients ---- */

/* Sums the rows in both orders; each sample's share on the way. */
static void sum_losses(const ss_objective *o, const ss_program *p, ss_loss_value *value, double *per_sample)
{
    int64_t rows = p->samples * o->problem->rows;
    double  up = 0, down = 0, moduli = 0;
    for (int64_t i = 0; i < rows; i++) {
        up += p->row_loss[i];
        down += p->row_loss[rows - 1 - i];
        moduli += fabs(p->row_loss[i]);
    }
    for (int64_t i = 0; per_sample && i < p->samples; i++) {
        per_sample[i] = 0;
        for (int64_t j = 0; j < o->problem->rows; j++) per_sample[i] += p->row_loss[i * o->problem->rows + j];
    }
    value->data = up;
    value->decay = p->decay_loss;
    value->loss = up + p->decay_loss;
    value->rounding = fmax(fabs(up - down), 0x1p-53 * (moduli + p->decay_loss));
}

static ss_status check_loss(const ss_objective *o, const ss_loss_value *value)
{
    if (isfinite(value->loss)) return SS_OK;
    return ss_fail(o->context, SS_ERROR_NUMERIC,
                   "the loss is %s: the weights, the data or the point are out of range",
                   isnan(value->loss) ? "not a number" : "infinite");
}

ss_status ss_objective_loss(ss_objective *o, ss_real real, const ss_samples *samples, const ss_point *point,
                            ss_loss_value *value, double *per_sample)
{
    ss_status   status = SS_OK;
    ss_program *used = NULL;
    SS_TRY(run_once(o, SS_COMPUTE_LOSS, real, samples, point, NULL, &o->loss[real], &used));
    sum_losses(o, used, value, per_sample);
    /* A line search may step to where the loss overflows: that is an answer; at theta it is an error. */
    if (!point || !point->direction || point->step == 0) SS_TRY(check_loss(o, value));
fail:
    finish_once(o, samples, used);
    return status;
}

/* Names the parameter that element `index` of a padded vector belongs to. */
static const char *parameter_at(const ss_graph *graph, int64_t index)
{
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        const ss_parameter *w = &graph->parameters[i];
        if (w->offset >= 0 && index >= w->offset && index < w->offset + w->count) return w->name;
    }
    return "padding";
}

static ss_status check_finite(const ss_objective *o, ss_real real, const void *x, const char *what)
{
    ss_status   status = SS_OK;
    int64_t     index = -1;
    ss_backend *b = o->backend[real];
    SS_TRY(b->class->find_nonfinite(b, NULL, o->graph->layout.padded, x, &index));
    if (index >= 0)
        SS_FAIL(o->context, SS_ERROR_NUMERIC, "%s is not finite in parameter %s: overflow in %s", what,
                parameter_at(o->graph, index), ss_real_name(real));
fail:
    return status;
}

ss_status ss_objective_gradient(ss_objective *o, ss_real real, const ss_samples *samples,
                                const ss_point *point, void *gradient, ss_loss_value *value)
{
    ss_status     status = SS_OK;
    ss_program   *used = NULL;
    ss_loss_value own;
    SS_TRY(run_once(o, SS_COMPUTE_GRADIENT, real, samples, point, gradient, &o->gradient[real], &used));
    sum_losses(o, used, value ? value : &own, NULL);
    if (!point || !point->direction || point->step == 0) {
        SS_TRY(check_loss(o, value ? value : &own));
        SS_TRY(check_finite(o, real, gradient, "the gradient"));
    }
fail:
    finish_once(o, samples, used);
    return status;
}

ss_status ss_objective_kinks(ss_objective *o, const ss_samples *samples, const ss_point *point, double *share)
{
    ss_status   status = SS_OK;
    ss_program *used = NULL;
    SS_TRY(run_once(o, SS_COMPUTE_KINKS, SS_FLOAT64, samples, point, NULL, &o->kinks, &used));
    *share = used->units > 0 ? (double)used->kinks / (double)used->units : 0;
fail:
    finish_once(o, samples, used);
    return status;
}

/* ---- Operators ---- */

typedef struct product {
    ss_objective *objective;
    ss_program   *program;
    ss_real       real;
} product;

static ss_status apply(void *context, int count, const void *x, int64_t ldx, void *y, int64_t ldy,
                       struct ss_queue *queue)
{
    ss_status     status = SS_OK;
    product      *op = context;
    ss_objective *o = op->objective;
    int64_t       size = (int64_t)ss_real_size(op->real);
    (void)queue;
    make_room(o, op->program);
    for (int done = 0, lanes; done < count; done += lanes) {
        lanes = count - done < op->program->options.lanes ? count - done : op->program->options.lanes;
        SS_TRY(ss_program_run(op->program, lanes, (const char *)x + done * ldx * size, ldx,
                              (char *)y + done * ldy * size, ldy));
    }
    for (int i = 0; i < count; i++)
        SS_TRY(check_finite(o, op->real, (char *)y + i * ldy * size, "a Hessian-vector product"));
fail:
    return status;
}

static void destroy(void *context)
{
    product *op = context;
    if (op->program) drop(op->objective, op->program);
    ss_free(op->objective->context, op);
}

static ss_status check_product(const ss_objective *o, ss_product what)
{
    if (what == SS_PRODUCT_FISHER_MONTE_CARLO && o->problem->class_weight)
        return ss_fail(
            o->context, SS_ERROR_USAGE,
            "a Monte-Carlo Fisher operator is not defined for class weights with label smoothing or soft "
            "targets: leave one of them out, or use the empirical one");
    return SS_OK;
}

ss_status ss_objective_operator(ss_objective *o, ss_product what, ss_real real, const ss_samples *samples,
                                const ss_point *point, ss_operator *op)
{
    ss_status status = SS_OK;
    product  *p = NULL;
    memset(op, 0, sizeof *op);
    SS_TRY(check_product(o, what));
    SS_TRY(SS_NEW(o->context, &p));
    p->objective = o;
    p->real = real;
    ss_plan_request request = request_for(o, SS_COMPUTE_PRODUCT, what, samples);
    SS_TRY(new_program(o, real, &request, &p->program));
    ss_program_set_point(p->program, point);
    *op = (ss_operator){ .context = p,
                         .apply = apply,
                         .destroy = destroy,
                         .layout = &o->graph->layout,
                         .n_global = o->graph->layout.n,
                         .real = real,
                         .backend = o->backend[real],
                         .lanes = p->program->options.lanes };
    return SS_OK;
fail:
    ss_free(o->context, p);
    return status;
}

void ss_objective_release(ss_objective *o, ss_real real)
{
    for (holder *h = o->holders; h; h = h->next)
        if (h->program->backend == o->backend[real]) ss_program_release(h->program);
}

/* ---- Plans ---- */

ss_status ss_objective_plan(ss_objective *o, ss_product what, ss_real real, const ss_samples *samples,
                            ss_plan *found)
{
    ss_status       status = SS_OK;
    ss_program     *program = NULL;
    ss_plan_request request = request_for(o, SS_COMPUTE_PRODUCT, what, samples);
    SS_TRY(plan(o, real, &request, &program));
    *found = program->plan;
fail:
    ss_program_destroy(program);
    return status;
}

ss_status ss_objective_print_plan(ss_objective *o, ss_product what, ss_real real, void *file)
{
    ss_status       status = SS_OK;
    ss_program     *program = NULL;
    ss_plan_request request = request_for(o, SS_COMPUTE_PRODUCT, what, NULL);
    SS_TRY(plan(o, real, &request, &program));
    ss_program_print(program, file);
fail:
    ss_program_destroy(program);
    return status;
}

/* ---- The objective itself ---- */

void ss_objective_options_init(ss_objective_options *options)
{
    *options = (ss_objective_options){ .precision = SS_FLOAT64, .device = "cpu" };
}

/* Memory for arenas: what was stated or nine tenths of what is free, less the vectors that the caller holds
 * in any case, less the basis of a Lanczos run of 33 vectors and a few more, but never less than half of the
 * rest. Where the smallest plan needs more than that, it may have all of the rest. */
static void share_memory(ss_objective *o)
{
    ss_backend *b = o->backend[o->options.precision];
    int64_t     memory = o->options.memory > 0 ? o->options.memory : b->class->memory_available(b) / 10 * 9;
    int64_t     padded = o->graph->layout.padded, one = padded * (int64_t)ss_real_size(o->options.precision);
    o->beside = o->options.vectors * one + o->options.vectors64 * padded * (int64_t)sizeof(double);
    if (o->options.memory > 0) o->beside += o->options.held;
    o->limit = memory - o->beside;
    o->budget = ss_max64(o->limit / 2, o->limit - 40 * one);
}

void ss_objective_program_memory(const ss_objective *o, int64_t *now, int64_t *most)
{
    int64_t all = 0, largest = 0;
    *now = 0;
    for (const holder *h = o->holders; h; h = h->next) {
        int64_t bytes = h->program->arena_bytes + h->program->staging_bytes;
        if (h->program->arena) *now += bytes;
        all += bytes;
        largest = ss_max64(largest, bytes);
    }
    *most = ss_max64(ss_min64(all, o->budget), largest);
}

static ss_status describe(ss_objective *o)
{
    ss_objective_facts facts;
    ss_status          status = ss_problem_facts(o->problem, &facts);
    int32_t            decayed = 0;
    double             lambda = 0;
    bool               mixed = false;
    for (int32_t i = 0; i < o->graph->n_parameters; i++) {
        const ss_parameter *w = &o->graph->parameters[i];
        if (w->offset < 0 || w->decay == 0) continue;
        mixed = mixed || (decayed > 0 && w->decay != lambda);
        lambda = w->decay;
        decayed++;
    }
    char decay[96] = "no decay";
    if (decayed && mixed)
        snprintf(decay, sizeof decay, "decay on %d parameters (several strengths)", decayed);
    if (decayed && !mixed) snprintf(decay, sizeof decay, "decay %g on %d parameters", lambda, decayed);
    if (status != SS_OK) return status;
    return ss_format(o->context, &o->description, "%s, mean over %lld targets (%lld samples), %s",
                     o->options.loss, (long long)facts.targets, (long long)facts.samples, decay);
}

ss_status ss_objective_create(ss_context *context, ss_network *network, const ss_dataset *dataset,
                              const ss_objective_options *options, ss_objective **objective)
{
    ss_status     status = SS_OK;
    ss_objective *o = NULL;
    *objective = NULL;
    SS_TRY(SS_NEW(context, &o));
    o->context = context;
    o->options = *options;
    SS_TRY(ss_copy_string(context, options->device ? options->device : "cpu", &o->device));
    o->options.device = o->device;
    SS_TRY(ss_problem_prepare_graph(context, ss_network_graph(network), dataset, options));
    o->graph = ss_network_graph(network);
    SS_TRY(ss_problem_create(context, o->graph, dataset, options, &o->problem));
    o->options.loss = ss_problem_loss_name(o->problem);
    o->options.class_weights = NULL; /* the problem has its own copy */
    for (int real = 0; real < 2; real++)
        SS_TRY(ss_backend_open(context, o->device, (ss_real)real, &o->backend[real]));
    o->backend[SS_FLOAT32]->tf32 = options->tf32;
    share_memory(o);
    SS_TRY(describe(o));
    *objective = o;
    return SS_OK;
fail:
    ss_objective_destroy(o);
    return status;
}

void ss_objective_destroy(ss_objective *o)
{
    if (!o) return;
    while (o->holders) drop(o, o->holders->program);
    for (int real = 0; real < 2; real++) ss_backend_close(o->backend[real]);
    ss_problem_destroy(o->problem);
    ss_free(o->context, o->description);
    ss_free(o->context, o->device);
    ss_free(o->context, o);
}

const ss_layout *ss_objective_layout(const ss_objective *o)
{
    return &o->graph->layout;
}
struct ss_backend *ss_objective_backend(const ss_objective *o, ss_real real)
{
    return o->backend[real];
}
const char *ss_objective_description(const ss_objective *o)
{
    return o->description;
}
ss_real ss_objective_precision(const ss_objective *o)
{
    return o->options.precision;
}
const ss_problem *ss_objective_problem(const ss_objective *o)
{
    return o->problem;
}

ss_status ss_objective_facts_get(ss_objective *o, ss_objective_facts *facts)
{
    return ss_problem_facts(o->problem, facts);
}

ss_status ss_objective_targets(ss_objective *o, const ss_samples *samples, int64_t *targets)
{
    double normaliser;
    ss_problem_normaliser(o->problem, samples, &normaliser, targets);
    return SS_OK;
}
