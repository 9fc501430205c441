/* saddlescope hvp: one product of the operator and a vector. */
#include "backend/backend.h"
#include "cli/commands.h"
#include "cli/vectors.h"
#include "cli/workload.h"
#include "report/lines.h"

#include <math.h>

/* Fills x (padded, backend memory) from --vector or --random. */
static ss_status fill(ss_workload *w, ss_operator *op, void *x)
{
    const ss_settings *s = w->settings;
    ss_status          status = SS_OK;
    double            *packed = NULL;
    if (ss_given(s, RANDOM)) {
        SS_TRY(op->backend->class->random_normal(op->backend, NULL, op->layout,
                                                 (uint64_t)ss_integer_of(s, RANDOM), 0, x));
    } else {
        SS_TRY(SS_NEW_ARRAY(w->context, op->layout->n, &packed));
        SS_TRY(ss_vector_read(w->context, ss_text_of(s, VECTOR), w->network, packed));
        SS_TRY(ss_operator_unpack(op, packed, x));
    }
fail:
    ss_free(w->context, packed);
    return status;
}

static ss_status compute(ss_workload *w, ss_product_result *result)
{
    ss_status   status = SS_OK;
    ss_operator op = { 0 };
    ss_backend *backend = NULL;
    void       *x = NULL, *y = NULL;
    double      xx = 0, xy = 0, yy = 0;

    SS_TRY(ss_workload_operator(w, &op));
    backend = op.backend;
    int64_t padded = op.layout->padded, bytes = padded * (int64_t)ss_real_size(op.real);
    SS_TRY(backend->class->allocate(backend, bytes, &x));
    SS_TRY(backend->class->allocate(backend, bytes, &y));
    SS_TRY(fill(w, &op, x));
    SS_TRY(ss_operator_apply(&op, 1, x, padded, y, padded));
    SS_TRY(backend->class->dot(backend, NULL, padded, x, x, &xx));
    SS_TRY(backend->class->dot(backend, NULL, padded, x, y, &xy));
    SS_TRY(backend->class->dot(backend, NULL, padded, y, y, &yy));
    if (!(xx > 0))
        SS_FAIL(w->context, SS_ERROR_INPUT, "%s: the vector is zero", ss_text_of(w->settings, VECTOR));
    *result = (ss_product_result){ .operator_name = ss_product_name(ss_workload_product(w)),
                                   .norm_in = sqrt(xx),
                                   .norm_out = sqrt(yy),
                                   .quotient = xy / xx,
                                   .quotient_error = ss_workload_rounding(w) * sqrt(yy / xx),
                                   .seconds = op.seconds,
                                   .n = op.layout->n };
    SS_TRY(ss_workload_vector(w, &op, y));
fail:
    if (backend != NULL) {
        backend->class->release(backend, x);
        backend->class->release(backend, y);
    }
    ss_operator_destroy(&op);
    return status;
}

static void describe(ss_text *text, const ss_workload *w, const ss_product_result *r)
{
    char a[SS_NUMBER_TEXT], b[SS_NUMBER_TEXT];
    ss_report_head(text, &w->run);
    ss_line_write(text, "product", "%s: |v| %.9g, |Hv| %.9g, v'Hv/v'v %.9g +- %s; %s", r->operator_name,
                  r->norm_in, r->norm_out, r->quotient, ss_number_text(r->quotient_error, 1, a),
                  ss_duration_text(r->seconds, b));
}

ss_status ss_command_hvp(ss_context *context, const ss_settings *settings, int *exit_status)
{
    ss_status         status = SS_OK;
    ss_workload       workload = { .context = context };
    ss_product_result result;
    ss_text           text;

    (void)exit_status;
    ss_text_init(context, &text);
    if (ss_given(settings, VECTOR) == ss_given(settings, RANDOM))
        SS_FAIL(context, SS_ERROR_USAGE, "give either --vector FILE or --random SEED");
    SS_TRY(ss_workload_open(context, settings, true, &workload));
    SS_TRY(compute(&workload, &result));
    describe(&text, &workload, &result);
    SS_TRY(ss_workload_print(&workload, &text, NULL));
    SS_TRY(ss_workload_json(&workload, true, ss_product_fields, &result));
fail:
    ss_text_release(&text);
    ss_workload_close(&workload);
    return status;
}
