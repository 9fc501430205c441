/* saddlescope gradient: loss and gradient over the whole data set. */
#include "backend/backend.h"
#include "cli/commands.h"
#include "cli/workload.h"
#include "report/lines.h"

#include <math.h>

static ss_status compute(ss_workload *w, ss_gradient_result *result)
{
    ss_status        status = SS_OK;
    ss_backend      *backend = ss_objective_backend(w->objective, w->options.precision);
    const ss_layout *layout = ss_objective_layout(w->objective);
    void            *gradient = NULL;
    ss_loss_value    value;
    ss_operator      op = { 0 };
    double           square = 0, start = ss_seconds();

    SS_TRY(backend->class->allocate(backend, layout->padded * (int64_t)ss_real_size(w->options.precision),
                                    &gradient));
    SS_TRY(ss_objective_gradient(w->objective, w->options.precision, NULL, NULL, gradient, &value));
    SS_TRY(backend->class->dot(backend, NULL, layout->padded, gradient, gradient, &square));
    *result = (ss_gradient_result){ .loss = value.loss,
                                    .data = value.data,
                                    .decay = value.decay,
                                    .rounding = value.rounding,
                                    .norm = sqrt(square),
                                    .rms = sqrt(square / (double)layout->n),
                                    .seconds = ss_seconds() - start,
                                    .n = layout->n };
    SS_TRY(ss_workload_operator(w, &op)); /* only for its layout and backend: packing needs them */
    SS_TRY(ss_workload_vector(w, &op, gradient));
fail:
    ss_operator_destroy(&op);
    backend->class->release(backend, gradient);
    return status;
}

static void describe(ss_text *text, const ss_workload *w, const ss_gradient_result *r)
{
    char a[SS_NUMBER_TEXT], b[SS_NUMBER_TEXT], c[SS_NUMBER_TEXT];
    char guess[SS_GUESS_TEXT];
    ss_report_head(text, &w->run);
    ss_line_write(text, "loss", "%.12g (%s; rounding %s; regularisers %s)", r->loss,
                  ss_report_guess_text(&w->run, guess), ss_number_text(r->rounding, 1, a),
                  ss_number_text(r->decay, 4, b));
    ss_report_guess(text, &w->run, r->loss);
    ss_line_write(text, "gradient", "norm %.12g, per parameter %s; %s", r->norm, ss_number_text(r->rms, 4, a),
                  ss_duration_text(r->seconds, c));
}

ss_status ss_command_gradient(ss_context *context, const ss_settings *settings, int *exit_status)
{
    ss_status          status = SS_OK;
    ss_workload        workload;
    ss_gradient_result result;
    ss_text            text;

    (void)exit_status;
    ss_text_init(context, &text);
    SS_TRY(ss_workload_open(context, settings, true, &workload));
    SS_TRY(compute(&workload, &result));
    describe(&text, &workload, &result);
    SS_TRY(ss_workload_print(&workload, &text, NULL));
    SS_TRY(ss_workload_json(&workload, true, ss_gradient_fields, &result));
fail:
    ss_text_release(&text);
    ss_workload_close(&workload);
    return status;
}
