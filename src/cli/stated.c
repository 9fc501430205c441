/* What objective.json and the command line say about the objective. */
#include "cli/workload.h"
#include "io/archive.h"
#include "io/json.h"

#include <math.h>
#include <string.h>

/* Of a study whose objective nobody stated: without decay cross-entropy has no critical points to speak of,
 * its infimum lies at infinity. */
#define SS_STUDY_DECAY 1e-3

static ss_status add_decay(ss_context *context, ss_stated_objective *stated, const char *glob, double lambda)
{
    ss_status status = SS_OK;
    char     *copy = NULL;
    if (glob != NULL) SS_TRY(ss_copy_string(context, glob, &copy));
    SS_TRY(ss_reallocate(context, stated->n_decay + 1, sizeof *stated->decay, (void **)&stated->decay));
    stated->decay[stated->n_decay++] = (ss_decay_rule){ .glob = copy, .lambda = lambda };
    return SS_OK;
fail:
    ss_free(context, copy);
    return status;
}

static void release_decay(ss_context *context, ss_stated_objective *stated)
{
    for (int32_t i = 0; i < stated->n_decay; i++) ss_free(context, (void *)(uintptr_t)stated->decay[i].glob);
    ss_free(context, stated->decay);
    stated->decay = NULL;
    stated->n_decay = 0;
}

static ss_status read_decay(ss_context *context, const ss_json_value *root, ss_stated_objective *stated)
{
    ss_status     status = SS_OK;
    ss_json_value decay, rule = { 0 };
    double        lambda = 0;
    if (!ss_json_has(root, "weight_decay")) return SS_OK;
    SS_TRY(ss_json_member(root, "weight_decay", SS_JSON_ANY, &decay));
    if (!ss_json_is(&decay, SS_JSON_OBJECT)) {
        SS_TRY(ss_json_as_number(&decay, 0, 1e300, &lambda));
        if (lambda != 0) SS_TRY(add_decay(context, stated, NULL, lambda));
        return SS_OK;
    }
    while (ss_json_next(&decay, &rule)) {
        SS_TRY(ss_json_as_number(&rule, 0, 1e300, &lambda));
        SS_TRY(add_decay(context, stated, rule.key, lambda));
    }
fail:
    return status;
}

static ss_status read_weights_list(ss_context *context, const ss_json_value *list,
                                   ss_stated_objective *stated)
{
    ss_status     status = SS_OK;
    ss_json_value element;
    int64_t       count = ss_json_length(list);
    if (count == 0) return ss_json_fail(list, "the list of class weights is empty");
    ss_free(context, stated->class_weights);
    stated->class_weights = NULL;
    SS_TRY(SS_NEW_ARRAY(context, count, &stated->class_weights));
    stated->n_class_weights = count;
    for (int64_t i = 0; i < count; i++) {
        SS_TRY(ss_json_element(list, i, SS_JSON_NUMBER, &element));
        SS_TRY(ss_json_as_number(&element, 0, 1e300, &stated->class_weights[i]));
    }
fail:
    return status;
}

/* Names of the active parameters, when not all are. */
static ss_status read_trainable(ss_context *context, const ss_json_value *root, ss_stated_objective *stated)
{
    ss_status     status = SS_OK;
    ss_json_value list, element;
    const char   *name = NULL;
    if (!ss_json_has(root, "trainable")) return SS_OK;
    SS_TRY(ss_json_member(root, "trainable", SS_JSON_ARRAY, &list));
    SS_TRY(SS_NEW_ARRAY(context, ss_json_length(&list), &stated->trainable));
    for (int64_t i = 0; i < ss_json_length(&list); i++) {
        SS_TRY(ss_json_element(&list, i, SS_JSON_STRING, &element));
        SS_TRY(ss_json_as_string(&element, &name));
        SS_TRY(ss_copy_string(context, name, &stated->trainable[i]));
        stated->n_trainable++;
    }
fail:
    return status;
}

ss_status ss_stated_read(ss_context *context, const char *path, ss_stated_objective *stated)
{
    static const char *const known[] = { "loss",          "weight_decay", "label_smoothing",
                                         "class_weights", "expect_loss",  "expect_gradient_norm",
                                         "input_scale",   "input_shift",  "data",
                                         "trainable",     "written_by",   "notes" };
    ss_status                status = SS_OK;
    ss_json                 *json = NULL;
    ss_json_value            root, list;
    const char              *loss = NULL, *data = NULL;

    SS_TRY(ss_json_load(context, path, &json));
    root = ss_json_root(json);
    SS_TRY(ss_json_only(&root, known, (int32_t)(sizeof known / sizeof *known)));
    SS_TRY(ss_copy_string(context, path, &stated->path));
    SS_TRY(ss_json_string(&root, "loss", &loss));
    SS_TRY(ss_copy_string(context, loss, &stated->loss));
    SS_TRY(read_decay(context, &root, stated));
    SS_TRY(ss_json_number_or(&root, "label_smoothing", 0, 0.999999999, &stated->smoothing));
    if (ss_json_has(&root, "class_weights")) {
        SS_TRY(ss_json_member(&root, "class_weights", SS_JSON_ARRAY, &list));
        SS_TRY(read_weights_list(context, &list, stated));
    }
    stated->scale_given = ss_json_has(&root, "input_scale") || ss_json_has(&root, "input_shift");
    SS_TRY(ss_json_number_or(&root, "input_scale", -1e30, 1e30, &stated->scale));
    SS_TRY(ss_json_number_or(&root, "input_shift", -1e30, 1e30, &stated->shift));
    SS_TRY(ss_json_string_or(&root, "data", &data));
    if (data != NULL) SS_TRY(ss_copy_string(context, data, &stated->data));
    SS_TRY(read_trainable(context, &root, stated));
    SS_TRY(ss_json_number_or(&root, "expect_loss", -1e300, 1e300, &stated->expect_loss));
    SS_TRY(ss_json_number_or(&root, "expect_gradient_norm", 0, 1e300, &stated->expect_gradient));
fail:
    ss_json_free(json);
    return status;
}

ss_status ss_class_weights_read(ss_context *context, const char *path, ss_stated_objective *stated)
{
    ss_status   status = SS_OK;
    ss_json    *json = NULL;
    ss_archive *archive = NULL;
    size_t      length = strlen(path);

    if (length > 5 && strcmp(path + length - 5, ".json") == 0) {
        SS_TRY(ss_json_load(context, path, &json));
        ss_json_value root = ss_json_root(json);
        if (!ss_json_is(&root, SS_JSON_ARRAY)) {
            status = ss_json_fail(&root, "expected a list of class weights");
            goto fail;
        }
        SS_TRY(read_weights_list(context, &root, stated));
        goto fail;
    }
    SS_TRY(ss_archive_open(context, path, &archive));
    const ss_array *array = ss_archive_count(archive) == 1 ? ss_archive_at(archive, 0) : NULL;
    if (array == NULL || array->rank != 1 || !ss_type_is_float(array->type) || array->shape[0] < 1)
        SS_FAIL(context, SS_ERROR_INPUT, "%s: expected one array of floats, the weight of each class", path);
    SS_TRY(ss_array_require_finite(context, path, array));
    ss_free(context, stated->class_weights);
    stated->class_weights = NULL;
    SS_TRY(SS_NEW_ARRAY(context, array->shape[0], &stated->class_weights));
    stated->n_class_weights = array->shape[0];
    for (int64_t i = 0; i < array->shape[0]; i++) {
        stated->class_weights[i] = ss_array_value(array, i);
        if (stated->class_weights[i] < 0)
            SS_FAIL(context, SS_ERROR_INPUT, "%s: the weight of class %lld is negative", path, (long long)i);
    }
fail:
    ss_archive_close(archive);
    ss_json_free(json);
    return status;
}

void ss_stated_release(ss_context *context, ss_stated_objective *stated)
{
    release_decay(context, stated);
    ss_free(context, stated->class_weights);
    ss_free(context, stated->loss);
    ss_free(context, stated->data);
    ss_free(context, stated->path);
    for (int32_t i = 0; i < stated->n_trainable; i++) ss_free(context, stated->trainable[i]);
    ss_free(context, stated->trainable);
    *stated = (ss_stated_objective){ 0 };
}

/* "[GLOB=]X" */
static ss_status decay_option(ss_context *context, const char *text, ss_stated_objective *stated)
{
    ss_status   status = SS_OK;
    char       *glob = NULL;
    const char *equals = strrchr(text, '=');
    double      lambda = 0;
    SS_TRY(ss_parse_real(context, "--weight-decay", equals != NULL ? equals + 1 : text, &lambda));
    if (lambda < 0) SS_FAIL(context, SS_ERROR_USAGE, "--weight-decay: %s is negative", text);
    if (equals == text) SS_FAIL(context, SS_ERROR_USAGE, "--weight-decay: '%s' has an empty pattern", text);
    if (equals != NULL) SS_TRY(ss_format(context, &glob, "%.*s", (int)(equals - text), text));
    SS_TRY(add_decay(context, stated, glob, lambda));
fail:
    ss_free(context, glob);
    return status;
}

/* "X[:RTOL]" */
static ss_status expect_option(ss_context *context, const ss_settings *settings, ss_stated_objective *stated)
{
    ss_status   status = SS_OK;
    const char *text = ss_text_of(settings, EXPECT_LOSS), *colon = strchr(text, ':');
    char       *first = NULL;
    double      tolerance = 0;
    SS_TRY(ss_format(context, &first, "%.*s", colon != NULL ? (int)(colon - text) : (int)strlen(text), text));
    SS_TRY(ss_parse_real(context, "--expect-loss", first, &stated->expect_loss));
    if (colon != NULL) {
        SS_TRY(ss_parse_real(context, "--expect-loss", colon + 1, &tolerance));
        if (!(tolerance > 0))
            SS_FAIL(context, SS_ERROR_USAGE, "--expect-loss: the tolerance in %s must be positive", text);
    }
fail:
    ss_free(context, first);
    return status;
}

ss_status ss_stated_merge(ss_context *context, const ss_settings *settings, ss_stated_objective *stated,
                          bool *overridden)
{
    ss_status         status = SS_OK;
    const ss_setting *decay = &settings->option[SS_OPTION_WEIGHT_DECAY];

    *overridden = settings->command == SS_COMMAND_STUDY || ss_given(settings, LOSS) || decay->given ||
                  ss_given(settings, LABEL_SMOOTHING) || ss_given(settings, CLASS_WEIGHTS) ||
                  ss_given(settings, DATA) || ss_given(settings, WEIGHTS) || ss_given(settings, SAMPLES) ||
                  ss_given(settings, SCALE) || ss_given(settings, SHIFT) || ss_given(settings, INIT_RANDOM) ||
                  ss_given(settings, INIT_MISSING) || ss_given(settings, BASE);
    if (ss_given(settings, LOSS)) {
        ss_free(context, stated->loss);
        stated->loss = NULL;
        SS_TRY(ss_copy_string(context, ss_text_of(settings, LOSS), &stated->loss));
    }
    if (decay->given) {
        release_decay(context, stated);
        for (int64_t i = 0; i < decay->n_texts; i++) SS_TRY(decay_option(context, decay->texts[i], stated));
    }
    if (settings->command == SS_COMMAND_STUDY && stated->path == NULL && !decay->given)
        SS_TRY(add_decay(context, stated, NULL, SS_STUDY_DECAY));
    if (ss_given(settings, LABEL_SMOOTHING)) stated->smoothing = ss_real_of(settings, LABEL_SMOOTHING);
    if (ss_given(settings, CLASS_WEIGHTS))
        SS_TRY(ss_class_weights_read(context, ss_text_of(settings, CLASS_WEIGHTS), stated));
    if (ss_given(settings, SCALE)) stated->scale = ss_real_of(settings, SCALE);
    if (ss_given(settings, SHIFT)) stated->shift = ss_real_of(settings, SHIFT);
    stated->scale_given = stated->scale_given || ss_given(settings, SCALE) || ss_given(settings, SHIFT);
    if (*overridden) stated->expect_loss = stated->expect_gradient = NAN;
    if (ss_given(settings, EXPECT_LOSS)) SS_TRY(expect_option(context, settings, stated));
fail:
    return status;
}
