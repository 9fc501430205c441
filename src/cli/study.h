/* The points of a study and who computes them: private to the study's files. */
#ifndef SS_CLI_STUDY_H
#define SS_CLI_STUDY_H

#include "cli/workload.h"

typedef struct ss_study_plan {
    ss_workload       *workload; /* borrowed: the data set is shared by all jobs, read-only */
    ss_analyze_options analyze;
    char             **sources; /* [n_widths] network of each width; owned */
    int64_t           *widths;  /* [n_widths]; 0 = as the network says */
    int64_t            n_widths;
    int64_t           *seeds; /* [n_seeds] */
    int64_t            n_seeds;
    char               setup[17]; /* digest of what the numbers depend on */
    ss_study_point    *points;    /* [n_widths n_seeds] by number */
    bool              *done;      /* [n_widths n_seeds] */
    int64_t            total;     /* n_widths n_seeds */
} ss_study_plan;

/* Called in the main thread after every point; points[number] is done. */
typedef ss_status (*ss_study_report)(void *user, const ss_study_plan *plan, int64_t number);

/* Computes all points that are not done, `jobs` at a time, each by one thread with a context of its own: a
 * point's digits do not depend on the others. The first failure ends it; a signal (the workload's context)
 * too, with SS_ERROR_INTERRUPTED. */
ss_status ss_study_run(ss_study_plan *plan, int64_t jobs, ss_study_report report, void *user);

#endif
