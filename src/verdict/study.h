/* Private to the files of study. */
#ifndef SS_VERDICT_STUDY_H
#define SS_VERDICT_STUDY_H

#include "saddlescope/follow.h"

/* Moves the objective from its seeded weights to where the options say that the point begins. */
ss_status ss_study_start(ss_context *context, ss_objective *objective, const ss_study_options *options);

#endif
