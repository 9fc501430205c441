/* The directions out of a saddle and the search along them: private to the files of escape. */
#ifndef SS_VERDICT_ESCAPE_H
#define SS_VERDICT_ESCAPE_H

#include "verdict/move.h"

/* A packed vector as a padded one, which is created. */
ss_status ss_escape_unpack(ss_move *m, const double *packed, ss_vectors *v);

/* Searches along the witness that verdict `at` has proved at m's point (x = 0) and, where options->vectors >
 * 1, along further directions of negative curvature and along all of them together. *best receives the step
 * of largest real decrease (sign 0: none) and *v (created here) the direction it belongs to. `r` receives
 * rows and directions; NULL = they are not kept. */
ss_status ss_escape_search(ss_move *m, const ss_verdict *at, const ss_escape_options *options,
                           const ss_analyze_options *analyze, ss_escape_result *r, ss_escape_row *best,
                           ss_vectors *v);

#endif
