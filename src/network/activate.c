/* Which parameters are active, their decay, and the layout of the parameter vector. */
#include "network/graph.h"

#include <fnmatch.h>
#include <math.h>
#include <string.h>

/* Shell globs over whole names: * and ? match dots too. */
static bool matches(const char *glob, const char *name)
{
    return fnmatch(glob, name, 0) == 0;
}

/* SS_ERROR_USAGE when a pattern matches no trainable parameter: most likely a misspelling. */
static ss_status require_match(const ss_graph *graph, const char *glob)
{
    for (int32_t i = 0; i < graph->n_parameters; i++)
        if (graph->parameters[i].trainable && matches(glob, graph->parameters[i].name)) return SS_OK;
    return ss_fail(graph->context, SS_ERROR_USAGE, "no parameter matches '%s'; the first of %d is named '%s'",
                   glob, graph->n_parameters, graph->n_parameters > 0 ? graph->parameters[0].name : "");
}

static bool is_chosen(const ss_parameter *p, int32_t n_include, const char *const *include, int32_t n_exclude,
                      const char *const *exclude)
{
    bool chosen = n_include == 0;
    if (!p->trainable) return false;
    for (int32_t i = 0; i < n_include && !chosen; i++) chosen = matches(include[i], p->name);
    for (int32_t i = 0; i < n_exclude && chosen; i++) chosen = !matches(exclude[i], p->name);
    return chosen;
}

ss_status ss_graph_activate(ss_graph *graph, int32_t n_include, const char *const *include, int32_t n_exclude,
                            const char *const *exclude)
{
    ss_status   status = SS_OK;
    ss_context *context = graph->context;
    ss_segment *segments = NULL;
    ss_layout   layout = { 0 };

    SS_TRY(ss_graph_sort_parameters(graph));
    for (int32_t i = 0; i < n_include; i++) SS_TRY(require_match(graph, include[i]));
    for (int32_t i = 0; i < n_exclude; i++) SS_TRY(require_match(graph, exclude[i]));
    SS_TRY(SS_NEW_ARRAY(context, graph->n_parameters, &segments));
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        const ss_parameter *p = &graph->parameters[i];
        if (!is_chosen(p, n_include, include, n_exclude, exclude)) continue;
        segments[layout.n_segments++] = (ss_segment){ layout.padded, layout.n, p->count };
        int64_t end;
        if (!ss_add64(layout.padded, p->count, &end) || !ss_add64(end, SS_LAYOUT_ALIGNMENT, &end))
            SS_FAIL(context, SS_ERROR_INPUT, "the parameters are too many to count");
        layout.n += p->count;
        layout.padded = ss_round_up(layout.padded + p->count, SS_LAYOUT_ALIGNMENT);
    }
    if (layout.n == 0)
        SS_FAIL(context, SS_ERROR_USAGE,
                graph->n_parameters == 0 ? "the network has no parameters"
                                         : "no parameter is left: every one is excluded");

    int64_t next = 0;
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        ss_parameter *p = &graph->parameters[i];
        bool          chosen = is_chosen(p, n_include, include, n_exclude, exclude);
        p->offset = chosen ? segments[next].offset : -1;
        p->canonical = chosen ? segments[next].canonical : -1;
        next += chosen;
    }
    ss_free(context, graph->segments);
    graph->segments = segments;
    graph->layout = layout;
    graph->layout.segments = segments;
    return SS_OK;
fail:
    ss_free(context, segments);
    return status;
}

ss_status ss_graph_set_decay(ss_graph *graph, int32_t n_rules, const ss_decay_rule *rules)
{
    ss_status status = SS_OK;
    for (int32_t r = 0; r < n_rules; r++) {
        if (!(rules[r].lambda >= 0.0) || !isfinite(rules[r].lambda))
            SS_FAIL(graph->context, SS_ERROR_USAGE, "weight decay must be a finite number >= 0, found %g",
                    rules[r].lambda);
        if (rules[r].glob != NULL) SS_TRY(require_match(graph, rules[r].glob));
    }
    for (int32_t i = 0; i < graph->n_parameters; i++) {
        ss_parameter *p = &graph->parameters[i];
        p->decay = 0.0;
        for (int32_t r = 0; r < n_rules && p->trainable; r++)
            if (rules[r].glob == NULL || matches(rules[r].glob, p->name)) p->decay = rules[r].lambda;
    }
fail:
    return status;
}

void ss_layout_pack(const ss_layout *layout, ss_real real, const void *padded, void *packed)
{
    size_t      size = ss_real_size(real);
    const char *from = padded;
    char       *to = packed;
    for (int64_t i = 0; i < layout->n_segments; i++) {
        const ss_segment *s = &layout->segments[i];
        memcpy(to + (size_t)s->canonical * size, from + (size_t)s->offset * size, (size_t)s->length * size);
    }
}

void ss_layout_unpack(const ss_layout *layout, ss_real real, const void *packed, void *padded)
{
    size_t      size = ss_real_size(real);
    const char *from = packed;
    char       *to = padded;
    int64_t     end = 0; /* of the previous segment: the gap up to the next one is padding */
    for (int64_t i = 0; i < layout->n_segments; i++) {
        const ss_segment *s = &layout->segments[i];
        memset(to + (size_t)end * size, 0, (size_t)(s->offset - end) * size);
        memcpy(to + (size_t)s->offset * size, from + (size_t)s->canonical * size, (size_t)s->length * size);
        end = s->offset + s->length;
    }
    memset(to + (size_t)end * size, 0, (size_t)(layout->padded - end) * size);
}
