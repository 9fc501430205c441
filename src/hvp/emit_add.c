/* What the emitter adds to a program: buffers, operands and steps, in arrays that grow. */
#include "hvp/emit.h"

/* Makes room for one more element of an array that holds `count`, doubling its capacity from `start` on. */
static ss_status make_room(ss_context *context, int64_t count, int64_t start, size_t size, int64_t *capacity,
                           void **array)
{
    ss_status status = SS_OK;
    int64_t   wanted = *capacity ? 2 * *capacity : start;
    if (count < *capacity) return SS_OK;
    SS_TRY(ss_reallocate(context, wanted, size, array));
    *capacity = wanted;
fail:
    return status;
}

ss_status ss_emit_add_buffer(ss_program *p, ss_slot slot, int64_t bytes, bool laned, int64_t lane_stride,
                             int64_t offset, int32_t *number)
{
    ss_status status = SS_OK;
    SS_TRY(make_room(p->context, p->n_buffers, 64, sizeof *p->buffers, &p->buffer_capacity,
                     (void **)&p->buffers));
    p->buffers[p->n_buffers] = (ss_buffer){ .slot = slot,
                                            .laned = laned,
                                            .bytes = bytes,
                                            .lane_stride = lane_stride,
                                            .offset = offset,
                                            .first = -1,
                                            .last = -1 };
    *number = (int32_t)p->n_buffers++;
fail:
    return status;
}

ss_status ss_emit_add_operand(ss_program *p, const ss_operand *operand)
{
    ss_status status = SS_OK;
    SS_TRY(make_room(p->context, p->n_operands, 256, sizeof *p->operands, &p->operand_capacity,
                     (void **)&p->operands));
    p->operands[p->n_operands++] = *operand;
fail:
    return status;
}

/* Adds a step; its operands are the ones added since `first_operand`. */
ss_status ss_emit_add_step(emitter *e, const ss_step *step)
{
    ss_status     status = SS_OK;
    ss_step_list *list = e->list;
    SS_TRY(make_room(e->program->context, list->count, 64, sizeof *list->steps, &list->capacity,
                     (void **)&list->steps));
    list->steps[list->count] = *step;
    list->steps[list->count].n_operands = (int32_t)(e->program->n_operands - step->first_operand);
    list->count++;
fail:
    return status;
}

ss_step ss_emit_new_step(const emitter *e, ss_step_kind kind, int32_t micro_batch, int64_t samples)
{
    return (ss_step){ .kind = kind,
                      .parameter = -1,
                      .micro_batch = micro_batch,
                      .layer = -1,
                      .samples = samples,
                      .first_operand = e->program->n_operands };
}

/* A contiguous operand of one dimension. */
ss_operand ss_emit_flat_operand(int32_t buffer, int64_t element, int64_t count, bool output)
{
    ss_operand operand = { .buffer = buffer, .output = output, .element = element };
    operand.tensor.rank = 1;
    operand.tensor.shape[0] = count;
    operand.tensor.stride[0] = 1;
    return operand;
}

int32_t ss_emit_base_of(const ss_graph *g, int32_t value)
{
    return g->values[value].base >= 0 ? g->values[value].base : value;
}

/* The tensor of a value for `samples` samples: [samples, shape...]. */
ss_operand ss_emit_value_operand(const emitter *e, int32_t which, int32_t buffer, int32_t value,
                                 int64_t samples, bool output)
{
    const ss_value *v = &e->graph->values[value];
    ss_operand      operand = { .which = which, .buffer = buffer, .output = output };
    operand.tensor.rank = v->rank + 1;
    operand.tensor.shape[0] = samples;
    operand.tensor.stride[0] = e->graph->values[ss_emit_base_of(e->graph, value)].count;
    int64_t stride = 1;
    for (int32_t i = v->rank - 1; i >= 0; i--) {
        operand.tensor.shape[i + 1] = v->shape[i];
        operand.tensor.stride[i + 1] = v->base >= 0 ? v->view_stride[i] : stride;
        stride *= v->shape[i];
    }
    operand.element = v->base >= 0 ? v->view_offset : 0;
    operand.wide = v->integer;
    return operand;
}

ss_operand ss_emit_parameter_operand(const emitter *e, int32_t which, int32_t buffer, int32_t parameter,
                                     bool output)
{
    const ss_array *array = &e->graph->parameters[parameter].array;
    ss_operand      operand = { .which = which, .buffer = buffer, .output = output, .accumulate = output };
    operand.tensor.rank = array->rank;
    int64_t stride = 1;
    for (int32_t i = array->rank - 1; i >= 0; i--) {
        operand.tensor.shape[i] = array->shape[i];
        operand.tensor.stride[i] = stride;
        stride *= array->shape[i];
    }
    return operand;
}

/* On a device stored bytes arrive in a raw buffer before they are converted: the step's last operand. */
ss_status ss_emit_add_raw(emitter *e, int64_t bytes)
{
    ss_status status = SS_OK;
    int32_t   buffer;
    if (e->program->backend->class->space == SS_MEMORY_HOST) return SS_OK;
    SS_TRY(ss_emit_add_buffer(e->program, SS_SLOT_ARENA, bytes, false, 0, 0, &buffer));
    ss_operand operand = ss_emit_flat_operand(buffer, 0, bytes, true);
    SS_TRY(ss_emit_add_operand(e->program, &operand));
fail:
    return status;
}
