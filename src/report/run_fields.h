/* The tables of what a run was given; private to report/. */
#ifndef SS_REPORT_RUN_FIELDS_H
#define SS_REPORT_RUN_FIELDS_H

#include "report/report.h"

extern const ss_field ss_run_fields[];

#endif
