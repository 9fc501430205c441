/* Checkpoints of a search: everything that determines what follows.
 *
 * Two safetensors files. <path> holds the scalars (counters, alpha, beta, the Rayleigh matrix) after every
 * product; <path>.basis holds the same scalars as they were when the vectors were last saved, and the
 * vectors. A resume loads <path>.basis (or starts over where there is none), repeats the products up to those
 * of <path>, and then every number must be the one that was saved, to the last bit: the operator is
 * deterministic, and the configuration, compared first, contains all that the digits depend on. */
#include "spectrum/eigen.h"

#include "io/archive.h"
#include "io/safetensors.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define FORMAT    "saddlescope-eigen/1"
#define INTEGERS  ((int64_t)(sizeof(ss_eigen_integers) / sizeof(int64_t)))
#define REALS     ((int64_t)(sizeof(ss_eigen_reals) / sizeof(double)))
#define MOST_ROWS 8 /* arrays of a file */

/* ---- What the digits depend on --------------------------------------------------------------------------
 */
static ss_status search_text(const ss_eigen_state *s, char **text)
{
    const ss_eigen_options *o = &s->o;
    const ss_operator      *op = s->op;
    return ss_format(s->context, text,
                     "n = %" PRId64 "\npadded = %" PRId64 "\nreal = %s\nbackend = %s\nseed = %" PRIu64
                     "\nbasis = %" PRId64 "\nstart = %s\nn_live = %" PRId64 "\nlow = %" PRId64
                     "\nhigh = %" PRId64 "\nbelow = %.17g\nabove = %.17g\ncertify_low = %d\ncertify_high = %d"
                     "\nresolution = %.17g\ntau = %.17g\nrtol_low = %.17g\nrtol_high = %.17g\neta = %.17g"
                     "\ndelta = %.17g\nnoise = %.17g\nlambda_floor = %.17g\n",
                     op->n_global, op->layout->padded, ss_real_name(op->real), op->backend->name, o->seed,
                     s->m, o->start != NULL ? "given" : "random", s->result->n_live, o->low, o->high,
                     o->below, o->above, o->certify_low, o->certify_high, o->resolution, o->tau, o->rtol_low,
                     o->rtol_high, o->eta, o->delta, o->noise, o->lambda_floor);
}

/* First lines in which two texts differ, without their newline. */
static void first_difference(const char **a, int *a_length, const char **b, int *b_length)
{
    for (;;) {
        *a_length = (int)strcspn(*a, "\n");
        *b_length = (int)strcspn(*b, "\n");
        if (*a_length != *b_length || strncmp(*a, *b, (size_t)*a_length) != 0 || **a == '\0') return;
        *a += *a_length + ((*a)[*a_length] == '\n');
        *b += *b_length + ((*b)[*b_length] == '\n');
    }
}

static ss_status same_text(ss_eigen_state *s, const ss_archive *archive, const char *key, const char *now)
{
    const char *then = ss_archive_metadata(archive, key);
    int         then_length = 0, now_length = 0;
    if (then == NULL)
        return ss_fail(s->context, SS_ERROR_REFUSED, "%s: no checkpoint of a search: '%s' is missing",
                       ss_archive_path(archive), key);
    if (strcmp(then, now) == 0) return SS_OK;
    first_difference(&then, &then_length, &now, &now_length);
    return ss_fail(
        s->context, SS_ERROR_REFUSED,
        "%s: the checkpoint belongs to another configuration: '%.*s' there, '%.*s' here; resume with "
        "what it was made with, or start anew without it",
        ss_archive_path(archive), then_length, then, now_length, now);
}

/* ---- Writing --------------------------------------------------------------------------------------------
 */
typedef struct writer {
    ss_eigen_state *s;
    ss_array        rows[MOST_ROWS];
    int64_t         count;
    double         *rayleigh;     /* [columns, columns], without the gaps of s->h */
    int64_t         basis, tails; /* row numbers of the vectors, -1 = absent */
} writer;

static int64_t add_row(writer *w, const char *name, ss_type type, int64_t rows, int64_t cols,
                       const void *data)
{
    ss_array *a = &w->rows[w->count];
    *a = (ss_array){ .name = name, .type = type, .rank = rows > 0 ? 2 : 1, .data = data };
    if (rows > 0) a->shape[0] = rows;
    a->shape[rows > 0 ? 1 : 0] = cols;
    return w->count++;
}

/* Elements [first, first + count) of row `index`: scalars lie on the host, vectors on the device. */
static ss_status supply(void *user, int64_t index, int64_t first, int64_t count, void *out)
{
    writer         *w = user;
    ss_eigen_state *s = w->s;
    ss_backend     *b = s->op->backend;
    ss_status       status = SS_OK;
    int64_t         size = (int64_t)ss_type_size(w->rows[index].type), n = s->op->layout->padded;
    char           *to = out;
    if (index != w->basis && index != w->tails) {
        memcpy(out, (const char *)w->rows[index].data + first * size, (size_t)(count * size));
        return SS_OK;
    }
    while (count > 0) {
        int64_t     column = first / n, begin = first % n, part = ss_min64(count, n - begin);
        const void *v = index == w->tails ? s->scratch[column] : NULL;
        if (v == NULL) SS_TRY(ss_basis_read(s->basis, column, &v));
        SS_TRY(b->class->download(b, NULL, to, (const char *)v + begin * size, part * size));
        SS_TRY(b->class->queue_synchronize(b, NULL));
        to += part * size;
        first += part;
        count -= part;
    }
fail:
    return status;
}

static ss_status collect(ss_eigen_state *s, bool vectors, writer *w)
{
    ss_status status = SS_OK;
    int64_t   k = s->i.columns, n = s->op->layout->padded;
    ss_type   type = ss_real_type(s->op->real);
    *w = (writer){ .s = s, .basis = -1, .tails = -1 };
    add_row(w, "integers", SS_I64, 0, INTEGERS, &s->i);
    add_row(w, "reals", SS_F64, 0, REALS, &s->r);
    add_row(w, "alpha", SS_F64, 0, s->i.sequence, s->alpha);
    add_row(w, "beta", SS_F64, 0, s->i.sequence, s->beta);
    if (s->m > 0) {
        SS_TRY(SS_NEW_ARRAY(s->context, k * k, &w->rayleigh));
        for (int64_t i = 0; i < k; i++)
            memcpy(w->rayleigh + i * k, s->h + i * s->m, (size_t)k * sizeof(double));
        add_row(w, "rayleigh", SS_F64, k, k, w->rayleigh);
        if (vectors) w->basis = add_row(w, "basis", type, k + 1, n, NULL);
    }
    if (vectors && (s->m == 0 || s->i.tails)) w->tails = add_row(w, "tails", type, 2, n, NULL);
fail:
    return status;
}

static ss_status write_file(ss_eigen_state *s, const char *path, bool vectors)
{
    ss_status status = SS_OK;
    char     *search = NULL;
    char      basis[32];
    writer    w = { .s = s };
    SS_TRY(collect(s, vectors, &w));
    SS_TRY(search_text(s, &search));
    snprintf(basis, sizeof basis, "%" PRId64, s->m);
    ss_metadata metadata[] = { { "format", FORMAT },
                               { "search", search },
                               { "configuration", s->o.configuration != NULL ? s->o.configuration : "" },
                               { "basis", basis },
                               { "basis_on_host", s->on_host ? "yes" : "no" } };
    SS_TRY(ss_safetensors_write_from(s->context, path, w.rows, w.count, metadata, 5, supply, &w));
fail:
    ss_free(s->context, w.rayleigh);
    ss_free(s->context, search);
    return status;
}

ss_status ss_checkpoint_write(ss_eigen_state *s, bool vectors)
{
    ss_status status = SS_OK;
    char     *path = NULL;
    s->r.seconds_total = s->seconds_before + ss_seconds() - s->started;
    if (vectors) {
        /* The vectors first: scalars younger than their vectors are replayed, older ones are passed over. */
        SS_TRY(ss_format(s->context, &path, "%s.basis", s->o.checkpoint));
        SS_TRY(write_file(s, path, true));
        s->saved = ss_seconds();
    }
    SS_TRY(write_file(s, s->o.checkpoint, false));
fail:
    ss_free(s->context, path);
    return status;
}

ss_status ss_checkpoint_remove(ss_eigen_state *s)
{
    char     *path = NULL;
    ss_status status = ss_format(s->context, &path, "%s.basis", s->o.checkpoint);
    if (status != SS_OK) return status;
    remove(s->o.checkpoint); /* absent is as good */
    remove(path);
    ss_free(s->context, path);
    return SS_OK;
}

/* ---- Reading --------------------------------------------------------------------------------------------
 */

/* Opens a checkpoint file; *archive NULL when it is not there. */
static ss_status open_file(ss_context *context, const char *path, ss_archive **archive)
{
    *archive = NULL;
    FILE *file = fopen(path, "rb");
    if (file == NULL) return SS_OK;
    fclose(file);
    return ss_archive_open(context, path, archive);
}

/* The array `name` of exactly that type and shape. */
static ss_status need(ss_eigen_state *s, const ss_archive *archive, const char *name, ss_type type,
                      int64_t rows, int64_t cols, const ss_array **array)
{
    const ss_array *a = ss_archive_find(archive, name);
    bool            fits = a != NULL && a->type == type && a->rank == (rows > 0 ? 2 : 1) &&
                (rows > 0 ? a->shape[0] == rows && a->shape[1] == cols : a->shape[0] == cols);
    *array = a;
    if (fits) return SS_OK;
    return ss_fail(s->context, SS_ERROR_INPUT,
                   "%s: array '%s': expected %s of shape [%" PRId64 ", %" PRId64 "]",
                   ss_archive_path(archive), name, ss_type_name(type), ss_max64(rows, 1), cols);
}

static bool flag(int64_t value)
{
    return value == 0 || value == 1;
}

/* Counters from a file index arrays: each must be one that a search can have. */
static bool plausible(const ss_eigen_state *s, const ss_eigen_integers *i)
{
    bool flags = flag(i->closed) && flag(i->tails) && flag(i->signalled) && flag(i->complete) &&
                 flag(i->settled) && flag(i->done) && flag(i->fresh);
    bool sizes = i->columns >= 0 && i->columns <= s->m && i->sequence >= 0 && i->first_cycle >= 0 &&
                 i->first_cycle <= i->sequence && i->products >= i->sequence && i->products >= 1;
    bool kind = s->m > 0 ? i->columns >= 1 : i->columns == 0 && i->sequence >= 1;
    return flags && sizes && kind && i->phase >= SS_PHASE_FIRST && i->phase <= SS_PHASE_CONTINUED &&
           (i->fresh || i->phase != SS_PHASE_FIRST || s->m == 0 || i->columns == i->products) &&
           i->restarts >= 0 && i->breakdowns >= 0 && i->invariant >= 0 && i->checks >= 0;
}

typedef struct scalars {
    ss_eigen_integers i;
    ss_eigen_reals    r;
    const ss_array   *alpha, *beta, *rayleigh; /* borrowed from the archive; rayleigh NULL without a basis */
} scalars;

static ss_status read_scalars(ss_eigen_state *s, const ss_archive *archive, const char *search, scalars *out)
{
    ss_status       status = SS_OK;
    const char     *format = ss_archive_metadata(archive, "format");
    const ss_array *array = NULL;
    *out = (scalars){ .rayleigh = NULL };
    if (format == NULL || strcmp(format, FORMAT) != 0)
        SS_FAIL(s->context, SS_ERROR_REFUSED, "%s is no checkpoint of format %s", ss_archive_path(archive),
                FORMAT);
    SS_TRY(same_text(s, archive, "search", search));
    SS_TRY(same_text(s, archive, "configuration", s->o.configuration != NULL ? s->o.configuration : ""));
    SS_TRY(need(s, archive, "integers", SS_I64, 0, INTEGERS, &array));
    memcpy(&out->i, array->data, sizeof out->i);
    SS_TRY(need(s, archive, "reals", SS_F64, 0, REALS, &array));
    memcpy(&out->r, array->data, sizeof out->r);
    if (!plausible(s, &out->i))
        SS_FAIL(s->context, SS_ERROR_INPUT, "%s: array 'integers': the counters contradict each other",
                ss_archive_path(archive));
    SS_TRY(need(s, archive, "alpha", SS_F64, 0, out->i.sequence, &out->alpha));
    SS_TRY(need(s, archive, "beta", SS_F64, 0, out->i.sequence, &out->beta));
    if (s->m > 0)
        SS_TRY(need(s, archive, "rayleigh", SS_F64, out->i.columns, out->i.columns, &out->rayleigh));
fail:
    return status;
}

static ss_status load_vectors(ss_eigen_state *s, const ss_archive *archive)
{
    ss_status       status = SS_OK;
    ss_backend     *b = s->op->backend;
    int64_t         n = s->op->layout->padded, bytes = ss_vector_bytes(s->op);
    ss_type         type = ss_real_type(s->op->real);
    const ss_array *array = NULL;
    if (s->m > 0) {
        SS_TRY(need(s, archive, "basis", type, s->i.columns + 1, n, &array));
        for (int64_t j = 0; j <= s->i.columns; j++) {
            void *v = NULL;
            SS_TRY(ss_basis_open(s->basis, j, &v));
            SS_TRY(b->class->upload(b, NULL, v, (const char *)array->data + j * bytes, bytes));
            SS_TRY(b->class->queue_synchronize(b, NULL));
            SS_TRY(ss_basis_close(s->basis, j));
        }
    }
    if (s->m == 0 || s->i.tails) {
        SS_TRY(need(s, archive, "tails", type, 2, n, &array));
        for (int64_t j = 0; j < 2; j++)
            SS_TRY(b->class->upload(b, NULL, s->scratch[j], (const char *)array->data + j * bytes, bytes));
        SS_TRY(b->class->queue_synchronize(b, NULL));
    }
fail:
    return status;
}

static ss_status load_state(ss_eigen_state *s, const ss_archive *archive, const char *search)
{
    ss_status status = SS_OK;
    scalars   saved;
    SS_TRY(read_scalars(s, archive, search, &saved));
    s->i.sequence = 0;
    for (int64_t j = 0; j < saved.i.sequence; j++)
        SS_TRY(ss_sequence_push(s, ss_array_value(saved.alpha, j), ss_array_value(saved.beta, j)));
    int64_t k = saved.i.columns;
    for (int64_t i = 0; s->m > 0 && i < k; i++)
        ss_array_convert(saved.rayleigh, i * k, k, SS_FLOAT64, s->h + i * s->m);
    s->i = saved.i;
    s->r = saved.r;
    s->seconds_before = saved.r.seconds_total;
    SS_TRY(load_vectors(s, archive));
    SS_TRY(ss_ritz_restore(s));
fail:
    return status;
}

ss_status ss_checkpoint_read(ss_eigen_state *s, int64_t *replay)
{
    ss_status   status = SS_OK;
    char       *path = NULL, *search = NULL;
    ss_archive *progress = NULL, *vectors = NULL;
    scalars     saved;
    *replay = 0;
    SS_TRY(search_text(s, &search));
    SS_TRY(ss_format(s->context, &path, "%s.basis", s->o.checkpoint));
    SS_TRY(open_file(s->context, s->o.checkpoint, &progress));
    if (progress == NULL) goto fail; /* nothing to resume: a search from the beginning */
    SS_TRY(read_scalars(s, progress, search, &saved));
    *replay = saved.i.products;
    SS_TRY(open_file(s->context, path, &vectors));
    if (vectors != NULL) SS_TRY(load_state(s, vectors, search));
fail:
    ss_archive_close(progress);
    ss_archive_close(vectors);
    ss_free(s->context, path);
    ss_free(s->context, search);
    return status;
}

ss_status ss_checkpoint_compare(ss_eigen_state *s)
{
    ss_status   status = SS_OK;
    char       *search = NULL;
    ss_archive *progress = NULL;
    scalars     saved;
    writer      now = { .s = s };
    SS_TRY(search_text(s, &search));
    SS_TRY(ss_archive_open(s->context, s->o.checkpoint, &progress));
    SS_TRY(read_scalars(s, progress, search, &saved));
    SS_TRY(collect(s, false, &now));
    size_t bytes = (size_t)s->i.sequence * sizeof(double), square = (size_t)(s->i.columns * s->i.columns);
    bool   same = memcmp(&saved.i, &s->i, sizeof s->i) == 0 &&
                memcmp(&saved.r, &s->r, offsetof(ss_eigen_reals, seconds_operator)) == 0;
    same = same && memcmp(saved.alpha->data, s->alpha, bytes) == 0;
    same = same && memcmp(saved.beta->data, s->beta, bytes) == 0;
    same = same && (s->m == 0 || memcmp(saved.rayleigh->data, now.rayleigh, square * sizeof(double)) == 0);
    if (!same)
        SS_FAIL(s->context, SS_ERROR_REFUSED,
                "%s: repeating %" PRId64
                " products gave other digits than were saved: the operator, its machine "
                "or its libraries have changed; start anew without the checkpoint",
                s->o.checkpoint, s->i.products);
fail:
    ss_archive_close(progress);
    ss_free(s->context, now.rayleigh);
    ss_free(s->context, search);
    return status;
}

ss_status ss_checkpoint_basis(ss_context *context, const char *path, int64_t *m, bool *on_host)
{
    ss_status   status = SS_OK;
    ss_archive *archive = NULL;
    *m = -1;
    SS_TRY(open_file(context, path, &archive));
    const char *text = archive != NULL ? ss_archive_metadata(archive, "basis") : NULL;
    if (archive != NULL && (text == NULL || sscanf(text, "%" SCNd64, m) != 1 || *m < 0))
        SS_FAIL(context, SS_ERROR_REFUSED, "%s: no checkpoint of a search: 'basis' is missing", path);
    const char *place = archive != NULL ? ss_archive_metadata(archive, "basis_on_host") : NULL;
    *on_host = place != NULL && strcmp(place, "yes") == 0;
fail:
    ss_archive_close(archive);
    return status;
}
