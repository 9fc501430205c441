/* The diagonal blocks of the operator: extreme eigenvalues of every tensor, module or layer alone.
 *
 * A block is what the whole operator becomes when all other parameters are frozen, so that activity prunes
 * its program: a block of the last layer costs a fraction of a product. Each block is searched by Lanczos to
 * a thousandth; its lowest and highest Ritz pair are multiplied once more, and the residual is the error. */
#include "saddlescope/verdict.h"

#include "network/graph.h"
#include "saddlescope/network.h"
#include "saddlescope/spectrum.h"

#include <math.h>
#include <string.h>

enum { MOST_PRODUCTS = 100 }; /* per block */

static const char *const kinds[] = { "tensor", "module", "layer" };

ss_status ss_block_kind_read(ss_context *context, const char *text, ss_block_kind *kind)
{
    for (int i = 0; i < (int)(sizeof kinds / sizeof *kinds); i++)
        if (strcmp(kinds[i], text) == 0) {
            *kind = (ss_block_kind)i;
            return SS_OK;
        }
    return ss_fail(context, SS_ERROR_USAGE, "blocks: expected tensor, module or layer, found '%s'", text);
}

/* Length of the part of a tensor's name that names its block: all of it, what stands before its last dot, or
 * all up to its first number ("model.layers.3"), where it has one. */
static size_t block_length(const char *name, ss_block_kind kind)
{
    size_t      length = strlen(name);
    const char *last = strrchr(name, '.');
    if (kind == SS_BLOCKS_TENSOR) return length;
    for (const char *part = name; kind == SS_BLOCKS_LAYER; part++) {
        size_t digits = strspn(part, "0123456789"), whole = strcspn(part, ".");
        if (digits > 0 && digits == whole) return (size_t)(part - name) + whole;
        part += whole;
        if (*part == '\0') break;
    }
    return last != NULL ? (size_t)(last - name) : length;
}

/* What is shared by all blocks. */
typedef struct search {
    ss_context                 *context;
    ss_network                 *network;
    const ss_dataset           *dataset;
    const ss_objective_options *objective;
    const ss_analyze_options   *options;
    double                      delta; /* relative error of the operator */
    const char                **names; /* [n_names] of the parameters that were active; borrowed */
    int64_t                    *sizes; /* [n_names] their elements */
    int32_t                     n_names;
    const char                **chosen; /* [n_names] room for one block's names */
} search;

static ss_status solve(search *s, ss_objective *objective, ss_verdict_block *block)
{
    ss_status        status = SS_OK;
    ss_operator      op = { 0 };
    ss_eigen_options options;
    ss_eigen_result *result = NULL;
    ss_real          real = s->objective->precision;

    ss_eigen_options_pairs(&options, 1, 1);
    options.rtol_low = options.rtol_high = 1e-3;
    options.max_products = MOST_PRODUCTS;
    options.delta = s->delta;
    options.seed = s->options->seed;
    SS_TRY(ss_objective_operator(objective, s->options->product, real, NULL, NULL, &op));
    SS_TRY(ss_eigen_solve(&op, &options, &result));
    const ss_ritz *low = &result->ritz[0], *high = &result->ritz[result->size - 1];
    block->low = low->true_residual >= 0 ? low->quotient : low->value;
    block->high = high->true_residual >= 0 ? high->quotient : high->value;
    block->low_error = fmax(low->true_residual, low->residual) + result->error;
    block->high_error = fmax(high->true_residual, high->residual) + result->error;
    block->products = result->products;
    block->converged = result->low_reached && result->high_reached;
fail:
    ss_eigen_result_destroy(result);
    ss_operator_destroy(&op);
    return status;
}

/* The block of names [first, ...) that share `length` letters with names[first]. */
static ss_status search_block(search *s, int32_t first, size_t length, ss_verdict_block *block)
{
    ss_status     status = SS_OK;
    ss_objective *objective = NULL;
    int32_t       count = 0;
    for (int32_t i = first; i < s->n_names; i++) {
        bool same = strncmp(s->names[i], s->names[first], length) == 0 &&
                    (s->names[i][length] == '.' || s->names[i][length] == '\0');
        if (!same) continue;
        s->chosen[count++] = s->names[i];
        block->n += s->sizes[i];
    }
    SS_TRY(ss_format(s->context, &block->name, "%.*s", (int)length, s->names[first]));
    SS_TRY(ss_graph_activate(ss_network_graph(s->network), count, s->chosen, 0, NULL));
    SS_TRY(ss_objective_create(s->context, s->network, s->dataset, s->objective, &objective));
    SS_TRY(solve(s, objective, block));
fail:
    ss_objective_destroy(objective);
    return status;
}

/* Has the block of names[number] been met before? */
static bool is_met(const ss_verdict *verdict, const char *name, size_t length)
{
    for (int64_t b = 0; b < verdict->n_blocks; b++)
        if (strlen(verdict->blocks[b].name) == length && strncmp(verdict->blocks[b].name, name, length) == 0)
            return true;
    return false;
}

static ss_status list_names(search *s)
{
    ss_status status = SS_OK;
    int64_t   count = ss_network_parameter_count(s->network);
    SS_TRY(SS_NEW_ARRAY(s->context, count, &s->names));
    SS_TRY(SS_NEW_ARRAY(s->context, count, &s->chosen));
    SS_TRY(SS_NEW_ARRAY(s->context, count, &s->sizes));
    for (int64_t i = 0; i < count; i++) {
        ss_parameter_info info;
        ss_network_parameter(s->network, i, &info);
        if (!info.active) continue;
        s->names[s->n_names] = info.name;
        s->sizes[s->n_names++] = info.count;
    }
fail:
    return status;
}

ss_status ss_analyze_blocks(ss_context *context, ss_network *network, const ss_dataset *dataset,
                            const ss_objective_options *objective, ss_block_kind kind,
                            const ss_analyze_options *options, ss_verdict *verdict)
{
    ss_status status = SS_OK;
    search    s = { .context = context,
                    .network = network,
                    .dataset = dataset,
                    .objective = objective,
                    .options = options,
                    .delta = verdict->operator_error.delta };
    double    start = ss_seconds();

    SS_TRY(list_names(&s));
    SS_TRY(SS_NEW_ARRAY(context, s.n_names, &verdict->blocks));
    for (int32_t i = 0; i < s.n_names; i++) {
        size_t length = block_length(s.names[i], kind);
        if (is_met(verdict, s.names[i], length)) continue;
        if (options->time_limit > 0 && verdict->cost.seconds + ss_seconds() - start > options->time_limit)
            break;
        ss_progress(context, "blocks", i, s.n_names, s.names[i]);
        SS_TRY(search_block(&s, i, length, &verdict->blocks[verdict->n_blocks++]));
    }
    ss_progress(context, "blocks", s.n_names, s.n_names, "");
fail:
    /* The names in `s` are the graph's own and outlive the blocks. */
    if (s.n_names > 0 && s.names != NULL) {
        ss_status restored = ss_graph_activate(ss_network_graph(network), s.n_names, s.names, 0, NULL);
        if (status == SS_OK) status = restored;
    }
    ss_free(context, s.names);
    ss_free(context, s.chosen);
    ss_free(context, s.sizes);
    return status;
}
