/* mlp: strings, translated into the text of a network.json so that there is one builder. */
#include "network/sequential.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WIDTHS = 1000 };

/* One row per activation: what may be written, and the layer it stands for with its attributes. */
typedef struct spelling {
    const char *name;  /* lower case */
    const char *layer; /* JSON members */
} spelling;

static const spelling spellings[] = {
    { "tanh", "\"type\": \"Tanh\"" },
    { "relu", "\"type\": \"ReLU\"" },
    { "leaky_relu", "\"type\": \"LeakyReLU\"" },
    { "sigmoid", "\"type\": \"Sigmoid\"" },
    { "silu", "\"type\": \"SiLU\"" },
    { "gelu", "\"type\": \"GELU\"" },
    { "gelu_tanh", "\"type\": \"GELU\", \"approximate\": \"tanh\"" },
    { "softplus", "\"type\": \"Softplus\"" },
    { "elu", "\"type\": \"ELU\"" },
};
enum { N_SPELLINGS = sizeof spellings / sizeof *spellings };

static bool same_word(const char *word, size_t length, const char *name)
{
    if (strlen(name) != length) return false;
    for (size_t i = 0; i < length; i++)
        if (tolower((unsigned char)word[i]) != name[i]) return false;
    return true;
}

/* The word up to the next ':' as an activation; *rest moves behind it. */
static ss_status read_activation(ss_context *context, const char *specification, const char **rest,
                                 const spelling **found)
{
    size_t length = strcspn(*rest, ":"), used = 0;
    char   known[256] = "";
    *found = NULL;
    for (int i = 0; i < N_SPELLINGS; i++) {
        if (same_word(*rest, length, spellings[i].name)) *found = &spellings[i];
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i == 0 ? "" : ", ",
                                 spellings[i].name);
    }
    if (*found == NULL)
        return ss_fail(context, SS_ERROR_INPUT, "%.200s: unknown activation '%.*s'; known are %s",
                       specification, (int)(length < 60 ? length : 60), *rest, known);
    *rest += length;
    if (**rest == ':' && *++*rest == '\0')
        return ss_fail(context, SS_ERROR_INPUT, "%.200s: an activation is missing behind the last ':'",
                       specification);
    return SS_OK;
}

/* Widths separated by '-'; *rest moves behind them and one ':'. */
static ss_status read_widths(ss_context *context, const char *specification, const char **rest,
                             int64_t *widths, int *count)
{
    *count = 0;
    for (;;) {
        char *end;
        if (!isdigit((unsigned char)**rest)) break;
        long long width = strtoll(*rest, &end, 10);
        if (width < 1 || width > INT32_MAX || *count == MOST_WIDTHS) break;
        widths[(*count)++] = width;
        *rest = end;
        if (**rest == '-') {
            (*rest)++;
            continue;
        }
        if (*count < 2 || (**rest != ':' && **rest != '\0')) break;
        if (**rest == ':' && *++*rest == '\0') break;
        return SS_OK;
    }
    return ss_fail(context, SS_ERROR_INPUT,
                   "%.200s: expected mlp:IN-HIDDEN-...-OUT[:ACTIVATION...], for example mlp:64-16-10:tanh "
                   "(at most %d positive widths)",
                   specification, (int)MOST_WIDTHS);
}

/* text := text + ", " + item, or item when text is NULL. */
static ss_status append(ss_context *context, char **text, const char *item)
{
    char     *longer = NULL;
    ss_status status = SS_OK;
    SS_TRY(
        ss_format(context, &longer, "%s%s%s", *text == NULL ? "" : *text, *text == NULL ? "" : ", ", item));
    ss_free(context, *text);
    *text = longer;
fail:
    return status;
}

ss_status ss_sequential_from_mlp(ss_context *context, const char *specification, char **text)
{
    ss_status       status = SS_OK;
    const char     *rest = specification;
    const spelling *activations[MOST_WIDTHS] = { NULL };
    int64_t         widths[MOST_WIDTHS];
    int             n_widths, n_activations = 0;
    char           *layers = NULL, item[160];

    *text = NULL;
    if (strncmp(rest, "mlp:", 4) == 0) rest += 4;
    SS_TRY(read_widths(context, specification, &rest, widths, &n_widths));
    while (*rest != '\0' && n_activations < MOST_WIDTHS)
        SS_TRY(read_activation(context, specification, &rest, &activations[n_activations++]));
    int hidden = n_widths - 2;
    if (n_activations > 0 && n_activations != hidden && (n_activations > 1 || hidden == 0))
        SS_FAIL(context, SS_ERROR_INPUT,
                "%.200s: %d activations for %d hidden layers; give one, or one for each", specification,
                n_activations, hidden);

    for (int i = 0; i + 1 < n_widths; i++) {
        snprintf(item, sizeof item, "{\"type\": \"Linear\", \"in_features\": %lld, \"out_features\": %lld}",
                 (long long)widths[i], (long long)widths[i + 1]);
        SS_TRY(append(context, &layers, item));
        if (i == hidden || n_activations == 0) continue;
        snprintf(item, sizeof item, "{%s}", activations[n_activations == 1 ? 0 : i]->layer);
        SS_TRY(append(context, &layers, item));
    }
    SS_TRY(ss_format(context, text, "{\"input_shape\": [%lld], \"layers\": [%s]}", (long long)widths[0],
                     layers));
fail:
    ss_free(context, layers);
    return status;
}
