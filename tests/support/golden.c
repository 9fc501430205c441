/* Golden cases. */
#include "support/golden.h"
#include "support/support.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES 1024
#define MANY       32

const char *ss_golden_text(const ss_golden *golden, const char *key)
{
    return json_string_value(json_object_get(golden->facts, key));
}

double ss_golden_number(const ss_golden *golden, const char *key)
{
    const json_t *value = json_object_get(golden->facts, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static double largest(const ss_golden *golden)
{
    static const char *const keys[] = { "eigenvalues_low", "eigenvalues_high" };
    double                   most = 0;
    for (int k = 0; k < 2; k++) {
        const json_t *list = json_object_get(golden->facts, keys[k]);
        for (size_t i = 0; i < json_array_size(list); i++)
            most = fmax(most, fabs(json_number_value(json_array_get(list, i))));
    }
    return most;
}

static int32_t decay_rules(const ss_golden *golden, ss_decay_rule rules[MANY])
{
    json_t     *decay = json_object_get(golden->facts, "weight_decay"), *value = NULL;
    const char *key = NULL;
    int32_t     count = 0;
    if (json_is_number(decay)) rules[count++] = (ss_decay_rule){ .lambda = json_number_value(decay) };
    if (json_is_object(decay))
        json_object_foreach(decay, key, value) if (count < MANY) rules[count++] =
            (ss_decay_rule){ .glob = key, .lambda = json_number_value(value) };
    return count;
}

static int32_t trainable(const ss_golden *golden, const char *globs[MANY])
{
    const json_t *list = json_object_get(golden->facts, "trainable");
    int32_t       count = 0;
    for (size_t i = 0; i < json_array_size(list) && count < MANY; i++)
        globs[count++] = json_string_value(json_array_get(list, i));
    return count;
}

static bool is_transformer(const ss_golden *golden)
{
    const char *family = ss_golden_text(golden, "family");
    return family != NULL && strcmp(family, "transformers") == 0;
}

static ss_status open_network(ss_golden *golden, const char *folder)
{
    ss_decay_rule      rules[MANY];
    const char        *globs[MANY];
    char               source[PATH_BYTES], weights[PATH_BYTES], base[PATH_BYTES];
    ss_network_options options = { .decay = rules, .include = globs };
    const char        *file = ss_golden_text(golden, "network"), *stored = ss_golden_text(golden, "weights");
    const char        *under = ss_golden_text(golden, "base");
    options.n_decay = decay_rules(golden, rules);
    options.n_include = trainable(golden, globs);
    snprintf(source, sizeof source, "%s/%s", folder, file != NULL ? file : "network.json");
    snprintf(weights, sizeof weights, "%s/%s", folder, stored != NULL ? stored : "weights.safetensors");
    snprintf(base, sizeof base, "%s/%s", folder, under != NULL ? under : "");
    if (under != NULL) options.base = base;
    if (!is_transformer(golden)) options.weights = weights; /* transformers find theirs in their folder */
    if (is_transformer(golden)) ss_network_fit_data(golden->dataset, &options);
    return ss_network_open(golden->context, source, &options, &golden->network);
}

static ss_status open_data(ss_golden *golden, const char *folder)
{
    ss_dataset_options options;
    char               path[PATH_BYTES];
    const char        *file = ss_golden_text(golden, "data");
    double             scale = ss_golden_number(golden, "input_scale");
    ss_dataset_options_init(&options);
    if (isfinite(scale)) options.scale = scale, options.scale_given = true;
    snprintf(path, sizeof path, "%s/%s", folder, file != NULL ? file : "data.safetensors");
    return ss_dataset_open(golden->context, path, &options, &golden->dataset);
}

static ss_status read_class_weights(ss_golden *golden)
{
    const json_t *list = json_object_get(golden->facts, "class_weights");
    int64_t       count = (int64_t)json_array_size(list);
    ss_status     status = SS_OK;
    if (count == 0) return SS_OK;
    SS_TRY(SS_NEW_ARRAY(golden->context, count, &golden->class_weights));
    golden->n_class_weights = count;
    for (int64_t i = 0; i < count; i++)
        golden->class_weights[i] = json_number_value(json_array_get(list, (size_t)i));
fail:
    return status;
}

ss_status ss_golden_open(ss_context *context, const char *folder, ss_golden *golden)
{
    ss_status   status = SS_OK;
    char        path[PATH_BYTES];
    const char *slash = strrchr(folder, '/');
    *golden = (ss_golden){ .context = context };
    snprintf(golden->name, sizeof golden->name, "%s", slash != NULL ? slash + 1 : folder);
    snprintf(path, sizeof path, "%s/case.json", folder);
    golden->facts = json_load_file(path, 0, NULL);
    if (golden->facts == NULL) SS_FAIL(context, SS_ERROR_INPUT, "%s: cannot be read", path);
    const char *family = ss_golden_text(golden, "family");
    if (family == NULL || (strcmp(family, "sequential") != 0 && !is_transformer(golden)))
        SS_FAIL(context, SS_ERROR_INPUT, "%s: family %s is not yet supported", folder, family);
    golden->lambda_abs = largest(golden);
    SS_TRY(open_data(golden, folder));
    SS_TRY(open_network(golden, folder));
    SS_TRY(read_class_weights(golden));
    if (ss_golden_text(golden, "recipe") != NULL) return SS_OK; /* vectors by formula, projections only */
    snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    SS_TRY(ss_archive_open(context, path, &golden->expected));
fail:
    return status;
}

void ss_golden_close(ss_golden *golden)
{
    ss_archive_close(golden->expected);
    ss_dataset_close(golden->dataset);
    ss_network_close(golden->network);
    ss_free(golden->context, golden->class_weights);
    json_decref(golden->facts);
}

ss_status ss_golden_objective(ss_golden *golden, ss_real real, ss_objective **objective)
{
    ss_objective_options options;
    double               smoothing = ss_golden_number(golden, "label_smoothing");
    ss_objective_options_init(&options);
    options.loss = ss_golden_text(golden, "loss");
    options.precision = real;
    options.device = ss_test_device();
    if (isfinite(smoothing)) options.smoothing = smoothing;
    options.class_weights = golden->class_weights;
    options.n_class_weights = golden->n_class_weights;
    return ss_objective_create(golden->context, golden->network, golden->dataset, &options, objective);
}

ss_status ss_golden_vector(const ss_golden *golden, const char *prefix, double *packed)
{
    ss_status status = SS_OK;
    char      name[512];
    for (int64_t i = 0; i < ss_network_parameter_count(golden->network); i++) {
        ss_parameter_info info;
        ss_network_parameter(golden->network, i, &info);
        if (!info.active) continue;
        snprintf(name, sizeof name, "%s/%s", prefix, info.name);
        const ss_array *array = ss_archive_find(golden->expected, name);
        if (array == NULL) SS_FAIL(golden->context, SS_ERROR_INPUT, "%s: no %s", golden->name, name);
        ss_array_convert(array, 0, info.count, SS_FLOAT64, packed + info.canonical);
    }
fail:
    return status;
}

/* ---- Listing --------------------------------------------------------------------------------------------
 */

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int64_t visit_folder(const char *root, void (*visit)(void *user, const char *folder), void *user)
{
    struct dirent **entries = NULL;
    char            path[PATH_BYTES], facts[PATH_BYTES + 16];
    struct stat     info;
    int64_t         found = 0;
    int             count = scandir(root, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", root, entries[i]->d_name);
        snprintf(facts, sizeof facts, "%s/case.json", path);
        if (entries[i]->d_name[0] != '.' && stat(facts, &info) == 0) visit(user, path), found++;
        free(entries[i]);
    }
    free(entries);
    return found;
}

int64_t ss_golden_visit(void (*visit)(void *user, const char *folder), void *user)
{
    static const char *const beside[] = { SS_SOURCE_DIRECTORY "/shared/oracle",
                                          SS_SOURCE_DIRECTORY "/../shared/oracle",
                                          SS_SOURCE_DIRECTORY "/../../shared/oracle" };
    const char              *named = getenv("SS_ORACLE"), *oracle = NULL;
    int64_t                  count = visit_folder(SS_SOURCE_DIRECTORY "/tests/cases", visit, user);
    if (named != NULL && is_folder(named)) oracle = named;
    for (size_t i = 0; oracle == NULL && named == NULL && i < sizeof beside / sizeof *beside; i++)
        if (is_folder(beside[i])) oracle = beside[i];
    if (oracle == NULL)
        printf("no folder shared/oracle beside the source tree and none in SS_ORACLE: only tests/cases\n");
    else
        count += visit_folder(oracle, visit, user);
    return count;
}
