/* Second pass of the compiler: drops everything that nobody reads.
 *
 * Walks the two lists backwards from the results. A sweep is asked again what it reads, now for the outputs
 * that are really wanted; the rest of its operands goes. First layers lose their input's adjoints, frozen
 * layers everything but the path through them, the Hessian program the weight adjoints of the plain backward
 * sweep: no rule for any of these is written down anywhere. */
#include "hvp/program.h"

/* Keeps the operands whose numbers are in `keep`, in order. */
static void keep_operands(ss_program *p, ss_step *step, ss_mask keep)
{
    ss_operand *operands = &p->operands[step->first_operand];
    int32_t     kept = 0;
    for (int32_t i = 0; i < step->n_operands; i++)
        if (keep >> operands[i].which & 1) operands[kept++] = operands[i];
    step->n_operands = kept;
}

/* Operands of a sweep that reach the wanted outputs; false when none is wanted. */
static bool prune_sweep(ss_program *p, ss_step *step)
{
    ss_operand *operands = &p->operands[step->first_operand];
    ss_mask     want = 0;
    for (int32_t i = 0; i < step->n_operands; i++)
        if (operands[i].output && p->buffers[operands[i].buffer].live)
            want |= (ss_mask)1 << operands[i].which;
    if (!want) return false;
    ss_mask reads = step->node->op->needs(step->node, step->sweep, step->have, want);
    keep_operands(p, step, reads | want | SS_BIT(SS_PRIMAL, SS_WORKSPACE));
    step->flops = step->node->op->flops
                      ? step->node->op->flops(step->node, step->sweep, step->samples, step->have, want)
                      : 0;
    if (step->node->op->bytes)
        step->bytes =
            step->node->op->bytes(step->node, p->backend, step->sweep, step->samples, step->have, want);
    return true;
}

static bool is_root(const ss_step *step)
{
    return step->kind == SS_STEP_ZERO_RESULT || step->kind == SS_STEP_DECAY ||
           step->kind == SS_STEP_DECAY_LOSS || step->kind == SS_STEP_KINKS;
}

static void prune_step(ss_program *p, ss_step *step)
{
    ss_operand *operands = &p->operands[step->first_operand];
    if (step->kind == SS_STEP_POISON) return; /* decided afterwards, when all uses are known */
    if (step->kind == SS_STEP_SWEEP) {
        step->dropped = !prune_sweep(p, step);
    } else if (!is_root(step)) {
        bool wanted = false;
        for (int32_t i = 0; i < step->n_operands; i++)
            wanted = wanted || (operands[i].output && p->buffers[operands[i].buffer].live);
        step->dropped = !wanted;
    }
    if (step->dropped) return;
    /* An overwritten buffer is not needed before this step, one that is read is. */
    for (int32_t i = 0; i < step->n_operands; i++)
        if (operands[i].output && !operands[i].accumulate) p->buffers[operands[i].buffer].live = false;
    for (int32_t i = 0; i < step->n_operands; i++)
        if (!operands[i].output) p->buffers[operands[i].buffer].live = true;
}

static void compact(ss_step_list *list)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < list->count; i++)
        if (!list->steps[i].dropped) list->steps[kept++] = list->steps[i];
    list->count = kept;
}

/* Marks the buffers that the remaining steps use, then drops the poisoning of weights that are never placed.
 */
static void prune_poison(ss_program *p)
{
    for (int64_t i = 0; i < p->n_buffers; i++) p->buffers[i].live = false;
    for (int64_t i = 0; i < p->body.count; i++) {
        const ss_step *step = &p->body.steps[i];
        for (int32_t j = 0; !step->dropped && step->kind == SS_STEP_PLACE && j < step->n_operands; j++)
            p->buffers[p->operands[step->first_operand + j].buffer].live = true;
    }
    for (int64_t i = 0; i < p->body.count; i++) {
        ss_step *step = &p->body.steps[i];
        if (step->kind == SS_STEP_POISON)
            step->dropped = !p->buffers[p->operands[step->first_operand].buffer].live;
    }
}

void ss_program_prune(ss_program *p)
{
    /* The results: Hv or the gradient, and the row losses (only loss and gradient programs write them). */
    for (int64_t i = 0; i < p->n_buffers; i++) p->buffers[i].live = p->buffers[i].slot == SS_SLOT_HV;
    for (int64_t i = p->body.count - 1; i >= 0; i--) {
        ss_step    *step = &p->body.steps[i];
        ss_operand *operands = &p->operands[step->first_operand];
        for (int32_t j = 0; j < step->n_operands; j++)
            if (step->kind == SS_STEP_SWEEP && operands[j].which == SS_OPERAND(SS_PRIMAL, SS_ROW_LOSS))
                p->buffers[operands[j].buffer].live = true;
        prune_step(p, step);
    }
    for (int64_t i = p->prologue.count - 1; i >= 0; i--) prune_step(p, &p->prologue.steps[i]);
    prune_poison(p);
    compact(&p->prologue);
    compact(&p->body);
}
