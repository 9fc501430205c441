/* The compiler's driver, the plan's figures, and the printed program. */
#include "hvp/inputs.h"
#include "hvp/program.h"

#include <stdio.h>
#include <string.h>

static ss_status copy_samples(ss_program *p, const ss_samples *samples)
{
    ss_status status = SS_OK;
    int64_t  *index = NULL;
    p->samples = samples->index ? samples->count : p->problem->samples;
    p->options.samples = (ss_samples){ NULL, p->samples };
    if (!samples->index) return SS_OK;
    SS_TRY(SS_NEW_ARRAY(p->context, p->samples, &index));
    memcpy(index, samples->index, (size_t)p->samples * sizeof *index);
    p->options.samples.index = index;
fail:
    return status;
}

/* Host memory for gathered and derived rows, row weights and labels of one micro-batch. */
static void staging_size(ss_program *p)
{
    const ss_problem *problem = p->problem;
    int64_t           b = p->options.micro_batch, bytes = b * problem->rows * 8;
    bool              gathers = p->options.samples.index != NULL;
    for (int32_t i = 0; i < problem->graph->n_inputs; i++) {
        const ss_problem_input *in = &problem->inputs[i];
        if (gathers || in->source != SS_SOURCE_INPUT) bytes = ss_max64(bytes, b * ss_problem_input_bytes(in));
    }
    if (gathers && !problem->class_ids)
        bytes = ss_max64(bytes,
                         b * problem->rows * problem->columns * (int64_t)ss_type_size(problem->targets.type));
    p->staging_bytes = bytes;
}

static double list_flops(const ss_step_list *list)
{
    double flops = 0;
    for (int64_t i = 0; i < list->count; i++)
        flops += list->steps[i].flops * (list->steps[i].dropped ? 0 : 1);
    return flops;
}

/* What the steps without matrix products read and write for one vector, every operand once; the others are
 * bound by their flops. */
static double list_bytes(const ss_program *p, const ss_step_list *list)
{
    double bytes = 0;
    for (int64_t i = 0; i < list->count; i++) {
        const ss_step *step = &list->steps[i];
        if (step->dropped || step->flops > 0) continue;
        for (int32_t j = 0; j < step->n_operands; j++) {
            const ss_operand *operand = &p->operands[step->first_operand + j];
            int64_t           count = 1;
            for (int32_t d = 0; d < operand->tensor.rank; d++) count *= operand->tensor.shape[d];
            bytes += (double)count * (operand->wide ? 8 : (double)ss_real_size(p->backend->real)) *
                     (operand->output && operand->accumulate ? 2 : 1);
        }
    }
    return bytes;
}

/* Bytes of weights that lie in the arena at once. */
static int64_t weight_bytes(const ss_program *p)
{
    int64_t bytes = 0;
    for (int64_t i = 0; i < p->prologue.count; i++)
        if (p->prologue.steps[i].kind == SS_STEP_PLACE)
            bytes += p->buffers[p->operands[p->prologue.steps[i].first_operand].buffer].bytes;
    return bytes;
}

/* Flops of a plain gradient of the active parameters: what the ratios are measured in. */
static double gradient_flops(const ss_program *p)
{
    const ss_graph *g = p->problem->graph;
    double          flops = 0;
    bool            active = false; /* some parameter up to here is active: adjoints must come down to here */
    for (int32_t i = 0; i < g->n_nodes; i++) {
        ss_node        kept = g->nodes[i]; /* of a head: a gradient at its best forms the logits once */
        const ss_node *node = &kept;
        ss_mask        want = 0, have = SS_BIT(SS_ADJOINT, SS_Y);
        kept.attributes.keep_logits = true;
        for (int32_t j = 0; active && j < node->n_inputs; j++) {
            const ss_value *x = &g->values[node->input[j]];
            if ((x->base >= 0 ? g->values[x->base].source : x->source) < 0)
                want |= SS_BIT(SS_ADJOINT, SS_X + j);
        }
        for (int32_t j = 0; j < node->n_parameters; j++)
            if (node->parameter[j] >= 0 && g->parameters[node->parameter[j]].offset >= 0) {
                want |= SS_BIT(SS_ADJOINT, SS_W + j);
                active = true;
            }
        if (!node->op->flops) continue;
        flops += node->op->flops(node, SS_FORWARD, p->samples, 0,
                                 SS_BIT(SS_PRIMAL, node->op->kind == SS_OP_LOSS ? SS_SAVED : SS_Y));
        if (want) flops += node->op->flops(node, SS_BACKWARD, p->samples, have, want);
    }
    return flops;
}

static void fill_plan(ss_program *p)
{
    ss_plan *plan = &p->plan;
    *plan = (ss_plan){ .samples = p->samples,
                       .micro_batch = p->options.micro_batch,
                       .n_micro_batches = p->n_micro_batches,
                       .lanes = p->options.lanes,
                       .stream_weights = p->options.stream_weights,
                       .keep_logits = p->options.keep_logits && p->loss.op == &ss_op_head,
                       .n_prologue = p->prologue.count,
                       .n_body = p->body.count,
                       .bytes_peak = p->arena_bytes,
                       .bytes_cache = p->persistent_bytes,
                       .bytes_staging = p->staging_bytes };
    if (p->options.computation == SS_COMPUTE_PRODUCT) {
        plan->cached[SS_CACHE_ALL] = p->options.cached;
        if (p->n_micro_batches > p->options.cached)
            plan->cached[p->options.rest] += p->n_micro_batches - p->options.cached;
    }
    plan->bytes_weights = p->weight_bytes = weight_bytes(p);
    plan->flops_prologue = list_flops(&p->prologue);
    plan->flops_body = list_flops(&p->body);
    plan->flops_gradient = gradient_flops(p);
    plan->bytes_body = list_bytes(p, &p->body);
}

ss_status ss_program_compile(ss_context *context, ss_backend *backend, const ss_problem *problem,
                             const ss_program_options *options, ss_program **program)
{
    ss_status   status = SS_OK;
    ss_program *p = NULL;
    *program = NULL;
    SS_TRY(SS_NEW(context, &p));
    p->context = context;
    p->backend = backend;
    p->problem = problem;
    p->options = *options;
    p->options.samples.index = NULL;
    p->row_loss_buffer = -1;
    SS_TRY(copy_samples(p, &options->samples));
    if (options->micro_batch < 1 || options->lanes < 1 || p->samples < 1)
        SS_FAIL(context, SS_ERROR_INTERNAL, "program of %lld samples, micro-batch %lld, %d lanes",
                (long long)p->samples, (long long)options->micro_batch, options->lanes);
    p->options.micro_batch = ss_min64(options->micro_batch, p->samples);
    p->n_micro_batches = (p->samples + p->options.micro_batch - 1) / p->options.micro_batch;
    ss_samples own = p->options.samples;
    ss_problem_normaliser(problem, own.index ? &own : NULL, &p->normaliser, &(int64_t){ 0 });
    if (!(p->normaliser > 0))
        SS_FAIL(context, SS_ERROR_INPUT, "none of the %lld samples has a counted target",
                (long long)p->samples);
    staging_size(p);
    SS_TRY(ss_program_fuse(p));
    SS_TRY(ss_program_emit(p));
    ss_program_prune(p);
    SS_TRY(ss_program_prefetch(p));
    SS_TRY(ss_program_place(p));
    ss_program_plan_capture(p);
    fill_plan(p);
    *program = p;
    return SS_OK;
fail:
    ss_program_destroy(p);
    return status;
}

void ss_program_destroy(ss_program *p)
{
    if (!p) return;
    ss_program_release(p);
    ss_free(p->context, (void *)(uintptr_t)p->options.samples.index);
    ss_free(p->context, p->network.nodes);
    ss_free(p->context, p->prologue.steps);
    ss_free(p->context, p->body.steps);
    ss_free(p->context, p->buffers);
    ss_free(p->context, p->operands);
    ss_free(p->context, p);
}

/* ---- Printing ---- */

static const char *const step_names[] = { "sweep",      "zero",        "zero result", "place",      "poison",
                                          "load input", "load target", "load weight", "load class", "sample",
                                          "decay",      "decay loss",  "kinks" };
static const char *const sweep_names[] = { "forward", "backward", "tangent forward", "tangent backward",
                                           "curvature" };

static void print_operand(const ss_program *p, const ss_operand *operand, FILE *file)
{
    static const char *const derivative[] = { "", "_t", "_a", "_at" };
    static const char *const roles[] = { "x0",       "x1",           "x2",       "x3",
                                         "w0",       "w1",           "w2",       "w3",
                                         "y",        "saved",        "target",   "row_weight",
                                         "row_loss", "class_weight", "workspace" };
    const ss_buffer         *b = &p->buffers[operand->buffer];
    fprintf(file, " %s%s%s%s", operand->output ? (operand->accumulate ? "+>" : ">") : "",
            roles[operand->which % SS_ROLE_COUNT], derivative[operand->which / SS_ROLE_COUNT],
            b->slot == SS_SLOT_V    ? "[v"
            : b->slot == SS_SLOT_HV ? "[Hv"
                                    : "[");
    fprintf(file, "%s%lld]", b->slot == SS_SLOT_ARENA ? "" : "+", (long long)b->offset);
}

static void print_list(const ss_program *p, const ss_step_list *list, const char *title, FILE *file)
{
    fprintf(file, "%s: %lld steps\n", title, (long long)list->count);
    for (int64_t i = 0; i < list->count; i++) {
        const ss_step *step = &list->steps[i];
        fprintf(file, "  %5lld  ", (long long)i);
        if (step->micro_batch >= 0) fprintf(file, "batch %-4d ", step->micro_batch);
        if (step->kind == SS_STEP_SWEEP)
            fprintf(file, "%-17s %-28s", sweep_names[step->sweep], step->node->name);
        else
            fprintf(file, "%-17s %-28s", step_names[step->kind],
                    step->parameter >= 0 ? p->problem->graph->parameters[step->parameter].name : "");
        for (int32_t j = 0; j < step->n_operands; j++)
            print_operand(p, &p->operands[step->first_operand + j], file);
        if (step->flops > 0) fprintf(file, "  %.3g flops", step->flops);
        fputc('\n', file);
    }
}

void ss_program_print(const ss_program *p, void *file)
{
    print_list(p, &p->prologue, "prologue (once per point)", file);
    print_list(p, &p->body, "body (once per product)", file);
    fprintf(file, "arena %lld bytes, of which %lld stay between products\n", (long long)p->arena_bytes,
            (long long)p->persistent_bytes);
    if (p->captured_offset >= 0) fprintf(file, "the body is captured: one launch a product\n");
}
