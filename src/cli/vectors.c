/* Parameter vectors as files. */
#include "cli/vectors.h"
#include "io/archive.h"

#include <string.h>

ss_status ss_vectors_write(ss_context *context, const char *path, const ss_network *network,
                           const ss_named_vector *vectors, int64_t count, const ss_metadata *metadata,
                           int64_t n_metadata)
{
    ss_status status = SS_OK;
    int64_t   n_parameters = ss_network_parameter_count(network), n_arrays = 0, room = 0;
    ss_array *arrays = NULL;
    char    **names = NULL;

    if (!ss_mul64(count, n_parameters, &room)) SS_FAIL(context, SS_ERROR_USAGE, "%s: too many vectors", path);
    SS_TRY(SS_NEW_ARRAY(context, room, &arrays));
    SS_TRY(SS_NEW_ARRAY(context, room, &names));
    for (int64_t v = 0; v < count; v++)
        for (int64_t p = 0; p < n_parameters; p++) {
            ss_parameter_info info;
            ss_network_parameter(network, p, &info);
            if (!info.active) continue;
            if (vectors[v].name != NULL)
                SS_TRY(ss_format(context, &names[n_arrays], "%s/%s", vectors[v].name, info.name));
            else
                SS_TRY(ss_copy_string(context, info.name, &names[n_arrays]));
            ss_array *array = &arrays[n_arrays];
            array->name = names[n_arrays];
            array->type = SS_F64;
            array->rank = info.rank;
            memcpy(array->shape, info.shape, sizeof array->shape);
            array->data = vectors[v].packed + info.canonical;
            n_arrays++;
        }
    SS_TRY(ss_safetensors_write(context, path, arrays, n_arrays, metadata, n_metadata));
fail:
    for (int64_t i = 0; names != NULL && i < room; i++) ss_free(context, names[i]);
    ss_free(context, names);
    ss_free(context, arrays);
    return status;
}

ss_status ss_vector_output(ss_context *context, const ss_settings *settings, const ss_network *network,
                           const double *packed)
{
    ss_named_vector vector = { .name = NULL, .packed = packed };
    if (!ss_given(settings, OUTPUT)) return SS_OK;
    return ss_vectors_write(context, ss_text_of(settings, OUTPUT), network, &vector, 1, NULL, 0);
}

/* A file of several vectors is recognised by the first name of one: "low_0/0.weight" for the parameter
 * "0.weight". */
static const char *vector_in(const ss_archive *archive, const char *parameter)
{
    size_t tail = strlen(parameter);
    for (int64_t i = 0; i < ss_archive_count(archive); i++) {
        const char *name = ss_archive_at(archive, i)->name;
        size_t      length = strlen(name);
        if (length > tail + 1 && name[length - tail - 1] == '/' &&
            strcmp(name + length - tail, parameter) == 0)
            return name;
    }
    return NULL;
}

static ss_status read_parameter(ss_context *context, const char *path, const char *vector,
                                const ss_archive *archive, const ss_parameter_info *info, double *packed)
{
    ss_status status = SS_OK;
    char      found[SS_SHAPE_TEXT], wanted[SS_SHAPE_TEXT], quoted[SS_QUOTE_TEXT];
    char     *name = NULL;
    if (vector != NULL)
        SS_TRY(ss_format(context, &name, "%s/%s", vector, info->name));
    else
        SS_TRY(ss_copy_string(context, info->name, &name));
    const ss_array *array = ss_archive_find(archive, name);
    const char     *other = array == NULL ? vector_in(archive, info->name) : NULL;
    if (other != NULL)
        SS_FAIL(context, SS_ERROR_INPUT,
                "%s: the tensor '%s' is missing; the file holds %s: say which vector, %s:NAME", path, name,
                ss_quote(other, quoted), path);
    if (array == NULL) SS_FAIL(context, SS_ERROR_INPUT, "%s: the tensor '%s' is missing", path, name);
    if (array->rank != info->rank ||
        memcmp(array->shape, info->shape, (size_t)info->rank * sizeof *info->shape) != 0)
        SS_FAIL(context, SS_ERROR_INPUT, "%s: tensor '%s' has shape %s, the parameter %s", path, info->name,
                ss_shape_text(array->rank, array->shape, found),
                ss_shape_text(info->rank, info->shape, wanted));
    if (!ss_type_is_float(array->type))
        SS_FAIL(context, SS_ERROR_INPUT, "%s: tensor '%s' has type %s, expected floats", path, info->name,
                ss_type_name(array->type));
    SS_TRY(ss_array_require_finite(context, path, array));
    ss_array_convert(array, 0, info->count, SS_FLOAT64, packed + info->canonical);
fail:
    ss_free(context, name);
    return status;
}

ss_status ss_vector_read_named(ss_context *context, const char *path, const char *name,
                               const ss_network *network, double *packed)
{
    ss_status   status = SS_OK;
    ss_archive *archive = NULL;
    SS_TRY(ss_archive_open(context, path, &archive));
    for (int64_t p = 0; p < ss_network_parameter_count(network); p++) {
        ss_parameter_info info;
        ss_network_parameter(network, p, &info);
        if (info.active) SS_TRY(read_parameter(context, path, name, archive, &info, packed));
    }
fail:
    ss_archive_close(archive);
    return status;
}

ss_status ss_vector_read(ss_context *context, const char *path, const ss_network *network, double *packed)
{
    ss_status   status = SS_OK;
    ss_archive *archive = NULL;
    int64_t     active = 0;
    char        quoted[SS_QUOTE_TEXT];

    SS_TRY(ss_archive_open(context, path, &archive));
    for (int64_t p = 0; p < ss_network_parameter_count(network); p++) {
        ss_parameter_info info;
        ss_network_parameter(network, p, &info);
        if (!info.active) continue;
        SS_TRY(read_parameter(context, path, NULL, archive, &info, packed));
        active++;
    }
    if (ss_archive_count(archive) == active) goto fail;
    for (int64_t i = 0; i < ss_archive_count(archive); i++) {
        bool known = false;
        for (int64_t p = 0; p < ss_network_parameter_count(network) && !known; p++) {
            ss_parameter_info info;
            ss_network_parameter(network, p, &info);
            known = info.active && strcmp(info.name, ss_archive_at(archive, i)->name) == 0;
        }
        if (!known)
            SS_FAIL(context, SS_ERROR_INPUT, "%s: the tensor %s is no active parameter of the network", path,
                    ss_quote(ss_archive_at(archive, i)->name, quoted));
    }
fail:
    ss_archive_close(archive);
    return status;
}
