/* The checkpoints of a run and what lies beside them: private to the track command. */
#ifndef SS_CLI_TRACK_FILES_H
#define SS_CLI_TRACK_FILES_H

#include "base/base.h"

typedef struct ss_checkpoints {
    char  **names; /* [count] as the patterns found them, in natural order, none twice; owned */
    int64_t count;
} ss_checkpoints;

/* All that the patterns match. SS_ERROR_INPUT naming a pattern that matches nothing. */
ss_status ss_checkpoints_find(ss_context *context, const char *const *patterns, int64_t count,
                              ss_checkpoints *found);
void      ss_checkpoints_release(ss_context *context, ss_checkpoints *found);

/* The weights file of a checkpoint: the file itself, or weights.safetensors or the name that Hugging Face
 * gives to it in the folder. SS_ERROR_INPUT when there is none. *path owned by the caller. */
ss_status ss_checkpoint_weights(ss_context *context, const char *name, char **path);
/* `file` in the checkpoint's folder (the file's own folder, if it is no folder) where it is there, else
 * `file` itself. *path owned by the caller. */
ss_status ss_checkpoint_beside(ss_context *context, const char *name, const char *file, char **path);

/* A learning rate per step. */
typedef struct ss_schedule {
    double *rates; /* [count] */
    double *steps; /* [count] ascending; NULL = one rate for all */
    int64_t count; /* 0 = none stated */
} ss_schedule;

/* "0.1", or a trainer_state.json (Hugging Face): log_history[].step and .learning_rate. SS_ERROR_INPUT naming
 * file and field. */
ss_status ss_schedule_read(ss_context *context, const char *text, ss_schedule *schedule);
void      ss_schedule_release(ss_context *context, ss_schedule *schedule);
/* The rate logged last at or before `step` (the first one before that; the last one for step -1). NaN when
 * none is stated. */
double ss_schedule_at(const ss_schedule *schedule, int64_t step);

#endif
