/* Every case below tests/cases, and below the reference folder when there is one: the network opens, its
 * parameters are those of the case, and its float64 output gives the case's loss. The folders are listed: a
 * new case is checked without a change here. Cases with layers that are known but not yet supported must be
 * refused by name. */
#include "io/archive.h"
#include "io/json.h"
#include "support/forward.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct objective {
    const char *loss;        /* kind */
    double      smoothing;   /* label smoothing */
    double      classes[64]; /* class weights */
    int64_t     n_classes;   /* 0 = all 1 */
} objective;

static double log_sum_exp(const double *x, int64_t n)
{
    double largest = x[0], sum = 0.0;
    for (int64_t j = 1; j < n; j++) largest = fmax(largest, x[j]);
    for (int64_t j = 0; j < n; j++) sum += exp(x[j] - largest);
    return largest + log(sum);
}

/* Loss of one sample straight from the definition; *weight receives its share of the normalisation. */
static double sample_loss(const objective *o, const double *x, int64_t n, const ss_array *y, int64_t i,
                          double *weight)
{
    double loss = 0.0;
    *weight = strcmp(o->loss, "cross_entropy") == 0 ? 1.0 : (double)n;
    if (strcmp(o->loss, "cross_entropy") != 0) {
        for (int64_t j = 0; j < n; j++) {
            double t = ss_array_value(y, i * n + j);
            loss += strcmp(o->loss, "mse") == 0 ? (x[j] - t) * (x[j] - t)
                                                : fmax(x[j], 0.0) - x[j] * t + log1p(exp(-fabs(x[j])));
        }
        return loss;
    }
    double  lse = log_sum_exp(x, n);
    bool    ids = !ss_type_is_float(y->type);
    int64_t label = ids ? ss_array_integer(y, i) : 0;
    if (ids && label < 0) return *weight = 0.0;
    if (ids && o->n_classes > 0) *weight = o->classes[label];
    for (int64_t j = 0; j < n; j++) {
        double q = ids ? (double)(j == label) : ss_array_value(y, i * n + j);
        q = (1.0 - o->smoothing) * q + o->smoothing / (double)n;
        loss += q * (o->n_classes > 0 ? o->classes[j] : 1.0) * (lse - x[j]);
    }
    return loss;
}

static void read_objective(const ss_json_value *root, objective *o)
{
    ss_json_value list, item;
    *o = (objective){ 0 };
    ss_test_require(ss_json_string(root, "loss", &o->loss));
    ss_test_require(ss_json_number_or(root, "label_smoothing", 0.0, 1.0, &o->smoothing));
    if (!ss_json_has(root, "class_weights")) return;
    ss_test_require(ss_json_member(root, "class_weights", SS_JSON_ARRAY, &list));
    o->n_classes = ss_json_length(&list);
    for (int64_t i = 0; i < o->n_classes; i++) {
        ss_test_require(ss_json_element(&list, i, SS_JSON_NUMBER, &item));
        ss_test_require(ss_json_as_number(&item, 0.0, 1e300, &o->classes[i]));
    }
}

enum { MOST_RULES = 8 };

/* Active globs and decay rules of the case, for the options of ss_network_open. */
static void read_options(const ss_json_value *root, const char **globs, ss_decay_rule *rules,
                         ss_network_options *options)
{
    ss_json_value value, item;
    options->include = globs;
    options->decay = rules;
    if (ss_json_has(root, "trainable")) {
        ss_test_require(ss_json_member(root, "trainable", SS_JSON_ARRAY, &value));
        for (int64_t i = 0; i < ss_json_length(&value); i++) {
            ss_test_require(ss_json_element(&value, i, SS_JSON_STRING, &item));
            ss_test_require(ss_json_as_string(&item, &globs[options->n_include++]));
        }
    }
    if (!ss_json_has(root, "weight_decay")) return;
    ss_test_require(ss_json_member(root, "weight_decay", SS_JSON_ANY, &value));
    if (!ss_json_is(&value, SS_JSON_OBJECT)) {
        rules[options->n_decay].glob = NULL;
        ss_test_require(ss_json_as_number(&value, 0.0, 1e300, &rules[options->n_decay++].lambda));
        return;
    }
    for (item = (ss_json_value){ 0 }; ss_json_next(&value, &item);) {
        ss_decay_rule *rule = &rules[options->n_decay++];
        rule->glob = item.key;
        ss_test_require(ss_json_as_number(&item, 0.0, 1e300, &rule->lambda));
    }
}

static void check_parameters(const ss_network *network, const ss_json_value *root, const char *name)
{
    int64_t           n, next = 0;
    ss_json_value     list, item;
    ss_parameter_info info;
    const char       *expected;
    ss_test_require(ss_json_integer(root, "n_parameters", 0, INT64_MAX, &n));
    cr_expect_eq(ss_network_n(network), n, "%s: n = %lld", name, (long long)ss_network_n(network));
    ss_test_require(ss_json_member(root, "parameters", SS_JSON_ARRAY, &list));
    for (int64_t i = 0; i < ss_network_parameter_count(network); i++) {
        ss_network_parameter(network, i, &info);
        if (!info.active) continue;
        ss_test_require(ss_json_element(&list, next++, SS_JSON_STRING, &item));
        ss_test_require(ss_json_as_string(&item, &expected));
        cr_expect_str_eq(info.name, expected, "%s", name);
    }
    cr_expect_eq(next, ss_json_length(&list), "%s: %lld active tensors", name, (long long)next);
}

static double decay_of(const ss_network *network)
{
    ss_graph *graph = ss_network_graph((ss_network *)network);
    double    sum = 0.0;
    for (int32_t i = 0; i < graph->n_parameters; i++)
        for (int64_t k = 0; k < graph->parameters[i].count; k++) {
            double w = ss_array_value(&graph->parameters[i].array, k);
            sum += graph->parameters[i].decay / 2.0 * w * w;
        }
    return sum;
}

static double loss_of(ss_network *network, const ss_archive *data, const objective *o, double scale)
{
    ss_graph       *graph = ss_network_graph(network);
    const ss_array *x = ss_archive_find(data, "x"), *y = ss_archive_find(data, "y");
    int64_t batch = x->shape[0], in = graph->values[0].count, out = graph->values[graph->output].count;
    double *inputs, *outputs, loss = 0.0, weights = 0.0, weight;
    ss_test_require(SS_NEW_ARRAY(ss_test_context, batch * in, &inputs));
    ss_test_require(SS_NEW_ARRAY(ss_test_context, batch * out, &outputs));
    ss_array_convert(x, 0, batch * in, SS_FLOAT64, inputs);
    for (int64_t i = 0; i < batch * in; i++) inputs[i] *= scale;
    ss_test_forward(graph, NULL, batch, inputs, outputs);
    for (int64_t i = 0; i < batch; i++) {
        loss += sample_loss(o, outputs + i * out, out, y, i, &weight);
        weights += weight;
    }
    ss_free(ss_test_context, inputs);
    ss_free(ss_test_context, outputs);
    return loss / weights + decay_of(network);
}

/* True if the case was checked, false if its layers are not supported yet. */
static bool check_case(const char *folder, const char *name)
{
    char               path[4096];
    const char        *family, *globs[MOST_RULES], *networks;
    ss_decay_rule      rules[MOST_RULES];
    ss_network_options options = { 0 };
    ss_json           *json;
    ss_network        *network;
    ss_archive        *data;
    objective          o;
    double             expected, scale = 1.0;
    snprintf(path, sizeof path, "%s/%s/case.json", folder, name);
    ss_test_require(ss_json_load(ss_test_context, path, &json));
    ss_json_value root = ss_json_root(json);
    ss_test_require(ss_json_string(&root, "family", &family));
    ss_test_require(ss_json_string(&root, "network", &networks));
    if (strcmp(family, "sequential") != 0) {
        ss_json_free(json);
        return false;
    }
    read_objective(&root, &o);
    read_options(&root, globs, rules, &options);
    ss_test_require(ss_json_number(&root, "loss_value", 0.0, 1e300, &expected));
    ss_test_require(ss_json_number_or(&root, "input_scale", -1e300, 1e300, &scale));
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ss_status status = ss_network_open(ss_test_context, path, &options, &network);
    if (status != SS_OK && strstr(ss_context_message(ss_test_context), "not yet supported") != NULL) {
        ss_test_refuse(status, SS_ERROR_INPUT, "layers[");
        ss_json_free(json);
        return false;
    }
    ss_test_require(status);
    check_parameters(network, &root, name);
    snprintf(path, sizeof path, "%s/%s/data.safetensors", folder, name);
    ss_test_require(ss_archive_open(ss_test_context, path, &data));
    double loss = loss_of(network, data, &o, scale);
    cr_expect(fabs(loss - expected) <= 1e-12 * fmax(expected, 1.0), "%s: loss %.17g, expected %.17g", name,
              loss, expected);
    ss_archive_close(data);
    ss_network_close(network);
    ss_json_free(json);
    return true;
}

static int check_folder(const char *folder)
{
    DIR           *directory = opendir(folder);
    struct dirent *entry;
    struct stat    info;
    char           path[4096];
    int            checked = 0;
    if (directory == NULL) return -1;
    while ((entry = readdir(directory)) != NULL) {
        snprintf(path, sizeof path, "%s/%s/network.json", folder, entry->d_name);
        if (stat(path, &info) == 0) checked += check_case(folder, entry->d_name);
    }
    closedir(directory);
    return checked;
}

Test(network, own_cases, .init = ss_test_begin, .fini = ss_test_end)
{
    int checked = check_folder(SS_SOURCE_DIRECTORY "/tests/cases");
    cr_expect(checked >= 30, "only %d cases were checked", checked);
}

Test(network, reference_cases, .init = ss_test_begin, .fini = ss_test_end)
{
    const char *folder = getenv("SS_ORACLE");
    int         checked = check_folder(folder != NULL ? folder : SS_SOURCE_DIRECTORY "/../shared/oracle");
    if (checked < 0) cr_skip("there are no reference cases here");
    cr_expect(checked >= 8, "only %d cases were checked", checked);
}
