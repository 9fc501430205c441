/* Weights as a file again: the file that was bound, with other values in the active parameters.
 *
 * Whatever belongs to no active parameter (frozen weights, counters, foreign tensors of ignored kinds) is
 * copied byte for byte under its own name; so the new file loads wherever the old one did. Of several files
 * (a model and its adapter) it is the one that holds active parameters. Parameters that came from no file
 * (drawn at random) are added under their names; where none came from a file, they are all there is. */
#include "saddlescope/network.h"

#include "io/archive.h"
#include "io/safetensors.h"
#include "network/graph.h"

#include <math.h>
#include <string.h>

/* The file in the making. */
typedef struct writing {
    ss_context  *context;
    ss_array    *arrays;     /* [count] descriptors; data owned where `owned` says so */
    void       **owned;      /* [count] converted tensors, or NULL */
    int64_t      count;      /* tensors */
    ss_metadata *metadata;   /* [n_metadata] */
    int64_t      n_metadata; /* pairs */
} writing;

static const ss_parameter *parameter_of(const ss_graph *graph, const ss_array *array)
{
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        const ss_parameter *p = &graph->parameters[i];
        if (p->bound.data == array->data && p->count > 0 && p->bound.rank == array->rank) return p;
    }
    return NULL;
}

/* Adds a tensor; an active parameter's values come from `packed`, in its stored type. */
static ss_status add(writing *w, const ss_parameter *p, const ss_array *stored, const double *packed,
                     const char *path, ss_saved_weights *saved)
{
    ss_status status = SS_OK;
    char      name[SS_QUOTE_TEXT];
    ss_array *to = &w->arrays[w->count];
    void    **block = &w->owned[w->count];
    *to = *stored;
    w->count++;
    if (p == NULL || p->offset < 0) return SS_OK;
    const double *values = packed + p->canonical;
    SS_TRY(ss_allocate(w->context, p->count, ss_type_size(stored->type), block));
    SS_TRY(ss_array_store(w->context, stored->type, values, p->count, *block));
    to->data = *block;
    saved->rounded = saved->rounded || stored->type == SS_F16 || stored->type == SS_BF16;
    for (int64_t i = 0; i < p->count; i++) {
        double value = ss_array_value(to, i);
        if (!isfinite(value))
            SS_FAIL(w->context, SS_ERROR_NUMERIC, "%s: tensor %s: element %lld, %g, does not fit into %s",
                    path, ss_quote(stored->name, name), (long long)i, values[i], ss_type_name(stored->type));
        saved->moved += (value - values[i]) * (value - values[i]);
        saved->largest = fmax(saved->largest, fabs(value - values[i]));
    }
fail:
    return status;
}

static ss_status add_metadata(writing *w, const ss_archive *archive)
{
    ss_status status = SS_OK;
    int64_t   count = ss_archive_metadata_count(archive);
    SS_TRY(SS_NEW_ARRAY(w->context, count, &w->metadata));
    for (; w->n_metadata < count; w->n_metadata++)
        ss_archive_metadata_at(archive, w->n_metadata, &w->metadata[w->n_metadata].key,
                               &w->metadata[w->n_metadata].value);
fail:
    return status;
}

static bool holds(const ss_archive *archive, const ss_parameter *p)
{
    for (int64_t i = 0; i < ss_archive_count(archive); i++) {
        const ss_array *array = ss_archive_at(archive, i);
        if (array->data == p->bound.data && array->rank == p->bound.rank) return true;
    }
    return false;
}

/* The file that holds active parameters, NULL where none does, and how many it does not hold. */
static ss_status choose_file(const ss_graph *graph, const char *path, const ss_archive **chosen,
                             int64_t *homeless)
{
    *chosen = NULL;
    *homeless = 0;
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        const ss_parameter *p = &graph->parameters[i];
        const ss_archive   *home = NULL;
        if (p->offset < 0 || p->count == 0) continue;
        for (int32_t f = 0; f < graph->n_files && home == NULL; f++)
            if (holds(graph->files[f], p)) home = graph->files[f];
        if (home == NULL) (*homeless)++;
        if (home != NULL && *chosen != NULL && home != *chosen)
            return ss_fail(graph->context, SS_ERROR_USAGE,
                           "%s: the active parameters come from two files, %s and %s: choose those of one "
                           "(--parameters)",
                           path, ss_archive_path(*chosen), ss_archive_path(home));
        if (home != NULL) *chosen = home;
    }
    return SS_OK;
}

ss_status ss_network_save(ss_network *network, const char *path, const double *packed,
                          ss_saved_weights *saved)
{
    ss_status         status = SS_OK;
    const ss_graph   *graph = ss_network_graph(network);
    writing           w = { .context = graph->context };
    const ss_archive *archive = NULL;
    int64_t           count = 0, homeless = 0;

    *saved = (ss_saved_weights){ .converted = false };
    SS_TRY(choose_file(graph, path, &archive, &homeless));
    count = archive != NULL ? ss_archive_count(archive) : 0;
    *saved = (ss_saved_weights){ .converted = archive != NULL &&
                                              strcmp(ss_archive_format(archive), "safetensors") != 0 };
    SS_TRY(SS_NEW_ARRAY(w.context, count + graph->n_parameters, &w.arrays));
    SS_TRY(SS_NEW_ARRAY(w.context, count + graph->n_parameters, &w.owned));
    for (int64_t i = 0; i < count; i++) {
        const ss_array *stored = ss_archive_at(archive, i);
        SS_TRY(add(&w, parameter_of(graph, stored), stored, packed, path, saved));
    }
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        const ss_parameter *p = &graph->parameters[i];
        if (p->computed || (archive != NULL && (homeless == 0 || p->offset < 0 || holds(archive, p))))
            continue;
        SS_TRY(add(&w, p, &p->bound, packed, path, saved));
    }
    if (archive != NULL && !saved->converted) SS_TRY(add_metadata(&w, archive));
    SS_TRY(ss_safetensors_write(w.context, path, w.arrays, w.count, w.metadata, w.n_metadata));
    saved->moved = sqrt(saved->moved);
fail:
    for (int64_t i = 0; i < w.count; i++) ss_free(w.context, w.owned[i]);
    ss_free(w.context, w.owned);
    ss_free(w.context, w.arrays);
    ss_free(w.context, w.metadata);
    return status;
}
