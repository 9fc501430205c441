/* saddlescope hessian: the dense matrix and its spectrum. */
#include "base/output.h"
#include "cli/commands.h"
#include "cli/workload.h"
#include "io/safetensors.h"
#include "spectrum/eigen.h"

#include <math.h>
#include <string.h>

/* Refuses what does not fit, with the size that would. */
static ss_status check_memory(ss_workload *w, const ss_operator *op, const ss_dense_options *options)
{
    int64_t needed = ss_dense_memory(op, options), n = op->layout->n;
    int64_t free_bytes = ss_dense_allowed(op, w->options.memory);
    char    a[SS_NUMBER_TEXT], b[SS_NUMBER_TEXT], c[SS_NUMBER_TEXT], d[SS_NUMBER_TEXT];
    if (needed <= free_bytes) return SS_OK;
    double fits = floor((double)n * sqrt((double)free_bytes / (double)needed));
    return ss_fail(
        w->context, SS_ERROR_REFUSED,
        "the dense matrix of %s parameters takes %s, and %s may be used; about %s parameters would fit: "
        "choose some with --parameters, or ask `eigs` for the ends of the spectrum",
        ss_count_text(n, a), ss_bytes_text(needed, b), ss_bytes_text(free_bytes, c),
        ss_count_text((int64_t)fits, d));
}

/* A .npy file, version 1.0: magic, length of the header, header padded to 64 bytes, rows. */
static ss_status write_npy(ss_context *context, const char *path, const ss_dense_result *dense)
{
    ss_status  status = SS_OK;
    ss_output *output = NULL;
    char       header[128];
    memset(header, ' ', sizeof header);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10); /* 0x76 = 118 bytes of header follow */
    int length = snprintf(header + 10, sizeof header - 10,
                          "{'descr': '<f8', 'fortran_order': False, 'shape': (%lld, %lld), }",
                          (long long)dense->n, (long long)dense->n);
    header[10 + length] = ' ';
    header[sizeof header - 1] = '\n';
    SS_TRY(ss_output_open(context, path, &output));
    SS_TRY(ss_output_write(output, header, sizeof header));
    for (int64_t i = 0; i < dense->n; i++)
        SS_TRY(ss_output_write(output, dense->matrix + i * dense->n, (size_t)dense->n * sizeof(double)));
    SS_TRY(ss_output_commit(&output));
fail:
    ss_output_abort(&output);
    return status;
}

/* The matrix in canonical order; a name that ends in .safetensors gets the eigenvalues too. */
static ss_status write_matrix(ss_context *context, const char *path, const ss_dense_result *dense)
{
    size_t   length = strlen(path);
    ss_array arrays[] = {
        { .name = "matrix",
          .type = SS_F64,
          .rank = 2,
          .shape = { dense->n, dense->n },
          .data = dense->matrix },
        { .name = "eigenvalues", .type = SS_F64, .rank = 1, .shape = { dense->n }, .data = dense->values }
    };
    if (length > 12 && strcmp(path + length - 12, ".safetensors") == 0)
        return ss_safetensors_write(context, path, arrays, 2, NULL, 0);
    return write_npy(context, path, dense);
}

static ss_hessian_result summarise(const ss_workload *w, const ss_dense_result *dense, double start)
{
    ss_hessian_result r = { .operator_name = ss_product_name(ss_workload_product(w)),
                            .n = dense->n,
                            .values = dense->values,
                            .lambda_abs = dense->lambda_abs,
                            .asymmetry = dense->asymmetry,
                            .seconds_operator = dense->seconds_operator,
                            .seconds_eigen = dense->seconds_eigen };
    for (int64_t i = 0; i < dense->n; i++) r.trace += dense->values[i];
    r.error = ss_workload_rounding(w) * dense->lambda_abs;
    r.tau = ss_given(w->settings, TAU) ? ss_real_of(w->settings, TAU) : 3 * r.error;
    ss_inertia inertia = ss_dense_inertia(dense, r.tau);
    r.negative = inertia.negative;
    r.zero = inertia.zero;
    r.positive = inertia.positive;
    r.seconds = ss_seconds() - start;
    return r;
}

static ss_status report_progress(void *user, int64_t done, int64_t total)
{
    ss_progress(user, "products", (double)done, (double)total, "");
    return SS_OK;
}

ss_status ss_command_hessian(ss_context *context, const ss_settings *settings, int *exit_status)
{
    ss_status        status = SS_OK;
    ss_workload      workload;
    ss_operator      op = { 0 };
    ss_dense_result *dense = NULL;
    ss_dense_options options = { .matrix = ss_given(settings, OUTPUT),
                                 .monitor = report_progress,
                                 .monitor_user = context };
    ss_text          text;
    double           start = ss_seconds();
    bool             started = false;

    (void)exit_status;
    ss_text_init(context, &text);
    SS_TRY(ss_workload_open(context, settings, true, &workload));
    SS_TRY(ss_workload_operator(&workload, &op));
    SS_TRY(check_memory(&workload, &op, &options));
    SS_TRY(ss_workload_json_partial(&workload, ss_hessian_fields, NULL));
    started = true;
    SS_TRY(ss_dense_eigen(&op, &options, &dense));
    ss_hessian_result result = summarise(&workload, dense, start);
    if (ss_given(settings, OUTPUT)) SS_TRY(write_matrix(context, ss_text_of(settings, OUTPUT), dense));
    ss_report_hessian(&text, &workload.run, &result);
    SS_TRY(ss_workload_print(&workload, &text, NULL));
    SS_TRY(ss_workload_json(&workload, true, ss_hessian_fields, &result));
fail:
    if (status != SS_OK && started) ss_workload_discard(&workload);
    ss_text_release(&text);
    ss_dense_result_destroy(dense);
    ss_operator_destroy(&op);
    ss_workload_close(&workload);
    return status;
}
