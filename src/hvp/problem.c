/* Fits network, data set and loss together, once, on the host. */
#include "hvp/problem.h"

#include "hvp/inputs.h"
#include "io/archive.h"

#include <math.h>
#include <string.h>

static int64_t row_weight_count(const ss_problem *p)
{
    return p->samples * p->rows;
}

void ss_problem_normaliser(const ss_problem *p, const ss_samples *samples, double *normaliser,
                           int64_t *targets)
{
    int64_t count = samples ? samples->count : p->samples;
    /* As in torch: class weights divide the mean when targets are ids (smoothed or not), not when they are
     * values. */
    bool    by_class = p->class_ids && p->class_weight;
    double  sum = 0;
    int64_t counted = 0;
    for (int64_t i = 0; i < count; i++) {
        const double *w = p->row_weight + (samples ? samples->index[i] : i) * p->rows;
        for (int64_t j = 0; j < p->rows; j++) {
            int64_t row = (samples ? samples->index[i] : i) * p->rows + j;
            sum += by_class && w[j] > 0 ? p->class_weight[p->ids[row]] : w[j];
            counted += w[j] > 0;
        }
    }
    bool per_element = p->kind != SS_LOSS_CROSS_ENTROPY;
    *normaliser = sum * (per_element ? (double)p->columns : 1);
    *targets = counted * (per_element ? p->columns : 1);
}

/* ---- Checks and construction ---- */

/* What a loss may be called. */
typedef struct loss_name {
    const char  *name;
    ss_loss_kind kind;
    bool         tokens;  /* one prediction per token */
    bool         shifted; /* the label of a token is that of the next one */
} loss_name;

static const loss_name loss_names[] = {
    { "mse", SS_LOSS_MSE, false, false },
    { "cross_entropy", SS_LOSS_CROSS_ENTROPY, false, false },
    { "bce_with_logits", SS_LOSS_BCE_WITH_LOGITS, false, false },
    { "causal_lm", SS_LOSS_CROSS_ENTROPY, true, true },
    { "masked_lm", SS_LOSS_CROSS_ENTROPY, true, false },
};
enum { LOSS_NAMES = sizeof loss_names / sizeof loss_names[0] };

const char *ss_problem_loss_name(const ss_problem *p)
{
    return p->loss_name;
}

static ss_status find_loss(ss_context *context, const ss_objective_options *options, const loss_name **loss)
{
    ss_status status = SS_OK;
    *loss = NULL;
    for (int i = 0; options->loss && i < LOSS_NAMES; i++)
        if (strcmp(options->loss, loss_names[i].name) == 0) *loss = &loss_names[i];
    if (!*loss)
        SS_FAIL(context, SS_ERROR_USAGE,
                "unknown loss \"%s\": expected mse, cross_entropy, bce_with_logits, causal_lm or masked_lm",
                options->loss ? options->loss : "");
    bool classes = (*loss)->kind == SS_LOSS_CROSS_ENTROPY;
    if (options->smoothing != 0 && !classes)
        SS_FAIL(context, SS_ERROR_USAGE, "label smoothing belongs to cross_entropy, not to %s",
                options->loss);
    if (!(options->smoothing >= 0 && options->smoothing < 1))
        SS_FAIL(context, SS_ERROR_USAGE, "label smoothing must lie in [0, 1), found %g", options->smoothing);
    if (options->class_weights && !classes)
        SS_FAIL(context, SS_ERROR_USAGE, "class weights belong to cross_entropy, not to %s", options->loss);
fail:
    return status;
}

ss_status ss_problem_prepare_graph(ss_context *context, ss_graph *graph, const ss_dataset *dataset,
                                   const ss_objective_options *options)
{
    ss_status        status = SS_OK;
    ss_attributes    attributes = { .smoothing = options->smoothing };
    const loss_name *loss;
    SS_TRY(find_loss(context, options, &loss));
    if (graph->head.weight >= 0 && loss->kind != SS_LOSS_CROSS_ENTROPY)
        SS_FAIL(
            context, SS_ERROR_USAGE,
            "the network predicts one of %lld classes: its loss is causal_lm, masked_lm or cross_entropy, "
            "not %s",
            (long long)graph->head.classes, options->loss);
    attributes.loss = loss->kind;
    attributes.class_ids =
        loss->kind == SS_LOSS_CROSS_ENTROPY && (loss->tokens || ss_dataset_has_labels(dataset));
    SS_TRY(ss_graph_add_loss(graph, &attributes, &(int32_t){ 0 }));
fail:
    return status;
}

/* The label that a prediction is measured by: its own, or that of the next token. */
static int64_t label_of(const ss_problem *p, const ss_array *labels, bool shifted, int64_t sample,
                        int64_t row)
{
    if (!shifted) return ss_array_integer(labels, sample * p->rows + row);
    return row + 1 < p->rows ? ss_array_integer(labels, sample * p->rows + row + 1) : SS_IGNORED_LABEL;
}

/* Class ids of all rows; -100 does not count, and something must. */
static ss_status collect_labels(ss_problem *p, const ss_array *labels, const loss_name *loss)
{
    ss_status status = SS_OK;
    int64_t   counted = 0;
    char      name[SS_QUOTE_TEXT], place[SS_SHAPE_TEXT];
    ss_quote(labels->name, name);
    if (ss_type_is_float(labels->type))
        SS_FAIL(p->context, SS_ERROR_INPUT, "%s: array %s: expected integer class ids, found type %s",
                ss_dataset_path(p->dataset), name, ss_type_name(labels->type));
    SS_TRY(SS_NEW_ARRAY(p->context, row_weight_count(p), &p->ids));
    for (int64_t i = 0; i < row_weight_count(p); i++) {
        int64_t label = ss_array_integer(labels, i);
        if (label != SS_IGNORED_LABEL && (label < 0 || label >= p->columns))
            SS_FAIL(p->context, SS_ERROR_INPUT,
                    "%s: array %s: label %lld at %s: expected a class id between 0 and %lld (or %d, not "
                    "counted)",
                    ss_dataset_path(p->dataset), name, (long long)label, ss_index_text(labels, i, place),
                    (long long)p->columns - 1, SS_IGNORED_LABEL);
        p->ids[i] = label_of(p, labels, loss->shifted, i / p->rows, i % p->rows);
        counted += p->ids[i] != SS_IGNORED_LABEL;
    }
    if (counted == 0)
        SS_FAIL(p->context, SS_ERROR_INPUT, "%s: array %s: no label counts, all %sare %d",
                ss_dataset_path(p->dataset), name, loss->shifted ? "behind a first token " : "",
                SS_IGNORED_LABEL);
fail:
    return status;
}

/* Labels: one per token, or one per sample; a causal language model's default to its own tokens. */
static ss_status fit_labels(ss_problem *p, const loss_name *loss)
{
    ss_status       status = SS_OK;
    const ss_array *labels = ss_dataset_targets(p->dataset);
    int64_t         length = 1;
    char            name[SS_QUOTE_TEXT], shape[SS_SHAPE_TEXT];
    if (!labels && loss->shifted) labels = ss_problem_token_ids(p->dataset);
    if (!labels)
        SS_FAIL(p->context, SS_ERROR_INPUT, "%s: there are no labels, which %s needs",
                ss_dataset_path(p->dataset), loss->name);
    for (int32_t i = 1; i < labels->rank; i++) length *= labels->shape[i];
    if (length != p->rows)
        SS_FAIL(p->context, SS_ERROR_INPUT,
                "%s: array %s (%s) has %lld elements per sample, expected %lld: the network has %lld outputs "
                "per sample (integer targets are class ids, floats are distributions)",
                ss_dataset_path(p->dataset), ss_quote(labels->name, name), ss_type_name(labels->type),
                (long long)length, (long long)p->rows, (long long)(p->rows * p->columns));
    if (labels->shape[0] != p->samples)
        SS_FAIL(p->context, SS_ERROR_INPUT, "%s: array %s has shape %s, expected %lld samples",
                ss_dataset_path(p->dataset), ss_quote(labels->name, name),
                ss_shape_text(labels->rank, labels->shape, shape), (long long)p->samples);
    SS_TRY(collect_labels(p, labels, loss));
fail:
    return status;
}

static ss_status fit_targets(ss_problem *p, const loss_name *loss)
{
    ss_status status = SS_OK;
    p->class_ids = p->loss->attributes.class_ids;
    if (p->class_ids) return fit_labels(p, loss);
    const ss_array *y = ss_dataset_targets(p->dataset);
    int64_t         length = ss_dataset_target_length(p->dataset), elements = p->rows * p->columns;
    if (y == NULL)
        SS_FAIL(p->context, SS_ERROR_INPUT,
                "%s: the data are token ids without labels, which this loss needs",
                ss_dataset_path(p->dataset));
    if (length != elements)
        SS_FAIL(p->context, SS_ERROR_INPUT,
                "%s: array \"%s\" (%s) has %lld elements per sample, expected %lld: the network has %lld "
                "outputs per "
                "sample%s",
                ss_dataset_path(p->dataset), y->name, ss_type_name(y->type), (long long)length,
                (long long)elements, (long long)elements,
                p->kind == SS_LOSS_CROSS_ENTROPY
                    ? " (integer targets are class ids, floats are distributions)"
                    : "");
    p->targets = *y;
fail:
    return status;
}

/* Rows and columns of the loss: the classes of the head, the last extent, or all outputs together. */
static ss_status find_extents(ss_problem *p, const loss_name *loss)
{
    const ss_graph *g = p->graph;
    const ss_value *output = &g->values[g->output];
    bool            head = g->head.weight >= 0, classes = p->kind == SS_LOSS_CROSS_ENTROPY;
    int64_t         last = output->rank > 0 ? output->shape[output->rank - 1] : 1;
    p->columns = head ? g->head.classes : classes && output->rank > 0 ? last : output->count;
    p->rows = head ? output->count / last : output->count / p->columns;
    if (loss->tokens && output->rank < 2)
        return ss_fail(p->context, SS_ERROR_USAGE,
                       "%s needs a prediction for every token, the network gives one per sample", loss->name);
    return SS_OK;
}

/* Soft targets must be distributions, or the entropy bound and the stable form lose their meaning. */
static ss_status check_distributions(ss_problem *p)
{
    ss_status status = SS_OK;
    bool      bounded = p->kind == SS_LOSS_BCE_WITH_LOGITS;
    for (int64_t i = 0; !p->class_ids && p->kind != SS_LOSS_MSE && i < row_weight_count(p); i++) {
        double sum = 0;
        for (int64_t j = 0; j < p->columns; j++) {
            double q = ss_array_value(&p->targets, i * p->columns + j);
            if (!(q >= 0) || (bounded && q > 1))
                SS_FAIL(p->context, SS_ERROR_INPUT,
                        "%s: array \"%s\": target [%lld, %lld] is %g, expected %s",
                        ss_dataset_path(p->dataset), p->targets.name, (long long)i, (long long)j, q,
                        bounded ? "a number in [0, 1]" : "a probability");
            sum += q;
        }
        if (!bounded && fabs(sum - 1) > 1e-3)
            SS_FAIL(p->context, SS_ERROR_INPUT,
                    "%s: array \"%s\": the distribution in row %lld sums to %g, expected 1",
                    ss_dataset_path(p->dataset), p->targets.name, (long long)i, sum);
    }
fail:
    return status;
}

static ss_status weigh_rows(ss_problem *p, const ss_objective_options *options)
{
    ss_status     status = SS_OK;
    const double *class_weights = options->class_weights;
    if (class_weights && options->n_class_weights != p->columns)
        SS_FAIL(p->context, SS_ERROR_INPUT, "class weights: %lld numbers for %lld classes",
                (long long)options->n_class_weights, (long long)p->columns);
    for (int64_t j = 0; class_weights && j < p->columns; j++)
        if (!(class_weights[j] >= 0) || isinf(class_weights[j]))
            SS_FAIL(p->context, SS_ERROR_INPUT,
                    "class weights: weight %lld is %g, expected a finite number >= 0", (long long)j,
                    class_weights[j]);
    SS_TRY(SS_NEW_ARRAY(p->context, row_weight_count(p), &p->row_weight));
    for (int64_t i = 0; i < row_weight_count(p); i++) p->row_weight[i] = !p->ids || p->ids[i] >= 0 ? 1 : 0;
    if (!class_weights) return SS_OK;
    if (p->class_ids && p->smoothing == 0) { /* w_y l / sum w_y: the class weight is the row's weight */
        for (int64_t i = 0; i < row_weight_count(p); i++)
            if (p->ids[i] >= 0) p->row_weight[i] = class_weights[p->ids[i]];
        return SS_OK;
    }
    SS_TRY(SS_NEW_ARRAY(p->context, p->columns, &p->class_weight));
    memcpy(p->class_weight, class_weights, (size_t)p->columns * sizeof *class_weights);
fail:
    return status;
}

/* Frozen parameters keep their share of the regulariser: a constant, as in torch. */
static double frozen_decay(const ss_graph *graph)
{
    double sum = 0;
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        const ss_parameter *w = &graph->parameters[i];
        double              square = 0;
        if (w->decay == 0 || w->offset >= 0) continue;
        for (int64_t j = 0; j < w->count; j++) {
            double value = ss_array_value(&w->array, j);
            square += value * value;
        }
        sum += w->decay / 2 * square;
    }
    return sum;
}

ss_status ss_problem_create(ss_context *context, const ss_graph *graph, const ss_dataset *dataset,
                            const ss_objective_options *options, ss_problem **problem)
{
    ss_status        status = SS_OK;
    ss_problem      *p = NULL;
    const loss_name *loss;
    *problem = NULL;
    SS_TRY(SS_NEW(context, &p));
    p->context = context;
    p->graph = graph;
    p->dataset = dataset;
    p->loss = &graph->nodes[graph->n_nodes - 1];
    p->frozen_decay = frozen_decay(graph);
    SS_TRY(find_loss(context, options, &loss));
    p->kind = loss->kind;
    p->loss_name = loss->name;
    p->smoothing = options->smoothing;
    p->samples = ss_dataset_samples(dataset);
    SS_TRY(find_extents(p, loss));
    SS_TRY(ss_problem_fit_inputs(p));
    SS_TRY(fit_targets(p, loss));
    SS_TRY(check_distributions(p));
    SS_TRY(weigh_rows(p, options));
    p->sampled_loss = *p->loss; /* drawn labels are ids, and are not smoothed */
    p->sampled_loss.attributes.class_ids = p->kind == SS_LOSS_CROSS_ENTROPY;
    p->sampled_loss.attributes.smoothing = 0;
    *problem = p;
    return SS_OK;
fail:
    ss_problem_destroy(p);
    return status;
}

void ss_problem_destroy(ss_problem *p)
{
    if (!p) return;
    ss_free(p->context, p->ids);
    ss_free(p->context, p->row_weight);
    ss_free(p->context, p->class_weight);
    ss_free(p->context, p);
}

/* ---- Facts ---- */

/* a = q o w, the weighted target distribution of a cross-entropy row: its loss at logits 0 is A log C, its
 * least value sum a log(A / a), where A = sum a. */
static void distribution_row(const ss_problem *p, int64_t row, double *at_zero, double *least)
{
    double total = 0, entropy = 0, c = (double)p->columns;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t j = 0; j < p->columns; j++) {
            double q = ss_array_value(&p->targets, row * p->columns + j);
            double a =
                ((1 - p->smoothing) * q + p->smoothing / c) * (p->class_weight ? p->class_weight[j] : 1);
            if (pass == 0) total += a;
            if (pass == 1 && a > 0) entropy += a * log(total / a);
        }
    *at_zero = total * log(c);
    *least = entropy;
}

/* The same for class ids, where all rows share b_j = w_j smoothing / C and only the label's own a differs:
 * one step per row instead of one per class. */
typedef struct smoothed {
    double sum, sum_log; /* of b_j, of b_j log b_j */
} smoothed;

static double weighted_share(const ss_problem *p, int64_t j)
{
    return p->smoothing / (double)p->columns * (p->class_weight ? p->class_weight[j] : 1);
}

static double times_log(double b)
{
    return b > 0 ? b * log(b) : 0;
}

static smoothed smoothed_sums(const ss_problem *p)
{
    smoothed s = { 0 };
    for (int64_t j = 0; p->smoothing > 0 && j < p->columns; j++) {
        double b = weighted_share(p, j);
        s.sum += b;
        s.sum_log += times_log(b);
    }
    return s;
}

static void label_row(const ss_problem *p, const smoothed *s, int64_t row, double *at_zero, double *least)
{
    int64_t y = p->ids[row];
    double  own = weighted_share(p, y), weight = p->class_weight ? p->class_weight[y] : 1;
    double  a = (1 - p->smoothing) * weight + own, total = s->sum - own + a;
    *at_zero = total * log((double)p->columns);
    *least = total > 0 ? total * log(total) - (s->sum_log - times_log(own)) - times_log(a) : 0;
    if (p->smoothing == 0) *least = 0;
}

static void value_row(const ss_problem *p, int64_t row, double *at_zero, double *least)
{
    *at_zero = *least = 0;
    for (int64_t j = 0; j < p->columns; j++) {
        double t = ss_array_value(&p->targets, row * p->columns + j);
        if (p->kind == SS_LOSS_MSE) {
            *at_zero += t * t;
        } else {
            *at_zero += log(2);
            if (t > 0 && t < 1) *least -= t * log(t) + (1 - t) * log1p(-t);
        }
    }
}

/* Half the spacing of the stored type at w: bf16 keeps 8 significant bits, fp16 11 and nothing below 2^-24.
 */
static double half_ulp(ss_type type, double w)
{
    int exponent;
    if (w == 0) return 0;
    (void)frexp(w, &exponent);
    if (type == SS_BF16) return ldexp(1, exponent - 9);
    return ldexp(1, (exponent - 12 > -25 ? exponent - 12 : -25));
}

static void weight_facts(const ss_problem *p, ss_objective_facts *facts)
{
    double norm = 0, radius = 0;
    for (int32_t i = 0; i < p->graph->n_parameters; i++) {
        const ss_parameter *w = &p->graph->parameters[i];
        bool                rounded = w->array.type == SS_BF16 || w->array.type == SS_F16;
        if (w->offset < 0) continue;
        for (int64_t j = 0; j < w->count; j++) {
            double value = ss_array_value(&w->array, j);
            norm += value * value;
            if (rounded) radius += half_ulp(w->array.type, value) * half_ulp(w->array.type, value);
        }
        facts->rounded_weights = facts->rounded_weights || rounded;
    }
    facts->theta_norm = sqrt(norm);
    facts->rounding_radius = sqrt(radius);
}

ss_status ss_problem_facts(const ss_problem *p, ss_objective_facts *facts)
{
    double normaliser, zero = 0, least = 0;
    *facts = (ss_objective_facts){ .n = p->graph->layout.n, .samples = p->samples };
    ss_problem_normaliser(p, NULL, &normaliser, &facts->targets);
    smoothed shares = smoothed_sums(p);
    for (int64_t i = 0; i < row_weight_count(p); i++) {
        double at_zero, low;
        if (p->row_weight[i] == 0) continue;
        if (p->class_ids)
            label_row(p, &shares, i, &at_zero, &low);
        else if (p->kind == SS_LOSS_CROSS_ENTROPY)
            distribution_row(p, i, &at_zero, &low);
        else
            value_row(p, i, &at_zero, &low);
        zero += p->row_weight[i] * at_zero;
        least += p->row_weight[i] * low;
    }
    facts->zero_output_loss = zero / normaliser;
    facts->lower_bound = least / normaliser;
    weight_facts(p, facts);
    for (int32_t i = 0; i < p->graph->n_nodes; i++) {
        const ss_op *op = p->graph->nodes[i].op;
        facts->kinked = facts->kinked || (op->kinked && op->kinked(&p->graph->nodes[i]));
    }
    return SS_OK;
}
