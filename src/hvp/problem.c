/* Fits network, data set and loss together, once, on the host. */
#include "hvp/problem.h"

#include <math.h>
#include <stdio.h>
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

static const char *const loss_names[] = { "mse", "cross_entropy", "bce_with_logits" };

const char *ss_problem_loss_name(const ss_problem *p)
{
    return loss_names[p->kind];
}

static ss_status loss_kind(ss_context *context, const ss_objective_options *options, ss_loss_kind *kind)
{
    ss_status status = SS_OK;
    bool      found = false;
    for (int i = 0; options->loss && i < SS_LOSS_KIND_COUNT; i++)
        if (strcmp(options->loss, loss_names[i]) == 0) {
            *kind = (ss_loss_kind)i;
            found = true;
        }
    if (!found)
        SS_FAIL(context, SS_ERROR_USAGE,
                "unknown loss \"%s\": expected mse, cross_entropy or bce_with_logits",
                options->loss ? options->loss : "");
    if (options->smoothing != 0 && *kind != SS_LOSS_CROSS_ENTROPY)
        SS_FAIL(context, SS_ERROR_USAGE, "label smoothing belongs to cross_entropy, not to %s",
                options->loss);
    if (!(options->smoothing >= 0 && options->smoothing < 1))
        SS_FAIL(context, SS_ERROR_USAGE, "label smoothing must lie in [0, 1), found %g", options->smoothing);
    if (options->class_weights && *kind != SS_LOSS_CROSS_ENTROPY)
        SS_FAIL(context, SS_ERROR_USAGE, "class weights belong to cross_entropy, not to %s", options->loss);
fail:
    return status;
}

ss_status ss_problem_prepare_graph(ss_context *context, ss_graph *graph, const ss_dataset *dataset,
                                   const ss_objective_options *options)
{
    ss_status     status = SS_OK;
    ss_attributes attributes = { .smoothing = options->smoothing };
    SS_TRY(loss_kind(context, options, &attributes.loss));
    attributes.class_ids = attributes.loss == SS_LOSS_CROSS_ENTROPY && ss_dataset_has_labels(dataset);
    SS_TRY(ss_graph_add_loss(graph, &attributes, &(int32_t){ 0 }));
fail:
    return status;
}

static void shape_text(int32_t rank, const int64_t *shape, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (int32_t i = 0; i < rank && used < size; i++) {
        int length = snprintf(text + used, size - used, "%s%lld", i ? ", " : "", (long long)shape[i]);
        used += length > 0 ? (size_t)length : 0;
    }
}

static ss_status fit_inputs(ss_problem *p)
{
    ss_status       status = SS_OK;
    const ss_value *input = &p->graph->values[0];
    const ss_array *x = ss_dataset_inputs(p->dataset);
    bool            fits = ss_dataset_input_length(p->dataset) == input->count;
    if (x->rank - 1 == input->rank)
        for (int32_t i = 0; i < input->rank; i++) fits = fits && x->shape[i + 1] == input->shape[i];
    if (!fits) {
        char found[128], expected[128];
        shape_text(x->rank - 1, x->shape + 1, found, sizeof found);
        shape_text(input->rank, input->shape, expected, sizeof expected);
        SS_FAIL(p->context, SS_ERROR_INPUT,
                "%s: array \"%s\": samples have shape [%s], the network expects [%s]",
                ss_dataset_path(p->dataset), x->name, found, expected);
    }
    p->inputs = *x;
    p->scale = ss_dataset_scale(p->dataset);
    p->shift = ss_dataset_shift(p->dataset);
fail:
    return status;
}

static ss_status fit_targets(ss_problem *p)
{
    ss_status       status = SS_OK;
    const ss_array *y = ss_dataset_targets(p->dataset);
    int64_t         length = ss_dataset_target_length(p->dataset), elements = p->rows * p->columns;
    bool            labels = ss_dataset_has_labels(p->dataset);
    if (y == NULL)
        SS_FAIL(p->context, SS_ERROR_INPUT,
                "%s: the data are token ids without labels, which this loss needs",
                ss_dataset_path(p->dataset));
    p->class_ids = p->kind == SS_LOSS_CROSS_ENTROPY && labels;
    int64_t expected = p->class_ids ? p->rows : elements;
    if (length != expected)
        SS_FAIL(p->context, SS_ERROR_INPUT,
                "%s: array \"%s\" (%s) has %lld elements per sample, expected %lld: the network has %lld "
                "outputs per "
                "sample%s",
                ss_dataset_path(p->dataset), y->name, ss_type_name(y->type), (long long)length,
                (long long)expected, (long long)elements,
                p->kind == SS_LOSS_CROSS_ENTROPY
                    ? " (integer targets are class ids, floats are distributions)"
                    : "");
    if (!p->class_ids) {
        p->targets = *y;
        return SS_OK;
    }
    SS_TRY(ss_dataset_check_labels(p->context, p->dataset, p->columns, SS_IGNORED_LABEL));
    SS_TRY(SS_NEW_ARRAY(p->context, row_weight_count(p), &p->ids));
    for (int64_t i = 0; i < row_weight_count(p); i++) p->ids[i] = ss_array_integer(y, i);
fail:
    return status;
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
    ss_status   status = SS_OK;
    ss_problem *p = NULL;
    *problem = NULL;
    SS_TRY(SS_NEW(context, &p));
    p->context = context;
    p->graph = graph;
    p->dataset = dataset;
    p->loss = &graph->nodes[graph->n_nodes - 1];
    p->frozen_decay = frozen_decay(graph);
    SS_TRY(loss_kind(context, options, &p->kind));
    p->smoothing = options->smoothing;
    p->samples = ss_dataset_samples(dataset);
    const ss_value *output = &graph->values[graph->output];
    bool            classes = p->kind == SS_LOSS_CROSS_ENTROPY;
    p->columns = classes && output->rank > 0 ? output->shape[output->rank - 1] : output->count;
    p->rows = output->count / p->columns;
    SS_TRY(fit_inputs(p));
    SS_TRY(fit_targets(p));
    SS_TRY(check_distributions(p));
    SS_TRY(weigh_rows(p, options));
    p->sampled_loss = *p->loss; /* drawn labels are ids, and are not smoothed */
    p->sampled_loss.attributes.class_ids = classes;
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
static void cross_entropy_row(const ss_problem *p, int64_t row, double *at_zero, double *least)
{
    double total = 0, entropy = 0, c = (double)p->columns;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t j = 0; j < p->columns; j++) {
            double q = p->class_ids ? (p->ids[row] == j) : ss_array_value(&p->targets, row * p->columns + j);
            double a =
                ((1 - p->smoothing) * q + p->smoothing / c) * (p->class_weight ? p->class_weight[j] : 1);
            if (pass == 0) total += a;
            if (pass == 1 && a > 0) entropy += a * log(total / a);
        }
    *at_zero = total * log(c);
    *least = entropy;
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
    for (int64_t i = 0; i < row_weight_count(p); i++) {
        double at_zero, low;
        if (p->row_weight[i] == 0) continue;
        if (p->kind == SS_LOSS_CROSS_ENTROPY)
            cross_entropy_row(p, i, &at_zero, &low);
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
