/* What the commands that give verdicts share. */
#include "cli/judge.h"
#include "cli/exit_table.h"

#include <string.h>

void ss_judge_options(const ss_settings *s, const ss_workload *w, ss_analyze_options *o)
{
    ss_analyze_options_init(o);
    o->product = ss_workload_product(w);
    if (ss_given(s, RESOLUTION)) o->resolution = ss_real_of(s, RESOLUTION);
    if (ss_given(s, CONFIDENCE)) o->confidence = ss_real_of(s, CONFIDENCE);
    if (ss_given(s, MAX_PRODUCTS)) o->max_products = ss_integer_of(s, MAX_PRODUCTS);
    if (ss_given(s, TIME_LIMIT)) o->time_limit = ss_real_of(s, TIME_LIMIT);
    if (ss_given(s, DENSE_LIMIT)) o->dense_limit = ss_integer_of(s, DENSE_LIMIT);
    if (ss_given(s, CONFIRM_SAMPLES)) o->confirm_samples = ss_integer_of(s, CONFIRM_SAMPLES);
    if (ss_given(s, TAU)) o->tau = ss_real_of(s, TAU);
    if (ss_given(s, CRITICAL)) o->critical = ss_real_of(s, CRITICAL);
    if (ss_given(s, CRITICAL_GRADIENT)) o->critical_gradient = ss_real_of(s, CRITICAL_GRADIENT);
    o->seed = (uint64_t)ss_integer_of(s, SEED);
    o->sample_seed = (uint64_t)ss_integer_of(s, SAMPLE_SEED);
    if (ss_given(s, MEMORY)) o->memory = ss_integer_of(s, MEMORY);
    o->configuration = w->configuration;
}

void ss_judge_polish_options(const ss_settings *s, ss_polish_options *o)
{
    ss_polish_options_init(o);
    if (ss_given(s, MAX_PRODUCTS)) o->max_products = (double)ss_integer_of(s, MAX_PRODUCTS);
    if (ss_given(s, TIME_LIMIT)) o->time_limit = ss_real_of(s, TIME_LIMIT);
}

int ss_judge_expectation(const ss_settings *settings, const ss_verdict *verdict)
{
    const char *wanted = ss_text_of(settings, EXPECT);
    if (wanted == NULL || strcmp(wanted, ss_label_name(verdict->label)) == 0) return SS_EXIT_DONE;
    fprintf(stderr, "saddlescope %s: expected %s, found %s\n", ss_command_row(settings->command)->name,
            wanted, ss_label_name(verdict->label));
    return verdict->label == SS_LABEL_INCONCLUSIVE ? SS_EXIT_INCONCLUSIVE : SS_EXIT_UNEXPECTED;
}

ss_status ss_judge_write(ss_workload *w, ss_written *written)
{
    ss_status     status = SS_OK;
    const char   *path = ss_text_of(w->settings, OUTPUT);
    double       *packed = NULL;
    ss_network   *network = NULL;
    ss_objective *objective = NULL;
    ss_loss_value value;
    *written = (ss_written){ .path = path };
    if (path == NULL) return SS_OK;
    SS_TRY(SS_NEW_ARRAY(w->context, ss_network_n(w->network), &packed));
    ss_objective_get_weights(w->objective, packed);
    SS_TRY(ss_network_save(w->network, path, packed, &written->saved));
    SS_TRY(ss_workload_stored_network(w, path, true, &network));
    SS_TRY(ss_objective_create(w->context, network, w->dataset, &w->options, &objective));
    SS_TRY(ss_objective_loss(objective, SS_FLOAT64, NULL, NULL, &value, NULL));
    written->loss = value.loss;
fail:
    ss_objective_destroy(objective);
    ss_network_close(network);
    ss_free(w->context, packed);
    return status;
}
