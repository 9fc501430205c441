/* Memory, queues and bytes of the CPU backend: contracts in backend.h. */
#ifndef SS_BACKEND_CPU_MEMORY_H
#define SS_BACKEND_CPU_MEMORY_H

#include "backend/backend.h"

ss_status ss_cpu_allocate(ss_backend *b, int64_t bytes, void **memory);
void      ss_cpu_release(ss_backend *b, void *memory);
int64_t   ss_cpu_memory_available(ss_backend *b);
ss_status ss_cpu_queue_create(ss_backend *b, ss_queue **queue);
void      ss_cpu_queue_destroy(ss_backend *b, ss_queue *queue);
ss_status ss_cpu_queue_synchronize(ss_backend *b, ss_queue *queue);
ss_status ss_cpu_event_create(ss_backend *b, ss_event **event);
void      ss_cpu_event_destroy(ss_backend *b, ss_event *event);
ss_status ss_cpu_event_record(ss_backend *b, ss_event *event, ss_queue *queue);
ss_status ss_cpu_queue_wait(ss_backend *b, ss_queue *queue, ss_event *event);
ss_status ss_cpu_copy(ss_backend *b, ss_queue *q, void *to, const void *from, int64_t bytes);
ss_status ss_cpu_zero(ss_backend *b, ss_queue *q, void *memory, int64_t bytes);
ss_status ss_cpu_poison(ss_backend *b, ss_queue *q, void *memory, int64_t bytes);
ss_status ss_cpu_convert(ss_backend *b, ss_queue *q, void *to, ss_real real, const void *from, ss_type type,
                         int64_t count, double scale, double shift);

/* Fills memory with signalling NaNs of the real type; a rest shorter than one element too. */
void ss_fill_poison(void *memory, int64_t bytes, ss_real real);
/* Bit patterns of these NaNs. Arithmetic never makes them: its results are quiet. */
#define SS_POISON_32 0x7fa5a5a5u
#define SS_POISON_64 0x7ff5a5a5a5a5a5a5u

#endif
