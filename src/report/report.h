/* Results as files and as text. A report serialises what the library computed and computes nothing itself.
 *
 * The JSON (schema "saddlescope/1", docs/json.md) holds who ran what on what (ss_run), and one result. It is
 * written beside its target and renamed, from the first minute with "complete": false and again after every
 * product, so that a reader always finds a whole file. */
#ifndef SS_REPORT_REPORT_H
#define SS_REPORT_REPORT_H

#include "report/fields.h"
#include "report/plot.h"
#include "report/text.h"
#include "saddlescope/follow.h"
#include "saddlescope/network.h"
#include "saddlescope/spectrum.h"
#include "saddlescope/verdict.h"

#define SS_SCHEMA "saddlescope/1"

/* ---- Who ran what on what -------------------------------------------------------------------------------
 */

typedef struct ss_run_file {
    const char *role;  /* "network", "weights", "data", ... */
    const char *path;  /* as given or resolved; borrowed */
    int64_t     bytes; /* size */
} ss_run_file;

typedef struct ss_run_library {
    const char *name;
    const char *version;
} ss_run_library;

typedef struct ss_run_option {
    const char  *name;   /* without dashes */
    const char  *kind;   /* "flag", "integer", "number", "text", "texts" */
    bool         given;  /* on the command line; otherwise the default */
    double       number; /* number */
    int64_t      integer;
    const char  *text;  /* NULL = null */
    const char **texts; /* [n_texts] */
    int64_t      n_texts;
} ss_run_option;

/* Everything that a result depends on. All strings are borrowed. */
typedef struct ss_run {
    const char        *command; /* "analyze" */
    const char        *version; /* of Saddlescope */
    const char        *compiler;
    const char        *started;   /* UTC, ISO 8601 */
    ss_run_library    *libraries; /* [n_libraries] */
    int64_t            n_libraries;
    ss_run_file       *files; /* [n_files] */
    int64_t            n_files;
    const char        *network;             /* operand */
    const char        *network_description; /* family and size */
    int64_t            n_trainable;         /* parameters that can be active */
    int64_t            vocabulary;          /* token ids that the network knows; 0 = it reads no tokens */
    int64_t            largest_id;          /* token id in the data, -1 = there are none */
    const char        *data;                /* path */
    const char        *data_description;    /* what was understood */
    int64_t            samples_in_file;
    const int64_t     *chosen; /* [n_chosen] samples used, NULL = all */
    int64_t            n_chosen;
    const char        *objective; /* loss, mean, regularisers */
    ss_objective_facts facts;
    double             expect_gradient_norm; /* stated by objective.json; NaN = not */
    double             expect_loss;          /* stated by objective.json or --expect-loss; NaN = not */
    double             expect_tolerance;     /* relative */
    ss_run_option     *options;              /* [n_options] */
    int64_t            n_options;
    const char        *device;             /* backend name */
    const char        *device_description; /* device and libraries */
    const char        *precision;          /* "float32" or "float64", of the working operator */
    int                threads;
    int64_t            memory;              /* bytes allowed; 0 = what was free */
    ss_plan            working, confirming; /* plans; samples 0 = not made */
    double             seconds_open;        /* reading network and data */
    double             seconds_total;       /* so far */
    int64_t            memory_peak;         /* bytes of the process's own allocator at its highest, so far */
} ss_run;

/* ---- Results of the small commands ----------------------------------------------------------------------
 */

typedef struct ss_gradient_result {
    double  loss, data, decay; /* L, its data term, its regularisers */
    double  rounding;          /* of the float64 sum */
    double  norm, rms;         /* ||g||, ||g|| / sqrt n */
    double  seconds;
    int64_t n;
} ss_gradient_result;

typedef struct ss_product_result {
    const char *operator_name;  /* "hessian" ... */
    double      norm_in;        /* ||v|| */
    double      norm_out;       /* ||Hv|| */
    double      quotient;       /* v'Hv / v'v */
    double      quotient_error; /* 64 unit roundoffs of the working type times ||Hv|| / ||v|| */
    double      seconds;
    int64_t     n;
} ss_product_result;

typedef struct ss_eigenvalue {
    double value;
    double error; /* ||Hx - value x|| plus the operator's error: an eigenvalue lies within */
    bool   converged;
} ss_eigenvalue;

typedef struct ss_eigs_result {
    const char    *operator_name;
    const char    *reason;      /* why the search ended */
    const char    *method;      /* "basis", "three vectors" */
    ss_eigenvalue *low;         /* [n_low] ascending */
    int64_t        n_low;       /* wanted lowest, or all below */
    ss_eigenvalue *high;        /* [n_high] ascending */
    int64_t        n_high;      /* wanted highest */
    double         lower_bound; /* no eigenvalue below, with confidence 1 - eta */
    double         upper_bound; /* no eigenvalue above, likewise */
    double         confidence;  /* 1 - eta */
    double         operator_error;
    int64_t        n, products, restarts, basis;
    bool           basis_on_host; /* in host memory */
    double         seconds, seconds_operator;
    double        *ritz; /* [n_ritz] all Ritz values, for the picture */
    int64_t        n_ritz;
} ss_eigs_result;

typedef struct ss_hessian_result {
    const char *operator_name;
    int64_t     n;
    double     *values;     /* [n] ascending */
    double      error;      /* of every eigenvalue: 64 unit roundoffs of the working type times lambda_abs */
    double      trace;      /* sum of the eigenvalues */
    double      lambda_abs; /* largest modulus */
    double      asymmetry;  /* max |A - A'| / max |A| before symmetrising */
    double      tau;        /* |eigenvalue| <= tau counts as zero */
    int64_t     negative, zero, positive;
    double      seconds, seconds_operator, seconds_eigen;
} ss_hessian_result;

typedef struct ss_info_parameter {
    const char *name, *shape, *type;
    int64_t     count;
    double      decay;     /* lambda; 0 = none */
    int64_t     offset;    /* first element in the packed vector; -1 = frozen */
    bool        trainable; /* false: a constant of the network */
} ss_info_parameter;

typedef struct ss_info_plan {
    const char *product; /* "hessian" ... */
    const char *cache;   /* "auto", "all", ... */
    const char *precision;
    ss_plan     plan;
    double      ratio;   /* flops of a product to a gradient */
    double      seconds; /* of a product, estimated; NaN = no estimate */
} ss_info_plan;

/* What Lanczos from a random start needs to see the ends of the spectrum at a resolution. */
typedef struct ss_info_effort {
    double  resolution; /* of the largest |eigenvalue| */
    int64_t products;
    double  seconds; /* of them and of the float64 confirmation; NaN = not known */
} ss_info_effort;

typedef struct ss_info_result {
    ss_info_parameter *parameters; /* [n_parameters] */
    int64_t            n_parameters;
    ss_info_plan      *plans; /* [n_plans] */
    int64_t            n_plans;
    double             seconds_per_flop; /* of a gradient, measured; NaN = too long to measure */
    double             seconds_per_byte; /* assumed, of a device that is not here; 0 = within the above */
    ss_info_effort    *efforts;          /* [n_efforts] */
    int64_t            n_efforts;
    const char *planned_for; /* a device that is not here, with its assumed rates; NULL = the device above */
    int64_t     memory_free; /* bytes of the device that may still be taken */
    bool        basis_on_host; /* the vectors of a search lie in host memory, the device having too little */
    int64_t     basis;         /* how many there are at most */
    int64_t     basis_bytes;   /* of all of them */
} ss_info_result;

/* What escape and polish wrote beside their verdicts. */
typedef struct ss_written {
    const char      *path;  /* NULL = no checkpoint was written */
    double           loss;  /* of what was written, rounded as it is stored */
    ss_saved_weights saved; /* rounding to the stored types */
} ss_written;

typedef struct ss_escape_report {
    ss_escape_result           escape;
    const ss_escape_row       *rows;       /* escape.row, for the table of fields */
    const ss_escape_direction *directions; /* escape.direction, likewise */
    ss_written                 written;
} ss_escape_report;

typedef struct ss_study_result {
    ss_study_point *points;                 /* [n_points] by number */
    int64_t         n_points;               /* finished */
    int64_t         total;                  /* of the study */
    int64_t         reused;                 /* taken from an earlier run (--resume) */
    int64_t         ends[SS_END_COUNT];     /* points by end */
    int64_t         labels[SS_LABEL_COUNT]; /* critical points by label */
    int64_t         reduced; /* critical or unfinished points with ||g|| at 1e-8 of its start or below */
    int64_t         jobs;
    double          seconds;
} ss_study_result;

typedef struct ss_track_result {
    ss_track_point *points;    /* [n_points] in natural order of the names */
    int64_t         n_points;  /* followed */
    int64_t         n_skipped; /* broken: reported and left out */
    int64_t         reused;    /* taken from an earlier run (--resume) */
    int64_t         subspace;  /* k of the overlaps */
    const char     *optimizer; /* whose threshold; NULL = none */
    double          seconds;
} ss_track_result;

/* Tables of their fields. */
extern const ss_field ss_verdict_fields[], ss_gradient_fields[], ss_product_fields[], ss_eigs_fields[],
    ss_hessian_fields[], ss_info_fields[], ss_plan_fields[], ss_escape_fields[], ss_study_fields[],
    ss_study_point_fields[], ss_track_fields[], ss_track_point_fields[], ss_density_fields[],
    ss_trace_fields[], ss_slice_fields[];

/* ---- JSON -----------------------------------------------------------------------------------------------
 */

/* Replaces the file at `path` by run and result (`result` NULL before there is one). SS_ERROR_OUTPUT. */
ss_status ss_report_json(ss_context *context, const char *path, const ss_run *run, bool complete,
                         const ss_field *fields, const void *result);
/* docs/json.md. */
void ss_report_document(FILE *file);

/* ---- Text -----------------------------------------------------------------------------------------------
 */

/* The verdict as VERDICT 6 prints it, with the picture of the spectrum. */
/* "ln V = 4.174" for a network that predicts tokens, else "zero output 0.69": what a loss is measured by. */
#define SS_GUESS_TEXT 64
char *ss_report_guess_text(const ss_run *run, char text[SS_GUESS_TEXT]);
/* A line of text when a loss lies above that of guessing; nothing otherwise. */
void ss_report_guess(ss_text *text, const ss_run *run, double loss);

void ss_report_verdict(ss_text *text, const ss_run *run, const ss_verdict *verdict);
void ss_report_eigs(ss_text *text, const ss_run *run, const ss_eigs_result *result);
void ss_report_hessian(ss_text *text, const ss_run *run, const ss_hessian_result *result);
/* Lines of a verdict that only some have. */
void ss_report_level_set(ss_text *text, const ss_verdict_level_set *level_set);
void ss_report_polish(ss_text *text, const ss_verdict_polish *polish);

/* What escape and polish did, before the verdict where they ended. */
void ss_report_escape(ss_text *text, const ss_run *run, const ss_escape_report *report);
void ss_report_written(ss_text *text, const ss_written *written);
void ss_report_study(ss_text *text, const ss_run *run, const ss_study_result *result);
void ss_report_track(ss_text *text, const ss_run *run, const ss_track_result *result);
/* Bytes of the folders that all names of checkpoints begin with. */
size_t ss_report_track_folder(const ss_track_result *result);
/* The pictures, handed to draw(user, panels, count): training loss against minimum ratio; the extreme
 * curvatures along the run; real against predicted decrease of a search. */
ss_status ss_report_study_plot(ss_context *context, const ss_study_result *result, ss_plot_draw draw,
                               void *user);
ss_status ss_report_track_plot(ss_context *context, const ss_track_result *result, ss_plot_draw draw,
                               void *user);
ss_status ss_report_escape_plot(ss_context *context, const ss_escape_result *result, ss_plot_draw draw,
                                void *user);
/* The body of a verdict: everything behind the heads. */
void ss_report_verdict_body(ss_text *text, const ss_run *run, const ss_verdict *verdict);
/* The line of a device: its name, what the backend says of it, bytes that may still be taken. */
void ss_report_device(ss_text *text, const char *name, const char *description, int64_t memory_free,
                      int threads);
void ss_report_info(ss_text *text, const ss_run *run, const ss_info_result *result);

/* Heads of every text: model, objective, data. */
void ss_report_head(ss_text *text, const ss_run *run);

/* A picture of values on a symmetric logarithmic axis: |value| <= tau in the middle, heights logarithmic.
 * `residual` (NULL = exact) marks values by how well they are known. */
void ss_report_picture(ss_text *text, const double *values, const double *residual, int64_t count,
                       double tau);

void ss_report_density(ss_text *text, const ss_run *run, const char *operator_name,
                       const ss_density_result *result);
void ss_report_trace(ss_text *text, const ss_run *run, const char *operator_name,
                     const ss_trace_result *result);

/* The density as CSV: the raw rules (probe, share, index, node, weight), and the grid (x, density, below,
 * upto, low, high). */
void ss_report_density_nodes(ss_text *text, const ss_density_result *result);
void ss_report_density_band(ss_text *text, const ss_density_result *result);
/* The density and its band as panels of one figure; there must be points. */
ss_status ss_report_density_plot(ss_context *context, const ss_density_result *result, ss_plot_draw draw,
                                 void *user);

/* Rows of structs as CSV, one column per field (REAL, INTEGER, COUNT, INT, BOOL, CHARS, NAMED), and back.
 * Numbers have all their digits; what is not determined is an empty field. */
void ss_report_csv(ss_text *text, const ss_field *fields, const void *rows, int64_t count, size_t size);
/* *rows [*count] of `size` bytes, owned by the caller; the file's path names it in messages. SS_ERROR_INPUT:
 * not this table, or a line that is none of its rows. */
ss_status ss_report_csv_read(ss_context *context, const char *path, const char *bytes, const ss_field *fields,
                             size_t size, void **rows, int64_t *count);

/* Eigenvalues as CSV: end (low, high), index, value, error, converged. */
void ss_report_eigs_csv(ss_text *text, const ss_eigs_result *result);

#endif
